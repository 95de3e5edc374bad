/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_drain.c - whom `drain` moves, when a connection rests, and that no pace is above the rate
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/cmd/drain.h"

static const struct drain_rules usual = {
	.seed = 7, .affinity = SHIFT_AFFINITY_CLIENT, .threshold = 0x4000, .usable = {true, true}};

static void client_of(unsigned int n, uint32_t ret[4])
{
	ip_map(htonl(0xc6120000 + n), ret);
}

static void those_in_the_share_move_and_no_others(void **state)
{
	uint32_t client[4];
	unsigned int moved = 0;

	(void)state;
	for (unsigned int i = 0; i < 4096; i++) {
		uint32_t rank;

		client_of(i, client);
		rank = shift_hash_rank(shift_hash(7, SHIFT_AFFINITY_CLIENT, client, 0));
		assert_int_equal(drain_choose(&usual, client, htons(1000), 0),
				 rank < 0x4000 ? DRAIN_MOVE : DRAIN_STAYS);
		moved += rank < 0x4000;
	}
	assert_in_range(moved, 900, 1150);
}

static void at_the_whole_share_everybody_moves_and_at_none_nobody(void **state)
{
	struct drain_rules all = usual, none = usual;
	uint32_t client[4];

	(void)state;
	all.threshold = SHIFT_THRESHOLD_MAX;
	none.threshold = 0;
	for (unsigned int i = 0; i < 4096; i++) {
		client_of(i, client);
		assert_int_equal(drain_choose(&all, client, htons((uint16_t)i), 0), DRAIN_MOVE);
		assert_int_equal(drain_choose(&none, client, htons((uint16_t)i), 0), DRAIN_STAYS);
	}
}

static void the_port_counts_with_affinity_connection_alone(void **state)
{
	struct drain_rules by_port = usual;
	uint32_t client[4];
	unsigned int moved[2] = {0};

	(void)state;
	by_port.affinity = SHIFT_AFFINITY_CONNECTION;
	client_of(3, client);
	for (uint16_t port = 1; port < 1000; port++) {
		moved[0] += drain_choose(&usual, client, htons(port), 0) == DRAIN_MOVE;
		moved[1] += drain_choose(&by_port, client, htons(port), 0) == DRAIN_MOVE;
	}
	assert_true(moved[0] == 0 || moved[0] == 999);
	assert_in_range(moved[1], 180, 320);
}

static void entries_of_the_client_table_come_before_the_share(void **state)
{
	static const struct {
		uint32_t action;
		enum drain_choice all, none;
	} rows[] = {
		{SHIFT_CLIENT_BYPASS, DRAIN_EXCEPTED, DRAIN_EXCEPTED},
		{SHIFT_CLIENT_OLD, DRAIN_EXCEPTED, DRAIN_EXCEPTED},
		{SHIFT_CLIENT_PEER, DRAIN_EXCEPTED, DRAIN_EXCEPTED},
		{SHIFT_CLIENT_DENY, DRAIN_EXCEPTED, DRAIN_EXCEPTED},
		{SHIFT_CLIENT_NEW, DRAIN_MOVE, DRAIN_MOVE},
		{SHIFT_CLIENT_ALLOW, DRAIN_MOVE, DRAIN_STAYS},
	};
	struct drain_rules all = usual, none = usual;
	uint32_t client[4];

	(void)state;
	all.threshold = SHIFT_THRESHOLD_MAX;
	none.threshold = 0;
	client_of(1, client);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(drain_choose(&all, client, 1, rows[i].action), rows[i].all);
		assert_int_equal(drain_choose(&none, client, 1, rows[i].action), rows[i].none);
	}
}

static void nobody_moves_where_no_backend_of_the_family_takes_him(void **state)
{
	struct drain_rules r = usual;
	uint32_t four[4], six[4] = {htonl(0x20010db8), 0, 0, 1};

	(void)state;
	r.threshold = SHIFT_THRESHOLD_MAX;
	r.usable[1] = false;
	client_of(1, four);
	assert_int_equal(drain_choose(&r, four, 1, 0), DRAIN_MOVE);
	assert_int_equal(drain_choose(&r, six, 1, 0), DRAIN_NO_BACKEND);
	assert_int_equal(drain_choose(&r, six, 1, SHIFT_CLIENT_NEW), DRAIN_NO_BACKEND);
	r.threshold = 0;
	assert_int_equal(drain_choose(&r, six, 1, 0), DRAIN_STAYS);
}

/* sent and received: ms ago */
static struct sockdiag_seen at(uint32_t sent, uint32_t received)
{
	return (struct sockdiag_seen){.timed = true,
				      .sent_ms = sent,
				      .received_ms = received,
				      .received = 100,
				      .answered = 1000};
}

static void a_connection_rests_when_the_server_spoke_last_and_long_ago(void **state)
{
	static const struct {
		uint32_t sent, received, idle, owed;
		enum drain_rest rest;
		uint32_t again;
	} rows[] = {
		{1000, 1000, 1000, 0, DRAIN_IDLE, 0},
		{1000, 1003, 1000, 0, DRAIN_IDLE, 0},
		{999, 1500, 1000, 0, DRAIN_BUSY, 1},
		{0, 0, 1000, 0, DRAIN_BUSY, 1000},
		{5000, 4000, 1000, 0, DRAIN_OWED, 1000}, /* the client spoke last */
		{5000, 400, 1000, 0, DRAIN_BUSY, 600},
		{5000, 4000, 1000, 6000, DRAIN_OWED, 2000},
		{9000, 6000, 1000, 6000, DRAIN_IDLE, 0},
		{0, 0, 0, 0, DRAIN_IDLE, 0}, /* --idle 0s */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct sockdiag_seen seen = at(rows[i].sent, rows[i].received);
		const struct drain_patience p = {rows[i].idle, rows[i].owed};
		uint32_t again;

		if (drain_rest(&seen, &p, &again) != rows[i].rest || again != rows[i].again)
			fail_msg("row %zu: %d, again in %u", i, drain_rest(&seen, &p, &again),
				 again);
	}
}

