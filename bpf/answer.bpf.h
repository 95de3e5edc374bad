/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * answer.bpf.h - how both arms answer, told by the same measure
 *
 * What a client waits for is the time from its first data to the first answer, and what it suffers
 * is a connection that ends before that. Both are counted of the new arm in the flow's record, of
 * the old one in a watched connection (watch.bpf.h): in all, by the epoch of control in which the
 * connection began, and the failures also by the second it began in, for whoever asks after the
 * last ten. One client that fails again and again says little about an arm: so failures are counted
 * raw, and once of a client, in the arm and epoch of its first one, until shiftd forgets who
 * failed: when a ramp starts, and when a human has looked and goes on. Whichever the arm: a client
 * that fails everywhere and comes to the new arm as the share grows would else be counted there
 * anew, and of the old arm's clients none. That a client gave up is no failure of the arm's, so it
 * is among the raw ones only, or its real failure later would count no more. The table is of all
 * services, and gives the one up that failed longest ago: a client that is found there again moves
 * to its front, so only one that rests while 16,000 others fail is counted twice.
 *
 * What the split is judged by is counted here, too: connections whose arm the share alone decided
 * (no pin, no list, no peer, no shadow), in the arm that it gave them. One that could not be
 * carried there and fell back is the new arm's: that is an error of new, and counted as one, not a
 * share that is wrong. With affinity `client` all of a client's connections are in one arm, so that
 * only clients can be counted; they are sampled.
 */
#pragma once

#include "bpf/stats.bpf.h"

static __always_inline struct shift_arm *arm_of(__u32 place)
{
	return bpf_map_lookup_elem(&shift_arms, &place);
}

static __always_inline __u32 arm_place(__u32 service, __u32 arm)
{
	return service * SHIFT_ARMS + arm;
}

/* NULL: a later epoch has the place. */
static __always_inline struct shift_answers *arm_epoch(struct shift_arm *a, __u64 epoch)
{
	struct shift_answers *e = &a->epoch[epoch & (SHIFT_EPOCHS - 1)];

	if (e->epoch == epoch)
		return e;
	if (e->epoch > epoch)
		return NULL;
	__builtin_memset(e, 0, sizeof(*e));
	e->epoch = epoch;
	return e;
}

/* NULL: a later second has the place. */
static __always_inline struct shift_cohort *arm_cohort(struct shift_arm *a, __u64 born)
{
	__u64 number = born >> SHIFT_COHORT_SHIFT;
	struct shift_cohort *c = &a->cohort[number & (SHIFT_COHORTS - 1)];

	if (c->number == number)
		return c;
	if (c->number > number)
		return NULL;
	c->begun = 0;
	c->failed = 0;
	c->number = number;
	return c;
}

static __noinline int arm_begun(__u32 place, __u64 epoch, __u64 born)
{
	struct shift_arm *a = arm_of(place);
	struct shift_answers *e;
	struct shift_cohort *c;

	if (!a)
		return 0;
	a->total.begun++;
	e = arm_epoch(a, epoch);
	if (e)
		e->begun++;
	c = arm_cohort(a, born);
	if (c)
		c->begun++;
	return 0;
}

/* `took` in ns; 0: it was not asked. */
static __always_inline void answers_count(struct shift_answers *to, __u64 took)
{
	to->answered++;
	if (took)
		to->answer[histogram_bucket(took) & (SHIFT_HISTOGRAM - 1)]++;
}

static __noinline int arm_answered(__u32 place, __u64 epoch, __u64 took)
{
	struct shift_arm *a = arm_of(place);
	struct shift_answers *e;

	if (!a)
		return 0;
	answers_count(&a->total, took);
	e = arm_epoch(a, epoch);
	if (e)
		answers_count(e, took);
	return 0;
}

/* Is it the first failure of the client that is known? */
static __always_inline int fails_first(__u32 place, const __u32 client[4])
{
	struct shift_failer_key key = {.place = place & ~(SHIFT_ARMS - 1)};
	struct shift_failer is = {};

	if (client[0] || client[1]) {
		key.client[0] = client[0];
		key.client[1] = client[1];
	} else {
		key.client[2] = client[3];
	}
	if (bpf_map_lookup_elem(&shift_failers, &key))
		return 0;
	return !bpf_map_update_elem(&shift_failers, &key, &is, BPF_NOEXIST);
}

static __always_inline void answers_fail(struct shift_answers *to, __u32 why, int first)
{
	to->failed++;
	to->failed_clients += first;
	to->failure[why & 7]++;
}

