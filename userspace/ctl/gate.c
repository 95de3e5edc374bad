/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate.c - what a gate's bounds say of its numbers
 *
 * Each bound has a run: since when, until when and how many times in a row it held. An observation
 * for which it holds makes the run longer; one for which it does not ends it; so does a silence of
 * more than GATE_GAP intervals, because nobody knows what happened in it. A look that gave no data
 * neither counts nor breaks by itself: it only makes the silence longer. A duration is the time
 * between the first and the latest observation of the run, never the time since: what was not seen
 * was not sustained.
 *
 * A bound that has begun to hold, but not for long enough, is named and is no `ok`.
 *
 * Weakness: a value that lies between two looks at a bound is not seen; the interval of the source
 * is what to shorten.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/ctl/gate.h"

#define MS UINT64_C(1000000)

static const char *const names[] = {
	[GATE_OK] = "ok",     [GATE_INCONCLUSIVE] = "inconclusive", [GATE_PAUSE] = "pause",
	[GATE_BACK] = "back", [GATE_ROLLBACK] = "rollback",
};

const char *gate_says_name(enum gate_says says)
{
	return (unsigned int)says < sizeof(names) / sizeof(*names) ? names[says] : "inconclusive";
}

int gate_says_parse(const char *name)
{
	for (unsigned int i = 0; name && i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(name, names[i]))
			return (int)i;
	}
	return -EINVAL;
}

const char *gate_class(const struct gate_verdict *v)
{
	if (v->says == GATE_ROLLBACK)
		return v->sustained ? "planned" : "immediate";
	return v->says == GATE_PAUSE || v->says == GATE_BACK || v->watched ? "monitor" : NULL;
}

const char *gate_number(double value, char ret[32])
{
	double size = fabs(value);

	if (size >= 1000 && size < 1e15)
		snprintf(ret, 32, "%.0f", value);
	else
		snprintf(ret, 32, "%.4g", value);
	return ret;
}

/* ---- beginning ---- */

void gate_begin(struct gate *g, const struct conf_gate *conf)
{
	memset(g, 0, sizeof(*g));
	g->conf = conf;
	g->share = 1;
}

static bool same_bounds(const struct conf_bounds *a, const struct conf_bounds *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned int i = 0; i < a->n; i++) {
		if (strcmp(a->bound[i].text, b->bound[i].text) != 0)
			return false;
	}
	return true;
}

void gate_use(struct gate *g, const struct conf_gate *conf)
{
	const struct conf_gate *was = g->conf;

	if (!was || !same_bounds(&was->ok, &conf->ok) || !same_bounds(&was->pause, &conf->pause) ||
	    !same_bounds(&was->back, &conf->back) || !same_bounds(&was->rollback, &conf->rollback))
		gate_restart(g);
	g->conf = conf;
}

void gate_restart(struct gate *g)
{
	memset(g->ok, 0, sizeof(g->ok));
	memset(g->pause, 0, sizeof(g->pause));
	memset(g->back, 0, sizeof(g->back));
	memset(g->rollback, 0, sizeof(g->rollback));
	g->has_value = false;
	g->at = 0;
	g->missed_at = 0;
	g->missed[0] = '\0';
	g->broken_at = 0;
	memset(&g->verdict, 0, sizeof(g->verdict));
}

/* ---- a number against a bound ---- */

/* What is expected: of a baseline of the whole service, this arm's share. */
double gate_expected(const struct gate *g)
{
	return g->whole ? g->baseline * g->share : g->baseline;
}

/* What the bound is about: the value, or how far it is below the baseline, in % or as it is. */
static double subject(const struct gate *g, const struct conf_bound *b, double value)
{
	double base = gate_expected(g), drop = base - value;

	if (!b->below_baseline)
		return value;
	if (strcmp(b->unit, "%") != 0)
		return drop;
	/* What was nothing cannot become less. */
	return base != 0 ? 100 * drop / fabs(base) : 0;
}

