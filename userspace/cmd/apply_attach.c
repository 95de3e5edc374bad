/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "userspace/cmd/apply.h"
#include "userspace/net/host.h"
#include "userspace/net/route.h"
#include "userspace/plane/attach.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/grow.h"
#include "userspace/plane/load.h"
#include "userspace/plane/short.h"

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

/*
 * What IPsec hands to its interface has the outer packet's Ethernet header before it still
 * (xfrm4_remove_tunnel_encap in net/xfrm/xfrm_input.c), though the device has none; what is sent
 * through it has not. Over a device that has none itself this reads amiss, finds no port that it
 * knows, and leaves the packet to the host.
 */
static struct apply_program program_of(const struct host *h, const char *name, uint16_t type)
{
	const struct host_link *l = host_link_named(h, name);
	uint32_t l3 = type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK ? 14 : 0;
	bool ipsec = l && (!strcmp(l->kind, "xfrm") || !strncmp(l->kind, "vti", 3));

	return (struct apply_program){.wanted = true, .l3 = {ipsec ? 14 : l3, l3}};
}

/* ---- before anything is changed ---- */

static int want_listed(struct apply *a, const struct host *h, const char *name)
{
	uint32_t ifindex = if_nametoindex(name);
	int slot = find_slot(a, ifindex, name), err;
	struct shift_interface *f;
	uint16_t type = 0;
	uint8_t mac[8];

	if (!ifindex)
		return apply_failed(name, -ENODEV);
	if (slot < 0) {
		say("%s: %d interfaces at most", name, SHIFT_MAX_INTERFACES);
		return EXIT_FAILED;
	}
	err = route_device(name, &type, mac);
	if (err)
		return apply_failed(name, err);
	f = &a->g.interface[slot];
	if (f->ifindex != ifindex) { /* new, or made anew under its name */
		f->hook = SHIFT_HOOK_NONE;
		f->made_clsact = 0;
		f->xdp = SHIFT_XDP_NONE;
	}
	f->ifindex = ifindex;
	memcpy(f->mac, mac, sizeof(f->mac));
	f->mtu = route_device_mtu(ifindex);
	snprintf(f->name, sizeof(f->name), "%s", name);
	a->program[slot] = program_of(h, name, type);
	a->program[slot].listed = true;
	return EXIT_OK;
}

/* Those of other services, too: they all run one program. */
static void want_others(struct apply *a, const struct host *h)
{
	for (int i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		const struct shift_interface *f = &a->g.interface[i];
		uint8_t mac[8];
		uint16_t type;

		if (!f->ifindex || a->program[i].wanted || if_nametoindex(f->name) != f->ifindex ||
		    route_device(f->name, &type, mac))
			continue;
		a->program[i] = program_of(h, f->name, type);
	}
}

static int load_all(struct apply *a, bool growing)
{
	apply_unload(a);
	for (uint32_t i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		struct apply_program *m = &a->program[i];

		for (int egress = 0; egress < 2 && m->wanted; egress++) {
			int fd = load_side(&a->p, egress, i, a->g.window_shift, m->l3[egress],
					   growing);

			if (fd < 0) {
				say("%s: the kernel does not take %s", a->g.interface[i].name,
				    plane_program_name(egress));
				return apply_failed(a->g.interface[i].name, fd);
			}
			m->fd[egress] = fd;
		}
	}
	return EXIT_OK;
}

void apply_unload(struct apply *a)
{
	for (int i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		for (int egress = 0; egress < 2; egress++) {
			if (a->program[i].fd[egress])
				close(a->program[i].fd[egress]);
			a->program[i].fd[egress] = 0;
		}
	}
}

