/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * firewall.h - what this namespace's packet filters do to arriving packets
 *
 * nftables (and iptables-nft, which is the same in the kernel) by its own netlink; of the old
 * iptables the tables' names and the number of their rules; IPVS by its list. Nothing is loaded
 * into the kernel by asking: what is not there is not asked.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FIREWALL_PORTS 8

/* Where a base chain sits, of those that see packets which arrive. */
enum firewall_hook {
	FIREWALL_PREROUTING,
	FIREWALL_INPUT,
	FIREWALL_FORWARD,
	FIREWALL_INGRESS,
	FIREWALL_HOOKS
};

struct firewall_chain {
	uint8_t family; /* NFPROTO_IPV4, _IPV6, _INET or _NETDEV */
	enum firewall_hook hook;
	bool nat;	       /* of type nat */
	bool drops;	       /* its policy is drop */
	int priority;	       /* lower ones come first */
	unsigned int rules;    /* its own, and those of the chains that it leads to */
	unsigned int dropping; /* of these, those that drop or reject */
	unsigned int dnat;     /* of these, those that change the destination */
	char table[64], name[64];
};

/* A rule that changes the destination. */
struct firewall_dnat {
	uint8_t family;
	char table[64], chain[64];
	uint16_t port[FIREWALL_PORTS]; /* the destination ports it is for, host order */
	unsigned int n_ports;	       /* 0: any, or not to be told */
};

struct firewall_table { /* of iptables-legacy */
	bool v6;
	char name[32];
	unsigned int rules; /* without the policies; 0: none, or not to be told */
};

struct firewall_virtual { /* a service of IPVS */
	uint8_t protocol; /* IPPROTO_…, 0: by firewall mark */
	uint16_t port;	  /* host order */
	uint32_t ip[4];
};

struct firewall {
	int err; /* of asking nf_tables; 0 also where it is not loaded */
	struct firewall_chain *chains;
	unsigned int n_chains;
	struct firewall_dnat *dnat;
	unsigned int n_dnat;
	struct firewall_table legacy[16];
	unsigned int n_legacy;
	struct firewall_virtual *virtuals;
	unsigned int n_virtuals;
};

/* 0 and *ret, for firewall_free; -ENOMEM. */
int firewall_read(struct firewall *ret);
void firewall_free(struct firewall *f);

/* "prerouting", …. */
const char *firewall_hook_name(enum firewall_hook hook);
/* "ip", "ip6", "inet", "netdev". */
const char *firewall_family_name(uint8_t family);

/* The part of firewall_read about nf_tables (firewall_nft.c). 0, or −errno. */
int firewall_read_nft(struct firewall *f);
/* Room for one more element of an array of n, zeroed; NULL without memory. */
void *firewall_one_more(void *array, unsigned int *n, unsigned int size);
