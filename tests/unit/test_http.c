/* SPDX-License-Identifier: GPL-2.0-only */
#include <dlfcn.h>
#include <math.h>
#include <netdb.h>
#include <time.h>

#include "tests/unit/http_rig.h"
#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/net/http.h"
#include "userspace/net/public.h"

#define MS   1000000ull
#define MANY 200

static struct rig plain, tls;
static char ca_file[64];
static struct loop *l;

/*
 * libcurl's threads call this one: names that lead where no test may really go, and one that takes
 * long.
 */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
		(int (*)(const char *, const char *, const struct addrinfo *,
			 struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");

	if (name && !strcmp(name, "slow.test")) {
		sleep(3);
		return EAI_NONAME;
	}
	if (name && !strcmp(name, "metadata.test"))
		name = "169.254.169.254";
	if (name && !strcmp(name, "here.test"))
		name = "127.0.0.1";
	if (name && !strcmp(name, "none.test"))
		return EAI_NONAME;
	return real(name, service, hints, ret);
}

static bool answer(const struct rig_link *k, const char *path)
{
	static char block[65536];

	if (!strcmp(path, "/ok"))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"v1\"\r\n"
				  "Content-Type: text/plain; charset=utf-8\r\n"
				  "Retry-After: 7\r\n\r\nhello");
	if (!strcmp(path, "/empty"))
		return rig_say(k, "HTTP/1.1 204 No Content\r\n\r\n");
	if (!strcmp(path, "/redirect"))
		return rig_say(k,
			       "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
	if (!strcmp(path, "/dated"))
		return rig_say(k, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n"
				  "Retry-After: Fri, 31 Dec 2099 23:59:59 GMT\r\n\r\n");
	if (!strcmp(path, "/wait")) {
		usleep(300000);
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
	if (!strcmp(path, "/big")) {
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
	if (!strcmp(path, "/headers")) {
		rig_say(k, "HTTP/1.1 200 OK\r\n");
		while (rig_say(k, "X-More: 0123456789012345678901234567890123456789\r\n"))
			;
	}
	if (!strcmp(path, "/early")) {
		while (rig_say(k, "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"))
			;
	}
	if (!strcmp(path, "/silence"))
		sleep(20);
	if (!strcmp(path, "/cut"))
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
	if (!strcmp(path, "/garbage"))
		rig_say(k, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
	return false; /* "/die" and all else */
}

static struct http_reply ask(const struct http_request *q)
{
	struct http_reply r;

	int err = http_do(q, &r);

	assert_int_equal(err, r.err);
	if (r.err) {
		assert_null(r.body);
		assert_true(r.why[0]);
	} else {
		assert_non_null(r.body);
	}
	return r;
}

/* An error, with its code and whether it may have been carried out; ends within the time. */
static void fails(const struct http_request *q, int err, bool sent, unsigned int within_ms)
{
	uint64_t begun = loop_now();
	struct http_reply r = ask(q);

	if (r.err != err || r.sent != sent)
		fail_msg("%s: %d (%s), sent %d instead of %d, sent %d", q->url, r.err, r.why,
			 r.sent, err, sent);
	if (loop_now() - begun > within_ms * MS)
		fail_msg("%s took %llu ms", q->url,
			 (unsigned long long)((loop_now() - begun) / MS));
	http_reply_free(&r);
}

static void an_answer_comes_with_its_parts(void **state)
{
	struct http_request q = {.url = rig_url(&plain, "/ok")};
	struct http_reply r = ask(&q);

	(void)state;
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "hello");
	assert_int_equal(r.size, 5);
	assert_string_equal(r.type, "text/plain; charset=utf-8");
	assert_string_equal(r.etag, "\"v1\"");
	assert_true(r.retry_after_s == 7);
	assert_true(r.sent);
	assert_true(r.connect_ns && r.connect_ns <= r.first_ns && r.first_ns <= r.total_ns);
	http_reply_free(&r);
	assert_null(r.body);
	q.url = rig_url(&plain, "/empty");
	r = ask(&q);
	assert_int_equal(r.status, 204);
	assert_int_equal(r.size, 0);
	assert_true(isnan(r.retry_after_s));
	http_reply_free(&r);
	q.url = rig_url(&plain, "/dated");
	r = ask(&q);
	assert_true(r.retry_after_s > 1e9);
	http_reply_free(&r);
}

static void method_headers_and_body_are_sent_as_given(void **state)
{
	static const char *const headers[] = {"X-One: 1", "Content-Type: application/json", NULL};
	static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct http_request q = {.method = methods[i],
					 .url = rig_url(&plain, "/ok"),
					 .headers = headers,
					 .body = "{\"a\":1}",
					 .body_size = 7};
		struct http_reply r = ask(&q);
		char first[64];

		snprintf(first, sizeof(first), "%s /ok HTTP/1.1\r\n", methods[i]);
		assert_ptr_equal(strstr(plain.seen->request, first), plain.seen->request);
		assert_non_null(strstr(plain.seen->request, "\r\nX-One: 1\r\n"));
		assert_non_null(
			strstr(plain.seen->request, "\r\nContent-Type: application/json\r\n"));
		assert_non_null(strstr(plain.seen->request, "\r\n\r\n{\"a\":1}"));
		http_reply_free(&r);
	}
	{
		struct http_request q = {.method = "DELETE", .url = rig_url(&plain, "/ok")};
		struct http_reply r = ask(&q);

		assert_ptr_equal(strstr(plain.seen->request, "DELETE /ok"), plain.seen->request);
		http_reply_free(&r);
		q.method = "HEAD";
		q.url = rig_url(&plain, "/empty");
		r = ask(&q);
		assert_ptr_equal(strstr(plain.seen->request, "HEAD /empty"), plain.seen->request);
		http_reply_free(&r);
	}
}

static void a_redirect_is_an_answer_and_is_not_followed(void **state)
{
	struct http_request q = {.url = rig_url(&plain, "/redirect")};
	unsigned int before = plain.seen->requests;
	struct http_reply r = ask(&q);

	(void)state;
	assert_int_equal(r.status, 302);
	assert_int_equal(plain.seen->requests, before + 1);
	http_reply_free(&r);
}

static void no_answer_is_longer_or_lasts_longer_than_allowed(void **state)
{
	(void)state;
	fails(&(struct http_request){.url = rig_url(&plain, "/big")}, -EFBIG, true, 2000);
	fails(&(struct http_request){.url = rig_url(&plain, "/endless"), .max_size = 1000}, -EFBIG,
	      true, 2000);
	fails(&(struct http_request){.url = rig_url(&plain, "/ok"), .max_size = 4}, -EFBIG, true,
	      2000);
	fails(&(struct http_request){.url = rig_url(&plain, "/headers")}, -EFBIG, true, 5000);
	fails(&(struct http_request){.url = rig_url(&plain, "/early")}, -EFBIG, true, 5000);
	fails(&(struct http_request){.url = rig_url(&plain, "/drip"), .timeout_ns = 300 * MS},
	      -ETIMEDOUT, true, 2000);
	fails(&(struct http_request){.url = rig_url(&plain, "/silence"), .timeout_ns = 300 * MS},
	      -ETIMEDOUT, true, 2000);
	{
		struct http_request q = {.url = rig_url(&plain, "/ok"), .max_size = 5};
		struct http_reply r = ask(&q);

		assert_string_equal(r.body, "hello"); /* exactly as long as allowed */
		http_reply_free(&r);
	}
}

static void a_broken_answer_is_an_error_and_may_have_been_carried_out(void **state)
{
	(void)state;
	fails(&(struct http_request){.url = rig_url(&plain, "/die")}, -ECONNRESET, true, 2000);
	fails(&(struct http_request){.url = rig_url(&plain, "/cut")}, -ECONNRESET, true, 2000);
	fails(&(struct http_request){.url = rig_url(&plain, "/garbage")}, -EPROTO, true, 2000);
}

static void what_never_reached_a_server_was_not_sent(void **state)
{
	struct rig gone = {0};

	(void)state;
	rig_start(&gone, NULL, answer);
	rig_stop(&gone);
	gone.tls = NULL;
	fails(&(struct http_request){.url = rig_url(&gone, "/ok")}, -ECONNREFUSED, false, 2000);
	fails(&(struct http_request){.url = "http://none.test/"}, -ENOENT, false, 2000);
	fails(&(struct http_request){.url = "ftp://127.0.0.1/"}, -EINVAL, false, 2000);
	fails(&(struct http_request){.url = "file:///etc/hostname"}, -EINVAL, false, 2000);
	fails(&(struct http_request){.url = "http://user:secret@127.0.0.1/"}, -EINVAL, false, 2000);
	fails(&(struct http_request){.url = "http://127.0.0.1:1\r\nX: y/"}, -EINVAL, false, 2000);
	fails(&(struct http_request){.url = rig_url(&plain, "/ok"), .method = "GET /x"}, -EINVAL,
	      false, 2000);
	{
		static const char *const bad[] = {"X: a\r\nY: b", "Host:", "Accept", "X;", ": v"};

		for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
			const char *const headers[] = {bad[i], NULL};

			fails(&(struct http_request){.url = rig_url(&plain, "/ok"),
						     .headers = headers},
			      -EINVAL, false, 2000);
		}
	}
}

static void certificates_are_verified(void **state)
{
	struct http_request q = {.url = rig_url(&tls, "/ok")};
	unsigned int before = tls.seen->requests;
	struct http_reply r = ask(&q);
	char url[128];

	(void)state;
	assert_int_equal(r.err, -EPROTO); /* an authority that the system does not know */
	assert_true(r.tls_failed);
	assert_false(r.sent);
	q.ca_file = ca_file;
	r = ask(&q); /* the right authority, but the certificate is for another name */
	assert_int_equal(r.err, -EPROTO);
	assert_true(r.tls_failed);
	assert_int_equal(tls.seen->requests, before);
	snprintf(url, sizeof(url), "https://www.example.test/ok");
	q.url = url;
	q.connect_to = rig_url(&tls, "") + strlen("https://");
	r = ask(&q);
	assert_int_equal(r.err, 0);
	assert_int_equal(r.status, 200);
	assert_string_equal(tls.seen->sni, "www.example.test");
	assert_non_null(strstr(tls.seen->request, "\r\nHost: www.example.test\r\n"));
	http_reply_free(&r);
	q.ca_file = "/nonexistent";
	r = ask(&q);
	assert_true(r.err && r.tls_failed && !r.sent);
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/ok", plain.port);
	q = (struct http_request){.url = url};
	r = ask(&q); /* no TLS at all there */
	assert_true(r.err && r.tls_failed && !r.sent);
}

static void old_tls_is_refused(void **state)
{
	char file[] = "/tmp/http-old-XXXXXX";
	struct rig old = {0};
	struct http_request q = {.url = "https://www.example.test/ok", .ca_file = file};
	struct http_reply r;
	SSL_CTX *x;

	(void)state;
	close(mkstemp(file));
	x = rig_certificate("www.example.test", file);
	SSL_CTX_set_min_proto_version(x, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(x, TLS1_1_VERSION);
	SSL_CTX_set_security_level(x, 0);
	rig_start(&old, x, answer);
	q.connect_to = rig_url(&old, "") + strlen("https://");
	r = ask(&q);
	assert_true(r.err == -EPROTO && r.tls_failed && !r.sent);
	rig_stop(&old);
	SSL_CTX_free(x);
	unlink(file);
}

static void addresses_that_lead_inwards_are_not_public(void **state)
{
	static const struct {
		const char *address;
		bool public;
	} table[] = {
		{"203.0.113.9", true},
		{"10.1.2.3", true},
		{"192.168.0.1", true},
		{"2001:db8::1", true},
		{"fd12:3456::1", true},
		{"169.255.0.1", true},
		{"128.0.0.1", true},
		{"127.0.0.1", false},
		{"127.255.255.254", false},
		{"0.0.0.0", false},
		{"0.1.2.3", false},
		{"169.254.169.254", false},
		{"169.254.0.1", false},
		{"224.0.0.1", false},
		{"239.255.255.250", false},
		{"255.255.255.255", false},
		{"168.63.129.16", false},
		{"100.100.100.200", false},
		{"192.0.0.192", false},
		{"::", false},
		{"::1", false},
		{"fe80::1", false},
		{"febf::1", false},
		{"fec0::1", true},
		{"ff02::1", false},
		{"fd00:ec2::254", false},
		{"fd20:ce::254", false},
		{"::ffff:127.0.0.1", false},
		{"::ffff:203.0.113.9", true},
		{"64:ff9b::169.254.169.254", false},
		{"64:ff9b::203.0.113.9", true},
		{"2002:a9fe:a9fe::1", false},
		{"2002:cb00:7109::1", true},
		{"::127.0.0.1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		uint32_t address[4];
		struct in6_addr six;
		struct in_addr four;

		if (inet_pton(AF_INET, table[i].address, &four) == 1) {
			ip_map(four.s_addr, address);
		} else {
			assert_int_equal(inet_pton(AF_INET6, table[i].address, &six), 1);
			memcpy(address, &six, 16);
		}
		if (ip_is_public(address) != table[i].public)
			fail_msg("%s", table[i].address);
	}
}

static void only_public_addresses_are_connected_to_when_that_is_asked(void **state)
{
	unsigned int before = plain.seen->connections;
	char url[128], to[64];

	(void)state;
	fails(&(struct http_request){.url = rig_url(&plain, "/ok"), .public_only = true}, -EACCES,
	      false, 2000);
	fails(&(struct http_request){.url = "http://169.254.169.254/latest/meta-data/",
				     .public_only = true},
	      -EACCES, false, 2000);
	fails(&(struct http_request){.url = "http://[::ffff:169.254.169.254]/",
				     .public_only = true},
	      -EACCES, false, 2000);
	fails(&(struct http_request){.url = "http://metadata.test/", .public_only = true}, -EACCES,
	      false, 2000); /* a name that leads there */
	fails(&(struct http_request){.url = "http://2852039166/", .public_only = true}, -EACCES,
	      false, 2000); /* 169.254.169.254 as one number */
	snprintf(url, sizeof(url), "http://here.test:%u/ok", plain.port);
	fails(&(struct http_request){.url = url, .public_only = true}, -EACCES, false, 2000);
	snprintf(to, sizeof(to), "127.0.0.1:%u", plain.port);
	fails(&(struct http_request){.url = "http://192.0.2.1/",
				     .connect_to = to,
				     .public_only = true},
	      -EACCES, false, 2000);
	assert_int_equal(plain.seen->connections, before);
}

/* ---- on the loop ---- */

struct got {
	unsigned int n, ok;
	int err;
	bool stop;
	unsigned int until;
	struct http *free;
};

static void on_done(void *arg, const struct http_reply *r)
{
	struct got *g = arg;

	g->n++;
	g->err = r->err;
	g->ok += !r->err && r->status == 200;
	http_free(g->free);
	g->free = NULL;
	if (g->n == g->until)
		loop_stop(l, 0);
}

static void on_stop(void *arg, uint64_t now)
{
	(void)arg, (void)now;
	loop_stop(l, 1);
}

/* 0: stopped by on_done; 1: the time was over. */
static int run(unsigned int ms)
{
	struct loop_timer t = {0};
	int code;

	assert_int_equal(loop_timer_set(l, &t, loop_now() + ms * MS, on_stop, NULL), 0);
	code = loop_run(l);
	loop_timer_stop(l, &t);
	return code;
}

static int make(void **state)
{
	struct http *h;

	alarm(60);
	if (loop_make(&l) || http_make(l, &h))
		return -1;
	*state = h;
	return 0;
}

static int unmake(void **state)
{
	http_free(*state);
	loop_free(l);
	alarm(0);
	return 0;
}

static void begin(struct http *h, const char *url, struct got *g, struct http_call **ret)
{
	assert_int_equal(http_begin(h, &(struct http_request){.url = url}, on_done, g, ret), 0);
}

static void many_at_once_wait_for_none_of_each_other(void **state)
{
	struct got g = {.until = MANY};
	uint64_t begun = loop_now();

	for (unsigned int i = 0; i < MANY; i++)
		begin(*state, rig_url(&plain, "/wait"), &g, NULL);
	assert_int_equal(g.n, 0); /* never from http_begin */
	assert_int_equal(run(25000), 0);
	assert_int_equal(g.ok, MANY);
	/* 60 s one after the other */
	assert_true(loop_now() - begun < 20000 * MS);
}

static void a_cancelled_request_is_never_heard_of_again(void **state)
{
	struct got cancelled = {0}, other = {.until = 1};
	struct http_call *c[3];

	begin(*state, rig_url(&plain, "/wait"), &cancelled, &c[0]);
	begin(*state, "http://slow.test/", &cancelled, &c[1]);
	begin(*state, rig_url(&plain, "/endless"), &cancelled, &c[2]);
	begin(*state, rig_url(&plain, "/ok"), &other, NULL);
	http_cancel(c[0]); /* before it began */
	assert_int_equal(run(10000), 0);
	http_cancel(c[1]); /* while its name is looked up */
	if (!cancelled.n)
		http_cancel(c[2]);
	cancelled.n = 0;
	assert_int_equal(run(600), 1);
	assert_int_equal(cancelled.n, 0);
	http_cancel(NULL);
}

static void a_name_that_takes_long_holds_up_nothing(void **state)
{
	struct got slow = {.until = 1}, g = {.until = 1};
	uint64_t begun = loop_now();
	struct http_request q = {.url = "http://slow.test/", .timeout_ns = 1600 * MS};

	assert_int_equal(http_begin(*state, &q, on_done, &slow, NULL), 0);
	begin(*state, rig_url(&plain, "/ok"), &g, NULL);
	assert_int_equal(run(10000), 0);
	assert_int_equal(g.ok, 1);
	assert_true(loop_now() - begun < 1500 * MS);
	assert_int_equal(run(10000), 0);
	assert_int_equal(slow.err, -ETIMEDOUT);
	http_free(*state);
	*state = NULL;
	assert_true(loop_now() - begun < 2800 * MS); /* nor does it hold up the end */
}

static void everything_may_be_freed_from_a_callback(void **state)
{
	struct got g = {.free = *state}, never = {0};

	*state = NULL;
	begin(g.free, rig_url(&plain, "/wait"), &never, NULL);
	begin(g.free, rig_url(&plain, "/ok"), &g, NULL);
	assert_int_equal(run(1000), 1);
	assert_int_equal(g.ok, 1);
	assert_int_equal(never.n, 0);
}

static void connections_are_kept_and_a_change_is_sent_once(void **state)
{
	unsigned int connections = plain.seen->connections, requests;
	struct http_request q = {
		.url = rig_url(&plain, "/die"), .method = "POST", .body = "x", .body_size = 1};
	struct got g = {.until = 1};

	for (unsigned int i = 0; i < 3; i++) {
		g.n = 0;
		begin(*state, rig_url(&plain, "/ok"), &g, NULL);
		assert_int_equal(run(10000), 0);
	}
	assert_int_equal(plain.seen->connections, connections + 1);
	/* on the kept connection, which the server closes: libcurl tries a new one, too */
	requests = plain.seen->requests;
	g.n = 0;
	assert_int_equal(http_begin(*state, &q, on_done, &g, NULL), 0);
	assert_int_equal(run(10000), 0);
	assert_int_equal(plain.seen->requests, requests + 2);
	g.n = 0;
	begin(*state, rig_url(&plain, "/ok"), &g, NULL);
	assert_int_equal(run(10000), 0);
	requests = plain.seen->requests;
	g.n = 0;
	q.once = true;
	q.url = rig_url(&plain, "/die");
	assert_int_equal(http_begin(*state, &q, on_done, &g, NULL), 0);
	assert_int_equal(run(10000), 0);
	assert_int_equal(g.err, -ECONNRESET);
	assert_int_equal(plain.seen->requests, requests + 1);
}

static void a_kept_connection_is_not_used_for_what_may_only_go_to_public_addresses(void **state)
{
	struct http_request q = {.url = rig_url(&plain, "/ok"), .public_only = true};
	struct got g = {.until = 1};
	unsigned int requests;

	begin(*state, rig_url(&plain, "/ok"), &g, NULL);
	assert_int_equal(run(10000), 0);
	requests = plain.seen->requests;
	g.n = 0;
	assert_int_equal(http_begin(*state, &q, on_done, &g, NULL), 0);
	assert_int_equal(run(10000), 0);
	assert_int_equal(g.err, -EACCES);
	assert_int_equal(plain.seen->requests, requests);
}

static int start(void **state)
{
	SSL_CTX *x;

	(void)state;
	strcpy(ca_file, "/tmp/http-ca-XXXXXX");
	close(mkstemp(ca_file));
	x = rig_certificate("www.example.test", ca_file);
	rig_start(&plain, NULL, answer);
	rig_start(&tls, x, answer);
	return 0;
}

static int end(void **state)
{
	(void)state;
	rig_stop(&plain);
	rig_stop(&tls);
	SSL_CTX_free(tls.tls);
	unlink(ca_file);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_comes_with_its_parts),
		cmocka_unit_test(method_headers_and_body_are_sent_as_given),
		cmocka_unit_test(a_redirect_is_an_answer_and_is_not_followed),
		cmocka_unit_test(no_answer_is_longer_or_lasts_longer_than_allowed),
		cmocka_unit_test(a_broken_answer_is_an_error_and_may_have_been_carried_out),
		cmocka_unit_test(what_never_reached_a_server_was_not_sent),
		cmocka_unit_test(certificates_are_verified),
		cmocka_unit_test(old_tls_is_refused),
		cmocka_unit_test(addresses_that_lead_inwards_are_not_public),
		cmocka_unit_test(only_public_addresses_are_connected_to_when_that_is_asked),
		cmocka_unit_test_setup_teardown(many_at_once_wait_for_none_of_each_other, make,
						unmake),
		cmocka_unit_test_setup_teardown(a_cancelled_request_is_never_heard_of_again, make,
						unmake),
		cmocka_unit_test_setup_teardown(a_name_that_takes_long_holds_up_nothing, make,
						unmake),
		cmocka_unit_test_setup_teardown(everything_may_be_freed_from_a_callback, make,
						unmake),
		cmocka_unit_test_setup_teardown(connections_are_kept_and_a_change_is_sent_once,
						make, unmake),
		cmocka_unit_test_setup_teardown(
			a_kept_connection_is_not_used_for_what_may_only_go_to_public_addresses,
			make, unmake),
	};

	return cmocka_run_group_tests(tests, start, end);
}
