/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apply.c - makes this host's data plane what the configuration says
 *
 * The order is the promise: everything that can be refused is looked at before anything is changed;
 * then the maps, then control (only where there is none yet), then the programs, which replace their
 * predecessors in one step. A first apply that fails on the way takes everything away again; a later one leaves
 * the programs that ran, on maps that are right for them.
 *
 * Never changed here: the share, the latch, authority and the epoch of a service that is already
 * attached. Where there is no state in the kernel (first apply, reboot, detach), `on_boot` and what
 * /var/lib/shift remembers decide.
 */
#include <errno.h>
#include <jansson.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"
#include "userspace/cmd/wish.h"
#include "userspace/conf/config.h"
#include "userspace/net/reserve.h"
#include "userspace/net/route.h"
#include "userspace/plane/attach.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/control.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/load.h"
#include "userspace/plane/pins.h"
#include "userspace/plane/state.h"
#include "userspace/plane/sync.h"

#define FEW_PORTS 4096

struct apply {
	const struct options *o;
	const struct config *conf;
	struct wish *wish;
	struct plane p;
	struct shift_globals g;
	struct sync_result sync;
	bool first; /* nothing was attached or pinned here */
	struct shift_record record; /* in force at the end */
	bool published;
	json_t *lines; /* of --json */
};

static void note(const char *line, void *arg)
{
	struct apply *a = arg;

	if (a->o->json)
		json_array_append_new(a->lines, json_string(line));
	else
		printf("  %s\n", line);
}

static int failed(const char *what, int err)
{
	const char *more = load_complaint();

	say("%s: %s", what, strerror(-err));
	if (*more)
		fprintf(stderr, "%s", more);
	return EXIT_FAILED;
}

static void way_to(const uint32_t address[4], const uint32_t nat[4], struct sync_way *ret)
{
	struct route_way way;

	if (route_lookup(address, nat, &way) || way.unreachable)
		return;
	ret->ifindex = way.ifindex;
	ret->mtu = way.mtu > 65535 ? 65535 : (uint16_t)way.mtu;
}

/* ---- the clock ----------------------------------------------------------------------------- */

/* Kernels tick 100, 250, 300 or 1000 times a second; which, is seen in an eighth of one. */
static uint32_t nearest_hz(uint64_t ticks, uint64_t ns)
{
	static const uint32_t known[] = {100, 250, 300, 1000};
	uint64_t hz = ticks * 1000000000 / ns, best = 0;

	for (size_t i = 1; i < sizeof(known) / sizeof(*known); i++) {
		if (llabs((long long)(known[i] - hz)) < llabs((long long)(known[best] - hz)))
			best = i;
	}
	return known[best];
}

static int set_clock(struct apply *a)
{
	const struct timespec eighth = {0, 125000000};
	uint64_t jiffies, ns;
	int err = load_clock(&a->p, &jiffies, &ns);

	if (err)
		return err;
	a->g.clock_jiffies = jiffies;
	a->g.clock_ns = ns;
	nanosleep(&eighth, NULL);
	err = load_clock(&a->p, &jiffies, &ns);
	if (err)
		return err;
	a->g.hz = nearest_hz(jiffies - a->g.clock_jiffies, ns - a->g.clock_ns);
	for (a->g.window_shift = 6; 3u << a->g.window_shift < a->g.hz * 2;)
		a->g.window_shift++;
	return 0;
}

static int write_globals(struct apply *a)
{
	uint32_t zero = 0;

	return bpfsys_update(a->p.map[PLANE_GLOBALS], &zero, &a->g);
}

