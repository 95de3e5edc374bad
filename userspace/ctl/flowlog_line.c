/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog_line.c - a flow as a line of JSON (flowlog.h says what is in it)
 *
 * By hand, for thousands may end in a second. No text in it needs an escape: addresses, numbers,
 * and names of the configuration, of which what JSON would not take as it is becomes '_'.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "userspace/base/text.h"
#include "userspace/ctl/flowlog_inner.h"

#define SECOND 1000000000ull

static const char *const ended_names[] = {
	[FLOWLOG_UNKNOWN] = "unknown",
	[FLOWLOG_CLIENT_FIN] = "client-fin",
	[FLOWLOG_BACKEND_FIN] = "backend-fin",
	[FLOWLOG_CLIENT_RST] = "client-rst",
	[FLOWLOG_BACKEND_RST] = "backend-rst",
	[FLOWLOG_REFUSED] = "refused",
	[FLOWLOG_UNANSWERED] = "unanswered",
	[FLOWLOG_SILENT] = "silent",
	[FLOWLOG_CUT] = "cut",
	[FLOWLOG_ABANDONED] = "abandoned",
	[FLOWLOG_DETACHED] = "detached",
};

/* RFC 3339, in UTC, to the millisecond. */
static const char *stamp(uint64_t real, char ret[40])
{
	time_t seconds = (time_t)(real / SECOND);
	struct tm tm;
	size_t n;

	n = strftime(ret, 40, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
	snprintf(ret + n, 40 - n, ".%03uZ", (unsigned int)(real % SECOND / 1000000));
	return ret;
}

static const char *plain(const char *name, char ret[SHIFT_NAME + 1])
{
	size_t n = strnlen(name, SHIFT_NAME);

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];

		ret[i] = c < 0x20 || c >= 0x7f || c == '"' || c == '\\' ? '_' : name[i];
	}
	ret[n] = '\0';
	return ret;
}

static uint64_t start_of(const struct shift_flow *f, const struct flowlog_clock *c)
{
	uint64_t age = c->mono > f->born ? c->mono - f->born : 0;

	return c->real > age ? c->real - age : 0;
}

static const char *end_text(const struct flowlog_entry *e, const struct flowlog_clock *c,
			    uint64_t start, char ret[40])
{
	uint64_t quiet = (uint64_t)e->v->quiet * (SECOND << SHIFT_TICK_SHIFT) / (c->hz ? c->hz : 1);
	uint64_t end = c->real > quiet ? c->real - quiet : 0;
	char at[40];

	if (!e->v->end_known)
		return "null";
	snprintf(ret, 40, "\"%s\"", stamp(end > start ? end : start, at));
	return ret;
}

static const char *listen_text(const struct shift_listen *l, char ret[72])
{
	char at[64];

	if (!l || !(l->flags & SHIFT_LISTEN_USED))
		return "null";
	snprintf(ret, 72, "\"%s\"", text_address(l->address, l->port, at));
	return ret;
}

size_t flowlog_line(const struct flowlog_entry *e, const struct flowlog_clock *c,
		    char ret[FLOWLOG_LINE])
{
	const struct shift_flow *f = e->f;
	const struct shift_target *t = e->t;
	char service[SHIFT_NAME + 1], backend[SHIFT_NAME + 1], from[40], to[40], listen[72];
	char client[64], nat[64], address[64];
	uint64_t start = start_of(f, c);
	int n = snprintf(
		ret, FLOWLOG_LINE,
		"{\"schema\":1,\"flow\":\"%u.%u.%u\",\"service\":\"%s\",\"protocol\":\"%s\","
		"\"client\":\"%s\",\"client_port\":%u,\"listen\":%s,\"nat\":\"%s\",\"nat_port\":%u,"
		"\"backend\":\"%s\",\"backend_address\":\"%s\",\"start\":\"%s\",\"end\":%s,"
		"\"bytes_up\":%llu,\"bytes_down\":%llu,\"ended\":\"%s\",\"epoch\":%llu}\n",
		e->map, e->index, f->generation, plain(e->service, service),
		f->protocol == IPPROTO_UDP ? "udp" : "tcp", text_address(f->client, 0, client),
		(unsigned int)ntohs(f->client_port), listen_text(e->l, listen),
		text_address(t->nat, 0, nat), t->port_lo + e->index, plain(e->backend, backend),
		text_address(t->address, t->port, address), stamp(start, from),
		end_text(e, c, start, to), (unsigned long long)f->bytes_up,
		(unsigned long long)f->bytes_down, ended_names[e->v->ended],
		(unsigned long long)f->epoch);

	return n < 0 || n >= FLOWLOG_LINE ? 0 : (size_t)n;
}

size_t flowlog_lost_line(uint64_t lost, uint64_t from_real, uint64_t to_real,
			 char ret[FLOWLOG_LINE])
{
	char from[40], to[40];

	return (size_t)snprintf(
		ret, FLOWLOG_LINE, "{\"schema\":1,\"lost\":%llu,\"from\":\"%s\",\"to\":\"%s\"}\n",
		(unsigned long long)lost, stamp(from_real, from), stamp(to_real, to));
}

bool flowlog_parse(const char *line, uint32_t *ret_map, uint32_t *ret_index,
		   uint32_t *ret_generation)
{
	return sscanf(line, "{\"schema\":1,\"flow\":\"%u.%u.%u\",", ret_map, ret_index,
		      ret_generation) == 3;
}
