/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * whole.h - a file replaced whole: who reads it sees the old one or the new one, never a part, also
 * after a power failure
 *
 * For what others read meanwhile, and for state that may take memory and block for as long as a
 * disk does.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * `mode` is what it gets, whatever the umask; it belongs to this process, whatever the old one did.
 * A symbolic link at `path` is replaced, not followed. 0; or −errno: the old file is as it was and
 * nothing is left beside it (but when only the folder could not be synced: then the new one is
 * there, and may be the old one again after a power failure). A process that is killed meanwhile
 * leaves ".NAME.16 hex digits".
 */
int whole_write(const char *path, const void *data, size_t size, mode_t mode);

/*
 * A regular file of at most `max` bytes; *ret has a zero behind them and is the caller's to free.
 * ret_size may be NULL. -EFBIG; -EINVAL: no regular file; −errno.
 */
int whole_read(const char *path, size_t max, char **ret, size_t *ret_size);
