/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/conf/yaml.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/conf/utf8.h"

/* libfyaml 0.7 exports these two; its header has them from 0.8 on. */
const struct fy_mark *fy_event_start_mark(struct fy_event *event);
const struct fy_mark *fy_token_start_mark(struct fy_token *token);

struct builder {
	struct conf_errors *errors;
	struct yaml_node *root;
	struct yaml_node *open[YAML_DEPTH]; /* the maps and lists around the place reached */
	unsigned int depth;
	unsigned int nodes;
	char *key; /* read, its value not yet; owned */
	struct conf_at key_at;
	struct conf_at last; /* place of the last event that had one */
	bool done;	     /* the first document has ended */
};

/* ---- before the parser ---- */

static int complain_of_character(struct conf_errors *errors, struct conf_at at, size_t n,
				 uint32_t c)
{
	if (!n)
		conf_complain(errors, false, at, NULL, "is no UTF-8: save the file as UTF-8");
	else if (!c)
		conf_complain(errors, false, at, NULL, "a zero byte: this is no text file");
	else if (c == '\r')
		conf_complain(errors, false, at, NULL,
			      "a carriage return: end lines with a line feed");
	else if (c == '\t')
		conf_complain(errors, false, at, NULL, "a tab: indent with spaces");
	else
		conf_complain(errors, false, at, NULL, "the control character U+%04X: remove it",
			      c);
	return -EINVAL;
}

/* The characters; also tabs where YAML wants spaces, and directives, which change what YAML means.
 */
static int check_characters(const char *text, size_t size, struct conf_errors *errors)
{
	struct conf_at at = {1, 1};
	bool indent = true;

	for (size_t i = 0, n; i < size; i += n) {
		uint32_t c = 0;

		n = utf8_next(text + i, size - i, &c);
		if (i == 0 && c == 0xfeff)
			continue;
		if (c == '\r' && i + 1 < size && text[i + 1] == '\n')
			continue;
		if (c == '\n') {
			at.line++;
			at.column = 1;
			indent = true;
			continue;
		}
		if (!n || (c == '\t' ? indent : !utf8_printable(c)))
			return complain_of_character(errors, at, n, c);
		if (c == '%' && at.column == 1) {
			conf_complain(errors, false, at, NULL, "a YAML directive: remove the line");
			return -EINVAL;
		}
		indent = indent && c == ' ';
		at.column++;
	}
	return 0;
}

/* ---- the tree ---- */

void yaml_free(struct yaml_node *node)
{
	while (node) {
		struct yaml_node *next = node->next;

		yaml_free(node->first);
		free(node->key);
		free(node->text);
		free(node);
		node = next;
	}
}

static struct conf_at at_of(const struct fy_mark *mark, struct conf_at otherwise)
{
	if (!mark || mark->line < 0 || mark->column < 0)
		return otherwise;
	return (struct conf_at){(uint32_t)mark->line + 1, (uint32_t)mark->column + 1};
}

static int stop(struct builder *b, struct conf_at at, const char *what)
{
	conf_complain(b->errors, false, at, NULL, "%s", what);
	return -EINVAL;
}

/* Adds a node where the parser is. */
static struct yaml_node *add(struct builder *b, enum yaml_kind kind, struct conf_at at)
{
	struct yaml_node *node, *parent = b->depth ? b->open[b->depth - 1] : NULL;

	if (++b->nodes > YAML_NODES) {
		stop(b, at, "too many values for a configuration");
		return NULL;
	}
	node = calloc(1, sizeof(*node));
	if (!node) {
		stop(b, at, "out of memory");
		return NULL;
	}
	node->kind = kind;
	node->at = at;
	node->key = b->key;
	node->key_at = b->key_at;
	b->key = NULL;
	if (!parent) {
		b->root = node;
		return node;
	}
	if (parent->last)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	parent->n++;
	return node;
}

static bool wants_key(const struct builder *b)
{
	return b->depth && b->open[b->depth - 1]->kind == YAML_IS_MAP && !b->key;
}

static int begin(struct builder *b, enum yaml_kind kind, struct conf_at at)
{
	struct yaml_node *node;

	if (wants_key(b))
		return stop(b, at,
			    "a map or list as a key: put the key in quotes (an address in "
			    "brackets too: \"[2001:db8::10]:443\")");
	if (b->depth == YAML_DEPTH)
		return stop(b, at, "nested too deeply for a configuration");
	node = add(b, kind, at);
	if (!node)
		return -EINVAL;
	b->open[b->depth++] = node;
	return 0;
}

