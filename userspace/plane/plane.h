/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plane.h - a handle on the data plane of this network namespace
 *
 * The truth is what the kernel runs: the maps are found through the program that is attached to an
 * interface, and only without one through the pins. So nobody can lose the data plane by deleting
 * files, and what `attached` says was asked of the kernel a moment ago.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shift.h"

enum plane_map {
	PLANE_CONTROL,
	PLANE_GLOBALS,
	PLANE_PORTS,
	PLANE_SERVICES,
	PLANE_ENTRY,
	PLANE_LISTENS,
	PLANE_CLIENTS,
	PLANE_DIRTY,
	PLANE_TABLES,
	PLANE_BACKENDS,
	PLANE_TARGETS,
	PLANE_REPLIES,
	PLANE_CURSORS,
	PLANE_SLOTS,
	PLANE_FLOWS,
	PLANE_FLOWS_WAS, /* one entry, but while the forward table grows */
	PLANE_SYNS,
	PLANE_LOCALS,
	PLANE_UDPS,
	PLANE_FRAGMENTS,
	PLANE_HELD,
	PLANE_LOAD,
	PLANE_BREAKERS,
	PLANE_ARRIVALS,
	PLANE_IFSTATS,
	PLANE_SVCSTATS,
	PLANE_BESTATS,
	PLANE_ARMS,
	PLANE_ANSWERS,
	PLANE_WATCHES,
	PLANE_FAILERS,
	PLANE_SEEN,
	PLANE_ORIGINS,
	PLANE_MAPS
};

/* "shift_control", …: the names in the kernel and of the pins. */
extern const char *const plane_map_names[PLANE_MAPS];

struct plane_attachment {
	uint32_t ifindex;
	char name[16];
	enum shift_hook hook;
	uint32_t prog_id;
	int prog_fd; /* the plane's */
};

struct plane {
	int map[PLANE_MAPS];	       /* −1 where not open */
	struct shift_control *control; /* SHIFT_MAX_SERVICES elements, mapped; NULL without maps */
	struct plane_attachment at[SHIFT_MAX_INTERFACES];
	int attachments; /* 0: found by pins, if at all */
};

/*
 * Finds the maps. 0; -ENOENT: there are none; -EPERM: not privileged; -EPROTO: another ABI's. In
 * every case *ret can be given to plane_close.
 */
int plane_find(struct plane *ret);
void plane_close(struct plane *p);

/*
 * Control and services by their pins alone, which asks no device and waits for none of the kernel's
 * locks: what a rollback tries first. Whether a program uses these maps is not known. 0 or −errno;
 * *ret can be given to plane_close.
 */
int plane_pinned_control(struct plane *ret);
/* Is it the same map? */
bool plane_same_control(const struct plane *a, const struct plane *b);

/* The folder of this namespace's pins; -ENOENT where no bpffs is to be had. */
int plane_pin_dir(char *ret, size_t size);

/* The cookie (or, below 5.14, the inode) of this network namespace; *ret_first: it is process 1's.
 */
int plane_namespace(uint64_t *ret_id, bool *ret_first);

/* Opens the maps that a program uses, by name. 0 or −errno. */
int plane_maps_of_program(int prog_fd, int map[PLANE_MAPS]);

/* Maps shift_control. */
int plane_map_control(struct plane *p);

/* One side of an interface, asked of the kernel; hook NONE if our program is not there. */
int plane_attachment(uint32_t ifindex, bool egress, struct plane_attachment *ret);
/* Of the program on that side, in the kernel. */
const char *plane_program_name(bool egress);

int plane_globals(const struct plane *p, struct shift_globals *ret);
int plane_set_globals(const struct plane *p, const struct shift_globals *g);
int plane_service(const struct plane *p, uint32_t id, struct shift_service *ret);

/* The id of a service by name, or -ENOENT. */
int plane_service_by_name(const struct plane *p, const char *name);

/* The tick now, by the clock that `apply` calibrated. */
uint32_t plane_tick(const struct shift_globals *g);
