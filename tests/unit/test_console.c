/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class console against a port in the test's hand, and the host's side: the terminal with its log and its
 * clients.
 */
#include "devices/console/console.h"
#include "devices/console/ends.h"
#include "tests/unit/class_rig.h"

#include <bulkhead/impl/unix_socket.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define RX VIRTIO_CONSOLE_RECEIVEQ
#define TX VIRTIO_CONSOLE_TRANSMITQ

/* --- The class --- */

struct bed {
    struct bh_console_port port;
    size_t room;
    char printed[256];
    size_t printed_len;
    const char *typed;
    struct class_rig rig;
    struct bh_console console;
    struct bh_console_channel channel;
    struct bh_virtq queues[BH_CONSOLE_QUEUES(1)];
};

static size_t port_write(struct bh_console_port *port, const struct bh_seg *segs, unsigned count)
{
    struct bed *bed = BH_CONTAINER(port, struct bed, port);
    size_t taken = 0;

    for (unsigned i = 0; i < count && bed->room > 0; i++) {
        size_t part = segs[i].len < bed->room ? segs[i].len : bed->room;
        memcpy(bed->printed + bed->printed_len, segs[i].base, part);
        bed->printed_len += part;
        bed->room -= part;
        taken += part;
    }
    return taken;
}

static size_t port_read(struct bh_console_port *port, const struct bh_seg *segs, unsigned count)
{
    struct bed *bed = BH_CONTAINER(port, struct bed, port);
    size_t part = strlen(bed->typed) < segs[0].len ? strlen(bed->typed) : segs[0].len;

    memcpy(segs[0].base, bed->typed, part);
    bed->typed += part;
    return part;
}

static const struct bh_console_port_ops ops = {.write = port_write, .read = port_read};

static struct bed *bed_new(size_t room)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    assert_non_null(bed);
    bed->port.ops = &ops;
    bed->room = room;
    bed->typed = "";
    class_rig_open(&bed->rig, 2, BH_CONSOLE_BATCH, BH_CONSOLE_SEGS);
    bh_console_init(
        &bed->console, &bed->rig.mem,
        &(struct bh_console_memory){
            .ports_max = 1, .channels = &bed->channel, .queues = bed->queues, .memory = bed->rig.memory},
        &bed->port, 80, 25);
    class_rig_start(&bed->rig, &bed->console.dev, false, 0);
    return bed;
}

static void bed_free(struct bed *bed)
{
    class_rig_close(&bed->rig);
    free(bed);
}

static char *print(struct bed *bed, const char *text)
{
    uint32_t len = (uint32_t)strlen(text);
    char *at = class_rig_alloc(&bed->rig, len + 1);
    memcpy(at, text, len + 1);
    assert_int_equal(class_rig_add(&bed->rig, TX, at, len, NULL, 0, at), BH_OK);
    return at;
}

static void full_port_holds_output_and_loses_none(void **state)
{
    struct bed *bed = bed_new(7);
    char *a = print(bed, "hello "), *b = print(bed, "world");
    uint32_t used;

    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, TX, &used), a);
    assert_null(class_rig_get(&bed->rig, TX, &used));
    bed->room = 100;
    bed->port.writable(&bed->port);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, TX, &used), b);
    assert_int_equal(used, 0);
    assert_int_equal(bed->printed_len, 11);
    assert_memory_equal(bed->printed, "hello world", 11);
    bed_free(bed);
}

/* What was pushed is given back by nobody, what was not comes back. */
static void reset_in_the_middle_of_a_push_finds_what_is_left(void **state)
{
    struct bed *bed = bed_new(10);

    for (unsigned i = 0; i < 4; i++)
        print(bed, "1234");
    class_rig_reset_at_notification(&bed->rig);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->rig.pipe.done[BH_CONTROL_RESET], 1);
    assert_int_equal(bed->queues[TX].in_flight, 0);
    assert_int_equal(bed->channel.tx_count, 0);
    assert_int_equal(bed->printed_len, 10);
    bed_free(bed);
}

/* A client that does not read must not keep a region of guest memory from being taken away. */
static void full_port_does_not_keep_memory(void **state)
{
    struct bed *bed = bed_new(7);
    struct bh_mem_region moved = bed->rig.region;
    struct bh_mem_table table = {&moved, 1};
    char *a = print(bed, "hello "), *b = print(bed, "world");
    uint32_t used;

    class_rig_run(&bed->rig);
    moved.slot++;
    bh_device_mem_change(&bed->console.dev, &table);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->rig.pipe.done[BH_CONTROL_MEM], 1);
    bed->room = 100;
    bed->port.writable(&bed->port);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, TX, &used), a);
    assert_ptr_equal(class_rig_get(&bed->rig, TX, &used), b);
    assert_int_equal(bed->printed_len, 11);
    assert_memory_equal(bed->printed, "hello world", 11);
    bed_free(bed);
}

