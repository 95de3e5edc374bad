/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xfrm.h - the kernel's IPsec over netlink: SAs and policies of static tunnels, events, statistics
 *
 * Only what carries our reqid is ever written or removed: those of charon are charon's. libmnl,
 * because libnl-xfrm 3.7 sets every lifetime to 0, and so the SA dies at its first packet, and
 * lacks XFRMA_IF_ID.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XFRM_REQID 0x53480000u /* of our SAs and policies, plus the low 16 bits of the if_id */

static inline uint32_t xfrm_reqid(uint32_t if_id)
{
	return XFRM_REQID | (if_id & 0xffff);
}

struct xfrm_sa {
	uint32_t src[4], dst[4]; /* outer, v4-mapped, network order */
	uint32_t spi;		 /* host order */
	uint32_t reqid, if_id;
	uint8_t enc[32];  /* AES-CBC key; secret */
	uint8_t enc_size; /* bytes: 16, 24, 32 */
	uint8_t auth[32]; /* HMAC-SHA-256 key, truncated to 128 bits; secret */
	bool outbound;	  /* for adding: its time limits count from now; else from its first use */
	/* Limits, 0: none. */
	uint64_t byte_hard, packet_hard, time_hard_s, byte_soft, packet_soft, time_soft_s;
	uint64_t bytes, packets; /* read only */
	/* CLOCK_REALTIME seconds, 0: never; of the first and, where the kernel tells (6.2), the
	 * last packet; read only. */
	uint64_t added_s, first_s, used_s;
	uint64_t replayed, failed;	   /* replay and integrity failures; read only */
	uint16_t encap_sport, encap_dport; /* read only: ESP in UDP */
	char cipher[48]; /* as the kernel names it, "": an SA that is only asked for; read only */
};

/* Adds it. -EEXIST: the SPI is taken. The message is wiped. */
int xfrm_sa_add(const struct xfrm_sa *sa, char *why, size_t size);
/* Removes one of ours, by dst and SPI. -ESRCH; -EPERM: it carries another reqid or if_id. */
int xfrm_sa_remove(const struct xfrm_sa *sa);
/* SAs of this namespace with that if_id (0: all), without keys; the caller frees *ret. */
int xfrm_sa_list(uint32_t if_id, struct xfrm_sa **ret, size_t *ret_n);

/* Policies in, out and fwd with selectors of 0/0 and ::/0 under if_id, template local → remote and
 * back. Writes what is not so yet. `out_spi` other than 0: out uses only that SA. -EEXIST, and
 * nothing is written: one of them is there and is not ours. */
int xfrm_policy_set(const uint32_t local[4], const uint32_t remote[4], uint32_t if_id,
		    uint32_t out_spi, char *why, size_t size);
/* Removes those of ours. */
int xfrm_policy_remove(uint32_t if_id);
/* The SPI that the outgoing policy of ours is bound to, 0: to none, or there is no policy. */
int xfrm_policy_spi(uint32_t if_id, uint32_t *ret);
/* How many of the six policies are there and ours. −errno. */
int xfrm_policy_count(uint32_t if_id);

/* EXPIRE, ACQUIRE, NEWSA, DELSA, UPDSA. */
struct xfrm_event {
	uint16_t type; /* XFRM_MSG_* */
	uint32_t spi, if_id, reqid;
	uint32_t src[4], dst[4];
	bool hard; /* of EXPIRE */
};
int xfrm_events_open(void); /* a non-blocking descriptor, or −errno */
/* 1 and *ret; 0: none now; -ENOBUFS: some were lost. */
int xfrm_events_read(int fd, struct xfrm_event *ret);
/* For the fuzzer: one message as the kernel would send it. */
int xfrm_event_parse(const void *message, size_t size, struct xfrm_event *ret);
int xfrm_sa_parse(const void *message, size_t size, struct xfrm_sa *ret);

/* /proc/net/xfrm_stat: names and numbers that are not 0, "XfrmInNoStates=3 …". Returns how many. */
int xfrm_stat(char *ret, size_t size);
/* One of them. 0; -ENOENT. */
int xfrm_stat_of(const char *name, uint64_t *ret);
