/* SPDX-License-Identifier: GPL-2.0-only */
#include <dlfcn.h>
#include <math.h>
#include <net/if.h>
#include <netdb.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "tests/unit/http_rig.h"
#include "tests/unit/loop_rig.h"
#include "userspace/ctl/sources_inner.h"

#define SECOND	1000000000ull
#define ADDRESS "198.51.100.1" /* this namespace's own, and public */

static struct rig plain, tls, here; /* `here` is on loopback */
static char ca_file[64];
static struct config *conf;
static struct conf_errors errors;
static struct gate gates[CONF_MAX_GATES];
static struct sources *s;
static unsigned int seen[CONF_MAX_GATES], until; /* looks of gate 0 that end the loop */
static uint64_t worst_wait;			 /* between two beats of the loop */
static struct loop_timer beat;
static struct window_look kernel;
static int kernel_err;
static const char *via_answer;

/* libcurl's threads call this one: names that lead where no test may really go. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
		(int (*)(const char *, const char *, const struct addrinfo *,
			 struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");

	if (name && !strcmp(name, "metadata.test"))
		name = "169.254.169.254";
	if (name && !strcmp(name, "here.test"))
		name = "127.0.0.1";
	if (name && strstr(name, "none.test"))
		return EAI_NONAME;
	if (name && !strcmp(name, "lb.test"))
		name = ADDRESS;
	return real(name, service, hints, ret);
}

/* ---- the server ---- */

static bool say_json(const struct rig_link *k, const char *body)
{
	char text[2048];

	snprintf(
		text, sizeof(text),
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);
	return rig_say(k, text);
}

static bool nested(const struct rig_link *k, unsigned int depth)
{
	rig_say(k, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"tps\": ");
	for (unsigned int i = 0; i < depth; i++)
		rig_say(k, "[");
	rig_say(k, "1");
	for (unsigned int i = 0; i < depth; i++)
		rig_say(k, "]");
	rig_say(k, "}");
	return false;
}

static bool prometheus(const struct rig_link *k, const char *path)
{
	char body[512] = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[";
	static const char sample[] = "{\"metric\":{\"job\":\"a\"},\"value\":[1.5,\"0.04\"]}";

	if (strstr(path, "wrong"))
		return rig_say(k,
			       "HTTP/1.1 400 Bad Request\r\nContent-Length: 74\r\n\r\n"
			       "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:7: "
			       "parse error: no\"}   ");
	if (strstr(path, "scalar"))
		return say_json(k, "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\","
				   "\"result\":[1.5,\"12\"]}}");
	if (strstr(path, "nan"))
		return say_json(k, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\","
				   "\"result\":[{\"metric\":{},\"value\":[1,\"NaN\"]}]}}");
	if (strstr(path, "matrix"))
		return say_json(k, "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\","
				   "\"result\":[]}}");
	if (!strstr(path, "none"))
		strcat(body, sample);
	if (strstr(path, "two"))
		strcat(strcat(body, ","), sample);
	return say_json(k, strcat(body, "]}}"));
}

static bool answer(const struct rig_link *k, const char *path)
{
	static char block[65536];

	memset(block, ' ', sizeof(block));
	if (strstr(path, "/api/v1/query?") && strncmp(path, "/html", 5) != 0)
		return prometheus(k, path);
	if (!strcmp(path, "/stats"))
		return say_json(k, "{\"tps\": 776000, \"p95\": \"87.5\", \"neg\": -1, \"text\": "
				   "\"fast\\u001b[2J\", \"list\": [{\"lag\": 2}, {\"lag\": 3.5}]}");
	if (!strcmp(path, "/late")) {
		usleep(400000);
		return say_json(k, "{\"tps\": 1}");
	}
	if (!strncmp(path, "/html", 5))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
				  "Content-Length: 27\r\n\r\n<html>please log in</html>\n");
	if (!strcmp(path, "/redirect"))
		return rig_say(k, "HTTP/1.1 302 Found\r\nLocation: /stats\r\n"
				  "Content-Length: 0\r\n\r\n");
	if (!strcmp(path, "/503"))
		return rig_say(k, "HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\n{\"tps\": 1}");
	if (!strcmp(path, "/empty"))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	if (!strcmp(path, "/malformed"))
		return say_json(k, "{\"tps\": 776000");
	if (!strcmp(path, "/twice"))
		return say_json(k, "{\"tps\": 1, \"tps\": 2}");
	if (!strcmp(path, "/nan"))
		return say_json(k, "{\"tps\": NaN}");
	if (!strcmp(path, "/inf"))
		return say_json(k, "{\"tps\": 1e999}");
	if (!strcmp(path, "/deep"))
		return nested(k, 10000);
	if (!strcmp(path, "/huge")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n{\"tps\": 1");
		while (rig_write(k, block, sizeof(block)))
			;
	}
	if (!strcmp(path, "/endless")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		while (rig_say(k, "10\r\n{\"a\":0123456789\r\n"))
			;
	}
	if (!strcmp(path, "/drip")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{\"tps\": 1");
		while (rig_say(k, " "))
			usleep(20000);
	}
	if (!strcmp(path, "/silence"))
		sleep(20);
	if (!strcmp(path, "/cut"))
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"tps\": 1}");
	if (!strcmp(path, "/garbage"))
		rig_say(k, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
	return false;
}

