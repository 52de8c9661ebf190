/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device [virtio-1.4 5.10]. The host's side of a connection is ours too, as a Unix socket beside the one that
 * the device is given (--host-path=PATH, or --scratch=host-path:name): PATH_5000.
 */
#include "abi/virtio_vsock.h"
#include "devices/vsock/vsock_host.h"
#include "tests/conformance/conf.h"

#include <bulkhead/impl/unix_socket.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX         VIRTIO_VSOCK_RX
#define TX         VIRTIO_VSOCK_TX
#define HDR        VIRTIO_VSOCK_HDR_BYTES
#define HOST       VIRTIO_VSOCK_CID_HOST
#define RX_BYTES   600u
#define GUEST_PORT 1000u
#define HOST_PORT  5000u
#define BOTH       VIRTIO_VSOCK_SHUTDOWN_BOTH

static const struct bh_features class_features = {
    {1u << VIRTIO_VSOCK_F_STREAM | 1u << VIRTIO_VSOCK_F_SEQPACKET | 1u << VIRTIO_VSOCK_F_NO_IMPLIED_STREAM, 0,
     0, 0}};

struct packet {
    struct virtio_vsock_hdr hdr;
    uint16_t op;
    uint32_t len;
    uint8_t data[RX_BYTES];
};

static uint64_t guest_cid(struct conf *conf)
{
    struct virtio_vsock_config config = {{0}};

    conf_config_read(conf, 0, &config, sizeof(config));
    return bh_le64_get(config.guest_cid);
}

static struct virtio_vsock_hdr header(uint64_t cid, enum virtio_vsock_op op, uint32_t guest_port,
                                      uint32_t host_port)
{
    return (struct virtio_vsock_hdr){.src_cid = bh_le64_of(cid),
                                     .dst_cid = bh_le64_of(HOST),
                                     .src_port = bh_le32_of(guest_port),
                                     .dst_port = bh_le32_of(host_port),
                                     .type = bh_le16_of(VIRTIO_VSOCK_TYPE_STREAM),
                                     .op = bh_le16_of((uint16_t)op),
                                     .buf_alloc = bh_le32_of(65536)};
}

/* Send it with `len` bytes behind it, cut behind `cut` bytes of the whole (0: one piece). */
static void send_cut(struct conf *conf, const struct virtio_vsock_hdr *hdr, const void *data, uint32_t len,
                     uint32_t cut)
{
    struct virtio_vsock_hdr filled = *hdr;
    uint8_t *bytes = conf_alloc(conf, HDR + len);
    struct bh_drv_buf bufs[2] = {conf_buf(conf, bytes, cut), conf_buf(conf, bytes + cut, HDR + len - cut)};
    uint32_t used;

    filled.len = bh_le32_of(len);
    memcpy(bytes, &filled, HDR);
    if (len)
        memcpy(bytes + HDR, data, len);
    if (cut == 0)
        bufs[0] = bufs[1];
    conf_submit(conf, TX, bufs, cut ? 2 : 1, 0, bytes);
    CONF_CHECK(conf, conf_wait(conf, TX, &used) == bytes);
    CONF_SAME(conf, used, 0);
}

static void send_packet(struct conf *conf, const struct virtio_vsock_hdr *hdr)
{
    send_cut(conf, hdr, NULL, 0, 0);
}

static void give(struct conf *conf, uint8_t *bytes)
{
    struct bh_drv_buf bufs[2] = {conf_buf(conf, bytes, HDR), conf_buf(conf, bytes + HDR, RX_BYTES - HDR)};
    conf_submit(conf, RX, bufs, 0, 2, bytes);
}

static void give_receive_buffers(struct conf *conf, unsigned count)
{
    while (count-- > 0)
        give(conf, conf_alloc(conf, RX_BYTES));
}

static struct packet next_packet(struct conf *conf)
{
    struct packet packet;
    uint32_t used;
    uint8_t *bytes = conf_wait(conf, RX, &used);

    CONF_CHECK(conf, used >= HDR && used <= RX_BYTES);
    memcpy(&packet.hdr, bytes, HDR);
    packet.op = bh_le16_get(packet.hdr.op);
    packet.len = bh_le32_get(packet.hdr.len);
    CONF_SAME(conf, packet.len, used - HDR);
    memcpy(packet.data, bytes + HDR, packet.len);
    CONF_SAME(conf, bh_le64_get(packet.hdr.src_cid), HOST);
    give(conf, bytes);
    return packet;
}

