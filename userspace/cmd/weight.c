/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * weight.c - `weight`, `confirm`, `commit`, `lock`: control, changed by an operator
 *
 * Each is a pure edit of a control record (share_edit and its like) under a compare-and-swap. The
 * edit sees the record that is in force at that moment, so a rollback that came in between is seen,
 * and obeyed.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/control.h"
#include "userspace/plane/state.h"

#define STALE                                                                                      \
	"authority is new: if nobody confirms, users go back to the old side, without later "      \
	"writes\n"

enum refusal {
	R_LATCHED = -1000,
	R_LOCKED,
	R_OVERTAKEN,
	R_NOTHING,
	R_EXPIRED,
	R_NOT_FULL,
	R_PENDING,
	R_AUTHORITY,
};

struct change {
	uint64_t now; /* boot ns */
	char who[SHIFT_NAME];
	const char *reason;
	uint16_t weight;
	uint16_t overall; /* it is set for this share of all clients, which shiftd keeps; 0: none */
	uint64_t confirm; /* ns, 0: none */
	bool after_rollback;
	bool force;
	bool undo;
	bool dry;
	/* Seen on the way. */
	bool looked;
	bool was_latched;
	uint64_t was_latched_at; /* at the first look: a later one is another rollback */
	uint16_t from;		 /* the share in force before */
	uint16_t fallback;	 /* what it goes back to unless confirmed */
	struct shift_record seen;
};

static void sign(struct shift_record *r, const struct change *c)
{
	r->epoch++;
	r->set_at = control_real_ns();
	r->set_uid = getuid();
	snprintf(r->set_by, sizeof(r->set_by), "%s", c->who);
	screen_clean(c->reason ? c->reason : "", r->reason, sizeof(r->reason));
}

/* What every change looks at first. */
static int look(const struct shift_record *r, struct change *c)
{
	c->now = control_boot_ns();
	c->from = shift_record_weight(r, c->now);
	c->seen = *r;
	if (!c->looked) {
		c->was_latched = r->latched;
		c->was_latched_at = r->latched_at;
	}
	c->looked = true;
	if (r->locked_at && strncmp(r->locked_by, c->who, sizeof(r->locked_by)) && !c->force)
		return R_LOCKED;
	return 0;
}

/* A rollback that came between our first look and now is obeyed, whatever we were told before. */
static bool overtaken(const struct shift_record *r, const struct change *c)
{
	return r->latched && (!c->was_latched || r->latched_at != c->was_latched_at);
}

/* The share in force becomes the one that is set; no deadline is left. */
static void settle_share(struct shift_record *r, uint64_t now)
{
	r->overall = control_kept(r, now);
	r->weight = shift_record_weight(r, now);
	r->threshold = shift_weight_threshold(r->weight);
	r->not_before = 0;
	r->confirm_deadline = 0;
	r->lease_deadline = 0;
}

static int weight_edit(struct shift_record *r, void *arg)
{
	struct change *c = arg;
	int err = look(r, c);

	if (err)
		return err;
	if (overtaken(r, c) && (c->after_rollback || c->weight > c->from))
		return R_OVERTAKEN;
	if (r->latched && c->weight > c->from && !c->after_rollback)
		return R_LATCHED;
	/* Two changes in a row, both unconfirmed, go back to what was there before the first. */
	c->fallback =
		r->confirm_deadline && c->now < r->confirm_deadline ? r->confirm_weight : c->from;
	if (c->dry)
		return 1;
	settle_share(r, c->now);
	r->weight = c->weight;
	r->threshold = shift_weight_threshold(c->weight);
	r->overall = c->overall;
	if (c->overall)
		snprintf(r->overall_by, sizeof(r->overall_by), "%s", c->who);
	if (c->confirm) {
		r->confirm_deadline = c->now + c->confirm;
		r->confirm_weight = c->fallback;
		r->confirm_threshold = shift_weight_threshold(c->fallback);
	}
	if (c->after_rollback) {
		r->latched = 0;
		r->latched_at = 0;
		memset(r->latched_by, 0, sizeof(r->latched_by));
	}
	sign(r, c);
	return 0;
}

static int confirm_edit(struct shift_record *r, void *arg)
{
	struct change *c = arg;
	int err = look(r, c);

	if (err)
		return err;
	if (!r->confirm_deadline)
		return overtaken(r, c) ? R_OVERTAKEN : R_NOTHING;
	if (c->now >= r->confirm_deadline)
		return R_EXPIRED;
	r->confirm_deadline = 0;
	sign(r, c);
	return 0;
}

