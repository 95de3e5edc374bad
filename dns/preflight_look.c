/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preflight_look.c - the questions of a preflight: records with signatures, keys, DS, resolvers
 *
 * In three rounds, each at once: the authorities (records, keys), the resolvers (the zone's SOA:
 * never the record itself, which would load the old answer into their caches just before the flip)
 * and the parent's name servers; the addresses of those; the DS, from all of them until one
 * answers. The DS is asked of resolvers with CD only when no server of the parent can be found.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/preflight.h"
#include "dns/survey_own.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/conf/config.h"

#define MILLION	 UINT64_C(1000000)
#define PATIENCE (10 * UINT64_C(1000000000)) /* for all verifications together */
#define PARENTS	 6			     /* name servers of the parent that are looked for */

struct ask {
	struct dns_target target;
	struct dns_question q;
	struct dns_looked *to;
};

struct asking {
	struct loop *loop;
	struct dns_engine *engine;
	struct ask *ask; /* those to be asked in this round */
	unsigned int n, room, open;
	int err;
};

struct one {
	struct asking *all;
	struct dns_looked *to;
};

static void put(struct asking *x, const struct dns_target *t, const char *name, uint16_t type,
		struct dns_looked *to)
{
	struct ask *a;

	if (x->n == x->room) {
		unsigned int room = x->room ? 2 * x->room : 64;
		struct ask *more = realloc(x->ask, room * sizeof(*more));

		if (!more) {
			x->err = -ENOMEM;
			return;
		}
		x->ask = more;
		x->room = room;
	}
	a = &x->ask[x->n++];
	memset(a, 0, sizeof(*a));
	a->target = *t;
	a->to = to;
	snprintf(a->q.name, sizeof(a->q.name), "%s", name);
	a->q.type = type;
	snprintf(to->text, sizeof(to->text), "%s", t->text);
}

static struct dns_question *question(struct asking *x)
{
	return &x->ask[x->n - 1].q;
}

static void on_answer(void *arg, const struct dns_result *r)
{
	struct one *one = arg;
	struct dns_looked *to = one->to;
	struct asking *x = one->all;

	free(one);
	snprintf(to->why, sizeof(to->why), "%s", r->why[0] ? r->why : dns_outcomes[r->outcome]);
	if (r->answer) {
		to->answered = true;
		to->rcode = r->answer->rcode;
		to->answer = *r->answer;
		to->wire = malloc(r->size + 1);
		to->size = to->wire ? r->size : 0;
		if (to->wire)
			memcpy(to->wire, r->wire, r->size);
	}
	if (!--x->open)
		loop_stop(x->loop, 0);
}

/* Asks all that were put, and waits for the last. */
static int round_of(struct asking *x)
{
	for (unsigned int i = 0; i < x->n && !x->err; i++) {
		struct one *one = malloc(sizeof(*one));

		if (!one) {
			x->err = -ENOMEM;
			break;
		}
		one->all = x;
		one->to = x->ask[i].to;
		x->err = dns_ask(x->engine, &x->ask[i].target, &x->ask[i].q, on_answer, one);
		if (x->err)
			free(one);
		else
			x->open++;
	}
	x->n = 0;
	if (x->open) {
		int ran = loop_run(x->loop);

		if (!x->err && ran < 0)
			x->err = ran;
	}
	return x->err;
}

/* ---- the parent ---- */

static void authority_target(const struct dns_address *a, struct dns_target *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->transport = DNS_UDP;
	ret->family = a->family;
	memcpy(ret->ip, a->ip, sizeof(ret->ip));
	ret->port = 53;
	text_address(a->ip, 0, ret->text);
}

/* The first answer of several that can be used, whose bytes then belong to *ret. */
static void take_first(struct dns_looked *from, unsigned int n, struct dns_looked *ret)
{
	for (unsigned int i = 0; i < n; i++) {
		struct dns_looked *a = &from[i];

		if (ret->answered || !a->answered || a->rcode != DNS_NOERROR || a->answer.referral)
			continue;
		*ret = *a;
		a->wire = NULL;
	}
	if (!ret->answered && n)
		snprintf(ret->why, sizeof(ret->why), "%s",
			 from[0].answered ? "no parent's server has it" : from[0].why);
}

