/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * across.c - values held against other values of the same file
 *
 * A value that could not be read left an empty place (no family, no name); these are passed over.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/conf/schema.h"

#define BAD(errors, at, key, ...) conf_complain(errors, false, at, key, __VA_ARGS__)

static const char *indexed(const char *format, unsigned int i, char ret[64])
{
	/* Every format is one of the literals below, with one %u. */
	snprintf(ret, 64, format, i);
	return ret;
}

/* ---- twice the same ---- */

static bool same_network(const struct conf_address *a, const struct conf_address *b)
{
	return a->family && a->family == b->family && a->prefix == b->prefix &&
	       !memcmp(a->ip, b->ip, sizeof(a->ip));
}

static void unique_addresses(const struct conf_address *list, unsigned int n, const char *format,
			     struct conf_errors *errors)
{
	char key[64], text[64];

	for (unsigned int i = 1; i < n; i++)
		for (unsigned int j = 0; j < i; j++) {
			if (!same_network(&list[i], &list[j]))
				continue;
			BAD(errors, list[i].at, indexed(format, i, key),
			    "%s is there twice: line %u has it already",
			    conf_address_text(&list[i], text), list[j].at.line);
			break;
		}
}

/* One network, one entry of the client table: two lists cannot both have it. */
static void apart(const struct conf_address *list, unsigned int n, const struct conf_address *other,
		  unsigned int n_other, const char *format, const char *what,
		  struct conf_errors *errors)
{
	char key[64], text[64];

	for (unsigned int i = 0; i < n_other; i++)
		for (unsigned int j = 0; j < n; j++) {
			if (!same_network(&list[j], &other[i]))
				continue;
			BAD(errors, other[i].at, indexed(format, i, key),
			    "%s is in %s too (line %u): it can only be one of them",
			    conf_address_text(&other[i], text), what, list[j].at.line);
			break;
		}
}

/* An IPv4 address is looked up as ::ffff:a.b.c.d, so a short IPv6 prefix would hold it. */
static void one_family(const struct conf_address *list, unsigned int n, const char *format,
		       struct conf_errors *errors)
{
	uint32_t mapped[4];
	char key[64], text[64];

	ip_map(0, mapped);
	for (unsigned int i = 0; i < n; i++) {
		if (list[i].family != 6 || list[i].prefix >= 96 ||
		    !ip_in(mapped, list[i].ip, list[i].prefix))
			continue;
		BAD(errors, list[i].at, indexed(format, i, key),
		    "%s would hold the IPv4 clients, too: must be 2000::/3 for all of IPv6",
		    conf_address_text(&list[i], text));
	}
}

static void unique_listens(const struct config *c, struct conf_errors *errors)
{
	char key[64];

	for (unsigned int i = 1; i < c->n_listens; i++)
		for (unsigned int j = 0; j < i; j++) {
			const struct conf_listen *a = &c->listens[i], *b = &c->listens[j];

			if (!same_network(&a->address, &b->address) || a->port != b->port ||
			    a->protocol != b->protocol)
				continue;
			BAD(errors, a->address.at, indexed("listen[%u]", i, key),
			    "is there twice: it is listen[%u] too", j);
			break;
		}
}

/* One kind of named thing: where its names, places and the next one are. */
struct named {
	const void *first;
	size_t size;
	unsigned int n;
	size_t at;   /* offset of its struct conf_at */
	size_t name; /* of the name itself */
	const char *key;
	const char *what;
};

#define NAMED(c, list, place, text, key, what)                                                     \
	{                                                                                          \
		c->list, sizeof(c->list[0]), c->n_##list,                                          \
			(size_t)((const char *)&c->list[0].place - (const char *)&c->list[0]),     \
			(size_t)((const char *)c->list[0].text - (const char *)&c->list[0]), key,  \
			what                                                                       \
	}

static const char *name_at(const struct named *t, unsigned int i)
{
	return (const char *)t->first + i * t->size + t->name;
}

