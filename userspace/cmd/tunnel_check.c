/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnel_check.c - `tunnel check`: for cron and monitoring, with or without shiftd
 *
 * A burst of probes through every tunnel, a look at the kernel, the verdict of the same machines as
 * shiftd's, one line. With
 * --fix the routes fail over and back by these, with their state on disk between two runs; while
 * shiftd runs, that is its business.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/loop.h"
#include "userspace/cmd/tunnel.h"
#include "userspace/cmd/tunnel_report.h"
#include "wg/burst.h"

#define SECOND 1000000000ull
#define LIMIT  (5 * SECOND)
#define MTU_LIMIT                                                                                  \
	(25 * SECOND) /* only a hole takes that long; two round trips when there is none */
#define MTU_AGAIN (600 * SECOND) /* a hole that was found is not measured anew each minute */

/* ---- probing ---- */

struct burst_of {
	struct tunnels *t;
	unsigned int tunnel[CONF_MAX_TUNNELS]; /* of each probe */
};

static void count(unsigned int index, bool answered, uint64_t rtt_ns, void *arg)
{
	struct burst_of *b = arg;
	unsigned int i = b->tunnel[index];

	(void)rtt_ns;
	if (b->t->probes[i] < 64)
		b->t->answered[i] |= (uint64_t)answered << b->t->probes[i]++;
}

/* Time enough for `fall` losses in a row, in a few seconds, whatever the interval of shiftd is. */
void tunnels_probe(struct tunnels *t, unsigned int probes)
{
	struct probe *list[CONF_MAX_TUNNELS];
	struct burst_rules r = {.timeout_ns = SECOND, .limit_ns = LIMIT, .interval_ns = SECOND};
	struct burst_of b = {.t = t};
	unsigned int n = 0, least = 5;

	for (unsigned int i = 0; i < t->watch->n; i++) {
		struct watch_tunnel *w = &t->watch->tunnel[i];

		if (!t->chosen[i] || !watch_open_probe(w))
			continue;
		list[n] = w->probe;
		b.tunnel[n++] = i;
		if (w->rules.interval_ns < r.interval_ns)
			r.interval_ns = w->rules.interval_ns;
		if (w->rules.fall + w->rules.rise > least)
			least = w->rules.fall + w->rules.rise;
	}
	r.count = probes ? probes : least > 20 ? 20 : least;
	if (r.count > 64)
		r.count = 64;
	if (r.count * r.interval_ns > LIMIT - SECOND)
		r.interval_ns = (LIMIT - SECOND) / r.count;
	if (n)
		burst_run(list, &r, n, count, &b);
}

static void find_mtu(struct watch_tunnel *w, unsigned int answered)
{
	uint32_t floor = w->conf->probe.address.family == 4 ? 576 : 1280, found = 0;

	if (!w->probe || !w->conf->probe.mtu || !answered || w->mtu < floor)
		return;
	if (w->mtu_found && w->mtu_found < w->mtu && loop_now() < w->mtu_at + MTU_AGAIN)
		return;
	if (!probe_mtu(w->probe, floor, w->mtu, MTU_LIMIT, &found) && found) {
		w->mtu_found = found;
		w->mtu_at = loop_now();
	}
}

void tunnels_look(struct tunnels *t)
{
	for (unsigned int i = 0; i < t->watch->n; i++) {
		for (unsigned int k = 0; k < t->probes[i]; k++)
			watch_probe(t->watch, i, t->answered[i] >> k & 1, loop_now());
		watch_look(t->watch, i, loop_now());
		if (t->chosen[i])
			watch_judge(t->watch, i, loop_now());
	}
}

/* ---- the verb ---- */

struct check {
	bool fix;
	unsigned int count;
	const char *textfile;
};

static void on_change(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static int run(struct tunnels *t, const struct options *o, const struct check *k)
{
	bool daemon = watch_daemon_runs(t->dir);
	int code;

	if (geteuid())
		return tunnel_report_unknown(o, "must be root: tunnels are not told to others");
	code = tunnels_begin(t);
	if (code)
		return tunnel_report_unknown(o, "the state on disk cannot be had");
	tunnels_end(t, false); /* what was found last; nobody waits for the probes */
	tunnels_probe(t, k->count);
	for (unsigned int i = 0; i < t->watch->n; i++) {
		watch_look(t->watch, i, loop_now());
		if (t->chosen[i])
			find_mtu(&t->watch->tunnel[i], t->answered[i] != 0);
	}
	if (k->fix && !daemon)
		t->watch->say = on_change;
	code = tunnels_begin(t);
	if (code)
		return tunnel_report_unknown(o, "the state on disk cannot be had");
	tunnels_look(t);
	if (k->fix && !daemon)
		for (unsigned int i = 0; i < t->watch->n; i++)
			watch_repair(t->watch, i, loop_now(), 8 * SECOND);
	watch_switch(t->watch, k->fix && !daemon, loop_now());
	code = tunnel_report(t, o, daemon);
	tunnels_end(t, !daemon);
	if (k->textfile) {
		int err = tunnel_textfile(t, k->textfile);

		if (err)
			say("%s: %s", k->textfile, strerror(-err));
		if (err && !code)
			code = 3;
	}
	return code;
}

static int take_count(const char *value, unsigned int *ret)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*end || !n || n > 64) {
		usage_error("--count=%s: must be 1..64", value);
		return 3;
	}
	*ret = (unsigned int)n;
	return 0;
}

int tunnel_check(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--fix", "--textfile=", "--count=", NULL};
	struct check k = {0};
	char *names[CONF_MAX_TUNNELS];
	unsigned int n = 0;
	struct tunnels t;
	const char *value;
	int at = 1, code, found;

	while ((found = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (found == -3)
			return 3;
		if (found == 0)
			k.fix = true;
		else if (found == 1)
			k.textfile = value;
		else if (found == 2 && take_count(value, &k.count))
			return 3;
		else if (found == -1 && n < CONF_MAX_TUNNELS)
			names[n++] = (char *)value;
	}
	code = tunnels_open(o, &t, 3);
	if (code)
		return tunnel_report_unknown(o, "the configuration cannot be used");
	code = tunnels_choose(&t, names, n, 3);
	if (code)
		code = tunnel_report_unknown(o, "there is no such tunnel");
	else
		code = run(&t, o, &k);
	tunnels_close(&t);
	return code;
}
