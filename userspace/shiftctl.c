/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftctl.c - the command: options, a table of verbs, and the way to those of shiftctl-apply
 *
 * What an operator types in a hurry is in this small binary. The verbs that read the whole
 * configuration or load programs need libraries that take longer to load than a rollback to act;
 * they are in shiftctl-apply, which takes this process's place.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"

#ifndef SHIFT_VERSION
#define SHIFT_VERSION "0.1"
#endif

static int elsewhere(const struct options *o, int argc, char **argv);
static int tunnels(const struct options *o, int argc, char **argv);
static int dns(const struct options *o, int argc, char **argv);
static int checks(const struct options *o, int argc, char **argv);
static int help(const struct options *o, int argc, char **argv);
static int version(const struct options *o, int argc, char **argv);

static char **whole; /* argv as it was given */

static const struct verb verbs[] = {
	{"apply", elsewhere,
	 "apply [--dry-run] [--force] [--ignore-saved-state] [--at-boot] [--reason TEXT] [--allow-...]",
	 "load or replace the data plane to match the configuration"},
	{"detach", cmd_detach, "detach [--force] [--override-lock] [--lose-state] [--reason TEXT]",
	 "take the data plane away"},
	{"weight", cmd_weight,
	 "weight [N [--confirm 10m] [--reason TEXT] [--dry-run] [--force] [--after-rollback]\n"
	 "           [--overall]]    --overall: N is the share of all clients, those that DNS already\n"
	 "                           sends to the clouds counted, as resolvers say now",
	 "print or set the share of new connections that goes to the clouds"},
	{"confirm", cmd_confirm, "confirm [--force] [--reason TEXT]", "keep what a --confirm set"},
	{"rollback", cmd_rollback, "rollback [--cut[=RATE]] [--reason TEXT]",
	 "share 0 now, and no raise until --after-rollback"},
	{"commit", cmd_commit, "commit [--undo] [--reason TEXT] [--force]",
	 "the new side holds the true data from here"},
	{"status", cmd_status, "status [--watch] [--line]", "everything on one screen"},
	{"ramp", cmd_ramp,
	 "ramp start|pause|resume|next|back|abort|status [--reason TEXT]\n"
	 "    start [--after-rollback] [--l4-only]  the plan's stages, from the first above the share\n"
	 "    pause, resume                        stay at this stage; go on\n"
	 "    next, back                           one stage up without waiting, one down\n"
	 "    abort                                = rollback\n"
	 "    status                               stage, hold, gates with their evidence, what is next\n"
	 "  each rule has its own override: --force (a foreign lock), --big-step, --few-backends,\n"
	 "  --without-tunnel, --unproven, --again and --skip-hooks (hooks nobody knows the end of)",
	 "the plan's stages, run by shiftd"},
	{"freeze", cmd_freeze, "freeze [--reason TEXT]", "the ramp promotes nothing"},
	{"unfreeze", cmd_freeze, "unfreeze [--reason TEXT]", "it may again"},
	{"lock", cmd_lock, "lock [--reason TEXT] [--force]", "refuse others' changes"},
	{"unlock", cmd_unlock, "unlock [--force]", "allow them again"},
	{"drain", checks,
	 "drain [--rate 100] [--max N] [--idle 1s] [--owed 30s] [--wait 1m] [--dry-run] [--force]\n"
	 "           [--reason TEXT]\n"
	 "    --rate 100    so many a second at most\n"
	 "    --max N       no more than so many in all\n"
	 "    --idle 1s     only those on which nothing passed for so long\n"
	 "    --owed 30s    and those silent for so long after the client spoke last (else never)\n"
	 "    --wait 1m     for those that do not rest; exit 5 if some are left then",
	 "close resting local connections of clients that are in the share, at a pace"},
	{"explain", elsewhere, "explain CLIENT[:PORT] [--to ADDRESS:PORT[/tcp|/udp]]",
	 "which arm and backend a client gets, and why"},
	{"conns", cmd_conns,
	 "conns [--backend NAME] [--client CIDR] [--state NAME] [--limit N] [--count] [--old-epoch]",
	 "the shifted connections"},
	{"top", cmd_top,
	 "top [--watch] [--sort connections|rate|recent] [--limit N] [--reset [--force]]",
	 "who still arrives at the old arm, by network"},
	{"pin", cmd_pin, "pin CIDR old|new [--for 2h] [--reason TEXT] [--force] [--after-rollback]",
	 "these clients' new connections always go there"},
	{"unpin", cmd_unpin, "unpin CIDR|--all [--reason TEXT] [--force]",
	 "they go by the share again"},
	{"pins", cmd_pins, "pins", "who is pinned, and what the configuration excepts"},
	{"history", cmd_history,
	 "history [--limit N] [--since 2h] [--evidence] [--follow]\n"
	 "    --evidence   with what each gate said when the ramp decided\n"
	 "    --follow     and what comes; with --json an entry a line",
	 "who changed what, what the ramp decided, and why"},
	{"report", checks,
	 "report [--format markdown|html|json] [--output FILE] [--since 2h] [--ramp N]\n"
	 "    --output FILE   instead of stdout\n"
	 "    --since 2h      only what was not over by then\n"
	 "    --ramp N        of those in the journal, from 1; else the last",
	 "a ramp stage by stage: what was seen, decided, by whom, and how fast"},
	{"flowlog", checks, "flowlog ADDRESS[:PORT] [--at TIME] [--limit N] [--file PATH]",
	 "who was behind this address and port of ours, by the flow log"},
	{"plan", elsewhere,
	 "plan check [--rate N/s] [--bandwidth N | --bytes N] [--lifetime 5s] [--link-speed N]\n"
	 "           [--measure 10s] [--allow-...]\n"
	 "    what is not stated is measured for a second where the service is attached; --bytes is of\n"
	 "    a connection, and like --bandwidth may be FROM-CLIENTS/TO-CLIENTS",
	 "judge the configuration and print the plan"},
	{"preflight", checks,
	 "preflight [--url URL]... [--idle 60s] [--rate N] [--burst 30] [--timeout 3s] [--name NAME]\n"
	 "           [--ca-file PATH] [--backend NAME] [--dry-run]\n"
	 "    --url URL     asked of every backend and the old service, beside backends[].health.http\n"
	 "    --idle 60s    so long a connection is silent before it is used again; 0s: not tried\n"
	 "    --rate N      N connections within a second; else not tried\n"
	 "    --burst 30    requests from one address as fast as they go; 0: not tried\n"
	 "    --name NAME   for TLS, instead of the URL's host or dns.name\n"
	 "    --ca-file     trusted instead of the system's\n"
	 "    --dry-run     only what it would cost\n"
	 "           exit 0: all is well, perhaps with warnings; 1: something failed; 5: not known",
	 "each backend beside the old service, seen from the NAT addresses"},
	{"doctor", elsewhere, "doctor [--all]",
	 "what on this host would hurt, with evidence and fix"},
	{"tunnel", tunnels,
	 "tunnel apply|list|check|restart|failover|down|keys [OPTIONS] [NAME...]\n"
	 "    apply [--dry-run] [--wait 10s] [--adopt]\n"
	 "                                         make them what the configuration says\n"
	 "    list                                 what the kernel and charon have\n"
	 "    check [--fix] [--textfile PATH] [--count N]\n"
	 "                                         for cron and monitoring; exit 0 1 2 3\n"
	 "    failover [NAME [--pin] [--even-if-down] | --unpin [NAME]] [--reason TEXT]\n"
	 "                                         the routes go through this one now\n"
	 "    restart NAME [--wait 10s]            new sessions\n"
	 "    down [--dry-run]                     take them away\n"
	 "    keys NAME [--count N] [--lead 10m] [--spacing 24h]\n"
	 "                                         new keys for a static IPsec tunnel",
	 "WireGuard and IPsec: apply, list, check, restart, failover, down"},
	{"latency", tunnels, "latency [--watch] [--count N] [--limit 50ms]",
	 "round trips and loss to every backend and through every tunnel"},
	{"dns", dns,
	 "dns check|watch|preflight|cutover|rollback [OPTIONS]\n"
	 "    check [--expect old|new] [--textfile PATH] [--samples N] [--subnet CIDR]\n"
	 "          [--retire [--bound 3/m] [--ttls N] [--without-flows]]\n"
	 "                                         for cron and monitoring; exit 0 1 2 3\n"
	 "    watch [--until old|new] [--timeout 10m] [--interval 5s] [--samples N]\n"
	 "          [--subnet CIDR] [--control N]  who says what, live; one resolver in N (4) is\n"
	 "                                         held back until the end; exit 5: --timeout passed\n"
	 "    preflight [--before 1h] [--signatures 12h] [--no-way-back]\n"
	 "                                         is all ready; exit 1: no, 5: not known\n"
	 "    cutover [--dry-run] [--yes] [--no-way-back] [--without-weights] [--wait [10m]]\n"
	 "            [--early] [--before-commit] [--reason TEXT]\n"
	 "                                         the records from dns.old to dns.new\n"
	 "    rollback [--dry-run] [--wait [10m]] [--reason TEXT]\n"
	 "                                         and back; never asks",
	 "what resolvers say; the records, changed and changed back"},
	{"health", dns, "health [--textfile PATH]",
	 "both arms asked once, for people and monitoring; exit 0 1 2 3"},
	{"help", help, "help [COMMAND]", "this"},
	{"version", version, "version", "the version"},
};

