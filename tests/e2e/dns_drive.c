/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_drive.c - the configured provider from the command line, for the tests
 *
 *   dns_drive CONFIG read NAME TYPE
 *   dns_drive CONFIG show|apply NAME TYPE OLD-TTL OLD,… NEW-TTL NEW,…
 *   dns_drive CONFIG done ID
 *   dns_drive CONFIG purge
 *
 * A record is DATA[=WEIGHT[/SET-ID]][!], the '!' for proxied; '-' is an empty list. What the
 * provider must have besides (version, ids) is read from it before; when OLD is not what is there,
 * the version is "stale", as if it had been changed since. apply prints {"outcome", "why", "id",
 * "seen"}, read {"outcome", "why", "ttl", "records", "version"}. Exit code 0: done; 1: not; 2:
 * usage.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/change.h"
#include "userspace/conf/config.h"

static json_t *rrset_json(const struct dns_rrset *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->n; i++) {
		const struct dns_member *m = &r->member[i];
		json_t *one = json_pack("{s:s}", "data", m->data);

		if (m->weighted)
			json_object_set_new(one, "weight", json_integer(m->weight));
		if (m->set_id[0])
			json_object_set_new(one, "set_id", json_string(m->set_id));
		if (m->id[0])
			json_object_set_new(one, "id", json_string(m->id));
		if (m->health_check[0])
			json_object_set_new(one, "health_check", json_string(m->health_check));
		if (m->proxied)
			json_object_set_new(one, "proxied", json_true());
		json_array_append_new(list, one);
	}
	return json_pack("{s:I, s:o, s:s}", "ttl", (json_int_t)r->ttl, "records", list, "version",
			 r->version);
}

static int print(json_t *j, int code)
{
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
	return code;
}

static bool parse_set(const char *name, const char *type, const char *ttl, char *list,
		      struct dns_rrset *ret)
{
	char *save = NULL;

	memset(ret, 0, sizeof(*ret));
	if (dns_name(name, ret->name))
		return false;
	ret->type = !strcmp(type, "A") ? DNS_A : !strcmp(type, "AAAA") ? DNS_AAAA : 0;
	ret->ttl = (uint32_t)strtoul(ttl, NULL, 10);
	for (char *t = strcmp(list, "-") ? strtok_r(list, ",", &save) : NULL; t && ret->n < 64;
	     t = strtok_r(NULL, ",", &save)) {
		struct dns_member *m = &ret->member[ret->n++];
		char *mark = strchr(t, '!'), *weight, *id;

		m->proxied = mark;
		if (mark)
			*mark = '\0';
		weight = strchr(t, '=');
		if (weight) {
			*weight++ = '\0';
			id = strchr(weight, '/');
			if (id) {
				*id++ = '\0';
				snprintf(m->set_id, sizeof(m->set_id), "%s", id);
			}
			m->weighted = true;
			m->weight = (uint16_t)strtoul(weight, NULL, 10);
		}
		snprintf(m->data, sizeof(m->data), "%s", t);
	}
	dns_rrset_sort(ret);
	return ret->type;
}

/* What a caller that had read `old` would know besides. */
static void know(struct dns_provider *p, struct dns_rrset *old)
{
	static struct dns_rrset there;
	char why[DNS_WHY];

	if (dns_provider_read(p, old->type, &there, why))
		return;
	if (dns_rrset_same(old, &there))
		*old = there;
	else
		snprintf(old->version, sizeof(old->version), "stale");
}

static int do_read(struct dns_provider *p, const char *type)
{
	static struct dns_rrset r;
	char why[DNS_WHY] = "";
	enum dns_changed got =
		dns_provider_read(p, !strcmp(type, "AAAA") ? DNS_AAAA : DNS_A, &r, why);
	json_t *j = got ? json_object() : rrset_json(&r);

	json_object_set_new(j, "outcome", json_string(got ? dns_changes[got] : "read"));
	json_object_set_new(j, "why", json_string(why));
	return print(j, got ? 1 : 0);
}

static int do_change(struct dns_provider *p, bool show, char **argv)
{
	static struct dns_rrset old, fresh, seen;
	char why[DNS_WHY] = "", id[128] = "";
	enum dns_changed got;

	if (!parse_set(argv[0], argv[1], argv[2], argv[3], &old) ||
	    !parse_set(argv[0], argv[1], argv[4], argv[5], &fresh)) {
		fprintf(stderr, "dns_drive: no name, or no type\n");
		return 2;
	}
	know(p, &old);
	if (show) {
		dns_provider_show(p, &old, &fresh, stdout);
		return 0;
	}
	got = dns_provider_apply(p, &old, &fresh, id, &seen, why);
	return print(json_pack("{s:s, s:s, s:s, s:o}", "outcome", dns_changes[got], "why", why,
			       "id", id, "seen", rrset_json(&seen)),
		     got ? 1 : 0);
}

static int do_done(struct dns_provider *p, const char *id)
{
	char why[DNS_WHY] = "";
	int err = dns_provider_done(p, id, why);

	return print(json_pack("{s:b, s:s, s:s}", "done", !err, "error",
			       err ? strerrorname_np(-err) : "", "why", why),
		     err ? 1 : 0);
}

static int do_purge(struct dns_provider *p)
{
	char why[DNS_WHY] = "";
	int err = dns_provider_purge(p, why);

	return print(json_pack("{s:b, s:s}", "purged", !err, "why", why), err ? 1 : 0);
}

static int drive(struct dns_provider *p, int argc, char **argv)
{
	const char *verb = argv[2];

	if (!strcmp(verb, "read") && argc == 5)
		return do_read(p, argv[4]);
	if ((!strcmp(verb, "apply") || !strcmp(verb, "show")) && argc == 9)
		return do_change(p, verb[0] == 's', argv + 3);
	if (!strcmp(verb, "done") && argc == 4)
		return do_done(p, argv[3]);
	if (!strcmp(verb, "purge") && argc == 3)
		return do_purge(p);
	fprintf(stderr, "usage: see tests/e2e/dns_drive.c\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct conf_errors errors = {0};
	struct dns_provider *p;
	struct config *c;
	char why[DNS_WHY] = "";
	int err, code;

	if (argc < 3)
		return 2;
	if (conf_load(argv[1], &c, &errors)) {
		conf_errors_print(&errors, stderr);
		return 2;
	}
	/* The name that is asked for is the one it is opened with. */
	if (argc > 4)
		snprintf(c->dns.name, sizeof(c->dns.name), "%s", argv[3]);
	err = dns_provider_open(c, &p, why);
	if (err) {
		code = print(json_pack("{s:s, s:s, s:s}", "outcome", "not opened", "error",
				       strerrorname_np(-err), "why", why),
			     1);
	} else {
		code = drive(p, argc, argv);
		dns_provider_close(p);
	}
	conf_errors_free(&errors);
	conf_free(c);
	return code;
}
