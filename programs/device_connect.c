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
#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <string.h>

enum { AGAIN_MS = 250 };

int bh_connector_init(struct bh_connector *connector, struct bh_loop *loop, const char *path,
                      void (*connected)(struct bh_connector *connector, int fd))
{
    struct sockaddr_un address;
    *connector = (struct bh_connector){.loop = loop, .path = path, .connected = connected};
    return bh_unix_address(&address, path) ? bh_unix_complain(path, errno, NULL, NULL) : BH_OK;
}

static void ask(struct bh_loop_timer *timer)
{
    struct bh_connector *connector = BH_LOOP_OWNER(timer, struct bh_connector, again);
    const struct bh_diag_where where = {.file = connector->path};
    const int fd = bh_unix_connect(connector->path, SOCK_STREAM | SOCK_NONBLOCK);
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
