/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * watch.bpf.h - how the old arm answers: one connection in eight, from its SYN to its first answer
 *
 * The old arm's connections have no record, and its answers do not pass the ingress. So some are
 * watched: which, the tuple's hash says, so that packets of the others cost a multiplication. A
 * watched one has a place in a table until it is answered, or fails, the way a shifted one does;
 * its answer is seen where the host sends it, by a program at the egress. A place that is taken by
 * another leaves a connection unwatched and uncounted.
 *
 * If the host's answers leave by an interface that has no such program, nothing is known of them:
 * a handshake that the client finishes and the host never began is watched no longer.
 */
#pragma once

#include "bpf/answer.bpf.h"
#include "bpf/index.bpf.h"

#define WATCH_SYN   64000000000ull  /* ns; as long as a SYN may be repeated */
#define WATCH_ASKED 120000000000ull /* nobody waits longer */
#define WATCH_OPEN  2000000000ull   /* a client that lives has acknowledged the SYN-ACK by then */

static __always_inline int is_watched(const struct packet *p)
{
	return shift_watched(p->src, p->sport, flow_seed);
}

static __always_inline int watches(const struct shift_watch *w, const struct packet *p,
				   __u32 listen)
{
	return w->state != SHIFT_WATCH_FREE && w->client_port == p->sport &&
	       w->listen == (__u16)listen && same_address(w->client, p->src);
}

/* Where the client's tuple is watched, or would be. */
static __always_inline struct shift_watch *watch_place(const struct packet *p, __u32 listen)
{
	struct shift_flow_key key;
	__u32 place;

	copy_address(key.client, p->src);
	key.client_port = p->sport;
	key.listen = listen;
	place = shift_flow_hash(&key, flow_seed) >> 32 & (SHIFT_WATCHES - 1);
	return bpf_map_lookup_elem(&shift_watches, &place);
}

static __always_inline void watch_answered(struct shift_watch *w, __u64 took)
{
	w->state = SHIFT_WATCH_FREE;
	arm_answered(arm_place(w->service, SHIFT_ARM_OLD), w->epoch, took);
}

static __always_inline void watch_failed(struct shift_watch *w, __u32 why)
{
	__u8 protocol = w->protocol;

	w->state = SHIFT_WATCH_FREE;
	if (protocol == IPPROTO_TCP)
		arm_failed(arm_place(w->service, SHIFT_ARM_OLD), w->epoch, w->born, w->client, why);
}

/* Nobody told how it ended. False: it may go on yet. */
static __always_inline int watch_over(struct shift_watch *w, __u64 now)
{
	switch (w->state) {
	case SHIFT_WATCH_FREE:
		return 1;
	case SHIFT_WATCH_SYN:
		if (now - w->born < WATCH_SYN)
			return 0;
		watch_failed(w, SHIFT_FAILURE_UNANSWERED);
		return 1;
	case SHIFT_WATCH_ASKED:
		if (now - w->asked < WATCH_ASKED)
			return 0;
		watch_failed(w, SHIFT_FAILURE_GAVE_UP);
		return 1;
	default: /* a flood leaves many that nobody acknowledges */
		return now - w->born >= (w->acknowledged ? WATCH_ASKED : WATCH_OPEN);
	}
}

/* A new connection of the old arm, perhaps to be watched. */
static __noinline int watch_begin(const struct visit *v)
{
	const struct packet *p = &v->p;
	struct shift_watch *w;
	__u64 now;

	if (!is_watched(p))
		return 0;
	w = watch_place(p, v->listen);
	if (!w)
		return 0;
	now = bpf_ktime_get_ns();
	if (!watches(w, p, v->listen) && !watch_over(w, now))
		return 0;
	w->state = SHIFT_WATCH_FREE;
	barrier();
	copy_address(w->client, p->src);
	w->client_port = p->sport;
	w->listen = v->listen;
	w->service = v->service;
	w->protocol = p->protocol;
	w->repeats = 0;
	w->acknowledged = 0;
	w->tick = v->now;
	w->number = p->seq;
	w->born = now;
	w->asked = now;
	w->epoch = v->d.control.epoch;
	barrier();
	w->state = p->protocol == IPPROTO_UDP ? SHIFT_WATCH_ASKED : SHIFT_WATCH_SYN;
	return arm_begun(arm_place(v->service, SHIFT_ARM_OLD), w->epoch, now);
}

