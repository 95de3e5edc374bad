/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * single.h - packets outside a story: each stands alone
 */
#pragma once

#include "tests/bpf/rig.h"

/* A SYN of this client to the listener, as a story's first line would make it, without data. */
void single_syn(const struct end *client, struct segment *ret);

/*
 * The frame is passed on: unchanged in every byte, not ours, counted as `verdict` and, for a new
 * connection, as one of the old arm; nothing else moves. False: the kernel does not run such a
 * short packet.
 */
__attribute__((format(printf, 4, 5))) bool single_passes(struct rig *r, const struct frame *f,
							 enum shift_verdict verdict,
							 const char *format, ...);

/*
 * The frame ends with this verdict and, of all counters, exactly those of `moves` (may be NULL)
 * move besides. What is passed on is unchanged; what leaves is `wanted`, byte for byte; the rest is
 * not looked at. False: it was not so, and was complained of.
 */
__attribute__((format(printf, 6, 7))) bool single_becomes(struct rig *r, const struct frame *in,
							  const struct frame *wanted,
							  enum shift_verdict verdict,
							  const struct tally *moves,
							  const char *format, ...);

/* The same of a packet that was run, between two looks at the counters. */
bool single_ran(struct rig *r, const struct tally *before, const struct run *run,
		const struct frame *wanted, enum shift_verdict verdict, const struct tally *moves,
		const char *what);

/* The client's SYN is shifted: proof that whatever was changed before makes the difference. */
void single_shifts(struct rig *r, const struct end *client);

/* Runs a SYN of this client. The verdict, as the counters tell. */
enum shift_verdict single_try(struct rig *r, const struct end *client, struct run *ret);
