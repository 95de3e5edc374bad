/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_plan_sizes.c - the plan's arithmetic: connections per second, memory, the uplink
 *
 * tests/golden/conf/base.yaml (three backends: aws 40 and azure 30 in IPv4, aws6 in IPv6; 40,000
 * ports) on a host with one link. Run from the root of the tree.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/conf/plan.h"

#define ETH0 2u
#define ETH1 3u

struct fixture {
	struct config *c;
	struct conf_errors errors;
	struct plan_host host;
	struct host_address address[2]; /* the NAT addresses, which are listened on too */
	struct host_link link[2];
	struct plan_load load;
	struct plan_report report;
};

static void add_link(struct fixture *f, const char *name, uint32_t ifindex, uint64_t bits)
{
	struct host_link *l = &f->link[f->host.host.n_links++];

	strcpy(l->name, name);
	l->ifindex = ifindex;
	l->up = true;
	l->bits = bits;
}

static void resolve(struct fixture *f, unsigned int backend, int family, const char *ip)
{
	struct plan_name *name = &f->host.backend[backend];
	uint32_t *to = name->to.address[name->to.n];

	to[2] = htonl(0xffff);
	assert_int_equal(inet_pton(family, ip, family == AF_INET ? &to[3] : to), 1);
	name->ifindex[name->to.n++] = ETH0;
}

static struct fixture *make(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	FILE *file = fopen("tests/golden/conf/base.yaml", "re");
	char text[16384];
	size_t size;

	assert_non_null(f);
	assert_non_null(file);
	size = fread(text, 1, sizeof(text), file);
	fclose(file);
	assert_int_equal(conf_parse("shift.yaml", text, size, &f->c, &f->errors), 0);
	f->host.host.addresses = f->address;
	f->host.host.links = f->link;
	for (unsigned int i = 0; i < 2; i++) {
		f->address[i].family = f->c->nat[i].family;
		f->address[i].ifindex = ETH0;
		memcpy(f->address[i].ip, f->c->nat[i].ip, sizeof(f->address[i].ip));
	}
	f->host.host.n_addresses = 2;
	add_link(f, "eth0", ETH0, 10000000000);
	resolve(f, 0, AF_INET, "52.1.2.3");
	resolve(f, 1, AF_INET, "20.1.2.3");
	resolve(f, 2, AF_INET6, "2001:db8:1::3");
	return f;
}

static void drop(struct fixture *f)
{
	conf_errors_free(&f->errors);
	conf_free(f->c);
	free(f);
}

static unsigned int check(struct fixture *f)
{
	return plan_check(f->c, &f->host, &f->load, 0, &f->report);
}

static void assert_near(double got, double wanted)
{
	if (got < wanted * 0.999 || got > wanted * 1.001)
		print_error("got %f, wanted %f\n", got, wanted);
	assert_true(got >= wanted * 0.999 && got <= wanted * 1.001);
}

static void forty_thousand_ports_and_a_minute_are_667_a_second(void **state)
{
	struct fixture *f = make();

	(void)state;
	check(f);
	assert_int_equal(f->report.family[1].ports, 40000);
	assert_near(f->report.family[1].capacity, 40000 / 60.0);
	assert_near(f->report.family[1].first_full, 666.67);
	/* IPv4: aws 40 and azure 30 of 70; aws has 4/7 and is full first */
	assert_near(f->report.family[0].capacity, 2 * 40000 / 60.0);
	assert_near(f->report.family[0].first_full, 40000 / 60.0 * 70 / 40);
	assert_int_equal(f->report.family[0].first, 0);
	/* connections of 20 s hold their ports that much longer */
	f->load.lifetime_ms = 20000;
	check(f);
	assert_near(f->report.family[1].capacity, 500);
	/* a second NAT address doubles it; a second address of a backend does not */
	f->load.lifetime_ms = 0;
	f->c->nat[2] = f->c->nat[1];
	f->c->n_nat = 3;
	resolve(f, 2, AF_INET6, "2001:db8:1::4");
	check(f);
	assert_near(f->report.family[1].capacity, 2 * 40000 / 60.0);
	assert_int_equal(f->report.family[1].addresses, 2);
	assert_int_equal(f->report.family[1].backends, 1);
	drop(f);
}

