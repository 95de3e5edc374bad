/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_check.c - `dns check`: for cron and monitoring, and `dns check --retire`
 *
 * One sweep of every source, one line for Nagios, and a line for each source; what was seen is kept
 * for the next run, which is how a prediction outlives the process.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/store.h"
#include "dns/survey.h"
#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/cmd/dns.h"
#include "userspace/cmd/dns_report.h"
#include "userspace/cmd/dns_retire.h"
#include "userspace/cmd/dns_verbs.h"

#define UNKNOWN	    3
#define MAX_SAMPLES 10000
#define TRIES	    2	 /* monitoring waits for ten seconds, not more */
#define KEEP_S	    3600 /* of arrivals, when nobody asks for more */

struct check {
	const struct options *o;
	struct dns_command d;
	struct dns_survey_settings set;
	struct dns_retire_rules rules;
	bool expect_new, retire;
	const char *textfile;
	struct loop *loop;
	struct dns_survey *s;
	struct dns_store *store;
};

int dns_take_samples(const char *value, unsigned int *ret)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || !n || n > MAX_SAMPLES) {
		usage_error("--samples=%s: must be 1..%d", value, MAX_SAMPLES);
		return -EINVAL;
	}
	*ret = (unsigned int)n;
	return 0;
}

int dns_take_expect(const char *value, bool *ret_new)
{
	if (strcmp(value, "old") != 0 && strcmp(value, "new") != 0) {
		usage_error("'%s': it is either old or new", value);
		return -EINVAL;
	}
	*ret_new = !strcmp(value, "new");
	return 0;
}

int dns_take_subnet(const char *value, uint8_t *ret_family, uint8_t *ret_bits, uint32_t ret[4])
{
	unsigned int bits;

	if (ip_parse_cidr(value, ret, &bits)) {
		usage_error("--subnet=%s: must be a network, as 198.51.100.0/24", value);
		return -EINVAL;
	}
	*ret_family = ip_family(ret);
	*ret_bits = (uint8_t)(*ret_family == 4 ? bits - 96 : bits);
	return 0;
}

/* ---- the look ---- */

static int prepare(struct check *k, char why[256])
{
	bool damaged = false;
	int err = loop_make(&k->loop);

	k->set.conf = &k->d.config->dns;
	k->set.wanted = &k->d.wanted;
	k->set.name = k->d.name;
	k->set.tries = TRIES;
	k->set.back = !k->expect_new;
	if (!err)
		err = dns_survey_make(k->loop, &k->set, &k->s);
	if (!err)
		err = dns_store_open(k->d.dir, k->d.name, &k->d.wanted, &k->store, &damaged);
	if (err) {
		snprintf(why, 256, "%s", strerror(-err));
		return err;
	}
	if (damaged)
		say("%s/seen.json cannot be read: it is begun anew", k->d.dir);
	err = dns_survey_discover(k->s, false, why);
	if (err == -ENOENT) {
		say("%s; dns.authorities can name them", why);
		err = 0; /* the resolvers can be asked all the same */
	}
	dns_store_give(k->store, k->s);
	return err;
}

static void keep(const struct check *k)
{
	int err = dns_store_take(k->store, k->s);

	if (!err)
		err = dns_store_save(k->store, k->d.dir);
	if (err)
		say("%s/seen.json: %s: predictions begin anew with the next check", k->d.dir,
		    strerror(-err));
}

static void print(const struct check *k, const struct dns_report *r, const struct dns_retire *t)
{
	if (k->o->json) {
		struct dns_report shown = *r;
		json_t *j;

		if (t)
			shown.code = t->code; /* the document and the exit code say the same */
		j = dns_report_json(&shown);
		if (t)
			json_object_set_new(j, "retire", dns_retire_json(t));
		print_json(j);
		return;
	}
	if (t)
		dns_retire_line(r, t, stdout);
	else
		dns_report_line(r, stdout);
	if (t)
		dns_retire_text(t, stdout);
	dns_report_table(r, use_colour(k->o), stdout);
	dns_report_notes(r, stdout);
}

static int look(struct check *k)
{
	struct dns_retire t = {0};
	struct dns_judged j;
	struct dns_report r = {
		.d = &k->d, .s = k->s, .j = &j, .expect_new = k->expect_new, .now = loop_now()};
	int code;

	dns_survey_judge(k->s, r.now, &j);
	r.code = dns_survey_exit(k->s, &j, k->expect_new);
	if (!r.code && k->expect_new && dns_report_off_weight(&r))
		r.code = 1;
	code = r.code;
	if (k->retire) {
		dns_retire_judge(&r, k->store, &k->rules, &t);
		code = r.retire_code = t.code;
		r.retire = true;
	} else {
		dns_retire_note(&r, k->store, KEEP_S);
	}
	print(k, &r, k->retire ? &t : NULL);
	if (k->textfile) {
		int err = dns_report_textfile(&r, k->textfile);

		if (err)
			say("%s: %s", k->textfile, strerror(-err));
		if (err && !code)
			code = UNKNOWN;
	}
	dns_retire_free(&t);
	return code;
}

static int run(struct check *k)
{
	char why[256] = "";
	int code = UNKNOWN, err;

	if (dns_open(k->o, &k->d, UNKNOWN))
		return dns_report_unknown(k->o, NULL);
	err = prepare(k, why);
	if (!err) {
		err = dns_survey_sweep(k->s, DNS_SWEEP_ALL);
		if (err)
			snprintf(why, sizeof(why), "%s", strerror(-err));
	}
	if (err) {
		say("dns check: %s", why);
		code = dns_report_unknown(k->o, why);
	} else {
		code = look(k);
		keep(k);
	}
	dns_store_free(k->store);
	dns_survey_free(k->s);
	loop_free(k->loop);
	dns_close(&k->d);
	return code;
}

int dns_check(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {
		"--expect=", "--textfile=", "--samples=",      "--retire", "--subnet=",
		"--bound=",  "--ttls=",	    "--without-flows", NULL};
	struct check k = {.o = o, .expect_new = true, .rules = {.bound = -1}};
	const char *value;
	int at = 1, what;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		int err = what == -3 ? -EINVAL : 0;

		if (what == -1)
			err = usage_error("dns check takes no argument, not '%s'", value);
		if (what == 0)
			err = dns_take_expect(value, &k.expect_new);
		if (what == 1)
			k.textfile = value;
		if (what == 2)
			err = dns_take_samples(value, &k.set.samples);
		k.retire |= what == 3;
		if (what == 4)
			err = dns_take_subnet(value, &k.set.subnet_family, &k.set.subnet_bits,
					      k.set.subnet);
		if (what == 5 && (k.rules.bound = dns_retire_bound(value)) < 0)
			err = usage_error("--bound=%s: must be a rate, as 0.05 or 3/m", value);
		if (what == 6 && ((k.rules.ttls = (unsigned int)strtoul(value, NULL, 10)) < 1 ||
				  k.rules.ttls > 1000))
			err = usage_error("--ttls=%s: must be 1..1000", value);
		k.rules.without_flows |= what == 7;
		if (err)
			return dns_report_unknown(o, NULL);
	}
	if (k.retire && !k.expect_new) {
		usage_error("dns check: --retire is about the new value, not --expect old");
		return dns_report_unknown(o, NULL);
	}
	return run(&k);
}
