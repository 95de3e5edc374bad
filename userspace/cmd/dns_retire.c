/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_retire.c - is the old address still in use, and why
 *
 * The data plane counts every new connection at the old address, whichever arm serves it, and keeps
 * the networks from which those come that it left local; of those that it shifted the records that
 * are still there are counted by network. Counts of earlier runs are in the store: without a
 * history as long as the TTLs asked for nothing is known, and no data is never a pass.
 *
 * Weakness: what the old host serves of connections that began before the data plane was attached,
 * or that bypass it, is not seen.
 */
#include "userspace/cmd/dns_retire.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/metrics.h"
#include "userspace/base/text.h"
#include "userspace/base/whole.h"
#include "userspace/plane/arrivals.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/telemetry.h"

#define DEFAULT_BOUND 0.05 /* three a minute: what scans every address of the Internet */
#define DEFAULT_TTLS  3
#define SHOWN	      10 /* networks, as text */
#define MAX_NETWORKS  512
#define SECOND	      1000000000.0

double dns_retire_bound(const char *text)
{
	char *end;
	double n = strtod(text, &end), per = 1;

	if (end == text || !isfinite(n) || n < 0)
		return -1;
	if (!strcmp(end, "/m"))
		per = 60;
	else if (!strcmp(end, "/h"))
		per = 3600;
	else if (*end && strcmp(end, "/s") != 0)
		return -1;
	return n / per;
}

/* ---- pure ---- */

static const char *duration(double s, char ret[32])
{
	return text_duration((uint64_t)(s * SECOND), ret);
}

enum dns_retire_verdict dns_retire_arrivals(const struct dns_flows_point *p, unsigned int n,
					    double ttl_s, double window_s, double bound,
					    double *ret_rate, char why[256])
{
	double now = n ? p[n - 1].at : 0, covered = 0, worst = NAN;
	unsigned int end = n ? n - 1 : 0, i = end;
	char a[32], b[32];

	while (i > 0 && covered < window_s) {
		const struct dns_flows_point *from = &p[i - 1], *to = &p[end];
		double stretch = to->at - from->at;

		if (from->begun != to->begun || from->count > p[i].count || stretch < 0)
			break;
		i--;
		/* The oldest stretch may be shorter than a TTL: it counts as one. */
		if (stretch >= ttl_s || now - from->at >= window_s || i == 0) {
			double over = stretch > ttl_s ? stretch : ttl_s;
			double rate = (double)(to->count - from->count) / over;

			worst = isnan(worst) ? rate : fmax(worst, rate);
			end = i;
		}
		covered = now - from->at;
	}
	*ret_rate = worst;
	if (!isnan(worst) && worst > bound) {
		snprintf(why, 256,
			 "%.3g new connections a second arrived at the old address (bound %.3g) "
			 "within the last %s",
			 worst, bound, duration(covered < window_s ? covered : window_s, a));
		return DNS_RETIRE_FAIL;
	}
	if (covered < window_s) {
		snprintf(why, 256, "arrivals are known of the last %s; ask again in %s",
			 duration(covered, a), duration(window_s - covered, b));
		return DNS_RETIRE_UNKNOWN;
	}
	snprintf(why, 256, "at most %.3g new connections a second (bound %.3g) in %s", worst, bound,
		 duration(window_s, a));
	return DNS_RETIRE_PASS;
}

static struct dns_retire_reason *add(struct dns_retire *t, const char *name,
				     enum dns_retire_verdict v)
{
	struct dns_retire_reason *r = &t->reason[t->n++];

	r->name = name;
	r->verdict = v;
	return r;
}

