/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * health.c - the judge of one tunnel
 *
 * It owns a tunnel's state and the reason for it; it looks at nothing itself and holds no clock.
 *
 * With a probe, probes decide between up and down by HAProxy's one counter: 0..rise+fall-1, up from
 * `rise` on, one more for an answer and one less for a loss, and on crossing it jumps to the far
 * end. So `fall` losses in a row always bring it down, and a loss among answers never does. Before
 * the first decision the state is unknown: the first answer says up at once, `fall` losses say
 * down, so a burst of `fall` probes is all that a run under cron needs. RTT (the median, from three
 * answers on) and loss (two lost probes at least, unless none is allowed) make an up tunnel
 * degraded. To be good again the RTT must fall to 90 % of its limit and the loss to half of its, so
 * nothing flaps on the boundary. After an outage the window is still full of what was lost in it;
 * until as many probes ended since as the window holds, the loss of those alone counts.
 *
 * Without a probe, WireGuard's handshakes decide. A session ends 180 s after its handshake
 * (messages.h: REJECT_AFTER_TIME), so up to 195 s all is well whatever the counters say. Later,
 * bytes sent and not answered are a black hole, handshakes heard that never complete are no better,
 * and silence is idle, unless keepalive is on. An answer is waited for 15 s (KEEPALIVE_TIMEOUT +
 * REKEY_TIMEOUT, after which WireGuard itself tries anew). The last keepalive of a session is 32
 * bytes and gets no answer; a try for a handshake is 148: less than that was no call for an answer.
 *
 * The handshake's stamp is by the wall clock and only compared for being another. Counters that
 * fall, or a stamp that goes back to none, mean that the device was made anew: the watch starts
 * again. A clock that goes back (a state file of nonsense) makes every age 0, and so no alarm.
 *
 * Weaknesses: bytes are those of all peers together, so one dead peer among live ones is not seen;
 * without a probe a dead path is found only when the session is over, after minutes, and what was
 * found down stays so until a handshake; IPsec without a probe is up while its SAs are there.
 */
#include "wg/health.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"

#define NS_PER_S      1000000000ull
#define OLD	      (195 * NS_PER_S)
#define PATIENCE      (15 * NS_PER_S)
#define CALL_FOR_MORE 148 /* bytes: a handshake's initiation */
#define RTT_ANSWERS   3

static const char *const names[HEALTH_STATES] = {
	[HEALTH_UNKNOWN] = "unknown",	[HEALTH_UP] = "up",	[HEALTH_IDLE] = "idle",
	[HEALTH_DEGRADED] = "degraded", [HEALTH_DOWN] = "down",
};

const char *health_state_name(enum health_state s)
{
	return (unsigned int)s < HEALTH_STATES ? names[s] : names[HEALTH_UNKNOWN];
}

int health_state_parse(const char *name)
{
	for (int s = 0; name && s < HEALTH_STATES; s++)
		if (!strcmp(name, names[s]))
			return s;
	return -EINVAL;
}

unsigned int health_rank(enum health_state s)
{
	static const unsigned int rank[HEALTH_STATES] = {
		[HEALTH_UP] = 0,      [HEALTH_DEGRADED] = 1, [HEALTH_IDLE] = 2,
		[HEALTH_UNKNOWN] = 3, [HEALTH_DOWN] = 4,
	};

	return (unsigned int)s < HEALTH_STATES ? rank[s] : rank[HEALTH_UNKNOWN];
}

bool health_in_budget(const struct health *h)
{
	return !h->slow && !h->lossy;
}

/* ---- words ---- */

