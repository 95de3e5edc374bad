/* SPDX-License-Identifier: GPL-2.0-only */
#include "dns/tsig.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "dns/change.h"
#include "userspace/base/file.h"

#define TSIG	   250
#define KEY_FILE   65536
#define SECRET_B64 ((TSIG_SECRET + 2) / 3 * 4)

static const struct {
	const char *name;
	const EVP_MD *(*md)(void);
} algorithms[] = {
	[CONF_SHA256] = {"hmac-sha256", EVP_sha256}, [CONF_SHA384] = {"hmac-sha384", EVP_sha384},
	[CONF_SHA512] = {"hmac-sha512", EVP_sha512}, [CONF_SHA224] = {"hmac-sha224", EVP_sha224},
	[CONF_SHA1] = {"hmac-sha1", EVP_sha1},
};

const char *tsig_algorithm(enum conf_tsig algorithm)
{
	return algorithms[algorithm].name;
}

const char *tsig_error(uint16_t error, char ret[16])
{
	switch (error) {
	case TSIG_BADSIG:
		return "BADSIG";
	case TSIG_BADKEY:
		return "BADKEY";
	case TSIG_BADTIME:
		return "BADTIME";
	case TSIG_BADTRUNC:
		return "BADTRUNC";
	default:
		snprintf(ret, 16, "error %u", error);
		return ret;
	}
}

/* ---- the key's file ---- */

/* The next word of named's syntax, or one of { } ; as itself; "" at the end. Words that are too
 * long are cut, which makes them wrong. */
static const char *next_word(const char *p, char *word, size_t size)
{
	size_t n = 0;

	for (;;) {
		p += strspn(p, " \t\r\n");
		if (*p == '#' || !strncmp(p, "//", 2)) {
			p += strcspn(p, "\n");
		} else if (!strncmp(p, "/*", 2)) {
			const char *end = strstr(p + 2, "*/");

			p = end ? end + 2 : p + strlen(p);
		} else {
			break;
		}
	}
	if (*p == '"') {
		n = strcspn(p + 1, "\"");
		snprintf(word, size, "%.*s", (int)n, p + 1);
		return p + 1 + n + (p[1 + n] == '"');
	}
	n = *p && strchr("{};", *p) ? 1 : strcspn(p, " \t\r\n{};\"");
	snprintf(word, size, "%.*s", (int)n, p);
	return p + n;
}

static int decode(const char *base64, struct tsig_key *k, char *why)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789+/";
	size_t n = strlen(base64), body = strspn(base64, alphabet), pad = n - body;
	uint8_t out[SECRET_B64];
	int got;

	if (!body || pad > 2 || strspn(base64 + body, "=") != pad || n % 4 ||
	    n / 4 * 3 > sizeof(k->secret)) {
		snprintf(why, DNS_WHY,
			 "holds no key: the secret in base64 alone on a line, or key NAME { "
			 "algorithm …; secret \"…\"; };");
		return -EINVAL;
	}
	got = EVP_DecodeBlock(out, (const unsigned char *)base64, (int)n);
	if (got > (int)pad) {
		k->size = (size_t)got - pad;
		memcpy(k->secret, out, k->size);
	}
	explicit_bzero(out, sizeof(out));
	if (got > (int)pad)
		return 0;
	snprintf(why, DNS_WHY, "its secret is no base64");
	return -EINVAL;
}

struct block {
	char name[DNS_NAME], algorithm[64], secret[SECRET_B64 + 8];
};

/* What stands behind the word `key`: the name and the block. NULL: it is no such thing. */
static const char *read_block(const char *p, struct block *b)
{
	char word[SECRET_B64 + 8];

	memset(b, 0, sizeof(*b));
	p = next_word(p, b->name, sizeof(b->name));
	p = next_word(p, word, sizeof(word));
	while (word[0] && strcmp(word, "}") != 0) {
		p = next_word(p, word, sizeof(word));
		if (!strcmp(word, "algorithm"))
			p = next_word(p, b->algorithm, sizeof(b->algorithm));
		else if (!strcmp(word, "secret"))
			p = next_word(p, b->secret, sizeof(b->secret));
	}
	p = word[0] ? next_word(p, word, sizeof(word)) : NULL;
	if (p && strcmp(word, ";") != 0)
		p = NULL;
	explicit_bzero(word, sizeof(word));
	return p;
}