/* ---- the sources ---- */

static void on_seen(void *arg, unsigned int gate, uint64_t now)
{
	(void)arg;
	(void)now;
	seen[gate]++;
	if (!gate && until && seen[0] >= until)
		loop_stop(l, 0);
}

static int on_look(void *arg, struct window_look *ret)
{
	(void)arg;
	*ret = kernel;
	return kernel_err;
}

static int on_via(void *arg, const char *backend, char *ret, size_t size)
{
	(void)arg;
	if (!via_answer || strcmp(backend, "aws") != 0)
		return -ENOENT;
	snprintf(ret, size, "%s", via_answer);
	return 0;
}

static void on_beat(void *arg, uint64_t now)
{
	uint64_t *last = arg;

	if (*last && now - *last > worst_wait)
		worst_wait = now - *last;
	*last = now;
	loop_timer_set(l, &beat, now + 5 * MS, on_beat, last);
}

static const struct sources_world all = {.look = on_look, .seen = on_seen};

static void begin(const struct sources_world *world)
{
	assert_int_equal(sources_make(l, world, &s), 0);
}

static void forget(void)
{
	sources_free(s);
	s = NULL;
	conf_free(conf);
	conf = NULL;
	conf_errors_free(&errors);
}

/* What is in the list `gates`; in it, @P and @T stand for where the servers are. */
static struct config *read_conf(const char *list)
{
	static const char head[] = "service: api\n"
				   "listen: [203.0.113.10:443/tcp]\n"
				   "interfaces: [eth0]\n"
				   "nat: {addresses: [203.0.113.10], ports: 20000-59999}\n"
				   "backends:\n"
				   "  - {name: aws, target: \"" ADDRESS ":@T\", weight: 40}\n"
				   "  - {name: azure, target: \"lb.test:@P\", weight: 30}\n"
				   "gates:\n";
	char text[4096], port[16];
	struct config *c = NULL;
	size_t n = 0;

	memset(&errors, 0, sizeof(errors));

	for (const char *part = head; part; part = part == head ? list : NULL) {
		for (const char *p = part; *p; p++) {
			if (*p != '@') {
				text[n++] = *p;
				continue;
			}
			p++;
			snprintf(port, sizeof(port), "%u",
				 *p == 'P'   ? plain.port
				 : *p == 'T' ? tls.port
					     : here.port);
			n += (size_t)sprintf(text + n, "%s", port);
		}
	}
	if (conf_parse("shift.yaml", text, n, &c, &errors)) {
		text[n] = '\0';
		fail_msg("%s\n%s", errors.error[0].text, text);
	}
	return c;
}

static void use(const char *list)
{
	conf = read_conf(list);
	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < conf->n_gates; i++)
		gate_begin(&gates[i], &conf->gates[i]);
	assert_int_equal(sources_use(s, conf, gates), 0);
}

