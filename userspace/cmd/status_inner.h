/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_inner.h - what the parts of the screen share: status_show.c has the page, and
 * status_ramp_show.c what it says of the ramp
 */
#pragma once

#include "userspace/cmd/status.h"

struct page {
	const struct status_view *v;
	const struct status_before *before;
	const char *branch, *last, *trunk; /* of the tree */
	bool colour;
	bool brief; /* no addresses: the screen is short of lines */
	FILE *to;
	unsigned int columns; /* of the screen, at most STATUS_COLUMNS */
	unsigned int wide;    /* of the screen; 0: it is none */
	unsigned int column;
};

/* Goes on in the line as far as it reaches, and then in others. */
void status_words(struct page *g, char *text, unsigned int indent);
/* Pieces stand three spaces apart; one that the line has no room for goes on in a new one. */
void status_piece(struct page *g, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void status_end_pieces(struct page *g);

/* What the ramp does and why. */
void status_ramp_show(struct page *g);
void status_ramp_gates(struct page *g);
