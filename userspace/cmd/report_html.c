/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdlib.h>

#include "userspace/cmd/report.h"

void report_escape(const char *text, FILE *to)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '&':
			fputs("&amp;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		case '\'':
			fputs("&#39;", to);
			break;
		default:
			fputc(*text, to);
		}
	}
}

void report_html(const json_t *document, FILE *to)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return;
	report_markdown(document, f);
	fclose(f);
	fputs("<!DOCTYPE html><meta charset=utf-8><title>ramp</title><pre>", to);
	report_escape(text, to);
	fputs("</pre>\n", to);
	free(text);
}
