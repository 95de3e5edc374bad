/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * story_lines.c - the lines of a story that are no packets: what operators do, what the host's own
 * sockets do, how time goes by, and what the record of the flow should be
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bpf/check.h"
#include "tests/bpf/host.h"
#include "tests/bpf/story.h"

static const char *const state_names[SHIFT_FLOW_STATES] = {
	"free", "syn_sent", "syn_recv", "established", "closing", "done", "time_wait", "abandoned"};

static bool is(const char *word, const char *wanted)
{
	return !strcmp(word, wanted);
}

/* A time in boot ns, as "60s" from now or "past". */
static uint64_t from_now(const char *text)
{
	return is(text, "past") ? 1 : rig_boot_ns() + (uint64_t)(story_seconds(text) * 1e9);
}

/* ---- operators ---- */

/* weight 25 */
static void line_weight(struct story *s, char *arg[])
{
	rig_weight(s->rig, atof(arg[0]));
}

/* authority old|shared|new */
static void line_authority(struct story *s, char *arg[])
{
	struct shift_record next = rig_record(s->rig);

	next.epoch++;
	next.authority = is(arg[0], "new")   ? SHIFT_AUTHORITY_NEW
			 : is(arg[0], "old") ? SHIFT_AUTHORITY_OLD
					     : SHIFT_AUTHORITY_SHARED;
	rig_publish(s->rig, &next);
}

/* rollback: share 0, latched; flows go on.  rollback cut: flows of before are reset. */
static void line_rollback(struct story *s, char *arg[])
{
	struct shift_record next = rig_record(s->rig);

	next.epoch++;
	next.weight = 0;
	next.threshold = 0;
	next.latched = 1;
	if (arg[0])
		next.cut_epoch = next.epoch;
	rig_publish(s->rig, &next);
}

/* shadow on|off */
static void line_shadow(struct story *s, char *arg[])
{
	struct shift_record next = rig_record(s->rig);

	next.epoch++;
	next.mode = is(arg[0], "on") ? SHIFT_MODE_SHADOW : SHIFT_MODE_ACTIVE;
	rig_publish(s->rig, &next);
}

/* cut flow: as a paced cut marks one flow.  cut older: flows of before are reset, the share stays.
 */
static void line_cut(struct story *s, char *arg[])
{
	struct shift_record next = rig_record(s->rig);
	struct shift_flow *f = story_record(s);

	if (is(arg[0], "flow")) {
		if (f)
			f->cut = 1;
		return;
	}
	next.epoch++;
	next.cut_epoch = next.epoch;
	rig_publish(s->rig, &next);
}

/* pin old|new|peer|deny|allow|bypass [UNTIL]: this client alone; until that time from now, or
 * "past". */
static void line_pin(struct story *s, char *arg[])
{
	uint32_t action = is(arg[0], "new")	? SHIFT_CLIENT_NEW
			  : is(arg[0], "old")	? SHIFT_CLIENT_OLD
			  : is(arg[0], "peer")	? SHIFT_CLIENT_PEER
			  : is(arg[0], "deny")	? SHIFT_CLIENT_DENY
			  : is(arg[0], "allow") ? SHIFT_CLIENT_ALLOW
						: SHIFT_CLIENT_BYPASS;

	rig_pin(s->rig, &s->client_end, 128, action, arg[1] ? from_now(arg[1]) : 0);
}

static void service_flags(struct story *s, uint8_t flags)
{
	uint32_t id = RIG_SERVICE;

	s->rig->service.flags = flags;
	rig_put(s->rig, RIG_SERVICES, &id, &s->rig->service);
}

static void listen_flags(struct story *s, uint8_t flags)
{
	uint32_t id = RIG_LISTEN(s->v6);
	struct shift_listen l;

	rig_get(s->rig, RIG_LISTENS, &id, &l);
	l.flags = flags;
	rig_put(s->rig, RIG_LISTENS, &id, &l);
}

