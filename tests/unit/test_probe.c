/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Probes on real sockets (tests/unit/probe_rig.h), and what needs none. Answers that somebody made
 * up: test_probe_forged.c.
 */
#include "tests/unit/probe_rig.h"
#include "wg/burst.h"

static void an_answer_gives_the_round_trip(void **state)
{
	static const char *const local[] = {"198.18.1.2", "2001:db8:1::2", "fe80::b"};
	struct probe_event e;

	(void)state;
	need_namespaces();
	for (size_t i = 0; i < COUNT(local); i++) {
		struct probe *p = open_to(local[i]);

		warm(p);
		probe_close(p);
	}
	for (size_t i = 0; i < COUNT(peers); i++) {
		struct probe *p = open_to(peers[i]);
		uint64_t answered;

		warm(p);
		answered = probe_window(p)->answered;
		assert_int_equal(probe_send(p, now()), 0);
		usleep(300000); /* a reader that comes late is not the path's fault */
		assert_int_equal(wait_event(p, 1000, &e), 1);
		assert_int_equal(e.size, 0);
		assert_int_equal(e.mtu, 0);
		assert_in_range(e.rtt_ns, 1, 200 * MS);
		assert_int_equal(probe_window(p)->answered, answered + 1);
		probe_close(p);
	}
}

static void what_cannot_leave_is_lost_at_once(void **state)
{
	uint32_t address[4];
	struct probe *p = NULL;
	uint16_t port, seq;

	(void)state;
	need_namespaces();
	for (size_t i = 0; i < COUNT(peers); i++) {
		assert_int_equal(ip_parse(peers[i], address, &port), 0);
		assert_int_equal(probe_open("nothing", address, &p), -ENODEV);
		assert_int_equal(probe_open("a-name-that-is-too-long", address, &p), -ENODEV);
		assert_null(p);
		assert_int_equal(probe_open("a0", address, &p), 0);
		assert_int_equal(probe_send_sized(p, 1501, now(), &seq), -EMSGSIZE);
		assert_int_equal(probe_send_sized(p, PROBE_MAX + 1, now(), &seq), -EMSGSIZE);
		assert_int_equal(probe_send_sized(p, 20, now(), &seq), -EINVAL);
		assert_int_equal(probe_window(p)->sent, 0);
		MUST(HERE, "ip link set a0 down");
		assert_true(probe_send(p, now()) < 0);
		assert_int_equal(probe_window(p)->sent, 1);
		assert_int_equal(probe_window(p)->lost, 1);
		MUST(HERE, "ip link del a0");
		assert_int_equal(probe_send(p, now()), -ENODEV);
		assert_int_equal(probe_window(p)->lost, 2);
		build_here();
		warm(p); /* the new one of this name */
		probe_close(p);
		p = NULL;
	}
}

static void a_peer_that_is_down_loses_all(void **state)
{
	(void)state;
	need_namespaces();
	for (size_t i = 0; i < COUNT(peers); i++) {
		struct probe *p = open_to(peers[i]);
		struct window_stats s;
		struct probe_event e;
		uint64_t lost;

		warm(p);
		lost = probe_window(p)->lost;
		MUST(PEER, "ip link set b0 down");
		for (int j = 0; j < 3; j++)
			assert_int_equal(probe_send(p, now()), 0);
		assert_int_equal(wait_event(p, 150, &e), 0);
		assert_int_equal(probe_expire(p, now(), 100 * MS), 3);
		assert_int_equal(probe_expire(p, now(), 100 * MS), 0);
		assert_int_equal(probe_window(p)->lost, lost + 3);
		window_stats(probe_window(p), &s);
		assert_int_equal(s.lost, lost + 3);
		/* Links that go down lose IPv6 addresses and routes. */
		MUST(PEER, "ip link set b0 up; ip addr replace 2001:db8:2::2/64 dev b0 nodad;"
			   "ip route replace default via 198.18.2.1;"
			   "ip route replace default via 2001:db8:2::1");
		warm(p);
		probe_close(p);
	}
}

static void others_pings_do_not_wake_us(void **state)
{
	(void)state;
	need_namespaces();
	for (size_t i = 0; i < COUNT(peers); i++) {
		struct probe *p = open_to(peers[i]), *other = open_to(peers[i]);
		struct pollfd fd = {.fd = probe_fd(p), .events = POLLIN};
		struct probe_event e;

		warm(other);
		for (int j = 0; j < 20; j++) {
			assert_int_equal(probe_send(other, now()), 0);
			assert_int_equal(wait_event(other, 1000, &e), 1);
		}
		assert_int_equal(poll(&fd, 1, 0), 0);
		probe_close(p);
		probe_close(other);
	}
}
/* ---- MTU ---- */

static const char silence[] =
	"nft add table inet t; nft add chain inet t c '{type filter hook output priority 0;}';"
	"nft add rule inet t c icmp type destination-unreachable drop;"
	"nft add rule inet t c icmpv6 type packet-too-big drop";

