/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnel_apply.c - from the configuration to the kernel and back: apply, restart, down
 *
 * First everything is read: keys, names, the kernel. Then the differences are made, all of them,
 * and printed. Only then is anything sent, and only what differs, so that what can be refused is
 * refused before anything changed. An interface that this run made is taken away again when the
 * rest of it fails.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/cmd/tunnel.h"
#include "wg/charon.h"
#include "wg/link.h"
#include "wg/xfrm.h"

#define SECOND	 1000000000ull
#define WAIT_IKE (30 * SECOND)

/* One tunnel on its way. */
struct change {
	const struct conf_tunnel *tunnel;
	unsigned int index;
	struct want want;
	struct wg_device have;
	struct link link;
	struct wg_delta peers;
	struct link_delta delta;
	size_t before; /* the device's own settings come after so many steps of the link */
	bool remove;   /* what is there goes first */
	bool made;     /* by this run */
	bool any;
};

static uint64_t real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void free_changes(struct change *c, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		wg_delta_free(&c[i].peers);
		link_delta_free(&c[i].delta);
		wg_free(&c[i].have);
		link_free(&c[i].link);
		want_free(&c[i].want);
	}
	free(c);
}

/* ---- what differs ---- */

static int read_device(struct change *c, const char *interface)
{
	int err;

	if (!c->tunnel->wireguard.given || c->link.kind != LINK_WIREGUARD)
		return 0;
	err = wg_read(interface, &c->have);
	if (err)
		say("%s: the kernel does not tell %s's peers: %s", c->tunnel->name, interface,
		    strerror(-err));
	return err;
}

static int differ(struct change *c)
{
	int err = 0;

	if (c->tunnel->wireguard.given)
		err = wg_diff(&c->want.device, &c->have, &c->peers);
	if (err) { /* the configuration was checked for that */
		say("%s: a peer or allowed IP is there twice: %s", c->tunnel->name, strerror(-err));
		return err;
	}
	err = link_diff(&c->want.link, &c->link, &c->delta);
	if (err == -EEXIST)
		say("%s: %s is there and is no tunnel of ours (%s): give the tunnel another "
		    "interface",
		    c->tunnel->name, c->want.link.name,
		    c->link.kind_name[0] ? c->link.kind_name : "a plain device");
	else if (err)
		say("%s: %s", c->tunnel->name, strerror(-err));
	while (c->before < c->delta.n && c->delta.steps[c->before].kind < LINK_STEP_UP)
		c->before++;
	c->any = c->delta.n || c->peers.n;
	return err;
}

/* As it will be when the interface was removed: rules do not go with it. */
static void forget_device(struct change *c)
{
	struct link rest = {.rules = c->link.rules, .n_rules = c->link.n_rules};

	c->link.rules = NULL;
	link_free(&c->link);
	c->link = rest;
	wg_free(&c->have);
	c->remove = true;
}

/* Another private key in a device that nobody knows to be ours: somebody's VPN would end. */
static int refuse_others(const struct tunnels *t, const struct change *c,
			 const struct apply_wish *wish)
{
	static const uint8_t none[KEY_SIZE];
	bool key = false;

	for (size_t i = 0; i < c->peers.n; i++)
		key |= c->peers.steps[i].kind == WG_STEP_PRIVATE_KEY;
	if (!key || wish->adopt || c->link.kind != LINK_WIREGUARD ||
	    !memcmp(c->have.public_key, none, KEY_SIZE) ||
	    watch_made_by_us(t->watch, c->want.link.name))
		return 0;
	say("refused: %s: %s is there with another key and %zu peers, and is not known to be ours: "
	    "all of that would be replaced; --adopt overrides",
	    c->tunnel->name, c->want.link.name, c->have.n_peers);
	return -EKEYREJECTED;
}

