/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch: from a port's frame to the ports that it goes to.
 *
 * Theory of operation
 *   A frame's VLAN is its tag's, or its port's. Its source is learned: (VLAN, address) -> port, in a table of sets
 * whose hash has a secret, so that no guest can fill another's set. A port may hold a share of the table only: one
 * that makes addresses up loses its own. Entries that were not seen for a while are forgotten.
 *   An address moves to the port where it shows, as hosts do; so a port could take over a neighbour's. One that has
 * addresses of its own is safe from that: from these nobody else may send in its VLANs, and it from no others.
 *   A known destination gets the frame alone; group addresses and unknown ones go to every port of the VLAN. On the
 * way out the tag is put in or taken out as the port wants it; the offsets in the header move along.
 *
 *   A full port makes the frames of the one that sends to it wait, but HOLD_MS at most: then the frame is dropped, so
 * that nobody is stopped by one who takes nothing. What goes to many never waits. A port beyond its rate is not read:
 * its guest is slowed, and nothing is lost.
 */
#include "devices/net/switch.h"

#include <string.h>

#define HOLD_MS  20u
#define BURST_MS 50u /* of a port's rate */
#define BUDGET   64u
#define TAG      4u

/* --- the table --------------------------------------------------------------------------------------------- */

static uint32_t hash_of(const struct bh_switch *sw, unsigned vlan, const uint8_t *mac)
{
    uint32_t h = sw->secret ^ vlan * 0x9e3779b1u;

    for (unsigned i = 0; i < 6; i++)
        h = (h ^ mac[i]) * 0x01000193u;
    return (h ^ h >> 15) % BH_SWITCH_SETS;
}

static uint32_t now_s(void)
{
    return (uint32_t)(bh_loop_now() / 1000000000u);
}

static bool is_fresh(const struct bh_switch *sw, const struct bh_switch_entry *entry, uint32_t now)
{
    return entry->port && now - entry->seen_s < sw->age_s;
}

static void forget(struct bh_switch *sw, struct bh_switch_entry *entry)
{
    if (entry->port)
        sw->ports[entry->port - 1]->addresses--;
    entry->port = 0;
}

static struct bh_switch_entry *find(struct bh_switch *sw, unsigned vlan, const uint8_t *mac, uint32_t now)
{
    struct bh_switch_entry *set = sw->table[hash_of(sw, vlan, mac)];

    for (unsigned i = 0; i < BH_SWITCH_WAYS; i++) {
        if (is_fresh(sw, &set[i], now) && set[i].vlan == vlan && memcmp(set[i].mac, mac, 6) == 0)
            return &set[i];
    }
    return NULL;
}

/* Of the port that has most of a full set, and two of it at least, the entry that was seen least lately. */
static struct bh_switch_entry *largest(struct bh_switch_entry *set)
{
    unsigned counts[BH_SWITCH_PORTS_MAX + 1] = {0}, most = 1;
    struct bh_switch_entry *entry = NULL;

    for (unsigned i = 0; i < BH_SWITCH_WAYS; i++)
        most = ++counts[set[i].port] > most ? counts[set[i].port] : most;
    for (unsigned i = 0; i < BH_SWITCH_WAYS; i++) {
        if (most > 1 && counts[set[i].port] == most && (!entry || set[i].seen_s < entry->seen_s))
            entry = &set[i];
    }
    return entry;
}

/*
 * A place in the set: a free or old one; else the port's own that was seen least lately; else one of whoever has most
 * there: a port that filled sets would be sent, as everybody is, what is for those who find no place in them.
 */
static struct bh_switch_entry *place(struct bh_switch *sw, const struct bh_switch_port *port,
                                     struct bh_switch_entry *set, uint32_t now)
{
    struct bh_switch_entry *own = NULL;
    const bool may_grow = port->addresses < BH_SWITCH_PORT_SHARE;

    for (unsigned i = 0; i < BH_SWITCH_WAYS; i++) {
        if (!is_fresh(sw, &set[i], now) && may_grow)
            return &set[i];
        if (set[i].port == port->index + 1 && (!own || set[i].seen_s < own->seen_s))
            own = &set[i];
    }
    return own || !may_grow ? own : largest(set);
}

