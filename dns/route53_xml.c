/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * route53_xml.c - what Route 53 answers, read with expat
 *
 * Elements are told apart by their path from the root, so that a Name within something that we do
 * not know is not taken for a record's. A document type is refused, and with it every entity but
 * XML's own five; depth, text and the number of records have limits. Each of the two shapes of
 * errors is understood, for Route 53 uses both.
 */
#include "dns/route53.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_DEPTH 16
#define MAX_PATH  512
#define MAX_TEXT  4100 /* a value has at most 4000 characters */

struct reading {
	XML_Parser parser;
	char path[MAX_PATH]; /* "A/B/C" */
	unsigned int depth;
	char text[MAX_TEXT];
	size_t n;
	bool too_long; /* the text */
	bool whole;    /* the answer that is wanted came to its end */
	int err;
	void (*begin)(struct reading *r);
	int (*end)(struct reading *r);
	void *arg;
	/* of a page */
	struct route53_set set;
	char name[ROUTE53_NAME], type[16];
};

static void fail(struct reading *r, int err)
{
	if (!r->err)
		r->err = err;
	XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = arg;
	size_t at = strlen(r->path);

	(void)attributes;
	r->n = 0;
	r->too_long = false;
	if (++r->depth > MAX_DEPTH || at + strlen(name) + 2 > sizeof(r->path)) {
		fail(r, -EBADMSG);
		return;
	}
	snprintf(r->path + at, sizeof(r->path) - at, "%s%s", at ? "/" : "", name);
	if (r->begin)
		r->begin(r);
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int n)
{
	struct reading *r = arg;

	if (r->n + (size_t)n >= sizeof(r->text)) {
		r->too_long = true;
		return;
	}
	memcpy(r->text + r->n, text, (size_t)n);
	r->n += (size_t)n;
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct reading *r = arg;
	char *slash;
	int err;

	(void)name;
	r->text[r->n] = '\0';
	err = r->end(r);
	if (err)
		fail(r, err);
	slash = strrchr(r->path, '/');
	if (slash)
		*slash = '\0';
	else
		r->path[0] = '\0';
	r->depth--;
	r->n = 0;
	r->too_long = false;
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
			       const XML_Char *public, int internal)
{
	(void)name, (void)system, (void)public, (void)internal;
	fail(arg, -EBADMSG);
}

static int read_xml(struct reading *r, const char *xml, size_t size)
{
	enum XML_Status status;

	if (size > INT32_MAX)
		return -E2BIG;
	r->parser = XML_ParserCreate("UTF-8");
	if (!r->parser)
		return -ENOMEM;
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	status = XML_Parse(r->parser, xml, (int)size, 1);
	XML_ParserFree(r->parser);
	return r->err ? r->err : status == XML_STATUS_OK ? 0 : -EBADMSG;
}

static int copy(const struct reading *r, char *ret, size_t size)
{
	if (r->too_long || r->n >= size)
		return -EBADMSG;
	memcpy(ret, r->text, r->n + 1);
	return 0;
}

static int number(const struct reading *r, unsigned long max, unsigned long *ret)
{
	char *end;

	if (r->too_long || r->text[0] < '0' || r->text[0] > '9')
		return -EBADMSG;
	errno = 0;
	*ret = strtoul(r->text, &end, 10);
	return errno || *end || *ret > max ? -EBADMSG : 0;
}

/* ---- a page of record sets ---- */

#define LIST "ListResourceRecordSetsResponse"
#define SET  LIST "/ResourceRecordSets/ResourceRecordSet"

/* What makes a set something else than addresses with weights. */
static const char *const foreign[] = {
	"Region",
	"GeoLocation",
	"Failover",
	"MultiValueAnswer",
	"AliasTarget",
	"TrafficPolicyInstanceId",
	"CidrRoutingConfig",
	"GeoProximityLocation",
};

static void drop(struct route53_set *s)
{
	for (unsigned int i = 0; i < s->n; i++)
		free(s->value[i]);
	memset(s, 0, sizeof(*s));
}

static void page_begin(struct reading *r)
{
	const char *last = strrchr(r->path, '/');

	if (!strcmp(r->path, SET)) {
		drop(&r->set);
		r->name[0] = r->type[0] = '\0';
		return;
	}
	if (!last || (size_t)(last - r->path) != strlen(SET) ||
	    strncmp(r->path, SET, strlen(SET)) != 0)
		return;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++)
		if (!strcmp(last + 1, foreign[i]))
			snprintf(r->set.foreign, sizeof(r->set.foreign), "%s", foreign[i]);
}

static int add_value(struct reading *r)
{
	struct route53_set *s = &r->set;

	if (r->too_long)
		return -EBADMSG;
	if (s->n == DNS_MAX_MEMBERS) { /* one of another name may have them */
		snprintf(s->foreign, sizeof(s->foreign), "more than %u values", DNS_MAX_MEMBERS);
		return 0;
	}
	s->value[s->n] = strdup(r->text);
	if (!s->value[s->n])
		return -ENOMEM;
	s->n++;
	return 0;
}

