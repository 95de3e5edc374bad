/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_flowlog.c - the flow log's judgement of a record, alone and over simulated ports; its lines
 */
#include <arpa/inet.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "userspace/ctl/flowlog_inner.h"

#define NOW    100000u
#define SECOND 1000000000ull

/* At 16 ticks a second (HZ 256): half open 10 s, established 100 s, closing 20 s, done 2 s, others
 * 60 s. */
static const struct shift_service svc = {
	.timeout = {[SHIFT_FLOW_SYN_SENT] = 160,
		    [SHIFT_FLOW_SYN_RECV] = 160,
		    [SHIFT_FLOW_ESTABLISHED] = 1600,
		    [SHIFT_FLOW_CLOSING] = 320,
		    [SHIFT_FLOW_DONE] = 32,
		    [SHIFT_FLOW_TIME_WAIT] = 960,
		    [SHIFT_FLOW_ABANDONED] = 960},
	.timeout_udp = 480,
};

static const struct flowlog_look usual = {.now = NOW, .settle = 8, .svc = &svc};

/* ---- one record ---- */

struct one {
	const char *what;
	uint8_t state, was, up, down, flags, protocol, repeats;
	int32_t expires; /* from now */
	uint32_t generation, accounted, isn;
	bool no_bytes;
	/* and what comes of it */
	uint32_t now_accounted, lost;
	bool entry, end_known;
	uint32_t quiet;
	enum flowlog_ended ended;
};

#define SEEN_FIN (SHIFT_SEEN_FIN | SHIFT_SEEN_FIN_SURE)
#define TCP	 6
#define UDP	 17
#define ENTRY(quiet_, ended_)                                                                      \
	.entry = true, .end_known = true, .quiet = (quiet_), .ended = FLOWLOG_##ended_

