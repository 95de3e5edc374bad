/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * secure.c - a chain of trust from the parent's DS to one answer, in a child process
 *
 * What is verified is what a resolver would: a DS is the digest of a key, that key has signed the
 * zone's keys, and one of those has signed the records. Any one valid signature is enough at each
 * step, and the step is good until the last of its valid signatures ends; the chain until the first
 * of its steps does. That the parent itself is believed is not verified: it is not what changes.
 *
 * How it fails: every doubt is SECURE_CANNOT, never "bogus", unless a whole answer was there and
 * the arithmetic said no. The child has what the parent had at the fork, sends one small struct
 * back through a pipe, and is killed when its time is up.
 *
 * Weakness: a proof that a name does not exist (NSEC, NSEC3) is not checked beyond the signature of
 * the SOA beside it.
 */
#include "dns/secure.h"

#include <errno.h>
#include <fcntl.h>
#include <ldns/ldns.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/base/loop.h"
#include "userspace/base/text.h"

#define MS	    UINT64_C(1000000)
#define S	    UINT64_C(1000000000)
#define LIMIT	    (3 * S)
#define MORE_MEMORY (64ul << 20)

/* ---- the child ---- */

static void bound(uint64_t limit_ns)
{
	struct rlimit cpu = {(limit_ns + S - 1) / S, (limit_ns + S - 1) / S + 1}, none = {0, 0};
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &none);
	if (f && fscanf(f, "%lu", &pages) == 1) {
		struct rlimit memory;
		unsigned long has = pages * (unsigned long)sysconf(_SC_PAGESIZE);

		memory.rlim_cur = memory.rlim_max = has + MORE_MEMORY;
		setrlimit(RLIMIT_AS, &memory);
	}
	if (f)
		fclose(f);
}

static void child(int fd, secure_work work, const void *arg, uint64_t limit_ns)
{
	struct secure_result r = {0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* What an assertion has to say is no talk of ours. */
	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int s = 1; s < 32; s++)
		signal(s, SIG_DFL);
	bound(limit_ns);
	work(arg, &r);
	while (write(fd, &r, sizeof(r)) < 0 && errno == EINTR)
		;
	_exit(0);
}

/* Waits for the whole answer until `until`. */
static bool receive(int fd, uint64_t until, struct secure_result *ret)
{
	size_t got = 0;

	while (got < sizeof(*ret)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = loop_now();
		int n = now < until ? poll(&p, 1, (int)((until - now) / MS) + 1) : 0;
		ssize_t more;

		if (!n)
			return false;
		if (n < 0 && errno == EINTR)
			continue;
		more = n < 0 ? -1 : read(fd, (char *)ret + got, sizeof(*ret) - got);
		if (more < 0 && errno == EINTR)
			continue;
		if (more <= 0)
			return false;
		got += (size_t)more;
	}
	return true;
}

