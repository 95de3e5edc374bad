/* SPDX-License-Identifier: GPL-2.0-only */
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/dns_rig.h"

/* ---- the rate, alone ---- */

static void a_bucket_lets_through_what_its_rate_allows(void **state)
{
	static const struct {
		unsigned int rate;
		uint64_t every_ms; /* how often it is asked */
		unsigned int seconds, let;
	} rows[] = {
		{50, 1, 1, 50 + 49},			 /* the burst, and one second's worth */
		{50, 1, 3, 50 + 149},  {50, 20, 3, 150}, /* never faster than the rate: all */
		{50, 10, 3, 50 + 149}, {1, 100, 10, 1 + 9}, {1000, 1, 2, 2000},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t bucket = 0, start = 5000000 * MS, at = 0;
		unsigned int let = 0;

		for (uint64_t now = start; now < start + rows[i].seconds * 1000 * MS;
		     now += rows[i].every_ms * MS) {
			if (dns_bucket_take(&bucket, now, rows[i].rate, &at)) {
				let++;
				continue;
			}
			assert_true(at > now && at <= now + 1000 * MS);
			/* not before that, and then surely */
			uint64_t early = bucket, late = bucket, ignored;

			assert_false(dns_bucket_take(&early, at - 1, rows[i].rate, &ignored));
			assert_true(dns_bucket_take(&late, at, rows[i].rate, &ignored));
		}
		if (let != rows[i].let)
			fail_msg("row %zu: %u of %u", i, let, rows[i].let);
	}
}

/* ---- one question ---- */

static void an_answer_comes_with_its_time_and_its_bytes(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){0});
	struct dns_target t;
	struct rig_seen seen;
	struct rig_udp s;

	(void)state;
	rig_udp(&s, INADDR_LOOPBACK, rig_serve_well);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_ANSWERED], 1);
	assert_int_equal(seen.address, GOOD);
	assert_int_equal(seen.tries, 1);
	assert_int_equal(seen.rejected, 0);
	assert_int_equal(seen.last.over, DNS_UDP);
	assert_true(seen.last.received - seen.last.sent < 500 * MS);
	assert_int_equal(seen.last.size, 12 + 17 + 4 + 16);
	dns_engine_free(e);
	rig_udp_end(&s);
}

static void over_ipv6_as_over_ipv4(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){0});
	struct dns_target t = {.transport = DNS_UDP, .family = 6, .ip = {0, 0, 0, htonl(1)}};
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t size = sizeof(at);
	struct rig_udp s = {.serve = rig_serve_well};
	struct rig_seen seen;

	(void)state;
	s.fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s.fd < 0 || bind(s.fd, (struct sockaddr *)&at, sizeof(at))) {
		print_message("skipped: this host has no ::1\n");
		skip();
	}
	assert_int_equal(getsockname(s.fd, (struct sockaddr *)&at, &size), 0);
	assert_int_equal(loop_watch(l, s.fd, LOOP_READ, rig_on_query, &s), 0);
	t.port = ntohs(at.sin6_port);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_ANSWERED], 1);
	dns_engine_free(e);
	rig_udp_end(&s);
}

static void a_closed_port_ends_the_question_at_once(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){0});
	struct dns_target t;
	uint16_t port;
	struct rig_seen seen;
	uint64_t start = loop_now();

	(void)state;
	close(rig_socket(SOCK_DGRAM, INADDR_LOOPBACK, 0, &port));
	t = rig_target(INADDR_LOOPBACK, port, DNS_UDP);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_CLOSED], 1);
	assert_int_equal(seen.last.err, -ECONNREFUSED);
	assert_true(loop_now() - start < 1000 * MS);
	dns_engine_free(e);
}

static void names_that_cannot_be_are_not_asked(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){0});
	struct dns_target t = rig_target(INADDR_LOOPBACK, 53, DNS_UDP);
	struct dns_question q = {.name = "a..b.", .type = DNS_A};

	(void)state;
	assert_int_equal(dns_ask(e, &t, &q, rig_note, NULL), -EINVAL);
	assert_int_equal(dns_engine_busy(e), 0);
	dns_engine_free(e);
}

