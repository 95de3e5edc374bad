/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `traffic hold` and `traffic udp`: conversations with `traffic serve` that stay.
 *
 * TCP, the checked protocol. The server opens with "SHIFT <arm>\n"; the client names a seed,
 * "SEED <16 hex digits>\n". Then frames: one type byte, three of length (big-endian), content.
 * Every 'D' frame of n bytes, the next n of the stream seed ^ SEED_UP, is answered by one of n
 * bytes of seed ^ SEED_DOWN. An 'E' frame carries the server's complaint and is its last. Either
 * side ends with a FIN between frames.
 *
 * UDP, without state on the server: a datagram is struct datagram and then bytes of seed ^ SEED_UP
 * (seed ^ SEED_DOWN in the answer) from offset sequence * MAX_DATAGRAM; the answer is as long as
 * the question and names the arm. An answer that comes after it was counted as lost is ignored.
 */
#include "tools/traffic.h"
#include "tools/traffic_wire.h"

#include <endian.h>
#include <string.h>

/* Uses of struct conn: body_from counts the stream, body_at/body_len the frame under way. */

static bool send_block(struct client *cl, struct conn *c)
{
	uint8_t out[32 + FRAME_HEAD + MAX_BLOCK];
	size_t n = 0, len = cl->opt->block;

	if (c->requests == 0)
		n = (size_t)snprintf((char *)out, 32, "SEED %016llx\n",
				     (unsigned long long)c->seed);
	frame_head(out + n, 'D', (uint32_t)len);
	bytes_fill(c->seed ^ SEED_UP, c->body_from, out + n + FRAME_HEAD, len);
	c->in_body = false;
	c->head_len = 0;
	return conn_send(cl, c, out, n + FRAME_HEAD + len);
}

/* Nothing to say before the server's hello. */
static bool hold_connected(struct client *cl, struct conn *c)
{
	(void)cl;
	(void)c;
	return true;
}

static bool hello(struct client *cl, struct conn *c)
{
	if (strncmp(c->head, "SHIFT ", 6) != 0)
		return conn_fail(cl, c, FAULT_PROTOCOL, "no SHIFT in the greeting");
	if (!conn_arm(cl, c, c->head + 6, c->head_len - 7))
		return false;
	return send_block(cl, c);
}

/* The head of a frame is there; a complaint is read as far as it has arrived. */
static bool frame_begun(struct client *cl, struct conn *c, const char *rest, size_t n)
{
	const uint8_t *head = (const uint8_t *)c->head;
	uint32_t len = frame_len(head);

	if (head[0] == 'E')
		return conn_fail(cl, c, FAULT_WRONG_BYTE, "the server says: %.*s",
				 (int)(n < 80 ? n : 80), rest);
	if (head[0] != 'D' || len != cl->opt->block)
		return conn_fail(cl, c, FAULT_PROTOCOL, "frame type 0x%02x of %u bytes", head[0],
				 len);
	c->in_body = true;
	c->body_len = len;
	c->body_at = 0;
	return true;
}

static bool hold_data(struct client *cl, struct conn *c, const char *buf, size_t n)
{
	ssize_t bad;

	while (n && !c->in_body) {
		if (c->head_len == ARM_NAME + 8)
			return conn_fail(cl, c, FAULT_PROTOCOL, "the greeting is too long");
		c->head[c->head_len++] = *buf++;
		n--;
		if (c->arm < 0) {
			if (c->head[c->head_len - 1] == '\n')
				return n ? conn_fail(cl, c, FAULT_PROTOCOL, "talks on unasked")
					 : hello(cl, c);
		} else if (c->head_len == FRAME_HEAD && !frame_begun(cl, c, buf, n)) {
			return false;
		}
	}
	if (!n)
		return true;
	if (n > c->body_len - c->body_at)
		return conn_fail(cl, c, FAULT_PROTOCOL, "more bytes than announced");
	bad = bytes_check(c->seed ^ SEED_DOWN, c->body_from + c->body_at, buf, n);
	if (bad >= 0)
		return conn_fail(cl, c, FAULT_WRONG_BYTE, "at byte %llu from the server",
				 (unsigned long long)(c->body_from + c->body_at) +
					 (unsigned long long)bad);
	c->body_at += n;
	if (c->body_at < c->body_len)
		return true;
	c->body_from += c->body_len;
	c->in_body = false;
	return conn_answered(cl, c, c->body_len);
}

int hold_main(const struct options *opt)
{
	static const struct talk talk = {
		.connected = hold_connected, .data = hold_data, .wake = send_block};

	return client_run(opt, &talk);
}

/* ---- UDP: body_from counts the datagrams sent ---- */

static bool send_datagram(struct client *cl, struct conn *c)
{
	struct {
		struct datagram head;
		uint8_t bytes[MAX_DATAGRAM];
	} out = {.head = {.magic = DATAGRAM_MAGIC}};

	c->body_from++;
	out.head.seed = htole64(c->seed);
	out.head.sequence = htole64(c->body_from);
	bytes_fill(c->seed ^ SEED_UP, c->body_from * MAX_DATAGRAM, out.bytes, cl->opt->block);
	return conn_send(cl, c, &out, sizeof(out.head) + cl->opt->block);
}

static bool udp_data(struct client *cl, struct conn *c, const char *buf, size_t n)
{
	struct datagram head;
	ssize_t bad;

	if (n < sizeof(head) || n != sizeof(head) + cl->opt->block)
		return conn_fail(cl, c, FAULT_SHORT_BODY, "a datagram of %zu bytes", n);
	memcpy(&head, buf, sizeof(head));
	if (memcmp(head.magic, DATAGRAM_MAGIC, sizeof(head.magic)) != 0 ||
	    le64toh(head.seed) != c->seed || le64toh(head.sequence) > c->body_from)
		return conn_fail(cl, c, FAULT_PROTOCOL, "the answer to another flow's question");
	bad = bytes_check(c->seed ^ SEED_DOWN, le64toh(head.sequence) * MAX_DATAGRAM,
			  buf + sizeof(head), n - sizeof(head));
	if (bad >= 0)
		return conn_fail(cl, c, FAULT_WRONG_BYTE, "at byte %zd of a datagram", bad);
	if (!conn_arm(cl, c, head.arm, strnlen(head.arm, sizeof(head.arm))))
		return false;
	if (c->phase != PHASE_TALK || le64toh(head.sequence) != c->body_from)
		return true;
	return conn_answered(cl, c, cl->opt->block);
}

int udp_main(const struct options *opt)
{
	static const struct talk talk = {.datagram = true,
					 .connected = send_datagram,
					 .data = udp_data,
					 .wake = send_datagram};

	return client_run(opt, &talk);
}