static void forget(struct dns_looked *a, unsigned int n)
{
	for (unsigned int i = 0; a && i < n; i++)
		free(a[i].wire);
	free(a);
}

static const char *parent_of(const struct dns_survey *s, const struct dns_look *l)
{
	return s->parent[0] ? s->parent : survey_above(l->zone);
}

/* The DS from the parent's servers, whose names `ns` has. */
static int ask_parent(struct asking *x, const struct dns_survey *s, const struct dns_looked *ns,
		      struct dns_look *l)
{
	struct dns_looked *address = calloc(2 * PARENTS, sizeof(*address));
	struct dns_looked *ds = calloc(4 * PARENTS, sizeof(*ds));
	struct dns_record *list = NULL;
	unsigned int n = 0;
	int names = 0, err = address && ds ? 0 : -ENOMEM;

	if (!err && ns->wire)
		names = dns_records(ns->wire, ns->size, DNS_IN_ANSWER, DNS_NS, &list);
	for (int i = 0; !err && i < names && i < PARENTS; i++) {
		for (unsigned int t = 0; t < 2; t++) {
			put(x, &s->own->bootstrap[0], list[i].text, t ? DNS_AAAA : DNS_A,
			    &address[2 * i + (int)t]);
			question(x)->recurse = true;
		}
	}
	if (!err)
		err = round_of(x);
	for (unsigned int i = 0; !err && i < 2 * PARENTS; i++) {
		const struct dns_answer *a = &address[i].answer;

		for (unsigned int k = 0; address[i].answered && k < a->n_addresses; k++) {
			struct dns_target t;

			if (n == 4 * PARENTS)
				break;
			authority_target(&a->address[k], &t);
			put(x, &t, l->zone, DNS_DS, &ds[n++]);
			question(x)->dnssec = true;
		}
	}
	if (!err && n)
		err = round_of(x);
	take_first(ds, n, &l->ds);
	if (names >= 0)
		dns_records_free(list, names);
	forget(address, 2 * PARENTS);
	forget(ds, 4 * PARENTS);
	return err;
}

/* From a resolver, which must not verify it. */
static int ask_ds_of_resolvers(struct asking *x, const struct dns_survey *s, struct dns_look *l)
{
	struct dns_looked *ds = calloc(SURVEY_BOOTSTRAPS, sizeof(*ds));
	int err = ds ? 0 : -ENOMEM;

	for (unsigned int i = 0; !err && i < s->own->n_bootstrap; i++) {
		put(x, &s->own->bootstrap[i], l->zone, DNS_DS, &ds[i]);
		question(x)->recurse = question(x)->dnssec = question(x)->unchecked = true;
	}
	if (!err)
		err = round_of(x);
	if (!err)
		take_first(ds, s->own->n_bootstrap, &l->ds);
	forget(ds, SURVEY_BOOTSTRAPS);
	return err;
}

/* ---- all ---- */

/* The zone, as its own servers say, when discovery could not. */
static int find_zone(struct asking *x, const struct dns_survey *s, struct dns_look *l)
{
	struct dns_looked *soa = calloc(DNS_LOOKED, sizeof(*soa));
	int err = soa ? 0 : -ENOMEM;

	for (unsigned int i = 0; !err && i < l->n; i++)
		put(x, &s->source[i].target, s->name, DNS_SOA, &soa[i]);
	if (!err)
		err = round_of(x);
	for (unsigned int i = 0; !err && i < l->n; i++)
		if (soa[i].answered && soa[i].answer.aa && soa[i].answer.has_soa &&
		    dns_below(s->name, soa[i].answer.soa_owner) && !l->zone[0])
			snprintf(l->zone, sizeof(l->zone), "%s", soa[i].answer.soa_owner);
	forget(soa, DNS_LOOKED);
	return err;
}

