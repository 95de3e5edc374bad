/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "userspace/cmd/apply.h"
#include "userspace/plane/load.h"
#include "userspace/plane/short.h"

static const char *const modes[] = {"", "generic", "native"};

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
	if (err)
		return apply_failed(f->name, err);
	if (mode != f->xdp) {
		snprintf(line, sizeof(line), "+ interface %s by XDP, %s", f->name, modes[mode]);
		apply_note(line, a);
	}
	f->xdp = (uint8_t)mode;
	return EXIT_OK;
}

/* Wherever a service wants XDP, this one or another, the program of this apply; elsewhere none. */
static int settle(struct apply *a, struct shift_interface *f, const struct apply_program *m)
{
	uint16_t mine = (uint16_t)(1u << a->sync.service);
	bool was = f->xdp != SHIFT_XDP_NONE;
	char line[96];

	if (short_keep(f, m->listed && a->conf->hook != CONF_HOOK_XDP ? (uint16_t)~mine : 0xffff))
		return apply_failed(f->name, -EIO);
	if (m->listed && a->conf->hook == CONF_HOOK_XDP)
		f->xdp_services |= mine;
	if (f->xdp_services)
		return m->l3[1] ? put(a, f) : EXIT_OK;
	if (was) {
		snprintf(line, sizeof(line), "- interface %s by XDP", f->name);
		apply_note(line, a);
	}
	return EXIT_OK;
}

int apply_xdp(struct apply *a)
{
	int code = EXIT_OK;

	for (int i = 0; i < SHIFT_MAX_INTERFACES && !code; i++) {
		struct shift_interface *f = &a->g.interface[i];

		if (f->ifindex && if_nametoindex(f->name) == f->ifindex)
			code = settle(a, f, &a->program[i]);
	}
	if (!code && apply_write_globals(a))
		code = apply_failed("cannot write the maps", -EIO);
	return code;
}
