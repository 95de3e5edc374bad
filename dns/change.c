/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * change.c - records changed and changed back
 *
 * Owns the one primitive, apply(old → new), whoever the provider is, and what is decided around it
 * (change_plan.c). It promises that nothing is changed unless what is there is `old`: where the
 * provider compares by itself (`atomic`), at the very moment; elsewhere by a look just before, so
 * that two writers within one round trip can still cross, which the read-back then tells.
 *
 * How it fails: each outcome of dns_changes says whether something was changed. An answer that was
 * lost is resolved by reading; only when that fails, too, it is DNS_UNCERTAIN. Nothing is ever sent
 * a second time. What must outlive the process, the old set before all, is on disk before the first
 * byte is sent (snapshot.c).
 *
 * Follows RFC 2136 2.4 (prerequisites) and its likenesses at the clouds. Weakness: A and AAAA are
 * two changes, since no provider but two takes both in one; between them a client can get the new
 * address of one family and the old one of the other.
 */
#include "dns/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/conf/config.h"

const char *const dns_changes[] = {
	[DNS_CHANGED] = "changed",     [DNS_STALE] = "stale",	    [DNS_DENIED] = "denied",
	[DNS_UNREACHED] = "unreached", [DNS_REJECTED] = "rejected", [DNS_UNCERTAIN] = "uncertain",
	[DNS_HALF] = "half changed",
};

struct dns_provider {
	const struct dns_provider_class *class;
	void *x;
	char name[DNS_NAME];
};

static const struct dns_provider_class *class_of(enum conf_provider_kind kind)
{
	switch (kind) {
	case CONF_RFC2136:
		return &dns_rfc2136;
	case CONF_ROUTE53:
		return &dns_route53;
	case CONF_POWERDNS:
		return &dns_powerdns;
	case CONF_CLOUDFLARE:
		return &dns_cloudflare;
	case CONF_GOOGLE:
		return &dns_google;
	case CONF_AZURE:
		return &dns_azure;
	default:
		return NULL;
	}
}

int dns_provider_open(const struct config *c, struct dns_provider **ret, char *why)
{
	const struct dns_provider_class *class = class_of(c->dns.provider.kind);
	struct dns_provider *p;
	int err;

	why[0] = '\0';
	if (!class) {
		snprintf(why, DNS_WHY, "the configuration names no dns.provider");
		return -ENOENT;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->class = class;
	err = dns_name(c->dns.name, p->name);
	if (err)
		snprintf(why, DNS_WHY, "dns.name: '%.200s' is no name", c->dns.name);
	else
		err = class->open(&c->dns.provider, p->name, &p->x, why);
	if (err) {
		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void dns_provider_close(struct dns_provider *p)
{
	if (!p)
		return;
	p->class->close(p->x);
	free(p);
}

const struct dns_provider_class *dns_provider_of(const struct dns_provider *p)
{
	return p->class;
}

enum dns_changed dns_provider_read(struct dns_provider *p, uint16_t type, struct dns_rrset *ret,
				   char *why)
{
	why[0] = '\0';
	return p->class->read(p->x, p->name, type, ret, why);
}

void dns_provider_show(struct dns_provider *p, const struct dns_rrset *old,
		       const struct dns_rrset *fresh, FILE *to)
{
	p->class->show(p->x, old, fresh, to);
}

enum dns_changed dns_provider_apply(struct dns_provider *p, const struct dns_rrset *old,
				    const struct dns_rrset *fresh, char id[128],
				    struct dns_rrset *seen, char *why)
{
	why[0] = '\0';
	id[0] = '\0';
	return p->class->apply(p->x, old, fresh, id, seen, why);
}

int dns_provider_done(struct dns_provider *p, const char *id, char *why)
{
	why[0] = '\0';
	return p->class->done && id[0] ? p->class->done(p->x, id, why) : 0;
}

int dns_provider_purge(struct dns_provider *p, char *why)
{
	why[0] = '\0';
	return p->class->purge ? p->class->purge(p->x, why) : 0;
}
