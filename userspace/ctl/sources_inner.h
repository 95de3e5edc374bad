/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sources_inner.h - what the parts of sources.h share: one gate's source, and how answers are read
 */
#pragma once

#include "userspace/base/loop.h"
#include "userspace/base/run.h"
#include "userspace/ctl/sources.h"
#include "userspace/net/http.h"

#define SOURCE_MAX_JSON	  (256u << 10)
#define SOURCE_MAX_DEPTH  64
#define SOURCE_MAX_OUTPUT 4096 /* of a program that is to print one number */
#define SOURCE_WHY	  192

struct source {
	struct sources *s;
	unsigned int place;
	const struct conf_gate *conf;
	struct gate *gate;
	struct loop_timer due;
	uint64_t asked; /* 0: nothing is under way */
	struct http_call *call;
	unsigned int turn;   /* which of the addresses of `via` is asked: one that answers stays */
	unsigned int tried;  /* in this look, */
	unsigned int places; /* of so many */
	struct run *run;
	struct run_user user;
	int user_err;
	struct sources_count count;
};

struct sources {
	struct loop *loop;
	struct sources_world world;
	struct http *http;
	struct runner *runner;
	const struct config *config;
	struct source source[CONF_MAX_GATES];
	unsigned int n;
	struct loop_timer look_due;
	int look_err;
	struct window window;
};

/* The look that is under way ends so; nothing of the source is to be used after these. */
void source_number(struct source *x, double value);
void source_nothing(struct source *x, const char *why);

/* Begin one. On failure they have ended it. */
void source_ask_http(struct source *x);
void source_ask_program(struct source *x);
/* Ends what is under way, unheard. */
void source_cancel(struct source *x);

/*
 * The one number in what was answered. 0; −EBADMSG and `why`, which has nothing in it but printable
 * ASCII, whatever was answered.
 */
int source_read_member(const char *body, size_t size, const char *member, double *ret,
		       char why[SOURCE_WHY]);
int source_read_prometheus(const char *body, size_t size, double *ret, char why[SOURCE_WHY]);
int source_read_output(const char *text, size_t size, double *ret, char why[SOURCE_WHY]);
/* Prometheus' own words for what is wrong with a query, or -ENOENT. */
int source_read_complaint(const char *body, size_t size, char why[SOURCE_WHY]);
/* Another's text, printable and no longer than there is room. Returns ret. */
const char *source_clean(const char *text, size_t n, char *ret, size_t size);
/* The URL of an instant query below `base`. −ENAMETOOLONG. */
int source_query_url(const char *base, const char *query, char *ret, size_t size);
