/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * page_metrics.c - /metrics, made of the same document as the page
 *
 * A member that is missing or null gives no line: an alert rule with absent() sees that, and none
 * takes "not known" for 0.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "userspace/api/page.h"
#include "userspace/base/metrics.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

struct family {
	const char *name, *help;
	enum metrics_type type;
	const char *member; /* of the object that is at hand; of an inner one: "answers.begun" */
	double factor;	    /* to the base unit */
};

static const char *const arms[] = {"old", "new"};

/* NAN: it is not there, or no number. */
static double number(const json_t *j, const char *member)
{
	char name[32];
	const char *dot;

	while ((dot = strchr(member, '.'))) {
		snprintf(name, sizeof(name), "%.*s", (int)(dot - member), member);
		j = json_object_get(j, name);
		member = dot + 1;
	}
	j = json_object_get(j, member);
	if (json_is_boolean(j))
		return json_is_true(j);
	return json_is_number(j) ? json_number_value(j) : NAN;
}

static const char *text(const json_t *j, const char *member)
{
	const char *s = json_string_value(json_object_get(j, member));

	return s ? s : "";
}

static void begin(struct metrics *m, const struct family *f)
{
	metrics_family(m, f->name, f->type, f->help);
}

static double value_of(const struct family *f, const json_t *j)
{
	double v = number(j, f->member);

	return isnan(v) ? v : v * f->factor;
}

/* Those without a label. */
static void add_plain(struct metrics *m, const json_t *j, const struct family *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double v = value_of(&f[i], j);

		begin(m, &f[i]);
		if (!isnan(v))
			metrics_value(m, v, NULL);
	}
}

/* 1 for what it is and 0 for the others, so that each is a series that goes on. */
static void add_state(struct metrics *m, const char *name, const char *help, const char *label,
		      const char *is, const char *const *all, size_t n)
{
	metrics_family(m, name, METRICS_GAUGE, help);
	for (size_t i = 0; i < n && is[0]; i++)
		metrics_value(m, !strcmp(is, all[i]), label, all[i], NULL);
}

/* ---- control and the arms ---- */

static void add_control(struct metrics *m, const json_t *page, const json_t *status)
{
	static const struct family plain[] = {
		{"shift_attached", "1 when the data plane is attached.", METRICS_GAUGE, "attached",
		 1},
		{"shift_weight_ratio", "Share of the new arm that is in force.", METRICS_GAUGE,
		 "weight", 0.01},
		{"shift_epoch", "Changes of control.", METRICS_GAUGE, "epoch", 1},
		{"shift_latched", "1 after a rollback, until an operator raises.", METRICS_GAUGE,
		 "latched", 1},
		{"shift_confirm_left_seconds", "Until an unconfirmed change goes back.",
		 METRICS_GAUGE, "confirm_left_s", 1},
		{"shift_lease_left_seconds", "Until the daemon's sign of life is missed.",
		 METRICS_GAUGE, "lease_left_s", 1},
		{"shift_pins", "Networks that are pinned to an arm.", METRICS_GAUGE, "pins", 1},
	};
	static const struct family share[] = {
		{"shift_weight_seen_ratio", "Share of the new arm that was seen.", METRICS_GAUGE,
		 "seen", 0.01},
		{"shift_weight_planned_ratio", "Share of the next stage.", METRICS_GAUGE, "planned",
		 0.01},
		{"shift_overall_kept_ratio", "Share of all clients that is kept while DNS moves.",
		 METRICS_GAUGE, "overall_kept", 0.01},
		{"shift_overall_ratio",
		 "Share of all clients on the new side, those that DNS sends there counted.",
		 METRICS_GAUGE, "overall", 0.01},
		{"shift_overall_error_ratio", "One standard deviation of that.", METRICS_GAUGE,
		 "overall_error", 0.01},
		{"shift_dns_moved_ratio",
		 "Share of all clients that DNS sends to the new side, by caches and arrivals.",
		 METRICS_GAUGE, "dns_moved", 0.01},
	};
	static const char *const authorities[] = {"old", "shared", "new"};

	metrics_family(m, "shift_info", METRICS_GAUGE, "Always 1.");
	metrics_value(m, 1, "service", text(status, "service"), "host", text(page, "host"), NULL);
	add_plain(m, status, plain, COUNT(plain));
	add_plain(m, json_object_get(page, "share"), share, COUNT(share));
	add_state(m, "shift_authority", "Which side holds the true data.", "authority",
		  text(status, "authority"), authorities, COUNT(authorities));
}

