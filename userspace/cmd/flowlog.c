/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog.c - `flowlog`: which clients were behind an address and port of ours, and when
 *
 * The flow log (ctl/flowlog.h) with its rotated files is read from the oldest line on. What ended
 * and was lost by the log is said where it may be the answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/ip.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/complain.h"
#include "userspace/cmd/verbs.h"
#include "userspace/conf/config.h"

#define DEFAULT_LIMIT 100 /* on the screen; JSON has them all */
#define SLACK	      1	  /* seconds: two clocks, and the log's own tick */

struct search {
	char nat[128], client[128]; /* what a line that fits has in it: one of them */
	double at;		    /* seconds of the epoch; NAN: at any time */
	size_t limit, more;
	json_t *flows, *lost;
	bool found; /* a file of the log */
};

/* ---- times ---- */

/* "2026-03-01T14:30:12.5Z", "…+01:00"; without a zone local time, then with a blank, too. */
static bool parse_time(const char *text, double *ret)
{
	struct tm tm = {.tm_isdst = -1};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	double fraction = 0, scale = 0.1;
	int hours, minutes, used = 0;

	if (!end)
		end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	if (!end)
		return false;
	if (*end == '.')
		for (end++; *end >= '0' && *end <= '9'; end++, scale /= 10)
			fraction += scale * (*end - '0');
	if (!*end) {
		*ret = (double)mktime(&tm) + fraction;
		return true;
	}
	*ret = (double)timegm(&tm) + fraction;
	if (!strcmp(end, "Z") || !strcmp(end, "z"))
		return true;
	if ((*end != '+' && *end != '-') ||
	    sscanf(end + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || end[1 + used])
		return false;
	*ret -= (*end == '-' ? -60.0 : 60.0) * (hours * 60 + minutes);
	return true;
}

/* NAN: null. */
static double time_of(const json_t *entry, const char *key)
{
	const char *text = json_string_value(json_object_get(entry, key));
	double t;

	return text && parse_time(text, &t) ? t : NAN;
}

/* Between two times of an entry? One that is not known may be any. */
static bool covers(const json_t *entry, const char *from, const char *to, double at)
{
	return isnan(at) ||
	       (!(time_of(entry, from) - SLACK > at) && !(time_of(entry, to) + SLACK < at));
}

/* ---- the log ---- */

static void keep(struct search *s, const char *line)
{
	json_t *entry = json_loads(line, 0, NULL);

	if (json_object_get(entry, "lost")) {
		if (covers(entry, "from", "to", s->at))
			json_array_append(s->lost, entry);
	} else if (json_object_get(entry, "nat") && covers(entry, "start", "end", s->at)) {
		json_array_append(s->flows, entry);
		if (s->limit && json_array_size(s->flows) > s->limit) {
			json_array_remove(s->flows, 0);
			s->more++;
		}
	}
	json_decref(entry);
}

static int read_file(struct search *s, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int err;

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	s->found = true;
	while (getline(&line, &room, f) > 0)
		if (strstr(line, s->nat) || strstr(line, s->client) || strstr(line, "\"lost\":"))
			keep(s, line);
	err = ferror(f) ? -EIO : 0;
	free(line);
	fclose(f);
	return err;
}

static int read_log(struct search *s, const char *path, uint32_t keeps)
{
	char name[CONF_TEXT + 16];
	int err = 0;

	for (uint32_t n = keeps + 1; n-- && !err;) {
		if (n)
			snprintf(name, sizeof(name), "%s.%u", path, n);
		else
			snprintf(name, sizeof(name), "%s", path);
		err = read_file(s, name);
	}
	if (err || !s->found)
		say("%s: %s", name, strerror(err ? -err : ENOENT));
	return err || !s->found ? EXIT_FAILED : EXIT_OK;
}

/* ---- the answer ---- */

static void ends_text(const json_t *e, const char *address, const char *port, char ret[80])
{
	uint32_t ip[4] = {0};
	uint16_t none;
	const char *text = json_string_value(json_object_get(e, address));

	if (!text || ip_parse(text, ip, &none))
		snprintf(ret, 80, "?");
	else
		text_address(ip, htons((uint16_t)json_integer_value(json_object_get(e, port))),
			     ret);
}

static const char *text_of(const json_t *e, const char *key, char ret[40])
{
	const char *text = json_string_value(json_object_get(e, key));

	return screen_clean(text ? text : "?", ret, 40);
}

static const char *number_of(const json_t *e, const char *key, char ret[32])
{
	return text_count((uint64_t)json_integer_value(json_object_get(e, key)), ret);
}

static void print_table(const struct options *o, const struct search *s)
{
	struct table t = {.dim = use_colour(o)};
	char client[80], nat[80], up[32], down[32], start[40], end[40], backend[40], ended[40];
	const json_t *e;
	size_t i;

	table_head(&t, "start|end|client|nat|backend|>up|>down|ended");
	json_array_foreach (s->flows, i, e) {
		ends_text(e, "client", "client_port", client);
		ends_text(e, "nat", "nat_port", nat);
		table_row(&t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", text_of(e, "start", start),
			  text_of(e, "end", end), client, nat, text_of(e, "backend", backend),
			  number_of(e, "bytes_up", up), number_of(e, "bytes_down", down),
			  text_of(e, "ended", ended));
	}
	if (json_array_size(s->flows))
		table_print(&t, stdout);
	table_free(&t);
}

static void tell(const struct search *s)
{
	json_int_t lost = 0;
	const json_t *e;
	char count[32];
	size_t i;

	fflush(stdout);
	json_array_foreach (s->lost, i, e)
		lost += json_integer_value(json_object_get(e, "lost"));
	if (!json_array_size(s->flows))
		say("none that ended; those that live: shiftctl conns");
	if (s->more)
		say("%s earlier; --limit 0 shows all", text_count(s->more, count));
	if (lost)
		say("%s flows that ended then were lost by the log, any of which may be missing "
		    "here",
		    text_count((uint64_t)lost, count));
}

/* ---- the question ---- */

static int look_for(struct search *s, const char *text)
{
	uint32_t address[4];
	uint16_t port;
	char a[64];

	if (ip_parse(text, address, &port))
		return usage_error("'%s' is no address, with or without a port", text);
	text_address(address, 0, a);
	if (port) {
		snprintf(s->nat, sizeof(s->nat), "\"nat\":\"%s\",\"nat_port\":%u,", a,
			 (unsigned int)ntohs(port));
		snprintf(s->client, sizeof(s->client), "\"client\":\"%s\",\"client_port\":%u,", a,
			 (unsigned int)ntohs(port));
	} else {
		snprintf(s->nat, sizeof(s->nat), "\"nat\":\"%s\",", a);
		snprintf(s->client, sizeof(s->client), "\"client\":\"%s\",", a);
	}
	return EXIT_OK;
}

static int parse(int argc, char **argv, struct search *s, const char **ret_file)
{
	static const char *const flags[] = {"--at=", "--limit=", "--file=", NULL};
	int at = 1, what, code = EXIT_OK;
	const char *value;
	char *end;

	while (!code && (what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -3)
			return EXIT_USAGE;
		if (what == -1 && s->nat[0])
			code = usage_error("flowlog takes one address, not '%s' too", value);
		else if (what == -1)
			code = look_for(s, value);
		else if (what == 0 && !parse_time(value, &s->at))
			code = usage_error("--at: '%s' is no time such as 2026-03-01T14:30:12Z",
					   value);
		else if (what == 2)
			*ret_file = value;
		if (what != 1)
			continue;
		s->limit = strtoul(value, &end, 10);
		if (*value < '0' || *value > '9' || *end)
			code = usage_error("--limit: '%s' is no number (0: no limit)", value);
	}
	if (!code && !s->nat[0])
		code = usage_error("flowlog: of which address? ADDRESS or ADDRESS:PORT");
	return code;
}

/* Where the configuration has it. */
static int configured(const struct options *o, struct search *s)
{
	struct conf_errors errors = {0};
	struct config *c = NULL;
	int code;

	if (conf_load(o->config, &c, &errors)) {
		complain_of_file(&errors);
		code = EXIT_USAGE;
	} else if (!c->flow_log.given) {
		say("%s has no `flow_log`: name a file with --file", o->config);
		code = EXIT_FAILED;
	} else {
		code = read_log(s, c->flow_log.file, c->flow_log.keep);
	}
	conf_errors_free(&errors);
	conf_free(c);
	return code;
}

int cmd_flowlog(const struct options *o, int argc, char **argv)
{
	struct search s = {.at = NAN, .limit = o->json ? 0 : DEFAULT_LIMIT};
	const char *file = NULL;
	int code = parse(argc, argv, &s, &file);

	if (code)
		return code;
	s.flows = json_array();
	s.lost = json_array();
	code = file ? read_log(&s, file, 0) : configured(o, &s);
	if (!code && o->json)
		print_json(json_pack("{s:i, s:O, s:I, s:O}", "schema", 1, "flows", s.flows,
				     "earlier", (json_int_t)s.more, "lost", s.lost));
	else if (!code)
		print_table(o, &s);
	if (!code)
		tell(&s);
	json_decref(s.flows);
	json_decref(s.lost);
	return code;
}
