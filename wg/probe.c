/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * probe.c - echoes out, answers in
 *
 * One raw socket per probe, bound to the device, so that an answer that comes by another way does
 * not count for this one, and a standby tunnel is asked through itself. It stays unconnected and
 * without an error queue: errors of hops arrive as the ICMP that they are, through the same filter
 * and parser as answers, and cannot make the next send fail in their stead.
 *
 * What can reach the socket: the kernel's ICMP filter lets two types through, and a classic BPF
 * program only our identifier, which is random; so a ping flood on this host wakes nobody. What is
 * let in is believed when it has a sequence number that was sent, the 64 random bits sent with that
 * one, the full length, and comes from the address asked. A hop's "too big" can come from anybody
 * and quotes perhaps no nonce: it must name target, identifier and sequence number of a sized probe
 * on its way and a smaller size. Who guesses these 32 bits in time makes a search try a smaller
 * size first.
 *
 * All packets have DF set (IPv6: are not fragmented here), and the kernel's own idea of the path's
 * MTU is ignored (PMTUDISC_PROBE), because to check it is what sized ones are for. An answer that
 * is as big as what was sent but came in fragments counts as passed: the peer's kernel is free to.
 *
 * Time: the kernel stamps arrivals with CLOCK_REALTIME, so that being scheduled late does not count
 * as RTT. Departures are stamped here just before sendto, which leaves the way down to the device
 * in the RTT. If the two clocks went apart meanwhile, the caller's clock decides.
 *
 * Weaknesses: a device whose name is another one's now is taken for the same. A reader that comes
 * later than FLIGHT probes ignores the answer.
 */
#include "wg/probe.h"

#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/ip.h"

#define FLIGHT	128 /* remembered: more than a window, for sized ones go between */
#define JUNK	64  /* packets that do not count, per call */
#define PAYLOAD 56

#define ICMP_FILTER 1 /* linux/icmp.h, which does not go with net/if.h */

struct flight {
	struct probe_stamp sent;
	uint64_t now; /* the caller's, when it was sent */
	uint64_t nonce;
	uint32_t size; /* 0: this place was never used */
	uint16_t seq;
	bool sized, done;
};

