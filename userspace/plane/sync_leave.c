/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sync_leave.c - what the configuration names no longer: draining it, and freeing it when no flow
 * is left
 */
#include <errno.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/plane/sync_picture.h"

static bool target_wanted(const struct picture *s, uint32_t id)
{
	for (int b = 0; b < SHIFT_MAX_BACKENDS; b++) {
		const struct shift_backend *is = &s->backend[b];

		if (!(is->flags & SHIFT_BACKEND_USED) || is->flags & SHIFT_BACKEND_DRAIN)
			continue;
		for (int f = 0; f < SHIFT_BACKEND_LISTS; f++) {
			for (int i = 0; i < is->targets[f]; i++) {
				if (is->target[f][i] == id)
					return true;
			}
		}
	}
	return false;
}

int sync_drain_unwanted(struct picture *s)
{
	char a[64];
	int err = 0;

	for (uint32_t id = 1; id < SHIFT_MAX_LISTENS && !err; id++) {
		struct shift_listen *l = &s->listen[id];

		if (!(l->flags & SHIFT_LISTEN_USED) || l->service != s->service ||
		    s->wanted_listen[id] || l->flags & SHIFT_LISTEN_DRAIN)
			continue;
		l->flags |= SHIFT_LISTEN_DRAIN;
		sync_tell(s, "- listen %s", text_address(l->address, l->port, a));
		err = sync_put(s, PLANE_LISTENS, id, l);
	}
	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS && !err; id++) {
		struct shift_backend *b = &s->backend[id];

		if (!(b->flags & SHIFT_BACKEND_USED) || b->service != s->service ||
		    s->wanted_backend[id] || b->flags & SHIFT_BACKEND_DRAIN)
			continue;
		b->flags |= SHIFT_BACKEND_DRAIN;
		sync_tell(s, "- backend %.*s", SHIFT_NAME, b->name);
		err = sync_put(s, PLANE_BACKENDS, id, b);
	}
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS && !err; id++) {
		struct shift_target *t = &s->target[id];
		uint8_t flags = t->flags & (uint8_t)~SHIFT_TARGET_DRAIN;

		if (!(t->flags & SHIFT_TARGET_USED))
			continue;
		if (!target_wanted(s, id))
			flags |= SHIFT_TARGET_DRAIN;
		if (flags == t->flags)
			continue;
		t->flags = flags;
		err = sync_put(s, PLANE_TARGETS, id, t);
	}
	return err;
}

/* A run that saw it before it drained may still insert a flow: so a grace period and a count lie
 * between draining and this. */
int sync_free_drained(struct picture *s)
{
	int err = 0;

	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS && !err; id++) {
		if (!(s->target[id].flags & SHIFT_TARGET_DRAIN))
			continue;
		if (s->held_target[id])
			s->result.draining++;
		else
			err = sync_free_target(s, id);
	}
	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS && !err; id++) {
		if (!(s->backend[id].flags & SHIFT_BACKEND_DRAIN) ||
		    s->backend[id].service != s->service)
			continue;
		if (s->held_backend[id]) {
			s->result.draining++;
			continue;
		}
		memset(&s->backend[id], 0, sizeof(s->backend[id]));
		err = sync_put(s, PLANE_BACKENDS, id, &s->backend[id]);
	}
	for (uint32_t id = 1; id < SHIFT_MAX_LISTENS && !err; id++) {
		if (!(s->listen[id].flags & SHIFT_LISTEN_DRAIN) ||
		    s->listen[id].service != s->service)
			continue;
		if (s->held_listen[id]) {
			s->result.draining++;
			continue;
		}
		err = sync_entry(s, id, false);
		memset(&s->listen[id], 0, sizeof(s->listen[id]));
		if (!err)
			err = sync_put(s, PLANE_LISTENS, id, &s->listen[id]);
	}
	return err;
}
