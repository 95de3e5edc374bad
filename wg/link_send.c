/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Carrying out: one request per step, and making and removing the interface.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/net/sysctl.h"
#include "wg/link_inner.h"

/* ---- the interface ---- */

/* By libmnl, since libnl has no WireGuard. */
static int make_device(struct link_wire *w, const struct link *want)
{
	char buffer[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct nlattr *info, *data;

	if (want->kind != LINK_WIREGUARD && want->kind != LINK_XFRM)
		return -EINVAL;
	h->nlmsg_type = RTM_NEWLINK;
	h->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, want->name);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_str(h, IFLA_INFO_KIND, want->kind == LINK_XFRM ? "xfrm" : "wireguard");
	if (want->kind == LINK_XFRM) {
		data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
		mnl_attr_put_u32(h, IFLA_XFRM_IF_ID, want->if_id);
		if (want->lower)
			mnl_attr_put_u32(h, IFLA_XFRM_LINK, want->lower);
		mnl_attr_nest_end(h, data);
	}
	mnl_attr_nest_end(h, info);
	return link_wire_ask(w, h, NULL, NULL);
}

static int remove_device(struct link_wire *w, uint32_t ifindex)
{
	char buffer[64];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *ifi;

	h->nlmsg_type = RTM_DELLINK;
	ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_index = (int)ifindex;
	return link_wire_ask(w, h, NULL, NULL);
}

/* MTU other than 0, or else up or down. */
static int change_device(struct link_wire *w, uint32_t ifindex, uint32_t mtu, bool up)
{
	struct rtnl_link *which = rtnl_link_alloc(), *change = rtnl_link_alloc();
	struct nl_msg *m = NULL;

	if (which && change) {
		rtnl_link_set_ifindex(which, (int)ifindex);
		if (mtu)
			rtnl_link_set_mtu(change, mtu);
		else if (up)
			rtnl_link_set_flags(change, IFF_UP);
		else
			rtnl_link_unset_flags(change, IFF_UP);
		if (rtnl_link_build_change_request(which, change, 0, &m) < 0)
			m = NULL;
	}
	rtnl_link_put(which);
	rtnl_link_put(change);
	return m ? link_wire_tell(w, m) : -ENOMEM;
}

/* ---- what is on it ---- */

static int change_address(struct link_wire *w, const struct link_network *a, uint32_t ifindex,
			  bool add)
{
	struct rtnl_addr *o = rtnl_addr_alloc();
	struct nl_addr *local = link_nl_address(a);
	struct nl_msg *m = NULL;
	int err = -ENOMEM;

	if (o && local && !rtnl_addr_set_local(o, local)) {
		rtnl_addr_set_ifindex(o, (int)ifindex);
		/* Nobody else can have it on a tunnel, and until the check is over it could not
		 * be used as a source. */
		if (a->family == 6)
			rtnl_addr_set_flags(o, IFA_F_NODAD);
		err = add ? rtnl_addr_build_add_request(o, NLM_F_CREATE | NLM_F_REPLACE, &m)
			  : rtnl_addr_build_delete_request(o, 0, &m);
		err = err < 0 ? -EINVAL : link_wire_tell(w, m);
	}
	rtnl_addr_put(o);
	nl_addr_put(local);
	return err == -EADDRNOTAVAIL && !add ? 0 : err;
}

static int rule_message(const struct link_rule *r, bool add, struct nl_msg **ret)
{
	struct rtnl_rule *o = rtnl_rule_alloc();
	struct nl_msg *m = NULL;
	int err;

	if (!o)
		return -ENOMEM;
	rtnl_rule_set_family(o, r->family == 4 ? AF_INET : AF_INET6);
	rtnl_rule_set_prio(o, r->priority);
	rtnl_rule_set_table(o, r->table);
	rtnl_rule_set_action(o, FR_ACT_TO_TBL);
	rtnl_rule_set_protocol(o, LINK_PROTOCOL);
	if (r->fwmark) {
		rtnl_rule_set_mark(o, r->fwmark);
		rtnl_rule_set_mask(o, UINT32_MAX);
	}
	err = add ? rtnl_rule_build_add_request(o, NLM_F_CREATE | NLM_F_EXCL, &m)
		  : rtnl_rule_build_delete_request(o, 0, &m);
	rtnl_rule_put(o);
	if (err < 0)
		return -ENOMEM;
	/* libnl has no word for `not`. */
	if (r->invert)
		((struct fib_rule_hdr *)nlmsg_data(nlmsg_hdr(m)))->flags |= FIB_RULE_INVERT;
	*ret = m;
	return 0;
}

