/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/conf/utf8.h"

#include <string.h>

static bool follows(const char *text, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return false;
	return true;
}

size_t utf8_next(const char *text, size_t size, uint32_t *ret)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first;
	uint32_t c;
	size_t n;

	if (!size)
		return 0;
	first = (unsigned char)text[0];
	if (first < 0x80) {
		*ret = first;
		return 1;
	}
	n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4 || n > size || !follows(text, n))
		return 0;
	c = first & (0x7fu >> n);
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)text[i] & 0x3f);
	if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return n;
}

bool utf8_printable(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	/* marks of direction, line and paragraph separators, byte order mark */
	return !(c >= 0x200e && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
	       !(c >= 0x2066 && c <= 0x2069) && c != 0xfeff;
}

const char *utf8_show(const char *text, char *ret, size_t size)
{
	size_t left = strlen(text), at = 0, fits = 0;
	uint32_t c;

	while (left) {
		size_t n = utf8_next(text, left, &c);
		bool good = n && utf8_printable(c);

		if (at + (good ? n : 1) + 1 > size) {
			memcpy(ret + fits, "...", 4);
			return ret;
		}
		if (good)
			memcpy(ret + at, text, n);
		else
			ret[at] = '?';
		at += good ? n : 1;
		if (at + 4 <= size)
			fits = at;
		text += n ? n : 1;
		left -= n ? n : 1;
	}
	ret[at] = '\0';
	return ret;
}
