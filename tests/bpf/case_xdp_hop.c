/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_xdp_hop.c - the short way's next hop, and packets that nobody honest sends
 *
 * The host's way to everybody is the gateway, whose MAC is known for good (net.c); to gcp's
 * addresses it is through another interface.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/xdp.h"

#define PACKETS 10000 /* of each family */

static struct frame f;

static void from_mac(struct story *s, bool udp, bool up, const uint8_t mac[6])
{
	xdp_frame(s, udp, up, 33, &f);
	memcpy(f.data + 6, mac, 6);
}

static bool marked(const struct story *s, bool udp)
{
	return xdp_flow(s, udp)->flags & SHIFT_FLOW_GATEWAY;
}

static void unmark(const struct story *s)
{
	for (int udp = 0; udp < 2; udp++)
		xdp_flow(s, udp)->flags &= (uint8_t)~SHIFT_FLOW_GATEWAY;
}

/* ---- back to the router that it came from ---- */

static void through_gateway(struct story *s)
{
	if (!xdp_flows(s))
		return;
	unmark(s);
	for (int udp = 0; udp < 2; udp++) {
		from_mac(s, udp, false, frame_gateway_mac);
		xdp_passes(s, &f, "an answer, the client's router is not known");
		from_mac(s, udp, true, xdp_stranger_mac);
		xdp_passes(s, &f, "the client's, from another router");
		CHECK(!marked(s, udp), "another router's client is marked");
		from_mac(s, udp, true, frame_gateway_mac);
		xdp_goes(s, udp, true, &f, NULL, "the client's");
		CHECK(marked(s, udp), "the gateway's client is not marked");
		from_mac(s, udp, false, xdp_stranger_mac);
		xdp_passes(s, &f, "an answer from another router");
		from_mac(s, udp, false, frame_gateway_mac);
		xdp_goes(s, udp, false, &f, NULL, "an answer");
	}
	xdp_gateway(s, xdp_stranger_mac);
	for (int udp = 0; udp < 2; udp++) {
		from_mac(s, udp, true, frame_gateway_mac);
		xdp_passes(s, &f, "the gateway is another now");
		from_mac(s, udp, true, xdp_stranger_mac);
		xdp_goes(s, udp, true, &f, NULL, "from the new one");
	}
	xdp_gateway(s, NULL);
	for (int k = 0; k < 4; k++) {
		from_mac(s, k & 2, k & 1, frame_gateway_mac);
		xdp_passes(s, &f, "there is no gateway");
		from_mac(s, k & 2, k & 1, xdp_stranger_mac);
		xdp_passes(s, &f, "there is no gateway");
	}
}

static void set_out(struct story *s, uint32_t ifindex)
{
	for (uint32_t id = 0; id < 32; id++) {
		struct shift_target t;

		if (!rig_target_of(s->rig, id))
			continue;
		rig_get(s->rig, RIG_TARGET, &id, &t);
		t.ifindex = ifindex;
		rig_put(s->rig, RIG_TARGET, &id, &t);
	}
}

static void out_where_it_came_in(struct story *s)
{
	uint32_t here = s->rig->ifindex, other = s->net->peer;

	if (!xdp_flows(s))
		return;
	for (int udp = 0; udp < 2; udp++) {
		set_out(s, other);
		from_mac(s, udp, true, frame_gateway_mac);
		xdp_passes(s, &f, "the backend is elsewhere");
		set_out(s, here);
		xdp_goes(s, udp, true, &f, NULL, "the backend is here");
		xdp_flow(s, udp)->ifindex = other;
		from_mac(s, udp, false, frame_gateway_mac);
		xdp_passes(s, &f, "the client was elsewhere");
		from_mac(s, udp, true, frame_gateway_mac);
		xdp_goes(s, udp, true, &f, NULL, "the client is here now");
		check_equal(xdp_flow(s, udp)->ifindex, here, "where the client is");
		from_mac(s, udp, false, frame_gateway_mac);
		xdp_goes(s, udp, false, &f, NULL, "so are answers to it");
	}
}

/* ---- as the kernel's FIB says ---- */

static void by_fib(struct story *s)
{
	uint8_t macs[12];

	if (!xdp_flows(s))
		return;
	memcpy(macs, frame_gateway_mac, 6);
	memcpy(macs + 6, frame_host_mac, 6);
	for (int gateway = 0; gateway < 2; gateway++) {
		unmark(s);
		xdp_forwarding(s, true);
		xdp_forget_hops(s);
		xdp_gateway(s, gateway ? frame_gateway_mac : NULL);
		for (int k = 0; k < 4; k++) {
			from_mac(s, k & 2, !(k & 1), xdp_stranger_mac);
			xdp_goes(s, k & 2, !(k & 1), &f, macs, "from another router");
			CHECK(!marked(s, k & 2), "another router's client is marked");
		}
		for (int k = 0; k < 4; k++) {
			from_mac(s, k & 2, !(k & 1), frame_gateway_mac);
			xdp_goes(s, k & 2, !(k & 1), &f, macs, "from the gateway");
			CHECK(marked(s, k & 2) == gateway, "the mark is wrong");
		}
		from_mac(s, true, true, xdp_stranger_mac);
		xdp_goes(s, true, true, &f, macs, "from another router again");
		CHECK(!marked(s, true), "it is still marked");
	}
	xdp_forwarding(s, false);
}

