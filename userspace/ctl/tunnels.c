/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnels.c - the tunnels' part of the daemon
 *
 * Each tunnel is probed at its own pace and judged when a probe ends, and then its group steps at
 * once, so that an outage lasts for `fall` probes and no longer. A tick each second looks at what
 * sends no probe and carries out what is due by the clock.
 *
 * It decides nothing that `tunnel check --fix` would not decide, by the same machines (wg/watch.c)
 * and the same state on disk; it is only there all the time. What may take long (a resolver,
 * charon) is done in a child process, which is killed when it takes too long; what a child does to
 * the kernel is seen at the next look.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/ctl/tunnels_inner.h"
#include "userspace/plane/ways.h"
#include "wg/xfrm.h"

#define SAVE_EVERY   (10 * SECOND) /* what the machines know, when nothing changed */
#define CHILD_TIME   (20 * SECOND)
#define LOCK_AGAIN   (50 * MS)
#define EVENTS_EVERY (100 * MS)

static void on_change(void *arg, const char *text)
{
	struct ctl_tunnels *d = arg;

	d->dirty = true;
	d->say(d->arg, text);
}

static void on_moved(void *arg)
{
	struct ctl_tunnels *d = arg;
	char text[200];
	int n = ways_follow();

	if (n < 0)
		snprintf(text, sizeof(text), "the data plane does not follow the routes: %s",
			 strerror(-n));
	else
		snprintf(text, sizeof(text), "the data plane follows: %d targets go another way",
			 n);
	if (n)
		d->say(d->arg, text);
}

/* ---- judging ---- */

static void end(struct ctl_tunnels *d, bool save)
{
	int err = watch_end(d->watch, save);
	char text[300];

	if (!err)
		return;
	snprintf(text, sizeof(text), "the state is not kept on disk: %s: %s", d->dir,
		 strerror(-err));
	d->say(d->arg, text);
}

static void step_again(void *arg, uint64_t now);

/* Everything was judged: the groups step, and what changed goes to the disk. */
static void step(struct ctl_tunnels *d, uint64_t now)
{
	char text[300];
	bool save;
	int err;

	if (!d->watch->n) /* nor a reason to touch the disk, which may hang */
		return;
	err = watch_begin(d->watch, 0);
	if (err == -EAGAIN) { /* a command is at it */
		loop_timer_set(d->loop, &d->again, now + LOCK_AGAIN, step_again, d);
		return;
	}
	if (err && err != d->disk) { /* no reason to leave routes on a dead tunnel */
		snprintf(text, sizeof(text), "the state on disk cannot be had: %s: %s", d->dir,
			 strerror(-err));
		d->say(d->arg, text);
	}
	d->disk = err;
	if (!err)
		d->watch->stays = true;
	watch_switch(d->watch, true, now);
	save = !err && (d->dirty || now > d->saved_at + SAVE_EVERY);
	end(d, save);
	if (save)
		d->saved_at = now;
	d->dirty = false;
}

static void step_again(void *arg, uint64_t now)
{
	step(arg, now);
}

static void judge(struct ctl_tunnels *d, unsigned int i, uint64_t now)
{
	watch_look(d->watch, i, now);
	wg_forget_keys(&d->watch->tunnel[i].device); /* nothing here wants them in memory */
	watch_judge(d->watch, i, now);
}

/* ---- probing ---- */

/*
 * An interval, or twice what is allowed when that is more; but an answer after nine tenths of a
 * second is no use to anybody: waiting longer, an outage would last longer than `fall` intervals
 * and a second.
 */
uint64_t ctl_probe_timeout(const struct watch_tunnel *t)
{
	uint64_t limit = 2 * t->rules.max_rtt_ns;

	if (limit < t->rules.interval_ns)
		limit = t->rules.interval_ns;
	return limit < 900 * MS ? limit : 900 * MS;
}

static void on_loss(void *arg, uint64_t now);

static void watch_for_loss(struct prober *p, uint64_t now)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];
	uint64_t at = t->probe ? window_next_loss(probe_window(t->probe), ctl_probe_timeout(t)) : 0;

	if (at)
		loop_timer_set(p->d->loop, &p->loss, at > now ? at : now, on_loss, p);
}

/* What has arrived comes before what is overdue: the loop may have been late itself. */
static unsigned int take_answers(struct prober *p, uint64_t now)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];
	struct probe_event e;
	unsigned int n = 0;

	while (t->probe && probe_read(t->probe, now, &e) > 0) {
		if (!e.size) {
			watch_probe(p->d->watch, p->i, true, now);
			n++;
		} else {
			ctl_mtu_answer(p, &e, now);
		}
	}
	return n;
}

