/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * who.h - the operator's name, for the latch, the lock and the audit trail
 */
#pragma once

#include <stddef.h>

/*
 * SHIFT_OPERATOR, else the user who logged in (the audit login uid), else SUDO_USER, else this
 * process's user. Names come from /etc/passwd alone: a directory server must not hold up a
 * rollback. Unprintable bytes become '?'; a blank name counts as none; of one that is too long the
 * end becomes a sum of all of it.
 */
void who_operator(char *ret, size_t size);

/* The same without looking at any file: the environment's name, or "uid N". */
void who_without_disk(char *ret, size_t size);
