/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * keys.c - every key of the configuration: what it may be, and where it is kept
 *
 * One row for one place of the file; the columns are explained in schema.h. A list has a row for
 * its elements too, which ends in []. A row that names no place (`to`) is checked and not kept: its
 * part of the program reads it when it is there.
 */
#include <netinet/in.h>
#include <stddef.h>

#include "bpf/shift.h"
#include "userspace/conf/types.h"

#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* A designator, so that the rest of a row may be left out without a warning. */
#define KEY(text) .path = text

#define IN(member)	   offsetof(struct config, member)
#define IN_BACKEND(member) offsetof(struct conf_backend, member)
#define IN_GATE(member)	   offsetof(struct conf_gate, member)
#define IN_STAGE(member)   offsetof(struct conf_stage, member)
#define IN_TUNNEL(member)  offsetof(struct conf_tunnel, member)

#define IN_PEER(member) offsetof(struct conf_peer, member)

#define OF_GATE(member) .to = IN_GATE(member), .size = sizeof(((struct conf_gate *)0)->member)
#define OF_ARGUMENT	.to = offsetof(struct conf_argument, text), .size = CONF_HOST
#define OF_HOOK(member)                                                                            \
	.to = offsetof(struct conf_hook_step, member),                                             \
	.size = sizeof(((struct conf_hook_step *)0)->member)
#define OF_NOTIFY(member)                                                                          \
	.to = offsetof(struct conf_notify, member),                                                \
	.size = sizeof(((struct conf_notify *)0)->member)
#define OF_TUNNEL(member) .to = IN_TUNNEL(member), .size = sizeof(((struct conf_tunnel *)0)->member)
#define OF_PEER(member)	  .to = IN_PEER(member), .size = sizeof(((struct conf_peer *)0)->member)
#define INTO(member)	  .to = IN(member), .size = sizeof(((struct config *)0)->member)
#define LIST_OF(array)	  .to = IN(array), .size = sizeof(((struct config *)0)->array[0])

static const char *const roles[] = {"follower", "leader", NULL};
static const char *const hooks[] = {"auto", "tc", "xdp", NULL};
static const char *const quics[] = {"auto", "off", NULL};
static const char *const affinities[] = {"client", "connection", NULL};
static const char *const authorities[] = {"old", "shared", NULL};
static const char *const boots[] = {"zero", "restore", NULL};
static const char *const client_addresses[] = {"hidden", "proxy-v2", "keep", NULL};
static const char *const unables[] = {"reset", "local", NULL};
static const char *const record_types[] = {"A", "AAAA", NULL};
static const char *const tsig_algorithms[] = {"hmac-sha256", "hmac-sha384", "hmac-sha512",
					      "hmac-sha224", "hmac-sha1",   NULL};
static const char *const purges[] = {"nothing", "host", "everything", NULL};
static const char *const deaths[] = {"hold", "rollback", NULL};
static const char *const whens[] = {"before-ramp", "before-stage", "after-stage", "on-commit",
				    "on-rollback", "after-ramp",   NULL};
static const char *const ciphers[] = {"aes128-cbc", "aes192-cbc", "aes256-cbc", NULL};
static const char *const arms[] = {"old", "new", "sum", NULL};

_Static_assert(SHIFT_AFFINITY_CLIENT == 0 && SHIFT_AFFINITY_CONNECTION == 1, "affinities");
_Static_assert(SHIFT_AUTHORITY_OLD == 0 && SHIFT_AUTHORITY_SHARED == 1, "authorities");
_Static_assert(SHIFT_UNABLE_RESET == 0 && SHIFT_UNABLE_LOCAL == 1, "unables");

#define WANT_HEALTH                                                                                \
	"a map such as {tcp: \"127.0.0.1:443\"} or {http: \"https://api.example/health\"}"

#define NOT_YET "is not known to this version: leave the section out"

/* clang-format off */
/* What tunnels of both kinds have inside their map. */
#define TUNNEL_ADDRESSES(path)                                                                     \
	{KEY(path ".addresses"), NULL, ROW_LIST, 1, CONF_MAX_ADDRESSES,                            \
	 .to = IN_TUNNEL(addresses), .size = sizeof(struct conf_address),                          \
	 .count_to = IN_TUNNEL(n_addresses), .want = "a list such as [198.18.9.1/30]"},            \
	{KEY(path ".addresses[]"), &type_cidr, ROW_ANY_BITS | ROW_HOST | ROW_LINK_LOCAL},          \
	{KEY(path ".mtu"), &type_integer, 0, 576, 9500, .unit = "bytes", OF_TUNNEL(mtu)}

/* `in` is where the struct conf_health lies in what encloses it. */
#define OF_HEALTH(in, member)                                                                      \
	.to = (in) + offsetof(struct conf_health, member),                                         \
	.size = sizeof(((struct conf_health *)0)->member)

