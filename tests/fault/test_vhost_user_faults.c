/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vhost-user back-end under a front-end that breaks rules, vanishes, or takes memory away: that connection ends,
 * the process goes on, nothing is left behind.
 */
#include "tests/unit/vhost_user_rig.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The next front-end finds a working device. */
static void works_again(struct rig *rig)
{
    if (rig->peer >= 0) {
        rig_pump(rig);
        assert_int_equal(rig_reply(rig, 0, NULL, 0), -2);
        rig_hang_up(rig);
    }
    rig_pump(rig);
    assert_false(rig->connected);
    rig->device.hold = false;
    rig_connect(rig);
    assert_true(rig->connected);
    rig_up(rig, 0);
    rig_serves(rig, 0);
}

static void a_front_end_that_vanishes_at_any_byte(void **state)
{
    const struct vhost_user_vring_state payload = {0, 8};
    uint8_t bytes[sizeof(struct vhost_user_header) + sizeof(payload)];
    const struct vhost_user_header head = {VHOST_USER_SET_VRING_NUM, VHOST_USER_VERSION, sizeof(payload)};
    struct rig rig;
    const unsigned fds = rig_fd_count();
    (void)state;
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), &payload, sizeof(payload));
    rig_open(&rig, true, NULL);
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        if (size)
            rig_send_raw(&rig, bytes, size, NULL, 0);
        rig_hang_up(&rig);
        rig_pump(&rig);
        assert_false(rig.connected);
        rig_connect(&rig);
    }
    rig_hang_up(&rig);
    works_again(&rig);
    rig_close(&rig);
    assert_int_equal(rig_fd_count(), fds);
}

static void messages_in_pieces_are_whole_again(void **state)
{
    const struct vhost_user_header get = {VHOST_USER_GET_QUEUE_NUM, VHOST_USER_VERSION, 0};
    uint64_t value;
    struct rig rig;
    (void)state;
    rig_open(&rig, false, NULL);
    for (size_t at = 0; at < sizeof(get); at++) {
        rig_send_raw(&rig, (const uint8_t *)&get + at, 1, NULL, 0);
        rig_pump(&rig);
    }
    assert_int_equal(rig_reply(&rig, VHOST_USER_GET_QUEUE_NUM, &value, sizeof(value)), 8);
    rig_close(&rig);
}

static void malformed_messages_end_the_connection(void **state)
{
    static const uint8_t zeros[1024];
    static const struct {
        uint32_t request, flags, size;
        unsigned fds;
    } wrong[] = {
        {VHOST_USER_GET_FEATURES, 2, 0, 0}, /* version 2 */
        {VHOST_USER_GET_FEATURES, 1 | VHOST_USER_FLAG_REPLY, 0, 0},
        {VHOST_USER_GET_FEATURES, 1, 513, 0}, /* larger than anything */
        {VHOST_USER_GET_FEATURES, 1, UINT32_MAX, 0},
        {VHOST_USER_GET_FEATURES, 1, 8, 0},
        {VHOST_USER_SET_FEATURES, 1, 4, 0},
        {VHOST_USER_SET_FEATURES, 1, 8, 1},
        {VHOST_USER_SET_VRING_NUM, 1, 12, 0},
        {VHOST_USER_SET_VRING_ADDR, 1, 32, 0},
        {VHOST_USER_SET_VRING_KICK, 1, 8, 0}, /* an fd announced, none there */
        {VHOST_USER_SET_VRING_KICK, 1, 8, 2},
        {VHOST_USER_SET_MEM_TABLE, 1, 4, 0},
        {VHOST_USER_SET_MEM_TABLE, 1, 8, 1}, /* 0 regions, 1 fd */
        {VHOST_USER_SET_MEM_TABLE, 1, 8 + 9 * 32, 8},
        {VHOST_USER_SET_MEM_TABLE, 1, 8, 9},
        {VHOST_USER_SET_MEM_TABLE, 1, 8, 40},
        {VHOST_USER_ADD_MEM_REG, 1, 40, 0},
        {VHOST_USER_ADD_MEM_REG, 1, 32, 1},
        {VHOST_USER_SET_BACKEND_REQ_FD, 1, 0, 0},
        {VHOST_USER_GET_CONFIG, 1, 11, 0},
        {VHOST_USER_GET_CONFIG, 1, 13, 0},        /* it counts 0 bytes */
        {4711, 1, 0, 0},                          /* unknown, and no answer asked for */
        {VHOST_USER_GET_SHARED_OBJECT, 1, 16, 0}, /* its answer cannot be given */
    };
    struct rig rig;
    int fds[40];
    const unsigned open_fds = rig_fd_count();
    (void)state;
    rig_open(&rig, true, NULL);
    for (unsigned i = 0; i < BH_COUNT(fds); i++)
        fds[i] = rig.guest.fd;
    for (unsigned i = 0; i < BH_COUNT(wrong); i++) {
        const struct vhost_user_header head = {wrong[i].request, wrong[i].flags, wrong[i].size};
        const uint32_t size = wrong[i].size <= sizeof(zeros) ? wrong[i].size : 0;
        uint8_t bytes[sizeof(head) + sizeof(zeros)];
        memcpy(bytes, &head, sizeof(head));
        memcpy(bytes + sizeof(head), zeros, size);
        rig_send_raw(&rig, bytes, sizeof(head) + size, fds, wrong[i].fds);
        works_again(&rig);
    }
    assert_int_equal(bh_vhost_user_counters(rig.server)->malformed, BH_COUNT(wrong) - 2);
    assert_int_equal(bh_vhost_user_counters(rig.server)->refused, 2);
    assert_true(rig.quiet.warning_count > 0 &&
                rig.quiet.warning_count <= 10); /* said, but not without limit */
    rig_close(&rig);
    assert_int_equal(rig_fd_count(), open_fds);
}

