/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console class [virtio-1.4 5.3]: one port, its size, and emergency write.
 *
 * Threading: as device.h; the port lives on the thread of the queues.
 * Ownership: the caller's memory; the port outlives the device.   May block: no.
 */
#ifndef DEVICES_CONSOLE_CONSOLE_H
#define DEVICES_CONSOLE_CONSOLE_H

#include "abi/virtio_console.h"
#include "devices/console/port.h"
#include <bulkhead/device.h>

#define BH_CONSOLE_QUEUES 2u
#define BH_CONSOLE_BATCH  16u /* chains taken at once from a queue */
/* Segments of the largest chain: a driver may make it as long as an ordinary queue. */
#define BH_CONSOLE_SEGS 130u
/* Bytes moved in one call of queue_ready. */
#define BH_CONSOLE_STEP 65536u

struct bh_console_counters {
    uint64_t emergency;         /* characters written through config space */
    uint64_t emergency_dropped; /* of those, the ones that the port had no room for */
    uint64_t held;              /* times the guest's output waited for the port */
};

/*
 * What a successor must know to print nothing twice and to lose nothing that was typed. Outside data there.
 *
 * A chain that was being printed when the process died is in flight, and comes again; how much of it the port took is
 * told by the port's count, and by where that stood when the chain began. Chains that were filled with input and not
 * published come again as well, published ones do not: the first of them tells.
 */
struct bh_console_lasting {
    uint32_t magic;
    uint32_t current; /* bank 0 or 1 */
    struct bh_console_begun {
        uint32_t count; /* chains begun and not yet pushed */
        struct {
            uint64_t start; /* bytes that the port had taken before the chain's first */
            uint32_t id;
        } chain[BH_CONSOLE_BATCH];
    } begun[2];
    uint32_t
        rx_pending; /* chains are about to be pushed: rx_id is the first's, rx_given the progress after them */
    uint32_t rx_id;
    uint64_t rx_given;
};

struct bh_console {
    struct bh_device dev;
    struct bh_virtq queues[BH_CONSOLE_QUEUES];
    struct virtio_console_config config;
    struct bh_console_port *port;
    /* Transmit chains popped and not pushed, oldest first; the first `tx_next` are done. */
    struct bh_chain *tx[BH_CONSOLE_BATCH];
    uint16_t tx_next;
    uint16_t tx_count;
    uint32_t tx_offset;              /* bytes of tx[tx_next] that the port took */
    bool tx_begun;                   /* it is noted as begun */
    struct bh_console_lasting *last; /* own, or memory that outlives the process */
    struct bh_console_lasting own;
    bool tx_unsettled, rx_unsettled; /* it holds what a former process left, not looked at yet */
    struct bh_console_counters counters;
};

/*
 * `memory`: one for each queue, with room for BH_CONSOLE_BATCH chains of BH_CONSOLE_SEGS segments at least.
 * `cols` and `rows`: the terminal's size now; 0: unknown. `port->resized` changes it later.
 */
void bh_console_init(struct bh_console *console, struct bh_mem *mem, const struct bh_virtq_memory *memory,
                     struct bh_console_port *port, uint16_t cols, uint16_t rows);

#endif
