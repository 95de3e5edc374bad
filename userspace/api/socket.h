/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * socket.h - the daemon's socket, and how shiftctl asks there
 *
 * A line of JSON in, a line of JSON out, as often as one likes:
 *
 *   {"cmd":"ramp start","args":{"flags":["--l4-only"]},"who":"alice"}
 *   {"state":"holding","schema":1,"code":0}
 *
 * "code" is the exit code of the command (SPEC: 0 done … 6 overtaken), "error" says why it is not
 * 0. Root and the daemon's own user may do everything; a member of the one group may read, of the
 * other read and write. The kernel says who asks (SO_PEERCRED and SO_PEERGROUPS, unix(7)), and it
 * is asked at each request.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "userspace/api/socket_call.h"

struct loop;
struct json_t;
struct api_socket;

#define API_MAX_REQUEST 65536	  /* bytes of a line */
#define API_MAX_ANSWER	(4 << 20) /* the same */
#define API_NO_GROUP	((gid_t)-1)

struct api_socket_config {
	const char *path; /* DIR/shiftd.sock; the folder is there and only ours to write */
	gid_t read_group, write_group; /* API_NO_GROUP: none */
	struct api_verbs verbs;	       /* stay the caller's */
};

/*
 * Listens. What a daemon that died left at the path is replaced. -EADDRINUSE: somebody answers
 * there; -ENOTSOCK: it is something else; −errno.
 */
int api_socket_open(struct loop *l, const struct api_socket_config *c, struct api_socket **ret);
/* Other groups, after the configuration was read again; those who are connected are asked by the
 * new ones. 0 or −errno. */
int api_socket_groups(struct api_socket *s, gid_t read_group, gid_t write_group);
/* Calls that are not answered yet may be, later. NULL is fine. */
void api_socket_close(struct api_socket *s);

/* The group of a name in /etc/group, or of a number; "": API_NO_GROUP. -ENOENT. Not for the loop:
 * it reads a file. */
int api_group(const char *name, gid_t *ret);

/* ---- the other side, without a loop ---- */

/*
 * Asks and waits for the answer, `timeout_ms` in all. `args` (borrowed) and `who` may be NULL. 0
 * and *ret, an object with "code", the caller's; -ENOENT, -ECONNREFUSED: no daemon; -EACCES: not
 * for this user; -EPERM: the one who listens is neither root nor this user; -ETIMEDOUT: the
 * command may have been carried out; -EPROTO: no sensible answer; −errno.
 */
int api_socket_ask(const char *path, uint64_t timeout_ms, const char *cmd, struct json_t *args,
		   const char *who, struct json_t **ret);
