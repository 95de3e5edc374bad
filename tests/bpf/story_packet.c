/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * story_packet.c - one packet through the program, and everything that can be said of it afterwards
 */
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/check.h"
#include "tests/bpf/story.h"

#define REDIRECT 7 /* TC_ACT_REDIRECT */

struct step {
	bool from_client, again, anew, lost, late, bare, all_options, ip_options;
	uint8_t flags, ttl;
	int32_t len, seq, ack, pad;
	bool seq_given;
	enum shift_verdict verdict;
	struct tally moves; /* counters beyond those of the verdict itself */
	bool begins;	    /* +new */
};

/* ---- reading the line ---- */

static bool read_flags(const char *text, uint8_t *ret)
{
	static const char letters[] = "FSRPAU";

	*ret = 0;
	if (!strcmp(text, "none"))
		return true;
	for (; *text; text++) {
		const char *at = strchr(letters, *text);

		if (!at)
			return false;
		*ret |= (uint8_t)(1 << (at - letters));
	}
	return true;
}

static bool read_verdict(const char *text, enum shift_verdict *ret)
{
	for (int i = 0; i < SHIFT_VERDICTS; i++) {
		const char *name = rig_verdict_names[i];

		if (!strncmp(name, "pass_", 5))
			name += 5;
		if (!strcmp(name, text)) {
			*ret = (enum shift_verdict)i;
			return true;
		}
	}
	return false;
}

static bool read_counter(const struct story *s, struct step *step, const char *text)
{
	static const char *const fallback[] = SHIFT_FALLBACK_NAMES;
	struct shift_service_stats *svc = &step->moves.service;
	struct shift_backend_stats *b = &step->moves.backend[s->backend];

	for (int i = 0; i < SHIFT_FALLBACKS; i++) {
		if (!strcmp(text, fallback[i])) {
			svc->fallback[i]++;
			return true;
		}
	}
	if (!strcmp(text, "new"))
		step->begins = true; /* counted when it is known where */
	else if (!strcmp(text, "old"))
		svc->connections_old++;
	else if (!strcmp(text, "repeat"))
		svc->syn_retransmits++;
	else if (!strcmp(text, "bypassed"))
		svc->bypassed++;
	else if (!strcmp(text, "shadow"))
		svc->shadow++;
	else if (!strcmp(text, "handshake"))
		b->handshakes++, b->handshake[0]++;
	else if (!strcmp(text, "failure"))
		b->handshake_failures++;
	else if (!strcmp(text, "resyn"))
		b->syn_retransmits++;
	else if (!strcmp(text, "reset"))
		b->resets++;
	else
		return false;
	return true;
}

static bool read_what(struct step *step, char *word[], int *i)
{
	static const struct {
		const char *name;
		size_t at;
	} numbers[] = {{"len", offsetof(struct step, len)},
		       {"seq", offsetof(struct step, seq)},
		       {"ack", offsetof(struct step, ack)},
		       {"pad", offsetof(struct step, pad)}},
	  marks[] = {{"again", offsetof(struct step, again)},
		     {"anew", offsetof(struct step, anew)},
		     {"lost", offsetof(struct step, lost)},
		     {"late", offsetof(struct step, late)},
		     {"bare", offsetof(struct step, bare)},
		     {"options", offsetof(struct step, all_options)},
		     {"iphead", offsetof(struct step, ip_options)}};

	for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++) {
		if (!strcmp(word[*i], numbers[k].name)) {
			*(int32_t *)((uint8_t *)step + numbers[k].at) = atoi(word[++*i]);
			step->seq_given |= numbers[k].at == offsetof(struct step, seq);
			return true;
		}
	}
	for (size_t k = 0; k < sizeof(marks) / sizeof(marks[0]); k++) {
		if (!strcmp(word[*i], marks[k].name)) {
			*(bool *)((uint8_t *)step + marks[k].at) = true;
			return true;
		}
	}
	if (!strcmp(word[*i], "ttl")) {
		step->ttl = (uint8_t)atoi(word[++*i]);
		return true;
	}
	return false;
}

static bool read_step(struct story *s, struct step *step, char *word[], int words)
{
	int i = 2;

	memset(step, 0, sizeof(*step));
	step->from_client = word[0][0] == 'c';
	step->ttl = step->from_client ? 57 : 61;
	if (words < 4 || !read_flags(word[1], &step->flags)) {
		story_fail(s, "WHO FLAGS … -> VERDICT");
		return false;
	}
	for (; i < words - 1 && strcmp(word[i], "->"); i++) {
		if (!read_what(step, word, &i)) {
			story_fail(s, "what is '%s'?", word[i]);
			return false;
		}
	}
	if (++i >= words || !read_verdict(word[i], &step->verdict)) {
		story_fail(s, "there is no such verdict");
		return false;
	}
	while (++i < words) {
		if (word[i][0] != '+' || !read_counter(s, step, word[i] + 1)) {
			story_fail(s, "there is no counter '%s'", word[i]);
			return false;
		}
	}
	return true;
}

