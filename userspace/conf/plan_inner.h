/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_inner.h - what the parts of the plan share
 */
#pragma once

#include "userspace/base/ip.h"
#include "userspace/conf/plan.h"

struct plan {
	const struct config *c;
	const struct plan_host *h;
	const struct plan_load *load;
	unsigned int overrides;
	struct plan_report *report;
};

void plan_find(struct plan *p, enum plan_rule rule, struct conf_at at, const char *key,
	       const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Fills report->family; everything below uses it. */
void plan_count(struct plan *p);

/* Parts of plan_check; each adds findings. */
void plan_rules(struct plan *p);
void plan_links(struct plan *p);
void plan_sizes(struct plan *p);
void plan_steps(struct plan *p);
