/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class's control queue [virtio-1.4 5.1.9.5].
 *
 * Theory of operation
 *   A command is read from its buffer piece by piece, checked in whole and then applied in whole: one that is
 * answered with ERR has changed nothing. One whose feature was not negotiated, or whose data has another length
 * than it must have, is such. A buffer without room for the answer breaks the queue.
 */
#include "devices/net/net.h"
#include <bulkhead/impl/class.h>

/* A command's data, behind class and command. */
struct command {
    const struct bh_chain *chain;
    uint32_t at, left;
};

static bool take(struct command *command, void *to, uint32_t len)
{
    if (command->left < len)
        return false;
    (void)bh_chain_read(command->chain, command->at, to, len);
    command->at += len;
    command->left -= len;
    return true;
}

/* The data is exactly this. */
static bool take_all(struct command *command, void *to, uint32_t len)
{
    return command->left == len && take(command, to, len);
}

static bool receive_mode(struct bh_net *net, unsigned mode, struct command *command)
{
    const unsigned feature =
        mode <= VIRTIO_NET_CTRL_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA;
    uint8_t on;

    if (mode > VIRTIO_NET_CTRL_RX_NOBCAST || !bh_device_has(&net->dev, feature) ||
        !take_all(command, &on, sizeof(on)) || on > 1)
        return false;
    if (on)
        net->filter.modes |= BH_NET_MODE(mode);
    else
        net->filter.modes &= (uint8_t)~BH_NET_MODE(mode);
    return true;
}

/* A table's addresses are kept as far as there is room: with more, all of that kind are let in. */
static bool take_table(struct command *command, struct bh_net_mac_table *table)
{
    bh_le32 count;

    if (!take(command, &count, sizeof(count)) || bh_le32_get(count) > command->left / 6u)
        return false;
    table->count = bh_le32_get(count);
    table->overflown = table->count > BH_NET_MACS_MAX;
    const uint32_t rest = table->overflown ? (table->count - BH_NET_MACS_MAX) * 6u : 0;
    if (table->overflown)
        table->count = BH_NET_MACS_MAX;
    (void)take(command, table->macs, table->count * 6u);
    command->at += rest;
    command->left -= rest;
    return true;
}

static bool mac_table(struct bh_net *net, struct command *command)
{
    struct bh_net_mac_table unicast = {.count = 0}, multicast = {.count = 0};

    if (!bh_device_has(&net->dev, VIRTIO_NET_F_CTRL_RX) || !take_table(command, &unicast) ||
        !take_table(command, &multicast) || command->left > 0)
        return false;
    net->filter.unicast = unicast;
    net->filter.multicast = multicast;
    return true;
}

static bool mac_address(struct bh_net *net, struct command *command)
{
    uint8_t mac[6];

    if (!bh_device_has(&net->dev, VIRTIO_NET_F_CTRL_MAC_ADDR) || !take_all(command, mac, sizeof(mac)) ||
        (mac[0] & 1u))
        return false;
    memcpy(net->filter.mac, mac, sizeof(mac));
    if (memcmp(net->config.mac, mac, sizeof(mac)) != 0) {
        memcpy(net->config.mac, mac, sizeof(mac));
        bh_device_config_changed(&net->dev);
    }
    return true;
}

static bool vlan(struct bh_net *net, bool add, struct command *command)
{
    bh_le16 id;

    if (!bh_device_has(&net->dev, VIRTIO_NET_F_CTRL_VLAN) || !take_all(command, &id, sizeof(id)) ||
        bh_le16_get(id) >= BH_NET_VLANS)
        return false;
    uint32_t *word = &net->filter.vlans[bh_le16_get(id) / 32u];
    const uint32_t bit = 1u << bh_le16_get(id) % 32u;
    *word = add ? *word | bit : *word & ~bit;
    return true;
}

static bool announced(struct bh_net *net, const struct command *command)
{
    if (!bh_device_has(&net->dev, VIRTIO_NET_F_GUEST_ANNOUNCE) || command->left > 0)
        return false;
    bh_net_set_status(net, VIRTIO_NET_S_ANNOUNCE, false);
    return true;
}

static bool pairs_set(struct bh_net *net, struct command *command)
{
    bh_le16 pairs;

    if (!bh_device_has(&net->dev, VIRTIO_NET_F_MQ) || !take_all(command, &pairs, sizeof(pairs)) ||
        bh_le16_get(pairs) < 1 || bh_le16_get(pairs) > net->pair_count)
        return false;
    net->hash.steers = false; /* "defined by the last command sent" */
    net->active_pairs = bh_le16_get(pairs);
    bh_net_steering_changed(net);
    return true;
}

/* The end of both commands that configure a hash. Linux lets a byte of padding follow it. */
static bool take_key(struct command *command, struct bh_net_hash *hash)
{
    uint8_t len;

    memset(hash->key, 0, sizeof(hash->key));
    return take(command, &len, sizeof(len)) && len <= sizeof(hash->key) && take(command, hash->key, len);
}

