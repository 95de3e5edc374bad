/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * drain.c - `drain`: established local connections moved to the new arm at a pace, so that
 * keep-alive and gRPC clients ramp, too
 *
 * A share counts for new connections, and a client that keeps one open makes none. So those local
 * connections whose client the present share gives to the new arm are closed from here, and the
 * client makes its next one there. Nothing else is touched: who is not in the share, pinned to old
 * or excepted, and connections begun after the drain did (if they are local, the data plane could
 * not shift them, and closing them again would help nobody; too many of those end it).
 *
 * What a client may lose is a request that is on its way. So a connection is closed only when it
 * rests: the old service spoke last, nothing is queued or in flight on either side, and nothing
 * passed for --idle. It is looked at again in the moment before. What is left is the time between
 * that look and the arrival of the RST, which is what a server has, too, that closes an idle
 * connection by its own time-out.
 *
 * One at a time, never two sooner than 1/rate apart, also not to catch up. Control is read before
 * each, so a rollback ends it at once. Whatever ends it, also a kill, leaves nothing behind.
 *
 * Weaknesses: the kernel's clocks of "last sent" and "last received" count in jiffies; where a
 * request came in the very jiffy of the last answer, it looks answered. A connection that ends in
 * another namespace (containers, DNAT) has no socket here and is only counted. What the client
 * sends last for the protocol's own sake (HTTP/2 window updates, PING) looks like a request: see
 * --owed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/cmd/drain_inner.h"
#include "userspace/cmd/verbs.h"
#include "userspace/plane/hostlock.h"
#include "userspace/plane/control.h"
#include "userspace/plane/state.h"

#define S	  UINT64_C(1000000000)
#define MS	  UINT64_C(1000000)
#define RATE	  100
#define RATE_MAX  10000
#define IDLE_MS	  1000
#define WAIT	  (60 * S)
#define FELL_BACK 10 /* new connections that fell back: then it is not one client's bad luck */

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
	(void)signal;
	stopped = 1;
}

static uint64_t now_ns(void)
{
	return control_boot_ns();
}

static void sleep_until(uint64_t at)
{
	const struct timespec t = {.tv_sec = (time_t)(at / S), .tv_nsec = (long)(at % S)};

	clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &t, NULL); /* a signal cuts it short */
}

/* ---- closing ---- */

/* Must it end here? Looked at before each connection. */
static bool must_end(struct drain *k, uint64_t *looked, uint64_t before)
{
	uint64_t head, now = now_ns();

	if (stopped)
		k->end = DRAIN_STOPPED;
	else if (control_get(&k->p.control[k->id], &k->record, &head) || k->record.latched)
		k->end = DRAIN_ROLLED_BACK;
	k->rules.threshold = shift_record_threshold(&k->record, now);
	if (!k->end && !k->rules.threshold)
		k->end = DRAIN_NO_SHARE;
	if (!k->end && now - *looked >= S / 4) {
		*looked = now;
		drain_look_at_backends(k);
		k->fell_back = drain_fallbacks(k) - before;
		if (k->fell_back >= FELL_BACK)
			k->end = DRAIN_FELL_BACK;
	}
	return k->end;
}

/* It is its turn: looked at, and closed if it rests. True: the kernel let it be tried. */
static bool try_one(struct drain *k, struct drain_entry *e)
{
	struct sockdiag_seen seen;
	uint32_t again;
	int err = sockdiag_look(k->diag, &e->name, &seen);
	enum drain_rest rest;

	if (err == -ENOENT) {
		e->over = true;
		k->ended++;
		return true;
	}
	if (err)
		return k->err = err, false;
	rest = drain_rest(&seen, &k->patience, &again);
	e->owed = rest == DRAIN_OWED;
	e->due = now_ns() + (again ? again : 1) * MS;
	if (rest != DRAIN_IDLE || drain_choice_of(k, e->client, e->port) != DRAIN_MOVE)
		return true;
	err = sockdiag_close(k->diag, &e->name);
	if (err && err != -ENOENT)
		return k->err = err, false;
	e->over = true;
	if (err) {
		k->ended++;
		return true;
	}
	k->last = now_ns();
	k->first = k->first ? k->first : k->last;
	k->closed++;
	return true;
}

