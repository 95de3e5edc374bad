/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From one picture of a tunnel's interface to another. Pure: nothing here asks the kernel.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "wg/link_inner.h"

/* ---- lists ---- */

/* Room for one more in a list that grows by doubling; NULL: no memory. */
static void *one_more(void **list, size_t *n, size_t size)
{
	void *grown = *list;

	if (!(*n & (*n - 1))) {
		grown = reallocarray(*list, *n ? *n * 2 : 1, size);
		if (!grown)
			return NULL;
		*list = grown;
	}
	return (char *)grown + (*n)++ * size;
}

int link_add_address(struct link *l, const struct link_network *a)
{
	struct link_network *to = one_more((void **)&l->addresses, &l->n_addresses, sizeof(*to));

	if (!to)
		return -ENOMEM;
	*to = *a;
	return 0;
}

int link_add_route(struct link *l, const struct link_route *r)
{
	struct link_route *to = one_more((void **)&l->routes, &l->n_routes, sizeof(*to));

	if (!to)
		return -ENOMEM;
	*to = *r;
	return 0;
}

int link_add_rule(struct link *l, const struct link_rule *r)
{
	struct link_rule *to = one_more((void **)&l->rules, &l->n_rules, sizeof(*to));

	if (!to)
		return -ENOMEM;
	*to = *r;
	return 0;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	free(l->addresses);
	free(l->routes);
	free(l->rules);
	memset(l, 0, sizeof(*l));
}

void link_delta_free(struct link_delta *d)
{
	if (!d)
		return;
	free(d->steps);
	memset(d, 0, sizeof(*d));
}

/* ---- what is the same ---- */

static bool same_network(const struct link_network *a, const struct link_network *b)
{
	return a->family == b->family && a->prefix == b->prefix &&
	       !memcmp(a->ip, b->ip, sizeof(a->ip));
}

static bool same_rule(const struct link_rule *a, const struct link_rule *b)
{
	return a->family == b->family && a->priority == b->priority && a->table == b->table &&
	       a->fwmark == b->fwmark && a->invert == b->invert;
}

static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

int link_route_compare(const struct link_route *a, const struct link_route *b)
{
	int c = compare_u32(a->to.family, b->to.family);

	c = c ? c : compare_u32(a->to.prefix, b->to.prefix);
	c = c ? c : compare_u32(a->table, b->table);
	c = c ? c : compare_u32(a->metric, b->metric);
	return c ? c : memcmp(a->to.ip, b->to.ip, sizeof(a->to.ip));
}

static bool same_route(const struct link_route *a, const struct link_route *b)
{
	return !link_route_compare(a, b) && a->mtu == b->mtu && a->has_source == b->has_source &&
	       (!a->has_source || !memcmp(a->source, b->source, sizeof(a->source)));
}

static bool has_address(const struct link *l, const struct link_network *a)
{
	for (size_t i = 0; i < l->n_addresses; i++) {
		if (same_network(&l->addresses[i], a))
			return true;
	}
	return false;
}

static bool has_rule(const struct link *l, const struct link_rule *r)
{
	for (size_t i = 0; i < l->n_rules; i++) {
		if (same_rule(&l->rules[i], r))
			return true;
	}
	return false;
}

/* ---- steps ---- */

struct builder {
	const struct link *want, *have;
	const struct link_route **wanted, **there; /* routes, sorted */
	struct link_delta d;
	bool fresh; /* the interface is made: nothing that was on it counts */
	bool away4; /* for a moment it has no IPv4 address */
	int err;
};

static struct link_step *step(struct builder *b, enum link_step_kind kind)
{
	static struct link_step nowhere;
	struct link_step *s = one_more((void **)&b->d.steps, &b->d.n, sizeof(*s));

	if (!s) {
		b->err = -ENOMEM;
		return &nowhere;
	}
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	return s;
}

static int compare_pointed(const void *a, const void *b)
{
	return link_route_compare(*(const struct link_route *const *)a,
				  *(const struct link_route *const *)b);
}

/* NULL: no memory. */
static const struct link_route **sorted(const struct link *l)
{
	const struct link_route **ret = calloc(l->n_routes + 1, sizeof(struct link_route *));

	if (!ret)
		return NULL;
	for (size_t i = 0; i < l->n_routes; i++)
		ret[i] = &l->routes[i];
	qsort(ret, l->n_routes, sizeof(struct link_route *), compare_pointed);
	return ret;
}

static const struct link_route *find_route(const struct link_route **in, size_t n,
					   const struct link_route *r)
{
	const struct link_route **found =
		bsearch(&r, in, n, sizeof(struct link_route *), compare_pointed);

	return found ? *found : NULL;
}

