/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_report_show.c - the record as people see it, against tests/golden/report, and that what
 * hostile people wrote is only text in it
 *
 * Run from the root of the tree. SHIFT_GOLDEN=write writes the files anew: look at what changed.
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
#include "userspace/base/whole.h"
#include "userspace/ctl/hooks.h"

#define GOLDEN "tests/golden/report/"

static const char hostile[] = "<img src=x onerror=alert(1)>\"'&|**`_</td></title></style>\x1b[2J";

/* ---- a ramp with something of everything ---- */

static void hook(struct rig *x, const char *name, enum hook_outcome outcome)
{
	struct hook_result h = {.name = name,
				.when = CONF_AFTER_STAGE,
				.required = true,
				.outcome = outcome,
				.seconds = 1.25,
				.why = "ended with exit status 1"};
	struct ramp_action a = {.what = RAMP_JOURNAL,
				.stage = x->r.saved.stage,
				.weight = x->v.weight,
				.epoch = x->v.epoch,
				.saved = x->r.saved,
				.hook = &h};

	if (outcome == HOOK_OK)
		h.why[0] = '\0';
	snprintf(a.event, sizeof(a.event), "hook");
	snprintf(a.who, sizeof(a.who), "shiftd");
	x->watch(x, &a);
}

static void live(struct rig *x, const char *reason, const char *why)
{
	rig_step(x);
	book_say(x, "alice", RAMP_START, RAMP_L4_ONLY, reason);
	rig_run(x, 62);
	hook(x, "smoke-test", HOOK_OK);
	rig_run(x, 30);
	book_gate(x, 1, GATE_PAUSE, why, 0.43);
	rig_step(x);
	rig_run(x, 40);
	book_gate(x, 1, GATE_OK, "85 < 100", 0);
	book_say(x, "bob", RAMP_RESUME, RAMP_UNPROVEN, reason);
	rig_run(x, 65);
	book_say(x, "dave", RAMP_FREEZE, 0, reason);
	rig_run(x, 10);
	book_say(x, "dave", RAMP_UNFREEZE, 0, "");
	book_gate(x, 1, GATE_BACK, why, 0.7);
	rig_step(x);
	book_gate(x, 1, GATE_OK, "85 < 100", 0);
	rig_run(x, 10);
	hook(x, reason, HOOK_FAILED);
	rig_set(x, "alice", x->v.weight, false);
	snprintf(x->v.set_reason, sizeof(x->v.set_reason), "%s", reason);
	x->v.authority = SHIFT_AUTHORITY_NEW;
	rig_run(x, 3);
	x->v.authority = SHIFT_AUTHORITY_SHARED;
	rig_set(x, "alice", x->v.weight, false);
	rig_run(x, 2);
	book_say(x, "alice", RAMP_RESUME, 0, "");
	rig_run(x, 20);
	book_gate(x, 0, GATE_ROLLBACK, why, 1.25);
	rig_step(x);
	rig_run(x, 3);
}

/* Of both arms, to and fro. */
static void points(struct report *r, double from, double seconds)
{
	for (int i = 0; i * 10 < seconds; i++) {
		json_t *j = json_pack("{s:f, s:f, s:f, s:{s:f, s:f, s:f}, s:{s:f, s:o, s:o}}", "at",
				      floor(from) + 10 * i, "weight", 25.0, "seen", 24.0 + i % 3,
				      "old", "rate", 300.0 + 10 * (i % 5), "failed", 0.02, "p95_ms",
				      82.0 + i % 7, "new", "rate", 100.0 + 7 * (i % 4), "failed",
				      i % 9 == 4 ? json_null() : json_real(0.03 * (i % 4)),
				      "p95_ms", i % 9 == 4 ? json_null() : json_real(90.0 + i));

		report_point(r, j);
		json_decref(j);
	}
}

static json_t *whole_document(const char *reason, const char *why)
{
	struct report *r = report_begin(0);
	static const struct conf_gate p95 = {
		.arm = CONF_ARM_NEW,
		.ok = {.n = 1, .bound = {{.text = "< 100ms", .unit = "ms"}}},
		.pause = {.n = 1, .bound = {{.text = "> 200ms", .unit = "ms"}}},
	};
	double from, until;
	struct rig x;
	json_t *d, *by_hand;

	book_begin(&x);
	x.gates[1].has_baseline = true;
	x.gates[1].baseline = 90;
	x.gates[1].expected = 90;
	x.gates[1].conf = &p95;
	live(&x, reason, why);
	book_feed(r, book, book_size);
	assert_true(report_span(r, &from, &until));
	by_hand =
		json_pack("{s:I, s:s, s:s, s:s, s:i, s:f, s:f, s:s, s:n}", "real_ns",
			  (json_int_t)((from + 30) * 1e9), "who", "erin", "verb", "lock", "service",
			  "api", "epoch", 8, "from", 10.0, "to", 10.0, "reason", reason, "detail");
	report_change(r, by_hand);
	json_decref(by_hand);
	points(r, from, 250);
	d = report_end(r, "api", 0);
	book_end(&x);
	return d;
}