/* The maps of this namespace, made if there are none. */
static int open_maps(struct apply *a)
{
	int err = plane_find(&a->p);
	uint64_t netns = 0;
	bool first_ns;

	if (err && err != -ENOENT)
		return open_failed(err);
	a->first = err == -ENOENT;
	err = load_maps(&a->p, sync_capacity(&a->wish->sync));
	if (err)
		return failed("cannot make the maps", err);
	if (!a->first)
		return plane_globals(&a->p, &a->g) ? failed("cannot read the maps", -EIO) : EXIT_OK;
	err = plane_map_control(&a->p);
	if (!err)
		err = set_clock(a);
	if (!err)
		err = plane_namespace(&netns, &first_ns);
	a->g.netns = netns;
	a->g.abi = SHIFT_ABI;
	a->g.flow_capacity = sync_capacity(&a->wish->sync);
	for (int i = 0; i < SHIFT_MAX_SERVICES && !err; i++)
		a->p.control[i].abi = SHIFT_ABI;
	if (!err)
		err = write_globals(a);
	return err ? failed("cannot set the maps up", err) : EXIT_OK;
}

/* ---- control ------------------------------------------------------------------------------- */

struct first_record {
	const struct config *conf;
	char who[SHIFT_NAME];
	char why[48];
	struct state saved;
	bool has_saved;
};

