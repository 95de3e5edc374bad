/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_keep.c - what DNS means for the share
 *
 * `weight N --overall` leaves in the record of control that N % of all clients shall be on the new
 * side. While that stands, each turn joins what the caches say with what the fall of new
 * connections here says (dns/share_keep.h) and sets the share again when the overall share is off
 * by more than is uncertain of it. Each change is one of control like an operator's, signed by
 * shiftd with its reason, in the history.
 *
 * It ends with the record that carries it: any other share, by an operator or the ramp, a rollback,
 * another operator's lock. A ramp that goes on ends it: its stages win. It waits, and says why,
 * while promotions are frozen, a change is to be confirmed, somebody else holds the lock, or DNS is
 * not seen. After commit it never lowers.
 *
 * Two alarms: DNS alone sends more than N % to the new side, which no weight mends; and, where
 * there is a ramp and no share of all is kept, records that name the new side before the share is
 * 100 %.
 *
 * Weakness: it follows. Between two turns DNS moves on, and what the caches say is as old as the
 * last round; the simulation in the tests says how far off the overall share is then.
 */
#include "userspace/ctl/dns_keep.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/ctl/dns.h"
#include "userspace/ctl/service_inner.h"
#include "userspace/ctl/steer.h"
#include "userspace/plane/control.h"
#include "userspace/plane/state.h"

void dns_keep_says(void *arg, const char *text)
{
	service_say(arg, false, "%s", text);
}

/* ---- what is seen ---- */

static void see(struct service *s, const struct ctl_dns_view *v, uint64_t now)
{
	struct dns_keeper *k = &s->keeper;
	const struct window_look *last = &s->window->last;

	if (s->view.attached && s->window->has_last)
		dns_fall_add(&k->fall, now,
			     last->service.connections_old + last->service.connections_new,
			     v->still);
	k->caches = v->moved;
	k->arrivals = (struct dns_moved){NAN, 1};
	if (v->still) { /* what comes less now is not DNS's doing */
		k->moved = v->moved;
		k->contradict = false;
		return;
	}
	/* Fewer connections alone are no sign of it: an evening looks the same. */
	if (s->view.attached && v->moves)
		dns_fall_share(&k->fall, now, &k->arrivals);
	k->contradict = !dns_moved_join(&k->caches, &k->arrivals, &k->moved);
}

/* ---- alarms ---- */

static void look_at_order(struct service *s, const struct ctl_dns_view *v)
{
	bool on = s->conf->n_stages && v->flipped && s->view.attached && !s->keeper.target &&
		  s->view.weight < SHIFT_WEIGHT_MAX;
	char text[RAMP_TEXT], share[16];

	if (on)
		snprintf(text, sizeof(text),
			 "%u of %u authorities name the new side, and the share is %s%%: those "
			 "clients go there past this host, and no rollback reaches them; shiftctl "
			 "dns rollback, or shiftctl weight 100%s",
			 v->flipped, v->authorities, text_weight(s->view.weight, share),
			 s->view.latched ? " --after-rollback" : "");
	else
		snprintf(text, sizeof(text), "records and share are in order again");
	service_alarm(s, SERVICE_ALARM_DNS, on, "dns", text);
}

static void look_above(struct service *s, bool above, const char *by)
{
	struct dns_keeper *k = &s->keeper;
	char text[RAMP_TEXT], target[16];

	if (above)
		snprintf(
			text, sizeof(text),
			"DNS alone sends %.1f%% (+/- %.1f) to the new side, more than the %s%% of all "
			"that %.*s asked for: no weight brings it down; shiftctl dns rollback moves "
			"the records back",
			100 * k->moved.share, 200 * k->moved.error, text_weight(k->target, target),
			SHIFT_NAME, by);
	else
		snprintf(text, sizeof(text), "DNS sends no more than what is kept");
	service_alarm(s, SERVICE_ALARM_OVERALL, above, "overall", text);
}

/* ---- the share ---- */

/* NULL: it may be set. */
static const char *held_back(const struct service *s, const struct shift_record *r)
{
	const struct ramp_saved *ramp = &s->ramp.saved;

	if (!s->conf->leader)
		return "this host is no leader";
	if (!s->conf->dns.given)
		return "the configuration has no dns section";
	if (ramp->frozen_at || s->view.frozen)
		return "promotions are frozen: shiftctl unfreeze";
	if (r->confirm_deadline)
		return "the last change waits for shiftctl confirm";
	if (r->locked_at && strncmp(r->locked_by, r->overall_by, SHIFT_NAME) != 0)
		return "another operator holds the lock";
	if (isnan(s->keeper.moved.share))
		return "how much DNS has moved is not known";
	return NULL;
}

