/* SPDX-License-Identifier: GPL-2.0-only */
#include <ldns/ldns.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dns/message.h"
#include "dns/secure.h"
#include "userspace/base/loop.h"

#define S   UINT64_C(1000000000)
#define NOW 1800000000u /* s since 1970, in 2027 */
#define DAY 86400u

/* A zone with two keys, signed, and its parent's DS. */
struct zone {
	ldns_key_list *keys; /* the first signs the keys, the second the rest */
	ldns_rr_list *public;
};

static ldns_rdf *name(const char *text)
{
	ldns_rdf *n = ldns_dname_new_frm_str(text);

	assert_non_null(n);
	return n;
}

static ldns_key *key(const char *zone, uint16_t flags, ldns_signing_algorithm algorithm)
{
	ldns_key *k = ldns_key_new_frm_algorithm(algorithm, 256);

	assert_non_null(k);
	ldns_key_set_pubkey_owner(k, name(zone));
	ldns_key_set_flags(k, flags);
	ldns_key_set_origttl(k, 3600);
	ldns_key_set_keytag(k, ldns_calc_keytag(ldns_key2rr(k)));
	return k;
}

static void zone_make(struct zone *z)
{
	z->keys = ldns_key_list_new();
	z->public = ldns_rr_list_new();
	for (unsigned int i = 0; i < 2; i++) {
		ldns_key *k = key("example.test.", i ? 256 : 257, LDNS_SIGN_ECDSAP256SHA256);

		ldns_key_list_push_key(z->keys, k);
		ldns_rr_list_push_rr(z->public, ldns_key2rr(k));
	}
}

/* Signatures of a set by one of the keys. */
static ldns_rr_list *sign(struct zone *z, unsigned int which, ldns_rr_list *set, uint32_t from,
			  uint32_t to)
{
	ldns_key_list *one = ldns_key_list_new();
	ldns_key *k = ldns_key_list_key(z->keys, which);
	ldns_rr_list *signatures;

	ldns_key_set_inception(k, from);
	ldns_key_set_expiration(k, to);
	ldns_key_list_push_key(one, k);
	signatures = ldns_sign_public(set, one);
	assert_non_null(signatures);
	return signatures;
}

struct message {
	uint8_t *data;
	size_t size;
};

static void finish(struct message *m, ldns_rr_list *answer, ldns_rr_list *authority)
{
	ldns_pkt *p = ldns_pkt_new();

	ldns_pkt_set_qr(p, true);
	ldns_pkt_set_aa(p, true);
	if (answer)
		ldns_pkt_push_rr_list(p, LDNS_SECTION_ANSWER, answer);
	if (authority)
		ldns_pkt_push_rr_list(p, LDNS_SECTION_AUTHORITY, authority);
	assert_int_equal(ldns_pkt2wire(&m->data, p, &m->size), LDNS_STATUS_OK);
}

static ldns_rr *record(const char *text)
{
	ldns_rr *rr = NULL;

	assert_int_equal(ldns_rr_new_frm_str(&rr, text, 3600, NULL, NULL), LDNS_STATUS_OK);
	return rr;
}

static ldns_rr_list *list(const char *a, const char *b)
{
	ldns_rr_list *l = ldns_rr_list_new();

	ldns_rr_list_push_rr(l, record(a));
	if (b)
		ldns_rr_list_push_rr(l, record(b));
	return l;
}

static ldns_rr_list *with(ldns_rr_list *set, ldns_rr_list *signatures)
{
	ldns_rr_list *all = ldns_rr_list_clone(set);

	for (size_t i = 0; i < ldns_rr_list_rr_count(signatures); i++)
		ldns_rr_list_push_rr(all, ldns_rr_list_rr(signatures, i));
	return all;
}

struct rig {
	struct zone zone;
	struct message ds, keys, answer;
	struct secure_chain chain;
	struct secure_result result;
};

