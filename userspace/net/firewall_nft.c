/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * firewall_nft.c - the rules of nf_tables, as far as they concern packets that arrive
 *
 * All chains are read, then all rules: a rule counts for its chain and leads to others. What a base
 * chain does is then the sum over what can be reached from it. Rules are not evaluated: of each it
 * is only known whether it drops, changes the destination, and which ports it asks for. One file of
 * 600 lines, because sets, expressions, rules and chains are readers of one dump that share one
 * structure.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/net/firewall.h"
#include "userspace/net/netlink.h"

#define NAME	 128
#define TRIES	 5     /* of a dump that a change interrupted */
#define MAX_DNAT 32768 /* kept one by one; all are counted */
#define DEPTH	 64

#define INET_INGRESS 5 /* NF_INET_INGRESS of 5.10; the build's header may be older */

struct chain {
	uint8_t family;
	char table[NAME], name[NAME];
	bool base;
	struct firewall_chain is; /* of a base chain */
	unsigned int rules, dropping, dnat;
	unsigned int first_way; /* into ways, + 1 */
	unsigned int seen;	/* by the walk of that number */
};

/* From one chain to another, by a jump. */
struct way {
	unsigned int to;   /* into chains */
	unsigned int next; /* of the same chain, + 1 */
};

struct ruleset {
	struct firewall *f;
	struct chain *chains;
	unsigned int n_chains;
	struct way *ways;
	unsigned int n_ways;
	unsigned int last; /* rules come chain by chain */
	bool no_memory;
};

/* What is learned of one rule. */
struct rule {
	struct ruleset *all;
	uint8_t family;
	const char *table, *chain;
	unsigned int from; /* its chain */
	bool drops, dnat;
	bool port_loaded; /* the expression before put the destination port into a register */
	bool unclear;	  /* ports are asked for in a way that is not read here */
	uint16_t port[FIREWALL_PORTS];
	unsigned int n_ports;
};

/* ---- asking ---- */

static struct nlmsghdr *prepare(char *buffer, uint8_t message, uint8_t family)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *m;

	h->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | message;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = 1;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->nfgen_family = family;
	m->version = NFNETLINK_V0;
	return h;
}

static bool is_message(const struct nlmsghdr *h, uint8_t message)
{
	return h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | message);
}

static uint8_t family_of(const struct nlmsghdr *h)
{
	return ((const struct nfgenmsg *)mnl_nlmsg_get_payload(h))->nfgen_family;
}

static uint32_t number(const struct nlattr *a)
{
	return ntohl(mnl_attr_get_u32(a));
}

/* ---- chains ---- */

static int parse_hook(const struct nlattr *a, void *arg)
{
	struct chain *c = arg;
	bool netdev = c->family == NFPROTO_NETDEV;

	if (mnl_attr_get_type(a) == NFTA_HOOK_PRIORITY)
		c->is.priority = (int)number(a);
	if (mnl_attr_get_type(a) != NFTA_HOOK_HOOKNUM)
		return MNL_CB_OK;
	c->base = true;
	switch (number(a)) {
	case NF_INET_PRE_ROUTING: /* and NF_NETDEV_INGRESS */
		c->is.hook = netdev ? FIREWALL_INGRESS : FIREWALL_PREROUTING;
		break;
	case NF_INET_LOCAL_IN: /* and NF_NETDEV_EGRESS */
		c->is.hook = FIREWALL_INPUT;
		c->base = !netdev;
		break;
	case NF_INET_FORWARD:
		c->is.hook = FIREWALL_FORWARD;
		break;
	case INET_INGRESS:
		c->is.hook = FIREWALL_INGRESS;
		break;
	default:
		c->base = false;
		break;
	}
	return MNL_CB_OK;
}

static bool concerns_us(uint8_t family)
{
	return family == NFPROTO_IPV4 || family == NFPROTO_IPV6 || family == NFPROTO_INET ||
	       family == NFPROTO_NETDEV;
}

