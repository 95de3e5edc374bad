/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_ports.c - NAT ports: each is given once, rests as long as it must, and comes back by itself
 */
#include <sched.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/host.h"
#include "tests/bpf/single.h"
#include "tests/bpf/story.h"

struct scene {
	struct rig *rig;
	bool v6;
	struct end client;
	struct shift_flow_ref place; /* of the last flow */
	struct run run;
	uint8_t seen[2][65536]; /* indexes given, of the first and the second target */
};

static struct rig_shape shape_of(uint32_t ports, uint8_t shards)
{
	struct rig_shape shape = rig_usual;

	shape.ports = ports;
	shape.shards = shards;
	return shape;
}

static void begin(struct scene *s, const struct rig_shape *shape, enum rig_backend backend)
{
	rig_reset(s->rig, shape);
	rig_weight(s->rig, 100);
	s->client = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, backend);
	memset(s->seen, 0, sizeof(s->seen));
	memset(&s->place, 0, sizeof(s->place));
}

/* The client's next connection. */
static enum shift_verdict next(struct scene *s)
{
	enum shift_verdict v;

	rig_forget_limits(s->rig);
	s->client.port++;
	v = single_try(s->rig, &s->client, &s->run);
	if (v == SHIFT_FORWARD && !rig_flow(s->rig, &s->client, &s->place)) {
		check_fail("forwarded without a flow");
		return SHIFT_VERDICTS;
	}
	return v;
}

static struct shift_flow *record(struct scene *s)
{
	static struct shift_flow none;
	struct shift_flow *slots = s->rig->slots[s->place.target & 31];

	return slots ? &slots[s->place.index] : &none; /* none: it was complained of */
}

static uint32_t azure(const struct scene *s)
{
	return s->v6 ? 23 : 13;
}

static uint64_t fallback(struct scene *s, enum shift_fallback which)
{
	struct tally t;

	rig_tally(s->rig, &t);
	return t.service.fallback[which];
}

/* All ports of azure's one target, then none. */
static void exhaust(struct scene *s, uint32_t ports)
{
	for (uint32_t i = 0; i < ports && !check_failed(); i++) {
		enum shift_verdict v = next(s);

		CHECK(v == SHIFT_FORWARD, "connection %u of %u: %s", i, ports,
		      rig_verdict_names[v]);
		CHECK(s->place.index < ports, "port %u is not in the range", s->place.index);
		CHECK(!s->seen[0][s->place.index]++, "port %u was given twice", s->place.index);
		check_equal(frame_src(&s->run.out).port, RIG_PORT_LO + s->place.index, "port");
	}
	CHECK(next(s) == SHIFT_PASS_FALLBACK, "one more than there are ports");
	check_equal(fallback(s, SHIFT_FALLBACK_PORTS_EXHAUSTED), 1, "ports_exhausted");
}

static void every_port_once(struct scene *s)
{
	static const struct {
		uint32_t ports;
		uint8_t shards;
	} rows[] = {{1, 1},  {1, 8},   {7, 1},	 {7, 2},   {8, 8},  {33, 2},
		    {64, 2}, {100, 3}, {256, 1}, {255, 8}, {256, 8}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig_shape shape = shape_of(rows[i].ports, rows[i].shards);

		begin(s, &shape, RIG_AZURE);
		exhaust(s, rows[i].ports);
		if (check_failed())
			check_fail("with %u ports in %u shards", rows[i].ports, rows[i].shards);
	}
}

/* An SYN that nobody answered, 60 s later: counted, and no entry of the old ones is left over. */
static void ports_come_back(struct scene *s)
{
	struct rig_shape shape = shape_of(64, 2);
	struct tally t;

	begin(s, &shape, RIG_AZURE);
	exhaust(s, 64);
	rig_age(s->rig, 59, false);
	CHECK(next(s) == SHIFT_PASS_FALLBACK, "a port came back too early");
	rig_age(s->rig, 2, false);
	for (int i = 0; i < 200; i++) {
		CHECK(next(s) == SHIFT_FORWARD, "connection %d", i);
		if (i % 64 == 63)
			rig_age(s->rig, 61, false);
	}
	check_equal(rig_flows(s->rig), 64, "entries of the forward table");
	rig_tally(s->rig, &t);
	check_equal(t.backend[RIG_AZURE].handshake_failures, 200, "unanswered SYNs");
}

