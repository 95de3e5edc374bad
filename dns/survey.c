/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * survey.c - who answers for a name, and what each of them says
 *
 * Owns the list of sources, their samples and an engine that asks them; the loop is its caller's.
 * What the samples mean is judged elsewhere (verdict.h, predict.h), purely.
 *
 * A round is what one sweep asks of one source: each wanted type, of an authority also the SOA, of
 * a resolver every question several times, because caches behind one anycast address disagree. A
 * source whose round is not over is not asked again, so a dead one is asked no faster than it times
 * out, and no resolver is asked more often than its caller sweeps. The verdict is of what this
 * process saw; classes and predictions use all that is kept, from earlier runs too.
 *
 * A source keeps DNS_MAX_SAMPLES. When they are full, what its neighbours make needless goes first:
 * the last old answer is what the prediction rests on, and must outlast an hour of new ones; and
 * where each life of a cache's entry began and ended is what tells the kind of the cache.
 *
 * Asking disturbs: a resolver that is asked after its entry has expired loads what the authority
 * gives at that moment. The control group is asked once, at the end, to score the prediction with
 * caches that the survey did not touch.
 *
 * Weaknesses: one anycast address stands for many caches, of which a few samples see some. An
 * authority behind anycast is seen at the site next to this host alone.
 */
#include "dns/survey.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/share.h"
#include "dns/survey_own.h"
#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/base/whole.h"
#include "userspace/conf/config.h"

#define MILLION		 1000000ull
#define SECOND		 1000000000ull
#define POLITE		 50  /* questions a second to one server */
#define HURRIED		 500 /* the same of an authority that is measured */
#define MANY_SAMPLES	 100
#define RESOLVER_SAMPLES 16

/* Asked when no resolver is configured: Google, Cloudflare, Quad9, OpenDNS. */
static const char *const public_resolvers[] = {
	"8.8.8.8",
	"8.8.4.4",
	"1.1.1.1",
	"1.0.0.1",
	"9.9.9.9",
	"208.67.222.222",
	"2001:4860:4860::8888",
	"2001:4860:4860::8844",
	"2606:4700:4700::1111",
	"2606:4700:4700::1001",
	"2620:fe::fe",
	"2620:119:35::35",
};

/* ---- the sources ---- */

void dns_survey_target(const struct conf_server *c, struct dns_target *ret)
{
	static const enum dns_transport transports[] = {DNS_UDP, DNS_TCP, DNS_TLS, DNS_HTTPS};

	memset(ret, 0, sizeof(*ret));
	ret->transport = transports[c->transport];
	ret->family = c->address.family;
	memcpy(ret->ip, c->address.ip, sizeof(ret->ip));
	ret->port = c->port;
	if (!c->address.family)
		snprintf(ret->host, sizeof(ret->host), "%s", c->host);
	if (c->transport == CONF_HTTPS)
		snprintf(ret->url, sizeof(ret->url), "%s", c->text);
	snprintf(ret->text, sizeof(ret->text), "%.255s", c->text);
}

static void plain_target(const uint32_t ip[4], uint16_t port, struct dns_target *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->transport = DNS_UDP;
	ret->family = ip_family(ip);
	memcpy(ret->ip, ip, sizeof(ret->ip));
	ret->port = port;
	text_address(ip, port == 53 ? 0 : htons(port), ret->text);
}

struct dns_source *survey_add(struct dns_survey *s, enum dns_kind kind, const struct dns_target *t,
			      const char *text)
{
	struct dns_source *n;

	if (s->n == DNS_MAX_SOURCES)
		return NULL;
	n = &s->source[s->n];
	n->kind = kind;
	n->target = *t;
	n->family = t->family;
	snprintf(n->text, sizeof(n->text), "%.255s", text);
	s->own->round[s->n].survey = s;
	s->own->round[s->n].index = s->n;
	s->n++;
	return n;
}

void survey_note(struct dns_survey *s, const char *format, ...)
{
	va_list ap;

	if (s->n_notes == DNS_MAX_NOTES)
		return;
	va_start(ap, format);
	vsnprintf(s->note[s->n_notes++], sizeof(s->note[0]), format, ap);
	va_end(ap);
}