static int change_rule(struct link_wire *w, const struct link_rule *r, bool add)
{
	struct nl_msg *m;
	int err = rule_message(r, add, &m);

	if (!err)
		err = link_wire_tell(w, m);
	return err == -ENOENT && !add ? 0 : err;
}

/* ---- routes ---- */

static int fill_route(struct rtnl_route *o, const struct link_route *r, uint32_t ifindex, bool add)
{
	const struct link_network source = {
		.ip = {r->source[0], r->source[1], r->source[2], r->source[3]},
		.family = r->to.family,
		.prefix = r->to.family == 4 ? 32 : 128};
	struct nl_addr *to = link_nl_address(&r->to), *from = link_nl_address(&source);
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	int err = -ENOMEM;

	if (to && from && hop) {
		rtnl_route_set_family(o, r->to.family == 4 ? AF_INET : AF_INET6);
		rtnl_route_set_table(o, r->table);
		rtnl_route_set_priority(o, r->metric);
		rtnl_route_set_protocol(o, LINK_PROTOCOL);
		rtnl_route_set_type(o, RTN_UNICAST);
		rtnl_route_set_scope(o, RT_SCOPE_LINK);
		rtnl_route_nh_set_ifindex(hop, (int)ifindex);
		rtnl_route_add_nexthop(o, hop);
		hop = NULL;
		err = rtnl_route_set_dst(o, to) < 0 ? -EINVAL : 0;
		/* To remove, the key is enough: what else it has may have changed. */
		if (!err && add && r->has_source && rtnl_route_set_pref_src(o, from) < 0)
			err = -EINVAL;
		if (!err && add && r->mtu && rtnl_route_set_metric(o, RTAX_MTU, r->mtu) < 0)
			err = -EINVAL;
	}
	if (hop)
		rtnl_route_nh_free(hop);
	nl_addr_put(to);
	nl_addr_put(from);
	return err;
}

int link_route_message(const struct link_route *r, uint32_t ifindex, int flags, struct nl_msg **ret)
{
	struct rtnl_route *o = rtnl_route_alloc();
	bool add = flags & NLM_F_CREATE;
	struct nl_msg *m = NULL;
	int err = -ENOMEM;

	if (!o)
		return err;
	err = fill_route(o, r, ifindex, add);
	if (!err && (add ? rtnl_route_build_add_request(o, flags, &m)
			 : rtnl_route_build_del_request(o, flags, &m)) < 0)
		err = -ENOMEM;
	rtnl_route_put(o);
	if (!err)
		*ret = m;
	return err;
}

static int tell_route(struct link_wire *w, const struct link_route *r, uint32_t ifindex, int flags)
{
	struct nl_msg *m;
	int err = link_route_message(r, ifindex, flags, &m);

	return err ? err : link_wire_tell(w, m);
}

struct sender {
	struct link_wire w;
	const struct link_delta *d;
	uint32_t ifindex;
	struct link ours; /* all routes of ours, read when the first is in the way */
	bool ours_read;
};

/* 1: one of ours is what is in the way of `r`; 0: it is not; −errno. */
static int in_the_way_is_ours(struct sender *s, const struct link_route *r)
{
	int err = 0;

	for (uint8_t family = 4; family <= 6 && !s->ours_read && !err; family += 2) {
		struct link_route_filter f = {.family = family};

		err = link_read_routes(&s->w, &f, &s->ours, NULL);
	}
	if (err)
		return err;
	s->ours_read = true;
	for (size_t i = 0; i < s->ours.n_routes; i++) {
		if (!link_route_compare(&s->ours.routes[i], r))
			return 1;
	}
	return 0;
}

/* A replacement would also replace what is not ours; so first without. */
static int add_route(struct sender *s, const struct link_route *r)
{
	int err = tell_route(&s->w, r, s->ifindex, NLM_F_CREATE | NLM_F_EXCL);
	char text[64];

	if (err != -EEXIST)
		return err;
	err = in_the_way_is_ours(s, r);
	if (err > 0)
		return tell_route(&s->w, r, s->ifindex, NLM_F_CREATE | NLM_F_REPLACE);
	if (!err) {
		snprintf(
			s->w.why, sizeof(s->w.why),
			"a route to %s with metric %u is there that is not ours",
			text_network(r->to.ip, r->to.prefix + (r->to.family == 4 ? 96u : 0u), text),
			r->metric);
		err = -EEXIST;
	}
	return err;
}

