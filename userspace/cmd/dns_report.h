/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_report.h - what a survey found, told: a line for monitoring, a table, JSON, a textfile
 */
#pragma once

#include <stdio.h>

#include "dns/survey.h"
#include "userspace/cmd/dns.h"

struct dns_report {
	const struct dns_command *d;
	const struct dns_survey *s; /* judged */
	const struct dns_judged *j;
	bool expect_new;
	uint64_t now; /* loop_now() at which it was judged */
	int code;     /* 0, 1, 2, 3 as for monitoring */
	bool retire;  /* --retire was asked, and answered with: */
	int retire_code;
};

/* The name without its final dot. */
const char *dns_report_name(const struct dns_report *r, char ret[DNS_NAME]);
/* Seconds until the last expiry, 0 once it has passed or all are new; NAN: not known. Bounds too,
 * where they are wanted (may be NULL). */
double dns_report_eta(const struct dns_report *r, double *ret_low, double *ret_high);

/* The authorities' answers do not come with the weights of dns.new: p below 0.001. */
bool dns_report_off_weight(const struct dns_report *r);

/* "SHIFT DNS OK - api.example.com 12 of 12 sources new | share_new=1;;;0;1 …" and a line's end. */
void dns_report_line(const struct dns_report *r, FILE *to);
/* A line for each source. */
void dns_report_table(const struct dns_report *r, bool colour, FILE *to);
/* Weights, notes of the delegation: nothing when there is nothing to say. */
void dns_report_notes(const struct dns_report *r, FILE *to);
/* The object of --json; the caller's. */
struct json_t *dns_report_json(const struct dns_report *r);
/* 0 or −errno. */
int dns_report_textfile(const struct dns_report *r, const char *path);
/* Nothing is known, and why (NULL: what was said last to be wrong): the line or the JSON; 3. */
int dns_report_unknown(const struct options *o, const char *why);
