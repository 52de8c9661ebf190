/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console class [virtio-1.4 5.3].
 *
 * Theory of operation
 *   Output: chains are popped in batches and offered to the port. What it does not take stays popped, and the
 * queue is held until the port calls `writable`: the driver sees a full ring, which is its flow control.
 * Nothing is dropped.
 *
 *   Input: the port keeps what came for the guest. As long as it has some, buffers are popped and filled by
 * it; the first that stays empty is given back, and the queue waits for the port. When there are no buffers,
 * the port keeps its bytes and the queue waits for the driver.
 *
 *   Killed at any moment: struct bh_console_lasting (console.h) and the port's progress are brought up to date in such
 * an order that a successor can tell, of each chain in flight, how much of it has been done.
 *
 *   Emergency write: a character put into config space goes to the port at once, queues or no queues
 * [virtio-1.4 5.3.4].
 */
#include "devices/console/console.h"
#include <bulkhead/impl/class.h>

static struct bh_console *console_of(struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct bh_console, dev);
}

static bool queue_unsettled(const struct bh_console *console, const struct bh_virtq *q)
{
    return q->index == VIRTIO_CONSOLE_TRANSMITQ ? console->tx_unsettled : console->rx_unsettled;
}

static struct bh_features features(const struct bh_device *dev)
{
    struct bh_features f = bh_class_ring_features();
    bh_features_set(&f, VIRTIO_CONSOLE_F_SIZE);
    bh_features_set(&f, VIRTIO_CONSOLE_F_EMERG_WRITE);
    return f;
}

static const void *config(const struct bh_device *dev, uint32_t *size)
{
    *size = sizeof(struct virtio_console_config);
    return &BH_CONTAINER(dev, struct bh_console, dev)->config;
}

/* Only emerg_wr is the driver's; its low byte is the character, whatever the access width. */
static int config_write(struct bh_device *dev, uint32_t offset, const void *from, uint32_t len)
{
    struct bh_console *console = console_of(dev);
    uint8_t character;

    if (offset != offsetof(struct virtio_console_config, emerg_wr) || len == 0)
        return BH_ERR_INVAL;
    memcpy(&character, from, 1);
    console->counters.emergency++;
    if (console->port->ops->write(console->port, &(struct bh_seg){&character, 1}, 1) != 1)
        console->counters.emergency_dropped++;
    return BH_OK;
}

/* The contiguous piece at `offset` of the readable part, at most `max` bytes. */
static struct bh_seg piece_at(const struct bh_chain *chain, size_t offset, size_t max)
{
    for (uint16_t i = 0; i < chain->out_count; i++) {
        const struct bh_seg *seg = &chain->segs[i];
        if (offset < seg->len) {
            size_t len = seg->len - offset;
            return (struct bh_seg){(uint8_t *)seg->base + offset, len < max ? len : max};
        }
        offset -= seg->len;
    }
    return (struct bh_seg){NULL, 0};
}

/* --- what lasts ------------------------------------------------------------------------------------------ */

#define LASTING_MAGIC 0x4c4f4342u /* "BCOL" */

