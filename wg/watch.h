/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * watch.h - tunnels looked at, judged, and failed over
 *
 * What `tunnel check` does once and shiftd does all the time: look at the kernel and at charon,
 * count probes, let the machines of health.h and failover.h judge, carry the switch out, and keep
 * on disk what the next look needs.
 *
 *   watch_open(config, dir, &w, why, sizeof(why));
 *   … probes → watch_probe(w, i, answered) …
 *   watch_begin(w, 5000);            // the lock and the state on disk
 *   for each tunnel: watch_look(w, i, now), watch_judge(w, i, now)
 *   watch_switch(w, fix, now);
 *   watch_end(w, true);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/conf/config.h"
#include "wg/fixed.h"
#include "wg/failover.h"
#include "wg/health.h"
#include "wg/probe.h"
#include "wg/want.h"
#include "wg/wireguard.h"
#include "wg/window.h"

struct watch_tunnel {
	const struct conf_tunnel *conf;
	unsigned int index;
	char interface[16];
	uint32_t if_id;
	struct health_rules rules;
	struct health health;
	struct probe *probe; /* NULL: none, or it cannot be opened now */
	struct window_stats stats;
	struct health_look look;
	struct wg_device device;   /* as last read */
	uint64_t handshake_age_ns; /* UINT64_MAX: none or no WireGuard */
	uint32_t mtu, mtu_found;   /* of the interface; what passes, 0: not known */
	uint64_t mtu_at;	   /* when that was found; 0: never */
	char note[200];		   /* what else is known of its trouble; "" nothing */
	uint64_t repaired_at; /* last attempt to bring it back, or to find its endpoints anew */
	uint64_t silent_since, ask_again_at; /* charon's silence; 0: it answers */
	struct fixed_report fixed;	     /* of a static one */
	struct rekey_memory memory;	     /* of its keys, between two steps */
};

struct watch_group {
	struct group group;
	struct failover_rules rules;
	struct failover failover;
	char trouble[160]; /* why its routes could not be moved; "" nothing */
};

typedef void (*watch_say)(void *arg, const char *text);
/* Routes moved: whoever goes by them without asking the kernel (the data plane) follows now. */
typedef void (*watch_moved)(void *arg);

#define WATCH_MADE 128

/* An interface that was made for a tunnel of this configuration's service, or of another's. */
struct watch_made {
	char interface[16], service[CONF_NAME];
};

struct watch {
	const struct config *config;
	char dir[200];
	struct watch_tunnel tunnel[CONF_MAX_TUNNELS];
	unsigned int n;
	struct watch_group group[CONF_MAX_TUNNELS];
	unsigned int n_groups;
	watch_say say;	   /* changes, one line each; NULL: nobody listens */
	watch_moved moved; /* NULL: nobody goes by them */
	void *arg;	   /* of both */
	bool patient;	   /* may wait some seconds for charon's words */
	int lock;
	uint64_t saved_as; /* which file on disk is the one we know; 0: none */
	bool stays;	   /* of shiftd, after its first look at the disk: it has seen more of the
			      tunnels' health than any command that wrote it */
	struct watch_made made[WATCH_MADE]; /* as on disk */
	unsigned int n_made;
};

/* `dir`: where the state is kept; made when it is not there. The configuration must outlive it. 0
 * and *ret for watch_close; -ENOMEM. */
int watch_open(const struct config *c, const char *dir, struct watch **ret);
void watch_close(struct watch *w);
/* The tunnel's probe socket, opened once: it follows its interface when that is made anew
 * (probe.h), so its descriptor, which a loop may watch, stays until watch_close. NULL: none can be
 * opened. */
struct probe *watch_open_probe(struct watch_tunnel *t);

/* Takes the lock (waits up to wait_ms) and what others wrote meanwhile. 0, -EAGAIN: another holds
 * it, −errno. */
int watch_begin(struct watch *w, int wait_ms);
/* Lets it go; saved first if `save`. Nothing without the lock. −errno when it could not be saved:
 * the tunnels are as they are. */
int watch_end(struct watch *w, bool save);

/* Is it on record that this interface was made for our service? */
bool watch_made_by_us(const struct watch *w, const char *interface);
/* The next interface from *at on that was made for our service, is there and belongs to no tunnel
 * of the configuration any more; NULL: there is none. */
const char *watch_left(const struct watch *w, unsigned int *at);
/* To be kept on record at the next save, or no more. */
void watch_note_made(struct watch *w, const char *interface, bool there);

void watch_probe(struct watch *w, unsigned int i, bool answered, uint64_t now);
/* Reads the kernel; and asks charon for its words about a tunnel without SAs, if `patient`. */
void watch_look(struct watch *w, unsigned int i, uint64_t now);
void watch_judge(struct watch *w, unsigned int i, uint64_t now);
/* Steps every group and, if `fix`, carries out what they decide and puts the routes back where they
 * belong. */
void watch_switch(struct watch *w, bool fix, uint64_t now);
/* What brings a tunnel back without touching what works: names whose address changed while no
 * handshake came, an IKE connection that charon lost, keys of a static tunnel whose time has come.
 * Names take `limit_ns` at most, charon what charon.h says of each call. */
void watch_repair(struct watch *w, unsigned int i, uint64_t now, uint64_t limit_ns);
/* Is there anything for it to do that may take long? */
bool watch_needs_repair(const struct watch_tunnel *t, uint64_t now);
/* One group: takes in its members' states and what was asked for by hand, and carries the decision
 * out. 1: the routes moved, 0: they are where they should be, −errno with `why`: they could not be
 * moved, and the machine is as before. */
int watch_step(struct watch *w, unsigned int g, uint64_t now, char *why, size_t size);

/* Is the tunnel in use: the active member of a group it is in? */
bool watch_active(const struct watch *w, unsigned int i);
/* The group in which the tunnel is, the one it heads first; NULL never. */
struct watch_group *watch_group_of(struct watch *w, unsigned int i);

/* shiftd's own lock, held as long as it runs: a descriptor, -EAGAIN: one runs already, −errno. */
int watch_daemon_lock(const char *dir);
/* Is there one? */
bool watch_daemon_runs(const char *dir);

/* Why a WireGuard peer that should have made a handshake has none, from its counters before and
 * after. Returns ret. */
const char *watch_silence(const struct wg_peer *before, const struct wg_peer *after, char *ret,
			  size_t size);
