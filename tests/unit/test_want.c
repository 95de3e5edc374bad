/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_want.c - from the configuration to what the kernel shall have: groups, names, routes, rules,
 * peers
 *
 * Key files are in a folder of its own under /tmp.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "userspace/base/key.h"
#include "userspace/base/text.h"
#include "userspace/net/resolve.h"
#include "wg/want.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

#define HEAD                                                                                       \
	"service: api\nlisten: [203.0.113.10:443/tcp]\ninterfaces: [eth0]\n"                       \
	"nat: {addresses: [203.0.113.10]}\n"                                                       \
	"backends: [{name: aws, target: \"198.51.100.1:443\", client_address: hidden}]\n"          \
	"tunnels:\n"
/* RFC 7748, 6.1: Alice's and Bob's public keys. */
#define ALICE "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
#define BOB   "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="

static char folder[] = "/tmp/test_want.XXXXXX";
static const char private_text[] = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n";
static const char psk_text[] = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n";

static struct config *conf; /* of the test that runs */
static struct conf_errors errors;

static void put(const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int make_folder(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	put("private", private_text, 0600);
	put("psk", psk_text, 0600);
	put("open", private_text, 0644);
	return 0;
}

static int remove_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static int forget(void **state)
{
	(void)state;
	conf_errors_free(&errors);
	conf_free(conf);
	conf = NULL;
	memset(&errors, 0, sizeof(errors));
	return 0;
}

/* "%" stands for the folder. */
static void parse(const char *tunnels)
{
	char text[8192] = HEAD;
	size_t used = strlen(text);

	forget(NULL);
	for (; *tunnels; tunnels++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s",
					 *tunnels == '%' ? 64 : 1,
					 *tunnels == '%' ? folder : tunnels);
	if (conf_parse("test", text, used, &conf, &errors)) {
		conf_errors_print(&errors, stderr);
		fail();
	}
}

/* A tunnel of which nothing matters but its place. */
static void parse_chain(const char *const *names, const char *const *backups, unsigned int n)
{
	char text[4096] = "";
	size_t used = 0;

	for (unsigned int i = 0; i < n; i++) {
		const char *b = backups[i];

		used += (size_t)snprintf(
			text + used, sizeof(text) - used,
			"  - {name: %s, ipsec: {addresses: [198.18.%u.1/30], ike: {}}%s%s}\n",
			names[i], i, b ? ", backup: " : "", b ? b : "");
	}
	parse(text);
}

/* ---- groups ---- */

static const char *groups_text(char ret[256])
{
	struct group g[CONF_MAX_TUNNELS];
	unsigned int n = groups_of(conf, g);
	size_t used = 0;

	ret[0] = '\0';
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < g[i].n; k++)
			used += (size_t)snprintf(ret + used, 256 - used, "%s%s",
						 k   ? ">"
						 : i ? " "
						     : "",
						 conf->tunnels[g[i].member[k]].name);
	return ret;
}

static void a_group_is_who_backs_up_nobody_and_its_chain(void **state)
{
	static const struct {
		const char *names[8], *backups[8];
		const char *want;
	} rows[] = {
		{{"a"}, {0}, "a"},
		{{"a", "b"}, {0}, "a b"},
		{{"a", "b"}, {"b"}, "a>b"},
		{{"a", "b"}, {NULL, "a"}, "b>a"}, /* the backup stands first */
		{{"a", "b", "c"}, {"b", "c"}, "a>b>c"},
		{{"c", "b", "a"}, {NULL, "c", "b"}, "a>b>c"},
		{{"a", "b", "c"}, {"c", "c"}, "a>c b>c"},		      /* shared */
		{{"a", "b", "c", "d"}, {"b", "c", NULL, "b"}, "a>b>c d>b>c"}, /* chains that meet */
		{{"a", "b", "c", "d"}, {"c", NULL, NULL, NULL}, "a>c b d"},
		{{"1", "2", "3", "4", "5", "6", "7", "8"},
		 {"2", "3", "4", "5", "6", "7", "8"},
		 "1>2>3>4>5>6>7>8"},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned int n = 0;

		while (n < 8 && rows[i].names[n])
			n++;
		parse_chain(rows[i].names, rows[i].backups, n);
		assert_string_equal(groups_text(text), rows[i].want);
	}
}

