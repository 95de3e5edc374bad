/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftd.c - the daemon: what watches and waits
 *
 * One loop, one thread. For now it has the tunnels: each is probed at its own pace, judged when a
 * probe ends, and its group steps at once, so that an outage lasts for `fall` probes and no longer.
 * A tick each second looks at what sends no probe, carries out what is due by the clock, and is the
 * sign of life for the service manager.
 *
 * It decides nothing that `tunnel check --fix` would not decide, by the same machines (wg/watch.c)
 * and the same state on disk; it is only there all the time. While it runs it holds shiftd.lock,
 * and a check leaves switching to it. What may take long (a resolver, a connection of
 * charon's) is done in a child process, which is killed when it takes too long; charon is only
 * asked what it has, and not for long. When it dies, nothing changes for traffic: routes, tunnels
 * and the data plane are the kernel's.
 *
 * Signals: TERM and INT end it, HUP reads the configuration again and keeps every state; one that
 * cannot be used changes nothing and is said.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/loop.h"
#include "userspace/base/notify.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/complain.h"
#include "userspace/plane/state.h"
#include "wg/charon.h"
#include "wg/mtu.h"
#include "wg/watch.h"
#include "wg/xfrm.h"

#define MS	   1000000ull
#define SECOND	   (1000 * MS)
#define SAVE_EVERY (10 * SECOND) /* what the machines know, when nothing changed */
#define MTU_EVERY  (60 * SECOND)
#define CHILD_TIME (20 * SECOND)
#define LOCK_AGAIN (50 * MS)
#define PATIENCE   (300 * MS) /* with charon: the other tunnels wait meanwhile */

struct daemon;

/* What one tunnel needs besides its place in the watch. */
struct prober {
	struct daemon *d;
	unsigned int i;
	struct loop_timer send, loss;
	int fd; /* of the probe, as the loop knows it; -1: none */
	struct mtu_search mtu;
	bool mtu_runs;
	uint16_t mtu_seq;
	uint64_t mtu_sent_at, mtu_next_at;
	pid_t child; /* that repairs it, 0: none */
	uint64_t child_since;
};

struct daemon {
	const struct options *o;
	struct loop *loop;
	struct config *config;
	struct conf_errors errors;
	struct watch *watch;
	struct prober prober[CONF_MAX_TUNNELS];
	struct loop_timer tick, again;
	char dir[200];
	int lock, xfrm;
	uint64_t saved_at, watchdog_at;
	int trouble;	  /* −errno of the state's folder, as it was told */
	bool dirty;	  /* something changed since the state was saved */
	char status[400]; /* as the service manager has it */
	bool stamps;	  /* no journal: lines carry their time */
};

/* ---- words ---- */

static void tell(const struct daemon *d, const char *text)
{
	char at[32];
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (d->stamps)
		fprintf(stderr, "%s ",
			text_time((uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec, at));
	fprintf(stderr, "shiftd: %s\n", text);
}

static void on_change(void *arg, const char *text)
{
	struct daemon *d = arg;

	d->dirty = true;
	tell(d, text);
}

static void tell_status(struct daemon *d)
{
	char text[400] = "";
	size_t used = 0;

	for (unsigned int g = 0; g < d->watch->n_groups && used < sizeof(text) - 1; g++) {
		const struct watch_group *wg = &d->watch->group[g];
		unsigned int active = wg->failover.active < wg->group.n ? wg->failover.active : 0;

		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%s: %s via %s", g ? "; " : "",
			wg->rules.name[0],
			health_state_name(d->watch->tunnel[wg->group.member[active]].health.state),
			wg->rules.name[active]);
	}
	if (!strcmp(text, d->status))
		return;
	snprintf(d->status, sizeof(d->status), "%s", text);
	notify_status(text);
}

/* ---- judging ---- */

static void save_or_say(struct daemon *d, bool save)
{
	int err = watch_end(d->watch, save);
	char text[300];

	if (!err)
		return;
	snprintf(text, sizeof(text), "the state is not kept on disk: %s: %s", d->dir,
		 strerror(-err));
	tell(d, text);
}

static void tell_trouble(struct daemon *d, int err)
{
	char text[300];

	if (err == d->trouble)
		return;
	d->trouble = err;
	if (err)
		snprintf(text, sizeof(text), "%s: %s: going on without the state on disk", d->dir,
			 strerror(-err));
	else
		snprintf(text, sizeof(text), "%s: can be used again", d->dir);
	tell(d, text);
}

static void step_again(void *arg, uint64_t now);

/* Everything was judged: the groups step, and what changed goes to the disk. */
static void step(struct daemon *d, uint64_t now)
{
	int err = watch_begin(d->watch, 0);
	bool save;

	if (err == -EAGAIN) { /* a command is at it: it takes milliseconds */
		loop_timer_set(d->loop, &d->again, now + LOCK_AGAIN, step_again, d);
		return;
	}
	tell_trouble(d, err);
	watch_switch(d->watch, true,
		     now); /* a disk that fails is no reason to leave a dead tunnel */
	save = !err && (d->dirty || now > d->saved_at + SAVE_EVERY);
	save_or_say(d, save);
	if (save)
		d->saved_at = now;
	d->dirty = false;
	tell_status(d);
}

static void step_again(void *arg, uint64_t now)
{
	step(arg, now);
}

static void judge(struct daemon *d, unsigned int i, uint64_t now)
{
	watch_look(d->watch, i, now);
	watch_judge(d->watch, i, now);
}

/* ---- probing ---- */

static uint64_t timeout_of(const struct watch_tunnel *t)
{
	uint64_t limit = t->rules.interval_ns < SECOND ? t->rules.interval_ns : SECOND;

	return limit > 2 * t->rules.max_rtt_ns ? limit : 2 * t->rules.max_rtt_ns;
}

static void on_loss(void *arg, uint64_t now);

static void watch_for_loss(struct prober *p, uint64_t now)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];
	uint64_t at = t->probe ? window_next_loss(probe_window(t->probe), timeout_of(t)) : 0;

	if (at)
		loop_timer_set(p->d->loop, &p->loss, at > now ? at : now, on_loss, p);
}