static void narrow(bool yes)
{
	MUST(HOP, yes ? "ip link set r1 mtu 1400" : "ip link set r1 mtu 1500");
	MUST(PEER, yes ? "ip link set b0 mtu 1400" : "ip link set b0 mtu 1500");
}

static uint32_t find_mtu(struct probe *p, size_t i, uint32_t top, uint64_t limit)
{
	uint32_t mtu = 4711;

	assert_int_equal(probe_mtu(p, i ? 1280 : 576, top, limit, &mtu), 0);
	return mtu;
}

static void the_mtu_of_a_path_is_found(void **state)
{
	(void)state;
	need_namespaces();
	for (size_t i = 0; i < COUNT(peers); i++) {
		struct probe *p = open_to(peers[i]);
		struct probe_event e;
		uint16_t seq;

		warm(p);
		assert_int_equal(find_mtu(p, i, 1500, 20 * S), 1500);
		assert_int_equal(find_mtu(p, i, 9000, 20 * S), 1500); /* the device's own */
		narrow(true);
		assert_int_equal(probe_send_sized(p, 1401, now(), &seq), 0);
		assert_int_equal(wait_event(p, 2000, &e), 1);
		assert_int_equal(e.mtu, 1400);
		assert_int_equal(e.size, 1401);
		assert_int_equal(e.seq, seq);
		assert_int_equal(find_mtu(p, i, 1500, 20 * S), 1400);
		MUST(HOP, silence);
		assert_int_equal(find_mtu(p, i, 1500, 60 * S), 1400);
		MUST(HOP, "nft delete table inet t");
		narrow(false);
		/* The kernel still remembers 1400, which is not to be believed. */
		assert_int_equal(find_mtu(p, i, 1500, 20 * S), 1500);
		probe_close(p);
	}
}

static void loss_does_not_change_the_mtu_found(void **state)
{
	(void)state;
	need_namespaces();
	narrow(true);
	MUST(HOP, silence);
	MUST(HERE,
	     "nft add table inet l; nft add chain inet l c '{type filter hook input priority 0;}'");
	if (run(HERE, "nft add rule inet l c numgen random mod 100 lt 2 drop 2>/dev/null")) {
		MUST(HERE, "nft delete table inet l");
		print_message("skipped: nft has no numgen here\n");
		skip();
	}
	for (size_t i = 0; i < COUNT(peers); i++) {
		struct probe *p = open_to(peers[i]);

		warm(p);
		assert_int_equal(find_mtu(p, i, 1500, 60 * S), 1400);
		probe_close(p);
	}
	MUST(HERE, "nft delete table inet l");
	MUST(HOP, "nft delete table inet t");
	narrow(false);
}

static void a_dead_path_has_no_mtu_and_limits_hold(void **state)
{
	struct probe *p;
	uint32_t mtu = 4711;
	uint64_t start;

	(void)state;
	need_namespaces();
	p = open_to(peers[0]);
	warm(p);
	MUST(PEER, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
	start = now();
	assert_int_equal(probe_mtu(p, 576, 1500, 150 * MS, &mtu), -ETIMEDOUT);
	assert_true(now() - start < 2 * S);
	assert_int_equal(mtu, 4711);
	assert_int_equal(find_mtu(p, 0, 1500, 20 * S), 0);
	MUST(PEER, "sysctl -qw net.ipv4.icmp_echo_ignore_all=0");
	MUST(HERE, "ip link set a0 down");
	assert_true(probe_mtu(p, 576, 1500, S, &mtu) < 0);
	MUST(HERE, "ip link set a0 up; ip addr replace 2001:db8:1::1/64 dev a0 nodad;"
		   "ip addr replace fe80::a/64 dev a0 nodad;"
		   "ip route replace 198.18.2.0/24 via 198.18.1.2;"
		   "ip route replace 2001:db8:2::/64 via 2001:db8:1::2");
	warm(p);
	probe_close(p);
}
/* ---- bursts ---- */

struct tally {
	unsigned int answered[4], lost[4];
};

static void count(unsigned int index, bool answered, uint64_t rtt_ns, void *arg)
{
	struct tally *t = arg;

	assert_true(index < 4);
	assert_int_equal(answered, rtt_ns != 0);
	if (answered)
		t->answered[index]++;
	else
		t->lost[index]++;
}

static void a_burst_asks_all_at_once(void **state)
{
	static const char *const to[] = {"198.18.2.2", "2001:db8:2::2", "198.18.2.99",
					 "198.18.1.2"};
	struct burst_rules r = {
		.count = 5, .interval_ns = 20 * MS, .timeout_ns = 500 * MS, .limit_ns = 20 * S};
	struct tally t = {0};
	struct probe *p[4];
	uint64_t start;
	int n;

	(void)state;
	need_namespaces();
	for (size_t i = 0; i < 4; i++) {
		p[i] = open_to(to[i]);
		if (i != 2)
			warm(p[i]);
	}
	start = now();
	assert_int_equal(burst_run(p, &r, 4, count, &t), 20);
	assert_in_range(now() - start, 4 * 18 * MS + 500 * MS, 3 * S);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(t.answered[i], i == 2 ? 0 : 5);
		assert_int_equal(t.lost[i], i == 2 ? 5 : 0);
	}
	assert_int_equal(probe_window(p[2])->lost, 5);
	memset(&t, 0, sizeof(t));
	r.limit_ns = 200 * MS;
	r.timeout_ns = 5 * S; /* and so the interval is 104 ms */
	start = now();
	n = burst_run(p, &r, 4, count, &t);
	assert_in_range(n, 3, 9); /* two or three each, of those who answer */
	assert_true(now() - start < 2 * S);
	assert_int_equal(t.lost[2], 0);
	assert_int_equal(burst_run(p, &r, BURST_MAX + 1, count, &t), -EINVAL);
	MUST(HERE, "ip link del a0");
	r = (struct burst_rules){.count = 2, .interval_ns = MS, .timeout_ns = S, .limit_ns = S};
	memset(&t, 0, sizeof(t));
	n = burst_run(p, &r, 2, count, &t);
	assert_int_equal(n, 4);
	assert_int_equal(t.lost[0] + t.lost[1], 4);
	build_here();
	for (size_t i = 0; i < 4; i++)
		probe_close(p[i]);
}
/* ---- what needs no socket ---- */

