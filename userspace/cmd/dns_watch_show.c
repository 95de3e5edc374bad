/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/dns_watch_show.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/loop.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"

#define S	  1000000000ull
#define BAR	  40
#define SAME_LIFE 1.5 /* s; TTLs are whole seconds */

static struct dns_report report_of(const struct dns_watching *w)
{
	struct dns_report r = {.d = w->d,
			       .s = w->s,
			       .j = &w->j,
			       .expect_new = w->rules->expect_new,
			       .now = w->now};

	r.code = dns_survey_exit(w->s, &w->j, w->rules->expect_new);
	return r;
}

static const char *clock_text(char ret[32])
{
	struct timespec t;
	char whole[32];

	clock_gettime(CLOCK_REALTIME, &t);
	text_time((uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec, whole);
	snprintf(ret, 32, "%.8s", strlen(whole) > 11 ? whole + 11 : whole);
	return ret;
}

/* The value that shall go. */
static bool has_old(const struct dns_sample *p, bool back)
{
	return p->value == (back ? DNS_VALUE_NEW : DNS_VALUE_OLD) || p->value == DNS_VALUE_BOTH;
}

/* Did the last question itself make the cache load the old value? What it had from before had
 * ended, and what it has now began just now. */
static bool loaded_by_us(const struct dns_source *s, uint32_t old_ttl, bool back)
{
	const struct dns_sample *p, *before = NULL;
	uint32_t most = 0; /* a cache with a maximum never has more */

	if (s->kind != DNS_RESOLVER || !s->n_samples)
		return false;
	p = &s->sample[s->n_samples - 1];
	for (unsigned int i = 0; i < s->n_samples; i++)
		most = s->sample[i].ttl > most ? s->sample[i].ttl : most;
	if (p->outcome != DNS_ANSWERED || !has_old(p, back) ||
	    p->ttl + SAME_LIFE < (old_ttl < most ? old_ttl : most))
		return false;
	for (unsigned int i = s->n_samples - 1; i-- > 0 && !before;)
		if (s->sample[i].type == p->type && s->sample[i].place == p->place &&
		    s->sample[i].outcome == DNS_ANSWERED)
			before = &s->sample[i];
	/* The first question of all: nobody knows what it had. */
	return before && has_old(before, back) && before->at + before->ttl * S <= p->at + S &&
	       p->at > before->at + S / 2;
}

static void look_for_load(struct dns_watching *w, unsigned int i)
{
	const struct dns_source *s = &w->s->source[i];
	uint64_t newest = s->n_samples ? s->sample[s->n_samples - 1].at : 0;

	if (newest == w->of[i].looked_at)
		return;
	w->of[i].looked_at = newest;
	if (!w->s->prediction.known && loaded_by_us(s, w->d->wanted.ttl, !w->rules->expect_new))
		w->of[i].loaded++;
}

/* Is the old value what it gave last? */
static bool holds_old(const struct dns_source *s, bool back)
{
	for (unsigned int i = s->n_samples; i-- > 0;)
		if (s->sample[i].outcome == DNS_ANSWERED)
			return has_old(&s->sample[i], back);
	return false;
}

void dns_watch_remember(struct dns_watching *w)
{
	const struct dns_prediction *p = &w->s->prediction;
	bool back = !w->rules->expect_new;

	if (p->known && p->last_old && !w->predicted) {
		w->predicted = p->at;
		w->predicted_early = p->early;
		w->predicted_late = p->late;
	}
	for (unsigned int i = 0; i < w->s->n; i++) {
		/* Before the flip is seen, too: one that ends just then is new when it is. */
		if (holds_old(&w->s->source[i], back) && w->s->cache[i].expires)
			w->of[i].expires = w->s->cache[i].expires;
		look_for_load(w, i);
	}
}

/* When the source was first seen with the new value after the old; 0. */
static uint64_t changed_at(const struct dns_watching *w, unsigned int i)
{
	double error, blur;

	return dns_survey_score(w->s, i, 0, &error, &blur) ? (uint64_t)(error * (double)S) : 0;
}

bool dns_watch_score_one(const struct dns_watching *w, unsigned int i, double *ret_error_s,
			 double *ret_blur_s)
{
	return w->s->source[i].kind == DNS_RESOLVER && changed_at(w, i) >= w->began &&
	       w->of[i].expires &&
	       dns_survey_score(w->s, i, w->of[i].expires, ret_error_s, ret_blur_s);
}

static double further(double a, double b)
{
	return isnan(a) || fabs(b) > fabs(a) ? b : a;
}

void dns_watch_score(const struct dns_watching *w, struct dns_watch_score *ret)
{
	uint64_t last = 0;

	memset(ret, 0, sizeof(*ret));
	ret->worst_s = ret->counting_s = ret->last_error_s = NAN;
	for (unsigned int i = 0; i < w->s->n; i++) {
		uint64_t at = w->s->source[i].kind == DNS_RESOLVER ? changed_at(w, i) : 0;
		double error, blur;

		if (at < w->began)
			continue;
		last = at > last ? at : last;
		if (!dns_watch_score_one(w, i, &error, &blur))
			continue;
		ret->n++;
		ret->worst_s = further(ret->worst_s, error);
		if (w->s->cache[i].kind == DNS_CACHE_COUNTS)
			ret->counting_s = further(ret->counting_s, error);
		ret->blur_s = fmax(ret->blur_s, blur);
	}
	if (last && w->predicted) {
		ret->has_last = true;
		ret->last_error_s = ((double)last - (double)w->predicted) / (double)S;
	}
}

/* ---- the frame ---- */

static void bar(const struct dns_watching *w, FILE *to)
{
	double share = isnan(w->j.share_new) ? 0 : w->j.share_new;
	int full = (int)(share * BAR + 0.5);
	bool utf8 = screen_utf8();

	fputc('[', to);
	for (int i = 0; i < BAR; i++)
		fputs(i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : "."), to);
	fputs("] ", to);
	if (isnan(w->j.share_new))
		fputs("no cache answered yet", to);
	else
		fprintf(to, "%.0f%% of the caches have the new answer (%.0f..%.0f%%)", share * 100,
			w->j.share_low * 100, w->j.share_high * 100);
	fputc('\n', to);
}

