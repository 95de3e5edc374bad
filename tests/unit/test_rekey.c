/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_rekey.c - which keys are received and sent with: tables, and two hosts for many days
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wg/keyfile.h"

#define START	1000000u
#define OVERLAP 60u

static void make_file(struct keyfile *k, unsigned int n, uint64_t spacing)
{
	memset(k, 0, sizeof(*k));
	for (unsigned int i = 0; i < n; i++) {
		k->generation[i].id = i + 1;
		k->generation[i].send_after_s = START + i * spacing;
	}
	k->n = n;
	k->enc_size = 32;
}

/* ---- tables: one letter for each generation ---- */

/*
 * '.' never installed; 'b' both SAs installed; 'i' that which receives; 'x' used, and gone; 'o' the
 * outgoing one alone is there, 'e' it alone is gone; upper case: received with, long ago; '!' both
 * installed and received with just now; 'w' as B, and worn.
 */
static void paint(const char *picture, struct rekey_seen *s)
{
	for (unsigned int i = 0; picture[i]; i++, s++) {
		char c = picture[i];

		memset(s, 0, sizeof(*s));
		s->in_installed = strchr("bBiI!weE", c) != NULL;
		s->out_installed = strchr("bB!wo", c) != NULL;
		s->used_in = c != '.';
		s->used_out = strchr("bB!wxoeE", c) != NULL;
		s->worn = c == 'w';
		s->in_packets = strchr("BI!wE", c) ? 7 : 0;
		if (s->in_packets)
			s->in_first_s = c == '!' ? START + 5000 : 1;
	}
}

static const char *ids(const uint32_t *id, unsigned int n, char ret[64])
{
	ret[0] = '\0';
	for (unsigned int i = 0; i < n; i++)
		snprintf(ret + strlen(ret), 64 - strlen(ret), "%s%u", i ? " " : "", id[i]);
	return ret;
}

struct row {
	const char *what;
	const char *picture;
	uint32_t sending;
	unsigned int now; /* seconds after START; generation i is due at 1000 (i − 1) */
	bool strange;
	const char *install;
	uint32_t send;
	bool out;
	const char *remove;
	unsigned int spare;
};

static const struct row rows[] = {
	{"a fresh start, the first is due", "......", 0, 0, false, "1 2 3 4", 1, true, "", 5},
	{"before the first is due there is no other", "......", 0, 0, false, "1 2 3 4", 1, true, "",
	 5},
	{"a fresh start later", "........", 0, 3500, false, "3 4 5 6 7", 4, true, "", 4},
	{"nothing to do", "Biii..", 1, 500, false, "", 1, false, "", 5},
	{"the next is due", "Biii..", 1, 1000, false, "5", 2, true, "", 4},
	{"the peer was first", "BIii..", 1, 900, false, "5", 2, true, "1", 4},
	{"the peer was first, just now", "B!iii.", 1, 900, false, "", 2, false, "", 4},
	{"the peer is two ahead", "BiIi..", 1, 900, false, "5 6", 3, true, "1 2", 3},
	{"several are due at once", "Biii..", 1, 2500, false, "5 6", 3, true, "", 3},
	{"the old one stays for the overlap", "B!iii.", 2, 5059, false, "6", 6, true, "", 0},
	{"booted: the next that was never there", "xxxx....", 0, 500, false, "5 6 7 8", 5, true, "",
	 3},
	{"the SAs were flushed, the policies not", "xxxx....", 1, 500, false, "5 6 7 8", 5, true,
	 "", 3},
	{"booted, none is left", "xxxx", 0, 500, false, "", 0, false, "", 0},
	{"the peer booted: look ahead", "Biii........", 1, 500, true, "5 6 7 8", 1, false, "", 11},
	{"and follow", "BiiiI.......", 1, 500, false, "6 7 8", 5, true, "1 2 3 4", 7},
	{"the limit of the outgoing one was reached", "Eiii..", 1, 500, false, "5", 2, true, "", 4},
	{"worn: the next, early", "wiii..", 1, 500, false, "5", 2, true, "", 4},
	{"worn, and there is no next", "w", 1, 500, false, "", 1, false, "", 0},
	{"due, but used up: what works stays", "Bx", 1, 1500, false, "", 1, false, "", 0},
	{"never back to an older one", "iBii..", 2, 100, false, "5", 2, false, "1", 4},
	{"an outgoing one that is old goes, too", "oxB..", 3, 2000, false, "4 5", 3, false, "1", 2},
};

