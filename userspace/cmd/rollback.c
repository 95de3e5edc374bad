/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rollback.c - weight 0, now
 *
 * Never asks, never waits, cannot be refused: the store into kernel memory comes first, and what can
 * fail (words on disk, RSTs to idle flows) comes after and fails nothing. A configuration that is
 * broken or gone, or that names a service which is not here, makes it act on every service of this
 * network namespace. Where nothing is attached, what would come back at the next boot is rolled
 * back on disk.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/control.h"
#include "userspace/plane/reset.h"
#include "userspace/plane/state.h"

struct rollback {
	const char *reason;
	bool cut;
	uint32_t rate; /* resets per second, 0: at once */
	char who[SHIFT_NAME];
	/* Of the service at hand. */
	uint16_t from;
	uint8_t authority;
	bool was_latched;
};

static int rollback_edit(struct shift_record *r, void *arg)
{
	struct rollback *b = arg;

	b->from = shift_record_weight(r, control_boot_ns());
	b->authority = r->authority;
	b->was_latched = r->latched;
	r->epoch++;
	r->weight = r->next_weight = r->confirm_weight = r->lease_weight = 0;
	r->threshold = r->next_threshold = r->confirm_threshold = r->lease_threshold = 0;
	r->not_before = 0;
	r->confirm_deadline = 0;
	r->latched = 1;
	r->latched_at = r->set_at = control_real_ns();
	r->set_uid = getuid();
	snprintf(r->set_by, sizeof(r->set_by), "%s", b->who);
	snprintf(r->latched_by, sizeof(r->latched_by), "%s", b->who);
	snprintf(r->reason, sizeof(r->reason), "%s", b->reason ? b->reason : "");
	if (b->cut && !b->rate)
		r->cut_epoch = r->epoch;
	return 0;
}

/* A paced cut ends as a cut at once does: whatever is left is answered with RSTs from now on. */
static int finish_cut_edit(struct shift_record *r, void *arg)
{
	const uint64_t *epoch = arg;

	if (r->cut_epoch >= *epoch)
		return 1;
	r->cut_epoch = *epoch;
	r->epoch++;
	return 0;
}

static void print_followed(const struct rollback *b, const char *service,
			   const struct shift_record *r)
{
	char a[16];

	printf("%s: %s%% -> 0%% of new connections, epoch %llu\n", service,
	       text_weight(b->from, a), (unsigned long long)r->epoch);
	printf("  every raise is refused until: shiftctl weight N --after-rollback\n");
	if (!b->cut)
		printf("  shifted connections finish by themselves (shiftctl conns); to reset them: "
		       "shiftctl rollback --cut\n");
	if (b->authority == SHIFT_AUTHORITY_NEW)
		printf("  data: authority is new: later writes are NOT on old\n");
	printf("  not done: other hosts (run it there), DNS records (this command changes none)\n");
	fflush(stdout);
}

static void print_cut(const struct rollback *b, const struct reset_result *c)
{
	char a[32];

	printf("  reset: %s shifted connections, at both ends%s\n", text_count(c->reset, a),
	       b->rate ? "" : "; packets of any other are answered with a reset");
	if (c->failed)
		say("%llu of them could not be told (%s): their next packet is answered with a reset",
		    (unsigned long long)c->failed, strerror(-c->error));
	fflush(stdout);
}

static void cut_flows(struct rollback *b, struct plane *p, int id, uint64_t epoch,
		      struct reset_result *c)
{
	int err = reset_flows(p, id, epoch, b->rate, c);

	if (err)
		say("idle shifted connections could not be reset (%s); packets of one are answered "
		    "with a reset",
		    strerror(-err));
	if (b->rate)
		control_change(&p->control[id], finish_cut_edit, &epoch, NULL, NULL);
}

static json_t *rollback_json(const struct rollback *b, const char *service,
			     const struct shift_record *r, const struct reset_result *c)
{
	return json_pack("{s:s, s:f, s:f, s:I, s:b, s:s, s:o}", "service", service, "from",
			 b->from / 100.0, "weight", 0.0, "epoch", (json_int_t)r->epoch, "latched", 1,
			 "authority", authority_name(b->authority), "reset",
			 b->cut ? json_integer((json_int_t)c->reset) : json_null());
}