/* clang-format off */
static const struct one ones[] = {
	{"a place that was never used", .entry = false},
	{"one that is logged", .state = SHIFT_FLOW_DONE, .expires = -5, .generation = 3, .accounted
	 = 3, .now_accounted = 3},
	{"a flow that lives", .state = SHIFT_FLOW_ESTABLISHED, .expires = 1500, .generation = 1},
	{"the one before it was missed", .state = SHIFT_FLOW_ESTABLISHED, .expires = 1500,
	 .generation = 4, .accounted = 2, .now_accounted = 3, .lost = 1},
	{"closed a moment ago", .state = SHIFT_FLOW_DONE, .expires = 30, .generation = 1},
	{"closed", .state = SHIFT_FLOW_DONE, .up = SEEN_FIN, .down = SEEN_FIN, .isn = 1, .expires =
	 22, .generation = 1, .now_accounted = 1, ENTRY(10, CLIENT_FIN)},
	{"closed by the backend", .state = SHIFT_FLOW_TIME_WAIT, .up = SEEN_FIN, .down = SEEN_FIN,
	 .isn = 1, .expires = 960 - 8, .generation = 1, .now_accounted = 1, ENTRY(8, BACKEND_FIN)},
	{"closed long ago, and three were missed", .state = SHIFT_FLOW_DONE, .up = SEEN_FIN,
	 .expires = -1000, .generation = 9, .accounted = 5, .now_accounted = 9, .lost = 3,
	 ENTRY(1032, CLIENT_FIN)},
	{"reset by the client", .state = SHIFT_FLOW_DONE, .up = SHIFT_SEEN_RST, .isn = 1, .expires =
	 2, .generation = 1, .now_accounted = 1, ENTRY(30, CLIENT_RST)},
	{"reset by the client in the handshake", .state = SHIFT_FLOW_DONE, .isn = 1, .expires = 2,
	 .generation = 1, .now_accounted = 1, ENTRY(30, CLIENT_RST)},
	{"reset by the backend", .state = SHIFT_FLOW_DONE, .down = SHIFT_SEEN_RST, .isn = 1,
	 .expires = 2, .generation = 1, .now_accounted = 1, ENTRY(30, BACKEND_RST)},
	{"refused", .state = SHIFT_FLOW_DONE, .down = SHIFT_SEEN_RST, .expires = 2, .generation = 1,
	 .now_accounted = 1, ENTRY(30, REFUSED)},
	{"cut", .state = SHIFT_FLOW_DONE, .flags = SHIFT_FLOW_CUT, .isn = 1, .expires = 2,
	 .generation = 1, .now_accounted = 1, ENTRY(30, CUT)},
	{"silent", .state = SHIFT_FLOW_ESTABLISHED, .isn = 1, .expires = 0, .generation = 1,
	 .now_accounted = 1, ENTRY(1600, SILENT)},
	{"silent while it closed", .state = SHIFT_FLOW_CLOSING, .isn = 1, .expires = -1, .generation
	 = 1, .now_accounted = 1, ENTRY(321, SILENT)},
	{"silent after a doubtful reset", .state = SHIFT_FLOW_CLOSING, .down = SHIFT_SEEN_RST, .isn
	 = 1, .expires = -1, .generation = 1, .now_accounted = 1, ENTRY(321, BACKEND_RST)},
	{"unanswered", .state = SHIFT_FLOW_SYN_SENT, .expires = -40, .generation = 1, .now_accounted
	 = 1, ENTRY(200, UNANSWERED)},
	{"UDP that lives", .state = SHIFT_FLOW_ESTABLISHED, .flags = SHIFT_FLOW_UDP, .protocol =
	 UDP, .expires = 1, .generation = 1},
	{"UDP that is silent", .state = SHIFT_FLOW_ESTABLISHED, .flags = SHIFT_FLOW_UDP, .protocol =
	 UDP, .expires = -1, .generation = 1, .now_accounted = 1, ENTRY(481, SILENT)},
	{"UDP that nobody answered", .state = SHIFT_FLOW_SYN_SENT, .flags = SHIFT_FLOW_UDP,
	 .protocol = UDP, .expires = -1, .generation = 1, .now_accounted = 1, ENTRY(481,
	 UNANSWERED)},
	{"rescued", .state = SHIFT_FLOW_ABANDONED, .repeats = 2, .expires = 900, .generation = 1,
	 .now_accounted = 1, ENTRY(60, UNANSWERED)},
	{"begun anew", .state = SHIFT_FLOW_ABANDONED, .isn = 1, .expires = 900, .generation = 1,
	 .now_accounted = 1, ENTRY(60, ABANDONED)},
	{"abandoned, about to expire: it may be another's by now", .state = SHIFT_FLOW_ABANDONED,
	 .isn = 1, .expires = 2, .generation = 1},
	{"taken for another flow this moment", .state = SHIFT_FLOW_ABANDONED, .was =
	 SHIFT_FLOW_DONE, .expires = 2, .generation = 1},
	{"taken, and given up again", .state = SHIFT_FLOW_FREE, .expires = 2, .generation = 1,
	 .now_accounted = 1, .entry = true},
	{"its port is the host's now", .state = SHIFT_FLOW_ABANDONED, .was = SHIFT_FLOW_TIME_WAIT,
	 .expires = 5000, .generation = 1, .now_accounted = 1, .entry = true, .ended =
	 FLOWLOG_BACKEND_FIN},
	{"forgotten by a detach", .state = SHIFT_FLOW_ABANDONED, .was = SHIFT_FLOW_ABANDONED,
	 .expires = -16, .generation = 1, .now_accounted = 1, ENTRY(16, DETACHED)},
	{"no packet of it was forwarded", .state = SHIFT_FLOW_FREE, .no_bytes = true, .generation =
	 2, .accounted = 1, .now_accounted = 2},
};
/* clang-format on */

static struct shift_flow record(const struct one *o)
{
	return (struct shift_flow){.state = o->state,
				   .was = o->was,
				   .up = o->up,
				   .down = o->down,
				   .flags = o->flags,
				   .protocol = o->protocol ? o->protocol : TCP,
				   .syn_retransmits = o->repeats,
				   .expires = NOW + (uint32_t)o->expires,
				   .generation = o->generation,
				   .backend_isn = o->isn,
				   .bytes_up = !o->no_bytes};
}

