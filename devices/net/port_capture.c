/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest sends is captured when the port behind took it, what comes for the guest when the device is done with
 * it, whether the guest wanted it or not: as on a cable. A guest that changes a frame while it is sent may show the
 * capture another one.
 */
#include "devices/net/port_capture.h"

static struct bh_port_capture *capture_of(struct bh_netport *port)
{
    return BH_CONTAINER(port, struct bh_port_capture, port);
}

static void capture_sent(struct bh_capture *capture, const struct bh_net_frame *frame)
{
    struct bh_seg segs[BH_NET_SEGS + 1];

    BH_ASSERT(frame->rest_count <= BH_NET_SEGS);
    segs[0] = frame->first;
    for (unsigned i = 0; i < frame->rest_count; i++)
        segs[i + 1] = frame->rest[i];
    bh_capture_frame(capture, segs, frame->rest_count + 1, frame->len);
}

static unsigned send_frames(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                            unsigned count)
{
    struct bh_port_capture *c = capture_of(port);
    const unsigned taken = c->behind->ops->send(c->behind, pair, frames, count);

    for (unsigned i = 0; i < taken; i++)
        capture_sent(c->capture, &frames[i]);
    return taken;
}

static const struct bh_net_arrival *peek(struct bh_netport *port, unsigned pair)
{
    struct bh_netport *behind = capture_of(port)->behind;
    return behind->ops->peek(behind, pair);
}

static void drop(struct bh_netport *port, unsigned pair)
{
    struct bh_port_capture *c = capture_of(port);
    const struct bh_net_arrival *arrival = c->behind->ops->peek(c->behind, pair);

    if (arrival) {
        const struct bh_seg seg = {(void *)(uintptr_t)arrival->bytes, arrival->len};
        bh_capture_frame(c->capture, &seg, 1, arrival->len);
    }
    c->behind->ops->drop(c->behind, pair);
}

static void accept_offloads(struct bh_netport *port, uint64_t offloads)
{
    struct bh_netport *behind = capture_of(port)->behind;
    if (behind->ops->accept)
        behind->ops->accept(behind, offloads);
}

static void attach(struct bh_netport *port, unsigned pair, bool on)
{
    struct bh_netport *behind = capture_of(port)->behind;
    if (behind->ops->attach)
        behind->ops->attach(behind, pair, on);
}

static const struct bh_netport_ops capture_ops = {
    .send = send_frames, .peek = peek, .drop = drop, .accept = accept_offloads, .attach = attach};

static void readable(struct bh_netport *behind, unsigned pair)
{
    struct bh_port_capture *c = behind->user;
    if (c->port.readable)
        c->port.readable(&c->port, pair);
}

static void writable(struct bh_netport *behind, unsigned pair)
{
    struct bh_port_capture *c = behind->user;
    if (c->port.writable)
        c->port.writable(&c->port, pair);
}

static void link_changed(struct bh_netport *behind)
{
    struct bh_port_capture *c = behind->user;

    c->port.link_up = behind->link_up;
    if (c->port.link_changed)
        c->port.link_changed(&c->port);
}

struct bh_netport *bh_port_capture(struct bh_port_capture *memory, struct bh_netport *behind,
                                   struct bh_capture *capture)
{
    *memory = (struct bh_port_capture){.behind = behind, .capture = capture};
    memory->port = (struct bh_netport){.ops = &capture_ops,
                                       .frame_max = behind->frame_max,
                                       .pair_count = behind->pair_count,
                                       .offloads = behind->offloads,
                                       .link_up = behind->link_up};
    behind->user = memory;
    behind->readable = readable;
    behind->writable = writable;
    behind->link_changed = link_changed;
    return &memory->port;
}