static void run_until(unsigned int looks)
{
	uint64_t last = 0;

	until = looks;
	worst_wait = 0;
	assert_int_equal(loop_timer_set(l, &beat, loop_now(), on_beat, &last), 0);
	assert_int_equal(loop_run(l), 0);
	loop_timer_stop(l, &beat);
	until = 0;
}

/* One look at one gate with this source. */
static void look_once(const struct sources_world *world, const char *source)
{
	char list[2048];

	begin(world);
	snprintf(list, sizeof(list), "  - {name: g, source: %s, ok: \"< 1000000\"}\n", source);
	use(list);
	run_until(1);
}

static void gives(const char *source, double value)
{
	struct gate_verdict v;

	look_once(&all, source);
	gate_judge(&gates[0], loop_now(), &v);
	if (v.says != GATE_OK || !(fabs(v.value - value) < 1e-9))
		fail_msg("%s: %s, %g (%s) instead of %g", source, gate_says_name(v.says), v.value,
			 v.why, value);
	forget();
}

/* It is inconclusive, says why, and held up nothing. */
static void gives_nothing(const char *source, const char *why, unsigned int within_ms)
{
	uint64_t begun = loop_now();
	struct gate_verdict v;

	look_once(&all, source);
	gate_judge(&gates[0], loop_now(), &v);
	if (v.says != GATE_INCONCLUSIVE || v.has_value || !strstr(v.why, why))
		fail_msg("%s: %s, \"%s\" instead of \"%s\"", source, gate_says_name(v.says), v.why,
			 why);
	for (const char *c = v.why; *c; c++)
		assert_in_range(*c, ' ', '~');
	if (loop_now() - begun > within_ms * MS || worst_wait > 150 * MS)
		fail_msg("%s took %llu ms, and held up the loop for %llu", source,
			 (unsigned long long)((loop_now() - begun) / MS),
			 (unsigned long long)(worst_wait / MS));
	forget();
}

/* ---- reading, pure ---- */

