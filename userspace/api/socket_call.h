/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * socket_call.h - a command that came in by the socket or by HTTP, and its answer
 *
 *   static void pause(void *arg, struct api_call *c)
 *   {
 *           api_answer(c, 0, json_pack("{s:s}", "state", "paused"));
 *   }
 *   static const struct api_verb verbs[] = {{"ramp pause", true, pause}};
 *
 * A call is answered exactly once, at once or later; until then it stays valid, also when whoever
 * asked has gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct json_t;
struct api_call;

#define API_WHO	   64
#define API_NOBODY ((uid_t)-1)

struct api_verb {
	const char *name; /* "ramp start" */
	bool writes;	  /* only for who may change something */
	void (*run)(void *arg, struct api_call *call);
};

struct api_verbs {
	const struct api_verb *verb;
	unsigned int n;
	void *arg;
};

struct api_call {
	const struct api_verb *verb;
	struct json_t *args; /* an object; the call's */
	uid_t uid;	     /* the kernel's word; API_NOBODY: came by HTTP with the token */
	pid_t pid;	     /* 0: HTTP */
	char who[API_WHO];   /* as the client says, printable; else "uid 1000" or "dashboard" */
	/* The door's: */
	void *from; /* NULL: has gone */
	void (*give)(void *from, char *text, size_t size);
};

/* NULL: there is none of that name. */
const struct api_verb *api_verb_find(const struct api_verbs *verbs, const char *name);

/*
 * Reads {"cmd": "ramp start", "args": {…}, "who": "alice"}; the last two may be missing. 0 and
 * *ret; −EINVAL and what is wrong in `why`.
 */
int api_call_parse(const char *text, size_t size, const struct api_verbs *verbs,
		   struct api_call **ret, char *why, size_t why_size);
/* The same with a command that is known already; `text` is the arguments alone, or empty. */
int api_call_make(const struct api_verb *verb, const char *text, size_t size, struct api_call **ret,
		  char *why, size_t why_size);
void api_call_free(struct api_call *call);

/*
 * Ends the call. `code` is the exit code of the command; `body`, an object, is taken over and may
 * be NULL; "schema" and "code" are put into it.
 */
void api_answer(struct api_call *call, int code, struct json_t *body);
/* The same with {"error": "…"}. */
void api_refuse(struct api_call *call, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What an answer looks like on the wire, a line; the caller's to free. NULL: out of memory. */
char *api_answer_text(int code, struct json_t *body, size_t *ret_size);
char *api_error_text(int code, const char *error, size_t *ret_size);
