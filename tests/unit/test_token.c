/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dns/token.h"
#include "userspace/conf/config.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define S	 UINT64_C(1000000000)

static EVP_PKEY *rsa;
static char *pem; /* its private key */

static char *pem_of(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long n;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)n);
	BIO_free(bio);
	return text;
}

static int make_key(void **state)
{
	(void)state;
	rsa = EVP_RSA_gen(2048);
	pem = pem_of(rsa);
	return 0;
}

static int drop_key(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	free(pem);
	return 0;
}

/* A key file's text; NULL leaves a key out. */
static char *account_text(const char *type, const char *key, const char *uri)
{
	json_t *o =
		json_pack("{s:s, s:s*, s:s*}", "type", type, "private_key", key, "token_uri", uri);
	char *text;

	json_object_set_new(o, "client_email", json_string("shift@test.example"));
	json_object_set_new(o, "private_key_id", json_string("kid-1"));
	text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	return text;
}

static void a_token_goes_only_where_it_is_safe(void **state)
{
	static const struct {
		const char *url;
		bool safe;
	} rows[] = {
		{"https://oauth2.googleapis.com/token", true},
		{"https://127.0.0.1:8443/token", true},
		{"http://127.0.0.1:8080/token", true},
		{"http://127.1.2.3/token", true},
		{"http://[::1]:8080/token", true},
		{"http://localhost:1/token", true},
		{"http://localhost", true},
		{"http://oauth2.googleapis.com/token", false},
		{"http://127.0.0.1.evil.example/token", false},
		{"http://localhost.evil.example/", false},
		{"http://localhost@evil.example/", false},
		{"http://127.0.0.1@evil.example/", false},
		{"http://128.0.0.1/", false},
		{"http://[::2]/", false},
		{"http://", false},
		{"https://", false},
		{"https:///token", false},
		{"https://a b/", false},
		{"https://a\r\nX: y/", false},
		{"https://a@b/", false},
		{"HTTPS://example.com/", false},
		{"ftp://127.0.0.1/", false},
		{"file:///etc/passwd", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (token_url_is_safe(rows[i].url) != rows[i].safe)
			fail_msg("%s is %ssafe", rows[i].url, rows[i].safe ? "" : "not ");
}

static void a_token_has_a_successor_at_half_of_its_life(void **state)
{
	static const struct {
		uint64_t age, life;
		bool next, good;
	} rows[] = {
		{0, 3600 * S, false, true},
		{1799 * S, 3600 * S, false, true},
		{1800 * S, 3600 * S, true, true},
		{3539 * S, 3600 * S, true, true},
		{3540 * S, 3600 * S, true, false},
		{4000 * S, 3600 * S, true, false},
		{0, 60 * S, false, true},
		{29 * S, 60 * S, false, true},
		{30 * S, 60 * S, true, true},
		{44 * S, 60 * S, true, true},
		{45 * S, 60 * S, true, false},
		{0, 1, true, true},
		{1, 1, true, false},
		{0, 0, true, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(token_wants_next(rows[i].age, rows[i].life), rows[i].next);
		assert_int_equal(token_is_good(rows[i].age, rows[i].life), rows[i].good);
	}
}

static void what_is_no_service_account_is_refused_without_its_key(void **state)
{
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	char *other = pem_of(ec), *cut = strdup(pem);
	struct {
		const char *type, *key, *uri, *why;
	} rows[] = {
		{"authorized_user", pem, "https://a/token", "must be the key file of a service"},
		{"service_account", NULL, "https://a/token", "no RSA key"},
		{"service_account", other, "https://a/token", "no RSA key"},
		{"service_account", cut, "https://a/token", "no RSA key"},
		{"service_account", "", "https://a/token", "no RSA key"},
		{"service_account", pem, NULL, "no token_uri"},
		{"service_account", pem, "http://a/token", "neither https nor"},
	};
	static const char *const garbage[] = {"",
					      "{",
					      "[]",
					      "null",
					      "-----BEGIN PRIVATE KEY-----",
					      "{\"type\":\"service_account\",\"type\":\"x\"}"};
	struct token_account a = {0};
	char why[DNS_WHY];

	(void)state;
	cut[strlen(cut) / 2] = '\0';
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *text = account_text(rows[i].type, rows[i].key, rows[i].uri);

		assert_int_equal(token_account_parse(text, &a, why), -EINVAL);
		if (!strstr(why, rows[i].why))
			fail_msg("'%s' has no '%s'", why, rows[i].why);
		assert_null(strstr(why, "BEGIN"));
		assert_null(a.key);
		free(text);
	}
	for (size_t i = 0; i < COUNT(garbage); i++) {
		assert_int_equal(token_account_parse(garbage[i], &a, why), -EINVAL);
		assert_null(strstr(why, "BEGIN"));
	}
	free(cut);
	free(other);
	EVP_PKEY_free(ec);
}

/* RFC 7515's base64url of one part of the assertion. */
static size_t decode(const char *text, size_t n, uint8_t *ret, size_t size)
{
	char padded[4096];
	size_t bytes = n * 3 / 4;

	assert_true(n + 4 < sizeof(padded) && n < size);
	for (size_t i = 0; i < n; i++) {
		assert_null(strchr("+/=", text[i]));
		padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	}
	for (; n % 4; n++)
		padded[n] = '=';
	padded[n] = '\0';
	assert_true(EVP_DecodeBlock(ret, (uint8_t *)padded, (int)n) > 0);
	return bytes;
}

static void the_assertion_is_what_rfc_7523_and_google_want(void **state)
{
	struct token_account a = {0};
	char why[DNS_WHY] = "", *jwt = NULL, *text, *dot, *end;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t part[4096];
	json_t *o, *want;
	size_t n;

	(void)state;
	text = account_text("service_account", pem, "https://oauth2.googleapis.com/token");
	assert_int_equal(token_account_parse(text, &a, why), 0);
	assert_int_equal(token_assertion(&a, 1700000000, &jwt), 0);
	dot = strchr(jwt, '.');
	end = strchr(dot + 1, '.');

	n = decode(jwt, (size_t)(dot - jwt), part, sizeof(part));
	o = json_loadb((char *)part, n, 0, NULL);
	want = json_pack("{s:s, s:s, s:s}", "alg", "RS256", "typ", "JWT", "kid", "kid-1");
	assert_true(json_equal(o, want));
	json_decref(o);
	json_decref(want);

	n = decode(dot + 1, (size_t)(end - dot - 1), part, sizeof(part));
	o = json_loadb((char *)part, n, 0, NULL);
	want = json_pack("{s:s, s:s, s:s, s:i, s:i}", "iss", "shift@test.example", "scope",
			 "https://www.googleapis.com/auth/ndev.clouddns.readwrite", "aud",
			 "https://oauth2.googleapis.com/token", "iat", 1700000000, "exp",
			 1700003600);
	assert_true(json_equal(o, want));
	json_decref(o);
	json_decref(want);

	n = decode(end + 1, strlen(end + 1), part, sizeof(part));
	assert_int_equal(n, 256);
	assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, rsa), 1);
	assert_int_equal(EVP_DigestVerify(md, part, n, (uint8_t *)jwt, (size_t)(end - jwt)), 1);
	EVP_MD_CTX_free(md);
	cloud_forget(jwt);
	token_account_free(&a);
	free(text);
}

