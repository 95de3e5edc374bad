/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/short.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/net/nic.h"
#include "userspace/net/xdp.h"
#include "userspace/plane/bpfsys.h"

/* The program that is there, if it is ours: its descriptor, else −1. -EBUSY: another's is. */
static int find(uint32_t ifindex, int *ret_fd, enum shift_xdp_mode *ret)
{
	struct bpf_prog_info info = {0};
	uint32_t maps[BPFSYS_MAX_MAPS];
	char name[IF_NAMESIZE];
	struct nic nic;
	int err, fd;

	*ret_fd = -1;
	*ret = SHIFT_XDP_NONE;
	if (!if_indextoname(ifindex, name))
		return -ENODEV;
	err = nic_read(ifindex, name, &nic);
	if (err || nic.xdp == NIC_XDP_NONE || !nic.xdp_prog_id)
		return err;
	fd = bpfsys_prog_by_id(nic.xdp_prog_id);
	if (fd < 0)
		return fd;
	if (bpfsys_prog_info(fd, &info, maps) < 0 || strcmp(info.name, "shift_xdp") != 0) {
		close(fd);
		return -EBUSY;
	}
	*ret_fd = fd;
	*ret = nic.xdp == NIC_XDP_GENERIC ? SHIFT_XDP_GENERIC : SHIFT_XDP_NATIVE;
	return 0;
}

int short_find(uint32_t ifindex, enum shift_xdp_mode *ret)
{
	int fd, err = find(ifindex, &fd, ret);

	if (fd >= 0)
		close(fd);
	return err == -EBUSY ? 0 : err;
}

bool short_taken(uint32_t ifindex)
{
	enum shift_xdp_mode mode;
	int fd, err = find(ifindex, &fd, &mode);

	if (fd >= 0)
		close(fd);
	return err == -EBUSY;
}

/* A veth sends what its own program answers only to a peer that has a program, too: it cannot be
 * told from here, and generic always works. */
static bool native_answers(uint32_t ifindex)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq r = {.ifr_data = (void *)&info};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = -1;

	if (s < 0)
		return false;
	if (if_indextoname(ifindex, r.ifr_name))
		err = ioctl(s, SIOCETHTOOL, &r);
	close(s);
	return !err && strcmp(info.driver, "veth") != 0;
}

int short_attach(uint32_t ifindex, int prog_fd, enum shift_xdp_mode *ret)
{
	enum shift_xdp_mode mode;
	int was, err = find(ifindex, &was, &mode);

	if (err)
		return err;
	if (mode == SHIFT_XDP_NONE) {
		mode = SHIFT_XDP_NATIVE;
		err = native_answers(ifindex) ? xdp_set(ifindex, prog_fd, -1, true) : -EOPNOTSUPP;
		if (err == -EOPNOTSUPP || err == -EINVAL) {
			mode = SHIFT_XDP_GENERIC;
			err = xdp_set(ifindex, prog_fd, -1, false);
		}
	} else {
		err = xdp_set(ifindex, prog_fd, was, mode == SHIFT_XDP_NATIVE);
	}
	if (was >= 0)
		close(was);
	if (!err)
		*ret = mode;
	return err;
}

int short_remove(uint32_t ifindex)
{
	enum shift_xdp_mode mode;
	int was, err = find(ifindex, &was, &mode);

	if (was >= 0) {
		err = xdp_set(ifindex, -1, was, mode == SHIFT_XDP_NATIVE);
		close(was);
	}
	return err == -EBUSY || err == -ENODEV ? 0 : err;
}

int short_keep(struct shift_interface *f, uint16_t keep)
{
	int err;

	if (f->xdp && !f->xdp_services) /* of a version that did not note who */
		f->xdp_services = f->services;
	f->xdp_services &= keep;
	if (!f->xdp || f->xdp_services)
		return 0;
	err = short_remove(f->ifindex);
	if (!err)
		f->xdp = SHIFT_XDP_NONE;
	return err;
}
