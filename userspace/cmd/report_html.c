/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report_html.c - the record as one page that can be sent to somebody: no script, nothing loaded
 *
 * Whatever people, hooks and gates wrote goes through report_escape; the page's policy forbids what
 * would come through all the same. Attributes hold no such text.
 */
#include <stdlib.h>
#include <string.h>

#include "userspace/cmd/report.h"

static const char style[] =
	":root{--back:#f4f5f7;--panel:#fff;--ink:#16191d;--dim:#59626d;--line:#d5dae0;--grid:#e6e9ed;"
	"--old:#b45f00;--new:#005fa8;--ok:#0b6b3a;--warn:#8a5a00;--bad:#b3161b;--seen:#7a828c}\n"
	"@media(prefers-color-scheme:dark){:root{--back:#0e1114;--panel:#171b20;--ink:#eceff2;"
	"--dim:#9aa5b1;--line:#2c333b;--grid:#242a31;--old:#f0a030;--new:#5ab4f0;--ok:#4cc38a;"
	"--warn:#f0b429;--bad:#ff6b6b;--seen:#8b95a1}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0 auto;padding:16px;max-width:1240px;background:var(--back);color:var(--ink);"
	"font:15px/1.4 system-ui,\"Segoe UI\",Roboto,\"Liberation Sans\",\"DejaVu Sans\",sans-serif;"
	"font-variant-numeric:tabular-nums}\n"
	"h1{margin:0 0 12px;font-size:1.6rem;overflow-wrap:anywhere}h2{margin:22px 0 8px;"
	"font-size:1.15rem}h3{margin:0;font-size:1.05rem}\n"
	"section,figure{background:var(--panel);border:1px solid var(--line);border-radius:8px;"
	"padding:10px 14px;margin:0 0 12px}\n"
	"section.stage{border-left:5px solid var(--line)}section.ok{border-left-color:var(--ok)}"
	"section.warn{border-left-color:var(--warn)}section.bad{border-left-color:var(--bad)}\n"
	"p{margin:2px 0 8px}.dim,.empty,figcaption{color:var(--dim)}\n"
	".decision{margin:8px 0 0;font-weight:600;overflow-wrap:anywhere}"
	".decision small{font-weight:400;color:var(--dim)}\n"
	".ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad)}"
	"section.ok,section.warn,section.bad{color:var(--ink)}\n"
	".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}"
	"th{text-align:left;font-weight:500;color:var(--dim);font-size:.85rem}"
	"th,td{padding:3px 14px 3px 0;vertical-align:top;border-bottom:1px solid var(--grid)}"
	"tr:last-child td{border-bottom:0}td.n,th.n{text-align:right;white-space:nowrap;padding-right:22px}"
	"td.time{white-space:nowrap}td.long{min-width:14em;overflow-wrap:anywhere}"
	"table.facts{width:auto}table.facts td:first-child{color:var(--dim)}\n"
	"figcaption{font-size:.95rem;font-weight:600}.key{font-weight:400;margin-left:1em;display:inline-block;white-space:nowrap}"
	".key i{display:inline-block;width:22px;margin-right:5px;vertical-align:middle;"
	"border-top:2px solid currentColor}.key.old i{border-top-style:dashed}"
	".key.seen i,.key.warn i,.key.bad i{border-top-style:dotted}\n"
	"svg.chart{display:block;width:100%;min-width:620px;height:auto}"
	".chart text{fill:var(--dim);font-size:12px}.chart .grid{stroke:var(--grid)}"
	".chart .tick{stroke:var(--dim)}.line{fill:none;stroke:currentColor;stroke-width:2;"
	"stroke-linejoin:round;stroke-linecap:round}.line.old{stroke-dasharray:5 4}"
	".line.seen{stroke-dasharray:1 4}.old{color:var(--old)}.new{color:var(--new)}"
	".seen{color:var(--seen)}.mark{stroke:currentColor;stroke-width:2;stroke-dasharray:2 2}\n"
	"@media print{body{background:#fff;max-width:none}section,figure{break-inside:avoid}}\n";

void report_escape(const char *text, FILE *to)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '&':
			fputs("&amp;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		case '\'':
			fputs("&#39;", to);
			break;
		default:
			fputc(*text, to);
		}
	}
}

/* How good it is, as a class of the page. */
static const char *mood_of(const char *word)
{
	static const char *const moods[][2] = {
		{"ok", "ok"},
		{"PROCEED", "ok"},
		{"DONE", "ok"},
		{"pause", "warn"},
		{"back", "warn"},
		{"alarm", "warn"},
		{"PAUSED", "warn"},
		{"BACK", "warn"},
		{"rollback", "bad"},
		{"ROLL", "bad"},
		{"failed", "bad"},
		{"timed out", "bad"},
		{"inconclusive", "warn"},
	};

	for (size_t i = 0; i < sizeof(moods) / sizeof(*moods); i++) {
		if (!strncmp(word, moods[i][0], strlen(moods[i][0])))
			return moods[i][1];
	}
	return "";
}

