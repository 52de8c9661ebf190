/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of one connection: a socket that the guest's data goes to and comes from.
 *
 * Threading: the loop's thread.   Ownership: the caller's memory; fd, and what is kept, are the end's.
 * May block: no.
 */
#ifndef DEVICES_VSOCK_END_H
#define DEVICES_VSOCK_END_H

#include "devices/vsock/kept.h"
#include "devices/vsock/vsock.h"
#include <bulkhead/impl/loop.h>

/* How data lies on the socket. */
enum bh_vsock_form {
    BH_VSOCK_FORM_STREAM, /* as it is */
    BH_VSOCK_FORM_PACKET, /* SOCK_SEQPACKET: a message is a packet */
    BH_VSOCK_FORM_FRAMED, /* between siblings, seqpacket on a stream: struct bh_vsock_frame before each fragment */
};

struct bh_vsock_frame {
    bh_le32 len;
    bh_le32 flags; /* VIRTIO_VSOCK_SEQ_* */
};
_Static_assert(sizeof(struct bh_vsock_frame) == 8, "the siblings' own wire format");

struct bh_vsock_end {
    struct bh_vsock *vsock;
    struct bh_vsock_conn *conn; /* NULL: the class has let it go */
    int fd;
    struct bh_loop_fd watch;
    enum bh_vsock_form form;
    bool wants_read;   /* the class asked and there was nothing */
    bool blocked;      /* the socket takes no more: wait until it does */
    bool eof;          /* read to the end */
    bool hup;          /* the other end is gone; it is no longer watched */
    bool shut_due;     /* end the socket's sending direction when nothing is kept */
    bool message_open; /* PACKET: the last record kept has no end yet */
    struct bh_vsock_kept kept;
    size_t open_len;               /* PACKET: payload of that record */
    uint32_t head_left, body_left; /* FRAMED: of the frame at the head of what is kept */
    /* From the socket. */
    struct bh_vsock_frame frame; /* FRAMED: the one being read */
    uint32_t frame_have, frame_left;
    uint8_t *message; /* PACKET: one that did not fit, [message_at, message_len) is left */
    uint32_t message_len, message_at;
};

/* `conn` is open: data may go both ways. `watch` is added already. */
void bh_vsock_end_open(struct bh_vsock_end *end);
/* As the port's ops of the same names. */
int bh_vsock_end_write(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count, uint32_t len,
                       uint32_t flags);
int bh_vsock_end_read(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count, uint32_t room,
                      uint32_t *flags);
void bh_vsock_end_shutdown(struct bh_vsock_end *end, uint32_t flags);
/* The socket is ready, while the class has the connection. */
void bh_vsock_end_ready(struct bh_vsock_end *end, uint32_t events);
/* The class let it go; is there something to deliver? */
bool bh_vsock_end_lingers(struct bh_vsock_end *end);
/* The socket is ready, while it lingers. False: done, or in vain. */
bool bh_vsock_end_deliver(struct bh_vsock_end *end, uint32_t events);
/* Closes the socket. */
void bh_vsock_end_fini(struct bh_vsock_end *end);

#endif
