/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_decide.c - who is shifted, and where to: the split over 20,000 clients
 *
 * BPF_TABLES_QUICK in the environment: 2,000 clients, for emulated machines.
 */
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/single.h"

#define CLIENTS_MAX 20000

static uint32_t clients(void)
{
	return getenv("BPF_TABLES_QUICK") ? CLIENTS_MAX / 10 : CLIENTS_MAX;
}

/* Enough ports for every client at a share of 100 %. */
static struct rig_shape wide(uint8_t affinity)
{
	struct rig_shape shape = rig_usual;

	shape.ports = getenv("BPF_TABLES_QUICK") ? 2048 : 16384;
	shape.affinity = affinity;
	return shape;
}

/*
 * Client i. By affinity `client`, in neighbouring addresses (or /64s); by affinity `connection`,
 * 100 addresses with many ports each.
 */
static struct end client_at(uint8_t affinity, bool v6, uint32_t i)
{
	struct end e = end_of(v6 ? "2001:db8:d000::1" : "198.19.0.0", 1024);
	uint32_t address = i;

	if (affinity == SHIFT_AFFINITY_CONNECTION) {
		address = i % 100;
		e.port = (uint16_t)(1024 + i / 100 * 7);
	}
	if (v6)
		e.ip[1] = shift_be32(0xd0000000u + address);
	else
		e.ip[3] = shift_be32(0xc6130000u + address);
	return e;
}

/* Where a packet went, by what came out. */
static enum rig_backend seen_at(const struct rig *r, const struct run *run)
{
	struct end dst = frame_dst(&run->out);

	for (int i = 0; i < RIG_TARGETS; i++)
		if (end_equal(&dst, &r->target[i].address))
			return r->target[i].backend;
	return RIG_ANY;
}

/* Is `n` of `total` within 4.5 standard deviations of the share? */
static bool plausible(double n, double total, double share)
{
	double off = n - total * share;

	return off * off <= 20.25 * total * share * (1 - share) + 1e-6;
}

static void check_shares(const uint32_t at[RIG_BACKENDS], double weight)
{
	static const double shares[RIG_BACKENDS] = {0, 0.4, 0.3, 0.3};
	double total = at[RIG_AWS] + at[RIG_AZURE] + at[RIG_GCP];

	CHECK(plausible(total, clients(), weight / 100), "weight %g: %g of %u were shifted", weight,
	      total, clients());
	for (int b = RIG_AWS; b < RIG_BACKENDS; b++)
		CHECK(plausible(at[b], total, shares[b]), "weight %g: backend %d has %u of %g",
		      weight, b, at[b], total);
}

/* All clients at one share. `home` is the backend that each was ever seen at. */
static void split(struct rig *r, uint8_t affinity, bool v6, double weight, uint8_t *home)
{
	uint32_t threshold = (uint32_t)(weight / 100 * 65536 + 0.5), at[RIG_BACKENDS] = {0};
	struct rig_shape shape = wide(affinity);
	struct frame f;
	struct segment seg;
	static struct run run;

	rig_reset(r, &shape);
	rig_weight(r, weight);
	for (uint32_t i = 0; i < clients() && !check_failed(); i++) {
		struct end e = client_at(affinity, v6, i);
		uint32_t rank = shift_hash_rank(rig_hash(r, &e));
		enum rig_backend b;

		if (i % 256 == 0)
			rig_forget_limits(r);
		single_syn(&e, &seg);
		seg.seq = r->next_client++ * 2654435761u; /* never the same SYN twice */
		frame_build(&f, &seg);
		if (rig_run(r, r->ingress, &f, &run))
			abort();
		b = run.action == TC_ACT_UNSPEC ? RIG_ANY : seen_at(r, &run);
		at[b]++;
		CHECK((rank < threshold) == (b != RIG_ANY), "weight %g: rank %u is %s", weight,
		      rank, b ? "shifted" : "local");
		if (!b)
			continue;
		CHECK(b == rig_backend_of(r, &e), "client %u is at backend %d, its hash says %d", i,
		      b, rig_backend_of(r, &e));
		CHECK(!home[i] || home[i] == b, "client %u moved from backend %u to %d", i, home[i],
		      b);
		home[i] = (uint8_t)b;
	}
	check_shares(at, weight);
}

