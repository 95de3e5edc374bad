/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an interface that was there, or not, and is there, or not, means.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "userspace/ctl/service_inner.h"

static void whether_an_interface_was_made_anew(void **state)
{
	static const struct {
		uint32_t had;
		bool gone;
		uint32_t is;
		bool ours;
		enum service_again want;
	} rows[] = {
		{0, false, 0, false, SERVICE_NONE}, /* never seen */
		{0, false, 5, false, SERVICE_NONE}, /* there, but not ours to have */
		{0, false, 5, true, SERVICE_OURS},  /* apply was there */
		{5, false, 5, true, SERVICE_OURS},
		{5, false, 6, true, SERVICE_OURS},	/* somebody's apply was faster */
		{5, false, 5, false, SERVICE_DETACHED}, /* was there all the time */
		{5, false, 0, false, SERVICE_GONE},
		{5, true, 0, false, SERVICE_GONE},
		{5, true, 6, false, SERVICE_ANEW},
		{5, false, 6, false, SERVICE_ANEW}, /* it was not told that it went */
		{5, true, 5, false, SERVICE_ANEW},  /* with the number that it had */
		{5, true, 5, true, SERVICE_ANEW},   /* what was seen there was before */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (service_again(rows[i].had, rows[i].gone, rows[i].is, rows[i].ours) !=
		    rows[i].want)
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whether_an_interface_was_made_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