static void each_row_is_decided_as_it_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *r = &rows[i];
		struct rekey_seen seen[KEYFILE_MAX];
		struct rekey_plan p;
		struct keyfile k;
		char text[64];

		make_file(&k, (unsigned int)strlen(r->picture), 1000);
		paint(r->picture, seen);
		rekey_decide(&k, seen, r->sending, r->strange, OVERLAP, START + r->now, &p);
		print_message("%s\n", r->what);
		assert_string_equal(ids(p.install_in, p.n_install, text), r->install);
		assert_int_equal(p.send, r->send);
		assert_int_equal(p.install_out, r->out);
		assert_int_equal(p.send_changed, p.send && p.send != r->sending);
		assert_string_equal(ids(p.remove, p.n_remove, text), r->remove);
		assert_int_equal(p.spare, r->spare);
	}
}

static void the_next_time_is_told(void **state)
{
	struct rekey_seen seen[KEYFILE_MAX];
	struct rekey_plan p;
	struct keyfile k;

	(void)state;
	make_file(&k, 6, 10000);
	paint("Biii..", seen);
	rekey_decide(&k, seen, 1, false, OVERLAP, START + 500, &p);
	assert_int_equal(p.next_s, START + 10000);
	paint("B!iii.", seen);
	rekey_decide(&k, seen, 2, false, OVERLAP, START + 5001, &p);
	assert_int_equal(p.next_s, START + 5000 + OVERLAP);
	k.n = 0;
	rekey_decide(&k, seen, 2, false, OVERLAP, START, &p);
	assert_int_equal(p.send, 0);
	assert_int_equal(p.next_s, 0);
}

static void strange_packets_count_only_in_silence(void **state)
{
	struct rekey_memory m = {0};
	uint64_t now = START;

	(void)state;
	for (unsigned int i = 0; i < 50; i++) /* silence alone */
		assert_false(rekey_strange(&m, 10, 5, true, now++));
	for (unsigned int i = 0; i < 50; i++) /* something is received, too */
		assert_false(rekey_strange(&m, 11 + i, 5 + i, true, now++));
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(rekey_strange(&m, 60, 100 + i, true, now++), i == 2);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(rekey_strange(&m, 60, 200 + i, true, now++), i == 5);
	assert_false(rekey_strange(&m, 61, 300, true, now++));
	for (unsigned int i = 0; i < 50; i++) /* there is nothing to look ahead to */
		assert_false(rekey_strange(&m, 61, 301 + i, false, now++));
	assert_true(rekey_strange(&m, 61, 399, true, now++)); /* and now there is */
	assert_false(rekey_strange(&m, 62, 399, true, now++));
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(rekey_strange(&m, 62, 400 + i, true, now++), i == 2);
}

/* ---- two hosts ---- */

struct side {
	unsigned int file; /* generations of the file that it has */
	int64_t skew;
	bool up;
	uint64_t up_at;
	struct rekey_seen seen[KEYFILE_MAX];
	bool ever[2][KEYFILE_MAX]; /* installed; what the disk must agree with */
	uint32_t sending;
	struct rekey_memory memory;
	uint64_t unknown;
	unsigned int spare;
	unsigned int deaf; /* packets in a row that it sent and the other could not receive */
	bool acted;	   /* since it came up or got a file */
};

struct world {
	struct keyfile k;
	struct side side[2];
	uint64_t now;
	bool booted; /* one of them, ever */
	unsigned int longest, sent, lost, boots;
};

static uint32_t dice(uint32_t n)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16) % n;
}

static void put_in(struct side *s, unsigned int i, bool out)
{
	assert_false(s->ever[out][i]); /* no key twice, ever */
	s->ever[out][i] = true;
	if (out)
		s->seen[i].used_out = s->seen[i].out_installed = true;
	else
		s->seen[i].used_in = s->seen[i].in_installed = true;
}

static void tick(struct world *w, unsigned int who)
{
	struct side *s = &w->side[who], *peer = &w->side[!who];
	uint64_t now = w->now + (uint64_t)s->skew, in = 0;
	struct rekey_plan p;

	w->k.n = s->file;
	for (unsigned int i = 0; i < s->file; i++)
		in += s->seen[i].in_installed ? s->seen[i].in_packets : 0;
	rekey_decide(&w->k, s->seen, s->sending,
		     rekey_strange(&s->memory, in, s->unknown, rekey_more(&w->k, s->seen), now),
		     OVERLAP, now, &p);
	for (unsigned int i = 0; i < p.n_install; i++)
		put_in(s, p.install_in[i] - 1, false);
	if (p.install_out)
		put_in(s, p.send - 1, true);
	if (p.send) {
		assert_true(p.send >= s->sending);
		assert_true(s->seen[p.send - 1].out_installed);
		assert_true(s->seen[p.send - 1].in_installed);
		s->sending = p.send;
	}
	for (unsigned int i = 0; i < p.n_remove; i++) {
		struct rekey_seen *gone = &s->seen[p.remove[i] - 1];

		assert_true(p.remove[i] != s->sending);
		assert_true(!peer->up || p.remove[i] != peer->sending);
		gone->in_installed = gone->out_installed = false;
		gone->in_packets = gone->in_first_s = 0;
	}
	s->spare = p.spare;
	s->acted = true;
}

