/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sync.c - the order of things: a picture of the kernel's tables is taken, changed in memory, and
 * each change is written at once, in an order in which every intermediate state is a right one.
 */
#include "userspace/plane/sync_picture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/control.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/maglev.h"
#include "userspace/plane/telemetry.h"

/* ---- the service --------------------------------------------------------------------------- */

static uint32_t ticks(const struct shift_globals *g, uint64_t ms)
{
	uint64_t t = (ms * g->hz / 1000) >> SHIFT_TICK_SHIFT;

	return t > 0x7fffffff ? 0x7fffffff : (uint32_t)t + 1;
}

static int choose_service_id(struct picture *s)
{
	struct shift_service svc;

	s->service = plane_service_by_name(s->p, s->w->service);
	if (s->service >= 0)
		return 0;
	for (uint32_t id = 0; id < SHIFT_MAX_SERVICES; id++) {
		if (plane_service(s->p, id, &svc) || svc.flags & SHIFT_SERVICE_USED ||
		    s->held_service[id])
			continue;
		s->service = (int)id;
		s->result.fresh = true;
		return 0;
	}
	sync_tell(s, "there are %d services in this namespace already", SHIFT_MAX_SERVICES);
	return -ENOSPC;
}

/* Every rank may have flows under another one now: so all are looked up. */
static int mark_all_dirty(struct picture *s, int value)
{
	size_t size = SHIFT_RANKS;
	char *m = mmap(NULL, size * SHIFT_MAX_SERVICES, PROT_READ | PROT_WRITE, MAP_SHARED,
		       s->p->map[PLANE_DIRTY], 0);

	if (m == MAP_FAILED)
		return -errno;
	memset(m + size * (size_t)s->service, value, size);
	munmap(m, size * SHIFT_MAX_SERVICES);
	return 0;
}

/* Below so many ports the default is no limit: there would be little left to share. */
#define CLIENT_CAP_FROM 1024

uint32_t sync_client_cap(uint32_t configured, uint64_t ports)
{
	if (configured)
		return configured;
	if (ports > SHIFT_MAX_FLOWS)
		ports = SHIFT_MAX_FLOWS;
	return ports > CLIENT_CAP_FROM ? (uint32_t)(ports / 2) : 0;
}

/* Towards one backend, in the family that has fewer; 0: there are none. */
static uint64_t ports_of_backend(const struct sync_wish *w)
{
	uint64_t least = 0;

	for (int family = 4; family <= 6; family += 2) {
		uint64_t nat = 0;
		bool listens = false;

		for (unsigned int i = 0; i < w->n_listens; i++)
			listens |= ip_family(w->listens[i].address) == family;
		for (unsigned int i = 0; i < w->n_nat; i++)
			nat += ip_family(w->nat[i]) == family;
		nat *= (uint64_t)(w->port_hi - w->port_lo) + 1;
		if (listens && nat && (!least || nat < least))
			least = nat;
	}
	return least;
}

/* What is no longer than this fits every way out there is. */
static int settle_floor(struct picture *s)
{
	uint32_t id = (uint32_t)s->service, floor = s->w->mtu;
	struct shift_service svc;
	int err = plane_service(s->p, id, &svc);

	if (err)
		return err;
	for (int i = 1; i < SHIFT_MAX_TARGETS && floor; i++) {
		const struct shift_target *t = &s->target[i];

		if (t->flags & SHIFT_TARGET_USED && t->mtu && t->mtu < floor)
			floor = t->mtu;
	}
	if (svc.mtu_floor == floor)
		return 0;
	svc.mtu_floor = floor;
	return sync_put(s, PLANE_SERVICES, id, &svc);
}

