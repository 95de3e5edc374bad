/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/flows.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/plane/bpfsys.h"

#define COPIES 4 /* tries to read one record between two uses of its port */

int flows_map(const struct plane *p, uint32_t target, struct flows_array *ret)
{
	struct bpf_map_info info;
	uint32_t id;
	int err = bpfsys_lookup(p->map[PLANE_SLOTS], &target, &id), fd;
	long page = sysconf(_SC_PAGESIZE);
	size_t size;
	void *m;

	if (err)
		return err;
	fd = bpfsys_map_by_id(id);
	if (fd < 0)
		return fd;
	err = bpfsys_map_info(fd, &info);
	if (!err && info.value_size != sizeof(struct shift_flow))
		err = -EPROTO;
	if (!err) {
		size = (size_t)info.max_entries * sizeof(struct shift_flow);
		size = (size + (size_t)page - 1) & ~((size_t)page - 1);
		m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (m == MAP_FAILED)
			err = -errno;
		else
			*ret = (struct flows_array){m, info.max_entries, size};
	}
	close(fd);
	return err;
}

void flows_unmap(struct flows_array *a)
{
	if (a->flow)
		munmap(a->flow, a->size);
	a->flow = NULL;
}

/*
 * A record's port may go to another connection while we read. Its generation changes with that, and
 * is looked at on both sides of the copy. False: it would not hold still.
 */
static bool copy_flow(const struct shift_flow *live, struct shift_flow *ret)
{
	for (int i = 0; i < COPIES; i++) {
		uint32_t generation = __atomic_load_n(&live->generation, __ATOMIC_ACQUIRE);

		memcpy(ret, live, sizeof(*ret));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&live->generation, __ATOMIC_ACQUIRE) == generation &&
		    ret->generation == generation)
			return true;
	}
	return false;
}

/* `copy` is what seen->f points to. */
static int walk_target(const struct flows_array *s, struct flow_seen *seen, struct shift_flow *copy,
		       int service, uint32_t now, flows_fn fn, void *arg)
{
	uint32_t count = s->count < seen->t->ports ? s->count : seen->t->ports;

	for (uint32_t i = 0; i < count; i++) {
		struct shift_flow *live = &s->flow[i];
		int answer;

		/* Most ports are free or long expired: one cache line, and on. */
		if (!__atomic_load_n(&live->state, __ATOMIC_RELAXED) ||
		    shift_tick_passed(now, __atomic_load_n(&live->expires, __ATOMIC_RELAXED)))
			continue;
		if (!copy_flow(live, copy) || !shift_flow_holds(copy, now))
			continue;
		if (service >= 0 && copy->service != service)
			continue;
		seen->index = i;
		seen->live = live;
		answer = fn(seen, arg);
		if (answer)
			return answer;
	}
	return 0;
}

int flows_each(const struct plane *p, int service, uint32_t now, flows_fn fn, void *arg)
{
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS; id++) {
		struct shift_target t;
		struct shift_flow copy;
		struct flow_seen seen = {.target = id, .t = &t, .f = &copy};
		struct flows_array s = {0};
		int err = bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t);

		if (err)
			return err;
		if (!t.ports)
			continue;
		err = flows_map(p, id, &s);
		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		err = walk_target(&s, &seen, &copy, service, now, fn, arg);
		flows_unmap(&s);
		if (err)
			return err;
	}
	return 0;
}

struct count {
	struct flows_count *sum;
	uint32_t now;
};

static int count_flow(const struct flow_seen *s, void *arg)
{
	struct count *c = arg;

	c->sum->holding++;
	c->sum->holding_by_target[s->target]++;
	if (!shift_flow_alive(s->f, c->now))
		return 0;
	c->sum->alive++;
	c->sum->alive_by_target[s->target]++;
	if (s->f->backend < SHIFT_MAX_BACKENDS)
		c->sum->alive_by_backend[s->f->backend]++;
	return 0;
}

int flows_count(const struct plane *p, int service, uint32_t now, struct flows_count *ret)
{
	struct count c = {.sum = ret, .now = now};

	memset(ret, 0, sizeof(*ret));
	return flows_each(p, service, now, count_flow, &c);
}
