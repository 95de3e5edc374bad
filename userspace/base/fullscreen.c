/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/fullscreen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/screen.h"

#define ENTER "\033[?1049h\033[?25l\033[?7l" /* other screen, no cursor, cut long lines */
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define HOME  "\033[H"
#define CLEAR "\033[K" /* to the end of the line */
#define REST  "\033[J" /* to the end of the screen */

bool fullscreen_write(const char *text, size_t size)
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

bool fullscreen_enter(struct fullscreen *s)
{
	struct termios now;

	memset(s, 0, sizeof(*s));
	if (!isatty(STDOUT_FILENO))
		return false;
	if (isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &s->was)) {
		now = s->was;
		now.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
		now.c_cc[VMIN] = 1;
		now.c_cc[VTIME] = 0;
		s->raw = !tcsetattr(STDIN_FILENO, TCSANOW, &now);
	}
	s->on = true;
	fullscreen_write(ENTER, strlen(ENTER));
	return true;
}

void fullscreen_leave(struct fullscreen *s)
{
	if (s->on)
		fullscreen_write(LEAVE, strlen(LEAVE));
	if (s->raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->was);
	s->on = s->raw = false;
}

/* Every line's old rest is cleared, and no more lines go out than the terminal has; in a single
 * write, so nothing flickers. */
bool fullscreen_draw(const char *frame)
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
	well = fullscreen_write(text, size);
	free(text);
	return well;
}
