/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wireguard_text.c - a step in words
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

#include "userspace/base/text.h"
#include "wg/wireguard.h"

#define NAMED 4 /* networks; the others are counted */

struct to {
	char *text;
	size_t size, n;
};

static void say(struct to *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct to *t, const char *format, ...)
{
	va_list args;
	int n;

	if (t->n >= t->size)
		return;
	va_start(args, format);
	n = vsnprintf(t->text + t->n, t->size - t->n, format, args);
	va_end(args);
	if (n > 0)
		t->n += (size_t)n;
}

static void say_networks(struct to *t, const struct wg_step *s)
{
	char text[64];

	for (size_t i = 0; i < s->n_networks && i < NAMED; i++) {
		const struct wg_network *n = &s->networks[i];
		unsigned int bits = n->family == 4 ? 96u + n->prefix : n->prefix;

		say(t, "%s%s", i ? ", " : " ", text_network(n->ip, bits, text));
	}
	if (s->n_networks > NAMED)
		say(t, " and %s more", text_count(s->n_networks - NAMED, text));
}

static void say_endpoint(struct to *t, const struct wg_endpoint *e)
{
	char text[64];

	say(t, " endpoint %s", text_address(e->ip, htons(e->port), text));
}

static bool any(const uint8_t key[KEY_SIZE])
{
	uint8_t bits = 0;

	for (unsigned int i = 0; i < KEY_SIZE; i++)
		bits |= key[i];
	return bits;
}

static void say_new_peer(struct to *t, const struct wg_step *s)
{
	const struct wg_peer *p = s->peer;

	say(t, " new,");
	if (p->set & WG_PSK && any(p->psk))
		say(t, " with a preshared key,");
	if (p->set & WG_ENDPOINT && p->endpoint.family)
		say_endpoint(t, &p->endpoint), say(t, ",");
	if (p->set & WG_KEEPALIVE && p->keepalive)
		say(t, " keepalive %us,", p->keepalive);
	say(t, " allowed IPs");
	if (!s->n_networks)
		say(t, " none");
	say_networks(t, s);
}

static void say_keepalive(struct to *t, uint16_t seconds)
{
	if (seconds)
		say(t, " keepalive %us", seconds);
	else
		say(t, " keepalive off");
}

static void say_device(struct to *t, const struct wg_step *s)
{
	if (s->kind == WG_STEP_PRIVATE_KEY)
		say(t, "another private key");
	else if (s->kind == WG_STEP_PORT)
		say(t, "listen port %u", s->value);
	else if (s->value)
		say(t, "fwmark 0x%x", s->value);
	else
		say(t, "fwmark off");
}

const char *wg_step_text(const struct wg_step *s, char *ret, size_t size)
{
	struct to t = {.text = ret, .size = size};
	char key[KEY_TEXT];

	if (size)
		ret[0] = '\0';
	if (!s->peer) {
		say_device(&t, s);
		return ret;
	}
	say(&t, "peer %s:", key_text(s->peer->public_key, key));
	switch (s->kind) {
	case WG_STEP_ADD_PEER:
		say_new_peer(&t, s);
		break;
	case WG_STEP_PSK:
		say(&t, any(s->peer->psk) ? " another preshared key" : " no preshared key");
		break;
	case WG_STEP_ENDPOINT:
		say_endpoint(&t, &s->peer->endpoint);
		break;
	case WG_STEP_KEEPALIVE:
		say_keepalive(&t, s->peer->keepalive);
		break;
	case WG_STEP_ADD_ALLOWED:
		say(&t, " allowed IPs +");
		say_networks(&t, s);
		break;
	case WG_STEP_REMOVE_ALLOWED:
		say(&t, " allowed IPs -");
		say_networks(&t, s);
		break;
	default:
		say(&t, " removed");
		break;
	}
	return ret;
}
