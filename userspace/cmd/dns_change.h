/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_change.h - what `dns cutover` and `dns rollback` share
 */
#pragma once

#include "dns/snapshot.h"
#include "userspace/cmd/dns.h"

struct change_type {
	const char *word; /* "A" */
	uint16_t type;
	bool asked;	/* the configuration wants it looked at */
	bool unread;	/* it could not be; why has the words */
	bool from_disk; /* rollback: what it goes back to is the snapshot's */
	bool earlier;	/* rollback: dns.old is there, and the snapshot is of another cutover */
	bool concluded; /* cutover: a command that was cut off had changed it */
	bool resumed;	/* goes on, or back, from what a change left that ended half-way */
	bool differs;	/* rollback: the old data is there, with another TTL or weights */
	struct dns_rrset there, to;
	enum dns_todo todo;
	bool tried;
	enum dns_changed got;
	char id[128], why[DNS_WHY];
};

/* What the authorities and resolvers said at the end. */
struct change_seen {
	bool looked,
		settled; /* settled: every authority, and with --wait every resolver, says it */
	bool provider_done, provider_asked;
	unsigned int authorities, authorities_right; /* those that answer */
	unsigned int resolvers, resolvers_right;
	double share, share_low, share_high; /* on the new answer; NAN: not known */
	char why[256]; /* the first that does not say it; or why nobody could be asked */
	struct json_t *sources;
};

struct change {
	struct options o;
	const char *verb; /* "cutover" */
	bool back;
	bool dry, yes, no_way_back, without_weights, wait;
	bool early, before_commit; /* each overrides a rule of dns_order.h */
	uint64_t wait_ns;	   /* 0: by the TTL */
	const char *reason;
	struct dns_command d;
	struct dns_provider *p;
	const struct dns_provider_class *class;
	char who[64];
	struct change_type type[2];
	struct dns_snapshot snap; /* as it is on disk, or shall be */
	bool has_snap;
	uint64_t told;	     /* began: of the one that was said to be cut off */
	int lock;	     /* −1: none */
	bool stateless;	     /* rollback: the folder cannot be written */
	uint64_t changed_at; /* s since 1970 */
	struct change_seen seen;
};

/* Options, configuration, role, provider with its credentials. EXIT_OK, or why not, said. */
int change_open(struct change *c, const struct options *o, int argc, char **argv);
void change_close(struct change *c);
/* Nobody else changes these records meanwhile. EXIT_OK, or why not, said. */
int change_lock(struct change *c);
void change_unlock(struct change *c);
/* What an earlier command left on disk; says when that was cut off. EXIT_OK, or why not, said. */
int change_recall(struct change *c);
/* Is what is there what an earlier command left of a change that ended half-way: records of both
 * sets, or nothing? */
bool change_is_half(const struct change *c, int type);
/* What is there now, of every type that is asked. The number that could not be read. */
unsigned int change_read(struct change *c);
/* "www.example.test. A at the primary server: 203.0.113.10 (TTL 60) -> …" Returns ret. */
const char *change_text(const struct change *c, const struct change_type *t, char *ret,
			size_t size);
/* Diff and bytes of all that would be done, and of its inverse. */
void change_show(const struct change *c);
/* Writes the snapshot. 0 or −errno. */
int change_save(struct change *c);
/* Applies what is DNS_TODO_APPLY, type by type, and notes each step on disk. The exit code. */
int change_apply(struct change *c);
/* After a change was read back: what the provider's HTTP cache has is of the other side. */
void change_purge(const struct change *c);
/* The line of the audit trail. */
void change_record(const struct change *c);
/* For how long (s) who has the new answer keeps it, of the types that were changed; 0: none was. */
uint32_t change_ttl(const struct change *c);
/* With --json: the document. */
void change_report_json(struct change *c, int code);

/* dns_settle.c: until the provider, the authorities and, with --wait, the resolvers say it.
 * EXIT_OK, EXIT_TIMEOUT, EXIT_OVERTAKEN. */
int change_settle(struct change *c);
