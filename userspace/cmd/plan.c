/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan.c - `plan check`: is the configuration right, is this host, does it fit, what comes then
 *
 * Changes nothing. Findings go to stderr with their place in the file, the numbers and the steps to
 * stdout. Where the service is attached, what it carries now is measured for MEASURE_NS and taken
 * for whatever was not stated. Exit 0 with nothing but warnings, 2 when the file is wrong, 3 when a
 * rule refuses.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/complain.h"
#include "userspace/cmd/plan_measure.h"
#include "userspace/cmd/verbs.h"
#include "userspace/cmd/wish.h"
#include "userspace/conf/plan.h"
#include "userspace/plane/sync.h"

#define MEASURE_NS     1000000000ull
#define MEASURE_MAX_NS (600 * MEASURE_NS)

struct check {
	const struct options *o;
	struct config *c;
	struct conf_errors errors;
	struct plan_host host;
	struct plan_load load;
	struct plan_sources from;
	struct plan_report report;
	unsigned int overrides;
	uint64_t measure;	       /* ns; 0: only where it is attached, MEASURE_NS */
	uint64_t bytes_up, bytes_down; /* of a connection; 0: not stated */
};

/* ---- options ------------------------------------------------------------------------------- */

enum option { O_RATE, O_BANDWIDTH, O_LIFETIME, O_LINK, O_MEASURE, O_BYTES, OPTIONS };

static int parse_rate(const char *text, double *ret)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || (strcmp(end, "/s") && *end) || !(n > 0) || n > 1e9)
		return -EINVAL;
	*ret = n;
	return 0;
}

/* UP/DOWN, or one number for each. */
static int parse_two(const char *text, uint64_t *up, uint64_t *down)
{
	const char *slash = strchr(text, '/');
	char first[32];

	/* the slash of "Gbit/s" is none */
	if (!slash || !strcmp(slash, "/s")) {
		if (plan_parse_bits(text, up))
			return -EINVAL;
		*down = *up;
		return 0;
	}
	snprintf(first, sizeof(first), "%.*s", (int)(slash - text), text);
	return plan_parse_bits(first, up) || plan_parse_bits(slash + 1, down) ? -EINVAL : 0;
}

static int take_option(struct check *k, int option, const char *value)
{
	uint64_t ns;

	switch (option) {
	case O_RATE:
		if (parse_rate(value, &k->load.rate))
			return usage_error("--rate must be connections per second such as 800/s, "
					   "is %s",
					   value);
		k->from.rate = PLAN_STATED;
		return EXIT_OK;
	case O_BYTES:
		if (strstr(value, "bit") || parse_two(value, &k->bytes_up, &k->bytes_down))
			return usage_error("--bytes must be of a connection, such as 40k, or "
					   "FROM-CLIENTS/TO-CLIENTS such as 2k/40k, is %s",
					   value);
		k->from.bandwidth = PLAN_STATED;
		return EXIT_OK;
	case O_BANDWIDTH:
		if (parse_two(value, &k->load.up, &k->load.down))
			return usage_error("--bandwidth must be bits per second such as 2G, or "
					   "FROM-CLIENTS/TO-CLIENTS such as 200M/2G, is %s",
					   value);
		k->from.bandwidth = PLAN_STATED;
		return EXIT_OK;
	case O_LIFETIME:
		if (text_parse_duration(value, &ns))
			return usage_error("--lifetime must be a duration such as 5s, is %s",
					   value);
		k->load.lifetime_ms = ns / 1000000;
		k->from.lifetime = PLAN_STATED;
		return EXIT_OK;
	case O_LINK:
		if (plan_parse_bits(value, &k->load.link))
			return usage_error(
				"--link-speed must be bits per second such as 10G, is %s", value);
		return EXIT_OK;
	case O_MEASURE:
		if (text_parse_duration(value, &k->measure) || !k->measure ||
		    k->measure > MEASURE_MAX_NS)
			return usage_error("--measure must be a duration up to 10m, is %s", value);
		return EXIT_OK;
	default:
		k->overrides |= PLAN_OVERRIDE(option - OPTIONS);
		return EXIT_OK;
	}
}

