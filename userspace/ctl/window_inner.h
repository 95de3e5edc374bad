/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window_inner.h - what window.c (looks) and window_value.c (shares and numbers) have in common
 */
#pragma once

#include "userspace/ctl/window.h"

/* All but the epoch. */
void window_add_answers(struct shift_answers *to, const struct shift_answers *more);
