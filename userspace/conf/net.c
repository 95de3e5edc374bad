/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * net.c - names, endpoints and URLs as the configuration writes them
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "userspace/conf/types.h"

/* ---- names ---- */

const char *host_unfit(const char *name)
{
	size_t length = strlen(name), label = 0;
	bool digits = true;

	if (length && name[length - 1] == '.')
		length--;
	if (!length || length > 253)
		return "a DNS name of 1..253 characters";
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '.') {
			if (!label || name[i - 1] == '-')
				return "a DNS name without empty labels or a '-' at a label's end";
			label = 0;
			digits = true;
			continue;
		}
		if (!(isalnum(c) && c < 0x80) && c != '_' && !(c == '-' && label))
			return "a DNS name of letters, digits, '-' and '.' (others as xn--)";
		if (++label > 63)
			return "a DNS name with labels of at most 63 characters";
		digits = digits && isdigit(c);
	}
	if (digits)
		return "a DNS name, whose last label is no number";
	return name[length - 1] == '-' ? "a DNS name without a '-' at a label's end" : NULL;
}

static int read_host(const struct field *f, void *ret)
{
	const char *wrong = host_unfit(f->node->text);

	if (wrong)
		return field_must(f, "%s", wrong);
	snprintf(ret, CONF_HOST, "%s", f->node->text);
	return 0;
}

const struct type type_host = {"a DNS name", read_host};

/* ---- addresses and names with ports ---- */

/* 1..65535 of digits alone, or −1. */
static int read_port(const char *text)
{
	long port;
	char *end;

	if (!isdigit((unsigned char)*text) || strlen(text) > 5)
		return -1;
	port = strtol(text, &end, 10);
	return *end || port < 1 || port > 65535 ? -1 : (int)port;
}

/* The host's end and, behind it, ":PORT" or nothing. */
static const char *split(const char *text, struct endpoint *ret, const char **ret_port)
{
	const char *end;

	if (*text == '[') {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return "an IPv6 address in brackets, then a colon and the port";
		*ret_port = end + 1;
	} else {
		end = strrchr(text, ':');
		if (end && strchr(text, ':') != end)
			end = NULL; /* two colons: an IPv6 address */
		if (!end)
			end = text + strlen(text);
		*ret_port = end;
	}
	if ((size_t)(end - text) >= sizeof(ret->host))
		return "an address or DNS name, shorter than this";
	snprintf(ret->host, sizeof(ret->host), "%.*s", (int)(end - text), text);
	return NULL;
}

const char *endpoint_parse(const char *text, struct endpoint *ret)
{
	const char *port, *wrong = split(text, ret, &port);
	bool bracket = *text == '[';

	if (wrong)
		return wrong;
	ret->port = -1;
	if (*port) {
		ret->port = read_port(port + 1);
		if (ret->port < 0)
			return "an address or name and a port of 1..65535";
	}
	memset(&ret->address, 0, sizeof(ret->address));
	if (address_parse(ret->host, &ret->address)) {
		if (bracket != (ret->address.family == 6))
			return bracket ? "an IPv4 address without brackets"
				       : "an IPv6 address in brackets, such as "
					 "\"[2001:db8::10]:443\"";
		return NULL;
	}
	if (bracket || strchr(ret->host, ':'))
		return "an IPv6 address in brackets and a port, such as \"[2001:db8::10]:443\"";
	/* Four numbers are meant as an address, not as a name. */
	if (ret->host[0] && !ret->host[strspn(ret->host, "0123456789.")])
		return "an address or a DNS name";
	return host_unfit(ret->host);
}

static int take_endpoint(const struct field *f, struct endpoint *ret)
{
	const char *text = f->node->text, *wrong;

	memset(ret, 0, sizeof(*ret));
	/* Without a port an IPv6 address may stand alone. */
	if (!(f->row->flags & ROW_NEED_PORT) && address_parse(text, &ret->address)) {
		snprintf(ret->host, sizeof(ret->host), "%.*s", INET6_ADDRSTRLEN, text);
		ret->port = -1;
		return 0;
	}
	wrong = endpoint_parse(text, ret);
	if (wrong)
		return field_must(f, "%s", wrong);
	if (ret->port < 0 && f->row->flags & ROW_NEED_PORT)
		return field_bad(f, "needs a port, such as %s:443", text);
	if (!ret->address.family && f->row->flags & ROW_NO_NAME)
		return field_must(f, "an address, not a name");
	return 0;
}

