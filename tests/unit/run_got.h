/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * run_got.h - one program run on a loop, and what came of it
 */
#pragma once

#include "tests/unit/loop_rig.h"
#include "tests/unit/run_rig.h"
#include "userspace/base/run.h"

#define SECOND (1000 * MS)

static struct runner *runner;
static struct run_user nobody;

/* What came of the latest run; the texts are copies. */
static struct {
	unsigned int calls;
	struct run_result r;
	char out[70000], errors[70000];
} got;

static inline void take(void *arg, const struct run_result *r)
{
	(void)arg;
	got.calls++;
	got.r = *r;
	assert_int_equal(strlen(r->out.data), r->out.size); /* nothing here prints a zero */
	snprintf(got.out, sizeof(got.out), "%s", r->out.data);
	snprintf(got.errors, sizeof(got.errors), "%s", r->errors.data);
	got.r.out.data = got.out;
	got.r.errors.data = got.errors;
	loop_stop(l, 0);
}

static inline int begin_test(void **state)
{
	int err = make(state);

	memset(&got, 0, sizeof(got));
	return err ? err : runner_make(l, &runner);
}

static inline int end_test(void **state)
{
	runner_free(runner);
	runner = NULL;
	return unmake(state);
}

/* To its end; the answer is in `got`. Returns how long it took, in ns. */
static inline uint64_t run_it(const struct run_request *q)
{
	uint64_t begun = loop_now();

	assert_int_equal(run_begin(runner, q, take, NULL, NULL), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(got.calls, 1);
	return loop_now() - begun;
}

static inline uint64_t run_script(const char *body, struct run_request q)
{
	const char *argv[] = {rig_script("script", body), "one", "two words", NULL};

	q.argv = q.argv ? q.argv : argv;
	q.user = q.user ? q.user : &nobody;
	return run_it(&q);
}

/* Nothing with the mark lives a moment later. */
static inline void all_gone(const char *what)
{
	for (int i = 0; i < 500 && rig_alive(what); i++)
		usleep(10000);
	assert_int_equal(rig_alive(what), 0);
}

static inline int rig_main(const char *name, const struct CMUnitTest *tests, size_t n)
{
	if (geteuid()) {
		print_message("1..0 # SKIP programs are run as another user, which takes root\n");
		return 0;
	}
	if (run_user_find(NULL, &nobody))
		return 1;
	return _cmocka_run_group_tests(name, tests, n, rig_make_folder, rig_remove_folder);
}
