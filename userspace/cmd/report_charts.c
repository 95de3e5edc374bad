/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report_charts.c - the points as lines, in SVG that stands in the page
 *
 * One time axis for all: from the ramp's start to the last that is known of it. The share is drawn
 * from the stages, which are exact; the rest from the points, whose line breaks where shiftd had
 * nothing to say.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include "userspace/cmd/report.h"

#define WIDTH  960.0
#define HEIGHT 190.0
#define LEFT   56.0
#define RIGHT  16.0
#define TOP    14.0
#define BOTTOM 26.0
#define GAP    45.0 /* s without a point after which a line breaks */

struct chart {
	const json_t *document;
	double from, to; /* the time axis */
	double high;	 /* of the other, which begins at 0 */
	const char *unit;
	FILE *out;
};

static double x_of(const struct chart *c, double at)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * (at - c->from) / (c->to - c->from);
}

static double y_of(const struct chart *c, double value)
{
	double part = value / c->high;

	return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (part < 0 ? 0 : part > 1 ? 1 : part);
}

/* ---- the axes ---- */

/* 1, 2 or 5 times a power of ten: about `parts` of them in `high`. */
static double nice_step(double high, double parts)
{
	double raw = high / parts, power = pow(10, floor(log10(raw))), m = raw / power;

	return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

static double time_step(double span)
{
	static const double steps[] = {1,   2,	 5,    10,   15,   30,	  60,	 120,	300,
				       600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400};
	size_t i = 0;

	while (i < sizeof(steps) / sizeof(*steps) - 1 && span / steps[i] > 8)
		i++;
	return span / steps[i] > 12 ? span / 8 : steps[i];
}

static void axis_y(const struct chart *c)
{
	double step = nice_step(c->high, 4);

	for (double v = 0; v <= c->high * 1.001; v += step)
		fprintf(c->out,
			"<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%.6g%s</text>\n",
			LEFT, WIDTH - RIGHT, y_of(c, v), y_of(c, v), LEFT - 7, y_of(c, v) + 4, v,
			c->unit);
}

static void axis_x(const struct chart *c)
{
	double step = time_step(c->to - c->from);
	const char *format = step < 60			? "%H:%M:%S"
			     : c->to - c->from > 172800 ? "%d %H:%M"
							: "%H:%M";
	time_t first = (time_t)c->from;
	struct tm tm;
	char text[32];
	double at;

	localtime_r(&first, &tm); /* whole hours are those of the clock here */
	at = ceil((c->from + (double)tm.tm_gmtoff) / step) * step - (double)tm.tm_gmtoff;
	for (; at <= c->to; at += step) {
		time_t t = (time_t)at;

		strftime(text, sizeof(text), format, localtime_r(&t, &tm));
		fprintf(c->out,
			"<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>"
			"<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n",
			x_of(c, at), x_of(c, at), HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4, x_of(c, at),
			HEIGHT - 8, text);
	}
}

/* A line at each incident, which names it when it is pointed at. */
static void incidents(const struct chart *c)
{
	const json_t *i;
	char cell[REPORT_CELL];
	size_t n;

	json_array_foreach ((json_t *)json_object_get(c->document, "incidents"), n, i) {
		double at =
			report_number(i, report_has(i, "effect_at") ? "effect_at" : "decided_at");
		bool bad = !strcmp(report_text(i, "kind"), "rollback");

		if (at < c->from || at > c->to)
			continue;
		fprintf(c->out,
			"<line class=\"mark %s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\">"
			"<title>",
			bad ? "bad" : "warn", x_of(c, at), x_of(c, at), TOP - 6, HEIGHT - BOTTOM);
		report_escape(report_text(i, "kind"), c->out);
		fputs(": ", c->out);
		report_escape(report_cell(i, "reason", REPORT_TEXT, cell), c->out);
		fputs("</title></line>\n", c->out);
	}
}

static void begin_chart(const struct chart *c, const char *title, const char *key)
{
	fprintf(c->out,
		"<figure><figcaption>%s%s</figcaption><div class=\"scroll\">"
		"<svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n",
		title, key, WIDTH, HEIGHT, title);
	axis_y(c);
	axis_x(c);
	incidents(c);
}

static void end_chart(const struct chart *c)
{
	fputs("</svg></div></figure>\n", c->out);
}

/* ---- lines ---- */

/* Of "new", "rate", say; `arm` NULL: of the point itself. NAN: it has none. */
static double figure(const json_t *point, const char *arm, const char *key)
{
	const json_t *j = arm ? json_object_get(point, arm) : point;

	return report_has(j, key) ? report_number(j, key) : NAN;
}

static void line(const struct chart *c, const char *arm, const char *key, const char *class)
{
	const json_t *points = json_object_get(c->document, "points"), *p;
	size_t n = json_array_size(points), i;
	double before = -INFINITY, gap = GAP;

	if (n > 1) /* when they were thinned they lie further apart */
		gap = fmax(GAP, 4 * (c->to - c->from) / (double)n);
	fprintf(c->out, "<path class=\"line %s\" d=\"", class);
	json_array_foreach ((json_t *)points, i, p) {
		double at = report_number(p, "at"), value = figure(p, arm, key);

		if (!isfinite(value) || at < c->from || at > c->to) {
			before = -INFINITY;
			continue;
		}
		fprintf(c->out, "%c%.1f %.1f", at - before > gap ? 'M' : 'L', x_of(c, at),
			y_of(c, value));
		if (at - before > gap) /* a single one is seen, too */
			fputs("h.1", c->out);
		before = at;
	}
	fputs("\"/>\n", c->out);
}

static void share_line(const struct chart *c)
{
	const json_t *s;
	double end = -1;
	size_t i;

	fputs("<path class=\"line new\" d=\"", c->out);
	json_array_foreach ((json_t *)json_object_get(c->document, "stages"), i, s) {
		double from = fmax(report_number(s, "from"), c->from);
		double to = report_has(s, "to") ? report_number(s, "to") : c->to;
		double y = y_of(c, report_number(s, "weight"));

		if (to < c->from)
			continue;
		if (fabs(from - end) > 0.001 || end < 0) /* from 0 up, and where it was 0 between */
			fprintf(c->out, "%s%.1f %.1fL%.1f %.1f", end < 0 ? "M" : "L",
				x_of(c, fmax(end, c->from)), y_of(c, 0), x_of(c, from), y_of(c, 0));
		fprintf(c->out, "L%.1f %.1fL%.1f %.1f", x_of(c, from), y, x_of(c, to), y);
		end = to;
	}
	if (end >= 0 && end < c->to) /* rolled back */
		fprintf(c->out, "L%.1f %.1fL%.1f %.1f", x_of(c, end), y_of(c, 0), x_of(c, c->to),
			y_of(c, 0));
	fputs("\"/>\n", c->out);
}

/* ---- the charts ---- */

static double highest(const json_t *document, const char *key)
{
	static const char *const arms[] = {"old", "new"};
	const json_t *p;
	double high = 0;
	size_t i;

	json_array_foreach ((json_t *)json_object_get(document, "points"), i, p) {
		for (int a = 0; a < 2; a++)
			high = fmax(high, figure(p, arms[a], key)); /* NAN is none */
	}
	return high;
}

static bool time_axis(struct chart *c)
{
	const json_t *points = json_object_get(c->document, "points"), *i;
	const json_t *stages = json_object_get(c->document, "stages");
	size_t n = json_array_size(points), k;

	c->from = report_number(c->document, "started_at");
	if (c->from <= 0)
		c->from = report_number(json_array_get(stages, 0), "from");
	c->to = report_number(c->document, "ended_at");
	if (n)
		c->to = fmax(c->to, report_number(json_array_get(points, n - 1), "at"));
	json_array_foreach ((json_t *)json_object_get(c->document, "events"), k, i)
		c->to = fmax(c->to, report_number(i, "at"));
	return c->from > 0 && c->to - c->from >= 0.1 && c->to < REPORT_LATEST;
}

static void of_both_arms(struct chart *c, const char *title, const char *key, const char *unit,
			 double least)
{
	static const char legend[] =
		" <span class=\"key old\"><i></i>old</span> <span class=\"key new\"><i></i>new</span>";

	c->high = fmax(highest(c->document, key) * 1.05, least);
	c->unit = unit;
	begin_chart(c, title, legend);
	line(c, "old", key, "old");
	line(c, "new", key, "new");
	end_chart(c);
}

void report_charts(const json_t *document, FILE *to)
{
	static const char lines[] =
		" <span class=\"key new\"><i></i>in force</span> <span class=\"key seen\"><i></i>seen</span>"
		" <span class=\"key warn\"><i></i>pause, back, alarm</span>"
		" <span class=\"key bad\"><i></i>rollback</span>";
	struct chart c = {.document = document, .high = 100, .unit = "%", .out = to};

	if (!time_axis(&c))
		return;
	begin_chart(&c, "Share of the new side", lines);
	line(&c, NULL, "seen", "seen");
	share_line(&c);
	end_chart(&c);
	if (!json_array_size(json_object_get(document, "points"))) {
		fputs("<p class=\"empty\">There are no points of this ramp: no charts of its traffic."
		      "</p>\n",
		      to);
		return;
	}
	of_both_arms(&c, "New connections a second", "rate", "", 1);
	of_both_arms(&c, "Failures", "failed", "%", 0.5);
	of_both_arms(&c, "p95 of the first answer", "p95_ms", " ms", 1);
}