/* What the FIB said holds for a second, for better or worse. */
static void kept_a_second(struct story *s)
{
	uint8_t macs[12];

	if (!xdp_flows(s))
		return;
	memcpy(macs, frame_gateway_mac, 6);
	memcpy(macs + 6, frame_host_mac, 6);
	xdp_gateway(s, NULL);
	from_mac(s, true, true, xdp_stranger_mac);
	xdp_passes(s, &f, "asked first");
	xdp_forwarding(s, true);
	xdp_passes(s, &f, "kept, that there is none");
	xdp_hops_older(s, 100);
	xdp_goes(s, true, true, &f, macs, "asked again");
	xdp_forwarding(s, false);
	xdp_goes(s, true, true, &f, macs, "kept");
	xdp_hops_older(s, 100);
	xdp_passes(s, &f, "asked once more");
}

/* The flow's client is this one from now on, for its answers. */
static void belongs_to(struct story *s, bool udp, const struct end *client)
{
	s->client_end = *client;
	memcpy(xdp_flow(s, udp)->client, client->ip, sizeof(client->ip));
	xdp_flow(s, udp)->client_port = shift_be16(client->port);
}

/* Where forwarding is on, the FIB is asked and nobody else. */
static void fib_knows_no_way(struct story *s)
{
	struct end near = end_of(s->v6 ? "2001:db8::77" : "203.0.113.77", 777), far;
	uint8_t macs[12];

	if (!xdp_flows(s))
		return;
	memcpy(macs, frame_gateway_mac, 6);
	memcpy(macs + 6, frame_host_mac, 6);
	do /* in the same place of the memory of hops */
		far = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_ANY);
	while (xdp_hop_key(&far) != xdp_hop_key(&near));
	xdp_forwarding(s, true);
	xdp_forget_hops(s);
	for (int i = 0; i < 6; i++) {
		bool udp = i / 2 & 1;

		belongs_to(s, udp, i & 1 ? &far : &near);
		from_mac(s, udp, false, frame_gateway_mac);
		if (i & 1)
			xdp_goes(s, udp, false, &f, macs, "a client behind the gateway");
		else
			xdp_passes(s, &f, "a client whose MAC is not known");
	}
	xdp_forwarding(s, false);
}

static void fib_says_elsewhere(struct story *s)
{
	uint8_t macs[12];

	story_client(s, RIG_GCP, 25, 50);
	if (!xdp_flows(s))
		return;
	memcpy(macs, frame_gateway_mac, 6);
	memcpy(macs + 6, frame_host_mac, 6);
	for (int udp = 0; udp < 2; udp++) {
		xdp_forwarding(s, true);
		xdp_forget_hops(s);
		from_mac(s, udp, true, frame_gateway_mac);
		xdp_passes(s, &f, "gcp is on another wire");
		from_mac(s, udp, false, frame_gateway_mac);
		xdp_goes(s, udp, false, &f, macs, "the client is not");
	}
	xdp_forwarding(s, false);
}

/* As tc has it: what was sent to another machine is not ours, even if the card gives it us. */
static void to_whom(struct story *s)
{
	static const uint8_t others[][6] = {
		{2, 0, 0, 0, 0, 0x44}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}};

	if (!xdp_flows(s))
		return;
	for (int forwarding = 0; forwarding < 1 + xdp_is_named(); forwarding++) {
		xdp_forwarding(s, forwarding);
		xdp_forget_hops(s);
		for (int k = 0; k < 4; k++) {
			xdp_frame(s, k & 2, k & 1, 20, &f);
			xdp_goes(s, k & 2, k & 1, &f, NULL, "to the host");
			for (int i = 0; i < 3; i++) {
				memcpy(f.data, others[i], 6);
				xdp_passes(s, &f, "to another MAC");
			}
		}
	}
	xdp_forwarding(s, false);
}