#define HEALTH(path, in)                                                                           \
	{KEY(path), .flags = ROW_MAP, .want = WANT_HEALTH,                                         \
	 .given_to = (in) + offsetof(struct conf_health, given)},                                  \
	{KEY(path ".http"), &type_url, ROW_CHOICE, OF_HEALTH(in, http)},                           \
	{KEY(path ".tcp"), &type_tcp, ROW_CHOICE | ROW_NEED_PORT,                                  \
	 OF_HEALTH(in, tcp), .want = "ADDRESS:PORT or NAME:PORT, such as 127.0.0.1:443"},          \
	{KEY(path ".expect"), &type_integer, ROW_LIST, 100, CONF_MAX_EXPECT, .needs = "http",      \
	 .to = (in) + offsetof(struct conf_health, expect), .size = sizeof(struct conf_status),    \
	 .count_to = (in) + offsetof(struct conf_health, n_expect),                                \
	 .want = "a status of 100..599 or a list of them"},                                        \
	{KEY(path ".expect[]"), &type_integer, 0, 100, 599,                                        \
	 .to = offsetof(struct conf_status, status), .size = sizeof(uint16_t)},                    \
	{KEY(path ".field"), &type_member, OF_HEALTH(in, field), .needs = "http"},                 \
	{KEY(path ".equals"), &type_text, OF_HEALTH(in, equals), .needs = "field"},                \
	{KEY(path ".ca_file"), &type_path, OF_HEALTH(in, ca_file), .needs = "http"},               \
	{KEY(path ".interval"), &type_duration, 0, 100, HOUR, "2s", OF_HEALTH(in, interval_ms)},   \
	{KEY(path ".fast"), &type_duration, 0, 50, MINUTE, "500ms", OF_HEALTH(in, fast_ms)},       \
	{KEY(path ".timeout"), &type_duration, 0, 50, MINUTE, "1s", OF_HEALTH(in, timeout_ms)},    \
	{KEY(path ".rise"), &type_integer, 0, 1, 100, "2", OF_HEALTH(in, rise)},                   \
	{KEY(path ".fall"), &type_integer, 0, 1, 100, "3", OF_HEALTH(in, fall)}

