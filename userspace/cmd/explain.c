/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * explain.c - `explain`: which arm and backend a client gets, and why
 *
 * The answer is the program's own: it is run on the maps of the attached one with a made-up SYN or
 * datagram, and sends, counts and remembers nothing. What the program cannot say is added from the
 * same maps: what the next deadlines will change, and, where the port decides and none was given,
 * the odds.
 */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/explain_listen.h"
#include "userspace/cmd/explain_run.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/control.h"
#include "userspace/plane/load.h"

#define MAX_REASONS 16

enum arm { ARM_OLD, ARM_NEW, ARM_EITHER };

static const char *const arm_names[] = {"old", "new", "either"};

struct inquiry {
	struct plane p;
	uint32_t client[4];
	uint16_t client_port; /* network order, 0: not given */
	struct explain_wish wish;
	int service_id;
	struct shift_service service;
	struct shift_listen listen;
	struct explain_listens listens;
	struct shift_record record;
	bool has_record;
	uint64_t now; /* boot ns */
	struct shift_explanation x;
	/* The answer. */
	enum arm arm;
	bool by_rank; /* the share decides, so a deadline may change it */
	char backend[SHIFT_NAME + 1];
	char address[64]; /* the backend's that is tried first */
	char why[MAX_REASONS][240];
	unsigned int reasons;
	json_t *changes;
};

static void because(struct inquiry *q, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void because(struct inquiry *q, const char *format, ...)
{
	va_list ap;

	if (q->reasons == MAX_REASONS)
		return;
	va_start(ap, format);
	vsnprintf(q->why[q->reasons++], sizeof(q->why[0]), format, ap);
	va_end(ap);
}

/* Without its port, this client's connections go different ways. */
static bool port_decides(const struct inquiry *q)
{
	return q->service.affinity == SHIFT_AFFINITY_CONNECTION && !q->client_port;
}

static bool is_udp(const struct inquiry *q)
{
	return q->listen.protocol == IPPROTO_UDP;
}

/* ---- finding out ---- */

static int ask(struct inquiry *q, uint16_t port)
{
	struct explain_packet like = {.client_port = port, .listen = q->listen};
	uint64_t head;

	memcpy(like.client, q->client, sizeof(like.client));
	q->has_record = !control_get(&q->p.control[q->service_id], &q->record, &head);
	q->now = control_boot_ns();
	return explain_run(&q->p, &like, &q->x);
}

static void name_backend(struct inquiry *q, uint32_t id)
{
	struct shift_backend b;

	if (!bpfsys_lookup(q->p.map[PLANE_BACKENDS], &id, &b))
		snprintf(q->backend, sizeof(q->backend), "%.*s", SHIFT_NAME, b.name);
}

/* The address that the hash begins with, as pick_target in bpf/decide.bpf.h. */
static void name_first_target(struct inquiry *q)
{
	uint32_t list = shift_list(!ip_is_v4(q->client), q->listen.protocol);
	uint32_t id = q->x.backend, n;
	char address[64], nat[64];
	struct shift_backend b;
	struct shift_target t;

	if (bpfsys_lookup(q->p.map[PLANE_BACKENDS], &id, &b))
		return;
	n = b.targets[list] < SHIFT_BACKEND_TARGETS ? b.targets[list] : SHIFT_BACKEND_TARGETS;
	if (!n)
		return;
	id = b.target[list][(q->x.hash >> 16 & 0xffff) * n >> 16];
	if (bpfsys_lookup(q->p.map[PLANE_TARGETS], &id, &t))
		return;
	snprintf(q->address, sizeof(q->address), "%s", text_address(t.address, t.port, address));
	because(q, "of its addresses %s is tried first, from %s", q->address,
		text_address(t.nat, 0, nat));
}

/* The parts of the backends that take connections, from the table itself. */
static void add_backend_odds(struct inquiry *q)
{
	uint32_t table = (uint32_t)q->service_id * 2 + !ip_is_v4(q->client);
	uint32_t parts[SHIFT_MAX_BACKENDS] = {0}, sum = 0;
	char text[200] = "";
	struct shift_table t;
	size_t used = 0;

	if (bpfsys_lookup(q->p.map[PLANE_TABLES], &table, &t) || !t.entries)
		return;
	for (uint32_t i = 0; i < SHIFT_TABLE; i++) {
		if (t.backend[i] < SHIFT_MAX_BACKENDS)
			parts[t.backend[i]]++;
	}
	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS; id++) {
		struct shift_backend b;

		if (!parts[id] || bpfsys_lookup(q->p.map[PLANE_BACKENDS], &id, &b))
			continue;
		if (b.flags & SHIFT_BACKEND_DRAIN ||
		    (b.health == SHIFT_HEALTH_DOWN && q->now < b.health_until))
			parts[id] = 0;
		sum += parts[id];
	}
	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS && used < sizeof(text); id++) {
		struct shift_backend b;

		if (!parts[id] || bpfsys_lookup(q->p.map[PLANE_BACKENDS], &id, &b))
			continue;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s %.0f%%",
					 used ? ", " : "", SHIFT_NAME, b.name,
					 100.0 * parts[id] / sum);
	}
	if (used)
		because(q, "of those that go to the new arm: %s", text);
}

