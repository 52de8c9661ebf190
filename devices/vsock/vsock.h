/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket class [virtio-1.4 5.10]: a guest's connections, their credit, and the packets that carry them.
 *
 * Threading: as device.h; the port lives on the thread of the queues.
 * Ownership: the caller's memory, connections too; the port outlives the device.   May block: no.
 */
#ifndef DEVICES_VSOCK_VSOCK_H
#define DEVICES_VSOCK_VSOCK_H

#include "abi/virtio_vsock.h"
#include "devices/vsock/port.h"
#include <bulkhead/device.h>

#define BH_VSOCK_QUEUES 3u
#define BH_VSOCK_BATCH  16u  /* chains taken at once from a queue */
#define BH_VSOCK_SEGS   132u /* segments of the largest chain: as long as an ordinary queue */
#define BH_VSOCK_STRAYS 64u  /* RST replies that wait for a receive buffer and belong to no connection */
/* Payload of the largest packet that goes to the guest. */
#define BH_VSOCK_PACKET_MAX 65536u

enum bh_vsock_state {
    BH_VSOCK_FREE,
    BH_VSOCK_ASKED,      /* the other end asked: REQUEST is due or sent, the guest's answer is awaited */
    BH_VSOCK_CONNECTING, /* the guest asked, the port is connecting */
    BH_VSOCK_OPEN,
    BH_VSOCK_CLOSING, /* told the guest that both directions are over: its RST is awaited. The port is out */
    BH_VSOCK_RESETTING, /* RST is due. The port is out */
};

/* Control packets that wait for a receive buffer: bits of bh_vsock_conn.due, sent lowest first. */
enum bh_vsock_due {
    BH_VSOCK_DUE_RST = 1,
    BH_VSOCK_DUE_REQUEST = 2,
    BH_VSOCK_DUE_RESPONSE = 4,
    BH_VSOCK_DUE_CREDIT_UPDATE = 8,
    BH_VSOCK_DUE_CREDIT_REQUEST = 16,
    BH_VSOCK_DUE_SHUTDOWN = 32,
};

/* Which list of the device a connection is on. */
enum bh_vsock_list { BH_VSOCK_NO_LIST, BH_VSOCK_CONTROL, BH_VSOCK_DATA, BH_VSOCK_LISTS };

struct bh_vsock_conn {
    void *user; /* the port's */
    uint32_t guest_port, peer_cid, peer_port;
    uint8_t type;  /* VIRTIO_VSOCK_TYPE_* */
    uint8_t state; /* enum bh_vsock_state */
    uint8_t due;
    uint8_t list;
    uint8_t guest_shut; /* VIRTIO_VSOCK_SHUTDOWN_*, as the guest said */
    uint8_t peer_shut;  /* the same of the other end, as we tell the guest */
    bool readable;      /* the port has data for the guest */
    bool credit_asked;  /* CREDIT_REQUEST was sent since credit ran out */
    /* To the guest: payload bytes sent, and its view of its buffer. */
    uint32_t tx_cnt, peer_buf_alloc, peer_fwd_cnt;
    uint32_t unfinished; /* bytes sent of a message whose end is not sent; stops counting at 2^31 */
    /* From the guest: payload bytes that came, went on, and were last told to have gone on. */
    uint32_t rx_cnt, fwd_cnt, fwd_told;
    uint32_t deadline;                 /* ASKED, CLOSING: tick by which the guest must have answered */
    struct bh_vsock_conn *bucket_next; /* next in its bucket, or free one */
    struct bh_vsock_conn *next, *prev; /* on its list */
};

struct bh_vsock_counters {
    uint64_t opened_by_guest, opened_by_peer;
    uint64_t refused;                 /* the guest asked and was told no */
    uint64_t resets_sent;             /* RST packets */
    uint64_t resets_received;         /* RST packets of the guest that ended a connection */
    uint64_t table_full;              /* connections that found no room */
    uint64_t timeouts;                /* the guest did not answer in time */
    uint64_t packets_out, packets_in; /* of the guest, to the guest */
    uint64_t bytes_out, bytes_in;     /* payload, likewise */
    uint64_t malformed;               /* packets dropped: no whole header, or a length that is not there */
    uint64_t foreign;                 /* packets dropped: not of the guest's CID */
    uint64_t protocol;                /* connections reset since the guest broke the protocol */
    uint64_t credit_overrun;          /* of those: sent more than there was room for */
    uint64_t held;                    /* times the transmit queue waited for receive buffers */
};

