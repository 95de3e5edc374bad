/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_preflight.c - what each fact about a backend means beside the old service's
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>

#include "userspace/base/ip.h"
#include "userspace/cmd/preflight.h"

#define NOW 1700000000
#define DAY 86400
#define S   1000000000ull

struct fixture {
	struct preflight_server s, old;
	struct preflight_plan plan;
	struct preflight_report report;
};

static void certificate(struct talk_tls *t)
{
	strcpy(t->version, "TLSv1.3");
	strcpy(t->alpn, "h2");
	strcpy(t->issuer, "/CN=CA");
	t->trusted = t->named = true;
	t->not_after = NOW + 100 * DAY;
	strcpy(t->name[0], "api.test");
	strcpy(t->name[1], "*.api.test");
	t->n_names = 2;
}

static void server(struct preflight_server *s, const char *name, unsigned int sources)
{
	strcpy(s->name, name);
	s->done = true;
	s->port = 443;
	ip_map(htonl(0xc6336405), s->address);
	s->n_from = sources;
	for (unsigned int i = 0; i < sources; i++) {
		ip_map(htonl(0xcb007100 + i), s->from[i].address);
		s->from[i].ns = 2000000;
		s->burst[i] = (struct preflight_burst){.tried = true, .asked = 30, .good = 30};
	}
	s->n_urls = 1;
	s->url[0] = (struct preflight_url){.url = "https://api.test/health", .tls = true};
	s->answer[0] = (struct preflight_answer){.tried = true, .status = 200, .size = 100};
	s->tls_tried = s->tls12 = true;
	strcpy(s->tls_name, "api.test");
	certificate(&s->tls);
	s->size = (struct preflight_size){PASSAGE_PROVED, PASSAGE_PROVED, 1448, 0, 1448};
	s->rest = REST_ALIVE;
	s->rest_asked = true;
	s->rest_ns = 60 * S;
}

static struct fixture *make(void)
{
	struct fixture *x = calloc(1, sizeof(*x));

	server(&x->s, "aws", 2);
	server(&x->old, "old", 1);
	x->old.old = true;
	x->plan = (struct preflight_plan){.timeout_ns = 3 * S, .idle_ns = 60 * S, .burst = 30};
	return x;
}

static void judge(struct fixture *x)
{
	memset(&x->report, 0, sizeof(x->report));
	preflight_judge(&x->s, &x->old, &x->plan, NOW, &x->report);
}

/* The worst that was said under that name; NULL: nothing. */
static const struct preflight_finding *found(const struct fixture *x, const char *check)
{
	const struct preflight_finding *worst = NULL;

	for (unsigned int i = 0; i < x->report.n; i++) {
		const struct preflight_finding *f = &x->report.finding[i];

		if (!strcmp(f->check, check) && (!worst || f->verdict > worst->verdict))
			worst = f;
	}
	return worst;
}

static void a_good_backend_is_good(void **state)
{
	static const char *const checks[] = {"reach",	  "tls",  "url",
					     "full-size", "idle", "one-address"};
	struct fixture *x = make();

	(void)state;
	judge(x);
	assert_int_equal(preflight_exit(&x->report), 0);
	assert_int_equal(x->report.of[PREFLIGHT_OK], x->report.n);
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++)
		assert_non_null(found(x, checks[i]));
	assert_string_equal(found(x, "reach")->on, "aws 198.51.100.5:443");
	free(x);
}

/* ---- one fault, one finding ---- */

static void dead(struct preflight_server *s)
{
	for (unsigned int i = 0; i < s->n_from; i++)
		s->from[i].err = -ETIMEDOUT;
	s->base = -1;
}

static void half_dead(struct preflight_server *s)
{
	s->from[1].err = -ECONNREFUSED;
	s->burst[1].tried = false;
}

static void not_own(struct preflight_server *s)
{
	s->from[1].err = -EADDRNOTAVAIL;
	s->burst[1].tried = false;
}

static void unresolved(struct preflight_server *s)
{
	s->resolve_err = -ENOENT;
}

static void given_up(struct preflight_server *s)
{
	s->done = false;
}

static void no_tls(struct preflight_server *s)
{
	s->tls_err = -EPROTO;
	strcpy(s->tls_why, "wrong version number");
}

static void expired(struct preflight_server *s)
{
	s->tls.expired = true;
	s->tls.not_after = NOW - DAY;
}

static void early(struct preflight_server *s)
{
	s->tls.early = true;
}

static void expires_soon(struct preflight_server *s)
{
	s->tls.not_after = NOW + 13 * DAY;
}

