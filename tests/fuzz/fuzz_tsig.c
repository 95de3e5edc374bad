/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_tsig.c - a signed answer, and a key's file
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dns/change.h"
#include "dns/tsig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_answer(const uint8_t *data, size_t size)
{
	struct tsig_key k = {.size = 32};
	struct tsig_mac of = {.size = 32};
	struct tsig_seen seen;
	struct wire_rr rr;
	size_t bare, at;

	if (wire_name_from("shift.", &k.name))
		abort();
	/* Nothing that is not made with the key is this key's. */
	if (!tsig_check(&k, data, size, &of, 1700000000, &seen, &bare))
		abort();
	if (bare > size || wire_skip_questions(data, size, &at))
		return;
	while (!wire_read_rr(data, size, &at, &rr))
		if (at > size || rr.rdata + rr.rdlength > data + size)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[DNS_WHY], *text = malloc(size + 1);
	struct tsig_key k;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (!tsig_key_parse(text, "shift.", CONF_SHA256, &k, why) && !k.size)
		abort();
	free(text);
	read_answer(data, size);
	return 0;
}
