/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog.c - the flow log: who was behind which port of ours, and when
 *
 * The kernel tells nothing and pays nothing. A flow's record stays in its place when the flow is
 * over: for its port's rest, which is 2 s at least, and then until the port is taken again, which
 * mostly is a whole round of the ports later. So it is enough to go round the records often enough:
 * every second unless `interval` says otherwise, in slices of some 2 ms on the loop.
 *
 * What it promises.
 *  - Every flow that ends has one line, or is counted as lost. A record's generation counts the
 *    flows that it had; how many of them are logged or counted is kept per port
 *    (flowlog_places.c), so what came and went between two looks is known by number.
 *  - A flow that cannot be written, as on a full disk, is not logged: its record is looked at again
 *    with the next look. Lost is only what loses its record meanwhile. It is said once.
 *  - Killed, the next process goes on: what ended meanwhile is logged then. What was appended last,
 *    before it was noted, is found at the file's end, so nothing is there twice.
 *  - Traffic does not need it.
 *
 * What it costs: records are looked at where ports were taken or flows are unfinished
 * (flowlog_records.c), mostly one cache line of each, some 20 ns; a line is a few us. Where that is
 * more than half a percent of one CPU, the rounds get rarer, up to 5 s. Memory: a slice of the
 * records is mapped at a time; 4 bytes a port are in a file of memory. The arrays of records are
 * held open, so that the ends of flows of a target that leaves can still be read.
 *
 * Weaknesses.
 *  - Lines are not synced: a power failure takes the last half minute.
 *  - A disk that hangs holds the loop, and the ramp with it: unlike the journal, the log has no
 *    thread of its own, for what is noted as logged must be what was appended. The keep-alive
 *    then runs out where there is one, and `shiftctl rollback` needs neither. The service manager's
 *    watchdog starts shiftd anew, but only where the kernel lets one end that waits for a disk.
 *  - After a power failure or reboot nothing is known of flows that lived; they have no line and
 * are in no count.
 *  - An interface that is away for longer than 5 s, with no other attached, counts as a detach:
 *    flows that go on afterwards were logged as "detached", and what they carry then is in no line.
 *  - A flow has its line when it ends. Who is asked about one that lives asks `shiftctl conns`.
 */
#include "userspace/ctl/flowlog.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/ctl/flowlog_inner.h"

#define MS	 1000000ull
#define SECOND	 (1000 * MS)
#define BUDGET	 (2 * MS)     /* of one turn */
#define RAREST	 (5 * SECOND) /* between two rounds, to spare the CPU */
#define SHARE	 200	      /* of the time that the rounds may take: one part in so many */
#define SOON	 (100 * MS)
#define SAID	 (600 * SECOND) /* between two complaints about losses */
#define GUARD_MS 1500		/* rounds that are further apart wait for no late packets */

bool flowlog_odd(struct flowlog *l, unsigned int what, const char *format, ...)
{
	char text[CONF_TEXT + 300] = "flow log: ";
	uint64_t now = loop_now();
	size_t n = strlen(text);
	va_list ap;

	if (l->said_at[what] && now < l->said_at[what] + SAID)
		return false;
	l->said_at[what] = now;
	va_start(ap, format);
	vsnprintf(text + n, sizeof(text) - n, format, ap);
	va_end(ap);
	l->world.say(l->world.arg, text);
	return true;
}

/* Said when it begins and when it is over; a disk that is full by turns is not said by turns. */
static void set_failing(struct flowlog *l, int err)
{
	bool said = l->said_failing;

	if (l->failing == err)
		return;
	l->failing = err;
	l->said_failing = false;
	if (err)
		l->said_failing = flowlog_odd(
			l, FLOWLOG_SAID_FAILING,
			"%s: it is tried again, and flows are lost when their ports are taken again",
			l->file.why);
	else if (said)
		l->world.say(l->world.arg, "flow log: it is written again");
}

/* ---- a window of records ---- */

