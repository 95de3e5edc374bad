/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ask.c - one health check, begun without waiting and ended by an answer, an error or its time
 */
#include "userspace/ctl/ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/conf/config.h"
#include "userspace/net/dial.h"
#include "userspace/net/http.h"
#include "userspace/net/public.h"

#define MS	 1000000ull
#define MAX_BODY (64u << 10)

/* ---- places ---- */

bool ctl_place_same(const struct ctl_place *a, const struct ctl_place *b)
{
	return a->port == b->port && a->loopback == b->loopback && a->sourced == b->sourced &&
	       !memcmp(a->source, b->source, sizeof(a->source)) &&
	       !memcmp(a->address, b->address, sizeof(a->address));
}

const char *ctl_place_text(const struct ctl_place *p, char ret[64])
{
	return text_address(p->address, htons(p->port), ret);
}

static bool is_loopback(const uint32_t address[4])
{
	static const uint32_t six[4];

	if (ip_is_v4(address))
		return ntohl(address[3]) >> 24 == 127;
	return !memcmp(address, six, 12) && ntohl(address[3]) == 1;
}

static unsigned int add(struct ctl_place *list, unsigned int n, const struct ctl_place *p)
{
	for (unsigned int i = 0; i < n; i++)
		if (ctl_place_same(&list[i], p))
			return n;
	if (n < CTL_PLACES)
		list[n++] = *p;
	return n;
}

static unsigned int named(const struct conf_address *a, uint16_t port, bool old,
			  struct ctl_place ret[CTL_PLACES])
{
	struct ctl_place p = {.port = port, .loopback = old && is_loopback(a->ip)};

	memcpy(p.address, a->ip, sizeof(p.address));
	return add(ret, 0, &p);
}

/* A port that stands in the URL is where it listens; the scheme's own may be the load balancer's
 * before it, so then it is the target's. */
static uint16_t own_port(const struct conf_health *c)
{
	if (!c->http.text[0])
		return c->tcp.port;
	return c->http.port == (c->http.tls ? 443 : 80) ? 0 : c->http.port;
}

unsigned int ctl_ask_places(const struct conf_health *c, bool old, const struct ctl_place *at,
			    unsigned int n, struct ctl_place ret[CTL_PLACES])
{
	const struct conf_address *a = c->http.text[0] ? &c->http.address : &c->tcp.address;
	uint16_t port = own_port(c);
	unsigned int found = 0;

	if (a->family)
		return named(a, c->http.text[0] ? c->http.port : c->tcp.port, old, ret);
	for (unsigned int i = 0; i < n; i++) {
		struct ctl_place p = at[i];

		if (port)
			p.port = port;
		found = add(ret, found, &p);
	}
	return found;
}

const char *ctl_ask_name(const struct conf_health *c, const char *host)
{
	if (c->http.text[0] || c->tcp.address.family || !strcasecmp(c->tcp.host, host))
		return NULL;
	return c->tcp.host;
}

void ctl_ask_source(struct ctl_place *list, unsigned int n, const struct conf_address *nat,
		    unsigned int n_nat)
{
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < n_nat && !list[i].sourced; k++) {
			if (nat[k].family != ip_family(list[i].address))
				continue;
			list[i].sourced = true;
			memcpy(list[i].source, nat[k].ip, sizeof(list[i].source));
		}
}

unsigned int ctl_ask_listeners(const struct conf_listen *l, unsigned int n,
			       struct ctl_place ret[CTL_PLACES])
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct ctl_place p = {.port = l[i].port};

		memcpy(p.address, l[i].address.ip, sizeof(p.address));
		if (l[i].protocol == IPPROTO_TCP)
			found = add(ret, found, &p);
	}
	return found;
}

/* ---- the question ---- */

struct ctl_ask {
	struct loop *loop;
	const struct conf_health *c;
	struct ctl_place at;
	struct http_call *call; /* or */
	int fd;			/* −1: none */
	struct loop_timer timer;
	uint64_t begun;
	int err; /* of a connection that could not be begun */
	ctl_ask_done done;
	void *arg;
};

static void let_go(struct ctl_ask *a)
{
	loop_timer_stop(a->loop, &a->timer);
	if (a->fd >= 0) {
		loop_unwatch(a->loop, a->fd);
		close(a->fd);
	}
	free(a);
}

void ctl_ask_cancel(struct ctl_ask *a)
{
	if (!a)
		return;
	http_cancel(a->call);
	let_go(a);
}

