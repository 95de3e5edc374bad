/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp.h - the ramp's machine: what is seen goes in, what shall be done comes out
 *
 *   ramp_begin(&r, config);
 *   if (journal_state(j, &saved) > 0)
 *           ramp_restore(&r, &saved);
 *   each second:     ramp_step(&r, &view, now, &out);               then carry out `out`, in order
 *   an operator:     ramp_command(&r, &command, &view, now, &out, &reply);        the same
 *   what became of an action with an id:  ramp_outcome(&r, id, &outcome, &view, now, &out);   the
 * same
 *
 * Pure: no clock, no disk, no kernel. Times are CLOCK_BOOTTIME nanoseconds but where CLOCK_REALTIME
 * is said, weights hundredths of a percent, stages count from 1 (0: before the first). The
 * configuration stays the caller's.
 *
 * Carrying out. Actions are done in the order in which they stand. RAMP_JOURNAL is on the disk
 * before the next one is begun; where that fails, an action with `recorded` set is not carried out
 * but told as RAMP_FAILED, hooks as RAMP_OVERTAKEN: they were not begun, and are later. A rollback
 * waits for nothing: its journal entry has `recorded` false and is written without waiting for the
 * disk. RAMP_SET_WEIGHT, RAMP_ROLLBACK and RAMP_RUN_HOOKS get exactly one outcome each.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shift.h"
#include "userspace/conf/config.h"
#include "userspace/ctl/gate.h"

#define RAMP_TEXT    320
#define RAMP_ACTIONS 24 /* of one call at most */
#define RAMP_EVENT   16

struct hook_result;

enum ramp_state {
	RAMP_IDLE,
	RAMP_HOLDING,
	RAMP_PAUSED,
	RAMP_PROMOTING,
	RAMP_DONE,
	RAMP_ROLLED_BACK,
	RAMP_STATES,
};

/* "idle", "holding", "paused", "promoting", "done", "rolled-back". */
const char *ramp_state_name(enum ramp_state state);
/* −EINVAL */
int ramp_state_parse(const char *name);

/* What of a promotion comes next; each leg without hooks is passed at once. */
enum ramp_leg {
	RAMP_LEG_NONE,
	RAMP_LEG_BEFORE_RAMP,
	RAMP_LEG_AFTER_STAGE,
	RAMP_LEG_BEFORE_STAGE,
	RAMP_LEG_WEIGHT,
	RAMP_LEG_AFTER_RAMP,
	RAMP_LEG_OVER,
};

/* Each rule's own override. */
enum ramp_flag {
	RAMP_AFTER_ROLLBACK = 1 << 0, /* --after-rollback: raise although a rollback latched */
	RAMP_L4_ONLY = 1 << 1,	      /* --l4-only: without an application gate */
	RAMP_FORCE = 1 << 2,	      /* --force: over another operator's lock */
	RAMP_BIG_STEP = 1 << 3,	      /* --big-step: more than ramp.max_step at once */
	RAMP_FEW_BACKENDS = 1 << 4,   /* --few-backends: with fewer than ramp.min_healthy */
	RAMP_NO_TUNNEL = 1 << 5,      /* --without-tunnel: while ramp.tunnel is down */
	RAMP_UNPROVEN = 1 << 6,	      /* --unproven: gates that are not ok, but never rollback */
	RAMP_AGAIN = 1 << 7,	      /* --again: hooks of which nobody knows whether they ran */
	RAMP_SKIP_HOOKS = 1 << 8,     /* --skip-hooks: go on without them */
};
/* These bind the whole ramp once an operator said them; the others only that command. */
#define RAMP_LASTING (RAMP_L4_ONLY | RAMP_BIG_STEP | RAMP_FEW_BACKENDS | RAMP_NO_TUNNEL)

/* "--after-rollback"; the flag of a name, 0: it is none. */
const char *ramp_flag_name(unsigned int flag);
unsigned int ramp_flag_parse(const char *name);

enum ramp_do {
	RAMP_NOTHING,
	RAMP_SET_WEIGHT, /* by compare-and-swap against `epoch`: RAMP_OVERTAKEN if it moved. Raises
			    clear a latch only with `after_rollback`, and only the one of
			    `latched_at` */
	RAMP_ROLLBACK,	 /* weight 0 and the latch, whatever the epoch */
	RAMP_RUN_HOOKS,	 /* all steps of (when, stage), in order; `stage` 0: none's */
	RAMP_STOP_HOOKS, /* kill those of `id`: what they prepare is off. It has no outcome, nor
			    have they any more */
	RAMP_NOTIFY,	 /* `event` and `reason` to whoever is told everything */
	RAMP_ALARM,	 /* the same, to those as well who are told only alarms */
	RAMP_JOURNAL,	 /* `event`, `reason` and `saved` into the journal */
};

/* An action under way, or one of which the journal knows no end. id 0: none. */
struct ramp_pending {
	uint32_t id;
	enum ramp_do what;
	enum conf_when when;
	uint16_t stage;	 /* of hooks */
	uint16_t weight; /* of RAMP_SET_WEIGHT */
	uint64_t epoch;	 /* of control when it was decided */
};

