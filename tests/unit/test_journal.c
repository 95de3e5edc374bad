/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/ramp_rig.h"
#include "userspace/base/whole.h"
#include "userspace/ctl/hooks.h"
#include "userspace/ctl/journal.h"

static char dir[64];

static int begin(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/shift-journal.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	return mkdtemp(dir) ? 0 : -1;
}

static void path_to(const char *name, char ret[128])
{
	snprintf(ret, 128, "%s/%s", dir, name);
}

static void empty(void)
{
	struct dirent *e;
	DIR *d = opendir(dir);
	char path[400];

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	closedir(d);
}

static int end(void **state)
{
	(void)state;
	empty();
	return rmdir(dir);
}

static void put(const char *name, const char *text, size_t size)
{
	char path[128];
	int fd;

	path_to(name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
	close(fd);
}

static size_t size_of(const char *name)
{
	char path[128];
	struct stat st;

	path_to(name, path);
	return stat(path, &st) ? 0 : (size_t)st.st_size;
}

static struct ramp_action entry(enum ramp_state state, uint16_t stage, const char *reason)
{
	struct ramp_action a = {.what = RAMP_JOURNAL, .weight = 2500, .epoch = 9};

	snprintf(a.event, sizeof(a.event), "holding");
	snprintf(a.who, sizeof(a.who), "alice");
	snprintf(a.reason, sizeof(a.reason), "%s", reason);
	a.saved.state = state;
	a.saved.stage = stage;
	snprintf(a.saved.reason, sizeof(a.saved.reason), "%s", reason);
	return a;
}

static void write_one(struct journal *j, uint16_t stage)
{
	struct ramp_action a = entry(RAMP_HOLDING, stage, "stage");

	assert_int_equal(journal_write(j, &a, NULL, true), 0);
}

/* ---- lines ---- */

static void fill(void *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((unsigned char *)to)[i] = (unsigned char)(lrand48() & 0x7f);
}

static void every_field_comes_back(void **state)
{
	(void)state;
	srand48(3);
	for (unsigned int i = 0; i < 1000; i++) {
		struct ramp_action a = entry(RAMP_PAUSED, 1, "x");
		struct ramp_saved *s = &a.saved;
		struct journal_found *f = calloc(1, sizeof(*f));
		uint64_t seq;
		char *line;

		fill(&s->epoch, sizeof(s->epoch));
		fill(&s->held, sizeof(s->held));
		fill(&s->clean, sizeof(s->clean));
		fill(&s->latch_seen, sizeof(s->latch_seen));
		fill(&s->after_latch, sizeof(s->after_latch));
		fill(&s->forced_lock, sizeof(s->forced_lock));
		fill(&s->frozen_at, sizeof(s->frozen_at));
		fill(&s->flags, sizeof(s->flags));
		fill(&s->waived, sizeof(s->waived));
		fill(&s->last_id, sizeof(s->last_id));
		s->state = (enum ramp_state)(lrand48() % RAMP_STATES);
		s->leg = (enum ramp_leg)(lrand48() % (RAMP_LEG_OVER + 1));
		s->stage = (uint16_t)(lrand48() % 33);
		s->target = (uint16_t)(lrand48() % 33);
		s->weight = (uint16_t)(lrand48() % 10001);
		s->early = lrand48() & 1;
		s->backed = lrand48() & 1;
		s->unknown = lrand48() & 1;
		s->failed = lrand48() & 1;
		s->owed = lrand48() & 1;
		s->by_hand = lrand48() & 1;
		s->owed_hooks = (uint8_t)lrand48();
		s->authority = (uint8_t)(lrand48() % 3);
		s->pending = (struct ramp_pending){.id = (uint32_t)lrand48(),
						   .what = RAMP_RUN_HOOKS,
						   .when = CONF_AFTER_STAGE,
						   .stage = 7,
						   .weight = 1234,
						   .epoch = (uint64_t)lrand48()};
		s->side = (struct ramp_pending){
			.id = 5, .what = RAMP_RUN_HOOKS, .when = CONF_ON_COMMIT, .epoch = 3};
		strcpy(s->who, "al\"ice\\");
		strcpy(s->frozen_by, "bob");
		strcpy(s->freeze_reason, "Mitternacht \xc3\xbc");
		strcpy(s->reason, "line\nbreak\t\"quoted\"");
		strcpy(s->alarm, "pause:p95");
		strcpy(s->alarm_text, "gate p95: 212 > 200");
		fill(&s->alarm_since, sizeof(s->alarm_since));
		line = journal_line(&a, NULL, 41);
		assert_non_null(line);
		assert_null(strchr(line, '\n'));
		assert_int_equal(journal_parse(line, strlen(line), f, &seq), 0);
		assert_int_equal(seq, 41);
		assert_memory_equal(&f->saved, s, sizeof(*s));
		/* Cut anywhere it is none. */
		for (size_t n = 0; i < 3 && n < strlen(line); n++)
			assert_int_equal(journal_parse(line, n, f, &seq), -EBADMSG);
		free(line);
		free(f);
	}
}

static void what_is_no_utf8_is_kept_as_far_as_it_is(void **state)
{
	struct ramp_action a = entry(RAMP_PAUSED, 1, "caf\xe9 closed");
	struct journal_found *f = calloc(1, sizeof(*f));
	uint64_t seq;
	char *line = journal_line(&a, NULL, 1);

	(void)state;
	assert_non_null(line);
	assert_int_equal(journal_parse(line, strlen(line), f, &seq), 0);
	assert_string_equal(f->saved.reason, "caf? closed");
	free(line);
	free(f);
}

static void a_line_that_says_nonsense_is_none(void **state)
{
	static const char *const rows[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"seq\":1}",
		"{\"seq\":0,\"saved\":{\"pending\":{},\"side\":{}}}",
		"{\"seq\":1,\"saved\":{\"pending\":{},\"side\":{},\"state\":6}}",
		"{\"seq\":1,\"saved\":{\"pending\":{},\"side\":{},\"state\":-1}}",
		"{\"seq\":1,\"saved\":{\"pending\":{},\"side\":{},\"stage\":33}}",
		"{\"seq\":1,\"saved\":{\"pending\":{},\"side\":{},\"weight\":10001}}",
		"{\"seq\":1,\"saved\":{\"pending\":{},\"side\":{},\"early\":1}}",
		"{\"seq\":1,\"saved\":{\"pending\":{},\"side\":{},\"who\":7}}",
		"{\"seq\":1,\"saved\":{\"pending\":{\"what\":9},\"side\":{}}}",
		"{\"seq\":1,\"saved\":{\"pending\":{\"when\":6},\"side\":{}}}",
		"{\"seq\":1,\"saved\":{\"pending\":3,\"side\":{}}}",
		"{\"seq\":1,\"saved\":{\"side\":{}}}",
		"{\"seq\":1,\"seq\":1,\"saved\":{\"pending\":{},\"side\":{}}}",
	};
	static const char fine[] = "{\"seq\":1,\"saved\":{\"pending\":{},\"side\":{}}}";
	struct journal_found *f = calloc(1, sizeof(*f));
	uint64_t seq;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(journal_parse(rows[i], strlen(rows[i]), f, &seq), -EBADMSG);
	assert_int_equal(journal_parse(fine, strlen(fine), f, &seq), 0);
	assert_string_equal(f->saved.alarm, ""); /* of an older journal */
	free(f);
}

/* ---- the file ---- */

static struct journal *reopen(struct journal_found *f)
{
	struct journal *j;

	assert_int_equal(journal_open(dir, &j, f), 0);
	return j;
}

static void what_was_written_last_is_found(void **state)
{
	struct journal_found *f = calloc(1, sizeof(*f));
	struct journal *j;

	(void)state;
	empty();
	j = reopen(f);
	assert_false(f->has_state);
	for (uint16_t i = 1; i < 9; i++) {
		write_one(j, i);
		journal_close(j);
		j = reopen(f);
		assert_true(f->has_state);
		assert_int_equal(f->saved.stage, i);
		assert_int_equal(f->damaged, 0);
	}
	journal_close(j);
	journal_close(NULL);
	free(f);
}

static void a_torn_line_is_left_out_and_hides_no_other(void **state)
{
	static const char *const torn[] = {"{", "{\"schema\":1,\"seq\":3", "\n\n", "\0\0\0",
					   "x\ny\n{"};
	struct journal_found *f = calloc(1, sizeof(*f));
	struct journal *j;
	char path[128];

	(void)state;
	for (size_t i = 0; i < COUNT(torn); i++) {
		char *text;
		size_t size;

		empty();
		j = reopen(f);
		write_one(j, 1);
		write_one(j, 2);
		journal_close(j);
		path_to("ramp.jsonl", path);
		assert_int_equal(whole_read(path, 1 << 20, &text, &size), 0);
		text = realloc(text, size + 64);
		memcpy(text + size, torn[i], strlen(torn[i]) + (i == 3) * 3);
		put("ramp.jsonl", text, size + strlen(torn[i]) + (i == 3) * 3);
		free(text);
		j = reopen(f);
		assert_int_equal(f->saved.stage, 2);
		assert_int_equal(f->damaged > 0, i != 2);
		write_one(j, 3);
		journal_close(j);
		j = reopen(f);
		assert_int_equal(f->saved.stage, 3);
		assert_int_equal(f->damaged, 0);
		journal_close(j);
	}
	free(f);
}

static int count_entry(void *arg, const json_t *e)
{
	uint64_t *last = arg;
	uint64_t seq = (uint64_t)json_integer_value(json_object_get(e, "seq"));

	assert_true(seq > *last);
	*last = seq;
	return seq == 1000 ? 7 : 0;
}

static void it_rotates_by_size_and_reads_through(void **state)
{
	struct journal_found *f = calloc(1, sizeof(*f));
	struct journal *j;
	uint64_t last = 0;
	unsigned int damaged = 9;

	(void)state;
	empty();
	assert_int_equal(journal_each(dir, count_entry, &last, &damaged), 0);
	assert_int_equal(last, 0);
	j = reopen(f);
	journal_limit(j, 20000);
	for (uint16_t i = 0; i < 100; i++) {
		write_one(j, i % 32);
		assert_true(size_of("ramp.jsonl") <= 20000);
		if (i % 7 == 0) { /* the latest is found at any time */
			struct journal *other = reopen(f);

			assert_int_equal(f->saved.stage, i % 32);
			journal_close(other);
		}
	}
	assert_true(size_of("ramp.jsonl.1") > 15000);
	assert_int_equal(journal_each(dir, count_entry, &last, &damaged), 0);
	assert_int_equal(last, 100);
	assert_int_equal(damaged, 0);
	for (uint16_t i = 100; i < 1100; i++)
		write_one(j, i % 32);
	assert_true(size_of("ramp.jsonl.8") > 0);
	assert_int_equal(size_of("ramp.jsonl.9"), 0);
	last = 0;
	assert_int_equal(journal_each(dir, count_entry, &last, NULL), 7); /* its own end */
	journal_close(j);
	j = reopen(f);
	assert_int_equal(f->saved.stage, 1099 % 32);
	journal_close(j);
	free(f);
}

/* Killed between any two of its steps. */
static void a_rotation_cut_short_loses_nothing(void **state)
{
	struct journal_found *f = calloc(1, sizeof(*f));
	char from[128], to[128];
	struct journal *j;

	(void)state;
	for (unsigned int step = 0; step < 4; step++) {
		empty();
		j = reopen(f);
		write_one(j, 4);
		journal_close(j);
		path_to("ramp.jsonl", from);
		path_to("ramp.jsonl.1", to);
		if (step >= 1)
			put("ramp.jsonl.new", "{\"schema\":1,\"se", step == 1 ? 14 : 0);
		if (step >= 2)
			assert_int_equal(rename(from, to), 0);
		if (step == 3) /* and the next journal was opened, but never written */
			put("ramp.jsonl", "", 0);
		j = reopen(f);
		assert_true(f->has_state);
		assert_int_equal(f->saved.stage, 4);
		write_one(j, 5);
		journal_close(j);
		j = reopen(f);
		assert_int_equal(f->saved.stage, 5);
		journal_close(j);
	}
	free(f);
}

static void what_does_not_fit_is_taken_back(void **state)
{
	struct ramp_action a = entry(RAMP_PAUSED, 9, "does not fit");
	struct journal_found *f = calloc(1, sizeof(*f));
	struct rlimit was, low;
	struct journal *j;
	size_t size;

	(void)state;
	empty();
	signal(SIGXFSZ, SIG_IGN);
	j = reopen(f);
	write_one(j, 1);
	size = size_of("ramp.jsonl");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	low = was;
	low.rlim_cur = size + 100;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	assert_int_equal(journal_write(j, &a, NULL, true), -EFBIG);
	assert_int_equal(size_of("ramp.jsonl"), size);
	journal_limit(j, 10); /* nor can a new file be begun */
	low.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	assert_int_equal(journal_write(j, &a, NULL, true), -EFBIG);
	assert_int_equal(size_of("ramp.jsonl.new"), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	journal_limit(j, JOURNAL_SIZE);
	write_one(j, 2);
	journal_close(j);
	j = reopen(f);
	assert_int_equal(f->saved.stage, 2);
	assert_int_equal(f->damaged, 0);
	journal_close(j);
	free(f);
}

static void only_a_regular_file_of_its_own_is_written(void **state)
{
	struct journal *j;
	char path[128];

	(void)state;
	empty();
	path_to("ramp.jsonl", path);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_true(journal_open(dir, &j, NULL) < 0);
	assert_null(j);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(journal_open(dir, &j, NULL) < 0);
	unlink(path);
	assert_int_equal(journal_open("/nowhere/at/all", &j, NULL), -ENOENT);
	assert_int_equal(journal_open(dir, &j, NULL), 0);
	journal_close(j);
	assert_int_equal(access(path, F_OK), 0);
}

static void evidence_and_baselines_are_kept(void **state)
{
	struct journal_found *f = calloc(1, sizeof(*f));
	struct ramp_action a = entry(RAMP_HOLDING, 2, "held");
	struct journal *j;
	struct rig x;
	char path[128], *text;

	(void)state;
	empty();
	rig_make(&x);
	x.v.real = UINT64_C(1772375412) * 1000000000;
	x.gates[1].has_baseline = true;
	x.gates[1].baseline = 776000;
	x.gates[1].whole = true;
	x.gates[1].expected = 194000;
	x.gates[0].verdict.has_value = false;
	j = reopen(f);
	assert_int_equal(journal_write(j, &a, &x.v, false), 0);
	journal_close(j);
	path_to("ramp.jsonl", path);
	assert_int_equal(whole_read(path, 1 << 20, &text, NULL), 0);
	assert_non_null(strstr(text, "{\"schema\":1,\"seq\":1,\"time\":\"2026-03-01T14:30:12Z\","));
	assert_non_null(strstr(text,
			       "\"who\":\"alice\",\"kind\":\"holding\",\"state\":\"holding\","
			       "\"stage\":2,\"weight\":25.0,\"epoch\":9,\"reason\":\"held\""));
	assert_non_null(strstr(text, "{\"name\":\"errors\",\"verdict\":\"ok\",\"value\":null,"
				     "\"why\":\"0.04% < 0.1%\"}"));
	assert_non_null(strstr(text, "\"name\":\"p95\",\"verdict\":\"ok\",\"value\":1.0,"
				     "\"why\":\"50 < 100\",\"baseline\":776000.0,\"whole\":true,"
				     "\"expected\":194000.0}"));
	free(text);
	j = reopen(f);
	assert_int_equal(f->n_baselines, 1);
	assert_string_equal(f->baseline[0].gate, "p95");
	assert_true(f->baseline[0].value == 776000 && f->baseline[0].whole);
	journal_close(j);
	rig_free(&x);
	free(f);
}

/* What a report needs to know, and a restart does not. */
static void the_record_has_what_a_report_tells(void **state)
{
	static const struct hook_result hook = {.name = "sm\xf6ke",
						.when = CONF_AFTER_STAGE,
						.required = true,
						.outcome = HOOK_TIMED_OUT,
						.seconds = 2.5,
						.why = "no end"};
	static const char *const rows[] = {
		"\"set_ns\":1772375411000000000",
		"\"set_by\":\"erin\"",
		"\"stages\":5",
		"\"hold_s\":1800.5",
		"\"cause\":\"pause:p95\"",
		"\"asked\":\"resume\"",
		"\"flags\":[\"--force\",\"--unproven\"]",
		"\"hook\":{\"when\":\"after-stage\",\"name\":\"sm?ke\",\"outcome\":\"timed out\","
		"\"seconds\":2.5,\"required\":true,\"why\":\"no end\"}",
		/* 3 s before the look */
		"\"name\":\"p95\",\"verdict\":\"pause\",\"value\":1.0,\"why\":\"250 > 200\","
		"\"class\":\"monitor\",\"since_ns\":1772375409000000000}",
	};
	struct ramp_action a = entry(RAMP_HOLDING, 2, "held");
	char *line;
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_gate(&x, 1, GATE_PAUSE, "250 > 200");
	x.v.real = UINT64_C(1772375412) * 1000000000;
	x.v.boot = 5000000000;
	x.gates[1].since = 2000000000;
	x.v.set_at = UINT64_C(1772375411) * 1000000000;
	snprintf(x.v.set_by, sizeof(x.v.set_by), "erin");
	line = journal_line(&a, &x.v, 1);
	for (size_t i = 2; i < COUNT(rows) - 1; i++) /* what is not there has no member */
		assert_null(strstr(line, rows[i]));
	free(line);
	a.stages = 5;
	a.hold_ms = 1800500;
	a.asked = "resume";
	a.flags = RAMP_FORCE | RAMP_UNPROVEN;
	a.hook = &hook;
	snprintf(a.cause, sizeof(a.cause), "pause:p95");
	line = journal_line(&a, &x.v, 1);
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (!strstr(line, rows[i]))
			fail_msg("%s is not in %s", rows[i], line);
	}
	free(line);
	rig_free(&x);
}

#ifdef __SANITIZE_ADDRESS__ /* a hundred times slower there */
#define STRIDE 97
#else
#define STRIDE 1
#endif

/* ---- a whole ramp, cut at every byte of its journal ---- */

#define MAX_WRITES 200

static struct {
	struct journal *j;
	unsigned int n;
	size_t size[MAX_WRITES + 1];	      /* of the file after n writes */
	struct ramp_view control[MAX_WRITES]; /* as it was when write n began */
	unsigned int sets[MAX_WRITES], hooks[MAX_WRITES];
	struct ramp_saved before[MAX_WRITES]; /* what was saved before it */
} film;

static void film_it(struct rig *x, const struct ramp_action *a)
{
	if (a->what != RAMP_JOURNAL)
		return;
	assert_true(film.n < MAX_WRITES);
	film.control[film.n] = x->v;
	film.sets[film.n] = x->weights;
	film.before[film.n] = x->journal;
	assert_int_equal(journal_write(film.j, a, &x->v, false), 0);
	film.size[++film.n] = size_of("ramp.jsonl");
}

static unsigned int stage_of(uint16_t weight)
{
	return weight == 0 ? 0 : weight == 1000 ? 1 : weight / 2500u + 1;
}

/* shiftd begins anew with the file as it was cut, and control as it was then. */
static void look_at(struct rig *x, const char *text, size_t size, unsigned int n,
		    struct journal_found *f)
{
	struct journal *j;
	enum ramp_state was;

	put("ramp.jsonl", text, size);
	j = reopen(f);
	x->has_journal = f->has_state;
	x->journal = f->saved;
	was = f->has_state ? f->saved.state : RAMP_IDLE;
	x->v = film.control[n];
	x->weights = x->rollbacks = x->hook_runs = 0;
	x->log[0] = '\0';
	rig_restart(x);
	rig_run(x, 3);
	assert_int_equal(x->weights + x->rollbacks + x->hook_runs, 0);
	assert_int_equal(x->v.weight, film.control[n].weight);
	if (was == RAMP_IDLE || was == RAMP_DONE) {
		assert_int_equal(x->r.saved.state, was);
	} else {
		assert_int_equal(x->r.saved.state, RAMP_PAUSED);
		assert_int_equal(x->r.saved.stage, stage_of(x->v.weight));
	}
	journal_close(j);
}

static void cut_at_every_byte_it_resumes_where_control_is(void **state)
{
	struct journal_found *f = calloc(1, sizeof(*f));
	char path[128], *text;
	struct rig x;
	size_t size;

	(void)state;
	empty();
	memset(&film, 0, sizeof(film));
	rig_make(&x);
	rig_hook(x.conf, CONF_BEFORE_STAGE, 0);
	rig_hook(x.conf, CONF_AFTER_STAGE, 0);
	film.j = reopen(f);
	x.watch = film_it;
	rig_step(&x);
	rig_say(&x, RAMP_START);
	rig_run(&x, 330);
	assert_int_equal(x.r.saved.state, RAMP_DONE);
	journal_close(film.j);
	assert_true(film.n > 35);
	path_to("ramp.jsonl", path);
	assert_int_equal(whole_read(path, 16 << 20, &text, &size), 0);
	assert_int_equal(size, film.size[film.n]);
	x.watch = NULL;
	for (unsigned int n = 0; n < film.n; n++) {
		/* The last entries are all that counts; the lines before only make it slow. */
		size_t from = film.size[n >= 2 ? n - 2 : 0];

		for (size_t at = film.size[n]; at <= film.size[n + 1]; at += STRIDE)
			look_at(&x, text + from, at - from, n, f);
	}
	free(text);
	rig_free(&x);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_comes_back),
		cmocka_unit_test(what_is_no_utf8_is_kept_as_far_as_it_is),
		cmocka_unit_test(a_line_that_says_nonsense_is_none),
		cmocka_unit_test(what_was_written_last_is_found),
		cmocka_unit_test(a_torn_line_is_left_out_and_hides_no_other),
		cmocka_unit_test(it_rotates_by_size_and_reads_through),
		cmocka_unit_test(a_rotation_cut_short_loses_nothing),
		cmocka_unit_test(what_does_not_fit_is_taken_back),
		cmocka_unit_test(only_a_regular_file_of_its_own_is_written),
		cmocka_unit_test(evidence_and_baselines_are_kept),
		cmocka_unit_test(the_record_has_what_a_report_tells),
		cmocka_unit_test(cut_at_every_byte_it_resumes_where_control_is),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