unsigned int survey_bootstraps(const char *text, struct dns_target *ret, unsigned int max)
{
	unsigned int n = 0;

	while (*text && n < max) {
		size_t length = strcspn(text, "\n");
		char line[256], word[128], server[128];
		uint32_t ip[4];
		uint16_t port = 0;

		snprintf(line, sizeof(line), "%.*s", (int)(length < 255 ? length : 255), text);
		if (sscanf(line, "%127s %127s", word, server) == 2 && !strcmp(word, "nameserver") &&
		    !ip_parse(server, ip, &port))
			plain_target(ip, port ? port : 53, &ret[n++]);
		text += length + (text[length] == '\n');
	}
	return n;
}

static void set_bootstraps(struct dns_survey *s)
{
	const struct conf_dns *c = s->own->set.conf;
	const char *path = s->own->set.resolv_conf;
	char *text = NULL;

	for (unsigned int i = 0; i < c->n_resolvers && i < SURVEY_BOOTSTRAPS; i++)
		dns_survey_target(&c->resolvers[i], &s->own->bootstrap[s->own->n_bootstrap++]);
	if (s->own->n_bootstrap)
		return;
	if (whole_read(path ? path : "/etc/resolv.conf", 65536, &text, NULL))
		return;
	s->own->n_bootstrap = survey_bootstraps(text, s->own->bootstrap, SURVEY_BOOTSTRAPS);
	free(text);
}

static void add_resolvers(struct dns_survey *s)
{
	const struct conf_dns *c = s->own->set.conf;
	unsigned int each = s->own->set.control, begin = s->n;

	for (unsigned int i = 0; i < c->n_resolvers; i++) {
		struct dns_target t;

		dns_survey_target(&c->resolvers[i], &t);
		survey_add(s, DNS_RESOLVER, &t, c->resolvers[i].text);
	}
	for (size_t i = 0; !c->n_resolvers && i < sizeof(public_resolvers) / sizeof(char *); i++) {
		struct dns_target t;
		uint32_t ip[4];
		uint16_t port = 0;

		if (ip_parse(public_resolvers[i], ip, &port))
			continue;
		plain_target(ip, 53, &t);
		survey_add(s, DNS_RESOLVER, &t, public_resolvers[i]);
	}
	if (each && s->n - begin >= each)
		for (unsigned int i = begin + each - 1; i < s->n; i += each)
			s->source[i].control = true;
}

static int make_engine(struct dns_survey *s)
{
	const struct conf_dns *c = s->own->set.conf;
	struct dns_engine_settings e = {
		.timeout_ns = c->timeout_ms * MILLION,
		.tries = s->own->set.tries,
		.rate = s->own->set.samples > MANY_SAMPLES ? HURRIED : POLITE,
		.ca_file = c->ca_file[0] ? c->ca_file : NULL,
	};

	return dns_engine_make(s->own->loop, &e, &s->own->engine);
}

int dns_survey_make(struct loop *l, const struct dns_survey_settings *set, struct dns_survey **ret)
{
	struct dns_survey *s = calloc(1, sizeof(*s));
	char name[DNS_NAME];
	int err;

	if (!s)
		return -ENOMEM;
	s->own = calloc(1, sizeof(*s->own));
	s->source = calloc(DNS_MAX_SOURCES, sizeof(*s->source));
	s->said = calloc(DNS_MAX_SOURCES, sizeof(*s->said));
	s->cache = calloc(DNS_MAX_SOURCES, sizeof(*s->cache));
	err = dns_name(set->name, name);
	if (!s->own || !s->source || !s->said || !s->cache || err) {
		dns_survey_free(s);
		return err ? err : -ENOMEM;
	}
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->own->view = calloc(DNS_MAX_SOURCES, sizeof(*s->own->view));
	s->own->view_said = calloc(DNS_MAX_SOURCES, sizeof(*s->own->view_said));
	s->own->loop = l;
	s->own->made = loop_now();
	s->own->set = *set;
	if (!set->samples)
		s->own->set.samples = set->conf->samples ? set->conf->samples : 1;
	err = s->own->view && s->own->view_said ? make_engine(s) : -ENOMEM;
	if (err) {
		dns_survey_free(s);
		return err;
	}
	set_bootstraps(s);
	for (unsigned int i = 0; i < set->conf->n_authorities; i++) {
		struct dns_target t;

		dns_survey_target(&set->conf->authorities[i], &t);
		survey_add(s, DNS_AUTHORITY, &t, set->conf->authorities[i].text);
	}
	s->n_authorities = s->n;
	if (!set->only_authorities)
		add_resolvers(s);
	*ret = s;
	return 0;
}

