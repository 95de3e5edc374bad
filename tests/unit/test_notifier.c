/* SPDX-License-Identifier: GPL-2.0-only */
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

static bool reply(const struct rig_link *k, int status, const char *more, const char *body)
{
	char text[4000];

	snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n%s", status,
		 strlen(body), more, body);
	return rig_say(k, text);
}

static void note_incident(const char *request, bool begin)
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

static bool statuspage(const struct rig_link *k, const char *path)
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

static bool answer(const struct rig_link *k, const char *path)
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

static void note_said(void *arg, const char *text)
{
	(void)arg;
	if (n_said < 32)
		snprintf(said[n_said], sizeof(said[0]), "%s", text);
	n_said++;
}

static void make_notifier(void)
{
	struct notifier_options o = {.dir = rig_folder,
				     .ca_file = rig_path("ca.pem"),
				     .say = note_said,
				     .timeout_ns = 500 * MS,
				     .first_again_ns = 50 * MS,
				     .last_again_ns = 200 * MS,
				     .give_up_ns = 3 * SECOND};

	assert_int_equal(notifier_make(l, &o, &n), 0);
}

static int begin_test(void **state)
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

static int end_test(void **state)
{
	for (unsigned int i = 0; i < n_said && i < 32; i++)
		if (strstr(said[i], TOKEN))
			fail_msg("a secret was shown: %s", said[i]);
	notifier_free(n);
	free(config);
	return unmake(state);
}

static struct conf_notify *add(const char *name, enum conf_notify_kind kind)
{
	struct conf_notify *c = &config->notifies[config->n_notifies++];

	snprintf(c->name, sizeof(c->name), "%s", name);
	c->kind = kind;
	c->given[kind] = true;
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

static void use(void)
{
	if (notifier_use(n, config, why, sizeof(why)))
		fail_msg("%s", why);
}

static void tell(enum notice_event event, bool over, const char *subject)
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

static struct notifier_state look(unsigned int i)
{
	struct notifier_state s = {0};

