/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "tests/bpf/rig.h"

static const char *const map_names[RIG_MAPS] = {
	"shift_control",   "shift_globals",   "shift_ports",	"shift_services",  "shift_entry",
	"shift_listens",   "shift_clients",   "shift_dirty",	"shift_tables",	   "shift_backends",
	"shift_targets",   "shift_replies",   "shift_cursors",	"shift_slots",	   "shift_flows",
	"shift_flows_was", "shift_syns",      "shift_udps",	"shift_fragments", "shift_held",
	"shift_load",	   "shift_breakers",  "shift_arrivals", "shift_ifstats",   "shift_svcstats",
	"shift_bestats",   "shift_explained", "shift_arms",	"shift_answers",   "shift_watches",
	"shift_failers",   "shift_seen",      "shift_origins"};

const char *const rig_verdict_names[SHIFT_VERDICTS] = SHIFT_VERDICT_NAMES;

/* ---- loading ---- */

static int talk(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

/* Where a `const volatile` of the program lies in its section; or −errno. */
static int constant_offset(const struct btf *btf, const char *name)
{
	int id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -ENOENT;
	const struct btf_type *section;

	if (id < 0)
		return id;
	section = btf__type_by_id(btf, (uint32_t)id);
	for (int i = 0; i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *v = btf_var_secinfos(section) + i;
		const struct btf_type *variable = btf__type_by_id(btf, v->type);

		if (!strcmp(btf__name_by_offset(btf, variable->name_off), name))
			return v->size == sizeof(uint32_t) ? (int)v->offset : -EINVAL;
	}
	return -ENOENT;
}

static int set_constant(struct bpf_object *o, const char *name, uint32_t value)
{
	struct bpf_map *map = bpf_object__find_map_by_name(o, ".rodata");
	int offset = constant_offset(bpf_object__btf(o), name), err = -ENOENT;
	const void *was;
	uint8_t *data;
	size_t size;

	if (offset < 0 || !map)
		return offset < 0 ? offset : -ENOENT;
	was = bpf_map__initial_value(map, &size);
	data = malloc(size);
	if (data && was && (size_t)offset + sizeof(value) <= size) {
		memcpy(data, was, size);
		memcpy(data + offset, &value, sizeof(value));
		err = bpf_map__set_initial_value(map, data, size);
	}
	free(data);
	return err;
}

static int map_memory(struct rig *r)
{
	struct shift_control *control;
	uint8_t(*dirty)[SHIFT_RANKS];

	control = mmap(NULL, sizeof(*control) * SHIFT_MAX_SERVICES, PROT_READ | PROT_WRITE,
		       MAP_SHARED, r->map[RIG_CONTROL], 0);
	dirty = mmap(NULL, sizeof(*dirty) * SHIFT_MAX_SERVICES, PROT_READ | PROT_WRITE, MAP_SHARED,
		     r->map[RIG_DIRTY], 0);
	if (control == MAP_FAILED || dirty == MAP_FAILED)
		return -errno;
	r->control = control + RIG_SERVICE;
	r->dirty = dirty + RIG_SERVICE;
	return 0;
}

static int program(struct bpf_object *o, const char *name)
{
	const struct bpf_program *p = bpf_object__find_program_by_name(o, name);

	return p ? bpf_program__fd(p) : -ENOENT;
}

static int set_size(struct bpf_object *o, const char *name, uint32_t entries)
{
	struct bpf_map *map = bpf_object__find_map_by_name(o, name);

	return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}

static int open_object(struct rig *r, const char *path, bool growing)
{
	int err;

	r->object = bpf_object__open_file(path, NULL);
	if (!r->object)
		return -errno;
	err = set_size(r->object, "shift_flows", RIG_LINES);
	if (!err)
		err = set_size(r->object, "shift_flows_was", RIG_LINES_WAS);
	if (!err)
		err = set_constant(r->object, "flow_lines", RIG_LINES);
	if (!err)
		err = set_constant(r->object, "flow_lines_was", RIG_LINES_WAS);
	if (!err)
		err = set_constant(r->object, "iface_slot", RIG_SLOT);
	if (!err)
		err = set_constant(r->object, "window_shift", 8);
	if (!err)
		err = set_constant(r->object, "growing", growing);
	return err ? err : bpf_object__load(r->object);
}

int rig_load(struct rig *r, const char *path, bool growing)
{
	int err;

	memset(r, 0, sizeof(*r));
	libbpf_set_print(talk);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	r->cpus = libbpf_num_possible_cpus();
	err = open_object(r, path, growing);
	if (err) {
		fprintf(stderr, "%s: %s\n", path, strerror(-err));
		return err;
	}
	for (int i = 0; i < RIG_MAPS; i++) {
		r->map[i] = bpf_object__find_map_fd_by_name(r->object, map_names[i]);
		if (r->map[i] < 0) {
			fprintf(stderr, "%s: no map %s\n", path, map_names[i]);
			return -ENOENT;
		}
	}
	r->ingress = program(r->object, "shift_ingress");
	r->egress = program(r->object, "shift_egress");
	r->explain = program(r->object, "shift_explain");
	r->clock = program(r->object, "shift_clock");
	err = map_memory(r);
	if (err || r->ingress < 0 || r->egress < 0 || r->explain < 0 || r->clock < 0) {
		fprintf(stderr, "%s: programs or maps are missing\n", path);
		return err ? err : -ENOENT;
	}
	return 0;
}

int rig_load_bare(struct rig *r, const char *path)
{
	int err;

	r->bare = bpf_object__open_file(path, NULL);
	if (!r->bare)
		return -errno;
	err = set_constant(r->bare, "iface_slot", RIG_SLOT);
	if (!err)
		err = set_constant(r->bare, "window_shift", 8);
	if (!err)
		err = set_constant(r->bare, "l3_offset", 0);
	if (!err)
		err = set_constant(r->bare, "flow_lines", RIG_LINES);
	for (int i = 0; !err && i < RIG_MAPS; i++)
		err = bpf_map__reuse_fd(bpf_object__find_map_by_name(r->bare, map_names[i]),
					r->map[i]);
	if (!err)
		err = bpf_object__load(r->bare);
	if (!err) {
		r->bare_ingress = program(r->bare, "shift_ingress");
		r->bare_egress = program(r->bare, "shift_egress");
	}
	if (err)
		fprintf(stderr, "%s: without Ethernet: %s\n", path, strerror(-err));
	return err;
}

void rig_free(struct rig *r)
{
	bpf_object__close(r->bare);
	bpf_object__close(r->object);
}

/* ---- running ---- */

static int run(struct rig *r, int prog, const struct frame *in, uint32_t gso, struct run *ret)
{
	struct __sk_buff skb = {.ifindex = r->ifindex, .gso_size = gso};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in->data, .data_size_in = (uint32_t)in->len,
		    .data_out = ret->out.data, .data_size_out = FRAME_RUN, .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb), .repeat = 1);
	int err;

	if (gso)
		skb.gso_segs = ((uint32_t)in->len + gso - 1) / gso;
	err = bpf_prog_test_run_opts(prog, &o);
	if (err)
		return err;
	ret->action = (int)o.retval;
	ret->out.len = o.data_size_out;
	return 0;
}

