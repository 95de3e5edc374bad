/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/datagram.h"

static bool is_v6(const uint8_t *ip)
{
	return ip[0] >> 4 == 6;
}

void ip_write16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value & 0xff;
}

uint16_t ip_read16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

uint16_t bytes_sum(const uint8_t *bytes, size_t n, uint32_t start)
{
	uint64_t sum = start;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

void ip_write_ends(uint8_t *ip, size_t l4, const struct end *src, const struct end *dst)
{
	if (is_v6(ip)) {
		memcpy(ip + 8, src->ip, 16);
		memcpy(ip + 24, dst->ip, 16);
	} else {
		memcpy(ip + 12, &src->ip[3], 4);
		memcpy(ip + 16, &dst->ip[3], 4);
	}
	if (l4) {
		ip_write16(ip + l4, src->port);
		ip_write16(ip + l4 + 2, dst->port);
	}
}

void ip_sum(uint8_t *ip)
{
	if (is_v6(ip))
		return;
	ip_write16(ip + 10, 0);
	ip_write16(ip + 10, (uint16_t)~bytes_sum(ip, (size_t)(ip[0] & 15) * 4, 0));
}

void ip_sum_l4(uint8_t *ip, size_t l4, size_t n, uint8_t protocol)
{
	size_t at = l4 + (protocol == PROTOCOL_TCP ? 16 : protocol == PROTOCOL_UDP ? 6 : 2);
	uint32_t pseudo = 0;
	uint16_t is;

	if (is_v6(ip))
		pseudo = bytes_sum(ip + 8, 32, protocol + (uint32_t)n);
	else if (protocol != PROTOCOL_ICMP)
		pseudo = bytes_sum(ip + 12, 8, protocol + (uint32_t)n);
	ip_write16(ip + at, 0);
	is = (uint16_t)~bytes_sum(ip + l4, n, pseudo);
	if (!is && protocol == PROTOCOL_UDP)
		is = 0xffff;
	ip_write16(ip + at, is);
}

/* Ethernet and IP, without checksums. */
static uint8_t *begin(struct frame *f, const struct end *src, const struct end *dst,
		      uint8_t protocol, size_t options, size_t bytes)
{
	bool v6 = end_is_v6(dst);
	uint8_t *ip = f->data + FRAME_L3;

	f->len = FRAME_L3 + (v6 ? 40 : 20 + options) + bytes;
	if (f->len > FRAME_MAX)
		abort();
	memset(f->data, 0, FRAME_L3 + 40 + 8);
	memcpy(f->data, frame_host_mac, 6);
	memcpy(f->data + 6, frame_gateway_mac, 6);
	frame_put16(f, 12, v6 ? 0x86dd : 0x0800);
	if (v6) {
		ip[0] = 6 << 4;
		ip_write16(ip + 4, (uint16_t)bytes);
		ip[6] = protocol;
	} else {
		ip[0] = (uint8_t)(4 << 4 | (5 + options / 4));
		ip_write16(ip + 2, (uint16_t)(20 + options + bytes));
		ip[9] = protocol;
	}
	ip_write_ends(ip, 0, src, dst);
	return ip;
}

void frame_udp(struct frame *f, const struct datagram *d)
{
	bool v6 = end_is_v6(&d->dst);
	size_t options = v6 ? 0 : d->n_ip_options, l4 = v6 ? 40 : 20 + options, n = 8 + d->payload;
	uint8_t *ip = begin(f, &d->src, &d->dst, PROTOCOL_UDP, options, n + d->trailer);

	if (v6) {
		ip_write16(ip + 4, (uint16_t)n);
		ip[0] |= d->tos >> 4;
		ip[1] = (uint8_t)(d->tos << 4);
		ip[7] = d->ttl;
	} else {
		ip_write16(ip + 2, (uint16_t)(l4 + n));
		ip[1] = d->tos;
		ip_write16(ip + 4, d->id);
		ip[8] = d->ttl;
		if (options)
			memcpy(ip + 20, d->ip_options, options);
	}
	ip_write_ends(ip, l4, &d->src, &d->dst);
	ip_write16(ip + l4 + 4, (uint16_t)n);
	ip_write16(ip + l4 + 6, 0);
	for (size_t i = 0; i < d->payload; i++)
		ip[l4 + 8 + i] = d->data ? d->data[i] : (uint8_t)((d->id + i) * 37 >> 3);
	for (size_t i = 0; i < d->trailer; i++)
		f->data[f->len - 1 - i] = (uint8_t)(0x5a ^ i);
	ip_sum(ip);
	if (!d->unsummed)
		ip_sum_l4(ip, l4, n, PROTOCOL_UDP);
}

void frame_send_on(struct frame *f, size_t l4, uint8_t protocol, const struct end *src,
		   const struct end *dst)
{
	uint8_t *ip = f->data + FRAME_L3;

	ip_write_ends(ip, l4, src, dst);
	ip[is_v6(ip) ? 7 : 8]--;
	ip_sum(ip);
	if (protocol != PROTOCOL_UDP || ip_read16(ip + l4 + 6))
		ip_sum_l4(ip, l4, frame_ip_bytes(f) - l4, protocol);
}

void frame_extend(struct frame *f, const uint8_t *types, size_t n, const uint8_t body[6])
{
	uint8_t *ip = f->data + FRAME_L3, *at = ip + 40, last = ip[6];

	if (!n)
		return;
	if (f->len + n * 8 > FRAME_MAX)
		abort();
	memmove(at + n * 8, at, f->len - FRAME_L3 - 40);
	memset(at, 0, n * 8);
	f->len += n * 8;
	ip_write16(ip + 4, (uint16_t)(ip_read16(ip + 4) + n * 8));
	ip[6] = types[0];
	for (size_t i = 0; i < n; i++, at += 8) {
		at[0] = i + 1 < n ? types[i + 1] : last;
		if (types[i] == HEADER_HOPS || types[i] == HEADER_OPTIONS) {
			at[2] = 1; /* PadN */
			at[3] = 4;
		}
		if (body)
			memcpy(at + 2, body, 6);
	}
}

void frame_fragment(struct frame *f, const struct frame *whole, size_t offset, size_t n, bool more,
		    uint32_t id)
{
	static const uint8_t header[] = {HEADER_FRAGMENT};
	size_t l4 = frame_l4(whole), l3 = l4 - FRAME_L3;
	uint8_t *ip = f->data + FRAME_L3;

	if (offset & 7 || l4 + offset + n > whole->len)
		abort();
	memcpy(f->data, whole->data, l4);
	memcpy(f->data + l4, whole->data + l4 + offset, n);
	f->len = l4 + n;
	if (is_v6(ip)) {
		ip_write16(ip + 4, (uint16_t)n);
		frame_extend(f, header, 1, NULL);
		ip_write16(ip + 42, (uint16_t)(offset | more));
		ip_write16(ip + 44, (uint16_t)(id >> 16));
		ip_write16(ip + 46, (uint16_t)id);
		return;
	}
	ip_write16(ip + 2, (uint16_t)(l3 + n));
	ip_write16(ip + 4, (uint16_t)id);
	ip_write16(ip + 6, (uint16_t)(offset / 8 | (more ? 0x2000 : 0)));
	ip_sum(ip);
}

void frame_icmp(struct frame *f, const struct error *e)
{
	bool v6 = end_is_v6(&e->dst);
	size_t options = v6 ? 0 : e->n_ip_options, l4 = v6 ? 40 : 20 + options;
	uint8_t *ip =
		begin(f, &e->src, &e->dst, v6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP, options, 8 + e->n);

	ip[v6 ? 7 : 8] = e->ttl;
	if (options)
		memcpy(ip + 20, e->ip_options, options);
	ip[l4] = e->type;
	ip[l4 + 1] = e->code;
	ip_write16(ip + l4 + 4, (uint16_t)(e->rest >> 16));
	ip_write16(ip + l4 + 6, (uint16_t)e->rest);
	memcpy(ip + l4 + 8, e->quoted, e->n);
	ip_sum(ip);
	ip_sum_l4(ip, l4, 8 + e->n, v6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP);
}
