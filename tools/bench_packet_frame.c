/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench_packet_frame.c - the packets that go in, and what must come out
 *
 * Checksums are summed up anew over all bytes, by nothing of the program's.
 */
#include <arpa/inet.h>
#include <string.h>

#include "tools/bench_packet_rig.h"

static void put16(uint8_t *at, uint16_t v)
{
	memcpy(at, &v, 2);
}

static void put32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, 4);
}

static uint32_t sum_of(const uint8_t *at, size_t n)
{
	uint32_t sum = 0;
	uint16_t word;

	for (size_t i = 0; i < n; i += 2) {
		memcpy(&word, at + i, 2);
		sum += word;
	}
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Of the whole TCP segment and its pseudo-header, the checksum in it included. */
static uint32_t tcp_sum(const uint8_t *f)
{
	return sum_of(f + 26, BENCH_FRAME - 26) + htons(IPPROTO_TCP) + htons(BENCH_FRAME - 34);
}

static void sum_up(uint8_t *f)
{
	put16(f + 24, 0);
	put16(f + 24, (uint16_t)~fold(sum_of(f + 14, 20)));
	put16(f + 50, 0);
	put16(f + 50, (uint16_t)~fold(tcp_sum(f)));
}

bool rig_sums_hold(const uint8_t f[BENCH_FRAME])
{
	return fold(sum_of(f + 14, 20)) == 0xffff && fold(tcp_sum(f)) == 0xffff;
}

/* What all packets of a kind have in common; MACs are zero, as lo's. */
static void common_frame(uint8_t *f, const struct rig_packet *p)
{
	bool reply = p->kind == RIG_REPLY;

	memset(f, 0, BENCH_FRAME);
	put16(f + 12, htons(0x0800));
	f[14] = 0x45;
	put16(f + 16, htons(BENCH_FRAME - 14));
	put16(f + 20, htons(0x4000));
	f[22] = 64;
	f[23] = IPPROTO_TCP;
	put32(f + 26, reply ? htonl(BACKEND_ADDRESS) : 0);
	put32(f + 30, reply ? 0 : htonl(LISTEN_ADDRESS));
	put16(f + 34, reply ? htons(PORT) : 0);
	put16(f + 36, reply ? 0 : htons(p->port ? p->port : PORT));
	put32(f + 38, htonl(p->seq));
	put32(f + 42, htonl(p->ack));
	f[46] = 0x50;
	f[47] = p->flags;
	put16(f + 48, htons(500));
}

void rig_frame(const struct rig *r, uint32_t step, uint8_t f[BENCH_FRAME])
{
	const struct bench_step *s = &r->steps[step];

	memcpy(f, r->state->frame, BENCH_FRAME);
	put32(f + (r->state->reply ? 30 : 26), s->address);
	put16(f + (r->state->reply ? 36 : 34), s->port);
	if (!r->state->reply)
		put32(f + 38, s->seq);
	put16(f + 24, s->ip_check);
	put16(f + 50, s->tcp_check);
}

void rig_translated(const struct rig *r, uint32_t step, uint8_t f[BENCH_FRAME])
{
	const struct rig_flow *flow = &r->flow[step % r->shape.flows];

	rig_frame(r, step, f);
	f[22]--;
	if (r->state->reply) {
		put32(f + 26, htonl(LISTEN_ADDRESS));
		put16(f + 34, htons(PORT));
		put32(f + 30, flow->client);
		put16(f + 36, flow->client_port);
	} else {
		put32(f + 26, flow->nat);
		put16(f + 34, flow->nat_port);
		put32(f + 30, htonl(BACKEND_ADDRESS));
		put16(f + 36, htons(PORT));
	}
	sum_up(f);
}

void rig_packets(struct rig *r, const struct rig_packet *p)
{
	uint32_t first = (uint32_t)p->kind * r->shape.flows;
	uint8_t whole[BENCH_FRAME];

	common_frame(whole, p);
	r->next[r->state->reply ? RIG_REPLY : RIG_FORWARD] = r->state->next;
	memcpy(r->state->frame, whole, BENCH_FRAME);
	r->state->reply = p->kind == RIG_REPLY;
	r->state->first = first;
	r->state->count = r->shape.flows;
	r->state->next = r->next[p->kind];
	if (r->has[p->kind] == p)
		return;
	r->has[p->kind] = p;
	for (uint32_t i = 0; i < r->shape.flows; i++) {
		const struct rig_flow *f = &r->flow[i];
		struct bench_step *s = &r->steps[first + i];

		s->address = r->state->reply ? f->nat : f->client;
		s->port = r->state->reply ? f->nat_port : f->client_port;
		s->seq = htonl(p->seq);
		rig_frame(r, first + i, whole);
		sum_up(whole);
		memcpy(&s->ip_check, whole + 24, 2);
		memcpy(&s->tcp_check, whole + 50, 2);
	}
}