/* A reply to a packet of no connection. */
struct bh_vsock_stray {
    uint32_t guest_port, peer_cid, peer_port;
    uint16_t type;
};

/*
 * A connection that the guest may know of, in memory that outlives the process (bh_class.lasting), one for each of the
 * table. A successor tells the guest of the end of each, also where it has no event queue to do so.
 */
struct bh_vsock_lasting {
    uint32_t guest_port, peer_cid, peer_port;
    uint32_t type; /* 0: none. Written last, and cleared first */
};

/* The connections' memory: `conns` of conn_count, `buckets` of a power of 2. */
struct bh_vsock_memory {
    struct bh_vsock_conn *conns;
    uint32_t conn_count;
    struct bh_vsock_conn **buckets;
    uint32_t bucket_count;
};

struct bh_vsock_setup {
    uint32_t guest_cid; /* VIRTIO_VSOCK_CID_MIN to _MAX */
    uint32_t buf_alloc; /* bytes that the port may have to keep for a connection */
    bool seqpacket;     /* offer it */
};

struct bh_vsock_queue {
    struct bh_vsock_conn *first, *last;
    uint32_t count;
};

struct bh_vsock {
    struct bh_device dev;
    struct bh_virtq queues[BH_VSOCK_QUEUES];
    struct virtio_vsock_config config;
    struct bh_vsock_port *port;
    struct bh_vsock_setup setup;
    struct bh_vsock_memory memory;
    struct bh_vsock_conn *free;
    struct bh_vsock_lasting *last; /* conn_count of them; NULL: none */
    /* Records of connections whose RST lies in a buffer that is not given back yet: killed now, it is to be sent again. */
    uint32_t told[BH_VSOCK_BATCH];
    uint32_t told_count;
    uint32_t used_count;
    uint32_t awaited; /* connections with a deadline */
    uint32_t ticks;
    uint32_t hash_seed;
    bool reset_due; /* TRANSPORT_RESET is to be told */
    bool tx_held;   /* the transmit queue waits for room among the strays */
    struct bh_vsock_queue lists[BH_VSOCK_LISTS];
    struct bh_vsock_stray strays[BH_VSOCK_STRAYS];
    uint32_t stray_first, stray_count;
    struct bh_vsock_counters counters;
};

/*
 * `queues`: memory for each queue, with room for BH_VSOCK_BATCH chains of BH_VSOCK_SEGS segments at least.
 * `hash_seed`: a number that the guest cannot guess.
 */
void bh_vsock_init(struct bh_vsock *vsock, struct bh_mem *mem, const struct bh_virtq_memory *queues,
                   const struct bh_vsock_memory *memory, struct bh_vsock_port *port,
                   const struct bh_vsock_setup *setup, uint32_t hash_seed);

/*
 * The device goes on in another process or on another machine: what was connected no longer is. Every connection is
 * closed, and the guest is told (TRANSPORT_RESET) as soon as it gives an event buffer; new ones may be made at once.
 */
void bh_vsock_transport_reset(struct bh_vsock *vsock);

/* --- What the port tells. None frees `conn` unless it says so. ---------------------------------------------- */

/*
 * The other end asks for a port of the guest. NULL: the guest is not up, the table is full, or the pair of addresses
 * is in use. The answer is ops->accepted or ops->close.
 */
struct bh_vsock_conn *bh_vsock_open(struct bh_vsock *vsock, uint8_t type, uint32_t guest_port,
                                    uint32_t peer_cid, uint32_t peer_port, void *user);
/* ops->connect said PENDING, and now it is connected. */
void bh_vsock_connected(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
/* It cannot be connected, or failed: the guest gets an RST. The port has nothing to do with it any more, close is
 * not called. */
void bh_vsock_reset(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
/* There is something to read for the guest. */
void bh_vsock_readable(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
/* `len` bytes of what the guest wrote went on, or were dropped as nobody takes them. */
void bh_vsock_forwarded(struct bh_vsock *vsock, struct bh_vsock_conn *conn, uint32_t len);
/* The other end will not send or receive any more (VIRTIO_VSOCK_SHUTDOWN_*); all that it sent was read. */
void bh_vsock_end(struct bh_vsock *vsock, struct bh_vsock_conn *conn, uint32_t flags);
/* A second has passed. False: not needed any more, until ops->want_ticks. */
bool bh_vsock_tick(struct bh_vsock *vsock);

#endif
