/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * latency.c - `shiftctl latency`: every tunnel and every backend, by every way that leads there
 *
 * A cell is one way to one target: a tunnel to its probe's address, by ICMP bound to its device; a
 * backend by the routing table, and once more through every tunnel whose routes hold its address,
 * by TCP to its port, because load balancers in clouds answer no ICMP. The limit is the tunnel's
 * max_rtt, or 50 ms. A port that refuses gives the round trip, and is marked. A cell without a
 * fresh answer is never shown as good, whatever it measured before.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/tunnel.h"
#include "userspace/cmd/verbs.h"
#include "userspace/net/dial.h"
#include "userspace/net/resolve.h"

#define MS	 1000000ull
#define SECOND	 (1000 * MS)
#define MAX_CELL 512
#define LIMIT	 (50 * MS) /* the runbook's, between clouds */
#define TIMEOUT	 SECOND

struct latency;

struct cell {
	struct latency *all;
	char way[CONF_NAME + 8]; /* "direct", "aws" */
	char device[16];	 /* "": the routing table */
	char name[CONF_NAME];	 /* of the target */
	uint32_t address[4];
	uint16_t port; /* 0: ICMP */
	uint64_t limit_ns;
	struct probe *probe;
	struct window window; /* of TCP */
	int fd;		      /* of the connection on its way, -1: none */
	uint64_t dialled_at;
	uint16_t seq;
	int trouble;	   /* −errno of the last attempt; 0: none */
	unsigned int left; /* probes to be sent */
	struct loop_timer timer;
};

struct latency {
	const struct options *o;
	struct loop *loop;
	struct cell *cell;
	unsigned int n;
	uint64_t interval_ns, limit_ns;
	bool watch;
	struct loop_timer redraw;
};

enum verdict { GOOD, SLOW, LOSSY, REFUSED, STALE, DEAD };

static const char *const verdicts[] = {"ok",	"above the limit", "loses", "nothing listens",
				       "stale", "no answer"};

static const struct window *window_of(const struct cell *c)
{
	return c->probe ? probe_window(c->probe) : &c->window;
}

static enum verdict judge(const struct cell *c, const struct window_stats *s, uint64_t now)
{
	const struct window *w = window_of(c);

	if (!w->answered)
		return DEAD;
	/* the first are asked and the last are waited for n ms apart */
	if (now > w->answered_at + 3 * c->all->interval_ns + TIMEOUT + c->all->n * MS)
		return STALE;
	if (c->trouble == -ECONNREFUSED)
		return REFUSED;
	if (s->p50_ns > c->limit_ns)
		return SLOW;
	return s->loss > 200 ? LOSSY : GOOD;
}

/* ---- probing ---- */

static void hang_up(struct cell *c)
{
	if (c->fd < 0)
		return;
	loop_unwatch(c->all->loop, c->fd);
	close(c->fd);
	c->fd = -1;
}

static void on_answer(void *arg, int fd, unsigned int ready)
{
	struct cell *c = arg;
	uint64_t now = loop_now(), rtt;
	struct probe_event e;
	int err;

	(void)ready;
	if (c->probe) {
		while (probe_read(c->probe, now, &e) > 0)
			c->trouble = 0;
		return;
	}
	err = dial_result(fd);
	if (err == -EINPROGRESS)
		return;
	c->trouble = err;
	if (!err || err == -ECONNREFUSED)
		window_answered(&c->window, c->seq, now, &rtt);
	hang_up(c);
}

static void dial(struct cell *c, uint64_t now)
{
	hang_up(c);
	c->dialled_at = now;
	c->fd = dial_begin(c->device, c->address, c->port);
	window_sent(&c->window, ++c->seq, now);
	if (c->fd < 0)
		c->trouble = c->fd;
	else if (loop_watch(c->all->loop, c->fd, LOOP_WRITE, on_answer, c))
		hang_up(c);
	if (c->fd < 0)
		c->fd = -1;
}

static void next_probe(void *arg, uint64_t now)
{
	struct cell *c = arg;

	if (c->probe)
		probe_expire(c->probe, now, TIMEOUT);
	else
		window_expire(&c->window, now, TIMEOUT);
	if (!c->left) {
		c->timer.at = 0;
		return;
	}
	if (!c->all->watch)
		c->left--;
	if (c->probe)
		c->trouble = probe_send(c->probe, now);
	else if (c->fd < 0 ||
		 now >= c->dialled_at + TIMEOUT) /* one that is on its way is waited for */
		dial(c, now);
	loop_timer_set(c->all->loop, &c->timer, now + c->all->interval_ns, next_probe, c);
}

/* ---- which cells ---- */