static char *rendered(void (*how)(const json_t *document, FILE *to), const json_t *d)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	how(d, f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void as_json(const json_t *d, FILE *to)
{
	json_dumpf(d, to, JSON_INDENT(1) | JSON_REAL_PRECISION(13));
	fputc('\n', to);
}

/* ---- against what was looked at ---- */

static void is_golden(const char *name, const char *text)
{
	const char *mode = getenv("SHIFT_GOLDEN");
	char path[128], *wanted;
	size_t line = 1, i;

	snprintf(path, sizeof(path), GOLDEN "%s", name);
	if (mode && !strcmp(mode, "write"))
		assert_int_equal(whole_write(path, text, strlen(text), 0644), 0);
	assert_int_equal(whole_read(path, 1 << 20, &wanted, NULL), 0);
	for (i = 0; text[i] && text[i] == wanted[i]; i++)
		line += text[i] == '\n';
	if (text[i] != wanted[i])
		fail_msg("%s:%zu is not as it was: %.200s", path, line, text + i);
	free(wanted);
}

static void it_looks_as_it_did(void **state)
{
	static const struct {
		const char *name;
		void (*how)(const json_t *document, FILE *to);
	} rows[] = {
		{"ramp.json", as_json}, {"ramp.md", report_markdown}, {"ramp.html", report_html}};
	json_t *d = whole_document("tonight", "250 > 200");

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *text = rendered(rows[i].how, d);

		is_golden(rows[i].name, text);
		free(text);
	}
	json_decref(d);
}

/* ---- hostile texts ---- */

/* Every tag that begins ends, in order; comments and scripts there are none. */
static void is_balanced(const char *html)
{
	static const char *const empty[] = {"meta", "!DOCTYPE"};
	char stack[32][16], name[16];
	unsigned int depth = 0;

	for (const char *at = html; (at = strchr(at, '<')); at++) {
		bool ends = at[1] == '/', is_empty = false;
		const char *close = strchr(at, '>');
		int n = (int)strspn(
			at + 1 + ends,
			"!abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

		assert_non_null(close);
		assert_in_range(n, 1, 15);
		snprintf(name, sizeof(name), "%.*s", n, at + 1 + ends);
		assert_string_not_equal(name, "script");
		assert_string_not_equal(name, "img");
		for (size_t i = 0; i < COUNT(empty); i++)
			is_empty |= !strcmp(name, empty[i]);
		if (is_empty || close[-1] == '/')
			continue;
		if (!ends) {
			assert_true(depth < COUNT(stack));
			snprintf(stack[depth++], 16, "%s", name);
			continue;
		}
		assert_true(depth > 0);
		assert_string_equal(stack[--depth], name);
	}
	assert_int_equal(depth, 0);
}

static void hostile_texts_are_texts(void **state)
{
	json_t *d = whole_document(hostile, hostile);
	char *html = rendered(report_html, d), *md = rendered(report_markdown, d);

	(void)state;
	is_balanced(html);
	assert_null(strstr(html, "<img"));
	assert_null(strchr(html, '\x1b'));
	assert_non_null(strstr(html, "&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;|**`_"));
	assert_null(strstr(md, "<img"));
	assert_null(strstr(md, "**`"));
	assert_null(strchr(md, '\x1b'));
	assert_non_null(strstr(md, "&lt;img src=x onerror=alert(1)>\"'&amp;\\|\\*\\*\\`\\_"));
	free(html);
	free(md);
	json_decref(d);
}

/* Nothing is loaded, whatever is in it. */
static void the_page_needs_nothing_from_outside(void **state)
{
	static const char *const loads[] = {"src=",   "href=", "url(",	  "@import", "http:",
					    "https:", "<link", "<script", "<iframe", "<object"};
	json_t *d = whole_document("tonight", "250 > 200");
	char *html = rendered(report_html, d);

	(void)state;
	for (size_t i = 0; i < COUNT(loads); i++) {
		if (strstr(html, loads[i]))
			fail_msg("the page has %s", loads[i]);
	}
	assert_non_null(strstr(html, "default-src 'none'; style-src 'unsafe-inline'"));
	is_balanced(html);
	free(html);
	json_decref(d);
}

/* ---- documents that are not as they should be ---- */

static void nothing_of_it_must_be_there(void **state)
{
	static const char *const rows[] = {
		"{}",
		"{\"stages\":[{}],\"incidents\":[{}],\"points\":[{}],\"events\":[{}],\"hooks\":[{}],"
		"\"by_hand\":[{}],\"freezes\":[{}],\"overrides\":[{}],\"authority\":{\"changes\":[{}]}}",
		"{\"stages\":7,\"incidents\":\"x\",\"points\":null,\"authority\":[],\"service\":9}",
		"{\"started_at\":5,\"ended_at\":5,\"whole\":true}",
		"{\"started_at\":5,\"ended_at\":1e300,\"points\":[{\"at\":6,\"seen\":1e308}]}",
		"{\"started_at\":1e9,\"ended_at\":2e9,\"stages\":[{\"from\":0,\"to\":1,\"weight\":-4}],"
		"\"points\":[{\"at\":1.5e9,\"new\":{\"rate\":1e300,\"failed\":-3}}]}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		json_t *d = json_loads(rows[i], 0, NULL);
		char *html, *md;

		assert_non_null(d);
		html = rendered(report_html, d);
		md = rendered(report_markdown, d);
		is_balanced(html);
		assert_true(strlen(html) < 1 << 20 && strlen(md) > 20);
		free(html);
		free(md);
		json_decref(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_looks_as_it_did),
		cmocka_unit_test(hostile_texts_are_texts),
		cmocka_unit_test(the_page_needs_nothing_from_outside),
		cmocka_unit_test(nothing_of_it_must_be_there),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