static void expiry(const struct dns_watching *w, FILE *to)
{
	struct dns_report r = report_of(w);
	const struct dns_prediction *p = &w->s->prediction;
	double low, high, eta = dns_report_eta(&r, &low, &high);

	if (isnan(eta))
		fprintf(to, "last expiry: not known yet: %s\n", p->why);
	else if (high > 0)
		fprintf(to, "last expiry: in %.0f s (%.0f..%.0f), by %s%s%s\n", eta, low, high,
			p->slowest < w->s->n && w->s->source[p->slowest].kind == DNS_RESOLVER
				? w->s->source[p->slowest].text
				: "any cache that asked last",
			p->why[0] ? "; " : "", p->why);
	else
		fprintf(to, "last expiry: has passed\n");
}

static unsigned int loads(const struct dns_watching *w, unsigned int *ret_caches)
{
	unsigned int times = 0;

	*ret_caches = 0;
	for (unsigned int i = 0; i < w->s->n; i++) {
		times += w->of[i].loaded;
		*ret_caches += w->of[i].loaded > 0;
	}
	return times;
}

static void disturbance(const struct dns_watching *w, FILE *to)
{
	unsigned int caches, times = loads(w, &caches);

	if (times)
		fprintf(to,
			"asking disturbs: our own questions made %u cache%s load the old value "
			"%u time%s\n",
			caches, caches == 1 ? "" : "s", times, times == 1 ? "" : "s");
	if (w->held && !w->control_asked)
		fprintf(to, "%u resolver%s held back, to score the prediction at the end\n",
			w->held, w->held == 1 ? " is" : "s are");
	else if (w->control_asked)
		fprintf(to,
			"the control group, asked once after the predicted end: %u of %u as wanted\n",
			w->control_good, w->control_n);
}

