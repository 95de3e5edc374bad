/* SPDX-License-Identifier: GPL-2.0-only */
#include "dns/snapshot.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/whole.h"

#define MAX_FILE (1 << 20)

const char *const dns_steps[] = {
	[DNS_STEP_NONE] = "none",     [DNS_STEP_BEGUN] = "begun",
	[DNS_STEP_DONE] = "done",     [DNS_STEP_NOT] = "not changed",
	[DNS_STEP_BACK] = "put back", [DNS_STEP_UNCERTAIN] = "uncertain",
};

static const char *const types[] = {"A", "AAAA"};

const char *dns_snapshot_path(const char *dir, const char *name, char *ret, size_t size)
{
	size_t used = (size_t)snprintf(ret, size, "%s/change-", dir);

	/* A name may have any byte; a file's may not, and is not longer than 255. */
	for (const char *p = name; *p && used + 10 < size && p - name < 200; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' ||
			     *p == '_' || (*p == '.' && p > name);

		if (*p == '.' && !p[1])
			break;
		used += (size_t)snprintf(ret + used, size - used, plain ? "%c" : "%%%02x",
					 (unsigned char)*p);
	}
	if (used < size)
		snprintf(ret + used, size - used, ".json");
	return ret;
}

static int make_dir(const char *dir)
{
	char path[PATH_MAX];

	if (strlen(dir) >= sizeof(path))
		return -ENAMETOOLONG;
	strcpy(path, dir);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST && errno != EROFS)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

/* ---- to JSON ---- */

static json_t *member_json(const struct dns_member *m)
{
	json_t *j = json_pack("{s:s}", "data", m->data);

	if (m->weighted)
		json_object_set_new(j, "weight", json_integer(m->weight));
	if (m->set_id[0])
		json_object_set_new(j, "set_id", json_string(m->set_id));
	if (m->id[0])
		json_object_set_new(j, "id", json_string(m->id));
	if (m->health_check[0])
		json_object_set_new(j, "health_check", json_string(m->health_check));
	if (m->proxied)
		json_object_set_new(j, "proxied", json_true());
	return j;
}

static json_t *rrset_json(const struct dns_rrset *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->n; i++)
		json_array_append_new(list, member_json(&r->member[i]));
	return json_pack("{s:I, s:s, s:o}", "ttl", (json_int_t)r->ttl, "version", r->version,
			 "records", list);
}

static json_t *snapshot_json(const struct dns_snapshot *s)
{
	json_t *list = json_object();

	for (int i = 0; i < 2; i++) {
		const struct dns_snapshot_type *t = &s->type[i];

		if (t->step == DNS_STEP_NONE)
			continue;
		json_object_set_new(list, types[i],
				    json_pack("{s:s, s:I, s:o, s:o, s:s, s:s}", "step",
					      dns_steps[t->step], "at", (json_int_t)t->at, "old",
					      rrset_json(&t->old), "new", rrset_json(&t->fresh),
					      "id", t->id, "why", t->why));
	}
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "schema", 1, "name", s->name,
			 "provider", s->provider, "verb", s->verb, "who", s->who, "began",
			 (json_int_t)s->began, "ended", (json_int_t)s->ended, "types", list);
}

int dns_snapshot_save(const char *dir, const struct dns_snapshot *s)
{
	json_t *j = snapshot_json(s);
	char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL, path[PATH_MAX];
	int err = text ? make_dir(dir) : -ENOMEM;

	json_decref(j);
	if (!err)
		err = whole_write(dns_snapshot_path(dir, s->name, path, sizeof(path)), text,
				  strlen(text), 0600);
	free(text);
	return err;
}

/* ---- from JSON: what is not as it was written is damage, and nothing of it is believed ---- */

static bool take_text(const json_t *j, const char *key, bool needed, char *ret, size_t size)
{
	const json_t *value = json_object_get(j, key);

	if (!value && !needed)
		return true;
	if (!json_is_string(value) || json_string_length(value) >= size)
		return false;
	strcpy(ret, json_string_value(value));
	return true;
}

static bool take_number(const json_t *j, const char *key, uint64_t max, uint64_t *ret)
{
	const json_t *value = json_object_get(j, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) > max)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

static bool take_member(const json_t *j, int family, struct dns_member *ret)
{
	uint64_t weight = 0;
	uint8_t ip[16];

	ret->weighted = json_object_get(j, "weight");
	if (ret->weighted && !take_number(j, "weight", UINT16_MAX, &weight))
		return false;
	ret->weight = (uint16_t)weight;
	ret->proxied = json_is_true(json_object_get(j, "proxied"));
	return take_text(j, "data", true, ret->data, sizeof(ret->data)) &&
	       inet_pton(family, ret->data, ip) == 1 &&
	       take_text(j, "set_id", false, ret->set_id, sizeof(ret->set_id)) &&
	       take_text(j, "id", false, ret->id, sizeof(ret->id)) &&
	       take_text(j, "health_check", false, ret->health_check, sizeof(ret->health_check));
}

