/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix and AF_VSOCK sockets of the host.
 *
 * #syscalls socket bind connect listen fchmod getsockopt lstat newfstatat unlink unlinkat
 */
#include "devices/vsock/sockets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define BACKLOG 1024

static int open_socket(int domain, int type)
{
    return socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int code_of(int err)
{
    switch (err) {
    case EAGAIN: return BH_ERR_AGAIN;
    case ENOENT:
    case ECONNREFUSED:
    case EPROTOTYPE:
    case ENOTDIR: return BH_ERR_NOENT;
    case EACCES:
    case EPERM: return BH_ERR_ACCESS;
    case EADDRINUSE: return BH_ERR_BUSY;
    case EAFNOSUPPORT:
    case ENODEV: return BH_ERR_UNSUPPORTED;
    default: return BH_ERR_IO;
    }
}

/* Closes the fd and keeps errno's meaning. */
static int give_up(int fd)
{
    int code = code_of(errno);

    if (fd >= 0)
        close(fd);
    return code;
}

static int set_path(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!*path || strlen(path) > BH_VSOCK_PATH_MAX)
        return BH_ERR_RANGE;
    memcpy(address->sun_path, path, strlen(path));
    return BH_OK;
}

int bh_vsock_dial_path(const char *path, int type)
{
    struct sockaddr_un address;
    int fd, err = set_path(&address, path);

    if (err)
        return err;
    fd = open_socket(AF_UNIX, type);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)))
        return give_up(fd);
    return fd;
}

int bh_vsock_dial_host(uint32_t cid, uint32_t port, int type, int *connecting)
{
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    int fd = open_socket(AF_VSOCK, type);

    *connecting = 0;
    if (fd < 0)
        return give_up(fd);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
        if (errno != EINPROGRESS)
            return give_up(fd);
        *connecting = 1;
    }
    return fd;
}

int bh_vsock_dialled(int fd)
{
    int err = 0;
    socklen_t size = sizeof(err);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size))
        return BH_ERR_IO;
    return err ? code_of(err) : BH_OK;
}

/*
 * Is anybody bound to the socket file? Asked with a datagram socket: the kernel refuses to connect it to another kind
 * (EPROTOTYPE) without the other side hearing of it, and says ECONNREFUSED when nobody is there.
 */
static int is_stale(const struct sockaddr_un *address)
{
    struct stat file;
    int fd, stale;

    if (lstat(address->sun_path, &file) || !S_ISSOCK(file.st_mode))
        return 0;
    fd = open_socket(AF_UNIX, SOCK_DGRAM);
    stale =
        fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

int bh_vsock_listen_path(const char *path, int type)
{
    struct sockaddr_un address;
    int fd, err = set_path(&address, path);

    if (err)
        return err;
    fd = open_socket(AF_UNIX, type);
    if (fd < 0 || fchmod(fd, 0600)) /* of the file that bind makes */
        return give_up(fd);
    if (is_stale(&address))
        unlink(path); /* a killed program's */
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG))
        return give_up(fd);
    return fd;
}

int bh_vsock_listen_host(uint32_t port, int type)
{
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    int fd = open_socket(AF_VSOCK, type);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG))
        return give_up(fd);
    return fd;
}
