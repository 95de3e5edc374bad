/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_load.c - a client's flows are counted no longer than they live, however they end: then it
 * has as many more as it may, and not one more than that
 *
 * case_limit.c has the limit itself.
 */
#include <stdio.h>
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"
#include "tests/bpf/single.h"

#define CAP   3
#define PORTS 64 /* fewer than a sweep looks at */

static struct frame f;

/* A flow of the client's. */
struct one {
	struct end client;
	struct shift_flow_ref place;
};

static uint32_t azure(const struct story *s, bool udp)
{
	return (s->v6 ? 23u : 13u) + (udp ? 3 : 0);
}

static uint32_t load(const struct story *s)
{
	static struct shift_load l;
	uint32_t id = RIG_SERVICE, sum = 0;

	rig_get(s->rig, RIG_LOAD, &id, &l);
	for (size_t i = 0; i < SHIFT_RANKS; i++)
		sum += l.flows[i];
	return sum;
}

static struct shift_cursor cursor(const struct story *s, uint32_t target)
{
	uint32_t key = target * SHIFT_MAX_SHARDS;
	struct shift_cursor c;

	rig_get(s->rig, RIG_CURSORS, &key, &c);
	return c;
}

/* The next look for flows that ended in silence need not wait for the next tick. */
static void may_sweep(const struct story *s, uint32_t target)
{
	uint32_t key = target * SHIFT_MAX_SHARDS;
	struct shift_cursor c = cursor(s, target);

	c.sweep_tick = rig_tick(s->rig) - 2;
	rig_put(s->rig, RIG_CURSORS, &key, &c);
}

static void begin(struct story *s, uint32_t cap, bool udp)
{
	play_shape(s, PORTS, 1);
	s->backend = RIG_AZURE;
	if (udp)
		play_begin(s, false);
	s->rig->service.client_cap = cap;
	rig_put_service(s->rig);
}

/* ---- TCP ---- */

static void packet(struct story *s, const struct one *o, bool up, uint8_t flags, uint32_t seq,
		   uint32_t ack)
{
	struct segment seg = {.src = up ? o->client : story_target(s, &o->place),
			      .dst = up ? rig_listen_end(s->v6) : story_nat(s, &o->place),
			      .seq = (up ? 1001 : 5001) + seq,
			      .ack = (up ? 5001 : 1001) + ack,
			      .flags = flags,
			      .ttl = 60};

	frame_build(&f, &seg);
	if (rig_run(s->rig, s->rig->ingress, &f, &s->run))
		check_fail("the kernel does not run it");
}

static struct shift_flow *record(const struct story *s, const struct one *o)
{
	return &s->rig->slots[o->place.target][o->place.index];
}

static void refused(struct story *s, const struct one *o)
{
	packet(s, o, false, TCP_RST | TCP_ACK, 0, 0);
	packet(s, o, false, TCP_RST | TCP_ACK, 0, 0);
}

static void answered(struct story *s, const struct one *o)
{
	packet(s, o, false, TCP_SYN | TCP_ACK, ~0u, 0);
}

static void established(struct story *s, const struct one *o)
{
	answered(s, o);
	packet(s, o, true, TCP_ACK, 0, 0);
}

static void client_gives_up(struct story *s, const struct one *o)
{
	answered(s, o);
	packet(s, o, true, TCP_RST, 0, 0);
	packet(s, o, true, TCP_RST, 0, 0);
}

/* The client's packet acknowledges the SYN-ACK of somebody else: of the host, by cookie. */
static void cookie(struct story *s, const struct one *o)
{
	packet(s, o, true, TCP_ACK, 0, 1u << 20);
}

static void reset_by_client(struct story *s, const struct one *o)
{
	established(s, o);
	packet(s, o, true, TCP_RST, 0, 0);
	packet(s, o, true, TCP_RST, 0, 0);
}

static void reset_by_backend(struct story *s, const struct one *o)
{
	established(s, o);
	packet(s, o, false, TCP_RST | TCP_ACK, 0, 0);
	packet(s, o, true, TCP_RST, 0, 0);
}

static void backend_closes(struct story *s, const struct one *o)
{
	established(s, o);
	packet(s, o, false, TCP_FIN | TCP_ACK, 0, 0);
	packet(s, o, true, TCP_FIN | TCP_ACK, 0, 1);
	packet(s, o, false, TCP_ACK, 1, 1);
	packet(s, o, false, TCP_ACK, 1, 1);
}

static void both_close(struct story *s, const struct one *o)
{
	established(s, o);
	packet(s, o, true, TCP_FIN | TCP_ACK, 0, 0);
	packet(s, o, false, TCP_FIN | TCP_ACK, 0, 0);
	packet(s, o, true, TCP_ACK, 1, 1);
	packet(s, o, false, TCP_ACK, 1, 1);
	packet(s, o, false, TCP_RST, 1, 0);
}

