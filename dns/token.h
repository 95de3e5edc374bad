/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * token.h - OAuth 2.0 bearer tokens: Google's service accounts, Azure's client secrets
 *
 *   token_open_google(&cloud, conf->key_file, &t, why);      asks for the first one
 *   switch (token_call(t, &cloud, &call, &answer, why)) { … }    sends it along
 *
 * A token is asked for when its owner is opened and again when half of its life is over, so that
 * the way back seldom waits for a login. While an old one is still good, a login that fails is no
 * failure. RFC 6749 (4.4 client credentials, 5.2 errors), 7523 (JWT bearer), 7515 (RS256).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dns/cloud.h"

struct token;
struct json_t;

/* What a service account's key file says. */
struct token_account {
	char *email, *key_id, *token_uri;
	void *key; /* EVP_PKEY, RSA */
};

/* The text of the JSON file. 0; -EINVAL with `why`, which has nothing of the key. Pure. */
int token_account_parse(const char *text, struct token_account *ret, char *why);
void token_account_free(struct token_account *a); /* wipes the key; a zeroed one is fine */
/* The signed assertion for an hour from `now` (s since 1970), the caller's to give to cloud_forget.
 * 0; -ENOMEM, -EIO. */
int token_assertion(const struct token_account *a, int64_t now, char **ret);

/* May a secret go there: https, or http to the loopback? */
bool token_url_is_safe(const char *url);

/* Does a token of that life, had for `age_ns`, want a successor; is it still good? Pure. A minute
 * before its end (or a quarter of a shorter life) it is not: the clock there is another. */
bool token_wants_next(uint64_t age_ns, uint64_t life_ns);
bool token_is_good(uint64_t age_ns, uint64_t life_ns);

/*
 * Both read the secret and ask for a token. 0; -EACCES: refused; -EHOSTUNREACH: the login cannot be
 * reached; -EINVAL, -EPERM, …: the file. With `why`. `c` is copied; what it points to stays.
 */
int token_open_google(const struct cloud *c, const char *key_file, struct token **ret, char *why);
/* `login`: the URL without the tenant, without a final slash. */
int token_open_azure(const struct cloud *c, const char *login, struct token **ret, char *why);
void token_close(struct token *t); /* wipes; NULL is fine */

/*
 * cloud_do with "Authorization: Bearer …" before the call's own headers (at most six). A token that
 * the provider calls invalid (401) is replaced once and the call sent again: it changed nothing.
 * CLOUD_UNREACHED, too, when the login cannot be reached and the token is no longer good.
 */
enum cloud_outcome token_call(struct token *t, const struct cloud *c, const struct cloud_call *call,
			      bool (*throttled)(const struct http_reply *r), struct http_reply *ret,
			      char *why);
