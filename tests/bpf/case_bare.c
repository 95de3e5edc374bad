/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_bare.c - devices without an Ethernet header, as tunnels are: a client or a backend behind
 * one
 *
 * The program for such a device is attached to a real one, the usual program to the other. What
 * goes from the one to the other must have got a header.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/bpf/attach.h"
#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/host.h"
#include "tests/bpf/play.h"

static int tun;
static uint32_t tun_ifindex;

/* The IP packet of a frame, on the device. */
static void bare_send(const struct frame *f)
{
	if (write(tun, f->data + FRAME_L3, f->len - FRAME_L3) != (ssize_t)(f->len - FRAME_L3))
		check_fail("the device takes no packet: %s", strerror(errno));
}

/* The next TCP, UDP or ICMP packet to this address, behind the Ethernet header of `like`. */
static bool bare_read(const struct frame *like, struct frame *ret)
{
	struct pollfd p = {.fd = tun, .events = POLLIN};
	bool v6 = frame_is_v6(like);
	size_t at = FRAME_L3 + (v6 ? 24 : 16), n = v6 ? 16 : 4;

	while (poll(&p, 1, 2000) > 0) {
		ssize_t got = read(tun, ret->data + FRAME_L3, FRAME_MAX - FRAME_L3);

		if (got < 20)
			continue;
		memcpy(ret->data, like->data, FRAME_L3);
		ret->len = FRAME_L3 + (size_t)got;
		if (frame_is_v6(ret) == v6 && !memcmp(ret->data + at, like->data + at, n))
			return true;
	}
	return false;
}

static void from_tun_to_wire(struct story *s, const struct frame *in, struct frame *wanted,
			     const char *what)
{
	static struct frame is;

	wire_drain(s->net);
	bare_send(in);
	frame_swap_macs(wanted);
	if (!attach_read(s->net, wanted, 2000, &is))
		check_fail("%s: nothing came out", what);
	else
		frame_check_equal(&is, wanted, what);
}

static void from_wire_to_tun(struct story *s, const struct frame *in, struct frame *wanted,
			     const char *what)
{
	static struct frame is;

	wire_send(s->net, in);
	if (!bare_read(wanted, &is))
		check_fail("%s: nothing came out", what);
	else
		frame_check_equal(&is, wanted, what);
}

static void route(struct story *s, uint32_t ifindex)
{
	for (int i = 0; i < RIG_TARGETS; i++) {
		struct shift_target t;
		uint32_t id = s->rig->target[i].id;

		rig_get(s->rig, RIG_TARGET, &id, &t);
		t.ifindex = ifindex;
		rig_put(s->rig, RIG_TARGET, &id, &t);
	}
}

static struct segment segment(const struct story *s, bool up, uint8_t flags, size_t payload)
{
	struct segment seg = {.seq = up ? 1000 : 5000,
			      .ack = flags & TCP_ACK ? (up ? 5001 : 1001) : 0,
			      .flags = flags,
			      .ttl = 33,
			      .window = 800,
			      .payload = payload};

	seg.src = up ? s->client_end : story_target(s, &s->place);
	seg.dst = up ? rig_listen_end(s->v6) : story_nat(s, &s->place);
	return seg;
}

/* One packet of the flow through both programs; the client, or else the backend, is at the tun. */
static void through(struct story *s, bool client_at_tun, bool up, uint8_t flags, size_t payload,
		    const char *what)
{
	struct segment seg = segment(s, up, flags, payload);
	static struct frame in, wanted;

	if (!(flags & TCP_SYN))
		seg.seq++;
	frame_build(&in, &seg);
	wanted = in;
	play_translate(s, up, &wanted, s->v6 ? 40 : 20, PROTOCOL_TCP);
	if (up == client_at_tun)
		from_tun_to_wire(s, &in, &wanted, what);
	else
		from_wire_to_tun(s, &in, &wanted, what);
}

