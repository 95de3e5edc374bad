/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/cmd.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/file.h"
#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/plane/control.h"
#include "userspace/plane/hostlock.h"
#include "userspace/plane/state.h"

static struct {
	char text[512];
	bool answered;
} answer;

void json_error(const char *text)
{
	size_t used = strlen(answer.text), room = sizeof(answer.text) - used;

	if (used && room > 2) {
		strcpy(answer.text + used, "; ");
		used += 2;
		room -= 2;
	}
	strncat(answer.text, text, room - 1);
}

void json_answered(void)
{
	answer.answered = true;
}

const char *json_said(char *ret, size_t size)
{
	return answer.text[0] ? screen_clean(answer.text, ret, size) : "failed";
}

int json_failure(const struct options *o, int code)
{
	char error[sizeof(answer.text)];

	if (!o->json || !code || answer.answered)
		return code;
	print_json(json_pack("{s:i, s:s, s:i}", "schema", 1, "error",
			     json_said(error, sizeof(error)), "code", code));
	fflush(stdout);
	return code;
}

static void complain(const char *format, va_list ap)
{
	char text[512], clean[512];

	vsnprintf(text, sizeof(text), format, ap);
	/* A server's words are among it: they do not steer the terminal. */
	fprintf(stderr, "shiftctl: %s\n", screen_clean(text, clean, sizeof(clean)));
	json_error(text);
}

void say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	complain(format, ap);
	va_end(ap);
}

int usage_error(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	complain(format, ap);
	va_end(ap);
	fputs("shiftctl help lists the commands\n", stderr);
	return EXIT_USAGE;
}

/* Does `argument` spell `flag`? Then *ret_inline is what follows its '='. */
static bool spells(const char *argument, const char *flag, const char **ret_inline)
{
	size_t n = strcspn(flag, "=?");

	if (strncmp(argument, flag, n) || (argument[n] && argument[n] != '='))
		return false;
	*ret_inline = argument[n] ? argument + n + 1 : NULL;
	return true;
}

int scan_option(int argc, char **argv, int *at, const char *const *flags, const char **value,
		char *why, size_t size)
{
	const char *a;

	if (*at >= argc)
		return -2;
	a = argv[(*at)++];
	*value = a;
	if (a[0] != '-' || a[1] != '-')
		return -1;
	for (int i = 0; flags[i]; i++) {
		char kind = flags[i][strlen(flags[i]) - 1];

		if (!spells(a, flags[i], value))
			continue;
		if (kind == '=' && !*value) {
			if (*at >= argc) {
				snprintf(why, size, "%s needs a value", a);
				return -3;
			}
			*value = argv[(*at)++];
		}
		if (kind != '=' && kind != '?' && *value) {
			snprintf(why, size, "%s takes no value", flags[i]);
			return -3;
		}
		return i;
	}
	snprintf(why, size, "%s: there is no such option here", a);
	return -3;
}

int next_option(int argc, char **argv, int *at, const char *const *flags, const char **value)
{
	char why[160];
	int what = scan_option(argc, argv, at, flags, value, why, sizeof(why));

	if (what == -3)
		usage_error("%s", why);
	return what;
}

/* The value of a short option that may be joined to it. */
static const char *short_value(const char *argument, int *at, int argc, char **argv)
{
	if (argument[2])
		return argument + 2;
	return *at < argc ? argv[(*at)++] : NULL;
}

/* Is what follows this argument its value? Of all verbs: none gives one of these another meaning.
 */
bool takes_value(const char *argument)
{
	static const char *const names[] = {
		"--reason",  "--confirm", "--limit",	"--since",     "--backend",    "--client",
		"--state",   "--to",	  "--rate",	"--bandwidth", "--link-speed", "--lifetime",
		"--measure", "--wait",	  "--textfile", "--lead",      "--spacing",    "--expect",
		"--samples", "--until",	  "--timeout",	"--interval",  "--subnet",     "--control",
		"--max",     "--idle",	  "--owed",	"--url",       "--name",       "--ca-file",
		"--burst",   "--at",	  "--file",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(names[i], argument))
			return true;
	}
	return false;
}

