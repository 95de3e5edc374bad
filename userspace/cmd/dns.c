/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns.c - `shiftctl dns …`: the table of its verbs, and what they share
 */
#include "userspace/cmd/dns.h"

#include <stdio.h>
#include <string.h>

#include "userspace/cmd/complain.h"
#include "userspace/cmd/dns_verbs.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/state.h"

static const struct verb verbs[] = {
	{"check", dns_check,
	 "dns check [--expect old|new] [--samples N] [--subnet CIDR] [--textfile PATH] [--retire ...]",
	 "who has the new records, for cron; whether the old address may go"},
	{"watch", dns_watch,
	 "dns watch [--until old|new] [--timeout D] [--interval D] [--control N] [--samples N] ...",
	 "a change spreading, live, with the predicted end and its score"},
	{"preflight", dns_preflight,
	 "dns preflight [--before 1h] [--signatures 12h] [--no-way-back]",
	 "what a cutover of the records needs, each with its evidence and its fix"},
	{"cutover", dns_cutover, NULL, NULL},
	{"rollback", dns_rollback, NULL, NULL},
	{NULL, NULL, NULL, NULL},
};

int cmd_dns(const struct options *o, int argc, char **argv)
{
	char list[256] = "";
	size_t used = 0;

	for (const struct verb *v = verbs; argc > 1 && v->name; v++)
		if (!strcmp(v->name, argv[1]))
			return v->run(o, argc - 1, argv + 1);
	for (const struct verb *v = verbs; v->name; v++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
					 v == verbs ? "" : ", ", v->name);
	if (argc > 1)
		return usage_error("dns %s: there is no such command: there are %s", argv[1], list);
	return usage_error("dns: which command? There are %s", list);
}

int dns_open(const struct options *o, struct dns_command *ret, int wrong)
{
	char state[160];
	int err;

	memset(ret, 0, sizeof(*ret));
	if (conf_load(o->config, &ret->config, &ret->errors)) {
		complain_of_file(&ret->errors);
		dns_close(ret);
		return wrong;
	}
	if (about_service(o, ret->config->service)) {
		dns_close(ret);
		return wrong;
	}
	if (!ret->config->dns.given) {
		say("%s has no dns section", o->config);
		dns_close(ret);
		return wrong;
	}
	err = dns_name(ret->config->dns.name, ret->name);
	if (!err)
		err = state_dir(state, sizeof(state));
	if (err) {
		say("dns: %s", strerror(-err));
		dns_close(ret);
		return wrong == EXIT_USAGE ? EXIT_FAILED : wrong;
	}
	snprintf(ret->dir, sizeof(ret->dir), "%s/dns", state);
	dns_wanted_of(&ret->config->dns, &ret->wanted);
	return EXIT_OK;
}

size_t dns_name_shown(const struct dns_command *d)
{
	size_t n = strlen(d->name);

	return n > 1 && d->name[n - 1] == '.' ? n - 1 : n;
}

void dns_close(struct dns_command *d)
{
	conf_errors_free(&d->errors);
	conf_free(d->config);
	memset(d, 0, sizeof(*d));
}