#define N_VERBS (sizeof(verbs) / sizeof(*verbs))

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < N_VERBS; i++) {
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	}
	return NULL;
}

static int help(const struct options *o, int argc, char **argv)
{
	(void)o;
	if (argc > 1) {
		const struct verb *v = find_verb(argv[1]);

		if (!v)
			return usage_error("there is no command '%s'", argv[1]);
		printf("shiftctl %s\n  %s\n", v->usage, v->help);
		return EXIT_OK;
	}
	printf("usage: shiftctl [-c FILE] [-s SERVICE] [--json] [--color|--no-color] COMMAND\n\n");
	for (size_t i = 0; i < N_VERBS; i++)
		printf("  %-9s %s\n", verbs[i].name, verbs[i].help);
	printf("\nshiftctl help COMMAND shows its options. Exit codes: 0 done, 1 failed, 2 usage or "
	       "configuration,\n3 refused by a safety rule, 4 locked by another, 5 timed out, 6 "
	       "overtaken by a rollback.\n");
	return EXIT_OK;
}

static int version(const struct options *o, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf(o->json ? "{\"schema\":1,\"version\":\"%s\"}\n" : "shiftctl %s\n", SHIFT_VERSION);
	return EXIT_OK;
}

/* The other binaries lie beside this one, or in ../libexec/shift. */
static int become(const char *binary, const char *verb)
{
	static const char *const places[] = {"", "/../libexec/shift"};
	char self[PATH_MAX], path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *dir;

	if (n < 0) {
		say("cannot find my own place: /proc is not mounted");
		return EXIT_FAILED;
	}
	self[n] = '\0';
	dir = dirname(self);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s%s/%s", dir, places[i], binary);
		execv(path, whole);
	}
	say("%s: %s is not installed beside %s", verb, binary, dir);
	return EXIT_FAILED;
}

