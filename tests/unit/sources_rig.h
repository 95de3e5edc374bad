/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sources_rig.h - gates of a configuration, asked of servers that behave as their paths say
 *
 * Runs in a network namespace of its own with an address that is public and this host's, so that
 * what may only go to public addresses is really asked.
 */
#pragma once

#include <dlfcn.h>
#include <math.h>
#include <net/if.h>
#include <netdb.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "tests/unit/http_rig.h"
#include "tests/unit/loop_rig.h"
#include "userspace/ctl/sources_inner.h"

#define SECOND	1000000000ull
#define ADDRESS "198.51.100.1" /* this namespace's own, and public */

static struct rig plain, tls, here; /* `here` is on loopback */
static char ca_file[64];
static struct config *conf;
static struct conf_errors errors;
static struct gate gates[CONF_MAX_GATES];
static struct sources *s;
static unsigned int seen[CONF_MAX_GATES], until; /* looks of gate 0 that end the loop */
static uint64_t worst_wait;			 /* between two beats of the loop */
static struct loop_timer beat;
static struct window_look kernel;
static int kernel_err;
static const char *via_answer, *via_other; /* the backend's addresses; NULL: it has none */

/* libcurl's threads call this one: names that lead where no test may really go. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
		(int (*)(const char *, const char *, const struct addrinfo *,
			 struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");

	if (name && !strcmp(name, "metadata.test"))
		name = "169.254.169.254";
	if (name && !strcmp(name, "here.test"))
		name = "127.0.0.1";
	if (name && strstr(name, "none.test"))
		return EAI_NONAME;
	if (name && !strcmp(name, "lb.test"))
		name = ADDRESS;
	return real(name, service, hints, ret);
}

/* ---- the server ---- */

static inline bool say_json(const struct rig_link *k, const char *body)
{
	char text[2048];

	snprintf(
		text, sizeof(text),
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);
	return rig_say(k, text);
}

static inline bool nested(const struct rig_link *k, unsigned int depth)
{
	rig_say(k, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"tps\": ");
	for (unsigned int i = 0; i < depth; i++)
		rig_say(k, "[");
	rig_say(k, "1");
	for (unsigned int i = 0; i < depth; i++)
		rig_say(k, "]");
	rig_say(k, "}");
	return false;
}

static inline bool prometheus(const struct rig_link *k, const char *path)
{
	char body[512] = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[";
	static const char sample[] = "{\"metric\":{\"job\":\"a\"},\"value\":[1.5,\"0.04\"]}";

	if (strstr(path, "wrong"))
		return rig_say(k,
			       "HTTP/1.1 400 Bad Request\r\nContent-Length: 74\r\n\r\n"
			       "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:7: "
			       "parse error: no\"}   ");
	if (strstr(path, "scalar"))
		return say_json(k, "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\","
				   "\"result\":[1.5,\"12\"]}}");
	if (strstr(path, "nan"))
		return say_json(k, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\","
				   "\"result\":[{\"metric\":{},\"value\":[1,\"NaN\"]}]}}");
	if (strstr(path, "matrix"))
		return say_json(k, "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\","
				   "\"result\":[]}}");
	if (!strstr(path, "none"))
		strcat(body, sample);
	if (strstr(path, "two"))
		strcat(strcat(body, ","), sample);
	return say_json(k, strcat(body, "]}}"));
}

static inline bool answer(const struct rig_link *k, const char *path)
{
	static char block[65536];

	memset(block, ' ', sizeof(block));
	if (strstr(path, "/api/v1/query?") && strncmp(path, "/html", 5) != 0)
		return prometheus(k, path);
	if (!strcmp(path, "/stats"))
		return say_json(k, "{\"tps\": 776000, \"p95\": \"87.5\", \"neg\": -1, \"text\": "
				   "\"fast\\u001b[2J\", \"list\": [{\"lag\": 2}, {\"lag\": 3.5}]}");
	if (!strcmp(path, "/late")) {
		usleep(400000);
		return say_json(k, "{\"tps\": 1}");
	}
	if (!strncmp(path, "/html", 5))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
				  "Content-Length: 27\r\n\r\n<html>please log in</html>\n");
	if (!strcmp(path, "/redirect"))
		return rig_say(k, "HTTP/1.1 302 Found\r\nLocation: /stats\r\n"
				  "Content-Length: 0\r\n\r\n");
	if (!strcmp(path, "/503"))
		return rig_say(k, "HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\n{\"tps\": 1}");
	if (!strcmp(path, "/empty"))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	if (!strcmp(path, "/malformed"))
		return say_json(k, "{\"tps\": 776000");
	if (!strcmp(path, "/twice"))
		return say_json(k, "{\"tps\": 1, \"tps\": 2}");
	if (!strcmp(path, "/nan"))
		return say_json(k, "{\"tps\": NaN}");
	if (!strcmp(path, "/inf"))
		return say_json(k, "{\"tps\": 1e999}");
	if (!strcmp(path, "/deep"))
		return nested(k, 10000);
	if (!strcmp(path, "/huge")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n{\"tps\": 1");
		while (rig_write(k, block, sizeof(block)))
			;
	}
	if (!strcmp(path, "/endless")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		while (rig_say(k, "10\r\n{\"a\":0123456789\r\n"))
			;
	}
	if (!strcmp(path, "/drip")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{\"tps\": 1");
		while (rig_say(k, " "))
			usleep(20000);
	}
	if (!strcmp(path, "/silence"))
		sleep(20);
	if (!strcmp(path, "/cut"))
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"tps\": 1}");
	if (!strcmp(path, "/garbage"))
		rig_say(k, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
	return false;
}

