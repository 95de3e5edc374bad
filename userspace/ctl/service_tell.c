/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_tell.c - what the ramp lets others do and know: hooks, notifications
 *
 * Two runs of hooks may go on at once, the promotion's and those on commit or on rollback; the
 * second never waits for the first. A configuration whose hooks cannot be run does not make the
 * ramp go on without them: they fail, each time, with the reason.
 */
#include <stdio.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/ctl/hooks.h"
#include "userspace/ctl/notify.h"
#include "userspace/ctl/service_inner.h"
#include "userspace/plane/state.h"

enum { PROMOTION, BESIDE };

static void notifier_says(void *arg, const char *text)
{
	service_say(arg, false, "%s", text);
}

int service_tell_make(struct service *s)
{
	static char dir[160];
	struct notifier_options o = {.dir = dir, .say = notifier_says, .arg = s};
	int err = hooks_make(s->loop, &s->hooks);

	if (state_dir(dir, sizeof(dir)))
		o.dir = NULL;
	for (int i = 0; i < 2; i++)
		s->running[i].s = s;
	return err ? err : notifier_make(s->loop, &o, &s->notifier);
}

void service_tell_free(struct service *s)
{
	hooks_free(s->hooks);
	notifier_free(s->notifier);
}

void service_tell_use(struct service *s, const struct config *c)
{
	char why[CONF_TEXT];

	s->hooks_why[0] = '\0';
	if (hooks_use(s->hooks, c, why, sizeof(why))) {
		snprintf(s->hooks_why, sizeof(s->hooks_why), "%s", why);
		service_say(s, true, "hooks: %s", why);
	}
	if (notifier_use(s->notifier, c, why, sizeof(why)))
		service_say(s, true, "notify: %s", why);
}

/* ---- hooks ---- */

static void on_step(void *arg, const struct hook_result *r)
{
	struct service_hooks *h = arg;
	char why[300];

	service_say(h->s, r->outcome != HOOK_OK && r->required, "hook %s %s: %s in %.1fs%s%s",
		    hook_when_name(r->when), r->name, hook_outcome_name(r->outcome), r->seconds,
		    r->why[0] ? ": " : "", screen_clean(r->why, why, sizeof(why)));
	service_record_hook(h->s, r);
}

static void on_done(void *arg, const struct hooks_sum *sum)
{
	struct service_hooks *h = arg;
	struct ramp_outcome o = {.result = sum->ok ? RAMP_DID : RAMP_FAILED};
	uint32_t id = h->id;

	screen_clean(sum->why[0] ? sum->why : "a required step failed", o.why, sizeof(o.why));
	h->id = 0;
	h->run = NULL;
	service_result(h->s, id, &o);
	service_act(h->s, loop_now());
}

void service_run_hooks(struct service *s, const struct ramp_action *a)
{
	bool beside = a->when == CONF_ON_COMMIT || a->when == CONF_ON_ROLLBACK;
	struct service_hooks *h = &s->running[beside ? BESIDE : PROMOTION];
	struct hook_about about = {.service = s->name,
				   .stage = a->stage,
				   .weight = a->weight,
				   .epoch = a->epoch,
				   .reason = a->reason,
				   .operator= a->who };
	struct ramp_outcome o = {.result = RAMP_DID};
	int n;

	if (s->hooks_why[0]) {
		o.result = RAMP_FAILED;
		snprintf(o.why, sizeof(o.why), "%.190s", s->hooks_why);
		service_result(s, a->id, &o);
		return;
	}
	hooks_cancel(h->run);
	h->run = NULL;
	h->id = a->id;
	n = hooks_begin(s->hooks, a->when, a->stage, &about, on_step, on_done, h, &h->run);
	if (n > 0)
		return;
	h->id = 0;
	if (n < 0) {
		o.result = RAMP_FAILED;
		snprintf(o.why, sizeof(o.why), "%s", strerror(-n));
	}
	service_result(s, a->id, &o);
}

void service_stop_hooks(struct service *s, uint32_t id)
{
	for (int i = 0; i < 2; i++) {
		if (s->running[i].id != id)
			continue;
		hooks_cancel(s->running[i].run);
		s->running[i].run = NULL;
		s->running[i].id = 0;
	}
}

