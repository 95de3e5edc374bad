/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench_packet_flows.c - clients, and the life of their connections
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tools/bench_packet_rig.h"

#define TCP_SYN 0x02
#define TCP_ACK 0x10

/* Sequence numbers of every connection; a new one's SYN has its client's own. */
#define CLIENT_ISN  1000
#define BACKEND_ISN 9000

const struct rig_packet rig_forward = {RIG_FORWARD, TCP_ACK, 0, CLIENT_ISN + 1, BACKEND_ISN + 1};
const struct rig_packet rig_reply = {RIG_REPLY, TCP_ACK, 0, BACKEND_ISN + 1, CLIENT_ISN + 1};
const struct rig_packet rig_syn = {RIG_FORWARD, TCP_SYN, 0, CLIENT_ISN, 0};
static const struct rig_packet syn_ack = {RIG_REPLY, TCP_SYN | TCP_ACK, 0, BACKEND_ISN,
					  CLIENT_ISN + 1};

static uint64_t next_random(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static void shuffle(struct rig *r)
{
	for (uint32_t i = r->shape.flows - 1; i; i--) {
		uint32_t k = (uint32_t)(next_random() % (i + 1));
		struct rig_flow f = r->flow[i];

		r->flow[i] = r->flow[k];
		r->flow[k] = f;
	}
}

void flows_choose(struct rig *r)
{
	for (uint32_t i = 0; i < r->shape.flows; i++) {
		uint32_t address = i % 130000, round = i / 130000;

		r->flow[i].client = htonl(CLIENT_ADDRESS + address + 1);
		r->flow[i].client_port =
			htons((uint16_t)(10000 + (address * 7919u + round) % 50000));
	}
	shuffle(r);
}

/* `n` flows from `first` on; every one's packet is to end in `verdict`. */
static int pass(struct rig *r, const struct rig_packet *p, uint32_t first, uint32_t n,
		enum shift_verdict verdict)
{
	uint64_t before = rig_verdict(r, verdict), after;
	struct rig_result result;
	int err;

	rig_packets(r, p);
	r->state->next = first;
	err = rig_run(r, RIG_SHIFT, n, &result);
	after = rig_verdict(r, verdict);
	if (!err && after - before != n) {
		fprintf(stderr,
			"bench_packet: %u flows: only %llu packets of %u with flags %02x went on\n",
			r->shape.flows, (unsigned long long)(after - before), n, p->flags);
		return -EPROTO;
	}
	return err;
}

int flows_tell_floor(struct rig *r)
{
	int fd = bpf_object__find_map_fd_by_name(r->wrap, "bench_flows");

	for (uint32_t i = 0; i < r->shape.flows; i++) {
		const struct rig_flow *f = &r->flow[i];
		struct bench_key key = {.client = {0, 0, htonl(0xffff), f->client},
					.client_port = f->client_port,
					.listen = LISTEN};
		struct bench_nat value = {.address = f->nat, .port = f->nat_port};

		if (bpf_map_update_elem(fd, &key, &value, BPF_ANY))
			return rig_failed("bench_flows", -errno);
	}
	shuffle(r); /* entries lie as they came, and are to be touched otherwise */
	memset(r->has, 0, sizeof(r->has));
	return 0;
}

/* The NAT address and port of flow `i` are in no packet of its client's: they are in its record. */
static int learn_batch(struct rig *r, uint32_t first, uint32_t n)
{
	uint32_t seen = 0;

	for (uint32_t nat = 0; nat < r->shape.nats; nat++) {
		for (uint32_t i = 0; i < RIG_PORTS; i++) {
			const struct shift_flow *f = &r->slots[nat][i];

			if (f->state != SHIFT_FLOW_SYN_SENT || seen == n)
				continue;
			r->flow[first + seen++] =
				(struct rig_flow){.client = f->client[3],
						  .client_port = f->client_port,
						  .nat = htonl(NAT_ADDRESS(nat)),
						  .nat_port = htons((uint16_t)(PORT_LO + i))};
		}
	}
	memset(r->has, 0, sizeof(r->has));
	return seen == n ? 0 : rig_failed("flows", -EPROTO);
}

/* In batches, as a crowd of half-open ones would be refused. */
int flows_establish(struct rig *r)
{
	uint32_t batch = r->shape.nats * RIG_PORTS / 5;
	int err = 0;

	for (uint32_t first = 0, n; first < r->shape.flows && !err; first += n) {
		n = r->shape.flows - first < batch ? r->shape.flows - first : batch;
		err = pass(r, &rig_syn, first, n, SHIFT_FORWARD);
		err = err ? err : learn_batch(r, first, n);
		err = err ? err : pass(r, &syn_ack, first, n, SHIFT_REPLY);
		err = err ? err : pass(r, &rig_forward, first, n, SHIFT_FORWARD);
	}
	for (uint32_t nat = 0; nat < r->shape.nats && !err; nat++) {
		for (uint32_t i = 0; i < RIG_PORTS; i++) {
			struct shift_flow *f = &r->slots[nat][i];

			if (f->state == SHIFT_FLOW_FREE)
				continue;
			if (f->state != SHIFT_FLOW_ESTABLISHED)
				return rig_failed("handshake", -EPROTO);
			f->flags |= SHIFT_FLOW_GATEWAY; /* so XDP may answer the client */
		}
	}
	return err;
}

bool rig_learn(struct rig *r, const struct rig_result *seen)
{
	struct rig_flow *flow = &r->flow[seen->step % r->shape.flows];
	const struct shift_flow *f;
	uint32_t nat;
	uint16_t port;

	memcpy(&flow->nat, seen->frame + 26, 4);
	memcpy(&flow->nat_port, seen->frame + 34, 2);
	nat = ntohl(flow->nat) - NAT_ADDRESS(0);
	port = (uint16_t)(ntohs(flow->nat_port) - PORT_LO);
	if (nat >= r->shape.nats || port >= RIG_PORTS)
		return false;
	f = &r->slots[nat][port];
	return f->client[3] == flow->client && f->client_port == flow->client_port;
}

/* What shards count of records that are not over. */
static void forget_half_open(struct rig *r)
{
	int fd = bpf_object__find_map_fd_by_name(r->plane, "shift_cursors");

	for (uint32_t nat = 0; nat < r->shape.nats; nat++) {
		for (uint32_t shard = 0; shard < SHIFT_MAX_SHARDS; shard++) {
			uint32_t key = TARGET(nat) * SHIFT_MAX_SHARDS + shard;
			struct shift_cursor c;

			if (bpf_map_lookup_elem(fd, &key, &c))
				continue;
			c.half_open = 0;
			bpf_map_update_elem(fd, &key, &c, BPF_ANY);
		}
	}
}

void rig_end_all(struct rig *r)
{
	for (uint32_t nat = 0; nat < r->shape.nats; nat++) {
		for (uint32_t i = 0; i < RIG_PORTS; i++) {
			struct shift_flow *f = &r->slots[nat][i];

			if (f->state == SHIFT_FLOW_FREE || f->state == SHIFT_FLOW_DONE)
				continue;
			f->state = SHIFT_FLOW_DONE;
			f->expires -= 7500 * SECOND;
			f->counted = 0;
		}
	}
	forget_half_open(r);
}
