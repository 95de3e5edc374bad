/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_rfc2136.c - dynamic update against a server of ours that lies, loses and forges; TSIG
 * against ldns's
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <ldns/ldns.h>

#include "dns/change.h"
#include "dns/tsig.h"
#include "userspace/conf/config.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define NAME	 "www.example.test."
#define SECRET	 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define OTHER	 "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

/* ---- the server ---- */

enum doing {
	DO,	  /* it changes and says so */
	DO_LOSE,  /* it changes, and the connection goes before the answer */
	LOSE,	  /* it changes nothing, and the connection goes */
	DO_HANG,  /* it changes, and never answers */
	HANG,	  /* neither */
	LIE,	  /* it changes nothing and says that it did */
	UNSIGNED, /* it changes nothing; an answer without a signature says that it did */
	DO_UNSIGNED,
	FORGED, /* it changes nothing; an answer of another key says that it did */
	DO_FORGED,
	DO_OLD, /* it changes; the answer was signed an hour ago */
	DO_GARBAGE,
	GARBAGE,
	OTHER_ID,
	RCODE, /* it refuses, signed */
	BARE,  /* it refuses, without a signature */
	THIRD, /* another hand was faster, and it says NXRRSET */
	TWICE, /* the new set is there already, and it says NXRRSET */
	BADSIG,
	BADKEY,
	BADTIME,
	DO_DIE, /* it changes, answers nothing and is gone */
};

static struct {
	struct tsig_key key, wrong;
	volatile int tcp;
	int udp;
	uint16_t port;
	pthread_t thread;
	/* what the test says; read for each message */
	enum doing update, look;
	uint8_t rcode;
	volatile bool only_udp;
	bool alias, not_aa, dead;
	int there; /* 0: the old set, 1: the new one, 2: a third, 3: none */
	uint32_t ttl;
	/* what was seen */
	uint8_t last[4096];
	size_t last_size;
	int updates;
	volatile bool stop;
} server;

static void mac_in(const uint8_t *m, size_t size, size_t at, struct tsig_mac *ret)
{
	struct wire_name algorithm;
	struct wire_rr rr;
	size_t p = at;

	assert_int_equal(wire_read_rr(m, size, &p, &rr), 0);
	p = (size_t)(rr.rdata - m);
	assert_int_equal(wire_read_name(m, size, &p, &algorithm), 0);
	ret->size = wire_get16(m + p + 8);
	memcpy(ret->data, m + p + 10, ret->size);
}

static void put_set(struct wire_out *o, const uint8_t *question, uint16_t type)
{
	static const char *const sets[][2] = {{"192.0.2.1", NULL},
					      {"198.51.100.1", "198.51.100.2"},
					      {"203.0.113.99", NULL},
					      {NULL, NULL}};
	struct wire_name owner, target;
	size_t at = WIRE_HEADER;
	uint8_t ip[4];

	assert_int_equal(wire_read_name(question, 512, &at, &owner), 0);
	wire_name_from("other.example.test.", &target);
	if (server.alias) {
		wire_put_rr(o, &owner, DNS_CNAME, WIRE_IN, 60, target.data, target.size);
		o->data[7]++;
	}
	for (int i = 0; i < 2 && type == DNS_A && sets[server.there][i]; i++) {
		inet_pton(AF_INET, sets[server.there][i], ip);
		wire_put_rr(o, &owner, DNS_A, WIRE_IN, server.ttl, ip, 4);
		o->data[7]++;
	}
}

/* NOTAUTH with a TSIG record that has no MAC. */
static void put_tsig_error(struct wire_out *o, uint16_t error)
{
	uint8_t rdata[64];
	struct wire_out r = {.data = rdata, .size = sizeof(rdata)};
	struct wire_name algorithm;

	wire_name_from("hmac-sha256.", &algorithm);
	wire_put_name(&r, &algorithm);
	wire_put16(&r, 0);
	wire_put32(&r, 0);
	wire_put16(&r, 300);
	wire_put16(&r, 0);
	wire_put(&r, o->data, 2);
	wire_put16(&r, error);
	wire_put16(&r, 0);
	wire_put_rr(o, &server.key.name, 250, WIRE_ANY, 0, rdata, (uint16_t)r.used);
	o->data[11]++;
}