static bool in_trunk(const struct bh_switch_port *port, unsigned vlan)
{
    return port->trunk[vlan / 32u] >> vlan % 32u & 1u;
}

static bool member(const struct bh_switch_port *port, unsigned vlan)
{
    return port->vlan == vlan || in_trunk(port, vlan);
}

static bool owns(const struct bh_switch_port *port, const uint8_t *mac)
{
    for (unsigned i = 0; i < port->mac_count; i++) {
        if (memcmp(port->macs[i], mac, 6) == 0)
            return true;
    }
    return false;
}

static bool is_anothers(const struct bh_switch *sw, const struct bh_switch_port *port, unsigned vlan,
                        const uint8_t *mac)
{
    for (unsigned i = 0; i < sw->port_count; i++) {
        if (sw->ports[i] != port && member(sw->ports[i], vlan) && owns(sw->ports[i], mac))
            return true;
    }
    return false;
}

/* What is in the table as the port's has been allowed before: only what is new to it is looked up. */
static bool may_send_from(const struct bh_switch *sw, const struct bh_switch_port *port, unsigned vlan,
                          const uint8_t *mac, const struct bh_switch_entry *entry)
{
    if (port->mac_count)
        return owns(port, mac);
    return (entry && entry->port == port->index + 1) || !is_anothers(sw, port, vlan, mac);
}

/* False: the frame may not pass. */
static bool learn(struct bh_switch *sw, struct bh_switch_port *port, unsigned vlan, const uint8_t *mac)
{
    const uint32_t now = now_s();
    struct bh_switch_entry *entry = find(sw, vlan, mac, now);

    if (!may_send_from(sw, port, vlan, mac, entry)) {
        port->counters.foreign_mac++;
        return false;
    }
    if (entry && entry->port == port->index + 1) {
        entry->seen_s = now;
        return true;
    }
    if (entry)
        port->counters.moved++;
    else
        entry = place(sw, port, sw->table[hash_of(sw, vlan, mac)], now);
    if (!entry) {
        port->counters.not_learned++;
        return true;
    }
    forget(sw, entry);
    memcpy(entry->mac, mac, 6);
    entry->vlan = (uint16_t)vlan;
    entry->seen_s = now;
    entry->port = (uint8_t)(port->index + 1);
    port->addresses++;
    return true;
}

/* --- one frame --------------------------------------------------------------------------------------------- */

static bool is_tag(const uint8_t *type)
{
    return type[0] == 0x81 && type[1] == 0;
}

/* The frame's VLAN on this port; 0: it may not pass. A tag of VLAN 0 carries a priority alone. */
static unsigned vlan_of(const struct bh_switch_port *port, const struct bh_net_arrival *arrival, bool *tagged)
{
    const uint8_t *at = arrival->bytes + 12;

    *tagged = arrival->len >= 18 && is_tag(at);
    if (!*tagged)
        return port->vlan;
    const unsigned vlan = (at[2] & 0x0fu) << 8 | at[3];
    if (vlan == 0)
        return port->vlan;
    return vlan <= BH_SWITCH_VLANS && in_trunk(port, vlan) ? vlan : 0;
}

static void shift(bh_le16 *offset, int by)
{
    *offset = bh_le16_of((uint16_t)(bh_le16_get(*offset) + by));
}

/* The frame as it leaves, with a tag of `vlan` or none. */
static void describe(struct bh_net_frame *frame, struct bh_seg rest[2], uint8_t tag[TAG],
                     const struct bh_net_arrival *arrival, bool was_tagged, bool tagged, unsigned vlan)
{
    uint8_t *bytes = (uint8_t *)(uintptr_t)arrival->bytes;
    const uint32_t skip = was_tagged ? 12 + TAG : 12;
    const int by = (tagged ? (int)TAG : 0) - (was_tagged ? (int)TAG : 0);
    const uint8_t priority = was_tagged ? bytes[14] & 0xf0u : 0;

    *frame = (struct bh_net_frame){.header = arrival->header, .len = (uint32_t)((int)arrival->len + by)};
    frame->header.num_buffers = bh_le16_of(0);
    frame->header.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    if (frame->header.flags)
        shift(&frame->header.csum_start, by);
    if (frame->header.gso_type && bh_le16_get(frame->header.hdr_len))
        shift(&frame->header.hdr_len, by);
    frame->first = (struct bh_seg){bytes, 12};
    frame->rest = rest;
    if (tagged) {
        tag[0] = 0x81;
        tag[1] = 0;
        tag[2] = (uint8_t)(priority | vlan >> 8);
        tag[3] = (uint8_t)vlan;
        rest[frame->rest_count++] = (struct bh_seg){tag, TAG};
    }
    rest[frame->rest_count++] = (struct bh_seg){bytes + skip, arrival->len - skip};
}

