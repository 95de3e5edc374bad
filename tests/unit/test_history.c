/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_history.c - the audit trail and the ramp's journal as one
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/report_rig.h"
#include "userspace/cmd/history.h"

static char dir[64];

static int begin(void **state)
{
	char path[128];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/shift-history.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	setenv("SHIFT_STATE", dir, 1);
	snprintf(path, sizeof(path), "%s/ramp", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/ramp/api", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/ramp/web", dir);
	return mkdir(path, 0700);
}

static void path_of(const char *name, char ret[128])
{
	snprintf(ret, 128, "%s/%s", dir, name);
}

static void empty(void)
{
	static const char *const names[] = {"history.jsonl", "ramp/api/ramp.jsonl",
					    "ramp/api/ramp.jsonl.1", "ramp/web/ramp.jsonl"};
	char path[128];

	for (size_t i = 0; i < COUNT(names); i++) {
		path_of(names[i], path);
		unlink(path);
	}
}

static int end(void **state)
{
	static const char *const names[] = {"ramp/api", "ramp/web", "ramp", ""};
	char path[128];

	(void)state;
	empty();
	for (size_t i = 0; i < COUNT(names); i++) {
		path_of(names[i], path);
		rmdir(path);
	}
	return 0;
}

static void append(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	path_of(name, path);
	f = fopen(path, "ae");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void control(const char *service, int second, int epoch, const char *verb)
{
	char line[300];

	snprintf(
		line, sizeof(line),
		"{\"schema\":1,\"time\":\"2026-03-01T14:30:%02dZ\",\"who\":\"shiftd\",\"verb\":\"%s\","
		"\"service\":\"%s\",\"epoch\":%d,\"from\":10,\"to\":25,\"reason\":\"r%d\"}\n",
		second, verb, service, epoch, epoch);
	append("history.jsonl", line);
}

static void ramp(const char *name, int second, int epoch, const char *kind, const char *more)
{
	char line[500];

	snprintf(
		line, sizeof(line),
		"{\"schema\":1,\"seq\":1,\"time\":\"2026-03-01T14:30:%02dZ\",\"who\":\"shiftd\","
		"\"kind\":\"%s\",\"state\":\"holding\",\"weight\":25.0,\"epoch\":%d,\"reason\":\"%s %d\","
		"\"gates\":[{\"name\":\"g%d\"}]%s}\n",
		second, kind, epoch, kind, second, second, more);
	append(name, line);
}

static void shows(struct history *h, const char *verbs)
{
	char path[320];
	json_t *d;

	assert_int_equal(history_read(h, path), 0);
	d = json_pack("{s:O}", "history", h->entries);
	list_is(d, "history", "verb", verbs);
	json_decref(d);
}

static void both_are_in_one_order(void **state)
{
	struct history h = {0};
	json_t *d;

	(void)state;
	empty();
	control("api", 10, 1, "apply");
	control("api", 12, 2, "ramp");
	control("api", 20, 4, "weight");
	ramp("ramp/api/ramp.jsonl", 12, 1, "promoting", ",\"asked\":\"start\"");
	ramp("ramp/api/ramp.jsonl", 12, 1, "intent", "");
	ramp("ramp/api/ramp.jsonl", 12, 2, "holding", "");
	ramp("ramp/api/ramp.jsonl", 15, 2, "hook", "");
	ramp("ramp/api/ramp.jsonl", 20, 4, "paused", "");
	ramp("ramp/api/ramp.jsonl", 30, 4, "promoting", "");
	/* a decision comes before the change that it made, and after the one that it answers */
	shows(&h, "apply|ramp start|ramp|ramp hook|weight|ramp paused|ramp proceed");
	d = json_pack("{s:O}", "history", h.entries);
	list_is(d, "history", "trail", "-|ramp|-|ramp|-|ramp|ramp");
	json_decref(d);
	history_free(&h);
	h = (struct history){.limit = 3};
	shows(&h, "weight|ramp paused|ramp proceed");
	assert_int_equal(h.earlier, 4);
	history_free(&h);
	h = (struct history){.since = 1772375412 + 8}; /* 14:30:20 */
	shows(&h, "weight|ramp paused|ramp proceed");
	history_free(&h);
}

static void evidence_is_that_before_the_change(void **state)
{
	struct history h = {.evidence = true};
	const json_t *g;

	(void)state;
	empty();
	control("api", 12, 2, "ramp");
	control("api", 20, 3, "weight");
	control("api", 30, 4, "rollback");
	ramp("ramp/api/ramp.jsonl", 11, 1, "intent", "");
	ramp("ramp/api/ramp.jsonl", 25, 3, "paused", "");
	ramp("ramp/api/ramp.jsonl", 29, 3, "intent", "");
	ramp("ramp/api/ramp.jsonl", 31, 4, "hook", "");
	shows(&h, "ramp|weight|ramp paused|rollback|ramp hook");
	for (size_t i = 0; i < 5; i++) {
		static const char *const names[] = {"g11", "", "g25", "g29", ""};

		g = json_array_get(json_object_get(json_array_get(h.entries, i), "gates"), 0);
		assert_string_equal(history_text(g, "name"), names[i]);
	}
	history_free(&h);
}

/* As --follow does: only what came since, through a rotation, and a line only once it is whole. */
static void what_comes_is_read_once(void **state)
{
	char from[128], to[128];
	struct history h = {0};

	(void)state;
	empty();
	control("api", 10, 1, "apply");
	ramp("ramp/api/ramp.jsonl.1", 9, 1, "paused", "");
	ramp("ramp/api/ramp.jsonl", 11, 1, "promoting", "");
	shows(&h, "ramp paused|apply|ramp proceed");
	shows(&h, "");
	append("history.jsonl", "{\"schema\":1,\"verb\":\"we");
	shows(&h, "");
	assert_true(h.torn);
	append("history.jsonl", "ight\",\"service\":\"api\"}\n");
	ramp("ramp/api/ramp.jsonl", 12, 2, "paused", "");
	path_of("ramp/api/ramp.jsonl", from);
	path_of("ramp/api/ramp.jsonl.1", to);
	assert_int_equal(rename(from, to), 0);
	ramp("ramp/api/ramp.jsonl", 13, 2, "freeze", "");
	ramp("ramp/web/ramp.jsonl", 14, 2, "unfreeze", "");
	shows(&h, "weight|ramp paused|freeze|unfreeze");
	assert_false(h.torn);
	assert_int_equal(h.damaged, 0);
	shows(&h, "");
	history_free(&h);
}

static void of_one_service_only_its_own(void **state)
{
	struct history h = {.service = "web"};

	(void)state;
	empty();
	control("api", 10, 1, "apply");
	control("web", 20, 1, "apply");
	ramp("ramp/api/ramp.jsonl", 11, 1, "paused", "");
	ramp("ramp/web/ramp.jsonl", 21, 1, "promoting", "");
	ramp("ramp/web/ramp.jsonl", 15, 1, "freeze", "");
	shows(&h, "apply|ramp proceed|freeze");
	history_free(&h);
	h = (struct history){0};
	shows(&h, "apply|ramp paused|freeze|apply|ramp proceed");
	history_free(&h);
}

static void damaged_lines_hide_no_other(void **state)
{
	struct history h = {0};

	(void)state;
	empty();
	append("history.jsonl",
	       "{\"schema\":1,\"ti{\"schema\":1,\"verb\":\"lock\"}\nnonsense\n\n[]\n");
	append("ramp/api/ramp.jsonl", "{\"kind\":7,\"reason\":[]}\n{}\nx\n");
	ramp("ramp/api/ramp.jsonl", 11, 1, "paused", "");
	ramp("ramp/api/ramp.jsonl", 11, 1, "alarm", "");
	append("ramp/api/ramp.jsonl", "{\"schema\":1,\"kind\":\"pau");
	shows(&h, "lock|ramp paused|ramp alarm");
	assert_int_equal(h.damaged, 4);
	assert_true(h.torn);
	history_free(&h);
}

/* What the ramp itself writes: no change is told twice, and no alarm of a pause. */
static void of_a_ramp_its_decisions_are_told(void **state)
{
	struct history h = {0};
	struct rig x;

	(void)state;
	empty();
	book_begin(&x);
	rig_bring(&x, RAMP_HOLDING);
	book_gate(&x, 1, GATE_PAUSE, "250 > 200", 1);
	rig_step(&x);
	book_gate(&x, 1, GATE_OK, "50 < 100", 1);
	book_say(&x, "bob", RAMP_RESUME, 0, "");
	book_say(&x, "bob", RAMP_FREEZE, 0, "");
	rig_latch(&x, "carol");
	rig_run(&x, 3);
	append("ramp/api/ramp.jsonl", book);
	shows(&h, "ramp start|ramp next|ramp paused|ramp resume|freeze");
	history_free(&h);
	book_end(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_are_in_one_order),
		cmocka_unit_test(evidence_is_that_before_the_change),
		cmocka_unit_test(what_comes_is_read_once),
		cmocka_unit_test(of_one_service_only_its_own),
		cmocka_unit_test(damaged_lines_hide_no_other),
		cmocka_unit_test(of_a_ramp_its_decisions_are_told),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
