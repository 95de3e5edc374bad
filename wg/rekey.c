/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rekey.c - which generation of a static tunnel's keys is received and sent with
 *
 * The two hosts share a file and nothing else; neither is told what the other did. The rules:
 *
 *   1. No key is ever given to the kernel twice, on either host and in either direction: an SA that
 *      is made anew starts with an empty replay window. What was installed is on disk before.
 *   2. A host sends with generation N only if it can receive N, and never again with one before N.
 *   3. It receives with the generation that it sends with, the one before and REKEY_AHEAD after.
 *   4. It sends with the newest that is due, or that its peer was seen to send with, whichever is
 *      newer; if that was used up, with the next that was not.
 *   5. An old generation goes when a newer one has been received with for `overlap`.
 *
 * Rekey: both have the new SA for receiving long before; the first whose clock says so sends with
 * it, the other sees that and follows (rules 3, 4), and only then do the old ones go (5). Clocks
 * may be apart as far as REKEY_AHEAD generations are.
 *
 * Reboot: a host's SAs are gone and by rule 1 all that it had are used up, those installed ahead
 * as well. So it goes on with the first generation after them. Its peer cannot have that one ahead
 * too: whatever both have ahead, both have used up. It is told by its kernel that packets arrive
 * for which there is no SA, while nothing else does (`strange`), and makes those of the next
 * REKEY_AHEAD + 1. A reboot costs as many generations, and a few seconds; it needs one packet
 * from the host that booted, which the tunnel's probe sends.
 *
 * Weaknesses: a file that only one host has is used from its time on by that one, so hand it to
 * both before. A forged stream of unknown SPIs while the tunnel is silent makes a host install
 * ahead what the file has (the caller spaces that out); it costs spare generations if it boots
 * then.
 */
#include "wg/keyfile.h"

#include <string.h>

#define LOOKS	   3 /* that show unknown SPIs while nothing is received */
#define WAIT_MAX_S 86400
/* Of a host that has received nothing yet: it was booted itself, and it is for the other to look.
 */
#define PATIENCE 3

bool rekey_more(const struct keyfile *k, const struct rekey_seen *seen)
{
	return k->n && !seen[k->n - 1].used_in;
}

bool rekey_strange(struct rekey_memory *m, uint64_t in_packets, uint64_t unknown, bool more,
		   uint64_t now_s)
{
	uint64_t wait_s = m->widened < 16 ? (uint64_t)LOOKS << m->widened : WAIT_MAX_S;

	if (!m->known || in_packets != m->in_packets || now_s < m->heard_s) {
		if (!m->known && !in_packets)
			m->widened = PATIENCE;
		else if (in_packets > m->in_packets)
			m->widened = 0;
		m->heard_s = now_s;
		m->strange = 0;
	} else if (unknown > m->unknown) {
		m->strange++;
	}
	m->known = true;
	m->in_packets = in_packets;
	m->unknown = unknown;
	if (!more || m->strange < LOOKS || now_s < m->heard_s + wait_s)
		return false;
	m->heard_s = now_s;
	m->strange = 0;
	m->widened++;
	return true;
}

static int position(const struct keyfile *k, uint32_t id)
{
	for (unsigned int i = 0; id && i < k->n; i++) {
		if (k->generation[i].id == id)
			return (int)i;
	}
	return -1;
}

static bool usable(const struct rekey_seen *s)
{
	return (s->in_installed || !s->used_in) && (s->out_installed || !s->used_out);
}

static int first_usable(const struct keyfile *k, const struct rekey_seen *seen, int from)
{
	for (int i = from; i < (int)k->n; i++) {
		if (usable(&seen[i]))
			return i;
	}
	return -1;
}

/* With which to send; −1: none. */
static int choose(const struct keyfile *k, const struct rekey_seen *seen, int sending,
		  uint64_t now_s)
{
	int base = sending > 0 ? sending : 0, found = -1;

	for (int i = 0; i < (int)k->n; i++) {
		if (k->generation[i].send_after_s <= now_s || seen[i].in_packets)
			base = i > base ? i : base;
	}
	if (base == sending && seen[base].worn)
		found = first_usable(k, seen, base + 1);
	if (found < 0)
		found = first_usable(k, seen, base);
	if (found < 0 && sending >= 0 && seen[sending].out_installed)
		found = sending;
	return found;
}

static void plan_install(const struct keyfile *k, const struct rekey_seen *seen, int send,
			 bool strange, bool settled, struct rekey_plan *plan)
{
	int from = send > 0 && !settled ? send - 1 : send, to = send + REKEY_AHEAD, last = -1;

	for (int i = 0; i < (int)k->n; i++) {
		if (seen[i].used_in || seen[i].in_installed)
			last = i;
	}
	if (strange && last + REKEY_AHEAD + 1 > to)
		to = last + REKEY_AHEAD + 1;
	for (int i = from; i <= to && i < (int)k->n; i++) {
		if (!seen[i].used_in && !seen[i].in_installed)
			plan->install_in[plan->n_install++] = k->generation[i].id;
	}
}

static void sooner(uint64_t *next_s, uint64_t at_s, uint64_t now_s)
{
	if (at_s > now_s && (!*next_s || at_s < *next_s))
		*next_s = at_s;
}

static void plan_remove(const struct keyfile *k, const struct rekey_seen *seen, int send,
			uint64_t overlap_s, uint64_t now_s, struct rekey_plan *plan)
{
	bool old = false;
	int newest = -1;

	for (int i = 0; i < (int)k->n; i++) {
		if (!seen[i].in_packets || !seen[i].in_first_s)
			continue;
		if (seen[i].in_first_s + overlap_s <= now_s)
			newest = i;
		else if (old)
			sooner(&plan->next_s, seen[i].in_first_s + overlap_s, now_s);
		old |= seen[i].in_installed;
	}
	for (int i = 0; i < newest; i++) {
		if (i != send && (seen[i].in_installed || seen[i].out_installed))
			plan->remove[plan->n_remove++] = k->generation[i].id;
	}
}

static bool is_planned(const struct rekey_plan *plan, uint32_t id)
{
	for (unsigned int i = 0; i < plan->n_install; i++) {
		if (plan->install_in[i] == id)
			return true;
	}
	return false;
}

void rekey_decide(const struct keyfile *k, const struct rekey_seen *seen, uint32_t sending,
		  bool strange, uint64_t overlap_s, uint64_t now_s, struct rekey_plan *ret)
{
	int at = position(k, sending), send = k->n ? choose(k, seen, at, now_s) : -1;
	bool settled;

	memset(ret, 0, sizeof(*ret));
	plan_remove(k, seen, send, overlap_s, now_s, ret);
	if (send < 0)
		return;
	settled = seen[send].in_first_s && seen[send].in_first_s + overlap_s <= now_s;
	plan_install(k, seen, send, strange, settled, ret);
	ret->send = k->generation[send].id;
	ret->install_out = !seen[send].out_installed &&
			   (seen[send].in_installed || is_planned(ret, ret->send));
	ret->send_changed = ret->send != sending;
	for (unsigned int i = (unsigned int)send + 1; i < k->n; i++) {
		if (!usable(&seen[i]))
			continue;
		ret->spare++;
		sooner(&ret->next_s, k->generation[i].send_after_s, now_s);
	}
}
