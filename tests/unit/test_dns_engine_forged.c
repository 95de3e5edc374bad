/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ten thousand forged answers: to every question a burst of each kind there is, before the true one
 * or with no true one at all.
 */
#include "tests/unit/dns_rig.h"

enum kind {
	WRONG_ID,
	WRONG_NAME,
	WRONG_TYPE,
	WRONG_CLASS,
	WRONG_ADDRESS,
	WRONG_PORT,
	NO_ANSWER_BIT,
	WRONG_OPCODE,
	NO_QUESTION,
	TWO_QUESTIONS,
	CUT_OFF,
	BYTES_BEHIND,
	NOTHING,
	HEADER_ALONE,
	NOISE,
	NOISE_BEHIND_ID,
	NSEC3_UNKNOWN,
	NSEC3_CUT,
	TWO_OPTS,
	TTL_AND_WRONG_ID,
	POINTER_LOOP,
	CNAME_LOOP,
	HUGE_COUNTS,
	TOO_LONG,
	KINDS,
};

#define QUESTIONS 420u /* × 24 kinds > 10,000 */

static int other_address, other_port;
static unsigned int sent_of[KINDS];

static size_t put_rr(uint8_t *m, size_t n, unsigned int type, unsigned int count_at,
		     const void *data, size_t size)
{
	uint8_t rr[12] = {0xc0, 12, (uint8_t)(type >> 8), (uint8_t)type, 0, 1, 0, 0, 0, 60};

	dns_put16(rr + 10, (unsigned int)size);
	memcpy(m + n, rr, sizeof(rr));
	memcpy(m + n + 12, data, size);
	dns_put16(m + count_at, dns_get16(m + count_at) + 1u);
	return n + 12 + size;
}

static size_t put_opt(uint8_t *m, size_t n)
{
	memcpy(m + n, "\0\0\x29\x04\xd0\0\0\0\0\0\0", 11);
	dns_put16(m + DNS_AT_AR, dns_get16(m + DNS_AT_AR) + 1u);
	return n + 11;
}

static void put_noise(uint8_t *m, size_t from, size_t to)
{
	while (from < to)
		m[from++] = (uint8_t)random();
}

/* One of that kind, of what would be the answer but for it. */
static size_t forge(enum kind kind, const uint8_t *query, uint8_t *m)
{
	size_t end = rig_question_end(query), n = rig_answer(query, FORGED, 60, m);

	switch (kind) {
	case WRONG_ID:
		m[random() % 2] ^= (uint8_t)(1 + random() % 255);
		return n;
	case WRONG_NAME:
		m[13] ^= 1;
		return n;
	case WRONG_TYPE:
		m[end - 3] = DNS_AAAA;
		return n;
	case WRONG_CLASS:
		m[end - 1] = 3;
		return n;
	case WRONG_ADDRESS: /* sent from elsewhere */
	case WRONG_PORT:
		return n;
	case NO_ANSWER_BIT:
		m[2] &= 0x7f;
		return n;
	case WRONG_OPCODE:
		m[2] |= 0x28;
		return n;
	case NO_QUESTION:
		m[DNS_AT_QD + 1] = 0;
		return n;
	case TWO_QUESTIONS:
		m[DNS_AT_QD + 1] = 2;
		return n;
	case CUT_OFF:
		return end + (size_t)random() % (n - end);
	case BYTES_BEHIND:
		m[n] = 0;
		return n + 1;
	case NOTHING:
		return 0;
	case HEADER_ALONE:
		return 2 + (size_t)random() % 11;
	case NOISE:
		put_noise(m, 0, 200);
		m[0] = (uint8_t)(query[0] + 1);
		return 200;
	case NOISE_BEHIND_ID:
		put_noise(m, end, 300);
		dns_put16(m + DNS_AT_AN, 5);
		return 300;
	case NSEC3_UNKNOWN:
		return put_rr(m, n, 50, DNS_AT_NS, "\x07\0\0\1\0\4\1\2\3\4", 10);
	case NSEC3_CUT:
		return put_rr(m, n, 50, DNS_AT_NS, "\1\0\0\1\xff\xff", 6);
	case TWO_OPTS:
		return put_opt(m, put_opt(m, n));
	case TTL_AND_WRONG_ID:
		m[1] ^= 1;
		memset(m + end + 6, 0xff, 4);
		return n;
	case POINTER_LOOP:
		dns_put16(m + end, 0xc000 | (unsigned int)end);
		return n;
	case CNAME_LOOP:
		return put_rr(m, n, DNS_CNAME, DNS_AT_AN, "\xc0\x0c", 2);
	case HUGE_COUNTS:
		memset(m + DNS_AT_AN, 0xff, 6);
		return n;
	case TOO_LONG:
		put_noise(m, n, 8000);
		return 8000;
	default:
		fail();
		return 0;
	}
}

/* All kinds in one order or another, then the truth, if the question's number is even. */
static void serve_forged(struct rig_udp *s, const uint8_t *query, size_t size)
{
	uint8_t m[8192];
	unsigned int from = (unsigned int)random() % KINDS, number = query[13] - '0';
	size_t n;

	(void)size;
	for (unsigned int i = 0; i < KINDS; i++) {
		enum kind kind = (from + i) % KINDS;

		n = forge(kind, query, m);
		rig_send(s,
			 kind == WRONG_ADDRESS ? other_address
			 : kind == WRONG_PORT  ? other_port
					       : s->fd,
			 m, n);
		sent_of[kind]++;
	}
	if (number % 2 == 0)
		rig_serve_well(s, query, size);
}

