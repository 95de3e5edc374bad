/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_preflight.c - `dns preflight`: all that a change of records needs, each with its evidence and
 * its fix
 *
 * Nothing is changed but DIR/preflight.json, where it is kept which TTL was seen when. Resolvers
 * are never asked for the record itself: that would load the old answer into their caches.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "dns/preflight.h"
#include "dns/snapshot.h"
#include "dns/store.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/cmd/dns.h"
#include "userspace/cmd/dns_order.h"
#include "userspace/cmd/dns_verbs.h"
#include "userspace/plane/control.h"

#define S	UINT64_C(1000000000)
#define LASTING (12 * 3600) /* s that signatures must last */
#define TRIES	2

struct preflight {
	const struct options *o;
	struct dns_command d;
	uint32_t before;    /* s: the TTL that was there before; 0: not said */
	uint64_t lasting_s; /* of signatures */
	bool no_way_back;
	struct loop *loop;
	struct dns_survey_settings set;
	struct dns_survey *s;
	struct dns_store *store;
	struct dns_look *look;
	struct dns_ttl_history history;
	struct dns_gates gates;
};

static int usage(void)
{
	printf("usage: shiftctl dns preflight [--before DURATION] [--signatures DURATION] "
	       "[--no-way-back]\n\n"
	       "What a cutover of the records needs, each with its evidence and its fix. Nothing is "
	       "changed.\n"
	       "  --before 1h       the TTL that the record had before it was lowered, where no "
	       "earlier run saw it\n"
	       "  --signatures 12h  DNSSEC signatures must be good for so long (12h)\n"
	       "  --no-way-back     the cutover will be given this flag: no warning of it\n\n"
	       "Exit codes: 0 all is well, perhaps with warnings; 1 a gate failed; 5 none failed, but "
	       "one is not known;\n2 usage or configuration.\n");
	return EXIT_OK;
}

/* ---- gates that need more than answers ---- */

static const char *provider_fix(enum dns_changed got)
{
	if (got == DNS_DENIED)
		return "give dns.provider a key that may change this zone";
	if (got == DNS_REJECTED)
		return "dns.name must be a name in dns.provider's zone that has addresses of its own";
	return "open the way to the provider, and run it again";
}

static void gate_provider_type(struct preflight *p, struct dns_provider *provider, uint16_t type,
			       unsigned int *there)
{
	const struct dns_provider_class *class = dns_provider_of(provider);
	struct dns_rrset *set = calloc(3, sizeof(*set));
	struct dns_rrset *is = &set[0], *old = &set[1], *fresh = &set[2];
	char why[DNS_WHY] = "", text[256], word[16];
	enum dns_changed got;

	if (!set) {
		dns_gate(&p->gates, "provider", DNS_GATE_UNKNOWN, "%s", strerror(ENOMEM));
		return;
	}
	dns_type_text(type, word);
	got = dns_provider_read(provider, type, is, why);
	if (got != DNS_CHANGED) {
		bool denied = got == DNS_DENIED || got == DNS_REJECTED;

		dns_gate(&p->gates, "provider", denied ? DNS_GATE_FAILED : DNS_GATE_UNKNOWN,
			 "%s, %s: %s: %.300s", class->title, word, dns_changes[got], why);
		dns_gate_fix(&p->gates, "%s", provider_fix(got));
		free(set);
		return;
	}
	dns_change_wanted(&p->d.config->dns, p->d.name, type, old, fresh);
	dns_rrset_text(is, text, sizeof(text));
	switch (dns_plan_flip(is, old, fresh)) {
	case DNS_TODO_OTHER:
		dns_gate(&p->gates, "provider", DNS_GATE_FAILED,
			 "%s has for %s: %s, which is not dns.old", class->title, word, text);
		dns_gate_fix(&p->gates,
			     "put into dns.old what is there, or find out who changed it: "
			     "a cutover refuses to touch it");
		break;
	case DNS_TODO_THERE:
		dns_gate(&p->gates, "provider", DNS_GATE_WARNING,
			 "%s has dns.new for %s already: %s", class->title, word, text);
		dns_gate_fix(&p->gates, "nothing is left to cut over: shiftctl dns check");
		break;
	default:
		++*there;
	}
	free(set);
}

/* A weight that the provider cannot answer by is refused by the cutover. */
static bool weights_fit(struct preflight *p, const struct dns_provider_class *class)
{
	const struct conf_dns *dns = &p->d.config->dns;
	bool weighted = false;

	for (unsigned int i = 0; i < dns->n_fresh; i++)
		weighted |= dns->fresh[i].weighted;
	if (!weighted || class->weights)
		return true;
	dns_gate(&p->gates, "provider", DNS_GATE_FAILED,
		 "dns.new has weights, and %s does not answer by weight", class->title);
	dns_gate_fix(&p->gates,
		     "take the weights out of dns.new, or dns cutover --without-weights");
	return false;
}

