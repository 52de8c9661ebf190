/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See vsock_guest.h.
 */
#include "bench/vsock_guest.h"

#include "abi/virtio_vsock.h"
#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_SIZE  256u
#define HOST_PORT   5000u
#define FIRST_PORT  1024u
#define BUFFER      (256u << 10) /* what the host may send before the guest says that it took it */
#define HDR         VIRTIO_VSOCK_HDR_BYTES
#define PATIENCE_NS 5000000000ull

/* --- packets out --------------------------------------------------------------------------------------------- */

static int put_packet(struct bench_vsock *vsock, unsigned op, uint32_t flags, uint32_t len)
{
    struct bh_drv_buf piece;
    uint8_t *buffer;

    if (vsock->free_count == 0)
        return BH_ERR_AGAIN;
    buffer = vsock->sent[--vsock->free_count];
    const struct virtio_vsock_hdr hdr = {.src_cid = bh_le64_of(BENCH_VSOCK_CID),
                                         .dst_cid = bh_le64_of(VIRTIO_VSOCK_CID_HOST),
                                         .src_port = bh_le32_of(vsock->port),
                                         .dst_port = bh_le32_of(HOST_PORT),
                                         .len = bh_le32_of(len),
                                         .type = bh_le16_of(VIRTIO_VSOCK_TYPE_STREAM),
                                         .op = bh_le16_of((uint16_t)op),
                                         .flags = bh_le32_of(flags),
                                         .buf_alloc = bh_le32_of(BUFFER),
                                         .fwd_cnt = bh_le32_of(vsock->forwarded)};

    memcpy(buffer, &hdr, HDR);
    vsock->told = vsock->forwarded;
    piece = (struct bh_drv_buf){bh_drv_guest_addr(&vsock->link->guest, buffer), HDR + len};
    return bh_drv_ring_add(&vsock->link->queue[VIRTIO_VSOCK_TX].ring, &piece, 1, 0, buffer);
}

static int say(struct bench_vsock *vsock, unsigned op, uint32_t flags)
{
    const int err = put_packet(vsock, op, flags, 0);

    bench_link_kick(vsock->link, VIRTIO_VSOCK_TX);
    return err;
}

int bench_vsock_connect(struct bench_vsock *vsock)
{
    vsock->port = vsock->port == UINT32_MAX ? FIRST_PORT : vsock->port + 1;
    vsock->connected = vsock->ended = false;
    vsock->tx_count = vsock->peer_alloc = vsock->peer_forwarded = 0;
    vsock->forwarded = vsock->told = 0;
    return say(vsock, VIRTIO_VSOCK_OP_REQUEST, 0);
}

bool bench_vsock_may_send(const struct bench_vsock *vsock)
{
    /* one buffer stays for credit and ends */
    return vsock->free_count > 1 &&
           vsock->peer_alloc - (vsock->tx_count - vsock->peer_forwarded) >= vsock->block;
}

int bench_vsock_send(struct bench_vsock *vsock)
{
    vsock->tx_count += vsock->block;
    return put_packet(vsock, VIRTIO_VSOCK_OP_RW, 0, vsock->block);
}

int bench_vsock_shut(struct bench_vsock *vsock)
{
    return say(vsock, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_BOTH);
}

/* --- packets in ---------------------------------------------------------------------------------------------- */

static int receive_into(struct bench_vsock *vsock, void *buffer)
{
    const struct bh_drv_buf piece = {bh_drv_guest_addr(&vsock->link->guest, buffer), HDR + vsock->block};

    return bh_drv_ring_add(&vsock->link->queue[VIRTIO_VSOCK_RX].ring, &piece, 0, 1, buffer);
}

static int take_packet(struct bench_vsock *vsock, const uint8_t *buffer, uint32_t used)
{
    struct virtio_vsock_hdr hdr = {{0}};
    uint32_t len;

    if (used < HDR)
        return BH_ERR_PROTO;
    memcpy(&hdr, buffer, HDR);
    len = bh_le32_get(hdr.len);
    if (bh_le32_get(hdr.dst_port) != vsock->port)
        return BH_OK; /* of a connection before */
    vsock->peer_alloc = bh_le32_get(hdr.buf_alloc);
    vsock->peer_forwarded = bh_le32_get(hdr.fwd_cnt);
    switch (bh_le16_get(hdr.op)) {
    case VIRTIO_VSOCK_OP_RESPONSE: vsock->connected = true; break;
    case VIRTIO_VSOCK_OP_RST: vsock->ended = true; break;
    case VIRTIO_VSOCK_OP_RW:
        if (len > used - HDR)
            return BH_ERR_PROTO;
        vsock->received += len;
        vsock->forwarded += len;
        break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST: return say(vsock, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0);
    default: break;
    }
    return BH_OK;
}

