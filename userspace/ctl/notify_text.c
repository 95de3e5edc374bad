/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * notify_text.c - what notices say: the shipped texts, templates, and each service's form. Pure.
 *
 * Sources: Slack, "Formatting text for app surfaces" (& < > are control characters: a reason must
 * not be able to address a channel); Statuspage API v1, incidents; PagerDuty Events API v2.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "userspace/base/text.h"
#include "userspace/conf/utf8.h"
#include "userspace/ctl/notify_inner.h"

#define SUMMARY 1024 /* PagerDuty's, in characters; ours in bytes, which is less */

/* What an event is. A key is what opens and closes an alert; NULL: it does neither. */
struct kind {
	const char *name;
	enum notify_severity severity;
	const char *key;
	bool closes;		 /* also without `over` */
	const char *text, *over; /* for those who run the service */
	const char *public,
		*public_over; /* for its users, without names and reasons; NULL: nothing */
};

static const struct kind kinds[NOTICES] = {
	[NOTICE_RAMP_STARTED] =
		{"ramp-started", NOTIFY_INFO, "ramp", true,
		 "{{service}}: the ramp began, stage {{stage}} of {{stages}}: "
		 "{{weight}}% to the new side, by {{who}}. {{reason}}",
		 NULL,
		 "We are moving {{service}} to new infrastructure. No interruption is "
		 "expected.",
		 NULL},
	[NOTICE_STAGE] =
		{"stage", NOTIFY_INFO, "ramp", true,
		 "{{service}}: stage {{stage}} of {{stages}}, {{weight}}% to the new side. "
		 "{{reason}}",
		 NULL, "{{weight}}% of the traffic is on the new infrastructure.", NULL},
	[NOTICE_PAUSED] = {"paused", NOTIFY_WARNING, "ramp", false,
			   "{{service}}: the ramp is paused at {{weight}}% by {{who}}: {{reason}}",
			   NULL,
			   "The move is paused at {{weight}}% while we look at a measurement.",
			   NULL},
	[NOTICE_BACK] = {"back", NOTIFY_WARNING, "ramp", false,
			 "{{service}}: one stage back, to {{weight}}%, by {{who}}: {{reason}}",
			 NULL, "We went back to {{weight}}% while we look at a measurement.", NULL},
	[NOTICE_ROLLED_BACK] =
		{"rolled-back", NOTIFY_CRITICAL, "ramp", false,
		 "{{service}}: ROLLED BACK by {{who}}: {{reason}}",
		 "{{service}}: the rollback is checked: the old side serves. "
		 "{{reason}}",
		 "The move was rolled back: the previous infrastructure serves all new "
		 "connections. We are checking it.",
		 "The rollback is complete and checked. Service is restored."},
	[NOTICE_DONE] = {"done", NOTIFY_INFO, "ramp", true,
			 "{{service}}: the ramp is done at {{weight}}%. {{reason}}", NULL,
			 "The move is complete. All systems are operational.", NULL},
	[NOTICE_ALARM] = {"alarm", NOTIFY_CRITICAL, "alarm", false,
			  "{{service}}: ALARM {{subject}} at {{weight}}%: {{reason}}",
			  "{{service}}: the alarm {{subject}} is over. {{reason}}",
			  "We are investigating a problem with {{service}}.",
			  "The problem with {{service}} is over."},
	[NOTICE_COMMIT] =
		{"commit", NOTIFY_INFO, NULL, false,
		 "{{service}}: committed by {{who}}: the new side holds the data from now "
		 "on. {{reason}}",
		 NULL, "The new infrastructure holds the data from now on.", NULL},
	[NOTICE_TUNNEL] = {"tunnel", NOTIFY_ERROR, "tunnel", false,
			   "{{service}}: tunnel {{subject}}: {{reason}}",
			   "{{service}}: tunnel {{subject}} is well again. {{reason}}", NULL, NULL},
	[NOTICE_MONITOR] = {"monitor", NOTIFY_INFO, NULL, false,
			    "{{service}}: at {{weight}}%: {{reason}}", NULL, NULL, NULL},
	[NOTICE_DNS] = {"dns", NOTIFY_INFO, NULL, false, "{{service}}: DNS: {{reason}}", NULL, NULL,
			NULL},
};

const char *notice_event_name(enum notice_event event)
{
	return kinds[event].name;
}

enum notify_severity notify_severity(enum notice_event event, bool over)
{
	return over ? NOTIFY_INFO : kinds[event].severity;
}

bool notify_is_alarm(enum notice_event event, bool over)
{
	return kinds[event].severity != NOTIFY_INFO || over;
}

bool notify_id_sound(const char *id)
{
	size_t n = strlen(id);

	return n && n < NOTIFY_INCIDENT &&
	       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == n;
}

/* ---- templates ---- */

static const char *const names[] = {"service", "event", "stage",   "stages", "weight",
				    "reason",  "who",	"subject", "time",   NULL};

