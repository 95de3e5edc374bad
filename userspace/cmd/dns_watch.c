/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_watch.c - watching a change spread, until all have it
 *
 * Every source is asked once an interval, and one that is slow or dead delays no other. On a
 * terminal there is one live screen, elsewhere a line for each change, with --json an object for
 * each round.
 *
 * The watch ends when all are as wanted: every authority, and every resolver that ever answered
 * here. A control group is then waited for: it is asked once, when the last cache should have
 * forgotten, and tells how good the prediction was where nobody polled. One that still has the old
 * value then is watched like the others.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns/store.h"
#include "dns/survey.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/base/fullscreen.h"
#include "userspace/cmd/dns_verbs.h"
#include "userspace/cmd/dns_watch_show.h"

#define S		 1000000000ull
#define DEFAULT_INTERVAL (5 * S)
#define LEAST_INTERVAL	 S /* nobody's resolver is asked faster */
#define KEEP_EVERY	 (60 * S)
#define CONTROL		 4 /* one in so many is held back */
#define TRIES		 2

struct watch {
	struct dns_watching show;
	struct loop *loop;
	struct dns_store *store;
	struct fullscreen screen;
	struct loop_timer ask, tick, deadline;
	uint64_t kept;	   /* when what was seen was put on disk */
	bool asked, shown; /* questions were put; shown since the last of them */
};

/* ---- what ends it ---- */

/* A resolver that never answered here, as one that is closed to this host, says nothing. */
static bool never_answered(const struct dns_survey *s, unsigned int i)
{
	for (unsigned int k = 0; k < s->source[i].n_samples; k++)
		if (s->source[i].sample[k].outcome == DNS_ANSWERED)
			return false;
	return true;
}

static bool all_as_wanted(const struct watch *w, bool control)
{
	const struct dns_survey *s = w->show.s;
	enum dns_verdict wanted = w->show.rules->expect_new ? DNS_SAYS_NEW : DNS_SAYS_OLD;
	unsigned int good = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		const struct dns_said *said = &s->said[i];

		if (!dns_survey_asked(s, i) || said->no_family ||
		    (s->source[i].control && !control))
			continue;
		if (!said->samples && dns_survey_open(s, i))
			return false; /* its first answer is still to come */
		if (said->verdict == wanted)
			good++;
		else if (s->source[i].kind == DNS_AUTHORITY || !never_answered(s, i))
			return false;
	}
	return good > 0;
}

static void end(struct watch *w, enum dns_ended how)
{
	w->show.ended = how;
	loop_stop(w->loop, 0);
}

static void count_control(struct watch *w)
{
	enum dns_verdict wanted = w->show.rules->expect_new ? DNS_SAYS_NEW : DNS_SAYS_OLD;
	const struct dns_survey *s = w->show.s;

	w->show.control_good = w->show.control_n = 0;
	for (unsigned int i = 0; i < s->n; i++) {
		if (!s->source[i].control || !s->said[i].samples)
			continue;
		w->show.control_n++;
		w->show.control_good += s->said[i].verdict == wanted;
	}
}

/* True once the control group has said what it has to say. */
static bool control_is_done(struct watch *w, uint64_t now)
{
	const struct dns_prediction *p = &w->show.s->prediction;

	if (!w->show.held)
		return true;
	if (w->show.control_asked)
		return true;
	if (p->known && now < p->late)
		return false;
	dns_survey_ask(w->show.s, DNS_SWEEP_CONTROL, NULL, NULL);
	w->show.control_asked = true;
	return false;
}

/* ---- a look ---- */

static void show(struct watch *w)
{
	struct dns_watching *k = &w->show;

	if (k->o->json) {
		dns_watch_json(k, stdout);
		fflush(stdout);
	} else if (w->screen.on) {
		char *text = NULL;
		size_t size;
		FILE *to = open_memstream(&text, &size);

		if (!to)
			return;
		dns_watch_frame(k, to);
		fclose(to);
		if (!fullscreen_draw(text))
			end(w, DNS_USER_ENDED);
		free(text);
	} else {
		dns_watch_lines(k, stdout);
		fflush(stdout);
	}
}

static void see(struct watch *w)
{
	struct dns_watching *k = &w->show;

	k->now = loop_now();
	dns_survey_judge(k->s, k->now, &k->j);
	dns_watch_remember(k);
	if (k->control_asked && !k->control_n && !dns_survey_busy(k->s))
		count_control(w);
}