static int end_set(struct reading *r)
{
	struct route53_page *p = r->arg;
	struct route53_set *place;
	char name[DNS_NAME], type[16];

	if (!r->type[0] || !r->name[0])
		return -EBADMSG;
	/* Names that are none of ours need not be names to us. */
	if (route53_name_in(r->name, name) || strcmp(name, p->name) != 0 ||
	    strcmp(r->type, dns_type_text(p->type, type)) != 0) {
		p->past = true;
		drop(&r->set);
		return 0;
	}
	if (p->sets.n == DNS_MAX_MEMBERS)
		return -E2BIG;
	if (route53_sets_add(&p->sets, &place))
		return -ENOMEM;
	*place = r->set;
	memset(&r->set, 0, sizeof(r->set));
	return 0;
}

static int page_end(struct reading *r)
{
	struct route53_page *p = r->arg;
	const char *path = r->path;
	unsigned long n = 0;
	int err = 0;

	if (!strcmp(path, SET))
		return end_set(r);
	if (!strcmp(path, SET "/Name"))
		return copy(r, r->name, sizeof(r->name));
	if (!strcmp(path, SET "/Type"))
		return copy(r, r->type, sizeof(r->type));
	if (!strcmp(path, SET "/SetIdentifier"))
		return copy(r, r->set.set_id, sizeof(r->set.set_id));
	if (!strcmp(path, SET "/HealthCheckId"))
		return copy(r, r->set.health_check, sizeof(r->set.health_check));
	if (!strcmp(path, SET "/ResourceRecords/ResourceRecord/Value"))
		return add_value(r);
	if (!strcmp(path, SET "/Weight")) {
		err = number(r, UINT16_MAX, &n);
		r->set.weighted = true;
		r->set.weight = (uint16_t)n;
	} else if (!strcmp(path, SET "/TTL")) {
		err = number(r, DNS_TTL_MAX, &n);
		r->set.ttl = (uint32_t)n;
	} else if (!strcmp(path, LIST "/IsTruncated")) {
		p->truncated = !strcmp(r->text, "true");
	} else if (!strcmp(path, LIST "/NextRecordName")) {
		err = copy(r, p->next_name, sizeof(p->next_name));
	} else if (!strcmp(path, LIST "/NextRecordType")) {
		err = copy(r, p->next_type, sizeof(p->next_type));
	} else if (!strcmp(path, LIST "/NextRecordIdentifier")) {
		err = copy(r, p->next_id, sizeof(p->next_id));
	} else if (!strcmp(path, LIST)) {
		r->whole = true;
	}
	return err;
}

int route53_read_page(const char *xml, size_t size, struct route53_page *p)
{
	struct reading *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->begin = page_begin;
	r->end = page_end;
	r->arg = p;
	err = read_xml(r, xml, size);
	if (!err && !r->whole)
		err = -EBADMSG;
	drop(&r->set);
	free(r);
	return err;
}

/* ---- ChangeInfo, of two calls ---- */

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && !strcmp(text + n - k, end);
}

static int info_end(struct reading *r)
{
	struct route53_info *info = r->arg;

	if (ends_with(r->path, "Response/ChangeInfo/Id")) {
		const char *slash = strrchr(r->text, '/');

		if (r->too_long || r->n >= sizeof(info->id))
			return -EBADMSG;
		snprintf(info->id, sizeof(info->id), "%.*s", (int)sizeof(info->id) - 1,
			 slash ? slash + 1 : r->text);
	}
	if (ends_with(r->path, "Response/ChangeInfo/Status"))
		info->insync = !strcmp(r->text, "INSYNC");
	return 0;
}

int route53_read_info(const char *xml, size_t size, struct route53_info *ret)
{
	struct reading *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	*ret = (struct route53_info){0};
	r->end = info_end;
	r->arg = ret;
	err = read_xml(r, xml, size);
	free(r);
	/* It becomes a part of a path. */
	if (!err && (!ret->id[0] || ret->id[strspn(ret->id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
							    "abcdefghijklmnopqrstuvwxyz-_")]))
		err = -EBADMSG;
	return err;
}

/* ---- errors ---- */

/* Behind the first line AWS repeats what was signed. */
static void add_message(const struct reading *r, struct route53_error *e)
{
	size_t at = strlen(e->message), n = strcspn(r->text, "\r\n");

	if (at + 2 < sizeof(e->message))
		snprintf(e->message + at, sizeof(e->message) - at, "%s%.*s", at ? "; " : "", (int)n,
			 r->text);
	for (char *s = e->message; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';
}

static int error_end(struct reading *r)
{
	struct route53_error *e = r->arg;

	if (ends_with(r->path, "/Error/Code"))
		return copy(r, e->code, sizeof(e->code));
	if (!strcmp(r->path, "InvalidChangeBatch"))
		strcpy(e->code, "InvalidChangeBatch");
	if (ends_with(r->path, "/Error/Message") ||
	    !strcmp(r->path, "InvalidChangeBatch/Messages/Message"))
		add_message(r, e);
	return 0;
}

void route53_read_error(const char *xml, size_t size, struct route53_error *ret)
{
	struct reading *r = calloc(1, sizeof(*r));

	*ret = (struct route53_error){0};
	if (!r)
		return;
	r->end = error_end;
	r->arg = ret;
	if (!xml || read_xml(r, xml, size))
		ret->code[0] = '\0';
	free(r);
}