static void stop_gives_back_what_was_not_printed(void **state)
{
    struct bed *bed = bed_new(0);

    print(bed, "one");
    print(bed, "two");
    class_rig_run(&bed->rig);
    bh_device_queue_stop(&bed->console.dev, TX);
    assert_int_equal(bed->rig.pipe.done[BH_CONTROL_QUEUE_STOP], 1);
    assert_int_equal(bh_virtq_state(&bed->console.queues[TX]).avail, 0);
    bed_free(bed);
}

static void input_waits_for_buffers_and_buffers_for_input(void **state)
{
    struct bed *bed = bed_new(0);
    char *a = class_rig_alloc(&bed->rig, 4), *b = class_rig_alloc(&bed->rig, 4);
    uint32_t used;

    bed->typed = "abcdef";
    class_rig_run(&bed->rig);
    assert_int_equal(class_rig_add(&bed->rig, RX, NULL, 0, a, 4, a), BH_OK);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), a);
    assert_int_equal(used, 4);
    assert_int_equal(class_rig_add(&bed->rig, RX, NULL, 0, b, 4, b), BH_OK);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), b);
    assert_int_equal(used, 2);
    assert_memory_equal(b, "ef", 2);
    assert_int_equal(class_rig_add(&bed->rig, RX, NULL, 0, a, 4, a), BH_OK);
    class_rig_run(&bed->rig);
    assert_null(class_rig_get(&bed->rig, RX, &used));
    bed->typed = "g";
    bed->port.readable(&bed->port);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), a);
    assert_int_equal(used, 1);
    bed_free(bed);
}

static void emergency_write_prints_without_queues(void **state)
{
    struct bed *bed = bed_new(1);
    bh_le32 character = bh_le32_of('!');

    assert_int_equal(bh_device_config_write(&bed->console.dev, 8, &character, 4), BH_OK);
    assert_int_equal(bed->printed_len, 1);
    assert_int_equal(bed->printed[0], '!');
    assert_int_not_equal(bh_device_config_write(&bed->console.dev, 0, &character, 2), BH_OK);
    bed_free(bed);
}

static void resize_is_a_config_change(void **state)
{
    struct bed *bed = bed_new(0);
    struct virtio_console_config config;
    uint32_t generation = bh_device_generation(&bed->console.dev);

    bed->port.resized(&bed->port, 80, 25); /* as it was */
    assert_int_equal(bh_device_generation(&bed->console.dev), generation);
    bed->port.resized(&bed->port, 132, 43);
    assert_int_not_equal(bh_device_generation(&bed->console.dev), generation);
    bh_device_config_read(&bed->console.dev, 0, &config, sizeof(config));
    assert_int_equal(bh_le16_get(config.cols), 132);
    assert_int_equal(bh_le16_get(config.rows), 43);
    bed_free(bed);
}

/* --- The host's side --- */

struct host {
    struct bh_loop *loop;
    struct bh_terminal terminal;
    struct bh_end_socket socket;
    char folder[32];
    char path[64];
};

static int host_setup(void **state)
{
    struct host *host = calloc(1, sizeof(*host));
    assert_non_null(host);
    snprintf(host->folder, sizeof(host->folder), "/tmp/test-console.XXXXXX");
    assert_non_null(mkdtemp(host->folder));
    snprintf(host->path, sizeof(host->path), "%s/c", host->folder);
    assert_int_equal(bh_loop_create(&host->loop), BH_OK);
    bh_terminal_init(&host->terminal, host->loop, NULL);
    assert_int_equal(bh_end_socket_start(&host->socket, &host->terminal, host->path, -1, bh_diag_default()),
                     BH_OK);
    *state = host;
    return 0;
}

static int host_teardown(void **state)
{
    struct host *host = *state;
    bh_end_socket_stop(&host->socket);
    bh_terminal_fini(&host->terminal);
    bh_loop_destroy(host->loop);
    assert_int_equal(rmdir(host->folder), 0); /* nothing is left behind */
    free(host);
    return 0;
}

static void turn(struct host *host)
{
    for (unsigned i = 0; i < 8; i++)
        assert_true(bh_loop_step(host->loop, 0) >= 0);
}

static int client(struct host *host)
{
    int fd = bh_unix_connect(host->path, SOCK_STREAM | SOCK_NONBLOCK);

    assert_true(fd >= 0);
    turn(host);
    return fd;
}

static size_t guest_prints(struct host *host, const void *text, size_t len)
{
    struct bh_seg seg = {(void *)(uintptr_t)text, len};
    return host->terminal.port.ops->write(&host->terminal.port, &seg, 1);
}

