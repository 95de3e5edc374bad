/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <linux/virtio_net.h>
#include <bpf/libbpf.h>

#include "tests/bpf/attach.h"
#include "tests/bpf/datagram.h"

int attach_to_ifindex(uint32_t ifindex, int prog)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, o, .prog_fd = prog, .handle = 1, .priority = 1);
	int err = bpf_tc_hook_create(&hook);

	return err && err != -EEXIST ? err : bpf_tc_attach(&hook, &o);
}

int attach_to_egress(uint32_t ifindex, int prog)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, o, .prog_fd = prog, .handle = 1, .priority = 1);

	return bpf_tc_attach(&hook, &o);
}

int attach_to(const struct net *n, int prog)
{
	return attach_to_ifindex(n->ifindex, prog);
}

void attach_end(const struct net *n)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)n->ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	bpf_tc_hook_destroy(&hook);
}

/* Neighbour and router discovery, reports of groups. */
static bool is_chatter(const struct frame *f)
{
	uint16_t type = frame_get16(f, 12);

	if (f->len < FRAME_L3 + 20 || (type != 0x0800 && type != 0x86dd))
		return true;
	if (type == 0x0800)
		return false;
	return f->len < FRAME_L3 + 41 || f->data[FRAME_L3 + 24] == 0xff ||
	       f->data[FRAME_L3 + 8] == 0xfe ||
	       (f->data[FRAME_L3 + 6] == PROTOCOL_ICMPV6 && f->data[FRAME_L3 + 40] >= 130);
}

static bool is_like(const struct frame *f, const struct frame *like)
{
	bool v6 = frame_is_v6(like);
	size_t at = v6 ? 8 : 12, n = v6 ? 32 : 8;

	return frame_is_v6(f) == v6 &&
	       !memcmp(f->data + FRAME_L3 + at, like->data + FRAME_L3 + at, n) &&
	       f->data[FRAME_L3 + (v6 ? 6 : 9)] == like->data[FRAME_L3 + (v6 ? 6 : 9)];
}

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

bool attach_read(const struct net *n, const struct frame *like, int ms, struct frame *ret)
{
	long until = now_ms() + ms;

	while (readable(n->wire, until)) {
		ssize_t got = recv(n->wire, ret->data, FRAME_MAX, 0);

		if (got < 0)
			continue;
		ret->len = (size_t)got;
		if (!is_chatter(ret) && (!like || is_like(ret, like)))
			return true;
	}
	return false;
}

bool attach_read_finished(const struct net *n, int ms, struct frame *ret)
{
	struct virtio_net_hdr h;
	struct iovec v[2] = {{&h, sizeof(h)}, {ret->data, FRAME_MAX}};
	long until = now_ms() + ms;

	while (readable(n->wire_gso, until)) {
		ssize_t got = readv(n->wire_gso, v, 2);

		if (got < (ssize_t)sizeof(h))
			continue;
		ret->len = (size_t)got - sizeof(h);
		if (is_chatter(ret))
			continue;
		if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			frame_put16(ret, h.csum_start + (size_t)h.csum_offset,
				    (uint16_t)~bytes_sum(ret->data + h.csum_start,
							 ret->len - h.csum_start, 0));
		return h.gso_type == VIRTIO_NET_HDR_GSO_NONE;
	}
	return false;
}
