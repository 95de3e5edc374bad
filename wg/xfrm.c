/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xfrm.c - SAs of static tunnels, and the talk with the kernel that all of xfrm_*.c use
 *
 * Owns: SAs and policies that carry our reqid (XFRM_REQID) and the tunnel's if_id; what carries
 * another, such as charon's, is read for showing and never written. The kernel is the only place
 * where they are kept: nothing is remembered here.
 *
 * An SA is ESP in tunnel mode, AES-CBC with HMAC-SHA-256-128 (RFC 3602, RFC 4868), extended
 * sequence numbers (RFC 4303) and a replay window of 1024 packets, which needs the attribute of its
 * own (XFRMA_REPLAY_ESN_VAL): the old field holds 32. It takes both inner families
 * (XFRM_STATE_AF_UNSPEC with an empty selector). A limit on bytes or packets that is not wanted
 * must be XFRM_INF, since 0 means none at all; one on seconds must be 0, since the kernel adds it
 * to a time.
 *
 * How it fails: every request has its own socket and waits 5 s at most; the kernel's own words come
 * back where it has any. Answers are checked attribute by attribute, since a message may also come
 * from a fuzzer; every buffer that a key may have been in is wiped, also those received, because
 * the kernel sends keys to root in each dump and notification.
 *
 * Follows: linux/xfrm.h, net/xfrm/xfrm_user.c of 5.10 to 6.18. Weakness: between looking whose an
 * SA is and removing it, another program may have replaced it.
 */
#include "wg/xfrm.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "userspace/base/ip.h"
#include "wg/xfrm_inner.h"

#define ANSWER_SIZE 65536
#define WAIT_S	    5
#define WINDOW	    1024
#define DUMP_TRIES  8

/* ---- talking ---- */

struct nlmsghdr *xfrm_request(void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = 1;
	return h;
}

static void take_words(const struct nlmsghdr *h, char *why, size_t size)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
	size_t at = sizeof(*e), all = mnl_nlmsg_get_payload_len(h);
	const struct nlattr *a;

	if (!why || !size || !(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED)) {
		if (e->msg.nlmsg_len < sizeof(e->msg) || e->msg.nlmsg_len > all)
			return;
		at += MNL_ALIGN(e->msg.nlmsg_len - sizeof(e->msg));
	}
	if (at > all)
		return;
	a = mnl_nlmsg_get_payload_offset(h, at);
	for (size_t left = all - at; mnl_attr_ok(a, (int)left); a = mnl_attr_next(a)) {
		size_t step = MNL_ALIGN(a->nla_len);

		if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG)
			snprintf(why, size, "%.*s", (int)mnl_attr_get_payload_len(a),
				 (const char *)mnl_attr_get_payload(a));
		if (step >= left)
			break;
		left -= step;
	}
}

struct talk {
	xfrm_each each;
	void *arg;
	char *why;
	size_t size;
	bool done;
	int err;
};

static void take_message(struct talk *t, const struct nlmsghdr *h)
{
	int err = 0;

	if (h->nlmsg_flags & NLM_F_DUMP_INTR && !t->err)
		t->err = -EINTR;
	if (h->nlmsg_type == NLMSG_ERROR) {
		t->done = true;
		if (mnl_nlmsg_get_payload_len(h) < sizeof(struct nlmsgerr)) {
			err = -EBADMSG;
		} else {
			err = ((const struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
			take_words(h, t->why, t->size);
		}
	} else if (h->nlmsg_type == NLMSG_DONE) {
		t->done = true;
		if (mnl_nlmsg_get_payload_len(h) >= sizeof(int))
			err = *(const int *)mnl_nlmsg_get_payload(h);
	} else if (h->nlmsg_type >= NLMSG_MIN_TYPE && t->each) {
		err = t->each(h, t->arg);
	}
	if (err && !t->err)
		t->err = err;
}

static int open_socket(struct mnl_socket **ret)
{
	struct timeval limit = {.tv_sec = WAIT_S};
	struct mnl_socket *s = mnl_socket_open2(NETLINK_XFRM, SOCK_CLOEXEC);
	int on = 1, err;

	if (!s)
		return -errno;
	mnl_socket_setsockopt(s, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(s, NETLINK_CAP_ACK, &on, sizeof(on));
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit))) {
		err = -errno;
		mnl_socket_close(s);
		return err;
	}
	*ret = s;
	return 0;
}

static int receive(struct mnl_socket *s, uint32_t sequence, struct talk *t, char *answer)
{
	ssize_t n = mnl_socket_recvfrom(s, answer, ANSWER_SIZE);
	const struct nlmsghdr *h = (const struct nlmsghdr *)answer;
	int left = (int)n;

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	for (; !t->done && mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		if (h->nlmsg_seq == sequence)
			take_message(t, h);
	}
	return 0;
}

