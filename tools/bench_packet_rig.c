/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench_packet_rig.c - loading, filling, running, counting (bench_packet_rig.h)
 *
 * The only file that knows the maps; of a flow's record bench_packet_flows.c knows what it must.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "tools/bench_packet_rig.h"

static void mapped(uint32_t to[4], uint32_t address)
{
	to[0] = to[1] = 0;
	to[2] = htonl(0xffff);
	to[3] = htonl(address);
}

/* ---- loading ---- */

int rig_failed(const char *what, int err)
{
	fprintf(stderr, "bench_packet: %s: %s\n", what, strerror(-err));
	return err;
}

static int talk(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

/* Sets a `const volatile __u32` of the program; one that it does not have is not set. */
static void set_constant(struct bpf_object *o, const char *name, uint32_t value)
{
	struct bpf_map *map = bpf_object__find_map_by_name(o, ".rodata");
	const struct btf *btf = bpf_object__btf(o);
	int id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -1;
	const struct btf_type *section;
	size_t size;
	char *data;

	if (!map || id < 0)
		return;
	section = btf__type_by_id(btf, (uint32_t)id);
	data = (char *)(uintptr_t)bpf_map__initial_value(map, &size); /* ours until it is loaded */
	for (int i = 0; data && i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *v = btf_var_secinfos(section) + i;
		const struct btf_type *t = btf__type_by_id(btf, v->type);

		if (!strcmp(btf__name_by_offset(btf, t->name_off), name) &&
		    v->size == sizeof(value))
			memcpy(data + v->offset, &value, sizeof(value));
	}
}

/* The maps that both objects have become one. */
static int share(struct bpf_object *o, const struct bpf_object *with)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, o)
	{
		int fd = bpf_object__find_map_fd_by_name(with, bpf_map__name(map));

		if (fd >= 0 && !bpf_map__is_internal(map) && !err)
			err = bpf_map__reuse_fd(map, fd);
	}
	return err;
}

/* `only`: the one program of the object that is wanted; NULL: all. `with`: NULL, or whose maps. */
static int load(struct bpf_object **ret, const char *path, const char *only,
		const struct bpf_object *with, const char *const sized[], uint32_t size,
		const char *steps, uint32_t n_steps)
{
	struct bpf_program *p;
	struct bpf_map *map;
	int err = 0;

	*ret = bpf_object__open_file(path, NULL);
	if (!*ret)
		return rig_failed(path, -errno);
	bpf_object__for_each_program (p, *ret)
		if (only)
			bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), only));
	for (; *sized; sized++) {
		map = bpf_object__find_map_by_name(*ret, *sized);
		if (map)
			bpf_map__set_max_entries(map, size);
	}
	map = steps ? bpf_object__find_map_by_name(*ret, steps) : NULL;
	if (map)
		bpf_map__set_max_entries(map, n_steps);
	set_constant(*ret, "window_shift", 8);
	set_constant(*ret, "flow_lines", size);
	if (with)
		err = share(*ret, with);
	err = err ? err : bpf_object__load(*ret);
	return err ? rig_failed(path, err) : 0;
}

static int program(const struct bpf_object *o, const char *name)
{
	const struct bpf_program *p = bpf_object__find_program_by_name(o, name);

	return p ? bpf_program__fd(p) : rig_failed(name, -ENOENT);
}

