/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/ways.h"

#include <errno.h>
#include <string.h>

#include "userspace/net/route.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/plane.h"

void ways_ask(const uint32_t address[4], const uint32_t nat[4], struct sync_way *ret)
{
	struct route_way way;

	if (route_lookup(address, nat, &way) || way.unreachable)
		return;
	ret->ifindex = way.ifindex;
	memcpy(ret->gateway, way.mac, sizeof(ret->gateway));
	ret->gateway_known = way.mac_known;
	ret->mtu = way.mtu > 65535 ? 65535 : (uint16_t)way.mtu;
}

/* What is longer is looked at; before a narrower way is taken. */
static int lower_floors(const struct plane *p, uint16_t mtu)
{
	int err = 0;

	for (uint32_t id = 0; mtu && id < SHIFT_MAX_SERVICES && !err; id++) {
		struct shift_service s;

		if (plane_service(p, id, &s) || !(s.flags & SHIFT_SERVICE_USED) ||
		    s.mtu_floor <= mtu)
			continue;
		s.mtu_floor = mtu;
		err = bpfsys_update(p->map[PLANE_SERVICES], &id, &s);
	}
	return err;
}

/* An `apply` at the same moment asks the same table and writes the same. */
static int follow(const struct plane *p, uint32_t id)
{
	struct sync_way way = {0};
	struct shift_target t;
	int err = bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t);

	if (err || !(t.flags & SHIFT_TARGET_USED))
		return err;
	ways_ask(t.address, t.nat, &way);
	if (!way.ifindex || (way.ifindex == t.ifindex && way.mtu == t.mtu))
		return 0;
	err = lower_floors(p, way.mtu);
	if (err || (err = bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t)))
		return err;
	t.ifindex = way.ifindex;
	t.mtu = way.mtu;
	memcpy(t.gateway, way.gateway, sizeof(t.gateway));
	t.gateway_known = way.gateway_known;
	t.flags &= (uint8_t)~SHIFT_TARGET_NO_ROUTE;
	err = bpfsys_update(p->map[PLANE_TARGETS], &id, &t);
	return err ? err : 1;
}

int ways_follow(void)
{
	int err, corrected = 0;
	struct plane p;

	err = plane_find(&p);
	for (uint32_t id = 1; !err && id < SHIFT_MAX_TARGETS; id++) {
		int n = follow(&p, id);

		if (n < 0)
			err = n;
		else
			corrected += n;
	}
	plane_close(&p);
	return err == -ENOENT ? 0 : err ? err : corrected;
}
