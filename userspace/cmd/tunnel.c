/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnel.c - `shiftctl tunnel …`: the table of its verbs, and what they share
 */
#include "userspace/cmd/tunnel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/loop.h"
#include "userspace/cmd/verbs.h"
#include "userspace/cmd/complain.h"
#include "userspace/plane/state.h"
#include "userspace/plane/ways.h"
#include "wg/burst.h"

static const struct verb verbs[] = {
	{"apply", tunnel_apply, "tunnel apply [--dry-run] [--wait 10s] [--adopt] [NAME...]",
	 "make the tunnels what the configuration says"},
	{"list", tunnel_list, "tunnel list", "what the kernel and charon have"},
	{"check", tunnel_check, "tunnel check [--fix] [--textfile PATH] [--count N] [NAME...]",
	 "for cron and monitoring: one line, exit 0 1 2 3"},
	{"failover", tunnel_failover,
	 "tunnel failover [NAME [--pin] [--even-if-down] | --unpin [NAME]]",
	 "the routes go through this one now"},
	{"restart", tunnel_restart, "tunnel restart NAME [--wait 10s]", "new sessions"},
	{"down", tunnel_down, "tunnel down [--dry-run] [NAME...]",
	 "take them away; nothing of ours is left"},
	{"keys", tunnel_keys, "tunnel keys NAME [--count N] [--lead 10m] [--spacing 24h]",
	 "new keys for a static IPsec tunnel"},
};

#define N_VERBS (sizeof(verbs) / sizeof(*verbs))

int cmd_tunnel(const struct options *o, int argc, char **argv)
{
	char list[256] = "";
	size_t used = 0;

	for (size_t i = 0; argc > 1 && i < N_VERBS; i++)
		if (!strcmp(verbs[i].name, argv[1]))
			return verbs[i].run(o, argc - 1, argv + 1);
	for (size_t i = 0; i < N_VERBS; i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
					 verbs[i].name);
	if (argc > 1)
		return usage_error("tunnel %s: there is no such command: there are %s", argv[1],
				   list);
	return usage_error("tunnel: which command? There are %s", list);
}

void tunnels_follow(void *arg)
{
	int n = ways_follow();

	(void)arg;
	if (n < 0)
		say("the data plane does not follow the routes: %s; shiftctl apply makes it",
		    strerror(-n));
	else if (n)
		fprintf(stderr, "the data plane follows: %d targets go another way\n", n);
}

int tunnels_load(const struct options *o, struct tunnels *t, int wrong)
{
	char state[160];
	int err;

	memset(t, 0, sizeof(*t));
	if (conf_load(o->config, &t->config, &t->errors)) {
		complain_of_file(&t->errors);
		tunnels_close(t);
		return wrong;
	}
	err = about_service(o, t->config->service);
	if (err) {
		tunnels_close(t);
		return wrong;
	}
	err = state_dir(state, sizeof(state));
	if (!err) {
		snprintf(t->dir, sizeof(t->dir), "%s/tunnels", state);
		err = watch_open(t->config, t->dir, &t->watch);
	}
	if (err) {
		say("tunnels: %s", strerror(-err));
		tunnels_close(t);
		return wrong == EXIT_USAGE ? EXIT_FAILED : wrong;
	}
	t->watch->patient = true;
	t->watch->moved = tunnels_follow;
	for (unsigned int i = 0; i < t->config->n_tunnels; i++)
		t->chosen[i] = true;
	return EXIT_OK;
}

int tunnels_open(const struct options *o, struct tunnels *t, int wrong)
{
	int code = tunnels_load(o, t, wrong);

	if (code || t->config->n_tunnels)
		return code;
	say("%s has no tunnels", o->config);
	tunnels_close(t);
	return wrong;
}

void tunnels_close(struct tunnels *t)
{
	want_hosts_free(&t->hosts);
	watch_close(t->watch);
	conf_errors_free(&t->errors);
	conf_free(t->config);
	memset(t, 0, sizeof(*t));
}

int tunnels_choose(struct tunnels *t, char *const *names, unsigned int n, int wrong)
{
	const struct config *c = t->config;
	char list[CONF_MAX_TUNNELS * (CONF_NAME + 2)] = "";
	size_t used = 0;

	if (n)
		memset(t->chosen, 0, sizeof(t->chosen));
	for (unsigned int k = 0; k < n; k++) {
		const struct conf_tunnel *found = conf_tunnel(c, names[k]);

		if (found) {
			t->chosen[found - c->tunnels] = true;
			continue;
		}
		for (unsigned int i = 0; i < c->n_tunnels; i++)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 i ? ", " : "", c->tunnels[i].name);
		say("there is no tunnel %s: there are %s", names[k], list);
		return wrong;
	}
	return EXIT_OK;
}

int tunnels_begin(struct tunnels *t)
{
	int err = watch_begin(t->watch, 5000);

	if (!err)
		return EXIT_OK;
	if (err == -EROFS || err == -ENOSPC || err == -EDQUOT || err == -EIO) {
		if (!t->stateless)
			say("%s: %s: what is known is not kept, and no other command kept out",
			    t->dir, strerror(-err));
		t->stateless = true;
		return EXIT_OK;
	}
	if (err == -EAGAIN)
		say("another command is changing the tunnels (%s/tunnels.lock)", t->dir);
	else
		say("%s: %s", t->dir, strerror(-err));
	return err == -EAGAIN ? EXIT_TIMEOUT : EXIT_FAILED;
}

int tunnels_end(struct tunnels *t, bool save)
{
	int err = watch_end(t->watch, save && !t->stateless);

	if (err)
		say("what was seen is not kept on disk: %s: %s", t->dir, strerror(-err));
	return save && t->stateless ? -EIO : err;
}