static int prepare(struct tunnels *t, struct change *c, const struct apply_wish *wish)
{
	struct group groups[CONF_MAX_TUNNELS];
	unsigned int active[CONF_MAX_TUNNELS];
	char interface[16], why[600];
	uint32_t if_id;
	int err;

	for (unsigned int g = 0; g < t->watch->n_groups; g++) {
		uint8_t now = t->watch->group[g].failover.active;

		groups[g] = t->watch->group[g].group;
		active[g] = now == FAILOVER_NONE ? 0 : now;
	}
	want_names(c->tunnel, interface, &if_id);
	err = link_read(interface, c->tunnel->table, &c->link);
	if (err) {
		say("%s: the kernel does not tell %s: %s", c->tunnel->name, interface,
		    strerror(-err));
		return err;
	}
	err = read_device(c, interface);
	if (err)
		return err;
	err = want_make(t->config, c->index, groups, t->watch->n_groups, active, &c->have,
			&t->hosts, &c->want, why, sizeof(why));
	if (err) {
		say("%s: %s", c->tunnel->name, why);
		return err;
	}
	if (why[0])
		say("%s: %s", c->tunnel->name, why);
	err = differ(c);
	if (!err)
		err = refuse_others(t, c, wish);
	if (err || !wish->anew || c->link.kind != LINK_WIREGUARD)
		return err;
	wg_delta_free(&c->peers);
	link_delta_free(&c->delta);
	c->before = 0;
	forget_device(c);
	return differ(c);
}

/* Every chosen tunnel, with *ret_n filled in any case; EXIT_OK, or EXIT_FAILED after saying why. */
static int prepare_all(struct tunnels *t, struct change *c, const struct apply_wish *wish,
		       unsigned int *ret_n)
{
	int err;

	*ret_n = 0;
	for (unsigned int i = 0; i < t->config->n_tunnels; i++) {
		if (!t->chosen[i])
			continue;
		c[*ret_n].tunnel = &t->config->tunnels[i];
		c[*ret_n].index = i;
		err = prepare(t, &c[(*ret_n)++], wish);
		if (err) {
			say("nothing was changed");
			return err == -EKEYREJECTED ? EXIT_REFUSED : EXIT_FAILED;
		}
	}
	return EXIT_OK;
}

/* ---- telling ---- */

static void print_change(const struct change *c, json_t *lines)
{
	char text[300], line[400];

	for (size_t i = 0; i < c->delta.n + c->peers.n; i++) {
		if (i >= c->before && i < c->before + c->peers.n)
			wg_step_text(&c->peers.steps[i - c->before], text, sizeof(text));
		else
			link_step_text(&c->delta,
				       &c->delta.steps[i < c->before ? i : i - c->peers.n], text,
				       sizeof(text));
		snprintf(line, sizeof(line), "%s: %s", c->tunnel->name, text);
		if (lines)
			json_array_append_new(lines, json_string(line));
		else
			puts(line);
	}
}

/* ---- doing ---- */

static int refused(const struct change *c, const char *what, int err, const char *why)
{
	say("%s: %s: %s%s%s", c->tunnel->name, what, strerror(-err), why[0] ? ": " : "", why);
	return err;
}

static int send_links(struct change *c, size_t first, size_t last)
{
	char why[200] = "", text[300];
	size_t failed = first;
	int err;

	if (first >= last)
		return 0;
	err = link_send(&c->delta, first, last, &failed, why, sizeof(why));
	if (!err)
		return 0;
	return refused(c, link_step_text(&c->delta, &c->delta.steps[failed], text, sizeof(text)),
		       err, why);
}

static int send_peers(struct change *c)
{
	char why[200] = "";
	int err = c->peers.n ? wg_send(&c->peers, why, sizeof(why)) : 0;

	return err ? refused(c, "its peers", err, why) : 0;
}

static bool makes(const struct change *c)
{
	for (size_t i = 0; i < c->delta.n; i++)
		if (c->delta.steps[i].kind == LINK_STEP_MAKE)
			return true;
	return false;
}

static void take_back(struct change *c)
{
	if (!c->made)
		return;
	if (c->tunnel->table)
		link_remove_rules(c->tunnel->table);
	link_remove(c->want.link.name);
	say("%s: %s, which this run had made, is taken away again", c->tunnel->name,
	    c->want.link.name);
}

static int send_change(struct change *c)
{
	int err = c->remove ? link_remove(c->want.link.name) : 0;

	if (err)
		return refused(c, "its interface cannot be removed", err, "");
	err = send_links(c, 0, c->before);
	c->made = makes(c) && if_nametoindex(c->want.link.name);
	if (!err)
		err = send_peers(c);
	if (!err && c->made)
		link_loose_rp_filter(c->want.link.name);
	if (!err)
		err = send_links(c, c->before, c->delta.n);
	if (err)
		take_back(c);
	return err;
}

