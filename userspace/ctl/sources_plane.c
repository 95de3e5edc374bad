/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sources_plane.c - the kernel's counters as a look, and what the judge makes of them
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "userspace/ctl/sources.h"
#include "userspace/plane/control.h"

/* Packets are an interface's, not a service's: as in `status`. */
static const enum shift_verdict losing[] = {SHIFT_DROP_TTL, SHIFT_DROP_REWRITE, SHIFT_RESET_UNABLE};

static int add_drops(const struct plane *p, uint32_t service, uint64_t *ret)
{
	struct telemetry_interface seen;
	struct shift_globals g;
	int err = plane_globals(p, &g);

	*ret = 0;
	for (uint32_t slot = 0; slot < SHIFT_MAX_INTERFACES && !err; slot++) {
		if (!g.interface[slot].ifindex || !(g.interface[slot].services >> service & 1))
			continue;
		err = telemetry_interface(p, &g, slot, &seen);
		for (size_t i = 0; i < sizeof(losing) / sizeof(*losing) && !err; i++)
			*ret += seen.verdict[losing[i]];
	}
	return err;
}

int sources_look_plane(const struct plane *p, uint32_t service, struct window_look *ret)
{
	struct shift_record r;
	uint64_t head;
	int err;

	if (!p->control || service >= SHIFT_MAX_SERVICES)
		return -ENOENT;
	err = control_get(&p->control[service], &r, &head);
	if (err)
		return err;
	ret->epoch = r.epoch;
	ret->weight = shift_record_weight(&r, control_boot_ns());
	err = telemetry_arm(p, service, SHIFT_ARM_OLD, &ret->arm[SHIFT_ARM_OLD]);
	if (!err)
		err = telemetry_arm(p, service, SHIFT_ARM_NEW, &ret->arm[SHIFT_ARM_NEW]);
	if (!err)
		err = telemetry_service(p, service, &ret->service);
	if (!err && p->map[PLANE_ORIGINS] >= 0) /* a program of before does not tell */
		err = telemetry_origin(p, service, &ret->origin);
	return err ? err : add_drops(p, service, &ret->drops);
}

/* ---- for the judge ---- */

static struct judge_counts counts_of(const struct window_sum *s, const struct conf_gate *g,
				     uint32_t ms)
{
	enum conf_gate_arm arm = g->arm == CONF_ARM_UNSTATED ? CONF_ARM_NEW : g->arm;

	switch (g->kernel) {
	case CONF_KERNEL_ERRORS:
		return window_errors(s, arm);
	case CONF_KERNEL_FAILURES:
		return window_failures(s, arm);
	case CONF_KERNEL_FALLBACK:
		return window_fallback(s, arm);
	default:
		return window_slow(s, arm, ms);
	}
}

/* "p95 > 200 ms" is a share of more than 0.05 of answers over 200 ms. */
static double quantile_of(enum conf_kernel_gate kind)
{
	switch (kind) {
	case CONF_KERNEL_P50:
		return 0.50;
	case CONF_KERNEL_P95:
		return 0.95;
	case CONF_KERNEL_P99:
		return 0.99;
	default:
		return 0;
	}
}

/* A bound that must be held for a while, or that is of a baseline, is for the gate alone. */
static bool is_plain(const struct conf_bound *b)
{
	return !b->for_ms && b->times < 2 && !b->below_baseline;
}

/* In a sum the old arm's connections stand for more than were seen: that makes nothing certain. */
static void as_seen(struct judge_counts *c)
{
	c->n /= SHIFT_WATCH_ONE_IN;
	c->bad = (c->bad + SHIFT_WATCH_ONE_IN - 1) / SHIFT_WATCH_ONE_IN;
	if (c->bad > c->n)
		c->bad = c->n;
}

static void set_limit(const struct conf_bounds *bounds, bool above, const struct window_sum *s,
		      const struct conf_gate *g, struct judge_limit *ret)
{
	double q = quantile_of(g->kernel), ms;

	for (unsigned int i = 0; i < bounds->n; i++) {
		const struct conf_bound *b = &bounds->bound[i];

		if (!is_plain(b) || b->above != above)
			continue;
		ret->given = true;
		ret->share = q > 0 ? 1 - q : b->number / 100;
		ms = above ? ceil(b->number) : floor(b->number); /* edges are whole ms */
		ret->seen = counts_of(s, g, (uint32_t)ms);
		if (!above && g->arm == CONF_ARM_SUM)
			as_seen(&ret->seen);
		return;
	}
}

int sources_shares(const struct window *w, const struct conf_gate *conf, struct judge_gate *ret)
{
	struct window_sum window, stage;

	if (conf->kind != CONF_GATE_KERNEL || conf->kernel == CONF_KERNEL_DROPS ||
	    conf->kernel == CONF_KERNEL_SPLIT)
		return -ENODATA;
	memset(ret, 0, sizeof(*ret));
	memset(&window, 0, sizeof(window));
	window_over(w, w->span, &window);
	window_since_stage(w, &stage);
	ret->name = conf->name;
	ret->of = quantile_of(conf->kernel) > 0 ? "answers" : "connections";
	set_limit(&conf->ok, false, &stage, conf, &ret->ok);
	set_limit(&conf->pause, true, &window, conf, &ret->pause);
	set_limit(&conf->back, true, &window, conf, &ret->back);
	set_limit(&conf->rollback, true, &window, conf, &ret->rollback);
	return 0;
}

void sources_certain(const struct judge_finding *found, struct gate_verdict *v)
{
	if (v->says != GATE_OK || found->verdict != JUDGE_INCONCLUSIVE || found->silent)
		return;
	v->says = GATE_INCONCLUSIVE;
	snprintf(v->why, sizeof(v->why), "%s", found->why);
}

void sources_verdict(const struct window *w, const struct gate *gate, uint64_t now,
		     struct gate_verdict *ret)
{
	struct judge_rules rules = judge_usual;
	struct judge_finding found;
	struct judge_gate g;

	gate_judge(gate, now, ret);
	if (ret->says != GATE_OK || sources_shares(w, gate->conf, &g))
		return;
	rules.least = w->least;
	judge_gate(&rules, &g, &found);
	sources_certain(&found, ret);
}
