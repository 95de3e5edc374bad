/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * checks_act.c - from what the checks found to what the data plane is told and people are shown
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/ctl/checks_inner.h"
#include "userspace/plane/control.h"

#define AGAIN 50000000ull /* ns, when somebody else is writing */

void checks_tell(const struct ctl_checks *k, bool alarm, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	k->say(k->arg, alarm, text);
}

/* ---- what follows for traffic ---- */

const struct checks_seen *checks_seen_of(const struct ctl_checks *k, const struct arm *a)
{
	for (unsigned int i = 0; i < k->n_seen; i++)
		if (!strcmp(k->seen[i].name, a->name))
			return &k->seen[i];
	return NULL;
}

/* Until when the verdict holds: the longest of those looks that say the same. */
static uint64_t until_of(const struct arm *a)
{
	uint64_t until = 0;

	for (const struct endpoint *e = a->list; e; e = e->next) {
		uint64_t at = ctl_health_until(&e->h, &a->rules);

		if (e->h.state == a->whole.state && at > until)
			until = at;
	}
	return until;
}

static void fill_member(const struct ctl_checks *k, const struct arm *a,
			struct ctl_health_member *m)
{
	const struct checks_seen *s = checks_seen_of(k, a);

	*m = (struct ctl_health_member){.state = a->whole.state,
					.checked = a->c->given,
					.weight = s ? s->weight : a->b->weight,
					.draining = s && s->draining,
					.breaker = s && s->breaker};
	for (unsigned int i = 0; i < a->n_at; i++)
		m->family[ip_family(a->at[i].address) == 6] = true;
}

/* Must the data plane be told? *ret says what. */
static bool differs(const struct arm *a, const struct ctl_health_member *m,
		    const struct checks_seen *s, struct checks_verdict *ret)
{
	*ret = (struct checks_verdict){.id = s->id, .name = a->name, .health = m->verdict};
	if (m->verdict == SHIFT_HEALTH_UNKNOWN)
		return s->health != SHIFT_HEALTH_UNKNOWN && (m->held || !m->checked);
	ret->until = until_of(a);
	return s->health != m->verdict || ret->until > s->until + a->rules.interval_ns / 2;
}

static void on_again(void *arg, uint64_t now);

static int publish_old(struct ctl_checks *k)
{
	const struct arm *a = &k->arms[k->n];
	bool up = a->whole.state == CTL_HEALTH_UP;
	uint8_t health = up ? SHIFT_HEALTH_UP : SHIFT_HEALTH_DOWN;
	uint64_t until = until_of(a);
	int err;

	if (!k->open || !a->c->given || a->whole.state == CTL_HEALTH_UNKNOWN ||
	    (health == k->old_health && until <= k->old_until + a->rules.interval_ns / 2))
		return 0;
	err = checks_plane_write_old(&k->plane, k->service, health, until);
	if (!err) {
		k->old_health = health;
		k->old_until = until;
	}
	return err;
}

static int publish_backends(struct ctl_checks *k)
{
	struct checks_verdict v[CONF_MAX_BACKENDS];
	unsigned int n = 0;
	int err;

	for (unsigned int i = 0; i < k->n && k->open; i++) {
		const struct checks_seen *s = checks_seen_of(k, &k->arms[i]);

		if (s && differs(&k->arms[i], &k->member[i], s, &v[n]))
			n++;
	}
	if (!n)
		return 0;
	err = checks_plane_write(&k->plane, k->service, v, n);
	for (unsigned int i = 0; i < n && !err; i++)
		for (unsigned int s = 0; s < k->n_seen; s++)
			if (k->seen[s].id == v[i].id) {
				k->seen[s].health = v[i].health;
				k->seen[s].until = v[i].until;
			}
	return err;
}

static void publish(struct ctl_checks *k)
{
	if (publish_backends(k) == -EAGAIN || publish_old(k) == -EAGAIN)
		loop_timer_set(k->loop, &k->again, loop_now() + AGAIN, on_again, k);
}

