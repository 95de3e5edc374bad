/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_watch.c - a frame each second until the user has seen enough
 *
 * On a terminal each frame is written over the last one in a single write, on the alternate screen,
 * so nothing flickers and what was there before is there again afterwards, also after a signal.
 * Elsewhere frames follow one another.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/fullscreen.h"
#include "userspace/cmd/status.h"

static volatile sig_atomic_t ended;

static void on_end(int signal_number)
{
	(void)signal_number;
	ended = 1;
}

static void on_resize(int signal_number)
{
	(void)signal_number; /* ends the wait, so that the next frame fits */
}

static void catch_signals(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction a = {.sa_handler = on_end};

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		sigaction(ends[i], &a, NULL);
	a.sa_handler = on_resize;
	sigaction(SIGWINCH, &a, NULL);
	a.sa_handler = SIG_IGN;
	sigaction(SIGTSTP, &a, NULL);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* True when the user wants no more; false at `until`. *keys becomes false at the end of stdin. */
static bool wait_for_user(int64_t until, bool *keys)
{
	while (!ended) {
		struct pollfd p = {.fd = *keys ? STDIN_FILENO : -1, .events = POLLIN};
		int64_t left = until - now_ms();
		char c;

		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left) <= 0) {
			if (errno == EINTR)
				return ended; /* or the terminal has a new size */
			continue;
		}
		if (read(STDIN_FILENO, &c, 1) != 1)
			*keys = false;
		else if (c == 'q' || c == 'Q' || c == 3) /* Ctrl-C */
			return true;
	}
	return true;
}

static int run(status_frame frame, void *arg, bool terminal, bool gap, bool keys)
{
	int64_t next = now_ms();
	bool first = true;
	int code;

	for (;;) {
		char *text = NULL;
		size_t size;
		FILE *to = open_memstream(&text, &size);
		bool well;

		if (!to)
			return EXIT_FAILED;
		code = frame(arg, to);
		fclose(to);
		if (code < 0) {
			free(text);
			return code;
		}
		if (terminal)
			well = fullscreen_draw(text);
		else
			well = (first || !gap || fullscreen_write("\n", 1)) &&
			       fullscreen_write(text, size);
		free(text);
		first = false;
		next += 1000;
		if (next < now_ms())
			next = now_ms();
		if (!well || wait_for_user(next, &keys))
			return code;
	}
}

int status_watch(status_frame frame, void *arg, bool whole_screen)
{
	struct fullscreen s = {0};
	bool terminal;
	int code;

	catch_signals();
	terminal = whole_screen && fullscreen_enter(&s);
	code = run(frame, arg, terminal, whole_screen, s.raw);
	fullscreen_leave(&s);
	return code;
}