static void look(struct watch *w, bool draw)
{
	struct dns_watching *k = &w->show;

	w->shown |= draw;
	see(w);
	if (draw)
		show(w);
	if (k->ended || !k->rules->until || !all_as_wanted(w, true) || !control_is_done(w, k->now))
		return;
	if (!dns_survey_busy(k->s) || !k->control_asked)
		end(w, DNS_ALL_AS_WANTED);
}

static void on_changed(void *arg, struct dns_survey *s, unsigned int source)
{
	struct watch *w = arg;

	(void)source;
	if (!dns_survey_busy(s))
		look(w, !w->screen.on);
}

static void on_ask(void *arg, uint64_t now)
{
	struct watch *w = arg;
	unsigned int what = DNS_SWEEP_ALL;

	/* A source that is still waited for must not hold back what the others said. */
	if (!w->shown && w->asked)
		look(w, true);
	w->shown = false;
	w->asked = true;
	if (w->show.control_asked)
		what |= DNS_SWEEP_CONTROL;
	if (dns_survey_ask(w->show.s, what, on_changed, w) < 0)
		say("dns watch: not every source could be asked");
	loop_timer_set(w->loop, &w->ask, now + w->show.interval_ns, on_ask, w);
}

static int keep(struct watch *w)
{
	int err = dns_store_take(w->store, w->show.s);

	w->kept = loop_now();
	return err ? err : dns_store_save(w->store, w->show.d->dir);
}

/* The screen counts seconds; where lines are written a dead source must not hold up the others. */
static void on_tick(void *arg, uint64_t now)
{
	struct watch *w = arg;

	look(w, !w->show.o->json);
	if (now > w->kept + KEEP_EVERY)
		keep(w); /* the end says whether it can be done at all */
	loop_timer_set(w->loop, &w->tick, now + S, on_tick, w);
}

static void on_deadline(void *arg, uint64_t now)
{
	struct watch *w = arg;

	(void)now;
	see(w);
	/* Perhaps only the control group was waited for: it counts if it has answered. */
	end(w, w->show.rules->until && all_as_wanted(w, w->show.control_n > 0) ? DNS_ALL_AS_WANTED
									       : DNS_TIME_IS_UP);
}

static void on_signal(void *arg, int number)
{
	struct watch *w = arg;

	if (number == SIGWINCH)
		show(w);
	else
		end(w, DNS_USER_ENDED);
}

static void on_key(void *arg, int fd, unsigned int ready)
{
	struct watch *w = arg;
	char c;

	(void)ready;
	if (read(fd, &c, 1) != 1)
		loop_unwatch(w->loop, fd);
	else if (c == 'q' || c == 'Q' || c == 3) /* Ctrl-C */
		end(w, DNS_USER_ENDED);
}

/* ---- its life ---- */

static int prepare(struct watch *w, char why[256])
{
	struct dns_watching *k = &w->show;
	const struct dns_watch_rules *r = k->rules;
	struct dns_survey_settings set = {
		.conf = &k->d->config->dns,
		.wanted = &k->d->wanted,
		.name = k->d->name,
		.samples = r->samples ? r->samples : 1,
		.control = r->control,
		.tries = TRIES,
		.back = !r->expect_new,
		.subnet_family = r->subnet_family,
		.subnet_bits = r->subnet_bits,
	};
	bool damaged;
	int err;

	memcpy(set.subnet, r->subnet, sizeof(set.subnet));
	err = dns_survey_make(w->loop, &set, &k->s);
	if (!err)
		err = dns_store_open(k->d->dir, k->d->name, &k->d->wanted, &w->store, &damaged);
	if (err) {
		snprintf(why, 256, "%s", strerror(-err));
		return err;
	}
	if (damaged)
		say("%s/seen.json cannot be read: it is begun anew", k->d->dir);
	err = dns_survey_discover(k->s, false, why);
	if (err == -ENOENT) {
		say("%s; dns.authorities can name them", why);
		err = 0;
	}
	dns_store_give(w->store, k->s);
	for (unsigned int i = 0; i < k->s->n; i++)
		k->held += k->s->source[i].control;
	return err;
}

