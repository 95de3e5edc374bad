/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * engine.c - many questions to many servers at once, on the one loop
 *
 * Owns the questions that have no answer yet, what is known of each target (queue and rate), and
 * through its carriers (engine_udp.c, engine_stream.c, engine_https.c) their sockets. The loop
 * stays its user's.
 *
 * A question waits in its target's queue until the target's rate and the bound on sockets let it
 * go; targets take turns, so that one with a thousand questions delays the others by one each. A
 * try over UDP that nothing comes back to is made again, from the queue's head, with a new port, a
 * new ID and twice the time. What comes back is accepted when the kernel found it for the connected
 * socket, and ID and question are the query's; then it is decoded, and what is no sound message is
 * counted as malformed and waited past like a wrong one, because a forger may have been first. Only
 * when the time is up does "malformed" become the outcome. TC sends the question to TCP whatever
 * else the message holds: a forged one costs a connection and decides nothing.
 *
 * How hard it is to forge: an attacker off the path must hit the ID and the port of a socket that
 * lives for one question (28,000 × 65,536), within its RTT. Letters of mixed case (0x20) would add
 * little to that, and some load balancers answer them wrongly, which in a monitor is a false alarm;
 * they are not used. With `share`, up to 64 questions have the same port, each with an ID of its
 * own; the socket is given up after 16 times as many.
 *
 * Fails: an unreachable port or a refused connection ends the question at once (DNS_CLOSED), and so
 * does a family that this host does not have (DNS_NO_ROUTE), as they would not be better a second
 * later. With no descriptor left, questions wait for one of the engine's own to come free.
 *
 * Follows RFC 5452, 7766, 7858, 8484, 8310 (strict profile). Weaknesses: a connection is made for
 * every question over TCP and TLS; targets are kept until the engine is freed; the soft limit of
 * descriptors is raised for the whole process, when `in_flight` needs it; a server that answers
 * FORMERR to EDNS is not asked without it.
 */
#include "dns/engine.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "dns/engine_inner.h"
#include "dns/message_inner.h"
#include "userspace/base/text.h"
#include "userspace/net/http.h"

#define SECOND 1000000000ull
#define AT_ONCE                                                                                    \
	64	    /* questions started in one turn of the loop, so that answers do not wait long \
		     */
#define FD_SPARE 64 /* descriptors left to others */
#define ROOM_IN	 (32 * 4096)

const char *const dns_outcomes[] = {
	[DNS_ANSWERED] = "answered",	    [DNS_TIMEOUT] = "timed out",
	[DNS_CLOSED] = "refused or closed", [DNS_NO_ROUTE] = "no route from here",
	[DNS_UNTRUSTED] = "not trusted",    [DNS_MALFORMED] = "malformed answer",
	[DNS_FAILED] = "failed here",
};

bool dns_bucket_take(uint64_t *bucket, uint64_t now, unsigned int rate, uint64_t *ret_at)
{
	uint64_t each = SECOND / (rate ? rate : 1), full = *bucket > now ? *bucket : now;

	if (full - now > SECOND - each) {
		*ret_at = full - (SECOND - each);
		return false;
	}
	*bucket = full + each;
	return true;
}

/* From the kernel, a buffer at a time. */
uint16_t dns_random16(struct dns_engine *e)
{
	size_t got = 0;
	ssize_t n;

	while (!e->random_left) {
		n = getrandom(e->random + got, sizeof(e->random) - got, 0);
		if (n > 0)
			got += (size_t)n;
		if (got == sizeof(e->random))
			e->random_left = sizeof(e->random) / 2;
	}
	e->random_left--;
	return dns_get16(e->random + 2 * (size_t)e->random_left);
}

enum dns_outcome dns_outcome_of(int err)
{
	switch (-err) {
	case ETIMEDOUT:
	case EAGAIN:
		return DNS_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
		return DNS_CLOSED;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
	case EACCES: /* a broadcast address, or a "prohibit" route */
	case EPERM:  /* a firewall here */
	case EINVAL: /* an address that cannot be reached from the one this host would use */
		return DNS_NO_ROUTE;
	default:
		return DNS_FAILED;
	}
}

/* ---- targets ---- */

static uint32_t hash_of(const struct dns_target *t)
{
	uint32_t h = 2166136261u ^ (uint32_t)t->transport << 24 ^ t->port ^ t->ip[2] ^ t->ip[1];
	const char *texts[] = {t->host, t->url};

	h = (h ^ t->ip[0]) * 0x9e3779b1u;
	h = (h ^ t->ip[3]) * 0x9e3779b1u;
	for (int i = 0; i < 2; i++)
		for (const char *c = texts[i]; *c; c++)
			h = (h ^ (unsigned char)*c) * 16777619u;
	return h ^ h >> 15;
}

