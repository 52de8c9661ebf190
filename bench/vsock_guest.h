/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's side of one vsock connection to a program of the host [virtio-1.4 5.10], as far as a load needs it:
 * packets out and in, and the credit of both directions. The program is this one too: it listens where the back-end
 * leads the guest's connections (HOST_PATH_PORT), and its end is a non-blocking descriptor.
 *
 * Threading: one thread.   Ownership: open takes nothing; close gives back what open made.
 * May block: open and connect, some seconds at most.
 */
#ifndef BENCH_VSOCK_GUEST_H
#define BENCH_VSOCK_GUEST_H

#include "bench/link.h"

enum { BENCH_VSOCK_BUFFERS = 128 };

struct bench_vsock {
    struct bench_link *link;
    uint32_t block;
    uint8_t *sent[BENCH_VSOCK_BUFFERS]; /* free buffers to send from */
    unsigned free_count;
    char path[116];     /* of the listening socket */
    int listener, host; /* -1: none */
    uint32_t port;      /* the guest's, of the connection */
    bool connected, ended;
    uint32_t tx_count, peer_alloc, peer_forwarded; /* credit, guest to host: free running counters */
    uint32_t forwarded, told;                      /* and host to guest */
    uint64_t received;                             /* bytes, by the guest */
};

/* Start the device's queues and listen. Codes as bench/link.h; BH_ERR_IO: the socket cannot be made. */
int bench_vsock_open(struct bench_vsock *vsock, struct bench_link *link,
                     const struct bench_case *one) BH_MUST_USE;
void bench_vsock_close(struct bench_vsock *vsock);

/* Ask for a connection; it stands once `connected` is set and accept has given the host's end. */
int bench_vsock_connect(struct bench_vsock *vsock) BH_MUST_USE;
/* The host's end of a connection that was asked for: true when it is there. */
bool bench_vsock_accept(struct bench_vsock *vsock);
/* Wait for both. BH_ERR_TIMEOUT, BH_ERR_CLOSED. */
int bench_vsock_establish(struct bench_vsock *vsock) BH_MUST_USE;

/* Take what came, give buffers back, answer for credit. BH_ERR_PROTO. */
int bench_vsock_pump(struct bench_vsock *vsock) BH_MUST_USE;
/* May a packet of `block` bytes be sent now, by credit and buffers? */
bool bench_vsock_may_send(const struct bench_vsock *vsock);
/* Send one; it may. */
int bench_vsock_send(struct bench_vsock *vsock) BH_MUST_USE;
/* Say that neither side is wanted any more: the device answers with an end. */
int bench_vsock_shut(struct bench_vsock *vsock) BH_MUST_USE;
/* Sleep or spin until something of the device's, or of the host's end, is to be done. */
int bench_vsock_rest(struct bench_vsock *vsock, short host_events) BH_MUST_USE;

#endif
