/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the conformance cases stand on: bringing a device up, laying buffers, waiting with a limit.
 */
#include "tests/conformance/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STEP_MS      5
#define SCRATCH_FROM ((2u << 20) + 32768u - 40u)

_Noreturn void conf_fail(struct conf *conf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(conf->why, sizeof(conf->why), format, args);
    va_end(args);
    longjmp(conf->leave, 1);
}

_Noreturn void conf_skip(struct conf *conf, const char *why)
{
    conf->skipped = true;
    conf_fail(conf, "%s", why);
}

void conf_negotiate(struct conf *conf, const struct bh_features *extra)
{
    struct bh_features offered = conf->side->ops->offered(conf->side);
    struct bh_features missing = bh_features_minus(conf->wanted, offered);

    if (!bh_features_none(&missing))
        conf_skip(conf, "the device does not offer this feature set");
    conf->features = conf->wanted;
    for (unsigned i = 0; extra && i < BH_FEATURE_WORDS; i++)
        conf->features.word[i] |= extra->word[i] & offered.word[i];
    CONF_SAME(conf, conf->side->ops->negotiate(conf->side, &conf->features), BH_OK);
}

void conf_start_queues(struct conf *conf, uint16_t queue_size)
{
    bool indirect = bh_features_has(&conf->features, BH_F_INDIRECT_DESC);

    conf->queue_count = conf->side->queue_count < CONF_QUEUES ? conf->side->queue_count : CONF_QUEUES;
    for (unsigned i = 0; i < conf->queue_count; i++) {
        CONF_SAME(conf,
                  bh_drv_queue_create(&conf->queue[i], &conf->guest, queue_size, &conf->features,
                                      indirect ? 16 : 0),
                  BH_OK);
        CONF_SAME(conf, conf->side->ops->queue_start(conf->side, i, &conf->queue[i].setup), BH_OK);
    }
    /* Simulated memory splits translations at such places; the first buffers shall straddle one. */
    if (conf->guest.used < SCRATCH_FROM)
        conf->guest.used = SCRATCH_FROM;
    conf->scratch = conf->guest.used;
}

void conf_up(struct conf *conf, uint16_t queue_size, const struct bh_features *extra)
{
    conf_negotiate(conf, extra);
    conf_start_queues(conf, queue_size);
    CONF_SAME(conf, conf->side->ops->driver_ok(conf->side), BH_OK);
}

void conf_reset(struct conf *conf)
{
    CONF_SAME(conf, conf->side->ops->reset(conf->side), BH_OK);
    for (unsigned i = 0; i < conf->queue_count; i++)
        bh_drv_queue_destroy(&conf->queue[i]);
    conf->queue_count = 0;
    bh_drv_guest_rewind(&conf->guest, 0);
}

void conf_config_read(struct conf *conf, uint32_t offset, void *to, uint32_t len)
{
    const int err = conf->side->ops->config_read(conf->side, offset, to, len);

    if (err == BH_ERR_UNSUPPORTED)
        conf_skip(conf, "the transport carries no config space");
    CONF_SAME(conf, err, BH_OK);
}

void *conf_alloc(struct conf *conf, size_t size)
{
    void *bytes = bh_drv_guest_alloc(&conf->guest, size, 16, NULL);

    CONF_CHECK(conf, bytes != NULL);
    return bytes;
}

void conf_recycle(struct conf *conf)
{
    bh_drv_guest_rewind(&conf->guest, conf->scratch);
}

struct bh_drv_buf conf_buf(struct conf *conf, const void *host, uint32_t len)
{
    return (struct bh_drv_buf){bh_drv_guest_addr(&conf->guest, host), len};
}

void conf_submit(struct conf *conf, unsigned index, const struct bh_drv_buf *bufs, unsigned out_count,
                 unsigned in_count, void *token)
{
    CONF_SAME(conf, bh_drv_ring_add(&conf->queue[index].ring, bufs, out_count, in_count, token), BH_OK);
    if (bh_drv_ring_kick_needed(&conf->queue[index].ring))
        conf->side->ops->kick(conf->side, index);
}

/* As a driver waits: ask for a notification, look again, sleep until one comes. */
bool conf_comes(struct conf *conf, unsigned index, int ms, void **token, uint32_t *len)
{
    struct bh_drv_ring *ring = &conf->queue[index].ring;
    uint32_t before = conf->side->ops->notifications(conf->side, index);
    bool armed = false;

    for (int waited = 0; waited <= ms; waited += STEP_MS) {
        int found = bh_drv_ring_get(ring, token, len);

        if (found < 0)
            conf_fail(conf, "queue %u: a used entry that was never made available", index);
        if (found) {
            /* It was not there when we armed, so a notification must come for it [virtio-1.4 2.7.7.2]. */
            for (int late = 0; armed && conf->side->ops->notifications(conf->side, index) == before; late++) {
                CONF_CHECK(conf, late < 100);
                CONF_SAME(conf, conf->side->ops->wait(conf->side, STEP_MS), BH_OK);
            }
            return true;
        }
        if (!armed) {
            armed = !bh_drv_ring_arm(ring);
            if (!armed)
                continue;
        }
        int err = conf->side->ops->wait(conf->side, STEP_MS);

        if (err)
            conf_fail(conf, "the device went away (%d)", err);
    }
    return false;
}

void *conf_wait(struct conf *conf, unsigned index, uint32_t *len)
{
    uint32_t used_len;
    void *token = NULL;

    if (!conf_comes(conf, index, conf->patience_ms, &token, len ? len : &used_len))
        conf_fail(conf, "queue %u: nothing was used in %d ms", index, conf->patience_ms);
    return token;
}

void conf_quiet(struct conf *conf, unsigned index, int ms)
{
    uint32_t len;
    void *token;

    if (conf_comes(conf, index, ms, &token, &len))
        conf_fail(conf, "queue %u: a buffer was used that must not be", index);
}

void conf_wait_broken(struct conf *conf, unsigned index)
{
    conf->may_close = true;
    for (int waited = 0; waited <= conf->patience_ms; waited += STEP_MS) {
        uint8_t status = 0;
        int err = conf->side->ops->wait(conf->side, STEP_MS);

        CONF_CHECK(conf, err == BH_OK);
        if (conf->side->ops->errors(conf->side, index) ||
            (conf->side->ops->get_status(conf->side, &status) == BH_OK && (status & BH_STATUS_NEEDS_RESET))) {
            conf->may_close = false;
            return;
        }
    }
    if (conf->plan->connect)
        conf_skip(conf, "it puts up with the malformed ring");
    conf_fail(conf, "queue %u: the device did not give up a malformed ring", index);
}
