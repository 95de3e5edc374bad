/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * events.h - the stream of the dashboard: server-sent events, and the points of its charts
 *
 * One "page" event a second with everything as it is now, and at the beginning of a stream one
 * "history" event with the points that the client has not seen, known by the id that it saw last
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html). Ids are of this run of the
 * daemon: after a restart the client gets all there is.
 */
#pragma once

#include <stddef.h>

struct json_t;
struct api_events;

/* Keeps the last `room` points. 0; −ENOMEM. */
int api_events_make(unsigned int room, struct api_events **ret);
void api_events_free(struct api_events *e);

/* Takes over a point (page.h); NULL: there was none this time. */
void api_events_point(struct api_events *e, struct json_t *point);

/*
 * The text of an event; the caller's to free, NULL: no memory. `last` is the Last-Event-ID of the
 * client, n 0: none. `page` is taken over, and the latest point put into it.
 */
char *api_events_history(const struct api_events *e, const char *last, size_t n, size_t *ret_size);
char *api_events_page(const struct api_events *e, struct json_t *page, size_t *ret_size);
