/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "wg/wireguard_message.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define FAMILY	 0x1c

static char answer[65536] __attribute__((aligned(8)));

static struct nlmsghdr *say_begin(struct nlmsghdr *before, uint16_t type, uint32_t seq)
{
	struct nlmsghdr *h =
		before ? (void *)((char *)before + MNL_ALIGN(before->nlmsg_len)) : (void *)answer;

	h = mnl_nlmsg_put_header(h);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_MULTI;
	h->nlmsg_seq = seq;
	return h;
}

static struct nlmsghdr *say_device(struct nlmsghdr *before)
{
	struct nlmsghdr *h = say_begin(before, FAMILY, 5);
	struct genlmsghdr *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	uint8_t key[KEY_SIZE];

	g->cmd = WG_CMD_GET_DEVICE;
	mnl_attr_put_u32(h, WGDEVICE_A_IFINDEX, 7);
	mnl_attr_put_strz(h, WGDEVICE_A_IFNAME, "wg0");
	memset(key, 's', sizeof(key));
	mnl_attr_put(h, WGDEVICE_A_PRIVATE_KEY, KEY_SIZE, key);
	mnl_attr_put_u16(h, WGDEVICE_A_LISTEN_PORT, 51820);
	mnl_attr_put_u32(h, WGDEVICE_A_FWMARK, 3);
	return h;
}

static void say_network(struct nlmsghdr *h, uint16_t family, const void *ip, size_t size,
			uint8_t prefix)
{
	struct nlattr *one = mnl_attr_nest_start(h, 0);

	mnl_attr_put_u16(h, WGALLOWEDIP_A_FAMILY, family);
	mnl_attr_put(h, WGALLOWEDIP_A_IPADDR, size, ip);
	mnl_attr_put_u8(h, WGALLOWEDIP_A_CIDR_MASK, prefix);
	mnl_attr_nest_end(h, one);
}

/* A peer with one network in its own list of peers; `whole`: the first message of it. */
static void say_peer(struct nlmsghdr *h, char letter, bool whole, uint8_t second)
{
	struct nlattr *peers = mnl_attr_nest_start(h, WGDEVICE_A_PEERS);
	struct nlattr *peer = mnl_attr_nest_start(h, 0), *list;
	struct sockaddr_in6 end = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	int64_t when[2] = {1000, 5};
	uint8_t key[KEY_SIZE], ip[4] = {10, second, 0, 0};

	memset(key, letter, sizeof(key));
	mnl_attr_put(h, WGPEER_A_PUBLIC_KEY, KEY_SIZE, key);
	if (whole) {
		key[0] = 'p';
		mnl_attr_put(h, WGPEER_A_PRESHARED_KEY, KEY_SIZE, key);
		end.sin6_addr.s6_addr[15] = 1;
		mnl_attr_put(h, WGPEER_A_ENDPOINT, sizeof(end), &end);
		mnl_attr_put_u16(h, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 25);
		mnl_attr_put(h, WGPEER_A_LAST_HANDSHAKE_TIME, sizeof(when), when);
		mnl_attr_put_u64(h, WGPEER_A_RX_BYTES, 111);
		mnl_attr_put_u64(h, WGPEER_A_TX_BYTES, 222);
		mnl_attr_put_u32(h, 99, 1); /* of a kernel to come */
	}
	list = mnl_attr_nest_start(h, WGPEER_A_ALLOWEDIPS);
	say_network(h, AF_INET, ip, 4, 16);
	mnl_attr_nest_end(h, list);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, peers);
}

static size_t said(const struct nlmsghdr *last)
{
	return (size_t)((const char *)last - answer) + MNL_ALIGN(last->nlmsg_len);
}

static struct nlmsghdr *say_end(struct nlmsghdr *before, int err)
{
	struct nlmsghdr *h = say_begin(before, NLMSG_DONE, 5);
	int *e = mnl_nlmsg_put_extra_header(h, sizeof(*e));

	*e = err;
	return h;
}

