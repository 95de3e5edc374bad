/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/cmd/drain_inner.h"
#include "userspace/plane/control.h"

const char *const drain_end_names[] = {
	"done", "max", "not-idle", "rolled-back", "no-share", "fell-back", "interrupted", "failed",
};

static const char *s(uint64_t n)
{
	return n == 1 ? "" : "s";
}

const char *drain_detail(const struct drain *k, char *ret, size_t size)
{
	snprintf(ret, size, "%llu of %llu local connections closed, %s",
		 (unsigned long long)k->closed, (unsigned long long)k->of[DRAIN_MOVE],
		 drain_end_names[k->end]);
	return ret;
}

static void print_end(const struct drain *k)
{
	char a[32], b[32];

	switch (k->end) {
	case DRAIN_MAX:
		printf("stopped at --max %s\n", text_count(k->max, a));
		break;
	case DRAIN_IMPATIENT:
		printf("waited %s in vain for the rest to come to rest\n",
		       text_duration(k->wait_ns, a));
		break;
	case DRAIN_ROLLED_BACK:
		printf("overtaken by a rollback of %.*s at %s\n", SHIFT_NAME, k->record.latched_by,
		       text_time(k->record.latched_at, a));
		break;
	case DRAIN_NO_SHARE:
		printf("stopped: the share is 0 now\n");
		break;
	case DRAIN_FELL_BACK:
		printf("stopped: %s new connection%s fell back to the old host meanwhile (see "
		       "fallback_local in status): what is closed does not come to the new arm\n",
		       text_count(k->fell_back, b), s(k->fell_back));
		break;
	case DRAIN_STOPPED:
		printf("interrupted\n");
		break;
	case DRAIN_BROKEN:
		printf("stopped: the kernel closes no connection: %s\n", strerror(-k->err));
		break;
	default:
		break;
	}
}

static void print_left(const struct drain *k)
{
	char a[32], i[32];

	if (k->busy)
		printf("%s never rested for %s: again later, or with a shorter --idle\n",
		       text_count(k->busy, a), text_duration(k->patience.idle_ms * 1000000ull, i));
	if (k->owed)
		printf("%s where the client spoke last: a request may wait for its answer, or it "
		       "is HTTP/2's own words; --owed 30s closes those that stay silent for so "
		       "long\n",
		       text_count(k->owed, a));
}

static void print_others(const struct drain *k)
{
	char a[32], w[16];

	text_weight(shift_record_weight(&k->record, control_boot_ns()), w);
	if (k->of[DRAIN_STAYS])
		printf("left alone: %s, not in the share of %s%%\n",
		       text_count(k->of[DRAIN_STAYS], a), w);
	if (k->of[DRAIN_EXCEPTED])
		printf("left alone: %s of clients that are never shifted (bypass, clients.deny, "
		       "pinned to old)\n",
		       text_count(k->of[DRAIN_EXCEPTED], a));
	if (k->of[DRAIN_NO_BACKEND])
		printf("left alone: %s, for whose address family no backend takes connections\n",
		       text_count(k->of[DRAIN_NO_BACKEND], a));
	if (k->of[DRAIN_OWN])
		printf("left alone: %s of this host itself\n", text_count(k->of[DRAIN_OWN], a));
	if (k->hidden > 0)
		printf("not visible here: %s that DNAT leads elsewhere, as to a container: only "
		       "their own server can close them\n",
		       text_count((uint64_t)k->hidden, a));
	if (k->hidden < 0)
		printf("not known: how many DNAT leads elsewhere, as to a container (this kernel "
		       "does not tell)\n");
	if (k->udp_listens)
		printf("UDP: nothing to drain, a flow of it ends by timeouts.udp of silence\n");
	if (k->service.affinity == SHIFT_AFFINITY_CONNECTION && k->rules.threshold &&
	    k->rules.threshold < SHIFT_THRESHOLD_MAX)
		printf("affinity is connection: the next connection has another port and is "
		       "decided anew, so only about %s%% of those closed come to the new arm\n",
		       w);
}

static void print_text(const struct drain *k)
{
	char a[32], b[32], t[32];

	if (k->dry) {
		uint64_t n = k->max && k->max < k->of[DRAIN_MOVE] ? k->max : k->of[DRAIN_MOVE];

		printf("dry run: would close %s of %s local connection%s at %u/s, in about %s; "
		       "%s of them rest now\n",
		       text_count(n, a), text_count(k->seen, b), s(k->seen), k->rate,
		       text_duration(n * k->gap_ns, t), text_count(k->idle, (char[32]){0}));
	} else {
		printf("closed %s of %s local connection%s that belong to the new arm, at most "
		       "%u/s, in %s",
		       text_count(k->closed, a), text_count(k->of[DRAIN_MOVE], b),
		       s(k->of[DRAIN_MOVE]), k->rate, text_duration(k->last - k->began, t));
		if (k->ended)
			printf("; %s ended by %s", text_count(k->ended, a),
			       k->ended == 1 ? "itself" : "themselves");
		putchar('\n');
		print_end(k);
	}
	print_left(k);
	print_others(k);
}

static json_int_t n(uint64_t x)
{
	return (json_int_t)x;
}

static void print_as_json(const struct drain *k)
{
	uint16_t weight = shift_record_weight(&k->record, control_boot_ns());
	json_t *alone = json_pack("{s:I, s:I, s:I, s:I}", "not_in_share", n(k->of[DRAIN_STAYS]),
				  "excepted", n(k->of[DRAIN_EXCEPTED]), "no_backend",
				  n(k->of[DRAIN_NO_BACKEND]), "own", n(k->of[DRAIN_OWN]));
	json_t *j = json_pack(
		"{s:i, s:s, s:b, s:f, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:f, s:s}",
		"schema", 1, "service", k->service.name, "dry_run", k->dry, "weight",
		weight / 100.0, "rate", (int)k->rate, "seen", n(k->seen), "chosen",
		n(k->of[DRAIN_MOVE]), "closed", n(k->closed), "ended", n(k->ended), "busy",
		n(k->busy), "owed", n(k->owed), "left_alone", alone, "not_visible",
		k->hidden < 0 ? json_null() : json_integer((json_int_t)k->hidden), "fell_back",
		n(k->fell_back), "took_s", (double)(k->last - k->began) / 1e9, "end",
		drain_end_names[k->end]);

	if (k->dry)
		json_object_set_new(j, "idle", json_integer(n(k->idle)));
	print_json(j);
}

void drain_print(const struct drain *k)
{
	if (k->o->json)
		print_as_json(k);
	else
		print_text(k);
}