static int take_options(struct check *k, int argc, char **argv)
{
	const char *flags[OPTIONS + PLAN_OVERRIDABLE + 1] = {
		[O_RATE] = "--rate=",	      [O_BANDWIDTH] = "--bandwidth=",
		[O_LIFETIME] = "--lifetime=", [O_LINK] = "--link-speed=",
		[O_MEASURE] = "--measure=",   [O_BYTES] = "--bytes=",
	};
	int at = 1, option, code;
	const char *value;
	bool check = false;

	memcpy(flags + OPTIONS, plan_flags, sizeof(plan_flags));
	while ((option = next_option(argc, argv, &at, flags, &value)) >= -1) {
		if (option == -1 && !check && !strcmp(value, "check"))
			check = true;
		else if (option == -1)
			return usage_error("plan: there is only `plan check`, not '%s'", value);
		else if ((code = take_option(k, option, value)))
			return code;
	}
	if (option == -3)
		return EXIT_USAGE;
	if (k->bytes_up && k->load.up)
		return usage_error("plan check: --bytes or --bandwidth, not both");
	return check ? EXIT_OK : usage_error("plan: there is only `plan check`");
}

/* ---- measuring ----------------------------------------------------------------------------- */

/* What was stated stays. */
static int measure(struct check *k)
{
	uint64_t ns = k->measure ? k->measure : MEASURE_NS;
	const struct timespec pause = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
	struct plan_sample first, last;
	struct host then, later;
	int err = host_read(NULL, 0, &then);

	if (!err) {
		plan_sample(k->c, &then, &first);
		host_free(&then);
		nanosleep(&pause, NULL);
		err = host_read(NULL, 0, &later);
	}
	if (err) {
		say("cannot measure: %s", strerror(-err));
		return EXIT_FAILED;
	}
	plan_sample(k->c, &later, &last);
	host_free(&later);
	plan_measured(&first, &last, &k->load, &k->from);
	return EXIT_OK;
}

static bool is_all_stated(const struct plan_sources *from)
{
	return from->rate && from->bandwidth && from->lifetime;
}

/* Bytes of a connection are bandwidth once the rate is known. */
static void count_bytes(struct check *k)
{
	if (!k->bytes_up)
		return;
	k->load.up = (uint64_t)((double)k->bytes_up * 8 * k->load.rate);
	k->load.down = (uint64_t)((double)k->bytes_down * 8 * k->load.rate);
}

/* ---- for people ---------------------------------------------------------------------------- */

static const char *per_second(double n, char ret[40])
{
	char count[32];

	snprintf(ret, 40, "%s/s", text_count((uint64_t)(n + 0.5), count));
	return ret;
}

static void show_families(const struct check *k)
{
	char ports[32], life[32], all[40], first[40];

	printf("capacity  NAT x ports x backends / (lifetime + quarantine)\n");
	for (int i = 0; i < 2; i++) {
		const struct plan_family *f = &k->report.family[i];

		if (!f->listens && !f->backends)
			continue;
		printf("  IPv%u    %u x %s x %u / %s", f->family, f->nat,
		       text_count(f->ports, ports), f->backends,
		       conf_duration_text((uint64_t)(f->seconds * 1000 + 0.5), life));
		if (f->first_full > 0)
			printf(" = %s; %s is full first, at %s shifted in all",
			       per_second(f->capacity, all), k->c->backends[f->first].name,
			       per_second(f->first_full, first));
		else
			printf(": nothing can be shifted");
		putchar('\n');
	}
}

static void show_stages(const struct check *k)
{
	char weight[16], share[24], hold[32], most[40], need[40];

	if (!k->report.n_stages)
		return;
	printf("stages    share   hold    new connections/s of the whole service that fit%s\n",
	       k->load.rate > 0 ? ", and those shifted" : "");
	for (unsigned int i = 0; i < k->report.n_stages; i++) {
		const struct plan_stage *s = &k->report.stage[i];

		snprintf(share, sizeof(share), "%s%%", text_weight(s->weight, weight));
		printf("  %-6u  %-6s  %-6s  ", i + 1, share, conf_duration_text(s->hold_ms, hold));
		printf("%s", s->ceiling > 0 ? per_second(s->ceiling, most) : "none");
		if (k->load.rate > 0)
			printf("  %s %s", s->fits ? "enough for" : "too few for",
			       per_second(s->shifted, need));
		putchar('\n');
	}
}