static bool same(const struct dns_target *a, const struct dns_target *b)
{
	return a->transport == b->transport && a->family == b->family && a->port == b->port &&
	       !memcmp(a->ip, b->ip, sizeof(a->ip)) && !strcmp(a->host, b->host) &&
	       !strcmp(a->url, b->url) && !strcmp(a->text, b->text);
}

static int grow_known(struct dns_engine *e)
{
	unsigned int room = e->room ? 2 * e->room : 64;
	struct dns_known **known = calloc(room, sizeof(struct dns_known *)), *k, *next;

	if (!known)
		return -ENOMEM;
	for (unsigned int i = 0; i < e->room; i++) {
		for (k = e->known[i]; k; k = next) {
			unsigned int at = hash_of(&k->target) & (room - 1);

			next = k->same_hash;
			k->same_hash = known[at];
			known[at] = k;
		}
	}
	free(e->known);
	e->known = known;
	e->room = room;
	return 0;
}

static struct dns_known *know(struct dns_engine *e, const struct dns_target *t)
{
	uint32_t hash = hash_of(t);
	struct dns_known *k = e->room ? e->known[hash & (e->room - 1)] : NULL;

	while (k && !same(&k->target, t))
		k = k->same_hash;
	if (k)
		return k;
	if (e->n_known >= e->room && grow_known(e))
		return NULL;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->engine = e;
	k->target = *t;
	k->same_hash = e->known[hash & (e->room - 1)];
	e->known[hash & (e->room - 1)] = k;
	e->n_known++;
	return k;
}

/* ---- queues ---- */

static void on_pump(void *arg, uint64_t now);

/* Later in this turn, or in the next: questions go out, and answers are given, from the loop only.
 */
static void pump_soon(struct dns_engine *e)
{
	if (!e->pump.place)
		loop_timer_set(e->loop, &e->pump, 1, on_pump, e);
}

static void make_ready(struct dns_known *k)
{
	struct dns_engine *e = k->engine;

	if (k->ready || !k->first || k->timer.place)
		return;
	k->ready = true;
	k->next_ready = NULL;
	if (e->first_ready)
		e->last_ready->next_ready = k;
	else
		e->first_ready = k;
	e->last_ready = k;
}

static void queue(struct dns_asked *a, bool first)
{
	struct dns_known *k = a->target;

	a->state = DNS_ASK_WAITS;
	a->behind = first ? k->first : NULL;
	if (first) {
		k->first = a;
		if (!k->last)
			k->last = a;
	} else {
		if (k->first)
			k->last->behind = a;
		else
			k->first = a;
		k->last = a;
	}
	make_ready(k);
	pump_soon(a->engine);
}

static struct dns_asked *unqueue(struct dns_known *k)
{
	struct dns_asked *a = k->first;

	k->first = a->behind;
	if (!k->first)
		k->last = NULL;
	a->behind = NULL;
	return a;
}

/* ---- the end of a try, and of a question ---- */

static void forget(struct dns_asked *a)
{
	struct dns_engine *e = a->engine;

	if (a->next)
		a->next->prev = a->prev;
	if (a->prev)
		a->prev->next = a->next;
	else
		e->all = a->next;
	free(a);
}

/* Off its carrier: nothing is on its way any more. */
static void land(struct dns_asked *a)
{
	loop_timer_stop(a->engine->loop, &a->timer);
	switch (a->state) {
	case DNS_ASK_WAITS:
		return;
	case DNS_ASK_UDP:
		dns_udp_drop(a);
		break;
	case DNS_ASK_STREAM:
		dns_stream_drop(a);
		break;
	case DNS_ASK_LOOKUP:
		dns_lookup_drop(a);
		break;
	case DNS_ASK_HTTPS:
		dns_https_drop(a);
		break;
	}
	a->state = DNS_ASK_WAITS;
	a->engine->flying--;
	a->engine->full = false;
}

static enum dns_transport transport_of(const struct dns_asked *a)
{
	return a->truncated ? DNS_TCP : a->target->target.transport;
}

/* `wire` must outlive the carrier. */
static void finish(struct dns_asked *a, struct dns_result *r)
{
	struct dns_engine *e = a->engine;

	land(a);
	r->target = &a->target->target;
	r->question = &a->q;
	r->sent = a->sent;
	if (!r->received)
		r->received = loop_now();
	r->tries = a->tries;
	r->rejected = a->rejected;
	e->busy--;
	a->done(a->arg, r);
	forget(a);
	if (e->first_ready)
		pump_soon(e);
}

