/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_measure.c - what a service carries now, from two looks at its counters
 *
 * Where the data plane is attached its own counters say what belongs to the service; else all that
 * this host does must do, which is the service and more, and right only as long as nothing is
 * shifted.
 *
 * Weakness: bytes of the old arm are known of the interface only, so other services on it are
 * counted in.
 */
#include "userspace/cmd/plan_measure.h"

#include <string.h>

#include "userspace/plane/bpfsys.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/plane.h"
#include "userspace/plane/telemetry.h"

const char *plan_source_name(enum plan_source source)
{
	return source == PLAN_STATED ? "stated" : source == PLAN_MEASURED ? "measured" : "unknown";
}

static uint64_t grown(uint64_t first, uint64_t last, uint64_t less)
{
	uint64_t n = last > first ? last - first : 0;

	return n > less ? n - less : 0;
}

static void measure_lifetime(const struct plan_sample *first, const struct plan_sample *last,
			     double seconds, struct plan_load *load, struct plan_sources *from)
{
	uint64_t begun = grown(first->new, last->new, 0);
	double rate = (double)begun / seconds;

	if (begun < PLAN_LEAST) {
		begun = last->shifted_10s;
		rate = (double)begun / 10;
	}
	if (begun < PLAN_LEAST || !last->alive)
		return;
	load->lifetime_ms = (uint64_t)((double)last->alive / rate * 1000 + 0.5);
	from->lifetime = PLAN_MEASURED;
	from->lives = last->alive;
}

void plan_measured(const struct plan_sample *first, const struct plan_sample *last,
		   struct plan_load *load, struct plan_sources *from)
{
	double seconds = (double)(int64_t)(last->at_ns - first->at_ns) / 1e9, rate;
	uint64_t up, down;

	if (seconds <= 0)
		return;
	rate = (double)grown(first->accepted, last->accepted, 0) / seconds;
	from->seconds = seconds;
	from->plane = first->attached && last->attached;
	if (from->plane) {
		from->old = (double)grown(first->old, last->old, 0) / seconds;
		from->new = (double)grown(first->new, last->new, 0) / seconds;
		rate = from->old + from->new;
	}
	if (from->rate == PLAN_UNKNOWN && rate > 0) {
		load->rate = rate;
		load->measured = true;
		from->rate = PLAN_MEASURED;
	}
	/* what is shifted crosses the link once more: that is none of the clients' bytes */
	up = grown(first->rx, last->rx, from->plane ? grown(first->down, last->down, 0) : 0);
	down = grown(first->tx, last->tx, from->plane ? grown(first->up, last->up, 0) : 0);
	if (from->bandwidth == PLAN_UNKNOWN && (up || down)) {
		load->up = (uint64_t)((double)up * 8 / seconds);
		load->down = (uint64_t)((double)down * 8 / seconds);
		from->bandwidth = PLAN_MEASURED;
	}
	if (from->lifetime == PLAN_UNKNOWN && from->plane)
		measure_lifetime(first, last, seconds, load, from);
}

/* ---- looking ---- */

static void look_at_plane(const struct plane *p, uint32_t id, struct plan_sample *ret)
{
	struct shift_service_stats stats;
	struct telemetry_arm arm;
	struct flows_count count;
	struct shift_globals g;

	if (plane_globals(p, &g) || telemetry_service(p, id, &stats) ||
	    flows_count(p, (int)id, plane_tick(&g), &count))
		return;
	ret->attached = true;
	ret->old = stats.connections_old;
	ret->new = stats.connections_new;
	ret->alive = count.alive;
	if (!telemetry_arm(p, id, SHIFT_ARM_NEW, &arm))
		ret->shifted_10s = arm.begun_10s;
	for (uint32_t b = 0; b < SHIFT_MAX_BACKENDS; b++) {
		struct shift_backend_stats of;
		struct shift_backend backend;

		if (bpfsys_lookup(p->map[PLANE_BACKENDS], &b, &backend) || backend.service != id ||
		    !backend.name[0] || telemetry_backend(p, b, &of))
			continue;
		ret->up += of.bytes_up;
		ret->down += of.bytes_down;
	}
}

void plan_sample(const struct config *c, const struct host *h, struct plan_sample *ret)
{
	struct plane p;
	int err = plane_find(&p), id = err ? err : plane_service_by_name(&p, c->service);

	memset(ret, 0, sizeof(*ret));
	ret->at_ns = h->at_ns;
	ret->accepted = h->accepted;
	for (unsigned int i = 0; i < c->n_interfaces; i++) {
		const struct host_link *l = host_link_named(h, c->interfaces[i].name);

		ret->rx += l ? l->rx_bytes : 0;
		ret->tx += l ? l->tx_bytes : 0;
	}
	if (id >= 0 && p.attachments)
		look_at_plane(&p, (uint32_t)id, ret);
	plane_close(&p);
}

bool plan_attached(const char *service)
{
	struct plane p;
	int err = plane_find(&p);
	bool is = !err && p.attachments && plane_service_by_name(&p, service) >= 0;

	plane_close(&p);
	return is;
}
