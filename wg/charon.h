/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * charon.h - what we ask of strongSwan's charon over VICI
 *
 * charon owns keys, SAs and policies; we load the connection, start and end it, and look. Every
 * call has a time limit; none blocks for longer.
 *
 * `why` gets words for people when a call fails, and never anything of a secret. Any call:
 * -ETIMEDOUT, -ECONNRESET: charon has closed the connection, -EBADMSG and -E2BIG: what came is not
 * VICI or does not end. After these the connection is of no more use, and every call says
 * -ENOTCONN: close it and open another. -EREMOTEIO: charon said no, with its words.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct charon;
struct conf_tunnel;

/* 0 and *ret for charon_close; -ENOENT, -ECONNREFUSED: charon does not run; -EACCES; -EPERM: what
 * listens there is neither root's nor ours. */
int charon_open(const char *socket, struct charon **ret, char *why, size_t size);
void charon_close(struct charon *c);
/* No request takes longer from now on; 0: each as long as it is allowed. */
void charon_hurry(struct charon *c, uint64_t patience_ns);
int charon_fd(const struct charon *c);

struct charon_child {
	char name[64];
	char state[24]; /* INSTALLED, REKEYING, … */
	uint32_t if_id; /* inbound */
	uint64_t bytes_in, bytes_out, packets_in, packets_out;
	uint64_t use_in_s, use_out_s; /* seconds since last use; UINT64_MAX never */
	uint64_t rekey_s, life_s, install_s;
	uint32_t spi_in, spi_out; /* host order */
	char cipher[48];
};

#define CHARON_CHILDREN 4

struct charon_sa {
	char name[64];
	char state[24]; /* ESTABLISHED, CONNECTING, … */
	char local[64], remote[64], remote_id[128];
	uint64_t established_s, rekey_s;
	struct charon_child child[CHARON_CHILDREN]; /* of more: those that carry packets */
	unsigned int n_children;
};

/* The SAs of one connection ("": all), at most `max`; how many, or −errno. */
int charon_list(struct charon *c, const char *name, struct charon_sa *ret, unsigned int max,
		char *why, size_t size);

/*
 * Loads connection, secret or certificate and key of a tunnel with `remote`. 1: charon had none of
 * that name or a different one; 0: it had the same. What charon does not show (secret, proposals,
 * lifetime of an SA, if_id) is loaded anew either way; charon keeps its SAs, as they are until they
 * are rekeyed. -EINVAL: the tunnel cannot be loaded; an if_id of 0 would take all the host's
 * packets.
 */
int charon_load(struct charon *c, const struct conf_tunnel *t, const char *name, uint32_t if_id,
		char *why, size_t size);
/* Connection and secret; a private key stays in charon's memory. Its SAs go on until
 * charon_terminate, so unload first: what is left of the connection could start them again. */
int charon_unload(struct charon *c, const char *name, char *why, size_t size);
/* Starts connection `name` and its child of the same name; waits up to `limit_ns` for it. 0 at once
 * when it is up. -ETIMEDOUT: not yet, charon goes on trying; -ECONNABORTED with charon's reason. */
int charon_initiate(struct charon *c, const char *name, uint64_t limit_ns, char *why, size_t size);
/* Ends the SAs of connection `name`, with or without the peer's answer. -ENOENT: it has none. */
int charon_terminate(struct charon *c, const char *name, uint64_t limit_ns, char *why, size_t size);
/* New keys for the child; asked for, not waited for. -ENOENT: there is none. */
int charon_rekey(struct charon *c, const char *name, char *why, size_t size);

struct charon_event {
	char kind[24]; /* ike-updown, child-updown, child-rekey, ike-rekey */
	char name[64]; /* of the connection */
	bool up;
};
/* After this, charon_fd becomes readable for events. Those that came during another call wait for
 * charon_event without that: look after each call, too. */
int charon_follow(struct charon *c);
/* 1 and *ret; 0: none now; -ENOBUFS: some were lost, look at everything; -ECONNRESET: charon is
 * gone. */
int charon_event(struct charon *c, struct charon_event *ret);