static size_t guest_reads(struct host *host, char *to, size_t len)
{
    struct bh_seg seg = {to, len};
    const size_t got = host->terminal.port.ops->read(&host->terminal.port, &seg, 1);
    host->terminal.port.ops->given(&host->terminal.port, host->terminal.port.progress->given + got);
    return got;
}

static void later_client_takes_over(void **state)
{
    struct host *host = *state;
    char text[64];
    int a = client(host), b = client(host);

    assert_true(read(a, text, sizeof(text)) > 0); /* it is told */
    assert_int_equal(read(a, text, sizeof(text)), 0);
    assert_int_equal(guest_prints(host, "hi", 2), 2);
    turn(host);
    assert_int_equal(read(b, text, sizeof(text)), 2);
    close(a);
    close(b);
    turn(host);
    assert_false(bh_terminal_attached(&host->terminal));
}

static void what_a_client_typed_arrives_after_it_left(void **state)
{
    struct host *host = *state;
    static char typed[3 * BH_TERMINAL_IN], got[3 * BH_TERMINAL_IN];
    int fd = client(host);
    size_t len = 0;

    for (size_t i = 0; i < sizeof(typed); i++)
        typed[i] = (char)(i * 7);
    assert_int_equal(write(fd, typed, sizeof(typed)), sizeof(typed));
    close(fd);
    turn(host);
    for (size_t part;
         (part = guest_reads(host, got + len, 100 < sizeof(got) - len ? 100 : sizeof(got) - len)) > 0;
         turn(host))
        len += part;
    assert_int_equal(len, sizeof(typed));
    assert_memory_equal(got, typed, sizeof(typed));
    assert_false(bh_terminal_attached(&host->terminal));
}

static void slow_client_holds_the_guest_and_misses_nothing(void **state)
{
    struct host *host = *state;
    static uint8_t sent[1 << 20], got[1 << 20];
    int fd = client(host);
    size_t put = 0, len = 0;

    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (uint8_t)(i * 13 + (i >> 8));
    while (put < sizeof(sent)) {
        size_t part = guest_prints(host, sent + put, sizeof(sent) - put);
        put += part;
        turn(host);
        if (part == 0) { /* held: the client reads on */
            ssize_t n = read(fd, got + len, 10000);
            assert_true(n > 0);
            len += (size_t)n;
        }
    }
    assert_true(len > 0);
    for (ssize_t n; len < sizeof(got); len += (size_t)n) {
        turn(host);
        n = read(fd, got + len, sizeof(got) - len);
        assert_true(n > 0);
    }
    assert_memory_equal(got, sent, sizeof(sent));
    close(fd);
    turn(host);
}

static void guest_goes_on_with_nobody_attached(void **state)
{
    struct host *host = *state;
    static uint8_t text[3 * BH_TERMINAL_OUT];

    assert_int_equal(guest_prints(host, text, sizeof(text)), sizeof(text));
    assert_int_equal(host->terminal.unseen, sizeof(text));
}

/* --- The log --- */

static size_t size_of(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    fclose(file);
    return (size_t)size;
}

static void log_rotates_at_its_size_and_keeps_so_many(void **state)
{
    char folder[] = "/tmp/test-log.XXXXXX", path[48], old[3][56];
    char text[250];
    struct bh_console_log log;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/log", folder);
    for (unsigned i = 0; i < 3; i++)
        snprintf(old[i], sizeof(old[i]), "%s.%u", path, i + 1);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    assert_int_equal(bh_console_log_open(&log, path, 100, 2, bh_diag_default()), BH_OK);
    bh_console_log_write(&log, text, 90);
    assert_int_equal(size_of(old[0]), 0);
    bh_console_log_write(&log, text, sizeof(text)); /* 340 in all: 100, 100, 100, 40 */
    assert_int_equal(size_of(path), 40);
    assert_int_equal(size_of(old[0]), 100);
    assert_int_equal(size_of(old[1]), 100);
    assert_int_equal(size_of(old[2]), 0); /* the oldest fell off */
    assert_int_equal(log.lost, 0);
    bh_console_log_close(&log);
    assert_int_equal(bh_console_log_open(&log, path, 100, 2, bh_diag_default()), BH_OK);
    bh_console_log_write(&log, text, 1);
    assert_int_equal(size_of(path), 41); /* goes on where it was */
    bh_console_log_close(&log);
    unlink(path);
    unlink(old[0]);
    unlink(old[1]);
    assert_int_equal(rmdir(folder), 0);
}

/* --- A pseudo terminal --- */

