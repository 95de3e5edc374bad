/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_screen.h - frames on a terminal, drawn by a program that lives on a loop
 *
 * Between enter and leave the terminal shows its other screen, and stdin gives each key at once.
 */
#pragma once

#include <stdbool.h>
#include <termios.h>

struct dns_screen {
	bool on, raw;
	struct termios was;
};

/* Is stdout a terminal at all? Does nothing and returns false when it is none. */
bool dns_screen_enter(struct dns_screen *s);
/* Twice is fine. */
void dns_screen_leave(struct dns_screen *s);
/* Writes a frame over the last. False: the terminal is gone. */
bool dns_screen_draw(const char *frame);
