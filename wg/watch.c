/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * watch.c - the tunnels as a whole: from what is seen to what is done
 *
 * It owns nothing of the kernel's but the group's routes, and decides nothing: health.c says what
 * state a tunnel is in, failover.c who carries the routes, rekey.c which keys are due. Here these
 * get their observations, and what they say is carried out and told.
 *
 * Two programs use it at one time or another: cron's `tunnel check --fix`, which comes and goes,
 * and shiftd, which stays. So all that a decision needs is on disk (watch_store.c), every decision
 * is made under one lock, and while shiftd runs a check leaves switching to it. A switch by hand is
 * written to the same file, and shiftd takes it from there.
 *
 * How it fails: a kernel that does not answer leaves a tunnel as it was, with the reason said once;
 * a state that cannot be kept is said and changes nothing for traffic; a route that cannot be moved
 * is tried again at the next step. Known weakness: routes move one by one, though in one write, so
 * for microseconds a group's routes may be divided between two living tunnels.
 */
#include "wg/watch.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "wg/charon.h"
#include "wg/link.h"
#include "wg/xfrm.h"

#define SECOND	  1000000000ull
#define SILENT	  (60 * SECOND)
#define ASK_AGAIN (10 * SECOND)

static void __attribute__((format(printf, 2, 3))) tell(struct watch *w, const char *format, ...)
{
	char text[512];
	va_list ap;

	if (!w->say)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	w->say(w->arg, text);
}

static uint64_t real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* ---- making ---- */

static struct health_rules rules_of(const struct conf_tunnel *t)
{
	const struct conf_probe *p = &t->probe;

	return (struct health_rules){
		.interval_ns = p->interval_ms * 1000000,
		.max_rtt_ns = p->max_rtt_ms * 1000000,
		.max_loss = p->max_loss,
		.rise = p->rise,
		.fall = p->fall,
		.probed = p->given,
	};
}

int watch_open(const struct config *c, const char *dir, struct watch **ret)
{
	struct watch *w = calloc(1, sizeof(*w));
	struct group *groups = calloc(CONF_MAX_TUNNELS, sizeof(*groups));

	if (!w || !groups) {
		free(w);
		free(groups);
		return -ENOMEM;
	}
	w->config = c;
	w->lock = -1;
	w->n = c->n_tunnels;
	snprintf(w->dir, sizeof(w->dir), "%s", dir);
	for (unsigned int i = 0; i < w->n; i++) {
		struct watch_tunnel *t = &w->tunnel[i];

		t->conf = &c->tunnels[i];
		t->index = i;
		t->rules = rules_of(t->conf);
		t->handshake_age_ns = UINT64_MAX;
		want_names(t->conf, t->interface, &t->if_id);
	}
	w->n_groups = groups_of(c, groups);
	for (unsigned int g = 0; g < w->n_groups; g++) {
		struct watch_group *wg = &w->group[g];

		wg->group = groups[g];
		wg->rules.n = groups[g].n;
		wg->rules.hold_ns = c->tunnels[groups[g].member[0]].probe.hold_ms * 1000000;
		for (unsigned int k = 0; k < groups[g].n; k++)
			wg->rules.name[k] = c->tunnels[groups[g].member[k]].name;
		failover_init(&wg->failover);
	}
	free(groups);
	*ret = w;
	return 0;
}

void watch_close(struct watch *w)
{
	if (!w)
		return;
	for (unsigned int i = 0; i < w->n; i++) {
		probe_close(w->tunnel[i].probe);
		wg_free(&w->tunnel[i].device);
	}
	if (w->lock >= 0)
		close(w->lock);
	free(w);
}

struct probe *watch_open_probe(struct watch_tunnel *t)
{
	if (!t->probe && t->conf->probe.given)
		probe_open(t->interface, t->conf->probe.address.ip, &t->probe);
	return t->probe;
}

/* ---- looking ---- */

/* Of many peers the one that spoke last stands for the tunnel; bytes are those of all. */
static void look_at_peers(struct watch_tunnel *t)
{
	const struct wg_device *d = &t->device;
	uint64_t newest = 0, now = real_ns();

	t->look.handshake_known = true;
	t->look.expects_traffic = false;
	t->look.rx = t->look.tx = 0;
	for (size_t i = 0; i < d->n_peers; i++) {
		if (d->peers[i].handshake_ns > newest)
			newest = d->peers[i].handshake_ns;
		t->look.rx += d->peers[i].rx;
		t->look.tx += d->peers[i].tx;
		t->look.expects_traffic |= d->peers[i].keepalive && d->peers[i].endpoint.family;
	}
	t->look.handshake_stamp = newest;
	t->handshake_age_ns = !newest ? UINT64_MAX : now > newest ? now - newest : 0;
	t->look.handshake_age = newest ? t->handshake_age_ns : 0;
}

static void look_at_wireguard(struct watch_tunnel *t)
{
	struct wg_device fresh = {0};
	int err = wg_read(t->interface, &fresh);

	if (err) {
		snprintf(t->note, sizeof(t->note), "the kernel does not tell its peers: %s",
			 strerror(-err));
		return;
	}
	wg_free(&t->device);
	t->device = fresh;
	look_at_peers(t);
}

