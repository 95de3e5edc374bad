/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * charon_control.c - starting, ending and rekeying a connection
 *
 * charon is told the limit and gives up by itself, so that its answer, not our deadline, ends the
 * call; ours comes GRACE_NS later. Its errmsg says no more than "failed": why is in the log that it
 * streams meanwhile, of which the last line that tells a cause is kept.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "wg/charon_inner.h"

#define GRACE_NS  2000000000ull
#define LIMIT_NS  3600000000000ull
#define LOG_LEVEL 1 /* what charon logs by default; secrets are logged from 4 on */
#define LISTED	  16

struct cause {
	char text[256];
	bool sure;
};

/* Lines that name a cause; others are about what is being done. */
static bool tells_cause(const char *line)
{
	static const char *const words[] = {" notify error", "failed",	  "giving up",
					    "no matching",   "unable to", "not found",
					    "no shared",     "mismatch"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(line, words[i]))
			return true;
	return false;
}

static int on_log(void *arg, struct vici_reader *r)
{
	struct cause *cause = arg;
	struct vici_part p;
	char line[sizeof(cause->text)];
	int err;

	while (!(err = vici_next(r, &p)) && p.kind != VICI_END) {
		bool sure;

		if (p.kind != VICI_KEY_VALUE || r->depth || !vici_is(&p, "msg"))
			continue;
		vici_copy(&p, line, sizeof(line));
		sure = tells_cause(line);
		if (sure || !cause->sure)
			memcpy(cause->text, line, sizeof(line));
		cause->sure |= sure;
	}
	return err;
}

static unsigned long long milliseconds(uint64_t ns)
{
	/* 0 would be for ever */
	return ns < 1000000 ? 1 : (ns > LIMIT_NS ? LIMIT_NS : ns) / 1000000;
}

static int is_up(struct charon *c, const char *name, char *why, size_t size)
{
	struct charon_sa sa[LISTED];
	int n = charon_list(c, name, sa, LISTED, why, size);

	for (int i = 0; i < n; i++) {
		if (strcmp(sa[i].state, "ESTABLISHED"))
			continue;
		for (unsigned int k = 0; k < sa[i].n_children; k++)
			if (!strcmp(sa[i].child[k].name, name) &&
			    !strcmp(sa[i].child[k].state, "INSTALLED"))
				return 1;
	}
	return n < 0 ? n : 0;
}

int charon_initiate(struct charon *c, const char *name, uint64_t limit_ns, char *why, size_t size)
{
	struct charon_answer a;
	struct vici_message m;
	struct cause cause = {0};
	const struct charon_ask ask = {.m = &m,
				       .events = "control-log",
				       .on_event = on_log,
				       .arg = &cause,
				       .limit_ns = milliseconds(limit_ns) * 1000000 + GRACE_NS};
	int err = is_up(c, name, why, size);

	/* A second child of the same would be made otherwise. */
	if (err)
		return err < 0 ? err : 0;
	vici_begin(&m, VICI_CMD_REQUEST, "initiate");
	vici_text(&m, "ike", "%s", name);
	vici_text(&m, "child", "%s", name);
	vici_text(&m, "timeout", "%llu", milliseconds(limit_ns));
	vici_text(&m, "loglevel", "%d", LOG_LEVEL);
	err = charon_ask(c, &ask, &a, why, size);
	vici_free(&m);
	if (err || a.success)
		return err;
	snprintf(why, size, "%s%s%s", a.error[0] ? a.error : "charon says no, and not why",
		 cause.text[0] ? ": " : "", cause.text);
	return strstr(a.error, "not established after") ? -ETIMEDOUT : -ECONNABORTED;
}

/* What came of asking for SAs by name. */
static int judge(const struct charon_answer *a, char *why, size_t size)
{
	if (a->success)
		return 0;
	snprintf(why, size, "charon says: %s", a->error[0] ? a->error : "no, and not why");
	return strstr(a->error, "no matching") ? -ENOENT : -EREMOTEIO;
}

int charon_terminate(struct charon *c, const char *name, uint64_t limit_ns, char *why, size_t size)
{
	struct charon_answer a;
	struct vici_message m;
	/* charon waits for each SA in turn; there are seldom two. */
	const struct charon_ask ask = {.m = &m,
				       .limit_ns = 2 * milliseconds(limit_ns) * 1000000 + GRACE_NS};
	int err;

	vici_begin(&m, VICI_CMD_REQUEST, "terminate");
	vici_text(&m, "ike", "%s", name);
	vici_text(&m, "force", "yes");
	vici_text(&m, "timeout", "%llu", milliseconds(limit_ns));
	vici_text(&m, "loglevel", "%d", LOG_LEVEL);
	err = charon_ask(c, &ask, &a, why, size);
	vici_free(&m);
	return err ? err : judge(&a, why, size);
}

int charon_rekey(struct charon *c, const char *name, char *why, size_t size)
{
	struct charon_answer a;
	struct vici_message m;
	const struct charon_ask ask = {.m = &m, .limit_ns = CHARON_ANSWER_NS};
	int err;

	vici_begin(&m, VICI_CMD_REQUEST, "rekey");
	vici_text(&m, "ike", "%s", name);
	vici_text(&m, "child", "%s", name);
	err = charon_ask(c, &ask, &a, why, size);
	vici_free(&m);
	return err ? err : judge(&a, why, size);
}
