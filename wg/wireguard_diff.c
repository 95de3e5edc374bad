/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wireguard_diff.c - the steps from the device that is to the one that shall be
 *
 * Both sides' peers are sorted by key, both sides' networks by network, and walked side by side. A
 * network that another peer is to have is no step of its own: giving it to that one takes it away
 * here. Two values are not compared as they stand, because the kernel does not keep them so: a
 * private key is clamped, and a network loses its bits behind the prefix.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wg/wireguard.h"

/* A network and whose it is; the place is that of the peer among its side's sorted ones. */
struct item {
	struct wg_network net;
	size_t place;
};

struct side {
	const struct wg_peer **peers; /* sorted */
	size_t n_peers;
	struct item *items; /* sorted by network */
	size_t n_items;
};

struct work {
	struct side want, have;
	struct item *add, *remove; /* by peer, then network */
	size_t n_add, n_remove;
	struct wg_delta *delta;
};

static int compare_peers(const void *a, const void *b)
{
	const struct wg_peer *const *x = a, *const *y = b;

	return memcmp((*x)->public_key, (*y)->public_key, KEY_SIZE);
}

static int compare_networks(const struct wg_network *x, const struct wg_network *y)
{
	int c = (x->family > y->family) - (x->family < y->family);

	if (!c)
		c = memcmp(x->ip, y->ip, sizeof(x->ip));
	return c ? c : (x->prefix > y->prefix) - (x->prefix < y->prefix);
}

static int compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = compare_networks(&x->net, &y->net);

	return c ? c : (x->place > y->place) - (x->place < y->place);
}

static int compare_by_peer(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = (x->place > y->place) - (x->place < y->place);

	return c ? c : compare_networks(&x->net, &y->net);
}

/* As the kernel keeps it. */
static struct wg_network trimmed(const struct wg_network *n)
{
	unsigned int bits = n->family == 4 ? 96u + n->prefix : n->prefix;
	struct wg_network t = {.family = n->family, .prefix = n->prefix};

	for (unsigned int i = 0; i < 4; i++) {
		unsigned int here = bits >= 32 * (i + 1) ? 32 : bits > 32 * i ? bits - 32 * i : 0;

		t.ip[i] = here ? n->ip[i] & htonl(UINT32_MAX << (32 - here)) : 0;
	}
	return t;
}

static int make_side(const struct wg_device *d, struct side *s)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_peers; i++)
		n += d->peers[i].n_allowed;
	s->peers = calloc(d->n_peers + 1, sizeof(*s->peers));
	s->items = calloc(n + 1, sizeof(*s->items));
	if (!s->peers || !s->items)
		return -ENOMEM;
	s->n_peers = d->n_peers;
	for (size_t i = 0; i < d->n_peers; i++)
		s->peers[i] = &d->peers[i];
	qsort(s->peers, s->n_peers, sizeof(*s->peers), compare_peers);
	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t k = 0; k < s->peers[i]->n_allowed; k++)
			s->items[s->n_items++] =
				(struct item){.net = trimmed(&s->peers[i]->allowed[k]), .place = i};
	qsort(s->items, s->n_items, sizeof(*s->items), compare_items);
	return 0;
}

static void free_side(struct side *s)
{
	free(s->peers);
	free(s->items);
}

static int find_twice(const struct side *s, struct wg_twice *ret)
{
	for (size_t i = 1; i < s->n_peers; i++) {
		if (compare_peers(&s->peers[i - 1], &s->peers[i]))
			continue;
		*ret = (struct wg_twice){.peer = {s->peers[i - 1], s->peers[i]}};
		return -EEXIST;
	}
	for (size_t i = 1; i < s->n_items; i++) {
		const struct item *a = &s->items[i - 1], *b = &s->items[i];

		if (compare_networks(&a->net, &b->net))
			continue;
		*ret = (struct wg_twice){.peer = {s->peers[a->place], s->peers[b->place]},
					 .network = a->net};
		return -EEXIST;
	}
	return 0;
}

static bool key_of(const struct side *s, size_t place, const struct wg_peer *p)
{
	return !memcmp(s->peers[place]->public_key, p->public_key, KEY_SIZE);
}

static bool known(const struct side *s, const struct wg_peer *p)
{
	return bsearch(&p, s->peers, s->n_peers, sizeof(*s->peers), compare_peers);
}

/* What is to be given to whom, and what nobody is to have. */
static void match_networks(struct work *w)
{
	const struct side *want = &w->want, *have = &w->have;
	size_t i = 0, k = 0;

	while (i < want->n_items || k < have->n_items) {
		const struct item *x = i < want->n_items ? &want->items[i] : NULL;
		const struct item *y = k < have->n_items ? &have->items[k] : NULL;
		int c = !x ? 1 : !y ? -1 : compare_networks(&x->net, &y->net);

		if (c <= 0)
			i++;
		if (c >= 0)
			k++;
		if (c > 0) {
			/* A peer that goes takes its networks along. */
			if (known(want, have->peers[y->place]))
				w->remove[w->n_remove++] = *y;
			continue;
		}
		if (c < 0 || !key_of(have, y->place, want->peers[x->place]))
			w->add[w->n_add++] = *x;
	}
	qsort(w->add, w->n_add, sizeof(*w->add), compare_by_peer);
	qsort(w->remove, w->n_remove, sizeof(*w->remove), compare_by_peer);
}

static struct wg_step *put(struct wg_delta *d, enum wg_step_kind kind, const struct wg_peer *peer)
{
	struct wg_step *s = &d->steps[d->n++];

