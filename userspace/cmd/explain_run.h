/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * explain_run.h - asking the program itself what it would do with a SYN or a datagram
 */
#pragma once

#include <stdint.h>

#include "userspace/plane/plane.h"

struct explain_packet {
	uint32_t client[4];	    /* as in bpf/shift.h */
	uint16_t client_port;	    /* network order */
	struct shift_listen listen; /* of the same family */
};

/*
 * Runs shift_explain on the maps of `p` with that packet, made up: a SYN; a datagram; for a
 * listener of QUIC an Initial. Nothing is sent, counted or remembered.
 * 0; or −errno, and load_complaint says more.
 */
int explain_run(const struct plane *p, const struct explain_packet *like,
		struct shift_explanation *ret);
