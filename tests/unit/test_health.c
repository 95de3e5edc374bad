/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tunnel's life as words, one after the other:
 *
 *   a l        a second later a probe was answered, or lost; then judged
 *   j          a second later: judged           w:N     N seconds go by
 *   rx:N tx:N  so many bytes more               rx=N tx=N   the counter is N
 *   hs         another handshake                hs0     none any more      age:N   N s by the clock
 *   gone back  the interface                    set0 set1   down, up       sa0 sa1 IPsec
 *   ka         keepalive is on                  rtt:N   median in 0.1 ms   mtu:N   passes
 *   loss:L/N   of the window, in place of what the probes give
 *   t=N        the clock, in seconds
 *   up idle degraded down unknown               what it must be now
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wg/health.h"
#include "wg/machine_json.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define MS	 1000000ull
#define S	 1000000000ull
#define WINDOW	 64

enum kind { PROBED, PLAIN, IPSEC, IPSEC_PROBED, BARE };

struct life {
	struct health h;
	struct health_rules r;
	struct health_look l;
	uint8_t window[WINDOW];
	unsigned int ended;
	uint64_t loss_lost, loss_sent; /* sent 0: by the window */
	uint64_t rtt, now;
	uint32_t mtu;
};

static void begin(struct life *x, enum kind kind)
{
	memset(x, 0, sizeof(*x));
	x->r = (struct health_rules){.interval_ns = S,
				     .max_rtt_ns = 50 * MS,
				     .max_loss = 200,
				     .rise = 2,
				     .fall = 3,
				     .probed = kind == PROBED || kind == IPSEC_PROBED};
	x->l.exists = x->l.admin_up = true;
	x->l.handshake_known = kind == PROBED || kind == PLAIN;
	x->l.established_known = kind == IPSEC || kind == IPSEC_PROBED;
	x->l.established = x->l.established_known;
	x->rtt = 12100000;
	x->now = 10000 * S;
	health_init(&x->h, &x->r, x->now);
	assert_int_equal(x->h.since, x->now);
}

static void judge(struct life *x)
{
	struct health_probes p = {.mtu_set = 1420, .mtu_found = x->mtu};
	enum health_state before = x->h.state;
	bool changed;

	for (unsigned int i = 0; i < WINDOW && i < x->ended; i++) {
		p.sent++;
		p.lost += !x->window[i];
	}
	if (x->loss_sent) {
		p.sent = x->loss_sent;
		p.lost = x->loss_lost;
	}
	if (p.sent)
		p.loss = (uint16_t)(p.lost * 10000 / p.sent);
	if (p.sent > p.lost)
		p.rtt_ns = x->rtt;
	changed = health_judge(&x->h, &x->r, &x->l, x->r.probed ? &p : NULL, x->now);
	assert_int_equal(changed, before != x->h.state);
	if (changed)
		assert_int_equal(x->h.since, x->now);
	assert_true(x->h.since <= x->now && x->h.answered_at <= x->now && x->h.rx_at <= x->now);
	assert_true(x->h.handshake_seen <= x->now && x->h.waiting_since <= x->now);
	assert_true(x->h.looked_at <= x->now);
	assert_true(x->h.reason[0]);
	assert_true(strlen(x->h.reason) < sizeof(x->h.reason) - 1);
}

static void probe(struct life *x, bool answered)
{
	x->now += S;
	x->window[x->ended++ % WINDOW] = answered;
	health_probe(&x->h, &x->r, answered, x->now);
	judge(x);
}

/* The disk in between must not be noticed. */
static void through_json(struct life *x)
{
	json_t *j = health_to_json(&x->h);
	char *text = json_dumps(j, 0);
	json_t *k = json_loads(text, 0, NULL);
	struct health h;

	assert_int_equal(health_from_json(k, &h), 0);
	assert_int_equal(h.state, x->h.state);
	assert_string_equal(h.reason, x->h.reason);
	x->h = h;
	json_decref(j);
	json_decref(k);
	free(text);
}

