/* SPDX-License-Identifier: GPL-2.0-only */
#include <fcntl.h>
#include <sys/stat.h>

#include "dns/cloud.h"
#include "tests/unit/http_rig.h"
#include "userspace/base/loop.h"
#include "userspace/conf/config.h"

#define MS     1000000ull
#define TOKEN  "Bearer 0123456789-very-secret"
#define SECRET "wJalrXUtnFEMI-K7MDENG"

static struct rig rig;
static struct conf_provider conf;

/*
 * The path is a script, one step for each request: "/429,503r,x,200". r: with Retry-After: 0; R:
 * with one of an hour; x: closed without an answer; s: no answer for long; t: 400 that says to slow
 * down; e: repeats what was sent; b: its body.
 */
static bool answer(const struct rig_link *k, const char *path)
{
	unsigned int step = k->seen->script++;
	char text[sizeof(k->seen->request) + 300], *code;
	const char *body = "body\twith\ncontrols";

	snprintf(text, sizeof(text), "%s", path + 1);
	code = strtok(text, ",");
	while (step-- && code)
		code = strtok(NULL, ",");
	if (!code || *code == 'x')
		return false;
	if (*code == 's') {
		sleep(20);
		return false;
	}
	if (strchr(code, 't'))
		body = "slow down";
	if (strchr(code, 'e'))
		body = k->seen->request;
	if (strchr(code, 'b'))
		body = strstr(k->seen->request, "\r\n\r\n") + 4;
	snprintf(text, sizeof(text), "HTTP/1.1 %ld X\r\nContent-Length: %zu\r\n%s\r\n%s",
		 *code == 't' ? 400l : strtol(code, NULL, 10), strlen(body),
		 strchr(code, 'r')   ? "Retry-After: 0\r\n"
		 : strchr(code, 'R') ? "Retry-After: 3600\r\n"
				     : "",
		 body);
	return rig_say(k, text);
}

static bool says_slow_down(const struct http_reply *r)
{
	return strstr(r->body, "slow down");
}

struct asked {
	enum cloud_outcome outcome;
	unsigned int requests;
	uint64_t ns;
	long status;
	char why[DNS_WHY];
};

static struct asked ask(const char *script, bool reads, uint64_t patience_ns)
{
	static const char *const headers[] = {"Authorization: " TOKEN, NULL};
	const struct cloud c = {.title = "Some Cloud", .conf = &conf, .patience_ns = patience_ns};
	char path[128];
	struct cloud_call call = {.method = reads ? "GET" : "POST",
				  .headers = headers,
				  .body = reads ? NULL : "{}",
				  .reads = reads};
	struct http_reply r;
	struct asked a = {.ns = loop_now()};
	unsigned int before = rig.seen->requests;

	snprintf(path, sizeof(path), "/%s", script);
	call.url = rig_url(&rig, path);
	rig.seen->script = 0;
	a.outcome = cloud_do(&c, &call, says_slow_down, &r, a.why);
	a.status = r.status;
	http_reply_free(&r);
	a.requests = rig.seen->requests - before;
	a.ns = loop_now() - a.ns;
	return a;
}

