/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench_dns.c - the DNS engine side by side with dnsperf and a loop of dig, on this machine
 *
 *   bench_dns [--rounds N] [--json FILE]
 *
 * One server (Knot, one worker, on loopback, started here) answers all of them, in turn within
 * every round, so that a change of the machine's load hits all alike. Before anything is timed,
 * each must have the right answer from it. Two things are measured:
 *
 *   throughput  one second each: the engine with a socket for every question (as shiftctl uses it),
 *               the engine with 64 questions on a socket, dnsperf, each with 200 outstanding; and
 * 50 runs of dig. "per core" is answers for each second of processor time that the asking process
 * used, its system calls' work in the kernel included; "answers/s" is by the clock, and bounded by
 * the server's share of the machine. sweep       30 resolvers of which 3 are dead, one try of one
 * second: all at once by the engine, one after the other by dig, as a runbook's loop does.
 *
 * Figures are medians of the rounds with the least and the most. A bound that is asserted is
 * printed with "held" or "MISSED"; exit 1 when one is missed, 2 when it could not be measured.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dns/engine.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"

#define MS	    1000000ull
#define SECOND	    1000000000ull
#define NAME	    "www.bench.test"
#define ADDRESS	    "192.0.2.1"
#define ROUNDS_MAX  99
#define DIGS	    50
#define OUTSTANDING 200 /* more overflow the server's buffer of 212,992 octets */
#define SWEPT	    30
#define DEAD	    3
#define PER_CORE    200000.0 /* asserted */

extern char **environ;

enum { OWN_SOCKET, SHARED, DNSPERF, DIG, WAYS };
static const char *const ways[] = {"shiftctl, a socket each", "shiftctl, 64 on a socket", "dnsperf",
				   "a loop of dig"};
static const char *const ids[] = {"engine", "engine_shared", "dnsperf", "dig"};

static double rate[WAYS][ROUNDS_MAX], per_core[WAYS][ROUNDS_MAX];
static double sweep_engine[ROUNDS_MAX], sweep_dig[ROUNDS_MAX];
static double slowest_ms[ROUNDS_MAX];

static char work[] = "/tmp/bench-dns-XXXXXX";
static pid_t server;
static uint16_t port, dead_port;

static void end(int code)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	if (work[sizeof(work) - 2] != 'X') {
		const char *const argv[] = {"rm", "-rf", "--", work, NULL};
		pid_t p;

		if (!posix_spawnp(&p, "rm", NULL, NULL, (char **)(uintptr_t)argv, environ))
			waitpid(p, NULL, 0);
	}
	exit(code);
}

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("bench_dns: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	end(2);
	abort();
}

static void on_signal(int signal)
{
	(void)signal;
	end(130);
}

/* ---- others ---- */

/* Runs it to its end; its output, and its processor time if it is asked for. */
static void run(const char *const *argv, char *out, size_t size, double *ret_cpu_s)
{
	posix_spawn_file_actions_t actions;
	struct rusage use;
	int fd[2], status;
	size_t got = 0;
	ssize_t n;
	pid_t p;

	if (pipe2(fd, O_CLOEXEC))
		die("pipe: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd[1], 1);
	if (posix_spawnp(&p, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ))
		die("%s cannot be started; `make bench` installs it", argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	close(fd[1]);
	while ((n = read(fd[0], out + got, size - 1 - got)) > 0)
		got += (size_t)n;
	out[got] = '\0';
	close(fd[0]);
	if (wait4(p, &status, 0, &use) != p)
		die("%s: lost", argv[0]);
	if (ret_cpu_s)
		*ret_cpu_s = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
			     (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void write_file(const char *name, const char *text, char *ret_path, size_t size)
{
	FILE *f;

	snprintf(ret_path, size, "%s/%s", work, name);
	f = fopen(ret_path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		die("%s: %s", ret_path, strerror(errno));
}

/* A port that is free on every address, for a moment. */
static uint16_t free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    getsockname(fd, (struct sockaddr *)&a, &size))
		die("no port: %s", strerror(errno));
	close(fd);
	return ntohs(a.sin_port);
}

static void start_server(void)
{
	char text[1024], path[64], zone[64];
	const char *argv[] = {"knotd", "-c", path, NULL};
	posix_spawn_file_actions_t actions;

	if (!mkdtemp(work))
		die("%s: %s", work, strerror(errno));
	write_file(
		"zone",
		"$TTL 60\n@ SOA ns a 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\nwww A " ADDRESS
		"\n",
		zone, sizeof(zone));
	port = free_port();
	snprintf(text, sizeof(text),
		 "server:\n  rundir: %s\n  listen: 0.0.0.0@%u\n  udp-workers: 1\n  tcp-workers: 1\n"
		 "  background-workers: 1\ndatabase:\n  storage: %s\nlog:\n  - target: stderr\n"
		 "    any: critical\nzone:\n  - domain: bench.test\n    file: %s\n",
		 work, port, work, zone);
	write_file("conf", text, path, sizeof(path));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1) ||
	    posix_spawnp(&server, "knotd", &actions, NULL, (char **)(uintptr_t)argv, environ))
		die("knotd cannot be started; `make bench` installs it");
	posix_spawn_file_actions_destroy(&actions);
}

/* Sockets that take questions and never answer. */
static void make_dead(void)
{
	for (int i = 0; i < DEAD; i++) {
		struct sockaddr_in a = {.sin_family = AF_INET,
					.sin_port = htons(dead_port),
					.sin_addr.s_addr = htonl(0x7f000201u + (uint32_t)i)};
		socklen_t size = sizeof(a);
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
		    getsockname(fd, (struct sockaddr *)&a, &size))
			die("no dead resolver: %s", strerror(errno));
		dead_port = ntohs(a.sin_port);
	}
}

