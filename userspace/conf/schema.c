/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * schema.c - how a configuration is read
 *
 * yaml.c makes a tree of the file, and nothing of it means anything yet. This file walks the tree
 * along the table of keys.c: for each value it finds the row, and the row says what the value may
 * be, how it is read (types.c, address.c, gate.c), what it is when absent and where in struct
 * config it is kept. across.c then holds values against each other. What needs the host or the
 * network is none of this: see plan.h.
 *
 * It goes on after an error, so that one run shows them all: a value that could not be read keeps
 * its default, a list keeps an empty place for an element that could not, and the checks across
 * values pass over such places. So an error is said once, and indexes in messages are those of the
 * file.
 *
 * Weakness: a syntax error hides all others, since libfyaml stops there.
 */
#include "userspace/conf/schema.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/conf/utf8.h"

struct walk {
	struct config *config;
	struct conf_errors *errors;
	char path[SCHEMA_PATH]; /* in the file: "backends[1].weight" */
};

/* Room for what is read but kept nowhere. */
union scratch {
	struct conf_backend backend;
	struct conf_listen listen;
	struct conf_gate gate;
	struct conf_peer peer;
	struct conf_url url;
	struct conf_server server;
	struct conf_bound bound;
	char text[YAML_TEXT + 1];
};

static void walk_value(struct walk *w, const struct row *row, const struct yaml_node *n,
		       char *base);

/* ---- messages ---- */

const char *field_shown(const struct field *f, char ret[64])
{
	char text[56];
	const char *c;

	switch (f->node->kind) {
	case YAML_IS_MAP:
		return strcpy(ret, "a map");
	case YAML_IS_LIST:
		return strcpy(ret, "a list");
	default:
		break;
	}
	if (f->node->empty)
		return strcpy(ret, "empty");
	utf8_show(f->node->text, text, sizeof(text));
	for (c = text; *c && !isspace((unsigned char)*c) && *c != '"'; c++)
		;
	snprintf(ret, 64, *c || !text[0] ? "\"%s\"" : "%s", text);
	return ret;
}

int field_bad(const struct field *f, const char *format, ...)
{
	char text[CONF_TEXT];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	conf_complain(f->errors, false, f->node->at, f->path, "%s", text);
	return -EINVAL;
}

int field_must(const struct field *f, const char *want, ...)
{
	char text[CONF_TEXT], shown[64];
	va_list ap;

	va_start(ap, want);
	vsnprintf(text, sizeof(text), want, ap);
	va_end(ap);
	return field_bad(f, "must be %s, is %s", text, field_shown(f, shown));
}

static const char *want_of(const struct row *row)
{
	if (row->want)
		return row->want;
	if (row->type)
		return row->type->want;
	return row->flags & ROW_LIST ? "a list" : "a map";
}

/* ---- the table ---- */

/* The row of `key` inside the rows of `parent`; the root is "". */
static const struct row *find_row(const char *parent, const char *key)
{
	char path[SCHEMA_PATH];

	/* A key with a dot or bracket would be taken for a path. */
	if (key[0] != '[' && strcspn(key, ".[]") != strlen(key))
		return NULL;
	snprintf(path, sizeof(path), "%s%s%s", parent, parent[0] && key[0] != '[' ? "." : "", key);
	for (const struct row *row = schema_rows; row->path; row++)
		if (!strcmp(row->path, path))
			return row;
	return NULL;
}

/* The last name of a row that is directly inside `parent`, else NULL. */
static const char *name_inside(const struct row *row, const char *parent)
{
	size_t n = strlen(parent);
	const char *name = row->path + n;

	if (strncmp(row->path, parent, n))
		return NULL;
	if (n && *name++ != '.')
		return NULL;
	return strpbrk(name, ".[") ? NULL : name;
}

/* ---- keys that nobody knows ---- */