static void a_place_is_that_in_the_group(void **state)
{
	struct group g = {.n = 3, .member = {4, 0, 2}};

	(void)state;
	assert_int_equal(group_place(&g, 4), 0);
	assert_int_equal(group_place(&g, 0), 1);
	assert_int_equal(group_place(&g, 2), 2);
	assert_int_equal(group_place(&g, 1), -1);
	assert_int_equal(group_place(&g, 3), -1);
	g.n = 2;
	assert_int_equal(group_place(&g, 2), -1);
}

/* ---- names ---- */

static void names_are_given_or_made_of_the_tunnels(void **state)
{
	static const struct {
		const char *name, *interface;
		uint32_t if_id; /* 0: made */
		const char *want;
	} rows[] = {
		{"aws", "", 0, "aws"},
		{"aws", "ipsec-aws", 0, "ipsec-aws"},
		{"fifteen-letters", "", 7, "fifteen-letters"},
		{"sixteen-letters1", "", 0, NULL},
		{"sixteen-letters2", "", 0x80000001, NULL},
		{"a-name-of-thirty-one-characters", "", 0, NULL},
		{"a-name-of-thirty-one-characters", "short", 3, "short"},
	};
	char seen[COUNT(rows)][16];
	uint32_t ids[COUNT(rows)];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf_tunnel t = {.if_id = rows[i].if_id};
		uint32_t again;

		snprintf(t.name, sizeof(t.name), "%s", rows[i].name);
		snprintf(t.interface.name, sizeof(t.interface.name), "%s", rows[i].interface);
		want_names(&t, seen[i], &ids[i]);
		if (rows[i].want)
			assert_string_equal(seen[i], rows[i].want);
		assert_in_range(strlen(seen[i]), 1, 15);
		assert_true(ids[i] != 0);
		if (rows[i].if_id)
			assert_int_equal(ids[i], rows[i].if_id);
		assert_string_equal(want_kind(&t), "ipsec");
		t.wireguard.given = true;
		want_names(&t, seen[i], &again);
		assert_int_equal(again, 0); /* it has none */
		assert_string_equal(want_kind(&t), "wireguard");
	}
	assert_true(!strncmp(seen[3], "sixtee-", 7) && strlen(seen[3]) == 15);
	assert_string_not_equal(seen[3], seen[4]);
	assert_true(ids[0] == ids[1] && ids[0] != ids[3]);
}

/* ---- routes ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* "NETWORK@METRIC[/TABLE][<SOURCE]", in the order of the letters. */
static const char *routes_text(const struct link_route *r, size_t n, char ret[2048])
{
	char lines[64][160], to[64], from[64];
	size_t used = 0;

	assert_true(n <= COUNT(lines));
	for (size_t i = 0; i < n; i++) {
		unsigned int bits = r[i].to.prefix + (r[i].to.family == 4 ? 96u : 0u);
		int m = snprintf(lines[i], sizeof(lines[i]), "%s@%u",
				 text_network(r[i].to.ip, bits, to), r[i].metric);

		if (r[i].table != 254)
			m += snprintf(lines[i] + m, sizeof(lines[i]) - (size_t)m, "/%u",
				      r[i].table);
		if (r[i].has_source)
			snprintf(lines[i] + m, sizeof(lines[i]) - (size_t)m, "<%s",
				 text_address(r[i].source, 0, from));
	}
	qsort(lines, n, sizeof(lines[0]), by_text);
	ret[0] = '\0';
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(ret + used, 2048 - used, "%s%s", i ? " " : "", lines[i]);
	return ret;
}

/* What tunnel `name` shall be when group g's active member is active[g] (0 where none is given). */
static void make(const char *name, const unsigned int *active, struct want *ret)
{
	static const unsigned int heads[CONF_MAX_TUNNELS];
	struct group g[CONF_MAX_TUNNELS];
	unsigned int n = groups_of(conf, g);
	unsigned int i = (unsigned int)(conf_tunnel(conf, name) - conf->tunnels);
	char why[600] = "?";

	if (want_make(conf, i, g, n, active ? active : heads, NULL, NULL, ret, why, sizeof(why)))
		fail_msg("%s: %s", name, why);
}

static void assert_routes(const char *name, const unsigned int *active, const char *want)
{
	struct want w;
	char text[2048];

	make(name, active, &w);
	assert_string_equal(routes_text(w.link.routes, w.link.n_routes, text), want);
	want_free(&w);
}