int rig_run(struct rig *r, int prog, const struct frame *in, struct run *ret)
{
	return run(r, prog, in, 0, ret);
}

int rig_run_gso(struct rig *r, const struct frame *in, uint32_t size, struct run *ret)
{
	return run(r, r->ingress, in, size, ret);
}

uint32_t rig_tick(struct rig *r)
{
	static const struct frame any = {.len = 64, .data = {0}};
	static struct run ignored;
	struct shift_explanation x = {0};
	uint32_t zero = 0;

	if (rig_run(r, r->clock, &any, &ignored))
		abort();
	rig_get(r, RIG_ANSWER, &zero, &x);
	return (uint32_t)(x.hash >> SHIFT_TICK_SHIFT);
}

uint64_t rig_boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- counters ---- */

static void add_up(struct rig *r, enum rig_map map, uint32_t key, uint64_t *sum, size_t words)
{
	uint64_t *values = calloc((size_t)r->cpus, words * 8);

	if (!values)
		abort();
	rig_get(r, map, &key, values);
	memset(sum, 0, words * 8);
	for (int cpu = 0; cpu < r->cpus; cpu++)
		for (size_t i = 0; i < words; i++)
			sum[i] += values[(size_t)cpu * words + i];
	free(values);
}

void rig_backend_stats(struct rig *r, enum rig_backend id, struct shift_backend_stats *ret)
{
	add_up(r, RIG_BESTATS, id, (uint64_t *)ret, sizeof(*ret) / 8);
}

