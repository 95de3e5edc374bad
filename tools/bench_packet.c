/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench_packet - what the program costs per packet, in ns
 *
 *	bench_packet [--rounds N] [--type tc|xdp] [--only TEXT] [--flows N]
 *	             [--object FILE] [--json FILE]
 *
 * Method. The kernel's BPF_PROG_TEST_RUN repeats a wrapper (bench_packet.bpf.c) that writes the
 * next packet of a set and tail-calls the program under test; the same wrapper, over as many
 * packets of the same set, into an empty program is subtracted. Time is this thread's CPU time on
 * one core to which it is bound. All cases come by turns within every round; a figure is the median
 * of the rounds, its interval the order statistics that hold the true median with 95 %
 * (distribution-free, by the binomial). Flows are touched at random, the order is drawn once.
 *
 * A time is believed only if the program's own counters say that every packet of the run ended as
 * it should, and the last packet came out as computed here, both checksums summed up anew.
 *
 * Each number of flows has maps of its own, as `apply` would make them: capacity 160,000 flows (4
 * NAT addresses), 1,280,000 for 1 M flows. Ports are taken in the order in which connections came.
 * New connections come with ever other tuples, and each takes a port that an ended one had, whose
 * entry it removes. An XDP program is run on the maps of the tc program, which makes the
 * connections; if it leaves new ones to that, they are not measured. What large numbers of flows
 *cost is misses of cache and TLB: compare equal counts on one machine only. The floors find the
 *flow in a hash of the same size and key.
 *
 * Not seen here: allocation of packets, the way out (neighbour, queue), offloads, IPv6.
 *
 * Exit 0: every bound held; 1: one was missed; 2: it could not be measured.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "tools/bench_packet_rig.h"

#define MAX_ROUNDS 1001
#define REPEAT	   200000
#define REPEAT_NEW 30000 /* as many as may be half-open */
#define WARM	   65536

#define TYPES 2 /* tc and XDP */

enum set { SET_LOCAL, SET_1, SET_1K, SET_16K, SET_64K, SET_1M, SET_NEW, SETS };

static const struct rig_shape shapes[SETS] = {
	[SET_LOCAL] = {1, 4, false},	  [SET_1] = {1, 4, true},
	[SET_1K] = {1024, 4, true},	  [SET_16K] = {16384, 4, true},
	[SET_64K] = {65536, 4, true},	  [SET_1M] = {1u << 20, 32, true},
	[SET_NEW] = {1u << 20, 4, false},
};

/* A client's packet to a port that nobody listens on. */
static const struct rig_packet other_port = {RIG_FORWARD, 0x10, 80, 1, 1};

enum what { PASSES, TRANSLATED, INSERTED };

struct bench_case {
	const char *what;
	enum set set;
	enum rig_program program;
	const struct rig_packet *packet;
	enum what what_becomes;
	enum shift_verdict verdict; /* of RIG_SHIFT */
	double tc, xdp;		    /* SPEC's bounds, 0: none */
};

#define FLOWS(what, program, packet, becomes, verdict, tc, xdp)                                    \
	{what, SET_1, program, packet, becomes, verdict, tc, xdp},                                 \
		{what, SET_1K, program, packet, becomes, verdict, (tc) ? 60 : 0, (tc) ? 60 : 0},   \
		{what, SET_16K, program, packet, becomes, verdict, 0, 0}, {what,                   \
									   SET_64K,                \
									   program,                \
									   packet,                 \
									   becomes,                \
									   verdict,                \
									   (tc) ? 200 : 0,         \
									   (tc) ? 200 : 0},        \
	{                                                                                          \
		what, SET_1M, program, packet, becomes, verdict, 0, 0                              \
	}