/* Every other port is busy; this one is in a state with a second left. */
static void rests(struct scene *s)
{
	for (int state = SHIFT_FLOW_SYN_SENT; state < SHIFT_FLOW_STATES; state++) {
		struct rig_shape shape = shape_of(64, 2);
		struct shift_flow *slots;
		uint32_t tick;

		begin(s, &shape, RIG_AZURE);
		slots = s->rig->slots[azure(s)];
		tick = rig_tick(s->rig);
		for (int i = 0; i < 64; i++) {
			slots[i].state = SHIFT_FLOW_ESTABLISHED;
			slots[i].expires = tick + 7000 * RIG_SECOND;
		}
		slots[41].state = (__u8)state;
		slots[41].generation = 77;
		slots[41].expires = tick + RIG_SECOND;
		CHECK(next(s) == SHIFT_PASS_FALLBACK, "state %d: given while it rests", state);
		rig_age(s->rig, 2, false);
		CHECK(next(s) == SHIFT_FORWARD && s->place.index == 41, "state %d: not given",
		      state);
		check_equal(slots[41].generation, 78, "generation of the record");
	}
}

/* A free port that was just used is not the next one given. */
static void oldest_first(struct scene *s)
{
	struct rig_shape shape = shape_of(64, 1);
	uint32_t last = 0;

	begin(s, &shape, RIG_AZURE);
	for (int i = 0; i < 130; i++) {
		CHECK(next(s) == SHIFT_FORWARD, "connection %d", i);
		CHECK(!i || s->place.index == (last + 1) % 64, "port %u after %u", s->place.index,
		      last);
		last = s->place.index;
		record(s)->expires = rig_tick(s->rig) - 1;
	}
}

static void addresses_never_share(struct scene *s)
{
	struct rig_shape shape = shape_of(64, 2);
	uint32_t first = s->v6 ? 21 : 11;

	begin(s, &shape, RIG_AWS);
	for (int i = 0; i < 64 && !check_failed(); i++) {
		s->client = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AWS);
		CHECK(next(s) == SHIFT_FORWARD, "connection %d of 64", i);
		check_equal(s->place.index % 2, s->place.target - first, "phase");
		CHECK(!s->seen[0][s->place.index]++, "port %u is at both addresses",
		      s->place.index);
		s->seen[1][s->place.target]++;
	}
	check_equal(s->seen[1][first], 32, "flows at the first address");
	check_equal(s->seen[1][first + 1], 32, "flows at the second");
	s->client = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AWS);
	CHECK(next(s) == SHIFT_PASS_FALLBACK, "one more");
}

/* Clients are spread over the addresses of their backend, each always at the same one. */
static void addresses_by_hash(struct scene *s)
{
	struct rig_shape shape = shape_of(2048, 2);
	uint32_t at[2] = {0, 0}, first = s->v6 ? 21 : 11;

	begin(s, &shape, RIG_AWS);
	for (int i = 0; i < 300; i++) {
		uint32_t target;

		s->client = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AWS);
		CHECK(next(s) == SHIFT_FORWARD, "connection %d", i);
		target = s->place.target;
		CHECK(next(s) == SHIFT_FORWARD && s->place.target == target,
		      "the client's second connection is at another address");
		at[target != first]++;
	}
	CHECK(at[0] > 110 && at[1] > 110, "of 300 clients %u and %u", at[0], at[1]);
}

static void hand_wraps(struct scene *s)
{
	static const uint32_t hands[] = {0xffffffff, 0xfffffff0, 0x7ffffff0, 0xffffff00};

	for (size_t i = 0; i < sizeof(hands) / sizeof(hands[0]); i++) {
		struct rig_shape shape = shape_of(100, 1);
		struct shift_cursor cursor = {.hand = hands[i]};
		uint32_t key = azure(s) * SHIFT_MAX_SHARDS;

		begin(s, &shape, RIG_AZURE);
		rig_put(s->rig, RIG_CURSORS, &key, &cursor);
		exhaust(s, 100);
	}
}

static void busy(struct scene *s, uint32_t from, uint32_t to)
{
	uint32_t tick = rig_tick(s->rig);

	for (uint32_t i = from; i < to; i++) {
		s->rig->slots[azure(s)][i].state = SHIFT_FLOW_ESTABLISHED;
		s->rig->slots[azure(s)][i].expires = tick + 7000 * RIG_SECOND;
	}
}

/* 32 are looked at in the own shard, then the other gives; the next look begins beyond them. */
static void busy_at_the_hand(struct scene *s)
{
	struct rig_shape shape = shape_of(256, 2);
	uint32_t own = (uint32_t)sched_getcpu() % 2 * 128, other = 128 - own;

	begin(s, &shape, RIG_AZURE);
	busy(s, own, own + 40);
	CHECK(next(s) == SHIFT_FORWARD, "the first");
	check_equal(s->place.index, other, "port of the other shard");
	CHECK(next(s) == SHIFT_FORWARD, "the second");
	check_equal(s->place.index / 128, own / 128, "shard");
	CHECK(s->place.index >= own + 40, "port %u is busy", s->place.index);
	busy(s, own, own + 128);
	CHECK(next(s) == SHIFT_FORWARD, "with the own shard full");
	check_equal(s->place.index, other + 1, "port of the other shard");
}

