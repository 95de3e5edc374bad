/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/screen.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool screen_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (int i = 0; i < 3; i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return strcasestr(value, "UTF-8") || strcasestr(value, "UTF8");
	}
	return false;
}

unsigned int screen_columns(void)
{
	struct winsize w;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) ? 0 : w.ws_col;
}

unsigned int screen_rows(void)
{
	struct winsize w;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) ? 0 : w.ws_row;
}

const char *screen_bytes(uint64_t n, char ret[16])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)n / 1024;
	int i = 0;

	if (n < 1000) {
		snprintf(ret, 16, "%u B", (unsigned int)n);
		return ret;
	}
	while (value >= 999.5 && i < 5) {
		value /= 1024;
		i++;
	}
	snprintf(ret, 16, value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[i]);
	return ret;
}

/* Bytes of the printable character that `text` begins with; 0: it is none. U+0080 to U+009F, which
 * UTF-8 gives two bytes, steer terminals as bytes below a space do. */
static size_t printable(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t n = *c < 0x80   ? 1
		   : *c < 0xc2 ? 0
		   : *c < 0xe0 ? 2
		   : *c < 0xf0 ? 3
		   : *c < 0xf5 ? 4
			       : 0;

	if (n == 1)
		return *c >= ' ' && *c < 0x7f;
	for (size_t i = 1; i < n; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	}
	return *c == 0xc2 && c[1] < 0xa0 ? 0 : n;
}

const char *screen_clean(const char *text, char *ret, size_t size)
{
	size_t used = 0;

	while (*text) {
		size_t n = printable(text), take = n ? n : 1;

		if (used + take >= size)
			break;
		if (n)
			memcpy(ret + used, text, n);
		else
			ret[used] = '?';
		used += take;
		text += take;
	}
	ret[used] = '\0';
	return ret;
}

const char *screen_paint(bool colour, const char *code, const char *text, char *ret, size_t size)
{
	if (colour)
		snprintf(ret, size, "\033[%sm%s\033[0m", code, text);
	else
		snprintf(ret, size, "%s", text);
	return ret;
}

unsigned int screen_length(const char *text)
{
	unsigned int n = 0;

	while (*text) {
		if (text[0] == '\033' && text[1] == '[') {
			text += 2;
			while (*text && (*text < '@' || *text > '~'))
				text++;
			if (*text)
				text++;
			continue;
		}
		if (((unsigned char)*text & 0xc0) != 0x80)
			n++;
		text++;
	}
	return n;
}

/* ---- lines ---- */

static unsigned int lines_of(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void copy_lines(const char *text, unsigned int n, FILE *to)
{
	for (; n && *text; n--) {
		size_t length = strcspn(text, "\n") + 1;

		fwrite(text, 1, length, to);
		text += length;
	}
}

void screen_words(const char *text, unsigned int column, unsigned int columns, FILE *to)
{
	unsigned int at = column;
	bool first = true;

	while (*text) {
		size_t n = strcspn(text, " ");
		char word[512];
		unsigned int length;

		snprintf(word, sizeof(word), "%.*s", (int)n, text);
		length = screen_length(word);
		if (!first && columns && at + 1 + length > columns) {
			fprintf(to, "\n%*s", (int)column, "");
			at = column;
		} else if (!first) {
			fputc(' ', to);
			at++;
		}
		fputs(word, to);
		at += length;
		first = false;
		text += n;
		text += strspn(text, " ");
	}
}

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

void screen_fit(char *const part[3], unsigned int rows, FILE *to)
{
	unsigned int bottom = least(lines_of(part[2]), rows - 1);
	unsigned int top = least(lines_of(part[0]), rows - bottom);

	copy_lines(part[0], top, to);
	copy_lines(part[1], rows - bottom - top, to);
	copy_lines(part[2], bottom, to);
}

/* ---- tables ---- */

#define LINE '\n' /* begins a row that has no cells */

/* The cell that *rest begins with, ended in place; moves past it. NULL: there is none left. */
static char *next_cell(char **rest, char separator)
{
	char *cell = *rest, *end;

	if (!cell)
		return NULL;
	end = strchr(cell, separator);
	*rest = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return cell;
}

static void widen(struct table *t, const char *row, char separator)
{
	char *copy = strdup(row), *rest = copy, *cell;
	unsigned int i = 0;

	while ((cell = next_cell(&rest, separator)) && i < TABLE_COLUMNS) {
		unsigned int n = screen_length(cell);

		if (n > t->width[i])
			t->width[i] = n;
		if (++i > t->columns)
			t->columns = i;
	}
	free(copy);
}

void table_head(struct table *t, const char *names)
{
	char *copy = strdup(names), *rest = copy, *name, *head, *at;
	bool any = false;
	unsigned int i = 0;

	head = at = calloc(1, strlen(names) + 1);
	while (head && (name = next_cell(&rest, '|')) && i < TABLE_COLUMNS) {
		t->right[i] = *name == '>';
		name += t->right[i];
		any |= *name;
		at += sprintf(at, "%s%s", i++ ? "\t" : "", name);
	}
	free(copy);
	free(t->head);
	t->head = any ? head : NULL;
	if (any)
		widen(t, head, '\t');
	else
		free(head);
}

/* Takes the row over. */
static void add_row(struct table *t, char *row)
{
	if (t->rows == t->room) {
		size_t room = t->room ? t->room * 2 : 32;
		char **rows = realloc(t->row, room * sizeof(*rows));

		if (!rows) {
			free(row);
			return;
		}
		t->row = rows;
		t->room = room;
	}
	t->row[t->rows++] = row;
}

void table_row(struct table *t, const char *format, ...)
{
	char *row;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&row, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	widen(t, row, '\t');
	add_row(t, row);
}

void table_line(struct table *t, const char *line)
{
	char *row;

	if (asprintf(&row, "%c%s", LINE, line) >= 0)
		add_row(t, row);
}

static unsigned int gap_of(const struct table *t)
{
	return t->gap ? t->gap : 2;
}

unsigned int table_width(const struct table *t)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < t->columns; i++) {
		if (t->width[i])
			sum += t->width[i] + (sum ? gap_of(t) : 0);
	}
	return sum;
}

/* Spaces are written only before something, so that no line ends in them. */
static void print_row(const struct table *t, char *row, FILE *to)
{
	char *rest = row, *cell;
	unsigned int i = 0, spaces = 0;

	while ((cell = next_cell(&rest, '\t')) && i < TABLE_COLUMNS) {
		unsigned int length = screen_length(cell);
		unsigned int pad = t->width[i] > length ? t->width[i] - length : 0;

		if (t->right[i])
			spaces += pad;
		if (*cell) {
			fprintf(to, "%*s%s", (int)spaces, "", cell);
			spaces = 0;
		}
		if (!t->right[i])
			spaces += pad;
		if (t->width[i]) /* a column in which nothing stands takes no room */
			spaces += gap_of(t);
		i++;
	}
}

void table_print(struct table *t, FILE *to)
{
	if (t->head) {
		if (t->dim)
			fputs("\033[" SCREEN_DIM "m", to);
		print_row(t, t->head, to);
		fputs(t->dim ? "\033[0m\n" : "\n", to);
		free(t->head);
		t->head = NULL;
	}
	for (size_t i = 0; i < t->rows; i++) {
		if (t->row[i][0] == LINE)
			fputs(t->row[i] + 1, to);
		else
			print_row(t, t->row[i], to);
		fputc('\n', to);
		free(t->row[i]);
	}
	t->rows = 0;
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->rows; i++)
		free(t->row[i]);
	free(t->row);
	free(t->head);
	memset(t, 0, sizeof(*t));
}
