/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_act.c - what the machine wants done, done
 *
 * In the order in which it stands, as ramp.h says: a journal entry is on the disk before what it
 * records is begun, and where it could not be written what is `recorded` is not begun but told as
 * failed, or, of hooks, as not begun. A rollback waits for nothing: not for its entry, not for
 * another writer of control.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/ctl/hooks.h"
#include "userspace/ctl/notify.h"
#include "userspace/ctl/service_inner.h"
#include "userspace/ctl/steer.h"
#include "userspace/plane/control.h"
#include "userspace/plane/state.h"

#define RETRY (5 * SERVICE_SECOND) /* of a journal that cannot be written */

void service_say(struct service *s, bool alarm, const char *format, ...)
{
	char text[RAMP_TEXT + 128];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	s->world.say(s->world.arg, alarm, text);
}

/* ---- the disk ---- */

static int make_dir(struct service *s)
{
	char state[160], above[200];
	int err = state_dir(state, sizeof(state));

	if (err)
		return err;
	snprintf(above, sizeof(above), "%s/ramp", state);
	snprintf(s->dir, sizeof(s->dir), "%s/%s", above, s->name);
	if ((mkdir(state, 0700) && errno != EEXIST) || (mkdir(above, 0700) && errno != EEXIST))
		return -errno;
	return 0;
}

static void journal_is(struct service *s, int err, uint64_t now)
{
	char text[RAMP_TEXT] = "the journal can be written again";

	if (err)
		snprintf(text, sizeof(text), "the journal %.180s/ramp.jsonl cannot be written: %s",
			 s->dir, journal_error_text(err));
	service_alarm(s, SERVICE_ALARM_JOURNAL, err, NOTICE_DISK, text);
	s->journal_error = err;
	s->journal_at = now + RETRY;
}

/* An alarm of before a restart was told, and so its end will be; one that lasts is shown again when
 * another one that was told over it has ended. */
static void alarm_stands(struct service *s)
{
	struct service_alarm *a = &s->alarm[SERVICE_ALARM_RAMP];
	const struct ramp_saved *r = &s->ramp.saved;

	if (!r->alarm[0] || (s->ramp.alarm[0] && strcmp(s->ramp.alarm, r->alarm) != 0))
		return;
	a->on = true;
	a->since = r->alarm_since;
	snprintf(a->text, sizeof(a->text), "%s", r->alarm_text);
}

static void open_journal(struct service *s, uint64_t now)
{
	static struct journal_found found;
	int err = make_dir(s);

	memset(&found, 0, sizeof(found));
	if (!err)
		err = journal_open(s->dir, &s->journal, s->restored ? NULL : &found);
	if (!err && !s->restored) {
		s->restored = true;
		if (found.damaged)
			service_say(s, false,
				    "ramp: %u damaged lines at the journal's end were left out",
				    found.damaged);
		if (found.has_state)
			ramp_restore(&s->ramp, &found.saved);
		alarm_stands(s);
		service_gates_restore(s, &found);
	}
	journal_is(s, err, now);
}

static int write_journal(struct service *s, const struct ramp_action *a, bool sync, uint64_t now)
{
	int err = s->journal	     ? journal_write(s->journal, a, &s->view, sync)
		  : s->journal_error ? s->journal_error
				     : -ENOENT;

	s->unsaved = err && err != -ETIMEDOUT;
	if (err)
		s->kept = *a;
	journal_is(s, err, now);
	return err;
}

/* Entries wait for the disk: do they still? */
static void look_at_disk(struct service *s, uint64_t now)
{
	unsigned int waiting;
	int err = journal_state(s->journal, &waiting);

	if (err == -ETIMEDOUT)
		return;
	s->unsaved = err;
	journal_is(s, err, now);
}

void service_disk(struct service *s, uint64_t now)
{
	if (s->journal && s->journal_error == -ETIMEDOUT)
		look_at_disk(s, now);
	if (s->journal && !s->unsaved)
		return;
	if (s->journal_at && now < s->journal_at)
		return;
	if (!s->journal)
		open_journal(s, now);
	if (s->journal && s->unsaved)
		write_journal(s, &s->kept, true, now);
}

