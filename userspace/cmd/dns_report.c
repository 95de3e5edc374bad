/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_report.c - what a survey found, told
 *
 * Times left are told in seconds from the moment of judging. What is not known is null, "U" or
 * NaN, never 0.
 */
#include "userspace/cmd/dns_report.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "userspace/base/metrics.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"

#define SECOND	   1000000000.0
#define TROUBLES   3 /* told by name on the line */
#define ADDRESSES  3 /* shown of a source in the table */
#define IMPROBABLE 0.001

static const char *const levels[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
static const char *const transports[] = {"udp", "tcp", "tls", "https"};
static const char *const kinds[] = {"authority", "resolver"};

const char *dns_report_name(const struct dns_report *r, char ret[DNS_NAME])
{
	size_t n;

	snprintf(ret, DNS_NAME, "%s", r->s->name);
	n = strlen(ret);
	if (n > 1 && ret[n - 1] == '.')
		ret[n - 1] = 0;
	return ret;
}

static double until(uint64_t at, uint64_t now)
{
	return at > now ? ceil((double)(at - now) / SECOND) : 0;
}

double dns_report_eta(const struct dns_report *r, double *ret_low, double *ret_high)
{
	const struct dns_prediction *p = &r->s->prediction;
	double low = NAN, high = NAN, eta = NAN;

	if (p->known) {
		eta = until(p->at, r->now);
		low = until(p->early, r->now);
		high = until(p->late, r->now);
	}
	if (ret_low)
		*ret_low = low;
	if (ret_high)
		*ret_high = high;
	return eta;
}

static bool counted(const struct dns_report *r, unsigned int i)
{
	return dns_survey_asked(r->s, i) && !r->s->said[i].no_family;
}

static bool as_wanted(const struct dns_report *r, unsigned int i)
{
	return r->s->said[i].verdict == (r->expect_new ? DNS_SAYS_NEW : DNS_SAYS_OLD);
}

static bool weighted(const struct dns_report *r)
{
	for (unsigned int i = 0; i < r->d->wanted.n_fresh; i++)
		if (r->d->wanted.weight[i])
			return true;
	return false;
}

bool dns_report_off_weight(const struct dns_report *r)
{
	uint64_t answers;
	double p = weighted(r) ? dns_survey_weights(r->s, &answers) : NAN;

	return p < IMPROBABLE; /* NAN is not */
}

/* ---- the line ---- */

static void tell_troubles(const struct dns_report *r, FILE *to)
{
	unsigned int told = 0, more = 0;

	for (unsigned int i = 0; i < r->s->n; i++) {
		const struct dns_said *said = &r->s->said[i];

		if (!counted(r, i) || said->verdict <= DNS_SAYS_MIXED)
			continue;
		if (told == TROUBLES) {
			more++;
			continue;
		}
		told++;
		fprintf(to, "; %s %s%s%s%s", r->s->source[i].text, dns_verdicts[said->verdict],
			said->why[0] ? " (" : "", said->why, said->why[0] ? ")" : "");
	}
	if (more)
		fprintf(to, "; %u more", more);
}

static void tell_time(const struct dns_report *r, FILE *to)
{
	double low, high, eta = dns_report_eta(r, &low, &high);

	if (r->j->state == (r->expect_new ? DNS_STATE_NEW : DNS_STATE_OLD))
		return;
	if (!r->s->n_authorities)
		fprintf(to, "; no authority is known");
	else if (isnan(eta) && r->s->prediction.why[0])
		fprintf(to, "; no end in sight: %s", r->s->prediction.why);
	else if (!isnan(eta) && high > 0)
		fprintf(to, "; the last cache forgets in %.0f s (%.0f..%.0f)", eta, low, high);
}

static void perfdata(const struct dns_report *r, char *text, size_t size)
{
	double eta = dns_report_eta(r, NULL, NULL);
	const unsigned int *of = r->j->of;
	unsigned int n = 0, good = 0;

	for (unsigned int i = 0; i < r->s->n; i++) {
		n += counted(r, i);
		good += counted(r, i) && as_wanted(r, i);
	}
	text[0] = 0;
	perfdata_add(text, size, "share_new", r->j->share_new, NULL, NULL, NULL, 0, 1);
	perfdata_add(text, size, "eta_s", eta, NULL, NULL, NULL, 0, NAN);
	perfdata_add(text, size, "as_expected", good, NULL, NULL, NULL, 0, n);
	for (unsigned int v = 0; v <= DNS_SAYS_BROKEN; v++)
		perfdata_add(text, size, dns_verdicts[v], of[v], NULL, NULL, NULL, 0, NAN);
}

void dns_report_line(const struct dns_report *r, FILE *to)
{
	char name[DNS_NAME], data[512];
	unsigned int n = 0, good = 0;

	for (unsigned int i = 0; i < r->s->n; i++) {
		n += counted(r, i);
		good += counted(r, i) && as_wanted(r, i);
	}
	fprintf(to, "SHIFT DNS %s - %s %u of %u source%s %s", levels[r->code],
		dns_report_name(r, name), good, n, n == 1 ? "" : "s",
		r->expect_new ? "new" : "old");
	if (!isnan(r->j->share_new) && good < n)
		fprintf(to, ", %.0f%% of the caches new", r->j->share_new * 100);
	if (!r->j->authorities_agree)
		fprintf(to, "; the authorities disagree");
	if (dns_report_off_weight(r))
		fprintf(to, "; the answers do not follow the weights");
	tell_troubles(r, to);
	tell_time(r, to);
	perfdata(r, data, sizeof(data));
	fprintf(to, " | %s\n", data);
}

/* ---- the table ---- */

/* Every address of the last round, each once; the one that came first at the front. */
static unsigned int addresses(const struct dns_survey *s, unsigned int i,
			      struct dns_address ret[DNS_MAX_ADDRESSES])
{
	static struct dns_source round;
	bool is_new;
	const struct dns_address *first = dns_survey_first(s, i, &is_new);
	unsigned int n = 0;

	dns_survey_last_round(s, i, &round);
	if (first && round.n_samples)
		ret[n++] = *first;
	for (unsigned int k = 0; k < round.n_samples; k++) {
		for (unsigned int a = 0; a < round.sample[k].n_addresses; a++) {
			const struct dns_address *is = &round.sample[k].address[a];
			unsigned int at = 0;

			while (at < n && (ret[at].family != is->family ||
					  memcmp(ret[at].ip, is->ip, sizeof(is->ip)) != 0))
				at++;
			if (at == n && n < DNS_MAX_ADDRESSES)
				ret[n++] = *is;
		}
	}
	return n;
}

static double rtt_ms(const struct dns_survey *s, unsigned int i)
{
	static struct dns_source round;
	double least = NAN;

	dns_survey_last_round(s, i, &round);
	for (unsigned int k = 0; k < round.n_samples; k++)
		if (round.sample[k].outcome == DNS_ANSWERED)
			least = fmin(isnan(least) ? INFINITY : least,
				     (double)round.sample[k].rtt / 1e6);
	return least;
}

/* Answers that came in the last round and were not for its questions. */
static unsigned int rejected(const struct dns_survey *s, unsigned int i)
{
	static struct dns_source round;
	unsigned int n = 0;

	dns_survey_last_round(s, i, &round);
	for (unsigned int k = 0; k < round.n_samples; k++)
		n += round.sample[k].rejected;
	return n;
}

static const char *short_list(const struct dns_survey *s, unsigned int i, char ret[256])
{
	struct dns_address a[DNS_MAX_ADDRESSES];
	unsigned int n = addresses(s, i, a);
	size_t used = 0;

	ret[0] = 0;
	for (unsigned int k = 0; k < n && k < ADDRESSES; k++) {
		char text[64];

		used += (size_t)snprintf(ret + used, 256 - used, "%s%s", k ? " " : "",
					 text_address(a[k].ip, 0, text));
	}
	if (n > ADDRESSES)
		snprintf(ret + used, 256 - used, " +%u", n - ADDRESSES);
	return ret[0] ? ret : "-";
}

static const char *colour_of(const struct dns_report *r, unsigned int i)
{
	if (!counted(r, i))
		return SCREEN_DIM;
	if (as_wanted(r, i))
		return SCREEN_GREEN;
	return r->s->said[i].verdict <= DNS_SAYS_MIXED ? SCREEN_YELLOW : SCREEN_RED;
}

static const char *cache_text(const struct dns_survey *s, unsigned int i, char ret[64])
{
	const struct dns_cache_seen *c = &s->cache[i];

	if (s->source[i].kind == DNS_AUTHORITY || c->kind == DNS_CACHE_UNKNOWN)
		return "";
	if (isnan(c->bound_s))
		snprintf(ret, 64, "%s", dns_caches[c->kind]);
	else
		snprintf(ret, 64, "%.30s %.0fs", dns_caches[c->kind], c->bound_s);
	return ret;
}

/* The source as people name it: a server's name stands with its address. */
static const char *source_text(const struct dns_survey *s, unsigned int i, char ret[256])
{
	const struct dns_source *is = &s->source[i];

	if (is->ns[0])
		snprintf(ret, 256, "%.64s %.180s", is->text, is->ns);
	else
		snprintf(ret, 256, "%s", is->text);
	return ret;
}

void dns_report_table(const struct dns_report *r, bool colour, FILE *to)
{
	struct table t = {.dim = colour};

	table_head(&t, "source|kind|via|says|>TTL left|>caches|addresses|cache|why");
	for (unsigned int i = 0; i < r->s->n; i++) {
		const struct dns_source *is = &r->s->source[i];
		const struct dns_said *said = &r->s->said[i];
		char source[256], list[256], cache[64], says[64], left[32] = "-", caches[16] = "-";
		bool asked = dns_survey_asked(r->s, i);
		const char *held = is->control ? "held back" : "-";

		if (said->ttl_left_s >= 0)
			snprintf(left, sizeof(left), "%llds", (long long)said->ttl_left_s);
		if (said->caches)
			snprintf(caches, sizeof(caches), "%u", said->caches);
		screen_paint(colour, colour_of(r, i), asked ? dns_verdicts[said->verdict] : held,
			     says, sizeof(says));
		table_row(&t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", source_text(r->s, i, source),
			  kinds[is->kind], transports[is->target.transport], says, left, caches,
			  short_list(r->s, i, list), cache_text(r->s, i, cache),
			  asked		? said->why
			  : is->control ? "control group: asked once, at the end"
					: "not asked yet");
	}
	table_print(&t, to);
	table_free(&t);
}

static void tell_weights(const struct dns_report *r, FILE *to)
{
	const struct dns_wanted *w = &r->d->wanted;
	uint64_t answers;
	double p = dns_survey_weights(r->s, &answers);
	char text[64];

	fprintf(to, "weights: %llu answers of one address from the authorities:",
		(unsigned long long)answers);
	for (unsigned int i = 0; i < w->n_fresh; i++)
		fprintf(to, " %s=%llu (weight %u)", text_address(w->fresh[i].ip, 0, text),
			(unsigned long long)r->s->alone[i], w->weight[i]);
	if (r->s->together)
		fprintf(to,
			"; %llu answers had several: there the client chooses, whatever the "
			"weights",
			(unsigned long long)r->s->together);
	if (isnan(p))
		fprintf(to, "; too few to judge: --samples with a larger number\n");
	else
		fprintf(to, "; %s (p %.3g)\n",
			p < IMPROBABLE ? "they do not follow the weights" : "as the weights say",
			p);
}

void dns_report_notes(const struct dns_report *r, FILE *to)
{
	char text[256];

	if (weighted(r))
		tell_weights(r, to);
	for (unsigned int i = 0; i < r->s->n_notes; i++)
		fprintf(to, "note: %s\n", screen_clean(r->s->note[i], text, sizeof(text)));
}

/* ---- JSON ---- */

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text_or_null(const char *text)
{
	char clean[512];

	return text[0] ? json_string(screen_clean(text, clean, sizeof(clean))) : json_null();
}

static json_t *whole(bool known, int64_t value)
{
	return known ? json_integer(value) : json_null();
}

static json_t *address_list(const struct dns_survey *s, unsigned int i)
{
	struct dns_address a[DNS_MAX_ADDRESSES];
	unsigned int n = addresses(s, i, a);
	json_t *list = json_array();
	char text[64];

	for (unsigned int k = 0; k < n; k++)
		json_array_append_new(list, json_string(text_address(a[k].ip, 0, text)));
	return list;
}

static json_t *source_json(const struct dns_report *r, unsigned int i)
{
	const struct dns_source *is = &r->s->source[i];
	const struct dns_said *said = &r->s->said[i];
	const struct dns_cache_seen *c = &r->s->cache[i];
	bool resolver = is->kind == DNS_RESOLVER, is_new, asked = dns_survey_asked(r->s, i);
	const struct dns_address *first = dns_survey_first(r->s, i, &is_new);
	char text[64];
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:o}", "source", is->text, "kind",
			      kinds[is->kind], "transport", transports[is->target.transport],
			      "verdict", dns_verdicts[said->verdict], "ttl_left_s",
			      whole(said->ttl_left_s >= 0, said->ttl_left_s));

	json_object_set_new(j, "why", text_or_null(said->why));
	json_object_set_new(j, "family", whole(is->family != 0, is->family));
	json_object_set_new(j, "no_family", json_boolean(said->no_family));
	json_object_set_new(j, "asked", json_boolean(asked));
	json_object_set_new(j, "control", json_boolean(is->control));
	json_object_set_new(j, "first_address",
			    first ? json_string(text_address(first->ip, 0, text)) : json_null());
	json_object_set_new(j, "correct", first ? json_boolean(is_new) : json_null());
	json_object_set_new(j, "addresses", address_list(r->s, i));
	json_object_set_new(j, "share_new", number(said->share_new));
	json_object_set_new(j, "samples", json_integer(said->samples));
	json_object_set_new(j, "caches", json_integer(said->caches));
	json_object_set_new(j, "rtt_ms", number(rtt_ms(r->s, i)));
	json_object_set_new(j, "rejected", json_integer(rejected(r->s, i)));
	if (resolver) {
		json_object_set_new(j, "cache",
				    c->kind == DNS_CACHE_UNKNOWN
					    ? json_null()
					    : json_string(dns_caches[c->kind]));
		json_object_set_new(j, "cache_bound_s", number(c->bound_s));
		json_object_set_new(j, "cache_why", text_or_null(c->why));
		return j;
	}
	json_object_set_new(j, "name_server", text_or_null(is->ns));
	json_object_set_new(j, "in_parent", json_boolean(is->in_parent));
	json_object_set_new(j, "in_zone", json_boolean(is->in_child));
	json_object_set_new(j, "serial", whole(is->has_serial, is->serial));
	return j;
}