static struct cell *add(struct latency *l, const char *way, const char *device, const char *name,
			const uint32_t address[4], uint16_t port)
{
	struct cell *c = &l->cell[l->n];

	if (l->n == MAX_CELL)
		return NULL;
	l->n++;
	c->all = l;
	c->fd = -1;
	c->port = port;
	c->limit_ns = l->limit_ns ? l->limit_ns : LIMIT;
	snprintf(c->way, sizeof(c->way), "%s", way);
	snprintf(c->device, sizeof(c->device), "%s", device);
	snprintf(c->name, sizeof(c->name), "%s", name);
	memcpy(c->address, address, sizeof(c->address));
	return c;
}

static bool leads_to(const struct config *c, const struct watch *w, unsigned int tunnel,
		     const uint32_t address[4])
{
	for (unsigned int g = 0; g < w->n_groups; g++) {
		const struct conf_tunnel *head = &c->tunnels[w->group[g].group.member[0]];

		if (group_place(&w->group[g].group, tunnel) < 0)
			continue;
		for (unsigned int i = 0; i < head->n_routes; i++) {
			const struct conf_address *r = &head->routes[i];

			if (ip_family(address) == r->family &&
			    ip_in(address, r->ip, r->prefix + (r->family == 4 ? 96u : 0u)))
				return true;
		}
	}
	return false;
}

static void add_backend(struct latency *l, const struct tunnels *t, const struct conf_backend *b)
{
	struct resolved found = {.n = 1};

	memcpy(found.address[0], b->address.ip, sizeof(found.address[0]));
	if (b->host[0] && resolve_host(b->host, &found)) {
		say("backend %s: %s has no address now", b->name, b->host);
		return;
	}
	for (unsigned int i = 0; i < found.n; i++) {
		add(l, "direct", "", b->name, found.address[i], b->port);
		for (unsigned int k = 0; t->watch && k < t->watch->n; k++)
			if (leads_to(t->config, t->watch, k, found.address[i]))
				add(l, t->config->tunnels[k].name, t->watch->tunnel[k].interface,
				    b->name, found.address[i], b->port);
	}
}

static void add_all(struct latency *l, const struct tunnels *t)
{
	for (unsigned int i = 0; i < t->watch->n; i++) {
		const struct watch_tunnel *w = &t->watch->tunnel[i];
		struct cell *c;

		if (!w->conf->probe.given)
			continue;
		c = add(l, w->conf->name, w->interface, "its probe", w->conf->probe.address.ip, 0);
		if (!c)
			return;
		if (!l->limit_ns)
			c->limit_ns = w->rules.max_rtt_ns;
		c->trouble = probe_open(w->interface, c->address, &c->probe);
	}
	for (unsigned int i = 0; i < t->config->n_backends; i++)
		add_backend(l, t, &t->config->backends[i]);
}

/* ---- showing ---- */

static const char *span(uint64_t ns, bool known, char ret[24])
{
	if (known)
		snprintf(ret, 24, "%.1f", (double)ns / 1e6);
	else
		snprintf(ret, 24, "-");
	return ret;
}

static const char *target(const struct cell *c, char ret[64])
{
	return text_address(c->address, htons(c->port), ret);
}

static enum verdict show_cell(const struct cell *c, struct table *t, json_t *list, bool colour,
			      uint64_t now)
{
	const struct window *w = window_of(c);
	struct window_stats s;
	char p50[24], p95[24], jitter[24], to[64], age[32] = "-", text[96], loss[24] = "-";
	uint64_t since = w->answered ? now - w->answered_at : 0;
	enum verdict v;
	bool any;

	window_stats(w, &s);
	v = judge(c, &s, now);
	any = s.decided > s.lost;
	if (w->answered)
		text_duration(since, age);
	if (s.decided)
		snprintf(loss, sizeof(loss), "%.4g%%", (double)s.loss / 100);
	if (list) {
		json_array_append_new(
			list,
			json_pack(
				"{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:f, s:s, s:s?}",
				"way", c->way, "target", c->name, "address", target(c, to), "probe",
				c->port ? "tcp" : "icmp", "rtt_p50_ms",
				any ? json_real((double)s.p50_ns / 1e6) : json_null(), "rtt_p95_ms",
				any ? json_real((double)s.p95_ns / 1e6) : json_null(), "jitter_ms",
				any ? json_real((double)s.jitter_ns / 1e6) : json_null(), "loss",
				s.decided ? json_real((double)s.loss / 10000) : json_null(),
				"age_s", w->answered ? json_real((double)since / 1e9) : json_null(),
				"limit_ms", (double)c->limit_ns / 1e6, "verdict", verdicts[v],
				"error", c->trouble ? strerror(-c->trouble) : NULL));
		return v;
	}
	snprintf(text, sizeof(text), "%s%s%s", verdicts[v], c->trouble ? ": " : "",
		 c->trouble ? strerror(-c->trouble) : "");
	table_row(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.4g\t%s", c->way, c->name, target(c, to),
		  span(s.p50_ns, any, p50), span(s.p95_ns, any, p95),
		  span(s.jitter_ns, any, jitter), loss, age, (double)c->limit_ns / 1e6,
		  screen_paint(colour,
			       v == GOOD		 ? SCREEN_GREEN
			       : v == STALE		 ? SCREEN_DIM
			       : v == SLOW || v == LOSSY ? SCREEN_YELLOW
							 : SCREEN_RED,
			       text, (char[128]){0}, 128));
	return v;
}

