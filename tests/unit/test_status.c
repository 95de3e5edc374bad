/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/cmd/status.h"

#define S 1000000000ull

static struct status_view v;
static char said[256];

static void add_backend(const char *name, unsigned int last_byte)
{
	struct status_backend *b = &v.backend[v.backends];
	struct status_address *a = &v.address[v.addresses++];

	snprintf(b->name, sizeof(b->name), "%s", name);
	b->id = v.backends;
	b->weight = 50;
	b->health = STATUS_UNKNOWN;
	a->address[2] = htonl(0xffff);
	a->address[3] = htonl(0xc6336400 + last_byte); /* 198.51.100.x */
	a->port = htons(443);
	a->backend = (uint16_t)v.backends++;
}

/* Two backends on one interface, at 25 %, nothing wrong. */
static int healthy(void **state)
{
	(void)state;
	unsetenv("LC_ALL");
	unsetenv("LC_CTYPE");
	unsetenv("LANG");
	setenv("SHIFT_OPERATOR", "alice", 1);
	memset(&v, 0, sizeof(v));
	snprintf(v.service, sizeof(v.service), "api");
	v.attached = v.loaded = v.has_record = true;
	v.boot = 1000 * S;
	v.real = 1772375412 * S;
	v.old_health = STATUS_UNKNOWN;
	v.weight = v.record.weight = 2500;
	v.record.epoch = 7;
	v.record.authority = SHIFT_AUTHORITY_SHARED;
	snprintf(v.record.set_by, sizeof(v.record.set_by), "alice");
	v.record.set_at = v.real - 90 * S;
	snprintf(v.interface[0].name, sizeof(v.interface[0].name), "eth0");
	v.interface[0].hook = SHIFT_HOOK_TCX;
	v.interface[0].exists = v.interface[0].attached = v.interface[0].watched = true;
	v.interface[0].packets_10s = 4211;
	v.interfaces = 1;
	v.stats.connections_old = 7496;
	v.stats.connections_new = 2504;
	add_backend("aws", 10);
	add_backend("gcp", 70);
	return 0;
}

static const char *next_of(void)
{
	status_next(&v, said, sizeof(said));
	return said;
}

static const char *state_of(void)
{
	status_state(&v, said, sizeof(said));
	return said;
}

static void weigh(uint16_t weight)
{
	v.weight = v.record.weight = weight;
}

