/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checked bytes: a stream that both ends can compute at any offset, so that every byte received
 * can be compared without keeping what was sent. Eight bytes come from one splitmix64 step of
 * seed and position; a seed names a stream.
 */
#include "tools/traffic.h"

#include <stdlib.h>
#include <string.h>

uint64_t mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* The 8 stream bytes of word number `word`, least significant first on every machine. */
static void word_bytes(uint64_t seed, uint64_t word, uint8_t out[static 8])
{
	uint64_t v = mix64(seed ^ mix64(word));

	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

void bytes_fill(uint64_t seed, uint64_t at, void *buf, size_t n)
{
	uint8_t *out = buf;
	uint8_t word[8];

	while (n) {
		size_t skip = at & 7;
		size_t take = 8 - skip < n ? 8 - skip : n;

		word_bytes(seed, at >> 3, word);
		memcpy(out, word + skip, take);
		out += take;
		at += take;
		n -= take;
	}
}

ssize_t bytes_check(uint64_t seed, uint64_t at, const void *buf, size_t n)
{
	const uint8_t *in = buf;
	uint8_t word[8];
	size_t done = 0;

	while (done < n) {
		size_t skip = at & 7;
		size_t take = 8 - skip < n - done ? 8 - skip : n - done;

		word_bytes(seed, at >> 3, word);
		if (memcmp(in + done, word + skip, take) != 0) {
			while (in[done] == word[skip]) {
				done++;
				skip++;
			}
			return (ssize_t)done;
		}
		done += take;
		at += take;
	}
	return -1;
}

/* `traffic data`: the file that the lab's web servers offer as /data. */
int data_main(const struct options *opt)
{
	uint8_t block[4096];

	(void)opt;
	for (uint64_t at = 0; at < DATA_SIZE; at += sizeof(block)) {
		bytes_fill(DATA_SEED, at, block, sizeof(block));
		if (fwrite(block, sizeof(block), 1, stdout) != 1)
			return EXIT_FAILURE;
	}
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