/* ---- the sources ---- */

static inline void on_seen(void *arg, unsigned int gate, uint64_t now)
{
	(void)arg;
	(void)now;
	seen[gate]++;
	if (!gate && until && seen[0] >= until)
		loop_stop(l, 0);
}

static inline int on_look(void *arg, struct window_look *ret)
{
	(void)arg;
	*ret = kernel;
	return kernel_err;
}

static inline int on_via(void *arg, const char *backend, unsigned int turn, char *ret, size_t size)
{
	(void)arg;
	if (!via_answer || strcmp(backend, "aws") != 0)
		return -ENOENT;
	snprintf(ret, size, "%s", via_other && turn % 2 ? via_other : via_answer);
	return via_other ? 2 : 1;
}

static inline void on_beat(void *arg, uint64_t now)
{
	uint64_t *last = arg;

	if (*last && now - *last > worst_wait)
		worst_wait = now - *last;
	*last = now;
	loop_timer_set(l, &beat, now + 5 * MS, on_beat, last);
}

static const struct sources_world all = {.look = on_look, .seen = on_seen};

static inline void begin(const struct sources_world *world)
{
	assert_int_equal(sources_make(l, world, &s), 0);
}

static inline void forget(void)
{
	sources_free(s);
	s = NULL;
	conf_free(conf);
	conf = NULL;
	conf_errors_free(&errors);
}

/* What is in the list `gates`; in it, @P and @T stand for where the servers are. */
static inline struct config *read_conf(const char *list)
{
	static const char head[] = "service: api\n"
				   "listen: [203.0.113.10:443/tcp]\n"
				   "interfaces: [eth0]\n"
				   "nat: {addresses: [203.0.113.10], ports: 20000-59999}\n"
				   "backends:\n"
				   "  - {name: aws, target: \"" ADDRESS ":@T\", weight: 40}\n"
				   "  - {name: azure, target: \"lb.test:@P\", weight: 30}\n"
				   "gates:\n";
	char text[4096], port[16];
	struct config *c = NULL;
	size_t n = 0;

	memset(&errors, 0, sizeof(errors));

	for (const char *part = head; part; part = part == head ? list : NULL) {
		for (const char *p = part; *p; p++) {
			if (*p != '@') {
				text[n++] = *p;
				continue;
			}
			p++;
			snprintf(port, sizeof(port), "%u",
				 *p == 'P'   ? plain.port
				 : *p == 'T' ? tls.port
					     : here.port);
			n += (size_t)sprintf(text + n, "%s", port);
		}
	}
	if (conf_parse("shift.yaml", text, n, &c, &errors)) {
		text[n] = '\0';
		fail_msg("%s\n%s", errors.error[0].text, text);
	}
	return c;
}

