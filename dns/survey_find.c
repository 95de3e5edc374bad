/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * survey_find.c - the authoritative addresses of a name, by the delegation
 *
 * A resolver is asked for the zone above the name (never for the name itself: a name that is not
 * there yet would be remembered as missing), its servers whether the name is delegated further, the
 * zone's servers for the zone's own NS records, and the parent's servers for the delegation. Every
 * name of the two sets and every address of it, glue too, is a source: resolvers use them all. The
 * SOA's MNAME is no source: it need not answer. RFC 1034 4.2.2, 1035, 9471 (glue).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/survey_own.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/conf/config.h"

#define DEPTH  8  /* delegations followed below the zone that a resolver knows */
#define ASKED  16 /* servers of a zone that are asked about delegations */
#define LABELS 128
#define GRACE  500000000ull /* ns: for the other servers of a zone, once one has answered */

/* ---- many questions, waited for ---- */

struct asked {
	struct dns_target target;
	struct dns_question q;
	bool settled; /* an answer that says something */
	bool has_answer;
	struct dns_answer answer;
	uint8_t *wire;
	size_t size;
	char why[128];
	struct survey_batch *batch;
};

struct survey_batch {
	struct dns_survey *s;
	struct survey_batch *next;
	unsigned int n, open;
	bool waited_for; /* by the loop that runs */
	bool hurries;	 /* one good answer is nearly enough */
	bool over;	 /* nobody wants it any more: it goes with its last answer */
	struct loop_timer grace;
	struct asked a[];
};

static struct survey_batch *batch_new(struct dns_survey *s, unsigned int n)
{
	struct survey_batch *b = calloc(1, sizeof(*b) + n * sizeof(b->a[0]));

	if (!b)
		return NULL;
	b->s = s;
	b->n = n;
	for (unsigned int i = 0; i < n; i++)
		b->a[i].batch = b;
	b->next = s->own->batches;
	s->own->batches = b;
	return b;
}

static void batch_free(struct survey_batch *b)
{
	struct survey_batch **at = &b->s->own->batches;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	loop_timer_stop(b->s->own->loop, &b->grace);
	for (unsigned int i = 0; i < b->n; i++)
		free(b->a[i].wire);
	free(b);
}

void survey_forget_batches(struct dns_survey *s)
{
	while (s->own->batches)
		batch_free(s->own->batches);
}

static void forget(struct survey_batch *b)
{
	if (!b)
		return;
	b->over = true;
	if (!b->open)
		batch_free(b);
}

static void stop_waiting(struct survey_batch *b)
{
	if (b->waited_for)
		loop_stop(b->s->own->loop, 0);
	b->waited_for = false;
}

static void on_grace(void *arg, uint64_t now)
{
	(void)now;
	stop_waiting(arg);
}

static void take_answer(struct asked *a, const struct dns_result *r)
{
	char text[16];

	a->has_answer = true;
	a->answer = *r->answer;
	a->wire = malloc(r->size);
	a->size = a->wire ? r->size : 0;
	if (a->wire)
		memcpy(a->wire, r->wire, r->size);
	a->settled = r->answer->rcode == DNS_NOERROR || r->answer->rcode == DNS_NXDOMAIN;
	if (!a->settled)
		snprintf(a->why, sizeof(a->why), "%s", dns_rcode_text(r->answer->rcode, text));
}

static void on_answer(void *arg, const struct dns_result *r)
{
	struct asked *a = arg;
	struct survey_batch *b = a->batch;

	b->open--;
	if (!b->over) {
		snprintf(a->why, sizeof(a->why), "%s", r->why);
		if (r->answer && b->waited_for)
			take_answer(a, r);
		if (a->settled && b->hurries && !b->grace.place)
			loop_timer_set(b->s->own->loop, &b->grace, loop_now() + GRACE, on_grace, b);
	}
	if (b->open)
		return;
	stop_waiting(b);
	if (b->over)
		batch_free(b);
}

/* Asks those that are not settled, each its target, and waits for all; with `hurries` after the
 * first good answer not for long. */
