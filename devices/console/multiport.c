/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queues of a console with several ports [virtio-1.4 5.3.6.2].
 *
 * Theory of operation
 *   What the driver is to be told is kept as state, not as a list of messages: a bit a port and event in `owed`,
 * turned into a message when the driver has a buffer for it. So nothing has to be kept back in a list that could grow,
 * and a message says how things are now: a client that came and left meanwhile is one message.
 *
 *   (none) -> DEVICE_ADD sent: ADDED -> the driver's PORT_READY: READY, it gets the port's nature, size, name and
 * whether our side is open -> its PORT_OPEN: OPEN, and back. DEVICE_REMOVE undoes all of it, and goes before
 * the DEVICE_ADD of another port that took the number.
 *
 *   What a driver says of ports that there are not, or out of turn, is counted and ignored.
 *
 *   A device process that goes on where another was (docs/recovery.md) finds a driver that will not introduce itself
 * again. What that one was told lasts (struct bh_console_lasting), or was saved. Where nothing was kept, as when a
 * front-end connects again, the ports are taken for known, ready and open: what comes for a closed one, the driver drops.
 */
#include "devices/console/console.h"

static const uint8_t order[] = {VIRTIO_CONSOLE_DEVICE_REMOVE, VIRTIO_CONSOLE_DEVICE_ADD,
                                VIRTIO_CONSOLE_CONSOLE_PORT,  VIRTIO_CONSOLE_RESIZE,
                                VIRTIO_CONSOLE_PORT_NAME,     VIRTIO_CONSOLE_PORT_OPEN};

static bool driver_ready(const struct bh_console *console)
{
    return console->channels[0].last->told & BH_CONSOLE_DRIVER;
}

/* Forget what was told of the port, but not the driver. */
static void forget(struct bh_console_channel *channel)
{
    channel->last->told &= BH_CONSOLE_DRIVER;
}

static void wake(struct bh_console *console)
{
    bh_device_queue_wake(&console->dev, &console->queues[VIRTIO_CONSOLE_CONTROL_RECEIVEQ]);
}

static void owe(struct bh_console_channel *channel, unsigned event)
{
    struct bh_console *console = channel->console;
    unsigned owed = channel->owed | 1u << event;

    if (!driver_ready(console))
        return; /* it will be told how things are then */
    if (event == VIRTIO_CONSOLE_DEVICE_REMOVE) {
        owed = channel->last->told & BH_CONSOLE_ADDED ? 1u << VIRTIO_CONSOLE_DEVICE_REMOVE : 0;
        channel->last->told &= BH_CONSOLE_ADDED; /* never port 0 */
    } else if (event != VIRTIO_CONSOLE_DEVICE_ADD && !(channel->last->told & BH_CONSOLE_READY)) {
        return; /* the same */
    }
    channel->owed = (uint16_t)owed;
    if (owed)
        wake(console);
}

/* --- To the driver --- */

/* Put the message into the chain, as far as its name fits. */
static void write_message(struct bh_console_channel *channel, unsigned event, struct bh_chain *chain)
{
    const struct virtio_console_control head = {
        .id = bh_le32_of(channel->id),
        .event = bh_le16_of((uint16_t)event),
        .value = bh_le16_of(event == VIRTIO_CONSOLE_PORT_OPEN ? channel->host_open : 1),
    };
    const struct virtio_console_resize size = {bh_le16_of(channel->cols), bh_le16_of(channel->rows)};
    const void *more = NULL;
    size_t more_bytes = 0, at;

    if (event == VIRTIO_CONSOLE_RESIZE) {
        more = &size;
        more_bytes = sizeof(size);
    } else if (event == VIRTIO_CONSOLE_PORT_NAME) {
        more = channel->name;
        while (channel->name[more_bytes] != '\0' && more_bytes < BH_CONSOLE_NAME_MAX)
            more_bytes++;
    }
    at = bh_chain_write(chain, 0, &head, sizeof(head));
    chain->written = (uint32_t)(at + bh_chain_write(chain, at, more, more_bytes));
}

/* BH_READY_MORE: it was sent, or need not be any more. */
static enum bh_ready send(struct bh_console_channel *channel, struct bh_virtq *q, unsigned event)
{
    struct bh_chain *chain;
    int popped = bh_virtq_pop(q, &chain, 1);

