/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * clients.h - the client table: what is done with a network's new connections, whatever the share
 *
 * The entries of the configuration (bypass, clients.allow, clients.deny) are made and removed by
 * `apply` (sync_clients.c); pins by an operator. The longest prefix that holds a client decides
 * alone, whoever made it. Writers take turns (lock_host in cmd/).
 *
 * Pins are kept in SERVICE.pins beside the saved state, and a service that is new to the kernel, as
 * after a detach or a reboot, gets them back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

struct client_entry {
	uint32_t address[4];
	unsigned int bits; /* of 128 */
	struct shift_client is;
};

/* A pin, as it is kept: in the kernel's table there is no room for words. */
struct client_pin {
	struct client_entry entry;
	uint64_t until_real; /* CLOCK_REALTIME ns of is.until; 0: for good */
	char by[SHIFT_NAME];
	char reason[SHIFT_REASON];
};

/* "old", "new", "bypass", …, as they stand in files and on screens. */
const char *client_action_name(uint32_t action);
bool client_is_pin(uint32_t action);
/* The entry means nothing any more. */
bool client_is_over(const struct shift_client *c, uint64_t boot_ns);

/* All entries of a service, in the order of addresses, for the caller to free. 0 or −errno. */
int clients_list(const struct plane *p, int service, struct client_entry **ret, size_t *ret_n);

/* The one of exactly this network; NULL: there is none. */
const struct client_entry *clients_find(const struct client_entry *list, size_t n,
					const struct client_entry *e);
/* -ENOSPC: the table is full. */
int clients_put(const struct plane *p, int service, const struct client_entry *e);
int clients_delete(const struct plane *p, int service, const struct client_entry *e);

/* Tells the program that the service has entries; before that it looks at none. */
int clients_announce(const struct plane *p, int service);

/* The entry that decides about clients of `e` where `e` itself says nothing; NULL: none. */
const struct client_entry *clients_around(const struct client_entry *list, size_t n,
					  const struct client_entry *e);

/* ---- clients_saved.c: pins on disk ---- */

/* The pins that are kept, for the caller to free. 0, none being kept too; -EBADMSG: damaged.
 * *ret_this_boot: they were written since this host booted. */
int clients_load(const char *service, struct client_pin **ret, size_t *ret_n, bool *ret_this_boot);

/* The file, and −errno. */
int clients_path(const char *service, char *ret, size_t size);
/* A damaged file, to SERVICE.pins.damaged. 0 or −errno. */
int clients_set_aside(const char *service);

/*
 * Keeps what the table holds now, in a child process, so that a disk can delay nobody for longer
 * than `wait_ms`. `fresh` (may be NULL) has the words for the one that was just set. 0; -ETIMEDOUT:
 * still at it; or why not.
 */
int clients_save(const struct plane *p, int service, const char *name,
		 const struct client_pin *fresh, int wait_ms);

/* When a kept pin ends, in boot ns; 0: never. What a clock that was set back would add is not
 * given. */
uint64_t clients_deadline(const struct client_pin *pin, bool this_boot, uint64_t boot_ns,
			  uint64_t real_ns);

/* Puts the pins that are kept into the table, but those that are over or whose network the
 * configuration names; `note` gets a line for each. 0 or −errno. */
int clients_restore(const struct plane *p, int service, const char *name,
		    void (*note)(const char *line, void *arg), void *arg);
