/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpfsys.h - the few bpf(2) calls that verbs without libbpf make
 *
 * `shiftctl weight` and `rollback` must not pay a millisecond for libraries, so they find and write
 * the kernel's state with these. All return 0, a descriptor or a count, or −errno. Descriptors are
 * close-on-exec and the caller's.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* enum bpf_attach_type of 6.6; the build's header may be older. */
#define BPFSYS_TCX_INGRESS 46
#define BPFSYS_TCX_EGRESS  47
#define BPFSYS_F_BEFORE	   (1u << 3) /* alone: at the head; newer than the headers of Debian 12 */
#define BPFSYS_MAX_MAPS	   64	     /* of one program, by the kernel */

int bpfsys_prog_by_id(uint32_t id);
int bpfsys_map_by_id(uint32_t id);
int bpfsys_obj_get(const char *path);
int bpfsys_obj_pin(int fd, const char *path);

/* The ids of the programs on one side of `ifindex`'s tcx, head first. -EINVAL: no tcx here. */
int bpfsys_tcx_query(uint32_t ifindex, bool egress, uint32_t *ids, uint32_t max);

/* Attaches before what is there, or in place of `replace_fd` if that is not −1. */
int bpfsys_tcx_attach(uint32_t ifindex, bool egress, int prog_fd, int replace_fd);
int bpfsys_tcx_detach(uint32_t ifindex, bool egress, int prog_fd);

/* `maps` receives up to BPFSYS_MAX_MAPS ids; returns how many the program uses. */
int bpfsys_prog_info(int fd, struct bpf_prog_info *info, uint32_t *maps);
/* Makes the program hold a map that its code does not name (5.10). */
int bpfsys_bind_map(int prog_fd, int map_fd);
int bpfsys_map_info(int fd, struct bpf_map_info *info);

/* 5.10 charges maps to the locked memory of their maker. */
void bpfsys_lift_memory_limit(void);

/* An ARRAY of `n` values with `flags` (BPF_F_…). */
int bpfsys_create_array(const char *name, uint32_t value_size, uint32_t n, uint32_t flags);

int bpfsys_lookup(int map_fd, const void *key, void *value);
int bpfsys_update(int map_fd, const void *key, const void *value);
int bpfsys_delete(int map_fd, const void *key);
/* `key` NULL asks for the first; -ENOENT ends. */
int bpfsys_next_key(int map_fd, const void *key, void *next);

/* Runs the program once on `packet`, which the kernel copies; the program's own maps hold the
 * answer. */
int bpfsys_test_run(int prog_fd, const void *packet, uint32_t length, uint32_t *ret_action);