static void act(enum doing d)
{
	switch (d) {
	case DO:
	case DO_LOSE:
	case DO_HANG:
	case DO_UNSIGNED:
	case DO_FORGED:
	case DO_OLD:
	case DO_GARBAGE:
	case DO_DIE:
	case TWICE:
		server.there = 1;
		break;
	case THIRD:
		server.there = 2;
		break;
	default:
		break;
	}
}

static void sign(struct wire_out *o, enum doing d, const struct tsig_mac *of)
{
	uint64_t now = (uint64_t)time(NULL);
	struct tsig_mac mac;

	if (d == UNSIGNED || d == DO_UNSIGNED || d == BARE)
		return;
	if (d == BADSIG || d == BADKEY)
		put_tsig_error(o, d == BADSIG ? TSIG_BADSIG : TSIG_BADKEY);
	else if (d == BADTIME)
		tsig_sign(&server.key, o, now, of, TSIG_BADTIME, now - 3600, &mac);
	else
		tsig_sign(d == FORGED || d == DO_FORGED ? &server.wrong : &server.key, o,
			  d == DO_OLD ? now - 3600 : now, of, 0, 0, &mac);
}

/* The answer's size; 0: none. */
static size_t answer(const uint8_t *q, size_t size, uint8_t *ret, enum doing *did)
{
	struct wire_out o = {.data = ret, .size = 4096};
	bool update = (q[2] >> 3 & 15) == 5;
	enum doing d = update ? server.update : server.look;
	struct tsig_seen seen;
	struct tsig_mac of;
	size_t bare, at;

	tsig_check(&server.key, q, size, NULL, (uint64_t)time(NULL), &seen, &bare);
	mac_in(q, size, bare, &of);
	*did = d;
	if (update) {
		memcpy(server.last, q, size);
		server.last_size = size;
		server.updates++;
		act(d);
	}
	if (d == LOSE || d == DO_LOSE || d == HANG || d == DO_HANG || d == DO_DIE)
		return 0;
	wire_skip_questions(q, size, &at);
	wire_put(&o, q, at);
	ret[2] = (uint8_t)(q[2] | 0x80 | (update || server.not_aa ? 0 : 4));
	ret[3] = 0;
	memset(ret + 6, 0, 6);
	if (d == RCODE || d == BARE)
		ret[3] = server.rcode;
	if (d == THIRD || d == TWICE)
		ret[3] = DNS_NXRRSET;
	if (d == BADSIG || d == BADKEY || d == BADTIME)
		ret[3] = DNS_NOTAUTH;
	if (!update && !ret[3])
		put_set(&o, q, wire_get16(q + at - 4));
	sign(&o, d, &of);
	if (d == GARBAGE || d == DO_GARBAGE)
		memset(ret + 12, 0xc0, o.used - 12);
	if (d == OTHER_ID)
		ret[0] ^= 1;
	return o.used;
}

static bool take(int fd, uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = recv(fd, data, size, 0);

		if (n <= 0)
			return false;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

static void serve_tcp(int fd)
{
	uint8_t q[4096], a[4096 + 2];
	enum doing did = DO;
	size_t n;

	if (take(fd, q, 2) && take(fd, q + 2, wire_get16(q))) {
		n = answer(q + 2, wire_get16(q), a + 2, &did);
		a[0] = (uint8_t)(n >> 8);
		a[1] = (uint8_t)n;
		if (n)
			send(fd, a, n + 2, MSG_NOSIGNAL);
		if (did == HANG || did == DO_HANG)
			recv(fd, q, 1, 0); /* until the client goes */
	}
	close(fd);
	server.dead |= did == DO_DIE;
}

static void serve_udp(void)
{
	uint8_t q[4096], a[4096];
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	ssize_t n = recvfrom(server.udp, q, sizeof(q), 0, (struct sockaddr *)&from, &size);
	enum doing did;

	if (n < WIRE_HEADER)
		return;
	n = (ssize_t)answer(q, (size_t)n, a, &did);
	if (n)
		sendto(server.udp, a, (size_t)n, 0, (struct sockaddr *)&from, size);
}

static void *serve(void *arg)
{
	(void)arg;
	while (!server.stop) {
		struct pollfd p[2] = {{.fd = server.tcp, .events = POLLIN},
				      {.fd = server.udp, .events = POLLIN}};

		if (server.only_udp && server.tcp >= 0) {
			close(server.tcp);
			server.tcp = -1;
			continue;
		}
		if (poll(p, 2, 20) <= 0)
			continue;
		if (p[0].revents) {
			int fd = accept(server.tcp, NULL, NULL);

			if (server.dead)
				close(fd);
			else
				serve_tcp(fd);
		}
		if (p[1].revents)
			serve_udp();
	}
	return NULL;
}

/* ---- what is tested ---- */

static struct conf_provider conf;
static struct dns_rrset old, fresh, seen;
static char why[DNS_WHY];

static void make_sets(void)
{
	memset(&old, 0, sizeof(old));
	strcpy(old.name, NAME);
	old.type = DNS_A;
	old.ttl = 60;
	fresh = old;
	old.n = 1;
	strcpy(old.member[0].data, "192.0.2.1");
	fresh.n = 2;
	strcpy(fresh.member[0].data, "198.51.100.1");
	strcpy(fresh.member[1].data, "198.51.100.2");
}

static int bound(int type, uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(*port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&at, size) ||
	    getsockname(fd, (struct sockaddr *)&at, &size))
		return -1;
	*port = ntohs(at.sin_port);
	return fd;
}

