/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * engine_lookup.c - the address of a server that is known by its name alone
 *
 * The system's resolver blocks, so a thread of its own asks it and writes to an eventfd; whichever
 * of the two, thread and question, is last frees what they share.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dns/engine_inner.h"
#include "userspace/base/ip.h"
#include "userspace/net/resolve.h"

struct dns_lookup {
	atomic_int users;
	struct dns_asked *asked;
	int event, err;
	char host[256];
	struct resolved found;
};

static void release(struct dns_lookup *l)
{
	if (atomic_fetch_sub(&l->users, 1) > 1)
		return;
	close(l->event);
	free(l);
}

static void *resolve(void *arg)
{
	struct dns_lookup *l = arg;

	l->err = resolve_host(l->host, &l->found);
	if (eventfd_write(l->event, 1)) /* cannot be: it is empty */
		l->err = -EIO;
	release(l);
	return NULL;
}

void dns_lookup_drop(struct dns_asked *a)
{
	loop_unwatch(a->engine->loop, a->lookup->event);
	release(a->lookup);
	a->lookup = NULL;
}

/* The first address that this host has a way to. */
static void on_found(void *arg, int fd, unsigned int ready)
{
	struct dns_lookup *l = arg;
	struct dns_asked *a = l->asked;
	struct dns_target to = a->target->target;
	struct resolved found;
	int err = l->err;

	(void)fd;
	(void)ready;
	found = l->found;
	dns_lookup_drop(a);
	if (err) {
		a->state = DNS_ASK_WAITS;
		a->engine->flying--;
		dns_ask_failed(a, DNS_FAILED, err, "the server's name has no address here");
		return;
	}
	err = -EADDRNOTAVAIL;
	a->state = DNS_ASK_STREAM;
	for (unsigned int i = 0; err && i < found.n; i++) {
		to.family = ip_family(found.address[i]);
		memcpy(to.ip, found.address[i], sizeof(to.ip));
		err = dns_stream_start(a, &to, to.transport == DNS_TLS);
	}
	if (err) {
		a->state = DNS_ASK_WAITS;
		a->engine->flying--;
		dns_ask_failed(a, dns_outcome_of(err), err, NULL);
	}
}

static int begin(struct dns_lookup *l)
{
	sigset_t all, before;
	pthread_t thread;
	int err;

	/* signals are the loop's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&thread, NULL, resolve, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		pthread_detach(thread);
	return err;
}

int dns_lookup_start(struct dns_asked *a)
{
	struct dns_lookup *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->asked = a;
	memcpy(l->host, a->target->target.host, sizeof(l->host));
	atomic_store(&l->users, 2);
	l->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->event < 0) {
		err = -errno;
		free(l);
		return err;
	}
	err = loop_watch(a->engine->loop, l->event, LOOP_READ, on_found, l);
	if (!err) {
		err = begin(l);
		if (err)
			loop_unwatch(a->engine->loop, l->event);
	}
	if (err) {
		close(l->event);
		free(l);
		return err;
	}
	a->lookup = l;
	return 0;
}
