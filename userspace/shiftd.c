/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftd.c - the daemon: what watches and waits
 *
 * One loop, one thread: the tunnels (ctl/tunnels.c), the ramp with what it needs (ctl/service.c),
 * the flow log (ctl/flowlog.c), and a socket on which shiftctl asks (api/socket.c). While it runs
 * it holds shiftd.lock, and `tunnel check --fix` leaves switching to it. When it dies, nothing
 * changes for traffic: routes, tunnels and the data plane are the kernel's.
 *
 * Started with every right, it keeps those it needs, for itself and all that it starts (a hook that
 * is root's has no more): the same as systemd/shiftd.service leaves it, where each has its reason.
 *
 * Signals: TERM and INT end it, HUP reads the configuration again and keeps every state; one that
 * cannot be used changes nothing and is said.
 */
#include <errno.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "userspace/api/socket.h"
#include "userspace/base/caps.h"
#include "userspace/base/loop.h"
#include "userspace/base/notify.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/complain.h"
#include "userspace/cmd/daemon.h"
#include "userspace/ctl/flowlog.h"
#include "userspace/ctl/service.h"
#include "userspace/ctl/tunnels.h"
#include "userspace/plane/state.h"
#include "userspace/shiftd_page.h"
#include "wg/watch.h"

#define SECOND 1000000000ull
#define MAPPED (128 << 10) /* bytes: what is larger has pages of its own */

struct daemon {
	const struct options *o;
	struct loop *loop;
	struct config *config;
	struct conf_errors errors;
	struct ctl_tunnels *tunnels;
	struct service *service;
	struct flowlog *flowlog;
	struct api_socket *socket; /* NULL: nobody can ask */
	struct api_http *http;	   /* NULL: no dashboard */
	struct page_parts parts;   /* of it */
	struct loop_timer beat;
	char dir[200];
	int lock;
	uint64_t watchdog_at;
	char status[400]; /* as the service manager has it */
	bool stamps;	  /* no journal: lines carry their time */
};

static void tell(void *arg, const char *text)
{
	const struct daemon *d = arg;
	struct timespec t;
	char at[32];

	clock_gettime(CLOCK_REALTIME, &t);
	if (d->stamps)
		fprintf(stderr, "%s ",
			text_time((uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec, at));
	fprintf(stderr, "shiftd: %s\n", text);
}

static void tell_of_ramp(void *arg, bool alarm, const char *text)
{
	(void)alarm;
	tell(arg, text);
}

static bool is_up(void *arg, const char *tunnel)
{
	const struct daemon *d = arg;

	return ctl_tunnels_up(d->tunnels, tunnel);
}

static const struct plane *plane_now(void *arg, uint32_t *ret_id)
{
	const struct daemon *d = arg;

	return service_plane(d->service, ret_id);
}

static bool is_alive(const struct daemon *d, uint64_t now)
{
	return now < ctl_tunnels_alive(d->tunnels) + 5 * SECOND &&
	       now < service_alive(d->service) + 5 * SECOND;
}

static void add_status(char *text, size_t size, const char *part)
{
	size_t n = strlen(text);

	if (part[0])
		snprintf(text + n, size - n, "%s%s", n ? "; " : "", part);
}

/* The sign of life is given only while the work itself goes on. */
static void beat(void *arg, uint64_t now)
{
	struct daemon *d = arg;
	uint64_t every = notify_watchdog_ns();
	char text[400], part[250];

	service_text(d->service, text, 100);
	add_status(text, sizeof(text), ctl_tunnels_text(d->tunnels, part, sizeof(part)));
	add_status(text, sizeof(text), flowlog_text(d->flowlog, part, sizeof(part)));
	if (strcmp(text, d->status) != 0) {
		snprintf(d->status, sizeof(d->status), "%s", text);
		notify_status(text);
	}
	if (every && now > d->watchdog_at && is_alive(d, now)) {
		notify_watchdog();
		d->watchdog_at = now + every / 4;
	}
	loop_timer_set(d->loop, &d->beat, now + SECOND, beat, d);
}

/* ---- who asks ---- */

/* Root may say in whose name it acts; anybody else is who the kernel says. */
static void on_call(void *arg, struct api_call *call)
{
	struct daemon *d = arg;
	json_t *body = NULL;
	char who[API_WHO];
	int code;

	if (call->uid == 0 || call->uid == geteuid() || call->uid == API_NOBODY)
		snprintf(who, sizeof(who), "%s", call->who);
	else
		snprintf(who, sizeof(who), "uid %u", (unsigned int)call->uid);
	code = service_ask(d->service, call->verb->name, call->args, who, &body);

	api_answer(call, code, body);
}

static const struct api_verb verbs[] = {
	{"ramp status", false, on_call}, {"ramp start", true, on_call},
	{"ramp pause", true, on_call},	 {"ramp resume", true, on_call},
	{"ramp next", true, on_call},	 {"ramp back", true, on_call},
	{"ramp abort", true, on_call},	 {"freeze", true, on_call},
	{"unfreeze", true, on_call},
};

/* The dashboard and /metrics, also after the configuration was read again. */
static void show_here(struct daemon *d)
{
	const struct api_verbs v = {verbs, sizeof(verbs) / sizeof(*verbs), d};
	char why[300], text[400];

	if (!page_use(d->loop, &d->parts, &v, &d->http, why, sizeof(why)))
		return;
	snprintf(text, sizeof(text), "%s: %s",
		 d->http ? "the dashboard and the metrics stay as they were"
			 : "no dashboard, no metrics",
		 why);
	tell(d, text);
}

static void read_groups(struct daemon *d, const struct config *c, gid_t *read, gid_t *write)
{
	const char *names[] = {c->metrics.read_group, c->metrics.write_group};
	gid_t *const group[] = {read, write};
	char text[128];

	for (int i = 0; i < 2; i++) {
		*group[i] = API_NO_GROUP;
		if (!api_group(names[i], group[i]))
			continue;
		snprintf(text, sizeof(text), "metrics.%s: there is no group %s",
			 i ? "write_group" : "read_group", names[i]);
		tell(d, text);
	}
}

/* Without it everything but what operators ask goes on. */
static void listen_here(struct daemon *d)
{
	struct api_socket_config c = {.verbs = {verbs, sizeof(verbs) / sizeof(*verbs), d}};
	char path[256], text[400];
	int err = daemon_socket(path, sizeof(path));

	c.path = path;
	read_groups(d, d->config, &c.read_group, &c.write_group);
	if (!err)
		err = api_socket_open(d->loop, &c, &d->socket);
	if (!err)
		return;
	d->socket = NULL;
	snprintf(text, sizeof(text), "no commands can be taken: %s: %s", path, strerror(-err));
	tell(d, text);
}

/* ---- the configuration ---- */

static int load(struct daemon *d)
{
	struct conf_errors errors = {0};
	struct config *c = NULL;

	if (conf_load(d->o->config, &c, &errors) || about_service(d->o, c->service)) {
		complain_of_file(&errors);
		conf_errors_free(&errors);
		conf_free(c);
		return EXIT_USAGE;
	}
	if (d->config && strcmp(d->config->service, c->service) != 0) {
		tell(d, "another service: that takes a restart");
		conf_errors_free(&errors);
		conf_free(c);
		return EXIT_USAGE;
	}
	if (ctl_tunnels_use(d->tunnels, c) || service_use(d->service, c)) {
		conf_errors_free(&errors);
		conf_free(c);
		return EXIT_FAILED;
	}
	flowlog_use(d->flowlog, c);
	conf_errors_free(&d->errors);
	conf_free(d->config);
	d->config = c;
	d->parts.service = d->service;
	d->parts.tunnels = d->tunnels;
	d->parts.flowlog = d->flowlog;
	d->parts.config = c;
	d->errors = errors;
	return EXIT_OK;
}

static void on_reload(void *arg, int number)
{
	struct daemon *d = arg;
	gid_t read, write;

	(void)number;
	notify_reloading();
	if (load(d)) {
		tell(d, "the configuration cannot be used: what was there before stays");
	} else {
		read_groups(d, d->config, &read, &write);
		if (d->socket)
			api_socket_groups(d->socket, read, write);
		show_here(d);
		tell(d, "the configuration was read again");
	}
	notify_ready(NULL);
}

/* ---- beginning and ending ---- */

static void on_end(void *arg, int number)
{
	struct daemon *d = arg;

	(void)number;
	loop_stop(d->loop, EXIT_OK);
}

static int take_lock(struct daemon *d)
{
	char state[160];
	int err = state_dir(state, sizeof(state));

	if (!err) {
		snprintf(d->dir, sizeof(d->dir), "%s/tunnels", state);
		d->lock = watch_daemon_lock(d->dir);
		err = d->lock < 0 ? d->lock : 0;
	}
	if (err == -EAGAIN) {
		say("another shiftd runs already (%s/shiftd.lock)", d->dir);
		return EXIT_LOCKED;
	}
	if (err)
		say("%s: %s", d->dir, strerror(-err));
	return err ? EXIT_FAILED : EXIT_OK;
}

/* For the socket and what is beside it. Those of the groups go through it, whatever our umask is,
 * and who made it. */
static void make_run(void)
{
	char path[256];

	if (!daemon_socket(path, sizeof(path)) && !strncmp(path, "/run/shift/", 11) &&
	    (!mkdir("/run/shift", 0711) || (errno == EEXIST && !geteuid())))
		(void)!chmod("/run/shift", 0711);
}

/* What is logged is remembered beside the socket, where no reboot leaves it. */
static int make_flowlog(struct daemon *d)
{
	const struct flowlog_world world = {.plane = plane_now, .say = tell, .arg = d};
	char path[256];
	int err = daemon_socket(path, sizeof(path) - sizeof(".flows"));

	return err ? err : flowlog_make(d->loop, &world, strcat(path, ".flows"), &d->flowlog);
}

static int drop_rights(void)
{
	static const int needed[] = {CAP_NET_ADMIN, CAP_NET_RAW,      CAP_BPF,	  CAP_PERFMON,
				     CAP_SYS_ADMIN, CAP_SYS_RESOURCE, CAP_SETUID, CAP_SETGID,
				     CAP_KILL,	    CAP_SYS_PTRACE};
	int err = caps_keep(needed, sizeof(needed) / sizeof(*needed));

	if (err)
		say("the rights that are not needed cannot be given up: %s", strerror(-err));
	return err ? EXIT_FAILED : EXIT_OK;
}

static int begin(struct daemon *d)
{
	struct service_world world = {.say = tell_of_ramp, .tunnel_up = is_up, .arg = d};
	int code = take_lock(d);

	if (code)
		return code;
	make_run();
	if (loop_make(&d->loop) || ctl_tunnels_make(d->loop, d->dir, tell, d, &d->tunnels) ||
	    service_make(d->loop, &world, &d->service) || make_flowlog(d)) {
		say("no event loop: %s", strerror(errno));
		return EXIT_FAILED;
	}
	ctl_tunnels_private(d->tunnels, d->lock);
	loop_signal(d->loop, SIGTERM, on_end, d);
	loop_signal(d->loop, SIGINT, on_end, d);
	loop_signal(d->loop, SIGHUP, on_reload, d);
	code = load(d);
	if (!code) {
		listen_here(d);
		show_here(d);
	}
	return code;
}

static int run(struct daemon *d)
{
	int code;

	loop_timer_set(d->loop, &d->beat, loop_now(), beat, d);
	notify_ready(NULL);
	code = loop_run(d->loop);
	notify_stopping();
	ctl_tunnels_save(d->tunnels);
	return code < 0 ? EXIT_FAILED : code;
}

int main(int argc, char **argv)
{
	static struct daemon d = {.lock = -1};
	struct options o;
	int code;

	parse_options(&argc, argv, &o);
	if (o.slip[0] || argc)
		return usage_error("%s", o.slip[0] ? o.slip : "usage: shiftd [-c FILE]");
	signal(SIGPIPE, SIG_IGN);
	/* A configuration is 2 MiB, mostly untouched: mapped and unmapped, it leaves no hole for
	 * others to make small, so that the next would need 2 MiB more. */
	mallopt(M_MMAP_THRESHOLD, MAPPED);
	setvbuf(stderr, NULL, _IOLBF, 0);
	d.o = &o;
	d.stamps = !getenv("JOURNAL_STREAM");
	code = drop_rights();
	if (!code)
		code = begin(&d);
	if (!code)
		code = run(&d);
	api_http_close(d.http);
	api_socket_close(d.socket);
	flowlog_free(d.flowlog);
	service_free(d.service);
	ctl_tunnels_free(d.tunnels);
	conf_errors_free(&d.errors);
	conf_free(d.config);
	loop_free(d.loop);
	if (d.lock >= 0)
		close(d.lock);
	return code;
}
