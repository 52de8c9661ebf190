/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console class [virtio-1.4 5.3]: ports, the size of the first, emergency write.
 *
 * A device has one port, a console, or with MULTIPORT up to BH_CONSOLE_PORTS_MAX: port 0 is the console, the others are
 * named channels between a program of the guest and one of the host (guest agents use them); they may come and go
 * while the guest runs.
 *
 * Threading: as device.h; the ports live on the thread of the queues.
 * Ownership: the caller's memory; a port outlives the device, or is removed before.   May block: no.
 */
#ifndef DEVICES_CONSOLE_CONSOLE_H
#define DEVICES_CONSOLE_CONSOLE_H

#include "abi/virtio_console.h"
#include "devices/console/port.h"
#include <bulkhead/device.h>
#include <bulkhead/impl/class.h>

#define BH_CONSOLE_PORTS_MAX 31u
/* Two a port, and two to control them where there may be more than one. */
#define BH_CONSOLE_QUEUES(ports_max) ((ports_max) > 1 ? 2u * (ports_max) + 2u : 2u)
#define BH_CONSOLE_NAME_MAX          255u /* bytes of a port's name */
#define BH_CONSOLE_BATCH             16u  /* chains taken at once from a queue */
/* Segments of the largest chain: a driver may make it as long as an ordinary queue. */
#define BH_CONSOLE_SEGS 130u
/* Bytes moved in one call of queue_ready. */
#define BH_CONSOLE_STEP 65536u

struct bh_console_counters {
    uint64_t emergency;         /* characters written through config space */
    uint64_t emergency_dropped; /* of those, the ones that the port had no room for */
    uint64_t held;              /* times the guest's output waited for a port */
    uint64_t control_in;        /* control messages from the driver */
    uint64_t control_strange;   /* of those, the ones that made no sense, which are ignored */
    uint64_t control_out;       /* control messages to the driver */
};

/* Bits of `told`; a byte a port in a saved state (docs/class-console.md). */
enum bh_console_told {
    BH_CONSOLE_ADDED = 1,  /* DEVICE_ADD was sent */
    BH_CONSOLE_READY = 2,  /* the driver said PORT_READY */
    BH_CONSOLE_OPEN = 4,   /* the guest's side is open */
    BH_CONSOLE_DRIVER = 8, /* port 0: the driver said DEVICE_READY, it wants to know of ports */
    BH_CONSOLE_TOLD_BITS = 15
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
    uint32_t told;    /* MULTIPORT: what the driver knows of the port and said of it, enum bh_console_told */
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

struct bh_console;

/* What the device keeps of a port. */
struct bh_console_channel {
    struct bh_console *console;
    struct bh_console_port *port; /* NULL: there is none of this number now */
    const char *name;             /* the port's owner's; "" for none */
    uint16_t id;
    uint16_t owed;       /* messages to the driver that wait for a buffer: a bit for each event */
    uint16_t rows, cols; /* consoles; 0: unknown */
    bool host_open;      /* somebody is there on our side */
    /* Transmit chains popped and not pushed, oldest first; the first `tx_next` are done. */
    struct bh_chain *tx[BH_CONSOLE_BATCH];
    uint16_t tx_next;
    uint16_t tx_count;
    uint32_t tx_offset;              /* bytes of tx[tx_next] that the port took */
    bool tx_begun;                   /* it is noted as begun */
    bool tx_unsettled, rx_unsettled; /* `last` holds what a former process left, not looked at yet */
    struct bh_console_lasting *last; /* own, or memory that outlives the process */
    struct bh_console_lasting own;
};

/* What serves more ports than one (multiport.c); a console of one port is linked without it. */
struct bh_console_multiport {
    enum bh_ready (*control)(struct bh_console *console, struct bh_virtq *q, unsigned budget);
    void (*resized)(struct bh_console_channel *channel);
    void (*catch_up)(struct bh_console *console);
    void (*reset)(struct bh_console *console);
    int (*save)(struct bh_console *console, void *to, size_t size);
    int (*load)(struct bh_console *console, const void *from, size_t size);
};
extern const struct bh_console_multiport bh_console_multiport;

struct bh_console {
    struct bh_device dev;
    const struct bh_console_multiport *multiport; /* NULL: one port */
    struct virtio_console_config config;
    struct bh_virtq *queues;
    struct bh_console_channel *channels;
    uint16_t ports_max;
    struct bh_console_counters counters;
};

/* What a device of `ports_max` ports needs. */
struct bh_console_memory {
    uint16_t ports_max;                           /* 1 to BH_CONSOLE_PORTS_MAX */
    const struct bh_console_multiport *multiport; /* &bh_console_multiport for more than one, else NULL */
    struct bh_console_channel *channels;          /* as many */
    struct bh_virtq *queues;                      /* BH_CONSOLE_QUEUES(ports_max) */
    /* As many: each with room for BH_CONSOLE_BATCH chains of BH_CONSOLE_SEGS segments at least. */
    const struct bh_virtq_memory *memory;
};

/*
 * `port`: port 0, the console. `cols` and `rows`: the terminal's size now; 0: unknown. `port->resized` changes it
 * later.
 */
void bh_console_init(struct bh_console *console, struct bh_mem *mem, const struct bh_console_memory *memory,
                     struct bh_console_port *port, uint16_t cols, uint16_t rows);

/*
 * Another port, at any time; `name`, at most BH_CONSOLE_NAME_MAX bytes, stays the caller's. Its number, or
 * BH_ERR_NOMEM: all are taken.
 */
int bh_console_add_port(struct bh_console *console, struct bh_console_port *port,
                        const char *name) BH_MUST_USE;
/* The port is gone for the guest; what it had printed and the port did not take is lost. Not port 0. */
void bh_console_remove_port(struct bh_console *console, struct bh_console_port *port);

/* --- Between the class's own files. --- */

/* console_lasting.c: the chain at tx_next is the next to be printed, from tx_offset on; it may have been begun before. */
void bh_console_begin_chain(struct bh_console_channel *channel);
/* Forget what was begun but for the chains that are still to be pushed, here or when they come again. */
void bh_console_forget_pushed(struct bh_console_channel *channel);
/* Before the first pop of a queue: what of a former process's work was published? */
void bh_console_settle_former(struct bh_console_channel *channel, const struct bh_virtq *q);
/* Publish chains that were filled, and tell the port. */
void bh_console_publish_input(struct bh_console_channel *channel, struct bh_virtq *q,
                              struct bh_chain *const *chains, unsigned count);
size_t bh_console_lasting_size(const struct bh_device *dev);
void bh_console_lasting(struct bh_device *dev, void *area, bool left);

/* console.c: this is the port of that number from now on. */
void bh_console_connect(struct bh_console_channel *channel, struct bh_console_port *port, const char *name);
/*
 * Give back what the port did not take. A chain that it took in part is returned as done; its rest is offered once more
 * and, if the port is still full or gone, lost with the queue.
 */
void bh_console_give_up(struct bh_console_channel *channel, struct bh_virtq *q);
static inline bool bh_console_has_control(const struct bh_console *console)
{
    return bh_device_has(&console->dev, VIRTIO_CONSOLE_F_MULTIPORT);
}
/* The queue of a port on which the driver receives (0) or transmits (1). */
static inline struct bh_virtq *bh_console_queue(const struct bh_console_channel *channel, unsigned transmit)
{
    return &channel->console->queues[(channel->id == 0 ? 0 : 2 * channel->id + 2) + transmit];
}

#endif
