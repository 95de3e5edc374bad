/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/check.h"

#define COMPLAINTS 6

static struct {
	char name[160];
	char said[COMPLAINTS][400];
	int complaints;
	int passed, failed, skipped;
} state;

bool check_begin(const char *format, ...)
{
	const char *only = getenv("BPF_TABLES_ONLY");
	va_list args;

	va_start(args, format);
	vsnprintf(state.name, sizeof(state.name), format, args);
	va_end(args);
	state.complaints = 0;
	return !only || strstr(state.name, only);
}

void check_fail(const char *format, ...)
{
	va_list args;

	if (state.complaints < COMPLAINTS) {
		char *said = state.said[state.complaints];

		va_start(args, format);
		vsnprintf(said, sizeof(state.said[0]), format, args);
		va_end(args);
	}
	state.complaints++;
}

bool check_failed(void)
{
	return state.complaints > 0;
}

void check_end(void)
{
	if (!state.complaints) {
		printf("ok - %s\n", state.name);
		state.passed++;
		return;
	}
	printf("not ok - %s\n", state.name);
	for (int i = 0; i < state.complaints && i < COMPLAINTS; i++)
		printf("#   %s\n", state.said[i]);
	if (state.complaints > COMPLAINTS)
		printf("#   and %d more\n", state.complaints - COMPLAINTS);
	state.failed++;
}

void check_skip(const char *name, const char *why)
{
	printf("skip - %s: %s\n", name, why);
	state.skipped++;
}

int check_summary(void)
{
	printf("%d passed, %d failed, %d skipped\n", state.passed, state.failed, state.skipped);
	return state.failed || !state.passed ? 1 : 0; /* nothing that did not run is green */
}

void check_equal(unsigned long long is, unsigned long long wanted, const char *what)
{
	if (is != wanted)
		check_fail("%s is %llu, should be %llu", what, is, wanted);
}