/* What the cutover asks of this host and of who else is at work. */
static void gate_role(struct preflight *p)
{
	if (p->d.config->leader) {
		dns_gate(&p->gates, "role", DNS_GATE_OK, "this host has role: leader");
		return;
	}
	dns_gate(&p->gates, "role", DNS_GATE_FAILED,
		 "this host does not have role: leader, and only that one changes DNS");
	dns_gate_fix(&p->gates, "run the cutover on the leader, or give this host role: leader");
}

static void gate_provider(struct preflight *p)
{
	const struct conf_dns *dns = &p->d.config->dns;
	struct dns_provider *provider = NULL;
	char why[DNS_WHY] = "";
	unsigned int there = 0, before = p->gates.n;
	int err;

	if (dns->provider.kind == CONF_NO_PROVIDER) {
		dns_gate(&p->gates, "provider", DNS_GATE_FAILED,
			 "the configuration has no dns.provider");
		dns_gate_fix(&p->gates, "say in dns.provider where the records are changed");
		return;
	}
	err = dns_provider_open(p->d.config, &provider, why);
	if (err) {
		dns_gate(&p->gates, "provider", DNS_GATE_FAILED, "%.350s",
			 why[0] ? why : strerror(-err));
		dns_gate_fix(&p->gates, "mend dns.provider and its credentials");
		return;
	}
	if (!weights_fit(p, dns_provider_of(provider))) {
		dns_provider_close(provider);
		return;
	}
	if (p->d.wanted.ask_a)
		gate_provider_type(p, provider, DNS_A, &there);
	if (p->d.wanted.ask_aaaa)
		gate_provider_type(p, provider, DNS_AAAA, &there);
	if (p->gates.n == before)
		dns_gate(&p->gates, "provider", DNS_GATE_OK,
			 "%s takes the credentials and has dns.old%s",
			 dns_provider_of(provider)->title,
			 dns_provider_of(provider)->atomic
				 ? ""
				 : "; it cannot compare and change in one step: let nobody else "
				   "change it meanwhile");
	dns_provider_close(provider);
}

/* The folder was written to a moment ago: `saved` is how that ended. */
static void gate_snapshot(struct preflight *p, int saved)
{
	struct dns_snapshot *snap = calloc(1, sizeof(*snap));
	int err = snap ? dns_snapshot_load(p->d.dir, p->d.name, snap) : -ENOMEM;
	bool open = false;
	char at[32];

	for (unsigned int t = 0; !err && t < 2; t++)
		open |= snap->type[t].step == DNS_STEP_BEGUN ||
			snap->type[t].step == DNS_STEP_UNCERTAIN;
	if (saved) {
		dns_gate(&p->gates, "snapshot", DNS_GATE_FAILED, "%s cannot be written: %s",
			 p->d.dir, strerror(-saved));
		dns_gate_fix(&p->gates,
			     "make room there, or name another folder with SHIFT_STATE: the "
			     "way back is kept in it");
	} else if (err == -EBADMSG) {
		dns_gate(&p->gates, "snapshot", DNS_GATE_FAILED,
			 "the snapshot of an earlier change in %s is damaged", p->d.dir);
		dns_gate_fix(&p->gates, "see what the provider has, then move the file away");
	} else if (open) {
		dns_gate(&p->gates, "snapshot", DNS_GATE_FAILED,
			 "%s by %s at %s was cut off: part of it may have been done", snap->verb,
			 snap->who, text_time(snap->began * S, at));
		dns_gate_fix(&p->gates,
			     "end it first: shiftctl dns cutover, or shiftctl dns rollback");
	} else {
		dns_gate(&p->gates, "snapshot", DNS_GATE_OK, "%s can be written", p->d.dir);
	}
	free(snap);
}

static void gate_way_back(struct preflight *p)
{
	unsigned int ttl = p->d.wanted.ttl;

	if (p->no_way_back) {
		dns_gate(
			&p->gates, "return-path", DNS_GATE_OK,
			"none, as accepted: who has the new answer keeps it for %u s after a rollback",
			ttl);
		return;
	}
	dns_gate(
		&p->gates, "return-path", DNS_GATE_WARNING,
		"none is proved: who has the new answer cannot be called back by DNS for %u s and the "
		"provider's delay",
		ttl);
	dns_gate_fix(&p->gates, "dns cutover --no-way-back accepts that");
}