static void test_one_record(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ones) / sizeof(*ones); i++) {
		const struct one *o = &ones[i];
		struct shift_flow f = record(o);
		struct flowlog_verdict v;

		flowlog_judge(&f, o->accounted, &usual, &v);
		if (v.accounted != o->now_accounted || v.lost != o->lost || v.entry != o->entry ||
		    v.end_known != o->end_known || v.quiet != o->quiet || v.ended != o->ended)
			fail_msg("%s: accounted %u, lost %u, entry %d, end %d, quiet %u, how %d",
				 o->what, v.accounted, v.lost, v.entry, v.end_known, v.quiet,
				 (int)v.ended);
	}
}

/* What is idle for the quick look is so for the judge, too. */
static void test_quick_look(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ones) / sizeof(*ones); i++) {
		struct shift_flow f = record(&ones[i]);
		struct flowlog_verdict v;

		if (!flowlog_idle(&f, ones[i].accounted, NOW))
			continue;
		flowlog_judge(&f, ones[i].accounted, &usual, &v);
		assert_int_equal(v.accounted, ones[i].accounted);
		assert_false(v.entry);
	}
}

/* A last look logs what lives, too, with its last packet as its end. */
static void test_last_look(void **state)
{
	struct flowlog_look last = usual;
	struct shift_flow f = {.state = SHIFT_FLOW_ESTABLISHED,
			       .protocol = TCP,
			       .generation = 5,
			       .bytes_up = 60,
			       .expires = NOW + 1590};
	struct flowlog_verdict v;

	(void)state;
	last.last = true;
	flowlog_judge(&f, 4, &last, &v);
	assert_true(v.entry && v.end_known);
	assert_int_equal(v.ended, FLOWLOG_DETACHED);
	assert_int_equal(v.quiet, 10);
	assert_int_equal(v.accounted, 5);
}

static void test_baseline(void **state)
{
	struct shift_flow f = {
		.generation = 7, .state = SHIFT_FLOW_ESTABLISHED, .expires = NOW + 9};

	(void)state;
	assert_int_equal(flowlog_baseline(&f, NOW), 6); /* lives: its end will be logged */
	f.state = SHIFT_FLOW_DONE;
	assert_int_equal(flowlog_baseline(&f, NOW), 7);
	f = (struct shift_flow){0};
	assert_int_equal(flowlog_baseline(&f, NOW), 0);
}

/* ---- many ports, as the program uses them ---- */

#define PLACES 48
#define FLOWS  5000

struct sim {
	struct shift_flow f[PLACES];
	uint32_t accounted[PLACES];
	uint32_t taken; /* by whom a record is not written yet: place + 1 */
	uint8_t logged[FLOWS];
	uint32_t flows, lines, lost, now, hand, random;
};

static uint32_t draw(struct sim *s, uint32_t n)
{
	s->random = s->random * 1664525u + 1013904223u;
	return (s->random >> 8) % n;
}

/* flow_take_of_shard: what rests is left alone. */
static void sim_take(struct sim *s)
{
	for (uint32_t k = 0; k < PLACES; k++) {
		uint32_t i = s->hand++ % PLACES;
		struct shift_flow *f = &s->f[i];

		if (shift_flow_holds(f, s->now))
			continue;
		if (f->state != SHIFT_FLOW_ABANDONED)
			f->was = f->state;
		f->state = SHIFT_FLOW_ABANDONED;
		f->expires = s->now + 2;
		s->taken = i + 1;
		return;
	}
}

/* flow_insert, in two steps: between them a look may come. */
static void sim_insert(struct sim *s)
{
	struct shift_flow *f = &s->f[s->taken - 1];

	f->was = SHIFT_FLOW_FREE;
	if (f->client_port != 1 && !draw(s, 50)) { /* the client has too many */
		f->state = SHIFT_FLOW_FREE;
		s->taken = 0;
		return;
	}
	if (draw(s, 2) && f->client_port != 1) {
		f->generation++;
		f->client_port = 1; /* half done */
		return;
	}
	if (f->client_port != 1)
		f->generation++;
	f->client_port = 0;
	f->epoch = s->flows++; /* which one it is */
	f->bytes_up = 60;
	f->bytes_down = 0;
	f->protocol = TCP;
	f->expires = s->now + svc.timeout[SHIFT_FLOW_SYN_SENT];
	f->state = SHIFT_FLOW_SYN_SENT;
	s->taken = 0;
}

