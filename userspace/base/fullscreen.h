/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fullscreen.h - frames on a terminal, each over the last one
 *
 * Between enter and leave the terminal shows its other screen, and stdin gives each key at once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct fullscreen {
	bool on, raw;
	struct termios was;
};

/* Is stdout a terminal at all? Does nothing and returns false when it is none. */
bool fullscreen_enter(struct fullscreen *s);
/* Twice is fine. */
void fullscreen_leave(struct fullscreen *s);
/* Writes a frame over the last. False: the terminal is gone. */
bool fullscreen_draw(const char *frame);
/* All of it to stdout. False: the terminal is gone, or the reader of the pipe. */
bool fullscreen_write(const char *text, size_t size);
