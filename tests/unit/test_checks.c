/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Health checks as they are asked, against servers that behave as badly as servers do, and the
 * runner with the old arm. What it writes into the kernel is tested end to end (77-health).
 */
#include "tests/unit/http_rig.h"
#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/conf/config.h"
#include "userspace/ctl/ask.h"
#include "userspace/ctl/checks.h"
#include "userspace/net/http.h"

#define MS 1000000ull

static struct rig plain, tls;
static char ca_file[64];
static struct loop *l;
static struct http *h;

static bool answer(const struct rig_link *k, const char *path)
{
	static char block[65536];

	if (!strcmp(path, "/switch"))
		return rig_say(k, __atomic_load_n(&k->seen->script, __ATOMIC_RELAXED)
					  ? "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
					  : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	if (!strcmp(path, "/ok"))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	if (!strcmp(path, "/empty"))
		return rig_say(k, "HTTP/1.1 204 No Content\r\n\r\n");
	if (!strcmp(path, "/503"))
		return rig_say(k, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
	if (!strcmp(path, "/redirect"))
		return rig_say(k,
			       "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
	if (!strcmp(path, "/metadata"))
		return rig_say(k,
			       "HTTP/1.1 301 Moved\r\nLocation: http://169.254.169.254/latest\r\n"
			       "Content-Length: 0\r\n\r\n");
	if (!strcmp(path, "/json"))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 49\r\n\r\n"
				  "{\"status\":\"UP\",\"db\":{\"lag\":3,\"ok\":true,\"x\":null}}");
	if (!strcmp(path, "/malformed"))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"status\":\"U");
	if (!strcmp(path, "/escape"))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n"
				  "{\"status\":\"\\u001b[31mhi\"}");
	if (!strcmp(path, "/huge")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
		while (rig_write(k, block, sizeof(block)))
			;
	}
	if (!strcmp(path, "/endless")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		while (rig_say(k, "10\r\n0123456789abcdef\r\n"))
			;
	}
	if (!strcmp(path, "/drip")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
		while (rig_say(k, "x"))
			usleep(20000);
	}
	if (!strcmp(path, "/silence"))
		sleep(20);
	if (!strcmp(path, "/garbage"))
		rig_say(k, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
	return false;
}

static int begin(void **state)
{
	(void)state;
	alarm(30);
	assert_int_equal(loop_make(&l), 0);
	return http_make(l, &h);
}

static int finish(void **state)
{
	(void)state;
	http_free(h);
	loop_free(l);
	alarm(0);
	return 0;
}

/* ---- one check ---- */

static struct ctl_place here(uint16_t port)
{
	struct ctl_place p = {.port = port, .loopback = true};

	ip_map(htonl(INADDR_LOOPBACK), p.address);
	return p;
}

static struct conf_health http_check(const char *url)
{
	struct conf_health c = {.given = true, .timeout_ms = 300};

	snprintf(c.http.text, sizeof(c.http.text), "%s", url);
	return c;
}

static void keep(void *arg, const struct ctl_answer *a)
{
	*(struct ctl_answer *)arg = *a;
	loop_stop(l, 0);
}

static struct ctl_answer ask(const struct conf_health *c, const struct ctl_place *at)
{
	struct ctl_answer a = {0};
	struct ctl_ask *k;

	assert_int_equal(ctl_ask_begin(l, h, c, at, keep, &a, &k), 0);
	assert_int_equal(a.reason[0], 0); /* not from within */
	assert_int_equal(loop_run(l), 0);
	return a;
}

static void gives(const struct conf_health *c, const struct ctl_place *at, bool ok,
		  const char *reason)
{
	uint64_t before = loop_now();
	struct ctl_answer a = ask(c, at);

	if (a.ok != ok || !strstr(a.reason, reason))
		fail_msg("%s: %s '%s' instead of '%s'", c->http.text, a.ok ? "well" : "not well",
			 a.reason, reason);
	assert_true(loop_now() - before < 600 * MS);
}

static void http_answers_have_reasons(void **state)
{
	static const struct {
		const char *path;
		unsigned int status; /* expected; 0: the usual */
		const char *field, *equals;
		bool ok;
		const char *reason;
	} cases[] = {
		{"/ok", 0, "", "", true, "HTTP 200"},
		{"/503", 0, "", "", false, "HTTP 503 instead of 200"},
		{"/503", 503, "", "", true, "HTTP 503"},
		{"/empty", 200, "", "", false, "HTTP 204 instead of 200"},
		{"/redirect", 0, "", "", false,
		 "HTTP 302 instead of 200: redirects are not followed"},
		{"/metadata", 0, "", "", false, "HTTP 301 instead of 200"},
		{"/redirect", 302, "", "", true, "HTTP 302"},
		{"/json", 0, "status", "UP", true, "HTTP 200, status is UP"},
		{"/json", 0, "status", "DOWN", false, "status is UP instead of DOWN"},
		{"/json", 0, "db.lag", "3", true, "db.lag is 3"},
		{"/json", 0, "db.ok", "", true, "db.ok is true"},
		{"/json", 0, "db.x", "", false, "db.x is null"},
		{"/json", 0, "db", "", false, "db is no plain value"},
		{"/json", 0, "db.none", "", false, "the answer has no db.none"},
		{"/json", 0, "status.none", "", false, "the answer has no status.none"},
		{"/malformed", 0, "status", "UP", false, "the answer is no JSON"},
		{"/ok", 0, "status", "UP", false, "the answer is no JSON"},
		{"/escape", 0, "status", "UP", false, "status is ?[31mhi instead of UP"},
		{"/huge", 0, "", "", false, "the answer is longer than 65536 bytes"},
		{"/endless", 0, "", "", false, "the answer is longer than 65536 bytes"},
		{"/drip", 0, "", "", false,
		 "it takes connections, but no whole answer came in 300ms"},
		{"/silence", 0, "", "", false,
		 "it takes connections, but no whole answer came in 300ms"},
		{"/die", 0, "", "", false, "the connection ended before the answer"},
		{"/garbage", 0, "", "", false, "what it answers is no HTTP"},
	};
	struct ctl_place at = here(plain.port);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct conf_health c = http_check(rig_url(&plain, cases[i].path));

		c.n_expect = cases[i].status != 0;
		c.expect[0].status = (uint16_t)cases[i].status;
		snprintf(c.field, sizeof(c.field), "%s", cases[i].field);
		snprintf(c.equals, sizeof(c.equals), "%s", cases[i].equals);
		gives(&c, &at, cases[i].ok, cases[i].reason);
	}
}