static inline void use(const char *list)
{
	conf = read_conf(list);
	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < conf->n_gates; i++)
		gate_begin(&gates[i], &conf->gates[i]);
	assert_int_equal(sources_use(s, conf, gates), 0);
}

static inline void run_until(unsigned int looks)
{
	uint64_t last = 0;

	until = looks;
	worst_wait = 0;
	assert_int_equal(loop_timer_set(l, &beat, loop_now(), on_beat, &last), 0);
	assert_int_equal(loop_run(l), 0);
	loop_timer_stop(l, &beat);
	until = 0;
}

/* One look at one gate with this source. */
static inline void look_once(const struct sources_world *world, const char *source)
{
	char list[2048];

	begin(world);
	snprintf(list, sizeof(list), "  - {name: g, source: %s, ok: \"< 1000000\"}\n", source);
	use(list);
	run_until(1);
}

static inline void gives(const char *source, double value)
{
	struct gate_verdict v;

	look_once(&all, source);
	gate_judge(&gates[0], loop_now(), &v);
	if (v.says != GATE_OK || !(fabs(v.value - value) < 1e-9))
		fail_msg("%s: %s, %g (%s) instead of %g", source, gate_says_name(v.says), v.value,
			 v.why, value);
	forget();
}

/* It is inconclusive, says why, and held up nothing. */
static inline void gives_nothing(const char *source, const char *why, unsigned int within_ms)
{
	uint64_t begun = loop_now();
	struct gate_verdict v;

	look_once(&all, source);
	gate_judge(&gates[0], loop_now(), &v);
	if (v.says != GATE_INCONCLUSIVE || v.has_value || !strstr(v.why, why))
		fail_msg("%s: %s, \"%s\" instead of \"%s\"", source, gate_says_name(v.says), v.why,
			 why);
	for (const char *c = v.why; *c; c++)
		assert_in_range(*c, ' ', '~');
	if (loop_now() - begun > within_ms * MS || worst_wait > 1000 * MS)
		fail_msg("%s took %llu ms, and held up the loop for %llu", source,
			 (unsigned long long)((loop_now() - begun) / MS),
			 (unsigned long long)(worst_wait / MS));
	forget();
}

/* ---- the namespace ---- */

static inline int up(const char *name, const char *address)
{
	struct ifreq r = {0};
	struct sockaddr_in *a = (struct sockaddr_in *)(void *)&r.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	a->sin_family = AF_INET;
	if (address) {
		inet_pton(AF_INET, address, &a->sin_addr);
		err = ioctl(fd, SIOCSIFADDR, &r);
	} else {
		r.ifr_flags = IFF_UP;
		err = ioctl(fd, SIOCSIFFLAGS, &r);
	}
	close(fd);
	return err;
}

static inline int start(void **state)
{
	SSL_CTX *x;

	(void)state;
	if (unshare(CLONE_NEWNET) || up("lo", NULL) || up("lo:1", ADDRESS)) {
		print_error("a network namespace of its own is needed: run as root\n");
		return -1;
	}
	strcpy(ca_file, "/tmp/sources-ca-XXXXXX");
	close(mkstemp(ca_file));
	x = rig_certificate("www.example.test", ca_file);
	rig_start_at(&plain, inet_addr(ADDRESS), NULL, answer);
	rig_start_at(&tls, inet_addr(ADDRESS), x, answer);
	rig_start(&here, NULL, answer);
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	rig_stop(&plain);
	rig_stop(&tls);
	rig_stop(&here);
	SSL_CTX_free(tls.tls);
	unlink(ca_file);
	return 0;
}