/* Peer B begins in the first message and goes on in two more; C is whole. */
static size_t say_all(void)
{
	struct nlmsghdr *h = say_device(NULL);

	say_peer(h, 'A', true, 1);
	say_peer(h, 'B', true, 2);
	for (uint8_t i = 3; i < 5; i++) {
		struct genlmsghdr *g;

		h = say_begin(h, FAMILY, 5);
		g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
		g->cmd = WG_CMD_GET_DEVICE;
		say_peer(h, 'B', false, i);
	}
	h = say_device(h);
	say_peer(h, 'C', true, 9);
	return said(say_end(h, 0));
}

static void a_dump_is_read_and_a_peer_over_several_messages_is_one(void **state)
{
	struct wg_parse s = {.seq = 5, .family = FAMILY};
	const struct wg_device *d = &s.device;

	(void)state;
	assert_int_equal(wg_parse_answer(answer, say_all(), &s), 0);
	assert_int_equal(d->ifindex, 7);
	assert_string_equal(d->name, "wg0");
	assert_int_equal(d->private_key[31], 's');
	assert_int_equal(d->port, 51820);
	assert_int_equal(d->fwmark, 3);
	assert_int_equal(d->n_peers, 3);
	assert_int_equal(d->peers[1].public_key[0], 'B');
	assert_int_equal(d->peers[1].psk[0], 'p');
	assert_int_equal(d->peers[1].n_allowed, 3);
	assert_int_equal(((const uint8_t *)d->peers[1].allowed[2].ip)[13], 4);
	assert_int_equal(d->peers[1].allowed[2].prefix, 16);
	assert_int_equal(d->peers[2].n_allowed, 1);
	assert_int_equal(d->peers[2].handshake_ns, 1000000000005);
	assert_int_equal(d->peers[2].rx, 111);
	assert_int_equal(d->peers[2].tx, 222);
	assert_int_equal(d->peers[2].keepalive, 25);
	assert_int_equal(d->peers[2].endpoint.port, 9);
	assert_int_equal(d->peers[2].endpoint.family, 6);
	assert_false(s.interrupted);
	wg_free(&s.device);
}

static void a_change_underway_is_noticed(void **state)
{
	struct wg_parse s = {.seq = 5, .family = FAMILY};
	struct nlmsghdr *h = say_end(say_device(NULL), 0);

	(void)state;
	h->nlmsg_flags |= NLM_F_DUMP_INTR;
	assert_int_equal(wg_parse_answer(answer, said(h), &s), 0);
	assert_true(s.interrupted);
	wg_free(&s.device);
}

/* The answer cut anywhere: an error or more to come, never the end, and nothing read behind it. */
static void a_truncated_answer_is_no_device(void **state)
{
	size_t size = say_all();

	(void)state;
	for (size_t n = 0; n < size; n++) {
		struct wg_parse s = {.seq = 5, .family = FAMILY};
		char *copy = malloc(n ? n : 1);
		int err;

		memcpy(copy, answer, n);
		err = wg_parse_answer(copy, n, &s);
		assert_true(err == 1 || err == -EPROTO);
		free(copy);
		wg_free(&s.device);
	}
}

/* Every byte of lengths and types is changed in turn: never more than -EPROTO comes of it. */
static void a_wrong_byte_anywhere_does_no_harm(void **state)
{
	static const uint8_t wrong[] = {0, 1, 3, 5, 0x7f, 0x80, 0xff};
	size_t size = say_all();

	(void)state;
	for (size_t at = 0; at < size; at++)
		for (size_t k = 0; k < COUNT(wrong); k++) {
			struct wg_parse s = {.seq = 5, .family = FAMILY};
			char *copy = malloc(size);
			int err;

			memcpy(copy, answer, size);
			copy[at] = (char)wrong[k];
			err = wg_parse_answer(copy, size, &s);
			assert_true(err <= 1);
			free(copy);
			wg_free(&s.device);
		}
}

