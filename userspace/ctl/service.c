/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service.c - the ramp's runner: it looks, lets the machine decide, and does what that says
 *
 * What it owns: the journal, the gates' numbers, the keep-alive in the record of control. What it
 * decides: nothing; that is ramp.c, gate.c and judge.c, which are pure.
 *
 * Twice a second, when sources.c has looked at the counters, it reads control, judges, steps the
 * machine, and carries out what comes of it, each thing to its end before the next. An
 * operator's command comes between two turns, so commands of two operators are one after the other.
 *
 * What it promises.
 *  - Traffic does not need it. When it dies, at any instruction, the share stays what it was, or
 *    with `on_death` goes back to 0 when the keep-alive ran out.
 *  - After a restart the ramp is paused at its stage, and says so (ramp_resume.c).
 *  - What the kernel is at this moment comes before what was remembered.
 *
 * How it fails: without a data plane nothing is done until there is one again; a journal that
 * cannot be written stops raises and nothing else; a command line that hangs on the socket hangs
 * alone.
 *
 * A disk that hangs holds the journal's thread (journal_disk.c): raises stop, rollbacks go on.
 *
 * Weakness: opening the journal at the start, the page's tail of the history while somebody looks,
 * the flow log where there is one, the saved copy while a program is to be put back, and the
 * tunnels' state where there are tunnels, are asked of the disk on the loop.
 */
#include "userspace/ctl/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/ctl/checks.h"
#include "userspace/ctl/dns.h"
#include "userspace/ctl/follow.h"
#include "userspace/ctl/points.h"
#include "userspace/ctl/ramp_json.h"
#include "userspace/ctl/service_inner.h"
#include "userspace/plane/state.h"

static void look(struct service *s, uint64_t now)
{
	if (now >= s->found_at + SERVICE_SECOND || !s->open) {
		s->found_at = now;
		service_find(s);
	}
	service_look(s, now);
	service_gates_turn(s, now);
}

static void turn(void *arg, uint64_t now)
{
	struct service *s = arg;

	now = loop_now();
	s->alive = now;
	service_disk(s, now);
	look(s, now);
	service_catch_up(s);
	ramp_step(&s->ramp, &s->view, now, &s->out);
	service_act(s, now);
	service_keep_alive(s, now);
	service_points(s, now);
	dns_keep_turn(s, now);
	service_attach(s, now);
	state_reap();
	loop_timer_set(s->loop, &s->turn, now + SERVICE_SECOND, turn, s);
}

void service_looked(void *arg, uint64_t now)
{
	struct service *s = arg;

	loop_timer_set(s->loop, &s->turn, now, turn, s);
}

/* ---- operators ---- */

static const char *const commands[] = {
	[RAMP_START] = "ramp start", [RAMP_PAUSE] = "ramp pause",  [RAMP_RESUME] = "ramp resume",
	[RAMP_NEXT] = "ramp next",   [RAMP_BACK] = "ramp back",	   [RAMP_ABORT] = "ramp abort",
	[RAMP_FREEZE] = "freeze",    [RAMP_UNFREEZE] = "unfreeze",
};

static int verb_of(const char *command)
{
	for (size_t v = 0; v < sizeof(commands) / sizeof(*commands); v++) {
		if (!strcmp(command, commands[v]))
			return (int)v;
	}
	return -1;
}

/* NULL, or what is wrong. */
static const char *read_arguments(const json_t *args, const char *who, struct ramp_command *ret)
{
	const char *reason = json_string_value(json_object_get(args, "reason"));
	const json_t *flags = json_object_get(args, "flags");

	snprintf(ret->who, sizeof(ret->who), "%s", who);
	screen_clean(reason ? reason : "", ret->reason, sizeof(ret->reason));
	for (size_t i = 0; i < json_array_size(flags); i++) {
		const char *flag = json_string_value(json_array_get(flags, i));
		unsigned int bit = flag ? ramp_flag_parse(flag) : 0;

		if (!bit)
			return "there is no such flag";
		ret->flags |= bit;
	}
	return NULL;
}

static void carry_command(struct service *s, const struct ramp_command *c, struct ramp_reply *ret)
{
	uint64_t now;

	service_find(s);
	look(s, loop_now());
	if (c->verb == RAMP_START && !ramp_is_active(&s->ramp)) {
		service_gates_baseline(s);
		if (!s->view.weight) /* how the arms compared was of what is over */
			service_gates_forgive(s);
		look(s, loop_now());
	}
	now = loop_now();
	ramp_command(&s->ramp, c, &s->view, now, &s->out, ret);
	/* A suspicion that holds goes on holding, unless somebody says that he looked. */
	if (!ret->code && (c->verb == RAMP_START || (c->flags & RAMP_UNPROVEN)))
		service_gates_forgive(s);
	service_act(s, now);
	now = loop_now();
	look(s, now);
	ramp_step(&s->ramp, &s->view, now, &s->out);
	service_act(s, now);
	service_keep_alive(s, now);
}