void dns_survey_free(struct dns_survey *s)
{
	if (!s)
		return;
	if (s->own) {
		dns_engine_free(s->own->engine);
		free(s->own->view);
		free(s->own->view_said);
	}
	free(s->own);
	free(s->source);
	free(s->said);
	free(s->cache);
	free(s);
}

/* ---- asking ---- */

static bool same_kind(const struct dns_sample *a, const struct dns_sample *b)
{
	return a->type == b->type && a->place == b->place && a->value == b->value &&
	       a->outcome == b->outcome && a->rcode == b->rcode && a->ede == b->ede;
}

/* One of the same type and cache, before (−1) or behind (1) the i-th. */
static const struct dns_sample *beside(const struct dns_source *s, unsigned int i, int step)
{
	for (int k = (int)i + step; k >= 0 && k < (int)s->n_samples; k += step)
		if (s->sample[k].type == s->sample[i].type &&
		    s->sample[k].place == s->sample[i].place)
			return &s->sample[k];
	return NULL;
}

/* What it holds ends at the same time, or it gives the same TTL each time. */
static bool same_life(const struct dns_sample *a, const struct dns_sample *b)
{
	int64_t ends = (int64_t)(b->at + b->ttl * SECOND) - (int64_t)(a->at + a->ttl * SECOND);

	return a->ttl == b->ttl || llabs(ends) < (long long)(SECOND + SECOND / 2);
}

/* Drops the oldest that its neighbours of the same cache make needless. */
static bool thin(struct dns_source *s, bool whole_runs)
{
	for (unsigned int i = 1; i + 1 < s->n_samples; i++) {
		const struct dns_sample *is = &s->sample[i], *a = beside(s, i, -1),
					*b = beside(s, i, 1);

		if (!a || !b || !same_kind(a, is) || !same_kind(b, is))
			continue;
		if (!whole_runs && (!same_life(a, is) || !same_life(is, b)))
			continue;
		memmove(&s->sample[i], &s->sample[i + 1],
			(s->n_samples - i - 1) * sizeof(s->sample[0]));
		s->n_samples--;
		return true;
	}
	return false;
}

void survey_keep(struct dns_source *s, const struct dns_sample *sample)
{
	if (s->n_samples == DNS_MAX_SAMPLES && !thin(s, false))
		thin(s, true);
	dns_source_add(s, sample);
}

void survey_thin(struct dns_source *s, unsigned int most)
{
	while (s->n_samples > most && (thin(s, false) || thin(s, true)))
		;
	if (s->n_samples <= most)
		return;
	memmove(s->sample, s->sample + (s->n_samples - most), most * sizeof(s->sample[0]));
	s->n_samples = most;
}

static bool is_fresh(const struct dns_wanted *w, const struct dns_address *a, unsigned int *ret)
{
	for (unsigned int i = 0; i < w->n_fresh; i++) {
		if (w->fresh[i].family != a->family || memcmp(w->fresh[i].ip, a->ip, sizeof(a->ip)))
			continue;
		*ret = i;
		return true;
	}
	return false;
}

static void tally(struct dns_survey *s, const struct dns_answer *a)
{
	unsigned int found = 0, which = 0, i;

	for (unsigned int k = 0; k < a->n_addresses; k++) {
		if (is_fresh(s->own->set.wanted, &a->address[k], &i)) {
			which = i;
			found++;
		}
	}
	if (found == 1 && a->n_addresses == 1)
		s->alone[which]++;
	else if (found)
		s->together++;
}