static void a_table_that_counts_what_it_does_not_have(void **state)
{
    struct vhost_user_mem_table table = {.region_count = 2};
    struct rig rig;
    int fds[2];
    (void)state;
    rig_open(&rig, true, NULL);
    fds[0] = fds[1] = rig.guest.fd;
    table.regions[0] = table.regions[1] = rig_region(&rig);
    rig_send(&rig, VHOST_USER_SET_MEM_TABLE, 0, &table, 8 + 32, fds, 2);
    works_again(&rig);
    /* Well formed, but they overlap; and 2^32 - 1 of them. */
    rig_send(&rig, VHOST_USER_SET_MEM_TABLE, 0, &table, 8 + 64, fds, 2);
    works_again(&rig);
    table.region_count = UINT32_MAX;
    rig_send(&rig, VHOST_USER_SET_MEM_TABLE, 0, &table, 8 + 64, fds, 2);
    works_again(&rig);
    rig_close(&rig);
}

static void memory_that_is_truncated_ends_that_connection_alone(void **state)
{
    const struct vhost_user_mem_region second = {0,
                                                 {RIG_BASE + (1u << 28), 1 << 16, RIG_USER + (1u << 28), 0}};
    const struct bh_drv_buf buf = {bh_daddr(RIG_BASE + (1u << 28) + 0x8000), 64};
    struct rig rig;
    int fd = memfd_create("shrinks", MFD_CLOEXEC);
    uint8_t *bytes;
    (void)state;
    assert_int_equal(ftruncate(fd, 1 << 16), 0);
    rig_open_up(&rig, true);
    assert_int_equal(rig_ask(&rig, VHOST_USER_ADD_MEM_REG, &second, sizeof(second), &fd, 1), 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_int_equal(bh_drv_ring_add(&rig.queue[0].ring, &buf, 0, 1, &rig), BH_OK);
    assert_int_equal(write(rig.kick[0], &(uint64_t){1}, 8), 8);
    rig_pump(&rig); /* the device writes there: SIGBUS */
    assert_int_equal(bh_vhost_user_counters(rig.server)->lost_memory, 1);
    works_again(&rig);
    /* A file that is too small from the start is refused, and the rest goes on. */
    assert_int_equal(rig_ask(&rig, VHOST_USER_ADD_MEM_REG, &second, sizeof(second), &fd, 1), 1);
    bytes = rig_add(&rig, 1, 16);
    rig_pump(&rig);
    assert_int_equal(bytes[0], 0x5a);
    rig_close(&rig);
    close(fd);
}

static void a_front_end_leaves_while_requests_are_in_flight(void **state)
{
    struct rig rig;
    uint8_t *bytes;
    (void)state;
    rig_open_up(&rig, true);
    rig.device.hold = true;
    for (unsigned i = 0; i < 8; i++)
        rig_add(&rig, i % 2, 64);
    rig_pump(&rig);
    assert_int_equal(rig.device.held_count, 8);
    bytes = rig.device.held[0]->segs[0].base;
    rig_hang_up(&rig);
    rig_pump(&rig);
    assert_false(rig.connected);
    /* Another one comes early: it waits until the device is quiet. A store still writes to the old memory. */
    rig_connect(&rig);
    assert_false(rig.connected);
    memset(bytes, 1, 64);
    rig_release(&rig);
    rig_pump(&rig);
    assert_true(rig.connected);
    rig.device.hold = false;
    rig_up(&rig, 0);
    rig_serves(&rig, 1);
    rig_close(&rig);
}

static void a_front_end_leaves_while_an_answer_is_due(void **state)
{
    static const struct {
        uint32_t request, size;
    } asked[] = {
        {VHOST_USER_RESET_DEVICE, 0},
        {VHOST_USER_GET_VRING_BASE, 8},
        {VHOST_USER_SET_MEM_TABLE, 8},
        {VHOST_USER_RESET_OWNER, 0},
    };
    struct rig rig;
    (void)state;
    rig_open(&rig, true, NULL);
    for (unsigned i = 0; i < BH_COUNT(asked); i++) {
        const struct vhost_user_vring_state payload = {0, 0}; /* ring 0; or a table of 0 regions */
        rig_up(&rig, 0);
        rig_holds_one(&rig);
        rig_send(&rig, asked[i].request, VHOST_USER_FLAG_NEED_REPLY, &payload, asked[i].size, NULL, 0);
        rig_pump(&rig);
        assert_int_equal(rig_reply(&rig, asked[i].request, NULL, 0), -1);
        rig_hang_up(&rig);
        rig_pump(&rig);
        assert_false(rig.connected);
        rig_release(&rig);
        works_again(&rig);
        rig_connect_again(&rig);
    }
    rig_close(&rig);
}

static void one_that_never_reads_its_answers_stops_only_itself(void **state)
{
    const struct vhost_user_header get = {VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0};
    struct rig rig;
    unsigned sent = 0;
    (void)state;
    rig_open(&rig, true, NULL);
    for (; sent < 1000000; sent++) {
        if (send(rig.peer, &get, sizeof(get), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(get))
            break;
        if (sent % 64 == 0)
            rig_pump(&rig);
    }
    assert_true(sent < 1000000); /* we stopped reading, and its own socket filled up */
    rig_pump(&rig);
    rig_hang_up(&rig);
    works_again(&rig);
    rig_close(&rig);
}

static void a_connected_server_ends_with_its_peer(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_up(&rig, false);
    rig_hang_up(&rig);
    rig_pump(&rig);
    assert_true(rig.ended);
    rig_close(&rig);
}

static void a_server_is_stopped_while_requests_are_in_flight(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_up(&rig, true);
    rig_holds_one(&rig);
    bh_vhost_user_stop(rig.server);
    rig_pump(&rig);
    assert_false(rig.stopped);
    rig_close(&rig); /* gives them back, and sees it stopped */
}

/* Gives an empty kick fd that waits, in the moment between the loop's finding it readable and our reading it. */
struct thief {
    struct bh_loop_fd watch;
    int kick;
};

static void steal(struct bh_loop_fd *watch, uint32_t events)
{
    struct thief *thief = BH_LOOP_OWNER(watch, struct thief, watch);
    uint64_t count;
    assert_int_equal(read(watch->fd, &count, sizeof(count)), sizeof(count));
    assert_int_equal(read(thief->kick, &count, sizeof(count)), sizeof(count));
    assert_int_equal(fcntl(thief->kick, F_SETFL, fcntl(thief->kick, F_GETFL) & ~O_NONBLOCK), 0);
}

static void a_kick_that_is_taken_away_again_stops_nobody(void **state)
{
    struct thief thief;
    struct rig rig;
    const int first = eventfd(0, EFD_CLOEXEC);
    (void)state;
    rig_open_up(&rig, true);
    thief.kick = rig.kick[0];
    assert_int_equal(bh_loop_fd_add(rig.loop, &thief.watch, first, BH_LOOP_READ, steal), BH_OK);
    assert_int_equal(write(first, &(uint64_t){1}, 8), 8); /* ready first, called first */
    assert_int_equal(write(rig.kick[0], &(uint64_t){1}, 8), 8);
    alarm(10);
    rig_pump(&rig);
    alarm(0);
    bh_loop_fd_remove(&thief.watch);
    close(first);
    rig_serves(&rig, 0);
    rig_close(&rig);
}

static int give_ring_socket(struct rig *rig, uint32_t request, int fd)
{
    return rig_ask(rig, request, &(uint64_t){0}, 8, &fd, 1);
}

static void a_full_socket_that_waits_is_no_call_fd_to_wait_for(void **state)
{
    struct rig rig;
    int ends[2];
    (void)state;
    rig_open_up(&rig, true);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(give_ring_socket(&rig, VHOST_USER_SET_VRING_CALL, ends[0]), 0);
    while (send(ends[0], &ends, sizeof(ends), MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) & ~O_NONBLOCK), 0);
    rig_add(&rig, 0, 16);
    alarm(10);
    rig_pump(&rig);
    alarm(0);
    assert_int_equal(rig_take(&rig, 0), 1);
    close(ends[0]);
    close(ends[1]);
    rig_close(&rig);
}

/*
 * A connection whose other end the front-end gave to us stays open when the front-end has gone, as if it were still
 * there: its slot is taken, and nothing more; a stop ends it.
 */
static void a_front_end_that_leaves_its_own_end_with_us_is_ended_by_a_stop(void **state)
{
    const unsigned fds = rig_fd_count();
    struct rig rig;
    (void)state;
    rig_open_up(&rig, true);
    assert_int_equal(give_ring_socket(&rig, VHOST_USER_SET_VRING_CALL, rig.peer), 0);
    rig_hang_up(&rig);
    rig_pump(&rig);
    assert_true(rig.connected);
    rig_close(&rig); /* sees it stopped */
    assert_int_equal(rig_fd_count(), fds);
}

static void without_fds_left_the_server_rests(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct rlimit before, none;
    struct rig rig;
    int calls = 0;
    (void)state;
    rig_open(&rig, true, NULL);
    rig_hang_up(&rig);
    rig_pump(&rig);
    const socklen_t length = (socklen_t)rig.path[sizeof(rig.path) - 1];
    memcpy(address.sun_path, rig.path, length);
    rig.peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){(rlim_t)rig.peer + 1, before.rlim_max};
    assert_int_equal(connect(rig.peer, (struct sockaddr *)&address, (socklen_t)sizeof(sa_family_t) + length),
                     0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (unsigned i = 0; i < 100; i++)
        calls += bh_loop_step(rig.loop, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(rig.connected);
    assert_in_range(calls, 1, 20);
    for (unsigned i = 0; i < 100 && !rig.connected; i++)
        assert_true(bh_loop_step(rig.loop, 20) >= 0);
    assert_true(rig.connected);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_front_end_that_vanishes_at_any_byte),
        cmocka_unit_test(messages_in_pieces_are_whole_again),
        cmocka_unit_test(malformed_messages_end_the_connection),
        cmocka_unit_test(a_table_that_counts_what_it_does_not_have),
        cmocka_unit_test(memory_that_is_truncated_ends_that_connection_alone),
        cmocka_unit_test(a_front_end_leaves_while_requests_are_in_flight),
        cmocka_unit_test(a_front_end_leaves_while_an_answer_is_due),
        cmocka_unit_test(one_that_never_reads_its_answers_stops_only_itself),
        cmocka_unit_test(a_connected_server_ends_with_its_peer),
        cmocka_unit_test(a_server_is_stopped_while_requests_are_in_flight),
        cmocka_unit_test(a_kick_that_is_taken_away_again_stops_nobody),
        cmocka_unit_test(a_full_socket_that_waits_is_no_call_fd_to_wait_for),
        cmocka_unit_test(a_front_end_that_leaves_its_own_end_with_us_is_ended_by_a_stop),
        cmocka_unit_test(without_fds_left_the_server_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
