/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cmd.h - what every verb shares: options, exit codes, and finding its service
 *
 * A verb is one function in one file: it prints data on stdout, talk on stderr, and returns an exit
 * code. Verbs that change control live in shiftctl and load nothing but libc and libmnl; those that
 * read the whole configuration live in shiftctl-apply, which shiftctl starts for them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_REFUSED = 3,
	EXIT_LOCKED = 4,
	EXIT_TIMEOUT = 5,
	EXIT_OVERTAKEN = 6,
};

struct options {
	const char *config; /* -c, SHIFT_CONFIG or the default */
	bool config_given;
	const char *service; /* -s, or NULL */
	bool json;
	int colour;	/* 1 yes, 0 no, −1: ask the terminal */
	char slip[128]; /* what is wrong with one of these on the command line; "" nothing */
};

/*
 * Takes the options that every command knows, wherever they stand, out of argv, and the program's
 * name: argv[0] is then the verb. The value of a verb's option is never taken for one of them,
 * whatever it begins with. A slip is left to the caller: a rollback is not refused for one.
 */
void parse_options(int *argc, char **argv, struct options *ret);

/* Is what follows this argument its value? */
bool takes_value(const char *argument);

struct verb {
	const char *name;
	int (*run)(const struct options *o, int argc, char **argv); /* argv[0] is the verb */
	const char *usage;
	const char *help;
};

/* The whole of a command that shiftctl starts for some of its verbs, a table of which ends in
 * zeros. */
int started_by_shiftctl(int argc, char **argv, const struct verb *verbs);

/*
 * The next option of a verb. `flags` is a NULL-ended list of names: "--force", or "--reason=" for
 * one that takes a value, or "--cut?" for one that may. Returns the place in the list, −1 for a
 * positional argument, −2 at the end, −3 after printing a usage error. *value is the argument.
 */
int next_option(int argc, char **argv, int *at, const char *const *flags, const char **value);
/* The same, and on −3 nothing is printed: `why` receives the words. */
int scan_option(int argc, char **argv, int *at, const char *const *flags, const char **value,
		char *why, size_t size);

int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "shiftctl: …" on stderr. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

bool use_colour(const struct options *o);

/* Opens the plane. EXIT_OK, or the exit code after saying why not. */
int open_plane(struct plane *p);
/* Says why plane_find failed; EXIT_FAILED. */
int open_failed(int err);

/*
 * The one service a command is about: -s; else the `service:` line of the configuration; else the
 * only one there is. Its id, or −(exit code) after saying what there is.
 */
int choose_service(const struct plane *p, const struct options *o, struct shift_service *ret);

/* The service name that the configuration file gives, by its one line; false if it cannot be had.
 */
bool configured_service(const struct options *o, char *ret, size_t size);

/* EXIT_OK, or EXIT_USAGE after saying that the configuration is not about the service of -s. */
int about_service(const struct options *o, const char *service);

/*
 * Only one `apply` or `detach` at a time per namespace; waits 10 s for another. EXIT_OK and a
 * descriptor for unlock_host, or the exit code after saying who is in the way. A folder that cannot
 * be made is no reason to fail: the descriptor is then −1.
 */
int lock_host(int *ret_fd);
void unlock_host(int fd);

/*
 * What is reserved on this host by us, noted in the lock's own file before it is done: killed where
 * no map outlives the process, the next apply or detach knows what is ours all the same. The note
 * is gone after a reboot, and so is what it is about. SHIFT_MAX_RANGES of them; NULL: none is ours.
 */
void lock_note(int fd, const struct shift_range *reserved);
bool lock_noted(int fd, struct shift_range *ret);

/* EXIT_OK, or EXIT_LOCKED after saying who holds the service's lock and which flag overrides it. */
int locked_by_other(const struct plane *p, int id, const char *flag);

/* The records of a change, on disk; says when that failed, and never fails the change. 0, or why
 * the saved copy is another's. */
struct state_event;
int record_change(const struct shift_record *r, const struct state_event *e);

const char *authority_name(uint32_t authority);

/* Prints a JSON object and frees it. */
struct json_t;
void print_json(struct json_t *j);

/* With --json a command that fails has an answer, too: {"schema":1,"error":"…","code":N} of all
 * that was said, unless another document was printed. Returns `code`. */
int json_failure(const struct options *o, int code);
/* Words on stderr that belong to that error, and were not printed by say. */
void json_error(const char *text);
/* All that was said so far, for a document that has an error of its own. */
const char *json_said(char *ret, size_t size);
/* A document was printed by other means than print_json. */
void json_answered(void);
