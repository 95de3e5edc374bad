/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rig_fill.c - what `apply` writes into the maps, and what later commands change
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/bpf/rig.h"

#define SEED  0x5eed5eed5eed5eedull
#define SLOTS 256

const struct rig_shape rig_usual = {
	.ports = 64,
	.shards = 2,
	.affinity = SHIFT_AFFINITY_CLIENT,
	.on_unable = SHIFT_UNABLE_RESET,
};

/* Unlike each other, so that the time-out of a wrong state is seen. */
static const uint32_t seconds_of_state[SHIFT_FLOW_STATES] = {
	[SHIFT_FLOW_SYN_SENT] = 60, [SHIFT_FLOW_SYN_RECV] = 62, [SHIFT_FLOW_ESTABLISHED] = 7440,
	[SHIFT_FLOW_CLOSING] = 240, [SHIFT_FLOW_DONE] = 5,	[SHIFT_FLOW_TIME_WAIT] = 66,
	[SHIFT_FLOW_ABANDONED] = 70};

static const struct {
	uint32_t id;
	enum rig_backend backend;
	const char *address;
	uint16_t port;
	const char *nat;
	uint16_t stride, phase;
} fixture[RIG_TARGETS] = {
	{11, RIG_AWS, "192.0.2.10", 443, "203.0.113.11", 2, 0},
	{12, RIG_AWS, "192.0.2.11", 443, "203.0.113.11", 2, 1},
	{13, RIG_AZURE, "192.0.2.20", 8443, "203.0.113.11", 1, 0},
	{14, RIG_GCP, "198.51.100.30", 443, "203.0.113.12", 1, 0},
	{21, RIG_AWS, "2001:db8:a::10", 443, "2001:db8::11", 2, 0},
	{22, RIG_AWS, "2001:db8:a::11", 443, "2001:db8::11", 2, 1},
	{23, RIG_AZURE, "2001:db8:a::20", 8443, "2001:db8::11", 1, 0},
	{24, RIG_GCP, "2001:db8:b::30", 443, "2001:db8::12", 1, 0},
};

struct end rig_listen_end(bool v6)
{
	return end_of(v6 ? "2001:db8::10" : "203.0.113.10", 443);
}

const struct rig_target *rig_target_of(const struct rig *r, uint32_t id)
{
	for (int i = 0; i < RIG_TARGETS; i++)
		if (r->target[i].id == id)
			return &r->target[i];
	for (int i = 0; i < RIG_UDP_TARGETS; i++)
		if (r->udp[i].id == id)
			return &r->udp[i];
	return NULL;
}

/* ---- emptying ---- */

static void delete_all(int fd, size_t key_size)
{
	uint8_t key[64];

	if (key_size > sizeof(key))
		abort();
	while (!bpf_map_get_next_key(fd, NULL, key))
		if (bpf_map_delete_elem(fd, key))
			abort();
}

static void zero_per_cpu(struct rig *r, enum rig_map map, uint32_t key, size_t size)
{
	void *zeros = calloc((size_t)r->cpus, size);

	if (!zeros)
		abort();
	rig_put(r, map, &key, zeros);
	free(zeros);
}

static void empty(struct rig *r)
{
	struct tally t;

	rig_tally(r, &t);
	for (int i = 0; i < SHIFT_VERDICTS; i++)
		r->verdicts[i] += t.verdict[i];
	for (int i = 0; i < SHIFT_FALLBACKS; i++)
		r->fallbacks[i] += t.service.fallback[i];
	zero_per_cpu(r, RIG_IFSTATS, RIG_SLOT, sizeof(struct shift_if_stats));
	zero_per_cpu(r, RIG_SVCSTATS, RIG_SERVICE, sizeof(struct shift_service_stats));
	for (uint32_t i = 0; i < RIG_BACKENDS; i++)
		zero_per_cpu(r, RIG_BESTATS, i, sizeof(struct shift_backend_stats));
	rig_put(r, RIG_LOAD, &(uint32_t){RIG_SERVICE}, &(struct shift_load){0});
	memset(r->control, 0, sizeof(*r->control));
	memset(r->dirty, 0, sizeof(*r->dirty));
	rig_empty_index(r);
	rig_forget_answers(r);
	delete_all(r->map[RIG_CLIENTS], sizeof(struct shift_client_key));
	delete_all(r->map[RIG_REPLIES], sizeof(struct shift_reply_key));
	delete_all(r->map[RIG_ENTRY], sizeof(struct shift_listen_key));
}

/* ---- the parts ---- */