static int one_chain(const struct nlmsghdr *h, void *arg)
{
	struct ruleset *r = arg;
	const struct nlattr *a;
	struct chain *c;

	if (!is_message(h, NFT_MSG_NEWCHAIN) || !concerns_us(family_of(h)))
		return MNL_CB_OK;
	c = firewall_one_more(&r->chains, &r->n_chains, sizeof(*c));
	if (!c) {
		r->no_memory = true;
		return MNL_CB_STOP;
	}
	c->family = family_of(h);
	mnl_attr_for_each (a, h, sizeof(struct nfgenmsg)) {
		switch (mnl_attr_get_type(a)) {
		case NFTA_CHAIN_TABLE:
			snprintf(c->table, sizeof(c->table), "%s", mnl_attr_get_str(a));
			break;
		case NFTA_CHAIN_NAME:
			snprintf(c->name, sizeof(c->name), "%s", mnl_attr_get_str(a));
			break;
		case NFTA_CHAIN_HOOK:
			mnl_attr_parse_nested(a, parse_hook, c);
			break;
		case NFTA_CHAIN_POLICY:
			c->is.drops = number(a) == NF_DROP;
			break;
		case NFTA_CHAIN_TYPE:
			c->is.nat = !strcmp(mnl_attr_get_str(a), "nat");
			break;
		default:
			break;
		}
	}
	return MNL_CB_OK;
}

static int compare(const void *a, const void *b)
{
	const struct chain *x = a, *y = b;
	int order = x->family - y->family;

	if (!order)
		order = strcmp(x->table, y->table);
	return order ? order : strcmp(x->name, y->name);
}

/* Its place; n_chains: there is none. */
static unsigned int find_chain(const struct ruleset *r, uint8_t family, const char *table,
			       const char *name)
{
	struct chain key = {.family = family};
	const struct chain *c;

	snprintf(key.table, sizeof(key.table), "%s", table);
	snprintf(key.name, sizeof(key.name), "%s", name);
	if (r->last < r->n_chains && !compare(&key, &r->chains[r->last]))
		return r->last;
	c = bsearch(&key, r->chains, r->n_chains, sizeof(*c), compare);
	return c ? (unsigned int)(c - r->chains) : r->n_chains;
}

/* ---- rules ---- */

static void add_way(struct rule *rule, const char *name)
{
	struct ruleset *r = rule->all;
	unsigned int to = find_chain(r, rule->family, rule->table, name);
	struct way *w;

	if (to == r->n_chains)
		return;
	w = firewall_one_more(&r->ways, &r->n_ways, sizeof(*w));
	if (!w) {
		r->no_memory = true;
		return;
	}
	w->to = to;
	w->next = r->chains[rule->from].first_way;
	r->chains[rule->from].first_way = r->n_ways;
}

static int parse_verdict(const struct nlattr *a, void *arg)
{
	struct rule *rule = arg;

	if (mnl_attr_get_type(a) == NFTA_VERDICT_CODE && number(a) == NF_DROP)
		rule->drops = true;
	if (mnl_attr_get_type(a) == NFTA_VERDICT_CHAIN)
		add_way(rule, mnl_attr_get_str(a));
	return MNL_CB_OK;
}

static int parse_data(const struct nlattr *a, void *arg)
{
	if (mnl_attr_get_type(a) == NFTA_DATA_VERDICT)
		mnl_attr_parse_nested(a, parse_verdict, arg);
	return MNL_CB_OK;
}

static int parse_immediate(const struct nlattr *a, void *arg)
{
	if (mnl_attr_get_type(a) == NFTA_IMMEDIATE_DATA)
		mnl_attr_parse_nested(a, parse_data, arg);
	return MNL_CB_OK;
}

struct fields {
	uint32_t base, offset, length, op, nat;
	const char *name; /* of a set, or of an extension of iptables */
	const struct nlattr *data;
	bool mapped; /* a set look-up that yields something */
};

