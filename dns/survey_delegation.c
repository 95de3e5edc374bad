/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * survey_delegation.c - name servers, as parent and zone give them, and what to make of them
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/survey_own.h"
#include "userspace/base/ip.h"
#include "userspace/base/text.h"

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
	set->child_seen |= !parent && taken > 0;
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
	if (set->parent_seen && set->child_seen && ns->in_parent != ns->in_child) {
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