/* It is asked again after a while, for the loop waits meanwhile; until SILENT is over, what was
 * known stays true, since the kernel carries packets without it. */
static void note_silence(struct watch_tunnel *t, uint64_t now)
{
	if (!t->silent_since)
		t->silent_since = now;
	t->ask_again_at = now + ASK_AGAIN;
	if (now - t->silent_since >= SILENT)
		t->look.established = false;
}

static void look_at_charon(const struct watch *w, struct watch_tunnel *t, uint64_t now)
{
	struct charon_sa sa[4];
	struct charon *c = NULL;
	char why[160] = "";
	bool known = t->look.established_known, hurried = w->patience_ns != 0;
	int n;

	if (hurried && t->silent_since && now < t->ask_again_at) {
		snprintf(t->note, sizeof(t->note), "charon does not answer");
		return;
	}
	n = charon_open(t->conf->ike.vici, &c, why, sizeof(why));
	if (!n) {
		charon_hurry(c, w->patience_ns);
		n = charon_list(c, t->conf->name, sa, 4, why, sizeof(why));
	}
	charon_close(c);
	t->look.established_known = true;
	if (n == -ETIMEDOUT && hurried) {
		t->look.established &= known;
		note_silence(t, now);
		snprintf(t->note, sizeof(t->note), "%s", why);
		return;
	}
	t->silent_since = 0;
	t->look.established = false;
	if (n < 0) {
		snprintf(t->note, sizeof(t->note), "%s", why);
		return;
	}
	if (!n)
		snprintf(t->note, sizeof(t->note), "charon has no connection up of this name");
	for (int i = 0; i < n; i++) {
		bool up = !strcmp(sa[i].state, "ESTABLISHED") || !strcmp(sa[i].state, "REKEYING");

		if (!up)
			snprintf(t->note, sizeof(t->note), "IKE is %s", sa[i].state);
		for (unsigned int k = 0; up && k < sa[i].n_children; k++)
			t->look.established |= !strcmp(sa[i].child[k].state, "INSTALLED") ||
					       !strcmp(sa[i].child[k].state, "REKEYING") ||
					       !strcmp(sa[i].child[k].state, "REKEYED");
		if (up && !t->look.established)
			snprintf(t->note, sizeof(t->note), "IKE is up, but has no SA for packets");
	}
	if (t->look.established)
		t->note[0] = '\0';
}

static void look_at_fixed(struct watch_tunnel *t)
{
	struct xfrm_sa *sa = NULL;
	bool in = false, out = false;
	size_t n = 0;
	int err = xfrm_sa_list(t->if_id, &sa, &n);

	t->look.established_known = true;
	t->look.established = false;
	if (err) {
		snprintf(t->note, sizeof(t->note), "the kernel does not tell its SAs: %s",
			 strerror(-err));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		in |= !sa[i].outbound;
		out |= sa[i].outbound;
	}
	free(sa);
	t->look.established = in && out;
	if (!t->look.established)
		snprintf(t->note, sizeof(t->note), "%s",
			 n ? "it has SAs for one direction only" : "it has no SA");
}

void watch_look(struct watch *w, unsigned int i, uint64_t now)
{
	struct watch_tunnel *t = &w->tunnel[i];
	struct link l;
	int err = link_read(t->interface, 0, &l);

	t->note[0] = '\0';
	if (err) {
		snprintf(t->note, sizeof(t->note), "the kernel does not tell its interface: %s",
			 strerror(-err));
		return;
	}
	t->look.exists = l.kind != LINK_NONE;
	t->look.admin_up = l.up;
	t->look.rx = l.rx_bytes;
	t->look.tx = l.tx_bytes;
	t->mtu = l.mtu;
	link_free(&l);
	if (!t->look.exists) { /* a socket bound to it stays bound to what is gone */
		probe_close(t->probe);
		t->probe = NULL;
		return;
	}
	if (t->conf->wireguard.given)
		look_at_wireguard(t);
	else if (t->conf->ike.given)
		look_at_charon(w, t, now);
	else
		look_at_fixed(t);
}

/* ---- judging ---- */

void watch_probe(struct watch *w, unsigned int i, bool answered, uint64_t now)
{
	struct watch_tunnel *t = &w->tunnel[i];

	if (!t->health.looked_at && !t->health.since)
		health_init(&t->health, &t->rules, now);
	health_probe(&t->health, &t->rules, answered, now);
}