/* The one who reads this does so after our death: the compiler alone could change the order of stores. */
static void store_in_order(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static uint64_t taken(const struct bh_console *console)
{
    return console->port->progress ? console->port->progress->taken : 0;
}

static struct bh_console_begun *begun(const struct bh_console *console)
{
    return &console->last->begun[console->last->current & 1u];
}

static uint32_t begun_count(const struct bh_console_begun *chains)
{
    const uint32_t count = chains->count;
    return count < BH_CONSOLE_BATCH ? count : BH_CONSOLE_BATCH;
}

/* How much of a chain that comes again the port has taken already. False: it was not begun. */
static bool taken_before(const struct bh_console *console, const struct bh_chain *chain, uint32_t *done)
{
    const struct bh_console_begun *chains = begun(console);
    uint64_t bytes;

    *done = 0;
    for (uint32_t i = 0; chain->resubmitted && i < begun_count(chains); i++) {
        if (chains->chain[i].id != chain->id)
            continue;
        bytes = taken(console) - chains->chain[i].start;
        *done = bytes < chain->out_len ? (uint32_t)bytes : chain->out_len;
        return true;
    }
    return false;
}

/* The chain at tx_next is the next one to be printed, from tx_offset on. */
static void begin_chain(struct bh_console *console)
{
    struct bh_console_begun *chains = begun(console);
    const struct bh_chain *chain = console->tx[console->tx_next];
    const uint32_t at = begun_count(chains);
    uint32_t done;

    console->tx_begun = true;
    if (taken_before(console, chain, &done)) {
        console->tx_offset = done;
        return;
    }
    if (at == BH_CONSOLE_BATCH)
        return; /* a driver that gives one id twice: its own text comes twice */
    chains->chain[at].start = taken(console) - console->tx_offset;
    chains->chain[at].id = chain->id;
    store_in_order();
    chains->count = at + 1;
    store_in_order();
}

/* Forget what was begun but for the chains that are still to be pushed, here or when they come again. */
static void forget_pushed(struct bh_console *console)
{
    const struct bh_virtq *q = &console->queues[VIRTIO_CONSOLE_TRANSMITQ];
    const struct bh_console_begun *chains = begun(console);
    const uint32_t next = !(console->last->current & 1u), count = begun_count(chains);
    struct bh_console_begun *kept = &console->last->begun[next];

    store_in_order();
    kept->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool wanted = bh_virtq_comes_again(q, (uint16_t)chains->chain[i].id);

        for (unsigned t = console->tx_next; t < console->tx_count; t++)
            wanted |= console->tx[t]->id == chains->chain[i].id;
        if (wanted)
            kept->chain[kept->count++] = chains->chain[i];
    }
    store_in_order();
    console->last->current = next;
    store_in_order();
}

static void tell_given(struct bh_console *console, uint64_t given)
{
    if (console->port->ops->given)
        console->port->ops->given(console->port, given);
}

/* Before the first pop of a queue: what of a former process's work was published? */
static void settle_former(struct bh_console *console, const struct bh_virtq *q)
{
    struct bh_console_lasting *last = console->last;

    if (q->index == VIRTIO_CONSOLE_TRANSMITQ) {
        console->tx_unsettled = false;
        forget_pushed(console);
        return;
    }
    console->rx_unsettled = false;
    if (last->rx_pending && !bh_virtq_comes_again(q, (uint16_t)last->rx_id))
        tell_given(console, last->rx_given);
    store_in_order();
    last->rx_pending = 0;
}

static size_t port_at(void)
{
    return (sizeof(struct bh_console_lasting) + 7u) & ~(size_t)7u;
}

static size_t lasting_size(const struct bh_device *dev)
{
    const struct bh_console_port *port = BH_CONTAINER(dev, struct bh_console, dev)->port;

    return port->ops->lasting_size ? port_at() + port->ops->lasting_size(port) : 0;
}

static void lasting(struct bh_device *dev, void *area, bool left)
{
    struct bh_console *console = console_of(dev);
    struct bh_console_lasting *last = area ? area : &console->own;

    console->port->ops->lasting(console->port, area ? (uint8_t *)area + port_at() : NULL, left);
    left = area && left && last->magic == LASTING_MAGIC;
    if (!left)
        *last = *console->last;
    last->magic = LASTING_MAGIC;
    console->last = last;
    console->tx_unsettled = console->rx_unsettled = left;
}

/* --- output ---------------------------------------------------------------------------------------------- */

