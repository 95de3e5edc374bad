/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preflight.c - the gates of a change of records: from what was seen to a verdict (pure)
 *
 * A change of records goes wrong by what was wrong before it: a TTL that is still long in caches, a
 * secondary that hears of nothing, a server that the parent does not know, a signature that ends.
 * Each gate looks at one of those and says what was seen and what to do. What was looked for and
 * not seen is "unknown", never "ok".
 *
 * The answers come from the survey and from preflight_look.c; when a TTL was seen is kept by
 * preflight_ttl.c. Weakness: all is seen from this host, and an authority behind anycast at one of
 * its sites alone.
 */
#include "dns/preflight.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/text.h"

#define S UINT64_C(1000000000)

const char *const dns_gate_verdicts[] = {"ok", "warning", "failed", "unknown"};

void dns_gate(struct dns_gates *g, const char *name, enum dns_gate_verdict v, const char *evidence,
	      ...)
{
	struct dns_gate *one;
	va_list args;

	if (g->n == DNS_MAX_GATES)
		return;
	one = &g->gate[g->n++];
	memset(one, 0, sizeof(*one));
	one->name = name;
	one->verdict = v;
	va_start(args, evidence);
	vsnprintf(one->evidence, sizeof(one->evidence), evidence, args);
	va_end(args);
}

void dns_gate_fix(struct dns_gates *g, const char *fix, ...)
{
	va_list args;

	if (!g->n)
		return;
	va_start(args, fix);
	vsnprintf(g->gate[g->n - 1].fix, sizeof(g->gate[0].fix), fix, args);
	va_end(args);
}

int dns_gates_exit(const struct dns_gates *g)
{
	bool unknown = false;

	for (unsigned int i = 0; i < g->n; i++) {
		if (g->gate[i].verdict == DNS_GATE_FAILED)
			return 1;
		unknown |= g->gate[i].verdict == DNS_GATE_UNKNOWN;
	}
	return unknown ? 5 : 0;
}

/* Some words of each that is wrong; those for which there is no room are counted. */
struct list {
	char text[320];
	unsigned int n, left;
};

static void add(struct list *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct list *l, const char *format, ...)
{
	size_t used = strlen(l->text);
	char word[256];
	va_list args;

	va_start(args, format);
	vsnprintf(word, sizeof(word), format, args);
	va_end(args);
	l->n++;
	if (l->left || used + strlen(word) + 24 > sizeof(l->text))
		l->left++;
	else
		snprintf(l->text + used, sizeof(l->text) - used, "%s%s", used ? "; " : "", word);
}

static const char *all_of(struct list *l)
{
	size_t used = strlen(l->text);

	if (l->left)
		snprintf(l->text + used, sizeof(l->text) - used, "; and %u more", l->left);
	l->left = 0;
	return l->text;
}

static const char *s_if(unsigned int n)
{
	return n == 1 ? "" : "s";
}

void dns_gate_delegation(struct dns_gates *g, const struct dns_survey *s)
{
	unsigned int both = 0, known = 0, child = 0;
	struct list notes = {0};

	for (unsigned int i = 0; i < s->n_authorities; i++) {
		known += s->source[i].in_parent || s->source[i].in_child;
		both += s->source[i].in_parent && s->source[i].in_child;
		child += s->source[i].in_child;
	}
	for (unsigned int i = 0; i < s->n_notes; i++)
		add(&notes, "%.200s", s->note[i]);
	if (s->delegation_differs) {
		dns_gate(g, "delegation", DNS_GATE_FAILED, "%s", all_of(&notes));
		dns_gate_fix(g,
			     "make the zone's NS records and the parent's delegation name the same "
			     "servers (the parent's at the registrar)");
	} else if (!both && child && s->parent[0] && !notes.n) {
		dns_gate(
			g, "delegation", DNS_GATE_OK,
			"the servers of %s have %s themselves: there is no delegation that could differ",
			s->parent, s->zone);
	} else if (!both) {
		dns_gate(g, "delegation", DNS_GATE_UNKNOWN, "%s",
			 notes.n ? all_of(&notes)
				 : "the parent's delegation of the zone could not be seen");
		dns_gate_fix(g, "give a resolver that answers here (dns.resolvers, or "
				"/etc/resolv.conf), and run it again");
	} else if (notes.n || known < s->n_authorities) {
		if (!notes.n)
			add(&notes,
			    "%u configured authorit%s not in the delegation: they are asked, but "
			    "no client asks them",
			    s->n_authorities - known,
			    s->n_authorities - known == 1 ? "y is" : "ies are");
		dns_gate(g, "delegation", DNS_GATE_WARNING, "%s", all_of(&notes));
		dns_gate_fix(g, "compare dns.authorities, the zone's NS records, and the parent's");
	} else {
		dns_gate(g, "delegation", DNS_GATE_OK,
			 "%s and its parent name the same servers: %u address%s", s->zone, both,
			 both == 1 ? "" : "es");
	}
}