static void anything_queued_or_in_flight_is_no_rest(void **state)
{
	const struct drain_patience p = {1000, 1000};
	struct sockdiag_seen seen = at(9000, 9000);
	uint32_t again;

	(void)state;
	seen.unread = 1;
	assert_int_equal(drain_rest(&seen, &p, &again), DRAIN_BUSY);
	assert_int_equal(again, 1000);
	seen = at(9000, 9000);
	seen.unsent = 1;
	assert_int_equal(drain_rest(&seen, &p, &again), DRAIN_BUSY);
	seen = at(9000, 9000);
	seen.in_flight = 1;
	assert_int_equal(drain_rest(&seen, &p, &again), DRAIN_BUSY);
	seen = at(9000, 9000);
	seen.timed = false;
	assert_int_equal(drain_rest(&seen, &p, &again), DRAIN_BUSY);
}

static void a_first_request_that_came_with_the_handshake_is_owed(void **state)
{
	const struct drain_patience p = {1000, 0};
	struct sockdiag_seen seen = at(3000, 3000);
	uint32_t again;

	(void)state;
	seen.answered = 0;
	assert_int_equal(drain_rest(&seen, &p, &again), DRAIN_OWED);
	seen.received = 0; /* connected, and nothing was said */
	assert_int_equal(drain_rest(&seen, &p, &again), DRAIN_IDLE);
}

static void no_pace_is_above_the_rate(void **state)
{
	const uint64_t gap = 10000000;
	uint64_t now = 1000, due = 0, last = 0;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		now = now > due ? now : due; /* waited for */
		now += i % 7 * 3000000;	     /* and was late */
		if (last)
			assert_true(now - last >= gap);
		last = now;
		due = drain_next(now, due, gap);
	}
}

/* On loopback, through the kernel. */

struct pair {
	int listener, ours, theirs;
	uint16_t port;
};

static void pair_make(struct pair *x)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);

	x->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(x->listener, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(x->listener, 1), 0);
	assert_int_equal(getsockname(x->listener, (void *)&a, &size), 0);
	x->port = a.sin_port;
	x->theirs = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(x->theirs, (void *)&a, sizeof(a)), 0);
	x->ours = accept(x->listener, NULL, NULL);
	assert_true(x->ours >= 0);
}

static int keep_first(const struct sockdiag_seen *seen, void *arg)
{
	*(struct sockdiag_seen *)arg = *seen;
	return 1;
}

static void the_kernel_tells_of_a_connection_and_closes_it(void **state)
{
	struct sockdiag_seen seen = {.unread = 99}, again;
	struct sockdiag *s;
	struct pair x;
	uint32_t local[4];
	char c;

	(void)state;
	pair_make(&x);
	assert_int_equal(sockdiag_make(&s), 0);
	assert_int_equal(sockdiag_each(s, x.port, keep_first, &seen), 1);
	ip_map(htonl(INADDR_LOOPBACK), local);
	assert_memory_equal(seen.local, local, sizeof(local));
	assert_int_equal(seen.local_port, x.port);
	assert_int_equal(seen.unread, 0);
	assert_true(seen.timed);
	assert_int_equal(write(x.theirs, "hello", 5), 5);
	assert_int_equal(sockdiag_look(s, &seen.name, &again), 0);
	assert_int_equal(again.unread, 5);
	assert_int_equal(again.received, 5);
	assert_int_equal(again.answered, 0);
	if (geteuid()) {
		sockdiag_free(s);
		skip();
	}
	assert_int_equal(sockdiag_can_close(s), 0);
	assert_int_equal(sockdiag_close(s, &seen.name), 0);
	assert_int_equal(read(x.theirs, &c, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(sockdiag_look(s, &seen.name, &again), -ENOENT);
	assert_int_equal(sockdiag_close(s, &seen.name), -ENOENT);
	seen.name.id.idiag_cookie[0] ^= 0x40000000; /* another connection of the same ports */
	assert_int_equal(sockdiag_close(s, &seen.name), -ENOENT);
	sockdiag_free(s);
	close(x.ours);
	close(x.theirs);
	close(x.listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_in_the_share_move_and_no_others),
		cmocka_unit_test(at_the_whole_share_everybody_moves_and_at_none_nobody),
		cmocka_unit_test(the_port_counts_with_affinity_connection_alone),
		cmocka_unit_test(entries_of_the_client_table_come_before_the_share),
		cmocka_unit_test(nobody_moves_where_no_backend_of_the_family_takes_him),
		cmocka_unit_test(a_connection_rests_when_the_server_spoke_last_and_long_ago),
		cmocka_unit_test(anything_queued_or_in_flight_is_no_rest),
		cmocka_unit_test(a_first_request_that_came_with_the_handshake_is_owed),
		cmocka_unit_test(no_pace_is_above_the_rate),
		cmocka_unit_test(the_kernel_tells_of_a_connection_and_closes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
