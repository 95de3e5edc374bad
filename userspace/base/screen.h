/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * screen.h - text for a terminal: what it can show, how wide it is, tables, safe strings
 *
 *   struct table t = {0};
 *
 *   table_head(&t, "client|>age|>bytes");
 *   table_row(&t, "%s\t%s\t%s", client, age, bytes);
 *   table_print(&t, stdout);
 *   table_free(&t);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SCREEN_BOLD   "1"
#define SCREEN_DIM    "2"
#define SCREEN_RED    "31;1"
#define SCREEN_GREEN  "32"
#define SCREEN_YELLOW "33"

/* Does the environment name a UTF-8 locale? The locale itself need not be installed here. */
bool screen_utf8(void);

/* Columns and rows of the terminal on stdout; 0: it is none. */
unsigned int screen_columns(void);
unsigned int screen_rows(void);

/* "812 B", "1.2 KiB", "3.4 GiB". */
const char *screen_bytes(uint64_t n, char ret[16]);

/* A copy in which nothing can steer a terminal: every byte that is no part of a printable UTF-8
 * character is '?'. */
const char *screen_clean(const char *text, char *ret, size_t size);

/* The text in a colour (SCREEN_*), or as it is if `colour` is false. */
const char *screen_paint(bool colour, const char *code, const char *text, char *ret, size_t size);

/* Columns that the text takes: escape sequences take none, a UTF-8 character one. */
unsigned int screen_length(const char *text);

/* The text, its words going on in lines that are indented by `column`, where it begins, as soon as
 * there is no room in `columns` (0: there always is). */
void screen_words(const char *text, unsigned int column, unsigned int columns, FILE *to);

/* Top, middle and bottom of a screen in as many rows: the first line, then the bottom, then the
 * rest of the top, and of the middle what still fits. */
void screen_fit(char *const part[3], unsigned int rows, FILE *to);

#define TABLE_COLUMNS 16

struct table {
	bool right[TABLE_COLUMNS];
	unsigned int width[TABLE_COLUMNS];
	unsigned int columns;
	unsigned int gap; /* spaces between columns, 0: two */
	bool dim;	  /* the head in a faint colour */
	char *head;	  /* NULL: none, or already printed */
	char **row;
	size_t rows, room;
};

/* Names of the columns, '|' between them; '>' before one aligns it to the right. An empty name
 * everywhere: no head is printed. */
void table_head(struct table *t, const char *names);
/* Cells, tabs between them. A row for which there is no memory is left out. */
void table_row(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line between rows, printed as it is. */
void table_line(struct table *t, const char *line);
/* Columns of the screen that the rows so far would take. */
unsigned int table_width(const struct table *t);
/* Prints what was added since the last time; widths are kept, the head is printed once. */
void table_print(struct table *t, FILE *to);
void table_free(struct table *t);
