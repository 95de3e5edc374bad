/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * top.c - `top`: who still arrives at the old arm, by network
 *
 * The program counts each connection that it leaves to the old host, under the client's /24 or /48;
 * after the DNS records have changed this is who has not noticed yet. Shares are of what is listed:
 * the kernel keeps the networks that were seen last.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/status.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/arrivals.h"

#define DEFAULT_LIMIT 20 /* on the screen; JSON has them all */
#define MARGIN	      3	 /* lines of a watched screen that are not networks */

/* One look at the table. */
struct look {
	struct arrival *list; /* by connections */
	struct arrival *by_address;
	size_t n;
	uint64_t total;
	uint64_t at; /* CLOCK_MONOTONIC */
};

enum order { BY_CONNECTIONS, BY_RATE, BY_RECENT, ORDERS };
static const char *const orders[] = {"connections", "rate", "recent"};

struct top {
	const struct options *o;
	bool watch, reset, force;
	enum order order;
	size_t limit; /* 0: none */
	char service[SHIFT_NAME + 1];
	struct look look[2];
	int now;
};

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int order_address(const void *x, const void *y)
{
	const struct arrival *a = x, *b = y;

	return memcmp(a->address, b->address, sizeof(a->address));
}

static void forget(struct look *l)
{
	free(l->list);
	free(l->by_address);
	memset(l, 0, sizeof(*l));
}

static int take(const struct plane *p, int id, struct look *l)
{
	int err;

	forget(l);
	err = arrivals_list(p, id, &l->list, &l->n);
	if (err)
		return err;
	l->at = monotonic_ns();
	l->by_address = calloc(l->n + 1, sizeof(*l->by_address));
	if (!l->by_address)
		return -ENOMEM;
	memcpy(l->by_address, l->list, l->n * sizeof(*l->list));
	qsort(l->by_address, l->n, sizeof(*l->by_address), order_address);
	for (size_t i = 0; i < l->n; i++)
		l->total += l->list[i].connections;
	return 0;
}

/* Connections a second since the look before; below 0: there was none. One that was not there, or
 * counts from the start again, came since. */
static double rate_of(const struct top *k, const struct arrival *a)
{
	const struct look *was = &k->look[!k->now], *is = &k->look[k->now];
	const struct arrival *before;
	double seconds = (double)(is->at - was->at) / 1e9;
	uint64_t then;

	if (!was->at || seconds < 0.01)
		return -1;
	before = was->n ? bsearch(a, was->by_address, was->n, sizeof(*a), order_address) : NULL;
	then = before && before->connections <= a->connections ? before->connections : 0;
	return (double)(a->connections - then) / seconds;
}

static const struct top *sorting; /* qsort has no argument */

static int order_asked(const void *x, const void *y)
{
	const struct arrival *a = x, *b = y;
	double one, other;

	if (sorting->order == BY_RATE) {
		one = rate_of(sorting, a);
		other = rate_of(sorting, b);
		if (one < other || other < one)
			return one > other ? -1 : 1;
	}
	if (sorting->order == BY_RECENT && a->last_ns != b->last_ns)
		return a->last_ns > b->last_ns ? -1 : 1;
	if (a->connections != b->connections)
		return a->connections > b->connections ? -1 : 1;
	return order_address(x, y);
}

static void sort(const struct top *k)
{
	const struct look *l = &k->look[k->now];

	sorting = k;
	if (k->order != BY_CONNECTIONS)
		qsort(l->list, l->n, sizeof(*l->list), order_asked);
}

static double share_of(const struct look *l, const struct arrival *a)
{
	return l->total ? (double)a->connections / (double)l->total : 0;
}

static uint64_t since(const struct look *l, const struct arrival *a)
{
	return l->at > a->last_ns ? l->at - a->last_ns : 0;
}

static size_t shown(const struct top *k, const struct look *l)
{
	unsigned int rows = k->watch ? screen_rows() : 0;
	size_t n = k->limit && k->limit < l->n ? k->limit : l->n;

	if (rows > MARGIN && n > rows - MARGIN)
		n = rows - MARGIN;
	return n;
}

static void print_table(const struct top *k, FILE *to)
{
	const struct look *l = &k->look[k->now];
	size_t n = shown(k, l);
	struct table t = {.dim = use_colour(k->o)};
	bool rates = k->watch || k->order == BY_RATE;
	char a[32], b[32], name[96];

	screen_paint(use_colour(k->o), SCREEN_BOLD, k->service, name, sizeof(name));
	fprintf(to, "%s   %s connection%s arrived at the old arm, from %s network%s\n", name,
		text_count(l->total, a), l->total == 1 ? "" : "s", text_count(l->n, b),
		l->n == 1 ? "" : "s");
	table_head(&t, rates ? "network|>connections|>share|>per s|>last seen"
			     : "network|>connections|>share|>last seen");
	for (size_t i = 0; i < n; i++) {
		const struct arrival *e = &l->list[i];
		double rate = rate_of(k, e);
		char network[64], per_s[24] = "", ago[32];

		if (rates && rate >= 0)
			snprintf(per_s, sizeof(per_s), "%.1f", rate);
		text_duration(since(l, e), ago);
		table_row(&t, "%s\t%s\t%.1f%%%s%s\t%s ago",
			  text_network(e->address, e->bits, network), text_count(e->connections, a),
			  share_of(l, e) * 100, rates ? "\t" : "", per_s, ago);
	}
	if (n)
		table_print(&t, to);
	table_free(&t);
	if (l->n > n && k->watch)
		fprintf(to, "%s more\n", text_count(l->n - n, a));
}

