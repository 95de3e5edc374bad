/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a run saw, and how it is told.
 *
 * stdout carries one JSON object a line: one per --report interval and a last one with
 * "final":true and the details of the first failures. Every nested object is one level deep and
 * flat, so that awk can read it. Fields:
 *   t            seconds since the run began
 *   started      connections attempted, reconnections included; completed: closed in order
 *   active, active_long    open now; the second counts the long-lived ones
 *   requests, bytes        answers checked in full
 *   errors, errors_by_kind failures; each names the fate of one connection (or lost datagram)
 *   expected_resets        {"long","short"}: resets inside an --expect-reset window, no errors
 *   reset_requests         of those resets, the ones that met a question that had been sent
 *   arms         connections by the arm that answered them; arms_interval: since the last line
 *   arms_long    long-lived connections open now, by arm; arms_requests: answers by arm
 *   clients, clients_moved distinct source addresses answered; changes of a client's arm
 *   connect_us, request_us {"p50","p95","p99","max"}; request_us_interval: since the last line
 *
 * Latencies go into a histogram of 32 slots per power of two: a percentile is at most 3 % high.
 */
#include "tools/traffic.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char *const fault_names[FAULT_MAX] = {
	[FAULT_REFUSED] = "refused",
	[FAULT_RESET] = "reset",
	[FAULT_UNREACHABLE] = "unreachable",
	[FAULT_CONNECT_TIMEOUT] = "connect_timeout",
	[FAULT_ANSWER_TIMEOUT] = "answer_timeout",
	[FAULT_CLOSE_TIMEOUT] = "close_timeout",
	[FAULT_SHORT_BODY] = "short_body",
	[FAULT_CLOSED_EARLY] = "closed_early",
	[FAULT_STATUS] = "status",
	[FAULT_WRONG_BODY] = "wrong_body",
	[FAULT_WRONG_BYTE] = "wrong_byte",
	[FAULT_ARM_CHANGED] = "arm_changed",
	[FAULT_PROTOCOL] = "protocol",
	[FAULT_LOST] = "lost",
	[FAULT_LOCAL] = "local",
};

const char *fault_name(enum fault kind)
{
	return fault_names[kind];
}

static unsigned int hist_index(uint64_t us)
{
	unsigned int shift;

	if (us < 64)
		return (unsigned int)us;
	if (us >> 40)
		us = (1ULL << 40) - 1;
	shift = (unsigned int)(63 - __builtin_clzll(us)) - 5;
	return shift * 32 + (unsigned int)(us >> shift);
}

void hist_add(struct hist *h, uint64_t us)
{
	h->slot[hist_index(us)]++;
	h->count++;
	if (us > h->max)
		h->max = us;
}

/* The upper edge of the slot that holds the given share of the values. */
static uint64_t hist_percentile(const struct hist *h, double share)
{
	uint64_t want = (uint64_t)((double)h->count * share + 0.5), seen = 0;

	for (unsigned int i = 0; i < HIST_SLOTS && h->count; i++) {
		unsigned int shift = i < 64 ? 0 : i / 32 - 1;
		uint64_t edge = ((uint64_t)(i - shift * 32 + 1) << shift) - 1;

		seen += h->slot[i];
		if (seen && seen >= want)
			return edge < h->max ? edge : h->max;
	}
	return h->max;
}

static int8_t *new_map(uint32_t clients)
{
	int8_t *map = malloc(clients ? clients : 1);

	if (map)
		memset(map, -1, clients ? clients : 1);
	return map;
}

int stats_init(struct stats *st, const struct options *opt)
{
	memset(st, 0, sizeof(*st));
	st->opt = opt;
	st->began = now_us();
	st->began_real = realtime_us();
	st->last_report = st->began;
	st->map4 = new_map(opt->from4.count);
	st->map6 = new_map(opt->from6.count);
	if (!st->map4 || !st->map6)
		return -ENOMEM;
	if (opt->log) {
		st->log = fopen(opt->log, "we");
		if (!st->log)
			return -errno;
	}
	return 0;
}