static void a_healthy_ramp_goes_on_by_stages(void **state)
{
	static const struct {
		uint16_t weight;
		const char *next;
	} table[] = {
		{0, "shiftctl weight 10"},    {100, "shiftctl weight 10"},
		{1000, "shiftctl weight 25"}, {2500, "shiftctl weight 50"},
		{6000, "shiftctl weight 75"}, {9999, "shiftctl weight 100"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		weigh(table[i].weight);
		assert_string_equal(next_of(), table[i].next);
	}
	weigh(10000);
	assert_memory_equal(next_of(), "shiftctl commit", 15);
	v.record.authority = SHIFT_AUTHORITY_NEW;
	assert_non_null(strstr(next_of(), "DNS"));
	assert_string_equal(state_of(), "everything goes to the new side, committed");
}

static void what_is_not_attached_is_to_be_attached(void **state)
{
	(void)state;
	v.interface[0].attached = false;
	assert_string_equal(next_of(), "shiftctl apply (eth0 has no program)");
	v.attached = false;
	v.weight = 0;
	assert_string_equal(next_of(), "shiftctl apply");
	assert_string_equal(state_of(), "not attached, every connection stays with this host");
}

static void a_pending_confirm_comes_before_a_raise(void **state)
{
	(void)state;
	v.record.confirm_deadline = v.boot + 432 * S - 1;
	v.record.confirm_weight = 1000;
	assert_string_equal(next_of(), "shiftctl confirm (7m12s left, then back to 10%)");
	assert_string_equal(state_of(), "waits for confirm, 7m12s left, then 10%");
	v.record.confirm_deadline = v.boot;
	v.source = SHIFT_FROM_CONFIRM;
	v.weight = 1000;
	assert_string_equal(next_of(), "shiftctl weight 25 --confirm 10m, to try again");
	assert_string_equal(state_of(), "25% was not confirmed in time");
}

static void a_latch_comes_before_everything_but_attaching(void **state)
{
	(void)state;
	v.record.latched = 1;
	snprintf(v.record.latched_by, sizeof(v.record.latched_by), "bob");
	weigh(0);
	v.active = 31;
	assert_non_null(strstr(next_of(), "--after-rollback"));
	assert_string_equal(state_of(), "rolled back by bob, 31 shifted flows finish");
	v.interface[0].attached = false;
	assert_string_equal(next_of(), "shiftctl apply (eth0 has no program)");
}

static void a_dead_family_calls_for_a_rollback_before_commit_only(void **state)
{
	(void)state;
	v.backend[0].health = v.backend[1].health = STATUS_DOWN;
	assert_string_equal(next_of(), "shiftctl rollback");
	assert_int_equal(status_usable_backends(&v), 0);
	v.backend[1].health = STATUS_UNKNOWN; /* counts as usable */
	assert_string_equal(next_of(), "shiftctl weight 50");
	v.address[1].no_route = true;
	assert_string_equal(next_of(), "shiftctl rollback");
	assert_string_equal(state_of(), "no IPv4 backend is usable, its new connections stay with "
					"this host");
	v.record.authority = SHIFT_AUTHORITY_NEW;
	assert_null(strstr(next_of(), "shiftctl rollback"));
	weigh(0);
	v.record.authority = SHIFT_AUTHORITY_SHARED;
	assert_string_equal(next_of(), "shiftctl weight 10");
}

static void failing_handshakes_are_looked_at_before_a_raise(void **state)
{
	(void)state;
	v.backend[0].stats.handshake_failures = 19;
	v.stats.connections_new = 19;
	assert_string_equal(next_of(), "shiftctl weight 50");
	v.backend[1].stats.handshake_failures = 312 - 19;
	v.stats.connections_new = 2504;
	assert_non_null(strstr(next_of(), "312 of 2,504 handshakes failed"));
}

static void failing_answers_are_looked_at_before_a_commit(void **state)
{
	struct telemetry_arm *new = &v.arm[SHIFT_ARM_NEW];

	(void)state;
	weigh(10000);
	v.answers = true;
	new->total.begun = 200;
	new->total.answered = 200;
	assert_memory_equal(next_of(), "shiftctl commit", 15);
	new->total.answered = 0;
	assert_string_equal(state_of(), "shifting 100%, and none of 200 connections was answered");
	new->begun_10s = 190; /* too new to tell */
	assert_string_equal(state_of(), "everything goes to the new side");
	new->total.failed = 200;
	assert_string_equal(next_of(), "shiftctl status --watch: 200 of 200 connections failed "
				       "since attach; if it goes on: shiftctl rollback");
	new->total.begun = 100000;
	assert_memory_equal(next_of(), "shiftctl status --watch: none of", 32);
	new->total.answered = 99800;
	new->failed_10s = 100;
	assert_string_equal(state_of(), "shifting 100%, and 100 of 190 connections of the last ten "
					"seconds failed");
}

static void an_egress_without_our_program_is_to_be_mended(void **state)
{
	(void)state;
	v.interface[0].watched = false;
	assert_string_equal(next_of(), "shiftctl apply (eth0 has no program at its egress)");
}

static void a_foreign_lock_stops_a_raise(void **state)
{
	(void)state;
	v.record.locked_at = v.real;
	snprintf(v.record.locked_by, sizeof(v.record.locked_by), "bob");
	assert_string_equal(next_of(), "wait for bob, who holds the lock; --force overrides it");
	snprintf(v.record.locked_by, sizeof(v.record.locked_by), "alice");
	assert_string_equal(next_of(), "shiftctl weight 50");
}

static void seconds_left_are_rounded_up(void **state)
{
	(void)state;
	assert_int_equal(status_seconds_left(&v, 0), -1);
	assert_int_equal(status_seconds_left(&v, v.boot), -1);
	assert_int_equal(status_seconds_left(&v, v.boot - 1), -1);
	assert_int_equal(status_seconds_left(&v, v.boot + 1), 1);
	assert_int_equal(status_seconds_left(&v, v.boot + S), 1);
	assert_int_equal(status_seconds_left(&v, v.boot + S + 1), 2);
}

static json_t *at(json_t *j, const char *path)
{
	char copy[128], *rest = copy, *key;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((key = strsep(&rest, ".")))
		j = key[0] >= '0' && key[0] <= '9' ? json_array_get(j, (size_t)atoi(key))
						   : json_object_get(j, key);
	return j;
}

static void json_has_every_field_in_every_state(void **state)
{
	static const char *const paths[] = {
		"schema",
		"service",
		"attached",
		"weight",
		"epoch",
		"authority",
		"latched",
		"confirm_left_s",
		"interfaces",
		"arms.old.connections",
		"arms.old.healthy",
		"arms.new.connections",
		"arms.new.active",
		"arms.new.packets",
		"arms.new.bytes",
		"backends",
		"drops",
		"fallback_local.ports_exhausted",
		"fallback_local.table_full",
		"fallback_local.no_backend",
		"fallback_local.no_route",
		"fallback_local.rescued",
		"fallback_local.half_open",
		"fallback_local.client_limit",
		"pins",
		"next",
	};

	(void)state;
	for (int attached = 0; attached < 2; attached++) {
		json_t *j;

		if (!attached)
			status_look_saved("", &v);
		else
			healthy(NULL);
		j = status_json(&v);
		for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
			if (!at(j, paths[i]))
				fail_msg("%s is missing, attached %d", paths[i], attached);
		}
		assert_int_equal(json_is_true(at(j, "attached")), attached);
		json_decref(j);
	}
}