static bool link_local(const struct link_network *a)
{
	return a->family == 6 && (ntohl(a->ip[0]) & 0xffc00000) == 0xfe800000;
}

/* Link-local ones stay, since on an old kernel nobody knows who made them. */
static bool address_goes(const struct builder *b, const struct link_network *a)
{
	return !link_local(a) && !has_address(b->want, a);
}

static unsigned int mapped_bits(const struct link_network *n)
{
	return n->prefix + (n->family == 4 ? 96u : 0u);
}

/*
 * Does `a`, wanted, go too when those go that shall, or can it only come after? The kernel takes
 * the IPv4 addresses of a network away with the first of them (devinet.c, promote_secondaries), and
 * has one prefix only for an IPv6 address.
 */
static bool address_goes_along(const struct builder *b, const struct link_network *a)
{
	for (size_t i = 0; i < b->have->n_addresses; i++) {
		const struct link_network *other = &b->have->addresses[i];

		if (other->family != a->family || !address_goes(b, other))
			continue;
		if (a->family == 4 ? other->prefix == a->prefix &&
					     ip_in(a->ip, other->ip, mapped_bits(other))
				   : !memcmp(a->ip, other->ip, sizeof(a->ip)))
			return true;
	}
	return false;
}

/* Is there a moment without `ip` (NULL: without any IPv4 address)? */
static bool away(const struct builder *b, const uint32_t ip[4])
{
	bool goes = false;

	for (size_t i = 0; i < b->have->n_addresses; i++) {
		const struct link_network *a = &b->have->addresses[i];

		if (ip ? !memcmp(a->ip, ip, sizeof(a->ip)) : a->family == 4)
			goes |= address_goes(b, a) || address_goes_along(b, a);
	}
	for (size_t i = 0; i < b->want->n_addresses && goes; i++) {
		const struct link_network *a = &b->want->addresses[i];

		if (ip ? !memcmp(a->ip, ip, sizeof(a->ip)) : a->family == 4)
			goes = address_goes_along(b, a);
	}
	return goes;
}

/* What the kernel takes away with addresses: the routes that prefer one as their source, or in IPv6
 * that preference; and with the last IPv4 address all IPv4 routes (fib_frontend.c). */
static bool route_goes_along(const struct builder *b, const struct link_route *r)
{
	return (r->has_source && away(b, r->source)) || (r->to.family == 4 && b->away4);
}

static void diff_device(struct builder *b)
{
	const struct link *want = b->want, *have = b->have;

	if (have->kind != LINK_NONE &&
	    (have->kind != want->kind ||
	     (want->kind == LINK_XFRM &&
	      (have->if_id != want->if_id || have->lower != want->lower)))) {
		step(b, LINK_STEP_REMOVE);
		b->fresh = true;
	}
	if (have->kind == LINK_NONE)
		b->fresh = true;
	if (b->fresh)
		step(b, LINK_STEP_MAKE);
	if (want->mtu && (b->fresh || want->mtu != have->mtu))
		step(b, LINK_STEP_MTU)->mtu = want->mtu;
}

/* New ones before the old go, but for those that would go along. */
static void add_addresses(struct builder *b, bool along)
{
	for (size_t i = 0; i < b->want->n_addresses; i++) {
		const struct link_network *a = &b->want->addresses[i];

		if (along != (!b->fresh && address_goes_along(b, a)))
			continue;
		if (along || b->fresh || !has_address(b->have, a))
			step(b, LINK_STEP_ADD_ADDRESS)->address = *a;
	}
}

static void diff_addresses(struct builder *b)
{
	add_addresses(b, false);
	for (size_t i = 0; i < b->have->n_addresses && !b->fresh; i++) {
		if (address_goes(b, &b->have->addresses[i]))
			step(b, LINK_STEP_REMOVE_ADDRESS)->address = b->have->addresses[i];
	}
	add_addresses(b, true);
	b->away4 = !b->fresh && away(b, NULL);
}

static void diff_up(struct builder *b)
{
	if (b->want->up && (b->fresh || !b->have->up))
		step(b, LINK_STEP_UP);
	if (!b->want->up && !b->fresh && b->have->up)
		step(b, LINK_STEP_DOWN);
}

static void diff_routes(struct builder *b)
{
	for (size_t i = 0; i < b->want->n_routes && b->want->up; i++) {
		const struct link_route *r = &b->want->routes[i];
		const struct link_route *there =
			b->fresh ? NULL : find_route(b->there, b->have->n_routes, r);

		if (!there || !same_route(there, r) || !b->have->up || route_goes_along(b, r))
			step(b, LINK_STEP_ADD_ROUTE)->route = *r;
	}
}

