/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cases.h - the chapters
 */
#pragma once

#include "tests/bpf/net.h"
#include "tests/bpf/rig.h"

void cases_pass(struct rig *rig, const struct net *net);
void cases_nat(struct rig *rig, const struct net *net);
void cases_decide(struct rig *rig, const struct net *net);
void cases_control(struct rig *rig, const struct net *net);
void cases_ports(struct rig *rig, const struct net *net);
void cases_states(struct rig *rig, const struct net *net);
void cases_syn(struct rig *rig, const struct net *net);
void cases_growing(struct rig *grown, const struct net *net);
void cases_unable(struct rig *rig, const struct net *net);
void cases_explain(struct rig *rig, const struct net *net);
void cases_answer(struct rig *rig, const struct net *net);
void cases_choice(struct rig *rig, const struct net *net);
void cases_answer_count(struct rig *rig, const struct net *net);
void cases_watch(struct rig *rig, const struct net *net);
void cases_udp(struct rig *rig, const struct net *net);
void cases_udp_host(struct rig *rig, const struct net *net);
void cases_icmp(struct rig *rig, const struct net *net);
void cases_fragment(struct rig *rig, const struct net *net);
void cases_width(struct rig *rig, const struct net *net);
void cases_left(struct rig *rig, const struct net *net);
void cases_limit(struct rig *rig, const struct net *net);
void cases_load(struct rig *rig, const struct net *net);
void cases_breaker(struct rig *rig, const struct net *net);
void cases_bare(struct rig *rig, const struct net *net);
void cases_hostile(struct rig *rig, const struct net *net);
void cases_xdp(struct rig *rig, const struct net *net);
void cases_xdp_pass(struct rig *rig, const struct net *net);
void cases_xdp_hop(struct rig *rig, const struct net *net);
void cases_wire(struct rig *rig, const struct net *net, const struct net *out);
