/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * notify.h - what a daemon tells the service manager (sd_notify(3)), without its library
 *
 *   notify_ready("watching 4 tunnels");
 *   every = notify_watchdog_ns() / 2;
 *   if (every)
 *           … notify_watchdog() every so often
 *
 * All return 1: said; 0: nobody listens, since NOTIFY_SOCKET is not set; −errno, which a daemon may
 * well ignore. None takes longer than a second. NOTIFY_SOCKET is not taken out of the environment:
 * what is executed later is kept from speaking by the unit's NotifyAccess=main.
 */
#pragma once

#include <stdint.h>

/* Up; or, after notify_reloading, done with that. `status` may be NULL. */
int notify_ready(const char *status);
/* One line for `systemctl status`. */
int notify_status(const char *status);
int notify_watchdog(void);
int notify_reloading(void);
int notify_stopping(void);

/* Within which time notify_watchdog must be called each time; 0: it is not wanted of us. */
uint64_t notify_watchdog_ns(void);
