/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flood: SYNs, or datagrams, from ever other addresses and ports, as fast as asked for or as it
 * goes
 *
 *   flood DEVICE GATEWAY-MAC ADDRESS PORT tcp|udp FROM BITS RATE SECONDS MAX [START]
 *
 * For the namespaces of a test lab alone: it refuses sources outside 198.18.0.0/15 and
 * 2001:db8::/32. Sources are FROM with its last BITS (1..20) bits, of IPv6 the last ones of its
 * /64, drawn together with the port from a bijection of a counter: every packet is of another
 * tuple, in no order that can be seen, and START, a DRAWN of before, goes on where an earlier run
 * ended. Of IPv4's, the first 4096 addresses, which in 198.18.0.0/15 are the lab's own clients, are
 * left out, as are ports below 1024. It ends after SECONDS or MAX packets, whichever is first, and
 * prints "PACKETS SECONDS DRAWN".
 *
 * Frames go out of the device past its queue (PACKET_QDISC_BYPASS), 64 a call; over a veth they are
 * then handled at once on this CPU, so it cannot send more than is handled.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	 64
#define FRAME	 128
#define PAYLOAD	 16 /* of a datagram */
#define OWN	 4096
#define LOW_PORT 1024

struct flood {
	struct sockaddr_ll way;
	uint8_t mac[6];
	bool v6, tcp;
	uint8_t from[16], to[16]; /* network order; IPv4 in the first four */
	uint16_t port;
	unsigned int bits;
	double rate, seconds;
	uint64_t max, drawn;
	size_t len, ip_len;
	uint8_t frames[BATCH][FRAME];
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One to one among numbers of `bits` bits: odd factors and shifts to the right. */
static uint64_t shuffle(uint64_t x, unsigned int bits)
{
	uint64_t mask = (1ULL << bits) - 1;

	for (int round = 0; round < 3; round++) {
		x = (x * 0x9e3779b97f4a7c15ULL + 0x5851f42d4c957f2dULL) & mask;
		x ^= x >> (bits / 2);
	}
	return x;
}

static uint32_t add_words(uint32_t sum, const void *at, size_t n)
{
	const uint8_t *p = at;

	for (; n > 1; n -= 2, p += 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	return sum;
}

static uint16_t folded(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return htons((uint16_t)~sum);
}

static void fill(const struct flood *f, uint8_t *frame)
{
	uint8_t *ip = frame + ETH_HLEN, *l4 = ip + f->ip_len;
	uint16_t l4_len = (uint16_t)(f->len - ETH_HLEN - f->ip_len);

	memset(frame, 0, FRAME);
	memcpy(frame, f->mac, 6);
	frame[6] = 2; /* a local address; nobody learns it */
	frame[12] = f->v6 ? 0x86 : 0x08;
	frame[13] = f->v6 ? 0xdd : 0x00;
	if (f->v6) {
		struct ip6_hdr *h = (struct ip6_hdr *)ip;

		h->ip6_flow = htonl(6u << 28);
		h->ip6_plen = htons(l4_len);
		h->ip6_nxt = f->tcp ? IPPROTO_TCP : IPPROTO_UDP;
		h->ip6_hlim = 60;
		memcpy(&h->ip6_src, f->from, 16);
		memcpy(&h->ip6_dst, f->to, 16);
	} else {
		struct iphdr *h = (struct iphdr *)ip;

		h->version = 4;
		h->ihl = 5;
		h->tot_len = htons((uint16_t)(20 + l4_len));
		h->ttl = 60;
		h->protocol = f->tcp ? IPPROTO_TCP : IPPROTO_UDP;
		memcpy(&h->saddr, f->from, 4);
		memcpy(&h->daddr, f->to, 4);
	}
	memcpy(l4 + 2, &f->port, 2);
	if (f->tcp) {
		struct tcphdr *t = (struct tcphdr *)l4;
		static const uint8_t options[] = {2, 4, 5, 180, 4, 2, 1, 3, 3, 7, 1, 1};

		t->doff = 8;
		t->syn = 1;
		t->window = htons(64240);
		memcpy(l4 + 20, options, sizeof(options));
	} else {
		((struct udphdr *)l4)->len = htons(l4_len);
	}
}

/* Where in the address the bits lie that are drawn. */
static size_t drawn_at(const struct flood *f)
{
	return f->v6 ? 4 : 0;
}

/* The next tuple into a frame that `fill` has made. */
static void draw(struct flood *f, uint8_t *frame)
{
	uint8_t *ip = frame + ETH_HLEN, *l4 = ip + f->ip_len, *source = ip + (f->v6 ? 8 : 12);
	size_t size = f->v6 ? 16 : 4, l4_len = f->len - ETH_HLEN - f->ip_len;
	uint32_t host, base, sum;
	uint64_t x;

	do {
		x = shuffle(f->drawn++, f->bits + 16);
		host = (uint32_t)(x >> 16);
	} while ((!f->v6 && host < OWN) || (x & 0xffff) < LOW_PORT);
	memcpy(&base, f->from + drawn_at(f), 4);
	base = htonl(ntohl(base) | host);
	memcpy(source + drawn_at(f), &base, 4);
	l4[0] = (uint8_t)(x >> 8);
	l4[1] = (uint8_t)x;
	if (!f->v6) {
		struct iphdr *h = (struct iphdr *)ip;

		h->id = (uint16_t)f->drawn;
		h->check = 0;
		h->check = folded(add_words(0, ip, 20));
	}
	if (f->tcp) {
		uint32_t isn = (uint32_t)(f->drawn * 2654435761u);

		memcpy(l4 + 4, &isn, 4);
	}
	memset(l4 + (f->tcp ? 16 : 6), 0, 2);
	sum = add_words((uint32_t)l4_len + (f->tcp ? IPPROTO_TCP : IPPROTO_UDP), source, 2 * size);
	sum = folded(add_words(sum, l4, l4_len));
	if (!f->tcp && !sum)
		sum = 0xffff;
	memcpy(l4 + (f->tcp ? 16 : 6), &(uint16_t){(uint16_t)sum}, 2);
}

static int run(struct flood *f, int fd)
{
	struct mmsghdr calls[BATCH] = {0};
	struct iovec io[BATCH];
	double began = now(), at = began;
	uint64_t sent = 0;

	for (int i = 0; i < BATCH; i++) {
		fill(f, f->frames[i]);
		io[i] = (struct iovec){f->frames[i], f->len};
		calls[i].msg_hdr = (struct msghdr){.msg_name = &f->way,
						   .msg_namelen = sizeof(f->way),
						   .msg_iov = &io[i],
						   .msg_iovlen = 1};
	}
	while (sent < f->max && (at = now()) - began < f->seconds) {
		double early = began + (double)sent / f->rate - at;
		int n;

		if (early > 0.0005) {
			usleep((useconds_t)(early * 1e6));
			continue;
		}
		for (int i = 0; i < BATCH; i++)
			draw(f, f->frames[i]);
		n = sendmmsg(fd, calls, BATCH, 0);
		if (n > 0)
			sent += (uint64_t)n;
		else if (errno != ENOBUFS && errno != EAGAIN)
			return -errno;
	}
	printf("%llu %.3f %llu\n", (unsigned long long)sent, now() - began,
	       (unsigned long long)f->drawn);
	return 0;
}

static bool ours(const struct flood *f)
{
	if (f->v6)
		return memcmp(f->from, "\x20\x01\x0d\xb8", 4) == 0;
	return f->from[0] == 198 && (f->from[1] & 0xfe) == 18;
}

/* The sources' last bits must be zero, for `draw` sets them. */
static bool parse(struct flood *f, char **a)
{
	int family = strchr(a[2], ':') ? AF_INET6 : AF_INET;
	uint32_t low;

	f->v6 = family == AF_INET6;
	f->tcp = strcmp(a[4], "tcp") == 0;
	f->ip_len = f->v6 ? 40 : 20;
	f->len = ETH_HLEN + f->ip_len + (f->tcp ? 32 : 8 + PAYLOAD);
	f->port = htons((uint16_t)atoi(a[3]));
	f->bits = (unsigned int)atoi(a[6]);
	f->rate = atof(a[7]);
	f->seconds = atof(a[8]);
	f->max = strtoull(a[9], NULL, 10);
	f->drawn = a[10] ? strtoull(a[10], NULL, 10) : 0;
	if (sscanf(a[1], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &f->mac[0], &f->mac[1], &f->mac[2],
		   &f->mac[3], &f->mac[4], &f->mac[5]) != 6 ||
	    inet_pton(family, a[2], f->to) != 1 || inet_pton(family, a[5], f->from) != 1)
		return false;
	memcpy(&low, f->from + drawn_at(f), 4);
	return (f->tcp || strcmp(a[4], "udp") == 0) && f->bits >= 1 && f->bits <= 20 && ours(f) &&
	       !(ntohl(low) & ((1u << f->bits) - 1)) && (f->v6 || f->bits <= 17) && f->rate >= 1 &&
	       f->seconds > 0 && f->seconds <= 60 && f->max <= 100000000;
}

int main(int argc, char **argv)
{
	static struct flood f;
	int fd, err, one = 1;

	if ((argc != 11 && argc != 12) || !parse(&f, argv + 1)) {
		fprintf(stderr, "usage: flood DEVICE GATEWAY-MAC ADDRESS PORT tcp|udp FROM BITS "
				"RATE SECONDS MAX [START]\n");
		return 2;
	}
	f.way = (struct sockaddr_ll){.sll_family = AF_PACKET,
				     .sll_protocol = htons(f.v6 ? ETH_P_IPV6 : ETH_P_IP),
				     .sll_ifindex = (int)if_nametoindex(argv[1]),
				     .sll_halen = 6};
	memcpy(f.way.sll_addr, f.mac, 6);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) != 0) {
		fprintf(stderr, "flood: %s\n", strerror(errno));
		return 1;
	}
	err = run(&f, fd);
	if (err)
		fprintf(stderr, "flood: %s: %s\n", argv[1], strerror(-err));
	return err ? 1 : 0;
}
