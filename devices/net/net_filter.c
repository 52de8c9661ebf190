/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receive filter: what it lets in.
 */
#include "devices/net/net_filter.h"
#include "abi/virtio_net.h"

void bh_net_filter_reset(struct bh_net_filter *filter, const uint8_t mac[6])
{
    memset(filter, 0, sizeof(*filter));
    memcpy(filter->mac, mac, sizeof(filter->mac));
}

static bool has_mode(const struct bh_net_filter *filter, unsigned command)
{
    return filter->modes & BH_NET_MODE(command);
}

static bool in_table(const struct bh_net_mac_table *table, const uint8_t *mac)
{
    if (table->overflown)
        return true;
    for (uint32_t i = 0; i < table->count; i++) {
        if (memcmp(table->macs[i], mac, 6) == 0)
            return true;
    }
    return false;
}

static bool wants_address(const struct bh_net_filter *filter, const uint8_t *mac)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (memcmp(mac, broadcast, 6) == 0)
        return !has_mode(filter, VIRTIO_NET_CTRL_RX_NOBCAST);
    if (mac[0] & 1u)
        return !has_mode(filter, VIRTIO_NET_CTRL_RX_NOMULTI) &&
               (has_mode(filter, VIRTIO_NET_CTRL_RX_ALLMULTI) || in_table(&filter->multicast, mac));
    return !has_mode(filter, VIRTIO_NET_CTRL_RX_NOUNI) &&
           (has_mode(filter, VIRTIO_NET_CTRL_RX_ALLUNI) || memcmp(mac, filter->mac, 6) == 0 ||
            in_table(&filter->unicast, mac));
}

/* A tag of VLAN 0 carries a priority and no VLAN. */
static bool wants_vlan(const struct bh_net_filter *filter, const uint8_t *frame, uint32_t len)
{
    if (len < 18 || frame[12] != 0x81 || frame[13] != 0x00)
        return true;
    const unsigned id = (frame[14] & 0x0fu) << 8 | frame[15];
    return id == 0 || (filter->vlans[id / 32u] >> id % 32u & 1u);
}

bool bh_net_filter_wants(const struct bh_net_filter *filter, const uint8_t *frame, uint32_t len)
{
    if (has_mode(filter, VIRTIO_NET_CTRL_RX_PROMISC))
        return true;
    return (!filter->by_vlan || wants_vlan(filter, frame, len)) &&
           (!filter->by_address || wants_address(filter, frame));
}