static int write_service(struct picture *s)
{
	struct shift_service was = {0}, svc = {0};
	uint32_t id = (uint32_t)s->service;
	int err;

	plane_service(s->p, id, &was);
	svc.flags = SHIFT_SERVICE_USED;
	if (s->w->n_clients || was.flags & SHIFT_SERVICE_CLIENTS)
		svc.flags |= SHIFT_SERVICE_CLIENTS;
	svc.seed = maglev_name_hash(s->w->service, 0);
	svc.affinity = s->w->affinity;
	svc.on_unable = s->w->on_unable;
	/* A SYN is repeated for 63 s (tcp_syn_retries 6), and then the client waits as long again.
	 */
	svc.syn_memory = ticks(&s->g, 128000);
	for (int i = 0; i < SHIFT_FLOW_STATES; i++)
		svc.timeout[i] = ticks(&s->g, s->w->timeout_ms[i]);
	svc.timeout_udp = ticks(&s->g, s->w->udp_ms);
	svc.timeout_second = s->g.hz >> SHIFT_TICK_SHIFT;
	svc.mtu_floor = was.mtu_floor;
	if (!s->result.fresh) {
		svc.old_health = was.old_health;
		svc.old_until = was.old_until;
	}
	svc.client_cap = sync_client_cap(s->w->client_cap, ports_of_backend(s->w));
	snprintf(svc.name, sizeof(svc.name), "%s", s->w->service);
	if (s->result.fresh) {
		err = telemetry_clear_service(s->p, id);
		if (!err)
			err = mark_all_dirty(s, 0);
		if (!err)
			err = sync_forget_clients(s);
		if (err)
			return err;
	} else if (svc.seed != was.seed || svc.affinity != was.affinity) {
		err = mark_all_dirty(s, 1);
		if (err)
			return err;
	}
	if (!memcmp(&was, &svc, sizeof(svc)))
		return 0;
	if (!s->result.fresh)
		sync_tell(s, "~ service %s: timeouts, affinity or on_unable", s->w->service);
	return sync_put(s, PLANE_SERVICES, id, &svc);
}

/*
 * While no flow lives and nothing is shifted, the ranks may be forgotten, so that the old arm's
 * packets need no look-up again. For this moment nothing new is taken.
 */
static int forget_dirty(struct picture *s)
{
	struct shift_record r;
	uint64_t head;
	int err, err2;

	if (s->held_service[s->service] || s->result.fresh ||
	    control_get(&s->p->control[s->service], &r, &head) ||
	    shift_record_weight(&r, control_boot_ns()) || r.not_before)
		return 0;
	err = sync_pause(s->p, s->service, true);
	if (!err)
		err = sync_count_holders(s);
	if (!err && !s->held_service[s->service])
		err = mark_all_dirty(s, 0);
	err2 = sync_pause(s->p, s->service, false);
	return err ? err : err2;
}

/* ---- listeners ----------------------------------------------------------------------------- */

static bool in_range(uint16_t port, uint32_t lo, uint32_t n)
{
	return ntohs(port) >= lo && ntohs(port) < lo + n;
}

/* A listener in the NAT range of another service would take what its backends answer. */
static int check_ranges(struct picture *s)
{
	const struct sync_wish *w = s->w;
	char a[64];

	for (unsigned int i = 0; i < w->n_listens; i++) {
		const struct sync_listen *l = &w->listens[i];

		for (uint32_t id = 1; id < SHIFT_MAX_TARGETS; id++) {
			const struct shift_target *t = &s->target[id];

			if (!(t->flags & SHIFT_TARGET_USED) || t->protocol != l->protocol ||
			    memcmp(t->nat, l->address, sizeof(t->nat)) ||
			    !in_range(l->port, t->port_lo, t->ports))
				continue;
			sync_tell(s, "%s is a NAT port of a service that is attached already",
				  text_address(l->address, l->port, a));
			return -EEXIST;
		}
	}
	for (uint32_t id = 1; id < SHIFT_MAX_LISTENS; id++) {
		const struct shift_listen *l = &s->listen[id];

		for (unsigned int n = 0; n < w->n_nat && l->flags & SHIFT_LISTEN_USED; n++) {
			if (l->service == s->service ||
			    memcmp(w->nat[n], l->address, sizeof(l->address)) ||
			    !in_range(l->port, w->port_lo, w->port_hi - w->port_lo + 1u))
				continue;
			sync_tell(s, "nat.ports has %s, where another service listens",
				  text_address(l->address, l->port, a));
			return -EEXIST;
		}
	}
	return 0;
}

/* Before anything is changed: is a listener another service's? */
static int check_listens(struct picture *s)
{
	for (unsigned int i = 0; i < s->w->n_listens; i++) {
		const struct sync_listen *l = &s->w->listens[i];

		for (uint32_t id = 1; id < SHIFT_MAX_LISTENS; id++) {
			const struct shift_listen *is = &s->listen[id];
			struct shift_service other;
			char a[64];

			if (!(is->flags & SHIFT_LISTEN_USED) || is->service == s->service ||
			    is->port != l->port || is->protocol != l->protocol ||
			    memcmp(is->address, l->address, sizeof(is->address)))
				continue;
			if (plane_service(s->p, is->service, &other))
				return -EIO;
			sync_tell(s, "%s is listened on by service %.*s already",
				  text_address(l->address, l->port, a), SHIFT_NAME, other.name);
			return -EEXIST;
		}
	}
	return 0;
}