static int begin(void **state)
{
	int fd;

	(void)state;
	tsig_key_parse(SECRET "\n", "shift.", CONF_SHA256, &server.key, why);
	tsig_key_parse(OTHER "\n", "shift.", CONF_SHA256, &server.wrong, why);
	server.tcp = bound(SOCK_STREAM, &server.port);
	server.udp = bound(SOCK_DGRAM, &server.port);
	if (server.tcp < 0 || server.udp < 0 || listen(server.tcp, 16))
		return -1;
	strcpy(conf.server, "127.0.0.1");
	conf.address.family = 4;
	conf.address.ip[2] = htonl(0xffff);
	conf.address.ip[3] = htonl(INADDR_LOOPBACK);
	conf.port = server.port;
	strcpy(conf.zone, "example.test");
	strcpy(conf.key_name, "shift.");
	conf.timeout_ms = 400;
	strcpy(conf.key_file, "/tmp/shift-key.XXXXXX");
	fd = mkstemp(conf.key_file);
	if (fd < 0 || write(fd, SECRET "\n", sizeof(SECRET)) != sizeof(SECRET))
		return -1;
	close(fd);
	return pthread_create(&server.thread, NULL, serve, NULL);
}

static int end(void **state)
{
	(void)state;
	server.stop = true;
	pthread_join(server.thread, NULL);
	unlink(conf.key_file);
	return 0;
}

static void reset(void)
{
	server.update = server.look = DO;
	server.there = 0;
	server.ttl = 60;
	server.rcode = 0;
	server.alias = server.not_aa = server.dead = false;
	server.updates = 0;
	make_sets();
	why[0] = '\0';
}

static enum dns_changed apply(void)
{
	enum dns_changed got;
	char id[128];
	void *x;

	assert_int_equal(dns_rfc2136.open(&conf, NAME, &x, why), 0);
	got = dns_rfc2136.apply(x, &old, &fresh, id, &seen, why);
	dns_rfc2136.close(x);
	return got;
}

static enum dns_changed look(uint16_t type)
{
	enum dns_changed got;
	void *x;

	assert_int_equal(dns_rfc2136.open(&conf, NAME, &x, why), 0);
	got = dns_rfc2136.read(x, NAME, type, &seen, why);
	dns_rfc2136.close(x);
	return got;
}

