/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * signed.h - one signed question to one server and its answer, blocking
 *
 * TCP; UDP where no TCP connection can be made. A question is sent once: what became of it when
 * the answer does not come is the caller's to find out.
 */
#pragma once

#include "dns/tsig.h"

struct conf_provider;

enum signed_outcome {
	SIGNED_ANSWERED,  /* and the answer is this key's, of now */
	SIGNED_ERROR,	  /* an answer without a signature, which says that it is an error */
	SIGNED_DENIED,	  /* TSIG error, or the signature is wrong: see why; nothing was done unless
			     the answer was signed for another time */
	SIGNED_UNREACHED, /* surely not received */
	SIGNED_LOST,	  /* it may have been received */
};

struct signed_reply {
	uint8_t *data; /* for signed_reply_free */
	size_t size;   /* without the TSIG record */
	uint8_t rcode;
	uint16_t tsig_error;
	bool udp;
};

/*
 * `question` is whole but for its ID and TSIG record, which are set here; it needs room for them
 * (TSIG_ROOM). `why` (DNS_WHY) gets the words unless answered.
 */
#define TSIG_ROOM (2 * WIRE_NAME + 128)
enum signed_outcome signed_ask(const struct conf_provider *c, const struct tsig_key *k,
			       struct wire_out *question, struct signed_reply *ret, char *why);
void signed_reply_free(struct signed_reply *r);
