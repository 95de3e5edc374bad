/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preflight_look.c - one address of the service, looked at from the NAT addresses
 *
 * In this order: connections, TLS, URLs, full-size packets, silence, the rate of connections, and
 * at last, since what it asks may get an address blocked, many requests from one address. Each step
 * ends by the plan's time-out.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/cmd/preflight.h"

#define S	    UINT64_C(1000000000)
#define MS	    UINT64_C(1000000)
#define SMALL	    536 /* an MSS that passes everywhere */
#define PADDING_MAX 12000
#define TRIES	    5  /* to find the largest segment that passes */
#define OPEN	    10 /* connections of one address at once */
#define PROBE	    (2500 * MS)
#define HEADERS	    110 /* bytes that IP, TCP and a record of TLS take of a packet, at most */

struct look {
	struct preflight_server *s;
	const struct preflight_plan *plan;
};

static const uint32_t *source_of(const struct preflight_server *s, unsigned int i)
{
	return s->old ? NULL : s->from[i].address;
}

static uint64_t soon(const struct look *l)
{
	return loop_now() + l->plan->timeout_ns;
}

static const char *tls_name(const struct look *l)
{
	if (l->plan->name[0])
		return l->plan->name;
	for (unsigned int i = 0; i < l->s->n_urls; i++) {
		if (l->s->url[i].tls)
			return l->s->url[i].host;
	}
	return NULL;
}

static const char *ca_file(const struct look *l)
{
	if (l->plan->ca_file[0])
		return l->plan->ca_file;
	return l->s->n_urls && l->s->url[0].ca_file[0] ? l->s->url[0].ca_file : NULL;
}

/* Is the conversation with this address one of TLS? */
static bool in_tls(const struct look *l)
{
	return l->s->n_urls ? l->s->url[0].tls : l->s->tls_tried && !l->s->tls_err;
}

/* A connection that is ready for a question. 0 or −errno; *step is where it failed: 1 TCP, 2 TLS.
 */
static int open_one(const struct look *l, unsigned int from, uint32_t mss, struct talk **ret,
		    int *step, char why[TALK_WHY])
{
	const struct preflight_server *s = l->s;
	struct talk_how how = {.name = tls_name(l), .alpn = "http/1.1", .ca_file = ca_file(l)};
	struct talk_tls tls;
	int err = talk_connect(source_of(s, from), s->address, s->port, mss, soon(l), ret, why);

	*step = 1;
	if (err || !in_tls(l))
		return err;
	*step = 2;
	err = talk_secure(*ret, &how, soon(l), &tls, why);
	if (err) {
		talk_close(*ret);
		*ret = NULL;
	}
	return err;
}

static int ask(const struct look *l, struct talk *t, const struct preflight_url *u, size_t padding,
	       struct talk_answer *ret, char why[TALK_WHY])
{
	const struct talk_question q = {.host = u->host, .path = u->path, .padding = padding};

	return talk_ask(t, &q, soon(l), ret, why);
}

/* ---- connections ---- */

static void look_at_reach(const struct look *l)
{
	struct preflight_server *s = l->s;

	s->base = -1;
	for (unsigned int i = 0; i < s->n_from; i++) {
		struct preflight_reach *r = &s->from[i];
		uint64_t began = loop_now();
		struct talk *t = NULL;

		/* One that did not answer at all keeps the others from waiting as long again. */
		r->err = talk_connect(source_of(s, i), s->address, s->port, 0,
				      i && s->base < 0 ? loop_now() + l->plan->timeout_ns / 3
						       : soon(l),
				      &t, r->why);
		r->ns = loop_now() - began;
		if (!r->err && s->base < 0)
			s->base = (int)i;
		talk_close(t);
	}
}

/* ---- TLS ---- */