static void one_alone_has_its_routes_once(void **state)
{
	(void)state;
	parse("  - name: a\n    ipsec: {addresses: [198.18.0.1/30], mtu: 1400, ike: {}}\n"
	      "    routes: [10.10.0.0/16, \"2001:db8:10::/48\"]\n    metric: 70\n"
	      "    source: 198.18.0.1\n");
	assert_routes("a", NULL, "10.10.0.0/16@70<198.18.0.1 2001:db8:10::/48@70");
	parse("  - name: a\n    ipsec: {addresses: [198.18.0.1/30], mtu: 1400, ike: {}}\n");
	assert_routes("a", NULL, "");
}

static const char three[] =
	"  - name: a\n    ipsec: {addresses: [198.18.0.1/30, \"2001:db8:9::1/64\"], mtu: 1400, ike: {}}\n"
	"    routes: [10.10.0.0/16, \"2001:db8:10::/48\"]\n    metric: 20\n    table: 300\n"
	"    source: \"2001:db8:9::1\"\n    backup: b\n"
	"    probe: {address: 198.18.0.2}\n"
	"  - name: b\n    ipsec: {addresses: [198.18.1.1/30], mtu: 1400, ike: {}}\n    backup: c\n"
	"    routes: [10.20.0.0/16]\n    metric: 90\n    table: 301\n    probe: {address: 198.18.1.2}\n"
	"  - name: c\n    ipsec: {addresses: [198.18.2.1/30], mtu: 1400, ike: {}}\n";

/* All members have the head's routes at metrics of their own, in its table, with its source; the
 * active one has them once more. */
static void members_stand_by_behind_the_active_one(void **state)
{
	static const unsigned int second[] = {1}, third[] = {2};

	(void)state;
	parse(three);
	assert_routes(
		"a", NULL,
		"10.10.0.0/16@20/300 10.10.0.0/16@21/300 "
		"2001:db8:10::/48@20/300<2001:db8:9::1 2001:db8:10::/48@21/300<2001:db8:9::1");
	assert_routes("b", NULL,
		      "10.10.0.0/16@22/300 10.20.0.0/16@90/301 "
		      "2001:db8:10::/48@22/300<2001:db8:9::1");
	assert_routes("c", NULL, "10.10.0.0/16@23/300 2001:db8:10::/48@23/300<2001:db8:9::1");
	assert_routes("a", second, "10.10.0.0/16@21/300 2001:db8:10::/48@21/300<2001:db8:9::1");
	assert_routes(
		"b", second,
		"10.10.0.0/16@20/300 10.10.0.0/16@22/300 10.20.0.0/16@90/301 "
		"2001:db8:10::/48@20/300<2001:db8:9::1 2001:db8:10::/48@22/300<2001:db8:9::1");
	assert_routes(
		"c", third,
		"10.10.0.0/16@20/300 10.10.0.0/16@23/300 "
		"2001:db8:10::/48@20/300<2001:db8:9::1 2001:db8:10::/48@23/300<2001:db8:9::1");
}

static void what_moves_is_the_heads(void **state)
{
	struct group g[CONF_MAX_TUNNELS];
	struct link_route *r = NULL;
	char text[2048];
	size_t n = 9;

	(void)state;
	parse(three);
	assert_int_equal(groups_of(conf, g), 1);
	assert_int_equal(group_routes(conf, &g[0], &r, &n), 0);
	assert_string_equal(routes_text(r, n, text),
			    "10.10.0.0/16@20/300 2001:db8:10::/48@20/300<2001:db8:9::1");
	free(r);
	parse("  - name: a\n    ipsec: {addresses: [198.18.0.1/30], ike: {}}\n");
	groups_of(conf, g);
	assert_int_equal(group_routes(conf, &g[0], &r, &n), 0);
	assert_int_equal(n, 0);
	free(r);
}

/* In every group its backup stands by; what it has of its own it has once, and never what would
 * take a head's route away. */
