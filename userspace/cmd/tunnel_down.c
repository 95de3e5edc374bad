/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnel_down.c - tunnels taken away, or begun anew
 */
#include <errno.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/base/loop.h"
#include "userspace/cmd/tunnel.h"
#include "wg/charon.h"
#include "wg/link.h"

#define SECOND 1000000000ull

struct talk {
	json_t *lines; /* NULL: to stdout */
	bool dry_run;
	bool any;
};

static void __attribute__((format(printf, 3, 4)))
tell(struct talk *talk, const char *tunnel, const char *format, ...)
{
	char text[300], line[400];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "%s: %s", tunnel, text);
	talk->any = true;
	if (talk->lines)
		json_array_append_new(talk->lines, json_string(line));
	else
		puts(line);
}

/* ---- down ---- */

static int end_ike(const struct conf_tunnel *t, struct talk *talk)
{
	struct charon *c = NULL;
	char why[200] = "";
	struct charon_sa sa[4];
	int err = charon_open(t->ike.vici, &c, why, sizeof(why)), n;

	if (err == -ENOENT || err == -ECONNREFUSED)
		return 0; /* no charon, no connection */
	n = err ? err : charon_list(c, t->name, sa, 4, why, sizeof(why));
	/* unloaded first, or its trap would start it again */
	if (n >= 0 && !talk->dry_run && t->ike.remote[0])
		charon_unload(c, t->name, why, sizeof(why));
	if (n > 0) {
		tell(talk, t->name, "IKE: end the connection to %s", sa[0].remote);
		if (!talk->dry_run)
			n = charon_terminate(c, t->name, 5 * SECOND, why, sizeof(why));
		if (n == -ENOENT)
			n = 0;
	}
	charon_close(c);
	if (n < 0)
		say("%s: %s", t->name, why[0] ? why : strerror(-n));
	return n < 0 ? n : 0;
}

static int end_tunnel(struct tunnels *t, unsigned int i, struct talk *talk)
{
	const struct conf_tunnel *conf = &t->config->tunnels[i];
	const struct watch_tunnel *w = &t->watch->tunnel[i];
	char why[200] = "";
	struct link l;
	int err = 0, failed;

	if (conf->ike.given)
		err = end_ike(conf, talk);
	if (conf->fixed.given && !talk->dry_run)
		err = fixed_down(w->if_id, why, sizeof(why));
	if (err > 0)
		tell(talk, conf->name, "%d SAs and policies removed", err);
	else if (err < 0 && why[0])
		say("%s: %s", conf->name, why);
	if (conf->table && !talk->dry_run)
		link_remove_rules(conf->table);
	if ((failed = link_read(w->interface, conf->table, &l))) {
		say("%s: the kernel does not tell %s: %s", conf->name, w->interface,
		    strerror(-failed));
		return failed;
	}
	if (l.kind == LINK_WIREGUARD || l.kind == LINK_XFRM) {
		tell(talk, conf->name, "remove interface %s", w->interface);
		if (!talk->dry_run && link_remove(w->interface)) {
			say("%s: %s cannot be removed", conf->name, w->interface);
			err = -EIO;
		}
	} else if (l.kind == LINK_OTHER) {
		say("%s: %s is no tunnel of ours (%s): it stays", conf->name, w->interface,
		    l.kind_name);
	}
	link_free(&l);
	return err < 0 ? err : 0;
}

/* Interfaces of tunnels that the configuration has no more. */
static int end_left(struct tunnels *t, struct talk *talk)
{
	const char *name;
	char why[200];
	struct link l;
	int err = 0, failed;
	unsigned int at = 0;

	for (unsigned int i = 0; i < t->config->n_tunnels; i++)
		if (!t->chosen[i])
			return 0;
	while ((name = watch_left(t->watch, &at))) {
		if (link_read(name, 0, &l))
			continue;
		if (l.kind == LINK_WIREGUARD || l.kind == LINK_XFRM) {
			tell(talk, "-", "remove interface %s, left from an earlier configuration",
			     name);
			failed = talk->dry_run ? 0 : link_remove(name);
			if (!failed && !talk->dry_run && l.kind == LINK_XFRM)
				failed = fixed_down(l.if_id, why, sizeof(why));
			if (failed)
				say("%s: %s", name, strerror(-failed));
			err = failed ? failed : err;
		}
		link_free(&l);
	}
	return err;
}

static void forget(struct tunnels *t)
{
	static const char *const files[] = {"tunnels.json", "tunnels.lock", "shiftd.lock"};
	char path[256];
	int daemon;

	for (unsigned int i = 0; i < t->config->n_tunnels; i++)
		if (!t->chosen[i])
			return;
	daemon = watch_daemon_lock(t->dir); /* so that none begins amid this */
	for (size_t i = 0; i < (daemon < 0 ? 1 : sizeof(files) / sizeof(*files)); i++) {
		snprintf(path, sizeof(path), "%s/%s", t->dir, files[i]);
		unlink(path);
	}
	if (daemon < 0)
		return;
	close(daemon);
	rmdir(t->dir); /* the ids of used keys stay */
}

