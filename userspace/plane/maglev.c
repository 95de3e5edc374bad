/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/maglev.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define FREE 0xffff

uint64_t maglev_name_hash(const char *name, uint64_t salt)
{
	uint64_t h = shift_mix(salt ^ 0x9e3779b97f4a7c15ull);

	for (; *name; name++)
		h = shift_mix(h ^ (unsigned char)*name);
	return h;
}

/* How many places each gets: the floor of its share, and the largest remainders one more. */
static void share_out(const struct maglev_backend *b, unsigned int n, uint32_t total,
		      uint32_t quota[])
{
	uint64_t rest[SHIFT_TABLE_LIST];
	uint32_t given = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t exact = (uint64_t)b[i].weight * SHIFT_TABLE;

		quota[i] = (uint32_t)(exact / total);
		rest[i] = exact % total;
		given += quota[i];
	}
	while (given < SHIFT_TABLE) {
		unsigned int best = 0;

		for (unsigned int i = 1; i < n; i++) {
			if (rest[i] > rest[best] ||
			    (rest[i] == rest[best] && strcmp(b[i].name, b[best].name) < 0))
				best = i;
		}
		quota[best]++;
		rest[best] = 0;
		given++;
	}
}

/* The backend that has got the smallest part of its quota takes the next place it prefers. */
static unsigned int next_in_turn(const uint32_t quota[], const uint32_t got[], unsigned int n)
{
	unsigned int best = n;

	for (unsigned int i = 0; i < n; i++) {
		if (got[i] == quota[i])
			continue;
		if (best == n || (uint64_t)got[i] * quota[best] < (uint64_t)got[best] * quota[i])
			best = i;
	}
	return best;
}

static void fill(const struct maglev_backend *b, unsigned int n, const uint32_t quota[],
		 struct shift_table *t)
{
	uint32_t offset[SHIFT_TABLE_LIST], skip[SHIFT_TABLE_LIST], got[SHIFT_TABLE_LIST] = {0};

	for (unsigned int i = 0; i < n; i++) {
		offset[i] = (uint32_t)(maglev_name_hash(b[i].name, 1) % SHIFT_TABLE);
		skip[i] = (uint32_t)(maglev_name_hash(b[i].name, 2) % (SHIFT_TABLE - 1)) + 1;
	}
	for (unsigned int i = 0; i < SHIFT_TABLE; i++)
		t->backend[i] = FREE;
	for (uint32_t filled = 0; filled < SHIFT_TABLE; filled++) {
		unsigned int i = next_in_turn(quota, got, n);

		while (t->backend[offset[i]] != FREE)
			offset[i] = (offset[i] + skip[i]) % SHIFT_TABLE;
		t->backend[offset[i]] = b[i].id;
		got[i]++;
	}
}

int maglev_fill(const struct maglev_backend *b, unsigned int n, struct shift_table *ret)
{
	struct maglev_backend part[SHIFT_TABLE_LIST];
	uint32_t quota[SHIFT_TABLE_LIST], total = 0;
	unsigned int parts = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (!b[i].weight)
			continue;
		if (parts == SHIFT_TABLE_LIST)
			return -E2BIG;
		part[parts++] = b[i];
		total += b[i].weight;
	}
	memset(ret, 0, sizeof(*ret));
	if (!parts)
		return 0;
	/* The order of the configuration must not matter. */
	for (unsigned int i = 1; i < parts; i++) {
		struct maglev_backend x = part[i];
		unsigned int j = i;

		for (; j && strcmp(part[j - 1].name, x.name) > 0; j--)
			part[j] = part[j - 1];
		part[j] = x;
	}
	share_out(part, parts, total, quota);
	fill(part, parts, quota, ret);
	ret->entries = SHIFT_TABLE;
	ret->backends = (uint16_t)parts;
	for (unsigned int i = 0; i < parts; i++)
		ret->list[i] = part[i].id;
	return 0;
}
