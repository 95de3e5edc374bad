/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnels_mtu.c - the largest packet that passes a tunnel, looked for once a minute beside the
 * usual probes
 *
 * One sized probe is on its way at a time, so a search of a path that loses large packets in
 * silence takes some ten seconds, and no more than a few packets.
 */
#include <errno.h>

#include "userspace/ctl/tunnels_inner.h"

#define MTU_EVERY (60 * SECOND)

static void mtu_step(struct prober *p, uint64_t now);

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

void ctl_mtu_tick(struct prober *p, uint64_t now)
{
	struct watch_tunnel *t = &p->d->watch->tunnel[p->i];

	if (p->mtu_runs && !t->probe) {
		p->mtu_runs = false;
	} else if (p->mtu_runs && now > p->mtu_sent_at + ctl_probe_timeout(t)) {
		mtu_search_result(&p->mtu, false);
		mtu_step(p, now);
	} else if (!p->mtu_runs) {
		mtu_begin(p, now);
	}
}

void ctl_mtu_answer(struct prober *p, const struct probe_event *e, uint64_t now)
{
	if (!p->mtu_runs || e->seq != p->mtu_seq)
		return;
	if (e->mtu)
		mtu_search_too_big(&p->mtu, e->mtu);
	else
		mtu_search_result(&p->mtu, true);
	mtu_step(p, now);
}