static void tls_is_verified_by_the_urls_name(void **state)
{
	struct conf_health c = http_check("https://api.shift.test/ok");
	struct ctl_place at = here(tls.port);

	(void)state;
	gives(&c, &at, false, "certificate: self-signed certificate");
	snprintf(c.ca_file, sizeof(c.ca_file), "%s", ca_file);
	gives(&c, &at, true, "HTTP 200");
	assert_string_equal(tls.seen->sni, "api.shift.test");
	assert_non_null(strstr(tls.seen->request, "Host: api.shift.test"));
	snprintf(c.http.text, sizeof(c.http.text), "https://other.shift.test/ok");
	gives(&c, &at, false, "certificate: ");
	at = here(plain.port); /* no TLS there */
	gives(&c, &at, false, "TLS: ");
}

static void each_question_has_a_connection_of_its_own(void **state)
{
	struct conf_health c = http_check(rig_url(&plain, "/ok"));
	struct ctl_place at = here(plain.port);
	unsigned int before = plain.seen->connections;

	(void)state;
	for (int i = 0; i < 3; i++)
		gives(&c, &at, true, "HTTP 200");
	assert_int_equal(plain.seen->connections, before + 3);
}

static void tcp_answers_have_reasons(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct conf_health c = {.given = true, .timeout_ms = 200};
	struct ctl_place at = here(plain.port);
	socklen_t size = sizeof(a);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill[8];

	(void)state;
	gives(&c, &at, true, "TCP connected");
	assert_int_equal(bind(server, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&a, &size), 0);
	at = here(ntohs(a.sin_port));
	gives(&c, &at, false, "TCP: Connection refused");
	/* A queue that is full answers nothing. */
	assert_int_equal(listen(server, 0), 0);
	for (int i = 0; i < 8; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fill[i], (struct sockaddr *)&a, sizeof(a));
	}
	usleep(20000);
	gives(&c, &at, false, "no TCP answer in 200ms");
	snprintf(c.http.text, sizeof(c.http.text), "http://api.shift.test/");
	gives(&c, &at, false, "no TCP answer in 200ms");
	for (int i = 0; i < 8; i++)
		close(fill[i]);
	close(server);
}

