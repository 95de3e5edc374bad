/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rig_answer.c - what is counted of both arms' answers, and what is remembered for it
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>

#include "tests/bpf/rig.h"

static uint32_t arm_key(uint32_t arm)
{
	return RIG_SERVICE * SHIFT_ARMS + arm;
}

void rig_one_cpu(cpu_set_t *ret_before)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_getaffinity(0, sizeof(*ret_before), ret_before) ||
	    sched_setaffinity(0, sizeof(one), &one))
		abort();
}

void rig_all_cpus(const cpu_set_t *before)
{
	if (sched_setaffinity(0, sizeof(*before), before))
		abort();
}

void rig_add_answers(struct shift_answers *sum, const struct shift_answers *more)
{
	__u64 *to = (__u64 *)sum;
	const __u64 *from = (const __u64 *)more;

	for (size_t i = 1; i < sizeof(*sum) / 8; i++) /* not the epoch */
		to[i] += from[i];
}

struct shift_arm *rig_arm(struct rig *r, uint32_t arm)
{
	struct shift_arm *cpus = calloc((size_t)r->cpus, sizeof(*cpus));
	uint32_t key = arm_key(arm);

	if (!cpus)
		abort();
	rig_get(r, RIG_ARMS, &key, cpus);
	return cpus;
}

void rig_backend_answers(struct rig *r, uint32_t backend, struct shift_answers *ret)
{
	struct shift_answers *cpus = calloc((size_t)r->cpus, sizeof(*cpus));

	if (!cpus)
		abort();
	rig_get(r, RIG_ANSWERS, &backend, cpus);
	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < r->cpus; i++)
		rig_add_answers(ret, &cpus[i]);
	free(cpus);
}

uint32_t rig_watch_place(const struct end *client, uint32_t listen)
{
	struct shift_flow_key key = {.client_port = shift_be16(client->port),
				     .listen = (uint16_t)listen};

	memcpy(key.client, client->ip, sizeof(key.client));
	return shift_flow_hash(&key, 0) >> 32 & (SHIFT_WATCHES - 1);
}

/* ---- watched connections ---- */

/* Those that are or were watched become older; or are forgotten. */
static void each_watch(struct rig *r, bool forget, uint32_t ticks, uint64_t ns)
{
	static struct shift_watch watches[SHIFT_WATCHES];
	static const struct shift_watch none;
	static uint32_t keys[SHIFT_WATCHES];
	uint32_t n = SHIFT_WATCHES, batch;

	if (bpf_map_lookup_batch(r->map[RIG_WATCHES], NULL, &batch, keys, watches, &n, NULL) &&
	    errno != ENOENT)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		struct shift_watch *w = &watches[i];

		if (!memcmp(w, &none, sizeof(none)))
			continue;
		w->tick -= ticks;
		w->born -= ns;
		w->asked -= ns;
		rig_put(r, RIG_WATCHES, &keys[i], forget ? &none : w);
	}
}

/* ---- clients ---- */

void rig_forget_clients(struct rig *r)
{
	static const struct shift_seen none;
	static const struct shift_origins nobody;
	struct shift_failer_key key;
	uint32_t id = RIG_SERVICE;

	while (!bpf_map_get_next_key(r->map[RIG_FAILERS], NULL, &key))
		if (bpf_map_delete_elem(r->map[RIG_FAILERS], &key))
			abort();
	rig_put(r, RIG_SEEN, &id, &none);
	rig_put(r, RIG_ORIGINS, &id, &nobody);
}

/* ---- both ---- */

/* What is remembered was counted: looking through the tables takes long in an emulated machine. */
static void counted(struct rig *r, uint64_t *ret_begun, uint64_t *ret_chosen)
{
	*ret_begun = *ret_chosen = 0;
	for (uint32_t arm = 0; arm < SHIFT_ARMS; arm++) {
		struct shift_arm *cpus = rig_arm(r, arm);

		for (int i = 0; i < r->cpus; i++) {
			*ret_begun += cpus[i].total.begun;
			*ret_chosen += cpus[i].total.chosen;
		}
		free(cpus);
	}
}

/* All cohorts move by the same number, so that no two of them meet at a place. */
static void older_cohorts(struct shift_cohort c[SHIFT_COHORTS], uint64_t ns)
{
	struct shift_cohort was[SHIFT_COHORTS];

	memcpy(was, c, sizeof(was));
	memset(c, 0, sizeof(was));
	for (int i = 0; i < SHIFT_COHORTS; i++) {
		uint64_t number =
			((was[i].number << SHIFT_COHORT_SHIFT) - ns) >> SHIFT_COHORT_SHIFT;

		if (!was[i].number)
			continue;
		c[number & (SHIFT_COHORTS - 1)] = was[i];
		c[number & (SHIFT_COHORTS - 1)].number = number;
	}
}

void rig_age_answers(struct rig *r, double seconds)
{
	uint32_t ticks = (uint32_t)(seconds * RIG_SECOND + 0.5);
	uint64_t ns = (uint64_t)(seconds * 1e9 + 0.5), begun, chosen;

	counted(r, &begun, &chosen);
	if (!begun)
		return;
	each_watch(r, false, ticks, ns);
	for (uint32_t arm = 0; arm < SHIFT_ARMS; arm++) {
		struct shift_arm *cpus = rig_arm(r, arm);
		uint32_t key = arm_key(arm);

		for (int i = 0; i < r->cpus; i++)
			older_cohorts(cpus[i].cohort, ns);
		rig_put(r, RIG_ARMS, &key, cpus);
		free(cpus);
	}
}

void rig_forget_answers(struct rig *r)
{
	uint64_t begun, chosen;
	void *none;

	counted(r, &begun, &chosen);
	rig_forget_clients(r);
	if (!begun && !chosen)
		return;
	none = calloc((size_t)r->cpus, sizeof(struct shift_arm));
	if (!none)
		abort();
	for (uint32_t arm = 0; arm < SHIFT_ARMS; arm++) {
		uint32_t key = arm_key(arm);

		rig_put(r, RIG_ARMS, &key, none);
	}
	for (uint32_t id = 0; id < RIG_BACKENDS; id++)
		rig_put(r, RIG_ANSWERS, &id, none);
	free(none);
	if (begun)
		each_watch(r, true, 0, 0);
}