static int ask_all(struct survey_batch *b, unsigned int n, bool hurries)
{
	struct dns_survey *s = b->s;
	int err = 0;

	b->hurries = hurries;
	for (unsigned int i = 0; i < n && !err; i++) {
		struct asked *a = &b->a[i];

		if (a->settled)
			continue;
		free(a->wire);
		a->wire = NULL;
		a->size = 0;
		a->has_answer = false;
		err = dns_ask(s->own->engine, &a->target, &a->q, on_answer, a);
		b->open += !err;
	}
	if (b->open) {
		int ran;

		b->waited_for = true;
		ran = loop_run(s->own->loop);
		b->waited_for = false;
		loop_timer_stop(s->own->loop, &b->grace);
		if (!err && ran < 0)
			err = ran;
	}
	return err;
}

static void put_question(struct asked *a, const char *name, uint16_t type, bool recurse)
{
	snprintf(a->q.name, sizeof(a->q.name), "%s", name);
	a->q.type = type;
	a->q.recurse = recurse;
}

/* One that did not answer at all is asked last from now on. */
static void demote(struct dns_survey *s, unsigned int which)
{
	struct dns_target t = s->own->bootstrap[which];
	unsigned int last = s->own->n_bootstrap - 1;

	memmove(&s->own->bootstrap[which], &s->own->bootstrap[which + 1],
		(last - which) * sizeof(t));
	s->own->bootstrap[last] = t;
}

/* Asks the resolvers, the next one what the one before could not say. */
static int resolve(struct survey_batch *b, unsigned int n)
{
	struct dns_survey *s = b->s;
	unsigned int at = 0;

	for (unsigned int turn = 0; turn < s->own->n_bootstrap; turn++) {
		unsigned int left = 0, answers = 0;
		int err;

		for (unsigned int i = 0; i < n; i++) {
			b->a[i].target = s->own->bootstrap[at];
			left += !b->a[i].settled;
			answers += b->a[i].settled;
		}
		if (!left)
			break;
		err = ask_all(b, n, false);
		if (err)
			return err;
		for (unsigned int i = 0; i < n; i++)
			answers += b->a[i].has_answer;
		if (answers)
			at++;
		else
			demote(s, at);
	}
	return 0;
}

/* ---- the way down ---- */

/* Asks every resolver once, so that one that is dead is not asked first each time. */
static int sort_bootstraps(struct dns_survey *s)
{
	struct survey_batch *b = batch_new(s, SURVEY_BOOTSTRAPS);
	struct dns_target sorted[SURVEY_BOOTSTRAPS];
	unsigned int n = s->own->n_bootstrap, kept = 0;
	int err;

	if (!b)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		b->a[i].target = s->own->bootstrap[i];
		put_question(&b->a[i], survey_above(s->name), DNS_SOA, true);
	}
	err = ask_all(b, n, true);
	for (int answered = 1; answered >= 0; answered--)
		for (unsigned int i = 0; i < n; i++)
			if (b->a[i].settled == answered)
				sorted[kept++] = s->own->bootstrap[i];
	memcpy(s->own->bootstrap, sorted, n * sizeof(sorted[0]));
	forget(b);
	return err;
}

/* The zone that holds `name`, as a resolver knows it. */
static int find_zone(struct dns_survey *s, const char *name, char zone[DNS_NAME], char *why)
{
	const char *at = name;

	for (unsigned int i = 0; i < LABELS; i++, at = survey_above(at)) {
		struct survey_batch *b = batch_new(s, 1);
		struct asked *a = b ? &b->a[0] : NULL;
		bool found = false, settled;
		int err;

		if (!a)
			return -ENOMEM;
		put_question(a, at, DNS_SOA, true);
		err = resolve(b, 1);
		settled = a->settled;
		if (!err && a->settled && a->answer.has_soa &&
		    dns_below(name, a->answer.soa_owner)) {
			snprintf(zone, DNS_NAME, "%s", a->answer.soa_owner);
			found = true;
		}
		if (!settled)
			snprintf(why, 256, "the zone of %.100s: no resolver can say: %.120s", at,
				 a->why[0] ? a->why : "none is known");
		forget(b);
		if (err || found)
			return err;
		if (!settled)
			return -ENOENT;
		if (!strcmp(at, "."))
			break;
	}
	snprintf(why, 256, "the zone of %.200s: none was found", name);
	return -ENOENT;
}

