/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESERVED "/proc/sys/net/ipv4/ip_local_reserved_ports"
#define PORTS	 65536
#define TEXT	 (PORTS * 6)

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

	memset(port, 0, PORTS);
	for (at = text; !err && *at >= '0' && *at <= '9';) {
		unsigned long lo = strtoul(at, &at, 10), hi = lo;

		if (*at == '-')
			hi = strtoul(at + 1, &at, 10);
		for (; lo <= hi && lo < PORTS; lo++)
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
	for (unsigned int lo = 0; lo < PORTS; lo++) {
		unsigned int hi = lo;

		if (!port[lo])
			continue;
		while (hi + 1 < PORTS && port[hi + 1])
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

/* Sets lo..hi to `value`; 1: all of it was so, or some, and then nothing is written. */
static int change(uint16_t lo, uint16_t hi, unsigned char value)
{
	unsigned char *port = malloc(PORTS);
	unsigned int already = 0;
	int err = port ? read_reserved(port) : -ENOMEM;

	for (unsigned int i = lo; !err && i <= hi; i++) {
		already += port[i] == value;
		port[i] = value;
	}
	if (!err)
		err = already ? 1 : write_reserved(port);
	free(port);
	return err;
}

int reserve_ports(uint16_t lo, uint16_t hi)
{
	return change(lo, hi, 1);
}

int reserve_release(uint16_t lo, uint16_t hi)
{
	return change(lo, hi, 0);
}