/* The first address as it stands in the message: what a script that takes one line sees. */
static void take_first(struct dns_survey *s, struct survey_round *r, const struct dns_result *res)
{
	struct dns_record *list = NULL;
	struct dns_address a = {0};
	unsigned int which;
	uint16_t port = 0;
	int n;

	if (r->took == DNS_A && res->question->type != DNS_A)
		return; /* the script asks for A; AAAA only stands in */
	n = dns_records(res->wire, res->size, DNS_IN_ANSWER, res->question->type, &list);
	if (n > 0 && !ip_parse(list[0].text, a.ip, &port)) {
		a.family = ip_family(a.ip);
		a.ttl = list[0].ttl;
		r->first = a;
		r->has_first = true;
		r->took = res->question->type;
		r->first_is_new = is_fresh(s->own->set.wanted, &a, &which);
	}
	if (n >= 0)
		dns_records_free(list, n);
}

static void take_soa(struct dns_survey *s, struct dns_source *source, const struct dns_answer *a)
{
	if (!a->has_soa || !dns_below(s->name, a->soa_owner))
		return;
	source->has_serial = true;
	source->serial = a->serial;
	if (!s->zone[0])
		snprintf(s->zone, sizeof(s->zone), "%s", a->soa_owner);
}

static void answered_all(struct survey_round *r)
{
	struct dns_survey *s = r->survey;
	struct dns_survey_own *own = s->own;

	r->before = r->began;
	r->has_first &= r->took != 0;
	own->busy--;
	if (own->changed)
		own->changed(own->arg, s, r->index);
	if (own->waits && !own->busy)
		loop_stop(own->loop, 0);
}

static void on_result(void *arg, const struct dns_result *res)
{
	struct survey_round *r = arg;
	struct dns_survey *s = r->survey;
	struct dns_source *source = &s->source[r->index];

	if (res->question->type == DNS_SOA) {
		if (res->answer)
			take_soa(s, source, res->answer);
	} else {
		struct dns_sample sample;

		dns_sample_of(s->own->set.wanted, res, &sample);
		sample.polled = !source->control;
		survey_keep(source, &sample);
		if (res->answer && source->kind == DNS_AUTHORITY)
			tally(s, res->answer);
		if (res->answer && res->answer->n_addresses)
			take_first(s, r, res);
	}
	if (!--r->open)
		answered_all(r);
}

static void question(const struct dns_survey *s, const struct dns_source *source, uint16_t type,
		     struct dns_question *ret)
{
	const struct dns_survey_settings *set = &s->own->set;
	const char *name = type == DNS_SOA && s->zone[0] ? s->zone : s->name;

	memset(ret, 0, sizeof(*ret));
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->type = type;
	ret->recurse = source->kind == DNS_RESOLVER;
	ret->nsid = true;
	if (type == DNS_SOA)
		return;
	ret->subnet_family = set->subnet_family;
	ret->subnet_bits = set->subnet_bits;
	memcpy(ret->subnet, set->subnet, sizeof(ret->subnet));
}

static bool has_weights(const struct dns_wanted *w)
{
	for (unsigned int i = 0; i < w->n_fresh; i++)
		if (w->weight[i])
			return true;
	return false;
}

static int ask_source(struct dns_survey *s, unsigned int i)
{
	const struct dns_wanted *w = s->own->set.wanted;
	struct dns_source *source = &s->source[i];
	struct survey_round *r = &s->own->round[i];
	bool authority = source->kind == DNS_AUTHORITY;
	unsigned int times = authority && !has_weights(w) ? 1 : s->own->set.samples;
	struct dns_question q;
	int err = 0;

	/* More than that tells nothing: what a cache has is the same each time. */
	if (!authority && times > RESOLVER_SAMPLES)
		times = RESOLVER_SAMPLES;
	r->began = loop_now();
	r->took = 0;
	for (unsigned int k = 0; k < times; k++) {
		for (unsigned int type = 0; type < 2 && !err; type++) {
			if (type ? !w->ask_aaaa : !w->ask_a)
				continue;
			question(s, source, type ? DNS_AAAA : DNS_A, &q);
			err = dns_ask(s->own->engine, &source->target, &q, on_result, r);
			r->open += !err;
		}
	}
	if (authority && !err) {
		question(s, source, DNS_SOA, &q);
		err = dns_ask(s->own->engine, &source->target, &q, on_result, r);
		r->open += !err;
	}
	s->own->busy += r->open > 0;
	return err;
}

