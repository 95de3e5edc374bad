/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan.c - the plan: its findings, and the order in which it is made
 *
 * plan_rules.c judges the configuration's own intent (families, ports, targets, gates),
 * plan_links.c the host under it (NAT addresses, interfaces), plan_sizes.c computes what fits,
 * plan_steps.c says what will be done. plan_look.c collects the facts.
 *
 * What it does not see: what other hosts do, what a name will resolve to later, and traffic of this
 * host other than what is stated. A floating address is recognised by what the kernel knows of it
 * (see plan_links.c), which a home-made failover script need not leave there.
 */
#include "userspace/conf/plan.h"

#include <string.h>

#include "userspace/conf/plan_inner.h"

unsigned int plan_check(const struct config *c, const struct plan_host *h,
			const struct plan_load *load, unsigned int overrides,
			struct plan_report *ret)
{
	static const struct plan_load nothing;
	struct plan p = {c, h, load ? load : &nothing, overrides, ret};

	memset(ret, 0, sizeof(*ret));
	plan_count(&p);
	plan_rules(&p);
	plan_links(&p);
	plan_sizes(&p);
	plan_steps(&p);
	return ret->refused;
}
