/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xfrm_inner.h - what xfrm.c, xfrm_policy.c and xfrm_events.c share
 */
#pragma once

#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/xfrm.h"

/*
 * Sends `h` and hands each message of the answer to `each`, which returns 0 or −errno, the first of
 * which is returned in the end. Everything received is wiped. The kernel's words are put in `why`
 * (may be NULL). -EINTR: the dump was overtaken by a change.
 */
typedef int (*xfrm_each)(const struct nlmsghdr *h, void *arg);
int xfrm_exchange(struct nlmsghdr *h, xfrm_each each, void *arg, char *why, size_t size);

/* In `buffer`, which is to be large enough. */
struct nlmsghdr *xfrm_request(void *buffer, uint16_t type, uint16_t flags);

struct xfrm_attributes {
	const struct nlattr *of[XFRMA_MAX + 1];
};

/* Behind `offset` bytes of payload. -EBADMSG: not as the kernel writes them. Those that are shorter
 * than their type needs are bad, those that this header does not know are passed over. */
int xfrm_attributes(const struct nlmsghdr *h, size_t offset, struct xfrm_attributes *ret);
/* Is there a whole message of this payload at `message`? */
int xfrm_check(const void *message, size_t size, size_t payload);
uint32_t xfrm_if_id(const struct xfrm_attributes *a);

void xfrm_address_put(const uint32_t ip[4], xfrm_address_t *ret);
/* -EBADMSG: neither AF_INET nor AF_INET6. */
int xfrm_address_get(const xfrm_address_t *a, unsigned int family, uint32_t ret[4]);
uint16_t xfrm_family(const uint32_t ip[4]);