/* The order is: ramp to 100 in the data plane, commit, soak, and only then DNS. */
static void gate_ramp(struct preflight *p)
{
	const char *service = p->d.config->service;
	struct shift_record r = {0};
	uint64_t head;
	struct plane plane;
	int err = plane_find(&plane), id = -1;
	uint32_t now_weight;
	char weight[16];

	if (!err)
		id = plane_service_by_name(&plane, service);
	if (!err)
		err = id < 0 ? id : control_get(&plane.control[id], &r, &head);
	if (!err && !plane.attachments)
		err = -ENOTCONN;
	plane_close(&plane);
	if (err) {
		dns_gate(&p->gates, "ramp", DNS_GATE_WARNING, "%s is not attached on this host%s",
			 service, err == -EPERM ? ", as far as this user can see" : "");
		dns_gate_fix(&p->gates,
			     "ramp to 100 %% and commit before DNS is changed: shiftctl apply, "
			     "weight, commit");
		return;
	}
	now_weight = shift_record_weight(&r, control_boot_ns());
	text_weight(now_weight, weight);
	if (r.latched || now_weight != 10000 || r.authority != SHIFT_AUTHORITY_NEW ||
	    r.confirm_deadline) {
		dns_gate(&p->gates, "ramp", DNS_GATE_WARNING, "%s is at %s %%, authority %s%s%s",
			 service, weight, authority_name(r.authority),
			 r.latched ? ", rolled back" : "",
			 r.confirm_deadline ? ", to be confirmed" : "");
		dns_gate_fix(&p->gates,
			     "DNS comes last: shiftctl weight 100, a soak, shiftctl commit");
		return;
	}
	dns_gate(&p->gates, "ramp", DNS_GATE_OK, "%s is at 100 %%, authority new", service);
}

/* The rules that a ramp has for the records. */
static void gate_order(struct preflight *p)
{
	const char *service = p->d.config->service;
	struct dns_order o;
	char a[32], at[32];

	dns_order_look(p->d.config, &o);
	if (!o.ruled)
		return;
	if (o.soaked && o.committed) {
		dns_gate(&p->gates, "dns-after", DNS_GATE_OK, "%s is at 100 %% since %s, %s wanted",
			 service, text_time(o.since, at), text_duration(o.after, a));
		return;
	}
	dns_gate(&p->gates, "dns-after",
		 o.missing || (o.full && !o.since) ? DNS_GATE_UNKNOWN : DNS_GATE_FAILED, "%s",
		 o.why);
	if (o.soaked)
		dns_gate_fix(&p->gates, "shiftctl commit, or dns cutover --before-commit");
	else
		dns_gate_fix(&p->gates, "wait (ramp.dns_after is %s), or dns cutover --early",
			     text_duration(o.after, a));
}

static void gate_clock(struct preflight *p)
{
	struct timex t = {.modes = 0};
	int state = adjtimex(&t);

	if (state < 0)
		dns_gate(&p->gates, "clock", DNS_GATE_UNKNOWN, "the kernel does not say: %s",
			 strerror(errno));
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC))
		dns_gate(
			&p->gates, "clock", DNS_GATE_WARNING,
			"nobody keeps this host's clock right: TSIG keys are refused when it is off by "
			"300 s, cloud APIs the same");
	else
		dns_gate(&p->gates, "clock", DNS_GATE_OK, "synchronised, to within %.1f s",
			 (double)t.maxerror / 1e6);
	if (p->gates.gate[p->gates.n - 1].verdict)
		dns_gate_fix(&p->gates, "start chrony or systemd-timesyncd");
}

/* ---- the look ---- */

static int ask(struct preflight *p, char why[256])
{
	struct dns_judged judged;
	bool damaged;
	int err = loop_make(&p->loop);

	p->set = (struct dns_survey_settings){.conf = &p->d.config->dns,
					      .wanted = &p->d.wanted,
					      .name = p->d.name,
					      .tries = TRIES};
	if (!err)
		err = dns_survey_make(p->loop, &p->set, &p->s);
	if (!err)
		err = dns_store_open(p->d.dir, p->d.name, &p->d.wanted, &p->store, &damaged);
	if (err)
		return err;
	err = dns_survey_discover(p->s, true, why);
	if (err && err != -ENOENT)
		return err;
	if (err == -ENOENT && p->s->n_notes < DNS_MAX_NOTES)
		snprintf(p->s->note[p->s->n_notes++], sizeof(p->s->note[0]), "%s", why);
	dns_store_give(p->store, p->s);
	err = dns_survey_sweep(p->s, DNS_SWEEP_AUTHORITIES);
	if (err)
		return err;
	dns_survey_judge(p->s, loop_now(), &judged);
	return dns_look(p->loop, &p->set, p->s, &p->look);
}