static void mtu_step(struct prober *p, uint64_t now);

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
		} else if (p->mtu_runs && e.seq == p->mtu_seq) {
			if (e.mtu)
				mtu_search_too_big(&p->mtu, e.mtu);
			else
				mtu_search_result(&p->mtu, true);
			mtu_step(p, now);
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
	lost = t->probe ? probe_expire(t->probe, now, timeout_of(t)) : 0;
	for (unsigned int k = 0; k < lost; k++)
		watch_probe(p->d->watch, p->i, false, now);
	if (n + lost) {
		judge(p->d, p->i, now);
		step(p->d, now);
	}
	watch_for_loss(p, now);
}

/* A socket that was bound to an interface is worth nothing when that is made anew. */
static void follow_probe(struct prober *p)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];
	int fd = watch_open_probe(t) ? probe_fd(t->probe) : -1;

	if (fd == p->fd)
		return;
	if (p->fd >= 0)
		loop_unwatch(p->d->loop, p->fd);
	p->fd = fd;
	if (fd >= 0 && loop_watch(p->d->loop, fd, LOOP_READ, on_answer, p))
		p->fd = -1;
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

/* ---- the largest packet that passes ---- */

static void mtu_begin(struct prober *p, uint64_t now)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];
	uint32_t floor = t->conf->probe.address.family == 4 ? 576 : 1280;

	if (!t->conf->probe.mtu || !t->probe || t->mtu < floor || now < p->mtu_next_at ||
	    (t->health.state != HEALTH_UP && t->health.state != HEALTH_DEGRADED))
		return;
	mtu_search_start(&p->mtu, floor, t->mtu);
	p->mtu_runs = true;
	p->mtu_next_at = now + MTU_EVERY;
	mtu_step(p, now);
}

static void mtu_step(struct prober *p, uint64_t now)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];
	uint32_t size;

	while ((size = mtu_search_size(&p->mtu))) {
		int err = probe_send_sized(t->probe, size, now, &p->mtu_seq);

		p->mtu_sent_at = now;
		if (!err)
			return;
		if (err != -EMSGSIZE) {
			p->mtu_runs = false; /* another day */
			return;
		}
		mtu_search_too_big(&p->mtu, 0);
	}
	p->mtu_runs = false;
	if (p->mtu.good && p->mtu.good != t->mtu_found)
		p->d->dirty = true;
	if (p->mtu.good) {
		t->mtu_found = p->mtu.good;
		t->mtu_at = now;
	}
}

static void mtu_tick(struct prober *p, uint64_t now)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];

	if (p->mtu_runs && !t->probe) {
		p->mtu_runs = false;
	} else if (p->mtu_runs && now > p->mtu_sent_at + timeout_of(t)) {
		mtu_search_result(&p->mtu, false);
		mtu_step(p, now);
	} else if (!p->mtu_runs) {
		mtu_begin(p, now);
	}
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
		close(p->d->lock); /* it is the daemon's alone */
		watch_repair(p->d->watch, p->i, now, CHILD_TIME / 2);
		_exit(0);
	}
	p->child_since = now;
	t->repaired_at = now;
	if (p->child < 0)
		p->child = 0;
}

static void on_child(void *arg, int number)
{
	struct daemon *d = arg;
	pid_t pid;

	(void)number;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (unsigned int i = 0; i < CONF_MAX_TUNNELS; i++)
			if (d->prober[i].child == pid)
				d->prober[i].child = 0;
}

/* ---- the tick ---- */

static void tick(void *arg, uint64_t now)
{
	struct daemon *d = arg;

	for (unsigned int i = 0; i < d->watch->n; i++) {
		struct prober *p = &d->prober[i];

		judge(d, i, now);
		repair(p, now);
		mtu_tick(p, now);
	}
	step(d, now);
	if (notify_watchdog_ns() && now > d->watchdog_at) {
		notify_watchdog();
		d->watchdog_at = now + notify_watchdog_ns() / 4;
	}
	loop_timer_set(d->loop, &d->tick, now + SECOND, tick, d);
}