static void stages_are_held_against_the_rate(void **state)
{
	struct fixture *f = make();

	(void)state;
	f->load.rate = 2000;
	check(f);
	assert_int_equal(f->report.n_stages, 3);
	/* 10 %: 200 of the 667 that IPv6 takes; 12.5 %: 250; 100 %: 2,000 */
	assert_near(f->report.stage[0].ceiling, 6666.7);
	assert_near(f->report.stage[1].shifted, 250);
	assert_true(f->report.stage[0].fits && f->report.stage[1].fits);
	assert_false(f->report.stage[2].fits);
	assert_int_equal(f->report.n_findings, 1);
	assert_string_equal(
		f->report.finding[0].text,
		"100% of the stated rate is 2,000 connections/s, and backend aws6 is full "
		"at 667: the rest would stay with the old host; the last stage needs 4 "
		"IPv6 NAT addresses");
	drop(f);
}

static void memory_is_that_of_the_maps(void **state)
{
	struct fixture *f = make();
	const struct plan_memory *m = &f->report.memory;

	(void)state;
	check(f);
	/* three targets of 40,000 ports */
	assert_int_equal(m->flows, 120000);
	assert_int_equal(m->records, 120000 * 128);
	assert_int_equal(m->index, 120000 / 2 * 64);
	assert_int_equal(m->total, m->records + m->index + m->fixed);
	assert_true((double)(m->total - m->fixed) / (double)m->flows <= 160);
	f->host.host.memory = 40 << 20;
	check(f);
	assert_int_equal(f->report.n_findings, 1);
	drop(f);
}

static void shifted_traffic_crosses_the_link_twice(void **state)
{
	struct fixture *f = make();
	const struct plan_uplink *u = &f->report.uplink[0];

	(void)state;
	f->load.up = 1000000000;
	f->load.down = 3000000000;
	f->c->n_stages = 2; /* up to 12.5 % */
	check(f);
	assert_int_equal(f->report.n_uplinks, 1);
	assert_int_equal(u->in, 1375000000);
	assert_int_equal(u->out, 3125000000);
	assert_near(u->load, 0.3125);
	assert_int_equal(u->over, 0);
	/* clients on eth0, backends behind eth1: each carries its half */
	add_link(f, "eth1", ETH1, 1000000000);
	strcpy(f->c->interfaces[f->c->n_interfaces++].name, "eth1");
	for (unsigned int i = 0; i < 3; i++)
		f->host.backend[i].ifindex[0] = ETH1;
	check(f);
	assert_int_equal(u[0].in, 1000000000);
	assert_int_equal(u[0].out, 3000000000);
	assert_int_equal(u[1].in, 375000000);
	assert_int_equal(u[1].out, 125000000);
	/* a link that does not tell its speed is warned of, as is a ramp that ends at 12.5 % */
	f->link[1].bits = 0;
	check(f);
	assert_int_equal(f->report.n_findings, 2);
	f->load.link = 100000000;
	assert_int_equal(check(f), 1);
	drop(f);
}

static void bits_are_read_and_written(void **state)
{
	uint64_t bits;
	char text[32];

	(void)state;
	assert_int_equal(plan_parse_bits("2G", &bits), 0);
	assert_int_equal(bits, 2000000000);
	assert_int_equal(plan_parse_bits("1.5Mbit/s", &bits), 0);
	assert_int_equal(bits, 1500000);
	assert_int_equal(plan_parse_bits("800", &bits), 0);
	assert_int_equal(plan_parse_bits("", &bits), -EINVAL);
	assert_int_equal(plan_parse_bits("2X", &bits), -EINVAL);
	assert_int_equal(plan_parse_bits("-2G", &bits), -EINVAL);
	assert_int_equal(plan_parse_bits("2GB", &bits), -EINVAL);
	assert_int_equal(plan_parse_bits("0", &bits), -EINVAL);
	assert_int_equal(plan_parse_bits("1e300", &bits), -EINVAL);
	assert_string_equal(plan_bits(2400000000, text), "2.4 Gbit/s");
	assert_string_equal(plan_bits(10000000000, text), "10 Gbit/s");
	assert_string_equal(plan_bits(0, text), "0 bit/s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forty_thousand_ports_and_a_minute_are_667_a_second),
		cmocka_unit_test(stages_are_held_against_the_rate),
		cmocka_unit_test(memory_is_that_of_the_maps),
		cmocka_unit_test(shifted_traffic_crosses_the_link_twice),
		cmocka_unit_test(bits_are_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
