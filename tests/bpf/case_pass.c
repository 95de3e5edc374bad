/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_pass.c - what is not ours goes on, byte for byte
 *
 * The share is 100 % throughout and every packet starts as a SYN that would be shifted; so what is
 * passed on is so for what was changed in it. Each case ends with the proof: the plain SYN is
 * shifted.
 */
#include <linux/pkt_cls.h>
#include <string.h>
#include <bpf/bpf.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/single.h"

struct start {
	struct rig *rig;
	struct end client;
	struct segment seg;
	struct frame syn;
	bool v6;
};

static void start(struct start *s, struct rig *rig, bool v6)
{
	rig_reset(rig, &rig_usual);
	rig_weight(rig, 100);
	s->rig = rig;
	s->v6 = v6;
	s->client = rig_client(rig, v6, 0, SHIFT_RANKS, RIG_ANY);
	single_syn(&s->client, &s->seg);
	frame_build(&s->syn, &s->seg);
}

static void ether_type(struct start *s)
{
	static const uint16_t types[] = {0x0806, 0x8847, 0x88cc, 0x0026,
					 0x0000, 0xffff, 0x8100, 0x88a8};
	struct frame f = s->syn;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		frame_put16(&f, 12, types[i]);
		single_passes(s->rig, &f, SHIFT_PASS_OTHER, "type %#x", types[i]);
	}
}

/* Somebody on the host may listen to all frames. */
static void other_mac(struct start *s)
{
	static const uint8_t macs[][6] = {{2, 0, 0, 0, 0, 0xfe},
					  {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
					  {1, 0, 0x5e, 0, 0, 1},
					  {0x33, 0x33, 0, 0, 0, 1}};

	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		struct frame f = s->syn;

		memcpy(f.data, macs[i], 6);
		single_passes(s->rig, &f, SHIFT_PASS_OTHER, "to MAC %zu", i);
	}
}

static void vlan(struct start *s)
{
	struct frame f = s->syn;

	memmove(f.data + 16, f.data + 12, f.len - 12);
	f.len += 4;
	frame_put16(&f, 12, 0x8100);
	frame_put16(&f, 14, 42);
	single_passes(s->rig, &f, SHIFT_PASS_OTHER, "with a tag");
	frame_put16(&f, 12, 0x88a8);
	single_passes(s->rig, &f, SHIFT_PASS_OTHER, "with a provider's tag");
}

/* In IPv6 these are the headers that may come before TCP, too. */
static void protocols(struct start *s)
{
	for (int protocol = 0; protocol < 256; protocol++) {
		struct frame f = s->syn;

		if (protocol == 6)
			continue;
		f.data[FRAME_L3 + (s->v6 ? 6 : 9)] = (uint8_t)protocol;
		/* What follows, read as a fragment header, has an offset. */
		single_passes(s->rig, &f,
			      s->v6 && protocol == 44 ? SHIFT_PASS_FRAGMENT : SHIFT_PASS_OTHER,
			      "protocol %d", protocol);
	}
}

static void other_port(struct start *s)
{
	static const uint16_t ports[] = {0,	 1,    442,  444, 443 + 64, 443 ^ 0x8000,
					 0xbb01, 8443, 65535};

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		struct frame f;

		s->seg.dst.port = ports[i];
		frame_build(&f, &s->seg);
		single_passes(s->rig, &f, SHIFT_PASS_OTHER, "port %u", ports[i]);
	}
}

static void other_address(struct start *s)
{
	static const char *const v4[] = {"203.0.113.9", "203.0.113.11", "203.0.113.12",
					 "10.113.0.203"};
	static const char *const v6[] = {"2001:db8::", "2001:db8::11", "2001:db8:0:1::10",
					 "::203.0.113.10"};
	char text[64];

	for (size_t i = 0; i < sizeof(v4) / sizeof(v4[0]); i++) {
		struct frame f;

		s->seg.dst = end_of((s->v6 ? v6 : v4)[i], 443);
		frame_build(&f, &s->seg);
		single_passes(s->rig, &f, SHIFT_PASS_OTHER, "%s", end_text(&s->seg.dst, text));
	}
}

/* The packet's length says that there is more, or is cut with the packet. */
static void truncated(struct start *s)
{
	size_t ip_bytes = s->v6 ? 40 : 20, least = FRAME_L3 + ip_bytes;

	for (size_t n = FRAME_L3; n < s->syn.len; n++) {
		struct frame f = s->syn;
		size_t l4 = frame_l4(&s->syn);

		f.len = n;
		if (!single_passes(s->rig, &f, SHIFT_PASS_MALFORMED, "cut to %zu bytes", n))
			CHECK(n < least, "the kernel does not run %zu bytes", n);
		if (n < least || n >= l4 + s->seg.n_options + 20)
			continue;
		frame_put16(&f, FRAME_L3 + (s->v6 ? 4 : 2),
			    (uint16_t)(n - FRAME_L3 - (s->v6 ? 40 : 0)));
		single_passes(s->rig, &f, SHIFT_PASS_MALFORMED,
			      "cut to %zu bytes, as the header says", n);
	}
}