/* The addresses of every name that has none of its own zone's yet. */
static int find_addresses(struct dns_survey *s, struct survey_set *set)
{
	struct survey_batch *b = batch_new(s, 2 * SURVEY_NAMES);
	struct asked *a = b ? b->a : NULL;
	struct survey_ns *of[2 * SURVEY_NAMES];
	unsigned int n = 0;
	int err;

	if (!a)
		return -ENOMEM;
	for (unsigned int i = 0; i < set->n; i++) {
		bool has = false;

		for (unsigned int k = 0; k < set->ns[i].n; k++)
			has |= set->ns[i].own[k];
		for (unsigned int type = 0; !has && type < 2; type++) {
			of[n] = &set->ns[i];
			put_question(&a[n++], set->ns[i].name, type ? DNS_AAAA : DNS_A, true);
		}
	}
	err = resolve(b, n);
	for (unsigned int i = 0; !err && i < n; i++)
		for (unsigned int k = 0; a[i].settled && k < a[i].answer.n_addresses; k++)
			survey_ns_address(of[i], &a[i].answer.address[k], false);
	forget(b);
	return err;
}

/* The NS set of a zone, as a resolver knows it, with addresses. */
static int find_servers(struct dns_survey *s, const char *zone, struct survey_set *set, char *why)
{
	struct survey_batch *b = batch_new(s, 1);
	struct asked *a = b ? b->a : NULL;
	int err;

	if (!a)
		return -ENOMEM;
	put_question(a, zone, DNS_NS, true);
	err = resolve(b, 1);
	if (!err && (!a->settled ||
		     survey_take_ns(set, a->wire, a->size, DNS_IN_ANSWER, zone, false) <= 0)) {
		snprintf(why, 256, "the name servers of %.100s: %s", zone,
			 a->why[0] ? a->why : "none are known");
		err = -ENOENT;
	}
	forget(b);
	return err ? err : find_addresses(s, set);
}

/* A question to the servers of a set, each address once. The caller forgets *ret. */
static int ask_servers(struct dns_survey *s, const struct survey_set *set, const char *name,
		       uint16_t type, struct survey_batch **ret, unsigned int *ret_n)
{
	struct survey_batch *b = batch_new(s, ASKED);
	struct asked *a = b ? b->a : NULL;
	unsigned int n = 0;
	int err;

	if (!a)
		return -ENOMEM;
	for (unsigned int k = 0; k < SURVEY_PER_NAME; k++) {
		for (unsigned int i = 0; i < set->n && n < ASKED; i++) {
			const struct dns_address *at = &set->ns[i].address[k];

			if (k >= set->ns[i].n)
				continue;
			a[n].target.transport = DNS_UDP;
			a[n].target.family = at->family;
			a[n].target.port = 53;
			memcpy(a[n].target.ip, at->ip, sizeof(at->ip));
			text_address(at->ip, 0, a[n].target.text);
			put_question(&a[n++], name, type, false);
		}
	}
	err = ask_all(b, n, true);
	*ret = b;
	*ret_n = n;
	return err;
}

/* Is the name delegated from `zone` once more? 1 and the zone below, with the delegation in `set`;
 * 0. */
static int step_down(struct dns_survey *s, char zone[DNS_NAME], struct survey_set *set)
{
	char below[DNS_NAME] = "";
	struct survey_batch *b = NULL;
	struct survey_set *deeper = calloc(1, sizeof(*deeper));
	unsigned int n = 0;
	int err;

	if (!deeper)
		return -ENOMEM;
	err = ask_servers(s, set, s->name, DNS_SOA, &b, &n);
	for (unsigned int i = 0; !err && i < n; i++) {
		struct dns_record *list = NULL;
		int records;

		if (!b->a[i].settled || !b->a[i].wire)
			continue;
		/* The same servers have both zones. */
		if (b->a[i].answer.aa && b->a[i].answer.has_soa &&
		    dns_below(s->name, b->a[i].answer.soa_owner) &&
		    strlen(b->a[i].answer.soa_owner) > strlen(zone)) {
			snprintf(below, sizeof(below), "%s", b->a[i].answer.soa_owner);
			break;
		}
		if (!b->a[i].answer.referral)
			continue;
		records = dns_records(b->a[i].wire, b->a[i].size, DNS_IN_AUTHORITY, DNS_NS, &list);
		if (records > 0 && dns_below(s->name, list[0].owner) &&
		    strcmp(list[0].owner, zone) != 0 && dns_below(list[0].owner, zone)) {
			snprintf(below, sizeof(below), "%s", list[0].owner);
			survey_take_ns(deeper, b->a[i].wire, b->a[i].size, DNS_IN_AUTHORITY, below,
				       true);
		}
		if (records >= 0)
			dns_records_free(list, records);
		if (below[0])
			break;
	}
	forget(b);
	if (below[0] && !err) {
		snprintf(zone, DNS_NAME, "%s", below);
		if (deeper->n) {
			err = find_addresses(s, deeper);
			*set = *deeper;
		}
	}
	free(deeper);
	return err ? err : below[0] != 0;
}

