/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * clients_saved.c - pins on disk
 *
 * One file per service, replaced whole, under a lock of the folder: whoever writes reads the table
 * only then, so the last writer's file holds every pin. It is no .json, for each of those is a
 * service's state.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/base/boot.h"
#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/plane/clients.h"
#include "userspace/plane/control.h"
#include "userspace/plane/state.h"

/* The folder of a namespace that is not process 1's means nothing after a reboot. */
static bool folder_lasts(void)
{
	const char *root = getenv("SHIFT_STATE");
	uint64_t id;
	bool first;

	return (root && *root) || (!plane_namespace(&id, &first) && first);
}

static uint64_t number(const json_t *j, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(j, key));
}

static void copy_text(char *to, size_t size, const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	snprintf(to, size, "%s", text ? text : "");
}

static bool read_pin(const json_t *j, struct client_pin *ret)
{
	const char *network = json_string_value(json_object_get(j, "network"));
	const char *arm = json_string_value(json_object_get(j, "arm"));
	struct client_entry *e = &ret->entry;

	memset(ret, 0, sizeof(*ret));
	if (!network || !arm || ip_parse_network(network, e->address, &e->bits))
		return false;
	if (!strcmp(arm, "new"))
		e->is.action = SHIFT_CLIENT_NEW;
	else if (!strcmp(arm, "old"))
		e->is.action = SHIFT_CLIENT_OLD;
	else
		return false;
	e->is.set_uid = (uint32_t)number(j, "set_uid");
	e->is.set_at = number(j, "set_at");
	e->is.until = number(j, "until_boot");
	ret->until_real = number(j, "until");
	copy_text(ret->by, sizeof(ret->by), j, "by");
	copy_text(ret->reason, sizeof(ret->reason), j, "reason");
	return true;
}

static int read_pins(const json_t *j, struct client_pin **ret, size_t *ret_n)
{
	const json_t *list = json_object_get(j, "pins");
	size_t n = json_array_size(list);
	struct client_pin *pins;

	if (!json_is_array(list))
		return -EBADMSG;
	pins = calloc(n + 1, sizeof(*pins));
	if (!pins)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!read_pin(json_array_get(list, i), &pins[i])) {
			free(pins);
			return -EBADMSG;
		}
	}
	*ret = pins;
	*ret_n = n;
	return 0;
}

int clients_path(const char *service, char *ret, size_t size)
{
	char dir[320];
	int err = state_dir(dir, sizeof(dir)), n;

	if (err)
		return err;
	n = snprintf(ret, size, "%s/%s.pins", dir, service);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int clients_set_aside(const char *service)
{
	char path[320], aside[336];
	int err = clients_path(service, path, sizeof(path));

	if (err)
		return err;
	snprintf(aside, sizeof(aside), "%s.damaged", path);
	return rename(path, aside) ? -errno : 0;
}

int clients_load(const char *service, struct client_pin **ret, size_t *ret_n, bool *ret_this_boot)
{
	char path[320], boot[64];
	const char *boot_then;
	int err = clients_path(service, path, sizeof(path)), fd;
	json_t *j;
	FILE *f;

	*ret = NULL;
	*ret_n = 0;
	*ret_this_boot = false;
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	f = fdopen(fd, "r");
	j = f ? json_loadf(f, 0, NULL) : NULL;
	if (f)
		fclose(f);
	else
		close(fd);
	boot_id(boot);
	boot_then = json_string_value(json_object_get(j, "boot_id"));
	*ret_this_boot = boot_then && !strcmp(boot_then, boot);
	if (!j || *ret_this_boot || folder_lasts())
		err = read_pins(j, ret, ret_n);
	json_decref(j);
	return err;
}

/* ---- writing ---- */

static const struct client_pin *words_of(const struct client_entry *e,
					 const struct client_pin *pins, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct client_entry *is = &pins[i].entry;

		if (is->bits == e->bits && is->is.set_at == e->is.set_at &&
		    !memcmp(is->address, e->address, sizeof(e->address)))
			return &pins[i];
	}
	return NULL;
}

static json_t *json_pin(const struct client_entry *e, const struct client_pin *words, uint64_t boot,
			uint64_t real)
{
	json_int_t until = 0;
	char network[64];
	json_t *j, *by, *reason;

	if (e->is.until)
		until = (json_int_t)(real - boot + e->is.until);
	by = words ? json_string(words->by) : NULL;
	reason = words ? json_string(words->reason) : NULL;
	j = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "network",
		      text_network(e->address, e->bits, network), "arm",
		      client_action_name(e->is.action), "set_uid", (json_int_t)e->is.set_uid,
		      "set_at", (json_int_t)e->is.set_at, "until", until, "until_boot",
		      (json_int_t)e->is.until, "by", by ? by : json_null(), "reason",
		      reason ? reason : json_null());
	return j;
}

static json_t *json_pins(const struct client_entry *list, size_t n, const char *service,
			 const struct client_pin *fresh)
{
	uint64_t boot = control_boot_ns(), real = control_real_ns();
	json_t *pins = json_array();
	struct client_pin *were = NULL;
	size_t n_were = 0;
	bool this_boot;
	char id[64];

	/* no words left is no reason to fail */
	if (clients_load(service, &were, &n_were, &this_boot) == -EBADMSG)
		clients_set_aside(service);
	for (size_t i = 0; i < n; i++) {
		const struct client_pin *words = NULL;

		if (!client_is_pin(list[i].is.action) || client_is_over(&list[i].is, boot))
			continue;
		if (fresh)
			words = words_of(&list[i], fresh, 1);
		if (!words)
			words = words_of(&list[i], were, n_were);
		json_array_append_new(pins, json_pin(&list[i], words, boot, real));
	}
	free(were);
	boot_id(id);
	return json_pack("{s:i, s:s, s:s, s:o}", "schema", 1, "service", service, "boot_id", id,
			 "pins", pins);
}

