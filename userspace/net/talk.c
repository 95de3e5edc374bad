/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/talk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/base/loop.h"

#define BODY_MAX (256u << 10)
#define MS	 1000000ull

struct talk {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	char buffer[16384];
};

static int because(char why[TALK_WHY], int err, const char *text)
{
	snprintf(why, TALK_WHY, "%s", text ? text : strerror(-err));
	return err;
}

/* Waits for `events`. 0, or -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t until)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		uint64_t now = loop_now();
		int n;

		if (now >= until)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((until - now) / MS) + 1);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* ---- TCP ---- */

static socklen_t address_of(const uint32_t ip[4], uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *four = (void *)ret;
	struct sockaddr_in6 *six = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (ip_is_v4(ip)) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		four->sin_addr.s_addr = ip[3];
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	memcpy(&six->sin6_addr, ip, sizeof(six->sin6_addr));
	return sizeof(*six);
}

static int open_socket(const uint32_t *source, const uint32_t to[4], uint32_t mss)
{
	struct sockaddr_storage a;
	int one = 1, size = (int)mss, err;
	int fd = socket(ip_is_v4(to) ? AF_INET : AF_INET6,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if ((mss && setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &size, sizeof(size))) ||
	    (source && bind(fd, (void *)&a, address_of(source, 0, &a)))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int talk_connect(const uint32_t *source, const uint32_t to[4], uint16_t port, uint32_t mss,
		 uint64_t until, struct talk **ret, char why[TALK_WHY])
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(int);
	int fd = open_socket(source, to, mss), err = fd < 0 ? fd : 0, seen = 0;
	struct talk *t;

	if (!err && connect(fd, (void *)&a, address_of(to, port, &a)) && errno != EINPROGRESS)
		err = -errno;
	if (!err)
		err = wait_for(fd, POLLOUT, until);
	if (!err && getsockopt(fd, SOL_SOCKET, SO_ERROR, &seen, &size))
		err = -errno;
	if (!err)
		err = -seen;
	t = err ? NULL : calloc(1, sizeof(*t));
	if (!t) {
		if (fd >= 0)
			close(fd);
		return because(why, err ? err : -ENOMEM, err == -ETIMEDOUT ? "no answer" : NULL);
	}
	t->fd = fd;
	*ret = t;
	return 0;
}

void talk_close(struct talk *t)
{
	const struct linger now = {.l_onoff = 1};

	if (!t)
		return;
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(t->fd);
	free(t);
}

void talk_look(struct talk *t, struct talk_path *ret)
{
	struct tcp_info i;
	socklen_t size = sizeof(i);

	memset(ret, 0, sizeof(*ret));
	memset(&i, 0, sizeof(i));
	if (getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &i, &size))
		return;
	ret->sent_mss = i.tcpi_snd_mss;
	ret->received_mss = i.tcpi_rcv_mss;
	ret->unacked = i.tcpi_unacked;
	ret->received = i.tcpi_bytes_received;
}

int talk_probe(struct talk *t, uint64_t wait_ns)
{
	int one = 1, seen = 0;
	socklen_t size = sizeof(int);
	struct pollfd p = {.fd = t->fd, .events = POLLIN};
	struct tcp_info i;

	if (setsockopt(t->fd, IPPROTO_TCP, TCP_KEEPIDLE, &one, sizeof(one)) ||
	    setsockopt(t->fd, IPPROTO_TCP, TCP_KEEPINTVL, &one, sizeof(one)) ||
	    setsockopt(t->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)))
		return -errno;
	poll(&p, 1, (int)(wait_ns / MS));
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &seen, &size))
		return -errno;
	if (seen)
		return -seen;
	memset(&i, 0, sizeof(i));
	size = sizeof(i);
	if (getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &i, &size))
		return -errno;
	return i.tcpi_last_ack_recv < wait_ns / MS ? 0 : -ETIMEDOUT;
}

/* ---- TLS ---- */

