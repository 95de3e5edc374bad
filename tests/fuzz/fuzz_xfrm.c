/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_xfrm.c - what the kernel says of SAs, and files of keys, from whatever comes
 *
 *   clang -fsanitize=fuzzer,address,undefined -g -O1 -std=gnu11 -D_GNU_SOURCE -I. \
 *           tests/fuzz/fuzz_xfrm.c wg/xfrm.c wg/xfrm_events.c wg/keyfile.c userspace/base/ip.c \
 *           userspace/base/file.c -lmnl
 *
 * It must not read outside the message; what it takes must be whole.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wg/keyfile.h"
#include "wg/xfrm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct keyfile k;
	struct xfrm_event e;
	struct xfrm_sa sa;
	char why[256];
	uint32_t length = (uint32_t)size;
	uint8_t *copy = malloc(size ? size : 1); /* aligned, and of just this size */

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (!keyfile_parse((const char *)copy, size, &k, why, sizeof(why)) && k.n > KEYFILE_MAX)
		abort();
	for (unsigned int i = 0; i < 2; i++) {
		if (!xfrm_sa_parse(copy, size, &sa) && strlen(sa.cipher) >= sizeof(sa.cipher))
			abort();
		if (!xfrm_event_parse(copy, size, &e) && !e.type)
			abort();
		if (size >= 16)
			memcpy(copy, &length, sizeof(length)); /* and with a length that fits */
	}
	free(copy);
	return 0;
}
