/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog_inner.h - what the parts of the flow log share
 *
 * flowlog.c goes round the records, which flowlog_records.c finds, flowlog_judge.c (pure) says
 * which of them ended, flowlog_line.c (pure) writes that down, flowlog_file.c appends and rotates,
 * flowlog_places.c remembers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/shift.h"
#include "userspace/base/loop.h"
#include "userspace/conf/config.h"
#include "userspace/ctl/flowlog.h"

/* ---- flowlog_judge.c ---- */

enum flowlog_ended {
	FLOWLOG_UNKNOWN,
	FLOWLOG_CLIENT_FIN,
	FLOWLOG_BACKEND_FIN,
	FLOWLOG_CLIENT_RST,
	FLOWLOG_BACKEND_RST,
	FLOWLOG_REFUSED,
	FLOWLOG_UNANSWERED,
	FLOWLOG_SILENT,
	FLOWLOG_CUT,
	FLOWLOG_ABANDONED,
	FLOWLOG_DETACHED,
};

struct flowlog_look {
	uint32_t now;	 /* tick */
	uint32_t settle; /* ticks that a finished flow rests before it is logged */
	const struct shift_service *svc;
	bool last; /* the records are not used any more */
};

struct flowlog_verdict {
	uint32_t accounted; /* the generation that is logged or counted from now on */
	uint32_t lost;	    /* flows that this record had since, of which nothing is known */
	bool entry;	    /* a line is to be written of it, and then: */
	bool end_known;
	uint32_t quiet; /* ticks since its last packet */
	enum flowlog_ended ended;
};

/* A record as it was copied, of which `accounted` generations are logged or counted. */
void flowlog_judge(const struct shift_flow *f, uint32_t accounted, const struct flowlog_look *l,
		   struct flowlog_verdict *ret);
/* The generation to go on from where nothing was logged before. */
uint32_t flowlog_baseline(const struct shift_flow *f, uint32_t now);

/* Is there nothing to do about it? Looks at its first cache line alone. */
static inline bool flowlog_idle(const struct shift_flow *live, uint32_t accounted, uint32_t now)
{
	uint32_t generation = __atomic_load_n(&live->generation, __ATOMIC_RELAXED);

	return generation == accounted ||
	       (generation == accounted + 1 && shift_flow_alive(live, now));
}

/* ---- flowlog_line.c ---- */

#define FLOWLOG_LINE 768 /* no line is longer */

struct flowlog_clock {
	uint64_t real, mono; /* ns, at one moment */
	uint32_t hz;
};

struct flowlog_entry {
	const struct shift_flow *f;
	const struct shift_target *t;
	const struct shift_listen *l; /* not SHIFT_LISTEN_USED: not known */
	const char *service, *backend;
	uint32_t map, index; /* the array's id in the kernel, and the place in it */
	const struct flowlog_verdict *v;
};

/* Its length, with the line's end. */
size_t flowlog_line(const struct flowlog_entry *e, const struct flowlog_clock *c,
		    char ret[FLOWLOG_LINE]);
size_t flowlog_lost_line(uint64_t lost, uint64_t from_real, uint64_t to_real,
			 char ret[FLOWLOG_LINE]);
/* Which record a line is of; false: of none. */
bool flowlog_parse(const char *line, uint32_t *ret_map, uint32_t *ret_index,
		   uint32_t *ret_generation);

/* ---- flowlog_file.c ---- */

struct flowlog_file {
	char path[CONF_TEXT];
	uint64_t rotate;
	uint32_t keep;
	int fd;			   /* −1: not open */
	uint64_t size;		   /* up to the end of the last whole line */
	bool torn;		   /* there is more behind it */
	char why[CONF_TEXT + 100]; /* of the last failure */
	int failed;		   /* that −errno; 0 */
};

/* Opens it where it is not, or where another file has its name. 0 or −errno. */
int flowlog_file_open(struct flowlog_file *f);
/* Whole lines, all or none of them. 0 or −errno. */
int flowlog_file_append(struct flowlog_file *f, const char *lines, size_t size);
void flowlog_file_close(struct flowlog_file *f);

/* ---- flowlog_places.c ---- */

struct flowlog_places {
	int fd;
	char path[256];
	uint32_t map[SHIFT_MAX_TARGETS]; /* the kernel's ids of the arrays that it is about; 0 */
};

/* *ret_fresh: it knows of nothing. 0; 1: memory stands in for the file; −errno. */
int flowlog_places_open(struct flowlog_places *p, const char *path, bool *ret_fresh);
/* `forget`: there will be no next process that goes on. */
void flowlog_places_close(struct flowlog_places *p, bool forget);
/* `target` has another array from here, of so many records, and nothing of it is logged; it is
 * known for the next process only when flowlog_places_known says so. */