/* The SYN goes first to see which flow it gets; its repetition is the one that is looked at. */
static void connection(struct story *s, bool client_at_tun)
{
	struct segment seg = segment(s, true, TCP_SYN, 0);
	static struct frame f, any;

	frame_build(&f, &seg);
	if (client_at_tun)
		bare_send(&f);
	else
		wire_send(s->net, &f);
	for (int i = 0; i < 100 && !rig_flow(s->rig, &s->client_end, &s->place); i++)
		poll(NULL, 0, 10);
	if (!rig_flow(s->rig, &s->client_end, &s->place)) {
		check_fail("the SYN was not shifted");
		return;
	}
	while (!client_at_tun && read(tun, any.data, sizeof(any.data)) > 0)
		;
	through(s, client_at_tun, true, TCP_SYN, 0, "the SYN again");
	through(s, client_at_tun, false, TCP_SYN | TCP_ACK, 0, "its answer");
	through(s, client_at_tun, true, TCP_ACK, 0, "the handshake's last");
	through(s, client_at_tun, true, TCP_ACK | TCP_PSH, 900, "data up");
	through(s, client_at_tun, false, TCP_ACK | TCP_PSH, 1100, "data down");
}

static void client_behind(struct story *s)
{
	route(s, s->net->ifindex);
	connection(s, true);
}

static void backend_behind(struct story *s)
{
	route(s, tun_ifindex);
	connection(s, false);
}

/* The answers of the program's own, to who is behind the device. */
static void answers(struct story *s)
{
	static const uint8_t kind[2][2] = {{3, 4}, {2, 0}};
	struct segment seg;
	static struct frame in, wanted, is;

	route(s, s->net->ifindex);
	connection(s, true);
	if (check_failed())
		return;
	for (int i = 0; i < RIG_TARGETS; i++)
		rig_target_mtu(s->rig, s->rig->target[i].id, 1280);
	rig_mtu(s->rig, 1500, 1280);
	seg = segment(s, true, TCP_ACK, 1400);
	frame_build(&in, &seg);
	play_answer(&in, s->v6 ? 40 : 20, PROTOCOL_TCP, kind[s->v6], 1280, &wanted);
	bare_send(&in);
	if (!bare_read(&wanted, &is))
		check_fail("too big: no answer");
	else
		frame_check_equal(&is, &wanted, "too big");
	tell(s, "rollback cut\n");
	seg = segment(s, true, TCP_ACK, 10);
	frame_build(&in, &seg);
	{
		struct end listen = rig_listen_end(s->v6), nat = story_nat(s, &s->place);
		struct end target = story_target(s, &s->place);
		static struct frame other;

		wanted = other = in;
		frame_reset(&wanted, &listen, &s->client_end, 5001, 0, TCP_RST);
		frame_reset(&other, &nat, &target, 1000, 5001, TCP_RST | TCP_ACK);
		from_tun_to_wire(s, &in, &other, "the RST to the backend");
		if (!bare_read(&wanted, &is))
			check_fail("no RST to the client");
		else
			frame_check_equal(&is, &wanted, "the RST to the client");
	}
}

/* The host's own service answers a client there, and the program at the egress sees it. */
static void host_answers(struct story *s)
{
	struct end listen = rig_listen_end(s->v6);
	struct segment seg;
	static struct frame f, like, is;

	rig_weight(s->rig, 0);
	tell(s, "watched yes\n");
	s->listener = host_listen(&listen);
	if (s->listener < 0 || attach_to_egress(tun_ifindex, s->rig->bare_egress)) {
		check_fail("no listener, or no program at the egress: %s", strerror(errno));
		return;
	}
	seg = segment(s, true, TCP_SYN, 0);
	frame_build(&f, &seg);
	bare_send(&f);
	seg.src = listen;
	seg.dst = s->client_end;
	frame_build(&like, &seg);
	if (!bare_read(&like, &is) || frame_tcp_flags(&is) != (TCP_SYN | TCP_ACK)) {
		check_fail("the SYN was not answered");
		return;
	}
	tell(s, "answers old begun 1\n");
	seg = segment(s, true, TCP_ACK | TCP_PSH, 10);
	seg.seq = 1001;
	seg.ack = frame_tcp_seq(&is) + 1;
	frame_build(&f, &seg);
	bare_send(&f);
	s->connection = host_accept(s->listener);
	if (host_received(s->connection) != 10 || write(s->connection, "answer", 6) != 6) {
		check_fail("the host got no question");
		return;
	}
	while (bare_read(&like, &is) && !frame_tcp_payload(&is))
		;
	check_equal(frame_tcp_payload(&is), 6, "bytes of the answer");
	tell(s, "answers old begun 1 answered 1 timed 1\n");
}