static void sim_packet(struct sim *s)
{
	static const uint8_t next[] = {
		SHIFT_FLOW_ESTABLISHED, SHIFT_FLOW_ESTABLISHED, SHIFT_FLOW_DONE,   SHIFT_FLOW_DONE,
		SHIFT_FLOW_TIME_WAIT,	SHIFT_FLOW_ABANDONED,	SHIFT_FLOW_CLOSING};
	struct shift_flow *f = &s->f[draw(s, PLACES)];

	if (!shift_flow_alive(f, s->now))
		return;
	f->state = next[draw(s, sizeof(next))];
	f->expires = s->now + svc.timeout[f->state];
}

static void sim_look(struct sim *s, bool last)
{
	struct flowlog_look look = {.now = s->now, .settle = 8, .svc = &svc, .last = last};
	struct flowlog_verdict v;

	for (uint32_t i = 0; i < PLACES; i++) {
		if (!last && flowlog_idle(&s->f[i], s->accounted[i], s->now))
			continue;
		flowlog_judge(&s->f[i], s->accounted[i], &look, &v);
		s->accounted[i] = v.accounted;
		s->lost += v.lost;
		if (!v.entry)
			continue;
		s->lines++;
		s->logged[s->f[i].epoch]++;
		/* a record that is half another's is never written down */
		assert_int_not_equal(s->f[i].client_port, 1);
	}
}

/* `pause`: ticks between two looks, at most. */
static void simulate(uint32_t seed, uint32_t pause, bool wraps, struct sim *s)
{
	uint32_t next = 0;

	memset(s, 0, sizeof(*s));
	s->random = seed;
	s->now = wraps ? UINT32_MAX - 3000 : NOW;
	for (uint32_t i = 0; i < PLACES; i++) {
		s->f[i].expires = s->now;
		if (wraps) /* generations wrap, too */
			s->f[i].generation = s->accounted[i] = UINT32_MAX - draw(s, 3);
	}
	while (s->flows < FLOWS) {
		if (s->taken)
			sim_insert(s);
		else if (!draw(s, 3))
			sim_take(s);
		for (int i = 0; i < 4; i++)
			sim_packet(s);
		if (!next--) {
			sim_look(s, false);
			next = draw(s, pause);
		}
		/* A record is written within the tick or two that its place is kept. */
		s->now += !s->taken && !draw(s, 2);
	}
	while (s->taken)
		sim_insert(s);
	sim_look(s, true);
}

static void test_every_flow_once_or_counted(void **state)
{
	static struct sim s;
	uint32_t missed_ever = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= 60; seed++) {
		/* Looks in every tick or two, and some that come far too late. */
		uint32_t pause = seed % 3 == 0 ? 2000 : seed % 3 == 1 ? 4 : 60, missed = 0;

		simulate(seed, pause, seed % 2, &s);
		for (uint32_t i = 0; i < s.flows; i++) {
			if (s.logged[i] > 1)
				fail_msg("seed %u: flow %u is logged %u times", seed, i,
					 s.logged[i]);
			missed += !s.logged[i];
		}
		assert_int_equal(missed, s.lost);
		assert_int_equal(s.lines + s.lost, s.flows);
		if (pause == 4) /* oftener than a finished port rests */
			assert_int_equal(s.lost, 0);
		missed_ever += s.lost;
	}
	assert_true(missed_ever > 100); /* the simulation does lose some, when looks are rare */
}

/* ---- a line ---- */

