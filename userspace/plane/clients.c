/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/plane/bpfsys.h"

const char *client_action_name(uint32_t action)
{
	static const char *const names[] = {
		[SHIFT_CLIENT_BYPASS] = "bypass", [SHIFT_CLIENT_OLD] = "old",
		[SHIFT_CLIENT_NEW] = "new",	  [SHIFT_CLIENT_PEER] = "peer",
		[SHIFT_CLIENT_DENY] = "deny",	  [SHIFT_CLIENT_ALLOW] = "allow",
	};

	return action && action < sizeof(names) / sizeof(*names) ? names[action] : "?";
}

bool client_is_pin(uint32_t action)
{
	return action == SHIFT_CLIENT_OLD || action == SHIFT_CLIENT_NEW;
}

bool client_is_over(const struct shift_client *c, uint64_t boot_ns)
{
	return c->until && boot_ns >= c->until;
}

static struct shift_client_key key_of(int service, const struct client_entry *e)
{
	struct shift_client_key key = {.prefixlen = 32 + e->bits, .service = (uint32_t)service};

	memcpy(key.address, e->address, sizeof(key.address));
	return key;
}

static int by_address(const void *x, const void *y)
{
	const struct client_entry *a = x, *b = y;
	int order = memcmp(a->address, b->address, sizeof(a->address));

	return order ? order : (a->bits > b->bits) - (a->bits < b->bits);
}

int clients_list(const struct plane *p, int service, struct client_entry **ret, size_t *ret_n)
{
	struct client_entry *list = NULL, *more;
	struct shift_client_key key, next;
	int fd = p->map[PLANE_CLIENTS], err;
	size_t n = 0, room = 0;

	/* Somebody who deletes meanwhile sends the walk back to its start: so it has a bound. */
	for (err = bpfsys_next_key(fd, NULL, &next); !err && n < SHIFT_MAX_CLIENTS;
	     err = bpfsys_next_key(fd, &key, &next)) {
		key = next;
		if (key.service != (uint32_t)service || key.prefixlen < 32)
			continue;
		if (n == room) {
			room = room ? room * 2 : 64;
			more = realloc(list, room * sizeof(*list));
			if (!more) {
				free(list);
				return -ENOMEM;
			}
			list = more;
		}
		if (bpfsys_lookup(fd, &key, &list[n].is))
			continue;
		memcpy(list[n].address, key.address, sizeof(key.address));
		list[n].bits = key.prefixlen - 32;
		n++;
	}
	if (err && err != -ENOENT) {
		free(list);
		return err;
	}
	if (n)
		qsort(list, n, sizeof(*list), by_address);
	*ret = list;
	*ret_n = n;
	return 0;
}

const struct client_entry *clients_find(const struct client_entry *list, size_t n,
					const struct client_entry *e)
{
	return n ? bsearch(e, list, n, sizeof(*list), by_address) : NULL;
}

int clients_put(const struct plane *p, int service, const struct client_entry *e)
{
	struct shift_client_key key = key_of(service, e);
	struct shift_client is = e->is;

	is.prefixlen = key.prefixlen;
	return bpfsys_update(p->map[PLANE_CLIENTS], &key, &is);
}

int clients_delete(const struct plane *p, int service, const struct client_entry *e)
{
	struct shift_client_key key = key_of(service, e);

	return bpfsys_delete(p->map[PLANE_CLIENTS], &key);
}

int clients_announce(const struct plane *p, int service)
{
	uint32_t id = (uint32_t)service;
	struct shift_service s;
	int err = plane_service(p, id, &s);

	if (err || s.flags & SHIFT_SERVICE_CLIENTS)
		return err;
	s.flags |= SHIFT_SERVICE_CLIENTS;
	return bpfsys_update(p->map[PLANE_SERVICES], &id, &s);
}

const struct client_entry *clients_around(const struct client_entry *list, size_t n,
					  const struct client_entry *e)
{
	const struct client_entry *best = NULL;

	for (size_t i = 0; i < n; i++) {
		if (list[i].bits < e->bits && ip_in(e->address, list[i].address, list[i].bits) &&
		    (!best || list[i].bits > best->bits))
			best = &list[i];
	}
	return best;
}
