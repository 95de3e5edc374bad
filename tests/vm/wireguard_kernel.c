/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wireguard_kernel.c - wg/wireguard.h against a real kernel and against wg(8); in the machine of
 * tools/vm:
 *
 *   tools/vm run 6.1 --modules wireguard -- build/tests/vm_wireguard [SECONDS [flood]]
 *
 * SECONDS for each flood; `flood`: nothing else. First a device of 1,000 peers is sent, read and
 * changed. Then two namespaces are joined by a tunnel of 201 allowed IPs, and devices are applied
 * under a flood of echoes. Loss is what these tell and, exact, the device's error counters say:
 * tx_errors is a packet that belonged to no peer, rx_errors one whose sender was not allowed. A
 * change that must lose packets is made, too, to see that they are seen.
 *
 * Longer than a file should be because it is one program that runs from one file in that machine:
 * both parts tell by the same few helpers, and what is in them belongs nowhere else.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "wg/wireguard.h"

#define PEERS 1000
#define EACH  5

static unsigned int passed, failed;

static void check(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void check(bool good, const char *format, ...)
{
	va_list args;

	printf(good ? "ok - " : "not ok - ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	*(good ? &passed : &failed) += 1;
}

/* What a command prints, without the last newline. */
static const char *told(const char *command)
{
	static char text[1 << 20];
	FILE *from = popen(command, "r");
	size_t n = from ? fread(text, 1, sizeof(text) - 1, from) : 0;

	if (from)
		pclose(from);
	while (n && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	return text;
}

static void must(const char *command)
{
	if (!system(command))
		return;
	printf("not ok - %s\n%u passed, %u failed, 0 skipped\n", command, passed, failed + 1);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* How many steps it took, or −errno. */
static int apply(const struct wg_device *want)
{
	struct wg_device have;
	struct wg_delta d;
	char why[128];
	int err = wg_read(want->name, &have), n;

	if (err)
		return err;
	err = wg_diff(want, &have, &d);
	n = (int)d.n;
	if (!err)
		err = wg_send(&d, why, sizeof(why));
	wg_delta_free(&d);
	wg_free(&have);
	return err ? err : n;
}

static int steps_between(const struct wg_device *want, const struct wg_device *have)
{
	struct wg_delta d;
	int err = wg_diff(want, have, &d), n = (int)d.n;

	wg_delta_free(&d);
	return err ? err : n;
}

/* ---- many peers ---- */

static void some_key(uint8_t key[KEY_SIZE], unsigned int n)
{
	for (unsigned int i = 0; i < KEY_SIZE; i++)
		key[i] = (uint8_t)(n * 2654435761u >> (i % 4 * 8)) ^ (uint8_t)(i * 37);
	key[31] = 0x40 | (key[31] & 0x3f);
}

static void make_many(struct wg_device *d)
{
	*d = (struct wg_device){.name = "wg-many", .set = WG_PRIVATE_KEY | WG_PORT | WG_FWMARK};
	d->port = 7777;
	d->fwmark = 0x51;
	some_key(d->private_key, 99999); /* not clamped: bits at both ends */
	if (wg_make_peers(d, PEERS))
		exit(1);
	for (unsigned int i = 0; i < PEERS; i++) {
		struct wg_peer *p = &d->peers[i];

		some_key(p->public_key, i + 1);
		some_key(p->psk, i + 5000);
		p->set = WG_PSK | WG_ENDPOINT | WG_KEEPALIVE;
		p->keepalive = (uint16_t)(i % 3 * 25);
		p->endpoint = (struct wg_endpoint){.family = 4, .port = 51820};
		ip_map(htonl(0xc6120001 + i), p->endpoint.ip);
		if (wg_make_allowed(p, EACH))
			exit(1);
		for (unsigned int k = 0; k < EACH; k++) {
			struct wg_network *n = &p->allowed[k];

			n->family = k & 1 ? 6 : 4;
			n->prefix = k & 1 ? 64 : 24;
			ip_map(htonl((10u << 24) + ((k * PEERS + i) << 8) + 9), n->ip);
			if (k & 1)
				memcpy(n->ip, (uint32_t[4]){htonl(0x20010db8), htonl(k << 16 | i)},
				       16);
		}
	}
}

static void sending_and_reading_agree(struct wg_device *want)
{
	struct wg_device have;
	uint64_t t = now_us(), read_us;
	int n = apply(want), err;

	check(n == PEERS + 3, "%d peers and %d allowed IPs are sent: %d steps, %.2f s", PEERS,
	      PEERS * EACH, n, (double)(now_us() - t) / 1e6);
	check(!strcmp(told("wg show wg-many peers | wc -l"), "1000") &&
		      !strcmp(told("wg show wg-many allowed-ips | awk '{n += NF - 1} END {print n}'"),
			      "5000"),
	      "wg show has as many");
	t = now_us();
	err = wg_read("wg-many", &have);
	read_us = now_us() - t;
	check(!err && have.n_peers == PEERS, "they are read again: %zu peers in %.3f s",
	      err ? 0 : have.n_peers, (double)read_us / 1e6);
	if (err)
		return;
	t = now_us();
	n = steps_between(want, &have);
	check(n == 0, "what was read differs in nothing: %d steps, %.1f ms", n,
	      (double)(now_us() - t) / 1e3);
	check(steps_between(&have, want) == 0, "nor the other way round");
	check(!memcmp(have.public_key, (uint8_t[KEY_SIZE]){0}, KEY_SIZE) == 0,
	      "the device tells its public key");
	wg_free(&have);
}

/* Lines of `wg show wg-many dump` that differ from those before. */
static int lines_changed(void)
{
	return atoi(told("wg show wg-many dump >/tmp/wg-after; "
			 "diff /tmp/wg-before /tmp/wg-after | grep -c '^>'"));
}

static void changes_touch_nothing_else(struct wg_device *want)
{
	struct wg_peer *p = &want->peers[500], *q = &want->peers[501];
	struct wg_network moved;
	char command[256], key[KEY_TEXT];

	must("wg show wg-many dump >/tmp/wg-before");
	check(apply(want) == 0 && lines_changed() == 0, "a no-op is no step");
	p->endpoint.port = 4444;
	check(apply(want) == 1, "another endpoint is one step");
	snprintf(command, sizeof(command), "wg show wg-many endpoints | grep -F %s | cut -f2",
		 key_text(p->public_key, key));
	check(!strcmp(told(command), "198.18.1.245:4444") && lines_changed() == 1,
	      "wg show agrees, and nothing else changed");

	must("wg show wg-many dump >/tmp/wg-before");
	p->n_allowed = 2;
	check(apply(want) == 1 && lines_changed() == 1, "three of five allowed IPs are removed");
	check(apply(want) == 0, "and nothing is left to do");
	check(!strcmp(told("wg show wg-many peers | wc -l"), "1000"),
	      "the throw-away peer is gone");

	must("wg show wg-many dump >/tmp/wg-before");
	moved = p->allowed[1];
	p->allowed[1] = q->allowed[1];
	q->allowed[1] = moved;
	check(apply(want) == 2 && lines_changed() == 2,
	      "two peers exchange an allowed IP in two steps");
	check(apply(want) == 0, "and nothing is left to do");

	want->n_peers -= 10;
	check(apply(want) == 10 && apply(want) == 0, "ten peers are removed");
	want->n_peers += 10;
	check(apply(want) == 10 && apply(want) == 0, "and come back");
}

static void one_peer_has_many(void)
{
	struct wg_device d = {.name = "wg-one"}, have = {0};
	int n, err;

	must("ip link add wg-one type wireguard");
	if (wg_make_peers(&d, 2) || wg_make_allowed(&d.peers[0], 5000))
		exit(1);
	some_key(d.peers[0].public_key, 1);
	some_key(d.peers[1].public_key, 2);
	for (unsigned int i = 0; i < 5000; i++) {
		d.peers[0].allowed[i] = (struct wg_network){.family = 4, .prefix = 32};
		ip_map(htonl((10u << 24) + i), d.peers[0].allowed[i].ip);
	}
	n = apply(&d);
	err = wg_read("wg-one", &have);
	check(n == 2 && !err && have.n_peers == 2 && apply(&d) == 0,
	      "a peer over many messages is read as one (%d steps, %zu peers)", n, have.n_peers);
	wg_free(&have);
	d.peers[0].n_allowed = 17;
	n = apply(&d);
	check(n == 1 && apply(&d) == 0, "4,983 allowed IPs are removed at once: %d", n);
	wg_free(&d);
}

static void what_wg_made_is_read(void)
{
	struct wg_device have;
	const struct wg_peer *p;
	char key[KEY_TEXT];
	int err;

	must("ip link add wg-hand type wireguard && wg genkey >/tmp/k && wg genpsk >/tmp/p && "
	     "wg genkey | wg pubkey >/tmp/q && wg set wg-hand private-key /tmp/k listen-port 7 "
	     "fwmark 0x5 peer $(cat /tmp/q) preshared-key /tmp/p endpoint [2001:db8::1]:5 "
	     "persistent-keepalive 7 allowed-ips 10.0.0.0/8,2001:db8::/32");
	err = wg_read("wg-hand", &have);
	if (err || have.n_peers != 1) {
		check(false, "what wg set made is read: %d", err);
		return;
	}
	p = &have.peers[0];
	check(have.port == 7 && have.fwmark == 5 && have.ifindex == if_nametoindex("wg-hand") &&
		      !strcmp(key_text(have.private_key, key), told("cat /tmp/k")) &&
		      !strcmp(key_text(have.public_key, key), told("wg pubkey </tmp/k")) &&
		      !strcmp(key_text(p->public_key, key), told("cat /tmp/q")) &&
		      !strcmp(key_text(p->psk, key), told("cat /tmp/p")) &&
		      p->endpoint.family == 6 && p->endpoint.port == 5 && p->keepalive == 7 &&
		      p->n_allowed == 2,
	      "what wg set made is read");
	wg_free(&have);
}

static void failures_have_their_codes(void)
{
	struct wg_device have, want;
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(7788)};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), n;

	check(wg_read("wg-none", &have) == -ENODEV, "no such device");
	check(wg_read("lo", &have) == -EOPNOTSUPP, "no WireGuard device");
	must("ip link set wg-hand up");
	if (s < 0 || bind(s, (struct sockaddr *)&here, sizeof(here)) || wg_read("wg-hand", &want))
		exit(1);
	want.port = 7788;
	n = apply(&want);
	check(n == -EADDRINUSE, "a port that is taken: %d", n);
	close(s);
	wg_free(&want);
}

/* A change underway: a child changes a keepalive about as often as a read
 * takes, twice over. */
static void reading_is_one_moments_picture(struct wg_device *want)
{
	struct wg_device have;
	unsigned int good = 0, again = 0, wrong = 0;
	pid_t child = fork();

	if (!child) {
		struct wg_step step = {.kind = WG_STEP_KEEPALIVE, .peer = &want->peers[3]};
		struct wg_delta d = {.want = want, .steps = &step, .n = 1};
		char why[64];

		for (unsigned int i = 0;; i++) {
			want->peers[3].keepalive = (uint16_t)(1 + i % 2);
			wg_send(&d, why, sizeof(why));
			usleep(100000);
		}
	}
	for (unsigned int i = 0; i < 20; i++) {
		int err = wg_read("wg-many", &have);

		if (err) {
			*(err == -EAGAIN ? &again : &wrong) += 1;
			continue;
		}
		want->peers[3].keepalive = have.peers[3].keepalive;
		good += have.n_peers == PEERS;
		wg_free(&have);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	check(!wrong && good && good + again == 20,
	      "read under changes: whole %u times, given up %u times", good, again);
}

/* ---- under flood ---- */

static unsigned int seconds = 8;

static void enter(const char *netns)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		exit(1);
	close(fd);
}

static void make_tunnel(void)
{
	must("set -e; ip link add va type veth peer name vb netns wgk-b\n"
	     "ip addr add 198.18.0.1/24 dev va; ip link set va up; ip link set lo up\n"
	     "ip -n wgk-b addr add 198.18.0.2/24 dev vb\n"
	     "ip -n wgk-b addr add 198.18.0.3/24 dev vb; ip -n wgk-b link set vb up\n"
	     "ip link add wg-a type wireguard; ip -n wgk-b link add wg-b type wireguard\n"
	     "for x in a b c; do wg genkey >/tmp/key-$x; wg pubkey </tmp/key-$x >/tmp/pub-$x; done\n"
	     "nets=192.0.2.2/32; for i in $(seq 200); do nets=$nets,10.$i.0.0/16; done\n"
	     "wg set wg-a private-key /tmp/key-a listen-port 5001 peer $(cat /tmp/pub-b) "
	     "endpoint 198.18.0.2:5002 allowed-ips $nets\n"
	     "wg set wg-a peer $(cat /tmp/pub-c) endpoint 198.18.0.2:5003\n"
	     "ip netns exec wgk-b wg set wg-b private-key /tmp/key-b listen-port 5002 "
	     "peer $(cat /tmp/pub-a) endpoint 198.18.0.1:5001 allowed-ips 192.0.2.1/32\n"
	     "ip addr add 192.0.2.1/24 dev wg-a; ip link set wg-a up\n"
	     "ip -n wgk-b addr add 192.0.2.2/24 dev wg-b; ip -n wgk-b link set wg-b up\n");
}

struct seen {
	unsigned int sent, lost, refused, tx_errors, rx_errors, rounds;
};

/* Errors of wg-a in this namespace, received or sent; /sys shows another namespace's devices. */
static unsigned int errors(bool sent)
{
	const char *line = strstr(told("cat /proc/self/net/dev"), "wg-a:");
	unsigned int rx, tx;

	if (!line || sscanf(line + 5, "%*u %*u %u %*u %*u %*u %*u %*u %*u %*u %u", &rx, &tx) != 2) {
		printf("not ok - /proc/self/net/dev cannot be read\n");
		exit(1);
	}
	return sent ? tx : rx;
}

static int echo_socket(void)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		exit(1);
	return s;
}

static struct sockaddr_in echo_address(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7)};

	a.sin_addr.s_addr = htonl(0xc0000202); /* 192.0.2.2 */
	return a;
}

