/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/hostports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/net/reserve.h"
#include "userspace/plane/bpfsys.h"

_Static_assert(sizeof(struct reserve_range) == sizeof(struct shift_range), "range");

static void want_targets(const struct plane *p, unsigned char *want)
{
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS; id++) {
		struct shift_target t;

		if (bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t) ||
		    !(t.flags & SHIFT_TARGET_USED) || t.port_lo + t.ports > RESERVE_PORTS)
			continue;
		memset(want + t.port_lo, 1, t.ports);
	}
}

/* Ours is noted before it is done: killed in between, the next one knows what to give back. */
static int note_and_do(const struct plane *p, struct shift_globals *g, const unsigned char *want)
{
	struct reserve_range ours[SHIFT_MAX_RANGES], next[SHIFT_MAX_RANGES];
	uint32_t zero = 0;
	int err, err2;

	memcpy(ours, g->reserved, sizeof(ours));
	memcpy(next, g->reserved, sizeof(next));
	err = reserve_update(want, next, SHIFT_MAX_RANGES, true);
	if (err < 0)
		return err;
	memcpy(g->reserved, next, sizeof(next));
	err2 = bpfsys_update(p->map[PLANE_GLOBALS], &zero, g);
	if (err2 || err)
		return err2 ? err2 : err;
	return reserve_update(want, ours, SHIFT_MAX_RANGES, false);
}

int hostports_update(const struct plane *p, struct shift_globals *g, bool none, char changed[256])
{
	unsigned char *want = calloc(1, RESERVE_PORTS);
	int err;

	if (!want)
		return -ENOMEM;
	if (!none)
		want_targets(p, want);
	err = note_and_do(p, g, want);
	free(want);
	reserve_text((const struct reserve_range *)g->reserved, SHIFT_MAX_RANGES, changed, 256);
	return err;
}