/* "h2,http/1.1" as the protocol has it. */
static unsigned int wire_alpn(const char *list, unsigned char ret[64])
{
	unsigned int n = 0;

	while (*list) {
		size_t k = strcspn(list, ",");

		if (k && n + 1 + k <= 64) {
			ret[n] = (unsigned char)k;
			memcpy(ret + n + 1, list, k);
			n += 1 + (unsigned int)k;
		}
		list += k + (list[k] == ',');
	}
	return n;
}

static int tls_failed(int got, char why[TALK_WHY])
{
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	int err = got == SSL_ERROR_SYSCALL && errno ? -errno : -EPROTO;

	if (got == SSL_ERROR_SYSCALL && !code && !errno)
		err = -ECONNRESET;
	because(why, err, reason ? reason : err == -EPROTO ? "closed in the handshake" : NULL);
	ERR_clear_error();
	return err;
}

/* What SSL_get_error says of `n`: waited for, or failed. 0: try again. */
static int tls_wait(struct talk *t, int n, uint64_t until, char why[TALK_WHY])
{
	int got = SSL_get_error(t->ssl, n), err;

	if (got != SSL_ERROR_WANT_READ && got != SSL_ERROR_WANT_WRITE)
		return tls_failed(got, why);
	err = wait_for(t->fd, got == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until);
	return err ? because(why, err, err == -ETIMEDOUT ? "no answer" : NULL) : 0;
}

static void read_names(X509 *x, struct talk_tls *ret)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type == GEN_DNS && ret->n_names < TALK_NAMES)
			snprintf(ret->name[ret->n_names++], sizeof(ret->name[0]), "%.*s",
				 ASN1_STRING_length(g->d.dNSName),
				 (const char *)ASN1_STRING_get0_data(g->d.dNSName));
	}
	GENERAL_NAMES_free(names);
}

static bool has_name(X509 *x, const char *name)
{
	return X509_check_host(x, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1 ||
	       X509_check_ip_asc(x, name, 0) == 1;
}

static void read_certificate(struct talk *t, const char *name, struct talk_tls *ret)
{
	X509 *x = SSL_get1_peer_certificate(t->ssl);
	long verified = SSL_get_verify_result(t->ssl);
	const unsigned char *alpn;
	unsigned int n;
	struct tm tm;

	snprintf(ret->version, sizeof(ret->version), "%s", SSL_get_version(t->ssl));
	SSL_get0_alpn_selected(t->ssl, &alpn, &n);
	snprintf(ret->alpn, sizeof(ret->alpn), "%.*s", (int)n, n ? (const char *)alpn : "");
	if (!x)
		return;
	ret->trusted = verified == X509_V_OK || verified == X509_V_ERR_CERT_HAS_EXPIRED ||
		       verified == X509_V_ERR_CERT_NOT_YET_VALID;
	if (!ret->trusted)
		snprintf(ret->distrust, sizeof(ret->distrust), "%s",
			 X509_verify_cert_error_string(verified));
	ret->expired = X509_cmp_current_time(X509_get0_notAfter(x)) < 0;
	ret->early = X509_cmp_current_time(X509_get0_notBefore(x)) > 0;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm))
		ret->not_after = timegm(&tm);
	X509_NAME_oneline(X509_get_issuer_name(x), ret->issuer, sizeof(ret->issuer));
	read_names(x, ret);
	ret->named = name && has_name(x, name);
	X509_free(x);
}

static int prepare(struct talk *t, const struct talk_how *how)
{
	unsigned char alpn[64];
	uint32_t none[4];
	uint16_t port;

	t->ctx = SSL_CTX_new(TLS_client_method());
	if (!t->ctx)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	/* A FIN without TLS's own goodbye is a close like another here. */
	SSL_CTX_set_options(t->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (how->only_12)
		SSL_CTX_set_max_proto_version(t->ctx, TLS1_2_VERSION);
	if (how->ca_file && how->ca_file[0]) {
		if (!SSL_CTX_load_verify_locations(t->ctx, how->ca_file, NULL))
			return -ENOKEY;
	} else {
		SSL_CTX_set_default_verify_paths(t->ctx);
	}
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_NONE, NULL); /* told, not refused */
	t->ssl = SSL_new(t->ctx);
	if (!t->ssl || !SSL_set_fd(t->ssl, t->fd))
		return -ENOMEM;
	if (how->alpn)
		SSL_set_alpn_protos(t->ssl, alpn, wire_alpn(how->alpn, alpn));
	if (how->name && ip_parse(how->name, none, &port))
		SSL_set_tlsext_host_name(t->ssl, how->name);
	SSL_set_connect_state(t->ssl);
	return 0;
}