static void pty_is_attached_while_somebody_has_it_open(void **state)
{
    struct host *host = *state;
    struct bh_end_pty pty;
    char link[64], text[16];

    snprintf(link, sizeof(link), "%s/pty", host->folder);
    assert_int_equal(bh_end_pty_start(&pty, &host->terminal, link, bh_diag_default()), BH_OK);
    for (unsigned round = 0; round < 2; round++) {
        int fd = open(link, O_RDWR | O_NOCTTY);
        assert_true(fd >= 0);
        for (unsigned i = 0; i < 100 && !bh_terminal_attached(&host->terminal); i++)
            assert_true(bh_loop_step(host->loop, 20) >= 0);
        assert_true(bh_terminal_attached(&host->terminal));
        assert_int_equal(guest_prints(host, "hi\n", 3), 3);
        turn(host);
        assert_int_equal(read(fd, text, sizeof(text)), 3); /* raw: no \r is added */
        assert_int_equal(write(fd, "yo", 2), 2);
        for (unsigned i = 0; i < 100 && bh_terminal_typed(&host->terminal) < 2;
             i++) /* the kernel passes it on later */
            assert_true(bh_loop_step(host->loop, 20) >= 0);
        assert_int_equal(guest_reads(host, text, sizeof(text)), 2);
        close(fd);
        for (unsigned i = 0; i < 100 && bh_terminal_attached(&host->terminal); i++)
            assert_true(bh_loop_step(host->loop, 20) >= 0);
        assert_false(bh_terminal_attached(&host->terminal));
    }
    bh_end_pty_stop(&pty);
    assert_int_not_equal(access(link, F_OK), 0);
}

/* Who pastes more than fits, leaves, and is back before the guest has read it: the terminal must not wait for an end. */
static void pty_opened_again_after_a_long_paste_still_hears(void **state)
{
    struct host *host = *state;
    struct bh_end_pty pty;
    char link[64], text[BH_TERMINAL_IN];
    size_t pasted = 0, heard = 0;
    int fd;

    snprintf(link, sizeof(link), "%s/pty", host->folder);
    assert_int_equal(bh_end_pty_start(&pty, &host->terminal, link, bh_diag_default()), BH_OK);
    fd = open(link, O_RDWR | O_NOCTTY | O_NONBLOCK);
    assert_true(fd >= 0);
    memset(text, 'p', sizeof(text));
    for (unsigned i = 0; i < 100 && pasted < BH_TERMINAL_IN + 1000; i++) {
        ssize_t put = write(fd, text, 1000);
        pasted += put > 0 ? (size_t)put : 0;
        assert_true(bh_loop_step(host->loop, 20) >= 0);
    }
    assert_true(pasted > BH_TERMINAL_IN);
    for (unsigned i = 0; i < 100 && bh_terminal_typed(&host->terminal) < BH_TERMINAL_IN; i++)
        assert_true(bh_loop_step(host->loop, 20) >= 0);
    close(fd);
    for (unsigned i = 0; i < 100 && !host->terminal.hung; i++)
        assert_true(bh_loop_step(host->loop, 20) >= 0);
    assert_true(host->terminal.hung);
    fd = open(link, O_RDWR | O_NOCTTY);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < 100 && heard < pasted; i++) {
        heard += guest_reads(host, text, sizeof(text));
        assert_true(bh_loop_step(host->loop, 20) >= 0);
    }
    assert_int_equal(heard, pasted);
    assert_int_equal(write(fd, "still here", 10), 10);
    for (unsigned i = 0; i < 100 && bh_terminal_typed(&host->terminal) < 10; i++)
        assert_true(bh_loop_step(host->loop, 20) >= 0);
    assert_int_equal(guest_reads(host, text, sizeof(text)), 10);
    assert_memory_equal(text, "still here", 10);
    close(fd);
    bh_end_pty_stop(&pty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_port_holds_output_and_loses_none),
        cmocka_unit_test(full_port_does_not_keep_memory),
        cmocka_unit_test(reset_in_the_middle_of_a_push_finds_what_is_left),
        cmocka_unit_test(stop_gives_back_what_was_not_printed),
        cmocka_unit_test(input_waits_for_buffers_and_buffers_for_input),
        cmocka_unit_test(emergency_write_prints_without_queues),
        cmocka_unit_test(resize_is_a_config_change),
        cmocka_unit_test_setup_teardown(later_client_takes_over, host_setup, host_teardown),
        cmocka_unit_test_setup_teardown(what_a_client_typed_arrives_after_it_left, host_setup, host_teardown),
        cmocka_unit_test_setup_teardown(slow_client_holds_the_guest_and_misses_nothing, host_setup,
                                        host_teardown),
        cmocka_unit_test_setup_teardown(guest_goes_on_with_nobody_attached, host_setup, host_teardown),
        cmocka_unit_test(log_rotates_at_its_size_and_keeps_so_many),
        cmocka_unit_test_setup_teardown(pty_is_attached_while_somebody_has_it_open, host_setup,
                                        host_teardown),
        cmocka_unit_test_setup_teardown(pty_opened_again_after_a_long_paste_still_hears, host_setup,
                                        host_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
