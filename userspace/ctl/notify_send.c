/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * notify_send.c - one notice to one service: the secret, the request, the answer, what is tried
 * again
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <jansson.h>

#include "userspace/base/file.h"
#include "userspace/base/loop.h"
#include "userspace/base/whole.h"
#include "userspace/ctl/notify_inner.h"
#include "userspace/net/http.h"

#define MOST_AFTER 300.0 /* s, of Retry-After */
#define MAX_ANSWER 65536u
#define MAX_LIST   1048576u
#define MAX_KEPT   65536u
#define STATUSPAGE "https://api.statuspage.io/v1"
#define PAGERDUTY  "https://events.pagerduty.com/v2/enqueue"

/* ---- secrets ---- */

/* One line of printable characters. The caller wipes `ret` also after a failure. */
int notify_read_secret(const char *file, char ret[NOTIFY_SECRET], char *why, size_t size)
{
	int fd = file_open_secret(file, why, size), err = 0;
	ssize_t n;

	if (fd < 0) {
		if (!why[0])
			snprintf(why, size, "%s: %s", file, strerror(-fd));
		return fd;
	}
	n = read(fd, ret, NOTIFY_SECRET);
	if (n < 0)
		err = -errno;
	close(fd);
	while (n > 0 && (ret[n - 1] == '\n' || ret[n - 1] == '\r' || ret[n - 1] == ' '))
		n--;
	for (ssize_t i = 0; i < n && !err; i++)
		if (ret[i] <= ' ' || ret[i] > '~')
			err = -EINVAL;
	if (!err && (n <= 0 || n == NOTIFY_SECRET))
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
	for (const struct notify_target *t = n->targets; t; t = t->next)
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

void notify_find_incident(struct notify_target *t)
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

static void say(const struct notify_target *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct notify_target *t, const char *format, ...)
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

/* ---- how it went ---- */

static uint64_t spread(uint64_t ns)
{
	uint16_t chance = 0;

	(void)!getrandom(&chance, sizeof(chance), GRND_NONBLOCK);
	return ns - ns / 4 + ns / 2 * chance / UINT16_MAX;
}

static uint64_t again_in(const struct notify_target *t, double after_s)
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

static void failed(struct notify_target *t, const char *why, bool for_good, double after_s)
{
	uint64_t now = loop_now();

	t->failures++;
	if (!t->said) {
		say(t, "%s; %s", why, for_good ? "the notice is lost" : "it is tried again");
		t->said = true;
	}
	if (for_good && t->first)
		notify_lose_first(t);
	notify_start_at(t,
			now + (for_good ? spread(t->n->o.first_again_ns) : again_in(t, after_s)));
}

static void told(struct notify_target *t)
{
	t->told++;
	t->failures = 0;
	notify_drop_first(t);
	if (t->said || t->lost != t->lost_said)
		say(t, "told again; %" PRIu64 " notices were lost", t->lost - t->lost_said);
	t->said = false;
	t->lost_said = t->lost;
	notify_start_at(t, loop_now());
}

/* ---- answers ---- */

static void remember(struct notify_target *t, const char *id, bool ramp)
{
	snprintf(t->incident.id, sizeof(t->incident.id), "%s", id);
	t->incident.ramp = ramp;
	keep_incidents(t->n);
}

/* The incidents that are open: is ours among them? */
static void looked(struct notify_target *t, const struct http_reply *r)
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
		notify_start_at(t, loop_now()); /* to what it was about */
}

static void page_told(struct notify_target *t, const struct http_reply *r)
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
	struct notify_target *t = arg;
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
		notify_start_at(t, loop_now());
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
	char url[NOTIFY_SECRET + 256], secret[NOTIFY_SECRET], authorization[NOTIFY_SECRET + 32];
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

static const char *base_url(const struct notify_target *t, const char *otherwise)
{
	return t->conf.url.text[0] ? t->conf.url.text : otherwise;
}

/* 0; 1: there is nothing to be done; −errno. */
static int ask_statuspage(struct notify_target *t, struct ask *a)
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

static int fill_in(struct notify_target *t, struct ask *a)
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

static int send_it(struct notify_target *t, const struct ask *a)
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
				 .ca_file = t->conf.ca_file[0] ? t->conf.ca_file : NULL,
				 .once = true,
				 .public_only = true};

	return http_begin(t->n->http, &q, on_answer, t, &t->call);
}

void notify_begin(struct notify_target *t)
{
	char why[240] = "";
	struct ask a = {0};
	int err = 0;

	if (t->conf.secret_file[0])
		err = notify_read_secret(t->conf.secret_file, a.secret, why, sizeof(why));
	if (!err && t->conf.kind == CONF_SLACK && strncmp(a.secret, "https://", 8)) {
		err = -EINVAL;
		snprintf(why, sizeof(why), "%.180s does not hold a URL with https://",
			 t->conf.secret_file);
	}
	if (!err)
		err = fill_in(t, &a);
	if (!err)
		err = send_it(t, &a);
	wipe(&a);
	if (err > 0) {
		notify_drop_first(t);
		notify_start_at(t, loop_now());
	} else if (err < 0) {
		t->looking = false;
		failed(t, why[0] ? why : strerror(-err), false, (double)NAN);
	}
}
