/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_inner.h - what the parts of the service share
 *
 * service.c goes round and answers operators, service_look.c looks at the kernel, service_gates.c
 * judges, service_act.c carries out, service_tell.c runs hooks and notifies, service_json.c says
 * how things are, dns_keep.c goes along with DNS.
 */
#pragma once

#include <sys/types.h>

#include "userspace/conf/config.h"
#include "userspace/ctl/dns_keep.h"
#include "userspace/ctl/gate.h"
#include "userspace/ctl/journal.h"
#include "userspace/ctl/judge.h"
#include "userspace/ctl/ramp.h"
#include "userspace/ctl/service.h"
#include "userspace/ctl/sources.h"
#include "userspace/ctl/window.h"
#include "userspace/base/loop.h"
#include "userspace/plane/plane.h"
#include "userspace/plane/spare.h"

#define SERVICE_SECOND	1000000000ull
#define SERVICE_OWN	4 /* gates that are always there */
#define SERVICE_RESULTS 8

enum {
	SERVICE_ALARM_RAMP,
	SERVICE_ALARM_HEALTH,
	SERVICE_ALARM_DNS,     /* records flipped before their time */
	SERVICE_ALARM_OVERALL, /* DNS alone sends more than the share that is kept */
	SERVICE_ALARMS
};

/* Of the judge: what new and old are compared in. */
enum { SERVICE_FAILURES, SERVICE_SLOW, SERVICE_SPLIT, SERVICE_TESTS };

struct service_result { /* of an action, not told to the machine yet */
	uint32_t id;
	struct ramp_outcome is;
};

struct ctl_checks;
struct ctl_dns;
struct ctl_follow;
struct hooks;
struct hooks_run;
struct notifier;
struct points;

/* Hooks that run: those of the promotion, and those on commit and on rollback. */
struct service_hooks {
	struct service *s;
	uint32_t id; /* of the action; 0: none runs */
	struct hooks_run *run;
};

struct service_interface { /* of the configuration */
	struct spare spare;
	bool gone; /* what had the programs is no more */
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
	/* its interfaces, for when one is re-created */
	struct service_interface interface[CONF_MAX_IFACES];
	unsigned int interfaces;
	int links; /* where the kernel tells of them */
	struct loop_timer attach_timer;
	uint64_t attached_at; /* when they were last looked at */
	uint64_t attach_at;   /* nothing is put back before */
	uint64_t ways_until;  /* the ways to the backends are asked for */
	char apply_for[16];   /* the one that wants an `apply`, "": none does */
	pid_t apply;	      /* that is run; 0: none */
	uint64_t apply_wait;  /* after one that failed; 0: none did */
	bool leased;	      /* the record has a keep-alive */
	uint64_t lease_at;    /* when it is renewed next */
	/* the ramp */
	struct ramp ramp;
	struct ramp_view view;
	struct ramp_out out;
	struct service_result result[SERVICE_RESULTS];
	unsigned int results;
	/* what it is judged by */
	struct gate gate[CONF_MAX_GATES];
	struct ramp_gate shown[CONF_MAX_GATES + SERVICE_OWN];
	uint64_t own_since[SERVICE_OWN]; /* when what they judge by first looked bad; 0: it does not
					  */
	struct sources *sources;
	struct window *window; /* theirs */
	struct judge_test test[SERVICE_TESTS];
	uint64_t judged_from; /* epochs before it count no more, */
	uint64_t passed_old[SERVICE_TESTS], passed_new[SERVICE_TESTS]; /* nor this of it, */
	uint64_t drained;      /* epoch in which clients of one arm were made to come anew */
	uint64_t passed_begun; /* nor these connections of the stage */
	bool judge_anew;       /* at the first look: shiftd was started again */
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
	} alarm[SERVICE_ALARMS];
	struct ctl_dns *dns;
	struct dns_keeper keeper;
	/* the disk */
	char dir[280];
	struct journal *journal;
	bool restored;	/* the journal was read */
	bool caught_up; /* what is in force is recorded */
	bool unsaved;	/* `kept` is what could not be written */
	struct ramp_action kept;
	uint64_t journal_at; /* not tried again before */
	int journal_error;
	struct points *points; /* NULL: none was to be written yet */
	uint64_t points_at, points_until;
	uint16_t points_weight;
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

int service_attach_make(struct service *s);
void service_attach_free(struct service *s);
/* The interfaces of this configuration; what is known of them stays. */
void service_attach_use(struct service *s, const struct config *c);
/* Puts the program back where an interface was re-created. */
void service_attach(struct service *s, uint64_t now);
void service_attach_due(void *service, uint64_t now);

enum service_again {
	SERVICE_NONE,	  /* it has not and had not our program */
	SERVICE_GONE,	  /* it had, and is not there */
	SERVICE_OURS,	  /* it has */
	SERVICE_DETACHED, /* it had, and was there all the time */
	SERVICE_ANEW,	  /* it was re-created */
};
/* Our program was on the interface `had` (0: on none), which is `gone` since; the interface of its
 * name is `is` now (0: there is none), and there our program was seen, or not. */
enum service_again service_again(uint32_t had, bool gone, uint32_t is, bool ours);

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
/* Records what is in force where the one before was killed before it did. */
void service_catch_up(struct service *s);
/* Opens the journal where it is not, writes what could not be written. */
void service_disk(struct service *s, uint64_t now);
/* A step that ended, into the journal; nothing waits for it. */
void service_record_hook(struct service *s, const struct hook_result *r);
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
/* It stands, or is over; `subject` is what it is about. Said when that is new. */
void service_alarm(struct service *s, int which, bool on, const char *subject, const char *text);

/* ---- service_page.c ---- */

/* Now and then a line for the charts of the ramp's report. */
void service_points(struct service *s, uint64_t now);

/* ---- service_json.c ---- */

json_t *service_status(const struct service *s);
/* How an arm does: connections a second of `lately`, and of the window what failed and the p95 of
 * the first answers. */
json_t *service_arm(const struct window_sum *window, const struct window_sum *lately,
		    enum shift_arm_id arm);
