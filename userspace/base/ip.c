/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* Decimal digits and nothing else, up to `max`; −1. */
static int parse_number(const char *text, int max)
{
	int n = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		n = n * 10 + *text - '0';
		if (n > max)
			return -1;
	}
	return n;
}

static int parse_host(const char *text, uint32_t ret[4])
{
	uint32_t v4, v6[4];

	if (inet_pton(AF_INET, text, &v4) == 1) {
		ret[0] = ret[1] = 0;
		ret[2] = htonl(0xffff);
		ret[3] = v4;
		return 0;
	}
	if (inet_pton(AF_INET6, text, v6) != 1)
		return -EINVAL;
	memcpy(ret, v6, sizeof(v6));
	return 0;
}

int ip_parse(const char *text, uint32_t ret[4], uint16_t *ret_port)
{
	const char *colon = strchr(text, ':'), *port = NULL;
	char host[INET6_ADDRSTRLEN];
	uint32_t address[4];
	size_t length;
	int n = 0;

	if (*text == '[') {
		const char *close = strchr(++text, ']');

		if (!close || (close[1] && close[1] != ':'))
			return -EINVAL;
		length = (size_t)(close - text);
		if (close[1])
			port = close + 2;
	} else if (colon && !strchr(colon + 1, ':')) {
		length = (size_t)(colon - text);
		port = colon + 1;
	} else {
		length = strlen(text);
	}
	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (port) {
		n = parse_number(port, 65535);
		if (n <= 0)
			return -EINVAL;
	}
	if (parse_host(host, address))
		return -EINVAL;
	memcpy(ret, address, sizeof(address));
	*ret_port = htons((uint16_t)n);
	return 0;
}

int ip_parse_listen(const char *text, uint32_t ret[4], uint16_t *ret_port, uint8_t *ret_protocol)
{
	size_t length = strcspn(text, "/");
	char host[INET6_ADDRSTRLEN + sizeof("[]:65535")];
	uint8_t protocol = 0;
	uint32_t address[4];
	uint16_t port;

	if (!strcmp(text + length, "/tcp"))
		protocol = IPPROTO_TCP;
	else if (!strcmp(text + length, "/udp"))
		protocol = IPPROTO_UDP;
	else if (text[length])
		return -EINVAL;
	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (ip_parse(host, address, &port) || !port)
		return -EINVAL;
	memcpy(ret, address, sizeof(address));
	*ret_port = port;
	*ret_protocol = protocol;
	return 0;
}

/* The bits of word `i` of an address that a prefix covers, in network order. */
static uint32_t word_mask(unsigned int bits, unsigned int i)
{
	unsigned int left = bits > i * 32 ? bits - i * 32 : 0;

	return left >= 32 ? ~0u : left ? htonl(~0u << (32 - left)) : 0;
}

int ip_parse_cidr(const char *text, uint32_t ret[4], unsigned int *ret_bits)
{
	const char *slash = strchr(text, '/');
	char host[INET6_ADDRSTRLEN];
	uint32_t address[4];
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	int bits = 128;

	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (parse_host(host, address))
		return -EINVAL;
	if (slash) {
		bool v4 = !strchr(host, ':');

		bits = parse_number(slash + 1, v4 ? 32 : 128);
		if (bits < 0)
			return -EINVAL;
		bits += v4 ? 96 : 0;
	}
	for (unsigned int i = 0; i < 4; i++)
		ret[i] = address[i] & word_mask((unsigned int)bits, i);
	*ret_bits = (unsigned int)bits;
	return 0;
}

int ip_parse_network(const char *text, uint32_t ret[4], unsigned int *ret_bits)
{
	char host[INET6_ADDRSTRLEN];
	uint32_t whole[4], mapped[4], network[4];
	unsigned int bits;

	if (ip_parse_cidr(text, network, &bits))
		return -EINVAL;
	memcpy(host, text, strcspn(text, "/"));
	host[strcspn(text, "/")] = '\0';
	if (parse_host(host, whole))
		return -EINVAL;
	ip_map(0, mapped);
	if (bits < 96 && ip_in(mapped, network, bits))
		return -EDOM;
	memcpy(ret, network, sizeof(network));
	*ret_bits = bits;
	for (unsigned int i = 0; i < 4; i++) {
		if (whole[i] & ~word_mask(bits, i))
			return -ERANGE;
	}
	return 0;
}

bool ip_is_v4(const uint32_t address[4])
{
	return !address[0] && !address[1] && address[2] == htonl(0xffff);
}

uint8_t ip_family(const uint32_t address[4])
{
	return ip_is_v4(address) ? 4 : 6;
}

void ip_map(uint32_t v4, uint32_t ret[4])
{
	ret[0] = ret[1] = 0;
	ret[2] = htonl(0xffff);
	ret[3] = v4;
}

bool ip_in(const uint32_t address[4], const uint32_t network[4], unsigned int bits)
{
	for (unsigned int i = 0; i < 4; i++) {
		if ((address[i] ^ network[i]) & word_mask(bits, i))
			return false;
	}
	return true;
}
