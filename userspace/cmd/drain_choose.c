/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/drain.h"

#include "userspace/base/ip.h"

enum drain_choice drain_choose(const struct drain_rules *r, const uint32_t client[4], uint16_t port,
			       uint32_t action)
{
	uint64_t hash;

	switch (action) {
	case SHIFT_CLIENT_BYPASS:
	case SHIFT_CLIENT_OLD:
	case SHIFT_CLIENT_PEER:
	case SHIFT_CLIENT_DENY:
		return DRAIN_EXCEPTED;
	case SHIFT_CLIENT_NEW:
		break;
	default:
		hash = shift_hash(r->seed, r->affinity, client, port);
		if (shift_hash_rank(hash) >= r->threshold)
			return DRAIN_STAYS;
	}
	return r->usable[!ip_is_v4(client)] ? DRAIN_MOVE : DRAIN_NO_BACKEND;
}

static uint32_t left(uint32_t want, uint32_t passed)
{
	return passed >= want ? 0 : want - passed;
}

enum drain_rest drain_rest(const struct sockdiag_seen *seen, const struct drain_patience *p,
			   uint32_t *ret_again_ms)
{
	uint32_t quiet = seen->sent_ms < seen->received_ms ? seen->sent_ms : seen->received_ms;
	/* A handshake counts as something sent, and a first request follows on its heels. */
	bool owed = seen->received_ms < seen->sent_ms || (seen->received && !seen->answered);

	*ret_again_ms = p->idle_ms;
	if (!seen->timed || seen->unread || seen->unsent || seen->in_flight)
		return DRAIN_BUSY;
	*ret_again_ms = left(p->idle_ms, quiet);
	if (*ret_again_ms)
		return DRAIN_BUSY;
	if (!owed)
		return DRAIN_IDLE;
	*ret_again_ms = p->owed_ms ? left(p->owed_ms, quiet) : p->idle_ms;
	return p->owed_ms && !*ret_again_ms ? DRAIN_IDLE : DRAIN_OWED;
}

uint64_t drain_next(uint64_t now, uint64_t due, uint64_t gap_ns)
{
	return (due > now ? due : now) + gap_ns;
}