static int parse_payload(const struct nlattr *a, void *arg)
{
	struct fields *f = arg;

	if (mnl_attr_get_type(a) == NFTA_PAYLOAD_BASE)
		f->base = number(a);
	else if (mnl_attr_get_type(a) == NFTA_PAYLOAD_OFFSET)
		f->offset = number(a);
	else if (mnl_attr_get_type(a) == NFTA_PAYLOAD_LEN)
		f->length = number(a);
	return MNL_CB_OK;
}

static int parse_cmp(const struct nlattr *a, void *arg)
{
	struct fields *f = arg;

	if (mnl_attr_get_type(a) == NFTA_CMP_OP)
		f->op = number(a);
	else if (mnl_attr_get_type(a) == NFTA_CMP_DATA)
		f->data = a;
	return MNL_CB_OK;
}

static int parse_lookup(const struct nlattr *a, void *arg)
{
	struct fields *f = arg;

	if (mnl_attr_get_type(a) == NFTA_LOOKUP_SET)
		f->name = mnl_attr_get_str(a);
	else if (mnl_attr_get_type(a) == NFTA_LOOKUP_DREG)
		f->mapped = true;
	return MNL_CB_OK;
}

static int parse_target(const struct nlattr *a, void *arg)
{
	struct fields *f = arg;

	if (mnl_attr_get_type(a) == NFTA_TARGET_NAME)
		f->name = mnl_attr_get_str(a);
	return MNL_CB_OK;
}

static int parse_nat(const struct nlattr *a, void *arg)
{
	struct fields *f = arg;

	if (mnl_attr_get_type(a) == NFTA_NAT_TYPE)
		f->nat = number(a);
	return MNL_CB_OK;
}

/* ---- ports ---- */

static void add_port(struct rule *rule, uint16_t port)
{
	if (rule->n_ports < FIREWALL_PORTS)
		rule->port[rule->n_ports++] = port;
	else
		rule->unclear = true;
}

static int parse_port(const struct nlattr *a, void *arg)
{
	const uint8_t *bytes = mnl_attr_get_payload(a);

	struct rule *rule = arg;

	if (mnl_attr_get_type(a) != NFTA_DATA_VALUE)
		return MNL_CB_OK;
	if (mnl_attr_get_payload_len(a) == 2)
		add_port(rule, (uint16_t)(bytes[0] << 8 | bytes[1]));
	else
		rule->unclear = true; /* one part of a longer key */
	return MNL_CB_OK;
}

static int parse_element(const struct nlattr *a, void *arg)
{
	struct rule *rule = arg;

	if (mnl_attr_get_type(a) == NFTA_SET_ELEM_KEY && rule->port_loaded)
		mnl_attr_parse_nested(a, parse_port, rule);
	if (mnl_attr_get_type(a) == NFTA_SET_ELEM_DATA) /* of a verdict map */
		mnl_attr_parse_nested(a, parse_data, rule);
	if (mnl_attr_get_type(a) == NFTA_SET_ELEM_FLAGS && number(a) & NFT_SET_ELEM_INTERVAL_END)
		rule->unclear = true;
	return MNL_CB_OK;
}

static int parse_elements(const struct nlattr *a, void *arg)
{
	if (mnl_attr_get_type(a) == NFTA_LIST_ELEM)
		mnl_attr_parse_nested(a, parse_element, arg);
	return MNL_CB_OK;
}

static int one_set(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a;

	if (!is_message(h, NFT_MSG_NEWSETELEM))
		return MNL_CB_OK;
	mnl_attr_for_each (a, h, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_LIST_ELEMENTS)
			mnl_attr_parse_nested(a, parse_elements, arg);
	}
	return MNL_CB_OK;
}

/* Its ports, and the verdicts that a map holds. */
static void read_set(struct rule *rule, const char *set)
{
	char buffer[512];
	struct nlmsghdr *h = prepare(buffer, NFT_MSG_GETSETELEM, rule->family);

	if (strlen(rule->table) + strlen(set) > 400) {
		rule->unclear = true;
		return;
	}
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, rule->table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
	if (netlink_exchange_on(NETLINK_NETFILTER, h, one_set, rule))
		rule->unclear = true;
}

