/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "userspace/api/http.h"
#include "userspace/base/file.h"

int api_token_read(const char *path, char ret[API_TOKEN], char *why, size_t size)
{
	char text[API_TOKEN + 2];
	int fd = file_open_secret(path, why, size);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text));
	close(fd);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (n < API_MIN_TOKEN || n >= API_TOKEN)
		n = -1;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			n = -1;
	if (n > 0) {
		memcpy(ret, text, (size_t)n);
		ret[n] = '\0';
	} else {
		snprintf(why, size, "%s: a token is one line of %d to %d printable characters",
			 path, API_MIN_TOKEN, API_TOKEN - 1);
	}
	explicit_bzero(text, sizeof(text));
	return n > 0 ? 0 : -EINVAL;
}

bool api_token_is(const char *token, const char *given, size_t n)
{
	size_t length = strlen(token);
	volatile unsigned char differs = n != length;

	for (size_t i = 0; i < n && i < API_TOKEN; i++)
		differs |= (unsigned char)(given[i] ^ token[i < length ? i : length]);
	return length && !differs;
}