int xfrm_exchange(struct nlmsghdr *h, xfrm_each each, void *arg, char *why, size_t size)
{
	struct talk t = {.each = each, .arg = arg, .why = why, .size = size};
	char *answer = malloc(ANSWER_SIZE);
	struct mnl_socket *s = NULL;
	int err = answer ? open_socket(&s) : -ENOMEM;

	if (err) {
		free(answer);
		return err;
	}
	if (why && size)
		why[0] = '\0';
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		err = -errno;
	while (!err && !t.done)
		err = receive(s, h->nlmsg_seq, &t, answer);
	mnl_socket_close(s);
	explicit_bzero(answer, ANSWER_SIZE);
	free(answer);
	err = err ? err : t.err;
	if (err && why && size && !why[0])
		snprintf(why, size, "%s", strerror(-err));
	return err;
}

/* ---- reading what the kernel says ---- */

static const size_t shortest[XFRMA_MAX + 1] = {
	[XFRMA_ALG_AUTH] = sizeof(struct xfrm_algo),
	[XFRMA_ALG_CRYPT] = sizeof(struct xfrm_algo),
	[XFRMA_ENCAP] = sizeof(struct xfrm_encap_tmpl),
	[XFRMA_TMPL] = sizeof(struct xfrm_user_tmpl),
	[XFRMA_SA] = sizeof(struct xfrm_usersa_info),
	[XFRMA_LASTUSED] = sizeof(uint64_t),
	[XFRMA_ALG_AEAD] = sizeof(struct xfrm_algo_aead),
	[XFRMA_ALG_AUTH_TRUNC] = sizeof(struct xfrm_algo_auth),
	[XFRMA_REPLAY_ESN_VAL] = sizeof(struct xfrm_replay_state_esn),
	[XFRMA_IF_ID] = sizeof(uint32_t),
};

int xfrm_check(const void *message, size_t size, size_t payload)
{
	const struct nlmsghdr *h = message;

	/* Not mnl_nlmsg_ok: it takes a length beyond 2 GiB for a negative one. */
	if (size < sizeof(*h) || h->nlmsg_len < sizeof(*h) || h->nlmsg_len > size ||
	    mnl_nlmsg_get_payload_len(h) < payload)
		return -EBADMSG;
	return 0;
}

int xfrm_attributes(const struct nlmsghdr *h, size_t offset, struct xfrm_attributes *ret)
{
	size_t all = mnl_nlmsg_get_payload_len(h), at = MNL_ALIGN(offset);

	memset(ret, 0, sizeof(*ret));
	while (at < all) {
		const struct nlattr *a = mnl_nlmsg_get_payload_offset(h, at);
		unsigned int type;

		if (all - at < sizeof(*a) || a->nla_len < sizeof(*a) || a->nla_len > all - at)
			return -EBADMSG;
		type = mnl_attr_get_type(a);
		if (type <= XFRMA_MAX) {
			if (mnl_attr_get_payload_len(a) < shortest[type])
				return -EBADMSG;
			ret->of[type] = a;
		}
		at += MNL_ALIGN(a->nla_len);
	}
	return 0;
}

uint32_t xfrm_if_id(const struct xfrm_attributes *a)
{
	return a->of[XFRMA_IF_ID] ? mnl_attr_get_u32(a->of[XFRMA_IF_ID]) : 0;
}

void xfrm_address_put(const uint32_t ip[4], xfrm_address_t *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (ip_is_v4(ip))
		ret->a4 = ip[3];
	else
		memcpy(ret->a6, ip, 16);
}

int xfrm_address_get(const xfrm_address_t *a, unsigned int family, uint32_t ret[4])
{
	xfrm_address_t copy;

	memcpy(&copy, a, sizeof(copy));
	if (family == AF_INET)
		ip_map(copy.a4, ret);
	else if (family == AF_INET6)
		memcpy(ret, copy.a6, 16);
	else
		return -EBADMSG;
	return 0;
}

uint16_t xfrm_family(const uint32_t ip[4])
{
	return ip_is_v4(ip) ? AF_INET : AF_INET6;
}

static void take_cipher(const struct xfrm_attributes *a, struct xfrm_sa *sa)
{
	const struct nlattr *of =
		a->of[XFRMA_ALG_AEAD] ? a->of[XFRMA_ALG_AEAD] : a->of[XFRMA_ALG_CRYPT];
	const char *name;
	size_t n;

	if (!of)
		return;
	name = mnl_attr_get_payload(of); /* the first field of both, 64 bytes */
	n = strnlen(name, sizeof(sa->cipher) - 1);
	for (size_t i = 0; i < n; i++)
		sa->cipher[i] = isprint((unsigned char)name[i]) ? name[i] : '?';
}

