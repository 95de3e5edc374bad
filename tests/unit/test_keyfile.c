/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_keyfile.c - files of keys, the record of used ones, and SHA-256
 *
 * Runs as root, since only files of root's are read; in a folder of its own under /tmp.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "wg/keyfile.h"
#include "wg/sha256.h"

static char folder[] = "/tmp/test_keyfile.XXXXXX";

#define K1			  "00112233445566778899aabbccddeeff"
#define K2			  "10112233445566778899aabbccddeeff"
#define K3			  "20112233445566778899aabbccddeeFF"
#define K4			  "30112233445566778899aabbccddeeff"
#define REST			  "112233445566778899aabbccddeeff" K1
#define L1			  "a1" REST
#define L2			  "a2" REST
#define L3			  "a3" REST
#define L4			  "a4" REST
#define HEAD			  "shift-static 1\n"
#define GEN(id, at)		  "generation " id " send-after " at "\n"
#define WAY(a, b, spi, enc, auth) "from " a " to " b " spi " spi " enc " enc " auth " auth "\n"
#define A			  "192.0.2.1"
#define B			  "192.0.2.2"
#define T			  "2026-11-29T03:00:00Z"
#define GOOD			  GEN("7", T) WAY(A, B, "0x100", K1, L1) WAY(B, A, "0xffffffff", K2, L2)

static const char *in(const char *name)
{
	static char path[4][256];
	static unsigned int next;
	char *to = path[next++ % 4];

	snprintf(to, 256, "%s/%s", folder, name);
	return to;
}

static int parse(const char *text, struct keyfile *k, char why[256])
{
	why[0] = '\0';
	return keyfile_parse(text, strlen(text), k, why, 256);
}

/* ---- SHA-256: the examples of FIPS 180-4 and the lengths around a block ---- */