static json_t *weights_json(const struct dns_report *r)
{
	const struct dns_wanted *w = &r->d->wanted;
	json_t *list = json_array();
	uint64_t answers;
	double p = dns_survey_weights(r->s, &answers);
	char text[64];

	for (unsigned int i = 0; i < w->n_fresh; i++)
		json_array_append_new(list, json_pack("{s:s, s:i, s:I}", "address",
						      text_address(w->fresh[i].ip, 0, text),
						      "weight", (int)w->weight[i], "answers",
						      (json_int_t)r->s->alone[i]));
	return json_pack("{s:o, s:I, s:I, s:o, s:o}", "addresses", list, "answers",
			 (json_int_t)answers, "answers_with_several", (json_int_t)r->s->together,
			 "p", number(p), "as_configured",
			 isnan(p) ? json_null() : json_boolean(p >= IMPROBABLE));
}

json_t *dns_report_json(const struct dns_report *r)
{
	const struct dns_prediction *p = &r->s->prediction;
	json_t *sources = json_array(), *notes = json_array(), *j;
	double low, high, eta = dns_report_eta(r, &low, &high);
	char name[DNS_NAME];

	for (unsigned int i = 0; i < r->s->n; i++)
		json_array_append_new(sources, source_json(r, i));
	for (unsigned int i = 0; i < r->s->n_notes; i++)
		json_array_append_new(notes, text_or_null(r->s->note[i]));
	j = json_pack("{s:i, s:s, s:s, s:o, s:o}", "schema", 1, "name", dns_report_name(r, name),
		      "state", dns_states[r->j->state], "share_new", number(r->j->share_new),
		      "eta_s", whole(!isnan(eta), (int64_t)eta));
	json_object_set_new(j, "share_low", number(r->j->share_low));
	json_object_set_new(j, "share_high", number(r->j->share_high));
	json_object_set_new(j, "eta_low_s", whole(!isnan(low), (int64_t)low));
	json_object_set_new(j, "eta_high_s", whole(!isnan(high), (int64_t)high));
	json_object_set_new(j, "eta_why", text_or_null(p->why));
	json_object_set_new(j, "last_old_s_ago",
			    p->last_old ? json_real((double)(r->now - p->last_old) / SECOND)
					: json_null());
	json_object_set_new(j, "expect", json_string(r->expect_new ? "new" : "old"));
	json_object_set_new(j, "status", json_string(levels[r->code]));
	json_object_set_new(j, "code", json_integer(r->code));
	json_object_set_new(j, "zone", text_or_null(r->s->zone));
	json_object_set_new(j, "authorities_agree", json_boolean(r->j->authorities_agree));
	json_object_set_new(j, "delegation_differs", json_integer(r->s->delegation_differs));
	json_object_set_new(j, "weights", weighted(r) ? weights_json(r) : json_null());
	json_object_set_new(j, "notes", notes);
	json_object_set_new(j, "sources", sources);
	return j;
}