/* ---- judging ---- */

static void judge_rank(struct inquiry *q)
{
	uint32_t threshold = shift_record_threshold(&q->record, q->now);
	char a[16], n[32], m[32];

	text_weight(q->has_record ? shift_record_weight(&q->record, q->now) : 0, a);
	if (port_decides(q)) {
		q->arm = !threshold			    ? ARM_OLD
			 : threshold >= SHIFT_THRESHOLD_MAX ? ARM_NEW
							    : ARM_EITHER;
		because(q,
			"affinity is connection: address and port decide, so without the port only "
			"the odds are known: %s%% go to the new arm",
			a);
		return;
	}
	because(q, "its rank is %s of %s, that is %.2f%%; the share in force is %s%%: the %s arm",
		text_count(q->x.rank, n), text_count(SHIFT_RANKS, m),
		100.0 * q->x.rank / SHIFT_RANKS, a, q->x.rank < threshold ? "new" : "old");
	if (q->service.affinity == SHIFT_AFFINITY_CLIENT && !ip_is_v4(q->client))
		because(q, "affinity is client: IPv6 clients are told apart by their /64");
	q->arm = q->x.rank < threshold ? ARM_NEW : ARM_OLD;
}

/* Pins and bypass, which come before the share. True: they decide alone. */
static bool judge_client(struct inquiry *q)
{
	q->arm = ARM_OLD;
	switch (q->x.client_action) {
	case SHIFT_CLIENT_BYPASS:
		because(q, "it is listed under bypass: always the old arm, and not counted");
		return true;
	case SHIFT_CLIENT_OLD:
		because(q, "it is pinned to the old arm, whatever the share");
		return true;
	case SHIFT_CLIENT_DENY:
		because(q, "clients.deny or clients.allow of the configuration keeps it from being "
			   "shifted, whatever the share");
		return true;
	case SHIFT_CLIENT_PEER:
		because(q, "it is a peer's address: what a peer has shifted is not shifted again");
		return true;
	case SHIFT_CLIENT_NEW:
		if (q->record.latched) {
			because(q, "it is pinned to the new arm, but a rollback suspends that");
			return false;
		}
		because(q, "it is pinned to the new arm, whatever the share");
		q->arm = ARM_NEW;
		return true;
	default:
		return false;
	}
}

static void judge_backend(struct inquiry *q)
{
	bool reset = q->record.authority == SHIFT_AUTHORITY_NEW &&
		     q->service.on_unable == SHIFT_UNABLE_RESET;

	if (q->arm == ARM_OLD)
		return;
	if (q->listen.flags & SHIFT_LISTEN_QUIC)
		because(q,
			"it is QUIC: only an Initial begins a connection; what else comes from an "
			"unknown address and port stays with the old host");
	if (port_decides(q)) {
		add_backend_odds(q);
		return;
	}
	if (q->x.verdict == SHIFT_FORWARD) {
		name_backend(q, q->x.backend);
		because(q, "among the backends its hash names %s", q->backend);
		name_first_target(q);
		return;
	}
	if (q->x.verdict == SHIFT_PASS_FALLBACK) {
		q->arm = ARM_OLD;
		because(q, "but no backend of its address family is usable: %s",
			!reset	    ? "the old host serves it"
			: is_udp(q) ? "it is answered that the port is unreachable (authority new, "
				      "on_unable: reset)"
				    : "the connection is reset (authority new, on_unable: reset)");
	}
}

