/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/cmd/status.h"
#include "userspace/ctl/journal.h"

#define S 1000000000ull

static struct status_view v;
static struct status_ramp ramp;
static char dir[] = "/tmp/shift-status.XXXXXX";

static const char answer[] =
	"{\"schema\":1,\"code\":0,\"service\":\"api\",\"state\":\"holding\",\"stage\":2,"
	"\"stages\":5,\"weight\":25.0,\"reason\":\"holds for 12m more; and now: gate p95 is "
	"inconclusive: 38 of 44 connections\",\"hold_left_s\":720.0,\"next\":\"50% in 12m if all "
	"gates are ok\",\"who\":\"alice\",\"leader\":true,\"frozen\":null,"
	"\"arms\":{\"old\":{\"rate\":150.0,\"failed\":0.18,\"p95_ms\":163.0},"
	"\"new\":{\"rate\":50.0,\"failed\":0.21,\"p95_ms\":176.2}},\"gates\":["
	"{\"name\":\"errors\",\"verdict\":\"ok\",\"value\":0.21,\"why\":\"0.21% < 1%\","
	"\"bound\":\"ok < 1%\",\"unit\":\"%\",\"arm\":\"new\",\"old\":0.18,\"new\":0.21},"
	"{\"name\":\"p95\",\"verdict\":\"inconclusive\",\"value\":null,\"why\":\"38 of 44 "
	"connections\",\"bound\":\"ok < 200\",\"unit\":\"ms\",\"arm\":\"new\",\"old\":163,"
	"\"new\":null},"
	"{\"name\":\"tps\",\"verdict\":\"ok\",\"value\":776000.0,\"why\":\"776000: no bound holds\","
	"\"bound\":\"back > 20% below baseline\",\"unit\":\"\",\"arm\":\"new\",\"old\":null,"
	"\"new\":776000.0},"
	"{\"name\":\"split\",\"verdict\":\"ok\",\"value\":70.0,\"why\":\"honest\",\"bound\":\"about "
	"25%\",\"unit\":\"%\",\"old\":75.1,\"new\":24.9}]}";

static int at_stage_two(void **state)
{
	json_t *j = json_loads(answer, 0, NULL);

	(void)state;
	setenv("TZ", "UTC", 1);
	setenv("SHIFT_OPERATOR", "alice", 1);
	unsetenv("LANG");
	memset(&v, 0, sizeof(v));
	snprintf(v.service, sizeof(v.service), "api");
	v.attached = v.loaded = v.has_record = v.answers = true;
	v.boot = 1000 * S;
	v.real = 1772375412 * S; /* 14:30:12 */
	v.old_health = STATUS_UNKNOWN;
	v.weight = v.record.weight = 2500;
	v.record.authority = SHIFT_AUTHORITY_SHARED;
	snprintf(v.backend[0].name, sizeof(v.backend[0].name), "aws");
	v.backend[0].weight = 40;
	v.backend[0].health = STATUS_UP;
	v.backends = v.addresses = 1;
	v.stats.connections_old = 117204;
	v.stats.connections_new = 39012;
	v.active = 12;
	assert_non_null(j);
	status_ramp_of(j, 0, "api", &ramp);
	json_decref(j);
	v.ramp = &ramp;
	return 0;
}

static int forget(void **state)
{
	(void)state;
	status_ramp_drop(&ramp);
	return 0;
}

static char *said(void (*write)(FILE *to))
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	write(to);
	fclose(to);
	return text;
}

static void line(FILE *to)
{
	status_line(&v, to);
}

static unsigned int columns;
static bool brief;

static void whole_screen(FILE *to)
{
	const struct status_style style = {.columns = columns, .brief = brief};

	status_screen(&v, NULL, &style, to);
}

static void assert_has(char *text, const char *want)
{
	if (!strstr(text, want))
		fail_msg("no '%s' in: %s", want, text);
}

