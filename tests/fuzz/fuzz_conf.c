/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_conf.c - conf_parse on whatever comes, and the printing of what it says
 *
 *   clang -fsanitize=fuzzer,address,undefined -g -O1 -D_GNU_SOURCE -I. tests/fuzz/fuzz_conf.c \
 *           userspace/conf/[!p]*.c userspace/base/text.c userspace/base/file.c -lfyaml
 *   ./a.out -max_len=4096 CORPUS tests/golden/conf
 *
 * It must not crash, leak, hang or print what a terminal obeys; success and complaints must agree.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "userspace/conf/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 && text[i] != '\n')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors *errors = calloc(1, sizeof(*errors));
	struct config *c = NULL;
	size_t n = 0;
	char *text = NULL;
	FILE *to;
	int err;

	if (!errors)
		return 0;
	err = conf_parse("fuzz.yaml", (const char *)data, size, &c, errors);
	if ((err != 0) != (conf_errors_count(errors) != 0) || (err == 0) != (c != NULL))
		abort();
	to = open_memstream(&text, &n);
	if (to) {
		conf_errors_print(errors, to);
		fclose(to);
		check_text(text, n);
	}
	free(text);
	conf_errors_free(errors);
	free(errors);
	conf_free(c);
	return 0;
}
