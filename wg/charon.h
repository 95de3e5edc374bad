/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * charon.h - what we ask of strongSwan's charon over VICI
 *
 * charon owns keys, SAs and policies; we load the connection, start and end it, and look. Every
 * call has a time limit; none blocks for longer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct charon;
struct conf_tunnel;

/* 0 and *ret for charon_close; -ENOENT, -ECONNREFUSED: charon does not run; -EACCES; words in
 * `why`. */
int charon_open(const char *socket, struct charon **ret, char *why, size_t size);
void charon_close(struct charon *c);
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

struct charon_sa {
	char name[64];
	char state[24]; /* ESTABLISHED, CONNECTING, … */
	char local[64], remote[64], remote_id[128];
	uint64_t established_s, rekey_s;
	struct charon_child child[4];
	unsigned int n_children;
};

/* The SAs of one connection ("": all), at most `max`; how many, or −errno with `why`. */
int charon_list(struct charon *c, const char *name, struct charon_sa *ret, unsigned int max,
		char *why, size_t size);
/* Loads connection, secret or certificate and key of a tunnel with `remote`. Nothing is loaded when
 * charon has the same already (compared with what it lists). 1: loaded, 0: it was so, −errno. */
int charon_load(struct charon *c, const struct conf_tunnel *t, const char *name, uint32_t if_id,
		char *why, size_t size);
int charon_unload(struct charon *c, const char *name, char *why, size_t size);
/* Starts connection `name` and its child of the same name; waits up to `limit_ns` for it.
 * -ETIMEDOUT; -ECONNABORTED with charon's reason. */
int charon_initiate(struct charon *c, const char *name, uint64_t limit_ns, char *why, size_t size);
int charon_terminate(struct charon *c, const char *name, uint64_t limit_ns, char *why, size_t size);
int charon_rekey(struct charon *c, const char *name, char *why, size_t size);

struct charon_event {
	char kind[24]; /* ike-updown, child-updown, child-rekey, ike-rekey */
	char name[64]; /* of the connection */
	bool up;
};
/* After this, charon_fd becomes readable for events. */
int charon_follow(struct charon *c);
/* 1 and *ret; 0: none now; -ECONNRESET: charon is gone. */
int charon_event(struct charon *c, struct charon_event *ret);
