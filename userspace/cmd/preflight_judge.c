/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preflight_judge.c - what the facts of one address mean beside the old service's
 *
 * Failed: clients would fail that the old service serves. Warning: some would notice. Unknown: it
 * could not be found out, which is never taken for good.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "userspace/base/text.h"
#include "userspace/cmd/preflight.h"

#define DAY   86400
#define SOON  14 /* days to the end of a certificate */
#define MS_NS 1000000ull

const char *const preflight_verdicts[] = {"ok", "warning", "failed", "unknown"};

struct judge {
	const struct preflight_server *s, *old;
	const struct preflight_plan *plan;
	time_t now;
	struct preflight_report *r;
};

static struct preflight_finding *find(struct judge *j, const char *check,
				      enum preflight_verdict verdict, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static struct preflight_finding *find(struct judge *j, const char *check,
				      enum preflight_verdict verdict, const char *format, ...)
{
	static struct preflight_finding lost;
	struct preflight_finding *f = &lost;
	char address[64];
	va_list ap;

	j->r->of[verdict]++;
	if (j->r->n < PREFLIGHT_FINDINGS)
		f = &j->r->finding[j->r->n++];
	else
		j->r->left_out++;
	memset(f, 0, sizeof(*f));
	f->check = check;
	f->verdict = verdict;
	if (j->s->resolve_err)
		snprintf(f->on, sizeof(f->on), "%s", j->s->name);
	else
		snprintf(f->on, sizeof(f->on), "%s %s", j->s->name,
			 text_address(j->s->address, htons(j->s->port), address));
	va_start(ap, format);
	vsnprintf(f->evidence, sizeof(f->evidence), format, ap);
	va_end(ap);
	return f;
}

static void fix(struct preflight_finding *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void fix(struct preflight_finding *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(f->fix, sizeof(f->fix), format, ap);
	va_end(ap);
}

static double ms(uint64_t ns)
{
	return (double)ns / MS_NS;
}

/* ---- connections ---- */

static const char *reach_fix(int err)
{
	switch (err) {
	case -EADDRNOTAVAIL:
		return "give this host that address (nat.addresses must be its own), or take it "
		       "out of nat.addresses";
	case -ECONNREFUSED:
		return "nothing listens there: see the target's port, and the load balancer's "
		       "listener";
	case -ENETUNREACH:
	case -EHOSTUNREACH:
		return "there is no way: see ip route get, the tunnel, and the far side's way back";
	default:
		return "open the firewalls on the way and the load balancer's security group for "
		       "this address; see that the way back leads to it";
	}
}

static void judge_reach(struct judge *j)
{
	const struct preflight_server *s = j->s;
	unsigned int good = 0;
	uint64_t least = UINT64_MAX, most = 0;
	char source[64];

	for (unsigned int i = 0; i < s->n_from; i++) {
		const struct preflight_reach *x = &s->from[i];
		struct preflight_finding *f;

		if (!x->err) {
			good++;
			least = x->ns < least ? x->ns : least;
			most = x->ns > most ? x->ns : most;
			continue;
		}
		text_address(x->address, 0, source);
		f = find(j, "reach", PREFLIGHT_FAILED, "from %s: %s (%.0f ms)", source, x->why,
			 ms(x->ns));
		fix(f, "%s", reach_fix(x->err));
	}
	if (good)
		find(j, "reach", PREFLIGHT_OK,
		     "connects in %.1f to %.1f ms from %s%u NAT address%s", ms(least), ms(most),
		     good == s->n_from && good > 1 ? "all " : "", good, good == 1 ? "" : "es");
	if (!s->n_from)
		fix(find(j, "reach", PREFLIGHT_UNKNOWN,
			 "nat.addresses has none of this address family"),
		    "add one, or the backend takes no client");
}

/* ---- TLS ---- */

static bool label_matches(const char *pattern, const char *name)
{
	const char *rest;

	if (!strcasecmp(pattern, name))
		return true;
	if (strncmp(pattern, "*.", 2) != 0 || name[0] == '*')
		return false;
	rest = strchr(name, '.');
	return rest && rest != name && !strcasecmp(pattern + 1, rest);
}

bool preflight_covers(const struct talk_tls *t, const char *name)
{
	for (unsigned int i = 0; i < t->n_names; i++) {
		if (label_matches(t->name[i], name))
			return true;
	}
	return false;
}

static const char *day(time_t at, char ret[16])
{
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(ret, 16, "%Y-%m-%d", &tm);
	return ret;
}

static bool compares(const struct judge *j)
{
	return j->old && j->old->tls_tried && !j->old->tls_err;
}

static void judge_chain(struct judge *j)
{
	const struct talk_tls *t = &j->s->tls;
	struct preflight_finding *f;
	bool same = compares(j) && !j->old->tls.trusted && !strcmp(j->old->tls.issuer, t->issuer);

	if (t->trusted)
		return;
	f = find(j, "tls-chain", same ? PREFLIGHT_WARNING : PREFLIGHT_FAILED,
		 "the certificate is not trusted: %s (issuer %s)%s", t->distrust, t->issuer,
		 same ? "; the old service's is not either, of the same issuer" : "");
	fix(f, same ? "name the CA with --ca-file, then it can be verified"
		    : "install the whole chain on the load balancer; of a private CA, name it with "
		      "--ca-file");
}

static void judge_names(struct judge *j)
{
	const struct preflight_server *s = j->s;
	char lost[256] = "";
	size_t used = 0;
	unsigned int n = 0;

	if (!s->tls.named)
		fix(find(j, "tls-name", PREFLIGHT_FAILED,
			 "the certificate is not for %s but for %s", s->tls_name,
			 s->tls.n_names ? s->tls.name[0] : "no DNS name at all"),
		    "install a certificate for %s on the load balancer, and let it choose by SNI",
		    s->tls_name);
	for (unsigned int i = 0; compares(j) && i < j->old->tls.n_names; i++) {
		const char *name = j->old->tls.name[i];

		if (preflight_covers(&s->tls, name) || !strcasecmp(name, s->tls_name))
			continue;
		if (used < sizeof(lost))
			used += (size_t)snprintf(lost + used, sizeof(lost) - used, "%s%s",
						 n ? ", " : "", name);
		n++;
	}
	if (n)
		fix(find(j, "tls-name", PREFLIGHT_WARNING,
			 "the old service's certificate is also for %s, this one is not", lost),
		    "if clients use these names, add them to the load balancer's certificate");
}

static void judge_expiry(struct judge *j)
{
	const struct talk_tls *t = &j->s->tls;
	long left = (long)((t->not_after - j->now) / DAY);
	char until[16];

	if (t->expired)
		fix(find(j, "tls-expiry", PREFLIGHT_FAILED, "the certificate expired on %s",
			 day(t->not_after, until)),
		    "renew it on the load balancer");
	else if (t->early)
		fix(find(j, "tls-expiry", PREFLIGHT_FAILED, "the certificate is not valid yet"),
		    "see the clocks, or install the one that is");
	else if (left < SOON)
		fix(find(j, "tls-expiry", PREFLIGHT_WARNING,
			 "the certificate expires in %ld days, on %s", left,
			 day(t->not_after, until)),
		    "renew it before the cutover, or see that it renews itself there");
}

static const char *or_none(const char *alpn)
{
	return alpn[0] ? alpn : "nothing";
}

static void judge_alpn(struct judge *j)
{
	const struct talk_tls *t = &j->s->tls, *old = &j->old->tls;

	if (!strcmp(t->alpn, old->alpn))
		return;
	if (!strcmp(old->alpn, "h2"))
		fix(find(j, "tls-alpn", PREFLIGHT_WARNING,
			 "of h2 and http/1.1 it chooses %s, the old service h2: gRPC clients fail "
			 "there, others go back to HTTP/1.1",
			 or_none(t->alpn)),
		    "enable HTTP/2 (ALPN h2) on the load balancer's listener");
	else
		fix(find(j, "tls-alpn", PREFLIGHT_WARNING,
			 "of h2 and http/1.1 it chooses %s, the old service %s: clients speak "
			 "another protocol there",
			 or_none(t->alpn), or_none(old->alpn)),
		    "see that the application behind is tested with it, or set the same ALPN "
		    "policy");
}

static void judge_versions(struct judge *j)
{
	if (j->old->tls12 && !j->s->tls12)
		fix(find(j, "tls-version", PREFLIGHT_WARNING,
			 "clients that know TLS 1.2 at most are refused, the old service takes "
			 "them"),
		    "choose a TLS policy of the load balancer that has TLS 1.2");
}

static void judge_tls(struct judge *j)
{
	const struct preflight_server *s = j->s;
	unsigned int before = j->r->of[PREFLIGHT_WARNING] + j->r->of[PREFLIGHT_FAILED];
	bool wanted = s->n_urls ? s->url[0].tls : compares(j);
	char until[16];

	if (!s->tls_tried || (s->tls_err && !wanted))
		return;
	if (s->tls_err) {
		struct preflight_finding *f =
			find(j, "tls", PREFLIGHT_FAILED, "no TLS with name %s: %s%s", s->tls_name,
			     s->tls_why, compares(j) ? "; the old service speaks it" : "");

		fix(f, s->tls_err == -ETIMEDOUT
			       ? "it connects, but its certificate does not come: see full-size "
				 "packets below"
			       : "see that the load balancer's listener is one of TLS, and its SNI "
				 "rules");
		return;
	}
	judge_chain(j);
	judge_names(j);
	judge_expiry(j);
	if (compares(j)) {
		judge_alpn(j);
		judge_versions(j);
	}
	if (before == j->r->of[PREFLIGHT_WARNING] + j->r->of[PREFLIGHT_FAILED])
		find(j, "tls", PREFLIGHT_OK, "%s for %s, until %s, ALPN %s%s", s->tls.version,
		     s->tls_name, day(s->tls.not_after, until), or_none(s->tls.alpn),
		     compares(j) ? ", as good as the old service's" : "");
}

/* ---- URLs ---- */

static bool expected(const struct preflight_url *u, unsigned int status)
{
	for (unsigned int i = 0; i < u->n_expect; i++) {
		if (u->expect[i] == status)
			return true;
	}
	return !u->n_expect;
}

static const struct preflight_answer *old_answer(const struct judge *j, const char *url)
{
	for (unsigned int i = 0; j->old && i < j->old->n_urls; i++) {
		if (!strcmp(j->old->url[i].url, url) && j->old->answer[i].tried)
			return &j->old->answer[i];
	}
	return NULL;
}

static void judge_url(struct judge *j, const struct preflight_url *u,
		      const struct preflight_answer *a)
{
	const struct preflight_answer *was = old_answer(j, u->url);
	bool comparable = was && !was->err;
	struct preflight_finding *f;

	if (!a->tried)
		return;
	if (a->err) {
		f = find(j, "url", PREFLIGHT_FAILED, "%.200s: %s", u->url, a->why);
		fix(f, "see the load balancer's targets and the application behind");
		return;
	}
	if (u->n_expect	 ? expected(u, a->status)
	    : comparable ? a->status == was->status
			 : a->status < 400) {
		find(j, "url", PREFLIGHT_OK, "%.200s: %u%s", u->url, a->status,
		     comparable && was->status == a->status ? ", as the old service" : "");
		return;
	}
	if (comparable)
		f = find(j, "url", PREFLIGHT_FAILED, "%.200s: %u, the old service answers %u",
			 u->url, a->status, was->status);
	else
		f = find(j, "url", PREFLIGHT_FAILED, "%.200s: %u", u->url, a->status);
	if (a->status == 401 || a->status == 403)
		fix(f, "an allowlist or web firewall there may not know nat.addresses: add them");
	else if (a->status >= 502 && a->status <= 504)
		fix(f, "the load balancer has no healthy target: see its health checks");
	else
		fix(f, "see the rules for this host name and path there");
}

/* ---- full-size packets ---- */

static void judge_size(struct judge *j)
{
	const struct preflight_size *z = &j->s->size;
	unsigned int header = j->s->address[2] == htonl(0xffff) ? 40 : 60;
	struct preflight_finding *f;

	if (z->up == PASSAGE_UNTRIED)
		return;
	if (z->up == PASSAGE_LOST || z->down == PASSAGE_LOST) {
		f = find(
			j, "full-size", PREFLIGHT_FAILED,
			"packets of %u bytes %s it are lost without a word; of %u they pass: large "
			"%s would hang",
			z->mss + header, z->up == PASSAGE_LOST ? "to" : "from", z->largest + header,
			z->up == PASSAGE_LOST ? "requests" : "answers");
		fix(f,
		    "let ICMP \"fragmentation needed\"/\"packet too big\" pass on the way; or set "
		    "the route's MTU: ip route change ... mtu %u (segments are then cut to fit)",
		    z->largest + header);
		return;
	}
	if (z->up == PASSAGE_PROVED && z->down == PASSAGE_PROVED) {
		find(j, "full-size", PREFLIGHT_OK, "packets of %u bytes pass both ways",
		     z->mss + header);
		return;
	}
	f = find(j, "full-size", PREFLIGHT_UNKNOWN, "%s; %s: the largest that came had %u bytes",
		 z->up == PASSAGE_PROVED
			 ? "packets of full size pass towards it"
			 : "not proved towards it: no large question could be asked",
		 z->down == PASSAGE_PROVED ? "they pass from it" : "not proved from it",
		 z->came + header);
	fix(f, "name a URL whose answer is larger than %u bytes: --url", 2 * z->mss);
}

/* ---- silence ---- */

static void judge_rest(struct judge *j)
{
	const struct preflight_server *s = j->s;
	bool old_lives = !j->old || j->old->rest == REST_UNTRIED || j->old->rest == REST_ALIVE;
	char a[32], b[32];

	text_duration(j->plan->idle_ns, a);
	text_duration(s->rest_ns, b);
	switch (s->rest) {
	case REST_ALIVE:
		find(j, "idle", PREFLIGHT_OK, "a connection silent for %s %s", a,
		     s->rest_asked ? "is answered" : "is still known there");
		break;
	case REST_CLOSED:
	case REST_RESET:
		if (!old_lives && j->old->rest_ns <= s->rest_ns + s->rest_ns / 10) {
			find(j, "idle", PREFLIGHT_OK,
			     "closed after %s of silence, as by the old "
			     "service",
			     b);
			break;
		}
		fix(find(j, "idle", s->rest == REST_RESET ? PREFLIGHT_FAILED : PREFLIGHT_WARNING,
			 "a silent connection was %s after %s; the old service %s",
			 s->rest == REST_RESET ? "reset" : "closed", b,
			 !j->old || j->old->rest == REST_UNTRIED ? "was not asked"
			 : j->old->rest == REST_ALIVE		 ? "keeps it"
								 : "keeps it for longer"),
		    "raise the load balancer's idle time-out above the clients' (and the old "
		    "service's)");
		break;
	case REST_FORGOTTEN:
		fix(find(j, "idle", PREFLIGHT_FAILED,
			 "a connection silent for %s is forgotten without a word: its client hangs",
			 a),
		    "raise the idle time-out of the firewall or NAT on the way, or let it reset "
		    "what it forgets");
		break;
	default:
		if (j->plan->idle_ns)
			fix(find(j, "idle", PREFLIGHT_UNKNOWN,
				 "it keeps no connection after an answer, or gave none"),
			    "see the URL's findings");
	}
}

/* ---- many ---- */

static void judge_ceiling(struct judge *j)
{
	const struct preflight_ceiling *c = &j->s->ceiling;
	unsigned int lost = c->begun - c->connected;

	if (!c->tried)
		return;
	if (c->begun < j->plan->rate)
		fix(find(j, "rate", PREFLIGHT_WARNING,
			 "only %u of %u connections could be begun in time, %u connected", c->begun,
			 j->plan->rate, c->connected),
		    "see the time that one takes, and limits on new connections on the way");
	else if (lost * 100 > c->begun)
		fix(find(j, "rate", PREFLIGHT_FAILED,
			 "of %u connections in a second %u failed (%s)", c->begun, lost,
			 strerror(-c->err)),
		    "raise the limit on new connections of the load balancer or of a firewall on "
		    "the way");
	else
		find(j, "rate", lost ? PREFLIGHT_WARNING : PREFLIGHT_OK,
		     "%u of %u connections in a second, median %.1f ms, 99%% within %.1f ms",
		     c->connected, c->begun, ms(c->p50_ns), ms(c->p99_ns));
}

/* "403", "no answer (Connection reset by peer)" */
static const char *words(const struct preflight_burst *b, char ret[TALK_WHY + 32])
{
	if (b->first_status)
		snprintf(ret, TALK_WHY + 32, "%u", b->first_status);
	else
		snprintf(ret, TALK_WHY + 32, "no answer (%s)", b->why);
	return ret;
}

static void judge_burst(struct judge *j, unsigned int at, unsigned int any_good)
{
	const struct preflight_burst *b = &j->s->burst[at];
	char source[64], said[TALK_WHY + 32], after[48] = "";
	struct preflight_finding *f;

	text_address(j->s->from[at].address, 0, source);
	if (b->retry_after_s)
		snprintf(after, sizeof(after), ", Retry-After: %u", b->retry_after_s);
	if (!b->good && any_good) {
		f = find(j, "one-address", PREFLIGHT_FAILED,
			 "from %s: %s, while other NAT addresses are served", source,
			 words(b, said));
		fix(f, "add %s to the allowlist there", source);
	} else if (!b->good) {
		return; /* what is wrong with all of it was said of the URL */
	} else if (b->limited) {
		f = find(j, "one-address", PREFLIGHT_FAILED,
			 "from %s: %s from request %u on, %u of %u limited%s: all shifted clients "
			 "share this address",
			 source, words(b, said), b->first, b->limited, b->asked, after);
		fix(f, "exempt nat.addresses from the limit per address there, or let it count by "
		       "another key");
	} else if (b->forbidden) {
		f = find(j, "one-address", PREFLIGHT_FAILED,
			 "from %s: %s from request %u on: it was blocked for asking often", source,
			 words(b, said), b->first);
		fix(f, "exempt nat.addresses from the web firewall's blocking");
	} else {
		f = find(j, "one-address",
			 b->failed * 10 > b->asked ? PREFLIGHT_FAILED : PREFLIGHT_WARNING,
			 "from %s: %u of %u served, then %s (at request %u)", source, b->good,
			 b->asked, words(b, said), b->first);
		fix(f, "see limits on connections per address there and on the way");
	}
}

static bool old_suffers(const struct judge *j)
{
	return j->old && j->old->burst[0].tried && j->old->burst[0].first;
}

static void judge_bursts(struct judge *j)
{
	const struct preflight_server *s = j->s;
	unsigned int good = 0, fine = 0, asked = 0, tried = 0;

	for (unsigned int i = 0; i < s->n_from; i++) {
		tried += s->burst[i].tried;
		good += s->burst[i].good > 0;
		fine += s->burst[i].tried && !s->burst[i].first;
		asked += s->burst[i].asked;
	}
	for (unsigned int i = 0; i < s->n_from; i++) {
		if (s->burst[i].tried && s->burst[i].first)
			judge_burst(j, i, good);
	}
	if (tried && fine == tried)
		find(j, "one-address", PREFLIGHT_OK,
		     "%u %s from %u NAT address%s, as fast as they go: all served%s", asked,
		     s->n_urls ? "requests" : "connections", tried, tried == 1 ? "" : "es",
		     old_suffers(j) ? " (the old service did not serve all)" : "");
}

/* ---- all ---- */

void preflight_judge(const struct preflight_server *s, const struct preflight_server *old,
		     const struct preflight_plan *plan, time_t now, struct preflight_report *r)
{
	struct judge j = {.s = s,
			  .old = old && old->done && old->base >= 0 ? old : NULL,
			  .plan = plan,
			  .now = now,
			  .r = r};

	if (s->resolve_err) {
		fix(find(&j, "reach", PREFLIGHT_UNKNOWN, "its name has no address now: %s",
			 strerror(-s->resolve_err)),
		    "see backends[].target and this host's resolver");
		return;
	}
	if (!s->done) {
		fix(find(&j, "reach", PREFLIGHT_UNKNOWN,
			 "looking at it took too long and was given up"),
		    "run it again, with a larger --timeout");
		return;
	}
	judge_reach(&j);
	if (s->base < 0)
		return;
	judge_tls(&j);
	for (unsigned int i = 0; i < s->n_urls; i++)
		judge_url(&j, &s->url[i], &s->answer[i]);
	judge_size(&j);
	judge_rest(&j);
	judge_ceiling(&j);
	judge_bursts(&j);
}

void preflight_judge_old(const struct preflight_server *old, struct preflight_report *r)
{
	struct judge j = {.s = old, .r = r};

	if (!old->done || old->base < 0) {
		fix(find(&j, "reach", PREFLIGHT_WARNING,
			 "the old service does not answer this host: nothing can be compared with "
			 "it (%s)",
			 old->done && old->n_from ? old->from[0].why : "too slow"),
		    "start it, or see that this host itself may connect to it");
		return;
	}
	find(&j, "reach", PREFLIGHT_OK, "the old service connects in %.1f ms", ms(old->from[0].ns));
	if (old->tls_tried && !old->tls_err && old->tls.expired)
		fix(find(&j, "tls-expiry", PREFLIGHT_WARNING,
			 "the old service's own certificate has expired"),
		    "whatever the backends have, clients see this one now");
}

int preflight_exit(const struct preflight_report *r)
{
	return r->of[PREFLIGHT_FAILED] ? 1 : r->of[PREFLIGHT_UNKNOWN] ? 5 : 0;
}
