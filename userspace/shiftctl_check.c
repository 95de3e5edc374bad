/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftctl_check.c - the verbs that look at connections and backends as a client would: preflight,
 * which needs the whole configuration and OpenSSL, and drain; and report and flowlog.
 * Started by shiftctl, so that none is a weight to a rollback
 */
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"

static const struct verb verbs[] = {
	{"drain", cmd_drain, NULL, NULL},
	{"preflight", cmd_preflight, NULL, NULL},
	{"report", cmd_report, NULL, NULL},
	{"flowlog", cmd_flowlog, NULL, NULL},
	{0},
};

int main(int argc, char **argv)
{
	return started_by_shiftctl(argc, argv, verbs);
}
