/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pin.c - `pin`, `unpin`: these clients' new connections always go there
 *
 * A pin to the new arm is a raise, if a small one: the latch and a foreign lock stand against it,
 * and the latch suspends those that are there already (the program itself looks). No pin moves a
 * connection that lives.
 */
#include "userspace/cmd/pin.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/control.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/state.h"

#define WAIT_MS 100 /* for the disk */
#define MAX_FOR (366 * 24 * 3600000000000ull)

struct pin {
	const struct options *o;
	struct pin_wish w;
	char who[SHIFT_NAME];
	char network[64];
	const char *reason;
	bool all;	 /* unpin --all */
	uint64_t for_ns; /* 0: for good */
	struct shift_record before, after;
	struct plane p;
	struct shift_service s;
	int id;
	struct client_entry *list; /* the table as it was */
	size_t n;
	enum pin_answer answer;
};

/* ---- what decides ---- */

enum pin_answer pin_judge(struct pin_wish *w, const struct shift_record *r)
{
	bool raise = !w->remove && w->entry.is.action == SHIFT_CLIENT_NEW;

	if (!w->looked) {
		w->looked = true;
		w->was_latched = r->latched;
		w->was_latched_at = r->latched_at;
	}
	if (r->locked_at && strncmp(r->locked_by, w->who, sizeof(r->locked_by)) && !w->force)
		return PIN_LOCKED;
	if (!raise || !r->latched)
		return PIN_YES;
	if (!w->was_latched || r->latched_at != w->was_latched_at)
		return PIN_OVERTAKEN;
	return w->after_rollback ? PIN_YES_UNLATCH : PIN_LATCHED;
}

const struct client_entry *pin_conflict(const struct client_entry *list, size_t n,
					const struct client_entry *e)
{
	const struct client_entry *there = clients_find(list, n, e);

	return there && !client_is_pin(there->is.action) ? there : NULL;
}

/* ---- control ---- */

#define REFUSED (-1000)

static int pin_edit(struct shift_record *r, void *arg)
{
	struct pin *k = arg;
	enum pin_answer answer = pin_judge(&k->w, r);

	k->after = *r;
	k->answer = answer;
	if (answer == PIN_YES)
		return 1;
	if (answer != PIN_YES_UNLATCH)
		return REFUSED;
	r->latched = 0;
	r->latched_at = 0;
	memset(r->latched_by, 0, sizeof(r->latched_by));
	r->epoch++;
	r->set_at = control_real_ns();
	r->set_uid = getuid();
	snprintf(r->set_by, sizeof(r->set_by), "%s", k->who);
	screen_clean(k->reason ? k->reason : "", r->reason, sizeof(r->reason));
	return 0;
}

static int refuse(const struct pin *k)
{
	const struct shift_record *r = &k->after;
	char at[32];

	switch (k->answer) {
	case PIN_LATCHED:
		say("refused: rolled back by %.*s at %s, and no client is pinned to the new arm "
		    "until an operator says: shiftctl pin %s new --after-rollback",
		    SHIFT_NAME, r->latched_by, text_time(r->latched_at, at), k->network);
		return EXIT_REFUSED;
	case PIN_OVERTAKEN:
		say("overtaken by a rollback of %.*s at %s: nothing was pinned", SHIFT_NAME,
		    r->latched_by, text_time(r->latched_at, at));
		return EXIT_OVERTAKEN;
	default:
		say("locked by %.*s since %s%s%.*s; a foreign lock is overridden by --force",
		    SHIFT_NAME, r->locked_by, text_time(r->locked_at, at),
		    r->lock_reason[0] ? ": " : "", SHIFT_REASON, r->lock_reason);
		return EXIT_LOCKED;
	}
}

