/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * provider_rig.h - a provider's class, opened against a server that answers as it is told to
 *
 * Each request gets the next of the answers, those beyond the last the last one again.
 */
#pragma once

#include "tests/unit/http_rig.h"

#include <jansson.h>
#include <sys/stat.h>

#include "dns/change.h"
#include "userspace/conf/config.h"

#define COUNT(a)   (sizeof(a) / sizeof(*(a)))
#define RIG_CUT	   (-1) /* no answer: the connection ends */
#define RIG_SECRET "secret-of-the-rig-0123456789"

struct rig_reply {
	int status; /* 0: there is none */
	const char *body;
};

struct provider_rig {
	const char *zone_id, *zone;
	struct rig_reply answers[8];
	struct rig server;
	struct conf_provider conf;
	const struct dns_provider_class *class;
	void *x;
	char file[64];
};

/* The server's process is forked with it. */
static const struct provider_rig *provider_rig_served;

static inline bool provider_rig_answer(const struct rig_link *k, const char *path)
{
	const struct rig_reply *a = provider_rig_served->answers;
	unsigned int n = __atomic_fetch_add(&k->seen->script, 1, __ATOMIC_RELAXED);
	char head[256];

	(void)path;
	while (n && a[1].status && a < &provider_rig_served->answers[6]) {
		a++;
		n--;
	}
	if (a->status <= 0)
		return false;
	snprintf(head, sizeof(head),
		 "HTTP/1.1 %d Any\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		 "Connection: close\r\n\r\n",
		 a->status, strlen(a->body));
	rig_say(k, head);
	rig_say(k, a->body);
	return false;
}

static inline void provider_rig_open(struct provider_rig *r, const struct dns_provider_class *class)
{
	char why[DNS_WHY] = "";
	int fd;

	provider_rig_served = r;
	rig_start(&r->server, NULL, provider_rig_answer);
	strcpy(r->file, "/tmp/provider-rig.XXXXXX");
	fd = mkstemp(r->file);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, RIG_SECRET "\n", sizeof(RIG_SECRET)), sizeof(RIG_SECRET));
	close(fd);
	snprintf(r->conf.key_file, sizeof(r->conf.key_file), "%s", r->file);
	snprintf(r->conf.endpoint, sizeof(r->conf.endpoint), "%s", rig_url(&r->server, ""));
	snprintf(r->conf.zone_id, sizeof(r->conf.zone_id), "%s", r->zone_id ? r->zone_id : "");
	snprintf(r->conf.zone, sizeof(r->conf.zone), "%s", r->zone ? r->zone : "");
	r->conf.timeout_ms = 2000;
	r->class = class;
	if (class->open(&r->conf, "www.example.com.", &r->x, why))
		fail_msg("not opened: %s", why);
}

static inline void provider_rig_close(struct provider_rig *r)
{
	r->class->close(r->x);
	rig_stop(&r->server);
	unlink(r->file);
}

/* "192.0.2.1 192.0.2.2!": the '!' is for proxied. Sorted, of www.example.com. */
static inline void rig_set(const char *text, uint32_t ttl, struct dns_rrset *ret)
{
	char copy[512], *save = NULL;

	memset(ret, 0, sizeof(*ret));
	strcpy(ret->name, "www.example.com.");
	ret->type = DNS_A;
	ret->ttl = ttl;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *t = strtok_r(copy, " ", &save); t; t = strtok_r(NULL, " ", &save)) {
		struct dns_member *m = &ret->member[ret->n++];
		char *mark = strchr(t, '!');

		m->proxied = mark;
		if (mark)
			*mark = 0;
		snprintf(m->data, sizeof(m->data), "%s", t);
	}
	dns_rrset_sort(ret);
}

/* For free(). */
static inline char *provider_rig_show(struct provider_rig *r, const struct dns_rrset *old,
				      const struct dns_rrset *fresh)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(to);
	r->class->show(r->x, old, fresh, to);
	fclose(to);
	return text;
}