/* In a network namespace that has no way anywhere. */
static void a_host_without_a_route_says_so(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (!child) {
		static const enum dns_transport transports[] = {DNS_UDP, DNS_TCP, DNS_TLS};
		struct dns_engine *e;
		int wrong = 0;

		if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
			_exit(77);
		loop_free(l); /* its epoll is the parent's, too */
		if (loop_make(&l))
			_exit(1);
		e = rig_engine((struct dns_engine_settings){0});
		for (size_t i = 0; i < COUNT(transports); i++) {
			struct dns_target t = rig_target(0xc6336401, 53, transports[i]);
			struct rig_seen seen;

			rig_ask_one(e, &t, &seen);
			wrong += seen.of[DNS_NO_ROUTE] != 1;
			t.family = 6;
			memcpy(t.ip, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
			rig_ask_one(e, &t, &seen);
			wrong += seen.of[DNS_NO_ROUTE] != 1;
		}
		_exit(wrong);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skipped: no network namespace may be made here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- tries ---- */

static struct {
	unsigned int n;
	uint16_t id[8], port[8];
	uint64_t at[8];
} asked;

static void serve_third(struct rig_udp *s, const uint8_t *query, size_t size)
{
	assert_true(asked.n < COUNT(asked.id));
	asked.id[asked.n] = dns_get16(query);
	asked.port[asked.n] = ((struct sockaddr_in *)&s->from)->sin_port;
	asked.at[asked.n] = loop_now();
	if (++asked.n == 3)
		rig_serve_well(s, query, size);
}

static void what_is_lost_is_asked_again_with_another_id_and_port(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){.timeout_ns = 60 * MS});
	struct dns_target t;
	struct rig_seen seen;
	struct rig_udp s;

	(void)state;
	memset(&asked, 0, sizeof(asked));
	rig_udp(&s, INADDR_LOOPBACK, serve_third);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_ANSWERED], 1);
	assert_int_equal(seen.tries, 3);
	assert_int_equal(asked.n, 3);
	/* each wait is twice the last, and the RTT is that of the last try alone */
	assert_true(asked.at[1] - asked.at[0] >= 60 * MS);
	assert_true(asked.at[2] - asked.at[1] >= 120 * MS);
	assert_true(seen.last.received - seen.last.sent < 60 * MS);
	assert_false(asked.id[0] == asked.id[1] && asked.id[1] == asked.id[2]);
	assert_false(asked.port[0] == asked.port[1] && asked.port[1] == asked.port[2]);
	dns_engine_free(e);
	rig_udp_end(&s);
}

static void serve_nothing(struct rig_udp *s, const uint8_t *query, size_t size)
{
	(void)s;
	(void)query;
	(void)size;
}

static void who_does_not_answer_is_given_up_after_its_tries(void **state)
{
	struct dns_engine *e =
		rig_engine((struct dns_engine_settings){.timeout_ns = 20 * MS, .tries = 4});
	struct dns_target t;
	struct rig_seen seen;
	struct rig_udp s;
	uint64_t start = loop_now();

	(void)state;
	rig_udp(&s, INADDR_LOOPBACK, serve_nothing);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_TIMEOUT], 1);
	assert_int_equal(seen.last.err, -ETIMEDOUT);
	assert_int_equal(s.served, 4);
	assert_true(loop_now() - start >= (20 + 40 + 80 + 160) * MS);
	dns_engine_free(e);
	rig_udp_end(&s);
}

static uint16_t ids[1000], ports[1000];

static void serve_noting(struct rig_udp *s, const uint8_t *query, size_t size)
{
	ids[s->served - 1] = dns_get16(query);
	ports[s->served - 1] = ntohs(((struct sockaddr_in *)&s->from)->sin_port);
	rig_serve_well(s, query, size);
}