static void judge(struct preflight *p)
{
	struct dns_verified *v = calloc(2 * DNS_LOOKED, sizeof(*v));
	uint64_t now_s = (uint64_t)time(NULL);
	int loaded = dns_ttl_load(p->d.dir, p->d.name, &p->history), saved;

	if (loaded)
		say("%s/preflight.json: %s: it is begun anew", p->d.dir, strerror(-loaded));
	dns_ttl_look(&p->history, p->s, loop_now(), now_s);
	saved = dns_ttl_save(p->d.dir, p->d.name, &p->history);

	dns_gate_authorities(&p->gates, p->s);
	dns_gate_serials(&p->gates, p->s);
	dns_gate_delegation(&p->gates, p->s);
	dns_gate_alias(&p->gates, p->look, p->d.name);
	dns_gate_ttl(&p->gates, &p->history, p->d.wanted.ttl, p->before, now_s);
	dns_gate_negative(&p->gates, p->look, &p->d.wanted);
	if (v)
		dns_gate_dnssec(&p->gates, p->look, v, dns_verify_all(p->look, p->d.name, now_s, v),
				now_s, p->lasting_s);
	dns_gate_resolvers(&p->gates, p->look);
	gate_role(p);
	gate_provider(p);
	gate_snapshot(p, saved);
	gate_way_back(p);
	gate_ramp(p);
	gate_order(p);
	gate_clock(p);
	free(v);
}

/* ---- shown ---- */

static void print_text(const struct preflight *p, bool colour)
{
	static const char *const colours[] = {"32", "33", "31", "35"};
	unsigned int of[4] = {0};

	for (unsigned int i = 0; i < p->gates.n; i++) {
		const struct dns_gate *g = &p->gates.gate[i];

		of[g->verdict]++;
		if (colour)
			printf("\033[%sm%-7s\033[0m %-12s %s\n", colours[g->verdict],
			       dns_gate_verdicts[g->verdict], g->name, g->evidence);
		else
			printf("%-7s %-12s %s\n", dns_gate_verdicts[g->verdict], g->name,
			       g->evidence);
		if (g->fix[0])
			printf("%20s fix: %s\n", "", g->fix);
	}
	printf("%s: %u ok, %u warning%s, %u failed, %u unknown\n", p->d.name, of[0], of[1],
	       of[1] == 1 ? "" : "s", of[2], of[3]);
}

static void print(const struct preflight *p, int code)
{
	json_t *j, *gates;

	if (!p->o->json) {
		print_text(p, use_colour(p->o));
		return;
	}
	gates = json_array();
	for (unsigned int i = 0; i < p->gates.n; i++) {
		const struct dns_gate *g = &p->gates.gate[i];

		json_array_append_new(gates,
				      json_pack("{s:s, s:s, s:s, s:s?}", "name", g->name, "verdict",
						dns_gate_verdicts[g->verdict], "evidence",
						g->evidence, "fix", g->fix[0] ? g->fix : NULL));
	}
	j = json_pack("{s:i, s:s%, s:b, s:o}", "schema", 1, "name", p->d.name,
		      dns_name_shown(&p->d), "ok", code == EXIT_OK, "gates", gates);
	print_json(j);
}

static int run(struct preflight *p)
{
	char why[256] = "";
	int code = dns_open(p->o, &p->d, EXIT_USAGE), err;

	if (code)
		return code;
	err = ask(p, why);
	if (err) {
		say("dns preflight: %s", why[0] ? why : strerror(-err));
		code = EXIT_FAILED;
	} else {
		judge(p);
		code = dns_gates_exit(&p->gates);
		print(p, code);
	}
	dns_look_free(p->look);
	dns_store_free(p->store);
	dns_survey_free(p->s);
	loop_free(p->loop);
	dns_close(&p->d);
	return code;
}

int dns_preflight(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--before=", "--signatures=", "--no-way-back", NULL};
	struct preflight *p = calloc(1, sizeof(*p));
	const char *value;
	uint64_t ns;
	int at = 1, what, code = EXIT_OK;

	if (!p)
		return EXIT_FAILED;
	p->o = o;
	p->lasting_s = LASTING;
	while (!code && (what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1 && !strcmp(value, "help")) {
			free(p);
			return usage();
		}
		if (what == -1)
			code = usage_error("dns preflight takes no argument, not '%s'", value);
		if (what == -3)
			code = EXIT_USAGE;
		if ((what == 0 || what == 1) && text_parse_duration(value, &ns))
			code = usage_error("%s: '%s' is no duration like 90s or 12h", argv[at - 1],
					   value);
		else if (what == 0)
			p->before = (uint32_t)(ns / S > DNS_TTL_MAX ? DNS_TTL_MAX : ns / S);
		else if (what == 1)
			p->lasting_s = ns / S;
		p->no_way_back |= what == 2;
	}
	if (!code)
		code = run(p);
	free(p);
	return code;
}
