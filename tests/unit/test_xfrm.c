/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_xfrm.c - messages as the kernel sends them, whole, cut and false
 *
 * What needs a kernel with ESP is tests/vm/xfrm.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "wg/xfrm.h"
#include "wg/xfrm_inner.h"

static union {
	char bytes[4096];
	struct nlmsghdr h;
} m;

static void put_info(struct xfrm_usersa_info *p, uint16_t family)
{
	p->family = family;
	p->id.spi = htonl(0x12345678);
	p->reqid = XFRM_REQID | 9;
	p->saddr.a4 = htonl(0xc0000201);
	p->id.daddr.a4 = htonl(0xc0000202);
	p->lft.hard_byte_limit = 1000;
	p->lft.soft_byte_limit = XFRM_INF;
	p->lft.hard_packet_limit = XFRM_INF;
	p->lft.hard_use_expires_seconds = 60;
	p->curlft.bytes = 5000000000u;
	p->curlft.packets = 7;
	p->curlft.add_time = 100;
	p->curlft.use_time = 110;
	p->stats.replay = 3;
	p->stats.integrity_failed = 2;
}

static struct nlmsghdr *new_sa(uint16_t family)
{
	struct xfrm_algo alg = {.alg_name = "cbc(aes)\033"};
	struct xfrm_encap_tmpl encap = {.encap_sport = htons(4500), .encap_dport = htons(4501)};
	struct nlmsghdr *h;
	uint64_t last = 120;

	memset(&m, 0, sizeof(m));
	h = xfrm_request(m.bytes, XFRM_MSG_NEWSA, 0);
	put_info(mnl_nlmsg_put_extra_header(h, sizeof(struct xfrm_usersa_info)), family);
	mnl_attr_put(h, XFRMA_ALG_CRYPT, sizeof(alg), &alg);
	mnl_attr_put(h, XFRMA_ENCAP, sizeof(encap), &encap);
	mnl_attr_put(h, XFRMA_LASTUSED, sizeof(last), &last);
	mnl_attr_put_u32(h, 4000, 1); /* one that nobody knows */
	mnl_attr_put_u32(h, XFRMA_IF_ID, 9);
	return h;
}

static void an_sa_is_read(void **state)
{
	struct nlmsghdr *h = new_sa(AF_INET);
	struct xfrm_sa sa;

	(void)state;
	assert_int_equal(xfrm_sa_parse(h, h->nlmsg_len, &sa), 0);
	assert_int_equal(sa.spi, 0x12345678);
	assert_int_equal(sa.reqid, xfrm_reqid(9));
	assert_int_equal(sa.if_id, 9);
	assert_true(ip_is_v4(sa.src));
	assert_int_equal(sa.dst[3], htonl(0xc0000202));
	assert_int_equal(sa.byte_hard, 1000);
	assert_int_equal(sa.byte_soft, 0);
	assert_int_equal(sa.time_hard_s, 60);
	assert_false(sa.outbound);
	assert_int_equal(sa.bytes, 5000000000u);
	assert_int_equal(sa.first_s, 110);
	assert_int_equal(sa.used_s, 120);
	assert_int_equal(sa.replayed, 3);
	assert_int_equal(sa.failed, 2);
	assert_int_equal(sa.encap_dport, 4501);
	assert_string_equal(sa.cipher, "cbc(aes)?"); /* nothing that a terminal obeys */
}

static void no_key_is_taken_out_of_a_message(void **state)
{
	struct nlmsghdr *h = new_sa(AF_INET);
	struct {
		struct xfrm_algo_auth alg;
		uint8_t key[32];
	} auth = {.alg.alg_key_len = 256};
	struct xfrm_sa sa;

	(void)state;
	memset(auth.key, 0xa5, sizeof(auth.key));
	mnl_attr_put(h, XFRMA_ALG_AUTH_TRUNC, sizeof(auth), &auth);
	assert_int_equal(xfrm_sa_parse(h, h->nlmsg_len, &sa), 0);
	assert_null(memmem(&sa, sizeof(sa), "\xa5\xa5\xa5\xa5", 4));
}

static void every_cut_is_refused(void **state)
{
	struct nlmsghdr *h = new_sa(AF_INET);
	uint32_t whole = h->nlmsg_len;
	struct xfrm_sa sa = {.spi = 99};

	(void)state;
	for (uint32_t n = 0; n < whole; n++) { /* the message is longer than what came */
		char *copy = malloc(n ? n : 1);

		assert_non_null(copy);
		memcpy(copy, h, n);
		assert_int_equal(xfrm_sa_parse(copy, n, &sa), -EBADMSG);
		free(copy);
	}
	for (uint32_t n = 0; n < NLMSG_HDRLEN + sizeof(struct xfrm_usersa_info); n++) {
		h->nlmsg_len = n; /* it says itself that it is shorter */
		assert_int_equal(xfrm_sa_parse(h, whole, &sa), -EBADMSG);
	}
	h->nlmsg_len = 0xffffff21; /* a negative number to libmnl */
	assert_int_equal(xfrm_sa_parse(h, whole, &sa), -EBADMSG);
	h->nlmsg_len = whole - 2; /* through an attribute */
	assert_int_equal(xfrm_sa_parse(h, whole, &sa), -EBADMSG);
	assert_int_equal(sa.spi, 99);
}