/* Offer the chains that were popped to the port, at most *step bytes. False: the port is full. */
static bool transmit(struct bh_console *console, size_t *step)
{
    while (console->tx_next < console->tx_count) {
        struct bh_chain *chain = console->tx[console->tx_next];

        if (!console->tx_begun)
            begin_chain(console);
        if (console->tx_offset < chain->out_len) {
            if (*step == 0)
                return true;
            struct bh_seg piece = piece_at(chain, console->tx_offset, *step);
            size_t taken = console->port->ops->write(console->port, &piece, 1);
            BH_ASSERT(taken <= piece.len);
            *step -= taken;
            console->tx_offset += (uint32_t)taken;
            if (taken < piece.len)
                return false;
        }
        if (console->tx_offset == chain->out_len) {
            chain->written = 0;
            console->tx_next++;
            console->tx_offset = 0;
            console->tx_begun = false;
        }
    }
    return true;
}

static void transmit_push(struct bh_console *console, struct bh_virtq *q)
{
    if (console->tx_next == 0)
        return;
    bh_virtq_push(q, console->tx, console->tx_next);
    console->tx_count = (uint16_t)(console->tx_count - console->tx_next);
    for (uint16_t i = 0; i < console->tx_count; i++)
        console->tx[i] = console->tx[console->tx_next + i];
    console->tx_next = 0;
    forget_pushed(console);
}

static enum bh_ready transmit_ready(struct bh_console *console, struct bh_virtq *q, unsigned budget)
{
    size_t step = BH_CONSOLE_STEP;

    while (budget > 0 && step > 0) {
        if (console->tx_count == 0) {
            int popped = bh_virtq_pop(q, console->tx, budget < BH_CONSOLE_BATCH ? budget : BH_CONSOLE_BATCH);
            if (popped == BH_ERR_PENDING)
                return BH_READY_HELD;
            if (popped <= 0)
                return BH_READY_DRAINED;
            console->tx_count = (uint16_t)popped;
            console->tx_begun = false;
            /* One that was given back in the middle may have been made shorter meanwhile. */
            if (console->tx_offset > console->tx[0]->out_len)
                console->tx_offset = console->tx[0]->out_len;
            budget -= (unsigned)popped;
        }
        bool room = transmit(console, &step);
        transmit_push(console, q);
        if (!room) {
            console->counters.held++;
            return BH_READY_HELD;
        }
    }
    return BH_READY_MORE;
}

/* --- input ----------------------------------------------------------------------------------------------- */

/* Fill the chains from the port; how many got something. */
static unsigned receive(struct bh_console *console, struct bh_chain *const *chains, unsigned count)
{
    unsigned filled = 0;

    while (filled < count) {
        struct bh_chain *chain = chains[filled];
        size_t got = console->port->ops->read(console->port, &chain->segs[chain->out_count], chain->in_count);
        if (got == 0)
            break;
        BH_ASSERT(got <= chain->in_len);
        chain->written = (uint32_t)got;
        filled++;
    }
    return filled;
}

/* Publish the chains that were filled, and tell the port. */
static void publish_input(struct bh_console *console, struct bh_virtq *q, struct bh_chain *const *chains,
                          unsigned count)
{
    struct bh_console_lasting *last = console->last;
    uint64_t given = console->port->progress ? console->port->progress->given : 0;

    for (unsigned i = 0; i < count; i++)
        given += chains[i]->written;
    last->rx_id = chains[0]->id;
    last->rx_given = given;
    store_in_order();
    last->rx_pending = 1;
    store_in_order();
    bh_virtq_push(q, chains, count);
    store_in_order();
    tell_given(console, given);
    store_in_order();
    last->rx_pending = 0;
    store_in_order();
}

static enum bh_ready receive_ready(struct bh_console *console, struct bh_virtq *q, unsigned budget)
{
    struct bh_chain *chains[BH_CONSOLE_BATCH];