int secure_in_child(secure_work work, const void *arg, uint64_t limit_ns, struct secure_result *ret)
{
	uint64_t until = loop_now() + limit_ns;
	struct secure_result r;
	int fds[2], status = 0;
	bool whole;
	pid_t pid;

	memset(ret, 0, sizeof(*ret));
	if (pipe2(fds, O_CLOEXEC)) {
		snprintf(ret->why, sizeof(ret->why), "no child process: %s", strerror(errno));
		return -errno;
	}
	pid = fork();
	if (pid < 0) {
		int err = -errno;

		close(fds[0]);
		close(fds[1]);
		snprintf(ret->why, sizeof(ret->why), "no child process: %s", strerror(-err));
		return err;
	}
	if (!pid) {
		close(fds[0]);
		child(fds[1], work, arg, limit_ns);
	}
	close(fds[1]);
	whole = receive(fds[0], until, &r);
	close(fds[0]);
	if (!whole && loop_now() >= until) {
		kill(pid, SIGKILL);
		snprintf(ret->why, sizeof(ret->why), "verification took longer than %.1f s",
			 (double)limit_ns / (double)S);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (whole)
		*ret = r;
	else if (!ret->why[0] && WIFSIGNALED(status))
		snprintf(ret->why, sizeof(ret->why), "verification ended by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (!ret->why[0])
		snprintf(ret->why, sizeof(ret->why), "verification ended without an answer");
	return 0;
}

/* ---- the chain ---- */

/* What verification has in hand; its process ends soon, so nothing of it is freed. */
struct chain {
	const struct secure_chain *c;
	struct secure_result *ret;
	ldns_rdf *zone, *name;
};

static ldns_pkt *packet(const struct secure_wire *w)
{
	ldns_pkt *p = NULL;

	if (!w->data || ldns_wire2pkt(&p, w->data, w->size) != LDNS_STATUS_OK)
		return NULL;
	return p;
}

/* The records of one owner and type, or the signatures that cover them. */
static ldns_rr_list *records(const ldns_pkt *p, ldns_pkt_section section, const ldns_rdf *owner,
			     ldns_rr_type type, bool signatures)
{
	ldns_rr_list *all = ldns_pkt_get_section_clone(p, section), *found = ldns_rr_list_new();

	for (size_t i = 0; i < ldns_rr_list_rr_count(all); i++) {
		ldns_rr *rr = ldns_rr_list_rr(all, i);

		if (ldns_rr_get_type(rr) != (signatures ? LDNS_RR_TYPE_RRSIG : type) ||
		    ldns_dname_compare(ldns_rr_owner(rr), owner) != 0)
			continue;
		if (signatures && (!ldns_rr_rrsig_typecovered(rr) ||
				   ldns_rdf2rr_type(ldns_rr_rrsig_typecovered(rr)) != type))
			continue;
		ldns_rr_list_push_rr(found, rr);
	}
	return found;
}

static void why(struct chain *x, enum secure_verdict v, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void why(struct chain *x, enum secure_verdict v, const char *format, ...)
{
	va_list args;

	x->ret->verdict = v;
	va_start(args, format);
	vsnprintf(x->ret->why, sizeof(x->ret->why), format, args);
	va_end(args);
}

static bool can_check(ldns_status s)
{
	return s != LDNS_STATUS_CRYPTO_UNKNOWN_ALGO && s != LDNS_STATUS_CRYPTO_ALGO_NOT_IMPL &&
	       s != LDNS_STATUS_MEM_ERR;
}

/* An expiration of 32 bits is the one nearest to now (RFC 4034 3.1.5). */
static uint64_t whole_time(uint64_t now, uint32_t t)
{
	return now + (uint64_t)(int64_t)(int32_t)(t - (uint32_t)now);
}

/* One set of records against the keys: true when a signature holds. */
static bool believed(struct chain *x, const char *what, const ldns_rr_list *set,
		     const ldns_rr_list *signatures, const ldns_rr_list *keys)
{
	ldns_status worst = LDNS_STATUS_CRYPTO_NO_DNSKEY;
	uint64_t last = 0, ended = 0;
	bool cannot = false;

	if (!ldns_rr_list_rr_count(signatures)) {
		why(x, SECURE_BOGUS, "%s has no signature", what);
		return false;
	}
	for (size_t i = 0; i < ldns_rr_list_rr_count(signatures); i++) {
		ldns_rr *signature = ldns_rr_list_rr(signatures, i);
		ldns_rr_list *good = ldns_rr_list_new();
		ldns_rdf *end = ldns_rr_rrsig_expiration(signature);
		ldns_status s = ldns_verify_rrsig_keylist_time(set, signature, keys,
							       (time_t)x->c->now, good);
		uint64_t t = end ? whole_time(x->c->now, ldns_rdf2native_int32(end)) : 0;

		if (s == LDNS_STATUS_OK) {
			last = t > last ? t : last;
			continue;
		}
		if (s == LDNS_STATUS_CRYPTO_SIG_EXPIRED)
			ended = t > ended ? t : ended;
		cannot |= !can_check(s);
		/* A signature of another key says less than one that is wrong. */
		if (worst == LDNS_STATUS_CRYPTO_NO_DNSKEY ||
		    worst == LDNS_STATUS_CRYPTO_NO_MATCHING_KEYTAG_DNSKEY)
			worst = s;
	}
	if (last) {
		if (!x->ret->expires || last < x->ret->expires)
			x->ret->expires = last;
		return true;
	}
	if (cannot)
		why(x, SECURE_CANNOT, "%s: %s", what, ldns_get_errorstr_by_id(worst));
	else if (ended) {
		char ago[32];

		why(x, SECURE_BOGUS, "%s: its signature expired %s ago", what,
		    text_duration((x->c->now - ended) * S, ago));
		x->ret->expires = ended;
	} else
		why(x, SECURE_BOGUS, "%s: %s", what, ldns_get_errorstr_by_id(worst));
	return false;
}

/* The keys that a DS of the parent names. */
static ldns_rr_list *entries(struct chain *x, const ldns_rr_list *ds, const ldns_rr_list *keys)
{
	ldns_rr_list *found = ldns_rr_list_new();
	bool known = false;

	for (size_t i = 0; i < ldns_rr_list_rr_count(ds); i++) {
		ldns_rr *d = ldns_rr_list_rr(ds, i);
		int hash = ldns_rr_rd_count(d) < 4 ? 0 : ldns_rdf2native_int8(ldns_rr_rdf(d, 2));

		if (hash != LDNS_SHA1 && hash != LDNS_SHA256 && hash != LDNS_SHA384)
			continue;
		known = true;
		for (size_t k = 0; k < ldns_rr_list_rr_count(keys); k++) {
			ldns_rr *key = ldns_rr_list_rr(keys, k);
			ldns_rr *own = ldns_key_rr2ds(key, (ldns_hash)hash);

			if (own && ldns_rr_rd_count(own) == 4 &&
			    !ldns_rdf_compare(ldns_rr_rdf(own, 0), ldns_rr_rdf(d, 0)) &&
			    !ldns_rdf_compare(ldns_rr_rdf(own, 1), ldns_rr_rdf(d, 1)) &&
			    !ldns_rdf_compare(ldns_rr_rdf(own, 3), ldns_rr_rdf(d, 3)))
				ldns_rr_list_push_rr(found, key);
		}
	}
	if (!known)
		why(x, SECURE_CANNOT, "no DS of a digest that can be checked");
	else if (!ldns_rr_list_rr_count(found))
		why(x, SECURE_BOGUS, "the DS at the parent is of none of the zone's %u keys",
		    x->ret->keys);
	return found;
}

static void verify_answer(struct chain *x, const ldns_rr_list *keys)
{
	ldns_pkt *p = packet(&x->c->answer);
	ldns_rr_list *set, *signatures;
	char what[32];

	if (!p) {
		why(x, SECURE_CANNOT, "the answer cannot be read");
		return;
	}
	set = records(p, LDNS_SECTION_ANSWER, x->name, x->c->type, false);
	signatures = records(p, LDNS_SECTION_ANSWER, x->name, x->c->type, true);
	snprintf(what, sizeof(what), "the %s record",
		 x->c->type == LDNS_RR_TYPE_AAAA ? "AAAA" : "A");
	if (!ldns_rr_list_rr_count(set)) {
		set = records(p, LDNS_SECTION_AUTHORITY, x->zone, LDNS_RR_TYPE_SOA, false);
		signatures = records(p, LDNS_SECTION_AUTHORITY, x->zone, LDNS_RR_TYPE_SOA, true);
		snprintf(what, sizeof(what), "the SOA record");
	}
	if (!ldns_rr_list_rr_count(set)) {
		why(x, SECURE_CANNOT, "the answer has neither the record nor the zone's SOA");
		return;
	}
	if (believed(x, what, set, signatures, keys))
		why(x, SECURE_OK, "%s is signed by a key that the parent's DS leads to", what);
}

static void verify(const void *arg, struct secure_result *ret)
{
	struct chain x = {.c = arg, .ret = ret};
	ldns_pkt *ds_packet = packet(&x.c->ds), *keys_packet = packet(&x.c->keys);
	ldns_rr_list *ds, *keys, *entry;

	x.zone = ldns_dname_new_frm_str(x.c->zone);
	x.name = ldns_dname_new_frm_str(x.c->name);
	if (!x.zone || !x.name) {
		why(&x, SECURE_CANNOT, "no name");
		return;
	}
	if (!ds_packet) {
		why(&x, SECURE_CANNOT, "the DS at the parent is not known");
		return;
	}
	ds = records(ds_packet, LDNS_SECTION_ANSWER, x.zone, LDNS_RR_TYPE_DS, false);
	ret->ds = (unsigned int)ldns_rr_list_rr_count(ds);
	keys = keys_packet ? records(keys_packet, LDNS_SECTION_ANSWER, x.zone, LDNS_RR_TYPE_DNSKEY,
				     false)
			   : ldns_rr_list_new();
	ret->keys = (unsigned int)ldns_rr_list_rr_count(keys);
	if (!ret->ds) {
		why(&x, SECURE_UNSIGNED, "the parent has no DS%s",
		    ret->keys ? ", although the zone is signed: nobody verifies it" : "");
		return;
	}
	if (!keys_packet) {
		why(&x, SECURE_CANNOT, "the zone's keys could not be asked for");
		return;
	}
	if (!ret->keys) {
		why(&x, SECURE_BOGUS, "the parent has a DS, but the zone has no key");
		return;
	}
	entry = entries(&x, ds, keys);
	if (!ldns_rr_list_rr_count(entry))
		return;
	if (believed(&x, "the set of keys", keys,
		     records(keys_packet, LDNS_SECTION_ANSWER, x.zone, LDNS_RR_TYPE_DNSKEY, true),
		     entry))
		verify_answer(&x, keys);
}

int secure_verify(const struct secure_chain *c, struct secure_result *ret)
{
	return secure_in_child(verify, c, LIMIT, ret);
}
