/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * metrics.h - numbers for Prometheus and for Nagios
 *
 *   struct metrics m;
 *   metrics_begin(&m);
 *   metrics_family(&m, "shift_tunnel_rtt_seconds", METRICS_GAUGE, "Median of the probes.");
 *   metrics_value(&m, 0.0121, "tunnel", "aws", NULL);
 *   err = metrics_write(&m, "/var/lib/prometheus/node-exporter/shift_tunnels.prom");
 *
 * One bad line makes node_exporter drop the whole file, so whatever would be one is refused here:
 * -EINVAL for a wrong name or a value before its family, -EEXIST for what is there already. The
 * first error is kept, all calls after it do nothing, and the end tells it.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

enum metrics_type { METRICS_GAUGE, METRICS_COUNTER };

struct metrics {
	FILE *file;
	char *text;
	size_t size;
	size_t family_at; /* where the family's lines begin in the text */
	char family[128]; /* "": none yet */
	int err;
};

void metrics_begin(struct metrics *m);
/* All values of a family follow it. A family without any is fine. */
void metrics_family(struct metrics *m, const char *name, enum metrics_type type, const char *help);
/* Pairs of label and value, then NULL. NAN: not known. What is no UTF-8 in a value becomes '?'. */
void metrics_value(struct metrics *m, double value, ...) __attribute__((sentinel));

/* Both end it, also when they fail. */
/* Replaces the file whole, for all to read. */
int metrics_write(struct metrics *m, const char *path);
/* 0 and the text, the caller's to free. */
int metrics_text(struct metrics *m, char **ret, size_t *ret_size);

/*
 * Appends 'label'=value[uom];warn;crit;min;max to the text in `buf` (a space before it, but at the
 * beginning), as the monitoring-plugins guidelines have it. NAN: not known, "U" as the value and
 * nothing as a limit. warn and crit are ranges ("50", "10:20", "@5:"), NULL or "": none. Nine
 * digits behind the point at most, since an exponent is not allowed. 0; -EINVAL: a label that is
 * empty or has '=', '|' or a control character, or a uom or range that is none; -ENOSPC. On failure
 * buf is as it was.
 */
int perfdata_add(char *buf, size_t size, const char *label, double value, const char *uom,
		 const char *warn, const char *crit, double min, double max);