/* The story's own target, or the one that its client's flow would be on. */
static uint32_t target_here(const struct story *s)
{
	if (s->placed)
		return s->place.target;
	for (int i = 0; i < RIG_TARGETS; i++)
		if (s->rig->target[i].v6 == s->v6 && s->rig->target[i].backend == s->backend)
			return s->rig->target[i].id;
	return 0;
}

/* drain service|listener|backend|target: leaves the configuration. */
static void line_drain(struct story *s, char *arg[])
{
	if (is(arg[0], "service"))
		service_flags(s, SHIFT_SERVICE_USED | SHIFT_SERVICE_DRAIN);
	else if (is(arg[0], "listener"))
		listen_flags(s, SHIFT_LISTEN_USED | SHIFT_LISTEN_DRAIN);
	else if (is(arg[0], "backend"))
		rig_backend_edit(s->rig, s->backend, SHIFT_BACKEND_USED | SHIFT_BACKEND_DRAIN, 0,
				 0);
	else
		rig_target_flags(s->rig, target_here(s), SHIFT_TARGET_USED | SHIFT_TARGET_DRAIN);
}

/* remove service|backend|target: its place is free. */
static void line_remove(struct story *s, char *arg[])
{
	if (is(arg[0], "service"))
		service_flags(s, 0);
	else if (is(arg[0], "backend"))
		rig_backend_edit(s->rig, s->backend, 0, 0, 0);
	else
		rig_target_flags(s->rig, target_here(s), 0);
}

/* health up|down|unknown UNTIL: of the story's backend, until that time from now (or "past"). */
static void line_health(struct story *s, char *arg[])
{
	uint8_t health = is(arg[0], "up")     ? SHIFT_HEALTH_UP
			 : is(arg[0], "down") ? SHIFT_HEALTH_DOWN
					      : SHIFT_HEALTH_UNKNOWN;

	rig_backend_edit(s->rig, s->backend, SHIFT_BACKEND_USED, health,
			 from_now(arg[1] ? arg[1] : "past"));
}

/* no_route: the last look found no way to the target. */
static void line_no_route(struct story *s, char *arg[])
{
	(void)arg;
	rig_target_flags(s->rig, target_here(s), SHIFT_TARGET_USED | SHIFT_TARGET_NO_ROUTE);
}

/* on_unable reset|local */
static void line_on_unable(struct story *s, char *arg[])
{
	uint32_t id = RIG_SERVICE;

	s->rig->service.on_unable = is(arg[0], "reset") ? SHIFT_UNABLE_RESET : SHIFT_UNABLE_LOCAL;
	rig_put(s->rig, RIG_SERVICES, &id, &s->rig->service);
}

/* full flows: no entry of the table is free.  full ports: no port of this family's targets. */
static void line_full(struct story *s, char *arg[])
{
	if (is(arg[0], "flows")) {
		rig_fill_flows(s->rig);
		s->filled = true;
		return;
	}
	for (int i = 0; i < RIG_TARGETS; i++) {
		uint32_t id = s->rig->target[i].id;

		for (uint32_t k = 0; s->rig->target[i].v6 == s->v6 && k < s->rig->slot_ports[id];
		     k++) {
			s->rig->slots[id][k].state = SHIFT_FLOW_ESTABLISHED;
			s->rig->slots[id][k].expires = rig_tick(s->rig) + 7440 * RIG_SECOND;
		}
	}
}

/* ---- the client, and time ---- */

static enum rig_backend backend_named(const char *name)
{
	return is(name, "aws")	   ? RIG_AWS
	       : is(name, "azure") ? RIG_AZURE
	       : is(name, "gcp")   ? RIG_GCP
				   : RIG_ANY;
}

/* someone aws|azure|gcp [FROM TO]: another client, ranks in percent. */
static void line_someone(struct story *s, char *arg[])
{
	story_client(s, backend_named(arg[0]), arg[1] ? atof(arg[1]) : 25,
		     arg[1] && arg[2] ? atof(arg[2]) : 50);
}

/* numbers CLIENT BACKEND: the initial ones of the next connection. */
static void line_numbers(struct story *s, char *arg[])
{
	s->client.isn = s->client.next = (uint32_t)strtoul(arg[0], NULL, 10);
	s->server.isn = s->server.next = (uint32_t)strtoul(arg[1], NULL, 10);
}

