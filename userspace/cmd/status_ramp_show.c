/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_ramp_show.c - the ramp on the screen of `status`: where it is, why, and its gates
 */
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/status_inner.h"

static const char *text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}

static void put_place(struct page *g, const json_t *j)
{
	double hold = json_number_value(json_object_get(j, "hold_left_s"));
	const json_t *frozen = json_object_get(j, "frozen");
	const char *state = text_of(j, "state"), *why = text_of(frozen, "reason");
	char left[32];

	status_piece(g, status_ramp_colour(state), "ramp %s", state);
	if (json_integer_value(json_object_get(j, "stage")) > 0)
		status_piece(g, NULL, "stage %d/%d",
			     (int)json_integer_value(json_object_get(j, "stage")),
			     (int)json_integer_value(json_object_get(j, "stages")));
	if (hold > 0)
		status_piece(g, NULL, "hold: %s left", text_duration((uint64_t)(hold * 1e9), left));
	if (*text_of(j, "who") && strcmp(state, "idle") != 0)
		status_piece(g, NULL, "for %s", text_of(j, "who"));
	if (json_is_object(frozen) && strstr(text_of(j, "reason"), "frozen by"))
		status_piece(g, SCREEN_YELLOW, "FROZEN");
	else if (json_is_object(frozen))
		status_piece(g, SCREEN_YELLOW, "FROZEN by %.40s%s%.80s", text_of(frozen, "by"),
			     *why ? ": " : "", why);
	status_end_pieces(g);
}

static void put_reason(struct page *g, const char *format, const char *reason)
{
	char text[400], clean[400];

	snprintf(text, sizeof(text), format, reason);
	screen_clean(text, clean, sizeof(clean));
	fputs("      ", g->to);
	g->column = 6;
	status_words(g, clean, 6);
	status_end_pieces(g);
}

void status_ramp_show(struct page *g)
{
	const struct status_ramp *r = g->v->ramp;
	char asleep[200];

	if (!r || !r->is)
		return;
	if (r->live) {
		put_place(g, r->is);
		if (*text_of(r->is, "reason") && strcmp(text_of(r->is, "state"), "idle") != 0)
			put_reason(g, "%s", status_ramp_reason(r));
		return;
	}
	if (!*status_ramp_asleep(g->v, asleep, sizeof(asleep)))
		return;
	status_piece(g, SCREEN_YELLOW, "%s", asleep);
	status_end_pieces(g);
	if (status_ramp_active(r) && *text_of(r->is, "reason"))
		put_reason(g, "it said last: %s", text_of(r->is, "reason"));
}

void status_ramp_gates(struct page *g)
{
	const struct status_ramp *r = g->v->ramp;
	unsigned int columns = g->wide > g->columns ? g->wide : g->columns;

	if (!r || !r->live)
		return;
	if (status_ramp_active(r) || !strcmp(text_of(r->is, "state"), "done"))
		status_gates(json_object_get(r->is, "gates"), columns, g->brief, g->colour, g->to);
}
