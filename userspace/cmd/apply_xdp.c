/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "userspace/cmd/apply.h"
#include "userspace/plane/load.h"
#include "userspace/plane/short.h"

static const char *const modes[] = {"", "generic", "native"};

static bool listed(const struct apply *a, const struct shift_interface *f)
{
	for (unsigned int i = 0; i < a->conf->n_interfaces; i++)
		if (!strcmp(a->conf->interfaces[i].name, f->name))
			return true;
	return false;
}

static int put(struct apply *a, struct shift_interface *f)
{
	enum shift_xdp_mode mode = SHIFT_XDP_NONE;
	int prog, err;
	char line[96];

	prog = load_xdp(&a->p, (uint32_t)(f - a->g.interface), a->g.window_shift);
	if (prog < 0) {
		say("%s: the kernel does not take the program for XDP", f->name);
		return apply_failed(f->name, prog);
	}
	err = short_attach(f->ifindex, prog, &mode);
	close(prog);
	if (err == -EBUSY || err == -EEXIST) {
		say("refused: %s has another XDP program, which stays; `hook: tc` works beside it",
		    f->name);
		return EXIT_REFUSED;
	}
	if (err)
		return apply_failed(f->name, err);
	if (mode != f->xdp) {
		snprintf(line, sizeof(line), "+ interface %s by XDP, %s", f->name, modes[mode]);
		apply_note(line, a);
	}
	f->xdp = (uint8_t)mode;
	return EXIT_OK;
}

/* Wherever XDP is wanted, or was by another service, the program of this apply; elsewhere none. */
int apply_xdp(struct apply *a)
{
	int code = EXIT_OK;

	for (int i = 0; i < SHIFT_MAX_INTERFACES && !code; i++) {
		struct shift_interface *f = &a->g.interface[i];
		bool wanted = listed(a, f) ? a->conf->hook == CONF_HOOK_XDP : f->xdp;
		char line[96];

		if (!f->ifindex || if_nametoindex(f->name) != f->ifindex)
			continue;
		if (wanted) {
			code = put(a, f);
		} else if (f->xdp) {
			if (short_remove(f->ifindex))
				return apply_failed(f->name, -EIO);
			f->xdp = SHIFT_XDP_NONE;
			snprintf(line, sizeof(line), "- interface %s by XDP", f->name);
			apply_note(line, a);
		}
	}
	if (!code && apply_write_globals(a))
		code = apply_failed("cannot write the maps", -EIO);
	return code;
}