void stats_free(struct stats *st)
{
	free(st->map4);
	free(st->map6);
	if (st->log)
		fclose(st->log);
}

int stats_arm(struct stats *st, const char *name, size_t len)
{
	if (len == 0 || len >= ARM_NAME)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			return -EINVAL;
	for (unsigned int i = 0; i < st->n_arms; i++)
		if (strlen(st->arms[i].name) == len && memcmp(st->arms[i].name, name, len) == 0)
			return (int)i;
	if (st->n_arms == MAX_ARMS)
		return -ENOSPC;
	memcpy(st->arms[st->n_arms].name, name, len);
	return (int)st->n_arms++;
}

void stats_fault(struct stats *st, enum fault kind, const char *text)
{
	st->faults[kind]++;
	st->errors++;
	if (st->n_details == st->opt->details)
		return;
	snprintf(st->details[st->n_details++], DETAIL_TEXT, "%.3fs %s: %s",
		 (double)(now_us() - st->began) / 1e6, fault_names[kind], text);
	fprintf(stderr, "traffic: %s\n", st->details[st->n_details - 1]);
}

void stats_seen(struct stats *st, int family, uint32_t client, int arm)
{
	const struct source *src = family == AF_INET ? &st->opt->from4 : &st->opt->from6;
	int8_t *map = family == AF_INET ? st->map4 : st->map6;

	if (client >= src->count)
		return;
	if (map[client] >= 0 && map[client] != arm)
		st->clients_moved++;
	map[client] = (int8_t)arm;
}

/* --log: start (µs since 1970), µs until now, event, short|long, source, port, arm; by tabs. */
void stats_log(struct stats *st, uint64_t start, const char *event, bool lasting,
	       const union endpoint *from, const char *arm)
{
	char host[ENDPOINT_TEXT];

	if (!st->log)
		return;
	endpoint_format(from, false, host);
	fprintf(st->log, "%llu\t%llu\t%s\t%s\t%s\t%u\t%s\n",
		(unsigned long long)(st->began_real + (start - st->began)),
		(unsigned long long)(now_us() - start), event, lasting ? "long" : "short", host,
		(unsigned int)ntohs(from->sa.sa_family == AF_INET6 ? from->in6.sin6_port
								   : from->in.sin_port),
		arm);
}

static uint64_t clients_seen(const struct stats *st)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < st->opt->from4.count; i++)
		n += st->map4[i] >= 0;
	for (uint32_t i = 0; i < st->opt->from6.count; i++)
		n += st->map6[i] >= 0;
	return n;
}

static void print_hist(const char *name, const struct hist *h)
{
	printf(",\"%s\":{\"p50\":%llu,\"p95\":%llu,\"p99\":%llu,\"max\":%llu}", name,
	       (unsigned long long)hist_percentile(h, 0.50),
	       (unsigned long long)hist_percentile(h, 0.95),
	       (unsigned long long)hist_percentile(h, 0.99), (unsigned long long)h->max);
}

enum arm_field { ARM_CONNECTIONS, ARM_INTERVAL, ARM_LASTING, ARM_REQUESTS };

static void print_arms(const struct stats *st, const char *name, enum arm_field field)
{
	printf(",\"%s\":{", name);
	for (unsigned int i = 0; i < st->n_arms; i++) {
		const struct arm *a = &st->arms[i];
		uint64_t v = field == ARM_CONNECTIONS ? a->connections
			     : field == ARM_INTERVAL  ? a->connections - a->connections_before
			     : field == ARM_LASTING   ? a->lasting
						      : a->requests;

		printf("%s\"%s\":%llu", i ? "," : "", a->name, (unsigned long long)v);
	}
	printf("}");
}

static void print_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(isprint((unsigned char)*text) ? *text : '?');
	}
	putchar('"');
}