int dns_survey_ask(struct dns_survey *s, unsigned int what, dns_survey_changed changed, void *arg)
{
	int asked = 0;

	s->own->changed = changed;
	s->own->arg = arg;
	for (unsigned int i = 0; i < s->n; i++) {
		const struct dns_source *source = &s->source[i];
		unsigned int is = source->kind == DNS_AUTHORITY ? DNS_SWEEP_AUTHORITIES
				  : source->control		? DNS_SWEEP_CONTROL
								: DNS_SWEEP_RESOLVERS;
		int err;

		if (!(what & is) || s->own->round[i].open)
			continue;
		err = ask_source(s, i);
		if (err && !s->own->round[i].open)
			return err;
		asked++;
	}
	return asked;
}

unsigned int dns_survey_busy(const struct dns_survey *s)
{
	return s->own->busy;
}

int dns_survey_sweep(struct dns_survey *s, unsigned int what)
{
	int err = dns_survey_ask(s, what, NULL, NULL);

	if (err < 0 && !s->own->busy)
		return err;
	s->own->waits = true;
	if (s->own->busy)
		err = loop_run(s->own->loop);
	s->own->waits = false;
	return err < 0 ? err : 0;
}

/* ---- judging ---- */

static void copy_since(const struct dns_source *from, uint64_t since, struct dns_source *ret)
{
	unsigned int first = 0;

	while (first < from->n_samples && from->sample[first].at < since)
		first++;
	memcpy(ret, from, offsetof(struct dns_source, sample));
	ret->n_samples = from->n_samples - first;
	memcpy(ret->sample, from->sample + first, ret->n_samples * sizeof(ret->sample[0]));
}

void dns_survey_last_round(const struct dns_survey *s, unsigned int i, struct dns_source *ret)
{
	const struct survey_round *r = &s->own->round[i];
	uint64_t since = r->open && r->before ? r->before : r->began;

	copy_since(&s->source[i], since ? since : UINT64_MAX, ret);
}

/* What this process saw itself: an earlier run's answers say nothing about now. */
static void seen_here(const struct dns_survey *s, unsigned int i, struct dns_source *ret)
{
	copy_since(&s->source[i], s->own->made, ret);
}

static bool newest_serial(const struct dns_survey *s, uint32_t *ret)
{
	bool found = false;

	for (unsigned int i = 0; i < s->n; i++) {
		if (!s->source[i].has_serial)
			continue;
		if (!found || dns_serial_behind(*ret, s->source[i].serial))
			*ret = s->source[i].serial;
		found = true;
	}
	return found;
}

/* The TTL that the authorities give now, or the configured one. */
static uint32_t authority_ttl(const struct dns_survey *s)
{
	uint32_t ttl = 0;

	for (unsigned int i = 0; i < s->n_authorities; i++) {
		const struct dns_source *a = &s->source[i];

		for (unsigned int k = a->n_samples; k-- > 0;) {
			if (!a->sample[k].n_addresses)
				continue;
			ttl = a->sample[k].ttl > ttl ? a->sample[k].ttl : ttl;
			break;
		}
	}
	return ttl ? ttl : s->own->set.wanted->ttl;
}

/* Old for new and new for old: on the way back the one is predicted as else the other. */
static void turn(struct dns_source *s, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int k = 0; k < s[i].n_samples; k++) {
			enum dns_value *v = &s[i].sample[k].value;

			if (*v == DNS_VALUE_OLD)
				*v = DNS_VALUE_NEW;
			else if (*v == DNS_VALUE_NEW)
				*v = DNS_VALUE_OLD;
		}
	}
}