static uint64_t limit_of(uint64_t kernel)
{
	return kernel == XFRM_INF ? 0 : kernel;
}

static void take_limits(const struct xfrm_usersa_info *p, struct xfrm_sa *sa)
{
	const struct xfrm_lifetime_cfg *l = &p->lft;

	sa->outbound = l->hard_add_expires_seconds && !l->hard_use_expires_seconds;
	sa->byte_hard = limit_of(l->hard_byte_limit);
	sa->byte_soft = limit_of(l->soft_byte_limit);
	sa->packet_hard = limit_of(l->hard_packet_limit);
	sa->packet_soft = limit_of(l->soft_packet_limit);
	sa->time_hard_s =
		limit_of(sa->outbound ? l->hard_add_expires_seconds : l->hard_use_expires_seconds);
	sa->time_soft_s =
		limit_of(sa->outbound ? l->soft_add_expires_seconds : l->soft_use_expires_seconds);
	sa->bytes = p->curlft.bytes;
	sa->packets = p->curlft.packets;
	sa->added_s = p->curlft.add_time;
	sa->first_s = p->curlft.use_time;
	sa->used_s = p->curlft.use_time;
	sa->replayed = (uint64_t)p->stats.replay + p->stats.replay_window;
	sa->failed = p->stats.integrity_failed;
}

int xfrm_sa_parse(const void *message, size_t size, struct xfrm_sa *ret)
{
	const struct nlmsghdr *h = message;
	struct xfrm_usersa_info p;
	struct xfrm_attributes a;
	struct xfrm_encap_tmpl encap;
	struct xfrm_sa sa = {0};
	uint64_t last = 0;

	if (xfrm_check(message, size, sizeof(p)) ||
	    (h->nlmsg_type != XFRM_MSG_NEWSA && h->nlmsg_type != XFRM_MSG_UPDSA) ||
	    xfrm_attributes(h, sizeof(p), &a))
		return -EBADMSG;
	memcpy(&p, mnl_nlmsg_get_payload(h), sizeof(p));
	if (xfrm_address_get(&p.saddr, p.family, sa.src) ||
	    xfrm_address_get(&p.id.daddr, p.family, sa.dst))
		return -EBADMSG;
	sa.spi = ntohl(p.id.spi);
	sa.reqid = p.reqid;
	sa.if_id = xfrm_if_id(&a);
	take_limits(&p, &sa);
	take_cipher(&a, &sa);
	if (a.of[XFRMA_LASTUSED])
		memcpy(&last, mnl_attr_get_payload(a.of[XFRMA_LASTUSED]), sizeof(last));
	if (last > sa.used_s)
		sa.used_s = last;
	if (a.of[XFRMA_ENCAP]) {
		memcpy(&encap, mnl_attr_get_payload(a.of[XFRMA_ENCAP]), sizeof(encap));
		sa.encap_sport = ntohs(encap.encap_sport);
		sa.encap_dport = ntohs(encap.encap_dport);
	}
	*ret = sa;
	return 0;
}

/* ---- SAs ---- */

static uint64_t or_none(uint64_t limit)
{
	return limit ? limit : XFRM_INF;
}

static void put_state(struct nlmsghdr *h, const struct xfrm_sa *sa)
{
	struct xfrm_usersa_info *p = mnl_nlmsg_put_extra_header(h, sizeof(*p));

	xfrm_address_put(sa->src, &p->saddr);
	xfrm_address_put(sa->dst, &p->id.daddr);
	p->id.spi = htonl(sa->spi);
	p->id.proto = IPPROTO_ESP;
	p->family = xfrm_family(sa->dst);
	p->mode = XFRM_MODE_TUNNEL;
	p->flags = XFRM_STATE_AF_UNSPEC | XFRM_STATE_ESN;
	p->reqid = sa->reqid;
	p->lft.hard_byte_limit = or_none(sa->byte_hard);
	p->lft.soft_byte_limit = or_none(sa->byte_soft);
	p->lft.hard_packet_limit = or_none(sa->packet_hard);
	p->lft.soft_packet_limit = or_none(sa->packet_soft);
	if (sa->outbound) {
		p->lft.hard_add_expires_seconds = sa->time_hard_s;
		p->lft.soft_add_expires_seconds = sa->time_soft_s;
	} else {
		p->lft.hard_use_expires_seconds = sa->time_hard_s;
		p->lft.soft_use_expires_seconds = sa->time_soft_s;
	}
}

