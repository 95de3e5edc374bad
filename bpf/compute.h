/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * compute.h - what the program and the tools must compute alike; the end of shift.h
 *
 * Pure functions: which share is in force, whether a record is whole, the hash of a client and what
 * its bits choose, whether a flow's record holds its port.
 */
#pragma once

/* The threshold for a weight in hundredths of a percent, rounded to nearest. */
static inline __u32 shift_weight_threshold(__u32 weight)
{
	return (weight * SHIFT_THRESHOLD_MAX + SHIFT_WEIGHT_MAX / 2) / SHIFT_WEIGHT_MAX;
}

/* The check of a record: of its words but the generation's own, and of the generation's count. */
static inline __u32 shift_record_check(const __u64 words[SHIFT_RECORD_WORDS], __u64 count)
{
	__u64 h = count * 0x9e3779b97f4a7c15ull;

	for (int i = 1; i < SHIFT_RECORD_WORDS; i++) {
		h = (h ^ words[i]) * 0xbf58476d1ce4e5b9ull;
		h ^= h >> 32;
	}
	return h * 0x94d049bb133111ebull >> (64 - SHIFT_CHECK_BITS);
}

/* The generation under which a record is to be published, when the head before had `count`. */
static inline __u64 shift_record_generation(const struct shift_record *r, __u64 count)
{
	return count << SHIFT_CHECK_BITS | shift_record_check((const __u64 *)r, count);
}