static void look_at_tls(const struct look *l)
{
	struct preflight_server *s = l->s;
	struct talk_how how = {.name = tls_name(l), .alpn = "h2,http/1.1", .ca_file = ca_file(l)};
	struct talk_tls tls12;
	char why[TALK_WHY];
	struct talk *t;

	if (!how.name || (s->n_urls && !s->url[0].tls))
		return;
	s->tls_tried = true;
	snprintf(s->tls_name, sizeof(s->tls_name), "%s", how.name);
	s->tls_err = talk_connect(source_of(s, (unsigned int)s->base), s->address, s->port, 0,
				  soon(l), &t, s->tls_why);
	if (s->tls_err)
		return;
	s->tls_err = talk_secure(t, &how, soon(l), &s->tls, s->tls_why);
	talk_close(t);
	if (s->tls_err)
		return;
	how.only_12 = true;
	if (talk_connect(source_of(s, (unsigned int)s->base), s->address, s->port, 0, soon(l), &t,
			 why))
		return;
	s->tls12 = !talk_secure(t, &how, soon(l), &tls12, why);
	talk_close(t);
}

/* ---- URLs ---- */

static void look_at_urls(const struct look *l)
{
	struct preflight_server *s = l->s;

	for (unsigned int i = 0; i < s->n_urls; i++) {
		struct preflight_answer *a = &s->answer[i];
		struct talk_answer got;
		struct talk *t;
		int step;

		a->tried = true;
		a->err = open_one(l, (unsigned int)s->base, 0, &t, &step, a->why);
		if (a->err)
			continue;
		a->err = ask(l, t, &s->url[i], 0, &got, a->why);
		a->status = got.status;
		a->size = got.size;
		talk_close(t);
	}
}

/* ---- full-size packets ---- */

/* Does a conversation of segments no larger than `mss` pass, with a question as large? */
static int try_size(const struct look *l, uint32_t mss, size_t padding, struct talk_path *ret)
{
	struct talk_answer got;
	char why[TALK_WHY];
	struct talk *t;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = talk_connect(source_of(l->s, (unsigned int)l->s->base), l->s->address, l->s->port,
			   mss, soon(l), &t, why);
	if (err)
		return err;
	if (in_tls(l)) {
		struct talk_how how = {
			.name = tls_name(l), .alpn = "http/1.1", .ca_file = ca_file(l)};
		struct talk_tls tls;

		err = talk_secure(t, &how, soon(l), &tls, why);
	}
	if (!err && l->s->n_urls)
		err = ask(l, t, &l->s->url[0], padding, &got, why);
	talk_look(t, ret);
	talk_close(t);
	return err;
}

static void find_largest(const struct look *l, uint32_t full, size_t padding)
{
	struct preflight_size *z = &l->s->size;
	uint32_t low = SMALL, high = full;
	struct talk_path path;

	if (try_size(l, SMALL, padding, &path))
		return; /* not the size, then */
	z->largest = SMALL;
	for (int i = 0; i < TRIES && high - low > 16; i++) {
		uint32_t middle = (low + high) / 2;

		if (try_size(l, middle, padding, &path))
			high = middle;
		else
			z->largest = low = middle;
	}
}

static void look_at_size(const struct look *l)
{
	struct preflight_size *z = &l->s->size;
	struct talk_path path;
	size_t padding;
	struct talk *t;
	char why[TALK_WHY];
	int err;

	if (talk_connect(source_of(l->s, (unsigned int)l->s->base), l->s->address, l->s->port, 0,
			 soon(l), &t, why))
		return;
	talk_look(t, &path);
	talk_close(t);
	z->mss = path.sent_mss;
	padding = z->mss * 2 < PADDING_MAX ? z->mss * 2 : PADDING_MAX;
	z->up = z->down = PASSAGE_UNPROVED;
	if (!in_tls(l) && !l->s->n_urls)
		return;
	err = try_size(l, 0, padding, &path);
	z->came = path.received_mss;
	if (!err) {
		z->up = l->s->n_urls ? PASSAGE_PROVED : PASSAGE_UNPROVED;
		if (path.received_mss + HEADERS > z->mss)
			z->down = PASSAGE_PROVED;
		return;
	}
	if (err != -ETIMEDOUT)
		return;
	find_largest(l, z->mss, padding);
	if (!z->largest)
		return;
	/* what was sent and never confirmed is what was lost; else it was the answer */
	*(path.unacked ? &z->up : &z->down) = PASSAGE_LOST;
}

