/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reset.h - RSTs to both ends of shifted connections that send nothing themselves
 *
 * The program answers every packet of a cut flow with RSTs, but an idle flow has none. Its record
 * holds what each side acknowledged last; a RST with that number is obeyed at once (RFC 5961, 3.2),
 * and if data was under way, the challenge it draws is answered by the program.
 */
#pragma once

#include <stdint.h>

#include "userspace/plane/plane.h"

struct reset_result {
	uint64_t reset;	 /* connections whose two ends were told */
	uint64_t failed; /* at least one RST could not be sent */
	int error;	 /* −errno of the first that failed */
};

/*
 * Resets the flows of one service that began before `epoch`, at most `rate` per second (0: at
 * once). With a rate each is marked as cut just before. 0, or −errno when it could not begin.
 */
int reset_flows(struct plane *p, int service, uint64_t epoch, uint32_t rate,
		struct reset_result *ret);
