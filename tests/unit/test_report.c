/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_report.c - from the journal of a ramp to its record
 *
 * The journals are written by the ramp itself, in the rig. Run from the root of the tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/report_rig.h"

/* ---- stages and decisions ---- */

static void each_stage_has_its_decision(void **state)
{
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_step(&x);
	book_say(&x, "alice", RAMP_START, 0, "tonight");
	rig_run(&x, 320);
	d = book_report(0);
	list_is(d, "stages", "weight", "10|25|50|75|100");
	list_is(d, "stages", "stage", "1|2|3|4|5");
	list_is(d, "stages", "stages", "5|5|5|5|5");
	list_is(d, "stages", "hold_s", "60|60|60|60|60");
	list_is(d, "stages", "decision",
		"PROCEED to 25%|PROCEED to 50%|PROCEED to 75%|PROCEED to 100%|"
		"DONE: all 5 stages are done: 100% is on the new side");
	list_is(d, "stages", "by", "shiftd|shiftd|shiftd|shiftd|shiftd");
	list_is(d, "stages", "for", "alice|alice|alice|alice|alice");
	list_is(json_array_get(json_object_get(d, "stages"), 1), "gates", "verdict", "ok|ok");
	list_is(d, "incidents", "kind", "");
	assert_string_equal(report_text(d, "state"), "done");
	assert_string_equal(report_text(d, "started_by"), "alice");
	assert_string_equal(report_text(d, "start_reason"), "started by alice: tonight");
	assert_true(report_number(d, "ended_at") > report_number(d, "started_at") + 300);
	json_decref(d);
	book_end(&x);
}

static void a_stage_ends_where_the_next_begins(void **state)
{
	const json_t *stages;
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_DONE);
	rig_run(&x, 3);
	rig_latch(&x, "bob");
	rig_run(&x, 1);
	d = book_report(0);
	stages = json_object_get(d, "stages");
	assert_int_equal(json_array_size(stages), 5);
	for (size_t i = 0; i < 5; i++) {
		const json_t *s = json_array_get(stages, i), *next = json_array_get(stages, i + 1);

		assert_true(report_number(s, "to") >= report_number(s, "from"));
		if (next)
			assert_true(report_number(s, "to") == report_number(next, "from"));
	}
	list_is(d, "stages", "decision",
		"PROCEED to 25%|PROCEED to 50%|PROCEED to 75%|PROCEED to 100%|"
		"ROLLED BACK by bob at 2027-01-15 08:16:55");
	json_decref(d);
	book_end(&x);
}

static void what_is_under_way_has_no_end(void **state)
{
	char text[REPORT_CELL];
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_step(&x);
	assert_null(book_report(0)); /* no ramp was started */
	book_say(&x, "alice", RAMP_START, 0, "");
	rig_run(&x, 2);
	d = book_report(0);
	list_is(d, "stages", "weight", "10");
	json_decref(d);
	rig_run(&x, 90);
	d = book_report(0);
	list_is(d, "stages", "weight", "10|25");
	list_is(d, "stages", "decision", "PROCEED to 25%|-");
	assert_true(json_is_null(json_object_get(d, "ended_at")));
	assert_string_equal(report_decision(json_array_get(json_object_get(d, "stages"), 1), text),
			    "HOLDING");
	json_decref(d);
	book_say(&x, "bob", RAMP_PAUSE, 0, "lunch");
	d = book_report(0);
	list_is(d, "stages", "decision", "PROCEED to 25%|PAUSED by bob: lunch");
	json_decref(d);
	book_say(&x, "bob", RAMP_RESUME, 0, "");
	d = book_report(0);
	list_is(d, "stages", "decision", "PROCEED to 25%|-");
	json_decref(d);
	book_end(&x);
}

/* ---- from fault to effect ---- */

