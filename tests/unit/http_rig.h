/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http_rig.h - an HTTP server that behaves as its paths say, in a process of its own
 *
 * It counts requests and notes what it was asked in memory that both processes see. One process for
 * each connection, so that none waits for another.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct rig_seen {
	unsigned int requests, connections;
	char sni[256];
	char request[8192];  /* the latest, head and body */
	unsigned int script; /* which answer of a script is next */
};

struct rig {
	int fd;
	const char *address; /* IPv4; NULL: 127.0.0.1 */
	char address_text[INET_ADDRSTRLEN];
	uint16_t port;
	pid_t pid;
	SSL_CTX *tls;
	struct rig_seen *seen;
};

struct rig_link {
	int fd;
	SSL *ssl;
	struct rig_seen *seen;
};

static inline bool rig_write(const struct rig_link *k, const char *data, size_t n)
{
	while (n) {
		ssize_t done = k->ssl ? SSL_write(k->ssl, data, (int)n)
				      : send(k->fd, data, n, MSG_NOSIGNAL);

		if (done <= 0)
			return false;
		data += done;
		n -= (size_t)done;
	}
	return true;
}

static inline bool rig_say(const struct rig_link *k, const char *text)
{
	return rig_write(k, text, strlen(text));
}

/* Head and body of one request; false: the other side closed. */
static inline bool rig_read(const struct rig_link *k, char *ret, size_t size)
{
	size_t n = 0, want = 0;

	for (;;) {
		char *end, *length;
		ssize_t got;

		if (n + 1 >= size)
			return false;
		got = k->ssl ? SSL_read(k->ssl, ret + n, (int)(size - n - 1))
			     : recv(k->fd, ret + n, size - n - 1, 0);
		if (got <= 0)
			return false;
		n += (size_t)got;
		if ((unsigned char)ret[0] < ' ')
			return false; /* TLS, where there is none */
		ret[n] = '\0';
		end = strstr(ret, "\r\n\r\n");
		if (!end)
			continue;
		length = strcasestr(ret, "\r\nContent-Length:");
		want = (size_t)(end - ret) + 4;
		if (length && length < end)
			want += strtoul(length + 17, NULL, 10);
		if (n >= want)
			return true;
	}
}

/* Answers one request; false: the connection ends. */
typedef bool (*rig_answer)(const struct rig_link *k, const char *path);

static inline void rig_connection(const struct rig *r, int fd, rig_answer answer)
{
	struct rig_link k = {.fd = fd, .seen = r->seen};
	char text[sizeof(r->seen->request)], path[256];

	if (r->tls) {
		const char *name;

		k.ssl = SSL_new(r->tls);
		SSL_set_fd(k.ssl, fd);
		if (SSL_accept(k.ssl) != 1)
			_exit(0);
		name = SSL_get_servername(k.ssl, TLSEXT_NAMETYPE_host_name);
		snprintf(r->seen->sni, sizeof(r->seen->sni), "%s", name ? name : "");
	}
	__atomic_add_fetch(&r->seen->connections, 1, __ATOMIC_RELAXED);
	while (rig_read(&k, text, sizeof(text))) {
		__atomic_add_fetch(&r->seen->requests, 1, __ATOMIC_RELAXED);
		memcpy(r->seen->request, text, sizeof(text));
		if (sscanf(text, "%*s %255s", path) != 1 || !answer(&k, path))
			break;
	}
	if (k.ssl)
		SSL_shutdown(k.ssl);
	_exit(0);
}

static inline void rig_start(struct rig *r, SSL_CTX *tls, rig_answer answer)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);

	if (r->address)
		assert_int_equal(inet_pton(AF_INET, r->address, &a.sin_addr), 1);
	r->tls = tls;
	r->seen = mmap(NULL, sizeof(*r->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	assert_true(r->seen != MAP_FAILED);
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(r->fd >= 0);
	assert_int_equal(bind(r->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(r->fd, 1000), 0);
	assert_int_equal(getsockname(r->fd, (struct sockaddr *)&a, &size), 0);
	r->port = ntohs(a.sin_port);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid)
		return;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(r->fd, NULL, NULL);

		if (fd < 0)
			continue;
		if (!fork()) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			rig_connection(r, fd, answer);
		}
		close(fd);
	}
}

static inline void rig_start_at(struct rig *r, in_addr_t address, SSL_CTX *tls, rig_answer answer)
{
	inet_ntop(AF_INET, &address, r->address_text, sizeof(r->address_text));
	r->address = r->address_text;
	rig_start(r, tls, answer);
}

static inline void rig_stop(struct rig *r)
{
	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	close(r->fd);
	munmap(r->seen, sizeof(*r->seen));
}

static inline const char *rig_url(const struct rig *r, const char *path)
{
	static char text[4][512];
	static unsigned int next;
	char *ret = text[next++ % 4];

	snprintf(ret, sizeof(text[0]), "%s://%s:%u%s", r->tls ? "https" : "http",
		 r->address ? r->address : "127.0.0.1", r->port, path);
	return ret;
}

/* A certificate of its own authority for `name`, written to `file`; the context to serve with. */
static inline SSL_CTX *rig_certificate(const char *name, const char *file)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *e;
	char text[300];
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	snprintf(text, sizeof(text), "DNS:%s", name);
	e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(tls, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(tls, key), 1);
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
	return tls;
}
