/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * complain.h - a configuration that cannot be used, told to people and to --json
 */
#pragma once

#include "userspace/conf/config.h"

/* What is wrong with the file, on stderr and for the error of --json. */
void complain_of_file(const struct conf_errors *errors);
