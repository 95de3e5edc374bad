/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_attach.c - an interface that was re-created gets its program back
 *
 * A program dies with its interface. While one of the configuration's interfaces has ours, both its
 * programs are held (plane/spare.h); the kernel tells when one is deleted and when there is one of
 * that name again, and they are put there, a few milliseconds later and before it has an address.
 * The share is then on_boot's to decide, as `apply` has it, where no other interface had a program
 * meanwhile. The configuration is not read for it: what an operator changed in it and did not apply
 * is not put in force by a cable.
 *
 * Where they cannot be put back, `apply` is run, as an operator would, again and again until it
 * succeeds: with XDP, or where a way to a backend led out through the interface, afterwards;
 * instead, where the maps are found no more (one interface, no bpffs), where it is no Ethernet
 * device, or an `apply` since made other maps.
 *
 * An interface that was here all the time, and has no program any more, was detached by somebody:
 * that is left as it is. So is one that was detached while the interface was away, or while an
 * `apply` that failed was to be tried again: the saved copy says so (plane/state.h), and what is
 * held for it is let go.
 *
 * Weakness: one that is re-created while no shiftd runs is not noticed by the next. One that is
 * detached and deleted within the same second counts as deleted. An `apply` that was begun already
 * and has not its turn yet is not stopped by a detach that is faster.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/ctl/service_inner.h"
#include "userspace/net/links.h"
#include "userspace/plane/control.h"
#include "userspace/plane/hostlock.h"
#include "userspace/plane/pins.h"
#include "userspace/plane/state.h"
#include "userspace/plane/ways.h"

#define MILLISECOND (SERVICE_SECOND / 1000)
/* After an apply that did not help: as when the interface has no address yet. */
#define SOON (SERVICE_SECOND / 2)
#define LATE (30 * SERVICE_SECOND)
#define WAYS (10 * SERVICE_SECOND) /* until routes have come back, too */
#define TURN (20 * MILLISECOND)	   /* another writer's, of the maps; and between two looks */

enum service_again service_again(uint32_t had, bool gone, uint32_t is, bool ours)
{
	if (!is)
		return had ? SERVICE_GONE : SERVICE_NONE;
	if (had && (gone || (is != had && !ours)))
		return SERVICE_ANEW;
	if (ours)
		return SERVICE_OURS;
	return had ? SERVICE_DETACHED : SERVICE_NONE;
}

static const struct plane_attachment *ours(const struct service *s, uint32_t ifindex)
{
	for (int i = 0; s->open && i < s->plane.attachments; i++) {
		if (s->plane.at[i].ifindex == ifindex)
			return &s->plane.at[i];
	}
	return NULL;
}

/* NULL: it is over. */
static void alarm_of(struct service *s, const char *text)
{
	service_alarm(s, SERVICE_ALARM_ATTACH, text, "attach",
		      text ? text : "nothing is to be put back any more");
}

/* Where an operator detached the service nothing is put back: true. */
static bool let_go(struct service *s)
{
	struct state saved;

	if (state_load(s->name, &saved) || !saved.detached)
		return false;
	for (unsigned int i = 0; i < s->interfaces; i++) {
		spare_drop(&s->interface[i].spare);
		s->interface[i].gone = false;
	}
	if (s->apply_for[0])
		service_say(s, false, "%s: detached: apply is not tried again", s->name);
	s->apply_for[0] = '\0';
	s->apply_wait = s->attach_at = 0;
	alarm_of(s, NULL);
	return true;
}

/* ---- by `apply` ---- */

static void become_apply(const struct service *s, const char *name)
{
	static const char *const places[] = {"", "/../libexec/shift"};
	char self[PATH_MAX] = "", path[PATH_MAX + 64], reason[64], *dir;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(reason, sizeof(reason), "%s was re-created", name);
	dir = n < 0 ? self : dirname(self);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s%s/shiftctl-apply", dir, places[i]);
		execl(path, "shiftctl", "-c", s->conf->file, "apply", "--reason", reason, NULL);
	}
	_exit(127);
}

static void begin_apply(struct service *s, uint64_t now)
{
	const char *name = s->apply_for;

	if (!name[0] || s->apply || now < s->attach_at || let_go(s))
		return;
	service_say(s, true, "%s: %s was re-created: apply", s->name, name);
	s->apply = fork();
	if (!s->apply)
		become_apply(s, name);
	if (s->apply < 0) {
		s->apply = 0;
		s->attach_at = now + LATE;
	}
}

