/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate.c - the form of a gate's source and bounds
 *
 *   OP NUMBER[unit] [below baseline] [for DURATION | N times]
 *
 * What they mean is for the ramp (ctl/gate.h); here they are read. The sources in the kernel, each
 * over ramp.window and of one arm, the new one unless `arm` says otherwise (ctl/window.h):
 *
 *   kernel.failures   share of its connections that failed: the SYN was answered by a reset or not
 *                     at all, or the server reset or closed the connection before its first data
 *                     although it was asked (one that the client gave up is none)
 *   kernel.fallback   share of its connections that the old host served instead, or took back when
 *                     the backend did not answer the SYN
 *   kernel.errors     both: what failed, and what the old host served instead
 *   kernel.drops      packets lost by the programs, a number
 *   kernel.p50, kernel.p95, kernel.p99   of the time to the first answer, in ms: from the client's
 *                     first data to the server's; no answer at all is slower than any
 *   kernel.split      how far the share seen is from the weight, in points; of both arms
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/conf/types.h"

static const char *const known[] = {
	[CONF_KERNEL_ERRORS] = "errors",     [CONF_KERNEL_FAILURES] = "failures",
	[CONF_KERNEL_FALLBACK] = "fallback", [CONF_KERNEL_DROPS] = "drops",
	[CONF_KERNEL_P50] = "p50",	     [CONF_KERNEL_P95] = "p95",
	[CONF_KERNEL_P99] = "p99",	     [CONF_KERNEL_SPLIT] = "split",
};

static int read_source(const struct field *f, void *ret)
{
	const char *text = f->node->text;
	struct conf_gate *g = ret;

	if (strncmp(text, "kernel.", 7))
		return field_must(f, "%s", f->row->want);
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strcmp(text + 7, known[i]) != 0)
			continue;
		g->kernel = (enum conf_kernel_gate)i;
		return 0;
	}
	return field_must(f, "one of kernel.errors, .failures, .fallback, .drops, .p50, .p95, "
			     ".p99, .split");
}

const struct type type_source = {"a name such as kernel.errors", read_source};

/* A member of a JSON object: "latency_p95", "latency.p95", "items.0.lag". */
static int read_member(const struct field *f, void *ret)
{
	const char *text = f->node->text;
	size_t n = strlen(text);

	if (!n || n > 255 || text[0] == '.' || text[n - 1] == '.' || strstr(text, "..") ||
	    strpbrk(text, " \t\"'[]"))
		return field_must(f, "%s", f->row->type->want);
	if (f->row->size)
		snprintf(ret, f->row->size, "%s", text);
	return 0;
}

const struct type type_member = {"a member such as tps or latency.p95", read_member};

static void skip_spaces(const char **text)
{
	while (**text == ' ')
		(*text)++;
}

/* Takes `word` off the text if it begins with it and ends there. */
static bool take_word(const char **text, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*text, word, n) || ((*text)[n] && (*text)[n] != ' '))
		return false;
	*text += n;
	skip_spaces(text);
	return true;
}

static bool take_operator(const char **text, struct conf_bound *b)
{
	if (**text != '<' && **text != '>')
		return false;
	b->above = **text == '>';
	(*text)++;
	b->equal = **text == '=';
	*text += b->equal;
	skip_spaces(text);
	return true;
}

/* 100, 0.1%, 200ms: in the unit as it is written, of times in ms. */
static bool take_number(const char **text, struct conf_bound *b)
{
	static const struct {
		const char *name;
		double factor;
	} units[] = {{"%", 1}, {"us", 0.001}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	const char *begin = *text;
	size_t digits = strspn(*text, "0123456789");

	*text += digits;
	if (!digits || digits > 15)
		return false;
	if (**text == '.') {
		(*text)++;
		digits = strspn(*text, "0123456789");
		if (!digits)
			return false;
		*text += digits;
	}
	b->number = strtod(begin, NULL);
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (!take_word(text, units[i].name))
			continue;
		b->number *= units[i].factor;
		snprintf(b->unit, sizeof(b->unit), "%s", units[i].name);
		return true;
	}
	if (**text && **text != ' ')
		return false;
	skip_spaces(text);
	return true;
}

