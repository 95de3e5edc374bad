/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_rollback.c - `shiftctl dns rollback`: the records as they were before the cutover
 *
 * Never asks. It goes by the snapshot, also by one of a cutover that was killed half-way; without
 * one by dns.old, and says so. A folder that cannot be written stops nothing. What it cannot do is
 * call back those who have the new answer: it says how many that are, as far as resolvers tell, and
 * until when.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/cmd/dns_change.h"

#define LATE_S 2 /* a change that was sent is carried out by then */

/* Where a type goes back to, and from what it may. */
static void choose(struct change *c, int i, struct dns_rrset *fresh)
{
	struct change_type *t = &c->type[i];
	const struct dns_snapshot_type *s = &c->snap.type[i];

	dns_change_wanted(&c->d.config->dns, c->d.name, t->type, &t->to, fresh);
	if (!c->has_snap || s->step == DNS_STEP_NONE)
		return;
	/* What dns.old names is there: the snapshot is an earlier migration's, and leads to where
	 * nobody may be any more. */
	t->earlier = t->to.n && dns_rrset_same_data(&t->there, &t->to) &&
		     !dns_rrset_same_data(&s->old, &t->to);
	if (t->earlier)
		return;
	t->from_disk = true;
	t->to = s->old;
	*fresh = s->fresh;
}

static void tell_earlier(const struct change *c, int i)
{
	char path[512], old[1024];

	say("%s %s: dns.old is there; %s is of an earlier cutover, from %s, and is not gone by",
	    c->d.name, c->type[i].word, dns_snapshot_path(c->d.dir, c->d.name, path, sizeof(path)),
	    dns_rrset_text(&c->snap.type[i].old, old, sizeof(old)));
}

/* What the snapshot goes back to is there, and is not what dns.old says. */
static void tell_other_old(const struct change *c, int i)
{
	struct dns_rrset *old = malloc(2 * sizeof(*old));
	const struct change_type *t = &c->type[i];
	char want[1024];

	if (!old)
		return;
	dns_change_wanted(&c->d.config->dns, c->d.name, t->type, old, old + 1);
	if (old->n && !dns_rrset_same_data(&t->there, old))
		say("%s %s: what the last cutover found is there, but dns.old is %s: that is not "
		    "where it goes back to",
		    c->d.name, t->word, dns_rrset_text(old, want, sizeof(want)));
	free(old);
}

/* EXIT_OK; or what the whole ends with at best. */
static int decide(struct change *c, unsigned int *ret_apply)
{
	struct dns_rrset *fresh = malloc(sizeof(*fresh));
	int code = fresh ? EXIT_OK : EXIT_FAILED;
	char there[1024], to[1024];

	*ret_apply = 0;
	for (int i = 0; fresh && i < 2; i++) {
		struct change_type *t = &c->type[i];

		if (!t->asked && c->has_snap && c->snap.type[i].step != DNS_STEP_NONE &&
		    c->snap.type[i].step != DNS_STEP_BACK)
			say("%s %s: the snapshot has it, but dns.types does not: it is left as it is",
			    c->d.name, t->word);
		if (!t->asked || t->unread)
			continue;
		choose(c, i, fresh);
		t->todo = dns_plan_back(&t->there, &t->to, fresh, &t->differs);
		t->differs &= t->from_disk; /* dns.ttl is not what was there */
		if (t->earlier)
			tell_earlier(c, i);
		else if (t->from_disk && t->todo == DNS_TODO_THERE)
			tell_other_old(c, i);
		t->resumed = t->todo == DNS_TODO_OTHER && change_is_half(c, i);
		if (t->resumed)
			t->todo = DNS_TODO_APPLY;
		*ret_apply += t->todo == DNS_TODO_APPLY;
		if (t->todo == DNS_TODO_APPLY && !t->from_disk)
			say("%s %s: no snapshot of it is on disk: dns.old and dns.ttl say what it "
			    "goes back to",
			    c->d.name, t->word);
		if (t->todo != DNS_TODO_OTHER)
			continue;
		say("refused: %s %s is %s, which is neither the new set nor %s: it is left as it is",
		    c->d.name, t->word, dns_rrset_text(&t->there, there, sizeof(there)),
		    dns_rrset_text(&t->to, to, sizeof(to)));
		code = EXIT_REFUSED;
	}
	free(fresh);
	return code;
}

static void keep(struct change *c)
{
	struct dns_snapshot *s = &c->snap;
	int err;

	if (c->stateless)
		return;
	snprintf(s->name, sizeof(s->name), "%s", c->d.name);
	snprintf(s->provider, sizeof(s->provider), "%s", c->class->name);
	snprintf(s->verb, sizeof(s->verb), "rollback");
	snprintf(s->who, sizeof(s->who), "%s", c->who);
	s->began = (uint64_t)time(NULL);
	s->ended = 0;
	for (int i = 0; i < 2; i++) {
		const struct change_type *t = &c->type[i];
		struct dns_snapshot_type *k = &s->type[i];

		if (t->todo == DNS_TODO_APPLY) {
			k->step = DNS_STEP_BEGUN;
			k->old = t->to;
			if (!t->resumed)
				k->fresh = t->there;
			k->at = s->began;
		} else if (t->todo == DNS_TODO_THERE && k->step != DNS_STEP_NONE && !t->earlier) {
			k->step = DNS_STEP_BACK;
		}
	}
	err = change_save(c);
	if (err) {
		say("%s: %s: nothing is noted of this", c->d.dir, strerror(-err));
		c->stateless = true;
	}
}

