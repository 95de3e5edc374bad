/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_change.c - what `dns cutover` and `dns rollback` share
 *
 * The order is the same for both: lock, recall what an earlier command left, read what is there,
 * decide (dns/change_plan.c), write the snapshot, apply type by type, note each step, unlock, look
 * at who serves it. Whatever kills the process between two of these, the file on disk says what was
 * there and which step had begun.
 */
#include "userspace/cmd/dns_change.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/plane/control.h"
#include "userspace/plane/state.h"

/* ---- options and configuration ---- */

static int take_wait(struct change *c, const char *value)
{
	if (!text_parse_duration(value, &c->wait_ns) && c->wait_ns)
		return EXIT_OK;
	return usage_error("--wait: '%s' is no duration like 90s or 10m", value);
}

static int parse(struct change *c, int argc, char **argv)
{
	static const char *const flags[] = {"--dry-run",     "--yes",		"--wait?",
					    "--no-way-back", "--reason=",	"--without-weights",
					    "--early",	     "--before-commit", NULL};
	const char *value;
	int at = 1, what, code = EXIT_OK;

	while (!code && (what = next_option(argc, argv, &at, flags, &value)) != -2) {
		bool after_wait = at > 2 && !strcmp(argv[at - 2], "--wait");

		switch (what) {
		case 0:
			c->dry = true;
			break;
		case 1:
			c->yes = true;
			break;
		case 2:
			c->wait = true;
			if (value)
				code = take_wait(c, value);
			break;
		case 3:
			c->no_way_back = true;
			break;
		case 4:
			c->reason = value;
			break;
		case 5:
			c->without_weights = true;
			break;
		case 6:
			c->early = true;
			break;
		case 7:
			c->before_commit = true;
			break;
		case -1:
			code = after_wait ? take_wait(c, value)
					  : usage_error("dns %s takes no argument, not '%s'",
							c->verb, value);
			break;
		default:
			code = EXIT_USAGE;
		}
	}
	return code;
}

/* A weight that the provider cannot answer by would be lost without a word. */
static int check_weights(const struct change *c)
{
	struct conf_dns *dns = &c->d.config->dns;
	unsigned int given[2] = {0}, of[2] = {0};

	if (c->back) /* it writes the old set, which has none in the configuration */
		return EXIT_OK;
	for (unsigned int i = 0; i < dns->n_fresh; i++) {
		const struct conf_record *r = &dns->fresh[i];
		bool v6 = r->address.family == 6;

		of[v6]++;
		given[v6] += r->weighted;
		if (r->weighted && !c->class->weights && !c->without_weights) {
			say("refused: %s:%u:%u: dns.new[%u].weight: %s does not answer by weight, "
			    "so each address would get the same share; --without-weights overrides "
			    "this",
			    c->o.config, r->address.at.line, r->address.at.column, i,
			    c->class->title);
			return EXIT_REFUSED;
		}
	}
	for (unsigned int i = 0; c->without_weights && i < dns->n_fresh; i++)
		dns->fresh[i].weighted = false;
	if (c->without_weights)
		return EXIT_OK;
	for (int v6 = 0; v6 < 2; v6++)
		if (given[v6] && given[v6] != of[v6]) {
			say("%s:%u:%u: dns.new: %u of %u addresses of IPv%c have a weight: give all "
			    "of them one, or none",
			    c->o.config, dns->at.line, dns->at.column, given[v6], of[v6],
			    v6 ? '6' : '4');
			return EXIT_USAGE;
		}
	return EXIT_OK;
}

/* Addresses that dns.types leaves out stay behind, or do not come: not without a word. */
static int check_families(const struct change *c)
{
	const struct conf_dns *dns = &c->d.config->dns;
	unsigned int of[2] = {0}, n = 0;

	for (unsigned int i = 0; i < dns->n_old; i++)
		of[dns->old[i].family == 6]++;
	for (unsigned int i = 0; i < dns->n_fresh; i++)
		of[dns->fresh[i].address.family == 6]++;
	for (int i = 0; i < 2; i++) {
		const struct change_type *t = &c->type[i];

		if (t->asked)
			n += of[i];
		else if (of[i])
			say("dns.types has no %s: its records are left as they are, although dns.old or "
			    "dns.new has addresses of it",
			    t->word);
	}
	if (n || c->back)
		return EXIT_OK;
	say("%s:%u:%u: neither dns.old nor dns.new has an address of dns.types: there is nothing "
	    "to change",
	    c->o.config, dns->at.line, dns->at.column);
	return EXIT_USAGE;
}

