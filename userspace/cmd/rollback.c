/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rollback.c - weight 0, now
 *
 * Never asks, never waits, cannot be refused. The order is what makes that true:
 *
 *   1. Two things are wanted from the disk, the operator's name and which service the configuration
 *      names. A child asks; if it does not answer at once, "uid N" rolls back every service.
 *   2. The store, into control as the pins name it: no device, no lock of the network stack.
 *   3. The programs that are attached; if these use another control than the pins said, or there
 *      are no pins, the store is made there.
 *   4. The record on disk, then words, then RSTs to idle flows. What fails here fails nothing.
 *
 * A configuration that is broken, gone, or names a service which is not here, or a -s that does,
 * makes it act on every service of this network namespace. Where nothing is attached, what would
 * come back at the next boot is rolled back on disk.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/flipped.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/control.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/reset.h"
#include "userspace/plane/state.h"

#define DISK_MS	 20
#define SAVED_MS 500 /* nothing is in force then, so there is time */

struct done {
	char service[SHIFT_NAME];
	int id;
	uint16_t from;
	struct shift_record after;
	struct reset_result reset;
	int lost; /* where nothing is attached: why it could not be saved */
};

struct rollback {
	const struct options *o;
	const char *reason;
	bool cut, may_cut; /* asked for, and not of a service that is not here */
	uint32_t rate;	   /* resets per second, 0: at once */
	/* What the disk was asked for. */
	struct asked {
		char who[SHIFT_NAME];
		char service[SHIFT_NAME * 2]; /* of the configuration; "" unknown */
	} asked;
	struct done done[SHIFT_MAX_SERVICES];
	int n_done;
	uint16_t from;	    /* of the service at hand */
	char flipped[2048]; /* records that name the new side, in words; "" none known */
};

/* ---- what lies on disk --------------------------------------------------------------------- */

static void ask_child(const struct options *o, int tell)
{
	struct asked a = {0};

	who_operator(a.who, sizeof(a.who));
	if (!o->service && !configured_service(o, a.service, sizeof(a.service)))
		a.service[0] = '\0';
	_exit(write(tell, &a, sizeof(a)) != sizeof(a));
}

static void ask_disk(const struct options *o, struct asked *ret)
{
	struct pollfd p = {.events = POLLIN};
	int ends[2];
	pid_t child;

	who_without_disk(ret->who, sizeof(ret->who));
	if (pipe(ends))
		return;
	child = fork();
	if (!child)
		ask_child(o, ends[1]);
	close(ends[1]);
	p.fd = ends[0];
	if (child > 0) {
		struct asked a;

		if (poll(&p, 1, DISK_MS) > 0 && read(ends[0], &a, sizeof(a)) == sizeof(a))
			*ret = a;
		else
			kill(child, SIGKILL);
		waitpid(child, NULL, WNOHANG);
	}
	close(ends[0]);
}

/* ---- the store ----------------------------------------------------------------------------- */

static int rollback_edit(struct shift_record *r, void *arg)
{
	struct rollback *b = arg;

	b->from = shift_record_weight(r, control_boot_ns());
	r->epoch++;
	r->weight = r->next_weight = r->confirm_weight = r->lease_weight = 0;
	r->threshold = r->next_threshold = r->confirm_threshold = r->lease_threshold = 0;
	r->not_before = 0;
	r->confirm_deadline = 0;
	r->lease_deadline = 0;
	r->overall = 0;
	r->latched = 1;
	r->latched_at = r->set_at = control_real_ns();
	r->set_uid = getuid();
	snprintf(r->set_by, sizeof(r->set_by), "%s", b->asked.who);
	snprintf(r->latched_by, sizeof(r->latched_by), "%s", b->asked.who);
	screen_clean(b->reason ? b->reason : "", r->reason, sizeof(r->reason));
	if (b->cut && !b->rate)
		r->cut_epoch = r->epoch;
	return 0;
}

/* A paced cut ends as a cut at once does: whatever is left is answered with RSTs from now on. */
static int finish_cut_edit(struct shift_record *r, void *arg)
{
	const uint64_t *epoch = arg;

	if (r->cut_epoch >= *epoch)
		return 1;
	r->cut_epoch = *epoch;
	r->epoch++;
	return 0;
}

static const char *wanted(const struct rollback *b)
{
	return b->o->service ? b->o->service : b->asked.service;
}

/* The service it is about, or −1: every one. */
static int only_service(const struct rollback *b, const struct plane *p)
{
	const char *name = wanted(b);

	return *name ? plane_service_by_name(p, name) : -1;
}

