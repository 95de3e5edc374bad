/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * route53_credentials.c - the credentials file that AWS's own tools write
 *
 *   [default]
 *   aws_access_key_id = AKID
 *   aws_secret_access_key = SECRET
 *   aws_session_token = TOKEN        of temporary ones
 *
 * Read strictly: a line that is neither of these shapes is an error, for a secret that is read half
 * signs wrongly and nobody sees why. Keys that say that the credentials are somewhere else (a role
 * to be assumed, a program to be run) are refused by name; those that tools note down besides
 * (region, expiry) are passed over.
 */
#include "dns/route53.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dns/cloud.h"

#define MAX_PROFILES 64

static const char *const keys[] = {"aws_access_key_id", "aws_secret_access_key",
				   "aws_session_token"};
enum { KEY_ID, KEY_SECRET, KEY_TOKEN, KEYS };

static const char *const elsewhere[] = {
	"role_arn", "source_profile",	       "credential_source", "credential_process",
	"sso_",	    "web_identity_token_file", "login_session"};

struct part { /* of the text */
	const char *at;
	size_t n;
};

struct profile {
	struct part name;
	struct part value[KEYS];
	const char *elsewhere; /* a key that says so */
	unsigned int line;
};

struct reader {
	struct profile profile[MAX_PROFILES];
	unsigned int n, line;
	char *why;
};

static int wrong(const struct reader *r, const char *what)
{
	snprintf(r->why, DNS_WHY, "line %u: %s", r->line, what);
	return -EINVAL;
}

static struct part trimmed(const char *at, size_t n)
{
	while (n && isspace((unsigned char)*at))
		at++, n--;
	while (n && isspace((unsigned char)at[n - 1]))
		n--;
	return (struct part){at, n};
}

static bool is(struct part p, const char *text)
{
	return p.n == strlen(text) && !memcmp(p.at, text, p.n);
}

static int begin_profile(struct reader *r, struct part line)
{
	struct part name;

	if (line.at[line.n - 1] != ']')
		return wrong(r, "a profile's name without ']'");
	name = trimmed(line.at + 1, line.n - 2);
	if (name.n > 8 && !memcmp(name.at, "profile ", 8))
		name = trimmed(name.at + 8, name.n - 8);
	if (!name.n)
		return wrong(r, "a profile without a name");
	for (unsigned int i = 0; i < r->n; i++)
		if (r->profile[i].name.n == name.n &&
		    !memcmp(r->profile[i].name.at, name.at, name.n))
			return wrong(r, "a profile that was there before");
	if (r->n == MAX_PROFILES)
		return wrong(r, "too many profiles");
	r->profile[r->n++] = (struct profile){.name = name, .line = r->line};
	return 0;
}

static int set_key(struct reader *r, struct part key, struct part value)
{
	struct profile *p = &r->profile[r->n - 1];

	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(*elsewhere); i++)
		if (key.n >= strlen(elsewhere[i]) &&
		    !memcmp(key.at, elsewhere[i], strlen(elsewhere[i])))
			p->elsewhere = elsewhere[i];
	for (unsigned int i = 0; i < KEYS; i++) {
		if (!is(key, keys[i]))
			continue;
		if (p->value[i].at)
			return wrong(r, "a key that was there before");
		if (!value.n)
			return wrong(r, "a key without a value");
		for (size_t k = 0; k < value.n; k++)
			if (!isgraph((unsigned char)value.at[k]))
				return wrong(r, "a value with a blank or a control character");
		p->value[i] = value;
	}
	return 0;
}

static int read_line(struct reader *r, const char *at, size_t n)
{
	struct part line = trimmed(at, n), key, value;
	const char *equals;

	r->line++;
	if (!line.n || *line.at == '#' || *line.at == ';')
		return 0;
	if (*line.at == '[')
		return begin_profile(r, line);
	equals = memchr(line.at, '=', line.n);
	if (!equals)
		return wrong(r, "neither [PROFILE] nor KEY = VALUE");
	if (!r->n)
		return wrong(r, "a key before the first [PROFILE]");
	key = trimmed(line.at, (size_t)(equals - line.at));
	value = trimmed(equals + 1, line.n - (size_t)(equals + 1 - line.at));
	if (!key.n)
		return wrong(r, "a value without a key");
	if (isspace((unsigned char)*at)) /* a key below a key: settings of one service */
		return 0;
	return set_key(r, key, value);
}

static int choose(const struct reader *r, const struct profile **ret)
{
	const struct profile *p = r->n == 1 ? &r->profile[0] : NULL;

	for (unsigned int i = 0; i < r->n; i++)
		if (is(r->profile[i].name, "default"))
			p = &r->profile[i];
	if (!p) {
		snprintf(r->why, DNS_WHY,
			 r->n ? "several profiles, and none is [default]" : "no [default] in it");
		return -EINVAL;
	}
	if (p->elsewhere) {
		snprintf(r->why, DNS_WHY,
			 "the profile of line %u has %s: only keys that stand in the file are used",
			 p->line, p->elsewhere);
		return -EINVAL;
	}
	for (unsigned int i = KEY_ID; i <= KEY_SECRET; i++) {
		if (!p->value[i].at) {
			snprintf(r->why, DNS_WHY, "the profile of line %u has no %s", p->line,
				 keys[i]);
			return -EINVAL;
		}
	}
	if (memchr(p->value[KEY_ID].at, ':', p->value[KEY_ID].n)) {
		snprintf(r->why, DNS_WHY, "%s has a ':', which none of AWS's has", keys[KEY_ID]);
		return -EINVAL;
	}
	*ret = p;
	return 0;
}

/* "A" "between" "B", for cloud_forget. */
static char *joined(struct part a, const char *between, struct part b)
{
	size_t n = strlen(between);
	char *ret = malloc(a.n + n + b.n + 1);

	if (!ret)
		return NULL;
	memcpy(ret, a.at, a.n);
	memcpy(ret + a.n, between, n);
	memcpy(ret + a.n + n, b.at, b.n);
	ret[a.n + n + b.n] = '\0';
	return ret;
}

int route53_credentials_parse(const char *text, struct route53_credentials *ret, char *why)
{
	static const struct part header = {"X-Amz-Security-Token", 20};
	struct reader *r = calloc(1, sizeof(*r));
	const struct profile *p = NULL;
	int err = 0;

	*ret = (struct route53_credentials){0};
	if (!r)
		return -ENOMEM;
	r->why = why;
	for (const char *at = text; *at && !err;) {
		size_t n = strcspn(at, "\n");

		err = read_line(r, at, n);
		at += n + (at[n] == '\n');
	}
	if (!err)
		err = choose(r, &p);
	if (!err) {
		ret->user = joined(p->value[KEY_ID], ":", p->value[KEY_SECRET]);
		if (p->value[KEY_TOKEN].at)
			ret->token = joined(header, ": ", p->value[KEY_TOKEN]);
		if (!ret->user || (p->value[KEY_TOKEN].at && !ret->token)) {
			route53_credentials_forget(ret);
			snprintf(why, DNS_WHY, "no memory");
			err = -ENOMEM;
		}
	}
	free(r); /* has places in the text, no secret */
	return err;
}

void route53_credentials_forget(struct route53_credentials *c)
{
	cloud_forget(c->user);
	cloud_forget(c->token);
	*c = (struct route53_credentials){0};
}
