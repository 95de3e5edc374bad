/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * follow.c - looks the names of backends up again and again, and moves the backends along
 *
 * Every 30 seconds, and never all at the same moment (getaddrinfo tells no TTL; a load balancer's
 * is a minute). The look-up is a thread's (lookup.h), because it blocks; the change is a child's,
 * because the data plane makes arrays of flows and waits for programs under way, and it takes the
 * turn that `apply` takes. The child changes the addresses of that one backend and nothing else: a
 * configuration file that somebody is editing is not put in force by a change in DNS.
 *
 * Promises: a name that is gone, or that nobody answers for, keeps its last addresses; what fails
 * leaves everything as it was and is tried again. An answer with an address that no backend may
 * have (this host's own, a listener's, the old one's, loopback, metadata) is refused whole: the
 * name is not to be trusted then.
 *
 * Weaknesses: only addresses that the maps have room for; a name that had none yet, the first
 * address of a family, or a forward table that is too small need an `apply`, and the alarm says so.
 * An address that left keeps its place until its last flow has ended and something is applied anew.
 */
#include "userspace/ctl/follow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/ctl/checks_plane.h"
#include "userspace/ctl/lookup.h"
#include "userspace/net/public.h"
#include "userspace/plane/hostlock.h"
#include "userspace/plane/hostports.h"
#include "userspace/plane/plane.h"
#include "userspace/plane/sync_follow.h"
#include "userspace/plane/ways.h"

#define SECOND	   1000000000ull
#define MAX_LOCAL  1024
#define LOCK_TRIES 50 /* of 100 ms, in the child */

/* ---- pure ---- */

const char *ctl_follow_refusal(const struct config *c, const uint32_t (*local)[4], unsigned int n,
			       const uint32_t address[4])
{
	for (unsigned int i = 0; i < c->n_listens; i++)
		if (!memcmp(c->listens[i].address.ip, address, 16))
			return "is a listen address: the new arm would be the old host";
	for (unsigned int i = 0; i < c->dns.n_old; i++)
		if (!memcmp(c->dns.old[i].ip, address, 16))
			return "is an address of dns.old: it may shift back";
	for (unsigned int i = 0; i < n; i++)
		if (!memcmp(local[i], address, 16))
			return "is this host's own";
	if (!ip_is_public(address))
		return "is loopback, link-local, multicast or a metadata service's";
	return NULL;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 4 * sizeof(uint32_t));
}

static bool has(const uint32_t (*list)[4], unsigned int n, const uint32_t address[4])
{
	for (unsigned int i = 0; i < n; i++)
		if (!by_bytes(list[i], address))
			return true;
	return false;
}

bool ctl_follow_change(const uint32_t (*now)[4], unsigned int n, int err, const struct resolved *r,
		       uint32_t (*ret)[4], unsigned int *ret_n)
{
	unsigned int found = 0, same = 0;

	if (err || !r->n)
		return false;
	for (unsigned int i = 0; i < r->n && found < RESOLVE_MAX; i++)
		memcpy(ret[found++], r->address[i], sizeof(*ret));
	for (unsigned int i = 0; i < n && found < RESOLVE_MAX; i++)
		if (r->missing[ip_family(now[i]) == 6] &&
		    !has((const uint32_t(*)[4])ret, found, now[i]))
			memcpy(ret[found++], now[i], sizeof(*ret));
	qsort(ret, found, sizeof(*ret), by_bytes);
	for (unsigned int i = 0; i < found; i++)
		same += has(now, n, ret[i]);
	*ret_n = found;
	return same != found || found != n;
}

/* ---- the machine ---- */

struct name {
	struct ctl_follow *f;
	const struct conf_backend *b;
	struct loop_timer timer;
	struct ctl_lookup *lookup;
	pid_t child;		 /* 0: none */
	int pipe;		 /* from it */
	char said[256], is[256]; /* the complaint that was made last; what the child shall make */
	char alarm[256];	 /* the one that stands as an alarm */
};