/* Every service that it is about, and every control whose service cannot be read. */
static void publish(struct rollback *b, struct plane *p)
{
	int only = only_service(b, p);

	b->cut = b->may_cut && !(b->o->service && only < 0);
	for (int id = 0; id < SHIFT_MAX_SERVICES && b->n_done < SHIFT_MAX_SERVICES; id++) {
		struct done *d = &b->done[b->n_done];
		struct shift_service s;
		int err = plane_service(p, (uint32_t)id, &s);

		if ((only >= 0 && id != only) || (!err && !(s.flags & SHIFT_SERVICE_USED)) ||
		    (err && !p->control[id].head))
			continue;
		if (err)
			snprintf(s.name, sizeof(s.name), "service %d", id);
		snprintf(d->service, sizeof(d->service), "%.*s", SHIFT_NAME - 1, s.name);
		d->id = id;
		if (control_change(&p->control[id], rollback_edit, b, true, NULL, &d->after))
			continue; /* an edit that never refuses, forced: it does not come to this */
		d->from = b->from;
		b->n_done++;
	}
}

/* ---- what follows it ----------------------------------------------------------------------- */

static struct state_event event_of(const struct rollback *b, const struct done *d)
{
	return (struct state_event){.verb = b->cut ? "rollback --cut" : "rollback",
				    .service = d->service,
				    .reason = b->reason,
				    .from = d->from,
				    .to = 0};
}

static void record(const struct rollback *b)
{
	for (int i = 0; i < b->n_done; i++) {
		struct state_event e = event_of(b, &b->done[i]);

		if (record_change(&b->done[i].after, &e))
			say("%s: after a reboot, what was saved before would come back, as on_boot "
			    "says: once the disk can be written, shiftctl rollback again",
			    e.service);
	}
}

static void print_one(const struct rollback *b, const struct done *d)
{
	char a[16];

	printf("%s: %s%% -> 0%% of new connections, epoch %llu\n", d->service,
	       text_weight(d->from, a), (unsigned long long)d->after.epoch);
	printf("  every raise is refused until: shiftctl weight N --after-rollback\n");
	if (!b->cut)
		printf("  shifted connections finish by themselves (shiftctl conns); to reset them: "
		       "shiftctl rollback --cut\n");
	if (d->after.authority == SHIFT_AUTHORITY_NEW)
		printf("  data: authority is new: later writes are NOT on old\n");
	printf("  not done: other hosts (run it there), DNS records (this command changes none)\n%s",
	       b->flipped);
	fflush(stdout);
}

/* A paced cut takes its time, and the operator may lose patience. */
static struct {
	const struct done *d;
	uint64_t alive; /* when it began */
	bool json;
} pacing;

/* Nothing but what a signal may: what stays, and how to go on. */
static void on_interrupt(int signal_number)
{
	uint64_t reset = pacing.d->reset.reset + pacing.d->reset.failed;
	char text[320];
	int n = snprintf(text, sizeof(text),
			 pacing.json
				 ? "{\"schema\":1,\"service\":\"%s\",\"error\":\"interrupted: the "
				   "share is 0, of the shifted connections %llu were reset and up "
				   "to %llu remain\",\"code\":%d}\n"
				 : "shiftctl: %s: interrupted: the share is 0; of the shifted "
				   "connections %llu were reset and up to %llu remain, which "
				   "finish by themselves; to go on: shiftctl rollback "
				   "--cut[=RATE]\n",
			 pacing.d->service, (unsigned long long)reset,
			 (unsigned long long)(pacing.alive > reset ? pacing.alive - reset : 0),
			 128 + signal_number);

	_exit(write(pacing.json ? STDOUT_FILENO : STDERR_FILENO, text, (size_t)n) < 0
		      ? 1
		      : 128 + signal_number);
}

static uint64_t alive_now(struct plane *p, int id)
{
	struct flows_count *n = calloc(1, sizeof(*n));
	struct shift_globals g;
	uint64_t alive = 0;

	if (n && !plane_globals(p, &g) && !flows_count(p, id, plane_tick(&g), n))
		alive = n->alive;
	free(n);
	return alive;
}

static void watch_for_interrupt(struct rollback *b, struct plane *p, const struct done *d)
{
	const struct sigaction a = {.sa_handler = on_interrupt};

	pacing.d = d;
	pacing.alive = alive_now(p, d->id);
	pacing.json = b->o->json;
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
}

