/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnel_report.h - what `tunnel check` says: a line for monitoring, JSON, node_exporter's textfile
 */
#pragma once

#include "userspace/cmd/tunnel.h"

/* Prints the line or the JSON of the chosen tunnels; 0, 1, 2 or 3. */
int tunnel_report(struct tunnels *t, const struct options *o, bool daemon);
/* The same when nothing is known, and why; 3. */
int tunnel_report_unknown(const struct options *o, const char *why);
/* 0 or −errno. */
int tunnel_textfile(struct tunnels *t, const char *path);
/* One tunnel's object of `tunnel check --json`. */
struct json_t *tunnel_json(const struct watch *w, unsigned int i);