static int take_block(const struct block *b, const char *name, struct tsig_key *ret, char *why)
{
	const char *algorithm = algorithms[ret->algorithm].name;

	if (b->algorithm[0] && strcasecmp(b->algorithm, algorithm) != 0) {
		snprintf(why, DNS_WHY, "has key %.200s for %s, not %s", name, b->algorithm,
			 algorithm);
		return -EINVAL;
	}
	return decode(b->secret, ret, why);
}

static int parse_blocks(const char *p, const char *name, struct tsig_key *ret, char *why)
{
	char word[64], found[DNS_NAME] = "";
	struct wire_name is;
	struct block b;
	int err = -ENOENT;

	for (;;) {
		p = next_word(p, word, sizeof(word));
		if (!word[0])
			break;
		p = strcmp(word, "key") ? NULL : read_block(p, &b);
		if (!p) {
			snprintf(why, DNS_WHY,
				 "is not understood: key NAME { algorithm …; secret "
				 "\"…\"; };");
			err = -EINVAL;
			break;
		}
		snprintf(found, sizeof(found), "%s", b.name);
		if (wire_name_from(b.name, &is) || !wire_name_same(&is, &ret->name))
			continue;
		err = take_block(&b, name, ret, why);
		break;
	}
	explicit_bzero(&b, sizeof(b));
	if (err == -ENOENT)
		snprintf(why, DNS_WHY, "has key %.200s, not %.200s", found, name);
	return err;
}

static int parse_bare(const char *text, struct tsig_key *ret, char *why)
{
	char line[SECRET_B64 + 8];
	size_t n;
	int err;

	do {
		text += strspn(text, " \t\r\n");
		if (*text == '#')
			text += strcspn(text, "\n");
	} while (*text && strchr("# \t\r\n", *text));
	n = strcspn(text, " \t\r\n");
	if (n >= sizeof(line) || text[n + strspn(text + n, " \t\r\n")])
		n = 0;
	snprintf(line, sizeof(line), "%.*s", (int)n, text);
	err = decode(line, ret, why);
	explicit_bzero(line, sizeof(line));
	return err;
}

int tsig_key_parse(const char *text, const char *name, enum conf_tsig algorithm,
		   struct tsig_key *ret, char *why)
{
	char word[8];
	int err;

	memset(ret, 0, sizeof(*ret));
	ret->algorithm = algorithm;
	if (wire_name_from(name, &ret->name)) {
		snprintf(why, DNS_WHY, "'%.200s' is no name of a key", name);
		return -EINVAL;
	}
	next_word(text, word, sizeof(word));
	err = strcmp(word, "key") ? parse_bare(text, ret, why) : parse_blocks(text, name, ret, why);
	explicit_bzero(word, sizeof(word));
	if (err)
		tsig_key_wipe(ret);
	return err;
}

static int read_file(int fd, char *text, char *why)
{
	size_t used = 0;

	for (;;) {
		ssize_t n = read(fd, text + used, KEY_FILE - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			snprintf(why, DNS_WHY, "%s", strerror(errno));
			return -errno;
		}
		if (!n)
			break;
		used += (size_t)n;
		if (used == KEY_FILE) {
			snprintf(why, DNS_WHY, "is too long for a key");
			return -EFBIG;
		}
	}
	text[used] = '\0';
	return 0;
}

int tsig_key_read(const char *path, const char *name, enum conf_tsig algorithm,
		  struct tsig_key *ret, char *why)
{
	char *text = calloc(1, KEY_FILE + 1), said[DNS_WHY] = "";
	int fd, err;

	if (!text)
		return -ENOMEM;
	fd = file_open_secret(path, said, sizeof(said));
	if (fd < 0) {
		snprintf(why, DNS_WHY, "key_file: %.200s%s%.250s", said[0] ? "" : path,
			 said[0] ? "" : ": ", said[0] ? said : strerror(-fd));
		free(text);
		return fd;
	}
	err = read_file(fd, text, said);
	close(fd);
	if (!err)
		err = tsig_key_parse(text, name, algorithm, ret, said);
	explicit_bzero(text, KEY_FILE + 1);
	free(text);
	if (err)
		snprintf(why, DNS_WHY, "key_file: %.200s %.300s", path, said);
	return err;
}

