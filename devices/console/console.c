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
 *   With MULTIPORT the driver says when the guest's side of a port is open. While it is not, nothing is put into the
 * port's buffers: drivers drop what comes for nobody. multiport.c has the messages.
 *
 *   Emergency write: a character put into config space goes to the port at once, queues or no queues
 * [virtio-1.4 5.3.4].
 */
#include "devices/console/console.h"

static struct bh_console *console_of(struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct bh_console, dev);
}

/* The channel whose queue this is. */
static struct bh_console_channel *channel_of(struct bh_console *console, const struct bh_virtq *q)
{
    return &console->channels[q->index < 2 ? 0 : (q->index - 2) / 2];
}

static bool transmits(const struct bh_virtq *q)
{
    return q->index % 2 == VIRTIO_CONSOLE_TRANSMITQ;
}

static bool is_control(const struct bh_virtq *q)
{
    return q->index == VIRTIO_CONSOLE_CONTROL_RECEIVEQ || q->index == VIRTIO_CONSOLE_CONTROL_TRANSMITQ;
}

static struct bh_features features(const struct bh_device *dev)
{
    struct bh_features f = bh_class_ring_features();

    if (BH_CONTAINER(dev, struct bh_console, dev)->multiport)
        bh_features_set(&f, VIRTIO_CONSOLE_F_MULTIPORT);
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
    struct bh_console_port *port = console->channels[0].port;
    uint8_t character;

    if (offset != offsetof(struct virtio_console_config, emerg_wr) || len == 0)
        return BH_ERR_INVAL;
    memcpy(&character, from, 1);
    console->counters.emergency++;
    if (port->ops->write(port, &(struct bh_seg){&character, 1}, 1) != 1)
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

/* --- output ---------------------------------------------------------------------------------------------- */

/* Offer the chains that were popped to the port, at most *step bytes. False: the port is full. */
static bool transmit(struct bh_console_channel *channel, size_t *step)
{
    while (channel->tx_next < channel->tx_count) {
        struct bh_chain *chain = channel->tx[channel->tx_next];

        if (!channel->tx_begun)
            bh_console_begin_chain(channel);
        if (channel->tx_offset < chain->out_len) {
            if (*step == 0)
                return true;
            struct bh_seg piece = piece_at(chain, channel->tx_offset, *step);
            size_t taken = channel->port->ops->write(channel->port, &piece, 1);
            BH_ASSERT(taken <= piece.len);
            *step -= taken;
            channel->tx_offset += (uint32_t)taken;
            if (taken < piece.len)
                return false;
        }
        if (channel->tx_offset == chain->out_len) {
            chain->written = 0;
            channel->tx_next++;
            channel->tx_offset = 0;
            channel->tx_begun = false;
        }
    }
    return true;
}

/* Chains are ours no more before they are pushed: a push may end in a reset, and that gives back what is ours. */
static void transmit_push(struct bh_console_channel *channel, struct bh_virtq *q)
{
    struct bh_chain *done[BH_CONSOLE_BATCH];
    const unsigned count = channel->tx_next;

    if (count == 0)
        return;
    memcpy(done, channel->tx, count * sizeof(done[0]));
    channel->tx_count = (uint16_t)(channel->tx_count - count);
    for (uint16_t i = 0; i < channel->tx_count; i++)
        channel->tx[i] = channel->tx[count + i];
    channel->tx_next = 0;
    bh_virtq_push(q, done, count);
    bh_console_forget_pushed(channel);
}

static enum bh_ready transmit_ready(struct bh_console_channel *channel, struct bh_virtq *q, unsigned budget)
{
    size_t step = BH_CONSOLE_STEP;

    while (budget > 0 && step > 0) {
        if (channel->tx_count == 0) {
            int popped = bh_virtq_pop(q, channel->tx, budget < BH_CONSOLE_BATCH ? budget : BH_CONSOLE_BATCH);
            if (popped == BH_ERR_PENDING)
                return BH_READY_HELD;
            if (popped <= 0)
                return BH_READY_DRAINED;
            channel->tx_count = (uint16_t)popped;
            channel->tx_begun = false;
            /* One that was given back in the middle may have been made shorter meanwhile. */
            if (channel->tx_offset > channel->tx[0]->out_len)
                channel->tx_offset = channel->tx[0]->out_len;
            budget -= (unsigned)popped;
        }
        bool room = transmit(channel, &step);
        transmit_push(channel, q);
        if (!room) {
            channel->console->counters.held++;
            return BH_READY_HELD;
        }
    }
    return BH_READY_MORE;
}

/* --- input ----------------------------------------------------------------------------------------------- */

/* Fill the chains from the port; how many got something. */
static unsigned receive(struct bh_console_channel *channel, struct bh_chain *const *chains, unsigned count)
{
    unsigned filled = 0;

    while (filled < count) {
        struct bh_chain *chain = chains[filled];
        size_t got = channel->port->ops->read(channel->port, &chain->segs[chain->out_count], chain->in_count);
        if (got == 0)
            break;
        BH_ASSERT(got <= chain->in_len);
        chain->written = (uint32_t)got;
        filled++;
    }
    return filled;
}

static enum bh_ready receive_ready(struct bh_console_channel *channel, struct bh_virtq *q, unsigned budget)
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
        unsigned filled = receive(channel, chains, (unsigned)popped);
        if (filled < (unsigned)popped)
            bh_virtq_unpop(q, (unsigned)popped - filled);
        if (filled > 0)
            bh_console_publish_input(channel, q, chains, filled);
        if (filled < (unsigned)popped)
            return BH_READY_HELD;
        budget -= filled;
    }
    return BH_READY_MORE;
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct bh_console *console = console_of(dev);
    struct bh_console_channel *channel;

    if (is_control(q))
        return console->multiport->control(console, q, budget);
    channel = channel_of(console, q);
    if (!channel->port)
        return BH_READY_HELD; /* until there is one */
    if (transmits(q) ? channel->tx_unsettled : channel->rx_unsettled)
        bh_console_settle_former(channel, q);
    if (transmits(q))
        return transmit_ready(channel, q, budget);
    if (bh_console_has_control(console) && !(channel->last->told & BH_CONSOLE_OPEN))
        return BH_READY_HELD; /* until the guest opens it */
    return receive_ready(channel, q, budget);
}