static int read_peer_endpoint(const struct field *f, void *ret)
{
	struct conf_peer *p = ret;
	struct endpoint e;

	if (take_endpoint(f, &e))
		return -EINVAL;
	p->endpoint_at = f->node->at;
	p->address = e.address;
	p->address.at = f->node->at;
	p->port = (uint16_t)e.port;
	snprintf(p->endpoint, sizeof(p->endpoint), "%s", e.host);
	return 0;
}

const struct type type_peer_endpoint = {"ADDRESS:PORT or NAME:PORT, such as vpn.aws.example:51820",
					read_peer_endpoint};

static int read_remote(const struct field *f, void *ret)
{
	struct endpoint e;

	if (take_endpoint(f, &e))
		return -EINVAL;
	if (e.port >= 0)
		return field_must(f, "an address or name without a port: IKE has its own, 500 and "
				     "4500");
	snprintf(ret, CONF_HOST, "%s", e.host);
	return 0;
}

const struct type type_remote = {"an address or a DNS name", read_remote};

/* ---- URLs ---- */

/* Metadata services hand out credentials to whoever asks from this host. */
static bool is_metadata(const struct endpoint *e)
{
	static const char *const names[] = {"metadata", "metadata.google.internal",
					    "instance-data.ec2.internal", "fd00:ec2::254"};
	uint32_t v4 = ntohl(e->address.ip[3]);

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcasecmp(e->host, names[i]))
			return true;
	/* 168.63.129.16 is Azure's, 100.100.100.200 Alibaba's. */
	return e->address.family == 4 && (v4 == 0xa83f8110 || v4 == 0x646464c8);
}

/* NULL, or what it must be. */
static const char *url_parse(const char *text, struct endpoint *ret)
{
	const char *host = strstr(text, "://"), *path, *unfit;
	char authority[CONF_HOST + 16];
	size_t n;

	if (!host || (strncmp(text, "http://", 7) && strncmp(text, "https://", 8)))
		return "a URL that begins with https:// or http://";
	host += 3;
	n = strcspn(host, "/?#");
	path = host + n;
	if (!n || n >= sizeof(authority))
		return "a URL with a host, such as https://api.example/q/health";
	snprintf(authority, sizeof(authority), "%.*s", (int)n, host);
	if (strchr(authority, '@'))
		return "a URL without user and password: secrets are never in this file";
	if (strpbrk(path, " \"<>\\^`{|}#"))
		return "a URL with spaces and the like written as %20, and without '#'";
	unfit = endpoint_parse(authority, ret);
	if (unfit)
		return "a URL with a DNS name, an address or [v6] as host, and a port of 1..65535";
	unfit = ret->address.family ? address_unfit(&ret->address) : NULL;
	if ((unfit && strcmp(unfit, "the loopback")) || is_metadata(ret))
		return "a URL of a host: no link-local, multicast or metadata address";
	return NULL;
}

static int read_url(const struct field *f, void *ret)
{
	struct conf_url *u = ret;
	struct endpoint e;
	const char *wrong = url_parse(f->node->text, &e);

	if (wrong)
		return field_must(f, "%s", wrong);
	if (strlen(f->node->text) >= CONF_TEXT)
		return field_must(f, "a URL of at most %d characters", CONF_TEXT - 1);
	memset(u, 0, sizeof(*u));
	u->at = f->node->at;
	u->address = e.address;
	u->tls = !strncmp(f->node->text, "https", 5);
	u->port = (uint16_t)(e.port > 0 ? e.port : u->tls ? 443 : 80);
	snprintf(u->host, sizeof(u->host), "%s", e.host);
	snprintf(u->text, sizeof(u->text), "%s", f->node->text);
	return 0;
}

const struct type type_url = {"a URL such as https://api.example/q/health", read_url};