/* "2m00s": after so long without a packet a UDP tuple is decided anew. */
static const char *silence(const struct inquiry *q, char ret[32])
{
	uint64_t ticks = q->service.timeout_udp;
	struct shift_globals g;

	if (plane_globals(&q->p, &g) || !g.hz)
		return "timeouts.udp";
	return text_duration((ticks << SHIFT_TICK_SHIFT) * 1000000000 / g.hz, ret);
}

/* A live record of this very address and port answers the question. */
static bool judge_flow(struct inquiry *q)
{
	static const char *const names[] = {"free", "not yet answered", "being set up",
					    "established", "closing"};
	uint32_t id = q->x.target;
	struct shift_target t;
	char address[64], in[32];

	if (!q->x.flow_state || q->x.flow_state >= SHIFT_FLOW_DONE)
		return false;
	name_backend(q, q->x.backend);
	if (!bpfsys_lookup(q->p.map[PLANE_TARGETS], &id, &t))
		snprintf(q->address, sizeof(q->address), "%s",
			 text_address(t.address, t.port, address));
	q->arm = ARM_NEW;
	if (is_udp(q))
		because(q,
			"a shifted UDP flow of this address and port is %s: it stays with %s, "
			"whatever the share, until %s of silence (it began in epoch %llu)",
			q->x.flow_state == SHIFT_FLOW_SYN_SENT ? "not yet answered" : "answered",
			q->backend, silence(q, in), (unsigned long long)q->x.epoch);
	else
		because(q,
			"a shifted connection of this address and port is %s: it stays with %s, "
			"whatever the share (it began in epoch %llu)",
			names[q->x.flow_state], q->backend, (unsigned long long)q->x.epoch);
	return true;
}

/*
 * The record of a connection that is over hides the decision on the next one. With affinity client
 * the program can be asked with another port; else the rank is known, but no backend.
 */
static int look_behind_record(struct inquiry *q)
{
	if (q->x.flow_state < SHIFT_FLOW_DONE)
		return 0;
	name_backend(q, q->x.backend);
	because(q, "its last connection went to %s and is over; the next is decided afresh",
		q->backend);
	q->backend[0] = '\0';
	if (q->service.affinity == SHIFT_AFFINITY_CLIENT)
		return ask(q, 0);
	q->x.verdict = SHIFT_PASS_LOCAL_SYN;
	return 0;
}

/* What the old host has already stays there. */
static bool judge_local(struct inquiry *q)
{
	char in[32];

	if (q->x.local_socket == 1)
		because(q, "the host itself has a %s of this address and port: it stays",
			is_udp(q) ? "connected UDP socket" : "connection");
	else if (q->x.local_socket == 2 && is_udp(q))
		because(q,
			"it stays with the old host: its datagrams go there already, whatever the "
			"share, until %s of silence",
			silence(q, in));
	else if (q->x.local_socket == 2)
		because(q, "this SYN was left to the old host before and is remembered");
	return q->x.local_socket;
}

static void judge(struct inquiry *q)
{
	if (judge_flow(q) || judge_local(q))
		return;
	if (judge_client(q)) {
		judge_backend(q);
		return;
	}
	if (q->service.flags & SHIFT_SERVICE_DRAIN || q->listen.flags & SHIFT_LISTEN_DRAIN) {
		because(q, "the %s has left the configuration: nothing new is shifted",
			q->service.flags & SHIFT_SERVICE_DRAIN ? "service" : "listen address");
		return;
	}
	q->by_rank = true;
	judge_rank(q);
	if (q->record.latched)
		because(q, "a rollback by %.*s latched the share", SHIFT_NAME,
			q->record.latched_by);
	if (q->record.mode == SHIFT_MODE_SHADOW && q->arm != ARM_OLD) {
		because(q, "but in shadow mode it is only counted: the old host serves it");
		q->arm = ARM_OLD;
		return;
	}
	judge_backend(q);
}