static struct packet expect(struct conf *conf, enum virtio_vsock_op op, uint32_t guest_port)
{
    struct packet packet = next_packet(conf);

    CONF_SAME(conf, packet.op, op);
    CONF_SAME(conf, bh_le32_get(packet.hdr.dst_port), guest_port);
    return packet;
}

/* An RST of no connection asks for no answer. */
static void ping(struct conf *conf)
{
    struct virtio_vsock_hdr hdr = header(3, VIRTIO_VSOCK_OP_RST, GUEST_PORT, 1);

    conf_recycle(conf);
    send_packet(conf, &hdr);
}

/* --- without a connection --------------------------------------------------------------------------------- */

static void guest_cid_is_not_reserved(struct conf *conf)
{
    uint64_t cid = guest_cid(conf);

    CONF_CHECK(conf, cid >= VIRTIO_VSOCK_CID_MIN && cid <= VIRTIO_VSOCK_CID_MAX);
}

static void no_implied_stream_is_offered(struct conf *conf)
{
    struct bh_features offered = conf->side->ops->offered(conf->side);

    if (!bh_features_has(&offered, VIRTIO_VSOCK_F_NO_IMPLIED_STREAM))
        conf_fail(conf, "NO_IMPLIED_STREAM is not offered, as it should be");
}

static void unknown_type_is_answered_by_rst(struct conf *conf)
{
    conf_up(conf, 32, &class_features);
    struct virtio_vsock_hdr hdr = header(guest_cid(conf), VIRTIO_VSOCK_OP_REQUEST, GUEST_PORT, HOST_PORT);
    give_receive_buffers(conf, 4);
    for (unsigned type = 3; type < 7; type++) {
        hdr.type = bh_le16_of((uint16_t)(type == 6 ? 0xffff : type));
        send_packet(conf, &hdr);
        (void)expect(conf, VIRTIO_VSOCK_OP_RST, GUEST_PORT);
    }
}

static void request_to_nobody_is_answered_by_rst(struct conf *conf)
{
    conf_up(conf, 32, NULL); /* no type was negotiated: stream all the same */
    struct virtio_vsock_hdr hdr = header(guest_cid(conf), VIRTIO_VSOCK_OP_REQUEST, GUEST_PORT, 59999);
    give_receive_buffers(conf, 4);
    send_packet(conf, &hdr);
    struct packet packet = expect(conf, VIRTIO_VSOCK_OP_RST, GUEST_PORT);
    CONF_SAME(conf, bh_le32_get(packet.hdr.src_port), 59999);
}

/* The specification is silent about it, and so may a stranger be. */
static void packet_of_no_connection_is_answered_by_rst(struct conf *conf)
{
    uint32_t len;
    void *bytes;

    conf_up(conf, 32, NULL);
    struct virtio_vsock_hdr hdr = header(guest_cid(conf), VIRTIO_VSOCK_OP_RW, GUEST_PORT, HOST_PORT);
    give_receive_buffers(conf, 4);
    send_cut(conf, &hdr, "data", 4, 0);
    if (!conf_comes(conf, RX, conf->patience_ms, &bytes, &len)) {
        if (conf->plan->connect)
            conf_skip(conf, "it drops what belongs to no connection");
        conf_fail(conf, "no answer");
    }
    CONF_SAME(conf, bh_le16_get(((struct virtio_vsock_hdr *)bytes)->op), VIRTIO_VSOCK_OP_RST);
    hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_RST);
    send_packet(conf, &hdr);
    conf_quiet(conf, RX, 20);
}

/* Each asks for an answer, and there is no buffer to put it in. */
static void send_requests_to_nobody(struct conf *conf, unsigned count)
{
    struct virtio_vsock_hdr hdr = header(guest_cid(conf), VIRTIO_VSOCK_OP_REQUEST, 0, 59999);

    for (unsigned i = 0; i < count; i++) {
        hdr.src_port = bh_le32_of(i);
        send_packet(conf, &hdr);
    }
}

static void transmit_goes_on_without_receive_buffers(struct conf *conf)
{
    conf_up(conf, 32, NULL);
    send_requests_to_nobody(conf, 24);
}

static void answers_wait_for_receive_buffers(struct conf *conf)
{
    conf_up(conf, 32, NULL);
    send_requests_to_nobody(conf, 24);
    give_receive_buffers(conf, 4);
    for (unsigned i = 0; i < 24; i++)
        (void)expect(conf, VIRTIO_VSOCK_OP_RST, i);
}

