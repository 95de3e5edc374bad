/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_order.h - is it time for the records? The order of a cutover is ramp, commit, soak, DNS
 *
 * Two rules, where the configuration has a `ramp`: the share has been 100 % in force for
 * ramp.dns_after, and authority is new.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shift.h"

struct config;

/* A line of the history, of the service that is asked about. */
struct dns_order_event {
	uint64_t at; /* CLOCK_REALTIME ns */
	uint64_t epoch;
	uint16_t from, to; /* hundredths of a percent */
	bool apply;
};

struct dns_order {
	bool ruled;	 /* there is a `ramp` section: the two rules hold */
	uint64_t after;	 /* ns */
	int missing;	 /* −errno: control of the service could not be read here */
	bool full;	 /* 100 % is in force, and no deadline takes it back */
	uint16_t weight; /* in force */
	uint8_t authority;
	uint64_t now;	/* CLOCK_REALTIME ns */
	uint64_t since; /* 100 % at the latest since then; 0: not known */
	bool committed; /* authority is new */
	bool soaked;
	char why[256]; /* the first rule that is broken, in words; "" */
};

/*
 * Since when the share that the record sets is 100 %, at the latest: what cannot be followed back
 * counts as not there. `events` in order of time. CLOCK_REALTIME ns; 0: it is not, or not known.
 * (pure)
 */
uint64_t dns_order_since(const struct shift_record *r, const struct dns_order_event *events,
			 size_t n);
/* From what was seen to soaked, committed and why. (pure) */
void dns_order_judge(struct dns_order *o, const char *service);

/* Reads control, and the history for what control does not tell. */
void dns_order_look(const struct config *c, struct dns_order *ret);
