/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the class's own files share: the table of connections, and who waits for a receive buffer.
 *
 * Threading, Ownership, May block: as vsock.h.
 */
#ifndef DEVICES_VSOCK_VSOCK_IMPL_H
#define DEVICES_VSOCK_VSOCK_IMPL_H

#include "devices/vsock/vsock.h"
#include <bulkhead/impl/class.h>

/* vsock_conn.c */
void bh_vsock_table_init(struct bh_vsock *vsock);
struct bh_vsock_conn *bh_vsock_find(const struct bh_vsock *vsock, uint32_t guest_port, uint32_t peer_cid,
                                    uint32_t peer_port);
/* A connection that is on no list; NULL: the table is full. The addresses are not in use. */
struct bh_vsock_conn *bh_vsock_add(struct bh_vsock *vsock, uint8_t type, uint32_t guest_port,
                                   uint32_t peer_cid, uint32_t peer_port);
/* Forget it; the port is out already. */
void bh_vsock_drop(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
/* The same when its RST was written for the guest; the record of it goes with bh_vsock_forget_told, after the push. */
void bh_vsock_drop_told(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
void bh_vsock_forget_told(struct bh_vsock *vsock);
/* Take the port out: close it there, unless it is out already. */
void bh_vsock_detach(struct bh_vsock *vsock, struct bh_vsock_conn *conn, bool deliver);
/* The port is out, an RST is due. */
void bh_vsock_resetting(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
/* The guest broke the protocol: as before, and counted. */
void bh_vsock_violated(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
void bh_vsock_close_all(struct bh_vsock *vsock);
/* As bh_class.lasting_size and bh_class.lasting. */
size_t bh_vsock_lasting_size(const struct bh_device *dev);
void bh_vsock_lasting(struct bh_device *dev, void *area, bool left);
/* The guest must answer within `seconds`; it did. */
void bh_vsock_await(struct bh_vsock *vsock, struct bh_vsock_conn *conn, uint32_t seconds);
void bh_vsock_answered(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
/* Put it on the list where it belongs now, at its end, and wake the receive queue. */
void bh_vsock_list(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
void bh_vsock_unlist(struct bh_vsock *vsock, struct bh_vsock_conn *conn);
void bh_vsock_due(struct bh_vsock *vsock, struct bh_vsock_conn *conn, uint8_t due);
/*
 * A message that is larger than all of the guest's buffer, which it empties only when it has the whole of it: it will
 * never have room for the rest.
 */
bool bh_vsock_stuck(const struct bh_vsock_conn *conn);
/* Bytes that may be sent to the guest. */
uint32_t bh_vsock_credit(const struct bh_vsock_conn *conn);
static inline bool bh_vsock_rx_wanted(const struct bh_vsock *vsock)
{
    return vsock->stray_count || vsock->lists[BH_VSOCK_CONTROL].count || vsock->lists[BH_VSOCK_DATA].count;
}

/* vsock_tx.c, vsock_rx.c */
enum bh_ready bh_vsock_transmit(struct bh_vsock *vsock, struct bh_virtq *q, unsigned budget);
enum bh_ready bh_vsock_receive(struct bh_vsock *vsock, struct bh_virtq *q, unsigned budget);

#endif