static void forbidden_addresses_are_never_connected_to(void **state)
{
	static const char *const forbidden[] = {"127.0.0.1",	   "::1",
						"169.254.169.254", "fe80::1",
						"0.0.0.0",	   "::ffff:127.0.0.1",
						"64:ff9b::7f00:1", "168.63.129.16"};
	struct conf_health tcp = {.given = true, .timeout_ms = 300}, web;
	unsigned int before = plain.seen->connections;

	(void)state;
	web = http_check(rig_url(&plain, "/ok"));
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(*forbidden); i++) {
		struct ctl_place at = {.port = plain.port};
		uint16_t none;

		assert_int_equal(ip_parse(forbidden[i], at.address, &none), 0);
		gives(&tcp, &at, false, "may not be asked");
		gives(&web, &at, false, "may not be asked");
	}
	assert_int_equal(plain.seen->connections, before);
}

static void questions_can_be_cancelled(void **state)
{
	struct conf_health tcp = {.given = true, .timeout_ms = 300};
	struct conf_health web = http_check(rig_url(&plain, "/silence"));
	struct ctl_place at = here(plain.port);
	struct ctl_answer a = {0};
	struct ctl_ask *k[2];

	(void)state;
	assert_int_equal(ctl_ask_begin(l, h, &tcp, &at, keep, &a, &k[0]), 0);
	assert_int_equal(ctl_ask_begin(l, h, &web, &at, keep, &a, &k[1]), 0);
	ctl_ask_cancel(k[0]);
	ctl_ask_cancel(k[1]);
	ctl_ask_cancel(NULL);
	tcp.timeout_ms = 100;
	gives(&tcp, &at, true, "TCP connected");
}

/* ---- where it is asked ---- */

static struct config *parse(const char *old, const char *backend)
{
	static char text[4096];
	struct conf_errors errors = {0};
	struct config *c = NULL;

	snprintf(text, sizeof(text),
		 "service: api\nlisten: [203.0.113.10:443/tcp, 203.0.113.10:443/udp, "
		 "\"[2001:db8::10]:8443/tcp\"]\n"
		 "interfaces: [eth0]\nbypass: []\nauthority: shared\n"
		 "nat: {addresses: [203.0.113.10, \"2001:db8::10\"], ports: 20000-59999}\n%s"
		 "backends:\n  - {name: aws, target: \"198.18.7.1:8443\", weight: 40, "
		 "client_address: hidden%s}\n"
		 "  - {name: aws6, target: \"[2001:db8:1::3]:8443\", weight: 40, client_address: "
		 "hidden}\n",
		 old, backend);
	if (conf_parse("test", text, strlen(text), &c, &errors))
		conf_errors_print(&errors, stderr);
	assert_non_null(c);
	conf_errors_free(&errors);
	return c;
}

