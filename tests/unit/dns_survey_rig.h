/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_survey_rig.h - a survey of one name without a network, and samples for it
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dns/survey_own.h"
#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/conf/config.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define S	 UINT64_C(1000000000)

static inline struct dns_address address(const char *text)
{
	struct dns_address a = {0};
	uint16_t port = 0;

	assert_int_equal(ip_parse(text, a.ip, &port), 0);
	a.family = ip_family(a.ip);
	return a;
}

static inline struct conf_server server(const char *ip, uint16_t port)
{
	struct conf_server c = {.transport = CONF_UDP, .port = port};
	uint16_t none = 0;

	assert_int_equal(ip_parse(ip, c.address.ip, &none), 0);
	c.address.family = ip_family(c.address.ip);
	snprintf(c.text, sizeof(c.text), "%s:%u", ip, port);
	return c;
}

struct rig {
	struct loop *loop;
	struct conf_dns conf;
	struct dns_wanted wanted;
	struct dns_survey_settings set;
	struct dns_survey *s;
};

static inline void rig_begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	assert_int_equal(loop_make(&r->loop), 0);
	r->conf.samples = 3;
	r->conf.timeout_ms = 100;
	r->wanted.ask_a = true;
	r->wanted.ttl = 60;
	r->wanted.old[r->wanted.n_old++] = address("203.0.113.10");
	r->wanted.fresh[r->wanted.n_fresh++] = address("198.51.100.3");
	r->wanted.fresh[r->wanted.n_fresh++] = address("198.51.100.4");
	r->set = (struct dns_survey_settings){.conf = &r->conf,
					      .wanted = &r->wanted,
					      .name = "api.example.test",
					      .tries = 1,
					      .resolv_conf = "/nonexistent/resolv.conf"};
}

static inline void rig_make(struct rig *r)
{
	assert_int_equal(dns_survey_make(r->loop, &r->set, &r->s), 0);
}

static inline void rig_end(struct rig *r)
{
	dns_survey_free(r->s);
	loop_free(r->loop);
}

static inline struct dns_sample sample(uint64_t at, enum dns_value value, uint32_t ttl)
{
	return (struct dns_sample){.at = at,
				   .type = DNS_A,
				   .outcome = DNS_ANSWERED,
				   .aa = true,
				   .ede = -1,
				   .value = value,
				   .ttl = ttl,
				   .polled = true,
				   .n_addresses = 1,
				   .address = {value == DNS_VALUE_OLD ? address("203.0.113.10")
								      : address("198.51.100.3")}};
}