/* All is well: keys signed until +10 days, the record until +5. */
static void rig(struct rig *r)
{
	ldns_rr_list *ds = ldns_rr_list_new(), *a = list("www.example.test. 60 A 192.0.2.1",
							 "www.example.test. 60 A 192.0.2.2");

	memset(r, 0, sizeof(*r));
	zone_make(&r->zone);
	ldns_rr_list_push_rr(ds, ldns_key_rr2ds(ldns_rr_list_rr(r->zone.public, 0), LDNS_SHA256));
	finish(&r->ds, ds, NULL);
	finish(&r->keys,
	       with(r->zone.public, sign(&r->zone, 0, r->zone.public, NOW - DAY, NOW + 10 * DAY)),
	       NULL);
	finish(&r->answer, with(a, sign(&r->zone, 1, a, NOW - DAY, NOW + 5 * DAY)), NULL);
}

static enum secure_verdict verify(struct rig *r)
{
	r->chain = (struct secure_chain){
		.zone = "example.test.",
		.name = "www.example.test.",
		.type = DNS_A,
		.ds = {r->ds.data, r->ds.size},
		.keys = {r->keys.data, r->keys.size},
		.answer = {r->answer.data, r->answer.size},
		.now = NOW,
	};
	assert_int_equal(secure_verify(&r->chain, &r->result), 0);
	return r->result.verdict;
}

static void a_whole_chain_is_believed_until_its_first_end(void **state)
{
	struct rig r;

	(void)state;
	rig(&r);
	assert_int_equal(verify(&r), SECURE_OK);
	assert_int_equal(r.result.expires, NOW + 5 * DAY);
	assert_int_equal(r.result.ds, 1);
	assert_int_equal(r.result.keys, 2);
}

static void another_case_of_letters_is_the_same_name(void **state)
{
	struct rig r;
	ldns_rr_list *a;

	(void)state;
	rig(&r);
	a = list("WWW.Example.TEST. 60 A 192.0.2.1", NULL);
	finish(&r.answer, with(a, sign(&r.zone, 1, a, NOW - DAY, NOW + 5 * DAY)), NULL);
	assert_int_equal(verify(&r), SECURE_OK);
}

static void one_valid_signature_of_several_is_enough(void **state)
{
	struct rig r;
	ldns_rr_list *a;

	(void)state;
	rig(&r);
	a = list("www.example.test. 60 A 192.0.2.1", NULL);
	finish(&r.answer,
	       with(with(a, sign(&r.zone, 1, a, NOW - 9 * DAY, NOW - DAY)),
		    sign(&r.zone, 1, a, NOW - DAY, NOW + 3 * DAY)),
	       NULL);
	assert_int_equal(verify(&r), SECURE_OK);
	assert_int_equal(r.result.expires, NOW + 3 * DAY);
}

