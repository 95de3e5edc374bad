/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apply.c - makes this host's data plane what the configuration says
 *
 * The order is the promise: everything that can be refused is looked at, and every program loaded,
 * before anything is changed; then the maps, then control (only where there is none yet), then the
 * host's own ports and the record of the interfaces, then the programs, which replace their
 * predecessors in one step: killed at any point, it leaves nothing that status does not show. A
 * first apply that fails on the way takes everything away again; a later one leaves the programs
 * that ran, on maps that are right for them, and says so.
 *
 * Never changed here: the share, the latch, authority and the epoch of a service that is already
 * attached. Where there is no state in the kernel (first apply, reboot, detach), `on_boot` and what
 * /var/lib/shift remembers decide.
 */
#include <errno.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/random.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/cmd/apply.h"
#include "userspace/cmd/complain.h"
#include "userspace/cmd/verbs.h"
#include "userspace/net/reserve.h"
#include "userspace/net/route.h"
#include "userspace/plane/attach.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/clients.h"
#include "userspace/plane/control.h"
#include "userspace/plane/hostports.h"
#include "userspace/plane/load.h"
#include "userspace/plane/pins.h"
#include "userspace/plane/state.h"
#include "userspace/plane/ways.h"

#define OWN_FLAGS 5 /* of the command, before those of the rules */

/* ---- the maps ------------------------------------------------------------------------------ */

/* The maps of this namespace, made if there are none. */
static int open_maps(struct apply *a)
{
	int err = plane_find(&a->p);
	uint32_t capacity;
	uint64_t netns = 0;
	bool first_ns;

	if (err && err != -ENOENT)
		return open_failed(err);
	a->first = err == -ENOENT;
	if (a->first) /* what one that was killed left behind */
		lock_noted(a->lock, (struct shift_range *)a->g.reserved);
	capacity = sync_capacity(&a->p, &a->wish->sync);
	err = load_maps(&a->p, capacity);
	if (err)
		return apply_failed("cannot make the maps", err);
	if (!a->first)
		return plane_globals(&a->p, &a->g) ? apply_failed("cannot read the maps", -EIO)
						   : EXIT_OK;
	err = plane_map_control(&a->p);
	if (!err)
		err = apply_set_clock(a);
	if (!err)
		err = plane_namespace(&netns, &first_ns);
	a->g.netns = netns;
	a->g.abi = SHIFT_ABI;
	a->g.flow_capacity = capacity;
	if (getrandom(&a->g.flow_seed, sizeof(a->g.flow_seed), 0) < 0)
		a->g.flow_seed = control_boot_ns();
	for (int i = 0; i < SHIFT_MAX_SERVICES && !err; i++)
		a->p.control[i].abi = SHIFT_ABI;
	if (!err)
		err = apply_write_globals(a);
	return err ? apply_failed("cannot set the maps up", err) : EXIT_OK;
}

/* ---- control ------------------------------------------------------------------------------- */

struct first_record {
	const struct config *conf;
	char who[SHIFT_NAME];
	char why[48];
	const struct state *saved; /* NULL: there is none */
};

/* What was saved and cannot be read stands against a beginning from nothing. */
static int refuse_damaged(const struct apply *a)
{
	const char *service = a->conf->service;
	struct client_pin *pins;
	char path[320] = "?";
	int err = a->saved_err;
	size_t n;
	bool now;

	if (err && err != -ENOENT) {
		state_path(service, path, sizeof(path));
		say("refused: the saved state of %s cannot be read (%s %s), and whether the new "
		    "side holds the true data is not known; weight 0 and the configured authority "
		    "with --ignore-saved-state",
		    service, path, err == -EBADMSG ? "is damaged" : strerror(-err));
		return EXIT_REFUSED;
	}
	err = clients_load(service, &pins, &n, &now);
	free(pins);
	if (!err)
		return EXIT_OK;
	clients_path(service, path, sizeof(path));
	say("refused: the kept pins of %s cannot be read (%s %s), and who must stay with an arm is "
	    "not known; no pins with --ignore-saved-state",
	    service, path, err == -EBADMSG ? "is damaged" : strerror(-err));
	return EXIT_REFUSED;
}

/* Refuses what another operator's lock or a saved state that cannot be read forbids. */
static int may_change(struct apply *a)
{
	int id = a->first ? -ENOENT : plane_service_by_name(&a->p, a->conf->service), code;
	uint64_t head;

	if (id >= 0 && !a->force) {
		code = locked_by_other(&a->p, id, "--force");
		if (code)
			return code;
	}
	a->saved_err = state_load(a->conf->service, &a->saved);
	if (a->ignore_saved || (id >= 0 && !control_get(&a->p.control[id], &a->record, &head)))
		return EXIT_OK;
	return refuse_damaged(a);
}