static void assert_sum(const char *text, size_t n, const char *want)
{
	uint8_t sum[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	sha256(text, n, sum);
	for (unsigned int i = 0; i < SHA256_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	assert_string_equal(hex, want);
}

static void the_digest_is_sha_256(void **state)
{
	char *million = malloc(1000000);

	(void)state;
	assert_non_null(million);
	memset(million, 'a', 1000000);
	assert_sum("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_sum("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_sum("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
		   "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_sum(million, 1000000,
		   "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	assert_sum(million, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	assert_sum(million, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
	free(million);
}

/* ---- parsing ---- */

static void a_good_file_is_understood(void **state)
{
	struct keyfile k;
	char why[256];

	(void)state;
	assert_int_equal(parse(HEAD "\n# a remark\n" GOOD GEN("9", T) WAY(B, A, "0x300", K3, L3)
				       WAY(A, B, "0x301", K4, L4),
			       &k, why),
			 0);
	assert_int_equal(k.n, 2);
	assert_int_equal(k.enc_size, 16);
	assert_int_equal(k.generation[0].id, 7);
	assert_int_equal(k.generation[0].send_after_s, 1795921200);
	assert_int_equal(k.generation[0].way[0].spi, 0x100);
	assert_int_equal(k.generation[0].way[1].enc[0], 0x10);
	assert_int_equal(k.generation[1].way[0].enc[15], 0xff);
	assert_int_equal(k.generation[1].way[1].auth[0], 0xa4);
	assert_true(ip_is_v4(k.generation[0].way[0].from));
	assert_int_equal(parse(HEAD, &k, why), 0);
	assert_int_equal(k.n, 0);
}

static const struct {
	const char *text, *why;
} bad[] = {
	{"", "line 1: must be: shift-static 1"},
	{"shift-static 2\n", "line 1: must be: shift-static 1"},
	{HEAD "key " K1 "\n", "line 2: must begin with generation or from"},
	{HEAD GEN("0", T), "line 2: the id must be a number from 1 on"},
	{HEAD GEN("4294967296", T), "line 2: the id must be a number from 1 on"},
	{HEAD GEN("-1", T), "line 2: the id must be a number from 1 on"},
	{HEAD GEN("1", "2026-11-29"), "line 2: the time must be as 2026-11-29T03:00:00Z"},
	{HEAD GEN("1", "2026-02-30T03:00:00Z"), "line 2: the time must be as 2026-11-29T03:00:00Z"},
	{HEAD GEN("1", "1026-02-20T03:00:00Z"), "line 2: the time must be as 2026-11-29T03:00:00Z"},
	{HEAD GEN("1", T), "line 3: the generation before it has no two ways"},
	{HEAD GEN("1", T) GEN("2", T), "line 3: the generation before it has no two ways"},
	{HEAD GOOD GEN("7", T), "line 5: ids must rise, and times never fall"},
	{HEAD GOOD GEN("8", "2026-11-29T02:59:59Z"), "line 5: ids must rise, and times never fall"},
	{HEAD WAY(A, B, "0x100", K1, L1), "line 2: belongs to no generation, or is its third"},
	{HEAD GOOD WAY(A, B, "0x200", K3, L3), "line 5: belongs to no generation, or is its third"},
	{HEAD GEN("1", T) WAY(A, A, "0x100", K1, L1),
	 "line 3: from and to must be two addresses of one family"},
	{HEAD GEN("1", T) WAY(A, "2001:db8::1", "0x100", K1, L1),
	 "line 3: from and to must be two addresses of one family"},
	{HEAD GEN("1", T) WAY(A ":5", B, "0x100", K1, L1),
	 "line 3: from and to must be two addresses of one family"},
	{HEAD GEN("1", T) WAY(A, B, "0xff", K1, L1), "line 3: the SPI must be 0x100..0xffffffff"},
	{HEAD GEN("1", T) WAY(A, B, "256", K1, L1), "line 3: the SPI must be 0x100..0xffffffff"},
	{HEAD GEN("1", T) WAY(A, B, "0x100", K1 "0", L1),
	 "line 3: enc must be 32, 48 or 64 hexadecimal digits"},
	{HEAD GEN("1", T) WAY(A, B, "0x100", "g0112233445566778899aabbccddeeff", L1),
	 "line 3: enc must be 32, 48 or 64 hexadecimal digits"},
	{HEAD GEN("1", T) WAY(A, B, "0x100", K1, K1), "line 3: auth must be 64 hexadecimal digits"},
	{HEAD GEN("1", T) WAY(A, B, "0x100", K1, L1) WAY(B, A, "0x200", L2, L3),
	 "line 4: enc must be as long as those before"},
	{HEAD GEN("1", T) WAY(A, B, "0x100", K1, L1) WAY(A, B, "0x200", K2, L2),
	 "line 4: the second way must be the first one's way back"},
	{HEAD GOOD GEN("8", T) WAY(A, "192.0.2.3", "0x300", K3, L3),
	 "line 6: is between other hosts than the generations before"},
	{HEAD GEN("1", T) WAY(A, B, "0x100", K1, L1) WAY(B, A, "0x100", K2, L2),
	 "line 5: generations 1 and 1 share an SPI"},
	{HEAD GEN("1", T) WAY(A, B, "0x100", K1, L1) WAY(B, A, "0x200", K1, L2),
	 "line 5: generations 1 and 1 share a key"},
	{HEAD GEN("1", T) WAY(A, B, "0x100", K1, L1) WAY(B, A, "0x200", K2, L1),
	 "line 5: generations 1 and 1 share a key"},
	{HEAD GEN("1", T) WAY(A, B, "0x100", L1, L1) WAY(B, A, "0x200", L2, L3),
	 "line 5: generation 1 has one key twice"},
	{HEAD GEN("1", T) "from " A " to " B " spi 0x100 aead " L1 " auth " L2 "\n",
	 "line 3: must be: from A to B spi 0x… enc HEX auth HEX"},
};

static void a_bad_file_is_refused_with_its_line_and_no_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct keyfile k = {.n = 12345};
		char why[256];

		assert_int_equal(parse(bad[i].text, &k, why), -EINVAL);
		assert_string_equal(why, bad[i].why);
		assert_int_equal(k.n, 12345);
	}
}

static void any_cut_of_a_good_file_is_refused_or_shorter(void **state)
{
	static const char whole[] = HEAD GOOD;

	(void)state;
	for (size_t n = 0; n < sizeof(whole) - 2; n++) {
		struct keyfile k;
		char why[256];
		int err = keyfile_parse(whole, n, &k, why, sizeof(why));

		assert_true(err == -EINVAL || (!err && !k.n && n <= sizeof(HEAD) - 1));
	}
}

/* ---- making ---- */

static void a_file_is_made_and_grows(void **state)
{
	uint32_t a[4], b[4], c[4];
	struct keyfile k, more;
	struct stat st;
	char why[256];
	uint16_t port;
	uint64_t now = (uint64_t)time(NULL);
	const char *path = in("made");

	(void)state;
	ip_parse("2001:db8::1", a, &port);
	ip_parse("2001:db8::2", b, &port);
	ip_parse("2001:db8::3", c, &port);
	assert_int_equal(keyfile_extend(path, a, b, 32, 20, now - 15000, 1000, why, sizeof(why)),
			 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(keyfile_read(path, &k, why, sizeof(why)), 0);
	assert_int_equal(k.n, 20);
	assert_true(k.generation[0].id > 25000000);
	assert_int_equal(k.generation[19].send_after_s, now + 4000);
	assert_memory_equal(k.generation[3].way[1].from, b, 16);
	assert_int_equal(keyfile_extend(path, a, b, 32, 3, now + 5000, 1000, why, sizeof(why)), 0);
	assert_int_equal(keyfile_read(path, &more, why, sizeof(why)), 0);
	assert_int_equal(more.n, 15); /* 8 that are due, 4 to come, 3 new */
	assert_memory_equal(&more.generation[0], &k.generation[8], sizeof(k.generation[0]));
	assert_int_equal(more.generation[14].id, k.generation[19].id + 3);
	assert_int_equal(keyfile_extend(path, a, b, 32, 60, now + 9000, 1, why, sizeof(why)),
			 -ENOSPC);
	assert_int_equal(keyfile_extend(path, a, b, 16, 1, now + 9000, 1, why, sizeof(why)),
			 -EINVAL);
	assert_int_equal(keyfile_extend(path, a, c, 32, 1, now + 9000, 1, why, sizeof(why)),
			 -EINVAL);
	assert_int_equal(keyfile_extend(path, a, b, 32, 1, now, 1, why, sizeof(why)), -EINVAL);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(keyfile_read(path, &more, why, sizeof(why)), -EPERM);
	assert_int_equal(keyfile_extend(path, a, b, 32, 1, now + 9000, 1, why, sizeof(why)),
			 -EPERM);
	assert_int_equal(keyfile_read(in("none"), &more, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "none"));
}

/* ---- what was used ---- */

static void what_was_used_is_refused_for_ever(void **state)
{
	const char *path = in("t.used");
	struct rekey_seen seen[KEYFILE_MAX];
	struct keyfile k;
	char why[256], text[512];
	FILE *f;

	(void)state;
	assert_int_equal(parse(HEAD GOOD GEN("9", T) WAY(B, A, "0x300", K3, L3)
				       WAY(A, B, "0x301", K4, L4),
			       &k, why),
			 0);
	assert_int_equal(used_look(path, &k, 0, seen), 0);
	assert_false(seen[0].used_in || seen[0].used_out || seen[1].used_in);
	assert_int_equal(used_record(path, &k.generation[0], false, &k.generation[0].way[1]), 0);
	assert_int_equal(used_record(path, &k.generation[0], false, &k.generation[0].way[1]),
			 -EEXIST);
	assert_int_equal(used_look(path, &k, 0, seen), 0);
	assert_true(seen[0].used_in && !seen[0].used_out && !seen[1].used_in);
	assert_int_equal(used_record(path, &k.generation[0], true, &k.generation[0].way[0]), 0);
	/* other keys under this id; these keys under another */
	assert_int_equal(used_record(path, &k.generation[0], true, &k.generation[1].way[0]),
			 -EEXIST);
	assert_int_equal(used_record(path, &k.generation[1], true, &k.generation[0].way[0]),
			 -EEXIST);
	assert_int_equal(used_record(path, &k.generation[1], false, &k.generation[1].way[0]), 0);
	assert_int_equal(used_withdraw(path, &k.generation[0], true, &k.generation[0].way[0]),
			 -ENOENT);
	assert_int_equal(used_withdraw(path, &k.generation[1], false, &k.generation[1].way[0]), 0);
	assert_int_equal(used_look(path, &k, 0, seen), 0);
	assert_true(seen[0].used_in && seen[0].used_out && !seen[1].used_in);
	/* no key is in it; a line that a crash cut is not there; any other damage is told */
	f = fopen(path, "r+");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	assert_null(strstr(text, K1));
	assert_null(strstr(text, K2));
	assert_int_equal(strncmp(text, "7 in ", 5), 0);
	fputs("9 in 0011", f);
	fclose(f);
	assert_int_equal(used_look(path, &k, 0, seen), 0);
	assert_false(seen[1].used_in);
	assert_int_equal(used_record(path, &k.generation[1], false, &k.generation[1].way[0]), 0);
	assert_int_equal(used_look(path, &k, 0, seen), 0);
	assert_true(seen[1].used_in);
	f = fopen(path, "a");
	assert_non_null(f);
	fputs("nonsense\n", f);
	fclose(f);
	assert_int_equal(used_look(path, &k, 0, seen), -EBADMSG);
	assert_int_equal(used_record(path, &k.generation[1], true, &k.generation[1].way[1]),
			 -EBADMSG);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(in("made"));
	unlink(in("t.used"));
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_digest_is_sha_256),
		cmocka_unit_test(a_good_file_is_understood),
		cmocka_unit_test(a_bad_file_is_refused_with_its_line_and_no_key),
		cmocka_unit_test(any_cut_of_a_good_file_is_refused_or_shorter),
		cmocka_unit_test(a_file_is_made_and_grows),
		cmocka_unit_test(what_was_used_is_refused_for_ever),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
