/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * file.h - files that root may trust
 */
#pragma once

#include <stddef.h>

/*
 * Nobody but root and this process's user may be able to change what `path` names: the file and
 * every folder on the way to it belong to one of them and are writable by no group or other
 * (a sticky folder such as /tmp may be), and no symbolic link on the way belongs to anyone else. 0;
 * -EPERM, with the offending component in `why` (may be NULL); or why it cannot be looked at.
 */
int file_check_safe(const char *path, char *why, size_t size);

/* The same, and nobody else may read it: for keys. */
int file_check_secret(const char *path, char *why, size_t size);

/*
 * The same two, but the file that was checked is opened for reading and returned, so that nothing
 * can be put in its place between the check and the read. Only a regular file can be opened:
 * -EINVAL, with `why`, for anything else. The caller closes the descriptor.
 */
int file_open_safe(const char *path, char *why, size_t size);
int file_open_secret(const char *path, char *why, size_t size);

/*
 * The same for a log: nobody else can change or read it. Of the folders on the way all but the last
 * may be writable by a group, as /var/log is. It is opened for reading and for
 * appending, and made (0600) if it is not there; a link in its place is refused. As
 * file_open_secret otherwise.
 */
int file_append_secret(const char *path, char *why, size_t size);
