/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * journal.c - the ramp's journal: append, sync, find the last whole line, rotate
 *
 * What it promises: when journal_write with `sync` returned 0, the entry is on the disk and whole;
 * killed at any byte, the file still ends in a state from before or after the entry that was being
 * written, never in between, because a JSON object cut short is no JSON object.
 *
 * A rotation writes the entry into a new file first, and then renames: at every moment either
 * ramp.jsonl or ramp.jsonl.1 ends in the latest state that was acknowledged.
 *
 * Weakness: it trusts that the disk keeps what fdatasync said it has.
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
#include "userspace/ctl/journal.h"
#include "userspace/ctl/ramp_json.h"

#define READ_MAX (64u << 20)

struct journal {
	char dir[320];
	int fd;
	uint64_t seq; /* of the last entry */
	size_t size, limit;
	bool torn; /* the file does not end with the end of a line */
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
		      ramp_gates_json(v ? v->gates : NULL, v ? v->n_gates : 0), "saved", saved);
	if (!j)
		return NULL;
	if (v && v->stages)
		json_object_set_new(j, "stages", json_integer(v->stages));
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

static void path_of(const char *dir, unsigned int number, char ret[400])
{
	if (number)
		snprintf(ret, 400, "%s/ramp.jsonl.%u", dir, number);
	else
		snprintf(ret, 400, "%s/ramp.jsonl", dir);
}

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
		path_of(j->dir, i, path);
		err = last_entry(path, found, &j->seq, &damaged);
	}
	found->damaged = damaged;
	return err == -ENODATA ? 0 : err;
}

static int each_of_file(const char *path, int (*each)(void *arg, const json_t *entry), void *arg,
			unsigned int *damaged)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int err = 0;

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (n = getline(&line, &room, f)) > 0) {
		json_t *j = n > 1 ? json_loadb(line, (size_t)n, 0, NULL) : NULL;

		if (json_is_object(j))
			err = each(arg, j);
		else if (n > 1)
			++*damaged;
		json_decref(j);
	}
	if (!err && ferror(f))
		err = -EIO;
	free(line);
	fclose(f);
	return err;
}

int journal_each(const char *dir, int (*each)(void *arg, const json_t *entry), void *arg,
		 unsigned int *ret_damaged)
{
	unsigned int damaged = 0;
	char path[400];
	int err = 0;

	for (unsigned int i = JOURNAL_KEPT + 1; !err && i--;) {
		path_of(dir, i, path);
		err = each_of_file(path, each, arg, &damaged);
	}
	if (ret_damaged)
		*ret_damaged = damaged;
	return err;
}

/* ---- writing ---- */

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

/* The file that is appended to, as it is. */
static int open_current(struct journal *j)
{
	char path[400], last;
	struct stat st;
	int err;

	path_of(j->dir, 0, path);
	j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (j->fd < 0)
		return -errno;
	if (fstat(j->fd, &st) || !S_ISREG(st.st_mode)) {
		err = errno ? -errno : -EINVAL;
		close(j->fd);
		j->fd = -1;
		return err;
	}
	j->size = (size_t)st.st_size;
	j->torn = st.st_size && (pread(j->fd, &last, 1, st.st_size - 1) != 1 || last != '\n');
	return 0;
}

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
		j->fd = -1;
		j->limit = JOURNAL_SIZE;
		snprintf(j->dir, sizeof(j->dir), "%s", dir);
		err = find_state(j, f);
	}
	if (!err)
		err = open_current(j);
	if (!err)
		err = sync_dir(dir);
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
	if (j->fd >= 0)
		close(j->fd);
	free(j);
}

void journal_limit(struct journal *j, size_t bytes)
{
	j->limit = bytes;
}

/* The line becomes the first of a new file, and the files move up by one. */
static int rotate(struct journal *j, const char *line, size_t size)
{
	char fresh[400], from[400], to[400];
	int fd, err;

	snprintf(fresh, sizeof(fresh), "%s/ramp.jsonl.new", j->dir);
	fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, line, size);
	if (!err && fsync(fd))
		err = -errno;
	for (unsigned int i = JOURNAL_KEPT; !err && i--;) {
		path_of(j->dir, i, from);
		path_of(j->dir, i + 1, to);
		if (rename(from, to) && errno != ENOENT)
			err = -errno;
	}
	path_of(j->dir, 0, to);
	if (!err && rename(fresh, to))
		err = -errno;
	if (err) {
		close(fd);
		unlink(fresh);
		return err;
	}
	close(j->fd);
	j->fd = fd;
	j->size = size;
	j->torn = false;
	return sync_dir(j->dir);
}

static int append(struct journal *j, const char *line, size_t size, bool sync)
{
	int err = write_all(j->fd, line, size);

	if (err) { /* half a line is taken back; if that fails too, the next begins a new one */
		j->torn = ftruncate(j->fd, (off_t)j->size) != 0;
		return err;
	}
	j->size += size;
	j->torn = false;
	if (sync && fdatasync(j->fd))
		return -errno;
	return 0;
}

int journal_write(struct journal *j, const struct ramp_action *a, const struct ramp_view *v,
		  bool sync)
{
	char *line = journal_line(a, v, j->seq + 1), *whole = NULL;
	int n, err;

	if (!line)
		return -ENOMEM;
	n = asprintf(&whole, "%s%s\n", j->torn ? "\n" : "", line);
	free(line);
	if (n < 0)
		return -ENOMEM;
	err = -EAGAIN;
	if (sync && j->size && j->size + (size_t)n > j->limit)
		err = rotate(j, whole, (size_t)n);
	if (err) /* a file that cannot be begun anew goes on */
		err = append(j, whole, (size_t)n, sync);
	if (!err)
		j->seq++;
	free(whole);
	return err;
}