/* What the journal keeps and a restart goes on from. */
struct ramp_saved {
	enum ramp_state state;
	uint16_t stage;	 /* whose weight is in force; 0: none's */
	uint16_t target; /* of the promotion, or step back, under way; only with a leg */
	enum ramp_leg leg;
	uint16_t weight;     /* that the ramp believes in force */
	uint64_t epoch;	     /* of the last change that it made */
	uint64_t held;	     /* ns of this stage's hold, pauses left out */
	uint64_t clean;	     /* ns of it since the last observation that was not ok */
	uint32_t flags;	     /* RAMP_LASTING, as they were given */
	uint32_t waived;     /* bits of the gates that --unproven passed over, until they change */
	bool early;	     /* by `next`: the hold is not waited for */
	bool backed;	     /* a gate went back: the next step back is an operator's */
	bool unknown;	     /* hooks were under way when shiftd ended */
	bool failed;	     /* hooks failed: what is next runs them again */
	bool owed;	     /* a rollback was decided and is not in force */
	bool by_hand;	     /* it, or the one under way, is an operator's: nothing holds it back */
	uint8_t owed_hooks;  /* bits of enum conf_when: on commit, on rollback */
	uint8_t authority;   /* last seen */
	uint64_t latch_seen; /* CLOCK_REALTIME ns of the latch last seen, 0: none yet */
	uint64_t after_latch; /* of the latch that the operator said to raise after */
	uint64_t forced_lock; /* CLOCK_REALTIME ns of the lock that --force overrode */
	uint32_t last_id;
	struct ramp_pending pending; /* of the promotion, or a rollback */
	struct ramp_pending side;    /* hooks on commit and on rollback */
	char who[SHIFT_NAME];	     /* in whose name it goes on: who started or resumed it */
	uint64_t frozen_at;	     /* CLOCK_REALTIME ns, 0: not frozen */
	char frozen_by[SHIFT_NAME];
	char freeze_reason[SHIFT_REASON];
	char reason[RAMP_TEXT]; /* of the state; of an owed rollback, its own */
	char alarm[64];		/* the cause of the one that stands, "": none does; */
	uint64_t alarm_since;	/* CLOCK_REALTIME ns */
	char alarm_text[RAMP_TEXT];
};

struct ramp_action {
	enum ramp_do what;
	uint32_t id; /* of the first four; 0 otherwise */
	bool recorded;
	uint16_t weight;
	uint64_t epoch;
	bool raise; /* of RAMP_SET_WEIGHT */
	bool after_rollback;
	bool force; /* past the lock of `locked_at`, and only that: the ramp's own operator's, or
		       one that was overridden */
	uint64_t latched_at, locked_at; /* CLOCK_REALTIME ns */
	enum conf_when when;
	uint16_t stage;
	char event[RAMP_EVENT]; /* of NOTIFY, ALARM, JOURNAL: "stage", "paused", "intent", … */
	/* Of RAMP_JOURNAL, for the record alone. */
	char cause[64]; /* what decided: "rollback:p95", "pause:errors", "all-down"; "": none did */
	const char *asked;  /* the operator's verb, "start"; NULL: it is the ramp's own */
	unsigned int flags; /* enum ramp_flag that he gave with it */
	uint16_t stages;    /* of the plan */
	uint64_t hold_ms;   /* of the stage, by the plan */
	const struct hook_result *hook; /* of the runner's entry "hook": a step that ended */
	char who[SHIFT_NAME];		/* to sign with: the operator of a command, else "shiftd" */
	char reason[RAMP_TEXT];		/* never empty */
	struct ramp_saved saved;	/* of RAMP_JOURNAL */
};

struct ramp_out {
	struct ramp_action action[RAMP_ACTIONS];
	unsigned int n;
};

struct ramp_gate {
	char name[CONF_NAME];
	struct gate_verdict verdict;
	uint64_t broken_at; /* gate_broken_at */
	bool wants_baseline, has_baseline;
	double baseline;
	bool whole;	 /* the baseline is of the whole service (gate.h) */
	double expected; /* by it, at this share */
	uint64_t since;	 /* first seen what it says now; 0: it says nothing bad, or nobody knows */
	const struct conf_gate *conf; /* NULL: it is none of the configuration's */
};

/* What the runner sees before each call; everything of control from one record. */
struct ramp_view {
	bool leader;	     /* role: leader */
	bool attached;	     /* there is a record of control, and a program reads it */
	bool journal_failed; /* the last write did */
	/* control */
	uint16_t weight; /* in force, deadlines applied */
	uint64_t epoch;
	uint64_t set_at; /* CLOCK_REALTIME ns: since when the kernel has this record */
	char set_by[SHIFT_NAME];
	char set_reason[SHIFT_REASON];
	bool by_itself; /* the share in force is a fallback: a confirmation or keep-alive ran out */
	bool latched;
	uint64_t latched_at; /* CLOCK_REALTIME ns */
	char latched_by[SHIFT_NAME];
	uint8_t authority;  /* enum shift_authority */
	uint64_t locked_at; /* CLOCK_REALTIME ns, 0: no lock */
	char locked_by[SHIFT_NAME];
	char lock_reason[SHIFT_REASON];
	uint64_t confirm_left; /* ns, 0: nothing waits for its confirmation */
	/* health: what is unknown counts as usable */
	unsigned int healthy, backends;
	bool all_down;	    /* every backend is known to be down, or its breaker is open */
	bool old_unhealthy; /* known to be */
	/* the rest */
	bool frozen; /* by something else than `freeze` */
	char frozen_why[128];
	bool tunnel_up;		       /* ramp.tunnel; not looked at when there is none */
	bool app_gate;		       /* a gate that sees what the application says exists */
	uint64_t real;		       /* CLOCK_REALTIME ns, */
	uint64_t boot;		       /* and CLOCK_BOOTTIME of the same moment */
	const struct ramp_gate *gates; /* in the configuration's order */
	unsigned int n_gates;
};

