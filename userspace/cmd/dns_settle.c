/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_settle.c - after a change: until the provider, every authority and the resolvers say it
 *
 * What a provider calls done is no proof of serving, so every authoritative address is asked.
 * Without --wait that is done for a few seconds, and what does not say it yet is named; with --wait
 * until everyone does, the resolvers included. The lock is not held meanwhile: a rollback must get
 * through, and ends the waiting of a cutover.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dns/survey.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/cmd/dns_change.h"

#define SECOND	    1000000000ull
#define LOOK_NS	    (5 * SECOND)   /* without --wait */
#define MARGIN_NS   (120 * SECOND) /* --wait: beside the TTL */
#define PAUSE_NS    (SECOND / 2)
#define RESOLVE_NS  (5 * SECOND) /* resolvers are asked no more often */
#define PROVIDER_NS (2 * SECOND)

struct settle {
	struct change *c;
	struct loop *loop;
	struct dns_survey *survey;
	struct dns_wanted wanted;
	uint64_t deadline, resolvers_at;
	bool resolvers; /* they are asked at all */
};

static void on_time(void *arg, uint64_t now)
{
	(void)now;
	loop_stop(arg, 0);
}

static void rest(struct loop *l, uint64_t ns)
{
	struct loop_timer t = {0};

	if (!loop_timer_set(l, &t, loop_now() + ns, on_time, l))
		loop_run(l);
	loop_timer_stop(l, &t);
}

/* A rollback while a cutover waits. EXIT_OK, or EXIT_OVERTAKEN after saying whose. */
static int overtaken(const struct change *c)
{
	struct dns_snapshot *now = malloc(sizeof(*now));
	int code = EXIT_OK;
	char when[32];

	if (now && !c->back && !c->stateless && !dns_snapshot_load(c->d.dir, c->d.name, now) &&
	    !strcmp(now->verb, "rollback") &&
	    (now->began != c->snap.began || strcmp(c->snap.verb, now->verb))) {
		say("overtaken: dns rollback by %s at %s", now->who,
		    text_time(now->began * SECOND, when));
		code = EXIT_OVERTAKEN;
	}
	free(now);
	return code;
}

/* ---- the provider's own word ---- */

/* 0: all done; 1: not yet; −errno: it cannot say, which was said. */
static int provider_done(struct change *c)
{
	char why[DNS_WHY];

	for (int i = 0; i < 2; i++) {
		struct change_type *t = &c->type[i];
		int err;

		if (!t->tried || t->got != DNS_CHANGED || !t->id[0])
			continue;
		c->seen.provider_asked = true;
		err = dns_provider_done(c->p, t->id, why);
		if (err == -EAGAIN)
			return 1;
		if (err) {
			say("%s does not say whether its servers have it: %s", c->class->title,
			    why);
			return err;
		}
		t->id[0] = '\0';
	}
	return 0;
}

static int await_provider(struct settle *s)
{
	struct change *c = s->c;
	uint64_t pause = PROVIDER_NS;
	int got;

	while ((got = provider_done(c)) == 1) {
		int code = overtaken(c);

		if (code)
			return code;
		if (loop_now() + pause > s->deadline) {
			snprintf(c->seen.why, sizeof(c->seen.why),
				 "%s has not sent it to its servers yet", c->class->title);
			return c->wait ? EXIT_TIMEOUT : EXIT_OK;
		}
		rest(s->loop, pause);
		pause = pause < 10 * SECOND ? pause * 2 : pause;
	}
	c->seen.provider_done = !got && c->seen.provider_asked;
	return EXIT_OK;
}

/* ---- who serves it ---- */

static bool right(const struct change *c, const struct dns_said *said)
{
	return said->verdict == (c->back ? DNS_SAYS_OLD : DNS_SAYS_NEW);
}

static void count_one(struct settle *s, unsigned int i)
{
	struct change_seen *seen = &s->c->seen;
	const struct dns_source *source = &s->survey->source[i];
	const struct dns_said *said = &s->survey->said[i];
	bool is = right(s->c, said), authority = source->kind == DNS_AUTHORITY;
	json_t *j;

	if (!authority && !s->resolvers)
		return;
	j = json_pack("{s:s, s:s, s:s}", "source", source->text, "kind",
		      authority ? "authority" : "resolver", "verdict", dns_verdicts[said->verdict]);
	json_array_append_new(seen->sources, j);
	/* A resolver that cannot be reached from here tells nothing; an authority that cannot is
	 * one that clients may reach. */
	if (said->no_family || (!authority && said->verdict == DNS_SAYS_UNREACHABLE))
		return;
	*(authority ? &seen->authorities : &seen->resolvers) += 1;
	*(authority ? &seen->authorities_right : &seen->resolvers_right) += is;
	if (!is && !seen->why[0])
		snprintf(seen->why, sizeof(seen->why), "%s %.100s: %s%s%.80s",
			 authority ? "authority" : "resolver", source->text,
			 dns_verdicts[said->verdict], said->why[0] ? ", " : "", said->why);
}