static void one_number_is_found_in_a_document(void **state)
{
	static const struct {
		const char *body, *member, *why;
		double value;
	} cases[] = {
		{"{\"a\": 1.5}", "a", NULL, 1.5},
		{"{\"a\": \"1.5\"}", "a", NULL, 1.5},
		{"{\"a\": \"+1.5e2\"}", "a", NULL, 150},
		{"{\"a\": 12345678901234567890}", "a", NULL, 12345678901234567890.0},
		{"{\"a\": -0.0}", "a", NULL, 0},
		{"{\"a\": {\"b\": [7, {\"0\": {\"c\": 3}}]}}", "a.b.1.0.c", NULL, 3},
		{"[[4, 5]]", "0.1", NULL, 5},
		{"  {\"a\": 1, \"b\": {\"a\": 2}}\n", "b.a", NULL, 2},
		{"{\"a\": \"]]]]{{{{\\\"[[\", \"b\": 1}", "b", NULL, 1},
		{"{\"a\": {\"b\": 1}}", "a.c", "the answer has no a.c", 0},
		{"{\"a\": {\"b\": 1}}", "x.c", "the answer has no x", 0},
		{"{\"a\": [1]}", "a.1", "the answer has no a.1", 0},
		{"{\"a\": [1]}", "a.-1", "the answer has no a.-1", 0},
		{"{\"a\": [1]}", "a.99999999999999999999", "has no a.9", 0},
		{"{\"a\": [1]}", "a.0x", "the answer has no a.0x", 0},
		{"{\"a\": 1}", "a.b", "the answer has no a.b", 0},
		{"{\"a\": null}", "a", "a is null, not a number", 0},
		{"{\"a\": true}", "a", "a is true, not a number", 0},
		{"{\"a\": {}}", "a", "a is an object, not a number", 0},
		{"{\"a\": []}", "a", "a is a list, not a number", 0},
		{"{\"a\": \"\"}", "a", "a is empty", 0},
		{"{\"a\": \"87.5ms\"}", "a", "a is no number: \"87.5ms\"", 0},
		{"{\"a\": \" 1\"}", "a", "a is no number", 0},
		{"{\"a\": \"0x10\"}", "a", "a is no number", 0},
		{"{\"a\": \"1,5\"}", "a", "a is no number", 0},
		{"{\"a\": \".\"}", "a", "a is no number", 0},
		{"{\"a\": \"1e\"}", "a", "a is no number", 0},
		{"{\"a\": \"\\u001b[2J\\u00e9\"}", "a", "a is no number: \"?[2J??\"", 0},
		{"{\"a\": \"nan\"}", "a", "a is NaN", 0},
		{"{\"a\": \"-Inf\"}", "a", "a is infinite", 0},
		{"{\"a\": \"1e999\"}", "a", "a is infinite", 0},
		{"{\"a\": 1e999}", "a", "no JSON: real number overflow", 0},
		{"{\"a\": NaN}", "a", "no JSON", 0},
		{"{\"a\": -5}", "a", "a is negative (-5)", 0},
		{"{\"a\": \"-5\"}", "a", "a is negative (-5)", 0},
		{"{\"a\": 1, \"a\": 2}", "a", "no JSON: duplicate object key", 0},
		{"{\"a\": 1} {}", "a", "no JSON: end of file expected", 0},
		{"{\"a\": 1", "a", "no JSON", 0},
		{"{\"\\u0000\": 1}", "a", "no JSON", 0},
		{"5", "a", "no JSON", 0},
		{"", "a", "the answer is empty", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char why[SOURCE_WHY] = "";
		double value = -1;
		int err = source_read_member(cases[i].body, strlen(cases[i].body), cases[i].member,
					     &value, why);

		if (cases[i].why ? !err || !strstr(why, cases[i].why) || value != -1
				 : err || value != cases[i].value || signbit(value))
			fail_msg("%s, %s: %d, %g, \"%s\"", cases[i].body, cases[i].member, err,
				 value, why);
	}
}

static void depth_is_bounded_before_the_parser_sees_it(void **state)
{
	static const unsigned int depths[] = {63, 64, 10000, 100000};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t n = depths[i];
		char *body = malloc(2 * n + 32), why[SOURCE_WHY] = "";
		double value;
		int err;

		memcpy(body, "{\"a\":1,\"b\":", 11);
		memset(body + 11, '[', n);
		memset(body + 11 + n, ']', n);
		body[11 + 2 * n] = '}';
		err = source_read_member(body, 12 + 2 * n, "a", &value, why);
		if (depths[i] < 64)
			assert_int_equal(err, 0);
		else
			assert_non_null(strstr(why, "nested deeper than 64"));
		free(body);
	}
}