/* One attribute with a length that it never has. */
static void attributes_of_a_wrong_length_are_refused(void **state)
{
	static const struct {
		uint16_t type;
		size_t size;
	} table[] = {
		{WGDEVICE_A_IFINDEX, 2},     {WGDEVICE_A_IFINDEX, 8},
		{WGDEVICE_A_IFNAME, 0},	     {WGDEVICE_A_IFNAME, 17},
		{WGDEVICE_A_IFNAME, 4},	     {WGDEVICE_A_PRIVATE_KEY, 31},
		{WGDEVICE_A_PUBLIC_KEY, 33}, {WGDEVICE_A_LISTEN_PORT, 4},
		{WGDEVICE_A_FWMARK, 2},	     {WGDEVICE_A_PEERS, 3},
	};
	static const char bytes[64] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct wg_parse s = {.seq = 5, .family = FAMILY};
		struct nlmsghdr *h = say_begin(NULL, FAMILY, 5);
		struct genlmsghdr *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));

		g->cmd = WG_CMD_GET_DEVICE;
		mnl_attr_put(h, table[i].type, table[i].size, bytes);
		assert_int_equal(wg_parse(h, h->nlmsg_len, &s), -EPROTO);
		wg_free(&s.device);
	}
}

static void networks_that_cannot_be_are_refused(void **state)
{
	static const struct {
		uint16_t family;
		size_t size;
		uint8_t prefix;
	} table[] = {{AF_INET, 4, 33}, {AF_INET, 16, 8},   {AF_INET6, 16, 129}, {AF_INET6, 4, 8},
		     {AF_UNIX, 4, 8},  {AF_INET6, 12, 12}, {AF_INET, 0, 0}};
	static const uint8_t key[KEY_SIZE], ip[16];

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct wg_parse s = {.seq = 5, .family = FAMILY};
		struct nlmsghdr *h = say_device(NULL);
		struct nlattr *nest[3];

		nest[0] = mnl_attr_nest_start(h, WGDEVICE_A_PEERS);
		nest[1] = mnl_attr_nest_start(h, 0);
		mnl_attr_put(h, WGPEER_A_PUBLIC_KEY, sizeof(key), key);
		nest[2] = mnl_attr_nest_start(h, WGPEER_A_ALLOWEDIPS);
		say_network(h, table[i].family, ip, table[i].size, table[i].prefix);
		for (int k = 2; k >= 0; k--)
			mnl_attr_nest_end(h, nest[k]);
		assert_int_equal(wg_parse(h, h->nlmsg_len, &s), -EPROTO);
		wg_free(&s.device);
	}
}

static void the_kernels_words_are_kept_and_cannot_steer_a_terminal(void **state)
{
	struct wg_parse s = {.seq = 5, .family = FAMILY};
	struct nlmsghdr *h = say_begin(NULL, NLMSG_ERROR, 5);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(h, sizeof(*e));

	(void)state;
	h->nlmsg_flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
	e->error = -EINVAL;
	e->msg.nlmsg_len = 4000; /* capped: not there */
	mnl_attr_put_strz(h, NLMSGERR_ATTR_MSG, "no\033such peer");
	assert_int_equal(wg_parse_answer(answer, said(h), &s), -EINVAL);
	assert_string_equal(s.why, "no?such peer");
	/* an error that ends a dump */
	s = (struct wg_parse){.seq = 5, .family = FAMILY};
	h = say_end(NULL, -EMSGSIZE);
	assert_int_equal(wg_parse_answer(answer, said(h), &s), -EMSGSIZE);
	/* and what is none */
	h = say_end(NULL, 5);
	assert_int_equal(wg_parse_answer(answer, said(h), &s), -EPROTO);
}

static void a_message_length_that_is_negative_is_refused(void **state)
{
	struct wg_parse s = {.seq = 5, .family = FAMILY};
	struct nlmsghdr *h = say_device(NULL);

	(void)state;
	h->nlmsg_len = UINT32_MAX;
	assert_int_equal(wg_parse_answer(answer, 200, &s), -EPROTO);
	assert_int_equal(wg_parse(answer, 200, &s), -EPROTO);
	h->nlmsg_len = 0;
	assert_int_equal(wg_parse_answer(answer, 200, &s), -EPROTO);
	wg_free(&s.device);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dump_is_read_and_a_peer_over_several_messages_is_one),
		cmocka_unit_test(a_change_underway_is_noticed),
		cmocka_unit_test(a_truncated_answer_is_no_device),
		cmocka_unit_test(a_wrong_byte_anywhere_does_no_harm),
		cmocka_unit_test(attributes_of_a_wrong_length_are_refused),
		cmocka_unit_test(networks_that_cannot_be_are_refused),
		cmocka_unit_test(the_kernels_words_are_kept_and_cannot_steer_a_terminal),
		cmocka_unit_test(a_message_length_that_is_negative_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
