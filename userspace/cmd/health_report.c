/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * health_report.c - what `shiftctl health` found, as a line with perfdata, a table, JSON, metrics
 */
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/metrics.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/health.h"

#define LINE 4096

enum level { OK, WARNING, CRITICAL, UNKNOWN };

static const char *const levels[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

static bool checks_nothing(const struct health_look *k)
{
	for (unsigned int i = 0; i < k->config->n_backends; i++)
		if (k->backend[i].c->given)
			return false;
	return !k->old.c->given;
}

/* To traffic: by the look, and by the breaker in the kernel. */
static bool works(const struct health_arm *a)
{
	return a->state != CTL_HEALTH_DOWN && !(a->seen && a->seen->breaker);
}

/* After commit the old side is stale anyway: nobody is sent there. */
static enum level judge(const struct health_look *k)
{
	enum level level = OK;

	if (checks_nothing(k))
		return UNKNOWN;
	if (k->view.all_down[0] || k->view.all_down[1] ||
	    (k->old.state == CTL_HEALTH_DOWN && !k->committed))
		return CRITICAL;
	if (k->old.state == CTL_HEALTH_DOWN)
		level = WARNING;
	for (unsigned int i = 0; i < k->config->n_backends; i++)
		if (!works(&k->backend[i]))
			level = WARNING;
	return level;
}

static double ms(uint64_t ns)
{
	return (double)(ns / 1000) / 1000;
}

/* ---- the line ---- */

static void __attribute__((format(printf, 3, 4)))
append(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + used, size - used, format, ap);
	va_end(ap);
}

static const char *word(const struct health_arm *a)
{
	if (!a->c->given)
		return "not checked";
	return ctl_health_name(a->state);
}

static void tell_bad(const struct health_arm *a, char *text, size_t size)
{
	char clean[CTL_HEALTH_REASON];

	if (a->state == CTL_HEALTH_DOWN)
		append(text, size, "; %s: %s", a->name,
		       screen_clean(a->reason, clean, sizeof(clean)));
	else if (!works(a))
		append(text, size, "; %s: the data plane found that it fails (breaker)", a->name);
}

static void print_line(const struct health_look *k, enum level level)
{
	char text[LINE] = "", numbers[LINE] = "", label[CONF_NAME + 8], least[16];

	append(text, sizeof(text), "new %u of %u usable, old %s", k->view.usable, k->view.members,
	       word(&k->old));
	tell_bad(&k->old, text, sizeof(text));
	for (unsigned int i = 0; i < k->config->n_backends; i++)
		tell_bad(&k->backend[i], text, sizeof(text));
	if (level == UNKNOWN)
		append(text, sizeof(text), "; the configuration has no health check");
	snprintf(least, sizeof(least), "%u:", k->view.members);
	perfdata_add(numbers, sizeof(numbers), "usable", k->view.usable, NULL, least, "1:", 0,
		     k->view.members);
	for (unsigned int i = 0; i <= k->config->n_backends; i++) {
		const struct health_arm *a = i ? &k->backend[i - 1] : &k->old;

		if (!a->c->given)
			continue;
		snprintf(label, sizeof(label), "%s_time", a->name);
		perfdata_add(numbers, sizeof(numbers), label, a->took_ns ? ms(a->took_ns) : NAN,
			     "ms", NULL, NULL, 0, NAN);
	}
	for (char *s = text; *s; s++)
		if (*s == '|') /* perfdata begins with the first */
			*s = '/';
	printf("SHIFT HEALTH %s - %s | %s\n", levels[level], text, numbers);
}

/* ---- the table ---- */

static const char *in_force(const struct health_look *k, const struct health_arm *a)
{
	const struct checks_seen *s = a->seen;

	if (!s)
		return "-";
	if (s->breaker)
		return "breaker";
	if (s->health == SHIFT_HEALTH_UNKNOWN || k->boot_ns >= s->until)
		return "unknown";
	return s->health == SHIFT_HEALTH_UP ? "up" : "down";
}

static void add_row(struct table *t, const struct health_look *k, const struct health_arm *a,
		    const struct health_place *p, bool colour)
{
	enum ctl_health_state s = p && p->answer.ok ? CTL_HEALTH_UP
				  : p		    ? CTL_HEALTH_DOWN
						    : a->state;
	char at[64] = "-", took[32] = "-", state[64], clean[CTL_HEALTH_REASON];

	if (p)
		ctl_place_text(&p->at, at);
	if (p)
		snprintf(took, sizeof(took), "%.1f", ms(p->answer.took_ns));
	screen_paint(colour && s != CTL_HEALTH_UNKNOWN,
		     s == CTL_HEALTH_UP ? SCREEN_GREEN : SCREEN_RED, ctl_health_name(s), state,
		     sizeof(state));
	table_row(t, "%s\t%s\t%s\t%s\t%s\t%s", a->name, at, state, in_force(k, a), took,
		  screen_clean(p ? p->answer.reason : a->reason, clean, sizeof(clean)));
}