static void an_incident_has_the_time_from_fault_to_effect(void **state)
{
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_step(&x);
	book_say(&x, "alice", RAMP_START, 0, "");
	rig_run(&x, 70);
	book_gate(&x, 1, GATE_PAUSE, "250 > 200", 0.4);
	rig_step(&x);
	book_gate(&x, 1, GATE_OK, "50 < 100", 0);
	book_say(&x, "alice", RAMP_RESUME, RAMP_UNPROVEN, "looked");
	rig_run(&x, 3);
	book_gate(&x, 1, GATE_BACK, "600 is 23% below", 0.9);
	rig_step(&x);
	book_gate(&x, 1, GATE_OK, "50 < 100", 0);
	rig_run(&x, 5);
	book_say(&x, "alice", RAMP_RESUME, 0, "");
	rig_run(&x, 5);
	book_gate(&x, 0, GATE_ROLLBACK, "1.2% > 1% for 10m", 600.25);
	x.gates[0].verdict.sustained = true;
	rig_step(&x);
	rig_run(&x, 2);
	d = book_report(0);
	list_is(d, "incidents", "kind", "pause|back|rollback");
	list_is(d, "incidents", "gate", "p95|p95|errors");
	list_is(d, "incidents", "stage", "2|2|1");
	/* what the kernel's record says lies 1 ms before the entry that tells of it */
	list_is(d, "incidents", "took_ms", "400|899|600250");
	list_is(d, "incidents", "action", "held at 25%|share 25% -> 10%|share 10% -> 0%, latched");
	list_is(d, "incidents", "alarm", "true|true|false");
	list_is(d, "stages", "weight", "10|25|10");
	list_is(d, "stages", "decision",
		"PROCEED to 25%|BACK to 10%: gate p95: 600 is 23% below|"
		"ROLLED BACK (planned): gate errors: 1.2% > 1% for 10m");
	list_is(json_array_get(json_object_get(d, "stages"), 2), "gates", "verdict", "rollback|ok");
	list_is(d, "overrides", "who", "alice");
	list_is(d, "overrides", "verb", "resume");
	json_decref(d);
	book_end(&x);
}

static void what_operators_do_has_no_fault(void **state)
{
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_HOLDING);
	book_say(&x, "bob", RAMP_PAUSE, 0, "lunch");
	book_say(&x, "bob", RAMP_RESUME, 0, "");
	book_say(&x, "carol", RAMP_BACK, 0, "slow");
	book_say(&x, "carol", RAMP_RESUME, 0, "");
	rig_set(&x, "erin", 3300, false);
	rig_run(&x, 1);
	book_say(&x, "bob", RAMP_RESUME, 0, "");
	book_say(&x, "dave", RAMP_ABORT, 0, "enough");
	d = book_report(0);
	list_is(d, "incidents", "kind", "pause|back|pause|rollback");
	list_is(d, "incidents", "who", "bob|carol|shiftd|dave");
	list_is(d, "incidents", "gate", "-|-|-|-");
	list_is(d, "incidents", "took_ms", "-|-|-|-");
	list_is(d, "incidents", "action",
		"held at 25%|share 25% -> 10%|held at 33%|share 33% -> 0%, latched");
	list_is(d, "stages", "weight", "10|25|10|33");
	list_is(d, "stages", "stage", "1|2|1|2");
	list_is(d, "stages", "decision",
		"PROCEED to 25%|BACK to 10% by carol: slow|"
		"PAUSED: erin set the share from 10% to 33% (epoch 11)|ROLLED BACK: aborted by dave: "
		"enough");
	json_decref(d);
	book_end(&x);
}

static void after_a_commit_it_holds_and_alarms(void **state)
{
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_DONE);
	rig_set(&x, "alice", 10000, false);
	x.v.authority = SHIFT_AUTHORITY_NEW;
	rig_run(&x, 1);
	book_gate(&x, 0, GATE_ROLLBACK, "7% > 5%", 1);
	rig_step(&x);
	d = book_report(0);
	list_is(d, "incidents", "kind", "alarm");
	list_is(d, "incidents", "gate", "errors");
	list_is(d, "incidents", "action", "alarm, held at 100%");
	list_is(d, "incidents", "took_ms", "1000");
	list_is(d, "authority.changes", "what", "commit");
	list_is(d, "authority.changes", "who", "alice");
	list_is(d, "authority.changes", "to", "new");
	assert_string_equal(report_text(json_object_get(d, "authority"), "at_start"), "shared");
	assert_string_equal(report_text(json_object_get(d, "authority"), "now"), "new");
	json_decref(d);
	book_end(&x);
}

