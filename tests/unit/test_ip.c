/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void addresses_are_read_as_they_are_written(void **state)
{
	static const char *const same[] = {"192.0.2.7",	  "192.0.2.7:443",     "0.0.0.0",
					   "2001:db8::7", "[2001:db8::7]:443", "::1",
					   "[::1]:65535"};

	(void)state;
	for (size_t i = 0; i < COUNT(same); i++) {
		uint32_t address[4];
		uint16_t port;
		char text[64];

		assert_int_equal(ip_parse(same[i], address, &port), 0);
		assert_string_equal(text_address(address, port, text), same[i]);
	}
}

static void brackets_need_no_port(void **state)
{
	uint32_t address[4];
	uint16_t port = 1;

	(void)state;
	assert_int_equal(ip_parse("[2001:db8::7]", address, &port), 0);
	assert_int_equal(port, 0);
}

static void a_listener_may_name_its_protocol(void **state)
{
	static const struct {
		const char *text, *end;
		uint8_t protocol;
	} good[] = {
		{"192.0.2.7:443", "192.0.2.7:443", 0},
		{"192.0.2.7:443/tcp", "192.0.2.7:443", IPPROTO_TCP},
		{"192.0.2.7:443/udp", "192.0.2.7:443", IPPROTO_UDP},
		{"[2001:db8::7]:65535/udp", "[2001:db8::7]:65535", IPPROTO_UDP},
		{"[1111:1111:1111:1111:1111:1111:1111:1111]:65535/tcp",
		 "[1111:1111:1111:1111:1111:1111:1111:1111]:65535", IPPROTO_TCP},
	};
	static const char *const wrong[] = {
		"",
		"/udp",
		"192.0.2.7",
		"192.0.2.7/udp",
		"[2001:db8::7]/udp",
		"192.0.2.7:443/",
		"192.0.2.7:443/sctp",
		"192.0.2.7:443/UDP",
		"192.0.2.7:443/udp/udp",
		"192.0.2.7:443/udp ",
		"192.0.2.7:0/udp",
		"[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]:1/tcp",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		uint32_t address[4];
		uint16_t port;
		uint8_t protocol = 1;
		char text[64];

		assert_int_equal(ip_parse_listen(good[i].text, address, &port, &protocol), 0);
		assert_string_equal(text_address(address, port, text), good[i].end);
		assert_int_equal(protocol, good[i].protocol);
	}
	for (size_t i = 0; i < COUNT(wrong); i++) {
		uint32_t address[4] = {1, 2, 3, 4}, as_it_was[4] = {1, 2, 3, 4};
		uint16_t port = 5;
		uint8_t protocol = 6;

		if (ip_parse_listen(wrong[i], address, &port, &protocol) != -EINVAL)
			fail_msg("'%s' is read as a listener", wrong[i]);
		assert_memory_equal(address, as_it_was, sizeof(address));
		assert_int_equal(port, 5);
		assert_int_equal(protocol, 6);
	}
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"foo",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.256",
		"1.2.3.4:",
		"1.2.3.4:0",
		"1.2.3.4:65536",
		"1.2.3.4:8x",
		"1.2.3.4:-1",
		":80",
		"[::1",
		"[::1]x",
		"[::1]:",
		"[::1]:0",
		"::1]:80",
		"[]:80",
		"2001:db8::g",
		"1.2.3.4/24",
		" 1.2.3.4",
		"1.2.3.4 ",
		"[1.2.3.4]:x",
		"fe80::1%eth0",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		uint32_t address[4] = {1, 2, 3, 4}, as_it_was[4] = {1, 2, 3, 4};
		uint16_t port = 5;

		if (ip_parse(wrong[i], address, &port) != -EINVAL)
			fail_msg("'%s' is read as an address", wrong[i]);
		assert_memory_equal(address, as_it_was, sizeof(address));
		assert_int_equal(port, 5);
	}
}

static void networks_hold_their_addresses(void **state)
{
	static const struct {
		const char *network, *address;
		unsigned int bits;
		bool in;
	} table[] = {
		{"192.0.2.0/24", "192.0.2.255", 120, true},
		{"192.0.2.0/24", "192.0.3.0", 120, false},
		{"192.0.2.77/24", "192.0.2.1", 120, true},
		{"192.0.2.7", "192.0.2.7", 128, true},
		{"192.0.2.7", "192.0.2.6", 128, false},
		{"192.0.2.6/31", "192.0.2.7", 127, true},
		{"0.0.0.0/0", "203.0.113.1", 96, true},
		{"0.0.0.0/0", "2001:db8::1", 96, false},
		{"2001:db8::/32", "2001:db8:ffff::1", 32, true},
		{"2001:db8::/32", "2001:db9::1", 32, false},
		{"2001:db8:0:1::/64", "2001:db8:0:1:ffff::", 64, true},
		{"2001:db8:0:1::/63", "2001:db8::1", 63, true},
		{"::/0", "192.0.2.1", 0, true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		uint32_t network[4], address[4];
		unsigned int bits;
		uint16_t port;

		assert_int_equal(ip_parse_cidr(table[i].network, network, &bits), 0);
		assert_int_equal(bits, table[i].bits);
		assert_int_equal(ip_parse(table[i].address, address, &port), 0);
		if (ip_in(address, network, bits) != table[i].in)
			fail_msg("%s in %s", table[i].address, table[i].network);
	}
}

static void bits_behind_the_prefix_are_cleared(void **state)
{
	uint32_t network[4];
	unsigned int bits;
	char text[64];

	(void)state;
	assert_int_equal(ip_parse_cidr("192.0.2.77/26", network, &bits), 0);
	assert_string_equal(text_address(network, 0, text), "192.0.2.64");
	assert_int_equal(ip_parse_cidr("2001:db8:1:2:3::4/48", network, &bits), 0);
	assert_string_equal(text_address(network, 0, text), "2001:db8:1::");
}

static void what_is_no_network_is_refused(void **state)
{
	static const char *const wrong[] = {
		"192.0.2.0/",	  "192.0.2.0/33", "192.0.2.0/-1", "192.0.2/24",	    "/24",
		"2001:db8::/129", "192.0.2.0/x",  "192.0.2.0:80", "192.0.2.0/24/1", "[::]/0"};
	uint32_t network[4];
	unsigned int bits;

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		if (ip_parse_cidr(wrong[i], network, &bits) != -EINVAL)
			fail_msg("'%s' is read as a network", wrong[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_as_they_are_written),
		cmocka_unit_test(brackets_need_no_port),
		cmocka_unit_test(a_listener_may_name_its_protocol),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(networks_hold_their_addresses),
		cmocka_unit_test(bits_behind_the_prefix_are_cleared),
		cmocka_unit_test(what_is_no_network_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
