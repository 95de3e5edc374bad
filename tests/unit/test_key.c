/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_key.c - WireGuard's keys as text, and the files that hold them
 *
 * Key files are in a folder of its own under /tmp. What is right is asked of base64 of coreutils.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/key.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define ROUNDS	 20000
#define FILES	 200 /* keys that base64 reads back */

/* RFC 7748, 6.1: Alice's private key. */
#define SECRET "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
static const uint8_t secret[KEY_SIZE] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d,
					 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
					 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a,
					 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};

static char folder[] = "/tmp/test_key.XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static const char *in(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void put(const char *name, const void *data, size_t size, mode_t mode)
{
	FILE *f = fopen(in(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	fclose(f);
	assert_int_equal(chmod(in(name), mode), 0);
}

/* ---- text ---- */

static void known_keys_are_read_and_written(void **state)
{
	static const uint8_t none[KEY_SIZE];
	uint8_t ones[KEY_SIZE], key[KEY_SIZE];
	char text[KEY_TEXT];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(key_parse(SECRET, key), 0);
	assert_memory_equal(key, secret, KEY_SIZE);
	assert_string_equal(key_text(secret, text), SECRET);
	assert_string_equal(key_text(none, text), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	assert_string_equal(key_text(ones, text), "//////////////////////////////////////////8=");
	assert_int_equal(key_parse(text, key), 0);
	assert_memory_equal(key, ones, KEY_SIZE);
}

static void what_was_written_is_read_back(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint8_t key[KEY_SIZE], back[KEY_SIZE];
		char text[KEY_TEXT];

		assert_int_equal(getrandom(key, sizeof(key), 0), sizeof(key));
		assert_ptr_equal(key_text(key, text), text);
		assert_int_equal(strlen(text), KEY_TEXT - 1);
		memset(back, 0, sizeof(back));
		assert_int_equal(key_parse(text, back), 0);
		assert_memory_equal(back, key, KEY_SIZE);
	}
}

static void base64_says_the_same(void **state)
{
	uint8_t keys[FILES][KEY_SIZE];
	char command[256], line[128], text[KEY_TEXT];
	FILE *f;

	(void)state;
	assert_int_equal(getrandom(keys, sizeof(keys), 0), sizeof(keys));
	put("keys", keys, sizeof(keys), 0600);
	snprintf(
		command, sizeof(command),
		"for i in $(seq 0 %d); do dd if=%s bs=32 skip=$i count=1 status=none | base64; done",
		FILES - 1, in("keys"));
	f = popen(command, "r");
	assert_non_null(f);
	for (unsigned int i = 0; i < FILES; i++) {
		assert_non_null(fgets(line, sizeof(line), f));
		line[strcspn(line, "\n")] = '\0';
		assert_string_equal(key_text(keys[i], text), line);
	}
	assert_int_equal(pclose(f), 0);
}

/* Every byte at every place: only base64's own digits are taken, and as what they are. */
static void every_other_byte_is_refused_at_every_place(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	(void)state;
	for (unsigned int at = 0; at < KEY_TEXT - 1; at++)
		for (unsigned int c = 1; c < 256; c++) {
			char text[KEY_TEXT] = SECRET, back[KEY_TEXT];
			uint8_t key[KEY_SIZE], untouched[KEY_SIZE];
			const char *digit = strchr(digits, (int)c);
			bool good = at == 43 ? c == '=' : digit != NULL;

			if (at == 42) /* its last two bits are none of the key's */
				good = digit && (digit - digits) % 4 == 0;
			text[at] = (char)c;
			memset(key, 0x5a, sizeof(key));
			memcpy(untouched, key, sizeof(key));
			assert_int_equal(key_parse(text, key), good ? 0 : -EINVAL);
			if (good)
				assert_string_equal(key_text(key, back), text);
			else
				assert_memory_equal(key, untouched, sizeof(key));
		}
}

static void no_other_length_is_taken(void **state)
{
	uint8_t key[KEY_SIZE];
	char text[64];

	(void)state;
	for (size_t n = 0; n < 60; n++) {
		memset(text, 'A', n);
		text[n] = '\0';
		if (n)
			text[n - 1] = '=';
		assert_int_equal(key_parse(text, key), n == KEY_TEXT - 1 ? 0 : -EINVAL);
	}
	assert_int_equal(key_parse(SECRET "\n", key), -EINVAL);
	assert_int_equal(key_parse(" " SECRET, key), -EINVAL);
	assert_int_equal(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", key), -EINVAL);
}

/* ---- files ---- */

/* No four characters of a key in a row. */
static void assert_tells_nothing(const char *why)
{
	for (size_t i = 0; i + 4 < strlen(SECRET); i++) {
		char part[5];

		snprintf(part, sizeof(part), "%.4s", &SECRET[i]);
		if (strstr(why, part))
			fail_msg("a part of the key is in: %s", why);
	}
}

static void assert_refused(const char *name, int err, const char *words)
{
	uint8_t key[KEY_SIZE], untouched[KEY_SIZE];
	char why[512] = "?";

	memset(key, 0x5a, sizeof(key));
	memcpy(untouched, key, sizeof(key));
	assert_int_equal(key_read(in(name), key, why, sizeof(why)), err);
	assert_memory_equal(key, untouched, sizeof(key));
	if (!strstr(why, words) || !strstr(why, folder))
		fail_msg("neither '%s' nor the path is in: %s", words, why);
	assert_tells_nothing(why);
}

static void a_key_is_read_from_its_file(void **state)
{
	uint8_t key[KEY_SIZE];
	char why[512] = "?";

	(void)state;
	put("good", SECRET "\n", 45, 0600);
	assert_int_equal(key_read(in("good"), key, why, sizeof(why)), 0);
	assert_memory_equal(key, secret, KEY_SIZE);
	memset(key, 0, sizeof(key));
	put("bare", SECRET, 44, 0400);
	assert_int_equal(key_read(in("bare"), key, why, sizeof(why)), 0);
	assert_memory_equal(key, secret, KEY_SIZE);
}

static void a_link_of_our_own_is_followed(void **state)
{
	uint8_t key[KEY_SIZE];
	char why[512];

	(void)state;
	put("good", SECRET "\n", 45, 0600);
	put("open", SECRET "\n", 45, 0644);
	assert_int_equal(symlink("good", in("link")), 0);
	assert_int_equal(key_read(in("link"), key, why, sizeof(why)), 0);
	assert_memory_equal(key, secret, KEY_SIZE);
	assert_int_equal(symlink("open", in("link-open")), 0);
	assert_refused("link-open", -EPERM, "/open can be read by others: chmod 600");
	assert_int_equal(symlink("link-round", in("link-round")), 0);
	assert_refused("link-round", -ELOOP, "circle");
	if (geteuid())
		return;
	/* Others may not lead us to what they cannot read. */
	assert_int_equal(symlink("good", in("link-foreign")), 0);
	assert_int_equal(lchown(in("link-foreign"), 65534, 65534), 0);
	assert_refused("link-foreign", -EPERM, "belongs to another user");
}

static void what_others_can_read_or_write_is_refused(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0601, 0610, 0644, 0620, 0602, 0666};

	(void)state;
	for (size_t i = 0; i < COUNT(modes); i++) {
		put("loose", SECRET "\n", 45, modes[i]);
		assert_refused("loose", -EPERM, "loose can be ");
	}
	assert_int_equal(mkdir(in("wide"), 0700), 0);
	put("wide/key", SECRET "\n", 45, 0600);
	assert_int_equal(chmod(in("wide"), 0777), 0);
	assert_refused("wide/key", -EPERM, "/wide can be written by everybody");
	if (geteuid())
		return;
	put("foreign", SECRET "\n", 45, 0600);
	assert_int_equal(chown(in("foreign"), 65534, 65534), 0);
	assert_refused("foreign", -EPERM, "belongs to another user");
}

static void what_is_no_file_is_refused(void **state)
{
	(void)state;
	assert_refused("none", -ENOENT, "No such file");
	assert_int_equal(mkdir(in("folder"), 0700), 0);
	assert_refused("folder", -EINVAL, "is no regular file");
	assert_int_equal(mkfifo(in("pipe"), 0600), 0);
	alarm(20); /* if it waits for a writer */
	assert_refused("pipe", -EINVAL, "is no regular file");
	alarm(0);
}

static void one_key_and_nothing_else_is_in_it(void **state)
{
#define OF(text)                                                                                   \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}
	static const struct {
		const char *data;
		size_t size;
	} rows[] = {
		OF(""),
		OF("\n"),
		OF(SECRET "\r\n"),
		OF(SECRET "\n\n"),
		OF(SECRET "\n" SECRET "\n"),
		OF(SECRET " \n"),
		OF(SECRET " # of aws\n"),
		OF("\n" SECRET "\n"),
		OF(" " SECRET "\n"),
		OF("\xef\xbb\xbf" SECRET "\n"),
		OF(SECRET "\0"),
		OF(SECRET "\0\n"),
		OF("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo\n"),
		OF("PrivateKey = " SECRET "\n"),
		OF("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a\n"),
	};
#undef OF
	static char large[100000];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		put("wrong", rows[i].data, rows[i].size, 0600);
		assert_refused("wrong", -EINVAL, "must hold one key as `wg genkey` prints it");
	}
	memset(large, 'A', sizeof(large));
	put("wrong", large, sizeof(large), 0600);
	assert_refused("wrong", -EINVAL, "must hold one key");
	put("wrong", secret, sizeof(secret), 0600);
	assert_refused("wrong", -EINVAL, "must hold one key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_keys_are_read_and_written),
		cmocka_unit_test(what_was_written_is_read_back),
		cmocka_unit_test(base64_says_the_same),
		cmocka_unit_test(every_other_byte_is_refused_at_every_place),
		cmocka_unit_test(no_other_length_is_taken),
		cmocka_unit_test(a_key_is_read_from_its_file),
		cmocka_unit_test(a_link_of_our_own_is_followed),
		cmocka_unit_test(what_others_can_read_or_write_is_refused),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(one_key_and_nothing_else_is_in_it),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