static const char *class_of(const struct report_column *c)
{
	static const char *const long_ones[] = {"why", "reason", "text", "bounds", "detail"};

	if (c->how == REPORT_TIME || c->how == REPORT_MOMENT)
		return "time";
	if (c->how != REPORT_TEXT && c->how != REPORT_LIST)
		return "n";
	for (size_t i = 0; i < sizeof(long_ones) / sizeof(*long_ones); i++) {
		if (!strcmp(c->key, long_ones[i]))
			return "long";
	}
	return "";
}

static bool tells_mood(const char *key)
{
	return !strcmp(key, "verdict") || !strcmp(key, "kind") || !strcmp(key, "outcome");
}

static void put_table(const json_t *list, const struct report_column *columns, FILE *to)
{
	char cell[REPORT_CELL];
	const json_t *row;
	size_t i;

	fputs("<div class=\"scroll\"><table><thead><tr>", to);
	for (const struct report_column *c = columns; c->title; c++)
		fprintf(to, "<th class=\"%s\">%s</th>", class_of(c), c->title);
	fputs("</tr></thead><tbody>\n", to);
	json_array_foreach ((json_t *)list, i, row) {
		fputs("<tr>", to);
		for (const struct report_column *c = columns; c->title; c++) {
			report_cell(row, c->key, c->how, cell);
			fprintf(to, "<td class=\"%s\">",
				tells_mood(c->key) ? mood_of(cell) : class_of(c));
			report_escape(cell, to);
			fputs("</td>", to);
		}
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></div>\n", to);
}

static void put_stage(const json_t *s, FILE *to)
{
	char text[REPORT_CELL], by[REPORT_CELL];
	const char *mood;

	report_decision(s, text);
	mood = mood_of(text);
	fprintf(to, "<section class=\"stage %s\"><h3>%s</h3>\n<p class=\"dim\">", mood,
		report_stage_title(s, by));
	report_escape(report_stage_times(s, by), to);
	fputs("</p>\n", to);
	if (json_array_size(json_object_get(s, "gates")))
		put_table(json_object_get(s, "gates"), report_gate_columns, to);
	fprintf(to, "<p class=\"decision\">Decision: <span class=\"%s\">", mood);
	report_escape(text, to);
	fputs("</span>", to);
	if (report_has(s, "decided_at")) {
		fputs(" <small>", to);
		report_escape(report_cell(s, "decided_by", REPORT_TEXT, by), to);
		fprintf(to, ", %s</small>", report_cell(s, "decided_at", REPORT_TIME, text));
	}
	fputs("</p></section>\n", to);
}

static void put_facts(const json_t *document, FILE *to)
{
	char text[REPORT_CELL];
	const char *name;

	fputs("<section><table class=\"facts\">\n", to);
	for (unsigned int i = 0; report_fact(document, i, &name, text); i++) {
		fprintf(to, "<tr><td>%s</td><td>", name);
		report_escape(text, to);
		fputs("</td></tr>\n", to);
	}
	fputs("</table></section>\n", to);
}

static void put_section(const json_t *document, const struct report_section *x, FILE *to)
{
	const json_t *list = report_list(document, x->key);

	if (!json_array_size(list) && !x->none)
		return;
	fprintf(to, "<h2>%s</h2>\n<section>", x->title);
	if (json_array_size(list))
		put_table(list, x->columns, to);
	else
		fprintf(to, "<p class=\"empty\">%s</p>", x->none);
	fputs("</section>\n", to);
}

void report_html(const json_t *document, FILE *to)
{
	const json_t *stages = json_object_get(document, "stages"), *s;
	char title[REPORT_CELL];
	size_t n;

	report_title(document, title);
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width\">\n"
	      "<meta name=\"color-scheme\" content=\"light dark\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	      "style-src 'unsafe-inline'\">\n<title>",
	      to);
	report_escape(title, to);
	fprintf(to, "</title>\n<style>\n%s</style></head><body>\n<h1>", style);
	report_escape(title, to);
	fputs("</h1>\n", to);
	put_facts(document, to);
	report_charts(document, to);
	fputs("<h2>Stages</h2>\n", to);
	if (!json_array_size(stages))
		fputs("<section><p class=\"empty\">No share was set yet.</p></section>\n", to);
	json_array_foreach ((json_t *)stages, n, s)
		put_stage(s, to);
	for (const struct report_section *x = report_sections; x->title; x++)
		put_section(document, x, to);
	fputs("</body></html>\n", to);
}
