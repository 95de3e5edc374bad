/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_look.c - one reading of the kernel for one service
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/cmd/status.h"
#include "userspace/plane/short.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/clients.h"
#include "userspace/plane/control.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/telemetry.h"

/* Verdicts after which a packet is gone for good; every other one forwards or answers it. */
static const enum shift_verdict losing[] = {SHIFT_DROP_TTL, SHIFT_DROP_REWRITE, SHIFT_RESET_UNABLE};

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void look_at_clocks(struct status_view *v)
{
	v->taken = monotonic_ns();
	v->boot = control_boot_ns();
	v->real = control_real_ns();
}

static void look_at_control(const struct plane *p, uint32_t service, struct status_view *v)
{
	uint64_t head;

	v->has_record = !control_get(&p->control[service], &v->record, &head);
	if (!v->has_record)
		return;
	v->source = shift_record_source(&v->record, v->boot);
	if (v->attached)
		v->weight = shift_record_weight(&v->record, v->boot);
}

/* The place in p->at, or −1. An interface that was away is known by its name, whatever number it
 * has now. */
static int attachment_of(const struct plane *p, const struct shift_interface *known)
{
	char name[16];

	for (int a = 0; a < p->attachments; a++) {
		if (p->at[a].ifindex == known->ifindex)
			return a;
	}
	for (int a = 0; a < p->attachments && !if_indextoname(known->ifindex, name); a++) {
		if (!strcmp(p->at[a].name, known->name))
			return a;
	}
	return -1;
}

/* Our program runs where the record knows nothing of it, as after an apply that was killed. */
static void look_at_stranger(const struct plane_attachment *at, struct status_view *v)
{
	struct status_interface *i = &v->interface[v->interfaces++];

	i->ifindex = at->ifindex;
	i->hook = at->hook;
	i->exists = i->attached = v->attached = true;
	memcpy(i->name, at->name, sizeof(i->name));
}

static bool is_watched(uint32_t ifindex)
{
	struct plane_attachment at;

	if (plane_attachment(ifindex, true, &at) || at.hook == SHIFT_HOOK_NONE)
		return false;
	close(at.prog_fd);
	return true;
}

/* What the record names, and what the kernel says of it now: plane_find has just asked. */
static int look_at_interfaces(const struct plane *p, const struct shift_globals *g,
			      uint32_t service, struct status_view *v)
{
	bool shown[SHIFT_MAX_INTERFACES] = {0};

	for (uint32_t slot = 0; slot < SHIFT_MAX_INTERFACES; slot++) {
		const struct shift_interface *known = &g->interface[slot];
		struct status_interface *i = &v->interface[v->interfaces];
		int at = known->ifindex ? attachment_of(p, known) : -1, err;
		struct telemetry_interface seen;

		if (at >= 0)
			shown[at] = true;
		if (!known->ifindex || !(known->services >> service & 1))
			continue;
		i->ifindex = at >= 0 ? p->at[at].ifindex : known->ifindex;
		i->hook = at >= 0 ? p->at[at].hook : known->hook;
		if (known->xdp && !short_find(i->ifindex, &i->xdp))
			i->xdp_lost = i->xdp == SHIFT_XDP_NONE;
		i->attached = at >= 0;
		i->watched = at >= 0 && is_watched(i->ifindex);
		v->attached |= i->attached;
		i->exists = if_indextoname(i->ifindex, i->name) != NULL;
		if (!i->exists)
			memcpy(i->name, known->name, sizeof(i->name) - 1);
		err = telemetry_interface(p, g, slot, &seen);
		if (err)
			return err;
		i->packets_10s = seen.packets_10s;
		/* Packets are an interface's, not a service's: each of its services shows them. */
		for (size_t d = 0; d < sizeof(losing) / sizeof(*losing); d++)
			v->drops[losing[d]] += seen.verdict[losing[d]];
		v->interfaces++;
	}
	for (int at = 0; at < p->attachments; at++) {
		if (!shown[at] && v->interfaces < SHIFT_MAX_INTERFACES)
			look_at_stranger(&p->at[at], v);
	}
	return 0;
}

