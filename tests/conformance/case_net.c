/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device [virtio-1.4 5.1], plugged into something that answers ARP for 10.0.2.2: the user network.
 */
#include "abi/virtio_net.h"
#include "devices/net/net_host.h"
#include "tests/conformance/conf.h"

#include <string.h>

#define RX           VIRTIO_NET_RECEIVEQ
#define TX           VIRTIO_NET_TRANSMITQ
#define HEADER       ((uint32_t)sizeof(struct virtio_net_hdr))
#define FRAME_BYTES  60u
#define RX_BYTES     1600u
#define BIT(feature) (UINT64_C(1) << (feature))
/* Which ours does not offer [virtio-1.4 5.1.3]. */
#define VIRTIO_NET_F_GUEST_UFO    10u
#define VIRTIO_NET_F_HOST_UFO     14u
#define VIRTIO_NET_F_VQ_NOTF_COAL 52u
#define VIRTIO_NET_F_NOTF_COAL    53u

static const struct bh_features class_features = {
    {1u << VIRTIO_NET_F_MAC | 1u << VIRTIO_NET_F_STATUS | 1u << VIRTIO_NET_F_MTU, 0, 0, 0}};

/* Who has 10.0.2.2? Tell 10.0.2.15. */
static void arp_request(uint8_t *frame, const uint8_t mac[6])
{
    static const uint8_t fixed[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1};

    memset(frame, 0xff, 6);
    memcpy(frame + 6, mac, 6);
    memcpy(frame + 12, fixed, sizeof(fixed));
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, (const uint8_t[]){10, 0, 2, 15}, 4);
    memcpy(frame + 38, (const uint8_t[]){10, 0, 2, 2}, 4);
}

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

/* Send `frame_bytes` after a zero header, cut behind `cut` bytes. */
static void transmit(struct conf *conf, const uint8_t *frame, uint32_t frame_bytes, uint32_t cut)
{
    uint8_t *bytes = conf_alloc(conf, HEADER + frame_bytes);
    struct bh_drv_buf bufs[2] = {conf_buf(conf, bytes, cut),
                                 conf_buf(conf, bytes + cut, HEADER + frame_bytes - cut)};
    uint32_t used;

    memcpy(bytes + HEADER, frame, frame_bytes);
    if (cut == 0)
        bufs[0] = bufs[1];
    conf_submit(conf, TX, bufs, cut ? 2 : 1, 0, bytes);
    CONF_CHECK(conf, conf_wait(conf, TX, &used) == bytes);
    CONF_SAME(conf, used, 0);
}

static void ping(struct conf *conf)
{
    uint8_t frame[FRAME_BYTES] = {0};

    conf_recycle(conf);
    memset(frame, 0xff, 6); /* of a type that nobody answers */
    memcpy(frame + 6, guest_mac, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5;
    transmit(conf, frame, FRAME_BYTES, 0);
}

/* The next received packet that is an ARP reply from 10.0.2.2; others are passed over. */
static void expect_arp_reply(struct conf *conf)
{
    for (unsigned i = 0; i < 8; i++) {
        uint32_t used;
        uint8_t *packet = conf_wait(conf, RX, &used);
        struct virtio_net_hdr header;

        CONF_CHECK(conf, used > HEADER && used <= RX_BYTES);
        memcpy(&header, packet, sizeof(header));
        CONF_SAME(conf, header.gso_type,
                  VIRTIO_NET_HDR_GSO_NONE); /* none was negotiated [virtio-1.4 5.1.9.4] */
        CONF_SAME(conf, header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
        CONF_SAME(conf, bh_le16_get(header.num_buffers), 1);
        if (used < HEADER + 42 || packet[HEADER + 12] != 0x08 || packet[HEADER + 13] != 0x06)
            continue;
        CONF_SAME(conf, packet[HEADER + 21], 2);
        CONF_CHECK(conf, memcmp(packet + HEADER + 28, (const uint8_t[]){10, 0, 2, 2}, 4) == 0);
        return;
    }
    conf_fail(conf, "no ARP reply among 8 packets");
}

static void give_receive_buffers(struct conf *conf, unsigned count, uint32_t cut)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t *bytes = conf_alloc(conf, RX_BYTES);
        struct bh_drv_buf bufs[2] = {conf_buf(conf, bytes, cut), conf_buf(conf, bytes + cut, RX_BYTES - cut)};

        conf_submit(conf, RX, bufs, 0, 2, bytes);
    }
}