static void finish(struct change *c)
{
	int err;

	if (c->stateless)
		return;
	c->snap.ended = (uint64_t)time(NULL);
	err = change_save(c);
	if (err)
		say("%s: that this rollback came to its end is not noted: %s", c->d.dir,
		    strerror(-err));
}

/* A cutover was cut off before it changed anything: that is its end, and it is half no more. */
static void conclude(struct change *c)
{
	for (int i = 0; i < 2; i++) {
		struct dns_snapshot_type *k = &c->snap.type[i];

		if (dns_step_half(k->step) && c->type[i].todo == DNS_TODO_THERE &&
		    c->type[i].from_disk)
			k->step = DNS_STEP_BACK;
	}
	finish(c);
}

static void tell_left(const struct change *c)
{
	char text[1024], to[1024];

	for (int i = 0; i < 2; i++) {
		const struct change_type *t = &c->type[i];

		if (!t->asked || t->unread || t->todo != DNS_TODO_THERE)
			continue;
		if (t->differs)
			say("%s %s: the old addresses are there, but as %s, where the snapshot has %s: "
			    "left as it is",
			    c->d.name, t->word, dns_rrset_text(&t->there, text, sizeof(text)),
			    dns_rrset_text(&t->to, to, sizeof(to)));
		else if (!c->o.json)
			printf("%s %s: is the old set already: %s\n", c->d.name, t->word,
			       dns_rrset_text(&t->there, text, sizeof(text)));
	}
	fflush(stdout);
}

static void tell_seen(const struct change *c, int code)
{
	const struct change_seen *s = &c->seen;

	if (code != EXIT_TIMEOUT && s->authorities && s->authorities_right == s->authorities) {
		if (!c->o.json)
			printf("%u of %u authorities answer it\n", s->authorities_right,
			       s->authorities);
		fflush(stdout);
		return;
	}
	say("%s%s",
	    code == EXIT_TIMEOUT ? "timed out: put back at the provider, but not everywhere: "
	    : s->looked		 ? "not every authority answers it yet: "
				 : "who serves it was not seen: ",
	    s->why);
}

/* Who cannot be reached, and until when. */
static void tell_reach(const struct change *c)
{
	const struct change_seen *s = &c->seen;
	uint32_t ttl = change_ttl(c);
	char when[32];

	if (c->o.json)
		return;
	if (isnan(s->share))
		printf("which share of the clients has the new answer is not known: no resolver told");
	else
		printf("%.0f%% of what resolvers answered (%.0f to %.0f%%) is still new",
		       s->share * 100, s->share_low * 100, s->share_high * 100);
	printf("; they cannot be called back before it expires, up to %u s after the last authority "
	       "changed: about %s%s\n",
	       ttl, text_time((c->changed_at + ttl) * 1000000000, when),
	       s->settled || s->authorities_right == s->authorities
		       ? ""
		       : ", and later while one does not");
	fflush(stdout);
}

static int go_back(struct change *c)
{
	int code;

	keep(c);
	code = change_apply(c);
	finish(c);
	if (!code)
		change_purge(c);
	change_record(c);
	return code;
}

static int dry_run(struct change *c, int code)
{
	if (!c->o.json)
		change_show(c);
	tell_left(c);
	change_report_json(c, code);
	return code;
}

/*
 * A command that was killed may have sent its change a moment ago: the old set is there still, and
 * the new one comes when the server gets to it. So what is old is looked at once more.
 */
static bool may_be_late(const struct change *c, unsigned int *ret_left)
{
	time_t now = time(NULL);

	*ret_left = 0;
	for (int i = 0; c->has_snap && !c->snap.ended && i < 2; i++) {
		const struct dns_snapshot_type *s = &c->snap.type[i];
		time_t until = (time_t)s->at + LATE_S;

		if (s->step == DNS_STEP_BEGUN && now < until && now + LATE_S >= until &&
		    !c->type[i].unread && dns_rrset_same_data(&c->type[i].there, &s->old) &&
		    (unsigned int)(until - now) > *ret_left)
			*ret_left = (unsigned int)(until - now);
	}
	return *ret_left;
}

static unsigned int look(struct change *c)
{
	unsigned int unread = change_read(c), left;

	if (c->dry || !may_be_late(c, &left))
		return unread;
	say("%s: the change that was cut off may still be on its way: looking again in %u s",
	    c->d.name, left);
	sleep(left);
	return change_read(c);
}

static int rollback(struct change *c)
{
	unsigned int apply, unread;
	int code = c->dry ? EXIT_OK : change_lock(c), applied = EXIT_OK;

	if (!code)
		code = change_recall(c);
	if (code)
		return code;
	unread = look(c);
	code = decide(c, &apply);
	if (c->dry)
		return dry_run(c, code ? code : unread ? EXIT_FAILED : EXIT_OK);
	if (apply)
		applied = go_back(c);
	else if (c->has_snap && !c->snap.ended && !unread && !code)
		conclude(c);
	tell_left(c);
	change_unlock(c);
	if (apply && !applied) {
		int settled = change_settle(c);

		tell_seen(c, settled);
		tell_reach(c);
		applied = settled;
	}
	if (applied)
		code = applied;
	if (!code && unread)
		code = EXIT_FAILED;
	change_report_json(c, code);
	return code;
}

int dns_rollback(const struct options *o, int argc, char **argv)
{
	struct change *c = calloc(1, sizeof(*c));
	int code;

	if (!c)
		return EXIT_FAILED;
	c->verb = "rollback";
	c->back = true;
	code = change_open(c, o, argc, argv);
	if (!code)
		code = rollback(c);
	if (c->o.json)
		code = json_failure(&c->o, code);
	change_close(c);
	free(c);
	return code;
}
