/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * token.c - from a secret on disk to a bearer token, and to the next one
 *
 * The secret is read once, when its owner is opened: a key file that is taken away later does not
 * close the way back. It is kept as OpenSSL's key (Google) or as text (Azure), together with one
 * token, and all of it is wiped at the end. Ages are CLOCK_BOOTTIME, so that neither a clock that
 * is set nor a suspended host makes an old token look young; only the assertion's own times are
 * those of the calendar, and a clock that is wrong is therefore named when a login is refused.
 *
 * Weakness: libcurl keeps copies of what it sent until its buffers are freed, and does not wipe
 * them.
 */
#include "dns/token.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/ip.h"
#include "userspace/conf/config.h"

#define SECOND	    UINT64_C(1000000000)
#define HOUR	    3600
#define KEY_MAX	    (64 * 1024)
#define TOKEN_MAX   (16 * 1024)
#define MARGIN	    (60 * SECOND)
#define MAX_HEADERS 6
#define SCOPE	    "https://www.googleapis.com/auth/ndev.clouddns.readwrite"

struct token {
	struct cloud cloud;
	struct token_account account; /* Google */
	char *url;
	char *form;   /* Azure: the whole of the login's body; NULL: Google */
	char *header; /* "Authorization: Bearer …"; NULL: none yet */
	uint64_t had, life;
};

/* ---- pure ---- */

bool token_wants_next(uint64_t age_ns, uint64_t life_ns)
{
	return age_ns >= life_ns / 2;
}

bool token_is_good(uint64_t age_ns, uint64_t life_ns)
{
	uint64_t margin = life_ns / 4 < MARGIN ? life_ns / 4 : MARGIN;

	return age_ns < life_ns - margin;
}

bool token_url_is_safe(const char *url)
{
	char host[256];
	uint32_t ip[4], loopback[4];
	uint16_t port;
	size_t n;

	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '\\' || *p == '@')
			return false;
	if (!strncmp(url, "https://", 8))
		return url[8] && !strchr("/?#:", url[8]);
	if (strncmp(url, "http://", 7))
		return false;
	n = strcspn(url + 7, "/?#");
	if (!n || n >= sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)n, url + 7);
	if (!strcmp(host, "localhost") || !strncmp(host, "localhost:", 10))
		return true;
	if (ip_parse(host, ip, &port))
		return false;
	if (ip_is_v4(ip)) {
		ip_parse("127.0.0.0", loopback, &port);
		return ip_in(ip, loopback, 104);
	}
	ip_parse("::1", loopback, &port);
	return !memcmp(ip, loopback, sizeof(ip));
}

/* jansson frees without wiping. */
static void wipe_json(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (text)
		explicit_bzero((char *)(uintptr_t)text, strlen(text));
}

/* RFC 7515 appendix C: base64 without '=', with '-' and '_'. Returns the end of what was written,
 * of which there is room for. */
static char *base64url(char *to, const uint8_t *data, size_t size)
{
	int n = EVP_EncodeBlock((uint8_t *)to, data, (int)size);

	for (int i = 0; i < n; i++)
		if (to[i] == '+')
			to[i] = '-';
		else if (to[i] == '/')
			to[i] = '_';
	while (n && to[n - 1] == '=')
		n--;
	to[n] = '\0';
	return to + n;
}

static int no_passphrase(char *buffer, int size, int writes, void *arg)
{
	(void)buffer, (void)size, (void)writes, (void)arg;
	return -1;
}

static EVP_PKEY *read_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	if (key && EVP_PKEY_base_id(key) != EVP_PKEY_RSA) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