/* A ramp's gates. What of them the file does not say is said here. */
static void show_gates(const struct check *k)
{
	const struct config *c = k->c;
	char source[CONF_TEXT + CONF_HOST], bounds[512];

	if (!c->ramp_at.line)
		return;
	if (!c->n_gates)
		printf("gates     none: nothing judges this ramp but the health of the backends and "
		       "the comparison of both sides\n");
	else if (c->gates_given)
		printf("gates     what is beyond `rollback` is rolled back, also in the soak at the "
		       "end; `pause` and `back` act while ramping\n");
	else
		printf("gates     the file has none: these two are shipped; they do not see what the "
		       "application answers, so the start needs --l4-only\n");
	for (unsigned int i = 0; i < c->n_gates; i++) {
		const struct conf_gate *g = &c->gates[i];

		printf("  %-12s  %s: %s%s\n", g->name, conf_source_text(g, source, sizeof(source)),
		       conf_bounds_text(g, bounds, sizeof(bounds)), g->shipped ? " (shipped)" : "");
	}
}

/* As `apply` computes it. */
static uint32_t client_cap(const struct check *k)
{
	uint64_t least = 0;

	for (int i = 0; i < 2; i++) {
		const struct plan_family *f = &k->report.family[i];
		uint64_t ports = (uint64_t)f->nat * f->ports;

		if (f->listens && ports && (!least || ports < least))
			least = ports;
	}
	return sync_client_cap(k->c->client_flows, least);
}

static void show_clients(const struct check *k)
{
	uint32_t most = client_cap(k);
	char n[32];

	if (most)
		printf("clients   one may have %s of these at once (client_flows%s)",
		       text_count(most, n),
		       k->c->client_flows ? ""
					  : ", by default half of the ports towards one backend");
	else
		printf("clients   no limit for one of them: too few ports to share (client_flows)");
	if (k->c->n_allow)
		printf("; only those of %u network%s may be shifted", k->c->n_allow,
		       k->c->n_allow == 1 ? "" : "s");
	if (k->c->n_deny)
		printf("; %u network%s never", k->c->n_deny, k->c->n_deny == 1 ? "" : "s");
	putchar('\n');
}

static void show_quic(const struct check *k)
{
	char text[64];

	for (unsigned int i = 0; i < k->c->n_listens; i++) {
		const struct conf_listen *l = &k->c->listens[i];

		if (wish_quic(k->c, l))
			printf("quic      %s port %u/udp: new flows begin with an Initial (quic: off "
			       "otherwise)\n",
			       conf_address_text(&l->address, text), l->port);
	}
}

static void show_sizes(const struct check *k)
{
	const struct plan_memory *m = &k->report.memory;
	char n[32], flows[32], in[32], out[32], bits[32];

	printf("memory    %s MiB for %s shifted connections at once",
	       text_count((m->total + (1 << 20) - 1) >> 20, n), text_count(m->flows, flows));
	if (m->flows)
		printf(" (%.0f bytes each)", (double)(m->total - m->fixed) / (double)m->flows);
	putchar('\n');
	show_clients(k);
	show_quic(k);
	for (unsigned int i = 0; i < k->report.n_uplinks; i++) {
		const struct plan_uplink *u = &k->report.uplink[i];

		printf("uplink    %s: %s in, %s out at the last stage", u->name,
		       plan_bits(u->in, in), plan_bits(u->out, out));
		if (u->bits)
			printf(", %.0f%% of %s", u->load * 100, plan_bits(u->bits, bits));
		putchar('\n');
	}
	if (!k->report.n_uplinks)
		printf("uplink    not computed: state --bandwidth, or --measure 10s under load\n");
}

