/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_rig.h - servers for the engine's tests: on the test's own loop over UDP, so that it decides
 * what is sent and when; and threads over TCP, TLS and HTTPS, each with one behaviour
 */
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "dns/engine.h"
#include "dns/engine_inner.h"
#include "dns/message_inner.h"
#include "tests/unit/loop_rig.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define GOOD	 0x010200c0u /* 192.0.2.1 */
#define FORGED	 0x426433c6u /* 198.51.100.66 */

/* ---- messages ---- */

static inline size_t rig_question_end(const uint8_t *query)
{
	size_t at = DNS_HEADER;

	while (query[at])
		at += query[at] + 1u;
	return at + 5;
}

/* A sound answer to the query with one address; its size. */
static inline size_t rig_answer(const uint8_t *query, uint32_t address, uint32_t ttl, uint8_t *ret)
{
	size_t n = rig_question_end(query);
	uint8_t rr[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0};

	memcpy(ret, query, n);
	ret[2] = 0x80 | (query[2] & 0x79);
	ret[3] = 0;
	memset(ret + DNS_AT_QD, 0, 8);
	ret[DNS_AT_QD + 1] = 1;
	ret[DNS_AT_AN + 1] = 1;
	ttl = htonl(ttl);
	memcpy(rr + 6, &ttl, 4);
	memcpy(rr + 12, &address, 4);
	memcpy(ret + n, rr, sizeof(rr));
	return n + sizeof(rr);
}

/* ---- a server over UDP, on the loop ---- */

struct rig_udp {
	int fd;
	uint16_t port;
	void (*serve)(struct rig_udp *s, const uint8_t *query, size_t size);
	struct sockaddr_storage from; /* who asked */
	socklen_t from_size;
	struct in_addr to; /* at which address */
	unsigned int served;
	void *arg;
};

static inline void rig_send(struct rig_udp *s, int fd, const void *data, size_t size)
{
	assert_int_equal(sendto(fd, data, size, 0, (struct sockaddr *)&s->from, s->from_size),
			 (ssize_t)size);
}

/* From the address that was asked. */
static inline void rig_send_from(struct rig_udp *s, struct in_addr from,
				 const struct sockaddr_in *to, const void *data, size_t size)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	struct msghdr m = {.msg_name = (void *)(uintptr_t)to,
			   .msg_namelen = sizeof(*to),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.room,
			   .msg_controllen = sizeof(control.room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	struct in_pktinfo info = {.ipi_spec_dst = from};

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	assert_int_equal(sendmsg(s->fd, &m, 0), (ssize_t)size);
}

static inline void rig_on_query(void *arg, int fd, unsigned int ready)
{
	struct rig_udp *s = arg;
	uint8_t query[4096], control[256];
	struct iovec iov = {.iov_base = query, .iov_len = sizeof(query)};
	struct msghdr m;
	ssize_t n;

	(void)ready;
	for (;;) {
		m = (struct msghdr){.msg_name = &s->from,
				    .msg_namelen = sizeof(s->from),
				    .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control)};
		n = recvmsg(fd, &m, MSG_DONTWAIT);
		if (n < 0)
			return;
		s->from_size = m.msg_namelen;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
				s->to = ((struct in_pktinfo *)CMSG_DATA(c))->ipi_addr;
		s->served++;
		s->serve(s, query, (size_t)n);
	}
}

/* An IPv4 socket at this address (0: all) and port (0: any). */
static inline int rig_socket(int type, uint32_t address, uint16_t port, uint16_t *ret_port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), big = 8 << 20;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	if (ret_port)
		*ret_port = ntohs(at.sin_port);
	return fd;
}

static inline void rig_udp(struct rig_udp *s, uint32_t address,
			   void (*serve)(struct rig_udp *s, const uint8_t *query, size_t size))
{
	int on = 1;

	*s = (struct rig_udp){.serve = serve};
	s->fd = rig_socket(SOCK_DGRAM, address, 0, &s->port);
	assert_int_equal(setsockopt(s->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)), 0);
	assert_int_equal(loop_watch(l, s->fd, LOOP_READ, rig_on_query, s), 0);
}

