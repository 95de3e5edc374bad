/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftd_page.h - the documents of the dashboard (api/page.h), gathered from the daemon's parts
 */
#pragma once

#include "userspace/api/http.h"

struct config;
struct flowlog;
struct loop;
struct service;

struct page_parts {
	struct service *service;
	struct flowlog *flowlog;
	const struct config *config;
};

/*
 * Serves where metrics.listen says; nothing when the configuration has no `metrics`. `parts` stays
 * the caller's and is looked at with each question. 0 and *ret (NULL: not wanted), or −errno with
 * `why`.
 */
int page_open(struct loop *l, const struct page_parts *parts, const struct api_verbs *verbs,
	      struct api_http **ret, char *why, size_t size);
