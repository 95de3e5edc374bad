/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/load.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/plane/bpfsys.h"

extern const unsigned char shift_object[], shift_object_end[];

static char complaint[4096];

static int keep_complaint(enum libbpf_print_level level, const char *format, va_list ap)
{
	char line[sizeof(complaint)];
	size_t used = strlen(complaint), n;

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, ap);
	if (getenv("SHIFT_DEBUG"))
		fputs(line, stderr);
	n = strlen(line);
	if (used + n >= sizeof(complaint)) { /* the end is what tells */
		size_t drop = used + n + 1 - sizeof(complaint);

		if (drop > used)
			drop = used;
		memmove(complaint, complaint + drop, used - drop + 1);
		used -= drop;
	}
	snprintf(complaint + used, sizeof(complaint) - used, "%s", line);
	return 0;
}

const char *load_complaint(void)
{
	return complaint;
}

/* A file stands in for the object while one is being developed or tested. */
static int object_from_file(const char *path, const void **ret, size_t *ret_size)
{
	static void *bytes;
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_size <= 0) {
		close(fd);
		return -EINVAL;
	}
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED)
		return -errno;
	*ret = bytes;
	*ret_size = (size_t)st.st_size;
	return 0;
}

int load_object(const void **ret, size_t *ret_size)
{
	const char *path = getenv("SHIFT_OBJECT");

	if (path && *path)
		return object_from_file(path, ret, ret_size);
	*ret = shift_object;
	*ret_size = (size_t)(shift_object_end - shift_object);
	return 0;
}

/* The program multiplies by the number of lines: it is a constant of its code. */
static int set_index(const struct plane *p, struct bpf_object *o)
{
	static const char *const names[] = {"flow_lines", "flow_lines_was"};
	static const enum plane_map maps[] = {PLANE_FLOWS, PLANE_FLOWS_WAS};
	struct shift_globals g;
	int err = 0;

	if (p->map[PLANE_GLOBALS] >= 0 && !plane_globals(p, &g))
		err = load_set(o, "flow_seed", &g.flow_seed, sizeof(g.flow_seed));
	for (int i = 0; i < 2 && !err; i++) {
		struct bpf_map_info info;

		if (p->map[maps[i]] < 0)
			continue;
		err = bpfsys_map_info(p->map[maps[i]], &info);
		if (!err)
			err = load_set(o, names[i], &info.max_entries, sizeof(info.max_entries));
	}
	return err;
}

int load_open(const struct plane *p, const char *only, struct bpf_object **ret)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "shift");
	struct bpf_program *prog;
	struct bpf_object *o;
	const void *bytes;
	size_t size;
	int err = load_object(&bytes, &size);

	if (err)
		return err;
	bpfsys_lift_memory_limit();
	complaint[0] = '\0';
	libbpf_set_print(keep_complaint);
	o = bpf_object__open_mem(bytes, size, &opts);
	if (!o)
		return -errno;
	for (int i = 0; i < PLANE_MAPS && !err; i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(o, plane_map_names[i]);

		if (!m)
			err = -ENOENT;
		else if (p->map[i] >= 0)
			err = bpf_map__reuse_fd(m, p->map[i]);
	}
	bpf_object__for_each_program (prog, o)
		bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), only));
	if (!err)
		err = set_index(p, o);
	if (err) {
		bpf_object__close(o);
		return err;
	}
	*ret = o;
	return 0;
}

int load_set(struct bpf_object *o, const char *name, const void *value, size_t size)
{
	struct bpf_map *m = bpf_object__find_map_by_name(o, ".rodata");
	const struct btf *btf = bpf_object__btf(o);
	const struct btf_var_secinfo *var;
	const struct btf_type *section;
	size_t total;
	char *base;
	int id;

	if (!m || !btf)
		return -ENOENT;
	id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	base = (char *)(uintptr_t)bpf_map__initial_value(m, &total); /* ours until it is loaded */
	if (id < 0 || !base)
		return -ENOENT;
	section = btf__type_by_id(btf, (uint32_t)id);
	var = btf_var_secinfos(section);
	for (int i = 0; i < btf_vlen(section); i++) {
		const struct btf_type *t = btf__type_by_id(btf, var[i].type);

		if (strcmp(btf__name_by_offset(btf, t->name_off), name))
			continue;
		if (var[i].size != size || var[i].offset + size > total)
			return -ENOENT;
		memcpy(base + var[i].offset, value, size);
		return 0;
	}
	return -ENOENT;
}

