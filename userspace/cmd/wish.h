/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wish.h - from the configuration to what the data plane is asked for
 */
#pragma once

#include "userspace/conf/config.h"
#include "userspace/conf/plan.h"
#include "userspace/plane/sync.h"

struct wish {
	struct sync_wish sync; /* points into the rest */
	struct sync_listen listen[CONF_MAX_LISTENS];
	struct sync_backend backend[CONF_MAX_BACKENDS];
	struct sync_client clients[CONF_MAX_BYPASS + 2 * CONF_MAX_CLIENTS + 1];
	uint32_t nat[CONF_MAX_NAT][4];
};

/* Is a listener's UDP taken for QUIC? */
bool wish_quic(const struct config *c, const struct conf_listen *l);

/* Everything but the backends' addresses. */
void wish_make(const struct config *c, struct wish *ret);

/* What the plan cannot see: whose XDP program an interface has. */
void wish_xdp(const struct config *c, struct plan_host *h);

/* Gives names without an answer the addresses they have in the data plane. */
void wish_recall(const struct config *c, struct plan_host *h);

/* The backends' addresses, as they were looked up. A name without an answer keeps those it had
 * last. */
void wish_addresses(const struct config *c, const struct plan_host *h, struct wish *w);
