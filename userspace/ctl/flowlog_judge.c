/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog_judge.c - what a look at a flow's record says: did it end, and how many were missed?
 *
 * A record's generation counts the flows that it had. When the one that is seen has generation 9,
 * and 7 are logged or counted, the eighth came and went unseen.
 *
 * A record is taken in steps (flow_take_of_shard, flow_insert): it becomes ABANDONED for two ticks,
 * then it has its new generation, then the rest, and its new state at last. So one that is
 * ABANDONED and about to expire may be half another flow's, and is looked at again later.
 */
#include "userspace/ctl/flowlog_inner.h"

#include <netinet/in.h>

#define TAKING 3 /* ticks around `expires`: two of a taken record, one for the clocks */

/* It may be half written. */
static bool is_taken(const struct shift_flow *f, uint32_t now)
{
	int32_t left = (int32_t)(f->expires - now);

	return f->state == SHIFT_FLOW_ABANDONED && left <= TAKING && left >= -TAKING;
}

/* Whoever overwrote the state kept it beside; what `expires` says then is not the flow's. */
static bool is_overwritten(const struct shift_flow *f)
{
	return f->state == SHIFT_FLOW_FREE ||
	       (f->state == SHIFT_FLOW_ABANDONED && f->was != SHIFT_FLOW_FREE);
}

/* sync_forget_flows */
static bool is_forgotten(const struct shift_flow *f)
{
	return f->state == SHIFT_FLOW_ABANDONED && f->was == SHIFT_FLOW_ABANDONED;
}

static uint32_t timeout_of(const struct shift_flow *f, const struct shift_service *svc)
{
	if (f->flags & SHIFT_FLOW_UDP && f->state < SHIFT_FLOW_DONE)
		return svc->timeout_udp;
	return svc->timeout[f->state & (SHIFT_FLOW_STATES - 1)];
}

/* Ticks since the last packet, of a record whose `expires` is the flow's. */
static uint32_t quiet_for(const struct shift_flow *f, const struct flowlog_look *l)
{
	int32_t quiet = (int32_t)(l->now - f->expires + timeout_of(f, l->svc));

	return quiet > 0 ? (uint32_t)quiet : 0;
}

static enum flowlog_ended reset_by(const struct shift_flow *f)
{
	if (f->up & SHIFT_SEEN_RST)
		return FLOWLOG_CLIENT_RST;
	return f->backend_isn || f->down & SHIFT_SEEN_DATA ? FLOWLOG_BACKEND_RST : FLOWLOG_REFUSED;
}

static enum flowlog_ended how(const struct shift_flow *f, uint8_t state)
{
	if (f->flags & SHIFT_FLOW_CUT)
		return FLOWLOG_CUT;
	switch (state) {
	case SHIFT_FLOW_DONE:
		if ((f->up | f->down) & SHIFT_SEEN_RST)
			return reset_by(f);
		/* In the handshake the client's RST leaves no other mark. */
		return f->up & SHIFT_SEEN_FIN ? FLOWLOG_CLIENT_FIN : FLOWLOG_CLIENT_RST;
	case SHIFT_FLOW_TIME_WAIT:
		return FLOWLOG_BACKEND_FIN;
	case SHIFT_FLOW_SYN_SENT:
		return FLOWLOG_UNANSWERED;
	case SHIFT_FLOW_CLOSING:
		return (f->up | f->down) & SHIFT_SEEN_RST ? reset_by(f) : FLOWLOG_SILENT;
	case SHIFT_FLOW_SYN_RECV:
	case SHIFT_FLOW_ESTABLISHED:
		return FLOWLOG_SILENT;
	case SHIFT_FLOW_ABANDONED:
		return f->protocol == IPPROTO_TCP && !f->backend_isn && f->syn_retransmits >= 2
			       ? FLOWLOG_UNANSWERED
			       : FLOWLOG_ABANDONED;
	default:
		return FLOWLOG_UNKNOWN;
	}
}

static void end_of(const struct shift_flow *f, const struct flowlog_look *l,
		   struct flowlog_verdict *ret)
{
	ret->end_known = true;
	if (is_forgotten(f)) {
		int32_t since = (int32_t)(l->now - f->expires);

		ret->quiet = since > 0 ? (uint32_t)since : 0;
		ret->ended = FLOWLOG_DETACHED;
	} else if (is_overwritten(f)) {
		ret->end_known = false;
		ret->ended = how(f, f->state == SHIFT_FLOW_FREE ? SHIFT_FLOW_FREE : f->was);
	} else {
		ret->quiet = quiet_for(f, l);
		ret->ended = shift_flow_alive(f, l->now) ? FLOWLOG_DETACHED : how(f, f->state);
	}
}

static bool is_over(const struct shift_flow *f, const struct flowlog_look *l)
{
	if (l->last)
		return true;
	if (shift_flow_alive(f, l->now) || is_taken(f, l->now))
		return false;
	/* Something may still be under way, such as the FIN once more. */
	return is_overwritten(f) || !shift_flow_holds(f, l->now) || quiet_for(f, l) >= l->settle;
}

void flowlog_judge(const struct shift_flow *f, uint32_t accounted, const struct flowlog_look *l,
		   struct flowlog_verdict *ret)
{
	uint32_t behind = f->generation - accounted;

	*ret = (struct flowlog_verdict){.accounted = accounted};
	if (!behind)
		return;
	ret->lost = behind - 1;
	ret->accounted = f->generation - 1;
	if (!is_over(f, l))
		return;
	ret->accounted = f->generation;
	ret->entry = f->bytes_up || f->bytes_down;
	if (ret->entry)
		end_of(f, l, ret);
}

uint32_t flowlog_baseline(const struct shift_flow *f, uint32_t now)
{
	return f->generation && (shift_flow_alive(f, now) || is_taken(f, now)) ? f->generation - 1
									       : f->generation;
}
