/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile drivers for the classes rng, console and net: chains of any framing and content, a host's side that
 * gives and takes as it likes, stops and resets in between. The sanitizers judge memory; the driver's side of the
 * ring judges that each chain comes back once and that what was promised as written lies within the buffer.
 *
 * Input: one byte of set-up, then steps, each an opcode byte and what it takes; it ends with the input.
 */
#include "devices/console/console.h"
#include "devices/net/net.h"
#include "devices/rng/rng.h"
#include "tests/fuzz/target.h"
#include "tests/unit/class_rig.h"

#include <string.h>

static const uint8_t *input;
static size_t left;

static uint8_t take(void)
{
    return left ? left--, *input++ : 0;
}

/* --- The host's side: each answer is the next byte of the input. --- */

static int fill(struct bh_rng_source *source, void *to, size_t len)
{
    uint8_t answer = take();
    size_t count = (size_t)(answer & 0x3fu) * (answer & 0x40u ? 256u : 1u);

    if (answer & 0x80)
        return answer & 1 ? BH_ERR_IO : BH_ERR_AGAIN;
    count = count < len ? count : len;
    memset(to, answer, count);
    return count ? (int)count : BH_ERR_AGAIN;
}

static size_t console_write(struct bh_console_port *port, const struct bh_seg *segs, unsigned count)
{
    size_t room = (size_t)take() * 8u, taken = 0;
    volatile uint8_t sum = 0;

    for (unsigned i = 0; i < count && taken < room; i++) {
        size_t part = segs[i].len < room - taken ? segs[i].len : room - taken;
        for (size_t k = 0; k < part; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)segs[i].base)[k]);
        taken += part;
    }
    return taken;
}

static size_t console_read(struct bh_console_port *port, const struct bh_seg *segs, unsigned count)
{
    size_t there = take(), given = 0;

    for (unsigned i = 0; i < count && given < there; i++) {
        size_t part = segs[i].len < there - given ? segs[i].len : there - given;
        memset(segs[i].base, 'x', part);
        given += part;
    }
    return given;
}

#define NET_PAIRS 2u
static struct bh_net_arrival waiting; /* the frame for the guest */
static uint8_t frame_bytes[4096];

static unsigned net_send(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                         unsigned count)
{
    static uint8_t buffer[BH_NET_GSO_BYTES];
    unsigned taken = take() % 33u;

    for (unsigned i = 0; i < count; i++) {
        const struct virtio_net_hdr *header = &frames[i].header;
        uint32_t len = (uint32_t)frames[i].first.len;

        BH_ASSERT(frames[i].len >= BH_NET_FRAME_MIN &&
                  frames[i].len <= (bh_net_is_gso(header) ? BH_NET_GSO_BYTES : port->frame_max));
        BH_ASSERT(!header->flags ||
                  bh_le16_get(header->csum_start) + bh_le16_get(header->csum_offset) + 2u <= frames[i].len);
        BH_ASSERT(bh_le16_get(header->hdr_len) <= frames[i].len);
        memcpy(buffer, frames[i].first.base, len);
        for (unsigned k = 0; k < frames[i].rest_count; k++) {
            memcpy(buffer + len, frames[i].rest[k].base, frames[i].rest[k].len);
            len += (uint32_t)frames[i].rest[k].len;
        }
        BH_ASSERT(len == frames[i].len);
    }
    return taken < count ? taken : count;
}

static const struct bh_net_arrival *net_peek(struct bh_netport *port, unsigned pair)
{
    uint8_t *header = (uint8_t *)&waiting.header;

    if (!waiting.len) {
        waiting.len = take() * 8u;
        waiting.bytes = frame_bytes;
        for (size_t i = 0; i < sizeof(waiting.header); i++)
            header[i] = waiting.len & 8u ? take() : 0;
    }
    return waiting.len ? &waiting : NULL;
}

static void net_drop(struct bh_netport *port, unsigned pair)
{
    BH_ASSERT(waiting.len);
    waiting.len = 0;
}

/* A console's third port comes and goes, and its second is attached to. */
static struct bh_console *console;
static struct bh_console_port ports[3];

static void change_ports(uint8_t how)
{
    if (how & 1) {
        ports[1].attached(&ports[1], how & 2);
    } else if (ports[2].user) {
        bh_console_remove_port(console, &ports[2]);
    } else {
        BH_ASSERT(bh_console_add_port(console, &ports[2], "third") == 2);
    }
}

/* --- The driver's side. --- */

#define TOKENS 512u
static uint32_t in_bytes[TOKENS]; /* writable bytes of each buffer */

