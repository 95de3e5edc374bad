/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * journal.h - what the ramp did and was about to do, on the disk
 *
 *   journal_open("/var/lib/shift/ramp/api", &j, &state)      1: it has a state to go on from
 *   journal_write(j, &action, &view, action.recorded)        of each RAMP_JOURNAL
 *
 * DIR/ramp.jsonl: one JSON object a line, only appended; each has the whole state of the ramp, so
 * the last whole line is all that a restart needs. A line that a crash tore is left out, the next
 * one begins behind it on a line of its own. Beyond JOURNAL_SIZE the file becomes ramp.jsonl.1, and
 * so on to JOURNAL_KEPT; the new one begins with a whole state, too.
 *
 *   {"schema":1,"seq":12,"time":"2026-03-01T14:30:12Z","who":"alice","kind":"intent",
 *    "state":"promoting","stage":1,"stages":5,"weight":10.0,"epoch":7,"reason":"ramp stage 2/5:
 * 25%", "gates":[{"name":"errors","verdict":"ok","value":0.04,"why":"0.04% < 0.1%"}],"saved":{…}}
 *
 * Kinds: the states' names when the state, or its reason, changes; intent, done, failed, overtaken,
 * unknown of an action; alarm, alarm-over, monitor, commit, commit-undone, freeze, unfreeze,
 * weight; hook, of one step of them that ended.
 *
 * For the record alone, and not in older lines: "real_ns" is `time` with its nanoseconds (as all
 * "_ns" here of CLOCK_REALTIME), "set_ns" and "set_by" since when and by whom the share in force is
 * set, "stages" and "hold_s" of the plan, "cause" what decided ("rollback:p95"), "asked" and
 * "flags" what an operator said ("resume", ["--unproven"]), "hook" {"when", "name", "outcome",
 * "seconds", "required", "why"}, and of a gate that says something bad "since_ns", when that was
 * first seen.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "userspace/ctl/ramp.h"

#define JOURNAL_SIZE (4u << 20)
#define JOURNAL_KEPT 8u

struct journal;

/* What was found, for going on. */
struct journal_found {
	bool has_state;
	struct ramp_saved saved;
	unsigned int damaged; /* lines at the end that are not whole: left out */
	struct journal_baseline {
		char gate[CONF_NAME];
		double value;
		bool whole;
	} baseline[CONF_MAX_GATES];
	unsigned int n_baselines;
};

/*
 * `dir` is made if its parent is there (0700). `found` may be NULL. −errno: it cannot be read or
 * written, and *ret is NULL. The caller closes it with journal_close, which accepts NULL.
 */
int journal_open(const char *dir, struct journal **ret, struct journal_found *found);
void journal_close(struct journal *j);
/* For tests: rotate beyond that many bytes. */
void journal_limit(struct journal *j, size_t bytes);

/*
 * Appends an action of RAMP_JOURNAL with the gates' evidence; `real` is CLOCK_REALTIME ns. With
 * `sync` it is on the disk when this returns; without, it survives this process alone, and nothing
 * was waited for. -ETIMEDOUT: the disk has not answered in the part of a second that is waited for
 * it, and the entry counts as not there, but will be, in its order; −errno: it is not there (a part
 * that could not be taken back is a torn line).
 */
int journal_write(struct journal *j, const struct ramp_action *a, const struct ramp_view *v,
		  bool sync);
/* After -ETIMEDOUT. 0: all is there; -ETIMEDOUT: *ret_waiting entries are not; −errno: the last is
 * not. */
int journal_state(const struct journal *j, unsigned int *ret_waiting);
/* For people. */
const char *journal_error_text(int err);

/* The line that journal_write would append, without its end; NULL: no memory. The caller frees it.
 */
char *journal_line(const struct ramp_action *a, const struct ramp_view *v, uint64_t seq);
/* −EBADMSG: it is no whole entry. */
int journal_parse(const char *line, size_t size, struct journal_found *ret, uint64_t *ret_seq);

/* The file that is appended to (0), or that of so many rotations ago. */
void journal_path(const char *dir, unsigned int number, char ret[400]);

/*
 * Every whole entry, the oldest first, through all files that are kept. `each` returns 0 to go on;
 * another value ends it and is returned. The entry is the caller's only during the call. Lines that
 * are not whole are counted in *ret_damaged (may be NULL). No journal at all is 0.
 */
int journal_each(const char *dir, int (*each)(void *arg, const json_t *entry), void *arg,
		 unsigned int *ret_damaged);
/* The same of one such file; *damaged is added to. One that is not there has none. */
int journal_each_line(const char *path, int (*each)(void *arg, const json_t *entry), void *arg,
		      unsigned int *damaged);
