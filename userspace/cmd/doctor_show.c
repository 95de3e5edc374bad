/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor_show.c - the findings on a screen, worst first, and as JSON
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/cmd/doctor.h"

#define NARROW 60
#define USUAL  100
#define LEVEL  8  /* "critical" */
#define LEFT   24 /* names of findings and of what they are about */

struct page {
	const struct doctor_style *style;
	FILE *to;
	unsigned int columns;
	unsigned int left; /* width of the column of names */
	const char *below; /* what still has to stand in it, on the next line; NULL: nothing */
	unsigned int column;
};

static const char *const colours[DOCTOR_LEVELS] = {SCREEN_GREEN, "0", SCREEN_YELLOW, SCREEN_RED};

static void put_padded(struct page *g, const char *code, const char *text, unsigned int width)
{
	char clean[80], painted[128];
	unsigned int length;

	screen_clean(text, clean, sizeof(clean));
	length = screen_length(clean);
	fprintf(g->to, "%s%*s",
		*code ? screen_paint(g->style->colour, code, clean, painted, sizeof(painted))
		      : clean,
		(int)(width > length ? width - length : 0) + 2, "");
}

static void new_line(struct page *g, unsigned int indent)
{
	fputc('\n', g->to);
	if (g->below) {
		fprintf(g->to, "%*s", LEVEL + 2, "");
		put_padded(g, "", g->below, g->left);
		fprintf(g->to, "%*s", (int)(indent - LEVEL - 2 - g->left - 2), "");
	} else {
		fprintf(g->to, "%*s", (int)indent, "");
	}
	g->below = NULL;
	g->column = indent;
}

/* Word by word from the column where the page is; further lines begin at `indent`. */
static void put_words(struct page *g, const char *text, unsigned int indent)
{
	char copy[512], *rest = copy, *word;
	bool first = true;

	screen_clean(text, copy, sizeof(copy));
	while ((word = strsep(&rest, " "))) {
		unsigned int length = screen_length(word);

		if (!first && g->column + 1 + length > g->columns) {
			new_line(g, indent);
			first = true;
		}
		fprintf(g->to, "%s%s", first ? "" : " ", word);
		g->column += length + !first;
		first = false;
	}
}

/* "lro eth0" where that is short, else one below the other. */
static bool fits(const struct doctor_finding *f)
{
	return strlen(f->what) + 1 + screen_length(f->on) <= LEFT;
}

static unsigned int width_of(const struct doctor_finding *f)
{
	unsigned int what = (unsigned int)strlen(f->what), on = screen_length(f->on);

	return fits(f) ? what + !!on + on : what > on ? what : on;
}

static void put_finding(struct page *g, const struct doctor_finding *f)
{
	unsigned int indent = LEVEL + 2 + g->left + 2;
	char name[2 * sizeof(f->on)];

	put_padded(g, colours[f->level], doctor_level_name(f->level), LEVEL);
	snprintf(name, sizeof(name), "%s%s%s", f->what, f->on[0] && fits(f) ? " " : "",
		 fits(f) ? f->on : "");
	put_padded(g, "", name, g->left);
	g->below = fits(f) ? NULL : f->on;
	g->column = indent;
	put_words(g, f->evidence, indent);
	if (f->fix[0]) {
		new_line(g, indent);
		fputs("fix: ", g->to);
		g->column += 5;
		put_words(g, f->fix, indent + 5);
	}
	if (g->below)
		fprintf(g->to, "\n%*s%s", LEVEL + 2, "", g->below);
	g->below = NULL;
	fputc('\n', g->to);
}

static bool is_shown(const struct page *g, const struct doctor_finding *f)
{
	return g->style->all || f->level != DOCTOR_OK;
}

/* What is fine, by name, each once. */
static void put_good(struct page *g, const struct doctor_report *r)
{
	char text[1024] = "";
	size_t used = 0;

	for (unsigned int i = 0; i < r->n; i++) {
		const struct doctor_finding *f = &r->finding[i];
		bool told = f->level != DOCTOR_OK;

		for (unsigned int j = 0; j < i && !told; j++)
			told = r->finding[j].level == DOCTOR_OK &&
			       !strcmp(r->finding[j].what, f->what);
		if (!told && used + 40 < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? ", " : "", f->what);
	}
	if (!used)
		return;
	put_padded(g, colours[DOCTOR_OK], "ok", LEVEL);
	g->column = LEVEL + 2;
	put_words(g, text, LEVEL + 2);
	fputc('\n', g->to);
}

static const char *plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

static void put_head(const struct page *g, const struct doctor_facts *f,
		     const struct doctor_report *r)
{
	const unsigned int *n = r->count;

	if (f->config)
		fprintf(g->to, "service %s by %s: ", f->config->service, f->config->file);
	else
		fprintf(g->to, "no configuration, so only what the host itself tells: ");
	fprintf(g->to, "%u critical, %u warning%s, %u note%s, %u ok\n", n[DOCTOR_CRITICAL],
		n[DOCTOR_WARNING], plural(n[DOCTOR_WARNING]), n[DOCTOR_NOTE],
		plural(n[DOCTOR_NOTE]), n[DOCTOR_OK]);
}

void doctor_show(const struct doctor_facts *f, const struct doctor_report *r,
		 const struct doctor_style *style, FILE *to)
{
	struct page g = {.style = style, .to = to, .columns = style->columns};

	if (!g.columns)
		g.columns = USUAL;
	if (g.columns < NARROW)
		g.columns = NARROW;
	for (unsigned int i = 0; i < r->n; i++) {
		const struct doctor_finding *x = &r->finding[i];

		if (!is_shown(&g, x))
			continue;
		if (width_of(x) > g.left)
			g.left = width_of(x);
	}
	put_head(&g, f, r);
	for (unsigned int i = 0; i < r->n; i++)
		if (is_shown(&g, &r->finding[i]))
			put_finding(&g, &r->finding[i]);
	if (!style->all)
		put_good(&g, r);
	if (r->left_out)
		fprintf(to, "and %u more\n", r->left_out);
}

/* ---- for programs ---- */

static json_t *clean_text(const char *text)
{
	char clean[512];

	return json_string(screen_clean(text, clean, sizeof(clean)));
}

json_t *doctor_json(const struct doctor_facts *f, const struct doctor_report *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->n; i++) {
		const struct doctor_finding *x = &r->finding[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:o, s:o, s:o}", "what", x->what, "level",
					doctor_level_name(x->level), "on", clean_text(x->on),
					"evidence", clean_text(x->evidence), "fix",
					x->fix[0] ? clean_text(x->fix) : json_null()));
	}
	return json_pack("{s:i, s:s?, s:s?, s:b, s:{s:i, s:i, s:i, s:i}, s:i, s:o}", "schema", 1,
			 "service", f->config ? f->config->service : NULL, "config",
			 f->config ? f->config->file : NULL, "ok",
			 !r->count[DOCTOR_CRITICAL] && !r->count[DOCTOR_WARNING], "count",
			 "critical", (int)r->count[DOCTOR_CRITICAL], "warning",
			 (int)r->count[DOCTOR_WARNING], "note", (int)r->count[DOCTOR_NOTE], "ok",
			 (int)r->count[DOCTOR_OK], "left_out", (int)r->left_out, "findings", list);
}
