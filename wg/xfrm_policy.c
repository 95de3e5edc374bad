/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "wg/xfrm.h"
#include "wg/xfrm_inner.h"

#define POLICIES 6 /* in, out and fwd, of both inner families */

struct policy {
	uint8_t dir;	 /* XFRM_POLICY_IN, … */
	uint16_t family; /* of what is inside */
	uint32_t src[4], dst[4];
	uint32_t spi, reqid; /* host order */
};

/* One as the kernel has it. */
struct answer {
	bool there;
	bool ours; /* as far as it is seen: allow, one template, ESP in tunnel mode, our reqid */
	struct policy p;
};

static const uint8_t directions[3] = {XFRM_POLICY_IN, XFRM_POLICY_OUT, XFRM_POLICY_FWD};

static void put_selector(struct xfrm_selector *s, uint16_t family)
{
	s->family = family; /* everything else 0: any */
}

static int take_policy(const struct nlmsghdr *h, void *arg)
{
	struct answer *ret = arg;
	struct xfrm_userpolicy_info p;
	struct xfrm_user_tmpl t;
	struct xfrm_attributes a;
	const struct nlattr *of;

	if (h->nlmsg_type != XFRM_MSG_NEWPOLICY || xfrm_check(h, h->nlmsg_len, sizeof(p)) ||
	    xfrm_attributes(h, sizeof(p), &a))
		return -EBADMSG;
	memcpy(&p, mnl_nlmsg_get_payload(h), sizeof(p));
	of = a.of[XFRMA_TMPL];
	ret->there = true;
	ret->ours = false;
	if (p.action != XFRM_POLICY_ALLOW || !of || mnl_attr_get_payload_len(of) != sizeof(t))
		return 0;
	memcpy(&t, mnl_attr_get_payload(of), sizeof(t));
	if (xfrm_address_get(&t.saddr, t.family, ret->p.src) ||
	    xfrm_address_get(&t.id.daddr, t.family, ret->p.dst))
		return 0;
	ret->p.spi = ntohl(t.id.spi);
	ret->p.reqid = t.reqid;
	ret->ours = t.id.proto == IPPROTO_ESP && t.mode == XFRM_MODE_TUNNEL && !t.optional &&
		    t.reqid == xfrm_reqid(xfrm_if_id(&a)) && xfrm_if_id(&a);
	return 0;
}

static void put_policy_id(struct nlmsghdr *h, uint8_t dir, uint16_t family, uint32_t if_id)
{
	struct xfrm_userpolicy_id *id = mnl_nlmsg_put_extra_header(h, sizeof(*id));

	put_selector(&id->sel, family);
	id->dir = dir;
	mnl_attr_put_u32(h, XFRMA_IF_ID, if_id);
}

/* 0 also when there is none. */
static int look(uint8_t dir, uint16_t family, uint32_t if_id, struct answer *ret)
{
	char buffer[512];
	struct nlmsghdr *h = xfrm_request(buffer, XFRM_MSG_GETPOLICY, NLM_F_ACK);
	int err;

	memset(ret, 0, sizeof(*ret));
	put_policy_id(h, dir, family, if_id);
	err = xfrm_exchange(h, take_policy, ret, NULL, 0);
	return err == -ENOENT ? 0 : err;
}

static int write_policy(const struct policy *p, uint32_t if_id, char *why, size_t size)
{
	char buffer[1024];
	struct nlmsghdr *h = xfrm_request(buffer, XFRM_MSG_UPDPOLICY, NLM_F_ACK);
	struct xfrm_userpolicy_info *info = mnl_nlmsg_put_extra_header(h, sizeof(*info));
	struct xfrm_user_tmpl t = {
		.family = xfrm_family(p->dst),
		.reqid = p->reqid,
		.mode = XFRM_MODE_TUNNEL,
		.share = XFRM_SHARE_ANY,
		.aalgos = UINT32_MAX,
		.ealgos = UINT32_MAX,
		.calgos = UINT32_MAX,
	};

	put_selector(&info->sel, p->family);
	info->lft.soft_byte_limit = info->lft.hard_byte_limit = XFRM_INF;
	info->lft.soft_packet_limit = info->lft.hard_packet_limit = XFRM_INF;
	info->dir = p->dir;
	info->action = XFRM_POLICY_ALLOW;
	info->share = XFRM_SHARE_ANY;
	xfrm_address_put(p->src, &t.saddr);
	xfrm_address_put(p->dst, &t.id.daddr);
	t.id.spi = htonl(p->spi);
	t.id.proto = IPPROTO_ESP;
	mnl_attr_put(h, XFRMA_TMPL, sizeof(t), &t);
	mnl_attr_put_u32(h, XFRMA_IF_ID, if_id);
	return xfrm_exchange(h, NULL, NULL, why, size);
}