/* One look at all of them; true: everyone who has to says it. */
static bool look(struct settle *s)
{
	struct change_seen *seen = &s->c->seen;
	bool resolvers = s->resolvers && loop_now() >= s->resolvers_at;
	struct dns_judged judged;

	if (dns_survey_sweep(s->survey,
			     DNS_SWEEP_AUTHORITIES | (resolvers ? DNS_SWEEP_RESOLVERS : 0)))
		return false;
	if (resolvers)
		s->resolvers_at = loop_now() + RESOLVE_NS;
	dns_survey_judge(s->survey, loop_now(), &judged);
	seen->looked = true;
	seen->authorities = seen->authorities_right = 0;
	seen->resolvers = seen->resolvers_right = 0;
	seen->why[0] = '\0';
	json_decref(seen->sources);
	seen->sources = json_array();
	for (unsigned int i = 0; i < s->survey->n; i++)
		count_one(s, i);
	if (s->resolvers && seen->resolvers) {
		seen->share = judged.share_new;
		seen->share_low = judged.share_low;
		seen->share_high = judged.share_high;
	}
	return seen->authorities && seen->authorities_right == seen->authorities &&
	       (!s->c->wait || seen->resolvers_right == seen->resolvers);
}

static void tell_progress(const struct change *c, uint64_t left)
{
	const struct change_seen *s = &c->seen;
	char a[32];

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%u of %u authorities, %u of %u resolvers; %s left; %.60s",
		s->authorities_right, s->authorities, s->resolvers_right, s->resolvers,
		text_duration(left, a), s->why);
	fflush(stderr);
}

static int await_everyone(struct settle *s)
{
	struct change *c = s->c;

	for (;;) {
		int code;

		c->seen.settled = look(s);
		if (c->seen.settled)
			return EXIT_OK;
		code = overtaken(c);
		if (code)
			return code;
		if (loop_now() + PAUSE_NS >= s->deadline)
			return c->wait ? EXIT_TIMEOUT : EXIT_OK;
		if (c->wait)
			tell_progress(c, s->deadline - loop_now());
		rest(s->loop, PAUSE_NS);
	}
}

/* A type of which nothing is configured is nobody's to say. */
static void set_wanted(struct settle *s)
{
	const struct change *c = s->c;

	s->wanted = c->d.wanted;
	s->wanted.ask_a &= c->type[0].todo != DNS_TODO_NONE;
	s->wanted.ask_aaaa &= c->type[1].todo != DNS_TODO_NONE;
}

static int settle(struct settle *s)
{
	struct change *c = s->c;
	const struct dns_survey_settings set = {
		.conf = &c->d.config->dns,
		.wanted = &s->wanted,
		.name = c->d.name,
		.only_authorities = !s->resolvers,
	};
	int err = dns_survey_make(s->loop, &set, &s->survey), code;

	if (!err)
		err = dns_survey_discover(s->survey, false, c->seen.why);
	if (err) {
		if (!c->seen.why[0])
			snprintf(c->seen.why, sizeof(c->seen.why), "%s", strerror(-err));
		return c->wait ? EXIT_TIMEOUT : EXIT_OK;
	}
	code = await_provider(s);
	if (!code)
		code = await_everyone(s);
	if (c->wait && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	return code;
}

static bool is_proxied(const struct change *c)
{
	for (int i = 0; i < 2; i++)
		for (unsigned int j = 0; j < c->type[i].to.n; j++)
			if (c->type[i].to.member[j].proxied)
				return true;
	return false;
}

int change_settle(struct change *c)
{
	struct settle s = {.c = c, .resolvers = c->wait || c->back};
	uint64_t wait = 2 * c->d.config->dns.ttl_ms * 1000000 + MARGIN_NS;
	int err, code;

	if (is_proxied(c)) {
		snprintf(c->seen.why, sizeof(c->seen.why),
			 "proxied: DNS answers the provider's own addresses, before and after");
		return EXIT_OK;
	}
	err = loop_make(&s.loop);
	if (err) {
		snprintf(c->seen.why, sizeof(c->seen.why), "%s", strerror(-err));
		return c->wait ? EXIT_TIMEOUT : EXIT_OK;
	}
	set_wanted(&s);
	s.deadline = loop_now() + (!c->wait ? LOOK_NS : c->wait_ns ? c->wait_ns : wait);
	code = settle(&s);
	dns_survey_free(s.survey);
	loop_free(s.loop);
	return code;
}
