/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_soak.c - the time after the last stage: what is only watched, and alarms that end
 *
 * There is no stage to pause at or to go back to any more. A `rollback` is ramp.c's in every state;
 * what is left is what the runbook would monitor.
 */
#include <stdio.h>
#include <string.h>

#include "userspace/ctl/ramp_inner.h"

/*
 * What is not ok is written down once for each gate, and again when all was well for RAMP_QUIET;
 * after a commit what a gate says aloud is an alarm.
 */
bool ramp_judge_soak(struct ramp *r)
{
	const struct ramp_gate *g = ramp_gate_saying(r, GATE_BACK);
	char text[RAMP_TEXT];
	uint64_t bit;

	g = g ? g : ramp_gate_saying(r, GATE_PAUSE);
	if (g && r->view->authority == SHIFT_AUTHORITY_NEW) {
		snprintf(r->cause, sizeof(r->cause), "%s:%s", gate_says_name(g->verdict.says),
			 g->name);
		ramp_text(text, HELD_BY_COMMIT, g->name, g->verdict.why);
		ramp_hold_and_alarm(r, r->cause, text);
		return true;
	}
	for (unsigned int i = 0; i < r->view->n_gates && !g; i++) {
		if (r->view->gates[i].verdict.watched)
			g = &r->view->gates[i];
	}
	r->waits[0] = '\0';
	if (!g)
		return false;
	ramp_text(r->waits, "monitor: gate %s: %.180s; noted, and not acted on in the soak",
		  g->name, g->verdict.why);
	if (r->now >= r->noted_at + RAMP_QUIET)
		r->noted = 0;
	r->noted_at = r->now;
	bit = UINT64_C(1) << (g - r->view->gates);
	if (!(r->noted & bit)) {
		snprintf(r->cause, sizeof(r->cause), "monitor:%s", g->name);
		ramp_journal(r, "monitor", true, r->waits);
		ramp_notify(r, "monitor", r->waits);
	}
	r->noted |= bit;
	return false;
}

/*
 * A paused ramp's alarm is over when an operator goes on with it. In the soak nobody does: there it
 * is over when its cause has been gone for as long as the kernel's numbers reach back. What nothing
 * measures does not end by time; if it stands besides, the end of the other one is only noted.
 */
void ramp_end_alarm(struct ramp *r)
{
	uint64_t window = r->conf->rules.window_ms * 1000000;
	char text[RAMP_TEXT], length[32];

	if (!r->alarm_over)
		r->gone_at = r->now;
	r->alarm_over = true;
	if (r->saved.state != RAMP_DONE || !r->alarm[0] || ramp_alarm_lasts(r->alarm) ||
	    r->now < r->gone_at + window)
		return;
	r->alarm[0] = '\0';
	ramp_text(text, "its cause has been gone for %s",
		  conf_duration_text(r->conf->rules.window_ms, length));
	if (ramp_alarm_lasts(r->saved.alarm))
		ramp_journal(r, "alarm-over", true, text);
	else
		ramp_notify(r, "alarm-over", text);
}
