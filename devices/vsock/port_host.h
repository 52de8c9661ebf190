/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the host's port share: its sockets, one a connection, from the first byte to the last.
 *
 * Threading, Ownership, May block: as ports.h.
 */
#ifndef DEVICES_VSOCK_PORT_HOST_H
#define DEVICES_VSOCK_PORT_HOST_H

#include "devices/vsock/end.h"
#include "devices/vsock/hello.h"
#include "devices/vsock/ports.h"

/* Where a socket stands. */
enum bh_vsock_step {
    BH_VSOCK_HELLO,      /* it came in: its line is awaited. No connection yet */
    BH_VSOCK_WAIT_GUEST, /* the guest was asked */
    BH_VSOCK_RETRY,      /* the guest asked, but the listener's queue was full: no socket yet */
    BH_VSOCK_DIALLING,   /* the kernel is connecting it */
    BH_VSOCK_GREETED,    /* a sibling was asked for its guest */
    BH_VSOCK_CONNECTED,
    BH_VSOCK_DELIVER, /* the class let it go, something is still to be written */
};

struct bh_vsock_call {
    struct bh_vsock_end end;
    struct bh_vsock_host *host;
    enum bh_vsock_step step;
    uint32_t peer_cid;
    int type;      /* of the socket: SOCK_STREAM or SOCK_SEQPACKET */
    unsigned left; /* RETRY: tries */
    struct bh_loop_timer timer;
    char line[BH_VSOCK_LINE_MAX];
    unsigned line_len;
    struct bh_vsock_call *next, *prev;
};

struct bh_vsock_listener {
    struct bh_vsock_host *host;
    struct bh_loop_fd watch;
    int fd;
    int type;
    uint32_t peer_cid;     /* who asks: VIRTIO_VSOCK_CID_HOST or a sibling */
    uint32_t forward_port; /* AF_VSOCK: leads to this port of the guest; 0: a line says where to */
    char *path;            /* to be removed; NULL: none */
};

struct bh_vsock_host {
    struct bh_vsock_port port;
    struct bh_loop *loop;
    struct bh_diag_sink *sink;
    struct bh_vsock_host_setup setup;
    struct bh_vsock_listener *listeners;
    size_t listener_count;
    struct bh_vsock_call *first, *last;
    uint32_t call_count, deliver_count;
    uint32_t next_port; /* of the host's side of connections to the guest */
    struct bh_loop_timer tick, pause;
};

/* port_host.c. A call without a socket (fd -1), or NULL: no room, no memory. */
struct bh_vsock_call *bh_vsock_call_new(struct bh_vsock_host *host, uint32_t peer_cid, int type);
/* Watch its socket. False: it cannot be. */
bool bh_vsock_call_watch(struct bh_vsock_call *call, int fd, uint32_t wanted);
void bh_vsock_call_free(struct bh_vsock_call *call);
/* The connection cannot be: the guest is told, if it has heard of it. */
void bh_vsock_call_fail(struct bh_vsock_call *call);

/* port_host_in.c: what comes in, and the lines. */
int bh_vsock_listen(struct bh_vsock_host *host);
void bh_vsock_unlisten(struct bh_vsock_host *host);
void bh_vsock_call_hello(struct bh_vsock_call *call);
/* Read on the line. 1: it is whole; 0: wait for more; negative: it will not come. */
int bh_vsock_call_line(struct bh_vsock_call *call);
int bh_vsock_call_say(const struct bh_vsock_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