static void json_types_are_those_of_the_contract(void **state)
{
	json_t *j = status_json(&v);

	(void)state;
	assert_true(json_is_real(at(j, "weight")));
	assert_true(json_number_value(at(j, "weight")) == 25.0);
	assert_int_equal(json_integer_value(at(j, "epoch")), 7);
	assert_string_equal(json_string_value(at(j, "authority")), "shared");
	assert_true(json_is_false(at(j, "latched")));
	assert_true(json_is_null(at(j, "confirm_left_s")));
	assert_string_equal(json_string_value(at(j, "interfaces.0.hook")), "tcx");
	assert_int_equal(json_integer_value(at(j, "interfaces.0.packets_10s")), 4211);
	assert_true(json_is_null(at(j, "arms.old.healthy")));
	assert_string_equal(json_string_value(at(j, "backends.0.address")), "198.51.100.10:443");
	assert_true(json_is_null(at(j, "backends.0.healthy")));
	assert_true(json_is_null(at(j, "backends.0.handshake_ms.p95")));
	assert_int_equal(json_object_size(at(j, "drops")), 0);
	json_decref(j);
	v.backend[0].health = STATUS_UP;
	v.backend[1].health = STATUS_DOWN;
	v.backend[0].stats.handshake[20] = 1;
	v.drops[SHIFT_DROP_TTL] = 3;
	v.record.confirm_deadline = v.boot + 5 * S;
	j = status_json(&v);
	assert_true(json_is_true(at(j, "backends.0.healthy")));
	assert_true(json_is_false(at(j, "backends.1.healthy")));
	assert_true(json_is_real(at(j, "backends.0.handshake_ms.p50")));
	assert_int_equal(json_integer_value(at(j, "drops.drop_ttl")), 3);
	assert_int_equal(json_integer_value(at(j, "confirm_left_s")), 5);
	json_decref(j);
}

static void json_sums_over_addresses_are_right(void **state)
{
	json_t *j, *b;
	json_int_t connections = 0, failures = 0, active = 0;
	size_t i;

	(void)state;
	v.address[2] = v.address[1]; /* gcp's */
	v.address[1] = v.address[0];
	v.address[1].address[3] = htonl(0xc633640b);
	v.addresses = 3;
	v.address[0].active = 5;
	v.address[1].active = 6;
	v.address[2].active = 7;
	v.backend[0].stats.connections = 100;
	v.backend[0].stats.handshake_failures = 2;
	v.backend[1].stats.connections = 50;
	j = status_json(&v);
	assert_int_equal(json_array_size(at(j, "backends")), 3);
	json_array_foreach (at(j, "backends"), i, b) {
		connections += json_integer_value(at(b, "connections"));
		failures += json_integer_value(at(b, "handshake_failures"));
		active += json_integer_value(at(b, "active"));
	}
	assert_int_equal(connections, 150);
	assert_int_equal(failures, 2);
	assert_int_equal(active, 18);
	assert_string_equal(json_string_value(at(j, "backends.1.name")), "aws");
	assert_int_equal(json_array_size(at(j, "backends.1.addresses")), 2);
	json_decref(j);
}

