/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_netlink.c - whatever the kernel may say of a WireGuard device, and what follows from it
 *
 *   clang -fsanitize=fuzzer,address,undefined -g -O1 -D_GNU_SOURCE -I. tests/fuzz/fuzz_netlink.c \
 *           wg/wireguard*.c userspace/base/{key,file,ip,text}.c -lmnl
 *   ./a.out -max_len=4096 CORPUS
 *
 * The first byte says which parser; the second, where the input is cut into two reads. What was
 * understood must make sense, must differ from nothing when it is wanted as it is, and its steps
 * must fit into messages.
 */
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "wg/wireguard_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FAMILY 0x1c

static int count(struct nlmsghdr *h, void *arg)
{
	(void)arg;
	if (h->nlmsg_len > WG_MESSAGE)
		abort();
	return 0;
}

static void check_steps(const struct wg_device *want, const struct wg_device *have, bool none)
{
	static const uint8_t throwaway[KEY_SIZE] = {1};
	struct wg_delta d;
	char text[256];

	if (wg_diff(want, have, &d))
		return; /* told twice */
	if (none && d.n)
		abort();
	for (size_t i = 0; i < d.n; i++)
		if (strlen(wg_step_text(&d.steps[i], text, sizeof(text))) >= sizeof(text))
			abort();
	if (wg_write(&d, FAMILY, throwaway, count, NULL))
		abort();
	wg_delta_free(&d);
}

static void check_device(const struct wg_device *d)
{
	struct wg_device nothing = {.ifindex = d->ifindex};

	if (memchr(d->name, '\0', sizeof(d->name)) == NULL)
		abort();
	for (size_t i = 0; i < d->n_peers; i++)
		for (size_t k = 0; k < d->peers[i].n_allowed; k++) {
			const struct wg_network *n = &d->peers[i].allowed[k];

			if (n->family == 4 ? n->prefix > 32 : n->family != 6 || n->prefix > 128)
				abort();
		}
	check_steps(d, d, true);
	check_steps(d, &nothing, false);
	check_steps(&nothing, d, false);
}

/* A copy of its own, aligned as the socket's buffer is, and with nothing readable behind it. */
static int parse(const uint8_t *data, size_t size, bool one, struct wg_parse *s)
{
	void *copy = malloc(size ? size : 1);
	int err;

	if (!copy)
		return -1;
	memcpy(copy, data, size);
	err = one ? wg_parse(copy, size, s) : wg_parse_answer(copy, size, s);
	free(copy);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wg_parse s = {.family = FAMILY, .seq = 1};
	uint16_t family = 0;
	size_t cut;
	void *copy;

	if (size < 2)
		return 0;
	cut = size < 2u + data[1] * 4u ? size - 2 : data[1] * 4u;
	if (data[0] % 4 == 3) {
		copy = malloc(size > 2 ? size - 2 : 1);
		if (copy) {
			memcpy(copy, data + 2, size - 2);
			wg_parse_family(copy, size - 2, 1, &family);
		}
		free(copy);
		return 0;
	}
	if (parse(data + 2, cut, data[0] & 1, &s) >= 0)
		parse(data + 2 + cut, size - 2 - cut, data[0] & 1, &s);
	check_device(&s.device);
	if (strlen(s.why) >= sizeof(s.why))
		abort();
	wg_free(&s.device);
	return 0;
}
