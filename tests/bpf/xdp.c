/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/bpf/check.h"
#include "tests/bpf/single.h"
#include "tests/bpf/xdp.h"

#define HOPS	 4096 /* as in xdp.bpf.h */
#define HOP_TICK 16   /* where it is in the hop */

const uint8_t xdp_stranger_mac[6] = {2, 0, 0, 0, 0, 0x55};

static struct {
	int prog, hops, cpus;
	size_t hop_size; /* of one CPU's */
	uint32_t ifindex, ifindex_before;
	bool named;
	struct shift_flow_ref place[2]; /* [udp] */
} xdp;

/* ---- running ---- */

int xdp_run(const struct frame *in, struct run *ret)
{
	struct xdp_md md = {.data_end = (uint32_t)in->len, .ingress_ifindex = xdp.ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in->data, .data_size_in = (uint32_t)in->len,
		    .data_out = ret->out.data, .data_size_out = FRAME_RUN, .repeat = 1);
	int err;

	if (xdp.named) {
		o.ctx_in = &md;
		o.ctx_size_in = sizeof(md);
	}
	err = bpf_prog_test_run_opts(xdp.prog, &o);
	if (err)
		return err;
	ret->action = (int)o.retval;
	ret->out.len = o.data_size_out;
	return 0;
}

/* Also tc is to take packets for the host's MAC there. In our namespace, and for good. */
static int use_loopback(void)
{
	struct ifreq q = {.ifr_name = "lo", .ifr_hwaddr.sa_family = ARPHRD_LOOPBACK};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	memcpy(q.ifr_hwaddr.sa_data, frame_host_mac, 6);
	if (ioctl(fd, SIOCSIFHWADDR, &q))
		err = -errno;
	close(fd);
	return err;
}

int xdp_begin(struct rig *r, const struct net *net)
{
	const struct bpf_program *p = bpf_object__find_program_by_name(r->object, "shift_xdp");
	const struct bpf_map *hops = bpf_object__find_map_by_name(r->object, "shift_hops");
	static const struct frame any = {.len = 64, .data = {0}};
	static struct run ignored;

	if (!p || !hops)
		return -ENOENT;
	xdp.hops = bpf_map__fd(hops);
	xdp.hop_size = (bpf_map__value_size(hops) + 7u) / 8 * 8;
	xdp.prog = bpf_program__fd(p);
	xdp.cpus = r->cpus;
	xdp.ifindex = net->ifindex;
	xdp.named = true;
	xdp.named = !xdp_run(&any, &ignored);
	xdp.ifindex_before = r->ifindex;
	if (!xdp.named)
		xdp.ifindex = 1;
	r->ifindex = xdp.ifindex;
	return xdp.named ? 0 : use_loopback();
}

void xdp_end(struct rig *r)
{
	r->ifindex = xdp.ifindex_before;
}

bool xdp_is_named(void)
{
	return xdp.named;
}

/* ---- next hops ---- */

/* Where the program keeps the hop to this address. */
uint32_t xdp_hop_key(const struct end *e)
{
	uint32_t bits = e->ip[3] ^ e->ip[1];

	return (bits ^ bits >> 12 ^ bits >> 24) & (HOPS - 1);
}

/* `older` by so many ticks; 0: forgotten. */
static void change_hop(const struct end *to, uint32_t older)
{
	uint8_t *values = calloc((size_t)xdp.cpus, xdp.hop_size);
	uint32_t key = xdp_hop_key(to);

	if (!values || (older && bpf_map_lookup_elem(xdp.hops, &key, values)))
		abort();
	for (int cpu = 0; older && cpu < xdp.cpus; cpu++) {
		uint8_t *at = values + (size_t)cpu * xdp.hop_size + HOP_TICK;
		uint32_t tick;

		memcpy(&tick, at, 4);
		tick -= older;
		memcpy(at, &tick, 4);
	}
	if (bpf_map_update_elem(xdp.hops, &key, values, BPF_ANY))
		abort();
	free(values);
}

static void change_hops(struct story *s, uint32_t older)
{
	change_hop(&s->client_end, older);
	for (int i = 0; i < RIG_UDP_TARGETS; i++) /* TCP's have the same addresses, but for one */
		change_hop(&s->rig->udp[i].address, older);
	for (int i = 1; i < RIG_TARGETS; i += RIG_TARGETS / 2)
		change_hop(&s->rig->target[i].address, older);
}

void xdp_forget_hops(struct story *s)
{
	change_hops(s, 0);
}

void xdp_hops_older(struct story *s, uint32_t ticks)
{
	change_hops(s, ticks);
}

