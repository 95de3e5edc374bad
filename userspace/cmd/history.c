/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * history.c - `history`: what changed control and what the ramp decided, the newest entry last
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/history.h"
#include "userspace/cmd/verbs.h"

#define DEFAULT_LIMIT 20 /* on the screen; JSON has them all */
#define FOLLOW_MS     500

static const char *share_of(const json_t *entry, const char *key, char ret[16])
{
	double value = json_number_value(json_object_get(entry, key));

	if (value < 0 || value > 100)
		return "?";
	return text_weight((uint32_t)(value * 100 + 0.5), ret);
}

static void change_of(const json_t *entry, bool utf8, char *ret, size_t size)
{
	char a[16], b[16];
	const char *from = share_of(entry, "from", a), *to = share_of(entry, "to", b);

	if (strcmp(from, to))
		snprintf(ret, size, "%s%s%s%%", from, utf8 ? "→" : "->", to);
	else
		snprintf(ret, size, "%s%%", to);
}

static void add_row(struct table *t, const json_t *entry, bool with_service)
{
	char when[32], who[64], verb[64], service[64], change[48], why[256], text[300];
	const char *reason = history_text(entry, "reason"), *detail = history_text(entry, "detail");
	json_int_t epoch = json_integer_value(json_object_get(entry, "epoch"));
	time_t at = history_time(entry);

	if (at < 0)
		snprintf(when, sizeof(when), "?");
	else
		text_time((uint64_t)at * 1000000000, when);
	change_of(entry, screen_utf8(), change, sizeof(change));
	snprintf(text, sizeof(text), "%s%s%s", reason, *reason && *detail ? "; " : "", detail);
	table_row(t, "%s\t%s\t%s%s%s\t%s\t%lld\t%s", when,
		  screen_clean(history_text(entry, "who"), who, sizeof(who)),
		  screen_clean(history_text(entry, "verb"), verb, sizeof(verb)),
		  with_service ? "\t" : "",
		  with_service
			  ? screen_clean(history_text(entry, "service"), service, sizeof(service))
			  : "",
		  change, (long long)epoch, screen_clean(text, why, sizeof(why)));
}

/* Below its entry: each gate, what it said and why. */
static void add_gates(struct table *t, const json_t *gates)
{
	char line[420], name[64], verdict[32], why[256];
	const json_t *g;
	size_t i;

	json_array_foreach ((json_t *)gates, i, g) {
		snprintf(line, sizeof(line), "    %-16s %-12s %s",
			 screen_clean(history_text(g, "name"), name, sizeof(name)),
			 screen_clean(history_text(g, "verdict"), verdict, sizeof(verdict)),
			 screen_clean(history_text(g, "why"), why, sizeof(why)));
		table_line(t, line);
	}
}

static bool of_several_services(const json_t *entries)
{
	for (size_t i = 1; i < json_array_size(entries); i++) {
		if (strcmp(history_text(json_array_get(entries, i), "service"),
			   history_text(json_array_get(entries, 0), "service")))
			return true;
	}
	return false;
}

/* With --follow the columns are those of the first time. */
static void print_table(struct table *t, const struct history *h, bool several)
{
	const json_t *entry;
	size_t i;

	json_array_foreach (h->entries, i, entry) {
		add_row(t, entry, several);
		add_gates(t, json_object_get(entry, "gates"));
	}
	if (json_array_size(h->entries))
		table_print(t, stdout);
}

/* What the reader must know besides, on stderr. */
static void tell(const struct history *h)
{
	char a[32];

	fflush(stdout);
	if (!json_array_size(h->entries))
		say("no change is recorded%s", h->since || h->service ? " that fits" : "");
	if (h->earlier)
		say("%s earlier; --limit 0 shows all", text_count(h->earlier, a));
	if (h->damaged)
		say("%zu damaged %s left out", h->damaged, h->damaged == 1 ? "line" : "lines");
	if (h->torn)
		say("the last line was cut short while it was written and is left out");
}

static int parse_options_of(const struct options *o, int argc, char **argv, struct history *h,
			    bool *ret_follow)
{
	static const char *const flags[] = {"--limit=", "--since=", "--evidence", "--follow", NULL};
	const char *value;
	uint64_t since;
	int at = 1, what;
	char *end;

	h->service = o->service;
	h->limit = o->json ? 0 : DEFAULT_LIMIT;
	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			return usage_error("history takes no argument, not '%s'", value);
		if (what == -3)
			return EXIT_USAGE;
		h->evidence |= what == 2;
		*ret_follow |= what == 3;
		if (what == 0) {
			h->limit = strtoul(value, &end, 10);
			if (*value < '0' || *value > '9' || *end)
				return usage_error("--limit: '%s' is no number (0: no limit)",
						   value);
		} else if (what == 1) {
			if (text_parse_duration(value, &since))
				return usage_error("--since: '%s' is no duration like 90s or 2h",
						   value);
			h->since = time(NULL) - (time_t)(since / 1000000000);
		}
	}
	return EXIT_OK;
}

static void print_lines(const struct history *h)
{
	const json_t *entry;
	size_t i;

	json_array_foreach (h->entries, i, entry) {
		json_dumpf(entry, stdout, JSON_COMPACT | JSON_REAL_PRECISION(13));
		putchar('\n');
	}
}

/* Until whoever reads it goes, or it is ended. */
static int follow(struct history *h, struct table *t, bool json, bool several, char path[320])
{
	const struct timespec pause = {0, FOLLOW_MS * 1000000};
	int err = 0;

	h->limit = 0;
	do {
		if (json)
			print_lines(h);
		else
			print_table(t, h, several);
		if (fflush(stdout))
			return 0;
		nanosleep(&pause, NULL);
		err = history_read(h, path);
	} while (!err);
	return err;
}

static int show(const struct options *o, struct history *h, bool follows, char path[320])
{
	struct table t = {.dim = use_colour(o)};
	bool several = !h->service && (follows || of_several_services(h->entries));
	int err = 0;

	table_head(&t, several ? "time|who|verb|service|share|>epoch|reason"
			       : "time|who|verb|share|>epoch|reason");
	if (follows)
		err = follow(h, &t, o->json, several, path);
	else
		print_table(&t, h, several);
	table_free(&t);
	return err;
}

int cmd_history(const struct options *o, int argc, char **argv)
{
	static struct history h;
	char path[320] = "history";
	bool follows = false;
	int code = parse_options_of(o, argc, argv, &h, &follows), err;

	if (code)
		return code;
	err = history_read(&h, path);
	if (!err && o->json && !follows)
		print_json(json_pack("{s:i, s:O, s:I, s:I, s:b}", "schema", 1, "history", h.entries,
				     "earlier", (json_int_t)h.earlier, "damaged",
				     (json_int_t)h.damaged, "torn", (int)h.torn));
	else if (!err)
		err = show(o, &h, follows, path);
	if (!err && !follows)
		tell(&h);
	history_free(&h);
	if (!err)
		return EXIT_OK;
	say("%s: %s", path, strerror(-err));
	return EXIT_FAILED;
}