static int begin(struct watch *w)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
	struct dns_watching *k = &w->show;
	uint64_t now = loop_now();
	int err = 0;

	k->began = k->now = w->kept = now;
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals) && !err; i++)
		err = loop_signal(w->loop, signals[i], on_signal, w);
	if (!err)
		err = loop_timer_set(w->loop, &w->ask, now, on_ask, w);
	if (!err)
		err = loop_timer_set(w->loop, &w->tick, now + S, on_tick, w);
	if (!err && k->rules->timeout_ns)
		err = loop_timer_set(w->loop, &w->deadline, now + k->rules->timeout_ns, on_deadline,
				     w);
	if (!err && !k->o->json && fullscreen_enter(&w->screen) && w->screen.raw)
		err = loop_watch(w->loop, STDIN_FILENO, LOOP_READ, on_key, w);
	return err;
}

static int finish(struct watch *w)
{
	struct dns_watching *k = &w->show;
	int err;

	fullscreen_leave(&w->screen);
	if (k->o->json)
		dns_watch_json(k, stdout);
	else
		dns_watch_farewell(k, stdout);
	err = keep(w);
	if (err)
		say("%s/seen.json: %s: predictions begin anew with the next look", k->d->dir,
		    strerror(-err));
	if (k->ended == DNS_ALL_AS_WANTED)
		return EXIT_OK;
	return k->ended == DNS_TIME_IS_UP || k->rules->until ? EXIT_TIMEOUT : EXIT_OK;
}

static int watch(const struct options *o, struct dns_command *d,
		 const struct dns_watch_rules *rules)
{
	struct watch *w = calloc(1, sizeof(*w));
	char why[256] = "";
	int err = w ? loop_make(&w->loop) : -ENOMEM, code = EXIT_FAILED;

	if (!err) {
		w->show.o = o;
		w->show.d = d;
		w->show.rules = rules;
		w->show.interval_ns = rules->interval_ns ? rules->interval_ns : DEFAULT_INTERVAL;
		err = prepare(w, why);
	}
	if (!err)
		err = begin(w);
	if (!err)
		err = loop_run(w->loop);
	if (w)
		fullscreen_leave(&w->screen);
	if (err)
		say("dns watch: %s", why[0] ? why : strerror(-err));
	else
		code = finish(w);
	if (w) {
		dns_store_free(w->store);
		dns_survey_free(w->show.s);
		loop_free(w->loop);
	}
	free(w);
	return code;
}

/* ---- the verb ---- */

static int take_duration(const char *name, const char *value, uint64_t least, uint64_t *ret)
{
	char a[32];

	if (text_parse_duration(value, ret) || *ret < least)
		return usage_error("%s=%s: must be a duration of %s or more", name, value,
				   text_duration(least, a));
	return 0;
}

static int take_control(const char *value, unsigned int *ret)
{
	char *rest;
	unsigned long n = strtoul(value, &rest, 10);

	if (*value < '0' || *value > '9' || *rest || n > DNS_MAX_SOURCES)
		return usage_error("--control=%s: one resolver in how many is held back (0: none)",
				   value);
	*ret = (unsigned int)n;
	return 0;
}

int dns_watch(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--interval=", "--until=",	 "--timeout=", "--samples=",
					    "--subnet=",   "--control=", NULL};
	struct dns_watch_rules r = {.expect_new = true, .control = CONTROL};
	struct dns_command d;
	const char *value;
	int at = 1, what, code;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		int err = what == -3 ? -EINVAL : 0;

		if (what == -1)
			err = usage_error("dns watch takes no argument, not '%s'", value);
		if (what == 0)
			err = take_duration("--interval", value, LEAST_INTERVAL, &r.interval_ns);
		if (what == 1) {
			r.until = true;
			err = dns_take_expect(value, &r.expect_new);
		}
		if (what == 2)
			err = take_duration("--timeout", value, 1, &r.timeout_ns);
		if (what == 3)
			err = dns_take_samples(value, &r.samples);
		if (what == 4)
			err = dns_take_subnet(value, &r.subnet_family, &r.subnet_bits, r.subnet);
		if (what == 5)
			err = take_control(value, &r.control);
		if (err)
			return EXIT_USAGE;
	}
	code = dns_open(o, &d, EXIT_USAGE);
	if (code)
		return code;
	code = watch(o, &d, &r);
	dns_close(&d);
	return code;
}