static void fill_service(struct rig *r)
{
	struct shift_service *s = &r->service;
	uint32_t id = RIG_SERVICE;

	memset(s, 0, sizeof(*s));
	s->seed = SEED;
	s->flags = SHIFT_SERVICE_USED;
	s->affinity = r->shape.affinity;
	s->on_unable = r->shape.on_unable;
	s->syn_memory = 65 * RIG_SECOND;
	for (int i = 0; i < SHIFT_FLOW_STATES; i++)
		s->timeout[i] = seconds_of_state[i] * RIG_SECOND;
	s->timeout_second = RIG_SECOND;
	snprintf(s->name, sizeof(s->name), "api");
	rig_put(r, RIG_SERVICES, &id, s);
}

static void fill_listeners(struct rig *r)
{
	struct shift_globals g = {.abi = SHIFT_ABI, .window_shift = 8};
	struct shift_ports ports = {0};
	uint32_t zero = 0;

	for (int v6 = 0; v6 < 2; v6++) {
		struct end e = rig_listen_end(v6);
		struct shift_listen_key key = {.port = shift_be16(e.port), .protocol = 6};
		struct shift_listen l = {.port = key.port, .protocol = 6, .service = RIG_SERVICE};
		uint32_t id = RIG_LISTEN(v6);

		l.flags = SHIFT_LISTEN_USED;
		memcpy(key.address, e.ip, sizeof(e.ip));
		memcpy(l.address, e.ip, sizeof(e.ip));
		rig_put(r, RIG_LISTENS, &id, &l);
		rig_put(r, RIG_ENTRY, &key, &id);
		ports.listen[e.port / 64] |= 1ull << (e.port % 64);
	}
	for (uint32_t p = RIG_PORT_LO; p < RIG_PORT_LO + r->shape.ports; p++)
		ports.nat[p / 64] |= 1ull << (p % 64);
	rig_put(r, RIG_PORTS, &zero, &ports);
	g.interface[RIG_SLOT].ifindex = r->ifindex;
	g.interface[RIG_SLOT].services = 1 << RIG_SERVICE;
	memcpy(g.interface[RIG_SLOT].mac, frame_host_mac, 6);
	rig_put(r, RIG_GLOBALS, &zero, &g);
}

/*
 * The array of a target's flows. `apply` makes it as long as the target's range; here it is longer
 * for most shapes, as putting in another waits for all CPUs.
 */
static void fill_slots(struct rig *r, uint32_t id)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	uint32_t n = r->shape.ports > SLOTS ? r->shape.ports : SLOTS;
	size_t size = n * sizeof(struct shift_flow);
	int fd;

	if (r->slot_ports[id] != n) {
		if (r->slots[id])
			munmap(r->slots[id], r->slot_ports[id] * sizeof(struct shift_flow));
		fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "slots", 4, sizeof(struct shift_flow), n,
				    &o);
		if (fd < 0)
			abort();
		r->slots[id] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (r->slots[id] == MAP_FAILED)
			abort();
		rig_put(r, RIG_SLOTS, &id, &fd);
		close(fd);
		r->slot_ports[id] = n;
	}
	memset(r->slots[id], 0, size);
	for (uint32_t shard = 0; shard < SHIFT_MAX_SHARDS; shard++) {
		uint32_t key = id * SHIFT_MAX_SHARDS + shard;
		struct shift_cursor cursor = {0};

		rig_put(r, RIG_CURSORS, &key, &cursor);
	}
}

void rig_fill_target(struct rig *r, const struct rig_target *t)
{
	struct shift_reply_key reply = {.port = shift_be16(t->address.port),
					.protocol = t->protocol};
	struct shift_target m = {
		.port = reply.port,
		.port_lo = RIG_PORT_LO,
		.ports = r->shape.ports,
		.family = t->v6 ? 6 : 4,
		.protocol = t->protocol,
		.flags = SHIFT_TARGET_USED,
		.shards = r->shape.shards,
		.stride = t->stride,
		.phase = t->phase,
		.backend = (uint16_t)t->backend,
	};

	memcpy(m.address, t->address.ip, sizeof(m.address));
	memcpy(m.nat, t->nat.ip, sizeof(m.nat));
	memcpy(reply.address, t->address.ip, sizeof(m.address));
	memcpy(reply.nat, t->nat.ip, sizeof(m.nat));
	rig_put(r, RIG_TARGET, &t->id, &m);
	rig_put(r, RIG_REPLIES, &reply, &t->id);
	fill_slots(r, t->id);
}

static void fill_backends(struct rig *r)
{
	static const char *const names[] = {"", "aws", "azure", "gcp"};
	static const uint16_t weights[] = {0, 40, 30, 30};

	for (uint32_t id = 1; id < RIG_BACKENDS; id++) {
		struct shift_backend b = {.flags = SHIFT_BACKEND_USED, .service = RIG_SERVICE};

		snprintf(b.name, sizeof(b.name), "%s", names[id]);
		b.weight = weights[id];
		for (int i = 0; i < RIG_TARGETS; i++) {
			const struct rig_target *t = &r->target[i];

			if (t->backend != id || (r->shape.one_aws && t->phase == 1))
				continue;
			b.target[t->v6][b.targets[t->v6]++] = (uint16_t)t->id;
		}
		rig_put(r, RIG_BACKEND, &id, &b);
	}
}

