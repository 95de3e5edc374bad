/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_inner.h - what the parts of the service share
 *
 * service.c goes round and answers operators, service_look.c looks at the kernel, service_gates.c
 * judges, service_act.c carries out, service_tell.c runs hooks and notifies, service_json.c says
 * how things are.
 */
#pragma once

#include <sys/types.h>

#include "userspace/conf/config.h"
#include "userspace/ctl/gate.h"
#include "userspace/ctl/journal.h"
#include "userspace/ctl/judge.h"
#include "userspace/ctl/ramp.h"
#include "userspace/ctl/service.h"
#include "userspace/ctl/sources.h"
#include "userspace/ctl/window.h"
#include "userspace/base/loop.h"
#include "userspace/plane/plane.h"

#define SERVICE_SECOND	1000000000ull
#define SERVICE_OWN	4 /* gates that are always there */
#define SERVICE_RESULTS 8

enum { SERVICE_ALARM_RAMP, SERVICE_ALARM_HEALTH };

/* Of the judge: what new and old are compared in. */
enum { SERVICE_FAILURES, SERVICE_SLOW, SERVICE_SPLIT, SERVICE_TESTS };

struct service_result { /* of an action, not told to the machine yet */
	uint32_t id;
	struct ramp_outcome is;
};

struct ctl_checks;
struct ctl_follow;
struct hooks;
struct hooks_run;
struct notifier;

/* Hooks that run: those of the promotion, and those on commit and on rollback. */
struct service_hooks {
	struct service *s;
	uint32_t id; /* of the action; 0: none runs */
	struct hooks_run *run;
};

struct service {
	struct loop *loop;
	struct service_world world;
	const struct config *conf;
	char name[CONF_NAME];
	struct loop_timer turn;
	uint64_t alive;
	/* the kernel */
	struct plane plane;
	bool open;   /* `plane` is to be closed */
	int id;	     /* of the service in it; −1: it is not there */
	int missing; /* why nothing is attached, −errno */
	uint64_t found_at;
	uint32_t had[CONF_MAX_IFACES]; /* interfaces of the configuration that had our program */
	pid_t apply;		       /* that is run for one that was re-created; 0: none */
	uint64_t apply_wait;
	uint64_t apply_at; /* not again before */
	bool leased;	   /* the record has a keep-alive */
	uint64_t lease_at; /* when it is renewed next */
	/* the ramp */
	struct ramp ramp;
	struct ramp_view view;
	struct ramp_out out;
	struct service_result result[SERVICE_RESULTS];
	unsigned int results;
	/* what it is judged by */
	struct gate gate[CONF_MAX_GATES];
	struct ramp_gate shown[CONF_MAX_GATES + SERVICE_OWN];
	struct sources *sources;
	struct window *window; /* theirs */
	struct judge_test test[SERVICE_TESTS];
	uint64_t judged_from; /* epochs before it count no more, */
	uint64_t passed_old[SERVICE_TESTS], passed_new[SERVICE_TESTS]; /* nor this of it */
	struct judge_decision decision;
	/* others who are asked and told */
	struct ctl_checks *checks;
	struct ctl_follow *follow;
	struct hooks *hooks;
	struct service_hooks running[2];
	char hooks_why[CONF_TEXT]; /* they cannot be run; "" */
	struct notifier *notifier;
	struct service_alarm { /* that was not taken back yet */
		bool on;
		uint64_t since; /* CLOCK_REALTIME ns */
		char text[RAMP_TEXT];
	} alarm[2]; /* the ramp's, and health's */
	/* the disk */
	char dir[280];
	struct journal *journal;
	bool restored; /* the journal was read */
	bool unsaved;  /* `kept` is what could not be written */
	struct ramp_action kept;
	uint64_t journal_at; /* not tried again before */
	int journal_error;
};

/* ---- service.c ---- */

/* The counters were looked at: what they show is acted on now. */
void service_looked(void *service, uint64_t now);

/* ---- service_look.c ---- */

/* Finds the data plane again, whatever became of it, and the service in it. */
void service_find(struct service *s);
/* The record of control, and the backends, into the view. */
void service_look(struct service *s, uint64_t now);
/* Nothing is attached now. */
void service_lose(struct service *s, int why);

/* ---- service_attach.c ---- */

/* Runs `apply` where an interface was re-created. */
void service_attach(struct service *s, uint64_t now);

/* ---- service_gates.c ---- */

/* 0 or −errno. */
int service_gates_make(struct service *s);
int service_gates_begin(struct service *s, const struct config *c);
/* The same gates by another configuration; called before s->conf is it. */
int service_gates_use(struct service *s, const struct config *c);
/* Judges by what was seen so far: into the view. */
void service_gates_turn(struct service *s, uint64_t now);
/* The share is another: a stage begins with `epoch`. */
void service_gates_stage(struct service *s, uint64_t epoch);
/* A human looked and goes on. */
void service_gates_forgive(struct service *s);
/* Before a ramp starts. */
void service_gates_baseline(struct service *s);
void service_gates_restore(struct service *s, const struct journal_found *found);

/* ---- service_act.c ---- */

/* Carries out s->out, tells the machine what became of it, and so on until nothing follows. */
void service_act(struct service *s, uint64_t now);
/* An action came to its end. */
void service_result(struct service *s, uint32_t id, const struct ramp_outcome *o);
/* Opens the journal where it is not, writes what could not be written. */
void service_disk(struct service *s, uint64_t now);
/* Renews the keep-alive, or takes it away. */
void service_keep_alive(struct service *s, uint64_t now);
void service_say(struct service *s, bool alarm, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- service_tell.c ---- */

int service_tell_make(struct service *s);
void service_tell_free(struct service *s);
/* What is wrong is said, and what was there before stays. */
void service_tell_use(struct service *s, const struct config *c);
/* RAMP_RUN_HOOKS; its result comes later, or at once. */
void service_run_hooks(struct service *s, const struct ramp_action *a);
void service_stop_hooks(struct service *s, uint32_t id);
/* RAMP_NOTIFY, RAMP_ALARM */
void service_notify(struct service *s, const struct ramp_action *a);
/* A line of the checks. */
void service_health_says(void *service, bool alarm, const char *text);
/* An alarm about health is over. */
void service_health_is(struct service *s, bool well);

/* ---- service_json.c ---- */

json_t *service_status(const struct service *s);
/* How an arm does: connections a second of `lately`, and of the window what failed and the p95 of
 * the first answers. */
json_t *service_arm(const struct window_sum *window, const struct window_sum *lately,
		    enum shift_arm_id arm);
