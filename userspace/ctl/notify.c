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
 * disk, twice in a ramp. libcurl copies a URL and does not wipe it (net/http.c).
 */
#include "userspace/ctl/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "userspace/base/file.h"
#include "userspace/base/loop.h"
#include "userspace/base/whole.h"
#include "userspace/conf/utf8.h"
#include "userspace/ctl/notify_inner.h"
#include "userspace/net/http.h"

#define SECOND	    1000000000ull
#define TIMEOUT	    (10 * SECOND)
#define FIRST_AGAIN SECOND
#define LAST_AGAIN  (60 * SECOND)
#define GIVE_UP	    (900 * SECOND)
#define MOST_AFTER  300.0 /* s, of Retry-After */
#define MAX_WAITING 32
#define MAX_SECRET  1024
#define MAX_ANSWER  65536u
#define MAX_LIST    1048576u
#define MAX_KEPT    65536u
#define STATUSPAGE  "https://api.statuspage.io/v1"
#define PAGERDUTY   "https://events.pagerduty.com/v2/enqueue"

struct target {
	struct notifier *n;
	struct target *next;
	struct conf_notify conf;
	char *template;		    /* NULL: the shipped one */
	struct notify_entry *first; /* in order; the first may be under way */
	unsigned int waiting;
	struct http_call *call;
	struct loop_timer timer;
	unsigned int failures; /* in a row */
	bool said;	       /* that it fails */
	struct notify_incident incident;
	bool in_doubt; /* an incident may have been begun: look for it */
	bool looking;  /* the request under way is that */
	bool kept;     /* marks what stays, while the configuration changes */
	uint64_t told, lost, joined, lost_said;
};

struct notifier {
	struct loop *loop;
	struct http *http;
	struct target *targets; /* in the configuration's order */
	char dir[CONF_TEXT], ca_file[CONF_TEXT], host[CONF_HOST];
	struct notifier_options o;
};