/* An option of every command: 1, and *at is behind it; 0: it is none. */
static int common_option(int argc, char **argv, int *at, struct options *o)
{
	const char *a = argv[*at - 1], *value;

	if (!strncmp(a, "-c", 2) || spells(a, "--config=", &value)) {
		value = a[1] == 'c' || !value ? short_value(a[1] == 'c' ? a : "-c", at, argc, argv)
					      : value;
		if (!value || !*value)
			snprintf(o->slip, sizeof(o->slip), "%.32s needs a file", a);
		else
			o->config = value;
		o->config_given |= value && *value;
	} else if (!strncmp(a, "-s", 2)) {
		o->service = short_value(a, at, argc, argv);
		if (!o->service || !*o->service) {
			o->service = NULL;
			snprintf(o->slip, sizeof(o->slip), "-s needs a service");
		}
	} else if (!strcmp(a, "--json")) {
		o->json = true;
	} else if (!strcmp(a, "--color") || !strcmp(a, "--color=always")) {
		o->colour = 1;
	} else if (!strcmp(a, "--no-color") || !strcmp(a, "--color=never")) {
		o->colour = 0;
	} else if (!strcmp(a, "--color=auto")) {
		o->colour = -1;
	} else {
		return 0;
	}
	return 1;
}

void parse_options(int *argc, char **argv, struct options *ret)
{
	const char *env = getenv("SHIFT_CONFIG");
	static char help[] = "help", version[] = "version";
	struct options o = {.config = env && *env ? env : "/etc/shift/shift.yaml", .colour = -1};
	int left = 0;

	for (int i = 1; i < *argc;) {
		char *a = argv[i++];

		if (common_option(*argc, argv, &i, &o))
			continue;
		if (!strcmp(a, "-h") || !strcmp(a, "--help")) {
			if (left)
				argv[1] = argv[0];
			argv[0] = help;
			left = left ? 2 : 1;
			break;
		}
		if (!left && !strcmp(a, "--version"))
			a = version;
		argv[left++] = a;
		/* The --wait of DNS may have none. */
		if (left > 1 && takes_value(a) && i < *argc &&
		    !(!strcmp(argv[0], "dns") && !strcmp(a, "--wait") && argv[i][0] == '-'))
			argv[left++] = argv[i++];
	}
	argv[left] = NULL;
	*argc = left;
	*ret = o;
}

#define EXIT_UNKNOWN 3

/* `dns check`, `tunnel check`: exit codes as Nagios has them. */
static bool is_monitored(int argc, char **argv)
{
	return argc > 1 && !strcmp(argv[1], "check") &&
	       (!strcmp(argv[0], "dns") || !strcmp(argv[0], "tunnel"));
}

int started_by_shiftctl(int argc, char **argv, const struct verb *verbs)
{
	struct options o;
	int code;

	parse_options(&argc, argv, &o);
	if (o.slip[0])
		return json_failure(&o, usage_error("%s", o.slip));
	for (; argc && verbs->name; verbs++) {
		if (strcmp(verbs->name, argv[0]) != 0)
			continue;
		code = json_failure(&o, verbs->run(&o, argc, argv));
		if (!fflush(stdout) && !ferror(stdout))
			return code;
		/* To a monitor 1 is a warning, and what it could not be told is unknown. */
		return is_monitored(argc, argv) ? EXIT_UNKNOWN : EXIT_FAILED;
	}
	return usage_error("this is started by shiftctl");
}

bool use_colour(const struct options *o)
{
	const char *no = getenv("NO_COLOR"); /* empty: as if it were not there (no-color.org) */

	if (o->colour >= 0)
		return o->colour;
	return isatty(STDOUT_FILENO) && !(no && *no);
}

int open_failed(int err)
{
	switch (err) {
	case -ENOENT:
		say("nothing is attached in this network namespace; attach with: shiftctl apply");
		break;
	case -EPERM:
	case -EACCES:
		say("the kernel refuses: this needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN)");
		break;
	case -EPROTO:
		say("the data plane that is loaded is of another version: use its own shiftctl, or "
		    "shiftctl detach --force and apply");
		break;
	default:
		say("cannot look at the data plane: %s", strerror(-err));
		break;
	}
	return EXIT_FAILED;
}

int open_plane(struct plane *p)
{
	int err = plane_find(p);

	return err ? open_failed(err) : EXIT_OK;
}

/*
 * Only the one line: these verbs must work with a configuration that no longer parses. A file that
 * others may write counts as none.
 */
bool configured_service(const struct options *o, char *ret, size_t size)
{
	char line[512], name[64];
	bool found = false;
	int fd = file_open_safe(o->config, NULL, 0);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

	if (!f) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "service: %63[A-Za-z0-9._-]", name) == 1 ||
		    sscanf(line, "service: \"%63[A-Za-z0-9._-]\"", name) == 1 ||
		    sscanf(line, "service: '%63[A-Za-z0-9._-]'", name) == 1)
			found = true;
	}
	fclose(f);
	if (found)
		snprintf(ret, size, "%s", name);
	return found;
}

