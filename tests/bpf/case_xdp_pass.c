/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_xdp_pass.c - what the short way leaves to tc, untouched and uncounted
 */
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/xdp.h"

static struct frame f;

static const char *side(bool udp, bool up)
{
	return udp ? up ? "UDP up" : "UDP down" : up ? "TCP up" : "TCP down";
}

/* ---- what passes ---- */

static void sum(struct frame *p)
{
	ip_sum(p->data + FRAME_L3);
}

static void insert(struct frame *p, size_t at, const uint8_t *bytes, size_t n)
{
	memmove(p->data + at + n, p->data + at, p->len - at);
	memcpy(p->data + at, bytes, n);
	p->len += n;
}

static void set_bytes(struct frame *p, size_t bytes)
{
	if (frame_is_v6(p))
		frame_put16(p, FRAME_L3 + 4, (uint16_t)(bytes - 40));
	else
		frame_put16(p, FRAME_L3 + 2, (uint16_t)bytes);
	sum(p);
}

static void ip_options(struct frame *p)
{
	static const uint8_t nop[] = {1, 1, 1, 1};

	insert(p, FRAME_L3 + 20, nop, 4);
	p->data[FRAME_L3] = 0x46;
	set_bytes(p, p->len - FRAME_L3);
}

static void vlan(struct frame *p)
{
	static const uint8_t tag[] = {0x81, 0, 0, 7};

	insert(p, 12, tag, 4);
}

static void vlan_ad(struct frame *p)
{
	vlan(p);
	frame_put16(p, 12, 0x88a8);
}

static void longer(struct frame *p)
{
	set_bytes(p, p->len - FRAME_L3 + 1);
}

static void no_header(struct frame *p)
{
	size_t l4 = frame_l4(p) - FRAME_L3;
	bool udp = p->data[FRAME_L3 + (frame_is_v6(p) ? 6 : 9)] == PROTOCOL_UDP;

	set_bytes(p, l4 + (udp ? 7 : 19));
}

static void no_ports(struct frame *p)
{
	set_bytes(p, frame_l4(p) - FRAME_L3 + 7);
}

static void no_bytes(struct frame *p)
{
	frame_put16(p, FRAME_L3 + (frame_is_v6(p) ? 4 : 2), 0);
	sum(p);
}

static void other_port(struct frame *p)
{
	p->data[frame_l4(p) + 2] ^= 0x40;
}

static void other_peer(struct frame *p)
{
	p->data[frame_l4(p)] ^= 0x10;
}

static void other_source(struct frame *p)
{
	p->data[FRAME_L3 + (frame_is_v6(p) ? 22 : 14)] ^= 0x15;
}

static void other_destination(struct frame *p)
{
	p->data[FRAME_L3 + (frame_is_v6(p) ? 38 : 18)] ^= 0x15;
}

static void type(struct frame *p)
{
	frame_put16(p, 12, frame_is_v6(p) ? 0x0800 : 0x86dd);
}

static void arp(struct frame *p)
{
	frame_put16(p, 12, 0x0806);
}

static void stranger(struct frame *p)
{
	memcpy(p->data + 6, xdp_stranger_mac, 6);
}

static void extend(struct frame *p, uint8_t header)
{
	frame_extend(p, &header, 1, NULL);
}

static void hops_header(struct frame *p)
{
	extend(p, HEADER_HOPS);
}

static void routing_header(struct frame *p)
{
	extend(p, HEADER_ROUTING);
}

static void options_header(struct frame *p)
{
	extend(p, HEADER_OPTIONS);
}

static void fragment_header(struct frame *p)
{
	extend(p, HEADER_FRAGMENT);
}

/* A byte of the frame, from the IP header on or, with L4, from the one after it. */
#define L4 0x100

struct change {
	const char *name;
	void (*make)(struct frame *);
	enum { ANY, V4, V6, TCP } only;
	int at, value;
};

