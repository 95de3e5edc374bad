/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service.h - the ramp at work: the machine of ramp.h joined to the kernel, the disk and the gates
 *
 *   service_make(loop, &world, &s);
 *   service_use(s, config);                   again after each SIGHUP: every state is kept
 *   code = service_ask(s, "ramp start", args, "alice", &answer);
 *
 * Commands are "ramp start", pause, resume, next, back, abort, status, and "freeze", "unfreeze";
 * the arguments {"flags":["--l4-only"],"reason":"…"}. "ramp status" answers all that `ramp status
 * --json` prints; the others {"text" or "error":"…","flag":"--force","ramp":{…}}: what was done, or
 * the rule that forbids it and the flag that overrides that, and the status after it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct loop;
struct plane;
struct service;

/* What the owner adds. */
struct service_world {
	/* One line for each change. `alarm`: somebody must be called. */
	void (*say)(void *arg, bool alarm, const char *text);
	/* Is this tunnel up? NULL: it is not looked at, and counts as down. */
	bool (*tunnel_up)(void *arg, const char *name);
	void *arg;
};

/* The world is copied. 0 or −errno. */
int service_make(struct loop *l, const struct service_world *world, struct service **ret);
/* What is in force stays in force; the keep-alive runs on. NULL is fine. */
void service_free(struct service *s);

/*
 * From here this configuration, which must live until the next one is given, or service_free. 0;
 * -EINVAL: it is about another service; −errno: that of before stays.
 */
int service_use(struct service *s, const struct config *c);

/* What an operator asks: an exit code of SPEC, and *ret, the caller's to free. */
int service_ask(struct service *s, const char *command, const json_t *args, const char *who,
		json_t **ret);

/* ---- for the dashboard and /metrics (api/page.h) ---- */

/* As "ramp status" answers, with the plan; NULL: there is no plan. */
json_t *service_page_ramp(const struct service *s);
json_t *service_page_share(const struct service *s);
json_t *service_page_alarms(const struct service *s);
/* A second's figures of both arms; NULL: nothing was counted. */
json_t *service_page_point(struct service *s);
/* What DNS is seen to answer, until the loop goes on. */
struct ctl_dns_view;
void service_page_dns(const struct service *s, struct ctl_dns_view *ret);
/* The data plane and the service's id in it, until the loop goes on; NULL: there is none. */
const struct plane *service_plane(const struct service *s, uint32_t *ret_id);

/* One line for people: "ramp holding at stage 2 of 5, 25%"; "" without a ramp. Returns ret. */
const char *service_text(const struct service *s, char *ret, size_t size);
/* When the loop last came round to it, CLOCK_BOOTTIME: the sign of life. */
uint64_t service_alive(const struct service *s);