static void a_shared_backup_stands_by_for_both(void **state)
{
	static const unsigned int b_failed[] = {0, 1}, both_failed[] = {1, 1};

	(void)state;
	parse("  - name: a\n    ipsec: {addresses: [198.18.0.1/30], mtu: 1400, ike: {}}\n"
	      "    routes: [10.10.0.0/16]\n    backup: c\n    probe: {address: 198.18.0.2}\n"
	      "  - name: b\n    ipsec: {addresses: [198.18.1.1/30], mtu: 1400, ike: {}}\n"
	      "    routes: [10.20.0.0/16]\n    backup: c\n    probe: {address: 198.18.1.2}\n"
	      "  - name: c\n    ipsec: {addresses: [198.18.2.1/30], mtu: 1400, ike: {}}\n"
	      "    routes: [10.10.0.0/16, 10.20.0.0/16, 10.30.0.0/16]\n");
	assert_routes("a", NULL, "10.10.0.0/16@50 10.10.0.0/16@51");
	assert_routes("b", NULL, "10.20.0.0/16@50 10.20.0.0/16@51");
	assert_routes("c", NULL, "10.10.0.0/16@52 10.20.0.0/16@52 10.30.0.0/16@50");
	assert_routes("c", b_failed,
		      "10.10.0.0/16@52 10.20.0.0/16@50 10.20.0.0/16@52 10.30.0.0/16@50");
	assert_routes("c", both_failed,
		      "10.10.0.0/16@50 10.10.0.0/16@52 10.20.0.0/16@50 10.20.0.0/16@52 "
		      "10.30.0.0/16@50");
}

/* ---- WireGuard ---- */

#define WG(name, more, peer)                                                                            \
	"  - name: " name "\n    wireguard:\n      interface: wg-" name                                 \
	"\n      private_key_file: %/private\n      addresses: [198.18.0.1/30]\n      mtu: 1400\n" more \
	"      peers:\n        - {public_key: \"" ALICE "\", allowed_ips: [10.10.0.0/16, "              \
	"\"2001:db8:10::/48\", 198.18.0.0/30]" peer "}\n"

static void rules_come_with_a_mark_and_a_table(void **state)
{
	static const struct {
		const char *text;
		unsigned int rules; /* bit 4 and 6: of that family */
	} rows[] = {
		{WG("a", "", "") "    routes: [10.10.0.0/16, \"2001:db8:10::/48\"]\n", 0},
		{WG("a", "      fwmark: 83\n", "") "    routes: [10.10.0.0/16]\n", 0},
		{WG("a", "", "") "    routes: [10.10.0.0/16]\n    table: 300\n", 0},
		{WG("a", "      fwmark: 83\n", "") "    table: 300\n", 0},
		{WG("a", "      fwmark: 83\n", "") "    routes: [10.10.0.0/16]\n    table: 300\n",
		 1 << 4},
		{WG("a", "      fwmark: 83\n",
		    "") "    routes: [\"2001:db8:10::/48\"]\n    table: 300\n",
		 1 << 6},
		{WG("a", "      fwmark: 83\n", "") "    routes: [10.10.0.0/16, "
						   "\"2001:db8:10::/48\"]\n    table: 300\n",
		 1 << 4 | 1 << 6},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned int seen = 0;
		struct want w;

		parse(rows[i].text);
		make("a", NULL, &w);
		for (size_t k = 0; k < w.link.n_rules; k++) {
			const struct link_rule *r = &w.link.rules[k];

			assert_false(seen & 1u << r->family);
			seen |= 1u << r->family;
			assert_int_equal(r->table, 300);
			assert_int_equal(r->fwmark, 0x53);
			assert_true(r->invert && r->priority);
		}
		assert_int_equal(seen, rows[i].rules);
		want_free(&w);
	}
}