static int by_number(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

static unsigned int different(uint16_t *list, unsigned int n)
{
	unsigned int d = 1;

	qsort(list, n, sizeof(*list), by_number);
	for (unsigned int i = 1; i < n; i++)
		d += list[i] != list[i - 1];
	return d;
}

static void ids_and_ports_cannot_be_foretold(void **state)
{
	struct dns_engine *e =
		rig_engine((struct dns_engine_settings){.rate = 1000000, .in_flight = 50});
	struct dns_question q = rig_question("www.example.com");
	struct rig_seen seen = {.want = COUNT(ids)};
	unsigned int in_order = 0, near = 0;
	struct dns_target t;
	struct rig_udp s;

	(void)state;
	rig_udp(&s, INADDR_LOOPBACK, serve_noting);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	for (size_t i = 0; i < COUNT(ids); i++)
		assert_int_equal(dns_ask(e, &t, &q, rig_note, &seen), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(seen.of[DNS_ANSWERED], COUNT(ids));
	for (size_t i = 1; i < COUNT(ids); i++) {
		in_order += ids[i] > ids[i - 1];
		near += abs(ports[i] - ports[i - 1]) < 16;
	}
	/* of random ones, half are in order (sd 16), 993 differ (sd 3), and one in 900 ports is
	 * near */
	assert_in_range(in_order, 400, 600);
	assert_true(near < 20);
	assert_true(different(ids, COUNT(ids)) > 970);
	assert_true(different(ports, COUNT(ports)) > 940);
	dns_engine_free(e);
	rig_udp_end(&s);
}

/* ---- many ---- */

static void the_rate_holds_for_each_target_alone(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){.rate = 50});
	struct rig_seen many = {.want = 60}, other = {0};
	struct dns_question q = rig_question("www.example.com");
	struct dns_target t, u;
	uint64_t start;
	struct rig_udp s, v = {.serve = rig_serve_well};

	(void)state;
	rig_udp(&s, INADDR_LOOPBACK, rig_serve_well);
	v.fd = rig_socket(SOCK_DGRAM, INADDR_LOOPBACK + 1, 0, &v.port);
	assert_int_equal(loop_watch(l, v.fd, LOOP_READ, rig_on_query, &v), 0);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	u = rig_target(INADDR_LOOPBACK + 1, v.port, DNS_UDP);
	for (int i = 0; i < 60; i++)
		assert_int_equal(dns_ask(e, &t, &q, rig_note, &many), 0);
	assert_int_equal(dns_ask(e, &u, &q, rig_note, &other), 0);
	start = loop_now();
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(many.of[DNS_ANSWERED], 60);
	assert_true(many.ended - start >= 195 * MS); /* 50 at once, and ten at 20 ms each */
	assert_int_equal(other.of[DNS_ANSWERED], 1);
	assert_true(other.ended - start < 150 * MS);
	dns_engine_free(e);
	rig_udp_end(&s);
	rig_udp_end(&v);
}

/* Answers later, so that questions pile up. */
struct later {
	struct loop_timer timer;
	struct rig_udp *server;
	struct sockaddr_in from;
	struct in_addr to;
	size_t size;
	uint8_t m[512];
};

static unsigned int pending, most_pending;

static void answer_late(void *arg, uint64_t now)
{
	struct later *x = arg;

	(void)now;
	pending--;
	rig_send_from(x->server, x->to, &x->from, x->m, x->size);
	free(x);
}

static void serve_after(struct rig_udp *s, const uint8_t *query, uint64_t delay)
{
	struct later *x = calloc(1, sizeof(*x));

	x->server = s;
	x->to = s->to;
	memcpy(&x->from, &s->from, sizeof(x->from));
	x->size = rig_answer(query, GOOD, 60, x->m);
	if (++pending > most_pending)
		most_pending = pending;
	assert_int_equal(loop_timer_set(l, &x->timer, loop_now() + delay, answer_late, x), 0);
}

static void serve_slowly(struct rig_udp *s, const uint8_t *query, size_t size)
{
	(void)size;
	serve_after(s, query, 20 * MS);
}

