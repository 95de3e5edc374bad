/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_cutover.c - `shiftctl dns cutover`: the records from dns.old to dns.new
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/cmd/dns_change.h"
#include "userspace/cmd/dns_order.h"
#include "userspace/plane/plane.h"

/* What is to be done with each type. EXIT_OK, or why nothing may be, said. */
static int decide(struct change *c, unsigned int *ret_apply)
{
	struct dns_rrset *old = malloc(sizeof(*old));
	int code = old ? EXIT_OK : EXIT_FAILED;
	char there[1024], want[1024];

	*ret_apply = 0;
	for (int i = 0; old && i < 2; i++) {
		struct change_type *t = &c->type[i];

		if (!t->asked)
			continue;
		dns_change_wanted(&c->d.config->dns, c->d.name, t->type, old, &t->to);
		t->todo = dns_plan_flip(&t->there, old, &t->to);
		/* The last one ended half-way: on from what it left. */
		t->resumed = t->todo == DNS_TODO_OTHER && change_is_half(c, i) &&
			     dns_rrset_same_data(&c->snap.type[i].fresh, &t->to);
		if (t->resumed)
			t->todo = DNS_TODO_APPLY;
		*ret_apply += t->todo == DNS_TODO_APPLY;
		if (t->todo != DNS_TODO_OTHER)
			continue;
		if (t->there.n) /* the TTL of the old set is not dns.old's to say */
			old->ttl = t->there.ttl;
		say("refused: %s %s is %s, and dns.old is %s: nothing was changed; make dns.old what "
		    "is there, if that is right",
		    c->d.name, t->word, dns_rrset_text(&t->there, there, sizeof(there)),
		    dns_rrset_text(old, want, sizeof(want)));
		code = EXIT_REFUSED;
	}
	free(old);
	return code;
}

/* The operator's lock, which binds whoever is not its holder. */
static int check_operator_lock(const struct change *c)
{
	struct plane p;
	int id, code = EXIT_OK;

	if (plane_find(&p))
		return EXIT_OK; /* nothing is attached here: nothing to hold a lock in */
	id = plane_service_by_name(&p, c->d.config->service);
	if (id >= 0)
		code = locked_by_other(&p, id, "shiftctl unlock --force");
	plane_close(&p);
	return code;
}

static int check_way_back(const struct change *c)
{
	if (c->no_way_back)
		return EXIT_OK;
	say("refused: no return path is proved: who has the new answer cannot be called back before "
	    "it expires (%us and the provider's delay); --no-way-back overrides this",
	    (unsigned int)(c->d.config->dns.ttl_ms / 1000));
	return EXIT_REFUSED;
}

/* Ramp, commit, soak, and only then DNS: whoever has the new answer is out of this host's reach. */
static int check_order(const struct change *c)
{
	struct dns_order o;

	dns_order_look(c->d.config, &o);
	if (!o.ruled)
		return EXIT_OK;
	if (!o.soaked && !c->early) {
		say("refused: ramp.dns_after: %s; --early overrides this", o.why);
		return EXIT_REFUSED;
	}
	if (!o.committed && !c->before_commit) {
		say("refused: authority is %s, and commit comes before DNS: shiftctl commit; "
		    "--before-commit overrides this",
		    o.missing ? "not known" : authority_name(o.authority));
		return EXIT_REFUSED;
	}
	return EXIT_OK;
}

/* What the rules say, without an operator's lock and the questions. */
static int check_rules(const struct change *c)
{
	int code = check_order(c);

	return code ? code : check_way_back(c);
}

static bool same_name(const char *typed, const char *name)
{
	size_t n = strlen(name), m = strcspn(typed, "\r\n");

	if (n && name[n - 1] == '.')
		n--;
	if (m && typed[m - 1] == '.')
		m--;
	return n == m && !strncasecmp(typed, name, n);
}

static int confirm(const struct change *c)
{
	char text[DNS_NAME + 2200], typed[DNS_NAME + 2] = "";

	if (!isatty(STDIN_FILENO)) {
		say("refused: there is no terminal to ask; --yes overrides this");
		return EXIT_REFUSED;
	}
	for (int i = 0; i < 2; i++)
		if (c->type[i].todo == DNS_TODO_APPLY)
			fprintf(stderr, "This changes %s.\n",
				change_text(c, &c->type[i], text, sizeof(text)));
	fprintf(stderr, "Type the name to go on: ");
	if (fgets(typed, sizeof(typed), stdin) && same_name(typed, c->d.name))
		return EXIT_OK;
	say("refused: that is not %s: nothing was changed", c->d.name);
	return EXIT_REFUSED;
}

