/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * story_answer.c - lines of a story that are about answers: what leaves the host, and what is
 * counted of both arms
 */
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/check.h"
#include "tests/bpf/story.h"

static bool is(const char *word, const char *wanted)
{
	return !strcmp(word, wanted);
}

/* watched yes|no: the client's port is from now on one whose connections are, or are not. */
void story_watched(struct story *s, char *arg[])
{
	struct end *c = &s->client_end;

	while (shift_watched(c->ip, shift_be16(c->port), 0) != is(arg[0], "yes"))
		c->port++;
}

/* ---- what leaves the host ---- */

void story_leaves(struct story *s, const struct frame *f, const char *what)
{
	struct tally before, after;
	char name[80];

	rig_tally(s->rig, &before);
	if (rig_run(s->rig, s->rig->egress, f, &s->run)) {
		check_fail("%s: the kernel does not run it", what);
		return;
	}
	CHECK(s->run.action == TC_ACT_UNSPEC, "%s: the action is %d", what, s->run.action);
	frame_check_equal(&s->run.out, f, what);
	rig_tally(s->rig, &after);
	for (size_t i = 0; i < TALLY_WORDS; i++)
		if (((uint64_t *)&after)[i] != ((uint64_t *)&before)[i])
			check_fail("%s: counter '%s' moved", what, rig_tally_name(i, name));
}

/*
 * host says FLAGS [len N] [seq N] [ack N] [at PORT] [to PORT]
 *
 * A packet from the listen address to the client through the program at the egress. Its numbers
 * follow those of the client's packets and its own before, as far from there as the line says; the
 * client sees it. The ports may be others.
 */
void story_host_says(struct story *s, char *arg[])
{
	static const char letters[] = "FSRPAU";
	struct segment seg = {.src = rig_listen_end(s->v6),
			      .dst = s->client_end,
			      .ttl = 64,
			      .window = 502,
			      .id = (uint16_t)s->line};
	static struct frame f;
	bool given = false;
	uint32_t end;

	for (const char *c = arg[0]; c && *c; c++)
		if (strchr(letters, *c))
			seg.flags |= (uint8_t)(1 << (strchr(letters, *c) - letters));
	seg.seq = seg.flags & TCP_SYN ? s->server.isn : s->server.next;
	seg.ack = seg.flags & TCP_ACK ? s->client.next : 0;
	for (int i = 1; arg[0] && arg[i]; i += 2) {
		uint32_t n = arg[i + 1] ? (uint32_t)atoi(arg[i + 1]) : 0;

		if (is(arg[i], "len"))
			seg.payload = n;
		else if (is(arg[i], "seq"))
			seg.seq += n, given = true;
		else if (is(arg[i], "ack"))
			seg.ack += n;
		else if (is(arg[i], "at"))
			seg.src.port = (uint16_t)n;
		else if (is(arg[i], "to"))
			seg.dst.port = (uint16_t)n;
		else
			story_fail(s, "what is '%s'?", arg[i]);
	}
	frame_build(&f, &seg);
	frame_swap_macs(&f);
	story_leaves(s, &f, "what the host says");
	end = seg.seq + (uint32_t)seg.payload + !!(seg.flags & TCP_SYN) + !!(seg.flags & TCP_FIN);
	if (!given && !(seg.flags & TCP_RST)) {
		s->server.next = end;
		s->client.seen = end;
	}
	if (check_failed())
		s->over = true;
}

/* ---- what is counted of both arms ---- */

/* The words of struct shift_answers after its epoch. */
static const char *answers_name(size_t word, char text[40])
{
	static const char *const first[] = {"begun", "answered", "failed", "clients"};
	static const char *const failure[] = SHIFT_FAILURE_NAMES;

	if (word >= 1 && word <= 4)
		return first[word - 1];
	if (word >= 5 && word < 5 + SHIFT_FAILURES)
		return failure[word - 5];
	snprintf(text, 40, "word %zu", word);
	return text;
}

