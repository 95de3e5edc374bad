/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/sysctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int sysctl_read(long *ret, const char *format, ...)
{
	char path[256] = "/proc/sys/";
	long value;
	va_list ap;
	FILE *f;
	int n;

	va_start(ap, format);
	vsnprintf(path + 10, sizeof(path) - 10, format, ap);
	va_end(ap);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fscanf(f, "%ld", &value);
	fclose(f);
	if (n != 1)
		return -EINVAL;
	*ret = value;
	return 0;
}
