/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_verbs.h - dns check and dns watch, and the options that they share
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/cmd/cmd.h"

int dns_check(const struct options *o, int argc, char **argv);
int dns_watch(const struct options *o, int argc, char **argv);
int dns_preflight(const struct options *o, int argc, char **argv);

/* The values of options: 0; -EINVAL after saying what is wrong. */
int dns_take_samples(const char *value, unsigned int *ret);
int dns_take_expect(const char *value, bool *ret_new);
int dns_take_subnet(const char *value, uint8_t *ret_family, uint8_t *ret_bits, uint32_t ret[4]);
