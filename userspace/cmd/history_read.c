/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * history_read.c - the trails' files, from where they were read last
 *
 * Each is read as it is found: a line that a crash tore, or that somebody damaged, is left out and
 * counted, and hides no other. A journal that was rotated is first read to its end, then the new
 * one from its beginning.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "userspace/cmd/history.h"
#include "userspace/ctl/journal.h"
#include "userspace/plane/state.h"

const char *history_text(const json_t *entry, const char *key)
{
	const char *text = json_string_value(json_object_get(entry, key));

	return text ? text : "";
}

time_t history_time(const json_t *entry)
{
	struct tm tm = {0};
	const char *end = strptime(history_text(entry, "time"), "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end && !*end ? timegm(&tm) : -1;
}

static json_int_t epoch_of(const json_t *entry)
{
	return json_integer_value(json_object_get(entry, "epoch"));
}

/* ---- the ramp's entries ---- */

static bool is(const json_t *entry, const char *key, const char *text)
{
	return !strcmp(history_text(entry, key), text);
}

/* What changes control has a line in the audit trail, by whomever it was done. */
static bool is_told(const json_t *e, const json_t *before)
{
	static const char *const kinds[] = {"promoting", "paused",    "freeze",	 "unfreeze",
					    "failed",	 "overtaken", "unknown", "hook",
					    "monitor",	 "alarm-over"};

	if (is(e, "kind", "holding"))
		return json_is_string(json_object_get(e, "asked"));
	if (is(e, "kind", "done"))
		return is(e, "state", "done") && !strncmp(history_text(e, "reason"), "all ", 4);
	if (is(e, "kind", "alarm")) /* of a pause that was told before it */
		return !before || strcmp(history_text(before, "reason"), history_text(e, "reason"));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (is(e, "kind", kinds[i]))
			return true;
	}
	return false;
}

static void verb_of(const json_t *e, char ret[48])
{
	const char *asked = history_text(e, "asked"), *kind = history_text(e, "kind");

	if (!strcmp(kind, "freeze") || !strcmp(kind, "unfreeze"))
		snprintf(ret, 48, "%s", kind);
	else
		snprintf(ret, 48, "ramp %.32s",
			 *asked			      ? asked
			 : !strcmp(kind, "promoting") ? "proceed"
						      : kind);
}

json_t *history_of_ramp(const json_t *e, const char *service, bool evidence, const json_t *before)
{
	json_t *weight = json_object_get(e, "weight"), *flags = json_object_get(e, "flags"), *j;
	char verb[48];

	if (!is_told(e, before))
		return NULL;
	verb_of(e, verb);
	j = json_pack("{s:i, s:O?, s:O?, s:s, s:s, s:O?, s:O?, s:O?, s:O?, s:n, s:s, s:O*}",
		      "schema", 1, "time", json_object_get(e, "time"), "who",
		      json_object_get(e, "who"), "verb", verb, "service", service, "epoch",
		      json_object_get(e, "epoch"), "from", weight, "to", weight, "reason",
		      json_object_get(e, "reason"), "detail", "trail", "ramp", "flags", flags);
	if (j && evidence && !is(e, "kind", "hook"))
		json_object_set(j, "gates", json_object_get(e, "gates"));
	return j;
}

/* ---- one order of both ---- */

static bool comes_first(const json_t *control, const json_t *ramp)
{
	time_t a = history_time(control), b = history_time(ramp);

	return a != b ? a < b : epoch_of(control) <= epoch_of(ramp);
}

json_t *history_join(json_t *control, json_t *ramp)
{
	size_t c = 0, r = 0, nc = json_array_size(control), nr = json_array_size(ramp);
	json_t *all = json_array();

	while (c < nc || r < nr) {
		if (r == nr ||
		    (c < nc && comes_first(json_array_get(control, c), json_array_get(ramp, r))))
			json_array_append(all, json_array_get(control, c++));
		else
			json_array_append(all, json_array_get(ramp, r++));
	}
	return all;
}

/* ---- lines ---- */

static bool fits(const struct history *h, const json_t *entry)
{
	return (!h->service || is(entry, "service", h->service)) &&
	       (!h->since || history_time(entry) >= h->since);
}