static void all_backends_down_is_seen_by_the_trip_wire(void **state)
{
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_HOLDING);
	snprintf(x.gates[0].name, sizeof(x.gates[0].name), "trip-wire");
	book_gate(&x, 0, GATE_OK, "", 0);
	x.gates[0].since = x.now - 480000000; /* it says nothing yet, but something is to be seen */
	x.v.all_down = true;
	rig_step(&x);
	d = book_report(0);
	list_is(d, "incidents", "gate", "all-down");
	list_is(d, "incidents", "took_ms", "480");
	json_decref(d);
	book_end(&x);
}

/* The gate says rollback while the hooks before the next stage run. */
static void a_rollback_during_a_promotion(void **state)
{
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_hook(x.conf, CONF_BEFORE_STAGE, 2);
	rig_step(&x);
	book_say(&x, "alice", RAMP_START, 0, "");
	x.slow_hooks = true;
	rig_run(&x, 70);
	rig_state_is(&x, RAMP_PROMOTING);
	book_gate(&x, 0, GATE_ROLLBACK, "7% > 5%", 0.5);
	rig_step(&x);
	rig_run(&x, 2);
	d = book_report(0);
	list_is(d, "stages", "weight", "10");
	list_is(d, "stages", "decision", "ROLLED BACK (immediate): gate errors: 7% > 5%");
	list_is(d, "incidents", "took_ms", "500");
	assert_string_equal(report_text(d, "state"), "rolled-back");
	json_decref(d);
	book_end(&x);
}

/* The kernel refuses twice: one incident, and its time goes on. */
static void a_rollback_that_is_tried_again_is_one(void **state)
{
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.rollback = RAMP_FAILED;
	book_gate(&x, 0, GATE_ROLLBACK, "7% > 5%", 0.5);
	rig_step(&x);
	rig_run(&x, 1);
	d = book_report(0);
	list_is(d, "stages", "decision",
		"PROCEED to 25%|ROLLING BACK (immediate): gate errors: 7% > 5%");
	assert_true(json_is_null(
		json_object_get(json_array_get(json_object_get(d, "incidents"), 0), "effect_at")));
	json_decref(d);
	x.rollback = RAMP_DID;
	rig_run(&x, 2);
	d = book_report(0);
	list_is(d, "incidents", "kind", "rollback|alarm");
	list_is(d, "incidents", "took_ms", "2500|-");
	json_decref(d);
	book_end(&x);
}

/* ---- journals as they are found ---- */

static void two_ramps_are_two(void **state)
{
	double from, until;
	struct report *r;
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_ROLLED_BACK);
	rig_run(&x, 100);
	book_say(&x, "carol", RAMP_START, RAMP_AFTER_ROLLBACK | RAMP_L4_ONLY, "again");
	rig_run(&x, 320);
	d = book_report(0);
	assert_string_equal(report_text(d, "started_by"), "carol");
	assert_int_equal(report_number(d, "ramp"), 2);
	assert_int_equal(report_number(d, "ramps"), 2);
	list_is(d, "overrides", "verb", "start");
	json_decref(d);
	d = book_report(1);
	assert_string_equal(report_text(d, "started_by"), "alice");
	assert_string_equal(report_text(d, "state"), "rolled-back");
	assert_int_equal(report_number(d, "ramps"), 2);
	list_is(d, "stages", "weight", "10|25");
	json_decref(d);
	assert_null(book_report(3));
	r = report_begin(1);
	book_feed(r, book, book_size);
	assert_true(report_span(r, &from, &until));
	assert_true(until > from + 100 && isfinite(until));
	json_decref(report_end(r, "api", 0));
	book_end(&x);
}

static void cut_anywhere_it_is_what_was_written_by_then(void **state)
{
	size_t size;
	struct rig x;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_latch(&x, "bob");
	rig_run(&x, 2);
	size = book_size;
	for (book_size = 0; book_size <= size; book_size += book_size + 4096 > size ? 1 : 61) {
		json_t *d = book_report(0);

		if (book_size == size)
			assert_string_equal(report_text(d, "state"), "rolled-back");
		json_decref(d);
	}
	book_size = size;
	book_end(&x);
}