/* What was saved, and a share that comes back only where it may. */
static int first_edit(struct shift_record *r, void *arg)
{
	struct first_record *f = arg;
	uint64_t epoch = r->epoch;
	bool restore;

	memset(r, 0, sizeof(*r));
	if (f->saved) {
		state_to_record(f->saved, r);
		restore = f->conf->on_boot_restore || r->authority == SHIFT_AUTHORITY_NEW;
		if (!restore)
			r->weight = 0;
		snprintf(f->why, sizeof(f->why), "%s",
			 r->latched		    ? "rolled back before"
			 : !restore		    ? "on_boot: zero"
			 : f->conf->on_boot_restore ? "on_boot: restore"
						    : "restored: authority is new");
	} else {
		r->authority = f->conf->authority;
		snprintf(f->why, sizeof(f->why), "the first time");
	}
	r->threshold = shift_weight_threshold(r->weight);
	r->epoch = (epoch > r->epoch ? epoch : r->epoch) + 1;
	r->set_at = control_real_ns();
	r->set_uid = getuid();
	snprintf(r->set_by, sizeof(r->set_by), "%s", f->who);
	snprintf(r->reason, sizeof(r->reason), "apply, %s", f->why);
	return 0;
}

static int keep_control(struct apply *a)
{
	struct shift_control *c = &a->p.control[a->sync.service];
	struct shift_record before;
	char who[SHIFT_NAME];

	if (a->p.attachments)
		return EXIT_OK;
	who_operator(who, sizeof(who));
	if (control_anew(c, a->conf->on_boot_restore, who, &before, &a->record))
		return apply_failed("cannot publish control", -EBUSY);
	if (a->record.epoch != before.epoch)
		apply_note("weight 0 (no program was attached any more, on_boot: zero)", a);
	return EXIT_OK;
}

static int set_control(struct apply *a)
{
	struct first_record f = {.conf = a->conf};
	struct shift_control *c = &a->p.control[a->sync.service];
	uint64_t head;
	char line[160], w[16];
	int err;

	if (!a->sync.fresh && !control_get(c, &a->record, &head))
		return keep_control(a);
	who_operator(f.who, sizeof(f.who));
	f.saved = a->saved_err ? NULL : &a->saved;
	err = control_change(c, first_edit, &f, false, NULL, &a->record);
	if (err)
		return apply_failed("cannot publish control", err);
	a->published = true;
	snprintf(line, sizeof(line), "weight %s%% (%s), authority %s",
		 text_weight(a->record.weight, w), f.why, authority_name(a->record.authority));
	apply_note(line, a);
	return EXIT_OK;
}

/* A rollback that came while nothing was attached yet has only the disk to speak through. */
static int latch_edit(struct shift_record *r, void *arg)
{
	const struct state *s = arg;

	if (r->latched)
		return 1;
	r->epoch = (s->epoch > r->epoch ? s->epoch : r->epoch) + 1;
	r->weight = 0;
	r->threshold = 0;
	r->latched = 1;
	r->latched_at = s->latched_at;
	memcpy(r->latched_by, s->latched_by, sizeof(r->latched_by));
	return 0;
}

static void obey_late_rollback(struct apply *a)
{
	struct shift_control *c = &a->p.control[a->sync.service];
	struct state s;

	if (!a->published || a->record.latched || state_load(a->conf->service, &s) || !s.latched)
		return;
	control_change(c, latch_edit, &s, true, NULL, &a->record);
	say("a rollback of %s came meanwhile: weight 0", s.latched_by);
}

/* ---- the host's own ports ------------------------------------------------------------------ */

static void reserve(struct apply *a)
{
	char line[320], ranges[256];
	int err = hostports_update(&a->p, &a->g, false, ranges);

	if (err < 0)
		say("nat.ports are not reserved (net.ipv4.ip_local_reserved_ports: %s): a connection of "
		    "this host to a backend may take one",
		    strerror(-err));
	if (err)
		return;
	snprintf(line, sizeof(line),
		 "sysctl net.ipv4.ip_local_reserved_ports: %s added, until detach", ranges);
	apply_note(line, a);
}

