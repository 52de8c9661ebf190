/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests on the host's sockets. See vsock_host_bed.h.
 */
#include "tests/unit/vsock_host_bed.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void ignore(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

const char *path_in(const struct bed *bed, const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", bed->dir, name);
    return path;
}

static struct bed *make_folder(void)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/test-vsock-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    return bed;
}

static struct bed *make_guests(struct bed *bed, unsigned count, bool allowed)
{
    static const uint32_t peers[2] = {4, 3};

    bed->sink.emit = ignore;
    bed->count = count;
    bed->paired = allowed;
    assert_int_equal(bh_loop_create(&bed->loop), BH_OK);
    for (unsigned i = 0; i < count; i++) {
        snprintf(bed->paths[i], sizeof(bed->paths[i]), "%s/%u", bed->dir, i);
        const struct bh_vsock_host_setup setup = {.path = bed->paths[i],
                                                  .seqpacket = true,
                                                  .sibling_dir = bed->dir,
                                                  .peers = &peers[i],
                                                  .peer_count = allowed ? 1 : 0,
                                                  .guest_cid = 3 + i,
                                                  .conn_max = CONNS,
                                                  .counters = &bed->counters[i]};
        assert_int_equal(bh_vsock_port_host_create(bed->loop, &setup, &bed->sink, &bed->ports[i]), BH_OK);
        vsock_rig_open(&bed->rigs[i], bed->ports[i], 3 + i, CONNS, 0);
        vsock_rig_give(&bed->rigs[i], RIG_BUFFERS);
    }
    return bed;
}

struct bed *bed_new(unsigned count, bool allowed)
{
    return make_guests(make_folder(), count, allowed);
}

struct bed *bed_new_squatted(unsigned count, int *squatter)
{
    struct bed *bed = make_folder();

    assert_int_equal(mkdir(path_in(bed, "3-4"), 0700), 0);
    *squatter = listen_at(bed, "3-4/4-3");
    assert_true(*squatter >= 0);
    return make_guests(bed, count, true);
}

void bed_free(struct bed *bed)
{
    for (unsigned i = 0; i < bed->count; i++) {
        vsock_rig_close(&bed->rigs[i]);
        bh_vsock_port_host_destroy(bed->ports[i]);
    }
    bh_loop_destroy(bed->loop);
    if (bed->paired)
        assert_int_equal(rmdir(path_in(bed, "3-4")), 0); /* both their sockets are gone */
    assert_int_equal(rmdir(bed->dir), 0);                /* nothing is left in it */
    free(bed);
}

void turn(struct bed *bed)
{
    for (unsigned round = 0; round < 10; round++) {
        assert_true(bh_loop_step(bed->loop, 0) >= 0);
        for (unsigned i = 0; i < bed->count; i++)
            vsock_rig_run(&bed->rigs[i]);
    }
}

int client(struct bed *bed, const char *name, int type)
{
    int fd = bh_unix_connect(path_in(bed, name), type | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    return fd;
}

uint32_t socket_count(const struct bed *bed)
{
    return BH_CONTAINER(bed->ports[0], struct bh_vsock_host, port)->call_count;
}

int listen_at(struct bed *bed, const char *name)
{
    return bh_unix_listen(path_in(bed, name), SOCK_STREAM | SOCK_NONBLOCK, 4, 0);
}

void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

const char *hear(int fd)
{
    static char text[4096];
    ssize_t got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    if (got < 0 && errno != ECONNRESET) /* what it did not read is lost */
        return NULL;
    text[got > 0 ? got : 0] = 0;
    return text;
}

struct virtio_vsock_hdr header(struct bed *bed, unsigned rig, enum virtio_vsock_op op, uint32_t port,
                               uint32_t peer_cid, uint32_t peer_port, uint16_t type)
{
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rigs[rig], op, port, peer_cid, peer_port);
    hdr.type = bh_le16_of(type);
    return hdr;
}

void guest_says(struct bed *bed, unsigned rig, struct virtio_vsock_hdr hdr, enum virtio_vsock_op op,
                const char *text)
{
    hdr.op = bh_le16_of((uint16_t)op);
    vsock_rig_send(&bed->rigs[rig], &hdr, text, (uint32_t)strlen(text));
    turn(bed);
}

int host_connects(struct bed *bed, const char *hello, int type, struct virtio_vsock_hdr *hdr)
{
    int fd = client(bed, type == SOCK_STREAM ? "0" : "0.seqpacket", type);

    say(fd, hello);
    turn(bed);
    struct vsock_packet request = vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(request.guest_port, GUEST);
    assert_int_equal(request.peer_cid, HOST);
    *hdr = header(bed, 0, VIRTIO_VSOCK_OP_RESPONSE, GUEST, HOST, request.peer_port,
                  type == SOCK_STREAM ? VIRTIO_VSOCK_TYPE_STREAM : VIRTIO_VSOCK_TYPE_SEQPACKET);
    guest_says(bed, 0, *hdr, VIRTIO_VSOCK_OP_RESPONSE, "");
    char answer[40];
    snprintf(answer, sizeof(answer), "OK %u\n", request.peer_port);
    assert_string_equal(hear(fd), answer);
    return fd;
}
