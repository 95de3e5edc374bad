/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftd_page.h - the documents of the dashboard (api/page.h), gathered from the daemon's parts
 */
#pragma once

#include "userspace/api/http.h"
#include "userspace/conf/config.h"

struct ctl_tunnels;
struct flowlog;
struct loop;
struct service;

struct page_parts {
	struct service *service;
	struct ctl_tunnels *tunnels;
	struct flowlog *flowlog;
	const struct config *config;
	struct conf_server listens; /* page_use's */
};

/*
 * Serves where metrics.listen says, and by the token and the names of `metrics`; nothing when the
 * configuration has none. *http is NULL or what an earlier call gave: with a configuration that was
 * read again, one that stays where it listens goes on, another one begins before it ends. `parts`
 * stays the caller's and is looked at with each question. 0 and *http (NULL: not wanted), or −errno
 * with `why`, and *http is as it was.
 */
int page_use(struct loop *l, struct page_parts *parts, const struct api_verbs *verbs,
	     struct api_http **http, char *why, size_t size);