void dns_gate_authorities(struct dns_gates *g, const struct dns_survey *s)
{
	struct list wrong = {0}, away = {0};
	unsigned int old = 0, fresh = 0;

	for (unsigned int i = 0; i < s->n_authorities; i++) {
		const struct dns_said *said = &s->said[i];

		if (said->verdict == DNS_SAYS_OLD)
			old++;
		else if (said->no_family)
			add(&away, "%s", s->source[i].text);
		else {
			fresh += said->verdict == DNS_SAYS_NEW;
			add(&wrong, "%s: %s%s%.160s", s->source[i].text,
			    dns_verdicts[said->verdict], said->why[0] ? ": " : "", said->why);
		}
	}
	if (!s->n_authorities) {
		dns_gate(g, "authorities", DNS_GATE_UNKNOWN, "no authoritative server is known%s%s",
			 s->n_notes ? ": " : "", s->n_notes ? s->note[0] : "");
		dns_gate_fix(g,
			     "name them in dns.authorities, or give a resolver in dns.resolvers");
	} else if (wrong.n) {
		dns_gate(g, "authorities", DNS_GATE_FAILED, "%s", all_of(&wrong));
		dns_gate_fix(
			g, "%s",
			fresh == wrong.n
				? "the record has the new addresses already: nothing is left to "
				  "cut over (shiftctl dns check)"
				: "every address of every name server must answer with dns.old "
				  "before it is changed; mend or remove those");
	} else if (!old) {
		dns_gate(g, "authorities", DNS_GATE_UNKNOWN, "this host reaches none: %s",
			 all_of(&away));
		dns_gate_fix(g, "run it from a host with a route to them");
	} else {
		dns_gate(g, "authorities", away.n ? DNS_GATE_WARNING : DNS_GATE_OK,
			 "%u address%s answer%s with dns.old%s%s", old, old == 1 ? "" : "es",
			 old == 1 ? "s" : "", away.n ? "; this host has no route to " : "",
			 all_of(&away));
		if (away.n)
			dns_gate_fix(g, "look at those from a host that reaches them, too");
	}
}

void dns_gate_serials(struct dns_gates *g, const struct dns_survey *s)
{
	uint32_t newest = 0;
	unsigned int known = 0;
	struct list behind = {0}, silent = {0};

	for (unsigned int i = 0; i < s->n_authorities; i++) {
		if (!s->source[i].has_serial)
			continue;
		if (!known++ || dns_serial_behind(newest, s->source[i].serial))
			newest = s->source[i].serial;
	}
	for (unsigned int i = 0; i < s->n_authorities; i++) {
		const struct dns_source *a = &s->source[i];

		if (a->has_serial && dns_serial_behind(a->serial, newest))
			add(&behind, "%s has %u", a->text, a->serial);
		if (!a->has_serial && !s->said[i].no_family)
			add(&silent, "%s", a->text);
	}
	if (behind.n) {
		dns_gate(g, "serials", DNS_GATE_FAILED, "the newest serial is %u, but %s", newest,
			 all_of(&behind));
		dns_gate_fix(g, "let the secondaries catch up, and see why they do not at once: "
				"NOTIFY and zone transfers (rndc notify, rndc retransfer)");
	} else if (!known || silent.n) {
		dns_gate(g, "serials", DNS_GATE_UNKNOWN, "no serial from %s",
			 silent.n ? all_of(&silent) : "any authority");
		dns_gate_fix(g, "mend what the gate authorities names");
	} else {
		dns_gate(g, "serials", DNS_GATE_OK, "serial %u at all %u address%s", newest, known,
			 known == 1 ? "" : "es");
	}
}

