/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status.h - what `status` saw of one service, and the ways to show it
 *
 * status_look.c asks the kernel and fills a view; the others turn a view into text and ask nobody.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "userspace/cmd/cmd.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/state.h"
#include "userspace/plane/telemetry.h"

/* What is known of health. Unknown counts as usable. */
enum status_health { STATUS_UNKNOWN = -1, STATUS_DOWN = 0, STATUS_UP = 1 };

struct status_address {
	uint32_t address[4];
	uint16_t port;	  /* network order */
	bool no_route;	  /* through none of its NAT addresses was there a way at the last look */
	uint16_t backend; /* place in status_view.backend */
	uint32_t active;  /* flows that live now */
};

struct status_backend {
	uint32_t id;
	char name[SHIFT_NAME + 1];
	uint16_t weight;
	bool draining; /* takes nothing new */
	enum status_health health;
	bool breaker; /* open: one new flow in ten seconds */
	uint64_t breaker_opened;
	uint32_t active;
	struct shift_backend_stats stats;
	struct shift_answers answers;
};

struct status_interface {
	uint32_t ifindex;
	char name[16];
	bool xdp_lost;		 /* the record has ours on XDP, and the kernel has not */
	enum shift_xdp_mode xdp; /* asked of the kernel, where the record says so */
	enum shift_hook hook;	 /* the one in use, or that was used */
	bool exists;
	bool attached; /* asked of the kernel */
	bool watched;  /* the program at the egress is there, too */
	uint64_t packets_10s;
};

/* What is known of the ramp (status_ramp.c). */
struct status_ramp {
	json_t *is;	 /* as `ramp status --json` without its schema; NULL: there is no ramp */
	bool live;	 /* shiftd said so; else it is what the journal says last, */
	const char *why; /* because of this: "shiftd does not run" */
};

struct status_view {
	char service[SHIFT_NAME + 1]; /* "": none is known */
	bool attached;		      /* our program runs on one interface at least */
	bool loaded;		      /* the maps are there: what follows is the kernel's */
	bool saved;		      /* `state` holds what was saved on disk */
	int unreadable;		      /* −errno: what was saved cannot be read */
	struct state state;
	char others[256]; /* services that are attached here when this one is not */

	uint64_t taken; /* CLOCK_MONOTONIC ns */
	uint64_t boot;	/* CLOCK_BOOTTIME ns, by which deadlines are judged */
	uint64_t real;	/* CLOCK_REALTIME ns */
	uint8_t affinity;
	unsigned int pins;	     /* of clients */
	unsigned int pins_suspended; /* of these, by the latch */
	bool has_record;	     /* a control record was published */
	struct shift_record record;
	enum shift_source source; /* which share of the record is in force, */
	uint16_t weight;	  /* and that share; 0 when not attached */

	struct shift_service_stats stats;
	bool answers; /* how the arms answer is counted */
	struct telemetry_arm arm[SHIFT_ARMS];
	uint64_t new_packets, new_bytes; /* of all its backends, removed ones too */
	uint32_t active;		 /* shifted flows that live now */
	enum status_health old_health;
	uint64_t drops[SHIFT_VERDICTS]; /* of its interfaces; only verdicts that lose a packet */

	struct status_interface interface[SHIFT_MAX_INTERFACES];
	unsigned int interfaces;
	struct status_backend backend[SHIFT_MAX_BACKENDS];
	unsigned int backends;
	struct status_address address[SHIFT_MAX_TARGETS];
	unsigned int addresses; /* those of one backend follow one another */

	const struct status_ramp *ramp; /* the caller's; NULL: there is none */
	const char *silent;		/* why shiftd could not be asked; NULL: it answered */
};

/* What a frame before this one saw, so that there are rates. */
struct status_before {
	const struct status_view *view; /* NULL: this is the first frame */
	/* Connections since the share changed, or since we began to look. */
	uint64_t old_base, new_base;
};

