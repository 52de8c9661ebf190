/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A netport in front of another one, which writes what passes to a capture.
 *
 * Threading: the loop's thread.   Ownership: the caller's memory; the other port and the capture outlive it.
 * May block: as a capture.
 */
#ifndef DEVICES_NET_PORT_CAPTURE_H
#define DEVICES_NET_PORT_CAPTURE_H

#include "devices/net/capture.h"
#include "devices/net/port.h"

struct bh_port_capture {
    struct bh_netport port;
    struct bh_netport *behind;
    struct bh_capture *capture;
};

/* Before either port is given to a device. */
struct bh_netport *bh_port_capture(struct bh_port_capture *memory, struct bh_netport *behind,
                                   struct bh_capture *capture);

#endif
