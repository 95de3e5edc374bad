/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * detach.c - takes a service away, and with the last one all that `apply` brought to this host
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/attach.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/control.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/hostports.h"
#include "userspace/plane/pins.h"
#include "userspace/plane/state.h"
#include "userspace/plane/sync.h"

static int services_here(const struct plane *p)
{
	int n = 0;

	for (uint32_t id = 0; id < SHIFT_MAX_SERVICES; id++) {
		struct shift_service s;

		n += !plane_service(p, id, &s) && s.flags & SHIFT_SERVICE_USED;
	}
	return n;
}

static int locked_by_other(const struct plane *p, int id)
{
	struct shift_record r;
	char who[SHIFT_NAME], a[32];
	uint64_t head;

	who_operator(who, sizeof(who));
	if (control_get(&p->control[id], &r, &head) || !r.locked_at ||
	    !strncmp(r.locked_by, who, sizeof(r.locked_by)))
		return EXIT_OK;
	say("locked by %s since %s%s%s; --force overrides", r.locked_by, text_time(r.locked_at, a),
	    r.lock_reason[0] ? ": " : "", r.lock_reason);
	return EXIT_LOCKED;
}

/* 0, and nothing new is shifted any more; or the exit code after saying what stands against it. */
static int may_detach(const struct plane *p, int id, const struct shift_globals *g)
{
	struct flows_count *n = malloc(sizeof(*n));
	int code = locked_by_other(p, id), err;
	uint64_t alive;

	if (code || !n) {
		free(n);
		return n ? code : EXIT_FAILED;
	}
	err = sync_pause(p, id, true);
	if (!err)
		err = flows_count(p, id, plane_tick(g), n);
	alive = err ? 0 : n->alive;
	free(n);
	if (err)
		say("cannot count the shifted connections: %s; --force detaches all the same",
		    strerror(-err));
	else if (alive)
		say("refused: %llu shifted connections live and would break; let them end "
		    "(shiftctl weight 0), or --force",
		    (unsigned long long)alive);
	else
		return EXIT_OK;
	sync_pause(p, id, false);
	return err ? EXIT_FAILED : EXIT_REFUSED;
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
		if (f->services)
			continue;
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

static int detach_service(struct plane *p, int id, bool last)
{
	struct shift_globals g;
	uint32_t zero = 0;
	int err = plane_globals(p, &g);

	if (err)
		return err;
	if (last) {
		err = remove_programs(p, &g, 0);
		if (!err)
			err = release_ports(p, &g, true);
		if (!err)
			pins_remove();
		return err;
	}
	control_change(&p->control[id], empty_edit, NULL, false, NULL, NULL);
	err = sync_remove_service(p, id);
	if (!err)
		err = remove_programs(p, &g, (uint16_t) ~(1u << id));
	if (!err)
		err = bpfsys_update(p->map[PLANE_GLOBALS], &zero, &g);
	return err ? err : release_ports(p, &g, false);
}

static int detach(const struct options *o, struct plane *p, bool force, const char *reason)
{
	struct shift_record r = {0};
	struct shift_service s;
	struct shift_globals g;
	uint64_t head;
	uint16_t weight;
	int id = choose_service(p, o, &s), code, err;
	bool last;

	if (id < 0)
		return -id;
	err = plane_globals(p, &g);
	if (err)
		return open_failed(err);
	code = force ? EXIT_OK : may_detach(p, id, &g);
	if (code)
		return code;
	control_get(&p->control[id], &r, &head);
	weight = shift_record_weight(&r, control_boot_ns());
	last = services_here(p) == 1;
	err = detach_service(p, id, last);
	if (err) {
		say("%s: %s", s.name, strerror(-err));
		return EXIT_FAILED;
	}
	if (o->json)
		print_json(json_pack("{s:i, s:s, s:b}", "schema", 1, "service", s.name, "attached",
				     0));
	else
		printf("%s: detached; the old host serves every new connection%s\n", s.name,
		       last ? "" : "; other services stay");
	fflush(stdout);
	record_change(&r, &(struct state_event){.verb = "detach",
						.service = s.name,
						.reason = reason,
						.from = weight,
						.to = 0});
	return EXIT_OK;
}

int cmd_detach(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--force", "--reason=", NULL};
	const char *value, *reason = NULL;
	bool force = false;
	struct plane p;
	int at = 1, what, code, lock;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			return usage_error("detach takes no argument, not '%s'", value);
		if (what == -3)
			return EXIT_USAGE;
		if (what == 0)
			force = true;
		else
			reason = value;
	}
	code = lock_host(&lock);
	if (code)
		return code;
	code = open_plane(&p);
	if (!code)
		code = detach(o, &p, force, reason);
	plane_close(&p);
	unlock_host(lock);
	return code;
}
