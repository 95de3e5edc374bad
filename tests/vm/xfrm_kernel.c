/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xfrm_kernel.c - static tunnels by hand, for tests/vm/xfrm
 *
 *   xfrm_kernel keys FILE A B COUNT SEND-AFTER SPACING
 *   xfrm_kernel step NAME KEYS STATE-DIR IF-ID LIFETIME OVERLAP [NOW | dry]
 *   xfrm_kernel watch … SECONDS         a step each second, with a memory; prints what changed
 *   xfrm_kernel list IF-ID              SPI and packets of the SAs
 *   xfrm_kernel count IF-ID             of the policies
 *   xfrm_kernel events SECONDS
 *   xfrm_kernel down IF-ID
 *   xfrm_kernel echo                    sends datagrams to UDP port 7777 back, until it is killed
 *   xfrm_kernel talk ADDRESS COUNT INTERVAL-US SIZE: that many there and back; how many were lost
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/conf/config.h"
#include "wg/fixed.h"
#include "wg/keyfile.h"
#include "wg/xfrm.h"

static char why[512];

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

static int end(int err)
{
	if (err < 0)
		fprintf(stderr, "xfrm_kernel: %s: %s\n", strerror(-err), why);
	return err < 0;
}

static int make_keys(char *v[])
{
	uint32_t a[4], b[4];
	uint16_t port;

	if (ip_parse(v[1], a, &port) || ip_parse(v[2], b, &port))
		return -EINVAL;
	return keyfile_extend(v[0], a, b, 32, (unsigned int)number(v[3]), number(v[4]),
			      number(v[5]), why, sizeof(why));
}

static int step(char *v[], uint64_t now, bool dry, struct rekey_memory *m, bool loud)
{
	struct conf_tunnel *t = calloc(1, sizeof(*t));
	struct fixed_report r = {0};
	int err;

	if (!t)
		return -ENOMEM;
	snprintf(t->name, sizeof(t->name), "%s", v[0]);
	snprintf(t->fixed.key_file, sizeof(t->fixed.key_file), "%s", v[1]);
	t->fixed.cipher = CONF_AES256_CBC;
	t->fixed.lifetime_ms = number(v[4]) * 1000;
	t->fixed.overlap_ms = number(v[5]) * 1000;
	err = fixed_step(t, (uint32_t)number(v[3]), v[2], now, dry, m, &r, why, sizeof(why));
	if (loud || r.changed)
		printf("sending %" PRIu32 " spare %u receiving %u policies %d worn %d: %s\n",
		       r.sending, r.spare, r.receiving, r.policies, r.worn, r.done);
	fflush(stdout);
	free(t);
	return err;
}

static int watch(char *v[])
{
	struct rekey_memory m = {0};
	int err = 0;

	for (uint64_t i = number(v[6]); i; i--) {
		err = step(v, (uint64_t)time(NULL), false, &m, false);
		sleep(1);
	}
	return err;
}

static int list(uint32_t if_id)
{
	struct xfrm_sa *sa = NULL;
	size_t n = 0;
	int err = xfrm_sa_list(if_id, &sa, &n);

	for (size_t i = 0; i < n; i++)
		printf("0x%08x %s %" PRIu64 " %" PRIu64 " replay %" PRIu64 " failed %" PRIu64 "\n",
		       sa[i].spi, sa[i].cipher, sa[i].packets, sa[i].bytes, sa[i].replayed,
		       sa[i].failed);
	free(sa);
	return err;
}

static int events(uint64_t seconds)
{
	uint64_t until = (uint64_t)time(NULL) + seconds;
	struct pollfd p = {.fd = xfrm_events_open(), .events = POLLIN};
	struct xfrm_event e;

	if (p.fd < 0)
		return p.fd;
	puts("ready");
	fflush(stdout);
	while ((uint64_t)time(NULL) < until) {
		if (poll(&p, 1, 200) <= 0)
			continue;
		while (xfrm_events_read(p.fd, &e) == 1) {
			char to[64];

			printf("event %#x spi 0x%08x if_id %u reqid %#x to %s hard %d\n", e.type,
			       e.spi, e.if_id, e.reqid, text_address(e.dst, 0, to), e.hard);
			fflush(stdout);
		}
	}
	close(p.fd);
	return 0;
}