int service_ask(struct service *s, const char *command, const json_t *args, const char *who,
		json_t **ret)
{
	int verb = verb_of(command);
	struct ramp_command c = {0};
	struct ramp_reply reply = {0};
	const char *wrong;

	if (!strcmp(command, "ramp status")) {
		*ret = service_status(s);
		return RAMP_REPLY_OK;
	}
	wrong = verb < 0 ? "there is no such command" : read_arguments(args, who, &c);
	if (wrong) {
		*ret = json_pack("{s:s}", "error", wrong);
		return 2;
	}
	c.verb = (enum ramp_verb)verb;
	carry_command(s, &c, &reply);
	*ret = json_pack("{s:o, s:s*, s:o}", reply.code ? "error" : "text",
			 ramp_text_json(reply.text), "flag",
			 reply.flag ? ramp_flag_name(reply.flag) : NULL, "ramp", service_status(s));
	return reply.code;
}

/* ---- beginning and ending ---- */

int service_make(struct loop *l, const struct service_world *world, struct service **ret)
{
	struct service *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->world = *world;
	s->id = -1;
	s->links = -1;
	err = service_gates_make(s);
	if (!err)
		err = ctl_checks_make(l, service_health_says, s, &s->checks);
	if (!err)
		err = ctl_follow_make(l, service_follow_says, s, &s->follow);
	if (!err)
		err = ctl_dns_make(l, dns_keep_says, s, &s->dns);
	if (!err)
		err = service_tell_make(s);
	if (!err && service_attach_make(s))
		service_say(s, false, "a re-created interface is noticed within a second only");
	if (err) {
		service_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void service_free(struct service *s)
{
	if (!s)
		return;
	loop_timer_stop(s->loop, &s->turn);
	service_attach_free(s);
	sources_free(s->sources);
	ctl_checks_free(s->checks);
	ctl_follow_free(s->follow);
	ctl_dns_free(s->dns);
	service_tell_free(s);
	service_lose(s, 0);
	journal_close(s->journal);
	points_free(s->points);
	free(s);
}

int service_use(struct service *s, const struct config *c)
{
	int err;

	if (s->conf && strcmp(c->service, s->name) != 0)
		return -EINVAL;
	if (!s->conf) {
		snprintf(s->name, sizeof(s->name), "%s", c->service);
		err = service_gates_begin(s, c);
		s->conf = c;
		ramp_begin(&s->ramp, c);
		if (!err)
			err = loop_timer_set(s->loop, &s->turn, loop_now(), turn, s);
	} else {
		err = service_gates_use(s, c);
		s->conf = c;
		ramp_use(&s->ramp, c);
		service_gates_turn(s, loop_now()); /* what is shown names the one before */
	}
	if (err)
		service_say(s, true, "gates: they cannot be asked: %s", strerror(-err));
	err = ctl_checks_use(s->checks, c);
	if (!err)
		err = ctl_follow_use(s->follow, c);
	if (err)
		service_say(s, true, "health: some checks are missing: %s", strerror(-err));
	err = ctl_dns_use(s->dns, c);
	if (err)
		service_say(s, true, "dns: it is not watched: %s", strerror(-err));
	service_tell_use(s, c);
	service_attach_use(s, c);
	return 0;
}

const char *service_text(const struct service *s, char *ret, size_t size)
{
	char share[16];

	if (!s->conf || !s->conf->n_stages)
		ret[0] = '\0';
	else
		snprintf(ret, size, "ramp %s at stage %u of %u, %s%%",
			 ramp_state_name(s->ramp.saved.state), (unsigned int)s->ramp.saved.stage,
			 s->conf->n_stages, text_weight(s->view.weight, share));
	return ret;
}

uint64_t service_alive(const struct service *s)
{
	return s->alive;
}

void service_page_dns(const struct service *s, struct ctl_dns_view *ret)
{
	ctl_dns_look(s->dns, loop_now(), ret);
}

const struct plane *service_plane(const struct service *s, uint32_t *ret_id)
{
	*ret_id = s->id < 0 ? 0 : (uint32_t)s->id;
	return s->open && s->id >= 0 ? &s->plane : NULL;
}
