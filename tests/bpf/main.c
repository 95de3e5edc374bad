/* SPDX-License-Identifier: GPL-2.0-only */
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

/* Which verdicts were never reached. The one exception cannot be: it needs the kernel to run out of
 * memory while the packet is written, or a map to lose an element of an array. */
static void check_coverage(struct rig *rig)
{
	if (getenv("BPF_TABLES_ONLY") || !check_begin("every verdict was reached"))
		return;
	rig_reset(rig, &rig_usual); /* counts what the last case left */
	for (int i = 0; i < SHIFT_VERDICTS; i++)
		if (i != SHIFT_DROP_REWRITE && !rig->verdicts[i])
			check_fail("no packet ended as %s", rig_verdict_names[i]);
	check_equal(rig->verdicts[SHIFT_DROP_REWRITE], 0, "packets dropped while being rewritten");
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
	if (rig_load(&rig, object, false) || rig_load(&grown, object, true))
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
	cases_wire(&rig, &net, &out);
	check_coverage(&rig);
	net_leave(&net);
	net_leave(&out);
	rig_free(&rig);
	rig_free(&grown);
	return check_summary();
}
