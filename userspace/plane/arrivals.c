/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/arrivals.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/plane/bpfsys.h"

void arrivals_network(const struct shift_arrival_key *key, struct arrival *ret)
{
	memcpy(ret->address, key->network, sizeof(key->network));
	ret->address[3] = key->v4;
	ret->bits = !key->network[0] && !key->network[1] && key->network[2] == htonl(0xffff)
			    ? 96 + 24
			    : 48;
}

int arrivals_order(const void *x, const void *y)
{
	const struct arrival *a = x, *b = y;

	if (a->connections != b->connections)
		return a->connections > b->connections ? -1 : 1;
	if (a->last_ns != b->last_ns)
		return a->last_ns > b->last_ns ? -1 : 1;
	return memcmp(a->address, b->address, sizeof(a->address));
}

static int by_key(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct shift_arrival_key));
}

/* The kernel adds and drops entries meanwhile, and a walk that meets a dropped one begins anew: so
 * it has a bound, and what was met twice counts once. */
static int read_keys(const struct plane *p, int service, struct shift_arrival_key **ret,
		     size_t *ret_n)
{
	struct shift_arrival_key *keys = calloc(SHIFT_ARRIVALS, sizeof(*keys)), key, next;
	int fd = p->map[PLANE_ARRIVALS], err;
	size_t n = 0, kept = 0;

	if (!keys)
		return -ENOMEM;
	err = bpfsys_next_key(fd, NULL, &next);
	for (size_t steps = 0; !err && n < SHIFT_ARRIVALS && steps < 2 * SHIFT_ARRIVALS; steps++) {
		key = next;
		if (key.service == (uint32_t)service)
			keys[n++] = key;
		err = bpfsys_next_key(fd, &key, &next);
	}
	if (err && err != -ENOENT) {
		free(keys);
		return err;
	}
	qsort(keys, n, sizeof(*keys), by_key);
	for (size_t i = 0; i < n; i++) {
		if (!kept || by_key(&keys[kept - 1], &keys[i]))
			keys[kept++] = keys[i];
	}
	*ret = keys;
	*ret_n = kept;
	return 0;
}

int arrivals_list(const struct plane *p, int service, struct arrival **ret, size_t *ret_n)
{
	struct shift_arrival_key *keys;
	struct arrival *list;
	size_t n_keys, n = 0;
	int err = read_keys(p, service, &keys, &n_keys);

	if (err)
		return err;
	list = calloc(n_keys + 1, sizeof(*list));
	for (size_t i = 0; list && i < n_keys; i++) {
		struct shift_arrival a;

		if (bpfsys_lookup(p->map[PLANE_ARRIVALS], &keys[i], &a))
			continue;
		arrivals_network(&keys[i], &list[n]);
		list[n].connections = a.connections;
		list[n++].last_ns = a.last_ns;
	}
	free(keys);
	if (!list)
		return -ENOMEM;
	qsort(list, n, sizeof(*list), arrivals_order);
	*ret = list;
	*ret_n = n;
	return 0;
}

int arrivals_clear(const struct plane *p, int service, size_t *ret_n)
{
	struct shift_arrival_key *keys;
	size_t n, gone = 0;
	int err = read_keys(p, service, &keys, &n);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		gone += !bpfsys_delete(p->map[PLANE_ARRIVALS], &keys[i]);
	free(keys);
	if (ret_n)
		*ret_n = gone;
	return 0;
}