/* How many single letters to insert, drop, change or swap (Damerau, adjacent swaps only). */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int d[3][40], n = (unsigned int)strlen(b);

	if (strlen(a) > 38 || n > 38)
		return 99;
	for (unsigned int j = 0; j <= n; j++)
		d[1][j] = j;
	for (unsigned int i = 1; a[i - 1]; i++) {
		unsigned int *now = d[(i + 1) % 3], *last = d[i % 3], *before = d[(i + 2) % 3];

		now[0] = i;
		for (unsigned int j = 1; j <= n; j++) {
			unsigned int best = last[j - 1] + (a[i - 1] != b[j - 1]);

			best = last[j] + 1 < best ? last[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
	}
	return d[(strlen(a) + 1) % 3][n];
}

static const char *nearest(const char *parent, const char *key)
{
	unsigned int least = strlen(key) < 4 ? 2 : 3; /* below this it is likely a slip */
	const char *best = NULL;

	for (const struct row *row = schema_rows; row->path; row++) {
		const char *name = name_inside(row, parent);
		size_t n = strlen(key);
		unsigned int d;

		if (!name || row->flags & ROW_REFUSED)
			continue;
		if (!strncmp(name, key, n) && !strcmp(name + n, "_file"))
			return name; /* a secret itself instead of its file */
		d = distance(key, name);
		if (d < least) {
			least = d;
			best = name;
		}
	}
	return best;
}

static void list_names(const char *parent, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (const struct row *row = schema_rows; row->path && used < size; row++) {
		const char *name = name_inside(row, parent);

		if (!name || row->flags & ROW_REFUSED)
			continue;
		used += (size_t)snprintf(ret + used, size - used, "%s%s", used ? ", " : "", name);
	}
}

static void complain_unknown(struct walk *w, const char *parent, const struct yaml_node *n)
{
	const char *near = nearest(parent, n->key);
	char known[CONF_TEXT / 2], key[40];
	size_t length = near ? strlen(near) : 0;

	utf8_show(n->key, key, sizeof(key));
	if (near && length > 5 && !strcmp(near + length - 5, "_file") &&
	    strlen(n->key) == length - 5) {
		conf_complain(w->errors, false, n->key_at, w->path,
			      "secrets are never in this file: write %s: and a path", near);
	} else if (near) {
		conf_complain(w->errors, false, n->key_at, w->path,
			      "there is no such key: did you mean %s?", near);
	} else {
		list_names(parent, known, sizeof(known));
		conf_complain(w->errors, false, n->key_at, w->path,
			      "there is no such key: there are %s", known);
	}
}

/* ---- values ---- */

static void read_text(struct walk *w, const struct row *row, const struct yaml_node *n, char *ret)
{
	const struct field f = {w->errors, row, n, w->path};
	union scratch nowhere;

	if (n->empty && !row->names)
		field_must(&f, "%s", want_of(row));
	else
		row->type->read(&f, ret ? ret : (char *)&nowhere);
}

/* Defaults of the rows inside `parent`, and of the maps inside it: what is absent has them too. */
static void set_defaults(struct walk *w, const char *parent, char *base)
{
	for (const struct row *row = schema_rows; row->path; row++) {
		struct yaml_node n = {.kind = YAML_IS_TEXT};
		union scratch text;

		if (!name_inside(row, parent))
			continue;
		if (row->flags & ROW_MAP)
			set_defaults(w, row->path, base + row->to);
		if (!row->def || !row->to)
			continue;
		snprintf(text.text, sizeof(text.text), "%s", row->def);
		n.text = text.text;
		read_text(w, row, &n, base + row->to);
	}
}

static const struct yaml_node *find_key(const struct yaml_node *map, const char *key)
{
	for (const struct yaml_node *n = map->first; n; n = n->next)
		if (!strcmp(n->key, key))
			return n;
	return NULL;
}

static void complain_missing(struct walk *w, const struct yaml_node *map, const struct row *row,
			     const char *name)
{
	size_t length = strlen(w->path);

	snprintf(w->path + length, sizeof(w->path) - length, "%s%s", length ? "." : "", name);
	conf_complain(w->errors, false, map->at, w->path, "is missing: must be %s", want_of(row));
	w->path[length] = '\0';
}

/* Is any of the keys in "json or prometheus" there? */
static bool has_any(const struct yaml_node *map, const char *keys)
{
	const char *other = strstr(keys, " or ");
	char key[32];

	if (!other)
		return find_key(map, keys);
	snprintf(key, sizeof(key), "%.*s", (int)(other - keys), keys);
	return find_key(map, key) || find_key(map, other + 4);
}

/* What one key's presence asks of the map. */
static void check_row(struct walk *w, const struct yaml_node *map, const struct row *row,
		      const char *name)
{
	const struct yaml_node *n = find_key(map, name);
	size_t length = strlen(w->path);

	if (!n && row->flags & ROW_REQUIRED)
		complain_missing(w, map, row, name);
	if (!n || !row->needs || has_any(map, row->needs))
		return;
	snprintf(w->path + length, sizeof(w->path) - length, "%s%s", length ? "." : "", name);
	conf_complain(w->errors, false, n->key_at, w->path, "needs %s beside it", row->needs);
	w->path[length] = '\0';
}

/* What the map must have: required keys, one of several. */
static void check_presence(struct walk *w, const char *parent, const struct yaml_node *map)
{
	const char *path = w->path[0] ? w->path : NULL;
	unsigned int choices = 0, chosen = 0;
	char names[128] = "";
	size_t used = 0;

	for (const struct row *row = schema_rows; row->path; row++) {
		const char *name = name_inside(row, parent);

		if (!name)
			continue;
		check_row(w, map, row, name);
		if (!(row->flags & ROW_CHOICE))
			continue;
		choices++;
		chosen += find_key(map, name) != NULL;
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
					 used ? " or " : "", name);
	}
	if (choices && !chosen)
		conf_complain(w->errors, false, map->at, path, "needs %s", names);
	else if (chosen > 1)
		conf_complain(w->errors, false, map->at, path, "can have only one: %s", names);
}