static inline void rig_udp_end(struct rig_udp *s)
{
	loop_unwatch(l, s->fd);
	close(s->fd);
}

static inline void rig_serve_well(struct rig_udp *s, const uint8_t *query, size_t size)
{
	uint8_t m[1024];

	(void)size;
	rig_send(s, s->fd, m, rig_answer(query, GOOD, 60, m));
}

/* ---- whom to ask, and what came of it ---- */

static inline struct dns_target rig_target(uint32_t address, uint16_t port,
					   enum dns_transport transport)
{
	struct dns_target t = {.transport = transport, .family = 4, .port = port};

	t.ip[2] = htonl(0xffff);
	t.ip[3] = htonl(address);
	return t;
}

static inline struct dns_question rig_question(const char *name)
{
	struct dns_question q = {.type = DNS_A, .recurse = true};

	assert_int_equal(dns_name(name, q.name), 0);
	return q;
}

struct rig_seen {
	unsigned int done, of[DNS_FAILED + 1], rejected, tries, want; /* want: stops the loop */
	struct dns_result last;
	uint32_t address, ttl; /* of the last answer */
	unsigned int forged;   /* answers with the forger's address */
	uint64_t ended, slowest;
};

static inline void rig_note(void *arg, const struct dns_result *r)
{
	struct rig_seen *s = arg;

	assert_int_equal(r->outcome == DNS_ANSWERED, r->answer != NULL);
	assert_int_equal(r->outcome == DNS_ANSWERED, !r->why[0]);
	assert_true(r->received >= r->sent);
	s->last = *r;
	s->of[r->outcome]++;
	s->rejected += r->rejected;
	s->tries += r->tries;
	if (r->answer) {
		s->address = r->answer->n_addresses ? r->answer->address[0].ip[3] : 0;
		s->ttl = r->answer->ttl;
		s->forged += s->address == FORGED;
		if (r->received - r->sent > s->slowest)
			s->slowest = r->received - r->sent;
	}
	s->ended = loop_now();
	if (++s->done == s->want)
		loop_stop(l, 0);
}

/* One question, to its end. */
static inline void rig_ask_one(struct dns_engine *e, const struct dns_target *t,
			       struct rig_seen *ret)
{
	struct dns_question q = rig_question("www.example.com");

	*ret = (struct rig_seen){.want = 1};
	assert_int_equal(dns_ask(e, t, &q, rig_note, ret), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(dns_engine_busy(e), 0);
}

static inline struct dns_engine *rig_engine(struct dns_engine_settings s)
{
	struct dns_engine *e;

	assert_int_equal(dns_engine_make(l, &s, &e), 0);
	return e;
}

/* ---- nothing is left behind ---- */

static inline unsigned int rig_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Blocks of memory in use, all that is allocated in this process being counted here. */
static atomic_long rig_blocks;

#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

void *malloc(size_t size)
{
	void *p = __libc_malloc(size);

	rig_blocks += p != NULL;
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = __libc_calloc(n, size);

	rig_blocks += p != NULL;
	return p;
}

void *realloc(void *p, size_t size)
{
	void *q = __libc_realloc(p, size);

	rig_blocks += (q != NULL) - (p && (q || !size));
	return q;
}

void free(void *p)
{
	rig_blocks -= p != NULL;
	__libc_free(p);
}
#endif

/* ---- a certificate, for a name and an address ---- */

struct rig_cert {
	EVP_PKEY *key;
	X509 *cert;
	char file[64]; /* itself, to be trusted */
};

static inline void rig_cert(struct rig_cert *c, const char *names, long days)
{
	X509_EXTENSION *x;
	FILE *f;
	int fd;

	c->key = EVP_EC_gen("P-256");
	c->cert = X509_new();
	X509_set_version(c->cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c->cert), 1);
	X509_time_adj_ex(X509_getm_notBefore(c->cert), -100, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(c->cert), (int)days, 0, NULL);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(c->cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(c->cert, X509_get_subject_name(c->cert));
	X509_set_pubkey(c->cert, c->key);
	x = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	X509_add_ext(c->cert, x, -1);
	X509_EXTENSION_free(x);
	assert_true(X509_sign(c->cert, c->key, EVP_sha256()) > 0);
	snprintf(c->file, sizeof(c->file), "/tmp/unit-dns-XXXXXX");
	fd = mkstemp(c->file);
	f = fdopen(fd, "w");
	PEM_write_X509(f, c->cert);
	fclose(f);
}

static inline void rig_cert_end(struct rig_cert *c)
{
	unlink(c->file);
	X509_free(c->cert);
	EVP_PKEY_free(c->key);
}

/* ---- a server over TCP, in a thread: one connection at a time, each with the same behaviour ----
 */

struct rig_tcp {
	int fd;
	uint16_t port;
	pthread_t thread;
	const struct rig_cert *cert; /* NULL: plain */
	int max_version;	     /* of TLS; 0: the newest */
	void (*talk)(struct rig_tcp *s);
	int client;
	SSL *ssl;
	unsigned int served;
	const char *status, *type; /* of HTTP */
	char request[2048];	   /* the head of the last one */
};

static inline int rig_read(struct rig_tcp *s, void *to, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = s->ssl ? SSL_read(s->ssl, (char *)to + got, (int)(size - got))
				   : recv(s->client, (char *)to + got, size - got, 0);
		if (n <= 0)
			return -1;
		got += (size_t)n;
	}
	return 0;
}

