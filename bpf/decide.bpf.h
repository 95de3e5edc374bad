/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * decide.bpf.h - which arm a new connection goes to, and which backend
 *
 * A SYN is answered once. If it goes to a backend, its flow's record is the memory; if it stays,
 * the old host's stack knows it, but not always visibly: behind DNAT the socket is in another
 * namespace, under SYN cookies there is none. So every SYN left local is also remembered by tuple
 * and initial sequence number for as long as it may be repeated, and a repetition gets the same
 * answer even when the share has changed in between. The memory is a plain table of eight-way
 * lines: bounded, no allocation; a flood can push entries out, and then the socket look-up is what
 * is left.
 *
 * Whatever fails on the way to a backend ends at the old host, with a counter.
 */
#pragma once

#include "bpf/control.bpf.h"
#include "bpf/flow.bpf.h"
#include "bpf/watch.bpf.h"

#define SOCKET_LISTEN	 10 /* enum bpf_tcp_state in <linux/bpf.h> */
#define SOCKET_TIME_WAIT 6

#define BACKEND_TRIES 8 /* by hash, before the table's list is walked */
#define TARGET_TRIES  8
#define CLIENT_LOOKS  4 /* entries that have run out, one inside the other */
#define PORT_TRIES    8 /* that somebody else holds: the host itself, or a flow of before */

/* The name of a SYN in the memory: its tuple and initial sequence number. */
static __always_inline __u64 syn_hash(const struct packet *p)
{
	__u64 h =
		shift_mix(((__u64)p->src[3] << 32 | p->seq) ^ ((__u64)p->src[1] << 32 | p->src[2]));

	return shift_mix(h ^ ((__u64)p->sport << 48 | (__u64)p->dport << 32 | p->dst[3]) ^
			 p->src[0]);
}

enum { SYN_LOOK, SYN_TOUCH, SYN_KEEP };

static __always_inline int line_memory(struct shift_syn_line *line, __u32 tag, __u32 ttl, __u32 now,
				       __u32 how)
{
	__u32 oldest = 0, oldest_age = 0;

	if (!line)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SHIFT_SYN_WAYS; i++) {
		__u32 age = now - line->tick[i];

		if (line->tag[i] == tag && age < ttl) {
			if (how != SYN_LOOK)
				line->tick[i] = now;
			return 1;
		}
		if (!line->tag[i])
			age = ~0u;
		if (age > oldest_age) {
			oldest_age = age;
			oldest = i;
		}
	}
	if (how == SYN_KEEP) {
		line->tag[oldest & (SHIFT_SYN_WAYS - 1)] = tag;
		line->tick[oldest & (SHIFT_SYN_WAYS - 1)] = now;
	}
	return 0;
}

/* Is the SYN remembered? TOUCH moves its time on if it is; KEEP remembers it if it is not. */
__noinline int syn_memory(__u64 hash, __u32 ttl, __u32 now, __u32 how)
{
	__u32 key = hash >> 32 & (SHIFT_SYN_LINES - 1);

	return line_memory(bpf_map_lookup_elem(&shift_syns, &key), (__u32)hash | 1, ttl, now, how);
}

/* The same of a UDP tuple that the old host serves. */
__noinline int udp_memory(__u64 hash, __u32 ttl, __u32 now, __u32 how)
{
	__u32 key = hash >> 32 & (SHIFT_UDP_LINES - 1);

	return line_memory(bpf_map_lookup_elem(&shift_udps, &key), (__u32)hash | 1, ttl, now, how);
}

/* When nothing was left local for as long as it would be remembered, nobody need look. */
static __always_inline int syn_left_local(const struct visit *v, const struct shift_service *svc,
					  __u32 how)
{
	__u32 service = v->service, *last = bpf_map_lookup_elem(&shift_locals, &service);
	__u32 now = v->now ? v->now : 1, then;

	if (!last)
		return 0;
	then = *(volatile __u32 *)last;
	if (how == SYN_KEEP) {
		if (then != now)
			*last = now;
	} else if (!then || now - then > svc->syn_memory) {
		return 0;
	}
	return syn_memory(syn_hash(&v->p), svc->syn_memory, v->now, how);
}