void tsig_key_wipe(struct tsig_key *k)
{
	explicit_bzero(k, sizeof(*k));
}

/* ---- the signature ---- */

struct variables {
	uint64_t time;
	uint16_t fudge, error;
	const uint8_t *other;
	uint16_t other_size;
};

static void put_time(struct wire_out *o, uint64_t t)
{
	wire_put16(o, (uint16_t)(t >> 32));
	wire_put32(o, (uint32_t)t);
}

static uint64_t get_time(const uint8_t *p)
{
	return (uint64_t)wire_get16(p) << 32 | wire_get32(p + 2);
}

static int algorithm_name(enum conf_tsig a, struct wire_name *ret)
{
	return wire_name_from(algorithms[a].name, ret);
}

/* RFC 8945 4.3: the question's MAC, the message without the record, the variables. */
static int mac_of(const struct tsig_key *k, const uint8_t *message, size_t size,
		  const struct tsig_mac *of, const struct variables *v, struct tsig_mac *ret)
{
	size_t room = size + 2 + TSIG_MAC + 2 * WIRE_NAME + 18 + v->other_size;
	struct wire_out o = {.data = malloc(room), .size = room};
	struct wire_name algorithm;
	unsigned int n = 0;
	int err = -EIO;

	if (!o.data)
		return -ENOMEM;
	if (of) {
		wire_put16(&o, of->size);
		wire_put(&o, of->data, of->size);
	}
	wire_put(&o, message, size);
	wire_put_name(&o, &k->name);
	wire_put16(&o, WIRE_ANY);
	wire_put32(&o, 0);
	if (!algorithm_name(k->algorithm, &algorithm))
		wire_put_name(&o, &algorithm);
	put_time(&o, v->time);
	wire_put16(&o, v->fudge);
	wire_put16(&o, v->error);
	wire_put16(&o, v->other_size);
	wire_put(&o, v->other, v->other_size);
	if (!o.over && HMAC(algorithms[k->algorithm].md(), k->secret, (int)k->size, o.data, o.used,
			    ret->data, &n)) {
		ret->size = (uint16_t)n;
		err = 0;
	}
	free(o.data);
	return err;
}

int tsig_sign(const struct tsig_key *k, struct wire_out *message, uint64_t now,
	      const struct tsig_mac *of, uint16_t error, uint64_t other_time,
	      struct tsig_mac *ret_mac)
{
	uint8_t other[6], rdata[WIRE_NAME + 16 + TSIG_MAC + sizeof(other)];
	struct wire_out times = {.data = other, .size = sizeof(other)};
	struct wire_out o = {.data = rdata, .size = sizeof(rdata)};
	struct variables v = {.time = now, .fudge = TSIG_FUDGE, .error = error, .other = other};
	struct wire_name algorithm;
	int err;

	if (message->over || message->used < WIRE_HEADER ||
	    algorithm_name(k->algorithm, &algorithm))
		return -ENOSPC;
	if (other_time) {
		put_time(&times, other_time);
		v.other_size = (uint16_t)times.used;
	}
	err = mac_of(k, message->data, message->used, of, &v, ret_mac);
	if (err)
		return err;
	wire_put_name(&o, &algorithm);
	put_time(&o, now);
	wire_put16(&o, TSIG_FUDGE);
	wire_put16(&o, ret_mac->size);
	wire_put(&o, ret_mac->data, ret_mac->size);
	wire_put(&o, message->data, 2); /* the ID as it was signed */
	wire_put16(&o, error);
	wire_put16(&o, v.other_size);
	wire_put(&o, other, v.other_size);
	wire_put_rr(message, &k->name, TSIG, WIRE_ANY, 0, rdata, (uint16_t)o.used);
	if (message->over)
		return -ENOSPC;
	if (!++message->data[11])
		message->data[10]++;
	return 0;
}