/* The first time no map outlives us yet: the lock's file knows what is reserved now. */
static void note_reservation(struct apply *a)
{
	const struct sync_wish *w = &a->wish->sync;
	unsigned char *want = calloc(1, RESERVE_PORTS);
	struct reserve_range ours[SHIFT_MAX_RANGES];

	if (!want)
		return;
	memcpy(ours, a->g.reserved, sizeof(ours));
	memset(want + w->port_lo, 1, (size_t)(w->port_hi - w->port_lo) + 1);
	if (reserve_update(want, ours, SHIFT_MAX_RANGES, true) >= 0)
		lock_note(a->lock, (const struct shift_range *)ours);
	free(want);
}

/* A service that is new to the kernel has the pins that were kept. */
static void restore_pins(struct apply *a)
{
	int err = 0;

	if (a->sync.fresh)
		err = clients_restore(&a->p, a->sync.service, a->conf->service, apply_note, a);
	if (err)
		say("the kept pins are not back (%s): shiftctl pins, and pin anew",
		    err != -EBADMSG ? strerror(-err)
		    : clients_set_aside(a->conf->service)
			    ? "their file is damaged"
			    : "their file is damaged, and kept beside "
			      "as .pins.damaged");
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* A first apply that failed leaves nothing. */
static void undo_first(struct apply *a)
{
	char ranges[256];

	for (int i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		const struct shift_interface *f = &a->g.interface[i];

		if (f->ifindex)
			attach_remove(f->ifindex, f->made_clsact);
	}
	if (hostports_update(&a->p, &a->g, true, ranges) >= 0)
		lock_note(a->lock, NULL);
	pins_remove();
}

static int change_host(struct apply *a)
{
	int code = open_maps(a), err;

	if (!code)
		code = may_change(a);
	if (!code)
		code = apply_prepare(a);
	if (code)
		return code;
	err = sync_service(&a->p, &a->wish->sync, ways_ask, apply_note, a, &a->sync);
	if (err == -EEXIST) {
		say("refused: a listener is another service's; take it out of one of the two files");
		return EXIT_REFUSED;
	}
	a->changed = true;
	if (err)
		return apply_failed("cannot write the maps", err);
	hostports_avoid(&a->p);
	restore_pins(a);
	code = set_control(a);
	if (code)
		return code;
	if (a->first)
		note_reservation(a);
	reserve(a);
	if (a->first) /* so that whoever comes after a kill finds what was begun */
		pins_make(&a->p);
	code = apply_attach(a);
	if (!code)
		code = apply_xdp(a);
	if (!code)
		code = apply_leave(a);
	if (code)
		return code;
	obey_late_rollback(a);
	err = pins_make(&a->p);
	if (err && err != -ENOENT)
		say("the maps could not be pinned in bpffs (%s), which only matters if an interface "
		    "goes away",
		    strerror(-err));
	return EXIT_OK;
}

static void summarize(struct apply *a)
{
	uint16_t weight = shift_record_weight(&a->record, control_boot_ns());
	char w[16];

	if (a->o->json) {
		print_json(json_pack("{s:i, s:s, s:b, s:f, s:I, s:s, s:b, s:o}", "schema", 1,
				     "service", a->conf->service, "attached", 1, "weight",
				     weight / 100.0, "epoch", (json_int_t)a->record.epoch,
				     "authority", authority_name(a->record.authority), "latched",
				     (int)a->record.latched, "changes", json_incref(a->lines)));
	} else {
		printf("%s: attached, weight %s%%, epoch %llu, authority %s%s\n", a->conf->service,
		       text_weight(weight, w), (unsigned long long)a->record.epoch,
		       authority_name(a->record.authority),
		       a->record.latched ? ", latched by a rollback" : "");
	}
	fflush(stdout);
	if (a->sync.no_route)
		say("no way leads to %u of the backends' addresses: new connections for them stay "
		    "with the old host (shiftctl status)",
		    a->sync.no_route);
	if (a->sync.draining)
		say("%u removed entries still have shifted connections and are kept for these; "
		    "apply again later to free them",
		    a->sync.draining);
}

struct request {
	const char *reason;
	unsigned int overrides;
	bool dry;
	bool ignore_saved, force;
	bool at_boot;
};

static int apply(const struct options *o, const struct config *c, struct wish *w,
		 const struct request *q)
{
	struct apply *a = calloc(1, sizeof(*a));
	int code;

	if (!a)
		return EXIT_FAILED;
	a->o = o;
	a->conf = c;
	a->wish = w;
	a->reason = q->reason;
	a->ignore_saved = q->ignore_saved;
	a->force = q->force;
	a->lines = json_array();
	code = lock_host(&a->lock);
	if (!code)
		code = change_host(a);
	if (code && a->changed && a->first)
		undo_first(a);
	if (code && a->changed)
		apply_half_done(a);
	if (!code) {
		uint16_t weight = shift_record_weight(&a->record, control_boot_ns());

		summarize(a);
		record_change(&a->record, &(struct state_event){.verb = "apply",
								.service = c->service,
								.reason = q->reason,
								.from = weight,
								.to = weight});
	}
	apply_unload(a);
	plane_close(&a->p);
	unlock_host(a->lock);
	json_decref(a->lines);
	free(a);
	return code;
}

static int locked(const struct config *c)
{
	struct plane p;
	int id = plane_find(&p) ? -ENOENT : plane_service_by_name(&p, c->service);
	int code = id < 0 ? EXIT_OK : locked_by_other(&p, id, "--force");

	plane_close(&p);
	return code;
}

static int dry_run(const struct options *o, const struct config *c, bool force)
{
	int code = force ? EXIT_OK : locked(c);

	if (code)
		return code;
	if (o->json) {
		print_json(json_pack("{s:i, s:s, s:b}", "schema", 1, "service", c->service,
				     "dry_run", 1));
		return EXIT_OK;
	}
	printf("would: load the data plane for service %s and replace what runs on", c->service);
	for (unsigned int i = 0; i < c->n_interfaces; i++)
		printf(" %s", c->interfaces[i].name);
	printf("\nwould not: change the share, break a connection\n");
	return EXIT_OK;
}

static bool lacks_interface(const struct plan_report *r)
{
	for (unsigned int i = 0; i < r->n_findings; i++) {
		if (r->finding[i].refused && r->finding[i].rule == PLAN_NO_INTERFACE)
			return true;
	}
	return false;
}

/* An exit code, after printing what the file and the host's rules say. */
static int judge(const struct config *c, const struct request *q, struct wish *w,
		 struct conf_errors *errors)
{
	struct plan_report *report = calloc(1, sizeof(*report));
	struct plan_host *host = calloc(1, sizeof(*host));
	int code = EXIT_FAILED, err = report && host ? plan_look(c, host) : -ENOMEM;

	if (err) {
		say("cannot look at this host: %s", strerror(-err));
	} else {
		wish_recall(c, host);
		wish_xdp(c, host);
		code = plan_check(c, host, NULL, q->overrides, report) ? EXIT_REFUSED : EXIT_OK;
		plan_complain(report, errors);
		wish_addresses(c, host, w);
		complain_of_file(errors);
		/* What else is refused may be for the want of it. */
		if (code && q->at_boot && lacks_interface(report)) {
			say("an interface is not there yet: to be tried again");
			code = EXIT_TIMEOUT;
		}
	}
	if (host)
		plan_host_free(host);
	free(host);
	free(report);
	return code;
}

static int apply_file(const struct options *o, const struct request *q)
{
	struct conf_errors *errors = calloc(1, sizeof(*errors));
	struct wish *w = calloc(1, sizeof(*w));
	struct config *c = NULL;
	int code = EXIT_USAGE;

	if (!errors || !w) {
		code = EXIT_FAILED;
	} else if (conf_load(o->config, &c, errors)) {
		complain_of_file(errors);
	} else {
		wish_make(c, w);
		code = about_service(o, c->service);
		if (!code)
			code = judge(c, q, w, errors);
		if (!code)
			code = q->dry ? dry_run(o, c, q->force) : apply(o, c, w, q);
	}
	if (errors)
		conf_errors_free(errors);
	free(errors);
	conf_free(c);
	free(w);
	return code;
}

int cmd_apply(const struct options *o, int argc, char **argv)
{
	const char *flags[OWN_FLAGS + PLAN_OVERRIDABLE + 1] = {
		"--dry-run", "--reason=", "--ignore-saved-state", "--force", "--at-boot"};
	struct request q = {0};
	const char *value;
	int at = 1, what;

	memcpy(flags + OWN_FLAGS, plan_flags, sizeof(plan_flags));
	while ((what = next_option(argc, argv, &at, flags, &value)) >= -1) {
		if (what == -1)
			return usage_error("apply takes no argument, not '%s'", value);
		if (what == 0)
			q.dry = true;
		else if (what == 1)
			q.reason = value;
		else if (what == 2)
			q.ignore_saved = true;
		else if (what == 3)
			q.force = true;
		else if (what == 4)
			q.at_boot = true;
		else
			q.overrides |= PLAN_OVERRIDE(what - OWN_FLAGS);
	}
	return what == -3 ? EXIT_USAGE : apply_file(o, &q);
}