/* ---- the engine ---- */

struct asking {
	struct loop *loop;
	struct dns_engine *engine;
	struct dns_target target;
	struct dns_question question;
	uint64_t until; /* no new questions after that */
	unsigned int answered, wrong, failed;
	uint64_t slowest;
};

static struct dns_target target_at(uint32_t address, uint16_t at_port)
{
	struct dns_target t = {.family = 4, .port = at_port};

	t.ip[2] = htonl(0xffff);
	t.ip[3] = htonl(address);
	return t;
}

static void note(struct asking *x, const struct dns_result *r)
{
	struct in_addr right;

	inet_pton(AF_INET, ADDRESS, &right);
	if (!r->answer)
		x->failed++;
	else if (r->answer->n_addresses != 1 || r->answer->address[0].ip[3] != right.s_addr)
		x->wrong++;
	else
		x->answered++;
	if (r->answer && r->received - r->sent > x->slowest)
		x->slowest = r->received - r->sent;
}

static void on_answer(void *arg, const struct dns_result *r)
{
	struct asking *x = arg;

	note(x, r);
	if (r->received < x->until) {
		if (dns_ask(x->engine, &x->target, &x->question, on_answer, x))
			die("no memory");
	} else if (!dns_engine_busy(x->engine)) {
		loop_stop(x->loop, 0);
	}
}

static void on_swept(void *arg, const struct dns_result *r)
{
	struct asking *x = arg;

	note(x, r);
	if (!dns_engine_busy(x->engine))
		loop_stop(x->loop, 0);
}

static void open_engine(struct asking *x, unsigned int share, unsigned int tries)
{
	struct dns_engine_settings s = {.timeout_ns = SECOND,
					.tries = tries,
					.rate = 1000000000,
					.in_flight = OUTSTANDING,
					.share = share};

	*x = (struct asking){.target = target_at(INADDR_LOOPBACK, port),
			     .question = {.name = NAME ".", .type = DNS_A}};
	if (loop_make(&x->loop) || dns_engine_make(x->loop, &s, &x->engine))
		die("no engine: %s", strerror(errno));
}

static void close_engine(struct asking *x)
{
	dns_engine_free(x->engine);
	loop_free(x->loop);
	if (x->wrong)
		die("the engine accepted %u wrong answers", x->wrong);
}