static enum status_health health_of(uint8_t health, uint64_t until, uint64_t boot)
{
	if (health == SHIFT_HEALTH_UNKNOWN || boot >= until)
		return STATUS_UNKNOWN;
	return health == SHIFT_HEALTH_UP ? STATUS_UP : STATUS_DOWN;
}

static int look_at_backends(const struct plane *p, uint32_t service, struct status_view *v,
			    const struct flows_count *count)
{
	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS; id++) {
		struct status_backend *s = &v->backend[v->backends];
		struct shift_backend_stats stats;
		struct shift_breaker breaker;
		struct shift_backend b;
		int err = bpfsys_lookup(p->map[PLANE_BACKENDS], &id, &b);

		if (err)
			return err;
		if (b.service != service || !b.name[0])
			continue;
		err = telemetry_backend(p, id, &stats);
		if (err)
			return err;
		v->new_packets += stats.packets_up + stats.packets_down;
		v->new_bytes += stats.bytes_up + stats.bytes_down;
		if (!(b.flags & SHIFT_BACKEND_USED))
			continue;
		s->id = id;
		memcpy(s->name, b.name, SHIFT_NAME);
		s->weight = b.weight;
		s->draining = b.flags & SHIFT_BACKEND_DRAIN;
		s->health = health_of(b.health, b.health_until, v->boot);
		if (!bpfsys_lookup(p->map[PLANE_BREAKERS], &id, &breaker)) {
			s->breaker = breaker.open;
			s->breaker_opened = breaker.opened;
		}
		s->active = count->alive_by_backend[id];
		s->stats = stats;
		err = telemetry_answers(p, id, &s->answers);
		if (err && err != -ENODATA)
			return err;
		v->backends++;
	}
	return 0;
}

static struct status_address *address_of(struct status_view *v, uint16_t backend,
					 const struct shift_target *t)
{
	struct status_address *a;

	for (unsigned int i = 0; i < v->addresses; i++) {
		a = &v->address[i];
		if (a->backend == backend && a->port == t->port &&
		    !memcmp(a->address, t->address, sizeof(a->address)))
			return a;
	}
	a = &v->address[v->addresses++];
	memcpy(a->address, t->address, sizeof(a->address));
	a->port = t->port;
	a->backend = backend;
	a->no_route = true;
	return a;
}

static int by_backend(const void *x, const void *y)
{
	const struct status_address *a = x, *b = y;

	if (a->backend != b->backend)
		return a->backend < b->backend ? -1 : 1;
	return memcmp(a, b, offsetof(struct status_address, no_route));
}

/* A target is an address through one NAT address; people want to see the address once. */
static int look_at_targets(const struct plane *p, struct status_view *v,
			   const struct flows_count *count)
{
	int place[SHIFT_MAX_BACKENDS];

	memset(place, -1, sizeof(place));
	for (unsigned int i = 0; i < v->backends; i++)
		place[v->backend[i].id] = (int)i;
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS; id++) {
		struct status_address *a;
		struct shift_target t;
		int err = bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t);

		if (err)
			return err;
		if (!(t.flags & SHIFT_TARGET_USED) || t.backend >= SHIFT_MAX_BACKENDS ||
		    place[t.backend] < 0)
			continue;
		if (t.flags & SHIFT_TARGET_DRAIN && !count->alive_by_target[id])
			continue;
		a = address_of(v, (uint16_t)place[t.backend], &t);
		a->active += count->alive_by_target[id];
		a->no_route &= !!(t.flags & SHIFT_TARGET_NO_ROUTE);
	}
	qsort(v->address, v->addresses, sizeof(*v->address), by_backend);
	return 0;
}

/* Nothing is attached, but the maps are still pinned: what `apply` would go on with. */
static void look_at_remains(struct status_view *v)
{
	const struct shift_record *r = &v->record;
	struct state *s = &v->state;

	v->saved = v->has_record;
	s->epoch = r->epoch;
	s->weight = shift_record_weight(r, v->boot);
	s->authority = r->authority;
	s->latched = r->latched;
	s->latched_at = r->latched_at;
	memcpy(s->latched_by, r->latched_by, sizeof(s->latched_by) - 1);
	s->locked_at = r->locked_at;
	memcpy(s->locked_by, r->locked_by, sizeof(s->locked_by) - 1);
	memcpy(s->lock_reason, r->lock_reason, sizeof(s->lock_reason) - 1);
}