static void flag(struct life *x, const char *word, const char *row)
{
	if (!strcmp(word, "gone") || !strcmp(word, "back"))
		x->l.exists = word[0] == 'b';
	else if (!strcmp(word, "set0") || !strcmp(word, "set1"))
		x->l.admin_up = word[3] == '1';
	else if (!strcmp(word, "sa0") || !strcmp(word, "sa1"))
		x->l.established = word[2] == '1';
	else if (!strcmp(word, "hs"))
		x->l.handshake_stamp += 17;
	else if (!strcmp(word, "hs0"))
		x->l.handshake_stamp = 0;
	else if (!strcmp(word, "ka"))
		x->l.expects_traffic = true;
	else if (health_state_parse(word) < 0)
		fail_msg("%s: what is %s?", row, word);
	else if (health_state_parse(word) != (int)x->h.state)
		fail_msg("%s: is %s, not %s: %s", row, health_state_name(x->h.state), word,
			 x->h.reason);
}

static void word_of(struct life *x, const char *word, const char *row)
{
	unsigned long long n = 0, m = 0;

	if (!strcmp(word, "a") || !strcmp(word, "l")) {
		probe(x, word[0] == 'a');
	} else if (!strcmp(word, "j")) {
		x->now += S;
		judge(x);
	} else if (sscanf(word, "w:%llu", &n) == 1) {
		x->now += n * S;
	} else if (sscanf(word, "t=%llu", &n) == 1) {
		x->now = n * S;
	} else if (sscanf(word, "rx:%llu", &n) == 1) {
		x->l.rx += n;
	} else if (sscanf(word, "tx:%llu", &n) == 1) {
		x->l.tx += n;
	} else if (sscanf(word, "rx=%llu", &n) == 1) {
		x->l.rx = n;
	} else if (sscanf(word, "tx=%llu", &n) == 1) {
		x->l.tx = n;
	} else if (sscanf(word, "age:%llu", &n) == 1) {
		x->l.handshake_age = n * S;
	} else if (sscanf(word, "rtt:%llu", &n) == 1) {
		x->rtt = n * MS / 10;
	} else if (sscanf(word, "mtu:%llu", &n) == 1) {
		x->mtu = (uint32_t)n;
	} else if (sscanf(word, "loss:%llu/%llu", &m, &n) == 2) {
		x->loss_lost = m;
		x->loss_sent = n;
	} else {
		flag(x, word, row);
	}
}

static void live(struct life *x, const char *words, const char *row, bool disk)
{
	char copy[512], *save = NULL;

	assert_true(strlen(words) < sizeof(copy));
	strcpy(copy, words);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		word_of(x, w, row);
		if (disk)
			through_json(x);
	}
}

/* Ten answers. */
#define A10 "a a a a a a a a a a "
#define A64 A10 A10 A10 A10 A10 A10 "a a a a "