static void diff_rules(struct builder *b)
{
	for (size_t i = 0; i < b->want->n_rules; i++) {
		if (!has_rule(b->have, &b->want->rules[i]))
			step(b, LINK_STEP_ADD_RULE)->rule = b->want->rules[i];
	}
	for (size_t i = 0; i < b->have->n_rules; i++) {
		if (!has_rule(b->want, &b->have->rules[i]))
			step(b, LINK_STEP_REMOVE_RULE)->rule = b->have->rules[i];
	}
}

static void diff_old_routes(struct builder *b)
{
	for (size_t i = 0; i < b->have->n_routes && !b->fresh; i++) {
		const struct link_route *r = &b->have->routes[i];

		if (!find_route(b->wanted, b->want->n_routes, r))
			step(b, LINK_STEP_REMOVE_ROUTE)->route = *r;
	}
}

int link_diff(const struct link *want, const struct link *have, struct link_delta *ret)
{
	struct builder b = {.want = want, .have = have};

	memset(ret, 0, sizeof(*ret));
	if (have->kind == LINK_OTHER)
		return -EEXIST;
	b.d.want = want;
	b.d.ifindex = have->kind == LINK_NONE ? 0 : have->ifindex;
	b.wanted = sorted(want);
	b.there = sorted(have);
	if (b.wanted && b.there) {
		diff_device(&b);
		diff_addresses(&b);
		diff_up(&b);
		diff_routes(&b);
		diff_rules(&b);
		diff_old_routes(&b);
	} else {
		b.err = -ENOMEM;
	}
	free(b.wanted);
	free(b.there);
	if (b.err) {
		link_delta_free(&b.d);
		return b.err;
	}
	*ret = b.d;
	return 0;
}

/* ---- in words ---- */

static void add_text(char *ret, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void add_text(char *ret, size_t size, const char *format, ...)
{
	size_t n = strnlen(ret, size);
	va_list ap;

	va_start(ap, format);
	if (n < size)
		vsnprintf(ret + n, size - n, format, ap);
	va_end(ap);
}

static void route_text(const struct link_route *r, char *ret, size_t size)
{
	char text[64];

	add_text(ret, size, "route %s", text_network(r->to.ip, mapped_bits(&r->to), text));
	if (r->table != 254)
		add_text(ret, size, " table %u", r->table);
	add_text(ret, size, " metric %u", r->metric);
	if (r->has_source)
		add_text(ret, size, " source %s", text_address(r->source, 0, text));
	if (r->mtu)
		add_text(ret, size, " MTU %u", r->mtu);
}

static void rule_text(const struct link_rule *r, char *ret, size_t size)
{
	add_text(ret, size, "IPv%u rule %u:", r->family, r->priority);
	if (r->invert)
		add_text(ret, size, " not");
	if (r->fwmark)
		add_text(ret, size, " fwmark 0x%x", r->fwmark);
	add_text(ret, size, " lookup %u", r->table);
}

static void address_text(const struct link_network *a, char *ret, size_t size)
{
	char text[64];

	add_text(ret, size, "address %s/%u", text_address(a->ip, 0, text), a->prefix);
}

const char *link_step_text(const struct link_delta *d, const struct link_step *s, char *ret,
			   size_t size)
{
	const struct link *want = d->want;

	if (!size)
		return ret;
	ret[0] = '\0';
	switch (s->kind) {
	case LINK_STEP_REMOVE:
		add_text(ret, size, "remove interface %s", want->name);
		break;
	case LINK_STEP_MAKE:
		add_text(ret, size, "interface %s, %s", want->name,
			 want->kind == LINK_XFRM ? "xfrm" : "wireguard");
		if (want->kind == LINK_XFRM)
			add_text(ret, size, " if_id 0x%x", want->if_id);
		break;
	case LINK_STEP_MTU:
		add_text(ret, size, "MTU %u", s->mtu);
		break;
	case LINK_STEP_REMOVE_ADDRESS:
		add_text(ret, size, "remove ");
		__attribute__((fallthrough));
	case LINK_STEP_ADD_ADDRESS:
		address_text(&s->address, ret, size);
		break;
	case LINK_STEP_UP:
		add_text(ret, size, "up");
		break;
	case LINK_STEP_DOWN:
		add_text(ret, size, "down");
		break;
	case LINK_STEP_REMOVE_ROUTE:
		add_text(ret, size, "remove ");
		__attribute__((fallthrough));
	case LINK_STEP_ADD_ROUTE:
		route_text(&s->route, ret, size);
		break;
	case LINK_STEP_REMOVE_RULE:
		add_text(ret, size, "remove ");
		__attribute__((fallthrough));
	case LINK_STEP_ADD_RULE:
		rule_text(&s->rule, ret, size);
		break;
	}
	return ret;
}
