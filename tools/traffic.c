/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * traffic: test traffic with every byte checked, for the lab, the demo and the end-to-end tests.
 *
 *   serve   a server that checks what it gets (TCP and UDP)     traffic_serve.c
 *   http    short and long-lived HTTP connections               traffic_http.c
 *   hold    long-lived connections to `serve`                   traffic_hold.c
 *   udp     UDP flows to `serve`                                traffic_hold.c
 *   data    prints the file that web servers offer as /data     traffic_bytes.c
 *
 * The three clients share one engine, traffic_client.c, and one report, traffic_stats.c, which
 * describes the JSON on stdout. Exit codes: 0 all was well; 1 something failed, or nothing was
 * answered at all; 2 usage.
 *
 * This file is the command line: one table of options says which verb takes what, with which
 * default, and is the help text as well.
 */
#include "tools/traffic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum verb_bit { SERVE = 1, HTTP = 2, HOLD = 4, UDP = 8, DATA = 16, CLIENTS = HTTP | HOLD | UDP };
enum option_type { TEXT, NUMBER, SECONDS, RATE, SHARE, FLAG, TARGETS, PORTS, CLOSE };

struct option_row {
	const char *name, *value;
	int verbs;
	enum option_type type;
	size_t at;
	double low, high;
	const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct option_row rows[] = {
	{"arm", "NAME", SERVE, TEXT, AT(arm), 0, 0, "the name this server answers with"},
	{"port", "N", SERVE, NUMBER, AT(port), 1, 65535, "default 7000"},
	{"to", "ADDR:PORT[,...]", CLIENTS, TARGETS, 0, 0, 0,
	 "targets, taken in turn: 192.0.2.1:80,[2001:db8::1]:80"},
	{"from", "CIDR[,CIDR6]", CLIENTS, TEXT, AT(from), 0, 0,
	 "source addresses (below /64: one per /64)"},
	{"clients", "N", CLIENTS, NUMBER, AT(clients), 1, 1 << 24,
	 "at most so many of each family; default 4096"},
	{"random", NULL, CLIENTS, FLAG, AT(random), 0, 0,
	 "pick source addresses at random, not in turn"},
	{"seed", "N", CLIENTS, NUMBER, AT(seed), 0, 1e15, "of all random choices; default 1"},
	{"source-port", "A[-B]", CLIENTS, PORTS, 0, 0, 0, "source ports, taken in turn"},
	{"rate", "N/s", CLIENTS, RATE, AT(rate), 0, 0,
	 "connections begun per second, or max; default 100 (hold, udp: 500)"},
	{"inflight", "N", HTTP, NUMBER, AT(inflight), 1, 1e6,
	 "at most so many at once; default 10000, with --rate max 64"},
	{"connections", "N", HOLD | UDP, NUMBER, AT(connections), 1, 1e6,
	 "so many are kept open; default 100"},
	{"duration", "S", CLIENTS, SECONDS, AT(duration), 0, 1e7,
	 "default 10 s, or until --count is reached"},
	{"count", "N", CLIENTS, NUMBER, AT(count), 1, 1e12,
	 "begin so many connections and no more"},
	{"keepalive", "SHARE", HTTP, SHARE, AT(keepalive), 0, 1,
	 "so many of the connections are long-lived (0.05 or 5%)"},
	{"hold", "S", CLIENTS, SECONDS, AT(hold), 0, 1e7,
	 "life of a long-lived one; default 10 s (hold, udp: the whole run)"},
	{"interval", "S", CLIENTS, SECONDS, AT(interval), 0, 1e5,
	 "pause between its questions; default 200ms"},
	{"range", "BYTES", HTTP, NUMBER, AT(range), 1, DATA_SIZE, "of each; default 8192"},
	{"block", "BYTES", HOLD | UDP, NUMBER, AT(block), 1, MAX_BLOCK,
	 "of each, both ways; default 512 (udp at most 1400)"},
	{"path", "PATH", HTTP, TEXT, AT(path), 0, 0, "of short connections; default /"},
	{"host", "NAME", HTTP, TEXT, AT(host), 0, 0, "the Host field; default lab"},
	{"close", "WHO", HTTP | HOLD, CLOSE, 0, 0, 0,
	 "client (default), server (short ones), or reset"},
	{"timeout", "S", CLIENTS, SECONDS, AT(timeout), 0.001, 1e4,
	 "for the handshake, an answer, the end; default 10 s (udp 2 s)"},
	{"expect-reset", NULL, CLIENTS, FLAG, AT(expect_reset), 0, 0,
	 "count resets apart and reconnect (SIGUSR1 on, SIGUSR2 off)"},
	{"allow-errors", NULL, CLIENTS, FLAG, AT(allow_errors), 0, 0, "exit 0 in spite of errors"},
	{"details", "N", CLIENTS, NUMBER, AT(details), 0, MAX_DETAILS,
	 "tell of the first N errors; default 10"},
	{"report", "S", CLIENTS, SECONDS, AT(report), 0, 1e5, "a JSON line so often, not only one"},
	{"map", "FILE", CLIENTS, TEXT, AT(map), 0, 0, "write \"client arm\" lines at the end"},
	{"log", "FILE", CLIENTS, TEXT, AT(log), 0, 0, "write a line per connection"},
};

static const struct {
	const char *name;
	enum verb_bit bit;
	int (*run)(const struct options *opt);
} verbs[] = {
	{"serve", SERVE, serve_main}, {"http", HTTP, http_main}, {"hold", HOLD, hold_main},
	{"udp", UDP, udp_main},	      {"data", DATA, data_main},
};

#define N_ROWS	(sizeof(rows) / sizeof(*rows))
#define N_VERBS (sizeof(verbs) / sizeof(*verbs))

static void usage(FILE *f, int bits)
{
	char left[64];

	fprintf(f, "usage: traffic serve|http|hold|udp|data [--option VALUE]...\n");
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct option_row *row = &rows[i];

		if (!(row->verbs & bits))
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", row->name, row->value ? " " : "",
			 row->value ? row->value : "");
		fprintf(f, "  %-26s %s", left, row->help);
		if (row->verbs != CLIENTS && bits == (SERVE | CLIENTS))
			fprintf(f, " [%s%s%s%s]", row->verbs & SERVE ? "serve" : "",
				row->verbs & HTTP ? "http" : "",
				row->verbs & HOLD ? row->verbs & HTTP ? " hold" : "hold" : "",
				row->verbs & UDP ? " udp" : "");
		fputc('\n', f);
	}
}