/* The names of the services there are, and how many; *ret_id is the last one's. */
static int list_services(const struct plane *p, char *names, size_t size, int *ret_id)
{
	size_t used = 0;
	int n = 0;

	names[0] = '\0';
	for (uint32_t id = 0; id < SHIFT_MAX_SERVICES; id++) {
		struct shift_service s;

		if (plane_service(p, id, &s) || !(s.flags & SHIFT_SERVICE_USED))
			continue;
		*ret_id = (int)id;
		n++;
		if (used < size)
			used += (size_t)snprintf(names + used, size - used, "%s%.*s",
						 used ? ", " : "", SHIFT_NAME, s.name);
	}
	return n;
}

int choose_service(const struct plane *p, const struct options *o, struct shift_service *ret)
{
	char wanted[SHIFT_NAME * 2], names[512];
	bool named = o->service != NULL;
	int id = -1, n = list_services(p, names, sizeof(names), &id);

	if (named)
		snprintf(wanted, sizeof(wanted), "%s", o->service);
	else
		named = configured_service(o, wanted, sizeof(wanted));
	if (named) {
		id = plane_service_by_name(p, wanted);
		if (id < 0 && n) {
			say("no service %s is attached here; there is: %s", wanted, names);
			return -(o->service ? EXIT_USAGE : EXIT_FAILED);
		}
	} else if (n > 1) {
		return -usage_error("%d services are attached here, name one with -s: %s", n,
				    names);
	}
	if (id < 0 || !n) {
		say("no service is attached here; attach with: shiftctl apply");
		return -EXIT_FAILED;
	}
	if (plane_service(p, (uint32_t)id, ret))
		return -EXIT_FAILED;
	return id;
}

int about_service(const struct options *o, const char *service)
{
	if (!o->service || !strcmp(o->service, service))
		return EXIT_OK;
	return usage_error("%s is about service %s, not %s", o->config, service, o->service);
}

int lock_host(int *ret_fd)
{
	char path[64];
	int fd = hostlock_open(path);

	*ret_fd = -1;
	if (fd < 0)
		return EXIT_OK; /* the kernel will refuse it anyway, and says so better */
	for (int tries = 0; hostlock_take(fd); tries++) {
		if (tries == 100) {
			say("another apply or detach is under way in this namespace (%s)", path);
			close(fd);
			return EXIT_TIMEOUT;
		}
		usleep(100000);
	}
	*ret_fd = fd;
	return EXIT_OK;
}

void unlock_host(int fd)
{
	if (fd >= 0)
		close(fd);
}

struct note {
	uint64_t netns;
	struct shift_range reserved[SHIFT_MAX_RANGES];
};

void lock_note(int fd, const struct shift_range *reserved)
{
	struct note n = {0};
	bool first;

	if (fd < 0 || plane_namespace(&n.netns, &first))
		return;
	if (reserved)
		memcpy(n.reserved, reserved, sizeof(n.reserved));
	if (pwrite(fd, &n, sizeof(n), 0) != sizeof(n) || !reserved)
		(void)!ftruncate(fd, 0);
}

bool lock_noted(int fd, struct shift_range *ret)
{
	struct note n;
	uint64_t netns;
	bool first;

	if (fd < 0 || pread(fd, &n, sizeof(n), 0) != sizeof(n) || plane_namespace(&netns, &first) ||
	    n.netns != netns)
		return false;
	memcpy(ret, n.reserved, sizeof(n.reserved));
	return true;
}

int locked_by_other(const struct plane *p, int id, const char *flag)
{
	struct shift_record r;
	char who[SHIFT_NAME], a[32];
	uint64_t head;

	who_operator(who, sizeof(who));
	if (control_get(&p->control[id], &r, &head) || !r.locked_at ||
	    !strncmp(r.locked_by, who, sizeof(r.locked_by)))
		return EXIT_OK;
	say("locked by %s since %s%s%s; %s overrides a foreign lock", r.locked_by,
	    text_time(r.locked_at, a), r.lock_reason[0] ? ": " : "", r.lock_reason, flag);
	return EXIT_LOCKED;
}

int record_change(const struct shift_record *r, const struct state_event *e)
{
	struct state_kept kept = state_record(r, e);

	if (kept.copy)
		say("in force, but the change is not recorded on disk (%s)%s", strerror(-kept.copy),
		    kept.copy == -ETIMEDOUT
			    ? "; the disk is still being waited for in the background"
			    : "");
	else if (kept.history)
		say("in force and saved, but the history has no line of it (%s)",
		    strerror(-kept.history));
	return kept.copy;
}

const char *authority_name(uint32_t authority)
{
	static const char *const names[] = {"old", "shared", "new"};

	return authority < 3 ? names[authority] : "?";
}

void print_json(json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(13));
	putchar('\n');
	json_decref(j);
	json_answered();
}