static void test_line(void **state)
{
	struct shift_flow f = {.client_port = htons(40112),
			       .generation = 2,
			       .protocol = TCP,
			       .bytes_up = 1023,
			       .bytes_down = 5311,
			       .epoch = 7,
			       .born = 90 * SECOND + 118000000};
	struct shift_target t = {.port = htons(443), .port_lo = 20000};
	struct shift_listen listen = {.port = htons(443), .flags = SHIFT_LISTEN_USED};
	struct flowlog_verdict v = {.end_known = true, .quiet = 16, .ended = FLOWLOG_CLIENT_FIN};
	struct flowlog_clock c = {1772375412 * SECOND, 100 * SECOND, 256};
	struct flowlog_entry e = {.f = &f,
				  .t = &t,
				  .l = &listen,
				  .service = "api",
				  .backend = "a\"w\\s\n",
				  .map = 31,
				  .index = 4711,
				  .v = &v};
	char line[FLOWLOG_LINE];
	size_t n;
	uint32_t map, index, generation;
	json_t *j;
	uint16_t port;

	(void)state;
	ip_parse("198.51.100.7", f.client, &port);
	ip_parse("203.0.113.10", t.nat, &port);
	ip_parse("2001:db8::3", t.address, &port);
	ip_parse("203.0.113.10", listen.address, &port);
	n = flowlog_line(&e, &c, line);
	assert_int_equal(n, strlen(line));
	assert_string_equal(
		line,
		"{\"schema\":1,\"flow\":\"31.4711.2\",\"service\":\"api\",\"protocol\":\"tcp\","
		"\"client\":\"198.51.100.7\",\"client_port\":40112,\"listen\":\"203.0.113.10:443\","
		"\"nat\":\"203.0.113.10\",\"nat_port\":24711,\"backend\":\"a_w_s_\","
		"\"backend_address\":\"[2001:db8::3]:443\",\"start\":\"2026-03-01T14:30:02.118Z\","
		"\"end\":\"2026-03-01T14:30:11.000Z\",\"bytes_up\":1023,\"bytes_down\":5311,"
		"\"ended\":\"client-fin\",\"epoch\":7}\n");
	assert_true(flowlog_parse(line, &map, &index, &generation));
	assert_int_equal(map, 31);
	assert_int_equal(index, 4711);
	assert_int_equal(generation, 2);
	/* Its end is not before its start, whatever the clocks say; what is not known is null. */
	v.quiet = 16 * 3600;
	flowlog_line(&e, &c, line);
	assert_non_null(strstr(line, "\"end\":\"2026-03-01T14:30:02.118Z\""));
	v.end_known = false;
	listen.flags = 0;
	flowlog_line(&e, &c, line);
	j = json_loads(line, 0, NULL);
	assert_non_null(j);
	assert_true(json_is_null(json_object_get(j, "end")));
	assert_true(json_is_null(json_object_get(j, "listen")));
	json_decref(j);
}

static void test_longest_line(void **state)
{
	struct shift_flow f = {.client_port = 0xffff,
			       .generation = UINT32_MAX,
			       .protocol = UDP,
			       .bytes_up = UINT64_MAX,
			       .bytes_down = UINT64_MAX,
			       .epoch = UINT64_MAX};
	struct shift_target t = {.port = 0xffff, .port_lo = 65535};
	struct shift_listen listen = {.port = 0xffff, .flags = SHIFT_LISTEN_USED};
	struct flowlog_verdict v = {.end_known = true, .ended = FLOWLOG_BACKEND_RST};
	struct flowlog_clock c = {UINT64_MAX / 2, 0, 100};
	char name[SHIFT_NAME + 1], line[FLOWLOG_LINE];
	size_t n;
	struct flowlog_entry e = {.f = &f,
				  .t = &t,
				  .l = &listen,
				  .service = name,
				  .backend = name,
				  .map = UINT32_MAX,
				  .index = UINT32_MAX,
				  .v = &v};

	(void)state;
	memset(name, 'x', SHIFT_NAME);
	name[SHIFT_NAME] = '\0';
	for (int i = 0; i < 4; i++)
		f.client[i] = t.nat[i] = t.address[i] = listen.address[i] = 0xfefefefe;
	assert_in_range(flowlog_line(&e, &c, line), 500, FLOWLOG_LINE - 1);
	n = flowlog_lost_line(UINT64_MAX, 0, UINT64_MAX / 2, line);
	assert_int_equal(n, strlen(line));
	assert_string_equal(line + strlen(line) - 2, "}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_record),
		cmocka_unit_test(test_quick_look),
		cmocka_unit_test(test_last_look),
		cmocka_unit_test(test_baseline),
		cmocka_unit_test(test_every_flow_once_or_counted),
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_longest_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
