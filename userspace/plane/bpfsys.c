/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/bpfsys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int sys_bpf(int cmd, union bpf_attr *attr, size_t size)
{
	long r = syscall(__NR_bpf, cmd, attr, size);

	return r < 0 ? -errno : (int)r;
}

int bpfsys_prog_by_id(uint32_t id)
{
	union bpf_attr a = {.prog_id = id};

	return sys_bpf(BPF_PROG_GET_FD_BY_ID, &a, sizeof(a));
}

int bpfsys_map_by_id(uint32_t id)
{
	union bpf_attr a = {.map_id = id};

	return sys_bpf(BPF_MAP_GET_FD_BY_ID, &a, sizeof(a));
}

int bpfsys_obj_get(const char *path)
{
	union bpf_attr a = {.pathname = (uintptr_t)path};

	return sys_bpf(BPF_OBJ_GET, &a, sizeof(a));
}

int bpfsys_obj_pin(int fd, const char *path)
{
	union bpf_attr a = {.pathname = (uintptr_t)path, .bpf_fd = fd};

	return sys_bpf(BPF_OBJ_PIN, &a, sizeof(a));
}

static uint32_t tcx_side(bool egress)
{
	return egress ? BPFSYS_TCX_EGRESS : BPFSYS_TCX_INGRESS;
}

int bpfsys_tcx_query(uint32_t ifindex, bool egress, uint32_t *ids, uint32_t max)
{
	union bpf_attr a = {.query = {.target_fd = ifindex,
				      .attach_type = tcx_side(egress),
				      .prog_ids = (uintptr_t)ids,
				      .prog_cnt = max}};
	int err = sys_bpf(BPF_PROG_QUERY, &a, sizeof(a));

	return err ? err : (int)a.query.prog_cnt;
}

int bpfsys_tcx_attach(uint32_t ifindex, bool egress, int prog_fd, int replace_fd)
{
	union bpf_attr a = {.target_fd = ifindex,
			    .attach_bpf_fd = (uint32_t)prog_fd,
			    .attach_type = tcx_side(egress)};

	/* First of all: one that ends the chain would keep every packet from us. */
	a.attach_flags = BPFSYS_F_BEFORE;
	if (replace_fd >= 0) {
		a.attach_flags = BPF_F_REPLACE;
		a.replace_bpf_fd = replace_fd;
	}
	return sys_bpf(BPF_PROG_ATTACH, &a, sizeof(a));
}

int bpfsys_tcx_detach(uint32_t ifindex, bool egress, int prog_fd)
{
	union bpf_attr a = {.target_fd = ifindex,
			    .attach_bpf_fd = (uint32_t)prog_fd,
			    .attach_type = tcx_side(egress)};

	return sys_bpf(BPF_PROG_DETACH, &a, sizeof(a));
}

int bpfsys_prog_info(int fd, struct bpf_prog_info *info, uint32_t *maps)
{
	union bpf_attr a = {
		.info = {.bpf_fd = fd, .info_len = sizeof(*info), .info = (uintptr_t)info}};
	int err;

	memset(info, 0, sizeof(*info));
	if (maps) {
		info->nr_map_ids = BPFSYS_MAX_MAPS;
		info->map_ids = (uintptr_t)maps;
	}
	err = sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a));
	return err ? err : (int)info->nr_map_ids;
}

int bpfsys_bind_map(int prog_fd, int map_fd)
{
	union bpf_attr a = {
		.prog_bind_map = {.prog_fd = (uint32_t)prog_fd, .map_fd = (uint32_t)map_fd}};

	return sys_bpf(BPF_PROG_BIND_MAP, &a, sizeof(a));
}

int bpfsys_map_info(int fd, struct bpf_map_info *info)
{
	union bpf_attr a = {
		.info = {.bpf_fd = fd, .info_len = sizeof(*info), .info = (uintptr_t)info}};

	memset(info, 0, sizeof(*info));
	return sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a));
}

void bpfsys_lift_memory_limit(void)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	setrlimit(RLIMIT_MEMLOCK, &all);
}

int bpfsys_create_array(const char *name, uint32_t value_size, uint32_t n, uint32_t flags)
{
	union bpf_attr a = {.map_type = BPF_MAP_TYPE_ARRAY,
			    .key_size = sizeof(uint32_t),
			    .value_size = value_size,
			    .max_entries = n,
			    .map_flags = flags};

	snprintf(a.map_name, sizeof(a.map_name), "%s", name);
	return sys_bpf(BPF_MAP_CREATE, &a, sizeof(a));
}

int bpfsys_lookup(int map_fd, const void *key, void *value)
{
	union bpf_attr a = {.map_fd = map_fd, .key = (uintptr_t)key, .value = (uintptr_t)value};

	return sys_bpf(BPF_MAP_LOOKUP_ELEM, &a, sizeof(a));
}

int bpfsys_update(int map_fd, const void *key, const void *value)
{
	union bpf_attr a = {.map_fd = map_fd, .key = (uintptr_t)key, .value = (uintptr_t)value};

	return sys_bpf(BPF_MAP_UPDATE_ELEM, &a, sizeof(a));
}

int bpfsys_delete(int map_fd, const void *key)
{
	union bpf_attr a = {.map_fd = map_fd, .key = (uintptr_t)key};

	return sys_bpf(BPF_MAP_DELETE_ELEM, &a, sizeof(a));
}

int bpfsys_next_key(int map_fd, const void *key, void *next)
{
	union bpf_attr a = {.map_fd = map_fd, .key = (uintptr_t)key, .next_key = (uintptr_t)next};

	return sys_bpf(BPF_MAP_GET_NEXT_KEY, &a, sizeof(a));
}

int bpfsys_test_run(int prog_fd, const void *packet, uint32_t length, uint32_t *ret_action)
{
	union bpf_attr a = {
		.test = {.prog_fd = prog_fd, .data_in = (uintptr_t)packet, .data_size_in = length}};
	int err = sys_bpf(BPF_PROG_TEST_RUN, &a, sizeof(a));

	if (!err && ret_action)
		*ret_action = a.test.retval;
	return err;
}
