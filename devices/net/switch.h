/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An Ethernet switch between netports: learns addresses, keeps VLANs apart, limits rates, counts.
 *
 * Any netport may be a port of it: a link, at whose other end a net's device process is, or a tap. So the switch sees
 * frames, and no guest's memory.
 *
 * Threading: the loop's thread.   Ownership: the ports are the caller's and outlive the switch.   May block: no.
 */
#ifndef DEVICES_NET_SWITCH_H
#define DEVICES_NET_SWITCH_H

#include "devices/net/port.h"
#include <bulkhead/impl/loop.h>

#define BH_SWITCH_PORTS_MAX  64u
#define BH_SWITCH_SETS       512u /* of the address table ... */
#define BH_SWITCH_WAYS       8u   /* ... and entries in each */
#define BH_SWITCH_PORT_SHARE 512u /* addresses of one port at most */
#define BH_SWITCH_VLANS      4095u
#define BH_SWITCH_PORT_MACS  16u /* addresses that a port may be held to */

struct bh_switch_counters {
    uint64_t frames_in, bytes_in, frames_out, bytes_out;
    uint64_t flooded;    /* frames that went to every port: to many, or to nobody known */
    uint64_t wrong_vlan; /* dropped: of a VLAN that the port is not in, or would seem to be where it goes */
    uint64_t malformed;  /* dropped: no frame, or from a group's address */
    uint64_t
        foreign_mac; /* dropped: from an address that is not among the port's, or is another port's own */
    uint64_t full;   /* dropped: the port for which they were took no more */
    uint64_t waited; /* times its frames waited for a full port */
    uint64_t slowed; /* times its frames waited for its rate */
    uint64_t moved;  /* addresses that it took over from another port */
    uint64_t not_learned; /* addresses for which there was no room */
};

struct bh_switch_port {
    struct bh_netport *port;
    unsigned index;
    /* Set before bh_switch_add. */
    uint16_t vlan;       /* of its untagged frames, 1 to 4094 */
    uint32_t trunk[128]; /* a bit a VLAN: its tagged frames */
    uint64_t rate;       /* bytes a second that it may send; 0: no limit */
    uint8_t macs[BH_SWITCH_PORT_MACS]
                [6];    /* its own: it may send from no other, and nobody else from them ... */
    unsigned mac_count; /* ... 0: from any that is no other port's own */
    struct bh_switch_counters counters;
    /* The switch's own. */
    struct bh_switch *owner;
    uint64_t tokens, filled_ns;
    struct bh_switch_port *waits_for; /* a full port */
    uint64_t waits_until_ns;
    struct bh_loop_timer timer;
    struct bh_loop_work work;
    unsigned addresses; /* in the table */
};

struct bh_switch_entry {
    uint8_t mac[6];
    uint16_t vlan;
    uint8_t port; /* index + 1; 0: free */
    uint32_t seen_s;
};

struct bh_switch {
    struct bh_loop *loop;
    uint32_t age_s; /* after which an address that was not seen is forgotten */
    unsigned port_count;
    struct bh_switch_port *ports[BH_SWITCH_PORTS_MAX];
    struct bh_switch_entry table[BH_SWITCH_SETS][BH_SWITCH_WAYS];
    uint32_t secret; /* of the table's hash */
    /* Told of each frame that came in and may pass; may be NULL. */
    void (*tap)(struct bh_switch *sw, const struct bh_net_arrival *arrival);
    /* Told when a port's link goes up or down; may be NULL. */
    void (*link_changed)(struct bh_switch *sw);
    void *owner;
};

/* `secret`: any number that nobody outside knows, so that addresses cannot be chosen to share a set. */
void bh_switch_init(struct bh_switch *sw, struct bh_loop *loop, uint32_t age_s, uint32_t secret);
/* Zeroed, but for what is to be set. BH_ERR_RANGE: too many. */
int bh_switch_add(struct bh_switch *sw, struct bh_switch_port *port) BH_MUST_USE;
void bh_switch_fini(struct bh_switch *sw);
static inline void bh_switch_trunk(struct bh_switch_port *port, unsigned vlan)
{
    port->trunk[vlan / 32u] |= 1u << vlan % 32u;
}

#endif
