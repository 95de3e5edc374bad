/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * notify_rig.h - the services that notices go to, behaving as they are told, and a notifier
 *
 * Statuspage is one that remembers its incident; the others take what they get.
 */
#pragma once

#include <sched.h>

#include <jansson.h>

#include "tests/unit/http_rig.h"
#include "tests/unit/loop_rig.h"
#include "tests/unit/run_rig.h"
#include "userspace/ctl/notify_inner.h"

#define SECOND (1000 * MS)
#define TOKEN  "tok-3f9a-secret"

/* The services, at an address that is not this host's to libcurl's guard, in a namespace. */
static struct rig server = {.address = "198.18.0.1"};

enum mode { WELL, FAIL_500, FAIL_403, SLOW_DOWN, HANG, MOVE, ENDLESS, LOST_ANSWER, GONE };

/* Seen and steered by both processes. */
static struct {
	enum mode mode;
	unsigned int fail_first; /* requests before all is well again; 0: always */
	unsigned int n;
	char request[64][6000];
	unsigned int begun; /* incidents */
	char name[96], status[32];
} * shared;

static struct notifier *n;
static struct config *config;
static char why[400], said[32][400];
static unsigned int n_said;

/* ---- the other side ---- */

static inline bool reply(const struct rig_link *k, int status, const char *more, const char *body)
{
	char text[4000];

	snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n%s", status,
		 strlen(body), more, body);
	return rig_say(k, text);
}

static inline void note_incident(const char *request, bool begin)
{
	json_t *j = json_loads(strstr(request, "\r\n\r\n") + 4, 0, NULL),
	       *i = json_object_get(j, "incident");
	const char *name = json_string_value(json_object_get(i, "name"));

	if (begin) {
		shared->begun++;
		snprintf(shared->name, sizeof(shared->name), "%s", name ? name : "");
	}
	snprintf(shared->status, sizeof(shared->status), "%s",
		 json_string_value(json_object_get(i, "status")));
	json_decref(j);
}

static inline bool statuspage(const struct rig_link *k, const char *path)
{
	const char *request = k->seen->request;
	char body[400];

	if (!strcmp(path, "/v1/pages/p1/incidents/unresolved")) {
		if (!shared->begun || !strcmp(shared->status, "resolved"))
			return reply(k, 200, "", "[]");
		snprintf(body, sizeof(body),
			 "[{\"id\":\"zzz\",\"name\":\"Other\"},{\"id\":\"inc%u\",\"name\":\"%s\"}]",
			 shared->begun, shared->name);
		return reply(k, 200, "", body);
	}
	if (!strcmp(path, "/v1/pages/p1/incidents")) {
		note_incident(request, true);
		if (shared->mode == LOST_ANSWER) {
			shared->mode = WELL;
			return false;
		}
	} else if (shared->mode == GONE) {
		shared->mode = WELL;
		return reply(k, 404, "", "{}");
	} else {
		note_incident(request, false);
	}
	snprintf(body, sizeof(body), "{\"id\":\"inc%u\"}", shared->begun);
	return reply(k, 201, "", body);
}

static inline bool answer(const struct rig_link *k, const char *path)
{
	enum mode mode = shared->mode;
	unsigned int at = __atomic_fetch_add(&shared->n, 1, __ATOMIC_SEQ_CST);

	if (at < 64)
		snprintf(shared->request[at], sizeof(shared->request[at]), "%.5990s",
			 k->seen->request);
	if (shared->fail_first && at >= shared->fail_first)
		mode = WELL;
	switch (mode) {
	case FAIL_500:
		return reply(k, 500, "", "no " TOKEN);
	case FAIL_403:
		return reply(k, 403, "", "no");
	case SLOW_DOWN:
		return reply(k, 429, "Retry-After: 1\r\n", "");
	case MOVE:
		return reply(k, 302, "Location: /elsewhere\r\n", "");
	case HANG:
		pause();
		return false;
	case ENDLESS:
		rig_say(k, "HTTP/1.1 200 OK\r\n\r\n");
		while (rig_say(k, "more and more and more of it\n"))
			;
		return false;
	default:
		break;
	}
	if (!strncmp(path, "/v1/", 4))
		return statuspage(k, path);
	return reply(k, 202, "", "ok");
}

/* ---- this side ---- */

static inline void note_said(void *arg, const char *text)
{
	(void)arg;
	if (n_said < 32)
		snprintf(said[n_said], sizeof(said[0]), "%s", text);
	n_said++;
}

