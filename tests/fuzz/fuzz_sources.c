/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a gate's source answers: whatever comes is one finite number that is not negative, or a
 * reason that a terminal can show.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ctl/sources_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int err, double value, const char *why)
{
	if (!err && (!isfinite(value) || value < 0 || signbit(value)))
		abort();
	if (err && (!*why || strlen(why) >= SOURCE_WHY))
		abort();
	for (; err && *why; why++) {
		if (*why < ' ' || *why > '~')
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const members[] = {"a", "a.b", "0.1", "data.result.0.value.1"};
	char *text = malloc(size + 1), why[SOURCE_WHY] = "", url[1024];
	double value = 0;

	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
		check(source_read_member(text, size, members[i], &value, why), value, why);
	check(source_read_prometheus(text, size, &value, why), value, why);
	check(source_read_output(text, size, &value, why), value, why);
	source_read_complaint(text, size, why);
	source_query_url(text, text, url, sizeof(url));
	free(text);
	return 0;
}