/* How long or how often; nothing is right too. */
static const char *take_tail(const char **text, struct conf_bound *b)
{
	char word[32];
	uint64_t ns;
	size_t n;

	if (!**text)
		return NULL;
	if (take_word(text, "for")) {
		n = strcspn(*text, " ");
		snprintf(word, sizeof(word), "%.*s", (int)(n < 31 ? n : 31), *text);
		if (text_parse_duration(word, &ns) || !ns)
			return "a duration such as 5m behind `for`";
		b->for_ms = ns / 1000000;
		*text += n;
	} else if (isdigit((unsigned char)**text)) {
		n = strspn(*text, "0123456789");
		if (n > 4 || !atoi(*text))
			return "a number of 1..9999 before `times`";
		b->times = (uint16_t)atoi(*text);
		*text += n;
		skip_spaces(text);
		if (!take_word(text, "times") && !take_word(text, "time"))
			return "`for DURATION` or `N times` at the end";
	}
	skip_spaces(text);
	return **text ? "OP NUMBER[unit] [below baseline] [for DURATION | N times]" : NULL;
}

const char *bound_parse(const char *text, struct conf_bound *ret)
{
	struct conf_bound b = {.at = ret->at};
	const char *wrong;

	snprintf(b.text, sizeof(b.text), "%s", text);
	skip_spaces(&text);
	if (!take_operator(&text, &b))
		return "a bound that begins with <, <=, > or >=, such as \"> 5%\"";
	if (!take_number(&text, &b))
		return "a number behind the sign, with no unit or with %, us, ms, s, m or h, such "
		       "as \"> 0.5%\"";
	b.below_baseline = take_word(&text, "below");
	if (b.below_baseline && !take_word(&text, "baseline"))
		return "`below baseline` behind the number";
	wrong = take_tail(&text, &b);
	if (!wrong)
		memcpy(ret, &b, sizeof(b));
	return wrong;
}

static int read_bound(const struct field *f, void *ret)
{
	struct conf_bound b = {.at = f->node->at};
	const char *wrong = bound_parse(f->node->text, &b);

	if (wrong)
		return field_must(f, "%s", wrong);
	memcpy(ret, &b, sizeof(b));
	return 0;
}

const struct type type_bound = {
	"a bound such as \"> 5%\", \"> 500 for 5m\" or \"> 20% below baseline 3 times\"",
	read_bound};

/* ---- in words ---- */

const char *conf_bounds_text(const struct conf_gate *g, char *ret, size_t size)
{
	const struct {
		const char *name;
		const struct conf_bounds *of;
	} kinds[] = {{"ok", &g->ok},
		     {"pause", &g->pause},
		     {"back", &g->back},
		     {"rollback", &g->rollback}};
	size_t used = 0;

	ret[0] = '\0';
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		for (unsigned int i = 0; i < kinds[k].of->n && used < size - 1; i++)
			used += (size_t)snprintf(ret + used, size - used, "%s%s %s",
						 used ? ", " : "", kinds[k].name,
						 kinds[k].of->bound[i].text);
	}
	return ret;
}

const char *conf_source_text(const struct conf_gate *g, char *ret, size_t size)
{
	switch (g->kind) {
	case CONF_GATE_JSON:
		snprintf(ret, size, "%s of %s", g->field, g->url.text);
		break;
	case CONF_GATE_PROMETHEUS:
		snprintf(ret, size, "%s at %s", g->query, g->url.text);
		break;
	case CONF_GATE_EXEC:
		snprintf(ret, size, "%s", g->argv[0].text);
		break;
	default:
		snprintf(ret, size, "kernel.%s", known[g->kernel]);
	}
	return ret;
}