/* A larger forward table first, where the targets need one (plane/grow.h). */
int apply_prepare(struct apply *a)
{
	uint32_t need = sync_capacity(&a->p, &a->wish->sync);
	bool going_on = grow_under_way(&a->p);
	int code = EXIT_OK, err;
	struct host h;

	err = host_read(NULL, 0, &h);
	if (err)
		return apply_failed("the kernel does not tell its interfaces", err);
	for (unsigned int i = 0; i < a->conf->n_interfaces && !code; i++)
		code = want_listed(a, &h, a->conf->interfaces[i].name);
	if (!code)
		want_others(a, &h);
	host_free(&h);
	if (code)
		return code;
	a->growing = going_on || need > a->g.flow_capacity;
	/* The short way knows one index: while there are two, all goes by tc. */
	for (int i = 0; i < SHIFT_MAX_INTERFACES && a->growing; i++)
		if (a->g.interface[i].xdp)
			short_remove(a->g.interface[i].ifindex);
	err = a->growing && !going_on ? grow_begin(&a->p, need) : 0;
	if (err)
		return apply_failed("cannot make a larger table of flows", err);
	return load_all(a, a->growing);
}

/* ---- the change ---- */

/* In place of the programs that are there. */
static int put_programs(struct apply *a, struct shift_interface *f, const int fd[2])
{
	uint8_t had = f->hook;
	char line[96];
	int err = attach_interface(&a->p, &a->g, f, fd, &a->attached);

	if (err)
		return apply_failed(f->name, err);
	if (f->hook != had) {
		snprintf(line, sizeof(line), "+ interface %s by %s", f->name,
			 attach_hook_name(f->hook));
		apply_note(line, a);
	}
	return EXIT_OK;
}

static int attach_all(struct apply *a)
{
	int code = EXIT_OK;

	for (int i = 0; i < SHIFT_MAX_INTERFACES && !code; i++) {
		if (a->program[i].fd[0])
			code = put_programs(a, &a->g.interface[i], a->program[i].fd);
	}
	return code;
}

/* All programs look into both tables by now. */
static int move_to_larger(struct apply *a)
{
	char line[96];
	int err, code;

	sync_grace();
	err = grow_copy(&a->p);
	if (!err)
		err = grow_end(&a->p);
	if (err)
		return apply_failed("cannot move to the larger table of flows", err);
	a->g.flow_capacity = grow_capacity(&a->p);
	if (apply_write_globals(a))
		return apply_failed("cannot write the maps", -EIO);
	snprintf(line, sizeof(line), "~ room for %u flows", a->g.flow_capacity);
	apply_note(line, a);
	code = load_all(a, false);
	return code ? code : attach_all(a);
}

/* Killed between an attachment and a note of it, nobody would know where a program runs. */
int apply_attach(struct apply *a)
{
	int code;

	for (int i = 0; i < SHIFT_MAX_INTERFACES; i++) {
		if (a->program[i].listed)
			a->g.interface[i].services |= (uint16_t)(1u << a->sync.service);
	}
	if (apply_write_globals(a))
		return apply_failed("cannot write the maps", -EIO);
	code = attach_all(a);
	return code || !a->growing ? code : move_to_larger(a);
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
int apply_leave(struct apply *a)
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
			return apply_failed("cannot read the flows", err);
		if (via.flows) {
			snprintf(line, sizeof(line),
				 "! interface %s stays while shifted connections use it (%llu): "
				 "apply again when they have ended",
				 f->name, (unsigned long long)via.flows);
			apply_note(line, a);
			continue;
		}
		f->services &= (uint16_t) ~(1u << a->sync.service);
		if (short_keep(f, f->services))
			return apply_failed(f->name, -EIO);
		if (!f->services) {
			err = attach_remove(f->ifindex, f->made_clsact);
			if (err && err != -ENODEV)
				return apply_failed(f->name, err);
			snprintf(line, sizeof(line), "- interface %s", f->name);
			apply_note(line, a);
			memset(f, 0, sizeof(*f));
		}
		if (apply_write_globals(a))
			return apply_failed("cannot write the maps", -EIO);
	}
	return EXIT_OK;
}
