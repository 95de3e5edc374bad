/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * notify.h - people and other programs told of what happens: Slack, Statuspage, PagerDuty, a
 * webhook
 *
 *   notifier_make(loop, &(struct notifier_options){.dir = "/var/lib/shift", .say = log_line}, &n);
 *   notifier_use(n, config, why, sizeof(why));
 *   notifier_tell(n, &(struct notice){.event = NOTICE_STAGE, .service = "api", .weight = 2500});
 *
 * Telling costs a copy and can neither fail nor wait. Only on a host whose role is leader: the
 * caller looks at that. (base/notify.h is something else: the service manager's readiness.)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct loop;
struct notifier;

enum notice_event {
	NOTICE_RAMP_STARTED,
	NOTICE_STAGE,
	NOTICE_PAUSED,
	NOTICE_BACK, /* one stage down */
	NOTICE_ROLLED_BACK,
	NOTICE_DONE,
	NOTICE_ALARM,
	NOTICE_COMMIT,
	NOTICE_TUNNEL,
	NOTICE_DNS,
	NOTICE_MONITOR, /* a gate is not ok, and nothing is done about it */
	NOTICES,
};

/* The subject of an alarm that the disk of our state cannot be written: nothing of it goes to a
 * Statuspage, because what is open there is kept on that disk. */
#define NOTICE_DISK "disk"

/* "ramp-started", "stage", … */
const char *notice_event_name(enum notice_event event);

/* Texts may be NULL; all is copied. */
struct notice {
	enum notice_event event;
	bool over; /* of an alarm, a tunnel's trouble: it is past. Of rolled-back: the rollback's
		      checks passed, the public incident may be closed */
	const char *subject; /* which alarm, which tunnel: what a later `over` must name again */
	const char *service, *reason, *who;
	unsigned int stage, stages; /* from 1; 0: none */
	uint16_t weight;	    /* hundredths of a percent */
	uint64_t time_ns;	    /* CLOCK_REALTIME; 0: now */
};

/* One line each, of what changed about a target: "notify ops: answered 500; it is tried again".
 * From it nothing of the notifier may be called. */
typedef void (*notifier_say)(void *arg, const char *text);

struct notifier_options {
	const char *dir;	 /* keeps the open Statuspage incidents in DIR/notify.json; NULL */
	notifier_say say;	 /* NULL */
	void *arg;		 /* of say */
	uint64_t timeout_ns;	 /* of one request; 0: 10 s */
	uint64_t first_again_ns; /* after a failure, then doubled; 0: 1 s */
	uint64_t last_again_ns;	 /* at most; 0: 60 s */
	uint64_t give_up_ns; /* a notice that could not be told for so long is lost; 0: 15 min */
};

int notifier_make(struct loop *l, const struct notifier_options *options, struct notifier **ret);
/* What was not told is lost; NULL is fine. */
void notifier_free(struct notifier *n);

/*
 * From here these targets; the configuration is copied. One whose name and kind stay keeps its
 * queue. Looks at every secret and template, so it may block: -EPERM: a file that others can read
 * or change; -EINVAL: an unknown name in a template, a token that would go over http://, a secret
 * that is none; −errno. `why` names the target and the file, never what is in it, and the targets
 * of before stay.
 */
int notifier_use(struct notifier *n, const struct config *c, char *why, size_t size);

void notifier_tell(struct notifier *n, const struct notice *notice);

struct notifier_state {
	const char *name;	     /* of the target, from the configuration */
	bool failing;		     /* since its latest request */
	unsigned int waiting;	     /* notices, one under way included */
	uint64_t told, lost, joined; /* notices; joined: told together with a later one */
};

/* The i-th target of the configuration, from 0; false: there is none. */
bool notifier_look(const struct notifier *n, unsigned int i, struct notifier_state *ret);
