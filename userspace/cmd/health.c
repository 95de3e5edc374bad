/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * health.c - `shiftctl health`: both arms, asked once, for people and for monitoring
 *
 * Every address of every arm is asked at the same time by the same checks as shiftd's, once, and
 * judged by that alone: no counter of rise and fall stands between. Needs neither shiftd nor root;
 * as root it also knows what the data plane has of each backend, and whether authority is new.
 */
#include "userspace/cmd/health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/cmd/complain.h"
#include "userspace/cmd/verbs.h"
#include "userspace/net/http.h"
#include "userspace/net/resolve.h"
#include "userspace/plane/control.h"

#define UNKNOWN 3

/* ---- asking ---- */

static void on_answer(void *arg, const struct ctl_answer *a)
{
	struct health_place *p = arg;

	p->ask = NULL;
	p->answer = *a;
	if (!--p->look->waiting)
		loop_stop(p->look->loop, 0);
}

static void fail(struct health_arm *a, const char *name, int err)
{
	a->state = CTL_HEALTH_DOWN;
	snprintf(a->reason, sizeof(a->reason), "%.100s: %s", name,
		 err == -ENOENT ? "there is no such name, or it has no address" : strerror(-err));
}

/* The addresses of a name with a port, in the order of resolve_host. */
static int look_up(const char *name, uint16_t port, struct ctl_place *ret, unsigned int *ret_n)
{
	struct resolved r;
	int err = resolve_host(name, &r);

	*ret_n = 0;
	for (unsigned int i = 0; !err && i < r.n && i < CTL_PLACES; i++) {
		ret[i] = (struct ctl_place){.port = port};
		memcpy(ret[i].address, r.address[i], sizeof(ret[i].address));
		*ret_n = i + 1;
	}
	return err;
}

/* Where the arm is, before the check has its say. */
static int find_arm(const struct health_look *k, const struct health_arm *a,
		    struct ctl_place at[CTL_PLACES], unsigned int *ret_n, const char **ret_name)
{
	const struct conf_backend *b = a->b;

	*ret_name = ctl_ask_name(a->c, b ? b->host : "");
	if (*ret_name)
		return look_up(*ret_name, a->c->tcp.port, at, ret_n);
	if (!b) {
		*ret_n = ctl_ask_listeners(k->config->listens, k->config->n_listens, at);
		return 0;
	}
	if (!b->address.family) {
		*ret_name = b->host;
		return look_up(b->host, b->port, at, ret_n);
	}
	at[0] = (struct ctl_place){.port = b->port};
	memcpy(at[0].address, b->address.ip, sizeof(at[0].address));
	*ret_n = 1;
	return 0;
}

static void begin_arm(struct health_look *k, struct health_arm *a)
{
	struct ctl_place at[CTL_PLACES], places[CTL_PLACES];
	const char *name = NULL;
	unsigned int n = 0;
	int err;

	snprintf(a->reason, sizeof(a->reason), "no check is configured");
	if (!a->c->given)
		return;
	err = find_arm(k, a, at, &n, &name);
	if (err) {
		fail(a, name, err);
		return;
	}
	n = ctl_ask_places(a->c, !a->b, at, n, places);
	if (a->b)
		ctl_ask_source(places, n, k->config->nat, k->config->n_nat);
	snprintf(a->reason, sizeof(a->reason), "there is no address to ask");
	for (unsigned int i = 0; i < n; i++) {
		struct health_place *p = &a->place[a->n];

		*p = (struct health_place){.look = k, .arm = a, .at = places[i]};
		if (ctl_ask_begin(k->loop, k->http, a->c, &p->at, on_answer, p, &p->ask))
			continue;
		a->n++;
		k->waiting++;
	}
}

static void judge_arm(struct health_arm *a)
{
	enum ctl_health_state s[CTL_PLACES];
	bool said = false;

	for (unsigned int i = 0; i < a->n; i++) {
		const struct ctl_answer *r = &a->place[i].answer;

		s[i] = r->ok ? CTL_HEALTH_UP : CTL_HEALTH_DOWN;
		if (r->ok && (!a->took_ns || r->took_ns < a->took_ns))
			a->took_ns = r->took_ns;
		if (!said) {
			memcpy(a->reason, r->reason, sizeof(a->reason));
			said = r->ok; /* the first that is well, or the last that is not */
		}
	}
	if (a->n)
		a->state = ctl_health_any(s, a->n);
}