static const struct bench_case cases[] = {
	{"never shifted, another port", SET_LOCAL, RIG_SHIFT, &other_port, PASSES, SHIFT_PASS_OTHER,
	 20, 20},
	{"never shifted, clean rank", SET_LOCAL, RIG_SHIFT, &rig_forward, PASSES, SHIFT_PASS_LOCAL,
	 20, 20},
	{"never shifted, dirty rank", SET_NEW, RIG_SHIFT, &rig_forward, PASSES, SHIFT_PASS_LOCAL, 0,
	 0},
	FLOWS("established, forward", RIG_SHIFT, &rig_forward, TRANSLATED, SHIFT_FORWARD, 60, 45),
	FLOWS("established, reply", RIG_SHIFT, &rig_reply, TRANSLATED, SHIFT_REPLY, 60, 45),
	{"new connection", SET_NEW, RIG_SHIFT, &rig_syn, INSERTED, SHIFT_FORWARD, 500, 500},
	FLOWS("floor: parse, one hash hit", RIG_FLOOR_HIT, &rig_forward, PASSES, 0, 0, 0),
	FLOWS("floor: the same, full NAT, redirect", RIG_FLOOR_NAT, &rig_forward, TRANSLATED, 0, 0,
	      0),
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static struct {
	int rounds, flows;
	const char *type, *only, *object, *json;
} options = {.rounds = 21};

struct figure {
	double net[MAX_ROUNDS];
	double empty[MAX_ROUNDS];
	double median, low, high, floor;
};

static struct rig rigs[SETS];
static bool is_open[SETS];
static bool left_to_tc[CASES]; /* the XDP program passes such packets on */
static struct figure figures[CASES];

/* ---- one run ---- */

static bool wanted(const struct bench_case *c)
{
	if (options.flows && shapes[c->set].flows != (uint32_t)options.flows)
		return false;
	return !options.only || strstr(c->what, options.only);
}

static bool measured(size_t i)
{
	return wanted(&cases[i]) && !left_to_tc[i];
}

static bool went(int action, bool xdp, bool on)
{
	if (!xdp)
		return action == (on ? TC_ACT_REDIRECT : TC_ACT_UNSPEC);
	return on ? action == XDP_TX || action == XDP_REDIRECT : action == XDP_PASS;
}

/* Is the last packet as it should be? MACs are the next hop's affair. */
static bool is_right(struct rig *r, const struct bench_case *c, bool xdp,
		     const struct rig_result *seen)
{
	uint8_t wants[BENCH_FRAME];

	if (seen->size != BENCH_FRAME || !went(seen->action, xdp, c->what_becomes != PASSES))
		return false;
	if (c->what_becomes == INSERTED && !rig_learn(r, seen))
		return false;
	if (c->what_becomes == PASSES)
		rig_frame(r, seen->step, wants);
	else
		rig_translated(r, seen->step, wants);
	return rig_sums_hold(seen->frame) &&
	       !memcmp(wants + 14, seen->frame + 14, BENCH_FRAME - 14);
}

static int wrong(const struct bench_case *c, const struct rig_result *seen, uint64_t counted,
		 uint32_t repeat)
{
	fprintf(stderr, "bench_packet: %s, %u flows: action %d, %llu of %u counted, packet",
		c->what, shapes[c->set].flows, seen->action, (unsigned long long)counted, repeat);
	for (uint32_t i = 14; i < BENCH_HEAD; i++)
		fprintf(stderr, " %02x", seen->frame[i]);
	fputc('\n', stderr);
	return -EPROTO;
}

/* `repeat` packets of the case; 0 if they ended as they should. */
static int run(struct rig *r, const struct bench_case *c, bool xdp, uint32_t repeat, double *ret_ns)
{
	bool ours = c->program == RIG_SHIFT;
	uint32_t wants = xdp && c->what_becomes == PASSES ? 0 : repeat; /* tc counts those */
	uint64_t before = ours ? rig_verdict(r, c->verdict) : 0, counted;
	struct rig_result seen;
	int err = rig_run(r, c->program, repeat, &seen);

	if (err)
		return err;
	counted = ours ? rig_verdict(r, c->verdict) - before : wants;
	if (counted != wants || !is_right(r, c, xdp, &seen))
		return wrong(c, &seen, counted, repeat);
	*ret_ns = seen.thread_ns / repeat;
	return 0;
}

static int measure(const struct bench_case *c, bool xdp, double *ret_net, double *ret_empty)
{
	struct rig *r = &rigs[c->set];
	bool inserts = c->what_becomes == INSERTED;
	uint32_t repeat = inserts ? REPEAT_NEW : REPEAT;
	uint32_t warm = inserts ? REPEAT_NEW : WARM;
	struct rig_result empty;
	double gross, ignored;
	int err;

	rig_packets(r, c->packet);
	if (c->set == SET_NEW)
		rig_end_all(r);
	err = run(r, c, xdp, warm, &ignored); /* the other sets had the cache */
	if (!err && c->set == SET_NEW)
		rig_end_all(r);
	err = err ? err : rig_run(r, RIG_EMPTY, repeat, &empty);
	err = err ? err : run(r, c, xdp, repeat, &gross);
	if (err)
		return err;
	*ret_empty = empty.thread_ns / repeat;
	*ret_net = gross - *ret_empty;
	return 0;
}

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_of(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/*
 * The rank k, from 1, so that the k-th smallest and the k-th largest of n hold the median with at
 * least 95 %: each end is missed with the chance of fewer than k heads in n throws.
 */
static int interval_rank(int n)
{
	double chance = 1, sum;
	int k = 0;

	for (int i = 0; i < n; i++)
		chance /= 2;
	for (sum = chance; sum <= 0.025 && k < n / 2; sum += chance) {
		k++;
		chance = chance * (n - k + 1) / k;
	}
	return k ? k : 1;
}

static void settle(struct figure *f, int n)
{
	int k = interval_rank(n);

	f->median = median_of(f->net, n);
	f->low = f->net[k - 1];
	f->high = f->net[n - k];
	f->floor = median_of(f->empty, n);
}

/* ---- telling ---- */

static void say_where(const char *type)
{
	char day[16], line[256], model[128] = "";
	time_t now = time(NULL);
	struct utsname u;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && !*model && fgets(line, sizeof(line), f))
		sscanf(line, "model name : %127[^\n]", model);
	if (f)
		fclose(f);
	uname(&u);
	strftime(day, sizeof(day), "%Y-%m-%d", gmtime(&now));
	printf("%s, Linux %s %s, %s, %ld cores; %s; ns per packet net of an empty program\n", day,
	       u.release, u.machine, model, sysconf(_SC_NPROCESSORS_ONLN), type);
}

static double load_average(void)
{
	double load = 0;

	getloadavg(&load, 1);
	return load;
}

static double bound_of(const struct bench_case *c, bool xdp)
{
	return xdp ? c->xdp : c->tc;
}

static int tell(bool xdp)
{
	int missed = 0;

	printf("\n  %-38s %8s %9s   %-19s %s\n", "", "flows", "ns", "95 % interval", "bound");
	for (size_t i = 0; i < CASES; i++) {
		const struct bench_case *c = &cases[i];
		const struct figure *f = &figures[i];
		double bound = bound_of(c, xdp);
		char text[32] = "";

		if (!measured(i))
			continue;
		if (bound > 0)
			snprintf(text, sizeof(text), "<= %3.0f %s", bound,
				 f->median <= bound ? "held" : "MISSED");
		missed += bound > 0 && f->median > bound;
		printf("  %-38s %8u %9.1f   %8.1f - %-8.1f %s\n", c->what, shapes[c->set].flows,
		       f->median, f->low, f->high, text);
	}
	return missed;
}

static void tell_json(FILE *f, const char *type, bool xdp, double load)
{
	const char *comma = "";
	struct utsname u;

	uname(&u);
	fprintf(f,
		"{\"schema\":1,\"type\":\"%s\",\"time\":%lld,\"kernel\":\"%s\",\"machine\":\"%s\","
		"\"cores\":%ld,\"load_before\":%.2f,\"load_after\":%.2f,\"rounds\":%d,\"rows\":[",
		type, (long long)time(NULL), u.release, u.machine, sysconf(_SC_NPROCESSORS_ONLN),
		load, load_average(), options.rounds);
	for (size_t i = 0; i < CASES; i++) {
		const struct bench_case *c = &cases[i];
		const struct figure *g = &figures[i];
		double bound = bound_of(c, xdp);

		if (!measured(i))
			continue;
		fprintf(f,
			"%s{\"what\":\"%s\",\"flows\":%u,\"ns\":%.2f,\"low\":%.2f,\"high\":%.2f,"
			"\"empty_ns\":%.2f",
			comma, c->what, shapes[c->set].flows, g->median, g->low, g->high, g->floor);
		if (bound > 0)
			fprintf(f, ",\"op\":\"<=\",\"bound\":%.0f,\"held\":%s", bound,
				g->median <= bound ? "true" : "false");
		fputc('}', f);
		comma = ",";
	}
	fprintf(f, "]}\n");
}

/* ---- all of it ---- */

static void close_rigs(void)
{
	for (int i = 0; i < SETS; i++)
		if (is_open[i])
			rig_close(&rigs[i]);
	memset(is_open, 0, sizeof(is_open));
}

/* Every port that one CPU takes has had its connection, so the table is as full as it gets. */
static int fill_up(const struct bench_case *c, bool xdp)
{
	struct rig *r = rigs[c->set].maker ? rigs[c->set].maker : &rigs[c->set];
	double ignored;
	int err = 0;

	for (int i = 0; i < 8 && !err; i++) {
		rig_packets(r, &rig_syn);
		rig_end_all(r);
		err = run(r, c, xdp && r == &rigs[c->set], REPEAT_NEW, &ignored);
	}
	return err;
}

/* Does the XDP program leave new connections to the one on tc? */
static int look_who_inserts(size_t i)
{
	struct rig *r = &rigs[cases[i].set];
	struct rig_result seen;
	int err;

	rig_packets(r, cases[i].packet);
	err = rig_run(r, RIG_SHIFT, 1, &seen);
	left_to_tc[i] = !err && seen.action == XDP_PASS;
	return err;
}

static int open_rigs(const struct rig_type *type, bool xdp)
{
	int err = 0;

	memset(left_to_tc, 0, sizeof(left_to_tc));
	for (size_t i = 0; i < CASES && !err; i++) {
		enum set set = cases[i].set;

		if (!wanted(&cases[i]) || is_open[set])
			continue;
		is_open[set] = true;
		err = rig_open(&rigs[set], type, &shapes[set]);
		if (!err && set == SET_LOCAL)
			rig_weight(&rigs[set], 0);
	}
	for (size_t i = 0; i < CASES && !err; i++) {
		if (cases[i].what_becomes != INSERTED || !is_open[SET_NEW])
			continue;
		err = fill_up(&cases[i], xdp);
		if (!err && xdp)
			err = look_who_inserts(i);
	}
	return err;
}

static int bench(const struct rig_type *type)
{
	bool xdp = !strcmp(type->name, "xdp");
	double load = load_average();
	int err = open_rigs(type, xdp), missed;
	FILE *f;

	for (int round = 0; round < options.rounds && !err; round++) {
		if (isatty(2))
			fprintf(stderr, "\r\033[K%s, round %d/%d", type->name, round + 1,
				options.rounds);
		for (size_t i = 0; i < CASES && !err; i++)
			if (measured(i))
				err = measure(&cases[i], xdp, &figures[i].net[round],
					      &figures[i].empty[round]);
	}
	if (isatty(2))
		fprintf(stderr, "\r\033[K");
	close_rigs();
	if (err)
		return err;
	for (size_t i = 0; i < CASES; i++)
		if (measured(i))
			settle(&figures[i], options.rounds);
	say_where(type->name);
	printf("medians of %d interleaved rounds; load average %.2f before, %.2f after\n",
	       options.rounds, load, load_average());
	missed = tell(xdp);
	f = options.json ? fopen(options.json, "ae") : NULL; /* one line for each type */
	if (f) {
		tell_json(f, type->name, xdp, load);
		fclose(f);
	}
	return missed;
}

static int read_options(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];

		if (!strcmp(argv[i], "--rounds"))
			options.rounds = atoi(value);
		else if (!strcmp(argv[i], "--flows"))
			options.flows = atoi(value);
		else if (!strcmp(argv[i], "--type"))
			options.type = value;
		else if (!strcmp(argv[i], "--only"))
			options.only = value;
		else if (!strcmp(argv[i], "--object"))
			options.object = value;
		else if (!strcmp(argv[i], "--json"))
			options.json = value;
		else
			return -EINVAL;
	}
	return argc % 2 && options.rounds > 0 && options.rounds <= MAX_ROUNDS ? 0 : -EINVAL;
}

