/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hang PATH...: a disk that hangs. Whoever opens one of these files, or a folder of these or a file
 * in it, waits until this process ends. Prints a line when that is so.
 *
 * The kernel asks a listener of fanotify(7) for permission, and this one never answers; when it is
 * gone, everybody may.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);

	if (fd < 0) {
		fprintf(stderr, "hang: %s\n", strerror(errno));
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		if (fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_ONDIR | FAN_EVENT_ON_CHILD,
				  AT_FDCWD, argv[i])) {
			fprintf(stderr, "hang: %s: %s\n", argv[i], strerror(errno));
			return 1;
		}
	}
	printf("hanging\n");
	fflush(stdout);
	for (;;)
		pause();
}