static int elsewhere(const struct options *o, int argc, char **argv)
{
	(void)o;
	(void)argc;
	return become("shiftctl-apply", argv[0]);
}

static int tunnels(const struct options *o, int argc, char **argv)
{
	(void)o;
	(void)argc;
	return become("shiftctl-tunnel", argv[0]);
}

static int dns(const struct options *o, int argc, char **argv)
{
	(void)o;
	(void)argc;
	return become("shiftctl-dns", argv[0]);
}

static int checks(const struct options *o, int argc, char **argv)
{
	(void)o;
	(void)argc;
	return become("shiftctl-check", argv[0]);
}

/* These take a millisecond, on a host where everything may be busy: they go first. */
static void be_urgent(void)
{
	const struct sched_param lowest = {.sched_priority = 1};

	if (sched_setscheduler(0, SCHED_RR, &lowest))
		setpriority(PRIO_PROCESS, 0, -20);
}

/* Descriptors 0 to 2 that nobody gave us must not become a map's or a file's. */
static void fill_standard(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd < 3)
		fd = dup(fd);
	if (fd > 2)
		close(fd);
}

/*
 * What stands before the verb and is no option of ours is a slip like one after it: a rollback goes
 * on. It may have a value.
 */
static void find_rollback(int *argc, char **argv, struct options *o)
{
	int at = 0;

	while (at < *argc && argv[at][0] == '-') {
		bool value = takes_value(argv[at++]);

		at += at < *argc && argv[at][0] != '-' && (value || !find_verb(argv[at]));
	}
	if (!at || at >= *argc || strcmp(argv[at], "rollback") != 0)
		return;
	snprintf(o->slip, sizeof(o->slip), "%.64s: there is no such option here", argv[0]);
	*argc -= at;
	memmove(argv, argv + at, ((size_t)*argc + 1) * sizeof(*argv));
}

int main(int argc, char **argv)
{
	struct options o;
	const struct verb *v = NULL;
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	int code;

	if (!copy)
		return EXIT_FAILED;
	fill_standard();
	signal(SIGPIPE, SIG_IGN); /* who reads our words may go; what we do goes on */
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	whole = argv;
	parse_options(&argc, copy, &o);
	find_rollback(&argc, copy, &o);
	if (argc > 0)
		v = find_verb(copy[0]);
	if (o.slip[0] && !(v && v->run == cmd_rollback))
		return json_failure(&o, usage_error("%s", o.slip));
	if (argc < 1)
		return json_failure(&o, usage_error("which command?"));
	if (!v)
		return json_failure(&o, usage_error("there is no command '%s'", copy[0]));
	for (int i = 1; v->run == cmd_weight && i < argc; i++) {
		if (!strcmp(copy[i], "--overall"))
			return dns(&o, argc, copy); /* asks resolvers first, then does the same */
	}
	if (v->run == cmd_rollback || v->run == cmd_weight || v->run == cmd_confirm)
		be_urgent();
	code = json_failure(&o, v->run(&o, argc, copy));
	if (fflush(stdout) || ferror(stdout)) {
		say("cannot write the answer: %s", strerror(errno));
		return code ? code : EXIT_FAILED;
	}
	return code;
}
