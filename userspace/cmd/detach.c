/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * detach.c - takes a service away, and with the last one all that `apply` brought to this host
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"
#include "userspace/net/reserve.h"
#include "userspace/plane/attach.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/clients.h"
#include "userspace/plane/control.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/hostports.h"
#include "userspace/plane/pins.h"
#include "userspace/plane/short.h"
#include "userspace/plane/state.h"
#include "userspace/plane/sync.h"

#define KEEP_MS 5000 /* for the disk; nothing was changed yet */

struct detach {
	const struct options *o;
	const char *reason;
	bool force, override_lock, lose_state;
	int lock;
};

static int services_here(const struct plane *p)
{
	int n = 0;

	for (uint32_t id = 0; id < SHIFT_MAX_SERVICES; id++) {
		struct shift_service s;

		n += !plane_service(p, id, &s) && s.flags & SHIFT_SERVICE_USED;
	}
	return n;
}

/*
 * 0, and nothing new is shifted any more; or the exit code after saying what stands against it.
 * *ret_alive are the connections that a detach now would break.
 */
static int may_detach(const struct plane *p, int id, const struct shift_globals *g, bool force,
		      uint64_t *ret_alive)
{
	struct flows_count *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return EXIT_FAILED;
	err = sync_pause(p, id, true);
	if (!err)
		err = flows_count(p, id, plane_tick(g), n);
	*ret_alive = n->alive;
	free(n);
	if (force || (!err && !*ret_alive))
		return EXIT_OK;
	if (err)
		say("cannot count the shifted connections (%s); --force detaches all the same",
		    strerror(-err));
	else
		say("refused: %llu shifted connections live and would break; let them end "
		    "(shiftctl weight 0), or --force",
		    (unsigned long long)*ret_alive);
	sync_pause(p, id, false);
	return err ? EXIT_FAILED : EXIT_REFUSED;
}

/* What outlives the maps must be on disk before these go: latch, authority and epoch. */
static int keep_first(const struct shift_record *r, const char *service, bool lose)
{
	const struct state_event e = {.service = service, .only_copy = true, .wait_ms = KEEP_MS};
	int err = state_record(r, &e).copy;
	char path[320] = "?";

	if (!err)
		return EXIT_OK;
	state_path(service, path, sizeof(path));
	say("%s%s: %s: %s, authority %s, epoch %llu cannot be kept, and an apply would go on with "
	    "what was saved before%s",
	    lose ? "" : "refused: ", path, strerror(-err),
	    r->latched ? "the rollback's latch" : "the share", authority_name(r->authority),
	    (unsigned long long)r->epoch, lose ? "" : "; --lose-state overrides this");
	return lose ? EXIT_OK : EXIT_REFUSED;
}

/* The pins, too, as they are in force; none in force and none kept needs no file. */
static int keep_pins(const struct plane *p, int id, const char *service, bool lose)
{
	struct client_entry *list = NULL;
	struct client_pin *kept = NULL;
	uint64_t boot = control_boot_ns();
	size_t n = 0, pins = 0;
	char path[320] = "?";
	int err = clients_list(p, id, &list, &n);
	bool now;

	for (size_t i = 0; i < n; i++)
		pins += client_is_pin(list[i].is.action) && !client_is_over(&list[i].is, boot);
	if (!err && !pins && !lose && !clients_load(service, &kept, &n, &now))
		pins = n;
	else if (!pins)
		pins = !lose; /* what cannot be read may hold some */
	free(list);
	free(kept);
	if (!err && !pins)
		return EXIT_OK;
	if (!err)
		err = clients_save(p, id, service, NULL, KEEP_MS);
	if (!err)
		return EXIT_OK;
	clients_path(service, path, sizeof(path));
	say("%s%s: %s: the pins cannot be kept, and an apply would go on with those that were kept "
	    "before%s",
	    lose ? "" : "refused: ", path,
	    err == -ETIMEDOUT ? "the disk does not answer" : strerror(-err),
	    lose ? "" : "; --lose-state overrides this");
	return lose ? EXIT_OK : EXIT_REFUSED;
}

static int release_ports(struct plane *p, struct shift_globals *g, bool all)
{
	char left[256];
	int err = hostports_update(p, g, all, left);

	if (err < 0)
		say("net.ipv4.ip_local_reserved_ports cannot be put back: %s", strerror(-err));
	return err < 0 ? err : 0;
}

/* The programs first: from then on the host serves everything itself. */
static int remove_programs(struct plane *p, struct shift_globals *g, uint16_t keep)
{
	int first = 0;

	for (int i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		struct shift_interface *f = &g->interface[i];
		int err;

		if (!f->ifindex)
			continue;
		f->services &= keep;
		err = short_keep(f, keep);
		if (!err && f->services)
			continue;
		if (!err)
			err = attach_remove(f->ifindex, f->made_clsact);
		if (err && err != -ENODEV) {
			say("%s: cannot take the program away: %s", f->name, strerror(-err));
			first = first ? first : err;
			continue;
		}
		memset(f, 0, sizeof(*f));
	}
	/* An interface that the record does not know, as after lost pins. */
	for (int i = 0; i < p->attachments && !keep; i++)
		attach_remove(p->at[i].ifindex, false);
	return first;
}

static int empty_edit(struct shift_record *r, void *arg)
{
	uint64_t epoch = r->epoch;

	(void)arg;
	memset(r, 0, sizeof(*r));
	r->epoch = epoch + 1;
	return 0;
}