static void whatever_the_server_does_the_outcome_is_what_is_there(void **state)
{
	static const struct {
		enum doing update;
		uint8_t rcode;
		enum dns_changed want;
		const char *words;
	} rows[] = {
		{DO, 0, DNS_CHANGED, ""},
		{DO_LOSE, 0, DNS_CHANGED, ""},
		{DO_HANG, 0, DNS_CHANGED, ""},
		{DO_UNSIGNED, 0, DNS_CHANGED, ""},
		{DO_FORGED, 0, DNS_CHANGED, ""},
		{DO_OLD, 0, DNS_CHANGED, ""},
		{DO_GARBAGE, 0, DNS_CHANGED, ""},
		{TWICE, 0, DNS_CHANGED, ""},
		{LOSE, 0, DNS_UNREACHED, "closed without an answer; nothing was changed"},
		{HANG, 0, DNS_UNREACHED, "no answer in time; nothing was changed"},
		{UNSIGNED, 0, DNS_UNREACHED, "it is not signed; nothing was changed"},
		{FORGED, 0, DNS_UNREACHED, "not of this key; nothing was changed"},
		{GARBAGE, 0, DNS_UNREACHED, "nothing was changed"},
		{OTHER_ID, 0, DNS_UNREACHED, "no DNS message; nothing was changed"},
		{THIRD, 0, DNS_STALE, "NXRRSET; there is 203.0.113.99 (TTL 60)"},
		{RCODE, DNS_NXRRSET, DNS_STALE, "NXRRSET; nothing was changed"},
		{RCODE, DNS_YXRRSET, DNS_STALE, "YXRRSET; nothing was changed"},
		{RCODE, DNS_SERVFAIL, DNS_REJECTED, "SERVFAIL; nothing was changed"},
		{RCODE, DNS_REFUSED, DNS_DENIED,
		 "does not let key shift. update zone example.test"},
		{BARE, DNS_REFUSED, DNS_DENIED, "does not let key shift. update zone example.test"},
		{RCODE, DNS_NOTAUTH, DNS_DENIED, "not the primary of example.test"},
		{RCODE, DNS_NOTZONE, DNS_REJECTED, "not in zone example.test"},
		{RCODE, DNS_NOTIMP, DNS_REJECTED, "has no dynamic update"},
		{RCODE, DNS_FORMERR, DNS_REJECTED, "FORMERR"},
		{BADSIG, 0, DNS_DENIED, "BADSIG: the key's secret is not the server's"},
		{BADKEY, 0, DNS_DENIED, "BADKEY: the server does not know the key"},
		{BADTIME, 0, DNS_DENIED,
		 "BADTIME: this host's clock is 1h00m ahead of the server's"},
		{LIE, 0, DNS_UNCERTAIN, "says that it was done, but there is 192.0.2.1 (TTL 60)"},
		{DO_DIE, 0, DNS_UNCERTAIN, "and then it could not be read"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum dns_changed got;

		reset();
		server.update = rows[i].update;
		server.rcode = rows[i].rcode;
		got = apply();
		if (got != rows[i].want || !strstr(why, rows[i].words))
			fail_msg("row %zu: %s: %s", i, dns_changes[got], why);
		assert_int_equal(server.updates, 1); /* never sent again */
		if (got == DNS_CHANGED)
			assert_true(dns_rrset_same(&seen, &fresh));
		assert_null(strstr(why, SECRET));
	}
}

static void what_is_not_the_old_set_is_not_touched(void **state)
{
	(void)state;
	for (int there = 1; there <= 3; there++) {
		reset();
		server.there = there;
		assert_int_equal(apply(), DNS_STALE);
		assert_int_equal(server.updates, 0);
	}
	reset();
	server.ttl = 61; /* which no prerequisite would notice */
	assert_int_equal(apply(), DNS_STALE);
	assert_string_equal(why, "there is 192.0.2.1 (TTL 61)");
	assert_int_equal(seen.ttl, 61);
	assert_int_equal(server.updates, 0);
}

static void no_forged_look_is_believed(void **state)
{
	static const struct {
		enum doing look;
		uint8_t rcode;
		enum dns_changed want;
	} rows[] = {
		{DO, 0, DNS_CHANGED},
		{UNSIGNED, 0, DNS_UNREACHED},
		{FORGED, 0, DNS_UNREACHED},
		{DO_OLD, 0, DNS_UNREACHED},
		{GARBAGE, 0, DNS_UNREACHED},
		{OTHER_ID, 0, DNS_UNREACHED},
		{LOSE, 0, DNS_UNREACHED},
		{HANG, 0, DNS_UNREACHED},
		{BADSIG, 0, DNS_DENIED},
		{BADTIME, 0, DNS_DENIED},
		{RCODE, DNS_REFUSED, DNS_DENIED},
		{RCODE, DNS_SERVFAIL, DNS_REJECTED},
		{BARE, DNS_NXDOMAIN, DNS_REJECTED},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		reset();
		server.look = rows[i].look;
		server.rcode = rows[i].rcode;
		assert_int_equal(look(DNS_A), rows[i].want);
		assert_int_equal(why[0] != 0, rows[i].want != DNS_CHANGED);
		server.updates = 0;
		if (rows[i].want)
			assert_int_equal(apply(), rows[i].want);
		assert_int_equal(server.updates, 0);
	}
	reset();
	assert_int_equal(look(DNS_AAAA), DNS_CHANGED);
	assert_int_equal(seen.n, 0);
	server.look = RCODE;
	server.rcode = DNS_NXDOMAIN;
	assert_int_equal(look(DNS_A), DNS_CHANGED);
	assert_int_equal(seen.n, 0);
	reset();
	server.alias = true;
	assert_int_equal(look(DNS_A), DNS_REJECTED);
	assert_non_null(strstr(why, "is an alias"));
	reset();
	server.not_aa = true;
	assert_int_equal(look(DNS_A), DNS_REJECTED);
	assert_non_null(strstr(why, "not authoritative"));
}

static void udp_is_taken_where_tcp_has_no_connection(void **state)
{
	const struct timespec moment = {.tv_nsec = 10000000};

	(void)state;
	reset();
	server.only_udp = true;
	for (int i = 0; i < 200 && server.tcp >= 0; i++)
		nanosleep(&moment, NULL);
	assert_int_equal(apply(), DNS_CHANGED);
	assert_int_equal(server.updates, 1);
	reset();
	server.update = OTHER_ID; /* waited past, not believed */
	assert_int_equal(apply(), DNS_UNREACHED);
	assert_non_null(strstr(why, "asked over UDP"));
}

/* ---- the messages, as another implementation reads them ---- */

static void an_update_is_what_ldns_reads_and_signs(void **state)
{
	ldns_pkt *p;

	(void)state;
	reset();
	assert_int_equal(apply(), DNS_CHANGED);
	assert_int_equal(ldns_wire2pkt(&p, server.last, server.last_size), LDNS_STATUS_OK);
	assert_int_equal(ldns_pkt_get_opcode(p), LDNS_PACKET_UPDATE);
	assert_false(ldns_pkt_rd(p));
	assert_int_equal(ldns_update_zocount(p), 1);
	assert_int_equal(ldns_update_prcount(p), 1);
	assert_int_equal(ldns_update_upcount(p), 3);
	assert_true(ldns_pkt_tsig_verify(p, server.last, server.last_size, "shift.", SECRET, NULL));
	assert_false(ldns_pkt_tsig_verify(p, server.last, server.last_size, "shift.", OTHER, NULL));
	ldns_pkt_free(p);
}

static void a_key_that_others_read_is_refused(void **state)
{
	void *x;

	(void)state;
	assert_int_equal(chmod(conf.key_file, 0640), 0);
	assert_int_equal(dns_rfc2136.open(&conf, NAME, &x, why), -EPERM);
	assert_non_null(strstr(why, "can be read by others"));
	assert_int_equal(chmod(conf.key_file, 0600), 0);
	assert_int_equal(dns_rfc2136.open(&conf, "www.example.com.", &x, why), -EINVAL);
	assert_non_null(strstr(why, "is not in example.test"));
}

static void what_is_shown_has_the_bytes_and_no_secret(void **state)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	void *x;

	(void)state;
	reset();
	assert_int_equal(dns_rfc2136.open(&conf, NAME, &x, why), 0);
	dns_rfc2136.show(x, &old, &fresh, f);
	old.n = 0;
	dns_rfc2136.show(x, &old, &fresh, f);
	fclose(f);
	dns_rfc2136.close(x);
	assert_non_null(strstr(text, "  prerequisite: exactly " NAME " IN A 192.0.2.1\n"));
	assert_non_null(strstr(text, "  delete " NAME " IN A\n"));
	assert_non_null(strstr(text, "  add " NAME " 60 IN A 198.51.100.2\n"));
	assert_non_null(strstr(text, "  0000  00 00 28 00 00 01 00 01 00 03 00 00"));
	assert_non_null(strstr(text, "  prerequisite: no " NAME " IN A\n"));
	assert_null(strstr(text, SECRET));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_the_server_does_the_outcome_is_what_is_there),
		cmocka_unit_test(what_is_not_the_old_set_is_not_touched),
		cmocka_unit_test(no_forged_look_is_believed),
		cmocka_unit_test(an_update_is_what_ldns_reads_and_signs),
		cmocka_unit_test(a_key_that_others_read_is_refused),
		cmocka_unit_test(what_is_shown_has_the_bytes_and_no_secret),
		cmocka_unit_test(udp_is_taken_where_tcp_has_no_connection),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