static void what_a_resolver_refuses_is_bogus(void **state)
{
	struct rig r;
	ldns_rr_list *a, *ds, *other, *signatures;

	(void)state;
	/* Expired an hour ago. */
	rig(&r);
	a = list("www.example.test. 60 A 192.0.2.1", NULL);
	finish(&r.answer, with(a, sign(&r.zone, 1, a, NOW - 9 * DAY, NOW - 3600)), NULL);
	assert_int_equal(verify(&r), SECURE_BOGUS);
	assert_string_equal(r.result.why, "the A record: its signature expired 1h00m ago");
	/* Not yet valid: a clock that is wrong. */
	finish(&r.answer, with(a, sign(&r.zone, 1, a, NOW + 3600, NOW + DAY)), NULL);
	assert_int_equal(verify(&r), SECURE_BOGUS);
	/* None at all. */
	finish(&r.answer, a, NULL);
	assert_int_equal(verify(&r), SECURE_BOGUS);
	assert_string_equal(r.result.why, "the A record has no signature");
	/* Signed, and changed afterwards. */
	signatures = sign(&r.zone, 1, a, NOW - DAY, NOW + DAY);
	other = list("www.example.test. 60 A 192.0.2.66", NULL);
	finish(&r.answer, with(other, signatures), NULL);
	assert_int_equal(verify(&r), SECURE_BOGUS);
	/* The keys' own signature has ended. */
	rig(&r);
	finish(&r.keys,
	       with(r.zone.public, sign(&r.zone, 0, r.zone.public, NOW - 9 * DAY, NOW - DAY)),
	       NULL);
	assert_int_equal(verify(&r), SECURE_BOGUS);
	assert_string_equal(r.result.why, "the set of keys: its signature expired 24h00m ago");
	/* The DS is of a key that is no longer there. */
	rig(&r);
	ds = ldns_rr_list_new();
	ldns_rr_list_push_rr(ds, ldns_key_rr2ds(ldns_key2rr(key("example.test.", 257,
								LDNS_SIGN_ECDSAP256SHA256)),
						LDNS_SHA256));
	finish(&r.ds, ds, NULL);
	assert_int_equal(verify(&r), SECURE_BOGUS);
	assert_string_equal(r.result.why, "the DS at the parent is of none of the zone's 2 keys");
	/* The zone is no longer signed, but its DS is still there. */
	rig(&r);
	finish(&r.keys, NULL, NULL);
	assert_int_equal(verify(&r), SECURE_BOGUS);
	assert_string_equal(r.result.why, "the parent has a DS, but the zone has no key");
	/* The keys are signed by a key that no DS leads to. */
	rig(&r);
	finish(&r.keys, with(r.zone.public, sign(&r.zone, 1, r.zone.public, NOW - DAY, NOW + DAY)),
	       NULL);
	assert_int_equal(verify(&r), SECURE_BOGUS);
}

static void without_a_ds_nobody_verifies(void **state)
{
	struct rig r;

	(void)state;
	rig(&r);
	finish(&r.ds, NULL, list("test. 3600 SOA ns.test. x.test. 1 2 3 4 5", NULL));
	assert_int_equal(verify(&r), SECURE_UNSIGNED);
	assert_non_null(strstr(r.result.why, "although the zone is signed"));
	finish(&r.keys, NULL, NULL);
	assert_int_equal(verify(&r), SECURE_UNSIGNED);
	assert_string_equal(r.result.why, "the parent has no DS");
}

static void a_record_that_is_not_there_has_a_signed_soa(void **state)
{
	struct rig r;
	ldns_rr_list *soa;

	(void)state;
	rig(&r);
	soa = list("example.test. 3600 SOA ns.example.test. x.example.test. 1 2 3 4 5", NULL);
	finish(&r.answer, NULL, with(soa, sign(&r.zone, 1, soa, NOW - DAY, NOW + DAY)));
	assert_int_equal(verify(&r), SECURE_OK);
	assert_int_equal(r.result.expires, NOW + DAY);
	finish(&r.answer, NULL, with(soa, sign(&r.zone, 1, soa, NOW - 2 * DAY, NOW - DAY)));
	assert_int_equal(verify(&r), SECURE_BOGUS);
}

static void what_cannot_be_found_out_is_no_verdict(void **state)
{
	struct rig r;
	ldns_rr_list *ds;
	ldns_rr *gost;

	(void)state;
	rig(&r);
	r.ds.data = NULL;
	assert_int_equal(verify(&r), SECURE_CANNOT);
	rig(&r);
	r.keys.data = NULL;
	assert_int_equal(verify(&r), SECURE_CANNOT);
	rig(&r);
	r.answer.size -= 7;
	assert_int_equal(verify(&r), SECURE_CANNOT);
	rig(&r);
	finish(&r.answer, NULL, NULL);
	assert_int_equal(verify(&r), SECURE_CANNOT);
	/* A digest that nobody here knows. */
	rig(&r);
	ds = ldns_rr_list_new();
	gost = record("example.test. 3600 DS 12345 13 77 "
		      "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF");
	ldns_rr_list_push_rr(ds, gost);
	finish(&r.ds, ds, NULL);
	assert_int_equal(verify(&r), SECURE_CANNOT);
	assert_string_equal(r.result.why, "no DS of a digest that can be checked");
}

/* ---- the child ---- */