static void print_table(const struct health_look *k, bool colour)
{
	struct table t = {0};

	table_head(&t, "arm|address|now|in force|>ms|what it said");
	for (unsigned int i = 0; i <= k->config->n_backends; i++) {
		const struct health_arm *a = i ? &k->backend[i - 1] : &k->old;

		for (unsigned int n = 0; n < a->n; n++)
			add_row(&t, k, a, &a->place[n], colour);
		if (!a->n)
			add_row(&t, k, a, NULL, colour);
	}
	table_print(&t, stdout);
	table_free(&t);
}

/* ---- JSON ---- */

static json_t *truth(enum ctl_health_state s)
{
	return s == CTL_HEALTH_UNKNOWN ? json_null() : json_boolean(s == CTL_HEALTH_UP);
}

static json_t *arm_json(const struct health_look *k, const struct health_arm *a)
{
	json_t *list = json_array(), *j;
	char clean[CTL_HEALTH_REASON];

	for (unsigned int i = 0; i < a->n; i++) {
		const struct health_place *p = &a->place[i];
		char at[64];

		json_array_append_new(
			list,
			json_pack("{s:s, s:b, s:f, s:s}", "address", ctl_place_text(&p->at, at),
				  "healthy", (int)p->answer.ok, "ms", ms(p->answer.took_ns),
				  "reason", screen_clean(p->answer.reason, clean, sizeof(clean))));
	}
	j = json_pack("{s:s, s:o, s:b, s:s, s:o}", "name", a->name, "healthy", truth(a->state),
		      "checked", (int)a->c->given, "reason",
		      screen_clean(a->reason, clean, sizeof(clean)), "addresses", list);
	if (a->b) {
		json_object_set_new(j, "weight", json_integer(a->b->weight));
		json_object_set_new(j, "breaker",
				    a->seen ? json_boolean(a->seen->breaker) : json_null());
		json_object_set_new(j, "in_force",
				    a->seen ? json_string(in_force(k, a)) : json_null());
	}
	return j;
}

static void print_document(const struct health_look *k, enum level level)
{
	bool down = k->view.members && !k->view.usable;
	json_t *list = json_array(), *arms;

	for (unsigned int i = 0; i < k->config->n_backends; i++)
		json_array_append_new(list, arm_json(k, &k->backend[i]));
	arms = json_pack("{s:o, s:{s:o, s:i, s:i}}", "old", arm_json(k, &k->old), "new", "healthy",
			 down		   ? json_false()
			 : k->view.checked ? json_true()
					   : json_null(),
			 "usable", (int)k->view.usable, "backends", (int)k->view.members);
	print_json(json_pack("{s:i, s:s, s:s, s:b, s:b, s:o, s:o}", "schema", 1, "service",
			     k->config->service, "status", levels[level], "attached",
			     (int)k->attached, "committed", (int)k->committed, "arms", arms,
			     "backends", list));
}

int health_report(const struct health_look *k, const struct options *o)
{
	enum level level = judge(k);

	if (o->json) {
		print_document(k, level);
	} else {
		print_line(k, level);
		print_table(k, use_colour(o));
	}
	return (int)level;
}

int health_report_unknown(const struct options *o, const char *why)
{
	char said[1024];

	if (o->json)
		print_json(json_pack("{s:i, s:s, s:{}, s:[], s:s, s:s}", "schema", 1, "status",
				     "UNKNOWN", "arms", "backends", "error", why, "said",
				     json_said(said, sizeof(said))));
	else
		printf("SHIFT HEALTH UNKNOWN - %s\n", why);
	return UNKNOWN;
}

/* ---- metrics ---- */

static double number(enum ctl_health_state s)
{
	return s == CTL_HEALTH_UNKNOWN ? (double)NAN : s == CTL_HEALTH_UP;
}

int health_textfile(const struct health_look *k, const char *path)
{
	const char *service = k->config->service;
	struct metrics m;

	metrics_begin(&m);
	metrics_family(&m, "shift_health_up", METRICS_GAUGE, "1 when the check passed.");
	metrics_value(&m, number(k->old.state), "service", service, "arm", "old", "backend", "",
		      NULL);
	for (unsigned int i = 0; i < k->config->n_backends; i++)
		metrics_value(&m, number(k->backend[i].state), "service", service, "arm", "new",
			      "backend", k->backend[i].name, NULL);
	metrics_family(&m, "shift_health_seconds", METRICS_GAUGE, "How long the check took.");
	for (unsigned int i = 0; i <= k->config->n_backends; i++) {
		const struct health_arm *a = i ? &k->backend[i - 1] : &k->old;

		metrics_value(&m, a->took_ns ? (double)a->took_ns / 1e9 : (double)NAN, "service",
			      service, "arm", i ? "new" : "old", "backend", i ? a->name : "", NULL);
	}
	metrics_family(&m, "shift_health_usable_backends", METRICS_GAUGE,
		       "Backends that new connections can go to.");
	metrics_value(&m, k->view.usable, "service", service, NULL);
	metrics_family(&m, "shift_health_status", METRICS_GAUGE,
		       "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.");
	metrics_value(&m, judge(k), "service", service, NULL);
	return metrics_write(&m, path);
}
