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
#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/conf/config.h"

#define DEPTH  8  /* delegations followed below the zone that a resolver knows */
#define ASKED  16 /* servers of a zone that are asked about delegations */
#define LABELS 128

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
	struct batch *batch;
};

struct batch {
	struct loop *loop;
	unsigned int open;
};

static void forget(struct asked *a, unsigned int n)
{
	for (unsigned int i = 0; a && i < n; i++)
		free(a[i].wire);
	free(a);
}

static void on_answer(void *arg, const struct dns_result *r)
{
	struct asked *a = arg;

	snprintf(a->why, sizeof(a->why), "%s", r->why);
	if (r->answer) {
		char text[16];

		a->has_answer = true;
		a->answer = *r->answer;
		a->wire = malloc(r->size);
		a->size = a->wire ? r->size : 0;
		if (a->wire)
			memcpy(a->wire, r->wire, r->size);
		a->settled = r->answer->rcode == DNS_NOERROR || r->answer->rcode == DNS_NXDOMAIN;
		if (!a->settled)
			snprintf(a->why, sizeof(a->why), "%s",
				 dns_rcode_text(r->answer->rcode, text));
	}
	if (!--a->batch->open)
		loop_stop(a->batch->loop, 0);
}

/* Asks those that are not settled, each its target, and waits for all. */
static int ask_all(struct dns_survey *s, struct asked *a, unsigned int n)
{
	struct batch b = {.loop = s->own->loop};
	int err = 0;

	for (unsigned int i = 0; i < n && !err; i++) {
		if (a[i].settled)
			continue;
		free(a[i].wire);
		a[i].wire = NULL;
		a[i].size = 0;
		a[i].has_answer = false;
		a[i].batch = &b;
		err = dns_ask(s->own->engine, &a[i].target, &a[i].q, on_answer, &a[i]);
		b.open += !err;
	}
	if (b.open) {
		int ran = loop_run(s->own->loop);

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

/* Asks the resolvers, the next one what the one before could not say. */
static int resolve(struct dns_survey *s, struct asked *a, unsigned int n)
{
	for (unsigned int b = 0; b < s->own->n_bootstrap; b++) {
		unsigned int left = 0;
		int err;

		for (unsigned int i = 0; i < n; i++) {
			a[i].target = s->own->bootstrap[b];
			left += !a[i].settled;
		}
		if (!left)
			break;
		err = ask_all(s, a, n);
		if (err)
			return err;
	}
	return 0;
}

/* ---- pure ---- */

const char *survey_above(const char *name)
{
	while (*name && *name != '.') {
		if (*name == '\\' && name[1])
			name++;
		name++;
	}
	return *name && name[1] ? name + 1 : ".";
}

struct survey_ns *survey_ns(struct survey_set *set, const char *name)
{
	for (unsigned int i = 0; i < set->n; i++)
		if (!strcmp(set->ns[i].name, name))
			return &set->ns[i];
	if (set->n == SURVEY_NAMES)
		return NULL;
	snprintf(set->ns[set->n].name, sizeof(set->ns[0].name), "%s", name);
	return &set->ns[set->n++];
}

void survey_ns_address(struct survey_ns *ns, const struct dns_address *a, bool glue)
{
	unsigned int i = 0;

	while (i < ns->n && (ns->address[i].family != a->family ||
			     memcmp(ns->address[i].ip, a->ip, sizeof(a->ip)) != 0))
		i++;
	if (i == SURVEY_PER_NAME)
		return;
	if (i == ns->n)
		ns->address[ns->n++] = *a;
	*(glue ? &ns->glue[i] : &ns->own[i]) = true;
}

static void take_glue(struct survey_set *set, const uint8_t *wire, size_t size, uint16_t type)
{
	struct dns_record *list = NULL;
	int n = dns_records(wire, size, DNS_IN_ADDITIONAL, type, &list);

	for (int i = 0; i < n; i++) {
		struct dns_address a = {.ttl = list[i].ttl};
		uint16_t port = 0;

		for (unsigned int k = 0; k < set->n; k++) {
			if (strcmp(set->ns[k].name, list[i].owner) != 0 ||
			    ip_parse(list[i].text, a.ip, &port))
				continue;
			a.family = ip_family(a.ip);
			survey_ns_address(&set->ns[k], &a, true);
		}
	}
	if (n >= 0)
		dns_records_free(list, n);
}

int survey_take_ns(struct survey_set *set, const uint8_t *wire, size_t size,
		   enum dns_section section, const char *zone, bool parent)
{
	struct dns_record *list = NULL;
	int n = dns_records(wire, size, section, DNS_NS, &list), taken = 0;

	for (int i = 0; i < n; i++) {
		char name[DNS_NAME];
		struct survey_ns *ns;

		if (strcmp(list[i].owner, zone) != 0 || dns_name(list[i].text, name))
			continue;
		ns = survey_ns(set, name);
		if (!ns)
			continue;
		*(parent ? &ns->in_parent : &ns->in_child) = true;
		taken++;
	}
	if (n >= 0)
		dns_records_free(list, n);
	if (n > 0 && parent && taken) {
		set->parent_seen = true;
		take_glue(set, wire, size, DNS_A);
		take_glue(set, wire, size, DNS_AAAA);
	}
	return n < 0 ? n : taken;
}

static void conclude_name(struct dns_survey *s, const struct survey_set *set,
			  const struct survey_ns *ns)
{
	bool from_zone = false;

	for (unsigned int i = 0; i < ns->n; i++)
		from_zone |= ns->own[i];
	if (set->parent_seen && ns->in_parent != ns->in_child) {
		s->delegation_differs++;
		survey_note(s, "%.120s: %s", ns->name,
			    ns->in_parent ? "delegated to by the parent, but not in the zone's own "
					    "NS records"
					  : "in the zone's own NS records, but not delegated to by "
					    "the parent");
	}
	if (!ns->n)
		survey_note(s, "%.120s: no address is known of this name server", ns->name);
	for (unsigned int i = 0; i < ns->n; i++) {
		char text[64];

		text_address(ns->address[i].ip, 0, text);
		if (ns->glue[i] && !ns->own[i] && from_zone)
			survey_note(s, "%.120s: the parent's glue %s is not its address", ns->name,
				    text);
	}
}

/* An address that is there already keeps its place, and is known by the name, too. */
static void add_authority(struct dns_survey *s, const struct survey_ns *ns,
			  const struct dns_address *a)
{
	struct dns_target t = {.transport = DNS_UDP, .family = a->family, .port = 53};
	struct dns_source *source = NULL;

	memcpy(t.ip, a->ip, sizeof(t.ip));
	text_address(a->ip, 0, t.text);
	for (unsigned int i = 0; i < s->n_authorities; i++) {
		const struct dns_target *is = &s->source[i].target;

		if (is->family == t.family && is->port == t.port &&
		    !memcmp(is->ip, t.ip, sizeof(t.ip)))
			source = &s->source[i];
	}
	if (!source) {
		source = survey_add(s, DNS_AUTHORITY, &t, t.text);
		if (!source)
			return;
		s->n_authorities++;
	}
	if (!source->ns[0])
		snprintf(source->ns, sizeof(source->ns), "%s", ns->name);
	source->in_parent |= ns->in_parent;
	source->in_child |= ns->in_child;
}

void survey_conclude(struct dns_survey *s, const struct survey_set *set)
{
	unsigned int resolvers = s->n - s->n_authorities, begin = s->n_authorities;
	struct dns_source *aside = calloc(resolvers + 1, sizeof(*aside));

	/* Authorities come first: nothing was asked yet, so the resolvers can move. */
	if (!aside)
		return;
	memcpy(aside, s->source + begin, resolvers * sizeof(*aside));
	memset(s->source + begin, 0, resolvers * sizeof(*aside));
	s->n = begin;
	for (unsigned int i = 0; i < set->n; i++) {
		conclude_name(s, set, &set->ns[i]);
		for (unsigned int k = 0; k < set->ns[i].n; k++)
			add_authority(s, &set->ns[i], &set->ns[i].address[k]);
	}
	for (unsigned int i = 0; i < resolvers; i++) {
		struct dns_source *n = survey_add(s, DNS_RESOLVER, &aside[i].target, aside[i].text);

		if (n)
			*n = aside[i];
	}
	free(aside);
}

/* ---- the way down ---- */

/* The zone that holds `name`, as a resolver knows it. */
static int find_zone(struct dns_survey *s, const char *name, char zone[DNS_NAME], char *why)
{
	const char *at = name;

	for (unsigned int i = 0; i < LABELS; i++, at = survey_above(at)) {
		struct asked *a = calloc(1, sizeof(*a));
		bool found = false, settled;
		int err;

		if (!a)
			return -ENOMEM;
		put_question(a, at, DNS_SOA, true);
		err = resolve(s, a, 1);
		settled = a->settled;
		if (!err && a->settled && a->answer.has_soa &&
		    dns_below(name, a->answer.soa_owner)) {
			snprintf(zone, DNS_NAME, "%s", a->answer.soa_owner);
			found = true;
		}
		if (!settled)
			snprintf(why, 256, "the zone of %.100s: no resolver can say: %.120s", at,
				 a->why[0] ? a->why : "none is known");
		forget(a, 1);
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
	struct asked *a = calloc(2 * SURVEY_NAMES, sizeof(*a));
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
	err = resolve(s, a, n);
	for (unsigned int i = 0; !err && i < n; i++)
		for (unsigned int k = 0; a[i].settled && k < a[i].answer.n_addresses; k++)
			survey_ns_address(of[i], &a[i].answer.address[k], false);
	forget(a, 2 * SURVEY_NAMES);
	return err;
}

/* The NS set of a zone, as a resolver knows it, with addresses. */
static int find_servers(struct dns_survey *s, const char *zone, struct survey_set *set, char *why)
{
	struct asked *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	put_question(a, zone, DNS_NS, true);
	err = resolve(s, a, 1);
	if (!err && (!a->settled ||
		     survey_take_ns(set, a->wire, a->size, DNS_IN_ANSWER, zone, false) <= 0)) {
		snprintf(why, 256, "the name servers of %.100s: %s", zone,
			 a->why[0] ? a->why : "none are known");
		err = -ENOENT;
	}
	forget(a, 1);
	return err ? err : find_addresses(s, set);
}

/* A question to the servers of a set, each address once. The caller forgets *ret. */
static int ask_servers(struct dns_survey *s, const struct survey_set *set, const char *name,
		       uint16_t type, struct asked **ret, unsigned int *ret_n)
{
	struct asked *a = calloc(ASKED, sizeof(*a));
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
	err = ask_all(s, a, n);
	*ret = a;
	*ret_n = n;
	return err;
}

/* Is the name delegated from `zone` once more? 1 and the zone below, with the delegation in `set`;
 * 0. */
static int step_down(struct dns_survey *s, char zone[DNS_NAME], struct survey_set *set)
{
	char below[DNS_NAME] = "";
	struct asked *a = NULL;
	struct survey_set *deeper = calloc(1, sizeof(*deeper));
	unsigned int n = 0;
	int err;

	if (!deeper)
		return -ENOMEM;
	err = ask_servers(s, set, s->name, DNS_SOA, &a, &n);
	for (unsigned int i = 0; !err && i < n; i++) {
		struct dns_record *list = NULL;
		int records;

		if (!a[i].settled || !a[i].wire)
			continue;
		/* The same servers have both zones. */
		if (a[i].answer.aa && a[i].answer.has_soa &&
		    dns_below(s->name, a[i].answer.soa_owner) &&
		    strlen(a[i].answer.soa_owner) > strlen(zone)) {
			snprintf(below, sizeof(below), "%s", a[i].answer.soa_owner);
			break;
		}
		if (!a[i].answer.referral)
			continue;
		records = dns_records(a[i].wire, a[i].size, DNS_IN_AUTHORITY, DNS_NS, &list);
		if (records > 0 && dns_below(s->name, list[0].owner) &&
		    strcmp(list[0].owner, zone) != 0 && dns_below(list[0].owner, zone)) {
			snprintf(below, sizeof(below), "%s", list[0].owner);
			survey_take_ns(deeper, a[i].wire, a[i].size, DNS_IN_AUTHORITY, below, true);
		}
		if (records >= 0)
			dns_records_free(list, records);
		if (below[0])
			break;
	}
	forget(a, ASKED);
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
	struct asked *a = NULL;
	unsigned int n = 0, told = 0;
	int err = ask_servers(s, set, s->zone, DNS_NS, &a, &n);

	for (unsigned int i = 0; !err && i < set->n; i++)
		set->ns[i].in_child = false; /* what a resolver says is not the zone's word */
	for (unsigned int i = 0; !err && i < n; i++)
		if (a[i].settled && a[i].wire && a[i].answer.aa)
			told += survey_take_ns(set, a[i].wire, a[i].size, DNS_IN_ANSWER, s->zone,
					       false) > 0;
	forget(a, ASKED);
	if (!err && !told)
		survey_note(s, "%.120s: none of its servers tells its NS records", s->zone);
	return err ? err : find_addresses(s, set);
}

/* The delegation, from the parent's servers. Its absence is a note, no failure. */
static int find_delegation(struct dns_survey *s, struct survey_set *set)
{
	struct survey_set *above;
	struct asked *a = NULL;
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
	err = ask_servers(s, above, s->zone, DNS_NS, &a, &n);
	for (unsigned int i = 0; !err && i < n; i++) {
		held |= a[i].settled && a[i].answer.aa;
		if (a[i].settled && a[i].wire && !a[i].answer.aa)
			survey_take_ns(set, a[i].wire, a[i].size, DNS_IN_AUTHORITY, s->zone, true);
	}
	forget(a, ASKED);
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
	int err = find_zone(s, survey_above(s->name), zone, why);

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
