/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * run_inner.h - what run.c (on the loop) and run_keeper.c (in a process of its own) share
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "userspace/base/run.h"

#define RUN_SWEEP_NS 5000000000ull /* for what is killed to be gone */

/* Why a program did not begin. */
enum run_stage { RUN_SETUP, RUN_BECOME, RUN_EXEC, RUN_REFUSED };

enum run_word_kind {
	RUN_WORD_FAILED, /* did not begin: stage, code (errno), why */
	RUN_WORD_ENDED,	 /* the first process: code (exit status or signal), and how */
	RUN_WORD_GONE,	 /* the rest: killed, remaining; nothing comes after it */
};

/* From the keeper to the loop, each a packet of its own. */
struct run_word {
	enum run_word_kind kind;
	enum run_stage stage;
	int code;
	bool signalled, timed_out, forced;
	unsigned int killed, remaining;
	uint64_t at; /* loop_now() */
	char why[200];
};

/* What the keeper is given; the descriptors are its own to move. */
struct run_order {
	const char *const *argv;
	const char *const *environment; /* whole */
	const struct run_user *user;
	uint64_t timeout_ns, term_ns, linger_ns;
	int control, out, errors;
};

/* The keeper's life, in a child of the daemon with all signals blocked. */
_Noreturn void run_keep(const struct run_order *o);

/*
 * Children of this process that have not been waited for, by the kernel's own list or, where it has
 * none, by a look at every process. The number, or −errno. `each` may be NULL.
 */
typedef void (*run_child_cb)(void *arg, pid_t child);
int run_children_listed(run_child_cb each, void *arg);
int run_children_searched(run_child_cb each, void *arg);