/* ---- IPsec ---- */

static int apply_ike(struct tunnels *t, struct change *c, const struct apply_wish *wish,
		     json_t *lines)
{
	const struct conf_tunnel *conf = c->tunnel;
	const struct watch_tunnel *w = &t->watch->tunnel[c->index];
	struct charon *charon = NULL;
	char why[300] = "", text[400];
	struct charon_sa sa[4];
	int err = charon_open(conf->ike.vici, &charon, why, sizeof(why)), n;

	if (!err && !wish->dry_run && conf->ike.remote[0])
		err = charon_load(charon, conf, conf->name, w->if_id, why, sizeof(why));
	n = err >= 0 ? charon_list(charon, conf->name, sa, 4, why, sizeof(why)) : err;
	if (n >= 0 && !wish->dry_run && (!n || strcmp(sa[0].state, "ESTABLISHED") != 0)) {
		snprintf(text, sizeof(text), "%s: IKE: connect to %s", conf->name,
			 conf->ike.remote[0] ? conf->ike.remote : "its peer");
		if (lines)
			json_array_append_new(lines, json_string(text));
		else
			puts(text);
		c->any = true;
		n = charon_initiate(charon, conf->name, wish->wait_ns ? wish->wait_ns : WAIT_IKE,
				    why, sizeof(why));
	}
	charon_close(charon);
	if (n >= 0)
		return 0;
	say("%s: %s", conf->name, why[0] ? why : strerror(-n));
	return n;
}

static int apply_fixed(struct tunnels *t, struct change *c, const struct apply_wish *wish,
		       json_t *lines)
{
	struct watch_tunnel *w = &t->watch->tunnel[c->index];
	char why[300] = "", text[600];
	int err = fixed_step(c->tunnel, w->if_id, t->dir, real_ns() / SECOND, wish->dry_run, NULL,
			     &w->fixed, why, sizeof(why));

	if (err) {
		say("%s: %s", c->tunnel->name, why[0] ? why : strerror(-err));
		return err;
	}
	if (!w->fixed.changed)
		return 0;
	c->any = true;
	snprintf(text, sizeof(text), "%s: keys: %s", c->tunnel->name, w->fixed.done);
	if (lines)
		json_array_append_new(lines, json_string(text));
	else
		puts(text);
	return 0;
}

static int apply_ipsec(struct tunnels *t, struct change *c, const struct apply_wish *wish,
		       json_t *lines)
{
	if (c->tunnel->ike.given)
		return apply_ike(t, c, wish, lines);
	if (c->tunnel->fixed.given)
		return apply_fixed(t, c, wish, lines);
	return 0;
}

/* ---- is it applied? ---- */

/* The peers for which a handshake must show that the change is right. */
static bool must_shake(const struct change *c, const struct wg_peer *p)
{
	for (size_t i = 0; i < c->peers.n; i++) {
		const struct wg_step *s = &c->peers.steps[i];

		if (s->kind == WG_STEP_PRIVATE_KEY)
			return p->endpoint.family;
		if (s->peer && !memcmp(s->peer->public_key, p->public_key, KEY_SIZE) &&
		    (s->kind == WG_STEP_ADD_PEER || s->kind == WG_STEP_PSK ||
		     s->kind == WG_STEP_ENDPOINT))
			return p->endpoint.family;
	}
	return false;
}

static const struct wg_peer *peer_of(const struct wg_device *d, const struct wg_peer *p)
{
	for (size_t i = 0; i < d->n_peers; i++)
		if (!memcmp(d->peers[i].public_key, p->public_key, KEY_SIZE))
			return &d->peers[i];
	return NULL;
}

/* A packet for it makes it shake hands; which address of its is asked does not matter. */
static void poke(const struct change *c, const struct wg_peer *p)
{
	struct probe *probe = NULL;
	uint32_t to[4];

	if (!p->n_allowed)
		return;
	memcpy(to, p->allowed[0].ip, sizeof(to));
	if (p->allowed[0].prefix < (p->allowed[0].family == 4 ? 31 : 127))
		to[3] |= htonl(1);
	if (probe_open(c->want.link.name, to, &probe))
		return;
	probe_send(probe, loop_now());
	probe_close(probe);
}