int load_program(struct bpf_object *o, const char *name)
{
	struct bpf_program *prog;
	int err = bpf_object__load(o), fd;

	if (err)
		return err;
	prog = bpf_object__find_program_by_name(o, name);
	if (!prog)
		return -ENOENT;
	fd = fcntl(bpf_program__fd(prog), F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

/* The small clock program brings all maps into being, and is thrown away. */
int load_maps(struct plane *p, uint32_t flow_capacity)
{
	struct bpf_object *o;
	struct bpf_map *flows;
	int err = load_open(p, "shift_clock", &o), fd;

	if (err)
		return err;
	flows = bpf_object__find_map_by_name(o, plane_map_names[PLANE_FLOWS]);
	if (p->map[PLANE_FLOWS] < 0)
		bpf_map__set_max_entries(flows, shift_lines(flow_capacity));
	fd = load_program(o, "shift_clock");
	err = fd < 0 ? fd : 0;
	for (int i = 0; i < PLANE_MAPS && !err; i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(o, plane_map_names[i]);

		if (p->map[i] >= 0)
			continue;
		p->map[i] = fcntl(bpf_map__fd(m), F_DUPFD_CLOEXEC, 3);
		if (p->map[i] < 0)
			err = -errno;
	}
	if (fd >= 0)
		close(fd);
	bpf_object__close(o);
	return err;
}

struct constants {
	uint32_t iface_slot, window_shift, l3_offset, growing;
};

/* One program with its constants, holding all maps, those that it does not use, too. */
static int load_hook(const struct plane *p, const char *name, const struct constants *c)
{
	struct bpf_object *o;
	int err = load_open(p, name, &o), fd;

	if (err)
		return err;
	err = load_set(o, "iface_slot", &c->iface_slot, sizeof(c->iface_slot));
	if (!err)
		err = load_set(o, "window_shift", &c->window_shift, sizeof(c->window_shift));
	if (!err)
		err = load_set(o, "l3_offset", &c->l3_offset, sizeof(c->l3_offset));
	if (!err)
		err = load_set(o, "growing", &c->growing, sizeof(c->growing));
	fd = err ? err : load_program(o, name);
	bpf_object__close(o);
	for (int i = 0; i < PLANE_MAPS && fd >= 0; i++) {
		err = bpfsys_bind_map(fd, p->map[i]);
		if (err) {
			close(fd);
			fd = err;
		}
	}
	return fd;
}

int load_side(const struct plane *p, bool egress, uint32_t slot, uint32_t window_shift, uint32_t l3,
	      bool growing)
{
	struct constants c = {slot, window_shift, l3, growing};

	return load_hook(p, plane_program_name(egress), &c);
}

int load_xdp(const struct plane *p, uint32_t slot, uint32_t window_shift)
{
	struct constants c = {slot, window_shift, 14, 0};

	return load_hook(p, "shift_xdp", &c);
}

int load_clock(const struct plane *p, uint64_t *ret_jiffies, uint64_t *ret_ns)
{
	unsigned char packet[64] = {0};
	struct shift_explanation x;
	struct bpf_object *o;
	struct bpf_map *m;
	uint32_t zero = 0;
	int err = load_open(p, "shift_clock", &o), fd;

	if (err)
		return err;
	fd = load_program(o, "shift_clock");
	m = bpf_object__find_map_by_name(o, "shift_explained");
	err = fd < 0 ? fd : bpfsys_test_run(fd, packet, sizeof(packet), NULL);
	if (!err)
		err = bpfsys_lookup(bpf_map__fd(m), &zero, &x);
	if (!err) {
		*ret_jiffies = x.hash;
		*ret_ns = x.epoch;
	}
	if (fd >= 0)
		close(fd);
	bpf_object__close(o);
	return err;
}
