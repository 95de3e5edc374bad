/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses: targets, and the prefixes from which clients take their source addresses. Client
 * number i always has the same address, so a run can be repeated and clients be compared.
 */
#include "tools/traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

int endpoint_parse(const char *text, union endpoint *ret_ep)
{
	union endpoint ep = {};
	char host[ENDPOINT_TEXT];
	const char *colon = strrchr(text, ':');
	char *end;
	unsigned long port;
	size_t len;

	if (!colon || colon == text)
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	if (*end || end == colon + 1 || port == 0 || port > 65535)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (text[0] == '[' && colon[-1] == ']') {
		text++;
		len -= 2;
		ep.in6.sin6_family = AF_INET6;
		ep.in6.sin6_port = htons((uint16_t)port);
	} else {
		ep.in.sin_family = AF_INET;
		ep.in.sin_port = htons((uint16_t)port);
	}
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(ep.sa.sa_family, host,
		      ep.sa.sa_family == AF_INET ? (void *)&ep.in.sin_addr
						 : (void *)&ep.in6.sin6_addr) != 1)
		return -EINVAL;
	*ret_ep = ep;
	return 0;
}

socklen_t endpoint_len(const union endpoint *ep)
{
	return ep->sa.sa_family == AF_INET ? sizeof(ep->in) : sizeof(ep->in6);
}

void endpoint_format(const union endpoint *ep, bool with_port, char out[static ENDPOINT_TEXT])
{
	char host[INET6_ADDRSTRLEN] = "-";
	bool v6 = ep->sa.sa_family == AF_INET6;

	if (v6)
		inet_ntop(AF_INET6, &ep->in6.sin6_addr, host, sizeof(host));
	else if (ep->sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &ep->in.sin_addr, host, sizeof(host));
	if (!with_port)
		snprintf(out, ENDPOINT_TEXT, "%s", host);
	else
		snprintf(out, ENDPOINT_TEXT, v6 ? "[%s]:%u" : "%s:%u", host,
			 (unsigned int)ntohs(v6 ? ep->in6.sin6_port : ep->in.sin_port));
}

int source_parse(const char *text, uint32_t max_clients, struct source *ret_src)
{
	struct source src = {};
	char host[ENDPOINT_TEXT];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned int width, bits;

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, &src.net.in.sin_addr) == 1)
		src.net.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, host, &src.net.in6.sin6_addr) == 1)
		src.net.sa.sa_family = AF_INET6;
	else
		return -EINVAL;
	width = src.net.sa.sa_family == AF_INET ? 32 : 128;
	src.prefix = width;
	if (slash) {
		char *end;

		src.prefix = (unsigned int)strtoul(slash + 1, &end, 10);
		if (*end || end == slash + 1 || src.prefix > width)
			return -EINVAL;
	}
	if (width == 128 && src.prefix < 64)
		width = 64; /* clients are /64s */
	bits = width - src.prefix;
	src.count = bits == 0 ? 1 : bits >= 31 ? UINT32_MAX / 2 : (1u << bits) - 1;
	if (bits > 1 && src.net.sa.sa_family == AF_INET)
		src.count--; /* no host has the broadcast address */
	if (src.count > max_clients)
		src.count = max_clients;
	*ret_src = src;
	return 0;
}

/* Adds to the big-endian number that ends before byte `end`. */
static void add_number(uint8_t *bytes, unsigned int end, uint32_t value)
{
	uint64_t carry = value;

	while (carry && end--) {
		carry += bytes[end];
		bytes[end] = (uint8_t)carry;
		carry >>= 8;
	}
}

void source_address(const struct source *src, uint32_t index, uint16_t port, union endpoint *ret)
{
	bool v6 = src->net.sa.sa_family == AF_INET6;
	unsigned int width = v6 ? 128 : 32;

	*ret = src->net;
	if (!v6) {
		ret->in.sin_port = htons(port);
		if (src->prefix < width)
			ret->in.sin_addr.s_addr = htonl(ntohl(ret->in.sin_addr.s_addr) + index + 1);
		return;
	}
	ret->in6.sin6_port = htons(port);
	if (src->prefix < 64) {
		add_number(ret->in6.sin6_addr.s6_addr, 8, index + 1);
		add_number(ret->in6.sin6_addr.s6_addr, 16, 1);
	} else if (src->prefix < width) {
		add_number(ret->in6.sin6_addr.s6_addr, 16, index + 1);
	}
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

uint64_t realtime_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

int raise_open_files(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
		return -errno;
	lim.rlim_cur = lim.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &lim) == 0 ? 0 : -errno;
}
