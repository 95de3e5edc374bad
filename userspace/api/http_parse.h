/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http_parse.h - the head of an HTTP/1.1 request (RFC 9112), read strictly
 *
 * Pure. What two readers could understand differently is refused: bare line feeds, folded lines,
 * space before a colon, a body of two lengths, any transfer coding.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define API_HTTP_MAX_LINE   2048 /* the request line */
#define API_HTTP_MAX_HEAD   8192 /* with all its fields */
#define API_HTTP_MAX_FIELDS 64
#define API_HTTP_MAX_BODY   16384

enum api_method { API_GET, API_HEAD, API_POST, API_OTHER };

/* A part of the caller's buffer, not ended by a zero; n 0: not there. */
struct api_slice {
	const char *at;
	size_t n;
};

struct api_http_request {
	enum api_method method;
	struct api_slice path;	/* begins with '/', without the query */
	struct api_slice query; /* behind the '?' */
	struct api_slice host;
	struct api_slice origin;
	struct api_slice fetch_site; /* Sec-Fetch-Site */
	struct api_slice authorization;
	struct api_slice content_type;
	struct api_slice last_event_id;
	bool minor;	/* HTTP/1.1; else 1.0 */
	bool close;	/* the client wants no other request on this connection */
	bool wants_100; /* Expect: 100-continue */
	bool has_length;
	size_t length; /* of the body */
};

/*
 * The size of the head, which is complete; 0: more is needed; or −STATUS that the client is to be
 * told: 400, 413, 414, 417, 431, 501, 505.
 */
int api_http_parse(const char *data, size_t n, struct api_http_request *ret);

/*
 * May a page of this Host act for this service? A name that is rebound to this address (DNS
 * rebinding) is not one of ours: localhost, the address that was connected to, one of `allowed`
 * (names or addresses, no ports), each with any port or none.
 */
bool api_http_host_ok(struct api_slice host, const char *local, const char *const *allowed,
		      unsigned int n);
/* Is the origin the page that Host names? An absent origin (n 0) is no browser's. */
bool api_http_origin_ok(struct api_slice origin, struct api_slice host);

bool api_slice_is(struct api_slice s, const char *text);
bool api_slice_is_nocase(struct api_slice s, const char *text);
