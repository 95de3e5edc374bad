/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wg/xfrm.h"
#include "wg/xfrm_inner.h"

#define EVENT_SIZE 16384
#define GROUP(g)   (1u << ((g)-1))

int xfrm_events_open(void)
{
	struct sockaddr_nl local = {
		.nl_family = AF_NETLINK,
		.nl_groups =
			GROUP(XFRMNLGRP_ACQUIRE) | GROUP(XFRMNLGRP_EXPIRE) | GROUP(XFRMNLGRP_SA),
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_XFRM), err;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&local, sizeof(local))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Of a whole SA, wherever it stands in a message. */
static int take_state(const void *from, struct xfrm_event *e)
{
	struct xfrm_usersa_info p;

	memcpy(&p, from, sizeof(p));
	e->spi = ntohl(p.id.spi);
	e->reqid = p.reqid;
	if (xfrm_address_get(&p.saddr, p.family, e->src) ||
	    xfrm_address_get(&p.id.daddr, p.family, e->dst))
		return -EBADMSG;
	return 0;
}

static int take_deleted(const void *from, const struct xfrm_attributes *a, struct xfrm_event *e)
{
	struct xfrm_usersa_id id;

	if (a->of[XFRMA_SA])
		return take_state(mnl_attr_get_payload(a->of[XFRMA_SA]), e);
	memcpy(&id, from, sizeof(id));
	e->spi = ntohl(id.spi);
	return xfrm_address_get(&id.daddr, id.family, e->dst);
}

static int take_acquire(const void *from, const struct xfrm_attributes *a, struct xfrm_event *e)
{
	struct xfrm_user_acquire p;
	struct xfrm_user_tmpl t;

	if (!a->of[XFRMA_TMPL])
		return -EBADMSG;
	memcpy(&p, from, sizeof(p));
	memcpy(&t, mnl_attr_get_payload(a->of[XFRMA_TMPL]), sizeof(t));
	e->spi = ntohl(p.id.spi);
	e->reqid = t.reqid;
	if (xfrm_address_get(&p.saddr, t.family, e->src) ||
	    xfrm_address_get(&p.id.daddr, t.family, e->dst))
		return -EBADMSG;
	return 0;
}

int xfrm_event_parse(const void *message, size_t size, struct xfrm_event *ret)
{
	const struct nlmsghdr *h = message;
	struct xfrm_event e = {0};
	struct xfrm_attributes a;
	size_t fixed;
	const char *p;
	int err;

	if (xfrm_check(message, size, 0))
		return -EBADMSG;
	switch (h->nlmsg_type) {
	case XFRM_MSG_EXPIRE:
		fixed = sizeof(struct xfrm_user_expire);
		break;
	case XFRM_MSG_ACQUIRE:
		fixed = sizeof(struct xfrm_user_acquire);
		break;
	case XFRM_MSG_DELSA:
		fixed = sizeof(struct xfrm_usersa_id);
		break;
	case XFRM_MSG_NEWSA:
	case XFRM_MSG_UPDSA:
		fixed = sizeof(struct xfrm_usersa_info);
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (xfrm_check(message, size, fixed) || xfrm_attributes(h, fixed, &a))
		return -EBADMSG;
	p = mnl_nlmsg_get_payload(h);
	e.type = h->nlmsg_type;
	e.if_id = xfrm_if_id(&a);
	if (e.type == XFRM_MSG_DELSA)
		err = take_deleted(p, &a, &e);
	else if (e.type == XFRM_MSG_ACQUIRE)
		err = take_acquire(p, &a, &e);
	else
		err = take_state(p, &e);
	if (e.type == XFRM_MSG_EXPIRE)
		e.hard = p[offsetof(struct xfrm_user_expire, hard)];
	if (!err)
		*ret = e;
	return err;
}

int xfrm_events_read(int fd, struct xfrm_event *ret)
{
	char *buffer = malloc(EVENT_SIZE);
	int err = buffer ? -EAGAIN : -ENOMEM;

	while (err == -EAGAIN) {
		struct sockaddr_nl from = {0};
		socklen_t length = sizeof(from);
		ssize_t n = recvfrom(fd, buffer, EVENT_SIZE, MSG_TRUNC, (struct sockaddr *)&from,
				     &length);

		if (n < 0) {
			err = errno == EAGAIN ? 0 : errno == EINTR ? -EAGAIN : -errno;
			continue;
		}
		if (n > EVENT_SIZE) {
			err = -ENOBUFS;
			continue;
		}
		if (!from.nl_pid && !xfrm_event_parse(buffer, (size_t)n, ret))
			err = 1;
	}
	if (buffer)
		explicit_bzero(buffer, EVENT_SIZE);
	free(buffer);
	return err;
}

/* ---- /proc/net/xfrm_stat ---- */

static FILE *open_stat(void)
{
	return fopen("/proc/thread-self/net/xfrm_stat", "re");
}

int xfrm_stat(char *ret, size_t size)
{
	FILE *f = open_stat();
	char name[64];
	uint64_t value;
	size_t at = 0;
	int n = 0;

	if (!f)
		return -errno;
	if (size)
		ret[0] = '\0';
	while (fscanf(f, "%63s %" SCNu64, name, &value) == 2) {
		if (!value)
			continue;
		n++;
		if (at < size) {
			int put = snprintf(ret + at, size - at, "%s%s=%" PRIu64, at ? " " : "",
					   name, value);

			at += put > 0 ? (size_t)put : 0;
		}
	}
	fclose(f);
	return n;
}

int xfrm_stat_of(const char *name, uint64_t *ret)
{
	FILE *f = open_stat();
	char found[64];
	uint64_t value;
	int err = -ENOENT;

	if (!f)
		return -errno;
	while (err && fscanf(f, "%63s %" SCNu64, found, &value) == 2) {
		if (!strcmp(found, name)) {
			*ret = value;
			err = 0;
		}
	}
	fclose(f);
	return err;
}
