/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest and hostile other ends of its connections, on the host's port with real sockets: packets of any
 * content, receive buffers of any size, programs that connect and say anything, listeners that take, send, read, stop
 * reading and leave, siblings likewise; ticks, resets and a former process's records in between. The sanitizers judge
 * memory; what is kept, the table and the sockets are held against their bounds, and nothing is left in the end.
 *
 * Input: one byte of set-up, then steps, each an opcode byte and what it takes; it ends with the input.
 */
#include "devices/vsock/vsock.h"
#include "devices/vsock/port_host.h"
#include "tests/fuzz/target.h"
#include "tests/unit/class_rig.h"

#include <bulkhead/impl/class.h>
#include <bulkhead/impl/unix_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS     8u
#define PROGRAMS  12u
#define CID       3u
#define SIBLING   4u
#define STEPS_MAX 400u
#define BUF_ALLOC 4096u

static const uint8_t *input;
static size_t left;

static uint8_t take(void)
{
    return left ? left--, *input++ : 0;
}

struct bed {
    char dir[40], path[64];
    struct bh_loop *loop;
    struct bh_diag_sink sink;
    struct bh_vsock_port *port;
    struct bh_vsock_host_counters counters;
    struct class_rig rig;
    struct bh_vsock vsock;
    struct bh_vsock_conn conns[CONNS];
    struct bh_vsock_conn *buckets[4];
    struct bh_vsock_lasting lasting[CONNS];
    int listeners[3];        /* stream, seqpacket, and that of the sibling */
    int programs[PROGRAMS];  /* -1: none */
    uint32_t in_bytes[1024]; /* writable bytes of each buffer given */
    unsigned token;
};