/* Fills a view of a service of the plane. 0 or −errno. */
int status_look(const struct plane *p, uint32_t service, struct status_view *ret);
/* The same with what lives as it was counted before: that takes a look at every port there is. */
int status_look_counted(const struct plane *p, uint32_t service, const struct flows_count *count,
			struct status_view *ret);
/* The view of a service that no map knows. */
void status_look_saved(const char *service, struct status_view *ret);

/* Seconds until `deadline` (boot ns), rounded up; −1: there is none, or it has passed. */
int64_t status_seconds_left(const struct status_view *v, uint64_t deadline);

/* Backends that a new connection could go to. */
unsigned int status_usable_backends(const struct status_view *v);

/* The one obvious next command, with its reason. */
void status_next(const struct status_view *v, char *ret, size_t size);
/* In a few words, why the service is as it is. */
void status_state(const struct status_view *v, char *ret, size_t size);

json_t *status_json(const struct status_view *v);

/* How the arms answer (status_answers.c). */
json_t *status_quantiles_json(const __u64 histogram[SHIFT_HISTOGRAM]);
json_t *status_answers_json(const struct shift_answers *a);
json_t *status_arm_json(const struct telemetry_arm *a, bool watched);
/* The quantile of a histogram for people; "-": it is empty. */
const char *status_milliseconds(const __u64 histogram[SHIFT_HISTOGRAM], double quantile,
				char ret[16]);
void status_answers_show(const struct status_view *v, bool colour, FILE *to);

/*
 * The ramp. shiftd is asked once for all services, and waited for STATUS_RAMP_MS at most: *ret is
 * its answer, the caller's, or NULL with −errno.
 */
#define STATUS_RAMP_MS 200
int status_ramp_ask(json_t **ret);
/* Of one service, from that answer or else from its journal. What is in it is the caller's
 * (status_ramp_drop). */
void status_ramp_of(const json_t *answer, int err, const char *service, struct status_ramp *ret);
void status_ramp_drop(struct status_ramp *r);
/* What a line of the journal says, as shiftd would; NULL: it is none. The caller's. */
json_t *status_ramp_saved(const char *line, size_t size);
/* Is it in a state (holding, paused, promoting) that it leaves by itself or by `ramp`? */
bool status_ramp_active(const struct status_ramp *r);
/* Is there a stage below to go back to, and somebody who does it? */
bool status_ramp_has_back(const struct status_ramp *r);
/* Why it is where it is, without how long the hold is, which is shown by itself. */
const char *status_ramp_reason(const struct status_ramp *r);
/* What comes next and when; false: that is not the ramp's to say. */
bool status_ramp_next(const struct status_view *v, char *ret, size_t size);
/* Why there is nothing live, and what becomes of the ramp; "" if it is live. */
const char *status_ramp_asleep(const struct status_view *v, char *ret, size_t size);

/* The colour of a state or verdict; a gates' table in that many columns (0: no matter). */
const char *status_ramp_colour(const char *word);
void status_gates(const json_t *gates, unsigned int columns, bool brief, bool colour, FILE *to);

#define STATUS_COLUMNS 80 /* what the screen is made for, and the most that it takes */

struct status_style {
	bool colour;
	bool brief;	      /* without the backends' addresses */
	unsigned int columns; /* that there are; 0: STATUS_COLUMNS */
	unsigned int rows;    /* 0: as many as it takes. What gives way is the middle: what is in
			       * force, what to do next and how back are there to the last */
};

void status_screen(const struct status_view *v, const struct status_before *before,
		   const struct status_style *style, FILE *to);
void status_line(const struct status_view *v, FILE *to);

extern const char *const status_hook_names[];
extern const char *const status_xdp_names[]; /* by enum shift_xdp_mode */

/* Names of the services of the plane, a comma between them. */
void status_services(const struct plane *p, char *ret, size_t size);

/* Draws `frame` each second until the user ends it. It returns an exit code, or −errno to end. */
typedef int (*status_frame)(void *arg, FILE *to);
int status_watch(status_frame frame, void *arg, bool whole_screen);
