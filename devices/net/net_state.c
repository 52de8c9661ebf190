/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control queue has set, in a form that can be taken elsewhere: as the class's part of a saved state, and for the
 * process that comes after this one was killed. It comes from outside and is checked in whole before anything changes.
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
    memcpy(to->macs, from->macs, (size_t)from->count * 6u);
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

/* --- for the next process ---------------------------------------------------------------------------------- */

enum { NOTHING_KEPT, FIRST_KEPT, SECOND_KEPT };

/* The form twice: one is whole while the other is written, and `kept` says which. */
struct bh_net_lasting {
    uint32_t kept;
    uint32_t zero;
    struct saved saved[2];
};

size_t bh_net_lasting_size(const struct bh_device *dev)
{
    return sizeof(struct bh_net_lasting);
}

void bh_net_lasting(struct bh_device *dev, void *area, bool left)
{
    struct bh_net *net = BH_CONTAINER(dev, struct bh_net, dev);

    net->last = area;
    net->left = area && left;
    if (area && !left)
        net->last->kept = NOTHING_KEPT;
}

void bh_net_keep(struct bh_net *net)
{
    if (!net->last)
        return;
    const unsigned other = net->last->kept == FIRST_KEPT ? SECOND_KEPT : FIRST_KEPT;
    (void)bh_net_save(&net->dev, &net->last->saved[other - 1], sizeof(net->last->saved[0]));
    __asm__ volatile("" : : : "memory"); /* a killed process has made its writes in this order */
    net->last->kept = other;
}

void bh_net_forget(struct bh_net *net)
{
    if (net->last)
        net->last->kept = NOTHING_KEPT;
}

void bh_net_take_over(struct bh_net *net)
{
    struct saved saved;
    const uint32_t kept = net->left ? net->last->kept : (uint32_t)NOTHING_KEPT;

    if (kept == FIRST_KEPT || kept == SECOND_KEPT) {
        memcpy(&saved, &net->last->saved[kept - 1], sizeof(saved));
        (void)bh_net_load(&net->dev, &saved,
                          sizeof(saved)); /* what makes no sense is as if nothing was there */
    }
    net->left = false;
}
