/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * page.h - the dashboard: one page without outside resources, and what it is fed with
 *
 * Documents, as JSON. "status", "ramp", "dns" and "tunnels" are what `status --json`, `ramp status
 * --json`, `dns check --json` and `tunnel check --json` print, field by field; they are served
 * under /api/NAME and are members of "page". Whoever fills them may leave out or null whatever is
 * not known: the page shows "unknown" and /metrics leaves the line out. More members do no harm.
 *
 *   "page": {
 *     "schema": 1,
 *     "at": 1772375412.3,         when it was made: seconds of the epoch, as all times here
 *     "host": "edge-a",
 *     "status": {…},              null: the kernel could not be asked
 *     "share": {                  of the new arm, in percent
 *       "now": 25.0,              in force
 *       "seen": 24.9,             of the connections (or clients) of the window
 *       "seen_of": 117203,        how many those were
 *       "planned": 50.0,          of the next stage; null: none
 *       "planned_at": 1772376120, null: it waits for something else than time
 *       "overall": 51.3,          of all clients, those that DNS sends to the new side counted;
 *                                 null: DNS is not watched, or says nothing
 *       "overall_error": 1.2,     one standard deviation of that
 *       "overall_kept": 50.0,     what `weight N --overall` asked for; null: nothing is kept
 *       "overall_waits": "…",     why it is not kept just now; null
 *       "dns_moved": 21.0         what DNS sends there by itself
 *     },
 *     "ramp": {                   null: no ramp is configured
 *       …the contract's fields: state, stage, stages, weight, reason,
 *       "plan": [{"weight": 10.0, "hold_s": 1800}, …],
 *       "hold_left_s": 840,       null: no hold is running
 *       "next": "50% in 14m if all gates are ok",
 *       "frozen": {"by": "…", "at": …, "reason": "…"},      null
 *       "gates": [{"name", "verdict", "value", "why",      the contract's
 *         "unit": "%", "arm": "new", "old_value": 0.05, "baseline": 776000,
 *         "bounds": "ok < 0.1%, pause > 0.5%, rollback > 5%",
 *         "evidence": "E 0.6, 82 of 39,012 against 211 of 117,204",
 *         "needs": "6,000 more connections, about 4m"}, …]
 *     },
 *     "dns": {…},                 null: no `dns` in the configuration, or no leader. "age_s": since
 *                                 it was seen
 *     "tunnels": {…},             null: none
 *     "alarms": [{"level": "critical" | "warning", "since": 1772375000, "text": "…"}, …],
 *     "history": [{"at": 1772375000, "who": "alice", "what": "weight 25", "why": "…"}, …]
 *     "flow_log": {"written": 1200, "lost": 0, "failing": false, "why": "…"},     null: off
 *     "commands": ["ramp pause", …]    put in by the server: what the token allows; [] without
 *   }                             history: the newest first, a dozen
 *
 *   "metrics", for /metrics: the "page" without what only a disk has, its history.
 *
 *   "point", a second's figures for the charts; the server keeps the last half hour:
 *     {"at": 1772375412, "weight": 25.0, "seen": 24.9,
 *      "old": {"rate": 375.2, "failed": 0.05, "p95_ms": 163.0}, "new": {…}}
 *   rate: connections a second; failed: percent of the window's; null where there is none.
 */
#pragma once

#include <stddef.h>

struct json_t;
struct metrics;

/* The page with `nonce` wherever its policy wants one; the caller's to free. NULL: no memory. */
char *api_page_text(const char *nonce, size_t *ret_size);

/*
 * The families of /metrics that a "metrics" document holds; every name begins with shift_. They are
 * listed in page_metrics.c, and examples/ uses no others.
 */
void api_page_metrics(const struct json_t *page, struct metrics *m);