static void the_line_names_stage_both_arms_and_the_reason(void **state)
{
	char *text = said(line);

	(void)state;
	assert_string_equal(
		text,
		"Shift: api 25% 2/5; New: 39012 conns 12 active 0.21% err; Old: 117204 conns "
		"0.18% err; p95: new 176 old 163 ms; State: shifting 25%; Ramp: holding, 12m00s "
		"left, gate p95 is inconclusive: 38 of 44 connections; Next: 50% in 12m if all "
		"gates are ok (14:42)\n");
	free(text);
	v.ramp = NULL;
	text = said(line);
	assert_string_equal(text, "Shift: api 25%; New: 39012 conns 12 active 0 failed; Old: "
				  "117204 conns; State: shifting 25%\n");
	free(text);
}

static void the_screen_has_the_ramp_on_top_and_what_is_next_below(void **state)
{
	char *text;

	(void)state;
	columns = 80;
	text = said(whole_screen);
	assert_has(text, "\nramp holding   stage 2/5   hold: 12m00s left   for alice\n"
			 "      gate p95 is inconclusive: 38 of 44 connections\n");
	assert_has(text, "gate       old      new  bound                      verdict\n"
			 "errors   0.18%    0.21%  ok < 1%                    ok\n"
			 "p95     163 ms        -  ok < 200                   inconclusive\n"
			 "    38 of 44 connections\n"
			 "tps          -  776,000  back > 20% below baseline  ok\n"
			 "split    75.1%    24.9%  about 25%                  ok\n");
	assert_has(text, "next: 50% in 12m if all gates are ok (14:42)\n"
			 "undo: shiftctl ramp back (one stage), shiftctl rollback (all)\n");
	free(text);
	columns = 120;
	text = said(whole_screen);
	assert_has(text, "ok            776000: no bound holds\n");
	free(text);
	columns = 80;
	brief = true;
	text = said(whole_screen);
	brief = false;
	assert_null(strstr(text, "split"));
	assert_has(text, "p95 ");
	free(text);
}

static void without_a_plan_nothing_is_shown(void **state)
{
	struct status_ramp none;
	json_t *j = json_loads(answer, 0, NULL);

	(void)state;
	status_ramp_of(j, 0, "other", &none);
	assert_null(none.is);
	json_object_set_new(j, "stages", json_integer(0));
	status_ramp_of(j, 0, "api", &none);
	assert_null(none.is);
	json_decref(j);
	status_ramp_of(NULL, -ENOENT, "never-ramped", &none);
	assert_null(none.is);
	status_ramp_of(NULL, -ENOENT, "../api", &none);
	assert_null(none.is);
}

static void what_is_wrong_comes_before_the_ramps_next_step(void **state)
{
	char next[256];

	(void)state;
	status_next(&v, next, sizeof(next));
	assert_string_equal(next, "50% in 12m if all gates are ok (14:42)");
	v.backend[0].health = STATUS_DOWN;
	status_next(&v, next, sizeof(next));
	assert_string_equal(next, "shiftctl rollback");
	v.record.latched = 1;
	status_next(&v, next, sizeof(next));
	assert_string_equal(next, "shiftctl ramp start --after-rollback, once the cause is known");
}

/* ---- without shiftd ---- */

static struct ramp_action action;

static void write_journal(const char *more)
{
	static struct ramp_view view;
	char path[200];
	char *text;
	FILE *f;

	view.real = 1772375000 * S;
	action.stages = 5;
	action.weight = 2500;
	snprintf(action.event, sizeof(action.event), "holding");
	snprintf(action.reason, sizeof(action.reason), "stage 2 of 5: 25%% for 30m");
	action.saved.stage = 2;
	memcpy(action.saved.reason, action.reason, sizeof(action.saved.reason));
	text = journal_line(&action, &view, 7);
	assert_non_null(text);
	snprintf(path, sizeof(path), "%s/ramp", dir);
	mkdir(path, 0700);
	strcat(path, "/api");
	mkdir(path, 0700);
	strcat(path, "/ramp.jsonl");
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "{\"torn\n%s\n%s", text, more);
	fclose(f);
	free(text);
}

