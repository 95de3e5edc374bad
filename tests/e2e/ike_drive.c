/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ike_drive.c - wg/charon.h from the command line, for 95-ike
 *
 *   ike_drive SOCKET load NAME IF_ID KEY=VALUE…   local remote local_id remote_id psk certificate
 *                                                 key ca proposal esp dpd_ms ike_ms child_ms
 *   ike_drive SOCKET list|rekey|unload NAME
 *   ike_drive SOCKET initiate|terminate NAME MS
 *   ike_drive SOCKET list-later NAME    lists when a line comes on stdin
 *   ike_drive SOCKET follow MS          events, one a line
 *
 * Exits 0; or 1 with "ECONNREFUSED: words".
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/ip.h"
#include "userspace/conf/config.h"
#include "wg/charon.h"

#define SAS 8

static char why[512];

static int say(int result)
{
	if (result >= 0) {
		printf("%d\n", result);
		return 0;
	}
	printf("%s: %s\n", strerrorname_np(-result), why);
	return 1;
}

static bool text_key(struct conf_tunnel *t, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *to;
		size_t size;
	} keys[] = {
		{"remote", t->ike.remote, sizeof(t->ike.remote)},
		{"local_id", t->ike.local_id, sizeof(t->ike.local_id)},
		{"remote_id", t->ike.remote_id, sizeof(t->ike.remote_id)},
		{"psk", t->ike.psk_file, sizeof(t->ike.psk_file)},
		{"certificate", t->ike.certificate_file, sizeof(t->ike.certificate_file)},
		{"key", t->ike.private_key_file, sizeof(t->ike.private_key_file)},
		{"ca", t->ike.ca_file, sizeof(t->ike.ca_file)},
		{"proposal", t->ike.proposals[0].text, sizeof(t->ike.proposals[0].text)},
		{"esp", t->ike.esp_proposals[0].text, sizeof(t->ike.esp_proposals[0].text)},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(key, keys[i].key)) {
			snprintf(keys[i].to, keys[i].size, "%s", value);
			return true;
		}
	return false;
}

static bool set(struct conf_tunnel *t, char *argument)
{
	char *value = strchr(argument, '=');

	if (!value)
		return false;
	*value++ = '\0';
	if (!strcmp(argument, "dpd_ms"))
		t->ike.dpd_ms = strtoull(value, NULL, 10);
	else if (!strcmp(argument, "ike_ms"))
		t->ike.ike_lifetime_ms = strtoull(value, NULL, 10);
	else if (!strcmp(argument, "child_ms"))
		t->ike.lifetime_ms = strtoull(value, NULL, 10);
	else if (!strcmp(argument, "local")) {
		uint16_t port;

		if (ip_parse(value, t->ike.local.ip, &port))
			return false;
		t->ike.local.family = ip_family(t->ike.local.ip);
	} else if (!text_key(t, argument, value))
		return false;
	t->ike.n_proposals = t->ike.proposals[0].text[0] != 0;
	t->ike.n_esp_proposals = t->ike.esp_proposals[0].text[0] != 0;
	return true;
}

static int load(struct charon *c, int argc, char **argv)
{
	struct conf_tunnel *t = calloc(1, sizeof(*t));
	int result = 0;

	if (!t)
		return 1;
	t->ike.given = true;
	for (int i = 2; i < argc; i++)
		if (!set(t, argv[i])) {
			printf("what is %s?\n", argv[i]);
			free(t);
			return 1;
		}
	result = charon_load(c, t, argv[0], (uint32_t)strtoul(argv[1], NULL, 0), why, sizeof(why));
	free(t);
	return say(result);
}

static int list(struct charon *c, const char *name)
{
	static struct charon_sa sa[SAS];
	int n = charon_list(c, name, sa, SAS, why, sizeof(why));

	if (n < 0)
		return say(n);
	for (int i = 0; i < n; i++) {
		printf("ike %s %s %s %s %s\n", sa[i].name, sa[i].state, sa[i].local, sa[i].remote,
		       sa[i].remote_id);
		for (unsigned int k = 0; k < sa[i].n_children; k++) {
			const struct charon_child *d = &sa[i].child[k];

			printf("child %s %s in %08x %llu bytes %llu packets out %08x %llu bytes "
			       "%llu packets if_id %u %s rekey %llu life %llu\n",
			       d->name, d->state, d->spi_in, (unsigned long long)d->bytes_in,
			       (unsigned long long)d->packets_in, d->spi_out,
			       (unsigned long long)d->bytes_out, (unsigned long long)d->packets_out,
			       d->if_id, d->cipher, (unsigned long long)d->rekey_s,
			       (unsigned long long)d->life_s);
		}
	}
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int follow(struct charon *c, uint64_t ms)
{
	uint64_t end = now_ms() + ms;
	struct charon_event e;
	int n = charon_follow(c);

	if (n < 0)
		return say(n);
	printf("following\n");
	fflush(stdout);
	while (now_ms() < end) {
		struct pollfd p = {.fd = charon_fd(c), .events = POLLIN};

		poll(&p, 1, 100);
		while ((n = charon_event(c, &e)) > 0) {
			printf("%s %s %s\n", e.kind, e.name, e.up ? "up" : "down");
			fflush(stdout);
		}
		if (n < 0)
			return say(n);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct charon *c;
	char line[8];
	uint64_t ms;
	int result;

	if (argc < 4)
		return 2;
	result = charon_open(argv[1], &c, why, sizeof(why));
	if (result)
		return say(result);
	ms = strtoull(argv[argc - 1], NULL, 10);
	if (!strcmp(argv[2], "load") && argc > 4)
		result = load(c, argc - 3, argv + 3);
	else if (!strcmp(argv[2], "list"))
		result = list(c, argv[3]);
	else if (!strcmp(argv[2], "list-later")) {
		printf("open\n");
		fflush(stdout);
		result = fgets(line, sizeof(line), stdin) ? list(c, argv[3]) : 2;
	} else if (!strcmp(argv[2], "rekey"))
		result = say(charon_rekey(c, argv[3], why, sizeof(why)));
	else if (!strcmp(argv[2], "unload"))
		result = say(charon_unload(c, argv[3], why, sizeof(why)));
	else if (!strcmp(argv[2], "initiate"))
		result = say(charon_initiate(c, argv[3], ms * 1000000, why, sizeof(why)));
	else if (!strcmp(argv[2], "terminate"))
		result = say(charon_terminate(c, argv[3], ms * 1000000, why, sizeof(why)));
	else if (!strcmp(argv[2], "follow"))
		result = follow(c, ms);
	else
		result = 2;
	charon_close(c);
	return result;
}
