/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wire.h - bytes of DNS messages, written and walked with every bound checked
 *
 * For what must be read before anything may be trusted: where a TSIG record begins, and what a
 * signed answer holds. Names on the wire are uncompressed and lower case, at most 255 bytes. RFC
 * 1035 4.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define WIRE_NAME   255
#define WIRE_HEADER 12

enum { WIRE_IN = 1, WIRE_NONE = 254, WIRE_ANY = 255 };

struct wire_name {
	uint8_t data[WIRE_NAME];
	uint8_t size; /* 0: none */
};

struct wire_rr {
	struct wire_name owner;
	uint16_t type, class;
	uint32_t ttl;
	const uint8_t *rdata; /* in the message */
	uint16_t rdlength;
	size_t at; /* where it begins */
};

/* What is being written; `over` once something did not fit, and then nothing more is written. */
struct wire_out {
	uint8_t *data;
	size_t size, used;
	int over;
};

/* A name as text. 0; -EINVAL. */
int wire_name_from(const char *text, struct wire_name *ret);
int wire_name_same(const struct wire_name *a, const struct wire_name *b);

void wire_put(struct wire_out *o, const void *data, size_t size);
void wire_put16(struct wire_out *o, uint16_t v);
void wire_put32(struct wire_out *o, uint32_t v);
void wire_put_name(struct wire_out *o, const struct wire_name *n);
/* A whole record. */
void wire_put_rr(struct wire_out *o, const struct wire_name *owner, uint16_t type, uint16_t class,
		 uint32_t ttl, const void *rdata, uint16_t rdlength);

uint16_t wire_get16(const uint8_t *p);
uint32_t wire_get32(const uint8_t *p);
/* A count of the header: 0 questions, 1 answers, 2 authority, 3 additional. */
unsigned int wire_count(const uint8_t *message, unsigned int section);

/* Both move *at behind what they read, and follow compression backwards only. 0; -EBADMSG. */
int wire_read_name(const uint8_t *message, size_t size, size_t *at, struct wire_name *ret);
int wire_read_rr(const uint8_t *message, size_t size, size_t *at, struct wire_rr *ret);
/* Behind the questions. 0 and *ret_at; -EBADMSG. */
int wire_skip_questions(const uint8_t *message, size_t size, size_t *ret_at);