static void a_program_prints_one_number_and_nothing_else(void **state)
{
	static const struct {
		const char *text, *why;
		double value;
	} cases[] = {{"12.5\n", NULL, 12.5},
		     {"\n  3 \r\n", NULL, 3},
		     {"", "it printed nothing", 0},
		     {" \n", "it printed nothing", 0},
		     {"1\n2\n", "is no number: \"1 2\"", 0},
		     {"lag 3", "is no number: \"lag 3\"", 0},
		     {"nan", "is NaN", 0},
		     {"-1", "is negative", 0},
		     {"0000000000000000000000000000000000000000000000000000000000000000001",
		      "is no number", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char why[SOURCE_WHY] = "";
		double value;
		int err = source_read_output(cases[i].text, strlen(cases[i].text), &value, why);

		if (cases[i].why ? !err || !strstr(why, cases[i].why)
				 : err || value != cases[i].value)
			fail_msg("%s: %d, \"%s\"", cases[i].text, err, why);
	}
}

static void a_query_is_escaped_behind_the_path_of_the_interface(void **state)
{
	static const struct {
		const char *base, *url;
	} cases[] = {
		{"http://p:9090",
		 "http://p:9090/api/v1/query?query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
		{"http://p:9090/",
		 "http://p:9090/api/v1/query?query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
		{"http://p/prom/",
		 "http://p/prom/api/v1/query?query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
		{"http://p/api/v1/query",
		 "http://p/api/v1/query?query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
		{"http://p/?tenant=1",
		 "http://p/api/v1/query?tenant=1&query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
	};
	char url[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(
			source_query_url(cases[i].base, "a+b{x=\"&#\"}[5m]", url, sizeof(url)), 0);
		assert_string_equal(url, cases[i].url);
		for (size_t size = 1; size <= strlen(url); size++) /* never a shortened one */
			assert_int_equal(source_query_url(cases[i].base, "a+b{x=\"&#\"}[5m]",
							  (char[256]){0}, size),
					 -ENAMETOOLONG);
	}
}

/* ---- over HTTP ---- */

static void a_member_of_a_document_is_the_number(void **state)
{
	(void)state;
	gives("{json: \"http://" ADDRESS ":@P/stats\", field: tps}", 776000);
	gives("{json: \"http://" ADDRESS ":@P/stats\", field: p95, arm: new}", 87.5);
	gives("{json: \"http://" ADDRESS ":@P/stats\", field: list.1.lag, arm: sum}", 3.5);
	gives("{json: \"http://127.0.0.1:@H/stats\", field: tps, arm: old}", 776000);
}

static void a_backend_is_asked_by_its_address_with_the_name_of_the_url(void **state)
{
	char source[300];

	(void)state;
	snprintf(source, sizeof(source),
		 "{json: \"https://www.example.test/stats\", via: aws, field: tps, ca_file: %s}",
		 ca_file);
	gives(source, 776000);
	assert_string_equal(tls.seen->sni, "www.example.test");
	assert_non_null(strstr(tls.seen->request, "\r\nHost: www.example.test\r\n"));
	gives("{json: \"http://www.example.test/stats\", via: azure, field: tps}", 776000);
	assert_non_null(strstr(plain.seen->request, "\r\nHost: www.example.test\r\n"));
}

static void who_follows_a_backend_says_where_it_is(void **state)
{
	struct sources_world world = all;
	struct gate_verdict v;
	char address[64];

	(void)state;
	world.via = on_via;
	snprintf(address, sizeof(address), ADDRESS ":%u", plain.port);
	via_answer = address;
	look_once(&world, "{json: \"http://gone.none.test/stats\", via: aws, field: tps}");
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_OK);
	forget();
	via_answer = NULL;
	look_once(&world, "{json: \"http://gone.none.test/stats\", via: aws, field: tps}");
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "backend aws has no address"));
	forget();
}

static void a_query_gives_a_scalar_or_a_vector_of_one(void **state)
{
#define QUERY(q) "{prometheus: \"http://" ADDRESS ":@P\", query: " q "}"
	(void)state;
	gives(QUERY("one"), 0.04);
	gives(QUERY("scalar(up)"), 12);
	assert_non_null(strstr(plain.seen->request, "/api/v1/query?query=scalar%28up%29 "));
	gives_nothing(QUERY("none"), "the query matches nothing", 1000);
	gives_nothing(QUERY("two"), "the query gives 2 series", 1000);
	gives_nothing(QUERY("matrix"), "the query gives a matrix", 1000);
	gives_nothing(QUERY("nan"), "the query's result is NaN", 1000);
	gives_nothing(QUERY("wrong"), "Prometheus: 1:7: parse error: no", 1000);
	gives_nothing("{prometheus: \"http://" ADDRESS ":@P/html\", query: x}", "no JSON", 1000);
#undef QUERY
}

static void hostile_answers_are_bounded_and_named(void **state)
{
	static const struct {
		const char *path, *why;
	} cases[] = {{"/huge", "longer than 262144 bytes"},
		     {"/endless", "longer than 262144 bytes"},
		     {"/drip", "timed out"},
		     {"/silence", "timed out"},
		     {"/cut", "transfer closed"},
		     {"/garbage", "HTTP/0.9"},
		     {"/die", "Empty reply"},
		     {"/html", "no JSON: '[' or '{' expected near '<', line 1: \"<html>please"},
		     {"/redirect", "HTTP 302: redirects are not followed"},
		     {"/503", "HTTP 503"},
		     {"/empty", "the answer is empty"},
		     {"/malformed", "no JSON"},
		     {"/twice", "duplicate object key"},
		     {"/deep", "nested deeper than 64"},
		     {"/nan", "no JSON"},
		     {"/inf", "real number overflow"}};
	char source[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(source, sizeof(source),
			 "{json: \"http://" ADDRESS ":@P%s\", field: tps, timeout: 500ms}",
			 cases[i].path);
		gives_nothing(source, cases[i].why, 1500);
	}
	gives_nothing("{json: \"http://" ADDRESS ":@P/stats\", field: neg}", "neg is negative (-1)",
		      1000);
	gives_nothing("{json: \"http://" ADDRESS ":@P/stats\", field: text}",
		      "text is no number: \"fast?[2J\"", 1000);
	gives_nothing("{json: \"http://" ADDRESS ":@P/stats\", field: nothing}",
		      "the answer has no nothing", 1000);
}

static void tls_is_verified(void **state)
{
	char source[300];

	(void)state;
	gives_nothing("{json: \"https://www.example.test/stats\", via: aws, field: tps}",
		      "TLS: ", 1000);
	snprintf(source, sizeof(source),
		 "{json: \"https://other.example.test/stats\", via: aws, field: tps, ca_file: %s}",
		 ca_file);
	gives_nothing(source, "TLS: ", 1000);
	gives_nothing("{json: \"https://" ADDRESS ":@P/stats\", field: tps}", "TLS: ", 1000);
}

static void no_source_leads_inwards_but_for_the_old_arm_and_never_to_metadata(void **state)
{
	static const char *const arms[] = {"new", "sum", "old"};
	char source[256];

	(void)state;
	for (int i = 0; i < 3; i++) {
		snprintf(source, sizeof(source),
			 "{json: \"http://metadata.test/stats\", field: tps, arm: %s}", arms[i]);
		gives_nothing(source, "not a public one", 1000);
	}
	gives_nothing("{json: \"http://127.0.0.1:@H/stats\", field: tps}",
		      "a source on this host needs arm: old", 1000);
	gives_nothing("{json: \"http://here.test:@H/stats\", field: tps, arm: new}",
		      "not a public one", 1000);
	gives_nothing("{prometheus: \"http://127.0.0.1:@H\", query: one}", "not a public one",
		      1000);
	gives("{json: \"http://here.test:@H/stats\", field: tps, arm: old}", 776000);
}

static void a_backend_that_has_come_to_lie_inwards_is_not_asked(void **state)
{
	static const char *const inwards[] = {"169.254.169.254:80", "127.0.0.1:80", "[::1]:80",
					      "[::ffff:169.254.169.254]:80", "[fe80::1]:80"};
	struct sources_world world = all;

	(void)state;
	world.via = on_via;
	for (size_t i = 0; i < sizeof(inwards) / sizeof(*inwards); i++) {
		struct gate_verdict v;

		via_answer = inwards[i];
		look_once(&world,
			  "{json: \"http://www.example.test/stats\", via: aws, field: tps}");
		gate_judge(&gates[0], loop_now(), &v);
		assert_int_equal(v.says, GATE_INCONCLUSIVE);
		if (!strstr(v.why, "not a public one"))
			fail_msg("%s: %s", inwards[i], v.why);
		forget();
	}
}

static void what_cannot_be_reached_is_named(void **state)
{
	(void)state;
	gives_nothing("{json: \"http://gone.none.test/stats\", field: tps}", "resolve", 1000);
	gives_nothing("{json: \"http://" ADDRESS ":1/stats\", field: tps}", "connect", 1000);
}

/* ---- a program ---- */

static void a_program_gives_a_number(void **state)
{
	(void)state;
	gives("{exec: [/bin/echo, \"12.5\"]}", 12.5);
	gives("{exec: [/usr/bin/id, -u], user: daemon}", 1);
}

static void hostile_programs_are_bounded_and_named(void **state)
{
	(void)state;
#define SH(text) "{exec: [/bin/sh, -c, \"" text "\"], interval: 1s, timeout: 500ms}"
	gives_nothing(SH("exit 3"), "3", 1500);
	gives_nothing(SH("echo it is broken >&2; exit 1"), "it is broken", 1500);
	gives_nothing(SH("echo 1; exit 1"), "1", 1500);
	gives_nothing(SH("true"), "it printed nothing", 1500);
	gives_nothing(SH("echo 5; echo 6"), "is no number: \"5 6\"", 1500);
	gives_nothing(SH("yes 1 | head -c 100000"), "it printed more than 4096 bytes", 1500);
	gives_nothing(SH("while :; do echo 1; done"), "", 3500);
	gives_nothing(SH("sleep 20"), "", 3500);
	gives_nothing(SH("trap : TERM; while :; do sleep 1; done"), "", 3500);
	gives_nothing("{exec: [/nowhere/at-all]}", "", 1500);
	gives_nothing("{exec: [/bin/echo, \"1\"], user: no-such-user}", "no-such-user", 1500);
#undef SH
}

/* ---- the kernel ---- */

static void the_kernels_counters_are_asked_through_the_window(void **state)
{
	struct gate_verdict v;

	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel_err = 0;
	kernel.epoch = 1;
	begin(&all);
	use("  - {name: g, source: kernel.errors, ok: \"< 5%\", pause: \"> 9%\"}\n");
	run_until(1);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "only begun"));
	kernel.arm[SHIFT_ARM_NEW].total.begun = 300;
	kernel.arm[SHIFT_ARM_NEW].total.failure[SHIFT_FAILURE_REFUSED] = 30;
	run_for(600 * MS);
	sources_ask(s, 0);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_PAUSE);
	assert_true(v.value == 10);
	kernel_err = -ENOENT;
	run_for(600 * MS);
	sources_ask(s, 0);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "nothing is attached"));
	kernel_err = 0;
	forget();
}