static void close_all(struct drain *k)
{
	uint64_t before = drain_fallbacks(k), looked = 0, due = 0, progress = now_ns();

	for (;;) {
		uint64_t soonest = now_ns() + S;
		size_t left = 0;

		for (size_t i = 0; i < k->n; i++) {
			struct drain_entry *e = &k->entry[i];
			uint64_t closed = k->closed;

			if (e->over)
				continue;
			left++;
			if (e->due > now_ns()) {
				soonest = e->due < soonest ? e->due : soonest;
				continue;
			}
			if (due > now_ns())
				sleep_until(due);
			if (must_end(k, &looked, before))
				return;
			if (!try_one(k, e)) {
				k->end = DRAIN_BROKEN;
				return;
			}
			left -= e->over;
			if (k->closed == closed)
				continue;
			progress = k->last;
			due = drain_next(k->last, due, k->gap_ns);
			if (k->max && k->closed == k->max && k->closed + k->ended < k->n) {
				k->end = DRAIN_MAX;
				return;
			}
		}
		if (!left)
			return;
		if (must_end(k, &looked, before))
			return;
		if (now_ns() - progress >= k->wait_ns) {
			k->end = DRAIN_IMPATIENT;
			return;
		}
		sleep_until(soonest);
	}
}

static void count_left(struct drain *k)
{
	for (size_t i = 0; i < k->n; i++) {
		if (!k->entry[i].over)
			++*(k->entry[i].owed ? &k->owed : &k->busy);
	}
	/* that was not all that could be done: nothing is known of the rest */
	if (k->end != DRAIN_DONE && k->end != DRAIN_IMPATIENT)
		k->busy = k->owed = 0;
}

/* ---- the verb ---- */

/* shiftd has it for a moment when it asks whether there is a drain. */
static int take(int fd)
{
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	usleep(20000);
	return flock(fd, LOCK_EX | LOCK_NB);
}

/* One drain of a service at a time, or two would be twice the rate. The file goes with us. */
static int take_turn(const struct drain *k, char path[96], int *ret_fd)
{
	struct stat is;

	*ret_fd = -1;
	if (hostlock_drain(k->id, path))
		return EXIT_OK;
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return EXIT_OK;
		if (take(fd)) {
			close(fd);
			say("another drain of %s is under way here", k->service.name);
			return EXIT_LOCKED;
		}
		if (!fstat(fd, &is) && is.st_nlink) {
			*ret_fd = fd;
			return EXIT_OK;
		}
		close(fd);
	}
}

/* EXIT_OK; or why a drain would be wrong now. */
static int may_drain(struct drain *k, bool force)
{
	char at[32];
	uint64_t head;
	int code;

	if (!k->p.attachments) {
		say("refused: the data plane is not attached, so what is closed would come back to "
		    "the old host; attach with: shiftctl apply");
		return EXIT_REFUSED;
	}
	if (control_get(&k->p.control[k->id], &k->record, &head)) {
		say("refused: no share was ever set; set one with: shiftctl weight N");
		return EXIT_REFUSED;
	}
	if (k->record.latched) {
		say("refused: rolled back by %.*s at %s, and a drain moves clients to the new arm; "
		    "nothing does until an operator says: shiftctl weight N --after-rollback",
		    SHIFT_NAME, k->record.latched_by, text_time(k->record.latched_at, at));
		return EXIT_REFUSED;
	}
	k->rules.threshold = shift_record_threshold(&k->record, now_ns());
	if (!k->rules.threshold) {
		say("refused: the share is 0, so what is closed would come back to the old host; "
		    "first: shiftctl weight N");
		return EXIT_REFUSED;
	}
	if (k->record.mode == SHIFT_MODE_SHADOW || (k->service.flags & SHIFT_SERVICE_DRAIN)) {
		say("refused: nothing of %s is shifted now", k->service.name);
		return EXIT_REFUSED;
	}
	code = force ? EXIT_OK : locked_by_other(&k->p, k->id, "--force");
	return code;
}

static int cannot(const struct drain *k, int err)
{
	(void)k;
	if (err == -EOPNOTSUPP)
		say("this kernel cannot close a connection from outside: it is built without "
		    "CONFIG_INET_DIAG_DESTROY; a graceful reload of the old service closes its "
		    "idle connections instead");
	else if (err == -ENOENT)
		say("this kernel does not list TCP connections (tcp_diag): load that module");
	else if (err == -EPERM)
		say("the kernel refuses: closing connections needs root (CAP_NET_ADMIN)");
	else
		say("cannot read the local connections: %s", strerror(-err));
	return EXIT_FAILED;
}

static int gather(struct drain *k)
{
	int err = sockdiag_make(&k->diag);

	k->rules.seed = k->service.seed;
	k->rules.affinity = k->service.affinity;
	drain_look_at_backends(k);
	if (!err)
		err = sockdiag_can_close(k->diag);
	k->began = k->last = now_ns();
	if (!err)
		err = drain_read(k);
	return err ? cannot(k, err) : EXIT_OK;
}

static void listen_for_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction a = {.sa_handler = on_signal};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &a, NULL);
}