static int make_dir(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

/* The file is on the disk before it takes the old one's place. */
static int replace(const char *path, const json_t *j)
{
	char fresh[336];
	FILE *f;
	int err = 0, fd;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	f = fdopen(fd, "w");
	if (!f) {
		err = -errno;
		close(fd);
		return err;
	}
	if (json_dumpf(j, f, JSON_INDENT(1)) || fputc('\n', f) < 0 || fflush(f) || fsync(fd))
		err = errno ? -errno : -EIO;
	if (fclose(f) && !err)
		err = -errno;
	if (!err && rename(fresh, path))
		err = -errno;
	if (err)
		unlink(fresh);
	return err;
}

static int save_here(const struct plane *p, int service, const char *name,
		     const struct client_pin *fresh)
{
	char dir[320], path[320];
	struct client_entry *list = NULL;
	int err = state_dir(dir, sizeof(dir)), lock;
	size_t n = 0;
	json_t *j;

	if (!err)
		err = clients_path(name, path, sizeof(path));
	if (!err)
		err = make_dir(dir);
	if (err)
		return err;
	lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX)) {
		err = -errno;
		if (lock >= 0)
			close(lock);
		return err;
	}
	err = clients_list(p, service, &list, &n);
	j = err ? NULL : json_pins(list, n, name, fresh);
	if (!err)
		err = j ? replace(path, j) : -ENOMEM;
	if (!err)
		fsync(lock);
	json_decref(j);
	free(list);
	close(lock);
	return err;
}

/* The child keeps but the table and the pipe: no lock of ours, nobody's output. */
static void be_apart(int *table, int *tell)
{
	int null;

	setsid();
	*table = fcntl(*table, F_DUPFD_CLOEXEC, 20);
	*tell = fcntl(*tell, F_DUPFD_CLOEXEC, *table + 1);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close_range(3, (unsigned int)*table - 1, 0);
	if (*tell > *table + 1)
		close_range((unsigned int)*table + 1, (unsigned int)*tell - 1, 0);
	close_range((unsigned int)*tell + 1, ~0u, 0);
}

int clients_save(const struct plane *p, int service, const char *name,
		 const struct client_pin *fresh, int wait_ms)
{
	struct pollfd poll_fd = {.events = POLLIN};
	int ends[2], err = -ETIMEDOUT;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	child = fork();
	if (child < 0) {
		err = -errno;
		close(ends[0]);
		close(ends[1]);
		return err;
	}
	if (!child) {
		struct plane mine = *p;

		be_apart(&mine.map[PLANE_CLIENTS], &ends[1]);
		err = save_here(&mine, service, name, fresh);
		_exit(write(ends[1], &err, sizeof(err)) < 0);
	}
	close(ends[1]);
	poll_fd.fd = ends[0];
	if (poll(&poll_fd, 1, wait_ms) > 0 && read(ends[0], &err, sizeof(err)) != sizeof(err))
		err = -EIO;
	close(ends[0]);
	waitpid(child, NULL, WNOHANG);
	return err;
}

/* ---- coming back ---- */

uint64_t clients_deadline(const struct client_pin *pin, bool this_boot, uint64_t boot_ns,
			  uint64_t real_ns)
{
	uint64_t left, most;

	if (!pin->until_real || this_boot)
		return pin->entry.is.until;
	left = pin->until_real > real_ns ? pin->until_real - real_ns : 0;
	most = pin->until_real > pin->entry.is.set_at ? pin->until_real - pin->entry.is.set_at : 0;
	return boot_ns + (left < most ? left : most);
}

int clients_restore(const struct plane *p, int service, const char *name,
		    void (*note)(const char *line, void *arg), void *arg)
{
	uint64_t boot = control_boot_ns(), real = control_real_ns();
	struct client_entry *list = NULL;
	const struct client_entry *there;
	struct client_pin *pins;
	bool this_boot;
	size_t n, n_list = 0;
	int err = clients_load(name, &pins, &n, &this_boot);

	if (!err && n)
		err = clients_list(p, service, &list, &n_list);
	for (size_t i = 0; i < n && !err; i++) {
		struct client_entry e = pins[i].entry;
		char line[160], network[64];

		e.is.until = clients_deadline(&pins[i], this_boot, boot, real);
		if (client_is_over(&e.is, boot))
			continue;
		text_network(e.address, e.bits, network);
		there = clients_find(list, n_list, &e);
		if (!there) {
			err = clients_put(p, service, &e);
			snprintf(line, sizeof(line), "+ pin %s %s", network,
				 client_action_name(e.is.action));
		} else {
			snprintf(line, sizeof(line),
				 "! pin %s %s does not come back: the configuration has %s for it",
				 network, client_action_name(e.is.action),
				 client_action_name(there->is.action));
		}
		if (!err)
			note(line, arg);
	}
	if (!err && n)
		err = clients_announce(p, service);
	free(list);
	free(pins);
	return err;
}