	*s = (struct wg_step){.kind = kind, .peer = peer};
	return s;
}

static void clamp(const uint8_t key[KEY_SIZE], uint8_t ret[KEY_SIZE])
{
	uint8_t any = 0;

	for (unsigned int i = 0; i < KEY_SIZE; i++)
		any |= ret[i] = key[i];
	if (!any)
		return;
	ret[0] &= 248;
	ret[31] = (ret[31] & 127) | 64;
}

/* In a time that does not tell where they differ. */
static bool same_secret(const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE])
{
	uint8_t differ = 0;

	for (unsigned int i = 0; i < KEY_SIZE; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

static bool same_private(const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE])
{
	uint8_t x[KEY_SIZE], y[KEY_SIZE];
	bool same;

	clamp(a, x);
	clamp(b, y);
	same = same_secret(x, y);
	explicit_bzero(x, sizeof(x));
	explicit_bzero(y, sizeof(y));
	return same;
}

static void diff_device(const struct wg_device *want, const struct wg_device *have,
			struct wg_delta *d)
{
	if (want->set & WG_FWMARK && want->fwmark != have->fwmark)
		put(d, WG_STEP_FWMARK, NULL)->value = want->fwmark;
	if (want->set & WG_PORT && want->port && want->port != have->port)
		put(d, WG_STEP_PORT, NULL)->value = want->port;
	if (want->set & WG_PRIVATE_KEY && !same_private(want->private_key, have->private_key))
		put(d, WG_STEP_PRIVATE_KEY, NULL);
}

static bool same_endpoint(const struct wg_endpoint *a, const struct wg_endpoint *b)
{
	return a->family == b->family && a->port == b->port && !memcmp(a->ip, b->ip, sizeof(a->ip));
}

static void diff_peer(const struct wg_peer *want, const struct wg_peer *have, struct wg_delta *d)
{
	if (want->set & WG_PSK && !same_secret(want->psk, have->psk))
		put(d, WG_STEP_PSK, want);
	/* One cannot be taken away again. */
	if (want->set & WG_ENDPOINT && want->endpoint.family &&
	    !same_endpoint(&want->endpoint, &have->endpoint))
		put(d, WG_STEP_ENDPOINT, want);
	if (want->set & WG_KEEPALIVE && want->keepalive != have->keepalive)
		put(d, WG_STEP_KEEPALIVE, want);
}

/* Those of the peer at `place`, which are the next in the list. */
static void give_networks(struct work *w, struct wg_step *s, const struct item *items, size_t n,
			  size_t *at, size_t place, size_t *used)
{
	s->networks = w->delta->networks + *used;
	for (; *at < n && items[*at].place == place; ++*at) {
		w->delta->networks[(*used)++] = items[*at].net;
		s->n_networks++;
	}
}

static void diff_peers(struct work *w)
{
	const struct side *want = &w->want, *have = &w->have;
	struct wg_delta *d = w->delta;
	size_t at = 0, used = 0, k = 0;

	for (size_t i = 0; i < want->n_peers; i++) {
		const struct wg_peer *p = want->peers[i];
		struct wg_step *s = NULL;

		while (k < have->n_peers && compare_peers(&have->peers[k], &p) < 0)
			k++;
		if (k == have->n_peers || compare_peers(&have->peers[k], &p))
			s = put(d, WG_STEP_ADD_PEER, p);
		else
			diff_peer(p, have->peers[k], d);
		if (!s && at < w->n_add && w->add[at].place == i)
			s = put(d, WG_STEP_ADD_ALLOWED, p);
		if (s)
			give_networks(w, s, w->add, w->n_add, &at, i, &used);
	}
	for (at = 0; at < w->n_remove;) {
		size_t place = w->remove[at].place;

		give_networks(w, put(d, WG_STEP_REMOVE_ALLOWED, have->peers[place]), w->remove,
			      w->n_remove, &at, place, &used);
	}
	for (k = 0; k < have->n_peers; k++)
		if (!known(want, have->peers[k]))
			put(d, WG_STEP_REMOVE_PEER, have->peers[k]);
}

int wg_diff(const struct wg_device *want, const struct wg_device *have, struct wg_delta *ret)
{
	struct wg_delta d = {.want = want, .ifindex = have->ifindex};
	struct work w = {.delta = &d};
	int err = make_side(want, &w.want);

	if (!err)
		err = make_side(have, &w.have);
	if (!err)
		err = find_twice(&w.want, &d.twice);
	if (!err) {
		w.add = calloc(w.want.n_items + 1, sizeof(*w.add));
		w.remove = calloc(w.have.n_items + 1, sizeof(*w.remove));
		d.networks = calloc(w.want.n_items + w.have.n_items + 1, sizeof(*d.networks));
		/* Three of the device; of a peer at most four, one to remove its networks. */
		d.steps = calloc(3 + 4 * want->n_peers + have->n_peers, sizeof(*d.steps));
		if (!w.add || !w.remove || !d.networks || !d.steps)
			err = -ENOMEM;
	}
	if (!err) {
		match_networks(&w);
		diff_device(want, have, &d);
		diff_peers(&w);
	}
	free_side(&w.want);
	free_side(&w.have);
	free(w.add);
	free(w.remove);
	if (err) {
		free(d.networks);
		free(d.steps);
		*ret = (struct wg_delta){.twice = d.twice};
		return err;
	}
	*ret = d;
	return 0;
}

void wg_delta_free(struct wg_delta *d)
{
	free(d->networks);
	free(d->steps);
	*d = (struct wg_delta){0};
}
