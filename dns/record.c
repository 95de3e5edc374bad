/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * record.c - sets of records: order, equality, words (pure)
 */
#include "dns/change.h"

#include <stdlib.h>
#include <string.h>

static int member_order(const void *a, const void *b)
{
	const struct dns_member *x = a, *y = b;
	int order = strcmp(x->data, y->data);

	return order ? order : strcmp(x->set_id, y->set_id);
}

void dns_rrset_sort(struct dns_rrset *r)
{
	qsort(r->member, r->n, sizeof(r->member[0]), member_order);
}

static bool member_same(const struct dns_member *a, const struct dns_member *b)
{
	return !strcmp(a->data, b->data) && !strcmp(a->set_id, b->set_id) &&
	       a->weighted == b->weighted && (!a->weighted || a->weight == b->weight) &&
	       a->proxied == b->proxied;
}

/* Of sets that do not exist the TTL says nothing. */
bool dns_rrset_same(const struct dns_rrset *a, const struct dns_rrset *b)
{
	if (strcmp(a->name, b->name) || a->type != b->type || a->n != b->n ||
	    (a->n && a->ttl != b->ttl))
		return false;
	for (unsigned int i = 0; i < a->n; i++)
		if (!member_same(&a->member[i], &b->member[i]))
			return false;
	return true;
}

bool dns_rrset_same_data(const struct dns_rrset *a, const struct dns_rrset *b)
{
	unsigned int i = 0, j = 0;

	while (i < a->n && j < b->n) {
		const char *data = a->member[i].data;

		if (strcmp(data, b->member[j].data))
			return false;
		while (i < a->n && !strcmp(a->member[i].data, data))
			i++;
		while (j < b->n && !strcmp(b->member[j].data, data))
			j++;
	}
	return i == a->n && j == b->n;
}

static bool has(const struct dns_rrset *r, const char *data)
{
	for (unsigned int i = 0; i < r->n; i++)
		if (!strcmp(r->member[i].data, data))
			return true;
	return false;
}

bool dns_rrset_between(const struct dns_rrset *r, const struct dns_rrset *a,
		       const struct dns_rrset *b)
{
	for (unsigned int i = 0; i < r->n; i++)
		if (!has(a, r->member[i].data) && !has(b, r->member[i].data))
			return false;
	return r->n;
}

const char *dns_rrset_text(const struct dns_rrset *r, char *ret, size_t size)
{
	size_t used = 0;

	if (!r->n) {
		snprintf(ret, size, "nothing");
		return ret;
	}
	ret[0] = '\0';
	for (unsigned int i = 0; i < r->n && used < size; i++) {
		const struct dns_member *m = &r->member[i];

		used += (size_t)snprintf(ret + used, size - used, "%s%s", i ? " " : "", m->data);
		if (m->weighted && used < size)
			used += (size_t)snprintf(ret + used, size - used, "=%u", m->weight);
		if (m->proxied && used < size)
			used += (size_t)snprintf(ret + used, size - used, " (proxied)");
	}
	if (used < size)
		snprintf(ret + used, size - used, " (TTL %u)", r->ttl);
	return ret;
}
