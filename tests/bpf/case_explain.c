/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_explain.c - what is explained is what happens, and explaining changes nothing
 */
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"
#include "tests/bpf/single.h"
#include "tests/bpf/story.h"

static struct shift_explanation explain_frame(struct rig *r, const struct frame *f)
{
	struct shift_explanation x;
	struct tally before, after;
	static struct run run;
	uint32_t zero = 0;

	memset(&x, 0xee, sizeof(x));
	rig_put(r, RIG_ANSWER, &zero, &x);
	rig_tally(r, &before);
	CHECK(!rig_run(r, r->explain, f, &run) && run.action == TC_ACT_UNSPEC, "the action is %d",
	      run.action);
	frame_check_equal(&run.out, f, "the packet explained");
	rig_tally(r, &after);
	CHECK(!memcmp(&before, &after, sizeof(after)), "a counter moved");
	rig_get(r, RIG_ANSWER, &zero, &x);
	return x;
}

static struct shift_explanation explain(struct rig *r, const struct end *client, bool ack)
{
	struct segment seg;
	static struct frame f;

	single_syn(client, &seg);
	if (ack)
		seg.flags = TCP_ACK;
	frame_build(&f, &seg);
	return explain_frame(r, &f);
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

/* A connection that a rollback cuts is not what its client's next SYN goes to. */
static void of_one_cut(struct rig *r, bool v6)
{
	struct end e = rig_client(r, v6, 0, SHIFT_RANKS, RIG_ANY);
	struct shift_explanation x;
	struct shift_record next;

	rig_weight(r, 100);
	single_shifts(r, &e);
	x = explain(r, &e, false);
	check_equal(x.flow_state, SHIFT_FLOW_SYN_SENT, "state before");
	rig_weight(r, 0);
	next = rig_record(r);
	next.cut_epoch = next.epoch;
	rig_publish(r, &next);
	x = explain(r, &e, false);
	check_equal(x.flow_state, 0, "state of the flow");
	check_equal(x.verdict, SHIFT_PASS_LOCAL_SYN, "verdict on the next SYN");
}

/* ---- UDP ---- */

static struct shift_explanation explain_datagram(struct story *s, const struct datagram *d)
{
	struct datagram usual = play_datagram(s, true);
	static struct frame f;

	frame_udp(&f, d ? d : &usual);
	return explain_frame(s->rig, &f);
}

static void datagrams(struct story *s)
{
	struct shift_explanation x;

	play_begin(s, false);
	for (int i = 0; i < 60; i++) {
		const struct shift_flow *f;
		bool shifted;

		story_client(s, RIG_ANY, 0, 100);
		s->placed = false;
		rig_weight(s->rig, i % 5 * 25);
		explain_datagram(s, NULL);
		x = explain_datagram(s, NULL);
		shifted = shift_hash_rank(rig_hash(s->rig, &s->client_end)) < x.threshold;
		check_equal(x.verdict, shifted ? SHIFT_FORWARD : SHIFT_PASS_LOCAL_SYN, "told");
		check_equal(x.listen, RIG_UDP(s->v6), "listener");
		s->backend = (enum rig_backend)x.backend;
		if (!play_client(s, NULL, (enum shift_verdict)x.verdict, "what was told"))
			return;
		rig_weight(s->rig, shifted ? 0 : 100);
		x = explain_datagram(s, NULL);
		if (!shifted) {
			check_equal(x.local_socket, 2, "the host has it: remembered");
			check_equal(x.verdict, SHIFT_PASS_LOCAL_REPEAT, "the host has it");
			play_client(s, NULL, SHIFT_PASS_LOCAL, "the host has it");
			continue;
		}
		f = rig_flow_of(s->rig, RIG_UDP(s->v6), &s->client_end, &s->place);
		check_equal(x.flow_state, SHIFT_FLOW_SYN_SENT, "state of the flow");
		check_equal(x.backend, f ? f->backend : 0, "its backend");
		check_equal(x.target, s->place.target, "its target");
		play_backend(s, NULL, SHIFT_REPLY, "an answer");
		x = explain_datagram(s, NULL);
		check_equal(x.flow_state, SHIFT_FLOW_ESTABLISHED, "state after an answer");
		check_equal(x.verdict, SHIFT_FORWARD, "it stays");
	}
}

/* What is over or cut is decided anew. */
static void datagrams_anew(struct story *s)
{
	struct shift_explanation x;

	play_begin(s, false);
	if (!play_open(s))
		return;
	rig_weight(s->rig, 0);
	play_time(s, 119);
	x = explain_datagram(s, NULL);
	check_equal(x.flow_state, SHIFT_FLOW_ESTABLISHED, "after 119 s");
	play_time(s, 2);
	x = explain_datagram(s, NULL);
	check_equal(x.flow_state, 0, "after 121 s");
	check_equal(x.verdict, SHIFT_PASS_LOCAL_SYN, "after 121 s");
	rig_weight(s->rig, 100);
	s->placed = false;
	if (!play_open(s))
		return;
	tell(s, "rollback cut\n");
	x = explain_datagram(s, NULL);
	check_equal(x.flow_state, 0, "after a cut");
	check_equal(x.verdict, SHIFT_PASS_LOCAL_SYN, "after a cut");
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "after a cut");
	tell(s, "weight 100\n");
	x = explain_datagram(s, NULL);
	check_equal(x.local_socket, 2, "the host has it since");
	play_time(s, 121);
	x = explain_datagram(s, NULL);
	check_equal(x.verdict, SHIFT_FORWARD, "forgotten after 121 s");
}

static void quic_datagrams(struct story *s)
{
	static uint8_t data[1200] = {0xc0, 0, 0, 0, 1};
	struct shift_explanation x;
	struct datagram d;

	play_begin(s, true);
	d = play_datagram(s, true);
	d.data = data;
	d.payload = sizeof(data);
	x = explain_datagram(s, &d);
	check_equal(x.verdict, SHIFT_FORWARD, "an Initial");
	x = explain_datagram(s, NULL);
	check_equal(x.verdict, SHIFT_PASS_LOCAL, "anything else");
	x = explain_datagram(s, &d);
	check_equal(x.verdict, SHIFT_FORWARD, "an Initial after it: nothing was remembered");
	play_client(s, NULL, SHIFT_PASS_LOCAL, "anything else");
	x = explain_datagram(s, &d);
	check_equal(x.local_socket, 2, "the host has it: an Initial, too");
	check_equal(x.verdict, SHIFT_PASS_LOCAL_REPEAT, "the host has it");
	play_client(s, &d, SHIFT_PASS_LOCAL, "the host has it");
}

static const struct tale tales[] = {
	{.name = "UDP at every share, and who serves already serves on", .more = datagrams},
	{.name = "UDP after silence and after a cut", .more = datagrams_anew},
	{.name = "QUIC, with an Initial and without", .more = quic_datagrams},
};

void cases_explain(struct rig *rig, const struct net *net)
{
	static const struct {
		const char *name;
		void (*run)(struct rig *r, bool v6);
	} cases[] = {
		{"at every share", shares},	   {"for pinned and bypassed clients", exceptions},
		{"without a backend", no_backend}, {"what is left is as it was", remembers_nothing},
		{"after a cut", of_one_cut},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int v6 = 0; v6 < 2; v6++) {
			if (!check_begin("explain: %s, IPv%d", cases[i].name, v6 ? 6 : 4))
				continue;
			rig_reset(rig, &rig_usual);
			cases[i].run(rig, v6);
			check_end();
		}
	}
	tell_all(rig, net, "explain", tales, sizeof(tales) / sizeof(tales[0]));
}
