/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A netport that is a hole: for tests of transports, and for a guest that must have a net and reach nobody.
 */
#include "devices/net/ports.h"

static unsigned send_frames(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                            unsigned count)
{
    return count;
}

static const struct bh_net_arrival *peek(struct bh_netport *port, unsigned pair)
{
    return NULL;
}

/* Never called: there is no frame to be peeked. */
static void drop(struct bh_netport *port, unsigned pair)
{
    BH_ASSERT(false);
}

static const struct bh_netport_ops null_ops = {.send = send_frames, .peek = peek, .drop = drop};

struct bh_netport *bh_port_null(struct bh_netport *memory, uint32_t mtu, unsigned pair_count)
{
    *memory = (struct bh_netport){
        .ops = &null_ops, .frame_max = BH_NET_FRAME_BYTES(mtu), .pair_count = pair_count, .link_up = true};
    return memory;
}
