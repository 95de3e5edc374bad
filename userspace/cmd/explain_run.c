/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/explain_run.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/load.h"

struct packet {
	struct ethhdr eth;
	unsigned char rest[sizeof(struct ipv6hdr) + sizeof(struct tcphdr)];
} __attribute__((packed));

static void put_tcp(unsigned char *at, const struct explain_syn *syn)
{
	struct tcphdr tcp = {.source = syn->client_port,
			     .dest = syn->listen_port,
			     .doff = sizeof(tcp) / 4,
			     .syn = 1,
			     .window = htons(65535)};

	/* A number of its own, so that it is no SYN which the program remembers. */
	if (getrandom(&tcp.seq, sizeof(tcp.seq), GRND_NONBLOCK) < 0)
		tcp.seq = htonl(0x5f17);
	memcpy(at, &tcp, sizeof(tcp));
}

/* No checksums: the program does not look at them. Returns the packet's length. */
static uint32_t make_packet(struct packet *p, const struct explain_syn *syn)
{
	struct ipv6hdr v6 = {.version = 6,
			     .payload_len = htons(sizeof(struct tcphdr)),
			     .nexthdr = IPPROTO_TCP,
			     .hop_limit = 64};
	struct iphdr v4 = {.version = 4,
			   .ihl = sizeof(v4) / 4,
			   .tot_len = htons(sizeof(v4) + sizeof(struct tcphdr)),
			   .ttl = 64,
			   .protocol = IPPROTO_TCP};
	size_t header;

	memset(p, 0, sizeof(*p));
	if (ip_is_v4(syn->client)) {
		v4.saddr = syn->client[3];
		v4.daddr = syn->listen[3];
		p->eth.h_proto = htons(ETH_P_IP);
		header = sizeof(v4);
		memcpy(p->rest, &v4, header);
	} else {
		memcpy(&v6.saddr, syn->client, sizeof(v6.saddr));
		memcpy(&v6.daddr, syn->listen, sizeof(v6.daddr));
		p->eth.h_proto = htons(ETH_P_IPV6);
		header = sizeof(v6);
		memcpy(p->rest, &v6, header);
	}
	put_tcp(p->rest + header, syn);
	return (uint32_t)(sizeof(p->eth) + header + sizeof(struct tcphdr));
}

/* While the forward table grows, flows are found through the former one, too. */
static int set_growing(const struct plane *p, struct bpf_object *o)
{
	struct bpf_map_info info;
	uint32_t growing = !bpfsys_map_info(p->map[PLANE_FLOWS_WAS], &info) && info.max_entries > 1;

	return growing ? load_set(o, "growing", &growing, sizeof(growing)) : 0;
}

int explain_run(const struct plane *p, const struct explain_syn *syn, struct shift_explanation *ret)
{
	struct shift_explanation x;
	struct bpf_object *o;
	struct packet packet;
	uint32_t length = make_packet(&packet, syn), zero = 0;
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
