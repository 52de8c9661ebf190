/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device's host side: programs that connect to the guest and are connected to, what is kept for readers that
 * are slow, and what is left of it all afterwards. test_vsock_siblings.c has guests that talk to one another.
 */
#include "devices/vsock/hello.h"
#include "tests/unit/vsock_host_bed.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void program_of_the_host_reaches_the_guest(void **state)
{
    struct bed *bed = bed_new(1, false);
    struct virtio_vsock_hdr hdr;

    int fd = host_connects(bed, "CONNECT 1024\nearly", SOCK_STREAM, &hdr);
    struct vsock_packet packet = vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RW);
    assert_memory_equal(packet.data, "early", 5); /* what followed the line is the guest's */
    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_RW, "answer");
    assert_string_equal(hear(fd), "answer");
    shutdown(fd, SHUT_WR);
    turn(bed);
    packet = vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(packet.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_RW, "still");
    assert_string_equal(hear(fd), "still");
    close(fd);
    turn(bed);
    packet = vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(packet.flags, BOTH);
    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_RST, "");
    assert_int_equal(socket_count(bed), 0);
    bed_free(bed);
}

static void hello_may_come_in_pieces(void **state)
{
    struct bed *bed = bed_new(1, false);
    int fd = client(bed, "0", SOCK_STREAM);

    for (const char *c = "connect  1024 \r"; *c; c++) {
        assert_int_equal(send(fd, c, 1, 0), 1);
        turn(bed);
    }
    struct vsock_packet packet;
    assert_false(vsock_rig_next(&bed->rigs[0], &packet));
    say(fd, "\n");
    turn(bed);
    assert_int_equal(vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_REQUEST).guest_port, 1024);
    close(fd); /* before the guest has answered */
    turn(bed);
    vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RST);
    bed_free(bed);
}

static void other_words_are_hung_up_on(void **state)
{
    static const char *const words[] = {
        "CONNECT\n",        "CONNECT 4294967296\n",
        "CONNECT -1\n",     "CONNECT 1 2\n",
        "GET / HTTP/1.1\n", "\n",
        "CONNECT1\n",       "CONNECT 1                                                       \n"};
    struct bed *bed = bed_new(1, false);

    for (size_t i = 0; i < BH_COUNT(words); i++) {
        int fd = client(bed, "0", SOCK_STREAM);
        say(fd, words[i]);
        turn(bed);
        assert_string_equal(hear(fd), "");
        close(fd);
    }
    assert_int_equal(bed->counters[0].bad_hello, BH_COUNT(words));
    bed_free(bed);
}

static void hello_parser_knows_siblings(void **state)
{
    static const struct {
        const char *line;
        bool ok, seqpacket;
    } cases[] = {
        {"CONNECT 1 FROM 2 stream", true, false},
        {"CONNECT 1 FROM 2 seqpacket", true, true},
        {"CONNECT 1", false, false},
        {"CONNECT 1 FROM 2", false, false},
        {"CONNECT 1 FROM 2 dgram", false, false},
        {"CONNECT 1 FROM 2 stream x", false, false},
    };
    struct bh_vsock_hello hello;

    for (size_t i = 0; i < BH_COUNT(cases); i++) {
        int err = bh_vsock_hello_parse(cases[i].line, strlen(cases[i].line), true, &hello);
        assert_int_equal(err == BH_OK, cases[i].ok);
        if (cases[i].ok)
            assert_true(hello.port == 1 && hello.from == 2 && hello.seqpacket == cases[i].seqpacket);
    }
    assert_int_equal(bh_vsock_hello_parse("CONNECT 1 FROM 2 stream", 23, false, &hello), BH_ERR_SYNTAX);
    assert_true(bh_vsock_hello_accepted("OK 7", 4));
    assert_false(bh_vsock_hello_accepted("OK", 2));
    assert_false(bh_vsock_hello_accepted("NO 7", 4));
}