int flowlog_places_begin(struct flowlog_places *p, uint32_t target, uint32_t count);
int flowlog_places_known(struct flowlog_places *p, uint32_t target, uint32_t map);
int flowlog_places_read(const struct flowlog_places *p, uint32_t target, uint32_t from, uint32_t n,
			uint32_t *ret);
int flowlog_places_write(const struct flowlog_places *p, uint32_t target, uint32_t from, uint32_t n,
			 const uint32_t *accounted);

/* ---- flowlog.c ---- */

#define FLOWLOG_WINDOW 4096u	   /* records that are mapped at a time */
#define FLOWLOG_CHUNK  (64u << 10) /* of lines, appended and then noted */

#define FLOWLOG_STEP 512u /* records that are looked at or left out together; whole pages */

enum {
	FLOWLOG_SAID_LOST,
	FLOWLOG_SAID_RECORDS,
	FLOWLOG_SAID_PLACES,
	FLOWLOG_SAID_FAILING,
	FLOWLOG_SAYINGS
};

/* A target's array of records. Of a step, those are looked at that had unfinished flows when it was
 * last looked at, and those whose ports were taken since. */
struct flowlog_watched {
	struct shift_target t;
	uint32_t map, count;
	int fd;
	bool leaving;			 /* nothing uses it any more: this look is the last */
	uint32_t hand[SHIFT_MAX_SHARDS]; /* of each shard, when the last round began */
	uint64_t all_at;		 /* when all are looked at again */
	struct flowlog_step {
		uint16_t unfinished;
		uint8_t hot; /* rounds that look at it in any case */
	} step[65536 / FLOWLOG_STEP];
};

struct flowlog {
	struct loop *loop;
	struct flowlog_world world;
	char path[256]; /* of the places */
	bool on;
	char service[CONF_NAME];
	uint64_t interval;
	struct flowlog_file file;
	struct flowlog_places places;
	bool fresh; /* nothing was logged before */
	/* what the kernel says */
	uint32_t id;
	struct shift_globals globals;
	struct shift_service svc;
	uint64_t search_at;  /* when targets are searched next */
	uint64_t gone_since; /* 0: there is a data plane */
	struct flowlog_watched *watched[SHIFT_MAX_TARGETS];
	bool known[SHIFT_MAX_BACKENDS], listen_known[SHIFT_MAX_LISTENS]; /* in this round */
	char name[SHIFT_MAX_BACKENDS][SHIFT_NAME];
	struct shift_listen listen[SHIFT_MAX_LISTENS];
	/* the round */
	struct loop_timer timer;
	bool walking, blocked; /* blocked: nothing can be written */
	bool ending;	       /* what has ended is written now, however lately */
	uint64_t began, period, busy;
	uint64_t real, real_before; /* when this round and the last one began */
	uint32_t target, index;	    /* next */
	struct flowlog_look look;
	struct flowlog_clock clock;
	/* the window: what is not noted yet begins at `noted` */
	uint32_t from, noted;
	bool changed;
	uint64_t pending_lost;
	unsigned int pending;
	uint32_t accounted[FLOWLOG_WINDOW];
	/* lines */
	size_t used;
	char lines[FLOWLOG_CHUNK];
	/* what came of it */
	uint64_t written, lost, untold;
	uint64_t said_at[FLOWLOG_SAYINGS]; /* 0: never */
	bool said_failing;
	int failing; /* why nothing is written; 0 */
};

/* Says it, no more than every ten minutes; whether it did. */
bool flowlog_odd(struct flowlog *l, unsigned int what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- flowlog_records.c ---- */

/* What the data plane has now. 0 or −errno. */
int flowlog_find(struct flowlog *l, uint64_t now);
void flowlog_drop(struct flowlog *l, uint32_t target);
/* The clocks, for what is looked at next. */
void flowlog_set_clock(struct flowlog *l);
/* The hand went over `moved` places of a shard from `hand` on: these are looked at. */
void flowlog_mark(struct flowlog_watched *w, uint32_t shard, uint32_t hand, uint32_t moved);
/* The next place from which there is something to look at, at or behind `from`, and in *ret_n how
 * many in a row, no more than a window; the array's end: nothing. */
uint32_t flowlog_due(const struct flowlog_watched *w, uint32_t from, uint32_t *ret_n);
/* Records from a place that begins a page on, to be unmapped; NULL: errno. */
const struct shift_flow *flowlog_map(const struct flowlog_watched *w, uint32_t from, uint32_t n,
				     size_t *ret_size);
/* By their ids, as they were called last. */
const char *flowlog_backend(struct flowlog *l, uint32_t backend);
const struct shift_listen *flowlog_listen(struct flowlog *l, uint32_t listen);