static const struct change changes[] = {
	{"IP options", ip_options, V4, 0, 0},
	{"a VLAN tag", vlan, ANY, 0, 0},
	{"an outer VLAN tag", vlan_ad, ANY, 0, 0},
	{"longer than the frame", longer, ANY, 0, 0},
	{"the transport header cut off", no_header, ANY, 0, 0},
	{"the ports cut off", no_ports, ANY, 0, 0},
	{"no length", no_bytes, ANY, 0, 0},
	{"to another port", other_port, ANY, 0, 0},
	{"from another port", other_peer, ANY, 0, 0},
	{"from another address", other_source, ANY, 0, 0},
	{"to another address", other_destination, ANY, 0, 0},
	{"the other family's type", type, ANY, 0, 0},
	{"ARP", arp, ANY, 0, 0},
	{"from another router", stranger, ANY, 0, 0},
	{"hop-by-hop options", hops_header, V6, 0, 0},
	{"a routing header", routing_header, V6, 0, 0},
	{"destination options", options_header, V6, 0, 0},
	{"a fragment header", fragment_header, V6, 0, 0},
	{"version 5", NULL, V4, 0, 0x55},
	{"version 6", NULL, V4, 0, 0x65},
	{"version 0", NULL, V4, 0, 0x05},
	{"a header of 16 bytes", NULL, V4, 0, 0x44},
	{"version 4", NULL, V6, 0, 0x45},
	{"version 7", NULL, V6, 0, 0x70},
	{"a first fragment", NULL, V4, 6, 0x20},
	{"a later fragment", NULL, V4, 7, 1},
	{"a middle fragment", NULL, V4, 6, 0x21},
	{"TTL 1", NULL, V4, 8, 1},
	{"TTL 0", NULL, V4, 8, 0},
	{"hop limit 1", NULL, V6, 7, 1},
	{"hop limit 0", NULL, V6, 7, 0},
	{"ICMP", NULL, V4, 9, PROTOCOL_ICMP},
	{"ICMPv6 in IPv4", NULL, V4, 9, PROTOCOL_ICMPV6},
	{"SCTP", NULL, V4, 9, 132},
	{"ICMPv6", NULL, V6, 6, PROTOCOL_ICMPV6},
	{"AH", NULL, V6, 6, HEADER_AH},
	{"no next header", NULL, V6, 6, 59},
	{"a TCP header of 16 bytes", NULL, TCP, L4 + 12, 0x40},
	{"a TCP header longer than the packet", NULL, TCP, L4 + 12, 0xf0},
	{"SYN", NULL, TCP, L4 + 13, TCP_SYN},
	{"SYN-ACK", NULL, TCP, L4 + 13, TCP_SYN | TCP_ACK},
	{"SYN and FIN", NULL, TCP, L4 + 13, TCP_SYN | TCP_FIN},
	{"SYN and RST", NULL, TCP, L4 + 13, TCP_SYN | TCP_RST},
};

static void left_alone(struct story *s)
{
	static struct frame good;

	if (!xdp_flows(s))
		return;
	for (int k = 0; k < 4; k++) {
		bool udp = k & 2, up = !(k & 1);

		xdp_frame(s, udp, up, 20, &good);
		for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
			const struct change *c = &changes[i];
			char what[100];

			if ((c->only == TCP && udp) || (c->only == (s->v6 ? V4 : V6)))
				continue;
			snprintf(what, sizeof(what), "%s: %s", side(udp, up), c->name);
			/* The flow came through the router: the reply could go there. */
			if (i % 8 == 0)
				for (int first = 1; first >= 0; first--) {
					xdp_frame(s, udp, first, 20, &f);
					xdp_goes(s, udp, first, &f, NULL, "as it should be");
				}
			f = good;
			if (c->make) {
				c->make(&f);
			} else {
				size_t at = c->at & L4 ? frame_l4(&f) : FRAME_L3;

				f.data[at + (size_t)(c->at & 0xff)] = (uint8_t)c->value;
			}
			xdp_passes(s, &f, what);
		}
		for (size_t n = FRAME_L3; n < good.len; n++) {
			char what[60];

			f = good;
			f.len = n;
			snprintf(what, sizeof(what), "%s, %zu bytes of it", side(udp, up), n);
			xdp_passes(s, &f, what);
		}
	}
}

/* ---- what the maps say ---- */

/* Both sides' packets of that protocol. */
static void both_pass(struct story *s, bool udp, const char *what)
{
	for (int up = 0; up < 2; up++) {
		xdp_frame(s, udp, up, 20, &f);
		xdp_passes(s, &f, what);
	}
}

static void both_go(struct story *s, bool udp, const char *what)
{
	for (int up = 1; up >= 0; up--) {
		xdp_frame(s, udp, up, 20, &f);
		xdp_goes(s, udp, up, &f, NULL, what);
	}
}

static void first_datagrams(struct story *s)
{
	struct datagram d;

	if (!xdp_flows(s))
		return;
	s->client_end.port++;
	d = play_datagram(s, true);
	frame_udp(&f, &d);
	xdp_passes(s, &f, "one that begins a flow");
	/* Not answered yet: as tc would have it, and the first answer ends that. */
	story_begin(s, s->rig, s->net, s->v6);
	if (!xdp_flows(s))
		return;
	xdp_flow(s, true)->state = SHIFT_FLOW_SYN_SENT;
	xdp_flow(s, true)->counted |= SHIFT_COUNTED_HALF_OPEN;
	both_go(s, true, "unanswered");
	check_equal(xdp_flow(s, true)->state, SHIFT_FLOW_ESTABLISHED, "state");
}

