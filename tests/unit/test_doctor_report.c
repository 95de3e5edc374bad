/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_doctor_report.c - what is told when little is known, in which order, and how it looks
 */
#include "tests/unit/doctor_host.h"

#include <jansson.h>

static void what_was_not_seen_is_not_called_good(void **state)
{
	static const char *const silent[] = {"tcx", "tc-filter", "tc-egress",
					     "jit", "program",	 "helpers"};
	struct fixture *x = make();

	(void)state;
	not_root(x);
	for (int side = 0; side < 2; side++)
		x->device[0].n_tcx[side] = x->device[0].n_filters[side] = -EPERM;
	doctor_judge(&x->f, &x->report);
	for (size_t i = 0; i < sizeof(silent) / sizeof(*silent); i++)
		if (found(x, silent[i]))
			fail_msg("%s is called %s", silent[i],
				 doctor_level_name(found(x, silent[i])->level));
	drop(x);
}

static void without_configuration_the_host_alone_is_judged(void **state)
{
	static const char *const silent[] = {"plan", "ephemeral", "bound-ports", "route", "mtu"};
	struct fixture *x = make();

	(void)state;
	x->f.config = NULL;
	x->f.plan = NULL;
	x->f.n_ways = 0;
	dropping_chain(x);
	docker_on_listen_port(x);
	lro(x);
	doctor_judge(&x->f, &x->report);
	for (size_t i = 0; i < sizeof(silent) / sizeof(*silent); i++)
		assert_null(found(x, silent[i]));
	assert_int_equal(found(x, "firewall")->level, DOCTOR_WARNING);
	assert_int_equal(found(x, "lro")->level, DOCTOR_WARNING);
	assert_int_equal(found(x, "dnat")->level, DOCTOR_NOTE);
	drop(x);
}

static void many_rules_are_summed_up(void **state)
{
	struct fixture *x = make();
	unsigned int n = 0;

	(void)state;
	many_rules(x);
	doctor_judge(&x->f, &x->report);
	for (unsigned int i = 0; i < x->report.n; i++)
		n += !strcmp(x->report.finding[i].what, "dnat");
	assert_int_equal(n, 9);
	drop(x);
}

static void the_worst_comes_first(void **state)
{
	struct fixture *x = make();

	(void)state;
	no_gro(x);
	lro(x);
	no_way(x);
	listen_floats(x);
	doctor_judge(&x->f, &x->report);
	for (unsigned int i = 1; i < x->report.n; i++)
		assert_true(x->report.finding[i - 1].level >= x->report.finding[i].level);
	assert_string_equal(x->report.finding[0].what, "route");
	assert_string_equal(x->report.finding[1].what, "lro");
	assert_string_equal(x->report.finding[2].what, "gro");
	assert_string_equal(x->report.finding[3].what, "vrrp");
	assert_int_equal(x->report.count[DOCTOR_CRITICAL], 1);
	assert_int_equal(x->report.count[DOCTOR_WARNING], 1);
	assert_int_equal(x->report.count[DOCTOR_NOTE], 2);
	drop(x);
}

static void a_full_report_loses_the_mild_ones(void **state)
{
	struct doctor_report *r = calloc(1, sizeof(*r));
	unsigned int critical = 0;

	(void)state;
	for (int i = 0; i < DOCTOR_MAX_FINDINGS; i++)
		doctor_find(r, "a", i % 2 ? DOCTOR_OK : DOCTOR_CRITICAL, "", "x");
	for (int i = 0; i < DOCTOR_MAX_FINDINGS / 2; i++)
		doctor_find(r, "b", DOCTOR_CRITICAL, "", "x");
	doctor_find(r, "c", DOCTOR_NOTE, "", "x");
	for (unsigned int i = 0; i < r->n; i++)
		critical += r->finding[i].level == DOCTOR_CRITICAL;
	assert_int_equal(critical, DOCTOR_MAX_FINDINGS);
	assert_int_equal(r->count[DOCTOR_CRITICAL], DOCTOR_MAX_FINDINGS);
	assert_int_equal(r->count[DOCTOR_OK] + r->count[DOCTOR_NOTE], 0);
	assert_int_equal(r->left_out, DOCTOR_MAX_FINDINGS / 2 + 1);
	free(r);
}

static void json_says_it_all(void **state)
{
	struct fixture *x = make();
	json_t *j, *one;

	(void)state;
	lro(x);
	strcpy(x->plan.finding[0].key, "interfaces\x01\xff");
	add_plan(x, PLAN_NO_INTERFACE, "interfaces\x01\xff");
	doctor_judge(&x->f, &x->report);
	j = doctor_json(&x->f, &x->report);
	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "schema")), 1);
	assert_true(json_is_false(json_object_get(j, "ok")));
	assert_string_equal(json_string_value(json_object_get(j, "service")), "api");
	assert_int_equal(json_array_size(json_object_get(j, "findings")), x->report.n);
	one = json_array_get(json_object_get(j, "findings"), 0);
	assert_string_equal(json_string_value(json_object_get(one, "level")), "critical");
	assert_string_equal(json_string_value(json_object_get(one, "on")), "interfaces??");
	one = json_array_get(json_object_get(j, "findings"), 1);
	assert_string_equal(json_string_value(json_object_get(one, "what")), "lro");
	assert_string_equal(json_string_value(json_object_get(one, "fix")),
			    "ethtool -K eth0 lro off");
	json_decref(j);
	drop(x);
}

static char *shown(struct fixture *x, const struct doctor_style *style)
{
	size_t size;
	char *text;
	FILE *to = open_memstream(&text, &size);

	doctor_judge(&x->f, &x->report);
	doctor_show(&x->f, &x->report, style, to);
	fclose(to);
	return text;
}

static void the_screen_keeps_its_columns(void **state)
{
	const struct doctor_style narrow = {false, false, 64}, all = {false, true, 0};
	struct fixture *x = make();
	char *text, *rest, *line;

	(void)state;
	floating_address(x);
	lro(x);
	text = shown(x, &narrow);
	assert_ptr_equal(
		strstr(text, "service api by shift.yaml: 1 critical, 1 warning, 0 notes, "), text);
	assert_non_null(strstr(text, "\ncritical  floating-nat-address  said the plan\n"
				     "          nat.addresses[0]      fix: "));
	assert_non_null(strstr(text, "\nwarning   lro eth0              large-"));
	assert_non_null(strstr(text, "\nok        kernel, privileges, "));
	rest = text;
	strsep(&rest, "\n");
	while ((line = strsep(&rest, "\n")))
		assert_true(strlen(line) <= 64 || !strchr(line + 40, ' '));
	free(text);
	text = shown(x, &all);
	assert_non_null(strstr(text, "\nok        gro eth0"));
	free(text);
	drop(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_seen_is_not_called_good),
		cmocka_unit_test(without_configuration_the_host_alone_is_judged),
		cmocka_unit_test(many_rules_are_summed_up),
		cmocka_unit_test(the_worst_comes_first),
		cmocka_unit_test(a_full_report_loses_the_mild_ones),
		cmocka_unit_test(json_says_it_all),
		cmocka_unit_test(the_screen_keeps_its_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
