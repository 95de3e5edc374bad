/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * check.h - cases, and what was wrong with them
 *
 * A case is one line of output, "ok - NAME" or "not ok - NAME"; what was seen follows on lines of
 * "#". Only the first few complaints of a case are told: the rest follow from them.
 */
#pragma once

#include <stdbool.h>

/* False: BPF_TABLES_ONLY names another part of the name; then the case is not to be run. */
__attribute__((format(printf, 1, 2))) bool check_begin(const char *format, ...);

__attribute__((format(printf, 1, 2))) void check_fail(const char *format, ...);

/* Has the case at hand failed? */
bool check_failed(void);

void check_end(void);

/* A case that this kernel cannot do, in place of check_begin … check_end. */
void check_skip(const char *name, const char *why);

/* Prints "N passed, N failed, N skipped". The program's exit code. */
int check_summary(void);

#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			check_fail(__VA_ARGS__);                                                   \
	} while (0)

/* Both are unsigned numbers. */
void check_equal(unsigned long long is, unsigned long long wanted, const char *what);