static void add_arms(struct metrics *m, const json_t *status)
{
	static const struct family family[] = {
		{"shift_arm_connections_total", "New connections decided.", METRICS_COUNTER,
		 "connections", 1},
		{"shift_arm_healthy", "1 when its checks say so.", METRICS_GAUGE, "healthy", 1},
		{"shift_arm_active_flows", "Shifted flows that live.", METRICS_GAUGE, "active", 1},
		{"shift_arm_packets_total", "Packets shifted.", METRICS_COUNTER, "packets", 1},
		{"shift_arm_bytes_total", "Bytes shifted.", METRICS_COUNTER, "bytes", 1},
		{"shift_arm_watched_ratio", "Part of its connections whose answers are watched.",
		 METRICS_GAUGE, "answers.seen", 1},
		{"shift_arm_begun_total", "Watched connections that began.", METRICS_COUNTER,
		 "answers.begun", 1},
		{"shift_arm_answered_total", "Watched connections that were answered.",
		 METRICS_COUNTER, "answers.answered", 1},
		{"shift_arm_failed_total", "Watched connections that failed.", METRICS_COUNTER,
		 "answers.failed", 1},
		{"shift_arm_answer_p50_seconds", "Time to the first answer, since attach.",
		 METRICS_GAUGE, "answers.ms.p50", 0.001},
		{"shift_arm_answer_p95_seconds", "The same.", METRICS_GAUGE, "answers.ms.p95",
		 0.001},
		{"shift_arm_answer_p99_seconds", "The same.", METRICS_GAUGE, "answers.ms.p99",
		 0.001},
	};
	static const char *const edges[] = {"100", "200", "500"};
	const json_t *all = json_object_get(status, "arms");

	for (size_t i = 0; i < COUNT(family); i++) {
		begin(m, &family[i]);
		for (size_t a = 0; a < COUNT(arms); a++) {
			double v = value_of(&family[i], json_object_get(all, arms[a]));

			if (!isnan(v))
				metrics_value(m, v, "arm", arms[a], NULL);
		}
	}
	metrics_family(m, "shift_arm_slow_answers_total", METRICS_COUNTER,
		       "First answers that took longer than that many milliseconds.");
	for (size_t a = 0; a < COUNT(arms); a++) {
		const json_t *is = json_object_get(json_object_get(all, arms[a]), "answers");

		for (size_t i = 0; i < COUNT(edges); i++) {
			double v = number(json_object_get(is, "over_ms"), edges[i]);

			if (!isnan(v))
				metrics_value(m, v, "arm", arms[a], "over_ms", edges[i], NULL);
		}
	}
}

static void add_backends(struct metrics *m, const json_t *status)
{
	static const struct family family[] = {
		{"shift_backend_healthy", "1 when its checks say so.", METRICS_GAUGE, "healthy", 1},
		{"shift_backend_weight", "Among the backends.", METRICS_GAUGE, "weight", 1},
		{"shift_backend_active_flows", "Flows that live.", METRICS_GAUGE, "active", 1},
		{"shift_backend_connections_total", "New connections.", METRICS_COUNTER,
		 "connections", 1},
		{"shift_backend_handshake_failures_total", "Handshakes that failed.",
		 METRICS_COUNTER, "handshake_failures", 1},
		{"shift_backend_handshake_p95_seconds", "Of its handshakes.", METRICS_GAUGE,
		 "handshake_ms.p95", 0.001},
		{"shift_backend_breaker_opened_total", "Times that the breaker opened.",
		 METRICS_COUNTER, "breaker_opened", 1},
	};
	const json_t *all = json_object_get(status, "backends"), *b;
	size_t k;

	for (size_t i = 0; i < COUNT(family); i++) {
		begin(m, &family[i]);
		json_array_foreach (all, k, b) {
			double v = value_of(&family[i], b);

			if (!isnan(v))
				metrics_value(m, v, "backend", text(b, "name"), "address",
					      text(b, "address"), NULL);
		}
	}
}

