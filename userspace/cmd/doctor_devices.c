/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor_devices.c - judging the interfaces: offloads, queues, layers, and whose programs run there
 *
 * The order in which the kernel hands a packet on: XDP, then tcx, then clsact filters by priority,
 * then nftables' ingress, then the host. What stands before ours can keep packets from it; what
 * stands behind does not see what ours has shifted.
 */
#include <stdarg.h>
#include <string.h>

#include "userspace/cmd/doctor.h"
#include "userspace/net/tc.h"

#define NATIVE_MTU 3498 /* one page less headroom: what most drivers' XDP takes */

enum side { INGRESS, EGRESS };

/* ---- the device itself ---- */

static void judge_offloads(const struct doctor_device *d, bool xdp, struct doctor_report *r)
{
	struct doctor_finding *f;

	if (d->lro_at[0]) {
		f = doctor_find(r, "lro", xdp ? DOCTOR_CRITICAL : DOCTOR_WARNING, d->name,
				"large-receive-offload is on at %s: packets merged by it cannot be "
				"sent on as they were%s",
				d->lro_at, xdp ? ", and drivers refuse XDP" : "");
		doctor_fix(f, "ethtool -K %s lro off", d->lro_at);
	} else if (d->nic.lro != DOCTOR_UNKNOWN) {
		doctor_find(r, "lro", DOCTOR_OK, d->name, "off");
	}
	if (d->nic.gro == DOCTOR_NO && !d->kind[0]) { /* a veth gets them as they were sent */
		f = doctor_find(r, "gro", DOCTOR_NOTE, d->name,
				"generic-receive-offload is off: right, but every packet is "
				"handled by itself");
		doctor_fix(f, "ethtool -K %s gro on", d->name);
	} else if (d->nic.gro != DOCTOR_UNKNOWN) {
		doctor_find(r, "gro", DOCTOR_OK, d->name, "%s",
			    d->nic.gro == DOCTOR_YES ? "on: what it merges stays whole" : "off");
	}
}

/* Of hardware; a veth or bridge is served where its packets come from. */
static void judge_queues(const struct doctor_device *d, unsigned int cpus, struct doctor_report *r)
{
	struct doctor_finding *f;
	bool few = !d->kind[0] && d->nic.rx_queues && d->nic.rx_queues < cpus;

	if (!d->nic.rx_queues)
		return;
	f = doctor_find(r, "queues", few ? DOCTOR_NOTE : DOCTOR_OK, d->name,
			"%u receive queue%s, %u CPUs%s", d->nic.rx_queues,
			d->nic.rx_queues == 1 ? "" : "s", cpus,
			few ? ": the others take no part in receiving" : "");
	if (few)
		doctor_fix(f, "ethtool -L %s combined %u, or RPS in /sys/class/net/%s/queues",
			   d->name, cpus, d->name);
}

static void judge_sysctls(const struct doctor_device *d, struct doctor_report *r)
{
	static const char *const filters[] = {"off", "strict", "loose"};
	static const char *const answers[] = {"unknown", "off", "on"};

	if (d->rp_filter >= 0 && d->rp_filter <= 2)
		doctor_find(r, "rp_filter", DOCTOR_OK, d->name,
			    "%ld (%s): fine as it is, shifted packets do not come to it",
			    d->rp_filter, filters[d->rp_filter]);
	doctor_find(r, "forwarding", DOCTOR_OK, d->name,
		    "IPv4 %s, IPv6 %s: fine as it is, it is not needed",
		    answers[d->forwarding[0] < 0 ? 0 : 1 + !!d->forwarding[0]],
		    answers[d->forwarding[1] < 0 ? 0 : 1 + !!d->forwarding[1]]);
}

/* ---- layers ---- */

static bool is_listed(const struct doctor_facts *f, const char *name)
{
	for (unsigned int i = 0; f->config && i < f->config->n_interfaces; i++)
		if (!strcmp(f->config->interfaces[i].name, name))
			return true;
	return false;
}