/* Appends the lines so far, and notes what they are of: the records before `upto`. */
static void settle_lines(struct flowlog *l, uint32_t upto)
{
	uint32_t n = upto - l->noted, *accounted = &l->accounted[l->noted];
	int err = l->used ? flowlog_file_append(&l->file, l->lines, l->used) : 0;

	l->used = 0;
	if (err) {
		l->blocked = true;
		set_failing(l, err);
	} else {
		if (l->pending)
			set_failing(l, 0);
		if (l->changed &&
		    flowlog_places_write(&l->places, l->target, l->from + l->noted, n, accounted))
			flowlog_odd(l, FLOWLOG_SAID_PLACES,
				    "what is logged cannot be noted: lines may be there twice");
		l->written += l->pending;
		l->lost += l->pending_lost;
		l->untold += l->pending_lost;
		l->noted = upto;
	}
	l->pending = 0;
	l->pending_lost = 0;
	l->changed = false;
}

/* A copy of a record that is over, whole, or false. */
static bool copy_over(const struct shift_flow *live, struct shift_flow *ret)
{
	uint32_t generation = __atomic_load_n(&live->generation, __ATOMIC_ACQUIRE);

	memcpy(ret, live, sizeof(*ret));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&live->generation, __ATOMIC_RELAXED) == generation &&
	       __atomic_load_n(&live->state, __ATOMIC_RELAXED) == ret->state &&
	       __atomic_load_n(&live->expires, __ATOMIC_RELAXED) == ret->expires &&
	       ret->generation == generation;
}

static void write_entry(struct flowlog *l, const struct flowlog_watched *w,
			const struct shift_flow *f, uint32_t index, const struct flowlog_verdict *v)
{
	const struct flowlog_entry e = {.f = f,
					.t = &w->t,
					.l = flowlog_listen(l, f->listen),
					.service = l->service,
					.backend = flowlog_backend(l, f->backend),
					.map = w->map,
					.index = index,
					.v = v};

	l->used += flowlog_line(&e, &l->clock, l->lines + l->used);
	l->pending++;
}

/* False: it did not hold still, or there was nothing to do. */
static void look_at(struct flowlog *l, const struct flowlog_watched *w,
		    const struct shift_flow *live, uint32_t i)
{
	struct flowlog_verdict v;
	struct shift_flow f;

	if (!copy_over(live, &f))
		return;
	flowlog_judge(&f, l->accounted[i], &l->look, &v);
	if (v.accounted == l->accounted[i])
		return;
	v.entry = v.entry && f.service == l->id;
	if (v.entry && l->blocked)
		v.lost++;
	else if (v.entry)
		write_entry(l, w, &f, l->from + i, &v);
	l->pending_lost += v.lost;
	l->accounted[i] = v.accounted;
	l->changed = true;
	if (l->used + FLOWLOG_LINE > FLOWLOG_CHUNK)
		settle_lines(l, i + 1);
}

/* What a look leaves for the next one. */
static void count_unfinished(struct flowlog *l, struct flowlog_watched *w,
			     const struct shift_flow *f, uint32_t i)
{
	struct flowlog_step *s = &w->step[(l->from + i) / FLOWLOG_STEP];

	if (i % FLOWLOG_STEP == 0) {
		s->unfinished = 0;
		s->hot -= s->hot > 0;
	}
	s->unfinished += __atomic_load_n(&f->generation, __ATOMIC_RELAXED) != l->accounted[i];
}

/* What could not be written is looked at again. */
static void put_back(struct flowlog *l, struct flowlog_watched *w, uint32_t n)
{
	l->index = l->from + l->noted - l->noted % FLOWLOG_STEP;
	for (uint32_t at = l->index; at < l->from + n; at += FLOWLOG_STEP)
		w->step[at / FLOWLOG_STEP].hot = 1;
}

