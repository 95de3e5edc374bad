/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * telemetry.h - the data plane's counters, summed over the CPUs
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

/* What an interface's program saw. */
struct telemetry_interface {
	uint64_t verdict[SHIFT_VERDICTS];
	uint64_t packets_10s;
};

/* How an arm answers: in all, and by the epoch its connections began in, the newest first. */
struct telemetry_arm {
	struct shift_answers total;
	struct shift_answers epoch[SHIFT_EPOCHS];
	unsigned int epochs;
	uint64_t begun_10s, failed_10s; /* of connections begun in the last ten seconds or so */
};

/* Whose the newest connections of both arms are: the client with most of those sampled. */
struct telemetry_origin {
	uint32_t address[4]; /* v4-mapped, or an IPv6 /64 */
	unsigned int bits;   /* 128 or 64 */
	unsigned int of, n;  /* sampled, and this client's of them */
};

/* All return 0 or −errno. */
int telemetry_service(const struct plane *p, uint32_t service, struct shift_service_stats *ret);
int telemetry_backend(const struct plane *p, uint32_t backend, struct shift_backend_stats *ret);
/* `slot` is the interface's place in shift_globals.interface. */
int telemetry_interface(const struct plane *p, const struct shift_globals *g, uint32_t slot,
			struct telemetry_interface *ret);

/* -ENODATA: the programs that are attached do not count it. */
int telemetry_arm(const struct plane *p, uint32_t service, enum shift_arm_id arm,
		  struct telemetry_arm *ret);
int telemetry_answers(const struct plane *p, uint32_t backend, struct shift_answers *ret);

/* The same of what each CPU counted, at CLOCK_MONOTONIC `now_ns`. */
void telemetry_add_up(const struct shift_arm *cpu, unsigned int cpus, uint64_t now_ns,
		      struct telemetry_arm *ret);

/* -ENODATA likewise. ret->of is 0 where nobody came. */
int telemetry_origin(const struct plane *p, uint32_t service, struct telemetry_origin *ret);
/* The same of a copy of the samples. */
void telemetry_busiest(const struct shift_origins *o, struct telemetry_origin *ret);

/*
 * Who failed, who was counted and who came is forgotten: each client counts again, and what a load
 * test sent before is no source. It takes milliseconds, of 16,000 clients that failed some ten.
 * What the programs do not know of is nothing to forget.
 */
int telemetry_forget_clients(const struct plane *p, uint32_t service);

/* How many took longer than `ms`, which is an edge of the histogram. */
uint64_t telemetry_over_ms(const __u64 histogram[SHIFT_HISTOGRAM], uint32_t ms);

/* The quantile (0..1) of a histogram in ms, interpolated inside its bucket; −1: empty. */
double telemetry_quantile_ms(const __u64 histogram[SHIFT_HISTOGRAM], double quantile);

/* The bucket after the last edge has no end: a quantile in it is given as that edge. */
#define TELEMETRY_OVERFLOW_MS 10000.0

/* Packets of the last 10 s at tick `now`: whole windows, and of the oldest its share. */
double telemetry_window_packets(const struct shift_if_stats *s, uint32_t window_shift, uint32_t hz,
				uint32_t now);

/* How many CPUs a list such as "0-3,8" names; 0: it is none. */
unsigned int telemetry_count_cpus(const char *list);

/* Clears the counters of a service or backend whose id is used anew. */
int telemetry_clear_service(const struct plane *p, uint32_t service);
int telemetry_clear_backend(const struct plane *p, uint32_t backend);