static __always_inline int left_local(const struct visit *v, const struct shift_service *svc,
				      __u32 how)
{
	if (v->p.protocol == IPPROTO_UDP)
		return udp_memory(syn_hash(&v->p), svc->timeout_udp, v->now, how);
	return syn_left_local(v, svc, how);
}

enum { SOCKET_OF_FLOW, SOCKET_ANY };

/*
 * Does the host itself hold a socket of this tuple that is more than a listener? In UDP a connected
 * one; or, asked for ANY, one that merely receives there.
 */
static __always_inline int local_socket(struct __sk_buff *skb, const __u32 src[4],
					const __u32 dst[4], __be32 ports, int v6, int udp, int any)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	__u32 size;
	int found;

	if (v6) {
		__builtin_memcpy(t.ipv6.saddr, src, sizeof(t.ipv6.saddr));
		__builtin_memcpy(t.ipv6.daddr, dst, sizeof(t.ipv6.daddr));
		__builtin_memcpy(&t.ipv6.sport, &ports, sizeof(ports));
		size = sizeof(t.ipv6);
	} else {
		t.ipv4.saddr = src[3];
		t.ipv4.daddr = dst[3];
		__builtin_memcpy(&t.ipv4.sport, &ports, sizeof(ports));
		size = sizeof(t.ipv4);
	}
	if (udp)
		sk = bpf_sk_lookup_udp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_skc_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	if (udp)
		found = any || sk->dst_port;
	else
		found = sk->state != SOCKET_LISTEN && sk->state != SOCKET_TIME_WAIT;
	bpf_sk_release(sk);
	return found;
}

/* Two ports as they stand in the packet. */
static __always_inline __be32 port_pair(__u16 sport, __u16 dport)
{
	return bpf_htonl((__u32)bpf_ntohs(sport) << 16 | bpf_ntohs(dport));
}

/* One that has run out hides none around it, which may forbid what it allowed. */
static __always_inline __u32 client_action(const struct packet *p, __u32 service)
{
	struct shift_client_key key = {.prefixlen = 160, .service = service};
	struct shift_client *c;

	__builtin_memcpy(key.address, p->src, sizeof(key.address));
#pragma clang loop unroll(disable)
	for (int i = 0; i < CLIENT_LOOKS; i++) {
		c = bpf_map_lookup_elem(&shift_clients, &key);
		if (!c)
			return 0;
		if (!c->until || bpf_ktime_get_boot_ns() < c->until)
			return c->action;
		if (!c->prefixlen)
			return 0;
		key.prefixlen = c->prefixlen - 1;
	}
	return SHIFT_CLIENT_OLD;
}

/* `wait_take`: ticks between two probes of an open breaker, and whether the backend is taken. */
static __always_inline int backend_usable(__u32 id, __u64 *now, __u32 tick, __u32 wait_take)
{
	struct shift_backend *b = bpf_map_lookup_elem(&shift_backends, &id);

	if (!b || (b->flags & (SHIFT_BACKEND_USED | SHIFT_BACKEND_DRAIN)) != SHIFT_BACKEND_USED)
		return 0;
	if (b->health == SHIFT_HEALTH_DOWN) {
		if (!*now)
			*now = bpf_ktime_get_boot_ns();
		if (*now < b->health_until) /* an old verdict is none */
			return 0;
	}
	return breaker_lets(id, tick, wait_take >> 1, wait_take & 1);
}

/*
 * The backend of a hash, or -1. An unusable one's share goes to the others by weight: further
 * entries of the table are tried, then every backend once.
 */