/* What a crash left of a line stands between two whole ones. */
static void torn_lines_hide_no_other(void **state)
{
	json_t *whole, *torn;
	struct rig x;
	char *first;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_HOLDING);
	first = strndup(book, 200);
	book_put(first);
	book_put("");
	book_put("null");
	book_put("{\"kind\":\"paused\"}");
	book_put("{\"kind\":\"paused\",\"saved\":7,\"gates\":{},\"real_ns\":\"x\"}");
	free(first);
	torn = book_report(0);
	book_say(&x, "bob", RAMP_PAUSE, 0, "");
	whole = book_report(0);
	list_is(torn, "stages", "weight", "10|25");
	list_is(whole, "stages", "decision", "PROCEED to 25%|PAUSED by bob");
	json_decref(whole);
	json_decref(torn);
	book_end(&x);
}

static void where_the_beginning_was_rotated_away_that_is_said(void **state)
{
	char *half;
	size_t size;
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_step(&x);
	book_say(&x, "alice", RAMP_START, 0, "");
	rig_run(&x, 130);
	half = book;
	size = book_size;
	for (int lines = 0; lines < 2; lines++) {
		const char *end = memchr(book, '\n', book_size);

		book_size -= (size_t)(end + 1 - book);
		book += end + 1 - book;
	}
	d = book_report(0);
	assert_true(json_is_false(json_object_get(d, "whole")));
	assert_true(json_is_null(json_object_get(d, "started_at")));
	list_is(d, "stages", "weight", "10|25|50");
	book = half;
	book_size = size;
	json_decref(d);
	book_end(&x);
}

static void a_restart_is_a_pause(void **state)
{
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_restart(&x);
	rig_run(&x, 1);
	book_say(&x, "alice", RAMP_RESUME, 0, "");
	rig_run(&x, 70);
	d = book_report(0);
	list_is(d, "incidents", "kind", "pause");
	list_is(d, "incidents", "took_ms", "-");
	rig_says(report_text(json_array_get(json_object_get(d, "incidents"), 0), "reason"),
		 "shiftd was started again at stage 2 of 5, 25%");
	list_is(d, "stages", "weight", "10|25|50");
	json_decref(d);
	book_end(&x);
}

/* As they were before the record was thought of. */
static void old_lines_are_read_as_far_as_they_go(void **state)
{
	static const char *const newer[] = {"real_ns", "set_ns", "set_by", "stages", "hold_s",
					    "cause",   "asked",	 "flags",  "hook"};
	char *old, *line, *rest;
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_HOLDING);
	book_gate(&x, 0, GATE_ROLLBACK, "7% > 5%", 0.5);
	rig_step(&x);
	old = rest = book;
	book = NULL;
	book_size = 0;
	while ((line = strsep(&rest, "\n"))) {
		json_t *j = json_loads(line, 0, NULL), *gates = json_object_get(j, "gates");
		char *text;

		if (!j)
			continue;
		for (size_t i = 0; i < COUNT(newer); i++)
			json_object_del(j, newer[i]);
		for (size_t i = 0; i < json_array_size(gates); i++)
			json_object_del(json_array_get(gates, i), "since_ns");
		text = json_dumps(j, JSON_COMPACT);
		book_put(text);
		free(text);
		json_decref(j);
	}
	free(old);
	d = book_report(0);
	list_is(d, "stages", "weight", "10|25");
	list_is(d, "stages", "hold_s", "-|-");
	list_is(d, "incidents", "kind", "rollback");
	list_is(d, "incidents", "gate", "errors");
	list_is(d, "incidents", "took_ms", "-");
	assert_true(report_number(d, "started_at") > 1.7e9);
	json_decref(d);
	book_end(&x);
}

/* ---- what others wrote ---- */

static json_t *change(const char *verb, const char *who, int64_t at)
{
	char when[32];
	time_t t = (time_t)at;
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:s}", "schema", 1, "time", when,
			 "who", who, "verb", verb, "service", "api", "epoch", 9, "from", 10, "to",
			 33, "reason", "because");
}