/* Is any deadline set, so that the clock has to be read? */
static inline int shift_record_timed(const struct shift_record *r)
{
	return (r->not_before | r->confirm_deadline | r->lease_deadline) != 0;
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define shift_be16(x) __builtin_bswap16(x)
#define shift_be32(x) __builtin_bswap32(x)
#else
#define shift_be16(x) (x)
#define shift_be32(x) (x)
#endif

/* Which of a record's shares is in force. */
enum shift_source { SHIFT_FROM_WEIGHT, SHIFT_FROM_NEXT, SHIFT_FROM_CONFIRM, SHIFT_FROM_LEASE };

/*
 * At `now` (boot ns): a confirm that ran out goes back to its fallback, whatever was scheduled; a
 * lease that ran out can only lower the share, and does nothing once the old side is stale.
 */
static inline enum shift_source shift_record_source(const struct shift_record *r, __u64 now)
{
	enum shift_source from = SHIFT_FROM_WEIGHT;
	__u32 threshold = r->threshold;

	if (r->not_before && now >= r->not_before) {
		from = SHIFT_FROM_NEXT;
		threshold = r->next_threshold;
	}
	if (r->confirm_deadline && now >= r->confirm_deadline) {
		from = SHIFT_FROM_CONFIRM;
		threshold = r->confirm_threshold;
	}
	if (r->lease_deadline && now >= r->lease_deadline &&
	    r->lease_action == SHIFT_LEASE_FALLBACK && r->authority != SHIFT_AUTHORITY_NEW &&
	    r->lease_threshold < threshold)
		from = SHIFT_FROM_LEASE;
	return from;
}

static inline __u32 shift_record_threshold(const struct shift_record *r, __u64 now)
{
	switch (shift_record_source(r, now)) {
	case SHIFT_FROM_NEXT:
		return r->next_threshold;
	case SHIFT_FROM_CONFIRM:
		return r->confirm_threshold;
	case SHIFT_FROM_LEASE:
		return r->lease_threshold;
	default:
		return r->threshold;
	}
}

static inline __u16 shift_record_weight(const struct shift_record *r, __u64 now)
{
	switch (shift_record_source(r, now)) {
	case SHIFT_FROM_NEXT:
		return r->next_weight;
	case SHIFT_FROM_CONFIRM:
		return r->confirm_weight;
	case SHIFT_FROM_LEASE:
		return r->lease_weight;
	default:
		return r->weight;
	}
}

/* Stafford's variant 13 of MurmurHash3's finalizer: every input bit moves every output bit. */
static inline __u64 shift_mix(__u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	x ^= x >> 31;
	return x;
}

/*
 * The hash of a new flow: bits 0-15 are its rank, 16-31 choose among a backend's targets, 32-63 the
 * backend. It depends on the client alone, not on this host, so that every host of a service
 * answers alike. `address` is v4-mapped, `port` the client's, both in network order.
 */
static inline __u64 shift_hash(__u64 seed, __u8 affinity, const __u32 address[4], __u16 port)
{
	__u64 from = affinity == SHIFT_AFFINITY_CONNECTION ? shift_be16(port) : 0, h;

	if (address[0] == 0 &&
	    address[1] == 0) /* IPv4, v4-mapped: once, for every packet pays it */
		return shift_mix(seed ^ (from << 32 | shift_be32(address[3])));
	h = shift_mix(seed ^ ((__u64)shift_be32(address[0]) << 32 | shift_be32(address[1])));
	if (affinity == SHIFT_AFFINITY_CONNECTION)
		h = shift_mix(h ^ from * 0x9e3779b97f4a7c15ull ^
			      ((__u64)shift_be32(address[2]) << 32 | shift_be32(address[3])));
	return h;
}

static inline __u32 shift_hash_rank(__u64 hash)
{
	return hash & 0xffff;
}

/* The place in a Maglev table of SHIFT_TABLE entries. */
static inline __u32 shift_hash_entry(__u64 hash)
{
	return ((hash >> 32) * SHIFT_TABLE) >> 32;
}

static inline int shift_tick_passed(__u32 now, __u32 tick)
{
	return (__s32)(now - tick) >= 0;
}

/* Does the record keep its port busy at tick `now`? */
static inline int shift_flow_holds(const struct shift_flow *f, __u32 now)
{
	return f->state != SHIFT_FLOW_FREE && !shift_tick_passed(now, f->expires);
}

/* Does it carry packets of a connection that both ends may still think alive? */
static inline int shift_flow_alive(const struct shift_flow *f, __u32 now)
{
	return f->state >= SHIFT_FLOW_SYN_SENT && f->state <= SHIFT_FLOW_CLOSING &&
	       !shift_tick_passed(now, f->expires);
}

/* Which of a backend's lists of targets: by family and protocol (17: UDP). */
static inline __u32 shift_list(int v6, __u8 protocol)
{
	return (protocol == 17) * 2 + !!v6;
}

/* ---- the forward index: bpf/index.bpf.h ---- */

/* `seed` is this host's own and nobody else's, so that no stranger can choose a line. */
static inline __u64 shift_flow_hash(const struct shift_flow_key *k, __u64 seed)
{
	__u64 h = seed ^ ((__u64)k->client[3] << 32 | (__u32)k->client_port << 16 | k->listen);

	if (k->client[0] || k->client[1]) {
		h ^= shift_mix((__u64)k->client[0] << 32 | k->client[1]);
		h = shift_mix(h) ^ k->client[2];
	}
	return shift_mix(h);
}

/* Never 0, which is no reference. */
static inline __u32 shift_tag(__u64 hash)
{
	return (hash >> 32) | 1;
}

static inline __u32 shift_line(__u64 hash, __u32 lines)
{
	return ((hash & 0xffffffff) * lines) >> 32;
}

static inline __u32 shift_other_line(__u64 hash, __u32 lines)
{
	return ((__u64)((__u32)(hash >> 32) * 0x9e3779b1u) * lines) >> 32;
}

static inline __u64 shift_ref(__u32 target, __u32 index, __u64 hash)
{
	return (target & 0xffff) | (__u64)(index & 0xffff) << 16 | (__u64)shift_tag(hash) << 32;
}

/*
 * Is a connection of the old arm watched (bpf/watch.bpf.h)? One in SHIFT_WATCH_ONE_IN is, by two
 * multiplications, for every packet of the old arm asks.
 */
static inline int shift_watched(const __u32 client[4], __u16 client_port, __u64 seed)
{
	__u32 h = (client[3] ^ client[1] ^ (__u32)seed) * 0x9e3779b1u;

	h = (h ^ h >> 15 ^ client_port) * 0x85ebca6bu;
	return h >> 16 < 0x10000 / SHIFT_WATCH_ONE_IN;
}

/*
 * A client by a hash that tells nothing of its rank, made of the one that holds the rank. Sampled
 * are in each epoch those of one of SHIFT_CLIENT_ONE_IN parts, which come by turns.
 */
static inline __u64 shift_client_hash(__u64 hash)
{
	return shift_mix(hash ^ 0x9e3779b97f4a7c15ull);
}

static inline int shift_client_sampled(__u64 client_hash, __u64 epoch)
{
	return ((client_hash ^ epoch) & (SHIFT_CLIENT_ONE_IN - 1)) == 0;
}

/* Its low bits are the client's part; never 0. */
static inline __u32 shift_client_tag(__u64 client_hash)
{
	return (__u32)client_hash | SHIFT_CLIENT_ONE_IN;
}

static inline int shift_client_same_part(__u32 tag, __u32 other)
{
	return ((tag ^ other) & (SHIFT_CLIENT_ONE_IN - 1)) == 0;
}

static inline __u32 shift_client_line(__u64 client_hash)
{
	return (client_hash >> 32) & (SHIFT_SEEN_LINES - 1);
}

/*
 * Is it a client that the line does not know? It is remembered in place of nobody, or, where the
 * line is full, of a client of another part, which counts in none of this epoch's and so is not
 * missed in it; where it is full of its own part's, it is not remembered and does not count.
 */
static inline int shift_client_first(__u32 *line, __u32 tag)
{
	int place, empty = -1, other = -1;

	for (int i = 0; i < SHIFT_SEEN_WAYS; i++) {
		__u32 is = line[i];

		if (is == tag)
			return 0;
		if (!is)
			empty = i;
		else if (!shift_client_same_part(is, tag))
			other = i;
	}
	place = empty >= 0 ? empty : other;
	if (place < 0)
		return 0;
	line[place & (SHIFT_SEEN_WAYS - 1)] = tag;
	return 1;
}

/* The place of a connection's source among the samples; -1: it is none. A TCP client chooses `seq`
 * by chance, so that one with a port of its own is not always sampled, or never. */
static inline int shift_origin_place(__u64 hash, __u16 client_port, __u32 seq)
{
	__u32 h = ((__u32)(hash >> 32) ^ client_port ^ seq) * 0x9e3779b1u;

	h = (h ^ h >> 15) * 0x85ebca6bu;
	if (h >> 29) /* one in SHIFT_ORIGIN_ONE_IN */
		return -1;
	return h >> 20 & (SHIFT_ORIGINS - 1);
}

/* The lines of an index with room for so many flows: two to a line. */
static inline __u32 shift_lines(__u32 flows)
{
	return flows / 2 ? flows / 2 : 1;
}