static void expires_later(struct preflight_server *s)
{
	s->tls.not_after = NOW + 15 * DAY;
}

static void untrusted(struct preflight_server *s)
{
	s->tls.trusted = false;
	strcpy(s->tls.distrust, "unable to get local issuer certificate");
}

static void misnamed(struct preflight_server *s)
{
	s->tls.named = false;
	strcpy(s->tls.name[0], "elsewhere.test");
	s->tls.n_names = 1;
}

static void fewer_names(struct preflight_server *s)
{
	s->tls.n_names = 1;
}

static void no_alpn(struct preflight_server *s)
{
	s->tls.alpn[0] = '\0';
}

static void only_13(struct preflight_server *s)
{
	s->tls12 = false;
}

static void answers_404(struct preflight_server *s)
{
	s->answer[0].status = 404;
}

static void answers_nothing(struct preflight_server *s)
{
	s->answer[0].err = -ECONNRESET;
}

static void lost_up(struct preflight_server *s)
{
	s->size = (struct preflight_size){PASSAGE_LOST, PASSAGE_UNPROVED, 1448, 1360, 536};
}

static void lost_down(struct preflight_server *s)
{
	s->size = (struct preflight_size){PASSAGE_UNPROVED, PASSAGE_LOST, 1448, 1360, 536};
}

static void small_answers(struct preflight_server *s)
{
	s->size.down = PASSAGE_UNPROVED;
	s->size.came = 500;
}

static void closes_idle(struct preflight_server *s)
{
	s->rest = REST_CLOSED;
	s->rest_ns = 2 * S;
}

static void resets_idle(struct preflight_server *s)
{
	s->rest = REST_RESET;
}

static void forgets_idle(struct preflight_server *s)
{
	s->rest = REST_FORGOTTEN;
}

static void keeps_none(struct preflight_server *s)
{
	s->rest = REST_UNTRIED;
}

static void ceiling(struct preflight_server *s)
{
	s->ceiling = (struct preflight_ceiling){
		.tried = true, .begun = 100, .connected = 90, .err = -ETIMEDOUT};
}

static void no_ceiling(struct preflight_server *s)
{
	s->ceiling = (struct preflight_ceiling){.tried = true, .begun = 100, .connected = 100};
}

static void too_slow(struct preflight_server *s)
{
	s->ceiling = (struct preflight_ceiling){.tried = true, .begun = 60, .connected = 60};
}

static void allowlist(struct preflight_server *s)
{
	s->burst[1] = (struct preflight_burst){
		.tried = true, .asked = 30, .forbidden = 30, .first = 1, .first_status = 403};
}

static void limited(struct preflight_server *s)
{
	s->burst[0] = (struct preflight_burst){.tried = true,
					       .asked = 30,
					       .good = 12,
					       .limited = 18,
					       .first = 13,
					       .first_status = 429,
					       .retry_after_s = 7};
}

static void blocked(struct preflight_server *s)
{
	s->burst[0] = (struct preflight_burst){.tried = true,
					       .asked = 30,
					       .good = 20,
					       .forbidden = 10,
					       .first = 21,
					       .first_status = 403};
}

static void reset_after(struct preflight_server *s)
{
	s->burst[0] = (struct preflight_burst){
		.tried = true, .asked = 13, .good = 10, .failed = 3, .first = 11};
	strcpy(s->burst[0].why, "Connection reset by peer");
}

static void one_in_thirty(struct preflight_server *s)
{
	s->burst[0] = (struct preflight_burst){.tried = true,
					       .asked = 30,
					       .good = 29,
					       .other = 1,
					       .first = 30,
					       .first_status = 500};
}