/* The plan refuses two listed layers; one that is not listed is told here. */
static void judge_layers(const struct doctor_facts *facts, const struct doctor_device *d,
			 struct doctor_report *r)
{
	const struct host *h = &facts->host.host;
	const struct host_link *self = host_link_named(h, d->name), *master;
	struct doctor_finding *f;
	unsigned int upper = 0;

	if (!self)
		return;
	for (unsigned int i = 0; i < h->n_links; i++) {
		const struct host_link *l = &h->links[i];

		if (l->lower != self->ifindex || is_listed(facts, l->name))
			continue;
		upper++;
		f = doctor_find(r, "layers", DOCTOR_NOTE, d->name,
				"%s (%s) is on top of it: its packets come by here first, with "
				"their tags or foreign addresses",
				l->name, l->kind);
		doctor_fix(f, "if clients come in on %s, list it instead of %s", l->name, d->name);
	}
	master = self->master ? host_link(h, self->master) : NULL;
	if (master && !is_listed(facts, master->name)) {
		f = doctor_find(r, "layers", DOCTOR_NOTE, d->name, "it is a part of %s (%s)",
				master->name, master->kind);
		doctor_fix(f, "every part must be listed, or %s instead of them", master->name);
	} else if (!upper) {
		doctor_find(r, "layers", DOCTOR_OK, d->name, "%s%sa packet is seen once", d->kind,
			    *d->kind ? ": " : "");
	}
}

/* ---- XDP ---- */

static void judge_xdp(const struct doctor_device *d, bool wanted, struct doctor_report *r)
{
	static const char *const modes[] = {"", " (native)", " (generic)", " (hardware)",
					    " (several)"};
	const char *mode = (unsigned int)d->nic.xdp < 5 ? modes[d->nic.xdp] : "";
	struct doctor_finding *f;

	if (!d->nic.xdp_prog_id || d->xdp.ours) {
		doctor_find(r, "xdp", DOCTOR_OK, d->name, "%s%s",
			    d->nic.xdp_prog_id ? "ours" : "nobody's program", mode);
	} else {
		f = doctor_find(r, "xdp", wanted ? DOCTOR_CRITICAL : DOCTOR_NOTE, d->name,
				"program %u %s%s of somebody else runs before everything%s",
				d->nic.xdp_prog_id, d->xdp.name, mode,
				wanted ? ", and there is one place only"
				       : ": what it drops or sends on never comes to ours");
		if (wanted)
			doctor_fix(f, "hook: auto, or take it away: ip link set %s xdp off",
				   d->name);
		else
			doctor_fix(f,
				   "see that it passes the listen ports and the backends' "
				   "replies: bpftool prog show id %u",
				   d->nic.xdp_prog_id);
	}
}

/* What XDP lacks where the configuration asks for it. */
static void judge_xdp_limits(const struct doctor_device *d, struct doctor_report *r)
{
	struct doctor_finding *f;

	if (d->native_xdp == DOCTOR_NO) {
		f = doctor_find(r, "xdp-native", DOCTOR_WARNING, d->name,
				"its driver does not run XDP itself: generic XDP does all that tc "
				"does, later and slower");
		doctor_fix(f, "hook: tc");
	}
	if (d->nic.mtu > NATIVE_MTU) {
		f = doctor_find(r, "xdp-mtu", DOCTOR_WARNING, d->name,
				"MTU %u: most drivers refuse native XDP above about %u", d->nic.mtu,
				NATIVE_MTU);
		doctor_fix(f, "hook: tc, or ip link set %s mtu %u", d->name, NATIVE_MTU);
	}
	if (!strcmp(d->kind, "veth")) {
		f = doctor_find(r, "xdp-veth", DOCTOR_NOTE, d->name,
				"a veth sends from native XDP only if the peer has an XDP program, "
				"too, and transmit checksum offload is off there");
		doctor_fix(f, "hook: tc");
	}
	if (!d->forwarding[0] || !d->forwarding[1]) {
		f = doctor_find(
			r, "xdp-forwarding", DOCTOR_NOTE, d->name,
			"forwarding is off, so bpf_fib_lookup refuses: only what leaves the "
			"way it came stays in XDP, the rest goes by tc");
		doctor_fix(f, "none is needed");
	}
}