static void say(struct health *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds to the reason. */
static void say(struct health *h, const char *format, ...)
{
	size_t at = strlen(h->reason);
	va_list args;

	va_start(args, format);
	vsnprintf(h->reason + at, sizeof(h->reason) - at, format, args);
	va_end(args);
}

/* "12.1ms", and from a second on as other durations. */
static const char *ms(uint64_t ns, char ret[32])
{
	if (ns >= NS_PER_S)
		return text_duration(ns, ret);
	snprintf(ret, 32, "%.1fms", (double)ns / 1e6);
	return ret;
}

static void say_age(struct health *h, const char *what, uint64_t at, uint64_t now)
{
	char age[32];

	say(h, "%s %s ago", what, text_duration(now - at, age));
}

static void say_handshake(struct health *h, const struct health_look *l, uint64_t now)
{
	if (!l->handshake_known)
		return;
	if (!h->handshake_stamp)
		say(h, "; never a handshake");
	else
		say_age(h, h->handshake_dated ? "; handshake" : "; handshake more than",
			h->handshake_seen, now);
}

static const char *probes_word(uint64_t n)
{
	return n == 1 ? "probe" : "probes";
}

/* ---- the counter ---- */

static uint16_t at_least_one(uint16_t n)
{
	return n ? n : 1;
}

static uint16_t top(const struct health *h)
{
	return (uint16_t)(h->rise + h->fall - 1);
}

/* The configuration may have changed since: up stays up, and down down. */
static void follow_rules(struct health *h, const struct health_rules *r)
{
	uint16_t rise = at_least_one(r->rise), fall = at_least_one(r->fall);
	bool up = h->score >= h->rise;

	if (rise == h->rise && fall == h->fall)
		return;
	h->rise = rise;
	h->fall = fall;
	h->score = up ? top(h) : 0;
}

void health_init(struct health *h, const struct health_rules *r, uint64_t now)
{
	memset(h, 0, sizeof(*h));
	h->since = now;
	h->rise = at_least_one(r->rise);
	h->fall = at_least_one(r->fall);
	h->score = top(h);
	say(h, "not looked at yet");
}

/* What was lost in an outage says nothing about now; what was lost before any verdict does. */
static void decide_up(struct health *h)
{
	if (h->scored) {
		h->up_probes = 1;
		h->up_lost = 0;
	}
	h->score = top(h);
	h->scored = true;
	h->slow = h->lossy = false;
}

static void decide_down(struct health *h)
{
	h->score = 0;
	h->scored = true;
}

static void count(uint32_t *n)
{
	if (*n < UINT32_MAX)
		++*n;
}

void health_probe(struct health *h, const struct health_rules *r, bool answered, uint64_t now)
{
	bool was_up;

	follow_rules(h, r);
	was_up = h->score >= h->rise;
	count(&h->up_probes);
	if (answered) {
		h->lost_in_row = 0;
		h->answered_at = now;
		if (h->score < top(h))
			h->score++;
		if (!h->scored || (!was_up && h->score >= h->rise))
			decide_up(h);
	} else {
		count(&h->lost_in_row);
		count(&h->up_lost);
		if (h->score)
			h->score--;
		if (was_up && h->score < h->rise)
			decide_down(h);
	}
}

uint64_t health_next(const struct health *h, const struct health_rules *r, uint64_t now,
		     uint32_t random)
{
	bool settled = h->scored && (!h->score || h->score == top(h));
	uint64_t step = r->interval_ns ? r->interval_ns : NS_PER_S;
	uint64_t tenth;

	if (!settled)
		step /= 2;
	tenth = step / 10;
	return now + step - tenth + (uint64_t)((double)(2 * tenth) * random / UINT32_MAX);
}

/* ---- what is seen of the tunnel itself ---- */

static void not_after(uint64_t *at, uint64_t now)
{
	if (*at > now)
		*at = now;
}

static void mend_clock(struct health *h, uint64_t now)
{
	not_after(&h->since, now);
	not_after(&h->answered_at, now);
	not_after(&h->handshake_seen, now);
	not_after(&h->rx_at, now);
	not_after(&h->waiting_since, now);
	not_after(&h->looked_at, now);
}

static void forget(struct health *h)
{
	h->watched = h->handshake_dated = h->handshake_old = false;
	h->handshake_stamp = h->handshake_seen = 0;
	h->rx = h->tx = h->rx_at = h->tx_since_rx = h->waiting_since = 0;
}

/* An age of more than there is since the boot comes from a clock that was set. */
static void first_look(struct health *h, const struct health_look *l, uint64_t now)
{
	forget(h);
	h->watched = true;
	h->handshake_stamp = l->handshake_stamp;
	if (l->handshake_stamp) {
		h->handshake_dated = l->handshake_age && l->handshake_age < now;
		h->handshake_seen = h->handshake_dated ? now - l->handshake_age : now;
	}
}

static void next_look(struct health *h, const struct health_look *l, uint64_t now)
{
	uint64_t gap = now - h->looked_at;

	if (l->handshake_stamp != h->handshake_stamp) {
		h->handshake_stamp = l->handshake_stamp;
		h->handshake_seen = now - (l->handshake_age < gap ? l->handshake_age : gap);
		h->handshake_dated = true;
		h->waiting_since = h->tx_since_rx = 0;
		h->handshake_old = false;
	}
	if (l->rx > h->rx) {
		h->rx_at = now;
		h->tx_since_rx = 0;
	} else {
		h->tx_since_rx += l->tx - h->tx;
	}
}

/*
 * Is an answer due? While a session lives, anything that comes in is one. When it is over, only a
 * handshake is, and all that moves are tries for it.
 */
static void note_waiting(struct health *h, const struct health_look *l, uint64_t now)
{
	bool old = h->handshake_stamp && now - h->handshake_seen >= OLD;
	bool moved = l->rx != h->rx || l->tx != h->tx;
	bool due;

	if (!h->handshake_stamp)
		due = l->expects_traffic || l->tx;
	else
		due = h->tx_since_rx >= CALL_FOR_MORE || (old && h->handshake_old && moved);
	if (h->handshake_stamp && !old && h->rx_at == now)
		h->waiting_since = 0;
	if (due && !h->waiting_since)
		h->waiting_since = now;
	h->handshake_old = old;
}

static void note_look(struct health *h, const struct health_look *l, uint64_t now)
{
	bool remade = l->rx < h->rx || l->tx < h->tx || (h->handshake_stamp && !l->handshake_stamp);

	if (!l->exists) {
		forget(h);
		return;
	}
	if (!h->watched || remade)
		first_look(h, l, now);
	else
		next_look(h, l, now);
	note_waiting(h, l, now);
	h->rx = l->rx;
	h->tx = l->tx;
	h->looked_at = now;
}

/* ---- the verdicts ---- */

static enum health_state judge_no_handshake(struct health *h, const struct health_look *l,
					    uint64_t now)
{
	uint64_t waited = now - h->waiting_since;
	char time[32], limit[32], tx[32], rx[32];

	if (!h->waiting_since) {
		say(h, "nothing was sent yet, so no handshake was needed");
		return HEALTH_IDLE;
	}
	text_duration(waited, time);
	if (waited < PATIENCE) {
		say(h, "no handshake yet; waited for %s of %s", time,
		    text_duration(PATIENCE, limit));
		return HEALTH_UNKNOWN;
	}
	say(h, "never a handshake, though waited for it for %s; %s bytes sent, %s received", time,
	    text_count(l->tx, tx), text_count(l->rx, rx));
	return HEALTH_DOWN;
}

static enum health_state judge_old_handshake(struct health *h, const struct health_look *l,
					     uint64_t now)
{
	uint64_t waited = now - h->waiting_since;
	char age[32], time[32], tx[32];

	text_duration(now - h->handshake_seen, age);
	if (h->waiting_since && waited >= PATIENCE) {
		text_duration(waited, time);
		if (h->rx_at > h->waiting_since)
			say(h, "the peer is heard, but no handshake completed in %s", time);
		else
			say(h, "black hole: %s bytes sent and no answer in %s",
			    text_count(h->tx_since_rx, tx), time);
		say(h, "; handshake %s ago", age);
		return HEALTH_DOWN;
	}
	if (l->expects_traffic) {
		say(h, "keepalive is on, but the last handshake was %s ago", age);
		return HEALTH_DOWN;
	}
	if (h->waiting_since) {
		say(h, "handshake %s ago; waiting for another for %s", age,
		    text_duration(waited, time));
		return h->state == HEALTH_DEGRADED ? HEALTH_IDLE : h->state;
	}
	say(h, "nothing was sent, so no handshake was needed; the last was %s ago", age);
	return HEALTH_IDLE;
}

static enum health_state judge_handshake(struct health *h, const struct health_look *l,
					 uint64_t now)
{
	if (!h->handshake_stamp)
		return judge_no_handshake(h, l, now);
	if (now - h->handshake_seen >= OLD)
		return judge_old_handshake(h, l, now);
	if (h->handshake_dated || h->rx_at) {
		say_age(h, h->handshake_dated ? "handshake" : "handshake more than",
			h->handshake_seen, now);
		return HEALTH_UP;
	}
	say_age(h, "the last handshake was before the first look", h->handshake_seen, now);
	say(h, "; 0 bytes came in since");
	return HEALTH_UNKNOWN;
}

static enum health_state judge_lost(struct health *h, const struct health_look *l, uint64_t now)
{
	if (h->lost_in_row)
		say(h, "no answer to %u %s in a row", h->lost_in_row, probes_word(h->lost_in_row));
	else if (h->score)
		say(h, "answers again, %u of %u needed", h->score, h->rise);
	else
		say(h, "it was taken down; 0 of %u answers since", h->rise);
	if (h->lost_in_row && h->answered_at)
		say_age(h, "; last answer", h->answered_at, now);
	else if (h->lost_in_row)
		say(h, "; never an answer");
	say_handshake(h, l, now);
	return HEALTH_DOWN;
}

/* The loss of the window, or what is known of it since the counter said up. */
struct loss {
	uint64_t probes, lost;
	uint32_t share; /* hundredths of a percent */
};

static struct loss loss_of(const struct health *h, const struct health_probes *p)
{
	struct loss loss = {.probes = p->sent, .lost = p->lost, .share = p->loss};

	if (h->up_probes < p->sent) {
		loss.probes = h->up_probes;
		loss.lost = h->up_lost;
		loss.share = loss.probes ? (uint32_t)(loss.lost * 10000 / loss.probes) : 0;
	}
	return loss;
}

static void note_budget(struct health *h, const struct health_rules *r,
			const struct health_probes *p, const struct loss *loss)
{
	uint64_t answers = p->sent > p->lost ? p->sent - p->lost : 0;

	if (!r->max_rtt_ns)
		h->slow = false;
	else if (p->rtt_ns && p->rtt_ns <= r->max_rtt_ns - r->max_rtt_ns / 10)
		h->slow = false;
	else if (p->rtt_ns > r->max_rtt_ns && answers >= RTT_ANSWERS)
		h->slow = true;

	if (loss->share <= r->max_loss / 2)
		h->lossy = false;
	else if (loss->share > r->max_loss && loss->lost > (r->max_loss ? 1 : 0))
		h->lossy = true;
}

static enum health_state judge_budget(struct health *h, const struct health_rules *r,
				      const struct health_probes *p)
{
	bool small = p->mtu_found && p->mtu_found < p->mtu_set;
	struct loss loss = loss_of(h, p);
	char rtt[32], limit[32];

	note_budget(h, r, p, &loss);
	ms(p->rtt_ns, rtt);
	ms(r->max_rtt_ns, limit);
	if (h->lossy)
		say(h, "%u.%02u%% of %llu probes lost, %u.%02u%% allowed%s", loss.share / 100,
		    loss.share % 100, (unsigned long long)loss.probes, r->max_loss / 100u,
		    r->max_loss % 100u, h->slow || small ? "; " : "");
	if (h->slow)
		say(h, "median RTT %s, %s allowed%s", rtt, limit, small ? "; " : "");
	if (small)
		say(h, "packets above %u bytes are lost (MTU %u is set): black hole", p->mtu_found,
		    p->mtu_set);
	if (h->lossy || h->slow || small)
		return HEALTH_DEGRADED;
	if (p->rtt_ns)
		say(h, "median RTT %s, ", rtt);
	say(h, "%llu of %llu %s lost", (unsigned long long)loss.lost,
	    (unsigned long long)loss.probes, probes_word(loss.probes));
	if (h->lost_in_row)
		say(h, "; no answer to the last %u, down after %u", h->lost_in_row,
		    (unsigned int)(h->lost_in_row + h->score - h->rise + 1));
	return HEALTH_UP;
}

static enum health_state judge_probes(struct health *h, const struct health_rules *r,
				      const struct health_look *l, const struct health_probes *p,
				      uint64_t now)
{
	static const struct health_probes none;

	if (!h->scored) {
		say(h, "no answer yet; %u %s lost, down after %u", h->lost_in_row,
		    probes_word(h->lost_in_row), h->fall);
		say_handshake(h, l, now);
		return HEALTH_UNKNOWN;
	}
	if (h->score < h->rise)
		return judge_lost(h, l, now);
	return judge_budget(h, r, p ? p : &none);
}

/* What needs no evidence. The way back up then takes `rise` answers. */
static bool plainly_down(struct health *h, const struct health_look *l)
{
	if (!l->exists)
		say(h, "interface is gone");
	else if (!l->admin_up)
		say(h, "interface is set down");
	else if (l->established_known && !l->established)
		say(h, "no security association is established in both directions");
	else
		return false;
	decide_down(h);
	h->lost_in_row = 0;
	return true;
}

static bool set_state(struct health *h, enum health_state to, uint64_t now)
{
	if (h->state == to)
		return false;
	h->state = to;
	h->since = now;
	return true;
}

bool health_judge(struct health *h, const struct health_rules *r, const struct health_look *l,
		  const struct health_probes *p, uint64_t now)
{
	enum health_state to;

	follow_rules(h, r);
	mend_clock(h, now);
	note_look(h, l, now);
	h->reason[0] = '\0';
	if (!r->probed)
		h->slow = h->lossy = false;
	if (plainly_down(h, l)) {
		to = HEALTH_DOWN;
	} else if (r->probed) {
		to = judge_probes(h, r, l, p, now);
	} else if (l->established_known) {
		say(h, "security associations are established; no probe is configured");
		to = HEALTH_UP;
	} else if (l->handshake_known) {
		to = judge_handshake(h, l, now);
	} else {
		say(h, "no probe is configured, and nothing else tells");
		to = HEALTH_UNKNOWN;
	}
	return set_state(h, to, now);
}