/* It is left open what becomes of their buffers; what comes after them is served. */
static void broken_headers_do_no_harm(struct conf *conf)
{
    uint32_t len;
    void *token;

    conf_up(conf, 32, &class_features);
    struct virtio_vsock_hdr hdr = header(guest_cid(conf), VIRTIO_VSOCK_OP_RW, GUEST_PORT, HOST_PORT);
    uint8_t *bytes = conf_alloc(conf, HDR);
    struct bh_drv_buf buf = conf_buf(conf, bytes, HDR - 1);

    hdr.len = bh_le32_of(UINT32_MAX);
    memcpy(bytes, &hdr, HDR);
    for (unsigned i = 0; i < 2; i++, buf.len++) {
        conf_submit(conf, TX, &buf, 1, 0, bytes);
        if (conf_comes(conf, TX, conf->patience_ms, &token, &len))
            CONF_CHECK(conf, token == bytes);
        else
            CONF_CHECK(conf, conf->plan->connect != NULL);
    }
    hdr = header(guest_cid(conf), VIRTIO_VSOCK_OP_RST, GUEST_PORT, 59999);
    send_packet(conf, &hdr);
}

/* --- with one --------------------------------------------------------------------------------------------- */

struct host {
    int listener, fd;
    char path[108];
};

/* The host's program that the guest will connect to. */
static struct host host_listen(struct conf *conf, int type)
{
    struct host host = {.fd = -1};

    if (!conf->plan->host_path)
        conf_skip(conf, "nowhere to listen for the guest: --host-path=PATH");
    CONF_CHECK(conf, (size_t)snprintf(host.path, sizeof(host.path), "%s_%u", conf->plan->host_path,
                                      HOST_PORT) < sizeof(host.path));
    unlink(host.path);
    host.listener = bh_unix_listen(host.path, type, 4, 0);
    CONF_CHECK(conf, host.listener >= 0);
    return host;
}

static void host_close(struct host *host)
{
    if (host->fd >= 0)
        close(host->fd);
    close(host->listener);
    unlink(host->path);
}

/* Let the device work until there is something to read. */
static void wait_readable(struct conf *conf, int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    for (int waited = 0; poll(&poll_fd, 1, 0) == 0; waited += 5) {
        CONF_CHECK(conf, waited < conf->patience_ms);
        CONF_SAME(conf, conf->side->ops->wait(conf->side, 5), BH_OK);
    }
}

static struct virtio_vsock_hdr host_connect(struct conf *conf, struct host *host, uint16_t type)
{
    struct virtio_vsock_hdr hdr = header(guest_cid(conf), VIRTIO_VSOCK_OP_REQUEST, GUEST_PORT, HOST_PORT);

    give_receive_buffers(conf, 8);
    hdr.type = bh_le16_of(type);
    hdr.buf_alloc = bh_le32_of(1000);
    send_packet(conf, &hdr);
    struct packet packet = expect(conf, VIRTIO_VSOCK_OP_RESPONSE, GUEST_PORT);
    CONF_CHECK(conf, bh_le32_get(packet.hdr.buf_alloc) > 0);
    CONF_SAME(conf, bh_le32_get(packet.hdr.fwd_cnt), 0);
    CONF_SAME(conf, bh_le16_get(packet.hdr.type), type);
    wait_readable(conf, host->listener);
    host->fd = accept(host->listener, NULL, NULL);
    CONF_CHECK(conf, host->fd >= 0);
    hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_RW);
    return hdr;
}

static void data_arrives_however_it_is_cut(struct conf *conf)
{
    static const uint32_t cuts[] = {0, 1, 43, 44, 45, 90};
    struct host host = host_listen(conf, SOCK_STREAM);
    char data[100], heard[100];

    conf_up(conf, 32, &class_features);
    struct virtio_vsock_hdr hdr = host_connect(conf, &host, VIRTIO_VSOCK_TYPE_STREAM);
    for (unsigned i = 0; i < BH_COUNT(cuts); i++) {
        memset(data, (int)('a' + i), sizeof(data));
        send_cut(conf, &hdr, data, sizeof(data), cuts[i]);
        wait_readable(conf, host.fd);
        CONF_SAME(conf, recv(host.fd, heard, sizeof(heard), MSG_WAITALL), sizeof(heard));
        CONF_CHECK(conf, memcmp(data, heard, sizeof(heard)) == 0);
    }
    hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    send_packet(conf, &hdr);
    struct packet packet = expect(conf, VIRTIO_VSOCK_OP_CREDIT_UPDATE, GUEST_PORT);
    CONF_SAME(conf, bh_le32_get(packet.hdr.fwd_cnt), BH_COUNT(cuts) * sizeof(data));
    host_close(&host);
}

