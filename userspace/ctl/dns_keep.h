/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_keep.h - what DNS means for the share: the share of all that is kept, alarms
 */
#pragma once

#include <jansson.h>

#include "dns/share_keep.h"

struct service;

/* Of a service (service_inner.h). */
struct dns_keeper {
	struct dns_fall fall;			  /* of new connections here */
	struct dns_moved caches, arrivals, moved; /* as last seen; `moved` by both */
	bool contradict;
	uint16_t target; /* of all, kept; 0: none is */
	uint64_t set_at; /* the share, by this */
	char waits[160]; /* why it is not set; "" */
};

/* Each turn, after the ramp's. */
void dns_keep_turn(struct service *s, uint64_t now);
/* A ctl_dns_say. */
void dns_keep_says(void *service, const char *text);
/* "overall" and "dns_moved" into the dashboard's "share". */
void dns_keep_page(const struct service *s, json_t *share);