static int look(struct asking *x, const struct dns_survey_settings *set, const struct dns_survey *s,
		struct dns_look *l)
{
	struct dns_looked parent = {0};
	int err = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		if (s->source[i].kind == DNS_AUTHORITY)
			l->n += l->n < DNS_LOOKED;
		else
			l->n_resolvers += l->n_resolvers < DNS_LOOKED;
	}
	l->asked[0] = set->wanted->ask_a;
	l->asked[1] = set->wanted->ask_aaaa;
	snprintf(l->zone, sizeof(l->zone), "%s", s->zone);
	if (!l->zone[0])
		err = find_zone(x, s, l);
	for (unsigned int i = 0; i < l->n; i++) {
		for (unsigned int t = 0; t < 2; t++) {
			if (!l->asked[t])
				continue;
			put(x, &s->source[i].target, s->name, t ? DNS_AAAA : DNS_A,
			    &l->record[t][i]);
			question(x)->dnssec = true;
		}
		if (!l->zone[0])
			continue;
		put(x, &s->source[i].target, l->zone, DNS_DNSKEY, &l->keys[i]);
		question(x)->dnssec = true;
	}
	for (unsigned int i = 0; l->zone[0] && i < l->n_resolvers; i++) {
		put(x, &s->source[s->n_authorities + i].target, l->zone, DNS_SOA, &l->resolver[i]);
		question(x)->recurse = true;
	}
	if (l->zone[0] && s->own->n_bootstrap) {
		put(x, &s->own->bootstrap[0], parent_of(s, l), DNS_NS, &parent);
		question(x)->recurse = true;
	}
	if (!err)
		err = round_of(x);
	if (!err && l->zone[0] && parent.answered)
		err = ask_parent(x, s, &parent, l);
	if (!err && l->zone[0] && !l->ds.answered && s->own->n_bootstrap)
		err = ask_ds_of_resolvers(x, s, l);
	free(parent.wire);
	return err;
}

int dns_look(struct loop *l, const struct dns_survey_settings *set, const struct dns_survey *s,
	     struct dns_look **ret)
{
	const struct dns_engine_settings engine = {
		.timeout_ns = set->conf->timeout_ms * MILLION,
		.tries = set->tries,
		.ca_file = set->conf->ca_file[0] ? set->conf->ca_file : NULL,
	};
	struct asking x = {.loop = l};
	struct dns_look *one = calloc(1, sizeof(*one));
	int err;

	if (!one)
		return -ENOMEM;
	err = dns_engine_make(l, &engine, &x.engine);
	if (!err)
		err = look(&x, set, s, one);
	dns_engine_free(x.engine);
	free(x.ask);
	if (err) {
		dns_look_free(one);
		return err;
	}
	*ret = one;
	return 0;
}

void dns_look_free(struct dns_look *l)
{
	if (!l)
		return;
	for (unsigned int i = 0; i < DNS_LOOKED; i++) {
		free(l->record[0][i].wire);
		free(l->record[1][i].wire);
		free(l->keys[i].wire);
		free(l->resolver[i].wire);
	}
	free(l->ds.wire);
	free(l);
}

unsigned int dns_verify_all(const struct dns_look *l, const char *name, uint64_t now_s,
			    struct dns_verified *v)
{
	uint64_t until = loop_now() + PATIENCE;
	unsigned int n = 0;

	for (unsigned int i = 0; i < l->n; i++) {
		for (unsigned int t = 0; t < 2; t++) {
			const struct dns_looked *a = &l->record[t][i], *k = &l->keys[i];
			struct secure_chain c = {
				.zone = l->zone,
				.name = name,
				.type = t ? DNS_AAAA : DNS_A,
				.ds = {l->ds.wire, l->ds.size},
				.keys = {k->wire, k->size},
				.answer = {a->wire, a->size},
				.now = now_s,
			};

			/* Who does not answer is told by another gate. */
			if (!l->asked[t] || !a->answered ||
			    (a->rcode != DNS_NOERROR && a->rcode != DNS_NXDOMAIN) || !a->answer.aa)
				continue;
			v[n].server = a->text;
			v[n].type = c.type;
			if (loop_now() < until)
				secure_verify(&c, &v[n].result);
			else
				snprintf(v[n].result.why, sizeof(v[n].result.why),
					 "no time was left to verify it");
			n++;
		}
	}
	return n;
}
