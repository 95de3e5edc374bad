/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/shiftd_page.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/api/page.h"
#include "userspace/base/loop.h"
#include "userspace/cmd/dns_report.h"
#include "userspace/cmd/status.h"
#include "userspace/cmd/tunnel_report.h"
#include "userspace/conf/config.h"
#include "userspace/ctl/dns.h"
#include "userspace/ctl/flowlog.h"
#include "userspace/ctl/service.h"
#include "userspace/ctl/tunnels.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/state.h"

#define HISTORY_ENTRIES 12
#define HISTORY_TAIL	8192
#define COUNT_TIMES	1000 /* a count may cost that part of the time */

/*
 * What lives is counted by looking at every port of every backend, millions on a large host. The
 * page, which is made each second while somebody looks, shows the number of the last count.
 */
static const struct flows_count *count(const struct plane *plane, uint32_t id, bool afresh)
{
	static struct flows_count c;
	static uint64_t good_until;
	static uint32_t of;
	uint64_t now = loop_now();
	struct shift_globals g;

	if (!afresh && of == id && now < good_until)
		return &c;
	good_until = 0;
	if (plane_globals(plane, &g) || flows_count(plane, (int)id, plane_tick(&g), &c))
		return NULL;
	good_until = now + COUNT_TIMES * (loop_now() - now);
	of = id;
	return &c;
}

static json_t *status_document(const struct page_parts *p, bool afresh)
{
	static struct status_view view; /* 100 KiB, and one thread */
	uint32_t id;
	const struct plane *plane = service_plane(p->service, &id);
	const struct flows_count *living = plane ? count(plane, id, afresh) : NULL;

	return living && !status_look_counted(plane, id, living, &view) ? status_json(&view) : NULL;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}

static json_t *one_entry(const json_t *e)
{
	struct tm tm = {0};
	char what[64];
	const char *end = strptime(text_of(e, "time"), "%Y-%m-%dT%H:%M:%SZ", &tm);

	snprintf(what, sizeof(what), "%s %g%%", text_of(e, "verb"),
		 json_number_value(json_object_get(e, "to")));
	return json_pack("{s:f, s:s, s:s, s:s}", "at", end ? (double)timegm(&tm) : 0.0, "who",
			 text_of(e, "who"), "what", what, "why", text_of(e, "reason"));
}

/* The last lines of the audit trail, the newest first. */
static json_t *history(const struct page_parts *p)
{
	char path[300], tail[HISTORY_TAIL + 1], *line, *rest = tail;
	json_t *list = json_array();
	FILE *f = NULL;
	size_t n = 0;

	if (!state_dir(path, sizeof(path) - 20)) {
		strcat(path, "/history.jsonl");
		f = fopen(path, "re");
	}
	if (f) {
		if (fseek(f, -HISTORY_TAIL, SEEK_END))
			rewind(f);
		n = fread(tail, 1, HISTORY_TAIL, f);
		fclose(f);
	}
	tail[n] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		json_t *e = json_loads(line, 0, NULL);

		if (json_is_object(e) && !strcmp(text_of(e, "service"), p->config->service))
			json_array_insert_new(list, 0, one_entry(e));
		json_decref(e);
	}
	while (json_array_size(list) > HISTORY_ENTRIES)
		json_array_remove(list, json_array_size(list) - 1);
	return list;
}

/* What `dns check --json` prints, of what the daemon saw last; before a flip the old records are
 * what is expected. NULL: it is not watched. */
static json_t *dns_document(const struct page_parts *p)
{
	static struct dns_command about; /* of it, only what is wanted */
	static struct ctl_dns_view v;
	struct dns_report r = {.d = &about};
	json_t *j;

	service_page_dns(p->service, &v);
	if (!v.watched)
		return NULL;
	if (!v.survey)
		return json_pack("{s:i, s:s, s:s, s:n, s:n, s:s*, s:[]}", "schema", 1, "name",
				 p->config->dns.name, "state", "unknown", "share_new", "eta_s",
				 "error", v.why[0] ? v.why : NULL, "sources");
	about.wanted = *v.wanted;
	r.s = v.survey;
	r.j = v.judged;
	r.expect_new = !v.still;
	r.now = v.judged_at;
	r.code = dns_survey_exit(v.survey, v.judged, r.expect_new);
	j = dns_report_json(&r);
	json_object_set_new(j, "age_s", json_real((double)(loop_now() - v.judged_at) / 1e9));
	return j;
}

