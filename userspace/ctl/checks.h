/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * checks.h - the health of both arms, asked on the loop and told to the data plane
 *
 *   ctl_checks_make(loop, say, arg, &k);
 *   ctl_checks_use(k, config);
 *   ...
 *   ctl_checks_look(k, &view);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/conf/config.h"
#include "userspace/ctl/health.h"

struct ctl_checks;
struct loop;

/* One line for each change. `alarm`: somebody must be called. From within, nothing here but
 * ctl_checks_look may be called. */
typedef void (*ctl_checks_say)(void *arg, bool alarm, const char *text);

/* 0 or −errno. */
int ctl_checks_make(struct loop *l, ctl_checks_say say, void *arg, struct ctl_checks **ret);
/* What was written last expires by itself. NULL is fine. */
void ctl_checks_free(struct ctl_checks *k);

/*
 * From here these checks; what is known goes on for an address whose check is what it was. The
 * configuration must live until the next one is given, or ctl_checks_free. 0; -ENOMEM: some are
 * missing.
 */
int ctl_checks_use(struct ctl_checks *k, const struct config *c);

struct ctl_checks_arm {
	char name[CONF_NAME]; /* of a backend; "old" */
	bool checked;	      /* the configuration has a check for it */
	enum ctl_health_state state;
	uint64_t since;	     /* boot ns */
	double availability; /* 0..1, NAN: nothing is known */
	char reason[CTL_HEALTH_REASON];
	unsigned int places, places_up; /* addresses that are asked */
	bool breaker; /* the program in the kernel gives it nothing: to traffic it is down */
	bool held;    /* down, and given new flows all the same (after commit, the last ones) */
	uint16_t weight;
};

struct ctl_checks_view {
	bool attached;	/* the service is in the data plane; false: nothing is written */
	bool committed; /* authority new */
	struct ctl_checks_arm old;
	struct ctl_checks_arm backend[CONF_MAX_BACKENDS]; /* as in the configuration */
	unsigned int n_backends;
	struct ctl_health_view all; /* of the backends */
};

void ctl_checks_look(const struct ctl_checks *k, struct ctl_checks_view *ret);
/* One line for people: "new 2 of 3 up (azure: connection refused), old up". Returns ret. */
const char *ctl_checks_text(const struct ctl_checks *k, char *ret, size_t size);
/* When the loop last came round to it, CLOCK_BOOTTIME: the sign of life. */
uint64_t ctl_checks_alive(const struct ctl_checks *k);
