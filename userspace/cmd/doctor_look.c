/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor_look.c - the facts: asked of the kernel, nothing guessed, nothing changed
 *
 * What could load a module by being asked is not asked (net/firewall.h, net/sockets.h), and names
 * are given two seconds each.
 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/cmd/doctor.h"
#include "userspace/net/sysctl.h"
#include "userspace/plane/plane.h"

#define LAYERS	 8 /* of devices on devices */
#define RESERVED "/proc/sys/net/ipv4/ip_local_reserved_ports"

/* ---- kernel and limits ---- */

static bool file_mentions(const char *path, const char *word)
{
	FILE *f = fopen(path, "re");
	bool found = false;
	char line[512];

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, word) != NULL;
	fclose(f);
	return found;
}

/* Making a qdisc would be the only sure test. So: is it loaded, built in, or at hand as a module?
 */
static enum doctor_answer look_for_clsact(const char *release)
{
	char path[128];

	if (file_mentions("/proc/modules", "sch_ingress ") ||
	    file_mentions("/proc/kallsyms", " clsact_init"))
		return DOCTOR_YES;
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", release);
	if (file_mentions(path, "/sch_ingress.ko"))
		return DOCTOR_YES;
	return access("/proc/kallsyms", R_OK) ? DOCTOR_UNKNOWN : DOCTOR_NO;
}

static void look_at_clock(struct doctor_kernel *k)
{
	struct timex t = {.modes = 0};
	int state = adjtimex(&t);

	if (state < 0) {
		k->clock_err = -errno;
		return;
	}
	k->synchronised = state != TIME_ERROR && !(t.status & STA_UNSYNC);
	k->clock_error_us = (uint64_t)t.maxerror;
}

static void look_at_limits(struct doctor_kernel *k)
{
	struct rlimit limit;
	long count, max;

	k->memory_charged = k->major < 5 || (k->major == 5 && k->minor < 11);
	k->memlock = UINT64_MAX;
	if (!getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur != RLIM_INFINITY)
		k->memlock = limit.rlim_cur;
	if (!sysctl_read(&count, "net/netfilter/nf_conntrack_count") &&
	    !sysctl_read(&max, "net/netfilter/nf_conntrack_max")) {
		k->conntrack = (uint64_t)count;
		k->conntrack_max = (uint64_t)max;
	}
}

static void look_at_kernel(struct doctor_kernel *k, bool attached)
{
	struct utsname u;
	char pins[128];

	if (!uname(&u)) {
		snprintf(k->release, sizeof(k->release), "%s", u.release);
		sscanf(u.release, "%u.%u", &k->major, &k->minor);
	}
	k->cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	k->root = !geteuid();
	k->btf = access("/sys/kernel/btf/vmlinux", F_OK) ? DOCTOR_NO : DOCTOR_YES;
	k->bpffs = !plane_pin_dir(pins, sizeof(pins));
	look_at_limits(k); /* before the probe lifts one of them */
	look_at_clock(k);
	doctor_probe_kernel(k, attached);
	k->clsact = k->tcx == DOCTOR_YES ? DOCTOR_UNKNOWN : look_for_clsact(k->release);
}

/* ---- devices ---- */

static long largest(const char *name)
{
	long all = -1, own = -1;

	sysctl_read(&all, "net/ipv4/conf/all/rp_filter");
	sysctl_read(&own, "net/ipv4/conf/%s/rp_filter", name);
	return all > own ? all : own;
}

static void look_at_hooks(uint32_t ifindex, struct doctor_device *d)
{
	struct plane_attachment at;

	if (!plane_attachment(ifindex, false, &at)) {
		d->hook = at.hook;
		if (at.prog_fd >= 0)
			close(at.prog_fd);
	}
	if (d->nic.xdp_prog_id)
		doctor_probe_program(d->nic.xdp_prog_id, &d->xdp);
	for (int side = 0; side < 2; side++) {
		int n = filters_list(ifindex, side, d->filter[side], DOCTOR_FILTERS);

		d->n_filters[side] = n > DOCTOR_FILTERS ? DOCTOR_FILTERS : n;
		d->n_tcx[side] = doctor_probe_tcx(ifindex, side, d->tcx[side]);
	}
}

