/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns.c - the daemon's eye on DNS
 *
 * It owns a survey (dns/survey.h), asks at a pace of its own, and decides nothing: the dashboard
 * shows what it saw, and dns_keep.c acts on it.
 *
 * The pace. Asking disturbs: a resolver that is asked after its entry has expired loads what the
 * authority gives at that moment, so one who polls just before a flip fills caches with the old
 * answer that nobody would have had. Authorities have no cache and are asked once a minute (every
 * five seconds while a share is kept by it). Resolvers are asked at the beginning, then every ten
 * minutes for as long as nothing moves; and every five seconds, as all are, from the moment that
 * any authority or cache gives a new address until all do. After that, once a minute. A change that
 * `dns cutover` makes on this host is seen at once, by the file that it leaves.
 *
 * Between two rounds nothing has to be asked to know what a cache does: it said itself for how long
 * it holds what it has. Once every authority gives the new answer, a cache whose time is over
 * counts as one that has it.
 *
 * Authorities that are not configured are found by a child process, because that takes as long as
 * the slowest name server of a delegation; each hour anew.
 *
 * Weaknesses: what it saw is not written to disk (dns check and dns watch do that; what those kept
 * is read at the beginning). The resolvers that are asked are not those that the clients use,
 * unless the configuration names those. A cache that serves expired answers counts as new before it
 * is.
 */
#include "userspace/ctl/dns.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dns/store.h"
#include "userspace/base/loop.h"
#include "userspace/conf/config.h"
#include "userspace/ctl/dns_find.h"
#include "userspace/plane/state.h"

#define SECOND UINT64_C(1000000000)
#define QUICK  (5 * SECOND)
#define SLOW   (60 * SECOND)
#define SELDOM (600 * SECOND)  /* resolvers, before anything moved */
#define AGAIN  (3600 * SECOND) /* the delegation */
#define RETRY  (60 * SECOND)
#define TRIES  2

struct ctl_dns {
	struct loop *loop;
	ctl_dns_say say;
	void *arg;
	const struct config *config; /* NULL: nothing is watched */
	struct conf_dns dns;	     /* with the authorities that were found */
	struct dns_wanted wanted;
	char name[DNS_NAME];
	char dir[192];
	struct dns_survey *survey;
	struct dns_judged judged;
	uint64_t judged_at; /* 0: nothing was heard */
	uint64_t new_since; /* every authority gives the new answer; 0: not yet */
	uint64_t authorities_at, resolvers_at;
	bool hurry;
	int folder;	       /* where commands leave what they change; inotify's, or -1 */
	bool touched;	       /* one did since authorities were asked */
	struct dns_find *find; /* under way */
	uint64_t find_at;      /* not before */
	struct dns_found found;
	struct loop_timer tick;
	char why[256], said[256];
};

/* ---- pure ---- */

static bool is_due(uint64_t at, uint64_t every, uint64_t now)
{
	return !at || now >= at + every;
}

unsigned int ctl_dns_due(const struct ctl_dns_pace *p, uint64_t now)
{
	bool moves = p->heard && p->state == DNS_STATE_MIXED;
	uint64_t authorities = moves || p->hurry ? QUICK : SLOW, resolvers = SLOW;

	if (moves)
		resolvers = QUICK;
	else if (p->heard && p->state == DNS_STATE_OLD)
		resolvers = SELDOM;
	return (p->touched || is_due(p->authorities_at, authorities, now) ? DNS_SWEEP_AUTHORITIES
									  : 0) |
	       (is_due(p->resolvers_at, resolvers, now) ? DNS_SWEEP_RESOLVERS : 0);
}

/* A new address is among what it answers. */
static bool gives_new(const struct dns_said *said)
{
	return said->verdict == DNS_SAYS_NEW || said->verdict == DNS_SAYS_MIXED;
}

static bool gives_old(const struct dns_said *said)
{
	return said->verdict == DNS_SAYS_OLD || said->verdict == DNS_SAYS_STALE;
}

