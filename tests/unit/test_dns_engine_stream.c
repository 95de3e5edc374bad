/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine over TCP, TLS and HTTPS, against servers that answer, and against such as do not.
 */
#include "tests/unit/dns_rig.h"

#define TIMEOUT (400 * MS)

/* ---- what servers do ---- */

static void talk_well(struct rig_tcp *s)
{
	uint8_t query[DNS_QUERY], m[1024];

	if (rig_read_query(s, query) > 0)
		rig_write_framed(s, m, rig_answer(query, GOOD, 60, m));
}

/* Answers to others first, and the right one an octet at a time. */
static void talk_much(struct rig_tcp *s)
{
	uint8_t query[DNS_QUERY], m[1024], framed[1024];
	size_t n;

	if (rig_read_query(s, query) <= 0)
		return;
	n = rig_answer(query, FORGED, 60, m);
	m[0] ^= 1;
	for (int i = 0; i < 100; i++)
		rig_write_framed(s, m, n);
	rig_write_framed(s, m, 0);
	n = rig_answer(query, GOOD, 60, m);
	dns_put16(framed, (unsigned int)n);
	memcpy(framed + 2, m, n);
	for (size_t i = 0; i < n + 2; i++)
		rig_write(s, framed + i, 1);
	rig_read(s, m, 1); /* until the other side has closed */
}

static void talk_not(struct rig_tcp *s)
{
	uint8_t query[DNS_QUERY];

	rig_read_query(s, query);
}

static void talk_half(struct rig_tcp *s)
{
	uint8_t query[DNS_QUERY], m[1024];

	if (rig_read_query(s, query) <= 0)
		return;
	rig_answer(query, GOOD, 60, m);
	rig_write(s, "\0\x80", 2);
	rig_write(s, m, 20);
}

static void talk_slowly(struct rig_tcp *s)
{
	uint8_t query[DNS_QUERY];

	rig_read_query(s, query);
	rig_write(s, "\xff\xff", 2);
	rig_read(s, query, 1);
}

static void talk_plainly(struct rig_tcp *s)
{
	uint8_t hello[64];

	rig_read(s, hello, sizeof(hello));
	rig_write(s, "400 what?\r\n", 11);
	rig_read(s, hello, 1);
}

static void talk_nonsense(struct rig_tcp *s)
{
	uint8_t query[DNS_QUERY], m[1024];
	size_t n;

	if (rig_read_query(s, query) <= 0)
		return;
	n = rig_answer(query, FORGED, 60, m);
	rig_write_framed(s, m, n - 1); /* a whole message that is cut off */
}

static void talk_truncated(struct rig_tcp *s)
{
	uint8_t query[DNS_QUERY], m[1024];
	size_t n;

	if (rig_read_query(s, query) <= 0)
		return;
	n = rig_answer(query, FORGED, 60, m);
	m[2] |= 0x02;
	rig_write_framed(s, m, n);
}

/* ---- TCP ---- */

static void answers_and_failures_over_tcp(void **state)
{
	static const struct {
		const char *what;
		void (*talk)(struct rig_tcp *s);
		enum dns_outcome outcome;
		unsigned int rejected;
	} rows[] = {
		{"answers", talk_well, DNS_ANSWERED, 0},
		{"answers others first", talk_much, DNS_ANSWERED, 101},
		{"closes", talk_not, DNS_CLOSED, 0},
		{"sends half a message", talk_half, DNS_CLOSED, 0},
		{"promises more than it sends", talk_slowly, DNS_TIMEOUT, 0},
		{"sends what is no message", talk_nonsense, DNS_MALFORMED, 1},
		{"says truncated, over TCP", talk_truncated, DNS_MALFORMED, 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_engine *e;
		struct dns_target t;
		struct rig_seen seen;
		struct rig_tcp s;
		unsigned int before = rig_descriptors();

		rig_tcp(&s, rows[i].talk, NULL, 0);
		rig_tcp_go(&s);
		e = rig_engine((struct dns_engine_settings){.timeout_ns = TIMEOUT});
		t = rig_target(INADDR_LOOPBACK, s.port, DNS_TCP);
		rig_ask_one(e, &t, &seen);
		if (seen.last.outcome != rows[i].outcome || seen.rejected != rows[i].rejected ||
		    seen.last.over != DNS_TCP)
			fail_msg("%s: %s, %u", rows[i].what, dns_outcomes[seen.last.outcome],
				 seen.rejected);
		assert_int_equal(seen.forged, 0);
		dns_engine_free(e);
		rig_tcp_end(&s);
		assert_int_equal(rig_descriptors(), before);
	}
}

static void a_port_that_is_closed_to_tcp_says_so(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){0});
	struct dns_target t;
	struct rig_seen seen;
	uint16_t port;

	(void)state;
	close(rig_socket(SOCK_STREAM, INADDR_LOOPBACK, 0, &port));
	t = rig_target(INADDR_LOOPBACK, port, DNS_TCP);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_CLOSED], 1);
	dns_engine_free(e);
}

