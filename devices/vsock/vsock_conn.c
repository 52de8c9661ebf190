/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of connections, their life, and the lists of those that have something for the guest.
 *
 * Theory of operation
 *   A connection is known by the guest's port and the other end's CID and port; a keyed hash leads to it, so that a
 * guest cannot make them all fall into one bucket. Connections and buckets are the caller's memory.
 *
 *   What is to be told to the guest is never queued as packets: control packets are bits in conn->due, of which each
 * stands for one packet whatever happened in between, and data stays with the port until there is a buffer of the
 * guest and credit for it. So a guest that gives no receive buffers costs no memory, and its transmit queue goes on.
 *
 *   A connection that has something is on one of two lists, each served first come, first served, and put back at its
 * end after each packet: control first, so that credit and ends never wait behind data, then data. One without
 * credit is on none, so that a reader that has stopped takes nothing from the others.
 */
#include "devices/vsock/vsock_impl.h"
#include <bulkhead/impl/class.h>

static uint32_t mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

static struct bh_vsock_conn **bucket_of(const struct bh_vsock *vsock, uint32_t guest_port, uint32_t peer_cid,
                                        uint32_t peer_port)
{
    uint32_t hash = mix(mix(mix(vsock->hash_seed ^ guest_port) ^ peer_port) ^ peer_cid);

    return &vsock->memory.buckets[hash & (vsock->memory.bucket_count - 1)];
}

void bh_vsock_table_init(struct bh_vsock *vsock)
{
    const struct bh_vsock_memory *memory = &vsock->memory;

    BH_ASSERT(memory->bucket_count > 0 && (memory->bucket_count & (memory->bucket_count - 1)) == 0);
    memset(memory->buckets, 0, memory->bucket_count * sizeof(struct bh_vsock_conn *));
    memset(memory->conns, 0, memory->conn_count * sizeof(*memory->conns));
    vsock->free = NULL;
    for (uint32_t i = memory->conn_count; i-- > 0;) {
        memory->conns[i].bucket_next = vsock->free;
        vsock->free = &memory->conns[i];
    }
}

struct bh_vsock_conn *bh_vsock_find(const struct bh_vsock *vsock, uint32_t guest_port, uint32_t peer_cid,
                                    uint32_t peer_port)
{
    struct bh_vsock_conn *conn = *bucket_of(vsock, guest_port, peer_cid, peer_port);

    while (conn &&
           (conn->guest_port != guest_port || conn->peer_port != peer_port || conn->peer_cid != peer_cid))
        conn = conn->bucket_next;
    return conn;
}

/* Killed in between, a record is not there rather than wrong. */
static void remember(struct bh_vsock *vsock, const struct bh_vsock_conn *conn)
{
    struct bh_vsock_lasting *record = vsock->last ? &vsock->last[conn - vsock->memory.conns] : NULL;

    if (!record)
        return;
    record->guest_port = conn->guest_port;
    record->peer_cid = conn->peer_cid;
    record->peer_port = conn->peer_port;
    bh_lasting_order();
    record->type = conn->type;
}

static void forget(struct bh_vsock *vsock, size_t index)
{
    if (vsock->last)
        vsock->last[index].type = 0;
    bh_lasting_order();
}

struct bh_vsock_conn *bh_vsock_add(struct bh_vsock *vsock, uint8_t type, uint32_t guest_port,
                                   uint32_t peer_cid, uint32_t peer_port)
{
    struct bh_vsock_conn **bucket = bucket_of(vsock, guest_port, peer_cid, peer_port);
    struct bh_vsock_conn *conn = vsock->free;

    if (!conn) {
        vsock->counters.table_full++;
        return NULL;
    }
    vsock->free = conn->bucket_next;
    *conn = (struct bh_vsock_conn){.guest_port = guest_port,
                                   .peer_cid = peer_cid,
                                   .peer_port = peer_port,
                                   .type = type,
                                   .bucket_next = *bucket};
    *bucket = conn;
    vsock->used_count++;
    remember(vsock, conn);
    return conn;
}

void bh_vsock_answered(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    if (conn->deadline)
        vsock->awaited--;
    conn->deadline = 0;
}

static void drop(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    struct bh_vsock_conn **at = bucket_of(vsock, conn->guest_port, conn->peer_cid, conn->peer_port);

    bh_vsock_answered(vsock, conn);
    bh_vsock_unlist(vsock, conn);
    while (*at != conn)
        at = &(*at)->bucket_next;
    *at = conn->bucket_next;
    conn->state = BH_VSOCK_FREE;
    conn->bucket_next = vsock->free;
    vsock->free = conn;
    vsock->used_count--;
}

void bh_vsock_drop(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    forget(vsock, (size_t)(conn - vsock->memory.conns));
    drop(vsock, conn);
}

void bh_vsock_drop_told(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    BH_ASSERT(vsock->told_count < BH_VSOCK_BATCH);
    vsock->told[vsock->told_count++] = (uint32_t)(conn - vsock->memory.conns);
    drop(vsock, conn);
}

void bh_vsock_forget_told(struct bh_vsock *vsock)
{
    while (vsock->told_count > 0)
        forget(vsock, vsock->told[--vsock->told_count]);
}

void bh_vsock_await(struct bh_vsock *vsock, struct bh_vsock_conn *conn, uint32_t seconds)
{
    bh_vsock_answered(vsock, conn);
    conn->deadline = vsock->ticks + seconds;
    if (conn->deadline == 0)
        conn->deadline = 1;
    if (vsock->awaited++ == 0)
        vsock->port->ops->want_ticks(vsock->port);
}

