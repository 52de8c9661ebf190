/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening socket in a process that has no file descriptor left: the loop rests instead of spinning, says so once,
 * and the client that waited is served when there is room again.
 */
#include <bulkhead/impl/accept.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct bed {
    struct bh_diag_sink sink;
    struct bh_loop *loop;
    struct bh_loop_fd watch;
    struct bh_accept accept;
    unsigned called;
    int accepted;
};

static void count_only(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static void came(struct bh_loop_fd *watch, uint32_t events)
{
    struct bed *bed = BH_LOOP_OWNER(watch, struct bed, watch);
    const int fd = bh_accept(&bed->accept, watch, &bed->sink, "the test's socket");
    bed->called++;
    if (fd >= 0)
        bed->accepted = fd;
}

static void run_for(struct bed *bed, uint64_t ms)
{
    const uint64_t end = bh_loop_now() + ms * 1000000u;
    while (bh_loop_now() < end && bed->accepted < 0)
        assert_true(bh_loop_step(bed->loop, 20) >= 0);
}

/* Every descriptor below the limit is in use: the limit is brought down to the ones that are. */
static void forbid_more_fds(struct rlimit *before)
{
    struct rlimit none;
    const int next = dup(0);
    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    none = (struct rlimit){(rlim_t)next, before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void no_fd_left_is_waited_for_and_said_once(void **state)
{
    struct bed bed = {.sink = {.emit = count_only}, .accepted = -1};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(address);
    struct rlimit before;
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)state;
    /* An abstract name that the kernel picks: nothing to clean up. */
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(bh_loop_create(&bed.loop), BH_OK);
    assert_int_equal(bh_loop_fd_add(bed.loop, &bed.watch, listener, BH_LOOP_READ, came), BH_OK);
    assert_int_equal(connect(client, (struct sockaddr *)&address, length), 0);

    forbid_more_fds(&before);
    run_for(&bed, 350);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(bed.accepted, -1);
    assert_in_range(bed.called, 1, 4); /* at once, and each 100 ms */
    assert_int_equal(bed.sink.warning_count, 1);

    run_for(&bed, 2000);
    assert_true(bed.accepted >= 0);

    bh_accept_cancel(&bed.accept);
    bh_loop_fd_remove(&bed.watch);
    close(bed.accepted);
    close(client);
    close(listener);
    bh_loop_destroy(bed.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_fd_left_is_waited_for_and_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