/*
 * At most `size` bytes of a token's text; their number, or −1 without memory. Piece by piece,
 * because of what 0.7 offers fy_token_get_text leaks when a text has many pieces (quotes in
 * quotes), and fy_token_iter_read puts them in the wrong place.
 */
static ssize_t read_token(struct fy_token *token, char *ret, size_t size)
{
	struct fy_token_iter *iter = fy_token_iter_create(token);
	const struct fy_iter_chunk *chunk = NULL;
	size_t used = 0;
	int err = 0;

	if (!iter)
		return -1;
	while (used < size && (chunk = fy_token_iter_chunk_next(iter, chunk, &err))) {
		size_t n = chunk->len < size - used ? chunk->len : size - used;

		memcpy(ret + used, chunk->str, n);
		used += n;
	}
	fy_token_iter_destroy(iter);
	return err ? -1 : (ssize_t)used;
}

/* The value's bytes; NULL with a complaint when no key of ours could mean them. */
static char *copy_text(struct builder *b, struct fy_token *token, struct conf_at at)
{
	char text[YAML_TEXT + 1], *copy;
	ssize_t n = token ? read_token(token, text, sizeof(text)) : 0;
	uint32_t c;

	if (n > YAML_TEXT) {
		conf_complain(b->errors, false, at, NULL, "longer than %d bytes", YAML_TEXT);
		return NULL;
	}
	for (ssize_t i = 0, step; i < n; i += step) {
		step = (ssize_t)utf8_next(text + i, (size_t)(n - i), &c);
		if (!step || !utf8_printable(c)) {
			conf_complain(b->errors, false, at, NULL,
				      "a value with line breaks or control characters");
			return NULL;
		}
	}
	copy = n < 0 ? NULL : strndup(text, (size_t)n);
	if (!copy)
		conf_complain(b->errors, false, at, NULL, "out of memory");
	return copy;
}

static int add_key(struct builder *b, const struct fy_event *event, struct conf_at at)
{
	if (b->open[b->depth - 1]->n == YAML_KEYS)
		return stop(b, at, "too many keys in one map");
	b->key = copy_text(b, event->scalar.value, at);
	b->key_at = at;
	if (!b->key)
		return -EINVAL;
	if (!b->key[0])
		return stop(b, at, "a key without a name");
	return 0;
}

static int add_text(struct builder *b, const struct fy_event *event, struct conf_at at)
{
	enum fy_scalar_style style = FYSS_PLAIN;
	struct yaml_node *node;
	char *text;

	if (event->scalar.value)
		style = fy_token_scalar_style(event->scalar.value);
	text = copy_text(b, event->scalar.value, at);
	/* 0.7 reads four quotes in single quotes as three. */
	if (text && style == FYSS_SINGLE_QUOTED && strstr(text, "''")) {
		conf_complain(b->errors, false, at, NULL,
			      "quotes side by side in single quotes: use double quotes around it");
		free(text);
		text = NULL;
	}
	node = add(b, text ? YAML_IS_TEXT : YAML_IS_BAD, at);
	if (!node) {
		free(text);
		return -EINVAL;
	}
	node->text = text;
	node->quoted = style != FYSS_PLAIN;
	node->empty = text && !text[0] && !node->quoted;
	return 0;
}

/* Anchors and tags are left out: the value itself is still checked. */
static void refuse_decoration(struct builder *b, struct fy_token *anchor, struct fy_token *tag,
			      struct conf_at at)
{
	if (anchor)
		conf_complain(b->errors, false, at_of(fy_token_start_mark(anchor), at), NULL,
			      "a YAML anchor: write the value out where it is meant");
	if (tag)
		conf_complain(b->errors, false, at_of(fy_token_start_mark(tag), at), NULL,
			      "a YAML tag: write the value without it");
}

static int take_alias(struct builder *b, struct conf_at at)
{
	conf_complain(b->errors, false, at, NULL, "a YAML alias: write the value out");
	if (wants_key(b))
		return -EINVAL;
	return add(b, YAML_IS_BAD, at) ? 0 : -EINVAL;
}

/*
 * What is written nowhere, such as an empty value, is placed at its key. A quoted text's mark is
 * behind the quote.
 */
