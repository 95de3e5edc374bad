/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * notify_inner.h - what notify.c (queues and sending) and notify_text.c (templates and bodies,
 * pure) share
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/base/loop.h"
#include "userspace/conf/config.h"
#include "userspace/ctl/notify.h"

#define NOTIFY_TEXT	2048 /* a rendered template at most */
#define NOTIFY_TEMPLATE 4096
#define NOTIFY_INCIDENT 64

/* A notice as a target's queue has it: all of it is printable UTF-8. */
struct notify_entry {
	struct notify_entry *next;
	enum notice_event event;
	bool over;
	char service[CONF_NAME], subject[64], reason[512], who[128];
	unsigned int stage, stages;
	uint16_t weight;
	uint64_t time_ns;	/* CLOCK_REALTIME */
	uint64_t queued_ns;	/* loop_now() */
	unsigned int joined;	/* earlier ones of its kind that it stands for */
	char text[NOTIFY_TEXT]; /* the template, filled in */
};

enum notify_severity { NOTIFY_INFO, NOTIFY_WARNING, NOTIFY_ERROR, NOTIFY_CRITICAL };

enum notify_severity notify_severity(enum notice_event event, bool over);
/* Trouble or its end: for targets that want no more. */
bool notify_is_alarm(enum notice_event event, bool over);

/* 0; -EINVAL: an unknown name, braces without an end, no text, no UTF-8, with `why`. */
int notify_template_check(const char *text, char *why, size_t size);
/* Fills e->text. `template` NULL: the shipped one for that kind of target. What does not fit is cut
 * between characters. */
void notify_render(struct notify_entry *e, enum conf_notify_kind kind, const char *template);

/* What a Statuspage target knows: the incident that is open. */
struct notify_incident {
	char id[NOTIFY_INCIDENT]; /* "": none */
	bool ramp;		  /* begun by a ramp, not by an alarm */
};

enum notify_page_act { NOTIFY_PAGE_NOTHING, NOTIFY_PAGE_CREATE, NOTIFY_PAGE_UPDATE };

/* What to do with the incident, and the status it gets: "investigating", "monitoring", "resolved".
 */
enum notify_page_act notify_page(const struct notify_incident *i, const struct notify_entry *e,
				 const char **ret_status);
/* An incident's title, by which one is found again. */
const char *notify_page_title(const struct notify_entry *e, char ret[96]);

/* false: PagerDuty hears nothing of it. */
bool notify_pages(const struct notify_entry *e);

/* JSON, to be freed by the caller, who wipes what has a secret in it; NULL: no memory. */
char *notify_body_slack(const struct notify_entry *e);
char *notify_body_pagerduty(const struct notify_entry *e, const char *routing_key,
			    const char *host);
char *notify_body_statuspage(const struct notify_entry *e, const char *component, bool create,
			     const char *status);
char *notify_body_webhook(const struct notify_entry *e);

/* Is it what a service may call an incident or a page: letters, digits, '-', '_'? It goes into a
 * URL. */
bool notify_id_sound(const char *id);

/* ---- on its way ---- */

#define NOTIFY_SECRET 1024

struct http;
struct http_call;

struct notify_target {
	struct notifier *n;
	struct notify_target *next;
	struct conf_notify conf;
	char *template;		    /* NULL: the shipped one */
	struct notify_entry *first; /* in order; the first may be under way */
	unsigned int waiting;
	struct http_call *call;
	struct loop_timer timer;
	unsigned int failures; /* in a row */
	bool said;	       /* that it fails */
	struct notify_incident incident;
	bool in_doubt; /* an incident may have been begun: look for it */
	bool looking;  /* the request under way is that */
	bool kept;     /* marks what stays, while the configuration changes */
	uint64_t told, lost, joined, lost_said;
};

struct notifier {
	struct loop *loop;
	struct http *http;
	struct notify_target *targets; /* in the configuration's order */
	char dir[CONF_TEXT], host[CONF_HOST];
	struct notifier_options o;
};

/* One line of printable characters. 0; −errno with `why`. The caller wipes `ret` also after a
 * failure. */
int notify_read_secret(const char *file, char ret[NOTIFY_SECRET], char *why, size_t size);
/* The incident that was open when the process ended. */
void notify_find_incident(struct notify_target *t);
/* The first of the queue, to its service; there is one, and none is under way. */
void notify_begin(struct notify_target *t);

void notify_drop_first(struct notify_target *t);
void notify_lose_first(struct notify_target *t);
/* The next turn of this target, if there is anything to tell and nothing under way. */
void notify_start_at(struct notify_target *t, uint64_t at);