struct ctl_follow {
	struct loop *loop;
	ctl_follow_say say;
	void *arg;
	const struct config *conf;
	struct name *names;
	unsigned int n;
	uint64_t every; /* between two look-ups of a name */
	uint64_t random;
};

static void on_time(void *arg, uint64_t now);

static void again(struct name *k, uint64_t ns)
{
	struct ctl_follow *f = k->f;

	f->random = shift_mix(f->random + loop_now());
	loop_timer_set(f->loop, &k->timer, loop_now() + ns - ns / 10 + f->random % (ns / 5),
		       on_time, k);
}

/* The alarm is over, or is another name's only. */
static void end_alarm(struct name *k)
{
	struct ctl_follow *f = k->f;

	if (!k->alarm[0])
		return;
	k->alarm[0] = '\0';
	for (unsigned int i = 0; i < f->n; i++) {
		if (!f->names[i].alarm[0])
			continue;
		f->say(f->arg, CTL_FOLLOW_ALARM, f->names[i].alarm);
		return;
	}
	f->say(f->arg, CTL_FOLLOW_OVER, "every name is followed again");
}

/* The same complaint is made once; "" takes it back. One that is no alarm ends none. */
static void complain(struct name *k, bool alarm, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void complain(struct name *k, bool alarm, const char *format, ...)
{
	char text[sizeof(k->said)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (!text[0])
		end_alarm(k);
	if (!strcmp(text, k->said))
		return;
	memcpy(k->said, text, sizeof(k->said));
	if (alarm)
		memcpy(k->alarm, text, sizeof(k->alarm));
	if (text[0])
		k->f->say(k->f->arg, alarm ? CTL_FOLLOW_ALARM : CTL_FOLLOW_LINE, text);
}

static const char *list_text(const uint32_t (*list)[4], unsigned int n, char *ret, size_t size)
{
	size_t used = 0;
	char one[64];

	ret[0] = '\0';
	for (unsigned int i = 0; i < n && used < size; i++)
		used += (size_t)snprintf(ret + used, size - used, "%s%s", i ? " " : "",
					 text_address(list[i], 0, one));
	return ret;
}

static unsigned int local_addresses(uint32_t (*ret)[4])
{
	struct ifaddrs *list = NULL;
	unsigned int n = 0;

	if (getifaddrs(&list))
		return 0;
	for (const struct ifaddrs *a = list; a && n < MAX_LOCAL; a = a->ifa_next) {
		const void *sa = a->ifa_addr;

		if (sa && a->ifa_addr->sa_family == AF_INET)
			ip_map(((const struct sockaddr_in *)sa)->sin_addr.s_addr, ret[n++]);
		else if (sa && a->ifa_addr->sa_family == AF_INET6)
			memcpy(ret[n++], &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	}
	freeifaddrs(list);
	return n;
}

/* ---- the change, in a child ---- */

static int take_turn(int *ret_fd)
{
	char path[64];
	int err = 0;

	*ret_fd = hostlock_open(path);
	if (*ret_fd < 0)
		return *ret_fd;
	for (int i = 0; i < LOCK_TRIES && (err = hostlock_take(*ret_fd)) == -EAGAIN; i++)
		usleep(100000);
	return err;
}

static int change(const char *service, const char *backend, const uint32_t (*address)[4],
		  unsigned int n)
{
	struct plane p;
	int lock = -1, err = plane_find(&p), id;

	id = err ? err : plane_service_by_name(&p, service);
	err = id < 0 ? id : take_turn(&lock);
	if (!err)
		err = sync_addresses(&p, id, backend, address, n, ways_ask, NULL, NULL);
	if (!err)
		hostports_avoid(&p);
	plane_close(&p);
	if (lock >= 0)
		close(lock);
	return err;
}

static void on_child(void *arg, int fd, unsigned int ready)
{
	struct name *k = arg;
	int err = -ECHILD;

	(void)ready;
	if (read(fd, &err, sizeof(err)) != sizeof(err))
		err = -ECHILD;
	loop_unwatch(k->f->loop, fd);
	close(fd);
	k->pipe = -1;
	again(k, err == -EAGAIN ? SECOND : k->f->every);
	if (!err) {
		complain(k, false, "%s", "");
		k->f->say(k->f->arg, CTL_FOLLOW_LINE, k->is);
		return;
	}
	complain(k, err != -EAGAIN, "%s: not followed (%s)%s", k->is,
		 err == -EFBIG	   ? "the forward table has no room for it"
		 : err == -ENODATA ? "the data plane has no NAT address or ports for it yet"
		 : err == -EAGAIN  ? "another apply is under way"
				   : strerror(-err),
		 err == -EAGAIN ? ": it is tried again" : ": shiftctl apply");
}

/* Of a child of a child: nobody has to wait for its end. 0 or −errno. */
static int fork_away(const struct name *k, int to, const uint32_t (*address)[4], unsigned int n)
{
	pid_t child = fork();
	int err, status;

	if (child < 0)
		return -errno;
	if (!child) {
		child = fork();
		if (child)
			_exit(child < 0);
		err = change(k->f->conf->service, k->b->name, address, n);
		_exit(write(to, &err, sizeof(err)) != sizeof(err));
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -EAGAIN : 0;
}

static void begin_change(struct name *k, const uint32_t (*address)[4], unsigned int n)
{
	int fd[2], err = pipe2(fd, O_CLOEXEC) ? -errno : 0;

	if (!err) {
		err = fork_away(k, fd[1], address, n);
		close(fd[1]);
		if (!err)
			err = loop_watch(k->f->loop, fd[0], LOOP_READ, on_child, k);
		if (err)
			close(fd[0]);
	}
	if (!err)
		k->pipe = fd[0];
	else
		again(k, k->f->every);
}

/* ---- looking ---- */

/* The addresses that the data plane has of it; -ENOENT: it has it not. */
static int in_force(const struct name *k, uint32_t (*ret)[4], unsigned int *ret_n)
{
	struct checks_seen *seen = calloc(CONF_MAX_BACKENDS, sizeof(*seen));
	unsigned int n = 0;
	struct plane p;
	int err = plane_find(&p), id;

	id = err ? err : plane_service_by_name(&p, k->f->conf->service);
	err = !seen ? -ENOMEM : id < 0 ? id : checks_plane_read(&p, id, seen, &n);
	plane_close(&p);
	if (!err)
		err = -ENOENT;
	for (unsigned int i = 0; i < n; i++) {
		if (strcmp(seen[i].name, k->b->name) || seen[i].draining)
			continue;
		for (unsigned int a = 0; a < seen[i].n; a++)
			memcpy(ret[a], seen[i].at[a].address, sizeof(*ret));
		*ret_n = seen[i].n;
		err = 0;
	}
	free(seen);
	return err;
}

static bool refused(struct name *k, const uint32_t (*list)[4], unsigned int n)
{
	static uint32_t local[MAX_LOCAL][4];
	unsigned int locals = local_addresses(local);
	char one[64];

	for (unsigned int i = 0; i < n; i++) {
		const char *why = ctl_follow_refusal(k->f->conf, (const uint32_t(*)[4])local,
						     locals, list[i]);

		if (!why)
			continue;
		complain(k, true,
			 "backend %s: %.100s leads to %s, which %s: the last addresses stay",
			 k->b->name, k->b->host, text_address(list[i], 0, one), why);
		return true;
	}
	return false;
}

static void on_found(void *arg, int err, const struct resolved *r)
{
	struct name *k = arg;
	uint32_t now[CTL_PLACES][4], want[RESOLVE_MAX][4];
	unsigned int n = 0, wanted = 0;
	char old[90], new[90];

	k->lookup = NULL;
	if (err)
		complain(k, err == -ENOENT, "backend %s: %.100s %s: the last addresses stay",
			 k->b->name, k->b->host,
			 err == -ENOENT ? "is not there, or has no address"
					: "cannot be looked up now");
	if (err || in_force(k, now, &n) ||
	    !ctl_follow_change((const uint32_t(*)[4])now, n, err, r, want, &wanted)) {
		if (!err)
			complain(k, false, "%s", "");
		again(k, k->f->every);
		return;
	}
	if (refused(k, (const uint32_t(*)[4])want, wanted)) {
		again(k, k->f->every);
		return;
	}
	snprintf(k->is, sizeof(k->is), "backend %s: its name leads elsewhere: %s -> %s", k->b->name,
		 list_text((const uint32_t(*)[4])now, n, old, sizeof(old)),
		 list_text((const uint32_t(*)[4])want, wanted, new, sizeof(new)));
	begin_change(k, (const uint32_t(*)[4])want, wanted);
}

static void on_time(void *arg, uint64_t now)
{
	struct name *k = arg;

	(void)now;
	if (ctl_lookup_begin(k->f->loop, k->b->host, on_found, k, &k->lookup))
		again(k, k->f->every);
}

/* ---- beginning and ending ---- */

/* A child that is at work ends by itself; what it does is right in any case. */
static void free_names(struct ctl_follow *f)
{
	for (unsigned int i = 0; i < f->n; i++) {
		struct name *k = &f->names[i];

		ctl_lookup_cancel(k->lookup);
		loop_timer_stop(f->loop, &k->timer);
		if (k->pipe < 0)
			continue;
		loop_unwatch(f->loop, k->pipe);
		close(k->pipe);
	}
	free(f->names);
	f->names = NULL;
	f->n = 0;
}

int ctl_follow_make(struct loop *l, ctl_follow_say say, void *arg, struct ctl_follow **ret)
{
	struct ctl_follow *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	*f = (struct ctl_follow){.loop = l, .say = say, .arg = arg, .every = 30 * SECOND};
	*ret = f;
	return 0;
}

void ctl_follow_free(struct ctl_follow *f)
{
	if (!f)
		return;
	free_names(f);
	free(f);
}

void ctl_follow_every(struct ctl_follow *f, uint64_t ns)
{
	f->every = ns;
}

/* What was said of it stays said. True: an alarm among it. */
static bool is_known(const struct ctl_follow *f, struct name *ret)
{
	for (unsigned int i = 0; i < f->n; i++) {
		const struct name *k = &f->names[i];

		if (strcmp(k->b->name, ret->b->name) != 0 || strcmp(k->b->host, ret->b->host) != 0)
			continue;
		memcpy(ret->said, k->said, sizeof(ret->said));
		memcpy(ret->alarm, k->alarm, sizeof(ret->alarm));
	}
	return ret->alarm[0];
}

int ctl_follow_use(struct ctl_follow *f, const struct config *c)
{
	struct name *names = calloc(c->n_backends + 1, sizeof(*names));
	bool stood = false, stands = false;
	unsigned int n = 0;

	if (!names)
		return -ENOMEM;
	for (unsigned int i = 0; i < f->n; i++)
		stood |= f->names[i].alarm[0];
	for (unsigned int i = 0; i < c->n_backends; i++)
		if (!c->backends[i].address.family) {
			names[n] = (struct name){.f = f, .b = &c->backends[i], .pipe = -1};
			stands |= is_known(f, &names[n++]);
		}
	free_names(f);
	f->names = names;
	f->conf = c;
	f->n = n;
	for (unsigned int i = 0; i < n; i++)
		again(&names[i], f->every < SECOND ? f->every : SECOND);
	if (stood && !stands)
		f->say(f->arg, CTL_FOLLOW_OVER,
		       "the names with an alarm are not followed any more");
	return 0;
}
