/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preflight.c - `preflight`: would the backends serve what the old service serves, seen from where
 * shifted clients will come from: the NAT addresses
 *
 * Every address of every backend, and the old service beside them, is looked at in a process of its
 * own (preflight_look.c), all at once; whoever takes longer than his bound is killed and told of as
 * unknown. What came of it is judged together (preflight_judge.c). Nothing is changed anywhere, the
 * data plane need not be attached, and the traffic is bounded and said before it begins.
 */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/loop.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/complain.h"
#include "userspace/cmd/preflight.h"
#include "userspace/cmd/verbs.h"
#include "userspace/conf/config.h"
#include "userspace/net/public.h"
#include "userspace/net/resolve.h"

#define S	 UINT64_C(1000000000)
#define SERVERS	 256
#define AT_ONCE	 32
#define RATE_MAX 2000

struct preflight {
	const struct options *o;
	struct config *c;
	struct conf_errors errors;
	struct preflight_plan plan;
	struct preflight_url url[PREFLIGHT_URLS]; /* of the command line */
	unsigned int n_urls;
	const char *backend; /* only this one; NULL: all */
	bool dry;
	struct preflight_server *server; /* shared with the children; the old ones first */
	unsigned int n, n_old, left_out;
	pid_t child[SERVERS];
	uint64_t until[SERVERS];
	struct preflight_budget budget;
	struct preflight_report report;
};

/* ---- URLs ---- */

/* 0; -EINVAL: no URL of http or https. */
static int url_of(const char *text, struct preflight_url *ret)
{
	const char *at, *end;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	for (at = text; *at; at++) {
		if (*at <= ' ' || *at > '~')
			return -EINVAL;
	}
	ret->tls = !strncmp(text, "https://", 8);
	if ((!ret->tls && strncmp(text, "http://", 7) != 0) || strlen(text) >= sizeof(ret->url))
		return -EINVAL;
	at = text + (ret->tls ? 8 : 7);
	if (*at == '[') {
		end = strchr(at, ']');
		n = end ? (size_t)(end - ++at) : 0;
		end = end ? end + 1 : at;
	} else {
		n = strcspn(at, ":/?#");
		end = at + n;
	}
	if (!n || n >= sizeof(ret->host))
		return -EINVAL;
	memcpy(ret->host, at, n);
	end += strcspn(end, "/?#");
	snprintf(ret->path, sizeof(ret->path), "%s%.*s", *end == '/' ? "" : "/",
		 (int)strcspn(end, "#"), end);
	snprintf(ret->url, sizeof(ret->url), "%s", text);
	return 0;
}

static void add_url(struct preflight_server *s, const struct preflight_url *u)
{
	for (unsigned int i = 0; i < s->n_urls; i++) {
		if (!strcmp(s->url[i].url, u->url))
			return;
	}
	if (s->n_urls < PREFLIGHT_URLS)
		s->url[s->n_urls++] = *u;
}

/* A backend's own, of its health, and those of the command line. */
static void add_urls(struct preflight *k, struct preflight_server *s, const struct conf_health *h)
{
	struct preflight_url u;

	if (h && h->http.text[0] && !url_of(h->http.text, &u)) {
		for (unsigned int i = 0; i < h->n_expect; i++)
			u.expect[u.n_expect++] = h->expect[i].status;
		if (!u.n_expect)
			u.expect[u.n_expect++] = 200;
		snprintf(u.ca_file, sizeof(u.ca_file), "%s", h->ca_file);
		add_url(s, &u);
	}
	for (unsigned int i = 0; i < k->n_urls; i++)
		add_url(s, &k->url[i]);
}

/* ---- who is looked at ---- */

static struct preflight_server *add_server(struct preflight *k, const char *name,
					   const uint32_t address[4], uint16_t port)
{
	struct preflight_server *s;

	if (k->n == SERVERS) {
		k->left_out++;
		return NULL;
	}
	s = &k->server[k->n++];
	snprintf(s->name, sizeof(s->name), "%s", name);
	memcpy(s->address, address, sizeof(s->address));
	s->port = port;
	return s;
}

static bool is_v4(const uint32_t address[4])
{
	return !address[0] && !address[1] && address[2] == htonl(0xffff);
}

static void add_sources(const struct preflight *k, struct preflight_server *s)
{
	for (unsigned int i = 0; i < k->c->n_nat && s->n_from < PREFLIGHT_SOURCES; i++) {
		if (is_v4(k->c->nat[i].ip) == is_v4(s->address))
			memcpy(s->from[s->n_from++].address, k->c->nat[i].ip, 16);
	}
}

