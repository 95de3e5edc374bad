/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * probe_rig.h - probes on real sockets: this process's own network namespace (HERE), a router and
 * the host that is probed, in namespaces without a name, so that they end with the process
 *
 *   HERE a0 198.18.1.1 ---- .2 r0 HOP r1 198.18.2.1 ---- .2 b0 PEER    (and 2001:db8:1::, :2::)
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "wg/probe.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define MS	 UINT64_C(1000000)
#define S	 (1000 * MS)

enum { HERE, HOP, PEER };

static int ns[3] = {-1, -1, -1};
static const char *why_not; /* NULL: there are namespaces */

/* Each test runs for both. */
static const char *const peers[] = {"198.18.2.2", "2001:db8:2::2"};

static inline uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

static inline void enter(int which)
{
	assert_int_equal(setns(ns[which], CLONE_NEWNET), 0);
}

static inline int run(int which, const char *command)
{
	int code;

	enter(which);
	code = system(command);
	enter(HERE);
	return code;
}

#define MUST(which, command) assert_int_equal(run(which, command), 0)

static const char build[] =
	"set -e; a=/proc/$PPID/fd/%d r=/proc/$PPID/fd/%d b=/proc/$PPID/fd/%d;"
	"ip link add a0 type veth peer name r0 netns $r;"
	"ip addr add 198.18.1.1/24 dev a0; ip addr add 2001:db8:1::1/64 dev a0 nodad;"
	"ip addr add fe80::a/64 dev a0 nodad; ip link set a0 up;"
	"ip route add 198.18.2.0/24 via 198.18.1.2; ip route add 2001:db8:2::/64 via 2001:db8:1::2";

static inline void build_here(void)
{
	char command[1024];

	snprintf(command, sizeof(command), build, ns[HERE], ns[HOP], ns[PEER]);
	MUST(HERE, command);
	MUST(HOP, "ip addr add 198.18.1.2/24 dev r0; ip addr add 2001:db8:1::2/64 dev r0 nodad;"
		  "ip addr add fe80::b/64 dev r0 nodad; ip link set r0 up");
}

static inline int set_up(void **state)
{
	static const char quiet[] = "sysctl -qw net.ipv6.conf.all.accept_dad=0 "
				    "net.ipv6.conf.default.accept_dad=0; ip link set lo up";
	char command[256];

	(void)state;
	if (geteuid()) {
		why_not = "needs root";
		return 0;
	}
	for (int i = 0; i < 3; i++) {
		if (unshare(CLONE_NEWNET)) {
			why_not = "cannot make a network namespace";
			return 0;
		}
		ns[i] = open("/proc/self/ns/net", O_RDONLY);
		assert_true(ns[i] >= 0);
		assert_int_equal(system(quiet), 0);
	}
	enter(HERE);
	build_here();
	snprintf(command, sizeof(command),
		 "ip link add r1 type veth peer name b0 netns /proc/$PPID/fd/%d", ns[PEER]);
	MUST(HOP, command);
	MUST(HOP,
	     "ip addr add 198.18.2.1/24 dev r1; ip addr add 2001:db8:2::1/64 dev r1 nodad;"
	     "ip link set r1 up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
	MUST(PEER, "ip addr add 198.18.2.2/24 dev b0; ip addr add 2001:db8:2::2/64 dev b0 nodad;"
		   "ip link set b0 up; ip route add default via 198.18.2.1;"
		   "ip route add default via 2001:db8:2::1");
	return 0;
}

/* What a test that failed may have left. */
static inline int restore(void **state)
{
	(void)state;
	if (why_not)
		return 0;
	if (run(HERE, "ip link show a0 >/dev/null 2>&1"))
		build_here();
	run(HERE, "nft delete table inet l 2>/dev/null");
	run(HOP, "nft delete table inet t 2>/dev/null; ip link set r1 mtu 1500");
	run(PEER, "ip link set b0 mtu 1500 up; sysctl -qw net.ipv4.icmp_echo_ignore_all=0 "
		  "net.ipv6.icmp.echo_ignore_all=0");
	return 0;
}

static inline void need_namespaces(void)
{
	if (!why_not)
		return;
	print_message("skipped: %s\n", why_not);
	skip();
}

static inline struct probe *open_to(const char *text)
{
	uint32_t address[4];
	struct probe *p = NULL;
	uint16_t port;

	assert_int_equal(ip_parse(text, address, &port), 0);
	assert_int_equal(probe_open("a0", address, &p), 0);
	return p;
}

/* Waits up to `ms` for an event that counts. */
static inline int wait_event(struct probe *p, unsigned int ms, struct probe_event *e)
{
	uint64_t end = now() + ms * MS;

	for (;;) {
		struct pollfd fd = {.fd = probe_fd(p), .events = POLLIN};
		int n = probe_read(p, now(), e);

		if (n || now() >= end)
			return n;
		poll(&fd, 1, (int)((end - now()) / MS + 1));
	}
}

/* The kernel has to find the neighbours' addresses first. */
static inline void warm(struct probe *p)
{
	struct probe_event e;

	for (int i = 0; i < 10; i++) {
		if (probe_send(p, now()) || wait_event(p, 1000, &e) != 1)
			continue;
		/* and those before it, which waited for the neighbour too */
		while (i-- > 0)
			wait_event(p, 500, &e);
		return;
	}
	fail_msg("no answer at all");
}

/* The checksum of an ICMP message. */
static inline void sum(uint8_t *icmp, size_t n)
{
	uint32_t total = 0;

	icmp[2] = icmp[3] = 0;
	for (size_t i = 0; i + 1 < n; i += 2)
		total += (uint32_t)icmp[i] << 8 | icmp[i + 1];
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	icmp[2] = (uint8_t)(~total >> 8);
	icmp[3] = (uint8_t)~total;
}
