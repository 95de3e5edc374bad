/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report_rig.h - a ramp that writes its journal, and the report of it: the lines are those that
 * ctl/journal.c makes of what ctl/ramp.c does. Whoever includes it has cmocka.h before it.
 */
#pragma once

#include <jansson.h>
#include <math.h>

#include "tests/unit/ramp_rig.h"
#include "userspace/cmd/report.h"
#include "userspace/ctl/journal.h"

static char *book; /* the journal, line by line */
static size_t book_size;
static uint64_t book_seq, book_epoch, book_set;

static inline void book_put(const char *line)
{
	size_t n = strlen(line);

	book = realloc(book, book_size + n + 2);
	assert_non_null(book);
	memcpy(book + book_size, line, n);
	memcpy(book + book_size + n, "\n", 2);
	book_size += n + 1;
}

/* As the runner does: what is journaled becomes a line, with the moments of the kernel's record. */
static inline void book_watch(struct rig *x, const struct ramp_action *a)
{
	char *line;

	if (x->v.epoch != book_epoch) {
		book_epoch = x->v.epoch;
		book_set = x->v.real - 1000000; /* just before it was looked at */
	}
	x->v.set_at = book_set;
	x->v.boot = x->now;
	if (a->what != RAMP_JOURNAL)
		return;
	line = journal_line(a, &x->v, ++book_seq);
	assert_non_null(line);
	book_put(line);
	free(line);
}

static inline void book_begin(struct rig *x)
{
	free(book);
	book = NULL;
	book_size = 0;
	book_seq = 0;
	rig_make(x);
	x->watch = book_watch;
	x->v.authority = SHIFT_AUTHORITY_SHARED;
	book_epoch = x->v.epoch;
	book_set = RIG_REAL;
}

static inline void book_end(struct rig *x)
{
	rig_free(x);
	free(book);
	book = NULL;
	book_size = 0;
}

/* With a reason, which must not be refused. */
static inline void book_say(struct rig *x, const char *who, enum ramp_verb verb, unsigned int flags,
			    const char *reason)
{
	struct ramp_command c = {.verb = verb, .flags = flags};
	struct ramp_out *out = malloc(sizeof(*out));
	struct ramp_reply reply;

	snprintf(c.who, sizeof(c.who), "%s", who);
	snprintf(c.reason, sizeof(c.reason), "%s", reason);
	x->v.real = RIG_REAL + x->now;
	ramp_command(&x->r, &c, &x->v, x->now, out, &reply);
	if (reply.code)
		print_error("refused: %s\n", reply.text);
	assert_int_equal(reply.code, 0);
	rig_carry_out_all(x, out);
	free(out);
}

/* It says so from `ago` seconds before now on. */
static inline void book_gate(struct rig *x, unsigned int i, enum gate_says says, const char *why,
			     double ago)
{
	rig_gate(x, i, says, why);
	x->gates[i].since = says > GATE_INCONCLUSIVE ? x->now - (uint64_t)(ago * 1e9) : 0;
}

static inline void book_feed(struct report *r, const char *text, size_t size)
{
	const char *end;

	for (; size; size -= (size_t)(end - text), text = end) {
		const char *stop = memchr(text, '\n', size);
		json_t *j;

		end = stop ? stop + 1 : text + size;
		j = json_loadb(text, (size_t)(end - text), 0, NULL);
		if (json_is_object(j))
			report_entry(r, j);
		json_decref(j);
	}
}

/* Of the ramp `number`; NULL: there is none. */
static inline json_t *book_report(unsigned int number)
{
	struct report *r = report_begin(number);

	assert_non_null(r);
	book_feed(r, book, book_size);
	return report_end(r, "api", 0);
}

/* "promoting stage 1|…": a member of each of a list's. The caller frees it. */
static inline char *list_text(const json_t *document, const char *list, const char *key)
{
	const json_t *j;
	char *text = NULL;
	size_t size, i;
	FILE *f = open_memstream(&text, &size);

	json_array_foreach ((json_t *)report_list(document, list), i, j) {
		const json_t *value = json_object_get(j, key);

		if (i)
			fputs("|", f);
		if (json_is_string(value))
			fputs(json_string_value(value), f);
		else if (json_is_number(value))
			fprintf(f, "%.6g", json_number_value(value));
		else
			fputs(json_is_true(value)    ? "true"
			      : json_is_false(value) ? "false"
						     : "-",
			      f);
	}
	fclose(f);
	return text;
}

static inline void list_is(const json_t *document, const char *list, const char *key,
			   const char *wanted)
{
	char *text = list_text(document, list, key);

	if (strcmp(text, wanted) != 0)
		print_error("%s.%s\n     is %s\n not is %s\n", list, key, text, wanted);
	assert_string_equal(text, wanted);
	free(text);
}