/* A connection failed. True: it is its client's first that is known. */
static __noinline int arm_failed(__u32 place, __u64 epoch, __u64 born, const __u32 client[4],
				 __u32 why)
{
	struct shift_arm *a = arm_of(place);
	struct shift_answers *e;
	struct shift_cohort *c;
	int first;

	if (!a)
		return 0;
	first = why != SHIFT_FAILURE_GAVE_UP && fails_first(place, client);
	answers_fail(&a->total, why, first);
	e = arm_epoch(a, epoch);
	if (e)
		answers_fail(e, why, first);
	c = arm_cohort(a, born);
	if (c)
		c->failed++;
	return first;
}

/* ---- who comes, and where to ---- */

static __always_inline void answers_choose(struct shift_answers *to, int first)
{
	to->chosen++;
	to->clients += first;
}

/* The share gave a connection to this arm. */
static __noinline int arm_chosen(__u32 place, __u64 epoch, int first)
{
	struct shift_arm *a = arm_of(place);
	struct shift_answers *e;

	if (!a)
		return 0;
	answers_choose(&a->total, first);
	e = arm_epoch(a, epoch);
	if (e)
		answers_choose(e, first);
	return 0;
}

/* A connection begins, whichever way. */
static __noinline int arrive(const struct visit *v, __u32 affinity)
{
	int place = shift_origin_place(v->hash, v->p.sport, v->p.seq), first = 0;
	__u32 service = v->service;

	if (place >= 0) {
		struct shift_origins *s = bpf_map_lookup_elem(&shift_origins, &service);
		int v4 = !v->p.src[0] && !v->p.src[1];

		if (s) {
			struct shift_origin *to = &s->at[place & (SHIFT_ORIGINS - 1)];

			to->client[0] = v->p.src[0];
			to->client[1] = v4 ? v->p.src[3] : v->p.src[1];
		}
	}
	if (!v->d.by_share)
		return 0;
	if (affinity == SHIFT_AFFINITY_CLIENT) {
		__u64 hash = shift_client_hash(v->hash);
		struct shift_seen *s = NULL;

		if (shift_client_sampled(hash, v->d.control.epoch))
			s = bpf_map_lookup_elem(&shift_seen, &service);
		if (s)
			first = shift_client_first(s->tag[shift_client_line(hash)],
						   shift_client_tag(hash));
	}
	return arm_chosen(arm_place(service, v->d.wanted ? SHIFT_ARM_NEW : SHIFT_ARM_OLD),
			  v->d.control.epoch, first);
}

/*
 * A client that says at once that it will send no more may still want the answer; one that has
 * waited for it does not.
 */
#define GIVE_UP 1000000000ull /* ns */

static __always_inline int gives_up(__u64 asked)
{
	return bpf_ktime_get_ns() - asked >= GIVE_UP;
}

/* ---- of the new arm: a flow's record ---- */

static __always_inline struct shift_answers *backend_answers(__u32 backend)
{
	return bpf_map_lookup_elem(&shift_answers, &backend);
}

/* The client's data; only the first counts. */
static __always_inline void flow_asks(struct shift_flow *f)
{
	if (f->up & SHIFT_SEEN_DATA)
		return;
	f->asked = bpf_ktime_get_ns();
	f->up |= SHIFT_SEEN_DATA;
}

static __noinline int flow_first_answer(struct shift_flow *f, __u64 asked)
{
	__u64 took = asked ? bpf_ktime_get_ns() - asked : 0;
	struct shift_answers *s = backend_answers(f->backend);

	if (s)
		answers_count(s, took);
	return arm_answered(arm_place(f->service, SHIFT_ARM_NEW), f->epoch, took);
}

/* The backend's data; only the first counts. */
static __always_inline void flow_answers(struct shift_flow *f)
{
	if (f->down & SHIFT_SEEN_DATA)
		return;
	f->down |= SHIFT_SEEN_DATA;
	if (!(f->counted & SHIFT_COUNTED_FAILED))
		flow_first_answer(f, f->up & SHIFT_SEEN_DATA ? f->asked : 0);
}

/* Once per flow. */
static __noinline int flow_failed(struct shift_flow *f, __u32 why)
{
	struct shift_answers *s = backend_answers(f->backend);
	int first;

	if (f->counted & SHIFT_COUNTED_FAILED)
		return 0;
	f->counted |= SHIFT_COUNTED_FAILED;
	first = arm_failed(arm_place(f->service, SHIFT_ARM_NEW), f->epoch, f->born, f->client, why);
	if (s)
		answers_fail(s, why, first);
	return 0;
}

static __always_inline int flow_waits(const struct shift_flow *f)
{
	return f->up & SHIFT_SEEN_DATA && !(f->down & SHIFT_SEEN_DATA);
}

/* Of a flow that is over: it was waiting, or the backend's reset was not certain then. */
static __always_inline int ended_unanswered(const struct shift_flow *f)
{
	return flow_waits(f) || (f->down & SHIFT_SEEN_RST && !(f->down & SHIFT_SEEN_DATA));
}
