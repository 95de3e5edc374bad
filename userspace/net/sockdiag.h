/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sockdiag.h - the TCP connections of this host as its kernel knows them, and closing one
 *
 * sock_diag(7), of the network namespace that this process is in: connections that end in another
 * namespace, as those to a container do, are none of it. Asking makes the kernel load tcp_diag and
 * inet_diag where they are modules. Closing needs CONFIG_INET_DIAG_DESTROY and CAP_NET_ADMIN.
 */
#pragma once

#include <linux/inet_diag.h>
#include <stdbool.h>
#include <stdint.h>

/* Names one connection for as long as the host runs: a port used again is another connection. */
struct sockdiag_name {
	struct inet_diag_sockid id; /* as the kernel gave it, its cookie included */
	uint8_t family;		    /* of the socket: an IPv6 one may carry IPv4 */
};

struct sockdiag_seen {
	struct sockdiag_name name;
	uint32_t local[4], remote[4];	  /* as in bpf/shift.h */
	uint16_t local_port, remote_port; /* network order */
	uint32_t unread;		  /* bytes that the program has not taken */
	uint32_t unsent;		  /* bytes not sent, or not acknowledged */
	bool timed;			  /* the rest is known */
	uint32_t sent_ms, received_ms;	  /* since data last went out, and last came in */
	uint32_t in_flight;		  /* segments not acknowledged */
	uint64_t received, answered; /* bytes that came in; that went out and are acknowledged */
};

struct sockdiag;

/* 0; or −errno. The caller gives it to sockdiag_free. */
int sockdiag_make(struct sockdiag **ret);
void sockdiag_free(struct sockdiag *s); /* NULL is fine */

/* 0: it can close connections (or tells nothing of TCP at all, as sockdiag_each will say);
 * -EOPNOTSUPP: the kernel is built without it; -EPERM; −errno. */
int sockdiag_can_close(struct sockdiag *s);

/* Calls `fn` for each established TCP connection with this local port (network order), of both
 * families; not 0 ends the walk, and is what is returned. From `fn` nothing here may be called.
 * -ENOENT: the kernel tells nothing of TCP. */
typedef int (*sockdiag_fn)(const struct sockdiag_seen *seen, void *arg);
int sockdiag_each(struct sockdiag *s, uint16_t local_port, sockdiag_fn fn, void *arg);

/* The same connection now. -ENOENT: it is no longer there, or not established. */
int sockdiag_look(struct sockdiag *s, const struct sockdiag_name *name, struct sockdiag_seen *ret);

/* Ends it: the other side gets a RST, the program here ECONNABORTED. -ENOENT: it was over. */
int sockdiag_close(struct sockdiag *s, const struct sockdiag_name *name);