/* A number with one of the units, which it is multiplied by; -EINVAL for anything else. */
static int parse_unit(const char *text, const char *const *units, const double *factors,
		      double *ret)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || !(v >= 0) || v > 1e300)
		return -EINVAL;
	for (; *units; units++, factors++) {
		if (strcmp(end, *units) == 0) {
			*ret = v * *factors;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_number(const struct option_row *row, const char *text, double *ret)
{
	static const char *const seconds[] = {"", "s", "ms", "m", "h", NULL};
	static const double seconds_by[] = {1, 1, 0.001, 60, 3600};
	static const char *const rate[] = {"", "/s", NULL};
	static const double rate_by[] = {1, 1};
	static const char *const share[] = {"", "%", NULL};
	static const double share_by[] = {1, 0.01};
	static const char *const none[] = {"", NULL};
	static const double one[] = {1};
	int err;

	switch (row->type) {
	case SECONDS:
		err = parse_unit(text, seconds, seconds_by, ret);
		break;
	case RATE:
		if (strcmp(text, "max") == 0) {
			*ret = -1;
			return 0;
		}
		err = parse_unit(text, rate, rate_by, ret);
		return err || *ret < 0.001 || *ret > 1e6 ? -EINVAL : 0;
	case SHARE:
		err = parse_unit(text, share, share_by, ret);
		break;
	default:
		err = parse_unit(text, none, one, ret);
		break;
	}
	return err || *ret < row->low || *ret > row->high ? -EINVAL : 0;
}

static int parse_targets(struct options *opt, const char *text)
{
	char one[ENDPOINT_TEXT];

	for (;;) {
		size_t len = strcspn(text, ",");

		if (len >= sizeof(one) || opt->n_to == MAX_TARGETS)
			return -EINVAL;
		memcpy(one, text, len);
		one[len] = '\0';
		if (endpoint_parse(one, &opt->to[opt->n_to]) != 0)
			return -EINVAL;
		opt->n_to++;
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

static int parse_ports(struct options *opt, const char *text)
{
	int end = 0, n = sscanf(text, "%5u%n-%5u%n", &opt->port_low, &end, &opt->port_high, &end);

	if (n == 1)
		opt->port_high = opt->port_low;
	return n < 1 || text[end] || opt->port_low < 1 || opt->port_high > 65535 ||
			       opt->port_high < opt->port_low
		       ? -EINVAL
		       : 0;
}

static int parse_close(struct options *opt, const char *text)
{
	static const char *const names[] = {
		[CLOSE_CLIENT] = "client", [CLOSE_SERVER] = "server", [CLOSE_RESET] = "reset"};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(text, names[i]) == 0) {
			opt->close_mode = (enum close_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_option(struct options *opt, const struct option_row *row, const char *text)
{
	void *field = (char *)opt + row->at;
	double v;

	switch (row->type) {
	case TEXT:
		*(const char **)field = text;
		return *text ? 0 : -EINVAL;
	case FLAG:
		*(bool *)field = true;
		return 0;
	case TARGETS:
		return parse_targets(opt, text);
	case PORTS:
		return parse_ports(opt, text);
	case CLOSE:
		return parse_close(opt, text);
	default:
		break;
	}
	if (parse_number(row, text, &v) != 0)
		return -EINVAL;
	if (row->type != NUMBER)
		*(double *)field = v;
	else if (row->at == AT(count) || row->at == AT(seed))
		*(uint64_t *)field = (uint64_t)v;
	else
		*(unsigned int *)field = (unsigned int)v;
	return 0;
}

/* Resolves --from, which needs --clients, into a prefix of each family. */
static int set_sources(struct options *opt)
{
	char one[ENDPOINT_TEXT];
	const char *text = opt->from;

	while (text && *text) {
		size_t len = strcspn(text, ",");
		struct source src, *to;

		if (len >= sizeof(one))
			return -EINVAL;
		memcpy(one, text, len);
		one[len] = '\0';
		if (source_parse(one, opt->clients, &src) != 0)
			return -EINVAL;
		to = src.net.sa.sa_family == AF_INET ? &opt->from4 : &opt->from6;
		if (to->count)
			return -EINVAL;
		*to = src;
		text += text[len] ? len + 1 : len;
	}
	return 0;
}

static int wrong(const char *what, const char *value)
{
	fprintf(stderr, "traffic: %s%s%s; see traffic --help\n", what, value ? ": " : "",
		value ? value : "");
	return 2;
}

static void set_defaults(struct options *opt, enum verb_bit verb)
{
	bool stays = verb == HOLD || verb == UDP;

	*opt = (struct options){
		.clients = 4096,
		.seed = 1,
		.rate = stays ? 500 : 100,
		.connections = stays ? 100 : 0,
		.keepalive = stays ? 1 : 0,
		.hold = stays ? 0 : 10,
		.interval = 0.2,
		.range = 8192,
		.block = 512,
		.path = "/",
		.host = "lab",
		.timeout = verb == UDP ? 2 : 10,
		.details = 10,
		.port = 7000,
	};
}

/* What no single option shows. 0, or 2 after having said it. */
static int check(struct options *opt, enum verb_bit verb)
{
	if (verb == SERVE && !opt->arm)
		return wrong("serve needs --arm", NULL);
	if (verb == SERVE && strlen(opt->arm) >= ARM_NAME)
		return wrong("--arm is too long", opt->arm);
	if (verb & CLIENTS && !opt->n_to)
		return wrong("--to is missing", NULL);
	if (verb == UDP && opt->block > MAX_DATAGRAM)
		return wrong("--block is too much for a datagram", NULL);
	if (opt->path[0] != '/')
		return wrong("--path must begin with /", opt->path);
	if (set_sources(opt) != 0)
		return wrong("--from is not CIDR[,CIDR6]", opt->from);
	if (opt->map && !opt->from)
		return wrong("--map needs --from", NULL);
	if (opt->port_low && !opt->from)
		return wrong("--source-port needs --from", NULL);
	if (verb == HOLD && opt->close_mode == CLOSE_SERVER)
		return wrong("--close server is of http alone", NULL);
	if (!opt->inflight)
		opt->inflight = opt->rate < 0 ? 64 : 10000;
	if (opt->duration <= 0 && (!opt->count || opt->hold <= 0))
		opt->duration = 10;
	return 0;
}

static int parse(struct options *opt, enum verb_bit verb, char **argv)
{
	for (; *argv; argv++) {
		const char *arg = *argv, *value = NULL;
		const struct option_row *row = NULL;
		size_t len;

		if (strncmp(arg, "--", 2) != 0)
			return wrong("not an option", arg);
		len = strcspn(arg + 2, "=");
		for (size_t i = 0; i < N_ROWS && !row; i++)
			if (rows[i].verbs & verb && strlen(rows[i].name) == len &&
			    strncmp(rows[i].name, arg + 2, len) == 0)
				row = &rows[i];
		if (!row)
			return wrong("no such option here", arg);
		if (arg[2 + len] == '=')
			value = arg + 2 + len + 1;
		else if (row->type != FLAG && argv[1])
			value = *++argv;
		if ((row->type == FLAG) != !value)
			return wrong(value ? "takes no value" : "needs a value", arg);
		if (set_option(opt, row, value) != 0) {
			fprintf(stderr, "traffic: --%s: cannot be %s\n", row->name, value);
			return 2;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options opt;
	const char *name = argc > 1 ? argv[1] : "";
	bool help = argc > 2 && strcmp(argv[2], "--help") == 0;

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		usage(stdout, SERVE | CLIENTS);
		return 0;
	}
	for (size_t i = 0; i < N_VERBS; i++) {
		int err;

		if (strcmp(name, verbs[i].name) != 0)
			continue;
		if (help) {
			usage(stdout, (int)verbs[i].bit);
			return 0;
		}
		set_defaults(&opt, verbs[i].bit);
		opt.verb = name;
		err = parse(&opt, verbs[i].bit, argv + 2);
		if (!err)
			err = check(&opt, verbs[i].bit);
		return err ? err : verbs[i].run(&opt);
	}
	if (*name)
		fprintf(stderr, "traffic: no such verb: %s\n", name);
	usage(stderr, SERVE | CLIENTS);
	return 2;
}