/* The maps may go with the last program, and what they know of the host's ports with them. */
static int detach_last(struct plane *p, struct shift_globals *g, int lock)
{
	int err;

	lock_note(lock, (const struct shift_range *)g->reserved);
	err = remove_programs(p, g, 0);
	if (!err)
		err = release_ports(p, g, true);
	if (err)
		return err;
	pins_remove();
	lock_note(lock, NULL);
	return 0;
}

/* *r becomes what was in force at the end. */
static int detach_service(struct plane *p, int id, bool last, int lock, struct shift_record *r)
{
	struct shift_globals g;
	uint32_t zero = 0;
	uint64_t head;
	int err = plane_globals(p, &g);

	if (err)
		return err;
	if (last) {
		err = detach_last(p, &g, lock);
		control_get(&p->control[id], r, &head);
		return err;
	}
	control_change(&p->control[id], empty_edit, NULL, false, r, NULL);
	err = sync_remove_service(p, id);
	if (!err)
		err = remove_programs(p, &g, (uint16_t) ~(1u << id));
	if (!err)
		err = bpfsys_update(p->map[PLANE_GLOBALS], &zero, &g);
	return err ? err : release_ports(p, &g, false);
}

static void tell(const struct detach *d, const char *service, uint64_t broken, bool last)
{
	if (d->o->json) {
		print_json(json_pack("{s:i, s:s, s:b, s:I}", "schema", 1, "service", service,
				     "attached", 0, "broken", (json_int_t)broken));
		return;
	}
	printf("%s: detached; the old host serves every new connection%s\n", service,
	       last ? "" : "; other services stay");
	if (broken)
		printf("  --force broke %llu shifted connections\n", (unsigned long long)broken);
	fflush(stdout);
}

static int detach(const struct detach *d, struct plane *p)
{
	struct shift_record r = {0};
	struct shift_service s;
	struct shift_globals g;
	uint64_t head, alive = 0;
	int id = choose_service(p, d->o, &s), code, err;
	uint16_t weight;
	bool last;

	if (id < 0)
		return -id;
	err = plane_globals(p, &g);
	if (err)
		return open_failed(err);
	code = d->override_lock ? EXIT_OK : locked_by_other(p, id, "--override-lock");
	if (!code && !control_get(&p->control[id], &r, &head))
		code = keep_first(&r, s.name, d->lose_state);
	if (!code)
		code = keep_pins(p, id, s.name, d->lose_state);
	if (!code)
		code = may_detach(p, id, &g, d->force, &alive);
	if (code)
		return code;
	last = services_here(p) == 1;
	weight = shift_record_weight(&r, control_boot_ns());
	err = detach_service(p, id, last, d->lock, &r);
	if (err) {
		say("%s: %s", s.name, strerror(-err));
		return EXIT_FAILED;
	}
	tell(d, s.name, alive, last);
	record_change(&r, &(struct state_event){.verb = "detach",
						.service = s.name,
						.reason = d->reason,
						.from = weight,
						.to = 0});
	return EXIT_OK;
}

/* Nothing is here, but shiftd may hold the programs of an interface that is away, to put them back:
 * the copy says that it shall not. */
static void keep_away(const struct options *o)
{
	char name[SHIFT_NAME];
	const struct state_event e = {.verb = "detach", .service = name, .only_copy = true};
	struct shift_record r;
	struct state s;

	if (o->service)
		snprintf(name, sizeof(name), "%s", o->service);
	else if (!configured_service(o, name, sizeof(name)) && state_services(&name, 1) != 1)
		return;
	if (state_load(name, &s) || !s.this_boot || s.detached)
		return;
	state_to_record(&s, &r);
	state_record(&r, &e);
}

/* Nothing is here, but one that was killed may have left a reservation. */
static void give_back_noted(int lock)
{
	unsigned char *none = calloc(1, RESERVE_PORTS);
	struct shift_range r[SHIFT_MAX_RANGES];
	struct reserve_range *ours = (struct reserve_range *)r;
	char text[256];

	if (none && lock_noted(lock, r)) {
		reserve_text(ours, SHIFT_MAX_RANGES, text, sizeof(text));
		if (reserve_update(none, ours, SHIFT_MAX_RANGES, false) >= 0) {
			lock_note(lock, NULL);
			say("given back what an apply or detach that was killed had reserved: "
			    "ports %s",
			    text);
		}
	}
	free(none);
}

int cmd_detach(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--force", "--override-lock", "--lose-state",
					    "--reason=", NULL};
	struct detach d = {.o = o};
	const char *value;
	struct plane p;
	int at = 1, what, code, err;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			return usage_error("detach takes no argument, not '%s'", value);
		if (what == -3)
			return EXIT_USAGE;
		d.force |= what == 0;
		d.override_lock |= what == 1;
		d.lose_state |= what == 2;
		if (what == 3)
			d.reason = value;
	}
	code = lock_host(&d.lock);
	if (code)
		return code;
	err = plane_find(&p);
	code = err ? open_failed(err) : detach(&d, &p);
	if (err == -ENOENT) {
		keep_away(o);
		give_back_noted(d.lock);
		pins_remove(); /* some of them, by one that was killed: no maps to go on with */
	}
	plane_close(&p);
	unlock_host(d.lock);
	return code;
}
