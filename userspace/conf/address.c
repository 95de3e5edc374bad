/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/conf/types.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t *v4_of(const struct conf_address *a)
{
	return &a->ip[3];
}

bool address_parse(const char *text, struct conf_address *ret)
{
	uint32_t ip[4] = {0, 0, htonl(0xffff), 0};

	if (inet_pton(AF_INET, text, &ip[3]) == 1) {
		ret->family = 4;
		ret->prefix = 32;
	} else if (inet_pton(AF_INET6, text, ip) == 1) {
		ret->family = 6;
		ret->prefix = 128;
	} else {
		return false;
	}
	memcpy(ret->ip, ip, sizeof(ip));
	return true;
}

bool address_is_mapped(const struct conf_address *a)
{
	return a->family == 6 && !a->ip[0] && !a->ip[1] && a->ip[2] == htonl(0xffff);
}

static const char *v4_unfit(uint32_t ip)
{
	if (!ip)
		return "no address of a host";
	if (ip >> 24 == 0)
		return "no address of a host (0.0.0.0/8)";
	if (ip >> 24 == 127)
		return "the loopback";
	if (ip >> 28 == 14)
		return "multicast";
	if (ip == 0xffffffff)
		return "broadcast";
	if (ip >> 28 == 15)
		return "reserved (240.0.0.0/4)";
	if (ip >> 16 == 0xa9fe)
		return "link-local";
	return NULL;
}

const char *address_unfit(const struct conf_address *a)
{
	const struct in6_addr *in6 = (const struct in6_addr *)a->ip;

	if (a->family == 4)
		return v4_unfit(ntohl(*v4_of(a)));
	if (IN6_IS_ADDR_UNSPECIFIED(in6))
		return "no address of a host";
	if (IN6_IS_ADDR_LOOPBACK(in6))
		return "the loopback";
	if (IN6_IS_ADDR_MULTICAST(in6))
		return "multicast";
	if (IN6_IS_ADDR_LINKLOCAL(in6))
		return "link-local";
	return NULL;
}

const char *conf_address_text(const struct conf_address *a, char ret[64])
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (a->family == 4)
		inet_ntop(AF_INET, v4_of(a), text, sizeof(text));
	else if (a->family == 6)
		inet_ntop(AF_INET6, a->ip, text, sizeof(text));
	if (a->prefix == (a->family == 4 ? 32 : 128))
		snprintf(ret, 64, "%s", text);
	else
		snprintf(ret, 64, "%s/%u", text, a->prefix);
	return ret;
}

/* What every address of the file must be. */
static int check_address(const struct field *f, const struct conf_address *a)
{
	const char *unfit = f->row->flags & ROW_HOST ? address_unfit(a) : NULL;
	struct conf_address plain = *a;
	char text[64];

	if (address_is_mapped(a)) {
		plain.family = 4;
		plain.prefix = 32;
		return field_must(f, "written as the IPv4 address it is, %s",
				  conf_address_text(&plain, text));
	}
	plain.prefix = a->family == 4 ? 32 : 128;
	if (unfit && f->row->flags & ROW_LINK_LOCAL && !strcmp(unfit, "link-local"))
		unfit = NULL;
	if (unfit)
		return field_bad(f, "must be an address that other hosts reach; %s is %s",
				 conf_address_text(&plain, text), unfit);
	return 0;
}

static int read_address(const struct field *f, void *ret)
{
	struct conf_address a = {.at = f->node->at};

	if (!address_parse(f->node->text, &a))
		return field_must(f, "%s", f->row->type->want);
	if (check_address(f, &a))
		return -EINVAL;
	memcpy(ret, &a, sizeof(a));
	return 0;
}

const struct type type_address = {"an address such as 203.0.113.10 or 2001:db8::10", read_address};

/* Clears what is behind the prefix; true if there was anything. */
static bool clear_host_bits(struct conf_address *a)
{
	unsigned int bits = a->prefix + (a->family == 4 ? 96 : 0);
	bool any = false;

	for (unsigned int i = 0; i < 4; i++) {
		unsigned int keep = bits > 32 * i ? bits - 32 * i : 0;
		uint32_t mask = keep >= 32 ? 0xffffffff : keep ? ~(0xffffffffu >> keep) : 0;

		any |= (a->ip[i] & ~htonl(mask)) != 0;
		a->ip[i] &= htonl(mask);
	}
	return any;
}