void dns_gate_alias(struct dns_gates *g, const struct dns_look *l, const char *name)
{
	unsigned int seen = 0;

	for (unsigned int t = 0; t < 2; t++) {
		for (unsigned int i = 0; l->asked[t] && i < l->n; i++) {
			const struct dns_looked *a = &l->record[t][i];

			seen += a->answered;
			if (!a->answered || !a->answer.chain)
				continue;
			dns_gate(g, "alias", DNS_GATE_FAILED,
				 "%s is an alias: %s leads to %s in %u step%s", name, a->text,
				 a->answer.target, a->answer.chain, s_if(a->answer.chain));
			dns_gate_fix(g, "the record to change is that of the target: dns.name: %s",
				     a->answer.target);
			return;
		}
	}
	if (seen) {
		dns_gate(g, "alias", DNS_GATE_OK, "%s has its own addresses, no CNAME", name);
		return;
	}
	dns_gate(g, "alias", DNS_GATE_UNKNOWN, "no authority answered");
	dns_gate_fix(g, "mend what the gate authorities names");
}

static bool has_family(const struct dns_address *a, unsigned int n, unsigned int type)
{
	for (unsigned int i = 0; i < n; i++)
		if (a[i].family == (type ? 6 : 4))
			return true;
	return false;
}

void dns_gate_negative(struct dns_gates *g, const struct dns_look *l, const struct dns_wanted *w)
{
	bool fresh = false, known = false;
	uint32_t longest = 0;
	const char *type = "";

	for (unsigned int t = 0; t < 2; t++) {
		if (!l->asked[t] || has_family(w->old, w->n_old, t) ||
		    !has_family(w->fresh, w->n_fresh, t))
			continue;
		fresh = true;
		type = t ? "AAAA" : "A";
		for (unsigned int i = 0; i < l->n; i++) {
			const struct dns_looked *a = &l->record[t][i];

			if (!a->answered || a->answer.n_addresses || !a->answer.has_soa)
				continue;
			known = true;
			if (a->answer.negative_ttl > longest)
				longest = a->answer.negative_ttl;
		}
	}
	if (!fresh)
		dns_gate(g, "negative-ttl", DNS_GATE_OK,
			 "no record is new: its absence is in no cache");
	else if (!known) {
		dns_gate(g, "negative-ttl", DNS_GATE_UNKNOWN,
			 "the %s record is new, but no authority says how long its absence is kept",
			 type);
		dns_gate_fix(g, "mend what the gate authorities names");
	} else if (longest > w->ttl) {
		dns_gate(g, "negative-ttl", DNS_GATE_WARNING,
			 "the %s record is new: who asked before keeps its absence for %u s", type,
			 longest);
		dns_gate_fix(
			g,
			"lower the TTL and the last number of the zone's SOA to %u s, and wait for %u "
			"s; ask no resolver for it before the change",
			w->ttl, longest);
	} else
		dns_gate(g, "negative-ttl", DNS_GATE_OK,
			 "the %s record is new, and its absence is kept for %u s at most", type,
			 longest);
}

