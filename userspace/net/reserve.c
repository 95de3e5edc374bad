/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESERVED "/proc/sys/net/ipv4/ip_local_reserved_ports"
#define TEXT	 (RESERVE_PORTS * 6)

static int read_file(const char *path, char *ret, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, ret + used, size - 1 - used)) > 0)
		used += (size_t)n;
	close(fd);
	ret[used] = '\0';
	return n < 0 ? -EIO : 0;
}

/* "8080,20000-59999" to a byte per port. */
static int read_reserved(unsigned char *port)
{
	char *text = malloc(TEXT), *at;
	int err = text ? read_file(RESERVED, text, TEXT) : -ENOMEM;

	memset(port, 0, RESERVE_PORTS);
	for (at = text; !err && *at >= '0' && *at <= '9';) {
		unsigned long lo = strtoul(at, &at, 10), hi = lo;

		if (*at == '-')
			hi = strtoul(at + 1, &at, 10);
		for (; lo <= hi && lo < RESERVE_PORTS; lo++)
			port[lo] = 1;
		at += *at == ',';
	}
	free(text);
	return err;
}

static int write_reserved(const unsigned char *port)
{
	char *text = malloc(TEXT);
	size_t used = 0;
	int fd, err = 0;

	if (!text)
		return -ENOMEM;
	for (unsigned int lo = 0; lo < RESERVE_PORTS; lo++) {
		unsigned int hi = lo;

		if (!port[lo])
			continue;
		while (hi + 1 < RESERVE_PORTS && port[hi + 1])
			hi++;
		used += (size_t)snprintf(text + used, TEXT - used, "%s%u-%u", used ? "," : "", lo,
					 hi);
		lo = hi;
	}
	text[used++] = '\n';
	fd = open(RESERVED, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, used) < 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	free(text);
	return err;
}

/* The ranges of ports that are set; how many, `max` + 1 for more than that. */
static unsigned int ranges_of(const unsigned char *port, struct reserve_range *ret,
			      unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int lo = 1; lo < RESERVE_PORTS; lo++) {
		unsigned int hi = lo;

		if (!port[lo])
			continue;
		while (hi + 1 < RESERVE_PORTS && port[hi + 1])
			hi++;
		if (n == max)
			return max + 1;
		ret[n++] = (struct reserve_range){(uint16_t)lo, (uint16_t)hi};
		lo = hi;
	}
	return n;
}

/* In *port: what is reserved. In *mine: what of it we are to have added. */
static void change(const unsigned char *want, const struct reserve_range *ours, unsigned int n,
		   unsigned char *port, unsigned char *mine)
{
	memset(mine, 0, RESERVE_PORTS);
	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int k = ours[i].lo; ours[i].hi && k <= ours[i].hi; k++)
			port[k] = 0;
	}
	for (unsigned int k = 1; k < RESERVE_PORTS; k++) {
		mine[k] = want[k] && !port[k];
		port[k] |= mine[k];
	}
}

int reserve_update(const unsigned char want[RESERVE_PORTS], struct reserve_range *ours,
		   unsigned int max, bool dry)
{
	unsigned char *buffer = malloc(3 * RESERVE_PORTS);
	unsigned char *port = buffer, *mine = buffer + RESERVE_PORTS,
		      *before = buffer + 2 * RESERVE_PORTS;
	struct reserve_range *next = calloc(max, sizeof(*next));
	int err = buffer && next ? read_reserved(port) : -ENOMEM;

	if (!err) {
		memcpy(before, port, RESERVE_PORTS);
		change(want, ours, max, port, mine);
		if (ranges_of(mine, next, max) > max)
			err = -E2BIG;
	}
	if (!err)
		err = !memcmp(before, port, RESERVE_PORTS) ? 1 : dry ? 0 : write_reserved(port);
	if (err >= 0)
		memcpy(ours, next, max * sizeof(*next));
	free(buffer);
	free(next);
	return err;
}

const char *reserve_text(const struct reserve_range *r, unsigned int n, char *ret,
			 unsigned int size)
{
	unsigned int used = 0;

	*ret = '\0';
	for (unsigned int i = 0; i < n && used < size; i++) {
		if (r[i].hi)
			used += (unsigned int)snprintf(ret + used, size - used, "%s%u-%u",
						       used ? "," : "", r[i].lo, r[i].hi);
	}
	return ret;
}
