/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_explain.c - what is explained is what happens, and explaining changes nothing
 */
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/single.h"
#include "tests/bpf/story.h"

static struct shift_explanation explain(struct rig *r, const struct end *client, bool ack)
{
	struct shift_explanation x;
	struct tally before, after;
	struct segment seg;
	static struct frame f;
	static struct run run;
	uint32_t zero = 0;

	single_syn(client, &seg);
	if (ack)
		seg.flags = TCP_ACK;
	frame_build(&f, &seg);
	memset(&x, 0xee, sizeof(x));
	rig_put(r, RIG_ANSWER, &zero, &x);
	rig_tally(r, &before);
	CHECK(!rig_run(r, r->explain, &f, &run) && run.action == TC_ACT_UNSPEC, "the action is %d",
	      run.action);
	frame_check_equal(&run.out, &f, "the packet explained");
	rig_tally(r, &after);
	CHECK(!memcmp(&before, &after, sizeof(after)), "a counter moved");
	rig_get(r, RIG_ANSWER, &zero, &x);
	return x;
}

/* What is told first is what then happens to the same SYN. */
static void foretells(struct rig *r, struct end client)
{
	struct shift_explanation x = explain(r, &client, false);
	static struct run run;
	struct shift_flow_ref ref;
	enum shift_verdict v = single_try(r, &client, &run);
	const struct shift_flow *f;

	check_equal(x.verdict, v, "verdict told");
	check_equal(x.service, RIG_SERVICE, "service");
	check_equal(x.listen, RIG_LISTEN(end_is_v6(&client)), "listener");
	CHECK(x.hash == rig_hash(r, &client), "another hash");
	check_equal(x.rank, shift_hash_rank(x.hash), "rank");
	if (v != SHIFT_FORWARD)
		return;
	f = rig_flow(r, &client, &ref);
	if (f)
		check_equal(x.backend, f->backend, "backend told");
	x = explain(r, &client, false);
	check_equal(x.flow_state, SHIFT_FLOW_SYN_SENT, "state of the flow");
	check_equal(x.target, ref.target, "target of the flow");
	check_equal(x.verdict, SHIFT_FORWARD, "verdict of the flow");
}

static void shares(struct rig *r, bool v6)
{
	struct shift_explanation x;
	struct end e;

	for (int i = 0; i < 100; i++) {
		rig_weight(r, i % 5 * 25);
		foretells(r, rig_client(r, v6, 0, SHIFT_RANKS, RIG_ANY));
	}
	e = rig_client(r, v6, 0, SHIFT_RANKS, RIG_ANY);
	x = explain(r, &e, false);
	check_equal(x.threshold, 65536, "threshold");
	check_equal(x.epoch, rig_record(r).epoch, "epoch");
}

static void exceptions(struct rig *r, bool v6)
{
	static const uint8_t actions[] = {SHIFT_CLIENT_BYPASS, SHIFT_CLIENT_OLD, SHIFT_CLIENT_NEW,
					  SHIFT_CLIENT_PEER};

	for (size_t i = 0; i < sizeof(actions); i++) {
		struct end e = rig_client(r, v6, 0, SHIFT_RANKS, RIG_ANY);
		struct shift_explanation x;

		rig_weight(r, actions[i] == SHIFT_CLIENT_NEW ? 0 : 100);
		rig_pin(r, &e, 128, actions[i], 0);
		x = explain(r, &e, false);
		check_equal(x.client_action, actions[i], "action for the client");
		foretells(r, e);
	}
}

static void no_backend(struct rig *r, bool v6)
{
	struct end e = rig_client(r, v6, 0, SHIFT_RANKS, RIG_ANY);
	struct shift_explanation x;

	rig_weight(r, 100);
	for (int b = RIG_AWS; b < RIG_BACKENDS; b++)
		rig_backend_edit(r, (enum rig_backend)b, SHIFT_BACKEND_USED, SHIFT_HEALTH_DOWN,
				 ~0ull);
	x = explain(r, &e, false);
	check_equal(x.fallback, SHIFT_FALLBACK_NO_BACKEND, "fallback");
	foretells(r, e);
}

/* The first look must not make the second one a repetition. */
static void remembers_nothing(struct rig *r, bool v6)
{
	struct end e = rig_client(r, v6, 0, SHIFT_RANKS, RIG_ANY);
	struct shift_explanation x;
	static struct run run;

	rig_weight(r, 0);
	for (int i = 0; i < 3; i++) {
		x = explain(r, &e, false);
		check_equal(x.verdict, SHIFT_PASS_LOCAL_SYN, "verdict");
	}
	rig_weight(r, 100);
	x = explain(r, &e, false);
	check_equal(x.verdict, SHIFT_FORWARD, "verdict at 100 %");
	CHECK(!(*r->dirty)[x.rank], "the rank was marked");
	check_equal(rig_flows(r), 0, "flows");
	rig_weight(r, 0);
	check_equal(single_try(r, &e, &run), SHIFT_PASS_LOCAL_SYN, "verdict of the SYN itself");
	rig_weight(r, 100);
	x = explain(r, &e, false);
	check_equal(x.verdict, SHIFT_PASS_LOCAL_REPEAT, "verdict of its repetition");
	check_equal(x.local_socket, 2, "the memory said so");
}

void cases_explain(struct rig *rig, const struct net *net)
{
	static const struct {
		const char *name;
		void (*run)(struct rig *r, bool v6);
	} cases[] = {
		{"at every share", shares},
		{"for pinned and bypassed clients", exceptions},
		{"without a backend", no_backend},
		{"what is left is as it was", remembers_nothing},
	};

	(void)net;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int v6 = 0; v6 < 2; v6++) {
			if (!check_begin("explain: %s, IPv%d", cases[i].name, v6 ? 6 : 4))
				continue;
			rig_reset(rig, &rig_usual);
			cases[i].run(rig, v6);
			check_end();
		}
	}
}