static void check_splits(struct rig *r)
{
	static const double weights[] = {0, 10, 25, 50, 75, 100, 33.33};
	static uint8_t home[CLIENTS_MAX];

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint8_t affinity = 0; affinity < 2; affinity++) {
			if (!check_begin(
				    "split: %u clients, affinity %s, the sets nested, the backends "
				    "as their weights, IPv%d",
				    clients(), affinity ? "connection" : "client", v6 ? 6 : 4))
				continue;
			memset(home, 0, sizeof(home));
			for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++)
				split(r, affinity, v6, weights[i], home);
			check_end();
		}
	}
}

/* The very edge: the rank below the threshold is shifted, the threshold's own is not. */
static void check_edge(struct rig *r)
{
	for (int v6 = 0; v6 < 2; v6++) {
		static struct run run;

		if (!check_begin("split: the rank at the threshold, IPv%d", v6 ? 6 : 4))
			continue;
		rig_reset(r, &rig_usual);
		for (int i = 0; i < 50; i++) {
			struct end e = rig_client(r, v6, 0, SHIFT_RANKS, RIG_ANY);
			struct shift_record next = rig_record(r);

			next.epoch++;
			next.threshold = shift_hash_rank(rig_hash(r, &e));
			rig_publish(r, &next);
			CHECK(single_try(r, &e, &run) == SHIFT_PASS_LOCAL_SYN,
			      "rank %u at threshold %u", next.threshold, next.threshold);
			e.port++;
			next.threshold++;
			rig_publish(r, &next);
			CHECK(single_try(r, &e, &run) == SHIFT_FORWARD, "rank %u at threshold %u",
			      next.threshold - 1, next.threshold);
		}
		check_end();
	}
}

/* ---- what the hash depends on ---- */

/* Two clients: does the program treat them as one? `pairs` of them are tried at 50 %. */
static uint32_t together(struct rig *r, struct end (*other)(struct end, int), bool v6, int pairs)
{
	uint32_t same = 0;
	static struct run run;

	for (int i = 0; i < pairs; i++) {
		struct end a = rig_client(r, v6, 0, SHIFT_RANKS, RIG_ANY), b = other(a, i);
		enum shift_verdict va = single_try(r, &a, &run), vb;
		enum rig_backend ba = seen_at(r, &run);

		vb = single_try(r, &b, &run);
		same += va == vb && ba == seen_at(r, &run);
	}
	return same;
}

static struct end other_port(struct end e, int i)
{
	e.port = (uint16_t)(1025 + i);
	return e;
}

static struct end other_host_of_64(struct end e, int i)
{
	e.ip[2] = shift_be32((uint32_t)i * 2654435761u);
	e.ip[3] ^= shift_be32((uint32_t)i + 1);
	return e;
}

static struct end next_64(struct end e, int i)
{
	e.ip[1] ^= shift_be32(1u << (i % 16));
	return e;
}

static struct end next_v4(struct end e, int i)
{
	e.ip[3] ^= shift_be32(1u << (i % 16));
	return e;
}

static void check_affinity(struct rig *r)
{
	static const struct {
		const char *name;
		uint8_t affinity;
		bool v6;
		struct end (*other)(struct end, int);
		bool same;
	} rows[] = {
		{"client: another port is the same client", 0, false, other_port, true},
		{"client: another port is the same client", 0, true, other_port, true},
		{"client: another address is another", 0, false, next_v4, false},
		{"client: another address of the /64 is the same client", 0, true, other_host_of_64,
		 true},
		{"client: another /64 is another", 0, true, next_64, false},
		{"connection: another port is another", 1, false, other_port, false},
		{"connection: another port is another", 1, true, other_port, false},
		{"connection: another address of the /64 is another", 1, true, other_host_of_64,
		 false},
	};
	struct rig_shape shape = wide(0);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t same;

		if (!check_begin("affinity %s, IPv%d", rows[i].name, rows[i].v6 ? 6 : 4))
			continue;
		shape.affinity = rows[i].affinity;
		rig_reset(r, &shape);
		rig_weight(r, 50);
		same = together(r, rows[i].other, rows[i].v6, 200);
		/* Two strangers agree by chance in 25 % + 25 % × 34 %. */
		if (rows[i].same)
			check_equal(same, 200, "pairs of 200 that were treated alike");
		else
			CHECK(plausible(same, 200, 0.335), "%u pairs of 200 were treated alike",
			      same);
		check_end();
	}
}

