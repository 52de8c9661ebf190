/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands behind a port of a console device: a terminal, a socket, a UART of the host, a test.
 *
 * Threading: with the port's two queues.   Ownership: the port is its owner's and outlives the device.
 * May block: no op may.
 */
#ifndef DEVICES_CONSOLE_PORT_H
#define DEVICES_CONSOLE_PORT_H

#include <bulkhead/mem.h>

struct bh_console_port;

struct bh_console_port_ops {
    /*
     * Take what the guest printed, from the front of the segments (guest memory: read each byte once).
     * Returns the bytes taken; fewer than there are means full: the port calls `writable` later.
     */
    size_t (*write)(struct bh_console_port *port, const struct bh_seg *segs, unsigned count);
    /* Put what came for the guest into the segments. Returns the bytes; 0: the port calls `readable` later.
     */
    size_t (*read)(struct bh_console_port *port, const struct bh_seg *segs, unsigned count);
    /* The guest has had all bytes of input up to `given` (see progress) for good. May be NULL. */
    void (*given)(struct bh_console_port *port, uint64_t given);
    /* As bh_class.lasting. NULL: the port has nothing to keep. */
    size_t (*lasting_size)(const struct bh_console_port *port);
    void (*lasting)(struct bh_console_port *port, void *area, bool left);
};

/*
 * How far a port has come, in bytes since it began; in memory that outlives the process where there is such. A store to
 * one of them is the moment at which bytes change hands: what a process did before it counts, should it be killed then.
 */
struct bh_console_progress {
    uint64_t taken; /* by write, from the guest */
    uint64_t given; /* to the guest, and published in its ring */
};

/* A port's owner embeds it, sets `ops`, and leaves the rest to the device (NULL until it is initialised). */
struct bh_console_port {
    const struct bh_console_port_ops *ops;
    void (*readable)(struct bh_console_port *port);
    void (*writable)(struct bh_console_port *port);
    void (*resized)(struct bh_console_port *port, uint16_t cols, uint16_t rows);
    void (*attached)(struct bh_console_port *port, bool somebody); /* came to the host's side, or left it */
    void *user;                                                    /* the device's */
    const struct bh_console_progress *progress;                    /* NULL: the port does not count */
};

#endif