static void say(const struct target *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct target *t, const char *format, ...)
{
	char text[400];
	va_list args;
	int n = snprintf(text, sizeof(text), "notify %s: ", t->conf.name);

	va_start(args, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
	va_end(args);
	if (t->n->o.say)
		t->n->o.say(t->n->o.arg, text);
}

/* ---- secrets ---- */

/* One line of printable characters. The caller wipes `ret` also after a failure. */
static int read_secret(const char *file, char ret[MAX_SECRET], char *why, size_t size)
{
	int fd = file_open_secret(file, why, size), err = 0;
	ssize_t n;

	if (fd < 0) {
		if (!why[0])
			snprintf(why, size, "%s: %s", file, strerror(-fd));
		return fd;
	}
	n = read(fd, ret, MAX_SECRET);
	if (n < 0)
		err = -errno;
	close(fd);
	while (n > 0 && (ret[n - 1] == '\n' || ret[n - 1] == '\r' || ret[n - 1] == ' '))
		n--;
	for (ssize_t i = 0; i < n && !err; i++)
		if (ret[i] <= ' ' || ret[i] > '~')
			err = -EINVAL;
	if (!err && (n <= 0 || n == MAX_SECRET))
		err = -EINVAL;
	if (err)
		snprintf(why, size, "%s: %s", file,
			 err == -EINVAL ? "must hold one line without blanks" : strerror(-err));
	else
		ret[n] = '\0';
	return err;
}

/* ---- what is open at Statuspage, on disk ---- */

static void keep_incidents(const struct notifier *n)
{
	char path[CONF_TEXT + 16], *text;
	json_t *all = json_object(), *j;

	snprintf(path, sizeof(path), "%s/notify.json", n->dir);
	for (const struct target *t = n->targets; t; t = t->next)
		if (t->incident.id[0])
			json_object_set_new(all, t->conf.name,
					    json_pack("{ss sb}", "incident", t->incident.id, "ramp",
						      (int)t->incident.ramp));
	j = json_pack("{si so}", "schema", 1, "statuspage", all);
	text = j ? json_dumps(j, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
	if (n->dir[0] && text)
		whole_write(path, text, strlen(text), 0600);
	free(text);
	json_decref(j);
}

static void find_incident(struct target *t)
{
	char path[CONF_TEXT + 16], *text = NULL;
	json_t *j, *mine;
	const char *id;
	size_t size;

	snprintf(path, sizeof(path), "%s/notify.json", t->n->dir);
	if (!t->n->dir[0] || whole_read(path, MAX_KEPT, &text, &size))
		return;
	j = json_loadb(text, size, 0, NULL);
	mine = json_object_get(json_object_get(j, "statuspage"), t->conf.name);
	id = json_string_value(json_object_get(mine, "incident"));
	if (id && notify_id_sound(id)) {
		snprintf(t->incident.id, sizeof(t->incident.id), "%s", id);
		t->incident.ramp = json_is_true(json_object_get(mine, "ramp"));
	}
	json_decref(j);
	free(text);
}

/* ---- the queue ---- */

static void drop_first(struct target *t)
{
	struct notify_entry *e = t->first;

	t->first = e->next;
	t->waiting--;
	free(e);
}

static void lose_first(struct target *t)
{
	t->lost += 1 + t->first->joined;
	drop_first(t);
}

/* What waits, without the one that is under way. */
static struct notify_entry **waiting(struct target *t)
{
	return t->call && t->first ? &t->first->next : &t->first;
}

static void take_out(struct target *t, struct notify_entry **at)
{
	struct notify_entry *e = *at;

	*at = e->next;
	t->waiting--;
	free(e);
}

static void make_room(struct target *t)
{
	struct notify_entry **at = waiting(t);

	if (t->waiting < MAX_WAITING)
		return;
	for (struct notify_entry **p = at; *p; p = &(*p)->next)
		if (!notify_is_alarm((*p)->event, (*p)->over)) {
			at = p;
			break;
		}
	t->lost += 1 + (*at)->joined;
	take_out(t, at);
}

static void append(struct target *t, struct notify_entry *e)
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

static bool wants(const struct target *t, const struct notice *notice)
{
	if (t->conf.only_alarms && !notify_is_alarm(notice->event, notice->over))
		return false;
	return true;
}

static void on_time(void *arg, uint64_t now);

static void start_at(struct target *t, uint64_t at)
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
	for (struct target *t = n->targets; t; t = t->next) {
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
			start_at(t, e->queued_ns);
	}
}

/* ---- how it went ---- */

static uint64_t spread(uint64_t ns)
{
	uint16_t chance = 0;

	(void)!getrandom(&chance, sizeof(chance), GRND_NONBLOCK);
	return ns - ns / 4 + ns / 2 * chance / UINT16_MAX;
}

static uint64_t again_in(const struct target *t, double after_s)
{
	uint64_t ns = t->n->o.first_again_ns;

	for (unsigned int i = 1; i < t->failures && ns < t->n->o.last_again_ns; i++)
		ns *= 2;
	if (ns > t->n->o.last_again_ns)
		ns = t->n->o.last_again_ns;
	ns = spread(ns);
	if (!isnan(after_s) && after_s > 0) {
		double most = after_s < MOST_AFTER ? after_s : MOST_AFTER;

		if ((uint64_t)(most * 1e9) > ns)
			ns = (uint64_t)(most * 1e9);
	}
	return ns;
}

static void failed(struct target *t, const char *why, bool for_good, double after_s)
{
	uint64_t now = loop_now();

	t->failures++;
	if (!t->said) {
		say(t, "%s; %s", why, for_good ? "the notice is lost" : "it is tried again");
		t->said = true;
	}
	if (for_good && t->first)
		lose_first(t);
	start_at(t, now + (for_good ? spread(t->n->o.first_again_ns) : again_in(t, after_s)));
}

static void told(struct target *t)
{
	t->told++;
	t->failures = 0;
	drop_first(t);
	if (t->said || t->lost != t->lost_said)
		say(t, "told again; %" PRIu64 " notices were lost", t->lost - t->lost_said);
	t->said = false;
	t->lost_said = t->lost;
	start_at(t, loop_now());
}

/* ---- answers ---- */

static void remember(struct target *t, const char *id, bool ramp)
{
	snprintf(t->incident.id, sizeof(t->incident.id), "%s", id);
	t->incident.ramp = ramp;
	keep_incidents(t->n);
}

/* The incidents that are open: is ours among them? */
static void looked(struct target *t, const struct http_reply *r)
{
	json_t *list = json_loadb(r->body, r->size, 0, NULL), *one;
	char title[96];
	size_t i;

	notify_page_title(t->first, title);
	json_array_foreach (list, i, one) {
		const char *name = json_string_value(json_object_get(one, "name")),
			   *id = json_string_value(json_object_get(one, "id"));

		if (name && id && !strcmp(name, title) && notify_id_sound(id)) {
			remember(t, id, t->first->event != NOTICE_ALARM);
			break;
		}
	}
	t->in_doubt = !json_is_array(list);
	json_decref(list);
	if (t->in_doubt)
		failed(t, "the list of incidents is none", false, (double)NAN);
	else
		start_at(t, loop_now()); /* to what it was about */
}

static void page_told(struct target *t, const struct http_reply *r)
{
	const struct notify_entry *e = t->first;
	const char *status;
	enum notify_page_act act = notify_page(&t->incident, e, &status);

	if (act == NOTIFY_PAGE_CREATE) {
		json_t *j = json_loadb(r->body, r->size, 0, NULL);
		const char *id = json_string_value(json_object_get(j, "id"));

		if (id && notify_id_sound(id))
			remember(t, id, e->event != NOTICE_ALARM);
		else
			t->in_doubt = true; /* there is one now, and its name is not known */
		json_decref(j);
	} else if (act == NOTIFY_PAGE_UPDATE && !strcmp(status, "resolved")) {
		remember(t, "", false);
	}
	told(t);
}

static bool may_pass(long status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

static void on_answer(void *arg, const struct http_reply *r)
{
	struct target *t = arg;
	bool looking = t->looking, page = t->conf.kind == CONF_STATUSPAGE;
	char why[240];

	t->call = NULL;
	t->looking = false;
	if (!r->err && r->status >= 200 && r->status <= 299) {
		if (looking)
			looked(t, r);
		else if (page)
			page_told(t, r);
		else
			told(t);
		return;
	}
	if (page && !looking && !t->incident.id[0])
		t->in_doubt = r->err ? r->sent : r->status >= 500;
	if (page && !looking && !r->err && r->status == 404 && t->incident.id[0]) {
		remember(t, "", false); /* somebody took it away */
		start_at(t, loop_now());
		return;
	}
	if (r->err)
		snprintf(why, sizeof(why), "%s", r->why);
	else
		snprintf(why, sizeof(why), "answered %ld%s", r->status,
			 r->status >= 300 && r->status < 400 ? ", and redirects are not followed"
							     : "");
	failed(t, why, !r->err && !may_pass(r->status), r->retry_after_s);
}

/* ---- requests ---- */

/* What one request is made of; wiped when it was given away. */
struct ask {
	const char *method;
	char url[MAX_SECRET + 256], secret[MAX_SECRET], authorization[MAX_SECRET + 32];
	char *body;
};

static void wipe(struct ask *a)
{
	if (a->body) {
		explicit_bzero(a->body, strlen(a->body));
		free(a->body);
	}
	explicit_bzero(a, sizeof(*a));
}

static const char *base_url(const struct target *t, const char *otherwise)
{
	return t->conf.url.text[0] ? t->conf.url.text : otherwise;
}

/* 0; 1: there is nothing to be done; −errno. */
static int ask_statuspage(struct target *t, struct ask *a)
{
	const char *base = base_url(t, STATUSPAGE), *status;
	enum notify_page_act act = notify_page(&t->incident, t->first, &status);
	int size = (int)strlen(base);

	if (act == NOTIFY_PAGE_NOTHING || !t->first->text[0])
		return 1;
	while (size && base[size - 1] == '/')
		size--;
	snprintf(a->authorization, sizeof(a->authorization), "Authorization: OAuth %s", a->secret);
	t->looking = act == NOTIFY_PAGE_CREATE && t->in_doubt;
	if (t->looking) {
		a->method = "GET";
		snprintf(a->url, sizeof(a->url), "%.*s/pages/%s/incidents/unresolved", size, base,
			 t->conf.page);
		return 0;
	}
	a->method = act == NOTIFY_PAGE_CREATE ? "POST" : "PATCH";
	snprintf(a->url, sizeof(a->url), "%.*s/pages/%s/incidents%s%s", size, base, t->conf.page,
		 act == NOTIFY_PAGE_CREATE ? "" : "/",
		 act == NOTIFY_PAGE_CREATE ? "" : t->incident.id);
	a->body = notify_body_statuspage(t->first, t->conf.component, act == NOTIFY_PAGE_CREATE,
					 status);
	return a->body ? 0 : -ENOMEM;
}

static int fill_in(struct target *t, struct ask *a)
{
	a->method = "POST";
	switch (t->conf.kind) {
	case CONF_SLACK:
		snprintf(a->url, sizeof(a->url), "%s", a->secret);
		a->body = notify_body_slack(t->first);
		break;
	case CONF_STATUSPAGE:
		return ask_statuspage(t, a);
	case CONF_PAGERDUTY:
		snprintf(a->url, sizeof(a->url), "%s", base_url(t, PAGERDUTY));
		a->body = notify_body_pagerduty(t->first, a->secret, t->n->host);
		break;
	default:
		snprintf(a->url, sizeof(a->url), "%s", t->conf.url.text);
		if (a->secret[0])
			snprintf(a->authorization, sizeof(a->authorization),
				 "Authorization: Bearer %s", a->secret);
		a->body = notify_body_webhook(t->first);
	}
	return a->body ? 0 : -ENOMEM;
}

static int send_it(struct target *t, const struct ask *a)
{
	const char *headers[] = {"Content-Type: application/json", "User-Agent: shiftctl",
				 a->authorization[0] ? a->authorization : NULL, NULL};
	struct http_request q = {.method = a->method,
				 .url = a->url,
				 .headers = headers,
				 .body = a->body,
				 .body_size = a->body ? strlen(a->body) : 0,
				 .timeout_ns = t->n->o.timeout_ns,
				 .max_size = t->looking ? MAX_LIST : MAX_ANSWER,
				 .ca_file = t->n->ca_file[0] ? t->n->ca_file : NULL,
				 .once = true,
				 .public_only = true};

	return http_begin(t->n->http, &q, on_answer, t, &t->call);
}

static void begin(struct target *t)
{
	char why[240] = "";
	struct ask a = {0};
	int err = 0;

	if (t->conf.secret_file[0])
		err = read_secret(t->conf.secret_file, a.secret, why, sizeof(why));
	if (!err && t->conf.kind == CONF_SLACK && strncmp(a.secret, "https://", 8)) {
		err = -EINVAL;
		snprintf(why, sizeof(why), "%s does not hold a URL with https://",
			 t->conf.secret_file);
	}
	if (!err)
		err = fill_in(t, &a);
	if (!err)
		err = send_it(t, &a);
	wipe(&a);
	if (err > 0) {
		drop_first(t);
		start_at(t, loop_now());
	} else if (err < 0) {
		t->looking = false;
		failed(t, why[0] ? why : strerror(-err), false, (double)NAN);
	}
}

static void on_time(void *arg, uint64_t now)
{
	struct target *t = arg;

	while (t->first && now > t->first->queued_ns + t->n->o.give_up_ns)
		lose_first(t);
	if (t->first && !t->call)
		begin(t);
}

/* ---- the configuration ---- */

static void free_target(struct target *t)
{
	if (!t)
		return;
	http_cancel(t->call);
	t->call = NULL;
	loop_timer_stop(t->n->loop, &t->timer);
	while (t->first)
		drop_first(t);
	free(t->template);
	free(t);
}

static int read_template(struct target *t, char *why, size_t size)
{
	int fd, err = 0;
	char text[200];
	ssize_t n;

	if (!t->conf.template[0])
		return 0;
	fd = file_open_safe(t->conf.template, why, size);
	if (fd < 0)
		return fd;
	t->template = calloc(1, NOTIFY_TEMPLATE + 1);
	n = t->template ? read(fd, t->template, NOTIFY_TEMPLATE + 1) : 0;
	if (!t->template || n < 0)
		err = t->template ? -errno : -ENOMEM;
	close(fd);
	if (err)
		return err;
	if (n > NOTIFY_TEMPLATE || memchr(t->template, 0, (size_t)n)) {
		snprintf(why, size, "%s must be a text of at most %d bytes", t->conf.template,
			 NOTIFY_TEMPLATE);
		return -EINVAL;
	}
	t->template[n] = '\0';
	while (n && t->template[n - 1] == '\n')
		t->template[--n] = '\0';
	err = notify_template_check(t->template, text, sizeof(text));
	if (err)
		snprintf(why, size, "%s: %s", t->conf.template, text);
	return err;
}

static int check_target(const struct target *t, char *why, size_t size)
{
	const struct conf_notify *c = &t->conf;
	char secret[MAX_SECRET];
	int err = 0;

	if (c->secret_file[0]) {
		err = read_secret(c->secret_file, secret, why, size);
		if (!err && c->kind == CONF_SLACK && strncmp(secret, "https://", 8)) {
			snprintf(why, size, "%s does not hold a URL with https://", c->secret_file);
			err = -EINVAL;
		}
		explicit_bzero(secret, sizeof(secret));
	}
	if (!err && c->secret_file[0] && c->url.text[0] && strncmp(c->url.text, "https://", 8)) {
		snprintf(why, size, "%s: what is in %s goes over https:// alone", c->url.text,
			 c->secret_file);
		err = -EINVAL;
	}
	if (!err && c->kind == CONF_STATUSPAGE &&
	    (!notify_id_sound(c->page) || (c->component[0] && !notify_id_sound(c->component)))) {
		snprintf(why, size, "a page and a component are letters and digits");
		err = -EINVAL;
	}
	return err;
}

static int make_target(struct notifier *n, const struct conf_notify *c, struct target **ret,
		       char *why, size_t size)
{
	struct target *t = calloc(1, sizeof(*t));
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
static struct target *old_one(struct notifier *n, const struct target *fresh)
{
	for (struct target *t = n->targets; t; t = t->next)
		if (!t->kept && t->conf.kind == fresh->conf.kind &&
		    !strcmp(t->conf.name, fresh->conf.name))
			return t;
	return NULL;
}

static struct target *join(struct notifier *n, struct target *fresh)
{
	struct target *t = old_one(n, fresh);

	if (!t) {
		if (fresh->conf.kind == CONF_STATUSPAGE)
			find_incident(fresh);
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
	struct target *fresh[CONF_MAX_NOTIFIES] = {NULL}, *list = NULL;
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
		struct target *t = n->targets;

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
	const struct target *t = n->targets;

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
	snprintf(n->ca_file, sizeof(n->ca_file), "%s", options->ca_file ? options->ca_file : "");
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
		struct target *t = n->targets;

		n->targets = t->next;
		free_target(t);
	}
	http_free(n->http);
	free(n);
}