struct probe {
	int fd;
	uint8_t family;
	uint16_t id, seq;
	uint32_t address[4];
	char device[IFNAMSIZ];
	struct sockaddr_storage to;
	socklen_t to_size;
	struct window window;
	struct flight flight[FLIGHT]; /* by sequence number */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct probe_stamp stamp(void)
{
	return (struct probe_stamp){.boot = clock_ns(CLOCK_BOOTTIME),
				    .real = clock_ns(CLOCK_REALTIME)};
}

static int set(const struct probe *p, int level, int option, int value)
{
	return setsockopt(p->fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

static int bind_device(struct probe *p)
{
	if (!p->device[0])
		return 0;
	if (setsockopt(p->fd, SOL_SOCKET, SO_BINDTODEVICE, p->device, sizeof(p->device)))
		return -errno;
	if (p->family == 6) {
		struct sockaddr_in6 *to = (struct sockaddr_in6 *)&p->to;

		if (IN6_IS_ADDR_LINKLOCAL(&to->sin6_addr))
			to->sin6_scope_id = if_nametoindex(p->device);
	}
	return 0;
}

/* Echo replies and "too big", with our identifier. A raw socket of IPv4 has the IP header before
 * it, and X is its length; one of IPv6 has not. */
static int filter(const struct probe *p)
{
	struct sock_filter v4[] = {
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP_ECHOREPLY, 0, 2),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
		BPF_JUMP(BPF_JMP | BPF_JA, 5, 0, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP_DEST_UNREACH << 8 | ICMP_FRAG_NEEDED, 0,
			 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 8),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x45, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 32),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, p->id, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_filter v6[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP6_ECHO_REPLY, 0, 2),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
		BPF_JUMP(BPF_JMP | BPF_JA, 2, 0, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP6_PACKET_TOO_BIG, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 52),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, p->id, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {
		.len = p->family == 4 ? sizeof(v4) / sizeof(*v4) : sizeof(v6) / sizeof(*v6),
		.filter = p->family == 4 ? v4 : v6,
	};

	return setsockopt(p->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno
											  : 0;
}

static int set_up_v4(const struct probe *p)
{
	uint32_t types = ~(1u << ICMP_ECHOREPLY | 1u << ICMP_DEST_UNREACH);

	if (setsockopt(p->fd, SOL_RAW, ICMP_FILTER, &types, sizeof(types)))
		return -errno;
	return set(p, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
}

static int set_up_v6(const struct probe *p)
{
	struct icmp6_filter types;
	int err;

	ICMP6_FILTER_SETBLOCKALL(&types);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &types);
	ICMP6_FILTER_SETPASS(ICMP6_PACKET_TOO_BIG, &types);
	if (setsockopt(p->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &types, sizeof(types)))
		return -errno;
	err = set(p, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	return err ? err : set(p, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
}

static int set_up(struct probe *p)
{
	bool v4 = p->family == 4;
	int err;

	if (getrandom(&p->id, sizeof(p->id), 0) != sizeof(p->id) ||
	    getrandom(&p->seq, sizeof(p->seq), 0) != sizeof(p->seq))
		return -EIO;
	p->fd = socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       v4 ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	if (p->fd < 0)
		return -errno;
	err = v4 ? set_up_v4(p) : set_up_v6(p);
	if (!err)
		err = filter(p);
	if (!err)
		err = bind_device(p);
	return err ? err : set(p, SOL_SOCKET, SO_TIMESTAMPNS, 1);
}

int probe_open(const char *device, const uint32_t address[4], struct probe **ret)
{
	struct probe *p;
	int err;

	if (strlen(device) >= IFNAMSIZ)
		return -ENODEV;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->fd = -1;
	p->family = ip_family(address);
	memcpy(p->address, address, sizeof(p->address));
	memcpy(p->device, device, strlen(device));
	if (p->family == 4) {
		struct sockaddr_in *to = (struct sockaddr_in *)&p->to;

		to->sin_family = AF_INET;
		to->sin_addr.s_addr = address[3];
		p->to_size = sizeof(*to);
	} else {
		struct sockaddr_in6 *to = (struct sockaddr_in6 *)&p->to;

		to->sin6_family = AF_INET6;
		memcpy(&to->sin6_addr, address, sizeof(to->sin6_addr));
		p->to_size = sizeof(*to);
	}
	err = set_up(p);
	if (err) {
		probe_close(p);
		return err;
	}
	*ret = p;
	return 0;
}

void probe_close(struct probe *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

int probe_fd(const struct probe *p)
{
	return p->fd;
}

const struct window *probe_window(const struct probe *p)
{
	return &p->window;
}

static int send_packet(struct probe *p, const uint8_t *packet, size_t size)
{
	ssize_t n;

	do
		n = sendto(p->fd, packet, size, 0, (struct sockaddr *)&p->to, p->to_size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int send_one(struct probe *p, uint32_t size, bool sized, uint64_t now, uint16_t *ret_seq)
{
	uint16_t seq = (uint16_t)(p->seq + 1);
	struct flight *f = &p->flight[seq % FLIGHT];
	uint8_t packet[PROBE_MAX];
	uint64_t nonce;
	int n, err;

	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return -EIO;
	n = probe_build(p->family, p->id, seq, nonce, size, packet);
	if (n < 0)
		return n;
	p->seq = seq;
	*f = (struct flight){.now = now, .nonce = nonce, .size = size, .seq = seq, .sized = sized};
	*ret_seq = seq;
	f->sent = stamp();
	err = send_packet(p, packet, (size_t)n);
	/* The socket is bound to a number, and the device may have another by now. */
	if ((err == -ENODEV || err == -ENXIO || err == -ENETUNREACH) && p->device[0]) {
		err = bind_device(p);
		f->sent = stamp();
		if (!err)
			err = send_packet(p, packet, (size_t)n);
	}
	if (err)
		f->done = true;
	return err;
}

int probe_send(struct probe *p, uint64_t now)
{
	uint32_t header = p->family == 4 ? 28 : 48;
	uint16_t seq = (uint16_t)(p->seq + 1);
	int err;

	window_sent(&p->window, seq, now);
	err = send_one(p, header + PAYLOAD, false, now, &seq);
	if (err)
		window_lost(&p->window, seq);
	return err;
}

int probe_send_sized(struct probe *p, uint32_t size, uint64_t now, uint16_t *ret_seq)
{
	uint16_t seq;
	int err = send_one(p, size, true, now, &seq);

	if (!err)
		*ret_seq = seq;
	return err;
}

/* One packet. Its size, 0: it is none of ours, −errno. */
static int receive(struct probe *p, struct probe_packet *ret, uint64_t *ret_arrived)
{
	char control[CMSG_SPACE(sizeof(struct timespec)) + 64]
		__attribute__((aligned(__alignof__(struct cmsghdr))));
	uint8_t packet[PROBE_MAX + 60];
	struct sockaddr_storage from = {0};
	struct iovec to = {packet, sizeof(packet)};
	struct msghdr m = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &to,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(p->fd, &m, 0);

	if (n < 0)
		return -errno;
	if (m.msg_flags & MSG_TRUNC || probe_parse(p->family, packet, (size_t)n, ret))
		return 0;
	if (p->family == 6 && !ret->too_big)
		memcpy(ret->address, &((struct sockaddr_in6 *)&from)->sin6_addr,
		       sizeof(ret->address));
	*ret_arrived = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		*ret_arrived = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	}
	return 1;
}

/* The one that it is about, if it can be believed. */
static struct flight *believe(struct probe *p, const struct probe_packet *packet)
{
	struct flight *f = &p->flight[packet->seq % FLIGHT];

	if (packet->id != p->id || !f->size || f->seq != packet->seq ||
	    memcmp(packet->address, p->address, sizeof(p->address)))
		return NULL;
	if (packet->has_nonce ? packet->nonce != f->nonce : !packet->too_big)
		return NULL;
	if (!packet->too_big)
		return packet->size == f->size ? f : NULL;
	return f->sized && !f->done && packet->mtu < f->size ? f : NULL;
}

/* True when it counts. */
static bool take(struct probe *p, const struct probe_packet *packet, uint64_t arrived, uint64_t now,
		 struct probe_event *ret)
{
	struct flight *f = believe(p, packet);
	struct probe_event e = {.seq = packet->seq};
	struct probe_stamp read = stamp();
	uint64_t rtt;

	if (!f)
		return false;
	rtt = probe_rtt(&f->sent, &read, arrived, now > f->now ? now - f->now : 0);
	if (!f->sized) {
		if (!window_answered(&p->window, f->seq, f->now + rtt, &rtt))
			return false;
	} else if (f->done) {
		return false;
	} else {
		e.size = f->size;
		/* RFC 1191, 5: routers of old do not tell. It is less than what was sent. */
		if (packet->too_big)
			e.mtu = packet->mtu ? packet->mtu : f->size - 1;
	}
	f->done = true;
	e.rtt_ns = rtt;
	*ret = e;
	return true;
}

int probe_read(struct probe *p, uint64_t now, struct probe_event *ret)
{
	for (unsigned int i = 0; i < JUNK; i++) {
		struct probe_packet packet;
		uint64_t arrived;
		int n = receive(p, &packet, &arrived);

		if (n == -EAGAIN)
			return 0;
		if (n < 0 && n != -EINTR)
			return n;
		if (n > 0 && take(p, &packet, arrived, now, ret))
			return 1;
	}
	return 0;
}

unsigned int probe_expire(struct probe *p, uint64_t now, uint64_t timeout)
{
	return window_expire(&p->window, now, timeout);
}
