/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `traffic http`: HTTP/1.1 against the lab's web servers (or anything that names itself in X-Arm).
 *
 * A short connection asks once for --path and ends. "/" must answer with the arm's name, "/data"
 * with the known file; of anything else only the status and the length are checked. A long-lived
 * one asks for random ranges of /data, checks every byte, and must be answered by one arm for all
 * its life. Only answers with a Content-Length are understood: no chunks, no TLS.
 */
#include "tools/traffic.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What the body of the answer under way must be. */
enum body_check { BODY_LENGTH, BODY_ARM, BODY_DATA };

static enum body_check body_check(const struct client *cl, const struct conn *c)
{
	if (c->lasting || strcmp(cl->opt->path, "/data") == 0)
		return BODY_DATA;
	return strcmp(cl->opt->path, "/") == 0 ? BODY_ARM : BODY_LENGTH;
}

static bool ask(struct client *cl, struct conn *c)
{
	const struct options *opt = cl->opt;
	char text[512];
	int n;

	c->in_body = false;
	c->head_len = 0;
	c->body_at = 0;
	c->body_from = 0;
	c->body_len = 0;
	if (c->lasting) {
		c->body_from = mix64(c->seed + c->requests) % (DATA_SIZE - opt->range + 1);
		n = snprintf(text, sizeof(text),
			     "GET /data HTTP/1.1\r\nHost: %s\r\nRange: bytes=%llu-%llu\r\n\r\n",
			     opt->host, (unsigned long long)c->body_from,
			     (unsigned long long)(c->body_from + opt->range - 1));
	} else {
		n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", opt->path,
			     opt->host,
			     opt->close_mode == CLOSE_SERVER ? "Connection: close\r\n" : "");
	}
	if (n < 0 || (size_t)n >= sizeof(text))
		return conn_fail(cl, c, FAULT_LOCAL, "the request is too long");
	return conn_send(cl, c, text, (size_t)n);
}

/* The value of a header field inside the terminated head, or NULL. Its length without spaces. */
static const char *field(const char *head, const char *name, size_t *ret_len)
{
	size_t len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
			line += len + 1;
			line += strspn(line, " \t");
			*ret_len = strcspn(line, "\r");
			return line;
		}
	}
	return NULL;
}

/* The head is complete and terminated: is it the answer to what was asked? */
static bool head_complete(struct client *cl, struct conn *c)
{
	const char *arm, *length, *range;
	size_t len;
	int status;

	if (sscanf(c->head, "HTTP/1.%*d %d", &status) != 1)
		return conn_fail(cl, c, FAULT_PROTOCOL, "no HTTP status line");
	if (status != (c->lasting ? 206 : 200))
		return conn_fail(cl, c, FAULT_STATUS, "status %d", status);
	arm = field(c->head, "X-Arm", &len);
	if (!arm)
		return conn_fail(cl, c, FAULT_PROTOCOL, "no X-Arm");
	if (!conn_arm(cl, c, arm, len))
		return false;
	length = field(c->head, "Content-Length", &len);
	if (!length)
		return conn_fail(cl, c, FAULT_PROTOCOL, "no Content-Length");
	c->body_len = strtoull(length, NULL, 10);
	if (c->lasting) {
		range = field(c->head, "Content-Range", &len);
		if (!range || strncmp(range, "bytes ", 6) != 0 ||
		    strtoull(range + 6, NULL, 10) != c->body_from || c->body_len != cl->opt->range)
			return conn_fail(cl, c, FAULT_PROTOCOL, "another range than asked for");
	} else if (body_check(cl, c) == BODY_DATA && c->body_len != DATA_SIZE) {
		return conn_fail(cl, c, FAULT_WRONG_BODY, "%llu bytes",
				 (unsigned long long)c->body_len);
	}
	c->in_body = true;
	return true;
}

/* Takes head bytes until the empty line; `*used` of `n` bytes were of the head. */
static bool read_head(struct client *cl, struct conn *c, const char *buf, size_t n, size_t *used)
{
	for (*used = 0; *used < n;) {
		if (c->head_len == HEAD_MAX - 1)
			return conn_fail(cl, c, FAULT_PROTOCOL, "the head is too long");
		c->head[c->head_len++] = buf[(*used)++];
		if (c->head_len >= 4 && memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4) == 0) {
			c->head[c->head_len] = '\0';
			return head_complete(cl, c);
		}
	}
	return true;
}

static bool check_body(struct client *cl, struct conn *c, const char *buf, size_t n)
{
	char want[ARM_NAME + 2];
	size_t len;
	ssize_t bad;

	switch (body_check(cl, c)) {
	case BODY_LENGTH:
		return true;
	case BODY_ARM:
		len = (size_t)snprintf(want, sizeof(want), "%s\n", cl->st.arms[c->arm].name);
		if (c->body_len != len || memcmp(want + c->body_at, buf, n) != 0)
			return conn_fail(cl, c, FAULT_WRONG_BODY, "not the arm's name");
		return true;
	case BODY_DATA:
		bad = bytes_check(DATA_SEED, c->body_from + c->body_at, buf, n);
		if (bad >= 0)
			return conn_fail(cl, c, FAULT_WRONG_BYTE, "at offset %llu of /data",
					 (unsigned long long)(c->body_from + c->body_at) +
						 (unsigned long long)bad);
		return true;
	}
	return true;
}

static bool data(struct client *cl, struct conn *c, const char *buf, size_t n)
{
	size_t used = 0;

	if (!c->in_body && !read_head(cl, c, buf, n, &used))
		return false;
	if (!c->in_body)
		return true;
	buf += used;
	n -= used;
	if (n > c->body_len - c->body_at)
		return conn_fail(cl, c, FAULT_PROTOCOL, "more bytes than announced");
	if (!check_body(cl, c, buf, n))
		return false;
	c->body_at += n;
	if (c->body_at < c->body_len)
		return true;
	c->in_body = false;
	return conn_answered(cl, c, c->body_len);
}

int http_main(const struct options *opt)
{
	static const struct talk talk = {.connected = ask, .data = data, .wake = ask};

	return client_run(opt, &talk);
}
