/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * types.h - how the texts of a configuration are read
 *
 * What each stores at `ret`: see behind it. Private to conf/.
 */
#pragma once

#include "userspace/conf/schema.h"

/* types.c */
extern const struct type type_integer;	/* an unsigned integer of row->size bytes */
extern const struct type type_share;	/* uint16_t, hundredths of a percent */
extern const struct type type_duration; /* uint64_t, ms */
extern const struct type type_enum;	/* row->size bytes: row->min + place in row->names */
extern const struct type type_name;	/* char[CONF_NAME] */
extern const struct type type_text;	/* char[row->size]; nothing when that is 0 */
extern const struct type type_path;	/* the same */
extern const struct type type_key;	/* struct conf_peer: its key */
extern const struct type type_boolean;	/* bool */
extern const struct type type_proposal; /* struct conf_proposal */
extern const struct type type_ports;	/* uint16_t[2] */
extern const struct type type_size;	/* uint64_t, bytes */

/* address.c */
extern const struct type type_address;	 /* struct conf_address, `at` too */
extern const struct type type_cidr;	 /* the same */
extern const struct type type_listen;	 /* struct conf_listen */
extern const struct type type_target;	 /* struct conf_backend: host, address, port */
extern const struct type type_interface; /* struct conf_interface */

/* net.c */
extern const struct type type_host;	     /* char[CONF_HOST] */
extern const struct type type_tcp;	     /* struct conf_server: its address or name, and port */
extern const struct type type_peer_endpoint; /* struct conf_peer: its endpoint */
extern const struct type type_remote;	     /* char[CONF_HOST] */
extern const struct type type_resolver;	     /* struct conf_server */
extern const struct type type_authority;     /* the same */
extern const struct type type_server;	     /* struct config: dns.provider's server */
extern const struct type type_endpoint_url;  /* char[row->size], without a final slash */
extern const struct type type_url;	     /* struct conf_url */

/* gate.c */
extern const struct type type_source; /* struct conf_gate: kernel */
extern const struct type type_bound;  /* struct conf_bound */
extern const struct type type_member; /* char[row->size] */

/* An address and a port as they are written, taken apart. */
struct endpoint {
	char host[CONF_HOST];
	struct conf_address address; /* family 0: `host` is a name */
	int port;		     /* −1: none was given */
};

/* NULL, or what is wrong: "an IPv6 address with a port goes in brackets: …". */
const char *endpoint_parse(const char *text, struct endpoint *ret);

/* A plain address without brackets or port; false if it is none. */
bool address_parse(const char *text, struct conf_address *ret);

/* NULL, or why no other host can be reached at it: "multicast". */
const char *address_unfit(const struct conf_address *a);

bool address_is_mapped(const struct conf_address *a); /* an IPv4 one written as IPv6 */

/* NULL, or what is wrong with a DNS name. A last dot may be there. */
const char *host_unfit(const char *name);

/* Fills *ret, but for `at`; or what it must be: "`below baseline` behind the number". */
const char *bound_parse(const char *text, struct conf_bound *ret);