/* What one deadline will do to this client. */
static void foresee(struct inquiry *q, uint64_t deadline, const char *cause)
{
	uint32_t before, after;
	char in[32], w[16];
	const char *then;

	if (!deadline || deadline <= q->now)
		return;
	before = shift_record_threshold(&q->record, deadline - 1);
	after = shift_record_threshold(&q->record, deadline);
	if (before == after)
		return;
	text_duration(deadline - q->now, in);
	text_weight(shift_record_weight(&q->record, deadline), w);
	then = port_decides(q) ? "either" : arm_names[q->x.rank < after ? ARM_NEW : ARM_OLD];
	if (port_decides(q))
		because(q, "in %s%s the share becomes %s%%", in, cause, w);
	else
		because(q, "in %s%s the share becomes %s%%: %s %s arm", in, cause, w,
			(q->x.rank < after) == (q->x.rank < before) ? "still the" : "then the",
			then);
	json_array_append_new(
		q->changes,
		json_pack("{s:f, s:f, s:s}", "in_s", (double)(deadline - q->now) / 1e9, "weight",
			  shift_record_weight(&q->record, deadline) / 100.0, "arm", then));
}

static void foresee_all(struct inquiry *q)
{
	const struct shift_record *r = &q->record;

	if (!q->by_rank || !q->has_record)
		return;
	foresee(q, r->not_before, "");
	foresee(q, r->confirm_deadline, ", unless confirmed,");
	foresee(q, r->lease_deadline, ", unless the daemon goes on,");
}

/* ---- telling ---- */

static void print_text(const struct inquiry *q)
{
	char client[64], to[72];

	text_address(q->client, q->client_port, client);
	explain_listen_text(&q->listen, to);
	printf("%s to %s: %s%s%s%s%s\n", client, to,
	       q->arm == ARM_EITHER ? "either arm"
	       : q->arm == ARM_NEW  ? "new arm"
				    : "old arm",
	       q->backend[0] && q->arm == ARM_NEW ? ", backend " : "",
	       q->arm == ARM_NEW ? q->backend : "", q->address[0] ? " at " : "", q->address);
	for (unsigned int i = 0; i < q->reasons; i++)
		printf("  %s\n", q->why[i]);
}

static json_t *text_or_null(const char *text)
{
	return *text ? json_string(text) : json_null();
}

static void print_answer_json(struct inquiry *q)
{
	static const char *const verdicts[] = SHIFT_VERDICT_NAMES;
	uint32_t threshold = shift_record_threshold(&q->record, q->now);
	uint16_t weight = q->has_record ? shift_record_weight(&q->record, q->now) : 0;
	bool odds = port_decides(q);
	char client[64], to[64];
	json_t *why = json_array(), *j;

	for (unsigned int i = 0; i < q->reasons; i++)
		json_array_append_new(why, json_string(q->why[i]));
	j = json_pack("{s:i, s:s, s:s, s:o, s:s, s:s, s:o, s:o}", "schema", 1, "service",
		      q->service.name, "client", text_address(q->client, 0, client), "port",
		      q->client_port ? json_integer(ntohs(q->client_port)) : json_null(), "to",
		      text_address(q->listen.address, q->listen.port, to), "arm", arm_names[q->arm],
		      "backend", text_or_null(q->backend), "address", text_or_null(q->address));
	json_object_set_new(j, "protocol", json_string(is_udp(q) ? "udp" : "tcp"));
	json_object_set_new(j, "weight", json_real(weight / 100.0));
	json_object_set_new(j, "epoch", json_integer((json_int_t)q->record.epoch));
	json_object_set_new(j, "rank", odds ? json_null() : json_integer(q->x.rank));
	json_object_set_new(j, "threshold", json_integer(threshold));
	json_object_set_new(j, "verdict",
			    odds ? json_null()
				 : json_string(verdicts[q->x.verdict % SHIFT_VERDICTS]));
	json_object_set_new(j, "changes", json_incref(q->changes));
	json_object_set_new(j, "why", why);
	print_json(j);
}