	assert_true(notifier_look(n, i, &s));
	return s;
}

/* Until no target has anything left to tell. */
static void settle(void)
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
static json_t *body(unsigned int i)
{
	json_t *j;

	assert_true(i < shared->n);
	j = json_loads(strstr(shared->request[i], "\r\n\r\n") + 4, 0, NULL);
	assert_non_null(j);
	return j;
}

static const char *text_at(const json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	return text ? text : "(none)";
}

static void begins_with(unsigned int i, const char *line)
{
	assert_true(i < shared->n);
	if (strncmp(shared->request[i], line, strlen(line)))
		fail_msg("\"%.100s\" instead of \"%s\"", shared->request[i], line);
}

/* ---- the forms ---- */

static void slack_gets_a_text_that_addresses_nobody(void **state)
{
	json_t *j;

	(void)state;
	add("ops", CONF_SLACK);
	use();
	tell(NOTICE_PAUSED, false, NULL);
	assert_int_equal(shared->n, 0); /* telling itself does nothing yet */
	settle();
	assert_int_equal(shared->n, 1);
	begins_with(0, "POST /services/T0/B0/" TOKEN " HTTP/1.1\r\n");
	assert_non_null(strstr(shared->request[0], "Content-Type: application/json\r\n"));
	j = body(0);
	assert_string_equal(text_at(j, "text"),
			    "api: the ramp is paused at 25.5% by alice: p95 &lt;!channel&gt; "
			    "\"600\" ms &amp; more?");
	json_decref(j);
	assert_int_equal(look(0).told, 1);
	assert_int_equal(n_said, 0);
}

static void a_webhook_gets_everything_and_its_token(void **state)
{
	json_t *j;

	(void)state;
	add("hook", CONF_WEBHOOK);
	use();
	tell(NOTICE_TUNNEL, false, "aws");
	settle();
	begins_with(0, "POST /hook HTTP/1.1\r\n");
	assert_non_null(strstr(shared->request[0], "Authorization: Bearer " TOKEN "\r\n"));
	j = body(0);
	assert_int_equal(json_integer_value(json_object_get(j, "schema")), 1);
	assert_string_equal(text_at(j, "event"), "tunnel");
	assert_string_equal(text_at(j, "subject"), "aws");
	assert_string_equal(text_at(j, "severity"), "error");
	assert_string_equal(text_at(j, "service"), "api");
	assert_string_equal(text_at(j, "reason"), "p95 <!channel> \"600\" ms & more?");
	assert_string_equal(text_at(j, "who"), "alice");
	assert_true(json_number_value(json_object_get(j, "weight")) == 25.5);
	assert_string_equal(text_at(j, "text"),
			    "api: tunnel aws: p95 <!channel> \"600\" ms & more?");
	json_decref(j);
}

static void pagerduty_opens_and_resolves_by_one_key(void **state)
{
	json_t *j, *p;

	(void)state;
	add("pager", CONF_PAGERDUTY);
	use();
	tell(NOTICE_DNS, false, NULL);	  /* nothing to be woken for */
	tell(NOTICE_COMMIT, false, NULL); /* nor this */
	tell(NOTICE_ALARM, false, "p95");
	settle();
	tell(NOTICE_ALARM, true, "p95");
	tell(NOTICE_ROLLED_BACK, false, NULL);
	settle();
	tell(NOTICE_DONE, false, NULL);
	settle();
	assert_int_equal(shared->n, 4);
	begins_with(0, "POST /enqueue HTTP/1.1\r\n");
	j = body(0);
	assert_string_equal(text_at(j, "routing_key"), TOKEN);
	assert_string_equal(text_at(j, "event_action"), "trigger");
	assert_string_equal(text_at(j, "dedup_key"), "shift/api/alarm/p95");
	p = json_object_get(j, "payload");
	assert_string_equal(text_at(p, "severity"), "critical");
	assert_string_equal(text_at(p, "component"), "api");
	assert_memory_equal(text_at(p, "summary"), "api: ALARM p95 at 25.5%: ", 25);
	assert_true(strlen(text_at(p, "source")) > 0);
	json_decref(j);
	j = body(1);
	assert_string_equal(text_at(j, "event_action"), "resolve");
	assert_string_equal(text_at(j, "dedup_key"), "shift/api/alarm/p95");
	json_decref(j);
	j = body(2);
	assert_string_equal(text_at(j, "event_action"), "trigger");
	assert_string_equal(text_at(j, "dedup_key"), "shift/api/ramp");
	json_decref(j);
	j = body(3);
	assert_string_equal(text_at(j, "event_action"), "resolve");
	assert_string_equal(text_at(j, "dedup_key"), "shift/api/ramp");
	json_decref(j);
}

static void one_incident_is_begun_updated_and_resolved(void **state)
{
	json_t *j, *i;

	(void)state;
	add("page", CONF_STATUSPAGE);
	use();
	tell(NOTICE_RAMP_STARTED, false, NULL);
	settle();
	tell(NOTICE_PAUSED, false, NULL);
	tell(NOTICE_TUNNEL, false, "aws"); /* not the public's */
	settle();
	assert_string_equal(shared->status, "investigating");
	tell(NOTICE_STAGE, false, NULL);
	tell(NOTICE_DONE, false, NULL);
	settle();
	assert_int_equal(shared->n, 4);
	assert_int_equal(shared->begun, 1);
	assert_string_equal(shared->status, "resolved");
	begins_with(0, "POST /v1/pages/p1/incidents HTTP/1.1\r\n");
	assert_non_null(strstr(shared->request[0], "Authorization: OAuth " TOKEN "\r\n"));
	j = body(0);
	i = json_object_get(j, "incident");
	assert_string_equal(text_at(i, "name"), "Migration of api");
	assert_string_equal(text_at(i, "status"), "monitoring");
	assert_string_equal(text_at(json_object_get(i, "components"), "c1"), "operational");
	json_decref(j);
	for (unsigned int at = 1; at < 4; at++)
		begins_with(at, "PATCH /v1/pages/p1/incidents/inc1 HTTP/1.1\r\n");
	/* who and why is not for the public */
	for (unsigned int at = 0; at < 4; at++)
		assert_null(strstr(shared->request[at], "alice"));
	tell(NOTICE_DONE, false, NULL); /* nothing is open: nothing is done */
	settle();
	assert_int_equal(shared->n, 4);
}

static void a_restart_goes_on_with_the_incident(void **state)
{
	(void)state;
	add("page", CONF_STATUSPAGE);
	use();
	tell(NOTICE_RAMP_STARTED, false, NULL);
	settle();
	notifier_free(n);
	make_notifier();
	use();
	tell(NOTICE_ROLLED_BACK, false, NULL);
	settle();
	assert_string_equal(shared->status, "monitoring");
	tell(NOTICE_ROLLED_BACK, true, NULL);
	settle();
	assert_int_equal(shared->begun, 1);
	assert_string_equal(shared->status, "resolved");
	notifier_free(n);
	make_notifier();
	use();
	tell(NOTICE_RAMP_STARTED, false, NULL);
	settle();
	assert_int_equal(shared->begun, 2); /* the first is closed */
}

static void an_incident_whose_beginning_is_in_doubt_is_not_begun_twice(void **state)
{
	(void)state;
	add("page", CONF_STATUSPAGE);
	use();
	shared->mode = LOST_ANSWER;
	tell(NOTICE_RAMP_STARTED, false, NULL);
	settle();
	assert_int_equal(shared->begun, 1);
	begins_with(0, "POST /v1/pages/p1/incidents HTTP");
	begins_with(1, "GET /v1/pages/p1/incidents/unresolved HTTP");
	begins_with(2, "PATCH /v1/pages/p1/incidents/inc1 HTTP");
	assert_int_equal(shared->n, 3);
}

static void an_incident_that_was_taken_away_is_begun_anew(void **state)
{
	(void)state;
	add("page", CONF_STATUSPAGE);
	use();
	tell(NOTICE_RAMP_STARTED, false, NULL);
	settle();
	shared->mode = GONE;
	tell(NOTICE_STAGE, false, NULL);
	settle();
	assert_int_equal(shared->begun, 2);
	begins_with(2, "POST /v1/pages/p1/incidents HTTP");
}

/* What a public page is told, as a table. */
static void the_public_page_follows_the_events(void **state)
{
	static const struct {
		enum notice_event event;
		bool over, open, ramp;
		enum notify_page_act act;
		const char *status;
	} table[] = {
		{NOTICE_RAMP_STARTED, 0, 0, 0, NOTIFY_PAGE_CREATE, "monitoring"},
		{NOTICE_RAMP_STARTED, 0, 1, 1, NOTIFY_PAGE_UPDATE, "monitoring"},
		{NOTICE_STAGE, 0, 1, 1, NOTIFY_PAGE_UPDATE, "monitoring"},
		{NOTICE_STAGE, 0, 0, 0, NOTIFY_PAGE_CREATE, "monitoring"},
		{NOTICE_PAUSED, 0, 1, 1, NOTIFY_PAGE_UPDATE, "investigating"},
		{NOTICE_BACK, 0, 1, 1, NOTIFY_PAGE_UPDATE, "investigating"},
		{NOTICE_ROLLED_BACK, 0, 1, 1, NOTIFY_PAGE_UPDATE, "monitoring"},
		{NOTICE_ROLLED_BACK, 0, 0, 0, NOTIFY_PAGE_CREATE, "monitoring"},
		{NOTICE_ROLLED_BACK, 1, 1, 1, NOTIFY_PAGE_UPDATE, "resolved"},
		{NOTICE_ROLLED_BACK, 1, 0, 0, NOTIFY_PAGE_NOTHING, NULL},
		{NOTICE_DONE, 0, 1, 1, NOTIFY_PAGE_UPDATE, "resolved"},
		{NOTICE_DONE, 0, 0, 0, NOTIFY_PAGE_NOTHING, NULL},
		{NOTICE_ALARM, 0, 0, 0, NOTIFY_PAGE_CREATE, "investigating"},
		{NOTICE_ALARM, 1, 1, 0, NOTIFY_PAGE_UPDATE, "resolved"},
		{NOTICE_ALARM, 1, 1, 1, NOTIFY_PAGE_UPDATE, "monitoring"},
		{NOTICE_ALARM, 1, 0, 0, NOTIFY_PAGE_NOTHING, NULL},
		{NOTICE_COMMIT, 0, 1, 1, NOTIFY_PAGE_UPDATE, "monitoring"},
		{NOTICE_COMMIT, 0, 0, 0, NOTIFY_PAGE_NOTHING, NULL},
		{NOTICE_TUNNEL, 0, 1, 1, NOTIFY_PAGE_NOTHING, NULL},
		{NOTICE_DNS, 0, 1, 1, NOTIFY_PAGE_NOTHING, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct notify_incident at = {.ramp = table[i].ramp};
		struct notify_entry e = {.event = table[i].event, .over = table[i].over};
		const char *status;

		snprintf(at.id, sizeof(at.id), "%s", table[i].open ? "abc" : "");
		if (notify_page(&at, &e, &status) != table[i].act)
			fail_msg("row %zu", i);
		if (table[i].status)
			assert_string_equal(status, table[i].status);
	}
}

/* ---- templates ---- */

static void a_template_is_filled_in(void **state)
{
	json_t *j;

	(void)state;
	rig_file(
		"mine",
		"{{event}}: {{ service }} {{stage}}/{{stages}} {{weight}}% {{who}} \"{{reason}}\"\n",
		0644);
	snprintf(add("ops", CONF_WEBHOOK)->template, CONF_TEXT, "%s", rig_path("mine"));
	use();
	tell(NOTICE_BACK, false, NULL);
	settle();
	j = body(0);
	assert_string_equal(text_at(j, "text"), "back: api 2/5 25.5% alice "
						"\"p95 <!channel> \"600\" ms & more?\"");
	json_decref(j);
}

static void a_wrong_template_is_refused_by_name(void **state)
{
	static const struct {
		const char *text, *why;
	} table[] = {
		{"{{sevice}} {{weight}}", "there is no name {{sevice}}"},
		{"{{service}} {{weight", "{{ without }}"},
		{"{{}}", "there is no name {{}}"},
		{"", "is empty"},
		{"caf\xe9", "is no text in UTF-8"},
		{"a\x1b[31m", "is no text in UTF-8"},
	};

	(void)state;
	snprintf(add("ops", CONF_SLACK)->template, CONF_TEXT, "%s", rig_path("mine"));
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		rig_file("mine", table[i].text, 0644);
		assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EINVAL);
		if (!strstr(why, "notify ops: ") || !strstr(why, "/mine: ") ||
		    !strstr(why, table[i].why))
			fail_msg("\"%s\" does not say %s", why, table[i].why);
	}
	rig_file("mine", "{{service}}", 0666);
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "can be written by everybody"));
}