static bool is_part(const struct host_link *part, const struct host_link *of)
{
	return part->master == of->ifindex &&
	       (!strcmp(of->kind, "bond") || !strcmp(of->kind, "team"));
}

/* Bonds and VLANs say that they have LRO when they only could: the device below is what merges. */
static void look_for_lro(const struct host *h, const struct host_link *l, int depth, char *ret)
{
	bool parts = false;
	struct nic n;

	for (unsigned int i = 0; i < h->n_links && depth; i++)
		if (is_part(&h->links[i], l) || (l->lower && h->links[i].ifindex == l->lower)) {
			parts = true;
			look_for_lro(h, &h->links[i], depth - 1, ret);
		}
	if (!parts && strcmp(l->kind, "bond") && strcmp(l->kind, "team") &&
	    !nic_read(l->ifindex, l->name, &n) && n.lro == DOCTOR_YES)
		snprintf(ret, sizeof(l->name), "%s", l->name);
}

static void look_at_device(const struct doctor_facts *f, const struct host_link *l,
			   struct doctor_device *d)
{
	snprintf(d->name, sizeof(d->name), "%s", l->name);
	snprintf(d->kind, sizeof(d->kind), "%s", l->kind);
	d->listed = f->config != NULL;
	d->native_xdp = DOCTOR_UNKNOWN;
	d->rp_filter = largest(d->name);
	d->forwarding[0] = d->forwarding[1] = -1;
	sysctl_read(&d->forwarding[0], "net/ipv4/conf/%s/forwarding", d->name);
	sysctl_read(&d->forwarding[1], "net/ipv6/conf/%s/forwarding", d->name);
	d->err = nic_read(l->ifindex, l->name, &d->nic);
	if (d->err)
		return;
	look_for_lro(&f->host.host, l, LAYERS, d->lro_at);
	if (f->config && f->config->hook == CONF_HOOK_XDP)
		d->native_xdp = nic_native_xdp(l->ifindex);
	look_at_hooks(l->ifindex, d);
}

static bool has_default_route(const struct host *h, uint32_t ifindex)
{
	for (unsigned int i = 0; i < h->n_routes; i++)
		if (h->routes[i].ifindex == ifindex && !h->routes[i].prefix)
			return true;
	return false;
}

/* Those listed; without a configuration those with a default route. */
static bool is_of_interest(const struct doctor_facts *f, const struct host_link *l)
{
	const struct config *c = f->config;

	if (!c)
		return l->up && !l->loopback && has_default_route(&f->host.host, l->ifindex);
	for (unsigned int i = 0; i < c->n_interfaces; i++)
		if (!strcmp(c->interfaces[i].name, l->name))
			return true;
	return false;
}

static int look_at_devices(struct doctor_facts *f)
{
	const struct host *h = &f->host.host;

	f->devices = calloc(CONF_MAX_IFACES, sizeof(*f->devices));
	if (!f->devices)
		return -ENOMEM;
	for (unsigned int i = 0; i < h->n_links && f->n_devices < CONF_MAX_IFACES; i++)
		if (is_of_interest(f, &h->links[i]))
			look_at_device(f, &h->links[i], &f->devices[f->n_devices++]);
	return 0;
}

/* ---- ways ---- */

static const uint32_t *source_for(const struct doctor_facts *f, const uint32_t to[4])
{
	const struct config *c = f->config;

	for (unsigned int i = 0; i < c->n_nat; i++)
		if (c->nat[i].family == ip_family(to) && host_address(&f->host.host, c->nat[i].ip))
			return c->nat[i].ip;
	return NULL;
}

static void look_at_way(const struct doctor_facts *f, struct doctor_way *w)
{
	const uint32_t *from = source_for(f, w->to);

	w->no_source = !from;
	if (!from)
		return;
	w->err = route_lookup(w->to, from, &w->way);
	if (!w->err && !if_indextoname(w->way.ifindex, w->device))
		w->device[0] = '\0';
}

