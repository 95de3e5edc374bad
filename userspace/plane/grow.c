/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/grow.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "userspace/plane/bpfsys.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/load.h"

static int drop(struct plane *p, enum plane_map which)
{
	if (p->map[which] >= 0)
		close(p->map[which]);
	p->map[which] = -1;
	return 0;
}

bool grow_under_way(const struct plane *p)
{
	struct bpf_map_info info;
	int fd = p->map[PLANE_FLOWS_WAS];

	return fd >= 0 && !bpfsys_map_info(fd, &info) && info.max_entries > 1;
}

int grow_begin(struct plane *p, uint32_t capacity)
{
	drop(p, PLANE_FLOWS_WAS);
	p->map[PLANE_FLOWS_WAS] = p->map[PLANE_FLOWS];
	p->map[PLANE_FLOWS] = -1;
	return load_maps(p, capacity);
}

struct arrays {
	struct flows_array of[SHIFT_MAX_TARGETS];
};

static bool leads_to_flow(const struct arrays *a, const struct shift_flow_ref *r)
{
	const struct flows_array *slots = &a->of[r->target % SHIFT_MAX_TARGETS];

	return slots->flow && r->index < slots->count &&
	       slots->flow[r->index].generation == r->generation &&
	       slots->flow[r->index].state > SHIFT_FLOW_FREE &&
	       slots->flow[r->index].state < SHIFT_FLOW_DONE;
}

/* A flow may end between our look and our copy: then what was copied leads nowhere, and goes. */
static int copy_entries(struct plane *p, const struct arrays *a)
{
	int from = p->map[PLANE_FLOWS_WAS], to = p->map[PLANE_FLOWS], err;
	struct shift_flow_key key, next;
	struct shift_flow_ref ref;

	for (err = bpfsys_next_key(from, NULL, &next); !err;
	     err = bpfsys_next_key(from, &key, &next)) {
		key = next;
		if (bpfsys_lookup(from, &key, &ref) || !leads_to_flow(a, &ref))
			continue;
		err = bpfsys_add(to, &key, &ref);
		if (err == -EEXIST)
			continue; /* used anew meanwhile */
		if (err)
			return err;
		if (!leads_to_flow(a, &ref))
			bpfsys_delete(to, &key);
	}
	return err == -ENOENT ? 0 : err;
}

int grow_copy(struct plane *p)
{
	static struct arrays a;
	int err = 0;

	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS && !err; id++) {
		err = flows_map(p, id, &a.of[id]);
		if (err == -ENOENT)
			err = 0;
	}
	if (!err)
		err = copy_entries(p, &a);
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS; id++)
		flows_unmap(&a.of[id]);
	return err;
}

int grow_end(struct plane *p)
{
	drop(p, PLANE_FLOWS_WAS);
	return load_maps(p, 0);
}

uint32_t grow_capacity(const struct plane *p)
{
	struct bpf_map_info info;

	return bpfsys_map_info(p->map[PLANE_FLOWS], &info) ? 0 : info.max_entries;
}
