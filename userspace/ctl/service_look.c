/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_look.c - what the kernel says
 *
 * The data plane may be replaced by `apply`, taken away by `detach`, or lose an interface at any
 * time, so it is found afresh each second, as the commands do, and what was mapped before is only
 * kept when it is still the same.
 */
#include <errno.h>
#include <string.h>

#include "userspace/ctl/checks.h"
#include "userspace/ctl/service_inner.h"
#include "userspace/ctl/steer.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/control.h"

void service_lose(struct service *s, int why)
{
	if (s->open)
		plane_close(&s->plane);
	s->open = false;
	s->id = -1;
	s->missing = why;
}

static void say_why(struct service *s, int why)
{
	char text[RAMP_TEXT] = "shiftd may see again what is attached";
	bool lacking = why == -EPERM || why == -EACCES;

	if (lacking)
		snprintf(text, sizeof(text),
			 "shiftd has not the right to see what is attached (%s): no ramp, and a "
			 "re-created interface does not get its program back: it takes "
			 "CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_BPF",
			 strerror(-why));
	if (lacking || !why) /* where nothing is there, nobody knows */
		service_alarm(s, SERVICE_ALARM_RIGHTS, lacking, "rights", text);
}

void service_find(struct service *s)
{
	struct plane p;
	int err = plane_find(&p), id = err ? err : plane_service_by_name(&p, s->name);

	if (!err && !p.attachments)
		id = -ENOENT;
	say_why(s, id < 0 ? id : 0);
	if (id < 0) {
		plane_close(&p);
		service_lose(s, id);
		return;
	}
	if (s->open)
		plane_close(&s->plane);
	s->plane = p;
	s->open = true;
	s->id = id;
	s->missing = 0;
}

/* What is not known counts as usable. */
static bool is_down(const struct service *s, uint32_t id, const struct shift_backend *b,
		    uint64_t boot)
{
	struct shift_breaker breaker;

	if (b->health == SHIFT_HEALTH_DOWN && boot < b->health_until)
		return true;
	return !bpfsys_lookup(s->plane.map[PLANE_BREAKERS], &id, &breaker) && breaker.open;
}

static void look_at_backends(struct service *s, uint64_t boot)
{
	unsigned int n = 0, healthy = 0;

	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS; id++) {
		struct shift_backend b;

		if (bpfsys_lookup(s->plane.map[PLANE_BACKENDS], &id, &b) ||
		    !(b.flags & SHIFT_BACKEND_USED) || b.flags & SHIFT_BACKEND_DRAIN ||
		    b.service != s->id || !b.weight)
			continue;
		n++;
		healthy += !is_down(s, id, &b, boot);
	}
	s->view.backends = n;
	s->view.healthy = healthy;
	s->view.all_down = n && !healthy;
}

/* What the checks know beyond what they wrote: after a commit those that are down go on there. */
static void look_at_checks(struct service *s)
{
	static struct ctl_checks_view k;
	struct ramp_view *v = &s->view;

	v->old_unhealthy = false;
	ctl_checks_look(s->checks, &k);
	if (!k.attached)
		return;
	v->old_unhealthy = k.old.checked && k.old.state == CTL_HEALTH_DOWN;
	if (k.all.usable < v->healthy)
		v->healthy = k.all.usable;
	v->all_down |= k.all.members && !k.all.usable;
	service_health_is(s, !v->old_unhealthy && v->healthy == v->backends);
}

static bool application_gate(const struct config *c)
{
	for (unsigned int i = 0; i < c->n_gates; i++) {
		if (c->gates[i].kind != CONF_GATE_KERNEL && c->gates[i].arm != CONF_ARM_OLD)
			return true;
	}
	return false;
}

void service_look(struct service *s, uint64_t now)
{
	struct ramp_view *v = &s->view;
	struct shift_record r;
	uint64_t head;

	v->leader = s->conf->leader;
	v->real = control_real_ns();
	v->boot = control_boot_ns();
	v->app_gate = application_gate(s->conf);
	v->journal_failed = s->journal_error;
	v->tunnel_up = s->conf->rules.tunnel[0] && s->world.tunnel_up &&
		       s->world.tunnel_up(s->world.arg, s->conf->rules.tunnel);
	v->gates = s->shown;
	v->attached = s->open && s->id >= 0 && !control_get(&s->plane.control[s->id], &r, &head);
	if (!v->attached)
		return;
	steer_see(&r, now, v);
	s->leased = r.lease_deadline;
	look_at_backends(s, now);
	look_at_checks(s);
}