/* EXIT_OK and k->after, the record in force; or an exit code after saying why not. */
static int ask_control(struct pin *k)
{
	int err = control_change(&k->p.control[k->id], pin_edit, k, false, &k->before, &k->after);

	if (err == REFUSED)
		return refuse(k);
	if (err < 0) {
		say("%s: %s", k->w.remove ? "unpin" : "pin", strerror(-err));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

/* ---- what is said ---- */

struct living {
	const struct client_entry *of; /* NULL: of any pin that is listed */
	const struct pin *k;
	uint32_t now;
	uint64_t n;
};

static bool concerns(const struct living *l, const uint32_t client[4])
{
	if (l->of)
		return ip_in(client, l->of->address, l->of->bits);
	for (size_t i = 0; i < l->k->n; i++) {
		const struct client_entry *e = &l->k->list[i];

		if (client_is_pin(e->is.action) && ip_in(client, e->address, e->bits))
			return true;
	}
	return false;
}

static int see_flow(const struct flow_seen *s, void *arg)
{
	struct living *l = arg;

	l->n += shift_flow_alive(s->f, l->now) && concerns(l, s->f->client);
	return 0;
}

/* Shifted connections that live and that the change does not move. */
static uint64_t count_living(const struct pin *k)
{
	struct living l = {.of = k->all ? NULL : &k->w.entry, .k = k};
	struct shift_globals g;

	if (plane_globals(&k->p, &g))
		return 0;
	l.now = plane_tick(&g);
	flows_each(&k->p, k->id, l.now, see_flow, &l);
	return l.n;
}

static void tell_living(uint64_t n, bool to_new)
{
	char a[32];

	if (n)
		printf("counts for new connections: %s shifted connection%s from there "
		       "stay%s where %s\n",
		       text_count(n, a), n == 1 ? "" : "s", n == 1 ? "s" : "",
		       n == 1 ? "it is" : "they are");
	else if (to_new)
		printf("counts for new connections: those that live stay where they are\n");
}

/* The configuration would have kept these clients from being shifted. */
static void tell_around(const struct pin *k)
{
	const struct client_entry *around = clients_around(k->list, k->n, &k->w.entry);
	char network[64];

	if (!around || k->w.entry.is.action != SHIFT_CLIENT_NEW)
		return;
	if (around->is.action == SHIFT_CLIENT_DENY && !around->bits)
		say("%s is in no network of clients.allow: the pin, being more exact, wins",
		    k->network);
	else if (around->is.action == SHIFT_CLIENT_DENY || around->is.action == SHIFT_CLIENT_BYPASS)
		say("%s is inside %s, which the configuration has under %s: the pin, being more "
		    "exact, wins",
		    k->network, text_network(around->address, around->bits, network),
		    around->is.action == SHIFT_CLIENT_DENY ? "clients.deny" : "bypass");
}

static void tell_unlatched(const struct pin *k)
{
	unsigned int others = 0;
	char by[SHIFT_NAME + 1], a[16];

	snprintf(by, sizeof(by), "%.*s", SHIFT_NAME, k->before.latched_by);
	for (size_t i = 0; i < k->n; i++)
		others += k->list[i].is.action == SHIFT_CLIENT_NEW &&
			  !client_is_over(&k->list[i].is, control_boot_ns());
	printf("the latch of %s is gone, the share stays %s%%", by,
	       text_weight(shift_record_weight(&k->after, control_boot_ns()), a));
	if (others)
		printf("; %u pin%s to the new arm count%s again", others, others == 1 ? "" : "s",
		       others == 1 ? "s" : "");
	putchar('\n');
}

static void record(struct pin *k, const char *detail)
{
	uint16_t weight = shift_record_weight(&k->after, control_boot_ns());

	record_change(&k->after, &(struct state_event){.verb = k->w.remove ? "unpin" : "pin",
						       .service = k->s.name,
						       .reason = k->reason,
						       .detail = detail,
						       .from = weight,
						       .to = weight});
}

static void save(struct pin *k, const struct client_pin *fresh)
{
	int err = clients_save(&k->p, k->id, k->s.name, fresh, WAIT_MS);

	if (err == -ETIMEDOUT)
		say("in force; to be kept for after a detach or reboot it still waits for the "
		    "disk, in the background");
	else if (err)
		say("in force, but not kept for after a detach or reboot: %s", strerror(-err));
}

/* ---- pin ---- */

static int set_pin(struct pin *k)
{
	struct client_pin fresh = {0};
	struct client_entry *e = &k->w.entry;
	int err;

	e->is.set_uid = getuid();
	e->is.set_at = control_real_ns();
	e->is.until = k->for_ns ? control_boot_ns() + k->for_ns : 0;
	err = clients_put(&k->p, k->id, e);
	if (!err)
		err = clients_announce(&k->p, k->id);
	if (err == -ENOSPC)
		say("%s: the table is full: %d networks at most", k->network, SHIFT_MAX_CLIENTS);
	else if (err)
		say("%s: %s", k->network, strerror(-err));
	if (err)
		return EXIT_FAILED;
	fresh.entry = *e;
	snprintf(fresh.by, sizeof(fresh.by), "%s", k->who);
	screen_clean(k->reason ? k->reason : "", fresh.reason, sizeof(fresh.reason));
	save(k, &fresh);
	return EXIT_OK;
}

static void print_pin(const struct pin *k, const char *was)
{
	const struct client_entry *e = &k->w.entry;
	uint64_t living = count_living(k);
	char d[32], t[32];

	if (k->o->json) {
		print_json(json_pack("{s:i, s:s, s:s, s:s, s:s?, s:o, s:b, s:I}", "schema", 1,
				     "service", k->s.name, "cidr", k->network, "arm",
				     client_action_name(e->is.action), "was", was, "left_s",
				     k->for_ns ? json_real((double)k->for_ns / 1e9) : json_null(),
				     "unlatched", k->answer == PIN_YES_UNLATCH, "living",
				     (json_int_t)living));
		return;
	}
	printf("%s: new connections go to the %s arm", k->network,
	       client_action_name(e->is.action));
	if (k->for_ns)
		printf(", for %s, until %s", text_duration(k->for_ns, d),
		       text_time(e->is.set_at + k->for_ns, t));
	printf(was ? " (was pinned to %s)\n" : "\n", was);
	if (k->answer == PIN_YES_UNLATCH)
		tell_unlatched(k);
	tell_living(living, e->is.action == SHIFT_CLIENT_NEW);
	fflush(stdout);
	tell_around(k);
}

static int pin(struct pin *k)
{
	const struct client_entry *there = pin_conflict(k->list, k->n, &k->w.entry), *was;
	char detail[160], d[32];
	int code;

	if (there) {
		say("refused: %s is in the configuration, under %s%s: change it there, then "
		    "shiftctl apply",
		    k->network, there->is.action == SHIFT_CLIENT_BYPASS ? "" : "clients.",
		    client_action_name(there->is.action));
		return EXIT_REFUSED;
	}
	was = clients_find(k->list, k->n, &k->w.entry);
	if (was && client_is_over(&was->is, control_boot_ns()))
		was = NULL;
	code = ask_control(k);
	if (!code)
		code = set_pin(k);
	if (code)
		return code;
	print_pin(k, was ? client_action_name(was->is.action) : NULL);
	snprintf(detail, sizeof(detail), "%s %s%s%s%s", k->network,
		 client_action_name(k->w.entry.is.action), k->for_ns ? " for " : "",
		 k->for_ns ? text_duration(k->for_ns, d) : "",
		 k->answer == PIN_YES_UNLATCH ? ", latch removed" : "");
	record(k, detail);
	return EXIT_OK;
}

/* ---- unpin ---- */

/* How many went; those that were over are not counted. */
static int remove_pins(struct pin *k, unsigned int *ret_n)
{
	for (size_t i = 0; i < k->n; i++) {
		const struct client_entry *e = &k->list[i];
		bool over = client_is_over(&e->is, control_boot_ns());
		int err;

		if (!client_is_pin(e->is.action) ||
		    (!over && !k->all && clients_find(&k->w.entry, 1, e) == NULL))
			continue;
		err = clients_delete(&k->p, k->id, e);
		if (err && err != -ENOENT)
			return err;
		*ret_n += !over;
	}
	return 0;
}

static int unpin(struct pin *k)
{
	const struct client_entry *there = NULL;
	char detail[96];
	uint64_t living;
	unsigned int n = 0;
	int code, err;

	if (!k->all)
		there = clients_find(k->list, k->n, &k->w.entry);
	if (there && !client_is_pin(there->is.action)) {
		say("refused: %s is no pin but in the configuration, under %s%s: change it there, "
		    "then shiftctl apply",
		    k->network, there->is.action == SHIFT_CLIENT_BYPASS ? "" : "clients.",
		    client_action_name(there->is.action));
		return EXIT_REFUSED;
	}
	if (!k->all && !there) {
		say("%s is not pinned: shiftctl pins", k->network);
		return EXIT_FAILED;
	}
	code = ask_control(k);
	if (code)
		return code;
	living = count_living(k);
	err = remove_pins(k, &n);
	if (err) {
		say("unpin: %s", strerror(-err));
		return EXIT_FAILED;
	}
	save(k, NULL);
	snprintf(detail, sizeof(detail), "%s", k->network);
	if (k->all)
		snprintf(detail, sizeof(detail), "all %u", n);
	if (k->o->json)
		print_json(json_pack("{s:i, s:s, s:i, s:I}", "schema", 1, "service", k->s.name,
				     "unpinned", (int)n, "living", (json_int_t)living));
	else if (k->all)
		printf("%u pin%s gone: the share decides about new connections\n", n,
		       n == 1 ? "" : "s");
	else
		printf("%s: no pin any more, new connections go by the share%s\n", k->network,
		       n ? "" : " (it was over already)");
	if (!k->o->json)
		tell_living(living, false);
	fflush(stdout);
	record(k, detail);
	return EXIT_OK;
}

/* ---- the verbs ---- */

static int run(struct pin *k)
{
	int lock, code = lock_host(&lock), err;

	if (code)
		return code;
	who_operator(k->who, sizeof(k->who));
	k->w.who = k->who;
	code = open_plane(&k->p);
	if (!code && !k->p.attachments) {
		say("no program is attached to any interface: shiftctl apply");
		code = EXIT_FAILED;
	}
	if (!code) {
		k->id = choose_service(&k->p, k->o, &k->s);
		code = k->id < 0 ? -k->id : EXIT_OK;
	}
	if (!code) {
		err = clients_list(&k->p, k->id, &k->list, &k->n);
		if (err)
			say("the client table cannot be read: %s", strerror(-err));
		code = err ? EXIT_FAILED : k->w.remove ? unpin(k) : pin(k);
	}
	free(k->list);
	plane_close(&k->p);
	unlock_host(lock);
	return code;
}

static int read_network(struct pin *k, const char *text)
{
	struct client_entry *e = &k->w.entry;
	int err = ip_parse_network(text, e->address, &e->bits);

	if (err == -EDOM)
		return usage_error("%s would hold the IPv4 clients, too: 2000::/3 is all of IPv6, "
				   "0.0.0.0/0 all of IPv4",
				   text);
	if (err == -EINVAL)
		return usage_error("'%s' is no network such as 198.51.100.0/24 or 2001:db8::/32",
				   text);
	text_network(e->address, e->bits, k->network);
	if (err)
		return usage_error("%s has bits set behind its prefix: the network is %s", text,
				   k->network);
	return EXIT_OK;
}

int cmd_pin(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--for=", "--reason=", "--force", "--after-rollback",
					    NULL};
	struct pin k = {.o = o};
	const char *value;
	int at = 1, what, words = 0;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -3)
			return EXIT_USAGE;
		if (what == -1 && !words++) {
			if (read_network(&k, value))
				return EXIT_USAGE;
		} else if (what == -1) {
			if (words == 2 && !strcmp(value, "old"))
				k.w.entry.is.action = SHIFT_CLIENT_OLD;
			else if (words == 2 && !strcmp(value, "new"))
				k.w.entry.is.action = SHIFT_CLIENT_NEW;
			else
				return usage_error("pin: CIDR, then old or new, not '%s'", value);
		}
		if (what == 0 &&
		    (text_parse_duration(value, &k.for_ns) || !k.for_ns || k.for_ns > MAX_FOR))
			return usage_error("--for: '%s' is no duration such as 30s or 2h, up to a "
					   "year",
					   value);
		if (what == 1)
			k.reason = value;
		k.w.force |= what == 2;
		k.w.after_rollback |= what == 3;
	}
	if (words != 2)
		return usage_error("pin: which network, and old or new? As in: pin "
				   "198.51.100.0/24 new");
	return run(&k);
}

int cmd_unpin(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--all", "--reason=", "--force", NULL};
	struct pin k = {.o = o, .w.remove = true};
	const char *value;
	int at = 1, what;
	bool named = false;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -3)
			return EXIT_USAGE;
		if (what == -1) {
			if (named)
				return usage_error("unpin: one network, not also '%s'", value);
			if (read_network(&k, value))
				return EXIT_USAGE;
			named = true;
		}
		k.all |= what == 0;
		if (what == 1)
			k.reason = value;
		k.w.force |= what == 2;
	}
	if (named == k.all)
		return usage_error("unpin: which network? A CIDR, or --all");
	return run(&k);
}