static void unique_names(const struct named *t, struct conf_errors *errors)
{
	struct conf_at at;
	char key[64];

	for (unsigned int i = 1; i < t->n; i++)
		for (unsigned int j = 0; j < i; j++) {
			if (!name_at(t, i)[0] || strcmp(name_at(t, i), name_at(t, j)))
				continue;
			memcpy(&at, (const char *)t->first + i * t->size + t->at, sizeof(at));
			BAD(errors, at, indexed(t->key, i, key),
			    "%s %s is there twice: it is entry %u too", t->what, name_at(t, i), j);
			break;
		}
}

static void all_unique(const struct config *c, struct conf_errors *errors)
{
	const struct named tables[] = {
		NAMED(c, interfaces, at, name, "interfaces[%u]", "interface"),
		NAMED(c, backends, name_at, name, "backends[%u].name", "backend"),
		NAMED(c, gates, name_at, name, "gates[%u].name", "gate"),
		NAMED(c, tunnels, name_at, name, "tunnels[%u].name", "tunnel"),
		NAMED(c, hooks, at, name, "hooks[%u].name", "hook"),
		NAMED(c, notifies, at, name, "notify[%u].name", "target"),
	};

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		unique_names(&tables[i], errors);
	unique_listens(c, errors);
	unique_addresses(c->bypass, c->n_bypass, "bypass[%u]", errors);
	unique_addresses(c->allow, c->n_allow, "clients.allow[%u]", errors);
	unique_addresses(c->deny, c->n_deny, "clients.deny[%u]", errors);
	apart(c->bypass, c->n_bypass, c->allow, c->n_allow, "clients.allow[%u]", "bypass", errors);
	apart(c->bypass, c->n_bypass, c->deny, c->n_deny, "clients.deny[%u]", "bypass", errors);
	apart(c->allow, c->n_allow, c->deny, c->n_deny, "clients.deny[%u]", "clients.allow",
	      errors);
	one_family(c->allow, c->n_allow, "clients.allow[%u]", errors);
	one_family(c->deny, c->n_deny, "clients.deny[%u]", errors);
	unique_addresses(c->nat, c->n_nat, "nat.addresses[%u]", errors);
	unique_addresses(c->dns.old, c->dns.n_old, "dns.old[%u]", errors);
}

/* ---- backends ---- */

static bool same_target(const struct conf_backend *a, const struct conf_backend *b)
{
	if (a->port != b->port)
		return false;
	if (a->host[0])
		return !strcasecmp(a->host, b->host);
	return same_network(&a->address, &b->address);
}

/* Two backends at one target would share its ports and take turns at its replies. */
static void unique_targets(const struct config *c, struct conf_errors *errors)
{
	char key[64];

	for (unsigned int i = 1; i < c->n_backends; i++)
		for (unsigned int j = 0; j < i; j++) {
			if (!same_target(&c->backends[i], &c->backends[j]))
				continue;
			BAD(errors, c->backends[i].target_at,
			    indexed("backends[%u].target", i, key),
			    "is there twice: it is that of backends[%u] too; give one of them the "
			    "sum of the weights",
			    j);
			break;
		}
}

/* Names may have addresses of either family: only addresses can be judged here. */
static void some_weight(const struct config *c, uint8_t family, struct conf_errors *errors)
{
	const struct conf_backend *first = NULL;
	unsigned int sum = 0, index = 0;
	char key[64];

	for (unsigned int i = 0; i < c->n_backends; i++) {
		const struct conf_backend *b = &c->backends[i];

		if (b->host[0] || b->address.family == family)
			sum += b->weight;
		if (!first && b->address.family == family) {
			first = b;
			index = i;
		}
	}
	if (first && !sum)
		BAD(errors, first->weight_at, indexed("backends[%u].weight", index, key),
		    "every IPv%u backend has weight 0: one must have more", family);
}

