/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_http.c - the head of a request of the dashboard, and a request of the socket
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/api/http_parse.h"
#include "userspace/api/socket_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(struct api_slice s, const char *data, size_t n)
{
	if (s.n && (s.at < data || s.at + s.n > data + n))
		abort();
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] == '\r' || s.at[i] == '\n' || !s.at[i])
			abort();
}

static void read_head(const char *data, size_t n)
{
	static const char *const allowed[] = {"wall.example"};
	struct api_http_request r, part;
	int head = api_http_parse(data, n, &r);

	if (head < -599 || (head < 0 && head > -400) || (size_t)(head > 0 ? head : 0) > n)
		abort();
	/* too much is never waited for */
	if (!head && n >= API_HTTP_MAX_HEAD)
		abort();
	if (head <= 0)
		return;
	if (memcmp(data + head - 4, "\r\n\r\n", 4) != 0 || r.length > API_HTTP_MAX_BODY)
		abort();
	within(r.path, data, (size_t)head);
	within(r.query, data, (size_t)head);
	within(r.host, data, (size_t)head);
	within(r.authorization, data, (size_t)head);
	within(r.last_event_id, data, (size_t)head);
	/* it is the same whatever follows, and nothing less of it is complete */
	if (api_http_parse(data, (size_t)head, &part) != head ||
	    api_http_parse(data, (size_t)head - 1, &part) > 0)
		abort();
	api_http_host_ok(r.host, "127.0.0.1", allowed, 1);
	if (r.origin.n && api_http_origin_ok(r.origin, r.host) && r.origin.n < r.host.n + 7)
		abort();
}

static void run(void *arg, struct api_call *call)
{
	(void)arg;
	(void)call;
}

static void read_request(const char *data, size_t n)
{
	static const struct api_verb verbs[] = {{"status", false, run}, {"ramp pause", true, run}};
	struct api_verbs all = {verbs, 2, NULL};
	struct api_call *call;
	char why[100] = "", *text;
	size_t size;

	if (api_call_parse(data, n, &all, &call, why, sizeof(why))) {
		if (!why[0])
			abort();
		text = api_error_text(2, why, &size);
		if (!text || text[size - 1] != '\n' || memchr(text, '\n', size - 1))
			abort();
		free(text);
		return;
	}
	if (!call->verb || !call->args)
		abort();
	api_call_free(call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size ? size : 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	read_head(text, size);
	read_request(text, size);
	free(text);
	return 0;
}
