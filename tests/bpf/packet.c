/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/check.h"
#include "tests/bpf/packet.h"

const uint8_t frame_host_mac[6] = {2, 0, 0, 0, 0, 0x01};
const uint8_t frame_gateway_mac[6] = {2, 0, 0, 0, 0, 0xfe};

/* ---- ends ---- */

bool end_is_v6(const struct end *e)
{
	return e->ip[0] || e->ip[1] || e->ip[2] != htonl(0xffff);
}

bool end_equal(const struct end *a, const struct end *b)
{
	return !memcmp(a->ip, b->ip, sizeof(a->ip)) && a->port == b->port;
}

struct end end_of(const char *address, uint16_t port)
{
	struct end e = {.port = port};

	if (strchr(address, ':')) {
		if (inet_pton(AF_INET6, address, e.ip) != 1)
			abort();
	} else {
		e.ip[2] = htonl(0xffff);
		if (inet_pton(AF_INET, address, &e.ip[3]) != 1)
			abort();
	}
	return e;
}

const char *end_text(const struct end *e, char text[64])
{
	char address[INET6_ADDRSTRLEN];

	if (end_is_v6(e)) {
		inet_ntop(AF_INET6, e->ip, address, sizeof(address));
		snprintf(text, 64, "[%s]:%u", address, e->port);
	} else {
		inet_ntop(AF_INET, &e->ip[3], address, sizeof(address));
		snprintf(text, 64, "%s:%u", address, e->port);
	}
	return text;
}

/* ---- fields ---- */

void frame_put16(struct frame *f, size_t at, uint16_t value)
{
	f->data[at] = value >> 8;
	f->data[at + 1] = value & 0xff;
}

void frame_put32(struct frame *f, size_t at, uint32_t value)
{
	frame_put16(f, at, value >> 16);
	frame_put16(f, at + 2, value & 0xffff);
}

uint16_t frame_get16(const struct frame *f, size_t at)
{
	return (uint16_t)(f->data[at] << 8 | f->data[at + 1]);
}

uint32_t frame_get32(const struct frame *f, size_t at)
{
	return (uint32_t)frame_get16(f, at) << 16 | frame_get16(f, at + 2);
}

bool frame_is_v6(const struct frame *f)
{
	return f->data[FRAME_L3] >> 4 == 6;
}

size_t frame_l4(const struct frame *f)
{
	return FRAME_L3 + (frame_is_v6(f) ? 40 : (size_t)(f->data[FRAME_L3] & 15) * 4);
}

size_t frame_ip_bytes(const struct frame *f)
{
	size_t n = frame_get16(f, FRAME_L3 + (frame_is_v6(f) ? 4 : 2));

	if (!n)
		return f->len - FRAME_L3;
	return frame_is_v6(f) ? n + 40 : n;
}

static struct end frame_end(const struct frame *f, size_t v4_at, size_t v6_at, size_t port_at)
{
	struct end e = {.port = frame_get16(f, frame_l4(f) + port_at)};

	if (frame_is_v6(f)) {
		memcpy(e.ip, f->data + FRAME_L3 + v6_at, 16);
	} else {
		e.ip[2] = htonl(0xffff);
		memcpy(&e.ip[3], f->data + FRAME_L3 + v4_at, 4);
	}
	return e;
}

struct end frame_src(const struct frame *f)
{
	return frame_end(f, 12, 8, 0);
}

struct end frame_dst(const struct frame *f)
{
	return frame_end(f, 16, 24, 2);
}

uint8_t frame_tcp_flags(const struct frame *f)
{
	return f->data[frame_l4(f) + 13];
}

uint32_t frame_tcp_seq(const struct frame *f)
{
	return frame_get32(f, frame_l4(f) + 4);
}

uint32_t frame_tcp_ack(const struct frame *f)
{
	return frame_get32(f, frame_l4(f) + 8);
}