static void a_call_is_repeated_only_when_that_is_safe(void **state)
{
	static const struct {
		const char *script;
		bool reads;
		enum cloud_outcome outcome;
		unsigned int requests;
		long status;
	} table[] = {
		{"200", false, CLOUD_ANSWERED, 1, 200},
		{"204", false, CLOUD_ANSWERED, 1, 204},
		{"302", false, CLOUD_ANSWERED, 1, 302},
		{"400", false, CLOUD_ANSWERED, 1, 400},
		{"404", true, CLOUD_ANSWERED, 1, 404},
		{"412", false, CLOUD_ANSWERED, 1, 412},
		{"401", false, CLOUD_DENIED, 1, 401},
		{"403", true, CLOUD_DENIED, 1, 403},
		/* surely not done */
		{"429r,429r,200", false, CLOUD_ANSWERED, 3, 200},
		{"503r,200", false, CLOUD_ANSWERED, 2, 200},
		{"t,200", false, CLOUD_ANSWERED, 2, 200},
		{"429r,403", false, CLOUD_DENIED, 2, 403},
		{"429r,500,200", false, CLOUD_LOST, 2, 500},
		/* perhaps done */
		{"500,200", false, CLOUD_LOST, 1, 500},
		{"502,200", false, CLOUD_LOST, 1, 502},
		{"503,200", false, CLOUD_LOST, 1, 503},
		{"504,200", false, CLOUD_LOST, 1, 504},
		{"x,200", false, CLOUD_LOST, 1, 0},
		{"s,200", false, CLOUD_LOST, 1, 0},
		/* reading changes nothing */
		{"500,503,200", true, CLOUD_ANSWERED, 3, 200},
		{"x,200", true, CLOUD_ANSWERED, 2, 200},
		{"s,200", true, CLOUD_ANSWERED, 2, 200},
		{"500,500,500,500,200", true, CLOUD_UNREACHED, 4, 500},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct asked a = ask(table[i].script, table[i].reads, 0);

		if (a.outcome != table[i].outcome || a.requests != table[i].requests ||
		    a.status != table[i].status)
			fail_msg("%s: outcome %d, %u requests, status %ld: %s", table[i].script,
				 a.outcome, a.requests, a.status, a.why);
		if (a.outcome != CLOUD_ANSWERED && !strstr(a.why, "Some Cloud: "))
			fail_msg("%s: no words: %s", table[i].script, a.why);
	}
}

static void patience_ends(void **state)
{
	struct asked a = ask("429,429,429,429,429,429,429,429,429", false, 1200 * MS);

	(void)state;
	assert_int_equal(a.outcome, CLOUD_UNREACHED);
	assert_int_equal(a.status, 429);
	assert_true(a.ns < 2500 * MS);
	assert_in_range(a.requests, 2, 5); /* and it doubles */
	a = ask("503R,200", false, 0);	   /* an hour is longer than a minute */
	assert_int_equal(a.outcome, CLOUD_UNREACHED);
	assert_int_equal(a.requests, 1);
	assert_true(a.ns < 2000 * MS);
}

static void where_nobody_is_nothing_was_done(void **state)
{
	const struct cloud c = {.title = "Some Cloud", .conf = &conf};
	struct cloud_call call = {.method = "POST", .body = "{}"};
	struct http_reply r;
	char why[DNS_WHY];
	struct rig gone = {0};

	(void)state;
	rig_start(&gone, NULL, answer);
	rig_stop(&gone);
	gone.tls = NULL;
	call.url = rig_url(&gone, "/200");
	assert_int_equal(cloud_do(&c, &call, NULL, &r, why), CLOUD_UNREACHED);
	assert_non_null(strstr(why, "cannot be reached"));
	http_reply_free(&r);
	call.url = "gopher://127.0.0.1/";
	assert_int_equal(cloud_do(&c, &call, NULL, &r, why), CLOUD_UNREACHED);
	http_reply_free(&r);
}

static void words_hold_no_secret_and_no_control_character(void **state)
{
	struct asked a = ask("403e", false, 0);

	(void)state;
	assert_int_equal(a.outcome, CLOUD_DENIED);
	assert_non_null(strstr(a.why, "POST /403e"));
	assert_null(strstr(a.why, "very-secret"));
	for (const char *s = a.why; *s; s++)
		assert_true((unsigned char)*s >= ' ');
	a = ask("500", false, 0);
	assert_non_null(strstr(a.why, "HTTP 500: body with controls"));
	{
		/* what is repeated is the body, which has parts of what the headers hold */
		static const char *const headers[] = {"Authorization: " TOKEN,
						      "X-Amz-Security-Token: aaaa-bbbb-cccc", NULL};
		const struct cloud c = {.title = "Some Cloud", .conf = &conf, .user = "ID:" SECRET};
		struct cloud_call call = {.method = "POST",
					  .url = rig_url(&rig, "/403b"),
					  .headers = headers,
					  .body = "(" SECRET ")(0123456789-very-secret)"
						  "(aaaa-bbbb-cccc)(short)"};
		struct http_reply r;
		char why[DNS_WHY];

		rig.seen->script = 0;
		assert_int_equal(cloud_do(&c, &call, NULL, &r, why), CLOUD_DENIED);
		assert_int_equal(strlen(r.body), strlen(call.body)); /* it was there to be shown */
		assert_string_equal(why, "Some Cloud: denied: HTTP 403: (*********************)"
					 "(**********************)(**************)(short)");
		http_reply_free(&r);
		/* of another failure the caller makes the words */
		rig.seen->script = 0;
		call.url = rig_url(&rig, "/422b");
		assert_int_equal(cloud_do(&c, &call, NULL, &r, why), CLOUD_ANSWERED);
		assert_string_equal(r.body, "(*********************)"
					    "(**********************)(**************)(short)");
		http_reply_free(&r);
	}
}

