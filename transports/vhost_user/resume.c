/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a server to an image and back: what a connection has set, written after each message, and read once, by the
 * successor of a process that died. What is read is copied first and checked like anything that a peer sends.
 */
#include "transports/vhost_user/request.h"

#include <bulkhead/impl/class.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- to an image ----------------------------------------------------------------------------------------- */

static void capture_ring(const struct bh_vu_ring *ring, struct bh_vu_image_ring *image)
{
    *image = (struct bh_vu_image_ring){
        .addr = ring->addr,
        .size = ring->size,
        .base = ring->base,
        .flags = (ring->has_addr ? BH_VU_RING_HAS_ADDR : 0u) | (ring->has_kick ? BH_VU_RING_HAS_KICK : 0u) |
                 (ring->enabled ? BH_VU_RING_ENABLED : 0u) | (ring->started ? BH_VU_RING_STARTED : 0u) |
                 (ring->left ? BH_VU_RING_LEFT : 0u) | (ring->kick_in_band ? BH_VU_RING_KICK_IN_BAND : 0u) |
                 (ring->call_polled ? BH_VU_RING_CALL_POLLED : 0u),
        .kick_id = ring->kick.fd >= 0 ? ring->kick_id : 0,
        .call_id = ring->call_fd >= 0 ? ring->call_id : 0,
        .err_id = ring->err_fd >= 0 ? ring->err_id : 0,
    };
}

static void capture_memory(const struct bh_vu_memory *memory, struct bh_vu_image *image)
{
    const struct bh_mem_table *table = &memory->tables[memory->current];
    for (unsigned i = 0; i < table->count; i++) {
        const struct bh_vu_region *region = &memory->regions[table->regions[i].slot];
        image->regions[image->region_count++] =
            (struct bh_vu_image_region){region->as_told, region->fd_id, region->copies};
    }
}

void bh_vu_image_capture(struct bh_vhost_user *server, struct bh_vu_image *image)
{
    struct bh_device *dev = server->dev;
    int class_size = 0;
    if (server->phase != BH_VU_SERVING)
        return;
    image->flags =
        BH_VU_IMAGE_SERVING | (server->protocol_negotiated ? BH_VU_IMAGE_PROTOCOL_NEGOTIATED : 0u) |
        (dev->features_done ? BH_VU_IMAGE_FEATURES_DONE : 0u) |
        (server->log.wanted ? BH_VU_IMAGE_LOG_WANTED : 0u) | (server->log.map ? BH_VU_IMAGE_HAS_LOG : 0u) |
        (server->inflight.map ? BH_VU_IMAGE_HAS_INFLIGHT : 0u) |
        (server->state.saved ? BH_VU_IMAGE_STATE_SAVED : 0u);
    image->status = bh_device_status(dev);
    memcpy(image->acked, dev->acked.word, sizeof(image->acked));
    image->protocol_features = server->protocol_features;
    image->conn_id = server->conn_id;
    image->backend_id = server->backend.fd >= 0 ? server->backend_id : 0;
    image->log_fd_id = server->log.fd >= 0 ? server->log.fd_id : 0;
    image->state_id = server->state.fd >= 0 ? server->state.id : 0;
    if (server->log.map) {
        image->log_id = server->log.map_id;
        image->log = server->log.told;
    }
    if (server->inflight.map) {
        image->inflight_id = server->inflight.id;
        image->inflight = server->inflight.told;
    }
    capture_memory(&server->memory, image);
    for (unsigned i = 0; i < dev->queue_count; i++)
        capture_ring(&server->rings[i], &image->rings[i]);
    if (dev->class->save)
        class_size = dev->class->save(dev, image->class_state, sizeof(image->class_state));
    image->class_size = class_size > 0 ? (uint32_t)class_size : 0;
}

/* --- from an image --------------------------------------------------------------------------------------- */

static int wrong(const char **why, const char *text)
{
    *why = text;
    return BH_ERR_PROTO;
}

static int take_id(struct bh_vhost_user *server, uint32_t id)
{
    return id ? bh_vu_journal_fd(&server->journal, id) : -1;
}

static int restore_memory(struct bh_vhost_user *server, const struct bh_vu_image *image, const char **why)
{
    struct vhost_user_region told[BH_VU_REGIONS_MAX];
    int fds[BH_VU_REGIONS_MAX];
    uint32_t ids[BH_VU_REGIONS_MAX];
    int err = BH_OK;
    if (image->region_count > BH_VU_REGIONS_MAX)
        return wrong(why, "more memory regions than there are slots");
    for (unsigned i = 0; i < image->region_count; i++) {
        told[i] = image->regions[i].told;
        ids[i] = image->regions[i].fd_id;
        fds[i] = bh_vu_journal_look(&server->journal, ids[i]);
        if (fds[i] < 0)
            err = wrong(why, "the file of a memory region was not kept");
    }
    if (!err && image->region_count)
        err = bh_vu_memory_stage_all(&server->memory, told, fds, ids, image->region_count, why);
    for (unsigned i = 0; !err && i < image->region_count; i++)
        bh_vu_memory_stage_copies(&server->memory, &told[i], image->regions[i].copies);
    if (!err && image->region_count)
        bh_device_mem_change(server->dev,
                             bh_vu_memory_staged(&server->memory)); /* no queue runs: done at once */
    return err;
}