/* How many peers have made no handshake since; those that have not are named at the end. */
static unsigned int still_silent(struct change *c, uint64_t since, bool ask, bool name_them)
{
	static const struct wg_peer fresh;
	struct wg_device now = {0};
	unsigned int silent = 0;
	char key[KEY_TEXT], why[200];

	if (wg_read(c->want.link.name, &now))
		return 0;
	for (size_t i = 0; i < now.n_peers; i++) {
		const struct wg_peer *p = &now.peers[i], *old = peer_of(&c->have, p);

		if (!must_shake(c, p) || p->handshake_ns >= since)
			continue;
		silent++;
		if (!name_them) {
			if (ask)
				poke(c, p);
			continue;
		}
		if (silent <= 8)
			say("%s: peer %s has made no handshake since the change: %s",
			    c->tunnel->name, key_text(p->public_key, key),
			    p->handshake_ns && old && p->rx > old->rx
				    ? "its session from before goes on and hides whether the new "
				      "settings are right until the next one, within 2 minutes"
				    : watch_silence(old ? old : &fresh, p, why, sizeof(why)));
	}
	if (name_them && silent > 8)
		say("%s: and %u more", c->tunnel->name, silent - 8);
	wg_free(&now);
	return silent;
}

static unsigned int wait_for(struct change *c, const struct apply_wish *wish, uint64_t since)
{
	const struct timespec nap = {.tv_nsec = 100000000};
	uint64_t until = loop_now() + wish->wait_ns;
	unsigned int silent, turn = 0;

	if (!c->tunnel->wireguard.given || !c->peers.n)
		return 0;
	silent = still_silent(c, since, true, false);
	while (silent && loop_now() < until) {
		nanosleep(&nap, NULL);
		/* as often as WireGuard itself tries */
		silent = still_silent(c, since, ++turn % 50 == 0, false);
	}
	if (silent)
		still_silent(c, since, false, true);
	return silent;
}

/* ---- the verb ---- */

static void warn_of_others(const struct change *c)
{
	char why[200];

	for (size_t i = 0; i < c->want.link.n_routes; i++)
		if (c->want.link.routes[i].metric == c->tunnel->metric &&
		    link_route_shadowed(&c->want.link.routes[i], if_nametoindex(c->want.link.name),
					why, sizeof(why)) > 0)
			say("%s: %s", c->tunnel->name, why);
}

/* How many were sent before one failed. */
static unsigned int send_all(struct change *c, unsigned int n, bool dry_run, json_t *lines)
{
	for (unsigned int i = 0; i < n; i++) {
		if (c[i].any)
			print_change(&c[i], lines);
		fflush(stdout);
		if (!dry_run && send_change(&c[i])) {
			/* what this run made is gone again, and what comes behind was not begun */
			for (unsigned int k = c[i].link.kind == LINK_NONE ? i : i + 1; k < n; k++)
				c[k].any = false;
			return i;
		}
	}
	return n;
}

/* Those of tunnels that the configuration has no more, or under another interface. */
static void warn_of_left(const struct watch *w)
{
	const char *name;
	unsigned int at = 0;

	while ((name = watch_left(w, &at)))
		say("%s is left from an earlier configuration, with its routes: tunnel down takes "
		    "it away with the others; alone: ip link del %s",
		    name, name);
}

static void first_is_active(struct watch *w)
{
	for (unsigned int g = 0; g < w->n_groups; g++)
		if (w->group[g].failover.active == FAILOVER_NONE)
			w->group[g].failover.active = 0;
}