/* TC, and behind it what would be no message at all. */
static void serve_truncated(struct rig_udp *s, const uint8_t *query, size_t size)
{
	uint8_t m[1024];
	size_t n = rig_answer(query, FORGED, 60, m);

	(void)size;
	m[2] |= 0x02;
	memset(m + DNS_AT_AN, 0xff, 6);
	memset(m + n - 16, 0xff, 16);
	rig_send(s, s->fd, m, n);
}

static void what_is_truncated_is_asked_over_tcp(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){.timeout_ns = TIMEOUT});
	struct dns_target t;
	struct rig_seen seen;
	struct rig_udp u;
	struct rig_tcp s;

	(void)state;
	rig_udp(&u, INADDR_LOOPBACK, serve_truncated);
	rig_tcp(&s, talk_well, NULL, u.port);
	rig_tcp_go(&s);
	t = rig_target(INADDR_LOOPBACK, u.port, DNS_UDP);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_ANSWERED], 1);
	assert_int_equal(seen.address, GOOD);
	assert_int_equal(seen.last.over, DNS_TCP);
	assert_int_equal(u.served, 1);
	assert_int_equal(s.served, 1);
	rig_tcp_end(&s);
	/* and where nobody listens, the answer is not taken after all */
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_CLOSED], 1);
	assert_true(!strncmp(seen.last.why, "truncated; over TCP: ", 21));
	dns_engine_free(e);
	rig_udp_end(&u);
}

/* ---- TLS ---- */

static void only_a_server_that_proves_its_name_is_asked(void **state)
{
	static const struct {
		const char *what, *names, *host;
		long days;
		bool trusted;
		int max_version;
		enum dns_outcome outcome;
		const char *why;
	} rows[] = {
		{"its name", "DNS:dns.example", "dns.example", 5, true, 0, DNS_ANSWERED, ""},
		{"its address", "IP:127.0.0.1", "", 5, true, 0, DNS_ANSWERED, ""},
		{"its address as its name", "IP:127.0.0.1", "127.0.0.1", 5, true, 0, DNS_ANSWERED,
		 ""},
		{"TLS 1.2", "IP:127.0.0.1", "", 5, true, TLS1_2_VERSION, DNS_ANSWERED, ""},
		{"TLS 1.1", "IP:127.0.0.1", "", 5, true, TLS1_1_VERSION, DNS_UNTRUSTED, "TLS: "},
		{"another name", "DNS:dns.example", "dns.example.net", 5, true, 0, DNS_UNTRUSTED,
		 "certificate: hostname mismatch"},
		{"another address", "IP:127.0.0.2", "", 5, true, 0, DNS_UNTRUSTED,
		 "certificate: IP address mismatch"},
		{"a name for an address", "DNS:127.0.0.1", "", 5, true, 0, DNS_UNTRUSTED,
		 "certificate: IP address mismatch"},
		{"expired", "IP:127.0.0.1", "", -5, true, 0, DNS_UNTRUSTED,
		 "certificate: certificate has expired"},
		{"nobody's", "IP:127.0.0.1", "", 5, false, 0, DNS_UNTRUSTED, "certificate: self"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_engine *e;
		struct dns_target t;
		struct rig_cert cert, other;
		struct rig_seen seen;
		struct rig_tcp s;

		rig_cert(&cert, rows[i].names, rows[i].days);
		rig_cert(&other, rows[i].names, 5);
		rig_tcp(&s, talk_well, &cert, 0);
		s.max_version = rows[i].max_version;
		rig_tcp_go(&s);
		e = rig_engine((struct dns_engine_settings){
			.timeout_ns = 2000 * MS,
			.ca_file = rows[i].trusted ? cert.file : other.file});
		t = rig_target(INADDR_LOOPBACK, s.port, DNS_TLS);
		snprintf(t.host, sizeof(t.host), "%s", rows[i].host);
		rig_ask_one(e, &t, &seen);
		if (seen.last.outcome != rows[i].outcome ||
		    strncmp(seen.last.why, rows[i].why, strlen(rows[i].why)) != 0 ||
		    seen.last.over != DNS_TLS)
			fail_msg("%s: %s, %s", rows[i].what, dns_outcomes[seen.last.outcome],
				 seen.last.why);
		dns_engine_free(e);
		rig_tcp_end(&s);
		rig_cert_end(&cert);
		rig_cert_end(&other);
	}
}

static void answers_and_failures_over_tls(void **state)
{
	static const struct {
		const char *what;
		void (*talk)(struct rig_tcp *s);
		enum dns_outcome outcome;
		unsigned int rejected;
	} rows[] = {
		{"answers others first", talk_much, DNS_ANSWERED, 101},
		{"closes", talk_not, DNS_CLOSED, 0},
		{"sends half a message", talk_half, DNS_CLOSED, 0},
		{"promises more than it sends", talk_slowly, DNS_TIMEOUT, 0},
		{"sends what is no message", talk_nonsense, DNS_MALFORMED, 1},
	};
	struct rig_cert cert;

	(void)state;
	rig_cert(&cert, "IP:127.0.0.1", 5);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_engine *e = rig_engine(
			(struct dns_engine_settings){.timeout_ns = TIMEOUT, .ca_file = cert.file});
		struct dns_target t;
		struct rig_seen seen;
		struct rig_tcp s;

		rig_tcp(&s, rows[i].talk, &cert, 0);
		rig_tcp_go(&s);
		t = rig_target(INADDR_LOOPBACK, s.port, DNS_TLS);
		rig_ask_one(e, &t, &seen);
		if (seen.last.outcome != rows[i].outcome || seen.rejected != rows[i].rejected)
			fail_msg("%s: %s, %s", rows[i].what, dns_outcomes[seen.last.outcome],
				 seen.last.why);
		dns_engine_free(e);
		rig_tcp_end(&s);
	}
	rig_cert_end(&cert);
}