/* ---- against a login and an API in a thread ---- */

struct server {
	int listener;
	unsigned int port;
	pthread_t thread;
	/* what it shall answer */
	long login_status, api_status[8];
	unsigned int life;
	const char *login_body; /* NULL: a token */
	/* what came */
	unsigned int logins, calls;
	char last[8192]; /* the last login */
	char bearer[256];
};

static void serve_one(struct server *s, int fd)
{
	char text[8192] = "", body[512];
	size_t used = 0, length = 0;
	char *end;
	ssize_t n;
	long status;

	while ((n = read(fd, text + used, sizeof(text) - 1 - used)) > 0) {
		char *at;

		used += (size_t)n;
		text[used] = '\0';
		end = strstr(text, "\r\n\r\n");
		at = strcasestr(text, "\r\nContent-Length: ");
		length = at ? strtoul(at + 18, NULL, 10) : 0;
		if (end && used >= (size_t)(end + 4 - text) + length)
			break;
	}
	if (!strncmp(text, "POST /t/", 8)) {
		s->logins++;
		snprintf(s->last, sizeof(s->last), "%s", text);
		status = s->login_status;
		if (s->login_body)
			snprintf(body, sizeof(body), "%s", s->login_body);
		else
			snprintf(body, sizeof(body),
				 "{\"access_token\":\"token-%u\",\"expires_in\":%u,"
				 "\"token_type\":\"Bearer\"}",
				 s->logins, s->life);
	} else {
		char *at = strstr(text, "Authorization: Bearer ");

		snprintf(s->bearer, sizeof(s->bearer), "%.*s", at ? (int)strcspn(at + 22, "\r") : 0,
			 at ? at + 22 : "");
		status = s->api_status[s->calls++ % 8];
		snprintf(body, sizeof(body), "{}");
	}
	dprintf(fd,
		"HTTP/1.1 %ld X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n%s",
		status ? status : 200, strlen(body), body);
}