/* What was saved, and a share that comes back only where it may. */
static int first_edit(struct shift_record *r, void *arg)
{
	struct first_record *f = arg;
	uint64_t epoch = r->epoch;
	bool restore;

	memset(r, 0, sizeof(*r));
	if (f->has_saved) {
		state_to_record(&f->saved, r);
		restore = f->conf->on_boot_restore || r->authority == SHIFT_AUTHORITY_NEW;
		if (!restore)
			r->weight = 0;
		snprintf(f->why, sizeof(f->why), "%s",
			 r->latched	? "rolled back before"
			 : !restore	? "on_boot: zero"
			 : f->conf->on_boot_restore
				 ? "on_boot: restore"
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

static int set_control(struct apply *a)
{
	struct first_record f = {.conf = a->conf};
	struct shift_control *c = &a->p.control[a->sync.service];
	uint64_t head;
	char line[160], w[16];
	int err;

	if (!a->sync.fresh && !control_get(c, &a->record, &head))
		return EXIT_OK;
	who_operator(f.who, sizeof(f.who));
	err = state_load(a->conf->service, &f.saved);
	f.has_saved = !err;
	if (err == -EBADMSG)
		say("the saved state of %s is damaged: weight 0, authority as configured",
		    a->conf->service);
	err = control_change(c, first_edit, &f, NULL, &a->record);
	if (err)
		return failed("cannot publish control", err);
	a->published = true;
	snprintf(line, sizeof(line), "weight %s%% (%s), authority %s",
		 text_weight(a->record.weight, w), f.why, authority_name(a->record.authority));
	note(line, a);
	return EXIT_OK;
}

/* ---- interfaces ---------------------------------------------------------------------------- */

static int find_slot(struct apply *a, uint32_t ifindex, const char *name)
{
	int free_slot = -1;

	for (int i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		struct shift_interface *f = &a->g.interface[i];

		/* The same name again is an interface that was made anew. */
		if (f->ifindex == ifindex || (f->ifindex && !strcmp(f->name, name)))
			return i;
		if (!f->ifindex && free_slot < 0)
			free_slot = i;
	}
	return free_slot;
}

static int device(const char *name, uint16_t *ret_type, uint8_t ret_mac[8])
{
	struct ifreq r = {0};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (s < 0)
		return -errno;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (ioctl(s, SIOCGIFHWADDR, &r))
		err = -errno;
	close(s);
	if (err)
		return err;
	*ret_type = r.ifr_hwaddr.sa_family;
	memset(ret_mac, 0, 8);
	memcpy(ret_mac, r.ifr_hwaddr.sa_data, 6);
	return 0;
}

static int attach_one(struct apply *a, const char *name)
{
	uint32_t ifindex = if_nametoindex(name);
	struct shift_interface next = {.ifindex = ifindex}, *is;
	enum shift_hook hook;
	char line[96];
	uint16_t type = 0;
	bool made;
	int slot, prog, err;

	slot = find_slot(a, ifindex, name);
	if (slot < 0) {
		say("%s: %d interfaces at most", name, SHIFT_MAX_INTERFACES);
		return EXIT_FAILED;
	}
	is = &a->g.interface[slot];
	err = device(name, &type, next.mac);
	if (err)
		return failed(name, err);
	prog = load_ingress(&a->p, (uint32_t)slot, a->g.window_shift,
			    type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK ? 14 : 0);
	if (prog < 0) {
		fprintf(stderr, "shiftctl: %s: the kernel does not take the program\n", name);
		return failed(name, prog);
	}
	err = attach_program(ifindex, prog, &hook, &made);
	close(prog);
	if (err)
		return failed(name, err);
	if (is->ifindex != ifindex || is->hook != hook) {
		snprintf(line, sizeof(line), "+ interface %s by %s", name, attach_hook_name(hook));
		note(line, a);
	}
	next.hook = (uint8_t)hook;
	next.made_clsact = made || (is->ifindex == ifindex && is->made_clsact);
	next.services = is->services | (uint16_t)(1u << a->sync.service);
	snprintf(next.name, sizeof(next.name), "%s", name);
	*is = next;
	return write_globals(a) ? failed("cannot write the maps", -EIO) : EXIT_OK;
}

struct via {
	uint32_t ifindex;
	uint64_t flows;
};

static int count_via(const struct flow_seen *f, void *arg)
{
	struct via *v = arg;

	v->flows += f->f->ifindex == v->ifindex || f->t->ifindex == v->ifindex;
	return 0;
}

/* An interface that is listed no more loses the program when no flow uses it. */
static int leave_unlisted(struct apply *a)
{
	for (int i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		struct shift_interface *f = &a->g.interface[i];
		struct via via = {.ifindex = f->ifindex};
		bool listed = false;
		char line[128];
		int err;

		for (unsigned int k = 0; k < a->conf->n_interfaces; k++)
			listed |= !strcmp(a->conf->interfaces[k].name, f->name);
		if (!f->ifindex || listed || !(f->services & 1u << a->sync.service))
			continue;
		err = flows_each(&a->p, a->sync.service, plane_tick(&a->g), count_via, &via);
		if (err)
			return failed("cannot read the flows", err);
		if (via.flows) {
			snprintf(line, sizeof(line),
				 "! interface %s stays while shifted connections use it (%llu): "
				 "apply again when they have ended",
				 f->name, (unsigned long long)via.flows);
			note(line, a);
			continue;
		}
		f->services &= (uint16_t)~(1u << a->sync.service);
		if (!f->services) {
			err = attach_remove(f->ifindex, f->made_clsact);
			if (err && err != -ENODEV)
				return failed(f->name, err);
			snprintf(line, sizeof(line), "- interface %s", f->name);
			note(line, a);
			memset(f, 0, sizeof(*f));
		}
		if (write_globals(a))
			return failed("cannot write the maps", -EIO);
	}
	return EXIT_OK;
}

/* ---- the host's own ports ------------------------------------------------------------------ */

static void reserve(struct apply *a)
{
	uint16_t lo = a->conf->port_lo, hi = a->conf->port_hi;
	int id = a->sync.service, err;
	unsigned int left;
	char line[160];

	if (a->g.reserved[id].lo == lo && a->g.reserved[id].hi == hi)
		return;
	if (a->g.reserved[id].hi) {
		reserve_release(a->g.reserved[id].lo, a->g.reserved[id].hi);
		a->g.reserved[id].lo = a->g.reserved[id].hi = 0;
	}
	err = reserve_ports(lo, hi);
	if (err < 0) {
		say("ports %u-%u are not reserved (net.ipv4.ip_local_reserved_ports: %s): a connection "
		    "of this host to a backend may take one",
		    lo, hi, strerror(-err));
		return;
	}
	if (err == 1)
		return; /* somebody reserved them already */
	a->g.reserved[id].lo = lo;
	a->g.reserved[id].hi = hi;
	write_globals(a);
	snprintf(line, sizeof(line),
		 "sysctl net.ipv4.ip_local_reserved_ports: %u-%u added, until detach", lo, hi);
	note(line, a);
	if (!reserve_left(&left) && left < FEW_PORTS)
		say("nat.ports leaves this host only %u ports for its own connections "
		    "(net.ipv4.ip_local_port_range): widen that range or choose other nat.ports",
		    left);
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* A first apply that failed leaves nothing. */
static void undo_first(struct apply *a)
{
	for (int i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		const struct shift_interface *f = &a->g.interface[i];

		if (f->ifindex)
			attach_remove(f->ifindex, f->made_clsact);
	}
	for (int i = 0; i < SHIFT_MAX_SERVICES; i++) {
		if (a->g.reserved[i].hi)
			reserve_release(a->g.reserved[i].lo, a->g.reserved[i].hi);
	}
}

static int change_host(struct apply *a)
{
	int code = open_maps(a), err;

	if (code)
		return code;
	err = sync_service(&a->p, &a->wish->sync, way_to, note, a, &a->sync);
	if (err)
		return failed("cannot write the maps", err);
	code = set_control(a);
	if (code)
		return code;
	reserve(a);
	for (unsigned int i = 0; i < a->conf->n_interfaces && !code; i++)
		code = attach_one(a, a->conf->interfaces[i].name);
	if (!code)
		code = leave_unlisted(a);
	if (code)
		return code;
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

static int apply(const struct options *o, const struct config *c, struct wish *w,
		 const char *reason)
{
	struct apply *a = calloc(1, sizeof(*a));
	int code, lock;

	if (!a)
		return EXIT_FAILED;
	a->o = o;
	a->conf = c;
	a->wish = w;
	a->lines = json_array();
	code = lock_host(&lock);
	if (!code)
		code = change_host(a);
	if (code && a->first)
		undo_first(a);
	if (!code) {
		uint16_t weight = shift_record_weight(&a->record, control_boot_ns());

		summarize(a);
		record_change(&a->record, &(struct state_event){.verb = "apply",
								.service = c->service,
								.reason = reason,
								.from = weight,
								.to = weight});
	}
	plane_close(&a->p);
	unlock_host(lock);
	json_decref(a->lines);
	free(a);
	return code;
}

/* What the host lacks, before anything is changed. */
static int check_interfaces(const struct config *c, struct conf_errors *errors)
{
	for (unsigned int i = 0; i < c->n_interfaces; i++) {
		if (!if_nametoindex(c->interfaces[i].name))
			conf_complain(errors, false, c->interfaces[i].at, "interfaces",
				      "there is no interface %s in this network namespace",
				      c->interfaces[i].name);
	}
	return conf_errors_count(errors) ? -ENODEV : 0;
}

static int dry_run(const struct config *c)
{
	printf("would: load the data plane for service %s and replace what runs on", c->service);
	for (unsigned int i = 0; i < c->n_interfaces; i++)
		printf(" %s", c->interfaces[i].name);
	printf("\nwould not: change the share, break a connection\n");
	return EXIT_OK;
}

int cmd_apply(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--dry-run", "--reason=", NULL};
	struct conf_errors *errors = calloc(1, sizeof(*errors));
	struct wish *w = calloc(1, sizeof(*w));
	const char *value, *reason = NULL;
	struct config *c = NULL;
	bool dry = false;
	int at = 1, what, code = EXIT_USAGE;

	if (!errors || !w)
		return EXIT_FAILED;
	while ((what = next_option(argc, argv, &at, flags, &value)) >= -1) {
		if (what == -1) {
			usage_error("apply takes no argument, not '%s'", value);
			goto out;
		}
		if (what == 0)
			dry = true;
		else
			reason = value;
	}
	if (what == -3)
		goto out;
	if (!conf_load(o->config, &c, errors) && !wish_make(c, w, errors) &&
	    !check_interfaces(c, errors)) {
		wish_resolve(c, w, errors);
		conf_errors_print(errors, stderr);
		code = dry ? dry_run(c) : apply(o, c, w, reason);
	} else {
		conf_errors_print(errors, stderr);
	}
out:
	conf_errors_free(errors);
	free(errors);
	conf_free(c);
	free(w);
	return code;
}