struct wanted {
	struct shift_answers sum; /* .answer[0]: how many are timed */
	int bucket;		  /* that they are in; −1: any */
	bool spread;		  /* over epochs and backends */
	bool only;		  /* nothing but this epoch is looked at */
	uint64_t epoch;
};

/* The bucket that ends there, "over": the one after the last. */
static int bucket_ending(const char *text)
{
	static const uint32_t edges[SHIFT_HISTOGRAM_STEPS] = SHIFT_HISTOGRAM_EDGES;
	int i = 0;

	if (is(text, "over"))
		return SHIFT_HISTOGRAM_STEPS;
	while (i < SHIFT_HISTOGRAM_STEPS && edges[i] != (uint32_t)(story_seconds(text) * 1e5 + 0.5))
		i++;
	return i < SHIFT_HISTOGRAM_STEPS ? i : SHIFT_HISTOGRAM;
}

static bool read_wanted(struct story *s, char *arg[], struct wanted *ret)
{
	__u64 *words = (__u64 *)&ret->sum; /* as its members are */
	char name[40];

	*ret = (struct wanted){.bucket = -1, .epoch = rig_record(s->rig).epoch};
	for (; *arg; arg++) {
		size_t i = 1;

		if (is(*arg, "spread")) {
			ret->spread = true;
			continue;
		}
		while (i < 5 + SHIFT_FAILURES && !is(*arg, answers_name(i, name)))
			i++;
		if (!arg[1])
			return false;
		if (i < 5 + SHIFT_FAILURES) {
			words[i] = strtoull(arg[1], NULL, 10);
		} else if (is(*arg, "timed")) {
			ret->sum.answer[0] = strtoull(arg[1], NULL, 10);
		} else if (is(*arg, "in") || is(*arg, "of")) {
			ret->epoch = strtoull(arg[1], NULL, 10);
			ret->only = is(*arg, "of");
		} else if (is(*arg, "bucket")) {
			ret->bucket = bucket_ending(arg[1]);
			if (ret->bucket == SHIFT_HISTOGRAM)
				return false;
		} else {
			return false;
		}
		arg++;
	}
	return true;
}

static void check_answers(struct story *s, const char *where, struct shift_answers *is,
			  const struct shift_answers *wanted, int bucket)
{
	struct shift_answers w = *wanted;
	uint64_t timed = 0;
	char name[40];

	for (int i = 0; i < SHIFT_HISTOGRAM; i++) {
		timed += is->answer[i];
		if (bucket >= 0 && i != bucket && is->answer[i])
			story_fail(s, "%s: bucket %d of the times has %llu, all should be in %d",
				   where, i, (unsigned long long)is->answer[i], bucket);
		is->answer[i] = 0;
	}
	is->answer[0] = timed;
	is->chosen = is->clients = 0; /* story_chose() looks at them */
	for (size_t i = 1; i < sizeof(w) / 8; i++) {
		uint64_t has = ((__u64 *)is)[i], should = ((__u64 *)&w)[i];

		if (has != should)
			story_fail(s, "%s: %s is %llu, should be %llu", where,
				   i == offsetof(struct shift_answers, answer) / 8
					   ? "timed"
					   : answers_name(i, name),
				   (unsigned long long)has, (unsigned long long)should);
	}
}

static void check_epochs(struct story *s, int cpus, const struct shift_arm *arm,
			 const struct wanted *w)
{
	struct shift_answers here = {0}, elsewhere = {0};
	static const struct shift_answers none;

	for (int cpu = 0; cpu < cpus; cpu++)
		for (int i = 0; i < SHIFT_EPOCHS; i++)
			rig_add_answers(arm[cpu].epoch[i].epoch == w->epoch ? &here : &elsewhere,
					&arm[cpu].epoch[i]);
	check_answers(s, "that epoch", &here, &w->sum, w->bucket);
	if (!w->only)
		check_answers(s, "other epochs", &elsewhere, &none, -1);
}