/* The guest connects to a listener of the host; returns what was accepted. */
static int guest_connects(struct bed *bed, int listener, struct virtio_vsock_hdr hdr)
{
    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_REQUEST, "");
    vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RESPONSE);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void guest_reaches_a_listener_of_the_host(void **state)
{
    struct bed *bed = bed_new(1, false);
    const struct virtio_vsock_hdr hdr =
        header(bed, 0, VIRTIO_VSOCK_OP_REQUEST, GUEST, HOST, 5000, VIRTIO_VSOCK_TYPE_STREAM);

    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_REQUEST, "");
    vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RST); /* nobody listens */
    int listener = listen_at(bed, "0_5000");
    assert_true(listener >= 0);
    int fd = guest_connects(bed, listener, hdr);
    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_RW, "question");
    assert_string_equal(hear(fd), "question");
    say(fd, "answer");
    turn(bed);
    assert_memory_equal(vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RW).data, "answer", 6);
    struct virtio_vsock_hdr shut = hdr;
    shut.flags = bh_le32_of(VIRTIO_VSOCK_SHUTDOWN_RECEIVE);
    guest_says(bed, 0, shut, VIRTIO_VSOCK_OP_SHUTDOWN, "");
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1); /* and the program is told */
    assert_int_equal(errno, EPIPE);
    close(fd);
    turn(bed);
    assert_int_equal(vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
    close(listener);
    unlink(path_in(bed, "0_5000"));
    bed_free(bed);
}

/* Full credit of bytes, by a sequence that shows losses. Returns how many. */
static uint32_t guest_fills(struct bed *bed, struct virtio_vsock_hdr hdr, uint32_t most, uint32_t from)
{
    uint8_t bytes[200];
    uint32_t sent = 0;

    for (; sent + sizeof(bytes) <= most; sent += sizeof(bytes)) {
        for (unsigned k = 0; k < sizeof(bytes); k++)
            bytes[k] = (uint8_t)((from + sent + k) * 7 % 251);
        hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_RW);
        vsock_rig_send(&bed->rigs[0], &hdr, bytes, sizeof(bytes));
    }
    return sent;
}

/* Read all there is and check it. */
static uint32_t drain(int fd, uint32_t from)
{
    uint8_t bytes[3000];
    uint32_t total = 0;
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        for (ssize_t k = 0; k < got; k++)
            assert_int_equal(bytes[k], (uint8_t)((from + total + (uint32_t)k) * 7 % 251));
        total += (uint32_t)got;
    }
    return total;
}

static void slow_reader_loses_nothing_even_after_the_guest_has_closed(void **state)
{
    struct bed *bed = bed_new(1, false);
    struct virtio_vsock_hdr hdr =
        header(bed, 0, VIRTIO_VSOCK_OP_REQUEST, GUEST, HOST, 5000, VIRTIO_VSOCK_TYPE_STREAM);
    int listener = listen_at(bed, "0_5000"), small = 1;
    struct vsock_packet packet;

    int fd = guest_connects(bed, listener, hdr);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    /* Fill the kernel's buffer, then our own. */
    uint32_t sent = 0, told = 0, rounds = 0;
    while (RIG_BUF_ALLOC - (sent - told) >= 200) {
        assert_true(++rounds < 10000);
        sent += guest_fills(bed, hdr, RIG_BUF_ALLOC - (sent - told), sent);
        while (vsock_rig_next(&bed->rigs[0], &packet))
            told = packet.fwd_cnt;
    }
    assert_true(sent > 2 * RIG_BUF_ALLOC);
    uint32_t read_first = drain(fd, 0);
    turn(bed);
    bool updated = false;
    while (vsock_rig_next(&bed->rigs[0], &packet))
        updated |= packet.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE && packet.fwd_cnt != told;
    assert_true(updated); /* it may go on */
    sent += guest_fills(bed, hdr, 400, sent);
    hdr.flags = bh_le32_of(BOTH);
    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_SHUTDOWN, "");
    vsock_rig_expect(&bed->rigs[0],
                     VIRTIO_VSOCK_OP_RST); /* at once: the guest need not wait for the reader */
    for (unsigned i = 0; i < 200 && read_first < sent; i++) {
        read_first += drain(fd, read_first);
        turn(bed);
    }
    assert_int_equal(read_first, sent);
    assert_string_equal(hear(fd), "");
    assert_int_equal(socket_count(bed), 0);
    close(fd);
    close(listener);
    unlink(path_in(bed, "0_5000"));
    bed_free(bed);
}

