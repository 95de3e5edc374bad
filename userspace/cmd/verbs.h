/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * verbs.h - the functions behind the verbs; each has the shape of struct verb's `run`
 */
#pragma once

#include "userspace/cmd/cmd.h"

/* shiftctl */
int cmd_weight(const struct options *o, int argc, char **argv);
int cmd_confirm(const struct options *o, int argc, char **argv);
int cmd_commit(const struct options *o, int argc, char **argv);
int cmd_rollback(const struct options *o, int argc, char **argv);
int cmd_lock(const struct options *o, int argc, char **argv);
int cmd_unlock(const struct options *o, int argc, char **argv);
int cmd_status(const struct options *o, int argc, char **argv);
int cmd_conns(const struct options *o, int argc, char **argv);
int cmd_pin(const struct options *o, int argc, char **argv);
int cmd_unpin(const struct options *o, int argc, char **argv);
int cmd_pins(const struct options *o, int argc, char **argv);
int cmd_top(const struct options *o, int argc, char **argv);
int cmd_history(const struct options *o, int argc, char **argv);
int cmd_ramp(const struct options *o, int argc, char **argv);
int cmd_freeze(const struct options *o, int argc, char **argv); /* and unfreeze */
int cmd_detach(const struct options *o, int argc, char **argv);

/* shiftctl-apply */
int cmd_apply(const struct options *o, int argc, char **argv);
int cmd_doctor(const struct options *o, int argc, char **argv);
int cmd_explain(const struct options *o, int argc, char **argv);
int cmd_plan(const struct options *o, int argc, char **argv);

/* shiftctl-tunnel */
int cmd_tunnel(const struct options *o, int argc, char **argv);
int cmd_latency(const struct options *o, int argc, char **argv);

/* shiftctl-dns */
int cmd_dns(const struct options *o, int argc, char **argv);
int cmd_health(const struct options *o, int argc, char **argv);
int cmd_overall(const struct options *o, int argc, char **argv); /* weight N --overall */

/* shiftctl-check */
int cmd_drain(const struct options *o, int argc, char **argv);
int cmd_preflight(const struct options *o, int argc, char **argv);
int cmd_report(const struct options *o, int argc, char **argv);
int cmd_flowlog(const struct options *o, int argc, char **argv);