static char *text_of(void (*write)(const struct dns_watching *w, FILE *to),
		     const struct dns_watching *w)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return NULL;
	write(w, to);
	fclose(to);
	return text;
}

static void top(const struct dns_watching *w, FILE *to)
{
	struct dns_report r = report_of(w);
	char name[DNS_NAME], painted[DNS_NAME + 16], age[32], every[32];

	dns_report_name(&r, name);
	screen_paint(use_colour(w->o), SCREEN_BOLD, name, painted, sizeof(painted));
	fprintf(to, "%s  %s   watched for %s, asked every %s\n", painted, dns_states[w->j.state],
		text_duration(w->now - w->began, age), text_duration(w->interval_ns, every));
	bar(w, to);
	expiry(w, to);
	if (!w->j.authorities_agree)
		fprintf(to, "the authorities disagree\n");
	disturbance(w, to);
}

static void middle(const struct dns_watching *w, FILE *to)
{
	struct dns_report r = report_of(w);

	fputc('\n', to);
	dns_report_table(&r, use_colour(w->o), to);
	dns_report_notes(&r, to);
}

static void bottom(const struct dns_watching *w, FILE *to)
{
	fprintf(to, "%s   q ends\n",
		!w->rules->until       ? "watching"
		: w->rules->expect_new ? "until all are new"
				       : "until all are old");
}

void dns_watch_frame(const struct dns_watching *w, FILE *to)
{
	char *part[3] = {text_of(top, w), text_of(middle, w), text_of(bottom, w)};

	if (part[0] && part[1] && part[2])
		screen_fit(part, screen_rows() ? screen_rows() : 1000, to);
	for (int i = 0; i < 3; i++)
		free(part[i]);
}

/* ---- lines ---- */

static void summary(const struct dns_watching *w, FILE *to)
{
	struct dns_report r = report_of(w);
	double low, high, eta = dns_report_eta(&r, &low, &high);
	unsigned int n = 0, good = 0;
	char at[32];

	for (unsigned int i = 0; i < w->s->n; i++) {
		if (!dns_survey_asked(w->s, i) || w->s->said[i].no_family)
			continue;
		n++;
		good += w->s->said[i].verdict ==
			(w->rules->expect_new ? DNS_SAYS_NEW : DNS_SAYS_OLD);
	}
	if (!n) /* nobody was asked yet */
		return;
	fprintf(to, "%s %s: %u of %u sources %s", clock_text(at), dns_states[w->j.state], good, n,
		w->rules->expect_new ? "new" : "old");
	if (!isnan(w->j.share_new))
		fprintf(to, ", %.0f%% of the caches new (%.0f..%.0f%%)", w->j.share_new * 100,
			w->j.share_low * 100, w->j.share_high * 100);
	if (!isnan(eta) && high > 0)
		fprintf(to, ", last expiry in %.0f s (%.0f..%.0f)", eta, low, high);
	fputc('\n', to);
}

void dns_watch_lines(struct dns_watching *w, FILE *to)
{
	bool end = w->s->prediction.known;
	char at[32], left[48], address[64];

	clock_text(at);
	for (unsigned int i = 0; i < w->s->n; i++) {
		const struct dns_said *said = &w->s->said[i];
		struct dns_watched *of = &w->of[i];
		const struct dns_address *first;
		bool is_new;

		if (!dns_survey_asked(w->s, i) || (!said->samples && dns_survey_open(w->s, i)) ||
		    (of->known && of->verdict == said->verdict))
			continue;
		first = dns_survey_first(w->s, i, &is_new);
		left[0] = 0;
		if (said->ttl_left_s >= 0)
			snprintf(left, sizeof(left), " (%llds left)", (long long)said->ttl_left_s);
		fprintf(to, "%s %s %s: %s%s%s%s%s%s%s%s\n", at,
			w->s->source[i].kind == DNS_AUTHORITY ? "authority" : "resolver",
			w->s->source[i].text, of->known ? dns_verdicts[of->verdict] : "",
			of->known ? " -> " : "", dns_verdicts[said->verdict], first ? " " : "",
			first ? text_address(first->ip, 0, address) : "", left,
			said->why[0] ? ": " : "", said->why);
		of->known = true;
		of->verdict = said->verdict;
	}
	if (!w->told || w->state_told != w->j.state || end != w->end_told ||
	    (!isnan(w->j.share_new) && !(fabs(w->share_told - w->j.share_new) < 0.005)))
		summary(w, to);
	w->told = true;
	w->state_told = w->j.state;
	w->share_told = w->j.share_new;
	w->end_told = end;
}