static void ask_under_fire(unsigned int share)
{
	struct rig_seen seen = {.want = QUESTIONS};
	struct dns_engine *e;
	struct dns_target t;
	struct rig_udp s;
	unsigned int sent = 0, descriptors;
	long blocks;

	memset(sent_of, 0, sizeof(sent_of));
	unmake(NULL); /* what the loop itself has is not counted */
	blocks = rig_blocks;
	make(NULL);
	rig_udp(&s, INADDR_LOOPBACK, serve_forged);
	other_address = rig_socket(SOCK_DGRAM, INADDR_LOOPBACK + 1, s.port, NULL);
	other_port = rig_socket(SOCK_DGRAM, INADDR_LOOPBACK, 0, NULL);
	descriptors = rig_descriptors();
	e = rig_engine((struct dns_engine_settings){.tries = 1,
						    .timeout_ns = 700 * MS,
						    .rate = 1000000,
						    .share = share,
						    .in_flight = 64});
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	for (unsigned int i = 0; i < QUESTIONS; i++) {
		struct dns_question q = rig_question("0.example.com");

		q.name[0] = (char)('0' + i % 10);
		assert_int_equal(dns_ask(e, &t, &q, rig_note, &seen), 0);
	}
	assert_int_equal(loop_run(l), 0);
	for (unsigned int i = 0; i < KINDS; i++) {
		assert_int_equal(sent_of[i], QUESTIONS);
		sent += sent_of[i];
	}
	assert_true(sent >= 10000);
	assert_int_equal(seen.forged, 0);
	assert_int_equal(seen.of[DNS_ANSWERED], QUESTIONS / 2);
	assert_int_equal(seen.address, GOOD);
	/* Those without a true answer saw what matched and was no message, and said so. */
	assert_int_equal(seen.of[DNS_MALFORMED], QUESTIONS / 2);
	/* All but those from elsewhere came, and were counted; on a shared socket, by all there. */
	if (share == 1)
		assert_int_equal(seen.rejected, QUESTIONS * (KINDS - 2));
	else
		assert_true(seen.rejected >= QUESTIONS * (KINDS - 2));
	dns_engine_free(e);
	assert_int_equal(rig_descriptors(), descriptors);
	rig_udp_end(&s);
	close(other_address);
	close(other_port);
	unmake(NULL);
	assert_int_equal(rig_blocks, blocks);
	make(NULL);
}

static void of_ten_thousand_forged_answers_none_is_accepted(void **state)
{
	(void)state;
	srandom(1);
	ask_under_fire(1);
}

static void nor_where_questions_share_a_socket(void **state)
{
	(void)state;
	srandom(2);
	ask_under_fire(4); /* more would overflow the socket's buffer */
}

static void serve_long_ttl(struct rig_udp *s, const uint8_t *query, size_t size)
{
	uint8_t m[1024];

	(void)size;
	rig_send(s, s->fd, m, rig_answer(query, GOOD, 0x80000001, m));
}

static void a_ttl_that_cannot_be_is_taken_for_zero(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){0});
	struct dns_target t;
	struct rig_seen seen;
	struct rig_udp s;

	(void)state;
	rig_udp(&s, INADDR_LOOPBACK, serve_long_ttl);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_UDP);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_ANSWERED], 1);
	assert_int_equal(seen.ttl, 0);
	dns_engine_free(e);
	rig_udp_end(&s);
}

/* Answers of other questions without end: others go on, and time is kept. */
static void serve_flood(struct rig_udp *s, const uint8_t *query, size_t size)
{
	uint8_t m[1024];
	size_t n = rig_answer(query, FORGED, 60, m);

	(void)size;
	m[0] ^= 0x55;
	for (int i = 0; i < 20000; i++)
		sendto(s->fd, m, n, MSG_DONTWAIT, (struct sockaddr *)&s->from, s->from_size);
}

static void a_flood_of_forgeries_keeps_no_other_question_waiting(void **state)
{
	struct dns_engine *e =
		rig_engine((struct dns_engine_settings){.tries = 1, .timeout_ns = 1000 * MS});
	struct dns_question q = rig_question("www.example.com");
	struct rig_seen flooded = {.want = 1}, fine = {0};
	struct dns_target t;
	struct rig_udp bad, good;

	(void)state;
	rig_udp(&bad, INADDR_LOOPBACK, serve_flood);
	rig_udp(&good, INADDR_LOOPBACK, rig_serve_well);
	t = rig_target(INADDR_LOOPBACK, bad.port, DNS_UDP);
	assert_int_equal(dns_ask(e, &t, &q, rig_note, &flooded), 0);
	t = rig_target(INADDR_LOOPBACK, good.port, DNS_UDP);
	assert_int_equal(dns_ask(e, &t, &q, rig_note, &fine), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(flooded.of[DNS_TIMEOUT], 1);
	assert_true(flooded.rejected > 0);
	assert_true(strstr(flooded.last.why, "not to this question"));
	assert_int_equal(fine.of[DNS_ANSWERED], 1);
	assert_true(fine.ended < flooded.ended);
	dns_engine_free(e);
	rig_udp_end(&bad);
	rig_udp_end(&good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(of_ten_thousand_forged_answers_none_is_accepted,
						make, unmake),
		cmocka_unit_test_setup_teardown(nor_where_questions_share_a_socket, make, unmake),
		cmocka_unit_test_setup_teardown(a_ttl_that_cannot_be_is_taken_for_zero, make,
						unmake),
		cmocka_unit_test_setup_teardown(
			a_flood_of_forgeries_keeps_no_other_question_waiting, make, unmake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