static void data_is_sent_as_far_as_there_is_room(struct conf *conf)
{
    struct host host = host_listen(conf, SOCK_STREAM);
    static char data[3000];
    uint32_t got = 0, asked = 0;

    conf_up(conf, 32, &class_features);
    struct virtio_vsock_hdr hdr = host_connect(conf, &host, VIRTIO_VSOCK_TYPE_STREAM);
    CONF_SAME(conf, send(host.fd, data, sizeof(data), 0), sizeof(data));
    for (uint32_t room = 1000; room <= sizeof(data); room += 1000) {
        while (got < room) {
            struct packet packet = next_packet(conf);
            asked += packet.op == VIRTIO_VSOCK_OP_CREDIT_REQUEST;
            got += packet.op == VIRTIO_VSOCK_OP_RW ? packet.len : 0;
        }
        CONF_SAME(conf, got, room); /* never more than buf_alloc is unread */
        hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_CREDIT_UPDATE);
        hdr.fwd_cnt = bh_le32_of(got);
        send_packet(conf, &hdr);
    }
    CONF_CHECK(conf, asked <= 3);
    host_close(&host);
}

static void half_closed_connection_goes_on_the_other_way(struct conf *conf)
{
    struct host host = host_listen(conf, SOCK_STREAM);
    char heard[8];

    conf_up(conf, 32, &class_features);
    struct virtio_vsock_hdr hdr = host_connect(conf, &host, VIRTIO_VSOCK_TYPE_STREAM);
    send_cut(conf, &hdr, "last", 4, 0);
    hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_SHUTDOWN);
    hdr.flags = bh_le32_of(VIRTIO_VSOCK_SHUTDOWN_SEND);
    send_packet(conf, &hdr);
    wait_readable(conf, host.fd);
    CONF_SAME(conf, recv(host.fd, heard, 4, MSG_WAITALL), 4);
    if (!conf->plan->connect) { /* what a host's program sees of it is not the specification's matter */
        wait_readable(conf, host.fd);
        CONF_SAME(conf, recv(host.fd, heard, sizeof(heard), 0), 0);
    }
    CONF_SAME(conf, send(host.fd, "more", 4, 0), 4);
    CONF_SAME(conf, expect(conf, VIRTIO_VSOCK_OP_RW, GUEST_PORT).len, 4);
    host_close(&host);
}

static void clean_disconnect_ends_with_rst(struct conf *conf)
{
    struct host host = host_listen(conf, SOCK_STREAM);

    conf_up(conf, 32, &class_features);
    struct virtio_vsock_hdr hdr = host_connect(conf, &host, VIRTIO_VSOCK_TYPE_STREAM);
    hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_SHUTDOWN);
    hdr.flags = bh_le32_of(BOTH);
    send_packet(conf, &hdr);
    (void)expect(conf, VIRTIO_VSOCK_OP_RST, GUEST_PORT);
    host_close(&host);
}

static void shutdown_hints_are_permanent(struct conf *conf)
{
    struct host host = host_listen(conf, SOCK_STREAM);

    conf_up(conf, 32, &class_features);
    struct virtio_vsock_hdr hdr = host_connect(conf, &host, VIRTIO_VSOCK_TYPE_STREAM);
    hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_SHUTDOWN);
    hdr.flags = bh_le32_of(VIRTIO_VSOCK_SHUTDOWN_SEND);
    send_packet(conf, &hdr);
    hdr.flags = bh_le32_of(VIRTIO_VSOCK_SHUTDOWN_RECEIVE); /* SEND stays said */
    send_packet(conf, &hdr);
    (void)expect(conf, VIRTIO_VSOCK_OP_RST, GUEST_PORT);
    host_close(&host);
}