static void who_speaks_no_tls_is_not_asked(void **state)
{
	struct dns_engine *e = rig_engine((struct dns_engine_settings){.timeout_ns = TIMEOUT});
	struct dns_target t;
	struct rig_seen seen;
	struct rig_tcp s;

	(void)state;
	rig_tcp(&s, talk_plainly, NULL, 0);
	rig_tcp_go(&s);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_TLS);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_UNTRUSTED], 1);
	assert_true(!strncmp(seen.last.why, "TLS: ", 5));
	dns_engine_free(e);
	rig_tcp_end(&s);
}

static void without_certificates_to_trust_nobody_is_asked(void **state)
{
	struct dns_engine *e =
		rig_engine((struct dns_engine_settings){.ca_file = "/nonexistent/ca.pem"});
	struct dns_target t;
	struct rig_seen seen;
	struct rig_cert cert;
	struct rig_tcp s;

	(void)state;
	rig_cert(&cert, "IP:127.0.0.1", 5);
	rig_tcp(&s, talk_well, &cert, 0);
	rig_tcp_go(&s);
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_TLS);
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_FAILED], 1);
	assert_string_equal(seen.last.why, "the certificates to trust cannot be read");
	assert_int_equal(s.served, 0);
	dns_engine_free(e);
	rig_tcp_end(&s);
	rig_cert_end(&cert);
}

static void a_server_known_by_name_is_looked_up(void **state)
{
	struct dns_engine *e;
	struct dns_target t;
	struct rig_cert cert;
	struct rig_seen seen;
	struct rig_tcp s;

	(void)state;
	rig_cert(&cert, "DNS:localhost", 5);
	rig_tcp(&s, talk_well, &cert, 0);
	rig_tcp_go(&s);
	e = rig_engine((struct dns_engine_settings){.timeout_ns = 4000 * MS, .ca_file = cert.file});
	t = rig_target(INADDR_LOOPBACK, s.port, DNS_TLS);
	t.family = 0;
	memset(t.ip, 0, sizeof(t.ip));
	snprintf(t.host, sizeof(t.host), "localhost");
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_ANSWERED], 1);
	snprintf(t.host, sizeof(t.host), "no-such-host.invalid");
	rig_ask_one(e, &t, &seen);
	assert_int_equal(seen.of[DNS_FAILED] + seen.of[DNS_TIMEOUT], 1);
	dns_engine_free(e);
	rig_tcp_end(&s);
	rig_cert_end(&cert);
}

