/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * engine_tls.c - TLS for DNS (RFC 7858), with a name or an address that the certificate must have
 *
 * OpenSSL works on memory here and never sees the socket, so that a peer which closes cannot raise
 * SIGPIPE. TLS 1.2 or later; the strict profile of RFC 8310: who cannot be verified is not asked,
 * since the query is only written once the handshake is over.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/engine_inner.h"

struct dns_tls {
	SSL *ssl;
	BIO *in, *out; /* the ssl's */
	size_t size;
	uint8_t query[2 + DNS_QUERY]; /* until the handshake is over */
};

int dns_tls_prepare(struct dns_engine *e)
{
	static const unsigned char alpn[] = "\3dot";
	SSL_CTX *c;
	bool good;

	if (e->tls)
		return 0;
	c = SSL_CTX_new(TLS_client_method());
	if (!c)
		return -ENOMEM;
	good = SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) &&
	       !SSL_CTX_set_alpn_protos(c, alpn, sizeof(alpn) - 1);
	if (good && e->set.ca_file)
		good = SSL_CTX_load_verify_locations(c, e->set.ca_file, NULL);
	else if (good)
		good = SSL_CTX_set_default_verify_paths(c);
	ERR_clear_error();
	if (!good) {
		SSL_CTX_free(c);
		return -ENOKEY;
	}
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
	e->tls = c;
	return 0;
}

/* `host` may be an address as text, too. */
static bool expect(SSL *ssl, const struct dns_target *t)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(ssl);

	if (!t->host[0])
		return t->family == 4 ? X509_VERIFY_PARAM_set1_ip(p, (const uint8_t *)&t->ip[3], 4)
				      : X509_VERIFY_PARAM_set1_ip(p, (const uint8_t *)t->ip, 16);
	if (X509_VERIFY_PARAM_set1_ip_asc(p, t->host))
		return true;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(ssl, t->host) && SSL_set1_host(ssl, t->host);
}

int dns_tls_make(struct dns_engine *e, const struct dns_target *t, struct dns_tls **ret)
{
	struct dns_tls *x;
	int err = dns_tls_prepare(e);

	if (err)
		return err;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->ssl = SSL_new(e->tls);
	x->in = BIO_new(BIO_s_mem());
	x->out = BIO_new(BIO_s_mem());
	if (!x->ssl || !x->in || !x->out || !expect(x->ssl, t)) {
		BIO_free(x->in);
		BIO_free(x->out);
		SSL_free(x->ssl);
		free(x);
		ERR_clear_error();
		return -ENOMEM;
	}
	ERR_clear_error();
	BIO_set_mem_eof_return(x->in, -1); /* empty: not yet */
	SSL_set_bio(x->ssl, x->in, x->out);
	SSL_set_connect_state(x->ssl);
	*ret = x;
	return 0;
}

void dns_tls_free(struct dns_tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t);
}

int dns_tls_write(struct dns_tls *t, const uint8_t *data, size_t size)
{
	if (size > sizeof(t->query))
		return -EINVAL;
	memcpy(t->query, data, size);
	t->size = size;
	return 0;
}

int dns_tls_feed(struct dns_tls *t, const uint8_t *data, size_t size)
{
	return BIO_write(t->in, data, (int)size) == (int)size ? 0 : -ENOMEM;
}

/* Why OpenSSL will not go on. */
static int refused(struct dns_tls *t, int error, char *why, size_t size)
{
	long verified = SSL_get_verify_result(t->ssl);
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (error == SSL_ERROR_ZERO_RETURN)
		return -ECONNRESET;
	if (verified != X509_V_OK)
		snprintf(why, size, "certificate: %s", X509_verify_cert_error_string(verified));
	else
		snprintf(why, size, "TLS: %s", reason ? reason : "failed");
	ERR_clear_error();
	return -EPROTO;
}

int dns_tls_read(struct dns_tls *t, uint8_t *ret, size_t size, char *why, size_t why_size)
{
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(t->ssl);
	if (n == 1 && t->size) {
		n = SSL_write(t->ssl, t->query, (int)t->size);
		if (n > 0)
			t->size = 0;
	}
	if (n > 0)
		n = SSL_read(t->ssl, ret, (int)size);
	if (n > 0)
		return n;
	n = SSL_get_error(t->ssl, n);
	return n == SSL_ERROR_WANT_READ || n == SSL_ERROR_WANT_WRITE ? 0
								     : refused(t, n, why, why_size);
}

size_t dns_tls_take(struct dns_tls *t, uint8_t *ret, size_t size)
{
	int n = BIO_read(t->out, ret, (int)size);

	return n > 0 ? (size_t)n : 0;
}
