/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * config.h - the configuration file, read, checked and typed
 *
 *   struct conf_errors errors = {0};
 *   struct config *c;
 *   if (conf_load("/etc/shift/shift.yaml", &c, &errors))
 *           conf_errors_print(&errors, stderr);
 *
 * Everything that can be said of the file alone is checked here, by one table of keys (schema.c):
 * unknown and duplicate keys, types, ranges, units, what needs or excludes what. What depends on
 * the host or the network is checked by plan.h. Every complaint names file:line:column, the key,
 * what is wrong and what would be right, and all of them are found in one run.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONF_NAME	   32 /* with the final zero */
#define CONF_HOST	   256
#define CONF_TEXT	   512
#define CONF_MAX_LISTENS   64
#define CONF_MAX_IFACES	   32
#define CONF_MAX_BYPASS	   1024
#define CONF_MAX_CLIENTS   1024 /* each of allow and deny */
#define CONF_MAX_NAT	   64
#define CONF_MAX_BACKENDS  64
#define CONF_MAX_DNS	   64
#define CONF_MAX_RESOLVERS 64
#define CONF_MAX_GATES	   32
#define CONF_MAX_STAGES	   32
#define CONF_MAX_TUNNELS   32
#define CONF_MAX_ADDRESSES 16 /* of one tunnel */

/* Where in the file something stands, from 1; line 0: it is not in the file. */
struct conf_at {
	uint32_t line;
	uint32_t column;
};

/* IPv4 is v4-mapped (::ffff:a.b.c.d), network order, as in bpf/shift.h. */
struct conf_address {
	struct conf_at at;
	uint8_t family; /* 4 or 6 */
	uint8_t prefix; /* of CIDRs: in bits of the family; 32 or 128 for a plain address */
	uint32_t ip[4];
};

struct conf_listen {
	struct conf_address address;
	uint16_t port;	  /* host order */
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
};

enum conf_hook { CONF_HOOK_AUTO, CONF_HOOK_TC, CONF_HOOK_XDP };
enum conf_client_address {
	CONF_CLIENT_UNSTATED,
	CONF_CLIENT_HIDDEN,
	CONF_CLIENT_PROXY_V2, /* refused for now, as is KEEP */
	CONF_CLIENT_KEEP,
};

/* The first four as in dns/engine.h. */
enum conf_transport { CONF_UDP, CONF_TCP, CONF_TLS, CONF_HTTPS };

struct conf_server { /* an authority or a resolver */
	struct conf_at at;
	enum conf_transport transport;
	struct conf_address address; /* family 0: a name, of TLS and HTTPS alone */
	uint16_t port;		     /* host order; the transport's own when none is given */
	char host[CONF_HOST];	     /* as a name, or the address */
	char text[CONF_TEXT];	     /* as it is written; of HTTPS the URL */
};

struct conf_dns_type {
	struct conf_at at;
	uint8_t aaaa; /* 0: A, 1: AAAA */
};

struct conf_url {
	struct conf_at at;
	char text[CONF_TEXT];	     /* as it is written */
	char host[CONF_HOST];	     /* an address or a name */
	struct conf_address address; /* family 0: a name */
	uint16_t port;		     /* host order; the scheme's own when none is given */
	bool tls;
};

/* ---- health: what is asked of an arm, and when it counts ---- */

#define CONF_MAX_EXPECT 16

struct conf_status {
	struct conf_at at;
	uint16_t status;
};

struct conf_health {
	bool given;
	struct conf_url http;			    /* of HTTP; text "": a TCP connection alone */
	struct conf_server tcp;			    /* of TCP */
	struct conf_status expect[CONF_MAX_EXPECT]; /* none: 200 */
	unsigned int n_expect;
	char field[CONF_HOST],
		equals[CONF_HOST]; /* of a JSON answer: what a member must be; "": not asked */
	uint64_t interval_ms, fast_ms, timeout_ms; /* fast: while it changes */
	uint16_t rise, fall;
	char ca_file[CONF_TEXT]; /* "": the system's */
};

struct conf_backend {
	struct conf_at at;	/* of the entry */
	struct conf_at name_at; /* of values, as the next three */
	struct conf_at target_at;
	struct conf_at weight_at;
	struct conf_at client_address_at;
	char name[CONF_NAME];
	char host[CONF_HOST];	     /* a DNS name, or "" when `address` holds */
	struct conf_address address; /* family 0 with a DNS name */
	uint16_t port;		     /* host order */
	uint16_t weight;	     /* 0..1000 */
	enum conf_client_address client_address;
	struct conf_health health;
};

struct conf_interface {
	struct conf_at at;
	char name[16];
};

