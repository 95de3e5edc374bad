/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <linux/virtio_net.h>

#include "tests/bpf/net.h"

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool readable(int fd, long until)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	long left = until - now_ms();

	return poll(&p, 1, left > 0 ? (int)left : 0) > 0;
}

static bool end_matches(const struct end *wanted, struct end is)
{
	if (!wanted)
		return true;
	if (!wanted->port)
		is.port = 0;
	return end_equal(wanted, &is);
}

static bool is_tcp(const struct frame *f)
{
	uint16_t type;

	if (f->len < FRAME_L3 + 40)
		return false;
	type = frame_get16(f, 12);
	return (type == 0x0800 && f->data[FRAME_L3 + 9] == 6) ||
	       (type == 0x86dd && f->data[FRAME_L3 + 6] == 6 && f->len >= FRAME_L3 + 60);
}

void wire_send(const struct net *n, const struct frame *f)
{
	if (send(n->wire, f->data, f->len, 0) != (ssize_t)f->len) {
		perror("sending to the wire");
		abort();
	}
}

bool wire_read(const struct net *n, const struct end *src, const struct end *dst, int ms,
	       struct frame *ret)
{
	long until = now_ms() + ms;

	while (readable(n->wire, until)) {
		ssize_t got = recv(n->wire, ret->data, FRAME_MAX, 0);

		if (got < 0)
			continue;
		ret->len = (size_t)got;
		if (is_tcp(ret) && end_matches(src, frame_src(ret)) &&
		    end_matches(dst, frame_dst(ret)))
			return true;
	}
	return false;
}

void wire_drain(const struct net *n)
{
	uint8_t any[64];

	while (recv(n->wire, any, sizeof(any), MSG_DONTWAIT) > 0)
		;
	while (recv(n->wire_gso, any, sizeof(any), MSG_DONTWAIT) > 0)
		;
}

void wire_send_offloaded(const struct net *n, const struct frame *f, const struct offload *o)
{
	struct virtio_net_hdr h = {.hdr_len = o->linear};
	struct iovec v[2] = {{&h, sizeof(h)}, {(void *)(uintptr_t)f->data, f->len}};

	if (o->partial) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = (uint16_t)frame_l4(f);
		h.csum_offset = 16;
	}
	if (o->gso) {
		h.gso_type = frame_is_v6(f) ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		h.gso_size = o->gso;
	}
	if (writev(n->wire_gso, v, 2) != (ssize_t)(sizeof(h) + f->len)) {
		perror("sending to the wire, with offloads");
		abort();
	}
}

bool wire_read_offloaded(const struct net *n, const struct end *dst, int ms, struct frame *ret,
			 struct offload *ret_offload)
{
	struct virtio_net_hdr h;
	struct iovec v[2] = {{&h, sizeof(h)}, {ret->data, FRAME_MAX}};
	long until = now_ms() + ms;

	while (readable(n->wire_gso, until)) {
		ssize_t got = readv(n->wire_gso, v, 2);

		if (got < (ssize_t)sizeof(h))
			continue;
		ret->len = (size_t)got - sizeof(h);
		if (!is_tcp(ret) || !end_matches(dst, frame_dst(ret)))
			continue;
		ret_offload->partial = h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
		ret_offload->gso = h.gso_type == VIRTIO_NET_HDR_GSO_NONE ? 0 : h.gso_size;
		ret_offload->linear = 0;
		return true;
	}
	return false;
}
