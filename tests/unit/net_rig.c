/* SPDX-License-Identifier: Apache-2.0 */
/* The net tests' rig: a port that takes and gives what the test says. */
#include "tests/unit/net_rig.h"

#include <stdlib.h>
#include <string.h>

static struct bed *bed_of(struct bh_netport *port)
{
    return BH_CONTAINER(port, struct bed, port);
}

static unsigned port_send(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                          unsigned count)
{
    struct bed *bed = bed_of(port);
    unsigned taken = count < bed->room ? count : bed->room;

    bed->room -= taken;
    bed->sent += taken;
    bed->sent_pair = pair;
    if (taken) {
        bed->sent_len = frames[taken - 1].len;
        bed->sent_header = frames[taken - 1].header;
    }
    return taken;
}

static const struct bh_net_arrival *port_peek(struct bh_netport *port, unsigned pair)
{
    struct bed *bed = bed_of(port);
    return pair == bed->waiting_pair && bed->waiting_count ? &bed->waiting[0] : NULL;
}

static void port_drop(struct bh_netport *port, unsigned pair)
{
    struct bed *bed = bed_of(port);

    BH_ASSERT(pair == bed->waiting_pair && bed->waiting_count > 0);
    bed->dropped++;
    bed->waiting_count--;
    memmove(bed->waiting, bed->waiting + 1, sizeof(bed->waiting) - sizeof(bed->waiting[0]));
}

static void port_accept(struct bh_netport *port, uint64_t offloads)
{
    bed_of(port)->accepted = offloads;
}

static void port_attach(struct bh_netport *port, unsigned pair, bool on)
{
    bed_of(port)->attached ^= 1u << pair;
    BH_ASSERT((bed_of(port)->attached >> pair & 1u) == on);
}

static const struct bh_netport_ops ops = {
    .send = port_send, .peek = port_peek, .drop = port_drop, .accept = port_accept, .attach = port_attach};

struct bed *bed_with(const struct bed_setup *setup)
{
    const struct bh_net_setup net_setup = {
        .mac = BED_MAC, .mtu = 1500, .rss = setup->rss, .hash_report = setup->hash_report};
    const unsigned pairs = setup->pairs ? setup->pairs : 1;
    struct bed *bed = calloc(1, sizeof(*bed));

    BH_ASSERT(bed);
    bed->port = (struct bh_netport){.ops = &ops,
                                    .frame_max = BH_NET_FRAME_BYTES(1500),
                                    .pair_count = setup->port_pairs,
                                    .offloads = setup->offloads,
                                    .link_up = true};
    bed->room = 1000;
    class_rig_open(&bed->rig, BH_NET_QUEUES(pairs), BH_NET_CHAINS, BH_NET_SEGS);
    const struct bh_net_memory memory = {
        .pair_count = pairs, .pairs = bed->pairs, .queues = bed->queues, .memory = bed->rig.memory};
    bh_net_init(&bed->net, &bed->rig.mem, &memory, &bed->port, &net_setup);
    if (setup->lasting)
        bh_net_lasting(&bed->net.dev, setup->lasting, setup->left);
    class_rig_start(&bed->rig, &bed->net.dev, false, setup->without);
    if (!setup->filters)
        bed->net.filter.modes = BH_NET_MODE(VIRTIO_NET_CTRL_RX_PROMISC);
    return bed;
}

struct bed *bed_new(bool mergeable)
{
    return bed_with(&(struct bed_setup){.without = mergeable ? 0 : BH_NET_BIT(VIRTIO_NET_F_MRG_RXBUF)});
}

void bed_free(struct bed *bed)
{
    class_rig_close(&bed->rig);
    free(bed);
}

struct bh_net_arrival *arrive(struct bed *bed, const uint8_t *bytes, uint32_t len)
{
    static uint8_t counting[BH_NET_GSO_BYTES + 1];
    struct bh_net_arrival *arrival = &bed->waiting[bed->waiting_count++];

    BH_ASSERT(bed->waiting_count <= BED_FRAMES_MAX);
    for (size_t i = 0; i < sizeof(counting); i++)
        counting[i] = (uint8_t)i;
    *arrival = (struct bh_net_arrival){.bytes = bytes ? bytes : counting, .len = len};
    return arrival;
}

uint8_t *transmit_on(struct bed *bed, unsigned queue, uint32_t len)
{
    const uint32_t bytes = bed->net.header_bytes + len;
    uint8_t *packet = class_rig_alloc(&bed->rig, bytes);

    memset(packet, 0, bytes);
    BH_ASSERT(class_rig_add(&bed->rig, queue, packet, bytes, NULL, 0, packet) == BH_OK);
    return packet;
}

uint8_t *transmit(struct bed *bed, uint32_t len)
{
    return transmit_on(bed, TX, len);
}

uint8_t *give_buffer_on(struct bed *bed, unsigned queue, uint32_t len)
{
    uint8_t *buffer = class_rig_alloc(&bed->rig, len);
    BH_ASSERT(class_rig_add(&bed->rig, queue, NULL, 0, buffer, len, buffer) == BH_OK);
    return buffer;
}

uint8_t *give_buffer(struct bed *bed, uint32_t len)
{
    return give_buffer_on(bed, RX, len);
}

unsigned used_count(struct bed *bed, unsigned queue)
{
    unsigned count = 0;
    uint32_t len;
    while (class_rig_get(&bed->rig, queue, &len))
        count++;
    return count;
}

uint8_t command(struct bed *bed, uint8_t class, uint8_t which, const void *data, uint32_t len)
{
    uint8_t *out = class_rig_alloc(&bed->rig, len + 2), *answer = class_rig_alloc(&bed->rig, 1);
    uint32_t used;

    out[0] = class;
    out[1] = which;
    if (len)
        memcpy(out + 2, data, len);
    *answer = 0xee;
    BH_ASSERT(class_rig_add(&bed->rig, bed->net.control_queue, out, len + 2, answer, 1, answer) == BH_OK);
    class_rig_run(&bed->rig);
    BH_ASSERT(class_rig_get(&bed->rig, bed->net.control_queue, &used) == answer && used == 1);
    return *answer;
}

uint8_t set_pairs(struct bed *bed, unsigned pairs)
{
    const bh_le16 data = bh_le16_of((uint16_t)pairs);
    return command(bed, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &data, 2);
}