static const struct row {
	const char *name;
	void (*fault)(struct preflight_server *s);
	const char *check;
	enum preflight_verdict verdict;
	const char *evidence, *fix;
	int code;
} rows[] = {
	{"dead", dead, "reach", PREFLIGHT_FAILED, "from 203.0.113.", "firewalls", 1},
	{"half dead", half_dead, "reach", PREFLIGHT_FAILED, "203.0.113.1", "listens", 1},
	{"not own", not_own, "reach", PREFLIGHT_FAILED, "203.0.113.1", "nat.addresses", 1},
	{"unresolved", unresolved, "reach", PREFLIGHT_UNKNOWN, "no address", "resolver", 5},
	{"given up", given_up, "reach", PREFLIGHT_UNKNOWN, "too long", "--timeout", 5},
	{"no tls", no_tls, "tls", PREFLIGHT_FAILED, "the old service speaks it", "listener", 1},
	{"expired", expired, "tls-expiry", PREFLIGHT_FAILED, "2023-11-13", "renew", 1},
	{"early", early, "tls-expiry", PREFLIGHT_FAILED, "not valid yet", "clocks", 1},
	{"soon", expires_soon, "tls-expiry", PREFLIGHT_WARNING, "in 13 days", "renew", 0},
	{"later", expires_later, "tls", PREFLIGHT_OK, "as good as", "", 0},
	{"untrusted", untrusted, "tls-chain", PREFLIGHT_FAILED, "local issuer", "chain", 1},
	{"misnamed", misnamed, "tls-name", PREFLIGHT_FAILED, "elsewhere.test", "SNI", 1},
	{"fewer", fewer_names, "tls-name", PREFLIGHT_WARNING, "*.api.test", "add them", 0},
	{"alpn", no_alpn, "tls-alpn", PREFLIGHT_WARNING, "gRPC", "HTTP/2", 0},
	{"1.3", only_13, "tls-version", PREFLIGHT_WARNING, "TLS 1.2", "policy", 0},
	{"404", answers_404, "url", PREFLIGHT_FAILED, "404, the old service answers 200", "rules",
	 1},
	{"reset", answers_nothing, "url", PREFLIGHT_FAILED, "https://api.test/health", "targets",
	 1},
	{"up", lost_up, "full-size", PREFLIGHT_FAILED, "1488 bytes to it", "mtu 1400", 1},
	{"down", lost_down, "full-size", PREFLIGHT_FAILED, "1488 bytes from it", "mtu 1400", 1},
	{"small", small_answers, "full-size", PREFLIGHT_UNKNOWN, "540 bytes", "--url", 5},
	{"closes", closes_idle, "idle", PREFLIGHT_WARNING, "the old service keeps it", "raise", 0},
	{"resets", resets_idle, "idle", PREFLIGHT_FAILED, "reset", "raise", 1},
	{"forgets", forgets_idle, "idle", PREFLIGHT_FAILED, "hangs", "firewall", 1},
	{"keeps none", keeps_none, "idle", PREFLIGHT_UNKNOWN, "keeps no connection", "URL", 5},
	{"ceiling", ceiling, "rate", PREFLIGHT_FAILED, "10 failed", "limit", 1},
	{"no ceiling", no_ceiling, "rate", PREFLIGHT_OK, "100 of 100", "", 0},
	{"too slow", too_slow, "rate", PREFLIGHT_WARNING, "only 60 of 100", "limits", 0},
	{"allowlist", allowlist, "one-address", PREFLIGHT_FAILED, "from 203.0.113.1: 403",
	 "add 203.0.113.1", 1},
	{"limited", limited, "one-address", PREFLIGHT_FAILED, "429 from request 13 on", "exempt",
	 1},
	{"blocked", blocked, "one-address", PREFLIGHT_FAILED, "blocked", "web firewall", 1},
	{"reset after", reset_after, "one-address", PREFLIGHT_FAILED, "reset by peer", "limits", 1},
	{"one in thirty", one_in_thirty, "one-address", PREFLIGHT_WARNING, "29 of 30", "limits", 0},
};

static void each_fault_is_named_with_its_verdict_and_fix(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *r = &rows[i];
		struct fixture *x = make();
		const struct preflight_finding *f;

		x->plan.rate = 100;
		r->fault(&x->s);
		judge(x);
		f = found(x, r->check);
		if (!f || f->verdict != r->verdict || !strstr(f->evidence, r->evidence) ||
		    !strstr(f->fix, r->fix) || preflight_exit(&x->report) != r->code)
			fail_msg("%s: %s: %s -> %s, exit %d", r->name,
				 f ? preflight_verdicts[f->verdict] : "nothing",
				 f ? f->evidence : "", f ? f->fix : "", preflight_exit(&x->report));
		free(x);
	}
}

/* ---- beside the old service ---- */

static void what_the_old_service_does_too_is_no_fault(void **state)
{
	struct fixture *x = make();

	(void)state;
	closes_idle(&x->s);
	closes_idle(&x->old);
	no_alpn(&x->s);
	no_alpn(&x->old);
	only_13(&x->s);
	only_13(&x->old);
	answers_404(&x->s);
	answers_404(&x->old);
	fewer_names(&x->s);
	fewer_names(&x->old);
	judge(x);
	assert_int_equal(x->report.of[PREFLIGHT_OK], x->report.n);
	untrusted(&x->s);
	untrusted(&x->old);
	judge(x);
	assert_int_equal(found(x, "tls-chain")->verdict, PREFLIGHT_WARNING);
	strcpy(x->s.tls.issuer, "/CN=another");
	judge(x);
	assert_int_equal(found(x, "tls-chain")->verdict, PREFLIGHT_FAILED);
	free(x);
}

