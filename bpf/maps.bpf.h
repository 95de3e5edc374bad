/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.bpf.h - the maps, one set per network namespace, shared by the programs of all interfaces
 *
 * Names are at most 15 characters: shiftctl finds the maps by name through an attached program.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include "bpf/shift.h"

/* Set before loading, per interface. */
const volatile __u32 iface_slot;   /* place in shift_globals.interface and shift_ifstats */
const volatile __u32 window_shift; /* jiffies >> this is about a second */
const volatile __u32 l3_offset = 14;
const volatile __u32 growing;				 /* see shift_flows_was */
const volatile __u32 flow_lines = 1, flow_lines_was = 1; /* of the two indexes */
const volatile __u64 flow_seed;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHIFT_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct shift_control);
} shift_control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shift_globals);
} shift_globals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shift_ports);
} shift_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct shift_service);
} shift_services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SHIFT_MAX_LISTENS);
	__type(key, struct shift_listen_key);
	__type(value, __u32); /* listen id */
} shift_entry SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_LISTENS);
	__type(key, __u32);
	__type(value, struct shift_listen);
} shift_listens SEC(".maps");

/*
 * What the two hashes, of listeners and of replies, answered last, by a few bits of what was asked:
 * an id, which its own record proves or disproves. A wrong or empty place costs the hash.
 */
#define DOORS_LISTEN 256
#define DOORS_REPLY  1024

struct doors {
	__u32 listen[DOORS_LISTEN];
	__u32 reply[DOORS_REPLY];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct doors);
} shift_doors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SHIFT_MAX_CLIENTS);
	__type(key, struct shift_client_key);
	__type(value, struct shift_client);
} shift_clients SEC(".maps");

/* A rank's byte is 1 once a flow of it was ever shifted; see flow.bpf.h. */
struct shift_dirty {
	__u8 rank[SHIFT_RANKS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHIFT_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct shift_dirty);
} shift_dirty SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_SERVICES * 2);
	__type(key, __u32); /* service * 2 + (IPv6) */
	__type(value, struct shift_table);
} shift_tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct shift_backend);
} shift_backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_TARGETS);
	__type(key, __u32);
	__type(value, struct shift_target);
} shift_targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SHIFT_MAX_TARGETS);
	__type(key, struct shift_reply_key);
	__type(value, __u32); /* target id */
} shift_replies SEC(".maps");

/* The kernel wants the lock to be of its own type. */
struct shift_hand {
	struct bpf_spin_lock lock;
	__u32 hand;
	__u32 half_open;
	__u32 in_vain;
	__u32 sweep_tick;
	__u32 sweep;
	__u32 left_tick;
	__u32 pad;
};
_Static_assert(sizeof(struct shift_hand) == sizeof(struct shift_cursor), "cursor");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_TARGETS *SHIFT_MAX_SHARDS);
	__type(key, __u32); /* target * SHIFT_MAX_SHARDS + shard */
	__type(value, struct shift_hand);
} shift_cursors SEC(".maps");

struct shift_slots {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32)); /* NAT port - target.port_lo */
	__uint(value_size, sizeof(struct shift_flow));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SHIFT_MAX_TARGETS);
	__type(key, __u32);
	__array(values, struct shift_slots);
} shift_slots SEC(".maps");

struct shift_refs {
	struct bpf_spin_lock lock;
	__u32 spilled;
	__u64 ref[SHIFT_LINE_REFS];
};
_Static_assert(sizeof(struct shift_refs) == sizeof(struct shift_index_line), "index line");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set by apply, for the sum of all targets' ports */
	__type(key, __u32);
	__type(value, struct shift_refs);
} shift_flows SEC(".maps");

/* The smaller index that `apply` is growing out of; with `growing` it is looked at, too. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shift_refs);
} shift_flows_was SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_SYN_LINES);
	__type(key, __u32);
	__type(value, struct shift_syn_line);
} shift_syns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_SERVICES);
	__type(key, __u32);
	__type(value, __u32); /* tick of the last SYN left local; 0: never */
} shift_locals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_UDP_LINES);
	__type(key, __u32);
	__type(value, struct shift_syn_line);
} shift_udps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_FRAGMENTS);
	__type(key, __u32);
	__type(value, struct shift_fragment);
} shift_fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_HELD);
	__type(key, __u32);
	__type(value, struct shift_held);
} shift_held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHIFT_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct shift_load);
} shift_load SEC(".maps");

struct shift_fuse {
	struct bpf_spin_lock lock;
	__u32 failures;
	__u32 open;
	__u32 probe;
	__u64 opened_at;
	__u64 opened;
};
_Static_assert(sizeof(struct shift_fuse) == sizeof(struct shift_breaker), "breaker");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct shift_fuse);
} shift_breakers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SHIFT_ARRIVALS);
	__type(key, struct shift_arrival_key);
	__type(value, struct shift_arrival);
} shift_arrivals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SHIFT_IFSTATS_PLACES);
	__type(key, __u32);
	__type(value, struct shift_if_stats);
} shift_ifstats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SHIFT_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct shift_service_stats);
} shift_svcstats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SHIFT_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct shift_backend_stats);
} shift_bestats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SHIFT_MAX_SERVICES *SHIFT_ARMS);
	__type(key, __u32); /* service * SHIFT_ARMS + arm */
	__type(value, struct shift_arm);
} shift_arms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SHIFT_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct shift_answers);
} shift_answers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_WATCHES);
	__type(key, __u32);
	__type(value, struct shift_watch);
} shift_watches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SHIFT_FAILERS);
	__type(key, struct shift_failer_key);
	__type(value, struct shift_failer);
} shift_failers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct shift_seen);
} shift_seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIFT_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct shift_origins);
} shift_origins SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shift_explanation);
} shift_explained SEC(".maps");