/* Nothing beyond the limit can be among the last of both. */
static void keep(struct history *h, json_t *list, json_t *entry)
{
	json_array_append_new(list, entry);
	if (!h->limit || json_array_size(list) <= h->limit)
		return;
	json_array_remove(list, 0);
	h->earlier++;
}

/* Takes the entry over. */
static void add_control(struct history *h, json_t *entry)
{
	if (fits(h, entry))
		keep(h, h->control, entry);
	else
		json_decref(entry);
}

static void add_ramp(struct history *h, const char *service, const json_t *e)
{
	json_t *j = history_of_ramp(e, service, h->evidence, json_object_get(h->said, service));
	char key[100];

	if (h->evidence && is(e, "kind", "intent")) {
		snprintf(key, sizeof(key), "%.60s %lld", service, (long long)epoch_of(e) + 1);
		json_object_set(h->before, key, json_object_get(e, "gates"));
	}
	if (!j)
		return;
	json_object_set(h->said, service, j);
	if (fits(h, j))
		keep(h, h->ramp, json_incref(j));
	json_decref(j);
}

static bool read_entry(struct history *h, const struct history_file *f, const char *line,
		       size_t size)
{
	json_t *entry = json_loadb(line, size, 0, NULL);

	if (!json_is_object(entry)) {
		json_decref(entry);
		return false;
	}
	if (!f->service[0]) {
		add_control(h, entry);
		return true;
	}
	add_ramp(h, f->service, entry);
	json_decref(entry);
	return true;
}

/* After a line that a crash tore, the next entry stands in the same line. */
static void read_line(struct history *h, const struct history_file *f, const char *line,
		      size_t size)
{
	static const char begin[] = "{\"schema\":";
	const char *again = size > 1 ? memmem(line + 1, size - 1, begin, strlen(begin)) : NULL;

	if (size == 1 || read_entry(h, f, line, size))
		return;
	h->damaged++;
	if (again)
		read_entry(h, f, again, size - (size_t)(again - line));
}

/* What has no end yet is read again next time. */
static int read_on(struct history *h, struct history_file *f)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int err = 0;

	clearerr(f->f);
	while ((n = getline(&line, &room, f->f)) > 0) {
		if (line[n - 1] == '\n') {
			read_line(h, f, line, (size_t)n);
			continue;
		}
		if (!read_entry(h, f, line, (size_t)n)) {
			fseeko(f->f, -n, SEEK_CUR);
			h->torn = true;
		}
		break;
	}
	if (ferror(f->f))
		err = -EIO;
	free(line);
	return err;
}

/* ---- files ---- */

static int open_file(struct history_file *f)
{
	struct stat st;

	f->f = fopen(f->path, "re");
	if (!f->f)
		return -errno;
	if (fstat(fileno(f->f), &st))
		return -errno;
	f->device = st.st_dev;
	f->inode = st.st_ino;
	return 0;
}

/* It is another one now. */
static bool was_replaced(const struct history_file *f)
{
	struct stat st;

	return !stat(f->path, &st) && (st.st_dev != f->device || st.st_ino != f->inode);
}

static int read_file(struct history *h, struct history_file *f, char path[320])
{
	int err = f->f ? 0 : open_file(f);

	if (err == -ENOENT)
		return 0;
	if (!err)
		err = read_on(h, f);
	if (!err && was_replaced(f)) {
		fclose(f->f);
		f->f = NULL;
		err = open_file(f);
		if (!err)
			err = read_on(h, f);
	}
	if (err)
		snprintf(path, 320, "%s", f->path);
	return err;
}

static struct history_file *file_of(struct history *h, const char *path, const char *service)
{
	struct history_file *f;

	for (unsigned int i = 0; i < h->files; i++) {
		if (!strcmp(h->file[i].path, path))
			return &h->file[i];
	}
	if (h->files == HISTORY_FILES)
		return NULL;
	f = &h->file[h->files++];
	snprintf(f->path, sizeof(f->path), "%s", path);
	snprintf(f->service, sizeof(f->service), "%s", service);
	return f;
}

