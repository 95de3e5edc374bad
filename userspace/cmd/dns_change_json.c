/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_change_json.c - what a cutover or a rollback did, or would do, as one document
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "userspace/cmd/dns_change.h"

static json_t *set_json(const struct dns_rrset *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->n; i++) {
		const struct dns_member *m = &r->member[i];

		json_array_append_new(list, m->weighted ? json_pack("{s:s, s:i}", "address",
								    m->data, "weight", m->weight)
							: json_pack("{s:s}", "address", m->data));
	}
	return json_pack("{s:o, s:o}", "ttl", r->n ? json_integer(r->ttl) : json_null(), "records",
			 list);
}

static json_t *shown(const struct change *c, const struct dns_rrset *from,
		     const struct dns_rrset *to)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	json_t *j = NULL;

	if (f) {
		dns_provider_show(c->p, from, to, f);
		fclose(f);
		j = json_string(text);
	}
	free(text);
	return j ? j : json_null();
}

static const char *result_of(const struct change *c, const struct change_type *t)
{
	if (t->unread)
		return dns_changes[t->got];
	switch (t->todo) {
	case DNS_TODO_NONE:
		return "left alone";
	case DNS_TODO_THERE:
		return "already there";
	case DNS_TODO_OTHER:
		return "stale";
	default:
		return t->tried ? dns_changes[t->got] : c->dry ? "would be changed" : "not tried";
	}
}

static json_t *types_json(const struct change *c)
{
	json_t *list = json_array();

	for (int i = 0; i < 2; i++) {
		const struct change_type *t = &c->type[i];
		json_t *j;

		if (!t->asked)
			continue;
		j = json_pack("{s:s, s:o, s:o, s:s, s:s}", "type", t->word, "from",
			      set_json(&t->there), "to", set_json(&t->to), "result",
			      result_of(c, t), "why", t->why);
		if (c->dry && t->todo == DNS_TODO_APPLY) {
			json_object_set_new(j, "bytes", shown(c, &t->there, &t->to));
			json_object_set_new(j, "inverse", shown(c, &t->to, &t->there));
		}
		json_array_append_new(list, j);
	}
	return list;
}

void change_report_json(struct change *c, int code)
{
	const struct change_seen *s = &c->seen;
	char path[512], said[512];
	json_t *j;

	if (!c->o.json)
		return;
	j = json_pack("{s:i, s:s%, s:s, s:s, s:b, s:i, s:o}", "schema", 1, "name", c->d.name,
		      dns_name_shown(&c->d), "verb", c->verb, "provider", c->class->name, "dry_run",
		      c->dry, "code", code, "types", types_json(c));
	json_object_set_new(j, "snapshot",
			    c->has_snap ? json_string(dns_snapshot_path(c->d.dir, c->d.name, path,
									sizeof(path)))
					: json_null());
	json_object_set_new(j, "settled", s->looked ? json_boolean(s->settled) : json_null());
	json_object_set_new(j, "share_new", isnan(s->share) ? json_null() : json_real(s->share));
	json_object_set_new(j, "share_low",
			    isnan(s->share) ? json_null() : json_real(s->share_low));
	json_object_set_new(j, "share_high",
			    isnan(s->share) ? json_null() : json_real(s->share_high));
	json_object_set_new(j, "unreachable_for_s",
			    c->back ? json_integer(change_ttl(c)) : json_null());
	json_object_set(j, "sources", s->sources ? s->sources : json_null());
	if (code)
		json_object_set_new(j, "error", json_string(json_said(said, sizeof(said))));
	print_json(j);
}