/* ---- hostile ---- */

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void random_frame(struct story *s, uint32_t *state)
{
	uint32_t r = random_next(state), n = r >> 4 & 3;
	size_t room;

	xdp_frame(s, r & 1, r >> 1 & 1, (r >> 20) % (r >> 8 & 1 ? 1500 : 16), &f);
	if (!(r >> 9 & 7))
		f.len = FRAME_L3 + random_next(state) % (f.len - FRAME_L3 + 1);
	if (!(r >> 12 & 7)) {
		for (size_t i = FRAME_L3; i < f.len; i++)
			f.data[i] = (uint8_t)random_next(state);
		if (f.len > FRAME_L3 && random_next(state) & 3)
			f.data[FRAME_L3] = s->v6 ? 0x60 : 0x45;
	}
	room = f.len < 90 ? f.len : 90;
	for (uint32_t i = 0; i < n; i++) {
		size_t at = random_next(state) % room;

		f.data[at] = random_next(state) & 1 ? (uint8_t)random_next(state)
						    : f.data[at] ^ (1 << (r >> 16 & 7));
	}
}

/* Is the frame, which the program sent on, of this flow? */
static bool is_of(struct story *s, bool udp)
{
	struct end src = frame_src(&f), dst = frame_dst(&f), listen = rig_listen_end(s->v6), nat,
		   target;

	s->place = xdp_place(udp);
	nat = story_nat(s, &s->place);
	target = story_target(s, &s->place);
	return f.data[FRAME_L3 + (s->v6 ? 6 : 9)] == (udp ? PROTOCOL_UDP : PROTOCOL_TCP) &&
	       ((end_equal(&src, &s->client_end) && end_equal(&dst, &listen)) ||
		(end_equal(&src, &target) && end_equal(&dst, &nat)));
}

static uint64_t counted(struct rig *r)
{
	static struct tally t;
	uint64_t all = 0;

	rig_tally(r, &t);
	for (int i = 0; i < SHIFT_VERDICTS; i++)
		all += t.verdict[i];
	return all;
}

/* How many packets were counted. The one that goes is compared with tc's if `closely`. */
static uint32_t endures(struct story *s, bool closely, const char *what)
{
	struct shift_flow was[2] = {*xdp_flow(s, false), *xdp_flow(s, true)};
	static struct run run;
	bool same[2];

	if (xdp_run(&f, &run)) {
		check_fail("%s: the kernel does not run it", what);
		return 0;
	}
	for (int udp = 0; udp < 2; udp++) {
		same[udp] = !memcmp(xdp_flow(s, udp), &was[udp], sizeof(was[0]));
		*xdp_flow(s, udp) = was[udp];
	}
	if (run.action == XDP_TX) {
		CHECK(same[0] != same[1] && is_of(s, same[0]), "%s: of no flow", what);
		if (!closely)
			return 1;
		xdp_like_tc(s, same[0], &f, &run, what);
		*xdp_flow(s, same[0]) = was[same[0]];
		return 3;
	}
	CHECK(run.action == XDP_PASS, "%s: the action is %d", what, run.action);
	CHECK(run.out.len == f.len && !memcmp(run.out.data, f.data, f.len), "%s: changed", what);
	CHECK(same[0] && same[1], "%s: passed on, but a record was changed", what);
	return 0;
}

static void random_packets(struct story *s)
{
	uint32_t state = s->v6 ? 0x9e3779b9 : 0x2545f491, gone = 0, n;
	/* Before 5.14 every run patches the kernel's code and waits for all CPUs. */
	bool slow = getenv("BPF_TABLES_QUICK") || !xdp_is_named();
	uint32_t packets = slow ? PACKETS / 10 : PACKETS;
	uint64_t before = 0;
	char what[40];

	if (!xdp_flows(s))
		return;
	for (uint32_t i = 0; i < packets && !check_failed(); i++) {
		if (i % 16 == 0)
			before = counted(s->rig);
		random_frame(s, &state);
		snprintf(what, sizeof(what), "random packet %u", i);
		n = endures(s, i % 4 == 0, what);
		gone += n > 0;
		before += n;
		if (i % 16 == 15)
			check_equal(counted(s->rig), before, "packets counted so far");
	}
	CHECK(gone > packets / 10 && gone < packets / 2, "%u of %u went", gone, packets);
}

/* ---- */

static const struct tale hops[] = {
	{.name = "back to the gateway", .more = through_gateway},
	{.name = "out where it came in", .more = out_where_it_came_in},
	{.name = "to whom it was sent", .more = to_whom},
	{.name = "10,000 random packets", .more = random_packets},
};

static const struct tale fib[] = {
	{.name = "as the FIB says", .more = by_fib},
	{.name = "kept for a second", .more = kept_a_second},
	{.name = "no way by the FIB", .more = fib_knows_no_way},
	{.name = "elsewhere by the FIB", .more = fib_says_elsewhere},
};

void cases_xdp_hop(struct rig *rig, const struct net *net)
{
	if (xdp_begin(rig, net))
		return;
	tell_all(rig, net, "xdp hop", hops, sizeof(hops) / sizeof(hops[0]));
	if (xdp_is_named())
		tell_all(rig, net, "xdp hop", fib, sizeof(fib) / sizeof(fib[0]));
	else
		check_skip("xdp hop: as the FIB says",
			   "before 5.14 test_run cannot name an interface");
	xdp_end(rig);
}