static int bound(uint16_t port)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int s = socket(AF_INET6, SOCK_DGRAM, 0), room = 4 << 20, off = 0;

	setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return bind(s, (struct sockaddr *)&to, sizeof(to)) ? -errno : s;
}

static int echo(void)
{
	int s = bound(7777);
	char data[2048];

	if (s < 0)
		return s;
	for (;;) {
		struct sockaddr_storage from;
		socklen_t length = sizeof(from);
		ssize_t n = recvfrom(s, data, sizeof(data), 0, (struct sockaddr *)&from, &length);

		if (n > 0)
			sendto(s, data, (size_t)n, 0, (struct sockaddr *)&from, length);
	}
}

static unsigned int drain(int s, int wait_ms)
{
	struct pollfd p = {.fd = s, .events = POLLIN};
	unsigned int n = 0;
	char data[2048];

	while (poll(&p, 1, wait_ms) > 0)
		n += recv(s, data, sizeof(data), 0) > 0;
	return n;
}

static int talk(char *v[])
{
	uint64_t count = number(v[1]), size = number(v[3]), sent = 0, got = 0;
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(7777)};
	char data[2048] = {0};
	uint32_t ip[4];
	uint16_t port;
	int s;

	if (ip_parse(v[0], ip, &port) || size > sizeof(data))
		return -EINVAL;
	memcpy(&to.sin6_addr, ip, 16); /* v4-mapped is just what such a socket takes */
	s = bound(0);
	for (uint64_t i = 0; i < count; i++) {
		sent++;
		sendto(s, data, size, 0, (struct sockaddr *)&to, sizeof(to));
		usleep((useconds_t)number(v[2]));
		got += drain(s, 0);
	}
	got += drain(s, 1500);
	printf("%" PRIu64 " sent, %" PRIu64 " lost\n", sent, sent - got);
	close(s);
	return 0;
}

int main(int argc, char *argv[])
{
	const char *verb = argc > 1 ? argv[1] : "";
	char **v = argv + 2;
	uint64_t now = (uint64_t)time(NULL);

	if (!strcmp(verb, "keys") && argc == 8)
		return end(make_keys(v));
	if (!strcmp(verb, "step") && (argc == 8 || argc == 9)) {
		bool dry = argc == 9 && !strcmp(v[6], "dry");

		return end(step(v, argc == 9 && !dry ? number(v[6]) : now, dry, NULL, true));
	}
	if (!strcmp(verb, "watch") && argc == 9)
		return end(watch(v));
	if (!strcmp(verb, "list") && argc == 3)
		return end(list((uint32_t)number(v[0])));
	if (!strcmp(verb, "count") && argc == 3) {
		int n = xfrm_policy_count((uint32_t)number(v[0]));

		printf("%d\n", n);
		return n < 0;
	}
	if (!strcmp(verb, "echo"))
		return end(echo());
	if (!strcmp(verb, "talk") && argc == 6)
		return end(talk(v));
	if (!strcmp(verb, "stat")) {
		char text[512];
		int n = xfrm_stat(text, sizeof(text));

		printf("%s\n", n > 0 ? text : "");
		return n < 0;
	}
	if (!strcmp(verb, "events") && argc == 3)
		return end(events(number(v[0])));
	if (!strcmp(verb, "down") && argc == 3)
		return end(fixed_down((uint32_t)number(v[0]), why, sizeof(why)));
	fputs("usage: see the head of xfrm_kernel.c\n", stderr);
	return 2;
}