static int commit_edit(struct shift_record *r, void *arg)
{
	struct change *c = arg;
	int err = look(r, c);

	if (err)
		return err;
	if (c->undo) {
		if (r->authority != SHIFT_AUTHORITY_NEW)
			return R_AUTHORITY;
		r->authority = r->authority_before;
		sign(r, c);
		return 0;
	}
	if (r->authority == SHIFT_AUTHORITY_NEW)
		return 1;
	if (r->latched)
		return overtaken(r, c) ? R_OVERTAKEN : R_LATCHED;
	if (r->confirm_deadline && c->now < r->confirm_deadline)
		return R_PENDING;
	if (c->from != SHIFT_WEIGHT_MAX)
		return R_NOT_FULL;
	settle_share(r, c->now);
	r->authority_before = r->authority;
	r->authority = SHIFT_AUTHORITY_NEW;
	sign(r, c);
	return 0;
}

static int lock_edit(struct shift_record *r, void *arg)
{
	struct change *c = arg;
	int err = look(r, c);

	if (err)
		return err;
	if (strncmp(r->overall_by, c->who, sizeof(r->overall_by)) != 0)
		r->overall = 0; /* nobody's wish but the holder's is carried out */
	r->locked_at = control_real_ns();
	snprintf(r->locked_by, sizeof(r->locked_by), "%s", c->who);
	screen_clean(c->reason ? c->reason : "", r->lock_reason, sizeof(r->lock_reason));
	r->epoch++;
	return 0;
}

static int unlock_edit(struct shift_record *r, void *arg)
{
	struct change *c = arg;
	int err = look(r, c);

	if (err)
		return err;
	if (!r->locked_at)
		return 1;
	r->locked_at = 0;
	memset(r->locked_by, 0, sizeof(r->locked_by));
	memset(r->lock_reason, 0, sizeof(r->lock_reason));
	r->epoch++;
	return 0;
}

static int refuse(int why, const struct change *c, const char *verb)
{
	char a[32], b[16];
	const struct shift_record *r = &c->seen;

	switch (why) {
	case R_LATCHED:
		say("refused: rolled back by %s at %s, and nothing is raised until an operator says: "
		    "shiftctl weight N --after-rollback",
		    r->latched_by, text_time(r->latched_at, a));
		return EXIT_REFUSED;
	case R_OVERTAKEN:
		say("overtaken by a rollback of %s at %s: nothing was raised", r->latched_by,
		    text_time(r->latched_at, a));
		return EXIT_OVERTAKEN;
	case R_LOCKED:
		say("locked by %s since %s%s%s; a foreign lock is overridden by --force",
		    r->locked_by, text_time(r->locked_at, a), r->lock_reason[0] ? ": " : "",
		    r->lock_reason);
		return EXIT_LOCKED;
	case R_NOTHING:
		say("nothing waits for a confirmation");
		return EXIT_FAILED;
	case R_EXPIRED:
		say("refused: the time to confirm is over since %s; the share is back at %s%%",
		    text_duration(c->now - r->confirm_deadline, a), text_weight(c->from, b));
		return EXIT_REFUSED;
	case R_NOT_FULL:
		say("refused: commit needs the share at 100%%, it is %s%%: shiftctl weight 100",
		    text_weight(c->from, b));
		return EXIT_REFUSED;
	case R_PENDING:
		say("refused: a change still waits for its confirmation: shiftctl confirm");
		return EXIT_REFUSED;
	case R_AUTHORITY:
		say("authority is %s, there is no commit to undo", authority_name(r->authority));
		return EXIT_FAILED;
	default:
		say("%s: %s", verb, strerror(-why));
		return EXIT_FAILED;
	}
}

static void begin(struct change *c)
{
	who_operator(c->who, sizeof(c->who));
}

static int print_weight(const struct options *o, const struct shift_service *s,
			const struct shift_record *r)
{
	uint64_t now = control_boot_ns();
	char a[16];
	uint16_t weight = shift_record_weight(r, now);

	uint16_t kept = control_kept(r, now);

	if (o->json) {
		print_json(json_pack("{s:i, s:s, s:f, s:I, s:b, s:o}", "schema", 1, "service",
				     s->name, "weight", weight / 100.0, "epoch",
				     (json_int_t)r->epoch, "latched", (int)r->latched, "overall",
				     kept ? json_real(kept / 100.0) : json_null()));
		return EXIT_OK;
	}
	printf("%s\n", text_weight(weight, a));
	fflush(stdout);
	if (kept)
		say("for %s%% of all clients, which shiftd is to keep for %.*s while DNS moves",
		    text_weight(kept, a), SHIFT_NAME, r->overall_by);
	return EXIT_OK;
}

