/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/plane.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "userspace/net/tc.h"
#include "userspace/plane/bpfsys.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define TCX_MAX 64

const char *const plane_map_names[PLANE_MAPS] = {
	[PLANE_CONTROL] = "shift_control",   [PLANE_GLOBALS] = "shift_globals",
	[PLANE_PORTS] = "shift_ports",	     [PLANE_SERVICES] = "shift_services",
	[PLANE_ENTRY] = "shift_entry",	     [PLANE_LISTENS] = "shift_listens",
	[PLANE_CLIENTS] = "shift_clients",   [PLANE_DIRTY] = "shift_dirty",
	[PLANE_TABLES] = "shift_tables",     [PLANE_BACKENDS] = "shift_backends",
	[PLANE_TARGETS] = "shift_targets",   [PLANE_REPLIES] = "shift_replies",
	[PLANE_CURSORS] = "shift_cursors",   [PLANE_SLOTS] = "shift_slots",
	[PLANE_FLOWS] = "shift_flows",	     [PLANE_FLOWS_WAS] = "shift_flows_was",
	[PLANE_SYNS] = "shift_syns",	     [PLANE_LOCALS] = "shift_locals",
	[PLANE_UDPS] = "shift_udps",	     [PLANE_FRAGMENTS] = "shift_fragments",
	[PLANE_HELD] = "shift_held",	     [PLANE_LOAD] = "shift_load",
	[PLANE_BREAKERS] = "shift_breakers", [PLANE_ARRIVALS] = "shift_arrivals",
	[PLANE_IFSTATS] = "shift_ifstats",   [PLANE_SVCSTATS] = "shift_svcstats",
	[PLANE_BESTATS] = "shift_bestats",   [PLANE_ARMS] = "shift_arms",
	[PLANE_ANSWERS] = "shift_answers",   [PLANE_WATCHES] = "shift_watches",
	[PLANE_FAILERS] = "shift_failers",   [PLANE_SEEN] = "shift_seen",
	[PLANE_ORIGINS] = "shift_origins",
};

int plane_namespace(uint64_t *ret_id, bool *ret_first)
{
	struct stat mine, first;
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	int s;

	if (stat("/proc/self/ns/net", &mine))
		return -errno;
	*ret_first = !stat("/proc/1/ns/net", &first) && first.st_ino == mine.st_ino &&
		     first.st_dev == mine.st_dev;
	*ret_id = mine.st_ino;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return 0;
	if (!getsockopt(s, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) && cookie)
		*ret_id = cookie;
	close(s);
	return 0;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (uint32_t)fs.f_type == BPF_FS_MAGIC;
}

/*
 * `ip netns exec` mounts a fresh /sys over the one that carries bpffs; process 1 still sees it. The
 * folder's name is the inode, for people, and the cookie, because inodes are used again.
 */
int plane_pin_dir(char *ret, size_t size)
{
	const char *root;
	struct stat mine;
	uint64_t id;
	bool first;
	int err;

	if (is_bpffs("/sys/fs/bpf"))
		root = "/sys/fs/bpf";
	else if (is_bpffs("/proc/1/root/sys/fs/bpf"))
		root = "/proc/1/root/sys/fs/bpf";
	else
		return -ENOENT;
	err = plane_namespace(&id, &first);
	if (err)
		return err;
	if (stat("/proc/self/ns/net", &mine))
		return -errno;
	if (id == mine.st_ino && !first) /* no cookie: a name that outlives the namespace lies */
		return -ENOENT;
	snprintf(ret, size, "%s/shift/%llu-%llu", root, (unsigned long long)mine.st_ino,
		 (unsigned long long)(first ? 0 : id));
	return 0;
}

