/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog_records.c - which arrays of records there are, and what their ids mean
 *
 * Looked up afresh with each round. An array that its target has no more is held until the round
 * is over, for it is looked at once more.
 *
 * Most ports are idle, so most records need no look: a new flow is where the hand of its shard went
 * by since the last round, and other flows are where some were seen unfinished. Once a minute all
 * are looked at, should anything have been missed by that.
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
#define GONE   (5 * SECOND)  /* without a data plane: it was detached */
#define SEARCH (5 * SECOND)  /* for new targets: their flows do not go before */
#define EVERY  (60 * SECOND) /* all records are looked at, whatever is thought of them */
#define HOT    2	     /* a port that was just taken may get its flow after the first look */
#define STEPS  (65536 / FLOWLOG_STEP)

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

/* ---- which of them were taken ---- */

static void mark(struct flowlog_watched *w, uint32_t first, uint32_t last)
{
	for (uint32_t s = first / FLOWLOG_STEP; s <= last / FLOWLOG_STEP && s < STEPS; s++)
		w->step[s].hot = HOT;
}

void flowlog_mark(struct flowlog_watched *w, uint32_t shard, uint32_t hand, uint32_t moved)
{
	const struct shift_target *t = &w->t;
	uint32_t members = (t->ports - t->phase + t->stride - 1) / t->stride;
	uint32_t from = shard * members / t->shards;
	uint32_t size = (shard + 1) * members / t->shards - from, first, end;

	if (!moved || !size)
		return;
	first = moved < size ? hand % size : 0;
	end = moved < size ? first + moved : size;
	mark(w, t->phase + (from + first) * t->stride,
	     t->phase + (from + (end < size ? end : size) - 1) * t->stride);
	if (end > size)
		mark(w, t->phase + from * t->stride,
		     t->phase + (from + end - size - 1) * t->stride);
}

/* flow_take_of_shard gives the ports in turn. `anew`: in another turn than at the last round. */
static void mark_taken(struct flowlog *l, const struct plane *p, uint32_t target,
		       struct flowlog_watched *w, bool anew)
{
	const struct shift_target *t = &w->t;
	struct shift_cursor c;

	if (anew || l->began >= w->all_at) {
		mark(w, 0, w->count);
		w->all_at = l->began + EVERY;
	}
	if (!t->stride || !t->shards || t->shards > SHIFT_MAX_SHARDS || t->phase >= t->ports)
		return;
	for (uint32_t i = 0; i < t->shards; i++) {
		uint32_t id = target * SHIFT_MAX_SHARDS + i;

		if (bpfsys_lookup(p->map[PLANE_CURSORS], &id, &c)) {
			mark(w, 0, w->count);
			continue;
		}
		flowlog_mark(w, i, w->hand[i], c.hand - w->hand[i]);
		w->hand[i] = c.hand;
	}
}

uint32_t flowlog_due(const struct flowlog_watched *w, uint32_t from, uint32_t *ret_n)
{
	uint32_t s = from / FLOWLOG_STEP, end;

	while (s < STEPS && !w->leaving && !w->step[s].hot && !w->step[s].unfinished)
		s++;
	if (s * FLOWLOG_STEP > from)
		from = s * FLOWLOG_STEP;
	if (from >= w->count)
		return w->count;
	for (end = s + 1; end < STEPS && (end - s) * FLOWLOG_STEP < FLOWLOG_WINDOW; end++)
		if (!w->leaving && !w->step[end].hot && !w->step[end].unfinished)
			break;
	end *= FLOWLOG_STEP;
	*ret_n = (end < w->count ? end : w->count) - from;
	return from;
}

/* ---- the targets ---- */

static int find_target(struct flowlog *l, const struct plane *p, uint32_t target)
{
	struct flowlog_watched *w = l->watched[target];
	struct shift_target t;
	uint32_t map = 0;
	bool anew;
	int err = bpfsys_lookup(p->map[PLANE_TARGETS], &target, &t);

	if (err)
		return err;
	if (t.ports && bpfsys_lookup(p->map[PLANE_SLOTS], &target, &map))
		map = 0;
	if (w && w->map != map) {
		w->leaving = true; /* the new one is for the next round */
		return 0;
	}
	if (!map)
		return 0;
	anew = !w || t.shards != w->t.shards || t.stride != w->t.stride || t.phase != w->t.phase;
	if (w)
		w->t = t;
	else
		err = watch(l, target, &t, map);
	if (!err)
		mark_taken(l, p, target, l->watched[target], anew);
	return err;
}

int flowlog_find(struct flowlog *l, uint64_t now)
{
	const struct plane *p = l->world.plane(l->world.arg, &l->id);
	struct shift_service svc;
	bool search;
	int err, one;

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
	search = now >= l->search_at;
	if (search)
		l->search_at = now + SEARCH;
	for (uint32_t i = 1; i < SHIFT_MAX_TARGETS && !err; i++) {
		one = search || l->watched[i] ? find_target(l, p, i) : 0;
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