static void *map_memory(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* ---- what apply writes ---- */

static int put(struct rig *r, const char *name, uint32_t key, const void *value)
{
	int fd = bpf_object__find_map_fd_by_name(r->plane, name);

	if (fd < 0 || bpf_map_update_elem(fd, &key, value, BPF_ANY))
		return rig_failed(name, fd < 0 ? fd : -errno);
	return 0;
}

static int put_keyed(struct rig *r, const char *name, const void *key, const void *value)
{
	int fd = bpf_object__find_map_fd_by_name(r->plane, name);

	if (fd < 0 || bpf_map_update_elem(fd, key, value, BPF_ANY))
		return rig_failed(name, fd < 0 ? fd : -errno);
	return 0;
}

static int fill_service(struct rig *r)
{
	static const uint16_t seconds[SHIFT_FLOW_STATES] = {0, 60, 60, 7440, 240, 5, 60, 60};
	struct shift_service s = {.seed = 0x5eed5eed5eed5eedull,
				  .flags = SHIFT_SERVICE_USED,
				  .affinity = SHIFT_AFFINITY_CONNECTION,
				  .syn_memory = 65 * SECOND,
				  .timeout_udp = 120 * SECOND,
				  .timeout_second = SECOND,
				  .mtu_floor = 1500,
				  .name = "bench"};
	struct shift_listen l = {.port = htons(PORT),
				 .protocol = IPPROTO_TCP,
				 .service = SERVICE,
				 .flags = SHIFT_LISTEN_USED};
	struct shift_listen_key entry = {.port = htons(PORT), .protocol = IPPROTO_TCP};
	struct shift_globals g = {.abi = SHIFT_ABI, .hz = 250, .window_shift = 8};
	struct shift_ports ports = {0};
	uint32_t id = LISTEN;
	int err;

	for (int i = 0; i < SHIFT_FLOW_STATES; i++)
		s.timeout[i] = seconds[i] * SECOND;
	mapped(l.address, LISTEN_ADDRESS);
	mapped(entry.address, LISTEN_ADDRESS);
	ports.listen[PORT / 64] |= 1ull << PORT % 64;
	for (uint32_t p = PORT_LO; p < PORT_LO + RIG_PORTS; p++)
		ports.nat[p / 64] |= 1ull << p % 64;
	g.interface[SLOT].ifindex = LO_IFINDEX;
	g.interface[SLOT].services = 1 << SERVICE;
	err = put(r, "shift_services", SERVICE, &s);
	err = err ? err : put(r, "shift_listens", LISTEN, &l);
	err = err ? err : put_keyed(r, "shift_entry", &entry, &id);
	err = err ? err : put(r, "shift_ports", 0, &ports);
	return err ? err : put(r, "shift_globals", 0, &g);
}

static int fill_slots(struct rig *r, uint32_t nat)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "slots", 4, sizeof(struct shift_flow),
				RIG_PORTS, &o);
	int err;

	if (fd < 0)
		return rig_failed("slots", fd);
	r->slots[nat] = map_memory(fd, RIG_PORTS * sizeof(struct shift_flow));
	err = put(r, "shift_slots", TARGET(nat), &fd);
	close(fd);
	return err ? err : r->slots[nat] ? 0 : rig_failed("slots", -ENOMEM);
}

static int fill_targets(struct rig *r)
{
	struct shift_reply_key reply = {.port = htons(PORT), .protocol = IPPROTO_TCP};
	struct shift_target t = {.port = htons(PORT),
				 .port_lo = PORT_LO,
				 .ports = RIG_PORTS,
				 .family = 4,
				 .protocol = IPPROTO_TCP,
				 .flags = SHIFT_TARGET_USED,
				 .shards = SHARDS,
				 .stride = 1,
				 .backend = BACKEND,
				 .mtu = 1500,
				 .gateway_known = 1}; /* its MAC is lo's, as the packets' */
	int err = 0;

	mapped(t.address, BACKEND_ADDRESS);
	mapped(reply.address, BACKEND_ADDRESS);
	for (uint32_t i = 0; i < r->shape.nats && !err; i++) {
		uint32_t id = TARGET(i);

		mapped(t.nat, NAT_ADDRESS(i));
		mapped(reply.nat, NAT_ADDRESS(i));
		err = put(r, "shift_targets", id, &t);
		err = err ? err : put_keyed(r, "shift_replies", &reply, &id);
		err = err ? err : fill_slots(r, i);
	}
	return err;
}

