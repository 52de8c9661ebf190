/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device between a guest and the host's own AF_VSOCK: connections both ways, streams and messages, refusals.
 * The host's kernel is the judge, by its loopback transport (vsock_loopback); where it has none the tests are skipped.
 * tests/system/test_vsock.py runs this program on a kernel that has it.
 */
#include "devices/vsock/port_host.h"
#include "tests/unit/vsock_rig.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST  VIRTIO_VSOCK_CID_HOST
#define BOTH  VIRTIO_VSOCK_SHUTDOWN_BOTH
#define LOCAL 1u    /* VMADDR_CID_LOCAL */
#define GUEST 1024u /* a port of the guest's */

enum { CONNS = 16, LISTENED = 7100, NOBODYS = 7101, FORWARDED = 7102, PROBE = 7103, TURNS_MAX = 4000 };

struct bed {
    struct bh_loop *loop;
    struct bh_diag_sink sink;
    struct bh_vsock_port *port;
    struct bh_vsock_host_counters counters;
    struct vsock_rig rig;
};

static void ignore(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static int listen_on(uint32_t port, int type)
{
    const struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    const int fd = socket(AF_VSOCK, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && !bind(fd, (const struct sockaddr *)&address, sizeof(address)) && !listen(fd, 8))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int connect_to(uint32_t port, int type)
{
    const struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = LOCAL, .svm_port = port};
    const int fd = socket(AF_VSOCK, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Does a connection to ourselves come about? Other transports than the loopback let it time out. */
static bool has_loopback(void)
{
    const int listener = listen_on(PROBE, SOCK_STREAM),
              fd = listener < 0 ? -1 : connect_to(PROBE, SOCK_STREAM);
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    const bool has = fd >= 0 && poll(&ready, 1, 1000) == 1 && !(ready.revents & (POLLERR | POLLHUP));
    if (fd >= 0)
        close(fd);
    if (listener >= 0)
        close(listener);
    return has;
}

static int bed_new(void **state)
{
    static const uint32_t forwarded[] = {FORWARDED};
    struct bed *bed = calloc(1, sizeof(*bed));
    const struct bh_vsock_host_setup setup = {.seqpacket = true,
                                              .guest_cid = RIG_CID,
                                              .conn_max = CONNS,
                                              .forward_cid = LOCAL,
                                              .forward_ports = forwarded,
                                              .forward_port_count = 1,
                                              .counters = &bed->counters};
    bed->sink.emit = ignore;
    assert_int_equal(bh_loop_create(&bed->loop), BH_OK);
    assert_int_equal(bh_vsock_port_host_create(bed->loop, &setup, &bed->sink, &bed->port), BH_OK);
    vsock_rig_open(&bed->rig, bed->port, RIG_CID, CONNS, 0);
    vsock_rig_give(&bed->rig, RIG_BUFFERS);
    *state = bed;
    return 0;
}

static int bed_free(void **state)
{
    struct bed *bed = *state;
    vsock_rig_close(&bed->rig);
    bh_vsock_port_host_destroy(bed->port);
    bh_loop_destroy(bed->loop);
    free(bed);
    return 0;
}

static void turn(struct bed *bed)
{
    assert_true(bh_loop_step(bed->loop, 1) >= 0);
    vsock_rig_run(&bed->rig);
}

/* The kernel does its part in its own time. Updates of credit are passed over. */
static struct vsock_packet await(struct bed *bed, enum virtio_vsock_op op)
{
    struct vsock_packet packet;
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        turn(bed);
        while (vsock_rig_next(&bed->rig, &packet)) {
            if (packet.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE)
                continue;
            assert_int_equal(packet.op, op);
            return packet;
        }
    }
    fail_msg("the guest does not get a packet of op %d", op);
    return packet;
}

static void await_readable(struct bed *bed, int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    for (unsigned i = 0; poll(&ready, 1, 0) == 0; i++) {
        assert_true(i < TURNS_MAX);
        turn(bed);
    }
}

static void hears(struct bed *bed, int fd, const char *text)
{
    char got[256];
    size_t length = 0;
    while (length < strlen(text)) {
        await_readable(bed, fd);
        const ssize_t piece = recv(fd, got + length, strlen(text) - length, 0);
        assert_true(piece > 0);
        length += (size_t)piece;
    }
    assert_memory_equal(got, text, length);
}

static void guest_says(struct bed *bed, struct virtio_vsock_hdr hdr, enum virtio_vsock_op op,
                       const char *text)
{
    hdr.op = bh_le16_of((uint16_t)op);
    vsock_rig_send(&bed->rig, &hdr, text, (uint32_t)strlen(text));
    turn(bed);
}

static struct virtio_vsock_hdr header(struct bed *bed, uint32_t port, uint32_t peer_port, uint16_t type)
{
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_REQUEST, port, HOST, peer_port);
    hdr.type = bh_le16_of(type);
    return hdr;
}

static int guest_connects(struct bed *bed, int listener, struct virtio_vsock_hdr hdr)
{
    guest_says(bed, hdr, VIRTIO_VSOCK_OP_REQUEST, "");
    await(bed, VIRTIO_VSOCK_OP_RESPONSE);
    await_readable(bed, listener);
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* --- */

static void guest_reaches_a_program_of_the_host(void **state)
{
    struct bed *bed = *state;
    const struct virtio_vsock_hdr hdr = header(bed, GUEST, LISTENED, VIRTIO_VSOCK_TYPE_STREAM);
    const int listener = listen_on(LISTENED, SOCK_STREAM), fd = guest_connects(bed, listener, hdr);
    char byte;
    for (unsigned i = 0; i < 50; i++) {
        guest_says(bed, hdr, VIRTIO_VSOCK_OP_RW, "question");
        hears(bed, fd, "question");
        assert_int_equal(send(fd, "answer", 6, MSG_NOSIGNAL), 6);
        const struct vsock_packet packet = await(bed, VIRTIO_VSOCK_OP_RW);
        assert_int_equal(packet.len, 6);
        assert_memory_equal(packet.data, "answer", 6);
    }
    /* Half closed by the guest, it goes on the other way. */
    struct virtio_vsock_hdr shut = hdr;
    shut.flags = bh_le32_of(VIRTIO_VSOCK_SHUTDOWN_SEND);
    guest_says(bed, shut, VIRTIO_VSOCK_OP_SHUTDOWN, "");
    await_readable(bed, fd);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    assert_int_equal(send(fd, "late", 4, MSG_NOSIGNAL), 4);
    assert_memory_equal(await(bed, VIRTIO_VSOCK_OP_RW).data, "late", 4);
    close(fd);
    await(bed, VIRTIO_VSOCK_OP_SHUTDOWN);
    guest_says(bed, hdr, VIRTIO_VSOCK_OP_RST, "");
    close(listener);
}

static void nobody_listens_is_a_reset(void **state)
{
    struct bed *bed = *state;
    guest_says(bed, header(bed, GUEST, NOBODYS, VIRTIO_VSOCK_TYPE_STREAM), VIRTIO_VSOCK_OP_REQUEST, "");
    await(bed, VIRTIO_VSOCK_OP_RST);
}

static void program_of_the_host_reaches_the_guest(void **state)
{
    struct bed *bed = *state;
    char byte;
    int fd = connect_to(FORWARDED, SOCK_STREAM);
    assert_true(fd >= 0);
    struct vsock_packet request = await(bed, VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(request.guest_port, FORWARDED);
    assert_int_equal(request.peer_cid, HOST);
    const struct virtio_vsock_hdr hdr = header(bed, FORWARDED, request.peer_port, VIRTIO_VSOCK_TYPE_STREAM);
    guest_says(bed, hdr, VIRTIO_VSOCK_OP_RESPONSE, "");
    assert_int_equal(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
    assert_memory_equal(await(bed, VIRTIO_VSOCK_OP_RW).data, "hello", 5);
    guest_says(bed, hdr, VIRTIO_VSOCK_OP_RW, "welcome");
    hears(bed, fd, "welcome");
    struct virtio_vsock_hdr shut = hdr;
    shut.flags = bh_le32_of(BOTH);
    guest_says(bed, shut, VIRTIO_VSOCK_OP_SHUTDOWN, "");
    await(bed, VIRTIO_VSOCK_OP_RST);
    await_readable(bed, fd);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
    /* A guest that refuses: the program sees an end. */
    fd = connect_to(FORWARDED, SOCK_STREAM);
    request = await(bed, VIRTIO_VSOCK_OP_REQUEST);
    guest_says(bed, header(bed, FORWARDED, request.peer_port, VIRTIO_VSOCK_TYPE_STREAM), VIRTIO_VSOCK_OP_RST,
               "");
    await_readable(bed, fd);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void messages_stay_whole(void **state)
{
    struct bed *bed = *state;
    struct virtio_vsock_hdr hdr = header(bed, GUEST, LISTENED, VIRTIO_VSOCK_TYPE_SEQPACKET);
    const int listener = listen_on(LISTENED, SOCK_SEQPACKET), fd = guest_connects(bed, listener, hdr);
    char text[64];
    hdr.flags = bh_le32_of(VIRTIO_VSOCK_SEQ_EOM);
    guest_says(bed, hdr, VIRTIO_VSOCK_OP_RW, "first");
    guest_says(bed, hdr, VIRTIO_VSOCK_OP_RW, "second one");
    await_readable(bed, fd);
    assert_int_equal(recv(fd, text, sizeof(text), 0), 5);
    await_readable(bed, fd);
    assert_int_equal(recv(fd, text, sizeof(text), 0), 10);
    assert_memory_equal(text, "second one", 10);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(send(fd, text, i, MSG_NOSIGNAL), i);
        const struct vsock_packet packet = await(bed, VIRTIO_VSOCK_OP_RW);
        assert_int_equal(packet.len, i);
        assert_true(packet.flags & VIRTIO_VSOCK_SEQ_EOM);
    }
    close(fd);
    await(bed, VIRTIO_VSOCK_OP_SHUTDOWN);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(guest_reaches_a_program_of_the_host, bed_new, bed_free),
        cmocka_unit_test_setup_teardown(nobody_listens_is_a_reset, bed_new, bed_free),
        cmocka_unit_test_setup_teardown(program_of_the_host_reaches_the_guest, bed_new, bed_free),
        cmocka_unit_test_setup_teardown(messages_stay_whole, bed_new, bed_free),
    };
    if (!has_loopback())
        return 77; /* meson: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
