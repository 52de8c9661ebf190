/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console device [virtio-1.4 5.3]. With a log (--scratch=log-file:0) what the guest printed is read back.
 */
#include "abi/virtio_console.h"
#include "devices/console/console_host.h"
#include "tests/conformance/conf.h"

#include <stdio.h>
#include <string.h>

#define TX VIRTIO_CONSOLE_TRANSMITQ
#define RX VIRTIO_CONSOLE_RECEIVEQ

static void print(struct conf *conf, const char *text, uint32_t len)
{
    char *bytes = conf_alloc(conf, len);
    struct bh_drv_buf buf = conf_buf(conf, bytes, len);

    memcpy(bytes, text, len);
    conf_submit(conf, TX, &buf, 1, 0, bytes);
    CONF_CHECK(conf, conf_wait(conf, TX, NULL) == bytes);
}

static void ping(struct conf *conf)
{
    conf_recycle(conf);
    print(conf, ".", 1);
}

static void output_of_every_length_is_taken(struct conf *conf)
{
    char text[4096];

    memset(text, 'x', sizeof(text));
    conf_up(conf, 16, NULL);
    for (uint32_t len = 1; len <= sizeof(text); len = len * 3 + 1) {
        conf_recycle(conf);
        print(conf, text, len);
    }
}

/* What a log file ends with. */
static bool log_ends_with(const char *path, const char *text)
{
    char tail[256] = "";
    size_t want = strlen(text), got = 0;
    FILE *file = fopen(path, "r");

    if (!file)
        return false;
    if (fseek(file, -(long)want, SEEK_END) == 0)
        got = fread(tail, 1, sizeof(tail) - 1, file);
    fclose(file);
    return got == want && memcmp(tail, text, want) == 0;
}

static void output_comes_out_in_order(struct conf *conf)
{
    struct bh_drv_buf bufs[4];
    char *bytes;

    if (!conf->plan->scratch)
        conf_skip(conf, "no log to look into: --scratch=log-file:0");
    conf_up(conf, 16, NULL);
    bytes = conf_alloc(conf, 64);
    memcpy(bytes, "one two three four\n", 19);
    bufs[0] = conf_buf(conf, bytes, 4);
    bufs[1] = conf_buf(conf, bytes + 4, 4);
    bufs[2] = conf_buf(conf, bytes + 8, 6);
    bufs[3] = conf_buf(conf, bytes + 14, 5);
    conf_submit(conf, TX, bufs, 3, 0, bytes);
    conf_submit(conf, TX, bufs + 3, 1, 0, bytes);
    (void)conf_wait(conf, TX, NULL);
    (void)conf_wait(conf, TX, NULL);
    for (unsigned i = 0; i < 100 && !log_ends_with(conf->plan->scratch, "one two three four\n"); i++)
        CONF_SAME(conf, conf->side->ops->wait(conf->side, 5), BH_OK);
    CONF_CHECK(conf, log_ends_with(conf->plan->scratch, "one two three four\n"));
}

static void receive_buffers_wait_for_input(struct conf *conf)
{
    conf_up(conf, 16, NULL);
    for (unsigned i = 0; i < 8; i++) {
        struct bh_drv_buf buf = conf_buf(conf, conf_alloc(conf, 64), 64);

        conf_submit(conf, RX, &buf, 0, 1, NULL);
    }
    conf_quiet(conf, RX, 30);
    print(conf, "!", 1);
}

static void emergency_write_is_taken_at_any_time(struct conf *conf)
{
    struct bh_features offered = conf->side->ops->offered(conf->side);
    const bh_le32 character = bh_le32_of('E');

    if (!bh_features_has(&offered, VIRTIO_CONSOLE_F_EMERG_WRITE))
        conf_skip(conf, "EMERG_WRITE is not offered");
    CONF_SAME(conf, conf->side->ops->config_write(conf->side, 8, &character, 4), BH_OK);
    conf_up(conf, 16, NULL);
    CONF_SAME(conf, conf->side->ops->config_write(conf->side, 8, &character, 4), BH_OK);
    print(conf, "!", 1);
}

/* --- Several ports [virtio-1.4 5.3.6.2] --- */

#define CTRL_RX       VIRTIO_CONSOLE_CONTROL_RECEIVEQ
#define CTRL_TX       VIRTIO_CONSOLE_CONTROL_TRANSMITQ
#define MESSAGE_BYTES 256u
#define MESSAGES_MAX  64u

/* Bring the device up with MULTIPORT; how many ports it says it may have. */
static uint32_t multiport_up(struct conf *conf)
{
    struct bh_features extra = {{0}}, offered = conf->side->ops->offered(conf->side);
    bh_le32 ports;

    bh_features_set(&extra, VIRTIO_CONSOLE_F_MULTIPORT);
    if (!bh_features_has(&offered, VIRTIO_CONSOLE_F_MULTIPORT))
        conf_skip(conf, "MULTIPORT is not offered");
    conf_up(conf, 16, &extra);
    if (conf->queue_count <= CTRL_TX)
        conf_skip(conf, "the transport has no control queues");
    conf_config_read(conf, offsetof(struct virtio_console_config, max_nr_ports), &ports, sizeof(ports));
    CONF_CHECK(conf, bh_le32_get(ports) >= 1);
    return bh_le32_get(ports);
}

static void say(struct conf *conf, uint32_t id, unsigned event, unsigned value)
{
    struct virtio_console_control *message = conf_alloc(conf, sizeof(*message));
    struct bh_drv_buf buf = conf_buf(conf, message, sizeof(*message));
    uint32_t len = 1;

    *message = (struct virtio_console_control){bh_le32_of(id), bh_le16_of((uint16_t)event),
                                               bh_le16_of((uint16_t)value)};
    conf_submit(conf, CTRL_TX, &buf, 1, 0, message);
    CONF_CHECK(conf, conf_wait(conf, CTRL_TX, &len) == message);
    CONF_SAME(conf, len, 0);
}

