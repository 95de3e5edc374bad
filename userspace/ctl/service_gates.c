/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_gates.c - what the ramp is judged by: the configuration's gates, and four of its own
 *
 *   trip-wire        failures among the connections begun in the last ten seconds: rollback
 *   judge.failures   is new worse than old? Failures once per client, as an anytime-valid test
 *   judge.slow       the same of answers that took longer than 200 ms
 *   split            do the arms get the share that they should? If not, no comparison holds
 *
 * What is counted depends on the affinity. With `client` all that a client does falls to one arm:
 * failures count once per client, the split is of clients, each once in the ramp, and a single
 * client with more than a fifth of the connections voids the comparison of failures, which then
 * holds the ramp and names it. With `connection` chance decides anew each time: failures and the
 * split are of connections, and no client is too big.
 *
 * These stand behind the configuration's in the view, and can pause but, for the trip-wire, never
 * act. One that has nothing to say where nothing can be said (a single arm, no failure anywhere)
 * does not hold the ramp; too few connections do.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ctl/checks_plane.h"
#include "userspace/ctl/service_inner.h"
#include "userspace/plane/hostlock.h"

static const char *const own_names[SERVICE_OWN] = {"trip-wire", "split", "judge.failures",
						   "judge.slow"};

static bool by_client(const struct config *c)
{
	return c->affinity == SHIFT_AFFINITY_CLIENT;
}

static void begin_tests(struct service *s, const struct config *c)
{
	memset(s->test, 0, sizeof(s->test));
	s->test[SERVICE_FAILURES].name = "failures";
	s->test[SERVICE_FAILURES].tolerance = 0.25;
	s->test[SERVICE_FAILURES].by_client = by_client(c);
	s->test[SERVICE_SLOW].name = "slow answers";
	s->test[SERVICE_SLOW].tolerance = 0.25;
	s->test[SERVICE_SLOW].by_client = by_client(c); /* they are not counted once a client */
	s->test[SERVICE_SPLIT].name = "split";
	s->test[SERVICE_SPLIT].tolerance = 0.05;
	s->test[SERVICE_SPLIT].two_sided = true;
}

struct both {
	uint64_t old, new;
	double share;
};

static struct both counted(const struct config *c, const struct window_both *e, int test)
{
	const __typeof__(e->arm[0]) *old = &e->arm[SHIFT_ARM_OLD], *new = &e->arm[SHIFT_ARM_NEW];

	switch (test) {
	case SERVICE_FAILURES:
		if (by_client(c))
			return (struct both){old->failed_clients, new->failed_clients, e->share};
		return (struct both){old->failed, new->failed, e->share};
	case SERVICE_SLOW:
		return (struct both){old->over_200_ms, new->over_200_ms, e->share};
	default:
		if (by_client(c))
			return (struct both){old->clients, new->clients, e->split};
		return (struct both){old->chosen, new->chosen, e->split};
	}
}

/* From here on: what was counted so far is passed over. */
static void begin_anew(struct service *s, const struct config *c)
{
	struct window_sum stage;

	begin_tests(s, c);
	window_since_stage(s->window, &stage);
	s->passed_begun = stage.arm[SHIFT_ARM_NEW].begun;
	s->judged_from = s->view.epoch;
	memset(s->passed_old, 0, sizeof(s->passed_old));
	memset(s->passed_new, 0, sizeof(s->passed_new));
	for (unsigned int i = 0; i < s->window->epochs; i++) {
		struct window_both e;

		window_epoch_seen(&s->window->epoch[i], &e);
		for (int t = 0; t < SERVICE_TESTS && e.epoch == s->judged_from; t++) {
			struct both b = counted(c, &e, t);

			s->passed_old[t] = b.old;
			s->passed_new[t] = b.new;
		}
	}
}

static int look_at_kernel(void *arg, struct window_look *ret)
{
	struct service *s = arg;

	if (!s->open) /* the gates may be asked before the first turn */
		service_find(s);
	return s->open ? sources_look_plane(&s->plane, (uint32_t)s->id, ret) : -ENOENT;
}

/* Where a backend is by the data plane, which follows its name: what new flows would reach. */
static int find_backend(void *arg, const char *name, unsigned int turn, char *ret, size_t size)
{
	struct service *s = arg;
	struct checks_seen *seen = calloc(CONF_MAX_BACKENDS, sizeof(*seen));
	unsigned int n = 0;
	int err = !seen ? -ENOMEM : s->open ? 0 : -ENODATA;
	char text[64];

	if (!err)
		err = checks_plane_read(&s->plane, s->id, seen, &n);
	if (!err)
		err = -ENODATA; /* `apply` was not run since it is in the configuration */
	for (unsigned int i = 0; i < n && err == -ENODATA; i++) {
		if (strcmp(seen[i].name, name) != 0 || !seen[i].n)
			continue;
		snprintf(ret, size, "%s", ctl_place_text(&seen[i].at[turn % seen[i].n], text));
		err = (int)seen[i].n;
	}
	free(seen);
	return err;
}