void dns_ask_failed(struct dns_asked *a, enum dns_outcome outcome, int err, const char *why)
{
	struct dns_result r = {.outcome = outcome, .err = err, .over = transport_of(a)};
	char strays[48] = "";

	if (err == -ENOKEY)
		why = "the certificates to trust cannot be read";
	if (!why)
		why = outcome == DNS_FAILED || outcome == DNS_NO_ROUTE ? strerror(-err)
								       : dns_outcomes[outcome];
	if (a->rejected)
		snprintf(strays, sizeof(strays), "; %u answers were not to this question",
			 a->rejected);
	snprintf(r.why, sizeof(r.why), "%s%s%s", a->truncated ? "truncated; over TCP: " : "", why,
		 strays);
	finish(a, &r);
}

static uint64_t time_of(const struct dns_asked *a)
{
	uint64_t one = a->engine->set.timeout_ns;
	enum dns_transport t = transport_of(a);

	if (t == DNS_UDP)
		return one << (a->tries > 6 ? 5 : a->tries - 1);
	return t == DNS_TCP ? one : 2 * one;
}

static void on_time(void *arg, uint64_t now)
{
	struct dns_asked *a = arg;
	char why[96], time[32];

	(void)now;
	if (a->state == DNS_ASK_UDP && a->tries < a->engine->set.tries) {
		land(a);
		queue(a, true);
		return;
	}
	if (a->malformed) {
		dns_ask_failed(a, DNS_MALFORMED, -EBADMSG, NULL);
		return;
	}
	text_duration(time_of(a), time);
	if (transport_of(a) == DNS_UDP && a->tries > 1)
		snprintf(why, sizeof(why), "timed out, %u tries, the last of %s", a->tries, time);
	else
		snprintf(why, sizeof(why), "timed out after %s", time);
	dns_ask_failed(a, DNS_TIMEOUT, -ETIMEDOUT, why);
}

static int fly(struct dns_asked *a, enum dns_ask_state state, int err)
{
	if (err)
		return err;
	a->state = state;
	a->engine->flying++;
	return 0;
}

/* To TCP, with a new ID; what came so far was no answer. */
static void go_over_tcp(struct dns_asked *a)
{
	int err;

	land(a);
	a->truncated = true;
	dns_put16(a->query, dns_random16(a->engine));
	a->sent = loop_now();
	err = loop_timer_set(a->engine->loop, &a->timer, a->sent + time_of(a), on_time, a);
	if (!err)
		err = fly(a, DNS_ASK_STREAM, dns_stream_start(a, &a->target->target, false));
	if (err)
		dns_ask_failed(a, dns_outcome_of(err), err, NULL);
}

bool dns_ask_received(struct dns_asked *a, const uint8_t *wire, size_t size,
		      enum dns_transport over, uint64_t now)
{
	struct dns_engine *e = a->engine;
	struct dns_result r = {
		.over = over, .wire = wire, .size = size, .answer = &e->answer, .received = now};

	if (!dns_matches(a->query, a->query_size, wire, size)) {
		a->rejected++;
		return false;
	}
	if (wire[DNS_AT_FLAGS] & 0x02 && over == DNS_UDP) {
		go_over_tcp(a);
		return true;
	}
	if (wire[DNS_AT_FLAGS] & 0x02 || dns_read(wire, size, &a->q, &e->answer)) {
		a->malformed = true;
		a->rejected++;
		if (over == DNS_UDP)
			return false;
		dns_ask_failed(a, DNS_MALFORMED, -EBADMSG, NULL);
		return true;
	}
	finish(a, &r);
	return true;
}

/* ---- the pump ---- */

static int start(struct dns_asked *a)
{
	const struct dns_target *t = &a->target->target;
	struct dns_engine *e = a->engine;
	int err;

	a->tries++;
	a->sent = loop_now();
	dns_put16(a->query, t->transport == DNS_HTTPS ? 0 : dns_random16(e));
	err = loop_timer_set(e->loop, &a->timer, a->sent + time_of(a), on_time, a);
	if (err)
		return err;
	switch (t->transport) {
	case DNS_UDP:
		return fly(a, DNS_ASK_UDP, dns_udp_start(a));
	case DNS_HTTPS:
		return fly(a, DNS_ASK_HTTPS, dns_https_start(a));
	default:
		if (!t->family)
			return fly(a, DNS_ASK_LOOKUP, dns_lookup_start(a));
		return fly(a, DNS_ASK_STREAM, dns_stream_start(a, t, t->transport == DNS_TLS));
	}
}