void dns_gate_resolvers(struct dns_gates *g, const struct dns_look *l)
{
	struct list broken = {0}, silent = {0};
	unsigned int good = 0;

	for (unsigned int i = 0; i < l->n_resolvers; i++) {
		const struct dns_looked *r = &l->resolver[i];
		char code[16];

		if (!r->answered)
			add(&silent, "%s (%s)", r->text, r->why);
		else if (r->rcode != DNS_NOERROR || !r->answer.has_soa)
			add(&broken, "%s: %s%s%s%.80s", r->text,
			    r->rcode ? dns_rcode_text(r->rcode, code) : "no SOA",
			    r->answer.ede_text[0] ? " (" : "", r->answer.ede_text,
			    r->answer.ede_text[0] ? ")" : "");
		else
			good++;
	}
	if (!l->zone[0]) {
		dns_gate(g, "resolvers", DNS_GATE_UNKNOWN, "the zone is not known");
		dns_gate_fix(g, "mend what the gates authorities and delegation name");
	} else if (!good && !broken.n) {
		dns_gate(g, "resolvers", DNS_GATE_UNKNOWN,
			 "no resolver could be asked for the zone%s%s", silent.n ? ": " : "",
			 all_of(&silent));
		dns_gate_fix(g, "give resolvers that this host reaches in dns.resolvers");
	} else if (broken.n) {
		dns_gate(g, "resolvers", DNS_GATE_FAILED, "%s", all_of(&broken));
		dns_gate_fix(g, "SERVFAIL where the authorities are sound is DNSSEC that fails, a "
				"delegation to servers that answer nobody, or a blocked port 53");
	} else {
		dns_gate(g, "resolvers", silent.n ? DNS_GATE_WARNING : DNS_GATE_OK,
			 "%u resolver%s look%s up %s%s%s", good, s_if(good), good == 1 ? "s" : "",
			 l->zone, silent.n ? "; no answer from " : "", all_of(&silent));
		if (silent.n)
			dns_gate_fix(g, "take those out of dns.resolvers, or open the way to them");
	}
}

static const char *lasting(uint64_t from_s, uint64_t to_s, char ret[32])
{
	return text_duration((to_s > from_s ? to_s - from_s : 0) * S, ret);
}

void dns_gate_dnssec(struct dns_gates *g, const struct dns_look *l, const struct dns_verified *v,
		     unsigned int n, uint64_t now_s, uint64_t lasting_s)
{
	struct list bogus = {0}, cannot = {0};
	unsigned int good = 0, ds = 0, keys = 0;
	uint64_t first = UINT64_MAX;
	const char *ends_at = "";
	char left[32], need[32];

	for (unsigned int i = 0; i < n; i++) {
		const struct secure_result *r = &v[i].result;

		ds = r->ds > ds ? r->ds : ds;
		keys = r->keys > keys ? r->keys : keys;
		good += r->verdict == SECURE_OK || r->verdict == SECURE_UNSIGNED;
		if (r->verdict == SECURE_BOGUS)
			add(&bogus, "%s: %s", v[i].server, r->why);
		if (r->verdict == SECURE_CANNOT)
			add(&cannot, "%s: %s", v[i].server, r->why);
		if (r->verdict == SECURE_OK && r->expires < first) {
			first = r->expires;
			ends_at = v[i].server;
		}
	}
	if (bogus.n) {
		dns_gate(g, "dnssec", DNS_GATE_FAILED, "validating resolvers refuse this zone: %s",
			 all_of(&bogus));
		dns_gate_fix(g,
			     "sign the zone again (rndc sign, knotc zone-sign), or mend the DS at "
			     "the parent, before anything is changed");
	} else if (cannot.n || !good) {
		dns_gate(g, "dnssec", DNS_GATE_UNKNOWN, "it could not be verified: %s",
			 cannot.n ? all_of(&cannot) : "no authority answered");
		dns_gate_fix(g, "%s",
			     l->ds.answered
				     ? "ask a validating resolver: delv, or drill -S"
				     : "give a resolver that answers here in dns.resolvers, so "
				       "that the parent is found");
	} else if (!ds) {
		dns_gate(g, "dnssec", keys ? DNS_GATE_WARNING : DNS_GATE_OK,
			 keys ? "the zone is signed, but its parent has no DS: nobody verifies it"
			      : "the zone is not signed: its parent has no DS");
		if (keys)
			dns_gate_fix(g,
				     "nothing to do for the cutover; a DS at the parent would make "
				     "it count");
	} else if (first < now_s + lasting_s) {
		dns_gate(g, "dnssec", DNS_GATE_FAILED,
			 "valid, but the signatures of %s end in %s; they must last for %s",
			 ends_at, lasting(now_s, first, left), text_duration(lasting_s * S, need));
		dns_gate_fix(g,
			     "sign the zone again (rndc sign, knotc zone-sign), and see why it was "
			     "not signed by itself");
	} else {
		dns_gate(g, "dnssec", DNS_GATE_OK,
			 "%u answer%s verified from the parent's DS on, good for another %s", good,
			 s_if(good), lasting(now_s, first, left));
	}
}
