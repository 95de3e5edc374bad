/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dial.h - a TCP connection begun without waiting, to see whether and how soon the other side
 * answers
 */
#pragma once

#include <stdint.h>

/*
 * Begins to connect to `address` (v4-mapped) and `port` (host order), through `device` alone unless
 * it is "". The descriptor, which becomes writable when the answer is there and which the caller
 * closes; −errno when nothing could be sent.
 */
int dial_begin(const char *device, const uint32_t address[4], uint16_t port);
/* 0: connected; -ECONNREFUSED: an answer, too; -EINPROGRESS: not yet; −errno: no answer. */
int dial_result(int fd);
/* The same through any device, from `source` (v4-mapped); a port of the kernel's choice. */
int dial_begin_from(const uint32_t source[4], const uint32_t address[4], uint16_t port);
