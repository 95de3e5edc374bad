/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * daemon.h - asking shiftd from a verb
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "userspace/cmd/cmd.h"

/*
 * Where the shiftd of this network namespace listens: SHIFT_SOCKET, else shiftd.sock in
 * SHIFT_STATE, else /run/shift/shiftd-INODE.sock. 0 or −errno.
 */
int daemon_socket(char *ret, size_t size);

struct json_t;

/*
 * Asks and waits. The exit code that the daemon gives, after saying its error; *ret is its answer
 * (the caller's, never NULL on EXIT_OK). *ret_err: why there is no answer at all, −errno, else 0;
 * the code is then EXIT_FAILED or EXIT_TIMEOUT, and nothing was said.
 */
int daemon_ask(const char *command, struct json_t *args, uint64_t timeout_ms, struct json_t **ret,
	       int *ret_err);

/* Says why there is no answer, and what to do. */
void daemon_silent(const struct options *o, int err);