/* Where there are two CPUs: each begins in its own shard. */
static void each_cpu_its_shard(struct scene *s)
{
	struct rig_shape shape = shape_of(64, 2);
	cpu_set_t before, one;

	if (sched_getaffinity(0, sizeof(before), &before))
		return;
	begin(s, &shape, RIG_AZURE);
	for (int cpu = 0; cpu < s->rig->cpus && cpu < 8; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			continue;
		CHECK(next(s) == SHIFT_FORWARD, "CPU %d", cpu);
		check_equal(s->place.index / 32, (unsigned int)cpu % 2, "shard");
	}
	sched_setaffinity(0, sizeof(before), &before);
}

/* Half of the SYNs of two_at_once, on one CPU. Runs in a process of its own. */
static void one_of_two(struct scene *s, int cpu, uint32_t syns)
{
	struct segment seg;
	struct frame f;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
	single_syn(&s->client, &seg);
	for (uint32_t i = 0; i < syns; i++) {
		seg.src.port = (uint16_t)(1024 + 2 * i + (uint32_t)cpu);
		frame_build(&f, &seg);
		if (rig_run(s->rig, s->rig->ingress, &f, &s->run))
			_exit(1);
	}
	_exit(0);
}

/* Two CPUs ask one shard for ports at the same time: each port has one flow. */
static void two_at_once(struct scene *s)
{
	struct rig_shape shape = shape_of(8192, 1);
	uint32_t syns = getenv("BPF_TABLES_QUICK") ? 500 : 4000, held = 0;
	struct tally t;
	pid_t child[2];

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return; /* and nothing can happen */
	begin(s, &shape, RIG_AZURE);
	for (int cpu = 0; cpu < 2; cpu++) {
		child[cpu] = fork();
		if (!child[cpu])
			one_of_two(s, cpu, syns);
	}
	for (int cpu = 0; cpu < 2; cpu++) {
		int status = -1;

		CHECK(child[cpu] > 0 && waitpid(child[cpu], &status, 0) > 0 && !status,
		      "the process on CPU %d did not end well", cpu);
	}
	for (uint32_t i = 0; i < shape.ports; i++)
		held += s->rig->slots[azure(s)][i].state == SHIFT_FLOW_SYN_SENT;
	rig_tally(s->rig, &t);
	check_equal(t.service.connections_new + t.service.connections_old, 2 * syns, "connections");
	check_equal(held, t.service.connections_new, "ports that hold a flow");
	check_equal(rig_flows(s->rig), t.service.connections_new, "entries of the forward table");
	for (uint32_t i = 0; i < 2 * syns && !check_failed(); i++) {
		struct shift_flow *f;

		s->client.port = (uint16_t)(1024 + i);
		f = rig_flow(s->rig, &s->client, &s->place);
		CHECK(!f || (f->client_port == shift_be16(s->client.port) &&
			     f->generation == s->place.generation),
		      "client port %u leads to another's flow", s->client.port);
	}
}

/* The host has its own connection from that very port to the backend. */
static void hosts_own_port(struct scene *s)
{
	struct rig_shape shape = shape_of(64, 1);
	const struct rig_target *t;
	struct end from;
	int fd[3];

	begin(s, &shape, RIG_AZURE);
	t = rig_target_of(s->rig, azure(s));
	from = t->nat;
	for (int i = 0; i < 3; i++) {
		from.port = (uint16_t)(RIG_PORT_LO + (i < 2 ? i : 5));
		fd[i] = host_connect(&from, &t->address);
		CHECK(fd[i] >= 0, "the host cannot connect: %s", strerror(-fd[i]));
	}
	for (int i = 0; i < 10; i++) {
		CHECK(next(s) == SHIFT_FORWARD, "connection %d", i);
		CHECK(s->place.index > 1 && s->place.index != 5, "port %u is the host's own",
		      RIG_PORT_LO + s->place.index);
	}
	for (int i = 0; i < 3; i++)
		host_close(fd[i]);
}

/* The client's packet, other than a SYN, is the host's. */
static void is_local(struct scene *s, const struct end *client, const char *what)
{
	struct segment seg;
	struct frame f;

	single_syn(client, &seg);
	seg.flags = TCP_ACK;
	frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_LOCAL, "%s", what);
}