bool bh_vsock_tick(struct bh_vsock *vsock)
{
    vsock->ticks++;
    for (uint32_t i = 0; i < vsock->memory.conn_count && vsock->awaited; i++) {
        struct bh_vsock_conn *conn = &vsock->memory.conns[i];

        if (conn->state == BH_VSOCK_FREE || !conn->deadline || (int32_t)(vsock->ticks - conn->deadline) < 0)
            continue;
        vsock->counters.timeouts++;
        bool unheard = conn->due & BH_VSOCK_DUE_REQUEST; /* the guest does not know of it */
        bh_vsock_detach(vsock, conn, false);
        if (unheard)
            bh_vsock_drop(vsock, conn);
        else
            bh_vsock_resetting(vsock, conn);
    }
    return vsock->awaited > 0;
}

/* --- ends ------------------------------------------------------------------------------------------------- */

void bh_vsock_detach(struct bh_vsock *vsock, struct bh_vsock_conn *conn, bool deliver)
{
    if (conn->state == BH_VSOCK_ASKED || conn->state == BH_VSOCK_CONNECTING || conn->state == BH_VSOCK_OPEN)
        vsock->port->ops->close(vsock->port, conn, deliver);
    conn->user = NULL;
    conn->readable = false;
}

void bh_vsock_resetting(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    bh_vsock_answered(vsock, conn);
    conn->state = BH_VSOCK_RESETTING;
    conn->due = BH_VSOCK_DUE_RST;
    bh_vsock_list(vsock, conn);
}

void bh_vsock_violated(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    vsock->counters.protocol++;
    bh_vsock_detach(vsock, conn, false);
    bh_vsock_resetting(vsock, conn);
}

void bh_vsock_close_all(struct bh_vsock *vsock)
{
    for (uint32_t i = 0; i < vsock->memory.conn_count && vsock->used_count; i++) {
        struct bh_vsock_conn *conn = &vsock->memory.conns[i];

        if (conn->state == BH_VSOCK_FREE)
            continue;
        bh_vsock_detach(vsock, conn, false);
        bh_vsock_drop(vsock, conn);
    }
    vsock->stray_count = 0;
}

size_t bh_vsock_lasting_size(const struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct bh_vsock, dev)->memory.conn_count * sizeof(struct bh_vsock_lasting);
}

/*
 * A former process's connections are over: each becomes one here whose RST is due. What is read is outside data, copied
 * record by record; a connection takes a place at or before its record's, so none is written over unread.
 */
void bh_vsock_lasting(struct bh_device *dev, void *area, bool left)
{
    struct bh_vsock *vsock = BH_CONTAINER(dev, struct bh_vsock, dev);

    vsock->last = area;
    for (uint32_t i = 0; area && i < vsock->memory.conn_count; i++) {
        const struct bh_vsock_lasting record = vsock->last[i];

        vsock->last[i].type = 0;
        if (!left ||
            (record.type != VIRTIO_VSOCK_TYPE_STREAM && record.type != VIRTIO_VSOCK_TYPE_SEQPACKET) ||
            bh_vsock_find(vsock, record.guest_port, record.peer_cid, record.peer_port))
            continue;
        bh_vsock_resetting(vsock, bh_vsock_add(vsock, (uint8_t)record.type, record.guest_port,
                                               record.peer_cid, record.peer_port));
    }
}

/* --- who has something for the guest ---------------------------------------------------------------------- */

uint32_t bh_vsock_credit(const struct bh_vsock_conn *conn)
{
    uint32_t unread = conn->tx_cnt - conn->peer_fwd_cnt; /* both run freely; a guest that lies gets nothing */

    return unread < conn->peer_buf_alloc ? conn->peer_buf_alloc - unread : 0;
}

void bh_vsock_unlist(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    struct bh_vsock_queue *list = &vsock->lists[conn->list];

    if (conn->list == BH_VSOCK_NO_LIST)
        return;
    *(conn->prev ? &conn->prev->next : &list->first) = conn->next;
    *(conn->next ? &conn->next->prev : &list->last) = conn->prev;
    conn->next = conn->prev = NULL;
    conn->list = BH_VSOCK_NO_LIST;
    list->count--;
}

static enum bh_vsock_list list_of(struct bh_vsock_conn *conn)
{
    if (conn->state == BH_VSOCK_OPEN && conn->readable &&
        !(conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RECEIVE)) {
        if (bh_vsock_credit(conn) > 0) {
            conn->credit_asked = false;
            return conn->due ? BH_VSOCK_CONTROL : BH_VSOCK_DATA;
        }
        if (!conn->credit_asked)
            conn->due |= BH_VSOCK_DUE_CREDIT_REQUEST;
        conn->credit_asked = true;
    }
    return conn->due ? BH_VSOCK_CONTROL : BH_VSOCK_NO_LIST;
}

void bh_vsock_list(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    enum bh_vsock_list wanted = list_of(conn);
    struct bh_vsock_queue *list = &vsock->lists[wanted];

    if (conn->list == wanted)
        return;
    bh_vsock_unlist(vsock, conn);
    if (wanted == BH_VSOCK_NO_LIST)
        return;
    conn->list = (uint8_t)wanted;
    conn->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = conn;
    list->last = conn;
    list->count++;
    bh_device_queue_wake(&vsock->dev, &vsock->queues[VIRTIO_VSOCK_RX]);
}

void bh_vsock_due(struct bh_vsock *vsock, struct bh_vsock_conn *conn, uint8_t due)
{
    conn->due |= due;
    bh_vsock_list(vsock, conn);
}