static void every_shipped_text_is_sound_and_bounded(void **state)
{
	static struct notify_entry e;
	char text[128];

	(void)state;
	memset(e.reason, '<', sizeof(e.reason) - 1);
	memset(e.who, '&', sizeof(e.who) - 1);
	snprintf(e.service, sizeof(e.service), "api");
	for (int event = 0; event < NOTICES; event++)
		for (int kind = 0; kind < CONF_NOTIFIES; kind++)
			for (int over = 0; over < 2; over++) {
				e.event = (enum notice_event)event;
				e.over = over;
				notify_render(&e, (enum conf_notify_kind)kind, NULL);
				assert_true(strlen(e.text) < NOTIFY_TEXT);
				assert_null(strstr(e.text, "{{"));
				if (e.text[0])
					assert_int_equal(
						notify_template_check(e.text, text, sizeof(text)),
						0);
				else
					assert_int_equal(kind, CONF_STATUSPAGE);
			}
	/* An escape is cut before it, never in it. */
	e.event = NOTICE_PAUSED;
	notify_render(&e, CONF_SLACK, "{{reason}}{{reason}}{{reason}}");
	assert_true(strlen(e.text) > 2000);
	assert_string_equal(e.text + strlen(e.text) - 7, "&lt;...");
}

/* ---- what goes wrong ---- */