static void end(struct ctl_ask *a, struct ctl_answer *answer)
{
	ctl_ask_done done = a->done;
	void *arg = a->arg;

	answer->took_ns = loop_now() - a->begun;
	let_go(a);
	for (char *s = answer->reason; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	done(arg, answer);
}

static const char *limit_of(const struct ctl_ask *a, char ret[32])
{
	return conf_duration_text(a->c->timeout_ms ? a->c->timeout_ms : 1000, ret);
}

/* An address that is elsewhere at the moment (VRRP) is no reason to ask nothing. */
static bool is_here(const uint32_t address[4])
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = address[3]};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool four = ip_is_v4(address), here;
	int fd = socket(four ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;

	/* A port is not wanted, and the search for one that is free is what costs. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	memcpy(&v6.sin6_addr, address, sizeof(v6.sin6_addr));
	here = fd >= 0 &&
	       !bind(fd, four ? (void *)&v4 : (void *)&v6, four ? sizeof(v4) : sizeof(v6));
	if (fd >= 0)
		close(fd);
	return here;
}

/* ---- TCP ---- */

static void say_tcp(const struct ctl_ask *a, int err, struct ctl_answer *ret)
{
	char at[64], limit[32];

	ctl_place_text(&a->at, at);
	switch (err) {
	case 0:
		ret->ok = true;
		snprintf(ret->reason, sizeof(ret->reason), "TCP connected");
		break;
	case -EINPROGRESS:
	case -ETIMEDOUT:
		snprintf(ret->reason, sizeof(ret->reason), "no TCP answer in %s",
			 limit_of(a, limit));
		break;
	case -EACCES:
		snprintf(ret->reason, sizeof(ret->reason),
			 "%s may not be asked: it is this host's "
			 "own, its link's or a metadata service's",
			 at);
		break;
	default:
		snprintf(ret->reason, sizeof(ret->reason), "TCP: %s", strerror(-err));
		break;
	}
}

static void end_tcp(struct ctl_ask *a, int err)
{
	struct ctl_answer answer = {0};

	say_tcp(a, err, &answer);
	end(a, &answer);
}

static void on_late(void *arg, uint64_t now)
{
	struct ctl_ask *a = arg;

	(void)now;
	end_tcp(a, a->err ? a->err : -ETIMEDOUT);
}

static void on_connected(void *arg, int fd, unsigned int ready)
{
	int err = dial_result(fd);

	(void)ready;
	if (err != -EINPROGRESS)
		end_tcp(arg, err);
}

static int begin_tcp(struct ctl_ask *a)
{
	uint64_t limit = (a->c->timeout_ms ? a->c->timeout_ms : 1000) * MS;
	int err = 0;

	if (a->err)
		a->fd = a->err;
	else if (a->at.sourced)
		a->fd = dial_begin_from(a->at.source, a->at.address, a->at.port);
	else
		a->fd = dial_begin("", a->at.address, a->at.port);
	if (a->fd < 0) {
		a->err = a->fd;
		a->fd = -1;
		limit = 0;
	} else {
		err = loop_watch(a->loop, a->fd, LOOP_WRITE, on_connected, a);
	}
	return err ? err : loop_timer_set(a->loop, &a->timer, a->begun + limit, on_late, a);
}

/* ---- HTTP ---- */

static const char *statuses(const struct conf_health *c, char *ret, size_t size)
{
	size_t used = 0;

	snprintf(ret, size, "200");
	for (unsigned int i = 0; i < c->n_expect && used < size; i++)
		used += (size_t)snprintf(ret + used, size - used, "%s%u",
					 !i		       ? ""
					 : i + 1 < c->n_expect ? ", "
							       : " or ",
					 c->expect[i].status);
	return ret;
}

static bool expected(const struct conf_health *c, long status)
{
	for (unsigned int i = 0; i < c->n_expect; i++)
		if (c->expect[i].status == status)
			return true;
	return !c->n_expect && status == 200;
}

/* The value as it is compared and shown; false: it is none of the plain kinds. */
static bool plain(const json_t *v, char *ret, size_t size)
{
	if (json_is_string(v))
		snprintf(ret, size, "%s", json_string_value(v));
	else if (json_is_integer(v))
		snprintf(ret, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		snprintf(ret, size, "%g", json_real_value(v));
	else if (json_is_boolean(v))
		snprintf(ret, size, "%s", json_is_true(v) ? "true" : "false");
	else if (json_is_null(v))
		snprintf(ret, size, "null");
	else
		return false;
	return true;
}

/* "a.b.c" in an answer; NULL: it is not there. */
static const json_t *member(const json_t *j, const char *path)
{
	char name[CONF_HOST];

	while (*path && j) {
		size_t n = strcspn(path, ".");

		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		j = json_object_get(j, name);
		path += n + (path[n] == '.');
	}
	return j;
}

static void judge_field(const struct conf_health *c, const struct http_reply *r,
			struct ctl_answer *ret)
{
	json_error_t error;
	json_t *j = json_loadb(r->body, r->size, 0, &error);
	const json_t *v = j ? member(j, c->field) : NULL;
	char value[CONF_HOST];

	if (!j)
		snprintf(ret->reason, sizeof(ret->reason), "the answer is no JSON: %.100s",
			 error.text);
	else if (!v)
		snprintf(ret->reason, sizeof(ret->reason), "the answer has no %.100s", c->field);
	else if (!plain(v, value, sizeof(value)))
		snprintf(ret->reason, sizeof(ret->reason), "%.100s is no plain value", c->field);
	else if (c->equals[0] ? strcmp(value, c->equals) != 0 : json_is_false(v) || json_is_null(v))
		snprintf(ret->reason, sizeof(ret->reason), "%.40s is %.40s%s%.40s", c->field, value,
			 c->equals[0] ? " instead of " : "", c->equals);
	else
		ret->ok = true;
	if (ret->ok)
		snprintf(ret->reason, sizeof(ret->reason), "HTTP %ld, %.48s is %.48s", r->status,
			 c->field, value);
	json_decref(j);
}

static void judge_http(const struct conf_health *c, const struct http_reply *r,
		       struct ctl_answer *ret)
{
	char want[100];

	ret->ok = expected(c, r->status);
	if (ret->ok && c->field[0]) {
		ret->ok = false;
		judge_field(c, r, ret);
		return;
	}
	if (ret->ok)
		snprintf(ret->reason, sizeof(ret->reason), "HTTP %ld", r->status);
	else
		snprintf(ret->reason, sizeof(ret->reason), "HTTP %ld instead of %s%s", r->status,
			 statuses(c, want, sizeof(want)),
			 r->status >= 300 && r->status < 400 ? ": redirects are not followed" : "");
}

/* libcurl begins with what the reader knows by then. */
static const char *without_prefix(const char *why)
{
	static const char *const prefixes[] = {"SSL certificate problem: ", "SSL: "};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (!strncmp(why, prefixes[i], strlen(prefixes[i])))
			return why + strlen(prefixes[i]);
	return why;
}

static void say_http(const struct ctl_ask *a, const struct http_reply *r, struct ctl_answer *ret)
{
	char limit[32];

	if (r->tls_failed)
		snprintf(ret->reason, sizeof(ret->reason), "%s: %.140s",
			 strcasestr(r->why, "certificate") ? "certificate" : "TLS",
			 without_prefix(r->why));
	else if (r->err == -ETIMEDOUT && r->connect_ns)
		snprintf(ret->reason, sizeof(ret->reason),
			 "it takes connections, but no whole answer came in %s",
			 limit_of(a, limit));
	else if (strstr(r->why, "HTTP/0.9"))
		snprintf(ret->reason, sizeof(ret->reason), "what it answers is no HTTP");
	else if (r->err == -ECONNRESET)
		snprintf(ret->reason, sizeof(ret->reason),
			 "the connection ended before the answer");
	else if (r->err == -EACCES || r->err == -ETIMEDOUT || r->err == -ECONNREFUSED ||
		 r->err == -EHOSTUNREACH)
		say_tcp(a, r->err, ret);
	else
		snprintf(ret->reason, sizeof(ret->reason), "%.150s", r->why);
	ret->ok = false;
}

static void on_reply(void *arg, const struct http_reply *r)
{
	struct ctl_ask *a = arg;
	struct ctl_answer answer = {0};

	if (r->err)
		say_http(a, r, &answer);
	else
		judge_http(a->c, r, &answer);
	a->call = NULL;
	end(a, &answer);
}

static int begin_http(struct ctl_ask *a, struct http *h)
{
	char at[64], from[64];
	struct http_request q = {
		.url = a->c->http.text,
		.timeout_ns = (a->c->timeout_ms ? a->c->timeout_ms : 1000) * MS,
		.max_size = MAX_BODY,
		.connect_to = ctl_place_text(&a->at, at),
		.ca_file = a->c->ca_file[0] ? a->c->ca_file : NULL,
		.once = true,
		.source = a->at.sourced ? text_address(a->at.source, 0, from) : NULL,
		.public_only = true,
		.own_host = a->at.loopback,
	};

	return http_begin(h, &q, on_reply, a, &a->call);
}

int ctl_ask_begin(struct loop *l, struct http *h, const struct conf_health *c,
		  const struct ctl_place *at, ctl_ask_done done, void *arg, struct ctl_ask **ret)
{
	struct ctl_ask *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->loop = l;
	a->c = c;
	a->at = *at;
	a->fd = -1;
	a->done = done;
	a->arg = arg;
	a->begun = loop_now();
	a->at.sourced = at->sourced && is_here(at->source);
	if (!at->loopback && !ip_is_public(at->address))
		a->err = -EACCES;
	err = c->http.text[0] && !a->err ? begin_http(a, h) : begin_tcp(a);
	if (err) {
		ctl_ask_cancel(a);
		return err;
	}
	*ret = a;
	return 0;
}