static int fill_backend(struct rig *r)
{
	struct shift_backend b = {.name = "aws",
				  .flags = SHIFT_BACKEND_USED,
				  .service = SERVICE,
				  .weight = 40,
				  .targets = {(uint16_t)r->shape.nats, 0}};
	static struct shift_table t = {.entries = SHIFT_TABLE, .backends = 1, .list = {BACKEND}};
	int err;

	for (uint32_t i = 0; i < r->shape.nats; i++)
		b.target[0][i] = (uint16_t)TARGET(i);
	for (int i = 0; i < SHIFT_TABLE; i++)
		t.backend[i] = BACKEND;
	err = put(r, "shift_backends", BACKEND, &b);
	return err ? err : put(r, "shift_tables", SERVICE * 2, &t);
}

void rig_weight(struct rig *r, uint32_t weight)
{
	uint64_t head = r->control->head, index = (head & SHIFT_INDEX_MASK) % SHIFT_RECORDS + 1;
	uint64_t count = (head >> SHIFT_INDEX_BITS >> SHIFT_CHECK_BITS) + 1;
	struct shift_record *next = &r->control->record[index - 1];

	*next = (struct shift_record){.epoch = count,
				      .weight = (uint16_t)weight,
				      .threshold = shift_weight_threshold(weight),
				      .authority = SHIFT_AUTHORITY_SHARED};
	next->generation = shift_record_generation(next, count);
	__atomic_store_n(&r->control->head, next->generation << SHIFT_INDEX_BITS | index,
			 __ATOMIC_SEQ_CST);
}

static int open_plane(struct rig *r, const struct rig_type *type)
{
	static const char *const sized[] = {"shift_flows", NULL};
	struct shift_control *control;
	int err;

	err = load(&r->plane, type->object, type->program, r->maker ? r->maker->plane : NULL, sized,
		   shift_lines(r->shape.nats * RIG_PORTS), NULL, 0);
	if (err)
		return err;
	r->program[RIG_SHIFT] = program(r->plane, type->program);
	r->ifstats = bpf_object__find_map_fd_by_name(r->plane, "shift_ifstats");
	if (r->program[RIG_SHIFT] < 0 || r->ifstats < 0)
		return rig_failed(type->object, -ENOENT);
	if (r->maker) {
		r->control = r->maker->control;
		memcpy(r->slots, r->maker->slots, sizeof(r->slots));
		return 0;
	}
	control = map_memory(bpf_object__find_map_fd_by_name(r->plane, "shift_control"),
			     sizeof(*control) * SHIFT_MAX_SERVICES);
	if (!control)
		return rig_failed(type->object, -ENOMEM);
	r->control = control + SERVICE;
	err = fill_service(r);
	err = err ? err : fill_targets(r);
	return err ? err : fill_backend(r);
}

static int open_wrapper(struct rig *r, const struct rig_type *type)
{
	static const char *const sized[] = {"bench_flows", NULL};
	uint32_t n = r->shape.flows * RIG_KINDS;
	int err;

	err = load(&r->wrap, type->wrapper, NULL, NULL, sized, r->shape.nats * RIG_PORTS,
		   "bench_steps", n);
	if (err)
		return err;
	r->program[RIG_EMPTY] = program(r->wrap, "bench_empty");
	r->program[RIG_FLOOR_HIT] = program(r->wrap, "bench_floor_hit");
	r->program[RIG_FLOOR_NAT] = program(r->wrap, "bench_floor_nat");
	r->wrapper = program(r->wrap, "bench_wrap");
	r->programs = bpf_object__find_map_fd_by_name(r->wrap, "bench_program");
	r->state = map_memory(bpf_object__find_map_fd_by_name(r->wrap, "bench_state"),
			      sizeof(*r->state));
	r->steps = map_memory(bpf_object__find_map_fd_by_name(r->wrap, "bench_steps"),
			      n * sizeof(*r->steps));
	if (!r->state || !r->steps)
		return rig_failed(type->wrapper, -ENOMEM);
	r->state->ifindex = LO_IFINDEX;
	r->state->backend = htonl(BACKEND_ADDRESS);
	r->state->backend_port = htons(PORT);
	return 0;
}