void dns_watch_farewell(const struct dns_watching *w, FILE *to)
{
	static const char *const ends[] = {"goes on", "all as wanted", "the time is up",
					   "ended by the user"};
	struct dns_watch_score score;
	char at[32], age[32];

	dns_watch_score(w, &score);
	fprintf(to, "%s %s after %s\n", clock_text(at), ends[w->ended],
		text_duration(w->now - w->began, age));
	if (score.has_last)
		fprintf(to,
			"prediction: the last change of a cache was seen %+.1f s from the end that was "
			"predicted for all\n",
			score.last_error_s);
	for (unsigned int i = 0; i < w->s->n; i++) {
		double error, blur;

		if (dns_watch_score_one(w, i, &error, &blur))
			fprintf(to,
				"prediction: %s (%s) changed %+.1f s from its predicted expiry, seen "
				"to within %.1f s\n",
				w->s->source[i].text, dns_caches[w->s->cache[i].kind], error, blur);
	}
	disturbance(w, to);
	if (w->ended == DNS_ALL_AS_WANTED && w->s->prediction.known && w->rules->expect_new &&
	    w->s->prediction.late > w->now)
		fprintf(to, "caches that were not asked may have the old value for %s more\n",
			text_duration(w->s->prediction.late - w->now, age));
}

/* ---- JSON ---- */

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

void dns_watch_json(const struct dns_watching *w, FILE *to)
{
	static const char *const ends[] = {NULL, "as-wanted", "timeout", "user"};
	struct dns_report r = report_of(w);
	struct dns_watch_score score;
	unsigned int caches, times = loads(w, &caches);
	json_t *j = dns_report_json(&r);
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	dns_watch_score(w, &score);
	for (unsigned int i = 0; i < w->s->n; i++) {
		json_t *source = json_array_get(json_object_get(j, "sources"), i);
		double error, blur;
		bool scored = dns_watch_score_one(w, i, &error, &blur);

		json_object_set_new(source, "score_s", number(scored ? error : NAN));
		json_object_set_new(source, "loaded_old", json_integer(w->of[i].loaded));
	}
	json_object_set_new(j, "at", json_integer((json_int_t)t.tv_sec));
	json_object_set_new(j, "watched_s", json_real((double)(w->now - w->began) / (double)S));
	json_object_set_new(j, "held_back", json_integer(w->held));
	json_object_set_new(j, "loaded_old", json_integer(times));
	json_object_set_new(j, "loaded_old_caches", json_integer(caches));
	json_object_set_new(j, "ended", w->ended ? json_string(ends[w->ended]) : json_null());
	json_object_set_new(
		j, "score",
		json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "caches", (int)score.n, "worst_s",
			  number(score.worst_s), "worst_counting_s", number(score.counting_s),
			  "seen_within_s", score.n ? json_real(score.blur_s) : json_null(),
			  "last_error_s", number(score.last_error_s), "control_as_wanted",
			  w->control_asked ? json_integer(w->control_good) : json_null(),
			  "control_asked",
			  w->control_asked ? json_integer(w->control_n) : json_null()));
	json_dumpf(j, to, JSON_COMPACT | JSON_REAL_PRECISION(6));
	fputc('\n', to);
	json_decref(j);
	json_answered();
}
