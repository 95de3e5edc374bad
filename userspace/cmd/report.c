/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report.c - `report`: the record of a ramp, for people and programs
 *
 * It reads what is on the disk: the ramp's journal, the audit trail, the points for the charts.
 * Neither shiftd nor the data plane is asked, so it works on another day, and on a copy of the
 * state folder elsewhere (SHIFT_STATE). What somebody damaged is left out and said.
 */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/text.h"
#include "userspace/base/whole.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/report.h"
#include "userspace/cmd/verbs.h"
#include "userspace/ctl/journal.h"
#include "userspace/ctl/points.h"
#include "userspace/plane/state.h"

enum format { MARKDOWN, HTML, JSON };

struct wish {
	enum format format;
	const char *output; /* NULL: stdout */
	unsigned int ramp;  /* 0: the last */
	double since;	    /* 0: all of it */
	char service[SHIFT_NAME];
	char state[200]; /* the folder */
	char dir[320];	 /* the ramp's in it */
};

/* ---- the command line ---- */

static int parse_format(const char *name, enum format *ret)
{
	static const char *const names[] = {"markdown", "html", "json"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		*ret = (enum format)i;
		return EXIT_OK;
	}
	return usage_error("--format: '%s' is none of markdown, html, json", name);
}

static int parse_since(const char *text, double *ret)
{
	uint64_t ns;

	if (text_parse_duration(text, &ns))
		return usage_error("--since: '%s' is no duration like 90s or 2h", text);
	*ret = (double)time(NULL) - (double)ns / 1e9;
	return EXIT_OK;
}

static int parse_ramp(const char *text, unsigned int *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '1' || *text > '9' || *end || n > 1000000)
		return usage_error("--ramp: '%s' is no number from 1", text);
	*ret = (unsigned int)n;
	return EXIT_OK;
}

static int parse(const struct options *o, int argc, char **argv, struct wish *ret)
{
	static const char *const flags[] = {"--format=", "--output=", "--since=", "--ramp=", NULL};
	const char *value;
	int at = 1, what, code = EXIT_OK;

	ret->format = o->json ? JSON : MARKDOWN;
	while (!code && (what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			return usage_error("report takes no argument, not '%s'", value);
		if (what == -3)
			return EXIT_USAGE;
		if (what == 0)
			code = parse_format(value, &ret->format);
		else if (what == 1)
			ret->output = value;
		else if (what == 2)
			code = parse_since(value, &ret->since);
		else
			code = parse_ramp(value, &ret->ramp);
	}
	return code;
}

/* ---- which service ---- */

/* The only one that ever had a ramp here. */
static int only_service(const char *state, char ret[SHIFT_NAME])
{
	char above[220];
	struct dirent *e;
	int n = 0;
	DIR *d;

	snprintf(above, sizeof(above), "%s/ramp", state);
	d = opendir(above);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || strlen(e->d_name) >= SHIFT_NAME)
			continue;
		n++;
		snprintf(ret, SHIFT_NAME, "%.*s", SHIFT_NAME - 1, e->d_name);
	}
	if (d)
		closedir(d);
	return n;
}

static int find_service(const struct options *o, struct wish *w)
{
	int err = state_dir(w->state, sizeof(w->state)), n;

	if (err) {
		say("the state folder: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (o->service) {
		snprintf(w->service, sizeof(w->service), "%s", o->service);
	} else if (!configured_service(o, w->service, sizeof(w->service))) {
		n = only_service(w->state, w->service);
		if (n != 1)
			return n ? usage_error("several services have ramps here: -s NAME")
				 : (say("no ramp was ever started here (%s/ramp)", w->state),
				    EXIT_FAILED);
	}
	if (strchr(w->service, '/') || w->service[0] == '.')
		return usage_error("-s: '%s' is no service's name", w->service);
	snprintf(w->dir, sizeof(w->dir), "%s/ramp/%s", w->state, w->service);
	return EXIT_OK;
}

/* ---- reading ---- */

static int take_entry(void *report, const json_t *entry)
{
	report_entry(report, entry);
	return 0;
}

struct changes {
	struct report *r;
	const char *service;
};

static int take_change(void *arg, const json_t *change)
{
	const struct changes *c = arg;

	if (!strcmp(report_text(change, "service"), c->service))
		report_change(c->r, change);
	return 0;
}

static int take_point(void *report, const json_t *point)
{
	report_point(report, point);
	return 0;
}

static int failed(const char *path, int err)
{
	say("%s: %s", path, strerror(-err));
	return EXIT_FAILED;
}

/* What is only beside the journal may be missing. */
static void read_beside(const struct wish *w, struct report *r, unsigned int *damaged)
{
	struct changes c = {r, w->service};
	unsigned int torn = 0, torn_points = 0;
	char path[340];
	int err;

	snprintf(path, sizeof(path), "%s/history.jsonl", w->state);
	err = journal_each_line(path, take_change, &c, &torn);
	if (err)
		say("%s: %s; what was changed by hand is not in the report", path, strerror(-err));
	err = points_each(w->dir, take_point, r, &torn_points);
	if (err)
		say("%s/points.jsonl: %s; the report has no charts", w->dir, strerror(-err));
	*damaged += torn + torn_points;
}

static int read_all(const struct wish *w, json_t **ret)
{
	struct report *r = report_begin(w->ramp);
	unsigned int damaged = 0, n;
	double from, until;
	int err;

	if (!r)
		return failed("report", -ENOMEM);
	err = journal_each(w->dir, take_entry, r, &damaged);
	if (err) {
		json_decref(report_end(r, w->service, 0));
		return failed(w->dir, err);
	}
	n = report_ramps(r);
	if (report_span(r, &from, &until))
		read_beside(w, r, &damaged);
	*ret = report_end(r, w->service, w->since);
	if (damaged)
		say("%u damaged %s left out", damaged, damaged == 1 ? "line" : "lines");
	if (*ret) {
		json_object_set_new(*ret, "damaged", json_integer(damaged));
		return EXIT_OK;
	}
	if (n)
		say("%s: there %s %u %s in the journal, not %u", w->service, n == 1 ? "is" : "are",
		    n, n == 1 ? "ramp" : "ramps", w->ramp);
	else
		say("%s: no ramp was ever started (%s/ramp.jsonl)", w->service, w->dir);
	return EXIT_FAILED;
}

/* ---- writing ---- */

static void print(enum format format, const json_t *document, FILE *to)
{
	switch (format) {
	case MARKDOWN:
		report_markdown(document, to);
		break;
	case HTML:
		report_html(document, to);
		break;
	default:
		json_dumpf(document, to, JSON_COMPACT | JSON_REAL_PRECISION(13));
		fputc('\n', to);
	}
}

/* Whole or not at all: who looks at it meanwhile sees the one before. */
static int print_to_file(const struct wish *w, const json_t *document)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	int err = to ? 0 : -ENOMEM;

	if (to) {
		print(w->format, document, to);
		if (ferror(to) | fclose(to))
			err = -ENOMEM;
	}
	if (!err)
		err = whole_write(w->output, text, size, 0644);
	free(text);
	return err ? failed(w->output, err) : EXIT_OK;
}

int cmd_report(const struct options *o, int argc, char **argv)
{
	struct wish w = {0};
	json_t *document = NULL;
	int code = parse(o, argc, argv, &w);

	if (!code)
		code = find_service(o, &w);
	if (!code)
		code = read_all(&w, &document);
	if (!code && w.output)
		code = print_to_file(&w, document);
	else if (!code)
		print(w.format, document, stdout);
	if (!code && !w.output && w.format == JSON)
		json_answered();
	json_decref(document);
	return code;
}
