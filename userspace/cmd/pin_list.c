/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pin_list.c - `pins`: whose new connections the share does not decide about
 *
 * Asked of the kernel's table; who set a pin and why is what was kept on disk.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/clients.h"
#include "userspace/plane/control.h"

struct pins {
	const struct options *o;
	struct client_entry *list;
	size_t n;
	struct client_pin *kept;
	size_t n_kept;
	uint64_t boot, real;
	struct shift_record record;
};

static const struct client_pin *words_of(const struct pins *k, const struct client_entry *e)
{
	for (size_t i = 0; i < k->n_kept; i++) {
		const struct client_entry *is = &k->kept[i].entry;

		if (is->bits == e->bits && is->is.set_at == e->is.set_at &&
		    !memcmp(is->address, e->address, sizeof(e->address)))
			return &k->kept[i];
	}
	return NULL;
}

static const char *setter(const struct pins *k, const struct client_entry *e, char *ret,
			  size_t size)
{
	const struct client_pin *words = words_of(k, e);

	if (!client_is_pin(e->is.action))
		return strcpy(ret, "-");
	if (words && words->by[0])
		return screen_clean(words->by, ret, size);
	snprintf(ret, size, "uid %u", e->is.set_uid);
	return ret;
}

static const char *network(const struct client_entry *e, char ret[64])
{
	return e->bits ? text_network(e->address, e->bits, ret) : strcpy(ret, "all others");
}

/* The arm that new connections go to; NULL: the share decides. */
static const char *arm_of(const struct client_entry *e)
{
	return e->is.action == SHIFT_CLIENT_ALLOW ? NULL
	       : e->is.action == SHIFT_CLIENT_NEW ? "new"
						  : "old";
}

/* The place in the file that it stems from. */
static const char *source(const struct client_entry *e)
{
	switch (e->is.action) {
	case SHIFT_CLIENT_OLD:
	case SHIFT_CLIENT_NEW:
		return "pin";
	case SHIFT_CLIENT_BYPASS:
		return "config: bypass";
	case SHIFT_CLIENT_ALLOW:
		return "config: clients.allow";
	case SHIFT_CLIENT_DENY:
		return e->bits ? "config: clients.deny" : "config: clients.allow";
	default:
		return client_action_name(e->is.action);
	}
}

static bool suspended(const struct pins *k, const struct client_entry *e)
{
	return e->is.action == SHIFT_CLIENT_NEW && k->record.latched;
}

static void add_row(const struct pins *k, struct table *t, const struct client_entry *e)
{
	const struct client_pin *words = words_of(k, e);
	char net[64], by[64], at[32] = "-", until[64] = "-", left[32], note[128] = "", why[96];

	if (e->is.set_at)
		text_time(e->is.set_at, at);
	if (e->is.until) {
		char time[32];

		snprintf(until, sizeof(until), "%s (%s)",
			 text_time(k->real + (e->is.until - k->boot), time),
			 text_duration(e->is.until - k->boot, left));
	}
	if (words && words->reason[0])
		screen_clean(words->reason, why, sizeof(why));
	else
		why[0] = '\0';
	snprintf(note, sizeof(note), "%s%s%s", suspended(k, e) ? "suspended by the rollback" : "",
		 suspended(k, e) && why[0] ? "; " : "", why);
	table_row(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s", network(e, net),
		  arm_of(e) ? arm_of(e) : "by the share", source(e), setter(k, e, by, sizeof(by)),
		  at, until, note);
}

static void print_table(const struct pins *k)
{
	struct table t = {.dim = use_colour(k->o)};
	unsigned int columns = screen_columns();

	table_head(&t, "network|arm|source|by|since|until|");
	for (size_t i = 0; i < k->n; i++)
		if (k->list[i].bits)
			add_row(k, &t, &k->list[i]);
	for (size_t i = 0; i < k->n; i++) /* all others come last */
		if (!k->list[i].bits)
			add_row(k, &t, &k->list[i]);
	if (columns && table_width(&t) > columns)
		t.gap = 1;
	if (k->n)
		table_print(&t, stdout);
	table_free(&t);
	fflush(stdout);
	if (!k->n)
		say("no client is pinned, and the configuration names none: the share decides");
}

static json_t *json_time(uint64_t real_ns)
{
	time_t t = (time_t)(real_ns / 1000000000);
	char text[32];
	struct tm tm;

	if (!real_ns)
		return json_null();
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	return json_string(text);
}

static json_t *json_entry(const struct pins *k, const struct client_entry *e)
{
	const struct client_pin *words = words_of(k, e);
	bool is_pin = client_is_pin(e->is.action);
	uint64_t left = e->is.until ? e->is.until - k->boot : 0;
	json_t *reason = words && words->reason[0] ? json_string(words->reason) : NULL;
	char net[64], by[64];

	return json_pack("{s:s, s:s?, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b}", "cidr",
			 e->bits ? network(e, net) : "any", "arm", arm_of(e), "source",
			 is_pin ? "pin" : "config", "action", client_action_name(e->is.action),
			 "by", is_pin ? json_string(setter(k, e, by, sizeof(by))) : json_null(),
			 "at", json_time(e->is.set_at), "reason", reason ? reason : json_null(),
			 "until", json_time(e->is.until ? k->real + left : 0), "left_s",
			 e->is.until ? json_real((double)left / 1e9) : json_null(), "suspended",
			 (int)suspended(k, e));
}

static void print_list_json(const struct pins *k, const struct shift_service *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < k->n; i++)
		json_array_append_new(list, json_entry(k, &k->list[i]));
	print_json(json_pack("{s:i, s:s, s:b, s:o}", "schema", 1, "service", s->name, "latched",
			     (int)k->record.latched, "pins", list));
}

static int show(struct pins *k, const struct plane *p, int id, const struct shift_service *s)
{
	size_t kept = 0;
	bool this_boot;
	uint64_t head;
	int err = clients_list(p, id, &k->list, &k->n);

	if (err) {
		say("the client table cannot be read: %s", strerror(-err));
		return EXIT_FAILED;
	}
	clients_load(s->name, &k->kept, &k->n_kept, &this_boot); /* without: no names, no reasons */
	k->boot = control_boot_ns();
	k->real = control_real_ns();
	control_get(&p->control[id], &k->record, &head);
	for (size_t i = 0; i < k->n; i++)
		if (!client_is_over(&k->list[i].is, k->boot))
			k->list[kept++] = k->list[i];
	k->n = kept;
	if (k->o->json)
		print_list_json(k, s);
	else
		print_table(k);
	return EXIT_OK;
}

int cmd_pins(const struct options *o, int argc, char **argv)
{
	struct pins k = {.o = o};
	struct shift_service s;
	struct plane p;
	int code, id;

	if (argc > 1)
		return usage_error("pins takes no argument, not '%s'", argv[1]);
	code = open_plane(&p);
	if (!code) {
		id = choose_service(&p, o, &s);
		code = id < 0 ? -id : show(&k, &p, id, &s);
	}
	plane_close(&p);
	free(k.list);
	free(k.kept);
	return code;
}