static int want_listen(struct picture *s, const struct sync_listen *l)
{
	struct shift_listen next = {.port = l->port,
				    .protocol = l->protocol,
				    .service = (uint8_t)s->service,
				    .flags = SHIFT_LISTEN_USED | (l->quic ? SHIFT_LISTEN_QUIC : 0)};
	uint32_t id, free_id = 0;
	char a[64];
	int err;

	memcpy(next.address, l->address, sizeof(next.address));
	text_address(l->address, l->port, a);
	for (id = 1; id < SHIFT_MAX_LISTENS; id++) {
		const struct shift_listen *is = &s->listen[id];

		if (!(is->flags & SHIFT_LISTEN_USED)) {
			if (!free_id && !s->held_listen[id])
				free_id = id;
			continue;
		}
		if (is->port != l->port || is->protocol != l->protocol ||
		    memcmp(is->address, l->address, sizeof(is->address)))
			continue;
		break;
	}
	if (id == SHIFT_MAX_LISTENS)
		id = free_id;
	if (!id) {
		sync_tell(s, "no room for %s: %d listeners at most", a, SHIFT_MAX_LISTENS - 1);
		return -ENOSPC;
	}
	s->wanted_listen[id] = true;
	if (!memcmp(&next, &s->listen[id], sizeof(next)))
		return 0;
	sync_tell(s, "+ listen %s%s", a,
		  l->quic		       ? "/udp, QUIC: a flow begins with an Initial packet"
		  : l->protocol == IPPROTO_UDP ? "/udp"
					       : "");
	s->listen[id] = next;
	err = sync_put(s, PLANE_LISTENS, id, &next);
	return err ? err : sync_entry(s, id, true);
}

/* The union over all services, what drains included. */
static int write_ports(struct picture *s)
{
	struct shift_ports *ports = calloc(1, sizeof(*ports));
	int err;

	if (!ports)
		return -ENOMEM;
	for (int i = 1; i < SHIFT_MAX_LISTENS; i++) {
		uint16_t port = ntohs(s->listen[i].port);

		if (s->listen[i].flags & SHIFT_LISTEN_USED)
			ports->listen[port >> 6] |= 1ull << (port & 63);
	}
	for (int i = 1; i < SHIFT_MAX_TARGETS; i++) {
		const struct shift_target *t = &s->target[i];

		for (uint32_t k = 0; t->flags & SHIFT_TARGET_USED && k < t->ports; k++) {
			uint32_t port = t->port_lo + k;

			ports->nat[port >> 6 & 1023] |= 1ull << (port & 63);
		}
	}
	err = sync_put(s, PLANE_PORTS, 0, ports);
	free(ports);
	return err;
}

/* ---- in order ------------------------------------------------------------------------------ */

static int sync_in_order(struct picture *s)
{
	int err = sync_take_picture(s);

	if (!err)
		err = choose_service_id(s);
	if (!err)
		err = check_listens(s);
	if (!err)
		err = check_ranges(s);
	if (!err)
		err = write_service(s);
	for (unsigned int i = 0; i < s->w->n_backends && !err; i++)
		err = sync_backend(s, &s->w->backends[i]);
	if (!err)
		err = settle_floor(s);
	if (s->kept_ports)
		sync_tell(s,
			  "! %u pairs of backend and NAT address keep their nat.ports of before, "
			  "which %u flows hold: apply again when they have ended",
			  s->kept_ports, s->kept_flows);
	if (!err)
		err = sync_tables(s);
	if (!err)
		err = sync_clients(s);
	if (!err)
		err = write_ports(s);
	for (unsigned int i = 0; i < s->w->n_listens && !err; i++)
		err = want_listen(s, &s->w->listens[i]);
	if (!err)
		err = write_ports(s);
	if (!err)
		err = sync_drain_unwanted(s);
	sync_grace();
	if (!err)
		err = sync_count_holders(s);
	if (!err)
		err = sync_settle_mixed(s);
	if (!err)
		err = sync_free_drained(s);
	if (!err)
		err = write_ports(s);
	return err ? err : forget_dirty(s);
}