/* The zone's own NS records, from its servers. */
static int find_own(struct dns_survey *s, struct survey_set *set)
{
	struct survey_batch *b = NULL;
	unsigned int n = 0, told = 0;
	int err = ask_servers(s, set, s->zone, DNS_NS, &b, &n);

	set->child_seen = false; /* what a resolver says is not the zone's word */
	for (unsigned int i = 0; !err && i < set->n; i++)
		set->ns[i].in_child = false;
	for (unsigned int i = 0; !err && i < n; i++)
		if (b->a[i].settled && b->a[i].wire && b->a[i].answer.aa)
			told += survey_take_ns(set, b->a[i].wire, b->a[i].size, DNS_IN_ANSWER,
					       s->zone, false) > 0;
	forget(b);
	if (!err && !told)
		survey_note(s, "%.120s: none of its servers tells its NS records", s->zone);
	return err ? err : find_addresses(s, set);
}

/* The delegation, from the parent's servers. Its absence is a note, no failure. */
static int find_delegation(struct dns_survey *s, struct survey_set *set)
{
	struct survey_set *above;
	struct survey_batch *b = NULL;
	unsigned int n = 0;
	bool held = false;
	char why[256];
	int err;

	if (!strcmp(s->zone, "."))
		return 0;
	above = calloc(1, sizeof(*above));
	if (!above)
		return -ENOMEM;
	err = find_zone(s, survey_above(s->zone), s->parent, why);
	if (!err)
		err = find_servers(s, s->parent, above, why);
	if (err) {
		free(above);
		if (err != -ENOENT)
			return err;
		survey_note(s, "the delegation could not be seen: %.200s", why);
		return 0;
	}
	err = ask_servers(s, above, s->zone, DNS_NS, &b, &n);
	for (unsigned int i = 0; !err && i < n; i++) {
		held |= b->a[i].settled && b->a[i].answer.aa;
		if (b->a[i].settled && b->a[i].wire && !b->a[i].answer.aa)
			survey_take_ns(set, b->a[i].wire, b->a[i].size, DNS_IN_AUTHORITY, s->zone,
				       true);
	}
	forget(b);
	free(above);
	/* Servers that have both zones never show the one's delegation in the other. */
	if (!err && !set->parent_seen && !held)
		survey_note(s, "the delegation could not be seen: no server of %.120s gives it",
			    s->parent);
	return err ? err : find_addresses(s, set);
}

static int find_all(struct dns_survey *s, struct survey_set *set, char *why)
{
	char zone[DNS_NAME] = "";
	int err = sort_bootstraps(s);

	if (!err)
		err = find_zone(s, survey_above(s->name), zone, why);
	if (!err)
		err = find_servers(s, zone, set, why);
	for (unsigned int i = 0; !err && i < DEPTH; i++) {
		int deeper = step_down(s, zone, set);

		if (deeper < 0)
			err = deeper;
		if (deeper <= 0)
			break;
	}
	if (err)
		return err;
	snprintf(s->zone, sizeof(s->zone), "%s", zone);
	err = find_own(s, set);
	return err ? err : find_delegation(s, set);
}

int dns_survey_discover(struct dns_survey *s, bool always, char *why)
{
	struct survey_set *set;
	int err;

	why[0] = 0;
	if (s->own->set.conf->n_authorities && !always)
		return 0;
	set = calloc(1, sizeof(*set));
	if (!set)
		return -ENOMEM;
	err = find_all(s, set, why);
	if (!err)
		survey_conclude(s, set);
	free(set);
	if (err && s->own->set.conf->n_authorities && err == -ENOENT) {
		survey_note(s, "the delegation could not be seen: %.200s", why);
		return 0;
	}
	if (!err && !s->n_authorities) {
		snprintf(why, 256, "%.200s: no name server has an address", s->zone);
		err = -ENOENT;
	}
	if (err && !why[0])
		snprintf(why, 256, "%s", strerror(-err));
	return err;
}
