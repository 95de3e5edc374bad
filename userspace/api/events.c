/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/api/events.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ID 40

struct api_events {
	uint32_t run;	/* of this daemon, in the ids */
	uint64_t count; /* points ever taken; the number of the latest */
	unsigned int room;
	char *point[]; /* the one of number i at (i - 1) % room */
};

int api_events_make(unsigned int room, struct api_events **ret)
{
	struct api_events *e = calloc(1, sizeof(*e) + room * sizeof(*e->point));

	if (!e)
		return -ENOMEM;
	e->room = room;
	if (getrandom(&e->run, sizeof(e->run), GRND_NONBLOCK) != sizeof(e->run))
		e->run = (uint32_t)(uintptr_t)e;
	*ret = e;
	return 0;
}

void api_events_free(struct api_events *e)
{
	if (!e)
		return;
	for (unsigned int i = 0; i < e->room; i++)
		free(e->point[i]);
	free(e);
}

void api_events_point(struct api_events *e, json_t *point)
{
	char *text = point ? json_dumps(point, JSON_COMPACT | JSON_REAL_PRECISION(13)) : NULL;
	char **place = &e->point[e->count % e->room];

	json_decref(point);
	if (!text)
		return;
	free(*place);
	*place = text;
	e->count++;
}

/* The number of the last point that the client has; 0: none of ours. */
static uint64_t seen(const struct api_events *e, const char *last, size_t n)
{
	char text[ID], *end;
	uint64_t number;

	if (n < 10 || n >= sizeof(text))
		return 0;
	memcpy(text, last, n);
	text[n] = '\0';
	if (text[8] != '-' || strtoul(text, &end, 16) != e->run || end != text + 8)
		return 0;
	if (text[9] < '0' || text[9] > '9')
		return 0;
	number = strtoull(text + 9, &end, 10);
	return *end || number > e->count ? 0 : number;
}

static void begin(const struct api_events *e, const char *event, FILE *to)
{
	fprintf(to, "event: %s\nid: %08" PRIx32 "-%" PRIu64 "\ndata: ", event, e->run, e->count);
}

static char *finish(FILE *to, char **text)
{
	bool failed;

	fputs("\n\n", to);
	failed = ferror(to);
	if (fclose(to) || failed) {
		free(*text);
		return NULL;
	}
	return *text;
}

char *api_events_history(const struct api_events *e, const char *last, size_t n, size_t *ret_size)
{
	uint64_t from = seen(e, last, n), oldest = e->count > e->room ? e->count - e->room : 0;
	char *text = NULL;
	FILE *to = open_memstream(&text, ret_size);

	if (!to)
		return NULL;
	fputs("retry: 2000\n", to);
	begin(e, from >= oldest && from ? "more" : "history", to);
	putc('[', to);
	from = from > oldest ? from : oldest;
	for (uint64_t i = from; i < e->count; i++)
		fprintf(to, "%s%s", i > from ? "," : "", e->point[i % e->room]);
	putc(']', to);
	return finish(to, &text);
}

char *api_events_page(const struct api_events *e, json_t *page, size_t *ret_size)
{
	char *json = page ? json_dumps(page, JSON_COMPACT | JSON_REAL_PRECISION(13)) : NULL;
	char *text = NULL;
	FILE *to = json ? open_memstream(&text, ret_size) : NULL;

	json_decref(page);
	if (!to) {
		free(json);
		return NULL;
	}
	begin(e, "page", to);
	fputs("{\"page\":", to);
	fputs(json, to);
	free(json);
	fprintf(to, ",\"point\":%s}", e->count ? e->point[(e->count - 1) % e->room] : "null");
	return finish(to, &text);
}