static const struct row {
	const char *name;
	enum kind kind;
	const char *words;
	const char *reason; /* in what it says at the end */
} table[] = {
	/* the counter */
	{"nothing yet", PROBED, "j unknown", "no answer yet; 0 probes lost, down after 3"},
	{"one lost is no verdict", PROBED, "l unknown", "1 probe lost"},
	{"two lost are none", PROBED, "l l unknown", "2 probes lost, down after 3"},
	{"a burst of losses decides", PROBED, "l l l down", "no answer to 3 probes in a row"},
	{"never an answer", PROBED, "l l l down", "; never an answer"},
	{"the first answer decides", PROBED, "a up", "median RTT 12.1ms, 0 of 1 probe lost"},
	{"an answer after a loss", PROBED, "l a up", "1 of 2 probes lost"},
	{"one lost of many", PROBED, A10 "l up", "no answer to the last 1, down after 3"},
	{"two lost of many", PROBED, A64 "l l degraded", "3.12% of 64 probes lost, 2.00% allowed"},
	{"three in a row", PROBED, A10 "l l l down", "3 probes in a row; last answer 3.0s ago"},
	{"longer ago", PROBED, A10 "l l l w:247 l down",
	 "4 probes in a row; last answer 4m11s ago"},
	{"handshake told", PROBED, "j hs a w:245 l l l down", "; handshake 4m08s ago"},
	{"handshake not dated", PROBED, "hs j l l l down", "; handshake more than 3.0s ago"},
	{"no handshake told", PROBED, "l l l down", "never an answer; never a handshake"},
	{"two lost, one answered, two lost", PROBED, A10 "l l a l l down", "2 probes in a row"},
	{"two lost and three answered", PROBED, A10 "l l a a a l l degraded", "of 17 probes lost"},
	{"one answer does not raise", PROBED, "l l l a down", "answers again, 1 of 2 needed"},
	{"two do", PROBED, "l l l a a up", "0 of 1 probe lost"},
	{"one and a loss do not", PROBED, "l l l a l a down", "answers again, 1 of 2 needed"},
	{"up is up at the far end", PROBED, "l l l a a l l degraded a", "50.00% of 4 probes"},
	{"and three bring it down again", PROBED, "l l l a a l l l down", "3 probes in a row"},
	{"old losses do not count after", PROBED, A10 "l l l l l l a a a up", "0 of 2 probes lost"},

	{"losses before any verdict count", PROBED, "l l a degraded", "66.66% of 3 probes lost"},

	/* within limits */
	{"just in time", PROBED, "rtt:500 a a a a up", "median RTT 50.0ms"},
	{"too slow", PROBED, "rtt:501 a a a a degraded", "median RTT 50.1ms, 50.0ms allowed"},
	{"two answers are no median", PROBED, "rtt:900 a a up", "90.0ms"},
	{"a bit under is still slow", PROBED, "rtt:501 a a a rtt:470 a degraded", "47.0ms"},
	{"under 90 % is good again", PROBED, "rtt:501 a a a rtt:450 a up", "45.0ms"},
	{"a second", PROBED, "rtt:15000 a a a degraded", "median RTT 1.5s, 50.0ms allowed"},
	{"one loss never degrades", PROBED, A10 "a l a up", "1 of 13 probes lost"},
	{"two do when too many", PROBED, A10 "l a l a degraded", "14.28% of 14 probes lost"},
	{"at the limit", PROBED, A64 "loss:1/50 a up", "1 of 50"},
	{"over the limit", PROBED, A64 "loss:2/64 a degraded", "3.12% of 64 probes lost"},
	{"lossy until half of it", PROBED, A64 "loss:2/64 a loss:1/64 a degraded", "1.56%"},
	{"half of it is good", PROBED, A64 A64 "loss:3/100 a degraded loss:1/100 a up", "1 of 100"},
	{"slow before an outage is forgotten", PROBED, "rtt:501 a a a l l l down rtt:480 a a up",
	 "48.0"},
	{"slow and lossy", PROBED, A64 "loss:2/64 rtt:600 a degraded",
	 "allowed; median RTT 60.0ms"},
	{"black hole for large ones", PROBED, "mtu:1300 a degraded",
	 "packets above 1300 bytes are lost (MTU 1420 is set): black hole"},
	{"no black hole", PROBED, "mtu:1420 a up", "median"},
	{"black hole mended", PROBED, "mtu:1300 a mtu:1420 a up", "median"},
	{"lost and too small", PROBED, "mtu:1300 a l l l down", "no answer to 3"},

	/* what needs no evidence */
	{"gone", PROBED, A10 "gone j down", "interface is gone"},
	{"set down", PROBED, A10 "set0 j down", "interface is set down"},
	{"back is not yet up", PROBED, A10 "gone j back j down", "0 of 2 answers since"},
	{"what was lost before is not told", PROBED, "a l gone j back j down",
	 "0 of 2 answers since"},
	{"back needs its rise", PROBED, A10 "gone j back a down a up", "median"},
	{"gone without a probe", PLAIN, "hs age:5 j up gone j down", "interface is gone"},
	{"no SAs", IPSEC, "sa0 j down", "no security association"},
	{"SAs", IPSEC, "j up", "established; no probe"},
	{"SAs lost under a probe", IPSEC_PROBED, A10 "sa0 j down sa1 a down a up", "median"},
	{"SAs but no answer", IPSEC_PROBED, "a l l l down", "no answer to 3 probes in a row"},
	{"nothing tells", BARE, "j unknown", "no probe"},

	/* WireGuard without a probe */
	{"silent and new", PLAIN, "j idle w:9000 j idle", "nothing was sent yet"},
	{"keepalive, not yet", PLAIN, "ka j unknown w:10 j unknown", "waited for 11s of 15s"},
	{"keepalive, no handshake", PLAIN, "ka j w:20 j down",
	 "never a handshake, though waited for it for 21s"},
	{"sent, no handshake", PLAIN, "j idle tx:148 j unknown tx:592 w:20 j down",
	 "740 bytes sent, 0 received"},
	{"heard, no handshake", PLAIN, "j rx:148 tx:92 j rx:148 tx:92 w:20 j down",
	 "184 bytes sent, 296 received"},
	{"first handshake", PLAIN, "ka j w:20 j down hs j up", "handshake 0.0s ago"},
	{"fresh", PLAIN, "j hs j w:39 j up", "handshake 40s ago"},
	{"not alarmed at 120 s", PLAIN, "ka j hs j tx:500 j w:120 j up", "handshake 2m02s ago"},
	{"nor at 194 s", PLAIN, "ka j hs j tx:500 j w:192 j up", "handshake 3m14s ago"},
	{"black hole at 195 s", PLAIN, "j hs rx:100 j tx:500 j w:193 j down",
	 "black hole: 500 bytes sent and no answer in 3m14s; handshake 3m15s ago"},
	{"old and silent is idle", PLAIN, "j hs rx:100 j w:900 j idle", "the last was 15m01s ago"},
	{"its last keepalive is no call", PLAIN, "j hs rx:100 j tx:32 j w:900 j idle",
	 "no handshake"},
	{"keepalive is no excuse", PLAIN, "ka j hs rx:100 j w:200 j down", "keepalive is on, but"},
	{"idle, then tries", PLAIN, "j hs j w:900 j tx:148 j idle w:9 tx:148 j idle",
	 "waiting for an"},
	{"idle, then no answer", PLAIN, "j hs j w:900 j tx:148 j w:9 tx:148 j w:9 j down",
	 "black hole: 296 bytes sent and no answer in 20s"},
	{"idle, then an answer", PLAIN, "j hs j w:900 j tx:148 j rx:92 hs j up",
	 "handshake 0.0s ago"},
	{"tries are heard one way only", PLAIN,
	 "j hs j w:900 j rx:148 tx:92 j rx:148 tx:92 w:9 j rx:148 tx:92 w:9 j down",
	 "the peer is heard, but no handshake completed in 20s; handshake 15m22s ago"},
	{"a try alone is enough", PLAIN, "j hs j tx:148 j w:200 j down", "148 bytes sent"},
	{"up while it waits", PLAIN, "j hs j w:185 tx:500 j up w:9 j up w:5 j down", "black hole"},
	{"less is not", PLAIN, "j hs j tx:147 j w:200 j idle", "nothing was sent"},
	{"less is, when it is old", PLAIN, "j hs j w:900 j tx:100 j w:20 j down", "100 bytes sent"},
	{"heard alone, when it is old", PLAIN, "j hs j w:900 j rx:148 j w:20 rx:148 j down",
	 "is heard"},
	{"nothing moves when it is old", PLAIN, "j hs j w:900 j w:20 j w:20 j idle",
	 "nothing was sent"},
	{"a handshake ends the wait", PLAIN, "j hs j tx:500 j hs j w:200 j idle",
	 "nothing was sent"},
	{"one of long ago, too", PLAIN,
	 "j hs j w:900 j tx:148 rx:92 hs age:290 w:299 j w:20 j idle", "nothing was sent"},
	{"an answer ends the wait", PLAIN, "j hs j tx:500 j rx:500 w:100 j tx:32 w:94 j idle",
	 "nothing"},
	{"down until a handshake", PLAIN, "j hs j tx:500 w:200 j w:20 j down w:9000 j down",
	 "black hole"},
	{"seen by a look a minute", PLAIN,
	 "j hs j tx:9000 w:59 j tx:9000 w:59 j tx:9000 w:59 j up tx:9000 w:59 j down",
	 "36,000 bytes"},

	/* a first look at what was there before */
	{"not dated, nothing came", PLAIN, "hs j unknown w:100 j unknown", "0 bytes came in since"},
	{"not dated, something came", PLAIN, "hs j rx:32 j up", "handshake more than 1.0s ago"},
	{"not dated, silent", PLAIN, "hs j w:200 j idle", "nothing was sent"},
	{"dated and fresh", PLAIN, "hs age:40 j up", "handshake 40s ago"},
	{"dated and old", PLAIN, "hs age:4000 j idle", "the last was 1h06m ago"},
	{"dated, old, with keepalive", PLAIN, "ka hs age:600 j down", "was 10m00s ago"},
	{"dated before the boot", PLAIN, "hs age:99999999 j unknown", "before the first look"},
	{"a clock set forward", PLAIN, "hs age:5 j hs age:99999 j up", "handshake 1.0s ago"},
	{"a rare look, well dated", PLAIN, "hs age:5 j hs age:290 w:299 j idle", "was 4m50s ago"},

	/* made anew; clocks */
	{"counters fell", PLAIN, "j hs rx:900 j tx:500 j rx=10 w:400 j unknown", "first look"},
	{"one counter fell", PLAIN, "j hs rx:900 j tx:500 j tx=10 w:400 j unknown", "first look"},
	{"gone and back, not dated", PLAIN, "j hs j up gone j back hs j unknown", "first look"},
	{"stamp went away", PLAIN, "j hs j tx:10 j hs0 w:400 j unknown w:20 j down", "never a"},
	{"stamp went away, silent", PLAIN, "j hs j hs0 w:400 j idle", "nothing was sent yet"},
	{"gone and back", PLAIN, "j hs rx:500 tx:500 j gone w:900 j back hs age:1 j up",
	 "1.0s ago"},
	{"the clock goes back", PROBED, A10 "l l l down t=5 l down", "last answer 0.0s ago"},
	{"the clock goes back, plain", PLAIN, "ka j hs j up t=5 j up", "handshake 0.0s ago"},
};