/* A core of its own, and a network namespace in which nobody has a socket. */
static int settle_down(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((int)sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
	if (sched_setaffinity(0, sizeof(one), &one) || unshare(CLONE_NEWNET)) {
		perror("bench_packet: must be root");
		return -errno;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct {
		const char *name, *object, *program, *wrapper;
	} names[TYPES] = {
		{"tc", "bpf/shift_tc.bpf.o", "shift_ingress", "tools/bench_packet_tc.bpf.o"},
		{"xdp", "bpf/shift_tc.bpf.o", "shift_xdp", "tools/bench_packet_xdp.bpf.o"},
	};
	static char object[TYPES][PATH_MAX + 64], wrapper[TYPES][PATH_MAX + 64];
	struct rig_type types[TYPES];
	char self[PATH_MAX] = "";
	int missed = 0;

	if (read_options(argc, argv)) {
		fprintf(stderr, "usage: bench_packet [--rounds N] [--type tc|xdp] [--only TEXT] "
				"[--flows N] [--object FILE] [--json FILE]\n");
		return 2;
	}
	if (settle_down() || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 2;
	dirname(self);
	if (options.json)
		unlink(options.json);
	for (size_t i = 0; i < TYPES; i++) {
		snprintf(object[i], sizeof(object[i]), "%s/%s", self, names[i].object);
		snprintf(wrapper[i], sizeof(wrapper[i]), "%s/%s", self, names[i].wrapper);
		types[i] = (struct rig_type){names[i].name, object[i], names[i].program, wrapper[i],
					     i ? &types[0] : NULL};
	}
	for (size_t i = 0; i < TYPES; i++) {
		int seen;

		if (options.type ? strcmp(options.type, types[i].name) : options.object && i)
			continue;
		if (options.object)
			types[i].object = options.object;
		if (!options.type && access(types[i].object, R_OK))
			continue;
		seen = bench(&types[i]);
		if (seen < 0)
			return 2;
		missed += seen;
	}
	return missed > 0;
}
