/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers and errors that somebody made up do not count (tests/unit/probe_rig.h).
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "tests/unit/probe_rig.h"

static int raw_in(int which, int family)
{
	int fd;

	enter(which);
	fd = socket(family, SOCK_RAW, family == AF_INET ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	enter(HERE);
	assert_true(fd >= 0);
	return fd;
}

struct forger {
	int family;
	int peer, hop;	      /* raw sockets there */
	uint8_t request[256]; /* the last, from its ICMP header */
	size_t size;
};

static struct forger forger(size_t i)
{
	struct forger f = {.family = i ? AF_INET6 : AF_INET};

	MUST(PEER, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1 net.ipv6.icmp.echo_ignore_all=1");
	f.peer = raw_in(PEER, f.family);
	f.hop = raw_in(HOP, f.family);
	return f;
}

static void forger_end(struct forger *f)
{
	close(f->peer);
	close(f->hop);
	MUST(PEER, "sysctl -qw net.ipv4.icmp_echo_ignore_all=0 net.ipv6.icmp.echo_ignore_all=0");
}

/* The next request that reaches the peer. */
static void overhear(struct forger *f)
{
	size_t header = f->family == AF_INET ? 20 : 0;

	for (;;) {
		struct pollfd fd = {.fd = f->peer, .events = POLLIN};
		uint8_t packet[512];
		ssize_t n;

		assert_int_equal(poll(&fd, 1, 3000), 1);
		n = recv(f->peer, packet, sizeof(packet), 0);
		if (n < (ssize_t)header + 16 || packet[header] != (f->family == AF_INET ? 8 : 128))
			continue;
		f->size = (size_t)n - header;
		assert_true(f->size <= sizeof(f->request));
		memcpy(f->request, packet + header, f->size);
		return;
	}
}

static void send_here(const struct forger *f, int from, uint8_t *icmp, size_t n, bool wrong_sum)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	inet_pton(AF_INET, "198.18.1.1", &v4.sin_addr);
	inet_pton(AF_INET6, "2001:db8:1::1", &v6.sin6_addr);
	sum(icmp, n);
	icmp[2] ^= wrong_sum;
	if (f->family == AF_INET)
		assert_int_equal(sendto(from, icmp, n, 0, (struct sockaddr *)&v4, sizeof(v4)), n);
	else
		assert_int_equal(sendto(from, icmp, n, 0, (struct sockaddr *)&v6, sizeof(v6)), n);
}

static void forged_answers_do_not_count(void **state)
{
	static const struct {
		const char *what;
		unsigned int at; /* this byte of the ICMP message is another one */
		int longer;
		bool from_hop, wrong_sum, v4_only;
	} rows[] = {
		{"another identifier", 4, 0, false, false, false},
		{"another sequence number", 7, 0, false, false, false},
		{"one that was never sent", 6, 0, false, false, false},
		{"another nonce", 8, 0, false, false, false},
		{"another nonce at its end", 15, 0, false, false, false},
		{"a code", 1, 0, false, false, false},
		{"from another host", 0, 0, true, false, false},
		{"cut behind the nonce", 0, -48, false, false, false},
		{"cut in the nonce", 0, -52, false, false, false},
		{"cut behind the header", 0, -56, false, false, false},
		{"too long", 0, 8, false, false, false},
		{"a wrong checksum", 0, 0, false, true, true}, /* the kernel mends IPv6's */
	};

	(void)state;
	need_namespaces();
	for (size_t i = 0; i < COUNT(peers); i++) {
		struct probe *p = open_to(peers[i]);
		struct forger f;
		struct probe_event e;
		uint8_t icmp[256];

		warm(p);
		f = forger(i);
		assert_int_equal(probe_send(p, now()), 0);
		overhear(&f);
		for (size_t j = 0; j < COUNT(rows); j++) {
			uint64_t answered = probe_window(p)->answered;

			if (rows[j].v4_only && i)
				continue;
			memset(icmp, 0, sizeof(icmp));
			memcpy(icmp, f.request, f.size);
			icmp[0] = i ? 129 : 0;
			if (rows[j].at)
				icmp[rows[j].at] ^= 0x40;
			send_here(&f, rows[j].from_hop ? f.hop : f.peer, icmp,
				  (size_t)((int)f.size + rows[j].longer), rows[j].wrong_sum);
			if (wait_event(p, 40, &e) || probe_window(p)->answered != answered)
				fail_msg("%s: %s counted", peers[i], rows[j].what);
		}
		assert_int_equal(probe_window(p)->duplicates, 0);
		memcpy(icmp, f.request, f.size);
		icmp[0] = i ? 129 : 0;
		send_here(&f, f.peer, icmp, f.size, false);
		assert_int_equal(wait_event(p, 2000, &e), 1); /* the true one */
		send_here(&f, f.peer, icmp, f.size, false);
		assert_int_equal(wait_event(p, 40, &e), 0);
		assert_int_equal(probe_window(p)->duplicates, 1);
		assert_int_equal(probe_send(p, now()), 0);
		overhear(&f);
		assert_int_equal(probe_expire(p, now() + S, S), 1);
		memcpy(icmp, f.request, f.size);
		icmp[0] = i ? 129 : 0;
		send_here(&f, f.peer, icmp, f.size, false);
		assert_int_equal(wait_event(p, 40, &e), 0);
		assert_int_equal(probe_window(p)->late, 1);
		forger_end(&f);
		probe_close(p);
	}
}

/* An error that a hop would send about the request overheard. */
static size_t too_big(const struct forger *f, uint32_t mtu, uint32_t size, size_t quoted,
		      uint8_t icmp[256])
{
	size_t header = f->family == AF_INET ? 20 : 40;
	uint8_t *ip = icmp + 8;

	memset(icmp, 0, 256);
	if (f->family == AF_INET) {
		icmp[0] = 3;
		icmp[1] = 4;
		ip[0] = 0x45;
		ip[2] = (uint8_t)(size >> 8);
		ip[3] = (uint8_t)size;
		ip[9] = 1;
		inet_pton(AF_INET, "198.18.1.1", ip + 12);
		inet_pton(AF_INET, peers[0], ip + 16);
	} else {
		icmp[0] = 2;
		ip[0] = 0x60;
		ip[6] = 58;
		inet_pton(AF_INET6, "2001:db8:1::1", ip + 8);
		inet_pton(AF_INET6, peers[1], ip + 24);
	}
	icmp[6] = (uint8_t)(mtu >> 8);
	icmp[7] = (uint8_t)mtu;
	memcpy(ip + header, f->request, quoted);
	return 8 + header + quoted;
}

static void forged_too_bigs_do_not_count(void **state)
{
	static const struct {
		const char *what;
		unsigned int at; /* in the quoted ICMP message */
		unsigned int quoted;
		uint32_t mtu;
	} rows[] = {
		{"another identifier", 4, 8, 100}, {"another sequence number", 7, 8, 100},
		{"another nonce", 9, 16, 100},	   {"not about an echo", 0, 8, 100},
		{"nothing smaller", 0, 8, 200},
	};

	(void)state;
	need_namespaces();
	for (size_t i = 0; i < COUNT(peers); i++) {
		struct probe *p = open_to(peers[i]);
		size_t header = i ? 40 : 20, n;
		struct probe_event e;
		uint8_t icmp[256];
		struct forger f;
		uint16_t seq;

		warm(p);
		f = forger(i);
		assert_int_equal(probe_send_sized(p, 200, now(), &seq), 0);
		overhear(&f);
		for (size_t j = 0; j < COUNT(rows); j++) {
			n = too_big(&f, rows[j].mtu, 200, rows[j].quoted, icmp);
			if (rows[j].mtu < 200)
				icmp[8 + header + rows[j].at] ^= 0x40;
			send_here(&f, f.hop, icmp, n, false);
			if (wait_event(p, 40, &e))
				fail_msg("%s: %s counted", peers[i], rows[j].what);
		}
		n = too_big(&f, 100, 200, 8, icmp);
		if (!i)
			icmp[8 + 19] ^= 1; /* for another host */
		else
			icmp[8 + 39] ^= 1;
		send_here(&f, f.hop, icmp, n, false);
		assert_int_equal(wait_event(p, 40, &e), 0);
		/* The true one, of a hop that quotes as little as it may; once. */
		n = too_big(&f, 100, 200, 8, icmp);
		send_here(&f, f.hop, icmp, n, false);
		assert_int_equal(wait_event(p, 2000, &e), 1);
		assert_int_equal(e.seq, seq);
		assert_int_equal(e.size, 200);
		assert_int_equal(e.mtu, 100);
		send_here(&f, f.hop, icmp, n, false);
		assert_int_equal(wait_event(p, 40, &e), 0);
		/* One that does not tell how much. */
		assert_int_equal(probe_send_sized(p, 200, now(), &seq), 0);
		overhear(&f);
		n = too_big(&f, 0, 200, 8, icmp);
		send_here(&f, f.hop, icmp, n, false);
		assert_int_equal(wait_event(p, 2000, &e), 1);
		assert_int_equal(e.mtu, 199);
		/* What was not sized cannot be too big. */
		assert_int_equal(probe_send(p, now()), 0);
		overhear(&f);
		n = too_big(&f, 50, 84, 8, icmp);
		send_here(&f, f.hop, icmp, n, false);
		assert_int_equal(wait_event(p, 40, &e), 0);
		forger_end(&f);
		probe_close(p);
	}
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(forged_answers_do_not_count, restore),
		cmocka_unit_test_teardown(forged_too_bigs_do_not_count, restore),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
