/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPS_MOST 64 /* two words of 32 */

int caps_keep(const int *keep, size_t n)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3];
	uint64_t kept = 0;

	for (size_t i = 0; i < n; i++)
		kept |= 1ull << keep[i];
	/* First, because it takes CAP_SETPCAP, which may not be among those kept. */
	for (int cap = 0; cap < CAPS_MOST && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) && !(kept >> cap & 1) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno != EPERM)
			return -errno;
	}
	if (syscall(SYS_capget, &head, has))
		return -errno;
	for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
		uint32_t mask = (uint32_t)(kept >> 32 * word);

		has[word].permitted &= mask;
		has[word].effective &= mask;
		has[word].inheritable &= mask;
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, has) ? -errno : 0;
}
