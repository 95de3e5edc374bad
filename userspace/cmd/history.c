/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * history.c - `history`: the audit trail, the newest entry last
 *
 * The file is read as it is found: a line that a crash tore, or that somebody damaged, is left out
 * and said, and hides no other.
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
#include "userspace/cmd/verbs.h"
#include "userspace/plane/state.h"

#define DEFAULT_LIMIT 20 /* on the screen; JSON has them all */

struct history {
	const char *service; /* NULL: every one */
	size_t limit;	     /* 0: none */
	time_t since;
	json_t *entries; /* the last `limit` that fit */
	size_t earlier;	 /* fit too, but are beyond the limit */
	size_t damaged;
	bool torn; /* the last line has no end */
};

static const char *text_of(const json_t *entry, const char *key)
{
	const char *text = json_string_value(json_object_get(entry, key));

	return text ? text : "";
}

/* −1: it has none that can be read. */
static time_t time_of(const json_t *entry)
{
	struct tm tm = {0};
	const char *end = strptime(text_of(entry, "time"), "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end && !*end ? timegm(&tm) : -1;
}

/* Takes the entry over. */
static void add_entry(struct history *h, json_t *entry)
{
	if ((h->service && strcmp(text_of(entry, "service"), h->service)) ||
	    (h->since && time_of(entry) < h->since)) {
		json_decref(entry);
		return;
	}
	json_array_append_new(h->entries, entry);
	if (h->limit && json_array_size(h->entries) > h->limit) {
		json_array_remove(h->entries, 0);
		h->earlier++;
	}
}

static bool read_entry(struct history *h, const char *line, size_t size)
{
	json_t *entry = json_loadb(line, size, 0, NULL);

	if (!json_is_object(entry)) {
		json_decref(entry);
		return false;
	}
	add_entry(h, entry);
	return true;
}

/* After a line that a crash tore, the next entry stands in the same line. */
static void read_line(struct history *h, const char *line, size_t size)
{
	static const char begin[] = "{\"schema\":";
	const char *again = size > 1 ? memmem(line + 1, size - 1, begin, strlen(begin)) : NULL;

	if (read_entry(h, line, size))
		return;
	if (line[size - 1] != '\n')
		h->torn = true;
	else
		h->damaged++;
	if (again)
		read_entry(h, again, size - (size_t)(again - line));
}

static int read_history(struct history *h, char path[320])
{
	char dir[256], *line = NULL;
	int err = state_dir(dir, sizeof(dir));
	size_t room = 0;
	ssize_t n;
	FILE *f;

	if (err)
		return err;
	snprintf(path, 320, "%s/history.jsonl", dir);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while ((n = getline(&line, &room, f)) > 0)
		read_line(h, line, (size_t)n);
	err = ferror(f) ? -EIO : 0;
	free(line);
	fclose(f);
	return err;
}

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
	const char *reason = text_of(entry, "reason"), *detail = text_of(entry, "detail");
	json_int_t epoch = json_integer_value(json_object_get(entry, "epoch"));
	time_t at = time_of(entry);

	if (at < 0)
		snprintf(when, sizeof(when), "?");
	else
		text_time((uint64_t)at * 1000000000, when);
	change_of(entry, screen_utf8(), change, sizeof(change));
	snprintf(text, sizeof(text), "%s%s%s", reason, *reason && *detail ? "; " : "", detail);
	table_row(t, "%s\t%s\t%s%s%s\t%s\t%lld\t%s", when,
		  screen_clean(text_of(entry, "who"), who, sizeof(who)),
		  screen_clean(text_of(entry, "verb"), verb, sizeof(verb)),
		  with_service ? "\t" : "",
		  with_service ? screen_clean(text_of(entry, "service"), service, sizeof(service))
			       : "",
		  change, (long long)epoch, screen_clean(text, why, sizeof(why)));
}

static bool of_several_services(const json_t *entries)
{
	for (size_t i = 1; i < json_array_size(entries); i++) {
		if (strcmp(text_of(json_array_get(entries, i), "service"),
			   text_of(json_array_get(entries, 0), "service")))
			return true;
	}
	return false;
}

static void print_table(const struct options *o, const struct history *h)
{
	bool several = of_several_services(h->entries);
	struct table t = {.dim = use_colour(o)};

	table_head(&t, several ? "time|who|verb|service|share|>epoch|reason"
			       : "time|who|verb|share|>epoch|reason");
	for (size_t i = 0; i < json_array_size(h->entries); i++)
		add_row(&t, json_array_get(h->entries, i), several);
	if (json_array_size(h->entries))
		table_print(&t, stdout);
	table_free(&t);
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

static int parse_options_of(const struct options *o, int argc, char **argv, struct history *h)
{
	static const char *const flags[] = {"--limit=", "--since=", NULL};
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
		if (what == 0) {
			h->limit = strtoul(value, &end, 10);
			if (*value < '0' || *value > '9' || *end)
				return usage_error("--limit: '%s' is no number (0: no limit)",
						   value);
		} else {
			if (text_parse_duration(value, &since))
				return usage_error("--since: '%s' is no duration like 90s or 2h",
						   value);
			h->since = time(NULL) - (time_t)(since / 1000000000);
		}
	}
	return EXIT_OK;
}

int cmd_history(const struct options *o, int argc, char **argv)
{
	struct history h = {0};
	char path[320] = "history";
	int code = parse_options_of(o, argc, argv, &h), err;

	if (code)
		return code;
	h.entries = json_array();
	if (!h.entries)
		return EXIT_FAILED;
	err = read_history(&h, path);
	if (err) {
		json_decref(h.entries);
		say("%s: %s", path, strerror(-err));
		return EXIT_FAILED;
	}
	if (o->json)
		print_json(json_pack("{s:i, s:O, s:I, s:I, s:b}", "schema", 1, "history", h.entries,
				     "earlier", (json_int_t)h.earlier, "damaged",
				     (json_int_t)h.damaged, "torn", (int)h.torn));
	else
		print_table(o, &h);
	tell(&h);
	json_decref(h.entries);
	return EXIT_OK;
}