static void what_fails_for_a_while_is_tried_again_and_said_once(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	use();
	shared->mode = FAIL_500;
	shared->fail_first = 3;
	tell(NOTICE_STAGE, false, NULL);
	settle();
	assert_int_equal(shared->n, 4);
	assert_int_equal(look(0).told, 1);
	assert_int_equal(look(0).lost, 0);
	assert_int_equal(n_said, 2);
	assert_string_equal(said[0], "notify ops: answered 500; it is tried again");
	assert_string_equal(said[1], "notify ops: told again; 0 notices were lost");
}

static void what_fails_for_long_is_lost_in_bounded_time(void **state)
{
	uint64_t begun = loop_now();

	(void)state;
	add("ops", CONF_SLACK);
	use();
	shared->mode = FAIL_500;
	tell(NOTICE_STAGE, false, NULL);
	settle();
	assert_true(loop_now() - begun >= 3 * SECOND && loop_now() - begun < 6 * SECOND);
	assert_int_equal(look(0).told, 0);
	assert_int_equal(look(0).lost, 1);
	assert_true(look(0).failing);
	assert_true(shared->n > 8 && shared->n < 40); /* backing off */
	assert_int_equal(n_said, 1);
}

static void what_will_not_change_is_not_tried_again(void **state)
{
	static const struct {
		enum mode mode;
		const char *said;
	} table[] = {
		{FAIL_403, "notify ops: answered 403; the notice is lost"},
		{MOVE, "notify ops: answered 302, and redirects are not followed; the notice is "
		       "lost"},
	};

	(void)state;
	add("ops", CONF_SLACK);
	for (size_t i = 0; i < 2; i++) {
		notifier_free(n);
		make_notifier();
		use();
		shared->mode = table[i].mode;
		shared->n = n_said = 0;
		tell(NOTICE_STAGE, false, NULL);
		settle();
		run_for(300 * MS);
		assert_int_equal(shared->n, 1);
		assert_int_equal(look(0).lost, 1);
		assert_string_equal(said[0], table[i].said);
	}
}

