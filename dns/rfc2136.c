/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rfc2136.c - records of a primary that takes dynamic updates (BIND, Knot DNS, PowerDNS)
 *
 * One message carries the prerequisite "this set is exactly these records" and the update "delete
 * the set, add these": the server does both or neither (RFC 2136 2.4.2, 3.4). Prerequisites do not
 * compare TTLs, so that is compared by a look before. Everything is signed, the looks as well
 * (RFC 8945): a wrong key shows before anything is changed, and no forged answer is believed.
 */
#include "dns/change.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns/signed.h"
#include "userspace/conf/config.h"

#define UPDATE	 5
#define TYPE_SOA 6
#define LOOKS	 12 /* at a change that the server says it made, until it shows it */
#define LOOK_US	 250000

struct rfc2136 {
	const struct conf_provider *conf;
	char name[DNS_NAME];
	struct wire_name owner, zone;
	struct tsig_key key;
};

static void rfc2136_close(void *x)
{
	struct rfc2136 *r = x;

	if (!r)
		return;
	tsig_key_wipe(&r->key);
	free(r);
}

static int rfc2136_open(const struct conf_provider *c, const char *name, void **ret, char *why)
{
	struct rfc2136 *r = calloc(1, sizeof(*r));
	char zone[DNS_NAME];
	int err = -EINVAL;

	if (!r)
		return -ENOMEM;
	r->conf = c;
	snprintf(r->name, sizeof(r->name), "%s", name);
	if (wire_name_from(name, &r->owner) || dns_name(c->zone, zone) ||
	    wire_name_from(zone, &r->zone))
		snprintf(why, DNS_WHY, "zone: '%.200s' is no name", c->zone);
	else if (!dns_below(name, zone))
		snprintf(why, DNS_WHY, "zone: %.200s is not in %.200s", name, zone);
	else
		err = tsig_key_read(c->key_file, c->key_name, c->algorithm, &r->key, why);
	if (err) {
		rfc2136_close(r);
		return err;
	}
	*ret = r;
	return 0;
}

/* ---- the messages ---- */

static void put_header(struct wire_out *o, uint8_t opcode, unsigned int prerequisites,
		       unsigned int updates)
{
	wire_put16(o, 0); /* the ID comes with the signature */
	wire_put16(o, (uint16_t)(opcode << 11));
	wire_put16(o, 1);
	wire_put16(o, (uint16_t)prerequisites);
	wire_put16(o, (uint16_t)updates);
	wire_put16(o, 0);
}

/* Its data on the wire; 0: no address of this type. */
static uint16_t rdata_of(uint16_t type, const char *data, uint8_t ret[16])
{
	if (type != DNS_A && type != DNS_AAAA)
		return 0;
	if (inet_pton(type == DNS_A ? AF_INET : AF_INET6, data, ret) != 1)
		return 0;
	return type == DNS_A ? 4 : 16;
}

static bool put_members(struct wire_out *o, const struct wire_name *owner,
			const struct dns_rrset *s, uint32_t ttl)
{
	uint8_t rdata[16];

	for (unsigned int i = 0; i < s->n; i++) {
		uint16_t n = rdata_of(s->type, s->member[i].data, rdata);

		if (!n)
			return false;
		wire_put_rr(o, owner, s->type, WIRE_IN, ttl, rdata, n);
	}
	return true;
}

/* The update, without ID and signature. false: it cannot be one. */
static bool put_update(struct wire_out *o, const struct rfc2136 *r, const struct dns_rrset *old,
		       const struct dns_rrset *fresh)
{
	put_header(o, UPDATE, old->n ? old->n : 1, fresh->n + (old->n != 0));
	wire_put_name(o, &r->zone);
	wire_put16(o, TYPE_SOA);
	wire_put16(o, WIRE_IN);
	if (!old->n) /* there is no such set */
		wire_put_rr(o, &r->owner, fresh->type, WIRE_NONE, 0, NULL, 0);
	else if (!put_members(o, &r->owner, old, 0))
		return false;
	if (old->n) /* the whole set goes */
		wire_put_rr(o, &r->owner, old->type, WIRE_ANY, 0, NULL, 0);
	return put_members(o, &r->owner, fresh, fresh->ttl) && !o->over;
}

