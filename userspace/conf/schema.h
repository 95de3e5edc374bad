/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * schema.h - the table of keys and what a row of it may say
 *
 * A row is one place of the file: "backends[].weight" is the key `weight` in each element of the
 * list `backends`. keys.c has them all; schema.c walks a file along them. Private to conf/.
 */
#pragma once

#include "userspace/conf/config.h"
#include "userspace/conf/yaml.h"

#define SCHEMA_PATH 256

/* What a row may be, besides a text of its type. */
#define ROW_MAP	     0x01
#define ROW_LIST     0x02
#define ROW_REQUIRED 0x04  /* its map must have it */
#define ROW_CHOICE   0x08  /* its map must have exactly one of the rows marked so */
#define ROW_EMPTY    0x10  /* the list may be empty */
#define ROW_REFUSED  0x20  /* known, and refused with `want` as the reason */
#define ROW_WHOLE    0x400 /* its reader fills the enclosing struct, not one member at `to` */
/* What an address may be. */
#define ROW_HOST       0x40   /* one host's, reachable from others */
#define ROW_ANY_BITS   0x80   /* a CIDR's host bits may be set: an interface's address */
#define ROW_NEED_PORT  0x100  /* the port may not be left out */
#define ROW_NO_NAME    0x800  /* no DNS name */
#define ROW_LINK_LOCAL 0x2000 /* with ROW_HOST: a link-local one, too, as inside AWS's tunnels */
/* A list of any length up to `max`: at `to` is a pointer to its elements, which the configuration
 * owns. */
#define ROW_GROWS 0x1000

struct field;

/* How a text is read. */
struct type {
	const char *want; /* "a duration such as 30s" */
	/* Stores at ret, which has room for anything; or complains and returns -EINVAL. */
	int (*read)(const struct field *f, void *ret);
};

struct row {
	const char *path;
	const struct type *type; /* NULL: never a text */
	unsigned int flags;
	/* Integers and shares: range. Durations: range in ms. Lists: max elements. Names of an
	 * enum: what the first is stored as. */
	uint64_t min, max;
	const char *def;   /* as it would be written; NULL: none */
	const char *unit;  /* of an integer */
	const char *want;  /* instead of the type's */
	const char *needs; /* "http", "json or prometheus": one of these keys must be beside it */
	const char *const *names; /* NULL-ended, of an enum */
	/* Where it is kept, from the start of the enclosing struct; 0: nowhere (a map: in the same
	 * struct). Elements of a list begin with their struct conf_at. */
	uint32_t to;
	uint32_t size;	   /* of an integer or enum; of a list's element */
	uint32_t count_to; /* of a list: its unsigned int */
	uint32_t at_to;	   /* a struct conf_at for its place */
	uint32_t given_to; /* a bool that is set when the key is there */
};

extern const struct row schema_rows[]; /* ends with a NULL path */

/* One value being read. */
struct field {
	struct conf_errors *errors;
	const struct row *row;
	const struct yaml_node *node;
	const char *path; /* "backends[1].weight" */
};

/* "KEY: must be WANT, is VALUE" at the value. Returns -EINVAL. */
int field_must(const struct field *f, const char *want, ...) __attribute__((format(printf, 2, 3)));
/* "KEY: TEXT" at the value. Returns -EINVAL. */
int field_bad(const struct field *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What the value is, for a message: -3, "a b", a list. Returns ret. */
const char *field_shown(const struct field *f, char ret[64]);

struct conf_list {
	struct conf_list *next;
	char element[] __attribute__((aligned(8)));
};

/* Zeroed memory that lives as long as the configuration; NULL: there is none. */
void *schema_keep(struct config *c, size_t n, size_t size);

/* Fills *c from the tree; complains of all that is wrong with single values. */
void schema_read(const struct yaml_node *root, struct config *c, struct conf_errors *errors);

/* What is left out and depends on the rest of the file: the gates and their bounds (defaults.c). */
void schema_complete(struct config *c, struct conf_errors *errors);

/* Checks of one value against another (across.c). */
void schema_across(const struct config *c, struct conf_errors *errors);
/* The part of it that is about tunnels (tunnels.c). */
void tunnels_across(const struct config *c, struct conf_errors *errors);
