/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * charon_inner.h - what charon's files share; tests and the fuzzer, too
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "wg/charon.h"
#include "wg/vici.h"

#define CHARON_ANSWER_NS 5000000000ull /* for what charon has at hand */

struct charon_answer {
	bool said, success; /* success= was there; was yes */
	char error[256];    /* errmsg= */
};

/* What came as an event of the stream, opened. 0, or −errno, which ends the call. */
typedef int (*charon_stream)(void *arg, struct vici_reader *r);

struct charon_ask {
	struct vici_message *m; /* the request; the caller frees it */
	const char *events;	/* what it streams, NULL: nothing */
	charon_stream on_event;
	void *arg;
	uint64_t limit_ns;
};

/* Asks, takes the stream, and waits for the answer. 0 and *ret, whatever the answer says; −errno
 * and `why`, as in charon.h. */
int charon_ask(struct charon *c, const struct charon_ask *ask, struct charon_answer *ret, char *why,
	       size_t size);
/* For requests of which one wants to know no more than whether they worked: 0 or −errno. */
int charon_tell(struct charon *c, struct vici_message *m, char *why, size_t size);

/* A list-sa event that was opened. 0, or -EBADMSG. */
int charon_parse_sa(struct vici_reader *r, struct charon_sa *ret);
int charon_parse_event(struct vici_reader *r, struct charon_event *ret);

/* ---- loading ---- */

/* What list-conns tells of a connection, and what we would have it tell. */
struct charon_conn {
	bool found;
	char local[64], remote[256];		/* addresses, the first of each */
	char local_class[24], remote_class[24]; /* how each side proves who it is */
	char version[16], unique[24], remote_id[256];
	uint64_t rekey_s, dpd_s, child_rekey_s;
	char child[64], dpd_action[24], close_action[24];
};

int charon_parse_conn(struct vici_reader *r, const char *name, struct charon_conn *ret);
bool charon_same_conn(const struct charon_conn *have, const struct conf_tunnel *t,
		      const char *name);

/* Bytes of a file that a message carries; wiped and freed by charon_wipe. */
struct charon_bytes {
	uint8_t *data;
	size_t size;
};

void charon_wipe(struct charon_bytes *b);
/* A preshared key as its file has it: one line; 0x and 0s in front are hex and base64. Decodes in
 * place. 0, or -EINVAL. */
int charon_decode_psk(struct charon_bytes *b);

/* The request load-conn; certificates may have size 0. */
void charon_build_conn(struct vici_message *m, const struct conf_tunnel *t, const char *name,
		       uint32_t if_id, const struct charon_bytes *certificate,
		       const struct charon_bytes *ca);