static void walk_key(struct walk *w, const char *parent, const struct yaml_node *map,
		     const struct yaml_node *n, char *base)
{
	const struct yaml_node *first = find_key(map, n->key);
	const struct row *row = find_row(parent, n->key);

	if (first != n)
		conf_complain(w->errors, false, n->key_at, w->path,
			      "is there twice: line %u has it already", first->key_at.line);
	else if (!row)
		complain_unknown(w, parent, n);
	else if (row->flags & ROW_REFUSED)
		conf_complain(w->errors, false, n->key_at, w->path, "%s", row->want);
	else
		walk_value(w, row, n, base);
}

static void walk_map(struct walk *w, const char *parent, const struct yaml_node *map, char *base)
{
	size_t length = strlen(w->path);
	char key[40];

	for (const struct yaml_node *n = map->first; n; n = n->next) {
		utf8_show(n->key, key, sizeof(key));
		snprintf(w->path + length, sizeof(w->path) - length, "%s%s", length ? "." : "",
			 key);
		walk_key(w, parent, map, n, base);
		w->path[length] = '\0';
	}
	check_presence(w, parent, map);
}

static void walk_list(struct walk *w, const struct row *row, const struct yaml_node *list,
		      char *base)
{
	const struct field f = {w->errors, row, list, w->path};
	const struct row *each = find_row(row->path, "[]");
	size_t length = strlen(w->path);
	char *elements = NULL;
	unsigned int i = 0;

	if (!list->n && !(row->flags & ROW_EMPTY))
		field_bad(&f, "must not be empty: it is %s", want_of(row));
	if (list->n > row->max)
		field_bad(&f, "must have at most %u entries, has %u", (unsigned int)row->max,
			  list->n);
	if (row->flags & ROW_GROWS && base) {
		elements = schema_keep(w->config, list->n, row->size);
		if (!elements && list->n) {
			field_bad(&f, "%s", strerror(ENOMEM));
			return;
		}
		memcpy(base + row->to, &elements, sizeof(elements));
	} else if (row->to && base) {
		elements = base + row->to;
	}
	for (const struct yaml_node *n = list->first; n && i < row->max; n = n->next, i++) {
		char *element = elements ? elements + (size_t)i * row->size : NULL;

		if (element) {
			memcpy(element, &n->at, sizeof(n->at));
			set_defaults(w, each->path, element);
		}
		snprintf(w->path + length, sizeof(w->path) - length, "[%u]", i);
		walk_value(w, each, n, element);
		w->path[length] = '\0';
	}
	if (row->to && base)
		memcpy(base + row->count_to, &i, sizeof(i));
}

/* A single value where a list may stand: a list of one. */
static void walk_one(struct walk *w, const struct row *row, const struct yaml_node *n, char *base)
{
	const struct row *each = find_row(row->path, "[]");
	char *element = base ? base + row->to : NULL;
	const unsigned int one = 1;

	if (element) {
		memcpy(element, &n->at, sizeof(n->at));
		memcpy(base + row->count_to, &one, sizeof(one));
	}
	walk_value(w, each, n, element);
}

static void walk_value(struct walk *w, const struct row *row, const struct yaml_node *n, char *base)
{
	const struct field f = {w->errors, row, n, w->path};
	/* An element of a list is at its base, everything else at its offset from it. */
	bool kept = row->to || row->flags & ROW_WHOLE || row->path[strlen(row->path) - 1] == ']';

	if (base && row->at_to)
		memcpy(base + row->at_to, &n->at, sizeof(n->at));
	if (base && row->given_to)
		*(bool *)(base + row->given_to) = true;
	if (n->kind == YAML_IS_BAD)
		return;
	if (n->kind == YAML_IS_MAP && row->flags & ROW_MAP)
		walk_map(w, row->path, n, base ? base + row->to : NULL);
	else if (n->kind == YAML_IS_LIST && row->flags & ROW_LIST)
		walk_list(w, row, n, base);
	else if (n->kind == YAML_IS_TEXT && row->type && row->flags & ROW_LIST && row->count_to)
		walk_one(w, row, n, base);
	else if (n->kind == YAML_IS_TEXT && row->type)
		read_text(w, row, n, base && kept ? base + row->to : NULL);
	else
		field_must(&f, "%s", want_of(row));
}

void *schema_keep(struct config *c, size_t n, size_t size)
{
	struct conf_list *l = n ? calloc(1, sizeof(*l) + n * size) : NULL;

	if (!l)
		return NULL;
	l->next = c->lists;
	c->lists = l;
	return l->element;
}

void schema_read(const struct yaml_node *root, struct config *c, struct conf_errors *errors)
{
	struct walk w = {.config = c, .errors = errors};

	set_defaults(&w, "", (char *)c);
	if (root->kind != YAML_IS_MAP) {
		conf_complain(errors, false, root->at, NULL,
			      "must be keys with values, such as `service: NAME`");
		return;
	}
	walk_map(&w, "", root, (char *)c);
}