/* Beside stated weights the default is a trap: it is 1. */
static void weights_beside_none(const struct config *c, struct conf_errors *errors)
{
	unsigned int stated = 0;
	char key[64];

	for (unsigned int i = 0; i < c->n_backends; i++)
		stated += c->backends[i].weight_at.line != 0;
	if (!stated || conf_errors_count(errors))
		return; /* it may be there, misspelt */
	for (unsigned int i = 0; i < c->n_backends; i++)
		if (!c->backends[i].weight_at.line && c->backends[i].name[0])
			conf_complain(errors, true, c->backends[i].at,
				      indexed("backends[%u].weight", i, key),
				      "is not stated and counts as 1, while others are stated");
}

static void check_backends(const struct config *c, struct conf_errors *errors)
{
	char key[64];

	weights_beside_none(c, errors);
	unique_targets(c, errors);
	some_weight(c, 4, errors);
	some_weight(c, 6, errors);
	for (unsigned int i = 0; i < c->n_backends; i++) {
		const struct conf_backend *b = &c->backends[i];

		if (b->client_address == CONF_CLIENT_PROXY_V2 ||
		    b->client_address == CONF_CLIENT_KEEP)
			BAD(errors, b->client_address_at,
			    indexed("backends[%u].client_address", i, key),
			    "is not there yet: only hidden is");
	}
}

/* ---- the rest ---- */

/* A reply to such a port could be a client's packet to the service, and the other way round. */
static void check_nat_ports(const struct config *c, struct conf_errors *errors)
{
	for (unsigned int i = 0; i < c->n_listens; i++)
		for (unsigned int j = 0; j < c->n_nat; j++) {
			const struct conf_listen *l = &c->listens[i];

			if (!same_network(&l->address, &c->nat[j]) || l->port < c->port_lo ||
			    l->port > c->port_hi)
				continue;
			BAD(errors, c->ports_at.line ? c->ports_at : c->nat_at, "nat.ports",
			    "%u-%u holds port %u of listen[%u], which is at a NAT address: leave "
			    "it out of the range",
			    c->port_lo, c->port_hi, l->port, i);
			return;
		}
}

static void check_provider(const struct config *c, struct conf_errors *errors)
{
	const struct conf_provider *p = &c->dns.provider;

	if (!p->kind)
		return;
	if (p->kind == CONF_POWERDNS && !p->endpoint[0])
		BAD(errors, p->at, "dns.provider.powerdns.endpoint",
		    "is missing: must be a URL such as http://127.0.0.1:8081");
	if (!strncmp(p->endpoint, "http://", 7) && strncmp(p->endpoint, "http://127.", 11) &&
	    strncmp(p->endpoint, "http://[::1]", 12) &&
	    strncmp(p->endpoint, "http://localhost", 16))
		conf_complain(errors, true, p->at, "dns.provider",
			      "%s: the secret goes over the network unencrypted", p->endpoint);
}

static void check_dns(const struct config *c, struct conf_errors *errors)
{
	char key[64], text[64];

	for (unsigned int i = 0; i < c->dns.n_fresh; i++) {
		const struct conf_address *a = &c->dns.fresh[i].address;

		for (unsigned int j = 0; j < i; j++) {
			if (!same_network(a, &c->dns.fresh[j].address))
				continue;
			BAD(errors, a->at, indexed("dns.new[%u]", i, key),
			    "%s is there twice: line %u has it already", conf_address_text(a, text),
			    c->dns.fresh[j].address.at.line);
			break;
		}
		for (unsigned int j = 0; j < c->dns.n_old; j++) {
			if (!same_network(a, &c->dns.old[j]))
				continue;
			BAD(errors, a->at, indexed("dns.new[%u]", i, key),
			    "%s is in dns.old too: it cannot be both", conf_address_text(a, text));
		}
	}
	if (c->dns.n_types == 2 && c->dns.types[0].aaaa == c->dns.types[1].aaaa &&
	    !conf_errors_count(errors))
		BAD(errors, c->dns.types[1].at, "dns.types[1]", "is there twice");
	check_provider(c, errors);
}

