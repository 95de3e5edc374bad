/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_order.c - is it time for the records?
 *
 * No daemon is asked. The record of control says what is in force and when it was set last; a
 * commit, or a weight that was the same before, sets it anew. What was before is in the history,
 * whose lines carry the epoch. They are followed back from the record's own for as long as no epoch
 * is missing between two of them and each says 100 %: an unbroken chain.
 *
 * Weakness: it believes the wall clock of those who wrote, and a history that root can edit. Where
 * the chain breaks (a line that no disk took, a host that was restarted) the time before counts as
 * not soaked, never as soaked. An interface that was without its program for a while is seen only
 * when `apply` mended it.
 */
#include "userspace/cmd/dns_order.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/conf/config.h"
#include "userspace/plane/control.h"
#include "userspace/plane/plane.h"
#include "userspace/plane/state.h"

/* ---- pure ---- */

uint64_t dns_order_since(const struct shift_record *r, const struct dns_order_event *e, size_t n)
{
	uint64_t since = r->set_at, epoch = r->epoch;

	if (r->weight != SHIFT_WEIGHT_MAX)
		return 0;
	while (n--) {
		bool published = !n || e[n - 1].epoch != e[n].epoch;

		/* What was written by a change that lost, or by one that is not in force any more.
		 */
		if (e[n].epoch > r->epoch)
			continue;
		if (e[n].epoch + 1 < epoch || e[n].to != SHIFT_WEIGHT_MAX)
			break;
		if (e[n].at < since || !since)
			since = e[n].at;
		/* For a while before that apply no program ran. */
		if (e[n].from != SHIFT_WEIGHT_MAX || (e[n].apply && published))
			break;
		epoch = e[n].epoch;
	}
	return since;
}

void dns_order_judge(struct dns_order *o, const char *service)
{
	uint64_t held = o->since && o->now > o->since ? o->now - o->since : 0;
	char weight[16], a[32], b[32], at[32];

	text_weight(o->weight, weight);
	text_duration(o->after, a);
	o->why[0] = '\0';
	o->committed = !o->missing && o->authority == SHIFT_AUTHORITY_NEW;
	o->soaked = !o->missing && o->full && o->since && held >= o->after;
	if (o->missing)
		snprintf(o->why, sizeof(o->why),
			 "since when %s is at 100%% is not known: %s on this host", service,
			 o->missing == -EPERM ? "this user may not look at the data plane"
					      : "no data plane of it is attached");
	else if (!o->full)
		snprintf(o->why, sizeof(o->why), "%s is at %s%%%s, and DNS comes after %s at 100%%",
			 service, weight,
			 o->weight == SHIFT_WEIGHT_MAX ? " with a deadline that takes it back" : "",
			 a);
	else if (!o->since)
		snprintf(
			o->why, sizeof(o->why),
			"since when %s is at 100%% is not known: the record of control has no time",
			service);
	else if (!o->soaked)
		snprintf(o->why, sizeof(o->why),
			 "%s is at 100%% for %s, as far as the record and the history tell (since "
			 "%s), and DNS comes after %s",
			 service, text_duration(held, b), text_time(o->since, at), a);
	else if (!o->committed)
		snprintf(o->why, sizeof(o->why),
			 "authority is %s, and commit comes before DNS: shiftctl commit",
			 authority_name(o->authority));
}

/* ---- the look ---- */

static uint16_t weight_of(const json_t *j, const char *key)
{
	double value = json_number_value(json_object_get(j, key));

	return value >= 0 && value <= 100 ? (uint16_t)lround(value * 100) : 0;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}

/* false: it is of another service, or cannot be read, which leaves a gap in the epochs. */
static bool read_event(const char *line, const char *service, struct dns_order_event *ret)
{
	json_t *j = json_loads(line, 0, NULL);
	struct tm tm = {0};
	const char *end = strptime(text_of(j, "time"), "%Y-%m-%dT%H:%M:%SZ", &tm);
	bool good = json_is_object(j) && end && !*end && !strcmp(text_of(j, "service"), service);

	if (good)
		*ret = (struct dns_order_event){
			.at = (uint64_t)timegm(&tm) * 1000000000,
			.epoch = (uint64_t)json_integer_value(json_object_get(j, "epoch")),
			.from = weight_of(j, "from"),
			.to = weight_of(j, "to"),
			.apply = !strcmp(text_of(j, "verb"), "apply")};
	json_decref(j);
	return good;
}

/* The lines of a service; how many. */
static size_t read_history(const char *service, struct dns_order_event **ret)
{
	size_t n = 0, room = 0, size = 0;
	char path[320], *line = NULL;
	FILE *f = NULL;

	*ret = NULL;
	if (!state_dir(path, sizeof(path) - 20)) {
		strcat(path, "/history.jsonl");
		f = fopen(path, "re");
	}
	while (f && getline(&line, &size, f) > 0) {
		if (n == room) {
			struct dns_order_event *more = realloc(*ret, (room + 256) * sizeof(**ret));

			if (!more)
				break; /* what is read are the oldest: a gap, and so no soak */
			*ret = more;
			room += 256;
		}
		n += read_event(line, service, &(*ret)[n]);
	}
	free(line);
	if (f)
		fclose(f);
	return n;
}

static int read_control(const char *service, struct shift_record *ret)
{
	struct plane p;
	uint64_t head;
	int err = plane_find(&p), id;

	if (err)
		return err;
	id = plane_service_by_name(&p, service);
	err = id < 0 ? id : control_get(&p.control[id], ret, &head);
	if (!err && !p.attachments)
		err = -ENOTCONN;
	plane_close(&p);
	return err;
}

void dns_order_look(const struct config *c, struct dns_order *ret)
{
	struct dns_order_event *events = NULL;
	struct shift_record r = {0};
	uint64_t boot = control_boot_ns();
	size_t n;

	memset(ret, 0, sizeof(*ret));
	ret->ruled = c->n_stages != 0;
	ret->after = c->rules.dns_after_ms * 1000000;
	ret->now = control_real_ns();
	ret->missing = read_control(c->service, &r);
	if (!ret->missing) {
		ret->weight = shift_record_weight(&r, boot);
		ret->authority = r.authority;
		ret->full = ret->weight == SHIFT_WEIGHT_MAX && !r.latched && !r.confirm_deadline &&
			    !r.not_before && shift_record_source(&r, boot) == SHIFT_FROM_WEIGHT;
		n = read_history(c->service, &events);
		ret->since = dns_order_since(&r, events, n);
		free(events);
	}
	dns_order_judge(ret, c->service);
}