/* With the true data on the new side, a share that falls by itself is no safe way out. */
static bool back_to_stale(const struct shift_record *r, const struct change *c)
{
	return c->confirm && r->authority == SHIFT_AUTHORITY_NEW && c->fallback < c->weight;
}

static void print_change(const struct change *c, const struct shift_record *r)
{
	char a[16], b[16], d[32], e[16];

	printf("epoch %llu: %s%% -> %s%% of new connections\n", (unsigned long long)r->epoch,
	       text_weight(c->from, a), text_weight(c->weight, b));
	if (c->confirm)
		printf("goes back to %s%% in %s unless: shiftctl confirm\n",
		       text_weight(r->confirm_weight, e), text_duration(c->confirm, d));
	if (back_to_stale(r, c))
		printf(STALE);
	if (c->overall)
		printf("shiftd is to keep %s%% of all while DNS moves, until another weight, a "
		       "rollback, another's lock, or a ramp that goes on\n",
		       text_weight(c->overall, a));
	if (r->authority == SHIFT_AUTHORITY_NEW && c->weight < c->from)
		printf("authority is new: later writes are NOT on old\n");
	fflush(stdout);
}

static int dry_weight(const struct options *o, const struct change *c)
{
	char a[16], b[16], d[32];

	if (o->json) {
		print_json(json_pack("{s:i, s:b, s:f, s:f, s:I, s:f}", "schema", 1, "dry_run", 1,
				     "from", c->from / 100.0, "to", c->weight / 100.0, "epoch",
				     (json_int_t)c->seen.epoch + 1, "confirm_s",
				     (double)c->confirm / 1e9));
		return EXIT_OK;
	}
	printf("would: %s%% -> %s%% of new connections, as %s, epoch %llu\n",
	       text_weight(c->from, a), text_weight(c->weight, b), c->who,
	       (unsigned long long)c->seen.epoch + 1);
	if (c->confirm)
		printf("would: go back to %s%% by itself after %s unless confirmed\n",
		       text_weight(c->fallback, a), text_duration(c->confirm, d));
	if (back_to_stale(&c->seen, c))
		printf(STALE);
	printf("would not: move an established connection, change DNS\n");
	return EXIT_OK;
}

/* One service's control element and name for a verb that changes it; −(exit code) as
 * choose_service. */
static int pick(const struct options *o, struct plane *p, struct shift_service *s)
{
	int code = open_plane(p), id;

	if (code)
		return -code;
	if (!p->attachments) {
		say("no program is attached to any interface: shiftctl apply");
		return -EXIT_FAILED;
	}
	id = choose_service(p, o, s);
	return id;
}

static int change_weight(const struct options *o, struct change *c)
{
	struct shift_record before, after;
	struct shift_service s;
	struct plane p;
	int id = pick(o, &p, &s), err;

	if (id < 0) {
		plane_close(&p);
		return -id;
	}
	begin(c);
	err = control_change(&p.control[id], weight_edit, c, false, &before, &after);
	if (err < 0) {
		plane_close(&p);
		return refuse(err, c, "weight");
	}
	if (c->dry) {
		plane_close(&p);
		return dry_weight(o, c);
	}
	record_change(&after, &(struct state_event){.verb = "weight",
						    .service = s.name,
						    .reason = c->reason,
						    .from = c->from,
						    .to = c->weight});
	if (o->json)
		print_weight(o, &s, &after);
	else
		print_change(c, &after);
	plane_close(&p);
	return EXIT_OK;
}