/* ---- making the packet ---- */

static const uint8_t syn_options[] = {2, 4, 5, 180, 4, 2, 8, 10, 1, 2,
				      3, 4, 0, 0,   0, 0, 1, 3,	 3, 7};
/* The echo is 0, as a real host believes only what it sent itself. */
static const uint8_t data_options[] = {1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0};
/* MSS, window scale, SACK permitted, timestamps, Fast Open with a cookie, no-ops: 40 bytes */
static const uint8_t all_options[] = {2,  4, 5, 220, 3,	 3,  9,	 4,  2,	 8,  10, 9,  9,	 9,
				      9,  0, 0, 0,   0,	 34, 10, 11, 22, 33, 44, 55, 66, 77,
				      88, 1, 1, 1,   28, 4,  1,	 2,  1,	 1,  1,	 0};
/* Record route and an end: 12 bytes */
static const uint8_t ip_options[] = {7, 11, 8, 192, 0, 2, 1, 192, 0, 2, 2, 0};

static void choose_options(const struct step *step, struct segment *seg)
{
	if (step->all_options) {
		seg->options = all_options;
		seg->n_options = sizeof(all_options);
	} else if (!step->bare && step->flags & TCP_SYN) {
		seg->options = syn_options;
		seg->n_options = sizeof(syn_options);
	} else if (!step->bare) {
		seg->options = data_options;
		seg->n_options = sizeof(data_options);
	}
	if (step->ip_options) {
		seg->ip_options = ip_options;
		seg->n_ip_options = sizeof(ip_options);
	}
}

static void make_packet(struct story *s, const struct step *step, struct frame *f)
{
	struct side *me = step->from_client ? &s->client : &s->server;
	const struct shift_flow_ref *place = step->late ? &s->place_before : &s->place;
	struct segment seg = {.flags = step->flags,
			      .ttl = step->ttl,
			      .tos = (uint8_t)(step->flags & TCP_PSH ? 0xb9 : 2),
			      .id = (uint16_t)(s->turn * 259 + (uint32_t)s->line),
			      .window = 501,
			      .urgent = step->flags & TCP_URG ? 7 : 0,
			      .payload = (size_t)step->len,
			      .trailer = (size_t)step->pad};

	seg.src = step->from_client ? s->client_end : story_target(s, place);
	seg.dst = step->from_client ? rig_listen_end(s->v6) : story_nat(s, place);
	seg.seq = me->next + (uint32_t)step->seq;
	if (step->flags & TCP_SYN)
		seg.seq = me->isn + (uint32_t)step->seq;
	seg.ack = step->flags & TCP_ACK ? me->seen + (uint32_t)step->ack : 0;
	choose_options(step, &seg);
	frame_build(f, &seg);
}

/* After it was sent, and got there or not. */
static void move_numbers(struct story *s, const struct step *step, const struct frame *f)
{
	struct side *me = step->from_client ? &s->client : &s->server;
	struct side *peer = step->from_client ? &s->server : &s->client;
	uint32_t end = frame_tcp_seq(f) + (uint32_t)frame_tcp_payload(f);
	uint8_t flags = frame_tcp_flags(f);

	end += !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
	if (!step->again && !step->seq_given && !(flags & TCP_RST))
		me->next = end;
	if (step->lost || step->seq_given || flags & TCP_RST)
		return;
	if (step->verdict != SHIFT_FORWARD && step->verdict != SHIFT_REPLY)
		return;
	if (flags & TCP_SYN || (int32_t)(end - peer->seen) > 0)
		peer->seen = end;
}

/* ---- what should come of it ---- */

static int action_of(enum shift_verdict v)
{
	switch (v) {
	case SHIFT_FORWARD:
	case SHIFT_REPLY:
	case SHIFT_CUT:
	case SHIFT_RESET_UNABLE:
	case SHIFT_REFUSED_ANEW:
		return REDIRECT;
	case SHIFT_DROP_TTL:
	case SHIFT_DROP_REWRITE:
		return TC_ACT_SHOT;
	default:
		return TC_ACT_UNSPEC;
	}
}