static void show_members(const struct dns_rrset *s, bool ttl, const char *word, FILE *to)
{
	char type[16];

	dns_type_text(s->type, type);
	for (unsigned int i = 0; i < s->n; i++) {
		fprintf(to, "  %s %s ", word, s->name);
		if (ttl)
			fprintf(to, "%u ", s->ttl);
		fprintf(to, "IN %s %s\n", type, s->member[i].data);
	}
}

static void show_bytes(const uint8_t *data, size_t size, FILE *to)
{
	for (size_t i = 0; i < size; i += 16) {
		fprintf(to, "  %04zx ", i);
		for (size_t j = i; j < i + 16 && j < size; j++)
			fprintf(to, " %02x", data[j]);
		fputc('\n', to);
	}
}

static void rfc2136_show(void *x, const struct dns_rrset *old, const struct dns_rrset *fresh,
			 FILE *to)
{
	struct rfc2136 *r = x;
	uint8_t *data = malloc(DNS_MAX_MESSAGE);
	struct wire_out o = {.data = data, .size = data ? DNS_MAX_MESSAGE : 0};
	char type[16];

	dns_type_text(old->type, type);
	fprintf(to, "RFC 2136 update to %s port %u, zone %s, TSIG key %s (%s)\n", r->conf->server,
		r->conf->port, r->conf->zone, r->conf->key_name, tsig_algorithm(r->key.algorithm));
	if (old->n)
		show_members(old, false, "prerequisite: exactly", to);
	else
		fprintf(to, "  prerequisite: no %s IN %s\n", old->name, type);
	if (old->n)
		fprintf(to, "  delete %s IN %s\n", old->name, type);
	show_members(fresh, true, "add", to);
	if (put_update(&o, r, old, fresh)) {
		fprintf(to,
			"  %zu bytes; when it is sent, a random ID takes the place of the first "
			"two, and the TSIG record follows:\n",
			o.used);
		show_bytes(o.data, o.used, to);
	} else {
		fprintf(to, "  this cannot be sent: only addresses of that type can\n");
	}
	free(data);
}

/* ---- reading ---- */

static enum dns_changed take_answer(const struct rfc2136 *r, const struct signed_reply *reply,
				    uint16_t type, struct dns_rrset *ret, char *why)
{
	struct wire_rr rr;
	char text[64];
	size_t at;
	int err = wire_skip_questions(reply->data, reply->size, &at);

	for (unsigned int i = 0; !err && i < wire_count(reply->data, 1); i++) {
		err = wire_read_rr(reply->data, reply->size, &at, &rr);
		if (err || rr.class != WIRE_IN || !wire_name_same(&rr.owner, &r->owner))
			continue;
		if (rr.type == DNS_CNAME) {
			snprintf(why, DNS_WHY,
				 "%.300s is an alias (CNAME): it has no addresses to "
				 "change",
				 r->name);
			return DNS_REJECTED;
		}
		if (rr.type != type)
			continue;
		if (rr.rdlength != (type == DNS_A ? 4 : 16) || ret->n == DNS_MAX_MEMBERS) {
			err = -EBADMSG;
			continue;
		}
		inet_ntop(type == DNS_A ? AF_INET : AF_INET6, rr.rdata, text, sizeof(text));
		snprintf(ret->member[ret->n++].data, sizeof(ret->member[0].data), "%s", text);
		ret->ttl = rr.ttl;
	}
	if (err) {
		snprintf(why, DNS_WHY, "the answer cannot be read");
		return DNS_UNREACHED;
	}
	dns_rrset_sort(ret);
	return DNS_CHANGED;
}

