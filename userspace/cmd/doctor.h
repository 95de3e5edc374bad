/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor.h - `doctor`: facts about this host, and what of them would hurt
 *
 * doctor_look collects the facts and changes nothing; doctor_judge is pure: facts in, findings out,
 * tested by tables; doctor_show tells them. Every rule that looked at something leaves a finding,
 * also when all is well, so that the screen can say what was looked at.
 *
 *   struct doctor_facts *f = calloc(1, sizeof(*f));
 *   struct doctor_report *r = calloc(1, sizeof(*r));
 *   doctor_look(config, f);
 *   doctor_judge(f, r);
 *   doctor_free(f);
 */
#pragma once

#include <stdio.h>

#include "userspace/cmd/cmd.h"
#include "userspace/conf/plan.h"
#include "userspace/net/filters.h"
#include "userspace/net/firewall.h"
#include "userspace/net/nic.h"
#include "userspace/net/route.h"
#include "userspace/net/sockets.h"

/* ---- facts ---- */

enum doctor_answer { DOCTOR_UNKNOWN = -1, DOCTOR_NO, DOCTOR_YES };

struct doctor_kernel {
	char release[65];
	unsigned int major, minor;
	unsigned int cpus;
	bool root;		/* what follows could be asked as root */
	int load_err;		/* −errno of loading a program that does nothing */
	enum doctor_answer jit; /* that program was compiled */
	enum doctor_answer tcx, clsact, btf;
	char lacking[240];	     /* helpers that this kernel does not have, by name */
	enum doctor_answer verified; /* it takes the real program; unknown: not tried */
	char complaint[200];	     /* why not */
	double verify_ms;
	bool memory_charged; /* maps are charged to RLIMIT_MEMLOCK (before 5.11) */
	uint64_t memlock;    /* bytes, UINT64_MAX: unlimited */
	int clock_err;	     /* −errno: adjtimex does not tell */
	bool synchronised;
	uint64_t clock_error_us; /* the most that the clock may be wrong, as the kernel knows it */
	uint64_t conntrack, conntrack_max; /* max 0: it is not loaded */
	bool bpffs;
};

struct doctor_program { /* of somebody on a hook */
	uint32_t id;
	char name[24]; /* BPF programs' names have at most 15 characters */
	bool ours;
};

#define DOCTOR_PROGRAMS 16
#define DOCTOR_FILTERS	32

struct doctor_device {
	char name[16];
	char kind[16];
	bool listed; /* in the configuration */
	int err;     /* −errno: the kernel does not tell */
	struct nic nic;
	char lro_at[16]; /* the device at or below it that merges packets; "": none does */
	enum doctor_answer native_xdp; /* unknown also where XDP is not asked for */
	struct doctor_program xdp;
	enum shift_hook hook;			       /* where our program runs */
	struct doctor_program tcx[2][DOCTOR_PROGRAMS]; /* ingress, egress; in the order they run */
	int n_tcx[2];				       /* −errno: the kernel does not tell */
	struct filter filter[2][DOCTOR_FILTERS];       /* of clsact or the ingress qdisc */
	int n_filters[2];			       /* −errno too */
	long rp_filter;	    /* the one in force: the larger of `all` and its own; −1: unknown */
	long forwarding[2]; /* IPv4, IPv6; −1: unknown */
};

struct doctor_way {	      /* to one address of a backend */
	unsigned int backend; /* index in the config */
	uint32_t to[4];
	bool no_source; /* no NAT address of its family is on this host */
	int err;	/* of route_lookup */
	struct route_way way;
	char device[16];
};

struct doctor_ports {
	uint16_t lo, hi;	 /* the host's own: ip_local_port_range; hi 0: unknown */
	unsigned int overlap;	 /* of them, in the NAT range */
	unsigned int unreserved; /* of these, not in ip_local_reserved_ports */
	bool reserved_known;
	struct sockets sockets; /* in the NAT range */
	int sockets_err;
};

struct doctor_facts {
	const struct config *config; /* NULL: none; then only what the host itself tells */
	struct doctor_kernel kernel;
	bool attached; /* our program runs on some interface of this namespace */
	int plane_err; /* of plane_find; -ENOENT: nothing is attached */
	int host_err;
	struct plan_host host;
	struct plan_report *plan; /* NULL without config */
	struct doctor_device *devices;
	unsigned int n_devices;
	struct doctor_way *ways;
	unsigned int n_ways;
	struct doctor_ports ports;
	struct firewall firewall;
};

/* 0, or -ENOMEM. What cannot be learned is itself a fact. */
int doctor_look(const struct config *c, struct doctor_facts *ret);
/* The part that asks bpf(2): loads programs, attaches none (doctor_probe.c). */
void doctor_probe_kernel(struct doctor_kernel *k, bool attached);
/* Reads the name; `ours` by the names of bpf/. */
void doctor_probe_program(uint32_t id, struct doctor_program *ret);
/* The programs on tcx of one side, in their order; how many, 0 where there is no tcx; −errno. */
int doctor_probe_tcx(uint32_t ifindex, bool egress, struct doctor_program *ret);
void doctor_free(struct doctor_facts *f);

/* ---- findings ---- */

enum doctor_level { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_CRITICAL, DOCTOR_LEVELS };

struct doctor_finding {
	const char *what; /* "rp_filter", …: what scripts go by */
	enum doctor_level level;
	char on[72];	    /* interface, backend, key; "": the host */
	char evidence[320]; /* what was seen */
	char fix[240]; /* a command, or a key of the configuration; "" when there is nothing to do
			*/
};

#define DOCTOR_MAX_FINDINGS 384

struct doctor_report {
	struct doctor_finding finding[DOCTOR_MAX_FINDINGS];
	unsigned int n;
	unsigned int left_out; /* never in favour of a milder one */
	unsigned int count[DOCTOR_LEVELS];
	struct doctor_finding spare;
};

void doctor_judge(const struct doctor_facts *f, struct doctor_report *ret);

/* Adds a finding; its fix can then be set. Never NULL. */
struct doctor_finding *doctor_find(struct doctor_report *r, const char *what,
				   enum doctor_level level, const char *on, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void doctor_fix(struct doctor_finding *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Parts of doctor_judge. */
void doctor_judge_kernel(const struct doctor_facts *f, struct doctor_report *r);
void doctor_judge_devices(const struct doctor_facts *f, struct doctor_report *r);
void doctor_judge_network(const struct doctor_facts *f, struct doctor_report *r);
void doctor_judge_plan(const struct doctor_facts *f, struct doctor_report *r);

/* ---- telling ---- */

const char *doctor_level_name(enum doctor_level level);

struct doctor_style {
	bool colour;
	bool all;	      /* the good ones one by one */
	unsigned int columns; /* of the screen, 0: any */
};

void doctor_show(const struct doctor_facts *f, const struct doctor_report *r,
		 const struct doctor_style *style, FILE *to);
struct json_t *doctor_json(const struct doctor_facts *f, const struct doctor_report *r);