__noinline int pick_backend(__u32 table, __u64 hash, __u32 tick, __u32 wait_take)
{
	struct shift_table *t = bpf_map_lookup_elem(&shift_tables, &table);
	__u32 entry = shift_hash_entry(hash), first;
	__u64 now = 0;

	if (!t || !t->entries)
		return -1;
	for (int i = 0; i < BACKEND_TRIES; i++) {
		__u32 id;

		if (entry >= SHIFT_TABLE)
			return -1;
		id = t->backend[entry];
		if (backend_usable(id, &now, tick, wait_take))
			return id;
		entry = shift_hash_entry(shift_mix(hash + i + 1));
	}
	first = (hash >> 16) & (SHIFT_TABLE_LIST - 1);
	for (__u32 i = 0; i < SHIFT_TABLE_LIST; i++) {
		__u32 place = (first + i) & (SHIFT_TABLE_LIST - 1), id;

		if (place >= t->backends)
			continue;
		id = t->list[place];
		if (backend_usable(id, &now, tick, wait_take))
			return id;
	}
	return -1;
}

/* The host's own connection to the same backend would lose its answers. (A function, for its
 * stack.) */
static __noinline int port_in_use(struct __sk_buff *skb, const struct shift_target *t, __u32 index)
{
	return local_socket(skb, t->address, t->nat,
			    port_pair(t->port, bpf_htons(t->port_lo + index)), t->family == 6,
			    t->protocol == IPPROTO_UDP, SOCKET_ANY);
}

/* Does a flow of target `other` use the same port of the same NAT address? */
__noinline int uses_port_of(__u32 other, __u32 id, __u32 index, __u32 now)
{
	struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &id);
	struct shift_target *o = bpf_map_lookup_elem(&shift_targets, &other);
	struct shift_flow *f;

	if (other == id || !t || !o || o->protocol != t->protocol || o->nat[3] != t->nat[3] ||
	    o->nat[2] != t->nat[2])
		return 0;
	f = flow_slot(other, index + t->port_lo - o->port_lo);
	return f && shift_flow_holds(f, now);
}

/*
 * One backend's addresses never use a NAT port at the same time: each has ports of its own, unless
 * the addresses changed and flows of before still hold some. Does one hold this? Global, as
 * flow_take_port is, and the one before it, too.
 */
__noinline int sibling_holds(__u32 backend, __u32 id, __u32 index, __u32 now)
{
	struct shift_backend *b = bpf_map_lookup_elem(&shift_backends, &backend);

	if (!b || !(b->flags & SHIFT_BACKEND_MIXED))
		return 0;
	for (__u32 list = 0; list < SHIFT_BACKEND_LISTS; list++) {
		__u32 n = b->targets[list] + b->leaving[list];

#pragma clang loop unroll(disable)
		for (__u32 i = 0; i < SHIFT_BACKEND_TARGETS; i++) {
			if (i < n && uses_port_of(b->target[list][i], id, index, now))
				return 1;
		}
	}
	return 0;
}

/*
 * A port of one target, as its index, the shard above it; or ~enum shift_fallback. Global, as
 * flow_take_port is.
 */
__noinline int try_target(struct __sk_buff *skb, __u32 id, __u32 backend, __u32 now)
{
	struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &id);
	int index = TAKE_NONE;

	if (!t || (t->flags & (SHIFT_TARGET_USED | SHIFT_TARGET_DRAIN)) != SHIFT_TARGET_USED)
		return ~SHIFT_FALLBACK_NO_BACKEND;
	if (t->flags & SHIFT_TARGET_NO_ROUTE)
		return ~SHIFT_FALLBACK_NO_ROUTE;
	for (int i = 0; i < PORT_TRIES; i++) {
		index = flow_take_port(id, t->ports, (__u32)t->stride << 16 | t->phase, t->shards,
				       now);
		if (index < 0)
			break;
		if (!sibling_holds(backend, id, index & 0xffff, now) &&
		    !port_in_use(skb, t, index & 0xffff))
			return index;
	}
	return index == TAKE_FULL ? ~SHIFT_FALLBACK_HALF_OPEN : ~SHIFT_FALLBACK_PORTS_EXHAUSTED;
}

/*
 * One of the backend's targets with a free port: the hash says where to begin, so that a client
 * keeps its address while ports last. Nothing free: the verdict is a fallback, for the last reason
 * met. (The loop is written so that clang leaves 5.10's verifier no back edge it refuses.)
 */
