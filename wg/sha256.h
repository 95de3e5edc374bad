/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sha256.h - SHA-256 (FIPS 180-4), for telling keys apart without keeping them
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

/* Of one piece of memory. What it kept of it meanwhile is wiped. */
void sha256(const void *data, size_t size, uint8_t ret[SHA256_SIZE]);