static double cpu_s(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void engine_throughput(unsigned int share, double *ret_rate, double *ret_per_core)
{
	struct asking x;
	uint64_t began;
	double cpu;

	open_engine(&x, share, 3);
	began = loop_now();
	cpu = cpu_s();
	x.until = began + SECOND;
	for (int i = 0; i < OUTSTANDING; i++)
		if (dns_ask(x.engine, &x.target, &x.question, on_answer, &x))
			die("no memory");
	if (loop_run(x.loop))
		die("the loop broke");
	*ret_rate = x.answered / ((double)(loop_now() - began) / 1e9);
	*ret_per_core = x.answered / (cpu_s() - cpu);
	if (x.failed > x.answered / 1000)
		die("the engine had no answer to %u of %u", x.failed, x.failed + x.answered);
	close_engine(&x);
}

/* Until all have answered or had their second. Milliseconds. */
static double engine_sweep(double *ret_slowest_ms)
{
	struct asking x;
	uint64_t began;
	double ms;

	open_engine(&x, 1, 1);
	began = loop_now();
	for (unsigned int i = 0; i < SWEPT; i++) {
		struct dns_target t = i < DEAD ? target_at(0x7f000201u + i, dead_port)
					       : target_at(0x7f000101u + i, port);

		if (dns_ask(x.engine, &t, &x.question, on_swept, &x))
			die("no memory");
	}
	if (loop_run(x.loop))
		die("the loop broke");
	ms = (double)(loop_now() - began) / 1e6;
	if (x.answered != SWEPT - DEAD || x.failed != DEAD)
		die("the sweep had %u answers instead of %u", x.answered, SWEPT - DEAD);
	*ret_slowest_ms = (double)x.slowest / 1e6;
	close_engine(&x);
	return ms;
}

/* ---- dig and dnsperf ---- */

/* Did it print the address? */
static bool dig(uint32_t address, uint16_t at_port, double *ret_cpu_s)
{
	char at[32], p[8], out[4096], ip[INET_ADDRSTRLEN];
	const char *const argv[] = {"dig", "+short", "+time=1", "+tries=1", at,
				    "-p",  p,	     "A",	NAME,	    NULL};
	struct in_addr a = {.s_addr = htonl(address)};

	snprintf(at, sizeof(at), "@%s", inet_ntop(AF_INET, &a, ip, sizeof(ip)));
	snprintf(p, sizeof(p), "%u", at_port);
	run(argv, out, sizeof(out), ret_cpu_s);
	return !strcmp(out, ADDRESS "\n");
}

static void dig_throughput(double *ret_rate, double *ret_per_core)
{
	uint64_t began = loop_now();
	double cpu = 0, one;

	for (int i = 0; i < DIGS; i++) {
		if (!dig(INADDR_LOOPBACK, port, &one))
			die("dig had no answer");
		cpu += one;
	}
	*ret_rate = DIGS / ((double)(loop_now() - began) / 1e9);
	*ret_per_core = DIGS / cpu;
}

static double dig_sweep(void)
{
	uint64_t began = loop_now();
	unsigned int answered = 0;

	for (unsigned int i = 0; i < SWEPT; i++)
		answered += i < DEAD ? dig(0x7f000201u + i, dead_port, NULL)
				     : dig(0x7f000101u + i, port, NULL);
	if (answered != SWEPT - DEAD)
		die("dig's sweep had %u answers", answered);
	return (double)(loop_now() - began) / 1e6;
}

static void dnsperf_throughput(const char *questions, double *ret_rate, double *ret_per_core)
{
	char p[8], out[65536], *at;
	/* one sending and one receiving thread; what got lost is waited for a second */
	const char *const argv[] = {
		"dnsperf", "-s",  "127.0.0.1", "-p", p,	  "-d", questions,	    "-l", "1",
		"-q",	   "200", "-e",	       "-t", "1", "-O", "suppress=timeout", NULL};
	double cpu, answered;

	snprintf(p, sizeof(p), "%u", port);
	run(argv, out, sizeof(out), &cpu);
	at = strstr(out, "Queries completed:");
	answered = at ? strtod(at + strlen("Queries completed:"), NULL) : 0;
	at = strstr(out, "Queries per second:");
	*ret_rate = at ? strtod(at + strlen("Queries per second:"), NULL) : 0;
	if (answered < 1 || *ret_rate < 1 || !strstr(out, "NOERROR"))
		die("dnsperf had no answers:\n%s", out);
	*ret_per_core = answered / cpu;
}

/* ---- the figures ---- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of a sorted list. */
static double median(const double *list, int n)
{
	return n % 2 ? list[n / 2] : (list[n / 2 - 1] + list[n / 2]) / 2;
}

static bool bound(const char *what, bool held)
{
	printf("%s: %s\n", what, held ? "held" : "MISSED");
	return held;
}

static bool show(int n)
{
	double core;
	char a[32], b[32], c[32], d[32];
	bool held;

	printf("%-26s %12s %12s %25s\n", "throughput, one server", "answers/s", "per core",
	       "least to most, per core");
	for (int w = 0; w < WAYS; w++) {
		core = median(per_core[w], n);
		printf("%-26s %12s %12s %12s to %9s\n", ways[w],
		       text_count((uint64_t)median(rate[w], n), a), text_count((uint64_t)core, b),
		       text_count((uint64_t)per_core[w][0], c),
		       text_count((uint64_t)per_core[w][n - 1], d));
	}
	printf("\nsweep of %d resolvers, %d dead, one try of 1 s\n", SWEPT, DEAD);
	printf("%-26s %9.0f ms, the slowest healthy answer in %.1f ms\n", "shiftctl",
	       median(sweep_engine, n), median(slowest_ms, n));
	printf("%-26s %9.0f ms\n\n", "a loop of dig", median(sweep_dig, n));
	held = bound("200,000 answers/s per core, 64 on a socket",
		     median(per_core[SHARED], n) >= PER_CORE);
	return bound("a sweep in one time-out and the slowest answer, and 50 ms",
		     median(sweep_engine, n) <= 1000 + median(slowest_ms, n) + 50) &&
	       held;
}

static void write_json(const char *path, int n)
{
	FILE *f = fopen(path, "w");

	if (!f)
		die("%s: %s", path, strerror(errno));
	fprintf(f, "{\"rounds\": %d, \"throughput\": {", n);
	for (int w = 0; w < WAYS; w++)
		fprintf(f,
			"%s\"%s\": {\"answers_per_s\": %.0f, \"answers_per_s_per_core\": %.0f, "
			"\"least\": %.0f, \"most\": %.0f}",
			w ? ", " : "", ids[w], median(rate[w], n), median(per_core[w], n),
			per_core[w][0], per_core[w][n - 1]);
	fprintf(f,
		"}, \"sweep\": {\"resolvers\": %d, \"dead\": %d, \"engine_ms\": %.1f, "
		"\"slowest_answer_ms\": %.2f, \"dig_ms\": %.1f}}\n",
		SWEPT, DEAD, median(sweep_engine, n), median(slowest_ms, n), median(sweep_dig, n));
	if (fclose(f))
		die("%s: %s", path, strerror(errno));
}

static void sort_all(int n)
{
	for (int w = 0; w < WAYS; w++) {
		qsort(rate[w], (size_t)n, sizeof(double), by_size);
		qsort(per_core[w], (size_t)n, sizeof(double), by_size);
	}
	qsort(sweep_engine, (size_t)n, sizeof(double), by_size);
	qsort(sweep_dig, (size_t)n, sizeof(double), by_size);
	qsort(slowest_ms, (size_t)n, sizeof(double), by_size);
}

/* The right answer, by each of them, before anything is timed. */
static void check_all(const char *questions)
{
	double a, b;
	bool up = false;

	for (int i = 0; i < 50 && !up; i++) {
		up = dig(INADDR_LOOPBACK, port, NULL);
		if (!up)
			usleep(100000);
	}
	if (!up)
		die("the server does not answer");
	engine_sweep(&a);
	dnsperf_throughput(questions, &a, &b);
}

int main(int argc, char **argv)
{
	const char *json = NULL;
	char questions[64];
	int rounds = 5;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--rounds"))
			rounds = atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--json"))
			json = argv[i + 1];
		else
			rounds = 0;
	}
	if (argc % 2 == 0 || rounds < 1 || rounds > ROUNDS_MAX) {
		fputs("usage: bench_dns [--rounds 1..99] [--json FILE]\n", stderr);
		return 2;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	start_server();
	make_dead();
	write_file("questions", NAME " A\n", questions, sizeof(questions));
	check_all(questions);
	for (int r = 0; r < rounds; r++) {
		fprintf(stderr, "dns: round %d of %d …\n", r + 1, rounds);
		engine_throughput(1, &rate[OWN_SOCKET][r], &per_core[OWN_SOCKET][r]);
		engine_throughput(64, &rate[SHARED][r], &per_core[SHARED][r]);
		dnsperf_throughput(questions, &rate[DNSPERF][r], &per_core[DNSPERF][r]);
		dig_throughput(&rate[DIG][r], &per_core[DIG][r]);
		sweep_engine[r] = engine_sweep(&slowest_ms[r]);
		sweep_dig[r] = dig_sweep();
	}
	sort_all(rounds);
	if (json)
		write_json(json, rounds);
	end(show(rounds) ? 0 : 1);
	return 0;
}