static void a_packet_is_sent_and_its_answer_received(struct conf *conf)
{
    static const uint32_t cuts[] = {HEADER, 1, 5, HEADER + 14, HEADER + 40};

    conf_up(conf, 32, &class_features);
    for (unsigned i = 0; i < BH_COUNT(cuts); i++) {
        uint8_t frame[FRAME_BYTES] = {0};

        arp_request(frame, guest_mac);
        give_receive_buffers(conf, 1, cuts[i]);
        transmit(conf, frame, FRAME_BYTES, cuts[BH_COUNT(cuts) - 1 - i]);
        expect_arp_reply(conf);
    }
}

static void packets_without_receive_buffers_do_no_harm(struct conf *conf)
{
    uint8_t frame[FRAME_BYTES] = {0};

    conf_up(conf, 32, &class_features);
    arp_request(frame, guest_mac);
    for (unsigned i = 0; i < 20; i++)
        transmit(conf, frame, FRAME_BYTES, 0);
    give_receive_buffers(conf, 8, HEADER);
    transmit(conf, frame, FRAME_BYTES, 0);
    expect_arp_reply(conf);
}

static void runts_and_giants_do_no_harm(struct conf *conf)
{
    static uint8_t frame[65536];
    static const uint32_t lens[] = {1, 13, 14, 1514, 1600, 9000, 65535};

    conf_up(conf, 32, &class_features);
    memset(frame, 0x55, sizeof(frame));
    for (unsigned i = 0; i < BH_COUNT(lens); i++)
        transmit(conf, frame, lens[i], 0);
    memset(frame, 0, sizeof(frame));
    arp_request(frame, guest_mac);
    give_receive_buffers(conf, 4, HEADER);
    transmit(conf, frame, FRAME_BYTES, 0);
    expect_arp_reply(conf);
}

/* Send a command; its answer, which must be the only byte that is written. */
static uint8_t command(struct conf *conf, unsigned queue, const uint8_t *bytes, uint32_t len, uint32_t cut)
{
    uint8_t *out = conf_alloc(conf, len), *in = conf_alloc(conf, 8);
    struct bh_drv_buf bufs[3] = {conf_buf(conf, out, cut), conf_buf(conf, out + cut, len - cut),
                                 conf_buf(conf, in, 8)};
    uint32_t used;

    memcpy(out, bytes, len);
    memset(in, 0xee, 8);
    conf_submit(conf, queue, bufs, 2, 1, in);
    CONF_CHECK(conf, conf_wait(conf, queue, &used) == in);
    CONF_SAME(conf, used, 1);
    CONF_SAME(conf, in[1], 0xee);
    return in[0];
}

static void commands_are_answered(struct conf *conf)
{
    static const struct bh_features with_control = {
        {1u << VIRTIO_NET_F_MAC | 1u << VIRTIO_NET_F_CTRL_VQ | 1u << VIRTIO_NET_F_CTRL_RX |
             1u << VIRTIO_NET_F_CTRL_VLAN | 1u << VIRTIO_NET_F_CTRL_MAC_ADDR,
         0, 0, 0}};
    static const uint8_t
        promiscuous[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1},
        address[] = {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 0, 0, 0, 0, 5},
        tables[] =
            {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 1, 0, 0, 0, 2, 0, 0, 0, 0, 6, 0, 0, 0, 0},
        short_tables[] =
            {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 2, 0, 0, 0, 2, 0, 0, 0, 0, 6, 0, 0, 0, 0},
        unknown[] = {200, 1, 2, 3}, pairs[] = {VIRTIO_NET_CTRL_MQ, 0, 1, 0};
    struct virtio_net_config config = {{0}};
    const unsigned queue = 2; /* MQ is not negotiated [virtio-1.4 5.1.2] */

    conf_up(conf, 16, &with_control);
    if (!bh_features_has(&conf->features, VIRTIO_NET_F_CTRL_VQ))
        conf_skip(conf, "the device has no control queue");
    for (uint32_t cut = 1; cut < sizeof(promiscuous); cut++)
        CONF_SAME(conf, command(conf, queue, promiscuous, sizeof(promiscuous), cut), VIRTIO_NET_OK);
    CONF_SAME(conf, command(conf, queue, tables, sizeof(tables), 9), VIRTIO_NET_OK);
    CONF_SAME(conf, command(conf, queue, short_tables, sizeof(short_tables), 2), VIRTIO_NET_ERR);
    CONF_SAME(conf, command(conf, queue, unknown, sizeof(unknown), 1), VIRTIO_NET_ERR);
    CONF_SAME(conf, command(conf, queue, pairs, sizeof(pairs), 2), VIRTIO_NET_ERR);
    CONF_SAME(conf, command(conf, queue, address, sizeof(address), 5), VIRTIO_NET_OK);
    conf_config_read(conf, 0, &config, sizeof(config));
    CONF_CHECK(conf, memcmp(config.mac, address + 2, 6) ==
                         0); /* before the command was used [virtio-1.4 5.1.9.5.2.1] */
}

