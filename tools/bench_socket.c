/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench_socket: says one line to a UNIX socket and prints the answer
 *
 *   bench_socket PATH LINE
 *
 * What an operator's script does with HAProxy's runtime socket, with nothing else to pay for. Exit
 * 1 when it cannot be reached or answers with anything but white space.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char answer[4096];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), said = 0;
	ssize_t n;

	if (argc != 3 || strlen(argv[1]) >= sizeof(a.sun_path)) {
		fprintf(stderr, "usage: bench_socket PATH LINE\n");
		return 2;
	}
	strcpy(a.sun_path, argv[1]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    dprintf(fd, "%s\n", argv[2]) < 0) {
		perror(argv[1]);
		return 1;
	}
	while ((n = read(fd, answer, sizeof(answer))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			said |= answer[i] != '\n' && answer[i] != ' ';
		fwrite(answer, 1, (size_t)n, stdout);
	}
	return n < 0 || said;
}
