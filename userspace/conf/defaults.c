/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * defaults.c - the gates and bounds of a file that leaves them out
 *
 * The numbers are the runbook's, from "Gradual Traffic Ramp" (ok, pause, back) and "Rollback
 * Decision Criteria" (rollback). Its three classes are these:
 *
 *   immediate   a `rollback` bound that acts on the first number beyond it
 *   planned     a `rollback` bound with a duration or a number of times
 *   monitor     whatever is neither ok nor rollback. While a ramp runs, `pause` and `back` act
 *               on it; in the soak after it, until commit and later, it is written down and shown
 *
 * A gate gets all its bounds from here when it has none of its own, by its name; one bound of its
 * own is the end of that, since nobody could see which of the others still count. The numbers mean
 * what the name says, in these units:
 *
 *   errors        percent of what was asked that failed
 *   p95           milliseconds
 *   tps           transactions per second, against the baseline taken when the ramp starts
 *   replication   seconds that the copy is behind
 *   consensus     seconds without a leader
 *
 * "Planned" of the runbook is a decision of people within a quarter of an hour; here a drop or a
 * lag must be seen three times in a row, and a latency for five minutes, before it counts. All
 * health checks failing is no gate: the ramp sees it by itself (ctl/ramp.c). Corrupt data, a breach
 * of security and critical bugs are nothing that a number tells: shiftctl rollback.
 *
 * A ramp without `gates` gets `errors` and `p95` of the kernel's counters. They do not see what the
 * application answers, so such a ramp starts with --l4-only alone. `gates: []` means none.
 */
#include <stdio.h>
#include <string.h>

#include "userspace/conf/types.h"

struct shipped {
	const char *name;
	const char *ok, *pause, *back, *rollback[2]; /* NULL: none */
};

static const struct shipped all[] = {
	{"errors", "< 0.1%", "> 0.5%", NULL, {"> 5%", "> 1% for 10m"}},
	{"p95", "< 100", "> 200", NULL, {"> 500 for 5m", NULL}},
	{"tps", NULL, NULL, "> 20% below baseline", {"> 50% below baseline 3 times", NULL}},
	{"replication", "< 5", NULL, NULL, {"> 60 3 times", NULL}},
	{"consensus", "< 10", NULL, NULL, {"> 120", NULL}},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void put(struct conf_bounds *to, const char *text, struct conf_at at)
{
	if (!text)
		return;
	to->bound[to->n].at = at;
	bound_parse(text, &to->bound[to->n]);
	to->n++;
}

static bool put_shipped(struct conf_gate *g)
{
	for (size_t i = 0; i < COUNT(all); i++) {
		const struct shipped *s = &all[i];

		if (strcmp(g->name, s->name) != 0)
			continue;
		put(&g->ok, s->ok, g->at);
		put(&g->pause, s->pause, g->at);
		put(&g->back, s->back, g->at);
		for (size_t k = 0; k < COUNT(s->rollback); k++)
			put(&g->rollback, s->rollback[k], g->at);
		g->shipped = true;
		return true;
	}
	return false;
}

static void of_kernel(struct config *c, const char *name, enum conf_kernel_gate kernel)
{
	struct conf_gate *g = &c->gates[c->n_gates++];

	memset(g, 0, sizeof(*g));
	g->at = c->ramp_at;
	snprintf(g->name, sizeof(g->name), "%s", name);
	g->kernel = kernel;
	g->interval_ms = CONF_KERNEL_INTERVAL_MS;
	g->timeout_ms = 3000;
	put_shipped(g);
}

void schema_complete(struct config *c, struct conf_errors *errors)
{
	char key[64];

	for (unsigned int i = 0; i < c->n_gates; i++) {
		struct conf_gate *g = &c->gates[i];

		if (g->ok.given || g->pause.given || g->back.given || g->rollback.given ||
		    put_shipped(g) || !g->name[0])
			continue;
		snprintf(key, sizeof(key), "gates[%u]", i);
		conf_complain(errors, false, g->at, key,
			      "needs at least one of ok, pause, back or rollback: only errors, "
			      "p95, tps, replication and consensus have shipped ones");
	}
	if (c->gates_given || !c->ramp_at.line)
		return;
	of_kernel(c, "errors", CONF_KERNEL_ERRORS);
	of_kernel(c, "p95", CONF_KERNEL_P95);
}