static void tell_family(const struct ctl_checks *k, const struct ctl_health_view *was, int f)
{
	const char *name = f ? "IPv6" : "IPv4";

	if (was->all_down[f] == k->view.all_down[f] &&
	    !(k->view.all_down[f] && was->held != k->view.held))
		return;
	if (!k->view.all_down[f])
		checks_tell(k, false, "a backend of %s is usable again", name);
	else if (k->committed)
		checks_tell(
			k, true,
			"no backend of %s is up and authority is new: the weight is held and they are "
			"given new connections all the same, for the old side's data is stale",
			name);
	else
		checks_tell(k, true,
			    "no backend of %s is up: new connections stay with the old host", name);
}

static void tell_arm(const struct ctl_checks *k, struct arm *a, const struct ctl_health_member *m)
{
	if (a->breaker != m->breaker)
		checks_tell(
			k, false, "backend %s: %s", a->name,
			m->breaker
				? "the data plane found that it fails and gives it nothing but a "
				  "trial in ten seconds"
				: "the data plane gives it new connections again");
	a->breaker = m->breaker;
	a->held = m->held;
}

void checks_act(struct ctl_checks *k)
{
	struct ctl_health_view was = k->view;
	struct shift_record r;
	uint64_t head;

	if (k->open && !control_get(&k->plane.control[k->service], &r, &head))
		k->committed = r.authority == SHIFT_AUTHORITY_NEW;
	for (unsigned int i = 0; i < k->n; i++)
		fill_member(k, &k->arms[i], &k->member[i]);
	ctl_health_decide(k->member, k->n, k->committed, &k->view);
	for (unsigned int i = 0; i < k->n; i++)
		tell_arm(k, &k->arms[i], &k->member[i]);
	for (int f = 0; f < 2; f++)
		tell_family(k, &was, f);
	publish(k);
}

static void on_again(void *arg, uint64_t now)
{
	(void)now;
	publish(arg);
}

/* ---- what others see ---- */

static void look_at(const struct arm *a, struct ctl_checks_arm *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->name, a->name, sizeof(ret->name));
	ret->checked = a->c->given;
	ret->state = a->whole.state;
	ret->since = a->whole.since;
	ret->availability = ctl_health_availability(&a->whole, loop_now());
	memcpy(ret->reason, a->whole.reason, sizeof(ret->reason));
	if (a->whole.state == CTL_HEALTH_UNKNOWN && a->list)
		memcpy(ret->reason, a->list->h.reason, sizeof(ret->reason));
	for (const struct endpoint *e = a->list; e; e = e->next) {
		ret->places++;
		ret->places_up += e->h.state == CTL_HEALTH_UP;
	}
	ret->breaker = a->breaker;
	ret->held = a->held;
}

void ctl_checks_look(const struct ctl_checks *k, struct ctl_checks_view *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->old.availability = (double)NAN;
	if (!k->arms)
		return;
	ret->attached = k->open;
	ret->committed = k->committed;
	ret->all = k->view;
	ret->n_backends = k->n;
	for (unsigned int i = 0; i < k->n; i++) {
		look_at(&k->arms[i], &ret->backend[i]);
		ret->backend[i].weight = k->member[i].weight;
	}
	look_at(&k->arms[k->n], &ret->old);
}

const char *ctl_checks_text(const struct ctl_checks *k, char *ret, size_t size)
{
	size_t used =
		(size_t)snprintf(ret, size, "new %u of %u usable", k->view.usable, k->view.members);

	for (unsigned int i = 0; i < k->n && used < size; i++) {
		const struct arm *a = &k->arms[i];

		if (a->whole.state == CTL_HEALTH_DOWN || a->breaker)
			used += (size_t)snprintf(ret + used, size - used, "; %s: %s", a->name,
						 a->whole.state == CTL_HEALTH_DOWN
							 ? a->whole.reason
							 : "breaker open");
	}
	if (used < size && k->arms && k->arms[k->n].c->given)
		snprintf(ret + used, size - used, "; old %s",
			 ctl_health_name(k->arms[k->n].whole.state));
	return ret;
}

uint64_t ctl_checks_alive(const struct ctl_checks *k)
{
	return k->looked;
}
