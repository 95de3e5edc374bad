/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/sync_picture.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "userspace/plane/bpfsys.h"
#include "userspace/plane/flows.h"

void sync_tell(struct picture *s, const char *format, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	s->result.changes++;
	if (s->note)
		s->note(line, s->arg);
}

void sync_grace(void)
{
	/* MEMBARRIER_CMD_GLOBAL is synchronize_rcu(), and programs run inside RCU. */
	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(50000);
}

static int count_holder(const struct flow_seen *f, void *arg)
{
	struct picture *s = arg;

	s->held_target[f->target]++;
	if (f->f->listen < SHIFT_MAX_LISTENS)
		s->held_listen[f->f->listen]++;
	if (f->f->backend < SHIFT_MAX_BACKENDS)
		s->held_backend[f->f->backend]++;
	if (f->f->service < SHIFT_MAX_SERVICES)
		s->held_service[f->f->service]++;
	return 0;
}

int sync_count_holders(struct picture *s)
{
	memset(s->held_listen, 0, sizeof(s->held_listen));
	memset(s->held_backend, 0, sizeof(s->held_backend));
	memset(s->held_target, 0, sizeof(s->held_target));
	memset(s->held_service, 0, sizeof(s->held_service));
	return flows_each(s->p, -1, plane_tick(&s->g), count_holder, s);
}

static int read_array(int fd, void *to, size_t size, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int err = bpfsys_lookup(fd, &i, (char *)to + i * size);

		if (err)
			return err;
	}
	return 0;
}

int sync_take_picture(struct picture *s)
{
	const int *map = s->p->map;
	int err = plane_globals(s->p, &s->g);

	if (!err)
		err = read_array(map[PLANE_LISTENS], s->listen, sizeof(*s->listen),
				 SHIFT_MAX_LISTENS);
	if (!err)
		err = read_array(map[PLANE_BACKENDS], s->backend, sizeof(*s->backend),
				 SHIFT_MAX_BACKENDS);
	if (!err)
		err = read_array(map[PLANE_TARGETS], s->target, sizeof(*s->target),
				 SHIFT_MAX_TARGETS);
	return err ? err : sync_count_holders(s);
}

int sync_put(struct picture *s, enum plane_map map, uint32_t id, const void *value)
{
	return bpfsys_update(s->p->map[map], &id, value);
}

int sync_entry(struct picture *s, uint32_t id, bool present)
{
	struct shift_listen_key key = {.port = s->listen[id].port,
				       .protocol = s->listen[id].protocol};
	int err;

	memcpy(key.address, s->listen[id].address, sizeof(key.address));
	if (present)
		return bpfsys_update(s->p->map[PLANE_ENTRY], &key, &id);
	err = bpfsys_delete(s->p->map[PLANE_ENTRY], &key);
	return err == -ENOENT ? 0 : err;
}
