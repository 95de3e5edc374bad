/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int to_errno(int error)
{
	switch (error) {
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return -ENOENT;
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	default:
		return -EIO;
	}
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 4 * sizeof(uint32_t));
}

static void add(struct resolved *r, const uint32_t address[4])
{
	for (unsigned int i = 0; i < r->n; i++)
		if (!by_bytes(r->address[i], address))
			return;
	if (r->n == RESOLVE_MAX)
		r->left_out++;
	else
		memcpy(r->address[r->n++], address, sizeof(r->address[0]));
}

static void add_answer(struct resolved *r, const struct addrinfo *a)
{
	uint32_t address[4] = {0, 0, htonl(0xffff), 0};

	if (a->ai_family == AF_INET)
		memcpy(&address[3], &((const struct sockaddr_in *)a->ai_addr)->sin_addr, 4);
	else if (a->ai_family == AF_INET6)
		memcpy(address, &((const struct sockaddr_in6 *)a->ai_addr)->sin6_addr, 16);
	else
		return;
	add(r, address);
}

/*
 * One family at a time: asked for both, getaddrinfo gives the one that came and does not tell that
 * the other failed, and a backend would lose its IPv6 addresses to a lost packet.
 */
static int ask(const char *name, int family, struct resolved *r)
{
	const struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	int error = getaddrinfo(name, NULL, &hints, &list);

	if (error)
		return to_errno(error);
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		add_answer(r, a);
	freeaddrinfo(list);
	return 0;
}

int resolve_host(const char *name, struct resolved *ret)
{
	struct resolved r = {0};
	int v4 = ask(name, AF_INET, &r), v6 = ask(name, AF_INET6, &r);

	r.missing[0] = v4 && v4 != -ENOENT;
	r.missing[1] = v6 && v6 != -ENOENT;
	qsort(r.address, r.n, sizeof(r.address[0]), by_bytes);
	*ret = r;
	if (r.n)
		return 0;
	return r.missing[0] ? v4 : r.missing[1] ? v6 : -ENOENT;
}