void watch_judge(struct watch *w, unsigned int i, uint64_t now)
{
	struct watch_tunnel *t = &w->tunnel[i];
	struct health_probes p = {.mtu_found = t->mtu_found, .mtu_set = t->mtu};
	enum health_state before = t->health.state;

	memset(&t->stats, 0, sizeof(t->stats));
	if (t->probe)
		window_stats(probe_window(t->probe), &t->stats);
	p.sent = t->stats.decided;
	p.lost = t->stats.lost;
	p.rtt_ns = t->stats.p50_ns;
	p.p95_ns = t->stats.p95_ns;
	p.jitter_ns = t->stats.jitter_ns;
	p.loss = t->stats.loss;
	if (!t->health.looked_at && !t->health.since)
		health_init(&t->health, &t->rules, now);
	if (health_judge(&t->health, &t->rules, &t->look, &p, now))
		tell(w, "tunnel %s: %s → %s: %s%s%s", t->conf->name, health_state_name(before),
		     health_state_name(t->health.state), t->health.reason, t->note[0] ? "; " : "",
		     t->note);
}

bool watch_active(const struct watch *w, unsigned int i)
{
	for (unsigned int g = 0; g < w->n_groups; g++) {
		int place = group_place(&w->group[g].group, i);

		if (place >= 0 && w->group[g].failover.active == place)
			return true;
	}
	return false;
}

struct watch_group *watch_group_of(struct watch *w, unsigned int i)
{
	struct watch_group *in = NULL;

	for (unsigned int g = 0; g < w->n_groups; g++) {
		int place = group_place(&w->group[g].group, i);

		if (!place)
			return &w->group[g];
		if (place > 0 && !in)
			in = &w->group[g];
	}
	return in;
}

/* ---- switching ---- */

/* Moves a group's routes to its active member now. */
static int carry(struct watch *w, unsigned int g, char *why, size_t size)
{
	const struct group *group = &w->group[g].group;
	unsigned int active = w->group[g].failover.active;
	const struct watch_tunnel *t = &w->tunnel[group->member[active]];
	unsigned int ifindex = if_nametoindex(t->interface);
	struct link_route *routes = NULL;
	size_t n = 0, done = 0;
	int err;

	if (!ifindex) {
		snprintf(why, size, "its interface %s is not there", t->interface);
		return -ENODEV;
	}
	err = group_routes(w->config, group, &routes, &n);
	if (!err)
		err = link_replace_routes(ifindex, routes, n, &done);
	free(routes);
	if (err)
		snprintf(why, size, "%zu of %zu routes: %s", done, n, strerror(-err));
	return err;
}

/* Does the first of the group's routes go where it should? Whoever re-made the interface took them
 * away. */
static bool in_place(struct watch *w, unsigned int g)
{
	const struct watch_group *wg = &w->group[g];
	const struct watch_tunnel *t = &w->tunnel[wg->group.member[wg->failover.active]];
	unsigned int ifindex = if_nametoindex(t->interface);
	struct link_route *routes = NULL;
	uint32_t through = 0;
	size_t n = 0;
	bool right;

	if (!ifindex || group_routes(w->config, &wg->group, &routes, &n))
		return true; /* nothing to be done about it now */
	right = !n || link_route_device(&routes[0], &through) || through == ifindex;
	free(routes);
	return right;
}

static void take_states(struct watch *w, struct watch_group *wg)
{
	for (unsigned int k = 0; k < wg->group.n; k++) {
		const struct health *h = &w->tunnel[wg->group.member[k]].health;

		wg->failover.member[k].state = h->state;
		wg->failover.member[k].in_budget = health_in_budget(h);
	}
}

int watch_step(struct watch *w, unsigned int g, uint64_t now, char *why, size_t size)
{
	struct watch_group *wg = &w->group[g];
	struct failover old = wg->failover;
	bool switched = false, moved;
	int err;

	take_states(w, wg);
	failover_step(&wg->failover, &wg->rules, now, &switched);
	moved = switched && old.active != FAILOVER_NONE;
	if (!moved && in_place(w, g))
		return 0;
	err = carry(w, g, why, size);
	if (err && moved)
		wg->failover = old;
	if (err)
		return err;
	if (moved)
		tell(w, "failover %s: %s → %s: %s", wg->rules.name[0], wg->rules.name[old.active],
		     wg->rules.name[wg->failover.active], wg->failover.reason);
	else
		tell(w, "failover %s: its routes go through %s again", wg->rules.name[0],
		     wg->rules.name[wg->failover.active]);
	return 1;
}

void watch_switch(struct watch *w, bool fix, uint64_t now)
{
	for (unsigned int g = 0; g < w->n_groups; g++) {
		struct watch_group *wg = &w->group[g];
		char why[160] = "";
		bool switched;

		if (fix) {
			if (watch_step(w, g, now, why, sizeof(why)) < 0 &&
			    strcmp(why, wg->trouble) != 0)
				tell(w, "failover %s: the routes stay where they are: %s",
				     wg->rules.name[0], why);
			snprintf(wg->trouble, sizeof(wg->trouble), "%s", why);
		} else if (wg->failover.active == FAILOVER_NONE) {
			take_states(w, wg);
			failover_step(&wg->failover, &wg->rules, now, &switched);
		} else { /* who is fit since when is worth knowing to the next --fix */
			struct failover trial;

			take_states(w, wg);
			trial = wg->failover;
			failover_step(&trial, &wg->rules, now, &switched);
			memcpy(wg->failover.member, trial.member, sizeof(trial.member));
		}
	}
}