static void a_source_without_a_kernel_says_so(void **state)
{
	static const struct sources_world world = {.seen = on_seen};
	struct gate_verdict v;

	(void)state;
	begin(&world);
	use("  - {name: g, source: kernel.p95, ok: \"< 100\"}\n");
	run_until(1);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "not read here"));
	forget();
}

/* ---- in time ---- */

/* 400 ms for an answer that is wanted every 300. */
static void an_answer_that_comes_after_its_interval_is_stale(void **state)
{
	struct sources_count count;
	struct gate_verdict v;

	(void)state;
	begin(&all);
	use("  - {name: g, source: {json: \"http://" ADDRESS
	    ":@P/late\", field: tps, interval: 300ms, timeout: 2s}, ok: \"< 5\"}\n");
	run_until(3);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	sources_counts(s, 0, &count);
	assert_in_range(count.looks, 3, 4);
	assert_int_equal(count.missed, 3);
	forget();
	gives("{json: \"http://" ADDRESS ":@P/late\", field: tps, interval: 600ms}", 1);
}

static void every_gate_is_asked_at_its_own_interval(void **state)
{
	(void)state;
	begin(&all);
	use("  - {name: a, source: {json: \"http://" ADDRESS
	    ":@P/stats\", field: tps, interval: 200ms}, ok: \"< 5\"}\n"
	    "  - {name: b, source: {json: \"http://" ADDRESS
	    ":@P/stats\", field: p95, interval: 1s}, ok: \"< 5\"}\n"
	    "  - {name: c, source: {json: \"http://" ADDRESS
	    ":@P/silence\", field: p95, interval: 1s}, ok: \"< 5\"}\n"
	    "  - {name: d, source: {exec: [/bin/echo, \"1\"], interval: 500ms}, ok: \"< 5\"}\n");
	run_for(2100 * MS);
	assert_in_range(seen[0], 9, 11);
	assert_in_range(seen[1], 2, 3);
	assert_in_range(seen[2], 1, 3);
	assert_in_range(seen[3], 3, 5);
	forget();
}