/* False: it is full. A frame that the port would never take counts as taken. */
static bool deliver(struct bh_switch_port *to, const struct bh_net_arrival *arrival, bool was_tagged,
                    unsigned vlan)
{
    const bool tagged = vlan != to->vlan;
    struct bh_net_frame frame;
    struct bh_seg rest[2];
    uint8_t tag[TAG];

    /* The tag inside would be the frame's own where it goes: a way into a VLAN that its sender is not in. */
    if (was_tagged && !tagged && is_tag(arrival->bytes + 12 + TAG)) {
        to->counters.wrong_vlan++;
        return true;
    }
    describe(&frame, rest, tag, arrival, was_tagged, tagged, vlan);
    if (!to->port->link_up || frame.len < BH_NET_FRAME_MIN ||
        frame.len > (frame.header.gso_type ? BH_NET_GSO_BYTES : to->port->frame_max))
        return true;
    if (to->port->ops->send(to->port, 0, &frame, 1) == 0)
        return false;
    to->counters.frames_out++;
    to->counters.bytes_out += frame.len;
    return true;
}

static void flood(struct bh_switch *sw, struct bh_switch_port *from, const struct bh_net_arrival *arrival,
                  bool tagged, unsigned vlan)
{
    from->counters.flooded++;
    for (unsigned i = 0; i < sw->port_count; i++) {
        struct bh_switch_port *to = sw->ports[i];
        if (to != from && member(to, vlan) && !deliver(to, arrival, tagged, vlan))
            to->counters.full++;
    }
}

/* False: wait for a full port. */
static bool forward(struct bh_switch *sw, struct bh_switch_port *from, const struct bh_net_arrival *arrival)
{
    static const uint8_t nobody[6];
    const uint8_t *to_mac = arrival->bytes, *from_mac = arrival->bytes + 6;
    const bool waited = from->waits_for != NULL;
    bool tagged;

    from->waits_for = NULL;
    if (arrival->len < BH_NET_FRAME_MIN || (from_mac[0] & 1u) || memcmp(from_mac, nobody, 6) == 0) {
        from->counters.malformed++;
        return true;
    }
    const unsigned vlan = vlan_of(from, arrival, &tagged);
    if (vlan == 0) {
        from->counters.wrong_vlan++;
        return true;
    }
    if (!waited) {
        if (!learn(sw, from, vlan, from_mac))
            return true;
        from->counters.frames_in++;
        from->counters.bytes_in += arrival->len;
        if (sw->tap)
            sw->tap(sw, arrival);
    }
    const struct bh_switch_entry *entry = to_mac[0] & 1u ? NULL : find(sw, vlan, to_mac, now_s());
    if (!entry) {
        flood(sw, from, arrival, tagged, vlan);
        return true;
    }
    struct bh_switch_port *to = sw->ports[entry->port - 1];
    if (to == from || !member(to, vlan) || deliver(to, arrival, tagged, vlan))
        return true;
    if (!waited) {
        from->counters.waited++;
        from->waits_until_ns = bh_loop_now() + HOLD_MS * UINT64_C(1000000);
    } else if (bh_loop_now() >= from->waits_until_ns) {
        to->counters.full++;
        return true;
    }
    from->waits_for = to;
    return false;
}

/* --- a port's turn ----------------------------------------------------------------------------------------- */

static void run(struct bh_loop_work *work);

static void run_later(struct bh_switch_port *port)
{
    bh_loop_defer(port->owner->loop, &port->work, run);
}

static void look_again(struct bh_loop_timer *timer)
{
    run_later(BH_LOOP_OWNER(timer, struct bh_switch_port, timer));
}