/* A chain given back would be printed twice where the port took some of it. */
void bh_console_give_up(struct bh_console_channel *channel, struct bh_virtq *q)
{
    size_t step = BH_CONSOLE_STEP;
    uint16_t done, rest;

    if (channel->tx_count > 0) {
        if (channel->port)
            transmit(channel, &step);
        done = channel->tx_next;
        if (channel->tx_offset > 0 && done < channel->tx_count)
            channel->tx[done++]->written = 0;
        rest = (uint16_t)(channel->tx_count - done);
        channel->tx_next = channel->tx_count = 0;
        if (rest > 0)
            bh_virtq_unpop(q, rest);
        if (done > 0)
            bh_virtq_push(q, channel->tx, done);
        bh_console_forget_pushed(channel);
    }
    channel->tx_offset = 0;
}

static void queue_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    if (!is_control(q) && transmits(q))
        bh_console_give_up(channel_of(console_of(dev), q), q);
}

/* The first chain's offset is kept: it comes back first, and is printed from there on. */
static void queue_give_back(struct bh_device *dev, struct bh_virtq *q)
{
    struct bh_console_channel *channel = channel_of(console_of(dev), q);

    if (is_control(q) || !transmits(q) || channel->tx_count == 0)
        return;
    bh_virtq_unpop(q, channel->tx_count);
    channel->tx_count = 0;
}

/* --- Life --- */

static void reset(struct bh_device *dev)
{
    struct bh_console *console = console_of(dev);

    if (console->multiport)
        console->multiport->reset(console);
}

static int save(struct bh_device *dev, void *to, size_t size)
{
    struct bh_console *console = console_of(dev);

    return console->multiport ? console->multiport->save(console, to, size) : 0;
}

static int load(struct bh_device *dev, const void *from, size_t size)
{
    struct bh_console *console = console_of(dev);

    if (console->multiport)
        return console->multiport->load(console, from, size);
    return size == 0 ? BH_OK : BH_ERR_UNSUPPORTED;
}

/* --- Ports --- */

static void port_readable(struct bh_console_port *port)
{
    struct bh_console_channel *channel = port->user;

    bh_device_queue_wake(&channel->console->dev, bh_console_queue(channel, VIRTIO_CONSOLE_RECEIVEQ));
}

static void port_writable(struct bh_console_port *port)
{
    struct bh_console_channel *channel = port->user;

    bh_device_queue_wake(&channel->console->dev, bh_console_queue(channel, VIRTIO_CONSOLE_TRANSMITQ));
}

/* Port 0's size stands in config space; with MULTIPORT drivers look for the message instead. */
static void port_resized(struct bh_console_port *port, uint16_t cols, uint16_t rows)
{
    struct bh_console_channel *channel = port->user;
    struct bh_console *console = channel->console;

    if (channel->id != 0 || (channel->cols == cols && channel->rows == rows))
        return;
    channel->cols = cols;
    channel->rows = rows;
    console->config.cols = bh_le16_of(cols);
    console->config.rows = bh_le16_of(rows);
    bh_device_config_changed(&console->dev);
    if (console->multiport)
        console->multiport->resized(channel);
}

void bh_console_connect(struct bh_console_channel *channel, struct bh_console_port *port, const char *name)
{
    channel->port = port;
    channel->name = name;
    port->user = channel;
    port->readable = port_readable;
    port->writable = port_writable;
    port->resized = port_resized;
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
    .reset = reset,
    .save = save,
    .load = load,
    .lasting_size = bh_console_lasting_size,
    .lasting = bh_console_lasting,
};

void bh_console_init(struct bh_console *console, struct bh_mem *mem, const struct bh_console_memory *memory,
                     struct bh_console_port *port, uint16_t cols, uint16_t rows)
{
    BH_ASSERT(memory->ports_max >= 1 && memory->ports_max <= BH_CONSOLE_PORTS_MAX &&
              (memory->ports_max > 1) == (memory->multiport != NULL));
    memset(console, 0, sizeof(*console));
    memset(memory->channels, 0, memory->ports_max * sizeof(*memory->channels));
    console->queues = memory->queues;
    console->channels = memory->channels;
    console->ports_max = memory->ports_max;
    console->multiport = memory->multiport;
    console->config.cols = bh_le16_of(cols);
    console->config.rows = bh_le16_of(rows);
    console->config.max_nr_ports = bh_le32_of(memory->ports_max);
    for (uint16_t id = 0; id < memory->ports_max; id++) {
        console->channels[id].console = console;
        console->channels[id].id = id;
        console->channels[id].last = &console->channels[id].own;
    }
    bh_device_init(&console->dev, &console_class, mem, console->queues, memory->memory,
                   (uint16_t)BH_CONSOLE_QUEUES(memory->ports_max));
    bh_console_connect(&console->channels[0], port, "");
    console->channels[0].host_open = true;
    console->channels[0].cols = cols;
    console->channels[0].rows = rows;
}
