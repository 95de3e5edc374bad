/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * public.h - addresses to which what a configuration names may make us connect
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * False for what leads to this host, its link, many hosts, or what a cloud tells its own machines
 * (metadata services); also when an IPv6 address carries such an IPv4 one: mapped, NAT64's
 * 64:ff9b::/96, 6to4. Private networks (RFC 1918) are public in this sense: the hosts we serve live
 * there. RFC 6890.
 */
bool ip_is_public(const uint32_t address[4]);

/* 127.0.0.0/8 and ::1, as they are. */
bool ip_is_loopback(const uint32_t address[4]);
