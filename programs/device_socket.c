/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening socket of a device process that makes it itself (--socket-path).
 */
#include "programs/device.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * Is anybody bound to the socket file? Asked with a datagram socket: the kernel refuses to connect it to a stream
 * socket (EPROTOTYPE) without the other side hearing of it, and says ECONNREFUSED when nobody is there.
 */
static bool in_use(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool used = true;
    if (fd >= 0) {
        used = !connect(fd, (const struct sockaddr *)address, sizeof(*address)) || errno != ECONNREFUSED;
        close(fd);
    }
    return used;
}

static int replace_stale(const struct sockaddr_un *address, const struct bh_diag_where *where,
                         struct bh_diag_sink *sink)
{
    struct stat file;
    if (lstat(address->sun_path, &file))
        return BH_OK; /* nothing there: bind says what else is wrong */
    if (!S_ISSOCK(file.st_mode)) {
        bh_error(sink, where, "choose another path", "it is there already and is no socket");
        return BH_ERR_BUSY;
    }
    if (in_use(address)) {
        bh_error(sink, where, "stop that process or choose another path",
                 "another process serves this socket");
        return BH_ERR_BUSY;
    }
    (void)unlink(address->sun_path);
    return BH_OK;
}

int bh_socket_listen(const char *path, bool ours_alone, struct bh_diag_sink *sink, int *out)
{
    const struct bh_diag_where where = {.file = path};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, err;
    if (!*path || strlen(path) >= sizeof(address.sun_path)) {
        bh_error(sink, &where, "a socket's path has at most 107 bytes", "the socket's path is %s",
                 *path ? "too long" : "empty");
        return BH_ERR_INVAL;
    }
    memcpy(address.sun_path, path, strlen(path));
    err = replace_stale(&address, &where, sink);
    if (err)
        return err;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The file that bind makes has the socket's mode, less the umask. */
    if (fd < 0 || (ours_alone && fchmod(fd, 0600)) ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 4)) {
        bh_error(sink, &where, NULL, "cannot listen on it: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return BH_ERR_IO;
    }
    *out = fd;
    return BH_OK;
}
