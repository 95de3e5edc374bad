/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnel_list.c - `tunnel list`: what the kernel and charon have, ours and others'
 */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/loop.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/tunnel.h"
#include "userspace/cmd/tunnel_report.h"
#include "userspace/net/host.h"
#include "wg/charon.h"
#include "wg/link.h"
#include "wg/xfrm.h"

#define SECOND 1000000000ull
#define SHOWN  16 /* peers of one device on the screen; --json has all */

static uint64_t real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* ---- WireGuard ---- */

static json_t *peer_json(const struct wg_peer *p)
{
	static const uint8_t none[KEY_SIZE];
	json_t *allowed = json_array();
	char key[KEY_TEXT], text[64];

	for (size_t i = 0; i < p->n_allowed; i++) {
		unsigned int bits = p->allowed[i].prefix + (p->allowed[i].family == 4 ? 96u : 0u);

		json_array_append_new(allowed,
				      json_string(text_network(p->allowed[i].ip, bits, text)));
	}
	if (p->endpoint.family)
		text_address(p->endpoint.ip, htons(p->endpoint.port), text);
	return json_pack("{s:s, s:s?, s:o, s:b, s:i, s:I, s:I, s:o}", "public_key",
			 key_text(p->public_key, key), "endpoint", p->endpoint.family ? text : NULL,
			 "allowed_ips", allowed, "preshared_key",
			 memcmp(p->psk, none, KEY_SIZE) != 0, "keepalive_s", (int)p->keepalive,
			 "rx_bytes", (json_int_t)p->rx, "tx_bytes", (json_int_t)p->tx,
			 "handshake_at",
			 p->handshake_ns ? json_integer((json_int_t)(p->handshake_ns / SECOND))
					 : json_null());
}

static json_t *device_json(const struct wg_device *d)
{
	static const uint8_t none[KEY_SIZE];
	json_t *peers = json_array();
	char key[KEY_TEXT];

	for (size_t i = 0; i < d->n_peers; i++)
		json_array_append_new(peers, peer_json(&d->peers[i]));
	return json_pack(
		"{s:s?, s:i, s:I, s:o}", "public_key",
		memcmp(d->public_key, none, KEY_SIZE) ? key_text(d->public_key, key) : NULL,
		"listen_port", (int)d->port, "fwmark", (json_int_t)d->fwmark, "peers", peers);
}

static void print_device(const struct wg_device *d)
{
	struct table t = {.gap = 2};
	char key[KEY_TEXT], from[64], rx[16], tx[16], age[32];
	uint64_t now = real_ns();

	table_head(&t, "   peer|endpoint|>handshake|>received|>sent|>networks");
	for (size_t i = 0; i < d->n_peers && i < SHOWN; i++) {
		const struct wg_peer *p = &d->peers[i];

		table_row(&t, "   %s\t%s\t%s\t%s\t%s\t%zu", key_text(p->public_key, key),
			  p->endpoint.family
				  ? text_address(p->endpoint.ip, htons(p->endpoint.port), from)
				  : "-",
			  !p->handshake_ns	  ? "never"
			  : p->handshake_ns > now ? "now"
						  : text_duration(now - p->handshake_ns, age),
			  screen_bytes(p->rx, rx), screen_bytes(p->tx, tx), p->n_allowed);
	}
	table_print(&t, stdout);
	table_free(&t);
	if (d->n_peers > SHOWN)
		printf("   and %zu more peers: --json has them\n", d->n_peers - SHOWN);
}

/* ---- IPsec ---- */

static json_t *charon_json(const struct charon_sa *sa, int n)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++) {
		json_t *children = json_array();

		for (unsigned int k = 0; k < sa[i].n_children; k++) {
			const struct charon_child *c = &sa[i].child[k];
			char in[12], out[12];

			snprintf(in, sizeof(in), "%08x", c->spi_in);
			snprintf(out, sizeof(out), "%08x", c->spi_out);
			json_array_append_new(
				children,
				json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "name",
					  c->name, "state", c->state, "spi_in", in, "spi_out", out,
					  "cipher", c->cipher, "rx_bytes", (json_int_t)c->bytes_in,
					  "tx_bytes", (json_int_t)c->bytes_out, "if_id",
					  (json_int_t)c->if_id));
		}
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", sa[i].name,
						"state", sa[i].state, "local", sa[i].local,
						"remote", sa[i].remote, "children", children));
	}
	return list;
}

static json_t *show_charon(const struct conf_tunnel *t, bool json)
{
	struct charon_sa sa[8];
	struct charon *c = NULL;
	char why[200] = "";
	int n = charon_open(t->ike.vici, &c, why, sizeof(why));

	if (!n)
		n = charon_list(c, t->name, sa, 8, why, sizeof(why));
	charon_close(c);
	if (json)
		return n < 0 ? json_null() : charon_json(sa, n);
	if (n < 0)
		printf("   %s\n", why);
	for (int i = 0; i < n; i++) {
		printf("   IKE %s  %s → %s\n", sa[i].state, sa[i].local, sa[i].remote);
		for (unsigned int k = 0; k < sa[i].n_children; k++) {
			const struct charon_child *h = &sa[i].child[k];
			char in[16], out[16];

			printf("   SA  %s  in %08x out %08x  %s  %s in, %s out\n", h->state,
			       h->spi_in, h->spi_out, h->cipher, screen_bytes(h->bytes_in, in),
			       screen_bytes(h->bytes_out, out));
		}
	}
	return NULL;
}

