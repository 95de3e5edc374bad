/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * page_drive.c - the dashboard and the socket, fed from a file
 *
 *   page_drive FOLDER [TOKEN-FILE [READ-GROUP WRITE-GROUP]]
 *
 * FOLDER/page.json is the "page" document and is read at each look, its times moved to now; the
 * socket is FOLDER/shiftd.sock. Says "port N" when it is ready. Half an hour of points is there at
 * the beginning. What commands change is in what they answer; "slow" answers after a second,
 * "never" not at all.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/api/events.h"
#include "userspace/api/http_inner.h"
#include "userspace/api/socket.h"
#include "userspace/base/ip.h"
#include "userspace/base/loop.h"

#define SECOND 1000000000ull
#define PAST   1700

static struct loop *loop;
static const char *folder;
static struct {
	struct loop_timer timer;
	struct api_call *call;
} slow[64];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Every time in it, by its member's name. */
static void move_times(json_t *j, double by)
{
	static const char *const names[] = {"at", "since", "planned_at"};
	const char *key;
	json_t *value;
	size_t i;

	json_array_foreach (j, i, value)
		move_times(value, by);
	json_object_foreach (j, key, value) {
		move_times(value, by);
		for (size_t n = 0; n < 3 && json_is_number(value); n++)
			if (!strcmp(key, names[n])) {
				json_object_set_new(j, key,
						    json_real(json_number_value(value) + by));
				break;
			}
	}
}

static json_t *document(void *arg, const char *name)
{
	char path[4096];
	json_t *page, *part;

	(void)arg;
	snprintf(path, sizeof(path), "%s/page.json", folder);
	page = json_load_file(path, 0, NULL);
	move_times(page, now() - json_number_value(json_object_get(page, "at")));
	if (!strcmp(name, "page") || !strcmp(name, "metrics"))
		return page;
	part = json_incref(json_object_get(page, name));
	json_decref(page);
	return json_is_object(part) ? part : NULL;
}

static json_t *arm(double rate, double failed, double p95)
{
	return json_pack("{s:f, s:f, s:f}", "rate", rate, "failed", failed, "p95_ms", p95);
}

/* A ramp of two stages, with a hole and a peak. */
static json_t *point_at(double at, double age)
{
	double weight = age > 900 ? 10 : 25, wave = sin(at / 47) + 0.4 * sin(at / 7.3);
	double rate = 500 + 30 * wave, bad = age < 240 && age > 200 ? 1.3 : 0.15;

	if (age > 600 && age < 660)
		return json_pack("{s:f, s:f, s:n, s:n}", "at", at, "weight", weight, "old", "new");
	return json_pack("{s:f, s:f, s:f, s:o, s:o}", "at", at, "weight", weight, "seen",
			 weight - 0.1, "old",
			 arm(rate * (100 - weight) / 100, 0.18, 163 + 6 * wave), "new",
			 arm(rate * weight / 100, bad + 0.03 * wave, 176 + 14 * wave));
}

static json_t *point(void *arg)
{
	(void)arg;
	return point_at(now(), 0);
}

static void run_pause(void *arg, struct api_call *c)
{
	(void)arg;
	api_answer(c, 0,
		   json_pack("{s:s, s:s, s:O}", "state", "paused", "who", c->who, "args", c->args));
}

static void run_status(void *arg, struct api_call *c)
{
	api_answer(c, 0, document(arg, "status"));
}

static void run_refused(void *arg, struct api_call *c)
{
	(void)arg;
	api_refuse(c, 3, "frozen by alice: --after-freeze overrides");
}

static void run_huge(void *arg, struct api_call *c)
{
	json_t *list = json_array();

	(void)arg;
	for (int i = 0; i < 40000; i++)
		json_array_append_new(list, json_string("0123456789"));
	api_answer(c, 0, json_pack("{s:o}", "list", list));
}

static void on_slow(void *arg, uint64_t at)
{
	struct api_call **call = arg, *c = *call;

	(void)at;
	*call = NULL;
	api_answer(c, 0, NULL);
}

static void run_slow(void *arg, struct api_call *c)
{
	(void)arg;
	for (int i = 0; i < 64; i++)
		if (!slow[i].call) {
			slow[i].call = c;
			loop_timer_set(loop, &slow[i].timer, loop_now() + SECOND, on_slow,
				       &slow[i].call);
			return;
		}
	api_refuse(c, 1, "too many");
}

static void on_end(void *arg, int number)
{
	(void)arg;
	(void)number;
	loop_stop(loop, 0);
}

static const struct api_verb verbs[] = {
	{"status", false, run_status},	  {"ramp pause", true, run_pause},
	{"ramp resume", true, run_pause}, {"ramp next", true, run_refused},
	{"ramp back", true, run_pause},	  {"freeze", true, run_pause},
	{"rollback", true, run_pause},	  {"huge", false, run_huge},
	{"slow", false, run_slow},	  {"slow write", true, run_slow},
};

static int begin(int argc, char **argv, struct api_http **http, struct api_socket **sock)
{
	struct api_verbs all = {verbs, sizeof(verbs) / sizeof(*verbs), NULL};
	static const char *const hosts[] = {"wall.example"};
	char path[4096], token[API_TOKEN] = "", why[256] = "";
	struct api_http_config c = {.token = token, .hosts = hosts, .n_hosts = 1, .verbs = all};
	struct api_socket_config s = {.path = path, .verbs = all};
	double at = now();
	int err;

	snprintf(path, sizeof(path), "%s/shiftd.sock", folder);
	c.source = (struct api_http_source){.document = document, .point = point};
	ip_parse("127.0.0.1", c.address, &c.port);
	c.port = 0;
	err = argc > 2 && argv[2][0] ? api_token_read(argv[2], token, why, sizeof(why)) : 0;
	if (!err)
		err = api_group(argc > 4 ? argv[3] : "", &s.read_group);
	if (!err)
		err = api_group(argc > 4 ? argv[4] : "", &s.write_group);
	if (!err)
		err = api_socket_open(loop, &s, sock);
	if (!err)
		err = api_http_open(loop, &c, http);
	explicit_bzero(token, sizeof(token));
	if (err) {
		fprintf(stderr, "page_drive: %s %s\n", strerror(-err), why);
		return err;
	}
	for (int i = PAST; i > 0; i--)
		api_events_point((*http)->events, point_at(at - i, i));
	return 0;
}

int main(int argc, char **argv)
{
	struct api_socket *sock = NULL;
	struct api_http *http = NULL;
	int err;

	if (argc < 2 || loop_make(&loop))
		return 2;
	folder = argv[1];
	signal(SIGPIPE, SIG_IGN);
	loop_signal(loop, SIGTERM, on_end, NULL);
	err = begin(argc, argv, &http, &sock);
	if (!err) {
		printf("port %u\n", api_http_port(http));
		fflush(stdout);
		err = loop_run(loop);
	}
	api_http_close(http);
	api_socket_close(sock);
	for (int i = 0; i < 64; i++)
		if (slow[i].call) {
			loop_timer_stop(loop, &slow[i].timer);
			api_refuse(slow[i].call, 1, "it ends");
		}
	loop_free(loop);
	return err ? 1 : 0;
}
