/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * health.h - what the parts of `shiftctl health` share: both arms, asked once
 */
#pragma once

#include "userspace/cmd/cmd.h"
#include "userspace/conf/config.h"
#include "userspace/ctl/ask.h"
#include "userspace/ctl/checks_plane.h"

/* One address, asked. */
struct health_place {
	struct health_look *look;
	struct health_arm *arm;
	struct ctl_place at;
	struct ctl_ask *ask; /* NULL: done */
	struct ctl_answer answer;
};

struct health_arm {
	const char *name;
	const struct conf_health *c;
	const struct conf_backend *b; /* NULL: the old arm */
	struct health_place place[CTL_PLACES];
	unsigned int n;
	enum ctl_health_state state; /* by this one look */
	char reason[CTL_HEALTH_REASON];
	uint64_t took_ns;		/* of the quickest that is well; 0: none is */
	const struct checks_seen *seen; /* what the data plane has of it; NULL: unknown */
};

struct health_look {
	struct config *config;
	struct loop *loop;
	struct http *http;
	unsigned int waiting;
	struct health_arm old, backend[CONF_MAX_BACKENDS];
	struct ctl_health_member member[CONF_MAX_BACKENDS];
	struct ctl_health_view view;
	struct checks_seen seen[CONF_MAX_BACKENDS];
	unsigned int n_seen;
	bool attached, committed;
	uint64_t boot_ns; /* of the look */
};

/* The line or the document on stdout; 0 1 2 3. */
int health_report(const struct health_look *k, const struct options *o);
int health_report_unknown(const struct options *o, const char *why);
/* For node_exporter. 0 or −errno. */
int health_textfile(const struct health_look *k, const char *path);