/* An ICMP error, and a datagram in two parts, from a backend behind the device. */
static void errors_and_parts(struct story *s)
{
	struct end router = end_of(s->v6 ? "2001:db8:b::9" : "198.51.100.9", 0);
	struct end listen = rig_listen_end(s->v6);
	static struct frame whole, known, in, wanted;
	struct segment seg;
	struct error e;
	size_t l4 = s->v6 ? 40 : 20;

	route(s, tun_ifindex);
	connection(s, false);
	if (check_failed())
		return;
	seg = segment(s, true, TCP_ACK, 30);
	frame_build(&known, &seg);
	seg.src = story_nat(s, &s->place);
	seg.dst = story_target(s, &s->place);
	frame_build(&whole, &seg);
	e = (struct error){.src = router,
			   .dst = seg.src,
			   .type = s->v6 ? 2 : 3,
			   .code = s->v6 ? 0 : 4,
			   .ttl = 30,
			   .rest = 1280,
			   .quoted = whole.data + FRAME_L3,
			   .n = l4 + 8};
	frame_icmp(&in, &e);
	e.src = listen;
	e.dst = s->client_end;
	e.ttl--;
	e.quoted = known.data + FRAME_L3;
	frame_icmp(&wanted, &e);
	from_tun_to_wire(s, &in, &wanted, "an ICMP error");
	seg = segment(s, false, TCP_ACK, 300);
	frame_build(&whole, &seg);
	known = whole;
	play_translate(s, false, &known, l4, PROTOCOL_TCP);
	for (int later = 0; later < 2; later++) {
		size_t at = later ? 200 : 0, n = later ? 120 : 200;

		frame_fragment(&in, &whole, at, n, !later, 4711);
		frame_fragment(&wanted, &known, at, n, !later, 4711);
		from_tun_to_wire(s, &in, &wanted, later ? "the second part" : "the first part");
	}
	frame_fragment(&in, &whole, 200, 120, false, 4712); /* and the other way round */
	bare_send(&in);
	frame_fragment(&in, &whole, 0, 200, true, 4712);
	frame_fragment(&wanted, &known, 0, 200, true, 4712);
	from_tun_to_wire(s, &in, &wanted, "a late first part");
	frame_fragment(&wanted, &known, 200, 120, false, 4712);
	frame_swap_macs(&wanted);
	if (!attach_read(s->net, &wanted, 2000, &in))
		check_fail("the held part did not come");
	else
		frame_check_equal(&in, &wanted, "the held part");
}

void cases_bare(struct rig *rig, const struct net *net)
{
	static const struct {
		const char *name;
		void (*run)(struct story *s);
		bool client; /* behind it, and not the backends */
	} cases[] = {
		{"a client behind it", client_behind, true},
		{"a backend behind it", backend_behind, false},
		{"answers of the program's own", answers, true},
		{"ICMP errors and parts of datagrams", errors_and_parts, false},
		{"answers of the host's own service", host_answers, true},
	};
	static const char *const near_clients[] = {"198.51.99.2", "2001:db8:99::2"};
	static const char *const near_backends[] = {"198.51.100.2", "2001:db8:b::2", "192.0.2.2",
						    "2001:db8:a::2"};
	static struct story s;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int v6 = 0; v6 < 2; v6++) {
			if (!check_begin("bare: %s, IPv%d", cases[i].name, v6 ? 6 : 4))
				continue;
			tun = cases[i].client ? net_tun(near_clients, 2, &tun_ifindex)
					      : net_tun(near_backends, 4, &tun_ifindex);
			if (tun < 0) {
				check_skip("bare: devices without an Ethernet header",
					   "the kernel has none to give");
				return;
			}
			story_begin(&s, rig, net, v6);
			rig_weight(rig, 100);
			s.client_end = end_of(v6 ? "2001:db8:99::99" : "198.51.99.99",
					      (uint16_t)(3000 + i));
			if (attach_to(net, rig->ingress) ||
			    attach_to_ifindex(tun_ifindex, rig->bare_ingress))
				check_fail("the program cannot be attached: %s", strerror(errno));
			else
				cases[i].run(&s);
			attach_end(net);
			close(tun);
			story_end(&s);
			check_end();
		}
	}
}
