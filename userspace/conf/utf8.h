/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * utf8.h - characters of a text that came from outside
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The character that `text` begins with, of at most `size` bytes. Its length in bytes, or 0 if that
 * is no UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF).
 */
size_t utf8_next(const char *text, size_t size, uint32_t *ret);

/* False for what a terminal might obey or what turns the reading direction. */
bool utf8_printable(uint32_t character);

/*
 * `text` as it may stand in a message: unprintable characters become '?', what is beyond `size` is
 * cut with "...". Returns ret. `size` is at least 8.
 */
const char *utf8_show(const char *text, char *ret, size_t size);
