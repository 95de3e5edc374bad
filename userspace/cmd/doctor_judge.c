/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor_judge.c - findings, their order, and those that the plan has already
 *
 * doctor_kernel.c judges the kernel and its limits, doctor_devices.c the interfaces and whose
 * programs run there, doctor_network.c ways, ports and packet filters. What `apply` would refuse is
 * critical; what loses, slows or hides something from somebody is a warning; what an operator
 * should know and need not change is a note.
 */
#include <stdarg.h>
#include <string.h>

#include "userspace/cmd/doctor.h"

/* A place, at the cost of the last one that is milder. */
static struct doctor_finding *place(struct doctor_report *r, enum doctor_level level)
{
	if (r->n < DOCTOR_MAX_FINDINGS)
		return &r->finding[r->n++];
	r->left_out++;
	for (unsigned int i = r->n; i-- > 0;)
		if (r->finding[i].level < level) {
			r->count[r->finding[i].level]--;
			return &r->finding[i];
		}
	return &r->spare;
}

struct doctor_finding *doctor_find(struct doctor_report *r, const char *what,
				   enum doctor_level level, const char *on, const char *format, ...)
{
	struct doctor_finding *f = place(r, level);
	va_list ap;

	memset(f, 0, sizeof(*f));
	f->what = what;
	f->level = level;
	snprintf(f->on, sizeof(f->on), "%s", on);
	va_start(ap, format);
	vsnprintf(f->evidence, sizeof(f->evidence), format, ap);
	va_end(ap);
	if (f != &r->spare)
		r->count[level]++;
	return f;
}

void doctor_fix(struct doctor_finding *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(f->fix, sizeof(f->fix), format, ap);
	va_end(ap);
}

/* ---- the plan's ---- */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* The plan's warnings have no names of their own. Those about this host are warnings here, too;
 * those about what the file intends are `plan check`'s to insist on. */
static const char *name_warning(const char *key, enum doctor_level *ret_level)
{
	static const struct {
		const char *key, *what;
	} names[] = {
		{"nat.ports", "ephemeral"},  {"nat.addresses", "nat-address"},
		{"interfaces", "interface"}, {"listen", "listen"},
		{"nat", "memory"},
	};

	*ret_level = DOCTOR_WARNING;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (begins(key, names[i].key))
			return names[i].what;
	*ret_level = DOCTOR_NOTE;
	return "plan";
}

static void fix_refusal(struct doctor_finding *to, const struct plan_finding *from,
			const char *file)
{
	const char *flag = from->rule < PLAN_OVERRIDABLE ? plan_flags[from->rule] : NULL;
	const char *do_this = "change";

	if (from->rule == PLAN_UNLISTED_INTERFACE)
		do_this = "add it to";
	else if (from->rule == PLAN_DOUBLE_PASS)
		do_this = "leave one of them out of";
	else if (from->rule == PLAN_NO_INTERFACE)
		do_this = "bring it up, or correct";
	if (flag)
		doctor_fix(to, "%s %s in %s, or shiftctl apply %s", do_this, from->key, file, flag);
	else
		doctor_fix(to, "%s %s in %s", do_this, from->key, file);
}

static void take_over(const struct plan_finding *from, const char *file, struct doctor_report *r)
{
	enum doctor_level level = from->refused ? DOCTOR_CRITICAL : DOCTOR_WARNING;
	const char *what = plan_rule_name(from->rule);
	struct doctor_finding *to;

	if (from->rule == PLAN_WARNING)
		what = name_warning(from->key, &level);
	to = doctor_find(r, what, level, from->key, "%.*s", (int)sizeof(to->evidence) - 1,
			 from->text);
	if (from->rule != PLAN_WARNING)
		fix_refusal(to, from, file);
	else
		doctor_fix(to, "%s in %s, line %u", from->key, file, from->at.line);
}

void doctor_judge_plan(const struct doctor_facts *f, struct doctor_report *r)
{
	if (!f->plan || f->host_err)
		return;
	for (unsigned int i = 0; i < f->plan->n_findings; i++)
		take_over(&f->plan->finding[i], f->config->file, r);
	if (!f->plan->n_findings)
		doctor_find(r, "plan", DOCTOR_OK, "", "nothing in %s speaks against this host",
			    f->config->file);
}

/* ---- all of it ---- */

/* Worst first, and else as they were found. */
static void sort(struct doctor_report *r)
{
	struct doctor_finding *f = r->finding;

	for (unsigned int i = 1; i < r->n; i++) {
		unsigned int at = i;

		while (at && f[at - 1].level < f[i].level)
			at--;
		if (at == i)
			continue;
		r->spare = f[i];
		memmove(&f[at + 1], &f[at], (i - at) * sizeof(*f));
		f[at] = r->spare;
	}
}

void doctor_judge(const struct doctor_facts *f, struct doctor_report *ret)
{
	memset(ret, 0, sizeof(*ret));
	doctor_judge_plan(f, ret);
	doctor_judge_kernel(f, ret);
	doctor_judge_devices(f, ret);
	doctor_judge_network(f, ret);
	sort(ret);
}

const char *doctor_level_name(enum doctor_level level)
{
	static const char *const names[DOCTOR_LEVELS] = {"ok", "note", "warning", "critical"};

	return (unsigned int)level < DOCTOR_LEVELS ? names[level] : "?";
}