static void a_device_is_as_configured(void **state)
{
	uint8_t secret[KEY_SIZE], psk[KEY_SIZE], alice[KEY_SIZE];
	char line[KEY_TEXT];
	struct want w;

	(void)state;
	snprintf(line, sizeof(line), "%.44s", private_text);
	assert_int_equal(key_parse(line, secret), 0);
	snprintf(line, sizeof(line), "%.44s", psk_text);
	assert_int_equal(key_parse(line, psk), 0);
	assert_int_equal(key_parse(ALICE, alice), 0);
	parse(WG("a", "      listen_port: 51820\n      fwmark: 83\n",
		 ", preshared_key_file: %/psk, endpoint: \"192.0.2.9:51821\", keepalive: 25s"));
	make("a", NULL, &w);
	assert_string_equal(w.device.name, "wg-a");
	assert_string_equal(w.link.name, "wg-a");
	assert_int_equal(w.link.kind, LINK_WIREGUARD);
	assert_int_equal(w.link.mtu, 1400);
	assert_true(w.link.up);
	assert_int_equal(w.link.n_addresses, 1);
	assert_int_equal(w.link.addresses[0].prefix, 30);
	assert_int_equal(w.device.set, WG_PRIVATE_KEY | WG_PORT | WG_FWMARK);
	assert_int_equal(w.device.port, 51820);
	assert_int_equal(w.device.fwmark, 0x53);
	assert_memory_equal(w.device.private_key, secret, KEY_SIZE);
	assert_int_equal(w.device.n_peers, 1);
	assert_memory_equal(w.device.peers[0].public_key, alice, KEY_SIZE);
	assert_memory_equal(w.device.peers[0].psk, psk, KEY_SIZE);
	assert_int_equal(w.device.peers[0].set, WG_PSK | WG_KEEPALIVE | WG_ENDPOINT);
	assert_int_equal(w.device.peers[0].keepalive, 25);
	assert_int_equal(w.device.peers[0].endpoint.port, 51821);
	assert_int_equal(w.device.peers[0].endpoint.family, 4);
	assert_int_equal(w.device.peers[0].endpoint.ip[3], inet_addr("192.0.2.9"));
	assert_int_equal(w.device.peers[0].n_allowed, 3);
	want_free(&w);
	/* Without a port it is the kernel's choice, without an endpoint the peer's; a psk that is
	 * not there shall be taken away. */
	parse(WG("a", "", ""));
	make("a", NULL, &w);
	assert_int_equal(w.device.set, WG_PRIVATE_KEY | WG_FWMARK);
	assert_int_equal(w.device.peers[0].set, WG_PSK | WG_KEEPALIVE);
	assert_int_equal(w.device.peers[0].keepalive, 0);
	want_free(&w);
}

static void assert_refused(const char *text, const struct wg_device *have, int err,
			   const char *words)
{
	struct group g[CONF_MAX_TUNNELS];
	unsigned int active[CONF_MAX_TUNNELS] = {0};
	struct want w, before;
	char why[600] = "?";
	unsigned int n;

	parse(text);
	n = groups_of(conf, g);
	memset(&w, 0x5a, sizeof(w));
	before = w;
	assert_int_equal(want_make(conf, 0, g, n, active, have, NULL, &w, why, sizeof(why)), err);
	assert_memory_equal(&w, &before, sizeof(w));
	if (!strstr(why, words))
		fail_msg("'%s' is not in: %s", words, why);
	assert_null(strstr(why, "dwdtCnMY"));
	assert_null(strstr(why, "AQIDBAUG"));
}

static void what_cannot_be_is_told_with_its_place(void **state)
{
	(void)state;
	assert_refused(WG("a", "", ", preshared_key_file: %/none"), NULL, -ENOENT,
		       "peers[0]: /tmp/test_want.");
	assert_refused(WG("a", "", ", preshared_key_file: %/open"), NULL, -EPERM,
		       "/open can be read by others: chmod 600");
	assert_refused("  - name: a\n    wireguard: {interface: w, private_key_file: %/open, "
		       "addresses: [198.18.0.1/30], mtu: 1400, peers: [{public_key: \"" BOB
		       "\", allowed_ips: [10.0.0.0/8]}]}\n",
		       NULL, -EPERM, "/open can be read by others: chmod 600");
	assert_refused("  - name: a\n    wireguard: {interface: w, private_key_file: %/private, "
		       "addresses: [198.18.0.1/30], mtu: 1400, peers: [{public_key: \"" BOB
		       "\", allowed_ips: [10.0.0.0/8]}, {public_key: \"" ALICE
		       "\", preshared_key_file: %/none, allowed_ips: [10.0.0.0/9]}]}\n",
		       NULL, -ENOENT, "peers[1]: ");
}

/* ---- endpoints ---- */

static struct wg_endpoint endpoint(const char *text)
{
	struct wg_endpoint e = {.family = text[0] == '[' ? 6 : 4};

	assert_int_equal(ip_parse(text, e.ip, &e.port), 0);
	return e;
}

static void plain_addresses_are_taken_as_they_are(void **state)
{
	const struct wg_endpoint now = endpoint("192.0.2.77:1"),
				 untouched = endpoint("192.0.2.1:9");
	struct wg_endpoint e = untouched;

	(void)state;
	parse(WG("a", "", ", endpoint: \"192.0.2.9:51821\""));
	assert_int_equal(want_endpoint(&conf->tunnels[0].wireguard.peers[0], &now, &e), 0);
	assert_int_equal(e.family, 4);
	assert_int_equal(e.port, 51821);
	assert_memory_equal(e.ip, endpoint("192.0.2.9:51821").ip, sizeof(e.ip));
	parse(WG("a", "", ", endpoint: \"[2001:db8::9]:51822\""));
	assert_int_equal(want_endpoint(&conf->tunnels[0].wireguard.peers[0], NULL, &e), 0);
	assert_int_equal(e.family, 6);
	assert_int_equal(e.port, 51822);
	assert_memory_equal(e.ip, endpoint("[2001:db8::9]:1").ip, sizeof(e.ip));
}

