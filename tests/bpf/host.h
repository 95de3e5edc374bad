/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * host.h - the old host's own service and connections: real sockets in our namespace
 *
 * The program asks the kernel for sockets of a tuple, so there have to be some. A client's packet
 * that the program leaves to the host is put on the wire for the host's stack to take.
 */
#pragma once

#include <stdbool.h>

#include "tests/bpf/net.h"

/* A listener, or a connection that was begun and is not answered. A descriptor, or −errno. */
int host_listen(const struct end *at);
int host_connect(const struct end *from, const struct end *to);

/* A UDP socket, connected if `to` is given. A descriptor, or −errno. */
int host_udp(const struct end *at, const struct end *to);

/* The next connection of a listener within three seconds; −ETIMEDOUT. */
int host_accept(int listener);

/* Bytes that came in on a connection within three seconds. */
int host_received(int fd);

/* Closes it at once: with a RST, if there is a peer. */
void host_close(int fd);