static void lengths(struct start *s)
{
	size_t at = FRAME_L3 + (s->v6 ? 4 : 2), right = frame_get16(&s->syn, at);
	struct frame f = s->syn;

	for (size_t n = 1; n < right; n++) {
		frame_put16(&f, at, (uint16_t)n);
		single_passes(s->rig, &f, SHIFT_PASS_MALFORMED, "length %zu of %zu", n, right);
	}
	for (size_t n = right + 1; n < 65536; n += n < right + 64 ? 1 : 997) {
		frame_put16(&f, at, (uint16_t)n);
		single_passes(s->rig, &f, SHIFT_PASS_MALFORMED, "length %zu of %zu", n, right);
	}
}

/* Only a train of segments may have it (BIG TCP); the host's stack drops this one. */
static void length_zero(struct start *s)
{
	struct frame f = s->syn;

	frame_put16(&f, FRAME_L3 + (s->v6 ? 4 : 2), 0);
	single_passes(s->rig, &f, SHIFT_PASS_MALFORMED, "length 0");
}

static void version_and_ihl(struct start *s)
{
	struct frame f = s->syn;
	uint8_t right = f.data[FRAME_L3];

	for (uint8_t version = 0; version < 16; version++) {
		if (version == right >> 4)
			continue;
		f.data[FRAME_L3] = (uint8_t)(version << 4 | (right & 15));
		single_passes(s->rig, &f, SHIFT_PASS_MALFORMED, "version %u", version);
	}
	for (uint8_t ihl = 0; !s->v6 && ihl < 16; ihl++) {
		if (ihl == 5)
			continue;
		f.data[FRAME_L3] = 4 << 4 | ihl;
		/* A header that is longer covers what were the ports: nobody's, or too long. */
		if (ihl < 5)
			single_passes(s->rig, &f, SHIFT_PASS_MALFORMED, "header of %u words", ihl);
		else
			single_passes(s->rig, &f,
				      FRAME_L3 + ihl * 4 + 8 > (int)f.len ? SHIFT_PASS_MALFORMED
									  : SHIFT_PASS_OTHER,
				      "header of %u words", ihl);
	}
}

static void data_offset(struct start *s)
{
	struct frame f = s->syn;

	for (uint8_t doff = 0; doff < 16; doff++) {
		if (doff >= 5 && doff * 4u <= s->seg.n_options + 20)
			continue;
		f.data[frame_l4(&f) + 12] = (uint8_t)(doff << 4);
		single_passes(s->rig, &f, SHIFT_PASS_MALFORMED, "data offset %u", doff);
	}
}

static void fragments(struct start *s)
{
	static const uint16_t fields[] = {0x0001, 0x2001, 0x1fff, 0x3fff, 0x0010};
	/* A first fragment has all that is asked. */
	static const uint16_t whole[] = {0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000};

	for (size_t i = 0; !s->v6 && i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct frame f = s->syn;

		frame_put16(&f, FRAME_L3 + 6, fields[i]);
		single_passes(s->rig, &f, SHIFT_PASS_FRAGMENT, "flags and offset %#x", fields[i]);
	}
	for (size_t i = 0; !s->v6 && i < sizeof(whole) / sizeof(whole[0]); i++) {
		static struct run run;
		struct frame f;

		s->seg.src.port++; /* each its own connection */
		frame_build(&f, &s->seg);
		frame_put16(&f, FRAME_L3 + 6, whole[i]);
		CHECK(!rig_run(s->rig, s->rig->ingress, &f, &run) && run.action != TC_ACT_UNSPEC,
		      "flags %#x: taken for a later fragment", whole[i]);
	}
}