/*
 * The hash is a promise to other hosts and other versions: these numbers must never change. (Made
 * once, from the description in shift.h, by a program in another language.)
 */
static void check_golden(void)
{
	static const struct {
		uint64_t seed;
		uint8_t affinity;
		const char *address;
		uint16_t port;
		uint64_t hash;
	} rows[] = {
		{0x0ull, 0, "198.18.0.1", 40000, 0x3568ab97764b641aull},
		{0x5eed5eed5eed5eedull, 0, "198.18.0.1", 40000, 0x416b06a3e8441732ull},
		{0x5eed5eed5eed5eedull, 0, "203.0.113.255", 1, 0x7fabe71753eec3ddull},
		{0x5eed5eed5eed5eedull, 1, "198.18.0.1", 40000, 0x7627f4672acbaf92ull},
		{0x5eed5eed5eed5eedull, 1, "198.18.0.1", 40001, 0x3b29dfe12a261b75ull},
		{0xffffffffffffffffull, 1, "192.0.2.77", 65535, 0xf92f05236d64e062ull},
		{0x5eed5eed5eed5eedull, 0, "2001:db8::1", 40000, 0xf244bd8fa0fb61ffull},
		{0x5eed5eed5eed5eedull, 0, "2001:db8:0:1::1", 40000, 0x1e4bfb1b37cd109aull},
		{0x5eed5eed5eed5eedull, 1, "2001:db8::1", 40000, 0x447b1102db032e20ull},
		{0x1ull, 1, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 443, 0x2be72866da946b0bull},
	};

	if (!check_begin("hash: the same seed gives the same answer on every host"))
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct end e = end_of(rows[i].address, rows[i].port);
		uint64_t is = shift_hash(rows[i].seed, rows[i].affinity, e.ip, shift_be16(e.port));

		CHECK(is == rows[i].hash, "row %zu, %s: %#llx, should be %#llx", i, rows[i].address,
		      (unsigned long long)is, (unsigned long long)rows[i].hash);
	}
	check_end();
}

/* The program's own answer, by its explaining twin, is what shift.h computes. */
static void check_program_hash(struct rig *r)
{
	for (int v6 = 0; v6 < 2; v6++) {
		for (uint8_t affinity = 0; affinity < 2; affinity++) {
			struct rig_shape shape = rig_usual;

			if (!check_begin("hash: the program's is the tools', affinity %s, IPv%d",
					 affinity ? "connection" : "client", v6 ? 6 : 4))
				continue;
			shape.affinity = affinity;
			rig_reset(r, &shape);
			for (int i = 0; i < 100; i++) {
				struct end e = rig_client(r, v6, 0, SHIFT_RANKS, RIG_ANY);
				struct shift_explanation x;
				struct segment seg;
				struct frame f;
				static struct run run;
				uint32_t zero = 0;

				single_syn(&e, &seg);
				frame_build(&f, &seg);
				CHECK(!rig_run(r, r->explain, &f, &run), "it does not run");
				rig_get(r, RIG_ANSWER, &zero, &x);
				CHECK(x.hash == rig_hash(r, &e), "client %d has another hash", i);
				check_equal(x.rank, shift_hash_rank(x.hash), "its rank");
			}
			check_end();
		}
	}
}

void cases_decide(struct rig *rig, const struct net *net)
{
	(void)net;
	check_golden();
	check_program_hash(rig);
	check_edge(rig);
	check_affinity(rig);
	check_splits(rig);
}