static void judge_records(const struct dns_report *r, struct dns_retire *t)
{
	int code = dns_survey_exit(r->s, r->j, true);
	struct dns_retire_reason *e = add(t, "records",
					  code == 0   ? DNS_RETIRE_PASS
					  : code == 3 ? DNS_RETIRE_UNKNOWN
						      : DNS_RETIRE_FAIL);
	unsigned int n = 0, fresh = 0;
	size_t used;

	for (unsigned int i = 0; i < r->s->n; i++) {
		if (!dns_survey_asked(r->s, i) || r->s->said[i].no_family)
			continue;
		n++;
		fresh += r->s->said[i].verdict == DNS_SAYS_NEW;
	}
	used = (size_t)snprintf(e->why, sizeof(e->why), "%u of %u sources have the new value",
				fresh, n);
	for (unsigned int i = 0, told = 0; i < r->s->n && told < 3; i++) {
		const struct dns_said *said = &r->s->said[i];

		if (!dns_survey_asked(r->s, i) || said->no_family || said->verdict == DNS_SAYS_NEW)
			continue;
		told++;
		used += (size_t)snprintf(e->why + used, sizeof(e->why) - used, "%s%.40s %s",
					 told > 1 ? ", " : "; ", r->s->source[i].text,
					 dns_verdicts[said->verdict]);
	}
}

static void judge_time(const struct dns_report *r, struct dns_retire *t)
{
	const struct dns_prediction *p = &r->s->prediction;
	struct dns_retire_reason *e;
	char a[32];

	if (!p->known) {
		bool old = r->j->state == DNS_STATE_OLD || r->j->state == DNS_STATE_MIXED;

		e = add(t, "time", old ? DNS_RETIRE_FAIL : DNS_RETIRE_UNKNOWN);
		snprintf(e->why, sizeof(e->why), "when the last cache forgets is not known: %s",
			 p->why);
	} else if (r->now < p->late) {
		e = add(t, "time", DNS_RETIRE_FAIL);
		snprintf(e->why, sizeof(e->why), "a cache may have the old value for %s more",
			 text_duration(p->late - r->now, a));
	} else {
		e = add(t, "time", DNS_RETIRE_PASS);
		snprintf(e->why, sizeof(e->why), "the last cache should have forgotten %s ago",
			 text_duration(r->now - p->late, a));
	}
}

/* ---- the data plane ---- */

struct network {
	uint32_t address[4];
	unsigned int bits;
	uint64_t left, shifted; /* connections left local in all; shifted ones on record */
	uint64_t last_ns;	/* CLOCK_MONOTONIC */
};

struct plane_look {
	struct dns_flows_point point;
	uint64_t alive;
	uint64_t now_ns, since_ns; /* CLOCK_MONOTONIC */
	struct network *network;
	size_t n, room;
};

static double real_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / SECOND;
}

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Which counters: the map's number, and the boot since which it means anything. */
static uint32_t counters(const struct plane *p)
{
	struct bpf_map_info info = {0};
	uint32_t hash = 2166136261u;
	char *boot = NULL;

	if (!bpfsys_map_info(p->map[PLANE_SVCSTATS], &info))
		hash = (hash ^ info.id) * 16777619u;
	if (!whole_read("/proc/sys/kernel/random/boot_id", 256, &boot, NULL))
		for (const char *c = boot; *c; c++)
			hash = (hash ^ (uint8_t)*c) * 16777619u;
	free(boot);
	return hash;
}

static struct network *network_of(struct plane_look *l, const uint32_t address[4],
				  unsigned int bits)
{
	struct network *n;

	for (size_t i = 0; i < l->n; i++)
		if (l->network[i].bits == bits &&
		    !memcmp(l->network[i].address, address, sizeof(l->network[i].address)))
			return &l->network[i];
	if (l->n == l->room)
		return NULL;
	n = &l->network[l->n++];
	memcpy(n->address, address, sizeof(n->address));
	n->bits = bits;
	return n;
}

