/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon hears of device processes, at its sockets: we are the process of one unit, and a child of ours is
 * somebody else.
 */
#include "daemon/system.h"
#include <bulkhead/impl/notify_keeper.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char names[4][8] = {"a", "one", "two", "none"}, socket_names[2][16] = {"a.one.sock", "a.two.sock"};
static struct bh_plan_device devices[] = {
    {.name = names[1],
     .class_name = names[3],
     .socket = socket_names[0],
     .link = BH_PLAN_NONE,
     .net_switch = BH_PLAN_NONE},
    {.name = names[2],
     .class_name = names[3],
     .socket = socket_names[1],
     .link = BH_PLAN_NONE,
     .net_switch = BH_PLAN_NONE},
};
static struct bh_plan_domain domain = {.name = names[0], .device_count = 2, .restart_limit = 1};
static uint32_t order[1];
static const struct bh_plan plan = {.name = names[0],
                                    .domains = &domain,
                                    .domain_count = 1,
                                    .devices = devices,
                                    .device_count = 2,
                                    .start_order = order};

struct place {
    char folder[64];
    struct system system;
    unsigned warnings;
    struct bh_notify_keeper keeper;
};

static void count_warnings(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    BH_CONTAINER(sink, struct place, system.sink)->warnings++;
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct system *system = &place->system;
    char path[128];
    snprintf(place->folder, sizeof(place->folder), "/tmp/bh-notify.XXXXXX");
    if (!mkdtemp(place->folder) || chdir(place->folder) || bh_loop_create(&system->loop))
        return -1;
    system->plan = &plan;
    system->sink.emit = count_warnings;
    for (int i = 0; i < CLIENTS_MAX; i++)
        system->clients[i].fd = -1;
    if (units_create(system) || notify_open(&system->units[0]) || notify_open(&system->units[1]))
        return -1;
    system->units[0].speaker = getpid();
    snprintf(path, sizeof(path), "%s/a.one.note", place->folder);
    setenv("NOTIFY_SOCKET", path, 1);
    *state = place;
    return bh_notify_keeper_open(&place->keeper, NULL, 0);
}

static int teardown(void **state)
{
    struct place *place = *state;
    struct system *system = &place->system;
    bh_notify_keeper_close(&place->keeper);
    unsetenv("NOTIFY_SOCKET");
    for (int i = 0; i < 2; i++) {
        device_forget(&system->units[i]);
        notify_close(&system->units[i]);
    }
    bh_loop_work_cancel(&system->settle);
    units_destroy(system);
    bh_loop_destroy(system->loop);
    unlink("a.one.note");
    unlink("a.two.note");
    const int left = chdir("/") || rmdir(place->folder);
    free(place);
    return left;
}

static unsigned open_fds(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int put(struct place *place, const char *name, int fd)
{
    return place->keeper.keeper.ops->put(&place->keeper.keeper, name, fd);
}

static bool same_file(int one, int other)
{
    struct stat a, b;
    return !fstat(one, &a) && !fstat(other, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void fds_are_kept_and_dropped_in_order(void **state)
{
    struct place *place = *state;
    struct unit *unit = &place->system.units[0];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const unsigned before = open_fds();
    assert_int_equal(put(place, "vu-1", ends[0]), BH_OK);
    assert_int_equal(put(place, "vu-2", ends[1]), BH_OK);
    place->keeper.keeper.ops->drop(&place->keeper.keeper, "vu-1");
    notify_drain(unit);
    assert_int_equal(unit->store.count, 1);
    assert_string_equal(unit->store.entries[0].name, "kept-vu-2");
    assert_true(same_file(unit->store.entries[0].fd, ends[1]));
    assert_int_equal(open_fds(), before + 1);
    assert_int_equal(place->system.units[1].store.count, 0);
    device_forget(unit);
    assert_int_equal(open_fds(), before);
    close(ends[0]);
    close(ends[1]);
}

static void others_and_wrong_words_leave_nothing(void **state)
{
    struct place *place = *state;
    struct unit *unit = &place->system.units[0];
    char flood[6000];
    const unsigned before = open_fds();
    const pid_t child = fork();
    assert_true(child >= 0);
    if (!child)
        _exit(put(place, "vu-child", 1) || bh_notify("READY=1"));
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(bh_notify_send(place->keeper.fd, (int[]){1}, "FDSTORE=1\nFDNAME=a:b"), BH_OK);
    assert_int_equal(bh_notify_send(place->keeper.fd, (int[]){1}, "STATUS=an fd for nothing"), BH_OK);
    assert_int_equal(bh_notify_send(place->keeper.fd, NULL, "FDSTORE=1\nFDNAME=no-fd"), BH_OK);
    memset(flood, 'x', sizeof(flood));
    memcpy(flood, "FDSTORE=1\n", 10);
    assert_int_equal(send(place->keeper.fd, flood, sizeof(flood), MSG_DONTWAIT), sizeof(flood));
    notify_drain(unit);
    assert_int_equal(unit->store.count, 0);
    assert_int_equal(open_fds(), before);
    assert_string_equal(unit->status, "an fd for nothing");
}

static void what_is_too_much_is_said_once(void **state)
{
    struct place *place = *state;
    struct unit *unit = &place->system.units[0];
    char name[16];
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < BH_FD_STORE_MAX + 100)
        skip();                      /* the host lets this user open too few */
    limit.rlim_cur = limit.rlim_max; /* as the daemon does */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < BH_FD_STORE_MAX + 5; i++) {
        snprintf(name, sizeof(name), "vu-%d", i);
        assert_int_equal(put(place, name, 1), BH_OK);
        notify_drain(unit);
    }
    assert_int_equal(unit->store.count, BH_FD_STORE_MAX);
    assert_int_equal(unit->store.refused, 5);
    assert_int_equal(place->warnings, 1);
}

static void what_is_in_the_queue_is_heard_to_its_last_word(void **state)
{
    struct place *place = *state;
    struct unit *unit = &place->system.units[0];
    unsigned sent = 0;
    while (!bh_notify("STATUS=%u", sent))
        assert_true(sent++ < 100000);
    assert_true(sent > 1);
    notify_drain(unit);
    assert_int_equal(strtoul(unit->status, NULL, 10), sent - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fds_are_kept_and_dropped_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(others_and_wrong_words_leave_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_much_is_said_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_in_the_queue_is_heard_to_its_last_word, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