static void ignore(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static const char *name(const struct bed *bed, const char *suffix)
{
    static char path[100];
    snprintf(path, sizeof(path), "%s/%s", bed->dir, suffix);
    return path;
}

static void bed_open(struct bed *bed, uint8_t set_up)
{
    static const uint32_t peer = SIBLING;

    memset(bed, 0, sizeof(*bed));
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/fuzz-vsock-XXXXXX");
    BH_ASSERT(mkdtemp(bed->dir));
    snprintf(bed->path, sizeof(bed->path), "%s/v", bed->dir);
    bed->sink.emit = ignore;
    BH_ASSERT(bh_loop_create(&bed->loop) == BH_OK);
    const struct bh_vsock_host_setup host = {.path = bed->path,
                                             .seqpacket = true,
                                             .sibling_dir = bed->dir,
                                             .peers = &peer,
                                             .peer_count = 1,
                                             .guest_cid = CID,
                                             .conn_max = CONNS,
                                             .counters = &bed->counters};
    BH_ASSERT(bh_vsock_port_host_create(bed->loop, &host, &bed->sink, &bed->port) == BH_OK);
    bed->listeners[0] =
        bh_unix_listen(name(bed, "v_1"), SOCK_STREAM | SOCK_NONBLOCK, 4, BH_UNIX_REPLACE_STALE);
    bed->listeners[1] =
        bh_unix_listen(name(bed, "v_2"), SOCK_SEQPACKET | SOCK_NONBLOCK, 4, BH_UNIX_REPLACE_STALE);
    bed->listeners[2] =
        bh_unix_listen(name(bed, "3-4/3-4"), SOCK_STREAM | SOCK_NONBLOCK, 4, BH_UNIX_REPLACE_STALE);
    for (unsigned i = 0; i < PROGRAMS; i++)
        bed->programs[i] = -1;
    const struct bh_vsock_memory memory = {bed->conns, CONNS, bed->buckets, 4};
    const struct bh_vsock_setup setup = {.guest_cid = CID, .buf_alloc = BUF_ALLOC, .seqpacket = true};
    class_rig_open(&bed->rig, BH_VSOCK_QUEUES, BH_VSOCK_BATCH, BH_VSOCK_SEGS);
    bh_vsock_init(&bed->vsock, &bed->rig.mem, bed->rig.memory, &memory, bed->port, &setup, 1);
    if (set_up & 2) {
        for (size_t i = 0; i < sizeof(bed->lasting); i++)
            ((uint8_t *)bed->lasting)[i] = take() % 4;
        bed->vsock.dev.class->lasting(&bed->vsock.dev, bed->lasting, true);
    }
    class_rig_start(&bed->rig, &bed->vsock.dev, set_up & 1, set_up >> 2 & 7u);
}

static void bed_close(struct bed *bed)
{
    static const char *const names[] = {"v_1", "v_2", "3-4/3-4"};

    class_rig_close(&bed->rig);
    BH_ASSERT(bed->vsock.used_count == 0 && bed->vsock.awaited == 0);
    bh_vsock_port_host_destroy(bed->port);
    for (unsigned i = 0; i < BH_COUNT(bed->listeners); i++) {
        close(bed->listeners[i]);
        unlink(name(bed, names[i]));
    }
    for (unsigned i = 0; i < PROGRAMS; i++) {
        if (bed->programs[i] >= 0)
            close(bed->programs[i]);
    }
    bh_loop_destroy(bed->loop);
    BH_ASSERT(rmdir(name(bed, "3-4")) == 0 && rmdir(bed->dir) == 0);
}

/* --- the guest -------------------------------------------------------------------------------------------- */

static void add(struct bed *bed, unsigned queue, uint32_t out_len, uint32_t in_len, const void *content)
{
    if (bed->rig.guest.used > CLASS_RIG_BYTES - 8192) /* a hostile driver may give memory twice */
        bh_drv_guest_rewind(&bed->rig.guest, CLASS_RIG_BYTES / 2);
    uint8_t *at = class_rig_alloc(&bed->rig, out_len + in_len + 1);
    if (out_len)
        memcpy(at, content, out_len);
    uint32_t *token = &bed->in_bytes[bed->token++ % BH_COUNT(bed->in_bytes)];
    *token = in_len;
    (void)!class_rig_add(&bed->rig, queue, at, out_len, at + out_len, in_len, token);
}

/* A header whose fields are mostly such as mean something. */
static void send_packet(struct bed *bed)
{
    uint8_t bytes[VIRTIO_VSOCK_HDR_BYTES + 1024] = {0};
    const uint8_t how = take(), ports = take(), op = take(), flags = take();
    uint32_t len = take() * (how & 1 ? 4u : 0u);
    struct virtio_vsock_hdr hdr = {
        .src_cid = bh_le64_of(how & 0x80 ? take() : CID),
        .dst_cid = bh_le64_of(how & 0x40 ? take()
                              : how & 2  ? SIBLING
                                         : VIRTIO_VSOCK_CID_HOST),
        .src_port = bh_le32_of(ports & 3u),
        .dst_port = bh_le32_of(how & 0x20 ? 0x40000000u + take() : ports >> 2 & 3u),
        .len = bh_le32_of(how & 0x10 ? take() : len),
        .type = bh_le16_of(how & 8   ? take()
                           : how & 4 ? 2
                                     : 1),
        .op = bh_le16_of(op % 9u),
        .flags = bh_le32_of(flags & 3u),
        .buf_alloc = bh_le32_of(flags & 4 ? 65536 : take() * 16u),
        .fwd_cnt = bh_le32_of(flags & 8 ? take() * 64u : 0),
    };
    memcpy(bytes, &hdr, VIRTIO_VSOCK_HDR_BYTES);
    add(bed, VIRTIO_VSOCK_TX, flags & 0x10 ? take() + 1u : VIRTIO_VSOCK_HDR_BYTES + len, flags & 0x20 ? 8 : 0,
        bytes);
}

static void collect(struct bed *bed)
{
    uint32_t *token, len = 0;

    for (unsigned i = 0; i < BH_VSOCK_QUEUES; i++) {
        while ((token = class_rig_get(&bed->rig, i, &len)))
            BH_ASSERT(len <= *token);
    }
}

/* --- the other ends --------------------------------------------------------------------------------------- */

static int *program_of(struct bed *bed, bool there)
{
    unsigned start = take() % PROGRAMS;

    for (unsigned i = 0; i < PROGRAMS; i++) {
        int *program = &bed->programs[(start + i) % PROGRAMS];
        if ((*program >= 0) == there)
            return program;
    }
    return NULL;
}

static void program_comes(struct bed *bed)
{
    static const char *const paths[] = {"v", "v.seqpacket", "3-4/4-3"};
    uint8_t how = take() % 6;
    int *program = program_of(bed, false), fd;

    if (!program)
        return;
    if (how < 3)
        fd =
            bh_unix_connect(name(bed, paths[how]), (how == 1 ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_NONBLOCK);
    else
        fd = accept4(bed->listeners[how - 3], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    *program = fd < 0 ? -1 : fd;
}

static void program_says(struct bed *bed)
{
    static const char *const lines[] = {"CONNECT 1\n", "CONNECT 1 FROM 2 stream\n",
                                        "CONNECT 2 FROM 1 seqpacket\n", "OK 1\n", "CONNECT 2\nearly"};
    int *program = program_of(bed, true);
    uint8_t how = take(), bytes[2048];
    size_t len = how % 8u < BH_COUNT(lines) ? strlen(lines[how % 8u]) : how & 8 ? take() : take() * 8u;

    if (!program)
        return;
    if (how % 8u < BH_COUNT(lines)) {
        memcpy(bytes, lines[how % 8u], len);
    } else {
        for (size_t i = 0; i < len; i++)
            bytes[i] = i < 16 ? take() : (uint8_t)i;
    }
    (void)!send(*program, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void program_acts(struct bed *bed)
{
    static uint8_t bytes[65536];
    int *program = program_of(bed, true);
    uint8_t how = take() % 6;

    if (!program)
        return;
    if (how < 3) {
        (void)!recv(*program, bytes, how == 0 ? 16 : sizeof(bytes), MSG_DONTWAIT);
    } else if (how < 5) {
        (void)shutdown(*program, how == 3 ? SHUT_WR : SHUT_RD);
    } else {
        close(*program);
        *program = -1;
    }
}

static void step(struct bed *bed)
{
    switch (take() % 16) {
    case 0:
    case 1:
    case 2:
    case 3: send_packet(bed); break;
    case 4:
    case 5: add(bed, VIRTIO_VSOCK_RX, 0, take() * 8u + 45u, NULL); break;
    case 6: add(bed, take() % BH_VSOCK_QUEUES, take(), take(), (uint8_t[256]){0}); break;
    case 7: program_comes(bed); break;
    case 8:
    case 9: program_says(bed); break;
    case 10: program_acts(bed); break;
    case 11: (void)bh_vsock_tick(&bed->vsock); break;
    case 12:
        if (take() % 8 == 0)
            bh_vsock_transport_reset(&bed->vsock);
        break;
    case 13: collect(bed); break;
    default: (void)bh_pipe_pump(&bed->rig.pipe, 1 + take() % 16u); break;
    }
    BH_ASSERT(bh_loop_step(bed->loop, 0) >= 0);
    BH_ASSERT(BH_CONTAINER(bed->port, struct bh_vsock_host, port)->call_count <= CONNS &&
              bed->vsock.used_count <= CONNS);
    BH_ASSERT(bed->vsock.stray_count <= BH_VSOCK_STRAYS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bed bed;

    input = data;
    left = size;
    bed_open(&bed, take());
    for (unsigned i = 0; left && i < STEPS_MAX; i++)
        step(&bed);
    collect(&bed);
    bed_close(&bed);
    return 0;
}
