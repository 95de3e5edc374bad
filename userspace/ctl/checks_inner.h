/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * checks_inner.h - what checks.c (asking) and checks_act.c (what follows for traffic) share
 */
#pragma once

#include "userspace/base/loop.h"
#include "userspace/ctl/ask.h"
#include "userspace/ctl/checks.h"
#include "userspace/ctl/checks_plane.h"
#include "userspace/plane/plane.h"

struct ctl_lookup;
struct arm;

struct endpoint {
	struct endpoint *next;
	struct arm *arm;
	struct ctl_place at;
	struct ctl_health h;
	struct ctl_ask *ask;
	struct loop_timer timer;
	bool wanted;
};

struct arm {
	struct ctl_checks *k;
	struct conf_health was; /* the check as it was given: a copy, to be compared */
	char name[CONF_NAME];
	bool old;
	const struct conf_health *c;
	const struct conf_backend *b; /* NULL: the old arm */
	struct ctl_health_rules rules;
	struct endpoint *list;
	struct ctl_health whole;
	struct ctl_lookup *lookup; /* of a name that the check has of its own */
	struct loop_timer names;
	struct ctl_place at[CTL_PLACES]; /* its addresses */
	unsigned int n_at;
	bool breaker, held;
};

struct ctl_checks {
	struct loop *loop;
	struct http *http;
	ctl_checks_say say;
	void *arg;
	const struct config *conf;
	struct arm *arms; /* of the backends, then the old one */
	unsigned int n;	  /* of the backends */
	struct plane plane;
	bool open; /* the plane; and the service is there: */
	int service;
	struct checks_seen seen[CONF_MAX_BACKENDS];
	unsigned int n_seen;
	uint8_t old_health; /* in the data plane */
	uint64_t old_until;
	struct ctl_health_member member[CONF_MAX_BACKENDS];
	struct ctl_health_view view;
	bool committed;
	struct loop_timer look, again;
	uint64_t looked;
	uint64_t random;
};

/* A line for people. */
void checks_tell(const struct ctl_checks *k, bool alarm, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What the data plane has of it; NULL: nothing. */
const struct checks_seen *checks_seen_of(const struct ctl_checks *k, const struct arm *a);
/* Decides anew, says what changed, and tells the data plane. */
void checks_act(struct ctl_checks *k);
