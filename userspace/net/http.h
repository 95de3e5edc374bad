/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http.h - one HTTP request, bounded in time and size (libcurl)
 *
 * No redirects, no proxy, no cookies, TLS 1.2 or later and verified. An answer longer than allowed
 * ends the request. On a loop, or blocking.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct http;

struct http_request {
	const char *method;	    /* NULL: GET */
	const char *url;	    /* https://, or http:// */
	const char *const *headers; /* "Name: value", NULL-ended; or NULL */
	const void *body;	    /* NULL: none; only with a size */
	size_t body_size;
	uint64_t timeout_ns;	/* the whole of it; 0: 10 s */
	size_t max_size;	/* of the answer's body; 0: 1 MiB */
	const char *connect_to; /* "ADDRESS:PORT" to connect to, with the URL's name for SNI and
				   Host; NULL */
	const char *source;	/* an address of this host to connect from; NULL: any */
	const char *ca_file;	/* trusted instead of the system's; NULL */
	const char *sigv4;	/* "aws:amz:us-east-1:route53": signed; NULL */
	const char *user;	/* "AKID:SECRET" for that; NULL */
	bool once; /* on a connection of its own: libcurl sends a request again, unasked, when one
		      that it had kept turns out to be dead. For what changes things; http_do always
		    */
	bool public_only; /* refuse to connect to loopback, link-local, multicast, metadata
			     addresses */
	bool own_host;	  /* with that: loopback is allowed all the same */
};

struct http_reply {
	int err; /* 0: there is a status. -ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, -ENOENT (name),
		  * -EPROTO (TLS, HTTP), -EFBIG, -EACCES (an address that is not allowed),
		  * -ECONNRESET … */
	bool sent; /* something of the request may have reached the server: what it changes may be
		      changed */
	bool tls_failed; /* the certificate, or the handshake */
	long status;
	char *body; /* with a zero behind; NULL with err */
	size_t size;
	char type[64]; /* Content-Type */
	char etag[256];
	double retry_after_s;			 /* NAN: not given */
	uint64_t connect_ns, first_ns, total_ns; /* from the beginning */
	char why[192];				 /* in words, with err */
};

typedef void (*http_done)(void *arg, const struct http_reply *r);

/* Blocking. 0, or reply->err, which says the same. The caller gives the reply to http_reply_free.
 */
int http_do(const struct http_request *q, struct http_reply *ret);
void http_reply_free(struct http_reply *r);

/* On a loop: `done` is called once, from the loop, unless it is cancelled; the request is copied.
 * Connections are kept and shared. From a `done` anything may be called, http_free too; only the
 * call that is done is over already and must not be cancelled. */
int http_make(struct loop *l, struct http **ret);
void http_free(struct http *h); /* cancels all; NULL is fine */
struct http_call;
/* 0; -EINVAL: a method, header or address that is none; -ENOMEM. ret may be NULL. */
int http_begin(struct http *h, const struct http_request *q, http_done done, void *arg,
	       struct http_call **ret);
void http_cancel(struct http_call *c); /* NULL is fine */