/* The hosts file's name for this host: whatever it has, what is in use stays. */
static void a_name_keeps_the_address_in_use_if_it_still_has_it(void **state)
{
	struct conf_peer p = {.endpoint = "localhost", .port = 7};
	struct wg_endpoint e, now;
	struct resolved all;

	(void)state;
	if (resolve_host("localhost", &all)) {
		print_message("skipped: localhost has no address here\n");
		skip();
	}
	for (unsigned int i = 0; i < all.n; i++) {
		now = endpoint("192.0.2.1:9");
		memcpy(now.ip, all.address[i], sizeof(now.ip));
		assert_int_equal(want_endpoint(&p, &now, &e), 0);
		assert_memory_equal(e.ip, all.address[i], sizeof(e.ip));
		assert_int_equal(e.port, 7);
		assert_int_equal(e.family, ip_family(all.address[i]));
	}
	now = endpoint("192.0.2.1:9"); /* not one of them any more */
	assert_int_equal(want_endpoint(&p, &now, &e), 0);
	assert_memory_equal(e.ip, all.address[0], sizeof(e.ip));
	assert_int_equal(want_endpoint(&p, NULL, &e), 0);
	assert_memory_equal(e.ip, all.address[0], sizeof(e.ip));
}

static void a_peer_whose_name_is_lost_keeps_where_it_is(void **state)
{
	struct wg_peer old = {.endpoint = endpoint("192.0.2.9:51821")};
	struct wg_device have = {.peers = &old, .n_peers = 1};
	struct group g[CONF_MAX_TUNNELS];
	unsigned int active[CONF_MAX_TUNNELS] = {0}, n;
	struct wg_endpoint e = endpoint("192.0.2.1:9");
	struct want w;
	char why[600];

	(void)state;
	parse(WG("a", "", ", endpoint: \"name.example:51821\""));
	n = groups_of(conf, g);
	/* no resolver is asked for that */
	strcpy(conf->tunnels[0].wireguard.peers[0].endpoint, "no..name");
	assert_true(want_endpoint(&conf->tunnels[0].wireguard.peers[0], NULL, &e) < 0);
	assert_memory_equal(e.ip, endpoint("192.0.2.1:9").ip, sizeof(e.ip));
	assert_true(want_make(conf, 0, g, n, active, NULL, NULL, &w, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "peers[0]: endpoint no..name: "));
	/* another peer's address does not help */
	assert_true(want_make(conf, 0, g, n, active, &have, NULL, &w, why, sizeof(why)) < 0);
	assert_int_equal(key_parse(ALICE, old.public_key), 0);
	assert_int_equal(want_make(conf, 0, g, n, active, &have, NULL, &w, why, sizeof(why)), 0);
	assert_int_equal(w.device.peers[0].set, WG_PSK | WG_KEEPALIVE); /* as it is */
	want_free(&w);
	old.endpoint.family = 0;
	assert_true(want_make(conf, 0, g, n, active, &have, NULL, &w, why, sizeof(why)) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_group_is_who_backs_up_nobody_and_its_chain, forget),
		cmocka_unit_test(a_place_is_that_in_the_group),
		cmocka_unit_test(names_are_given_or_made_of_the_tunnels),
		cmocka_unit_test_teardown(one_alone_has_its_routes_once, forget),
		cmocka_unit_test_teardown(members_stand_by_behind_the_active_one, forget),
		cmocka_unit_test_teardown(what_moves_is_the_heads, forget),
		cmocka_unit_test_teardown(a_shared_backup_stands_by_for_both, forget),
		cmocka_unit_test_teardown(rules_come_with_a_mark_and_a_table, forget),
		cmocka_unit_test_teardown(a_device_is_as_configured, forget),
		cmocka_unit_test_teardown(what_cannot_be_is_told_with_its_place, forget),
		cmocka_unit_test_teardown(plain_addresses_are_taken_as_they_are, forget),
		cmocka_unit_test_teardown(a_name_keeps_the_address_in_use_if_it_still_has_it,
					  forget),
		cmocka_unit_test_teardown(a_peer_whose_name_is_lost_keeps_where_it_is, forget),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