/* `n` from l->index on, where a step begins, or until the time is up or nothing can be written. */
static void look_at_records(struct flowlog *l, struct flowlog_watched *w, uint32_t n,
			    uint64_t until)
{
	bool blocked = l->blocked;
	const struct shift_flow *f;
	uint32_t i = 0;
	size_t size;

	l->from = l->index;
	l->noted = 0;
	l->index += n;
	f = flowlog_map(w, l->from, n, &size);
	if (!f || flowlog_places_read(&l->places, l->target, l->from, n, l->accounted)) {
		flowlog_odd(l, FLOWLOG_SAID_RECORDS, "some records cannot be looked at: %s",
			    strerror(errno));
		if (f)
			munmap((void *)(uintptr_t)f, size);
		return;
	}
	flowlog_set_clock(l);
	l->look.last = w->leaving;
	while (i < n && l->blocked == blocked) {
		if (l->look.last || !flowlog_idle(&f[i], l->accounted[i], l->look.now))
			look_at(l, w, &f[i], i);
		count_unfinished(l, w, &f[i], i);
		if (++i % FLOWLOG_STEP == 0 && loop_now() >= until)
			break;
	}
	l->index = l->from + i;
	if (l->blocked == blocked)
		settle_lines(l, i);
	if (l->blocked != blocked)
		put_back(l, w, n);
	munmap((void *)(uintptr_t)f, size);
}

/* ---- a round ---- */

static void tell_lost(struct flowlog *l)
{
	char line[FLOWLOG_LINE], count[32];
	size_t n;

	if (!l->untold)
		return;
	n = flowlog_lost_line(l->untold, l->real_before, l->real, line);
	if (!l->blocked && !flowlog_file_append(&l->file, line, n))
		l->untold = 0;
	flowlog_odd(l, FLOWLOG_SAID_LOST, "%s flows were lost since shiftd began",
		    text_count(l->lost, count));
}

static void begin_round(struct flowlog *l, uint64_t now)
{
	l->period = l->began ? now - l->began : l->interval;
	l->began = now;
	l->busy = 0;
	l->target = 1;
	l->index = 0;
	l->walking = true;
	l->blocked = flowlog_file_open(&l->file) != 0;
	set_failing(l, l->file.failed);
	flowlog_find(l, now);
	flowlog_set_clock(l);
	l->real_before = l->real ? l->real : l->clock.real;
	l->real = l->clock.real;
	l->look.svc = &l->svc;
	l->look.settle = 0;
	if (!l->ending && l->period <= GUARD_MS * MS)
		l->look.settle = l->globals.hz / 2 >> SHIFT_TICK_SHIFT;
}

/* False: the time was up before the end. */
static bool go_round(struct flowlog *l, uint64_t until)
{
	uint32_t n;

	for (; l->target < SHIFT_MAX_TARGETS; l->target++, l->index = 0) {
		struct flowlog_watched *w = l->watched[l->target];

		while (w && (!l->blocked || w->leaving)) {
			l->index = flowlog_due(w, l->index, &n);
			if (l->index >= w->count)
				break;
			look_at_records(l, w, n, until);
			if (loop_now() >= until)
				return false;
		}
		if (w && w->leaving)
			flowlog_drop(l, l->target);
	}
	l->walking = false;
	tell_lost(l);
	return true;
}

static void turn(void *arg, uint64_t now)
{
	struct flowlog *l = arg;
	uint64_t from = loop_now(), next = from, wait;

	(void)now;
	if (!l->walking)
		begin_round(l, from);
	if (go_round(l, from + BUDGET)) {
		l->busy += loop_now() - from;
		wait = l->busy * SHARE < RAREST ? l->busy * SHARE : RAREST;
		next = l->began + (wait > l->interval ? wait : l->interval);
		if (l->fresh) /* from when there is a data plane, nothing is missed */
			next = l->began + SOON;
	} else {
		l->busy += loop_now() - from;
	}
	loop_timer_set(l->loop, &l->timer, next, turn, l);
}

/* ---- beginning and ending ---- */

