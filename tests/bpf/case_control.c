/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_control.c - the record of control as the program reads it: deadlines, latches, torn records
 */
#include <stdio.h>
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/single.h"
#include "tests/bpf/story.h"

#define NONE	 0
#define FUTURE	 60 /* seconds from now */
#define PAST	 (-60)
#define HOLD	 SHIFT_LEASE_HOLD
#define FALLBACK SHIFT_LEASE_FALLBACK

/* Shares in percent; deadlines in seconds from now, 0: none. */
static const struct row {
	const char *name;
	double weight;
	int not_before;
	double next;
	int confirm;
	double confirm_weight;
	int lease;
	uint8_t lease_action;
	double lease_weight;
	uint8_t authority;
	double in_force, later; /* now, and when all deadlines have passed */
} rows[] = {
	{"no deadline", 25, NONE, 75, NONE, 50, NONE, FALLBACK, 5, 1, 25, 25},
	{"a raise at a time", 25, FUTURE, 75, NONE, 0, NONE, HOLD, 0, 1, 25, 75},
	{"a raise at a time that has come", 25, PAST, 75, NONE, 0, NONE, HOLD, 0, 1, 75, 75},
	{"a lowering at a time", 75, FUTURE, 0, NONE, 0, NONE, HOLD, 0, 1, 75, 0},
	{"to be confirmed", 50, NONE, 0, FUTURE, 10, NONE, HOLD, 0, 1, 50, 10},
	{"not confirmed in time", 50, NONE, 0, PAST, 10, NONE, HOLD, 0, 1, 10, 10},
	{"not confirmed in time, back to more", 0, NONE, 0, PAST, 90, NONE, HOLD, 0, 1, 90, 90},
	{"not confirmed, with authority new too", 100, NONE, 0, PAST, 75, NONE, HOLD, 0, 2, 75, 75},
	{"not confirmed, whatever was scheduled", 50, PAST, 100, PAST, 10, NONE, HOLD, 0, 1, 10,
	 10},
	{"scheduled, still to be confirmed", 50, PAST, 80, FUTURE, 10, NONE, HOLD, 0, 1, 80, 10},
	{"a lease that holds", 50, NONE, 0, NONE, 0, PAST, HOLD, 0, 1, 50, 50},
	{"a lease that lives", 50, NONE, 0, NONE, 0, FUTURE, FALLBACK, 5, 1, 50, 5},
	{"a lease that ran out", 50, NONE, 0, NONE, 0, PAST, FALLBACK, 5, 1, 5, 5},
	{"a lease that ran out, to 0", 50, NONE, 0, NONE, 0, PAST, FALLBACK, 0, 0, 0, 0},
	{"a lease never raises", 5, NONE, 0, NONE, 0, PAST, FALLBACK, 50, 1, 5, 5},
	{"a lease does nothing with authority new", 100, NONE, 0, NONE, 0, PAST, FALLBACK, 0, 2,
	 100, 100},
	{"a lease lowers what was scheduled", 5, PAST, 80, NONE, 0, PAST, FALLBACK, 50, 1, 50, 50},
	{"a lease lowers what was not confirmed", 90, NONE, 0, PAST, 80, PAST, FALLBACK, 50, 1, 50,
	 50},
	{"a lease leaves what was not confirmed lower", 90, NONE, 0, PAST, 10, PAST, FALLBACK, 50,
	 1, 10, 10},
	{"a lease looked at after the confirmation", 30, NONE, 0, FUTURE, 80, FUTURE, FALLBACK, 50,
	 1, 30, 50},
};

/* The clock begins with the boot: what would be before it is just after it. */
static __u64 deadline(int seconds)
{
	__s64 at = (__s64)rig_boot_ns() + (__s64)seconds * 1000000000;

	return !seconds ? 0 : at > 0 ? (__u64)at : 1;
}

static uint32_t threshold(double percent)
{
	return (uint32_t)(percent * 65536 / 100 + 0.5);
}

/* Clients on both sides of the threshold are treated so. */
static void check_threshold(struct rig *r, bool v6, double percent, const char *when)
{
	uint32_t t = threshold(percent);
	static struct run run;

	if (t > 0) {
		struct end below = rig_client(r, v6, t > 1500 ? t - 1500 : 0, t, RIG_ANY);

		CHECK(single_try(r, &below, &run) == SHIFT_FORWARD,
		      "%s: a rank below %g %% is not shifted", when, percent);
	}
	if (t < 65536) {
		struct end above = rig_client(r, v6, t, t < 64036 ? t + 1500 : 65536, RIG_ANY);

		CHECK(single_try(r, &above, &run) == SHIFT_PASS_LOCAL_SYN,
		      "%s: a rank above %g %% is shifted", when, percent);
	}
}