static int remove_route(struct sender *s, const struct link_route *r)
{
	int err = tell_route(&s->w, r, s->ifindex, 0);

	return err == -ESRCH ? 0 : err;
}

/* ---- the steps ---- */

static int find_device(struct sender *s)
{
	struct link l = {0};
	int err = link_read_device(&s->w, s->d->want->name, &l);

	if (!err)
		s->ifindex = l.ifindex;
	return err;
}

static int remove_old_device(struct sender *s)
{
	int err = remove_device(&s->w, s->d->ifindex);

	return err == -ENODEV ? 0 : err;
}

static int do_step(struct sender *s, const struct link_step *step)
{
	int err;

	switch (step->kind) {
	case LINK_STEP_REMOVE:
		return remove_old_device(s);
	case LINK_STEP_MAKE:
		err = make_device(&s->w, s->d->want);
		return err ? err : find_device(s);
	case LINK_STEP_MTU:
		return change_device(&s->w, s->ifindex, step->mtu, false);
	case LINK_STEP_UP:
	case LINK_STEP_DOWN:
		return change_device(&s->w, s->ifindex, 0, step->kind == LINK_STEP_UP);
	case LINK_STEP_ADD_ADDRESS:
	case LINK_STEP_REMOVE_ADDRESS:
		return change_address(&s->w, &step->address, s->ifindex,
				      step->kind == LINK_STEP_ADD_ADDRESS);
	case LINK_STEP_ADD_ROUTE:
		return add_route(s, &step->route);
	case LINK_STEP_REMOVE_ROUTE:
		return remove_route(s, &step->route);
	case LINK_STEP_ADD_RULE:
	case LINK_STEP_REMOVE_RULE:
		return change_rule(&s->w, &step->rule, step->kind == LINK_STEP_ADD_RULE);
	}
	return -EINVAL;
}

/* An interface that an earlier call made has a number that the delta does not know. */
static int start_at(struct sender *s, size_t first)
{
	s->ifindex = s->d->ifindex;
	for (size_t i = 0; i < first; i++) {
		if (s->d->steps[i].kind == LINK_STEP_MAKE)
			return find_device(s);
	}
	return 0;
}

int link_send(const struct link_delta *d, size_t first, size_t last, size_t *failed, char *why,
	      size_t size)
{
	struct sender s = {.d = d};
	size_t i = first;
	int err = link_wire_open(&s.w);

	if (size)
		why[0] = '\0';
	*failed = first;
	if (err)
		return err;
	err = start_at(&s, first);
	for (; i < last && i < d->n && !err; i++) {
		*failed = i;
		err = do_step(&s, &d->steps[i]);
	}
	if (err)
		snprintf(why, size, "%s", s.w.why);
	link_wire_close(&s.w);
	link_free(&s.ours);
	return err;
}

/* ---- by name ---- */

int link_remove(const char *name)
{
	struct link_wire w;
	struct link l = {0};
	int err = link_wire_open(&w);

	if (err)
		return err;
	err = link_read_device(&w, name, &l);
	if (!err && l.kind == LINK_OTHER)
		err = -EEXIST;
	if (!err)
		err = remove_device(&w, l.ifindex);
	link_wire_close(&w);
	return err;
}

int link_remove_rules(uint32_t table)
{
	struct link_wire w;
	struct link l = {0};
	int err = link_wire_open(&w);

	if (err)
		return err;
	err = link_read_rules(&w, table, &l);
	for (size_t i = 0; i < l.n_rules && !err; i++)
		err = change_rule(&w, &l.rules[i], false);
	link_wire_close(&w);
	link_free(&l);
	return err;
}

/* The kernel takes the larger of the interface's and that of all. */
int link_loose_rp_filter(const char *name)
{
	long own = 0, all = 0;
	char path[128];
	int err, fd;

	if (strchr(name, '/') || name[0] == '.' || strlen(name) >= IFNAMSIZ ||
	    !strcmp(name, "all") || !strcmp(name, "default"))
		return -EINVAL;
	err = sysctl_read(&own, "net/ipv4/conf/%s/rp_filter", name);
	if (!err)
		err = sysctl_read(&all, "net/ipv4/conf/all/rp_filter");
	if (err || (own > all ? own : all) != 1)
		return err;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/rp_filter", name);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	err = write(fd, "2\n", 2) == 2 ? 1 : -errno;
	close(fd);
	return err;
}