/* The rotated ones of a journal, once. */
static int read_rotated(struct history *h, const char *dir, const char *service, char path[320])
{
	int err = 0;

	for (unsigned int i = JOURNAL_KEPT; !err && i; i--) {
		struct history_file f = {0};
		char name[400];

		journal_path(dir, i, name);
		snprintf(f.path, sizeof(f.path), "%.300s", name);
		snprintf(f.service, sizeof(f.service), "%s", service);
		err = read_file(h, &f, path);
		if (f.f)
			fclose(f.f);
	}
	return err;
}

static int read_ramp(struct history *h, const char *above, const char *service, char path[320])
{
	unsigned int known = h->files;
	struct history_file *f;
	char dir[300], name[400];
	int err = 0;

	if (snprintf(dir, sizeof(dir), "%s/%s", above, service) >= (int)sizeof(dir))
		return 0;
	journal_path(dir, 0, name);
	f = file_of(h, name, service);
	if (!f)
		return 0;
	if (h->files > known)
		err = read_rotated(h, dir, service, path);
	return err ? err : read_file(h, f, path);
}

static int read_ramps(struct history *h, const char *state, char path[320])
{
	char above[280];
	struct dirent *e;
	int err = 0;
	DIR *d;

	snprintf(above, sizeof(above), "%.250s/ramp", state);
	d = opendir(above);
	if (!d)
		return 0;
	while (!err && (e = readdir(d))) {
		if (e->d_name[0] != '.' && strlen(e->d_name) < sizeof(h->file[0].service) &&
		    (!h->service || !strcmp(h->service, e->d_name)))
			err = read_ramp(h, above, e->d_name, path);
	}
	closedir(d);
	return err;
}

/* ---- all of it ---- */

struct place {
	json_t *entry;
	time_t at;
	size_t i; /* as it was read: what is of the same second stays in its order */
};

static int by_time(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->i > y->i) - (x->i < y->i);
}

/* The journals of several services, one behind the other. */
static void sort(json_t *list)
{
	size_t n = json_array_size(list);
	struct place *all = calloc(n ? n : 1, sizeof(*all));

	if (!all)
		return;
	for (size_t i = 0; i < n; i++) {
		json_t *entry = json_incref(json_array_get(list, i));

		all[i] = (struct place){entry, history_time(entry), i};
	}
	json_array_clear(list);
	qsort(all, n, sizeof(*all), by_time);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, all[i].entry);
	free(all);
}

static void put_evidence(struct history *h)
{
	json_t *entry, *gates;
	char key[100];
	size_t i;

	json_array_foreach (h->control, i, entry) {
		snprintf(key, sizeof(key), "%.60s %lld", history_text(entry, "service"),
			 (long long)epoch_of(entry));
		gates = json_object_get(h->before, key);
		if (gates && (is(entry, "verb", "ramp") || is(entry, "verb", "rollback")))
			json_object_set(entry, "gates", gates);
	}
}

int history_read(struct history *h, char path[320])
{
	char dir[256], name[320];
	struct history_file *f;
	int err = state_dir(dir, sizeof(dir));

	json_decref(h->control);
	json_decref(h->ramp);
	json_decref(h->entries);
	h->control = json_array();
	h->ramp = json_array();
	h->entries = NULL;
	if (!h->begun) {
		h->said = json_object();
		h->before = json_object();
		h->begun = true;
	}
	h->torn = false;
	if (err)
		return err;
	snprintf(name, sizeof(name), "%s/history.jsonl", dir);
	f = file_of(h, name, "");
	err = read_file(h, f, path);
	if (!err)
		err = read_ramps(h, dir, path);
	if (err)
		return err;
	if (h->files > 2)
		sort(h->ramp);
	put_evidence(h);
	h->entries = history_join(h->control, h->ramp);
	while (h->limit && json_array_size(h->entries) > h->limit) {
		json_array_remove(h->entries, 0);
		h->earlier++;
	}
	return 0;
}

void history_free(struct history *h)
{
	for (unsigned int i = 0; i < h->files; i++) {
		if (h->file[i].f)
			fclose(h->file[i].f);
	}
	json_decref(h->control);
	json_decref(h->ramp);
	json_decref(h->entries);
	json_decref(h->said);
	json_decref(h->before);
}