static void a_reason_cut_inside_a_character_is_still_json(void **state)
{
	json_t *j;

	(void)state;
	memset(v.record.reason, 'x', sizeof(v.record.reason) - 1);
	v.record.reason[sizeof(v.record.reason) - 2] = '\303';
	j = status_json(&v);
	assert_true(json_is_string(at(j, "set.reason")));
	json_decref(j);
}

static char *screen_of(unsigned int columns, unsigned int rows)
{
	const struct status_style style = {.columns = columns, .rows = rows, .brief = rows};
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	status_screen(&v, NULL, &style, to);
	fclose(to);
	return text;
}

static char *screen(void)
{
	return screen_of(0, 0);
}

/* As it was seen, white space counts once. */
static void assert_said(const char *text, const char *want)
{
	char flat[4096], *at = flat;

	for (; *text && at < flat + sizeof(flat) - 1; text++) {
		if (*text != '\n' && *text != ' ')
			*at++ = *text;
		else if (at > flat && at[-1] != ' ')
			*at++ = ' ';
	}
	*at = '\0';
	if (!strstr(flat, want))
		fail_msg("no '%s' in: %s", want, flat);
}

static void a_narrow_screen_drops_no_words(void **state)
{
	static const unsigned int columns[] = {79, 60, 40, 30, 20};
	char *text, *rest, *line;

	(void)state;
	v.record.latched = 1;
	snprintf(v.record.latched_by, sizeof(v.record.latched_by), "bob");
	v.record.locked_at = v.record.latched_at = v.real - 90 * S;
	snprintf(v.record.locked_by, sizeof(v.record.locked_by), "carol");
	snprintf(v.record.lock_reason, sizeof(v.record.lock_reason),
		 "nobody is to touch this before the audit is over");
	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++) {
		text = screen_of(columns[i], 0);
		assert_said(text, "authority shared");
		assert_said(text, "LATCHED by bob");
		assert_said(text, "locked by carol (1m30s ago): nobody is to touch this before the "
				  "audit is over");
		assert_said(text, "next: shiftctl weight 10 --after-rollback, once the cause is "
				  "known");
		rest = text; /* tables are as wide as they are */
		while ((line = strsep(&rest, "\n")) && line[0] != '|') {
			if (strlen(line) > columns[i])
				fail_msg("%u columns: %s", columns[i], line);
		}
		free(text);
	}
}

static void on_a_short_screen_the_middle_gives_way(void **state)
{
	static const unsigned int sizes[][2] = {{80, 6}, {40, 12}, {50, 10}, {20, 8}, {40, 6}};
	unsigned int lines;
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		text = screen_of(sizes[i][0], sizes[i][1]);
		lines = 0;
		for (const char *c = text; *c; c++)
			lines += *c == '\n';
		assert_true(lines <= sizes[i][1]);
		assert_memory_equal(text, "api ", 4);
		assert_said(text, "25% of clients");
		assert_said(text, "next: shiftctl weight 50");
		assert_said(text, "undo: shiftctl rollback");
		free(text);
	}
	text = screen_of(80, 1);
	assert_string_equal(text, "api   25% of clients   epoch 7   authority shared\n");
	free(text);
}

static void the_screen_of_a_healthy_service(void **state)
{
	char *text = screen();

	(void)state;
	assert_string_equal(
		text, "api   25% of clients   epoch 7   authority shared\n"
		      "changed by alice 1m30s ago\n"
		      "|- eth0  tcx  attached  4,211 packets in 10 s\n"
		      "                        connections  of all  asked  active  bytes\n"
		      "|- old   -                    7,496   75.0%    75%\n"
		      "`- new   2 of 2 usable        2,504   25.0%    25%       0    0 B\n"
		      "          address           health weight new active p50 p95 p99 ms failed\n"
		      "   |- aws 198.51.100.10:443 -          50   0      0   -   -      -      0\n"
		      "   `- gcp 198.51.100.70:443 -          50   0      0   -   -      -      0\n"
		      "next: shiftctl weight 50\n"
		      "undo: shiftctl rollback\n");
	free(text);
}

