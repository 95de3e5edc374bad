/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_dns.c - answers of whatever bytes, and all that reads them
 *
 *   clang -fsanitize=fuzzer,address,undefined -g -O1 -std=gnu11 -D_GNU_SOURCE -I. \
 *           tests/fuzz/fuzz_dns.c dns/message*.c -lldns
 *   ./a.out -max_len=4096 CORPUS
 *
 * No crash, and no assertion of ldns; every text that comes out ends and is a name where it says
 * so; what is read and what its records say is the same; and ldns, where it may look at all, finds
 * the same addresses.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/message.h"
#include "dns/message_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int good)
{
	if (!good)
		abort();
}

static void check_name(const char *name)
{
	char again[DNS_NAME];

	must(strnlen(name, DNS_NAME) < DNS_NAME);
	must(!dns_name(name, again) && !strcmp(name, again));
}

static void check_text(const char *text, size_t room)
{
	size_t n = strnlen(text, room);

	must(n < room);
	for (size_t i = 0; i < n; i++)
		must(text[i] >= 0x20 && text[i] < 0x7f);
}

/* Every address is that of a record at the chain's end, and every such record's is there. */
static void check_addresses(const struct dns_answer *a, const uint8_t *data, size_t size,
			    uint16_t type)
{
	struct dns_record *r;
	unsigned int found = 0;
	uint8_t bytes[16];
	int n = dns_records(data, size, DNS_IN_ANSWER, type, &r);

	must(n >= 0);
	for (int i = 0; i < n; i++) {
		bool there = false;

		check_name(r[i].owner);
		must(inet_pton(type == DNS_A ? AF_INET : AF_INET6, r[i].text, bytes) == 1);
		if (strcmp(r[i].owner, a->target) != 0)
			continue;
		for (unsigned int k = 0; k < a->n_addresses && !there; k++)
			there = !memcmp(type == DNS_A ? (const void *)&a->address[k].ip[3]
						      : a->address[k].ip,
					bytes, type == DNS_A ? 4 : 16);
		must(there || a->left_out);
		found++;
	}
	must(found >= a->n_addresses);
	dns_records_free(r, n);
}

static void check_answer(const struct dns_answer *a)
{
	check_name(a->target);
	if (a->has_soa)
		check_name(a->soa_owner);
	check_text(a->nsid, sizeof(a->nsid));
	check_text(a->ede_text, sizeof(a->ede_text));
	must(a->n_addresses <= DNS_MAX_ADDRESSES && a->ttl <= DNS_TTL_MAX &&
	     a->negative_ttl <= DNS_TTL_MAX);
	for (unsigned int i = 0; i < a->n_addresses; i++)
		must(a->address[i].ttl <= DNS_TTL_MAX && a->address[i].ttl >= a->ttl);
	for (unsigned int i = 1; i < a->n_addresses; i++)
		must(memcmp(a->address[i - 1].ip, a->address[i].ip, 16) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_question q = {.name = "www.example.com."};
	static const uint16_t types[] = {DNS_A, DNS_AAAA, DNS_SOA, DNS_CNAME};
	struct dns_answer a;
	struct dns_record *r;
	uint8_t query[DNS_QUERY];
	char name[DNS_NAME];
	int n = dns_query(&q, 0, query, sizeof(query));

	if (size >= 2)
		memcpy(query, data, 2);
	dns_matches(query, (size_t)n, data, size);
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		q.type = types[i];
		if (dns_read(data, size, &q, &a))
			continue;
		check_answer(&a);
		if (i < 2)
			check_addresses(&a, data, size, types[i]);
	}
	for (enum dns_section s = DNS_IN_ANSWER; s <= DNS_IN_ADDITIONAL; s++) {
		n = dns_records(data, size, s, DNS_ANY, &r);
		if (n < 0)
			continue;
		for (int i = 0; i < n; i++) {
			check_name(r[i].owner);
			must(r[i].text && r[i].ttl <= DNS_TTL_MAX);
		}
		dns_records_free(r, n);
	}
	/* and as the text of a name */
	if (size && size < sizeof(name)) {
		char text[DNS_NAME];

		memcpy(text, data, size);
		text[size] = '\0';
		if (!dns_name(text, name))
			check_name(name);
	}
	return 0;
}