/* A snapshot that is still a way back to somewhere is not lost when another takes its place. */
static void put_aside(const struct change *c)
{
	char path[512], aside[560];
	bool needed = false;
	time_t began = (time_t)c->snap.began;
	struct tm tm;

	for (int i = 0; c->has_snap && i < 2; i++)
		needed |= c->type[i].todo == DNS_TODO_APPLY &&
			  c->snap.type[i].step == DNS_STEP_DONE &&
			  !dns_rrset_same_data(&c->snap.type[i].old, &c->type[i].there);
	if (!needed)
		return;
	dns_snapshot_path(c->d.dir, c->d.name, path, sizeof(path));
	snprintf(aside, sizeof(aside), "%s.", path);
	strftime(aside + strlen(aside), 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&began, &tm));
	if (link(path, aside) && errno != EEXIST)
		say("%s: what an earlier cutover saved could not be put aside: %s", path,
		    strerror(errno));
}

/* What was there is kept for each type that changes. One that is changed already keeps what an
 * earlier command saved of it: that is the way back from here, too. */
static int keep(struct change *c)
{
	struct dns_snapshot *s = &c->snap;
	int err;

	put_aside(c);
	snprintf(s->name, sizeof(s->name), "%s", c->d.name);
	snprintf(s->provider, sizeof(s->provider), "%s", c->class->name);
	snprintf(s->verb, sizeof(s->verb), "cutover");
	snprintf(s->who, sizeof(s->who), "%s", c->who);
	s->began = (uint64_t)time(NULL);
	s->ended = 0;
	for (int i = 0; i < 2; i++) {
		const struct change_type *t = &c->type[i];
		struct dns_snapshot_type *k = &s->type[i];

		if (t->todo == DNS_TODO_APPLY) {
			const struct dns_rrset *old = t->resumed ? &k->old : &t->there;

			*k = (struct dns_snapshot_type){.step = DNS_STEP_BEGUN, .old = *old};
			k->fresh = t->to;
			k->at = s->began;
		} else if (t->todo == DNS_TODO_THERE && k->step != DNS_STEP_NONE) {
			k->step = dns_rrset_same_data(&k->fresh, &t->there) ? DNS_STEP_DONE
									    : DNS_STEP_NONE;
		}
	}
	err = change_save(c);
	if (!err)
		return EXIT_OK;
	say("%s: %s: what is there now could not be kept, so nothing is changed", c->d.dir,
	    strerror(-err));
	return EXIT_FAILED;
}

static void finish_snapshot(struct change *c)
{
	int err;

	c->snap.ended = (uint64_t)time(NULL);
	err = change_save(c);
	if (err)
		say("%s: that this change came to its end is not noted: %s", c->d.dir,
		    strerror(-err));
}

/* An earlier command was cut off, and all that it wanted is there: that is its end. */
static void conclude(struct change *c)
{
	if (!c->has_snap || c->snap.ended)
		return;
	for (int i = 0; i < 2; i++) {
		struct dns_snapshot_type *k = &c->snap.type[i];

		if (!dns_step_half(k->step))
			continue;
		if (!c->type[i].asked || !dns_rrset_same_data(&k->fresh, &c->type[i].there))
			return;
		k->step = DNS_STEP_DONE;
		c->type[i].concluded = true;
	}
	snprintf(c->snap.verb, sizeof(c->snap.verb), "cutover");
	snprintf(c->snap.who, sizeof(c->snap.who), "%s", c->who);
	finish_snapshot(c);
	change_record(c);
}

static void tell_left(const struct change *c)
{
	char text[1024];

	for (int i = 0; i < 2 && !c->o.json; i++) {
		const struct change_type *t = &c->type[i];

		if (t->asked && t->todo == DNS_TODO_NONE)
			printf("%s %s: left alone: dns.old and dns.new have no such address\n",
			       c->d.name, t->word);
		else if (t->asked && t->todo == DNS_TODO_THERE)
			printf("%s %s: is the new set already: %s\n", c->d.name, t->word,
			       dns_rrset_text(&t->there, text, sizeof(text)));
	}
	fflush(stdout);
}