static void publish_row(struct rig *r, const struct row *row)
{
	struct shift_record next = rig_record(r);

	next.epoch++;
	next.threshold = threshold(row->weight);
	next.authority = row->authority;
	next.not_before = deadline(row->not_before);
	next.next_threshold = threshold(row->next);
	next.confirm_deadline = deadline(row->confirm);
	next.confirm_threshold = threshold(row->confirm_weight);
	next.lease_deadline = deadline(row->lease);
	next.lease_action = row->lease_action;
	next.lease_threshold = threshold(row->lease_weight);
	rig_publish(r, &next);
}

static void check_deadlines(struct rig *r)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!check_begin("deadlines: %s", rows[i].name))
			continue;
		rig_reset(r, &rig_usual);
		publish_row(r, &rows[i]);
		for (int v6 = 0; v6 < 2; v6++)
			check_threshold(r, v6, rows[i].in_force, "at first");
		rig_age(r, FUTURE + 1, false);
		for (int v6 = 0; v6 < 2; v6++)
			check_threshold(r, v6, rows[i].later, "later");
		check_end();
	}
}

/* ---- records ---- */

static void round_the_records(struct rig *r)
{
	for (int i = 0; i < 70; i++) {
		double weight = i % 3 * 40 + 10;
		char when[32];

		rig_weight(r, weight);
		snprintf(when, sizeof(when), "change %d", i);
		check_threshold(r, i & 1, weight, when);
	}
}

static void no_record(struct rig *r)
{
	rig_weight(r, 100);
	r->control->head = 0;
	check_threshold(r, false, 0, "without a record");
	check_threshold(r, true, 0, "without a record");
}

/* The place that head names carries another generation: older, newer, or 0 while it is written. */
static void torn_record(struct rig *r)
{
	static const int off[] = {-1, 1, 31, 1 << SHIFT_CHECK_BITS};

	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		struct shift_record *now;

		rig_weight(r, 100);
		now = &r->control->record[(r->control->head & SHIFT_INDEX_MASK) - 1];
		now->generation += (__u64)(__s64)off[i];
		check_threshold(r, i & 1, 0, "another generation");
		now->generation = 0;
		check_threshold(r, i & 1, 0, "being written");
		now->generation = r->control->head >> SHIFT_INDEX_BITS;
		check_threshold(r, i & 1, 100, "whole again");
	}
}

/* Any bit of what the program reads is another than what was published. */
static void damaged_record(struct rig *r)
{
	struct shift_record *now;
	uint64_t *words;

	rig_weight(r, 100);
	now = &r->control->record[(r->control->head & SHIFT_INDEX_MASK) - 1];
	words = (uint64_t *)now;
	for (int bit = 0; bit < 64 * SHIFT_RECORD_WORDS; bit += 7) {
		words[bit / 64] ^= 1ull << bit % 64;
		check_threshold(r, bit & 1, 0, "one bit is wrong");
		words[bit / 64] ^= 1ull << bit % 64;
	}
	snprintf(now->reason, sizeof(now->reason), "what is for people may change");
	check_threshold(r, false, 100, "whole again");
}

static void high_generation(struct rig *r)
{
	uint64_t count = (1ull << (64 - SHIFT_INDEX_BITS - SHIFT_CHECK_BITS)) - 4;

	r->control->head = count << SHIFT_CHECK_BITS << SHIFT_INDEX_BITS | 31;
	for (int i = 0; i < 3; i++) {
		rig_weight(r, 30 * i + 20);
		check_threshold(r, i & 1, 30 * i + 20, "a count of 35 bits");
	}
}

/* The neighbours in the map are other services'. */
static void other_services(struct rig *r)
{
	struct shift_record *mine = r->control->record;

	for (int i = -2; i < 14; i++) {
		struct shift_control *c = r->control + i;

		if (!i)
			continue;
		c->record[0] = mine[0];
		c->record[0].threshold = 65536;
		c->record[0].generation = shift_record_generation(&c->record[0], 1);
		c->head = c->record[0].generation << SHIFT_INDEX_BITS | 1;
	}
	check_threshold(r, false, 0, "with the others at 100 %");
	for (int i = -2; i < 14; i++)
		if (i)
			memset(r->control + i, 0, sizeof(*r->control));
}

/* What is between two records is never acted on: a cut that is half written cuts nothing. */
static void torn_cut(struct rig *r, const struct net *net)
{
	static struct story s;
	struct shift_record *now;

	for (int v6 = 0; v6 < 2; v6++) {
		if (!check_begin("records: a torn record cuts nothing, IPv%d", v6 ? 6 : 4))
			continue;
		story_begin(&s, r, net, v6);
		tell(&s, "weight 100\n"
			 "client S             -> forward +new\n"
			 "backend SA           -> reply +handshake\n"
			 "client A             -> forward\n"
			 "rollback cut\n");
		now = &r->control->record[(r->control->head & SHIFT_INDEX_MASK) - 1];
		now->generation--;
		tell(&s, "client PA len 1      -> forward\n"
			 "backend A            -> reply\n");
		now->generation++;
		tell(&s, "client PA len 1      -> cut\n");
		story_end(&s);
		check_end();
	}
}