int service_gates_make(struct service *s)
{
	struct sources_world world = {
		.look = look_at_kernel, .looked = service_looked, .via = find_backend, .arg = s};
	int err = sources_make(s->loop, &world, &s->sources);

	if (!err)
		s->window = sources_window(s->sources);
	return err;
}

int service_gates_begin(struct service *s, const struct config *c)
{
	for (unsigned int i = 0; i < c->n_gates; i++)
		gate_begin(&s->gate[i], &c->gates[i]);
	begin_tests(s, c);
	return sources_use(s->sources, c, s->gate);
}

int service_gates_use(struct service *s, const struct config *c)
{
	static struct gate fresh[CONF_MAX_GATES];
	const struct config *was = s->conf;

	for (unsigned int i = 0; i < c->n_gates; i++) {
		unsigned int k = 0;

		while (k < was->n_gates && strcmp(was->gates[k].name, c->gates[i].name) != 0)
			k++;
		if (k < was->n_gates)
			fresh[i] = s->gate[k];
		if (k < was->n_gates)
			gate_use(&fresh[i], &c->gates[i]);
		else
			gate_begin(&fresh[i], &c->gates[i]);
	}
	memcpy(s->gate, fresh, sizeof(s->gate));
	if (c->affinity != was->affinity)
		begin_anew(s, c);
	return sources_use(s->sources, c, s->gate);
}

/* ---- the judge ---- */

/* The newest last; what a human has passed over is left out. */
static void feed(struct service *s)
{
	for (unsigned int i = s->window->epochs; i-- > 0;) {
		struct window_both e;

		window_epoch_seen(&s->window->epoch[i], &e);
		if (!e.weighed || e.epoch < s->judged_from || e.epoch < s->window->stage)
			continue;
		for (int t = 0; t < SERVICE_TESTS; t++) {
			struct both b = counted(s->conf, &e, t);

			if (t == SERVICE_SPLIT && e.epoch == s->drained)
				continue;
			if (e.epoch == s->judged_from) {
				b.old -= b.old < s->passed_old[t] ? b.old : s->passed_old[t];
				b.new -= b.new < s->passed_new[t] ? b.new : s->passed_new[t];
			}
			judge_feed(&s->test[t], e.epoch, b.share, b.old, b.new);
		}
	}
}

static void decide(struct service *s)
{
	const struct judge_test *tests[] = {&s->test[SERVICE_FAILURES], &s->test[SERVICE_SLOW]};
	struct judge_rules rules = judge_usual;
	struct judge_input in = {.test = tests, .tests = 2, .all_down = s->view.all_down};
	struct window_sum stage;
	char source[64];

	rules.least = s->conf->rules.min_connections;
	window_since_stage(s->window, &stage);
	in.stage_begun = stage.arm[SHIFT_ARM_NEW].begun;
	in.stage_begun -= in.stage_begun < s->passed_begun ? in.stage_begun : s->passed_begun;
	in.last_10s = window_last_10s(s->window, SHIFT_ARM_NEW);
	in.source = window_source(s->window, rules.source, source, &in.source_share);
	in.split = s->view.epoch == s->drained ? NULL : &s->test[SERVICE_SPLIT];
	in.split_of = by_client(s->conf) ? "clients" : "connections";
	judge_decide(&rules, &in, &s->decision);
	if (!in.split)
		snprintf(s->decision.split.why, sizeof(s->decision.split.why),
			 "not asked at this share: a drain made clients of the new arm come anew");
}

/*
 * Since when there is something bad to see. Of the trip-wire: from the first failure on, but for
 * the few that there always are, a tenth of what trips it.
 */
static void shows_since(struct service *s, unsigned int i, bool bad, uint64_t now)
{
	struct judge_counts c = window_last_10s(s->window, SHIFT_ARM_NEW);

	if (!i)
		bad = s->view.all_down || (double)c.bad > (double)c.n * judge_usual.trip_rate / 10;
	if (!bad)
		s->own_since[i] = 0;
	else if (!s->own_since[i])
		s->own_since[i] = now;
}

