/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets by path: what is replaced, what is left alone, and what a person is told.
 */
#include <bulkhead/base.h>
#include <bulkhead/impl/unix_socket.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct bed {
    struct bh_diag_sink sink;
    char folder[32], path[64];
    char said[256];
};

static void note(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    struct bed *bed = BH_CONTAINER(sink, struct bed, sink);
    snprintf(bed->said, sizeof(bed->said), "%s", diag->what);
}

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    bed->sink.emit = note;
    strcpy(bed->folder, "/tmp/test-unix.XXXXXX");
    if (!mkdtemp(bed->folder))
        return -1;
    snprintf(bed->path, sizeof(bed->path), "%s/s", bed->folder);
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;
    unlink(bed->path);
    const int err = rmdir(bed->folder);
    free(bed);
    return err;
}

/* As much as a killed program leaves. */
static void leave_behind(struct bed *bed, int type)
{
    const int fd = bh_unix_listen(bed->path, type, 1, 0);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(access(bed->path, F_OK), 0);
}

static void a_byte_goes_through(void **state)
{
    struct bed *bed = *state;
    char byte = 0;
    const int listener = bh_unix_listen(bed->path, SOCK_STREAM, 1, 0);
    const int client = bh_unix_connect(bed->path, SOCK_STREAM | SOCK_NONBLOCK);
    const int server = accept(listener, NULL, NULL);
    assert_true(client >= 0 && server >= 0);
    assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(client, F_GETFD) & FD_CLOEXEC);
    assert_false(fcntl(listener, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(client, "x", 1), 1);
    assert_int_equal(read(server, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(listener);
    close(client);
    close(server);
}

static void what_is_left_behind_is_replaced_when_asked_for(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    struct bed *bed = *state;
    for (unsigned i = 0; i < BH_COUNT(types); i++) {
        leave_behind(bed, types[i]);
        assert_int_equal(bh_unix_listen(bed->path, types[i], 1, 0), -1);
        assert_int_equal(errno, EADDRINUSE);
        const int fd = bh_unix_listen(bed->path, types[i], 1, BH_UNIX_REPLACE_STALE);
        const int peer = bh_unix_connect(bed->path, types[i]);
        assert_true(fd >= 0 && peer >= 0);
        close(fd);
        close(peer);
        unlink(bed->path);
    }
}

static void one_that_is_served_is_left_alone_and_hears_nothing(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    struct bed *bed = *state;
    for (unsigned i = 0; i < BH_COUNT(types); i++) {
        const int fd = bh_unix_listen(bed->path, types[i] | SOCK_NONBLOCK, 1, 0);
        assert_int_equal(bh_unix_listen(bed->path, types[i], 1, BH_UNIX_REPLACE_STALE), -1);
        assert_int_equal(errno, EADDRINUSE);
        assert_int_equal(bh_unix_complain(bed->path, EADDRINUSE, "way", &bed->sink), BH_ERR_BUSY);
        assert_string_equal(bed->said, "way: another process serves this socket");
        assert_int_equal(types[i] == SOCK_DGRAM ? -1 : accept(fd, NULL, NULL), -1);
        const int peer = bh_unix_connect(bed->path, types[i]);
        assert_true(peer >= 0);
        close(peer);
        close(fd);
        unlink(bed->path);
    }
}

static void a_file_is_never_replaced(void **state)
{
    struct bed *bed = *state;
    close(open(bed->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(bh_unix_listen(bed->path, SOCK_STREAM, 1, BH_UNIX_REPLACE_STALE), -1);
    assert_int_equal(bh_unix_complain(bed->path, errno, NULL, &bed->sink), BH_ERR_BUSY);
    assert_string_equal(bed->said, "it is there already and is no socket");
    assert_int_equal(access(bed->path, F_OK), 0);
}

static void a_socket_of_ours_alone_has_its_mode(void **state)
{
    struct bed *bed = *state;
    struct stat file;
    const mode_t before = umask(0);
    const int fd = bh_unix_listen(bed->path, SOCK_STREAM, 1, BH_UNIX_OURS_ALONE);
    umask(before);
    assert_true(fd >= 0);
    assert_int_equal(stat(bed->path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    close(fd);
}

static void a_path_that_no_address_holds_is_refused(void **state)
{
    struct bed *bed = *state;
    struct sockaddr_un address;
    char path[BH_UNIX_PATH_MAX + 2] = "";
    memset(path, 'x', BH_UNIX_PATH_MAX);
    assert_int_equal(bh_unix_address(&address, path), 0);
    assert_string_equal(address.sun_path, path);
    path[BH_UNIX_PATH_MAX] = 'x';
    assert_int_equal(bh_unix_connect(path, SOCK_STREAM), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(bh_unix_listen(path, SOCK_STREAM, 1, 0), -1);
    assert_int_equal(bh_unix_complain(path, errno, NULL, &bed->sink), BH_ERR_RANGE);
    assert_string_equal(bed->said, "the socket's path is too long");
    assert_int_equal(bh_unix_connect("", SOCK_STREAM), -1);
    assert_int_equal(bh_unix_listen("", SOCK_STREAM, 1, 0), -1);
    assert_int_equal(bh_unix_complain("", errno, NULL, &bed->sink), BH_ERR_INVAL);
    assert_string_equal(bed->said, "the socket's path is empty");
}

static void nobody_there_is_told_apart(void **state)
{
    struct bed *bed = *state;
    assert_int_equal(bh_unix_connect(bed->path, SOCK_STREAM), -1);
    assert_int_equal(errno, ENOENT);
    leave_behind(bed, SOCK_STREAM);
    assert_int_equal(bh_unix_connect(bed->path, SOCK_STREAM), -1);
    assert_int_equal(errno, ECONNREFUSED);
    assert_int_equal(bh_unix_listen("/nowhere/at/all", SOCK_STREAM, 1, 0), -1);
    assert_int_equal(bh_unix_complain("/nowhere/at/all", errno, NULL, &bed->sink), BH_ERR_NOENT);
    assert_string_equal(bed->said, "cannot listen on it: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_byte_goes_through, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_behind_is_replaced_when_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_is_served_is_left_alone_and_hears_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_is_never_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_socket_of_ours_alone_has_its_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(a_path_that_no_address_holds_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_there_is_told_apart, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
