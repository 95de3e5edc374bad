/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report_markdown.c - the record as Markdown: for the wiki, the ticket, the terminal
 *
 * What people wrote is text, not markup: whatever Markdown would take for its own has a backslash.
 */
#include <string.h>

#include "userspace/cmd/report.h"

static void put(const char *text, FILE *to)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", to);
		else if (*text == '&')
			fputs("&amp;", to);
		else if (strchr("\\`*_[]|", *text))
			fprintf(to, "\\%c", *text);
		else
			fputc(*text, to);
	}
}

static void put_table(const json_t *list, const struct report_column *c, FILE *to)
{
	char cell[REPORT_CELL];
	const json_t *row;
	size_t i;

	for (const struct report_column *k = c; k->title; k++)
		fprintf(to, "| %s ", k->title);
	fputs("|\n", to);
	for (const struct report_column *k = c; k->title; k++)
		fputs("|---", to);
	fputs("|\n", to);
	json_array_foreach ((json_t *)list, i, row) {
		for (const struct report_column *k = c; k->title; k++) {
			fputs("| ", to);
			put(report_cell(row, k->key, k->how, cell), to);
			fputc(' ', to);
		}
		fputs("|\n", to);
	}
	fputc('\n', to);
}

static void put_stage(const json_t *s, FILE *to)
{
	char text[REPORT_CELL];

	fprintf(to, "### %s\n\n", report_stage_title(s, text));
	put(report_stage_times(s, text), to);
	fputs("\n\n", to);
	if (json_array_size(json_object_get(s, "gates")))
		put_table(json_object_get(s, "gates"), report_gate_columns, to);
	fputs("Decision: **", to);
	put(report_decision(s, text), to);
	fputs("**", to);
	if (report_has(s, "decided_at")) {
		fputs(" (", to);
		put(report_cell(s, "decided_by", REPORT_TEXT, text), to);
		fprintf(to, ", %s)", report_cell(s, "decided_at", REPORT_TIME, text));
	}
	fputs("\n\n", to);
}

void report_markdown(const json_t *document, FILE *to)
{
	const json_t *stages = json_object_get(document, "stages"), *s;
	char text[REPORT_CELL];
	const char *name;
	size_t n;

	fputs("# ", to);
	put(report_title(document, text), to);
	fputs("\n\n| | |\n|---|---|\n", to);
	for (unsigned int i = 0; report_fact(document, i, &name, text); i++) {
		fprintf(to, "| %s | ", name);
		put(text, to);
		fputs(" |\n", to);
	}
	fputs("\n## Stages\n\n", to);
	if (!json_array_size(stages))
		fputs("No share was set yet.\n\n", to);
	json_array_foreach ((json_t *)stages, n, s)
		put_stage(s, to);
	for (const struct report_section *x = report_sections; x->title; x++) {
		const json_t *list = report_list(document, x->key);

		if (!json_array_size(list) && !x->none)
			continue;
		fprintf(to, "## %s\n\n", x->title);
		if (json_array_size(list))
			put_table(list, x->columns, to);
		else
			fprintf(to, "%s\n\n", x->none);
	}
}
