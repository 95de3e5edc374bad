/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/tunnel_report.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/metrics.h"
#include "userspace/base/text.h"

#define WORST_TEXT 4096

static const char *const levels[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

enum level { OK, WARNING, CRITICAL, UNKNOWN };

/* What an operator wants to hear of first. */
static int urgency(enum level l)
{
	static const int order[] = {0, 2, 3, 1};

	return order[l];
}

static enum level worse(enum level a, enum level b)
{
	return urgency(a) > urgency(b) ? a : b;
}

static bool other_works(const struct watch *w, const struct watch_group *g, unsigned int i)
{
	for (unsigned int k = 0; k < g->group.n; k++) {
		enum health_state s = w->tunnel[g->group.member[k]].health.state;

		if (g->group.member[k] != i && k == g->failover.active &&
		    (s == HEALTH_UP || s == HEALTH_IDLE || s == HEALTH_DEGRADED))
			return true;
	}
	return false;
}

/* A tunnel that is down while another member carries the routes is a warning: what is lost is the
 * spare. */
static enum level level_of(struct watch *w, unsigned int i)
{
	const struct watch_tunnel *t = &w->tunnel[i];
	const struct watch_group *g = watch_group_of(w, i);

	if (t->conf->fixed.given && t->fixed.worn && t->health.state != HEALTH_DOWN)
		return WARNING;
	switch (t->health.state) {
	case HEALTH_UP:
	case HEALTH_IDLE:
		return g->failover.active && g->failover.active == group_place(&g->group, i)
			       ? WARNING
			       : OK;
	case HEALTH_DEGRADED:
		return WARNING;
	case HEALTH_DOWN:
		return other_works(w, g, i) ? WARNING : CRITICAL;
	default:
		return UNKNOWN;
	}
}

/* ---- JSON ---- */

static json_t *number(double value, bool known)
{
	return known ? json_real(value) : json_null();
}

static double ms(uint64_t ns)
{
	return (double)(ns / 1000) / 1000;
}

json_t *tunnel_json(const struct watch *w, unsigned int i)
{
	const struct watch_tunnel *t = &w->tunnel[i];
	const struct window_stats *s = &t->stats;
	bool rtt = s->decided > s->lost, loss = s->decided > 0;
	json_t *j = json_pack("{s:s, s:s, s:s, s:b}", "name", t->conf->name, "kind",
			      want_kind(t->conf), "state", health_state_name(t->health.state),
			      "active", watch_active(w, i));

	json_object_set_new(j, "interface", json_string(t->interface));
	json_object_set_new(j, "reason", json_string(t->health.reason));
	json_object_set_new(j, "note", t->note[0] ? json_string(t->note) : json_null());
	json_object_set_new(j, "rtt_ms", number(ms(s->p50_ns), rtt));
	json_object_set_new(j, "rtt_p95_ms", number(ms(s->p95_ns), rtt));
	json_object_set_new(j, "jitter_ms", number(ms(s->jitter_ns), rtt));
	json_object_set_new(j, "loss", number((double)s->loss / 10000, loss));
	json_object_set_new(j, "handshake_age_s",
			    t->handshake_age_ns == UINT64_MAX
				    ? json_null()
				    : json_integer((json_int_t)(t->handshake_age_ns / 1000000000)));
	json_object_set_new(j, "rx_bytes",
			    t->look.exists ? json_integer((json_int_t)t->look.rx) : json_null());
	json_object_set_new(j, "tx_bytes",
			    t->look.exists ? json_integer((json_int_t)t->look.tx) : json_null());
	json_object_set_new(j, "mtu", t->mtu ? json_integer(t->mtu) : json_null());
	json_object_set_new(j, "mtu_passes",
			    t->mtu_found ? json_integer(t->mtu_found) : json_null());
	if (t->conf->fixed.given)
		json_object_set_new(j, "spare_keys", json_integer(t->fixed.spare));
	return j;
}

/* ---- the line ---- */

static void __attribute__((format(printf, 3, 4)))
append(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + used, size - used, format, ap);
	va_end(ap);
}

static void tell_one(struct watch *w, unsigned int i, char *text, size_t size)
{
	const struct watch_tunnel *t = &w->tunnel[i];
	const struct watch_group *g = watch_group_of(w, i);
	char age[32];

	append(text, size, "%s%s %s", text[0] ? "; " : "", t->conf->name,
	       health_state_name(t->health.state));
	if (t->stats.decided > t->stats.lost)
		append(text, size, " rtt %.1fms", ms(t->stats.p50_ns));
	if (t->stats.decided)
		append(text, size, " loss %.4g%%", (double)t->stats.loss / 100);
	if (t->handshake_age_ns != UINT64_MAX)
		append(text, size, " handshake %s ago", text_duration(t->handshake_age_ns, age));
	if (t->health.state != HEALTH_UP && t->health.reason[0])
		append(text, size, " (%s%s%s)", t->health.reason, t->note[0] ? "; " : "", t->note);
	if (t->conf->fixed.given && t->fixed.worn)
		append(text, size,
		       " (its key is worn and there is no other: shiftctl tunnel keys %s)",
		       t->conf->name);
	if (g->group.n > 1 && g->failover.active == group_place(&g->group, i))
		append(text, size, "%s",
		       g->failover.active ? ", carries the routes as the backup"
					  : ", carries the routes");
}

