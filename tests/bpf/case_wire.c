/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_wire.c - the program attached, and real packets: what test_run cannot show
 *
 * Which interface a packet leaves by and with which MACs, packets whose checksum is for a device to
 * finish, trains of segments, headers outside the linear part, VLAN tags that the kernel has taken
 * off, and that what is not ours reaches the host's stack.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/bpf/attach.h"
#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/host.h"
#include "tests/bpf/story.h"

static const struct net *out_net;

/* ---- a packet in, a packet out ---- */

static const struct offload plain = {.linear = 0};

static void sum_as(struct frame *f, const struct offload *o)
{
	if (o->partial)
		frame_sum_partial(f);
	else
		frame_sum(f);
}

/* The next packet to `dst` on that wire is this one, up to who finishes the checksum. */
static void comes_out(const struct net *at, const struct end *dst, struct frame *wanted,
		      const struct offload *in, const char *what)
{
	static struct frame is;
	struct offload o;
	char text[64];

	if (!wire_read_offloaded(at, dst, 2000, &is, &o)) {
		check_fail("%s: nothing came out for %s", what, end_text(dst, text));
		return;
	}
	frame_swap_macs(wanted); /* from the host to the gateway */
	sum_as(wanted, &o);
	frame_check_equal(&is, wanted, what);
	check_equal(o.gso, in->gso, "size of the segments");
	if (!in->partial)
		CHECK(!o.partial, "%s: the checksum was unfinished", what);
}

static void client_sends(struct story *s, uint8_t flags, size_t len, const struct offload *o,
			 struct frame *in)
{
	struct segment seg = {.src = s->client_end,
			      .dst = rig_listen_end(s->v6),
			      .seq = s->client.next,
			      .ack = s->server.next,
			      .flags = flags,
			      .ttl = 50,
			      .id = 99,
			      .window = 1000,
			      .payload = len};

	frame_build(in, &seg);
	sum_as(in, o);
	wire_send_offloaded(s->net, in, o);
}

static void backend_sends(struct story *s, const struct net *at, uint8_t flags, size_t len,
			  const struct offload *o, struct frame *in)
{
	struct segment seg = {.src = story_target(s, &s->place),
			      .dst = story_nat(s, &s->place),
			      .seq = s->server.next,
			      .ack = s->client.next,
			      .flags = flags,
			      .ttl = 50,
			      .id = 98,
			      .window = 1000,
			      .payload = len};

	frame_build(in, &seg);
	sum_as(in, o);
	wire_send_offloaded(at, in, o);
}

/* Both ways; the backend is on the wire `at`. */
static void both_ways(struct story *s, const struct net *at, size_t len, const struct offload *o)
{
	struct end listener = rig_listen_end(s->v6);
	struct end nat = story_nat(s, &s->place), target = story_target(s, &s->place);
	static struct frame f;

	wire_drain(s->net);
	wire_drain(at);
	client_sends(s, TCP_ACK | TCP_PSH, len, o, &f);
	frame_translate(&f, &nat, &target);
	comes_out(at, &target, &f, o, "the client's");
	backend_sends(s, at, TCP_ACK | TCP_PSH, len, o, &f);
	frame_translate(&f, &listener, &s->client_end);
	comes_out(s->net, &s->client_end, &f, o, "the backend's");
}

/* False, and complained of: there is none. */
static bool open_flow(struct story *s)
{
	tell(s, "weight 100\n"
		"client S             -> forward +new\n"
		"backend SA           -> reply +handshake\n"
		"client A             -> forward\n");
	return !s->over;
}

/* ---- the cases ---- */

static void there_and_back(struct story *s)
{
	if (!open_flow(s))
		return;
	both_ways(s, s->net, 100, &plain);
}

static void unfinished_checksum(struct story *s)
{
	if (!open_flow(s))
		return;
	both_ways(s, s->net, 500, &(struct offload){.partial = true});
}

static void train(struct story *s)
{
	if (!open_flow(s))
		return;
	both_ways(s, s->net, 14000, &(struct offload){.partial = true, .gso = 1400, .linear = 80});
}

/* Only the Ethernet header and six bytes more are where the program sees them at first. */
static void headers_not_linear(struct story *s)
{
	if (!open_flow(s))
		return;
	both_ways(s, s->net, 6000, &(struct offload){.linear = 20});
}

/* gcp has a target's way out of its own; its answers come in there. */
static void other_interface(struct story *s)
{
	uint32_t id;
	struct shift_target t;

	story_client(s, RIG_GCP, 0, 100);
	id = s->v6 ? 24 : 14;
	rig_get(s->rig, RIG_TARGET, &id, &t);
	t.ifindex = out_net->ifindex;
	rig_put(s->rig, RIG_TARGET, &id, &t);
	if (!open_flow(s))
		return;
	story_record(s)->ifindex = 0; /* as it was met by test_run: the wire tells it anew */
	both_ways(s, out_net, 100, &plain);
	check_equal(story_record(s)->ifindex, s->net->ifindex, "the client's interface");
	both_ways(s, out_net, 14000, &(struct offload){.partial = true, .gso = 1400, .linear = 80});
}