static int open_provider(struct change *c)
{
	const struct conf_dns *dns = &c->d.config->dns;
	char why[DNS_WHY] = "";
	int err;

	if (dns->provider.kind == CONF_NO_PROVIDER) {
		say("%s:%u:%u: dns.provider: is missing: records are changed through it",
		    c->o.config, dns->at.line, dns->at.column);
		return EXIT_USAGE;
	}
	if (!dns->n_old && !dns->n_fresh) {
		say("%s:%u:%u: dns.old and dns.new are both empty: there is nothing to change",
		    c->o.config, dns->at.line, dns->at.column);
		return EXIT_USAGE;
	}
	err = dns_provider_open(c->d.config, &c->p, why);
	if (err) {
		say("%s:%u:%u: dns.provider: %s", c->o.config, dns->provider.at.line,
		    dns->provider.at.column, why[0] ? why : strerror(-err));
		return err == -ENOMEM ? EXIT_FAILED : EXIT_USAGE;
	}
	c->class = dns_provider_of(c->p);
	return check_weights(c);
}

int change_open(struct change *c, const struct options *o, int argc, char **argv)
{
	int code;

	c->o = *o;
	c->lock = -1;
	c->seen.share = NAN;
	code = parse(c, argc, argv);
	if (!code)
		code = dns_open(&c->o, &c->d, EXIT_USAGE);
	if (code)
		return code;
	if (!c->d.config->leader) {
		say("refused: this host does not have role: leader, and only that one changes DNS; "
		    "set it in %s on the one host that leads",
		    c->o.config);
		return EXIT_REFUSED;
	}
	code = open_provider(c);
	if (code)
		return code;
	who_operator(c->who, sizeof(c->who));
	for (int i = 0; i < 2; i++) {
		c->type[i].word = i ? "AAAA" : "A";
		c->type[i].type = i ? DNS_AAAA : DNS_A;
		c->type[i].asked = i ? c->d.wanted.ask_aaaa : c->d.wanted.ask_a;
	}
	return check_families(c);
}

void change_close(struct change *c)
{
	change_unlock(c);
	json_decref(c->seen.sources);
	dns_provider_close(c->p);
	if (c->d.config)
		dns_close(&c->d);
}

/* ---- the lock and what is on disk ---- */

int change_lock(struct change *c)
{
	struct dns_lock_holder h;
	char when[32];
	int err = dns_change_lock(c->d.dir, c->verb, c->who, &c->lock, &h);

	if (!err)
		return EXIT_OK;
	if (err == -EAGAIN) {
		if (h.verb[0])
			say("dns %s by %s is under way since %s (process %ld): nothing was changed",
			    h.verb, h.who, text_time(h.since * 1000000000, when), h.pid);
		else
			say("another change of these records is under way: nothing was changed");
		if (c->back && h.verb[0])
			say("if it hangs: kill -9 %ld, and roll back again: what it had begun is on disk",
			    h.pid);
		return EXIT_LOCKED;
	}
	if (c->back) {
		/* The way back is not to fail for a disk. */
		say("%s: %s: no other command is kept out, and nothing is noted", c->d.dir,
		    strerror(-err));
		c->stateless = true;
		return EXIT_OK;
	}
	say("%s: %s: what is there now could not be kept, so nothing is changed", c->d.dir,
	    strerror(-err));
	return EXIT_FAILED;
}

void change_unlock(struct change *c)
{
	if (c->lock >= 0)
		close(c->lock);
	c->lock = -1;
}

static void tell_cut_off(const struct change *c)
{
	const struct dns_snapshot *s = &c->snap;
	char when[32];

	say("dns %s by %s at %s did not come to its end", s->verb, s->who,
	    text_time(s->began * 1000000000, when));
	for (int i = 0; i < 2; i++) {
		const struct dns_snapshot_type *t = &s->type[i];
		char old[512], fresh[512];

		if (t->step == DNS_STEP_NONE)
			continue;
		fprintf(stderr, "  %s: %s: from %s to %s%s\n", c->type[i].word, dns_steps[t->step],
			dns_rrset_text(s->verb[0] == 'r' ? &t->fresh : &t->old, old, sizeof(old)),
			dns_rrset_text(s->verb[0] == 'r' ? &t->old : &t->fresh, fresh,
				       sizeof(fresh)),
			t->step == DNS_STEP_BEGUN ? "; what is there now decides" : "");
	}
}