static void record_it(const struct drain *k)
{
	uint16_t weight = shift_record_weight(&k->record, now_ns());
	char detail[160];

	record_change(&k->record,
		      &(struct state_event){.verb = "drain",
					    .service = k->service.name,
					    .reason = k->reason,
					    .detail = drain_detail(k, detail, sizeof(detail)),
					    .from = weight,
					    .to = weight,
					    .only_history = true});
}

static int exit_code(const struct drain *k)
{
	switch (k->end) {
	case DRAIN_DONE:
	case DRAIN_MAX:
		return EXIT_OK;
	case DRAIN_ROLLED_BACK:
		return EXIT_OVERTAKEN;
	case DRAIN_IMPATIENT:
	case DRAIN_STOPPED:
		return EXIT_TIMEOUT;
	default:
		return EXIT_FAILED;
	}
}

static int work(struct drain *k)
{
	char path[96], a[32], t[32];
	int fd = -1, code = take_turn(k, path, &fd);

	if (code)
		return code;
	if (!k->o->json && k->n)
		fprintf(stderr, "closing %s local connections, at most %u/s: %s or more\n",
			text_count(k->max && k->max < k->n ? k->max : k->n, a), k->rate,
			text_duration((k->max && k->max < k->n ? k->max : k->n) * k->gap_ns, t));
	prctl(PR_SET_TIMERSLACK, 1);
	listen_for_signals();
	close_all(k);
	count_left(k);
	if (k->closed)
		record_it(k);
	drain_print(k);
	if (fd >= 0) {
		unlink(path);
		close(fd);
	}
	return exit_code(k);
}

static int drain(struct drain *k, bool force)
{
	int err = plane_find(&k->p), code;

	if (err == -ENOENT) {
		say("refused: nothing is attached in this network namespace, so what is closed "
		    "would come back to the old host; attach with: shiftctl apply");
		return EXIT_REFUSED;
	}
	if (err)
		return open_failed(err);
	k->id = choose_service(&k->p, k->o, &k->service);
	if (k->id < 0)
		return -k->id;
	code = may_drain(k, force);
	if (!code)
		code = gather(k);
	if (code)
		return code;
	if (!k->dry)
		return work(k);
	drain_print(k);
	return EXIT_OK;
}

static int number(const char *name, const char *value, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(value, &end, 10);
	if (*value < '0' || *value > '9' || errno || (strcmp(end, "") && strcmp(end, "/s")) ||
	    !*ret || *ret > max)
		return usage_error("drain: %s '%s' is no number of 1 to %llu", name, value,
				   (unsigned long long)max);
	return EXIT_OK;
}

static int duration(const char *name, const char *value, uint64_t *ret)
{
	if (!text_parse_duration(value, ret) && *ret <= 86400 * S)
		return EXIT_OK;
	return usage_error("drain: %s '%s' is no duration such as 500ms or 10s", name, value);
}

static int parse(struct drain *k, int argc, char **argv, bool *ret_force)
{
	static const char *const flags[] = {"--rate=", "--max=",    "--idle=",
					    "--owed=", "--wait=",   "--dry-run",
					    "--force", "--reason=", NULL};
	uint64_t rate = RATE, idle = IDLE_MS * MS, owed = 0;
	int at = 1, what, code = EXIT_OK;
	const char *value;

	k->wait_ns = WAIT;
	while (!code && (what = next_option(argc, argv, &at, flags, &value)) != -2) {
		switch (what) {
		case 0:
			code = number("--rate", value, RATE_MAX, &rate);
			break;
		case 1:
			code = number("--max", value, UINT32_MAX, &k->max);
			break;
		case 2:
			code = duration("--idle", value, &idle);
			break;
		case 3:
			code = duration("--owed", value, &owed);
			break;
		case 4:
			code = duration("--wait", value, &k->wait_ns);
			break;
		case 5:
			k->dry = true;
			break;
		case 6:
			*ret_force = true;
			break;
		case 7:
			k->reason = value;
			break;
		case -1:
			code = usage_error("drain takes no argument, not '%s'", value);
			break;
		default:
			code = EXIT_USAGE;
		}
	}
	if (code)
		return code;
	k->rate = (uint32_t)rate;
	k->gap_ns = (S + rate - 1) / rate;
	k->patience.idle_ms = (uint32_t)(idle / MS);
	k->patience.owed_ms = (uint32_t)(owed / MS);
	if (owed && owed < idle)
		k->patience.owed_ms = k->patience.idle_ms;
	return code;
}

int cmd_drain(const struct options *o, int argc, char **argv)
{
	struct drain *k = calloc(1, sizeof(*k));
	bool force = false;
	int code;

	if (!k)
		return EXIT_FAILED;
	k->o = o;
	code = parse(k, argc, argv, &force);
	if (!code) {
		code = drain(k, force);
		plane_close(&k->p);
	}
	sockdiag_free(k->diag);
	free(k->entry);
	free(k->own);
	free(k);
	return code;
}