/* ---- the verb ---- */

static int cannot_ask(int err)
{
	say("explain: the program could not be run: %s%s%s", strerror(-err),
	    *load_complaint() ? "\n" : "", load_complaint());
	return EXIT_FAILED;
}

static int no_such_listen(const struct inquiry *q)
{
	const char *protocol = q->wish.protocol == IPPROTO_UDP	 ? "/udp"
			       : q->wish.protocol == IPPROTO_TCP ? "/tcp"
								 : "";
	char to[64];

	if (q->wish.port)
		return usage_error("--to: service %.*s does not listen on %s%s; it listens on %s",
				   SHIFT_NAME, q->service.name,
				   text_address(q->wish.address, q->wish.port, to), protocol,
				   q->listens.all);
	say("service %.*s has no IPv%d listener for this client; it listens on %s", SHIFT_NAME,
	    q->service.name, ip_family(q->client), q->listens.all);
	return EXIT_FAILED;
}

/* Who did not say which protocol is told that there are two. */
static void say_protocol(const struct inquiry *q)
{
	char text[2][72];

	if (!is_udp(q) && q->listens.udp.flags)
		say("this is about %s; for UDP: --to %s", explain_listen_text(&q->listen, text[0]),
		    explain_listen_text(&q->listens.udp, text[1]));
}

static int answer(const struct options *o, struct inquiry *q)
{
	int err = explain_find_listen(&q->p, q->service_id, q->client, &q->wish, &q->listens);

	if (err == -ENOENT)
		return no_such_listen(q);
	q->listen = q->listens.first;
	if (!err)
		err = ask(q, q->client_port);
	if (err)
		return cannot_ask(err);
	if (!q->x.listen) {
		say("the program does not know its own listen address: shiftctl apply");
		return EXIT_FAILED;
	}
	err = look_behind_record(q);
	if (err)
		return cannot_ask(err);
	judge(q);
	foresee_all(q);
	if (o->json) {
		print_answer_json(q);
	} else {
		print_text(q);
		say_protocol(q);
	}
	return EXIT_OK;
}

static int explain(const struct options *o, struct inquiry *q)
{
	int code = open_plane(&q->p);

	if (!code && !q->p.attachments) {
		say("no program is attached to any interface: shiftctl apply");
		code = EXIT_FAILED;
	}
	if (!code) {
		q->service_id = choose_service(&q->p, o, &q->service);
		code = q->service_id < 0 ? -q->service_id : answer(o, q);
	}
	plane_close(&q->p);
	return code;
}

int cmd_explain(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--to=", NULL};
	struct inquiry q = {0};
	const char *value, *client = NULL;
	int at = 1, what, code;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -3)
			return EXIT_USAGE;
		if (what == -1) {
			if (client)
				return usage_error("explain: one client, not also '%s'", value);
			client = value;
		} else if (ip_parse_listen(value, q.wish.address, &q.wish.port, &q.wish.protocol)) {
			return usage_error("--to: '%s' is no address with a port such as "
					   "203.0.113.10:443, 203.0.113.10:443/udp or "
					   "[2001:db8::10]:443/tcp",
					   value);
		}
	}
	if (!client)
		return usage_error("explain: which client? An address, or address:port");
	if (ip_parse(client, q.client, &q.client_port))
		return usage_error("explain: '%s' is no address such as 192.0.2.7, 192.0.2.7:1234 "
				   "or [2001:db8::7]:1234",
				   client);
	if (q.wish.port && ip_is_v4(q.wish.address) != ip_is_v4(q.client))
		return usage_error("explain: client and --to are of different address families");
	q.changes = json_array();
	code = explain(o, &q);
	json_decref(q.changes);
	return code;
}