static void half_closed(struct story *s, const struct one *o)
{
	established(s, o);
	packet(s, o, true, TCP_FIN | TCP_ACK, 0, 0);
	packet(s, o, false, TCP_ACK, 0, 1);
}

/* A little ahead of what is expected: if nothing follows, it was obeyed. */
static void reset_ahead(struct story *s, const struct one *o)
{
	established(s, o);
	packet(s, o, true, TCP_RST, 700, 0);
	packet(s, o, true, TCP_RST, 700, 0);
}

/* It was not: the flow goes on, counted as before, and then it falls silent. */
static void reset_disobeyed(struct story *s, const struct one *o)
{
	reset_ahead(s, o);
	packet(s, o, false, TCP_ACK, 0, 0);
	packet(s, o, true, TCP_ACK, 0, 0);
}

static void unanswered(struct story *s, const struct one *o)
{
	(void)s;
	(void)o;
}

/* How a flow ends that has had its SYN: at once, or so many seconds after its last packet, where it
 * is looked for when the client comes again. */
static const struct ending {
	const char *name;
	void (*end)(struct story *s, const struct one *o);
	uint8_t state;
	int seconds;
} endings[] = {
	{"refused", refused, SHIFT_FLOW_DONE, 0},
	{"reset by the client before it began", client_gives_up, SHIFT_FLOW_DONE, 0},
	{"the old host's by a cookie", cookie, SHIFT_FLOW_ABANDONED, 0},
	{"reset by the client", reset_by_client, SHIFT_FLOW_DONE, 0},
	{"reset by the backend", reset_by_backend, SHIFT_FLOW_DONE, 0},
	{"closed by the backend", backend_closes, SHIFT_FLOW_TIME_WAIT, 0},
	{"closed by both at once", both_close, SHIFT_FLOW_TIME_WAIT, 0},
	{"never answered", unanswered, SHIFT_FLOW_SYN_SENT, 60},
	{"never confirmed", answered, SHIFT_FLOW_SYN_RECV, 62},
	{"silent", established, SHIFT_FLOW_ESTABLISHED, 7440},
	{"half closed, then silent", half_closed, SHIFT_FLOW_CLOSING, 240},
	{"reset, perhaps", reset_ahead, SHIFT_FLOW_CLOSING, 240},
	{"not reset after all, then silent", reset_disobeyed, SHIFT_FLOW_ESTABLISHED, 7440},
};

static void open(struct story *s, struct one *o)
{
	play_flood(s, 1);
	*o = (struct one){.client = s->client_end, .place = s->place};
}

static void limited(struct story *s, const char *what)
{
	struct tally before, after;

	may_sweep(s, azure(s, false));
	rig_tally(s->rig, &before);
	CHECK(play_syn(s) == SHIFT_PASS_FALLBACK, "%s: one more than it may have", what);
	rig_tally(s->rig, &after);
	check_equal(after.service.fallback[SHIFT_FALLBACK_CLIENT_LIMIT] -
			    before.service.fallback[SHIFT_FALLBACK_CLIENT_LIMIT],
		    1, "fallback client_limit");
}

/* All but one end; the one goes on. */
static void end_all_but_one(struct story *s, const struct ending *e, struct one one[CAP])
{
	established(s, &one[0]);
	for (int i = 1; i < CAP; i++) {
		e->end(s, &one[i]);
		check_equal(record(s, &one[i])->state, e->state, "state");
	}
	if (!e->seconds)
		return;
	check_equal(load(s), CAP, "live flows, before they have run out");
	rig_age(s->rig, e->seconds - 1, false);
	rig_forget_limits(s->rig);
	record(s, &one[0])->expires = rig_tick(s->rig) + 9000 * RIG_SECOND;
	limited(s, "a second too early");
	rig_age(s->rig, 2, false);
	may_sweep(s, azure(s, false));
}

static void as_many_again(struct story *s)
{
	for (size_t k = 0; k < sizeof(endings) / sizeof(endings[0]) && !check_failed(); k++) {
		const struct ending *e = &endings[k];
		struct one one[CAP];

		begin(s, CAP, false);
		for (int i = 0; i < CAP; i++)
			open(s, &one[i]);
		limited(s, "at first");
		end_all_but_one(s, e, one);
		if (!e->seconds)
			check_equal(load(s), 1, "live flows, when the others are over");
		play_flood(s, CAP - 1);
		check_equal(load(s), CAP, "live flows, when others took their places");
		limited(s, "then");
		if (check_failed())
			check_fail("the others: %s", e->name);
	}
}

