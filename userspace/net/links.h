/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * links.h - told when an interface comes, goes or changes, or gets an address
 */
#pragma once

#include <stdint.h>

#define LINKS_LINK    1u
#define LINKS_ADDRESS 2u

/* A descriptor that can be read when something happened, for the caller to close; −errno. */
int links_open(void);

/*
 * Takes all that came; `gone` is called for each interface that is no more here: deleted, or moved
 * to another namespace. Which kinds there were; -ENOBUFS: some were lost, so look at everything;
 * −errno.
 */
int links_read(int fd, void (*gone)(void *arg, uint32_t ifindex), void *arg);
