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

#include "userspace/base/ip.h"
#include "wg/wireguard_message.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define FAMILY	 0x1c

static const uint8_t THROWAWAY[KEY_SIZE] = {0xee, 0xee};

/* ---- devices in one line ----
 *
 * "port 7, mark 1, key a | A psk p end 192.0.2.1:5 keep 25 10.0.0.0/8 | B": a peer's public key is
 * its letter 32 times, a secret, too; "psk -" is none.
 */

static void read_network(const char *text, struct wg_network *ret)
{
	char copy[64], *slash;
	uint16_t port;

	strcpy(copy, text);
	slash = strchr(copy, '/');
	assert_non_null(slash);
	*slash = '\0';
	assert_int_equal(ip_parse(copy, ret->ip, &port), 0);
	ret->family = ip_family(ret->ip);
	ret->prefix = (uint8_t)atoi(slash + 1);
}

static void read_word(struct wg_peer *p, const char *word, const char *value)
{
	if (!strcmp(word, "psk")) {
		p->set |= WG_PSK;
		memset(p->psk, *value == '-' ? 0 : *value, KEY_SIZE);
	} else if (!strcmp(word, "end")) {
		p->set |= WG_ENDPOINT;
		assert_int_equal(ip_parse(value, p->endpoint.ip, &p->endpoint.port), 0);
		p->endpoint.port = ntohs(p->endpoint.port);
		p->endpoint.family = ip_family(p->endpoint.ip);
	} else {
		assert_string_equal(word, "keep");
		p->set |= WG_KEEPALIVE;
		p->keepalive = (uint16_t)atoi(value);
	}
}

static void read_peer(char *text, struct wg_peer *p)
{
	struct wg_network nets[16];
	char *save, *word = strtok_r(text, " ", &save);
	size_t n = 0;

	memset(p->public_key, *word, KEY_SIZE);
	while ((word = strtok_r(NULL, " ", &save))) {
		if (strchr(word, '/')) {
			memset(&nets[n], 0, sizeof(*nets));
			read_network(word, &nets[n++]);
			continue;
		}
		read_word(p, word, strtok_r(NULL, " ", &save));
	}
	assert_int_equal(wg_make_allowed(p, n), 0);
	if (n)
		memcpy(p->allowed, nets, n * sizeof(*nets));
}

static void read_device(const char *text, struct wg_device *d)
{
	char *copy = strdup(text), *save, *part, *word, *words, *parts[16];
	size_t n = 0;

	*d = (struct wg_device){.name = "wg0"};
	for (part = strtok_r(copy, "|", &save); part; part = strtok_r(NULL, "|", &save))
		parts[n++] = part;
	assert_int_equal(wg_make_peers(d, n - 1), 0);
	for (size_t i = 1; i < n; i++)
		read_peer(parts[i], &d->peers[i - 1]);
	for (word = strtok_r(parts[0], " ", &words); word; word = strtok_r(NULL, " ", &words)) {
		const char *value = strtok_r(NULL, " ", &words);

		if (!strcmp(word, "port")) {
			d->set |= WG_PORT;
			d->port = (uint16_t)atoi(value);
		} else if (!strcmp(word, "mark")) {
			d->set |= WG_FWMARK;
			d->fwmark = (uint32_t)atoi(value);
		} else {
			assert_string_equal(word, "key");
			d->set |= WG_PRIVATE_KEY;
			memset(d->private_key, *value == '-' ? 0 : *value, KEY_SIZE);
		}
	}
	free(copy);
}

/* The steps, each peer's key as its letter: "A endpoint 192.0.2.1:5; A -10.0.0.0/8". */
static void steps_text(const struct wg_delta *d, char *ret, size_t size)
{
	char text[256], key[KEY_TEXT], *at;
	size_t n = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < d->n; i++) {
		const struct wg_step *s = &d->steps[i];

		wg_step_text(s, text, sizeof(text));
		at = text;
		if (s->peer) {
			assert_memory_equal(text, "peer ", 5);
			assert_memory_equal(text + 5, key_text(s->peer->public_key, key),
					    KEY_TEXT - 1);
			at = text + 5 + KEY_TEXT; /* and the colon */
		}
		n += (size_t)snprintf(ret + n, size - n, "%s%.1s%s", n ? "; " : "",
				      s->peer ? (const char *)s->peer->public_key : "", at);
	}
}