static void print_list_json(const struct top *k, FILE *to)
{
	const struct look *l = &k->look[k->now];
	size_t n = k->limit && k->limit < l->n ? k->limit : l->n;
	json_t *list = json_array(), *j;

	for (size_t i = 0; i < n; i++) {
		const struct arrival *e = &l->list[i];
		double rate = rate_of(k, e);
		char network[64];

		json_array_append_new(list, json_pack("{s:s, s:I, s:f, s:o, s:f}", "network",
						      text_network(e->address, e->bits, network),
						      "connections", (json_int_t)e->connections,
						      "share", share_of(l, e), "per_s",
						      rate < 0 ? json_null() : json_real(rate),
						      "last_seen_s", (double)since(l, e) / 1e9));
	}
	j = json_pack("{s:i, s:s, s:o, s:I, s:I, s:I}", "schema", 1, "service", k->service,
		      "networks", list, "connections", (json_int_t)l->total, "count",
		      (json_int_t)l->n, "more", (json_int_t)(l->n - n));
	json_dumpf(j, to, JSON_COMPACT | JSON_REAL_PRECISION(6));
	fputc('\n', to);
	json_decref(j);
}

/* Asked anew each time: an `apply` in between may have made other maps. */
static int look(struct top *k)
{
	struct plane p;
	int err = plane_find(&p), id;

	if (!err) {
		id = plane_service_by_name(&p, k->service);
		err = id < 0 ? id : take(&p, id, &k->look[k->now]);
	}
	plane_close(&p);
	return err;
}

static int frame(void *arg, FILE *to)
{
	struct top *k = arg;
	int err = look(k);

	if (err)
		return err;
	sort(k);
	if (k->o->json)
		print_list_json(k, to);
	else
		print_table(k, to);
	if (!k->watch && !k->o->json) {
		const struct look *l = &k->look[k->now];
		char a[32];

		fflush(to);
		if (l->n > shown(k, l))
			say("%s more; --limit 0 shows all", text_count(l->n - shown(k, l), a));
	}
	k->now = !k->now;
	return EXIT_OK;
}

static int reset(const struct top *k, const struct plane *p, int id)
{
	size_t n;
	char a[32];
	int err = k->force ? EXIT_OK : locked_by_other(p, id, "--force");

	if (err)
		return err;
	err = arrivals_clear(p, id, &n);
	if (err) {
		say("top: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (k->o->json)
		print_json(json_pack("{s:i, s:s, s:I}", "schema", 1, "service", k->service, "reset",
				     (json_int_t)n));
	else
		printf("forgotten: %s network%s; counted from now on\n", text_count(n, a),
		       n == 1 ? "" : "s");
	return EXIT_OK;
}

static int run(struct top *k)
{
	struct shift_service s;
	struct plane p;
	int code = open_plane(&p), id = -1;

	if (!code) {
		id = choose_service(&p, k->o, &s);
		code = id < 0 ? -id : EXIT_OK;
	}
	if (!code) {
		snprintf(k->service, sizeof(k->service), "%.*s", SHIFT_NAME, s.name);
		if (k->reset)
			code = reset(k, &p, id);
	}
	plane_close(&p);
	if (code || k->reset)
		return code;
	if (k->order == BY_RATE && !k->watch) { /* a rate takes two looks */
		code = look(k);
		k->now = !k->now;
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	}
	if (!code)
		code = k->watch ? status_watch(frame, k, !k->o->json) : frame(k, stdout);
	if (code < 0)
		code = open_failed(code);
	fflush(stdout);
	forget(&k->look[0]);
	forget(&k->look[1]);
	return code;
}

static int take_order(const char *value, enum order *ret)
{
	for (int i = 0; i < ORDERS; i++) {
		if (!strcmp(value, orders[i])) {
			*ret = (enum order)i;
			return 0;
		}
	}
	return -EINVAL;
}

int cmd_top(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--limit=", "--watch", "--reset",
					    "--force",	"--sort=", NULL};
	struct top k = {.o = o, .limit = o->json ? 0 : DEFAULT_LIMIT};
	const char *value;
	int at = 1, what;
	char *end;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			return usage_error("top takes no argument, not '%s'", value);
		if (what == -3)
			return EXIT_USAGE;
		if (what == 0) {
			k.limit = strtoul(value, &end, 10);
			if (*value < '0' || *value > '9' || *end)
				return usage_error("--limit: '%s' is no number (0: no limit)",
						   value);
		}
		if (what == 4 && take_order(value, &k.order))
			return usage_error("--sort: connections, rate or recent, not '%s'", value);
		k.watch |= what == 1;
		k.reset |= what == 2;
		k.force |= what == 3;
	}
	if (k.watch && k.reset)
		return usage_error("top: --watch or --reset, not both");
	return run(&k);
}