/* All in milliseconds. */
struct conf_timeouts {
	uint64_t tcp_established, tcp_half_open, tcp_closing, udp, port_quarantine;
};

/* ---- DNS: what is watched and changed; dns/ does it ---- */

/* A record's address, and its share where the provider can answer by weight. */
struct conf_record {
	struct conf_address address;
	uint16_t weight;
	bool weighted; /* a weight is given */
};

enum conf_provider_kind {
	CONF_NO_PROVIDER,
	CONF_RFC2136,
	CONF_ROUTE53,
	CONF_POWERDNS,
	CONF_CLOUDFLARE,
	CONF_GOOGLE,
	CONF_AZURE,
	CONF_PROVIDERS,
};

enum conf_tsig { CONF_SHA256, CONF_SHA384, CONF_SHA512, CONF_SHA224, CONF_SHA1 };

enum conf_purge { CONF_PURGE_NOTHING, CONF_PURGE_HOST, CONF_PURGE_EVERYTHING };

/* Each kind has its own; the others are "" or 0. */
struct conf_provider {
	struct conf_at at;
	enum conf_provider_kind kind;
	bool given[CONF_PROVIDERS];  /* which of the kinds is there, for the reader */
	char server[CONF_HOST];	     /* RFC 2136: an address or a name */
	struct conf_address address; /* of it; family 0: a name */
	uint16_t port;		     /* host order */
	char zone[CONF_HOST]; /* RFC 2136, PowerDNS, Azure: the zone's name; Google: the managed
				 zone's */
	char zone_id[CONF_NAME * 2]; /* Route 53, Cloudflare */
	char key_name[CONF_HOST];    /* TSIG */
	enum conf_tsig algorithm;
	char key_file[CONF_TEXT]; /* the secret: TSIG, token, API key, service account, client
				     secret */
	char endpoint[CONF_TEXT]; /* URL instead of the provider's own, without a final slash */
	char login[CONF_TEXT];	  /* Azure: URL instead of login.microsoftonline.com */
	char project[CONF_TEXT];  /* Google */
	char subscription[CONF_NAME * 2], group[CONF_TEXT], tenant[CONF_NAME * 2],
		client_id[CONF_NAME * 2]; /* Azure */
	char ca_file[CONF_TEXT];
	enum conf_purge purge; /* Cloudflare */
	uint64_t timeout_ms;   /* of one request */
};

struct conf_dns {
	bool given;
	struct conf_at at;
	char name[CONF_HOST];
	struct conf_dns_type types[2];
	unsigned int n_types; /* 0: both */
	uint64_t ttl_ms;
	struct conf_address old[CONF_MAX_DNS];
	unsigned int n_old;
	struct conf_record fresh[CONF_MAX_DNS]; /* `new` */
	unsigned int n_fresh;
	struct conf_server authorities[CONF_MAX_RESOLVERS]; /* none: found from the delegation */
	unsigned int n_authorities;
	struct conf_server resolvers[CONF_MAX_RESOLVERS]; /* none: the public ones */
	unsigned int n_resolvers;
	uint16_t samples;	 /* of each resolver in one sweep */
	uint64_t timeout_ms;	 /* of one question */
	char ca_file[CONF_TEXT]; /* trusted for TLS and HTTPS instead of the system's; "" */
	struct conf_provider provider;
};

/* ---- gates: what decides whether a ramp goes on ---- */

#define CONF_MAX_BOUNDS 8
#define CONF_MAX_ARGS	64

enum conf_gate_arm { CONF_ARM_UNSTATED, CONF_ARM_OLD, CONF_ARM_NEW, CONF_ARM_SUM };

/* Reading a counter asks nobody, so it needs not be spared. */
#define CONF_KERNEL_INTERVAL_MS 1000

enum conf_gate_kind { CONF_GATE_KERNEL, CONF_GATE_JSON, CONF_GATE_PROMETHEUS, CONF_GATE_EXEC };

/* As conf/gate.c describes them. */
enum conf_kernel_gate {
	CONF_KERNEL_ERRORS,
	CONF_KERNEL_FAILURES,
	CONF_KERNEL_FALLBACK,
	CONF_KERNEL_DROPS,
	CONF_KERNEL_P50,
	CONF_KERNEL_P95,
	CONF_KERNEL_P99,
	CONF_KERNEL_SPLIT,
};