static void a_reload_forgets_what_is_under_way_and_keeps_the_window(void **state)
{
	struct config *was;

	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel.epoch = 1;
	begin(&all);
	use("  - {name: a, source: {json: \"http://" ADDRESS
	    ":@P/late\", field: tps}, ok: \"< 5\"}\n"
	    "  - {name: b, source: {exec: [/bin/sleep, \"5\"]}, ok: \"< 5\"}\n");
	run_for(700 * MS);
	assert_int_equal(seen[0], 1);
	sources_ask(s, 0);
	was = conf;
	use("  - {name: k, source: kernel.drops, ok: \"< 5\"}\n");
	conf_free(was);
	assert_true(sources_window(s)->has_last);
	run_for(1200 * MS);
	assert_in_range(seen[0], 1, 1);
	assert_int_equal(seen[1], 0);
	assert_int_equal(sources_use(s, NULL, NULL), 0);
	memset(seen, 0, sizeof(seen));
	run_for(200 * MS);
	assert_int_equal(seen[0], 0);
	forget();
}

static void free_at_once(void *arg, unsigned int gate, uint64_t now)
{
	(void)arg;
	(void)gate;
	(void)now;
	sources_free(s);
	s = NULL;
	loop_stop(l, 0);
}

static void the_sources_may_be_freed_from_what_they_call(void **state)
{
	static const char *const sources[] = {
		"{json: \"http://" ADDRESS ":@P/stats\", field: tps}",
		"{json: \"http://" ADDRESS ":@P/html\", field: tps}",
		"{exec: [/bin/echo, \"1\"]}",
		"{exec: [/nowhere/at-all]}",
		"kernel.drops",
	};
	static const struct sources_world world = {.look = on_look, .seen = free_at_once};

	(void)state;
	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		char list[256];

		begin(&world);
		snprintf(list, sizeof(list), "  - {name: g, source: %s, ok: \"< 5\"}\n",
			 sources[i]);
		use(list);
		assert_int_equal(loop_run(l), 0);
		assert_null(s);
		forget();
	}
}