static void on_token(void *arg, uint64_t now)
{
	struct dns_known *k = arg;

	(void)now;
	make_ready(k);
	pump_soon(k->engine);
}

/* The next that may go, or NULL. */
static struct dns_asked *next_ready(struct dns_engine *e, uint64_t now)
{
	struct dns_known *k;
	struct dns_asked *a;
	uint64_t at;

	while ((k = e->first_ready)) {
		e->first_ready = k->next_ready;
		k->ready = false;
		if (!dns_bucket_take(&k->bucket, now, e->set.rate, &at)) {
			/* without memory for a timer it is asked a little too fast */
			if (!loop_timer_set(e->loop, &k->timer, at, on_token, k))
				continue;
		}
		a = unqueue(k);
		make_ready(k);
		return a;
	}
	return NULL;
}

static void on_pump(void *arg, uint64_t now)
{
	struct dns_engine *e = arg;
	struct dns_asked *a;
	unsigned int n = 0;
	int err;

	while (e->flying < e->set.in_flight && !e->full && n++ < AT_ONCE &&
	       (a = next_ready(e, now))) {
		err = start(a);
		if (!err)
			continue;
		loop_timer_stop(e->loop, &a->timer);
		if ((err == -EMFILE || err == -ENFILE) && e->flying) {
			e->full = true;
			a->tries--;
			queue(a, true);
			break;
		}
		dns_ask_failed(a, dns_outcome_of(err), err, NULL);
	}
	dns_udp_flush(e);
	if (e->first_ready && e->flying < e->set.in_flight && !e->full)
		pump_soon(e);
}

/* ---- its users' side ---- */

/* Descriptors for all that may be in flight, or fewer in flight. */
static void make_room(struct dns_engine_settings *s)
{
	struct rlimit l;
	rlim_t need = (rlim_t)s->in_flight / s->share + 2 * FD_SPARE;

	if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur >= need)
		return;
	l.rlim_cur = need < l.rlim_max ? need : l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

int dns_engine_make(struct loop *l, const struct dns_engine_settings *s, struct dns_engine **ret)
{
	struct dns_engine *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->loop = l;
	e->set = *s;
	if (!e->set.timeout_ns)
		e->set.timeout_ns = SECOND * 3 / 2;
	if (!e->set.tries)
		e->set.tries = 3;
	if (!e->set.rate)
		e->set.rate = 50;
	if (!e->set.in_flight)
		e->set.in_flight = 1000;
	if (!e->set.share)
		e->set.share = 1;
	if (e->set.share > DNS_SHARE)
		e->set.share = DNS_SHARE;
	if (s->ca_file) {
		snprintf(e->ca_file, sizeof(e->ca_file), "%s", s->ca_file);
		e->set.ca_file = e->ca_file;
	}
	make_room(&e->set);
	e->room_in = malloc(ROOM_IN);
	if (!e->room_in || grow_known(e)) {
		dns_engine_free(e);
		return -ENOMEM;
	}
	*ret = e;
	return 0;
}

void dns_engine_free(struct dns_engine *e)
{
	struct dns_known *k, *next;

	if (!e)
		return;
	while (e->all) {
		land(e->all);
		forget(e->all);
	}
	for (unsigned int i = 0; i < e->room; i++) {
		for (k = e->known[i]; k; k = next) {
			next = k->same_hash;
			loop_timer_stop(e->loop, &k->timer);
			dns_port_close(k->port);
			free(k);
		}
	}
	loop_timer_stop(e->loop, &e->pump);
	http_free(e->http);
	SSL_CTX_free(e->tls);
	free(e->known);
	free(e->room_in);
	free(e);
}

int dns_ask(struct dns_engine *e, const struct dns_target *t, const struct dns_question *q,
	    dns_done done, void *arg)
{
	struct dns_asked *a = malloc(sizeof(*a));
	int n;

	if (!a)
		return -ENOMEM;
	memset(a, 0, offsetof(struct dns_asked, query));
	n = dns_query(q, 0, a->query, sizeof(a->query));
	if (n < 0) {
		free(a);
		return n;
	}
	a->query_size = (size_t)n;
	a->target = know(e, t);
	if (!a->target) {
		free(a);
		return -ENOMEM;
	}
	if (t->transport == DNS_TLS)
		dns_tls_prepare(e); /* if it fails, it will again, for its question */
	a->engine = e;
	a->q = *q;
	a->done = done;
	a->arg = arg;
	a->next = e->all;
	if (e->all)
		e->all->prev = a;
	e->all = a;
	e->busy++;
	queue(a, false);
	return 0;
}

unsigned int dns_engine_busy(const struct dns_engine *e)
{
	return e->busy;
}
