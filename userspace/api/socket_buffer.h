/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * socket_buffer.h - what is yet to be sent to one that may read slowly
 */
#pragma once

#include <stddef.h>

struct api_buffer { /* zeroed: empty */
	char *data;
	size_t n, sent, room;
};

/* 0; -ENOBUFS: more than `max` bytes would wait; -ENOMEM. Then nothing was added. */
int api_buffer_add(struct api_buffer *b, const void *data, size_t n, size_t max);
/* Sends what the socket takes now. 0: all is sent; 1: some is left; −errno. */
int api_buffer_flush(struct api_buffer *b, int fd);
size_t api_buffer_waiting(const struct api_buffer *b);
void api_buffer_free(struct api_buffer *b);