#define BOUND(name)                                                                                \
	{KEY("gates[]." #name), &type_bound, ROW_LIST, 0, CONF_MAX_BOUNDS,                         \
	 .to = IN_GATE(name.bound), .size = sizeof(struct conf_bound),                             \
	 .count_to = IN_GATE(name.n), .given_to = IN_GATE(name.given),                             \
	 .want = "a bound or a list of them"},                                                     \
	{KEY("gates[]." #name "[]"), &type_bound, ROW_WHOLE}

#define PROVIDER(name, key)                                                                        \
	{KEY("dns.provider." name "." key), &type_path, ROW_REQUIRED,                              \
	 INTO(dns.provider.key_file)},                                                             \
	{KEY("dns.provider." name ".timeout"), &type_duration, 0, 100, 5 * MINUTE, "10s",          \
	 INTO(dns.provider.timeout_ms)}

/* `endpoint` is for a proxy, a gateway, or a server of one's own. */
#define CLOUD(name, key)                                                                           \
	PROVIDER(name, key),                                                                       \
	{KEY("dns.provider." name ".endpoint"), &type_endpoint_url, INTO(dns.provider.endpoint)},  \
	{KEY("dns.provider." name ".ca_file"), &type_path, INTO(dns.provider.ca_file)}

const struct row schema_rows[] = {
	{KEY("service"), &type_name, ROW_REQUIRED, INTO(service)},
	{KEY("services"), .flags = ROW_REFUSED,
	 .want = "is reserved for several services in one file: for now write one file for each, "
		 "with `service: NAME`"},
	{KEY("fleet"), .flags = ROW_REFUSED, .want = NOT_YET},
	{KEY("role"), &type_enum, .names = roles, .def = "follower", INTO(leader)},

	{KEY("listen"), NULL, ROW_LIST | ROW_REQUIRED, 1, CONF_MAX_LISTENS, LIST_OF(listens),
	 .count_to = IN(n_listens), .want = "a list such as [203.0.113.10:443/tcp]"},
	{KEY("listen[]"), &type_listen, ROW_HOST},

	{KEY("interfaces"), NULL, ROW_LIST | ROW_REQUIRED, 1, CONF_MAX_IFACES, LIST_OF(interfaces),
	 .count_to = IN(n_interfaces), .want = "a list such as [eth0]"},
	{KEY("interfaces[]"), &type_interface},

	{KEY("hook"), &type_enum, .names = hooks, .def = "auto", INTO(hook), .at_to = IN(hook_at)},
	{KEY("quic"), &type_enum, .names = quics, .def = "auto", INTO(quic_off)},
	{KEY("client_flows"), &type_integer, 0, 1, SHIFT_MAX_FLOWS, INTO(client_flows)},
	{KEY("clients"), NULL, ROW_MAP,
	 .want = "a map such as {deny: [192.0.2.0/24]} or {allow: [198.51.100.0/24]}"},
	{KEY("clients.allow"), NULL, ROW_LIST, 1, CONF_MAX_CLIENTS, LIST_OF(allow),
	 .count_to = IN(n_allow),
	 .want = "a list of networks such as [198.51.100.0/24] (without the key: everyone)"},
	{KEY("clients.allow[]"), &type_cidr},
	{KEY("clients.deny"), NULL, ROW_LIST | ROW_EMPTY, 0, CONF_MAX_CLIENTS, LIST_OF(deny),
	 .count_to = IN(n_deny), .want = "a list of networks such as [192.0.2.0/24], or []"},
	{KEY("clients.deny[]"), &type_cidr},
	{KEY("affinity"), &type_enum, .names = affinities, .def = "client", INTO(affinity)},

	{KEY("bypass"), NULL, ROW_LIST | ROW_EMPTY, 0, CONF_MAX_BYPASS, LIST_OF(bypass),
	 .count_to = IN(n_bypass), .given_to = IN(bypass_given),
	 .want = "a list of networks such as [198.51.100.0/24], or []"},
	{KEY("bypass[]"), &type_cidr},

	{KEY("authority"), &type_enum, .names = authorities, .def = "shared", INTO(authority),
	 .given_to = IN(authority_given),
	 .want = "old or shared (only `shiftctl commit` makes it new)"},
	{KEY("on_boot"), &type_enum, .names = boots, .def = "zero", INTO(on_boot_restore)},

	{KEY("nat"), NULL, ROW_MAP | ROW_REQUIRED, .at_to = IN(nat_at),
	 .want = "a map such as {addresses: [203.0.113.10], ports: 20000-59999}"},
	{KEY("nat.addresses"), NULL, ROW_LIST | ROW_REQUIRED, 1, CONF_MAX_NAT, LIST_OF(nat),
	 .count_to = IN(n_nat), .want = "a list of this host's addresses such as [203.0.113.10]"},
	{KEY("nat.addresses[]"), &type_address, ROW_HOST},
	{KEY("nat.ports"), &type_ports, .def = "20000-59999", .to = IN(port_lo),
	 .at_to = IN(ports_at),
	 .want = "a range within 1024-65535, such as 20000-59999"},

	{KEY("old"), NULL, ROW_MAP, .want = "a map such as {health: {tcp: \"127.0.0.1:443\"}}"},
	HEALTH("old.health", IN(old_health)),

	{KEY("backends"), NULL, ROW_LIST | ROW_REQUIRED, 1, CONF_MAX_BACKENDS, LIST_OF(backends),
	 .count_to = IN(n_backends),
	 .want = "a list of maps such as {name: aws, target: 52.1.2.3:443}"},
	{KEY("backends[]"), NULL, ROW_MAP,
	 .want = "a map such as {name: aws, target: 52.1.2.3:443}"},
	{KEY("backends[].name"), &type_name, ROW_REQUIRED, .to = IN_BACKEND(name),
	 .at_to = IN_BACKEND(name_at)},
	{KEY("backends[].target"), &type_target, ROW_REQUIRED | ROW_HOST | ROW_WHOLE,
	 .at_to = IN_BACKEND(target_at)},
	{KEY("backends[].weight"), &type_integer, 0, 0, 1000, "1", .to = IN_BACKEND(weight),
	 .size = sizeof(uint16_t), .at_to = IN_BACKEND(weight_at)},
	{KEY("backends[].client_address"), &type_enum, 0, CONF_CLIENT_HIDDEN,
	 .names = client_addresses,
	 .to = IN_BACKEND(client_address), .size = sizeof(enum conf_client_address),
	 .at_to = IN_BACKEND(client_address_at)},
	HEALTH("backends[].health", IN_BACKEND(health)),

	{KEY("on_unable"), &type_enum, .names = unables, .def = "reset", INTO(on_unable)},

	{KEY("timeouts"), NULL, ROW_MAP, .want = "a map such as {udp: 2m}"},
	{KEY("timeouts.tcp_established"), &type_duration, 0, SECOND, 7 * DAY, "2h4m",
	 INTO(timeouts.tcp_established)},
	{KEY("timeouts.tcp_half_open"), &type_duration, 0, SECOND, HOUR, "60s",
	 INTO(timeouts.tcp_half_open)},
	{KEY("timeouts.tcp_closing"), &type_duration, 0, SECOND, HOUR, "4m",
	 INTO(timeouts.tcp_closing)},
	{KEY("timeouts.udp"), &type_duration, 0, SECOND, DAY, "2m", INTO(timeouts.udp)},
	{KEY("timeouts.port_quarantine"), &type_duration, 0, 0, HOUR, "60s",
	 INTO(timeouts.port_quarantine)},

	{KEY("dns"), NULL, ROW_MAP, .at_to = IN(dns.at), .given_to = IN(dns.given),
	 .want = "a map with name, old and new"},
	{KEY("dns.name"), &type_host, ROW_REQUIRED, INTO(dns.name)},
	{KEY("dns.types"), NULL, ROW_LIST, 1, 2, LIST_OF(dns.types),
	 .count_to = IN(dns.n_types), .want = "a list: [A], [AAAA] or [A, AAAA]"},
	{KEY("dns.types[]"), &type_enum, .names = record_types,
	 .to = offsetof(struct conf_dns_type, aaaa), .size = sizeof(uint8_t)},
	{KEY("dns.ttl"), &type_duration, 0, SECOND, 7 * DAY, "60s", INTO(dns.ttl_ms)},
	{KEY("dns.old"), NULL, ROW_LIST | ROW_REQUIRED, 1, CONF_MAX_DNS, LIST_OF(dns.old),
	 .count_to = IN(dns.n_old), .want = "a list of addresses such as [203.0.113.10]"},
	{KEY("dns.old[]"), &type_address, ROW_HOST},
	{KEY("dns.new"), NULL, ROW_LIST | ROW_REQUIRED, 1, CONF_MAX_DNS, LIST_OF(dns.fresh),
	 .count_to = IN(dns.n_fresh), .want = "a list of addresses such as [52.1.2.3]"},
	{KEY("dns.new[]"), &type_address, ROW_MAP | ROW_HOST,
	 .want = "an address such as 52.1.2.3, or {address: 52.1.2.3, weight: 40}"},
	{KEY("dns.new[].address"), &type_address, ROW_REQUIRED | ROW_HOST | ROW_WHOLE},
	{KEY("dns.new[].weight"), &type_integer, 0, 0, 1000,
	 .to = offsetof(struct conf_record, weight), .size = sizeof(uint16_t),
	 .given_to = offsetof(struct conf_record, weighted)},
	{KEY("dns.authorities"), NULL, ROW_LIST, 1, CONF_MAX_RESOLVERS, LIST_OF(dns.authorities),
	 .count_to = IN(dns.n_authorities),
	 .want = "a list of addresses such as [192.0.2.53, \"192.0.2.54:5353\"]"},
	{KEY("dns.authorities[]"), &type_authority, ROW_NO_NAME,
	 .want = "an ADDRESS or ADDRESS:PORT"},
	{KEY("dns.resolvers"), NULL, ROW_LIST, 1, CONF_MAX_RESOLVERS, LIST_OF(dns.resolvers),
	 .count_to = IN(dns.n_resolvers),
	 .want = "a list such as [8.8.8.8, \"tls://9.9.9.9\"]"},
	{KEY("dns.resolvers[]"), &type_resolver},
	{KEY("dns.samples"), &type_integer, 0, 1, 16, "3", INTO(dns.samples)},
	{KEY("dns.timeout"), &type_duration, 0, 100, 30 * SECOND, "1500ms", INTO(dns.timeout_ms)},
	{KEY("dns.ca_file"), &type_path, INTO(dns.ca_file)},
	{KEY("dns.provider"), NULL, ROW_MAP, .at_to = IN(dns.provider.at),
	 .want = "a map such as {rfc2136: {server: \"192.0.2.53:53\", …}}"},
	{KEY("dns.provider.rfc2136"), NULL, ROW_MAP | ROW_CHOICE,
	 .given_to = IN(dns.provider.given[CONF_RFC2136]),
	 .want = "a map with server, zone, key_name, algorithm and key_file"},
	{KEY("dns.provider.rfc2136.server"), &type_server, ROW_REQUIRED | ROW_WHOLE,
	 .want = "an address or name, with a port if it is not 53"},
	{KEY("dns.provider.rfc2136.zone"), &type_host, ROW_REQUIRED, INTO(dns.provider.zone)},
	{KEY("dns.provider.rfc2136.key_name"), &type_host, ROW_REQUIRED,
	 INTO(dns.provider.key_name)},
	{KEY("dns.provider.rfc2136.algorithm"), &type_enum, .names = tsig_algorithms,
	 .def = "hmac-sha256", INTO(dns.provider.algorithm)},
	PROVIDER("rfc2136", "key_file"),
	{KEY("dns.provider.route53"), NULL, ROW_MAP | ROW_CHOICE,
	 .given_to = IN(dns.provider.given[CONF_ROUTE53]),
	 .want = "a map with zone_id and credentials_file"},
	{KEY("dns.provider.route53.zone_id"), &type_text, ROW_REQUIRED, INTO(dns.provider.zone_id)},
	CLOUD("route53", "credentials_file"),
	{KEY("dns.provider.powerdns"), NULL, ROW_MAP | ROW_CHOICE,
	 .given_to = IN(dns.provider.given[CONF_POWERDNS]),
	 .want = "a map with endpoint, zone and key_file"},
	{KEY("dns.provider.powerdns.zone"), &type_host, ROW_REQUIRED, INTO(dns.provider.zone)},
	CLOUD("powerdns", "key_file"),
	{KEY("dns.provider.cloudflare"), NULL, ROW_MAP | ROW_CHOICE,
	 .given_to = IN(dns.provider.given[CONF_CLOUDFLARE]),
	 .want = "a map with zone_id and token_file"},
	{KEY("dns.provider.cloudflare.zone_id"), &type_text, ROW_REQUIRED,
	 INTO(dns.provider.zone_id)},
	{KEY("dns.provider.cloudflare.purge"), &type_enum, .names = purges, .def = "nothing",
	 INTO(dns.provider.purge)},
	CLOUD("cloudflare", "token_file"),
	{KEY("dns.provider.google"), NULL, ROW_MAP | ROW_CHOICE,
	 .given_to = IN(dns.provider.given[CONF_GOOGLE]),
	 .want = "a map with project, zone and key_file"},
	{KEY("dns.provider.google.project"), &type_text, ROW_REQUIRED, INTO(dns.provider.project)},
	{KEY("dns.provider.google.zone"), &type_text, ROW_REQUIRED, INTO(dns.provider.zone)},
	CLOUD("google", "key_file"),
	{KEY("dns.provider.azure"), NULL, ROW_MAP | ROW_CHOICE,
	 .given_to = IN(dns.provider.given[CONF_AZURE]),
	 .want = "a map with subscription, resource_group, zone, tenant, client_id and secret_file"},
	{KEY("dns.provider.azure.subscription"), &type_text, ROW_REQUIRED,
	 INTO(dns.provider.subscription)},
	{KEY("dns.provider.azure.resource_group"), &type_text, ROW_REQUIRED,
	 INTO(dns.provider.group)},
	{KEY("dns.provider.azure.zone"), &type_host, ROW_REQUIRED, INTO(dns.provider.zone)},
	{KEY("dns.provider.azure.tenant"), &type_text, ROW_REQUIRED, INTO(dns.provider.tenant)},
	{KEY("dns.provider.azure.client_id"), &type_text, ROW_REQUIRED,
	 INTO(dns.provider.client_id)},
	{KEY("dns.provider.azure.login"), &type_endpoint_url, INTO(dns.provider.login)},
	CLOUD("azure", "secret_file"),

	{KEY("tunnels"), NULL, ROW_LIST | ROW_EMPTY, 0, CONF_MAX_TUNNELS, LIST_OF(tunnels),
	 .count_to = IN(n_tunnels), .want = "a list of maps with name and wireguard or ipsec"},
	{KEY("tunnels[]"), NULL, ROW_MAP, .want = "a map with name and wireguard or ipsec"},
	{KEY("tunnels[].name"), &type_name, ROW_REQUIRED, .to = IN_TUNNEL(name),
	 .at_to = IN_TUNNEL(name_at)},
	{KEY("tunnels[].wireguard"), NULL, ROW_MAP | ROW_CHOICE,
	 .given_to = IN_TUNNEL(wireguard.given),
	 .want = "a map with interface, private_key_file, addresses and peers"},
	{KEY("tunnels[].wireguard.interface"), &type_interface, ROW_REQUIRED,
	 .to = IN_TUNNEL(interface)},
	{KEY("tunnels[].wireguard.private_key_file"), &type_path, ROW_REQUIRED,
	 OF_TUNNEL(wireguard.key_file)},
	{KEY("tunnels[].wireguard.listen_port"), &type_integer, 0, 1, 65535,
	 OF_TUNNEL(wireguard.listen_port)},
	{KEY("tunnels[].wireguard.fwmark"), &type_integer, 0, 1, 0xffffffff,
	 OF_TUNNEL(wireguard.fwmark)},
	TUNNEL_ADDRESSES("tunnels[].wireguard"),
	{KEY("tunnels[].wireguard.peers"), NULL, ROW_LIST | ROW_REQUIRED | ROW_GROWS, 1,
	 CONF_MAX_PEERS, .to = IN_TUNNEL(wireguard.peers), .size = sizeof(struct conf_peer),
	 .count_to = IN_TUNNEL(wireguard.n_peers),
	 .want = "a list of maps with public_key and allowed_ips"},
	{KEY("tunnels[].wireguard.peers[]"), NULL, ROW_MAP,
	 .want = "a map with public_key and allowed_ips"},
	{KEY("tunnels[].wireguard.peers[].public_key"), &type_key, ROW_REQUIRED | ROW_WHOLE},
	{KEY("tunnels[].wireguard.peers[].preshared_key_file"), &type_path, OF_PEER(psk_file)},
	{KEY("tunnels[].wireguard.peers[].endpoint"), &type_peer_endpoint,
	 ROW_NEED_PORT | ROW_WHOLE},
	{KEY("tunnels[].wireguard.peers[].allowed_ips"), NULL,
	 ROW_LIST | ROW_REQUIRED | ROW_GROWS, 1, CONF_MAX_ALLOWED, .to = IN_PEER(allowed),
	 .size = sizeof(struct conf_address), .count_to = IN_PEER(n_allowed),
	 .want = "a list of networks such as [10.10.0.0/16]"},
	{KEY("tunnels[].wireguard.peers[].allowed_ips[]"), &type_cidr},
	{KEY("tunnels[].wireguard.peers[].keepalive"), &type_duration, 0, SECOND, 65535 * SECOND,
	 OF_PEER(keepalive_ms)},

	{KEY("tunnels[].ipsec"), NULL, ROW_MAP | ROW_CHOICE, .at_to = IN_TUNNEL(ipsec_at),
	 .want = "a map with ike or static"},
	{KEY("tunnels[].ipsec.interface"), &type_interface, .to = IN_TUNNEL(interface)},
	{KEY("tunnels[].ipsec.if_id"), &type_integer, 0, 1, 0xffffffff, OF_TUNNEL(if_id)},
	TUNNEL_ADDRESSES("tunnels[].ipsec"),
	{KEY("tunnels[].ipsec.ike"), NULL, ROW_MAP | ROW_CHOICE, .given_to = IN_TUNNEL(ike.given),
	 .want = "a map, {} for a connection that charon has already"},
	{KEY("tunnels[].ipsec.ike.local"), &type_address, ROW_HOST, .to = IN_TUNNEL(ike.local)},
	{KEY("tunnels[].ipsec.ike.remote"), &type_remote, .to = IN_TUNNEL(ike.remote)},
	{KEY("tunnels[].ipsec.ike.local_id"), &type_text, OF_TUNNEL(ike.local_id),
	 .needs = "remote"},
	{KEY("tunnels[].ipsec.ike.remote_id"), &type_text, OF_TUNNEL(ike.remote_id),
	 .needs = "remote"},
	{KEY("tunnels[].ipsec.ike.psk_file"), &type_path, OF_TUNNEL(ike.psk_file),
	 .needs = "remote"},
	{KEY("tunnels[].ipsec.ike.certificate_file"), &type_path, OF_TUNNEL(ike.certificate_file),
	 .needs = "private_key_file"},
	{KEY("tunnels[].ipsec.ike.private_key_file"), &type_path, OF_TUNNEL(ike.private_key_file),
	 .needs = "certificate_file"},
	{KEY("tunnels[].ipsec.ike.ca_file"), &type_path, OF_TUNNEL(ike.ca_file),
	 .needs = "certificate_file"},
	{KEY("tunnels[].ipsec.ike.proposals"), NULL, ROW_LIST, 1, CONF_MAX_PROPOSAL,
	 .to = IN_TUNNEL(ike.proposals), .size = sizeof(struct conf_proposal),
	 .count_to = IN_TUNNEL(ike.n_proposals), .needs = "remote",
	 .want = "a list such as [aes256gcm16-prfsha384-ecp384]"},
	{KEY("tunnels[].ipsec.ike.proposals[]"), &type_proposal},
	{KEY("tunnels[].ipsec.ike.esp_proposals"), NULL, ROW_LIST, 1, CONF_MAX_PROPOSAL,
	 .to = IN_TUNNEL(ike.esp_proposals), .size = sizeof(struct conf_proposal),
	 .count_to = IN_TUNNEL(ike.n_esp_proposals), .needs = "remote",
	 .want = "a list such as [aes256gcm16]"},
	{KEY("tunnels[].ipsec.ike.esp_proposals[]"), &type_proposal},
	{KEY("tunnels[].ipsec.ike.dpd"), &type_duration, 0, SECOND, HOUR, "30s",
	 OF_TUNNEL(ike.dpd_ms)},
	{KEY("tunnels[].ipsec.ike.ike_lifetime"), &type_duration, 0, MINUTE, 7 * DAY,
	 OF_TUNNEL(ike.ike_lifetime_ms)},
	{KEY("tunnels[].ipsec.ike.lifetime"), &type_duration, 0, 10 * SECOND, 7 * DAY,
	 OF_TUNNEL(ike.lifetime_ms)},
	{KEY("tunnels[].ipsec.ike.vici"), &type_path, .def = "/var/run/charon.vici",
	 OF_TUNNEL(ike.vici)},
	{KEY("tunnels[].ipsec.static"), NULL, ROW_MAP | ROW_CHOICE,
	 .given_to = IN_TUNNEL(fixed.given), .at_to = IN_TUNNEL(fixed.at),
	 .want = "a map, {} for the defaults"},
	{KEY("tunnels[].ipsec.static.local"), &type_address, ROW_HOST, .needs = "remote",
	 .to = IN_TUNNEL(fixed.local)},
	{KEY("tunnels[].ipsec.static.remote"), &type_address, ROW_HOST, .needs = "local",
	 .to = IN_TUNNEL(fixed.remote)},
	{KEY("tunnels[].ipsec.static.key_file"), &type_path, OF_TUNNEL(fixed.key_file)},
	{KEY("tunnels[].ipsec.static.cipher"), &type_enum, .names = ciphers, .def = "aes256-cbc",
	 OF_TUNNEL(fixed.cipher),
	 .want = "aes128-cbc, aes192-cbc or aes256-cbc (counter modes are unsafe with fixed keys)"},
	{KEY("tunnels[].ipsec.static.lifetime"), &type_duration, 0, MINUTE, 7 * DAY, "24h",
	 OF_TUNNEL(fixed.lifetime_ms)},
	{KEY("tunnels[].ipsec.static.overlap"), &type_duration, 0, SECOND, HOUR, "1m",
	 OF_TUNNEL(fixed.overlap_ms)},
	{KEY("tunnels[].routes"), NULL, ROW_LIST | ROW_GROWS, 1, CONF_MAX_ROUTES,
	 .to = IN_TUNNEL(routes), .size = sizeof(struct conf_address),
	 .count_to = IN_TUNNEL(n_routes), .want = "a list of networks such as [10.10.0.0/16]"},
	{KEY("tunnels[].routes[]"), &type_cidr},
	{KEY("tunnels[].table"), &type_integer, 0, 1, 0xffffffff, OF_TUNNEL(table)},
	{KEY("tunnels[].metric"), &type_integer, 0, 1, 0x7fffffff, "50", OF_TUNNEL(metric)},
	{KEY("tunnels[].source"), &type_address, ROW_HOST, .to = IN_TUNNEL(source)},
	{KEY("tunnels[].probe"), NULL, ROW_MAP, .given_to = IN_TUNNEL(probe.given),
	 .at_to = IN_TUNNEL(probe.at), .want = "a map such as {address: 10.10.1.10, interval: 1s}"},
	{KEY("tunnels[].probe.address"), &type_address, ROW_REQUIRED | ROW_HOST | ROW_LINK_LOCAL,
	 .to = IN_TUNNEL(probe.address)},
	{KEY("tunnels[].probe.interval"), &type_duration, 0, 100, HOUR, "1s",
	 OF_TUNNEL(probe.interval_ms)},
	{KEY("tunnels[].probe.max_rtt"), &type_duration, 0, 1, MINUTE, "50ms",
	 OF_TUNNEL(probe.max_rtt_ms)},
	{KEY("tunnels[].probe.max_loss"), &type_share, 0, 0, 10000, "2",
	 OF_TUNNEL(probe.max_loss)},
	{KEY("tunnels[].probe.rise"), &type_integer, 0, 1, 100, "2", OF_TUNNEL(probe.rise)},
	{KEY("tunnels[].probe.fall"), &type_integer, 0, 1, 100, "3", OF_TUNNEL(probe.fall)},
	{KEY("tunnels[].probe.hold"), &type_duration, 0, 0, DAY, "60s",
	 OF_TUNNEL(probe.hold_ms)},
	{KEY("tunnels[].probe.mtu"), &type_boolean, .def = "true", OF_TUNNEL(probe.mtu)},
	{KEY("tunnels[].backup"), &type_name, .to = IN_TUNNEL(backup),
	 .at_to = IN_TUNNEL(backup_at)},

	{KEY("ramp"), NULL, ROW_MAP, .at_to = IN(ramp_at),
	 .want = "a map such as {stages: [{weight: 10, hold: 30m}]}"},
	{KEY("ramp.stages"), NULL, ROW_LIST | ROW_REQUIRED, 1, CONF_MAX_STAGES, LIST_OF(stages),
	 .count_to = IN(n_stages), .want = "a list of maps such as {weight: 10, hold: 30m}"},
	{KEY("ramp.stages[]"), NULL, ROW_MAP, .want = "a map such as {weight: 10, hold: 30m}"},
	{KEY("ramp.stages[].weight"), &type_share, ROW_REQUIRED, 1, SHIFT_WEIGHT_MAX,
	 .to = IN_STAGE(weight),
	 .at_to = IN_STAGE(weight_at)},
	{KEY("ramp.stages[].hold"), &type_duration, ROW_REQUIRED, 0, 30 * DAY,
	 .to = IN_STAGE(hold_ms)},
	{KEY("ramp.max_step"), &type_share, 0, 1, SHIFT_WEIGHT_MAX, "25", INTO(rules.max_step)},
	{KEY("ramp.min_healthy"), &type_integer, 0, 1, CONF_MAX_BACKENDS, "1", INTO(rules.min_healthy)},
	{KEY("ramp.window"), &type_duration, 0, 10 * SECOND, HOUR, "60s", INTO(rules.window_ms)},
	{KEY("ramp.min_connections"), &type_integer, 0, 1, 1000000, "200",
	 INTO(rules.min_connections)},
	{KEY("ramp.lease"), &type_duration, 0, SECOND, HOUR, "30s", INTO(rules.lease_ms)},
	{KEY("ramp.on_death"), &type_enum, .names = deaths, .def = "hold", INTO(rules.on_death)},
	{KEY("ramp.tunnel"), &type_name, INTO(rules.tunnel)},
	{KEY("ramp.dns_after"), &type_duration, 0, 0, 30 * DAY, "2h", INTO(rules.dns_after_ms)},

	{KEY("gates"), NULL, ROW_LIST | ROW_EMPTY, 0, CONF_MAX_GATES, LIST_OF(gates),
	 .count_to = IN(n_gates), .given_to = IN(gates_given),
	 .want = "a list of maps with name, source and bounds"},
	{KEY("gates[]"), NULL, ROW_MAP,
	 .want = "a map such as {name: errors, source: kernel.errors, ok: \"< 0.1%\"}"},
	{KEY("gates[].name"), &type_name, ROW_REQUIRED, .to = IN_GATE(name),
	 .at_to = IN_GATE(name_at)},
	{KEY("gates[].source"), &type_source, ROW_MAP | ROW_REQUIRED | ROW_WHOLE, .at_to = IN_GATE(source_at),
	 .want = "a name such as kernel.errors, or a map with json, prometheus or exec"},
	{KEY("gates[].source.json"), &type_url, ROW_CHOICE, OF_GATE(url), .needs = "field",
	 .given_to = IN_GATE(json_given)},
	{KEY("gates[].source.prometheus"), &type_url, ROW_CHOICE, OF_GATE(url), .needs = "query",
	 .given_to = IN_GATE(prometheus_given)},
	{KEY("gates[].source.exec"), NULL, ROW_LIST | ROW_CHOICE, 1, CONF_MAX_ARGS,
	 .to = IN_GATE(argv), .size = sizeof(struct conf_argument), .count_to = IN_GATE(n_argv),
	 .want = "a list such as [/usr/local/bin/lag]: a program and its arguments"},
	{KEY("gates[].source.exec[]"), &type_text, OF_ARGUMENT},
	{KEY("gates[].source.user"), &type_name, OF_GATE(user), .needs = "exec"},
	{KEY("gates[].source.field"), &type_member, OF_GATE(field), .needs = "json"},
	{KEY("gates[].source.query"), &type_text, OF_GATE(query), .needs = "prometheus"},
	{KEY("gates[].source.ca_file"), &type_path, OF_GATE(ca_file), .needs = "json or prometheus"},
	{KEY("gates[].source.interval"), &type_duration, 0, 200, HOUR, "5s", OF_GATE(interval_ms)},
	{KEY("gates[].source.timeout"), &type_duration, 0, 50, MINUTE, "3s", OF_GATE(timeout_ms)},
	{KEY("gates[].source.via"), &type_name, .to = IN_GATE(via), .at_to = IN_GATE(via_at),
	 .needs = "json or prometheus"},
	{KEY("gates[].source.arm"), &type_enum, 0, CONF_ARM_OLD, .names = arms, .to = IN_GATE(arm),
	 .size = sizeof(enum conf_gate_arm)},
	{KEY("gates[].baseline"), &type_integer, 0, 1, 1000000000000, OF_GATE(baseline)},
	BOUND(ok),
	BOUND(pause),
	BOUND(back),
	BOUND(rollback),

	{KEY("hooks"), NULL, ROW_LIST | ROW_EMPTY, 0, CONF_MAX_HOOKS, LIST_OF(hooks),
	 .count_to = IN(n_hooks), .want = "a list of maps with name, when and exec or http"},
	{KEY("hooks[]"), NULL, ROW_MAP,
	 .want = "a map such as {name: read-only, when: before-stage, stage: 5, exec: [/usr/local/bin/read-only]}"},
	{KEY("hooks[].name"), &type_name, ROW_REQUIRED, OF_HOOK(name)},
	{KEY("hooks[].when"), &type_enum, ROW_REQUIRED, .names = whens, OF_HOOK(when)},
	{KEY("hooks[].stage"), &type_integer, 0, 1, CONF_MAX_STAGES, OF_HOOK(stage)},
	{KEY("hooks[].exec"), NULL, ROW_LIST | ROW_CHOICE, 1, CONF_MAX_ARGS,
	 .to = offsetof(struct conf_hook_step, argv), .size = sizeof(struct conf_argument),
	 .count_to = offsetof(struct conf_hook_step, n_argv),
	 .want = "a list such as [/usr/local/bin/smoke]: a program and its arguments"},
	{KEY("hooks[].exec[]"), &type_text, OF_ARGUMENT},
	{KEY("hooks[].http"), &type_url, ROW_CHOICE, OF_HOOK(url)},
	{KEY("hooks[].ca_file"), &type_path, OF_HOOK(ca_file), .needs = "http"},
	{KEY("hooks[].user"), &type_name, OF_HOOK(user), .needs = "exec"},
	{KEY("hooks[].timeout"), &type_duration, 0, 100, HOUR, "30s", OF_HOOK(timeout_ms)},
	{KEY("hooks[].required"), &type_boolean, .def = "true", OF_HOOK(required)},

	{KEY("notify"), NULL, ROW_LIST | ROW_EMPTY, 0, CONF_MAX_NOTIFIES, LIST_OF(notifies),
	 .count_to = IN(n_notifies), .want = "a list of maps with name and slack, statuspage, pagerduty or webhook"},
	{KEY("notify[]"), NULL, ROW_MAP,
	 .want = "a map such as {name: ops, slack: {url_file: /etc/shift/slack}}"},
	{KEY("notify[].name"), &type_name, ROW_REQUIRED, OF_NOTIFY(name)},
	{KEY("notify[].only_alarms"), &type_boolean, .def = "false", OF_NOTIFY(only_alarms)},
	{KEY("notify[].template"), &type_path, OF_NOTIFY(template)},
	{KEY("notify[].ca_file"), &type_path, OF_NOTIFY(ca_file)},
	{KEY("notify[].slack"), NULL, ROW_MAP | ROW_CHOICE, .given_to = offsetof(struct conf_notify, given[CONF_SLACK]),
	 .want = "a map with url_file"},
	{KEY("notify[].slack.url_file"), &type_path, ROW_REQUIRED, OF_NOTIFY(secret_file)},
	{KEY("notify[].statuspage"), NULL, ROW_MAP | ROW_CHOICE, .given_to = offsetof(struct conf_notify, given[CONF_STATUSPAGE]),
	 .want = "a map with page and token_file"},
	{KEY("notify[].statuspage.page"), &type_text, ROW_REQUIRED, OF_NOTIFY(page)},
	{KEY("notify[].statuspage.component"), &type_text, OF_NOTIFY(component)},
	{KEY("notify[].statuspage.token_file"), &type_path, ROW_REQUIRED, OF_NOTIFY(secret_file)},
	{KEY("notify[].statuspage.url"), &type_url, OF_NOTIFY(url)},
	{KEY("notify[].pagerduty"), NULL, ROW_MAP | ROW_CHOICE, .given_to = offsetof(struct conf_notify, given[CONF_PAGERDUTY]),
	 .want = "a map with routing_key_file"},
	{KEY("notify[].pagerduty.routing_key_file"), &type_path, ROW_REQUIRED, OF_NOTIFY(secret_file)},
	{KEY("notify[].pagerduty.url"), &type_url, OF_NOTIFY(url)},
	{KEY("notify[].webhook"), NULL, ROW_MAP | ROW_CHOICE, .given_to = offsetof(struct conf_notify, given[CONF_WEBHOOK]),
	 .want = "a map with url"},
	{KEY("notify[].webhook.url"), &type_url, ROW_REQUIRED, OF_NOTIFY(url)},
	{KEY("notify[].webhook.token_file"), &type_path, OF_NOTIFY(secret_file)},

	{KEY("metrics"), NULL, ROW_MAP, .given_to = IN(metrics.given),
	 .want = "a map such as {listen: \"127.0.0.1:9750\"}"},
	{KEY("metrics.listen"), &type_tcp, ROW_NEED_PORT, .def = "127.0.0.1:9750", INTO(metrics.listen)},
	{KEY("metrics.hosts"), NULL, ROW_LIST | ROW_EMPTY, 0, CONF_MAX_HOSTS, LIST_OF(metrics.hosts),
	 .count_to = IN(metrics.n_hosts), .want = "a list of names such as [shift.example]"},
	{KEY("metrics.hosts[]"), &type_host, .to = offsetof(struct conf_host, name)},
	{KEY("metrics.token_file"), &type_path, INTO(metrics.token_file)},
	{KEY("metrics.read_group"), &type_name, INTO(metrics.read_group)},
	{KEY("metrics.write_group"), &type_name, INTO(metrics.write_group)},

	{KEY("flow_log"), NULL, ROW_MAP, .given_to = IN(flow_log.given),
	 .want = "a map such as {file: /var/log/shift/flows.jsonl}"},
	{KEY("flow_log.file"), &type_path, ROW_REQUIRED, INTO(flow_log.file)},
	{KEY("flow_log.rotate"), &type_size, 0, 64 * 1024, 1ull << 40, "100M", INTO(flow_log.rotate)},
	{KEY("flow_log.keep"), &type_integer, 0, 0, 1000, "10", .unit = "files", INTO(flow_log.keep)},
	{KEY("flow_log.interval"), &type_duration, 0, 100, MINUTE, "1s", INTO(flow_log.interval_ms)},
	{0},
};
/* clang-format on */