void service_record_hook(struct service *s, const struct hook_result *r)
{
	static struct ramp_action a; /* one thread */

	if (!s->journal || s->unsaved || s->journal_error)
		return;
	a = (struct ramp_action){.what = RAMP_JOURNAL,
				 .weight = s->view.weight,
				 .epoch = s->view.epoch,
				 .stage = s->ramp.saved.stage,
				 .saved = s->ramp.saved,
				 .hook = r};
	snprintf(a.event, sizeof(a.event), "hook");
	snprintf(a.who, sizeof(a.who), "shiftd");
	snprintf(a.reason, sizeof(a.reason), "hook %s %s: %s in %.1fs", hook_when_name(r->when),
		 r->name, hook_outcome_name(r->outcome), r->seconds);
	s->view.real = control_real_ns();
	s->view.boot = control_boot_ns();
	journal_write(s->journal, &a, &s->view, false);
}

/* ---- control ---- */

static void begin_change(const struct service *s, struct steer *c, const char *who,
			 const char *reason)
{
	memset(c, 0, sizeof(*c));
	c->boot = control_boot_ns();
	c->real = control_real_ns();
	c->uid = getuid();
	c->who = who;
	c->reason = reason;
	c->lease = s->conf->rules.lease_ms * 1000000;
	c->on_death = s->conf->rules.on_death;
}

static void record(struct service *s, const struct shift_record *r, const char *verb,
		   const struct steer *c)
{
	struct state_event e = {.verb = verb,
				.service = s->name,
				.reason = c->reason,
				.who = c->who,
				.from = c->from,
				.to = r->weight};
	struct state_kept kept = state_record(r, &e);

	if (kept.copy)
		service_say(s, true, "%s: in force, but the change is not recorded on disk (%s)",
			    s->name, strerror(-kept.copy));
	else if (kept.history)
		service_say(s, false,
			    "%s: in force and saved, but the history has no line of it (%s)",
			    s->name, strerror(-kept.history));
}

/* Killed between a change and its record, the one before wrote neither: it is caught up with once.
 */
void service_catch_up(struct service *s)
{
	const struct ramp_pending *p = &s->ramp.saved.pending;
	struct state_event e = {.verb = "weight",
				.service = s->name,
				.detail = "recorded when shiftd was started again"};
	struct shift_record r;
	struct state saved;
	uint64_t head;

	if (s->caught_up || !s->restored || !s->view.attached)
		return;
	s->caught_up = true;
	if (control_get(&s->plane.control[s->id], &r, &head) || state_load(s->name, &saved) ||
	    saved.epoch >= r.epoch)
		return;
	if (p->id && p->epoch + 1 == r.epoch)
		e.verb = p->what == RAMP_ROLLBACK ? "rollback" : "ramp";
	e.who = r.set_by;
	e.reason = r.reason;
	e.from = saved.weight;
	e.to = r.weight;
	state_record(&r, &e);
}

static void set_weight(struct service *s, const struct ramp_action *a, struct ramp_outcome *o)
{
	struct shift_record before, after;
	struct steer c;
	int err;

	begin_change(s, &c, a->who, a->reason);
	c.epoch = a->epoch;
	c.expect = s->view.weight;
	c.weight = a->weight;
	c.after_rollback = a->after_rollback;
	c.latched_at = a->latched_at;
	err = s->id < 0 ? -ENOENT
			: control_change(&s->plane.control[s->id], steer_weight, &c, false, &before,
					 &after);
	if (err) {
		o->result = err == STEER_OVERTAKEN || err == STEER_LATCHED ? RAMP_OVERTAKEN
									   : RAMP_FAILED;
		steer_error(err, &before, o->why, sizeof(o->why));
		return;
	}
	o->result = RAMP_DID;
	o->epoch = after.epoch;
	s->view.weight = a->weight;
	service_gates_stage(s, after.epoch);
	service_say(s, false, "ramp: %s (epoch %llu)", a->reason, (unsigned long long)after.epoch);
	record(s, &after, "ramp", &c);
}

