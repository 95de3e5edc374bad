/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The judge without a probe against a model of WireGuard's timers: sessions of 180 s, a new
 * handshake from 120 s on when something is sent, a try every 5 s for 90 s, an empty keepalive 10 s
 * after data that was not answered by other data, a new try after 15 s without any answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wg/health.h"

#define S 1000000000ull

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

struct model {
	uint64_t t; /* seconds */
	bool alive, we_send, peer_sends, keepalive;
	uint64_t changed_at; /* of alive */
	uint64_t sending_since;
	uint64_t session; /* its start; 0: none */
	uint64_t stamp, rx, tx;
	uint64_t tries_until, next_try;
	uint64_t unanswered;	    /* what we sent, since */
	uint64_t we_owe, peer_owes; /* an empty keepalive, at that time */
	bool in_vain;		    /* sent to the dead, and nothing came since */
};

static void handshake(struct model *m, bool ours)
{
	m->session = m->t;
	m->stamp += 1 + rnd(1000);
	m->tx += ours ? 148 + 32 : 92;
	m->rx += ours ? 92 : 148 + 32;
	m->tries_until = m->unanswered = 0;
	m->in_vain = false;
}

static bool valid(const struct model *m)
{
	return m->session && m->t - m->session < 180;
}

static void try(struct model *m)
{
	if (m->alive) {
		handshake(m, true);
	} else if (m->t >= m->next_try) {
		m->tx += 148;
		m->in_vain = true;
		m->next_try = m->t + 5;
	}
}

/* We send `size` bytes, or want to. */
static void send_ours(struct model *m, uint64_t size)
{
	if (!valid(m) || m->t - m->session >= 120) {
		m->tries_until = m->t + 90;
		try(m);
	}
	if (!valid(m))
		return;
	m->tx += size;
	m->we_owe = 0;
	if (size == 32)
		return;
	if (!m->alive)
		m->in_vain = true;
	if (!m->unanswered)
		m->unanswered = m->t;
	if (m->alive && !m->peer_owes)
		m->peer_owes = m->t + 10;
}

static void second(struct model *m)
{
	m->t++;
	if (m->we_send)
		send_ours(m, 500);
	else if (m->keepalive && m->t % 25 == 0)
		send_ours(m, 32);
	if (m->alive && m->peer_sends) {
		if (!valid(m) || m->t - m->session >= 125)
			handshake(m, false);
		m->rx += 500;
		m->unanswered = m->peer_owes = 0;
		m->in_vain = false;
		if (!m->we_owe)
			m->we_owe = m->t + 10;
	}
	if (m->peer_owes && m->t >= m->peer_owes && valid(m)) {
		m->rx += m->alive ? 32 : 0;
		m->in_vain = m->in_vain && !m->alive;
		m->unanswered = m->alive ? 0 : m->unanswered;
		m->peer_owes = 0;
	}
	if (m->we_owe && m->t >= m->we_owe) {
		m->tx += valid(m) ? 32 : 0;
		m->we_owe = 0;
	}
	if (m->unanswered && m->t - m->unanswered >= 15) {
		m->tries_until = m->t + 90;
		m->unanswered = 0;
	}
	if (m->tries_until >= m->t)
		try(m);
}

static void turn(struct model *m)
{
	bool sent = m->we_send;

	if (!rnd(3)) {
		m->alive = !m->alive;
		m->changed_at = m->t;
		if (!m->alive)
			m->peer_owes = 0;
	}
	m->we_send = rnd(2);
	m->peer_sends = rnd(2);
	if (!sent || !m->we_send)
		m->sending_since = m->t;
}

/* Counted, so that a test that looks at nothing cannot pass. */
static unsigned int downs, ups, idles;

static void check(const struct model *m, const struct health *h, enum health_state before,
		  uint64_t every)
{
	uint64_t of_this = m->t - m->changed_at;
	uint64_t sending = m->we_send ? m->t - m->sending_since : 0;

	if (h->state == HEALTH_DOWN && before != HEALTH_DOWN) {
		downs++;
		if (m->alive && !m->in_vain && of_this > 30 + 2 * every)
			fail_msg("false alarm at %llu, alive for %llu s: %s",
				 (unsigned long long)m->t, (unsigned long long)of_this, h->reason);
		if (!m->keepalive && !m->alive && !m->in_vain && of_this > 30 + 2 * every)
			fail_msg("alarm in silence: %s", h->reason);
	}
	ups += h->state == HEALTH_UP;
	idles += h->state == HEALTH_IDLE;
	/* an alarm is due: 195 s, 15 s of waiting, a try, and looks */
	if (!m->alive && of_this > 195 + 20 + 3 * every && sending > 195 + 20 + 3 * every &&
	    h->state != HEALTH_DOWN)
		fail_msg("dead for %llu s, not found: %s", (unsigned long long)of_this, h->reason);
	if (!m->alive && m->keepalive && of_this > 195 + 3 * every && h->state != HEALTH_DOWN)
		fail_msg("keepalive, dead for %llu s, not found: %s", (unsigned long long)of_this,
			 h->reason);
	if (m->alive && of_this > 30 + 2 * every && sending > 30 + 2 * every &&
	    h->state != HEALTH_UP)
		fail_msg("alive and in use, but %s: %s", health_state_name(h->state), h->reason);
}

static void a_peer_is_judged_by_its_handshakes(void **state)
{
	static const uint64_t looks[] = {1, 2, 10, 60};

	(void)state;
	for (uint64_t run = 1; run <= 1500; run++) {
		struct health_rules r = {.rise = 2, .fall = 3};
		struct model m = {.t = 1000, .alive = true};
		uint64_t every, until = 0;
		struct health h;

		seed = run;
		every = looks[rnd(4)];
		m.keepalive = rnd(2);
		m.alive = rnd(2);
		m.sending_since = m.changed_at = m.t;
		health_init(&h, &r, m.t * S);
		for (int i = 0; i < 4000; i++) {
			enum health_state before = h.state;
			struct health_look l;

			if (m.t >= until) {
				turn(&m);
				until = m.t + 1 + rnd(rnd(2) ? 60 : 900);
			}
			second(&m);
			if (m.t % every)
				continue;
			l = (struct health_look){.exists = true,
						 .admin_up = true,
						 .handshake_known = true,
						 .handshake_stamp = m.stamp,
						 .handshake_age =
							 m.session ? (m.t - m.session) * S : 0,
						 .rx = m.rx,
						 .tx = m.tx,
						 .expects_traffic = m.keepalive};
			health_judge(&h, &r, &l, NULL, m.t * S);
			check(&m, &h, before, every);
		}
	}
	print_message("%u times down, up at %u looks, idle at %u\n", downs, ups, idles);
	assert_true(downs > 1000 && ups > 100000 && idles > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_is_judged_by_its_handshakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