static void on_answer(void *arg, int fd, unsigned int ready)
{
	struct prober *p = arg;
	uint64_t now = loop_now();

	(void)fd;
	(void)ready;
	if (!take_answers(p, now))
		return;
	judge(p->d, p->i, now);
	step(p->d, now);
}

static void on_loss(void *arg, uint64_t now)
{
	struct prober *p = arg;
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];
	unsigned int n, lost;

	n = take_answers(p, now);
	lost = t->probe ? probe_expire(t->probe, now, ctl_probe_timeout(t)) : 0;
	for (unsigned int k = 0; k < lost; k++)
		watch_probe(p->d->watch, p->i, false, now);
	if (n + lost) {
		judge(p->d, p->i, now);
		step(p->d, now);
	}
	watch_for_loss(p, now);
}

/* It could not be opened before its interface was there. */
static void follow_probe(struct prober *p)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];

	if (p->fd >= 0 || !watch_open_probe(t))
		return;
	if (!loop_watch(p->d->loop, probe_fd(t->probe), LOOP_READ, on_answer, p))
		p->fd = probe_fd(t->probe);
}

static void send_probe(void *arg, uint64_t now)
{
	struct prober *p = arg;
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];
	uint32_t chance = 0;

	(void)!getrandom(&chance, sizeof(chance), GRND_NONBLOCK);
	follow_probe(p);
	if (!t->probe || probe_send(t->probe, now)) {
		watch_probe(p->d->watch, p->i, false, now);
		judge(p->d, p->i, now);
		step(p->d, now);
	}
	watch_for_loss(p, now);
	loop_timer_set(p->d->loop, &p->send, health_next(&t->health, &t->rules, now, chance),
		       send_probe, p);
}

/* ---- repairing ---- */

/* What the child does to the kernel or to charon is seen at the next look. */
static void repair(struct prober *p, uint64_t now)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];

	if (p->child && now > p->child_since + CHILD_TIME)
		kill(p->child, SIGKILL);
	if (t->conf->fixed.given) {
		watch_repair(p->d->watch, p->i, now, 0);
		return;
	}
	if (p->child || !watch_needs_repair(t, now))
		return;
	p->child = fork();
	if (!p->child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (p->d->private >= 0)
			close(p->d->private); /* it is the daemon's alone */
		watch_repair(p->d->watch, p->i, now, CHILD_TIME / 2);
		_exit(0);
	}
	p->child_since = now;
	t->repaired_at = now;
	if (p->child < 0)
		p->child = 0;
}

static void reap(struct ctl_tunnels *d)
{
	for (unsigned int i = 0; i < CONF_MAX_TUNNELS; i++)
		if (d->prober[i].child && waitpid(d->prober[i].child, NULL, WNOHANG) != 0)
			d->prober[i].child = 0;
}

/* ---- the tick ---- */

static void tick(void *arg, uint64_t now)
{
	struct ctl_tunnels *d = arg;

	reap(d);
	for (unsigned int i = 0; i < d->watch->n; i++) {
		judge(d, i, now);
		repair(&d->prober[i], now);
		ctl_mtu_tick(&d->prober[i], now);
	}
	ctl_charon_tick(d, now);
	step(d, now);
	d->ticked_at = now;
	loop_timer_set(d->loop, &d->tick, now + SECOND, tick, d);
}

/* Soon, but not for each of what may be thousands of events of others. */
void ctl_tunnels_hurry(struct ctl_tunnels *d)
{
	if (d->tick.at > d->ticked_at + EVENTS_EVERY)
		loop_timer_set(d->loop, &d->tick, d->ticked_at + EVENTS_EVERY, tick, d);
}

/* The kernel says that an SA ended or is about to. */
static void on_xfrm(void *arg, int fd, unsigned int ready)
{
	struct xfrm_event e;
	bool any = false;
	int n;

	(void)ready;
	while ((n = xfrm_events_read(fd, &e)) == 1 || n == -ENOBUFS)
		any = true;
	if (any)
		ctl_tunnels_hurry(arg);
}

/* ---- beginning and ending ---- */

