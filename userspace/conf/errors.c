/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * errors.c - complaints about a configuration: kept in the order of the file, shown with their line
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/conf/config.h"
#include "userspace/conf/utf8.h"

#define SHOWN_COLUMNS 96 /* of a source line */

static bool comes_before(struct conf_at a, struct conf_at b)
{
	return a.line != b.line ? a.line < b.line : a.column < b.column;
}

/*
 * Checks of one value find their errors in order, checks across the file do not; so each complaint
 * goes to its place. When there are too many, the last in the file goes.
 */
void conf_complain(struct conf_errors *errors, bool warning, struct conf_at at, const char *key,
		   const char *format, ...)
{
	unsigned int i = errors->n;
	struct conf_error *e;
	size_t used = 0;
	va_list ap;

	if (!warning)
		errors->n_errors++;
	while (i && comes_before(at, errors->error[i - 1].at))
		i--;
	if (errors->n == CONF_MAX_ERRORS) {
		errors->left_out++;
		if (i == CONF_MAX_ERRORS)
			return;
		errors->n--;
	}
	e = &errors->error[i];
	memmove(e + 1, e, (errors->n - i) * sizeof(*e));
	errors->n++;
	e->at = at;
	e->warning = warning;
	if (key && key[0])
		used = (size_t)snprintf(e->text, sizeof(e->text), "%s: ", key);
	if (used >= sizeof(e->text))
		return;
	va_start(ap, format);
	vsnprintf(e->text + used, sizeof(e->text) - used, format, ap);
	va_end(ap);
}

unsigned int conf_errors_count(const struct conf_errors *errors)
{
	return errors->n_errors;
}

void conf_errors_free(struct conf_errors *errors)
{
	free(errors->text);
	memset(errors, 0, sizeof(*errors));
}

/* The line's bytes without its end; NULL: there is no such line. */
static const char *find_line(const char *text, size_t size, uint32_t line, size_t *ret_size)
{
	const char *end = text + size, *nl;

	while (--line) {
		nl = memchr(text, '\n', (size_t)(end - text));
		if (!nl)
			return NULL;
		text = nl + 1;
	}
	nl = memchr(text, '\n', (size_t)(end - text));
	*ret_size = (size_t)((nl ? nl : end) - text);
	return text;
}

/* A long line is shown from a little before the place meant; nothing of it moves the cursor. */
static void print_source(const char *line, size_t size, uint32_t column, FILE *to)
{
	uint32_t first = column > SHOWN_COLUMNS * 3 / 4 ? column - SHOWN_COLUMNS / 2 : 1, at = 0, c;

	if (size && line[size - 1] == '\r')
		size--;
	fputs("  ", to);
	for (size_t i = 0, n; i < size; i += n ? n : 1) {
		n = utf8_next(line + i, size - i, &c);
		at++;
		if (at < first || at >= first + SHOWN_COLUMNS)
			continue;
		if (n && utf8_printable(c))
			fwrite(line + i, 1, n, to);
		else
			fputc(n && c == '\t' ? ' ' : '?', to);
	}
	fprintf(to, "\n  %*s^\n", (int)(column - first), "");
}

static void print_one(const struct conf_errors *errors, const struct conf_error *e, FILE *to)
{
	const struct config *c = errors->config;
	const char *text = errors->text ? errors->text : c ? c->text : NULL;
	size_t text_size = errors->text ? errors->text_size : c ? c->text_size : 0;
	const char *line = NULL;
	size_t size = 0;

	fprintf(to, "%s:", errors->file);
	if (e->at.line)
		fprintf(to, "%u:%u:", e->at.line, e->at.column);
	fprintf(to, " %s%s\n", e->warning ? "warning: " : "", e->text);
	if (e->at.line && text)
		line = find_line(text, text_size, e->at.line, &size);
	if (line)
		print_source(line, size, e->at.column, to);
}

void conf_errors_print(const struct conf_errors *errors, FILE *to)
{
	for (unsigned int i = 0; i < errors->n; i++)
		print_one(errors, &errors->error[i], to);
	if (errors->left_out)
		fprintf(to, "%s: and %u more\n", errors->file, errors->left_out);
}
