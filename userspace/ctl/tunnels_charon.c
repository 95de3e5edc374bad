/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnels_charon.c - what charon tells by itself: connections and SAs that come and go
 *
 * An event is told and makes the tunnels be looked at now; it is never believed instead of the
 * kernel. charon may come later than we do, or again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "userspace/ctl/tunnels_inner.h"
#include "wg/charon.h"

#define FOLLOW_AGAIN (5 * SECOND)

static void lose(struct follower *f)
{
	if (!f->charon)
		return;
	loop_unwatch(f->d->loop, f->fd);
	charon_close(f->charon);
	f->charon = NULL;
}

static void on_event(void *arg, int fd, unsigned int ready)
{
	struct follower *f = arg;
	struct charon_event e;
	char text[200];
	int n;

	(void)fd;
	(void)ready;
	while ((n = charon_event(f->charon, &e)) == 1) {
		snprintf(text, sizeof(text), "charon: %.60s: %s%s", e.name, e.kind,
			 !strstr(e.kind, "updown") ? ""
			 : e.up			   ? ": up"
						   : ": down");
		f->d->say(f->d->arg, text);
	}
	if (n < 0 && n != -ENOBUFS)
		lose(f);
	ctl_tunnels_hurry(f->d);
}

/* charon may come later, or again. */
static void follow(struct follower *f, uint64_t now)
{
	char why[160];

	if (f->charon || (f->tried_at && now < f->tried_at + FOLLOW_AGAIN))
		return;
	f->tried_at = now;
	if (charon_open(f->socket, &f->charon, why, sizeof(why)))
		return;
	f->fd = charon_fd(f->charon);
	if (charon_follow(f->charon) || loop_watch(f->d->loop, f->fd, LOOP_READ, on_event, f)) {
		charon_close(f->charon);
		f->charon = NULL;
	}
}

void ctl_charon_choose(struct ctl_tunnels *d)
{
	ctl_charon_end(d);
	for (unsigned int i = 0; i < d->watch->n; i++) {
		const struct conf_tunnel *t = d->watch->tunnel[i].conf;
		unsigned int k = 0;

		while (k < d->n_followers && strcmp(d->follower[k].socket, t->ike.vici) != 0)
			k++;
		if (!t->ike.given || k < d->n_followers || k == MAX_CHARON)
			continue;
		d->follower[k] = (struct follower){.d = d};
		snprintf(d->follower[k].socket, sizeof(d->follower[k].socket), "%s", t->ike.vici);
		d->n_followers++;
	}
}

void ctl_charon_tick(struct ctl_tunnels *d, uint64_t now)
{
	for (unsigned int k = 0; k < d->n_followers; k++)
		follow(&d->follower[k], now);
}

void ctl_charon_end(struct ctl_tunnels *d)
{
	for (unsigned int k = 0; k < d->n_followers; k++)
		lose(&d->follower[k]);
	d->n_followers = 0;
}