int change_recall(struct change *c)
{
	char path[512], aside[560];
	int err = dns_snapshot_load(c->d.dir, c->d.name, &c->snap);

	c->has_snap = !err;
	if (c->has_snap && !c->snap.ended && c->snap.began != c->told) {
		c->told = c->snap.began;
		tell_cut_off(c);
	}
	if (!err || err == -ENOENT || err == -ENOTDIR)
		return EXIT_OK;
	dns_snapshot_path(c->d.dir, c->d.name, path, sizeof(path));
	if (err != -EBADMSG) {
		say("%s: %s", path, strerror(-err));
		return c->back ? EXIT_OK : EXIT_FAILED;
	}
	snprintf(aside, sizeof(aside), "%s.damaged", path);
	if (c->dry || c->stateless)
		say("%s is damaged: it counts as none", path);
	else if (rename(path, aside))
		say("%s is damaged, and cannot be put aside: %s", path, strerror(errno));
	else
		say("%s is damaged: it is %s now, and counts as none", path, aside);
	return EXIT_OK;
}

bool change_is_half(const struct change *c, int type)
{
	const struct dns_snapshot_type *s = &c->snap.type[type];
	const struct dns_rrset *there = &c->type[type].there;

	return c->has_snap && dns_step_half(s->step) &&
	       (!there->n || dns_rrset_between(there, &s->old, &s->fresh));
}

unsigned int change_read(struct change *c)
{
	unsigned int failed = 0;

	for (int i = 0; i < 2; i++) {
		struct change_type *t = &c->type[i];
		enum dns_changed got;

		if (!t->asked)
			continue;
		t->unread = false; /* a second look may succeed */
		got = dns_provider_read(c->p, t->type, &t->there, t->why);
		if (!got)
			continue;
		t->unread = true;
		t->got = got;
		failed++;
		say("%s %s could not be read (%s, %s): %s", c->d.name, t->word, c->class->title,
		    dns_changes[got], t->why);
	}
	return failed;
}

int change_save(struct change *c)
{
	int err = c->stateless ? -EROFS : dns_snapshot_save(c->d.dir, &c->snap);

	if (!err)
		c->has_snap = true;
	return err;
}

/* ---- words ---- */

const char *change_text(const struct change *c, const struct change_type *t, char *ret, size_t size)
{
	char there[1024], to[1024];

	snprintf(ret, size, "%s %s at %s: %s -> %s", c->d.name, t->word, c->class->title,
		 dns_rrset_text(&t->there, there, sizeof(there)),
		 dns_rrset_text(&t->to, to, sizeof(to)));
	return ret;
}

void change_show(const struct change *c)
{
	char text[DNS_NAME + 2200];

	for (int i = 0; i < 2; i++) {
		const struct change_type *t = &c->type[i];

		if (t->todo != DNS_TODO_APPLY)
			continue;
		printf("would: change %s\n", change_text(c, t, text, sizeof(text)));
		printf("the change:\n");
		dns_provider_show(c->p, &t->there, &t->to, stdout);
		printf("its inverse:\n");
		dns_provider_show(c->p, &t->to, &t->there, stdout);
	}
}

/* ---- the change ---- */

static enum dns_step step_of(const struct change *c, enum dns_changed got)
{
	switch (got) {
	case DNS_CHANGED:
		return c->back ? DNS_STEP_BACK : DNS_STEP_DONE;
	case DNS_UNCERTAIN:
	case DNS_HALF:
		return DNS_STEP_UNCERTAIN;
	default:
		/* Of a rollback the flip is still what was done. */
		return c->back ? DNS_STEP_DONE : DNS_STEP_NOT;
	}
}

static void note(struct change *c, int i, enum dns_step step)
{
	struct dns_snapshot_type *s = &c->snap.type[i];
	const struct change_type *t = &c->type[i];
	int err;

	s->step = step;
	s->at = (uint64_t)time(NULL);
	memcpy(s->id, t->id, sizeof(s->id));
	memcpy(s->why, t->why, sizeof(s->why));
	if (c->stateless)
		return;
	err = change_save(c);
	if (err)
		say("%s %s: what became of it is not noted on disk: %s", c->d.name, t->word,
		    strerror(-err));
}

static void tell_one(const struct change *c, const struct change_type *t,
		     const struct dns_rrset *seen)
{
	char text[DNS_NAME + 2200], there[1024];

	if (t->got == DNS_CHANGED) {
		if (!c->o.json)
			printf("%s: changed, and read back\n",
			       change_text(c, t, text, sizeof(text)));
		fflush(stdout);
		return;
	}
	say("%s: %s: %s", change_text(c, t, text, sizeof(text)), dns_changes[t->got], t->why);
	if (t->got == DNS_HALF)
		say("%s %s: there is now %s", c->d.name, t->word,
		    dns_rrset_text(seen, there, sizeof(there)));
}