static __noinline int pick_target(struct __sk_buff *skb, struct visit *v)
{
	struct decision *d = &v->d;
	struct shift_backend *b = bpf_map_lookup_elem(&shift_backends, &d->backend);
	__u32 list = shift_list(v->p.v6, v->p.protocol) & (SHIFT_BACKEND_LISTS - 1);
	int index = ~SHIFT_FALLBACK_NO_BACKEND;
	__u32 n, place;

	if (!b)
		return -1;
	n = b->targets[list];
	if (n > SHIFT_BACKEND_TARGETS)
		n = SHIFT_BACKEND_TARGETS;
	place = ((v->hash >> 16 & 0xffff) * n) >> 16;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < TARGET_TRIES; i++) {
		__u32 at = place + i;

		if (at >= n)
			at -= n;
		if (i < n && index < 0) {
			d->target = b->target[list][at & (SHIFT_BACKEND_TARGETS - 1)];
			index = try_target(skb, d->target, d->backend, v->now);
		}
		asm volatile("" : "+r"(place));
	}
	if (index >= 0) {
		d->index = index & 0xffff;
		d->shard = (__u32)index >> 16;
		return 0;
	}
	d->verdict = SHIFT_PASS_FALLBACK;
	d->fallback = ~index;
	return -1;
}

/* By us: then neither end gave up. */
static __always_inline int was_cut(const struct shift_flow *f)
{
	return f->cut || f->flags & SHIFT_FLOW_CUT || f->epoch < control_cut_epoch(f->service);
}

#define FAILED_LATELY 90000000000ull /* ns after a SYN that was never answered */

/*
 * Fills the record of a port that flow_take_port gave and leads the client's tuple to it. 0, or
 * ~enum shift_fallback.
 */
static __noinline int flow_insert(struct __sk_buff *skb, struct visit *v,
				  const struct shift_service *svc)
{
	const struct decision *d = &v->d;
	const struct packet *p = &v->p;
	struct shift_flow *f = flow_slot(d->target, d->index);
	__u32 rank = shift_hash_rank(v->hash);
	struct shift_flow_key key;

	if (!f)
		return ~SHIFT_FALLBACK_TABLE_FULL;
	if (f->was != SHIFT_FLOW_FREE) {
		if (f->was == SHIFT_FLOW_SYN_SENT && f->protocol == IPPROTO_TCP) {
			struct shift_backend_stats *s;
			__u32 backend = f->backend;

			s = backend_stats(backend);
			if (s)
				s->handshake_failures++;
			/* What failed long ago says nothing of the backend now. */
			if (bpf_ktime_get_ns() - f->born < FAILED_LATELY)
				breaker_failed(backend, v->now);
			flow_failed(f, SHIFT_FAILURE_UNANSWERED);
		} else if (f->protocol == IPPROTO_TCP && ended_unanswered(f) && !was_cut(f)) {
			flow_failed(f, f->down & SHIFT_SEEN_RST ? SHIFT_FAILURE_RESET
								: SHIFT_FAILURE_GAVE_UP);
		}
		flow_forget(f, d->target, d->index);
		f->was = SHIFT_FLOW_FREE;
	}
	uncount_half_open(f);
	uncount_client(f);
	f->counted = 0;
	if (!count_client(f, svc, v) &&
	    !(sweep(d->target, d->shard, v->now) && count_client(f, svc, v))) {
		f->state = SHIFT_FLOW_FREE;
		return ~SHIFT_FALLBACK_CLIENT_LIMIT;
	}
	count_half_open(f, d->target * SHIFT_MAX_SHARDS + d->shard);
	rank_mark(v->service, rank);
	f->generation++;
	copy_address(f->client, p->src);
	f->client_port = p->sport;
	f->listen = v->listen;
	f->up = 0;
	f->down = 0;
	f->cut = 0;
	f->flags = p->protocol == IPPROTO_UDP ? SHIFT_FLOW_UDP : 0;
	f->client_ack = 0;
	f->backend_ack = 0;
	f->bytes_up = 0;
	f->bytes_down = 0;
	f->ifindex = skb->ifindex;
	f->backend = d->backend;
	f->service = v->service;
	f->epoch = d->control.epoch;
	v->born = bpf_ktime_get_ns();
	f->born = v->born;
	f->client_isn = p->seq;
	f->backend_isn = 0;
	f->client_fin = 0;
	f->backend_fin = 0;
	f->rank = rank;
	f->protocol = p->protocol;
	f->syn_retransmits = 0;
	f->syn_tick = v->now;
	f->syn_bytes = 0;
	f->asked = 0;
	f->expires = v->now + (p->protocol == IPPROTO_UDP ? svc->timeout_udp
							  : svc->timeout[SHIFT_FLOW_SYN_SENT]);
	barrier();
	f->state = SHIFT_FLOW_SYN_SENT;

	flow_key(&key, p, v->listen);
	if (!index_insert(&key, d->target, d->index, v->now)) {
		f->state = SHIFT_FLOW_FREE;
		uncount_half_open(f);
		uncount_client(f);
		return ~SHIFT_FALLBACK_TABLE_FULL;
	}
	return 0;
}