static int take(json_t *o, const char *key, char **ret, char *why)
{
	const char *text = json_string_value(json_object_get(o, key));

	if (!text || !*text) {
		snprintf(why, DNS_WHY, "no %s in it: must be a service account's key file", key);
		return -EINVAL;
	}
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int account_of(json_t *o, struct token_account *a, char *why)
{
	const char *type = json_string_value(json_object_get(o, "type"));
	const char *pem = json_string_value(json_object_get(o, "private_key"));
	int err;

	if (!type || strcmp(type, "service_account")) {
		snprintf(why, DNS_WHY,
			 "its type is not service_account: must be the key file of a "
			 "service account");
		return -EINVAL;
	}
	if ((err = take(o, "client_email", &a->email, why)) ||
	    (err = take(o, "private_key_id", &a->key_id, why)) ||
	    (err = take(o, "token_uri", &a->token_uri, why)))
		return err;
	if (!token_url_is_safe(a->token_uri)) {
		snprintf(why, DNS_WHY, "its token_uri is neither https nor of the loopback");
		return -EINVAL;
	}
	a->key = pem ? read_key(pem) : NULL;
	if (!a->key) {
		snprintf(why, DNS_WHY, "its private_key is no RSA key in PEM");
		return -EINVAL;
	}
	return 0;
}

int token_account_parse(const char *text, struct token_account *ret, char *why)
{
	struct token_account a = {0};
	json_error_t error;
	json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	int err;

	/* error.text quotes what it could not read, which may be of the key. */
	if (!o) {
		snprintf(why, DNS_WHY, "line %d is no JSON", error.line);
		return -EINVAL;
	}
	err = account_of(o, &a, why);
	wipe_json(o, "private_key");
	json_decref(o);
	if (err) {
		token_account_free(&a);
		return err;
	}
	*ret = a;
	return 0;
}

void token_account_free(struct token_account *a)
{
	free(a->email);
	free(a->key_id);
	free(a->token_uri);
	EVP_PKEY_free(a->key);
	memset(a, 0, sizeof(*a));
}

static int sign(EVP_PKEY *key, const char *text, uint8_t **ret, size_t *ret_size)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t *signature = NULL;
	size_t size = 0;
	int err = -EIO;

	if (md && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(md, NULL, &size, (const uint8_t *)text, strlen(text)) == 1 &&
	    (signature = malloc(size)) &&
	    EVP_DigestSign(md, signature, &size, (const uint8_t *)text, strlen(text)) == 1)
		err = 0;
	EVP_MD_CTX_free(md);
	if (err) {
		free(signature);
		return err;
	}
	*ret = signature;
	*ret_size = size;
	return 0;
}

int token_assertion(const struct token_account *a, int64_t now, char **ret)
{
	json_t *header =
		json_pack("{s:s, s:s, s:s}", "alg", "RS256", "typ", "JWT", "kid", a->key_id);
	json_t *claims =
		json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", a->email, "scope", SCOPE, "aud",
			  a->token_uri, "iat", (json_int_t)now, "exp", (json_int_t)(now + HOUR));
	char *first = header ? json_dumps(header, JSON_COMPACT) : NULL;
	char *second = claims ? json_dumps(claims, JSON_COMPACT) : NULL;
	uint8_t *signature = NULL;
	char *text = NULL, *at;
	size_t size = 0;
	int err = -ENOMEM;

	if (first && second)
		text = malloc(2 * (strlen(first) + strlen(second)) + 2 * KEY_MAX);
	if (text) {
		at = base64url(text, (const uint8_t *)first, strlen(first));
		*at++ = '.';
		base64url(at, (const uint8_t *)second, strlen(second));
		err = sign(a->key, text, &signature, &size);
		if (!err && size > KEY_MAX)
			err = -EIO;
	}
	if (!err) {
		at = text + strlen(text);
		*at++ = '.';
		base64url(at, signature, size);
		*ret = text;
		text = NULL;
	}
	free(text);
	free(signature);
	free(first);
	free(second);
	json_decref(header);
	json_decref(claims);
	return err;
}

/* ---- the login ---- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

/* The body of the login's POST. */
static int login_form(const struct token *t, char **ret)
{
	char *assertion, *form = NULL;
	int err;

	if (t->form) {
		*ret = strdup(t->form);
		return *ret ? 0 : -ENOMEM;
	}
	err = token_assertion(&t->account, (int64_t)time(NULL), &assertion);
	if (err)
		return err;
	if (asprintf(&form,
		     "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer"
		     "&assertion=%s",
		     assertion) < 0)
		err = -ENOMEM;
	cloud_forget(assertion);
	if (!err)
		*ret = form;
	return err;
}

/* RFC 6749 5.2: {"error":"invalid_grant","error_description":"…"}. Azure's description has lines
 * of trace identifiers behind the first. */
