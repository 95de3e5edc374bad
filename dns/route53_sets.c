/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * route53_sets.c - records as members and as Route 53's record sets, names in both spellings, and
 * the batch that swaps one for the other (pure)
 */
#include "dns/route53.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dns/value.h"

/* ---- lists ---- */

int route53_sets_add(struct route53_sets *s, struct route53_set **ret)
{
	struct route53_set *set = realloc(s->set, (s->n + 1) * sizeof(*set));

	if (!set)
		return -ENOMEM;
	s->set = set;
	*ret = &set[s->n++];
	memset(*ret, 0, sizeof(**ret));
	return 0;
}

void route53_sets_free(struct route53_sets *s)
{
	for (unsigned int i = 0; i < s->n; i++)
		for (unsigned int k = 0; k < s->set[i].n; k++)
			free(s->set[i].value[k]);
	free(s->set);
	*s = (struct route53_sets){0};
}

/* ---- names ---- */

int route53_name_in(const char *text, char ret[DNS_NAME])
{
	char decimal[DNS_NAME];
	size_t n = 0;

	for (; *text; text++) {
		unsigned int octet = 0, digits = 0;

		if (n + 5 > sizeof(decimal))
			return -EINVAL;
		if (*text != '\\') {
			decimal[n++] = *text;
			continue;
		}
		while (digits < 3 && text[1] >= '0' && text[1] <= '7') {
			octet = octet * 8 + (unsigned int)(*++text - '0');
			digits++;
		}
		if (digits != 3 || octet > 255)
			return -EINVAL;
		n += (size_t)snprintf(decimal + n, sizeof(decimal) - n, "\\%03u", octet);
	}
	decimal[n] = '\0';
	return dns_name(decimal, ret);
}

static bool plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

const char *route53_name_out(const char *name, char ret[ROUTE53_NAME])
{
	size_t n = 0;

	for (; *name && n + 5 < ROUTE53_NAME; name++) {
		unsigned int octet = (unsigned char)*name;

		if (plain(*name) || *name == '.') {
			ret[n++] = *name;
			continue;
		}
		if (*name == '\\' && name[1] >= '0' && name[1] <= '9' && name[2] && name[3]) {
			octet = (unsigned int)((name[1] - '0') * 100 + (name[2] - '0') * 10 +
					       (name[3] - '0'));
			name += 3;
		} else if (*name == '\\' && name[1]) {
			octet = (unsigned char)*++name;
		}
		n += (size_t)snprintf(ret + n, ROUTE53_NAME - n, "\\%03o", octet & 0xff);
	}
	ret[n] = '\0';
	return ret;
}

/* ---- sets as members ---- */