/* What an answer to a question says that is no answer. */
static enum dns_changed refused_read(const struct rfc2136 *r, const struct signed_reply *reply,
				     const char *said, char *why)
{
	char rcode[16];
	bool signature = reply->rcode == DNS_REFUSED || reply->rcode == DNS_NOTAUTH;

	snprintf(why, DNS_WHY, "%.200s: %s%.200s: %s", said, said[0] ? "" : "reading ", r->name,
		 reply->rcode ? dns_rcode_text(reply->rcode, rcode)
			      : "this server is not authoritative for it");
	return signature ? DNS_DENIED : DNS_REJECTED;
}

static enum dns_changed rfc2136_read(void *x, const char *name, uint16_t type,
				     struct dns_rrset *ret, char *why)
{
	struct rfc2136 *r = x;
	uint8_t data[WIRE_HEADER + WIRE_NAME + 4 + TSIG_ROOM];
	struct wire_out o = {.data = data, .size = sizeof(data)};
	enum dns_changed got = DNS_UNREACHED;
	struct signed_reply reply;
	enum signed_outcome asked;
	char said[DNS_WHY] = "";

	memset(ret, 0, sizeof(*ret));
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->type = type;
	put_header(&o, 0, 0, 0);
	wire_put_name(&o, &r->owner);
	wire_put16(&o, type);
	wire_put16(&o, WIRE_IN);
	asked = signed_ask(r->conf, &r->key, &o, &reply, said);
	if (asked == SIGNED_DENIED)
		got = DNS_DENIED;
	if (asked != SIGNED_ANSWERED && asked != SIGNED_ERROR)
		snprintf(why, DNS_WHY, "%s", said);
	else if ((reply.rcode && reply.rcode != DNS_NXDOMAIN) || !(reply.data[2] & 0x04) ||
		 asked == SIGNED_ERROR)
		got = refused_read(r, &reply, said, why);
	else if (reply.data[2] & 0x02)
		snprintf(why, DNS_WHY,
			 "the answer is too long for UDP, and TCP gets no connection");
	else
		got = take_answer(r, &reply, type, ret, why);
	signed_reply_free(&reply);
	return got;
}

/* ---- changing ---- */

/* `before` was said of the update; what is there decides. `unchanged`: what it is when that is
 * `old`; DNS_CHANGED: the server says that it was done. */
static enum dns_changed settle(struct rfc2136 *r, const struct dns_rrset *old,
			       const struct dns_rrset *fresh, enum dns_changed unchanged,
			       const char *before, struct dns_rrset *seen, char *why)
{
	char said[DNS_WHY], text[300];
	enum dns_changed got = DNS_UNCERTAIN;
	bool done = unchanged == DNS_CHANGED;

	for (int i = 0; i < LOOKS; i++) {
		if (i)
			usleep(LOOK_US);
		got = rfc2136_read(r, r->name, old->type, seen, said);
		if (got)
			break;
		if (dns_rrset_same(seen, fresh))
			return DNS_CHANGED;
		if (!dns_rrset_same(seen, old))
			break;
		if (!done && i)
			break; /* looked twice: it is not on its way any more */
	}
	if (got) {
		snprintf(why, DNS_WHY, "%.200s; and then it could not be read: %.250s", before,
			 said);
		return DNS_UNCERTAIN;
	}
	dns_rrset_text(seen, text, sizeof(text));
	if (done) {
		snprintf(why, DNS_WHY, "the server says that it was done, but there is %.250s",
			 text);
		return DNS_UNCERTAIN;
	}
	if (dns_rrset_same(seen, old)) {
		snprintf(why, DNS_WHY, "%.250s; nothing was changed", before);
		return unchanged;
	}
	snprintf(why, DNS_WHY, "%.200s; there is %.250s", before, text);
	return DNS_STALE;
}

