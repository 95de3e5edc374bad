/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * watch_store.c - what the machines know, between one look and the next
 *
 * tunnels.json in the state's folder, replaced whole under tunnels.lock:
 *
 *   {"schema": 1, "boot": "…", "tunnels": {"aws": {…}}, "groups": {"aws": {"members": ["aws", …],
 * …}}, "interfaces": {"wg-aws": "SERVICE"}}
 *
 * Times are CLOCK_BOOTTIME, so what another boot wrote is worth only the active member and the pin.
 * A file that cannot be understood is as good as none: the kernel's routes then say who is active.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/whole.h"
#include "wg/link.h"
#include "wg/machine_json.h"
#include "wg/watch.h"

#define MAX_STATE 262144

static void place(const struct watch *w, const char *name, char ret[256])
{
	snprintf(ret, 256, "%s/%s", w->dir, name);
}

static int make_dir(const char *dir)
{
	char path[200];

	snprintf(path, sizeof(path), "%s", dir);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static void boot_id(char ret[64])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	ret[0] = '\0';
	if (f && fgets(ret, 64, f))
		ret[strcspn(ret, "\n")] = '\0';
	if (f)
		fclose(f);
}

/* ---- locks ---- */

/* The lock of a file that `tunnel down` took away meanwhile is nobody's. */
static bool is_at(int fd, const char *path)
{
	struct stat open, there;

	return !fstat(fd, &open) && !stat(path, &there) && open.st_dev == there.st_dev &&
	       open.st_ino == there.st_ino;
}

static int try_lock(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), err = 0;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB))
		err = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	else if (!is_at(fd, path))
		err = -EAGAIN;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int lock_file(const char *path, int wait_ms)
{
	const struct timespec nap = {.tv_nsec = 20000000};
	int fd;

	while ((fd = try_lock(path)) == -EAGAIN && wait_ms > 0) {
		nanosleep(&nap, NULL);
		wait_ms -= 20;
	}
	return fd;
}

static int lock_daemon(const char *dir, int wait_ms)
{
	char path[256];
	int err = make_dir(dir);

	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/shiftd.lock", dir);
	return lock_file(path, wait_ms);
}

/* A check that only asks has it for a moment, too. */
int watch_daemon_lock(const char *dir)
{
	return lock_daemon(dir, 500);
}

/* Makes nothing, so that it can be asked on a disk that takes nothing; and the lock is shared, so
 * that two who ask at once are not taken for a daemon. */
bool watch_daemon_runs(const char *dir)
{
	char path[256];
	bool runs;
	int fd;

	snprintf(path, sizeof(path), "%s/shiftd.lock", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	runs = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
	close(fd);
	return runs;
}

/* ---- which interfaces are ours ---- */

bool watch_made_by_us(const struct watch *w, const char *interface)
{
	for (unsigned int i = 0; i < w->n_made; i++)
		if (!strcmp(w->made[i].interface, interface) &&
		    !strcmp(w->made[i].service, w->config->service))
			return true;
	return false;
}

const char *watch_left(const struct watch *w, unsigned int *at)
{
	while (*at < w->n_made) {
		const struct watch_made *m = &w->made[(*at)++];
		bool wanted = strcmp(m->service, w->config->service) != 0;

		for (unsigned int i = 0; i < w->n; i++)
			wanted |= !strcmp(m->interface, w->tunnel[i].interface);
		if (!wanted && if_nametoindex(m->interface))
			return m->interface;
	}
	return NULL;
}

void watch_note_made(struct watch *w, const char *interface, bool there)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < w->n_made; i++)
		if (strcmp(w->made[i].interface, interface) != 0)
			w->made[kept++] = w->made[i];
	w->n_made = kept;
	if (!there || kept == WATCH_MADE)
		return;
	snprintf(w->made[kept].interface, sizeof(w->made[kept].interface), "%s", interface);
	snprintf(w->made[kept].service, sizeof(w->made[kept].service), "%s", w->config->service);
	w->n_made++;
}

