/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/ip.h"

#define NS_PER_S 1000000000ull

int text_parse_weight(const char *text)
{
	int whole = 0, cents = 0, digits = 0;
	const char *c = text;

	while (isdigit((unsigned char)*c) && digits < 4) {
		whole = whole * 10 + *c++ - '0';
		digits++;
	}
	if (!digits)
		return -EINVAL;
	if (*c == '.') {
		c++;
		if (!isdigit((unsigned char)*c))
			return -EINVAL;
		cents = (*c++ - '0') * 10;
		if (isdigit((unsigned char)*c))
			cents += *c++ - '0';
	}
	if (*c == '%')
		c++;
	whole = whole * 100 + cents;
	return *c || whole > 10000 ? -EINVAL : whole;
}

const char *text_weight(uint32_t weight, char ret[16])
{
	int n = snprintf(ret, 16, "%u.%02u", weight / 100 % 1000, weight % 100);

	while (n > 0 && ret[n - 1] == '0')
		ret[--n] = '\0';
	if (n > 0 && ret[n - 1] == '.')
		ret[--n] = '\0';
	return ret;
}

/* The unit that `*text` begins with, in ns; moves past it. 0: there is none. */
static uint64_t unit_of(const char **text)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {{"ms", NS_PER_S / 1000},
		     {"s", NS_PER_S},
		     {"m", 60 * NS_PER_S},
		     {"h", 3600 * NS_PER_S}};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		size_t n = strlen(units[i].name);

		if (!strncmp(*text, units[i].name, n)) {
			*text += n;
			return units[i].ns;
		}
	}
	return 0;
}

int text_parse_duration(const char *text, uint64_t *ret_ns)
{
	uint64_t total = 0;

	if (!*text)
		return -EINVAL;
	while (*text) {
		uint64_t n = 0, unit;

		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		while (isdigit((unsigned char)*text)) {
			n = n * 10 + (uint64_t)(*text++ - '0');
			if (n > 1000000000)
				return -EINVAL;
		}
		unit = unit_of(&text);
		if (!unit || __builtin_mul_overflow(n, unit, &n) ||
		    __builtin_add_overflow(total, n, &total))
			return -EINVAL;
	}
	*ret_ns = total;
	return 0;
}

const char *text_duration(uint64_t ns, char ret[32])
{
	unsigned long long s = ns / NS_PER_S;

	if (s < 10)
		snprintf(ret, 32, "%llu.%llus", s, (unsigned long long)(ns / (NS_PER_S / 10) % 10));
	else if (s < 60)
		snprintf(ret, 32, "%llus", s);
	else if (s < 3600)
		snprintf(ret, 32, "%llum%02llus", s / 60, s % 60);
	else
		snprintf(ret, 32, "%lluh%02llum", s / 3600, s / 60 % 60);
	return ret;
}

const char *text_time(uint64_t real_ns, char ret[32])
{
	time_t t = (time_t)(real_ns / NS_PER_S);
	struct tm tm;

	strftime(ret, 32, "%Y-%m-%d %H:%M:%S", localtime_r(&t, &tm));
	return ret;
}

const char *text_count(uint64_t n, char ret[32])
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), at = 0;

	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			ret[at++] = ',';
		ret[at++] = digits[i];
	}
	ret[at] = '\0';
	return ret;
}

const char *text_address(const uint32_t address[4], uint16_t port, char ret[64])
{
	bool v4 = ip_is_v4(address);
	char host[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &address[3] : address, host, sizeof(host));
	if (!port)
		snprintf(ret, 64, "%s", host);
	else
		snprintf(ret, 64, v4 ? "%s:%u" : "[%s]:%u", host, ntohs(port));
	return ret;
}

const char *text_network(const uint32_t address[4], unsigned int bits, char ret[64])
{
	bool v4 = ip_is_v4(address) && bits >= 96;
	char host[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &address[3] : address, host, sizeof(host));
	snprintf(ret, 64, "%s/%u", host, v4 ? bits - 96 : bits);
	return ret;
}