void rig_tally(struct rig *r, struct tally *ret)
{
	union {
		struct shift_if_stats s;
		uint64_t words[sizeof(struct shift_if_stats) / 8];
	} stats;

	memset(ret, 0, sizeof(*ret));
	add_up(r, RIG_IFSTATS, RIG_SLOT, stats.words, sizeof(stats) / 8);
	memcpy(ret->verdict, stats.s.verdict, sizeof(ret->verdict));
	add_up(r, RIG_SVCSTATS, RIG_SERVICE, (uint64_t *)&ret->service, sizeof(ret->service) / 8);
	for (uint32_t i = 0; i < RIG_BACKENDS; i++) {
		struct shift_backend_stats *b = &ret->backend[i];

		rig_backend_stats(r, (enum rig_backend)i, b);
		for (int k = 1; k < SHIFT_HISTOGRAM; k++) {
			b->handshake[0] += b->handshake[k];
			b->handshake[k] = 0;
		}
	}
}

const char *rig_tally_name(size_t word, char text[80])
{
	static const char *const service[] = {"connections_old", "connections_new", "bypassed",
					      "syn_retransmits", "packets_new",	    "bytes_new"};
	static const char *const fallback[] = SHIFT_FALLBACK_NAMES;
	static const char *const backend[] = {"connections",	 "handshakes", "handshake_failures",
					      "syn_retransmits", "packets_up", "bytes_up",
					      "packets_down",	 "bytes_down", "resets"};
	static const char *const of[] = {"(none)", "aws", "azure", "gcp"};
	size_t at = word * 8;

	if (at < offsetof(struct tally, service)) {
		snprintf(text, 80, "verdict %s",
			 word < SHIFT_VERDICTS ? rig_verdict_names[word] : "(none)");
		return text;
	}
	if (at < offsetof(struct tally, backend)) {
		at = (at - offsetof(struct tally, service)) / 8;
		if (at < 6)
			snprintf(text, 80, "%s", service[at]);
		else if (at < 6 + SHIFT_FALLBACKS)
			snprintf(text, 80, "fallback %s", fallback[at - 6]);
		else
			snprintf(text, 80, at == 14 ? "shadow" : "service counter %zu", at);
		return text;
	}
	at -= offsetof(struct tally, backend);
	word = at / sizeof(struct shift_backend_stats);
	at = at % sizeof(struct shift_backend_stats) / 8;
	if (at < 9)
		snprintf(text, 80, "%s %s", of[word], backend[at]);
	else
		snprintf(text, 80, at == 16 ? "%s handshakes timed" : "%s counter %zu", of[word],
			 at);
	return text;
}

/* ---- maps ---- */

void rig_put(struct rig *r, enum rig_map map, const void *key, const void *value)
{
	if (bpf_map_update_elem(r->map[map], key, value, BPF_ANY)) {
		fprintf(stderr, "%s: cannot be written: %s\n", map_names[map], strerror(errno));
		abort();
	}
}

void rig_get(struct rig *r, enum rig_map map, const void *key, void *ret_value)
{
	if (bpf_map_lookup_elem(r->map[map], key, ret_value)) {
		fprintf(stderr, "%s: cannot be read: %s\n", map_names[map], strerror(errno));
		abort();
	}
}

uint64_t rig_hash(const struct rig *r, const struct end *client)
{
	return shift_hash(r->service.seed, r->service.affinity, client->ip,
			  shift_be16(client->port));
}