static int end_all(struct tunnels *t, struct talk *talk)
{
	int code = tunnels_begin(t);

	if (code)
		return code;
	for (unsigned int i = 0; i < t->config->n_tunnels; i++)
		if (t->chosen[i] && end_tunnel(t, i, talk))
			code = EXIT_FAILED;
	if (end_left(t, talk))
		code = EXIT_FAILED;
	if (!talk->dry_run)
		tunnels_follow(NULL);
	if (!talk->dry_run && !code)
		forget(t);
	tunnels_end(t, false);
	return code;
}

int tunnel_down(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--dry-run", NULL};
	struct talk talk = {.lines = o->json ? json_array() : NULL};
	char said[1024];
	char *names[CONF_MAX_TUNNELS];
	unsigned int n = 0;
	struct tunnels t;
	const char *value;
	int at = 1, code, found;

	while ((found = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (found == -3)
			return EXIT_USAGE;
		if (found == 0)
			talk.dry_run = true;
		else if (n < CONF_MAX_TUNNELS)
			names[n++] = (char *)value;
	}
	code = tunnels_open(o, &t, EXIT_USAGE);
	if (code)
		return code;
	code = tunnels_choose(&t, names, n, EXIT_USAGE);
	if (!code)
		code = end_all(&t, &talk);
	tunnels_close(&t);
	if (talk.lines)
		print_json(json_pack("{s:i, s:b, s:o, s:s?, s:i}", "schema", 1, "dry_run",
				     talk.dry_run, "steps", talk.lines, "error",
				     code ? json_said(said, sizeof(said)) : NULL, "code", code));
	else if (!talk.any && !code)
		printf("nothing to do: there are no tunnels of ours\n");
	return code;
}

/* ---- restart ---- */

/* Another member carries the routes meanwhile, if one can. */
static void step_aside(struct tunnels *t, unsigned int i, struct talk *talk)
{
	struct watch_group *g = watch_group_of(t->watch, i);
	unsigned int at = (unsigned int)(g - t->watch->group);
	char why[200];

	if (g->group.n < 2 || (int)g->failover.active != group_place(&g->group, i))
		return;
	for (unsigned int k = 0; k < g->group.n; k++) {
		if (g->group.member[k] == i ||
		    t->watch->tunnel[g->group.member[k]].health.state != HEALTH_UP)
			continue;
		failover_go(&g->failover, k, loop_now());
		if (watch_step(t->watch, at, loop_now(), why, sizeof(why)) < 0)
			say("%s: the routes stay here: %s", t->config->tunnels[i].name, why);
		else
			tell(talk, t->config->tunnels[i].name, "its routes go through %s meanwhile",
			     g->rules.name[k]);
		return;
	}
}

static int restart(struct tunnels *t, unsigned int i, const struct apply_wish *wish,
		   struct talk *talk)
{
	const struct conf_tunnel *conf = &t->config->tunnels[i];
	const struct watch_tunnel *w = &t->watch->tunnel[i];
	struct charon *c = NULL;
	char why[200] = "";
	bool any = false;
	int code;

	tunnels_look(t);
	code = tunnels_can_apply(t); /* before it is taken away */
	if (code) {
		tunnels_end(t, false);
		return code;
	}
	if (!w->look.exists) {
		say("%s: there is no %s yet: it is made", conf->name, w->interface);
	} else {
		step_aside(t, i, talk);
		if (!conf->fixed.given)
			tell(talk, conf->name, "new sessions");
		else
			say("%s: keys of a file make no sessions: what is missing is put back",
			    conf->name);
	}
	if (conf->ike.given && !charon_open(conf->ike.vici, &c, why, sizeof(why)))
		charon_terminate(c, conf->name, 5 * SECOND, why, sizeof(why));
	charon_close(c);
	return tunnels_apply(t, wish, talk->lines, &any);
}

int tunnel_restart(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--wait=", NULL};
	/* A WireGuard device that is removed forgets its sessions. */
	struct apply_wish wish = {.anew = true, .wait_ns = 10 * SECOND};
	struct talk talk = {.lines = o->json ? json_array() : NULL};
	char said[1024];
	char *name = NULL;
	struct tunnels t;
	const char *value;
	int at = 1, code = EXIT_OK, found;

	while ((found = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (found == -3)
			return EXIT_USAGE;
		if (found == 0)
			code = tunnels_wait_option(value, &wish.wait_ns);
		else if (name)
			return usage_error("tunnel restart: one tunnel at a time");
		else
			name = (char *)value;
		if (code)
			return code;
	}
	if (!name)
		return usage_error("tunnel restart: which tunnel?");
	code = tunnels_open(o, &t, EXIT_USAGE);
	if (code)
		return code;
	code = tunnels_choose(&t, &name, 1, EXIT_USAGE);
	if (!code)
		tunnels_probe(&t, 0);
	if (!code)
		code = tunnels_resolve(&t);
	if (!code)
		code = tunnels_begin(&t);
	if (!code) {
		code = restart(&t, (unsigned int)(conf_tunnel(t.config, name) - t.config->tunnels),
			       &wish, &talk);
	}
	tunnels_close(&t);
	if (talk.lines)
		print_json(json_pack("{s:i, s:o, s:s?, s:i}", "schema", 1, "steps", talk.lines,
				     "error", code ? json_said(said, sizeof(said)) : NULL, "code",
				     code));
	return code;
}