    while (budget > 0) {
        int popped = bh_virtq_pop(q, chains, budget < BH_CONSOLE_BATCH ? budget : BH_CONSOLE_BATCH);
        if (popped == BH_ERR_PENDING)
            return BH_READY_HELD;
        if (popped <= 0)
            return BH_READY_DRAINED;
        for (int i = 0; i < popped; i++) {
            if (chains[i]->in_len == 0) { /* a receive buffer without room cannot be answered */
                bh_virtq_break(q, BH_BROKEN_CLASS);
                bh_virtq_push(q, chains, (unsigned)popped);
                return BH_READY_DRAINED;
            }
        }
        unsigned filled = receive(console, chains, (unsigned)popped);
        if (filled < (unsigned)popped)
            bh_virtq_unpop(q, (unsigned)popped - filled);
        if (filled > 0)
            publish_input(console, q, chains, filled);
        if (filled < (unsigned)popped)
            return BH_READY_HELD;
        budget -= filled;
    }
    return BH_READY_MORE;
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    if (queue_unsettled(console_of(dev), q))
        settle_former(console_of(dev), q);
    if (q->index == VIRTIO_CONSOLE_TRANSMITQ)
        return transmit_ready(console_of(dev), q, budget);
    return receive_ready(console_of(dev), q, budget);
}

/*
 * Give back what the port did not take. A chain that it took in part is returned as done: given back it would
 * be printed twice; its rest is offered once more and, if the port is still full, lost with the queue.
 */
static void queue_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    struct bh_console *console = console_of(dev);
    size_t step = BH_CONSOLE_STEP;

    if (q->index != VIRTIO_CONSOLE_TRANSMITQ)
        return;
    if (console->tx_count == 0) {
        console->tx_offset = 0;
        return;
    }
    transmit(console, &step);
    uint16_t done = console->tx_next;
    if (console->tx_offset > 0 && done < console->tx_count)
        console->tx[done++]->written = 0;
    uint16_t rest = (uint16_t)(console->tx_count - done);
    if (rest > 0)
        bh_virtq_unpop(q, rest);
    if (done > 0)
        bh_virtq_push(q, console->tx, done);
    console->tx_next = console->tx_count = 0;
    console->tx_offset = 0;
    forget_pushed(console);
}

/* The first chain's offset is kept: it comes back first, and is printed from there on. */
static void queue_give_back(struct bh_device *dev, struct bh_virtq *q)
{
    struct bh_console *console = console_of(dev);

    if (q->index != VIRTIO_CONSOLE_TRANSMITQ || console->tx_count == 0)
        return;
    bh_virtq_unpop(q, console->tx_count);
    console->tx_count = 0;
}

static void port_readable(struct bh_console_port *port)
{
    struct bh_console *console = port->user;
    bh_device_queue_wake(&console->dev, &console->queues[VIRTIO_CONSOLE_RECEIVEQ]);
}

static void port_writable(struct bh_console_port *port)
{
    struct bh_console *console = port->user;
    bh_device_queue_wake(&console->dev, &console->queues[VIRTIO_CONSOLE_TRANSMITQ]);
}

static void port_resized(struct bh_console_port *port, uint16_t cols, uint16_t rows)
{
    struct bh_console *console = port->user;

    if (bh_le16_get(console->config.cols) == cols && bh_le16_get(console->config.rows) == rows)
        return;
    console->config.cols = bh_le16_of(cols);
    console->config.rows = bh_le16_of(rows);
    bh_device_config_changed(&console->dev);
}

static const struct bh_class console_class = {
    .name = "console",
    .virtio_id = VIRTIO_ID_CONSOLE,
    .config = config,
    .config_write = config_write,
    .features = features,
    .queue_ready = queue_ready,
    .queue_stopping = queue_stopping,
    .queue_give_back = queue_give_back,
    .lasting_size = lasting_size,
    .lasting = lasting,
};

void bh_console_init(struct bh_console *console, struct bh_mem *mem, const struct bh_virtq_memory *memory,
                     struct bh_console_port *port, uint16_t cols, uint16_t rows)
{
    memset(console, 0, sizeof(*console));
    console->config.cols = bh_le16_of(cols);
    console->config.rows = bh_le16_of(rows);
    console->config.max_nr_ports = bh_le32_of(1);
    bh_device_init(&console->dev, &console_class, mem, console->queues, memory, BH_CONSOLE_QUEUES);
    console->port = port;
    console->last = &console->own;
    port->user = console;
    port->readable = port_readable;
    port->writable = port_writable;
    port->resized = port_resized;
}