static inline void rig_write(struct rig_tcp *s, const void *data, size_t size)
{
	if (s->ssl)
		(void)!SSL_write(s->ssl, data, (int)size);
	else
		(void)!send(s->client, data, size, MSG_NOSIGNAL);
}

/* A query as TCP has it; its size, or −1. */
static inline int rig_read_query(struct rig_tcp *s, uint8_t query[DNS_QUERY])
{
	uint8_t length[2];
	unsigned int n;

	if (rig_read(s, length, 2))
		return -1;
	n = dns_get16(length);
	return n > DNS_QUERY || rig_read(s, query, n) ? -1 : (int)n;
}

static inline void rig_write_framed(struct rig_tcp *s, const uint8_t *m, size_t size)
{
	uint8_t framed[2048];

	dns_put16(framed, (unsigned int)size);
	memcpy(framed + 2, m, size);
	rig_write(s, framed, size + 2);
}

static inline void *rig_serve_tcp(void *arg)
{
	struct rig_tcp *s = arg;
	SSL_CTX *c = NULL;
	sigset_t pipe;

	sigemptyset(&pipe); /* this thread's alone: the engine may not raise it */
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	if (s->cert) {
		c = SSL_CTX_new(TLS_server_method());
		SSL_CTX_use_certificate(c, s->cert->cert);
		SSL_CTX_use_PrivateKey(c, s->cert->key);
		if (s->max_version) {
			SSL_CTX_set_security_level(c, 0);
			SSL_CTX_set_max_proto_version(c, s->max_version);
		}
	}
	while ((s->client = accept(s->fd, NULL, NULL)) >= 0) {
		s->served++;
		if (c) {
			s->ssl = SSL_new(c);
			SSL_set_fd(s->ssl, s->client);
		}
		if (!c || SSL_accept(s->ssl) == 1)
			s->talk(s);
		SSL_free(s->ssl);
		s->ssl = NULL;
		close(s->client);
	}
	SSL_CTX_free(c);
	return NULL;
}

static inline void rig_tcp(struct rig_tcp *s, void (*talk)(struct rig_tcp *s),
			   const struct rig_cert *cert, uint16_t port)
{
	*s = (struct rig_tcp){.talk = talk, .cert = cert};
	s->fd = rig_socket(SOCK_STREAM, INADDR_LOOPBACK, port, &s->port);
	assert_int_equal(listen(s->fd, 16), 0);
}

static inline void rig_tcp_go(struct rig_tcp *s)
{
	assert_int_equal(pthread_create(&s->thread, NULL, rig_serve_tcp, s), 0);
}

static inline void rig_tcp_end(struct rig_tcp *s)
{
	shutdown(s->fd, SHUT_RDWR); /* ends accept */
	pthread_join(s->thread, NULL);
	close(s->fd);
}