int talk_secure(struct talk *t, const struct talk_how *how, uint64_t until, struct talk_tls *ret,
		char why[TALK_WHY])
{
	int err, n;

	memset(ret, 0, sizeof(*ret));
	ERR_clear_error();
	err = prepare(t, how);
	ERR_clear_error();
	if (err)
		return because(why, err, err == -ENOKEY ? "the CA file cannot be read" : NULL);
	for (;;) {
		errno = 0;
		n = SSL_do_handshake(t->ssl);
		if (n == 1)
			break;
		err = tls_wait(t, n, until, why);
		if (err)
			return err;
	}
	read_certificate(t, how->name, ret);
	ERR_clear_error();
	return 0;
}

/* ---- HTTP/1.1 ---- */

static int put(struct talk *t, const char *data, size_t size, uint64_t until, char why[TALK_WHY])
{
	while (size) {
		ssize_t n;
		int err;

		errno = 0;
		n = t->ssl ? SSL_write(t->ssl, data, (int)size)
			   : send(t->fd, data, size, MSG_NOSIGNAL);
		if (n > 0) {
			data += n;
			size -= (size_t)n;
			continue;
		}
		if (t->ssl)
			err = tls_wait(t, (int)n, until, why);
		else
			err = errno == EAGAIN ? wait_for(t->fd, POLLOUT, until) : -errno;
		if (err)
			return t->ssl ? err : because(why, err, NULL);
	}
	return 0;
}

/* Bytes; 0: the other side closed; −errno. */
static ssize_t take(struct talk *t, char *data, size_t size, uint64_t until, char why[TALK_WHY])
{
	for (;;) {
		ssize_t n;
		int err;

		errno = 0;
		n = t->ssl ? SSL_read(t->ssl, data, (int)size) : recv(t->fd, data, size, 0);
		if (n > 0)
			return n;
		if (!t->ssl && !n)
			return 0;
		if (t->ssl && SSL_get_error(t->ssl, (int)n) == SSL_ERROR_ZERO_RETURN)
			return 0;
		if (t->ssl) {
			err = tls_wait(t, (int)n, until, why);
		} else {
			err = errno == EAGAIN ? wait_for(t->fd, POLLIN, until) : -errno;
			if (err)
				because(why, err, err == -ETIMEDOUT ? "no answer" : NULL);
		}
		if (err)
			return err;
	}
}

static const char *field(const char *head, const char *name)
{
	size_t k = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (!strncasecmp(line, name, k) && line[k] == ':')
			return line + k + 1 + strspn(line + k + 1, " \t");
	}
	return NULL;
}

static int send_question(struct talk *t, const struct talk_question *q, uint64_t until,
			 char why[TALK_WHY])
{
	size_t room = 1024 + strlen(q->path) + strlen(q->host) + q->padding * 2, n;
	char *text = malloc(room);
	int err;

	if (!text)
		return because(why, -ENOMEM, NULL);
	n = (size_t)snprintf(text, room,
			     "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: shiftctl-preflight\r\n"
			     "Accept: */*\r\n",
			     q->path, q->host);
	/* Servers bound one field, and all: lines of 1,000. */
	for (size_t left = q->padding; left;) {
		size_t k = left < 1000 ? left : 1000;

		n += (size_t)snprintf(text + n, room - n, "X-Padding: ");
		memset(text + n, 'x', k);
		n += k;
		n += (size_t)snprintf(text + n, room - n, "\r\n");
		left -= k;
	}
	n += (size_t)snprintf(text + n, room - n, "\r\n");
	err = put(t, text, n, until, why);
	free(text);
	return err;
}