int plane_maps_of_program(int prog_fd, int map[PLANE_MAPS])
{
	uint32_t ids[BPFSYS_MAX_MAPS];
	struct bpf_prog_info info;
	int n = bpfsys_prog_info(prog_fd, &info, ids);
	uint32_t flows_id = 0;

	if (n < 0)
		return n;
	for (int i = 0; i < n && i < BPFSYS_MAX_MAPS; i++) {
		struct bpf_map_info m;
		int fd = bpfsys_map_by_id(ids[i]), which;

		if (fd < 0)
			return fd;
		for (which = 0; which < PLANE_MAPS; which++) {
			if (!bpfsys_map_info(fd, &m) && !strcmp(m.name, plane_map_names[which]))
				break;
		}
		/* A map keeps the name it was made under: the table that is grown out of has the
		 * new one's. The one that was made first is the old one. */
		if (which == PLANE_FLOWS && map[which] >= 0 && map[PLANE_FLOWS_WAS] < 0) {
			if (m.id > flows_id) {
				map[PLANE_FLOWS_WAS] = map[which];
				map[which] = fd;
				flows_id = m.id;
			} else {
				map[PLANE_FLOWS_WAS] = fd;
			}
			continue;
		}
		if (which == PLANE_FLOWS)
			flows_id = m.id;
		if (which < PLANE_MAPS && map[which] < 0)
			map[which] = fd;
		else
			close(fd);
	}
	return 0;
}

const char *plane_program_name(bool egress)
{
	return egress ? "shift_egress" : "shift_ingress";
}

/* A descriptor; -ENOENT: it is not ours, or gone meanwhile; another −errno: nobody can tell. */
static int open_ours(uint32_t id, bool egress)
{
	struct bpf_prog_info info;
	int fd = bpfsys_prog_by_id(id), err;

	if (fd < 0)
		return fd;
	err = bpfsys_prog_info(fd, &info, NULL);
	if (err >= 0 && !strcmp(info.name, plane_program_name(egress)))
		return fd;
	close(fd);
	return err < 0 ? err : -ENOENT;
}

/* One of these programs, taken up as `hook`. 1: it is ours; 0: it is not. */
static int take_up(uint32_t id, bool egress, enum shift_hook hook, struct plane_attachment *ret)
{
	int fd = open_ours(id, egress);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	ret->hook = hook;
	ret->prog_id = id;
	ret->prog_fd = fd;
	return 1;
}

/* What cannot be told is an error: "not attached" would be a lie, and acted on. */
int plane_attachment(uint32_t ifindex, bool egress, struct plane_attachment *ret)
{
	uint32_t ids[TCX_MAX], id = 0;
	int n = bpfsys_tcx_query(ifindex, egress, ids, TCX_MAX), found = 0, err;

	ret->ifindex = ifindex;
	ret->hook = SHIFT_HOOK_NONE;
	ret->prog_fd = -1;
	if (n == -ENODEV)
		return 0;
	if (n < 0 && n != -EINVAL) /* EINVAL: a kernel without tcx */
		return n;
	for (int i = 0; i < n && i < TCX_MAX && !found; i++)
		found = take_up(ids[i], egress, SHIFT_HOOK_TCX, ret);
	if (found)
		return found < 0 ? found : 0;
	err = tc_find(ifindex, egress, &id);
	if (err || !id)
		return err == -ENODEV || err == -ENOENT || err == -EINVAL ? 0 : err;
	found = take_up(id, egress, SHIFT_HOOK_CLSACT, ret);
	return found < 0 ? found : 0;
}

/* Takes the attachment up if our program is there. 1: it is; 0: it is not; or −errno. */
static int look_at(struct plane *p, uint32_t ifindex, const char *name)
{
	struct plane_attachment *a = &p->at[p->attachments];
	int err;

	if (p->attachments == SHIFT_MAX_INTERFACES)
		return 0;
	err = plane_attachment(ifindex, false, a);
	if (err || a->hook == SHIFT_HOOK_NONE)
		return err;
	snprintf(a->name, sizeof(a->name), "%s", name);
	p->attachments++;
	return 1;
}

