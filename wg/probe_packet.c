/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "wg/probe.h"

#define IP4_HEADER  20
#define IP6_HEADER  40
#define ICMP_HEADER 8
#define NONCE	    8

/* linux/icmp.h and linux/icmpv6.h; the two families differ in nothing else that matters here. */
#define V4_ANSWER      0
#define V4_REQUEST     8
#define V4_UNREACHABLE 3
#define V4_TOO_BIG     4 /* code of it */
#define V6_TOO_BIG     2
#define V6_REQUEST     128
#define V6_ANSWER      129
#define V4_PROTOCOL    1
#define V6_PROTOCOL    58

#define CLOCK_SLACK 1000000u /* ns between reading two clocks; more is a step */

static uint16_t checksum(const uint8_t *from, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)from[i] << 8 | from[i + 1];
	if (size & 1)
		sum += (uint32_t)from[size - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint16_t get16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static void put16(uint8_t *to, uint16_t n)
{
	to[0] = (uint8_t)(n >> 8);
	to[1] = (uint8_t)n;
}

/* An echo's header and, if it is there, its nonce. */
static void get_echo(const uint8_t *icmp, size_t size, struct probe_packet *p)
{
	p->id = get16(icmp + 4);
	p->seq = get16(icmp + 6);
	p->has_nonce = size >= ICMP_HEADER + NONCE;
	if (p->has_nonce)
		memcpy(&p->nonce, icmp + ICMP_HEADER, NONCE);
}

/* What an error quotes: our packet from its IP header, which never has options. */
static int get_quote(uint8_t family, const uint8_t *ip, size_t size, struct probe_packet *p)
{
	size_t header = family == 4 ? IP4_HEADER : IP6_HEADER;
	const uint8_t *icmp = ip + header;
	uint32_t v4;

	if (size < header + ICMP_HEADER)
		return -EBADMSG;
	if (family == 4) {
		if (ip[0] != 0x45 || ip[9] != V4_PROTOCOL || icmp[0] != V4_REQUEST)
			return -EBADMSG;
		memcpy(&v4, ip + 16, sizeof(v4));
		ip_map(v4, p->address);
	} else {
		if (ip[0] >> 4 != 6 || ip[6] != V6_PROTOCOL || icmp[0] != V6_REQUEST)
			return -EBADMSG;
		memcpy(p->address, ip + 24, sizeof(p->address));
	}
	if (icmp[1])
		return -EBADMSG;
	p->too_big = true;
	get_echo(icmp, size - header, p);
	return 0;
}

static int parse_v4(const uint8_t *ip, size_t size, struct probe_packet *p)
{
	const uint8_t *icmp;
	size_t header, n;
	uint32_t from;

	if (size < IP4_HEADER || ip[0] >> 4 != 4 || ip[9] != V4_PROTOCOL)
		return -EBADMSG;
	header = (size_t)(ip[0] & 15) * 4;
	if (header < IP4_HEADER || size < header + ICMP_HEADER)
		return -EBADMSG;
	icmp = ip + header;
	n = size - header;
	if (checksum(icmp, n))
		return -EBADMSG;
	if (icmp[0] == V4_UNREACHABLE && icmp[1] == V4_TOO_BIG) {
		p->mtu = get16(icmp + 6);
		return get_quote(4, icmp + ICMP_HEADER, n - ICMP_HEADER, p);
	}
	if (icmp[0] != V4_ANSWER || icmp[1])
		return -EBADMSG;
	memcpy(&from, ip + 12, sizeof(from));
	ip_map(from, p->address);
	p->size = (uint32_t)n + IP4_HEADER;
	get_echo(icmp, n, p);
	return 0;
}

static int parse_v6(const uint8_t *icmp, size_t size, struct probe_packet *p)
{
	if (size < ICMP_HEADER || icmp[1])
		return -EBADMSG;
	if (icmp[0] == V6_TOO_BIG) {
		p->mtu = (uint32_t)get16(icmp + 4) << 16 | get16(icmp + 6);
		return get_quote(6, icmp + ICMP_HEADER, size - ICMP_HEADER, p);
	}
	if (icmp[0] != V6_ANSWER)
		return -EBADMSG;
	p->size = (uint32_t)size + IP6_HEADER;
	get_echo(icmp, size, p);
	return 0;
}

int probe_parse(uint8_t family, const void *packet, size_t size, struct probe_packet *ret)
{
	struct probe_packet p = {0};
	int err = family == 4 ? parse_v4(packet, size, &p) : parse_v6(packet, size, &p);

	if (!err)
		*ret = p;
	return err;
}

int probe_build(uint8_t family, uint16_t id, uint16_t seq, uint64_t nonce, uint32_t size,
		uint8_t ret[PROBE_MAX])
{
	uint32_t header = family == 4 ? IP4_HEADER : IP6_HEADER, n;

	if (size < header + ICMP_HEADER + NONCE)
		return -EINVAL;
	if (size > PROBE_MAX)
		return -EMSGSIZE;
	n = size - header;
	memset(ret, 0, ICMP_HEADER);
	ret[0] = family == 4 ? V4_REQUEST : V6_REQUEST;
	put16(ret + 4, id);
	put16(ret + 6, seq);
	memcpy(ret + ICMP_HEADER, &nonce, NONCE);
	for (uint32_t i = ICMP_HEADER + NONCE; i < n; i++)
		ret[i] = (uint8_t)i;
	if (family == 4)
		put16(ret + 2, checksum(ret, n));
	return (int)n;
}

uint64_t probe_rtt(const struct probe_stamp *sent, const struct probe_stamp *read, uint64_t arrived,
		   uint64_t elapsed)
{
	uint64_t boot = read->boot - sent->boot, real = read->real - sent->real;
	uint64_t apart = boot > real ? boot - real : real - boot;
	uint64_t rtt = arrived - sent->real;

	/* NTP may slew by 0.05 %, adjtimex by 10 %, which is not noise but no step either. */
	if (!arrived || apart > CLOCK_SLACK + boot / 8 || rtt > boot + CLOCK_SLACK + boot / 8)
		rtt = elapsed;
	return rtt ? rtt : 1;
}
