/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flipped.h - which records this host has pointed at the new side (dns/snapshot.h writes it)
 */
#pragma once

#include <stddef.h>

/*
 * For people, lines of "  DNS: …", each with the command that brings it back; "" when no record was
 * flipped. The disk may hang: it is asked in a child, for a fifth of a second. Returns ret.
 */
const char *flipped_text(char *ret, size_t size);
