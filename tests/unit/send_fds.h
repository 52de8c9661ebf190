/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes with file descriptors on a Unix socket, for tests and fuzzers that play a front-end which the project's own
 * would never be.
 */
#ifndef TESTS_UNIT_SEND_FDS_H
#define TESTS_UNIT_SEND_FDS_H

#include <stddef.h>
#include <sys/types.h>

enum { TEST_FDS_MAX = 64 };

/* As send(): bytes that were sent, or -1. Never waits, never raises SIGPIPE. At most TEST_FDS_MAX fds. */
ssize_t test_send_fds(int socket, const void *bytes, size_t size, const int *fds, unsigned fd_count);

/* As recv(), and the fd that came with the bytes: close-on-exec, -1 for none. */
ssize_t test_recv_fd(int socket, void *bytes, size_t size, int flags, int *fd);

#endif
