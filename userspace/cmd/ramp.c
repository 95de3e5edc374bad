/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp.c - `ramp`: the plan's stages, which shiftd runs; asked, told and shown
 *
 * Everything here is a question to shiftd, but one: `ramp abort` is a rollback, and must not depend
 * on a daemon. Where none answers within two seconds, it is done here.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/daemon.h"
#include "userspace/cmd/ramp.h"
#include "userspace/cmd/status.h"
#include "userspace/cmd/verbs.h"

#define WAIT_MS	 20000 /* journal and history are waited for, on a slow disk */
#define ABORT_MS 2000

static const char *const options[] = {
	"--reason=",
	"--after-rollback",
	"--l4-only",
	"--force",
	"--big-step",
	"--few-backends",
	"--without-tunnel",
	"--unproven",
	"--again",
	"--skip-hooks",
	NULL,
};

static const char *text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}

static double number_of(const json_t *j, const char *key)
{
	return json_number_value(json_object_get(j, key));
}

/* ---- the screen ---- */

static void show(const json_t *j, bool colour)
{
	char a[16], text[512], state[64], left[32];
	const char *is = text_of(j, "state");
	double hold = number_of(j, "hold_left_s");

	text_weight((uint32_t)(number_of(j, "weight") * 100 + 0.5), a);
	printf("ramp %s   stage %d/%d   %s%%",
	       screen_paint(colour, status_ramp_colour(is), is, state, sizeof(state)),
	       (int)number_of(j, "stage"), (int)number_of(j, "stages"), a);
	if (hold > 0)
		printf("   hold %s left", text_duration((uint64_t)(hold * 1e9), left));
	if (*text_of(j, "who") && strcmp(is, "idle") != 0)
		printf("   by %s", screen_clean(text_of(j, "who"), text, sizeof(text)));
	printf("\n  ");
	screen_words(screen_clean(text_of(j, "reason"), text, sizeof(text)), 2, screen_columns(),
		     stdout);
	putchar('\n');
	if (json_is_object(json_object_get(j, "frozen"))) {
		const json_t *f = json_object_get(j, "frozen");

		printf("  promotions are frozen by %s: shiftctl unfreeze\n",
		       screen_clean(text_of(f, "by"), text, sizeof(text)));
	}
	if (!json_is_true(json_object_get(j, "attached")))
		printf("  nothing is attached: shiftctl apply\n");
	status_gates(json_object_get(j, "gates"), screen_columns(), false, colour, stdout);
	printf("next: %s\n", screen_clean(text_of(j, "next"), text, sizeof(text)));
	if (number_of(j, "weight") > 0)
		printf("undo: shiftctl ramp back (one stage), shiftctl rollback (all)\n");
}

/* ---- asking ---- */

/* Nobody is there to do it, and it must be done. */
static int abort_here(const struct options *o, const char *reason, int err)
{
	static char verb[] = "rollback", flag[] = "--reason", none[] = "ramp abort";
	char *argv[] = {verb, flag, reason ? (char *)reason : none, NULL};

	say("%s: rolled back without it",
	    err == -ETIMEDOUT ? "shiftd does not answer" : "no shiftd answers");
	return cmd_rollback(o, 3, argv);
}

static int ask(const struct options *o, const char *command, json_t *args, const char *reason)
{
	bool aborts = !strcmp(command, "ramp abort");
	json_t *answer = NULL;
	int err, code = daemon_ask(command, args, aborts ? ABORT_MS : WAIT_MS, &answer, &err);

	if (err) {
		if (aborts)
			return abort_here(o, reason, err);
		daemon_silent(o, err);
		return code;
	}
	if (o->service && strcmp(text_of(json_object_get(answer, "ramp"), "service"), o->service) &&
	    strcmp(text_of(answer, "service"), o->service))
		say("note: shiftd here runs another service than %s", o->service);
	if (o->json) {
		print_json(answer);
		return code;
	}
	if (!code && !strcmp(command, "ramp status"))
		show(answer, use_colour(o));
	else if (!code)
		printf("%s\n", text_of(answer, "text"));
	json_decref(answer);
	return code;
}

int ramp_tell(const struct options *o, const char *name, int argc, char **argv)
{
	json_t *flags = json_array(), *args;
	const char *value, *reason = NULL;
	int at = 0, what, code;

	while ((what = next_option(argc, argv, &at, options, &value)) != -2) {
		if (what < 0) {
			json_decref(flags);
			return what == -1
				       ? usage_error("%s takes no argument, not '%s'", name, value)
				       : EXIT_USAGE;
		}
		if (!what)
			reason = value;
		else
			json_array_append_new(flags, json_string(options[what]));
	}
	args = json_pack("{s:o, s:s*}", "flags", flags, "reason", reason);
	if (!args)
		return usage_error("--reason: that is no UTF-8");
	code = ask(o, name, args, reason);
	json_decref(args);
	return code;
}

int cmd_ramp(const struct options *o, int argc, char **argv)
{
	static const char *const verbs[] = {"start", "pause", "resume", "next",
					    "back",  "abort", "status"};
	char name[32];

	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(argv[1], verbs[i]) != 0)
			continue;
		snprintf(name, sizeof(name), "ramp %s", verbs[i]);
		return ramp_tell(o, name, argc - 2, argv + 2);
	}
	return argc > 1 ? usage_error("ramp: there is no '%s'", argv[1])
			: usage_error("ramp start|pause|resume|next|back|abort|status");
}