static void add_backend_address(struct preflight *k, const struct conf_backend *b,
				const uint32_t address[4], int err)
{
	struct preflight_server *s = add_server(k, b->name, address, b->port);

	if (!s)
		return;
	s->resolve_err = err;
	add_sources(k, s);
	add_urls(k, s, &b->health);
}

static void add_backend(struct preflight *k, const struct conf_backend *b)
{
	static const uint32_t none[4];
	struct resolved r;
	int err;

	if (!b->host[0]) {
		add_backend_address(k, b, b->address.ip, 0);
		return;
	}
	err = resolve_host(b->host, &r);
	if (err)
		add_backend_address(k, b, none, err);
	for (unsigned int i = 0; !err && i < r.n; i++)
		add_backend_address(k, b, r.address[i], ip_is_public(r.address[i]) ? 0 : -EACCES);
}

/* One listener of each family, with the backends' port if there is one. */
static void add_old(struct preflight *k, bool v4)
{
	const struct conf_listen *best = NULL;
	struct preflight_server *s;

	for (unsigned int i = 0; i < k->c->n_listens; i++) {
		const struct conf_listen *l = &k->c->listens[i];
		bool port = k->c->n_backends && l->port == k->c->backends[0].port;

		if (l->protocol != IPPROTO_TCP || is_v4(l->address.ip) != v4)
			continue;
		if (!best || (port && best->port != k->c->backends[0].port))
			best = l;
	}
	s = best ? add_server(k, "old", best->address.ip, best->port) : NULL;
	if (!s)
		return;
	s->old = true;
	s->n_from = 1;
	k->n_old++;
	for (unsigned int i = 0; i < k->c->n_backends; i++)
		add_urls(k, s, &k->c->backends[i].health);
	add_urls(k, s, NULL);
}