/* ---- notifications ---- */

static int notice_of(const char *event)
{
	static const struct {
		const char *event;
		enum notice_event is;
	} rows[] = {
		{"started", NOTICE_RAMP_STARTED},    {"stage", NOTICE_STAGE},
		{"paused", NOTICE_PAUSED},	     {"back", NOTICE_BACK},
		{"rolled-back", NOTICE_ROLLED_BACK}, {"done", NOTICE_DONE},
		{"commit", NOTICE_COMMIT},	     {"alarm", NOTICE_ALARM},
		{"monitor", NOTICE_MONITOR},	     {"checked", NOTICE_ROLLED_BACK},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (!strcmp(rows[i].event, event))
			return (int)rows[i].is;
	}
	return -1;
}

static void tell(struct service *s, int event, bool over, const char *subject, const char *reason,
		 const char *who)
{
	struct notice n = {.event = (enum notice_event)event,
			   .over = over,
			   .subject = subject,
			   .service = s->name,
			   .reason = reason,
			   .who = who,
			   .stage = s->ramp.saved.stage,
			   .stages = s->conf->n_stages,
			   .weight = s->view.weight,
			   .time_ns = s->view.real};

	if (event >= 0 && s->conf->leader)
		notifier_tell(s->notifier, &n);
}

static void raise_alarm(struct service *s, int which, const char *text)
{
	struct service_alarm *a = &s->alarm[which];

	if (!a->on)
		a->since = s->view.real;
	a->on = true;
	snprintf(a->text, sizeof(a->text), "%s", text);
}

void service_notify(struct service *s, const struct ramp_action *a)
{
	bool alarm = a->what == RAMP_ALARM, checked = !strcmp(a->event, "checked");

	service_say(s, alarm, "ramp: %s: %s", a->event, a->reason);
	tell(s, alarm ? (int)NOTICE_ALARM : notice_of(a->event), checked, alarm ? "ramp" : NULL,
	     a->reason, a->who);
	if (alarm)
		raise_alarm(s, SERVICE_ALARM_RAMP, a->reason);
	else if (s->alarm[SERVICE_ALARM_RAMP].on && ramp_ends_alarm(a->event)) {
		s->alarm[SERVICE_ALARM_RAMP].on = false;
		tell(s, NOTICE_ALARM, true, "ramp", a->reason, a->who);
	}
}

void service_alarm(struct service *s, int which, bool on, const char *subject, const char *text)
{
	struct service_alarm *a = &s->alarm[which];
	bool was = a->on;

	if (on)
		raise_alarm(s, which, text);
	a->on = on;
	if (on == was)
		return;
	service_say(s, on, "%s: %s", subject, text);
	tell(s, NOTICE_ALARM, !on, subject, text, "shiftd");
}

void service_health_says(void *arg, bool alarm, const char *text)
{
	struct service *s = arg;

	service_say(s, alarm, "%s", text);
	if (!alarm)
		return;
	raise_alarm(s, SERVICE_ALARM_HEALTH, text);
	tell(s, NOTICE_ALARM, false, "health", text, "shiftd");
}

void service_health_is(struct service *s, bool well)
{
	if (!s->alarm[SERVICE_ALARM_HEALTH].on || !well)
		return;
	s->alarm[SERVICE_ALARM_HEALTH].on = false;
	tell(s, NOTICE_ALARM, true, "health", "both arms are healthy again", "shiftd");
}

/* A second name's complaint is told, too, while the first one's stands. */
void service_follow_says(void *arg, enum ctl_follow_says what, const char *text)
{
	struct service *s = arg;
	bool stands = s->alarm[SERVICE_ALARM_FOLLOW].on;

	if (what == CTL_FOLLOW_LINE) {
		service_say(s, false, "%s", text);
		return;
	}
	service_alarm(s, SERVICE_ALARM_FOLLOW, what == CTL_FOLLOW_ALARM, "names", text);
	if (stands && what == CTL_FOLLOW_ALARM) {
		service_say(s, true, "names: %s", text);
		tell(s, NOTICE_ALARM, false, "names", text, "shiftd");
	}
}
