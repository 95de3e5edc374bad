/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sync_clients.c - the configuration's entries of the client table
 *
 * Pins are left alone, unless the configuration now names the very same network: then it wins, and
 * says so. What opens is removed last and what closes is written first, so that no client in
 * between is shifted whom neither the configuration of before nor the new one would let.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/plane/arrivals.h"
#include "userspace/plane/clients.h"
#include "userspace/plane/control.h"
#include "userspace/plane/sync_picture.h"

static bool is_same(const struct sync_client *w, const struct client_entry *e)
{
	return w->bits == e->bits && !memcmp(w->address, e->address, sizeof(w->address));
}

static const struct client_entry *entry_for(const struct client_entry *list, size_t n,
					    const struct sync_client *w)
{
	for (size_t i = 0; i < n; i++) {
		if (is_same(w, &list[i]))
			return &list[i];
	}
	return NULL;
}

static bool is_wanted(const struct sync_wish *w, const struct client_entry *e)
{
	for (unsigned int i = 0; i < w->n_clients; i++) {
		if (is_same(&w->clients[i], e))
			return true;
	}
	return false;
}

static const char *shown(const uint32_t address[4], unsigned int bits, char ret[64])
{
	return bits ? text_network(address, bits, ret) : "all other clients";
}

static int write_wanted(struct picture *s, const struct client_entry *list, size_t n)
{
	uint64_t boot = control_boot_ns();
	char a[64];
	int err = 0;

	for (unsigned int i = 0; i < s->w->n_clients && !err; i++) {
		const struct sync_client *w = &s->w->clients[i];
		const struct client_entry *was = entry_for(list, n, w);
		struct client_entry e = {.bits = w->bits, .is.action = w->action};

		memcpy(e.address, w->address, sizeof(e.address));
		if (was && was->is.action == w->action)
			continue;
		shown(e.address, e.bits, a);
		if (was && client_is_pin(was->is.action) && !client_is_over(&was->is, boot))
			sync_tell(s, "! the pin of %s to %s gives way to the configuration", a,
				  client_action_name(was->is.action));
		err = clients_put(s->p, s->service, &e);
		if (err == -ENOSPC)
			sync_tell(s, "no room for %s: %d networks at most", a, SHIFT_MAX_CLIENTS);
		else if (!err)
			sync_tell(s, "+ %s %s", client_action_name(w->action), a);
	}
	return err;
}

static int remove_unwanted(struct picture *s, const struct client_entry *list, size_t n,
			   uint32_t action)
{
	uint64_t boot = control_boot_ns();
	char a[64];

	for (size_t i = 0; i < n; i++) {
		const struct client_entry *e = &list[i];
		int err;

		if (e->is.action != action || is_wanted(s->w, e))
			continue;
		if (client_is_pin(action) && !client_is_over(&e->is, boot))
			continue;
		err = clients_delete(s->p, s->service, e);
		if (err && err != -ENOENT)
			return err;
		if (!client_is_pin(action))
			sync_tell(s, "- %s %s", client_action_name(action),
				  shown(e->address, e->bits, a));
	}
	return 0;
}

int sync_clients(struct picture *s)
{
	static const enum shift_client_action order[] = {SHIFT_CLIENT_ALLOW, SHIFT_CLIENT_BYPASS,
							 SHIFT_CLIENT_DENY, SHIFT_CLIENT_OLD,
							 SHIFT_CLIENT_NEW};
	struct client_entry *list;
	size_t n;
	int err = clients_list(s->p, s->service, &list, &n);

	if (err)
		return err;
	err = write_wanted(s, list, n);
	for (size_t i = 0; i < sizeof(order) / sizeof(*order) && !err; i++)
		err = remove_unwanted(s, list, n, order[i]);
	free(list);
	return err;
}

int sync_forget_clients(struct picture *s)
{
	struct client_entry *list;
	size_t n;
	int err = clients_list(s->p, s->service, &list, &n);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		clients_delete(s->p, s->service, &list[i]);
	free(list);
	return arrivals_clear(s->p, s->service, NULL);
}
