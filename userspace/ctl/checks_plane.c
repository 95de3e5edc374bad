/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/ctl/checks_plane.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "userspace/conf/config.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/hostlock.h"
#include "userspace/plane/plane.h"

static int read_places(const struct plane *p, const struct shift_backend *b,
		       struct checks_seen *ret)
{
	for (int list = 0; list < SHIFT_BACKEND_LISTS; list++) {
		for (unsigned int i = 0; i < b->targets[list] && i < SHIFT_BACKEND_TARGETS; i++) {
			uint32_t id = b->target[list][i];
			struct ctl_place at = {0};
			struct shift_target t;
			unsigned int k = 0;
			int err = bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t);

			if (err)
				return err;
			memcpy(at.address, t.address, sizeof(at.address));
			at.port = ntohs(t.port);
			while (k < ret->n && !ctl_place_same(&ret->at[k], &at))
				k++;
			if (k == ret->n && ret->n < CTL_PLACES)
				ret->at[ret->n++] = at;
		}
	}
	return 0;
}

static int read_one(const struct plane *p, uint32_t id, const struct shift_backend *b,
		    struct checks_seen *ret)
{
	struct shift_breaker breaker;
	int err = bpfsys_lookup(p->map[PLANE_BREAKERS], &id, &breaker);

	if (err)
		return err;
	memset(ret, 0, sizeof(*ret));
	ret->id = id;
	memcpy(ret->name, b->name, sizeof(b->name));
	ret->weight = b->weight;
	ret->draining = b->flags & SHIFT_BACKEND_DRAIN;
	ret->breaker = breaker.open;
	ret->health = b->health;
	ret->until = b->health_until;
	return read_places(p, b, ret);
}

int checks_plane_read(const struct plane *p, int service, struct checks_seen *ret,
		      unsigned int *ret_n)
{
	unsigned int n = 0;

	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS && n < CONF_MAX_BACKENDS; id++) {
		struct shift_backend b;
		int err = bpfsys_lookup(p->map[PLANE_BACKENDS], &id, &b);

		if (!err && (!(b.flags & SHIFT_BACKEND_USED) || b.service != service))
			continue;
		if (!err)
			err = read_one(p, id, &b, &ret[n]);
		if (err)
			return err;
		n++;
	}
	*ret_n = n;
	return 0;
}

static int write_one(const struct plane *p, int service, const struct checks_verdict *v)
{
	struct shift_backend b;
	int err = bpfsys_lookup(p->map[PLANE_BACKENDS], &v->id, &b);

	if (err)
		return err;
	if (!(b.flags & SHIFT_BACKEND_USED) || b.service != service ||
	    strncmp(b.name, v->name, sizeof(b.name)))
		return 0;
	b.health = v->health;
	b.health_until = v->until;
	return bpfsys_update(p->map[PLANE_BACKENDS], &v->id, &b);
}

int checks_plane_write(const struct plane *p, int service, const struct checks_verdict *v,
		       unsigned int n)
{
	char path[64];
	int fd = hostlock_open(path), err = fd < 0 ? 0 : hostlock_take(fd);

	for (unsigned int i = 0; i < n && !err; i++)
		err = write_one(p, service, &v[i]);
	if (fd >= 0)
		close(fd);
	return err;
}

int checks_plane_write_old(const struct plane *p, int service, uint8_t health, uint64_t until)
{
	uint32_t id = (uint32_t)service;
	struct shift_service svc;
	char path[64];
	int fd = hostlock_open(path), err = fd < 0 ? 0 : hostlock_take(fd);

	if (!err)
		err = plane_service(p, id, &svc);
	if (!err && svc.flags & SHIFT_SERVICE_USED) {
		svc.old_health = health;
		svc.old_until = until;
		err = bpfsys_update(p->map[PLANE_SERVICES], &id, &svc);
	}
	if (fd >= 0)
		close(fd);
	return err;
}