/* another: the same client opens a further connection, from another port. */
static void line_another(struct story *s, char *arg[])
{
	(void)arg;
	s->client_end.port++;
	story_new_numbers(s);
}

/* served by NAME: the share of the story's backend goes to this one.  served by any */
static void line_served(struct story *s, char *arg[])
{
	s->backend = backend_named(arg[1]);
	s->spills = true;
}

/* not served by NAME: the last flow is another backend's. */
static void line_not(struct story *s, char *arg[])
{
	const struct shift_flow *f = story_record(s);

	if (!f || f->backend == backend_named(arg[2]))
		story_fail(s, "the flow is at %s", arg[2]);
}

/* grow: all flows are in the table that is grown out of. */
static void line_grow(struct story *s, char *arg[])
{
	(void)arg;
	rig_grow(s->rig);
}

/* time 61s */
static void line_time(struct story *s, char *arg[])
{
	rig_age(s->rig, story_seconds(arg[0]), s->left_local);
}

/* forget syns: as if a flood had pushed them out. */
static void line_forget(struct story *s, char *arg[])
{
	(void)arg;
	rig_forget_syns(s->rig);
}

/* ---- the host ---- */

static void host_listens(struct story *s)
{
	struct end at = rig_listen_end(s->v6);

	s->listener = host_listen(&at);
	if (s->listener < 0)
		story_fail(s, "no listener: %s", strerror(-s->listener));
}

/* The host's answer to the client, as flags (PSH aside); the client has seen it. */
static void host_answers(struct story *s, const char *letters)
{
	struct end from = rig_listen_end(s->v6);
	static struct frame f;
	uint8_t wanted = 0;

	for (; *letters; letters++)
		wanted |= *letters == 'S'   ? TCP_SYN
			  : *letters == 'A' ? TCP_ACK
			  : *letters == 'F' ? TCP_FIN
					    : TCP_RST;
	while (wire_read(s->net, &from, &s->client_end, 2000, &f)) {
		if ((frame_tcp_flags(&f) & (uint8_t)~TCP_PSH) != wanted)
			continue;
		s->client.seen = frame_tcp_seq(&f) + (uint32_t)frame_tcp_payload(&f) +
				 !!(wanted & (TCP_SYN | TCP_FIN));
		return;
	}
	story_fail(s, "the host did not answer so");
}

static void host_accepts(struct story *s)
{
	s->connection = host_accept(s->listener);
	if (s->connection < 0)
		story_fail(s, "nothing to accept: %s", strerror(-s->connection));
}

static void host_shuts(struct story *s)
{
	close(s->connection);
	s->connection = -1;
}

/* Its own connection, from the listen port to the client's. */
static void host_calls(struct story *s)
{
	struct end from = rig_listen_end(s->v6);

	s->other = host_connect(&from, &s->client_end);
	if (s->other < 0)
		story_fail(s, "the host cannot call: %s", strerror(-s->other));
}

/*
 * host listens|accepts|calls   a real listener; takes a connection; opens one to the client
 * host hears                   the client's last packet reaches the host's stack
 * host answers FLAGS           what the host sends to the client, which sees it
 * host closes                  the accepted connection, with a FIN
 * host got N                   bytes that came in on the accepted connection
 * host cookies                 answers SYNs with cookies, keeping nothing
 * host says FLAGS …            see story_answer.c
 */
static void line_host(struct story *s, char *arg[])
{
	if (is(arg[0], "says")) {
		story_host_says(s, arg + 1);
		return;
	}
	s->host_speaks = true;
	if (is(arg[0], "listens"))
		host_listens(s);
	else if (is(arg[0], "hears"))
		wire_send(s->net, &s->client.last);
	else if (is(arg[0], "answers"))
		host_answers(s, arg[1]);
	else if (is(arg[0], "accepts"))
		host_accepts(s);
	else if (is(arg[0], "calls"))
		host_calls(s);
	else if (is(arg[0], "closes"))
		host_shuts(s);
	else if (is(arg[0], "cookies") && net_sysctl("ipv4/tcp_syncookies", "2"))
		story_fail(s, "no SYN cookies on this kernel");
	else if (is(arg[0], "got") && host_received(s->connection) != atoi(arg[1]))
		story_fail(s, "the host did not get %s bytes", arg[1]);
}

