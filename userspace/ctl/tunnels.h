/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnels.h - the tunnels' part of the daemon: probing, judging, failing over, on one event loop
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct ctl_tunnels;
struct loop;

typedef void (*ctl_say)(void *arg, const char *text);

/* `dir`: where the tunnels' state is (wg/watch.h). `say` hears of changes, one line each. 0 or
 * -ENOMEM. */
int ctl_tunnels_make(struct loop *loop, const char *dir, ctl_say say, void *arg,
		     struct ctl_tunnels **ret);
void ctl_tunnels_free(struct ctl_tunnels *t);

/*
 * From here these tunnels; what the machines know goes on with those that were there before, by way
 * of the state on disk. The configuration must live until the next one is given, or
 * ctl_tunnels_free. 0; −errno: those of before stay.
 */
int ctl_tunnels_use(struct ctl_tunnels *t, const struct config *c);

/* A descriptor that a child of this process must not keep (the daemon's lock). */
void ctl_tunnels_private(struct ctl_tunnels *t, int fd);

struct watch;
/* What is known of each, until the loop goes on; NULL before the first configuration. */
const struct watch *ctl_tunnels_watch(const struct ctl_tunnels *t);
/* One line for people: "aws: up via aws". Returns ret. */
const char *ctl_tunnels_text(const struct ctl_tunnels *t, char *ret, size_t size);
/* Does traffic pass where the tunnel of that name should carry it: it or its backup in use is up?
 */
bool ctl_tunnels_up(const struct ctl_tunnels *t, const char *name);
/* When the loop last came round to all of it, CLOCK_BOOTTIME: the sign of life. */
uint64_t ctl_tunnels_alive(const struct ctl_tunnels *t);
/* Keeps on disk what is known, now. */
void ctl_tunnels_save(struct ctl_tunnels *t);
