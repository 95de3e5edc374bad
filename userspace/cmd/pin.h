/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pin.h - may a pin be set? Pure, so that it can be tested; pin.c asks and acts
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/plane/clients.h"

struct pin_wish {
	struct client_entry entry;
	const char *who;
	bool remove;
	bool force;	     /* a foreign lock does not count */
	bool after_rollback; /* the latch goes */
	/* The latch that was there when the operator's command was begun. */
	bool looked, was_latched;
	uint64_t was_latched_at;
};

enum pin_answer {
	PIN_YES,
	PIN_YES_UNLATCH, /* and the latch goes */
	PIN_LATCHED,
	PIN_OVERTAKEN, /* a rollback came in between */
	PIN_LOCKED,
};

/* By the record in force. */
enum pin_answer pin_judge(struct pin_wish *w, const struct shift_record *r);

/* NULL, or the entry of the configuration that has this very network already. */
const struct client_entry *pin_conflict(const struct client_entry *list, size_t n,
					const struct client_entry *e);
