/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A netport that is a hole: for tests of transports, and for a guest that must have a net and reach nobody.
 */
#include "devices/net/ports.h"

static unsigned send_frames(struct bh_netport *port, const struct bh_net_frame *frames, unsigned count)
{
    return count;
}

static uint32_t peek(struct bh_netport *port)
{
    return 0;
}

/* Never called: there is no frame to be peeked. */
static void receive(struct bh_netport *port, const struct bh_seg *segs, unsigned count)
{
    BH_ASSERT(false);
}

static void skip(struct bh_netport *port)
{
    BH_ASSERT(false);
}

static const struct bh_netport_ops null_ops = {
    .send = send_frames, .peek = peek, .receive = receive, .skip = skip};

struct bh_netport *bh_port_null(struct bh_netport *memory, uint32_t mtu)
{
    *memory = (struct bh_netport){.ops = &null_ops, .frame_max = BH_NET_FRAME_BYTES(mtu), .link_up = true};
    return memory;
}