static void read_journal(int err)
{
	status_ramp_drop(&ramp);
	status_ramp_of(NULL, err, "api", &ramp);
}

static void without_shiftd_the_journals_last_whole_line_counts(void **state)
{
	char text[256];
	char *all;

	(void)state;
	action.saved.state = RAMP_HOLDING;
	write_journal("{\"schema\":1,\"seq\":8,\"state\":\"promo");
	read_journal(-ENOENT);
	assert_string_equal(status_ramp_asleep(&v, text, sizeof(text)),
			    "shiftd does not run; ramp was holding at stage 2/5: it will resume "
			    "paused");
	assert_true(json_is_false(json_object_get(ramp.is, "live")));
	assert_int_equal(json_integer_value(json_object_get(ramp.is, "stages")), 5);
	status_next(&v, text, sizeof(text));
	assert_string_equal(text, "systemctl start shiftd, then shiftctl ramp resume");
	assert_false(status_ramp_has_back(&ramp));
	columns = 80;
	all = said(whole_screen);
	assert_has(all, "\nshiftd does not run; ramp was holding at stage 2/5: it will resume "
			"paused\n      it said last: stage 2 of 5: 25% for 30m\n");
	free(all);
	all = said(line);
	assert_has(all, "Shift: api 25% 2/5; ");
	assert_has(all, "; Ramp: shiftd does not run; ramp was holding at stage 2/5");
	free(all);
	read_journal(-ETIMEDOUT);
	assert_has((char *)status_ramp_asleep(&v, text, sizeof(text)), "shiftd does not answer; ");
	v.record.latched = 1;
	assert_has((char *)status_ramp_asleep(&v, text, sizeof(text)), "it will be rolled-back");
}

static void a_ramp_that_is_over_needs_no_shiftd(void **state)
{
	char text[256];

	(void)state;
	action.saved.state = RAMP_ROLLED_BACK;
	write_journal("");
	read_journal(-ECONNREFUSED);
	assert_string_equal(status_ramp_asleep(&v, text, sizeof(text)), "");
	status_next(&v, text, sizeof(text));
	assert_string_equal(text, "shiftctl weight 50");
	action.saved.state = RAMP_DONE;
	write_journal("");
	read_journal(-ECONNREFUSED);
	assert_string_equal(status_ramp_asleep(&v, text, sizeof(text)),
			    "shiftd does not run; ramp was done: nobody asks its gates");
}

static void what_is_no_entry_is_none(void **state)
{
	static const char *const lines[] = {"",
					    "[]",
					    "{}",
					    "{\"state\":\"holding\",\"stage\":2}",
					    "{\"saved\":{},\"state\":2,\"stage\":2}",
					    "{\"saved\":{},\"state\":\"holding\"}"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		assert_null(status_ramp_saved(lines[i], strlen(lines[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, at_stage_two, forget)
		T(the_line_names_stage_both_arms_and_the_reason),
		T(the_screen_has_the_ramp_on_top_and_what_is_next_below),
		T(without_a_plan_nothing_is_shown),
		T(what_is_wrong_comes_before_the_ramps_next_step),
		T(without_shiftd_the_journals_last_whole_line_counts),
		T(a_ramp_that_is_over_needs_no_shiftd),
		T(what_is_no_entry_is_none),
	};
	char path[300];
	int failed;

	if (!mkdtemp(dir))
		return 1;
	setenv("SHIFT_STATE", dir, 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(path, sizeof(path), "%s/ramp/api/ramp.jsonl", dir);
	unlink(path);
	for (char *end = strrchr(path, '/'); end && end >= path + strlen(dir);
	     end = strrchr(path, '/')) {
		*end = '\0';
		rmdir(path);
	}
	return failed;
}
