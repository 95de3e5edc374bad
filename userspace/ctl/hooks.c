/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hooks.c - the named steps of a cutover
 *
 * Owns the list of steps as the configuration had it, a runner for programs (base/run.h) and a
 * client for URLs (net/http.h), and the runs: each a place in its own list of steps. A run keeps
 * the list it began with, so that a reload in the middle of one changes nothing for it.
 *
 * A step never waits for another run's, and nothing here waits at all: what a step takes is
 * bounded by its timeout, and a program that does not heed it is killed with all it started. The
 * order is the configuration's. A required step that fails ends the run, since what comes after it
 * may rely on it (a switch to read-only before the sync check); one that is not required is told
 * and passed.
 *
 * URLs are asked by POST on a connection of their own, so that libcurl never repeats one unasked;
 * a step is not repeated after a failure either, since nobody knows what was done. Any status of
 * 200 to 299 is success; redirects are not followed, and addresses of this host, its link or a
 * cloud's metadata are refused (net/public.h). Configuration names only http:// and https:// URLs.
 *
 * Weaknesses: a run's last state is in memory alone; after a restart of the daemon its caller must
 * say that the outcome is unknown. HTTP gives no output before its end.
 */
#include "userspace/ctl/hooks.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "userspace/base/loop.h"
#include "userspace/base/run.h"
#include "userspace/base/text.h"
#include "userspace/conf/utf8.h"
#include "userspace/net/http.h"

#define MS	   1000000ull
#define MAX_OUTPUT 4096u
#define MAX_ANSWER 65536u
#define VARIABLES  9
#define VARIABLE   600

struct steps { /* shared by those who use it */
	unsigned int users, n;
	struct run_user *user; /* one for each step */
	struct conf_hook_step step[];
};

struct hooks {
	struct loop *loop;
	struct runner *runner;
	struct http *http;
	struct steps *steps; /* NULL: none */
	struct hooks_run *runs;
};

struct hooks_run {
	struct hooks *h;
	struct hooks_run *next, **back;
	struct steps *steps;
	unsigned int *chosen, n, at; /* places in steps */
	enum conf_when when;
	struct hook_about about; /* texts: ours */
	char service[CONF_NAME], reason[512], operator[128];
	uint64_t begun;
	struct run *run;
	struct http_call *call;
	struct loop_timer later;
	struct hooks_sum sum;
	hook_step_cb step;
	hooks_done_cb done;
	void *arg;
};

const char *hook_outcome_name(enum hook_outcome outcome)
{
	static const char *const names[] = {"ok", "failed", "timed out"};

	return names[outcome];
}

const char *hook_when_name(enum conf_when when)
{
	static const char *const names[] = {"before-ramp", "before-stage", "after-stage",
					    "on-commit",   "on-rollback",  "after-ramp"};

	return names[when];
}

/* ---- the list ---- */

static void drop_steps(struct steps *s)
{
	if (!s || --s->users)
		return;
	free(s->user);
	free(s);
}

