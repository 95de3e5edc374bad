/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_findings.c - findings and their rules' names, and numbers of bits: what every part of the
 * plan uses
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/conf/plan_inner.h"

const char *const plan_flags[PLAN_OVERRIDABLE + 1] = {
	[PLAN_MISSING_FAMILY] = "--allow-missing-family",
	[PLAN_PORT_CHANGE] = "--allow-port-change",
	[PLAN_SELF_TARGET] = "--allow-self-target",
	[PLAN_FOREIGN_NAT] = "--allow-foreign-nat-address",
	[PLAN_FLOATING_NAT] = "--allow-floating-nat-address",
	[PLAN_LOCAL_GATE] = "--allow-local-gate",
	[PLAN_UNLISTED_INTERFACE] = "--allow-unlisted-interface",
	[PLAN_DOUBLE_PASS] = "--allow-double-pass",
	[PLAN_UPLINK_LOAD] = "--allow-uplink-load",
};

static const char *flag_of(enum plan_rule rule)
{
	return rule < PLAN_OVERRIDABLE ? plan_flags[rule] : NULL;
}

const char *plan_rule_name(enum plan_rule rule)
{
	static const char *const others[PLAN_RULES] = {
		[PLAN_LOOP] = "loop",	    [PLAN_NO_INTERFACE] = "no-interface",
		[PLAN_NO_XDP] = "no-xdp",   [PLAN_TOO_MANY] = "too-many",
		[PLAN_WARNING] = "warning",
	};
	const char *flag = flag_of(rule);

	if (flag)
		return flag + strlen("--allow-");
	return rule < PLAN_RULES ? others[rule] : "?";
}

/* A place for a refusal, at the cost of the last finding that is none. */
static struct plan_finding *place(struct plan_report *r, bool refused)
{
	if (r->n_findings < PLAN_MAX_FINDINGS)
		return &r->finding[r->n_findings++];
	r->left_out++;
	for (unsigned int i = r->n_findings; refused && i-- > 0;)
		if (!r->finding[i].refused)
			return &r->finding[i];
	return NULL;
}

void plan_find(struct plan *p, enum plan_rule rule, struct conf_at at, const char *key,
	       const char *format, ...)
{
	bool refused = rule != PLAN_WARNING &&
		       !(rule < PLAN_OVERRIDABLE && p->overrides & PLAN_OVERRIDE(rule));
	struct plan_finding *f = place(p->report, refused);
	va_list ap;

	p->report->refused += refused;
	if (!f)
		return;
	f->rule = rule;
	f->refused = refused;
	f->at = at;
	snprintf(f->key, sizeof(f->key), "%s", key);
	va_start(ap, format);
	vsnprintf(f->text, sizeof(f->text), format, ap);
	va_end(ap);
}

void plan_complain(const struct plan_report *r, struct conf_errors *errors)
{
	for (unsigned int i = 0; i < r->n_findings; i++) {
		const struct plan_finding *f = &r->finding[i];
		const char *flag = flag_of(f->rule);

		if (!f->refused)
			conf_complain(errors, true, f->at, f->key, "%s%s%s", f->text,
				      flag ? "; allowed by " : "", flag ? flag : "");
		else if (flag)
			conf_complain(errors, false, f->at, f->key, "%s; %s overrides this",
				      f->text, flag);
		else
			conf_complain(errors, false, f->at, f->key, "%s; nothing overrides this",
				      f->text);
	}
}

int plan_parse_bits(const char *text, uint64_t *ret)
{
	static const char letters[] = "kMGT";
	const char *letter;
	double n, unit = 1;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	n = strtod(text, &end);
	letter = *end ? strchr(letters, *end == 'K' ? 'k' : *end) : NULL;
	if (letter) {
		for (const char *l = letters; l <= letter; l++)
			unit *= 1000;
		end++;
	}
	if (!strcmp(end, "bit") || !strcmp(end, "bit/s"))
		end += strlen(end);
	if (*end || !(n * unit >= 1) || n * unit > 1e15)
		return -EINVAL;
	*ret = (uint64_t)(n * unit);
	return 0;
}

const char *plan_bits(uint64_t bits, char ret[32])
{
	static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
	double n = (double)bits;
	size_t i = 0;

	for (; n >= 1000 && i < 4; i++)
		n /= 1000;
	snprintf(ret, 32, n >= 100 || n == (double)(uint64_t)n ? "%.0f %s" : "%.1f %s", n,
		 units[i]);
	return ret;
}
