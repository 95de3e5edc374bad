/* SPDX-License-Identifier: GPL-2.0-only */
/* What each service gets. */
#include "tests/unit/notify_rig.h"

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

/* The text of what target `path` was told last. */
static void told_last(const char *path, char ret[400])
{
	ret[0] = '\0';
	for (unsigned int i = 0; i < shared->n; i++) {
		const char *at = strchr(shared->request[i], ' ');

		if (at && !strncmp(at + 1, path, strlen(path)))
			snprintf(ret, 400, "%.399s", strstr(shared->request[i], "\r\n\r\n") + 4);
	}
}

static void the_end_of_an_alarm_is_told_to_all(void **state)
{
	char text[400];

	(void)state;
	add("chat", CONF_SLACK);
	add("page", CONF_STATUSPAGE);
	add("duty", CONF_PAGERDUTY);
	use();
	tell(NOTICE_ALARM, false, "ramp");
	settle();
	assert_string_equal(shared->status, "investigating");
	told_last("/services", text);
	assert_non_null(strstr(text, "ALARM ramp at 25.5%"));
	tell(NOTICE_ALARM, true, "ramp");
	settle();
	assert_string_equal(shared->status, "resolved"); /* the incident was the alarm's */
	told_last("/services", text);
	assert_non_null(strstr(text, "the alarm ramp is over"));
	told_last("/enqueue", text);
	assert_non_null(strstr(text, "\"event_action\":\"resolve\""));
	/* A rollback stays open until it is checked. */
	tell(NOTICE_ROLLED_BACK, false, NULL);
	settle();
	assert_string_equal(shared->status, "monitoring");
	tell(NOTICE_ROLLED_BACK, true, NULL);
	settle();
	assert_string_equal(shared->status, "resolved");
	told_last("/services", text);
	assert_non_null(strstr(text, "the rollback is checked"));
	told_last("/enqueue", text);
	assert_non_null(strstr(text, "\"event_action\":\"resolve\""));
	assert_int_equal(shared->begun, 2);
}

static void what_is_only_watched_wakes_nobody(void **state)
{
	char text[400];

	(void)state;
	add("chat", CONF_SLACK);
	add("page", CONF_STATUSPAGE);
	add("duty", CONF_PAGERDUTY);
	add("quiet", CONF_WEBHOOK)->only_alarms = true;
	use();
	tell(NOTICE_MONITOR, false, NULL);
	settle();
	assert_int_equal(shared->n, 1);
	told_last("/services", text);
	assert_non_null(strstr(text, "api: at 25.5%: p95"));
}

static void a_target_is_trusted_by_its_own_ca(void **state)
{
	(void)state;
	add("mine", CONF_WEBHOOK);
	add("system", CONF_WEBHOOK)->ca_file[0] = '\0'; /* does not know it */
	use();
	tell(NOTICE_ALARM, false, "p95");
	for (int i = 0; i < 250 && (!look(0).told || !look(1).failing); i++)
		run_for(20 * MS);
	assert_int_equal(look(0).told, 1);
	assert_int_equal(look(1).told, 0);
	assert_true(look(1).failing);
	assert_int_equal(shared->n, 1);
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

static void a_disk_that_hangs_is_not_asked_for_an_incident(void **state)
{
	struct notify_entry e = {.event = NOTICE_ALARM, .subject = NOTICE_DISK};
	struct notify_incident at = {0};
	const char *status;

	(void)state;
	assert_int_equal(notify_page(&at, &e, &status), NOTIFY_PAGE_NOTHING);
	e.over = true;
	strcpy(at.id, "abc");
	assert_int_equal(notify_page(&at, &e, &status), NOTIFY_PAGE_NOTHING);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(slack_gets_a_text_that_addresses_nobody),
		TEST(a_webhook_gets_everything_and_its_token),
		TEST(pagerduty_opens_and_resolves_by_one_key),
		TEST(the_end_of_an_alarm_is_told_to_all),
		TEST(what_is_only_watched_wakes_nobody),
		TEST(a_target_is_trusted_by_its_own_ca),
		TEST(one_incident_is_begun_updated_and_resolved),
		TEST(a_restart_goes_on_with_the_incident),
		TEST(an_incident_whose_beginning_is_in_doubt_is_not_begun_twice),
		TEST(an_incident_that_was_taken_away_is_begun_anew),
		TEST(the_public_page_follows_the_events),
		TEST(a_disk_that_hangs_is_not_asked_for_an_incident),
		TEST(a_template_is_filled_in),
		TEST(a_wrong_template_is_refused_by_name),
		TEST(every_shipped_text_is_sound_and_bounded),
	};

	return rig_main("notifier", tests, sizeof(tests) / sizeof(*tests));
}