static void own_verdict(struct service *s, unsigned int i, const struct judge_finding *f,
			uint64_t now)
{
	static const enum gate_says says[JUDGE_VERDICTS] = {
		[JUDGE_INCONCLUSIVE] = GATE_INCONCLUSIVE,
		[JUDGE_OK] = GATE_OK,
		[JUDGE_PAUSE] = GATE_PAUSE,
		[JUDGE_BACK] = GATE_BACK,
		[JUDGE_ROLLBACK] = GATE_ROLLBACK,
	};
	struct ramp_gate *g = &s->shown[s->conf->n_gates + i];

	memset(g, 0, sizeof(*g));
	snprintf(g->name, sizeof(g->name), "%s", own_names[i]);
	g->verdict.says = says[f->verdict];
	if (f->silent && f->verdict == JUDGE_INCONCLUSIVE)
		g->verdict.says = GATE_OK;
	g->verdict.has_value = isfinite(f->value);
	g->verdict.value = i > 1 ? f->value : 100 * f->value; /* a ratio, or a share in % */
	g->verdict.at = now;
	snprintf(g->verdict.why, sizeof(g->verdict.why), "%s", f->why);
	shows_since(s, i, g->verdict.says > GATE_INCONCLUSIVE, now);
	g->since = g->verdict.says > GATE_INCONCLUSIVE ? s->own_since[i] : 0;
}

/* Of the kernel's counters an ok must be certain; of a source that gives one number it cannot. */
static void be_certain(struct service *s, const struct conf_gate *c, struct gate_verdict *v)
{
	struct judge_rules rules = judge_usual;
	struct judge_finding found;
	struct judge_gate shares;

	if (v->says != GATE_OK || sources_shares(s->window, c, &shares))
		return;
	rules.least = s->conf->rules.min_connections;
	judge_gate(&rules, &shares, &found);
	sources_certain(&found, v);
}

static void show(struct service *s, uint64_t now)
{
	for (unsigned int i = 0; i < s->conf->n_gates; i++) {
		struct gate *g = &s->gate[i];
		struct ramp_gate *to = &s->shown[i];
		double share = s->view.weight / 10000.0;

		gate_share(g, s->conf->gates[i].arm == CONF_ARM_OLD ? 1 - share : share);
		snprintf(to->name, sizeof(to->name), "%s", s->conf->gates[i].name);
		gate_judge(g, now, &to->verdict);
		be_certain(s, &s->conf->gates[i], &to->verdict);
		to->broken_at = gate_broken_at(g);
		to->wants_baseline = gate_wants_baseline(&s->conf->gates[i]);
		to->has_baseline = g->has_baseline;
		to->baseline = g->baseline;
		to->whole = g->whole;
		to->expected = g->has_baseline ? gate_expected(g) : 0;
		to->since = gate_since(g, to->verdict.says);
		to->conf = &s->conf->gates[i];
	}
	own_verdict(s, 0, &s->decision.trip, now);
	own_verdict(s, 1, &s->decision.split, now);
	own_verdict(s, 2, &s->decision.test[0], now);
	own_verdict(s, 3, &s->decision.test[1], now);
	s->view.gates = s->shown;
	s->view.n_gates = s->conf->n_gates + SERVICE_OWN;
}

void service_gates_turn(struct service *s, uint64_t now)
{
	if (s->judge_anew && s->view.attached && s->window->has_last) {
		s->judge_anew = false;
		begin_anew(s, s->conf);
	}
	if (s->id >= 0 && hostlock_drains(s->id))
		s->drained = s->view.epoch;
	feed(s);
	decide(s);
	show(s, now);
}

/* ---- stages ---- */

void service_gates_stage(struct service *s, uint64_t epoch)
{
	window_stage(s->window, epoch);
	s->passed_begun = 0;
	for (unsigned int i = 0; i < s->conf->n_gates; i++)
		gate_restart(&s->gate[i]);
}

/* What the kernel counts of this moment, before it is looked at next, may count twice. */
void service_gates_forgive(struct service *s)
{
	int err = s->open && s->id >= 0 ? telemetry_forget_clients(&s->plane, (uint32_t)s->id) : 0;

	if (err)
		service_say(s, false, "judge: clients that were counted before count no more: %s",
			    strerror(-err));
	begin_anew(s, s->conf);
}

/* A source that gave nothing but zeros is not one to measure a drop by. */
void service_gates_baseline(struct service *s)
{
	for (unsigned int i = 0; i < s->conf->n_gates; i++) {
		const struct conf_gate *conf = &s->conf->gates[i];
		struct gate *g = &s->gate[i];

		if (!gate_wants_baseline(conf))
			continue;
		if (conf->baseline) { /* of both sides: each has its share of it */
			gate_set_baseline(g, (double)conf->baseline, conf->arm != CONF_ARM_SUM);
			continue;
		}
		gate_take_baseline(g);
		if (g->has_baseline && !(g->baseline > 0))
			g->has_baseline = false;
	}
}

/* What was passed over before the restart is not known any more: the comparison begins anew. */
void service_gates_restore(struct service *s, const struct journal_found *found)
{
	s->judge_anew = true;
	for (unsigned int b = 0; b < found->n_baselines; b++) {
		for (unsigned int i = 0; i < s->conf->n_gates; i++) {
			if (!strcmp(s->conf->gates[i].name, found->baseline[b].gate))
				gate_set_baseline(&s->gate[i], found->baseline[b].value,
						  found->baseline[b].whole);
		}
	}
}
