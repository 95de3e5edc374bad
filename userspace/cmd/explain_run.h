/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * explain_run.h - asking the program itself what it would do with a SYN
 */
#pragma once

#include <stdint.h>

#include "userspace/plane/plane.h"

struct explain_syn {
	uint32_t client[4];		   /* as in bpf/shift.h */
	uint32_t listen[4];		   /* of the same family */
	uint16_t client_port, listen_port; /* network order */
};

/*
 * Runs shift_explain on the maps of `p` with that packet. Nothing is sent, counted or remembered.
 * 0; or −errno, and load_complaint says more.
 */
int explain_run(const struct plane *p, const struct explain_syn *syn,
		struct shift_explanation *ret);