size_t frame_tcp_payload(const struct frame *f)
{
	size_t l4 = frame_l4(f), header = (size_t)(f->data[l4 + 12] >> 4) * 4;

	return frame_ip_bytes(f) + FRAME_L3 - l4 - header;
}

size_t frame_ip_check(const struct frame *f)
{
	return frame_is_v6(f) ? 0 : FRAME_L3 + 10;
}

size_t frame_tcp_check(const struct frame *f)
{
	return frame_l4(f) + 16;
}

/* ---- checksums ---- */

static uint64_t sum_bytes(const uint8_t *bytes, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint64_t sum_ip(const struct frame *f)
{
	return sum_bytes(f->data + FRAME_L3, frame_l4(f) - FRAME_L3);
}

/* Of the addresses, the protocol and the length. */
static uint64_t sum_pseudo(const struct frame *f)
{
	size_t bytes = frame_ip_bytes(f) + FRAME_L3 - frame_l4(f);

	if (frame_is_v6(f))
		return 6 + bytes + sum_bytes(f->data + FRAME_L3 + 8, 32);
	return 6 + bytes + sum_bytes(f->data + FRAME_L3 + 12, 8);
}

static uint64_t sum_tcp(const struct frame *f)
{
	size_t l4 = frame_l4(f);

	return sum_pseudo(f) + sum_bytes(f->data + l4, frame_ip_bytes(f) + FRAME_L3 - l4);
}

void frame_sum(struct frame *f)
{
	size_t tcp = frame_tcp_check(f), ip = frame_ip_check(f);

	if (ip) {
		frame_put16(f, ip, 0);
		frame_put16(f, ip, (uint16_t)~fold(sum_ip(f)));
	}
	frame_put16(f, tcp, 0);
	frame_put16(f, tcp, (uint16_t)~fold(sum_tcp(f)));
}

void frame_sum_partial(struct frame *f)
{
	frame_sum(f);
	frame_put16(f, frame_tcp_check(f), fold(sum_pseudo(f)));
}

bool frame_sums_hold(const struct frame *f)
{
	return (frame_is_v6(f) || fold(sum_ip(f)) == 0xffff) && fold(sum_tcp(f)) == 0xffff;
}

/* ---- making and changing ---- */

static void write_ip(struct frame *f, const struct segment *s, size_t tcp_bytes)
{
	uint8_t *ip = f->data + FRAME_L3;

	if (end_is_v6(&s->dst)) {
		frame_put32(f, FRAME_L3, 6u << 28 | (uint32_t)s->tos << 20 | s->id);
		frame_put16(f, FRAME_L3 + 4, (uint16_t)tcp_bytes);
		ip[6] = 6;
		ip[7] = s->ttl;
		memcpy(ip + 8, s->src.ip, 16);
		memcpy(ip + 24, s->dst.ip, 16);
		return;
	}
	ip[0] = (uint8_t)(4 << 4 | (5 + s->n_ip_options / 4));
	ip[1] = s->tos;
	frame_put16(f, FRAME_L3 + 2, (uint16_t)(20 + s->n_ip_options + tcp_bytes));
	frame_put16(f, FRAME_L3 + 4, s->id);
	frame_put16(f, FRAME_L3 + 6, 0x4000); /* don't fragment */
	ip[8] = s->ttl;
	ip[9] = 6;
	memcpy(ip + 12, &s->src.ip[3], 4);
	memcpy(ip + 16, &s->dst.ip[3], 4);
	if (s->n_ip_options)
		memcpy(ip + 20, s->ip_options, s->n_ip_options);
}

void frame_build(struct frame *f, const struct segment *s)
{
	bool v6 = end_is_v6(&s->dst);
	size_t tcp_bytes = 20 + s->n_options + s->payload, l4;

	l4 = FRAME_L3 + (v6 ? 40 : 20 + s->n_ip_options);
	f->len = l4 + tcp_bytes + s->trailer;
	if (f->len > FRAME_MAX)
		abort();
	memset(f->data, 0, l4 + 20);
	memcpy(f->data, frame_host_mac, 6);
	memcpy(f->data + 6, frame_gateway_mac, 6);
	frame_put16(f, 12, v6 ? 0x86dd : 0x0800);
	write_ip(f, s, tcp_bytes);
	frame_put16(f, l4, s->src.port);
	frame_put16(f, l4 + 2, s->dst.port);
	frame_put32(f, l4 + 4, s->seq);
	frame_put32(f, l4 + 8, s->ack);
	f->data[l4 + 12] = (uint8_t)((20 + s->n_options) / 4 << 4);
	f->data[l4 + 13] = s->flags;
	frame_put16(f, l4 + 14, s->window);
	frame_put16(f, l4 + 18, s->urgent);
	if (s->n_options)
		memcpy(f->data + l4 + 20, s->options, s->n_options);
	for (size_t i = 0; i < s->payload; i++)
		f->data[l4 + 20 + s->n_options + i] = (uint8_t)((s->seq + i) * 37 >> 3);
	for (size_t i = 0; i < s->trailer; i++)
		f->data[f->len - 1 - i] = (uint8_t)(0xa5 ^ i);
	frame_sum(f);
}

static void write_ends(struct frame *f, const struct end *src, const struct end *dst)
{
	size_t l4 = frame_l4(f);

	if (frame_is_v6(f)) {
		memcpy(f->data + FRAME_L3 + 8, src->ip, 16);
		memcpy(f->data + FRAME_L3 + 24, dst->ip, 16);
	} else {
		memcpy(f->data + FRAME_L3 + 12, &src->ip[3], 4);
		memcpy(f->data + FRAME_L3 + 16, &dst->ip[3], 4);
	}
	frame_put16(f, l4, src->port);
	frame_put16(f, l4 + 2, dst->port);
}

void frame_translate(struct frame *f, const struct end *src, const struct end *dst)
{
	write_ends(f, src, dst);
	f->data[FRAME_L3 + (frame_is_v6(f) ? 7 : 8)]--;
	frame_sum(f);
}

void frame_reset(struct frame *f, const struct end *src, const struct end *dst, uint32_t seq,
		 uint32_t ack, uint8_t flags)
{
	size_t l4 = frame_l4(f);

	write_ends(f, src, dst);
	f->data[FRAME_L3 + (frame_is_v6(f) ? 7 : 8)] = 64;
	if (frame_is_v6(f))
		frame_put16(f, FRAME_L3 + 4, 20);
	else
		frame_put16(f, FRAME_L3 + 2, (uint16_t)(l4 - FRAME_L3 + 20));
	f->len = l4 + 20;
	frame_put32(f, l4 + 4, seq);
	frame_put32(f, l4 + 8, ack);
	f->data[l4 + 12] = 5 << 4;
	f->data[l4 + 13] = flags;
	frame_put16(f, l4 + 14, 0);
	frame_put16(f, l4 + 18, 0);
	frame_sum(f);
}

void frame_swap_macs(struct frame *f)
{
	uint8_t mac[6];

	memcpy(mac, f->data, 6);
	memcpy(f->data, f->data + 6, 6);
	memcpy(f->data + 6, mac, 6);
}

void frame_check_equal(const struct frame *is, const struct frame *wanted, const char *what)
{
	size_t n = is->len < wanted->len ? is->len : wanted->len, used = 0;
	char text[200];
	int told = 0;

	if (is->len != wanted->len)
		check_fail("%s: %zu bytes, should be %zu", what, is->len, wanted->len);
	for (size_t i = 0; i < n && told < 8; i++)
		if (is->data[i] != wanted->data[i] && ++told)
			used += (size_t)snprintf(text + used, sizeof(text) - used,
						 " [%zu] %02x not %02x", i, is->data[i],
						 wanted->data[i]);
	if (told)
		check_fail("%s: IP is at %d, TCP at %zu, and%s%s", what, FRAME_L3, frame_l4(wanted),
			   text, told == 8 ? " …" : "");
}