static bool hash_config(struct bh_net *net, struct command *command)
{
    struct bh_net_hash hash = net->hash;
    bh_le32 types;
    bh_le16 reserved[4];

    if (!bh_device_has(&net->dev, VIRTIO_NET_F_HASH_REPORT) || !take(command, &types, sizeof(types)) ||
        !take(command, reserved, sizeof(reserved)) || !take_key(command, &hash) ||
        (bh_le32_get(types) & ~BH_NET_HASH_TYPES))
        return false;
    hash.types = bh_le32_get(types);
    net->hash = hash;
    return true;
}

static bool take_pair(const struct bh_net *net, struct command *command, uint16_t *pair)
{
    bh_le16 id;

    if (!take(command, &id, sizeof(id)) || bh_le16_get(id) >= net->pair_count)
        return false;
    *pair = bh_le16_get(id);
    return true;
}

static bool rss_config(struct bh_net *net, struct command *command)
{
    struct bh_net_hash hash = {.steers = true};
    unsigned highest;
    bh_le32 types;
    bh_le16 mask, max_tx;

    if (!bh_device_has(&net->dev, VIRTIO_NET_F_RSS) || !take(command, &types, sizeof(types)) ||
        (bh_le32_get(types) & ~BH_NET_HASH_TYPES) || !take(command, &mask, sizeof(mask)))
        return false;
    hash.types = bh_le32_get(types);
    hash.mask = bh_le16_get(mask);
    if (hash.mask >= BH_NET_HASH_TABLE || (hash.mask & (hash.mask + 1u)) ||
        !take_pair(net, command, &hash.unclassified))
        return false;
    highest = hash.unclassified;
    for (unsigned i = 0; i <= hash.mask; i++) {
        if (!take_pair(net, command, &hash.table[i]))
            return false;
        highest = hash.table[i] > highest ? hash.table[i] : highest;
    }
    if (!take(command, &max_tx, sizeof(max_tx)) || bh_le16_get(max_tx) < 1 ||
        bh_le16_get(max_tx) > net->pair_count || !take_key(command, &hash))
        return false;
    net->hash = hash;
    net->active_pairs = highest + 1;
    bh_net_steering_changed(net);
    return true;
}

static bool guest_offloads(struct bh_net *net, struct command *command)
{
    const uint64_t negotiated = bh_features_low64(&net->dev.acked) & BH_NET_GUEST_OFFLOADS;
    bh_le64 offloads;

    if (!bh_device_has(&net->dev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
        !take_all(command, &offloads, sizeof(offloads)) || (bh_le64_get(offloads) & ~negotiated))
        return false;
    bh_net_accept_offloads(net, bh_le64_get(offloads));
    return true;
}

#define COMMAND(class, command) ((class) << 8 | (command))

static bool execute(struct bh_net *net, const struct virtio_net_ctrl_hdr *header, struct command *command)
{
    if (header->class == VIRTIO_NET_CTRL_RX)
        return receive_mode(net, header->command, command);
    switch (COMMAND((unsigned)header->class, header->command)) {
    case COMMAND(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET): return mac_table(net, command);
    case COMMAND(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET): return mac_address(net, command);
    case COMMAND(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD): return vlan(net, true, command);
    case COMMAND(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL): return vlan(net, false, command);
    case COMMAND(VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK): return announced(net, command);
    case COMMAND(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET): return pairs_set(net, command);
    case COMMAND(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG): return rss_config(net, command);
    case COMMAND(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG): return hash_config(net, command);
    case COMMAND(VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET):
        return guest_offloads(net, command);
    default: return false;
    }
}

enum bh_ready bh_net_control(struct bh_net *net, struct bh_virtq *q, unsigned budget)
{
    for (; budget > 0; budget--) {
        struct virtio_net_ctrl_hdr header;
        struct bh_chain *chain;
        uint8_t answer = VIRTIO_NET_ERR;
        int popped = bh_virtq_pop(q, &chain, 1);

        if (popped == BH_ERR_PENDING)
            return BH_READY_HELD;
        if (popped <= 0)
            return BH_READY_DRAINED;
        if (chain->in_len < sizeof(answer)) {
            bh_virtq_break(q, BH_BROKEN_CLASS);
            chain->written = 0;
            bh_virtq_push(q, &chain, 1); /* only frees it */
            return BH_READY_DRAINED;
        }
        if (bh_chain_read(chain, 0, &header, sizeof(header)) == sizeof(header)) {
            struct command command = {
                .chain = chain, .at = sizeof(header), .left = chain->out_len - (uint32_t)sizeof(header)};
            if (execute(net, &header, &command)) {
                answer = VIRTIO_NET_OK;
                bh_net_keep(net); /* before the driver is told: what it was told is never lost */
            }
        }
        net->counters.commands++;
        net->counters.commands_refused += answer;
        (void)bh_chain_write(chain, 0, &answer, sizeof(answer));
        chain->written = sizeof(answer);
        bh_virtq_push(q, &chain, 1);
    }
    return BH_READY_MORE;
}
