/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Route 53's answers, its credentials file and its names: whatever comes is an error or a value,
 * and a page that is read makes a batch that is XML.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/route53.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An error around it is only read when all of it is XML. */
static void check_xml(const char *inner)
{
	struct route53_error e;
	char *xml = NULL;

	if (asprintf(&xml, "<ErrorResponse><Error><Code>X</Code></Error>%s</ErrorResponse>",
		     inner) < 0)
		return;
	route53_read_error(xml, strlen(xml), &e);
	if (strcmp(e.code, "X") != 0)
		abort();
	free(xml);
}

static void page(const char *xml, size_t size)
{
	static struct dns_rrset r;
	struct route53_page p = {.name = "www.example.com.", .type = DNS_A};
	struct route53_sets sets;
	char why[DNS_WHY];

	if (!route53_read_page(xml, size, &p) &&
	    !route53_to_rrset(&p.sets, p.name, p.type, &r, why)) {
		char *body = route53_batch(p.name, p.type, &p.sets, &p.sets);

		check_xml(strchr(body, '\n') + 1);
		free(body);
		if (!route53_of_rrset(&r, &sets, why))
			route53_sets_free(&sets);
	}
	route53_sets_free(&p.sets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), name[DNS_NAME], out[ROUTE53_NAME], why[DNS_WHY];
	struct route53_credentials c;
	struct route53_error e;
	struct route53_info info;

	memcpy(text, data, size);
	text[size] = '\0';
	page(text, size);
	route53_read_error(text, size, &e);
	route53_read_info(text, size, &info);
	if (!route53_credentials_parse(text, &c, why))
		route53_credentials_forget(&c);
	if (!route53_name_in(text, name)) {
		char again[DNS_NAME];

		if (route53_name_in(route53_name_out(name, out), again) || strcmp(name, again) != 0)
			abort();
	}
	free(text);
	return 0;
}