static int choose(struct preflight *k)
{
	bool found = false;

	k->server = mmap(NULL, SERVERS * sizeof(*k->server), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (k->server == MAP_FAILED) {
		k->server = NULL;
		say("preflight: %s", strerror(errno));
		return EXIT_FAILED;
	}
	add_old(k, true);
	add_old(k, false);
	for (unsigned int i = 0; i < k->c->n_backends; i++) {
		if (k->backend && strcmp(k->backend, k->c->backends[i].name) != 0)
			continue;
		found = true;
		add_backend(k, &k->c->backends[i]);
	}
	if (!found)
		return usage_error("preflight: there is no backend %s",
				   k->backend ? k->backend : "at all");
	if (!k->plan.name[0] && k->c->dns.given)
		snprintf(k->plan.name, sizeof(k->plan.name), "%.*s",
			 (int)strcspn(k->c->dns.name, "*"), k->c->dns.name);
	return EXIT_OK;
}

/* ---- looking ---- */

static void add_up(struct preflight *k)
{
	for (unsigned int i = 0; i < k->n; i++) {
		struct preflight_budget one = preflight_bound(&k->server[i], &k->plan);

		k->budget.connections += one.connections;
		k->budget.requests += one.requests;
		k->budget.bytes += one.bytes;
		if (one.ns > k->budget.ns)
			k->budget.ns = one.ns;
	}
	k->budget.ns *= (k->n + AT_ONCE - 1) / AT_ONCE;
}

static void start(struct preflight *k, unsigned int i)
{
	struct preflight_server *s = &k->server[i];

	k->until[i] = loop_now() + preflight_bound(s, &k->plan).ns;
	k->child[i] = fork();
	if (k->child[i])
		return; /* or there is no child, and `done` will say so */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	preflight_look(s, &k->plan);
	_exit(0);
}

/* Ends those that are over their time; how many still run. */
static unsigned int tend(struct preflight *k)
{
	unsigned int running = 0;

	for (unsigned int i = 0; i < k->n; i++) {
		if (k->child[i] <= 0)
			continue;
		if (loop_now() > k->until[i])
			kill(k->child[i], SIGKILL);
		if (waitpid(k->child[i], NULL, WNOHANG) == k->child[i])
			k->child[i] = 0;
		running += k->child[i] > 0;
	}
	return running;
}

static void look(struct preflight *k)
{
	for (unsigned int i = 0; i < k->n; i++) {
		while (tend(k) >= AT_ONCE)
			usleep(20000);
		if (!k->server[i].resolve_err)
			start(k, i);
	}
	while (tend(k))
		usleep(20000);
}

static const struct preflight_server *old_of(const struct preflight *k,
					     const struct preflight_server *s)
{
	for (unsigned int i = 0; i < k->n_old; i++) {
		if (is_v4(k->server[i].address) == is_v4(s->address))
			return &k->server[i];
	}
	return NULL;
}

static void judge(struct preflight *k)
{
	for (unsigned int i = 0; i < k->n_old; i++)
		preflight_judge_old(&k->server[i], &k->report);
	for (unsigned int i = k->n_old; i < k->n; i++)
		preflight_judge(&k->server[i], old_of(k, &k->server[i]), &k->plan, time(NULL),
				&k->report);
}

/* ---- shown ---- */

static void say_budget(const struct preflight *k, FILE *to)
{
	char c[32], q[32], b[16], t[32], l[32];

	fprintf(to,
		"%u addresses of backends and %u of the old service: at most %s connections, %s "
		"requests and %s, %s if all goes well and no longer than %s\n",
		k->n - k->n_old, k->n_old, text_count(k->budget.connections, c),
		text_count(k->budget.requests, q), screen_bytes(k->budget.bytes, b),
		text_duration(k->plan.idle_ns + 2 * S, t), text_duration(k->budget.ns, l));
	if (k->left_out)
		fprintf(to, "%u more addresses are left out: name a --backend\n", k->left_out);
}

static json_t *clean(const char *text)
{
	char copy[512];

	return text[0] ? json_string(screen_clean(text, copy, sizeof(copy))) : json_null();
}

static json_t *json_budget(const struct preflight *k)
{
	return json_pack("{s:I, s:I, s:I, s:f}", "connections", (json_int_t)k->budget.connections,
			 "requests", (json_int_t)k->budget.requests, "bytes",
			 (json_int_t)k->budget.bytes, "seconds", (double)k->budget.ns / 1e9);
}

static void print_as_json(const struct preflight *k, int code)
{
	const struct preflight_report *r = &k->report;
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->n; i++) {
		const struct preflight_finding *f = &r->finding[i];

		json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:o, s:o}", "check",
						      f->check, "on", clean(f->on), "verdict",
						      preflight_verdicts[f->verdict], "evidence",
						      clean(f->evidence), "fix", clean(f->fix)));
	}
	print_json(json_pack("{s:i, s:s, s:b, s:s, s:{s:i, s:i, s:i, s:i}, s:o, s:o}", "schema", 1,
			     "service", k->c->service, "ok", code == EXIT_OK, "verdict",
			     r->of[PREFLIGHT_FAILED]	? "failed"
			     : r->of[PREFLIGHT_UNKNOWN] ? "unknown"
			     : r->of[PREFLIGHT_WARNING] ? "warning"
							: "ok",
			     "count", "ok", (int)r->of[PREFLIGHT_OK], "warning",
			     (int)r->of[PREFLIGHT_WARNING], "failed", (int)r->of[PREFLIGHT_FAILED],
			     "unknown", (int)r->of[PREFLIGHT_UNKNOWN], "budget", json_budget(k),
			     "findings", list));
}

static void print_text(const struct preflight *k)
{
	static const char *const colours[] = {SCREEN_GREEN, SCREEN_YELLOW, SCREEN_RED, "35"};
	const struct preflight_report *r = &k->report;
	unsigned int columns = screen_columns();
	bool colour = use_colour(k->o);
	char text[512], verdict[32], word[16];

	for (unsigned int i = 0; i < r->n; i++) {
		const struct preflight_finding *f = &r->finding[i];

		if (!i || strcmp(f->on, r->finding[i - 1].on) != 0)
			printf("%s\n", screen_clean(f->on, text, sizeof(text)));
		snprintf(word, sizeof(word), "%-7s", preflight_verdicts[f->verdict]);
		printf("  %s  %-11s  ",
		       screen_paint(colour, colours[f->verdict], word, verdict, sizeof(verdict)),
		       f->check);
		screen_words(screen_clean(f->evidence, text, sizeof(text)), 24, columns, stdout);
		putchar('\n');
		if (f->fix[0]) {
			printf("%24sfix: ", "");
			screen_words(screen_clean(f->fix, text, sizeof(text)), 29, columns, stdout);
			putchar('\n');
		}
	}
	if (r->left_out)
		printf("and %u more\n", r->left_out);
	printf("%s: %u ok, %u warning%s, %u failed, %u unknown\n", k->c->service,
	       r->of[PREFLIGHT_OK], r->of[PREFLIGHT_WARNING],
	       r->of[PREFLIGHT_WARNING] == 1 ? "" : "s", r->of[PREFLIGHT_FAILED],
	       r->of[PREFLIGHT_UNKNOWN]);
}

