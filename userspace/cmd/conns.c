/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * conns.c - `conns`: the shifted connections
 *
 * Those that live, unless --state asks for a state in which only the port still rests. They come in
 * the order of their records: by target, then by port.
 */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/ip.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/control.h"
#include "userspace/plane/flows.h"

#define DEFAULT_LIMIT 50  /* on the screen; JSON has them all */
#define CHUNK	      256 /* rows whose columns are aligned together */

static const char *const state_names[SHIFT_FLOW_STATES] = {
	[SHIFT_FLOW_FREE] = "free",	      [SHIFT_FLOW_SYN_SENT] = "syn-sent",
	[SHIFT_FLOW_SYN_RECV] = "syn-recv",   [SHIFT_FLOW_ESTABLISHED] = "established",
	[SHIFT_FLOW_CLOSING] = "closing",     [SHIFT_FLOW_DONE] = "done",
	[SHIFT_FLOW_TIME_WAIT] = "time-wait", [SHIFT_FLOW_ABANDONED] = "abandoned",
};

struct conns {
	const struct plane *p;
	bool json;
	/* What is asked for. */
	const char *backend;
	bool by_client;
	uint32_t client[4];
	unsigned int client_bits;
	int state; /* −1: those that live */
	bool old_epoch, count_only;
	uint64_t limit; /* UINT64_MAX: none */
	/* What to judge and show by. */
	struct shift_service s;
	struct shift_globals g;
	uint64_t epoch;		       /* of the control in force */
	uint32_t now;		       /* tick */
	uint64_t now_ns;	       /* of CLOCK_MONOTONIC */
	char (*names)[SHIFT_NAME + 1]; /* of backends, by id */
	/* On the way. */
	uint64_t found, shown;
	struct table wide;
	char *narrow[CHUNK]; /* the second lines, for a screen on which one is too short */
	size_t rows;
};

/* One connection, as it is shown. */
struct conn {
	char client[64], target[64], nat[64], age[32], idle[32], up[16], down[16];
	char shown[24]; /* the state, and "udp" */
	const char *backend, *state;
	double age_s, idle_s;
	const struct shift_flow *f;
};

static double tick_seconds(const struct conns *c, uint32_t ticks)
{
	return (double)ticks * (1u << SHIFT_TICK_SHIFT) / c->g.hz;
}

/* A packet sets `expires` to its tick plus the state's time-out: so long ago was the last one. */
static uint32_t idle_ticks(const struct conns *c, const struct shift_flow *f)
{
	uint32_t timeout = c->s.timeout[f->state & (SHIFT_FLOW_STATES - 1)];
	uint32_t left = f->expires - c->now;

	if (f->protocol == IPPROTO_UDP)
		timeout = c->s.timeout_udp;
	return left < timeout ? timeout - left : 0;
}

static void describe(const struct conns *c, const struct flow_seen *s, struct conn *ret)
{
	const struct shift_flow *f = s->f;
	uint16_t port = htons((uint16_t)(s->t->port_lo + s->index));

	ret->f = f;
	ret->backend = f->backend < SHIFT_MAX_BACKENDS ? c->names[f->backend] : "?";
	ret->state = state_names[f->state & (SHIFT_FLOW_STATES - 1)];
	snprintf(ret->shown, sizeof(ret->shown), "%s%s", ret->state,
		 f->protocol == IPPROTO_UDP ? " udp" : "");
	ret->age_s = c->now_ns > f->born ? (double)(c->now_ns - f->born) / 1e9 : 0;
	ret->idle_s = tick_seconds(c, idle_ticks(c, f));
	text_address(f->client, f->client_port, ret->client);
	text_address(s->t->address, s->t->port, ret->target);
	text_address(s->t->nat, port, ret->nat);
	text_duration((uint64_t)(ret->age_s * 1e9), ret->age);
	text_duration((uint64_t)(ret->idle_s * 1e9), ret->idle);
	screen_bytes(f->bytes_up, ret->up);
	screen_bytes(f->bytes_down, ret->down);
}

/* ---- showing ---- */