static bool holds(const struct gate *g, const struct conf_bound *b, double value)
{
	double x = subject(g, b, value);

	if (b->below_baseline && !g->has_baseline)
		return false;
	if (b->equal && x == b->number)
		return true;
	return b->above ? x > b->number : x < b->number;
}

static uint64_t silence(const struct gate *g)
{
	uint64_t interval = g->conf->interval_ms ? g->conf->interval_ms : 1000;

	return GATE_GAP * interval * MS;
}

static void run_add(const struct gate *g, struct gate_run *run, bool held, uint64_t at)
{
	if (!held) {
		memset(run, 0, sizeof(*run));
		return;
	}
	if (!run->since || at - run->last > silence(g)) {
		run->since = at;
		run->times = 0;
	}
	run->last = at;
	run->times++;
}

static bool has_tail(const struct conf_bound *b)
{
	return b->for_ms || b->times > 1;
}

/* It held for as long, and as often, as it says. */
static bool run_full(const struct conf_bound *b, const struct gate_run *run)
{
	return run->since && run->last - run->since >= b->for_ms * MS && run->times >= b->times;
}

static void take_all(struct gate *g, const struct conf_bounds *b, struct gate_run *run,
		     double value, uint64_t at, bool *ret_any, bool *ret_missing)
{
	for (unsigned int i = 0; i < b->n; i++) {
		bool held = holds(g, &b->bound[i], value);

		run_add(g, &run[i], held, at);
		*ret_any |= held;
		*ret_missing |= !held && !has_tail(&b->bound[i]);
	}
}

static void keep_sample(struct gate_samples *s, double value)
{
	s->value[s->n % GATE_BASELINE] = value;
	s->n++;
}

void gate_observe(struct gate *g, uint64_t at, double value)
{
	const struct conf_gate *c = g->conf;
	bool bad = false, ok = false, not_ok = false, ignore = false;

	if (!isfinite(value)) {
		gate_no_data(g, at, "what the source gave is no number");
		return;
	}
	if (at < g->at || !at)
		return;
	take_all(g, &c->rollback, g->rollback, value, at, &bad, &ignore);
	take_all(g, &c->back, g->back, value, at, &bad, &ignore);
	take_all(g, &c->pause, g->pause, value, at, &bad, &ignore);
	take_all(g, &c->ok, g->ok, value, at, &ok, &not_ok);
	if (bad || not_ok)
		g->broken_at = at;
	g->has_value = true;
	g->value = value;
	g->at = at;
	keep_sample(&g->samples, value);
}

void gate_no_data(struct gate *g, uint64_t at, const char *why)
{
	if (at < g->missed_at)
		return;
	g->missed_at = at;
	snprintf(g->missed, sizeof(g->missed), "%s", why && *why ? why : "no data");
}

void gate_given(struct gate *g, const struct gate_verdict *v)
{
	g->given = true;
	g->verdict = *v;
	g->at = v->at;
	g->has_value = v->has_value;
	g->value = v->value;
	if (v->says > GATE_INCONCLUSIVE)
		g->broken_at = v->at;
	if (v->has_value && isfinite(v->value))
		keep_sample(&g->samples, v->value);
}

uint64_t gate_broken_at(const struct gate *g)
{
	return g->broken_at;
}

uint64_t gate_since(const struct gate *g, enum gate_says says)
{
	const struct conf_bounds *of[] = {
		[GATE_PAUSE] = &g->conf->pause,
		[GATE_BACK] = &g->conf->back,
		[GATE_ROLLBACK] = &g->conf->rollback,
	};
	const struct gate_run *const runs[] = {
		[GATE_PAUSE] = g->pause,
		[GATE_BACK] = g->back,
		[GATE_ROLLBACK] = g->rollback,
	};
	uint64_t since = 0;

	if (says < GATE_PAUSE)
		return 0;
	if (g->given)
		return g->verdict.says == says ? g->verdict.at : 0;
	for (unsigned int i = 0; i < of[says]->n; i++) {
		const struct gate_run *run = &runs[says][i];

		if (run_full(&of[says]->bound[i], run) && (!since || run->since < since))
			since = run->since;
	}
	return since;
}