static int show(struct latency *l)
{
	json_t *list = l->o->json ? json_array() : NULL;
	bool colour = use_colour(l->o);
	struct table t = {.dim = colour};
	uint64_t now = loop_now();
	int worst = 0, code;

	table_head(&t, "way|target|address|>p50 ms|>p95 ms|>jitter|>loss|>age|>limit|verdict");
	for (unsigned int i = 0; i < l->n; i++) {
		int v = show_cell(&l->cell[i], &t, list, colour, now);

		worst = v > worst ? v : worst;
	}
	code = worst == GOOD ? EXIT_OK : EXIT_FAILED;
	if (list)
		print_json(json_pack("{s:i, s:o}", "schema", 1, "cells", list));
	else
		table_print(&t, stdout);
	table_free(&t);
	return code;
}

static void redraw(void *arg, uint64_t now)
{
	struct latency *l = arg;

	if (!l->o->json && screen_columns())
		fputs("\033[H\033[J", stdout);
	show(l);
	if (fflush(stdout)) {
		loop_stop(l->loop, EXIT_FAILED);
		return;
	}
	loop_timer_set(l->loop, &l->redraw, now + SECOND, redraw, l);
}

static void finish(void *arg, uint64_t now)
{
	struct latency *l = arg;

	(void)now;
	for (unsigned int i = 0; i < l->n; i++) {
		if (l->cell[i].probe)
			probe_expire(l->cell[i].probe, now, TIMEOUT);
		else
			window_expire(&l->cell[i].window, now, TIMEOUT);
	}
	loop_stop(l->loop, show(l));
}

static void on_signal(void *arg, int number)
{
	(void)number;
	loop_stop(((struct latency *)arg)->loop, EXIT_OK);
}

/* ---- the verb ---- */

static int run(struct latency *l, unsigned int count)
{
	uint64_t now = loop_now();
	int code;

	for (unsigned int i = 0; i < l->n; i++) {
		struct cell *c = &l->cell[i];

		c->left = count;
		if (!c->port && !c->probe)
			continue;
		if (c->probe)
			loop_watch(l->loop, probe_fd(c->probe), LOOP_READ, on_answer, c);
		/* not all in the same instant */
		loop_timer_set(l->loop, &c->timer, now + i * MS, next_probe, c);
	}
	if (l->watch)
		loop_timer_set(l->loop, &l->redraw, now + SECOND, redraw, l);
	else
		loop_timer_set(l->loop, &l->redraw,
			       now + count * l->interval_ns + TIMEOUT + l->n * MS, finish, l);
	loop_signal(l->loop, SIGINT, on_signal, l);
	loop_signal(l->loop, SIGTERM, on_signal, l);
	code = loop_run(l->loop);
	for (unsigned int i = 0; i < l->n; i++) {
		hang_up(&l->cell[i]);
		probe_close(l->cell[i].probe);
	}
	return code < 0 ? EXIT_FAILED : code;
}

static int take(const struct options *o, int argc, char **argv, struct latency *l,
		unsigned int *count)
{
	static const char *const flags[] = {"--watch", "--count=", "--limit=", NULL};
	const char *value;
	char *end;
	int at = 1, found;

	l->o = o;
	*count = 10;
	while ((found = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (found == -3)
			return EXIT_USAGE;
		if (found == 0)
			l->watch = true;
		if (found == 1)
			*count = (unsigned int)strtoul(value, &end, 10);
		if (found == 1 && (*end || !*count || *count > 60))
			return usage_error("--count=%s: must be 1..60", value);
		if (found == 2 && (text_parse_duration(value, &l->limit_ns) || !l->limit_ns))
			return usage_error("--limit=%s: must be a duration such as 50ms", value);
		if (found == -1)
			return usage_error("latency: '%s'? It takes no argument", value);
	}
	l->interval_ns = l->watch ? SECOND : 200 * MS;
	return EXIT_OK;
}

int cmd_latency(const struct options *o, int argc, char **argv)
{
	struct latency l = {0};
	struct tunnels t;
	unsigned int count;
	int code = take(o, argc, argv, &l, &count);

	if (!code)
		code = tunnels_load(o, &t, EXIT_USAGE);
	if (code)
		return code;
	l.cell = calloc(MAX_CELL, sizeof(*l.cell));
	if (l.cell && !loop_make(&l.loop)) {
		add_all(&l, &t);
		code = l.n ? run(&l, count) : EXIT_OK;
		if (!l.n)
			say("there is nothing to measure: no backend has an address");
	} else {
		say("latency: %s", strerror(ENOMEM));
		code = EXIT_FAILED;
	}
	loop_free(l.loop);
	free(l.cell);
	tunnels_close(&t);
	return code;
}