static void print_conn_json(struct conns *c, const struct conn *n)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:I, s:I, s:I}", "client",
			      n->client, "protocol", n->f->protocol == IPPROTO_UDP ? "udp" : "tcp",
			      "backend", n->backend, "target", n->target, "nat", n->nat, "state",
			      n->state, "age_s", n->age_s, "idle_s", n->idle_s, "bytes_up",
			      (json_int_t)n->f->bytes_up, "bytes_down",
			      (json_int_t)n->f->bytes_down, "epoch", (json_int_t)n->f->epoch);

	if (c->shown)
		putchar(',');
	json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
	json_decref(j);
}

static void head(struct table *t, bool wide)
{
	table_head(t, wide ? "client|backend|target|nat|state|>age|>idle|>up|>down|>epoch"
			   : "client|backend|state|>age|>idle|>up|>down|>epoch");
}

/*
 * Each row has all its columns on a wide screen and in a pipe. On a narrow one the target and the
 * NAT address stand in a second line.
 */
static void add_conn(struct conns *c, const struct conn *n)
{
	table_row(&c->wide, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%llu", n->client, n->backend,
		  n->target, n->nat, n->shown, n->age, n->idle, n->up, n->down,
		  (unsigned long long)n->f->epoch);
	if (asprintf(&c->narrow[c->rows], "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%llu\n  from %s to %s",
		     n->client, n->backend, n->shown, n->age, n->idle, n->up, n->down,
		     (unsigned long long)n->f->epoch, n->nat, n->target) < 0)
		c->narrow[c->rows] = NULL;
	c->rows++;
}

static void print_narrow(struct conns *c)
{
	struct table t = {0};

	head(&t, false);
	for (size_t i = 0; i < c->rows; i++) {
		char *row = c->narrow[i], *line = row ? strchr(row, '\n') : NULL;

		if (!line)
			continue;
		*line = '\0';
		table_row(&t, "%s", row);
		table_line(&t, line + 1);
	}
	if (table_width(&t) > screen_columns())
		t.gap = 1;
	table_print(&t, stdout);
	table_free(&t);
}

static void flush(struct conns *c)
{
	unsigned int columns = screen_columns();

	if (columns && table_width(&c->wide) > columns) {
		print_narrow(c);
		table_free(&c->wide);
		head(&c->wide, true);
	} else {
		table_print(&c->wide, stdout);
	}
	for (size_t i = 0; i < c->rows; i++)
		free(c->narrow[i]);
	c->rows = 0;
}

/* ---- choosing ---- */

static bool wanted(const struct conns *c, const struct shift_flow *f)
{
	if (c->state < 0 ? !shift_flow_alive(f, c->now) : f->state != c->state)
		return false;
	if (c->backend &&
	    (f->backend >= SHIFT_MAX_BACKENDS || strcmp(c->names[f->backend], c->backend)))
		return false;
	if (c->by_client && !ip_in(f->client, c->client, c->client_bits))
		return false;
	return !c->old_epoch || f->epoch < c->epoch;
}

static int see_flow(const struct flow_seen *s, void *arg)
{
	struct conns *c = arg;
	struct conn n;

	if (!wanted(c, s->f))
		return 0;
	c->found++;
	if (c->count_only || c->shown >= c->limit)
		return 0;
	describe(c, s, &n);
	if (c->json)
		print_conn_json(c, &n);
	else
		add_conn(c, &n);
	c->shown++;
	if (c->rows == CHUNK)
		flush(c);
	return 0;
}

static int read_names(struct conns *c)
{
	c->names = calloc(SHIFT_MAX_BACKENDS, sizeof(*c->names));
	if (!c->names)
		return -ENOMEM;
	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS; id++) {
		struct shift_backend b;
		int err = bpfsys_lookup(c->p->map[PLANE_BACKENDS], &id, &b);

		if (err)
			return err;
		memcpy(c->names[id], b.name, SHIFT_NAME);
	}
	return 0;
}

/* A name that no backend of the service has is a mistake, not an empty answer. */
static int unknown_backend(const struct conns *c, int id)
{
	char names[512] = "";
	size_t used = 0;

	for (uint32_t b = 0; c->backend && b < SHIFT_MAX_BACKENDS; b++) {
		struct shift_backend is;

		if (bpfsys_lookup(c->p->map[PLANE_BACKENDS], &b, &is) ||
		    !(is.flags & SHIFT_BACKEND_USED) || (int)is.service != id)
			continue;
		if (!strncmp(is.name, c->backend, sizeof(is.name)))
			return EXIT_OK;
		if (used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%.*s",
						 used ? ", " : "", SHIFT_NAME, is.name);
	}
	return c->backend
		       ? usage_error("--backend: there is no %s; there is: %s", c->backend, names)
		       : EXIT_OK;
}

