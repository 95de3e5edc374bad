/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sources.c - the gates' numbers, each asked for at its interval
 *
 * Owns the requests and programs under way, one for each gate at most, and the window over the
 * kernel's counters, which is looked at twice a second whatever the gates' intervals are: the
 * trip-wire of the last ten seconds must not wait for one.
 *
 * Promises: every look ends in a number or in a reason, within the gate's interval. An answer that
 * is not there when the next look is due is stale: the look is given up, named, and the next one
 * begins. Nothing waits; nothing a source answers can make the process larger than SOURCE_MAX_JSON
 * and what the parser makes of it.
 *
 * How it fails: always towards "no data", which the gate holds as inconclusive. A kernel that
 * cannot be read, a backend that is not there any more, a user that does not exist: each is a
 * reason.
 *
 * Gates begin a few milliseconds apart, so that many of one interval do not ask in one moment.
 *
 * Weaknesses: two gates with the same URL ask twice. A number is taken to be of the moment when it
 * came; how old it was at its source is not known, and a server that answers from a cache is
 * believed.
 */
#include "userspace/ctl/sources.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/ctl/sources_inner.h"

#define MS    1000000ull
#define APART (20 * MS)

static uint64_t interval_of(const struct source *x)
{
	return x->conf->interval_ms * MS;
}

/* ---- how a look ends ---- */

void source_cancel(struct source *x)
{
	http_cancel(x->call);
	run_cancel(x->run);
	x->call = NULL;
	x->run = NULL;
	x->asked = 0;
}

/* The owner may do anything to us in its callback: nothing is touched behind it. */
static void tell(struct source *x, uint64_t now)
{
	const struct sources_world *world = &x->s->world;

	if (world->seen)
		world->seen(world->arg, x->place, now);
}

static void missed(struct source *x, const char *why, uint64_t now)
{
	x->count.missed++;
	gate_no_data(x->gate, now, why);
}

void source_nothing(struct source *x, const char *why)
{
	uint64_t now = loop_now();

	x->count.took_ns = now - x->asked;
	x->asked = 0;
	missed(x, why, now);
	tell(x, now);
}

void source_number(struct source *x, double value)
{
	uint64_t now = loop_now(), took = now - x->asked;
	char late[32], interval[32], why[SOURCE_WHY];

	x->count.took_ns = took;
	x->asked = 0;
	if (took > interval_of(x)) { /* the loop was held up, or the host slept */
		snprintf(why, sizeof(why),
			 "the answer came after %s, its interval is %s: it is stale",
			 text_duration(took, late),
			 conf_duration_text(x->conf->interval_ms, interval));
		missed(x, why, now);
	} else {
		gate_observe(x->gate, now, value);
	}
	tell(x, now);
}

/* ---- the kernel's ---- */

static void ask_kernel(struct source *x)
{
	const struct sources *s = x->s;
	struct window_number v;
	char why[SOURCE_WHY];

	if (!s->world.look) {
		source_nothing(x, "the kernel's counters are not read here");
	} else if (s->look_err) {
		snprintf(why, sizeof(why), "the kernel's counters cannot be read: %s",
			 s->look_err == -ENOENT ? "nothing is attached"
			 : s->look_err == -ENODATA
				 ? "the attached program does not count answers; apply again"
				 : strerror(-s->look_err));
		source_nothing(x, why);
	} else if (window_value(&s->window, loop_now(), x->conf->kernel, x->conf->arm, &v)) {
		source_nothing(x, v.why);
	} else {
		source_number(x, v.value);
	}
}

static void on_look_due(void *arg, uint64_t now)
{
	struct sources *s = arg;
	struct window_look look;

	loop_timer_set(s->loop, &s->look_due, now + SOURCES_LOOK_NS, on_look_due, s);
	memset(&look, 0, sizeof(look));
	s->look_err = s->world.look(s->world.arg, &look);
	look.at = loop_now();
	if (!s->look_err)
		window_add(&s->window, &look);
	if (s->world.looked)
		s->world.looked(s->world.arg, look.at);
}

/* ---- asking ---- */

static void on_due(void *arg, uint64_t now);

static void ask(struct source *x)
{
	x->asked = loop_now();
	x->tried = 0;
	x->count.looks++;
	switch (x->conf->kind) {
	case CONF_GATE_KERNEL:
		ask_kernel(x);
		break;
	case CONF_GATE_EXEC:
		source_ask_program(x);
		break;
	default:
		source_ask_http(x);
		break;
	}
}

/* The look before has had its time: it is given up, and the next one begins behind the turn. */
static void give_up(struct source *x, uint64_t now)
{
	char interval[32], why[SOURCE_WHY];

	source_cancel(x);
	x->turn++;
	loop_timer_set(x->s->loop, &x->due, now, on_due, x);
	snprintf(why, sizeof(why), "no answer within its interval of %s",
		 conf_duration_text(x->conf->interval_ms, interval));
	missed(x, why, now);
	tell(x, now);
}

static void on_due(void *arg, uint64_t now)
{
	struct source *x = arg;

	if (x->asked) {
		give_up(x, now);
		return;
	}
	loop_timer_set(x->s->loop, &x->due, now + interval_of(x), on_due, x);
	ask(x);
}

void sources_ask(struct sources *s, unsigned int gate)
{
	struct source *x = &s->source[gate];

	if (gate >= s->n || x->asked)
		return;
	loop_timer_set(s->loop, &x->due, loop_now() + interval_of(x), on_due, x);
	ask(x);
}

/* ---- beginning and ending ---- */

static void forget(struct sources *s)
{
	for (unsigned int i = 0; i < s->n; i++) {
		source_cancel(&s->source[i]);
		loop_timer_stop(s->loop, &s->source[i].due);
	}
	loop_timer_stop(s->loop, &s->look_due);
	s->n = 0;
	s->config = NULL;
}

int sources_make(struct loop *l, const struct sources_world *world, struct sources **ret)
{
	struct sources *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->world = *world;
	s->look_err = -EAGAIN;
	window_begin(&s->window, 0, 0);
	err = http_make(l, &s->http);
	if (!err)
		err = runner_make(l, &s->runner);
	if (err) {
		sources_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void sources_free(struct sources *s)
{
	if (!s)
		return;
	forget(s);
	http_free(s->http);
	runner_free(s->runner);
	free(s);
}

static int begin(struct sources *s, unsigned int place, struct gate *gate, uint64_t now)
{
	struct source *x = &s->source[place];

	memset(x, 0, sizeof(*x));
	x->s = s;
	x->place = place;
	x->conf = &s->config->gates[place];
	x->gate = gate;
	if (x->conf->kind == CONF_GATE_EXEC)
		x->user_err = run_user_find(x->conf->user, &x->user);
	return loop_timer_set(s->loop, &x->due, now + place * APART, on_due, x);
}

int sources_use(struct sources *s, const struct config *c, struct gate *gates)
{
	uint64_t now = loop_now();
	int err = 0;

	forget(s);
	if (!c)
		return 0;
	s->config = c;
	window_use(&s->window, c->rules.window_ms * MS, c->rules.min_connections);
	if (s->world.look) /* before the gates that want it */
		err = loop_timer_set(s->loop, &s->look_due, now, on_look_due, s);
	for (unsigned int i = 0; i < c->n_gates && !err; i++) {
		s->n = i + 1;
		err = begin(s, i, &gates[i], now);
	}
	if (err)
		forget(s);
	return err;
}

struct window *sources_window(struct sources *s)
{
	return &s->window;
}

void sources_counts(const struct sources *s, unsigned int gate, struct sources_count *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (gate < s->n)
		*ret = s->source[gate].count;
}