/* The byte of its rank is what says so: with it set, the planted flow would be found. */
static void clean_rank(struct start *s)
{
	struct shift_flow_key key = {.client_port = shift_be16(s->client.port),
				     .listen = RIG_LISTEN(s->v6)};
	struct shift_flow_ref ref = {.target = s->v6 ? 23 : 13, .index = 5, .generation = 1};
	struct shift_flow *f = &s->rig->slots[ref.target][ref.index];
	uint32_t rank = shift_hash_rank(rig_hash(s->rig, &s->client));
	static struct run run;
	struct frame ack;

	memcpy(key.client, s->client.ip, sizeof(key.client));
	*f = (struct shift_flow){.client_port = key.client_port,
				 .listen = (__u16)key.listen,
				 .generation = 1,
				 .state = SHIFT_FLOW_ESTABLISHED,
				 .backend = RIG_AZURE,
				 .service = RIG_SERVICE};
	memcpy(f->client, s->client.ip, sizeof(f->client));
	f->expires = rig_tick(s->rig) + 100 * RIG_SECOND;
	rig_plant(s->rig, &s->client, ref.target, ref.index);
	s->seg.flags = TCP_ACK;
	frame_build(&ack, &s->seg);
	single_passes(s->rig, &ack, SHIFT_PASS_LOCAL, "clean");
	(*s->rig->dirty)[rank] = 1;
	CHECK(!rig_run(s->rig, s->rig->ingress, &ack, &run) && run.action != TC_ACT_UNSPEC,
	      "dirty: the flow was not found");
	rig_empty_index(s->rig);
}

/* To NAT ports: from strangers, from a backend without a flow, beside the range. */
static void to_nat_ports(struct start *s)
{
	const struct rig_target *aws = rig_target_of(s->rig, s->v6 ? 21 : 11);
	struct end other_nat = rig_target_of(s->rig, s->v6 ? 24 : 14)->nat;
	struct segment seg = {.src = aws->address, .dst = aws->nat, .flags = TCP_ACK, .ttl = 9};
	struct shift_ports ports;
	uint32_t zero = 0;
	struct frame f;

	seg.dst.port = RIG_PORT_LO + 7;
	frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_REPLY_UNKNOWN, "a backend's, no flow");
	seg.src.port++;
	frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_OTHER, "another port of a backend");
	seg.src = s->client;
	frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_OTHER, "a stranger");
	seg.src = aws->address;
	memcpy(seg.dst.ip, other_nat.ip, sizeof(other_nat.ip));
	frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_OTHER, "another NAT address");
	memcpy(seg.dst.ip, aws->nat.ip, sizeof(aws->nat.ip));
	seg.dst.port = (uint16_t)(RIG_PORT_LO + rig_usual.ports);
	frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_OTHER, "a port after the range");
	/* ports that another service's range has, but not this target's */
	rig_get(s->rig, RIG_PORTS, &zero, &ports);
	ports.nat[(RIG_PORT_LO - 1) / 64] |= 1ull << ((RIG_PORT_LO - 1) % 64);
	ports.nat[seg.dst.port / 64] |= 1ull << (seg.dst.port % 64);
	rig_put(s->rig, RIG_PORTS, &zero, &ports);
	single_passes(s->rig, &f, SHIFT_PASS_REPLY_UNKNOWN, "a port after the target's");
	seg.dst.port = RIG_PORT_LO - 1;
	frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_REPLY_UNKNOWN, "a port before the target's");
}

/* The listen port may be in the NAT range, and the listen address a NAT address. */
static void listener_in_the_range(struct start *s)
{
	struct segment seg = {
		.src = s->client, .dst = rig_listen_end(s->v6), .flags = TCP_ACK, .ttl = 9};
	struct frame f;

	seg.dst.port = RIG_PORT_LO + 3;
	frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_OTHER, "a NAT port of the listen address");
}

static const struct {
	const char *name;
	void (*run)(struct start *s);
	int only;
} cases[] = {
	{"another type of frame", ether_type, 0},
	{"to another machine's MAC, or to all", other_mac, 0},
	{"tagged within the packet", vlan, 0},
	{"every other protocol or extension header", protocols, 0},
	{"another port", other_port, 0},
	{"another address, the same port", other_address, 0},
	{"truncated at every byte", truncated, 0},
	{"a length that is not the packet's", lengths, 0},
	{"length 0 in an ordinary packet", length_zero, 0},
	{"a wrong version or header length", version_and_ihl, 0},
	{"a wrong data offset", data_offset, 0},
	{"fragments", fragments, 4},
	{"a rank without shifted flows is not looked up", clean_rank, 0},
	{"packets to NAT ports that belong to no flow", to_nat_ports, 0},
	{"a NAT port of the listen address", listener_in_the_range, 0},
};

void cases_pass(struct rig *rig, const struct net *net)
{
	static struct start s;

	(void)net;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int v6 = 0; v6 < 2; v6++) {
			if (cases[i].only && cases[i].only != (v6 ? 6 : 4))
				continue;
			if (!check_begin("pass: %s, IPv%d", cases[i].name, v6 ? 6 : 4))
				continue;
			start(&s, rig, v6);
			cases[i].run(&s);
			single_shifts(rig, &s.client);
			check_end();
		}
	}
}
