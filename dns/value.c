/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * value.c - records made canonical, and requests shown
 */
#include "dns/value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

bool dns_value_known(uint16_t type)
{
	return type == DNS_A || type == DNS_AAAA || type == DNS_CNAME;
}

int dns_value_canonical(uint16_t type, const char *data, char *ret, size_t size)
{
	char name[DNS_NAME], text[INET6_ADDRSTRLEN];
	int family = type == DNS_A ? AF_INET : AF_INET6;
	struct in6_addr ip;

	if (!dns_value_known(type))
		return -EINVAL;
	if (type == DNS_CNAME) {
		if (dns_name(data, name) || strlen(name) >= size)
			return -EINVAL;
		memcpy(ret, name, strlen(name) + 1);
		return 0;
	}
	if (inet_pton(family, data, &ip) != 1)
		return -EINVAL;
	snprintf(ret, size, "%s", inet_ntop(family, &ip, text, sizeof(text)));
	return 0;
}

int dns_value_add(struct dns_rrset *r, uint16_t type, const char *data)
{
	struct dns_member m = {0};
	int err = dns_value_canonical(type, data, m.data, sizeof(m.data));

	if (err)
		return err;
	if (r->n == DNS_MAX_MEMBERS)
		return -ENOSPC;
	r->member[r->n++] = m;
	return 0;
}

void dns_value_start(struct dns_rrset *r, const char *name, uint16_t type)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->type = type;
}

void dns_value_show_as(FILE *to, const char *method, const char *url, const char *secret,
		       const char *const *headers, const char *body)
{
	const char *host = strstr(url, "://");
	size_t n;

	host = host ? host + 3 : url;
	n = strcspn(host, "/");
	fprintf(to, "%s %s HTTP/1.1\n", method, host[n] ? host + n : "/");
	fprintf(to, "Host: %.*s\n%s\n", (int)n, host, secret);
	for (unsigned int i = 0; headers[i]; i++)
		fprintf(to, "%s\n", headers[i]);
	if (body)
		fprintf(to, "Content-Length: %zu\n", strlen(body));
	fprintf(to, "\n%s%s", body ? body : "", body ? "\n" : "");
}

void dns_value_show(FILE *to, const char *method, const char *url, const char *const *headers,
		    const char *body)
{
	dns_value_show_as(to, method, url, "Authorization: Bearer ***", headers, body);
}
