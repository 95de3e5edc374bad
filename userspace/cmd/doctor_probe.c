/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor_probe.c - what this kernel's BPF can do, found out by asking it
 *
 * Programs are loaded and thrown away; none is attached, nothing is pinned. The last word is the
 * verifier's on the very object that `apply` loads, on maps that live as long as the question.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/cmd/doctor.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/load.h"

#define FEW_FLOWS 1024

static char said[sizeof(((struct doctor_kernel *)0)->complaint)];

/* ---- small programs ---- */

/* return 0 */
static int load_nothing(void)
{
	static const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "shift_probe", "GPL", code,
			       sizeof(code) / sizeof(*code), NULL);

	return fd < 0 ? -errno : fd;
}

static void probe_jit(struct doctor_kernel *k)
{
	struct bpf_prog_info info;
	int fd = load_nothing();

	k->load_err = fd < 0 ? fd : 0;
	if (fd < 0)
		return;
	if (bpfsys_prog_info(fd, &info, NULL) >= 0)
		k->jit = info.jited_prog_len ? DOCTOR_YES : DOCTOR_NO;
	close(fd);
}

static void probe_helpers(struct doctor_kernel *k)
{
	static const struct {
		enum bpf_func_id id;
		const char *name;
	} needed[] = {
		{BPF_FUNC_skc_lookup_tcp, "bpf_skc_lookup_tcp"},
		{BPF_FUNC_redirect_neigh, "bpf_redirect_neigh"},
		{BPF_FUNC_jiffies64, "bpf_jiffies64"},
		{BPF_FUNC_ktime_get_boot_ns, "bpf_ktime_get_boot_ns"},
		{BPF_FUNC_sk_lookup_udp, "bpf_sk_lookup_udp"},
		{BPF_FUNC_skb_adjust_room, "bpf_skb_adjust_room"},
		{BPF_FUNC_skb_change_head, "bpf_skb_change_head"},
		{BPF_FUNC_skb_change_tail, "bpf_skb_change_tail"},
		{BPF_FUNC_clone_redirect, "bpf_clone_redirect"},
	};
	size_t used = 0;

	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (!libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, needed[i].id, NULL))
			used += (size_t)snprintf(k->lacking + used, sizeof(k->lacking) - used,
						 "%s%s", used ? ", " : "", needed[i].name);
}

/* ---- the real one ---- */

/* Of all that libbpf says, the first line that names a reason. */
static int listen_to(enum libbpf_print_level level, const char *format, va_list ap)
{
	char line[512];

	if (level != LIBBPF_WARN || *said)
		return 0;
	vsnprintf(line, sizeof(line), format, ap);
	line[strcspn(line, "\n")] = '\0';
	snprintf(said, sizeof(said), "%.*s", (int)sizeof(said) - 1,
		 strncmp(line, "libbpf: ", 8) ? line : line + 8);
	return 0;
}

static double milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Large tables are made small: it is the program that is asked about. */
static void make_small(struct bpf_object *o)
{
	struct bpf_map *m = bpf_object__find_map_by_name(o, plane_map_names[PLANE_FLOWS]);

	if (m)
		bpf_map__set_max_entries(m, FEW_FLOWS);
}

static void probe_object(struct doctor_kernel *k)
{
	struct bpf_object *o;
	const void *bytes;
	double began;
	size_t size;
	int err = load_object(&bytes, &size);

	if (err) {
		snprintf(k->complaint, sizeof(k->complaint), "the object cannot be read: %s",
			 strerror(-err));
		k->verified = DOCTOR_NO;
		return;
	}
	said[0] = '\0';
	libbpf_set_print(listen_to);
	bpfsys_lift_memory_limit();
	began = milliseconds();
	o = bpf_object__open_mem(bytes, size, NULL);
	err = o ? 0 : -errno;
	if (o) {
		make_small(o);
		err = bpf_object__load(o);
	}
	k->verify_ms = milliseconds() - began;
	k->verified = err ? DOCTOR_NO : DOCTOR_YES;
	if (err)
		snprintf(k->complaint, sizeof(k->complaint), "%s", *said ? said : strerror(-err));
	bpf_object__close(o);
}

void doctor_probe_kernel(struct doctor_kernel *k, bool attached)
{
	uint32_t id;
	int n;

	libbpf_set_print(listen_to);
	k->jit = k->tcx = k->verified = DOCTOR_UNKNOWN;
	probe_jit(k);
	/* The loopback is there in every namespace. */
	n = bpfsys_tcx_query(1, false, &id, 1);
	if (n >= 0 || n == -ENOSPC)
		k->tcx = DOCTOR_YES;
	else if (n == -EINVAL)
		k->tcx = DOCTOR_NO;
	if (k->load_err)
		return;
	probe_helpers(k);
	if (!attached)
		probe_object(k);
}

/* ---- others' programs ---- */

void doctor_probe_program(uint32_t id, struct doctor_program *ret)
{
	struct bpf_prog_info info;
	int fd = bpfsys_prog_by_id(id);

	memset(ret, 0, sizeof(*ret));
	ret->id = id;
	if (fd < 0)
		return;
	if (bpfsys_prog_info(fd, &info, NULL) >= 0)
		snprintf(ret->name, sizeof(ret->name), "%.*s", (int)sizeof(info.name), info.name);
	ret->ours = !strncmp(ret->name, "shift_", 6);
	close(fd);
}

int doctor_probe_tcx(uint32_t ifindex, bool egress, struct doctor_program *ret)
{
	uint32_t ids[DOCTOR_PROGRAMS], n = DOCTOR_PROGRAMS;

	if (bpf_prog_query((int)ifindex, egress ? BPFSYS_TCX_EGRESS : BPFSYS_TCX_INGRESS, 0, NULL,
			   ids, &n) &&
	    errno != ENOSPC)
		return errno == EINVAL ? 0 : -errno;
	if (n > DOCTOR_PROGRAMS)
		n = DOCTOR_PROGRAMS;
	for (uint32_t i = 0; i < n; i++)
		doctor_probe_program(ids[i], &ret[i]);
	return (int)n;
}
