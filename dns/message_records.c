/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * message_records.c - a section's records with their data as text
 *
 * ldns writes the data of the types listed here, each of which the walk has checked to its last
 * octet; all others are written as RFC 3597 has it, so that no type that nobody thought of reaches
 * a library that asserts.
 */
#include <errno.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/message_inner.h"

#define CLASS_IN 1

static bool known(uint16_t type)
{
	static const uint16_t types[] = {DNS_A, DNS_NS,	 DNS_CNAME, DNS_SOA,   12,
					 15,	DNS_TXT, DNS_AAAA,  33,	       39,
					 47,	DNS_DS,	 DNS_RRSIG, DNS_DNSKEY};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (types[i] == type)
			return true;
	return false;
}

/* "\# 4 0a000001". NULL: no memory. */
static char *unknown_text(const uint8_t *data, size_t size)
{
	size_t room = 2 * size + 16;
	char *text = malloc(room);
	int n;

	if (!text)
		return NULL;
	n = snprintf(text, room, "\\# %zu%s", size, size ? " " : "");
	for (size_t i = 0; i < size; i++)
		n += snprintf(text + n, room - (size_t)n, "%02x", data[i]);
	return text;
}

/* NULL: no memory, or ldns will not. */
static char *ldns_text(const uint8_t *message, size_t size, const struct dns_raw *r)
{
	ldns_buffer *b = ldns_buffer_new(512);
	ldns_rr *rr = NULL;
	size_t at = r->at;
	char *text = NULL;
	bool good;

	if (!b)
		return NULL;
	good = ldns_wire2rr(&rr, message, size, &at, LDNS_SECTION_ANSWER) == LDNS_STATUS_OK;
	for (size_t i = 0; good && i < ldns_rr_rd_count(rr); i++) {
		ldns_rdf *d = ldns_rr_rdf(rr, i);

		if (ldns_rdf_get_type(d) == LDNS_RDF_TYPE_DNAME)
			ldns_dname2canonical(d);
		if (i)
			ldns_buffer_printf(b, " ");
		good = ldns_rdf2buffer_str(b, d) == LDNS_STATUS_OK;
	}
	if (good && ldns_buffer_status_ok(b))
		text = ldns_buffer_export2str(b);
	ldns_rr_free(rr);
	ldns_buffer_free(b);
	return text;
}

static int fill(struct dns_record *to, const uint8_t *answer, size_t size, const struct dns_raw *r)
{
	uint8_t owner[DNS_WIRE];

	to->text = known(r->type) ? ldns_text(answer, size, r)
				  : unknown_text(answer + r->data, r->data_size);
	if (!to->text)
		return known(r->type) ? -EBADMSG : -ENOMEM;
	dns_wire_read(answer, size, r->at, owner);
	dns_text_of(owner, to->owner);
	to->type = r->type;
	to->ttl = r->ttl;
	return 0;
}

static bool wanted(const struct dns_raw *r, enum dns_section section, uint16_t type)
{
	return r->section == section && r->class == CLASS_IN && r->type != DNS_OPT &&
	       (type == DNS_ANY || r->type == type);
}

int dns_records(const uint8_t *answer, size_t size, enum dns_section section, uint16_t type,
		struct dns_record **ret)
{
	struct dns_record *list = NULL;
	unsigned int count = 0;
	struct dns_walk w;
	struct dns_raw r;
	int n = 0, err = dns_message_sound(answer, size);

	if (err)
		return err;
	dns_walk_begin(&w, answer, size);
	while (dns_walk_next(&w, &r) > 0)
		count += wanted(&r, section, type);
	list = calloc(count ? count : 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	dns_walk_begin(&w, answer, size);
	while (!err && dns_walk_next(&w, &r) > 0) {
		if (!wanted(&r, section, type))
			continue;
		err = fill(&list[n], answer, size, &r);
		n += !err;
	}
	if (err) {
		dns_records_free(list, n);
		return err;
	}
	*ret = list;
	return n;
}

void dns_records_free(struct dns_record *r, int n)
{
	for (int i = 0; i < n; i++)
		free(r[i].text);
	free(r);
}
