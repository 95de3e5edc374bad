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

#define TOLD 8 /* networks of one kind that are named; more are counted */

static bool is_same(const struct sync_client *w, const struct client_entry *e)
{
	return w->bits == e->bits && !memcmp(w->address, e->address, sizeof(w->address));
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

struct told {
	unsigned int n[SHIFT_CLIENT_ALLOW + 1]; /* by action */
};

static void tell(struct picture *s, struct told *t, char sign, const struct client_entry *e)
{
	char a[64];

	if (t->n[e->is.action]++ < TOLD)
		sync_tell(s, "%c %s %s", sign, client_action_name(e->is.action),
			  shown(e->address, e->bits, a));
}

static void tell_rest(struct picture *s, const struct told *t, char sign)
{
	for (uint32_t action = 1; action <= SHIFT_CLIENT_ALLOW; action++) {
		if (t->n[action] > TOLD)
			sync_tell(s, "%c %s %u more networks", sign, client_action_name(action),
				  t->n[action] - TOLD);
	}
}

static int write_wanted(struct picture *s, const struct client_entry *list, size_t n)
{
	uint64_t boot = control_boot_ns();
	struct told told = {0};
	char a[64];
	int err = 0;

	for (unsigned int i = 0; i < s->w->n_clients && !err; i++) {
		const struct sync_client *w = &s->w->clients[i];
		struct client_entry e = {.bits = w->bits, .is.action = w->action};
		const struct client_entry *was;

		memcpy(e.address, w->address, sizeof(e.address));
		was = clients_find(list, n, &e);
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
			tell(s, &told, '+', &e);
	}
	tell_rest(s, &told, '+');
	return err;
}

/* Pins go only when they are over. */
static int remove_unwanted(struct picture *s, const struct client_entry *list, size_t n,
			   uint32_t action)
{
	uint64_t boot = control_boot_ns();
	struct told told = {0};
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		const struct client_entry *e = &list[i];

		if (e->is.action != action || is_wanted(s->w, e) ||
		    (client_is_pin(action) && !client_is_over(&e->is, boot)))
			continue;
		err = clients_delete(s->p, s->service, e);
		if (err == -ENOENT)
			err = 0;
		if (!err && !client_is_pin(action))
			tell(s, &told, '-', e);
	}
	tell_rest(s, &told, '-');
	return err;
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