static int on_flow(const struct flow_seen *s, void *arg)
{
	struct plane_look *l = arg;
	struct shift_arrival_key key = {0};
	struct arrival a = {0};
	struct network *n;

	if (s->f->born < l->since_ns)
		return 0;
	memcpy(key.network, s->f->client, sizeof(key.network));
	key.v4 = s->f->client[3];
	arrivals_network(&key, &a);
	/* As the arrivals of the old arm are counted: /24 and /48. */
	for (unsigned int bit = a.bits; bit < 128; bit++)
		((uint8_t *)a.address)[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	n = network_of(l, a.address, a.bits);
	if (!n)
		return 0;
	n->shifted++;
	if (s->f->born > n->last_ns)
		n->last_ns = s->f->born;
	return 0;
}

static int read_networks(const struct plane *p, int id, uint32_t tick, struct plane_look *l)
{
	struct arrival *list = NULL;
	size_t n = 0;
	int err = arrivals_list(p, id, &list, &n);

	if (err)
		return err;
	l->room = n + MAX_NETWORKS;
	l->network = calloc(l->room, sizeof(*l->network));
	for (size_t i = 0; l->network && i < n; i++) {
		struct network *to = network_of(l, list[i].address, list[i].bits);

		if (!to)
			break;
		to->left = list[i].connections;
		to->last_ns = list[i].last_ns;
	}
	free(list);
	if (!l->network)
		return -ENOMEM;
	return flows_each(p, id, tick, on_flow, l);
}

static int read_count(const struct plane *p, int id, struct dns_flows_point *ret)
{
	struct shift_service_stats stats;
	int err = telemetry_service(p, (uint32_t)id, &stats);

	if (err)
		return err;
	ret->at = real_now();
	ret->count = stats.connections_old + stats.connections_new;
	ret->begun = counters(p);
	return 0;
}

static int look_at_plane(const char *service, double window_s, struct plane_look *ret)
{
	struct flows_count count = {0};
	struct shift_globals g;
	struct plane p;
	int err = plane_find(&p), id = -1;
	uint64_t window = (uint64_t)(window_s * SECOND);

	memset(ret, 0, sizeof(*ret));
	ret->now_ns = monotonic_ns();
	ret->since_ns = ret->now_ns > window ? ret->now_ns - window : 0;
	if (!err)
		id = plane_service_by_name(&p, service);
	if (!err)
		err = id < 0 ? id : plane_globals(&p, &g);
	if (!err && !p.attachments)
		err = -ENOTCONN;
	if (!err)
		err = read_count(&p, id, &ret->point);
	if (!err)
		err = flows_count(&p, id, plane_tick(&g), &count);
	if (!err)
		err = read_networks(&p, id, plane_tick(&g), ret);
	ret->alive = count.alive;
	plane_close(&p);
	return err;
}

int dns_retire_note(const struct dns_report *r, struct dns_store *st, double keep_s)
{
	struct dns_flows_point point;
	struct plane p;
	int err = plane_find(&p), id = -1;

	if (!err)
		id = plane_service_by_name(&p, r->d->config->service);
	if (!err)
		err = id < 0 ? id : !p.attachments ? -ENOTCONN : read_count(&p, id, &point);
	plane_close(&p);
	return err ? err : dns_store_point(st, &point, keep_s);
}

/* ---- who came ---- */

static int order(const void *x, const void *y)
{
	const struct network *a = x, *b = y;
	uint64_t of_a = a->left + a->shifted, of_b = b->left + b->shifted;

	return of_a != of_b ? (of_a > of_b ? -1 : 1)
			    : memcmp(a->address, b->address, sizeof(a->address));
}

/* Those of the window; how many came a second, where an earlier run counted them too. */
static json_t *list_networks(struct plane_look *l, const struct dns_store *st)
{
	double was_at;
	uint32_t begun;
	const json_t *was = dns_store_networks(st, &was_at, &begun);
	double since = l->point.at - was_at;
	json_t *list = json_array();

	qsort(l->network, l->n, sizeof(*l->network), order);
	for (size_t i = 0; i < l->n; i++) {
		const struct network *n = &l->network[i];
		json_t *then;
		char text[64];
		double per_s = NAN;

		if (n->last_ns < l->since_ns)
			continue;
		text_network(n->address, n->bits, text);
		then = json_object_get(was, text);
		if (was && begun == l->point.begun && since > 1) {
			uint64_t before = (uint64_t)json_integer_value(then);

			per_s = (double)(n->left >= before ? n->left - before : n->left) / since;
		}
		json_array_append_new(
			list,
			json_pack("{s:s, s:I, s:I, s:o, s:f}", "network", text, "left_local",
				  (json_int_t)n->left, "shifted", (json_int_t)n->shifted, "per_s",
				  isnan(per_s) ? json_null() : json_real(per_s), "last_seen_s",
				  l->now_ns > n->last_ns ? (double)(l->now_ns - n->last_ns) / SECOND
							 : 0.0));
	}
	return list;
}

static void keep_networks(const struct plane_look *l, struct dns_store *st)
{
	json_t *count = json_object();

	for (size_t i = 0; i < l->n && i < MAX_NETWORKS; i++) {
		char text[64];

		json_object_set_new(count,
				    text_network(l->network[i].address, l->network[i].bits, text),
				    json_integer((json_int_t)l->network[i].left));
	}
	dns_store_set_networks(st, count, l->point.at, l->point.begun);
}

static const char *no_plane(int err)
{
	switch (err) {
	case -ENOENT:
	case -ENOTCONN:
		return "no data plane is attached on this host";
	case -EPERM:
	case -EACCES:
		return "only root may read the data plane";
	default:
		return strerror(-err);
	}
}

static void judge_flows(const struct dns_report *r, struct dns_store *st, double ttl_s,
			struct dns_retire *t)
{
	struct dns_flows_point points[DNS_STORE_POINTS];
	struct dns_retire_reason *e;
	struct plane_look l;
	int err = look_at_plane(r->d->config->service, t->window_s, &l);

	if (!err)
		err = dns_store_point(st, &l.point, t->window_s + ttl_s);
	if (err) {
		e = add(t, "arrivals", DNS_RETIRE_UNKNOWN);
		snprintf(e->why, sizeof(e->why),
			 "what arrives at the old address is not known: %s (--without-flows: it "
			 "was looked at elsewhere)",
			 no_plane(err));
		free(l.network);
		return;
	}
	e = add(t, "arrivals", DNS_RETIRE_PASS);
	e->verdict = dns_retire_arrivals(points, dns_store_points(st, points), ttl_s, t->window_s,
					 t->bound, &t->rate, e->why);
	t->peak = dns_store_peak(st);
	t->networks = list_networks(&l, st);
	keep_networks(&l, st);
	e = add(t, "connections", l.alive ? DNS_RETIRE_FAIL : DNS_RETIRE_PASS);
	snprintf(e->why, sizeof(e->why), "%llu shifted connection%s through this host",
		 (unsigned long long)l.alive, l.alive == 1 ? " lives" : "s live");
	free(l.network);
}

void dns_retire_judge(const struct dns_report *r, struct dns_store *st,
		      const struct dns_retire_rules *rules, struct dns_retire *ret)
{
	double ttl_s = r->d->wanted.ttl ? r->d->wanted.ttl : 1;

	memset(ret, 0, sizeof(*ret));
	ret->rate = ret->peak = NAN;
	ret->bound = rules->bound < 0 ? DEFAULT_BOUND : rules->bound;
	ret->window_s = (rules->ttls ? rules->ttls : DEFAULT_TTLS) * ttl_s;
	judge_records(r, ret);
	judge_time(r, ret);
	if (!rules->without_flows)
		judge_flows(r, st, ttl_s, ret);
	for (unsigned int i = 0; i < ret->n; i++) {
		if (ret->reason[i].verdict == DNS_RETIRE_FAIL)
			ret->code = 2;
		else if (ret->reason[i].verdict == DNS_RETIRE_UNKNOWN && !ret->code)
			ret->code = 3;
	}
}

void dns_retire_free(struct dns_retire *t)
{
	json_decref(t->networks);
	t->networks = NULL;
}

/* ---- told ---- */

static const char *const marks[] = {"pass", "fail", "unknown"};

void dns_retire_line(const struct dns_report *r, const struct dns_retire *t, FILE *to)
{
	char name[DNS_NAME], old[256] = "";
	size_t used = 0;
	enum dns_retire_verdict worst = t->code == 2 ? DNS_RETIRE_FAIL : DNS_RETIRE_UNKNOWN;
	char data[128] = "", bound[32];
	bool first = true;

	for (unsigned int i = 0; i < r->d->wanted.n_old && used < sizeof(old) - 70; i++) {
		char text[64];

		used += (size_t)snprintf(old + used, sizeof(old) - used, "%s%s", i ? " " : "",
					 text_address(r->d->wanted.old[i].ip, 0, text));
	}
	dns_report_name(r, name);
	if (!t->code) {
		fprintf(to, "SHIFT DNS OK - %s: %s may be retired", name, old);
	} else {
		fprintf(to, "SHIFT DNS %s - %s: %s ", t->code == 2 ? "CRITICAL" : "UNKNOWN", name,
			old);
		fprintf(to, t->code == 2 ? "is still needed" : "may still be needed");
	}
	for (unsigned int i = 0; t->code && i < t->n; i++) {
		if (t->reason[i].verdict != worst)
			continue;
		fprintf(to, "%s%s", first ? ": " : "; ", t->reason[i].why);
		first = false;
	}
	snprintf(bound, sizeof(bound), "%.9g", t->bound);
	perfdata_add(data, sizeof(data), "arrivals_per_s", t->rate, NULL, NULL, bound, 0, NAN);
	fprintf(to, " | %s", data);
	fputc('\n', to);
}

void dns_retire_text(const struct dns_retire *t, FILE *to)
{
	const json_t *j;
	size_t i;

	for (unsigned int k = 0; k < t->n; k++)
		fprintf(to, "%-8s %s: %s\n", marks[t->reason[k].verdict], t->reason[k].name,
			t->reason[k].why);
	json_array_foreach (t->networks, i, j) {
		json_t *per_s = json_object_get(j, "per_s");
		char ago[32], rate[48] = "";

		if (i == SHOWN) {
			fprintf(to, "%zu networks more\n", json_array_size(t->networks) - SHOWN);
			break;
		}
		if (json_is_real(per_s))
			snprintf(rate, sizeof(rate), ", %.3g a second", json_real_value(per_s));
		fprintf(to,
			"         %s: %lld left local in all%s, %lld shifted on record, last %s ago\n",
			json_string_value(json_object_get(j, "network")),
			json_integer_value(json_object_get(j, "left_local")), rate,
			json_integer_value(json_object_get(j, "shifted")),
			duration(json_real_value(json_object_get(j, "last_seen_s")), ago));
	}
}

json_t *dns_retire_json(const struct dns_retire *t)
{
	json_t *reasons = json_array(), *flows;

	for (unsigned int i = 0; i < t->n; i++)
		json_array_append_new(
			reasons, json_pack("{s:s, s:s, s:s}", "name", t->reason[i].name, "verdict",
					   marks[t->reason[i].verdict], "why", t->reason[i].why));
	flows = json_pack("{s:o, s:f, s:f, s:o, s:o}", "per_s",
			  isnan(t->rate) ? json_null() : json_real(t->rate), "bound_per_s",
			  t->bound, "window_s", t->window_s, "peak_per_s",
			  t->peak > 0 ? json_real(t->peak) : json_null(), "networks",
			  t->networks ? json_incref(t->networks) : json_null());
	return json_pack("{s:o, s:i, s:o, s:o}", "may",
			 t->code == 3 ? json_null() : json_boolean(t->code == 0), "code", t->code,
			 "reasons", reasons, "arrivals", flows);
}