static void false_attributes_are_refused(void **state)
{
	struct nlmsghdr *h = new_sa(AF_INET);
	struct nlattr *a = mnl_nlmsg_get_payload_offset(h, sizeof(struct xfrm_usersa_info));
	struct xfrm_sa sa;

	(void)state;
	a->nla_len = 3;
	assert_int_equal(xfrm_sa_parse(h, h->nlmsg_len, &sa), -EBADMSG);
	a->nla_len = 0;
	assert_int_equal(xfrm_sa_parse(h, h->nlmsg_len, &sa), -EBADMSG);
	a->nla_len = 0xfff0;
	assert_int_equal(xfrm_sa_parse(h, h->nlmsg_len, &sa), -EBADMSG);
	h = new_sa(AF_INET);
	mnl_attr_put(h, XFRMA_IF_ID, 2, "ab");
	assert_int_equal(xfrm_sa_parse(h, h->nlmsg_len, &sa), -EBADMSG);
	h = new_sa(AF_INET);
	mnl_attr_put(h, XFRMA_ALG_AEAD, 40, m.bytes);
	assert_int_equal(xfrm_sa_parse(h, h->nlmsg_len, &sa), -EBADMSG);
	h = new_sa(AF_UNIX);
	assert_int_equal(xfrm_sa_parse(h, h->nlmsg_len, &sa), -EBADMSG);
	h = new_sa(AF_INET6);
	h->nlmsg_type = XFRM_MSG_GETSA;
	assert_int_equal(xfrm_sa_parse(h, h->nlmsg_len, &sa), -EBADMSG);
}

static void events_are_read(void **state)
{
	struct xfrm_user_acquire acquire = {.id.spi = htonl(0x777)};
	struct xfrm_user_tmpl t = {.family = AF_INET, .reqid = 5};
	struct xfrm_usersa_id id = {.family = AF_INET, .spi = htonl(0x888)};
	struct xfrm_usersa_info info = {0};
	struct xfrm_user_expire *expire;
	struct xfrm_event e;
	struct nlmsghdr *h;

	(void)state;
	h = new_sa(AF_INET);
	assert_int_equal(xfrm_event_parse(h, h->nlmsg_len, &e), 0);
	assert_int_equal(e.if_id, 9);

	memset(&m, 0, sizeof(m));
	h = xfrm_request(m.bytes, XFRM_MSG_EXPIRE, 0);
	expire = mnl_nlmsg_put_extra_header(h, sizeof(*expire));
	put_info(&expire->state, AF_INET);
	expire->hard = 1;
	mnl_attr_put_u32(h, XFRMA_IF_ID, 11);
	assert_int_equal(xfrm_event_parse(h, h->nlmsg_len, &e), 0);
	assert_true(e.type == XFRM_MSG_EXPIRE && e.hard && e.if_id == 11 && e.spi == 0x12345678);
	assert_int_equal(xfrm_event_parse(h, h->nlmsg_len - 1, &e), -EBADMSG);

	memset(&m, 0, sizeof(m));
	h = xfrm_request(m.bytes, XFRM_MSG_ACQUIRE, 0);
	memcpy(mnl_nlmsg_put_extra_header(h, sizeof(acquire)), &acquire, sizeof(acquire));
	assert_int_equal(xfrm_event_parse(h, h->nlmsg_len, &e), -EBADMSG); /* no template */
	mnl_attr_put(h, XFRMA_TMPL, sizeof(t), &t);
	assert_int_equal(xfrm_event_parse(h, h->nlmsg_len, &e), 0);
	assert_true(e.reqid == 5 && e.spi == 0x777 && !e.if_id);

	memset(&m, 0, sizeof(m));
	h = xfrm_request(m.bytes, XFRM_MSG_DELSA, 0);
	memcpy(mnl_nlmsg_put_extra_header(h, sizeof(id)), &id, sizeof(id));
	assert_int_equal(xfrm_event_parse(h, h->nlmsg_len, &e), 0);
	assert_true(e.spi == 0x888 && !e.reqid);
	put_info(&info, AF_INET);
	mnl_attr_put(h, XFRMA_SA, sizeof(info), &info);
	assert_int_equal(xfrm_event_parse(h, h->nlmsg_len, &e), 0);
	assert_true(e.spi == 0x12345678 && e.reqid == xfrm_reqid(9));

	h->nlmsg_type = XFRM_MSG_NEWPOLICY;
	assert_int_equal(xfrm_event_parse(h, h->nlmsg_len, &e), -EOPNOTSUPP);
}

static void what_is_not_ours_is_not_sent(void **state)
{
	struct xfrm_sa sa = {.spi = 1000, .if_id = 9, .reqid = 5, .enc_size = 32};
	char why[128];

	(void)state;
	assert_int_equal(xfrm_sa_add(&sa, why, sizeof(why)), -EINVAL);
	sa.reqid = xfrm_reqid(9);
	sa.enc_size = 20;
	assert_int_equal(xfrm_sa_add(&sa, why, sizeof(why)), -EINVAL);
	sa.enc_size = 16;
	sa.spi = 255;
	assert_int_equal(xfrm_sa_add(&sa, why, sizeof(why)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_sa_is_read),
		cmocka_unit_test(no_key_is_taken_out_of_a_message),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(false_attributes_are_refused),
		cmocka_unit_test(events_are_read),
		cmocka_unit_test(what_is_not_ours_is_not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