bool ctl_dns_all_new(const struct dns_source *s, const struct dns_said *said, unsigned int n)
{
	unsigned int fresh = 0, others = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (s[i].kind != DNS_AUTHORITY)
			continue;
		fresh += said[i].verdict == DNS_SAYS_NEW;
		others += said[i].verdict == DNS_SAYS_MIXED || gives_old(&said[i]);
	}
	return fresh && !others;
}

double ctl_dns_caches(const struct dns_source *s, const struct dns_said *said,
		      const struct dns_cache_seen *cache, unsigned int n, uint64_t new_since,
		      uint64_t now, double *ret_n)
{
	double k = 0;

	*ret_n = 0;
	for (unsigned int i = 0; i < n; i++) {
		unsigned int caches = said[i].caches ? said[i].caches : 1;
		bool over = new_since && said[i].verdict == DNS_SAYS_OLD &&
			    cache[i].expires >= new_since && now >= cache[i].expires;

		if (s[i].kind != DNS_RESOLVER || isnan(said[i].share_new))
			continue;
		*ret_n += caches;
		k += over ? caches : said[i].share_new * caches;
	}
	return k;
}

/* ---- the survey ---- */

static void judge(struct ctl_dns *d)
{
	bool heard = false;

	for (unsigned int i = 0; i < d->survey->n && !heard; i++)
		heard = d->survey->source[i].n_samples && dns_survey_asked(d->survey, i) &&
			!dns_survey_open(d->survey, i);
	if (!heard)
		return;
	d->judged_at = loop_now();
	dns_survey_judge(d->survey, d->judged_at, &d->judged);
	if (!ctl_dns_all_new(d->survey->source, d->survey->said, d->survey->n))
		d->new_since = 0;
	else if (!d->new_since)
		d->new_since = d->judged_at;
}

static void on_changed(void *arg, struct dns_survey *s, unsigned int source)
{
	(void)source;
	if (!dns_survey_busy(s))
		judge(arg);
}

/* What earlier runs of the commands saw; nothing is lost without it. */
static void recall(struct ctl_dns *d)
{
	struct dns_store *store;
	bool damaged;

	if (dns_store_open(d->dir, d->name, &d->wanted, &store, &damaged))
		return;
	dns_store_give(store, d->survey);
	dns_store_free(store);
}

static int open_survey(struct ctl_dns *d)
{
	const struct dns_survey_settings set = {
		.conf = &d->dns, .wanted = &d->wanted, .name = d->name, .tries = TRIES};
	int err = dns_survey_make(d->loop, &set, &d->survey);

	if (err)
		return err;
	for (unsigned int i = 0; i < d->survey->n_authorities && i < d->found.n; i++)
		snprintf(d->survey->source[i].ns, sizeof(d->survey->source[i].ns), "%s",
			 d->found.server[i].ns);
	recall(d);
	return 0;
}

static void close_survey(struct ctl_dns *d)
{
	dns_survey_free(d->survey);
	d->survey = NULL;
	d->judged_at = d->new_since = d->authorities_at = d->resolvers_at = 0;
}

/* ---- who the authorities are ---- */

static void tell(struct ctl_dns *d, const char *text)
{
	snprintf(d->why, sizeof(d->why), "%s", text);
	if (!text[0] || !strcmp(d->said, text))
		return;
	snprintf(d->said, sizeof(d->said), "%s", text);
	d->say(d->arg, text);
}

static void take_found(struct ctl_dns *d)
{
	d->dns.n_authorities = d->found.n;
	for (unsigned int i = 0; i < d->found.n; i++) {
		struct conf_server *to = &d->dns.authorities[i];
		const struct dns_found_server *is = &d->found.server[i];

		*to = (struct conf_server){.transport = CONF_UDP, .port = 53};
		to->address.family = is->family;
		memcpy(to->address.ip, is->ip, sizeof(to->address.ip));
		snprintf(to->text, sizeof(to->text), "%s", is->text);
	}
}