    if (popped != 1)
        return popped == BH_ERR_PENDING ? BH_READY_HELD : BH_READY_DRAINED;
    if (chain->in_len < sizeof(struct virtio_console_control)) {
        bh_virtq_break(q, BH_BROKEN_CLASS);
    } else {
        write_message(channel, event, chain);
        channel->console->counters.control_out++;
        channel->owed &= (uint16_t) ~(1u << event);
        if (event == VIRTIO_CONSOLE_DEVICE_ADD)
            channel->last->told |= BH_CONSOLE_ADDED;
        else if (event == VIRTIO_CONSOLE_DEVICE_REMOVE)
            forget(channel);
    }
    bh_virtq_push(q, &chain, 1);
    return bh_virtq_running(q) ? BH_READY_MORE : BH_READY_DRAINED;
}

static enum bh_ready send_owed(struct bh_console *console, struct bh_virtq *q)
{
    for (unsigned id = 0; id < console->ports_max; id++) {
        struct bh_console_channel *channel = &console->channels[id];

        for (unsigned i = 0; channel->owed && i < BH_COUNT(order); i++) {
            enum bh_ready ready = channel->owed >> order[i] & 1u ? send(channel, q, order[i]) : BH_READY_MORE;

            if (ready != BH_READY_MORE)
                return ready;
        }
    }
    return BH_READY_HELD; /* until something happens */
}

/* --- From the driver --- */

static void device_ready(struct bh_console *console)
{
    console->channels[0].last->told |= BH_CONSOLE_DRIVER;
    for (unsigned id = 0; id < console->ports_max; id++) {
        forget(&console->channels[id]);
        console->channels[id].owed = 0;
        if (console->channels[id].port)
            owe(&console->channels[id], VIRTIO_CONSOLE_DEVICE_ADD);
    }
}

static void port_ready(struct bh_console_channel *channel)
{
    channel->last->told |= BH_CONSOLE_READY;
    if (channel->id == 0)
        owe(channel, VIRTIO_CONSOLE_CONSOLE_PORT);
    if (channel->cols || channel->rows)
        owe(channel, VIRTIO_CONSOLE_RESIZE);
    if (channel->name[0] != '\0')
        owe(channel, VIRTIO_CONSOLE_PORT_NAME);
    if (channel->host_open)
        owe(channel, VIRTIO_CONSOLE_PORT_OPEN);
}

static void port_open(struct bh_console_channel *channel, bool open)
{
    channel->last->told =
        open ? channel->last->told | BH_CONSOLE_OPEN : channel->last->told & ~(uint32_t)BH_CONSOLE_OPEN;
    bh_device_queue_wake(&channel->console->dev, bh_console_queue(channel, VIRTIO_CONSOLE_RECEIVEQ));
}

/* False: it makes no sense. */
static bool take_message(struct bh_console *console, const struct virtio_console_control *message)
{
    uint32_t id = bh_le32_get(message->id);
    bool yes = bh_le16_get(message->value) == 1;
    unsigned event = bh_le16_get(message->event), told;
    struct bh_console_channel *channel;

    if (event == VIRTIO_CONSOLE_DEVICE_READY) {
        if (yes)
            device_ready(console); /* again: a driver that was started anew, without a reset that we saw */
        return yes;
    }
    if (!driver_ready(console) || id >= console->ports_max)
        return false;
    channel = &console->channels[id];
    told = channel->port ? channel->last->told : 0;
    if (event == VIRTIO_CONSOLE_PORT_READY &&
        (told & (BH_CONSOLE_ADDED | BH_CONSOLE_READY)) == BH_CONSOLE_ADDED) {
        if (yes)
            port_ready(channel);
        return true;
    }
    if (event == VIRTIO_CONSOLE_PORT_OPEN && (told & BH_CONSOLE_READY)) {
        port_open(channel, yes);
        return true;
    }
    return false;
}

static enum bh_ready take_messages(struct bh_console *console, struct bh_virtq *q, unsigned budget)
{
    for (; budget > 0; budget--) {
        struct virtio_console_control message;
        struct bh_chain *chain;
        int popped = bh_virtq_pop(q, &chain, 1);

        if (popped != 1)
            return popped == BH_ERR_PENDING ? BH_READY_HELD : BH_READY_DRAINED;
        console->counters.control_in++;
        if (bh_chain_read(chain, 0, &message, sizeof(message)) != sizeof(message) ||
            !take_message(console, &message))
            console->counters.control_strange++;
        bh_virtq_push(q, &chain, 1);
    }
    return BH_READY_MORE;
}