/* Ten entries in turn stand for the weights; that is not Maglev, but a table like any other. */
static enum rig_backend table_entry(uint32_t place)
{
	return place % 10 < 4 ? RIG_AWS : place % 10 < 7 ? RIG_AZURE : RIG_GCP;
}

static void fill_tables(struct rig *r)
{
	static struct shift_table t;

	t = (struct shift_table){.entries = SHIFT_TABLE, .backends = 3};
	for (uint32_t i = 0; i < SHIFT_TABLE; i++)
		t.backend[i] = (uint16_t)table_entry(i);
	for (uint32_t i = 0; i < 3; i++)
		t.list[i] = (uint16_t)(i + 1);
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		uint32_t key = RIG_SERVICE * 2 + v6;

		rig_put(r, RIG_TABLES, &key, &t);
	}
}

void rig_reset(struct rig *r, const struct rig_shape *shape)
{
	r->shape = *shape;
	empty(r);
	fill_service(r);
	fill_listeners(r);
	for (int i = 0; i < RIG_TARGETS; i++) {
		struct rig_target *t = &r->target[i];

		t->id = fixture[i].id;
		t->backend = fixture[i].backend;
		t->v6 = i >= RIG_TARGETS / 2;
		t->address = end_of(fixture[i].address, fixture[i].port);
		t->nat = end_of(fixture[i].nat, 0);
		t->stride = shape->one_aws ? 1 : fixture[i].stride;
		t->phase = fixture[i].phase;
		t->protocol = 6;
		rig_fill_target(r, t);
	}
	fill_backends(r);
	fill_tables(r);
	rig_forget_limits(r);
	rig_weight(r, 0);
}

/* ---- control ---- */

struct shift_record rig_record(const struct rig *r)
{
	struct shift_record none = {.authority = SHIFT_AUTHORITY_SHARED};
	uint32_t index = r->control->head & SHIFT_INDEX_MASK;

	return index ? r->control->record[index - 1] : none;
}

void rig_publish(struct rig *r, const struct shift_record *next)
{
	uint64_t head = r->control->head,
		 count = (head >> SHIFT_INDEX_BITS >> SHIFT_CHECK_BITS) + 1;
	uint64_t index = (head & SHIFT_INDEX_MASK) % SHIFT_RECORDS + 1;
	struct shift_record *place = &r->control->record[index - 1];

	*place = *next;
	place->generation = shift_record_generation(place, count);
	if (next->cut_epoch)
		r->control->cuts = 1;
	__atomic_store_n(&r->control->head, place->generation << SHIFT_INDEX_BITS | index,
			 __ATOMIC_SEQ_CST);
}

void rig_weight(struct rig *r, double percent)
{
	struct shift_record next = rig_record(r);

	next.epoch++;
	next.weight = (uint16_t)(percent * 100 + 0.5);
	next.threshold = shift_weight_threshold(next.weight);
	rig_publish(r, &next);
}

/* ---- clients ---- */

enum rig_backend rig_backend_of(const struct rig *r, const struct end *client)
{
	return table_entry(shift_hash_entry(rig_hash(r, client)));
}

struct end rig_client(struct rig *r, bool v6, uint32_t lo, uint32_t hi, enum rig_backend backend)
{
	for (int tries = 0; tries < 1 << 20; tries++) {
		uint32_t n = r->next_client++;
		struct end e = end_of(v6 ? "2001:db8:c000::7" : "198.18.0.0",
				      (uint16_t)(40000 + n % 20000));
		uint32_t rank;

		if (v6)
			e.ip[1] = shift_be32(0xc0000000u + n % (1u << 26));
		else
			e.ip[3] = shift_be32(0xc6120000u + n % (1u << 17));
		rank = shift_hash_rank(rig_hash(r, &e));
		if (rank >= lo && rank < hi && (!backend || rig_backend_of(r, &e) == backend))
			return e;
	}
	abort();
}

void rig_pin(struct rig *r, const struct end *client, uint32_t bits, uint32_t action,
	     uint64_t until)
{
	struct shift_client_key key = {.prefixlen = 32 + bits, .service = RIG_SERVICE};
	struct shift_client value = {.action = action, .until = until, .prefixlen = key.prefixlen};
	uint32_t id = RIG_SERVICE;

	memcpy(key.address, client->ip, sizeof(key.address));
	rig_put(r, RIG_CLIENTS, &key, &value);
	r->service.flags |= SHIFT_SERVICE_CLIENTS;
	rig_put(r, RIG_SERVICES, &id, &r->service);
}