static void load_made(struct watch *w, json_t *j)
{
	const char *interface;
	json_t *service;

	w->n_made = 0;
	json_object_foreach (j, interface, service) {
		struct watch_made *m = &w->made[w->n_made];
		const char *text = json_string_value(service);

		if (w->n_made == WATCH_MADE || !text || strlen(text) >= sizeof(m->service) ||
		    strlen(interface) >= sizeof(m->interface))
			continue;
		snprintf(m->interface, sizeof(m->interface), "%s", interface);
		snprintf(m->service, sizeof(m->service), "%s", text);
		w->n_made++;
	}
}

/* What is gone is forgotten. */
static json_t *made_to_json(const struct watch *w)
{
	json_t *j = json_object();

	for (unsigned int i = 0; i < w->n_made; i++)
		if (if_nametoindex(w->made[i].interface))
			json_object_set_new(j, w->made[i].interface,
					    json_string(w->made[i].service));
	return j;
}

/* ---- reading ---- */

/* The same members in the same order, or the machine begins anew with what stays true. */
static void load_group(struct watch_group *g, const json_t *j, bool same_boot)
{
	const json_t *members = json_object_get(j, "members"), *name;
	struct failover f;
	bool same = json_array_size(members) == g->group.n;
	const char *active = NULL, *pinned = NULL;
	size_t i;

	if (failover_from_json(json_object_get(j, "failover"), &f))
		return;
	json_array_foreach (members, i, name) {
		const char *text = json_string_value(name);

		same &= text && i < g->group.n && !strcmp(text, g->rules.name[i]);
		active = i == f.active ? text : active;
		pinned = i == f.pinned ? text : pinned;
	}
	if (same && same_boot) {
		g->failover = f;
		return;
	}
	failover_init(&g->failover);
	for (unsigned int k = 0; k < g->group.n; k++) {
		if (active && !strcmp(active, g->rules.name[k]))
			g->failover.active = (uint8_t)k;
		if (pinned && !strcmp(pinned, g->rules.name[k]))
			g->failover.pinned = (uint8_t)k;
	}
}

static uint64_t whole(const json_t *j, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(j, key));

	return n > 0 ? (uint64_t)n : 0;
}

/* What a run of cron saw of a static tunnel's peer is needed by the next. */
static void load_memory(const json_t *j, struct rekey_memory *ret)
{
	if (ret->known || !json_is_object(j))
		return;
	ret->known = true;
	ret->in_packets = whole(j, "in_packets");
	ret->unknown = whole(j, "unknown");
	ret->heard_s = whole(j, "heard_s");
	ret->strange = (unsigned int)whole(j, "strange");
	ret->widened = (unsigned int)whole(j, "widened");
}

static json_t *memory_to_json(const struct rekey_memory *m)
{
	if (!m->known)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:i, s:i}", "in_packets", (json_int_t)m->in_packets,
			 "unknown", (json_int_t)m->unknown, "heard_s", (json_int_t)m->heard_s,
			 "strange", (int)m->strange, "widened", (int)m->widened);
}

/* What was found since is newer than what is on disk. */
static void later(struct watch_tunnel *t, const json_t *j)
{
	uint64_t mtu_at = whole(j, "mtu_at");
	uint64_t repaired = whole(j, "repaired_at");

	if (mtu_at > t->mtu_at) {
		t->mtu_at = mtu_at;
		t->mtu_found = (uint32_t)whole(j, "mtu_found");
	}
	if (repaired > t->repaired_at)
		t->repaired_at = repaired;
	load_memory(json_object_get(j, "memory"), &t->memory);
}

static void load_text(struct watch *w, const char *text, size_t size)
{
	json_t *j = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	const char *boot = json_string_value(json_object_get(j, "boot"));
	char here[64];
	bool same;

	boot_id(here);
	same = boot && !strcmp(boot, here);
	load_made(w, same ? json_object_get(j, "interfaces") : NULL);
	for (unsigned int i = 0; same && i < w->n; i++) {
		const json_t *t =
			json_object_get(json_object_get(j, "tunnels"), w->tunnel[i].conf->name);
		struct health h;

		if (t && !w->stays && !health_from_json(json_object_get(t, "health"), &h))
			w->tunnel[i].health = h;
		later(&w->tunnel[i], t);
	}
	for (unsigned int g = 0; g < w->n_groups; g++)
		load_group(&w->group[g],
			   json_object_get(json_object_get(j, "groups"), w->group[g].rules.name[0]),
			   same);
	json_decref(j);
}

