/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * text.h - numbers as people write and read them
 *
 * Parsers take the whole text or nothing. Writers fill the caller's buffer and return it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A share: "25", "12.5", "25%" as hundredths of a percent, 0..10000; −EINVAL. */
int text_parse_weight(const char *text);
/* 2500 as "25", 1250 as "12.5". */
const char *text_weight(uint32_t weight, char ret[16]);

/* "500ms", "30s", "2h4m" in nanoseconds. 0, or -EINVAL. */
int text_parse_duration(const char *text, uint64_t *ret_ns);
/* "0.4s", "31s", "1m30s", "2h04m". */
const char *text_duration(uint64_t ns, char ret[32]);

/* Local wall-clock time of CLOCK_REALTIME ns, to the second: "2026-03-01 14:30:12". */
const char *text_time(uint64_t real_ns, char ret[32]);

/* 12345678 as "12,345,678". */
const char *text_count(uint64_t n, char ret[32]);

/* An address as in bpf/shift.h (v4-mapped, network order); the port too if it is not 0 (network
 * order): "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:443". */
const char *text_address(const uint32_t address[4], uint16_t port, char ret[64]);
/* A network, `bits` counted from the front of the mapped address: "192.0.2.0/24". */
const char *text_network(const uint32_t address[4], unsigned int bits, char ret[64]);
