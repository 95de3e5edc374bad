/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sources_read.c - the one number in what a gate's source answered
 *
 * Pure. Everything here was written by somebody else: it is bounded before it is parsed (size by
 * the reader, depth here, because the parser goes down by recursion), and what of it gets into a
 * reason is made printable, because that ends on a terminal.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "userspace/ctl/sources_inner.h"

#define LONGEST_NUMBER 64
#define SHOWN	       48 /* characters of an answer */

const char *source_clean(const char *text, size_t n, char *ret, size_t size)
{
	size_t k = 0;

	while (k < n && k + 1 < size && text[k]) {
		ret[k] = text[k];
		if (!isascii(text[k]) || !isprint(text[k]))
			ret[k] = isspace((unsigned char)text[k]) ? ' ' : '?';
		k++;
	}
	ret[k] = '\0';
	return ret;
}

static int bad(char why[SOURCE_WHY], const char *format, ...) __attribute__((format(printf, 2, 3)));

static int bad(char why[SOURCE_WHY], const char *format, ...)
{
	char text[SOURCE_WHY];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	source_clean(text, strlen(text), why, SOURCE_WHY);
	return -EBADMSG;
}

/* ---- numbers ---- */

static int usable(double value, const char *what, double *ret, char why[SOURCE_WHY])
{
	if (isnan(value))
		return bad(why, "%s is NaN: there is nothing to count", what);
	if (!isfinite(value))
		return bad(why, "%s is infinite", what);
	if (value < 0)
		return bad(why, "%s is negative (%g)", what, value);
	*ret = value + 0.0; /* no −0 */
	return 0;
}

/* [+-]digits[.digits][e[+-]digits], nothing before or behind. */
static bool is_decimal(const char *s)
{
	size_t whole, part = 0, power;

	s += *s == '+' || *s == '-';
	whole = strspn(s, "0123456789");
	s += whole;
	if (*s == '.') {
		part = strspn(s + 1, "0123456789");
		s += 1 + part;
	}
	if (!whole && !part)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '+' || *s == '-';
		power = strspn(s, "0123456789");
		if (!power)
			return false;
		s += power;
	}
	return !*s;
}

static bool is_word(const char *s, const char *word)
{
	s += *s == '+' || *s == '-';
	return !strcasecmp(s, word);
}

static int read_text(const char *text, size_t n, const char *what, double *ret,
		     char why[SOURCE_WHY])
{
	char number[LONGEST_NUMBER + 1], shown[SHOWN];

	source_clean(text, n, shown, sizeof(shown));
	if (!n)
		return bad(why, "%s is empty", what);
	if (n > LONGEST_NUMBER || memchr(text, 0, n))
		return bad(why, "%s is no number: \"%s\"", what, shown);
	memcpy(number, text, n);
	number[n] = '\0';
	if (is_word(number, "nan"))
		return usable((double)NAN, what, ret, why);
	if (is_word(number, "inf") || is_word(number, "infinity"))
		return usable((double)INFINITY, what, ret, why);
	if (!is_decimal(number))
		return bad(why, "%s is no number: \"%s\"", what, shown);
	return usable(strtod(number, NULL), what, ret, why);
}