/* ---- running ---- */

static double thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int rig_run(struct rig *r, enum rig_program which, uint32_t repeat, struct rig_result *ret)
{
	uint8_t in[BENCH_FRAME] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in, .data_size_in = sizeof(in),
		    .data_out = ret->frame, .data_size_out = sizeof(ret->frame),
		    .repeat = (int)repeat);
	uint32_t zero = 0;
	double began;
	int err;

	in[12] = 0x08; /* IPv4: from this the kernel sets skb->protocol */
	if (bpf_map_update_elem(r->programs, &zero, &r->program[which], BPF_ANY))
		return rig_failed("bench_program", -errno);
	began = thread_ns();
	err = bpf_prog_test_run_opts(r->wrapper, &o);
	ret->thread_ns = thread_ns() - began;
	if (err)
		return rig_failed("test_run", err);
	ret->action = (int)o.retval;
	ret->size = o.data_size_out;
	ret->step = r->state->first + (r->state->next ? r->state->next : r->state->count) - 1;
	return 0;
}

/* ---- reading ---- */

static uint64_t add_up(int fd, uint32_t key, size_t size, size_t at)
{
	int cpus = libbpf_num_possible_cpus();
	uint8_t *values = calloc((size_t)cpus, size);
	uint64_t sum = 0, one;

	if (values && !bpf_map_lookup_elem(fd, &key, values)) {
		for (int i = 0; i < cpus; i++) {
			memcpy(&one, values + (size_t)i * size + at, sizeof(one));
			sum += one;
		}
	}
	free(values);
	return sum;
}

uint64_t rig_verdict(struct rig *r, enum shift_verdict which)
{
	return add_up(r->ifstats, SLOT, sizeof(struct shift_if_stats),
		      offsetof(struct shift_if_stats, verdict) + which * 8);
}

static int open_maker(struct rig *r, const struct rig_type *type)
{
	r->maker = calloc(1, sizeof(*r->maker));
	return r->maker ? rig_open(r->maker, type, &r->shape) : rig_failed("maker", -ENOMEM);
}

int rig_open(struct rig *r, const struct rig_type *type, const struct rig_shape *shape)
{
	int err = 0;

	memset(r, 0, sizeof(*r));
	r->shape = *shape;
	libbpf_set_print(talk);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	r->flow = calloc(shape->flows, sizeof(*r->flow));
	if (!r->flow)
		return rig_failed("flows", -ENOMEM);
	if (type->maker)
		err = open_maker(r, type->maker);
	err = err ? err : open_plane(r, type);
	err = err ? err : open_wrapper(r, type);
	if (err)
		return err;
	if (r->maker) {
		memcpy(r->flow, r->maker->flow, shape->flows * sizeof(*r->flow));
	} else {
		flows_choose(r);
		rig_weight(r, SHIFT_WEIGHT_MAX);
		err = shape->live ? flows_establish(r) : 0;
	}
	return err || !shape->live ? err : flows_tell_floor(r);
}

void rig_close(struct rig *r)
{
	if (r->maker) {
		rig_close(r->maker);
		free(r->maker);
	} else {
		for (uint32_t i = 0; i < RIG_NATS; i++)
			if (r->slots[i])
				munmap(r->slots[i], RIG_PORTS * sizeof(struct shift_flow));
		if (r->control)
			munmap(r->control - SERVICE, sizeof(*r->control) * SHIFT_MAX_SERVICES);
	}
	if (r->state)
		munmap(r->state, sizeof(*r->state));
	if (r->steps)
		munmap(r->steps, r->shape.flows * RIG_KINDS * sizeof(*r->steps));
	bpf_object__close(r->plane);
	bpf_object__close(r->wrap);
	free(r->flow);
}
