/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets by path. See unix_socket.h.
 *
 * Theory of operation
 *   A program that is killed leaves its socket's file behind, and bind refuses a path that is there. Whether anybody is
 * still bound to it is asked with a datagram socket: the kernel refuses to connect it to another kind (EPROTOTYPE)
 * without the other side hearing of it, and says ECONNREFUSED when nobody is there. It says so of every other kind of
 * file too: only a socket's may go.
 */
#include <bulkhead/impl/unix_socket.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int bh_unix_address(struct sockaddr_un *address, const char *path)
{
    const size_t length = strlen(path);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    _Static_assert(sizeof(address->sun_path) == BH_UNIX_PATH_MAX + 1, "room for the NUL");
    if (length > 0 && length <= BH_UNIX_PATH_MAX) {
        memcpy(address->sun_path, path, length);
        return 0;
    }
    errno = length ? ENAMETOOLONG : EINVAL;
    return -1;
}

static int give_up(int fd)
{
    const int why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return -1;
}

int bh_unix_connect(const char *path, int type)
{
    struct sockaddr_un address;
    if (bh_unix_address(&address, path))
        return -1;
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)))
        return give_up(fd);
    return fd;
}

static bool is_socket(const char *path)
{
    struct stat file;
    return !lstat(path, &file) && S_ISSOCK(file.st_mode);
}

static bool is_stale(const struct sockaddr_un *address)
{
    if (!is_socket(address->sun_path))
        return false;
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const bool stale =
        fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static int bind_to(int fd, const struct sockaddr_un *address, bool replace_stale)
{
    const struct sockaddr *at = (const struct sockaddr *)address;
    int err = bind(fd, at, sizeof(*address));
    if (err && errno == EADDRINUSE && replace_stale) {
        if (is_stale(address)) {
            unlink(address->sun_path);
            return bind(fd, at, sizeof(*address));
        }
        errno = EADDRINUSE;
    }
    return err;
}

int bh_unix_listen(const char *path, int type, int backlog, unsigned how)
{
    struct sockaddr_un address;
    if (bh_unix_address(&address, path))
        return -1;
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    /* The file that bind makes has the socket's mode, less the umask. */
    if (fd < 0 || (how & BH_UNIX_OURS_ALONE && fchmod(fd, 0600)) ||
        bind_to(fd, &address, how & BH_UNIX_REPLACE_STALE) ||
        ((type & ~SOCK_NONBLOCK) != SOCK_DGRAM && listen(fd, backlog)))
        return give_up(fd);
    return fd;
}

/* What a person is told of a failure, and the code. */
struct complaint {
    int err;
    const char *what, *hint; /* what NULL: as the system says it */
};

static struct complaint complaint_of(const char *path, int why)
{
    switch (why) {
    case ENAMETOOLONG:
        return (struct complaint){BH_ERR_RANGE, "the socket's path is too long",
                                  "a socket's path has at most 107 bytes: use a shorter folder"};
    case EINVAL: return (struct complaint){BH_ERR_INVAL, "the socket's path is empty", "give a path"};
    case EADDRINUSE:
        if (is_socket(path))
            return (struct complaint){BH_ERR_BUSY, "another process serves this socket",
                                      "stop that process or choose another path"};
        return (struct complaint){BH_ERR_BUSY, "it is there already and is no socket", "choose another path"};
    case ENOENT:
    case ENOTDIR: return (struct complaint){BH_ERR_NOENT, NULL, "give a path in a folder that exists"};
    case EACCES:
    case EPERM: return (struct complaint){BH_ERR_ACCESS, NULL, "give a path in a folder of your own"};
    default: return (struct complaint){BH_ERR_IO, NULL, NULL};
    }
}

int bh_unix_complain(const char *path, int why, const char *option, struct bh_diag_sink *sink)
{
    const struct bh_diag_where where = {.file = path};
    const struct complaint complaint = complaint_of(path, why);
    bh_error(sink, &where, complaint.hint, "%s%s%s%s", option ? option : "", option ? ": " : "",
             complaint.what ? complaint.what : "cannot listen on it: ", complaint.what ? "" : strerror(why));
    return complaint.err;
}
