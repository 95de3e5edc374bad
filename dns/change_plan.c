/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * change_plan.c - what is to be done about one type, from what is there and what is wanted (pure)
 */
#include "dns/change.h"

#include <arpa/inet.h>
#include <string.h>

#include "userspace/conf/config.h"

static void add(struct dns_rrset *r, const struct conf_address *a)
{
	struct dns_member *m = &r->member[r->n++];

	if (a->family == 4)
		inet_ntop(AF_INET, &a->ip[3], m->data, sizeof(m->data));
	else
		inet_ntop(AF_INET6, a->ip, m->data, sizeof(m->data));
}

static void begin(struct dns_rrset *r, const char *name, uint16_t type, uint32_t ttl)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->type = type;
	r->ttl = ttl;
}

void dns_change_wanted(const struct conf_dns *c, const char *name, uint16_t type,
		       struct dns_rrset *old, struct dns_rrset *fresh)
{
	uint8_t family = type == DNS_A ? 4 : 6;
	uint32_t ttl = (uint32_t)(c->ttl_ms / 1000);

	begin(old, name, type, ttl);
	begin(fresh, name, type, ttl);
	for (unsigned int i = 0; i < c->n_old; i++)
		if (c->old[i].family == family)
			add(old, &c->old[i]);
	for (unsigned int i = 0; i < c->n_fresh; i++) {
		const struct conf_record *r = &c->fresh[i];
		struct dns_member *m = &fresh->member[fresh->n];

		if (r->address.family != family)
			continue;
		add(fresh, &r->address);
		m->weighted = r->weighted;
		m->weight = r->weighted ? r->weight : 0;
	}
	dns_rrset_sort(old);
	dns_rrset_sort(fresh);
}

/* All but the TTL and what only the provider needs. */
static bool same_but_ttl(const struct dns_rrset *a, const struct dns_rrset *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned int i = 0; i < a->n; i++) {
		const struct dns_member *x = &a->member[i], *y = &b->member[i];

		if (strcmp(x->data, y->data) || x->weighted != y->weighted ||
		    (x->weighted && x->weight != y->weight) || x->proxied != y->proxied)
			return false;
	}
	return true;
}

static bool all_proxied(const struct dns_rrset *r)
{
	for (unsigned int i = 0; i < r->n; i++)
		if (!r->member[i].proxied)
			return false;
	return r->n;
}

enum dns_todo dns_plan_flip(const struct dns_rrset *there, const struct dns_rrset *old,
			    struct dns_rrset *fresh)
{
	if (!old->n && !fresh->n)
		return DNS_TODO_NONE;
	if (all_proxied(there)) {
		/* Behind such a name the provider's own addresses are answered, with a TTL of its
		 * choice. */
		fresh->ttl = there->ttl;
		for (unsigned int i = 0; i < fresh->n; i++)
			fresh->member[i].proxied = true;
	}
	if (same_but_ttl(there, fresh))
		return DNS_TODO_THERE;
	return dns_rrset_same_data(there, old) ? DNS_TODO_APPLY : DNS_TODO_OTHER;
}

enum dns_todo dns_plan_back(const struct dns_rrset *there, const struct dns_rrset *old,
			    const struct dns_rrset *fresh, bool *ret_differs)
{
	*ret_differs = false;
	if (!old->n && !fresh->n)
		return DNS_TODO_NONE;
	if (dns_rrset_same_data(there, old)) {
		*ret_differs = !same_but_ttl(there, old) || (old->n && there->ttl != old->ttl);
		return DNS_TODO_THERE;
	}
	return dns_rrset_same_data(there, fresh) ? DNS_TODO_APPLY : DNS_TODO_OTHER;
}