/* false: it goes on, or failed a moment ago. */
static bool find_authorities(struct ctl_dns *d, uint64_t now)
{
	struct dns_found found;
	char text[256];
	int err;

	if (d->config->dns.n_authorities || (d->survey && now < d->find_at))
		return true;
	if (!d->find && now >= d->find_at) {
		err = dns_find_begin(&d->config->dns, &d->wanted, d->name, now, &d->find);
		if (err)
			d->find_at = now + RETRY;
	}
	if (!d->find || !dns_find_done(d->find, now, &found))
		return d->survey != NULL;
	dns_find_end(d->find);
	d->find = NULL;
	d->find_at = now + (found.n ? AGAIN : RETRY);
	if (!found.n) {
		snprintf(text, sizeof(text), "dns: no authority of %.100s is found (%.120s)",
			 d->config->dns.name, found.why);
		tell(d, text);
		return d->survey != NULL;
	}
	tell(d, "");
	if (d->survey && !memcmp(&found, &d->found, sizeof(found)))
		return true;
	d->found = found;
	take_found(d);
	close_survey(d);
	return true;
}

/* ---- the tick ---- */

/* A command wrote what it is about to change, or that it has. Nothing is read for that: a disk that
 * hangs must not hold the loop. */
static void on_file(void *arg, int fd, unsigned int ready)
{
	struct ctl_dns *d = arg;
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	(void)ready;
	while ((n = read(fd, events, sizeof(events))) > 0) {
		for (char *at = events; at < events + n;) {
			const struct inotify_event *e = (const struct inotify_event *)at;

			d->touched |= e->len && !strncmp(e->name, "change-", 7);
			at += sizeof(*e) + e->len;
		}
	}
}

/* Without it a change is seen when the authorities are asked next. */
static void watch_folder(struct ctl_dns *d)
{
	char above[192];

	snprintf(above, sizeof(above), "%.*s", (int)(strrchr(d->dir, '/') - d->dir), d->dir);
	mkdir(above, 0700);
	mkdir(d->dir, 0700);
	d->folder = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (d->folder >= 0 && inotify_add_watch(d->folder, d->dir, IN_MOVED_TO) >= 0 &&
	    !loop_watch(d->loop, d->folder, LOOP_READ, on_file, d))
		return;
	if (d->folder >= 0)
		close(d->folder);
	d->folder = -1;
}

static void leave_folder(struct ctl_dns *d)
{
	if (d->folder >= 0) {
		loop_unwatch(d->loop, d->folder);
		close(d->folder);
	}
	d->folder = -1;
	d->touched = false;
}

static void tick(void *arg, uint64_t now)
{
	struct ctl_dns *d = arg;
	struct ctl_dns_pace pace;
	unsigned int what;
	int err = 0;

	loop_timer_set(d->loop, &d->tick, now + SECOND, tick, d);
	if (!find_authorities(d, now))
		return;
	if (!d->survey)
		err = open_survey(d);
	if (err) {
		tell(d, strerror(-err));
		return;
	}
	pace = (struct ctl_dns_pace){.heard = d->judged_at != 0,
				     .state = d->judged.state,
				     .hurry = d->hurry,
				     .touched = d->touched,
				     .authorities_at = d->authorities_at,
				     .resolvers_at = d->resolvers_at};
	if (dns_survey_busy(d->survey)) /* a source that is dead holds back nobody's answer */
		judge(d);
	what = ctl_dns_due(&pace, now);
	if (what & DNS_SWEEP_AUTHORITIES) {
		d->authorities_at = now;
		d->touched = false;
	}
	if (what & DNS_SWEEP_RESOLVERS)
		d->resolvers_at = now;
	if (what)
		dns_survey_ask(d->survey, what, on_changed, d);
}

/* ---- its life ---- */

