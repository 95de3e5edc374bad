/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * charon_load.c - a tunnel of the configuration as a connection of charon's
 *
 * What is loaded, and why so:
 * - IKEv2 only; one child under the same name, tunnel mode, selectors 0.0.0.0/0 and ::/0 on both
 *   sides: what goes through is for routes to the xfrm interface to say. The if_id ties policies to
 *   that interface; without one they would take all of the host's packets, so 0 is refused. A peer
 *   that has one family only narrows the selectors (RFC 7296, 2.9).
 * - start_action and close_action are `trap`, dpd_action is `restart`: whoever ended the SA, the
 *   next packet, a probe at the latest, brings it back. `start` instead would, on each change of
 *   the connection, end the SA at once, and as close_action it makes two ends that replace each
 *   other's SAs go round in circles (swanctl.conf(5) warns of it). keyingtries=0: an initiator
 *   retries for ever.
 * - unique=no: two tunnels between the same two identities must not replace each other. The SA of a
 *   peer that lost its state goes by dead peer detection.
 * - mobike=no: both ends stay where they are, and without it IKE stays on port 500 when there is no
 *   NAT. A host that moves should load its own connection and say `ike: {}`.
 * - The peer must prove to be remote_id, or the address or name in `remote`; never just anybody
 *   whose certificate is good.
 * - `ike_lifetime` and `lifetime` are when an SA is gone for good. It is rekeyed in the last fifth
 *   of it: charon takes a random time between 80 and 90 %.
 *
 * Loading is idempotent because charon compares: a connection that equals the one it has leaves the
 * SAs and the trap alone, and so does one that differs; what is new holds from the next rekeying or
 * initiation on. list-conns does not show enough to say that nothing changed, so everything is sent
 * each time, secrets first, since a trap may fire at once.
 *
 * Secrets: read from files that only root can read, wiped on every way out, never part of a message
 * for people; charon's errors do not quote them.
 *
 * Weaknesses: a preshared key is found by the two identities, so two tunnels between the same two
 * share the one loaded last. A private key cannot be unloaded without its id, which only charon
 * knows; it stays until charon ends. charon needs install_routes=no only where other connections
 * have no if_id: for those with one it installs no routes (kernel_netlink_ipsec.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/file.h"
#include "userspace/base/text.h"
#include "userspace/conf/config.h"
#include "wg/charon_inner.h"

#define SECOND 1000

/* ---- files ---- */

void charon_wipe(struct charon_bytes *b)
{
	if (b->data)
		explicit_bzero(b->data, b->size);
	free(b->data);
	*b = (struct charon_bytes){0};
}

static int read_all(int fd, struct charon_bytes *b)
{
	size_t have = 0;

	b->size = VICI_VALUE + 1; /* the whole buffer, until it is known: charon_wipe goes by it */
	b->data = malloc(b->size);
	if (!b->data)
		return -ENOMEM;
	memset(b->data, 0, b->size);
	while (have < b->size) {
		ssize_t n = read(fd, b->data + have, b->size - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += (size_t)n;
	}
	if (have > VICI_VALUE)
		return -EFBIG;
	b->size = have;
	return have ? 0 : -ENODATA;
}

static int read_file(const char *path, bool secret, struct charon_bytes *ret, char *why,
		     size_t size)
{
	struct charon_bytes b = {0};
	int fd, err;

	why[0] = '\0';
	fd = secret ? file_open_secret(path, why, size) : file_open_safe(path, why, size);
	if (fd < 0) {
		if (!why[0])
			snprintf(why, size, "%s: %s", path, strerror(-fd));
		return fd;
	}
	err = read_all(fd, &b);
	close(fd);
	if (!err) {
		*ret = b;
		return 0;
	}
	charon_wipe(&b);
	snprintf(why, size, "%s: %s", path, err == -ENODATA ? "is empty" : strerror(-err));
	return err;
}

static int hex_digit(unsigned int c)
{
	return c >= '0' && c <= '9'		    ? (int)c - '0'
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (int)(c | 32) - 'a' + 10
						    : -1;
}

static int base64_digit(unsigned int c)
{
	return c >= 'A' && c <= 'Z'   ? (int)c - 'A'
	       : c >= 'a' && c <= 'z' ? (int)c - 'a' + 26
	       : c >= '0' && c <= '9' ? (int)c - '0' + 52
	       : c == '+'	      ? 62
	       : c == '/'	      ? 63
				      : -1;
}

/* Digits of `bits` each, from `from` on, become bytes at the front; what does not fill one must be
 * 0. */
static int decode(struct charon_bytes *b, size_t from, unsigned int bits,
		  int (*digit)(unsigned int))
{
	unsigned int held = 0, value = 0;
	size_t n = 0;

	for (size_t i = from; i < b->size; i++) {
		int d = digit(b->data[i]);

		if (d < 0)
			return -EINVAL;
		value = (value << bits | (unsigned int)d) & 0xffff;
		held += bits;
		if (held >= 8) {
			held -= 8;
			b->data[n++] = (uint8_t)(value >> held);
		}
	}
	if (held >= bits || value & ((1u << held) - 1))
		return -EINVAL;
	explicit_bzero(b->data + n, b->size - n);
	b->size = n;
	return n ? 0 : -EINVAL;
}

int charon_decode_psk(struct charon_bytes *b)
{
	if (b->size && b->data[b->size - 1] == '\n')
		b->size--;
	if (b->size && b->data[b->size - 1] == '\r')
		b->size--;
	for (size_t i = 0; i < b->size; i++)
		if (!b->data[i] || b->data[i] == '\n')
			return -EINVAL;
	if (b->size >= 2 && !memcmp(b->data, "0x", 2)) {
		/* swanctl takes an odd number of digits for one with a 0 in front; a slip, here */
		return decode(b, 2, 4, hex_digit);
	}
	if (b->size >= 2 && !memcmp(b->data, "0s", 2)) {
		for (int i = 0; i < 2 && b->data[b->size - 1] == '='; i++)
			b->size--;
		return decode(b, 2, 6, base64_digit);
	}
	return b->size ? 0 : -EINVAL;
}

/* ---- the connection ---- */

static const char *address(const struct conf_address *a, char ret[64])
{
	return text_address(a->ip, 0, ret);
}

/* Who we are: "" is for charon to say. */
static const char *local_id(const struct conf_tunnel *t, char ret[64])
{
	if (t->ike.local_id[0])
		return t->ike.local_id;
	return t->ike.local.family && !t->ike.certificate_file[0] ? address(&t->ike.local, ret)
								  : "";
}

static const char *remote_id(const struct conf_tunnel *t)
{
	return t->ike.remote_id[0] ? t->ike.remote_id : t->ike.remote;
}

/* When to begin with rekeying what lives so long; charon goes up to a ninth of it earlier. */
static uint64_t rekey_s(uint64_t life_ms)
{
	return life_ms / SECOND - life_ms / SECOND / 10;
}

static uint64_t dpd_s(const struct conf_tunnel *t)
{
	return (t->ike.dpd_ms + SECOND - 1) / SECOND;
}

static void build_side(struct vici_message *m, const char *side, bool certificate, const char *id,
		       const char *list, const struct charon_bytes *bytes)
{
	vici_section(m, side);
	vici_text(m, "auth", "%s", certificate ? "pubkey" : "psk");
	if (id[0])
		vici_text(m, "id", "%s", id);
	if (bytes->size) {
		vici_list(m, list);
		vici_item_bytes(m, bytes->data, bytes->size);
		vici_list_end(m);
	}
	vici_section_end(m);
}

static void build_list(struct vici_message *m, const char *name, const char *one, const char *two)
{
	vici_list(m, name);
	vici_item(m, one);
	if (two)
		vici_item(m, two);
	vici_list_end(m);
}

static void build_proposals(struct vici_message *m, const char *name,
			    const struct conf_proposal *proposals, unsigned int n)
{
	if (!n)
		return;
	vici_list(m, name);
	for (unsigned int i = 0; i < n; i++)
		vici_item(m, proposals[i].text);
	vici_list_end(m);
}

static void build_child(struct vici_message *m, const struct conf_tunnel *t, const char *name,
			uint32_t if_id)
{
	vici_section(m, "children");
	vici_section(m, name);
	build_list(m, "local_ts", "0.0.0.0/0", "::/0");
	build_list(m, "remote_ts", "0.0.0.0/0", "::/0");
	build_proposals(m, "esp_proposals", t->ike.esp_proposals, t->ike.n_esp_proposals);
	vici_text(m, "mode", "tunnel");
	vici_text(m, "policies", "yes");
	vici_text(m, "if_id_in", "%u", if_id);
	vici_text(m, "if_id_out", "%u", if_id);
	vici_text(m, "start_action", "trap");
	vici_text(m, "close_action", "trap");
	vici_text(m, "dpd_action", "restart");
	if (t->ike.lifetime_ms) {
		vici_text(m, "rekey_time", "%llu", (unsigned long long)rekey_s(t->ike.lifetime_ms));
		vici_text(m, "life_time", "%llu",
			  (unsigned long long)(t->ike.lifetime_ms / SECOND));
	}
	vici_section_end(m);
	vici_section_end(m);
}

void charon_build_conn(struct vici_message *m, const struct conf_tunnel *t, const char *name,
		       uint32_t if_id, const struct charon_bytes *certificate,
		       const struct charon_bytes *ca)
{
	bool by_certificate = certificate->size;
	char text[64];

	vici_begin(m, VICI_CMD_REQUEST, "load-conn");
	vici_section(m, name);
	vici_text(m, "version", "2");
	if (t->ike.local.family)
		build_list(m, "local_addrs", address(&t->ike.local, text), NULL);
	build_list(m, "remote_addrs", t->ike.remote, NULL);
	build_proposals(m, "proposals", t->ike.proposals, t->ike.n_proposals);
	vici_text(m, "mobike", "no");
	vici_text(m, "unique", "no");
	vici_text(m, "keyingtries", "0");
	vici_text(m, "if_id_in", "%u", if_id);
	vici_text(m, "if_id_out", "%u", if_id);
	if (t->ike.dpd_ms)
		vici_text(m, "dpd_delay", "%llu", (unsigned long long)dpd_s(t));
	if (t->ike.ike_lifetime_ms) {
		uint64_t life = t->ike.ike_lifetime_ms / SECOND, rekey = rekey_s(life * SECOND);

		vici_text(m, "rekey_time", "%llu", (unsigned long long)rekey);
		vici_text(m, "over_time", "%llu", (unsigned long long)(life - rekey));
	}
	build_side(m, "local", by_certificate, local_id(t, text), "certs", certificate);
	build_side(m, "remote", by_certificate, remote_id(t), "cacerts", ca);
	build_child(m, t, name, if_id);
	vici_section_end(m);
}

bool charon_same_conn(const struct charon_conn *have, const struct conf_tunnel *t, const char *name)
{
	const char *class = t->ike.certificate_file[0] ? "public key" : "pre-shared key";
	char local[64] = "%any";

	if (t->ike.local.family)
		address(&t->ike.local, local);
	return have->found && !strcmp(have->version, "IKEv2") && !strcmp(have->local, local) &&
	       !strcmp(have->remote, t->ike.remote) && !strcmp(have->local_class, class) &&
	       !strcmp(have->remote_class, class) && !strcmp(have->remote_id, remote_id(t)) &&
	       have->dpd_s == dpd_s(t) && !strcmp(have->child, name) &&
	       (!t->ike.ike_lifetime_ms || have->rekey_s == rekey_s(t->ike.ike_lifetime_ms)) &&
	       (!t->ike.lifetime_ms || have->child_rekey_s == rekey_s(t->ike.lifetime_ms));
}

/* ---- loading ---- */

struct look {
	const char *name;
	struct charon_conn conn;
};

static int on_conn(void *arg, struct vici_reader *r)
{
	struct look *l = arg;

	return charon_parse_conn(r, l->name, &l->conn);
}

static int look_at(struct charon *c, struct look *l, char *why, size_t size)
{
	struct charon_answer a;
	struct vici_message m;
	const struct charon_ask ask = {.m = &m,
				       .events = "list-conn",
				       .on_event = on_conn,
				       .arg = l,
				       .limit_ns = CHARON_ANSWER_NS};
	int err;

	vici_begin(&m, VICI_CMD_REQUEST, "list-conns");
	vici_text(&m, "ike", "%s", l->name);
	err = charon_ask(c, &ask, &a, why, size);
	vici_free(&m);
	return err;
}

static int load_psk(struct charon *c, const struct conf_tunnel *t, const char *name, char *why,
		    size_t size)
{
	struct charon_bytes psk = {0};
	struct vici_message m;
	char text[64];
	int err = read_file(t->ike.psk_file, true, &psk, why, size);

	if (err)
		return err;
	err = charon_decode_psk(&psk);
	if (err) {
		charon_wipe(&psk);
		snprintf(why, size,
			 "%s: must hold one line: the key, or 0x and hex, or 0s and base64",
			 t->ike.psk_file);
		return err;
	}
	vici_begin(&m, VICI_CMD_REQUEST, "load-shared");
	vici_text(&m, "id", "shift-%s", name);
	vici_text(&m, "type", "IKE");
	vici_value(&m, "data", psk.data, psk.size);
	charon_wipe(&psk);
	vici_list(&m, "owners");
	if (local_id(t, text)[0])
		vici_item(&m, local_id(t, text));
	vici_item(&m, remote_id(t));
	vici_list_end(&m);
	err = charon_tell(c, &m, why, size);
	vici_free(&m);
	return err;
}

static int load_private_key(struct charon *c, const char *path, char *why, size_t size)
{
	struct charon_bytes key = {0};
	struct vici_message m;
	int err = read_file(path, true, &key, why, size);

	if (err)
		return err;
	vici_begin(&m, VICI_CMD_REQUEST, "load-key");
	vici_text(&m, "type", "any");
	vici_value(&m, "data", key.data, key.size);
	charon_wipe(&key);
	err = charon_tell(c, &m, why, size);
	vici_free(&m);
	return err;
}

static int load_conn(struct charon *c, const struct conf_tunnel *t, const char *name,
		     uint32_t if_id, char *why, size_t size)
{
	struct charon_bytes certificate = {0}, ca = {0};
	struct vici_message m = {0};
	int err = 0;

	if (t->ike.certificate_file[0])
		err = read_file(t->ike.certificate_file, false, &certificate, why, size);
	if (!err && t->ike.ca_file[0])
		err = read_file(t->ike.ca_file, false, &ca, why, size);
	if (!err) {
		charon_build_conn(&m, t, name, if_id, &certificate, &ca);
		err = charon_tell(c, &m, why, size);
	}
	vici_free(&m);
	charon_wipe(&certificate);
	charon_wipe(&ca);
	return err;
}

static int refuse(const char *what, char *why, size_t size)
{
	snprintf(why, size, "cannot be loaded: %s", what);
	return -EINVAL;
}

int charon_load(struct charon *c, const struct conf_tunnel *t, const char *name, uint32_t if_id,
		char *why, size_t size)
{
	struct look l = {.name = name};
	bool by_certificate = t->ike.certificate_file[0];
	int err;

	if (!t->ike.remote[0])
		return refuse("it has no ike.remote; such a connection is charon's own", why, size);
	if (!if_id)
		return refuse("without an if_id it would take all of the host's packets", why,
			      size);
	if (!by_certificate && !t->ike.psk_file[0])
		return refuse("it has neither psk_file nor certificate_file", why, size);
	err = look_at(c, &l, why, size);
	if (err)
		return err;
	if (by_certificate)
		err = load_private_key(c, t->ike.private_key_file, why, size);
	else
		err = load_psk(c, t, name, why, size);
	if (!err)
		err = load_conn(c, t, name, if_id, why, size);
	return err ? err : !charon_same_conn(&l.conn, t, name);
}

int charon_unload(struct charon *c, const char *name, char *why, size_t size)
{
	struct vici_message m;
	char unused[64];
	int err;

	vici_begin(&m, VICI_CMD_REQUEST, "unload-conn");
	vici_text(&m, "name", "%s", name);
	err = charon_tell(c, &m, why, size);
	vici_free(&m);
	if (err && err != -EREMOTEIO)
		return err;
	/* There is none when it was by certificate, and that is no matter. */
	vici_begin(&m, VICI_CMD_REQUEST, "unload-shared");
	vici_text(&m, "id", "shift-%s", name);
	charon_tell(c, &m, unused, sizeof(unused));
	vici_free(&m);
	return err;
}
