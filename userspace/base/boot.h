/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * boot.h - which boot of the host this is
 */
#pragma once

/* "" where it cannot be read. */
void boot_id(char ret[64]);
