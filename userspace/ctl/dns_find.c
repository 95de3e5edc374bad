/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/ctl/dns_find.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dns/survey.h"
#include "userspace/base/loop.h"
#include "userspace/conf/config.h"

#define LONGEST UINT64_C(30000000000)
#define TRIES	2

struct dns_find {
	pid_t child;
	int fd;
	uint64_t began;
	size_t got;
	union {
		struct dns_found found;
		char bytes[sizeof(struct dns_found)];
	};
};

/* In the child, which has a loop of its own. */
/* A delegation's names rotate in the answers: the same set must look the same. */
static int compare(const void *a, const void *b)
{
	const struct dns_found_server *x = a, *y = b;
	int order = memcmp(x->ip, y->ip, sizeof(x->ip));

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	return order ? order : strcmp(x->ns, y->ns);
}

static void find(const struct conf_dns *c, const struct dns_wanted *w, const char *name,
		 struct dns_found *ret)
{
	const struct dns_survey_settings set = {
		.conf = c, .wanted = w, .name = name, .tries = TRIES};
	struct dns_survey *s = NULL;
	char why[256] = "";
	struct loop *l;
	int err = loop_make(&l);

	if (!err)
		err = dns_survey_make(l, &set, &s);
	if (!err)
		err = dns_survey_discover(s, false, why);
	if (err)
		snprintf(ret->why, sizeof(ret->why), "%.127s", why[0] ? why : strerror(-err));
	for (unsigned int i = 0; !err && i < s->n_authorities && ret->n < DNS_FOUND; i++) {
		struct dns_found_server *to = &ret->server[ret->n++];

		to->family = s->source[i].target.family;
		memcpy(to->ip, s->source[i].target.ip, sizeof(to->ip));
		snprintf(to->text, sizeof(to->text), "%.63s", s->source[i].text);
		snprintf(to->ns, sizeof(to->ns), "%s", s->source[i].ns);
	}
	qsort(ret->server, ret->n, sizeof(ret->server[0]), compare);
}

static void be_child(const struct conf_dns *c, const struct dns_wanted *w, const char *name, int fd)
{
	static struct dns_found found;
	const char *at = (const char *)&found;
	size_t left = sizeof(found);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	find(c, w, name, &found);
	while (left) {
		ssize_t n = write(fd, at, left);

		if (n <= 0)
			_exit(1);
		at += n;
		left -= (size_t)n;
	}
	_exit(0);
}

int dns_find_begin(const struct conf_dns *c, const struct dns_wanted *w, const char *name,
		   uint64_t now, struct dns_find **ret)
{
	struct dns_find *f = calloc(1, sizeof(*f));
	int ends[2];

	if (!f)
		return -ENOMEM;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
		free(f);
		return -errno;
	}
	f->fd = ends[0];
	f->began = now;
	f->child = fork();
	if (!f->child) {
		fcntl(ends[1], F_SETFL, 0); /* it may wait for whoever reads */
		be_child(c, w, name, ends[1]);
	}
	close(ends[1]);
	if (f->child < 0) {
		close(f->fd);
		free(f);
		return -EAGAIN;
	}
	*ret = f;
	return 0;
}

bool dns_find_done(struct dns_find *f, uint64_t now, struct dns_found *ret)
{
	ssize_t n;

	while ((n = read(f->fd, f->bytes + f->got, sizeof(f->bytes) - f->got)) > 0)
		f->got += (size_t)n;
	if (f->got < sizeof(f->bytes) && n < 0 && errno == EAGAIN && now < f->began + LONGEST)
		return false;
	if (f->got == sizeof(f->bytes) && f->found.n <= DNS_FOUND) {
		*ret = f->found;
		return true;
	}
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->why, sizeof(ret->why), "%s",
		 now < f->began + LONGEST ? "the search failed" : "no end within 30 s");
	return true;
}

void dns_find_end(struct dns_find *f)
{
	if (!f)
		return;
	kill(f->child, SIGKILL);
	waitpid(f->child, NULL, 0);
	close(f->fd);
	free(f);
}
