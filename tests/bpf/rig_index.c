/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rig_index.c - the forward index, read and written from outside
 */
#include <stdlib.h>
#include <stddef.h>
#include <string.h>
#include <bpf/bpf.h>

#include "tests/bpf/rig.h"

static struct shift_flow_key key_of_client(uint32_t listen, const struct end *client)
{
	struct shift_flow_key key = {.client_port = shift_be16(client->port),
				     .listen = (uint16_t)listen};

	memcpy(key.client, client->ip, sizeof(key.client));
	return key;
}

static struct shift_flow_key key_of_record(const struct shift_flow *f)
{
	struct shift_flow_key key = {.client_port = f->client_port, .listen = f->listen};

	memcpy(key.client, f->client, sizeof(key.client));
	return key;
}

static struct shift_flow *record_of(struct rig *r, uint64_t ref)
{
	uint32_t target = ref & 0xffff, index = ref >> 16 & 0xffff;

	if (target >= 32 || index >= r->slot_ports[target])
		return NULL;
	return &r->slots[target][index];
}

static struct shift_flow *look_in(struct rig *r, enum rig_map map, uint32_t line, uint32_t tag,
				  const struct shift_flow_key *key, struct shift_flow_ref *ret)
{
	struct shift_index_line l;

	rig_get(r, map, &line, &l);
	for (int i = 0; i < SHIFT_LINE_REFS; i++) {
		struct shift_flow *f = record_of(r, l.ref[i]);
		struct shift_flow_key is;

		if (l.ref[i] >> 32 != tag || !f)
			continue;
		is = key_of_record(f);
		if (memcmp(&is, key, offsetof(struct shift_flow_key, listen) + sizeof(is.listen)) !=
		    0)
			continue;
		*ret = (struct shift_flow_ref){(uint16_t)l.ref[i], (uint16_t)(l.ref[i] >> 16),
					       f->generation};
		return f;
	}
	return NULL;
}

struct shift_flow *rig_flow_of(struct rig *r, uint32_t listen, const struct end *client,
			       struct shift_flow_ref *ret)
{
	static const enum rig_map maps[] = {RIG_FLOWS, RIG_FLOWS_WAS};
	static const uint32_t lines[] = {RIG_LINES, RIG_LINES_WAS};
	struct shift_flow_key key = key_of_client(listen, client);
	uint64_t hash = shift_flow_hash(&key, 0);
	struct shift_flow *f = NULL;

	for (int i = 0; i < 2 && !f; i++) {
		f = look_in(r, maps[i], shift_line(hash, lines[i]), shift_tag(hash), &key, ret);
		if (!f)
			f = look_in(r, maps[i], shift_other_line(hash, lines[i]), shift_tag(hash),
				    &key, ret);
	}
	return f;
}

struct shift_flow *rig_flow(struct rig *r, const struct end *client, struct shift_flow_ref *ret)
{
	return rig_flow_of(r, RIG_LISTEN(end_is_v6(client)), client, ret);
}

static void put(struct rig *r, enum rig_map map, uint32_t line, uint64_t ref)
{
	struct shift_index_line l;

	rig_get(r, map, &line, &l);
	for (int i = 0; i < SHIFT_LINE_REFS; i++) {
		if (l.ref[i])
			continue;
		l.ref[i] = ref;
		rig_put(r, map, &line, &l);
		return;
	}
	abort();
}

void rig_plant(struct rig *r, const struct end *client, uint32_t target, uint32_t index)
{
	struct shift_flow_key key = key_of_client(RIG_LISTEN(end_is_v6(client)), client);
	uint64_t hash = shift_flow_hash(&key, 0);

	put(r, RIG_FLOWS, shift_line(hash, RIG_LINES), shift_ref(target, index, hash));
}

static void each_ref(struct rig *r, void (*fn)(struct rig *r, uint64_t ref, void *arg), void *arg)
{
	for (uint32_t line = 0; line < RIG_LINES; line++) {
		struct shift_index_line l;

		rig_get(r, RIG_FLOWS, &line, &l);
		for (int i = 0; i < SHIFT_LINE_REFS; i++)
			if (l.ref[i])
				fn(r, l.ref[i], arg);
	}
}

static void count(struct rig *r, uint64_t ref, void *arg)
{
	(void)r;
	(void)ref;
	++*(uint32_t *)arg;
}

uint32_t rig_flows(struct rig *r)
{
	uint32_t n = 0;

	each_ref(r, count, &n);
	return n;
}

static void empty_map(struct rig *r, enum rig_map map, uint32_t lines)
{
	static struct shift_index_line none[RIG_LINES];
	static uint32_t keys[RIG_LINES];
	uint32_t n = lines;

	for (uint32_t i = 0; i < lines; i++)
		keys[i] = i;
	if (bpf_map_update_batch(r->map[map], keys, none, &n, NULL))
		abort();
}

void rig_empty_index(struct rig *r)
{
	empty_map(r, RIG_FLOWS, RIG_LINES);
	empty_map(r, RIG_FLOWS_WAS, RIG_LINES_WAS);
}

static void move(struct rig *r, uint64_t ref, void *arg)
{
	const struct shift_flow *f = record_of(r, ref);
	struct shift_flow_key key;

	(void)arg;
	if (!f)
		abort();
	key = key_of_record(f);
	put(r, RIG_FLOWS_WAS, shift_line(shift_flow_hash(&key, 0), RIG_LINES_WAS), ref);
}

void rig_grow(struct rig *r)
{
	each_ref(r, move, NULL);
	empty_map(r, RIG_FLOWS, RIG_LINES);
}

/* All refer to one record, which lives: none gives way. */
void rig_fill_flows(struct rig *r)
{
	const struct rig_target *t = &r->target[0];
	uint32_t index = r->slot_ports[t->id] - 1;
	struct shift_flow *f = &r->slots[t->id][index];
	struct shift_flow_key key;
	uint64_t ref;

	*f = (struct shift_flow){.client = {~0u, 1, 0, 0},
				 .client_port = 1,
				 .state = SHIFT_FLOW_ESTABLISHED,
				 .expires = rig_tick(r) + 7000 * RIG_SECOND};
	key = key_of_record(f);
	ref = shift_ref(t->id, index, shift_flow_hash(&key, 0));
	for (uint32_t line = 0; line < RIG_LINES; line++) {
		struct shift_index_line l;

		rig_get(r, RIG_FLOWS, &line, &l);
		for (int i = 0; i < SHIFT_LINE_REFS; i++)
			l.ref[i] = l.ref[i] ? l.ref[i] : ref;
		rig_put(r, RIG_FLOWS, &line, &l);
	}
}
