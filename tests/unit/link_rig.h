/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * link_rig.h - a network namespace with veth devices in the place of tunnels, and what the tests of
 * wg/link.h against the kernel share
 */
#pragma once

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "wg/link.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static bool isolated;

/* True when the shell command says so. */
static inline bool ok(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline bool ok(const char *format, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	return system(command) == 0;
}

static inline struct link_network network(const char *text)
{
	struct link_network n = {0};
	char host[64];
	unsigned int bits;
	uint16_t port;

	assert_int_equal(ip_parse_cidr(text, n.ip, &bits), 0);
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(text, "/"), text);
	assert_int_equal(ip_parse(host, n.ip, &port), 0);
	n.family = strchr(text, ':') ? 6 : 4;
	n.prefix = (uint8_t)(bits - (n.family == 4 ? 96 : 0));
	return n;
}

static inline struct link_route route(const char *to, uint32_t table, uint32_t metric)
{
	return (struct link_route){.to = network(to), .table = table, .metric = metric};
}

static inline void put_address(struct link *l, const char *text)
{
	struct link_network a = network(text);

	assert_int_equal(link_add_address(l, &a), 0);
}

/* Sends all, and wants no failure. */
static inline void send_all(const struct link_delta *d)
{
	size_t failed;
	char why[160], text[256];
	int err = link_send(d, 0, d->n, &failed, why, sizeof(why));

	if (err)
		fail_msg("%s: %s (%s)", link_step_text(d, &d->steps[failed], text, sizeof(text)),
			 strerror(-err), why);
}

/* From what is there to what is wanted, veth taken for WireGuard. */
static inline size_t apply(const struct link *want, uint32_t table)
{
	struct link have;
	struct link_delta d;
	size_t n;

	assert_int_equal(link_read(want->name, table, &have), 0);
	if (have.kind == LINK_OTHER && !strcmp(have.kind_name, "veth"))
		have.kind = want->kind;
	assert_int_equal(link_diff(want, &have, &d), 0);
	send_all(&d);
	n = d.n;
	link_delta_free(&d);
	link_free(&have);
	return n;
}

/* Nothing is left to do. */
static inline void want_no_step(const struct link *want, uint32_t table)
{
	struct link have;
	struct link_delta d;
	char text[256];

	assert_int_equal(link_read(want->name, table, &have), 0);
	have.kind = want->kind;
	assert_int_equal(link_diff(want, &have, &d), 0);
	if (d.n)
		fail_msg("%zu steps are left, first: %s", d.n,
			 link_step_text(&d, &d.steps[0], text, sizeof(text)));
	link_delta_free(&d);
	link_free(&have);
}

static inline int fresh_namespace(void **state)
{
	(void)state;
	isolated = geteuid() == 0 && !unshare(CLONE_NEWNET) && ok("ip link set lo up") &&
		   ok("ip link add hlink-a type veth peer name hlink-a2") &&
		   ok("ip link add hlink-b type veth peer name hlink-b2") &&
		   ok("for i in a a2 b b2; do ip link set hlink-$i up; done");
	return 0;
}

static inline void want_namespace(void)
{
	if (!isolated) {
		print_message("needs root and ip: no network namespace could be made\n");
		skip();
	}
}