/* ---- tcx and clsact ---- */

struct names {
	char text[200];
	size_t used;
	unsigned int n;
	char last[96];
};

static void add_name(struct names *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_name(struct names *l, const char *format, ...)
{
	va_list ap;
	char one[96];

	va_start(ap, format);
	vsnprintf(one, sizeof(one), format, ap);
	va_end(ap);
	if (l->n && !strcmp(one, l->last)) /* u32 has several entries for one filter */
		return;
	l->n++;
	snprintf(l->last, sizeof(l->last), "%s", one);
	if (l->used + strlen(one) + 8 < sizeof(l->text))
		l->used += (size_t)snprintf(l->text + l->used, sizeof(l->text) - l->used, "%s%s",
					    l->used ? ", " : "", one);
	else if (l->text[l->used - 1] != '.')
		l->used += (size_t)snprintf(l->text + l->used, sizeof(l->text) - l->used, " ...");
}

static void find_before(struct doctor_report *r, const char *what, const char *name,
			const struct names *l)
{
	struct doctor_finding *f = doctor_find(
		r, what, DOCTOR_WARNING, name,
		"before ours: %s: what ends the chain there never comes to ours", l->text);

	doctor_fix(f, "attach it again behind ours, or make it answer TC_ACT_UNSPEC for what is "
		      "not its own");
}

static void find_behind(struct doctor_report *r, const char *what, const char *name, bool attached,
			const struct names *l)
{
	struct doctor_finding *f =
		doctor_find(r, what, DOCTOR_NOTE, name, "%s: %s: it does not see what is shifted",
			    attached ? "behind ours" : "ours will go before", l->text);

	doctor_fix(f, "none is needed, unless it must see what is shifted");
}

static void judge_tcx(const struct doctor_device *d, struct doctor_report *r)
{
	struct names before = {.n = 0}, behind = {.n = 0};
	bool passed = false;

	for (int i = 0; i < d->n_tcx[INGRESS]; i++) {
		const struct doctor_program *p = &d->tcx[INGRESS][i];

		if (p->ours)
			passed = true;
		else if (!passed && d->hook != SHIFT_HOOK_NONE)
			add_name(&before, "program %u %s", p->id, p->name);
		else
			add_name(&behind, "program %u %s", p->id, p->name);
	}
	if (before.n)
		find_before(r, "tcx", d->name, &before);
	if (behind.n)
		find_behind(r, "tcx", d->name, d->hook != SHIFT_HOOK_NONE, &behind);
	if (!before.n && !behind.n && d->n_tcx[INGRESS] >= 0)
		doctor_find(r, "tcx", DOCTOR_OK, d->name, "nobody else's program at the ingress");
}

/* Filters come after all of tcx; among them the priority decides. */
static void judge_filters(const struct doctor_device *d, bool tcx, struct doctor_report *r)
{
	struct names before = {.n = 0}, behind = {.n = 0}, beside = {.n = 0};
	bool by_priority = d->hook == SHIFT_HOOK_CLSACT || (d->hook == SHIFT_HOOK_NONE && !tcx);
	struct doctor_finding *f;

	for (int i = 0; i < d->n_filters[INGRESS]; i++) {
		const struct filter *t = &d->filter[INGRESS][i];
		struct names *l = &behind;

		if (t->ours)
			continue;
		if (by_priority && t->priority == TC_PRIORITY)
			l = &beside;
		else if (by_priority && t->priority < TC_PRIORITY)
			l = &before;
		add_name(l, "%s%s%s at priority %u", t->kind, *t->name ? " " : "", t->name,
			 t->priority);
	}
	if (before.n)
		find_before(r, "tc-filter", d->name, &before);
	if (beside.n) {
		f = doctor_find(r, "tc-priority",
				d->hook == SHIFT_HOOK_NONE ? DOCTOR_CRITICAL : DOCTOR_WARNING,
				d->name, "at the priority that is ours: %s%s", beside.text,
				d->hook == SHIFT_HOOK_NONE ? ": apply cannot attach there" : "");
		doctor_fix(f, "give it another priority than %d", TC_PRIORITY);
	}
	if (behind.n)
		find_behind(r, "tc-filter", d->name, d->hook != SHIFT_HOOK_NONE, &behind);
	if (!before.n && !behind.n && !beside.n && d->n_filters[INGRESS] >= 0)
		doctor_find(r, "tc-filter", DOCTOR_OK, d->name, "nobody else's at the ingress");
}

static void judge_egress(const struct doctor_device *d, struct doctor_report *r)
{
	struct names l = {.n = 0}, before = {.n = 0};
	bool runs = false, passed = false;

	for (int i = 0; i < d->n_tcx[EGRESS]; i++)
		runs |= d->tcx[EGRESS][i].ours;
	for (int i = 0; i < d->n_tcx[EGRESS]; i++) {
		const struct doctor_program *p = &d->tcx[EGRESS][i];

		passed |= p->ours;
		if (!p->ours)
			add_name(runs && !passed ? &before : &l, "program %u %s", p->id, p->name);
	}
	for (int i = 0; i < d->n_filters[EGRESS]; i++)
		if (!d->filter[EGRESS][i].ours && strncmp(d->filter[EGRESS][i].name, "shift_", 6))
			add_name(&l, "%s %s at priority %u", d->filter[EGRESS][i].kind,
				 d->filter[EGRESS][i].name, d->filter[EGRESS][i].priority);
	if (before.n)
		doctor_fix(doctor_find(r, "tc-egress", DOCTOR_WARNING, d->name,
				       "before ours at the egress: %s: what ends the chain there "
				       "hides how the old arm answers",
				       before.text),
			   "attach it again behind ours, or make it answer TC_ACT_UNSPEC");
	if (l.n)
		doctor_find(r, "tc-egress", DOCTOR_NOTE, d->name,
			    "others at the egress: %s: shifted packets pass them with the NAT "
			    "addresses, not the clients'",
			    l.text);
	else if (!before.n && d->n_tcx[EGRESS] >= 0 && d->n_filters[EGRESS] >= 0)
		doctor_find(r, "tc-egress", DOCTOR_OK, d->name, "nobody else's at the egress");
}

/* ---- ours ---- */

static void judge_ours(const struct doctor_facts *facts, const struct doctor_device *d,
		       struct doctor_report *r)
{
	struct doctor_finding *f;

	if (!d->listed || !facts->attached)
		return;
	if (d->hook != SHIFT_HOOK_NONE || d->xdp.ours) {
		doctor_find(r, "attached", DOCTOR_OK, d->name, "our program runs there");
		return;
	}
	f = doctor_find(r, "attached", DOCTOR_CRITICAL, d->name,
			"it is listed, others are attached, and no program of ours runs there: "
			"made anew? Replies that come in there would be reset");
	doctor_fix(f, "shiftctl apply");
}

void doctor_judge_devices(const struct doctor_facts *f, struct doctor_report *r)
{
	bool xdp = f->config && f->config->hook == CONF_HOOK_XDP;

	for (unsigned int i = 0; i < f->n_devices; i++) {
		const struct doctor_device *d = &f->devices[i];

		if (d->err) {
			doctor_find(r, "interface", DOCTOR_NOTE, d->name,
				    "the kernel does not tell about it: %s", strerror(-d->err));
			continue;
		}
		judge_ours(f, d, r);
		judge_offloads(d, xdp, r);
		judge_queues(d, f->kernel.cpus, r);
		judge_sysctls(d, r);
		judge_layers(f, d, r);
		judge_xdp(d, xdp, r);
		if (xdp)
			judge_xdp_limits(d, r);
		judge_tcx(d, r);
		judge_filters(d, f->kernel.tcx == DOCTOR_YES, r);
		judge_egress(d, r);
	}
}
