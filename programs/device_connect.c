/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to a front-end that listens. Whatever is in the way (nothing there yet, nobody listening, no permission) may
 * change, so each is told once and asked again. A front-end that hangs up at once is not asked any faster.
 *
 * #syscalls socket connect
 */
#include "programs/device_connect.h"

#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/notify.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { AGAIN_MS = 250 };

int bh_connector_init(struct bh_connector *connector, struct bh_loop *loop, const char *path,
                      void (*connected)(struct bh_connector *connector, int fd))
{
    const struct bh_diag_where where = {.file = path};
    *connector = (struct bh_connector){.loop = loop, .path = path, .connected = connected};
    if (*path && strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path))
        return BH_OK;
    bh_error(NULL, &where, "a socket's path has at most 107 bytes", "the socket's path is %s",
             *path ? "too long" : "empty");
    return BH_ERR_INVAL;
}

/* A connection to a Unix socket is there at once or not at all. */
static int try_once(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, path, strlen(path));
    if (fd < 0 || !connect(fd, (const struct sockaddr *)&address, sizeof(address)))
        return fd;
    const int err = errno;
    close(fd);
    errno = err;
    return -1;
}

static void ask(struct bh_loop_timer *timer)
{
    struct bh_connector *connector = BH_LOOP_OWNER(timer, struct bh_connector, again);
    const struct bh_diag_where where = {.file = connector->path};
    const int fd = try_once(connector->path);
    if (fd >= 0) {
        connector->said = 0;
        connector->connected(connector, fd);
        return;
    }
    if (connector->said != errno) {
        connector->said = errno;
        (void)bh_notify("STATUS=waiting for a front-end to listen at %s", connector->path);
        bh_warn(NULL, &where, "start the front-end, its socket listening; it is asked again until then",
                "no front-end to connect to: %s", strerror(connector->said));
    }
    bh_loop_timer_set(connector->loop, timer, AGAIN_MS, ask);
}

void bh_connector_start(struct bh_connector *connector)
{
    bh_loop_timer_set(connector->loop, &connector->again, connector->asked ? AGAIN_MS : 0, ask);
    connector->asked = true;
}

void bh_connector_stop(struct bh_connector *connector)
{
    bh_loop_timer_cancel(&connector->again);
}