/* The record's data, taken apart; its parts stay in the message. */
struct record {
	struct wire_name algorithm;
	struct variables v;
	const uint8_t *mac, *id;
	uint16_t mac_size;
};

static int read_record(const uint8_t *message, const struct wire_rr *rr, struct record *ret)
{
	size_t end = (size_t)(rr->rdata - message) + rr->rdlength;
	size_t at = (size_t)(rr->rdata - message);
	int err = wire_read_name(message, end, &at, &ret->algorithm);

	if (err)
		return err;
	if (end - at < 10)
		return -EBADMSG;
	ret->v.time = get_time(message + at);
	ret->v.fudge = wire_get16(message + at + 6);
	ret->mac_size = wire_get16(message + at + 8);
	ret->mac = message + at + 10;
	at += 10;
	if (end - at < ret->mac_size || end - at - ret->mac_size < 6)
		return -EBADMSG;
	at += ret->mac_size;
	ret->id = message + at;
	ret->v.error = wire_get16(message + at + 2);
	ret->v.other_size = wire_get16(message + at + 4);
	ret->v.other = message + at + 6;
	return end - at - 6 == ret->v.other_size ? 0 : -EBADMSG;
}

/* The last record of the message, if it is a TSIG. 0; -ENOKEY; -EBADMSG: also for one that is
 * elsewhere, or bytes behind the end. */
static int find_record(const uint8_t *message, size_t size, struct wire_rr *ret)
{
	unsigned int n;
	size_t at;
	int err = wire_skip_questions(message, size, &at);

	if (err)
		return err;
	n = wire_count(message, 1) + wire_count(message, 2) + wire_count(message, 3);
	for (unsigned int i = 0; i < n; i++) {
		err = wire_read_rr(message, size, &at, ret);
		if (err)
			return err;
		if (ret->type == TSIG && i + 1 < n)
			return -EBADMSG;
	}
	if (at != size)
		return -EBADMSG;
	return n && ret->type == TSIG && wire_count(message, 3) ? 0 : -ENOKEY;
}

static int check_mac(const struct tsig_key *k, const uint8_t *message, const struct wire_rr *rr,
		     const struct record *r, const struct tsig_mac *of)
{
	uint8_t *bare = malloc(rr->at);
	struct tsig_mac mac;
	unsigned int count;
	int err;

	if (!bare)
		return -ENOMEM;
	memcpy(bare, message, rr->at);
	memcpy(bare, r->id, 2);
	count = wire_count(message, 3) - 1;
	bare[10] = (uint8_t)(count >> 8);
	bare[11] = (uint8_t)count;
	err = mac_of(k, bare, rr->at, of, &r->v, &mac);
	if (!err && (r->mac_size != mac.size || CRYPTO_memcmp(r->mac, mac.data, mac.size)))
		err = -EKEYREJECTED;
	free(bare);
	return err;
}

int tsig_check(const struct tsig_key *k, const uint8_t *message, size_t size,
	       const struct tsig_mac *of, uint64_t now, struct tsig_seen *ret, size_t *ret_size)
{
	struct wire_name algorithm;
	struct record r = {0};
	struct wire_rr rr;
	int err;

	memset(ret, 0, sizeof(*ret));
	*ret_size = 0;
	err = find_record(message, size, &rr);
	if (!err)
		err = read_record(message, &rr, &r);
	if (err)
		return err;
	*ret_size = rr.at;
	ret->time = r.v.time;
	ret->fudge = r.v.fudge;
	ret->error = r.v.error;
	if (r.v.error == TSIG_BADTIME && r.v.other_size == 6)
		ret->other_time = get_time(r.v.other);
	if (!wire_name_same(&rr.owner, &k->name) || algorithm_name(k->algorithm, &algorithm) ||
	    !wire_name_same(&r.algorithm, &algorithm) || rr.class != WIRE_ANY || rr.ttl)
		return -EKEYREJECTED;
	err = check_mac(k, message, &rr, &r, of);
	if (err)
		return err;
	/* RFC 8945 5.2.3: only of what is signed the time means anything. */
	return now + r.v.fudge < r.v.time || r.v.time + r.v.fudge < now ? -ETIME : 0;
}
