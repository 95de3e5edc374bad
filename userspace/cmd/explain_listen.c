/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/explain_listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/plane/bpfsys.h"

const char *explain_listen_text(const struct shift_listen *l, char ret[72])
{
	char address[64];

	snprintf(ret, 72, "%s/%s", text_address(l->address, l->port, address),
		 l->protocol == IPPROTO_UDP ? "udp" : "tcp");
	return ret;
}

static bool is_asked_for(const struct explain_wish *w, const uint32_t client[4],
			 const struct shift_listen *l)
{
	if (ip_is_v4(l->address) != ip_is_v4(client) || (w->protocol && l->protocol != w->protocol))
		return false;
	return !w->port ||
	       (l->port == w->port && !memcmp(l->address, w->address, sizeof(w->address)));
}

static int precedence(const struct shift_listen *l)
{
	return !(l->flags & SHIFT_LISTEN_USED)
		       ? 0
		       : 1 + (l->protocol == IPPROTO_TCP) + 2 * !(l->flags & SHIFT_LISTEN_DRAIN);
}

int explain_find_listen(const struct plane *p, int service, const uint32_t client[4],
			const struct explain_wish *wish, struct explain_listens *ret)
{
	char text[72];
	size_t used = 0;

	memset(ret, 0, sizeof(*ret));
	snprintf(ret->all, sizeof(ret->all), "nothing");
	for (uint32_t id = 1; id < SHIFT_MAX_LISTENS; id++) {
		struct shift_listen l;
		int err = bpfsys_lookup(p->map[PLANE_LISTENS], &id, &l);

		if (err)
			return err;
		if (!(l.flags & SHIFT_LISTEN_USED) || l.service != service)
			continue;
		if (used < sizeof(ret->all) && !(l.flags & SHIFT_LISTEN_DRAIN))
			used += (size_t)snprintf(ret->all + used, sizeof(ret->all) - used, "%s%s",
						 used ? ", " : "", explain_listen_text(&l, text));
		if (!is_asked_for(wish, client, &l))
			continue;
		if (precedence(&l) > precedence(&ret->first))
			ret->first = l;
		if (l.protocol == IPPROTO_UDP && !ret->udp.flags && !(l.flags & SHIFT_LISTEN_DRAIN))
			ret->udp = l;
	}
	return precedence(&ret->first) ? 0 : -ENOENT;
}