static void lives_end_as_they_must(void **state)
{
	(void)state;
	for (int disk = 0; disk < 2; disk++)
		for (size_t i = 0; i < COUNT(table); i++) {
			struct life x;

			begin(&x, table[i].kind);
			live(&x, table[i].words, table[i].name, disk);
			if (!strstr(x.h.reason, table[i].reason))
				fail_msg("%s: \"%s\" lacks \"%s\"", table[i].name, x.h.reason,
					 table[i].reason);
		}
}

/* Every pair of limits, every sequence of 12: HAProxy's arithmetic, restated. */
static void the_counter_is_haproxys(void **state)
{
	(void)state;
	for (uint16_t rise = 1; rise <= 4; rise++)
		for (uint16_t fall = 1; fall <= 4; fall++)
			for (unsigned int bits = 0; bits < 4096; bits++) {
				struct health_rules r = {.rise = rise, .fall = fall};
				int health = rise + fall - 1;
				struct health h;
				bool known = false;

				health_init(&h, &r, 1);
				for (unsigned int i = 0; i < 12; i++) {
					bool ok = bits >> i & 1;

					health_probe(&h, &r, ok, 2 + i);
					if (!ok && health > 0 && --health < rise &&
					    health + 1 >= rise) {
						health = 0;
						known = true;
					} else if (ok && !known) {
						health = rise + fall - 1;
						known = true;
					} else if (ok && health < rise + fall - 1 &&
						   ++health >= rise && health - 1 < rise) {
						health = rise + fall - 1;
					}
					assert_int_equal(h.score, health);
					assert_int_equal(h.scored, known);
				}
			}
}

