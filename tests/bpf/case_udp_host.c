/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_udp_host.c - UDP as the egress shows it: what the old host sends keeps a client its own, and
 * how both arms answer a first datagram
 */
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"

/* The old host's datagram to the client. */
static void host_sends(struct story *s, size_t bytes)
{
	struct datagram d = {.src = rig_listen_end(s->v6),
			     .dst = s->client_end,
			     .ttl = 64,
			     .id = 99,
			     .payload = bytes};
	static struct frame f;

	frame_udp(&f, &d);
	frame_swap_macs(&f);
	story_leaves(s, &f, "the host's datagram");
}

static void begin(struct story *s, bool watched, double share)
{
	play_begin(s, false);
	rig_weight(s->rig, share);
	tell(s, watched ? "watched yes\n" : "watched no\n");
}

/* ---- whose the client is ---- */

/* A service sends to a silent client for 500 s. */
static void talks_on(struct story *s, bool watched)
{
	begin(s, watched, 0);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "the first at 0 %");
	rig_weight(s->rig, 100);
	for (int i = 0; i < 5; i++) {
		play_time(s, 100);
		host_sends(s, 50);
	}
	play_time(s, 119);
	play_client(s, NULL, SHIFT_PASS_LOCAL, "119 s after the host's last");
	play_time(s, 121);
	play_client(s, NULL, SHIFT_FORWARD, "121 s after its own");
}

static void service_talks_on(struct story *s)
{
	talks_on(s, true);
}

static void service_talks_on_unwatched(struct story *s)
{
	talks_on(s, false);
}

/* The same when nothing shows it. */
static void nobody_sees(struct story *s)
{
	begin(s, true, 0);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "the first at 0 %");
	rig_weight(s->rig, 100);
	play_time(s, 121);
	play_client(s, NULL, SHIFT_FORWARD, "after 121 s");
}

static void service_is_silent_too(struct story *s)
{
	begin(s, true, 0);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "the first at 0 %");
	rig_weight(s->rig, 100);
	play_time(s, 60);
	host_sends(s, 50);
	play_time(s, 121);
	play_client(s, NULL, SHIFT_FORWARD, "121 s after the host's last");
}

static void service_speaks_first(struct story *s)
{
	begin(s, false, 100);
	host_sends(s, 50);
	play_client(s, NULL, SHIFT_PASS_LOCAL, "at 100 %");
	play_time(s, 100);
	play_client(s, NULL, SHIFT_PASS_LOCAL, "100 s later");
	s->client_end.port++;
	play_client(s, NULL, SHIFT_FORWARD, "another port");
	tell(s, "answers old\n");
}

static void speaks_without_data(struct story *s)
{
	begin(s, false, 100);
	host_sends(s, 0);
	play_client(s, NULL, SHIFT_PASS_LOCAL, "at 100 %");
}

/* The memory would keep the client local 60 s longer than its flow lives. */
static void of_a_shifted_flow(struct story *s)
{
	begin(s, false, 100);
	if (!play_open(s))
		return;
	play_time(s, 60);
	host_sends(s, 50);
	play_client(s, NULL, SHIFT_FORWARD, "the flow lives");
	play_time(s, 60);
	host_sends(s, 50);
	play_time(s, 61);
	s->placed = false;
	play_client(s, NULL, SHIFT_FORWARD, "the flow is over");
}

static void of_a_flow_that_is_over(struct story *s)
{
	begin(s, false, 100);
	if (!play_open(s))
		return;
	play_time(s, 121);
	host_sends(s, 50);
	play_client(s, NULL, SHIFT_PASS_LOCAL, "the host has it by now");
}

static void no_listener(struct story *s)
{
	struct datagram d = {
		.src = rig_listen_end(s->v6), .dst = s->client_end, .ttl = 64, .payload = 10};
	static struct frame f;

	begin(s, false, 100);
	d.src.port++;
	frame_udp(&f, &d);
	story_leaves(s, &f, "from another port");
	d.src = rig_listen_end(s->v6);
	d.src.ip[3] ^= shift_be32(1);
	frame_udp(&f, &d);
	story_leaves(s, &f, "from another address");
	play_client(s, NULL, SHIFT_FORWARD, "neither made it local");
}

static void service_is_gone(struct story *s)
{
	begin(s, false, 100);
	s->rig->service.flags = 0;
	rig_put_service(s->rig);
	host_sends(s, 50);
	s->rig->service.flags = SHIFT_SERVICE_USED;
	rig_put_service(s->rig);
	play_client(s, NULL, SHIFT_FORWARD, "it was nobody's");
}

/* ---- answers ---- */

static void new_answers(struct story *s)
{
	play_begin(s, false);
	play_client(s, NULL, SHIFT_FORWARD, "the first");
	tell(s, "answers new begun 1\n");
	rig_age(s->rig, 2, false);
	play_client(s, NULL, SHIFT_FORWARD, "the second");
	rig_age(s->rig, 1.2, false);
	play_backend(s, NULL, SHIFT_REPLY, "the answer");
	tell(s, "answers new begun 1 answered 1 timed 1 bucket 4s\n");
	play_backend(s, NULL, SHIFT_REPLY, "another");
	play_client(s, NULL, SHIFT_FORWARD, "the third");
	play_backend(s, NULL, SHIFT_REPLY, "and its answer");
	tell(s, "answers new begun 1 answered 1 timed 1\n"
		"answers old\n");
}