int bench_vsock_pump(struct bench_vsock *vsock)
{
    struct bh_drv_ring *in = &vsock->link->queue[VIRTIO_VSOCK_RX].ring;
    unsigned count = 0;
    uint32_t len;
    void *token;
    int got = 0, err = BH_OK;

    while (!err && (got = bh_drv_ring_get(&vsock->link->queue[VIRTIO_VSOCK_TX].ring, &token, &len)) == 1)
        vsock->sent[vsock->free_count++] = token;
    while (got >= 0 && !err && count < QUEUE_SIZE && (got = bh_drv_ring_get(in, &token, &len)) == 1) {
        count++;
        err = take_packet(vsock, token, len);
        if (!err)
            err = receive_into(vsock, token);
    }
    if (count)
        bench_link_kick(vsock->link, VIRTIO_VSOCK_RX);
    if (got < 0)
        return got;
    if (!err && vsock->forwarded - vsock->told >= BUFFER / 2 && vsock->free_count)
        err = say(vsock, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0);
    return err;
}

int bench_vsock_rest(struct bench_vsock *vsock, short host_events)
{
    struct bench_link *link = vsock->link;

    link->extra_count = 0;
    if (vsock->host >= 0 && host_events)
        link->extra[link->extra_count++] = (struct pollfd){vsock->host, host_events, 0};
    else if (vsock->host < 0)
        link->extra[link->extra_count++] = (struct pollfd){vsock->listener, POLLIN, 0};
    return bench_link_rest(link, 1u << VIRTIO_VSOCK_RX | 1u << VIRTIO_VSOCK_TX);
}

/* --- beginning and end --------------------------------------------------------------------------------------- */

bool bench_vsock_accept(struct bench_vsock *vsock)
{
    if (vsock->host < 0)
        vsock->host = accept4(vsock->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return vsock->host >= 0;
}

int bench_vsock_establish(struct bench_vsock *vsock)
{
    const uint64_t since = bench_now();
    int err = bench_vsock_connect(vsock);

    while (!err && !bench_stopped) {
        err = bench_vsock_pump(vsock);
        if (!err && vsock->ended)
            err = BH_ERR_CLOSED;
        if (!err && bench_vsock_accept(vsock) && vsock->connected)
            return BH_OK;
        if (!err && bench_now() - since > PATIENCE_NS)
            err = BH_ERR_TIMEOUT;
        if (!err)
            err = bench_vsock_rest(vsock, 0);
    }
    return err ? err : BH_ERR_CANCELLED;
}

static int listen_for(struct bench_vsock *vsock)
{
    if ((size_t)snprintf(vsock->path, sizeof(vsock->path), "%s_%u", vsock->link->host_path, HOST_PORT) >=
        sizeof(vsock->path))
        return BH_ERR_RANGE;
    (void)unlink(vsock->path);
    vsock->listener = bh_unix_listen(vsock->path, SOCK_STREAM | SOCK_NONBLOCK, 64, 0);
    if (vsock->listener < 0)
        return errno == ENAMETOOLONG ? BH_ERR_RANGE : BH_ERR_IO;
    return BH_OK;
}

int bench_vsock_open(struct bench_vsock *vsock, struct bench_link *link, const struct bench_case *one)
{
    struct bh_features extra = {{0}};
    int err;

    *vsock = (struct bench_vsock){
        .link = link, .block = one->block, .listener = -1, .host = -1, .port = FIRST_PORT - 1};
    bh_features_set(&extra, VIRTIO_VSOCK_F_STREAM);
    err = bench_link_start(link, one, extra, 3, QUEUE_SIZE);
    for (unsigned i = 0; i < BENCH_VSOCK_BUFFERS && !err; i++) {
        void *in = bh_drv_guest_alloc(&link->guest, HDR + one->block, 64, NULL);
        uint8_t *out = bh_drv_guest_alloc(&link->guest, HDR + one->block, 64, NULL);

        if (!in || !out)
            return BH_ERR_NOMEM;
        vsock->sent[vsock->free_count++] = memset(out, 'v', HDR + one->block);
        err = receive_into(vsock, in);
    }
    if (!err)
        bench_link_kick(link, VIRTIO_VSOCK_RX);
    return err ? err : listen_for(vsock);
}

void bench_vsock_close(struct bench_vsock *vsock)
{
    if (vsock->host >= 0)
        close(vsock->host);
    if (vsock->listener >= 0)
        close(vsock->listener);
    if (vsock->path[0])
        (void)unlink(vsock->path);
}