static void *serve(void *x)
{
	struct server *s = x;
	int fd;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		serve_one(s, fd);
		close(fd);
	}
	return NULL;
}

static void start(struct server *s)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);

	memset(s, 0, sizeof(*s));
	s->life = 3600;
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&at, size), 0);
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&at, &size), 0);
	s->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
}

static void write_secret(char path[64], const char *text)
{
	int fd;

	snprintf(path, 64, "/tmp/shift-token.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

struct rig {
	struct server s;
	struct conf_provider conf;
	struct cloud cloud;
	char login[64], url[64];
	struct token *t;
	char why[DNS_WHY];
};

static void rig_up(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	start(&r->s);
	r->conf.timeout_ms = 2000;
	snprintf(r->conf.tenant, sizeof(r->conf.tenant), "t");
	snprintf(r->conf.client_id, sizeof(r->conf.client_id), "id&1");
	write_secret(r->conf.key_file, "s%c~r=t&\n");
	snprintf(r->login, sizeof(r->login), "http://127.0.0.1:%u", r->s.port);
	snprintf(r->url, sizeof(r->url), "http://127.0.0.1:%u/api", r->s.port);
	r->cloud = (struct cloud){.title = "Azure DNS", .conf = &r->conf};
}

static void rig_down(struct rig *r)
{
	token_close(r->t);
	stop(&r->s);
	unlink(r->conf.key_file);
}

static enum cloud_outcome call(struct rig *r)
{
	struct cloud_call c = {.method = "GET", .url = r->url, .reads = true};
	struct http_reply reply;
	enum cloud_outcome out = token_call(r->t, &r->cloud, &c, NULL, &reply, r->why);

	http_reply_free(&reply);
	return out;
}

static void the_secret_is_sent_as_a_form_and_the_token_with_each_call(void **state)
{
	static struct rig r;

	(void)state;
	rig_up(&r);
	assert_int_equal(token_open_azure(&r.cloud, r.login, &r.t, r.why), 0);
	assert_non_null(strstr(r.s.last, "POST /t/oauth2/v2.0/token HTTP/1.1\r\n"));
	assert_non_null(strstr(r.s.last, "\r\n\r\ngrant_type=client_credentials&client_id=id%261"
					 "&client_secret=s%25c~r%3Dt%26"
					 "&scope=https%3A%2F%2Fmanagement.azure.com%2F.default"));
	assert_int_equal(call(&r), CLOUD_ANSWERED);
	assert_int_equal(call(&r), CLOUD_ANSWERED);
	assert_string_equal(r.s.bearer, "token-1");
	assert_int_equal(r.s.logins, 1);
	assert_int_equal(r.s.calls, 2);
	rig_down(&r);
}

static void a_token_past_half_of_its_life_is_replaced_before_the_call(void **state)
{
	static struct rig r;

	(void)state;
	rig_up(&r);
	r.s.life = 1;
	assert_int_equal(token_open_azure(&r.cloud, r.login, &r.t, r.why), 0);
	usleep(600 * 1000);
	assert_int_equal(call(&r), CLOUD_ANSWERED);
	assert_string_equal(r.s.bearer, "token-2");
	/* Past its life, and no successor to be had. */
	r.s.login_status = 400;
	usleep(900 * 1000);
	assert_int_equal(call(&r), CLOUD_DENIED);
	assert_int_equal(r.s.calls, 1);
	rig_down(&r);
}

static void a_login_that_fails_is_no_failure_while_the_token_is_good(void **state)
{
	static struct rig r;

	(void)state;
	rig_up(&r);
	r.s.life = 2;
	assert_int_equal(token_open_azure(&r.cloud, r.login, &r.t, r.why), 0);
	r.s.login_status = 400;
	usleep(1100 * 1000);
	assert_int_equal(call(&r), CLOUD_ANSWERED);
	assert_string_equal(r.s.bearer, "token-1");
	assert_int_equal(r.s.logins, 2);
	rig_down(&r);
}

static void a_token_that_is_refused_is_replaced_once(void **state)
{
	static struct rig r;

	(void)state;
	rig_up(&r);
	assert_int_equal(token_open_azure(&r.cloud, r.login, &r.t, r.why), 0);
	r.s.api_status[0] = 401;
	assert_int_equal(call(&r), CLOUD_ANSWERED);
	assert_string_equal(r.s.bearer, "token-2");
	assert_int_equal(r.s.calls, 2);
	r.s.api_status[2] = r.s.api_status[3] = 401;
	assert_int_equal(call(&r), CLOUD_DENIED);
	assert_int_equal(r.s.calls, 4);
	/* No permission is no bad token. */
	r.s.api_status[4] = 403;
	assert_int_equal(call(&r), CLOUD_DENIED);
	assert_int_equal(r.s.calls, 5);
	assert_int_equal(r.s.logins, 3);
	rig_down(&r);
}

static void a_refused_login_says_why_and_never_the_secret(void **state)
{
	static const struct {
		long status;
		const char *body, *why;
		int err;
	} rows[] = {
		{401,
		 "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid "
		 "client secret provided.\\r\\nTrace ID: 1\"}",
		 "Azure DNS: the login is refused: invalid_client: AADSTS7000215: Invalid client "
		 "secret provided.",
		 -EACCES},
		{400, "{\"error\":\"invalid_grant\"}",
		 "invalid_grant (is the key still valid, and this host's clock right?)", -EACCES},
		{403, "go away", "status 403: go away", -EACCES},
		{200, "{}", "without a token", -EACCES},
		{200, "{\"access_token\":\"a b\",\"token_type\":\"Bearer\",\"expires_in\":9}",
		 "without a token", -EACCES},
		{200, "{\"access_token\":\"ab\",\"token_type\":\"mac\",\"expires_in\":9}",
		 "without a token", -EACCES},
		{200, "{\"access_token\":\"ab\",\"token_type\":\"Bearer\"}", "without a token",
		 -EACCES},
	};
	static struct rig r;

	(void)state;
	rig_up(&r);
	for (size_t i = 0; i < COUNT(rows); i++) {
		r.s.login_status = rows[i].status;
		r.s.login_body = rows[i].body;
		assert_int_equal(token_open_azure(&r.cloud, r.login, &r.t, r.why), rows[i].err);
		assert_null(r.t);
		if (!strstr(r.why, rows[i].why))
			fail_msg("'%s' has no '%s'", r.why, rows[i].why);
		assert_null(strstr(r.why, "Trace"));
		assert_null(strstr(r.why, "s%"));
	}
	rig_down(&r);
}

static void a_secret_that_others_can_read_is_refused_before_any_login(void **state)
{
	static struct rig r;
	char *text;

	(void)state;
	rig_up(&r);
	assert_int_equal(chmod(r.conf.key_file, 0644), 0);
	assert_int_equal(token_open_azure(&r.cloud, r.login, &r.t, r.why), -EPERM);
	assert_non_null(strstr(r.why, "chmod 600"));
	assert_int_equal(token_open_azure(&r.cloud, "http://login.example", &r.t, r.why), -EINVAL);
	assert_non_null(strstr(r.why, "must be https"));
	unlink(r.conf.key_file);
	assert_int_equal(token_open_azure(&r.cloud, r.login, &r.t, r.why), -ENOENT);
	text = account_text("service_account", pem, "http://192.0.2.1/token");
	write_secret(r.conf.key_file, text);
	assert_int_equal(token_open_google(&r.cloud, r.conf.key_file, &r.t, r.why), -EINVAL);
	assert_int_equal(r.s.logins, 0);
	free(text);
	rig_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_goes_only_where_it_is_safe),
		cmocka_unit_test(a_token_has_a_successor_at_half_of_its_life),
		cmocka_unit_test(what_is_no_service_account_is_refused_without_its_key),
		cmocka_unit_test(the_assertion_is_what_rfc_7523_and_google_want),
		cmocka_unit_test(the_secret_is_sent_as_a_form_and_the_token_with_each_call),
		cmocka_unit_test(a_token_past_half_of_its_life_is_replaced_before_the_call),
		cmocka_unit_test(a_login_that_fails_is_no_failure_while_the_token_is_good),
		cmocka_unit_test(a_token_that_is_refused_is_replaced_once),
		cmocka_unit_test(a_refused_login_says_why_and_never_the_secret),
		cmocka_unit_test(a_secret_that_others_can_read_is_refused_before_any_login),
	};

	return cmocka_run_group_tests(tests, make_key, drop_key);
}