static void cut(struct story *s)
{
	if (!xdp_flows(s))
		return;
	for (int marked = 1; marked >= 0; marked--) {
		struct segment seg;

		for (int udp = 0; udp < 2; udp++)
			xdp_flow(s, udp)->cut = (uint8_t)marked;
		if (!marked) {
			both_go(s, false, "not cut");
			both_go(s, true, "not cut");
			tell(s, "cut older\n");
		}
		both_pass(s, false, "cut");
		both_pass(s, true, "cut");
		/* A RST ends it as well as ours would. */
		for (int up = 1; up >= 0; up--) {
			struct shift_flow was = *xdp_flow(s, false);

			xdp_segment(s, up, &seg);
			seg.flags = TCP_RST;
			frame_build(&f, &seg);
			xdp_goes(s, false, up, &f, NULL, "a RST of one that is cut");
			*xdp_flow(s, false) = was;
		}
	}
}

static void unknown(struct story *s)
{
	struct end client = s->client_end;
	uint8_t *dirty;

	if (!xdp_flows(s))
		return;
	both_go(s, false, "before");
	both_go(s, true, "before");
	dirty = &(*s->rig->dirty)[shift_hash_rank(rig_hash(s->rig, &client))];
	check_equal(*dirty, 1, "the rank is marked");
	*dirty = 0;
	for (int udp = 0; udp < 2; udp++) {
		xdp_frame(s, udp, true, 20, &f);
		xdp_passes(s, &f, "a clean rank");
	}
	*dirty = 1;
	rig_weight(s->rig, 0);
	both_go(s, false, "at 0 %");
	both_go(s, true, "at 0 %");
	s->client_end.port++;
	xdp_frame(s, true, true, 20, &f);
	if (rig_run(s->rig, s->rig->ingress, &f, &s->run)) /* the host's from now on */
		return;
	for (int udp = 0; udp < 2; udp++) {
		xdp_frame(s, udp, true, 20, &f);
		xdp_passes(s, &f, "the old host's");
	}
	s->client_end = client;
	rig_empty_index(s->rig);
	for (int udp = 0; udp < 2; udp++) {
		xdp_frame(s, udp, true, 20, &f);
		xdp_passes(s, &f, "nothing leads to its record");
	}
}

static void mtu(struct story *s)
{
	if (!xdp_flows(s))
		return;
	both_go(s, false, "before");
	both_go(s, true, "before");
	rig_mtu(s->rig, 1500, 1280);
	for (int k = 0; k < 4; k++) {
		bool udp = k & 2, up = k & 1;
		size_t room = 1280 - (s->v6 ? 40 : 20) - (udp ? 8 : 20);

		xdp_frame(s, udp, up, room, &f);
		xdp_goes(s, udp, up, &f, NULL, "1280 bytes");
		xdp_frame(s, udp, up, room + 1, &f);
		xdp_passes(s, &f, "1281 bytes");
	}
}

static void take_target(struct rig *r, uint32_t id)
{
	const struct rig_target *t = rig_target_of(r, id);
	struct shift_reply_key key = {.port = shift_be16(t->address.port), .protocol = t->protocol};

	memcpy(key.address, t->address.ip, sizeof(key.address));
	memcpy(key.nat, t->nat.ip, sizeof(key.nat));
	bpf_map_delete_elem(r->map[RIG_REPLIES], &key); /* some share one */
	rig_target_flags(r, id, 0);
}

static void taken_away(struct story *s)
{
	static const char *const things[] = {"the service", "the ports", "the targets"};

	for (int what = 0; what < 3; what++) {
		static const struct shift_ports none;
		uint32_t zero = 0;

		story_begin(s, s->rig, s->net, s->v6);
		if (!xdp_flows(s))
			return;
		for (uint32_t id = 0; id < 32; id++)
			if (rig_target_of(s->rig, id))
				rig_target_flags(s->rig, id,
						 SHIFT_TARGET_USED | SHIFT_TARGET_DRAIN);
		both_go(s, false, "draining");
		both_go(s, true, "draining");
		if (what == 0) {
			s->rig->service.flags = 0;
			rig_put_service(s->rig);
		} else if (what == 1) {
			rig_put(s->rig, RIG_PORTS, &zero, &none);
		}
		for (uint32_t id = 0; what == 2 && id < 32; id++)
			if (rig_target_of(s->rig, id))
				take_target(s->rig, id);
		for (int k = 0; k < 4; k++) {
			bool udp = k & 2, up = k & 1;

			xdp_frame(s, udp, up, 20, &f);
			if (!up || what < 2)
				xdp_passes(s, &f, things[what]);
		}
	}
}

static const struct tale tales[] = {
	{.name = "what is not plain", .more = left_alone},
	{.name = "a flow's first datagrams", .more = first_datagrams},
	{.name = "flows that are cut", .more = cut},
	{.name = "clean ranks and the old host's flows", .more = unknown},
	{.name = "packets that may be too long", .more = mtu},
	{.name = "a service, its ports, a target taken away", .more = taken_away},
};

void cases_xdp_pass(struct rig *rig, const struct net *net)
{
	if (xdp_begin(rig, net))
		return;
	tell_all(rig, net, "xdp passes", tales, sizeof(tales) / sizeof(tales[0]));
	xdp_end(rig);
}
