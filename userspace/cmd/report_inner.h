/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report_inner.h - what report_ramp.c, which reads the journal, and report_document.c, which makes
 * the document of it, share
 */
#pragma once

#include "userspace/cmd/report.h"

struct report {
	unsigned int wanted, n;
	json_t *ramp;	    /* that is being read, or the wanted one; NULL: none began yet */
	bool over;	    /* it is the wanted one, and another began behind it */
	double from, until; /* of it */
	json_t *stage;	    /* in force; NULL: none is, or the share is 0 */
	json_t *under_way;  /* an incident that has no effect yet */
	double weight;
	char state[16];
};

/* Nanoseconds of the epoch as seconds with their milliseconds; 0: none. */
double report_seconds(const json_t *ns);
/* Of an entry, or a change; 0: it has none. */
double report_time_of(const json_t *entry);
/* null for 0. */
json_t *report_time_json(double at);
