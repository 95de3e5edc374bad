/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * checks.c - asks the old arm and every backend whether they are well, and tells the data plane
 *
 * Owns the checks of one configuration: for each address of each arm a machine (health.h), a timer
 * and at most one question under way (ask.h). A backend's addresses are those that the data plane
 * has, read once a second, so what `apply` or a changed name (follow.h) brings is asked from the
 * next second on; where nothing is attached, those that the configuration names.
 *
 * Promises: nothing here waits. A verdict is written within one turn of the loop of the look that
 * brought it, and 50 ms later when somebody else is writing (`apply` may take a second); it says
 * until when it means something, so what this process no longer asks counts as usable again. What
 * was written by one before goes on until it expires or is known anew. After commit the last ones
 * of a family are never written down, and that is an alarm. Only changes are said.
 *
 * Fails towards serving: a check that cannot be asked at all (memory) changes no verdict.
 *
 * Weakness: a backend that is checked by URL at several addresses is up while one of them is.
 */
#include "userspace/ctl/checks_inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "userspace/ctl/lookup.h"
#include "userspace/net/http.h"

#define MS     1000000ull
#define SECOND 1000000000ull
#define LOOK   SECOND	     /* between two looks at the data plane */
#define NAMES  (30 * SECOND) /* between two look-ups of a name that a check has of its own */

static uint32_t next_random(struct ctl_checks *k)
{
	k->random = shift_mix(k->random + 1);
	return (uint32_t)k->random;
}

static const char *arm_text(const struct arm *a, char ret[64])
{
	snprintf(ret, 64, "%s%s", a->old ? "" : "backend ", a->old ? "the old arm" : a->name);
	return ret;
}

/* ---- asking ---- */

static void on_time(void *arg, uint64_t now);

static void tell_place(const struct endpoint *e, uint64_t now)
{
	char text[300], name[64], at[64];

	checks_tell(e->arm->k, false, "%s (%s): %s", arm_text(e->arm, name),
		    ctl_place_text(&e->at, at),
		    ctl_health_change_text(&e->h, now, text, sizeof(text)));
}

/* The arm as a whole, from its addresses. True: it is another now. */
static bool judge(struct arm *a, const struct endpoint *by, uint64_t now)
{
	static const struct ctl_health_rules at_once = {.rise = 1, .fall = 1};
	enum ctl_health_state all[CTL_PLACES], to;
	char text[300], name[64];
	unsigned int n = 0;

	for (const struct endpoint *e = a->list; e && n < CTL_PLACES; e = e->next)
		all[n++] = e->h.state;
	to = ctl_health_any(all, n);
	if (to == CTL_HEALTH_UNKNOWN || to == a->whole.state) {
		if (by && by->h.state == a->whole.state)
			snprintf(a->whole.reason, sizeof(a->whole.reason), "%s", by->h.reason);
		return false;
	}
	ctl_health_note(&a->whole, &at_once, to == CTL_HEALTH_UP,
			by ? by->h.reason : "addresses changed", now);
	if (n > 1)
		checks_tell(a->k, false, "%s: %s", arm_text(a, name),
			    ctl_health_change_text(&a->whole, now, text, sizeof(text)));
	return true;
}

static void note(struct endpoint *e, bool ok, const char *reason)
{
	uint64_t now = loop_now();
	bool changed = ctl_health_note(&e->h, &e->arm->rules, ok, reason, now);

	if (changed)
		tell_place(e, now);
	changed |= judge(e->arm, e, now);
	loop_timer_set(e->arm->k->loop, &e->timer,
		       ctl_health_next(&e->h, &e->arm->rules, now, next_random(e->arm->k)), on_time,
		       e);
	checks_act(e->arm->k);
}

static void on_answer(void *arg, const struct ctl_answer *a)
{
	struct endpoint *e = arg;

	e->ask = NULL;
	note(e, a->ok, a->reason);
}

static void on_time(void *arg, uint64_t now)
{
	struct endpoint *e = arg;
	struct ctl_checks *k = e->arm->k;

	if (ctl_ask_begin(k->loop, k->http, e->arm->c, &e->at, on_answer, e, &e->ask))
		loop_timer_set(k->loop, &e->timer, now + SECOND, on_time, e);
}

/* ---- addresses come and go ---- */

static void drop(struct ctl_checks *k, struct endpoint *e)
{
	ctl_ask_cancel(e->ask);
	loop_timer_stop(k->loop, &e->timer);
	free(e);
}