/* ---- */

static int up(const char *name, const char *address)
{
	struct ifreq r = {0};
	struct sockaddr_in *a = (struct sockaddr_in *)(void *)&r.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	a->sin_family = AF_INET;
	if (address) {
		inet_pton(AF_INET, address, &a->sin_addr);
		err = ioctl(fd, SIOCSIFADDR, &r);
	} else {
		r.ifr_flags = IFF_UP;
		err = ioctl(fd, SIOCSIFFLAGS, &r);
	}
	close(fd);
	return err;
}

static int start(void **state)
{
	SSL_CTX *x;

	(void)state;
	if (unshare(CLONE_NEWNET) || up("lo", NULL) || up("lo:1", ADDRESS)) {
		print_error("a network namespace of its own is needed: run as root\n");
		return -1;
	}
	strcpy(ca_file, "/tmp/sources-ca-XXXXXX");
	close(mkstemp(ca_file));
	x = rig_certificate("www.example.test", ca_file);
	rig_start_at(&plain, inet_addr(ADDRESS), NULL, answer);
	rig_start_at(&tls, inet_addr(ADDRESS), x, answer);
	rig_start(&here, NULL, answer);
	return 0;
}

static int end(void **state)
{
	(void)state;
	rig_stop(&plain);
	rig_stop(&tls);
	rig_stop(&here);
	SSL_CTX_free(tls.tls);
	unlink(ca_file);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_number_is_found_in_a_document),
		cmocka_unit_test(depth_is_bounded_before_the_parser_sees_it),
		cmocka_unit_test(a_program_prints_one_number_and_nothing_else),
		cmocka_unit_test(a_query_is_escaped_behind_the_path_of_the_interface),
		TEST(a_member_of_a_document_is_the_number),
		TEST(a_backend_is_asked_by_its_address_with_the_name_of_the_url),
		TEST(who_follows_a_backend_says_where_it_is),
		TEST(a_query_gives_a_scalar_or_a_vector_of_one),
		TEST(hostile_answers_are_bounded_and_named),
		TEST(tls_is_verified),
		TEST(no_source_leads_inwards_but_for_the_old_arm_and_never_to_metadata),
		TEST(a_backend_that_has_come_to_lie_inwards_is_not_asked),
		TEST(what_cannot_be_reached_is_named),
		TEST(a_program_gives_a_number),
		TEST(hostile_programs_are_bounded_and_named),
		TEST(the_kernels_counters_are_asked_through_the_window),
		TEST(a_source_without_a_kernel_says_so),
		TEST(an_answer_that_comes_after_its_interval_is_stale),
		TEST(every_gate_is_asked_at_its_own_interval),
		TEST(a_reload_forgets_what_is_under_way_and_keeps_the_window),
		TEST(the_sources_may_be_freed_from_what_they_call),
	};

	return cmocka_run_group_tests(tests, start, end);
}
