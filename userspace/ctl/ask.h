/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ask.h - one health check of one address, on the loop: a TCP connection, or an HTTP(S) answer
 *
 * HTTP(S) goes to the address that is asked, with the URL's name as Host and SNI, over a connection
 * of its own; TLS is verified, no redirect is followed, and an answer is bounded in time and size.
 * Addresses that no configuration may name (net/public.h) are not connected to; the old arm's own
 * loopback is, where it is written as such.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/ctl/health.h"

struct conf_address;
struct conf_health;
struct conf_listen;
struct http;
struct loop;

#define CTL_PLACES 64

/* Where a check is asked. */
struct ctl_place {
	uint32_t address[4];
	uint16_t port; /* host order */
	bool loopback; /* may be this host's own */
	bool sourced;
	uint32_t source[4]; /* with that: asked from this address of the host, where it has it */
};

/*
 * The places of one check. `at` are those of the arm itself: the backend's addresses with its
 * target's port, or the old service's listeners. A check that names an address is asked there; else
 * at `at`, on the check's own port where it has one: tcp's, and a URL's that is not its scheme's.
 * `old`: loopback may be asked. Returns how many, at most CTL_PLACES.
 */
unsigned int ctl_ask_places(const struct conf_health *c, bool old, const struct ctl_place *at,
			    unsigned int n, struct ctl_place ret[CTL_PLACES]);
/* The name that must be looked up for a tcp check whose addresses are not the backend's (`host`,
 * "" for the old arm): then `at` is those. NULL: none. */
const char *ctl_ask_name(const struct conf_health *c, const char *host);
/* The TCP listeners, as places of the old arm. */
unsigned int ctl_ask_listeners(const struct conf_listen *l, unsigned int n,
			       struct ctl_place ret[CTL_PLACES]);

/* Backends are asked from the address that they see: the first of `nat.addresses` of the family. */
void ctl_ask_source(struct ctl_place *list, unsigned int n, const struct conf_address *nat,
		    unsigned int n_nat);

bool ctl_place_same(const struct ctl_place *a, const struct ctl_place *b);
/* "52.1.2.3:443". Returns ret. */
const char *ctl_place_text(const struct ctl_place *p, char ret[64]);

struct ctl_answer {
	bool ok;
	uint64_t took_ns;
	char reason[CTL_HEALTH_REASON]; /* in words, in either case: "HTTP 200", "no TCP answer in
					   1s" */
};

typedef void (*ctl_ask_done)(void *arg, const struct ctl_answer *a);
struct ctl_ask;

/*
 * `done` is called once, from the loop and not from within this call, unless it is cancelled.
 * `c` must live as long. 0, -ENOMEM.
 */
int ctl_ask_begin(struct loop *l, struct http *h, const struct conf_health *c,
		  const struct ctl_place *at, ctl_ask_done done, void *arg, struct ctl_ask **ret);
void ctl_ask_cancel(struct ctl_ask *a); /* NULL is fine; not of one that is done */