static void new_limits_keep_the_verdict(void **state)
{
	struct life x;

	(void)state;
	begin(&x, PROBED);
	live(&x, A10, "up", false);
	x.r.rise = 10;
	live(&x, "j up l l degraded l down", "other limits", false);
	x.r.rise = 3;
	x.r.fall = 9;
	live(&x, "j down a a down a up", "other limits again", false);
	x.rtt = 900 * MS;
	live(&x, "a a a degraded", "slow", false);
	x.r.max_rtt_ns = 0;
	live(&x, "j up", "no limit", false);
	x.r.rise = x.r.fall = 0;
	live(&x, "j up l down a up", "none", false);
}

static void one_new_limit_is_enough(void **state)
{
	struct life x;

	(void)state;
	begin(&x, PROBED);
	live(&x, "l l l down", "down", false);
	x.r.rise = 10;
	for (int i = 0; i < 9; i++)
		live(&x, "a down", "nine", false);
	live(&x, "a up", "ten", false);
	/* seen by the probe, not only by the judge */
	x.r.fall = 1;
	health_probe(&x.h, &x.r, false, x.now);
	live(&x, "j down", "one loss", false);
}

static void the_next_probe_comes_sooner_in_transition(void **state)
{
	struct life x;

	(void)state;
	begin(&x, PROBED);
	for (uint64_t random = 0; random <= UINT32_MAX; random += UINT32_MAX / 64) {
		begin(&x, PROBED);
		uint64_t unknown = health_next(&x.h, &x.r, 7 * S, (uint32_t)random) - 7 * S;

		live(&x, "a", "up", false);
		uint64_t up = health_next(&x.h, &x.r, 7 * S, (uint32_t)random) - 7 * S;

		live(&x, "l", "falling", false);
		uint64_t falling = health_next(&x.h, &x.r, 7 * S, (uint32_t)random) - 7 * S;

		live(&x, "l l down", "down", false);
		uint64_t down = health_next(&x.h, &x.r, 7 * S, (uint32_t)random) - 7 * S;

		assert_in_range(up, S * 9 / 10, S * 11 / 10);
		assert_int_equal(down, up);
		assert_in_range(falling, S * 45 / 100, S * 55 / 100);
		assert_int_equal(unknown, falling);
	}
	assert_int_equal(health_next(&x.h, &x.r, 0, 0), S * 9 / 10);
	assert_int_equal(health_next(&x.h, &x.r, 0, UINT32_MAX), S * 11 / 10);
}