/* What a port may send at once, after a rest. */
static uint64_t burst_of(const struct bh_switch_port *port)
{
    return port->rate * BURST_MS / 1000u + BH_NET_GSO_BYTES;
}

/* May the port send `len` bytes now? Else it looks again when it may. */
static bool within_rate(struct bh_switch_port *port, uint32_t len)
{
    const uint64_t now = bh_loop_now(), burst = burst_of(port);

    if (port->rate == 0)
        return true;
    const uint64_t past_us = (now - port->filled_ns) / 1000u;
    port->filled_ns += past_us * 1000u;
    port->tokens += past_us > 1000000u ? burst : past_us * port->rate / 1000000u;
    if (port->tokens > burst)
        port->tokens = burst;
    if (port->tokens >= len) {
        port->tokens -= len;
        return true;
    }
    port->counters.slowed++;
    bh_loop_timer_set(port->owner->loop, &port->timer,
                      (uint32_t)((len - port->tokens) * 1000u / port->rate) + 1, look_again);
    return false;
}

static void run(struct bh_loop_work *work)
{
    struct bh_switch_port *port = BH_LOOP_OWNER(work, struct bh_switch_port, work);
    const struct bh_net_arrival *arrival;

    for (unsigned i = 0; i < BUDGET; i++) {
        arrival = port->port->ops->peek(port->port, 0);
        if (!arrival) {
            port->waits_for = NULL;
            return;
        }
        if (!port->waits_for && !within_rate(port, arrival->len))
            return;
        if (!forward(port->owner, port, arrival)) {
            bh_loop_timer_set(port->owner->loop, &port->timer, HOLD_MS, look_again);
            return;
        }
        port->port->ops->drop(port->port, 0);
    }
    run_later(port);
}

static void readable(struct bh_netport *netport, unsigned pair)
{
    run_later(netport->user);
}

static void writable(struct bh_netport *netport, unsigned pair)
{
    const struct bh_switch_port *port = netport->user;
    struct bh_switch *sw = port->owner;

    for (unsigned i = 0; i < sw->port_count; i++) {
        if (sw->ports[i]->waits_for == port)
            run_later(sw->ports[i]);
    }
}

/* Whoever is plugged in next has other addresses. */
static void link_changed(struct bh_netport *netport)
{
    struct bh_switch_port *port = netport->user;
    struct bh_switch_entry *entries = &port->owner->table[0][0];

    for (unsigned i = 0; !netport->link_up && i < BH_SWITCH_SETS * BH_SWITCH_WAYS; i++) {
        if (entries[i].port == port->index + 1)
            forget(port->owner, &entries[i]);
    }
    writable(netport, 0); /* what waited for it goes into a loose cable */
    run_later(port);
    if (port->owner->link_changed)
        port->owner->link_changed(port->owner);
}

void bh_switch_init(struct bh_switch *sw, struct bh_loop *loop, uint32_t age_s, uint32_t secret)
{
    memset(sw, 0, sizeof(*sw));
    sw->loop = loop;
    sw->age_s = age_s;
    sw->secret = secret;
}

int bh_switch_add(struct bh_switch *sw, struct bh_switch_port *port)
{
    struct bh_netport *netport = port->port;

    if (sw->port_count == BH_SWITCH_PORTS_MAX)
        return BH_ERR_RANGE;
    port->owner = sw;
    port->index = sw->port_count;
    port->filled_ns = bh_loop_now();
    port->tokens = burst_of(port);
    sw->ports[sw->port_count++] = port;
    netport->user = port;
    netport->readable = readable;
    netport->writable = writable;
    netport->link_changed = link_changed;
    if (netport->ops->accept) /* whoever the frame ends at does what it asks for */
        netport->ops->accept(netport, BH_NET_GUEST_OFFLOADS);
    if (netport->ops->attach)
        netport->ops->attach(netport, 0, true);
    run_later(port);
    return BH_OK;
}

void bh_switch_fini(struct bh_switch *sw)
{
    for (unsigned i = 0; i < sw->port_count; i++) {
        bh_loop_timer_cancel(&sw->ports[i]->timer);
        bh_loop_work_cancel(&sw->ports[i]->work);
    }
}
