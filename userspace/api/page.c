/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/api/page.h"

#include <stdlib.h>
#include <string.h>

#define MARK "@NONCE@" /* in page.html */

/* page_object.S */
extern const char api_page[], api_page_end[];

char *api_page_text(const char *nonce, size_t *ret_size)
{
	size_t n = (size_t)(api_page_end - api_page), mark = strlen(MARK), with = strlen(nonce);
	const char *at = api_page, *next;
	char *text, *to;

	/* twice in the page: the style and the script */
	text = malloc(n + 8 * with + 1);
	if (!text)
		return NULL;
	to = text;
	for (int i = 0; i < 8; i++) {
		next = memmem(at, (size_t)(api_page_end - at), MARK, mark);
		if (!next)
			break;
		to = mempcpy(to, at, (size_t)(next - at));
		to = mempcpy(to, nonce, with);
		at = next + mark;
	}
	to = mempcpy(to, at, (size_t)(api_page_end - at));
	*to = '\0';
	*ret_size = (size_t)(to - text);
	return text;
}