static void retry_after_is_heeded(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	use();
	shared->mode = SLOW_DOWN;
	shared->fail_first = 1;
	tell(NOTICE_STAGE, false, NULL);
	run_for(800 * MS);
	assert_int_equal(shared->n, 1);
	settle();
	assert_int_equal(shared->n, 2);
	assert_int_equal(look(0).told, 1);
}

static void one_that_hangs_or_talks_for_ever_delays_no_other(void **state)
{
	static const enum mode modes[] = {HANG, ENDLESS};

	(void)state;
	add("ops", CONF_SLACK);
	add("hook", CONF_WEBHOOK);
	for (size_t i = 0; i < 2; i++) {
		uint64_t begun;

		notifier_free(n);
		make_notifier();
		use();
		shared->mode = modes[i];
		shared->n = 0;
		shared->fail_first = 1; /* whoever comes first */
		begun = loop_now();
		for (int k = 0; k < 1000; k++)
			tell(NOTICE_STAGE, false, NULL);
		assert_true(loop_now() - begun < SECOND); /* told without a wait */
		settle();
		assert_int_equal(look(0).told, 1);
		assert_int_equal(look(1).told, 1);
		assert_true(loop_now() - begun < 3 * SECOND);
		assert_non_null(strstr(said[2 * i], i ? "longer than" : "imed out"));
		assert_int_equal(n_said, 2 * (i + 1));
	}
}