static uint64_t seed;

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 32);
}

/* Wherever it stands: `fall` losses and it is down, at most interval + (fall - 1) halves later. */
static void a_dead_path_is_always_found(void **state)
{
	(void)state;
	seed = 1;
	for (int run = 0; run < 20000; run++) {
		struct life x;
		uint64_t at, last;

		begin(&x, PROBED);
		x.r.rise = (uint16_t)(1 + rnd() % 4);
		x.r.fall = (uint16_t)(1 + rnd() % 5);
		health_init(&x.h, &x.r, 1);
		for (uint32_t i = rnd() % 30; i > 0; i--)
			health_probe(&x.h, &x.r, rnd() % 3 > 0, x.now);
		at = last = x.now;
		for (int i = 0; i < x.r.fall; i++) {
			last = at = health_next(&x.h, &x.r, at, rnd());
			health_probe(&x.h, &x.r, false, at);
		}
		x.now = last;
		judge(&x);
		assert_int_equal(x.h.state, HEALTH_DOWN);
		assert_in_range(last - 10000 * S, 0,
				S * 11 / 10 + (uint64_t)(x.r.fall - 1) * S * 11 / 10);
	}
	for (int run = 0; run < 1000; run++) {
		struct life x;
		uint64_t at;

		begin(&x, PROBED);
		live(&x, A10, "up", false);
		at = x.now;
		for (int i = 0; i < 3; i++) {
			at = health_next(&x.h, &x.r, at, rnd());
			health_probe(&x.h, &x.r, false, at);
		}
		assert_true(x.h.score == 0);
		assert_true(at - x.now <= S * 11 / 10 + 2 * (S * 55 / 100));
	}
}