/* The value of names[i]. */
static const char *value(const struct notify_entry *e, unsigned int i, char ret[32])
{
	switch (i) {
	case 0:
		return e->service;
	case 1:
		return notice_event_name(e->event);
	case 2:
	case 3:
		snprintf(ret, 32, "%u", i == 2 ? e->stage : e->stages);
		return ret;
	case 4:
		return text_weight(e->weight, ret);
	case 5:
		return e->reason;
	case 6:
		return e->who;
	case 7:
		return e->subject;
	default:
		return text_time(e->time_ns, ret);
	}
}

/* Which name is in the braces that `at` begins with, and behind them; -EINVAL. */
static int name_at(const char *at, const char **ret_behind)
{
	const char *end = strstr(at + 2, "}}");
	size_t size;

	if (!end)
		return -EINVAL;
	for (at += 2; *at == ' '; at++)
		;
	for (size = (size_t)(end - at); size && at[size - 1] == ' '; size--)
		;
	*ret_behind = end + 2;
	for (int i = 0; names[i]; i++)
		if (size == strlen(names[i]) && !strncmp(at, names[i], size))
			return i;
	return -EINVAL;
}

int notify_template_check(const char *text, char *why, size_t size)
{
	size_t left = strlen(text), n;
	uint32_t c;

	if (!left) {
		snprintf(why, size, "is empty");
		return -EINVAL;
	}
	for (const char *at = text; left; at += n, left -= n) {
		n = utf8_next(at, left, &c);
		if (!n || (c < ' ' && c != '\n' && c != '\t')) {
			snprintf(why, size, "is no text in UTF-8");
			return -EINVAL;
		}
	}
	for (const char *at = text; (at = strstr(at, "{{"));) {
		const char *behind = NULL;

		if (name_at(at, &behind) < 0) {
			if (behind)
				snprintf(why, size,
					 "there is no name %.*s: there are service, event, "
					 "stage, stages, weight, reason, who, subject, time",
					 (int)(behind - at < 60 ? behind - at : 60), at);
			else
				snprintf(why, size, "{{ without }}");
			return -EINVAL;
		}
		at = behind;
	}
	return 0;
}

/* Where e->text is written; what does not fit whole is left out, and all that comes after it. */
struct out {
	char *text;
	size_t n;
	bool full;
};

static void put(struct out *o, const char *text, size_t n)
{
	if (o->full || o->n + n + 4 > NOTIFY_TEXT) {
		o->full = true;
		return;
	}
	memcpy(o->text + o->n, text, n);
	o->n += n;
}

static void put_value(struct out *o, const char *text, bool slack)
{
	uint32_t c;
	size_t n;

	for (; *text; text += n) {
		n = utf8_next(text, strlen(text), &c);
		n = n ? n : 1;
		if (slack && c == '&')
			put(o, "&amp;", 5);
		else if (slack && c == '<')
			put(o, "&lt;", 4);
		else if (slack && c == '>')
			put(o, "&gt;", 4);
		else
			put(o, text, n);
	}
}

static const char *shipped(const struct notify_entry *e, enum conf_notify_kind kind)
{
	const struct kind *k = &kinds[e->event];

	if (kind == CONF_STATUSPAGE) {
		const char *text = e->over && k->public_over ? k->public_over : k->public;

		return text ? text : "";
	}
	return e->over && k->over ? k->over : k->text;
}

void notify_render(struct notify_entry *e, enum conf_notify_kind kind, const char *template)
{
	const char *at = template ? template : shipped(e, kind), *brace, *behind;
	struct out o = {.text = e->text};
	uint32_t c;
	size_t n;

	while (*at) {
		int name;

		brace = strncmp(at, "{{", 2) ? NULL : at;
		name = brace ? name_at(at, &behind) : -EINVAL;
		if (name >= 0) {
			char buffer[32];

			put_value(&o, value(e, (unsigned int)name, buffer), kind == CONF_SLACK);
			at = behind;
			continue;
		}
		n = utf8_next(at, strlen(at), &c);
		put(&o, at, n ? n : 1);
		at += n ? n : 1;
	}
	while (o.n && (o.text[o.n - 1] == ' ' || o.text[o.n - 1] == '\n'))
		o.n--;
	memcpy(o.text + o.n, o.full ? "..." : "", o.full ? 4 : 1);
}

/* ---- Statuspage ---- */

