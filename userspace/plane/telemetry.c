/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * telemetry.c - reading the counters
 *
 * One look-up of a per-CPU map gives the value of every possible CPU, one after the other, each
 * rounded up to 8 bytes. Every counter is a u64 that only its CPU adds to, so the sum is a moment's
 * truth to within the packets that pass while it is taken.
 */
#include "userspace/plane/telemetry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/plane/bpfsys.h"

#define POSSIBLE "/sys/devices/system/cpu/possible"

/* The kernel writes as many values as it pleases: without the list, room for any kernel's. */
#define MOST_CPUS 8192

unsigned int telemetry_count_cpus(const char *list)
{
	unsigned int count = 0, next = 0;

	for (;;) {
		unsigned long first, last;
		char *end;

		if (*list < '0' || *list > '9')
			return 0;
		first = last = strtoul(list, &end, 10);
		if (*end == '-') {
			list = end + 1;
			if (*list < '0' || *list > '9')
				return 0;
			last = strtoul(list, &end, 10);
		}
		if (first < next || last < first || last >= MOST_CPUS)
			return 0;
		next = (unsigned int)last + 1;
		count += (unsigned int)(last - first) + 1;
		if (!*end || *end == '\n')
			return count;
		if (*end != ',')
			return 0;
		list = end + 1;
	}
}

static unsigned int possible_cpus(void)
{
	static unsigned int count;
	char list[1024];
	FILE *f;

	if (count)
		return count;
	f = fopen(POSSIBLE, "re");
	if (f) {
		if (fgets(list, sizeof(list), f))
			count = telemetry_count_cpus(list);
		fclose(f);
	}
	if (!count)
		count = MOST_CPUS;
	return count;
}

/* The values of all CPUs in one array, which the caller frees. */
static int read_cpus(int map_fd, uint32_t key, size_t size, void **ret)
{
	void *values = calloc(possible_cpus(), size);
	int err;

	if (!values)
		return -ENOMEM;
	err = bpfsys_lookup(map_fd, &key, values);
	if (err) {
		free(values);
		return err;
	}
	*ret = values;
	return 0;
}

/* Sums a value that is nothing but u64. */
static int sum_cpus(int map_fd, uint32_t key, void *ret, size_t size)
{
	size_t words = size / sizeof(uint64_t);
	uint64_t *values, *sum = ret;
	void *all;
	int err = read_cpus(map_fd, key, size, &all);

	if (err)
		return err;
	values = all;
	memset(ret, 0, size);
	for (unsigned int cpu = 0; cpu < possible_cpus(); cpu++) {
		for (size_t i = 0; i < words; i++)
			sum[i] += values[cpu * words + i];
	}
	free(all);
	return 0;
}

_Static_assert(sizeof(struct shift_service_stats) % 8 == 0, "summed as u64");
_Static_assert(sizeof(struct shift_backend_stats) % 8 == 0, "summed as u64");
_Static_assert(sizeof(struct shift_answers) % 8 == 0, "summed as u64");
_Static_assert(sizeof(struct shift_if_stats) % 8 == 0, "lies in steps of 8 bytes");

int telemetry_service(const struct plane *p, uint32_t service, struct shift_service_stats *ret)
{
	return sum_cpus(p->map[PLANE_SVCSTATS], service, ret, sizeof(*ret));
}

int telemetry_backend(const struct plane *p, uint32_t backend, struct shift_backend_stats *ret)
{
	return sum_cpus(p->map[PLANE_BESTATS], backend, ret, sizeof(*ret));
}

static void add_answers(struct shift_answers *to, const struct shift_answers *more)
{
	const __u64 *from = (const __u64 *)more;
	__u64 *sum = (__u64 *)to, epoch = more->epoch;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*sum); i++)
		sum[i] += from[i];
	to->epoch = epoch;
}

/* Each CPU keeps the last epochs that it has seen. */
static void add_epoch(struct telemetry_arm *to, const struct shift_answers *more)
{
	unsigned int at = 0;

	if (!more->begun && !more->answered && !more->failed && !more->chosen)
		return;
	while (at < to->epochs && to->epoch[at].epoch > more->epoch)
		at++;
	if (at == SHIFT_EPOCHS)
		return;
	if (at == to->epochs || to->epoch[at].epoch != more->epoch) {
		if (to->epochs < SHIFT_EPOCHS)
			to->epochs++;
		memmove(&to->epoch[at + 1], &to->epoch[at],
			(to->epochs - at - 1) * sizeof(to->epoch[0]));
		memset(&to->epoch[at], 0, sizeof(to->epoch[0]));
	}
	add_answers(&to->epoch[at], more);
}

static void add_cohort(struct telemetry_arm *to, const struct shift_cohort *c, uint64_t now)
{
	if (c->number > now || now - c->number >= 10)
		return;
	to->begun_10s += c->begun;
	to->failed_10s += c->failed;
}

