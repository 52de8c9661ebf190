/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The netports that a test can be the other end of, in one loop: the link, the stream, the tap as far as there is none;
 * and what the options' texts mean.
 */
#include "devices/net/ports.h"
#include "devices/net/slirp_forward.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* --- The link --- */

struct side {
    struct bh_netport *port;
    unsigned changes, readable;
};

static struct side sides[2];
static struct bh_loop *loop;

static struct side *side_of(struct bh_netport *port)
{
    return port->user;
}

static void note_link(struct bh_netport *port)
{
    side_of(port)->changes++;
}

static void note_readable(struct bh_netport *port, unsigned pair)
{
    side_of(port)->readable++;
}

static void note_writable(struct bh_netport *port, unsigned pair)
{
}

static void ignore(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static void plug(unsigned i, const char *path, int fd)
{
    struct side *side = &sides[i];

    assert_int_equal(bh_port_link_create(loop, path, fd, 1500, bh_diag_default(), &side->port), BH_OK);
    side->port->user = side;
    side->port->link_changed = note_link;
    side->port->readable = note_readable;
    side->port->writable = note_writable;
}

/* Turn the loop until both ends' links are `up`. */
static void wait_links(bool up)
{
    for (unsigned i = 0; i < 400 && (sides[0].port->link_up != up || sides[1].port->link_up != up); i++)
        assert_true(bh_loop_step(loop, 10) >= 0);
    assert_int_equal(sides[0].port->link_up, up);
    assert_int_equal(sides[1].port->link_up, up);
}

static unsigned send_one(unsigned from, uint8_t *bytes, uint32_t len)
{
    struct bh_net_frame frame = {.first = {bytes, len}, .len = len};
    return sides[from].port->ops->send(sides[from].port, 0, &frame, 1);
}

static void expect_frame(unsigned at, const uint8_t *bytes, uint32_t len)
{
    struct bh_netport *port = sides[at].port;
    const struct bh_net_arrival *arrival;

    for (unsigned i = 0; i < 100 && !port->ops->peek(port, 0); i++)
        assert_true(bh_loop_step(loop, 10) >= 0);
    arrival = port->ops->peek(port, 0);
    assert_non_null(arrival);
    assert_int_equal(arrival->len, len);
    assert_memory_equal(arrival->bytes, bytes, len);
    port->ops->drop(port, 0);
}

static void ends_meet_whoever_starts_and_restarts(void **state)
{
    char folder[] = "/tmp/test-net.XXXXXX", path[64];
    uint8_t bytes[100] = {1, 2, 3};

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/link", folder);
    assert_int_equal(bh_loop_create(&loop), BH_OK);
    plug(0, path, -1);
    plug(1, path, -1);
    wait_links(true);
    for (unsigned gone = 0; gone < 2; gone++) { /* the one who listens, then the other */
        assert_int_equal(send_one(0, bytes, sizeof(bytes)), 1);
        expect_frame(1, bytes, sizeof(bytes));
        assert_int_equal(send_one(1, bytes, 60), 1);
        expect_frame(0, bytes, 60);
        bh_port_link_destroy(sides[gone].port);
        for (unsigned i = 0; i < 400 && sides[!gone].port->link_up; i++)
            assert_true(bh_loop_step(loop, 10) >= 0);
        assert_false(sides[!gone].port->link_up);
        plug(gone, path, -1);
        wait_links(true);
    }
    bh_port_link_destroy(sides[0].port);
    bh_port_link_destroy(sides[1].port);
    bh_loop_destroy(loop);
    assert_int_equal(rmdir(folder), 0); /* nothing is left behind */
}

static void guest_that_takes_nothing_does_not_stop_the_other(void **state)
{
    static uint8_t bytes[1500];
    unsigned sent = 0;
    uint64_t begin;
    int fds[2];

    assert_int_equal(bh_loop_create(&loop), BH_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    plug(0, NULL, fds[0]);
    plug(1, NULL, fds[1]);
    wait_links(true);
    while (sent < 5000 && send_one(0, bytes, sizeof(bytes)) == 1) { /* it is held in the end */
        sent++;
        assert_true(bh_loop_step(loop, 0) >= 0);
    }
    assert_true(sent < 5000);
    begin = bh_loop_now();
    while (send_one(0, bytes, sizeof(bytes)) == 0) {
        assert_true(bh_loop_now() - begin < 3000000000u);
        assert_true(bh_loop_step(loop, 10) >= 0);
    }
    bh_port_link_destroy(sides[0].port);
    bh_port_link_destroy(sides[1].port);
    bh_loop_destroy(loop);
}

static void stranger_on_the_link_is_hung_up_on(void **state)
{
    uint8_t text[64] = "GET / HTTP/1.0";
    int fds[2];

    assert_int_equal(bh_loop_create(&loop), BH_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    plug(0, NULL, fds[0]);
    assert_int_equal(write(fds[1], text, sizeof(text)), sizeof(text));
    for (unsigned i = 0; i < 5; i++)
        assert_true(bh_loop_step(loop, 0) >= 0);
    assert_false(sides[0].port->link_up);
    assert_true(read(fds[1], text, sizeof(text)) > 0); /* our hello */
    assert_int_equal(read(fds[1], text, sizeof(text)), 0);
    close(fds[1]);
    bh_port_link_destroy(sides[0].port);
    bh_loop_destroy(loop);
}

/* --- The stream --- */

static void wait_link(struct bh_netport *port, bool up)
{
    for (unsigned i = 0; i < 400 && port->link_up != up; i++)
        assert_true(bh_loop_step(loop, 10) >= 0);
    assert_int_equal(port->link_up, up);
}

static int accept_one(int listener)
{
    for (unsigned i = 0; i < 400; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            return fd;
        assert_true(bh_loop_step(loop, 10) >= 0);
    }
    fail_msg("nobody connects");
    return -1;
}

static void stream_connects_again_and_carries_frames(void **state)
{
    char folder[] = "/tmp/test-net.XXXXXX";
    uint8_t bytes[104] = {0, 0, 0, 100, 1, 2, 3}, got[200];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct bh_port_stream_setup setup = {.path = address.sun_path, .mtu = 1500};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), fd;

    assert_non_null(mkdtemp(folder));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/stream", folder);
    assert_int_equal(bh_loop_create(&loop), BH_OK);
    assert_int_equal(bh_port_stream_create(loop, &setup, bh_diag_default(), &sides[0].port), BH_OK);
    sides[0].port->user = &sides[0];
    sides[0].port->link_changed = note_link;
    sides[0].port->readable = note_readable;
    sides[0].port->writable = note_writable;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    for (unsigned i = 0; i < 2; i++) {
        fd = accept_one(listener);
        wait_link(sides[0].port, true);
        assert_int_equal(write(fd, bytes, 50), 50); /* a frame in two pieces */
        assert_true(bh_loop_step(loop, 0) >= 0);
        assert_null(sides[0].port->ops->peek(sides[0].port, 0));
        assert_int_equal(write(fd, bytes + 50, 54), 54);
        expect_frame(0, bytes + 4, 100);
        assert_int_equal(send_one(0, bytes + 4, 100), 1);
        assert_int_equal(read(fd, got, sizeof(got)), 104);
        assert_memory_equal(got, bytes, 104);
        close(fd);
        wait_link(sides[0].port, false);
    }
    bh_port_stream_destroy(sides[0].port);
    bh_loop_destroy(loop);
    close(listener);
    unlink(address.sun_path);
    assert_int_equal(rmdir(folder), 0);
}

/* --- The tap; with an interface behind it it is judged by guests --- */

static void what_is_no_tap_is_refused(void **state)
{
    static const char *const names[] = {"", "a/b", "sixteencharacter"};
    struct bh_diag_sink silent = {.emit = ignore};
    struct bh_netport *port;
    int fd = open("/dev/null", O_RDWR);
    struct bh_port_tap_setup setup = {.fds = &fd, .pair_count = 1, .mtu = 1500};

    assert_int_equal(bh_loop_create(&loop), BH_OK);
    assert_int_equal(bh_port_tap_create(loop, &setup, &silent, &port), BH_ERR_INVAL);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was the port's, and went with it */
    for (size_t i = 0; i < BH_COUNT(names); i++) {
        setup.name = names[i];
        assert_int_equal(bh_port_tap_create(loop, &setup, &silent, &port), BH_ERR_INVAL);
    }
    bh_loop_destroy(loop);
}

/* --- The options' texts --- */

static void forwards_are_read(void **state)
{
    static const char *const wrong[] = {"",
                                        "tcp",
                                        "tcp:80",
                                        "sctp:80:80",
                                        "tcp:0:80",
                                        "tcp:80:",
                                        "tcp:65536:1",
                                        "tcp:1.2.3:80:80",
                                        "tcp:80:1.2.3.4",
                                        "tcp:1.2.3.4:80",
                                        "tcp:80:80:80",
                                        "tcp:1.2.3.4:1:5.6.7.8:2:3",
                                        "tcp:-1:80",
                                        "tcp:80:8x"};
    struct bh_forward f;
    struct in_addr net, mask;

    assert_int_equal(bh_forward_parse("tcp:127.0.0.1:2201:22", &f), BH_OK);
    assert_false(f.udp);
    assert_int_equal(ntohl(f.host.s_addr), INADDR_LOOPBACK);
    assert_int_equal(f.host_port, 2201);
    assert_int_equal(f.guest.s_addr, 0);
    assert_int_equal(f.guest_port, 22);
    assert_int_equal(bh_forward_parse("udp:53:10.0.2.9:54", &f), BH_OK);
    assert_true(f.udp);
    assert_int_equal(ntohl(f.host.s_addr), INADDR_LOOPBACK); /* never open to the network unasked */
    assert_int_equal(f.host_port, 53);
    assert_int_equal(ntohl(f.guest.s_addr), 0x0a000209);
    assert_int_equal(f.guest_port, 54);
    for (size_t i = 0; i < BH_COUNT(wrong); i++)
        assert_int_equal(bh_forward_parse(wrong[i], &f), BH_ERR_SYNTAX);
    assert_int_equal(bh_subnet_parse("192.168.7.0/24", &net, &mask), BH_OK);
    assert_int_equal(ntohl(mask.s_addr), 0xffffff00u);
    assert_int_equal(bh_subnet_parse("192.168.7.1/24", &net, &mask), BH_ERR_SYNTAX);
    assert_int_equal(bh_subnet_parse("192.168.7.0/31", &net, &mask), BH_ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_meet_whoever_starts_and_restarts),
        cmocka_unit_test(guest_that_takes_nothing_does_not_stop_the_other),
        cmocka_unit_test(stranger_on_the_link_is_hung_up_on),
        cmocka_unit_test(stream_connects_again_and_carries_frames),
        cmocka_unit_test(what_is_no_tap_is_refused),
        cmocka_unit_test(forwards_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
