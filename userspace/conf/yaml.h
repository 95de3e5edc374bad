/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * yaml.h - the YAML that a configuration needs, as a tree that knows where everything stands
 *
 * Maps, lists and texts: no anchors, aliases, tags, directives or second documents, so what one
 * reads is what there is, and its size is bounded by the file's. Every value is a text; what it
 * means is for the schema to say. The only file that knows libfyaml.
 */
#pragma once

#include "userspace/conf/config.h"

#define YAML_DEPTH 12
#define YAML_NODES 20000
#define YAML_KEYS  256	/* in one map */
#define YAML_TEXT  4096 /* bytes of one value */

enum yaml_kind {
	YAML_IS_TEXT,
	YAML_IS_MAP,
	YAML_IS_LIST,
	YAML_IS_BAD, /* something was wrong with it, and was said */
};

struct yaml_node {
	enum yaml_kind kind;
	bool quoted; /* a text that was not plain */
	bool empty;  /* nothing was written where the text should be */
	struct conf_at at;
	struct conf_at key_at; /* of the key, for what is in a map */
	char *key;	       /* NULL for what is not in a map; owned */
	char *text;	       /* owned */
	unsigned int n;	       /* children */
	struct yaml_node *first, *last, *next;
};

/* 0 and *ret, which may hold BAD nodes, or -EINVAL: no tree could be made. Complains of both. */
int yaml_parse(const char *text, size_t size, struct yaml_node **ret, struct conf_errors *errors);
void yaml_free(struct yaml_node *node);