static int restore_features(struct bh_vhost_user *server, const struct bh_vu_image *image, const char **why)
{
    struct bh_device *dev = server->dev;
    struct bh_features acked;
    uint8_t status = (uint8_t)image->status & (uint8_t)~BH_STATUS_NEEDS_RESET;
    memcpy(acked.word, image->acked, sizeof(acked.word));
    /* Bits taken unasked count as offered, as they did then. */
    dev->withheld = bh_features_minus(dev->withheld, acked);
    if (bh_device_accept(dev, &acked))
        return wrong(why, "its features are not all this program's");
    if (image->flags & BH_VU_IMAGE_FEATURES_DONE && bh_device_features_done(dev))
        return wrong(why, "its features do not go together");
    if (status)
        bh_device_set_status(dev, status);
    if (bh_device_status(dev) != status)
        return wrong(why, "its status does not follow from its features");
    if (image->class_size > sizeof(image->class_state) || (image->class_size && !dev->class->load) ||
        (image->class_size && dev->class->load(dev, image->class_state, image->class_size)))
        return wrong(why, "the class's own state makes no sense");
    if (image->protocol_features & ~bh_vu_offered_protocol_features(server))
        return wrong(why, "its protocol features are not all this program's");
    server->protocol_features = image->protocol_features;
    server->protocol_negotiated = image->flags & BH_VU_IMAGE_PROTOCOL_NEGOTIATED;
    return BH_OK;
}

static int restore_ring(struct bh_vu_ring *ring, const struct bh_vu_image_ring *image, const char **why)
{
    struct bh_vhost_user *server = ring->server;
    const int kick = take_id(server, image->kick_id), call = take_id(server, image->call_id);
    const int err_fd = take_id(server, image->err_id);
    int err = BH_OK;
    if (image->size > server->dev->queues[ring->index].memory.size_max)
        err = wrong(why, "a ring larger than the queue can have");
    if ((image->kick_id && kick < 0) || (image->call_id && call < 0) || (image->err_id && err_fd < 0))
        err = wrong(why, "a ring's file descriptor was not kept");
    ring->size = image->size;
    ring->base = image->base;
    ring->addr = image->addr;
    ring->has_addr = image->flags & BH_VU_RING_HAS_ADDR;
    ring->left = image->flags & (BH_VU_RING_STARTED | BH_VU_RING_LEFT);
    bh_vu_ring_set_call(ring, call, image->call_id);
    ring->call_polled = image->flags & BH_VU_RING_CALL_POLLED;
    bh_vu_ring_set_err(ring, err_fd, image->err_id);
    ring->kick_in_band = image->flags & BH_VU_RING_KICK_IN_BAND && kick < 0;
    if (ring->kick_in_band) {
        ring->has_kick = image->flags & BH_VU_RING_HAS_KICK;
    } else if (image->flags & BH_VU_RING_HAS_KICK) {
        if (bh_vu_ring_set_kick(ring, kick, image->kick_id))
            err = wrong(why, "a kick fd that cannot be waited for");
    } else if (kick >= 0) {
        close(kick);
    }
    return err;
}

/*
 * What the dead process took out of the kick fds, and what it published without a word, is asked for and told again:
 * a ring that starts is looked at, and its call fd signalled.
 */
static void start_rings(struct bh_vhost_user *server, const struct bh_vu_image *image)
{
    for (unsigned i = 0; i < server->dev->queue_count; i++) {
        server->rings[i].enabled = image->rings[i].flags & BH_VU_RING_ENABLED;
        bh_vu_ring_try_start(&server->rings[i]);
    }
}

static int restore(struct bh_vhost_user *server, const struct bh_vu_image *image, const char **why)
{
    const int backend = take_id(server, image->backend_id);
    int err = restore_memory(server, image, why);
    if (!err)
        err = restore_features(server, image, why);
    if (!err && image->flags & BH_VU_IMAGE_HAS_LOG)
        err = bh_vu_log_restore(server, &image->log, image->log_id, why);
    server->log.wanted = image->flags & BH_VU_IMAGE_LOG_WANTED;
    server->log.fd = take_id(server, image->log_fd_id);
    server->log.fd_id = image->log_fd_id;
    server->state.fd = take_id(server, image->state_id);
    server->state.id = image->state_id;
    server->state.saved = image->flags & BH_VU_IMAGE_STATE_SAVED;
    if (!err)
        bh_vu_log_apply(server);
    if (!err && image->flags & BH_VU_IMAGE_HAS_INFLIGHT)
        err = bh_vu_inflight_restore(server, &image->inflight, image->inflight_id, why);
    for (unsigned i = 0; i < server->dev->queue_count && !err; i++)
        err = restore_ring(&server->rings[i], &image->rings[i], why);
    if (backend >= 0 && bh_vu_adopt_backend(server, backend, image->backend_id) && !err)
        err = wrong(why, "a back-end channel that cannot be waited for");
    if (!err && bh_vu_wire_restore(server))
        err = wrong(why, "a message's file descriptor was not kept");
    if (err)
        return err;
    start_rings(server, image);
    if (image->status & BH_STATUS_NEEDS_RESET)
        bh_device_needs_reset(server->dev, BH_BROKEN_CLASS);
    return BH_OK;
}

int bh_vu_image_restore(struct bh_vhost_user *server, const char **why)
{
    struct bh_vu_image *copy = malloc(sizeof(*copy));
    int err;
    if (!copy) {
        *why = "there is no memory for it";
        return BH_ERR_NOMEM;
    }
    memcpy(copy, bh_vu_journal_now(&server->journal), sizeof(*copy));
    err = restore(server, copy, why);
    free(copy);
    return err;
}
