/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "userspace/conf/config.h"

#define BASE                                                                                       \
	"service: api\nlisten: [203.0.113.10:443]\ninterfaces: [eth0]\n"                           \
	"nat: {addresses: [203.0.113.10]}\nbackends: [{name: b, target: 52.1.2.3:443}]\n"
#define RAMP BASE "ramp: {stages: [{weight: 100, hold: 1h}]}\n"
#define JSON "{json: \"https://api.example/stats\", field: x, arm: new}"

static struct config *read_text(const char *text)
{
	struct conf_errors errors = {0};
	struct config *c = NULL;

	if (conf_parse("test.yaml", text, strlen(text), &c, &errors))
		conf_errors_print(&errors, stderr);
	assert_non_null(c);
	conf_errors_free(&errors);
	return c;
}

static void the_shipped_bounds_are_the_runbook_s(void **state)
{
	static const struct {
		const char *name, *bounds;
	} rows[] = {
		{"errors", "ok < 0.1%, pause > 0.5%, rollback > 5%, rollback > 1% for 10m"},
		{"p95", "ok < 100, pause > 200, rollback > 500 for 5m"},
		{"tps", "back > 20% below baseline, rollback > 50% below baseline 3 times"},
		{"replication", "ok < 5, rollback > 60 3 times"},
		{"consensus", "ok < 10, rollback > 120"},
	};
	char text[2048], bounds[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct config *c;

		snprintf(text, sizeof(text), RAMP "gates: [{name: %s, source: " JSON "}]\n",
			 rows[i].name);
		c = read_text(text);
		assert_int_equal(c->n_gates, 1);
		assert_true(c->gates[0].shipped);
		assert_string_equal(conf_bounds_text(&c->gates[0], bounds, sizeof(bounds)),
				    rows[i].bounds);
		conf_free(c);
	}
}

static void the_classes_are_told_by_how_long_a_bound_must_hold(void **state)
{
	struct config *c = read_text(RAMP "gates: [{name: errors, source: kernel.errors}]\n");
	const struct conf_bounds *r = &c->gates[0].rollback;

	(void)state;
	assert_int_equal(r->n, 2);
	assert_int_equal(r->bound[0].for_ms, 0); /* immediate */
	assert_true(r->bound[0].above && r->bound[0].number == 5);
	assert_string_equal(r->bound[0].unit, "%");
	assert_int_equal(r->bound[1].for_ms, 600000); /* planned */
	assert_true(r->bound[1].above && r->bound[1].number == 1);
	conf_free(c);
}

static void one_bound_of_the_file_is_the_end_of_the_shipped_ones(void **state)
{
	struct config *c =
		read_text(RAMP "gates: [{name: errors, source: kernel.errors, ok: \"< 0.2%\"}]\n");
	char bounds[512];

	(void)state;
	assert_false(c->gates[0].shipped);
	assert_string_equal(conf_bounds_text(&c->gates[0], bounds, sizeof(bounds)), "ok < 0.2%");
	conf_free(c);
}

/* What is put in is what the same gates written into the file would be. */
static void a_ramp_without_gates_gets_the_kernel_s(void **state)
{
	struct config *c = read_text(RAMP),
		      *same = read_text(RAMP "gates: [{name: errors, source: kernel.errors}, "
					     "{name: p95, source: kernel.p95}]\n");

	(void)state;
	assert_false(c->gates_given);
	assert_true(same->gates_given);
	assert_int_equal(c->n_gates, same->n_gates);
	for (unsigned int i = 0; i < c->n_gates; i++) {
		const struct conf_gate *a = &c->gates[i], *b = &same->gates[i];
		char bounds[2][512];

		assert_string_equal(a->name, b->name);
		assert_int_equal(a->kind, b->kind);
		assert_int_equal(a->kernel, b->kernel);
		assert_int_equal(a->arm, b->arm);
		assert_int_equal(a->interval_ms, b->interval_ms);
		assert_int_equal(a->timeout_ms, b->timeout_ms);
		assert_true(a->shipped);
		assert_string_equal(conf_bounds_text(a, bounds[0], sizeof(bounds[0])),
				    conf_bounds_text(b, bounds[1], sizeof(bounds[1])));
	}
	conf_free(c);
	conf_free(same);
}

static void nothing_is_put_in_where_it_is_not_asked_for(void **state)
{
	struct config *without = read_text(BASE), *none = read_text(RAMP "gates: []\n");

	(void)state;
	assert_int_equal(without->n_gates, 0); /* no ramp */
	assert_int_equal(none->n_gates, 0);    /* said so */
	conf_free(without);
	conf_free(none);
}

static void what_a_gate_is_about_is_said_in_words(void **state)
{
	struct config *c =
		read_text(RAMP "gates: [{name: errors, source: kernel.split, ok: \"< 1\"}, "
			       "{name: p95, source: " JSON "}, {name: tps, source: {prometheus: "
			       "\"https://p.example/\", query: \"sum(tps)\"}}, "
			       "{name: replication, source: {exec: [/bin/lag, -s]}}]\n");
	static const char *const texts[] = {"kernel.split", "x of https://api.example/stats",
					    "sum(tps) at https://p.example/", "/bin/lag"};
	char text[1024];

	(void)state;
	assert_int_equal(c->gates[0].kernel, CONF_KERNEL_SPLIT);
	for (unsigned int i = 0; i < 4; i++)
		assert_string_equal(conf_source_text(&c->gates[i], text, sizeof(text)), texts[i]);
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shipped_bounds_are_the_runbook_s),
		cmocka_unit_test(the_classes_are_told_by_how_long_a_bound_must_hold),
		cmocka_unit_test(one_bound_of_the_file_is_the_end_of_the_shipped_ones),
		cmocka_unit_test(a_ramp_without_gates_gets_the_kernel_s),
		cmocka_unit_test(nothing_is_put_in_where_it_is_not_asked_for),
		cmocka_unit_test(what_a_gate_is_about_is_said_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