/*
 * How often chance alone brings it down, for fall 3 and rise 2: the counter's chain (scores 4, 3,
 * 2 while up; 0, 1 while down) has the rate of falls per probe pi(2) * p in its stationary state.
 */
static double falls_by_theory(double p)
{
	double pi[5] = {0.2, 0.2, 0.2, 0.2, 0.2}, q = 1 - p;

	for (int i = 0; i < 100000; i++) {
		double next[5] = {
			pi[0] * p + pi[1] * p + pi[2] * p,
			pi[0] * q,
			pi[3] * p,
			pi[2] * q + pi[4] * p,
			pi[1] * q + pi[3] * q + pi[4] * q,
		};

		memcpy(pi, next, sizeof(pi));
	}
	return pi[2] * p;
}

static void chance_brings_it_down_as_often_as_theory_says(void **state)
{
	static const double losses[] = {0.05, 0.1, 0.2, 0.3, 0.5};
	const unsigned int n = 4000000;

	(void)state;
	seed = 2;
	for (size_t i = 0; i < COUNT(losses); i++) {
		struct health_rules r = {.rise = 2, .fall = 3};
		double want = falls_by_theory(losses[i]) * n, falls = 0;
		uint32_t limit = (uint32_t)(losses[i] * UINT32_MAX);
		struct health h;

		health_init(&h, &r, 1);
		health_probe(&h, &r, true, 1);
		for (unsigned int k = 0; k < n; k++) {
			bool was_up = h.score >= 2;

			health_probe(&h, &r, rnd() >= limit, 2 + k);
			falls += was_up && h.score < 2;
		}
		/* five sigmas of a Poisson count */
		if ((falls - want) * (falls - want) > 25 * want)
			fail_msg("loss %.2f: %.0f falls, %.0f by theory", losses[i], falls, want);
		print_message("loss %.2f: %.0f falls in %u probes, %.0f by theory\n", losses[i],
			      falls, n, want);
	}
}

/* Noise of ±4 % around the limit: it turns degraded once and stays. */
static void the_boundary_does_not_flap(void **state)
{
	unsigned int changes = 0;
	struct life x;

	(void)state;
	seed = 3;
	begin(&x, PROBED);
	live(&x, A64, "up", false);
	for (int i = 0; i < 10000; i++) {
		enum health_state before = x.h.state;

		x.rtt = 48 * MS + rnd() % (4 * MS);
		probe(&x, true);
		changes += x.h.state != before;
	}
	assert_int_equal(changes, 1);
	assert_false(health_in_budget(&x.h));
	x.rtt = 12 * MS;
	for (int i = 0; i < 10000; i++) {
		enum health_state before = x.h.state;

		x.loss_sent = 100;
		x.loss_lost = 2 + rnd() % 2;
		probe(&x, true);
		changes += x.h.state != before;
	}
	assert_int_equal(changes, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lives_end_as_they_must),
		cmocka_unit_test(the_counter_is_haproxys),
		cmocka_unit_test(new_limits_keep_the_verdict),
		cmocka_unit_test(one_new_limit_is_enough),
		cmocka_unit_test(the_next_probe_comes_sooner_in_transition),
		cmocka_unit_test(a_dead_path_is_always_found),
		cmocka_unit_test(chance_brings_it_down_as_often_as_theory_says),
		cmocka_unit_test(the_boundary_does_not_flap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
