/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor_kernel.c - judging the kernel: what its BPF can do, and limits, memory and clock
 */
#include <errno.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/doctor.h"

#define OLDEST_MAJOR 5 /* 5.10 is the oldest on which this was tried */
#define OLDEST_MINOR 10
#define NEARLY_FULL  80 /* percent of the connection table */

static void judge_version(const struct doctor_kernel *k, struct doctor_report *r)
{
	bool old = k->major < OLDEST_MAJOR || (k->major == OLDEST_MAJOR && k->minor < OLDEST_MINOR);
	struct doctor_finding *f =
		doctor_find(r, "kernel", old ? DOCTOR_CRITICAL : DOCTOR_OK, "", "Linux %s%s",
			    k->release, old ? "; 5.10 is the oldest that will do" : "");

	if (old)
		doctor_fix(f, "boot a kernel of 5.10 or later");
}

static void judge_rights(const struct doctor_kernel *k, struct doctor_report *r)
{
	struct doctor_finding *f;

	if (k->root && k->load_err != -EPERM) {
		doctor_find(r, "privileges", DOCTOR_OK, "", "root, and bpf(2) is allowed");
		return;
	}
	f = doctor_find(r, "privileges", DOCTOR_WARNING, "",
			k->root ? "root, but the kernel refuses bpf(2): what depends on it is not "
				  "known"
				: "not root: programs, filters and rules of others could not all "
				  "be seen");
	if (k->root)
		doctor_fix(f, "run where CAP_SYS_ADMIN and CAP_NET_ADMIN are given: not in an "
			      "unprivileged container, not under lockdown");
	else
		doctor_fix(f, "sudo shiftctl doctor");
}

static void judge_jit(const struct doctor_kernel *k, struct doctor_report *r)
{
	struct doctor_finding *f;

	if (k->jit == DOCTOR_YES)
		doctor_find(r, "jit", DOCTOR_OK, "", "programs are compiled");
	if (k->jit != DOCTOR_NO)
		return;
	f = doctor_find(r, "jit", DOCTOR_WARNING, "",
			"a program that was loaded for this was not compiled: interpreted, each "
			"packet costs several times as much");
	doctor_fix(f, "sysctl -w net.core.bpf_jit_enable=1, then shiftctl apply");
}

static void judge_bpf(const struct doctor_facts *facts, struct doctor_report *r)
{
	const struct doctor_kernel *k = &facts->kernel;
	struct doctor_finding *f;

	if (k->load_err && k->load_err != -EPERM && k->load_err != -EACCES) {
		f = doctor_find(r, "bpf", DOCTOR_CRITICAL, "",
				"no program can be loaded, not even one that does nothing: %s",
				strerror(-k->load_err));
		doctor_fix(f, "a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF");
	}
	if (k->load_err)
		return;
	if (k->lacking[0]) {
		f = doctor_find(r, "helpers", DOCTOR_CRITICAL, "", "this kernel lacks %s",
				k->lacking);
		doctor_fix(f, "boot a kernel of 5.10 or later with CONFIG_INET");
	} else {
		doctor_find(r, "helpers", DOCTOR_OK, "",
			    "bpf_skc_lookup_tcp, bpf_redirect_neigh and the others are there");
	}
	if (facts->attached) {
		doctor_find(r, "program", DOCTOR_OK, "", "it runs already");
	} else if (k->verified == DOCTOR_YES) {
		doctor_find(r, "program", DOCTOR_OK, "",
			    "the verifier takes the program (%.0f ms, and thrown away)",
			    k->verify_ms);
	} else if (k->verified == DOCTOR_NO) {
		f = doctor_find(r, "program", DOCTOR_CRITICAL, "",
				"the kernel does not take the program: %s", k->complaint);
		doctor_fix(f, "SHIFT_DEBUG=1 shiftctl apply shows all that the verifier says");
	}
}

static void judge_hook(const struct doctor_kernel *k, struct doctor_report *r)
{
	struct doctor_finding *f;

	if (k->tcx == DOCTOR_YES)
		doctor_find(r, "hook", DOCTOR_OK, "", "tcx: ours goes first, and needs no qdisc");
	else if (k->clsact == DOCTOR_YES)
		doctor_find(r, "hook", DOCTOR_OK, "",
			    "%s, but clsact: ours is the filter of priority 7",
			    k->tcx == DOCTOR_NO ? "no tcx" : "tcx could not be asked for");
	else if (k->clsact == DOCTOR_NO) {
		f = doctor_find(r, "hook", DOCTOR_CRITICAL, "",
				"neither tcx nor clsact: sch_ingress is not loaded, not built in "
				"and not among the modules");
		doctor_fix(f,
			   "install the kernel's module package that has sch_ingress and cls_bpf");
	} else {
		doctor_find(r, "hook", DOCTOR_NOTE, "",
			    "whether tcx or clsact is there could not be learned");
	}
	doctor_find(r, "btf", DOCTOR_OK, "", "%s, and is not needed",
		    k->btf == DOCTOR_YES ? "there" : "not there");
	doctor_find(r, "bpffs", DOCTOR_OK, "", "%s",
		    k->bpffs ? "mounted" : "not mounted; pins are a convenience");
}