/* On a host with many containers asking every interface takes longer than a rollback may. */
static int find_everywhere(struct plane *p)
{
	struct if_nameindex *all = if_nameindex();
	int err = 0;

	if (!all)
		return -errno;
	for (int i = 0; all[i].if_index && err >= 0; i++)
		err = look_at(p, all[i].if_index, all[i].if_name);
	if_freenameindex(all);
	return err < 0 ? err : 0;
}

/* The interfaces that the first one's record names. */
static int find_listed(struct plane *p, const struct shift_globals *g)
{
	int err = 0;

	for (int i = 0; i < SHIFT_MAX_INTERFACES && err >= 0; i++) {
		const struct shift_interface *f = &g->interface[i];

		if (f->ifindex && f->ifindex != p->at[0].ifindex)
			err = look_at(p, f->ifindex, f->name);
	}
	return err < 0 ? err : 0;
}

static void forget_maps(struct plane *p)
{
	for (int i = 0; i < PLANE_MAPS; i++) {
		if (p->map[i] >= 0)
			close(p->map[i]);
		p->map[i] = -1;
	}
}

static int find_pinned(struct plane *p)
{
	char dir[128], path[192];
	int err = plane_pin_dir(dir, sizeof(dir));

	if (err)
		return err;
	for (int i = 0; i < PLANE_MAPS; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, plane_map_names[i]);
		p->map[i] = bpfsys_obj_get(path);
		if (p->map[i] < 0)
			return p->map[i];
	}
	return 0;
}

int plane_map_control(struct plane *p)
{
	void *m = mmap(NULL, sizeof(struct shift_control) * SHIFT_MAX_SERVICES,
		       PROT_READ | PROT_WRITE, MAP_SHARED, p->map[PLANE_CONTROL], 0);

	if (m == MAP_FAILED)
		return -errno;
	p->control = m;
	return 0;
}

/* By the pins' record to the interfaces, and by a program found there to the maps it really uses.
 */
static int find_by_pins(struct plane *p)
{
	struct shift_globals g;
	int err = find_pinned(p), found = 0;

	if (!err)
		err = plane_globals(p, &g);
	for (int i = 0; !err && i < SHIFT_MAX_INTERFACES && !found; i++) {
		if (!g.interface[i].ifindex)
			continue;
		found = look_at(p, g.interface[i].ifindex, g.interface[i].name);
		if (found < 0)
			err = found;
	}
	return err;
}

/* Does the program look into two forward tables (grow.h)? */
static bool is_growing(const int map[PLANE_MAPS])
{
	struct bpf_map_info info;

	return map[PLANE_FLOWS_WAS] >= 0 && !bpfsys_map_info(map[PLANE_FLOWS_WAS], &info) &&
	       info.max_entries > 1;
}

/* The maps of the program that is attached, whatever the pins say. */
static int adopt_program(struct plane *p)
{
	struct shift_globals g;
	int err;

	forget_maps(p);
	err = plane_maps_of_program(p->at[0].prog_fd, p->map);
	if (!err && p->map[PLANE_GLOBALS] < 0)
		err = -EPROTO;
	if (!err)
		err = plane_globals(p, &g);
	if (!err)
		err = find_listed(p, &g);
	/* An apply that was killed while it grew the forward table: the program that knows both
	 * tables is the one to go on from. */
	for (int i = 1; i < p->attachments && !err && !is_growing(p->map); i++) {
		int other[PLANE_MAPS];

		memset(other, -1, sizeof(other));
		err = plane_maps_of_program(p->at[i].prog_fd, other);
		if (!err && is_growing(other)) {
			forget_maps(p);
			memcpy(p->map, other, sizeof(other));
			break;
		}
		for (int m = 0; m < PLANE_MAPS; m++) {
			if (other[m] >= 0)
				close(other[m]);
		}
	}
	return err;
}

