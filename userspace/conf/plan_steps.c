/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_steps.c - the cutover as steps, each with its command
 *
 * The order is that of the way back: the share is moved while DNS still names the old hosts, so
 * until the last step but two one command takes every client back at once.
 */
#include <stdarg.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/conf/plan_inner.h"

static void step(struct plan *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void step(struct plan *p, const char *format, ...)
{
	struct plan_report *r = p->report;
	va_list ap;

	if (r->n_steps == PLAN_MAX_STEPS)
		return;
	va_start(ap, format);
	vsnprintf(r->step[r->n_steps++], sizeof(r->step[0]), format, ap);
	va_end(ap);
}

/* "52.1.2.3, 20.1.2.3 and 4 more" */
static const char *some(const struct conf_address *list, unsigned int n, char *ret, size_t size)
{
	unsigned int shown = n > 4 ? 3 : n;
	size_t used = 0;
	char text[64];

	ret[0] = '\0';
	for (unsigned int i = 0; i < shown; i++)
		used += (size_t)snprintf(ret + used, size - used, "%s%s", i ? ", " : "",
					 conf_address_text(&list[i], text));
	if (shown < n)
		snprintf(ret + used, size - used, " and %u more", n - shown);
	return ret;
}

static void interface_names(const struct config *c, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (unsigned int i = 0; i < c->n_interfaces && used + 20 < size; i++)
		used += (size_t)snprintf(ret + used, size - used, "%s%s", i ? ", " : "",
					 c->interfaces[i].name);
}

static void ramp_steps(struct plan *p)
{
	const struct config *c = p->c;
	char weight[16], hold[32];

	if (!c->n_stages)
		step(p,
		     "shiftctl weight N: raise the share by hand, watching shiftctl status; back "
		     "at any time with shiftctl rollback");
	for (unsigned int i = 0; i < c->n_stages; i++) {
		const struct conf_stage *s = &c->stages[i];

		text_weight(s->weight, weight);
		conf_duration_text(s->hold_ms, hold);
		if (i)
			step(p, "shiftctl weight %s; hold %s", weight, hold);
		else
			step(p,
			     "shiftctl weight %s --confirm 10m, then shiftctl confirm; hold %s; "
			     "back at any time with shiftctl rollback",
			     weight, hold);
	}
}

static void dns_steps(struct plan *p)
{
	const struct config *c = p->c;
	struct conf_address addresses[CONF_MAX_DNS];
	char old[256], fresh[256], ttl[32];

	if (!c->dns.given) {
		step(p, "DNS: this file has no dns section; change the records that name the old "
			"hosts by hand, not before the soak is over");
		step(p,
		     "the old hosts keep forwarding until the old TTL has passed and nobody comes: "
		     "shiftctl status");
		return;
	}
	for (unsigned int i = 0; i < c->dns.n_fresh; i++)
		addresses[i] = c->dns.fresh[i].address;
	step(p, "DNS: %s from %s to %s", c->dns.name,
	     some(c->dns.old, c->dns.n_old, old, sizeof(old)),
	     some(addresses, c->dns.n_fresh, fresh, sizeof(fresh)));
	step(p,
	     "the old hosts keep forwarding until the last cache has expired (TTL %s and more) and "
	     "nobody comes: shiftctl status",
	     conf_duration_text(c->dns.ttl_ms, ttl));
}

void plan_steps(struct plan *p)
{
	const struct config *c = p->c;
	char interfaces[64], weight[16], hold[32];

	interface_names(c, interfaces, sizeof(interfaces));
	step(p, "preflight: nothing above refuses, and the backends serve from this host's NAT "
		"addresses");
	step(p,
	     "shiftctl apply: attach to %s, weight 0; reserves ports %u-%u for it (sysctl "
	     "net.ipv4.ip_local_reserved_ports)",
	     interfaces, c->port_lo, c->port_hi);
	ramp_steps(p);
	step(p,
	     "shiftctl commit: authority becomes new; from here a rollback loses what was written "
	     "to the new side");
	if (c->n_stages)
		step(p, "soak at %s%% for %s",
		     text_weight(c->stages[c->n_stages - 1].weight, weight),
		     conf_duration_text(c->stages[c->n_stages - 1].hold_ms, hold));
	else
		step(p, "soak at 100%%");
	dns_steps(p);
	step(p, "retire: shiftctl detach, when no shifted connection is left");
}