static void steps_are_what_differs_in_the_kernels_order(void **state)
{
	static const struct {
		const char *have, *want, *steps;
	} table[] = {
		{"port 7 mark 1 key a | A psk p end 192.0.2.1:5 keep 25 10.0.0.0/8 | B 2001:db8::/32",
		 "port 7 mark 1 key a | B 2001:db8::/32 | A psk p end 192.0.2.1:5 keep 25 10.0.0.0/8",
		 ""},
		/* what is not meant is left alone */
		{"port 7 mark 1 key a | A psk p end 192.0.2.1:5 keep 25", " | A", ""},
		{"port 7 | A", "port 0 | A", ""},
		{" | A end 192.0.2.1:5", " | A end 192.0.2.1:6", "A endpoint 192.0.2.1:6"},
		{" | A end 192.0.2.1:5 | B", " | A end [2001:db8::1]:5 | B",
		 "A endpoint [2001:db8::1]:5"},
		{" | A psk p", " | A psk q", "A another preshared key"},
		{" | A psk p", " | A psk -", "A no preshared key"},
		{" | A", " | A psk -", ""},
		{" | A", " | A keep 25", "A keepalive 25s"},
		{" | A keep 25", " | A keep 0", "A keepalive off"},
		{"key a", "key -", "another private key"},
		{"port 1 mark 2 key a | A | B", "port 3 mark 4 key b | B keep 1 | C 10.0.0.0/8",
		 "fwmark 0x4; listen port 3; another private key; B keepalive 1s; C new, allowed IPs "
		 "10.0.0.0/8; A removed"},
		{"mark 2", "mark 0", "fwmark off"},
		{" |", " | A psk p end 192.0.2.1:5 keep 25",
		 "A new, with a preshared key, endpoint 192.0.2.1:5, keepalive 25s, allowed IPs none"},
		/* networks */
		{" | A 10.0.0.0/8", " | A 10.0.0.0/8 10.0.0.0/9", "A allowed IPs + 10.0.0.0/9"},
		{" | A 10.0.0.0/8", " | A 10.9.8.7/8", ""},
		{" | A 2001:db8::/33", " | A 2001:db8:7fff::1/33", ""},
		{" | A 0.0.0.0/0 ::/0", " | A ::/0 0.0.0.0/0", ""},
		{" | A 10.0.0.0/8 10.0.0.0/9", " | A 10.0.0.0/9", "A allowed IPs - 10.0.0.0/8"},
		{" | A 10.0.0.0/8 10.0.0.0/9", " | A", "A allowed IPs - 10.0.0.0/8, 10.0.0.0/9"},
		/* one that moves is never nobody's: given, not taken and given */
		{" | A 10.0.0.0/8 | B", " | A | B 10.0.0.0/8", "B allowed IPs + 10.0.0.0/8"},
		{" | A 10.0.0.0/8 | B 11.0.0.0/8", " | A 11.0.0.0/8 | B 10.0.0.0/8",
		 "A allowed IPs + 11.0.0.0/8; B allowed IPs + 10.0.0.0/8"},
		{" | A 10.0.0.0/8", " | B 10.0.0.0/8", "B new, allowed IPs 10.0.0.0/8; A removed"},
		{" | B 10.0.0.0/8", " | A 10.0.0.0/8", "A new, allowed IPs 10.0.0.0/8; B removed"},
		/* and a larger one is there before the smaller goes */
		{" | A 10.0.0.0/16 | B", " | A | B 10.0.0.0/8",
		 "B allowed IPs + 10.0.0.0/8; A allowed IPs - 10.0.0.0/16"},
		{" | A 1.0.0.0/8 2.0.0.0/8 3.0.0.0/8 4.0.0.0/8 5.0.0.0/8 6.0.0.0/8", " | A",
		 "A allowed IPs - 1.0.0.0/8, 2.0.0.0/8, 3.0.0.0/8, 4.0.0.0/8 and 2 more"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct wg_device want, have;
		struct wg_delta d;
		char text[1024];

		read_device(table[i].want, &want);
		read_device(table[i].have, &have);
		assert_int_equal(wg_diff(&want, &have, &d), 0);
		steps_text(&d, text, sizeof(text));
		assert_string_equal(text, table[i].steps);
		wg_delta_free(&d);
		wg_free(&want);
		wg_free(&have);
	}
}

static void a_private_key_is_compared_as_the_kernel_keeps_it(void **state)
{
	static const struct {
		uint8_t first, last;
		size_t steps;
	} table[] = {
		{0x41, 0x42, 0}, /* as it is kept */
		{0x46, 0xc2, 0}, /* its other form, before it is clamped */
		{0x49, 0x42, 1},
		{0x41, 0x43, 1},
	};
	struct wg_device want, have;
	struct wg_delta d;

	(void)state;
	read_device("key A", &have);
	have.private_key[0] = 0x40;
	have.private_key[31] = 0x42;
	for (size_t i = 0; i < COUNT(table); i++) {
		read_device("key A", &want);
		want.private_key[0] = table[i].first;
		want.private_key[31] = table[i].last;
		assert_int_equal(wg_diff(&want, &have, &d), 0);
		assert_int_equal(d.n, table[i].steps);
		wg_delta_free(&d);
		wg_free(&want);
	}
	wg_free(&have);
}

static void what_is_wanted_twice_is_named(void **state)
{
	static const struct {
		const char *want;
		char first, second;
		unsigned int prefix; /* 0: the peer */
	} table[] = {
		{" | A | B | A", 'A', 'A', 0},
		{" | A 10.0.0.0/8 | B 10.0.0.0/8", 'A', 'B', 8},
		{" | A 10.1.0.0/16 10.1.2.3/16 | B", 'A', 'A', 16},
		{" | C 2001:db8::/32 | B 2001:db8::/32", 'B', 'C', 32},
	};
	struct wg_device want, have = {0};
	struct wg_delta d;

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		read_device(table[i].want, &want);
		assert_int_equal(wg_diff(&want, &have, &d), -EEXIST);
		assert_int_equal(d.n, 0);
		assert_int_equal(d.twice.peer[0]->public_key[0], table[i].first);
		assert_int_equal(d.twice.peer[1]->public_key[0], table[i].second);
		assert_int_equal(d.twice.network.family != 0, table[i].prefix != 0);
		assert_int_equal(d.twice.network.prefix, table[i].prefix);
		if (!table[i].prefix)
			assert_ptr_not_equal(d.twice.peer[0], d.twice.peer[1]);
		wg_delta_free(&d);
		wg_free(&want);
	}
}