/* RFC 9293, 3.5.2: what answers a packet that has no business here. */
static void reset_to_sender(struct frame *f)
{
	struct end src = frame_dst(f), dst = frame_src(f);
	uint8_t flags = frame_tcp_flags(f);
	uint32_t end = frame_tcp_seq(f) + (uint32_t)frame_tcp_payload(f);

	end += !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
	if (flags & TCP_ACK)
		frame_reset(f, &src, &dst, frame_tcp_ack(f), 0, TCP_RST);
	else
		frame_reset(f, &src, &dst, 0, end, TCP_RST | TCP_ACK);
}

static void reset_to_other(struct frame *f, const struct end *src, const struct end *dst)
{
	uint8_t flags = frame_tcp_flags(f);

	frame_reset(f, src, dst, frame_tcp_seq(f), frame_tcp_ack(f), TCP_RST | (flags & TCP_ACK));
}

static void check_out(struct story *s, const struct step *step, const struct frame *in)
{
	static struct frame wanted, clone;
	struct end src, dst, sender = frame_src(in);

	wanted = *in;
	src = step->from_client ? story_nat(s, &s->place) : rig_listen_end(s->v6);
	dst = step->from_client ? story_target(s, &s->place) : s->client_end;
	if (step->verdict == SHIFT_FORWARD || step->verdict == SHIFT_REPLY) {
		frame_translate(&wanted, &src, &dst);
	} else if (step->verdict == SHIFT_RESET_UNABLE || step->verdict == SHIFT_REFUSED_ANEW) {
		reset_to_sender(&wanted);
	} else if (step->verdict == SHIFT_CUT) {
		reset_to_other(&wanted, &src, &dst);
		frame_swap_macs(&wanted);
	}
	frame_check_equal(&s->run.out, &wanted, "what comes out");
	if (step->verdict == SHIFT_CUT) {
		wanted = *in;
		reset_to_sender(&wanted);
		frame_swap_macs(&wanted);
		if (wire_read(s->net, NULL, &sender, 1000, &clone))
			frame_check_equal(&clone, &wanted, "the RST to the sender");
		else
			story_fail(s, "no RST to the sender was sent");
	}
	if (!s->host_speaks && wire_read(s->net, NULL, NULL, 0, &clone))
		story_fail(s, "something else was sent");
}

static void check_counters(struct story *s, struct step *step, const struct tally *before,
			   const struct frame *in)
{
	uint64_t bytes = frame_ip_bytes(in);
	struct shift_backend_stats *b = &step->moves.backend[s->backend];
	const uint64_t *was = (const uint64_t *)before, *wanted = (const uint64_t *)&step->moves;
	struct tally now;

	step->moves.verdict[step->verdict]++;
	if (step->begins) {
		step->moves.service.connections_new++;
		b->connections++;
	}
	if (step->verdict == SHIFT_FORWARD)
		b->packets_up++, b->bytes_up += bytes;
	if (step->verdict == SHIFT_REPLY)
		b->packets_down++, b->bytes_down += bytes;
	rig_tally(s->rig, &now);
	for (size_t i = 0; i < TALLY_WORDS; i++) {
		uint64_t moved = ((const uint64_t *)&now)[i] - was[i];
		char name[80];

		if (moved != wanted[i])
			story_fail(s, "counter '%s' moved by %lld, should by %lld",
				   rig_tally_name(i, name), (long long)moved, (long long)wanted[i]);
	}
}

/* ---- the flow's record ---- */

/* A SYN was shifted: where its flow is, and what the record is to say from now on. */
static void meet_flow(struct story *s, const struct frame *in)
{
	uint64_t hash = rig_hash(s->rig, &s->client_end);
	struct shift_flow_ref ref;
	struct shift_flow *f = rig_flow(s->rig, &s->client_end, &ref);
	struct shift_backend b;
	uint32_t id, n, wanted;

	if (!f) {
		story_fail(s, "no flow was begun");
		return;
	}
	s->place_before = s->placed ? s->place : ref;
	s->place = ref;
	s->placed = true;
	if (s->backend == RIG_ANY)
		s->backend = (enum rig_backend)f->backend;
	s->epoch = rig_record(s->rig).epoch;
	s->bytes_up = s->bytes_down = 0;
	s->client_isn = frame_tcp_seq(in);
	s->backend_isn = s->client_ack = s->backend_ack = 0;
	if (!(*s->rig->dirty)[shift_hash_rank(hash)])
		story_fail(s, "the client's rank was not marked");
	if (s->spills)
		return;
	id = s->backend;
	rig_get(s->rig, RIG_BACKEND, &id, &b);
	n = b.targets[s->v6];
	wanted = b.target[s->v6][((hash >> 16 & 0xffff) * n) >> 16];
	if (ref.target != wanted)
		story_fail(s, "the flow is on target %u, should be on %u", ref.target, wanted);
}

