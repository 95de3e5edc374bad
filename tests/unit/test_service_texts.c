/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How things are, as JSON, with texts that were cut in the middle of a character.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/ctl/ramp_json.h"
#include "userspace/ctl/service_inner.h"

#define UE   "\xc3\xbc"
#define HALF "Mitternacht f" UE "r \xc3"
#define KEPT "Mitternacht f" UE "r ?"

static struct service *make(void)
{
	struct config *c = calloc(1, sizeof(*c));
	struct service *s = calloc(1, sizeof(*s));

	c->n_stages = 1;
	c->stages[0].weight = 1000;
	s->conf = c;
	s->window = calloc(1, sizeof(*s->window));
	snprintf(s->name, sizeof(s->name), "api");
	ramp_begin(&s->ramp, c);
	return s;
}

static void discard(struct service *s)
{
	free((void *)s->conf);
	free(s->window);
	free(s);
}

static void is(json_t *j, const char *member, const char *want)
{
	const char *text = json_string_value(json_object_get(j, member));

	assert_non_null(text);
	assert_string_equal(text, want);
}

static void a_reason_that_was_cut_hides_no_status(void **state)
{
	struct service *s = make();
	struct ramp_saved *r = &s->ramp.saved;
	json_t *j;

	(void)state;
	r->state = RAMP_PAUSED;
	snprintf(r->reason, sizeof(r->reason), HALF);
	snprintf(r->who, sizeof(r->who), "J" UE "rgen\xe2\x82");
	r->frozen_at = 1;
	snprintf(r->frozen_by, sizeof(r->frozen_by), "\xf0\x9f\x90");
	snprintf(r->freeze_reason, sizeof(r->freeze_reason), HALF);
	j = service_status(s);
	assert_non_null(j);
	is(j, "reason", KEPT);
	is(j, "who", "J" UE "rgen??");
	is(json_object_get(j, "frozen"), "by", "???");
	is(json_object_get(j, "frozen"), "reason", KEPT);
	json_decref(j);
	/* In force by what is waited for. */
	r->state = RAMP_HOLDING;
	snprintf(s->ramp.waits, sizeof(s->ramp.waits), HALF);
	j = service_status(s);
	assert_non_null(j);
	is(j, "reason", KEPT);
	json_decref(j);
	discard(s);
}

/* As long as it may be: wherever the cut is, what is whole before it stays. */
static void a_text_is_kept_up_to_the_cut(void **state)
{
	static const char all[] = "a" UE "\xe2\x82\xac\xf0\x9f\x90\xa7z";

	(void)state;
	for (int n = 0; n < (int)sizeof(all); n++) {
		char text[32];
		size_t whole = n < 1 ? 0 : n < 3 ? 1 : n < 6 ? 3 : n < 10 ? 6 : (size_t)n;
		json_t *j;

		snprintf(text, sizeof(text), "%.*s", n, all);
		j = ramp_text_json(text);
		assert_non_null(j);
		assert_int_equal(strlen(json_string_value(j)), n);
		assert_memory_equal(json_string_value(j), all, whole);
		for (size_t i = whole; i < (size_t)n; i++)
			assert_int_equal(json_string_value(j)[i], '?');
		json_decref(j);
	}
}

static void an_alarm_whose_text_was_cut_is_shown(void **state)
{
	struct service *s = make();
	json_t *list;

	(void)state;
	s->alarm[SERVICE_ALARM_RAMP].on = true;
	snprintf(s->alarm[SERVICE_ALARM_RAMP].text, RAMP_TEXT, HALF);
	list = service_page_alarms(s);
	assert_int_equal(json_array_size(list), 1);
	is(json_array_get(list, 0), "text", KEPT);
	json_decref(list);
	discard(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reason_that_was_cut_hides_no_status),
		cmocka_unit_test(a_text_is_kept_up_to_the_cut),
		cmocka_unit_test(an_alarm_whose_text_was_cut_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