static int read_endpoint_url(const struct field *f, void *ret)
{
	struct endpoint e;
	const char *wrong = url_parse(f->node->text, &e);
	size_t n = strlen(f->node->text);

	if (wrong)
		return field_must(f, "%s", wrong);
	if (strchr(f->node->text, '?'))
		return field_must(f, "a URL without '?': what follows it is the provider's");
	while (n && f->node->text[n - 1] == '/')
		n--;
	if (n >= f->row->size)
		return field_must(f, "a shorter URL");
	snprintf(ret, f->row->size, "%.*s", (int)n, f->node->text);
	return 0;
}

const struct type type_endpoint_url = {"a URL such as https://gateway.example", read_endpoint_url};

/* ---- authorities, resolvers, the provider's server ---- */

static const struct {
	const char *prefix;
	uint16_t port;
} transports[] = {
	[CONF_UDP] = {"udp://", 53},
	[CONF_TCP] = {"tcp://", 53},
	[CONF_TLS] = {"tls://", 853},
	[CONF_HTTPS] = {"https://", 443},
};

static void keep_server(const struct field *f, enum conf_transport t, const struct endpoint *e,
			struct conf_server *ret)
{
	ret->at = f->node->at;
	ret->transport = t;
	ret->address = e->address;
	ret->port = e->port > 0 ? (uint16_t)e->port : transports[t].port;
	snprintf(ret->host, sizeof(ret->host), "%s", e->host);
	snprintf(ret->text, sizeof(ret->text), "%s", f->node->text);
}

static int read_resolver(const struct field *f, void *ret)
{
	enum conf_transport t = CONF_UDP;
	const char *text = f->node->text, *wrong = NULL;
	struct endpoint e = {.port = -1};

	if (strlen(text) >= CONF_TEXT)
		return field_must(f, "%s", f->row->type->want);
	for (enum conf_transport i = CONF_UDP; i <= CONF_HTTPS; i++) {
		size_t n = strlen(transports[i].prefix);

		if (strncmp(text, transports[i].prefix, n))
			continue;
		t = i;
		text += i == CONF_HTTPS ? 0 : n;
		break;
	}
	if (t == CONF_HTTPS) {
		wrong = url_parse(text, &e);
	} else if (strstr(text, "://")) {
		return field_must(f, "%s", f->row->type->want);
	} else if (address_parse(text, &e.address)) {
		snprintf(e.host, sizeof(e.host), "%.*s", INET6_ADDRSTRLEN, text);
	} else {
		wrong = endpoint_parse(text, &e);
	}
	if (wrong)
		return field_must(f, "%s", wrong);
	/* A name would have to be resolved by a resolver; TLS needs one for its certificate. */
	if (!e.address.family && t != CONF_TLS && t != CONF_HTTPS)
		return field_must(f, "an address, not a name");
	keep_server(f, t, &e, ret);
	return 0;
}

const struct type type_resolver = {
	"ADDRESS, ADDRESS:PORT, tcp://ADDRESS, tls://ADDRESS or https://HOST/PATH", read_resolver};

static int read_authority(const struct field *f, void *ret)
{
	struct endpoint e;

	if (take_endpoint(f, &e))
		return -EINVAL;
	keep_server(f, CONF_UDP, &e, ret);
	return 0;
}

const struct type type_authority = {"an ADDRESS or ADDRESS:PORT", read_authority};

static int read_tcp(const struct field *f, void *ret)
{
	struct endpoint e;

	if (take_endpoint(f, &e))
		return -EINVAL;
	keep_server(f, CONF_TCP, &e, ret);
	return 0;
}

const struct type type_tcp = {"an address or name, with a port behind a colon", read_tcp};

static int read_server(const struct field *f, void *ret)
{
	struct conf_provider *p = &((struct config *)ret)->dns.provider;
	struct endpoint e;

	if (take_endpoint(f, &e))
		return -EINVAL;
	snprintf(p->server, sizeof(p->server), "%s", e.host);
	p->address = e.address;
	p->port = e.port > 0 ? (uint16_t)e.port : 53;
	return 0;
}

const struct type type_server = {"an address or name, with a port if it is not 53", read_server};
