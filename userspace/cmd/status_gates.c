/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_gates.c - the ramp's gates as a table, for `status` and `ramp status`
 *
 * The evidence stands beside its gate where there is room for all of it, else below those that are
 * not ok. What is not the gate's own arm's is there to be compared with.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/status.h"

#define TEXT 256

const char *status_ramp_colour(const char *word)
{
	if (!strcmp(word, "ok") || !strcmp(word, "holding") || !strcmp(word, "done"))
		return SCREEN_GREEN;
	if (!strcmp(word, "rollback") || !strcmp(word, "rolled-back"))
		return SCREEN_RED;
	return SCREEN_YELLOW;
}

static const char *text_of(const json_t *j, const char *key, char ret[TEXT])
{
	const char *text = json_string_value(json_object_get(j, key));

	return screen_clean(text ? text : "", ret, TEXT);
}

/* "0.21%", "776,000", "176", "-" */
static const char *number(const json_t *j, const char *unit, char ret[48])
{
	double v = json_number_value(j);
	char count[32], spaced[16];

	if (isalpha((unsigned char)*unit)) {
		snprintf(spaced, sizeof(spaced), " %.8s", unit);
		unit = spaced;
	}
	if (!json_is_number(j))
		snprintf(ret, 48, "-");
	else if (fabs(v) >= 1e15)
		snprintf(ret, 48, "%.3g%s", v, unit);
	else if (fabs(v) >= 1000)
		snprintf(ret, 48, "%s%s%s", v < 0 ? "-" : "",
			 text_count((uint64_t)(fabs(v) + 0.5), count), unit);
	else
		snprintf(ret, 48, "%.3g%s", v, unit);
	return ret;
}

/* With the class of the runbook that a verdict of the soak is of. */
static const char *evidence(const json_t *g, char ret[TEXT])
{
	char class[TEXT], why[TEXT];

	text_of(g, "class", class);
	text_of(g, "why", why);
	snprintf(ret, TEXT, "%.32s%s%.200s", class, *class ? ": " : "", why);
	return ret;
}

/* The gate's number is its arm's; an answer without arms is one of before, or the journal's. */
static void add(struct table *t, const json_t *g, bool beside, bool colour)
{
	const json_t *old = json_object_get(g, "old"), *new = json_object_get(g, "new");
	char name[TEXT], bound[TEXT], verdict[TEXT], why[TEXT], unit[TEXT], painted[TEXT];
	char a[48], b[48];

	text_of(g, "unit", unit);
	unit[8] = '\0';
	if (!json_is_number(old) && !json_is_number(new))
		new = json_object_get(g, "value");
	text_of(g, "verdict", verdict);
	table_row(t, "%s\t%s\t%s\t%s\t%s%s%s", text_of(g, "name", name), number(old, unit, a),
		  number(new, unit, b), text_of(g, "bound", bound),
		  screen_paint(colour, status_ramp_colour(verdict), verdict, painted,
			       sizeof(painted)),
		  beside ? "\t" : "", beside ? evidence(g, why) : "");
}

static void add_below(struct table *t, const json_t *g, unsigned int columns, bool colour)
{
	char verdict[TEXT], why[TEXT], line[TEXT * 2], painted[TEXT + 16];

	if (!strcmp(text_of(g, "verdict", verdict), "ok") || !*evidence(g, why))
		return;
	if (columns > 8 && strlen(why) + 4 > columns)
		strcpy(why + columns - 7, "...");
	snprintf(line, sizeof(line), "    %s",
		 screen_paint(colour, SCREEN_YELLOW, why, painted, sizeof(painted)));
	table_line(t, line);
}

/* Those of shiftd's own that have nothing to say give way first. */
static bool is_left_out(const json_t *g, bool brief)
{
	char verdict[TEXT];

	return brief && !json_object_get(g, "arm") && !strcmp(text_of(g, "verdict", verdict), "ok");
}

static void fill(struct table *t, const json_t *gates, unsigned int columns, bool beside,
		 bool brief, bool colour)
{
	const json_t *g;
	size_t i;

	table_head(t, beside ? "gate|>old|>new|bound|verdict|evidence"
			     : "gate|>old|>new|bound|verdict");
	json_array_foreach ((json_t *)gates, i, g) {
		if (is_left_out(g, brief))
			continue;
		add(t, g, beside, colour);
		if (!beside)
			add_below(t, g, columns, colour);
	}
}

void status_gates(const json_t *gates, unsigned int columns, bool brief, bool colour, FILE *to)
{
	struct table t = {.dim = colour};

	if (!json_array_size(gates))
		return;
	fill(&t, gates, columns, true, brief, colour);
	if (columns && table_width(&t) > columns) {
		table_free(&t);
		t = (struct table){.dim = colour};
		fill(&t, gates, columns, false, brief, colour);
	}
	table_print(&t, to);
	table_free(&t);
}