/* What the server answers to an update that it did not make. */
static enum dns_changed refused_update(struct rfc2136 *r, const struct dns_rrset *old,
				       const struct dns_rrset *fresh, uint8_t rcode,
				       const char *said, struct dns_rrset *seen, char *why)
{
	char text[16], before[DNS_WHY];
	const char *zone = r->conf->zone;

	snprintf(before, sizeof(before), "%.200s%s%s", said, said[0] ? ": " : "",
		 dns_rcode_text(rcode, text));
	switch (rcode) {
	case DNS_NXRRSET:
	case DNS_YXRRSET:
	case DNS_NXDOMAIN:
	case DNS_YXDOMAIN:
		return settle(r, old, fresh, DNS_STALE, before, seen, why);
	case DNS_SERVFAIL:
		return settle(r, old, fresh, DNS_REJECTED, before, seen, why);
	case DNS_REFUSED:
		snprintf(why, DNS_WHY,
			 "%.150s: the server does not let key %.150s update zone %.100s", before,
			 r->conf->key_name, zone);
		return DNS_DENIED;
	case DNS_NOTAUTH:
		snprintf(why, DNS_WHY,
			 "%.150s: the server is not the primary of %.100s, or does not let key "
			 "%.100s update it",
			 before, zone, r->conf->key_name);
		return DNS_DENIED;
	case DNS_NOTZONE:
		snprintf(why, DNS_WHY, "%.200s: the name is not in zone %.200s there", before,
			 zone);
		return DNS_REJECTED;
	case DNS_NOTIMP:
		snprintf(why, DNS_WHY, "%.200s: the server has no dynamic update", before);
		return DNS_REJECTED;
	default:
		snprintf(why, DNS_WHY, "%.250s", before);
		return DNS_REJECTED;
	}
}

static enum dns_changed send_update(struct rfc2136 *r, const struct dns_rrset *old,
				    const struct dns_rrset *fresh, struct wire_out *o,
				    struct dns_rrset *seen, char *why)
{
	struct signed_reply reply;
	char said[DNS_WHY] = "";
	enum signed_outcome asked = signed_ask(r->conf, &r->key, o, &reply, said);
	uint8_t rcode = reply.rcode;

	signed_reply_free(&reply);
	switch (asked) {
	case SIGNED_ANSWERED:
	case SIGNED_ERROR:
		if (!rcode)
			return settle(r, old, fresh, DNS_CHANGED, said, seen, why);
		return refused_update(r, old, fresh, rcode, said, seen, why);
	case SIGNED_DENIED:
		snprintf(why, DNS_WHY, "%s", said);
		return DNS_DENIED;
	case SIGNED_UNREACHED:
		snprintf(why, DNS_WHY, "%s", said);
		return DNS_UNREACHED;
	default:
		return settle(r, old, fresh, DNS_UNREACHED, said, seen, why);
	}
}

static enum dns_changed rfc2136_apply(void *x, const struct dns_rrset *old,
				      const struct dns_rrset *fresh, char *id,
				      struct dns_rrset *seen, char *why)
{
	struct rfc2136 *r = x;
	struct wire_out o = {.size = DNS_MAX_MESSAGE};
	enum dns_changed got;
	char text[300];

	(void)id;
	got = rfc2136_read(r, r->name, old->type, seen, why);
	if (got)
		return got;
	if (!dns_rrset_same(seen, old)) {
		snprintf(why, DNS_WHY, "there is %.300s", dns_rrset_text(seen, text, sizeof(text)));
		return DNS_STALE;
	}
	o.data = malloc(o.size);
	if (!o.data) {
		snprintf(why, DNS_WHY, "%s", strerror(ENOMEM));
		return DNS_UNREACHED;
	}
	if (put_update(&o, r, old, fresh)) {
		got = send_update(r, old, fresh, &o, seen, why);
	} else {
		snprintf(why, DNS_WHY, "only addresses can be set by dynamic update");
		got = DNS_REJECTED;
	}
	free(o.data);
	return got;
}

const struct dns_provider_class dns_rfc2136 = {
	.name = "rfc2136",
	.title = "the primary server",
	.atomic = true,
	.weights = false,
	.open = rfc2136_open,
	.close = rfc2136_close,
	.read = rfc2136_read,
	.show = rfc2136_show,
	.apply = rfc2136_apply,
};
