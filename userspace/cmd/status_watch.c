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
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/screen.h"
#include "userspace/cmd/status.h"

#define ENTER "\033[?1049h\033[?25l\033[?7l" /* other screen, no cursor, cut long lines */
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define HOME  "\033[H"
#define CLEAR "\033[K" /* to the end of the line */
#define REST  "\033[J" /* to the end of the screen */

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

/* False: the terminal is gone, or the reader of the pipe. */
static bool write_all(const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(STDOUT_FILENO, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		size -= (size_t)n;
	}
	return true;
}

/* The frame as a terminal takes it: every line's old rest cleared, no more lines than it has. */
static bool draw(const char *frame)
{
	unsigned int rows = screen_rows();
	char *text = NULL;
	size_t size;
	bool well;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return false;
	fputs(HOME, to);
	for (unsigned int row = 1; *frame && (!rows || row <= rows); row++) {
		size_t n = strcspn(frame, "\n");
		bool last = rows && row == rows;

		fprintf(to, "%.*s" CLEAR "%s", (int)n, frame, last ? "" : "\r\n");
		frame += n + (frame[n] == '\n');
	}
	fputs(REST, to);
	fclose(to);
	well = write_all(text, size);
	free(text);
	return well;
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
			well = draw(text);
		else
			well = (first || !gap || write_all("\n", 1)) && write_all(text, size);
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
	bool terminal = whole_screen && isatty(STDOUT_FILENO), raw = false;
	struct termios was, now;
	int code;

	catch_signals();
	if (terminal && isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &was)) {
		now = was;
		now.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
		now.c_cc[VMIN] = 1;
		now.c_cc[VTIME] = 0;
		raw = !tcsetattr(STDIN_FILENO, TCSANOW, &now);
	}
	if (terminal)
		write_all(ENTER, strlen(ENTER));
	code = run(frame, arg, terminal, whole_screen, raw);
	if (terminal)
		write_all(LEAVE, strlen(LEAVE));
	if (raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	return code;
}
