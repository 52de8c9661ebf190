/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which frames a guest wants [virtio-1.4 5.1.9.5.1 to 5.1.9.5.3]: receive mode, MAC addresses, VLANs.
 *
 * Threading: the device's.   Ownership: by value.   May block: no.
 */
#ifndef DEVICES_NET_NET_FILTER_H
#define DEVICES_NET_NET_FILTER_H

#include <bulkhead/base.h>

#define BH_NET_MACS_MAX 64u   /* of one kind; with more of them all of that kind are let in */
#define BH_NET_VLANS    4096u /* ids */

/* Bits of `modes`, by VIRTIO_NET_CTRL_RX_*. */
#define BH_NET_MODE(command) (1u << (command))

struct bh_net_mac_table {
    uint32_t count;
    uint8_t macs[BH_NET_MACS_MAX][6];
    bool overflown;
};

struct bh_net_filter {
    bool by_address, by_vlan; /* what is filtered at all: CTRL_RX, CTRL_VLAN negotiated */
    uint8_t mac[6];
    uint8_t modes;
    struct bh_net_mac_table unicast, multicast;
    uint32_t vlans[BH_NET_VLANS / 32u];
};

/* The state after a reset: its own address and broadcast, no VLAN. */
void bh_net_filter_reset(struct bh_net_filter *filter, const uint8_t mac[6]);
/* Does the guest want this frame, of at least an Ethernet header? */
bool bh_net_filter_wants(const struct bh_net_filter *filter, const uint8_t *frame, uint32_t len);

#endif