static void check_total(struct story *s, int cpus, const struct shift_arm *arm,
			const struct wanted *w)
{
	struct shift_answers total = {0};
	uint64_t begun = 0, failed = 0;

	for (int cpu = 0; cpu < cpus; cpu++) {
		rig_add_answers(&total, &arm[cpu].total);
		for (int i = 0; i < SHIFT_COHORTS; i++) {
			begun += arm[cpu].cohort[i].begun;
			failed += arm[cpu].cohort[i].failed;
		}
	}
	check_answers(s, "in all", &total, &w->sum, w->bucket);
	if (begun != w->sum.begun || failed != w->sum.failed)
		story_fail(s, "by seconds %llu are begun and %llu failed",
			   (unsigned long long)begun, (unsigned long long)failed);
}

/* What the new arm counts, the backend does, but for what is begun. */
static void check_backend(struct story *s, const struct wanted *w)
{
	struct shift_answers wanted = w->sum, sum = {0}, b;

	wanted.begun = 0;
	for (uint32_t id = 0; id < RIG_BACKENDS; id++) {
		if (!w->spread && id != s->backend)
			continue;
		rig_backend_answers(s->rig, id, &b);
		rig_add_answers(&sum, &b);
	}
	check_answers(s, "the backend", &sum, &wanted, w->bucket);
}

/*
 * answers old|new [COUNTER N…] [timed N] [bucket END] [in EPOCH | of EPOCH | spread]
 *
 * What is counted of the arm: in all, by the seconds that connections began in, of the new arm at
 * the story's backend; and all of it in one epoch of control, the one now in force or another (in).
 * `spread`: epochs and backends are more than one. `of`: of that epoch alone, nothing else is
 * looked at. COUNTER is begun, answered, failed, clients (of the failures, once each), refused,
 * unanswered, reset, closed or gave_up; timed are the answers that have a time, all in the bucket
 * that ends there. What is not named is 0.
 */
void story_answers(struct story *s, char *arg[])
{
	uint32_t id = is(arg[0], "new") ? SHIFT_ARM_NEW : SHIFT_ARM_OLD;
	struct shift_arm *arm;
	struct wanted w;

	if (!read_wanted(s, arg + 1, &w)) {
		story_fail(s, "what of the answers?");
		return;
	}
	arm = rig_arm(s->rig, id);
	if (!w.only) {
		check_total(s, s->rig->cpus, arm, &w);
		if (id == SHIFT_ARM_NEW)
			check_backend(s, &w);
	}
	if (!w.spread)
		check_epochs(s, s->rig->cpus, arm, &w);
	free(arm);
}

/* ---- whom the share gave to an arm ---- */

/* sampled yes|no: another client, one that is counted in the epoch now in force, or is not. */
void story_sampled(struct story *s, char *arg[])
{
	uint64_t hash;

	do {
		story_client(s, s->backend, 25, 50);
		hash = shift_client_hash(rig_hash(s->rig, &s->client_end));
	} while (shift_client_sampled(hash, rig_record(s->rig).epoch) != is(arg[0], "yes"));
}

/* chose old|new CONNECTIONS CLIENTS [of EPOCH]: in all, or those that began in that epoch. */
void story_chose(struct story *s, char *arg[])
{
	uint32_t id = is(arg[0], "new") ? SHIFT_ARM_NEW : SHIFT_ARM_OLD;
	struct shift_arm *arm = rig_arm(s->rig, id);
	struct shift_answers sum = {0};
	uint64_t epoch = arg[3] && arg[4] ? strtoull(arg[4], NULL, 10) : 0;

	for (int cpu = 0; cpu < s->rig->cpus; cpu++) {
		if (!epoch)
			rig_add_answers(&sum, &arm[cpu].total);
		for (int i = 0; i < SHIFT_EPOCHS && epoch; i++)
			if (arm[cpu].epoch[i].epoch == epoch)
				rig_add_answers(&sum, &arm[cpu].epoch[i]);
	}
	free(arm);
	if (sum.chosen != strtoull(arg[1], NULL, 10) || sum.clients != strtoull(arg[2], NULL, 10))
		story_fail(s, "the share gave %s %llu connections and %llu clients", arg[0],
			   (unsigned long long)sum.chosen, (unsigned long long)sum.clients);
}