static json_t *show_sas(uint32_t if_id, bool json)
{
	struct xfrm_sa *sa = NULL;
	json_t *list = json_array();
	size_t n = 0;

	if (xfrm_sa_list(if_id, &sa, &n))
		return list;
	for (size_t i = 0; i < n; i++) {
		char spi[12], from[64], to[64], bytes[16];

		snprintf(spi, sizeof(spi), "%08x", sa[i].spi);
		text_address(sa[i].src, 0, from);
		text_address(sa[i].dst, 0, to);
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "spi",
						spi, "from", from, "to", to, "cipher", sa[i].cipher,
						"bytes", (json_int_t)sa[i].bytes, "packets",
						(json_int_t)sa[i].packets, "replayed",
						(json_int_t)sa[i].replayed, "failed",
						(json_int_t)sa[i].failed));
		if (!json)
			printf("   SA  %s  %s → %s  %s  %s\n", spi, from, to, sa[i].cipher,
			       screen_bytes(sa[i].bytes, bytes));
	}
	free(sa);
	return list;
}

/* ---- one after the other ---- */

static void show_ours(struct tunnels *t, unsigned int i, json_t *list)
{
	const struct watch_tunnel *w = &t->watch->tunnel[i];
	json_t *j = tunnel_json(t->watch, i), *sas;
	char rx[16], tx[16];

	json_object_del(j, "rtt_ms");
	json_object_del(j, "rtt_p95_ms");
	json_object_del(j, "jitter_ms");
	json_object_del(j, "loss");
	json_object_set_new(j, "ours", json_true());
	if (!list)
		printf("%s%s  %s  %s  %s%s  %s received, %s sent\n", i ? "\n" : "", w->conf->name,
		       want_kind(w->conf), w->interface,
		       w->look.exists ? w->look.admin_up ? "" : "is down  "
				      : "is not there: shiftctl tunnel apply  ",
		       watch_active(t->watch, i) ? "in use" : "standby",
		       screen_bytes(w->look.rx, rx), screen_bytes(w->look.tx, tx));
	if (w->conf->wireguard.given && w->look.exists) {
		if (list)
			json_object_set_new(j, "device", device_json(&w->device));
		else
			print_device(&w->device);
	} else if (w->look.exists) {
		if (w->conf->ike.given) {
			json_t *ike = show_charon(w->conf, list != NULL);

			json_object_set_new(j, "ike", ike ? ike : json_null());
		}
		sas = show_sas(w->if_id, list != NULL);
		json_object_set_new(j, "sas", sas);
	}
	if (list)
		json_array_append_new(list, j);
	else
		json_decref(j);
}

static bool is_ours(const struct tunnels *t, const char *interface)
{
	for (unsigned int i = 0; i < t->watch->n; i++)
		if (!strcmp(t->watch->tunnel[i].interface, interface))
			return true;
	return false;
}

/* WireGuard devices that others made. */
static void show_others(struct tunnels *t, json_t *list)
{
	struct host h;

	if (host_read(NULL, 0, &h))
		return;
	for (unsigned int i = 0; i < h.n_links; i++) {
		struct wg_device d = {0};

		if (strcmp(h.links[i].kind, "wireguard") != 0 || is_ours(t, h.links[i].name) ||
		    wg_read(h.links[i].name, &d))
			continue;
		if (list) {
			json_array_append_new(list,
					      json_pack("{s:n, s:s, s:s, s:b, s:o}", "name", "kind",
							"wireguard", "interface", h.links[i].name,
							"ours", 0, "device", device_json(&d)));
		} else {
			printf("\n-  wireguard  %s  %s\n", h.links[i].name,
			       watch_made_by_us(t->watch, h.links[i].name)
				       ? "left from an earlier configuration"
				       : "made by others");
			print_device(&d);
		}
		wg_free(&d);
	}
	host_free(&h);
}

/* What IPsec dropped in this namespace since boot; only where there is any. */
static void show_errors(const struct tunnels *t, bool json, char *ret, size_t size)
{
	bool ipsec = false;

	ret[0] = '\0';
	for (unsigned int i = 0; i < t->watch->n; i++)
		ipsec |= !t->watch->tunnel[i].conf->wireguard.given;
	if (ipsec && xfrm_stat(ret, size) > 0 && !json)
		printf("\nIPsec dropped since boot: %s\n", ret);
}

int tunnel_list(const struct options *o, int argc, char **argv)
{
	char errors[512] = "";
	static const char *const flags[] = {NULL};
	json_t *list = NULL;
	char *names[CONF_MAX_TUNNELS];
	unsigned int n = 0;
	struct tunnels t;
	const char *value;
	int at = 1, code, found;

	while ((found = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (found == -3)
			return EXIT_USAGE;
		if (n < CONF_MAX_TUNNELS)
			names[n++] = (char *)value;
	}
	code = tunnels_open(o, &t, EXIT_USAGE);
	if (code)
		return code;
	code = tunnels_choose(&t, names, n, EXIT_USAGE);
	if (!code)
		code = tunnels_begin(&t);
	if (!code) {
		list = o->json ? json_array() : NULL;
		for (unsigned int i = 0; i < t.watch->n; i++) {
			watch_look(t.watch, i, loop_now());
			if (t.chosen[i])
				show_ours(&t, i, list);
		}
		if (!n)
			show_others(&t, list);
		tunnels_end(&t, false);
		show_errors(&t, list != NULL, errors, sizeof(errors));
		if (list)
			print_json(json_pack("{s:i, s:o, s:s}", "schema", 1, "tunnels", list,
					     "xfrm_stat", errors));
	}
	tunnels_close(&t);
	return code;
}