void telemetry_add_up(const struct shift_arm *cpu, unsigned int cpus, uint64_t now_ns,
		      struct telemetry_arm *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (; cpus; cpus--, cpu++) {
		add_answers(&ret->total, &cpu->total);
		for (int i = 0; i < SHIFT_EPOCHS; i++)
			add_epoch(ret, &cpu->epoch[i]);
		for (int i = 0; i < SHIFT_COHORTS; i++)
			add_cohort(ret, &cpu->cohort[i], now_ns >> SHIFT_COHORT_SHIFT);
	}
}

int telemetry_arm(const struct plane *p, uint32_t service, enum shift_arm_id arm,
		  struct telemetry_arm *ret)
{
	struct timespec t;
	void *all;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (p->map[PLANE_ARMS] < 0)
		return -ENODATA;
	err = read_cpus(p->map[PLANE_ARMS], service * SHIFT_ARMS + arm, sizeof(struct shift_arm),
			&all);
	if (err)
		return err;
	clock_gettime(CLOCK_MONOTONIC, &t);
	telemetry_add_up(all, possible_cpus(),
			 (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec, ret);
	free(all);
	return 0;
}

int telemetry_answers(const struct plane *p, uint32_t backend, struct shift_answers *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (p->map[PLANE_ANSWERS] < 0)
		return -ENODATA;
	return sum_cpus(p->map[PLANE_ANSWERS], backend, ret, sizeof(*ret));
}

/* ---- clients ---- */

static int by_client(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct shift_origin));
}

void telemetry_busiest(const struct shift_origins *o, struct telemetry_origin *ret)
{
	static const struct shift_origin none;
	struct shift_origins s = *o;
	struct shift_origin best = none;
	unsigned int run = 0;

	memset(ret, 0, sizeof(*ret));
	qsort(s.at, SHIFT_ORIGINS, sizeof(s.at[0]), by_client);
	for (unsigned int i = 0; i < SHIFT_ORIGINS; i++) {
		if (!by_client(&s.at[i], &none))
			continue;
		ret->of++;
		run = i && !by_client(&s.at[i - 1], &s.at[i]) ? run + 1 : 1;
		if (run <= ret->n)
			continue;
		ret->n = run;
		best = s.at[i];
	}
	ret->bits = best.client[0] ? 64 : 128;
	if (best.client[0]) {
		memcpy(ret->address, best.client, sizeof(best.client));
	} else {
		ret->address[2] = shift_be32(0xffff);
		ret->address[3] = best.client[1];
	}
}

int telemetry_origin(const struct plane *p, uint32_t service, struct telemetry_origin *ret)
{
	struct shift_origins o;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (p->map[PLANE_ORIGINS] < 0)
		return -ENODATA;
	err = bpfsys_lookup(p->map[PLANE_ORIGINS], &service, &o);
	if (!err)
		telemetry_busiest(&o, ret);
	return err;
}

/* The kernel adds and drops entries meanwhile, and a walk that meets a dropped one begins anew: so
 * it has a bound. */
static int forget_failers(int fd, uint32_t service)
{
	struct shift_failer_key key, next;
	int err = bpfsys_next_key(fd, NULL, &next);

	for (unsigned int steps = 0; !err && steps < 2 * SHIFT_FAILERS; steps++) {
		key = next;
		err = bpfsys_next_key(fd, &key, &next);
		if (key.place / SHIFT_ARMS == service)
			bpfsys_delete(fd, &key);
	}
	return err == -ENOENT ? 0 : err;
}

int telemetry_forget_clients(const struct plane *p, uint32_t service)
{
	static const struct shift_origins nobody;
	static const struct shift_seen none;
	int err = 0;

	if (p->map[PLANE_FAILERS] >= 0)
		err = forget_failers(p->map[PLANE_FAILERS], service);
	if (!err && p->map[PLANE_SEEN] >= 0)
		err = bpfsys_update(p->map[PLANE_SEEN], &service, &none);
	if (!err && p->map[PLANE_ORIGINS] >= 0)
		err = bpfsys_update(p->map[PLANE_ORIGINS], &service, &nobody);
	return err;
}

/* ---- interfaces ---- */

/* A place that was never used is not its window's. */
static bool is_window(const struct shift_if_stats *s, int i)
{
	return s->window[i] % SHIFT_WINDOWS == (uint32_t)i;
}

/* What came between the first packet of the window at place `i` and that of the one after it. */
static uint32_t window_packets(const struct shift_if_stats *s, int i, uint32_t mask)
{
	uint32_t after = 0, nearest = mask;

	for (int v = 0; v < SHIFT_VERDICTS; v++)
		after += (uint32_t)s->verdict[v];
	for (int k = 0; k < SHIFT_WINDOWS; k++) {
		uint32_t later = (s->window[k] - s->window[i]) & mask;

		if (!is_window(s, k) || !later || later >= nearest || later > mask / 2)
			continue;
		nearest = later;
		after = s->before[k];
	}
	after -= s->before[i];
	return (int32_t)after < 0 ? 0 : after; /* read while the program wrote it */
}