/* The tuple of a flow that is over is used again: one flow, not two and not none. */
static void same_tuple(struct story *s)
{
	struct segment seg;
	struct one o;

	begin(s, 1, false);
	open(s, &o);
	for (int i = 0; i < 5; i++) {
		reset_by_client(s, &o);
		check_equal(load(s), 0, "live flows after a reset");
		single_syn(&o.client, &seg);
		frame_build(&f, &seg);
		if (rig_run(s->rig, s->rig->ingress, &f, &s->run) ||
		    !rig_flow(s->rig, &o.client, &o.place))
			check_fail("the tuple is not begun anew");
		check_equal(load(s), 1, "live flows on the same tuple");
	}
	limited(s, "with one on an old tuple");
}

/* What finds no room in the index, or no port, is not counted. */
static void no_room(struct story *s)
{
	struct tally t;

	begin(s, 1, false);
	rig_fill_flows(s->rig);
	for (int i = 0; i < 3; i++)
		CHECK(play_syn(s) == SHIFT_PASS_FALLBACK, "there is room in the index");
	rig_tally(s->rig, &t);
	check_equal(t.service.fallback[SHIFT_FALLBACK_TABLE_FULL], 3, "table_full");
	check_equal(load(s), 0, "live flows, with the index full");
	check_equal(cursor(s, azure(s, false)).half_open, 0, "half open, with the index full");
	rig_empty_index(s->rig);
	play_flood(s, 1);
	limited(s, "with room again");
}

/* ---- UDP ---- */

static void udp_silent(struct story *s)
{
	for (int answers = 0; answers < 2; answers++) {
		begin(s, 1, true);
		if (answers)
			play_open(s);
		else
			play_client(s, NULL, SHIFT_FORWARD, "the first");
		check_equal(load(s), 1, "live flows");
		play_client(s, NULL, SHIFT_FORWARD, "once more");
		check_equal(load(s), 1, "live flows, once more");
		rig_age(s->rig, 121, false);
		may_sweep(s, azure(s, true));
		s->client_end.port++;
		s->placed = false;
		play_client(s, NULL, SHIFT_FORWARD, "another, when that is over");
		check_equal(load(s), 1, "live flows at the end");
	}
}

static void udp_cut(struct story *s)
{
	for (int up = 0; up < 2; up++) {
		begin(s, 1, true);
		play_open(s);
		tell(s, "cut older\n");
		if (up) {
			s->placed = false;
			play_client(s, NULL, SHIFT_FORWARD, "decided anew");
			check_equal(load(s), 1, "live flows, decided anew");
		} else {
			play_backend(s, NULL, SHIFT_PASS_REPLY_UNKNOWN, "cut");
			check_equal(load(s), 0, "live flows, cut");
		}
	}
}

/* ---- the port is the host's next ---- */

/* As `apply` leaves the port of a connection that it finds masqueraded. */
static void left_by_apply(const struct story *s, const struct one *o)
{
	struct shift_flow *r = record(s, o);

	r->was = r->state;
	r->expires = rig_tick(s->rig) + 5000 * RIG_SECOND;
	r->flags |= SHIFT_FLOW_HOSTS;
	r->state = SHIFT_FLOW_ABANDONED;
}

/* Nobody saw the flow end, and its port is left to the host, which may use it for days. */
static void left_to_host(struct story *s)
{
	uint32_t target = azure(s, false), key = target * SHIFT_MAX_SHARDS;

	for (int how = 0; how < 3 && !check_failed(); how++) {
		struct shift_cursor c;
		struct one o;

		begin(s, 1, false);
		rig_target_flags(s->rig, target, SHIFT_TARGET_USED | SHIFT_TARGET_MASQUERADE);
		open(s, &o);
		if (how)
			established(s, &o);
		rig_age(s->rig, 7441, false);
		if (how == 2)
			left_by_apply(s, &o);
		c = cursor(s, target);
		c.left_tick = rig_tick(s->rig) - 1000;
		rig_put(s->rig, RIG_CURSORS, &key, &c);
		packet(s, &o, false, TCP_ACK, 0, 0);
		CHECK(record(s, &o)->flags & SHIFT_FLOW_HOSTS, "the port is not left to the host");
		check_equal(cursor(s, target).half_open, 0, "half open");
		may_sweep(s, target);
		play_flood(s, 1);
		check_equal(load(s), 1, "live flows");
		limited(s, "then");
		if (check_failed())
			check_fail("a flow that %s",
				   how ? how == 1 ? "was silent" : "apply found no more"
				       : "nobody answered");
	}
}

static const struct tale tales[] = {
	{.name = "ended in any way, as many again and no more", .more = as_many_again},
	{.name = "one tuple again and again", .more = same_tuple},
	{.name = "none that found no room", .more = no_room},
	{.name = "UDP that fell silent", .more = udp_silent},
	{.name = "UDP that was cut", .more = udp_cut},
	{.name = "none whose port is the host's now", .more = left_to_host},
};

void cases_load(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "a client's flows", tales, sizeof(tales) / sizeof(tales[0]));
}