/* "> 500 for 5m", "> 20% below baseline", "> 60 3 times" */
struct conf_bound {
	struct conf_at at;
	char text[64]; /* as it is written */
	bool above;    /* > or >=; else < or <= */
	bool equal;    /* >= or <= */
	double number; /* in the base unit: %, ms; a plain number without one */
	char unit[4];  /* as it is written: "%", "ms", … or "" */
	bool below_baseline;
	uint64_t for_ms; /* 0: at once */
	uint16_t times;	 /* in a row; 0 or 1: at once */
};

struct conf_bounds {
	struct conf_bound bound[CONF_MAX_BOUNDS];
	unsigned int n;
	bool given; /* the key is there, whatever became of it */
};

struct conf_argument {
	struct conf_at at;
	char text[CONF_HOST];
};

struct conf_gate {
	struct conf_at at;
	struct conf_at name_at;
	struct conf_at source_at;
	struct conf_at via_at;
	char name[CONF_NAME];
	enum conf_gate_kind kind; /* by what is given below */
	enum conf_kernel_gate kernel;
	bool json_given, prometheus_given;
	struct conf_url url; /* of json or prometheus; text "" otherwise */
	char field[CONF_HOST];
	char query[CONF_TEXT];
	struct conf_argument argv[CONF_MAX_ARGS];
	unsigned int n_argv;
	char user[CONF_NAME]; /* of exec; "": nobody */
	char via[CONF_NAME];  /* "" when not given */
	enum conf_gate_arm arm;
	char ca_file[CONF_TEXT];
	uint64_t interval_ms, timeout_ms;
	uint64_t baseline; /* of the whole service, in the source's unit; 0: it is measured */
	struct conf_bounds ok, pause, back, rollback;
	bool shipped; /* the bounds are not the file's but what its name stands for (defaults.c) */
};

/* ---- what is done and told besides ---- */

#define CONF_MAX_HOOKS	  32
#define CONF_MAX_NOTIFIES 16

enum conf_when {
	CONF_BEFORE_RAMP,
	CONF_BEFORE_STAGE,
	CONF_AFTER_STAGE,
	CONF_ON_COMMIT,
	CONF_ON_ROLLBACK,
	CONF_AFTER_RAMP,
};

struct conf_hook_step { /* a named step: a program, or a URL that is asked */
	struct conf_at at;
	char name[CONF_NAME];
	enum conf_when when;
	uint16_t stage; /* from 1; 0: each */
	struct conf_argument argv[CONF_MAX_ARGS];
	unsigned int n_argv;
	struct conf_url url;	 /* text "": a program */
	char ca_file[CONF_TEXT]; /* of a URL; "": the system's */
	char user[CONF_NAME];
	uint64_t timeout_ms;
	bool required; /* its failure holds the ramp; false: it is only said */
};

enum conf_notify_kind { CONF_SLACK, CONF_STATUSPAGE, CONF_PAGERDUTY, CONF_WEBHOOK, CONF_NOTIFIES };

struct conf_notify {
	struct conf_at at;
	char name[CONF_NAME];
	bool given[CONF_NOTIFIES];
	enum conf_notify_kind kind;
	char secret_file[CONF_TEXT]; /* Slack: the webhook's URL; others: token, routing key;
					webhook: bearer token or "" */
	struct conf_url url;	     /* webhook's; others: instead of the service's own */
	char page[CONF_NAME * 2], component[CONF_NAME * 2]; /* Statuspage */
	char template[CONF_TEXT];			    /* "": the shipped one */
	char ca_file[CONF_TEXT];			    /* "": the system's */
	bool only_alarms;
};

#define CONF_MAX_HOSTS 16

struct conf_host {
	struct conf_at at;
	char name[CONF_HOST];
};

struct conf_metrics {
	bool given;
	struct conf_server listen; /* /metrics and the dashboard; loopback by default */
	struct conf_host hosts[CONF_MAX_HOSTS]; /* names it may be asked by, besides its address */
	unsigned int n_hosts;
	char token_file[CONF_TEXT];			    /* "": the dashboard only shows */
	char read_group[CONF_NAME], write_group[CONF_NAME]; /* of the socket; "": root alone */
};

struct conf_flow_log {
	bool given;
	char file[CONF_TEXT];
	uint64_t rotate; /* bytes */
	uint32_t keep;	 /* files beside the one that is written */
	uint64_t interval_ms;
};

/* ---- tunnels: what a tunnel shall be; wg/ makes it so ---- */

#define CONF_KEY	  32 /* bytes of a WireGuard key */
#define CONF_MAX_PEERS	  2048
#define CONF_MAX_ALLOWED  8192 /* of one peer */
#define CONF_MAX_ROUTES	  4096
#define CONF_MAX_PROPOSAL 16