static void end_of_the_other_side_is_told(struct conf *conf)
{
    struct host host = host_listen(conf, SOCK_STREAM);
    uint32_t told = 0;

    conf_up(conf, 32, &class_features);
    struct virtio_vsock_hdr hdr = host_connect(conf, &host, VIRTIO_VSOCK_TYPE_STREAM);
    host_close(&host);
    while (told != BOTH) {
        struct packet packet = expect(conf, VIRTIO_VSOCK_OP_SHUTDOWN, GUEST_PORT);
        told |= bh_le32_get(packet.hdr.flags) & BOTH;
    }
    hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_RST);
    send_packet(conf, &hdr);
    conf_quiet(conf, RX, 20);
}

static void message_ends_are_kept(struct conf *conf)
{
    struct host host = host_listen(conf, SOCK_SEQPACKET);
    struct bh_features offered = conf->side->ops->offered(conf->side);
    char data[1000] = {0}, heard[1000];
    uint32_t got = 0;

    if (!bh_features_has(&offered, VIRTIO_VSOCK_F_SEQPACKET))
        conf_skip(conf, "SEQPACKET is not offered");
    conf_up(conf, 32, &class_features);
    struct virtio_vsock_hdr hdr = host_connect(conf, &host, VIRTIO_VSOCK_TYPE_SEQPACKET);
    send_cut(conf, &hdr, "one ", 4, 0);
    hdr.flags = bh_le32_of(VIRTIO_VSOCK_SEQ_EOM);
    send_cut(conf, &hdr, "message", 7, 0);
    send_cut(conf, &hdr, "another", 7, 0);
    wait_readable(conf, host.fd);
    CONF_SAME(conf, recv(host.fd, heard, sizeof(heard), 0), 11);
    wait_readable(conf, host.fd);
    CONF_SAME(conf, recv(host.fd, heard, sizeof(heard), 0), 7);
    CONF_SAME(conf, send(host.fd, data, sizeof(data), 0), sizeof(data)); /* longer than a buffer of ours */
    while (got < sizeof(data)) {
        struct packet packet = expect(conf, VIRTIO_VSOCK_OP_RW, GUEST_PORT);
        got += packet.len;
        CONF_SAME(conf, bh_le32_get(packet.hdr.flags) & VIRTIO_VSOCK_SEQ_EOM, got == sizeof(data));
    }
    host_close(&host);
}

static const struct conf_case cases[] = {
    {"guest_cid_is_not_reserved", "5.10.4, 5.10.6.4.2", guest_cid_is_not_reserved},
    {"no_implied_stream_is_offered", "5.10.3.2", no_implied_stream_is_offered},
    {"unknown_type_is_answered_by_rst", "5.10.6.4.2", unknown_type_is_answered_by_rst},
    {"request_to_nobody_is_answered_by_rst", "5.10.6.5, 5.10.3.2", request_to_nobody_is_answered_by_rst},
    {"packet_of_no_connection_is_answered_by_rst", "5.10.6.5", packet_of_no_connection_is_answered_by_rst},
    {"transmit_goes_on_without_receive_buffers", "5.10.6.1.2", transmit_goes_on_without_receive_buffers},
    {"answers_wait_for_receive_buffers", "5.10.6.1, 5.10.6.5", answers_wait_for_receive_buffers},
    {"broken_headers_do_no_harm", "5.10.6", broken_headers_do_no_harm},
    {"data_arrives_however_it_is_cut", "2.7.4.1, 5.10.6.3", data_arrives_however_it_is_cut},
    {"data_is_sent_as_far_as_there_is_room", "5.10.6.3.2", data_is_sent_as_far_as_there_is_room},
    {"half_closed_connection_goes_on_the_other_way", "5.10.6.5",
     half_closed_connection_goes_on_the_other_way},
    {"clean_disconnect_ends_with_rst", "5.10.6.5", clean_disconnect_ends_with_rst},
    {"shutdown_hints_are_permanent", "5.10.6.5", shutdown_hints_are_permanent},
    {"end_of_the_other_side_is_told", "5.10.6.5", end_of_the_other_side_is_told},
    {"message_ends_are_kept", "5.10.6.6.1", message_ends_are_kept},
    {NULL, NULL, NULL},
};

static const char *const arguments[] = {"--guest-cid=3", NULL};

const struct conf_class conf_vsock = {
    .name = "vsock",
    .hosted = &bh_vsock_hosted,
    .arguments = arguments,
    .ping = ping,
    .ping_descs = 1,
    .queues = 3,
    .config_bytes = sizeof(struct virtio_vsock_config),
    .ping_queue = TX,
    .cases = cases,
};