/* The first one may have been too early, as before there are addresses. */
static void take_end(struct service *s, uint64_t now)
{
	char text[100];
	int status;

	if (!s->apply || waitpid(s->apply, &status, WNOHANG) != s->apply)
		return;
	s->apply = 0;
	service_find(s);
	if (WIFEXITED(status) && !WEXITSTATUS(status)) {
		s->apply_for[0] = '\0';
		s->apply_wait = 0;
		alarm_of(s, NULL);
		return;
	}
	if (s->apply_wait) {
		snprintf(text, sizeof(text),
			 "%s was re-created, and apply fails again and again: see shiftd's log",
			 s->apply_for);
		alarm_of(s, text);
	}
	s->apply_wait = s->apply_wait ? 2 * s->apply_wait : SOON;
	if (s->apply_wait > LATE)
		s->apply_wait = LATE;
	s->attach_at = now + s->apply_wait;
	service_say(s, true, "%s: apply failed: it is tried again", s->name);
}

/* ---- by the programs that are held ---- */

static void tell(struct service *s, const char *name, const struct shift_record *before,
		 const struct shift_record *after)
{
	struct state_event e = {.verb = "attach",
				.service = s->name,
				.who = "shiftd",
				.from = before->weight,
				.to = after->weight};
	char reason[64];

	service_say(s, true, "%s: %s was re-created, and has its program again%s", s->name, name,
		    after->epoch != before->epoch ? "; weight 0 (on_boot: zero)" : "");
	snprintf(reason, sizeof(reason), "%s was re-created", name);
	e.reason = reason;
	state_record(after, &e);
}

/* Does the disk know something later? */
static bool is_outdated(const struct service *s, const struct plane *p, int id)
{
	struct shift_record r;
	struct state saved;
	uint64_t head;

	return control_get(&p->control[id], &r, &head) || state_load(s->name, &saved) ||
	       saved.epoch > r.epoch || (saved.latched && !r.latched);
}

/* The service's id in it, or −errno; *ret is to be closed. */
static int find_again(const struct service *s, const struct service_interface *f, struct plane *ret)
{
	int err = plane_find(ret), id;

	if (!err)
		return plane_service_by_name(ret, s->name);
	if (err != -ENOENT)
		return err;
	plane_close(ret);
	err = spare_plane(&f->spare, ret);
	id = err ? err : plane_service_by_name(ret, s->name);
	return id >= 0 && is_outdated(s, ret, id) ? -ESTALE : id;
}

/* In our turn among the writers of the maps. As spare_put. */
static int put(struct service *s, struct service_interface *f)
{
	struct shift_record before = {0}, after = {0};
	struct plane p;
	int id = find_again(s, f, &p), err = id < 0 ? id : 0;

	if (!err && !p.attachments)
		err = control_anew(&p.control[id], s->conf->on_boot_restore, "shiftd", &before,
				   &after);
	if (!err)
		err = spare_put(&p, &f->spare);
	if (err >= 0 && !after.epoch) {
		uint64_t head;

		control_get(&p.control[id], &after, &head);
		before = after;
	}
	if (err >= 0)
		pins_make(&p);
	plane_close(&p);
	if (err >= 0)
		tell(s, f->spare.name, &before, &after);
	return err;
}

static void put_back(struct service *s, struct service_interface *f, uint64_t now)
{
	const char *name = f->spare.name;
	char path[64], text[RAMP_TEXT];
	int lock, err;

	if (s->apply || s->apply_for[0] || now < s->attach_at || let_go(s))
		return;
	lock = hostlock_open(path);
	err = lock < 0 ? 0 : hostlock_take(lock);
	if (!err)
		err = put(s, f);
	else
		err = -EAGAIN;
	if (lock >= 0)
		close(lock);
	if (err == -EAGAIN) { /* perhaps by the very `apply` that does it */
		s->attach_at = now + TURN;
	} else if (err >= 0 || err == -EALREADY) {
		f->gone = false;
		f->spare.ifindex = if_nametoindex(name);
		s->found_at = now;
		s->ways_until = now + WAYS;
		if (!s->apply_for[0])
			alarm_of(s, NULL);
		service_find(s);
	} else if (err == -EPERM || err == -EACCES) {
		s->attach_at = now + LATE;
		snprintf(text, sizeof(text),
			 "%s was re-created, and shiftd has not the right to put its program back "
			 "(%s): as root: shiftctl apply",
			 name, strerror(-err));
		alarm_of(s, text);
	}
	if (err == 1 || (err < 0 && err != -EALREADY && now >= s->attach_at))
		snprintf(s->apply_for, sizeof(s->apply_for), "%s", name);
	begin_apply(s, now);
}

