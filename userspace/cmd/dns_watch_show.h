/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_watch_show.h - a watch as a frame, as lines of what changed, as JSON; and its score
 */
#pragma once

#include <stdio.h>

#include "dns/survey.h"
#include "userspace/cmd/dns_report.h"

/* What is asked for. */
struct dns_watch_rules {
	bool until;	      /* ends when all as wanted; else only at the timeout or by the user */
	bool expect_new;      /* what is wanted */
	uint64_t interval_ns; /* between two questions to the same source; 0: 5 s */
	uint64_t timeout_ns;  /* 0: none */
	unsigned int control; /* as in dns/survey.h */
	unsigned int samples; /* of each resolver; 0: the configuration's */
	uint8_t subnet_family, subnet_bits;
	uint32_t subnet[4];
};

/* Of each source, from look to look. */
struct dns_watched {
	bool known;
	enum dns_verdict verdict; /* as shown last */
	uint64_t expires;	  /* what it held when it gave the old value last; 0 */
	uint64_t looked_at;	  /* its newest answer that was looked at for that */
	unsigned int loaded;	  /* times that our own question made it load the old value */
};

enum dns_ended { DNS_GOES_ON, DNS_ALL_AS_WANTED, DNS_TIME_IS_UP, DNS_USER_ENDED };

struct dns_watching {
	const struct options *o;
	struct dns_command *d;
	const struct dns_watch_rules *rules;
	struct dns_survey *s;
	struct dns_judged j;
	struct dns_watched of[DNS_MAX_SOURCES];
	uint64_t began, now, interval_ns;
	enum dns_ended ended;
	/* The first prediction after the authorities had changed; 0: there was none. */
	uint64_t predicted, predicted_early, predicted_late;
	unsigned int held;		      /* sources of the control group */
	bool control_asked;		      /* it was, once */
	unsigned int control_good, control_n; /* then: as wanted, of those that answered */
	/* Of the lines. */
	bool told;
	enum dns_state state_told;
	double share_told;
	bool end_told;
};

/* How far off the prediction was. */
struct dns_watch_score {
	unsigned int n;	     /* caches that were seen to change */
	double worst_s;	     /* of these, seen − predicted; NAN */
	double counting_s;   /* the same of those that count down; NAN */
	double blur_s;	     /* how exactly that could be seen */
	bool has_last;	     /* the last change of all */
	double last_error_s; /* seen − the first prediction after the change */
};
/* Of one cache: seen − predicted, s, and how exactly it could be seen. false: it was not seen to
 * change, or nothing was predicted. */
bool dns_watch_score_one(const struct dns_watching *w, unsigned int source, double *ret_error_s,
			 double *ret_blur_s);
void dns_watch_score(const struct dns_watching *w, struct dns_watch_score *ret);

/* Remembers what each source held, and notes what our own questions did. After each judgement. */
void dns_watch_remember(struct dns_watching *w);

void dns_watch_frame(const struct dns_watching *w, FILE *to);
/* What is new since the last call. */
void dns_watch_lines(struct dns_watching *w, FILE *to);
void dns_watch_json(const struct dns_watching *w, FILE *to);
/* The end, as lines. */
void dns_watch_farewell(const struct dns_watching *w, FILE *to);