static int read_value(const json_t *v, const char *what, double *ret, char why[SOURCE_WHY])
{
	static const char *const kinds[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a text",
		[JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
		[JSON_FALSE] = "false",	     [JSON_NULL] = "null"};

	if (json_is_number(v))
		return usable(json_number_value(v), what, ret, why);
	if (json_is_string(v))
		return read_text(json_string_value(v), json_string_length(v), what, ret, why);
	return bad(why, "%s is %s, not a number", what, kinds[json_typeof(v)]);
}

int source_read_output(const char *text, size_t size, double *ret, char why[SOURCE_WHY])
{
	while (size && isspace((unsigned char)*text)) {
		text++;
		size--;
	}
	while (size && isspace((unsigned char)text[size - 1]))
		size--;
	if (!size)
		return bad(why, "it printed nothing");
	return read_text(text, size, "what it printed", ret, why);
}

/* ---- JSON ---- */

/* How deep the brackets go; what is no JSON is for the parser to find. */
static unsigned int depth_of(const char *s, size_t n)
{
	unsigned int depth = 0, most = 0;
	bool text = false;

	for (size_t i = 0; i < n; i++) {
		if (text) {
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				text = false;
		} else if (s[i] == '"') {
			text = true;
		} else if (s[i] == '{' || s[i] == '[') {
			most = ++depth > most ? depth : most;
		} else if ((s[i] == '}' || s[i] == ']') && depth) {
			depth--;
		}
	}
	return most;
}

static json_t *parse(const char *body, size_t size, char why[SOURCE_WHY])
{
	json_error_t error;
	char shown[SHOWN];
	json_t *root;

	if (!size) {
		bad(why, "the answer is empty");
		return NULL;
	}
	if (depth_of(body, size) > SOURCE_MAX_DEPTH) {
		bad(why, "the answer is nested deeper than %d", SOURCE_MAX_DEPTH);
		return NULL;
	}
	root = json_loadb(body, size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
	if (!root)
		bad(why, "the answer is no JSON: %.60s, line %d: \"%s\"", error.text, error.line,
		    source_clean(body, size, shown, sizeof(shown)));
	return root;
}

/* The member `name` of an object, or that element of a list. */
static const json_t *inside(const json_t *v, const char *name)
{
	char *end;

	if (json_is_object(v))
		return json_object_get(v, name);
	if (!json_is_array(v) || !isdigit((unsigned char)*name) || strlen(name) > 9)
		return NULL;
	v = json_array_get(v, strtoul(name, &end, 10));
	return *end ? NULL : v;
}

static const json_t *find(const json_t *v, const char *member, char why[SOURCE_WHY])
{
	char name[CONF_HOST];

	for (const char *s = member; v && *s;) {
		size_t n = strcspn(s, ".");

		snprintf(name, sizeof(name), "%.*s", (int)n, s);
		v = inside(v, name);
		s += n + (s[n] == '.');
		if (!v)
			bad(why, "the answer has no %.*s", (int)(s - member - (*s != '\0')),
			    member);
	}
	return v;
}

int source_read_member(const char *body, size_t size, const char *member, double *ret,
		       char why[SOURCE_WHY])
{
	json_t *root = parse(body, size, why);
	const json_t *v = root ? find(root, member, why) : NULL;
	int err = v ? read_value(v, member, ret, why) : -EBADMSG;

	json_decref(root);
	return err;
}

/* ---- Prometheus ---- */

/* [time, "value"] */
static int read_sample(const json_t *pair, double *ret, char why[SOURCE_WHY])
{
	const json_t *v = json_array_get(pair, 1);

	if (json_array_size(pair) != 2 || !json_is_string(v))
		return bad(why, "the query gave no number");
	return read_value(v, "the query's result", ret, why);
}

static int read_result(const json_t *root, double *ret, char why[SOURCE_WHY])
{
	const json_t *data = json_object_get(root, "data");
	const char *type = json_string_value(json_object_get(data, "resultType"));
	const json_t *result = json_object_get(data, "result");

	if (!type || !json_is_array(result))
		return bad(why, "the answer is not Prometheus'");
	if (!strcmp(type, "scalar"))
		return read_sample(result, ret, why);
	if (strcmp(type, "vector") != 0)
		return bad(why, "the query gives a %.30s: it must give one number", type);
	if (!json_array_size(result))
		return bad(why, "the query matches nothing");
	if (json_array_size(result) > 1)
		return bad(why, "the query gives %zu series: aggregate them to one, as with sum()",
			   json_array_size(result));
	return read_sample(json_object_get(json_array_get(result, 0), "value"), ret, why);
}

static int complaint(const json_t *root, char why[SOURCE_WHY])
{
	const char *text = json_string_value(json_object_get(root, "error"));

	if (!text)
		return -ENOENT;
	bad(why, "Prometheus: %.120s", text);
	return 0;
}

int source_read_prometheus(const char *body, size_t size, double *ret, char why[SOURCE_WHY])
{
	json_t *root = parse(body, size, why);
	const char *status = json_string_value(json_object_get(root, "status"));
	int err = -EBADMSG;

	if (!root)
		return err;
	if (status && !strcmp(status, "success"))
		err = read_result(root, ret, why);
	else if (complaint(root, why))
		bad(why, "the answer is not Prometheus'");
	json_decref(root);
	return err;
}

int source_read_complaint(const char *body, size_t size, char why[SOURCE_WHY])
{
	char ignored[SOURCE_WHY];
	json_t *root = parse(body, size, ignored);
	int err = root ? complaint(root, why) : -ENOENT;

	json_decref(root);
	return err;
}

static bool ends_with(const char *text, size_t n, const char *end)
{
	size_t k = strlen(end);

	return n >= k && !memcmp(text + n - k, end, k);
}

int source_query_url(const char *base, const char *query, char *ret, size_t size)
{
	static const char hex[] = "0123456789ABCDEF", path[] = "/api/v1/query";
	size_t n = strcspn(base, "?#"), used;
	const char *more = base[n] == '?' ? base + n + 1 : "";
	int written;

	while (n && base[n - 1] == '/')
		n--;
	written = snprintf(ret, size, "%.*s%s?%.*s%squery=", (int)n, base,
			   ends_with(base, n, path) ? "" : path, (int)strcspn(more, "#"), more,
			   *more && *more != '#' ? "&" : "");
	if (written < 0 || (size_t)written >= size)
		return -ENAMETOOLONG;
	used = (size_t)written;
	for (; *query; query++) {
		unsigned char c = (unsigned char)*query;

		if (used + 4 > size)
			return -ENAMETOOLONG;
		if (isascii(c) && (isalnum(c) || strchr("-._~", c))) {
			ret[used++] = (char)c;
			continue;
		}
		ret[used++] = '%';
		ret[used++] = hex[c >> 4];
		ret[used++] = hex[c & 15];
	}
	ret[used] = '\0';
	return 0;
}