/* A table that cannot be read counts as none: `pins` says why. */
static void look_at_pins(const struct plane *p, uint32_t service, const struct shift_service *s,
			 struct status_view *v)
{
	struct client_entry *list;
	size_t n;

	if (!(s->flags & SHIFT_SERVICE_CLIENTS) || clients_list(p, (int)service, &list, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		if (!client_is_pin(list[i].is.action) || client_is_over(&list[i].is, v->boot))
			continue;
		v->pins++;
		v->pins_suspended += list[i].is.action == SHIFT_CLIENT_NEW && v->record.latched;
	}
	free(list);
}

/* A program of before, still attached, does not count them. */
static int look_at_answers(const struct plane *p, uint32_t service, struct status_view *v)
{
	for (int arm = 0; arm < SHIFT_ARMS; arm++) {
		int err = telemetry_arm(p, service, (enum shift_arm_id)arm, &v->arm[arm]);

		if (err)
			return err == -ENODATA ? 0 : err;
	}
	v->answers = true;
	return 0;
}

int status_look_counted(const struct plane *p, uint32_t service, const struct flows_count *count,
			struct status_view *ret)
{
	struct shift_globals g;
	struct shift_service s;
	int err;

	memset(ret, 0, sizeof(*ret));
	ret->loaded = true;
	look_at_clocks(ret);
	err = plane_service(p, service, &s);
	if (!err)
		err = plane_globals(p, &g);
	if (err)
		return err;
	memcpy(ret->service, s.name, SHIFT_NAME);
	ret->affinity = s.affinity;
	ret->old_health = health_of(s.old_health, s.old_until, ret->boot);
	err = look_at_interfaces(p, &g, service, ret);
	if (err)
		return err;
	look_at_control(p, service, ret);
	err = telemetry_service(p, service, &ret->stats);
	if (!err)
		err = look_at_answers(p, service, ret);
	if (err)
		return err;
	ret->active = (uint32_t)count->alive;
	look_at_pins(p, service, &s, ret);
	err = look_at_backends(p, service, ret, count);
	if (!err)
		err = look_at_targets(p, ret, count);
	if (!ret->attached)
		look_at_remains(ret);
	return err;
}

int status_look(const struct plane *p, uint32_t service, struct status_view *ret)
{
	struct flows_count count;
	struct shift_globals g;
	int err = plane_globals(p, &g);

	if (!err)
		err = flows_count(p, (int)service, plane_tick(&g), &count);
	return err ? err : status_look_counted(p, service, &count, ret);
}

void status_look_saved(const char *service, struct status_view *ret)
{
	int err;

	memset(ret, 0, sizeof(*ret));
	ret->old_health = STATUS_UNKNOWN;
	look_at_clocks(ret);
	snprintf(ret->service, sizeof(ret->service), "%s", service);
	if (!*service)
		return;
	err = state_load(service, &ret->state);
	ret->saved = !err;
	ret->unreadable = err == -ENOENT ? 0 : err;
}

void status_services(const struct plane *p, char *ret, size_t size)
{
	size_t used = 0;

	*ret = '\0';
	for (uint32_t id = 0; id < SHIFT_MAX_SERVICES && used < size; id++) {
		struct shift_service s;

		if (plane_service(p, id, &s) || !(s.flags & SHIFT_SERVICE_USED))
			continue;
		used += (size_t)snprintf(ret + used, size - used, "%s%.*s", used ? ", " : "",
					 SHIFT_NAME, s.name);
	}
}

int64_t status_seconds_left(const struct status_view *v, uint64_t deadline)
{
	if (!deadline || deadline <= v->boot)
		return -1;
	return (int64_t)((deadline - v->boot + 999999999) / 1000000000);
}