/* No pins, and no program at any ingress: one at an egress still holds the maps. */
static int find_by_egress(struct plane *p)
{
	struct if_nameindex *all = if_nameindex();
	int err = all ? -ENOENT : -errno;

	for (int i = 0; all && all[i].if_index && err == -ENOENT; i++) {
		struct plane_attachment at;

		err = plane_attachment(all[i].if_index, true, &at);
		if (!err && at.hook == SHIFT_HOOK_NONE)
			err = -ENOENT;
		if (err)
			continue;
		forget_maps(p);
		err = plane_maps_of_program(at.prog_fd, p->map);
		close(at.prog_fd);
	}
	if (all)
		if_freenameindex(all);
	return err;
}

int plane_find(struct plane *ret)
{
	struct bpf_map_info info;
	int err, pinned;

	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < PLANE_MAPS; i++)
		ret->map[i] = -1;
	pinned = find_by_pins(ret);
	if (pinned == -EACCES && !geteuid())
		pinned = -ENOENT;
	err = ret->attachments ? 0 : find_everywhere(ret);
	if (!err && ret->attachments)
		err = adopt_program(ret);
	else if (!err)
		err = pinned == -ENOENT ? find_by_egress(ret) : pinned;
	if (!err &&
	    (ret->map[PLANE_CONTROL] < 0 || bpfsys_map_info(ret->map[PLANE_CONTROL], &info) ||
	     info.value_size != sizeof(struct shift_control)))
		err = -EPROTO;
	if (!err)
		err = plane_map_control(ret);
	if (!err && ret->control[0].abi && ret->control[0].abi != SHIFT_ABI)
		err = -EPROTO;
	if (err)
		forget_maps(ret);
	return err;
}

void plane_close(struct plane *p)
{
	if (p->control)
		munmap(p->control, sizeof(struct shift_control) * SHIFT_MAX_SERVICES);
	p->control = NULL;
	forget_maps(p);
	for (int i = 0; i < p->attachments; i++)
		close(p->at[i].prog_fd);
	p->attachments = 0;
}

int plane_pinned_control(struct plane *ret)
{
	char dir[128], path[192];
	int err;

	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < PLANE_MAPS; i++)
		ret->map[i] = -1;
	err = plane_pin_dir(dir, sizeof(dir));
	if (err)
		return err;
	for (int i = PLANE_CONTROL; i <= PLANE_SERVICES && !err; i++) {
		if (i != PLANE_CONTROL && i != PLANE_SERVICES)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, plane_map_names[i]);
		ret->map[i] = bpfsys_obj_get(path);
		if (ret->map[i] < 0)
			err = ret->map[i];
	}
	return err ? err : plane_map_control(ret);
}

bool plane_same_control(const struct plane *a, const struct plane *b)
{
	struct bpf_map_info x, y;

	return !bpfsys_map_info(a->map[PLANE_CONTROL], &x) &&
	       !bpfsys_map_info(b->map[PLANE_CONTROL], &y) && x.id == y.id;
}

int plane_globals(const struct plane *p, struct shift_globals *ret)
{
	uint32_t zero = 0;

	return bpfsys_lookup(p->map[PLANE_GLOBALS], &zero, ret);
}

int plane_set_globals(const struct plane *p, const struct shift_globals *g)
{
	uint32_t zero = 0;

	return bpfsys_update(p->map[PLANE_GLOBALS], &zero, g);
}

int plane_service(const struct plane *p, uint32_t id, struct shift_service *ret)
{
	return bpfsys_lookup(p->map[PLANE_SERVICES], &id, ret);
}

int plane_service_by_name(const struct plane *p, const char *name)
{
	for (uint32_t id = 0; id < SHIFT_MAX_SERVICES; id++) {
		struct shift_service s;

		if (!plane_service(p, id, &s) && s.flags & SHIFT_SERVICE_USED &&
		    !strncmp(s.name, name, sizeof(s.name)))
			return (int)id;
	}
	return -ENOENT;
}

uint32_t plane_tick(const struct shift_globals *g)
{
	struct timespec t;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &t);
	ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec - g->clock_ns;
	return (uint32_t)((g->clock_jiffies + ns / 1000 * g->hz / 1000000) >> SHIFT_TICK_SHIFT);
}
