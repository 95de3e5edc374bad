/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/metrics.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/whole.h"

#define LABELS	     16
#define FIXED_DIGITS 9
#define FIXED_SIZE   352 /* of the largest double without an exponent */

/* ---- Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/ ---- */

void metrics_begin(struct metrics *m)
{
	*m = (struct metrics){0};
	m->file = open_memstream(&m->text, &m->size);
	if (!m->file)
		m->err = -errno;
}

static bool ascii_word(const char *name, const char *also)
{
	if (!name[0] || (name[0] >= '0' && name[0] <= '9'))
		return false;
	for (const char *c = name; *c; c++)
		if (!(*c >= '0' && *c <= '9') && !(*c >= 'a' && *c <= 'z') &&
		    !(*c >= 'A' && *c <= 'Z') && *c != '_' && !strchr(also, *c))
			return false;
	return true;
}

/* Of the character at `text`, or 0 when it is none of UTF-8 (RFC 3629, 4). */
static unsigned int utf8_size(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	unsigned int n = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	if (c[0] > 0xf4)
		return 0;
	for (unsigned int i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return n;
}

static void put_escaped(FILE *f, const char *text, bool quoted)
{
	while (*text) {
		unsigned int n = utf8_size(text);

		if (*text == '\n')
			fputs("\\n", f);
		else if (*text == '\\' || (quoted && *text == '"'))
			fprintf(f, "\\%c", *text);
		else if (n)
			fwrite(text, 1, n, f);
		else
			fputc('?', f);
		text += n ? n : 1;
	}
}

/* The fewest digits that read back as the same number. */
static void put_number(FILE *f, double value)
{
	char text[32];

	if (isnan(value) || isinf(value)) {
		fputs(isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf", f);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value == 0 ? 0 : value);
		if (strtod(text, NULL) == value)
			break;
	}
	fputs(text, f);
}

static bool fail(struct metrics *m, int err)
{
	if (!m->err)
		m->err = err;
	return false;
}

/* With the text up to date in memory. */
static bool flushed(struct metrics *m)
{
	if (fflush(m->file) || ferror(m->file))
		return fail(m, errno ? -errno : -ENOMEM);
	return true;
}

void metrics_family(struct metrics *m, const char *name, enum metrics_type type, const char *help)
{
	char line[sizeof(m->family) + 16];

	if (m->err)
		return;
	if (!ascii_word(name, ":") || strlen(name) >= sizeof(m->family)) {
		fail(m, -EINVAL);
		return;
	}
	snprintf(line, sizeof(line), "\n# TYPE %s ", name);
	if (!flushed(m))
		return;
	if (m->size && strstr(m->text, line)) {
		fail(m, -EEXIST);
		return;
	}
	fprintf(m->file, "# HELP %s ", name);
	put_escaped(m->file, help, false);
	fprintf(m->file, "%s%s\n", line, type == METRICS_COUNTER ? "counter" : "gauge");
	if (!flushed(m))
		return;
	m->family_at = m->size;
	strcpy(m->family, name);
}

/* False for a wrong one, and for one that is there twice. */
static bool put_label(FILE *f, const char *seen[LABELS], unsigned int n, const char *name,
		      const char *value)
{
	if (n >= LABELS || !value || !ascii_word(name, "") || !strncmp(name, "__", 2))
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(seen[i], name))
			return false;
	seen[n] = name;
	fprintf(f, "%c%s=\"", n ? ',' : '{', name);
	put_escaped(f, value, true);
	fputc('"', f);
	return true;
}

/* Is the series that begins at `at`, the last line of all, in a line before it? */
static bool there_already(const struct metrics *m, size_t at)
{
	size_t n = m->size - at;

	for (const char *line = m->text + m->family_at; line < m->text + at;
	     line = strchr(line, '\n') + 1)
		if (!strncmp(line, m->text + at, n))
			return true;
	return false;
}

void metrics_value(struct metrics *m, double value, ...)
{
	const char *seen[LABELS], *name;
	size_t begun = m->size;
	unsigned int n = 0;
	bool good;
	va_list args;

	if (m->err)
		return;
	fputs(m->family, m->file);
	good = m->family[0];
	va_start(args, value);
	while (good && (name = va_arg(args, const char *)))
		good = put_label(m->file, seen, n++, name, va_arg(args, const char *));
	va_end(args);
	fputs(n ? "} " : " ", m->file);
	if (!good)
		fail(m, -EINVAL);
	if (!flushed(m) || m->err)
		return;
	if (there_already(m, begun)) {
		fail(m, -EEXIST);
		return;
	}
	put_number(m->file, value);
	fputc('\n', m->file);
	flushed(m);
}

int metrics_text(struct metrics *m, char **ret, size_t *ret_size)
{
	int err;

	if (m->file && fclose(m->file))
		fail(m, -ENOMEM);
	err = m->err;
	if (err) {
		free(m->text);
	} else {
		*ret = m->text;
		*ret_size = m->size;
	}
	*m = (struct metrics){.err = -EINVAL};
	return err;
}

int metrics_write(struct metrics *m, const char *path)
{
	size_t size;
	char *text;
	int err = metrics_text(m, &text, &size);

	if (err)
		return err;
	err = whole_write(path, text, size, 0644);
	free(text);
	return err;
}

/* ---- Nagios: https://www.monitoring-plugins.org/doc/guidelines.html, performance data ---- */

/* Only digits, '-' and '.'; "" when it is not known. */
static const char *fixed(double value, char ret[FIXED_SIZE])
{
	char *end;

	if (!isfinite(value))
		return "";
	snprintf(ret, FIXED_SIZE, "%.*f", FIXED_DIGITS, value);
	end = ret + strlen(ret);
	while (end[-1] == '0')
		*--end = '\0';
	if (end[-1] == '.')
		*--end = '\0';
	return strcmp(ret, "-0") ? ret : "0";
}

static bool good_label(const char *label)
{
	for (const char *c = label; *c; c++)
		if (*c == '=' || *c == '|' || iscntrl((unsigned char)*c))
			return false;
	return label[0];
}

static bool good_uom(const char *uom)
{
	for (const char *c = uom; *c; c++)
		if (!isalpha((unsigned char)*c) && *c != '%')
			return false;
	return true;
}

/* Not that it is a range, but that it cannot be taken for more than one. */
static bool good_range(const char *range)
{
	return strspn(range, "0123456789.-:@~") == strlen(range);
}

static void put_perf_label(FILE *f, const char *label)
{
	bool plain = true;

	for (const char *c = label; *c; c++)
		plain = plain && (isalnum((unsigned char)*c) || strchr("_./:-", *c));
	if (plain) {
		fputs(label, f);
		return;
	}
	fputc('\'', f);
	for (const char *c = label; *c; c++)
		fputs(*c == '\'' ? "''" : (char[]){*c, '\0'}, f);
	fputc('\'', f);
}

int perfdata_add(char *buf, size_t size, const char *label, double value, const char *uom,
		 const char *warn, const char *crit, double min, double max)
{
	char number[3][FIXED_SIZE], *text = NULL;
	const char *shown = fixed(value, number[0]);
	size_t n = 0, used = strlen(buf);
	FILE *f;

	uom = uom ? uom : "";
	warn = warn ? warn : "";
	crit = crit ? crit : "";
	if (!good_label(label) || !good_uom(uom) || !good_range(warn) || !good_range(crit))
		return -EINVAL;
	f = open_memstream(&text, &n);
	if (!f)
		return -errno;
	if (used)
		fputc(' ', f);
	put_perf_label(f, label);
	fprintf(f, "=%s%s;%s;%s;%s;%s", shown[0] ? shown : "U", shown[0] ? uom : "", warn, crit,
		fixed(min, number[1]), fixed(max, number[2]));
	if (fclose(f)) {
		free(text);
		return -ENOMEM;
	}
	while (text[n - 1] == ';') /* unfilled ones at the end may be dropped */
		text[--n] = '\0';
	if (n >= size || used >= size - n) {
		free(text);
		return -ENOSPC;
	}
	memcpy(buf + used, text, n + 1);
	free(text);
	return 0;
}