static void cut_flows(struct rollback *b, struct plane *p, struct done *d)
{
	uint64_t epoch = d->after.epoch;
	char a[32];
	int err;

	if (b->rate)
		watch_for_interrupt(b, p, d);
	err = reset_flows(p, d->id, d->after.epoch, b->rate, &d->reset);
	if (b->rate) {
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
	}
	if (err)
		say("%s: idle shifted connections could not be reset (%s); packets of one are "
		    "answered with a reset",
		    d->service, strerror(-err));
	if (b->rate)
		control_change(&p->control[d->id], finish_cut_edit, &epoch, true, NULL, NULL);
	if (!b->o->json)
		printf("  reset: %s shifted connections, at both ends; packets of any other are "
		       "answered with a reset\n",
		       text_count(d->reset.reset, a));
	if (d->reset.failed)
		say("%s: %llu could not be told (%s): their next packet is answered with a reset",
		    d->service, (unsigned long long)d->reset.failed, strerror(-d->reset.error));
	fflush(stdout);
}

static void follow_up(struct rollback *b, struct plane *p)
{
	record(b);
	if (!b->o->json)
		flipped_text(b->flipped, sizeof(b->flipped));
	for (int i = 0; i < b->n_done; i++) {
		if (!b->o->json)
			print_one(b, &b->done[i]);
		if (b->cut)
			cut_flows(b, p, &b->done[i]);
	}
	if (!p->attachments && !b->o->json)
		printf("no program is attached to any interface: the old host serves every "
		       "connection\n");
}

/* In a child, whom a hanging disk may keep. Tells the parent of each service. */
static void save_child(struct rollback *b, int tell)
{
	const char *only = wanted(b);
	char names[SHIFT_MAX_SERVICES][SHIFT_NAME];
	int n = state_services(names, SHIFT_MAX_SERVICES), is = 0;

	while (is < n && strcmp(only, names[is]) != 0)
		is++;
	if (is == n && b->o->service) /* not one that was saved */
		only = "";
	for (int i = 0; i < n; i++) {
		struct done d = {0};
		struct state s = {0};

		if (*only && strcmp(only, names[i]))
			continue;
		memcpy(d.service, names[i], sizeof(d.service));
		d.lost = state_load(names[i], &s);
		if (d.lost == -ENOENT)
			continue;
		state_to_record(&s, &d.after);
		rollback_edit(&d.after, b);
		d.from = s.weight;
		if (!d.lost) {
			struct state_event e = event_of(b, &d);

			e.wait_ms = SAVED_MS * 4 / 5;
			d.lost = state_record(&d.after, &e).copy;
		}
		if (write(tell, &d, sizeof(d)) != sizeof(d))
			_exit(1);
	}
	_exit(0);
}

static void tell_saved(const struct rollback *b, const struct done *d)
{
	char path[320] = "?", a[16];

	state_path(d->service, path, sizeof(path));
	fflush(stdout);
	if (d->lost == -EBADMSG)
		say("%s: what was saved is damaged (%s): apply refuses it; with "
		    "--ignore-saved-state it begins at 0%%",
		    d->service, path);
	else if (d->lost)
		say("%s: NOT rolled back on disk (%s: %s): the next apply may bring back what is "
		    "saved there; make that file writable or remove it, then shiftctl rollback "
		    "again",
		    d->service, path, strerror(-d->lost));
	else if (!b->o->json)
		printf("%s: the saved share was %s%%, is 0%% now and latched\n", d->service,
		       text_weight(d->from, a));
	fflush(stdout);
}

/* Nothing runs here: what is saved must not come back by itself. */
static void rollback_saved(struct rollback *b)
{
	struct pollfd p = {.events = POLLIN};
	int ends[2], answered = 0;
	pid_t child;

	if (!b->o->json)
		printf("nothing is attached in this network namespace: the old host serves every "
		       "connection\n");
	fflush(stdout);
	child = pipe(ends) ? -1 : fork();
	if (!child)
		save_child(b, ends[1]);
	if (child < 0) {
		say("the saved share cannot be looked at: %s", strerror(errno));
		return;
	}
	close(ends[1]);
	p.fd = ends[0];
	while (b->n_done < SHIFT_MAX_SERVICES && (answered = poll(&p, 1, SAVED_MS)) > 0) {
		struct done *d = &b->done[b->n_done];

		if (read(ends[0], d, sizeof(*d)) != sizeof(*d))
			break; /* the end */
		b->n_done++;
		tell_saved(b, d);
	}
	if (!answered) {
		say("the disk does not answer: a share that was saved may come back with the next "
		    "apply");
		kill(child, SIGKILL);
	}
	waitpid(child, NULL, WNOHANG);
	close(ends[0]);
}