/* ---- expressions ---- */

static void take_payload(struct rule *rule, const struct nlattr *data)
{
	struct fields f = {0};

	mnl_attr_parse_nested(data, parse_payload, &f);
	rule->port_loaded = f.base == NFT_PAYLOAD_TRANSPORT_HEADER && f.offset == 2;
	if (rule->port_loaded && f.length != 2)
		rule->unclear = true;
}

/* The condition on what was just loaded. */
static void take_condition(struct rule *rule, const char *name, const struct nlattr *data)
{
	struct fields f = {.op = NFT_CMP_EQ};

	if (!strcmp(name, "cmp")) {
		mnl_attr_parse_nested(data, parse_cmp, &f);
		if (f.op != NFT_CMP_EQ || !f.data)
			rule->unclear = true;
		else
			mnl_attr_parse_nested(f.data, parse_port, rule);
	} else {
		rule->unclear = true;
	}
}

/* In a set of ports, or in a map of anything to verdicts. */
static void take_lookup(struct rule *rule, const struct nlattr *data, bool port_loaded)
{
	struct fields f = {.name = NULL};

	mnl_attr_parse_nested(data, parse_lookup, &f);
	rule->port_loaded = port_loaded;
	if (f.name && (port_loaded || f.mapped))
		read_set(rule, f.name);
	rule->port_loaded = false;
}

/* An extension of iptables: its target is named, what it matches is not read. */
static void take_target(struct rule *rule, const struct nlattr *data)
{
	struct fields f = {.name = ""};

	mnl_attr_parse_nested(data, parse_target, &f);
	if (!strcmp(f.name, "DROP") || !strcmp(f.name, "REJECT"))
		rule->drops = true;
	if (!strcmp(f.name, "DNAT") || !strcmp(f.name, "REDIRECT"))
		rule->dnat = true;
}

static void take_expression(struct rule *rule, const char *name, const struct nlattr *data)
{
	bool loaded = rule->port_loaded;
	struct fields f = {.nat = NFT_NAT_SNAT};

	rule->port_loaded = false;
	if (!strcmp(name, "payload")) {
		take_payload(rule, data);
	} else if (!strcmp(name, "immediate")) {
		mnl_attr_parse_nested(data, parse_immediate, rule);
	} else if (!strcmp(name, "reject")) {
		rule->drops = true;
	} else if (!strcmp(name, "redir")) {
		rule->dnat = true;
	} else if (!strcmp(name, "nat")) {
		mnl_attr_parse_nested(data, parse_nat, &f);
		rule->dnat |= f.nat == NFT_NAT_DNAT;
	} else if (!strcmp(name, "target")) {
		take_target(rule, data);
	} else if (!strcmp(name, "match")) {
		rule->unclear = true;
	} else if (!strcmp(name, "lookup")) {
		take_lookup(rule, data, loaded);
	} else if (loaded) {
		take_condition(rule, name, data);
	}
}

struct expression {
	const char *name;
	const struct nlattr *data;
};

static int parse_expression(const struct nlattr *a, void *arg)
{
	struct expression *e = arg;

	if (mnl_attr_get_type(a) == NFTA_EXPR_NAME)
		e->name = mnl_attr_get_str(a);
	else if (mnl_attr_get_type(a) == NFTA_EXPR_DATA)
		e->data = a;
	return MNL_CB_OK;
}

static int parse_expressions(const struct nlattr *a, void *arg)
{
	struct expression e = {NULL, NULL};

	mnl_attr_parse_nested(a, parse_expression, &e);
	if (e.name && (e.data || !strcmp(e.name, "redir")))
		take_expression(arg, e.name, e.data);
	return MNL_CB_OK;
}