static void give_control_buffer(struct conf *conf)
{
    void *bytes = conf_alloc(conf, MESSAGE_BYTES);
    struct bh_drv_buf buf = conf_buf(conf, bytes, MESSAGE_BYTES);

    conf_submit(conf, CTRL_RX, &buf, 0, 1, bytes);
}

/* The next message, and how long it is; its buffer is replaced. NULL: none came for a while. */
static const struct virtio_console_control *hear(struct conf *conf, uint32_t *len)
{
    void *message = NULL;

    for (unsigned i = 0; i < 20; i++) {
        int got = bh_drv_ring_get(&conf->queue[CTRL_RX].ring, &message, len);

        CONF_CHECK(conf, got >= 0);
        if (got == 1) {
            CONF_CHECK(conf, *len >= sizeof(struct virtio_console_control) && *len <= MESSAGE_BYTES);
            give_control_buffer(conf);
            return message;
        }
        CONF_SAME(conf, conf->side->ops->wait(conf->side, 10), BH_OK);
    }
    return NULL;
}

/* Answer what the device says until it is silent; `known`: the ports there are, a bit each of the first 32. */
static uint32_t introduce(struct conf *conf, uint32_t ports_max)
{
    const struct virtio_console_control *message;
    uint32_t known = 0, len = 0;

    for (unsigned count = 0; (message = hear(conf, &len)) != NULL; count++) {
        uint32_t id = bh_le32_get(message->id);
        uint32_t bit = id < 32 ? 1u << id : 0;

        CONF_CHECK(conf, count < MESSAGES_MAX);
        CONF_CHECK(conf, id < ports_max);
        switch (bh_le16_get(message->event)) {
        case VIRTIO_CONSOLE_DEVICE_ADD:
            CONF_CHECK(conf, !(known & bit)); /* MUST NOT specify a port which exists */
            known |= bit;
            say(conf, id, VIRTIO_CONSOLE_PORT_READY, 1);
            break;
        case VIRTIO_CONSOLE_DEVICE_REMOVE:
            CONF_CHECK(conf, known & bit); /* MUST NOT specify one which has not been created */
            known &= ~bit;
            break;
        case VIRTIO_CONSOLE_CONSOLE_PORT: say(conf, id, VIRTIO_CONSOLE_PORT_OPEN, 1); break;
        case VIRTIO_CONSOLE_RESIZE:
            CONF_SAME(conf, len, sizeof(*message) + sizeof(struct virtio_console_resize));
            break;
        case VIRTIO_CONSOLE_PORT_NAME: CONF_CHECK(conf, len > sizeof(*message)); break;
        case VIRTIO_CONSOLE_PORT_OPEN: CONF_CHECK(conf, bh_le16_get(message->value) <= 1); break;
        default: conf_fail(conf, "event %u is not the device's to send", bh_le16_get(message->event));
        }
        CONF_CHECK(conf, known & bit || bh_le16_get(message->event) == VIRTIO_CONSOLE_DEVICE_REMOVE);
    }
    return known;
}

static void ports_are_added_once_and_in_range(struct conf *conf)
{
    uint32_t ports_max = multiport_up(conf);

    for (unsigned i = 0; i < 4; i++)
        give_control_buffer(conf);
    conf_quiet(conf, CTRL_RX, 30); /* the driver is not ready */
    say(conf, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    CONF_CHECK(conf, introduce(conf, ports_max) != 0);
    print(conf, "!", 1);
}

static void control_messages_out_of_turn_are_survived(struct conf *conf)
{
    uint32_t ports_max = multiport_up(conf);
    struct bh_drv_buf buf;
    uint8_t *bytes;

    say(conf, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(conf, ports_max, VIRTIO_CONSOLE_PORT_READY, 1);
    say(conf, UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1);
    for (unsigned event = 0; event < 10; event++)
        say(conf, 0, event, 0xffff);
    bytes = conf_alloc(conf, 8);
    memset(bytes, 0xff, 8);
    buf = conf_buf(conf, bytes, 3);
    conf_submit(conf, CTRL_TX, &buf, 1, 0, bytes);
    CONF_CHECK(conf, conf_wait(conf, CTRL_TX, NULL) == bytes);
    for (unsigned i = 0; i < 4; i++)
        give_control_buffer(conf);
    say(conf, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    CONF_CHECK(conf, introduce(conf, ports_max) != 0);
    print(conf, "!", 1);
}

static const struct conf_case cases[] = {
    {"output_of_every_length_is_taken", "5.3.6", output_of_every_length_is_taken},
    {"output_comes_out_in_order", "5.3.6", output_comes_out_in_order},
    {"receive_buffers_wait_for_input", "5.3.6", receive_buffers_wait_for_input},
    {"emergency_write_is_taken_at_any_time", "5.3.4", emergency_write_is_taken_at_any_time},
    {"ports_are_added_once_and_in_range", "5.3.6.2", ports_are_added_once_and_in_range},
    {"control_messages_out_of_turn_are_survived", "5.3.6.2", control_messages_out_of_turn_are_survived},
    {NULL, NULL, NULL},
};

static const char *const arguments[] = {"--port=none", "--ports-max=3", NULL};

const struct conf_class conf_console = {
    .name = "console",
    .hosted = &bh_console_hosted,
    .arguments = arguments,
    .ping = ping,
    .ping_descs = 1,
    .queues = 2,
    .config_bytes = sizeof(struct virtio_console_config),
    .ping_queue = TX,
    .cases = cases,
};