/* ---- HTTPS ---- */

static void talk_http(struct rig_tcp *s)
{
	uint8_t query[DNS_QUERY], m[1024];
	char head[256], *length;
	size_t n = 0, size;

	while (n < sizeof(s->request) - 1 && !rig_read(s, s->request + n, 1)) {
		s->request[++n] = '\0';
		if (n >= 4 && !strcmp(s->request + n - 4, "\r\n\r\n"))
			break;
	}
	length = strcasestr(s->request, "content-length: ");
	size = length ? strtoul(length + 16, NULL, 10) : 0;
	if (!size || size > sizeof(query) || rig_read(s, query, size))
		return;
	if (query[0] || query[1])
		return; /* the ID shall be 0 */
	n = rig_answer(query, s->status[0] == '2' ? GOOD : FORGED, 60, m);
	if (!strcmp(s->type, "other question")) {
		s->type = "application/dns-message";
		m[13] ^= 1;
	}
	rig_write(s, head,
		  (size_t)snprintf(head, sizeof(head),
				   "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
				   "Connection: close\r\n\r\n",
				   s->status, s->type, n));
	rig_write(s, m, n);
}

static void answers_and_failures_over_https(void **state)
{
	static const struct {
		const char *status, *type, *names;
		enum dns_outcome outcome;
		const char *why;
	} rows[] = {
		{"200 OK", "application/dns-message", "DNS:dns.example", DNS_ANSWERED, ""},
		{"200 OK", "Application/DNS-Message; charset=x", "DNS:dns.example", DNS_ANSWERED,
		 ""},
		{"200 OK", "text/html", "DNS:dns.example", DNS_UNTRUSTED,
		 "HTTP answer of type text/html"},
		{"200 OK", "other question", "DNS:dns.example", DNS_MALFORMED, ""},
		{"503 No", "application/dns-message", "DNS:dns.example", DNS_UNTRUSTED,
		 "HTTP status 503"},
		{"200 OK", "application/dns-message", "DNS:other.example", DNS_UNTRUSTED, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_engine *e;
		struct dns_target t;
		struct rig_cert cert;
		struct rig_seen seen;
		struct rig_tcp s;

		rig_cert(&cert, rows[i].names, 5);
		rig_tcp(&s, talk_http, &cert, 0);
		s.status = rows[i].status;
		s.type = rows[i].type;
		rig_tcp_go(&s);
		e = rig_engine((struct dns_engine_settings){.timeout_ns = 2000 * MS,
							    .ca_file = cert.file});
		t = rig_target(INADDR_LOOPBACK, s.port, DNS_HTTPS);
		snprintf(t.url, sizeof(t.url), "https://dns.example:%u/dns-query", s.port);
		rig_ask_one(e, &t, &seen);
		if (seen.last.outcome != rows[i].outcome || seen.last.over != DNS_HTTPS ||
		    !strstr(seen.last.why, rows[i].why))
			fail_msg("row %zu: %s, %s", i, dns_outcomes[seen.last.outcome],
				 seen.last.why);
		if (seen.last.outcome == DNS_ANSWERED) {
			assert_int_equal(seen.address, GOOD);
			assert_non_null(strstr(s.request, "POST /dns-query HTTP/"));
			assert_non_null(strstr(s.request, "application/dns-message"));
		}
		dns_engine_free(e);
		rig_tcp_end(&s);
		rig_cert_end(&cert);
	}
}

#define ON_LOOP(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_LOOP(answers_and_failures_over_tcp),
		ON_LOOP(a_port_that_is_closed_to_tcp_says_so),
		ON_LOOP(what_is_truncated_is_asked_over_tcp),
		ON_LOOP(only_a_server_that_proves_its_name_is_asked),
		ON_LOOP(answers_and_failures_over_tls),
		ON_LOOP(who_speaks_no_tls_is_not_asked),
		ON_LOOP(without_certificates_to_trust_nobody_is_asked),
		ON_LOOP(a_server_known_by_name_is_looked_up),
		ON_LOOP(answers_and_failures_over_https),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