struct conf_peer {
	struct conf_at at;
	struct conf_at public_key_at;
	struct conf_at endpoint_at;
	uint8_t public_key[CONF_KEY];
	bool placeholder;	     /* the key is not known yet */
	char psk_file[CONF_TEXT];    /* "": none */
	char endpoint[CONF_HOST];    /* an address or a name; "": the peer finds us */
	struct conf_address address; /* of the endpoint; family 0: it is a name, or there is none */
	uint16_t port;		     /* host order */
	struct conf_address *allowed; /* owned by the configuration */
	unsigned int n_allowed;
	uint64_t keepalive_ms; /* 0: off */
};

struct conf_wireguard {
	bool given;
	char key_file[CONF_TEXT];
	uint16_t listen_port;	 /* 0: any */
	uint32_t fwmark;	 /* 0: none */
	struct conf_peer *peers; /* owned by the configuration */
	unsigned int n_peers;
};

struct conf_proposal {
	struct conf_at at;
	char text[128];
};

struct conf_ike {
	bool given;
	struct conf_address local; /* family 0: charon chooses */
	char remote[CONF_HOST];	   /* an address or a name; "": any may come */
	char local_id[CONF_HOST], remote_id[CONF_HOST];
	char psk_file[CONF_TEXT];
	char certificate_file[CONF_TEXT], private_key_file[CONF_TEXT], ca_file[CONF_TEXT];
	struct conf_proposal proposals[CONF_MAX_PROPOSAL];
	unsigned int n_proposals;
	struct conf_proposal esp_proposals[CONF_MAX_PROPOSAL];
	unsigned int n_esp_proposals;
	uint64_t dpd_ms;
	uint64_t ike_lifetime_ms, lifetime_ms; /* 0: charon's own */
	char vici[CONF_TEXT];		       /* charon's socket */
};

enum conf_cipher { CONF_AES128_CBC, CONF_AES192_CBC, CONF_AES256_CBC };

struct conf_static {
	bool given;
	struct conf_at at;
	struct conf_address local, remote; /* family 0: not given */
	char key_file[CONF_TEXT];
	enum conf_cipher cipher;
	uint64_t lifetime_ms; /* of a key, hard */
	uint64_t overlap_ms;  /* how long the old key still receives */
};

struct conf_probe {
	bool given;
	struct conf_at at;
	struct conf_address address;
	uint64_t interval_ms, max_rtt_ms, hold_ms;
	uint16_t max_loss; /* hundredths of a percent */
	uint16_t rise, fall;
	bool mtu; /* look for packets that are too big to pass */
};

struct conf_tunnel {
	struct conf_at at;
	struct conf_at name_at;
	struct conf_at backup_at;
	struct conf_at ipsec_at;
	char name[CONF_NAME];
	char backup[CONF_NAME]; /* "" when not given */
	struct conf_interface interface;
	struct conf_address addresses[CONF_MAX_ADDRESSES];
	unsigned int n_addresses;
	uint16_t mtu;	/* 0: computed from the way to the endpoint */
	uint32_t if_id; /* of an IPsec interface; 0: made of the name */
	struct conf_wireguard wireguard;
	struct conf_ike ike;
	struct conf_static fixed;    /* `static` */
	struct conf_address *routes; /* owned by the configuration */
	unsigned int n_routes;
	uint32_t table;	 /* 0: main */
	uint32_t metric; /* of the routes of the tunnel in use */
	struct conf_address
		source; /* preferred source of the routes; family 0: the kernel's choice */
	struct conf_probe probe;
};

struct conf_stage {
	struct conf_at at;
	struct conf_at weight_at;
	uint16_t weight; /* hundredths of a percent */
	uint64_t hold_ms;
};

struct conf_ramp_rules {
	uint16_t max_step;	  /* hundredths of a percent */
	uint16_t min_healthy;	  /* backends */
	uint64_t window_ms;	  /* over which rates are taken */
	uint32_t min_connections; /* of the new arm in it, or the numbers say nothing */
	uint64_t lease_ms;	  /* of shiftd's keep-alive; 0: none */
	uint8_t on_death;	  /* enum shift_lease_action: hold, or fall back to 0 */
	char tunnel[CONF_NAME];	  /* must be up; "": none */
	uint64_t dns_after_ms;	  /* at 100 % before a DNS cutover */
};