static void print_faults(const struct stats *st)
{
	const char *comma = "";

	printf(",\"errors\":%llu,\"errors_by_kind\":{", (unsigned long long)st->errors);
	for (int i = 0; i < FAULT_MAX; i++) {
		if (!st->faults[i])
			continue;
		printf("%s\"%s\":%llu", comma, fault_names[i], (unsigned long long)st->faults[i]);
		comma = ",";
	}
	printf("}");
}

static void print_end(const struct stats *st)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	printf(",\"cpu_s\":%.2f,\"details\":[",
	       (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	for (unsigned int i = 0; i < st->n_details; i++) {
		if (i)
			putchar(',');
		print_text(st->details[i]);
	}
	printf("]");
}

void stats_report(struct stats *st, bool final)
{
	uint64_t now = now_us();
	double since = (double)(now - st->last_report) / 1e6;

	printf("{\"schema\":1,\"verb\":\"%s\",\"final\":%s,\"t\":%.3f", st->opt->verb,
	       final ? "true" : "false", (double)(now - st->began) / 1e6);
	printf(",\"started\":%llu,\"completed\":%llu,\"active\":%llu,\"active_long\":%llu",
	       (unsigned long long)st->started, (unsigned long long)st->completed,
	       (unsigned long long)st->active, (unsigned long long)st->active_lasting);
	printf(",\"requests\":%llu,\"bytes\":%llu", (unsigned long long)st->requests,
	       (unsigned long long)st->bytes);
	print_faults(st);
	printf(",\"expected_resets\":{\"long\":%llu,\"short\":%llu},\"reconnects\":%llu",
	       (unsigned long long)st->expected_lasting, (unsigned long long)st->expected_short,
	       (unsigned long long)st->reconnects);
	printf(",\"reset_requests\":%llu", (unsigned long long)st->reset_requests);
	printf(",\"slow_connects\":%llu", (unsigned long long)st->slow_connects);
	print_arms(st, "arms", ARM_CONNECTIONS);
	print_arms(st, "arms_interval", ARM_INTERVAL);
	print_arms(st, "arms_long", ARM_LASTING);
	print_arms(st, "arms_requests", ARM_REQUESTS);
	printf(",\"interval\":{\"s\":%.3f,\"started\":%llu,\"requests\":%llu,\"errors\":%llu}",
	       since, (unsigned long long)(st->started - st->started_before),
	       (unsigned long long)(st->requests - st->requests_before),
	       (unsigned long long)(st->errors - st->errors_before));
	printf(",\"clients\":%llu,\"clients_moved\":%llu", (unsigned long long)clients_seen(st),
	       (unsigned long long)st->clients_moved);
	print_hist("connect_us", &st->connect);
	print_hist("request_us", &st->request);
	print_hist("request_us_interval", &st->request_interval);
	if (final)
		print_end(st);
	printf("}\n");
	fflush(stdout);
	if (st->log)
		fflush(st->log);
	for (unsigned int i = 0; i < st->n_arms; i++)
		st->arms[i].connections_before = st->arms[i].connections;
	st->started_before = st->started;
	st->requests_before = st->requests;
	st->errors_before = st->errors;
	st->last_report = now;
	memset(&st->request_interval, 0, sizeof(st->request_interval));
}

static void write_family(const struct stats *st, const struct source *src, const int8_t *map,
			 FILE *f)
{
	char host[ENDPOINT_TEXT];
	union endpoint ep;

	for (uint32_t i = 0; i < src->count; i++) {
		if (map[i] < 0)
			continue;
		source_address(src, i, 0, &ep);
		endpoint_format(&ep, false, host);
		fprintf(f, "%s %s\n", host, st->arms[map[i]].name);
	}
}

int stats_write_map(const struct stats *st)
{
	FILE *f = fopen(st->opt->map, "we");
	bool bad;

	if (!f)
		return -errno;
	write_family(st, &st->opt->from4, st->map4, f);
	write_family(st, &st->opt->from6, st->map6, f);
	bad = ferror(f);
	return fclose(f) != 0 || bad ? -EIO : 0;
}