static void keep_dnat(const struct rule *rule)
{
	struct firewall *f = rule->all->f;
	struct firewall_dnat *d;

	if (f->n_dnat == MAX_DNAT)
		return;
	d = firewall_one_more(&f->dnat, &f->n_dnat, sizeof(*d));
	if (!d) {
		rule->all->no_memory = true;
		return;
	}
	d->family = rule->family;
	snprintf(d->table, sizeof(d->table), "%.63s", rule->table);
	snprintf(d->chain, sizeof(d->chain), "%.63s", rule->chain);
	d->n_ports = rule->unclear ? 0 : rule->n_ports;
	memcpy(d->port, rule->port, sizeof(d->port));
}

static int one_rule(const struct nlmsghdr *h, void *arg)
{
	struct ruleset *r = arg;
	struct rule rule = {.all = r, .family = family_of(h), .table = "", .chain = ""};
	const struct nlattr *a, *expressions = NULL;
	struct chain *c;

	if (!is_message(h, NFT_MSG_NEWRULE))
		return MNL_CB_OK;
	mnl_attr_for_each (a, h, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) == NFTA_RULE_TABLE)
			rule.table = mnl_attr_get_str(a);
		else if (mnl_attr_get_type(a) == NFTA_RULE_CHAIN)
			rule.chain = mnl_attr_get_str(a);
		else if (mnl_attr_get_type(a) == NFTA_RULE_EXPRESSIONS)
			expressions = a;
	}
	rule.from = find_chain(r, rule.family, rule.table, rule.chain);
	if (rule.from == r->n_chains)
		return MNL_CB_OK;
	r->last = rule.from;
	if (expressions)
		mnl_attr_parse_nested(expressions, parse_expressions, &rule);
	c = &r->chains[rule.from];
	c->rules++;
	c->dropping += rule.drops;
	c->dnat += rule.dnat;
	if (rule.dnat)
		keep_dnat(&rule);
	return r->no_memory ? MNL_CB_STOP : MNL_CB_OK;
}

/* ---- summing up ---- */

static void add_up(struct ruleset *r, unsigned int at, struct firewall_chain *sum,
		   unsigned int walk, int depth)
{
	struct chain *c = &r->chains[at];

	if (c->seen == walk || !depth)
		return;
	c->seen = walk;
	sum->rules += c->rules;
	sum->dropping += c->dropping;
	sum->dnat += c->dnat;
	for (unsigned int w = c->first_way; w; w = r->ways[w - 1].next)
		add_up(r, r->ways[w - 1].to, sum, walk, depth - 1);
}

static void sum_up(struct ruleset *r)
{
	for (unsigned int i = 0; i < r->n_chains; i++) {
		struct chain *c = &r->chains[i];
		struct firewall_chain *ret;

		if (!c->base)
			continue;
		ret = firewall_one_more(&r->f->chains, &r->f->n_chains, sizeof(*ret));
		if (!ret) {
			r->no_memory = true;
			return;
		}
		*ret = c->is;
		ret->family = c->family;
		snprintf(ret->table, sizeof(ret->table), "%.63s", c->table);
		snprintf(ret->name, sizeof(ret->name), "%.63s", c->name);
		add_up(r, i, ret, i + 1, DEPTH);
	}
}

static int read_once(struct ruleset *r)
{
	char buffer[128];
	int err = netlink_exchange_on(NETLINK_NETFILTER, prepare(buffer, NFT_MSG_GETCHAIN, 0),
				      one_chain, r);

	if (err || !r->n_chains)
		return err;
	qsort(r->chains, r->n_chains, sizeof(*r->chains), compare);
	r->last = r->n_chains;
	return netlink_exchange_on(NETLINK_NETFILTER, prepare(buffer, NFT_MSG_GETRULE, 0), one_rule,
				   r);
}

int firewall_read_nft(struct firewall *f)
{
	int err = -EINTR;

	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		struct ruleset r = {.f = f};

		f->n_dnat = 0;
		free(f->dnat);
		f->dnat = NULL;
		err = read_once(&r);
		if (!err)
			sum_up(&r);
		if (r.no_memory)
			err = -ENOMEM;
		free(r.chains);
		free(r.ways);
	}
	return err;
}
