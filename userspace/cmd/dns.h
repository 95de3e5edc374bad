/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns.h - what the verbs of `shiftctl dns` share
 */
#pragma once

#include "dns/observe.h"
#include "userspace/cmd/cmd.h"
#include "userspace/conf/config.h"

struct dns_command {
	struct config *config;
	struct conf_errors errors;
	struct dns_wanted wanted;
	char name[DNS_NAME]; /* of the record, as dns_name makes it */
	char dir[192];	     /* where snapshots and what was seen are kept; it may not exist yet */
};

/* Reads the configuration, which must have a dns section. EXIT_OK, or `wrong` after saying why. */
int dns_open(const struct options *o, struct dns_command *ret, int wrong);
void dns_close(struct dns_command *d);
/* Bytes of the name without its final dot, as documents have it. */
size_t dns_name_shown(const struct dns_command *d);

int dns_cutover(const struct options *o, int argc, char **argv);
int dns_rollback(const struct options *o, int argc, char **argv);