static void no_step_has_a_secret_in_its_text(void **state)
{
	struct wg_device want, have;
	struct wg_delta d;
	char text[512], secret[KEY_TEXT];

	(void)state;
	read_device("key s port 1 | A psk s | B psk s", &want);
	read_device("key t port 2 | A psk t", &have);
	assert_int_equal(wg_diff(&want, &have, &d), 0);
	assert_int_equal(d.n, 4);
	key_text(want.private_key, secret);
	for (size_t i = 0; i < d.n; i++)
		for (size_t size = 1; size < sizeof(text); size++) {
			assert_null(strstr(wg_step_text(&d.steps[i], text, size), secret));
			assert_true(strlen(text) < size);
		}
	wg_delta_free(&d);
	wg_free(&want);
	wg_free(&have);
}

/* ---- a kernel of our own: carries messages out as drivers/net/wireguard/netlink.c does ---- */

struct kernel {
	struct wg_device d; /* peers with room for all */
	size_t messages, mentions;
	uint32_t flags; /* of all peers, ored */
	int fail_at;	/* message, from 1 */
};

static struct wg_peer *kernel_peer(struct kernel *k, const void *key)
{
	for (size_t i = 0; i < k->d.n_peers; i++)
		if (!memcmp(k->d.peers[i].public_key, key, KEY_SIZE))
			return &k->d.peers[i];
	return NULL;
}

static void kernel_take(struct kernel *k, const struct wg_network *n)
{
	for (size_t i = 0; i < k->d.n_peers; i++) {
		struct wg_peer *p = &k->d.peers[i];

		for (size_t j = 0; j < p->n_allowed; j++)
			if (!memcmp(&p->allowed[j], n, sizeof(*n))) {
				p->allowed[j] = p->allowed[--p->n_allowed];
				return;
			}
	}
}

static void kernel_allow(struct kernel *k, struct wg_peer *p, const struct nlattr *list)
{
	const struct nlattr *one, *a;

	mnl_attr_for_each_nested(one, list)
	{
		struct wg_network n = {0};

		mnl_attr_for_each_nested(a, one)
		{
			if (mnl_attr_get_type(a) == WGALLOWEDIP_A_FAMILY)
				n.family = mnl_attr_get_u16(a) == AF_INET ? 4 : 6;
			else if (mnl_attr_get_type(a) == WGALLOWEDIP_A_CIDR_MASK)
				n.prefix = mnl_attr_get_u8(a);
			else if (mnl_attr_get_payload_len(a) == 4)
				ip_map(mnl_attr_get_u32(a), n.ip);
			else
				memcpy(n.ip, mnl_attr_get_payload(a), 16);
		}
		kernel_take(k, &n);
		p->allowed = realloc(p->allowed, (p->n_allowed + 1) * sizeof(n));
		assert_non_null(p->allowed);
		p->allowed[p->n_allowed++] = n;
	}
}