static void what_a_program_sent_before_it_left_arrives(void **state)
{
    struct bed *bed = bed_new(1, false);
    struct virtio_vsock_hdr hdr;
    struct vsock_packet packet;
    char bytes[3000];
    uint32_t got = 0;

    int fd = host_connects(bed, "CONNECT 1024\n", SOCK_STREAM, &hdr);
    hdr.buf_alloc = bh_le32_of(500);
    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_CREDIT_UPDATE, "");
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    close(fd);
    for (unsigned i = 0; i < 20 && got < sizeof(bytes); i++) {
        turn(bed);
        while (vsock_rig_next(&bed->rigs[0], &packet)) {
            if (packet.op == VIRTIO_VSOCK_OP_RW)
                got += packet.len;
            else
                assert_int_not_equal(packet.op, VIRTIO_VSOCK_OP_SHUTDOWN);
        }
        hdr.fwd_cnt = bh_le32_of(got);
        guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_CREDIT_UPDATE, "");
    }
    assert_int_equal(got, sizeof(bytes));
    assert_int_equal(vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
    bed_free(bed);
}

static void messages_of_the_host_stay_whole(void **state)
{
    struct bed *bed = bed_new(1, false);
    struct virtio_vsock_hdr hdr;
    char large[2500];
    uint32_t got = 0;

    int fd = host_connects(bed, "CONNECT 1024\n", SOCK_SEQPACKET, &hdr);
    memset(large, 'l', sizeof(large));
    assert_int_equal(send(fd, large, sizeof(large), 0),
                     sizeof(large)); /* longer than a buffer of the guest's */
    say(fd, "short");
    turn(bed);
    while (got < sizeof(large)) {
        struct vsock_packet packet = vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RW);
        got += packet.len;
        assert_int_equal(packet.flags, got == sizeof(large) ? VIRTIO_VSOCK_SEQ_EOM : 0);
    }
    struct vsock_packet packet = vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RW);
    assert_true(packet.len == 5 && packet.flags == VIRTIO_VSOCK_SEQ_EOM);

    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_RW, "one ");
    assert_null(hear(fd));
    hdr.flags = bh_le32_of(VIRTIO_VSOCK_SEQ_EOM);
    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_RW, "message");
    guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_RW, "another");
    assert_string_equal(hear(fd), "one message");
    assert_string_equal(hear(fd), "another");
    assert_null(hear(fd));
    close(fd);
    turn(bed);
    bed_free(bed);
}

static void messages_wait_for_a_slow_reader(void **state)
{
    struct bed *bed = bed_new(1, false);
    struct virtio_vsock_hdr hdr;
    struct vsock_packet packet;
    uint32_t sent = 0, told = 0, got = 0, text_len = 0;
    char text[120];

    int fd = host_connects(bed, "CONNECT 1024\n", SOCK_SEQPACKET, &hdr);
    hdr.flags = bh_le32_of(VIRTIO_VSOCK_SEQ_EOM);
    for (unsigned i = 0; i < 5000 && RIG_BUF_ALLOC - (sent - told) >= sizeof(text); i++) {
        text_len = (uint32_t)snprintf(text, sizeof(text), "message %u%*s", i, (int)(i % 90), "");
        hdr.op = bh_le16_of(VIRTIO_VSOCK_OP_RW);
        vsock_rig_send(&bed->rigs[0], &hdr, text, text_len);
        sent += text_len;
        while (vsock_rig_next(&bed->rigs[0], &packet))
            told = packet.fwd_cnt;
    }
    assert_true(bed->rigs[0].vsock.counters.protocol == 0 && sent - told > RIG_BUF_ALLOC - sizeof(text));
    for (unsigned i = 0; got < sent; i++) {
        snprintf(text, sizeof(text), "message %u%*s", i, (int)(i % 90), "");
        const char *heard = hear(fd);
        assert_non_null(heard);
        assert_string_equal(heard, text);
        got += (uint32_t)strlen(text);
        turn(bed);
    }
    close(fd);
    turn(bed);
    bed_free(bed);
}

