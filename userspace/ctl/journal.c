/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * journal.c - the ramp's journal: what a line says, and the last whole one
 *
 * What it promises: when journal_write with `sync` returned 0, the entry is on the disk and whole;
 * killed at any byte, the file still ends in a state from before or after the entry that was being
 * written, never in between, because a JSON object cut short is no JSON object. The files are
 * journal_disk.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/whole.h"
#include "userspace/ctl/hooks.h"
#include "userspace/ctl/journal.h"
#include "userspace/ctl/journal_disk.h"
#include "userspace/ctl/ramp_json.h"

#define READ_MAX (64u << 20)

struct journal {
	char dir[320];
	uint64_t seq; /* of the last entry */
	struct journal_disk *disk;
};

/* ---- the state as JSON: one table for both ways ---- */

enum kind { U8, U16, U32, U64, BOOL, ENUM, TEXT };

struct field {
	const char *name;
	enum kind kind;
	size_t offset;
	size_t size;  /* of TEXT */
	uint64_t max; /* of numbers; 0: what fits */
};

#define S(field, kind, max)                                                                        \
	{                                                                                          \
#field, kind, offsetof(struct ramp_saved, field),                                  \
			sizeof(((struct ramp_saved *)NULL)->field), max                            \
	}
#define P(field, kind, max)                                                                        \
	{                                                                                          \
#field, kind, offsetof(struct ramp_pending, field),                                \
			sizeof(((struct ramp_pending *)NULL)->field), max                          \
	}

static const struct field of_saved[] = {
	S(state, ENUM, RAMP_STATES - 1),
	S(stage, U16, CONF_MAX_STAGES),
	S(target, U16, CONF_MAX_STAGES),
	S(leg, ENUM, RAMP_LEG_OVER),
	S(weight, U16, SHIFT_WEIGHT_MAX),
	S(epoch, U64, 0),
	S(held, U64, 0),
	S(clean, U64, 0),
	S(flags, U32, 0),
	S(waived, U32, 0),
	S(early, BOOL, 0),
	S(backed, BOOL, 0),
	S(unknown, BOOL, 0),
	S(failed, BOOL, 0),
	S(owed, BOOL, 0),
	S(by_hand, BOOL, 0),
	S(owed_hooks, U8, 0),
	S(authority, U8, SHIFT_AUTHORITY_NEW),
	S(latch_seen, U64, 0),
	S(after_latch, U64, 0),
	S(forced_lock, U64, 0),
	S(last_id, U32, 0),
	S(who, TEXT, 0),
	S(frozen_at, U64, 0),
	S(frozen_by, TEXT, 0),
	S(freeze_reason, TEXT, 0),
	S(reason, TEXT, 0),
	S(alarm, TEXT, 0),
	S(alarm_since, U64, 0),
	S(alarm_text, TEXT, 0),
	{0},
};

static const struct field of_pending[] = {
	P(id, U32, 0),
	P(what, ENUM, RAMP_RUN_HOOKS),
	P(when, ENUM, CONF_AFTER_RAMP),
	P(stage, U16, CONF_MAX_STAGES),
	P(weight, U16, SHIFT_WEIGHT_MAX),
	P(epoch, U64, 0),
	{0},
};

static uint64_t number_of(const struct field *f, const void *at)
{
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	switch (f->kind) {
	case U8:
		return *(const uint8_t *)at;
	case BOOL:
		return *(const bool *)at;
	case U16:
		memcpy(&u16, at, sizeof(u16));
		return u16;
	case U32:
	case ENUM:
		memcpy(&u32, at, sizeof(u32));
		return u32;
	default:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	}
}

_Static_assert(sizeof(enum ramp_state) == 4 && sizeof(enum conf_when) == 4, "ENUM is 32 bits");

static json_t *pack(const struct field *fields, const void *from)
{
	json_t *j = json_object();

	for (const struct field *f = fields; j && f->name; f++) {
		const char *at = (const char *)from + f->offset;

		if (f->kind == TEXT)
			json_object_set_new(j, f->name, ramp_text_json(at));
		else if (f->kind == BOOL)
			json_object_set_new(j, f->name, json_boolean(number_of(f, at)));
		else
			json_object_set_new(j, f->name, json_integer((json_int_t)number_of(f, at)));
	}
	return j;
}

