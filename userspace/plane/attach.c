/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/attach.h"

#include <errno.h>
#include <unistd.h>

#include "userspace/net/tc.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/short.h"

static bool has_tcx(uint32_t ifindex)
{
	uint32_t ids[1];
	int n = bpfsys_tcx_query(ifindex, false, ids, 1);

	return n >= 0 || n == -ENOSPC;
}

static int attach_clsact(uint32_t ifindex, bool egress, int prog_fd)
{
	bool made;
	int err = tc_clsact_ensure(ifindex, &made);

	if (!err)
		err = tc_attach(ifindex, egress, plane_program_name(egress), prog_fd);
	if (err && made)
		tc_clsact_delete(ifindex);
	return err;
}

/* Will it be made? */
static int makes_qdisc(uint32_t ifindex, bool *ret)
{
	bool present = true;
	int err = has_tcx(ifindex) ? 0 : tc_clsact_present(ifindex, &present);

	*ret = !err && !present;
	return err;
}

static int put(uint32_t ifindex, bool egress, int prog_fd, enum shift_hook *ret)
{
	struct plane_attachment is;
	int err = plane_attachment(ifindex, egress, &is);

	if (err)
		return err;
	if (is.hook == SHIFT_HOOK_TCX || (is.hook == SHIFT_HOOK_NONE && has_tcx(ifindex))) {
		err = bpfsys_tcx_attach(ifindex, egress, prog_fd, is.prog_fd);
		*ret = SHIFT_HOOK_TCX;
	} else {
		err = attach_clsact(ifindex, egress, prog_fd);
		*ret = SHIFT_HOOK_CLSACT;
	}
	if (is.prog_fd >= 0)
		close(is.prog_fd);
	return err;
}

int attach_interface(const struct plane *p, struct shift_globals *g, struct shift_interface *f,
		     const int fd[2], unsigned int *attached)
{
	bool makes = false;
	int err = makes_qdisc(f->ifindex, &makes);

	if (err)
		return err;
	f->made_clsact |= makes;
	if (makes)
		err = plane_set_globals(p, g);
	for (int egress = 0; egress < 2 && !err; egress++) {
		enum shift_hook hook;

		err = put(f->ifindex, egress, fd[egress], &hook);
		if (err || egress)
			continue;
		f->hook = (uint8_t)hook;
		++*attached;
	}
	return err ? err : plane_set_globals(p, g);
}

static int remove_side(uint32_t ifindex, bool egress)
{
	struct plane_attachment is;
	int err = plane_attachment(ifindex, egress, &is);

	if (err)
		return err;
	switch (is.hook) {
	case SHIFT_HOOK_TCX:
		err = bpfsys_tcx_detach(ifindex, egress, is.prog_fd);
		break;
	case SHIFT_HOOK_CLSACT:
		err = tc_detach(ifindex, egress);
		break;
	default:
		break;
	}
	if (is.prog_fd >= 0)
		close(is.prog_fd);
	return err;
}

int attach_remove(uint32_t ifindex, bool made_clsact)
{
	bool empty = false;
	int err = short_remove(ifindex);

	if (!err)
		err = remove_side(ifindex, true);
	if (!err)
		err = remove_side(ifindex, false);
	if (err || !made_clsact)
		return err;
	err = tc_clsact_empty(ifindex, &empty);
	if (!err && empty)
		err = tc_clsact_delete(ifindex);
	return err == -EINVAL || err == -ENOENT ? 0 : err; /* somebody took it away already */
}

const char *attach_hook_name(enum shift_hook hook)
{
	static const char *const names[] = {"none", "tcx", "clsact", "xdp"};

	return (unsigned int)hook < sizeof(names) / sizeof(*names) ? names[hook] : "?";
}
