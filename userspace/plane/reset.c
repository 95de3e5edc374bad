/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/reset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "userspace/plane/bpfsys.h"
#include "userspace/plane/flows.h"

#define TTL 64

struct sender {
	const struct plane *p;
	struct shift_globals g;
	struct shift_service svc;
	struct reset_result *result;
	uint64_t epoch;
	uint32_t rate;
	struct timespec began;
	int v4, v6;
};

/* One end of a connection as a segment's source, the other as its destination. */
struct segment {
	const uint32_t *src, *dst;
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;
};

static uint32_t sum_words(uint32_t sum, const void *data, size_t size)
{
	const uint8_t *b = data;

	for (size_t i = 0; i < size; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	return sum;
}

static uint16_t finish(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static struct tcphdr tcp_of(const struct segment *s, const void *src, const void *dst, size_t width)
{
	struct tcphdr t = {.source = s->sport,
			   .dest = s->dport,
			   .seq = htonl(s->seq),
			   .ack_seq = htonl(s->ack),
			   .doff = sizeof(t) / 4,
			   .rst = (s->flags & TH_RST) != 0,
			   .ack = (s->flags & TH_ACK) != 0};
	uint32_t sum = sum_words(IPPROTO_TCP + sizeof(t), src, width);

	sum = sum_words(sum, dst, width);
	t.check = finish(sum_words(sum, &t, sizeof(t)));
	return t;
}

static int send_v4(int fd, const struct segment *s)
{
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} out = {.ip = {.version = 4,
			.ihl = 5,
			.ttl = TTL,
			.protocol = IPPROTO_TCP,
			.tot_len = htons(sizeof(out)),
			.frag_off = htons(IP_DF),
			.saddr = s->src[3],
			.daddr = s->dst[3]}};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {s->dst[3]}};

	out.tcp = tcp_of(s, &s->src[3], &s->dst[3], 4);
	return sendto(fd, &out, sizeof(out), 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno
											: 0;
}

static int send_v6(int fd, const struct segment *s)
{
	struct {
		struct ip6_hdr ip;
		struct tcphdr tcp;
	} out = {.ip = {.ip6_flow = htonl(6u << 28), .ip6_plen = htons(sizeof(out.tcp))}};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6};

	out.ip.ip6_nxt = IPPROTO_TCP;
	out.ip.ip6_hlim = TTL;
	memcpy(&out.ip.ip6_src, s->src, 16);
	memcpy(&out.ip.ip6_dst, s->dst, 16);
	memcpy(&to.sin6_addr, s->dst, 16);
	out.tcp = tcp_of(s, s->src, s->dst, 16);
	return sendto(fd, &out, sizeof(out), 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno
											: 0;
}

static int send_segment(const struct sender *s, uint8_t family, const struct segment *g)
{
	return family == 4 ? send_v4(s->v4, g) : send_v6(s->v6, g);
}

static void wait_for_turn(const struct sender *s)
{
	uint64_t at;
	struct timespec t = s->began;

	if (!s->rate)
		return;
	at = (uint64_t)t.tv_nsec + s->result->reset * 1000000000ull / s->rate;
	t.tv_sec += (time_t)(at / 1000000000);
	t.tv_nsec = (long)(at % 1000000000);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/*
 * Should the number have been wrong, a segment from just before it brings the right one: who gets
 * what he has already had acknowledges what he expects (RFC 9293, 3.10.7.4), and the program
 * answers that with a RST for both.
 */
static int ask(const struct sender *s, uint8_t family, struct segment *g, uint32_t ack)
{
	g->flags = TH_ACK;
	g->seq--;
	g->ack = ack;
	return send_segment(s, family, g);
}

/* Each side is told the number it expects next; a handshake that is half done, what RFC 9293 asks.
 */
static int tell_both(const struct sender *s, const struct flow_seen *f,
		     const struct shift_listen *l)
{
	struct segment client = {.src = l->address,
				 .dst = f->f->client,
				 .sport = l->port,
				 .dport = f->f->client_port,
				 .seq = f->f->client_ack,
				 .flags = TH_RST};
	struct segment backend = {.src = f->t->nat,
				  .dst = f->t->address,
				  .sport = htons((uint16_t)(f->t->port_lo + f->index)),
				  .dport = f->t->port,
				  .seq = f->f->backend_ack,
				  .flags = TH_RST};
	int err, err2;

	if (f->f->state == SHIFT_FLOW_SYN_SENT) {
		client.seq = 0;
		client.ack = f->f->client_isn + 1;
		client.flags |= TH_ACK;
		backend.seq = f->f->client_isn + 1;
	} else if (f->f->state == SHIFT_FLOW_SYN_RECV) {
		client.seq = f->f->backend_isn + 1;
	}
	err = send_segment(s, f->t->family, &client);
	err2 = send_segment(s, f->t->family, &backend);
	if (!err && !err2 && f->f->state >= SHIFT_FLOW_ESTABLISHED) {
		err = ask(s, f->t->family, &client, f->f->backend_ack);
		err2 = ask(s, f->t->family, &backend, f->f->client_ack);
	}
	return err ? err : err2;
}

/* After a pause the record may be another connection's, or have other numbers: it is read again. */
static bool look_again(const struct sender *s, struct shift_flow *f, const struct shift_flow *live)
{
	uint32_t generation = f->generation;

	memcpy(f, live, sizeof(*f));
	return f->generation == generation && f->epoch < s->epoch &&
	       shift_flow_alive(f, plane_tick(&s->g));
}

static int reset_one(const struct flow_seen *seen, void *arg)
{
	struct sender *s = arg;
	struct shift_flow now = *seen->f;
	struct flow_seen f = *seen;
	uint32_t id = now.listen;
	struct shift_listen l;
	int err;

	f.f = &now;
	if (now.epoch >= s->epoch || !shift_flow_alive(&now, plane_tick(&s->g)) ||
	    now.protocol != IPPROTO_TCP) /* UDP has no reset: its next packet is decided anew */
		return 0;
	err = bpfsys_lookup(s->p->map[PLANE_LISTENS], &id, &l);
	if (err)
		return err;
	wait_for_turn(s);
	if (!look_again(s, &now, f.live))
		return 0;
	if (s->rate)
		f.live->cut = 1;
	err = tell_both(s, &f, &l);
	if (err) {
		s->result->failed++;
		if (!s->result->error)
			s->result->error = err;
		return 0; /* the program cuts it at its next packet */
	}
	s->result->reset++;
	if (f.live->generation == now.generation) { /* as the program does after a cut */
		f.live->flags |= SHIFT_FLOW_CUT;
		f.live->state = SHIFT_FLOW_DONE;
		f.live->expires = plane_tick(&s->g) + s->svc.timeout[SHIFT_FLOW_DONE];
	}
	return 0;
}

int reset_flows(struct plane *p, int service, uint64_t epoch, uint32_t rate,
		struct reset_result *ret)
{
	struct sender s = {.p = p, .result = ret, .epoch = epoch, .rate = rate};
	int err = plane_globals(p, &s.g);

	memset(ret, 0, sizeof(*ret));
	if (!err)
		err = plane_service(p, (uint32_t)service, &s.svc);
	if (err)
		return err;
	clock_gettime(CLOCK_MONOTONIC, &s.began);
	s.v4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	s.v6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW); /* implies IPV6_HDRINCL */
	if (s.v4 < 0 && s.v6 < 0)
		return -errno;
	err = flows_each(p, service, plane_tick(&s.g), reset_one, &s);
	if (s.v4 >= 0)
		close(s.v4);
	if (s.v6 >= 0)
		close(s.v6);
	return err;
}