/* What is and what is not, once some of it is done and some is not. */
static void tell_part(const struct change *c)
{
	for (int i = 0; i < 2; i++) {
		const struct change_type *t = &c->type[i];
		char there[1024];

		if (t->todo != DNS_TODO_APPLY)
			continue;
		if (t->tried && t->got == DNS_CHANGED)
			fprintf(stderr, "  %s is changed\n", t->word);
		else if (t->tried && (t->got == DNS_UNCERTAIN || t->got == DNS_HALF))
			fprintf(stderr, "  %s: not certain: look with: shiftctl dns check\n",
				t->word);
		else
			fprintf(stderr, "  %s is as it was: %s\n", t->word,
				dns_rrset_text(&t->there, there, sizeof(there)));
	}
	if (c->back)
		fprintf(stderr, "  to go on: shiftctl dns rollback\n");
	else
		fprintf(stderr, "  back: shiftctl dns rollback; on: shiftctl dns cutover again\n");
}

static int code_of(enum dns_changed got)
{
	return got == DNS_STALE ? EXIT_REFUSED : got == DNS_UNCERTAIN ? EXIT_TIMEOUT : EXIT_FAILED;
}

int change_apply(struct change *c)
{
	struct dns_rrset *seen = calloc(1, sizeof(*seen));
	unsigned int done = 0, failed = 0, uncertain = 0;
	int code = EXIT_OK;

	if (!seen)
		return EXIT_FAILED;
	for (int i = 0; i < 2; i++) {
		struct change_type *t = &c->type[i];

		if (t->todo != DNS_TODO_APPLY)
			continue;
		if (failed && !c->back) { /* not one family more on the new side */
			note(c, i, DNS_STEP_NOT);
			continue;
		}
		t->tried = true;
		t->got = dns_provider_apply(c->p, &t->there, &t->to, t->id, seen, t->why);
		note(c, i, step_of(c, t->got));
		tell_one(c, t, seen);
		if (t->got == DNS_CHANGED) {
			done++;
		} else {
			failed++;
			uncertain += t->got == DNS_UNCERTAIN || t->got == DNS_HALF;
			code = code_of(t->got);
		}
	}
	c->changed_at = (uint64_t)time(NULL);
	free(seen);
	if (failed && (done || uncertain))
		tell_part(c);
	else if (failed)
		say("nothing was changed");
	return failed && done ? EXIT_FAILED : code;
}

void change_purge(const struct change *c)
{
	char why[DNS_WHY] = "";

	if (dns_provider_purge(c->p, why))
		say("%s: the HTTP cache was not emptied: %s", c->class->title, why);
}

void change_record(const struct change *c)
{
	char verb[32], detail[256] = "", old[96], fresh[96];
	struct shift_record r = {0};
	struct state_kept kept;
	struct state s;
	size_t used = 0;

	for (int i = 0; i < 2; i++) {
		const struct change_type *t = &c->type[i];

		if ((!t->tried && !t->concluded) || used >= sizeof(detail))
			continue;
		dns_rrset_text(t->concluded ? &c->snap.type[i].old : &t->there, old, sizeof(old));
		dns_rrset_text(&t->to, fresh, sizeof(fresh));
		used += (size_t)snprintf(
			detail + used, sizeof(detail) - used, "%s%s %s: %s -> %s", used ? "; " : "",
			t->word, t->concluded ? "found changed" : dns_changes[t->got], old, fresh);
	}
	if (!used)
		return;
	if (!state_load(c->d.config->service, &s))
		state_to_record(&s, &r);
	snprintf(verb, sizeof(verb), "dns %s", c->verb);
	kept = state_record(&r, &(struct state_event){.verb = verb,
						      .service = c->d.config->service,
						      .reason = c->reason,
						      .detail = detail,
						      .from = r.weight,
						      .to = r.weight,
						      .only_history = true,
						      .wait_ms = 500});
	if (kept.history)
		say("the history has no line of it: %s", strerror(-kept.history));
}

uint32_t change_ttl(const struct change *c)
{
	uint32_t ttl = 0;

	for (int i = 0; i < 2; i++) {
		const struct change_type *t = &c->type[i];
		const struct dns_rrset *fresh = c->back ? &t->there : &t->to;

		if (t->tried && fresh->n && fresh->ttl > ttl)
			ttl = fresh->ttl;
	}
	return ttl;
}