/* The lock ends with what is sent: while a peer or charon is waited for, others may switch. */
static int carry_out(struct tunnels *t, struct change *c, unsigned int n,
		     const struct apply_wish *wish, json_t *lines)
{
	uint64_t since = real_ns();
	unsigned int silent = 0, wrong = 0, sent = send_all(c, n, wish->dry_run, lines);

	for (unsigned int i = 0; i < sent && !wish->dry_run; i++)
		watch_note_made(t->watch, c[i].want.link.name, true);
	if (!wish->dry_run)
		first_is_active(t->watch);
	warn_of_left(t->watch);
	tunnels_end(t, !wish->dry_run);
	for (unsigned int i = 0; i < sent; i++)
		wrong += apply_ipsec(t, &c[i], wish, lines) != 0;
	fflush(stdout);
	if (!wish->dry_run)
		tunnels_follow(NULL);
	if (sent < n)
		return EXIT_FAILED;
	for (unsigned int i = 0; !wish->dry_run && i < n; i++) {
		silent += wait_for(&c[i], wish, since);
		warn_of_others(&c[i]);
	}
	return wrong ? EXIT_FAILED : silent ? EXIT_TIMEOUT : EXIT_OK;
}

int tunnels_apply(struct tunnels *t, const struct apply_wish *wish, json_t *lines, bool *ret_any)
{
	struct change *c = calloc(CONF_MAX_TUNNELS, sizeof(*c));
	unsigned int n = 0;
	int code = c ? prepare_all(t, c, wish, &n) : EXIT_FAILED;

	if (code) {
		tunnels_end(t, false);
		for (unsigned int i = 0; i < n; i++)
			c[i].any = false;
	} else {
		code = carry_out(t, c, n, wish, lines);
	}
	*ret_any = false;
	for (unsigned int i = 0; i < n; i++)
		*ret_any |= c[i].any;
	free_changes(c, n);
	return code;
}

int tunnels_resolve(struct tunnels *t)
{
	want_hosts_free(&t->hosts);
	if (!want_hosts_find(t->config, t->chosen, &t->hosts))
		return EXIT_OK;
	say("tunnels: %s", strerror(ENOMEM));
	return EXIT_FAILED;
}

int tunnels_can_apply(struct tunnels *t)
{
	const struct apply_wish wish = {.anew = true};
	struct change *c = calloc(CONF_MAX_TUNNELS, sizeof(*c));
	unsigned int n = 0;
	int code = c ? prepare_all(t, c, &wish, &n) : EXIT_FAILED;

	free_changes(c, n);
	return code;
}

static int begin_and_apply(struct tunnels *t, const struct options *o,
			   const struct apply_wish *wish)
{
	json_t *lines;
	char said[1024];
	bool any = false;
	int code = tunnels_resolve(t);

	if (!code)
		code = tunnels_begin(t);
	if (code)
		return code;
	lines = o->json ? json_array() : NULL;
	code = tunnels_apply(t, wish, lines, &any);
	if (lines)
		print_json(json_pack("{s:i, s:b, s:b, s:o, s:s?, s:i}", "schema", 1, "dry_run",
				     wish->dry_run, "changed", any && !wish->dry_run, "steps",
				     lines, "error", code ? json_said(said, sizeof(said)) : NULL,
				     "code", code));
	else if (!any && !code)
		printf("nothing to do: the tunnels are as %s says\n", o->config);
	else if (wish->dry_run)
		printf("nothing was sent: --dry-run\n");
	return code;
}

int tunnels_wait_option(const char *value, uint64_t *ret)
{
	if (text_parse_duration(value, ret) || *ret > 600 * SECOND)
		return usage_error("--wait=%s: must be a duration such as 10s, at most 10m", value);
	return EXIT_OK;
}

int tunnel_apply(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--dry-run", "--wait=", "--adopt", NULL};
	struct apply_wish wish = {.wait_ns = 10 * SECOND};
	char *names[CONF_MAX_TUNNELS];
	unsigned int n = 0;
	struct tunnels t;
	const char *value;
	int at = 1, code = EXIT_OK, found;

	while ((found = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (found == -3)
			return EXIT_USAGE;
		if (found == 0)
			wish.dry_run = true;
		else if (found == 1)
			code = tunnels_wait_option(value, &wish.wait_ns);
		else if (found == 2)
			wish.adopt = true;
		else if (n < CONF_MAX_TUNNELS)
			names[n++] = (char *)value;
		if (code)
			return code;
	}
	code = tunnels_open(o, &t, EXIT_USAGE);
	if (code)
		return code;
	code = tunnels_choose(&t, names, n, EXIT_USAGE);
	if (!code)
		code = begin_and_apply(&t, o, &wish);
	tunnels_close(&t);
	return code;
}