static void show_load(const struct check *k)
{
	const struct plan_sources *from = &k->from;
	char rate[40], old[40], new[40], up[32], down[32], life[32];

	printf("load      ");
	if (from->rate == PLAN_UNKNOWN)
		printf("no rate is known: state --rate, or --measure 10s under load");
	else
		printf("%s new connections, %s", per_second(k->load.rate, rate),
		       plan_source_name(from->rate));
	if (from->rate == PLAN_MEASURED && from->plane)
		printf(" over %.1fs (old %s, new %s)", from->seconds, per_second(from->old, old),
		       per_second(from->new, new));
	else if (from->rate == PLAN_MEASURED)
		printf(" over %.1fs: all that this host accepts", from->seconds);
	if (k->load.up || k->load.down)
		printf("; %s from and %s to the clients, %s", plan_bits(k->load.up, up),
		       plan_bits(k->load.down, down), plan_source_name(from->bandwidth));
	printf("\n          ");
	if (from->lifetime == PLAN_UNKNOWN)
		printf("how long they live is not known, 0 is assumed: state --lifetime\n");
	else
		printf("they live %s, %s%s\n", conf_duration_text(k->load.lifetime_ms, life),
		       plan_source_name(from->lifetime),
		       from->lifetime == PLAN_MEASURED ? " of those that are shifted" : "");
}

static void show(const struct check *k)
{
	show_load(k);
	show_families(k);
	show_stages(k);
	show_gates(k);
	show_sizes(k);
	printf("steps\n");
	for (unsigned int i = 0; i < k->report.n_steps; i++)
		printf("  %2u  %s\n", i + 1, k->report.step[i]);
	fflush(stdout);
}

/* ---- for programs -------------------------------------------------------------------------- */

static json_t *json_errors(const struct conf_errors *errors)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < errors->n; i++) {
		const struct conf_error *e = &errors->error[i];

		json_array_append_new(list, json_pack("{s:i, s:i, s:b, s:s}", "line",
						      (int)e->at.line, "column", (int)e->at.column,
						      "warning", (int)e->warning, "text", e->text));
	}
	return list;
}

static json_t *json_findings(const struct plan_report *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->n_findings; i++) {
		const struct plan_finding *f = &r->finding[i];
		const char *flag = f->rule < PLAN_OVERRIDABLE ? plan_flags[f->rule] : NULL;

		json_array_append_new(list, json_pack("{s:s, s:b, s:s?, s:s, s:i, s:i, s:s}",
						      "rule", plan_rule_name(f->rule), "refused",
						      (int)f->refused, "flag", flag, "key", f->key,
						      "line", (int)f->at.line, "column",
						      (int)f->at.column, "text", f->text));
	}
	return list;
}

static json_t *json_families(const struct check *k)
{
	json_t *list = json_array();

	for (int i = 0; i < 2; i++) {
		const struct plan_family *f = &k->report.family[i];

		if (!f->listens && !f->backends)
			continue;
		json_array_append_new(list,
				      json_pack("{s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f}",
						"family", (int)f->family, "nat_addresses",
						(int)f->nat, "ports", (int)f->ports, "backends",
						(int)f->backends, "addresses", (int)f->addresses,
						"port_busy_s", f->seconds, "connections_per_s",
						f->capacity, "first_full_per_s", f->first_full));
	}
	return list;
}

static json_t *json_stages(const struct plan_report *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->n_stages; i++) {
		const struct plan_stage *s = &r->stage[i];

		json_array_append_new(list, json_pack("{s:f, s:f, s:f, s:f, s:b}", "weight",
						      s->weight / 100.0, "hold_s",
						      (double)s->hold_ms / 1000, "ceiling_per_s",
						      s->ceiling, "shifted_per_s", s->shifted,
						      "fits", (int)s->fits));
	}
	return list;
}

static json_t *json_gates(const struct config *c)
{
	char source[CONF_TEXT + CONF_HOST], bounds[512];
	json_t *list = json_array();

	for (unsigned int i = 0; c->ramp_at.line && i < c->n_gates; i++) {
		const struct conf_gate *g = &c->gates[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:b}", "name", g->name, "source",
					conf_source_text(g, source, sizeof(source)), "bounds",
					conf_bounds_text(g, bounds, sizeof(bounds)), "shipped",
					(int)g->shipped));
	}
	return list;
}

