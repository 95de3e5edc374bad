/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * load.h - loading programs onto the maps of a plane (the only user of libbpf but explain)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

struct bpf_object;

/* The BPF object's bytes: the one carried inside, or the file that SHIFT_OBJECT names. */
int load_object(const void **ret, size_t *ret_size);

/*
 * Opens the object with the maps of `p` that are open; `only` is the one program to be loaded.
 * 0 and *ret, to be closed by bpf_object__close; or −errno, and load_complaint says more.
 */
int load_open(const struct plane *p, const char *only, struct bpf_object **ret);

/* Sets a constant of the object before it is loaded. -ENOENT: there is none of that name and size.
 */
int load_set(struct bpf_object *o, const char *name, const void *value, size_t size);

/* Loads it and returns the program's descriptor, the caller's. */
int load_program(struct bpf_object *o, const char *name);

/* Creates the maps a plane lacks (all of them, at the first apply) and opens them in `p`. */
int load_maps(struct plane *p, uint32_t flow_capacity);

/* The program of one side of an interface. `slot`: its place in shift_globals.interface; `l3`:
 * bytes before the IP header; `growing`: the forward table of before is looked at, too. */
int load_side(const struct plane *p, bool egress, uint32_t slot, uint32_t window_shift, uint32_t l3,
	      bool growing);

/* The short way on XDP of one interface. While a table grows it knows one of the two, which is
 * enough: what it does not find goes to tc. */
int load_xdp(const struct plane *p, uint32_t slot, uint32_t window_shift);

/* Both clocks, read at the same moment by the kernel. */
int load_clock(const struct plane *p, uint64_t *ret_jiffies, uint64_t *ret_ns);

/* What libbpf or the verifier said last, the last lines of it; "" if nothing. */
const char *load_complaint(void);