/* ---- silence ---- */

static void look_at_rest(const struct look *l)
{
	struct preflight_server *s = l->s;
	struct talk_answer got;
	char why[TALK_WHY];
	struct talk *t;
	int step, err;

	if (!l->plan->idle_ns || open_one(l, (unsigned int)s->base, 0, &t, &step, why))
		return;
	if (s->n_urls && (ask(l, t, &s->url[0], 0, &got, why) || got.closes)) {
		talk_close(t); /* it keeps no connection anyway */
		return;
	}
	err = talk_wait_closed(t, loop_now() + l->plan->idle_ns, &s->rest_ns);
	s->rest = err == 0 ? REST_CLOSED : err == -ETIMEDOUT ? REST_ALIVE : REST_RESET;
	if (s->rest == REST_ALIVE && s->n_urls) {
		s->rest_asked = true;
		err = ask(l, t, &s->url[0], 0, &got, why);
		s->rest = !err ? REST_ALIVE : err == -ETIMEDOUT ? REST_FORGOTTEN : REST_RESET;
	} else if (s->rest == REST_ALIVE) {
		err = talk_probe(t, PROBE);
		s->rest = !err ? REST_ALIVE : err == -ETIMEDOUT ? REST_FORGOTTEN : REST_RESET;
	}
	talk_close(t);
}

/* ---- many ---- */

static int by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* One after the other, spread over a second: at that pace a listener's queue does not matter, but a
 * limit on connections a second does. */
static void look_at_ceiling(const struct look *l)
{
	struct preflight_server *s = l->s;
	struct preflight_ceiling *c = &s->ceiling;
	uint32_t n = l->plan->rate;
	uint64_t *took, began = loop_now(), end = began + S + l->plan->timeout_ns;

	took = n ? calloc(n, sizeof(*took)) : NULL;
	if (!took)
		return;
	c->tried = true;
	for (uint32_t i = 0; i < n && loop_now() < end; i++) {
		uint64_t due = began + i * S / n, start;
		unsigned int from = (unsigned int)s->base;
		char why[TALK_WHY];
		struct talk *t = NULL;
		int err;

		for (unsigned int k = 0; k < s->n_from; k++) {
			if (!s->from[(i + k) % s->n_from].err) {
				from = (i + k) % s->n_from;
				break;
			}
		}
		if (due > loop_now())
			usleep((useconds_t)((due - loop_now()) / 1000));
		start = loop_now();
		err = talk_connect(source_of(s, from), s->address, s->port, 0,
				   start + l->plan->timeout_ns / 3, &t, why);
		talk_close(t);
		c->begun++;
		if (err && !c->err)
			c->err = err;
		if (!err)
			took[c->connected++] = loop_now() - start;
	}
	qsort(took, c->connected, sizeof(*took), by_time);
	if (c->connected) {
		c->p50_ns = took[c->connected / 2];
		c->p99_ns = took[c->connected * 99 / 100];
	}
	free(took);
}

static void count_answer(struct preflight_burst *b, int err, const struct talk_answer *a,
			 unsigned int good_status)
{
	unsigned int status = err ? 0 : a->status;
	bool good = !err && (good_status ? status == good_status : status < 400);

	b->asked++;
	if (good)
		b->good++;
	else if (err)
		b->failed++;
	else if (status == 401 || status == 403)
		b->forbidden++;
	else if (status == 429 || status == 503)
		b->limited++;
	else
		b->other++;
	if (good || b->first)
		return;
	b->first = b->asked;
	b->first_status = status;
	b->retry_after_s = err ? 0 : a->retry_after_s;
}