/* The tunnels' part of what `tunnel check --json` prints. NULL: there are none. */
static json_t *tunnels_document(const struct page_parts *p)
{
	const struct watch *w = ctl_tunnels_watch(p->tunnels);
	json_t *list;

	if (!w || !w->n)
		return NULL;
	list = json_array();
	for (unsigned int i = 0; i < w->n; i++)
		json_array_append_new(list, tunnel_json(w, i));
	return json_pack("{s:i, s:o}", "schema", 1, "tunnels", list);
}

static json_t *or_null(json_t *j)
{
	return j ? j : json_null();
}

static json_t *flow_log(const struct page_parts *p)
{
	struct flowlog_counts is;

	flowlog_counts(p->flowlog, &is);
	if (!is.on)
		return json_null();
	return json_pack("{s:I, s:I, s:b, s:s*}", "written", (json_int_t)is.written, "lost",
			 (json_int_t)is.lost, "failing", is.failing[0] != '\0', "why",
			 is.failing[0] ? is.failing : NULL);
}

/* All but the history, which is on a disk: that may hang, and who asks for the metrics every few
 * seconds would hold the loop with it. */
static json_t *metrics(const struct page_parts *p)
{
	struct timespec t;
	char host[65] = "";

	clock_gettime(CLOCK_REALTIME, &t);
	gethostname(host, sizeof(host) - 1);
	return json_pack("{s:i, s:f, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema", 1, "at",
			 (double)t.tv_sec + (double)t.tv_nsec / 1e9, "host", host, "status",
			 or_null(status_document(p, false)), "share",
			 service_page_share(p->service), "ramp",
			 or_null(service_page_ramp(p->service)), "dns", or_null(dns_document(p)),
			 "tunnels", or_null(tunnels_document(p)), "alarms",
			 service_page_alarms(p->service), "flow_log", flow_log(p));
}

static json_t *page(const struct page_parts *p)
{
	json_t *j = metrics(p);

	json_object_set_new(j, "history", history(p));
	return j;
}

static json_t *document(void *arg, const char *name)
{
	const struct page_parts *p = arg;

	if (!strcmp(name, "page"))
		return page(p);
	if (!strcmp(name, "metrics"))
		return metrics(p);
	if (!strcmp(name, "status"))
		return status_document(p, true);
	if (!strcmp(name, "dns"))
		return dns_document(p);
	if (!strcmp(name, "tunnels"))
		return tunnels_document(p);
	return strcmp(name, "ramp") != 0 ? NULL : service_page_ramp(p->service);
}

static json_t *point(void *arg)
{
	const struct page_parts *p = arg;

	return service_page_point(p->service);
}

static bool same_place(const struct conf_server *a, const struct conf_server *b)
{
	return a->port == b->port && !memcmp(a->address.ip, b->address.ip, sizeof(a->address.ip));
}

int page_use(struct loop *l, struct page_parts *parts, const struct api_verbs *verbs,
	     struct api_http **http, char *why, size_t size)
{
	const struct conf_metrics *m = &parts->config->metrics;
	struct api_http_config c = {.port = m->listen.port, .verbs = *verbs, .n_hosts = m->n_hosts};
	const char *hosts[CONF_MAX_HOSTS];
	char token[API_TOKEN] = "";
	struct api_http *other = NULL;
	int err = 0;

	if (m->given) {
		c.source = (struct api_http_source){
			.arg = parts, .document = document, .point = point};
		memcpy(c.address, m->listen.address.ip, sizeof(c.address));
		for (unsigned int i = 0; i < m->n_hosts; i++)
			hosts[i] = m->hosts[i].name;
		c.hosts = hosts;
		if (m->token_file[0])
			err = api_token_read(m->token_file, token, why, size);
		c.token = token;
	}
	if (!err && m->given) {
		bool stays = *http && same_place(&parts->listens, &m->listen);

		err = stays ? api_http_use(*http, &c) : api_http_open(l, &c, &other);
		if (err)
			snprintf(why, size, "%s: %s", m->listen.text, strerror(-err));
		if (stays)
			other = *http;
	}
	explicit_bzero(token, sizeof(token));
	if (err)
		return err;
	if (*http != other)
		api_http_close(*http);
	*http = other;
	parts->listens = m->listen;
	return 0;
}
