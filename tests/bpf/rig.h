/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rig.h - the program, loaded, with its maps filled as `apply` fills them
 *
 * One service of two listeners and three backends, in IPv4 and IPv6 alike. The ids are neither 0
 * nor equal to each other, so that one taken for another is seen.
 *
 *   service 2    listeners 5 (203.0.113.10:443) and 6 ([2001:db8::10]:443)    interface slot 3
 *   backend 1 aws    40 %  targets 11, 12 / 21, 22   192.0.2.10 and .11, port 443, one NAT address
 *   backend 2 azure  30 %  target  13     / 23       192.0.2.20, port 8443
 *   backend 3 gcp    30 %  target  14     / 24       198.51.100.30, port 443, a NAT address of its
 * own
 *
 * Time is not waited for. A second of the tables is 64 ticks, whatever the kernel's HZ is, and
 * rig_age makes all that the kernel remembers older.
 */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/shift.h"
#include "tests/bpf/packet.h"

struct bpf_object;

#define RIG_SLOT	3
#define RIG_SERVICE	2
#define RIG_LISTEN(v6)	((v6) ? 6u : 5u)
#define RIG_PORT_LO	20000
#define RIG_SECOND	64 /* ticks */
#define RIG_TARGETS	8
#define RIG_UDP(v6)	((v6) ? 8u : 7u)
#define RIG_UDP_TARGETS 6

enum rig_backend { RIG_ANY, RIG_AWS, RIG_AZURE, RIG_GCP, RIG_BACKENDS };

enum rig_map {
	RIG_CONTROL,
	RIG_GLOBALS,
	RIG_PORTS,
	RIG_SERVICES,
	RIG_ENTRY,
	RIG_LISTENS,
	RIG_CLIENTS,
	RIG_DIRTY,
	RIG_TABLES,
	RIG_BACKEND,
	RIG_TARGET,
	RIG_REPLIES,
	RIG_CURSORS,
	RIG_SLOTS,
	RIG_FLOWS,
	RIG_FLOWS_WAS,
	RIG_SYNS,
	RIG_UDPS,
	RIG_FRAGMENTS,
	RIG_HELD,
	RIG_LOAD,
	RIG_BREAKERS,
	RIG_ARRIVALS,
	RIG_IFSTATS,
	RIG_SVCSTATS,
	RIG_BESTATS,
	RIG_ANSWER,
	RIG_ARMS,
	RIG_ANSWERS,
	RIG_WATCHES,
	RIG_FAILERS,
	RIG_SEEN,
	RIG_ORIGINS,
	RIG_MAPS
};

/* What differs between cases. */
struct rig_shape {
	uint32_t ports; /* of each target */
	uint8_t shards;
	uint8_t affinity;
	uint8_t on_unable;
	bool one_aws; /* aws has only its first address, without a stride */
};

struct rig_target {
	uint32_t id;
	enum rig_backend backend;
	bool v6;
	struct end address, nat; /* the NAT's port is 0 */
	uint16_t stride, phase;
	uint8_t protocol;
};

/* All counters, added up over the CPUs: words of 64 bits. A histogram is summed up in its first. */
struct tally {
	uint64_t verdict[32];
	struct shift_service_stats service;
	struct shift_backend_stats backend[RIG_BACKENDS];
};
#define TALLY_WORDS (sizeof(struct tally) / 8)

struct rig {
	struct bpf_object *object;
	struct bpf_object *bare; /* the same for a device without Ethernet headers, on these maps */
	int ingress, egress, explain, clock, bare_ingress, bare_egress;
	int map[RIG_MAPS];
	int cpus;
	uint32_t ifindex; /* where packets come in */
	struct rig_shape shape;
	struct rig_target target[RIG_TARGETS];
	struct rig_target udp[RIG_UDP_TARGETS]; /* once rig_add_udp was called */
	struct shift_control *control;		/* the service's, mapped */
	uint8_t (*dirty)[SHIFT_RANKS];		/* the same */
	struct shift_flow *slots[32];		/* by target id, mapped */
	uint32_t slot_ports[32];		/* elements of these */
	struct shift_service service;		/* as written to the map */
	uint32_t next_client;			/* no two cases share one */
	uint64_t verdicts[SHIFT_VERDICTS];	/* of all cases so far */
	uint64_t fallbacks[SHIFT_FALLBACKS];	/* the same */
};

/*
 * `growing`: as `apply` loads it while it replaces the forward table by a larger one. 0 or −errno,
 * after a message on stderr.
 */
int rig_load(struct rig *r, const char *object, bool growing);
int rig_load_bare(struct rig *r, const char *object); /* beside that one */
void rig_free(struct rig *r);

extern const struct rig_shape rig_usual;

/* All anew: share 0, no flow, counters 0, a healthy service of this shape. */
void rig_reset(struct rig *r, const struct rig_shape *shape);

/*
 * To what rig_reset made: listeners 7 and 8, as 5 and 6 for UDP; a target of each backend in either
 * family, 15, 16, 17 / 25, 26, 27, at the addresses, ports and NAT addresses of its first TCP one.
 */
void rig_add_udp(struct rig *r, bool quic);