int cmd_weight(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {
		"--confirm=",	    "--dry-run",       "--reason=", "--force",
		"--after-rollback", "--keep-overall=", NULL};
	struct change c = {0};
	const char *value, *number = NULL;
	int at = 1, what, weight, overall;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		switch (what) {
		case -1:
			if (number)
				return usage_error("weight: one number, not also '%s'", value);
			number = value;
			break;
		case 0:
			if (text_parse_duration(value, &c.confirm) || !c.confirm ||
			    c.confirm > 7 * 24 * 3600000000000ull)
				return usage_error("--confirm: '%s' is no duration up to 168h like "
						   "30s or 10m",
						   value);
			break;
		case 1:
			c.dry = true;
			break;
		case 2:
			c.reason = value;
			break;
		case 3:
			c.force = true;
			break;
		case 4:
			c.after_rollback = true;
			break;
		case 5: /* from `weight N --overall`, which has asked the resolvers */
			overall = text_parse_weight(value);
			if (overall < 0)
				return usage_error("--keep-overall: '%s' is no share", value);
			c.overall = (uint16_t)overall;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (!number) {
		struct shift_record r = {0};
		struct shift_service s;
		uint64_t head;
		struct plane p;
		int id;

		if (argc > 1)
			return usage_error("weight: the number is missing");
		id = pick(o, &p, &s);
		if (id >= 0)
			control_get(&p.control[id], &r, &head);
		plane_close(&p);
		return id < 0 ? -id : print_weight(o, &s, &r);
	}
	weight = text_parse_weight(number);
	if (weight < 0)
		return usage_error("weight: '%s' is not a share from 0 to 100 with at most two "
				   "decimals",
				   number);
	c.weight = (uint16_t)weight;
	return change_weight(o, &c);
}

/* confirm and commit: an edit, one line, a record. */
static int simple_change(const struct options *o, struct change *c, control_edit edit,
			 const char *verb, const char *done)
{
	struct shift_record before, after;
	struct shift_service s;
	struct plane p;
	uint16_t weight;
	int id = pick(o, &p, &s), err;

	if (id < 0) {
		plane_close(&p);
		return -id;
	}
	begin(c);
	err = control_change(&p.control[id], edit, c, false, &before, &after);
	if (err < 0) {
		plane_close(&p);
		return refuse(err, c, verb);
	}
	weight = shift_record_weight(&after, c->now);
	if (after.epoch != before.epoch)
		record_change(&after, &(struct state_event){.verb = verb,
							    .service = s.name,
							    .reason = c->reason,
							    .from = weight,
							    .to = weight});
	if (o->json)
		print_json(json_pack("{s:i, s:s, s:f, s:I, s:s}", "schema", 1, "service", s.name,
				     "weight", weight / 100.0, "epoch", (json_int_t)after.epoch,
				     "authority", authority_name(after.authority)));
	else
		printf("epoch %llu: %s\n", (unsigned long long)after.epoch, done);
	plane_close(&p);
	return EXIT_OK;
}

/* The options that these verbs share; −1, or an exit code. */
static int simple_options(int argc, char **argv, struct change *c)
{
	static const char *const flags[] = {"--reason=", "--force", "--undo", NULL};
	const char *value;
	int at = 1, what;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			return usage_error("%s takes no argument, not '%s'", argv[0], value);
		if (what == -3)
			return EXIT_USAGE;
		if (what == 0)
			c->reason = value;
		else if (what == 1)
			c->force = true;
		else
			c->undo = true;
	}
	if (c->undo && strcmp(argv[0], "commit"))
		return usage_error("%s has no --undo", argv[0]);
	return -1;
}

int cmd_confirm(const struct options *o, int argc, char **argv)
{
	struct change c = {0};
	int code = simple_options(argc, argv, &c);

	return code >= 0 ? code
			 : simple_change(o, &c, confirm_edit, "confirm",
					 "confirmed, the share stays");
}

int cmd_commit(const struct options *o, int argc, char **argv)
{
	struct change c = {0};
	int code = simple_options(argc, argv, &c);

	if (code >= 0)
		return code;
	return simple_change(o, &c, commit_edit, c.undo ? "commit --undo" : "commit",
			     c.undo ? "the commit is undone"
				    : "committed: authority is new; a rollback still acts at once, "
				      "but later writes are NOT on old");
}

int cmd_lock(const struct options *o, int argc, char **argv)
{
	struct change c = {0};
	int code = simple_options(argc, argv, &c);

	if (code >= 0)
		return code;
	code = simple_change(o, &c, lock_edit, "lock",
			     "locked: others' changes are refused, a rollback is not");
	fflush(stdout);
	if (!code && c.reason && strlen(c.reason) >= SHIFT_REASON)
		say("the reason is longer than %d bytes: others are told it up to there, the "
		    "history has more",
		    SHIFT_REASON - 1);
	return code;
}

int cmd_unlock(const struct options *o, int argc, char **argv)
{
	struct change c = {0};
	int code = simple_options(argc, argv, &c);

	return code >= 0 ? code : simple_change(o, &c, unlock_edit, "unlock", "unlocked");
}
