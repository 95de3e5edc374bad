/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * charon_list.c - what charon tells: SAs, loaded connections, events
 *
 * Each arrives as a message whose first section has the connection's name. One table per kind of
 * section says which keys are wanted; of a key that is there twice the last counts, and a number
 * that is none counts as 0. The message is always read to its end, so one that is badly formed is
 * refused whole.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "wg/charon_inner.h"

enum kind { TEXT, DECIMAL, HEX32 };

struct field {
	const char *key;
	enum kind kind;
	size_t at, size;
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FIELD(key, kind, s, member)                                                                \
	{                                                                                          \
		key, kind, offsetof(struct s, member), sizeof(((struct s *)0)->member)             \
	}

static const struct field sa_fields[] = {
	FIELD("state", TEXT, charon_sa, state),
	FIELD("local-host", TEXT, charon_sa, local),
	FIELD("remote-host", TEXT, charon_sa, remote),
	FIELD("remote-id", TEXT, charon_sa, remote_id),
	FIELD("established", DECIMAL, charon_sa, established_s),
	FIELD("rekey-time", DECIMAL, charon_sa, rekey_s),
};

/* A child and what becomes its `cipher`. */
struct raw_child {
	struct charon_child child;
	char encryption[20], bits[6], integrity[22]; /* together as much as it holds */
};

static const struct field child_fields[] = {
	FIELD("name", TEXT, raw_child, child.name),
	FIELD("state", TEXT, raw_child, child.state),
	FIELD("if-id-in", HEX32, raw_child, child.if_id),
	FIELD("bytes-in", DECIMAL, raw_child, child.bytes_in),
	FIELD("bytes-out", DECIMAL, raw_child, child.bytes_out),
	FIELD("packets-in", DECIMAL, raw_child, child.packets_in),
	FIELD("packets-out", DECIMAL, raw_child, child.packets_out),
	FIELD("use-in", DECIMAL, raw_child, child.use_in_s),
	FIELD("use-out", DECIMAL, raw_child, child.use_out_s),
	FIELD("rekey-time", DECIMAL, raw_child, child.rekey_s),
	FIELD("life-time", DECIMAL, raw_child, child.life_s),
	FIELD("install-time", DECIMAL, raw_child, child.install_s),
	FIELD("spi-in", HEX32, raw_child, child.spi_in),
	FIELD("spi-out", HEX32, raw_child, child.spi_out),
	FIELD("encr-alg", TEXT, raw_child, encryption),
	FIELD("encr-keysize", TEXT, raw_child, bits),
	FIELD("integ-alg", TEXT, raw_child, integrity),
};

static const struct field conn_fields[] = {
	FIELD("version", TEXT, charon_conn, version),
	FIELD("unique", TEXT, charon_conn, unique),
	FIELD("rekey_time", DECIMAL, charon_conn, rekey_s),
	FIELD("dpd_delay", DECIMAL, charon_conn, dpd_s),
};

static const struct field local_fields[] = {
	FIELD("class", TEXT, charon_conn, local_class),
};

static const struct field remote_fields[] = {
	FIELD("class", TEXT, charon_conn, remote_class),
	FIELD("id", TEXT, charon_conn, remote_id),
};

static const struct field conn_child_fields[] = {
	FIELD("rekey_time", DECIMAL, charon_conn, child_rekey_s),
	FIELD("dpd_action", TEXT, charon_conn, dpd_action),
	FIELD("close_action", TEXT, charon_conn, close_action),
};

static void take(const struct field *fields, size_t n, const struct vici_part *p, void *to)
{
	for (size_t i = 0; i < n; i++) {
		char *at = (char *)to + fields[i].at;
		uint64_t number = 0;
		uint32_t small;

		if (!vici_is(p, fields[i].key))
			continue;
		switch (fields[i].kind) {
		case TEXT:
			vici_copy(p, at, fields[i].size);
			return;
		case DECIMAL:
			vici_number(p, 10, &number); /* a time that is over is negative: 0 */
			memcpy(at, &number, sizeof(number));
			return;
		case HEX32:
			vici_number(p, 16, &number);
			small = number > UINT32_MAX ? 0 : (uint32_t)number;
			memcpy(at, &small, sizeof(small));
			return;
		}
	}
}

/* ---- SAs ---- */

static bool carries(const struct charon_child *c)
{
	return !strcmp(c->state, "INSTALLED") || !strcmp(c->state, "REKEYING");
}

static void add_child(struct charon_sa *sa, struct raw_child *raw)
{
	unsigned int i = sa->n_children;

	snprintf(raw->child.cipher, sizeof(raw->child.cipher), "%s%s%s%s%s", raw->encryption,
		 raw->bits[0] ? "-" : "", raw->bits, raw->integrity[0] ? "/" : "", raw->integrity);
	if (i == CHARON_CHILDREN) {
		for (i = 0; i < CHARON_CHILDREN && carries(&sa->child[i]); i++)
			;
		if (i == CHARON_CHILDREN || !carries(&raw->child))
			return;
	} else {
		sa->n_children++;
	}
	sa->child[i] = raw->child;
}

int charon_parse_sa(struct vici_reader *r, struct charon_sa *ret)
{
	struct charon_sa sa = {0};
	struct raw_child raw = {0};
	struct vici_part p;
	unsigned int tops = 0; /* sections at the top; only the first is read */
	bool children = false;
	int err;

	while (!(err = vici_next(r, &p)) && p.kind != VICI_END) {
		unsigned int depth = r->depth;

		if (p.kind == VICI_SECTION_START && depth == 1 && ++tops == 1)
			vici_copy(&p, sa.name, sizeof(sa.name));
		if (tops != 1)
			continue;
		if (p.kind == VICI_SECTION_START && depth == 2)
			children = vici_is(&p, "child-sas");
		if (p.kind == VICI_SECTION_START && depth == 3)
			raw = (struct raw_child){
				.child = {.use_in_s = UINT64_MAX, .use_out_s = UINT64_MAX}};
		if (p.kind == VICI_KEY_VALUE && depth == 1)
			take(sa_fields, COUNT(sa_fields), &p, &sa);
		if (p.kind == VICI_KEY_VALUE && depth == 3 && children)
			take(child_fields, COUNT(child_fields), &p, &raw);
		if (p.kind == VICI_SECTION_END && depth == 2 && children)
			add_child(&sa, &raw);
	}
	if (!err && !tops)
		err = -EBADMSG;
	if (!err)
		*ret = sa;
	return err;
}

struct listing {
	const char *name;
	struct charon_sa *to;
	unsigned int n, max;
};

static int on_sa(void *arg, struct vici_reader *r)
{
	struct listing *l = arg;
	struct charon_sa sa;
	int err = charon_parse_sa(r, &sa);

	if (err || l->n == l->max || (l->name[0] && strcmp(sa.name, l->name)))
		return err;
	l->to[l->n++] = sa;
	return 0;
}

int charon_list(struct charon *c, const char *name, struct charon_sa *ret, unsigned int max,
		char *why, size_t size)
{
	struct listing l = {.name = name, .to = ret, .max = max};
	struct charon_answer a;
	struct vici_message m;
	const struct charon_ask ask = {.m = &m,
				       .events = "list-sa",
				       .on_event = on_sa,
				       .arg = &l,
				       .limit_ns = CHARON_ANSWER_NS};
	int err;

	vici_begin(&m, VICI_CMD_REQUEST, "list-sas");
	if (name[0])
		vici_text(&m, "ike", "%s", name);
	err = charon_ask(c, &ask, &a, why, size);
	vici_free(&m);
	if (!err && a.said && !a.success) {
		snprintf(why, size, "charon says: %s", a.error);
		err = -EREMOTEIO;
	}
	return err ? err : (int)l.n;
}

/* ---- loaded connections ---- */

struct conn_walk {
	char section[64], list[64];
	struct charon_conn conn;
};

static void take_conn(struct conn_walk *w, const struct vici_part *p, unsigned int depth)
{
	struct charon_conn *c = &w->conn;

	if (p->kind == VICI_LIST_ITEM && depth == 1 && !strcmp(w->list, "local_addrs") &&
	    !c->local[0])
		vici_copy(p, c->local, sizeof(c->local));
	else if (p->kind == VICI_LIST_ITEM && depth == 1 && !strcmp(w->list, "remote_addrs") &&
		 !c->remote[0])
		vici_copy(p, c->remote, sizeof(c->remote));
	else if (p->kind != VICI_KEY_VALUE)
		return;
	else if (depth == 1)
		take(conn_fields, COUNT(conn_fields), p, c);
	else if (depth == 2 && !strcmp(w->section, "local-1"))
		take(local_fields, COUNT(local_fields), p, c);
	else if (depth == 2 && !strcmp(w->section, "remote-1"))
		take(remote_fields, COUNT(remote_fields), p, c);
	else if (depth == 3 && !strcmp(w->section, "children"))
		take(conn_child_fields, COUNT(conn_child_fields), p, c);
}

int charon_parse_conn(struct vici_reader *r, const char *name, struct charon_conn *ret)
{
	struct conn_walk w = {0};
	struct vici_part p;
	bool ours = false;
	int err;

	while (!(err = vici_next(r, &p)) && p.kind != VICI_END) {
		if (p.kind == VICI_SECTION_START && r->depth == 1) {
			ours = vici_is(&p, name);
			w.conn.found |= ours;
		}
		if (!ours)
			continue;
		if (p.kind == VICI_SECTION_START && r->depth == 2)
			vici_copy(&p, w.section, sizeof(w.section));
		else if (p.kind == VICI_SECTION_START && r->depth == 3 &&
			 !strcmp(w.section, "children"))
			vici_copy(&p, w.conn.child, sizeof(w.conn.child));
		else if (p.kind == VICI_LIST_START)
			vici_copy(&p, w.list, sizeof(w.list));
		else
			take_conn(&w, &p, r->depth);
	}
	if (!err && w.conn.found)
		*ret = w.conn;
	return err;
}

/* ---- events ---- */

int charon_parse_event(struct vici_reader *r, struct charon_event *ret)
{
	struct charon_event e = {0};
	struct vici_part p;
	int err;

	snprintf(e.kind, sizeof(e.kind), "%.*s", (int)sizeof(e.kind) - 1, r->name);
	while (!(err = vici_next(r, &p)) && p.kind != VICI_END) {
		if (p.kind == VICI_SECTION_START && r->depth == 1 && !e.name[0])
			vici_copy(&p, e.name, sizeof(e.name));
		if (p.kind == VICI_KEY_VALUE && !r->depth && vici_is(&p, "up"))
			e.up = p.value_size == 3 && !memcmp(p.value, "yes", 3);
	}
	if (!strcmp(e.kind, "ike-rekey") || !strcmp(e.kind, "child-rekey"))
		e.up = true;
	if (!err)
		*ret = e;
	return err;
}
