/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/public.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#include "userspace/base/ip.h"

/*
 * Networks behind which are this host, its link, or what a cloud tells its machines. The last three
 * are metadata services outside of the link-local networks: Azure, Alibaba, Oracle.
 */
static const char *const not_public[] = {
	"0.0.0.0/8",
	"127.0.0.0/8",
	"169.254.0.0/16",
	"224.0.0.0/4",
	"240.0.0.0/4",
	"::/128",
	"::1/128",
	"fe80::/10",
	"ff00::/8",
	"fd00:ec2::254/128",
	"fd20:ce::254/128",
	"168.63.129.16/32",
	"100.100.100.200/32",
	"192.0.0.192/32",
};

static bool listed(const uint32_t address[4])
{
	for (size_t i = 0; i < sizeof(not_public) / sizeof(*not_public); i++) {
		uint32_t network[4];
		unsigned int bits;

		if (ip_parse_cidr(not_public[i], network, &bits) || ip_in(address, network, bits))
			return true;
	}
	return false;
}

/* An IPv6 address may carry an IPv4 one that a translator or tunnel on the way would use. */
bool ip_is_public(const uint32_t address[4])
{
	static const uint32_t compatible[3];
	uint32_t inner[4];

	if (listed(address))
		return false;
	if (address[0] == htonl(0x0064ff9b)) {
		ip_map(address[3], inner);
		return !listed(inner);
	}
	if (ntohl(address[0]) >> 16 == 0x2002) {
		ip_map(htonl(ntohl(address[0]) << 16 | ntohl(address[1]) >> 16), inner);
		return !listed(inner);
	}
	/* ::a.b.c.d, which was IPv4-compatible */
	if (!memcmp(address, compatible, sizeof(compatible))) {
		ip_map(address[3], inner);
		return !listed(inner);
	}
	return true;
}

bool ip_is_loopback(const uint32_t address[4])
{
	static const char *const loopback[] = {"127.0.0.0/8", "::1/128"};

	for (size_t i = 0; i < sizeof(loopback) / sizeof(*loopback); i++) {
		uint32_t network[4];
		unsigned int bits;

		if (!ip_parse_cidr(loopback[i], network, &bits) && ip_in(address, network, bits))
			return true;
	}
	return false;
}