/* ---- limits ---- */

static void judge_locked(const struct doctor_kernel *k, struct doctor_report *r)
{
	char limit[16];
	struct doctor_finding *f;

	if (!k->memory_charged || k->memlock == UINT64_MAX || k->root) {
		doctor_find(r, "memlock", DOCTOR_OK, "", "%s",
			    !k->memory_charged	       ? "tables are not charged to it"
			    : k->memlock == UINT64_MAX ? "unlimited"
						       : "apply lifts it for itself");
		return;
	}
	f = doctor_find(r, "memlock", DOCTOR_WARNING, "",
			"this kernel charges tables to RLIMIT_MEMLOCK, which is %s",
			screen_bytes(k->memlock, limit));
	doctor_fix(f, "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit");
}

static bool plan_warns(const struct doctor_facts *f, const char *key)
{
	for (unsigned int i = 0; f->plan && i < f->plan->n_findings; i++)
		if (f->plan->finding[i].rule == PLAN_WARNING &&
		    !strcmp(f->plan->finding[i].key, key))
			return true;
	return false;
}

static void judge_memory(const struct doctor_facts *f, struct doctor_report *r)
{
	char have[16], need[16];

	if (!f->host.host.memory || plan_warns(f, "nat"))
		return;
	screen_bytes(f->host.host.memory, have);
	if (!f->plan)
		doctor_find(r, "memory", DOCTOR_OK, "", "%s to spare", have);
	else if (f->attached)
		doctor_find(r, "memory", DOCTOR_OK, "", "the tables are made; %s to spare", have);
	else
		doctor_find(r, "memory", DOCTOR_OK, "", "%s are needed, %s to spare",
			    screen_bytes(f->plan->memory.total, need), have);
}

static void judge_conntrack(const struct doctor_kernel *k, struct doctor_report *r)
{
	struct doctor_finding *f;
	char count[32], max[32];
	uint64_t percent;

	if (!k->conntrack_max) {
		doctor_find(r, "conntrack", DOCTOR_OK, "", "not loaded");
		return;
	}
	percent = k->conntrack * 100 / k->conntrack_max;
	f = doctor_find(r, "conntrack", percent >= NEARLY_FULL ? DOCTOR_WARNING : DOCTOR_OK, "",
			"%s of %s entries (%u%%)%s", text_count(k->conntrack, count),
			text_count(k->conntrack_max, max), (unsigned int)percent,
			percent >= NEARLY_FULL
				? ": when it is full the old arm drops new connections, and looks "
				  "worse than it is"
				: "; shifted connections take none");
	if (percent >= NEARLY_FULL)
		doctor_fix(f, "sysctl -w net.netfilter.nf_conntrack_max=%llu",
			   (unsigned long long)k->conntrack_max * 2);
}

/* Deadlines are kept by a clock that needs no server; what others read is stamped by this one. */
static void judge_clock(const struct doctor_facts *facts, struct doctor_report *r)
{
	const struct doctor_kernel *k = &facts->kernel;
	bool dns = facts->config && facts->config->dns.given;
	struct doctor_finding *f;

	if (k->clock_err) {
		doctor_find(r, "clock", DOCTOR_NOTE, "", "adjtimex does not tell: %s",
			    strerror(-k->clock_err));
		return;
	}
	if (k->synchronised) {
		doctor_find(r, "clock", DOCTOR_OK, "", "synchronised, within %.1f ms",
			    (double)k->clock_error_us / 1000);
		return;
	}
	f = doctor_find(r, "clock", dns ? DOCTOR_WARNING : DOCTOR_NOTE, "",
			"not synchronised (STA_UNSYNC)%s",
			dns ? ": signed DNS updates fail when it is off by 300 s, and the record "
			      "of the cutover will not match other hosts'"
			    : ": the record of the cutover will not match other hosts'");
	doctor_fix(f, "timedatectl set-ntp true, or start chronyd");
}

void doctor_judge_kernel(const struct doctor_facts *f, struct doctor_report *r)
{
	struct doctor_finding *p;

	judge_version(&f->kernel, r);
	judge_rights(&f->kernel, r);
	judge_bpf(f, r);
	judge_jit(&f->kernel, r);
	judge_hook(&f->kernel, r);
	judge_locked(&f->kernel, r);
	judge_memory(f, r);
	judge_conntrack(&f->kernel, r);
	judge_clock(f, r);
	if (f->plane_err != -EPROTO)
		return;
	p = doctor_find(r, "version", DOCTOR_WARNING, "",
			"the data plane that is loaded is of another version");
	doctor_fix(p, "its own shiftctl; or shiftctl detach --force, then shiftctl apply");
}
