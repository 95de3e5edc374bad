/* SPDX-License-Identifier: GPL-2.0-only */
/* examples/shift.yaml is the reference of the configuration: is it all of it, and is it true? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/conf/schema.h"
#include "userspace/ctl/notify_inner.h"

#define MAX_TEXT 65536

static char text[MAX_TEXT]; /* of the example */

static size_t read_file(const char *name, char ret[MAX_TEXT])
{
	FILE *f = fopen(name, "re");
	size_t n;

	assert_non_null(f);
	n = fread(ret, 1, MAX_TEXT - 1, f);
	assert_true(feof(f));
	fclose(f);
	ret[n] = '\0';
	return n;
}

static bool of_name(char c)
{
	return islower((unsigned char)c) || isdigit((unsigned char)c) || c == '_';
}

/* "backends[].weight": "weight" */
static const char *last_of(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot ? dot + 1 : path;
}

/* Where the section of the key at the beginning of `path` begins and ends; it may be commented out.
 */
static bool section_of(const char *path, const char **ret, const char **ret_end)
{
	size_t n = strcspn(path, ".[");
	const char *at = text;

	for (; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
		const char *key = at + 2 * !strncmp(at, "# ", 2);

		if (!strncmp(key, path, n) && key[n] == ':')
			break;
	}
	if (!at)
		return false;
	*ret = at;
	for (at = strchr(at, '\n'); at && at[1]; at = strchr(at + 1, '\n'))
		if (of_name(at[1]))
			break;
	*ret_end = at ? at : text + strlen(text);
	return true;
}

static bool has_key(const char *from, const char *end, const char *key)
{
	size_t n = strlen(key);

	for (const char *at = from; (at = strstr(at, key)) && at < end; at++)
		if (at[n] == ':' && (at == text || !of_name(at[-1])))
			return true;
	return false;
}

static void every_key_is_in_the_example(void **state)
{
	unsigned int missing = 0, keys = 0;

	(void)state;
	for (const struct row *row = schema_rows; row->path; row++) {
		const char *from = NULL, *end = NULL;

		if (row->flags & ROW_REFUSED || row->path[strlen(row->path) - 1] == ']')
			continue;
		keys++;
		if (!strncmp(row->path, "old.health.", 11)) /* as a backend's: it says so */
			continue;
		if (section_of(row->path, &from, &end) && has_key(from, end, last_of(row->path)))
			continue;
		print_error("%s is not in examples/shift.yaml\n", row->path);
		missing++;
	}
	assert_int_equal(missing, 0);
	assert_true(keys > 150);
}

/* ---- what is commented out ---- */

/* A line such as "    # mtu: 1420": where its "# " is, or NULL. */
static char *commented_key(char *line)
{
	char *at = line + strspn(line, " "), *key = at + 2;

	if (strncmp(at, "# ", 2) || !of_name(*key))
		return NULL;
	while (of_name(*key))
		key++;
	return key[0] == ':' && key[1] == ' ' ? at : NULL;
}

/* It stands for another key, or beside one: no other complaint is right. */
static bool expected(const char *complaint)
{
	return strstr(complaint, "can have only one") || strstr(complaint, "is there twice") ||
	       strstr(complaint, "needs ");
}

static unsigned int complaints_of(const char *changed, const char *line)
{
	struct conf_errors errors = {0};
	struct config *c = NULL;
	unsigned int bad = 0;

	conf_parse("shift.yaml", changed, strlen(changed), &c, &errors);
	for (unsigned int i = 0; i < errors.n; i++) {
		if (errors.error[i].warning || expected(errors.error[i].text))
			continue;
		print_error("%.60s: %s\n", line, errors.error[i].text);
		bad++;
	}
	conf_errors_free(&errors);
	conf_free(c);
	return bad;
}

static void what_is_commented_out_is_right_too(void **state)
{
	unsigned int lines = 0, bad = 0;
	char *changed = malloc(MAX_TEXT);

	(void)state;
	assert_non_null(changed);
	for (char *line = text; *line; line = strchr(line, '\n') + 1) {
		char *at = commented_key(line);

		if (!at)
			continue;
		lines++;
		snprintf(changed, MAX_TEXT, "%.*s%s", (int)(at - text), text, at + 2);
		bad += complaints_of(changed, line);
	}
	free(changed);
	assert_int_equal(bad, 0);
	assert_true(lines > 20);
}

/* ---- defaults ---- */

static bool is_default(const char *line, const char *key, size_t n, const char *value, size_t size)
{
	for (const struct row *row = schema_rows; row->path; row++) {
		const char *last = last_of(row->path), *from = NULL, *end = NULL;

		if (!row->def || strncmp(last, key, n) || last[n])
			continue;
		if (!section_of(row->path, &from, &end) || line < from || line >= end)
			continue;
		if (!strncmp(row->def, value, size) && !row->def[size])
			return true;
	}
	return false;
}

/* "rise: 2     # good answers until it is up; default" */
static void what_is_said_to_be_the_default_is_it(void **state)
{
	unsigned int lines = 0, bad = 0;

	(void)state;
	for (char *line = text; *line; line = strchr(line, '\n') + 1) {
		const char *key = line + strspn(line, " "), *end = strchr(line, '\n'), *value;
		size_t n = 0, size;

		while (of_name(key[n]))
			n++;
		if (!n || key[n] != ':' || key[n + 1] != ' ')
			continue;
		if (strncmp(end - 9, "; default", 9) && strncmp(end - 9, "# default", 9))
			continue;
		value = key + n + 2;
		size = strcspn(value, " \n");
		if (value[0] == '"') {
			value++;
			size -= 2;
		}
		if (size && value[size - 1] == '%')
			size--;
		lines++;
		if (is_default(line, key, n, value, size))
			continue;
		if (!strncmp(value, "https://", 8)) /* the provider's own, in the program */
			continue;
		print_error("%.*s\n", (int)(end - line), line);
		bad++;
	}
	assert_int_equal(bad, 0);
	assert_true(lines > 20);
}

static void the_template_is_one(void **state)
{
	char template[MAX_TEXT], why[256] = "";

	(void)state;
	read_file("examples/notify.txt", template);
	if (notify_template_check(template, why, sizeof(why)))
		fail_msg("%s", why);
}

static int read_example(void **state)
{
	(void)state;
	return read_file("examples/shift.yaml", text) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_in_the_example),
		cmocka_unit_test(what_is_commented_out_is_right_too),
		cmocka_unit_test(what_is_said_to_be_the_default_is_it),
		cmocka_unit_test(the_template_is_one),
	};

	return cmocka_run_group_tests(tests, read_example, NULL);
}
