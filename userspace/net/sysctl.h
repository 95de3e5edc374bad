/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sysctl.h - numbers of /proc/sys, of this network namespace where they are its own
 */
#pragma once

/* The first number of a file, by its path below /proc/sys. 0 and *ret; −errno; -EINVAL: no number.
 */
int sysctl_read(long *ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