/* The i-th of the six. Those that receive come first, so that no answer meets a closed door. */
static struct policy wanted(unsigned int i, const uint32_t local[4], const uint32_t remote[4],
			    uint32_t if_id, uint32_t out_spi)
{
	static const uint8_t order[3] = {XFRM_POLICY_IN, XFRM_POLICY_FWD, XFRM_POLICY_OUT};
	struct policy p = {.dir = order[i / 2], .family = i % 2 ? AF_INET6 : AF_INET};
	bool out = p.dir == XFRM_POLICY_OUT;

	memcpy(p.src, out ? local : remote, 16);
	memcpy(p.dst, out ? remote : local, 16);
	p.spi = out ? out_spi : 0;
	p.reqid = xfrm_reqid(if_id);
	return p;
}

static bool is_so(const struct answer *a, const struct policy *p)
{
	return a->there && a->ours && a->p.spi == p->spi && !memcmp(a->p.src, p->src, 16) &&
	       !memcmp(a->p.dst, p->dst, 16);
}

int xfrm_policy_set(const uint32_t local[4], const uint32_t remote[4], uint32_t if_id,
		    uint32_t out_spi, char *why, size_t size)
{
	struct answer have[POLICIES];
	int err = if_id ? 0 : -EINVAL;

	why[0] = '\0';
	for (unsigned int i = 0; !err && i < POLICIES; i++) {
		struct policy p = wanted(i, local, remote, if_id, out_spi);

		err = look(p.dir, p.family, if_id, &have[i]);
		if (!err && have[i].there && !have[i].ours) {
			snprintf(why, size, "if_id %#x has a policy of another program", if_id);
			err = -EEXIST;
		}
	}
	for (unsigned int i = 0; !err && i < POLICIES; i++) {
		struct policy p = wanted(i, local, remote, if_id, out_spi);

		if (!is_so(&have[i], &p))
			err = write_policy(&p, if_id, why, size);
	}
	if (err && !why[0])
		snprintf(why, size, "%s", strerror(-err));
	return err;
}

int xfrm_policy_remove(uint32_t if_id)
{
	int first = 0;

	for (unsigned int i = 0; i < POLICIES; i++) {
		uint16_t family = i % 2 ? AF_INET6 : AF_INET;
		struct answer a;
		int err = look(directions[i / 2], family, if_id, &a);

		if (!err && a.there && a.ours) {
			char buffer[512];
			struct nlmsghdr *h = xfrm_request(buffer, XFRM_MSG_DELPOLICY, NLM_F_ACK);

			put_policy_id(h, directions[i / 2], family, if_id);
			err = xfrm_exchange(h, NULL, NULL, NULL, 0);
		}
		if (err && err != -ENOENT && !first)
			first = err;
	}
	return first;
}

int xfrm_policy_spi(uint32_t if_id, uint32_t *ret)
{
	struct answer a;
	int err = look(XFRM_POLICY_OUT, AF_INET, if_id, &a);

	if (err)
		return err;
	if (!a.there || !a.ours)
		a.p.spi = 0;
	*ret = a.p.spi;
	return 0;
}

int xfrm_policy_count(uint32_t if_id)
{
	int n = 0;

	for (unsigned int i = 0; i < POLICIES; i++) {
		struct answer a;
		int err = look(directions[i / 2], i % 2 ? AF_INET6 : AF_INET, if_id, &a);

		if (err)
			return err;
		n += a.there && a.ours;
	}
	return n;
}
