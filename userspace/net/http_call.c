/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http_call.c - one request: what libcurl is told, what it tells while the answer comes, and what
 * came of it
 */
#include "userspace/net/http_inner.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "userspace/base/ip.h"
#include "userspace/net/public.h"

#define TIMEOUT_NS  10000000000ull
#define MAX_SIZE    (1u << 20)
#define MAX_HEADERS (64u << 10)
#define MS	    1000000ull

static bool may_connect(const struct http_call *c, const uint32_t address[4])
{
	return !c->public_only || ip_is_public(address) || (c->own_host && ip_is_loopback(address));
}

static bool may_connect_to(const struct http_call *c, const struct sockaddr *sa)
{
	uint32_t address[4];

	if (sa->sa_family == AF_INET)
		ip_map(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr, address);
	else if (sa->sa_family == AF_INET6)
		memcpy(address, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	else
		return !c->public_only;
	return may_connect(c, address);
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct http_call *c = arg;

	(void)purpose;
	if (!may_connect_to(c, &a->addr)) {
		c->refused = true;
		return CURL_SOCKET_BAD;
	}
	c->opened = true;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* The connection is there, old or new, and nothing was written to it. */
static int on_ready(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct http_call *c = arg;
	uint32_t address[4];
	uint16_t none;

	(void)local_ip, (void)port, (void)local_port;
	if (c->public_only && (ip_parse(ip, address, &none) || !may_connect(c, address))) {
		c->refused = true;
		c->opened = false;
		return CURL_PREREQFUNC_ABORT;
	}
	c->reply.sent = true;
	return CURL_PREREQFUNC_OK;
}

/* ---- the answer as it comes ---- */

void http_wipe(void *data, size_t size)
{
	if (data)
		explicit_bzero(data, size);
	free(data);
}

static bool make_room(struct http_call *c, size_t size)
{
	size_t room = c->room ? c->room : 4096;
	char *body;

	while (room < size)
		room *= 2;
	if (c->reply.body && room == c->room)
		return true;
	body = malloc(room);
	if (!body)
		return false;
	if (c->reply.body)
		memcpy(body, c->reply.body, c->reply.size);
	http_wipe(c->reply.body, c->room); /* answers carry tokens */
	c->reply.body = body;
	c->room = room;
	return true;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
	struct http_call *c = arg;
	struct http_reply *r = &c->reply;

	(void)one;
	if (n > c->max_size - r->size) {
		c->too_big = true;
		return 0;
	}
	if (!make_room(c, r->size + n + 1))
		return 0;
	memcpy(r->body + r->size, data, n);
	r->size += n;
	return n;
}

/* The value of the header `name`, if it is that. Returns ret, or NULL. */
static const char *header(const char *line, size_t n, const char *name, char *ret, size_t size)
{
	size_t k = strlen(name);

	if (n <= k || strncasecmp(line, name, k) || line[k] != ':')
		return NULL;
	for (line += k + 1, n -= k + 1; n && isspace((unsigned char)*line); n--)
		line++;
	while (n && isspace((unsigned char)line[n - 1]))
		n--;
	if (n >= size || memchr(line, 0, n))
		return NULL;
	memcpy(ret, line, n);
	ret[n] = '\0';
	return ret;
}

/* Seconds, or a date. */
static double retry_after(const char *text)
{
	double s = 0;
	time_t at;

	if (isdigit((unsigned char)*text)) {
		for (; isdigit((unsigned char)*text) && s < 1e9; text++)
			s = s * 10 + (*text - '0');
		return *text && !isdigit((unsigned char)*text) ? (double)NAN : s;
	}
	at = curl_getdate(text, NULL);
	if (at == -1)
		return (double)NAN;
	s = difftime(at, time(NULL));
	return s < 0 ? 0 : s;
}

static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
	struct http_call *c = arg;
	struct http_reply *r = &c->reply;
	char text[128];

	(void)one;
	c->header_size += n;
	if (c->header_size > MAX_HEADERS) {
		c->too_big = true;
		return 0;
	}
	if (n >= 5 && !strncmp(line, "HTTP/", 5)) { /* also behind a 1xx */
		r->etag[0] = r->type[0] = '\0';
		r->retry_after_s = (double)NAN;
	}
	header(line, n, "ETag", r->etag, sizeof(r->etag));
	header(line, n, "Content-Type", r->type, sizeof(r->type));
	if (header(line, n, "Retry-After", text, sizeof(text)))
		r->retry_after_s = retry_after(text);
	return n;
}

/* ---- the request ---- */

static void forget_list(struct curl_slist *list)
{
	for (struct curl_slist *s = list; s; s = s->next)
		explicit_bzero(s->data, strlen(s->data));
	curl_slist_free_all(list);
}

void http_call_free(struct http_call *c)
{
	if (!c)
		return;
	if (c->easy) {
		curl_multi_remove_handle(c->h->multi, c->easy);
		curl_easy_cleanup(c->easy);
	}
	if (c->back) {
		*c->back = c->next;
		if (c->next)
			c->next->back = c->back;
	}
	forget_list(c->headers);
	curl_slist_free_all(c->connect_to);
	http_wipe(c->body, c->body_size);
	http_wipe(c->reply.body, c->room);
	free(c);
}

static int append(struct curl_slist **list, const char *text)
{
	struct curl_slist *more = curl_slist_append(*list, text);

	if (!more)
		return -ENOMEM;
	*list = more;
	return 0;
}

/* "Name: value" and nothing else: libcurl takes "Name:" as an order to leave a header out. */
static bool sound_header(const char *line)
{
	size_t name = strcspn(line, ":");

	if (!name || line[name] != ':' || line[name + 1] != ' ' || !line[name + 2])
		return false;
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			return false;
	return true;
}

static bool sound_method(const char *text)
{
	for (const char *s = text; *s; s++)
		if (*s < 'A' || *s > 'Z')
			return false;
	return *text;
}

/* Any setopt that fails makes the whole fail; memory is the only reason it has. */
#define SET(option, value) (bad |= curl_easy_setopt(c->easy, CURLOPT_##option, value) != CURLE_OK)

static int set_method(struct http_call *c, const struct http_request *q)
{
	const char *method = q->method ? q->method : "GET";
	bool bad = false;

	if (!strcmp(method, "HEAD"))
		return SET(NOBODY, 1L) ? -ENOMEM : 0;
	if (q->body || !strcmp(method, "POST") || !strcmp(method, "PUT") ||
	    !strcmp(method, "PATCH")) {
		c->body_size = q->body ? q->body_size : 0;
		c->body = malloc(c->body_size + 1);
		if (!c->body)
			return -ENOMEM;
		if (c->body_size)
			memcpy(c->body, q->body, c->body_size);
		SET(POSTFIELDSIZE_LARGE, (curl_off_t)c->body_size);
		SET(POSTFIELDS, c->body);
	}
	if (strcmp(method, c->body ? "POST" : "GET"))
		SET(CUSTOMREQUEST, method);
	return bad ? -ENOMEM : 0;
}

static int set_headers(struct http_call *c, const struct http_request *q)
{
	int err = 0;

	for (const char *const *s = q->headers; s && *s && !err; s++)
		err = sound_header(*s) ? append(&c->headers, *s) : -EINVAL;
	if (!err && q->connect_to) {
		char text[300];

		/* ::ADDRESS:PORT is "whatever the URL says, connect there" */
		if (snprintf(text, sizeof(text), "::%s", q->connect_to) >= (int)sizeof(text))
			return -EINVAL;
		err = append(&c->connect_to, text);
	}
	return err;
}

static int set_options(struct http_call *c, const struct http_request *q, bool once)
{
	uint64_t ns = q->timeout_ns ? q->timeout_ns : TIMEOUT_NS;
	bool bad = false;

	SET(URL, q->url);
	SET(PROTOCOLS_STR, "http,https");
	SET(DISALLOW_USERNAME_IN_URL, 1L);
	SET(PROXY, "");
	SET(FOLLOWLOCATION, 0L);
	SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(TIMEOUT_MS, (long)(ns >= INT32_MAX * MS ? INT32_MAX : (ns + MS - 1) / MS));
	/* Without this the end of a request waits for the thread that resolves its name. SIGPIPE is
	 * libcurl's to hold off, which it does as long as CURLOPT_NOSIGNAL is not set. */
	SET(QUICK_EXIT, 1L);
	SET(HTTP_VERSION, (long)(once ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
	/* Many questions share a connection, where TLS can tell that the server speaks HTTP/2. */
	SET(PIPEWAIT, !once && !strncasecmp(q->url, "https:", 6) ? 1L : 0L);
	SET(FRESH_CONNECT, once ? 1L : 0L);
	SET(FORBID_REUSE, once ? 1L : 0L);
	SET(OPENSOCKETFUNCTION, on_open);
	SET(OPENSOCKETDATA, c);
	SET(PREREQFUNCTION, on_ready);
	SET(PREREQDATA, c);
	SET(WRITEFUNCTION, on_body);
	SET(WRITEDATA, c);
	SET(HEADERFUNCTION, on_header);
	SET(HEADERDATA, c);
	SET(ERRORBUFFER, c->error);
	SET(PRIVATE, c);
	SET(HTTPHEADER, c->headers);
	SET(CONNECT_TO, c->connect_to);
	if (q->ca_file) {
		SET(CAINFO, q->ca_file);
		SET(CAPATH, NULL);
	}
	if (q->source) {
		char from[80]; /* "host!": no name of a device that could be meant */

		snprintf(from, sizeof(from), "host!%s", q->source);
		SET(INTERFACE, from);
	}
	if (q->sigv4)
		SET(AWS_SIGV4, q->sigv4);
	if (q->user)
		SET(USERPWD, q->user);
	return bad ? -ENOMEM : 0;
}

int http_call_make(struct http *h, const struct http_request *q, bool once, struct http_call **ret)
{
	struct http_call *c;
	int err;

	if (!q->url || (q->method && !sound_method(q->method)))
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->h = h;
	c->max_size = q->max_size ? q->max_size : MAX_SIZE;
	c->public_only = q->public_only;
	c->own_host = q->own_host;
	c->reply.retry_after_s = (double)NAN;
	c->easy = curl_easy_init();
	err = c->easy ? set_headers(c, q) : -ENOMEM;
	if (!err)
		err = set_method(c, q);
	if (!err)
		err = set_options(c, q, once);
	if (!err && !make_room(c, 1))
		err = -ENOMEM;
	if (!err && curl_multi_add_handle(h->multi, c->easy))
		err = -ENOMEM;
	if (err) {
		http_call_free(c);
		return err;
	}
	c->next = h->calls;
	c->back = &h->calls;
	if (c->next)
		c->next->back = &c->next;
	h->calls = c;
	*ret = c;
	return 0;
}

/* ---- the end ---- */

static int connect_errno(const struct http_call *c)
{
	long err = 0;

	if (c->refused && !c->opened)
		return -EACCES;
	curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &err);
	if (err == ENETUNREACH || err == EADDRNOTAVAIL || err == EAFNOSUPPORT)
		return -EHOSTUNREACH;
	return err ? -(int)err : -ECONNREFUSED;
}

static int to_errno(const struct http_call *c, CURLcode code, bool *ret_tls)
{
	*ret_tls = false;
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
		return -ENOENT;
	case CURLE_COULDNT_CONNECT:
		return connect_errno(c);
	case CURLE_ABORTED_BY_CALLBACK:
		return -EACCES;
	case CURLE_FILESIZE_EXCEEDED:
		return -EFBIG;
	case CURLE_WRITE_ERROR:
		return c->too_big ? -EFBIG : -ENOMEM;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_LOGIN_DENIED:
		return c->reply.sent ? -EPROTO : -EINVAL; /* sent: an answer of HTTP/0.9 */
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return -ECONNRESET;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		*ret_tls = true;
		return -EPROTO;
	default:
		return -EPROTO;
	}
}

static void put_why(struct http_call *c, CURLcode code)
{
	struct http_reply *r = &c->reply;

	if (r->err == -EFBIG)
		snprintf(r->why, sizeof(r->why), "the answer is longer than %zu bytes",
			 c->max_size);
	else if (r->err == -EACCES)
		snprintf(r->why, sizeof(r->why), "the address is not a public one");
	else
		snprintf(r->why, sizeof(r->why), "%.*s", (int)sizeof(r->why) - 1,
			 c->error[0] ? c->error : curl_easy_strerror(code));
	for (char *s = r->why; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';
}

static uint64_t time_of(const struct http_call *c, CURLINFO what)
{
	curl_off_t us = 0;

	curl_easy_getinfo(c->easy, what, &us);
	return us > 0 ? (uint64_t)us * 1000 : 0;
}

void http_call_reply(struct http_call *c, CURLcode code)
{
	struct http_reply *r = &c->reply;

	r->err = to_errno(c, code, &r->tls_failed);
	r->connect_ns = time_of(c, CURLINFO_APPCONNECT_TIME_T);
	if (!r->connect_ns)
		r->connect_ns = time_of(c, CURLINFO_CONNECT_TIME_T);
	r->first_ns = time_of(c, CURLINFO_STARTTRANSFER_TIME_T);
	r->total_ns = time_of(c, CURLINFO_TOTAL_TIME_T);
	if (r->err) {
		put_why(c, code);
		http_wipe(r->body, c->room);
		r->body = NULL;
		r->size = 0;
		return;
	}
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &r->status);
	r->body[r->size] = '\0';
}