static void perfdata(const struct watch_tunnel *t, char *text, size_t size)
{
	const struct conf_probe *p = &t->conf->probe;
	bool rtt = t->stats.decided > t->stats.lost;
	char label[CONF_NAME + 16], limit[32];

	if (p->given) {
		snprintf(label, sizeof(label), "%s_rtt", t->conf->name);
		snprintf(limit, sizeof(limit), "%llu", (unsigned long long)p->max_rtt_ms);
		perfdata_add(text, size, label, rtt ? ms(t->stats.p50_ns) : NAN, "ms", limit, NULL,
			     0, NAN);
		snprintf(label, sizeof(label), "%s_loss", t->conf->name);
		snprintf(limit, sizeof(limit), "%.4g", (double)p->max_loss / 100);
		perfdata_add(text, size, label,
			     t->stats.decided ? (double)t->stats.loss / 100 : NAN, "%", limit, NULL,
			     0, 100);
	}
	if (t->conf->wireguard.given) {
		snprintf(label, sizeof(label), "%s_handshake_age", t->conf->name);
		perfdata_add(text, size, label,
			     t->handshake_age_ns == UINT64_MAX
				     ? NAN
				     : (double)(t->handshake_age_ns / 1000000000),
			     "s", NULL, NULL, 0, NAN);
	}
}

int tunnel_report(struct tunnels *t, const struct options *o, bool daemon)
{
	char text[WORST_TEXT] = "", numbers[WORST_TEXT] = "";
	json_t *list = json_array();
	enum level level = OK;

	for (unsigned int i = 0; i < t->watch->n; i++)
		if (t->chosen[i])
			level = worse(level, level_of(t->watch, i));
	/* the worst first: a pager shows the beginning of the line */
	for (int urgent = 3; urgent >= 0; urgent--)
		for (unsigned int i = 0; i < t->watch->n; i++)
			if (t->chosen[i] && urgency(level_of(t->watch, i)) == urgent)
				tell_one(t->watch, i, text, sizeof(text));
	for (unsigned int i = 0; i < t->watch->n; i++) {
		if (!t->chosen[i])
			continue;
		perfdata(&t->watch->tunnel[i], numbers, sizeof(numbers));
		json_array_append_new(list, tunnel_json(t->watch, i));
	}
	if (o->json)
		print_json(json_pack("{s:i, s:o, s:s, s:b}", "schema", 1, "tunnels", list, "status",
				     levels[level], "daemon", daemon));
	else
		printf("SHIFT TUNNEL %s - %s%s%s\n", levels[level], text, numbers[0] ? " | " : "",
		       numbers);
	if (!o->json)
		json_decref(list);
	return level;
}

int tunnel_report_unknown(const struct options *o, const char *why)
{
	char said[1024];

	if (o->json)
		print_json(json_pack("{s:i, s:[], s:s, s:s, s:s}", "schema", 1, "tunnels", "status",
				     "UNKNOWN", "error", why, "said",
				     json_said(said, sizeof(said))));
	else
		printf("SHIFT TUNNEL UNKNOWN - %s\n", why);
	return UNKNOWN;
}

/* ---- textfile ---- */

struct series {
	const char *name, *help;
	enum metrics_type type;
	double (*value)(const struct watch *w, unsigned int i);
};

static double is_up(const struct watch *w, unsigned int i)
{
	enum health_state s = w->tunnel[i].health.state;

	return s == HEALTH_UNKNOWN ? NAN : s != HEALTH_DOWN;
}

static double state_of(const struct watch *w, unsigned int i)
{
	return w->tunnel[i].health.state;
}

static double is_active(const struct watch *w, unsigned int i)
{
	return watch_active(w, i);
}

static double rtt_of(const struct watch *w, unsigned int i)
{
	const struct window_stats *s = &w->tunnel[i].stats;

	return s->decided > s->lost ? (double)s->p50_ns / 1e9 : NAN;
}

static double loss_of(const struct watch *w, unsigned int i)
{
	const struct window_stats *s = &w->tunnel[i].stats;

	return s->decided ? (double)s->loss / 10000 : NAN;
}

static double handshake_of(const struct watch *w, unsigned int i)
{
	uint64_t age = w->tunnel[i].handshake_age_ns;

	return age == UINT64_MAX ? NAN : (double)age / 1e9;
}

static double rx_of(const struct watch *w, unsigned int i)
{
	return (double)w->tunnel[i].look.rx;
}

static double tx_of(const struct watch *w, unsigned int i)
{
	return (double)w->tunnel[i].look.tx;
}

int tunnel_textfile(struct tunnels *t, const char *path)
{
	static const struct series all[] = {
		{"shift_tunnel_up", "1 unless the tunnel is down.", METRICS_GAUGE, is_up},
		{"shift_tunnel_state", "0 unknown, 1 up, 2 idle, 3 degraded, 4 down.",
		 METRICS_GAUGE, state_of},
		{"shift_tunnel_active", "1 when it carries its group's routes.", METRICS_GAUGE,
		 is_active},
		{"shift_tunnel_rtt_seconds", "Median of the last probes.", METRICS_GAUGE, rtt_of},
		{"shift_tunnel_loss_ratio", "Of the last probes.", METRICS_GAUGE, loss_of},
		{"shift_tunnel_handshake_age_seconds", "Since the last handshake of WireGuard.",
		 METRICS_GAUGE, handshake_of},
		{"shift_tunnel_receive_bytes_total", "Received through the tunnel.",
		 METRICS_COUNTER, rx_of},
		{"shift_tunnel_transmit_bytes_total", "Sent through the tunnel.", METRICS_COUNTER,
		 tx_of},
	};
	struct metrics m;

	metrics_begin(&m);
	for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++) {
		metrics_family(&m, all[k].name, all[k].type, all[k].help);
		for (unsigned int i = 0; i < t->watch->n; i++) {
			const struct watch_tunnel *w = &t->watch->tunnel[i];

			if (t->chosen[i])
				metrics_value(&m, all[k].value(t->watch, i), "tunnel",
					      w->conf->name, "kind", want_kind(w->conf), NULL);
		}
	}
	return metrics_write(&m, path);
}
