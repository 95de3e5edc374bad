/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog.h - a line in a file for each shifted connection that ended
 *
 *   flowlog_make(loop, &world, "/run/shift/flows", &l);
 *   flowlog_use(l, config);                      again after each SIGHUP, which also opens the file
 * anew
 *
 * The configuration's `flow_log`, of the configuration's service. A line is one JSON object:
 *
 *   {"schema":1,"flow":"31.4711.2","service":"api","protocol":"tcp","client":"198.51.100.7",
 *    "client_port":40112,"listen":"203.0.113.10:443","nat":"203.0.113.10","nat_port":24711,
 *    "backend":"aws","backend_address":"52.1.2.3:443","start":"2026-03-01T14:30:12.118Z",
 *    "end":"2026-03-01T14:30:12.480Z","bytes_up":1023,"bytes_down":5311,"ended":"client-fin",
 *    "epoch":7}
 *
 *   flow        names it for this boot of the host: a line that is there twice has the same
 *   listen      null: not known any more
 *   start       its first packet, by the clock as it is now; exact to the millisecond
 *   end         its last packet, no earlier than that and to a tick (16 jiffies: 64 ms at HZ 250)
 *               behind it; when `timeouts` were changed while it lived, as far off as they were
 *               changed by, if it ended by silence; null: its port was being taken again
 *   bytes_*     IP length, as the counters have it, of what was forwarded until the line was
 *               written: a FIN that is repeated later is not in it
 *   ended       client-fin, backend-fin: who closed first; client-rst, backend-rst; refused: a RST
 *               answered its SYN; unanswered: nothing did; silent: it had no packet for the
 *               state's time; cut; abandoned: its tuple began anew, or it was given to the old
 *               host; detached: its records were taken away; unknown
 *
 * Between these, {"schema":1,"lost":3,"from":"…","to":"…"}: so many flows more ended in that time,
 * of which nothing is known. Where two services share a backend's address and a NAT address, the
 * other's lost ones are among them. A flow none of whose packets was forwarded has no line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct flowlog;
struct loop;
struct plane;

struct flowlog_world {
	/* The data plane and the service's id in it, until the loop goes on; NULL: there is none.
	 */
	const struct plane *(*plane)(void *arg, uint32_t *ret_id);
	void (*say)(void *arg, const char *text); /* one line for people */
	void *arg;
};

struct flowlog_counts {
	bool on;		/* false before there is a data plane, too */
	uint64_t written, lost; /* flows, since this process began */
	char failing[700];	/* why nothing can be written now; "" */
};

/*
 * `places` is the file that keeps what was logged of each port, for the next process; of memory, as
 * under /run. The world is copied. 0 or −errno.
 */
int flowlog_make(struct loop *loop, const struct flowlog_world *world, const char *places,
		 struct flowlog **ret);
/* Writes what has ended. NULL is fine. */
void flowlog_free(struct flowlog *l);
/* From here this configuration. What is wrong is said, and tried again. */
void flowlog_use(struct flowlog *l, const struct config *c);

void flowlog_counts(const struct flowlog *l, struct flowlog_counts *ret);
/* One line for people; "" when it is off. Returns ret. */
const char *flowlog_text(const struct flowlog *l, char *ret, size_t size);