/*
 * The decision for a SYN that no live flow answers, in v->d: an arm and, for the new one, a
 * backend. `keep` remembers a SYN that stays local.
 */
static __noinline int decide(struct __sk_buff *skb, struct visit *v,
			     const struct shift_service *svc, int keep)
{
	const struct packet *p = &v->p;
	struct decision *d = &v->d;
	int wanted = 0, id;

	__builtin_memset(d, 0, sizeof(*d));
	d->verdict = SHIFT_PASS_BYPASS;
	if (svc->flags & SHIFT_SERVICE_CLIENTS)
		d->client_action = client_action(p, v->service);
	if (d->client_action == SHIFT_CLIENT_BYPASS)
		return 0;
	if (control_read(v->service, &d->control) && !v->draining) {
		wanted = shift_hash_rank(v->hash) < d->control.threshold;
		d->by_share = d->control.mode != SHIFT_MODE_SHADOW &&
			      (!d->client_action || d->client_action == SHIFT_CLIENT_ALLOW);
		if (d->client_action == SHIFT_CLIENT_NEW && !d->control.latched)
			wanted = 1;
		if (d->client_action == SHIFT_CLIENT_OLD || d->client_action == SHIFT_CLIENT_PEER ||
		    d->client_action == SHIFT_CLIENT_DENY)
			wanted = 0;
	}
	if (p->ttl <= 1) { /* it would die on the way; the host itself can take it */
		wanted = 0;
		d->by_share = 0;
	}
	d->wanted = wanted;
	d->verdict = SHIFT_PASS_LOCAL_REPEAT;
	d->local_socket = 2;
	if (left_local(v, svc, !keep ? SYN_LOOK : wanted ? SYN_TOUCH : SYN_KEEP))
		return 0;
	d->local_socket = 0;
	d->verdict = SHIFT_PASS_LOCAL_SYN;
	if (!wanted)
		return 0;
	if (local_socket(skb, p->src, p->dst, port_pair(p->sport, p->dport), p->v6,
			 p->protocol == IPPROTO_UDP, SOCKET_OF_FLOW)) {
		d->local_socket = 1;
		d->verdict = SHIFT_PASS_LOCAL_REPEAT;
		return 0;
	}
	if (d->control.mode == SHIFT_MODE_SHADOW) {
		d->shadow = 1;
		return 0;
	}
	d->verdict = SHIFT_PASS_FALLBACK;
	d->fallback = SHIFT_FALLBACK_NO_BACKEND;
	id = pick_backend(v->service * 2 + (p->v6 & 1), v->hash, v->now,
			  svc->timeout_second * SHIFT_BREAKER_PROBE << 1 | !!keep);
	if (id < 0)
		return 0;
	d->backend = id;
	d->verdict = SHIFT_FORWARD;
	return 0;
}