static inline void make_notifier(void)
{
	struct notifier_options o = {.dir = rig_folder,
				     .say = note_said,
				     .timeout_ns = 500 * MS,
				     .first_again_ns = 50 * MS,
				     .last_again_ns = 200 * MS,
				     .give_up_ns = 3 * SECOND};

	assert_int_equal(notifier_make(l, &o, &n), 0);
}

static inline int begin_test(void **state)
{
	int err = make(state);

	if (err)
		return err;
	memset(shared, 0, sizeof(*shared));
	memset(said, 0, sizeof(said));
	n_said = 0;
	unlink(rig_path("notify.json"));
	config = calloc(1, sizeof(*config));
	rig_file("token", TOKEN "\n", 0600);
	rig_file("slack", rig_url(&server, "/services/T0/B0/" TOKEN), 0600);
	make_notifier();
	return 0;
}

static inline int end_test(void **state)
{
	for (unsigned int i = 0; i < n_said && i < 32; i++)
		if (strstr(said[i], TOKEN))
			fail_msg("a secret was shown: %s", said[i]);
	notifier_free(n);
	free(config);
	return unmake(state);
}

static inline struct conf_notify *add(const char *name, enum conf_notify_kind kind)
{
	struct conf_notify *c = &config->notifies[config->n_notifies++];

	snprintf(c->name, sizeof(c->name), "%s", name);
	c->kind = kind;
	c->given[kind] = true;
	snprintf(c->ca_file, sizeof(c->ca_file), "%s", rig_path("ca.pem"));
	snprintf(c->secret_file, sizeof(c->secret_file), "%s",
		 rig_path(kind == CONF_SLACK ? "slack" : "token"));
	if (kind == CONF_STATUSPAGE) {
		snprintf(c->page, sizeof(c->page), "p1");
		snprintf(c->component, sizeof(c->component), "c1");
	}
	if (kind != CONF_SLACK)
		snprintf(c->url.text, sizeof(c->url.text), "%s",
			 rig_url(&server, kind == CONF_STATUSPAGE  ? "/v1/"
					  : kind == CONF_PAGERDUTY ? "/enqueue"
								   : "/hook"));
	return c;
}

static inline void use(void)
{
	if (notifier_use(n, config, why, sizeof(why)))
		fail_msg("%s", why);
}

static inline void tell(enum notice_event event, bool over, const char *subject)
{
	notifier_tell(n, &(struct notice){.event = event,
					  .over = over,
					  .subject = subject,
					  .service = "api",
					  .reason = "p95 <!channel> \"600\" ms & more\xff",
					  .who = "alice",
					  .stage = 2,
					  .stages = 5,
					  .weight = 2550});
}

static inline struct notifier_state look(unsigned int i)
{
	struct notifier_state s = {0};

	assert_true(notifier_look(n, i, &s));
	return s;
}

/* Until no target has anything left to tell. */
static inline void settle(void)
{
	struct notifier_state s;
	uint64_t until = loop_now() + 10 * SECOND;
	bool busy = true;

	while (busy && loop_now() < until) {
		run_for(20 * MS);
		busy = false;
		for (unsigned int i = 0; notifier_look(n, i, &s); i++)
			busy = busy || s.waiting;
	}
	assert_false(busy);
}

/* The body of the i-th request; the caller frees it. */
static inline json_t *body(unsigned int i)
{
	json_t *j;

	assert_true(i < shared->n);
	j = json_loads(strstr(shared->request[i], "\r\n\r\n") + 4, 0, NULL);
	assert_non_null(j);
	return j;
}

static inline const char *text_at(const json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	return text ? text : "(none)";
}

static inline void begins_with(unsigned int i, const char *line)
{
	assert_true(i < shared->n);
	if (strncmp(shared->request[i], line, strlen(line)))
		fail_msg("\"%.100s\" instead of \"%s\"", shared->request[i], line);
}

static inline int make_world(void **state)
{
	SSL_CTX *tls;
	int err;

	if (unshare(CLONE_NEWNET) ||
	    system("ip link set lo up && ip address add 198.18.0.1/32 dev lo"))
		return -1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	err = rig_make_folder(state);
	if (err || shared == MAP_FAILED)
		return -1;
	tls = rig_certificate("notify.test,IP:198.18.0.1", rig_path("ca.pem"));
	rig_start(&server, tls, answer);
	return 0;
}

static inline int end_world(void **state)
{
	rig_stop(&server);
	SSL_CTX_free(server.tls);
	return rig_remove_folder(state);
}

static inline int rig_main(const char *name, const struct CMUnitTest *tests, size_t count)
{
	if (geteuid()) {
		print_message("1..0 # SKIP a network namespace takes root\n");
		return 0;
	}
	return _cmocka_run_group_tests(name, tests, count, make_world, end_world);
}