static json_t *json_uplinks(const struct plan_report *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->n_uplinks; i++) {
		const struct plan_uplink *u = &r->uplink[i];
		json_t *load = u->bits ? json_real(u->load) : json_null();

		json_array_append_new(
			list, json_pack("{s:s, s:I, s:I, s:I, s:o}", "name", u->name, "bits_per_s",
					(json_int_t)u->bits, "in_bits_per_s", (json_int_t)u->in,
					"out_bits_per_s", (json_int_t)u->out, "load", load));
	}
	return list;
}

static json_t *json_load(const struct check *k)
{
	const struct plan_sources *from = &k->from;
	bool bits = k->load.up || k->load.down;

	return json_pack(
		"{s:o, s:s, s:o, s:o, s:s, s:o, s:s, s:s, s:o}", "rate_per_s",
		from->rate ? json_real(k->load.rate) : json_null(), "rate_from",
		plan_source_name(from->rate), "up_bits_per_s",
		bits ? json_integer((json_int_t)k->load.up) : json_null(), "down_bits_per_s",
		bits ? json_integer((json_int_t)k->load.down) : json_null(), "bandwidth_from",
		plan_source_name(from->bandwidth), "lifetime_s",
		from->lifetime ? json_real((double)k->load.lifetime_ms / 1000) : json_null(),
		"lifetime_from", plan_source_name(from->lifetime), "measured_on",
		from->plane ? "service" : "host", "measured_s",
		from->seconds > 0 ? json_real(from->seconds) : json_null());
}

static void show_json(const struct check *k)
{
	const struct plan_memory *m = &k->report.memory;
	json_t *steps = json_array();

	for (unsigned int i = 0; i < k->report.n_steps; i++)
		json_array_append_new(steps, json_string(k->report.step[i]));
	print_json(json_pack(
		"{s:i, s:s, s:b, s:o, s:o, s:o, s:o, s:{s:I, s:I}, s:o, s:I, s:o, s:o, s:o}",
		"schema", 1, "service", k->c->service, "ok", k->report.refused == 0, "errors",
		json_errors(&k->errors), "findings", json_findings(&k->report), "capacity",
		json_families(k), "stages", json_stages(&k->report), "memory", "bytes",
		(json_int_t)m->total, "flows", (json_int_t)m->flows, "uplinks",
		json_uplinks(&k->report), "client_flows", (json_int_t)client_cap(k), "load",
		json_load(k), "gates", json_gates(k->c), "steps", steps));
}

/* ---- the verb ------------------------------------------------------------------------------ */

static int wrong_file(struct check *k)
{
	char said[512];

	complain_of_file(&k->errors);
	if (k->o->json)
		print_json(json_pack("{s:i, s:b, s:s, s:i, s:o}", "schema", 1, "ok", 0, "error",
				     json_said(said, sizeof(said)), "code", EXIT_USAGE, "errors",
				     json_errors(&k->errors)));
	return EXIT_USAGE;
}

static int judge(struct check *k)
{
	int err = plan_look(k->c, &k->host), code;

	if (err) {
		say("the kernel does not tell addresses and routes: %s", strerror(-err));
		return EXIT_FAILED;
	}
	code = EXIT_OK;
	if (k->measure || (!is_all_stated(&k->from) && plan_attached(k->c->service)))
		code = measure(k);
	if (code)
		return code;
	count_bytes(k);
	wish_xdp(k->c, &k->host);
	plan_check(k->c, &k->host, &k->load, k->overrides, &k->report);
	if (k->o->json)
		show_json(k);
	else
		show(k);
	plan_complain(&k->report, &k->errors);
	conf_errors_print(&k->errors, stderr);
	if (!k->report.refused)
		return EXIT_OK;
	say("refused: %u of the safety rules, each named above with what overrides it",
	    k->report.refused);
	return EXIT_REFUSED;
}

int cmd_plan(const struct options *o, int argc, char **argv)
{
	struct check *k = calloc(1, sizeof(*k));
	int code;

	if (!k) {
		say("%s", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	k->o = o;
	code = take_options(k, argc, argv);
	if (!code && conf_load(o->config, &k->c, &k->errors))
		code = wrong_file(k);
	else if (!code)
		code = about_service(o, k->c->service);
	if (!code)
		code = judge(k);
	plan_host_free(&k->host);
	conf_errors_free(&k->errors);
	conf_free(k->c);
	free(k);
	return code;
}