static void what_was_changed_by_hand_meanwhile_belongs_to_it(void **state)
{
	const struct {
		const char *verb, *who;
		int at; /* after the start; 1000: after the next one */
		bool told;
	} rows[] = {
		{"weight", "erin", -2, false},	  {"lock", "erin", 0, true},
		{"ramp", "shiftd", 1, false},	  {"weight", "erin", 2, true},
		{"rollback", "shiftd", 3, false}, {"rollback", "frank", 4, true},
		{"weight", "erin", 1000, false},
	};
	struct report *r = report_begin(1);
	double from, until;
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_ROLLED_BACK);
	rig_run(&x, 500);
	book_say(&x, "carol", RAMP_START, RAMP_AFTER_ROLLBACK, "");
	book_feed(r, book, book_size);
	assert_true(report_span(r, &from, &until));
	for (size_t i = 0; i < COUNT(rows); i++) {
		json_t *j = change(rows[i].verb, rows[i].who, (int64_t)from + rows[i].at);

		report_change(r, j);
		json_decref(j);
	}
	d = report_end(r, "api", 0);
	list_is(d, "by_hand", "verb", "lock|weight|rollback");
	list_is(d, "by_hand", "who", "erin|erin|frank");
	json_decref(d);
	book_end(&x);
}

static void points_are_its_own_and_not_too_many(void **state)
{
	struct report *r = report_begin(0);
	double from, until;
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_bring(&x, RAMP_HOLDING);
	book_feed(r, book, book_size);
	assert_true(report_span(r, &from, &until));
	for (int i = -5; i < 3000; i++) {
		json_t *j = json_pack("{s:f}", "at", floor(from) + i);

		report_point(r, j);
		json_decref(j);
	}
	d = report_end(r, "api", 0);
	assert_in_range(json_array_size(json_object_get(d, "points")), REPORT_POINTS / 2,
			REPORT_POINTS);
	json_decref(d);
	book_end(&x);
}

static void since_leaves_out_what_was_over(void **state)
{
	struct report *r = report_begin(0);
	double from, until;
	struct rig x;
	json_t *d;

	(void)state;
	book_begin(&x);
	rig_step(&x);
	book_say(&x, "alice", RAMP_START, 0, "");
	rig_run(&x, 70);
	book_say(&x, "bob", RAMP_PAUSE, 0, "");
	rig_run(&x, 100);
	book_say(&x, "bob", RAMP_FREEZE, 0, "");
	book_feed(r, book, book_size);
	assert_true(report_span(r, &from, &until));
	d = report_end(r, "api", from + 150);
	list_is(d, "stages", "weight", "25");
	list_is(d, "incidents", "kind", "");
	list_is(d, "freezes", "by", "bob");
	list_is(d, "events", "kind", "freeze");
	json_decref(d);
	book_end(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_stage_has_its_decision),
		cmocka_unit_test(a_stage_ends_where_the_next_begins),
		cmocka_unit_test(what_is_under_way_has_no_end),
		cmocka_unit_test(an_incident_has_the_time_from_fault_to_effect),
		cmocka_unit_test(what_operators_do_has_no_fault),
		cmocka_unit_test(after_a_commit_it_holds_and_alarms),
		cmocka_unit_test(all_backends_down_is_seen_by_the_trip_wire),
		cmocka_unit_test(a_rollback_during_a_promotion),
		cmocka_unit_test(a_rollback_that_is_tried_again_is_one),
		cmocka_unit_test(two_ramps_are_two),
		cmocka_unit_test(cut_anywhere_it_is_what_was_written_by_then),
		cmocka_unit_test(torn_lines_hide_no_other),
		cmocka_unit_test(where_the_beginning_was_rotated_away_that_is_said),
		cmocka_unit_test(a_restart_is_a_pause),
		cmocka_unit_test(old_lines_are_read_as_far_as_they_go),
		cmocka_unit_test(what_was_changed_by_hand_meanwhile_belongs_to_it),
		cmocka_unit_test(points_are_its_own_and_not_too_many),
		cmocka_unit_test(since_leaves_out_what_was_over),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