static void an_answers_beginning_is_shown(void **state)
{
	char text[1000], shown[256];
	struct http_reply r = {.body = text};

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(strlen(cloud_shown(&r, shown)), 200);
	r.body = NULL;
	assert_string_equal(cloud_shown(&r, shown), "");
}

static void put(const char *path, const char *data, size_t n, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), (ssize_t)n);
	close(fd);
}

static void a_secret_is_the_whole_of_a_private_file(void **state)
{
	char folder[] = "/tmp/cloud-XXXXXX", path[64], why[DNS_WHY] = "", *secret = NULL;
	char *long_one = calloc(1, 70000);

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/key", folder);
	put(path, "abc def\n", 8, 0600);
	assert_int_equal(cloud_secret(path, &secret, why), 0);
	assert_string_equal(secret, "abc def");
	cloud_forget(secret);
	put(path, "{\n\"a\": 1\n}\r\n", 12, 0600);
	assert_int_equal(cloud_secret(path, &secret, why), 0);
	assert_string_equal(secret, "{\n\"a\": 1\n}");
	cloud_forget(secret);
	secret = NULL;
	put(path, "abc\n", 4, 0640);
	assert_int_equal(cloud_secret(path, &secret, why), -EPERM);
	assert_non_null(strstr(why, "can be read by others"));
	assert_null(strstr(why, "abc"));
	put(path, "\n\n", 2, 0600);
	assert_int_equal(cloud_secret(path, &secret, why), -EINVAL);
	assert_non_null(strstr(why, "is empty"));
	put(path, "a\0b", 3, 0600);
	assert_int_equal(cloud_secret(path, &secret, why), -EINVAL);
	memset(long_one, 'a', 70000);
	put(path, long_one, 70000, 0600);
	assert_int_equal(cloud_secret(path, &secret, why), -EFBIG);
	unlink(path);
	assert_int_equal(cloud_secret(path, &secret, why), -ENOENT);
	assert_non_null(strstr(why, path));
	assert_int_equal(cloud_secret(folder, &secret, why), -EINVAL);
	assert_null(secret);
	cloud_forget(NULL);
	free(long_one);
	rmdir(folder);
}

static void escaping_leaves_only_what_is_unreserved(void **state)
{
	char text[64];

	(void)state;
	assert_int_equal(cloud_escape("aZ09-_.~", text, sizeof(text)), 0);
	assert_string_equal(text, "aZ09-_.~");
	assert_int_equal(cloud_escape("a b/*+&=%\\\xc3\xa9", text, sizeof(text)), 0);
	assert_string_equal(text, "a%20b%2F%2A%2B%26%3D%25%5C%C3%A9");
	assert_int_equal(cloud_escape("", text, 1), 0);
	assert_string_equal(text, "");
	assert_int_equal(cloud_escape("abc", text, 4), 0);
	assert_int_equal(cloud_escape("abc", text, 3), -ENOSPC);
	assert_int_equal(cloud_escape("a/", text, 4), -ENOSPC);
}

static int start(void **state)
{
	(void)state;
	alarm(100);
	conf.timeout_ms = 1500;
	rig_start(&rig, NULL, answer);
	return 0;
}

static int end(void **state)
{
	(void)state;
	rig_stop(&rig);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_is_repeated_only_when_that_is_safe),
		cmocka_unit_test(patience_ends),
		cmocka_unit_test(where_nobody_is_nothing_was_done),
		cmocka_unit_test(words_hold_no_secret_and_no_control_character),
		cmocka_unit_test(an_answers_beginning_is_shown),
		cmocka_unit_test(a_secret_is_the_whole_of_a_private_file),
		cmocka_unit_test(escaping_leaves_only_what_is_unreserved),
	};

	return cmocka_run_group_tests(tests, start, end);
}