/* The head, with what came of the body behind it. Its length, or −errno. */
static ssize_t read_head(struct talk *t, size_t *used, uint64_t until, char why[TALK_WHY])
{
	*used = 0;
	for (;;) {
		char *end;
		ssize_t n = take(t, t->buffer + *used, sizeof(t->buffer) - 1 - *used, until, why);

		if (n == 0)
			return because(why, -ECONNRESET, "closed without an answer");
		if (n < 0)
			return n;
		*used += (size_t)n;
		t->buffer[*used] = '\0';
		end = strstr(t->buffer, "\r\n\r\n");
		if (end) {
			end[2] = '\0';
			return end + 4 - t->buffer;
		}
		if (strncmp(t->buffer, "HTTP/1.", *used < 7 ? *used : 7) != 0 ||
		    *used + 1 >= sizeof(t->buffer))
			return because(why, -EPROTO, "that is no answer of HTTP/1.1");
	}
}

/* The rest of the body: by its length, or by chunks, of which only the end is looked for. */
static int read_body(struct talk *t, size_t have, const char *length, bool chunked, uint64_t until,
		     struct talk_answer *ret, char why[TALK_WHY])
{
	uint64_t want = length ? strtoull(length, NULL, 10) : 0;
	char tail[8] = "";
	size_t keep = have < 5 ? have : 5;

	memcpy(tail, t->buffer, keep);
	while (chunked ? keep < 5 || memcmp(tail, "0\r\n\r\n", 5) : have < want) {
		char part[4096];
		ssize_t n;

		if (have >= BODY_MAX) {
			ret->closes = true;
			return 0;
		}
		n = take(t, part, sizeof(part), until, why);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return because(why, -ECONNRESET, "closed inside an answer");
		have += (size_t)n;
		ret->size += (size_t)n;
		for (ssize_t i = n > 5 ? n - 5 : 0; i < n; i++) {
			if (keep == 5)
				memmove(tail, tail + 1, 4);
			tail[keep < 5 ? keep++ : 4] = part[i];
		}
	}
	return 0;
}

int talk_ask(struct talk *t, const struct talk_question *q, uint64_t until, struct talk_answer *ret,
	     char why[TALK_WHY])
{
	const char *length, *connection, *coding, *retry;
	size_t used = 0, have;
	ssize_t head;
	bool chunked;
	char number[24] = "";
	int err;

	memset(ret, 0, sizeof(*ret));
	err = send_question(t, q, until, why);
	head = err ? err : read_head(t, &used, until, why);
	if (head < 0)
		return (int)head;
	if (strlen(t->buffer) < 12)
		return because(why, -EPROTO, "that is no answer of HTTP/1.1");
	ret->status = (unsigned int)strtoul(t->buffer + 9, NULL, 10);
	ret->size = used;
	length = field(t->buffer, "Content-Length");
	coding = field(t->buffer, "Transfer-Encoding");
	connection = field(t->buffer, "Connection");
	retry = field(t->buffer, "Retry-After");
	if (retry)
		ret->retry_after_s = (unsigned int)strtoul(retry, NULL, 10);
	ret->closes = connection && !strncasecmp(connection, "close", 5);
	chunked = coding && !strncasecmp(coding, "chunked", 7);
	if (ret->status == 204 || ret->status == 304)
		return 0;
	if (length)
		snprintf(number, sizeof(number), "%.20s", length);
	if (!length && !chunked)
		ret->closes = true; /* the end of it is the connection's: what came is enough */
	have = used - (size_t)head;
	/* of the first piece, too, the end may be the end of all */
	memmove(t->buffer, t->buffer + (have > 5 ? used - 5 : (size_t)head), have > 5 ? 5 : have);
	if (!length && !chunked)
		return 0;
	return read_body(t, have, chunked ? NULL : number, chunked, until, ret, why);
}

int talk_wait_closed(struct talk *t, uint64_t until, uint64_t *ret_ns)
{
	uint64_t began = loop_now();
	char why[TALK_WHY], part[256];
	ssize_t n;

	do {
		n = take(t, part, sizeof(part), until, why);
	} while (n > 0);
	*ret_ns = loop_now() - began;
	return n == 0 ? 0 : (int)n;
}