static void new_silence(struct story *s)
{
	play_begin(s, false);
	for (int i = 0; i < 70; i++) { /* each target has 64 ports */
		s->client_end.port++;
		s->placed = false;
		play_client(s, NULL, SHIFT_FORWARD, "never answered");
		if (i == 34)
			play_time(s, 61);
		if (i == 63)
			play_time(s, 62);
	}
	tell(s, "answers new begun 70\n");
}

static void old_answers(struct story *s)
{
	begin(s, true, 0);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "the first");
	tell(s, "answers old begun 1\n");
	rig_age(s->rig, 2, false);
	play_client(s, NULL, SHIFT_PASS_LOCAL, "the second");
	rig_age(s->rig, 1.2, false);
	host_sends(s, 50);
	tell(s, "answers old begun 1 answered 1 timed 1 bucket 4s\n");
	host_sends(s, 50);
	play_client(s, NULL, SHIFT_PASS_LOCAL, "the third");
	host_sends(s, 50);
	tell(s, "answers old begun 1 answered 1 timed 1\n"
		"answers new\n");
}

static void old_empty(struct story *s)
{
	begin(s, true, 0);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "the first");
	host_sends(s, 0);
	tell(s, "answers old begun 1 answered 1 timed 1\n");
}

static void old_unwatched(struct story *s)
{
	begin(s, false, 0);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "the first");
	host_sends(s, 50);
	tell(s, "answers old\n");
}

/* Another one has the place until its time is over, and is no failure then. */
static void old_silence(struct story *s)
{
	uint32_t place;
	struct shift_watch w;

	begin(s, true, 0);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "the first");
	place = rig_watch_place(&s->client_end, RIG_UDP(s->v6));
	rig_get(s->rig, RIG_WATCHES, &place, &w);
	check_equal(w.state, SHIFT_WATCH_ASKED, "the watch's state");
	w.client_port ^= 0xffff;
	rig_put(s->rig, RIG_WATCHES, &place, &w);
	rig_age(s->rig, 119, false);
	rig_forget_udp(s->rig);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "after 119 s");
	host_sends(s, 50);
	tell(s, "answers old begun 1\n");
	rig_age(s->rig, 3, false);
	rig_forget_udp(s->rig);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "after 122 s");
	tell(s, "answers old begun 2\n");
}

static void shifted_since(struct story *s)
{
	begin(s, true, 0);
	play_client(s, NULL, SHIFT_PASS_LOCAL_SYN, "the first");
	rig_weight(s->rig, 100);
	play_time(s, 121);
	play_client(s, NULL, SHIFT_FORWARD, "decided anew");
	play_backend(s, NULL, SHIFT_REPLY, "its answer");
	host_sends(s, 50); /* the same, on its way out */
	tell(s, "answers old spread begun 1\n"
		"answers new begun 1 answered 1 timed 1\n");
}

static void quic_goes_on(struct story *s)
{
	play_begin(s, true);
	tell(s, "watched yes\n");
	play_client(s, NULL, SHIFT_PASS_LOCAL, "no Initial");
	host_sends(s, 50);
	tell(s, "answers old\n");
}

static const struct tale hole[] = {
	{.name = "a service that talks on to a silent client keeps it", .more = service_talks_on},
	{.name = "and one that is not watched", .more = service_talks_on_unwatched},
	{.name = "without the egress it is lost", .more = nobody_sees},
	{.name = "a service that is silent, too, gives it up", .more = service_is_silent_too},
	{.name = "a service that speaks first makes a client local", .more = service_speaks_first},
	{.name = "also with an empty datagram", .more = speaks_without_data},
	{.name = "a shifted flow's datagram makes nobody local", .more = of_a_shifted_flow},
	{.name = "unless the flow is over", .more = of_a_flow_that_is_over},
	{.name = "from no listener", .more = no_listener},
	{.name = "of a service that is gone", .more = service_is_gone},
};

static const struct tale answers[] = {
	{.name = "the new arm's first datagram", .more = new_answers},
	{.name = "no failures on the new arm", .more = new_silence},
	{.name = "the old arm's first datagram", .more = old_answers},
	{.name = "an empty one", .more = old_empty},
	{.name = "not watched", .more = old_unwatched},
	{.name = "no failures on the old arm", .more = old_silence},
	{.name = "a tuple that is shifted since", .more = shifted_since},
	{.name = "what goes on with a QUIC connection is not watched", .more = quic_goes_on},
};

void cases_udp_host(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "the host's datagrams", hole, sizeof(hole) / sizeof(hole[0]));
	tell_all(rig, net, "answers in UDP", answers, sizeof(answers) / sizeof(answers[0]));
}
