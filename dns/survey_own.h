/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * survey_own.h - what the parts of the survey share, and tests of them
 */
#pragma once

#include "dns/survey.h"

#define SURVEY_BOOTSTRAPS 4
#define SURVEY_NAMES	  32 /* name servers of a zone */
#define SURVEY_PER_NAME	  8  /* addresses of each */

struct survey_round {
	struct dns_survey *survey;
	unsigned int index;	/* of the source */
	unsigned int open;	/* questions */
	uint64_t began, before; /* this round, and the one that was complete before it; 0: none */
	bool has_first, first_is_new;
	uint16_t took; /* the type that `first` was answered to in this round; 0: none yet */
	struct dns_address first;
};

struct dns_survey_own {
	struct loop *loop;
	struct dns_engine *engine;
	uint64_t made;
	struct dns_survey_settings set;
	struct survey_round round[DNS_MAX_SOURCES];
	unsigned int busy;
	bool waits; /* the loop is to stop when nobody is busy */
	dns_survey_changed changed;
	void *arg;
	struct survey_batch *batches; /* of discovery, with questions still open */
	struct dns_target bootstrap[SURVEY_BOOTSTRAPS];
	unsigned int n_bootstrap;
	/* What is judged: the last rounds of those that were asked. */
	struct dns_source *view;
	struct dns_said *view_said;
	unsigned int n_view;
};

/* A source more; NULL: there is no room. */
struct dns_source *survey_add(struct dns_survey *s, enum dns_kind kind, const struct dns_target *t,
			      const char *text);
void survey_note(struct dns_survey *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Keeps a sample. Of a full source goes the oldest that stands between two of the same cache, type
 * and value which show the same life of its entry; else between two of the same value; else the
 * oldest. So the last old answer, the first new one and each renewal stay for long.
 */
void survey_keep(struct dns_source *s, const struct dns_sample *sample);
/* The same until no more than that are left. */
void survey_thin(struct dns_source *s, unsigned int most);

/* Is any of dns.new weighted? */
bool survey_has_weights(const struct dns_wanted *w);

/* The servers of a resolv.conf's text. How many. */
unsigned int survey_bootstraps(const char *text, struct dns_target *ret, unsigned int max);

/* The name without its first label; "." of "." and of a name of one label. */
const char *survey_above(const char *name);

/* ---- what discovery finds ---- */

struct survey_ns {
	char name[DNS_NAME];
	bool in_parent, in_child;
	struct dns_address address[SURVEY_PER_NAME];
	bool glue[SURVEY_PER_NAME]; /* given by the parent */
	bool own[SURVEY_PER_NAME];  /* given by the name's own zone */
	unsigned int n;
};

struct survey_set {
	struct survey_ns ns[SURVEY_NAMES];
	unsigned int n;
	bool parent_seen; /* the parent's servers told their delegation */
	bool child_seen;  /* a server of the zone told its own NS records */
};

/* The one of that name, made when there is none; NULL: no room. */
struct survey_ns *survey_ns(struct survey_set *set, const char *name);
void survey_ns_address(struct survey_ns *ns, const struct dns_address *a, bool glue);
/* Takes the NS records of `zone` out of an answer's section, as the parent's or the zone's own, and
 * the glue of them. How many there were; −errno. */
int survey_take_ns(struct survey_set *set, const uint8_t *wire, size_t size,
		   enum dns_section section, const char *zone, bool parent);
/* After the engine is gone: no answer comes any more. */
void survey_forget_batches(struct dns_survey *s);

/* Makes notes and sources of them. */
void survey_conclude(struct dns_survey *s, const struct survey_set *set);
