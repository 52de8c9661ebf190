/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a console keeps in memory that outlives its process.
 *
 * Theory of operation
 *   Killed at any moment: struct bh_console_lasting (console.h) and the port's progress are brought up to date in such
 * an order that a successor can tell, of each chain in flight, how much of it has been done.
 */
#include "devices/console/console.h"
#include <bulkhead/impl/class.h>

#define LASTING_MAGIC 0x4c4f4342u /* "BCOL" */

static uint64_t taken(const struct bh_console_channel *channel)
{
    return channel->port->progress ? channel->port->progress->taken : 0;
}

static struct bh_console_begun *begun(const struct bh_console_channel *channel)
{
    return &channel->last->begun[channel->last->current & 1u];
}

static uint32_t begun_count(const struct bh_console_begun *chains)
{
    const uint32_t count = chains->count;
    return count < BH_CONSOLE_BATCH ? count : BH_CONSOLE_BATCH;
}

/* How much of a chain that comes again the port has taken already. False: it was not begun. */
static bool taken_before(const struct bh_console_channel *channel, const struct bh_chain *chain,
                         uint32_t *done)
{
    const struct bh_console_begun *chains = begun(channel);
    uint64_t bytes;

    *done = 0;
    for (uint32_t i = 0; chain->resubmitted && i < begun_count(chains); i++) {
        if (chains->chain[i].id != chain->id)
            continue;
        bytes = taken(channel) - chains->chain[i].start;
        *done = bytes < chain->out_len ? (uint32_t)bytes : chain->out_len;
        return true;
    }
    return false;
}

/* The chain at tx_next is the next one to be printed, from tx_offset on. */
void bh_console_begin_chain(struct bh_console_channel *channel)
{
    struct bh_console_begun *chains = begun(channel);
    const struct bh_chain *chain = channel->tx[channel->tx_next];
    const uint32_t at = begun_count(chains);
    uint32_t done;

    channel->tx_begun = true;
    if (taken_before(channel, chain, &done)) {
        channel->tx_offset = done;
        return;
    }
    if (at == BH_CONSOLE_BATCH)
        return; /* a driver that gives one id twice: its own text comes twice */
    chains->chain[at].start = taken(channel) - channel->tx_offset;
    chains->chain[at].id = chain->id;
    bh_lasting_order();
    chains->count = at + 1;
    bh_lasting_order();
}

/* Forget what was begun but for the chains that are still to be pushed, here or when they come again. */
void bh_console_forget_pushed(struct bh_console_channel *channel)
{
    const struct bh_virtq *q = bh_console_queue(channel, VIRTIO_CONSOLE_TRANSMITQ);
    const struct bh_console_begun *chains = begun(channel);
    const uint32_t next = !(channel->last->current & 1u), count = begun_count(chains);
    struct bh_console_begun *kept = &channel->last->begun[next];

    bh_lasting_order();
    kept->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool wanted = bh_virtq_comes_again(q, (uint16_t)chains->chain[i].id);

        for (unsigned t = channel->tx_next; t < channel->tx_count; t++)
            wanted |= channel->tx[t]->id == chains->chain[i].id;
        if (wanted)
            kept->chain[kept->count++] = chains->chain[i];
    }
    bh_lasting_order();
    channel->last->current = next;
    bh_lasting_order();
}

static void tell_given(struct bh_console_channel *channel, uint64_t given)
{
    if (channel->port->ops->given)
        channel->port->ops->given(channel->port, given);
}

/* Before the first pop of a queue: what of a former process's work was published? */
void bh_console_settle_former(struct bh_console_channel *channel, const struct bh_virtq *q)
{
    struct bh_console_lasting *last = channel->last;

    if (q->index % 2 == VIRTIO_CONSOLE_TRANSMITQ) {
        channel->tx_unsettled = false;
        bh_console_forget_pushed(channel);
        return;
    }
    channel->rx_unsettled = false;
    if (last->rx_pending && !bh_virtq_comes_again(q, (uint16_t)last->rx_id))
        tell_given(channel, last->rx_given);
    bh_lasting_order();
    last->rx_pending = 0;
}

/* A channel's part of the area; its port's follows. 0: the port has nothing to keep. */
static size_t channel_size(const struct bh_console_channel *channel)
{
    const struct bh_console_port *port = channel->port;

    if (!port || !port->ops->lasting_size)
        return 0;
    return (sizeof(struct bh_console_lasting) + port->ops->lasting_size(port) + 15u) & ~(size_t)7u;
}

size_t bh_console_lasting_size(const struct bh_device *dev)
{
    const struct bh_console *console = BH_CONTAINER(dev, struct bh_console, dev);
    size_t size = 0;

    for (unsigned id = 0; id < console->ports_max; id++)
        size += channel_size(&console->channels[id]);
    return size;
}

static void channel_lasting(struct bh_console_channel *channel, uint8_t *area, bool left)
{
    struct bh_console_lasting *last = area ? (struct bh_console_lasting *)(void *)area : &channel->own;

    channel->port->ops->lasting(channel->port, area ? area + ((sizeof(*last) + 7u) & ~(size_t)7u) : NULL,
                                left);
    left = area && left && last->magic == LASTING_MAGIC;
    if (!left)
        *last = *channel->last;
    last->magic = LASTING_MAGIC;
    last->told &= BH_CONSOLE_TOLD_BITS;
    channel->last = last;
    channel->tx_unsettled = channel->rx_unsettled = left;
}

void bh_console_lasting(struct bh_device *dev, void *area, bool left)
{
    struct bh_console *console = BH_CONTAINER(dev, struct bh_console, dev);
    uint8_t *at = area;

    for (unsigned id = 0; id < console->ports_max; id++) {
        struct bh_console_channel *channel = &console->channels[id];
        size_t size = channel_size(channel);

        if (size == 0)
            continue;
        channel_lasting(channel, at, left);
        at = at ? at + size : NULL;
    }
    if (left && console->multiport)
        console->multiport->catch_up(console);
}

/* Publish the chains that were filled, and tell the port. */
void bh_console_publish_input(struct bh_console_channel *channel, struct bh_virtq *q,
                              struct bh_chain *const *chains, unsigned count)
{
    struct bh_console_lasting *last = channel->last;
    uint64_t given = channel->port->progress ? channel->port->progress->given : 0;

    for (unsigned i = 0; i < count; i++)
        given += chains[i]->written;
    last->rx_id = chains[0]->id;
    last->rx_given = given;
    bh_lasting_order();
    last->rx_pending = 1;
    bh_lasting_order();
    bh_virtq_push(q, chains, count);
    bh_lasting_order();
    tell_given(channel, given);
    bh_lasting_order();
    last->rx_pending = 0;
    bh_lasting_order();
}
