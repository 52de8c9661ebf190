/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's protocols: what arrives at a notification socket, and which listen fds are taken.
 */
#include "tests/unit/send_fds.h"

#include <bulkhead/impl/notify_keeper.h>

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static int manager = -1;

/* A manager on an abstract address that the kernel picks. */
static int setup(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(address);
    char path[sizeof(address.sun_path) + 1];
    (void)state;
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (manager < 0 || bind(manager, (struct sockaddr *)&address, sizeof(sa_family_t)) ||
        getsockname(manager, (struct sockaddr *)&address, &length))
        return -1;
    snprintf(path, sizeof(path), "@%.*s", (int)(length - sizeof(sa_family_t) - 1), address.sun_path + 1);
    return setenv("NOTIFY_SOCKET", path, 1);
}

static int teardown(void **state)
{
    (void)state;
    close(manager);
    return unsetenv("NOTIFY_SOCKET");
}

/* One datagram; the fd that came with it, or -1. */
static int receive(char *text, size_t size)
{
    int fd;
    const ssize_t got = test_recv_fd(manager, text, size - 1, MSG_DONTWAIT, &fd);
    assert_true(got >= 0);
    text[got] = '\0';
    return fd;
}

static void a_state_arrives_as_one_datagram(void **state)
{
    char text[256];
    (void)state;
    assert_int_equal(bh_notify("READY=1\nSTATUS=%s", "serving"), BH_OK);
    assert_int_equal(receive(text, sizeof(text)), -1);
    assert_string_equal(text, "READY=1\nSTATUS=serving");
}

static void fds_are_kept_and_dropped_by_name(void **state)
{
    struct bh_notify_keeper keeper;
    char text[256];
    (void)state;
    assert_int_equal(bh_notify_keeper_open(&keeper, NULL, 0), BH_OK);
    assert_int_equal(keeper.keeper.ops->put(&keeper.keeper, "vu-kick-0", 1), BH_OK);
    const int fd = receive(text, sizeof(text));
    assert_string_equal(text, "FDSTORE=1\nFDPOLL=0\nFDNAME=kept-vu-kick-0");
    assert_true(fd >= 0);
    close(fd);
    keeper.keeper.ops->drop(&keeper.keeper, "vu-kick-0");
    assert_int_equal(receive(text, sizeof(text)), -1);
    assert_string_equal(text, "FDSTOREREMOVE=1\nFDNAME=kept-vu-kick-0");
    bh_notify_keeper_close(&keeper);
}

static void *read_late(void *unused)
{
    char text[256];
    (void)unused;
    usleep(200 * 1000);
    while (recv(manager, text, sizeof(text), MSG_DONTWAIT) > 0)
        ;
    return NULL;
}

static void a_full_queue_is_waited_for(void **state)
{
    struct bh_notify_keeper keeper;
    pthread_t reader;
    int sent = 0;
    (void)state;
    assert_int_equal(bh_notify_keeper_open(&keeper, NULL, 0), BH_OK);
    while (!bh_notify("STATUS=%d", sent)) /* which does not wait */
        assert_true(sent++ < 100000);
    assert_int_equal(pthread_create(&reader, NULL, read_late, NULL), 0);
    assert_int_equal(keeper.keeper.ops->put(&keeper.keeper, "late", 1), BH_OK);
    pthread_join(reader, NULL);
    bh_notify_keeper_close(&keeper);
}

static void what_was_kept_is_told_from_sockets(void **state)
{
    struct bh_notify_keeper keeper;
    struct bh_listen_fd passed[] = {
        {.name = "listen"}, {.name = "kept-vu-state"}, {.name = "kept-"}, {.name = "kept-vu-x"}};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        passed[i].fd = fcntl(1, F_DUPFD_CLOEXEC, 10);
    const int kept = passed[1].fd, left = passed[3].fd;
    assert_int_equal(bh_notify_keeper_open(&keeper, passed, 4), BH_OK);
    assert_int_equal(keeper.keeper.kept_count, 2);
    assert_int_equal(bh_keeper_take(&keeper.keeper, "vu-state"), kept);
    assert_int_equal(bh_keeper_take(&keeper.keeper, "vu-state"), -1);
    assert_int_equal(bh_keeper_take(&keeper.keeper, "listen"), -1);
    bh_notify_keeper_close(&keeper);
    assert_int_equal(fcntl(left, F_GETFD), -1);
    assert_int_equal(fcntl(kept, F_GETFD), FD_CLOEXEC);
    assert_true(passed[0].fd >= 0 && passed[1].fd < 0 && passed[2].fd >= 0 && passed[3].fd < 0);
    close(kept);
    close(passed[0].fd);
    close(passed[2].fd);

    unsetenv("NOTIFY_SOCKET");
    struct bh_listen_fd orphan = {.fd = fcntl(1, F_DUPFD_CLOEXEC, 10), .name = "kept-vu-state"};
    const int number = orphan.fd;
    assert_int_equal(bh_notify_keeper_open(&keeper, &orphan, 1), BH_ERR_NOENT);
    assert_int_equal(fcntl(number, F_GETFD), -1);
}

static void without_a_manager_nothing_happens(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(bh_notify("READY=1"), BH_OK);
    setenv("NOTIFY_SOCKET", "relative", 1);
    assert_int_equal(bh_notify("READY=1"), BH_ERR_INVAL);
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    assert_int_equal(bh_notify("READY=1"), BH_ERR_IO);
    unsetenv("NOTIFY_SOCKET");
}

static void announce(long pid, const char *count, const char *names)
{
    char text[32];
    snprintf(text, sizeof(text), "%ld", pid);
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDS", count, 1);
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
    else
        unsetenv("LISTEN_FDNAMES");
}

static void passed_fds_are_taken_once_and_with_their_names(void **state)
{
    struct bh_listen_fd fds[4];
    size_t count = 9;
    const int saved[] = {fcntl(3, F_DUPFD_CLOEXEC, 10), fcntl(4, F_DUPFD_CLOEXEC, 10)};
    (void)state;
    assert_int_equal(dup2(1, 3), 3);
    assert_int_equal(dup2(1, 4), 4);
    announce(getpid(), "2", "front:");
    assert_int_equal(bh_listen_fds(fds, 4, &count), BH_OK);
    assert_int_equal(count, 2);
    assert_string_equal(fds[0].name, "front");
    assert_string_equal(fds[1].name, "");
    assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(bh_listen_fds(fds, 4, &count), BH_OK);
    assert_int_equal(count, 0);
    announce(getpid(), "2", NULL);
    assert_int_equal(bh_listen_fds(fds, 1, &count), BH_ERR_RANGE);
    announce(getpid() + 1, "2", NULL); /* somebody else's */
    assert_int_equal(bh_listen_fds(fds, 4, &count), BH_OK);
    assert_int_equal(count, 0);
    close(3);
    close(4);
    announce(getpid(), "1", NULL); /* announced, but not there */
    assert_int_equal(bh_listen_fds(fds, 4, &count), BH_ERR_INVAL);
    announce(getpid(), "many", NULL);
    assert_int_equal(bh_listen_fds(fds, 4, &count), BH_OK);
    assert_int_equal(count, 0);
    for (int i = 0; i < 2; i++) {
        if (saved[i] >= 0) {
            dup2(saved[i], 3 + i);
            close(saved[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_state_arrives_as_one_datagram, setup, teardown),
        cmocka_unit_test_setup_teardown(fds_are_kept_and_dropped_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_kept_is_told_from_sockets, setup, teardown),
        cmocka_unit_test(without_a_manager_nothing_happens),
        cmocka_unit_test(passed_fds_are_taken_once_and_with_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