int sync_service(struct plane *p, const struct sync_wish *w, sync_way_fn way, sync_note_fn note,
		 void *arg, struct sync_result *ret)
{
	struct picture *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->p = p;
	s->w = w;
	s->way = way;
	s->note = note;
	s->arg = arg;
	err = sync_in_order(s);
	s->result.service = s->service;
	*ret = s->result;
	free(s);
	return err;
}

int sync_remove_service(struct plane *p, int service)
{
	struct picture *s = calloc(1, sizeof(*s));
	struct shift_service none = {0};
	struct sync_wish nothing = {.service = ""};
	int err;

	if (!s)
		return -ENOMEM;
	s->p = p;
	s->w = &nothing;
	s->service = service;
	err = sync_take_picture(s);
	/* First nothing leads to it any more, then its flows are forgotten, then all is free. */
	for (uint32_t id = 1; id < SHIFT_MAX_LISTENS && !err; id++) {
		if (s->listen[id].flags & SHIFT_LISTEN_USED && s->listen[id].service == service)
			err = sync_entry(s, id, false);
	}
	if (!err)
		err = sync_put(s, PLANE_SERVICES, (uint32_t)service, &none);
	if (!err)
		err = sync_drain_unwanted(s);
	sync_grace();
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS && !err; id++) {
		if (s->target[id].flags & SHIFT_TARGET_USED)
			err = sync_forget_flows(s, id, service);
	}
	if (!err)
		err = sync_tables(s);
	if (!err)
		err = sync_forget_clients(s);
	if (!err)
		err = sync_count_holders(s);
	if (!err)
		err = sync_free_drained(s);
	if (!err)
		err = write_ports(s);
	free(s);
	return err;
}

static bool wishes_for(const struct sync_wish *w, const struct shift_target *t)
{
	bool address = false, nat = false, protocol = false;

	for (unsigned int i = 0; i < w->n_backends && !address; i++) {
		for (unsigned int k = 0; k < w->backends[i].addresses; k++)
			address |=
				w->backends[i].port == t->port &&
				!memcmp(w->backends[i].address[k], t->address, sizeof(t->address));
	}
	for (unsigned int i = 0; i < w->n_nat; i++)
		nat |= !memcmp(w->nat[i], t->nat, sizeof(t->nat));
	for (unsigned int i = 0; i < w->n_listens; i++)
		protocol |= w->listens[i].protocol == t->protocol;
	return address && nat && protocol;
}

uint32_t sync_capacity(const struct plane *p, const struct sync_wish *w)
{
	uint64_t total = 0, ports = (uint64_t)(w->port_hi - w->port_lo) + 1;
	bool tcp = false, udp = false;

	for (unsigned int i = 0; i < w->n_listens; i++) {
		tcp |= w->listens[i].protocol == IPPROTO_TCP;
		udp |= w->listens[i].protocol == IPPROTO_UDP;
	}
	for (unsigned int i = 0; i < w->n_backends; i++) {
		for (unsigned int a = 0; a < w->backends[i].addresses; a++) {
			for (unsigned int n = 0; n < w->n_nat; n++) {
				if (ip_family(w->nat[n]) == ip_family(w->backends[i].address[a]))
					total += ports * ((uint64_t)tcp + udp);
			}
		}
	}
	for (uint32_t id = 1; p && p->map[PLANE_TARGETS] >= 0 && id < SHIFT_MAX_TARGETS; id++) {
		struct shift_target t;

		if (!bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t) && t.flags & SHIFT_TARGET_USED &&
		    !wishes_for(w, &t))
			total += t.ports;
	}
	return total > SHIFT_MAX_FLOWS ? SHIFT_MAX_FLOWS : total < 1024 ? 1024 : (uint32_t)total;
}

int sync_pause(const struct plane *p, int service, bool pause)
{
	struct shift_globals g;
	struct shift_service svc;
	uint32_t id = (uint32_t)service;
	int err = plane_service(p, id, &svc);

	if (!err)
		err = plane_globals(p, &g);
	if (err)
		return err;
	svc.pause_until = pause ? plane_tick(&g) + ticks(&g, SYNC_PAUSE_MS) : 0;
	if (pause && !svc.pause_until)
		svc.pause_until = 1;
	err = bpfsys_update(p->map[PLANE_SERVICES], &id, &svc);
	if (!err && pause)
		sync_grace();
	return err;
}
