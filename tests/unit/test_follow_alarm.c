/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An alarm about a name stands until no name has a complaint left, whatever else is well. The
 * look-ups are ours: each name is there or not, as the test says.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/ctl/lookup.h"
#include "userspace/ctl/service_inner.h"

#define MS 1000000ull

static struct loop *l;
static struct config conf;
static struct service s;
static int answer[2]; /* of each name's next look-up */
static char last[512];

static struct fake {
	struct loop_timer timer;
	ctl_lookup_done done;
	void *arg;
	int which;
} fakes[2];

static void on_fake(void *arg, uint64_t now)
{
	static const struct resolved none;
	struct fake *f = arg;

	(void)now;
	f->done(f->arg, answer[f->which], &none);
}

int ctl_lookup_begin(struct loop *loop, const char *host, ctl_lookup_done done, void *arg,
		     struct ctl_lookup **ret)
{
	struct fake *f = &fakes[host[0] == 'b'];

	f->done = done;
	f->arg = arg;
	f->which = host[0] == 'b';
	*ret = NULL;
	return loop_timer_set(loop, &f->timer, loop_now(), on_fake, f);
}

void ctl_lookup_cancel(struct ctl_lookup *k)
{
	(void)k;
}

static void hear(void *arg, bool alarm, const char *text)
{
	(void)arg, (void)alarm;
	snprintf(last, sizeof(last), "%s", text);
}

static void stop(void *arg, uint64_t now)
{
	(void)arg, (void)now;
	loop_stop(l, 0);
}

static void run_for(uint64_t ns)
{
	struct loop_timer t = {0};

	loop_timer_set(l, &t, loop_now() + ns, stop, NULL);
	assert_int_equal(loop_run(l), 0);
}

static const struct service_alarm *alarm_now(void)
{
	return &s.alarm[SERVICE_ALARM_FOLLOW];
}

static void it_stands_until_no_name_has_one(void **state)
{
	struct config other = {.n_backends = 1};

	(void)state;
	s = (struct service){.world = {.say = hear}, .conf = &conf};
	conf.n_backends = 2;
	strcpy(conf.backends[0].name, "one");
	strcpy(conf.backends[0].host, "a.test");
	strcpy(conf.backends[1].name, "two");
	strcpy(conf.backends[1].host, "b.test");
	assert_int_equal(loop_make(&l), 0);
	assert_int_equal(ctl_follow_make(l, service_follow_says, &s, &s.follow), 0);
	ctl_follow_every(s.follow, 10 * MS);
	answer[0] = answer[1] = -EAGAIN;
	assert_int_equal(ctl_follow_use(s.follow, &conf), 0);
	run_for(60 * MS);
	assert_non_null(strstr(last, "cannot be looked up now"));
	assert_false(alarm_now()->on);
	answer[0] = answer[1] = -ENOENT;
	run_for(60 * MS);
	assert_true(alarm_now()->on);
	service_health_is(&s, true);
	assert_true(alarm_now()->on);
	answer[0] = -EAGAIN; /* nothing new is known of it */
	run_for(60 * MS);
	answer[1] = 0;
	run_for(60 * MS);
	assert_true(alarm_now()->on);
	assert_non_null(strstr(alarm_now()->text, "backend one: a.test is not there"));
	assert_int_equal(ctl_follow_use(s.follow, &conf), 0); /* read again */
	assert_true(alarm_now()->on);
	answer[0] = 0;
	run_for(60 * MS);
	assert_false(alarm_now()->on);
	assert_string_equal(last, "names: every name is followed again");
	answer[0] = -ENOENT;
	run_for(60 * MS);
	assert_true(alarm_now()->on);
	other.backends[0] = conf.backends[1];
	assert_int_equal(ctl_follow_use(s.follow, &other), 0); /* the name is not in it */
	assert_false(alarm_now()->on);
	ctl_follow_free(s.follow);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_stands_until_no_name_has_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