/* ---- in words ---- */

static double unit_factor(const char *unit)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {{"us", 0.001}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (!strcmp(unit, units[i].name))
			return units[i].ms;
	}
	return 1;
}

/* The bound as it is written, up to how long or how often. */
static size_t head_length(const struct conf_bound *b)
{
	const char *end = strstr(b->text, " for ");
	size_t n = strlen(b->text);

	if (b->for_ms && end)
		return (size_t)(end - b->text);
	if (!b->times)
		return n;
	while (n && b->text[n - 1] != ' ') /* "times" */
		n--;
	while (n && b->text[n - 1] == ' ')
		n--;
	while (n && b->text[n - 1] != ' ') /* the number */
		n--;
	while (n && b->text[n - 1] == ' ')
		n--;
	return n;
}

static void say_duration(uint64_t ns, char ret[32])
{
	uint64_t s = ns / 1000000000;

	if (s)
		conf_duration_text(s * 1000, ret);
	else
		conf_duration_text(ns / MS, ret);
}

/* " for 35s of 1m", " 2 of 3 times", or nothing. */
static void say_tail(const struct conf_bound *b, const struct gate_run *run, char *ret, size_t size)
{
	char held[32], wanted[32];
	uint64_t ns = run->since ? run->last - run->since : 0;

	ret[0] = '\0';
	if (b->for_ms) {
		say_duration(ns, held);
		conf_duration_text(b->for_ms, wanted);
		if (ns >= b->for_ms * MS)
			snprintf(ret, size, " for %s", held);
		else
			snprintf(ret, size, " for %s of %s", held, wanted);
	} else if (b->times > 1) {
		if (run->times >= b->times)
			snprintf(ret, size, " %u times", run->times);
		else
			snprintf(ret, size, " %u of %u times", run->times, (unsigned int)b->times);
	}
}

/* "212 > 200 for 35s of 1m"; `not`: "0.3% is not < 0.1%". */
static void say_bound(const struct gate *g, const struct conf_bound *b, const struct gate_run *run,
		      bool is_not, char why[GATE_WHY])
{
	double factor = unit_factor(b->unit);
	char value[32], base[32], drop[32], tail[96];
	int n = (int)head_length(b);

	say_tail(b, run, tail, sizeof(tail));
	if (is_not)
		tail[0] = '\0';
	if (b->below_baseline && g->has_baseline) {
		double d = subject(g, b, g->value);

		snprintf(why, GATE_WHY, "%s is %s%s %s the baseline of %s%s: %s%.*s%s",
			 gate_number(g->value, value), gate_number(fabs(d), drop),
			 strcmp(b->unit, "%") ? "" : "%", d < 0 ? "above" : "below",
			 gate_number(gate_expected(g), base), g->whole ? " for this share" : "",
			 is_not ? "not " : "", n, b->text, tail);
		return;
	}
	snprintf(why, GATE_WHY, "%s%s %s%.*s%s", gate_number(g->value / factor, value), b->unit,
		 is_not ? "is not " : "", n, b->text, tail);
}

/* ---- the verdict ---- */

/* Is one of them full, or has one begun? The first of each kind is named. */
static bool one_full(const struct gate *g, const struct conf_bounds *b, const struct gate_run *run,
		     struct gate_verdict *ret, enum gate_says says, bool *begun)
{
	for (unsigned int i = 0; i < b->n; i++) {
		if (!run_full(&b->bound[i], &run[i]))
			continue;
		ret->says = says;
		ret->sustained = has_tail(&b->bound[i]);
		say_bound(g, &b->bound[i], &run[i], false, ret->why);
		return true;
	}
	for (unsigned int i = 0; i < b->n && !*begun; i++) {
		if (!run[i].since)
			continue;
		*begun = true;
		say_bound(g, &b->bound[i], &run[i], false, ret->why);
	}
	return false;
}