/* The queue goes on where it stood in a former process: the driver has said what it had to say. */
static bool goes_on(const struct bh_console *console, const struct bh_virtq *q)
{
    return q->setup.state.used != 0 ||
           (bh_device_has(&console->dev, BH_F_RING_PACKED) && !q->setup.state.used_wrap);
}

/* The driver may know other ports than there are, as a former process told it: have it told. */
static void catch_up(struct bh_console *console)
{
    for (unsigned id = 0; id < console->ports_max; id++) {
        struct bh_console_channel *channel = &console->channels[id];
        bool added = channel->last->told & BH_CONSOLE_ADDED;

        if (channel->port)
            owe(channel, added ? VIRTIO_CONSOLE_PORT_OPEN : VIRTIO_CONSOLE_DEVICE_ADD);
        else if (added)
            owe(channel, VIRTIO_CONSOLE_DEVICE_REMOVE);
    }
}

static void take_over(struct bh_console *console)
{
    for (unsigned id = 0; id < console->ports_max; id++)
        if (console->channels[id].port)
            console->channels[id].last->told = BH_CONSOLE_ADDED | BH_CONSOLE_READY | BH_CONSOLE_OPEN;
    console->channels[0].last->told |= BH_CONSOLE_DRIVER;
    catch_up(console);
}

static enum bh_ready control(struct bh_console *console, struct bh_virtq *q, unsigned budget)
{
    if (q->index == VIRTIO_CONSOLE_CONTROL_RECEIVEQ)
        return send_owed(console, q);
    if (!driver_ready(console) && goes_on(console, q))
        take_over(console);
    return take_messages(console, q, budget);
}

/* --- Life --- */

static void reset(struct bh_console *console)
{
    for (unsigned id = 0; id < console->ports_max; id++) {
        console->channels[id].last->told = 0;
        console->channels[id].owed = 0;
    }
}

/* A byte a port. */
static int save(struct bh_console *console, void *to, size_t size)
{
    uint8_t *bytes = to;

    if (size < console->ports_max)
        return BH_ERR_NOMEM;
    for (unsigned id = 0; id < console->ports_max; id++)
        bytes[id] = (uint8_t)console->channels[id].last->told;
    return console->ports_max;
}

static int load(struct bh_console *console, const void *from, size_t size)
{
    const uint8_t *bytes = from;

    if (size != console->ports_max)
        return BH_ERR_UNSUPPORTED;
    for (unsigned id = 0; id < size; id++)
        if (bytes[id] > (bh_console_has_control(console) ? BH_CONSOLE_TOLD_BITS : 0))
            return BH_ERR_PROTO;
    for (unsigned id = 0; id < size; id++)
        console->channels[id].last->told = bytes[id];
    catch_up(console);
    return BH_OK;
}

static void resized(struct bh_console_channel *channel)
{
    owe(channel, VIRTIO_CONSOLE_RESIZE);
}

const struct bh_console_multiport bh_console_multiport = {
    .control = control,
    .resized = resized,
    .catch_up = catch_up,
    .reset = reset,
    .save = save,
    .load = load,
};

/* --- Ports that come and go --- */

/* Not port 0's: what a console prints goes to the log when nobody looks. */
static void port_attached(struct bh_console_port *port, bool somebody)
{
    struct bh_console_channel *channel = port->user;

    if (channel->host_open == somebody)
        return;
    channel->host_open = somebody;
    owe(channel, VIRTIO_CONSOLE_PORT_OPEN);
}

int bh_console_add_port(struct bh_console *console, struct bh_console_port *port, const char *name)
{
    struct bh_console_channel *free_one = NULL;

    for (unsigned id = console->ports_max - 1u; id > 0; id--) {
        if (!console->channels[id].port)
            free_one = &console->channels[id];
    }
    if (!free_one)
        return BH_ERR_NOMEM;
    bh_console_connect(free_one, port, name);
    free_one->host_open = false;
    port->attached = port_attached;
    owe(free_one, VIRTIO_CONSOLE_DEVICE_ADD);
    port->writable(port); /* the queues may have been held for the want of it */
    return free_one->id;
}

void bh_console_remove_port(struct bh_console *console, struct bh_console_port *port)
{
    struct bh_console_channel *channel = port->user;

    BH_ASSERT(channel->console == console && channel->id != 0);
    channel->port = NULL;
    port->user = NULL;
    port->readable = port->writable = NULL;
    port->resized = NULL;
    port->attached = NULL;
    bh_console_give_up(channel, bh_console_queue(channel, VIRTIO_CONSOLE_TRANSMITQ));
    owe(channel, VIRTIO_CONSOLE_DEVICE_REMOVE);
}