static struct conf_at place_of(const struct builder *b, struct fy_event *event)
{
	struct conf_at at = at_of(fy_event_start_mark(event), b->key ? b->key_at : b->last);
	enum fy_scalar_style style;

	if (event->type != FYET_SCALAR || !event->scalar.value)
		return at;
	style = fy_token_scalar_style(event->scalar.value);
	if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && at.column > 1)
		at.column--;
	return at;
}

static int take(struct builder *b, struct fy_event *event)
{
	struct conf_at at = place_of(b, event);

	b->last = at;
	switch (event->type) {
	case FYET_DOCUMENT_START:
		if (b->done)
			return stop(b, at, "a second YAML document: one file, one document");
		return 0;
	case FYET_DOCUMENT_END:
		b->done = true;
		return 0;
	case FYET_MAPPING_START:
		refuse_decoration(b, event->mapping_start.anchor, event->mapping_start.tag, at);
		return begin(b, YAML_IS_MAP, at);
	case FYET_SEQUENCE_START:
		refuse_decoration(b, event->sequence_start.anchor, event->sequence_start.tag, at);
		return begin(b, YAML_IS_LIST, at);
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		b->depth--;
		return 0;
	case FYET_ALIAS:
		return take_alias(b, at);
	case FYET_SCALAR:
		refuse_decoration(b, event->scalar.anchor, event->scalar.tag, at);
		return wants_key(b) ? add_key(b, event, at) : add_text(b, event, at);
	default:
		return 0;
	}
}

/* ---- the parser ---- */

static void swallow(struct fy_diag *diag, void *user, const char *text, size_t size)
{
	(void)diag;
	(void)user;
	(void)text;
	(void)size;
}

static struct fy_diag *quiet_diag(void)
{
	struct fy_diag_cfg cfg;
	struct fy_diag *diag;

	fy_diag_cfg_default(&cfg);
	cfg.fp = NULL;
	cfg.output_fn = swallow;
	cfg.level = FYET_ERROR;
	diag = fy_diag_create(&cfg);
	if (diag)
		fy_diag_set_collect_errors(diag, true);
	return diag;
}

/* What the parser could not read. It stops at the first, so there is one. */
static void complain_of_syntax(struct builder *b, struct fy_diag *diag)
{
	struct fy_diag_error *e;
	void *at = NULL;

	e = fy_diag_errors_iterate(diag, &at);
	if (!e || e->line < 1 || e->column < 1) {
		conf_complain(b->errors, false, (struct conf_at){1, 1}, NULL, "is no YAML");
		return;
	}
	conf_complain(b->errors, false, (struct conf_at){(uint32_t)e->line, (uint32_t)e->column},
		      NULL, "is no YAML: %s", e->msg ? e->msg : "");
}

static int run(struct builder *b, struct fy_diag *diag, const char *text, size_t size)
{
	struct fy_parse_cfg cfg = {.flags = FYPCF_DEFAULT_VERSION_1_2, .diag = diag};
	struct fy_parser *parser = fy_parser_create(&cfg);
	struct fy_event *event;
	int err = 0;

	if (!parser || fy_parser_set_string(parser, text, size)) {
		fy_parser_destroy(parser);
		return stop(b, (struct conf_at){0, 0}, "out of memory");
	}
	while (!err && (event = fy_parser_parse(parser))) {
		err = take(b, event);
		fy_parser_event_free(parser, event);
	}
	if (!err && fy_parser_get_stream_error(parser)) {
		complain_of_syntax(b, diag);
		err = -EINVAL;
	}
	fy_parser_destroy(parser);
	return err;
}

int yaml_parse(const char *text, size_t size, struct yaml_node **ret, struct conf_errors *errors)
{
	struct builder b = {.errors = errors, .last = {1, 1}};
	struct fy_diag *diag;
	int err = check_characters(text, size, errors);

	if (err)
		return err;
	diag = quiet_diag();
	err = diag ? run(&b, diag, text, size) : stop(&b, (struct conf_at){0, 0}, "out of memory");
	fy_diag_destroy(diag);
	free(b.key);
	if (!err && (!b.root || b.root->empty))
		err = stop(&b, (struct conf_at){1, 1}, "is empty: begin with `service: NAME`");
	if (err) {
		yaml_free(b.root);
		return err;
	}
	*ret = b.root;
	return 0;
}
