/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel on which the back-end speaks by itself [vhost-user, "Back-end message types"]: SET_BACKEND_REQ_FD
 * brings it, a changed config is told on it.
 *
 * #syscalls recvfrom
 */
#include "transports/vhost_user/request.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void backend_ready(struct bh_loop_fd *watch, uint32_t events);

static void drop_backend_channel(struct bh_vhost_user *server)
{
    bh_loop_fd_remove(&server->backend);
    close(server->backend.fd);
    server->backend.fd = -1;
    server->config_change_due = false;
}

/* Tell of a changed config, now or when the channel has room; several changes are one message. */
static void send_config_change(struct bh_vhost_user *server)
{
    int err = bh_vu_wire_config_change(server->backend.fd);
    if (err == BH_ERR_CLOSED) {
        drop_backend_channel(server);
        return;
    }
    server->config_change_due = err != BH_OK;
    bh_loop_fd_want(&server->backend, BH_LOOP_READ | (err ? BH_LOOP_WRITE : 0));
}

/* We ask for no replies; whatever is said on the channel is read and dropped, so that it cannot fill up. */
static void backend_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vhost_user *server = BH_LOOP_OWNER(watch, struct bh_vhost_user, backend);
    uint8_t ignored[256];
    const ssize_t got = events & BH_LOOP_WRITE ? 1 : recv(watch->fd, ignored, sizeof(ignored), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        drop_backend_channel(server);
        return;
    }
    if (server->config_change_due)
        send_config_change(server);
}

void bh_vu_config_changed(struct bh_vhost_user *server)
{
    if (server->backend.fd >= 0 && bh_vu_has(server, VHOST_USER_PROTOCOL_F_CONFIG))
        send_config_change(server);
}

int bh_vu_adopt_backend(struct bh_vhost_user *server, int fd, uint32_t id)
{
    bh_vu_close_backend(server);
    bh_vu_never_block(fd);
    if (bh_loop_fd_add(server->loop, &server->backend, fd, BH_LOOP_READ, backend_ready)) {
        close(fd);
        server->backend.fd = -1;
        return BH_ERR_INVAL;
    }
    server->backend_id = id;
    return BH_OK;
}

enum bh_vu_result bh_vu_set_backend(struct bh_vhost_user *server, const char **why)
{
    const int fd = bh_vu_wire_take_fd(&server->wire, 0);
    if (bh_vu_adopt_backend(server, fd, server->wire.fd_ids[0]))
        return bh_vu_refuse(why, "a channel that cannot be waited for");
    return BH_VU_DONE;
}

void bh_vu_close_backend(struct bh_vhost_user *server)
{
    if (server->backend.fd >= 0)
        drop_backend_channel(server);
}