static void stop(struct ctl_dns *d)
{
	loop_timer_stop(d->loop, &d->tick);
	leave_folder(d);
	dns_find_end(d->find);
	d->find = NULL;
	d->find_at = 0;
	close_survey(d);
	memset(&d->found, 0, sizeof(d->found));
	d->config = NULL;
	d->why[0] = d->said[0] = '\0';
}

static bool is_same(const struct conf_dns *a, const struct conf_dns *b)
{
	struct dns_wanted of_a, of_b;

	dns_wanted_of(a, &of_a);
	dns_wanted_of(b, &of_b);
	if (strcmp(a->name, b->name) != 0 || memcmp(&of_a, &of_b, sizeof(of_a)) ||
	    a->n_authorities != b->n_authorities || a->n_resolvers != b->n_resolvers ||
	    a->samples != b->samples || a->timeout_ms != b->timeout_ms ||
	    strcmp(a->ca_file, b->ca_file) != 0)
		return false;
	for (unsigned int i = 0; i < a->n_authorities; i++)
		if (strcmp(a->authorities[i].text, b->authorities[i].text) != 0)
			return false;
	for (unsigned int i = 0; i < a->n_resolvers; i++)
		if (strcmp(a->resolvers[i].text, b->resolvers[i].text) != 0)
			return false;
	return true;
}

int ctl_dns_use(struct ctl_dns *d, const struct config *c)
{
	bool watched = c->dns.given && c->leader;
	char state[160];
	int err;

	if (d->config && watched && is_same(&d->config->dns, &c->dns)) {
		d->config = c;
		return 0;
	}
	stop(d);
	if (!watched)
		return 0;
	err = dns_name(c->dns.name, d->name);
	if (!err)
		err = state_dir(state, sizeof(state));
	if (err)
		return err;
	snprintf(d->dir, sizeof(d->dir), "%s/dns", state);
	d->config = c;
	d->dns = c->dns;
	dns_wanted_of(&c->dns, &d->wanted);
	watch_folder(d);
	return loop_timer_set(d->loop, &d->tick, loop_now(), tick, d);
}

int ctl_dns_make(struct loop *l, ctl_dns_say say, void *arg, struct ctl_dns **ret)
{
	struct ctl_dns *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->loop = l;
	d->say = say;
	d->arg = arg;
	d->folder = -1;
	*ret = d;
	return 0;
}

void ctl_dns_free(struct ctl_dns *d)
{
	if (!d)
		return;
	stop(d);
	free(d);
}

void ctl_dns_hurry(struct ctl_dns *d, bool hurry)
{
	d->hurry = hurry;
}

void ctl_dns_look(const struct ctl_dns *d, uint64_t now, struct ctl_dns_view *ret)
{
	bool old = false, other = false;
	double k, n;

	*ret = (struct ctl_dns_view){.watched = d->config != NULL, .moved = {NAN, 1}};
	snprintf(ret->why, sizeof(ret->why), "%s", d->why);
	if (!d->config || !d->survey || !d->judged_at)
		return;
	ret->survey = d->survey;
	ret->judged = &d->judged;
	ret->wanted = &d->wanted;
	ret->judged_at = d->judged_at;
	for (unsigned int i = 0; i < d->survey->n; i++) {
		const struct dns_said *said = &d->survey->said[i];
		bool is_new = gives_new(said);

		old |= gives_old(said);
		other |= is_new;
		if (d->survey->source[i].kind != DNS_AUTHORITY)
			continue;
		ret->authorities += is_new || gives_old(said);
		ret->flipped += is_new;
	}
	ret->still = old && !other && ret->authorities;
	ret->moves = other;
	k = ctl_dns_caches(d->survey->source, d->survey->said, d->survey->cache, d->survey->n,
			   d->new_since, now, &n);
	if (ret->still)
		ret->moved = (struct dns_moved){0, 0}; /* nobody can have the new answer yet */
	else
		dns_moved_of(k, n, &ret->moved);
}
