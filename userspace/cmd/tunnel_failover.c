/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnel_failover.c - who carries a group's routes: shown, changed by hand, pinned
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/loop.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/cmd/tunnel.h"

static json_t *group_json(const struct watch *w, unsigned int g)
{
	const struct watch_group *wg = &w->group[g];
	const struct failover *f = &wg->failover;
	json_t *members = json_array();

	for (unsigned int k = 0; k < wg->group.n; k++)
		json_array_append_new(
			members,
			json_pack("{s:s, s:s, s:b}", "name", wg->rules.name[k], "state",
				  health_state_name(w->tunnel[wg->group.member[k]].health.state),
				  "active", k == f->active));
	return json_pack("{s:s, s:s?, s:s?, s:s, s:s, s:o}", "group", wg->rules.name[0], "active",
			 f->active < wg->group.n ? wg->rules.name[f->active] : NULL, "pinned",
			 f->pinned < wg->group.n ? wg->rules.name[f->pinned] : NULL, "alarm",
			 failover_alarm_name(f->alarm), "reason", f->reason, "members", members);
}

static void show(const struct tunnels *t, const struct options *o)
{
	const struct watch *w = t->watch;
	struct table table = {.dim = use_colour(o)};
	json_t *list = json_array();

	table_head(&table, "group|active|pinned|alarm|why");
	for (unsigned int g = 0; g < w->n_groups; g++) {
		const struct watch_group *wg = &w->group[g];
		const struct failover *f = &wg->failover;

		json_array_append_new(list, group_json(w, g));
		table_row(&table, "%s\t%s\t%s\t%s\t%s", wg->rules.name[0],
			  f->active < wg->group.n ? wg->rules.name[f->active] : "-",
			  f->pinned < wg->group.n ? wg->rules.name[f->pinned] : "-",
			  failover_alarm_name(f->alarm), f->reason);
	}
	if (o->json)
		print_json(json_pack("{s:i, s:o}", "schema", 1, "groups", list));
	else
		table_print(&table, stdout);
	if (!o->json)
		json_decref(list);
	table_free(&table);
}

/* 0: it may carry the routes; else the exit code, said. */
static int refuse_dead(struct tunnels *t, unsigned int i, bool even_if_down)
{
	const struct watch_tunnel *w = &t->watch->tunnel[i];

	if (!w->look.exists) {
		say("%s: its interface %s is not there; make it with: shiftctl tunnel apply %s",
		    w->conf->name, w->interface, w->conf->name);
		return EXIT_FAILED;
	}
	if (w->health.state != HEALTH_DOWN || even_if_down)
		return EXIT_OK;
	say("refused: %s is down (%s), and no route goes to a dead tunnel; --even-if-down "
	    "overrides",
	    w->conf->name, w->health.reason);
	return EXIT_REFUSED;
}

struct by_hand {
	bool pin, even_if_down;
	const char *reason;
};

static int go(struct tunnels *t, const struct options *o, const char *name,
	      const struct by_hand *wish)
{
	bool pin = wish->pin;
	unsigned int i = (unsigned int)(conf_tunnel(t->config, name) - t->config->tunnels);
	struct watch_group *g = watch_group_of(t->watch, i);
	unsigned int at = (unsigned int)(g - t->watch->group);
	struct failover before = g->failover;
	char why[200] = "", who[64];
	unsigned int place = (unsigned int)group_place(&g->group, i);
	int code;

	tunnels_look(t);
	code = refuse_dead(t, i, wish->even_if_down);
	if (code)
		return code;
	before = g->failover;
	pin |= t->watch->tunnel[i].health.state == HEALTH_DOWN; /* by the rules it would leave */
	if (pin)
		failover_pin(&g->failover, place);
	else
		failover_go(&g->failover, place, loop_now());
	if (watch_step(t->watch, at, loop_now(), why, sizeof(why)) < 0) {
		g->failover = before;
		say("the routes of %s stay where they are: %s", g->rules.name[0], why);
		return EXIT_FAILED;
	}
	who_operator(who, sizeof(who));
	snprintf(g->failover.reason, sizeof(g->failover.reason), "%s by hand, by %.60s%s%.120s",
		 pin ? "pinned" : "switched", who, wish->reason ? ": " : "",
		 wish->reason ? wish->reason : "");
	if (!o->json)
		printf("the routes of %s go through %s now%s\n", g->rules.name[0], name,
		       pin ? ", until: shiftctl tunnel failover --unpin" : "");
	return EXIT_OK;
}

static int unpin(struct tunnels *t, const struct options *o, const char *name)
{
	bool any = false;

	for (unsigned int g = 0; g < t->watch->n_groups; g++) {
		struct watch_group *wg = &t->watch->group[g];

		if (name && watch_group_of(t->watch, (unsigned int)(conf_tunnel(t->config, name) -
								    t->config->tunnels)) != wg)
			continue;
		if (wg->failover.pinned == FAILOVER_NONE)
			continue;
		any = true;
		if (!o->json)
			printf("%s is no longer pinned: %s goes by the rules again\n",
			       wg->rules.name[wg->failover.pinned], wg->rules.name[0]);
		failover_pin(&wg->failover, FAILOVER_NONE);
	}
	if (!any && !o->json)
		printf("nothing is pinned\n");
	return EXIT_OK;
}

int tunnel_failover(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--pin", "--unpin", "--even-if-down",
					    "--reason=", NULL};
	bool set[3] = {false};
	struct by_hand wish = {0};
	char *name = NULL;
	struct tunnels t;
	const char *value;
	int at = 1, code, found;

	while ((found = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (found == -3)
			return EXIT_USAGE;
		if (found == 3)
			wish.reason = value;
		else if (found >= 0)
			set[found] = true;
		else if (name)
			return usage_error("tunnel failover: to one tunnel only");
		else
			name = (char *)value;
	}
	if (set[0] && set[1])
		return usage_error("tunnel failover: --pin or --unpin, not both");
	if (set[0] && !name)
		return usage_error("tunnel failover --pin: which tunnel?");
	wish.pin = set[0];
	wish.even_if_down = set[2];
	code = tunnels_open(o, &t, EXIT_USAGE);
	if (code)
		return code;
	code = tunnels_choose(&t, &name, name ? 1 : 0, EXIT_USAGE);
	if (!code && name && !set[1])
		tunnels_probe(&t, 0);
	if (!code)
		code = tunnels_begin(&t);
	if (!code) {
		if (set[1])
			code = unpin(&t, o, name);
		else if (name)
			code = go(&t, o, name, &wish);
		if (!code && (o->json || (!name && !set[1])))
			show(&t, o);
		if (tunnels_end(&t, !code && (name || set[1]))) {
			say("shiftd or the next check --fix cannot know of it, and undoes it: make "
			    "room in %s and say it again, or stop them",
			    t.dir);
			code = EXIT_FAILED;
		}
	}
	tunnels_close(&t);
	return code;
}