static void look_at(struct service *s, struct service_interface *f, uint64_t now)
{
	uint32_t is = if_nametoindex(f->spare.name);
	const struct plane_attachment *at = is ? ours(s, is) : NULL;

	switch (service_again(f->spare.ifindex, f->gone, is, at)) {
	case SERVICE_NONE:
		break;
	case SERVICE_GONE:
		f->gone = true;
		break;
	case SERVICE_OURS:
		spare_take(&f->spare, at);
		break;
	case SERVICE_DETACHED:
		spare_drop(&f->spare);
		break;
	case SERVICE_ANEW:
		put_back(s, f, now);
		break;
	}
}

void service_attach(struct service *s, uint64_t now)
{
	take_end(s, now);
	for (unsigned int i = 0; i < s->interfaces; i++)
		look_at(s, &s->interface[i], now);
	begin_apply(s, now);
	if (now < s->ways_until)
		ways_follow();
	s->attached_at = now;
	if (now < s->attach_at && s->attach_at < now + SERVICE_SECOND)
		loop_timer_set(s->loop, &s->attach_timer, s->attach_at, service_attach_due, s);
}

void service_attach_due(void *service, uint64_t now)
{
	(void)now;
	service_attach(service, loop_now());
}

/* ---- what the kernel tells ---- */

static void on_gone(void *service, uint32_t ifindex)
{
	struct service *s = service;

	for (unsigned int i = 0; i < s->interfaces; i++) {
		if (s->interface[i].spare.ifindex == ifindex)
			s->interface[i].gone = true;
	}
}

/* A host may make interfaces by the hundred: they are looked at together. */
static void on_links(void *service, int fd, unsigned int ready)
{
	struct service *s = service;
	uint64_t now = loop_now(), at = s->attached_at + TURN;
	int kinds = links_read(fd, on_gone, s);

	(void)ready;
	if (!kinds)
		return;
	if (kinds > 0 && kinds & LINKS_ADDRESS && s->apply_wait && !s->apply)
		s->attach_at = 0; /* what `apply` waited for, perhaps */
	loop_timer_set(s->loop, &s->attach_timer, at > now ? at : now, service_attach_due, s);
}

int service_attach_make(struct service *s)
{
	s->links = links_open();
	return s->links < 0 ? s->links : loop_watch(s->loop, s->links, LOOP_READ, on_links, s);
}

void service_attach_free(struct service *s)
{
	loop_timer_stop(s->loop, &s->attach_timer);
	for (unsigned int i = 0; i < s->interfaces; i++)
		spare_drop(&s->interface[i].spare);
	if (s->links < 0)
		return;
	loop_unwatch(s->loop, s->links);
	close(s->links);
}

static void move_to(struct service *s, const char *name, struct service_interface *ret)
{
	*ret = (struct service_interface){.spare.fd = {-1, -1}};
	for (unsigned int i = 0; i < s->interfaces; i++) {
		if (strcmp(s->interface[i].spare.name, name) != 0)
			continue;
		*ret = s->interface[i];
		s->interface[i].spare.fd[0] = s->interface[i].spare.fd[1] = -1;
	}
	snprintf(ret->spare.name, sizeof(ret->spare.name), "%s", name);
}

void service_attach_use(struct service *s, const struct config *c)
{
	struct service_interface all[CONF_MAX_IFACES];

	for (unsigned int i = 0; i < c->n_interfaces; i++)
		move_to(s, c->interfaces[i].name, &all[i]);
	for (unsigned int i = 0; i < s->interfaces; i++)
		spare_drop(&s->interface[i].spare);
	s->interfaces = c->n_interfaces;
	memcpy(s->interface, all, s->interfaces * sizeof(*all));
}