static bool missing_baseline(const struct gate *g)
{
	return !g->has_baseline && gate_wants_baseline(g->conf);
}

static void judge_ok(const struct gate *g, struct gate_verdict *ret)
{
	const struct conf_bounds *b = &g->conf->ok;

	for (unsigned int i = 0; i < b->n; i++) {
		if (run_full(&b->bound[i], &g->ok[i]))
			continue;
		ret->watched = !g->ok[i].since;
		say_bound(g, &b->bound[i], &g->ok[i], ret->watched, ret->why);
		return;
	}
	if (missing_baseline(g)) {
		snprintf(
			ret->why, sizeof(ret->why),
			"no baseline was taken before the start, so a drop below it cannot be seen");
		return;
	}
	ret->says = GATE_OK;
	if (b->n) {
		say_bound(g, &b->bound[0], &g->ok[0], false, ret->why);
	} else {
		char value[32];

		snprintf(ret->why, sizeof(ret->why), "%s: no bound holds",
			 gate_number(g->value, value));
	}
}

/* A value that is too old is none; a look that failed since says why. */
static bool no_value(const struct gate *g, uint64_t now, struct gate_verdict *ret)
{
	uint64_t age = now > g->at ? now - g->at : 0;
	char text[32];

	if (g->missed_at && g->missed_at >= g->at) {
		if (g->at)
			snprintf(ret->why, sizeof(ret->why), "no data since %s: %.150s",
				 text_duration(age, text), g->missed);
		else
			snprintf(ret->why, sizeof(ret->why), "no data: %.170s", g->missed);
		return true;
	}
	if (!g->at) {
		snprintf(ret->why, sizeof(ret->why), "no data yet");
		return true;
	}
	if (age > silence(g) + g->conf->timeout_ms * MS) {
		snprintf(ret->why, sizeof(ret->why), "no data since %s", text_duration(age, text));
		return true;
	}
	return false;
}

void gate_judge(const struct gate *g, uint64_t now, struct gate_verdict *ret)
{
	const struct conf_gate *c = g->conf;
	bool begun = false;

	memset(ret, 0, sizeof(*ret));
	ret->says = GATE_INCONCLUSIVE;
	ret->has_value = g->has_value;
	ret->value = g->value;
	ret->at = g->at;
	if (no_value(g, now, ret))
		return;
	if (g->given) {
		*ret = g->verdict;
		if (!ret->why[0])
			snprintf(ret->why, sizeof(ret->why), "%s", gate_says_name(ret->says));
		return;
	}
	if (one_full(g, &c->rollback, g->rollback, ret, GATE_ROLLBACK, &begun) ||
	    one_full(g, &c->back, g->back, ret, GATE_BACK, &begun) ||
	    one_full(g, &c->pause, g->pause, ret, GATE_PAUSE, &begun))
		return;
	ret->watched = begun;
	if (!begun)
		judge_ok(g, ret);
}

/* ---- the baseline ---- */

static bool of_baseline(const struct conf_bounds *b)
{
	for (unsigned int i = 0; i < b->n; i++) {
		if (b->bound[i].below_baseline)
			return true;
	}
	return false;
}

bool gate_wants_baseline(const struct conf_gate *conf)
{
	return of_baseline(&conf->ok) || of_baseline(&conf->pause) || of_baseline(&conf->back) ||
	       of_baseline(&conf->rollback);
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int gate_take_baseline(struct gate *g)
{
	unsigned int n = g->samples.n < GATE_BASELINE ? g->samples.n : GATE_BASELINE;
	double sorted[GATE_BASELINE];

	if (!n)
		return -ENODATA;
	memcpy(sorted, g->samples.value, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_size);
	gate_set_baseline(g, n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2,
			  false);
	return 0;
}

void gate_set_baseline(struct gate *g, double baseline, bool whole)
{
	g->has_baseline = true;
	g->baseline = baseline;
	g->whole = whole;
}

void gate_share(struct gate *g, double share)
{
	g->share = share;
}