static void stop_probers(struct ctl_tunnels *d)
{
	for (unsigned int i = 0; i < CONF_MAX_TUNNELS; i++) {
		struct prober *p = &d->prober[i];

		loop_timer_stop(d->loop, &p->send);
		loop_timer_stop(d->loop, &p->loss);
		if (p->fd >= 0)
			loop_unwatch(d->loop, p->fd);
		p->fd = -1;
		p->mtu_runs = false;
	}
	loop_timer_stop(d->loop, &d->again);
	loop_timer_stop(d->loop, &d->tick);
}

/* Each begins at its own instant. */
static void start_probers(struct ctl_tunnels *d, uint64_t now)
{
	for (unsigned int i = 0; i < d->watch->n; i++) {
		struct prober *p = &d->prober[i];

		p->mtu_next_at = 0;
		judge(d, i, now);
		if (d->watch->tunnel[i].conf->probe.given)
			loop_timer_set(d->loop, &p->send, now + i * 7 * MS, send_probe, p);
	}
	loop_timer_set(d->loop, &d->tick, now, tick, d);
}

int ctl_tunnels_use(struct ctl_tunnels *d, const struct config *c)
{
	struct watch *w = NULL;
	int err = watch_open(c, d->dir, &w);

	if (err)
		return err;
	if (d->watch) {
		ctl_tunnels_save(d);
		stop_probers(d);
		ctl_charon_end(d);
		watch_close(d->watch);
	}
	d->watch = w;
	w->say = on_change;
	w->moved = on_moved;
	w->arg = d;
	if (!watch_begin(w, 1000)) {
		watch_end(w, false);
		w->stays = true;
	}
	ctl_charon_choose(d);
	start_probers(d, loop_now());
	return 0;
}

void ctl_tunnels_private(struct ctl_tunnels *d, int fd)
{
	d->private = fd;
}

int ctl_tunnels_make(struct loop *loop, const char *dir, ctl_say say, void *arg,
		     struct ctl_tunnels **ret)
{
	struct ctl_tunnels *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->loop = loop;
	d->say = say;
	d->arg = arg;
	d->private = -1;
	snprintf(d->dir, sizeof(d->dir), "%s", dir);
	for (unsigned int i = 0; i < CONF_MAX_TUNNELS; i++)
		d->prober[i] = (struct prober){.d = d, .i = i, .fd = -1};
	d->xfrm = xfrm_events_open();
	if (d->xfrm >= 0 && loop_watch(loop, d->xfrm, LOOP_READ, on_xfrm, d)) {
		close(d->xfrm);
		d->xfrm = -1;
	}
	*ret = d;
	return 0;
}

void ctl_tunnels_free(struct ctl_tunnels *d)
{
	if (!d)
		return;
	if (d->watch) {
		stop_probers(d);
		ctl_charon_end(d);
		watch_close(d->watch);
	}
	if (d->xfrm >= 0) {
		loop_unwatch(d->loop, d->xfrm);
		close(d->xfrm);
	}
	free(d);
}

void ctl_tunnels_save(struct ctl_tunnels *d)
{
	if (d->watch && !watch_begin(d->watch, 1000))
		end(d, true);
}

uint64_t ctl_tunnels_alive(const struct ctl_tunnels *d)
{
	return d->ticked_at;
}

const struct watch *ctl_tunnels_watch(const struct ctl_tunnels *d)
{
	return d->watch;
}

const char *ctl_tunnels_text(const struct ctl_tunnels *d, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (unsigned int g = 0; d->watch && g < d->watch->n_groups && used < size - 1; g++) {
		const struct watch_group *wg = &d->watch->group[g];
		unsigned int active = wg->failover.active < wg->group.n ? wg->failover.active : 0;
		enum health_state s = d->watch->tunnel[wg->group.member[active]].health.state;

		used += (size_t)snprintf(ret + used, size - used, "%s%s: %s via %s", g ? "; " : "",
					 wg->rules.name[0], health_state_name(s),
					 wg->rules.name[active]);
	}
	return ret;
}

bool ctl_tunnels_up(const struct ctl_tunnels *d, const char *name)
{
	for (unsigned int g = 0; d->watch && g < d->watch->n_groups; g++) {
		const struct watch_group *wg = &d->watch->group[g];
		unsigned int active = wg->failover.active < wg->group.n ? wg->failover.active : 0;

		for (unsigned int i = 0; i < wg->group.n; i++) {
			enum health_state s =
				d->watch->tunnel[wg->group.member[active]].health.state;

			if (!strcmp(wg->rules.name[i], name))
				return s == HEALTH_UP || s == HEALTH_DEGRADED || s == HEALTH_IDLE;
		}
	}
	return false;
}