enum ramp_result {
	RAMP_DID,
	RAMP_OVERTAKEN, /* control moved in between, or the journal has no intent: look again */
	RAMP_FAILED,
};

struct ramp_outcome {
	enum ramp_result result;
	uint64_t epoch;	     /* of a weight or rollback that was set: the new one */
	uint64_t latched_at; /* of a rollback, CLOCK_REALTIME ns */
	char why[200];	     /* of the others */
};

enum ramp_verb {
	RAMP_START,
	RAMP_PAUSE,
	RAMP_RESUME,
	RAMP_NEXT,
	RAMP_BACK,
	RAMP_ABORT,
	RAMP_FREEZE,
	RAMP_UNFREEZE,
};

struct ramp_command {
	enum ramp_verb verb;
	unsigned int flags; /* enum ramp_flag */
	char who[SHIFT_NAME];
	char reason[SHIFT_REASON]; /* "" */
};

/* As the exit codes of SPEC. */
enum { RAMP_REPLY_OK = 0, RAMP_REPLY_FAILED = 1, RAMP_REPLY_REFUSED = 3, RAMP_REPLY_LOCKED = 4 };

struct ramp_reply {
	int code;
	unsigned int flag;    /* that overrides the refusal; 0: none does */
	char text[RAMP_TEXT]; /* what was done, or the rule and its flag */
};

struct ramp {
	const struct config *conf;
	struct ramp_saved saved;
	bool known;	       /* something of before is known: the journal's, or a step's */
	bool restored;	       /* from the journal: the first call looks what became of it */
	uint64_t last;	       /* of the last call */
	uint64_t broken;       /* of the gates, last seen */
	uint64_t retry;	       /* not before then: a rollback that the kernel refused */
	uint64_t hooks_at;     /* nor hooks: the disk did not take their intent */
	bool replanned;	       /* the stages changed under it */
	char waits[RAMP_TEXT]; /* why it is not promoted now */
	char alarm[64];	       /* the cause of the last one, */
	uint64_t alarm_at;     /* when, */
	bool alarm_over;       /* and whether it is gone, */
	uint64_t gone_at;      /* since when */
	uint64_t noted;	       /* bits of the gates that were written down in the soak, */
	uint64_t noted_at;     /* and when one of them was not ok last */
	/* Of the call that is running. */
	char signer[SHIFT_NAME]; /* the operator of a command, else "shiftd" */
	const char *asked;	 /* its verb and flags, for the journal */
	unsigned int asked_flags;
	char cause[64]; /* what decides, for the journal */
	const struct ramp_view *view;
	uint64_t now;
	struct ramp_out *out;
};

void ramp_begin(struct ramp *r, const struct config *conf);
/* Before the first step. What was under way is looked up in the first view. */
void ramp_restore(struct ramp *r, const struct ramp_saved *saved);
/* The configuration was read again; every state is kept. If the plan changed under a ramp, the next
 * step pauses it. */
void ramp_use(struct ramp *r, const struct config *conf);

/* `out` is emptied first, in all three. */
void ramp_step(struct ramp *r, const struct ramp_view *v, uint64_t now, struct ramp_out *out);
void ramp_command(struct ramp *r, const struct ramp_command *c, const struct ramp_view *v,
		  uint64_t now, struct ramp_out *out, struct ramp_reply *ret);
/* One that is not waited for any more changes nothing. What follows is the next step's: take one at
 * once. After a weight was set, and after a rollback, the gates begin anew (gate_restart). */
void ramp_outcome(struct ramp *r, uint32_t id, const struct ramp_outcome *o,
		  const struct ramp_view *v, uint64_t now, struct ramp_out *out);

/* Why it is where it is, as last seen; never empty. */
const char *ramp_reason(const struct ramp *r);
/* What comes next and when, for people: "50% in 12m if all gates are ok". Returns ret. */
const char *ramp_next_text(const struct ramp *r, char ret[RAMP_TEXT]);
/* Nanoseconds of the hold that are left, 0: none, or no hold is running. */
uint64_t ramp_hold_left(const struct ramp *r);
/* Holding, paused or promoting. */
bool ramp_is_active(const struct ramp *r);
/* Does an event that is notified end an alarm of the ramp that stands? Somebody looked and went on.
 */
bool ramp_ends_alarm(const char *event);