static void check_stages(const struct config *c, struct conf_errors *errors)
{
	char key[64], last[16], now[16];

	for (unsigned int i = 1; i < c->n_stages; i++) {
		const struct conf_stage *a = &c->stages[i - 1], *b = &c->stages[i];

		if (a->weight && b->weight && b->weight <= a->weight)
			BAD(errors, b->weight_at, indexed("ramp.stages[%u].weight", i, key),
			    "must be more than the %s of the stage before, is %s",
			    text_weight(a->weight, last), text_weight(b->weight, now));
	}
}

/* For a name that must be one of the file's: those there are. */
static const char *names_of(const struct named *t, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (unsigned int i = 0; i < t->n && used + CONF_NAME + 3 < size; i++)
		if (name_at(t, i)[0])
			used += (size_t)snprintf(ret + used, size - used, "%s%s", used ? ", " : "",
						 name_at(t, i));
	return ret;
}

/* Is there one of that name, or may there be, since a name could not be read? */
static bool is_named(const struct named *t, const char *name)
{
	for (unsigned int i = 0; i < t->n; i++)
		if (!name_at(t, i)[0] || !strcmp(name_at(t, i), name))
			return true;
	return !t->n;
}

static void check_references(const struct config *c, struct conf_errors *errors)
{
	const struct named backends = NAMED(c, backends, name_at, name, NULL, NULL);
	const struct named tunnels = NAMED(c, tunnels, name_at, name, NULL, NULL);
	char key[64], list[256];

	for (unsigned int i = 0; i < c->n_gates; i++) {
		const struct conf_gate *g = &c->gates[i];

		if (g->via[0] && !is_named(&backends, g->via))
			BAD(errors, g->via_at, indexed("gates[%u].source.via", i, key),
			    "must name a backend (%s), is %s",
			    names_of(&backends, list, sizeof(list)), g->via);
	}
	for (unsigned int i = 0; i < c->n_tunnels; i++) {
		const struct conf_tunnel *t = &c->tunnels[i];

		if (!t->backup[0])
			continue;
		if (!strcmp(t->backup, t->name))
			BAD(errors, t->backup_at, indexed("tunnels[%u].backup", i, key),
			    "must name another tunnel, is this one's own name");
		else if (!is_named(&tunnels, t->backup))
			BAD(errors, t->backup_at, indexed("tunnels[%u].backup", i, key),
			    "must name a tunnel (%s), is %s",
			    names_of(&tunnels, list, sizeof(list)), t->backup);
	}
}

/* A hook that never runs, and a tunnel that is never up. */
static void check_ramp(const struct config *c, struct conf_errors *errors)
{
	const struct named tunnels = NAMED(c, tunnels, name_at, name, NULL, NULL);
	char key[64], list[256];

	for (unsigned int i = 0; i < c->n_hooks; i++) {
		const struct conf_hook_step *h = &c->hooks[i];

		if (!h->stage)
			continue;
		if (h->when != CONF_BEFORE_STAGE && h->when != CONF_AFTER_STAGE)
			BAD(errors, h->at, indexed("hooks[%u].stage", i, key),
			    "counts only with before-stage and after-stage");
		else if (c->n_stages && h->stage > c->n_stages)
			BAD(errors, h->at, indexed("hooks[%u].stage", i, key),
			    "must be one of the %u stages, is %u", c->n_stages,
			    (unsigned int)h->stage);
	}
	if (c->rules.tunnel[0] && (!c->n_tunnels || !is_named(&tunnels, c->rules.tunnel)))
		BAD(errors, c->ramp_at, "ramp.tunnel", "must name a tunnel (%s), is %s",
		    c->n_tunnels ? names_of(&tunnels, list, sizeof(list)) : "there is none",
		    c->rules.tunnel);
}

void schema_across(const struct config *c, struct conf_errors *errors)
{
	all_unique(c, errors);
	check_backends(c, errors);
	check_nat_ports(c, errors);
	check_dns(c, errors);
	check_stages(c, errors);
	check_references(c, errors);
	check_ramp(c, errors);
	tunnels_across(c, errors);
}