/*
 * The window of `now` has only begun, so ten seconds reach back over it, some whole ones, and a
 * part of one more. Ages are counted in as many bits as a tick leaves for the number of a window.
 */
double telemetry_window_packets(const struct shift_if_stats *s, uint32_t window_shift, uint32_t hz,
				uint32_t now)
{
	uint32_t shift = window_shift > SHIFT_TICK_SHIFT ? window_shift - SHIFT_TICK_SHIFT : 0;
	uint32_t ticks = 1u << shift, mask = ~0u >> shift, current = now >> shift;
	double begun = (double)(now & (ticks - 1)) / ticks;
	double wanted = 10.0 * hz / (1u << SHIFT_TICK_SHIFT) / ticks - begun, sum = 0;

	for (int i = 0; i < SHIFT_WINDOWS; i++) {
		uint32_t age = (current - s->window[i]) & mask;
		double share = wanted - age + 1; /* of the window's time that is not too old */

		if (age == 0 || age == mask) /* the kernel's clock may be a moment ahead of ours */
			share = 1;
		if (share > 0 && is_window(s, i))
			sum += window_packets(s, i, mask) * (share < 1 ? share : 1);
	}
	return sum;
}

int telemetry_interface(const struct plane *p, const struct shift_globals *g, uint32_t slot,
			struct telemetry_interface *ret)
{
	uint32_t now = plane_tick(g);
	const struct shift_if_stats *values;
	double packets = 0;
	void *all;
	int err = read_cpus(p->map[PLANE_IFSTATS], slot, sizeof(*values), &all);

	if (err)
		return err;
	values = all;
	memset(ret, 0, sizeof(*ret));
	for (unsigned int cpu = 0; cpu < possible_cpus(); cpu++) {
		for (int i = 0; i < SHIFT_VERDICTS; i++)
			ret->verdict[i] += values[cpu].verdict[i];
		packets += telemetry_window_packets(&values[cpu], g->window_shift, g->hz, now);
	}
	ret->packets_10s = (uint64_t)(packets + 0.5);
	free(all);
	return 0;
}

static const uint32_t edges[SHIFT_HISTOGRAM] = SHIFT_HISTOGRAM_EDGES;

uint64_t telemetry_over_ms(const __u64 histogram[SHIFT_HISTOGRAM], uint32_t ms)
{
	uint64_t over = 0;

	for (int i = 0; i <= SHIFT_HISTOGRAM_STEPS; i++) {
		if (i == SHIFT_HISTOGRAM_STEPS || edges[i] > ms * 100)
			over += histogram[i];
	}
	return over;
}

double telemetry_quantile_ms(const __u64 histogram[SHIFT_HISTOGRAM], double quantile)
{
	uint64_t total = 0, below = 0;
	double rank;

	for (int i = 0; i <= SHIFT_HISTOGRAM_STEPS; i++)
		total += histogram[i];
	if (!total)
		return -1;
	rank = quantile * (double)total;
	for (int i = 0; i < SHIFT_HISTOGRAM_STEPS; i++) {
		double low = i ? edges[i - 1] : 0;

		if (histogram[i] && (double)(below + histogram[i]) >= rank) {
			double inside = (rank - (double)below) / (double)histogram[i];

			return (low + (edges[i] - low) * inside) / 100;
		}
		below += histogram[i];
	}
	return TELEMETRY_OVERFLOW_MS;
}

static int clear_cpus(int map_fd, uint32_t key, size_t size)
{
	void *zeros = calloc(possible_cpus(), size);
	int err = zeros ? bpfsys_update(map_fd, &key, zeros) : -ENOMEM;

	free(zeros);
	return err;
}

int telemetry_clear_service(const struct plane *p, uint32_t service)
{
	int err = clear_cpus(p->map[PLANE_SVCSTATS], service, sizeof(struct shift_service_stats));

	for (uint32_t arm = 0; arm < SHIFT_ARMS && !err; arm++)
		err = clear_cpus(p->map[PLANE_ARMS], service * SHIFT_ARMS + arm,
				 sizeof(struct shift_arm));
	return err ? err : telemetry_forget_clients(p, service);
}

int telemetry_clear_backend(const struct plane *p, uint32_t backend)
{
	int err = clear_cpus(p->map[PLANE_BESTATS], backend, sizeof(struct shift_backend_stats));

	return err ? err : clear_cpus(p->map[PLANE_ANSWERS], backend, sizeof(struct shift_answers));
}