static void no_more_are_in_flight_than_allowed(void **state)
{
	struct dns_engine *e =
		rig_engine((struct dns_engine_settings){.rate = 1000, .in_flight = 7});
	struct dns_question q = rig_question("www.example.com");
	struct rig_seen seen = {.want = 50};
	unsigned int before = rig_descriptors();
	struct dns_target t;
	struct rig_udp s;

	(void)state;
	pending = most_pending = 0;
	rig_udp(&s, INADDR_LOOPBACK, serve_slowly);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	for (int i = 0; i < 50; i++)
		assert_int_equal(dns_ask(e, &t, &q, rig_note, &seen), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(seen.of[DNS_ANSWERED], 50);
	assert_int_equal(most_pending, 7);
	rig_udp_end(&s);
	assert_int_equal(rig_descriptors(), before);
	dns_engine_free(e);
}

/* A process that has room for a few sockets only: all are asked, in turn. */
static void without_descriptors_questions_wait_for_one(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (!child) {
		struct dns_question q = rig_question("www.example.com");
		struct rig_seen seen = {.want = 100};
		struct dns_engine *e;
		struct dns_target t;
		struct rig_udp s;
		struct rlimit limit;

		pending = most_pending = 0;
		rig_udp(&s, INADDR_LOOPBACK, serve_slowly);
		limit.rlim_cur = limit.rlim_max = (rlim_t)s.fd + 1 + 10;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			_exit(2);
		e = rig_engine((struct dns_engine_settings){.rate = 1000, .tries = 1});
		t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
		for (int i = 0; i < 100; i++)
			if (dns_ask(e, &t, &q, rig_note, &seen))
				_exit(3);
		if (loop_run(l) || seen.of[DNS_ANSWERED] != 100)
			_exit(4);
		_exit(most_pending > 10 ? 5 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* 1,000 resolvers at 127.x.y.z: one in ten is dead, the others take 1 to 400 ms. */
#define RESOLVERS 1000u

static uint32_t resolver(unsigned int i)
{
	return 0x7f000000u | (1 + i % 7) << 16 | (1 + i / 250) << 8 | (1 + i % 250);
}

static void serve_world(struct rig_udp *s, const uint8_t *query, size_t size)
{
	unsigned int z = ntohl(s->to.s_addr) & 0xff;

	(void)size;
	if (z % 10)
		serve_after(s, query, (1 + z * 400 / 250) * MS);
}

static void a_thousand_resolvers_take_one_timeout_and_the_slowest_rtt(void **state)
{
	struct dns_engine *e;
	struct dns_question q = rig_question("www.example.com");
	struct rig_seen seen = {.want = RESOLVERS};
	uint64_t start, took, timeout = 800 * MS;
	struct rig_udp s;

	(void)state;
	pending = most_pending = 0;
	rig_udp(&s, 0, serve_world);
	e = rig_engine((struct dns_engine_settings){.tries = 1, .timeout_ns = timeout});
	start = loop_now();
	for (unsigned int i = 0; i < RESOLVERS; i++) {
		struct dns_target t = rig_target(resolver(i), s.port, DNS_UDP);

		assert_int_equal(dns_ask(e, &t, &q, rig_note, &seen), 0);
	}
	assert_int_equal(loop_run(l), 0);
	took = seen.ended - start;
	print_message("%u resolvers in %u ms, the slowest healthy one in %u ms\n", seen.done,
		      (unsigned int)(took / MS), (unsigned int)(seen.slowest / MS));
	assert_int_equal(seen.of[DNS_ANSWERED], RESOLVERS * 9 / 10);
	assert_int_equal(seen.of[DNS_TIMEOUT], RESOLVERS / 10);
	assert_true(took >= timeout);
	assert_true(took < timeout + seen.slowest);
	dns_engine_free(e);
	rig_udp_end(&s);
}

/* ---- callers ---- */

static struct {
	struct dns_engine *e;
	struct dns_target t;
	unsigned int left;
} again;

static void ask_again(void *arg, const struct dns_result *r)
{
	struct dns_question q = *r->question;

	rig_note(arg, r);
	if (again.left) {
		again.left--;
		assert_int_equal(dns_ask(again.e, &again.t, &q, ask_again, arg), 0);
	}
}

static void a_callback_may_ask_the_next(void **state)
{
	struct dns_question q = rig_question("www.example.com");
	struct rig_seen seen = {.want = 101};
	struct rig_udp s;
	uint16_t closed;

	(void)state;
	rig_udp(&s, INADDR_LOOPBACK, rig_serve_well);
	again.e = rig_engine((struct dns_engine_settings){.rate = 1000});
	again.t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	again.left = 100;
	assert_int_equal(dns_ask(again.e, &again.t, &q, ask_again, &seen), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(seen.of[DNS_ANSWERED], 101);
	/* also where each ends before it began */
	close(rig_socket(SOCK_DGRAM, INADDR_LOOPBACK, 0, &closed));
	again.t.ip[3] = 0xffffffff;
	again.left = 100;
	seen = (struct rig_seen){.want = 101};
	assert_int_equal(dns_ask(again.e, &again.t, &q, ask_again, &seen), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(seen.of[DNS_NO_ROUTE], 101);
	dns_engine_free(again.e);
	rig_udp_end(&s);
}

static void fail_if_called(void *arg, const struct dns_result *r)
{
	(void)arg;
	fail_msg("%s", r->why);
}

static void freed_with_questions_on_their_way_it_leaves_nothing(void **state)
{
	static const unsigned int shares[] = {1, 8};
	struct dns_question q = rig_question("www.example.com");
	struct dns_engine *e;
	struct rig_udp s;
	uint16_t listening;
	int fd = rig_socket(SOCK_STREAM, INADDR_LOOPBACK, 0, &listening);

	(void)state;
	assert_int_equal(listen(fd, 4), 0);
	rig_udp(&s, INADDR_LOOPBACK, serve_nothing);
	run_for(1 * MS); /* the loop has room for timers then */
	for (size_t i = 0; i < COUNT(shares); i++) {
		struct dns_target t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
		unsigned int before = rig_descriptors();
		long blocks = rig_blocks;

		e = rig_engine((struct dns_engine_settings){.in_flight = 50, .share = shares[i]});
		for (int k = 0; k < 100; k++)
			assert_int_equal(dns_ask(e, &t, &q, fail_if_called, NULL), 0);
		t.transport = DNS_TCP; /* connected, and nobody reads */
		t.port = listening;
		assert_int_equal(dns_ask(e, &t, &q, fail_if_called, NULL), 0);
		run_for(30 * MS);
		assert_int_equal(dns_engine_busy(e), 101);
		dns_engine_free(e);
		assert_int_equal(rig_descriptors(), before);
		assert_int_equal(rig_blocks, blocks);
		run_for(10 * MS);
	}
	dns_engine_free(NULL);
	rig_udp_end(&s);
	close(fd);
}

static void questions_that_share_a_socket_get_their_own_answers(void **state)
{
	struct dns_engine *e = rig_engine(
		(struct dns_engine_settings){.rate = 1000000, .share = 64, .in_flight = 256});
	struct dns_question q = rig_question("www.example.com");
	struct rig_seen seen = {.want = COUNT(ids)};
	struct dns_target t;
	struct rig_udp s;

	(void)state;
	rig_udp(&s, INADDR_LOOPBACK, serve_noting);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	for (size_t i = 0; i < COUNT(ids); i++)
		assert_int_equal(dns_ask(e, &t, &q, rig_note, &seen), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(seen.of[DNS_ANSWERED], COUNT(ids));
	assert_int_equal(seen.rejected, 0);
	assert_int_equal(s.served, COUNT(ids));
	assert_in_range(different(ports, COUNT(ports)), 2, COUNT(ports) / 8);
	dns_engine_free(e);
	rig_udp_end(&s);
}

static void a_closed_port_ends_all_that_share_a_socket(void **state)
{
	struct dns_engine *e = rig_engine(
		(struct dns_engine_settings){.rate = 1000000, .share = 8, .in_flight = 20});
	struct dns_question q = rig_question("www.example.com");
	struct rig_seen seen = {.want = 50};
	unsigned int before = rig_descriptors();
	struct dns_target t;
	uint16_t port;

	(void)state;
	close(rig_socket(SOCK_DGRAM, INADDR_LOOPBACK, 0, &port));
	t = rig_target(INADDR_LOOPBACK, port, DNS_UDP);
	for (int i = 0; i < 50; i++)
		assert_int_equal(dns_ask(e, &t, &q, rig_note, &seen), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(seen.of[DNS_CLOSED], 50);
	assert_string_equal(seen.last.why, "the port is closed");
	assert_int_equal(rig_descriptors(), before);
	dns_engine_free(e);
}

#define ON_LOOP(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_lets_through_what_its_rate_allows),
		ON_LOOP(an_answer_comes_with_its_time_and_its_bytes),
		ON_LOOP(over_ipv6_as_over_ipv4),
		ON_LOOP(a_closed_port_ends_the_question_at_once),
		ON_LOOP(names_that_cannot_be_are_not_asked),
		ON_LOOP(a_host_without_a_route_says_so),
		ON_LOOP(what_is_lost_is_asked_again_with_another_id_and_port),
		ON_LOOP(who_does_not_answer_is_given_up_after_its_tries),
		ON_LOOP(ids_and_ports_cannot_be_foretold),
		ON_LOOP(the_rate_holds_for_each_target_alone),
		ON_LOOP(no_more_are_in_flight_than_allowed),
		ON_LOOP(without_descriptors_questions_wait_for_one),
		ON_LOOP(a_thousand_resolvers_take_one_timeout_and_the_slowest_rtt),
		ON_LOOP(a_callback_may_ask_the_next),
		ON_LOOP(freed_with_questions_on_their_way_it_leaves_nothing),
		ON_LOOP(questions_that_share_a_socket_get_their_own_answers),
		ON_LOOP(a_closed_port_ends_all_that_share_a_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