static int complain(char *why, size_t size, const char *name, int err, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static int complain(char *why, size_t size, const char *name, int err, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (why && size)
		snprintf(why, size, "hook %s: %s", name, text);
	return err;
}

static int check_step(const struct conf_hook_step *c, struct run_user *ret, char *why, size_t size)
{
	char text[256] = "";
	int err;

	if (c->url.text[0])
		return 0;
	err = run_user_find(c->user, ret);
	if (err == -ENOENT)
		return complain(why, size, c->name, err, "there is no user %s",
				c->user[0] ? c->user : "nobody");
	if (err)
		return complain(why, size, c->name, err, "the user %s: %s",
				c->user[0] ? c->user : "nobody", strerror(-err));
	err = run_check(c->argv[0].text, text, sizeof(text));
	return err ? complain(why, size, c->name, err, "%s", text) : 0;
}

int hooks_use(struct hooks *h, const struct config *c, char *why, size_t size)
{
	struct steps *s = calloc(1, sizeof(*s) + c->n_hooks * sizeof(*s->step));
	int err = 0;

	if (s)
		s->user = calloc(c->n_hooks + 1, sizeof(*s->user));
	if (!s || !s->user) {
		free(s);
		return -ENOMEM;
	}
	s->users = 1;
	s->n = c->n_hooks;
	for (unsigned int i = 0; i < s->n && !err; i++) {
		s->step[i] = c->hooks[i];
		err = check_step(&s->step[i], &s->user[i], why, size);
	}
	if (err) {
		drop_steps(s);
		return err;
	}
	drop_steps(h->steps);
	h->steps = s;
	return 0;
}

/* ---- one run ---- */

static void free_run(struct hooks_run *r)
{
	if (r->back) {
		*r->back = r->next;
		if (r->next)
			r->next->back = r->back;
	}
	run_cancel(r->run);
	http_cancel(r->call);
	loop_timer_stop(r->h->loop, &r->later);
	drop_steps(r->steps);
	free(r->chosen);
	free(r);
}

void hooks_cancel(struct hooks_run *r)
{
	if (r)
		free_run(r);
}

static const struct conf_hook_step *step_of(const struct hooks_run *r)
{
	return &r->steps->step[r->chosen[r->at]];
}

/*
 * What follows a step comes by way of the loop, so that steps that fail at once do not nest and a
 * callback may cancel. The timer is always set, since moving one needs no memory.
 */
static void next(void *arg, uint64_t now);

/* One step is over. */
static void over(struct hooks_run *r, struct hook_result *s)
{
	const struct conf_hook_step *c = step_of(r);

	r->run = NULL;
	r->call = NULL;
	s->name = c->name;
	s->when = r->when;
	s->required = c->required;
	s->seconds = (double)(loop_now() - r->begun) / 1e9;
	r->sum.done++;
	r->sum.failed += s->outcome != HOOK_OK;
	r->at++;
	r->sum.left = r->n - r->at;
	if (s->outcome != HOOK_OK && c->required) {
		r->sum.ok = false;
		snprintf(r->sum.stopped_at, sizeof(r->sum.stopped_at), "%s", c->name);
		snprintf(r->sum.why, sizeof(r->sum.why), "%s: %.260s", c->name, s->why);
		r->at = r->n;
	}
	loop_timer_set(r->h->loop, &r->later, loop_now(), next, r);
	if (r->step)
		r->step(r->arg, s);
}

static void failed_to_start(struct hooks_run *r, int err)
{
	struct hook_result s = {.outcome = HOOK_FAILED, .output = ""};

	snprintf(s.why, sizeof(s.why), "cannot be started: %s", strerror(-err));
	over(r, &s);
}

/* ---- programs ---- */

/* What it printed; its complaints where it printed nothing else. */
static void show_output(struct hook_result *s, const struct run_result *p)
{
	const struct run_text *t = p->out.size ? &p->out : &p->errors;

	s->output = t->data;
	s->output_size = t->size;
	s->cut = t->dropped > 0;
}

/* ": " and the last line that it complained with, or printed: what a person would look at first. */
static void quote_end(struct hook_result *s, const struct run_result *p)
{
	const struct run_text *t = p->errors.size ? &p->errors : &p->out;
	size_t end = t->size, begin, n = strlen(s->why);

	while (end && isspace((unsigned char)t->data[end - 1]))
		end--;
	for (begin = end; begin && t->data[begin - 1] != '\n';)
		begin--;
	if (end > begin)
		snprintf(s->why + n, sizeof(s->why) - n, ": %.*s", (int)(end - begin),
			 t->data + begin);
}

static void on_program(void *arg, const struct run_result *p)
{
	struct hooks_run *r = arg;
	struct hook_result s = {.outcome = HOOK_OK};
	size_t n;

	if (p->timed_out)
		s.outcome = HOOK_TIMED_OUT;
	else if (p->err || p->status || p->signal)
		s.outcome = HOOK_FAILED;
	snprintf(s.why, sizeof(s.why), "%s", p->why);
	if (s.outcome == HOOK_FAILED)
		quote_end(&s, p);
	n = strlen(s.why);
	show_output(&s, p);
	if (p->remaining)
		snprintf(s.why + n, sizeof(s.why) - n, "%s%u of its processes cannot be killed",
			 n ? "; " : "", p->remaining);
	else if (p->left_behind && !s.why[0])
		snprintf(s.why, sizeof(s.why), "%u processes that it left behind were killed",
			 p->left_behind);
	over(r, &s);
}

static int start_program(struct hooks_run *r)
{
	const struct conf_hook_step *c = step_of(r);
	const char *argv[CONF_MAX_ARGS + 1] = {NULL}, *environment[VARIABLES + 1] = {NULL};
	char text[VARIABLES][VARIABLE], weight[16];
	const struct hook_about *a = &r->about;
	int n = 0;

	_Static_assert(CONF_MAX_ARGS <= RUN_MAX_ARGS, "every argument list can be run");
	for (unsigned int i = 0; i < c->n_argv; i++)
		argv[i] = c->argv[i].text;
	snprintf(text[n++], VARIABLE, "SHIFT_SERVICE=%s", a->service);
	snprintf(text[n++], VARIABLE, "SHIFT_HOOK=%s", c->name);
	snprintf(text[n++], VARIABLE, "SHIFT_WHEN=%s", hook_when_name(r->when));
	snprintf(text[n++], VARIABLE, "SHIFT_STAGE=%u", a->stage);
	snprintf(text[n++], VARIABLE, "SHIFT_WEIGHT=%s", text_weight(a->weight, weight));
	snprintf(text[n++], VARIABLE, "SHIFT_EPOCH=%" PRIu64, a->epoch);
	snprintf(text[n++], VARIABLE, "SHIFT_REASON=%s", a->reason);
	snprintf(text[n++], VARIABLE, "SHIFT_OPERATOR=%s", a->operator);
	for (int i = 0; i < n; i++)
		environment[i] = text[i];
	return run_begin(r->h->runner,
			 &(struct run_request){.argv = argv,
					       .user = &r->steps->user[r->chosen[r->at]],
					       .environment = environment,
					       .timeout_ns = c->timeout_ms * MS,
					       .max_output = MAX_OUTPUT},
			 on_program, r, &r->run);
}

/* ---- URLs ---- */

static void on_answer(void *arg, const struct http_reply *h)
{
	struct hooks_run *r = arg;
	struct hook_result s = {.outcome = HOOK_OK, .output = h->body ? h->body : ""};

	s.output_size = h->size < MAX_OUTPUT ? h->size : MAX_OUTPUT;
	s.cut = h->size > MAX_OUTPUT;
	if (h->err) {
		s.outcome = h->err == -ETIMEDOUT ? HOOK_TIMED_OUT : HOOK_FAILED;
		snprintf(s.why, sizeof(s.why), "%s%s", h->why,
			 h->sent ? "; it may have been carried out" : "");
	} else if (h->status < 200 || h->status > 299) {
		s.outcome = HOOK_FAILED;
		snprintf(s.why, sizeof(s.why), "answered %ld%s", h->status,
			 h->status >= 300 && h->status < 400 ? ": redirects are not followed" : "");
	}
	over(r, &s);
}

static char *body_of(const struct hooks_run *r)
{
	const struct hook_about *a = &r->about;
	json_t *j = json_pack("{si so ss ss si sf sI so so}", "schema", 1, "service",
			      json_string(a->service), "hook", step_of(r)->name, "when",
			      hook_when_name(r->when), "stage", (int)a->stage, "weight",
			      a->weight / 100.0, "epoch", (json_int_t)a->epoch, "reason",
			      json_string(a->reason), "operator", json_string(a->operator));
	char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

	json_decref(j);
	return text;
}

static int start_url(struct hooks_run *r)
{
	static const char *const headers[] = {"Content-Type: application/json", "Accept: */*",
					      NULL};
	const struct conf_hook_step *c = step_of(r);
	char *body = body_of(r);
	int err;

	if (!body)
		return -ENOMEM;
	err = http_begin(r->h->http,
			 &(struct http_request){.method = "POST",
						.url = c->url.text,
						.headers = headers,
						.body = body,
						.body_size = strlen(body),
						.timeout_ns = c->timeout_ms * MS,
						.max_size = MAX_ANSWER,
						.ca_file = c->ca_file[0] ? c->ca_file : NULL,
						.once = true,
						.public_only = true},
			 on_answer, r, &r->call);
	free(body);
	return err;
}

/* ---- the order ---- */

static void next(void *arg, uint64_t now)
{
	struct hooks_run *r = arg;
	int err;

	loop_timer_set(r->h->loop, &r->later, UINT64_MAX, next, r);
	if (r->at == r->n) {
		struct hooks_sum sum = r->sum;
		hooks_done_cb done = r->done;
		void *with = r->arg;

		free_run(r);
		done(with, &sum);
		return;
	}
	r->begun = now;
	err = step_of(r)->url.text[0] ? start_url(r) : start_program(r);
	if (err)
		failed_to_start(r, err);
}

static bool belongs(const struct conf_hook_step *c, enum conf_when when, unsigned int stage)
{
	if (c->when != when)
		return false;
	if (when != CONF_BEFORE_STAGE && when != CONF_AFTER_STAGE)
		return true;
	return !c->stage || c->stage == stage;
}

/* Control characters would forge lines in a log; what is no UTF-8 would be no JSON. */
static void keep_text(char *ret, size_t size, const char *text)
{
	if (text)
		utf8_show(text, ret, size);
}

static struct hooks_run *make_run(struct hooks *h, enum conf_when when, unsigned int stage,
				  const struct hook_about *about)
{
	struct hooks_run *r = calloc(1, sizeof(*r));

	if (r)
		r->chosen = calloc(h->steps->n + 1, sizeof(*r->chosen));
	if (!r || !r->chosen) {
		free(r);
		return NULL;
	}
	r->h = h;
	r->steps = h->steps;
	r->steps->users++;
	r->when = when;
	for (unsigned int i = 0; i < r->steps->n; i++)
		if (belongs(&r->steps->step[i], when, stage))
			r->chosen[r->n++] = i;
	r->about = *about;
	keep_text(r->service, sizeof(r->service), about->service);
	keep_text(r->reason, sizeof(r->reason), about->reason);
	keep_text(r->operator, sizeof(r->operator), about->operator);
	r->about.service = r->service;
	r->about.reason = r->reason;
	r->about.operator= r->operator;
	r->sum.ok = true;
	r->sum.left = r->n;
	return r;
}

int hooks_begin(struct hooks *h, enum conf_when when, unsigned int stage,
		const struct hook_about *about, hook_step_cb step, hooks_done_cb done, void *arg,
		struct hooks_run **ret)
{
	struct hooks_run *r;
	int err;

	if (!h->steps)
		return 0;
	r = make_run(h, when, stage, about);
	if (!r)
		return -ENOMEM;
	err = r->n ? loop_timer_set(h->loop, &r->later, loop_now(), next, r) : 0;
	if (err || !r->n) {
		free_run(r);
		return err;
	}
	r->step = step;
	r->done = done;
	r->arg = arg;
	r->next = h->runs;
	r->back = &h->runs;
	if (r->next)
		r->next->back = &r->next;
	h->runs = r;
	if (ret)
		*ret = r;
	return (int)r->n;
}

int hooks_make(struct loop *l, struct hooks **ret)
{
	struct hooks *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->loop = l;
	err = runner_make(l, &h->runner);
	if (!err)
		err = http_make(l, &h->http);
	if (err) {
		hooks_free(h);
		return err;
	}
	*ret = h;
	return 0;
}

void hooks_free(struct hooks *h)
{
	if (!h)
		return;
	while (h->runs)
		free_run(h->runs);
	runner_free(h->runner);
	http_free(h->http);
	drop_steps(h->steps);
	free(h);
}