static void add_chain(struct class_rig *rig, unsigned token)
{
    unsigned queue = take() % rig->queue_count, count = take() % 24u, out_count = 0;
    struct bh_drv_buf bufs[24];
    bool writable = queue % 2 == 0 && take() % 8 != 0; /* where drivers put buffers to be filled */

    in_bytes[token] = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t form = take();
        uint32_t len = (form & 0x3fu) * (form & 0x40u ? 64 : 1) + 1;
        bh_daddr_t addr;
        writable |= form >> 7;
        if (rig->guest.used > CLASS_RIG_BYTES - 8192) /* a hostile driver may give memory twice */
            bh_drv_guest_rewind(&rig->guest, CLASS_RIG_BYTES / 2);
        uint8_t *at = bh_drv_guest_alloc(&rig->guest, len, 1, &addr);
        bufs[i] = (struct bh_drv_buf){addr, len};
        out_count += !writable;
        in_bytes[token] += writable ? len : 0;
        for (uint32_t k = 0; k < len && k < 16; k++)
            at[k] = take() & 1 ? take() : 0;
    }
    if (count && bh_drv_ring_add(&rig->queues[queue].ring, bufs, out_count, count - out_count,
                                 &in_bytes[token]) == BH_OK)
        bh_pipe_kick(&rig->pipe, queue);
}

static void collect(struct class_rig *rig)
{
    uint32_t *token, len = 0;

    for (unsigned i = 0; i < rig->queue_count; i++) {
        while ((token = class_rig_get(rig, i, &len)))
            BH_ASSERT(len <= *token);
    }
}

union any {
    struct bh_rng rng;
    struct bh_console console;
    struct bh_net net;
};

static void step(struct class_rig *rig, struct bh_netport *netport, unsigned *token)
{
    uint8_t byte;

    switch (take() % 9) {
    case 0:
    case 1:
    case 2: add_chain(rig, (*token)++); break;
    case 3:
    case 4: bh_pipe_pump(&rig->pipe, 1 + take() % 64u); break;
    case 5: bh_device_queue_wake(rig->dev, &rig->dev->queues[take() % rig->queue_count]); break;
    case 6:
        if (netport->user) {
            netport->link_up = !netport->link_up;
            netport->link_changed(netport);
        }
        if (console && console->multiport)
            change_ports(take());
        byte = take();
        if (bh_device_config_write(rig->dev, byte % 16u, &byte, 1) == BH_OK)
            BH_ASSERT(byte % 16u == 8);
        break;
    case 7: bh_device_queue_stop(rig->dev, take() % rig->queue_count); break;
    default: collect(rig); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct bh_rng_source_ops source_ops = {.fill = fill};
    static const struct bh_console_port_ops console_ops = {.write = console_write, .read = console_read};
    static const struct bh_netport_ops net_ops = {.send = net_send, .peek = net_peek, .drop = net_drop};
    static struct bh_virtq net_queues[BH_NET_QUEUES(NET_PAIRS)];
    static struct bh_net_pair net_pairs[NET_PAIRS];
    static const uint8_t queue_counts[] = {1, 2, BH_NET_QUEUES(NET_PAIRS)};
    static struct bh_virtq console_queues[BH_CONSOLE_QUEUES(3)];
    static struct bh_console_channel console_channels[3];
    static union any any;
    struct bh_rng_source source = {.ops = &source_ops};
    struct bh_netport netport = {.ops = &net_ops,
                                 .frame_max = 1518,
                                 .offloads = BH_NET_HOST_OFFLOADS | BH_NET_GUEST_OFFLOADS,
                                 .link_up = true};
    const struct bh_net_setup setup = {.mac = {2}, .mtu = 1500, .hash_report = true, .rss = true};
    struct class_rig rig;
    struct bh_device *dev;
    unsigned token = 0;

    input = data;
    left = size;
    waiting.len = 0;
    uint8_t set_up = take();
    const bool multiport = set_up % 3 == 1 && set_up & 0x10;
    console = NULL;
    class_rig_open(&rig, set_up % 3 == 1 ? BH_CONSOLE_QUEUES(multiport ? 3 : 1) : queue_counts[set_up % 3],
                   64, BH_NET_SEGS);
    switch (set_up % 3) {
    case 0:
        bh_rng_init(&any.rng, &rig.mem, rig.memory, &source);
        dev = &any.rng.dev;
        break;
    case 1:
        console = &any.console;
        for (unsigned i = 0; i < 3; i++)
            ports[i] = (struct bh_console_port){.ops = &console_ops};
        bh_console_init(console, &rig.mem,
                        &(struct bh_console_memory){.ports_max = multiport ? 3 : 1,
                                                    .multiport = multiport ? &bh_console_multiport : NULL,
                                                    .channels = console_channels,
                                                    .queues = console_queues,
                                                    .memory = rig.memory},
                        &ports[0], 80, 25);
        if (multiport)
            BH_ASSERT(bh_console_add_port(console, &ports[1], "second") == 1);
        dev = &console->dev;
        break;
    default:
        bh_net_init(
            &any.net, &rig.mem,
            &(struct bh_net_memory){
                .pair_count = NET_PAIRS, .pairs = net_pairs, .queues = net_queues, .memory = rig.memory},
            &netport, &setup);
        dev = &any.net.dev;
        break;
    }
    class_rig_start(&rig, dev, set_up & 0x80,
                    (set_up & 0x40 ? 1ull << BH_F_IN_ORDER : 0) |
                        (set_up & 0x20 && set_up % 3 == 2 ? 1ull << VIRTIO_NET_F_MRG_RXBUF : 0));
    while (left && token < TOKENS)
        step(&rig, &netport, &token);
    collect(&rig);
    class_rig_close(&rig);
    return 0;
}
