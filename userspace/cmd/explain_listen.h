/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * explain_listen.h - which of a service's listeners a question is about
 */
#pragma once

#include <stdint.h>

#include "userspace/plane/plane.h"

/* What `--to` says: 0 is what it does not. */
struct explain_wish {
	uint32_t address[4];
	uint16_t port;
	uint8_t protocol;
};

struct explain_listens {
	struct shift_listen first; /* the one that is meant */
	struct shift_listen udp;   /* of UDP, that was asked for as much; flags 0: there is none */
	char all[512];		   /* all that the service has, for people; "nothing" */
};

/*
 * Of the client's family: one that takes connections before one that has left the configuration,
 * then TCP before UDP. 0; −ENOENT: none is asked for, and ret->all says which there are; or −errno.
 */
int explain_find_listen(const struct plane *p, int service, const uint32_t client[4],
			const struct explain_wish *wish, struct explain_listens *ret);

/* "203.0.113.10:443/udp" */
const char *explain_listen_text(const struct shift_listen *l, char ret[72]);
