/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sources.h - the gates' numbers, each asked for at its interval
 *
 *	struct sources_world world = {.look = look_at_kernel, .seen = judge_again, .arg = x};
 *	sources_make(loop, &world, &s);
 *	sources_use(s, config, gates);		gates[i] was begun with config->gates[i]
 *
 * From then on each gate is given, as often as its interval says, a number (gate_observe) or the
 * reason in words why there is none (gate_no_data). What kind of gate it is, and what is asked, is
 * in the configuration: the kernel's counters over the ramp's window (window.h), a member of a JSON
 * document, a Prometheus query, a program's output.
 *
 * Nothing here waits. Whatever is asked may lie, hang or never end: an answer is bounded in size,
 * depth and time, is one finite number that is not negative, or it is no data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/ctl/gate.h"
#include "userspace/ctl/window.h"

struct loop;
struct plane;
struct sources;

#define SOURCES_LOOK_NS 500000000ull /* between looks at the kernel's counters */

/* What the owner adds. All but `look` are called last: they may use or free the sources. */
struct sources_world {
	/* The kernel's counters now, but for `at`. 0 or −errno. NULL: kernel gates have no data. */
	int (*look)(void *arg, struct window_look *ret);
	/* "ADDRESS:PORT" of a backend for `via`: of its addresses that of this turn, which goes on
	 * where one did not answer. How many there are; -ENODATA: the target as the configuration
	 * has it, as with NULL; −errno. */
	int (*via)(void *arg, const char *backend, unsigned int turn, char *ret, size_t size);
	/* A gate was given something. */
	void (*seen)(void *arg, unsigned int gate, uint64_t now);
	/* The counters were looked at. */
	void (*looked)(void *arg, uint64_t now);
	void *arg;
};

/* The world is copied. 0 or −errno. */
int sources_make(struct loop *l, const struct sources_world *world, struct sources **ret);
/* Ends what is under way without waiting for it. From any callback but `look` and `via`. NULL is
 * fine. */
void sources_free(struct sources *s);

/*
 * Asks for the gates of this configuration from now on; both stay the caller's and must live until
 * the next call. What is under way for the gates before is forgotten; what the window has
 * seen stays. NULL: asks for nothing. Finding the users of exec gates may block, as long as
 * the name service does. 0 or −errno, and then it asks for nothing.
 */
int sources_use(struct sources *s, const struct config *c, struct gate *gates);

/* Asks for one gate's number now, unless that is under way. */
void sources_ask(struct sources *s, unsigned int gate);

/* The window, for the judge; window_stage is the owner's to call. */
struct window *sources_window(struct sources *s);

/* How often each was asked, and gave nothing: for the metrics. */
struct sources_count {
	uint64_t looks, missed;
	uint64_t took_ns; /* the last one */
};
void sources_counts(const struct sources *s, unsigned int gate, struct sources_count *ret);

/* What `look` wants of a data plane. 0; -ENODATA: its programs do not count answers; −errno. */
int sources_look_plane(const struct plane *p, uint32_t service, struct window_look *ret);

/*
 * The integers of a kernel gate that is a share, for judge_gate: `ok` of the stage, the rest of the
 * window. -ENODATA: the gate is none, as the number of drops.
 */
int sources_shares(const struct window *w, const struct conf_gate *conf, struct judge_gate *ret);

/*
 * A verdict of gate_judge after the judge's rule that `ok` needs certainty: an ok of which `found`
 * (judge_gate's, of the same gate) is not sure becomes inconclusive, with what is missing.
 */
void sources_certain(const struct judge_finding *found, struct gate_verdict *v);

/* What a gate says: gate_judge, and of a kernel gate that is a share, only as ok as is certain. */
void sources_verdict(const struct window *w, const struct gate *gate, uint64_t now,
		     struct gate_verdict *ret);