static void answer(enum shift_arm_id arm, uint64_t begun, uint64_t failed, unsigned int bucket)
{
	struct shift_answers *a = &v.arm[arm].total;

	v.answers = true;
	a->begun = begun;
	a->failed = failed;
	a->failed_clients = failed / 2;
	a->failure[SHIFT_FAILURE_RESET] = failed;
	a->answered = begun - failed;
	a->answer[bucket] = a->answered;
}

static void the_screen_shows_how_the_arms_answer(void **state)
{
	char *text;

	(void)state;
	answer(SHIFT_ARM_OLD, 940, 0, 24);
	answer(SHIFT_ARM_NEW, 2504, 6, 45);
	text = screen();
	assert_non_null(strstr(
		text,
		"first answer     seen  answered  p50  p95  p99 ms  over 200  failed of clients\n"
		"   old, 1 in 8    940       940  4.5  5.0     5.0         0                  0\n"
		"   new          2,504     2,498  550  595     599     2,498             6 of 3\n"
		"next:"));
	free(text);
	v.arm[SHIFT_ARM_NEW].total.failed_clients = 0; /* they all gave up */
	text = screen();
	assert_non_null(strstr(text, "     2,498                  6\n"));
	free(text);
}

static void no_line_of_the_screen_is_wider_than_80(void **state)
{
	char *text, *rest, *line;

	(void)state;
	memset(v.record.reason, 'r', sizeof(v.record.reason) - 1);
	memset(v.record.lock_reason, 'l', sizeof(v.record.lock_reason) - 1);
	memset(v.record.latched_by, 'b', sizeof(v.record.latched_by) - 1);
	memset(v.record.locked_by, 'c', sizeof(v.record.locked_by) - 1);
	v.record.latched = 1;
	v.record.locked_at = v.record.latched_at = v.real;
	v.stats.connections_old = 12345678901;
	v.stats.connections_new = 2345678901;
	v.backend[0].stats.connections = 2345678901;
	for (int i = 0; i < SHIFT_FALLBACKS; i++)
		v.stats.fallback[i] = 123456789;
	v.drops[SHIFT_DROP_TTL] = v.drops[SHIFT_DROP_REWRITE] = 12345678;
	text = rest = screen();
	while ((line = strsep(&rest, "\n"))) {
		if (strlen(line) > 80)
			fail_msg("%zu columns: %s", strlen(line), line);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_healthy_ramp_goes_on_by_stages, healthy),
		cmocka_unit_test_setup(what_is_not_attached_is_to_be_attached, healthy),
		cmocka_unit_test_setup(a_pending_confirm_comes_before_a_raise, healthy),
		cmocka_unit_test_setup(a_latch_comes_before_everything_but_attaching, healthy),
		cmocka_unit_test_setup(a_dead_family_calls_for_a_rollback_before_commit_only,
				       healthy),
		cmocka_unit_test_setup(failing_handshakes_are_looked_at_before_a_raise, healthy),
		cmocka_unit_test_setup(failing_answers_are_looked_at_before_a_commit, healthy),
		cmocka_unit_test_setup(an_egress_without_our_program_is_to_be_mended, healthy),
		cmocka_unit_test_setup(a_foreign_lock_stops_a_raise, healthy),
		cmocka_unit_test_setup(seconds_left_are_rounded_up, healthy),
		cmocka_unit_test_setup(json_has_every_field_in_every_state, healthy),
		cmocka_unit_test_setup(json_types_are_those_of_the_contract, healthy),
		cmocka_unit_test_setup(json_sums_over_addresses_are_right, healthy),
		cmocka_unit_test_setup(a_reason_cut_inside_a_character_is_still_json, healthy),
		cmocka_unit_test_setup(the_screen_of_a_healthy_service, healthy),
		cmocka_unit_test_setup(the_screen_shows_how_the_arms_answer, healthy),
		cmocka_unit_test_setup(no_line_of_the_screen_is_wider_than_80, healthy),
		cmocka_unit_test_setup(a_narrow_screen_drops_no_words, healthy),
		cmocka_unit_test_setup(on_a_short_screen_the_middle_gives_way, healthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