void xdp_forwarding(struct story *s, bool on)
{
	const char *name = s->v6 ? "ipv6/conf/%s/forwarding" : "ipv4/conf/%s/forwarding";
	char path[64];

	snprintf(path, sizeof(path), name, xdp.named ? "old0" : "lo");
	if (net_sysctl(path, on ? "1" : "0"))
		check_fail("forwarding cannot be set");
}

void xdp_gateway(struct story *s, const uint8_t mac[6])
{
	for (uint32_t id = 0; id < 32; id++) {
		struct shift_target t;

		if (!rig_target_of(s->rig, id))
			continue;
		rig_get(s->rig, RIG_TARGET, &id, &t);
		t.gateway_known = mac != NULL;
		memcpy(t.gateway, mac ? mac : xdp_stranger_mac, 6);
		rig_put(s->rig, RIG_TARGET, &id, &t);
	}
}

/* ---- flows and packets ---- */

struct shift_flow_ref xdp_place(bool udp)
{
	return xdp.place[udp];
}

struct shift_flow *xdp_flow(const struct story *s, bool udp)
{
	return &s->rig->slots[xdp.place[udp].target][xdp.place[udp].index];
}

void xdp_segment(struct story *s, bool up, struct segment *ret)
{
	s->place = xdp.place[0];
	*ret = (struct segment){.src = up ? s->client_end : story_target(s, &s->place),
				.dst = up ? rig_listen_end(s->v6) : story_nat(s, &s->place),
				.seq = up ? 1001 : 5001,
				.ack = up ? 5001 : 1001,
				.flags = TCP_ACK | TCP_PSH,
				.ttl = up ? 57 : 61,
				.id = 77,
				.window = 800};
}

void xdp_frame(struct story *s, bool udp, bool up, size_t payload, struct frame *ret)
{
	struct segment seg;
	struct datagram d;

	if (udp) {
		s->place = xdp.place[1];
		d = play_datagram(s, up);
		d.payload = payload;
		frame_udp(ret, &d);
	} else {
		xdp_segment(s, up, &seg);
		seg.payload = payload;
		frame_build(ret, &seg);
	}
}

bool xdp_flows(struct story *s)
{
	play_begin(s, false);
	if (!play_open(s))
		return false;
	xdp.place[1] = s->place;
	if (single_try(s->rig, &s->client_end, &s->run) != SHIFT_FORWARD ||
	    !rig_flow(s->rig, &s->client_end, &s->place)) {
		check_fail("there is no flow");
		return false;
	}
	xdp.place[0] = s->place;
	play_establish(s);
	xdp_forwarding(s, false);
	xdp_gateway(s, frame_gateway_mac);
	xdp_forget_hops(s);
	for (int udp = 0; udp < 2; udp++)
		xdp_flow(s, udp)->flags |= SHIFT_FLOW_GATEWAY;
	CHECK(xdp_flow(s, false)->state == SHIFT_FLOW_ESTABLISHED, "it is not established");
	return !check_failed();
}

/* ---- comparing ---- */

bool xdp_same_record(const struct shift_flow *is, const struct shift_flow *wanted, const char *what)
{
	struct shift_flow a = *is, b = *wanted;

	/* Time went by in between; no two states' times are less than two seconds apart. */
	if (a.expires - b.expires > RIG_SECOND * 3 / 2)
		check_fail("%s: it expires %d ticks off", what, (int)(a.expires - b.expires));
	a.expires = b.expires;
	a.flags &= (uint8_t)~SHIFT_FLOW_GATEWAY;
	b.flags &= (uint8_t)~SHIFT_FLOW_GATEWAY;
	a.asked = !!a.asked;
	b.asked = !!b.asked;
	for (size_t i = 0; i < sizeof(a); i++) {
		const uint8_t *x = (const uint8_t *)&a, *y = (const uint8_t *)&b;

		if (x[i] != y[i]) {
			check_fail("%s: byte %zu of the record is %02x, should be %02x", what, i,
				   x[i], y[i]);
			return false;
		}
	}
	return true;
}

struct shift_flow xdp_common(const struct shift_flow *f)
{
	struct shift_flow c = *f;

	memset(c.client, 0, sizeof(c.client));
	c.client_port = 0;
	c.generation = 0;
	c.born = 0;
	c.rank = 0;
	c.cursor = 0;
	c.load = 0;
	c.was = 0;
	c.asked = !!c.asked;
	c.syn_tick = !!c.syn_tick;
	return c;
}

/* What a packet of a flow may change. */
struct memory {
	struct shift_flow flow;
	struct shift_cursor cursor[SHIFT_MAX_SHARDS];
	struct shift_load load;
};