/* ---- backends and time ---- */

void rig_backend_edit(struct rig *r, enum rig_backend backend, uint8_t flags, uint8_t health,
		      uint64_t health_until)
{
	uint32_t id = backend;
	struct shift_backend b;

	rig_get(r, RIG_BACKEND, &id, &b);
	b.flags = flags;
	b.health = health;
	b.health_until = health_until;
	rig_put(r, RIG_BACKEND, &id, &b);
}

void rig_target_flags(struct rig *r, uint32_t id, uint8_t flags)
{
	struct shift_target t;

	rig_get(r, RIG_TARGET, &id, &t);
	t.flags = flags;
	rig_put(r, RIG_TARGET, &id, &t);
}

/* Calls for every line of the memory of SYNs that was ever written; one read of the whole. */
static void each_syn_line(struct rig *r, void (*change)(struct shift_syn_line *, uint32_t),
			  uint32_t by)
{
	static struct shift_syn_line lines[SHIFT_SYN_LINES];
	static uint32_t keys[SHIFT_SYN_LINES];
	static const struct shift_syn_line unused;
	uint32_t n = SHIFT_SYN_LINES, batch;

	if (bpf_map_lookup_batch(r->map[RIG_SYNS], NULL, &batch, keys, lines, &n, NULL) &&
	    errno != ENOENT)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		if (!memcmp(&lines[i], &unused, sizeof(unused)))
			continue;
		change(&lines[i], by);
		rig_put(r, RIG_SYNS, &keys[i], &lines[i]);
	}
}

static void make_older(struct shift_syn_line *line, uint32_t by)
{
	for (int i = 0; i < SHIFT_SYN_WAYS; i++)
		line->tick[i] -= by;
}

static void make_empty(struct shift_syn_line *line, uint32_t by)
{
	memset(line, (int)by, sizeof(*line));
}

void rig_forget_syns(struct rig *r)
{
	each_syn_line(r, make_empty, 0);
}

static void age_deadline(__u64 *deadline, __u64 ns)
{
	if (*deadline)
		*deadline = *deadline > ns ? *deadline - ns : 1;
}

static void age_cursors(struct rig *r, uint32_t target, uint32_t ticks)
{
	for (uint32_t shard = 0; shard < SHIFT_MAX_SHARDS; shard++) {
		uint32_t key = target * SHIFT_MAX_SHARDS + shard;
		struct shift_cursor cursor;

		rig_get(r, RIG_CURSORS, &key, &cursor);
		cursor.in_vain -= ticks << 4;
		rig_put(r, RIG_CURSORS, &key, &cursor);
	}
}

void rig_age(struct rig *r, double seconds, bool syns)
{
	uint32_t ticks = (uint32_t)(seconds * RIG_SECOND + 0.5);
	uint64_t ns = (uint64_t)(seconds * 1e9 + 0.5);

	for (uint32_t id = 0; id < 32; id++) {
		for (uint32_t k = 0; r->slots[id] && k < r->slot_ports[id]; k++) {
			r->slots[id][k].expires -= ticks;
			r->slots[id][k].syn_tick -= ticks;
			r->slots[id][k].born -= ns;
			r->slots[id][k].asked -= r->slots[id][k].asked ? ns : 0;
		}
		if (r->slots[id])
			age_cursors(r, id, ticks);
	}
	if (r->control->head & SHIFT_INDEX_MASK) {
		struct shift_record next = rig_record(r);

		age_deadline(&next.not_before, ns);
		age_deadline(&next.confirm_deadline, ns);
		age_deadline(&next.lease_deadline, ns);
		rig_publish(r, &next);
	}
	for (uint32_t id = 1; id < RIG_BACKENDS; id++) {
		struct shift_backend b;

		rig_get(r, RIG_BACKEND, &id, &b);
		age_deadline(&b.health_until, ns);
		rig_put(r, RIG_BACKEND, &id, &b);
	}
	if (syns)
		each_syn_line(r, make_older, ticks);
	rig_age_answers(r, seconds);
}

void rig_forget_limits(struct rig *r)
{
	for (uint32_t i = 0; i < RIG_BACKENDS; i++)
		rig_put(r, RIG_BREAKERS, &i, &(struct shift_breaker){0});
	for (uint32_t id = 0; id < 32; id++) {
		for (uint32_t shard = 0; shard < SHIFT_MAX_SHARDS; shard++) {
			uint32_t key = id * SHIFT_MAX_SHARDS + shard;
			struct shift_cursor cursor;

			rig_get(r, RIG_CURSORS, &key, &cursor);
			cursor.half_open = 0;
			rig_put(r, RIG_CURSORS, &key, &cursor);
		}
	}
}