/* What a packet that went through changes in the record. */
static void expect_record(struct story *s, const struct step *step, const struct frame *in)
{
	uint8_t flags = frame_tcp_flags(in);

	if (step->from_client) {
		s->bytes_up += frame_ip_bytes(in);
		if (flags & TCP_ACK && !(flags & (TCP_SYN | TCP_RST)))
			s->client_ack = frame_tcp_ack(in);
		return;
	}
	s->bytes_down += frame_ip_bytes(in);
	if ((flags & (TCP_SYN | TCP_ACK | TCP_RST)) == (TCP_SYN | TCP_ACK) && !step->ack &&
	    (!s->backend_isn || story_record(s)->state == SHIFT_FLOW_SYN_RECV))
		s->backend_isn = frame_tcp_seq(in);
	if (flags & TCP_ACK && !(flags & TCP_RST) && s->backend_isn)
		s->backend_ack = frame_tcp_ack(in);
}

static void field(struct story *s, const char *what, uint64_t is, uint64_t wanted)
{
	if (is != wanted)
		story_fail(s, "the record's %s is %llu, should be %llu", what,
			   (unsigned long long)is, (unsigned long long)wanted);
}

static void check_record(struct story *s)
{
	const struct shift_flow *f = story_record(s);

	if (!f) {
		story_fail(s, "there is no flow");
		return;
	}
	if (memcmp(f->client, s->client_end.ip, sizeof(f->client)) != 0)
		story_fail(s, "the record is another client's");
	field(s, "client port", shift_be16(f->client_port), s->client_end.port);
	field(s, "listener", f->listen, RIG_LISTEN(s->v6));
	field(s, "service", f->service, RIG_SERVICE);
	field(s, "protocol", f->protocol, 6);
	field(s, "backend", f->backend, s->backend);
	field(s, "generation", f->generation, s->place.generation);
	field(s, "rank", f->rank, shift_hash_rank(rig_hash(s->rig, &s->client_end)));
	field(s, "interface", f->ifindex, s->rig->ifindex);
	field(s, "epoch", f->epoch, s->epoch);
	field(s, "bytes up", f->bytes_up, s->bytes_up);
	field(s, "bytes down", f->bytes_down, s->bytes_down);
	field(s, "client ISN", f->client_isn, s->client_isn);
	field(s, "backend ISN", f->backend_isn, s->backend_isn);
	field(s, "client's acknowledgement", f->client_ack, s->client_ack);
	field(s, "backend's acknowledgement", f->backend_ack, s->backend_ack);
}

/* ---- the line ---- */

static void prepare(struct story *s, struct step *step, struct frame *in)
{
	struct side *me = step->from_client ? &s->client : &s->server;

	if (step->anew)
		story_new_numbers(s);
	if (step->again)
		*in = step->flags & TCP_SYN ? me->last_syn : me->last;
	else
		make_packet(s, step, in);
	me->last = *in;
	if (step->flags & TCP_SYN)
		me->last_syn = *in;
}

void story_packet(struct story *s, char *word[], int words)
{
	static struct frame in;
	struct tally before;
	struct step step;

	if (!read_step(s, &step, word, words))
		return;
	if (!step.from_client && !s->placed) {
		story_fail(s, "no flow, so no backend");
		return;
	}
	prepare(s, &step, &in);
	s->tick_before = rig_tick(s->rig);
	rig_tally(s->rig, &before);
	if (rig_run(s->rig, s->rig->ingress, &in, &s->run)) {
		story_fail(s, "the kernel does not run this packet");
		return;
	}
	s->tick_after = rig_tick(s->rig);
	if (step.begins)
		meet_flow(s, &in);
	if (s->run.action != action_of(step.verdict))
		story_fail(s, "the action is %d, should be %d", s->run.action,
			   action_of(step.verdict));
	check_counters(s, &step, &before, &in);
	check_out(s, &step, &in);
	if (step.verdict == SHIFT_FORWARD || step.verdict == SHIFT_REPLY) {
		if (!step.late) {
			expect_record(s, &step, &in);
			check_record(s);
		}
	} else if (step.from_client && step.verdict != SHIFT_REFUSED_ANEW) {
		s->left_local = true;
	}
	move_numbers(s, &step, &in);
	if (check_failed())
		s->over = true;
}
