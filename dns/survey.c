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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		survey_forget_batches(s);
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

bool survey_has_weights(const struct dns_wanted *w)
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
	unsigned int times = authority && !survey_has_weights(w) ? 1 : s->own->set.samples;
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
