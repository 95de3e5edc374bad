/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/key.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/file.h"

/* 1 if lo <= c <= hi, else 0; without a branch. */
static unsigned int within(unsigned int c, unsigned int lo, unsigned int hi)
{
	return ((lo - 1 - c) & (c - 1 - hi)) >> 31;
}

/* A digit of base64, or 64 and more for anything else. */
static unsigned int digit(unsigned int c)
{
	unsigned int found = 0, value = 0;

	value += within(c, 'A', 'Z') * (c - 'A');
	value += within(c, 'a', 'z') * (c - 'a' + 26);
	value += within(c, '0', '9') * (c - '0' + 52);
	value += within(c, '+', '+') * 62 + within(c, '/', '/') * 63;
	found = within(c, 'A', 'Z') + within(c, 'a', 'z') + within(c, '0', '9') +
		within(c, '+', '+') + within(c, '/', '/');
	return value + (1 - found) * 64;
}

int key_parse(const char *text, uint8_t ret[KEY_SIZE])
{
	uint8_t key[KEY_SIZE + 1];
	unsigned int bad = 0;

	if (strlen(text) != KEY_TEXT - 1 || text[KEY_TEXT - 2] != '=')
		return -EINVAL;
	for (unsigned int i = 0; i < 11; i++) {
		unsigned int d[4];

		for (unsigned int j = 0; j < 4; j++) {
			d[j] = i * 4 + j == 43 ? 0 : digit((unsigned char)text[i * 4 + j]);
			bad |= d[j] >> 6;
		}
		key[i * 3] = (uint8_t)(d[0] << 2 | d[1] >> 4);
		key[i * 3 + 1] = (uint8_t)(d[1] << 4 | d[2] >> 2);
		key[i * 3 + 2] = (uint8_t)(d[2] << 6 | d[3]);
	}
	bad |= key[KEY_SIZE]; /* the two bits to spare of the last digit */
	if (!bad)
		memcpy(ret, key, KEY_SIZE);
	explicit_bzero(key, sizeof(key));
	return bad ? -EINVAL : 0;
}

static char letter(unsigned int d)
{
	return (char)(within(d, 0, 25) * ('A' + d) + within(d, 26, 51) * ('a' + d - 26) +
		      within(d, 52, 61) * ('0' + d - 52) + within(d, 62, 62) * '+' +
		      within(d, 63, 63) * '/');
}

const char *key_text(const uint8_t key[KEY_SIZE], char ret[KEY_TEXT])
{
	for (unsigned int i = 0; i < 11; i++) {
		unsigned int a = key[i * 3], b = key[i * 3 + 1];
		unsigned int c = i < 10 ? key[i * 3 + 2] : 0;

		ret[i * 4] = letter(a >> 2);
		ret[i * 4 + 1] = letter((a << 4 | b >> 4) & 63);
		ret[i * 4 + 2] = letter((b << 2 | c >> 6) & 63);
		ret[i * 4 + 3] = i < 10 ? letter(c & 63) : '=';
	}
	ret[KEY_TEXT - 1] = '\0';
	return ret;
}

int key_read(const char *path, uint8_t ret[KEY_SIZE], char *why, size_t size)
{
	char text[KEY_TEXT + 2];
	int fd = file_open_secret(path, why, size), err = 0;
	ssize_t n;

	if (fd < 0) {
		if (!why[0])
			snprintf(why, size, "%s: %s", path, strerror(-fd));
		return fd;
	}
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		err = -errno;
	close(fd);
	if (n >= 0) {
		bool line = n == KEY_TEXT && text[KEY_TEXT - 1] == '\n';

		text[line ? n - 1 : n] = '\0';
		if (n < KEY_TEXT - 1 || n > KEY_TEXT - 1 + line || key_parse(text, ret))
			err = -EINVAL;
	}
	explicit_bzero(text, sizeof(text));
	if (err == -EINVAL)
		snprintf(why, size, "%s: must hold one key as `wg genkey` prints it", path);
	else if (err)
		snprintf(why, size, "%s: cannot be read: %s", path, strerror(-err));
	return err;
}