/* ---- the table of clients ---- */

static void check_client_table(struct rig *r)
{
	static struct run run;

	for (int v6 = 0; v6 < 2; v6++) {
		struct end e, neighbour, stranger;
		uint32_t id = RIG_SERVICE;
		uint32_t wide = v6 ? 64 : 96 + 24, narrow = v6 ? 128 : 96 + 32;

		if (!check_begin("clients: the longest prefix decides, IPv%d", v6 ? 6 : 4))
			continue;
		rig_reset(r, &rig_usual);
		e = rig_client(r, v6, 40000, SHIFT_RANKS, RIG_ANY);
		neighbour = e;
		neighbour.ip[3] ^= shift_be32(1);
		stranger = e;
		stranger.ip[1 + 2 * !v6] ^= shift_be32(v6 ? 1 : 0x100);
		rig_weight(r, 50);
		rig_pin(r, &e, wide, SHIFT_CLIENT_BYPASS, 0);
		rig_pin(r, &e, narrow, SHIFT_CLIENT_NEW, 0);
		CHECK(single_try(r, &e, &run) == SHIFT_FORWARD, "the address itself, pinned new");
		CHECK(single_try(r, &neighbour, &run) == SHIFT_PASS_BYPASS,
		      "its network, bypassed");
		CHECK(single_try(r, &stranger, &run) != SHIFT_PASS_BYPASS, "another network");
		r->service.flags &= (__u8)~SHIFT_SERVICE_CLIENTS;
		rig_put(r, RIG_SERVICES, &id, &r->service);
		neighbour.port++;
		CHECK(single_try(r, &neighbour, &run) != SHIFT_PASS_BYPASS,
		      "a service without entries looks nothing up");
		check_end();
	}
	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t bits = v6 ? 64 : 96 + 24;
		struct end e;

		if (!check_begin("clients: an entry that has run out hides none around it, IPv%d",
				 v6 ? 6 : 4))
			continue;
		rig_reset(r, &rig_usual);
		rig_weight(r, 100);
		e = rig_client(r, v6, 40000, SHIFT_RANKS, RIG_ANY);
		rig_pin(r, &e, 128, SHIFT_CLIENT_NEW, 1);
		CHECK(single_try(r, &e, &run) == SHIFT_FORWARD, "alone: by the share");
		rig_pin(r, &e, bits, SHIFT_CLIENT_DENY, 0);
		e.port++;
		CHECK(single_try(r, &e, &run) == SHIFT_PASS_LOCAL_SYN, "inside what is denied");
		rig_pin(r, &e, bits + 4, SHIFT_CLIENT_BYPASS, 1);
		e.port++;
		CHECK(single_try(r, &e, &run) == SHIFT_PASS_LOCAL_SYN, "two of them");
		rig_pin(r, &e, bits + 2, SHIFT_CLIENT_BYPASS, 0);
		e.port++;
		CHECK(single_try(r, &e, &run) == SHIFT_PASS_BYPASS, "the longest that counts");
		check_end();
	}
	if (!check_begin("clients: another service's entries are not this one's"))
		return;
	rig_reset(r, &rig_usual);
	rig_weight(r, 100);
	for (uint32_t service = 0; service < SHIFT_MAX_SERVICES; service++) {
		struct end e = rig_client(r, service & 1, 0, SHIFT_RANKS, RIG_ANY);
		struct shift_client_key key = {.prefixlen = 32, .service = service};
		struct shift_client bypass = {.action = SHIFT_CLIENT_BYPASS};

		rig_pin(r, &e, 128, SHIFT_CLIENT_NEW, 0);
		if (service != RIG_SERVICE)
			rig_put(r, RIG_CLIENTS, &key, &bypass);
		e = rig_client(r, service & 1, 0, SHIFT_RANKS, RIG_ANY);
		CHECK(single_try(r, &e, &run) == SHIFT_FORWARD, "service %u", service);
	}
	check_end();
}

void cases_control(struct rig *rig, const struct net *net)
{
	static const struct {
		const char *name;
		void (*run)(struct rig *r);
	} cases[] = {
		{"70 changes, twice round the places", round_the_records},
		{"none was ever published", no_record},
		{"another generation than head names", torn_record},
		{"what was not published as it stands", damaged_record},
		{"generations near the end", high_generation},
		{"other services' shares", other_services},
	};

	check_deadlines(rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!check_begin("records: %s", cases[i].name))
			continue;
		rig_reset(rig, &rig_usual);
		cases[i].run(rig);
		check_end();
	}
	torn_cut(rig, net);
	check_client_table(rig);
}
