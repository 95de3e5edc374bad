/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_overall.c - `weight N --overall`: the share of all clients, not of those that still come here
 *
 * While DNS moves, a part p of the clients goes to the new side by itself and is not seen here. For
 * N % of all to be there, this host shifts w = (N − p) / (1 − p) of what still comes. p is what
 * resolvers say at this moment (dns/survey.h). The change itself is the ordinary `weight w`, with
 * all of its rules, in this process's place. p goes on moving: the record of control says what was
 * asked for, and the leader's shiftd sets the share again as DNS moves (ctl/dns_keep.c).
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns/share.h"
#include "dns/survey.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/cmd/dns.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/control.h"

/* What the resolvers say of how many are on the new side. EXIT_OK, or the exit code after saying.
 */
static int look(struct dns_command *d, struct dns_judged *ret)
{
	const struct dns_survey_settings settings = {
		.conf = &d->config->dns, .wanted = &d->wanted, .name = d->name};
	struct dns_survey *s = NULL;
	struct loop *l;
	int err = loop_make(&l);

	if (err) {
		say("dns: %s", strerror(-err));
		return EXIT_FAILED;
	}
	err = dns_survey_make(l, &settings, &s);
	if (!err)
		err = dns_survey_sweep(s, DNS_SWEEP_RESOLVERS);
	if (!err)
		dns_survey_judge(s, loop_now(), ret);
	dns_survey_free(s);
	loop_free(l);
	if (err) {
		say("dns: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (isnan(ret->share_new)) {
		say("no resolver gave an address of dns.old or dns.new, so the share that DNS has moved is not "
		    "known, and nothing was changed; shiftctl dns check says what each answered");
		return EXIT_TIMEOUT;
	}
	return EXIT_OK;
}

/* The value among the arguments, or NULL: no argument, or more than one. */
static const char *value_of(int argc, char **argv)
{
	const char *found = NULL;

	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-') {
			i += takes_value(argv[i]);
			continue;
		}
		if (found)
			return NULL;
		found = argv[i];
	}
	return found;
}

/* shiftctl lies beside this binary, or in ../../sbin. Returns only when it cannot be had. */
static int become_weight(char **argv)
{
	static const char *const places[] = {"", "/../../sbin"};
	char self[PATH_MAX], path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *dir;

	if (n < 0) {
		say("cannot find my own place: /proc is not mounted");
		return EXIT_FAILED;
	}
	self[n] = '\0';
	dir = dirname(self);
	fflush(stderr);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s%s/shiftctl", dir, places[i]);
		execv(path, argv);
	}
	say("weight: shiftctl is not to be found from %s", dir);
	return EXIT_FAILED;
}

/* The same command line with the weight that it comes to, what is to be kept (NULL: nothing) and,
 * unless one was given, the reason. */
static int set_weight(const struct options *o, int argc, char **argv, const char *value, int weight,
		      const char *keep, const char *reason)
{
	char text[16], **args = calloc((size_t)argc + 16, sizeof(*args));
	bool given = false;
	int n = 0, code;

	if (!args)
		return EXIT_FAILED;
	args[n++] = (char *)"shiftctl";
	if (o->config_given) {
		args[n++] = (char *)"-c";
		args[n++] = (char *)o->config;
	}
	if (o->service) {
		args[n++] = (char *)"-s";
		args[n++] = (char *)o->service;
	}
	if (o->json)
		args[n++] = (char *)"--json";
	text_weight((uint32_t)weight, text);
	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--overall"))
			continue;
		given = given || !strncmp(argv[i], "--reason", 8);
		args[n++] = argv[i] == value ? text : argv[i];
	}
	if (keep) {
		args[n++] = (char *)"--keep-overall";
		args[n++] = (char *)keep;
	}
	if (!given) {
		args[n++] = (char *)"--reason";
		args[n++] = (char *)reason;
	}
	code = become_weight(args);
	free(args);
	return code;
}

/* Is the new side the one with the true data? Not known counts as no: weight itself says why. */
static bool committed(const char *service)
{
	struct shift_record r = {0};
	struct plane p;
	uint64_t head;
	int id = plane_find(&p) ? -1 : plane_service_by_name(&p, service);
	bool is = id >= 0 && !control_get(&p.control[id], &r, &head) &&
		  r.authority == SHIFT_AUTHORITY_NEW;

	plane_close(&p);
	return is;
}

int cmd_overall(const struct options *o, int argc, char **argv)
{
	const char *value = value_of(argc, argv);
	int target = value ? text_parse_weight(value) : -1, weight, code;
	struct dns_judged j;
	struct dns_command d;
	char reason[64], text[16];
	bool above, stale, leader;

	if (!value)
		return usage_error("weight --overall: which share? Such as weight 50 --overall");
	if (target < 0)
		return usage_error("weight %s: must be 0..100 with at most two decimals", value);
	code = dns_open(o, &d, EXIT_USAGE);
	if (code)
		return code;
	code = look(&d, &j);
	stale = committed(d.config->service);
	leader = d.config->leader;
	dns_close(&d);
	if (code)
		return code;
	weight = (int)lround(10000 * dns_share_weight(target / 10000.0, j.share_new, &above));
	text_weight((uint32_t)weight, text);
	fprintf(stderr, "DNS has moved %.1f%% (%.1f..%.1f with 95%%): weight %s for %s%% of all\n",
		100 * j.share_new, 100 * j.share_low, 100 * j.share_high, text, value);
	if (above)
		say("that is more than %s%%: no weight brings it down; shiftctl dns rollback moves the "
		    "records back",
		    value);
	if (above && stale) {
		say("refused: authority is new, and weight 0 would send all who still come here to stale "
		    "data; shiftctl weight 0 overrides this");
		return EXIT_REFUSED;
	}
	if (!leader)
		say("set once: only the shiftd of a host with role: leader keeps it while DNS moves");
	snprintf(reason, sizeof(reason), "%.8s%% overall, DNS has moved %.1f%%", value,
		 100 * j.share_new);
	return set_weight(o, argc, argv, value, weight, leader && target ? value : NULL, reason);
}
