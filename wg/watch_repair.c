/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * watch_repair.c - what brings a tunnel back by itself
 *
 * A name is asked for anew only when the peer was silent for longer than a rekey takes, and in a
 * child process with a time limit: a resolver that hangs holds up nothing else. Only the endpoint
 * of that peer is sent, with WGPEER_F_UPDATE_ONLY.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/net/resolve.h"
#include "wg/charon.h"
#include "wg/watch.h"

#define SECOND		1000000000ull
#define HANDSHAKE_STALE (135 * SECOND) /* a rekey was due at 120 s */
#define AGAIN		(15 * SECOND)  /* between two attempts */

static void say(struct watch *w, const char *tunnel, const char *text)
{
	char line[700];

	if (!w->say)
		return;
	snprintf(line, sizeof(line), "tunnel %s: %s", tunnel, text);
	w->say(w->arg, line);
}

/* The endpoint's address now, asked in a child that may take `limit_ns`. 0 or −errno. */
static int ask(const struct conf_peer *p, const struct wg_endpoint *now, int lock,
	       uint64_t limit_ns, struct wg_endpoint *ret)
{
	struct wg_endpoint found;
	struct pollfd wait = {.events = POLLIN};
	int ends[2], err = -ETIMEDOUT;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (lock >= 0)
			close(lock); /* it ends with who asks, not with the resolver */
		/* A family that is not answered must not cost the one that is (resolv.conf(5)). */
		setenv("RES_OPTIONS", "timeout:2 attempts:1", 0);
		if (!want_endpoint(p, now, &found) && write(ends[1], &found, sizeof(found)) > 0)
			_exit(0);
		_exit(1);
	}
	close(ends[1]);
	wait.fd = ends[0];
	if (child < 0)
		err = -errno;
	else if (poll(&wait, 1, (int)(limit_ns / 1000000)) > 0)
		err = read(ends[0], &found, sizeof(found)) == sizeof(found) ? 0 : -EAGAIN;
	close(ends[0]);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (!err)
		*ret = found;
	return err;
}

static uint64_t real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* The peer as the kernel has it, mostly in the configuration's order. */
static size_t peer_of(const struct wg_device *d, const struct conf_peer *p, size_t guess)
{
	for (size_t k = 0; k < d->n_peers; k++) {
		size_t i = (guess + k) % d->n_peers;

		if (!memcmp(d->peers[i].public_key, p->public_key, KEY_SIZE))
			return i;
	}
	return d->n_peers;
}

/* Is the name of this peer to be asked for anew? *ret_at: its place in the device. */
static bool is_stale(const struct watch_tunnel *t, unsigned int i, uint64_t now, size_t *ret_at)
{
	const struct conf_peer *p = &t->conf->wireguard.peers[i];
	const struct wg_device *d = &t->device;
	size_t at;

	if (!p->endpoint[0] || p->address.family)
		return false;
	at = peer_of(d, p, i);
	if (at == d->n_peers ||
	    (d->peers[at].handshake_ns && d->peers[at].handshake_ns + HANDSHAKE_STALE > now))
		return false;
	*ret_at = at;
	return true;
}

static void move_endpoint(struct watch *w, struct watch_tunnel *t, struct wg_peer *p,
			  const struct conf_peer *conf, const struct wg_endpoint *fresh)
{
	struct wg_step step = {.kind = WG_STEP_ENDPOINT, .peer = p};
	const struct wg_delta delta = {.want = &t->device, .steps = &step, .n = 1};
	struct wg_endpoint old = p->endpoint;
	char line[300], why[128] = "", is[64];
	int err;

	p->endpoint = *fresh;
	p->set |= WG_ENDPOINT;
	text_address(fresh->ip, htons(fresh->port), is);
	err = wg_send(&delta, why, sizeof(why));
	if (err) {
		p->endpoint = old;
		snprintf(line, sizeof(line), "%.64s is now %s, but the kernel refuses it: %s",
			 conf->endpoint, is, why[0] ? why : strerror(-err));
	} else {
		snprintf(line, sizeof(line), "%.64s is now %s: the peer is sought there",
			 conf->endpoint, is);
	}
	say(w, t->conf->name, line);
}

