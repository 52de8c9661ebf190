/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back-end's own state on its way through a migration [vhost-user, "Migrating back-end state"], in the form that
 * core saves and loads (docs/state.md).
 *
 * Theory of operation
 *   The front-end offers a pipe; we answer with a file of our own instead, as it may be for efficiency: a memfd that
 * holds the whole state when it is saved, and one that takes it when it is loaded. So no end of a pipe has to be watched,
 * and no peer can keep us waiting. The file that is to be loaded cannot grow, and says by itself where it ends. It is
 * read when CHECK_DEVICE_STATE says that everything was written, once, and parsed like anything from outside.
 *
 *   What is loaded is what the driver told the device, and the class's own. Rings come by messages as ever: a state that
 * says a ring runs is none of a vhost-user back-end's.
 *
 * #syscalls memfd_create ftruncate fcntl pread64 pwrite64
 */
#include "transports/vhost_user/request.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SAVE = 0, LOAD = 1, STOPPED = 0, STATE_MAX = 1 << 20 };
#define NO_FD  (UINT64_C(1) << 8)
#define FAILED UINT64_C(1)

static int make_file(uint64_t size, int seals)
{
    const int fd = memfd_create("bulkhead-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, seals))) {
        close(fd);
        return -1;
    }
    return fd;
}

void bh_vu_state_forget(struct bh_vhost_user *server)
{
    if (server->state.fd >= 0)
        close(server->state.fd);
    server->state = (struct bh_vu_state){.fd = -1};
}

/* --- saving ---------------------------------------------------------------------------------------------- */

/* The file that holds the state, or -1. */
static int save(struct bh_vhost_user *server, const char **why)
{
    uint8_t *bytes = malloc(STATE_MAX);
    const int size = bytes ? bh_device_save(server->dev, bytes, STATE_MAX) : BH_ERR_NOMEM;
    int fd = -1;
    *why = size == BH_ERR_BUSY ? "a state that is asked for while rings run" : "the state cannot be saved";
    if (size > 0) {
        fd = make_file((uint64_t)size, F_SEAL_GROW | F_SEAL_SHRINK);
        if (fd >= 0 && pwrite(fd, bytes, (size_t)size, 0) != size) {
            close(fd);
            fd = -1;
        }
    }
    free(bytes);
    return fd;
}

/* --- loading --------------------------------------------------------------------------------------------- */

/* The whole state as the front-end wrote it; its length, or 0. */
static size_t read_state(int fd, uint8_t *bytes)
{
    ssize_t got = pread(fd, bytes, STATE_MAX, 0);
    uint32_t total;
    if (got < 12)
        return 0;
    memcpy(&total, bytes + 8, sizeof(total)); /* "total bytes": little endian, as this machine may not be */
    total = bh_le32_get((bh_le32){total});
    return total <= (size_t)got ? total : 0;
}

static bool rings_run(const struct bh_device *dev)
{
    for (unsigned i = 0; i < dev->queue_count; i++)
        if (dev->queues[i].life != BH_VIRTQ_STOPPED || dev->queues[i].wishes)
            return true;
    return false;
}

/*
 * The device begins anew with it. All queues are stopped, so the reset is done when it returns. Whatever is refused
 * leaves the device as after a reset.
 */
static int load(struct bh_vhost_user *server)
{
    struct bh_device *dev = server->dev;
    uint8_t *bytes = malloc(STATE_MAX);
    size_t size = 0;
    int err = BH_ERR_NOMEM;
    if (bytes)
        size = read_state(server->state.fd, bytes);
    if (bytes && !rings_run(dev)) {
        bh_device_reset(dev);
        err = bh_device_load(dev, bytes, size);
        if (!err && rings_run(dev)) {
            bh_device_reset(dev);
            err = BH_ERR_PROTO;
        }
        if (!err)
            bh_device_resume(dev); /* for the rings that messages start */
    }
    free(bytes);
    return err;
}

/* --- messages -------------------------------------------------------------------------------------------- */

enum bh_vu_result bh_vu_set_state_fd(struct bh_vhost_user *server)
{
    const struct vhost_user_device_state *wanted = &server->pending.device_state;
    const char *why = "a transfer other than saving or loading a stopped device";
    int fd = -1;
    bh_vu_state_forget(server);
    if (wanted->phase == STOPPED && wanted->direction == SAVE) {
        fd = save(server, &why);
    } else if (wanted->phase == STOPPED && wanted->direction == LOAD) {
        why = "there is no memory for the state";
        fd = make_file(STATE_MAX, F_SEAL_GROW | F_SEAL_SHRINK);
        server->state.fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
        if (fd >= 0 && server->state.fd < 0) {
            close(fd);
            fd = -1;
        }
    }
    if (fd < 0) {
        server->counters.refused++;
        bh_vu_say(server, "SET_DEVICE_STATE_FD fails: %s", why);
        return bh_vu_answer_u64(server, NO_FD | FAILED);
    }
    server->state.saved = wanted->direction == SAVE;
    bh_vu_answer_u64(server, 0);
    bh_vu_wire_reply_fd(server, fd);
    server->state.id = server->wire.reply_fd_id; /* the same file */
    return BH_VU_ANSWERED;
}

enum bh_vu_result bh_vu_check_state(struct bh_vhost_user *server)
{
    int err = BH_OK;
    if (!server->state.saved)
        err = server->state.fd >= 0 ? load(server) : BH_ERR_NOENT;
    if (err) {
        server->counters.refused++;
        bh_vu_say(server, "the device's state cannot be taken over: %s", bh_err_text(err));
    }
    bh_vu_state_forget(server);
    return bh_vu_answer_u64(server, err ? FAILED : 0);
}
