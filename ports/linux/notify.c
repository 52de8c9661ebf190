/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's protocols on Linux: sd_notify's datagrams out, listen fds in. Both are a few lines of a
 * stable public protocol, and a device process should not carry a library for them.
 *
 * #syscalls socket connect sendmsg poll ppoll
 */
#include <bulkhead/impl/notify.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MESSAGE_MAX = 1024, PATIENCE_MS = 1000, ATTEMPTS = 100 };

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

int bh_notify_open(int *fd)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t length;
    if (!path || !*path)
        return BH_ERR_NOENT;
    if (open_target(&address, &length, path))
        return BH_ERR_INVAL;
    *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return BH_ERR_IO;
    if (!connect(*fd, (struct sockaddr *)&address, length))
        return BH_OK;
    close(*fd);
    return BH_ERR_IO;
}

/* With a NULL `passed`, no fd goes along. */
static int send_message(int fd, const int *passed, const char *text, size_t size, int patience_ms)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (passed) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), passed, sizeof(int));
    }
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        const ssize_t put = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        if (put == (ssize_t)size)
            return BH_OK;
        if (put < 0 && errno == EINTR)
            continue;
        if (put >= 0 || errno != EAGAIN || !patience_ms || !poll(&room, 1, patience_ms))
            break;
    }
    return BH_ERR_IO;
}

int bh_notify_send(int fd, const int *passed, const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof(text))
        return BH_ERR_RANGE;
    return send_message(fd, passed, text, (size_t)size, PATIENCE_MS);
}

/* A manager that does not read must not stop a device: give up rather than wait. */
int bh_notify(const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    int fd;
    va_start(args, format);
    const int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof(text))
        return BH_ERR_RANGE;
    int err = bh_notify_open(&fd);
    if (err)
        return err == BH_ERR_NOENT ? BH_OK : err;
    err = send_message(fd, NULL, text, (size_t)size, 0);
    close(fd);
    return err;
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