/* ---- the record ---- */

/* What was seen of both sides and the flags, as one number. */
static uint32_t flag_named(const char *name)
{
	static const struct {
		const char *name;
		uint32_t up, down, flags;
	} names[] = {
		{"cfin", SHIFT_SEEN_FIN, 0, 0},
		{"crst", SHIFT_SEEN_RST, 0, 0},
		{"bfin", 0, SHIFT_SEEN_FIN, 0},
		{"brst", 0, SHIFT_SEEN_RST, 0},
		{"sure", SHIFT_SEEN_FIN_SURE, SHIFT_SEEN_FIN_SURE, 0},
		{"tw", 0, SHIFT_SEEN_FIN_FIRST, 0},
		{"data", SHIFT_SEEN_DATA, SHIFT_SEEN_DATA, 0},
		{"cut", 0, 0, SHIFT_FLOW_CUT},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is(name, names[i].name))
			return names[i].up << 16 | names[i].down << 8 | names[i].flags;
	return ~0u;
}

/* What is left to the record, against the state's time-out or what the line says. */
static void check_time_left(struct story *s, const struct shift_flow *f, const char *text)
{
	uint32_t timeout = s->rig->service.timeout[f->state & 7], wanted;
	int32_t left = (int32_t)(f->expires - rig_tick(s->rig));

	if (text) {
		wanted = (uint32_t)(story_seconds(text) * RIG_SECOND);
		if (left > (int32_t)wanted || left < (int32_t)wanted - RIG_SECOND)
			story_fail(s, "the record holds for %d ticks more, should for %u", left,
				   wanted);
	} else if ((int32_t)(f->expires - timeout - s->tick_before) < 0 ||
		   (int32_t)(f->expires - timeout - s->tick_after) > 0) {
		story_fail(s, "the record holds for %d ticks, should for %u from the last packet",
			   left, timeout);
	}
}

static void check_state(struct story *s, const struct shift_flow *f, char *arg[])
{
	uint32_t seen = (uint32_t)f->up << 16 | (uint32_t)f->down << 8 | f->flags, wanted = 0;
	const char *left = NULL;

	if (!is(state_names[f->state & 7], arg[0]))
		story_fail(s, "the record is %s, should be %s", state_names[f->state & 7], arg[0]);
	for (int i = 1; arg[i]; i++) {
		if (is(arg[i], "for"))
			left = arg[++i];
		else
			wanted |= flag_named(arg[i]);
	}
	seen &= ~(flag_named("sure") | flag_named("data"));
	if (seen != wanted)
		story_fail(s, "of client, backend, cut the record has seen %#x, should have %#x",
			   seen, wanted);
	check_time_left(s, f, left);
}

/*
 * flow none                    the client's tuple leads nowhere
 * flow STATE [FLAG…] [for T]   it leads to the last flow, which is in this state for its whole
 *                              time-out from the last packet on, or for so long from now
 *
 * FLAG: cfin, crst, bfin, brst, a FIN or RST of client or backend was believed; tw, the backend
 * closed first; cut, both were told. What is not named must not be set.
 */
static void line_flow(struct story *s, char *arg[])
{
	struct shift_flow_ref ref;
	struct shift_flow *f = rig_flow(s->rig, &s->client_end, &ref);

	if (is(arg[0], "none")) {
		if (f)
			story_fail(s, "the client's tuple leads to a flow, %s",
				   state_names[f->state & 7]);
		return;
	}
	if (!f || memcmp(&ref, &s->place, sizeof(ref)) != 0)
		story_fail(s, "the client's tuple does not lead to the last flow");
	else
		check_state(s, f, arg);
}

/* port STATE …: the same of the record, whatever the tuple leads to.  port before STATE …: of the
 * flow before. */