static void is_shifted(struct scene *s, const struct end *client, const char *what)
{
	struct segment seg;
	struct frame f;

	single_syn(client, &seg);
	seg.flags = TCP_ACK;
	frame_build(&f, &seg);
	CHECK(!rig_run(s->rig, s->rig->ingress, &f, &s->run) && s->run.action != TC_ACT_UNSPEC,
	      "%s stays", what);
}

/* The one port there is goes from a client to another: the first one's reference leads to it no
 * more, and the record would tell, had it been left behind. */
static void stale_entry(struct scene *s)
{
	struct rig_shape shape = shape_of(1, 1);
	struct end old;

	begin(s, &shape, RIG_AZURE);
	CHECK(next(s) == SHIFT_FORWARD, "the first client");
	old = s->client;
	rig_age(s->rig, 61, false);
	CHECK(next(s) == SHIFT_FORWARD, "the second client");
	check_equal(s->place.index, 0, "port");
	check_equal(rig_flows(s->rig), 1, "entries of the forward table");
	record(s)->state = SHIFT_FLOW_ESTABLISHED;
	is_local(s, &old, "the first client's packet");
	rig_plant(s->rig, &old, azure(s), 0);
	is_local(s, &old, "the first client's packet, by a reference that was left");
	record(s)->state = SHIFT_FLOW_ABANDONED;
	is_local(s, &s->client, "the second client's packet, abandoned");
}

/* Two tuples of one line with one tag: the one that is found first is another's. */
static void one_tag(struct scene *s)
{
	struct rig_shape shape = shape_of(8, 1);
	struct end other, mine;

	begin(s, &shape, RIG_AZURE);
	CHECK(next(s) == SHIFT_FORWARD, "the first client");
	record(s)->state = SHIFT_FLOW_ESTABLISHED;
	other = s->client;
	mine = other;
	mine.port++;
	rig_plant(s->rig, &mine, s->place.target, s->place.index);
	is_local(s, &mine, "a packet before its SYN");
	CHECK(next(s) == SHIFT_FORWARD, "the second client");
	record(s)->state = SHIFT_FLOW_ESTABLISHED;
	is_shifted(s, &mine, "the second client's packet");
	is_shifted(s, &other, "the first client's packet");
}

/* What lives cannot be pushed out by SYNs. */
static void flood(struct scene *s)
{
	struct rig_shape shape = shape_of(8, 2);
	struct end settled[4];
	struct segment seg;
	static struct frame f;

	begin(s, &shape, RIG_AZURE);
	for (int i = 0; i < 4; i++) {
		CHECK(next(s) == SHIFT_FORWARD, "connection %d", i);
		record(s)->state = SHIFT_FLOW_ESTABLISHED;
		record(s)->expires = rig_tick(s->rig) + 7000 * RIG_SECOND;
		settled[i] = s->client;
	}
	for (int i = 0; i < 300; i++)
		CHECK(next(s) == (i < 4 ? SHIFT_FORWARD : SHIFT_PASS_FALLBACK), "SYN %d", i);
	rig_age(s->rig, 61, false);
	for (int i = 0; i < 300; i++)
		CHECK(next(s) == (i < 4 ? SHIFT_FORWARD : SHIFT_PASS_FALLBACK), "later, SYN %d", i);
	for (int i = 0; i < 4; i++) {
		single_syn(&settled[i], &seg);
		seg.flags = TCP_ACK;
		frame_build(&f, &seg);
		CHECK(!rig_run(s->rig, s->rig->ingress, &f, &s->run) && s->run.action == 7,
		      "connection %d was pushed out", i);
	}
}

void cases_ports(struct rig *rig, const struct net *net)
{
	static const struct {
		const char *name;
		void (*run)(struct scene *s);
	} cases[] = {
		{"each is given once, then none", every_port_once},
		{"unanswered SYNs give theirs back", ports_come_back},
		{"one that rests is not given, in any state", rests},
		{"the one that rested longest is given first", oldest_first},
		{"two addresses of a backend never have the same", addresses_never_share},
		{"clients are spread over a backend's addresses", addresses_by_hash},
		{"the hand wraps around", hand_wraps},
		{"a run of busy ones at the hand", busy_at_the_hand},
		{"each CPU begins in its own shard", each_cpu_its_shard},
		{"two CPUs at once never get the same", two_at_once},
		{"the host's own connections keep theirs", hosts_own_port},
		{"an entry of the past leads nowhere", stale_entry},
		{"one with the same tag hides no flow", one_tag},
		{"a flood of SYNs pushes nobody out", flood},
	};
	static struct scene s;

	s.rig = rig;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int v6 = 0; v6 < 2; v6++) {
			if (!check_begin("ports: %s, IPv%d", cases[i].name, v6 ? 6 : 4))
				continue;
			s.v6 = v6;
			cases[i].run(&s);
			wire_drain(net);
			check_end();
		}
	}
}