static void many_of_a_kind_become_one(void **state)
{
	json_t *j;

	(void)state;
	add("hook", CONF_WEBHOOK);
	use();
	for (int i = 0; i < 50; i++) {
		tell(NOTICE_TUNNEL, i % 2, "aws");
		tell(NOTICE_TUNNEL, i % 2, "azure");
	}
	assert_int_equal(look(0).waiting, 2);
	settle();
	assert_int_equal(shared->n, 2);
	assert_int_equal(look(0).joined, 98);
	j = body(0);
	assert_int_equal(json_integer_value(json_object_get(j, "joined")), 49);
	assert_true(json_is_true(json_object_get(j, "over"))); /* how it is in the end */
	assert_non_null(strstr(text_at(j, "text"), "(and 49 earlier of its kind)"));
	json_decref(j);
}

static void a_full_queue_keeps_what_is_trouble(void **state)
{
	unsigned int alarms = 0;
	char subject[16];

	(void)state;
	add("hook", CONF_WEBHOOK);
	use();
	for (int i = 0; i < 100; i++) {
		snprintf(subject, sizeof(subject), "%d", i);
		tell(i < 10 ? NOTICE_ALARM : NOTICE_DNS, false, subject);
	}
	assert_int_equal(look(0).waiting, 32);
	assert_int_equal(look(0).lost, 68);
	settle();
	for (unsigned int i = 0; i < shared->n; i++) {
		json_t *j = body(i);

		alarms += !strcmp(text_at(j, "event"), "alarm");
		json_decref(j);
	}
	assert_int_equal(alarms, 10);
	assert_int_equal(shared->n, 32);
	assert_string_equal(said[0], "notify hook: told again; 68 notices were lost");
}

static void only_alarms_means_trouble_and_its_end(void **state)
{
	(void)state;
	add("hook", CONF_WEBHOOK)->only_alarms = true;
	use();
	for (int event = 0; event < NOTICES; event++)
		tell((enum notice_event)event, false, NULL);
	tell(NOTICE_ALARM, true, "x");
	assert_int_equal(look(0).waiting,
			 6); /* paused, back, rolled-back, alarm, tunnel; its end */
}

/* ---- secrets ---- */

static void a_secret_that_others_can_read_is_refused(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	chmod(rig_path("slack"), 0644);
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "notify ops: "));
	assert_non_null(strstr(why, "can be read by others"));
	rig_file("slack", "http://198.18.0.1/" TOKEN, 0600);
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EINVAL);
	assert_null(strstr(why, TOKEN));
	assert_non_null(strstr(why, "/slack does not hold a URL with https://"));
	rig_file("slack", "two words", 0600);
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EINVAL);
	assert_null(strstr(why, "words"));
	unlink(rig_path("slack"));
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -ENOENT);
}

static void a_token_does_not_go_over_http(void **state)
{
	(void)state;
	snprintf(add("hook", CONF_WEBHOOK)->url.text, CONF_TEXT, "http://198.18.0.1/hook");
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "over https:// alone"));
	config->notifies[0].secret_file[0] = '\0';
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), 0);
}

static void a_new_secret_counts_at_once_and_a_lost_one_is_waited_for(void **state)
{
	(void)state;
	add("hook", CONF_WEBHOOK);
	use();
	unlink(rig_path("token"));
	tell(NOTICE_STAGE, false, NULL);
	run_for(200 * MS);
	assert_int_equal(shared->n, 0);
	assert_non_null(strstr(said[0], "/token: No such file"));
	rig_file("token", "another\n", 0600);
	settle();
	assert_non_null(strstr(shared->request[0], "Authorization: Bearer another\r\n"));
	assert_int_equal(look(0).told, 1);
}