static int walk(struct conns *c, int id)
{
	struct shift_record r = {0};
	struct timespec t;
	uint64_t head_seen;
	int err = plane_globals(c->p, &c->g);

	if (!err)
		err = read_names(c);
	if (err)
		return err;
	control_get(&c->p->control[id], &r, &head_seen);
	c->epoch = r.epoch;
	c->now = plane_tick(&c->g);
	clock_gettime(CLOCK_MONOTONIC, &t);
	c->now_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	return flows_each(c->p, id, c->now, see_flow, c);
}

static int show(struct conns *c, int id)
{
	char name[SHIFT_NAME + 1], a[32];
	int err;

	snprintf(name, sizeof(name), "%.*s", SHIFT_NAME, c->s.name);
	if (c->json && !c->count_only) {
		printf("{\"schema\":1,\"service\":\"%s\",\"conns\":[", name);
		json_answered();
	} else {
		head(&c->wide, true);
	}
	err = walk(c, id);
	if (c->json && c->count_only)
		print_json(json_pack("{s:i, s:s, s:I}", "schema", 1, "service", name, "count",
				     (json_int_t)c->found));
	else if (c->json)
		printf("],\"count\":%llu,\"more\":%llu}\n", (unsigned long long)c->found,
		       (unsigned long long)(c->found - c->shown));
	else if (c->count_only)
		printf("%llu\n", (unsigned long long)c->found);
	else if (c->shown)
		flush(c);
	fflush(stdout);
	if (!c->json && !c->count_only && !c->found)
		say("no shifted connection%s",
		    c->state >= 0 || c->backend || c->by_client || c->old_epoch ? " matches"
										: " lives");
	else if (!c->json && !c->count_only && c->found > c->shown)
		say("%s more; --limit 0 shows all", text_count(c->found - c->shown, a));
	table_free(&c->wide);
	free(c->names);
	if (err)
		say("conns: %s", strerror(-err));
	return err ? EXIT_FAILED : EXIT_OK;
}

static int parse_state(const char *name)
{
	for (int i = SHIFT_FLOW_SYN_SENT; i < SHIFT_FLOW_STATES; i++) {
		if (!strcasecmp(state_names[i], name))
			return i;
	}
	return -EINVAL;
}

static int parse_limit(const char *text, uint64_t *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (!*ret)
		*ret = UINT64_MAX;
	return *end || errno ? -EINVAL : 0;
}

int cmd_conns(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {
		"--backend=", "--client=", "--state=", "--limit=", "--count", "--old-epoch", NULL};
	struct conns c = {
		.json = o->json, .state = -1, .limit = o->json ? UINT64_MAX : DEFAULT_LIMIT};
	const char *value;
	struct plane p;
	int at = 1, what, code, id;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			return usage_error("conns takes no argument, not '%s'", value);
		if (what == -3)
			return EXIT_USAGE;
		if (what == 0)
			c.backend = value;
		if (what == 1) {
			if (ip_parse_cidr(value, c.client, &c.client_bits))
				return usage_error("--client: '%s' is no address or network such "
						   "as 192.0.2.0/24",
						   value);
			c.by_client = true;
		}
		if (what == 2) {
			c.state = parse_state(value);
			if (c.state < 0)
				return usage_error("--state: '%s' is none of syn-sent, syn-recv, "
						   "established, closing, done, time-wait, "
						   "abandoned",
						   value);
		}
		if (what == 3 && parse_limit(value, &c.limit))
			return usage_error("--limit: '%s' is no number (0: no limit)", value);
		c.count_only |= what == 4;
		c.old_epoch |= what == 5;
	}
	code = open_plane(&p);
	if (code) {
		plane_close(&p);
		return code;
	}
	c.p = &p;
	id = choose_service(&p, o, &c.s);
	code = id < 0 ? -id : unknown_backend(&c, id);
	if (!code)
		code = show(&c, id);
	plane_close(&p);
	return code;
}