static void an_expected_status_is_good_whatever_the_old_service_answers(void **state)
{
	struct fixture *x = make();

	(void)state;
	x->s.url[0].expect[0] = 204;
	x->s.url[0].n_expect = 1;
	judge(x);
	assert_int_equal(found(x, "url")->verdict, PREFLIGHT_FAILED);
	x->s.answer[0].status = 204;
	judge(x);
	assert_int_equal(found(x, "url")->verdict, PREFLIGHT_OK);
	free(x);
}

static void without_the_old_service_the_backend_is_judged_alone(void **state)
{
	struct fixture *x = make();

	(void)state;
	dead(&x->old);
	fewer_names(&x->s);
	no_alpn(&x->s);
	judge(x);
	assert_int_equal(preflight_exit(&x->report), 0);
	assert_null(found(x, "tls-alpn"));
	answers_404(&x->s);
	judge(x);
	assert_int_equal(found(x, "url")->verdict, PREFLIGHT_FAILED);
	memset(&x->report, 0, sizeof(x->report));
	preflight_judge_old(&x->old, &x->report);
	assert_int_equal(found(x, "reach")->verdict, PREFLIGHT_WARNING);
	free(x);
}

static void a_service_without_tls_is_not_told_that_it_lacks_it(void **state)
{
	struct fixture *x = make();

	(void)state;
	x->s.n_urls = x->old.n_urls = 0;
	no_tls(&x->s);
	no_tls(&x->old);
	judge(x);
	assert_null(found(x, "tls"));
	free(x);
}

static void names_are_covered_by_themselves_and_by_wildcards_of_one_label(void **state)
{
	static const struct {
		const char *name;
		bool covered;
	} names[] = {
		{"api.test", true},	 {"API.test", true},	  {"a.api.test", true},
		{"*.api.test", true},	 {"a.b.api.test", false}, {".api.test", false},
		{"xapi.test", false},	 {"test", false},	  {"*.test", false},
		{"*.a.api.test", false},
	};
	struct talk_tls t = {0};

	(void)state;
	certificate(&t);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (preflight_covers(&t, names[i].name) != names[i].covered)
			fail_msg("%s", names[i].name);
}

static void a_full_report_counts_what_it_leaves_out(void **state)
{
	struct fixture *x = make();

	(void)state;
	dead(&x->s);
	x->s.n_from = PREFLIGHT_SOURCES;
	for (unsigned int i = 0; i < PREFLIGHT_SOURCES; i++)
		x->s.from[i].err = -ETIMEDOUT;
	for (unsigned int i = 0; i < 20; i++)
		preflight_judge(&x->s, &x->old, &x->plan, NOW, &x->report);
	assert_int_equal(x->report.n, PREFLIGHT_FINDINGS);
	assert_int_equal(x->report.left_out, 20 * PREFLIGHT_SOURCES - PREFLIGHT_FINDINGS);
	assert_int_equal(x->report.of[PREFLIGHT_FAILED], 20 * PREFLIGHT_SOURCES);
	free(x);
}

static void the_budget_grows_with_what_is_asked(void **state)
{
	struct fixture *x = make();
	struct preflight_budget a, b;

	(void)state;
	a = preflight_bound(&x->s, &x->plan);
	x->plan.rate = 500;
	x->plan.idle_ns = 120 * S;
	b = preflight_bound(&x->s, &x->plan);
	assert_true(b.connections == a.connections + 500);
	assert_true(b.ns >= a.ns + 60 * S);
	assert_true(b.bytes > a.bytes);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_backend_is_good),
		cmocka_unit_test(each_fault_is_named_with_its_verdict_and_fix),
		cmocka_unit_test(what_the_old_service_does_too_is_no_fault),
		cmocka_unit_test(an_expected_status_is_good_whatever_the_old_service_answers),
		cmocka_unit_test(without_the_old_service_the_backend_is_judged_alone),
		cmocka_unit_test(a_service_without_tls_is_not_told_that_it_lacks_it),
		cmocka_unit_test(names_are_covered_by_themselves_and_by_wildcards_of_one_label),
		cmocka_unit_test(a_full_report_counts_what_it_leaves_out),
		cmocka_unit_test(the_budget_grows_with_what_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
