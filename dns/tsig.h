/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tsig.h - messages signed with a shared key, and answers checked (RFC 8945)
 *
 * Of our own, since libldns 1.8.3 has neither SHA-384 nor SHA-224 and does not look at the time of
 * an answer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/wire.h"
#include "userspace/conf/config.h"

#define TSIG_FUDGE  300 /* s */
#define TSIG_MAC    64
#define TSIG_SECRET 512

enum { TSIG_BADSIG = 16, TSIG_BADKEY = 17, TSIG_BADTIME = 18, TSIG_BADTRUNC = 22 };

struct tsig_key {
	struct wire_name name;
	enum conf_tsig algorithm;
	uint8_t secret[TSIG_SECRET];
	size_t size;
};

struct tsig_mac {
	uint8_t data[TSIG_MAC];
	uint16_t size;
};

/* What an answer's TSIG record says. */
struct tsig_seen {
	uint64_t time; /* s since 1970, when it was signed */
	uint16_t fudge, error;
	uint64_t other_time; /* with BADTIME: the server's; 0 */
};

/*
 * The secret of a file that nobody else can read: base64 alone on a line, or `key NAME { algorithm
 * …; secret "…"; };` as named reads it, whose name and algorithm must be these. 0; −errno with
 * `why` (DNS_WHY). The caller wipes it on every way out.
 */
int tsig_key_read(const char *path, const char *name, enum conf_tsig algorithm,
		  struct tsig_key *ret, char *why);
/* The same of a text. */
int tsig_key_parse(const char *text, const char *name, enum conf_tsig algorithm,
		   struct tsig_key *ret, char *why);
void tsig_key_wipe(struct tsig_key *k);
/* "hmac-sha256" */
const char *tsig_algorithm(enum conf_tsig algorithm);
/* "BADSIG", "error 20". Returns ret. */
const char *tsig_error(uint16_t error, char ret[16]);

/*
 * Adds the record to a message that is otherwise whole. `of` is the MAC of the question when an
 * answer is signed, else NULL; `error` and `other_time` are of answers. 0; -ENOSPC; -EIO.
 */
int tsig_sign(const struct tsig_key *k, struct wire_out *message, uint64_t now,
	      const struct tsig_mac *of, uint16_t error, uint64_t other_time,
	      struct tsig_mac *ret_mac);

/*
 * Is the answer signed with this key, for the question with that MAC, within the fudge of now? 0;
 * -ENOKEY: it is not signed; -EKEYREJECTED: not with this key, or the MAC is wrong or missing;
 * -ETIME: signed at another time; -EBADMSG. *ret is set whenever there is a TSIG record, and
 * *ret_size (where it begins: the message without it) as well; it is zero otherwise.
 */
int tsig_check(const struct tsig_key *k, const uint8_t *message, size_t size,
	       const struct tsig_mac *of, uint64_t now, struct tsig_seen *ret, size_t *ret_size);