struct config {
	char file[CONF_TEXT]; /* as it was named */
	char service[CONF_NAME];
	bool leader;
	struct conf_listen listens[CONF_MAX_LISTENS];
	unsigned int n_listens;
	struct conf_interface interfaces[CONF_MAX_IFACES];
	unsigned int n_interfaces;
	enum conf_hook hook;
	struct conf_at hook_at;
	uint8_t quic_off;      /* 1: UDP port 443 is like any other */
	uint32_t client_flows; /* of one client at most; 0: half of one backend's ports */
	uint8_t affinity;      /* enum shift_affinity */
	bool bypass_given;
	struct conf_address bypass[CONF_MAX_BYPASS];
	unsigned int n_bypass;
	/* `clients`: with any in `allow`, others are never shifted. */
	struct conf_address allow[CONF_MAX_CLIENTS];
	unsigned int n_allow;
	struct conf_address deny[CONF_MAX_CLIENTS];
	unsigned int n_deny;
	bool authority_given;
	uint8_t authority; /* enum shift_authority */
	bool on_boot_restore;
	struct conf_at nat_at;
	struct conf_address nat[CONF_MAX_NAT];
	unsigned int n_nat;
	struct conf_at ports_at;
	uint16_t port_lo, port_hi; /* inclusive, host order */
	struct conf_backend backends[CONF_MAX_BACKENDS];
	unsigned int n_backends;
	uint8_t on_unable; /* enum shift_on_unable */
	struct conf_timeouts timeouts;
	struct conf_dns dns;
	struct conf_gate gates[CONF_MAX_GATES];
	unsigned int n_gates;
	bool gates_given; /* false, with a ramp: those of the kernel were put in */
	struct conf_stage stages[CONF_MAX_STAGES];
	unsigned int n_stages;
	struct conf_at ramp_at; /* line 0: no ramp */
	struct conf_ramp_rules rules;
	struct conf_hook_step hooks[CONF_MAX_HOOKS];
	unsigned int n_hooks;
	struct conf_notify notifies[CONF_MAX_NOTIFIES];
	unsigned int n_notifies;
	struct conf_metrics metrics;
	struct conf_flow_log flow_log;
	struct conf_health old_health;
	struct conf_tunnel tunnels[CONF_MAX_TUNNELS];
	unsigned int n_tunnels;
	char *text; /* the file's bytes, for showing a line; owned */
	size_t text_size;
	struct conf_list *lists; /* what the lists of any length are kept in; owned */
};

/* Complaints, in the order of the file. A warning does not make the file unusable. */
struct conf_error {
	struct conf_at at;
	bool warning;
	char text[CONF_TEXT]; /* "backends[1].weight: must be 0..1000, is -3" */
};

#define CONF_MAX_ERRORS 64

struct conf_errors {
	char file[CONF_TEXT];
	const struct config *config; /* for the source lines; may be NULL */
	struct conf_error error[CONF_MAX_ERRORS];
	unsigned int n;
	unsigned int left_out; /* found beyond CONF_MAX_ERRORS: the last in the file are left out */
	unsigned int n_errors; /* without the warnings, with those left out */
	char *text;	       /* the file's bytes when there is no config; owned */
	size_t text_size;
};

/*
 * Reads a file that root may trust (base/file.h) and no larger than 1 MiB. 0 and *ret, which the
 * caller gives to conf_free; -EPERM: others can write it; another −errno: it cannot be read;
 * -EINVAL: it is wrong. On every failure `errors` says why, and on success it may hold warnings.
 */
int conf_load(const char *file, struct config **ret, struct conf_errors *errors);
/* The same from memory, without the question whom the file belongs to (tests, fuzzing). */
int conf_parse(const char *name, const char *text, size_t size, struct config **ret,
	       struct conf_errors *errors);
void conf_free(struct config *c);

/* Adds a complaint; `key` may be NULL. */
void conf_complain(struct conf_errors *errors, bool warning, struct conf_at at, const char *key,
		   const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The number of complaints that are no warnings. */
unsigned int conf_errors_count(const struct conf_errors *errors);
/* "file:line:col: key: text", the line of the file and a caret, for each; "warning: " before the
 * key where it is one. */
void conf_errors_print(const struct conf_errors *errors, FILE *to);
void conf_errors_free(struct conf_errors *errors);

/* NULL: there is none of that name. */
const struct conf_tunnel *conf_tunnel(const struct config *c, const char *name);

/* "ok < 0.1%, pause > 0.5%, rollback > 5%", and "kernel.errors", "tps of https://…". Return ret. */
const char *conf_bounds_text(const struct conf_gate *g, char *ret, size_t size);
const char *conf_source_text(const struct conf_gate *g, char *ret, size_t size);

/* "203.0.113.10", "2001:db8::10"; CIDRs with their prefix. Returns ret. */
const char *conf_address_text(const struct conf_address *a, char ret[64]);
/* "2h4m", "500ms", "0s"; it can be parsed again. Returns ret. */
const char *conf_duration_text(uint64_t ms, char ret[32]);
