/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes with file descriptors on a Unix socket. */
#include "tests/unit/send_fds.h"

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

ssize_t test_send_fds(int socket, const void *bytes, size_t size, const int *fds, unsigned fd_count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * TEST_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > TEST_FDS_MAX)
        return -1;
    if (fd_count) {
        struct cmsghdr *head;
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * fd_count);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t test_recv_fd(int socket, void *bytes, size_t size, int flags, int *fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    const ssize_t got = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    *fd = -1;
    if (got >= 0 && CMSG_FIRSTHDR(&message))
        memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(*fd));
    return got;
}
