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

static const struct conf_case cases[] = {
    {"output_of_every_length_is_taken", "5.3.6", output_of_every_length_is_taken},
    {"output_comes_out_in_order", "5.3.6", output_comes_out_in_order},
    {"receive_buffers_wait_for_input", "5.3.6", receive_buffers_wait_for_input},
    {"emergency_write_is_taken_at_any_time", "5.3.4", emergency_write_is_taken_at_any_time},
    {NULL, NULL, NULL},
};

static const char *const arguments[] = {"--port=none", NULL};

const struct conf_class conf_console = {
    .name = "console",
    .hosted = &bh_console_hosted,
    .arguments = arguments,
    .ping = ping,
    .ping_descs = 1,
    .config_bytes = sizeof(struct virtio_console_config),
    .ping_queue = TX,
    .cases = cases,
};