/* The members of an object of counters. */
static void add_reasons(struct metrics *m, const char *name, const char *help, json_t *counters)
{
	const char *key;
	json_t *value;

	metrics_family(m, name, METRICS_COUNTER, help);
	json_object_foreach (counters, key, value)
		if (json_is_number(value))
			metrics_value(m, json_number_value(value), "reason", key, NULL);
}

/* ---- what watches ---- */

static void add_gates(struct metrics *m, const json_t *ramp)
{
	static const char *const verdicts[] = {"ok", "inconclusive", "pause", "back", "rollback"};
	const json_t *all = json_object_get(ramp, "gates"), *g;
	size_t k;

	metrics_family(m, "shift_gate_verdict", METRICS_GAUGE, "1 for what a gate says.");
	json_array_foreach (all, k, g)
		for (size_t i = 0; i < COUNT(verdicts); i++)
			metrics_value(m, !strcmp(text(g, "verdict"), verdicts[i]), "gate",
				      text(g, "name"), "verdict", verdicts[i], NULL);
	metrics_family(m, "shift_gate_value", METRICS_GAUGE, "In the unit of the gate's bounds.");
	json_array_foreach (all, k, g)
		if (!isnan(number(g, "value")))
			metrics_value(m, number(g, "value"), "gate", text(g, "name"), NULL);
}

static void add_ramp(struct metrics *m, const json_t *ramp)
{
	static const struct family plain[] = {
		{"shift_ramp_stage", "Whose weight is in force.", METRICS_GAUGE, "stage", 1},
		{"shift_ramp_stages", "Of the plan.", METRICS_GAUGE, "stages", 1},
		{"shift_ramp_hold_left_seconds", "Of this stage's hold.", METRICS_GAUGE,
		 "hold_left_s", 1},
	};
	static const char *const states[] = {"idle",	  "holding", "paused",
					     "promoting", "done",    "rolled-back"};

	add_state(m, "shift_ramp_state", "1 for the ramp's state.", "state", text(ramp, "state"),
		  states, COUNT(states));
	add_plain(m, ramp, plain, COUNT(plain));
	metrics_family(m, "shift_ramp_frozen", METRICS_GAUGE, "1 while promotions are stopped.");
	if (json_is_object(ramp))
		metrics_value(m, json_is_object(json_object_get(ramp, "frozen")), NULL);
	add_gates(m, ramp);
}

static void add_dns(struct metrics *m, const json_t *dns)
{
	static const struct family plain[] = {
		{"shift_dns_share_new", "Share of the caches that have the new answer.",
		 METRICS_GAUGE, "share_new", 1},
		{"shift_dns_eta_seconds", "Until the last cache forgets the old answer.",
		 METRICS_GAUGE, "eta_s", 1},
		{"shift_dns_age_seconds", "Since DNS was seen last.", METRICS_GAUGE, "age_s", 1},
	};
	static const char *const verdicts[] = {"old",	      "new",  "mixed", "stale",
					       "unreachable", "lame", "broken"};
	static const char *const states[] = {"old", "mixed", "new", "unknown"};
	const json_t *all = json_object_get(dns, "sources"), *s;
	size_t k;

	add_state(m, "shift_dns_state", "1 for what the sources say together.", "state",
		  text(dns, "state"), states, COUNT(states));
	add_plain(m, dns, plain, COUNT(plain));
	metrics_family(m, "shift_dns_sources", METRICS_GAUGE, "Sources by what they say.");
	for (size_t i = 0; i < COUNT(verdicts) && json_is_array(all); i++) {
		unsigned int n = 0;

		json_array_foreach (all, k, s)
			n += !strcmp(text(s, "verdict"), verdicts[i]);
		metrics_value(m, n, "verdict", verdicts[i], NULL);
	}
}