/* ---- the data plane, if it can be seen ---- */

static void look_at_plane(struct health_look *k)
{
	struct shift_record r;
	struct plane p;
	uint64_t head;
	int service;

	k->boot_ns = control_boot_ns();
	if (!plane_find(&p) && (service = plane_service_by_name(&p, k->config->service)) >= 0 &&
	    !checks_plane_read(&p, service, k->seen, &k->n_seen)) {
		k->attached = true;
		k->committed = !control_get(&p.control[service], &r, &head) &&
			       r.authority == SHIFT_AUTHORITY_NEW;
	}
	plane_close(&p);
	for (unsigned int i = 0; i < k->config->n_backends; i++)
		for (unsigned int s = 0; s < k->n_seen; s++)
			if (!strcmp(k->seen[s].name, k->backend[i].name))
				k->backend[i].seen = &k->seen[s];
}

static void decide(struct health_look *k)
{
	for (unsigned int i = 0; i < k->config->n_backends; i++) {
		const struct health_arm *a = &k->backend[i];
		struct ctl_health_member *m = &k->member[i];

		*m = (struct ctl_health_member){.state = a->state,
						.checked = a->c->given,
						.weight = a->b->weight,
						.breaker = a->seen && a->seen->breaker,
						.draining = a->seen && a->seen->draining};
		for (unsigned int n = 0; n < a->n; n++)
			m->family[ip_family(a->place[n].at.address) == 6] = true;
		if (!a->n && a->b->address.family)
			m->family[a->b->address.family == 6] = true;
		else if (!a->n) /* a name: of whatever family it may be */
			m->family[0] = m->family[1] = true;
	}
	ctl_health_decide(k->member, k->config->n_backends, k->committed, &k->view);
}

/* ---- the verb ---- */

static int look(struct health_look *k)
{
	int err = loop_make(&k->loop);

	if (!err)
		err = http_make(k->loop, &k->http);
	if (err)
		return err;
	k->old = (struct health_arm){.name = "old", .c = &k->config->old_health};
	begin_arm(k, &k->old);
	for (unsigned int i = 0; i < k->config->n_backends; i++) {
		const struct conf_backend *b = &k->config->backends[i];

		k->backend[i] = (struct health_arm){.name = b->name, .c = &b->health, .b = b};
		begin_arm(k, &k->backend[i]);
	}
	if (k->waiting)
		err = loop_run(k->loop);
	judge_arm(&k->old);
	for (unsigned int i = 0; i < k->config->n_backends; i++)
		judge_arm(&k->backend[i]);
	look_at_plane(k);
	decide(k);
	return err;
}

static int run(const struct options *o, struct health_look *k, const char *textfile)
{
	struct conf_errors errors = {0};
	int code, err;

	if (conf_load(o->config, &k->config, &errors)) {
		complain_of_file(&errors);
		conf_errors_free(&errors);
		return health_report_unknown(o, "the configuration cannot be used");
	}
	conf_errors_free(&errors);
	if (about_service(o, k->config->service))
		return health_report_unknown(o, "the configuration is about another service");
	err = look(k);
	if (err)
		return health_report_unknown(o, strerror(-err));
	code = health_report(k, o);
	err = textfile ? health_textfile(k, textfile) : 0;
	if (err)
		say("%s: %s", textfile, strerror(-err));
	return err && !code ? UNKNOWN : code;
}

int cmd_health(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--textfile=", NULL};
	struct health_look *k = calloc(1, sizeof(*k));
	const char *value, *textfile = NULL;
	int at = 1, what, code;

	while (k && (what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			usage_error("health: '%s' is one too many", value);
		if (what < 0) {
			free(k);
			return UNKNOWN;
		}
		textfile = value;
	}
	if (!k)
		return health_report_unknown(o, "there is no memory");
	code = run(o, k, textfile);
	http_free(k->http);
	loop_free(k->loop);
	conf_free(k->config);
	free(k);
	return code;
}