static unsigned open_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void connections_leave_nothing_behind(void **state)
{
    struct bed *bed = bed_new(1, false);
    struct virtio_vsock_hdr hdr;
    struct vsock_packet packet;
    const unsigned before = open_fds();

    for (unsigned i = 0; i < 500; i++) {
        int fd = host_connects(bed, "CONNECT 1024\n", SOCK_STREAM, &hdr);
        guest_says(bed, 0, hdr, VIRTIO_VSOCK_OP_RW, "x");
        hdr.flags = bh_le32_of(BOTH);
        if (i % 3)
            close(fd);
        guest_says(bed, 0, hdr, i % 3 < 2 ? VIRTIO_VSOCK_OP_SHUTDOWN : VIRTIO_VSOCK_OP_RST, "");
        turn(bed);
        if (i % 3 == 0)
            close(fd);
        while (vsock_rig_next(&bed->rigs[0], &packet))
            ;
        turn(bed);
    }
    assert_int_equal(open_fds(), before);
    assert_int_equal(bed->rigs[0].vsock.used_count, 0);
    assert_int_equal(socket_count(bed), 0);
    bed_free(bed);
}

static void sockets_beyond_the_limit_are_turned_away(void **state)
{
    struct bed *bed = bed_new(1, false);
    int fds[CONNS + 1];

    for (unsigned i = 0; i < CONNS + 1; i++)
        fds[i] = client(bed, "0", SOCK_STREAM);
    turn(bed);
    assert_null(hear(fds[0]));
    assert_string_equal(hear(fds[CONNS]), "");
    for (unsigned i = 0; i < CONNS + 1; i++)
        close(fds[i]);
    turn(bed);
    assert_int_equal(socket_count(bed), 0);
    struct virtio_vsock_hdr hdr;
    close(host_connects(bed, "CONNECT 1024\n", SOCK_STREAM, &hdr));
    turn(bed);
    bed_free(bed);
}

static void path_in_use_is_said_and_a_stale_one_replaced(void **state)
{
    struct bed *bed = bed_new(1, false);
    const struct bh_vsock_host_setup taken = {
        .path = path_in(bed, "0"), .guest_cid = 9, .conn_max = 1, .counters = &bed->counters[0]};
    struct bh_vsock_port *port;

    assert_int_equal(bh_vsock_port_host_create(bed->loop, &taken, &bed->sink, &port), BH_ERR_BUSY);
    int fd = listen_at(bed, "stale");
    assert_true(fd >= 0);
    close(fd);
    const struct bh_vsock_host_setup stale = {
        .path = path_in(bed, "stale"), .guest_cid = 9, .conn_max = 1, .counters = &bed->counters[0]};
    assert_int_equal(bh_vsock_port_host_create(bed->loop, &stale, &bed->sink, &port), BH_OK);
    bh_vsock_port_host_destroy(port);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_of_the_host_reaches_the_guest),
        cmocka_unit_test(hello_may_come_in_pieces),
        cmocka_unit_test(other_words_are_hung_up_on),
        cmocka_unit_test(hello_parser_knows_siblings),
        cmocka_unit_test(guest_reaches_a_listener_of_the_host),
        cmocka_unit_test(slow_reader_loses_nothing_even_after_the_guest_has_closed),
        cmocka_unit_test(what_a_program_sent_before_it_left_arrives),
        cmocka_unit_test(messages_of_the_host_stay_whole),
        cmocka_unit_test(messages_wait_for_a_slow_reader),
        cmocka_unit_test(connections_leave_nothing_behind),
        cmocka_unit_test(sockets_beyond_the_limit_are_turned_away),
        cmocka_unit_test(path_in_use_is_said_and_a_stale_one_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
