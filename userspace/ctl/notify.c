/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * notify.c - notices on their way: a queue for each target, one request at a time
 *
 * Owns the targets of the configuration, their queues, and one HTTP client. It promises that
 * telling delays nothing: a notice is copied and filled into the target's template, and all that
 * touches a file or the network happens in a later turn of the loop, bounded in time and size.
 *
 * A target's queue holds at most MAX_WAITING notices. One that waits is replaced by a later one of
 * the same event and subject, which says how many it stands for; when the queue is full the oldest
 * goes, those that are no trouble first. So an endpoint that was away for long hears how things
 * are, and not all that was.
 *
 * What fails is tried again after 1, 2, 4 … 60 s (or what Retry-After says, up to five minutes),
 * spread by a quarter, until it is give_up_ns old; an answer that will not change (400, 401, 403,
 * 404, a redirect) loses its notice at once. The first failure of a target is said, and its
 * recovery, and nothing between.
 *
 * A notice may be told twice: when the connection breaks after the request was written, nobody
 * knows. PagerDuty joins them by their key, Statuspage's updates are harmless, a message to a
 * channel is worth more twice than never. An incident is not begun twice: one whose beginning is
 * in doubt is looked for by its title first. Which incident is open is kept on disk, so that a
 * restart in the middle of a ramp does not leave it open for ever.
 *
 * Secrets (Slack's URL, tokens, keys) are read from their file for each request (base/file.h),
 * wiped afterwards, sent over https:// alone and never shown; so a new one counts at once. Targets
 * on this host, its link or a cloud's metadata are refused (net/public.h): a relay on the same host
 * needs an address of its own.
 *
 * Weaknesses: queues are in memory and lost with the process. Keeping the incident waits for the
 * disk, twice in a ramp, and a secret is read in the loop: both belong on a disk of this host.
 * libcurl copies a URL and does not wipe it (net/http.c).
 */
#include "userspace/ctl/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/file.h"
#include "userspace/base/loop.h"
#include "userspace/conf/utf8.h"
#include "userspace/ctl/notify_inner.h"
#include "userspace/net/http.h"

#define SECOND	    1000000000ull
#define TIMEOUT	    (10 * SECOND)
#define FIRST_AGAIN SECOND
#define LAST_AGAIN  (60 * SECOND)
#define GIVE_UP	    (900 * SECOND)
#define MAX_WAITING 32

/* ---- the queue ---- */

void notify_drop_first(struct notify_target *t)
{
	struct notify_entry *e = t->first;

	t->first = e->next;
	t->waiting--;
	free(e);
}

void notify_lose_first(struct notify_target *t)
{
	t->lost += 1 + t->first->joined;
	notify_drop_first(t);
}

/* What waits, without the one that is under way. */
static struct notify_entry **waiting(struct notify_target *t)
{
	return t->call && t->first ? &t->first->next : &t->first;
}

static void take_out(struct notify_target *t, struct notify_entry **at)
{
	struct notify_entry *e = *at;

	*at = e->next;
	t->waiting--;
	free(e);
}

static void make_room(struct notify_target *t)
{
	struct notify_entry **at = waiting(t);

	if (t->waiting < MAX_WAITING || !*at)
		return;
	for (struct notify_entry **p = at; *p; p = &(*p)->next)
		if (!notify_is_alarm((*p)->event, (*p)->over)) {
			at = p;
			break;
		}
	t->lost += 1 + (*at)->joined;
	take_out(t, at);
}

static void append(struct notify_target *t, struct notify_entry *e)
{
	struct notify_entry **at = waiting(t);

	while (*at) {
		if ((*at)->event == e->event && !strcmp((*at)->subject, e->subject) &&
		    !strcmp((*at)->service, e->service)) {
			e->joined += 1 + (*at)->joined;
			t->joined++;
			take_out(t, at);
		} else {
			at = &(*at)->next;
		}
	}
	make_room(t);
	for (at = &t->first; *at; at = &(*at)->next)
		;
	*at = e;
	t->waiting++;
}

static bool wants(const struct notify_target *t, const struct notice *notice)
{
	if (t->conf.only_alarms && !notify_is_alarm(notice->event, notice->over))
		return false;
	return true;
}

static void on_time(void *arg, uint64_t now);

void notify_start_at(struct notify_target *t, uint64_t at)
{
	if (!t->call && t->first)
		loop_timer_set(t->n->loop, &t->timer, at, on_time, t);
}

static void keep_text(char *ret, size_t size, const char *text)
{
	if (text)
		utf8_show(text, ret, size);
}

static uint64_t real_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void notifier_tell(struct notifier *n, const struct notice *notice)
{
	for (struct notify_target *t = n->targets; t; t = t->next) {
		struct notify_entry *e = wants(t, notice) ? calloc(1, sizeof(*e)) : NULL;

		if (!e)
			continue;
		e->event = notice->event;
		e->over = notice->over;
		keep_text(e->service, sizeof(e->service), notice->service);
		keep_text(e->subject, sizeof(e->subject), notice->subject);
		keep_text(e->reason, sizeof(e->reason), notice->reason);
		keep_text(e->who, sizeof(e->who), notice->who);
		e->stage = notice->stage;
		e->stages = notice->stages;
		e->weight = notice->weight;
		e->time_ns = notice->time_ns ? notice->time_ns : real_now();
		e->queued_ns = loop_now();
		if (t->conf.kind == CONF_PAGERDUTY && !notify_pages(e)) {
			free(e);
			continue;
		}
		notify_render(e, t->conf.kind, t->template);
		append(t, e);
		if (!t->timer.at)
			notify_start_at(t, e->queued_ns);
	}
}

static void on_time(void *arg, uint64_t now)
{
	struct notify_target *t = arg;

	while (t->first && now > t->first->queued_ns + t->n->o.give_up_ns)
		notify_lose_first(t);
	if (t->first && !t->call)
		notify_begin(t);
}

/* ---- the configuration ---- */

static void free_target(struct notify_target *t)
{
	if (!t)
		return;
	http_cancel(t->call);
	t->call = NULL;
	loop_timer_stop(t->n->loop, &t->timer);
	while (t->first)
		notify_drop_first(t);
	free(t->template);
	free(t);
}

static int read_template(struct notify_target *t, char *why, size_t size)
{
	int fd, err = 0;
	char text[130];
	ssize_t n;

	if (!t->conf.template[0])
		return 0;
	fd = file_open_safe(t->conf.template, why, size);
	if (fd < 0)
		return fd;
	t->template = calloc(1, NOTIFY_TEMPLATE + 2);
	n = t->template ? read(fd, t->template, NOTIFY_TEMPLATE + 1) : 0;
	if (!t->template || n < 0)
		err = t->template ? -errno : -ENOMEM;
	close(fd);
	if (err)
		return err;
	if (n > NOTIFY_TEMPLATE || strlen(t->template) != (size_t)n) {
		snprintf(why, size, "%.160s must be a text of at most %d bytes", t->conf.template,
			 NOTIFY_TEMPLATE);
		return -EINVAL;
	}
	t->template[n] = '\0';
	while (n && t->template[n - 1] == '\n')
		t->template[--n] = '\0';
	err = notify_template_check(t->template, text, sizeof(text));
	if (err)
		snprintf(why, size, "%.160s: %s", t->conf.template, text);
	return err;
}

static int check_target(const struct notify_target *t, char *why, size_t size)
{
	const struct conf_notify *c = &t->conf;
	char secret[NOTIFY_SECRET];
	int err = 0;

	if (c->secret_file[0]) {
		err = notify_read_secret(c->secret_file, secret, why, size);
		if (!err && c->kind == CONF_SLACK && strncmp(secret, "https://", 8)) {
			snprintf(why, size, "%.180s does not hold a URL with https://",
				 c->secret_file);
			err = -EINVAL;
		}
		explicit_bzero(secret, sizeof(secret));
	}
	if (!err && c->secret_file[0] && c->url.text[0] && strncmp(c->url.text, "https://", 8)) {
		snprintf(why, size, "%.120s: what is in %.120s goes over https:// alone",
			 c->url.text, c->secret_file);
		err = -EINVAL;
	}
	if (!err && c->kind == CONF_STATUSPAGE &&
	    (!notify_id_sound(c->page) || (c->component[0] && !notify_id_sound(c->component)))) {
		snprintf(why, size, "a page and a component are letters and digits");
		err = -EINVAL;
	}
	return err;
}

static int make_target(struct notifier *n, const struct conf_notify *c, struct notify_target **ret,
		       char *why, size_t size)
{
	struct notify_target *t = calloc(1, sizeof(*t));
	char text[300] = "";
	int err;

	if (!t)
		return -ENOMEM;
	t->n = n;
	t->conf = *c;
	err = check_target(t, text, sizeof(text));
	if (!err)
		err = read_template(t, text, sizeof(text));
	if (!err) {
		*ret = t;
		return 0;
	}
	snprintf(why, size, "notify %s: %s", c->name, text[0] ? text : strerror(-err));
	free_target(t);
	return err;
}

/* One that stays takes what is new and keeps its queue. */
static struct notify_target *old_one(struct notifier *n, const struct notify_target *fresh)
{
	for (struct notify_target *t = n->targets; t; t = t->next)
		if (!t->kept && t->conf.kind == fresh->conf.kind &&
		    !strcmp(t->conf.name, fresh->conf.name))
			return t;
	return NULL;
}

static struct notify_target *join(struct notifier *n, struct notify_target *fresh)
{
	struct notify_target *t = old_one(n, fresh);

	if (!t) {
		if (fresh->conf.kind == CONF_STATUSPAGE)
			notify_find_incident(fresh);
		return fresh;
	}
	t->kept = true;
	if (strcmp(t->conf.page, fresh->conf.page))
		memset(&t->incident, 0, sizeof(t->incident));
	t->conf = fresh->conf;
	free(t->template);
	t->template = fresh->template;
	fresh->template = NULL;
	free_target(fresh);
	return t;
}

int notifier_use(struct notifier *n, const struct config *c, char *why, size_t size)
{
	struct notify_target *fresh[CONF_MAX_NOTIFIES] = {NULL}, *list = NULL;
	unsigned int count = c->n_notifies;
	int err = 0;

	why[0] = '\0';
	for (unsigned int i = 0; i < count && !err; i++)
		err = make_target(n, &c->notifies[i], &fresh[i], why, size);
	if (err) {
		for (unsigned int i = 0; i < count; i++)
			free_target(fresh[i]);
		return err;
	}
	for (unsigned int i = 0; i < count; i++)
		fresh[i] = join(n, fresh[i]);
	while (n->targets) {
		struct notify_target *t = n->targets;

		n->targets = t->next;
		if (!t->kept)
			free_target(t);
	}
	for (unsigned int i = count; i-- > 0; list = fresh[i]) {
		fresh[i]->kept = false;
		fresh[i]->next = list;
	}
	n->targets = list;
	return 0;
}

bool notifier_look(const struct notifier *n, unsigned int i, struct notifier_state *ret)
{
	const struct notify_target *t = n->targets;

	while (t && i--)
		t = t->next;
	if (!t)
		return false;
	*ret = (struct notifier_state){.name = t->conf.name,
				       .failing = t->failures > 0,
				       .waiting = t->waiting,
				       .told = t->told,
				       .lost = t->lost,
				       .joined = t->joined};
	return true;
}

int notifier_make(struct loop *l, const struct notifier_options *options, struct notifier **ret)
{
	struct notifier *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	n->loop = l;
	n->o = *options;
	n->o.timeout_ns = n->o.timeout_ns ? n->o.timeout_ns : TIMEOUT;
	n->o.first_again_ns = n->o.first_again_ns ? n->o.first_again_ns : FIRST_AGAIN;
	n->o.last_again_ns = n->o.last_again_ns ? n->o.last_again_ns : LAST_AGAIN;
	n->o.give_up_ns = n->o.give_up_ns ? n->o.give_up_ns : GIVE_UP;
	snprintf(n->dir, sizeof(n->dir), "%s", options->dir ? options->dir : "");
	if (gethostname(n->host, sizeof(n->host) - 1) || !n->host[0])
		snprintf(n->host, sizeof(n->host), "shiftctl");
	err = http_make(l, &n->http);
	if (err) {
		free(n);
		return err;
	}
	*ret = n;
	return 0;
}

void notifier_free(struct notifier *n)
{
	if (!n)
		return;
	while (n->targets) {
		struct notify_target *t = n->targets;

		n->targets = t->next;
		free_target(t);
	}
	http_free(n->http);
	free(n);
}
