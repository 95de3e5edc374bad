/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/base/ip.h"

const char *firewall_hook_name(enum firewall_hook hook)
{
	static const char *const names[FIREWALL_HOOKS] = {
		[FIREWALL_PREROUTING] = "prerouting",
		[FIREWALL_INPUT] = "input",
		[FIREWALL_FORWARD] = "forward",
		[FIREWALL_INGRESS] = "ingress",
	};

	return (unsigned int)hook < FIREWALL_HOOKS ? names[hook] : "?";
}

const char *firewall_family_name(uint8_t family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_NETDEV:
		return "netdev";
	default:
		return "?";
	}
}

void *firewall_one_more(void *array, unsigned int *n, unsigned int size)
{
	char **a = array, *bigger;

	if (!(*n & (*n - 1))) {
		bigger = reallocarray(*a, *n ? 2 * *n : 1, size);
		if (!bigger)
			return NULL;
		*a = bigger;
	}
	return memset(*a + (size_t)size * (*n)++, 0, size);
}

/* ---- iptables-legacy ---- */

/* What is no rule: a policy for each hook, and the entry that ends a table. */
static unsigned int rules_of(unsigned int entries, unsigned int hooks)
{
	unsigned int fixed = (unsigned int)__builtin_popcount(hooks) + 1;

	return entries > fixed ? entries - fixed : 0;
}

static unsigned int count_legacy(const char *name, bool v6)
{
	struct ipt_getinfo info = {0}; /* ip6t_getinfo is laid out alike */
	socklen_t size = sizeof(info);
	int s = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), err;

	_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "getinfo");
	if (s < 0)
		return 0;
	snprintf(info.name, sizeof(info.name), "%s", name);
	err = v6 ? getsockopt(s, IPPROTO_IPV6, IP6T_SO_GET_INFO, &info, &size)
		 : getsockopt(s, IPPROTO_IP, IPT_SO_GET_INFO, &info, &size);
	close(s);
	return err ? 0 : rules_of(info.num_entries, info.valid_hooks);
}

/* The tables that are in use: one that is not is not in the file. */
static void read_legacy(struct firewall *f, const char *path, bool v6)
{
	FILE *file = fopen(path, "re");
	char name[32];

	if (!file)
		return;
	while (f->n_legacy < sizeof(f->legacy) / sizeof(*f->legacy) &&
	       fscanf(file, "%31s", name) == 1) {
		struct firewall_table *t = &f->legacy[f->n_legacy++];

		t->v6 = v6;
		snprintf(t->name, sizeof(t->name), "%s", name);
		t->rules = count_legacy(name, v6);
	}
	fclose(file);
}

/* ---- IPVS ---- */

/* "TCP  CB00710A:0050 rr", "UDP  [2001:0db8:…]:0035 wrr", "FWM  00000001 rr". */
static int one_virtual(struct firewall *f, const char *line)
{
	struct firewall_virtual *v, is = {0};
	char protocol[8], address[48];
	unsigned int v4, port;

	if (sscanf(line, "%7[A-Z] %8x:%x", protocol, &v4, &port) == 3) {
		ip_map(htonl(v4), is.ip);
		is.port = (uint16_t)port;
	} else if (sscanf(line, "%7[A-Z] [%47[0-9a-fA-F:]]:%x", protocol, address, &port) == 3) {
		if (inet_pton(AF_INET6, address, is.ip) != 1)
			return 0;
		is.port = (uint16_t)port;
	} else if (sscanf(line, "%7[A-Z] %8x", protocol, &v4) != 2) {
		return 0;
	}
	is.protocol = !strcmp(protocol, "TCP")	 ? IPPROTO_TCP
		      : !strcmp(protocol, "UDP") ? IPPROTO_UDP
						 : 0;
	v = firewall_one_more(&f->virtuals, &f->n_virtuals, sizeof(*v));
	if (!v)
		return -ENOMEM;
	*v = is;
	return 0;
}

static int read_ipvs(struct firewall *f)
{
	FILE *file = fopen("/proc/net/ip_vs", "re");
	char line[256];
	int err = 0;

	if (!file)
		return 0;
	while (!err && fgets(line, sizeof(line), file))
		if (!strncmp(line, "TCP ", 4) || !strncmp(line, "UDP ", 4) ||
		    !strncmp(line, "FWM ", 4))
			err = one_virtual(f, line);
	fclose(file);
	return err;
}

/* ---- all of it ---- */

static bool mentions(const char *path, const char *word)
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

/* Asked for a subsystem that it lacks, the kernel would load it. Without modules it cannot. */
static bool has_nft(void)
{
	if (access("/proc/modules", F_OK))
		return true;
	return mentions("/proc/modules", "nf_tables ") || mentions("/proc/kallsyms", " nf_tables_");
}

int firewall_read(struct firewall *ret)
{
	struct firewall f = {0};
	int err;

	read_legacy(&f, "/proc/net/ip_tables_names", false);
	read_legacy(&f, "/proc/net/ip6_tables_names", true);
	err = read_ipvs(&f);
	if (!err && has_nft()) {
		f.err = firewall_read_nft(&f);
		err = f.err == -ENOMEM ? f.err : 0;
	}
	if (err) {
		firewall_free(&f);
		return err;
	}
	*ret = f;
	return 0;
}

void firewall_free(struct firewall *f)
{
	free(f->chains);
	free(f->dnat);
	free(f->virtuals);
	memset(f, 0, sizeof(*f));
}