static int look_at_ways(struct doctor_facts *f)
{
	const struct config *c = f->config;
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->n_backends; i++)
		n += f->host.backend[i].to.n;
	f->ways = calloc(n ? n : 1, sizeof(*f->ways));
	if (!f->ways)
		return -ENOMEM;
	for (unsigned int i = 0; i < c->n_backends; i++)
		for (unsigned int j = 0; j < f->host.backend[i].to.n; j++) {
			struct doctor_way *w = &f->ways[f->n_ways++];

			w->backend = i;
			memcpy(w->to, f->host.backend[i].to.address[j], sizeof(w->to));
			look_at_way(f, w);
		}
	return 0;
}

/* ---- ports ---- */

/* How many ports of the range are in "8080,20000-59999". */
static unsigned int count_reserved(const char *text, unsigned int lo, unsigned int hi)
{
	unsigned int n = 0;
	char *at = (char *)(uintptr_t)text;

	while (*at >= '0' && *at <= '9') {
		unsigned long from = strtoul(at, &at, 10), to = from;

		if (*at == '-')
			to = strtoul(at + 1, &at, 10);
		from = from > lo ? from : lo;
		to = to < hi ? to : hi;
		n += to >= from ? (unsigned int)(to - from + 1) : 0;
		at += *at == ',';
	}
	return n;
}

static void look_at_reserved(struct doctor_ports *p, unsigned int lo, unsigned int hi)
{
	FILE *f = fopen(RESERVED, "re");
	size_t size = 0;
	char *line = NULL;

	if (!f)
		return;
	if (getline(&line, &size, f) >= 0) {
		p->reserved_known = true;
		p->unreserved = p->overlap - count_reserved(line, lo, hi);
	}
	free(line);
	fclose(f);
}

static void look_at_ports(struct doctor_facts *f)
{
	uint32_t(*towards)[4] = calloc(f->n_ways ? f->n_ways : 1, sizeof(*towards));
	const struct config *c = f->config;
	struct doctor_ports *p = &f->ports;
	unsigned int from, to;

	p->lo = f->host.host.port_lo;
	p->hi = f->host.host.port_hi;
	from = c->port_lo > p->lo ? c->port_lo : p->lo;
	to = c->port_hi < p->hi ? c->port_hi : p->hi;
	if (p->hi && from <= to) {
		p->overlap = to - from + 1;
		look_at_reserved(p, from, to);
	}
	for (unsigned int i = 0; towards && i < f->n_ways; i++)
		memcpy(towards[i], f->ways[i].to, sizeof(*towards));
	p->sockets_err = sockets_in_range(c->port_lo, c->port_hi, (const uint32_t(*)[4])towards,
					  towards ? f->n_ways : 0, &p->sockets);
	free(towards);
}

/* ---- all of it ---- */

static void look_for_ours(struct doctor_facts *f)
{
	struct plane p;

	f->plane_err = plane_find(&p);
	f->attached = p.attachments > 0;
	plane_close(&p);
}

static int look_with_config(struct doctor_facts *f)
{
	int err;

	f->plan = calloc(1, sizeof(*f->plan));
	if (!f->plan)
		return -ENOMEM;
	f->host_err = plan_look(f->config, &f->host);
	if (f->host_err)
		return 0;
	plan_check(f->config, &f->host, NULL, 0, f->plan);
	err = look_at_ways(f);
	if (!err)
		look_at_ports(f);
	return err;
}

int doctor_look(const struct config *c, struct doctor_facts *ret)
{
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	ret->config = c;
	/* Before the first name is asked for; who knows better has set it. */
	setenv("RES_OPTIONS", "timeout:2 attempts:1", 0);
	look_for_ours(ret);
	look_at_kernel(&ret->kernel, ret->attached);
	if (c)
		err = look_with_config(ret);
	else
		ret->host_err = host_read(NULL, 0, &ret->host.host);
	if (!err && !ret->host_err)
		err = look_at_devices(ret);
	return err ? err : firewall_read(&ret->firewall);
}

void doctor_free(struct doctor_facts *f)
{
	if (!f)
		return;
	plan_host_free(&f->host);
	firewall_free(&f->firewall);
	free(f->plan);
	free(f->devices);
	free(f->ways);
	free(f);
}