/* Begins each time with another, so that names that take all the time are not in the others' way.
 */
static void repair_endpoints(struct watch *w, struct watch_tunnel *t, uint64_t now,
			     uint64_t limit_ns)
{
	unsigned int n = t->conf->wireguard.n_peers,
		     first = n ? (unsigned int)(now / AGAIN % n) : 0;
	uint64_t until = loop_now() + limit_ns;

	for (unsigned int k = 0; k < n; k++) {
		unsigned int i = (first + k) % n;
		uint64_t clock = loop_now();
		struct wg_endpoint fresh;
		struct wg_peer *p;
		size_t at;

		if (clock >= until)
			return;
		if (!is_stale(t, i, real_ns(), &at))
			continue;
		p = &t->device.peers[at];
		if (!ask(&t->conf->wireguard.peers[i], &p->endpoint, w->lock, until - clock,
			 &fresh) &&
		    (memcmp(fresh.ip, p->endpoint.ip, sizeof(fresh.ip)) != 0 ||
		     fresh.port != p->endpoint.port))
			move_endpoint(w, t, p, &t->conf->wireguard.peers[i], &fresh);
	}
}

static void repair_ike(struct watch *w, struct watch_tunnel *t)
{
	struct charon *c = NULL;
	char why[200] = "";
	int err = charon_open(t->conf->ike.vici, &c, why, sizeof(why));

	if (!err && t->conf->ike.remote[0])
		err = charon_load(c, t->conf, t->conf->name, t->if_id, why, sizeof(why));
	if (!err || err == 1)
		charon_initiate(c, t->conf->name, 0, why, sizeof(why));
	else
		snprintf(t->note, sizeof(t->note), "%s", why);
	charon_close(c);
	if (err == 1)
		say(w, t->conf->name, "charon had lost the connection: it is loaded again");
}

static void repair_fixed(struct watch *w, struct watch_tunnel *t)
{
	char why[200] = "", line[600];
	int err = fixed_step(t->conf, t->if_id, w->dir, real_ns() / SECOND, false, &t->memory,
			     &t->fixed, why, sizeof(why));

	if (err) {
		snprintf(t->note, sizeof(t->note), "%s", why);
	} else if (t->fixed.changed) {
		snprintf(line, sizeof(line), "keys: %s", t->fixed.done);
		say(w, t->conf->name, line);
	}
}

bool watch_needs_repair(const struct watch_tunnel *t, uint64_t now)
{
	if (!t->look.exists || (t->repaired_at && now < t->repaired_at + AGAIN))
		return false;
	if (t->conf->wireguard.given) {
		size_t at;

		for (unsigned int k = 0; k < t->conf->wireguard.n_peers; k++)
			if (is_stale(t, k, real_ns(), &at))
				return true;
		return false;
	}
	return t->conf->ike.given && t->look.established_known && !t->look.established;
}

void watch_repair(struct watch *w, unsigned int i, uint64_t now, uint64_t limit_ns)
{
	struct watch_tunnel *t = &w->tunnel[i];

	if (t->conf->fixed.given && t->look.exists)
		repair_fixed(w, t);
	if (t->conf->fixed.given || !watch_needs_repair(t, now))
		return;
	t->repaired_at = now;
	if (t->conf->wireguard.given)
		repair_endpoints(w, t, now, limit_ns);
	else
		repair_ike(w, t);
}

const char *watch_silence(const struct wg_peer *before, const struct wg_peer *after, char *ret,
			  size_t size)
{
	static const uint8_t none[KEY_SIZE];
	bool psk = memcmp(after->psk, none, KEY_SIZE) != 0;

	if (!after->endpoint.family)
		snprintf(ret, size, "no endpoint is known: it has to come to us");
	else if (after->rx > before->rx)
		snprintf(ret, size,
			 "its handshakes arrive but none completes: the preshared key differs "
			 "(%s here), or what we answer is lost",
			 psk ? "there is one" : "there is none");
	else if (after->tx > before->tx)
		snprintf(ret, size,
			 "we ask and nothing comes back: nobody at its endpoint, a firewall, or a "
			 "key%s that differs",
			 psk ? " or preshared key" : "");
	else
		snprintf(ret, size, "nothing was sent to it");
	return ret;
}