static void places_are_as_configured(void **state)
{
	static const struct {
		const char *old, *backend, *want;
		bool of_old;
	} cases[] = {
		/* the scheme's own port: the load balancer's is the target's */
		{"", ", health: {http: \"https://api.example/q\"}", "198.18.7.1:8443", false},
		{"", ", health: {http: \"https://api.example:9000/q\"}", "198.18.7.1:9000", false},
		{"", ", health: {http: \"http://198.51.100.9/q\"}", "198.51.100.9:80", false},
		{"", ", health: {tcp: \"198.51.100.9:99\"}", "198.51.100.9:99", false},
		{"old: {health: {tcp: \"127.0.0.1:443\"}}\n", "", "127.0.0.1:443 loopback", true},
		{"old: {health: {http: \"http://127.0.0.1:8080/q\"}}\n", "",
		 "127.0.0.1:8080 loopback", true},
		/* the old service is asked where it listens, whatever DNS says of its name */
		{"old: {health: {http: \"https://api.example/q\"}}\n", "",
		 "203.0.113.10:443 [2001:db8::10]:8443", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct config *c = parse(cases[i].old, cases[i].backend);
		struct ctl_place at[CTL_PLACES], got[CTL_PLACES];
		char text[256] = "", one[64];
		unsigned int n = 1;

		at[0] = (struct ctl_place){.port = c->backends[0].port};
		memcpy(at[0].address, c->backends[0].address.ip, 16);
		if (cases[i].of_old)
			n = ctl_ask_listeners(c->listens, c->n_listens, at);
		n = ctl_ask_places(cases[i].of_old ? &c->old_health : &c->backends[0].health,
				   cases[i].of_old, at, n, got);
		for (unsigned int k = 0; k < n; k++) {
			strcat(strcat(text, k ? " " : ""), ctl_place_text(&got[k], one));
			strcat(text, got[k].loopback ? " loopback" : "");
		}
		assert_string_equal(text, cases[i].want);
		conf_free(c);
	}
}

/* ---- the runner ---- */

struct heard {
	unsigned int lines;
	char last[512], all[4096];
};

static void hear(void *arg, bool alarm, const char *text)
{
	struct heard *r = arg;

	(void)alarm;
	r->lines++;
	snprintf(r->last, sizeof(r->last), "%s", text);
	strncat(r->all, text, sizeof(r->all) - strlen(r->all) - 2);
	strcat(r->all, "\n");
}

static void stop(void *arg, uint64_t now)
{
	(void)arg, (void)now;
	loop_stop(l, 0);
}

static void run_for(uint64_t ns)
{
	struct loop_timer t = {0};

	loop_timer_set(l, &t, loop_now() + ns, stop, NULL);
	assert_int_equal(loop_run(l), 0);
	loop_timer_stop(l, &t);
}

static struct config *switched(const char *more)
{
	char old[256];

	snprintf(old, sizeof(old),
		 "old: {health: {http: \"%s\", interval: 200ms, fast: 50ms, timeout: 500ms, rise: "
		 "2, fall: 3%s}}\n",
		 rig_url(&plain, "/switch"), more);
	return parse(old, "");
}

static enum ctl_health_state old_state(const struct ctl_checks *k)
{
	struct ctl_checks_view v;

	ctl_checks_look(k, &v);
	return v.old.state;
}

static void set_switch(bool down)
{
	__atomic_store_n(&plain.seen->script, down, __ATOMIC_RELAXED);
}

static void runner_tells_changes_once_and_in_time(void **state)
{
	struct config *c = switched("");
	struct ctl_checks_view v;
	struct ctl_checks *k;
	struct heard r = {0};

	(void)state;
	set_switch(false);
	assert_int_equal(ctl_checks_make(l, hear, &r, &k), 0);
	assert_int_equal(ctl_checks_use(k, c), 0);
	run_for(600 * MS);
	assert_int_equal(old_state(k), CTL_HEALTH_UP);
	assert_int_equal(r.lines, 1);
	assert_non_null(strstr(r.last, "the old arm (127.0.0.1:"));
	assert_non_null(strstr(r.last, "unknown -> up after "));
	set_switch(true);
	run_for(480 * MS); /* an interval, twice the fast one, a tenth of each, and some */
	assert_int_equal(old_state(k), CTL_HEALTH_DOWN);
	assert_int_equal(r.lines, 2);
	assert_non_null(strstr(r.last, "up -> down after "));
	assert_non_null(strstr(r.last, ": HTTP 503 instead of 200; available 100.00%"));
	ctl_checks_look(k, &v);
	assert_string_equal(v.old.reason, "HTTP 503 instead of 200");
	assert_false(v.attached);
	assert_int_equal(v.n_backends, 2);
	assert_int_equal(v.all.usable, 2);
	assert_string_equal(v.backend[0].reason, "no check is configured");
	run_for(500 * MS);
	assert_int_equal(r.lines, 2);
	set_switch(false);
	run_for(400 * MS);
	assert_int_equal(old_state(k), CTL_HEALTH_UP);
	assert_int_equal(r.lines, 3);
	ctl_checks_free(k);
	conf_free(c);
}

static void reload_keeps_what_is_known(void **state)
{
	struct config *c = switched(""), *same = switched(""), *other = switched(", expect: 503");
	struct ctl_checks *k;
	struct heard r = {0};

	(void)state;
	set_switch(false);
	assert_int_equal(ctl_checks_make(l, hear, &r, &k), 0);
	assert_int_equal(ctl_checks_use(k, c), 0);
	run_for(400 * MS);
	assert_int_equal(old_state(k), CTL_HEALTH_UP);
	assert_int_equal(ctl_checks_use(k, same), 0);
	conf_free(c);
	assert_int_equal(old_state(k), CTL_HEALTH_UP);
	run_for(400 * MS);
	assert_int_equal(r.lines, 1);
	assert_int_equal(ctl_checks_use(k, other), 0); /* means another thing */
	conf_free(same);
	assert_int_equal(old_state(k), CTL_HEALTH_UNKNOWN);
	run_for(500 * MS);
	assert_int_equal(old_state(k), CTL_HEALTH_DOWN);
	assert_int_equal(r.lines, 2);
	ctl_checks_free(k);
	conf_free(other);
}

static void ends_with_questions_under_way(void **state)
{
	char old[256];
	struct ctl_checks *k;
	struct heard r = {0};
	struct config *c;

	(void)state;
	snprintf(old, sizeof(old), "old: {health: {http: \"%s\", fast: 50ms}}\n",
		 rig_url(&plain, "/silence"));
	c = parse(old, ", health: {tcp: \"169.254.169.254:80\", fast: 50ms, fall: 1}");
	assert_int_equal(ctl_checks_make(l, hear, &r, &k), 0);
	assert_int_equal(ctl_checks_use(k, c), 0);
	run_for(200 * MS);
	assert_non_null(strstr(r.all, "backend aws (169.254.169.254:80): unknown -> down after "));
	assert_non_null(strstr(r.all, "may not be asked"));
	assert_non_null(strstr(r.all, "no backend of IPv4 is up: new connections stay with the"));
	ctl_checks_free(k);
	ctl_checks_free(NULL);
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(http_answers_have_reasons, begin, finish),
		cmocka_unit_test_setup_teardown(tls_is_verified_by_the_urls_name, begin, finish),
		cmocka_unit_test_setup_teardown(each_question_has_a_connection_of_its_own, begin,
						finish),
		cmocka_unit_test_setup_teardown(tcp_answers_have_reasons, begin, finish),
		cmocka_unit_test_setup_teardown(forbidden_addresses_are_never_connected_to, begin,
						finish),
		cmocka_unit_test_setup_teardown(questions_can_be_cancelled, begin, finish),
		cmocka_unit_test(places_are_as_configured),
		cmocka_unit_test_setup_teardown(runner_tells_changes_once_and_in_time, begin,
						finish),
		cmocka_unit_test_setup_teardown(reload_keeps_what_is_known, begin, finish),
		cmocka_unit_test_setup_teardown(ends_with_questions_under_way, begin, finish),
	};
	int fd, failed;

	snprintf(ca_file, sizeof(ca_file), "/tmp/test_checks.XXXXXX");
	fd = mkstemp(ca_file);
	close(fd);
	rig_start(&plain, NULL, answer);
	rig_start(&tls, rig_certificate("api.shift.test", ca_file), answer);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rig_stop(&tls);
	rig_stop(&plain);
	unlink(ca_file);
	return failed;
}
