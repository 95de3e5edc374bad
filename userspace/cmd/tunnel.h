/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnel.h - what the verbs about tunnels share
 */
#pragma once

#include "userspace/cmd/cmd.h"
#include "userspace/conf/config.h"
#include "wg/watch.h"

struct tunnels {
	struct config *config;
	struct conf_errors errors;
	struct watch *watch;
	struct want_hosts hosts;
	char dir[200];	/* of the state */
	bool stateless; /* its disk takes nothing: there is no lock, and nothing is kept */
	bool chosen[CONF_MAX_TUNNELS];
	uint64_t answered[CONF_MAX_TUNNELS]; /* what became of the probes, the first in bit 0 */
	unsigned int probes[CONF_MAX_TUNNELS];
};

/* The configuration and its tunnels; all of them are chosen. EXIT_OK, or `wrong` after saying why
 * not. */
int tunnels_load(const struct options *o, struct tunnels *ret, int wrong);
/* The same, and there is one at least. */
int tunnels_open(const struct options *o, struct tunnels *ret, int wrong);
void tunnels_close(struct tunnels *t);
/* Chooses only those that are named; EXIT_OK, or `wrong` after saying what there is. */
int tunnels_choose(struct tunnels *t, char *const *names, unsigned int n, int wrong);
/* The state on disk under its lock; EXIT_OK or an exit code after saying why not. */
int tunnels_begin(struct tunnels *t);
/* 0, or −errno after saying that the state was not kept. */
int tunnels_end(struct tunnels *t, bool save);
/* Probes the chosen tunnels, all at once, at most 64 times each; takes as long as `fall` of their
 * intervals, 5 s at most, and holds no lock. Then, between begin and end, all are looked at and
 * judged. */
void tunnels_probe(struct tunnels *t, unsigned int probes);
void tunnels_look(struct tunnels *t);

/* Routes moved: the data plane goes with them. A watch_moved. */
void tunnels_follow(void *arg);

struct json_t;

int tunnel_apply(const struct options *o, int argc, char **argv);
int tunnel_down(const struct options *o, int argc, char **argv);
int tunnel_restart(const struct options *o, int argc, char **argv);
int tunnel_list(const struct options *o, int argc, char **argv);
int tunnel_check(const struct options *o, int argc, char **argv);
int tunnel_failover(const struct options *o, int argc, char **argv);
int tunnel_keys(const struct options *o, int argc, char **argv);

/* Makes the chosen tunnels what the configuration says. Under the lock, which it lets go (and keeps
 * the state) before it waits for charon and for handshakes. What is done is printed, or appended to
 * `lines`. EXIT_OK; EXIT_TIMEOUT: it is done, but a peer made no handshake since; EXIT_FAILED after
 * saying why. */
struct apply_wish {
	bool dry_run;
	bool adopt;	  /* also what somebody else made */
	bool anew;	  /* WireGuard devices are made anew, once it is known what they shall be */
	uint64_t wait_ns; /* for handshakes */
};
int tunnels_apply(struct tunnels *t, const struct apply_wish *wish, struct json_t *lines,
		  bool *ret_any);
/* What the names mean, before the lock is taken; EXIT_OK, or EXIT_FAILED after saying why not. */
int tunnels_resolve(struct tunnels *t);
/* Whether keys, names and the kernel's interfaces allow it; EXIT_OK, or EXIT_FAILED after saying
 * why not. */
int tunnels_can_apply(struct tunnels *t);
/* A duration of at most ten minutes; EXIT_OK or EXIT_USAGE. */
int tunnels_wait_option(const char *value, uint64_t *ret_ns);