static int refuse(const struct route53_set *s, uint32_t ttl, char *why)
{
	if (s->foreign[0]) {
		snprintf(why, DNS_WHY,
			 "Route 53: a record set has %s; only plain and weighted ones are changed",
			 s->foreign);
		return -EOPNOTSUPP;
	}
	if (s->ttl != ttl) {
		snprintf(why, DNS_WHY, "Route 53: its weighted sets have different TTLs: %u and %u",
			 ttl, s->ttl);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int add_members(const struct route53_set *s, struct dns_rrset *r, char *why)
{
	for (unsigned int i = 0; i < s->n; i++) {
		struct dns_member *m;
		int err = dns_value_add(r, r->type, s->value[i]);

		if (err == -ENOSPC) {
			snprintf(why, DNS_WHY, "Route 53: more than %u records", DNS_MAX_MEMBERS);
			return -E2BIG;
		}
		if (err) {
			snprintf(why, DNS_WHY, "Route 53: a value that is none: %.200s",
				 s->value[i]);
			return -EBADMSG;
		}
		m = &r->member[r->n - 1];
		m->weighted = s->weighted;
		m->weight = s->weight;
		snprintf(m->set_id, sizeof(m->set_id), "%s", s->set_id);
		snprintf(m->health_check, sizeof(m->health_check), "%s", s->health_check);
	}
	return 0;
}

int route53_to_rrset(const struct route53_sets *s, const char *name, uint16_t type,
		     struct dns_rrset *ret, char *why)
{
	int err = 0;

	dns_value_start(ret, name, type);
	ret->ttl = s->n ? s->set[0].ttl : 0;
	for (unsigned int i = 0; i < s->n && !err; i++) {
		err = refuse(&s->set[i], ret->ttl, why);
		if (!err)
			err = add_members(&s->set[i], ret, why);
	}
	dns_rrset_sort(ret);
	return err;
}

/* ---- members as sets ---- */

/* FNV-1a: only has to be the same tomorrow. */
static uint64_t hash(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ull;
	return h;
}

void route53_name_members(struct dns_rrset *r)
{
	for (unsigned int i = 0; i < r->n; i++) {
		struct dns_member *m = &r->member[i];

		if (!m->weighted) {
			m->set_id[0] = '\0';
			m->weight = 0;
		}
		if (!m->weighted || m->set_id[0])
			continue;
		if ((size_t)snprintf(m->set_id, sizeof(m->set_id), "shift-%s", m->data) >=
		    sizeof(m->set_id))
			snprintf(m->set_id, sizeof(m->set_id), "shift-%016llx",
				 (unsigned long long)hash(m->data));
	}
	dns_rrset_sort(r);
}

static int check(const struct dns_rrset *r, char *why)
{
	const char *wrong = NULL;

	if (!dns_value_known(r->type))
		wrong = "this type of record is none that is changed";
	for (unsigned int i = 0; i < r->n && !wrong; i++) {
		if (r->member[i].weighted != r->member[0].weighted)
			wrong = "some records have a weight and some have none";
		else if (r->member[i].weighted && r->member[i].weight > ROUTE53_WEIGHT)
			wrong = "a weight is above 255";
	}
	if (wrong)
		snprintf(why, DNS_WHY, "Route 53: %s", wrong);
	return wrong ? -EINVAL : 0;
}

/* The set that the member belongs to, made if it is not there. */
static struct route53_set *set_of(struct route53_sets *s, const struct dns_rrset *r,
				  const struct dns_member *m)
{
	struct route53_set *set;

	for (unsigned int i = 0; i < s->n; i++)
		if (!strcmp(s->set[i].set_id, m->set_id) && s->set[i].weight == m->weight)
			return &s->set[i];
	if (route53_sets_add(s, &set))
		return NULL;
	set->ttl = r->ttl;
	set->weighted = m->weighted;
	set->weight = m->weighted ? m->weight : 0;
	snprintf(set->set_id, sizeof(set->set_id), "%s", m->weighted ? m->set_id : "");
	snprintf(set->health_check, sizeof(set->health_check), "%s", m->health_check);
	return set;
}

int route53_of_rrset(const struct dns_rrset *r, struct route53_sets *ret, char *why)
{
	struct dns_rrset *named = malloc(sizeof(*named));
	int err = named ? check(r, why) : -ENOMEM;

	*ret = (struct route53_sets){0};
	if (!err) {
		*named = *r;
		route53_name_members(named);
		for (unsigned int i = 0; i < named->n && !err; i++) {
			struct route53_set *set = set_of(ret, named, &named->member[i]);
			char *value = set ? strdup(named->member[i].data) : NULL;

			if (value)
				set->value[set->n++] = value;
			else
				err = -ENOMEM;
		}
	}
	if (err == -ENOMEM)
		snprintf(why, DNS_WHY, "no memory");
	if (err)
		route53_sets_free(ret);
	free(named);
	return err;
}

/* ---- the batch ---- */

static void put_text(FILE *to, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", to);
			break;
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		default:
			if ((unsigned char)*text < ' ')
				fprintf(to, "&#%u;", (unsigned int)*text);
			else
				fputc(*text, to);
		}
	}
}

static void put(FILE *to, const char *element, const char *text)
{
	fprintf(to, "<%s>", element);
	put_text(to, text);
	fprintf(to, "</%s>", element);
}

/* The order of the elements is prescribed. */
static void put_change(FILE *to, const char *action, const char *name, uint16_t type,
		       const struct route53_set *s)
{
	char type_text[16];

	fprintf(to, "<Change><Action>%s</Action>\n<ResourceRecordSet>", action);
	put(to, "Name", name);
	put(to, "Type", dns_type_text(type, type_text));
	if (s->weighted) {
		put(to, "SetIdentifier", s->set_id);
		fprintf(to, "<Weight>%u</Weight>", s->weight);
	}
	fprintf(to, "<TTL>%u</TTL>\n<ResourceRecords>", s->ttl);
	for (unsigned int i = 0; i < s->n; i++) {
		fputs("<ResourceRecord>", to);
		put(to, "Value", s->value[i]);
		fputs("</ResourceRecord>", to);
	}
	fputs("</ResourceRecords>", to);
	if (s->health_check[0])
		put(to, "HealthCheckId", s->health_check);
	fputs("</ResourceRecordSet></Change>\n", to);
}

char *route53_batch(const char *name, uint16_t type, const struct route53_sets *old,
		    const struct route53_sets *fresh)
{
	char out[ROUTE53_NAME], *ret = NULL;
	size_t size;
	FILE *to = open_memstream(&ret, &size);
	bool bad;

	if (!to)
		return NULL;
	route53_name_out(name, out);
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	      "<ChangeResourceRecordSetsRequest "
	      "xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\n"
	      "<ChangeBatch><Comment>shiftctl</Comment><Changes>\n",
	      to);
	for (unsigned int i = 0; i < old->n; i++)
		put_change(to, "DELETE", out, type, &old->set[i]);
	for (unsigned int i = 0; i < fresh->n; i++)
		put_change(to, "CREATE", out, type, &fresh->set[i]);
	fputs("</Changes></ChangeBatch>\n</ChangeResourceRecordSetsRequest>\n", to);
	bad = ferror(to);
	bad |= fclose(to) != 0;
	if (bad) {
		free(ret);
		return NULL;
	}
	return ret;
}