/* OPEN connections at once, and questions in turn over them. */
static void burst_from(const struct look *l, unsigned int from)
{
	struct preflight_server *s = l->s;
	struct preflight_burst *b = &s->burst[from];
	uint64_t end = loop_now() + 3 * l->plan->timeout_ns;
	struct talk *t[OPEN] = {NULL};

	b->tried = true;
	for (unsigned int i = 0; i < l->plan->burst && loop_now() < end && b->failed < 3; i++) {
		struct talk **c = &t[i % OPEN];
		struct talk_answer got = {0};
		int step, err = 0;

		if (!*c)
			err = open_one(l, from, 0, c, &step, b->why);
		if (!err && s->n_urls)
			err = ask(l, *c, &s->url[0], 0, &got, b->why);
		count_answer(b, err, &got, s->n_urls ? s->answer[0].status : 0);
		if (err || got.closes || !s->n_urls) {
			talk_close(*c);
			*c = NULL;
		}
	}
	for (unsigned int i = 0; i < OPEN; i++)
		talk_close(t[i]);
}

static void look_at_bursts(const struct look *l)
{
	struct preflight_server *s = l->s;

	for (unsigned int i = 0, n = 0; l->plan->burst && i < s->n_from && n < PREFLIGHT_BURSTS;
	     i++) {
		if (s->from[i].err)
			continue;
		burst_from(l, i);
		n++;
	}
}

/* An allowlist that lacks some of the addresses shows with one question each. */
static void look_at_others(const struct look *l)
{
	struct preflight_server *s = l->s;

	for (unsigned int i = 0; s->n_urls && i < s->n_from; i++) {
		struct preflight_burst *b = &s->burst[i];
		struct talk_answer got = {0};
		struct talk *t = NULL;
		int step, err;

		if (s->from[i].err || b->tried)
			continue;
		b->tried = true;
		err = open_one(l, i, 0, &t, &step, b->why);
		if (!err)
			err = ask(l, t, &s->url[0], 0, &got, b->why);
		count_answer(b, err, &got, s->answer[0].status);
		talk_close(t);
	}
}

void preflight_look(struct preflight_server *s, const struct preflight_plan *plan)
{
	const struct look l = {.s = s, .plan = plan};

	look_at_reach(&l);
	if (s->base >= 0) {
		look_at_tls(&l);
		look_at_urls(&l);
		look_at_size(&l);
		look_at_rest(&l);
		look_at_ceiling(&l);
		look_at_bursts(&l);
		look_at_others(&l);
	}
	s->done = true;
}

struct preflight_budget preflight_bound(const struct preflight_server *s,
					const struct preflight_plan *plan)
{
	unsigned int bursts = s->n_from < PREFLIGHT_BURSTS ? s->n_from : PREFLIGHT_BURSTS;
	struct preflight_budget b = {0};

	b.connections = s->n_from + 2 + s->n_urls + 2 + TRIES + 1 + !!plan->idle_ns + plan->rate +
			(plan->burst ? bursts * (s->n_urls ? OPEN : plan->burst) : 0) +
			(s->n_urls ? s->n_from : 0);
	b.requests = s->n_urls ? s->n_urls + 2 + TRIES + 2 * !!plan->idle_ns +
					 bursts * plan->burst + s->n_from
			       : 0;
	/* a handshake of TLS is 6 KiB, a question 0.3, a large one 12 */
	b.bytes = b.connections * 6144ull + b.requests * 1024ull + (2 + TRIES) * 12288ull;
	b.ns = plan->timeout_ns * (2 + s->n_from / 3 + 4 + 2 * s->n_urls + 3 * (2 + TRIES) + 4 + 2 +
				   3 * bursts + (s->n_urls ? s->n_from : 0)) +
	       plan->idle_ns + PROBE + (plan->rate ? S : 0);
	return b;
}