int dns_report_unknown(const struct options *o, const char *why)
{
	char said[512], line[256];

	json_said(said, sizeof(said));
	if (o->json)
		print_json(json_pack("{s:i, s:o, s:s, s:o, s:o, s:s, s:s, s:i, s:o}", "schema", 1,
				     "name", json_null(), "state", "unknown", "share_new",
				     json_null(), "eta_s", json_null(), "error", said, "status",
				     levels[3], "code", 3, "sources", json_array()));
	if (o->json)
		return 3;
	snprintf(line, sizeof(line), "%.250s", why ? why : said);
	for (char *bar = line; (bar = strchr(bar, '|'));) /* behind one come figures */
		*bar = '/';
	printf("SHIFT DNS UNKNOWN - %s\n", line);
	return 3;
}

/* ---- node_exporter ---- */

static void source_values(struct metrics *m, const struct dns_report *r)
{
	metrics_family(m, "shift_dns_source_verdict", METRICS_GAUGE,
		       "1 for what a source says: old, new, mixed, stale, unreachable, lame, "
		       "broken.");
	for (unsigned int i = 0; i < r->s->n; i++)
		if (counted(r, i))
			metrics_value(m, 1, "source", r->s->source[i].text, "kind",
				      kinds[r->s->source[i].kind], "transport",
				      transports[r->s->source[i].target.transport], "verdict",
				      dns_verdicts[r->s->said[i].verdict], NULL);
	metrics_family(m, "shift_dns_source_ttl_left_seconds", METRICS_GAUGE,
		       "Until what a source answered ends.");
	for (unsigned int i = 0; i < r->s->n; i++)
		if (counted(r, i) && r->s->said[i].ttl_left_s >= 0)
			metrics_value(m, (double)r->s->said[i].ttl_left_s, "source",
				      r->s->source[i].text, "kind", kinds[r->s->source[i].kind],
				      "transport", transports[r->s->source[i].target.transport],
				      NULL);
}

