/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nic.h - what a device does to packets before anybody else sees them: offloads, queues, XDP
 */
#pragma once

#include <stdint.h>

enum nic_xdp { NIC_XDP_NONE, NIC_XDP_NATIVE, NIC_XDP_GENERIC, NIC_XDP_HARDWARE, NIC_XDP_SEVERAL };

/* −1 for yes or no, and 0 for numbers: the device does not tell. */
struct nic {
	uint32_t mtu;
	int lro, gro;
	unsigned int rx_queues;
	enum nic_xdp xdp;
	uint32_t xdp_prog_id;
};

/* Does the driver itself run XDP programs? 1, 0, or −1: it does not tell (before Linux 6.3). */
int nic_native_xdp(uint32_t ifindex);

/* 0 and *ret, or −errno when there is no such device. Changes nothing. */
int nic_read(uint32_t ifindex, const char *name, struct nic *ret);