static struct endpoint *find(const struct arm *a, const struct ctl_place *at)
{
	for (struct endpoint *e = a->list; e; e = e->next)
		if (ctl_place_same(&e->at, at))
			return e;
	return NULL;
}

static int add(struct arm *a, const struct ctl_place *at)
{
	struct ctl_checks *k = a->k;
	struct endpoint *e = calloc(1, sizeof(*e));
	uint64_t now = loop_now();

	if (!e)
		return -ENOMEM;
	e->arm = a;
	e->at = *at;
	e->wanted = true;
	ctl_health_init(&e->h, &a->rules, now);
	e->next = a->list;
	a->list = e;
	/* Not all in the same moment. */
	return loop_timer_set(k->loop, &e->timer,
			      now + a->rules.fast_ns / 1000 * (next_random(k) % 1000), on_time, e);
}

static int set_places(struct arm *a)
{
	struct ctl_place list[CTL_PLACES];
	unsigned int n = a->c->given ? ctl_ask_places(a->c, a->old, a->at, a->n_at, list) : 0;
	bool changed = false;
	int err = 0;

	if (a->b)
		ctl_ask_source(list, n, a->k->conf->nat, a->k->conf->n_nat);
	for (struct endpoint *e = a->list; e; e = e->next)
		e->wanted = false;
	for (unsigned int i = 0; i < n; i++) {
		struct endpoint *e = find(a, &list[i]);

		if (e)
			e->wanted = true;
		else if (add(a, &list[i]))
			err = -ENOMEM;
	}
	for (struct endpoint **at = &a->list, *e; (e = *at);) {
		if (e->wanted) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		drop(a->k, e);
		changed = true;
	}
	if (changed)
		judge(a, NULL, loop_now());
	if (a->c->given && !a->list && a->whole.state == CTL_HEALTH_UNKNOWN)
		snprintf(a->whole.reason, sizeof(a->whole.reason),
			 "its addresses are not known yet");
	return err;
}

static void on_name_time(void *arg, uint64_t now);

static void on_name(void *arg, int err, const struct resolved *r)
{
	struct arm *a = arg;

	a->lookup = NULL;
	loop_timer_set(a->k->loop, &a->names, loop_now() + NAMES, on_name_time, a);
	if (err)
		return; /* those of before are asked */
	a->n_at = 0;
	for (unsigned int i = 0; i < r->n && i < CTL_PLACES; i++) {
		struct ctl_place *p = &a->at[a->n_at++];

		*p = (struct ctl_place){.port = a->c->tcp.port};
		memcpy(p->address, r->address[i], sizeof(p->address));
	}
	set_places(a);
	checks_act(a->k);
}

static void on_name_time(void *arg, uint64_t now)
{
	struct arm *a = arg;

	if (!a->lookup && ctl_lookup_begin(a->k->loop, ctl_ask_name(a->c, a->b ? a->b->host : ""),
					   on_name, a, &a->lookup))
		loop_timer_set(a->k->loop, &a->names, now + NAMES, on_name_time, a);
}

/* ---- the data plane ---- */

static void close_plane(struct ctl_checks *k)
{
	if (k->open)
		plane_close(&k->plane);
	k->open = false;
	k->n_seen = 0;
}

static void open_plane(struct ctl_checks *k)
{
	struct shift_service svc;
	int err;

	close_plane(k);
	err = plane_find(&k->plane);
	k->service = err ? err : plane_service_by_name(&k->plane, k->conf->service);
	k->open = k->service >= 0 && !checks_plane_read(&k->plane, k->service, k->seen, &k->n_seen);
	if (!k->open) {
		k->n_seen = 0;
		plane_close(&k->plane);
	} else if (!plane_service(&k->plane, (uint32_t)k->service, &svc)) {
		k->old_health = svc.old_health;
		k->old_until = svc.old_until;
	}
}

static void learn_places(struct arm *a)
{
	const struct checks_seen *s = a->b ? checks_seen_of(a->k, a) : NULL;

	if (!a->b) {
		a->n_at = ctl_ask_listeners(a->k->conf->listens, a->k->conf->n_listens, a->at);
	} else if (s) {
		a->n_at = s->n;
		memcpy(a->at, s->at, sizeof(a->at));
	} else if (a->b->address.family) {
		a->n_at = 1;
		a->at[0] = (struct ctl_place){.port = a->b->port};
		memcpy(a->at[0].address, a->b->address.ip, sizeof(a->at[0].address));
	}
}