static void touch(struct story *s, bool udp, struct memory *m, bool back)
{
	uint32_t service = RIG_SERVICE;

	for (uint32_t i = 0; i < s->rig->shape.shards; i++) {
		uint32_t key = xdp.place[udp].target * SHIFT_MAX_SHARDS + i;

		if (back)
			rig_put(s->rig, RIG_CURSORS, &key, &m->cursor[i]);
		else
			rig_get(s->rig, RIG_CURSORS, &key, &m->cursor[i]);
	}
	if (back) {
		*xdp_flow(s, udp) = m->flow;
		rig_put(s->rig, RIG_LOAD, &service, &m->load);
	} else {
		m->flow = *xdp_flow(s, udp);
		rig_get(s->rig, RIG_LOAD, &service, &m->load);
	}
}

/* One packet on tc, then on XDP, from the same records; what each counted. */
static bool through_both(struct story *s, bool udp, const struct frame *in, struct run run[2],
			 struct memory after[2], struct tally moved[2])
{
	static struct tally before;
	static struct memory was;

	touch(s, udp, &was, false);
	for (int i = 0; i < 2; i++) {
		if (i)
			touch(s, udp, &was, true);
		rig_tally(s->rig, &before);
		if (i ? xdp_run(in, &run[1]) : rig_run(s->rig, s->rig->ingress, in, &run[0]))
			return false;
		rig_tally(s->rig, &moved[i]);
		for (size_t k = 0; k < TALLY_WORDS; k++)
			((uint64_t *)&moved[i])[k] -= ((uint64_t *)&before)[k];
		touch(s, udp, &after[i], false);
	}
	return true;
}

bool xdp_like_tc(struct story *s, bool udp, const struct frame *in, struct run *ret,
		 const char *what)
{
	static struct memory after[2];
	static struct tally moved[2];
	static struct run run[2];
	bool failed = check_failed();
	char name[80];

	if (!through_both(s, udp, in, run, after, moved)) {
		check_fail("%s: the kernel does not run it", what);
		return false;
	}
	*ret = run[1];
	CHECK(run[0].action == TC_ACT_REDIRECT &&
		      moved[0].verdict[SHIFT_FORWARD] + moved[0].verdict[SHIFT_REPLY] == 1,
	      "%s: tc does not take it", what);
	CHECK(run[1].action == XDP_TX, "%s: the action is %d", what, run[1].action);
	CHECK(run[0].out.len == run[1].out.len &&
		      !memcmp(run[0].out.data + 12, run[1].out.data + 12, run[0].out.len - 12),
	      "%s: tc makes something else of it", what);
	for (size_t k = 0; k < TALLY_WORDS; k++) {
		uint64_t is = ((uint64_t *)&moved[1])[k], should = ((uint64_t *)&moved[0])[k];

		if (is != should)
			check_fail("%s: counter '%s' moved by %lld, on tc by %lld", what,
				   rig_tally_name(k, name), (long long)is, (long long)should);
	}
	xdp_same_record(&after[1].flow, &after[0].flow, what);
	CHECK(!memcmp(after[0].cursor, after[1].cursor, sizeof(after[0].cursor)) &&
		      !memcmp(&after[0].load, &after[1].load, sizeof(after[0].load)),
	      "%s: what is counted of flows differs", what);
	return failed || !check_failed();
}

bool xdp_goes(struct story *s, bool udp, bool up, const struct frame *in, const uint8_t macs[12],
	      const char *what)
{
	static struct frame wanted;
	static struct run run;

	s->place = xdp.place[udp];
	if (!xdp_like_tc(s, udp, in, &run, what))
		return false;
	wanted = *in;
	play_translate(s, up, &wanted, frame_l4(in) - FRAME_L3, udp ? PROTOCOL_UDP : PROTOCOL_TCP);
	frame_swap_macs(&wanted);
	if (macs)
		memcpy(wanted.data, macs, 12);
	frame_check_equal(&run.out, &wanted, what);
	return !check_failed();
}

bool xdp_passes(struct story *s, const struct frame *in, const char *what)
{
	static struct memory before[2], after;
	static struct tally was, is;
	static struct run run;
	bool failed = check_failed();

	for (int udp = 0; udp < 2; udp++)
		touch(s, udp, &before[udp], false);
	rig_tally(s->rig, &was);
	if (xdp_run(in, &run)) {
		check_fail("%s: the kernel does not run it", what);
		return false;
	}
	rig_tally(s->rig, &is);
	CHECK(run.action == XDP_PASS, "%s: the action is %d", what, run.action);
	frame_check_equal(&run.out, in, what);
	CHECK(!memcmp(&was, &is, sizeof(is)), "%s: something was counted", what);
	for (int udp = 0; udp < 2; udp++) {
		touch(s, udp, &after, false);
		CHECK(!memcmp(&after, &before[udp], sizeof(after)), "%s: a record was changed",
		      what);
	}
	return failed || !check_failed();
}
