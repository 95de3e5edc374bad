/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog_records.c - which arrays of records there are, and what their ids mean
 *
 * Looked up afresh with each round. An array that its target has no more is held until the round
 * is over, for it is looked at once more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "userspace/ctl/flowlog_inner.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/plane.h"

#define SECOND 1000000000ull
#define GONE   (5 * SECOND) /* without a data plane: it was detached */

void flowlog_drop(struct flowlog *l, uint32_t target)
{
	struct flowlog_watched *w = l->watched[target];

	if (!w)
		return;
	close(w->fd);
	free(w);
	l->watched[target] = NULL;
}

void flowlog_set_clock(struct flowlog *l)
{
	struct timespec real, mono;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	l->clock.real = (uint64_t)real.tv_sec * SECOND + (uint64_t)real.tv_nsec;
	l->clock.mono = (uint64_t)mono.tv_sec * SECOND + (uint64_t)mono.tv_nsec;
	l->clock.hz = l->globals.hz;
	l->look.now = plane_tick(&l->globals);
}

const struct shift_flow *flowlog_map(const struct flowlog_watched *w, uint32_t from, uint32_t n,
				     size_t *ret_size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *m;

	*ret_size = (n * sizeof(struct shift_flow) + page - 1) & ~(page - 1);
	m = mmap(NULL, *ret_size, PROT_READ, MAP_SHARED, w->fd,
		 (off_t)(from * sizeof(struct shift_flow)));
	return m == MAP_FAILED ? NULL : m;
}

/* What ended before the log was wished for is nobody's business. */
static int baseline(struct flowlog *l, uint32_t target, const struct flowlog_watched *w)
{
	int err = 0;

	flowlog_set_clock(l);
	for (uint32_t from = 0; from < w->count && !err; from += FLOWLOG_WINDOW) {
		uint32_t n = w->count - from < FLOWLOG_WINDOW ? w->count - from : FLOWLOG_WINDOW;
		size_t size;
		const struct shift_flow *f = flowlog_map(w, from, n, &size);

		if (!f)
			return -errno;
		for (uint32_t i = 0; i < n; i++)
			l->accounted[i] = flowlog_baseline(&f[i], l->look.now);
		munmap((void *)(uintptr_t)f, size);
		err = flowlog_places_write(&l->places, target, from, n, l->accounted);
	}
	return err;
}

static int watch(struct flowlog *l, uint32_t target, const struct shift_target *t, uint32_t map)
{
	struct flowlog_watched *w = calloc(1, sizeof(*w));
	struct bpf_map_info info;
	int err;

	if (!w)
		return -ENOMEM;
	*w = (struct flowlog_watched){.t = *t, .map = map, .fd = bpfsys_map_by_id(map)};
	err = w->fd < 0 ? w->fd : bpfsys_map_info(w->fd, &info);
	if (!err && info.value_size != sizeof(struct shift_flow))
		err = -EPROTO;
	if (!err) {
		w->count = info.max_entries;
		if (l->places.map[target] != map) {
			err = flowlog_places_begin(&l->places, target, w->count);
			if (!err && l->fresh)
				err = baseline(l, target, w);
			if (!err)
				err = flowlog_places_known(&l->places, target, map);
		}
	}
	if (!err) {
		l->watched[target] = w;
		return 0;
	}
	if (w->fd >= 0)
		close(w->fd);
	free(w);
	return err;
}

static int find_target(struct flowlog *l, const struct plane *p, uint32_t target)
{
	struct flowlog_watched *w = l->watched[target];
	struct shift_target t;
	uint32_t map = 0;
	int err = bpfsys_lookup(p->map[PLANE_TARGETS], &target, &t);

	if (err)
		return err;
	if (t.ports && bpfsys_lookup(p->map[PLANE_SLOTS], &target, &map))
		map = 0;
	if (w && w->map != map)
		w->leaving = true; /* the new one is for the next round */
	else if (w)
		w->t = t;
	else if (map)
		return watch(l, target, &t, map);
	return 0;
}

int flowlog_find(struct flowlog *l, uint64_t now)
{
	const struct plane *p = l->world.plane(l->world.arg, &l->id);
	struct shift_service svc;
	int err = 0, one;

	memset(l->known, 0, sizeof(l->known));
	memset(l->listen_known, 0, sizeof(l->listen_known));
	if (!p) {
		if (!l->gone_since)
			l->gone_since = now;
		for (uint32_t i = 0; i < SHIFT_MAX_TARGETS && now > l->gone_since + GONE; i++)
			if (l->watched[i])
				l->watched[i]->leaving = true;
		return 0;
	}
	l->gone_since = 0;
	if (!plane_service(p, l->id, &svc))
		l->svc = svc;
	err = plane_globals(p, &l->globals);
	for (uint32_t i = 1; i < SHIFT_MAX_TARGETS && !err; i++) {
		one = find_target(l, p, i);
		if (one)
			flowlog_odd(l, FLOWLOG_SAID_RECORDS, "some records cannot be looked at: %s",
				    strerror(-one));
	}
	if (!err)
		l->fresh = false;
	return err;
}

const char *flowlog_backend(struct flowlog *l, uint32_t backend)
{
	uint32_t id;
	const struct plane *p;
	struct shift_backend b;

	if (backend >= SHIFT_MAX_BACKENDS)
		return "";
	if (!l->known[backend]) {
		l->known[backend] = true;
		p = l->world.plane(l->world.arg, &id);
		if (p && !bpfsys_lookup(p->map[PLANE_BACKENDS], &backend, &b) &&
		    b.flags & SHIFT_BACKEND_USED)
			memcpy(l->name[backend], b.name, SHIFT_NAME);
	}
	return l->name[backend];
}

const struct shift_listen *flowlog_listen(struct flowlog *l, uint32_t listen)
{
	uint32_t id;
	const struct plane *p;
	struct shift_listen is;

	if (listen >= SHIFT_MAX_LISTENS)
		return NULL;
	if (!l->listen_known[listen]) {
		l->listen_known[listen] = true;
		p = l->world.plane(l->world.arg, &id);
		if (p && !bpfsys_lookup(p->map[PLANE_LISTENS], &listen, &is) &&
		    is.flags & SHIFT_LISTEN_USED)
			l->listen[listen] = is;
	}
	return &l->listen[listen];
}