int dns_report_textfile(const struct dns_report *r, const char *path)
{
	struct metrics m;
	char name[DNS_NAME];

	dns_report_name(r, name);
	metrics_begin(&m);
	metrics_family(&m, "shift_dns_status", METRICS_GAUGE,
		       "0 as expected, 1 mixed, 2 not as expected or broken, 3 not known.");
	metrics_value(&m, r->code, "name", name, "expect", r->expect_new ? "new" : "old", NULL);
	metrics_family(&m, "shift_dns_share_new", METRICS_GAUGE,
		       "Share of the caches that have the new answer.");
	metrics_value(&m, r->j->share_new, "name", name, NULL);
	metrics_family(&m, "shift_dns_eta_seconds", METRICS_GAUGE,
		       "Until the last cache forgets the old answer.");
	metrics_value(&m, dns_report_eta(r, NULL, NULL), "name", name, NULL);
	metrics_family(&m, "shift_dns_sources", METRICS_GAUGE, "Sources by what they say.");
	for (unsigned int v = 0; v <= DNS_SAYS_BROKEN; v++)
		metrics_value(&m, r->j->of[v], "name", name, "verdict", dns_verdicts[v], NULL);
	metrics_family(&m, "shift_dns_authorities_agree", METRICS_GAUGE,
		       "1 when all authorities that answer give the same.");
	metrics_value(&m, r->j->authorities_agree, "name", name, NULL);
	metrics_family(&m, "shift_dns_retire", METRICS_GAUGE,
		       "0 the old address may be retired, 2 it may not, 3 not known.");
	if (r->retire)
		metrics_value(&m, r->retire_code, "name", name, NULL);
	source_values(&m, r);
	return metrics_write(&m, path);
}