static void add_tunnels(struct metrics *m, const json_t *tunnels)
{
	static const struct family family[] = {
		{"shift_tunnel_active", "1 when it carries its group's routes.", METRICS_GAUGE,
		 "active", 1},
		{"shift_tunnel_rtt_seconds", "Median of the last probes.", METRICS_GAUGE, "rtt_ms",
		 0.001},
		{"shift_tunnel_loss_ratio", "Of the last probes.", METRICS_GAUGE, "loss", 1},
		{"shift_tunnel_handshake_age_seconds", "Since the last handshake of WireGuard.",
		 METRICS_GAUGE, "handshake_age_s", 1},
	};
	const json_t *all = json_object_get(tunnels, "tunnels"), *t;
	size_t k;

	metrics_family(m, "shift_tunnel_up", METRICS_GAUGE, "1 unless the tunnel is down.");
	json_array_foreach (all, k, t)
		if (strcmp(text(t, "state"), "unknown") != 0)
			metrics_value(m, strcmp(text(t, "state"), "down") != 0, "tunnel",
				      text(t, "name"), "kind", text(t, "kind"), NULL);
	for (size_t i = 0; i < COUNT(family); i++) {
		begin(m, &family[i]);
		json_array_foreach (all, k, t) {
			double v = value_of(&family[i], t);

			if (!isnan(v))
				metrics_value(m, v, "tunnel", text(t, "name"), "kind",
					      text(t, "kind"), NULL);
		}
	}
}

static void add_alarms(struct metrics *m, const json_t *alarms)
{
	static const char *const levels[] = {"critical", "warning"};
	const json_t *a;
	size_t k;

	metrics_family(m, "shift_alarms", METRICS_GAUGE, "Alarms that stand.");
	for (size_t i = 0; i < COUNT(levels) && json_is_array(alarms); i++) {
		unsigned int n = 0;

		json_array_foreach (alarms, k, a)
			n += !strcmp(text(a, "level"), levels[i]);
		metrics_value(m, n, "level", levels[i], NULL);
	}
}

static void add_interfaces(struct metrics *m, const json_t *status)
{
	const json_t *all = json_object_get(status, "interfaces"), *i;
	size_t k;

	metrics_family(m, "shift_interface_attached", METRICS_GAUGE,
		       "1 when the program runs on it.");
	json_array_foreach (all, k, i)
		if (!isnan(number(i, "attached")))
			metrics_value(m, number(i, "attached"), "interface", text(i, "name"), NULL);
}

static void add_flow_log(struct metrics *m, const json_t *log)
{
	static const struct family plain[] = {
		{"shift_flow_log_written_total", "Flows that the flow log has a line of.",
		 METRICS_COUNTER, "written", 1},
		{"shift_flow_log_lost_total", "Flows that ended and are not in it.",
		 METRICS_COUNTER, "lost", 1},
		{"shift_flow_log_failing", "1 while it cannot be written.", METRICS_GAUGE,
		 "failing", 1},
	};

	add_plain(m, log, plain, COUNT(plain));
}

void api_page_metrics(const json_t *page, struct metrics *m)
{
	const json_t *status = json_object_get(page, "status");

	add_control(m, page, status);
	add_arms(m, status);
	add_backends(m, status);
	add_interfaces(m, status);
	add_reasons(m, "shift_drops_total", "Packets that the programs dropped.",
		    json_object_get(status, "drops"));
	add_reasons(m, "shift_fallback_local_total",
		    "Connections that the old host served instead.",
		    json_object_get(status, "fallback_local"));
	add_ramp(m, json_object_get(page, "ramp"));
	add_dns(m, json_object_get(page, "dns"));
	add_tunnels(m, json_object_get(page, "tunnels"));
	add_alarms(m, json_object_get(page, "alarms"));
	add_flow_log(m, json_object_get(page, "flow_log"));
}
