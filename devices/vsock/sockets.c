/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of the host: by a path, and AF_VSOCK's.
 *
 * #syscalls socket bind connect listen getsockopt
 */
#include "devices/vsock/sockets.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

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
    case ENAMETOOLONG:
    case EINVAL: return BH_ERR_RANGE;
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

int bh_vsock_dial_path(const char *path, int type)
{
    const int fd = bh_unix_connect(path, type | SOCK_NONBLOCK);

    return fd < 0 ? code_of(errno) : fd;
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

int bh_vsock_listen_host(uint32_t port, int type)
{
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    int fd = open_socket(AF_VSOCK, type);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) ||
        listen(fd, BH_VSOCK_BACKLOG))
        return give_up(fd);
    return fd;
}