static void send_one(struct world *w, unsigned int who)
{
	struct side *s = &w->side[who], *peer = &w->side[!who];
	struct rekey_seen *to;

	if (!s->sending || !s->up || !peer->up)
		return;
	to = &peer->seen[s->sending - 1];
	w->sent++;
	if (to->in_installed) {
		to->in_packets++;
		if (!to->in_first_s)
			to->in_first_s = w->now + (uint64_t)peer->skew;
		s->deaf = 0;
		return;
	}
	w->lost++;
	peer->unknown++;
	assert_true(w->booted || !peer->acted || !s->acted); /* a rekey alone loses nothing */
	if (!s->acted || !peer->acted || s->file != peer->file || s->spare < 8 || peer->spare < 8)
		return;
	s->deaf++;
	if (s->deaf > w->longest)
		w->longest = s->deaf;
}

static void boot(struct world *w, unsigned int who)
{
	struct side *s = &w->side[who];

	for (unsigned int i = 0; i < KEYFILE_MAX; i++) {
		s->seen[i].in_installed = s->seen[i].out_installed = false;
		s->seen[i].in_packets = s->seen[i].in_first_s = 0;
	}
	memset(&s->memory, 0, sizeof(s->memory));
	s->sending = 0;
	s->unknown = 0;
	s->deaf = w->side[!who].deaf = 0;
	s->up = s->acted = false;
	s->up_at = w->now + 1 + dice(40);
	w->booted = true;
	w->boots++;
}

static void second(struct world *w)
{
	unsigned int first = dice(2);

	w->now++;
	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = &w->side[i ^ first];

		if (!s->up && s->up_at <= w->now)
			s->up = true;
		if (s->up && dice(10))
			tick(w, i ^ first);
		if (dice(2))
			send_one(w, i ^ first);
	}
	for (unsigned int i = 0; i < 2; i++)
		send_one(w, i ^ first);
}

static void begin(struct world *w, unsigned int n, uint64_t spacing)
{
	memset(w, 0, sizeof(*w));
	make_file(&w->k, n, spacing);
	w->now = START + dice((uint32_t)spacing);
	for (unsigned int i = 0; i < 2; i++) {
		w->side[i].file = n;
		w->side[i].up = true;
		w->side[i].skew = (int64_t)dice(241) - 120;
	}
}

static void a_rekey_loses_no_packet(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 60; round++) {
		struct world *w = calloc(1, sizeof(*w));
		uint64_t spacing = 300 + dice(600);

		assert_non_null(w);
		begin(w, 20, spacing);
		while (w->now < START + 21 * spacing)
			second(w);
		assert_int_equal(w->side[0].sending, 20);
		assert_int_equal(w->side[1].sending, 20);
		for (unsigned int i = 0; i + 1 < 20; i++)
			assert_false(w->side[0].seen[i].in_installed ||
				     w->side[0].seen[i].out_installed);
		assert_true(w->sent > 10000);
		free(w);
	}
}

/* A file of few generations grows now and then, on one host earlier than on the other. */
static void grow(struct world *w, unsigned int *whole)
{
	if (*whole < KEYFILE_MAX && !dice(400))
		*whole += 4;
	if (*whole > KEYFILE_MAX)
		*whole = KEYFILE_MAX;
	for (unsigned int i = 0; i < 2; i++) {
		if (w->side[i].file < *whole && !dice(30)) {
			w->side[i].file = *whole;
			w->side[i].acted = false;
		}
	}
}

static void hosts_that_boot_find_each_other_again(void **state)
{
	unsigned int longest = 0, boots = 0;

	(void)state;
	for (unsigned int round = 0; round < 400; round++) {
		struct world *w = calloc(1, sizeof(*w));
		unsigned int whole = 16;

		assert_non_null(w);
		begin(w, 16, 1500);
		w->booted = true; /* files differ: packets may be lost for that, too */
		make_file(&w->k, KEYFILE_MAX, 1500);
		for (unsigned int i = 0; i < 12000; i++) {
			second(w);
			grow(w, &whole);
			if (!dice(1500))
				boot(w, dice(2));
			if (!dice(6000)) {
				boot(w, 0);
				boot(w, 1);
			}
		}
		longest = w->longest > longest ? w->longest : longest;
		boots += w->boots;
		free(w);
	}
	print_message("%u boots; at most %u packets in a row were lost\n", boots, longest);
	assert_true(boots > 2000);
	assert_true(longest < 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_is_decided_as_it_says),
		cmocka_unit_test(the_next_time_is_told),
		cmocka_unit_test(strange_packets_count_only_in_silence),
		cmocka_unit_test(a_rekey_loses_no_packet),
		cmocka_unit_test(hosts_that_boot_find_each_other_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
