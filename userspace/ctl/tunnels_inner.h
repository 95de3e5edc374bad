/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnels_inner.h - what the files of the tunnels' runner share
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "userspace/base/loop.h"
#include "userspace/ctl/tunnels.h"
#include "wg/mtu.h"
#include "wg/watch.h"

#define MS     1000000ull
#define SECOND (1000 * MS)

#define MAX_CHARON 4

/* What one tunnel needs besides its place in the watch. */
struct prober {
	struct ctl_tunnels *d;
	unsigned int i;
	struct loop_timer send, loss;
	int fd; /* of the probe, as the loop knows it; -1: none */
	struct mtu_search mtu;
	bool mtu_runs;
	uint16_t mtu_seq;
	uint64_t mtu_sent_at, mtu_next_at;
	pid_t child; /* that repairs it, 0: none */
	uint64_t child_since;
};

/* A charon whose events are followed; one for each socket. */
struct follower {
	struct ctl_tunnels *d;
	char socket[CONF_TEXT];
	struct charon *charon; /* NULL: it is not there now */
	int fd;
	uint64_t tried_at;
};

struct ctl_tunnels {
	struct loop *loop;
	char dir[200];
	ctl_say say;
	void *arg;
	struct watch *watch; /* NULL before the first configuration */
	struct prober prober[CONF_MAX_TUNNELS];
	struct follower follower[MAX_CHARON];
	unsigned int n_followers;
	struct loop_timer tick, again;
	int xfrm, private; /* descriptors, or -1 */
	uint64_t saved_at, ticked_at;
	int disk;   /* −errno of the state on disk, when it was last wanted */
	bool dirty; /* something changed since the state was saved */
};

/* Looks at everything at once instead of at the next tick. */
void ctl_tunnels_hurry(struct ctl_tunnels *t);

/* How long a probe of the tunnel is waited for. */
uint64_t ctl_probe_timeout(const struct watch_tunnel *t);

/* tunnels_mtu.c: the search for the largest packet that passes. */
struct probe_event;
void ctl_mtu_tick(struct prober *p, uint64_t now);
void ctl_mtu_answer(struct prober *p, const struct probe_event *e, uint64_t now);

/* tunnels_charon.c: charon's events. */
void ctl_charon_choose(struct ctl_tunnels *t);
void ctl_charon_tick(struct ctl_tunnels *t, uint64_t now);
void ctl_charon_end(struct ctl_tunnels *t);