static void the_round_trip_survives_the_wall_clock(void **state)
{
	static const struct {
		int64_t boot, real, arrived; /* ms since the send; arrived INT64_MIN: not known */
		uint64_t elapsed, rtt;
	} rows[] = {
		{20, 20, 12, 21, 12},	    {20, 20, INT64_MIN, 21, 21}, {20, 3620, 3612, 21, 21},
		{20, -3580, -3588, 21, 21}, {20, -1, 12, 21, 21},	 {5000, 5000, 30, 5000, 30},
		{20, 20, -50, 21, 21},	    {20, 20, 90, 21, 21},	 {20, 20, 0, 21, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct probe_stamp sent = {1000 * S, 2000 * S};
		struct probe_stamp read = {sent.boot + (uint64_t)(rows[i].boot * (int64_t)MS),
					   sent.real + (uint64_t)(rows[i].real * (int64_t)MS)};
		uint64_t arrived = rows[i].arrived == INT64_MIN
					   ? 0
					   : sent.real + (uint64_t)(rows[i].arrived * (int64_t)MS);

		assert_int_equal(probe_rtt(&sent, &read, arrived, rows[i].elapsed * MS),
				 rows[i].rtt ? rows[i].rtt * MS : 1);
	}
}

static void what_is_built_is_read_back(void **state)
{
	static uint8_t icmp[PROBE_MAX], packet[PROBE_MAX + 60];
	struct probe_packet p;

	(void)state;
	for (uint32_t size = 0; size < 3000; size++)
		for (uint8_t family = 4; family <= 6; family += 2) {
			uint32_t least = family == 4 ? 36 : 56, header = family == 4 ? 20 : 0;
			int n = probe_build(family, 0x1234, 0xfffe, UINT64_C(0x1122334455667788),
					    size, icmp);

			if (size < least) {
				assert_int_equal(n, -EINVAL);
				continue;
			}
			assert_int_equal(n, size - (family == 4 ? 20 : 40));
			memset(packet, 0, header);
			packet[0] = 0x45;
			packet[9] = 1;
			packet[12] = 198;
			memcpy(packet + header, icmp, (size_t)n);
			assert_int_equal(probe_parse(family, packet, header + (size_t)n, &p),
					 -EBADMSG); /* a request */
			packet[header] = family == 4 ? 0 : 129;
			if (family == 4)
				sum(packet + header, (size_t)(n & ~1));
			if (family == 4 && n & 1)
				continue;
			assert_int_equal(probe_parse(family, packet, header + (size_t)n, &p), 0);
			assert_int_equal(p.id, 0x1234);
			assert_int_equal(p.seq, 0xfffe);
			assert_true(p.has_nonce && p.nonce == UINT64_C(0x1122334455667788));
			assert_int_equal(p.size, size);
			assert_false(p.too_big);
		}
	assert_int_equal(probe_build(4, 1, 1, 1, PROBE_MAX + 1, icmp), -EMSGSIZE);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_round_trip_survives_the_wall_clock),
		cmocka_unit_test(what_is_built_is_read_back),
		cmocka_unit_test_teardown(an_answer_gives_the_round_trip, restore),
		cmocka_unit_test_teardown(what_cannot_leave_is_lost_at_once, restore),
		cmocka_unit_test_teardown(a_peer_that_is_down_loses_all, restore),
		cmocka_unit_test_teardown(others_pings_do_not_wake_us, restore),
		cmocka_unit_test_teardown(the_mtu_of_a_path_is_found, restore),
		cmocka_unit_test_teardown(loss_does_not_change_the_mtu_found, restore),
		cmocka_unit_test_teardown(a_dead_path_has_no_mtu_and_limits_hold, restore),
		cmocka_unit_test_teardown(a_burst_asks_all_at_once, restore),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
