/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "userspace/base/ip.h"

#define LISTEN	  0x0a /* TCP_LISTEN of net/tcp_states.h */
#define SECONDS	  2
#define LOOK_TIME 1024 /* lines between two looks at the clock */

struct search {
	uint16_t lo, hi;
	const uint32_t (*towards)[4];
	unsigned int n;
	struct timespec until;
	struct sockets *ret;
};

static bool late(const struct search *s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > s->until.tv_sec ||
	       (now.tv_sec == s->until.tv_sec && now.tv_nsec > s->until.tv_nsec);
}

/* "0A0200C0" or 32 such digits: words as they lie in memory. */
static void parse_address(const char *text, uint32_t ret[4])
{
	uint32_t v4;

	if (strlen(text) == 8 && sscanf(text, "%8x", &v4) == 1)
		ip_map(v4, ret);
	else if (sscanf(text, "%8x%8x%8x%8x", &ret[0], &ret[1], &ret[2], &ret[3]) != 4)
		memset(ret, 0, 16);
}

static bool is_wanted(const struct search *s, const char *remote)
{
	uint32_t ip[4];

	parse_address(remote, ip);
	for (unsigned int i = 0; i < s->n; i++)
		if (!memcmp(ip, s->towards[i], sizeof(ip)))
			return true;
	return false;
}

static void keep_port(struct sockets *r, uint16_t port)
{
	for (unsigned int i = 0; i < r->n_ports; i++)
		if (r->port[i] == port)
			return;
	if (r->n_ports < SOCKETS_PORTS)
		r->port[r->n_ports++] = port;
}

static void one_line(struct search *s, const char *line, bool udp)
{
	unsigned int port, state;
	char remote[33];

	if (sscanf(line, " %*d: %*32[0-9A-F]:%x %32[0-9A-F]:%*x %x", &port, remote, &state) != 3 ||
	    port < s->lo || port > s->hi)
		return;
	if (udp) {
		s->ret->udp++;
		keep_port(s->ret, (uint16_t)port);
	} else if (state == LISTEN) {
		s->ret->listening++;
		keep_port(s->ret, (uint16_t)port);
	} else if (is_wanted(s, remote)) {
		s->ret->towards++;
	}
}

static int one_file(struct search *s, const char *path, bool udp)
{
	FILE *f = fopen(path, "re");
	char line[512];

	if (!f)
		return -errno;
	for (unsigned int n = 1; !s->ret->cut && fgets(line, sizeof(line), f); n++) {
		one_line(s, line, udp);
		if (n % LOOK_TIME == 0)
			s->ret->cut = late(s);
	}
	fclose(f);
	return 0;
}

int sockets_in_range(uint16_t lo, uint16_t hi, const uint32_t (*towards)[4], unsigned int n,
		     struct sockets *ret)
{
	struct search s = {lo, hi, towards, n, {0, 0}, ret};
	int err;

	memset(ret, 0, sizeof(*ret));
	clock_gettime(CLOCK_MONOTONIC, &s.until);
	s.until.tv_sec += SECONDS;
	err = one_file(&s, "/proc/net/tcp", false);
	/* A host without IPv6 has no such files. */
	one_file(&s, "/proc/net/tcp6", false);
	one_file(&s, "/proc/net/udp", true);
	one_file(&s, "/proc/net/udp6", true);
	return err;
}