static void aborts(const void *arg, struct secure_result *ret)
{
	(void)arg;
	ret->verdict = SECURE_OK;
	abort();
}

static void sleeps(const void *arg, struct secure_result *ret)
{
	(void)arg;
	ret->verdict = SECURE_OK;
	for (;;)
		pause();
}

static void burns(const void *arg, struct secure_result *ret)
{
	volatile uint64_t n = 0;

	(void)arg;
	ret->verdict = SECURE_OK;
	for (;;)
		n++;
}

static void grows(const void *arg, struct secure_result *ret)
{
	(void)arg;
	for (size_t all = 0; all < (256u << 20); all += 1u << 20) {
		char *more = malloc(1u << 20);

		if (!more) {
			snprintf(ret->why, sizeof(ret->why), "no more after %zu MiB", all >> 20);
			ret->verdict = SECURE_BOGUS;
			return;
		}
		memset(more, 1, 1u << 20);
	}
	ret->verdict = SECURE_OK;
}

static void talks(const void *arg, struct secure_result *ret)
{
	(void)arg;
	fprintf(stderr, "an assertion has a lot to say\n");
	printf("and on stdout, too\n");
	fflush(stdout);
	ret->verdict = SECURE_OK;
}

static void leaves(const void *arg, struct secure_result *ret)
{
	(void)arg;
	ret->verdict = SECURE_OK;
	_exit(3);
}

static void a_child_that_ends_badly_is_a_doubt(void **state)
{
	struct secure_result r;
	uint64_t began = loop_now();

	(void)state;
	assert_int_equal(secure_in_child(aborts, NULL, 5 * S, &r), 0);
	assert_int_equal(r.verdict, SECURE_CANNOT);
	assert_string_equal(r.why, "verification ended by signal 6 (Aborted)");
	assert_int_equal(secure_in_child(leaves, NULL, 5 * S, &r), 0);
	assert_int_equal(r.verdict, SECURE_CANNOT);
	assert_string_equal(r.why, "verification ended without an answer");
	assert_true(loop_now() - began < 2 * S);
	assert_int_equal(secure_in_child(sleeps, NULL, S / 5, &r), 0);
	assert_int_equal(r.verdict, SECURE_CANNOT);
	assert_string_equal(r.why, "verification took longer than 0.2 s");
	assert_int_equal(secure_in_child(burns, NULL, S / 5, &r), 0);
	assert_int_equal(r.verdict, SECURE_CANNOT);
	assert_true(loop_now() - began < 4 * S);
}

static void a_child_has_little_memory_and_no_voice(void **state)
{
	struct secure_result r;
	unsigned int mib = 0;
	int out = dup(1), fds[2];
	char said[64];
	ssize_t n;

	(void)state;
	assert_int_equal(secure_in_child(grows, NULL, 5 * S, &r), 0);
	assert_int_equal(r.verdict, SECURE_BOGUS);
	assert_int_equal(sscanf(r.why, "no more after %u MiB", &mib), 1);
	assert_in_range(mib, 16, 80);
	assert_int_equal(pipe(fds), 0);
	fflush(stdout);
	dup2(fds[1], 1);
	assert_int_equal(secure_in_child(talks, NULL, 5 * S, &r), 0);
	dup2(out, 1);
	close(out);
	close(fds[1]);
	n = read(fds[0], said, sizeof(said));
	close(fds[0]);
	assert_int_equal(r.verdict, SECURE_OK);
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_chain_is_believed_until_its_first_end),
		cmocka_unit_test(another_case_of_letters_is_the_same_name),
		cmocka_unit_test(one_valid_signature_of_several_is_enough),
		cmocka_unit_test(what_a_resolver_refuses_is_bogus),
		cmocka_unit_test(without_a_ds_nobody_verifies),
		cmocka_unit_test(a_record_that_is_not_there_has_a_signed_soa),
		cmocka_unit_test(what_cannot_be_found_out_is_no_verdict),
		cmocka_unit_test(a_child_that_ends_badly_is_a_doubt),
		cmocka_unit_test(a_child_has_little_memory_and_no_voice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
