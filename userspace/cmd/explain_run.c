/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/explain_run.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/load.h"

#define INITIAL 1200 /* bytes that the datagram of a QUIC Initial has at least (RFC 9000, 14.1) */

struct packet {
	struct ethhdr eth;
	unsigned char rest[sizeof(struct ipv6hdr) + sizeof(struct udphdr) + INITIAL];
} __attribute__((packed));

static uint16_t put_tcp(unsigned char *at, const struct explain_packet *like)
{
	struct tcphdr tcp = {.source = like->client_port,
			     .dest = like->listen.port,
			     .doff = sizeof(tcp) / 4,
			     .syn = 1,
			     .window = htons(65535)};

	/* A number of its own, so that it is no SYN which the program remembers. */
	if (getrandom(&tcp.seq, sizeof(tcp.seq), GRND_NONBLOCK) < 0)
		tcp.seq = htonl(0x5f17);
	memcpy(at, &tcp, sizeof(tcp));
	return sizeof(tcp);
}

static uint16_t put_udp(unsigned char *at, const struct explain_packet *like)
{
	static const unsigned char initial[] = {0xc0, 0, 0, 0, 1}; /* version 1 */
	struct udphdr udp = {.source = like->client_port, .dest = like->listen.port};
	uint16_t length = sizeof(udp);

	if (like->listen.flags & SHIFT_LISTEN_QUIC) {
		memcpy(at + length, initial, sizeof(initial));
		length += INITIAL;
	}
	udp.len = htons(length);
	memcpy(at, &udp, sizeof(udp));
	return length;
}

/* No checksums: the program does not look at them. Returns the packet's length. */
static uint32_t make_packet(struct packet *p, const struct explain_packet *like)
{
	const struct shift_listen *to = &like->listen;
	bool v4 = ip_is_v4(like->client);
	uint32_t header = v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	uint16_t length;

	memset(p, 0, sizeof(*p));
	length = to->protocol == IPPROTO_UDP ? put_udp(p->rest + header, like)
					     : put_tcp(p->rest + header, like);
	if (v4) {
		struct iphdr ip = {.version = 4,
				   .ihl = sizeof(ip) / 4,
				   .tot_len = htons((uint16_t)(sizeof(ip) + length)),
				   .ttl = 64,
				   .protocol = to->protocol,
				   .saddr = like->client[3],
				   .daddr = to->address[3]};

		p->eth.h_proto = htons(ETH_P_IP);
		memcpy(p->rest, &ip, sizeof(ip));
	} else {
		struct ipv6hdr ip = {.version = 6,
				     .payload_len = htons(length),
				     .nexthdr = to->protocol,
				     .hop_limit = 64};

		memcpy(&ip.saddr, like->client, sizeof(ip.saddr));
		memcpy(&ip.daddr, to->address, sizeof(ip.daddr));
		p->eth.h_proto = htons(ETH_P_IPV6);
		memcpy(p->rest, &ip, sizeof(ip));
	}
	return (uint32_t)sizeof(p->eth) + header + length;
}

/* While the forward table grows, flows are found through the former one, too. */
static int set_growing(const struct plane *p, struct bpf_object *o)
{
	struct bpf_map_info info;
	uint32_t growing = !bpfsys_map_info(p->map[PLANE_FLOWS_WAS], &info) && info.max_entries > 1;

	return growing ? load_set(o, "growing", &growing, sizeof(growing)) : 0;
}

int explain_run(const struct plane *p, const struct explain_packet *like,
		struct shift_explanation *ret)
{
	struct shift_explanation x;
	struct bpf_object *o;
	struct packet packet;
	uint32_t length = make_packet(&packet, like), zero = 0;
	int err = load_open(p, "shift_explain", &o), fd;

	if (err)
		return err;
	err = set_growing(p, o);
	fd = err ? err : load_program(o, "shift_explain");
	err = fd < 0 ? fd : bpfsys_test_run(fd, &packet, length, NULL);
	if (!err)
		err = bpfsys_lookup(bpf_map__fd(bpf_object__find_map_by_name(o, "shift_explained")),
				    &zero, &x);
	if (!err)
		*ret = x;
	if (fd >= 0)
		close(fd);
	bpf_object__close(o);
	return err;
}