static void refusal(const struct token *t, const struct http_reply *r, char *why)
{
	json_t *o = r->body ? json_loads(r->body, 0, NULL) : NULL;
	const char *error = json_string_value(json_object_get(o, "error"));
	const char *words = json_string_value(json_object_get(o, "error_description"));
	char shown[256];

	if (error)
		snprintf(why, DNS_WHY, "%s: the login is refused: %.60s%s%.*s%s", t->cloud.title,
			 error, words ? ": " : "", words ? (int)strcspn(words, "\r\n") : 0,
			 words ? words : "",
			 !strcmp(error, "invalid_grant")
				 ? " (is the key still valid, and this host's clock right?)"
				 : "");
	else
		snprintf(why, DNS_WHY, "%s: the login is refused: status %ld: %s", t->cloud.title,
			 r->status, cloud_shown(r, shown));
	for (char *p = why; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	json_decref(o);
}

/* Takes the token out of an answer with status 200. */
static int accept_token(struct token *t, const struct http_reply *r, char *why)
{
	json_t *o = json_loadb(r->body, r->size, 0, NULL);
	const char *text = json_string_value(json_object_get(o, "access_token"));
	const char *type = json_string_value(json_object_get(o, "token_type"));
	double life = json_number_value(json_object_get(o, "expires_in"));
	char *header = NULL;
	bool good = text && *text && strlen(text) < TOKEN_MAX && type &&
		    !strcasecmp(type, "Bearer") && life >= 1 && life < 366 * 24 * HOUR;

	for (const char *p = text; good && *p; p++)
		good = *p > ' ' && *p <= '~';
	if (good && asprintf(&header, "Authorization: Bearer %s", text) < 0)
		header = NULL;
	wipe_json(o, "access_token");
	json_decref(o);
	if (!header) {
		snprintf(why, DNS_WHY, "%s: the login answered without a token that can be used",
			 t->cloud.title);
		return good ? -ENOMEM : -EPROTO;
	}
	cloud_forget(t->header);
	t->header = header;
	t->had = now_ns();
	t->life = (uint64_t)(life * (double)SECOND);
	return 0;
}

static enum cloud_outcome login(struct token *t, char *why)
{
	static const char *const headers[] = {
		"Content-Type: application/x-www-form-urlencoded",
		"Accept: application/json",
		NULL,
	};
	struct cloud_call call = {
		.method = "POST", .url = t->url, .headers = headers, .reads = true};
	struct http_reply r = {0};
	enum cloud_outcome out;
	char *form;
	int err = login_form(t, &form);

	if (err) {
		snprintf(why, DNS_WHY, "%s: the login cannot be signed: %s", t->cloud.title,
			 strerror(-err));
		return CLOUD_DENIED;
	}
	call.body = form;
	out = cloud_do(&t->cloud, &call, NULL, &r, why);
	cloud_forget(form);
	if (out == CLOUD_DENIED || (out == CLOUD_ANSWERED && r.status != 200)) {
		refusal(t, &r, why);
		out = CLOUD_DENIED;
	} else if (out == CLOUD_ANSWERED && accept_token(t, &r, why)) {
		out = CLOUD_DENIED;
	} else if (out == CLOUD_LOST) {
		out = CLOUD_UNREACHED; /* a login changes nothing */
	}
	if (r.body)
		explicit_bzero(r.body, r.size);
	http_reply_free(&r);
	return out;
}

static enum cloud_outcome make_ready(struct token *t, char *why)
{
	uint64_t age = now_ns() - t->had;
	enum cloud_outcome out;

	if (t->header && !token_wants_next(age, t->life))
		return CLOUD_ANSWERED;
	out = login(t, why);
	if (out != CLOUD_ANSWERED && t->header && token_is_good(age, t->life))
		return CLOUD_ANSWERED;
	return out;
}

/* ---- whole ---- */

static int first_login(struct token *t, struct token **ret, char *why)
{
	switch (login(t, why)) {
	case CLOUD_ANSWERED:
		*ret = t;
		return 0;
	case CLOUD_DENIED:
		token_close(t);
		return -EACCES;
	default:
		token_close(t);
		return -EHOSTUNREACH;
	}
}

int token_open_google(const struct cloud *c, const char *key_file, struct token **ret, char *why)
{
	struct token *t = calloc(1, sizeof(*t));
	char words[DNS_WHY] = "", *text;
	int err;

	if (!t)
		return -ENOMEM;
	t->cloud = *c;
	err = cloud_secret(key_file, &text, why);
	if (err) {
		token_close(t);
		return err;
	}
	err = token_account_parse(text, &t->account, words);
	cloud_forget(text);
	if (err) {
		snprintf(why, DNS_WHY, "%.200s: %.300s", key_file, words);
		token_close(t);
		return err;
	}
	t->url = strdup(t->account.token_uri);
	if (!t->url) {
		token_close(t);
		return -ENOMEM;
	}
	return first_login(t, ret, why);
}

/* "client_id=…&client_secret=…", the secret escaped. */
static int azure_form(const struct conf_provider *conf, const char *secret, char **ret)
{
	size_t size = 3 * strlen(secret) + 1;
	char id[3 * sizeof(conf->client_id)], *escaped = malloc(size);
	int err = escaped ? cloud_escape(secret, escaped, size) : -ENOMEM;

	if (!err)
		err = cloud_escape(conf->client_id, id, sizeof(id));
	if (!err && asprintf(ret,
			     "grant_type=client_credentials&client_id=%s&client_secret=%s"
			     "&scope=https%%3A%%2F%%2Fmanagement.azure.com%%2F.default",
			     id, escaped) < 0) {
		*ret = NULL;
		err = -ENOMEM;
	}
	if (escaped)
		explicit_bzero(escaped, size);
	free(escaped);
	return err;
}

int token_open_azure(const struct cloud *c, const char *login_url, struct token **ret, char *why)
{
	char tenant[3 * sizeof(c->conf->tenant)], *secret = NULL;
	struct token *t;
	int err;

	if (!token_url_is_safe(login_url)) {
		snprintf(why, DNS_WHY,
			 "dns.provider.azure.login: must be https, or of the "
			 "loopback: the secret goes there");
		return -EINVAL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->cloud = *c;
	err = cloud_escape(c->conf->tenant, tenant, sizeof(tenant));
	if (!err && asprintf(&t->url, "%s/%s/oauth2/v2.0/token", login_url, tenant) < 0) {
		t->url = NULL;
		err = -ENOMEM;
	}
	if (!err)
		err = cloud_secret(c->conf->key_file, &secret, why);
	if (!err)
		err = azure_form(c->conf, secret, &t->form);
	cloud_forget(secret);
	if (err) {
		token_close(t);
		return err;
	}
	return first_login(t, ret, why);
}

void token_close(struct token *t)
{
	if (!t)
		return;
	token_account_free(&t->account);
	free(t->url);
	cloud_forget(t->form);
	cloud_forget(t->header);
	free(t);
}

static enum cloud_outcome call_once(struct token *t, const struct cloud *c,
				    const struct cloud_call *call,
				    bool (*throttled)(const struct http_reply *r),
				    struct http_reply *ret, char *why)
{
	const char *headers[MAX_HEADERS + 2] = {t->header};
	struct cloud_call with = *call;

	for (unsigned int i = 0; call->headers && call->headers[i] && i < MAX_HEADERS; i++)
		headers[i + 1] = call->headers[i];
	with.headers = headers;
	return cloud_do(c, &with, throttled, ret, why);
}

enum cloud_outcome token_call(struct token *t, const struct cloud *c, const struct cloud_call *call,
			      bool (*throttled)(const struct http_reply *r), struct http_reply *ret,
			      char *why)
{
	enum cloud_outcome out;

	memset(ret, 0, sizeof(*ret));
	out = make_ready(t, why);
	if (out != CLOUD_ANSWERED)
		return out;
	out = call_once(t, c, call, throttled, ret, why);
	if (out != CLOUD_DENIED || ret->status != 401)
		return out;
	http_reply_free(ret);
	memset(ret, 0, sizeof(*ret));
	out = login(t, why);
	return out == CLOUD_ANSWERED ? call_once(t, c, call, throttled, ret, why) : out;
}