/* Both RSTs, whoever is to finish their checksums. */
static void cut(struct story *s, size_t len, const struct offload *o)
{
	struct end listener = rig_listen_end(s->v6);
	struct end nat = story_nat(s, &s->place), target = story_target(s, &s->place);
	struct offload alone = {.partial = o->partial};
	static struct frame f, copy;

	wire_drain(s->net);
	client_sends(s, TCP_ACK | TCP_PSH, len, o, &f);
	copy = f;
	frame_reset(&f, &listener, &s->client_end, s->server.next, 0, TCP_RST);
	comes_out(s->net, &s->client_end, &f, &alone, "RST to the client, who sent");
	frame_reset(&copy, &nat, &target, s->client.next, s->server.next, TCP_RST | TCP_ACK);
	comes_out(s->net, &target, &copy, &alone, "RST to the backend");
	backend_sends(s, s->net, TCP_ACK | TCP_PSH, len, o, &f);
	copy = f;
	frame_reset(&f, &nat, &target, s->client.next, 0, TCP_RST);
	comes_out(s->net, &target, &f, &alone, "RST to the backend, who sent");
	frame_reset(&copy, &listener, &s->client_end, s->server.next, s->client.next,
		    TCP_RST | TCP_ACK);
	comes_out(s->net, &s->client_end, &copy, &alone, "RST to the client");
}

static void cut_plain(struct story *s)
{
	if (!open_flow(s))
		return;
	tell(s, "rollback cut\n");
	cut(s, 10, &plain);
}

static void cut_unfinished(struct story *s)
{
	if (!open_flow(s))
		return;
	tell(s, "rollback cut\n");
	cut(s, 700, &(struct offload){.partial = true});
	cut(s, 0, &(struct offload){.partial = true});
}

static void cut_train(struct story *s)
{
	if (!open_flow(s))
		return;
	tell(s, "rollback cut\n");
	cut(s, 14000, &(struct offload){.partial = true, .gso = 1400, .linear = 80});
}

static void unable(struct story *s)
{
	struct end listener = rig_listen_end(s->v6);

	tell(s, "weight 100\n"
		"authority new\n"
		"full ports\n");
	for (int partial = 0; partial < 2; partial++) {
		struct offload o = {.partial = partial};
		static struct frame f;

		client_sends(s, TCP_SYN, 0, &o, &f);
		frame_reset(&f, &listener, &s->client_end, 0, s->client.next + 1,
			    TCP_RST | TCP_ACK);
		comes_out(s->net, &s->client_end, &f, &o, "RST to the client");
	}
}

/* The stack answers what the program left to it, also when another program looks at it first. */
static void reaches_the_host(struct story *s)
{
	static struct frame f;

	tell(s, "host listens\n");
	client_sends(s, TCP_SYN, 0, &plain, &f);
	tell(s, "host answers SA\n");
	s->client.next++;
	s->server.next = s->client.seen;
	client_sends(s, TCP_ACK, 0, &plain, &f);
	tell(s, "host accepts\n");
	client_sends(s, TCP_ACK | TCP_PSH, 55, &plain, &f);
	tell(s, "host got 55\n");
}

/* A moment later, as packets are taken up by a softirq. */
static bool counted(struct story *s, enum shift_verdict v, uint64_t wanted)
{
	struct tally t;

	for (int i = 0; i < 200; i++) {
		rig_tally(s->rig, &t);
		if (t.verdict[v] == wanted)
			return true;
		usleep(5000);
	}
	return false;
}

/* The kernel takes the tag off before; the packet would look like a plain one. */
static void tag_taken_off(struct story *s)
{
	struct segment seg = {
		.src = s->client_end, .dst = rig_listen_end(s->v6), .flags = TCP_SYN, .ttl = 50};
	static struct frame f, any;

	tell(s, "weight 100\n");
	frame_build(&f, &seg);
	memmove(f.data + 16, f.data + 12, f.len - 12);
	f.len += 4;
	frame_put16(&f, 12, 0x8100);
	frame_put16(&f, 14, 5);
	wire_drain(s->net);
	wire_send(s->net, &f);
	CHECK(counted(s, SHIFT_PASS_OTHER, 1), "it was not counted as other");
	CHECK(!wire_read(s->net, NULL, NULL, 20, &any), "something was sent");
}

void cases_wire(struct rig *rig, const struct net *net, const struct net *out)
{
	static const struct {
		const char *name;
		void (*run)(struct story *s);
	} cases[] = {
		{"there and back", there_and_back},
		{"checksums that a device is to finish", unfinished_checksum},
		{"trains of segments stay whole", train},
		{"headers outside the linear part", headers_not_linear},
		{"a backend behind another interface", other_interface},
		{"a cut", cut_plain},
		{"a cut of packets with unfinished checksums", cut_unfinished},
		{"a cut of trains of segments", cut_train},
		{"RST where nothing can be shifted", unable},
		{"what is local reaches the host", reaches_the_host},
		{"a VLAN tag that was taken off", tag_taken_off},
	};
	static struct story s;

	out_net = out;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int v6 = 0; v6 < 2; v6++) {
			if (!check_begin("wire: %s, IPv%d", cases[i].name, v6 ? 6 : 4))
				continue;
			story_begin(&s, rig, net, v6);
			wire_drain(out);
			if (attach_to(net, rig->ingress) || attach_to(out, rig->ingress))
				check_fail("the program cannot be attached: %s", strerror(errno));
			else
				cases[i].run(&s);
			attach_end(net);
			attach_end(out);
			story_end(&s);
			check_end();
		}
	}
}
