/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's protocols on Linux: sd_notify's datagrams out, listen fds in. Both are a few lines of a
 * stable public protocol, and a device process should not carry a library for them.
 */
#include <bulkhead/impl/notify.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MESSAGE_MAX = 1024 };

static int open_target(struct sockaddr_un *address, socklen_t *length, const char *path)
{
    const size_t path_length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || path_length >= sizeof(address->sun_path))
        return BH_ERR_INVAL;
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, path_length);
    if (path[0] == '@') /* the abstract name space */
        address->sun_path[0] = '\0';
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length + (path[0] == '/'));
    return BH_OK;
}

static int send_message(const char *text, size_t size, const int *fds, size_t fd_count)
{
    const char *path = getenv("NOTIFY_SOCKET");
    union {
        char bytes[CMSG_SPACE(sizeof(int) * BH_NOTIFY_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct sockaddr_un address;
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = size};
    struct msghdr message = {.msg_name = &address, .msg_iov = &part, .msg_iovlen = 1};
    int err, fd;
    ssize_t put;
    if (!path || !*path)
        return BH_OK;
    if (fd_count > BH_NOTIFY_FDS_MAX)
        return BH_ERR_RANGE;
    err = open_target(&address, &message.msg_namelen, path);
    if (err)
        return err;
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
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return BH_ERR_IO;
    /* A manager that does not read must not stop a device: give up rather than wait. */
    do
        put = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (put < 0 && errno == EINTR);
    close(fd);
    return put == (ssize_t)size ? BH_OK : BH_ERR_IO;
}

int bh_notify(const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    int size;
    va_start(args, format);
    size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof(text))
        return BH_ERR_RANGE;
    return send_message(text, (size_t)size, NULL, 0);
}

int bh_notify_fdstore(const char *name, const int *fds, size_t fd_count)
{
    char text[MESSAGE_MAX];
    int size = snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
    if (size < 0 || (size_t)size >= sizeof(text) || strpbrk(name, ":\n"))
        return BH_ERR_INVAL;
    return send_message(text, (size_t)size, fds, fd_count);
}

/* A number of the environment that must be the whole text; negative when it is not. */
static long env_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long value;
    if (!text || !*text)
        return -1;
    errno = 0;
    value = strtol(text, &end, 10);
    return errno || *end || value < 0 ? -1 : value;
}

int bh_listen_fds(struct bh_listen_fd *fds, size_t room, size_t *count)
{
    const long pid = env_number("LISTEN_PID"), passed = env_number("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    *count = 0;
    if (pid != (long)getpid() || passed <= 0)
        return BH_OK;
    if ((unsigned long)passed > room)
        return BH_ERR_RANGE;
    for (long i = 0; i < passed; i++) {
        struct bh_listen_fd *fd = &fds[i];
        const size_t length = names ? strcspn(names, ":") : 0;
        fd->fd = BH_LISTEN_FDS_START + (int)i;
        if (fcntl(fd->fd, F_SETFD, FD_CLOEXEC) < 0)
            return BH_ERR_INVAL;
        snprintf(fd->name, sizeof(fd->name), "%.*s", (int)length, names ? names : "");
        if (names)
            names += length + (names[length] == ':');
        ++*count;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return BH_OK;
}