static bool take_rrset(const json_t *j, const char *name, int type, struct dns_rrset *ret)
{
	const json_t *list = json_object_get(j, "records");
	uint64_t ttl;

	if (!json_is_array(list) || json_array_size(list) > DNS_MAX_MEMBERS ||
	    !take_number(j, "ttl", INT32_MAX, &ttl) ||
	    !take_text(j, "version", true, ret->version, sizeof(ret->version)))
		return false;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->type = type ? DNS_AAAA : DNS_A;
	ret->ttl = (uint32_t)ttl;
	for (ret->n = 0; ret->n < json_array_size(list); ret->n++)
		if (!take_member(json_array_get(list, ret->n), type ? AF_INET6 : AF_INET,
				 &ret->member[ret->n]))
			return false;
	dns_rrset_sort(ret);
	return true;
}

static bool take_step(const json_t *j, enum dns_step *ret)
{
	const char *step = json_string_value(json_object_get(j, "step"));

	for (int i = DNS_STEP_BEGUN; step && i <= DNS_STEP_BACK; i++)
		if (!strcmp(step, dns_steps[i])) {
			*ret = (enum dns_step)i;
			return true;
		}
	return false;
}

static bool take_type(const json_t *all, const char *name, int type, struct dns_snapshot_type *ret)
{
	const json_t *j = json_object_get(all, types[type]);

	if (!j)
		return true;
	return take_step(j, &ret->step) && take_number(j, "at", INT64_MAX, &ret->at) &&
	       take_rrset(json_object_get(j, "old"), name, type, &ret->old) &&
	       take_rrset(json_object_get(j, "new"), name, type, &ret->fresh) &&
	       take_text(j, "id", true, ret->id, sizeof(ret->id)) &&
	       take_text(j, "why", true, ret->why, sizeof(ret->why));
}

static bool take_all(const json_t *j, const char *name, struct dns_snapshot *ret)
{
	const json_t *list = json_object_get(j, "types");

	return json_integer_value(json_object_get(j, "schema")) == 1 &&
	       take_text(j, "name", true, ret->name, sizeof(ret->name)) &&
	       !strcmp(ret->name, name) &&
	       take_text(j, "provider", true, ret->provider, sizeof(ret->provider)) &&
	       take_text(j, "verb", true, ret->verb, sizeof(ret->verb)) &&
	       take_text(j, "who", true, ret->who, sizeof(ret->who)) &&
	       take_number(j, "began", INT64_MAX, &ret->began) &&
	       take_number(j, "ended", INT64_MAX, &ret->ended) && json_is_object(list) &&
	       take_type(list, name, 0, &ret->type[0]) && take_type(list, name, 1, &ret->type[1]);
}

int dns_snapshot_load(const char *dir, const char *name, struct dns_snapshot *ret)
{
	char path[PATH_MAX], *text;
	size_t size;
	json_t *j;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = whole_read(dns_snapshot_path(dir, name, path, sizeof(path)), MAX_FILE, &text, &size);
	if (err)
		return err;
	j = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	if (!take_all(j, name, ret)) {
		memset(ret, 0, sizeof(*ret));
		err = -EBADMSG;
	}
	json_decref(j);
	return err;
}

/* ---- the lock ---- */

static void read_holder(int fd, struct dns_lock_holder *ret)
{
	char text[256];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	unsigned long long since = 0;

	memset(ret, 0, sizeof(*ret));
	text[n < 0 ? 0 : n] = '\0';
	if (sscanf(text, "%15[^\n]\n%ld\n%llu\n%63[^\n]", ret->verb, &ret->pid, &since, ret->who) <
	    4)
		memset(ret, 0, sizeof(*ret));
	ret->since = since;
}

static void write_holder(int fd, const char *verb, const char *who)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "%.15s\n%ld\n%llu\n%.63s\n", verb, (long)getpid(),
			 (unsigned long long)time(NULL), who);

	/* Only words for the others: the lock is held without them, too. */
	if (!ftruncate(fd, 0) && pwrite(fd, text, (size_t)n, 0) != n)
		(void)!ftruncate(fd, 0);
}

/* What those who were killed while they wrote left behind: whoever writes here has the lock. */
static void sweep(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, ".change-", 8))
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
}

int dns_change_lock(const char *dir, const char *verb, const char *who, int *ret_fd,
		    struct dns_lock_holder *holder)
{
	char path[PATH_MAX];
	int err = make_dir(dir), fd;

	if (err)
		return err;
	if (snprintf(path, sizeof(path), "%s/change.lock", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		err = errno == EWOULDBLOCK ? -EAGAIN : -errno;
		if (err == -EAGAIN)
			read_holder(fd, holder);
		close(fd);
		return err;
	}
	sweep(dir);
	write_holder(fd, verb, who);
	*ret_fd = fd;
	return 0;
}
