/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/grow.h"

#include <bpf/libbpf.h>
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

struct linking {
	int fd;
	uint32_t resting; /* 0: those that live; then the others, whose tuples may be in use anew */
};

/* Every record that holds its port; what begins meanwhile is in the new index already. */
static int relink(const struct flow_seen *f, void *arg)
{
	const struct linking *l = arg;
	unsigned char packet[64] = {0};
	uint32_t done = 0;
	int err;

	memcpy(packet + 14, &f->target, sizeof(f->target));
	memcpy(packet + 18, &f->index, sizeof(f->index));
	memcpy(packet + 22, &l->resting, sizeof(l->resting));
	err = bpfsys_test_run(l->fd, packet, sizeof(packet), &done);
	return err ? err : done ? 0 : -ENOSPC;
}

int grow_copy(struct plane *p)
{
	struct linking l = {.resting = 0};
	struct shift_globals g;
	struct bpf_object *o;
	int err = plane_globals(p, &g);

	if (!err)
		err = load_open(p, "shift_relink", &o);
	if (err)
		return err;
	l.fd = load_program(o, "shift_relink");
	err = l.fd < 0 ? l.fd : 0;
	for (l.resting = 0; l.resting < 2 && !err; l.resting++)
		err = flows_each(p, -1, plane_tick(&g), relink, &l);
	if (l.fd >= 0)
		close(l.fd);
	bpf_object__close(o);
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

	return bpfsys_map_info(p->map[PLANE_FLOWS], &info) ? 0 : info.max_entries * 2;
}