/* What the process before appended and had no time to note. */
static void read_tail(struct flowlog *l)
{
	uint32_t map, index, generation, noted, target;
	uint64_t from = l->file.size > FLOWLOG_CHUNK - 1 ? l->file.size - (FLOWLOG_CHUNK - 1) : 0;
	ssize_t n = pread(l->file.fd, l->lines, FLOWLOG_CHUNK - 1, (off_t)from);
	char *rest = l->lines, *line;

	l->lines[n > 0 ? n : 0] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		if (!flowlog_parse(line, &map, &index, &generation))
			continue;
		for (target = 1; target < SHIFT_MAX_TARGETS; target++)
			if (map && l->places.map[target] == map)
				break;
		if (target < SHIFT_MAX_TARGETS &&
		    !flowlog_places_read(&l->places, target, index, 1, &noted) &&
		    (int32_t)(generation - noted) > 0) {
			l->lost += generation - noted - 1;
			l->untold += generation - noted - 1;
			flowlog_places_write(&l->places, target, index, 1, &generation);
		}
	}
}

static void begin(struct flowlog *l)
{
	char text[400];
	int err = flowlog_places_open(&l->places, l->path, &l->fresh);

	if (err) {
		snprintf(text, sizeof(text), "flow log: %s%s", err < 0 ? "off: " : "",
			 err < 0 ? strerror(-err)
				 : "no file for what is logged: after a restart it begins anew");
		l->world.say(l->world.arg, text);
	}
	if (err < 0)
		return;
	l->on = true;
	if (!flowlog_file_open(&l->file) && !l->fresh)
		read_tail(l);
	l->began = 0;
	l->search_at = 0;
	loop_timer_set(l->loop, &l->timer, loop_now(), turn, l);
}

/* `off`: it is not wished for any more. */
static void end(struct flowlog *l, bool off)
{
	if (!l->on)
		return;
	loop_timer_stop(l->loop, &l->timer);
	l->ending = true;
	begin_round(l, loop_now());
	go_round(l, UINT64_MAX);
	l->ending = false;
	for (uint32_t i = 0; i < SHIFT_MAX_TARGETS; i++)
		flowlog_drop(l, i);
	flowlog_file_close(&l->file);
	flowlog_places_close(&l->places, off);
	l->on = false;
}

int flowlog_make(struct loop *loop, const struct flowlog_world *world, const char *places,
		 struct flowlog **ret)
{
	struct flowlog *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->loop = loop;
	l->world = *world;
	l->file.fd = -1;
	l->places.fd = -1;
	snprintf(l->path, sizeof(l->path), "%s", places);
	*ret = l;
	return 0;
}

void flowlog_free(struct flowlog *l)
{
	if (!l)
		return;
	end(l, false);
	free(l);
}

void flowlog_use(struct flowlog *l, const struct config *c)
{
	const struct conf_flow_log *is = &c->flow_log;

	if (!is->given) {
		end(l, true);
		unlink(l->path);
		return;
	}
	snprintf(l->service, sizeof(l->service), "%s", c->service);
	l->interval = is->interval_ms * MS;
	if (strcmp(l->file.path, is->file) != 0)
		flowlog_file_close(&l->file);
	snprintf(l->file.path, sizeof(l->file.path), "%s", is->file);
	l->file.rotate = is->rotate;
	l->file.keep = is->keep;
	if (!l->on)
		begin(l);
}

void flowlog_counts(const struct flowlog *l, struct flowlog_counts *ret)
{
	*ret = (struct flowlog_counts){
		.on = l->on && !l->fresh, .written = l->written, .lost = l->lost};
	if (l->failing)
		snprintf(ret->failing, sizeof(ret->failing), "%s", l->file.why);
}

const char *flowlog_text(const struct flowlog *l, char *ret, size_t size)
{
	char written[32], lost[32];

	if (!l->on)
		ret[0] = '\0';
	else if (l->failing)
		snprintf(ret, size, "flow log fails, %s lost", text_count(l->lost, lost));
	else
		snprintf(ret, size, "%s flows logged, %s lost", text_count(l->written, written),
			 text_count(l->lost, lost));
	return ret;
}
