/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report.h - the record of a ramp: what the journal, the audit trail and the points say of it, as
 * one document, and that document for people
 *
 *	struct report *r = report_begin(0);
 *	each entry of the journal, the oldest first:	report_entry(r, entry);
 *	from and until when it went is then known:	report_span(r, &from, &until);
 *	each change of the audit trail:			report_change(r, change);
 *	each line of points.jsonl:			report_point(r, point);
 *	document = report_end(r, "api", 0);
 *
 * Pure: no clock, no disk; what a line does not have is unknown and null, never made up. Times are
 * seconds of the epoch with their milliseconds, shares percent. The document is README's.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define REPORT_LATEST 4e9 /* what lies later is no time of ours */
#define REPORT_POINTS 600 /* in a document at most: of more each n-th */

struct report;

/* Of the ramp `number` of those that the journal has, from 1; 0: of the last. NULL: no memory. */
struct report *report_begin(unsigned int number);
void report_entry(struct report *r, const json_t *entry);
/* From its start until the next one's: outside of it nothing belongs to it. False: there is no such
 * ramp. An end that is not there is INFINITY. */
bool report_span(const struct report *r, double *ret_from, double *ret_until);
/* How many ramps the journal has. */
unsigned int report_ramps(const struct report *r);
void report_change(struct report *r, const json_t *change);
void report_point(struct report *r, const json_t *point);
/* The document, the caller's, without what was over before `since` (0: all of it); NULL: there is
 * no such ramp. Frees the report. */
json_t *report_end(struct report *r, const char *service, double since);

/* As Markdown; as one page of HTML that needs nothing from outside. */
void report_markdown(const json_t *document, FILE *to);
void report_html(const json_t *document, FILE *to);

/* ---- what the two share ---- */

/* "" and 0 for what is not there. */
const char *report_text(const json_t *j, const char *key);
double report_number(const json_t *j, const char *key);
bool report_has(const json_t *j, const char *key);

#define REPORT_CELL 700

/* How a member is told; "-" where there is none. */
enum report_how {
	REPORT_TEXT,	/* as it is */
	REPORT_NUMBER,	/* as people write it */
	REPORT_SHARE,	/* "25%" */
	REPORT_TIME,	/* "2026-03-01 14:30:12", of this host's zone */
	REPORT_MOMENT,	/* the same, and its milliseconds */
	REPORT_SECONDS, /* "12m05s" */
	REPORT_MS,	/* "380 ms", "4.2 s" */
	REPORT_LIST,	/* "--force --unproven" */
	REPORT_VALUE,	/* of a gate, with its unit: "85 ms", "0.03%" */
};

struct report_column {
	const char *title; /* NULL: no more columns */
	const char *key;
	enum report_how how;
};

/* A list of the document, as a table. */
struct report_section {
	const char *title; /* NULL: no more sections */
	const char *key;   /* "a.b" for one in another */
	const char *none;  /* what is said of an empty one; NULL: it is left out */
	const struct report_column *columns;
};

extern const struct report_section report_sections[];
extern const struct report_column report_gate_columns[];

const json_t *report_list(const json_t *document, const char *key);
/* Clean text: nothing in it steers a terminal. Returns ret. */
const char *report_cell(const json_t *row, const char *key, enum report_how how,
			char ret[REPORT_CELL]);
/* The lines at the top: "started", "2026-… by alice: tonight"; false: there is no such line. */
bool report_fact(const json_t *document, unsigned int i, const char **ret_name,
		 char ret[REPORT_CELL]);
/* "Ramp of api, done at 100%" */
const char *report_title(const json_t *document, char ret[REPORT_CELL]);
/* "Stage 2 of 5: 25%", and "14:30:12 to 15:00:12 (30m), held 30m of 30m, by shiftd for alice" */
const char *report_stage_title(const json_t *stage, char ret[REPORT_CELL]);
const char *report_stage_times(const json_t *stage, char ret[REPORT_CELL]);
/* "PROCEED to 50%"; of one that is under way "HOLDING". */
const char *report_decision(const json_t *stage, char ret[REPORT_CELL]);
/* The charts of the document's points, as SVG in a page. */
void report_charts(const json_t *document, FILE *to);
/* The text, with whatever HTML would take for its own put as what it is. */
void report_escape(const char *text, FILE *to);