/* ---- the verb ---- */

static int run(struct preflight *k)
{
	int code = choose(k);

	if (code)
		return code;
	add_up(k);
	if (k->dry && k->o->json)
		print_json(json_pack("{s:i, s:s, s:b, s:o}", "schema", 1, "service", k->c->service,
				     "dry_run", 1, "budget", json_budget(k)));
	if (k->dry && !k->o->json)
		say_budget(k, stdout);
	if (k->dry)
		return EXIT_OK;
	say_budget(k, stderr);
	look(k);
	judge(k);
	code = preflight_exit(&k->report);
	if (k->o->json)
		print_as_json(k, code);
	else
		print_text(k);
	return code;
}

static int number(const char *name, const char *value, uint32_t max, uint32_t *ret)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || (strcmp(end, "") && strcmp(end, "/s")) || n > max)
		return usage_error("preflight: %s '%s' is no number of 0 to %u", name, value, max);
	*ret = (uint32_t)n;
	return EXIT_OK;
}

static int duration(const char *name, const char *value, uint64_t max, uint64_t *ret)
{
	char a[32];

	if (!text_parse_duration(value, ret) && *ret <= max)
		return EXIT_OK;
	return usage_error("preflight: %s '%s' is no duration up to %s", name, value,
			   text_duration(max, a));
}

static int text(const char *name, const char *value, char *ret, size_t size)
{
	if (*value && strlen(value) < size) {
		snprintf(ret, size, "%s", value);
		return EXIT_OK;
	}
	return usage_error("preflight: %s: is empty, or too long", name);
}

static int take_url(struct preflight *k, const char *value)
{
	if (k->n_urls == PREFLIGHT_URLS / 2)
		return usage_error("preflight: %u URLs at most", PREFLIGHT_URLS / 2);
	if (url_of(value, &k->url[k->n_urls]))
		return usage_error("preflight: --url '%s' is no URL of http or https", value);
	k->n_urls++;
	return EXIT_OK;
}

static int parse(struct preflight *k, int argc, char **argv)
{
	static const char *const flags[] = {
		"--url=",  "--idle=",	 "--rate=",    "--burst=",  "--timeout=",
		"--name=", "--ca-file=", "--backend=", "--dry-run", NULL};
	struct preflight_plan *p = &k->plan;
	int at = 1, what, code = EXIT_OK;
	const char *value;

	*p = (struct preflight_plan){.timeout_ns = 3 * S, .idle_ns = 60 * S, .burst = 30};
	while (!code && (what = next_option(argc, argv, &at, flags, &value)) != -2) {
		switch (what) {
		case 0:
			code = take_url(k, value);
			break;
		case 1:
			code = duration("--idle", value, 3600 * S, &p->idle_ns);
			break;
		case 2:
			code = number("--rate", value, RATE_MAX, &p->rate);
			break;
		case 3:
			code = number("--burst", value, 1000, &p->burst);
			break;
		case 4:
			code = duration("--timeout", value, 60 * S, &p->timeout_ns);
			break;
		case 5:
			code = text("--name", value, p->name, sizeof(p->name));
			break;
		case 6:
			code = text("--ca-file", value, p->ca_file, sizeof(p->ca_file));
			break;
		case 7:
			k->backend = value;
			break;
		case 8:
			k->dry = true;
			break;
		case -1:
			code = usage_error("preflight takes no argument, not '%s'", value);
			break;
		default:
			code = EXIT_USAGE;
		}
	}
	if (!code && !p->timeout_ns)
		code = usage_error("preflight: --timeout 0 is none");
	return code;
}

int cmd_preflight(const struct options *o, int argc, char **argv)
{
	struct preflight *k = calloc(1, sizeof(*k));
	int code;

	if (!k)
		return EXIT_FAILED;
	k->o = o;
	signal(SIGPIPE, SIG_IGN);
	code = parse(k, argc, argv);
	if (!code && conf_load(o->config, &k->c, &k->errors)) {
		complain_of_file(&k->errors);
		code = EXIT_USAGE;
	} else if (!code) {
		code = about_service(o, k->c->service);
	}
	if (!code)
		code = run(k);
	if (k->server)
		munmap(k->server, SERVERS * sizeof(*k->server));
	conf_errors_free(&k->errors);
	conf_free(k->c);
	free(k);
	return code;
}