static int rollback_service(const struct options *o, struct rollback *b, struct plane *p, int id,
			    json_t *list)
{
	struct shift_record before, after;
	struct reset_result c = {0};
	struct shift_service s;
	int err = control_change(&p->control[id], rollback_edit, b, &before, &after);

	if (plane_service(p, (uint32_t)id, &s))
		snprintf(s.name, sizeof(s.name), "service %d", id);
	if (err) {
		say("%s: cannot roll back: %s", s.name, strerror(-err));
		return EXIT_FAILED;
	}
	if (!o->json)
		print_followed(b, s.name, &after);
	if (b->cut)
		cut_flows(b, p, id, after.epoch, &c);
	if (o->json)
		json_array_append_new(list, rollback_json(b, s.name, &after, &c));
	else if (b->cut)
		print_cut(b, &c);
	fflush(stdout);
	record_change(&after, &(struct state_event){.verb = b->cut ? "rollback --cut" : "rollback",
						    .service = s.name,
						    .reason = b->reason,
						    .from = b->from,
						    .to = 0});
	return EXIT_OK;
}

/* The service it is about, or −1: every one. */
static int only_service(const struct options *o, const struct plane *p)
{
	char name[SHIFT_NAME * 2];
	int id;

	if (o->service) {
		id = plane_service_by_name(p, o->service);
		return id;
	}
	if (!configured_service(o, name, sizeof(name)))
		return -1;
	id = plane_service_by_name(p, name);
	if (id >= 0)
		return id;
	say("service %s of %s is not attached here: rolling back every service of this namespace",
	    name, o->config);
	return -1;
}

/* Nothing runs here: what is saved must not come back by itself. */
static int rollback_saved(const struct options *o, struct rollback *b, json_t *list)
{
	char names[SHIFT_MAX_SERVICES][SHIFT_NAME];
	int n = state_services(names, SHIFT_MAX_SERVICES), err;

	if (!o->json)
		printf("nothing is attached in this network namespace: the old host serves every "
		       "connection\n");
	for (int i = 0; i < n; i++) {
		struct shift_record r = {0};
		struct state s;
		char a[16];

		if ((o->service && strcmp(o->service, names[i])) || state_load(names[i], &s))
			continue;
		state_to_record(&s, &r);
		rollback_edit(&r, b);
		if (!o->json)
			printf("%s: the saved share was %s%%, is 0%% now and latched\n", names[i],
			       text_weight(s.weight, a));
		err = state_record(&r, &(struct state_event){.verb = "rollback",
							     .service = names[i],
							     .reason = b->reason,
							     .from = s.weight,
							     .to = 0});
		if (err)
			say("%s: the saved share is still there: %s", names[i], strerror(-err));
		json_array_append_new(list, json_pack("{s:s, s:f, s:b}", "service", names[i],
						      "weight", 0.0, "latched", 1));
	}
	return EXIT_OK;
}

static int rollback_plane(const struct options *o, struct rollback *b, struct plane *p, json_t *list)
{
	int only = only_service(o, p), code = EXIT_OK, done = 0;

	if (o->service && only < 0)
		return usage_error("no service %s is attached here; without -s every one is rolled "
				   "back",
				   o->service);
	for (int id = 0; id < SHIFT_MAX_SERVICES; id++) {
		struct shift_service s;

		if ((only >= 0 && id != only) || plane_service(p, (uint32_t)id, &s) ||
		    !(s.flags & SHIFT_SERVICE_USED))
			continue;
		done++;
		if (rollback_service(o, b, p, id, list))
			code = EXIT_FAILED;
	}
	return done ? code : rollback_saved(o, b, list);
}

int cmd_rollback(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--cut?", "--reason=", NULL};
	struct rollback b = {0};
	const char *value;
	struct plane p;
	int at = 1, what, err, code;
	json_t *list;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			return usage_error("rollback takes no argument, not '%s'", value);
		if (what == -3)
			return EXIT_USAGE;
		if (what == 1) {
			b.reason = value;
			continue;
		}
		b.cut = true;
		if (value && (sscanf(value, "%u", &b.rate) != 1 || !b.rate || b.rate > 1000000))
			return usage_error("--cut=%s: connections per second, 1 to 1000000", value);
	}
	who_operator(b.who, sizeof(b.who));
	list = o->json ? json_array() : NULL;
	err = plane_find(&p);
	if (err == -EPERM || err == -EACCES) {
		code = open_failed(err);
	} else if (err == -ENOENT) {
		code = rollback_saved(o, &b, list);
	} else if (err) {
		code = open_failed(err);
	} else {
		code = rollback_plane(o, &b, &p, list);
	}
	plane_close(&p);
	if (o->json)
		print_json(json_pack("{s:i, s:b, s:o}", "schema", 1, "attached", !err, "services",
				     list));
	return code;
}
