/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_probe.c - probe_parse on whatever a raw socket may give
 *
 *   clang -fsanitize=fuzzer,address,undefined -g -O1 -std=gnu11 -D_GNU_SOURCE -I. \
 *           tests/fuzz/fuzz_probe.c wg/probe_packet.c userspace/base/ip.c
 *   ./a.out -max_len=600 CORPUS
 *
 * The first byte chooses the family and whether IPv4's checksum is made right, for no fuzzer finds
 * one. It must not read beyond the packet; what it says must be in the packet; failures leave the
 * result alone; and an echo of ours is always understood.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wg/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(uint8_t *ip, size_t size)
{
	size_t header = size ? (size_t)(ip[0] & 15) * 4 : 0;
	uint32_t sum = 0;

	if (size < header + 8)
		return;
	ip[header + 2] = ip[header + 3] = 0;
	for (size_t i = header; i < size; i++)
		sum += (i - header) & 1 ? ip[i] : (uint32_t)ip[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	ip[header + 2] = (uint8_t)(~sum >> 8);
	ip[header + 3] = (uint8_t)~sum;
}

static void check(const struct probe_packet *p, uint8_t family, size_t size)
{
	size_t header = family == 4 ? 20 : 40;

	if (p->too_big && (p->size || size < header + 16))
		abort();
	if (!p->too_big && (p->mtu || p->size < header + 8 || p->size > size + header))
		abort();
	if (!p->too_big && p->has_nonce != (p->size >= header + 16))
		abort();
	if (!p->has_nonce && p->nonce)
		abort();
}

/* The request that the fuzzer's bytes choose comes back as an answer. */
static void round_trip(const uint8_t *data, uint8_t family)
{
	static uint8_t packet[PROBE_MAX + 20];
	struct probe_packet p;
	uint16_t id, seq, size;
	uint64_t nonce;
	int n;

	memcpy(&id, data, 2);
	memcpy(&seq, data + 2, 2);
	memcpy(&size, data + 4, 2);
	memcpy(&nonce, data + 6, 8);
	size %= 2048;
	n = probe_build(family, id, seq, nonce, size, packet + 20);
	if (n < 0)
		return;
	memset(packet, 0, 20);
	packet[0] = 0x45;
	packet[9] = 1;
	packet[20] = family == 4 ? 0 : 129;
	if (family == 4)
		mend(packet, 20 + (size_t)n);
	if (probe_parse(family, family == 4 ? packet : packet + 20,
			family == 4 ? 20 + (size_t)n : (size_t)n, &p))
		abort();
	if (p.id != id || p.seq != seq || !p.has_nonce || p.nonce != nonce || p.size != size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe_packet p, before;
	uint8_t family, *copy;

	if (!size)
		return 0;
	family = data[0] & 1 ? 6 : 4;
	if (size > 14)
		round_trip(data + 1, family);
	copy = malloc(size - 1 ? size - 1 : 1); /* of its very size, so that a byte more is seen */
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if (family == 4 && data[0] & 2)
		mend(copy, size - 1);
	memset(&p, 0x5a, sizeof(p));
	memcpy(&before, &p, sizeof(p));
	if (!probe_parse(family, copy, size - 1, &p))
		check(&p, family, size - 1);
	else if (memcmp(&before, &p, sizeof(p)))
		abort();
	free(copy);
	return 0;
}