static void roll_back(struct service *s, const struct ramp_action *a, struct ramp_outcome *o)
{
	struct shift_record before, after;
	struct steer c;
	int err;

	begin_change(s, &c, a->who, a->reason);
	err = s->id < 0 ? -ENOENT
			: control_change(&s->plane.control[s->id], steer_rollback, &c, true,
					 &before, &after);
	if (err) {
		o->result = RAMP_FAILED;
		steer_error(err, &before, o->why, sizeof(o->why));
		return;
	}
	o->result = RAMP_DID;
	o->epoch = after.epoch;
	o->latched_at = after.latched_at;
	s->view.weight = 0;
	service_gates_stage(s, after.epoch);
	service_say(s, true, "ramp: rolled back: %s (epoch %llu)", a->reason,
		    (unsigned long long)after.epoch);
	record(s, &after, "rollback", &c);
}

void service_keep_alive(struct service *s, uint64_t now)
{
	bool active = ramp_is_active(&s->ramp) && s->conf->rules.lease_ms;
	struct shift_record before, after;
	char text[100];
	struct steer c;
	int err;

	if (!active && !s->leased)
		service_alarm(s, SERVICE_ALARM_LEASE, false, "keep-alive", "none is needed");
	if (!s->view.attached || (active ? now < s->lease_at : !s->leased))
		return;
	begin_change(s, &c, "shiftd", "the keep-alive ran out: its fallback");
	if (!active)
		c.lease = 0;
	s->lease_at = now + s->conf->rules.lease_ms * 1000000 / 3;
	err = control_change(&s->plane.control[s->id], steer_settle, &c, false, &before, &after);
	if (!err && after.epoch == before.epoch)
		err = control_change(&s->plane.control[s->id], steer_lease, &c, false, &before,
				     &after);
	else if (!err)
		record(s, &after, "keep-alive", &c);
	snprintf(text, sizeof(text), err ? "it cannot be renewed: %s" : "it is renewed again",
		 strerror(-err));
	service_alarm(s, SERVICE_ALARM_LEASE, err, "keep-alive", text);
}

/* ---- all of it ---- */

void service_result(struct service *s, uint32_t id, const struct ramp_outcome *o)
{
	if (id && s->results < SERVICE_RESULTS)
		s->result[s->results++] = (struct service_result){id, *o};
}

static void carry_out(struct service *s, const struct ramp_action *a, bool *lost, uint64_t now)
{
	struct ramp_outcome o = {0};

	if (a->what == RAMP_JOURNAL) {
		*lost = write_journal(s, a, a->recorded, now);
		return;
	}
	if (a->recorded && *lost && a->id) {
		o.result = a->what == RAMP_RUN_HOOKS ? RAMP_OVERTAKEN : RAMP_FAILED;
		snprintf(o.why, sizeof(o.why), "the journal cannot be written: %s",
			 journal_error_text(s->journal_error));
		service_result(s, a->id, &o);
		return;
	}
	switch (a->what) {
	case RAMP_SET_WEIGHT:
		set_weight(s, a, &o);
		service_result(s, a->id, &o);
		break;
	case RAMP_ROLLBACK:
		roll_back(s, a, &o);
		service_result(s, a->id, &o);
		break;
	case RAMP_RUN_HOOKS:
		service_run_hooks(s, a);
		break;
	case RAMP_STOP_HOOKS:
		service_stop_hooks(s, a->id);
		break;
	case RAMP_NOTIFY:
	case RAMP_ALARM:
		service_notify(s, a);
		break;
	default:
		break;
	}
}

static void perform(struct service *s, uint64_t now)
{
	static struct ramp_out out; /* 60 KiB, and one thread */
	bool lost = false;

	out = s->out;
	s->out.n = 0;
	for (unsigned int i = 0; i < out.n; i++)
		carry_out(s, &out.action[i], &lost, now);
}

/* One result at a time: what the machine says to it may add more. */
void service_act(struct service *s, uint64_t now)
{
	perform(s, now);
	for (int rounds = 0; s->results && rounds < 16; rounds++) {
		struct service_result r = s->result[0];

		memmove(&s->result[0], &s->result[1], --s->results * sizeof(r));
		service_look(s, now);
		service_gates_turn(s, now);
		ramp_outcome(&s->ramp, r.id, &r.is, &s->view, now, &s->out);
		perform(s, now);
		if (s->results)
			continue;
		service_look(s, now);
		ramp_step(&s->ramp, &s->view, now, &s->out);
		perform(s, now);
	}
	alarm_stands(s);
}
