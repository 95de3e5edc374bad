/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * filters.h - the tc filters at one side of a device, whoever put them there
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct filter {
	char kind[16]; /* "bpf", "flower", "u32" */
	char name[64]; /* of bpf: what its maker called it; "" otherwise */
	uint16_t priority;
	uint32_t chain;
	uint32_t handle;
	uint32_t prog_id; /* of bpf; 0 otherwise */
	bool ours;	  /* at the place that tc.h keeps for us */
};

/*
 * In the order they run; at most `max` are stored. How many there are, or −errno. A device without
 * clsact or ingress qdisc has none.
 */
int filters_list(uint32_t ifindex, bool egress, struct filter *ret, unsigned int max);
