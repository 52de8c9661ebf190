/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile neighbours on a switch: frames of any content and header on any port, ports that are full, go down and come up.
 * What comes out is whole, no longer than its port allows, and of no port's VLAN but its own; and from the address that
 * is a port's own only when that one sent it, which sends from no other.
 *
 * Input: steps of an opcode byte and what it takes; it ends with the input.
 */
#include "devices/net/switch.h"
#include "tests/fuzz/target.h"

#include <string.h>

#define PORTS 4u

struct end {
    struct bh_netport port;
    struct bh_switch_port of_switch;
    uint8_t bytes[512];
    struct bh_net_arrival in;
    bool there, full;
};

static struct end ends[PORTS];
static volatile uint8_t sum;
static const uint8_t owned[6] = {0x20, 0x20, 0x20, 0x20, 0x20, 0x20}; /* port 1's */

static unsigned end_send(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                         unsigned count)
{
    const struct end *end = BH_CONTAINER(port, struct end, port);
    uint32_t len = (uint32_t)frames->first.len;
    uint8_t out[640];

    if (end->full)
        return 0;
    BH_ASSERT(count == 1 && frames->len >= BH_NET_FRAME_MIN && frames->len <= sizeof(out) && port->link_up);
    memcpy(out, frames->first.base, len);
    for (unsigned i = 0; i < frames->rest_count; len += (uint32_t)frames->rest[i++].len)
        memcpy(out + len, frames->rest[i].base, frames->rest[i].len);
    BH_ASSERT(len == frames->len);
    sum = (uint8_t)(sum + out[len - 1]);
    /* Ports 2 and 3 are alone in VLAN 2 and its trunk: what the others send, marked so, never gets there. */
    BH_ASSERT(out[len - 1] / 2u % 2u == end->of_switch.index / 2u);
    BH_ASSERT((memcmp(out + 6, owned, 6) == 0) == (out[len - 1] % 4u == 1) || end->of_switch.index / 2u);
    return 1;
}

static const struct bh_net_arrival *end_peek(struct bh_netport *port, unsigned pair)
{
    const struct end *end = BH_CONTAINER(port, struct end, port);
    return end->there ? &end->in : NULL;
}

static void end_drop(struct bh_netport *port, unsigned pair)
{
    BH_CONTAINER(port, struct end, port)->there = false;
}

static const struct bh_netport_ops end_ops = {.send = end_send, .peek = end_peek, .drop = end_drop};

static size_t come_in(unsigned at, uint8_t how, const uint8_t *data, size_t size)
{
    struct end *end = &ends[at];
    const size_t count = how < size ? how : size;
    uint8_t *header = (uint8_t *)&end->in.header;

    if (end->there || count == 0)
        return 0;
    memset(end->bytes, 0, sizeof(end->bytes));
    memcpy(end->bytes, data, count);
    for (size_t i = 0; i < sizeof(end->in.header); i++)
        header[i] = how & 1u ? data[i % count] : 0;
    end->in.bytes = end->bytes;
    end->in.len = 1u + (uint32_t)(how * 2u);
    end->bytes[end->in.len - 1] = (uint8_t)((end->bytes[end->in.len - 1] & 0xfcu) | at);
    end->there = true;
    end->port.readable(&end->port, 0);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bh_switch sw;
    struct bh_loop *loop;

    BH_ASSERT(bh_loop_create(&loop) == BH_OK);
    bh_switch_init(&sw, loop, 300, 1);
    memset(ends, 0, sizeof(ends));
    for (unsigned i = 0; i < PORTS; i++) {
        ends[i].port = (struct bh_netport){.ops = &end_ops, .frame_max = 600, .link_up = true};
        ends[i].of_switch.port = &ends[i].port;
        ends[i].of_switch.vlan = i == 3 ? 3 : (uint16_t)(1 + i / 2u);
        bh_switch_trunk(&ends[i].of_switch, 10 + i / 2u);
        memcpy(ends[i].of_switch.macs[0], owned, 6);
        ends[i].of_switch.mac_count = i == 1;
        if (i == 3)
            bh_switch_trunk(&ends[i].of_switch, 2);
        BH_ASSERT(bh_switch_add(&sw, &ends[i].of_switch) == BH_OK);
    }
    while (size > 1) {
        const uint8_t op = *data++, how = *data++;
        struct end *end = &ends[op % PORTS];
        size -= 2;
        if (op / PORTS % 4u < 2) {
            const size_t took = come_in(op % PORTS, how, data, size);
            data += took;
            size -= took;
        } else if (op / PORTS % 4u == 2) {
            end->full = how & 1u;
            if (!end->full)
                end->port.writable(&end->port, 0);
        } else {
            end->port.link_up = how & 1u;
            end->port.link_changed(&end->port);
        }
        BH_ASSERT(bh_loop_step(loop, 0) >= 0);
        BH_ASSERT(bh_loop_step(loop, 0) >= 0);
    }
    bh_switch_fini(&sw);
    bh_loop_destroy(loop);
    return 0;
}