/* The tuple is a shifted flow's from now on, whose packets pass the egress, too. */
static __noinline int watch_leave(const struct visit *v)
{
	const struct packet *p = &v->p;
	struct shift_watch *w;

	if (!is_watched(p))
		return 0;
	w = watch_place(p, v->listen);
	if (w && watches(w, p, v->listen))
		w->state = SHIFT_WATCH_FREE;
	return 0;
}

/* Its SYN again: the second time, it has failed (as on the new arm: client.bpf.h, rescue). */
static __noinline int watch_repeat(const struct visit *v, const struct shift_service *svc)
{
	const struct packet *p = &v->p;
	struct shift_watch *w;

	if (p->protocol != IPPROTO_TCP || !is_watched(p))
		return 0;
	w = watch_place(p, v->listen);
	if (!w || !watches(w, p, v->listen) || w->state != SHIFT_WATCH_SYN || w->number != p->seq ||
	    v->now - w->tick < svc->timeout_second / 5)
		return 0;
	w->tick = v->now;
	if (++w->repeats >= 2)
		watch_failed(w, SHIFT_FAILURE_UNANSWERED);
	return 0;
}

/* Another packet of the client's. */
static __noinline int watch_client(const struct visit *v)
{
	const struct packet *p = &v->p;
	struct shift_watch *w = watch_place(p, v->listen);

	if (!w || !watches(w, p, v->listen))
		return 0;
	if (w->state == SHIFT_WATCH_SYN) { /* it knows an answer that was not seen here */
		w->state = SHIFT_WATCH_FREE;
		return 0;
	}
	if (p->flags & TCP_RST) {
		if (p->seq - w->number > 0xffff)
			return 0;
		if (w->state == SHIFT_WATCH_ASKED)
			watch_failed(w, SHIFT_FAILURE_GAVE_UP);
		w->state = SHIFT_WATCH_FREE;
		return 0;
	}
	w->acknowledged = 1;
	if (p->payload && w->state == SHIFT_WATCH_OPEN) {
		w->asked = bpf_ktime_get_ns();
		w->state = SHIFT_WATCH_ASKED;
	}
	if (p->flags & TCP_FIN && w->state == SHIFT_WATCH_ASKED && gives_up(w->asked))
		watch_failed(w, SHIFT_FAILURE_GAVE_UP);
	return 0;
}

/* A packet of the host's; *p is turned, as if the client had sent it. */
static __noinline int watch_host(const struct packet *p, __u32 listen)
{
	struct shift_watch *w = watch_place(p, listen);
	__u8 state;

	if (!w || !watches(w, p, listen))
		return 0;
	state = w->state;
	if (p->protocol == IPPROTO_TCP) {
		if (p->flags & TCP_RST) {
			watch_failed(w, state == SHIFT_WATCH_SYN ? SHIFT_FAILURE_REFUSED
								 : SHIFT_FAILURE_RESET);
			return 0;
		}
		if (p->flags & TCP_ACK)
			w->number = p->ack;
		if (p->flags & TCP_SYN) {
			if (state == SHIFT_WATCH_SYN)
				w->state = SHIFT_WATCH_OPEN;
			return 0;
		}
	}
	if (p->payload || p->protocol == IPPROTO_UDP) {
		watch_answered(w, state == SHIFT_WATCH_ASKED ? bpf_ktime_get_ns() - w->asked : 0);
	} else if (p->flags & TCP_FIN) {
		if (state == SHIFT_WATCH_ASKED)
			watch_failed(w, SHIFT_FAILURE_CLOSED);
		w->state = SHIFT_WATCH_FREE;
	}
	return 0;
}
