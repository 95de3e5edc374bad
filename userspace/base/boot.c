/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/boot.h"

#include <stdio.h>
#include <string.h>

void boot_id(char ret[64])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	ret[0] = '\0';
	if (!f)
		return;
	if (fgets(ret, 64, f))
		ret[strcspn(ret, "\n")] = '\0';
	fclose(f);
}