static void predict(struct dns_survey *s, uint64_t now)
{
	bool back = s->own->set.back;

	if (back)
		turn(s->source, s->n);
	dns_predict(s->source, s->n, s->own->set.wanted, now, &s->prediction);
	if (!back)
		return;
	turn(s->source, s->n);
	if (!s->prediction.known)
		snprintf(s->prediction.why, sizeof(s->prediction.why),
			 "not every authority gives the old value again");
}

bool dns_survey_score(struct dns_survey *s, unsigned int i, uint64_t predicted, double *ret_error_s,
		      double *ret_blur_s)
{
	bool scored;

	if (s->own->set.back)
		turn(&s->source[i], 1);
	scored = dns_score(&s->source[i], predicted, ret_error_s, ret_blur_s);
	if (s->own->set.back)
		turn(&s->source[i], 1);
	return scored;
}

void dns_survey_judge(struct dns_survey *s, uint64_t now, struct dns_judged *ret)
{
	struct dns_survey_own *own = s->own;
	uint32_t newest = 0, ttl = authority_ttl(s);
	bool serial = newest_serial(s, &newest);
	uint64_t expired;

	predict(s, now);
	expired = s->prediction.known && !own->set.back ? s->prediction.late : 0;
	own->n_view = 0;
	for (unsigned int i = 0; i < s->n; i++) {
		struct dns_source *view = &own->view[own->n_view];

		memset(&s->said[i], 0, sizeof(s->said[i]));
		s->said[i].verdict = DNS_SAYS_UNREACHABLE;
		s->said[i].share_new = NAN;
		s->said[i].ttl_left_s = -1;
		dns_classify(&s->source[i], ttl, &s->cache[i]);
		seen_here(s, i, view);
		if (!view->n_samples) {
			snprintf(s->said[i].why, sizeof(s->said[i].why), "not asked");
			continue;
		}
		dns_judge(view, own->set.wanted, now, serial ? &newest : NULL, expired,
			  &s->said[i]);
		own->view_said[own->n_view++] = s->said[i];
	}
	dns_judge_all(own->view, own->view_said, own->n_view, ret);
}

int dns_survey_exit(const struct dns_survey *s, const struct dns_judged *j, bool expect_new)
{
	return dns_exit(j, s->own->view_said, s->own->view, s->own->n_view, expect_new);
}

bool dns_survey_open(const struct dns_survey *s, unsigned int source)
{
	return s->own->round[source].open != 0;
}

bool dns_survey_asked(const struct dns_survey *s, unsigned int source)
{
	return s->own->round[source].began != 0;
}

const struct dns_address *dns_survey_first(const struct dns_survey *s, unsigned int source,
					   bool *ret_new)
{
	const struct survey_round *r = &s->own->round[source];

	*ret_new = r->has_first && r->first_is_new;
	return r->has_first ? &r->first : NULL;
}

double dns_survey_weights(const struct dns_survey *s, uint64_t *ret_answers)
{
	const struct dns_wanted *w = s->own->set.wanted;
	double least = NAN;
	unsigned int tests = 0;

	*ret_answers = 0;
	for (uint8_t family = 4; has_weights(w) && family <= 6; family += 2) {
		double weights[DNS_MAX_ADDRESSES], p;
		uint64_t counts[DNS_MAX_ADDRESSES], sum = 0;
		unsigned int n = 0;

		for (unsigned int i = 0; i < w->n_fresh; i++) {
			if (w->fresh[i].family != family)
				continue;
			sum += s->alone[i];
			counts[n] = s->alone[i];
			weights[n++] = w->weight[i];
		}
		*ret_answers += sum;
		p = n > 1 && sum ? dns_share_test(counts, weights, n) : NAN;
		if (isnan(p))
			continue;
		tests++;
		if (isnan(least) || p < least)
			least = p;
	}
	return tests > 1 ? fmin(1, least * tests) : least;
}
