/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * key.h - WireGuard's keys as people write them: the base64 of 32 bytes
 *
 * Works in constant time in what the bytes are, since private keys pass through here. Who holds a
 * secret wipes it with explicit_bzero, on every way out.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KEY_SIZE 32
#define KEY_TEXT 45 /* with the final zero */

/* 44 characters, the last of them '='. 0, or -EINVAL and ret is untouched. */
int key_parse(const char *text, uint8_t ret[KEY_SIZE]);
/* Returns ret. */
const char *key_text(const uint8_t key[KEY_SIZE], char ret[KEY_TEXT]);

/*
 * The key in a file that only root and this process's user can read (file_open_secret): one line,
 * as `wg genkey` prints it. 0; -EINVAL: it holds something else; another −errno. On failure `why`
 * has the words, with the path, and never anything of the file.
 */
int key_read(const char *path, uint8_t ret[KEY_SIZE], char *why, size_t size);