static void kernel_set_peer(struct kernel *k, const struct nlattr *one)
{
	const struct nlattr *by[WGPEER_A_MAX + 1] = {0}, *a;
	struct wg_peer *p;
	uint32_t flags;

	mnl_attr_for_each_nested(a, one) by[mnl_attr_get_type(a)] = a;
	p = kernel_peer(k, mnl_attr_get_payload(by[WGPEER_A_PUBLIC_KEY]));
	flags = by[WGPEER_A_FLAGS] ? mnl_attr_get_u32(by[WGPEER_A_FLAGS]) : 0;
	k->flags |= flags;
	k->mentions++;
	if (flags & WGPEER_F_REMOVE_ME) {
		assert_non_null(p);
		free(p->allowed);
		*p = k->d.peers[--k->d.n_peers];
		return;
	}
	if (!p) {
		assert_false(flags & WGPEER_F_UPDATE_ONLY);
		p = &k->d.peers[k->d.n_peers++];
		*p = (struct wg_peer){0};
		memcpy(p->public_key, mnl_attr_get_payload(by[WGPEER_A_PUBLIC_KEY]), KEY_SIZE);
	}
	if (by[WGPEER_A_PRESHARED_KEY])
		memcpy(p->psk, mnl_attr_get_payload(by[WGPEER_A_PRESHARED_KEY]), KEY_SIZE);
	if (by[WGPEER_A_ENDPOINT]) {
		const struct sockaddr_in *v4 = mnl_attr_get_payload(by[WGPEER_A_ENDPOINT]);

		assert_int_equal(v4->sin_family, AF_INET);
		ip_map(v4->sin_addr.s_addr, p->endpoint.ip);
		p->endpoint.port = ntohs(v4->sin_port);
		p->endpoint.family = 4;
	}
	if (by[WGPEER_A_ALLOWEDIPS])
		kernel_allow(k, p, by[WGPEER_A_ALLOWEDIPS]);
	if (by[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL])
		p->keepalive = mnl_attr_get_u16(by[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL]);
}

static int kernel_set(struct nlmsghdr *h, void *arg)
{
	struct kernel *k = arg;
	const struct nlattr *a, *one;

	if (++k->messages == (size_t)k->fail_at)
		return -EADDRINUSE;
	assert_int_equal(h->nlmsg_type, FAMILY);
	assert_true(h->nlmsg_len <= WG_MESSAGE);
	mnl_attr_for_each (a, h, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(a)) {
		case WGDEVICE_A_PRIVATE_KEY:
			memcpy(k->d.private_key, mnl_attr_get_payload(a), KEY_SIZE);
			break;
		case WGDEVICE_A_LISTEN_PORT:
			k->d.port = mnl_attr_get_u16(a);
			break;
		case WGDEVICE_A_FWMARK:
			k->d.fwmark = mnl_attr_get_u32(a);
			break;
		case WGDEVICE_A_PEERS:
			mnl_attr_for_each_nested(one, a) kernel_set_peer(k, one);
			break;
		default:
			break;
		}
	}
	assert_null(kernel_peer(k, THROWAWAY)); /* never outlives a message */
	return 0;
}

static void make_many(struct wg_device *d, size_t n_peers, size_t n_each)
{
	*d = (struct wg_device){.name = "wg0", .set = WG_PORT, .port = 7};
	assert_int_equal(wg_make_peers(d, n_peers), 0);
	for (size_t i = 0; i < n_peers; i++) {
		struct wg_peer *p = &d->peers[i];

		p->public_key[0] = (uint8_t)(i * 7);
		p->public_key[1] = (uint8_t)(i >> 8);
		p->public_key[2] = (uint8_t)i;
		p->public_key[31] = 1;
		p->set = WG_PSK | WG_ENDPOINT | WG_KEEPALIVE;
		p->psk[0] = (uint8_t)i;
		p->endpoint = (struct wg_endpoint){.family = 4, .port = 51820};
		ip_map(htonl(0xc6120000 + (uint32_t)i), p->endpoint.ip);
		p->keepalive = 25;
		assert_int_equal(wg_make_allowed(p, n_each), 0);
		for (size_t k = 0; k < n_each; k++) {
			p->allowed[k] = (struct wg_network){.family = 4, .prefix = 32};
			ip_map(htonl(0x0a000000 + (uint32_t)(k * n_peers + i)), p->allowed[k].ip);
		}
	}
}