static void config_is_consistent(struct conf *conf)
{
    struct virtio_net_config config = {{0}};

    conf_up(conf, 16, &class_features);
    conf_config_read(conf, 0, &config, sizeof(config));
    if (bh_features_has(&conf->features, VIRTIO_NET_F_MAC))
        CONF_SAME(conf, config.mac[0] & 1, 0); /* a station's, not a group's */
    if (bh_features_has(&conf->features, VIRTIO_NET_F_MTU))
        CONF_CHECK(conf, bh_le16_get(config.mtu) >= VIRTIO_NET_MTU_MIN);
}

/* Of everybody's features, not of ours alone: each with the bits one of which it needs [virtio-1.4 5.1.3.1]. */
static void features_come_with_what_they_need(struct conf *conf)
{
    static const struct {
        uint64_t feature, needs;
    } rules[] = {
        {BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_UFO) |
             BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6),
         BIT(VIRTIO_NET_F_GUEST_CSUM)},
        {BIT(VIRTIO_NET_F_GUEST_ECN), BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6)},
        {BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_UFO) |
             BIT(VIRTIO_NET_F_HOST_USO),
         BIT(VIRTIO_NET_F_CSUM)},
        {BIT(VIRTIO_NET_F_HOST_ECN), BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6)},
        {BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |
             BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_RSS) |
             BIT(VIRTIO_NET_F_VQ_NOTF_COAL) | BIT(VIRTIO_NET_F_NOTF_COAL),
         BIT(VIRTIO_NET_F_CTRL_VQ)},
    };
    struct bh_features offered = conf->side->ops->offered(conf->side);
    const uint64_t bits = bh_features_low64(&offered);

    for (unsigned i = 0; i < BH_COUNT(rules); i++)
        if ((bits & rules[i].feature) != 0 && (bits & rules[i].needs) == 0)
            conf_fail(conf, "of the features %llx none of %llx is offered, which they need",
                      (unsigned long long)(bits & rules[i].feature), (unsigned long long)rules[i].needs);
}

static const struct conf_case cases[] = {
    {"features_come_with_what_they_need", "2.2.2, 5.1.3.1", features_come_with_what_they_need},
    {"config_is_consistent", "5.1.4", config_is_consistent},
    {"a_packet_is_sent_and_its_answer_received", "5.1.9, 5.1.9.4", a_packet_is_sent_and_its_answer_received},
    {"packets_without_receive_buffers_do_no_harm", "5.1.9.3", packets_without_receive_buffers_do_no_harm},
    {"commands_are_answered", "5.1.9.5", commands_are_answered},
    {"runts_and_giants_do_no_harm", "5.1.9.2", runts_and_giants_do_no_harm},
    {NULL, NULL, NULL},
};

static const char *const arguments[] = {"--port=user", "--restrict", NULL};

const struct conf_class conf_net = {
    .name = "net",
    .hosted = &bh_net_hosted,
    .arguments = arguments,
    .ping = ping,
    .ping_descs = 1,
    .queues = 2,
    .config_bytes = 8, /* the fields of MAC and STATUS */
    .ping_queue = TX,
    .cases = cases,
};