static void line_port(struct story *s, char *arg[])
{
	const struct shift_flow_ref *at = &s->place;

	if (is(arg[0], "before")) {
		at = &s->place_before;
		arg++;
	}
	check_state(s, &s->rig->slots[at->target][at->index], arg);
}

/* held N: so many records of the family hold their port. */
static void line_held(struct story *s, char *arg[])
{
	uint32_t tick = rig_tick(s->rig);
	int n = 0;

	for (int i = 0; i < RIG_TARGETS; i++) {
		uint32_t id = s->rig->target[i].id;

		for (uint32_t k = 0; s->rig->target[i].v6 == s->v6 && k < s->rig->slot_ports[id];
		     k++)
			n += shift_flow_holds(&s->rig->slots[id][k], tick);
	}
	if (s->filled && !s->v6)
		n--; /* the record that the full index leads to */
	if (n != atoi(arg[0]))
		story_fail(s, "%d ports are held", n);
}

/* place same|other: is the last flow on the port of the one before? */
static void line_place(struct story *s, char *arg[])
{
	bool same = s->place.target == s->place_before.target &&
		    s->place.index == s->place_before.index;

	if (same != is(arg[0], "same"))
		story_fail(s, "the flow is on port %u, the one before was on %u",
			   RIG_PORT_LO + s->place.index, RIG_PORT_LO + s->place_before.index);
}

/* timed FROM TO: the one handshake that was timed is in this step of the histogram; TO 0s: the
 * last. */
static void line_timed(struct story *s, char *arg[])
{
	static const uint32_t edges[SHIFT_HISTOGRAM_STEPS] = SHIFT_HISTOGRAM_EDGES;
	uint32_t from = (uint32_t)(story_seconds(arg[0]) * 1e5 + 0.5), step = 0;
	struct shift_backend_stats b;

	while (step < SHIFT_HISTOGRAM_STEPS && edges[step] <= from)
		step++;
	if (story_seconds(arg[1]) > 0 &&
	    edges[step] != (uint32_t)(story_seconds(arg[1]) * 1e5 + 0.5))
		story_fail(s, "there is no such step");
	rig_backend_stats(s->rig, s->backend, &b);
	for (uint32_t i = 0; i < SHIFT_HISTOGRAM; i++)
		if (b.handshake[i] != (i == step))
			story_fail(s, "step %u of the histogram has %llu, step %u should have it",
				   i, (unsigned long long)b.handshake[i], step);
}

static const struct {
	const char *name;
	int args; /* at least */
	void (*tell)(struct story *s, char *arg[]);
} lines[] = {
	{"weight", 1, line_weight},
	{"authority", 1, line_authority},
	{"rollback", 0, line_rollback},
	{"shadow", 1, line_shadow},
	{"cut", 1, line_cut},
	{"pin", 1, line_pin},
	{"drain", 1, line_drain},
	{"remove", 1, line_remove},
	{"health", 1, line_health},
	{"no_route", 0, line_no_route},
	{"on_unable", 1, line_on_unable},
	{"full", 1, line_full},
	{"someone", 1, line_someone},
	{"another", 0, line_another},
	{"served", 2, line_served},
	{"time", 1, line_time},
	{"forget", 1, line_forget},
	{"host", 1, line_host},
	{"flow", 1, line_flow},
	{"port", 1, line_port},
	{"place", 1, line_place},
	{"not", 3, line_not},
	{"timed", 2, line_timed},
	{"numbers", 2, line_numbers},
	{"grow", 0, line_grow},
	{"held", 1, line_held},
	{"watched", 1, story_watched},
	{"answers", 1, story_answers},
	{"sampled", 1, story_sampled},
	{"chose", 3, story_chose},
};

void story_line(struct story *s, char *word[], int words)
{
	char *arg[25] = {NULL}; /* NULL after the last, and some more */

	for (int i = 1; i < words; i++)
		arg[i - 1] = word[i];
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (!is(word[0], lines[i].name))
			continue;
		if (words - 1 < lines[i].args)
			break;
		lines[i].tell(s, arg);
		return;
	}
	story_fail(s, "what is '%s', of %d words?", word[0], words);
}