static bool unpack_number(const struct field *f, const json_t *j, char *at)
{
	static const uint64_t fits[] = {[U8] = UINT8_MAX,
					[U16] = UINT16_MAX,
					[U32] = UINT32_MAX,
					[U64] = INT64_MAX,
					[ENUM] = UINT32_MAX};
	uint64_t most = f->max ? f->max : fits[f->kind], value;

	if (!json_is_integer(j) || json_integer_value(j) < 0)
		return false;
	value = (uint64_t)json_integer_value(j);
	if (value > most)
		return false;
	if (f->kind == U8)
		*(uint8_t *)at = (uint8_t)value;
	else if (f->kind == U16)
		memcpy(at, &(uint16_t){(uint16_t)value}, sizeof(uint16_t));
	else if (f->kind == U64)
		memcpy(at, &value, sizeof(value));
	else
		memcpy(at, &(uint32_t){(uint32_t)value}, sizeof(uint32_t));
	return true;
}

/* What is not there stays 0: an older journal can be read. */
static bool unpack(const struct field *fields, const json_t *from, void *to)
{
	if (!json_is_object(from))
		return false;
	for (const struct field *f = fields; f->name; f++) {
		const json_t *j = json_object_get(from, f->name);
		char *at = (char *)to + f->offset;

		if (!j)
			continue;
		if (f->kind == TEXT && json_is_string(j))
			snprintf(at, f->size, "%s", json_string_value(j));
		else if (f->kind == BOOL && json_is_boolean(j))
			*(bool *)at = json_is_true(j);
		else if (f->kind == TEXT || f->kind == BOOL || !unpack_number(f, j, at))
			return false;
	}
	return true;
}

/* ---- one line ---- */

static void time_text(uint64_t real, char ret[32])
{
	time_t t = (time_t)(real / 1000000000);
	struct tm tm;

	strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
}

static uint64_t real_of(const struct ramp_view *v, uint64_t boot)
{
	return boot <= v->boot && v->boot - boot <= v->real ? v->real - (v->boot - boot) : 0;
}

/* When the evidence of each was first seen. */
static json_t *gates_of(const struct ramp_view *v)
{
	json_t *list = ramp_gates_json(v ? v->gates : NULL, v ? v->n_gates : 0);

	for (unsigned int i = 0; v && i < v->n_gates; i++) {
		uint64_t since = v->gates[i].since ? real_of(v, v->gates[i].since) : 0;

		if (since)
			json_object_set_new(json_array_get(list, i), "since_ns",
					    json_integer((json_int_t)since));
	}
	return list;
}

static json_t *flags_of(unsigned int flags)
{
	json_t *list = json_array();

	for (unsigned int bit = 1; bit && bit <= flags; bit <<= 1) {
		if (flags & bit)
			json_array_append_new(list, json_string(ramp_flag_name(bit)));
	}
	return list;
}

static json_t *hook_of(const struct hook_result *h)
{
	return json_pack("{s:s, s:o, s:s, s:f, s:b, s:o}", "when", hook_when_name(h->when), "name",
			 ramp_text_json(h->name), "outcome", hook_outcome_name(h->outcome),
			 "seconds", h->seconds, "required", (int)h->required, "why",
			 ramp_text_json(h->why));
}

/* What the record wants to know besides; a restart needs none of it. */
static void put_record(json_t *j, const struct ramp_action *a, const struct ramp_view *v)
{
	if (v && v->set_at) {
		json_object_set_new(j, "set_ns", json_integer((json_int_t)v->set_at));
		json_object_set_new(j, "set_by", ramp_text_json(v->set_by));
	}
	if (a->stages)
		json_object_set_new(j, "stages", json_integer(a->stages));
	if (a->hold_ms)
		json_object_set_new(j, "hold_s", json_real((double)a->hold_ms / 1000));
	if (a->cause[0])
		json_object_set_new(j, "cause", ramp_text_json(a->cause));
	if (a->asked)
		json_object_set_new(j, "asked", json_string(a->asked));
	if (a->flags)
		json_object_set_new(j, "flags", flags_of(a->flags));
	if (a->hook)
		json_object_set_new(j, "hook", hook_of(a->hook));
}

char *journal_line(const struct ramp_action *a, const struct ramp_view *v, uint64_t seq)
{
	json_t *saved = pack(of_saved, &a->saved), *j;
	char when[32], *text;

	if (!saved)
		return NULL;
	json_object_set_new(saved, "pending", pack(of_pending, &a->saved.pending));
	json_object_set_new(saved, "side", pack(of_pending, &a->saved.side));
	time_text(v ? v->real : 0, when);
	j = json_pack("{s:i, s:I, s:s, s:I, s:o, s:s, s:s, s:i, s:f, s:I, s:o, s:o, s:o}", "schema",
		      1, "seq", (json_int_t)seq, "time", when, "real_ns",
		      (json_int_t)(v ? v->real : 0), "who", ramp_text_json(a->who), "kind",
		      a->event, "state", ramp_state_name(a->saved.state), "stage",
		      (int)a->saved.stage, "weight", a->weight / 100.0, "epoch",
		      (json_int_t)a->epoch, "reason", ramp_text_json(a->reason), "gates",
		      gates_of(v), "saved", saved);
	if (!j)
		return NULL;
	put_record(j, a, v);
	text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(j);
	return text;
}

