/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/pkt_cls.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/check.h"
#include "tests/bpf/single.h"

void single_syn(const struct end *client, struct segment *ret)
{
	static const uint8_t options[] = {2, 4, 5, 180, 1, 1, 4, 2};

	*ret = (struct segment){.src = *client,
				.dst = rig_listen_end(end_is_v6(client)),
				.seq = 1000,
				.flags = TCP_SYN,
				.ttl = 60,
				.id = 77,
				.window = 64240,
				.options = options,
				.n_options = sizeof(options)};
}

/* Complains of every counter that did not move as it should. */
static void check_moves(struct rig *r, const struct tally *before, const struct tally *wanted,
			const char *what)
{
	struct tally now;

	rig_tally(r, &now);
	for (size_t i = 0; i < TALLY_WORDS; i++) {
		uint64_t moved = ((const uint64_t *)&now)[i] - ((const uint64_t *)before)[i];
		char name[80];

		if (moved != ((const uint64_t *)wanted)[i])
			check_fail("%s: counter '%s' moved by %lld, should by %lld", what,
				   rig_tally_name(i, name), (long long)moved,
				   (long long)((const uint64_t *)wanted)[i]);
	}
}

bool single_passes(struct rig *r, const struct frame *f, enum shift_verdict verdict,
		   const char *format, ...)
{
	static struct run run;
	struct tally before, wanted = {0};
	char what[120];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	rig_tally(r, &before);
	if (rig_run(r, r->ingress, f, &run))
		return false;
	CHECK(run.action == TC_ACT_UNSPEC, "%s: the action is %d", what, run.action);
	frame_check_equal(&run.out, f, what);
	wanted.verdict[verdict]++;
	if (verdict == SHIFT_PASS_LOCAL_SYN)
		wanted.service.connections_old++;
	check_moves(r, &before, &wanted, what);
	return true;
}

/* What the kernel is told to do with a packet of this verdict. */
static int action_of(enum shift_verdict v)
{
	if (v == SHIFT_DROP_TTL || v == SHIFT_DROP_REWRITE || v == SHIFT_FRAGMENT_ORDER)
		return TC_ACT_SHOT;
	return v < SHIFT_FORWARD ? TC_ACT_UNSPEC : TC_ACT_REDIRECT;
}

bool single_ran(struct rig *r, const struct tally *before, const struct run *run,
		const struct frame *wanted, enum shift_verdict verdict, const struct tally *moves,
		const char *what)
{
	struct tally sum = {0};
	int action = action_of(verdict);
	bool failed = check_failed();

	if (moves)
		sum = *moves;
	sum.verdict[verdict]++;
	CHECK(run->action == action, "%s: the action is %d, not %d", what, run->action, action);
	if (action != TC_ACT_SHOT && wanted)
		frame_check_equal(&run->out, wanted, what);
	check_moves(r, before, &sum, what);
	return failed || !check_failed();
}

bool single_becomes(struct rig *r, const struct frame *in, const struct frame *wanted,
		    enum shift_verdict verdict, const struct tally *moves, const char *format, ...)
{
	static struct run run;
	struct tally before;
	char what[120];
	va_list args;
	int err;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	rig_tally(r, &before);
	err = rig_run(r, r->ingress, in, &run);
	if (err) {
		check_fail("%s: the kernel does not run it: %d", what, err);
		return false;
	}
	return single_ran(r, &before, &run, verdict < SHIFT_FORWARD ? in : wanted, verdict, moves,
			  what);
}

enum shift_verdict single_try(struct rig *r, const struct end *client, struct run *ret)
{
	struct tally before, after;
	struct segment seg;
	struct frame f;

	single_syn(client, &seg);
	frame_build(&f, &seg);
	rig_tally(r, &before);
	if (rig_run(r, r->ingress, &f, ret))
		abort();
	rig_tally(r, &after);
	for (int i = 0; i < SHIFT_VERDICTS; i++)
		if (after.verdict[i] != before.verdict[i])
			return (enum shift_verdict)i;
	return SHIFT_VERDICTS;
}

void single_shifts(struct rig *r, const struct end *client)
{
	static struct run run;
	enum shift_verdict v = single_try(r, client, &run);

	CHECK(v == SHIFT_FORWARD, "the packet as it should be is %s, not forward",
	      v < SHIFT_VERDICTS ? rig_verdict_names[v] : "nothing");
}