static int parse_cidr(const char *text, struct conf_address *ret)
{
	const char *slash = strchr(text, '/');
	char host[INET6_ADDRSTRLEN];
	unsigned long prefix;
	char *end;

	if (!slash)
		return address_parse(text, ret) ? 0 : -EINVAL;
	if (slash - text >= (ptrdiff_t)sizeof(host) || !isdigit((unsigned char)slash[1]))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
	if (!address_parse(host, ret))
		return -EINVAL;
	prefix = strtoul(slash + 1, &end, 10);
	if (*end || end - slash > 4 || prefix > ret->prefix)
		return -EINVAL;
	ret->prefix = (uint8_t)prefix;
	return 0;
}

static int read_cidr(const struct field *f, void *ret)
{
	struct conf_address a = {.at = f->node->at}, cleared;
	char text[64];

	if (parse_cidr(f->node->text, &a))
		return field_must(f, "%s", f->row->type->want);
	if (check_address(f, &a))
		return -EINVAL;
	cleared = a;
	if (clear_host_bits(&cleared) && !(f->row->flags & ROW_ANY_BITS))
		return field_bad(f, "has bits set behind its prefix: must be %s, is %s",
				 conf_address_text(&cleared, text), f->node->text);
	memcpy(ret, &a, sizeof(a));
	return 0;
}

const struct type type_cidr = {"a network such as 198.51.100.0/24 or 2001:db8::/32", read_cidr};

static int read_listen(const struct field *f, void *ret)
{
	struct conf_listen listen = {.protocol = IPPROTO_TCP};
	char text[CONF_HOST + 16];
	struct endpoint e;
	const char *wrong;
	char *slash;

	if (strlen(f->node->text) >= sizeof(text))
		return field_must(f, "%s", f->row->type->want);
	strcpy(text, f->node->text);
	slash = strchr(text, '/');
	if (slash) {
		*slash = '\0';
		if (!strcmp(slash + 1, "udp"))
			listen.protocol = IPPROTO_UDP;
		else if (strcmp(slash + 1, "tcp"))
			return field_must(f, "ADDRESS:PORT with /tcp or /udp");
	}
	wrong = endpoint_parse(text, &e);
	if (wrong)
		return field_must(f, "%s", wrong);
	if (!e.address.family || e.port < 0)
		return field_must(f, "%s", f->row->type->want);
	if (check_address(f, &e.address))
		return -EINVAL;
	listen.address = e.address;
	listen.address.at = f->node->at;
	listen.port = (uint16_t)e.port;
	memcpy(ret, &listen, sizeof(listen));
	return 0;
}

const struct type type_listen = {
	"ADDRESS:PORT/tcp or /udp, such as 203.0.113.10:443/tcp or \"[2001:db8::10]:443/tcp\"",
	read_listen};

static int read_target(const struct field *f, void *ret)
{
	struct conf_backend *b = ret;
	struct endpoint e;
	const char *wrong = endpoint_parse(f->node->text, &e);

	if (wrong)
		return field_must(f, "%s", wrong);
	if (e.port < 0)
		return field_bad(f, "needs a port: %s, is %s", f->row->type->want, f->node->text);
	if (e.address.family && check_address(f, &e.address))
		return -EINVAL;
	b->address = e.address;
	b->address.at = f->node->at;
	b->port = (uint16_t)e.port;
	snprintf(b->host, sizeof(b->host), "%s", e.address.family ? "" : e.host);
	return 0;
}

const struct type type_target = {
	"ADDRESS:PORT or NAME:PORT, such as 52.1.2.3:443 or \"[2001:db8:1::3]:443\"", read_target};

static int read_interface(const struct field *f, void *ret)
{
	struct conf_interface *i = ret;
	const char *text = f->node->text;

	/* What the kernel's dev_valid_name takes. */
	if (!text[0] || strlen(text) > 15 || !strcmp(text, ".") || !strcmp(text, "..") ||
	    strpbrk(text, "/: \t"))
		return field_must(f, "%s", f->row->type->want);
	i->at = f->node->at;
	snprintf(i->name, sizeof(i->name), "%s", text);
	return 0;
}

const struct type type_interface = {"the name of an interface, such as eth0", read_interface};