static void put_algorithms(struct nlmsghdr *h, const struct xfrm_sa *sa)
{
	struct {
		struct xfrm_algo alg;
		uint8_t key[32];
	} enc = {.alg.alg_name = "cbc(aes)", .alg.alg_key_len = sa->enc_size * 8u};
	struct {
		struct xfrm_algo_auth alg;
		uint8_t key[32];
	} auth = {.alg.alg_name = "hmac(sha256)",
		  .alg.alg_key_len = sizeof(sa->auth) * 8,
		  .alg.alg_trunc_len = 128};

	memcpy(enc.key, sa->enc, sa->enc_size);
	memcpy(auth.key, sa->auth, sizeof(auth.key));
	mnl_attr_put(h, XFRMA_ALG_CRYPT, sizeof(enc.alg) + sa->enc_size, &enc);
	mnl_attr_put(h, XFRMA_ALG_AUTH_TRUNC, sizeof(auth), &auth);
	explicit_bzero(&enc, sizeof(enc));
	explicit_bzero(&auth, sizeof(auth));
}

static void put_window(struct nlmsghdr *h)
{
	struct {
		struct xfrm_replay_state_esn esn;
		uint32_t bitmap[WINDOW / 32];
	} replay = {.esn = {.bmp_len = WINDOW / 32, .replay_window = WINDOW}};

	mnl_attr_put(h, XFRMA_REPLAY_ESN_VAL, sizeof(replay), &replay);
}

int xfrm_sa_add(const struct xfrm_sa *sa, char *why, size_t size)
{
	char buffer[2048];
	struct nlmsghdr *h;
	int err;

	if ((sa->enc_size != 16 && sa->enc_size != 24 && sa->enc_size != 32) || sa->spi < 256 ||
	    !sa->if_id || sa->reqid != xfrm_reqid(sa->if_id) ||
	    ip_is_v4(sa->src) != ip_is_v4(sa->dst)) {
		snprintf(why, size, "no SA of ours");
		return -EINVAL;
	}
	h = xfrm_request(buffer, XFRM_MSG_NEWSA, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	put_state(h, sa);
	put_algorithms(h, sa);
	put_window(h);
	mnl_attr_put_u32(h, XFRMA_IF_ID, sa->if_id);
	err = xfrm_exchange(h, NULL, NULL, why, size);
	explicit_bzero(buffer, sizeof(buffer));
	return err;
}

static void put_id(struct nlmsghdr *h, const struct xfrm_sa *sa)
{
	struct xfrm_usersa_id *id = mnl_nlmsg_put_extra_header(h, sizeof(*id));

	xfrm_address_put(sa->dst, &id->daddr);
	id->spi = htonl(sa->spi);
	id->family = xfrm_family(sa->dst);
	id->proto = IPPROTO_ESP;
}

static int take_one(const struct nlmsghdr *h, void *arg)
{
	return xfrm_sa_parse(h, h->nlmsg_len, arg);
}

int xfrm_sa_remove(const struct xfrm_sa *sa)
{
	char buffer[256];
	struct nlmsghdr *h = xfrm_request(buffer, XFRM_MSG_GETSA, NLM_F_ACK);
	struct xfrm_sa there = {0};
	int err;

	put_id(h, sa);
	err = xfrm_exchange(h, take_one, &there, NULL, 0);
	if (err)
		return err;
	if (there.if_id != sa->if_id || there.reqid != xfrm_reqid(sa->if_id))
		return -EPERM;
	h = xfrm_request(buffer, XFRM_MSG_DELSA, NLM_F_ACK);
	put_id(h, sa);
	return xfrm_exchange(h, NULL, NULL, NULL, 0);
}

struct list {
	uint32_t if_id;
	struct xfrm_sa *sa;
	size_t n, room;
};

static int take_listed(const struct nlmsghdr *h, void *arg)
{
	struct list *l = arg;
	struct xfrm_sa sa, *more;
	int err = xfrm_sa_parse(h, h->nlmsg_len, &sa);

	if (err || (l->if_id && sa.if_id != l->if_id))
		return err;
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 16;

		more = reallocarray(l->sa, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->sa = more;
		l->room = room;
	}
	l->sa[l->n++] = sa;
	return 0;
}

int xfrm_sa_list(uint32_t if_id, struct xfrm_sa **ret, size_t *ret_n)
{
	struct list l = {.if_id = if_id};
	int err = -EINTR;

	for (unsigned int try = 0; err == -EINTR && try < DUMP_TRIES; try++) {
		char buffer[256];
		struct nlmsghdr *h = xfrm_request(buffer, XFRM_MSG_GETSA, NLM_F_DUMP);

		l.n = 0;
		err = xfrm_exchange(h, take_listed, &l, NULL, 0);
	}
	if (err) {
		free(l.sa);
		return err;
	}
	*ret = l.sa;
	*ret_n = l.n;
	return 0;
}