static void kernel_apply(struct kernel *k, const struct wg_device *want, size_t steps)
{
	struct wg_delta d;

	k->messages = k->mentions = k->flags = 0;
	k->d.ifindex = 3;
	assert_int_equal(wg_diff(want, &k->d, &d), 0);
	assert_int_equal(d.n, steps);
	assert_int_equal(wg_write(&d, FAMILY, THROWAWAY, kernel_set, k), 0);
	wg_delta_free(&d);
	assert_int_equal(wg_diff(want, &k->d, &d), 0);
	assert_int_equal(d.n, 0);
	wg_delta_free(&d);
}

static void a_thousand_peers_go_over_many_messages_and_agree_then(void **state)
{
	struct kernel k = {0};
	struct wg_device want;

	(void)state;
	make_many(&want, 1000, 5);
	k.d.peers = calloc(2000, sizeof(*k.d.peers));
	kernel_apply(&k, &want, 1001);
	assert_true(k.messages > 12 && k.messages < 24);
	assert_int_equal(k.d.n_peers, 1000);

	want.peers[500].endpoint.port++;
	kernel_apply(&k, &want, 1);
	assert_int_equal(k.messages, 1);
	assert_int_equal(k.mentions, 1); /* no other peer is touched */
	assert_int_equal(k.flags, WGPEER_F_UPDATE_ONLY);

	want.peers[500].n_allowed = 3; /* of 5 */
	kernel_apply(&k, &want, 1);
	assert_int_equal(k.messages, 1);
	assert_int_equal(k.mentions, 2); /* the throw-away peer, twice */

	want.n_peers = 1;
	kernel_apply(&k, &want, 999);
	want.n_peers = 1000;
	wg_free(&k.d);
	wg_free(&want);
}

static void one_peer_goes_over_many_messages(void **state)
{
	struct kernel k = {0};
	struct wg_device want;
	size_t kept;

	(void)state;
	make_many(&want, 1, 5000);
	k.d.peers = calloc(3, sizeof(*k.d.peers));
	kernel_apply(&k, &want, 2);
	assert_true(k.messages > 8);
	kept = want.peers[0].n_allowed;
	want.peers[0].n_allowed = 7;
	kernel_apply(&k, &want, 1);
	assert_true(k.messages > 8);
	want.peers[0].n_allowed = kept;
	kernel_apply(&k, &want, 1);
	wg_free(&k.d);
	wg_free(&want);
}

static void what_the_kernel_refuses_ends_the_sending(void **state)
{
	struct kernel k = {.fail_at = 2};
	struct wg_device want;
	struct wg_delta d;

	(void)state;
	make_many(&want, 1000, 5);
	k.d.peers = calloc(2000, sizeof(*k.d.peers));
	assert_int_equal(wg_diff(&want, &k.d, &d), 0);
	assert_int_equal(wg_write(&d, FAMILY, THROWAWAY, kernel_set, &k), -EADDRINUSE);
	assert_int_equal(k.messages, 2);
	wg_delta_free(&d);
	k.fail_at = 0;
	kernel_apply(&k, &want, 1000 - k.d.n_peers);
	wg_free(&k.d);
	wg_free(&want);
}

static int look_at_name(struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a = mnl_nlmsg_get_payload_offset(h, sizeof(struct genlmsghdr));

	*(uint16_t *)arg = mnl_attr_get_type(a);
	return 0;
}

static void the_device_is_named_by_its_number_or_else_its_name(void **state)
{
	struct wg_device want, have = {.ifindex = 9};
	struct wg_delta d;
	uint16_t by = 0;

	(void)state;
	read_device("port 9", &want);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(wg_diff(&want, &have, &d), 0);
		assert_int_equal(wg_write(&d, FAMILY, THROWAWAY, look_at_name, &by), 0);
		assert_int_equal(by, i ? WGDEVICE_A_IFNAME : WGDEVICE_A_IFINDEX);
		wg_delta_free(&d);
		have.ifindex = 0;
	}
	wg_free(&want);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_are_what_differs_in_the_kernels_order),
		cmocka_unit_test(a_private_key_is_compared_as_the_kernel_keeps_it),
		cmocka_unit_test(what_is_wanted_twice_is_named),
		cmocka_unit_test(no_step_has_a_secret_in_its_text),
		cmocka_unit_test(a_thousand_peers_go_over_many_messages_and_agree_then),
		cmocka_unit_test(one_peer_goes_over_many_messages),
		cmocka_unit_test(what_the_kernel_refuses_ends_the_sending),
		cmocka_unit_test(the_device_is_named_by_its_number_or_else_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