/* Nobody knows who was active: whoever has the routes. */
static void ask_kernel(struct watch *w, unsigned int g)
{
	struct watch_group *wg = &w->group[g];
	struct link_route *routes = NULL;
	uint32_t through = 0;
	size_t n = 0;

	if (group_routes(w->config, &wg->group, &routes, &n))
		return;
	if (n && !link_route_device(&routes[0], &through) && through)
		for (unsigned int k = 0; k < wg->group.n; k++)
			if (if_nametoindex(w->tunnel[wg->group.member[k]].interface) == through)
				wg->failover.active = (uint8_t)k;
	free(routes);
}

/* Another file than the one before; inodes alone are used again. */
static uint64_t identity(const struct stat *st)
{
	return (uint64_t)st->st_ino * 0x9e3779b97f4a7c15ull ^
	       ((uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec);
}

int watch_begin(struct watch *w, int wait_ms)
{
	struct stat st = {0};
	char path[256], *text = NULL;
	size_t size = 0;
	int err = make_dir(w->dir);

	if (err)
		return err;
	place(w, "tunnels.lock", path);
	w->lock = lock_file(path, wait_ms);
	if (w->lock < 0)
		return w->lock;
	place(w, "tunnels.json", path);
	if (stat(path, &st) || identity(&st) != w->saved_as) {
		if (!whole_read(path, MAX_STATE, &text, &size))
			load_text(w, text, size);
		free(text);
		w->saved_as = identity(&st);
	}
	for (unsigned int g = 0; g < w->n_groups; g++)
		if (w->group[g].failover.active == FAILOVER_NONE)
			ask_kernel(w, g);
	return 0;
}

/* ---- writing ---- */

static json_t *whole_state(const struct watch *w)
{
	json_t *tunnels = json_object(), *groups = json_object();
	char here[64];

	boot_id(here);
	for (unsigned int i = 0; i < w->n; i++) {
		const struct watch_tunnel *t = &w->tunnel[i];

		json_object_set_new(
			tunnels, t->conf->name,
			json_pack("{s:o, s:I, s:I, s:I, s:o}", "health", health_to_json(&t->health),
				  "mtu_found", (json_int_t)t->mtu_found, "mtu_at",
				  (json_int_t)t->mtu_at, "repaired_at", (json_int_t)t->repaired_at,
				  "memory", memory_to_json(&t->memory)));
	}
	for (unsigned int g = 0; g < w->n_groups; g++) {
		const struct watch_group *wg = &w->group[g];
		json_t *members = json_array();

		for (unsigned int k = 0; k < wg->group.n; k++)
			json_array_append_new(members, json_string(wg->rules.name[k]));
		json_object_set_new(groups, wg->rules.name[0],
				    json_pack("{s:o, s:o}", "members", members, "failover",
					      failover_to_json(&wg->failover)));
	}
	return json_pack("{s:i, s:s, s:o, s:o, s:o}", "schema", 1, "boot", here, "tunnels", tunnels,
			 "groups", groups, "interfaces", made_to_json(w));
}

static int save(struct watch *w)
{
	json_t *j = whole_state(w);
	char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL, path[256];
	struct stat st;
	int err = -ENOMEM;

	place(w, "tunnels.json", path);
	if (text)
		err = whole_write(path, text, strlen(text), 0600);
	free(text);
	json_decref(j);
	if (!err && !stat(path, &st))
		w->saved_as = identity(&st);
	return err;
}

int watch_end(struct watch *w, bool keep)
{
	int err;

	if (w->lock < 0)
		return 0;
	err = keep ? save(w) : 0;
	close(w->lock);
	w->lock = -1;
	return err;
}
