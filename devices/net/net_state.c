/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class's part of a saved state: what the control queue has set. It comes from a peer or a file and is
 * checked in whole before anything changes.
 */
#include "devices/net/net.h"

struct saved_table {
    bh_le32 count;
    uint8_t overflown;
    uint8_t zero[3];
    uint8_t macs[BH_NET_MACS_MAX][6];
};

struct saved {
    uint8_t mac[6]; /* in config space */
    uint8_t filter_mac[6];
    bh_le16 active_pairs;
    bh_le16 unclassified;
    bh_le64 guest_offloads;
    uint8_t modes;
    uint8_t steers;
    bh_le16 mask;
    bh_le32 hash_types;
    uint8_t key[BH_NET_HASH_KEY];
    bh_le32 zero;
    bh_le32 vlans[BH_NET_VLANS / 32u];
    bh_le16 table[BH_NET_HASH_TABLE];
    struct saved_table unicast, multicast;
};
_Static_assert(sizeof(struct saved) == 1632, "no padding");

static void put_table(struct saved_table *to, const struct bh_net_mac_table *from)
{
    to->count = bh_le32_of(from->count);
    to->overflown = from->overflown;
    memcpy(to->macs, from->macs, from->count * 6u);
}

int bh_net_save(struct bh_device *dev, void *to, size_t size)
{
    const struct bh_net *net = BH_CONTAINER(dev, struct bh_net, dev);
    struct saved saved;

    if (size < sizeof(saved))
        return BH_ERR_NOMEM;
    memset(&saved, 0, sizeof(saved));
    memcpy(saved.mac, net->config.mac, sizeof(saved.mac));
    memcpy(saved.filter_mac, net->filter.mac, sizeof(saved.filter_mac));
    saved.active_pairs = bh_le16_of((uint16_t)net->active_pairs);
    saved.guest_offloads = bh_le64_of(net->guest_offloads);
    saved.modes = net->filter.modes;
    saved.steers = net->hash.steers;
    saved.mask = bh_le16_of(net->hash.mask);
    saved.hash_types = bh_le32_of(net->hash.types);
    memcpy(saved.key, net->hash.key, sizeof(saved.key));
    saved.unclassified = bh_le16_of(net->hash.unclassified);
    for (unsigned i = 0; i < BH_COUNT(saved.vlans); i++)
        saved.vlans[i] = bh_le32_of(net->filter.vlans[i]);
    for (unsigned i = 0; i < BH_COUNT(saved.table); i++)
        saved.table[i] = bh_le16_of(net->hash.table[i]);
    put_table(&saved.unicast, &net->filter.unicast);
    put_table(&saved.multicast, &net->filter.multicast);
    memcpy(to, &saved, sizeof(saved));
    return (int)sizeof(saved);
}

static bool take_table(struct bh_net_mac_table *to, const struct saved_table *from)
{
    to->count = bh_le32_get(from->count);
    to->overflown = from->overflown;
    if (to->count > BH_NET_MACS_MAX || from->overflown > 1)
        return false;
    memcpy(to->macs, from->macs, sizeof(to->macs));
    return true;
}

static bool take_hash(struct bh_net_hash *to, const struct saved *from, unsigned pair_count)
{
    *to = (struct bh_net_hash){.types = bh_le32_get(from->hash_types),
                               .steers = from->steers,
                               .mask = bh_le16_get(from->mask),
                               .unclassified = bh_le16_get(from->unclassified)};
    memcpy(to->key, from->key, sizeof(to->key));
    for (unsigned i = 0; i < BH_NET_HASH_TABLE; i++) {
        to->table[i] = bh_le16_get(from->table[i]);
        if (to->table[i] >= pair_count)
            return false;
    }
    return from->steers <= 1 && !(to->types & ~BH_NET_HASH_TYPES) && to->mask < BH_NET_HASH_TABLE &&
           to->unclassified < pair_count;
}

/*
 * A guest that comes from elsewhere is asked to announce itself. Whether the link is up is the port's to say: it may be
 * another one than when the state was saved.
 */
int bh_net_load(struct bh_device *dev, const void *from, size_t size)
{
    struct bh_net *net = BH_CONTAINER(dev, struct bh_net, dev);
    const uint64_t negotiated = bh_features_low64(&dev->acked) & BH_NET_GUEST_OFFLOADS;
    struct bh_net_filter filter = net->filter;
    struct bh_net_hash hash;
    struct saved saved;

    if (size != sizeof(saved))
        return BH_ERR_PROTO;
    memcpy(&saved, from, sizeof(saved));
    if (!take_hash(&hash, &saved, net->pair_count) ||
        (hash.steers && !bh_device_has(dev, VIRTIO_NET_F_RSS)) ||
        !take_table(&filter.unicast, &saved.unicast) || !take_table(&filter.multicast, &saved.multicast) ||
        bh_le16_get(saved.active_pairs) < 1 || bh_le16_get(saved.active_pairs) > net->pair_count ||
        (bh_le64_get(saved.guest_offloads) & ~negotiated))
        return BH_ERR_PROTO;
    memcpy(filter.mac, saved.filter_mac, sizeof(filter.mac));
    filter.modes = saved.modes;
    for (unsigned i = 0; i < BH_COUNT(saved.vlans); i++)
        filter.vlans[i] = bh_le32_get(saved.vlans[i]);
    net->filter = filter;
    net->hash = hash;
    net->active_pairs = bh_le16_get(saved.active_pairs);
    memcpy(net->config.mac, saved.mac, sizeof(net->config.mac));
    bh_net_accept_offloads(net, bh_le64_get(saved.guest_offloads));
    (void)bh_net_announce(net);
    return BH_OK;
}