static void on_look(void *arg, uint64_t now)
{
	struct ctl_checks *k = arg;

	k->looked = now;
	loop_timer_set(k->loop, &k->look, now + LOOK, on_look, k);
	open_plane(k);
	for (unsigned int i = 0; i <= k->n; i++) {
		struct arm *a = &k->arms[i];

		if (a->c->given && ctl_ask_name(a->c, a->b ? a->b->host : ""))
			continue;
		learn_places(a);
		set_places(a);
	}
	checks_act(k);
}

/* ---- the configuration ---- */

/* Does an answer to the one mean what it does to the other? */
static bool same_check(const struct conf_health *a, const struct conf_health *b)
{
	if (a->given != b->given || strcmp(a->http.text, b->http.text) ||
	    strcmp(a->tcp.text, b->tcp.text) || strcmp(a->field, b->field) ||
	    strcmp(a->equals, b->equals) || strcmp(a->ca_file, b->ca_file) ||
	    a->n_expect != b->n_expect)
		return false;
	for (unsigned int i = 0; i < a->n_expect; i++)
		if (a->expect[i].status != b->expect[i].status)
			return false;
	return true;
}

static void free_arms(struct ctl_checks *k, struct arm *arms, unsigned int n)
{
	for (unsigned int i = 0; arms && i <= n; i++) {
		ctl_lookup_cancel(arms[i].lookup);
		loop_timer_stop(k->loop, &arms[i].names);
		for (struct endpoint *e = arms[i].list, *next; e; e = next) {
			next = e->next;
			drop(k, e);
		}
	}
	free(arms);
}

/* What was known of the arm goes on, but for questions under way. */
static void inherit(struct ctl_checks *k, struct arm *to, struct arm *from)
{
	to->whole = from->whole;
	to->breaker = from->breaker;
	to->held = from->held;
	to->n_at = from->n_at;
	memcpy(to->at, from->at, sizeof(to->at));
	to->list = from->list;
	from->list = NULL;
	for (struct endpoint *e = to->list; e; e = e->next) {
		ctl_ask_cancel(e->ask);
		e->ask = NULL;
		e->arm = to;
		loop_timer_set(k->loop, &e->timer, loop_now() + next_random(k) % 100 * MS, on_time,
			       e);
	}
}

static void make_arm(struct ctl_checks *k, struct arm *a, const struct conf_backend *b,
		     const struct conf_health *c)
{
	static const struct ctl_health_rules at_once = {.rise = 1, .fall = 1};

	a->k = k;
	a->b = b;
	a->old = !b;
	a->c = c;
	a->was = *c;
	snprintf(a->name, sizeof(a->name), "%s", b ? b->name : "old");
	ctl_health_rules(c, &a->rules);
	ctl_health_init(&a->whole, &at_once, loop_now());
	if (!c->given)
		snprintf(a->whole.reason, sizeof(a->whole.reason), "no check is configured");
	for (unsigned int i = 0; k->arms && i <= k->n; i++)
		if (k->arms[i].old == a->old && !strcmp(k->arms[i].name, a->name) &&
		    same_check(&k->arms[i].was, c))
			inherit(k, a, &k->arms[i]);
	if (c->given && ctl_ask_name(c, b ? b->host : ""))
		loop_timer_set(k->loop, &a->names, loop_now(), on_name_time, a);
}

int ctl_checks_use(struct ctl_checks *k, const struct config *c)
{
	struct arm *arms = calloc(c->n_backends + 1, sizeof(*arms));

	if (!arms)
		return -ENOMEM;
	for (unsigned int i = 0; i < c->n_backends; i++)
		make_arm(k, &arms[i], &c->backends[i], &c->backends[i].health);
	make_arm(k, &arms[c->n_backends], NULL, &c->old_health);
	free_arms(k, k->arms, k->n);
	k->arms = arms;
	k->n = c->n_backends;
	k->conf = c;
	return loop_timer_set(k->loop, &k->look, loop_now(), on_look, k);
}

int ctl_checks_make(struct loop *l, ctl_checks_say say, void *arg, struct ctl_checks **ret)
{
	struct ctl_checks *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return -ENOMEM;
	k->loop = l;
	k->say = say;
	k->arg = arg;
	k->looked = loop_now();
	if (getrandom(&k->random, sizeof(k->random), 0) < 0)
		k->random = loop_now();
	err = http_make(l, &k->http);
	if (err) {
		free(k);
		return err;
	}
	*ret = k;
	return 0;
}

void ctl_checks_free(struct ctl_checks *k)
{
	if (!k)
		return;
	free_arms(k, k->arms, k->n);
	loop_timer_stop(k->loop, &k->look);
	loop_timer_stop(k->loop, &k->again);
	http_free(k->http);
	close_plane(k);
	free(k);
}