/* ---- running ---- */

struct run {
	int action;
	struct frame out;
};

/* 0; or −EINVAL: the kernel's test_run does not take so short a packet. */
int rig_run(struct rig *r, int prog, const struct frame *in, struct run *ret);

/* The same for a packet that the kernel takes for a train of segments of `size` bytes. */
int rig_run_gso(struct rig *r, const struct frame *in, uint32_t size, struct run *ret);

/* The program's clock. */
uint32_t rig_tick(struct rig *r);
uint64_t rig_boot_ns(void);

/* ---- reading ---- */

void rig_tally(struct rig *r, struct tally *ret);
void rig_backend_stats(struct rig *r, enum rig_backend id, struct shift_backend_stats *ret);
const char *rig_tally_name(size_t word, char text[80]);
extern const char *const rig_verdict_names[SHIFT_VERDICTS];

struct end rig_listen_end(bool v6);
const struct rig_target *rig_target_of(const struct rig *r, uint32_t id);

/* The place that the client's tuple leads to; NULL: none. */
/* Where a flow's record is. */
struct shift_flow_ref {
	uint16_t target;
	uint16_t index;
	uint32_t generation;
};

#define RIG_LINES     32768u /* of the index */
#define RIG_LINES_WAS 32u

/* A reference from the client's tuple to a record, whatever is there. */
void rig_plant(struct rig *r, const struct end *client, uint32_t target, uint32_t index);
void rig_empty_index(struct rig *r);
struct shift_flow *rig_flow(struct rig *r, const struct end *client, struct shift_flow_ref *ret);
struct shift_flow *rig_flow_of(struct rig *r, uint32_t listen, const struct end *client,
			       struct shift_flow_ref *ret);
uint32_t rig_flows(struct rig *r); /* entries of the forward table */

/* What shift.h says of a client: its hash under the service's seed, its backend by the table. */
uint64_t rig_hash(const struct rig *r, const struct end *client);
enum rig_backend rig_backend_of(const struct rig *r, const struct end *client);

/* A client that was never used before, of a rank in [lo, hi) and this backend. */
struct end rig_client(struct rig *r, bool v6, uint32_t lo, uint32_t hi, enum rig_backend backend);

/* ---- changing ---- */

/* The record in force; to be changed, and published as the next one. */
struct shift_record rig_record(const struct rig *r);
void rig_publish(struct rig *r, const struct shift_record *next);
void rig_weight(struct rig *r, double percent);

void rig_put(struct rig *r, enum rig_map map, const void *key, const void *value);
void rig_get(struct rig *r, enum rig_map map, const void *key, void *ret_value);
/* As if every handshake had succeeded: nothing half open, no breaker moved. */
void rig_forget_limits(struct rig *r);
void rig_backend_edit(struct rig *r, enum rig_backend id, uint8_t flags, uint8_t health,
		      uint64_t health_until);
void rig_target_flags(struct rig *r, uint32_t id, uint8_t flags);
void rig_pin(struct rig *r, const struct end *client, uint32_t bits, uint32_t action,
	     uint64_t until);

/* Everything becomes this much older: records, deadlines and, if `syns`, the memory of SYNs. */
void rig_age(struct rig *r, double seconds, bool syns);
void rig_forget_syns(struct rig *r);

/* The memory of UDP tuples, of fragments and the breakers become older; or are emptied. */
void rig_age_udp(struct rig *r, double seconds);
void rig_forget_udp(struct rig *r);

/*
 * How an arm answers: an element for each CPU, to be freed; of one backend: the sum. Adding up
 * leaves the epoch out.
 */
struct shift_arm *rig_arm(struct rig *r, uint32_t arm);
void rig_backend_answers(struct rig *r, uint32_t backend, struct shift_answers *ret);
/* Until rig_all_cpus, the program runs on this CPU alone, so that its counters are in one place. */
void rig_one_cpu(cpu_set_t *ret_before);
void rig_all_cpus(const cpu_set_t *before);
void rig_add_answers(struct shift_answers *sum, const struct shift_answers *more);

/* Where the client's connection to a listener would be watched. */
uint32_t rig_watch_place(const struct end *client, uint32_t listen);

/* Watched connections and the seconds that connections are counted by become older; all that is
 * counted of answers is forgotten. rig_age and rig_reset do it. */
void rig_age_answers(struct rig *r, double seconds);
void rig_forget_answers(struct rig *r);
/* Who failed, who was counted, who came: as shiftd forgets it when a ramp starts. */
void rig_forget_clients(struct rig *r);

/* Of the way to a target, of the packets' interface, and the service's floor; 0: unknown. */
void rig_target_mtu(struct rig *r, uint32_t id, uint16_t mtu);
void rig_mtu(struct rig *r, uint32_t interface, uint32_t floor);

void rig_put_service(struct rig *r); /* r->service, changed */

/* Used by rig_add_udp: one target's maps. */
void rig_fill_target(struct rig *r, const struct rig_target *t);

/* All entries of the forward table go to the one that is grown out of. */
void rig_grow(struct rig *r);

/* No entry of the forward table is free any more. */
void rig_fill_flows(struct rig *r);