static void tell_seen(const struct change *c, int code)
{
	const struct change_seen *s = &c->seen;

	if (s->looked && s->settled) {
		if (!c->o.json && c->wait)
			printf("%u of %u authorities and %u of %u resolvers that answer say it\n",
			       s->authorities_right, s->authorities, s->resolvers_right,
			       s->resolvers);
		else if (!c->o.json)
			printf("%u of %u authorities answer it\n", s->authorities_right,
			       s->authorities);
	} else if (code != EXIT_OVERTAKEN) {
		say("%s%s; shiftctl dns watch shows how it goes on",
		    code == EXIT_TIMEOUT
			    ? "timed out: changed at the provider, but not everywhere: "
		    : s->looked ? "not everywhere yet: "
				: "who serves it was not seen: ",
		    s->why);
	}
}

static void tell_way_back(const struct change *c)
{
	char path[512];

	printf("what was there is kept in %s\n",
	       dns_snapshot_path(c->d.dir, c->d.name, path, sizeof(path)));
	printf("way back: shiftctl dns rollback; it cannot reach who has the new answer for up to "
	       "%u s\n",
	       change_ttl(c));
	fflush(stdout);
}

static int dry_run(struct change *c)
{
	int code = check_rules(c);

	if (!c->o.json)
		change_show(c);
	tell_left(c);
	change_report_json(c, code);
	return code;
}

static int flip(struct change *c)
{
	int code = keep(c);

	if (code)
		return code;
	code = change_apply(c);
	finish_snapshot(c);
	if (!code)
		change_purge(c);
	change_record(c);
	return code;
}

/* Is what was shown still there? EXIT_OK, or why not, said. */
static int look_again(struct change *c)
{
	struct dns_rrset *now = malloc(sizeof(*now));
	int code = now ? EXIT_OK : EXIT_FAILED;
	char why[DNS_WHY], text[1024];

	for (int i = 0; !code && i < 2; i++) {
		const struct change_type *t = &c->type[i];
		enum dns_changed got;

		if (t->todo != DNS_TODO_APPLY)
			continue;
		got = dns_provider_read(c->p, t->type, now, why);
		if (got) {
			say("%s %s could not be read (%s, %s): %s; nothing was changed", c->d.name,
			    t->word, c->class->title, dns_changes[got], why);
			code = EXIT_FAILED;
		} else if (!dns_rrset_same(now, &t->there)) {
			say("refused: %s %s is now %s: nothing was changed", c->d.name, t->word,
			    dns_rrset_text(now, text, sizeof(text)));
			code = EXIT_REFUSED;
		}
	}
	free(now);
	return code;
}

/* Nobody is kept out while an operator thinks: afterwards everything is looked at again. */
static int ask(struct change *c)
{
	int code;

	if (c->yes)
		return EXIT_OK;
	change_unlock(c);
	code = confirm(c);
	if (!code)
		code = change_lock(c);
	if (!code)
		code = change_recall(c);
	return code ? code : look_again(c);
}

static int cutover(struct change *c)
{
	unsigned int apply;
	int code = c->dry ? EXIT_OK : change_lock(c);

	if (!code)
		code = change_recall(c);
	if (code)
		return code;
	if (change_read(c)) {
		say("nothing was changed");
		return EXIT_FAILED;
	}
	code = decide(c, &apply);
	if (code)
		return code;
	if (c->dry)
		return dry_run(c);
	if (apply) {
		code = check_operator_lock(c);
		if (!code)
			code = check_rules(c);
		if (!code)
			code = ask(c);
		if (code)
			return code;
		code = flip(c);
	} else {
		conclude(c);
	}
	tell_left(c);
	change_unlock(c);
	if (!code) {
		code = change_settle(c);
		tell_seen(c, code);
		if (apply && !c->o.json)
			tell_way_back(c);
	}
	change_report_json(c, code);
	return code;
}

int dns_cutover(const struct options *o, int argc, char **argv)
{
	struct change *c = calloc(1, sizeof(*c));
	int code;

	if (!c)
		return EXIT_FAILED;
	c->verb = "cutover";
	code = change_open(c, o, argc, argv);
	if (!code)
		code = cutover(c);
	if (c->o.json)
		code = json_failure(&c->o, code);
	change_close(c);
	free(c);
	return code;
}
