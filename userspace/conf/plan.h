/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan.h - what a configuration would do on this host, and what speaks against it
 *
 *   struct plan_host *h = calloc(1, sizeof(*h));
 *   struct plan_report *r = calloc(1, sizeof(*r));
 *   if (!plan_look(c, h))
 *           refused = plan_check(c, h, NULL, overrides, r) > 0;
 *   plan_complain(r, errors);
 *   plan_host_free(h);
 *
 * plan_look is the only function here that looks at the world. The others are pure: facts in,
 * report out; so `apply` and `plan check` judge alike, and tables test them.
 *
 * Every refusal has a rule, and every rule that may be overridden has its own flag: an operator
 * overrides what was named to him and nothing else. Rules without a flag would break the service
 * for certain; no flag makes them right.
 */
#pragma once

#include "userspace/conf/config.h"
#include "userspace/net/host.h"
#include "userspace/net/resolve.h"

enum plan_rule {
	/* A family is listened on that nothing can be shifted in: at 100 % its clients stay. */
	PLAN_MISSING_FAMILY,
	/* With `dns`: a listen port that the target has not; DNS cannot move ports. */
	PLAN_PORT_CHANGE,
	/* A backend is this host or an old one: what is shifted there was not moved. */
	PLAN_SELF_TARGET,
	PLAN_FOREIGN_NAT,	 /* a NAT address is not here, so replies go elsewhere */
	PLAN_FLOATING_NAT,	 /* it is here, and a VRRP failover takes it and its flows away */
	PLAN_LOCAL_GATE,	 /* a gate would judge the old arm and take it for the new */
	PLAN_UNLISTED_INTERFACE, /* replies could come in where no program sees them */
	PLAN_DOUBLE_PASS,	 /* a packet would be seen on two layers of one link */
	PLAN_UPLINK_LOAD,	 /* more than 70 % of a link */
	PLAN_OVERRIDABLE,
	/* A backend is a listener of this very host: its connections would be shifted for ever. */
	PLAN_LOOP = PLAN_OVERRIDABLE,
	PLAN_NO_INTERFACE, /* a listed interface is not there */
	PLAN_NO_XDP,	   /* hook: xdp where there is no way or no place for it */
	PLAN_TOO_MANY,	   /* more targets than the tables in the kernel hold */
	PLAN_WARNING,	   /* not a refusal */
	PLAN_RULES
};

/* "--allow-missing-family", …: by rule, NULL for rules without a flag. */
extern const char *const plan_flags[PLAN_OVERRIDABLE + 1];
/* "missing-family", …: names of rules, for --json. */
const char *plan_rule_name(enum plan_rule rule);

/* The bit of a rule in `overrides`. */
#define PLAN_OVERRIDE(rule) (1u << (rule))

/* The addresses behind one host name or address of the file. */
struct plan_name {
	int err; /* of resolve_host; 0 for addresses */
	struct resolved to;
	uint32_t ifindex[RESOLVE_MAX]; /* the way to each; 0: unknown or none. Of backends only */
};

struct plan_host {
	struct host host;
	struct plan_name backend[CONF_MAX_BACKENDS]; /* as in the config */
	struct plan_name gate[CONF_MAX_GATES];	     /* its url_host; n 0: it has none */
	bool xdp_taken[CONF_MAX_IFACES];	     /* by another's program; plan_look leaves it */
};

/* What the service carries now, as measured or stated; 0: unknown. */
struct plan_load {
	double rate;	      /* new connections per second */
	bool measured;	      /* it is: not stated */
	uint64_t up, down;    /* bits per second, from and to the clients */
	uint64_t lifetime_ms; /* of a connection, on average */
	uint64_t link;	      /* bits per second, where a link does not tell its own */
};

struct plan_finding {
	enum plan_rule rule;
	bool refused; /* false: a warning, or overridden */
	struct conf_at at;
	char key[64];
	char text[CONF_TEXT];
};

/* What one address family can take. */
struct plan_family {
	uint8_t family;
	unsigned int listens, nat, backends; /* backends: with addresses and a weight */
	unsigned int addresses;		     /* of these backends */
	unsigned int ports;		     /* of one NAT address */
	double seconds;			     /* lifetime + quarantine */
	double capacity; /* new connections per second that all ports can take */
	/* Backends get their weight's part, so the first is full before all are. */
	double first_full;  /* shifted connections per second; 0: nothing can be shifted */
	unsigned int first; /* index of that backend */
};

struct plan_stage {
	struct conf_at at;
	uint16_t weight;
	uint64_t hold_ms;
	double ceiling; /* new connections per second of the whole service that fit; 0: none */
	double shifted; /* per second at the stated rate; 0: no rate is known */
	bool fits;	/* or the rate is unknown */
};

/* Bytes. */
struct plan_memory {
	uint64_t flows; /* that can be shifted at once */
	uint64_t records, index, fixed, total;
};

struct plan_uplink {
	char name[16];
	uint64_t bits;	  /* 0: unknown */
	uint64_t in, out; /* bits per second at the last stage */
	double load;	  /* of the busier direction, 0..; 0: unknown */
	uint16_t over;	  /* first weight that takes it over PLAN_UPLINK_MAX; 0: none */
};

#define PLAN_UPLINK_MAX	  0.70
#define PLAN_MAX_FINDINGS 64
#define PLAN_MAX_STEPS	  (CONF_MAX_STAGES + 12)

struct plan_report {
	struct plan_finding finding[PLAN_MAX_FINDINGS];
	unsigned int n_findings;
	unsigned int left_out; /* warnings or overridden ones; refusals have room */
	unsigned int refused;
	struct plan_family family[2]; /* IPv4, IPv6 */
	struct plan_stage stage[CONF_MAX_STAGES];
	unsigned int n_stages; /* 0: no ramp is planned */
	struct plan_memory memory;
	struct plan_uplink uplink[CONF_MAX_IFACES];
	unsigned int n_uplinks; /* 0: no bandwidth is known */
	char step[PLAN_MAX_STEPS][256];
	unsigned int n_steps;
};

/*
 * Resolves names, reads the host, asks for the ways. 0 and *ret, for plan_host_free; −errno when
 * the kernel does not tell. That a name is not there is a fact, not an error.
 */
int plan_look(const struct config *c, struct plan_host *ret);
void plan_host_free(struct plan_host *h);

/*
 * How many rules refuse, after those in `overrides` (PLAN_OVERRIDE bits); 0: none, go on. *ret is
 * filled in either case. `load` may be NULL.
 */
unsigned int plan_check(const struct config *c, const struct plan_host *h,
			const struct plan_load *load, unsigned int overrides,
			struct plan_report *ret);

/* The findings as complaints: refusals are errors, with the flag; the others are warnings. */
void plan_complain(const struct plan_report *r, struct conf_errors *errors);

/* "2G", "800M", "1.5Gbit" as bits per second; -EINVAL. */
int plan_parse_bits(const char *text, uint64_t *ret);
/* "2.4 Gbit/s". Returns ret. */
const char *plan_bits(uint64_t bits, char ret[32]);