static int print_all_json(const struct rollback *b, bool attached)
{
	json_t *list = json_array();

	for (int i = 0; i < b->n_done; i++) {
		const struct done *d = &b->done[i];

		json_array_append_new(
			list,
			json_pack("{s:s, s:f, s:f, s:I, s:b, s:s, s:o}", "service", d->service,
				  "from", d->from / 100.0, "weight",
				  d->lost ? d->from / 100.0 : 0.0, "epoch",
				  (json_int_t)d->after.epoch, "latched", !d->lost, "authority",
				  authority_name(d->after.authority), "reset",
				  b->cut ? json_integer((json_int_t)d->reset.reset) : json_null()));
	}
	print_json(json_pack("{s:i, s:b, s:o}", "schema", 1, "attached", (int)attached, "services",
			     list));
	return EXIT_OK;
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* Steps 2 and 3. 0 when *p is open; else plane_find's error. */
static int store(struct rollback *b, struct plane *p)
{
	struct plane quick;
	bool stored;
	int err;

	stored = !plane_pinned_control(&quick);
	if (stored)
		publish(b, &quick);
	err = plane_find(p);
	if (!err && !(stored && plane_same_control(&quick, p))) {
		b->n_done = 0; /* the pins were somebody else's, or there are none */
		publish(b, p);
	}
	plane_close(&quick);
	return err;
}

static int roll_back(struct rollback *b)
{
	struct plane p;
	int err = store(b, &p), code = EXIT_OK, saved;

	if (err == -ENOENT) {
		rollback_saved(b);
		/* An apply may have come between: it had read what was saved before. */
		plane_close(&p);
		saved = b->n_done;
		b->n_done = 0;
		err = store(b, &p);
		if (err == -ENOENT) {
			b->n_done = saved;
			if (!b->o->json)
				fputs(flipped_text(b->flipped, sizeof(b->flipped)), stdout);
			goto out;
		}
	}
	if (err && b->n_done) {
		record(b);
		say("rolled back; whether a program is attached cannot be told: %s",
		    strerror(-err));
	} else if (err) {
		code = open_failed(err);
	} else {
		if (*wanted(b) && only_service(b, &p) < 0)
			say("service %s%s%s is not attached here: every service of this namespace "
			    "was rolled back%s",
			    wanted(b), b->o->service ? "" : " of ",
			    b->o->service ? "" : b->o->config,
			    b->may_cut && !b->cut ? ", and no connection was reset" : "");
		follow_up(b, &p);
	}
out:
	if (b->o->json && !code)
		print_all_json(b, !err && p.attachments);
	plane_close(&p);
	return code;
}

/*
 * What is wrong with the command line is said when the share is 0. Only a cut, which cannot be
 * taken back, is left out then: nobody knows what was meant.
 */
static void parse_arguments(struct rollback *b, int argc, char **argv, char *slip, size_t size)
{
	static const char *const flags[] = {"--cut?", "--reason=", NULL};
	const char *value;
	char why[160];
	int at = 1, what, end = 0;

	while ((what = scan_option(argc, argv, &at, flags, &value, why, sizeof(why))) != -2) {
		if (what == 1) {
			b->reason = value;
			continue;
		}
		b->cut |= what == 0;
		if (what == -1)
			snprintf(why, sizeof(why), "it takes no argument, not '%.64s'", value);
		else if (what == 0 && value &&
			 (sscanf(value, "%7u%n", &b->rate, &end) != 1 || value[end] || !b->rate ||
			  b->rate > 1000000))
			snprintf(why, sizeof(why),
				 "--cut=%.64s: connections per second, 1 to 1000000", value);
		else if (what == 0)
			continue;
		snprintf(slip, size, "%s", why);
	}
}

int cmd_rollback(const struct options *o, int argc, char **argv)
{
	struct rollback b = {.o = o};
	char slip[160];
	bool cut;
	int code;

	snprintf(slip, sizeof(slip), "%s", o->slip);
	parse_arguments(&b, argc, argv, slip, sizeof(slip));
	cut = b.cut;
	b.cut = b.may_cut = cut && !slip[0];
	ask_disk(o, &b.asked);
	code = roll_back(&b);
	if (fflush(stdout) ||
	    ferror(stdout)) { /* who cannot hear of it is rolled back all the same */
		__fpurge(stdout);
		clearerr(stdout);
	}
	if (slip[0])
		say("rollback: %s; %s%s", slip,
		    code ? "that, too, is wrong" : "rolled back all the same",
		    cut ? ", but no connection was reset: shiftctl rollback --cut[=RATE]" : "");
	return code;
}