/* The kernel says that an SA of a tunnel ended or is about to: it is looked at now. */
static void on_xfrm(void *arg, int fd, unsigned int ready)
{
	struct daemon *d = arg;
	uint64_t now = loop_now();
	struct xfrm_event e;
	int any = 0, n;

	(void)ready;
	while ((n = xfrm_events_read(fd, &e)) == 1 || n == -ENOBUFS)
		any = 1;
	if (any)
		loop_timer_set(d->loop, &d->tick, now, tick, d);
}

/* ---- beginning and ending ---- */

static void stop_probers(struct daemon *d)
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
}

/* Each begins at its own instant. */
static void start_probers(struct daemon *d, uint64_t now)
{
	for (unsigned int i = 0; i < d->watch->n; i++) {
		struct prober *p = &d->prober[i];

		p->d = d;
		p->i = i;
		p->fd = -1;
		p->mtu_next_at = 0;
		judge(d, i, now);
		if (d->watch->tunnel[i].conf->probe.given)
			loop_timer_set(d->loop, &p->send, now + i * 7 * MS, send_probe, p);
	}
}

static int load(struct daemon *d)
{
	struct conf_errors errors = {0};
	struct config *c = NULL;
	struct watch *w = NULL;
	int err = conf_load(d->o->config, &c, &errors);

	if (err) {
		complain_of_file(&errors);
		conf_errors_free(&errors);
		return EXIT_USAGE;
	}
	err = watch_open(c, d->dir, &w);
	if (err) {
		conf_errors_free(&errors);
		conf_free(c);
		return EXIT_FAILED;
	}
	if (d->watch) {
		stop_probers(d);
		watch_close(d->watch);
		conf_errors_free(&d->errors);
		conf_free(d->config);
	}
	d->watch = w;
	d->config = c;
	d->errors = errors;
	w->say = on_change;
	w->arg = d;
	w->patience_ns = PATIENCE;
	err = watch_begin(w, 5000);
	if (!err)
		watch_end(w, false);
	return EXIT_OK;
}

static void on_reload(void *arg, int number)
{
	struct daemon *d = arg;
	int code;

	(void)number;
	notify_reloading();
	if (!watch_begin(d->watch, 1000))
		save_or_say(d, true);
	code = load(d);
	tell(d, code ? "the configuration cannot be used: what was there before stays"
		     : "the configuration was read again");
	if (!code)
		start_probers(d, loop_now());
	notify_ready(NULL);
}

static void on_end(void *arg, int number)
{
	struct daemon *d = arg;

	(void)number;
	loop_stop(d->loop, EXIT_OK);
}

static int begin(struct daemon *d)
{
	char state[160];
	int err = state_dir(state, sizeof(state)), code;

	if (!err) {
		snprintf(d->dir, sizeof(d->dir), "%s/tunnels", state);
		d->lock = watch_daemon_lock(d->dir);
		err = d->lock < 0 ? d->lock : 0;
	}
	if (err == -EAGAIN) {
		say("another shiftd runs already (%s/shiftd.lock)", d->dir);
		return EXIT_LOCKED;
	}
	if (!err)
		err = loop_make(&d->loop);
	if (err) {
		say("%s: %s", d->dir, strerror(-err));
		return EXIT_FAILED;
	}
	code = load(d);
	if (code)
		return code;
	d->xfrm = xfrm_events_open();
	if (d->xfrm >= 0)
		loop_watch(d->loop, d->xfrm, LOOP_READ, on_xfrm, d);
	loop_signal(d->loop, SIGTERM, on_end, d);
	loop_signal(d->loop, SIGINT, on_end, d);
	loop_signal(d->loop, SIGHUP, on_reload, d);
	loop_signal(d->loop, SIGCHLD, on_child, d);
	return EXIT_OK;
}

static int run(struct daemon *d)
{
	uint64_t now = loop_now();
	int code;

	start_probers(d, now);
	loop_timer_set(d->loop, &d->tick, now, tick, d);
	notify_ready(NULL);
	code = loop_run(d->loop);
	notify_stopping();
	stop_probers(d);
	if (!watch_begin(d->watch, 1000))
		save_or_say(d, true);
	return code < 0 ? EXIT_FAILED : code;
}

int main(int argc, char **argv)
{
	static struct daemon d = {.lock = -1, .xfrm = -1};
	struct options o;
	int code;

	parse_options(&argc, argv, &o);
	if (o.slip[0] || argc)
		return usage_error("%s", o.slip[0] ? o.slip : "usage: shiftd [-c FILE]");
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stderr, NULL, _IOLBF, 0);
	d.o = &o;
	d.stamps = !getenv("JOURNAL_STREAM");
	code = begin(&d);
	if (!code)
		code = run(&d);
	watch_close(d.watch);
	conf_errors_free(&d.errors);
	conf_free(d.config);
	loop_free(d.loop);
	if (d.xfrm >= 0)
		close(d.xfrm);
	if (d.lock >= 0)
		close(d.lock);
	return code;
}
