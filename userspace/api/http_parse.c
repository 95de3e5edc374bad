/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/api/http_parse.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

bool api_slice_is(struct api_slice s, const char *text)
{
	return s.n == strlen(text) && !memcmp(s.at, text, s.n);
}

bool api_slice_is_nocase(struct api_slice s, const char *text)
{
	return s.n == strlen(text) && !strncasecmp(s.at, text, s.n);
}

/* RFC 9110, 5.6.2 */
static bool is_token(struct api_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.at[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    (!c || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.n > 0;
}

/* A line of the head, without its end; false: not complete, or (*bad) ended wrongly. */
static bool take_line(const char **at, const char *end, struct api_slice *ret, bool *bad)
{
	const char *nl = memchr(*at, '\n', (size_t)(end - *at));

	if (!nl)
		return false;
	if (nl == *at || nl[-1] != '\r') {
		*bad = true;
		return false;
	}
	*ret = (struct api_slice){*at, (size_t)(nl - 1 - *at)};
	*at = nl + 1;
	return true;
}

static int take_target(struct api_slice target, struct api_http_request *r)
{
	const char *query;

	if (!target.n || target.at[0] != '/')
		return -400;
	for (size_t i = 0; i < target.n; i++)
		if (target.at[i] <= ' ' || target.at[i] > '~')
			return -400;
	query = memchr(target.at, '?', target.n);
	r->path = target;
	if (query) {
		r->path.n = (size_t)(query - target.at);
		r->query = (struct api_slice){query + 1, target.n - r->path.n - 1};
	}
	return 0;
}

/* "GET /path HTTP/1.1" */
static int take_request_line(struct api_slice line, struct api_http_request *r)
{
	static const char *const methods[] = {[API_GET] = "GET", [API_HEAD] = "HEAD", "POST"};
	const char *end = line.at + line.n, *space = memchr(line.at, ' ', line.n), *second;
	struct api_slice method, version;

	if (!space)
		return -400;
	method = (struct api_slice){line.at, (size_t)(space - line.at)};
	second = memchr(space + 1, ' ', (size_t)(end - space - 1));
	if (!second || !is_token(method))
		return -400;
	version = (struct api_slice){second + 1, (size_t)(end - second - 1)};
	r->method = API_OTHER;
	for (int i = API_GET; i < API_OTHER; i++)
		if (api_slice_is(method, methods[i]))
			r->method = (enum api_method)i;
	if (version.n != 8 || memcmp(version.at, "HTTP/", 5) != 0 || version.at[6] != '.')
		return -400;
	if (!api_slice_is(version, "HTTP/1.1") && !api_slice_is(version, "HTTP/1.0"))
		return -505;
	r->minor = version.at[7] == '1';
	r->close = !r->minor;
	return take_target((struct api_slice){space + 1, (size_t)(second - space - 1)}, r);
}

static int take_length(struct api_slice value, struct api_http_request *r)
{
	size_t length = 0;

	if (r->has_length || !value.n)
		return -400;
	for (size_t i = 0; i < value.n; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return -400;
		if (length <= API_HTTP_MAX_BODY)
			length = length * 10 + (size_t)(value.at[i] - '0');
	}
	r->has_length = true;
	r->length = length;
	return 0;
}

/* One of a comma-separated list. */
static bool lists(struct api_slice value, const char *word)
{
	const char *at = value.at, *end = value.at + value.n;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *to = comma ? comma : end;
		struct api_slice one;

		while (at < to && (*at == ' ' || *at == '\t'))
			at++;
		one = (struct api_slice){at, (size_t)(to - at)};
		while (one.n && (one.at[one.n - 1] == ' ' || one.at[one.n - 1] == '\t'))
			one.n--;
		if (api_slice_is_nocase(one, word))
			return true;
		at = to + 1;
	}
	return false;
}

/* Each of these at most once. */
static int take_known(struct api_slice name, struct api_slice value, struct api_http_request *r)
{
	struct {
		const char *name;
		struct api_slice *into;
	} const once[] = {
		{"host", &r->host},
		{"origin", &r->origin},
		{"sec-fetch-site", &r->fetch_site},
		{"authorization", &r->authorization},
		{"content-type", &r->content_type},
		{"last-event-id", &r->last_event_id},
	};

	for (size_t i = 0; i < sizeof(once) / sizeof(*once); i++) {
		if (!api_slice_is_nocase(name, once[i].name))
			continue;
		if (once[i].into->at)
			return -400;
		*once[i].into = value;
		return 0;
	}
	if (api_slice_is_nocase(name, "content-length"))
		return take_length(value, r);
	if (api_slice_is_nocase(name, "transfer-encoding"))
		return -501;
	if (api_slice_is_nocase(name, "expect")) {
		if (!api_slice_is_nocase(value, "100-continue"))
			return -417;
		r->wants_100 = true;
	}
	if (api_slice_is_nocase(name, "connection") && lists(value, "close"))
		r->close = true;
	return 0;
}

static int take_field(struct api_slice line, struct api_http_request *r)
{
	const char *colon = memchr(line.at, ':', line.n);
	struct api_slice name, value;

	if (!colon)
		return -400;
	name = (struct api_slice){line.at, (size_t)(colon - line.at)};
	value = (struct api_slice){colon + 1, line.n - name.n - 1};
	while (value.n && (value.at[0] == ' ' || value.at[0] == '\t')) {
		value.at++;
		value.n--;
	}
	while (value.n && (value.at[value.n - 1] == ' ' || value.at[value.n - 1] == '\t'))
		value.n--;
	if (!is_token(name))
		return -400;
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return -400;
	}
	return take_known(name, value, r);
}