static void addresses_of_this_host_are_refused(void **state)
{
	(void)state;
	snprintf(add("hook", CONF_WEBHOOK)->url.text, CONF_TEXT, "https://127.0.0.1:%u/hook",
		 server.port);
	use();
	tell(NOTICE_STAGE, false, NULL);
	run_for(200 * MS);
	assert_int_equal(shared->n, 0);
	assert_non_null(strstr(said[0], "not a public one"));
}

/* ---- a new configuration ---- */

static void a_reload_keeps_the_queue_of_what_stays(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	add("hook", CONF_WEBHOOK);
	use();
	shared->mode = FAIL_500;
	tell(NOTICE_STAGE, false, NULL);
	run_for(300 * MS);
	config->notifies[0] = config->notifies[1];
	config->n_notifies = 1;
	shared->mode = WELL;
	use();
	settle();
	assert_int_equal(look(0).told, 1);
	assert_string_equal(look(0).name, "hook");
	assert_false(notifier_look(n, 1, &(struct notifier_state){0}));
	config->notifies[0].secret_file[0] = '/'; /* a wrong one changes nothing */
	config->notifies[0].secret_file[1] = '\0';
	assert_true(notifier_use(n, config, why, sizeof(why)) < 0);
	assert_string_equal(look(0).name, "hook");
	tell(NOTICE_STAGE, false, NULL);
	settle();
	assert_int_equal(look(0).told, 2);
}

static void freeing_in_the_middle_leaves_nothing(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	use();
	shared->mode = HANG;
	tell(NOTICE_STAGE, false, NULL);
	run_for(200 * MS);
	assert_int_equal(look(0).waiting, 1);
	notifier_free(n);
	n = NULL;
	run_for(50 * MS);
}

static int make_world(void **state)
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

static int end_world(void **state)
{
	rig_stop(&server);
	SSL_CTX_free(server.tls);
	return rig_remove_folder(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(slack_gets_a_text_that_addresses_nobody),
		TEST(a_webhook_gets_everything_and_its_token),
		TEST(pagerduty_opens_and_resolves_by_one_key),
		TEST(one_incident_is_begun_updated_and_resolved),
		TEST(a_restart_goes_on_with_the_incident),
		TEST(an_incident_whose_beginning_is_in_doubt_is_not_begun_twice),
		TEST(an_incident_that_was_taken_away_is_begun_anew),
		TEST(the_public_page_follows_the_events),
		TEST(a_template_is_filled_in),
		TEST(a_wrong_template_is_refused_by_name),
		TEST(every_shipped_text_is_sound_and_bounded),
		TEST(what_fails_for_a_while_is_tried_again_and_said_once),
		TEST(what_fails_for_long_is_lost_in_bounded_time),
		TEST(what_will_not_change_is_not_tried_again),
		TEST(retry_after_is_heeded),
		TEST(one_that_hangs_or_talks_for_ever_delays_no_other),
		TEST(many_of_a_kind_become_one),
		TEST(a_full_queue_keeps_what_is_trouble),
		TEST(only_alarms_means_trouble_and_its_end),
		TEST(a_secret_that_others_can_read_is_refused),
		TEST(a_token_does_not_go_over_http),
		TEST(a_new_secret_counts_at_once_and_a_lost_one_is_waited_for),
		TEST(addresses_of_this_host_are_refused),
		TEST(a_reload_keeps_the_queue_of_what_stays),
		TEST(freeing_in_the_middle_leaves_nothing),
	};

	if (geteuid()) {
		print_message("1..0 # SKIP a network namespace takes root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, make_world, end_world);
}