static void set(struct service *s, const struct shift_record *r, uint16_t weight, uint16_t overall,
		const char *reason)
{
	struct shift_record before, after;
	struct steer c = {.boot = control_boot_ns(),
			  .real = control_real_ns(),
			  .uid = getuid(),
			  .who = "shiftd",
			  .reason = reason,
			  .epoch = r->epoch,
			  .expect = s->view.weight,
			  .weight = weight,
			  .overall = overall};
	struct state_kept kept;
	char why[200];
	int err;

	if (ramp_is_active(&s->ramp)) { /* its keep-alive stays in the record */
		c.lease = s->conf->rules.lease_ms * 1000000;
		c.on_death = s->conf->rules.on_death;
	}
	err = control_change(&s->plane.control[s->id], steer_weight, &c, false, &before, &after);
	if (err == STEER_OVERTAKEN || err == STEER_LATCHED)
		return; /* whoever came first is seen in the next turn */
	if (err) {
		service_say(s, false, "overall: %s", steer_error(err, &before, why, sizeof(why)));
		return;
	}
	service_say(s, false, "overall: %s (epoch %llu)", reason, (unsigned long long)after.epoch);
	kept = state_record(&after, &(struct state_event){.verb = "overall",
							  .service = s->name,
							  .reason = reason,
							  .who = "shiftd",
							  .from = c.from,
							  .to = weight});
	if (kept.copy || kept.history)
		service_say(s, kept.copy != 0,
			    "overall: in force, but not all of it is recorded (%s)",
			    strerror(kept.copy ? -kept.copy : -kept.history));
}

static void wait_for(struct service *s, const char *why)
{
	struct dns_keeper *k = &s->keeper;

	if (why && strcmp(k->waits, why) != 0)
		service_say(s, false, "overall: the share is not kept: %s", why);
	snprintf(k->waits, sizeof(k->waits), "%s", why ? why : "");
}

static const char *part(double share, char ret[16])
{
	if (isnan(share))
		snprintf(ret, 16, "?");
	else
		snprintf(ret, 16, "%.1f", 100 * share);
	return ret;
}

static void keep(struct service *s, const struct shift_record *r, uint64_t now)
{
	struct dns_keeper *k = &s->keeper;
	char reason[200], target[16], a[16], b[16];
	bool above = false;
	int weight;

	wait_for(s, held_back(s, r));
	if (k->waits[0])
		return;
	weight = dns_keep(k->target, s->view.weight, &k->moved, r->authority == SHIFT_AUTHORITY_NEW,
			  &above);
	look_above(s, above, r->overall_by);
	if (weight < 0 || now < k->set_at + SERVICE_SECOND)
		return;
	snprintf(reason, sizeof(reason),
		 "%s%% of all for %.*s: DNS moved %.1f%% (+/- %.1f; caches %s, arrivals %s%s)",
		 text_weight(k->target, target), SHIFT_NAME, r->overall_by, 100 * k->moved.share,
		 100 * k->moved.error, part(k->caches.share, a), part(k->arrivals.share, b),
		 k->contradict ? ": they contradict each other" : "");
	k->set_at = now;
	set(s, r, (uint16_t)weight, k->target, reason);
}

void dns_keep_turn(struct service *s, uint64_t now)
{
	struct dns_keeper *k = &s->keeper;
	struct shift_record r = {0};
	struct ctl_dns_view v;
	uint64_t head;

	ctl_dns_look(s->dns, now, &v);
	see(s, &v, now);
	k->target = 0;
	if (s->open && s->id >= 0 && !control_get(&s->plane.control[s->id], &r, &head) &&
	    s->view.attached && r.epoch == s->view.epoch)
		k->target = control_kept(&r, control_boot_ns());
	ctl_dns_hurry(s->dns, k->target);
	if (!k->target) {
		k->waits[0] = '\0';
		look_above(s, false, "");
	} else if (s->ramp.saved.state == RAMP_HOLDING || s->ramp.saved.state == RAMP_PROMOTING) {
		set(s, &r, s->view.weight, 0, "the ramp goes on: no share of all is kept");
	} else {
		keep(s, &r, now);
	}
	if (v.survey || !v.watched) /* what is watched no more is no alarm */
		look_at_order(s, &v);
}

/* ---- for the dashboard ---- */

static json_t *percent(double share)
{
	return isnan(share) ? json_null() : json_real(100 * share);
}

void dns_keep_page(const struct service *s, json_t *share)
{
	const struct dns_keeper *k = &s->keeper;
	double p = k->moved.share, w = (double)s->view.weight / SHIFT_WEIGHT_MAX;

	json_object_set_new(share, "overall_kept",
			    k->target ? json_real(k->target / 100.0) : json_null());
	json_object_set_new(share, "overall_waits",
			    k->waits[0] ? json_string(k->waits) : json_null());
	json_object_set_new(share, "overall", percent(p + (1 - p) * w));
	json_object_set_new(share, "overall_error", percent((1 - w) * k->moved.error));
	json_object_set_new(share, "dns_moved", percent(p));
}