/* Sends back what comes, in the other namespace. */
static pid_t start_echo(void)
{
	struct sockaddr_in at = echo_address(), from;
	char bytes[64];
	pid_t child = fork();
	int s;

	if (child)
		return child;
	enter("wgk-b");
	s = echo_socket();
	if (bind(s, (struct sockaddr *)&at, sizeof(at)))
		exit(1);
	for (;;) {
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(s, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size);

		if (n > 0)
			sendto(s, bytes, (size_t)n, 0, (struct sockaddr *)&from, size);
	}
}

/*
 * As ping -f does: the next one at each answer, a few under way at a time, and more when nothing
 * came for 10 ms. After the end a second is left for stragglers.
 */
static void flood_child(int s, uint64_t until, struct seen *ret)
{
	static bool came[1 << 24];
	struct timeval wait = {.tv_usec = 10000};
	struct sockaddr_in to = echo_address();
	unsigned int n = 0, answered = 0, under_way = 0, back;

	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	while (now_us() < until + 1000000) {
		for (; under_way < 4 && now_us() < until && n < sizeof(came); under_way++, n++)
			if (sendto(s, &n, sizeof(n), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
				ret->refused++;
		if (recv(s, &back, sizeof(back), 0) < 0) {
			if (errno != EAGAIN)
				usleep(10000); /* told at once that there is no way */
			under_way = 0;
			continue;
		}
		under_way -= under_way > 0;
		if (back < n && !came[back]) {
			came[back] = true;
			answered++;
		}
	}
	ret->sent = n;
	ret->lost = n - answered;
}

typedef void (*round_fn)(struct wg_device *want, unsigned int i);

/* The flood for `seconds`; meanwhile `one` again and again. */
static struct seen flood(round_fn one, struct wg_device *want)
{
	struct seen s = {0};
	struct seen *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int tx = errors(true), rx = errors(false), rounds = 0;
	uint64_t until = now_us() + seconds * 1000000ull;
	pid_t child = fork();

	if (shared == MAP_FAILED)
		exit(1);
	if (!child) {
		flood_child(echo_socket(), until + 500000, shared);
		_exit(0);
	}
	usleep(200000);
	while (now_us() < until) {
		if (one)
			one(want, rounds);
		else
			usleep(100000);
		rounds++;
	}
	waitpid(child, NULL, 0);
	s = *shared;
	munmap(shared, sizeof(*shared));
	s.rounds = rounds;
	s.tx_errors = errors(true) - tx;
	s.rx_errors = errors(false) - rx;
	return s;
}

static void no_op(struct wg_device *want, unsigned int i)
{
	(void)i;
	if (apply(want) != 0)
		check(false, "a no-op under flood had steps");
}

static struct wg_peer *far(struct wg_device *d)
{
	return d->peers[0].n_allowed > 1 ? &d->peers[0] : &d->peers[1];
}

static void other_endpoint(struct wg_device *want, unsigned int i)
{
	far(want)->endpoint.ip[3] = htonl(0xc6120002 + (i + 1) % 2);
	if (apply(want) > 1) /* 0: it roamed there by itself */
		check(false, "an endpoint was more than a step");
}

/* The network of the echoes in a place of the peer's list. */
static void put_echo_at(struct wg_peer *p, size_t place)
{
	for (size_t k = 0; k < p->n_allowed; k++)
		if (p->allowed[k].prefix == 32) {
			struct wg_network n = p->allowed[k];

			p->allowed[k] = p->allowed[place];
			p->allowed[place] = n;
			return;
		}
}

static void fewer_and_more(struct wg_device *want, unsigned int i)
{
	struct wg_peer *p = far(want);
	size_t all = p->n_allowed;

	put_echo_at(p, 0);
	if (!(i & 1))
		p->n_allowed = 101;
	if (apply(want) != 1)
		check(false, "allowed IPs removed or added were not one step");
	p->n_allowed = all;
}

/* Each time the address of the echoes goes to the other peer: what leaves must always find one. */
static void to_and_fro(struct wg_device *want, unsigned int i)
{
	struct wg_peer *a = &want->peers[0], *b = &want->peers[1];
	struct wg_network *list = a->allowed;
	size_t n = a->n_allowed;

	(void)i;
	a->allowed = b->allowed;
	a->n_allowed = b->n_allowed;
	b->allowed = list;
	b->n_allowed = n;
	if (apply(want) != 1)
		check(false, "201 allowed IPs did not move in one step");
}

/* What is pinged loses its network and gets it again: this must be seen. */
static void gone_and_back(struct wg_device *want, unsigned int i)
{
	(void)i;
	put_echo_at(far(want), far(want)->n_allowed - 1);
	far(want)->n_allowed--;
	apply(want);
	far(want)->n_allowed++;
	apply(want);
}

static void judge(const char *what, struct seen s, const struct seen *base, bool answered)
{
	check(s.rounds && !s.tx_errors && !s.refused &&
		      (!answered || (!s.rx_errors && s.sent > 100 && s.lost <= base->lost + 4)),
	      "%s, %u times: %u of %u echoes lost (baseline %u of %u), tx_errors %u, rx_errors %u",
	      what, s.rounds, s.lost, s.sent, base->lost, base->sent, s.tx_errors, s.rx_errors);
}

static void under_flood(void)
{
	struct wg_device want;
	struct seen base, s;

	pid_t echo;

	make_tunnel();
	echo = start_echo();
	flood(NULL, NULL); /* the handshake */
	base = flood(NULL, NULL);
	check(base.sent > 100 && base.lost <= 4, "the flood without a change: %u of %u lost",
	      base.lost, base.sent);
	if (wg_read("wg-a", &want))
		exit(1);
	judge("no-op", flood(no_op, &want), &base, true);
	judge("another endpoint", flood(other_endpoint, &want), &base, true);
	/* It roams between the two; that is no business of what follows. */
	want.peers[0].set &= ~(unsigned int)WG_ENDPOINT;
	want.peers[1].set &= ~(unsigned int)WG_ENDPOINT;
	judge("100 of 201 allowed IPs removed and added", flood(fewer_and_more, &want), &base,
	      true);
	s = flood(gone_and_back, &want);
	check(s.tx_errors, "what loses packets is seen: %u of %u echoes lost, tx_errors %u", s.lost,
	      s.sent, s.tx_errors);
	judge("201 allowed IPs to the other peer and back", flood(to_and_fro, &want), &base, false);
	wg_free(&want);
	kill(echo, SIGKILL);
	waitpid(echo, NULL, 0);
}

static void one_device(void)
{
	struct wg_device want;

	must("ip link add wg-many type wireguard");
	make_many(&want);
	sending_and_reading_agree(&want);
	changes_touch_nothing_else(&want);
	reading_is_one_moments_picture(&want);
	one_peer_has_many();
	what_wg_made_is_read();
	failures_have_their_codes();
	wg_free(&want);
	must("ip link del wg-many && ip link del wg-one && ip link del wg-hand");
}

int main(int argc, char **argv)
{
	if (!getenv("SHIFT_VM")) {
		fprintf(stderr, "not here; tools/vm run 6.1 -- %s\n", argv[0]);
		return 2;
	}
	if (argc > 1)
		seconds = (unsigned int)atoi(argv[1]);
	umask(077);
	must("ip netns add wgk-a && ip netns add wgk-b");
	enter("wgk-a");
	if (argc < 3)
		one_device();
	under_flood();
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
