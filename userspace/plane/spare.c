/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/spare.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <unistd.h>

#include "userspace/net/route.h"
#include "userspace/plane/attach.h"
#include "userspace/plane/bpfsys.h"

static void let_go(struct spare *s)
{
	for (int egress = 0; egress < 2; egress++) {
		if (s->fd[egress] >= 0)
			close(s->fd[egress]);
		s->fd[egress] = -1;
	}
	s->prog_id[0] = s->prog_id[1] = 0;
}

void spare_drop(struct spare *s)
{
	let_go(s);
	s->ifindex = 0;
}

/* Both are compared: an `apply` under way has replaced one and not the other yet. */
void spare_take(struct spare *s, const struct plane_attachment *at)
{
	bool same = s->prog_id[0] == at->prog_id && s->fd[0] >= 0;
	struct plane_attachment out;
	int err = plane_attachment(at->ifindex, true, &out);

	s->ifindex = at->ifindex;
	if (err && same) /* not known now */
		return;
	if (!err && same && out.hook != SHIFT_HOOK_NONE && s->prog_id[1] == out.prog_id) {
		close(out.prog_fd);
		return;
	}
	let_go(s);
	if (err || out.hook == SHIFT_HOOK_NONE)
		return;
	s->fd[0] = fcntl(at->prog_fd, F_DUPFD_CLOEXEC, 3);
	s->fd[1] = out.prog_fd;
	s->prog_id[0] = at->prog_id;
	s->prog_id[1] = out.prog_id;
	if (s->fd[0] < 0)
		let_go(s);
}

static bool same_map(int a, int b)
{
	struct bpf_map_info x, y;

	return a >= 0 && b >= 0 && !bpfsys_map_info(a, &x) && !bpfsys_map_info(b, &y) &&
	       x.id == y.id;
}

/* An `apply` since may have made other maps, or a larger table. */
static int of_these_maps(const struct plane *p, const struct spare *s)
{
	int err = 0;

	for (int egress = 0; egress < 2 && !err; egress++) {
		int map[PLANE_MAPS];

		memset(map, -1, sizeof(map));
		err = plane_maps_of_program(s->fd[egress], map);
		if (!err && (!same_map(map[PLANE_GLOBALS], p->map[PLANE_GLOBALS]) ||
			     (!egress && (!same_map(map[PLANE_CONTROL], p->map[PLANE_CONTROL]) ||
					  !same_map(map[PLANE_FLOWS], p->map[PLANE_FLOWS])))))
			err = -ESTALE;
		for (int i = 0; i < PLANE_MAPS; i++) {
			if (map[i] >= 0)
				close(map[i]);
		}
	}
	return err;
}

static struct shift_interface *slot_of(struct shift_globals *g, const char *name)
{
	for (int i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		if (g->interface[i].ifindex && !strcmp(g->interface[i].name, name))
			return &g->interface[i];
	}
	return NULL;
}

/* Routes may be others by now, too: that is ways.h's to find out. */
static int lead_out(const struct plane *p, uint32_t was, uint32_t is)
{
	int err = 0;

	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS && !err && was != is; id++) {
		struct shift_target t;

		err = bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t);
		if (err || !(t.flags & SHIFT_TARGET_USED) || t.ifindex != was)
			continue;
		t.ifindex = is;
		err = bpfsys_update(p->map[PLANE_TARGETS], &id, &t);
	}
	return err;
}

int spare_plane(const struct spare *s, struct plane *ret)
{
	struct bpf_map_info info;
	int err;

	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < PLANE_MAPS; i++)
		ret->map[i] = -1;
	err = s->fd[0] < 0 ? -ENOENT : plane_maps_of_program(s->fd[0], ret->map);
	if (!err &&
	    (ret->map[PLANE_CONTROL] < 0 || bpfsys_map_info(ret->map[PLANE_CONTROL], &info) ||
	     info.value_size != sizeof(struct shift_control)))
		err = -EPROTO;
	return err ? err : plane_map_control(ret);
}

int spare_put(struct plane *p, struct spare *s)
{
	uint32_t ifindex = if_nametoindex(s->name), was;
	struct shift_globals g;
	struct shift_interface *f;
	unsigned int attached = 0;
	uint16_t type = 0;
	uint8_t mac[8];
	bool more;
	int err = s->fd[0] < 0 || s->fd[1] < 0 ? -ENOENT : of_these_maps(p, s);

	for (int i = 0; i < p->attachments; i++) {
		if (p->at[i].ifindex == ifindex)
			return -EALREADY;
	}
	if (!err)
		err = plane_globals(p, &g);
	if (!err)
		err = route_device(s->name, &type, mac);
	if (err)
		return err;
	f = slot_of(&g, s->name);
	if (!f || (type != ARPHRD_ETHER && type != ARPHRD_LOOPBACK))
		return -EOPNOTSUPP;
	was = f->ifindex;
	more = f->xdp != SHIFT_XDP_NONE;
	f->ifindex = ifindex;
	f->hook = SHIFT_HOOK_NONE;
	f->made_clsact = 0;
	f->xdp = SHIFT_XDP_NONE;
	memcpy(f->mac, mac, sizeof(f->mac));
	f->mtu = route_device_mtu(ifindex);
	err = plane_set_globals(p, &g);
	if (!err)
		err = attach_interface(p, &g, f, s->fd, &attached);
	if (!err)
		err = lead_out(p, was, ifindex);
	if (!err)
		s->ifindex = ifindex;
	return err ? err : more;
}