enum notify_page_act notify_page(const struct notify_incident *i, const struct notify_entry *e,
				 const char **ret_status)
{
	bool open = i->id[0];

	*ret_status = "monitoring";
	switch (e->event) {
	case NOTICE_PAUSED:
	case NOTICE_BACK:
		*ret_status = "investigating";
		break;
	case NOTICE_DONE:
		*ret_status = "resolved";
		return open ? NOTIFY_PAGE_UPDATE : NOTIFY_PAGE_NOTHING;
	case NOTICE_ROLLED_BACK:
		if (!e->over)
			break;
		*ret_status = "resolved";
		return open ? NOTIFY_PAGE_UPDATE : NOTIFY_PAGE_NOTHING;
	case NOTICE_ALARM:
		/* No incident of the public's, and to remember one takes the disk that hangs. */
		if (!strcmp(e->subject, NOTICE_DISK))
			return NOTIFY_PAGE_NOTHING;
		*ret_status = !e->over ? "investigating" : i->ramp ? "monitoring" : "resolved";
		return open	 ? NOTIFY_PAGE_UPDATE
		       : e->over ? NOTIFY_PAGE_NOTHING
				 : NOTIFY_PAGE_CREATE;
	case NOTICE_COMMIT:
		return open ? NOTIFY_PAGE_UPDATE : NOTIFY_PAGE_NOTHING;
	case NOTICE_TUNNEL:
	case NOTICE_DNS:
	case NOTICE_MONITOR:
		return NOTIFY_PAGE_NOTHING;
	default:
		break;
	}
	return open ? NOTIFY_PAGE_UPDATE : NOTIFY_PAGE_CREATE;
}

const char *notify_page_title(const struct notify_entry *e, char ret[96])
{
	snprintf(ret, 96, e->event == NOTICE_ALARM ? "Problem with %s" : "Migration of %s",
		 e->service);
	return ret;
}

/* ---- bodies ---- */

static char *dump(json_t *j)
{
	char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

	json_decref(j);
	return text;
}

static const char *with_joined(const struct notify_entry *e, char ret[NOTIFY_TEXT + 64])
{
	if (!e->joined)
		return e->text;
	snprintf(ret, NOTIFY_TEXT + 64, "%s (and %u earlier of its kind)", e->text, e->joined);
	return ret;
}

char *notify_body_slack(const struct notify_entry *e)
{
	char text[NOTIFY_TEXT + 64];

	return dump(json_pack("{ss}", "text", with_joined(e, text)));
}

char *notify_body_webhook(const struct notify_entry *e)
{
	static const char *const severities[] = {"info", "warning", "error", "critical"};
	char text[NOTIFY_TEXT + 64], when[32];
	time_t s = (time_t)(e->time_ns / 1000000000u);
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return dump(json_pack("{si ss sb ss ss ss si si sf ss ss ss si ss}", "schema", 1, "event",
			      notice_event_name(e->event), "over", (int)e->over, "severity",
			      severities[notify_severity(e->event, e->over)], "service", e->service,
			      "subject", e->subject, "stage", (int)e->stage, "stages",
			      (int)e->stages, "weight", e->weight / 100.0, "reason", e->reason,
			      "who", e->who, "time", when, "joined", (int)e->joined, "text",
			      with_joined(e, text)));
}

bool notify_pages(const struct notify_entry *e)
{
	return kinds[e->event].key != NULL;
}

char *notify_body_pagerduty(const struct notify_entry *e, const char *routing_key, const char *host)
{
	static const char *const severities[] = {"info", "warning", "error", "critical"};
	const struct kind *k = &kinds[e->event];
	char text[NOTIFY_TEXT + 64], key[160], summary[SUMMARY];
	json_t *j;

	snprintf(key, sizeof(key), "shift/%s/%s%s%s", e->service, k->key, e->subject[0] ? "/" : "",
		 e->subject);
	if (e->over || k->closes)
		return dump(json_pack("{ss ss ss}", "routing_key", routing_key, "event_action",
				      "resolve", "dedup_key", key));
	if (!e->joined)
		snprintf(text, sizeof(text), "%s", e->text);
	else
		with_joined(e, text);
	for (char *c = text; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	utf8_show(text, summary, sizeof(summary));
	j = json_pack("{ss ss ss ss s{ss ss ss ss ss s{sf si ss ss}}}", "routing_key", routing_key,
		      "event_action", "trigger", "dedup_key", key, "client", "shiftctl", "payload",
		      "summary", summary, "source", host, "severity", severities[k->severity],
		      "component", e->service, "class", k->name, "custom_details", "weight",
		      e->weight / 100.0, "stage", (int)e->stage, "reason", e->reason, "who",
		      e->who);
	return dump(j);
}

char *notify_body_statuspage(const struct notify_entry *e, const char *component, bool create,
			     const char *status)
{
	char text[NOTIFY_TEXT + 64], title[96];
	const char *health =
		strcmp(status, "investigating") ? "operational" : "degraded_performance";
	json_t *i = json_pack("{ss ss}", "status", status, "body", with_joined(e, text)), *all;

	if (i && create)
		json_object_set_new(i, "name", json_string(notify_page_title(e, title)));
	if (i && component[0]) {
		json_object_set_new(i, "component_ids", json_pack("[s]", component));
		json_object_set_new(i, "components", json_pack("{ss}", component, health));
	}
	all = i ? json_pack("{so}", "incident", i) : NULL;
	return dump(all);
}