/* Nothing is complete yet: may it still become something? */
static int incomplete(const char *data, size_t n)
{
	size_t line = n < API_HTTP_MAX_LINE ? n : API_HTTP_MAX_LINE;

	if (n >= API_HTTP_MAX_LINE && !memchr(data, '\n', line))
		return -414;
	return n >= API_HTTP_MAX_HEAD ? -431 : 0;
}

int api_http_parse(const char *data, size_t n, struct api_http_request *ret)
{
	const char *at = data, *end = data + (n < API_HTTP_MAX_HEAD ? n : API_HTTP_MAX_HEAD);
	struct api_slice line;
	unsigned int fields = 0;
	bool bad = false;
	int err;

	*ret = (struct api_http_request){0};
	if (!take_line(&at, end, &line, &bad))
		return bad ? -400 : incomplete(data, n);
	if (line.n > API_HTTP_MAX_LINE)
		return -414;
	err = take_request_line(line, ret);
	while (!err && take_line(&at, end, &line, &bad)) {
		if (!line.n) {
			if (ret->minor && !ret->host.n)
				return -400;
			if (ret->length > API_HTTP_MAX_BODY)
				return -413;
			return (int)(at - data);
		}
		err = ++fields > API_HTTP_MAX_FIELDS ? -431 : take_field(line, ret);
	}
	if (err || bad)
		return err ? err : -400;
	return incomplete(data, n);
}

/* ---- whose page ---- */

/* Without its port; an IPv6 address without its brackets. False: it is no host. */
static bool take_host(struct api_slice host, struct api_slice *ret)
{
	const char *port = NULL;

	*ret = host;
	if (host.n && host.at[0] == '[') {
		const char *close = memchr(host.at, ']', host.n);

		if (!close)
			return false;
		*ret = (struct api_slice){host.at + 1, (size_t)(close - host.at - 1)};
		port = close + 1;
	} else {
		port = host.n ? memchr(host.at, ':', host.n) : NULL;
		if (port)
			ret->n = (size_t)(port - host.at);
	}
	if (!port || port == host.at + host.n)
		return ret->n > 0;
	if (*port++ != ':' || port == host.at + host.n || host.at + host.n - port > 5)
		return false;
	for (; port < host.at + host.n; port++)
		if (*port < '0' || *port > '9')
			return false;
	return ret->n > 0;
}

bool api_http_host_ok(struct api_slice host, const char *local, const char *const *allowed,
		      unsigned int n)
{
	struct api_slice name;

	if (!take_host(host, &name))
		return false;
	if (api_slice_is_nocase(name, "localhost") || api_slice_is_nocase(name, local))
		return true;
	for (unsigned int i = 0; i < n; i++)
		if (api_slice_is_nocase(name, allowed[i]))
			return true;
	return false;
}

bool api_http_origin_ok(struct api_slice origin, struct api_slice host)
{
	size_t skip = 0;

	if (!origin.n)
		return true;
	/* https: behind a proxy that ends TLS */
	if (origin.n > 7 && !memcmp(origin.at, "http://", 7))
		skip = 7;
	else if (origin.n > 8 && !memcmp(origin.at, "https://", 8))
		skip = 8;
	return skip && origin.n - skip == host.n && !strncasecmp(origin.at + skip, host.at, host.n);
}
