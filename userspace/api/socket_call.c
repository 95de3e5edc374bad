/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/api/socket_call.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOADING (JSON_REJECT_DUPLICATES)

const struct api_verb *api_verb_find(const struct api_verbs *verbs, const char *name)
{
	for (unsigned int i = 0; i < verbs->n; i++)
		if (!strcmp(verbs->verb[i].name, name))
			return &verbs->verb[i];
	return NULL;
}

/* A name goes into the audit trail and onto terminals. */
static int take_who(struct api_call *c, const json_t *who, char *why, size_t size)
{
	const char *text = json_string_value(who);

	if (!who)
		return 0;
	if (!text || !text[0] || strlen(text) >= sizeof(c->who)) {
		snprintf(why, size, "who: must be a text of 1..%zu bytes", sizeof(c->who) - 1);
		return -EINVAL;
	}
	for (size_t i = 0; text[i]; i++)
		c->who[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	return 0;
}

static int take_members(struct api_call *c, json_t *j, const struct api_verbs *verbs, char *why,
			size_t size)
{
	const json_t *cmd = json_object_get(j, "cmd"), *args = json_object_get(j, "args");
	const char *key;
	json_t *value;

	if (!json_is_string(cmd)) {
		snprintf(why, size, "a request is {\"cmd\": \"…\", \"args\": {…}}");
		return -EINVAL;
	}
	json_object_foreach (j, key, value) {
		if (strcmp(key, "cmd") != 0 && strcmp(key, "args") != 0 &&
		    strcmp(key, "who") != 0) {
			snprintf(why, size, "%.40s: no such member of a request", key);
			return -EINVAL;
		}
	}
	c->verb = api_verb_find(verbs, json_string_value(cmd));
	if (!c->verb) {
		snprintf(why, size, "no such command: %.60s", json_string_value(cmd));
		return -EINVAL;
	}
	if (args && !json_is_object(args)) {
		snprintf(why, size, "args: must be an object");
		return -EINVAL;
	}
	c->args = args ? json_deep_copy(args) : json_object();
	return take_who(c, json_object_get(j, "who"), why, size);
}

int api_call_parse(const char *text, size_t size, const struct api_verbs *verbs,
		   struct api_call **ret, char *why, size_t why_size)
{
	struct api_call *c;
	json_error_t e;
	json_t *j = json_loadb(text, size, LOADING, &e);
	int err;

	if (!j) {
		snprintf(why, why_size, "no JSON: %s at byte %d", e.text, e.position);
		return -EINVAL;
	}
	c = calloc(1, sizeof(*c));
	err = !c ? -ENOMEM : take_members(c, j, verbs, why, why_size);
	json_decref(j);
	if (!err && !c->args)
		err = -ENOMEM;
	if (err) {
		api_call_free(c);
		if (err == -ENOMEM)
			snprintf(why, why_size, "out of memory");
		return -EINVAL;
	}
	c->uid = API_NOBODY;
	*ret = c;
	return 0;
}

int api_call_make(const struct api_verb *verb, const char *text, size_t size, struct api_call **ret,
		  char *why, size_t why_size)
{
	struct api_call *c;
	json_error_t e;
	json_t *args = size ? json_loadb(text, size, LOADING, &e) : json_object();

	if (!json_is_object(args)) {
		json_decref(args);
		snprintf(why, why_size, "the arguments must be a JSON object");
		return -EINVAL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		json_decref(args);
		snprintf(why, why_size, "out of memory");
		return -EINVAL;
	}
	*c = (struct api_call){.verb = verb, .args = args, .uid = API_NOBODY};
	*ret = c;
	return 0;
}

void api_call_free(struct api_call *call)
{
	if (!call)
		return;
	json_decref(call->args);
	free(call);
}

/* ---- answers ---- */

char *api_answer_text(int code, json_t *body, size_t *ret_size)
{
	char *text = NULL, *line = NULL;

	if (!body)
		body = json_object();
	if (body && !json_object_set_new(body, "schema", json_integer(1)) &&
	    !json_object_set_new(body, "code", json_integer(code)))
		text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	if (text) {
		size_t n = strlen(text);

		line = realloc(text, n + 2);
		if (!line) {
			free(text);
			return NULL;
		}
		line[n] = '\n';
		line[n + 1] = '\0';
		*ret_size = n + 1;
	}
	return line;
}

char *api_error_text(int code, const char *error, size_t *ret_size)
{
	json_t *text = json_string(error);

	/* what a client sent may be cut inside a character */
	if (!text)
		text = json_string("the request cannot be used");
	return api_answer_text(code, json_pack("{s:o}", "error", text), ret_size);
}

void api_answer(struct api_call *call, int code, json_t *body)
{
	size_t size = 0;
	char *text = api_answer_text(code, body, &size);

	if (call->from)
		call->give(call->from, text, size);
	else
		free(text);
	api_call_free(call);
}

void api_refuse(struct api_call *call, int code, const char *format, ...)
{
	char text[512];
	json_t *said;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	said = json_string(text);
	api_answer(call, code,
		   json_pack("{s:o}", "error", said ? said : json_string("it cannot be said")));
}
