/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf_tables - packet tables: a packet in, exactly one packet out, its verdict, its counters
 *
 *	bpf_tables [OBJECT]
 *
 * The real program runs on made-up packets by BPF_PROG_TEST_RUN, with maps filled as `apply` fills
 * them (rig.h), in a network namespace of its own that ends with the process (net.h). Most cases
 * are stories of one connection, told line by line for IPv4 and IPv6 (story.h): after every packet
 * all of its bytes, all counters and the flow's record are compared with what is computed here,
 * from scratch, by other means than the program's (packet.h). What test_run cannot show, offloads
 * and the way out, is shown by attaching the program and sending real packets (case_wire.c).
 * Sockets are real ones, since the program asks the kernel for them (host.h). Nobody sleeps: time
 * goes by because the records grow older (rig_age).
 *
 * The same binary runs on every kernel from 5.10 on. Nothing outside its namespace is touched; it
 * needs root. In the environment: BPF_TABLES_QUICK, a tenth of the clients, for slow machines;
 * BPF_TABLES_ONLY=TEXT, only cases whose name has this in it.
 *
 * Weak points: the kernel's test_run takes packets of 3.6 kB at most and knows no offloads;
 * CHECKSUM_COMPLETE and DROP_REWRITE (the kernel out of memory) are not reached. On a kernel that
 *refuses to run very short frames, those are not tried.
 *
 * Prints "ok - NAME" or "not ok - NAME", at last "N passed, N failed, N skipped". Exit 0: nothing
 * failed; 1: something did, or nothing ran; 2: it could not begin.
 */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"

/* Beside the binary's own place in the build tree. */
static const char *find_object(void)
{
	static const char *const places[] = {"../bpf", "../../build/bpf"};
	static char path[PATH_MAX + 64];
	char self[PATH_MAX] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return "build/bpf/shift_tc.bpf.o";
	dirname(self);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s/shift_tc.bpf.o", self, places[i]);
		if (!access(path, R_OK))
			break;
	}
	return path;
}

/* Which verdicts and reasons for a fallback were never reached. The one exception cannot be: it
 * needs the kernel to run out of memory while the packet is written, or a map to lose an element of
 * an array. */
static void check_coverage(struct rig *rig)
{
	static const char *const fallback[] = SHIFT_FALLBACK_NAMES;

	if (getenv("BPF_TABLES_ONLY"))
		return;
	rig_reset(rig, &rig_usual); /* counts what the last case left */
	check_begin("every verdict was reached");
	for (int i = 0; i < SHIFT_VERDICTS; i++)
		if (i != SHIFT_DROP_REWRITE && !rig->verdicts[i])
			check_fail("no packet ended as %s", rig_verdict_names[i]);
	check_equal(rig->verdicts[SHIFT_DROP_REWRITE], 0, "packets dropped while being rewritten");
	check_end();
	check_begin("every reason for a fallback was reached");
	for (int i = 0; i < SHIFT_FALLBACKS; i++)
		if (!rig->fallbacks[i])
			check_fail("nothing was counted as %s", fallback[i]);
	check_end();
}

int main(int argc, char **argv)
{
	const char *object = argc > 1 ? argv[1] : find_object();
	static struct rig rig, grown;
	struct net net, out;

	if (argc > 2) {
		fprintf(stderr, "usage: bpf_tables [OBJECT]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (rig_load(&rig, object, false) || rig_load_bare(&rig, object) ||
	    rig_load(&grown, object, true))
		return 2;
	if (net_enter(&net, &out))
		return 2;
	rig.ifindex = grown.ifindex = net.ifindex;
	cases_pass(&rig, &net);
	cases_decide(&rig, &net);
	cases_control(&rig, &net);
	cases_ports(&rig, &net);
	cases_nat(&rig, &net);
	cases_states(&rig, &net);
	cases_syn(&rig, &net);
	cases_unable(&rig, &net);
	cases_growing(&grown, &net);
	cases_explain(&rig, &net);
	cases_answer(&rig, &net);
	cases_answer_count(&rig, &net);
	cases_choice(&rig, &net);
	cases_watch(&rig, &net);
	cases_udp(&rig, &net);
	cases_udp_host(&rig, &net);
	cases_icmp(&rig, &net);
	cases_fragment(&rig, &net);
	cases_width(&rig, &net);
	cases_left(&rig, &net);
	cases_limit(&rig, &net);
	cases_load(&rig, &net);
	cases_breaker(&rig, &net);
	cases_bare(&rig, &net);
	cases_hostile(&rig, &net);
	cases_wire(&rig, &net, &out);
	cases_xdp(&rig, &net);
	cases_xdp_pass(&rig, &net);
	cases_xdp_hop(&rig, &net);
	check_coverage(&rig);
	net_leave(&net);
	net_leave(&out);
	rig_free(&rig);
	rig_free(&grown);
	return check_summary();
}