static void read_baselines(const json_t *gates, struct journal_found *ret)
{
	for (size_t i = 0; i < json_array_size(gates); i++) {
		const json_t *g = json_array_get(gates, i), *b = json_object_get(g, "baseline");
		const char *name = json_string_value(json_object_get(g, "name"));
		struct journal_baseline *to = &ret->baseline[ret->n_baselines];

		if (!name || !json_is_number(b) || ret->n_baselines == CONF_MAX_GATES)
			continue;
		snprintf(to->gate, sizeof(to->gate), "%s", name);
		to->value = json_number_value(b);
		to->whole = json_is_true(json_object_get(g, "whole"));
		ret->n_baselines++;
	}
}

int journal_parse(const char *line, size_t size, struct journal_found *ret, uint64_t *ret_seq)
{
	json_t *j = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
	const json_t *saved = json_object_get(j, "saved"), *seq = json_object_get(j, "seq");
	struct journal_found f = {.has_state = true};
	int err = -EBADMSG;

	if (json_is_integer(seq) && json_integer_value(seq) > 0 &&
	    unpack(of_saved, saved, &f.saved) &&
	    unpack(of_pending, json_object_get(saved, "pending"), &f.saved.pending) &&
	    unpack(of_pending, json_object_get(saved, "side"), &f.saved.side)) {
		read_baselines(json_object_get(j, "gates"), &f);
		*ret_seq = (uint64_t)json_integer_value(seq);
		*ret = f;
		err = 0;
	}
	json_decref(j);
	return err;
}

/* ---- reading ---- */

/* The last whole entry of a file, from its end. -ENODATA: it has none. */
static int last_entry(const char *path, struct journal_found *ret, uint64_t *ret_seq,
		      unsigned int *damaged)
{
	char *text, *end, *begin;
	size_t size;
	int err = whole_read(path, READ_MAX, &text, &size);

	if (err)
		return err == -ENOENT ? -ENODATA : err;
	err = -ENODATA;
	for (end = text + size; err && end > text; end = begin > text ? begin - 1 : text) {
		begin = end;
		while (begin > text && begin[-1] != '\n')
			begin--;
		if (begin == end)
			continue;
		err = journal_parse(begin, (size_t)(end - begin), ret, ret_seq);
		if (err)
			++*damaged;
	}
	free(text);
	return err ? -ENODATA : 0;
}

static int find_state(struct journal *j, struct journal_found *found)
{
	char path[400];
	unsigned int damaged = 0;
	int err = -ENODATA;

	memset(found, 0, sizeof(*found));
	for (unsigned int i = 0; err == -ENODATA && i <= JOURNAL_KEPT; i++) {
		journal_path(j->dir, i, path);
		err = last_entry(path, found, &j->seq, &damaged);
	}
	found->damaged = damaged;
	return err == -ENODATA ? 0 : err;
}

/* ---- writing ---- */

int journal_open(const char *dir, struct journal **ret, struct journal_found *found)
{
	struct journal *j = calloc(1, sizeof(*j));
	struct journal_found *f = malloc(sizeof(*f));
	int err = j && f ? 0 : -ENOMEM;

	*ret = NULL;
	if (!err && strlen(dir) >= sizeof(j->dir))
		err = -ENAMETOOLONG;
	if (!err && mkdir(dir, 0700) && errno != EEXIST)
		err = -errno;
	if (!err) {
		snprintf(j->dir, sizeof(j->dir), "%s", dir);
		err = find_state(j, f);
	}
	if (!err)
		err = journal_disk_open(dir, JOURNAL_SIZE, &j->disk);
	if (err) {
		journal_close(j);
		free(f);
		return err;
	}
	if (found)
		*found = *f;
	free(f);
	*ret = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	journal_disk_close(j->disk);
	free(j);
}

void journal_limit(struct journal *j, size_t bytes)
{
	journal_disk_limit(j->disk, bytes);
}

int journal_write(struct journal *j, const struct ramp_action *a, const struct ramp_view *v,
		  bool sync)
{
	char *line = journal_line(a, v, j->seq + 1);
	int err = line ? journal_disk_put(j->disk, line, sync) : -ENOMEM;

	free(line);
	if (!err || err == -ETIMEDOUT)
		j->seq++;
	return err;
}

int journal_state(const struct journal *j, unsigned int *ret_waiting)
{
	return journal_disk_state(j->disk, ret_waiting);
}

const char *journal_error_text(int err)
{
	return err == -ETIMEDOUT ? "the disk does not answer" : strerror(-err);
}
