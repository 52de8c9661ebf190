/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user's dirty log, from a migration's point of view: a copy of guest memory that is brought up to date by the
 * marked pages alone must equal guest memory. One page that was written and not marked, and it does not.
 */
#include "tests/unit/vhost_user_rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, FIRST = RIG_BASE / PAGE, LOG_OFFSET = 96, LOG_BYTES = (RIG_BASE / PAGE + 256) / 8 };
#define LOG_BIT      (UINT64_C(1) << VHOST_F_LOG_ALL)
#define PROTOCOL_BIT (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)

struct log {
    int fd;
    uint8_t *bits;
    uint8_t *copy; /* of guest memory, as the far side of a migration has it */
};

static void log_open(struct log *log)
{
    log->fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(log->fd >= 0);
    assert_int_equal(ftruncate(log->fd, LOG_OFFSET + LOG_BYTES), 0);
    log->bits = mmap(NULL, LOG_OFFSET + LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, log->fd, 0);
    assert_true(log->bits != MAP_FAILED);
    log->bits += LOG_OFFSET;
    log->copy = malloc(1u << 20);
    assert_non_null(log->copy);
}

static void log_close(struct log *log)
{
    munmap(log->bits - LOG_OFFSET, LOG_OFFSET + LOG_BYTES);
    close(log->fd);
    free(log->copy);
}

/* The answer, -1 none yet, -2 closed. */
static int tell_log(struct rig *rig, const struct log *log, uint64_t size, uint64_t offset)
{
    const struct vhost_user_log told = {size, offset};
    uint64_t value = 99;
    int got;
    rig_send(rig, VHOST_USER_SET_LOG_BASE, 0, &told, sizeof(told), &log->fd, 1);
    rig_pump(rig);
    got = rig_reply(rig, VHOST_USER_SET_LOG_BASE, &value, sizeof(value));
    return got < 0 ? got : (int)value;
}

static void set_logging(struct rig *rig, bool on)
{
    const uint64_t bits = bh_features_low64(&rig->features) | PROTOCOL_BIT | (on ? LOG_BIT : 0);
    assert_int_equal(rig_ask_u64(rig, VHOST_USER_SET_FEATURES, bits), 0);
}

static unsigned marks(const struct log *log)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LOG_BYTES; i++)
        count += (unsigned)__builtin_popcount(log->bits[i]);
    return count;
}

/* Everything as it is now. */
static void copy_all(const struct rig *rig, struct log *log)
{
    memcpy(log->copy, rig->guest.host, rig->guest.size);
    memset(log->bits, 0, LOG_BYTES);
}

/* The next round: marked pages alone, and marks for addresses that are none are a fault. */
static void copy_marked(const struct rig *rig, struct log *log)
{
    for (unsigned page = 0; page < LOG_BYTES * 8; page++) {
        if (!(log->bits[page / 8] >> page % 8 & 1))
            continue;
        assert_true(page >= FIRST && page < FIRST + rig->guest.size / PAGE);
        memcpy(log->copy + (page - FIRST) * PAGE, rig->guest.host + (page - FIRST) * PAGE, PAGE);
    }
    memset(log->bits, 0, LOG_BYTES);
}

static bool same(const struct rig *rig, const struct log *log)
{
    return memcmp(log->copy, rig->guest.host, rig->guest.size) == 0;
}

/* The driver offers a few buffers of many sizes, the far side takes a full copy, and the device does its work. */
static void one_round(struct rig *rig, struct log *log, unsigned round)
{
    bh_drv_guest_rewind(&rig->guest, 1u << 17); /* behind the rings */
    for (unsigned i = 0; i < 6; i++)
        (void)rig_add(rig, i % RIG_QUEUES, 1 + (round * 977 + i * 2311) % 9000);
    memset(rig->guest.host + (1u << 17), (int)round, rig->guest.size - (1u << 17));
    copy_all(rig, log);
    rig_pump(rig);
}

static const uint64_t rings[] = {
    0,
    UINT64_C(1) << BH_F_EVENT_IDX,
    UINT64_C(1) << BH_F_RING_PACKED,
    UINT64_C(1) << BH_F_RING_PACKED | UINT64_C(1) << BH_F_EVENT_IDX,
    UINT64_C(1) << BH_F_RING_PACKED | UINT64_C(1) << BH_F_IN_ORDER,
};

static void marked_pages_bring_a_copy_up_to_date(void **state)
{
    (void)state;
    for (unsigned l = 0; l < BH_COUNT(rings); l++) {
        struct rig rig;
        struct log log;
        log_open(&log);
        rig_open(&rig, false, NULL);
        rig_up(&rig, rings[l]);
        assert_int_equal(tell_log(&rig, &log, LOG_BYTES, LOG_OFFSET), 0);
        one_round(&rig, &log, 1);
        assert_int_equal(marks(&log), 0); /* a log alone is not asked for yet */
        rig_take(&rig, 0);
        rig_take(&rig, 1);
        set_logging(&rig, true);
        for (unsigned round = 2; round < 60; round++) {
            one_round(&rig, &log, round);
            assert_false(same(&rig, &log)); /* or the comparison below would say nothing */
            copy_marked(&rig, &log);
            assert_true(same(&rig, &log));
            assert_int_equal(rig_take(&rig, 0) + rig_take(&rig, 1), 6);
        }
        /* And a device whose marks are lost is found out. */
        set_logging(&rig, false);
        one_round(&rig, &log, 60);
        assert_int_equal(marks(&log), 0);
        copy_marked(&rig, &log);
        assert_false(same(&rig, &log));
        rig_close(&rig);
        log_close(&log);
    }
}

static void what_was_in_flight_when_logging_began_is_marked(void **state)
{
    struct rig rig;
    struct log log;
    (void)state;
    log_open(&log);
    rig_open_up(&rig, false);
    rig.device.hold = true;
    rig_add(&rig, 0, 5000);
    rig_pump(&rig);
    assert_int_equal(tell_log(&rig, &log, LOG_BYTES, LOG_OFFSET), 0);
    set_logging(&rig, true);
    copy_all(&rig, &log);
    memset(rig.device.held[0]->segs[0].base, 0x77, 5000);
    rig_release(&rig);
    copy_marked(&rig, &log);
    assert_true(same(&rig, &log));
    rig_close(&rig);
    log_close(&log);
}

static void a_new_log_takes_the_old_ones_place_and_its_fd_is_signalled(void **state)
{
    struct rig rig;
    struct log first, second;
    uint64_t count;
    int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    const unsigned fds = rig_fd_count();
    (void)state;
    log_open(&first);
    log_open(&second);
    rig_open_up(&rig, false);
    assert_int_equal(tell_log(&rig, &first, LOG_BYTES, LOG_OFFSET), 0);
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_LOG_FD, NULL, 0, &event, 1), 0);
    set_logging(&rig, true);
    assert_int_equal(tell_log(&rig, &second, LOG_BYTES, LOG_OFFSET), 0);
    memset(first.bits, 0, LOG_BYTES);
    one_round(&rig, &second, 1);
    assert_int_equal(marks(&first), 0);
    assert_true(marks(&second) > 0);
    assert_int_equal(read(event, &count, sizeof(count)), sizeof(count));
    /* A reset leaves the log: it is the migration's, not the driver's. */
    assert_int_equal(rig_ask(&rig, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    set_logging(&rig, true);
    assert_non_null(rig.mem.log);
    rig_close(&rig);
    log_close(&first);
    log_close(&second);
    assert_int_equal(rig_fd_count(), fds);
    close(event);
}

/* Pages beyond the log are left out, and no byte beyond it is touched. */
static void a_log_that_is_too_short_is_said_and_not_overrun(void **state)
{
    struct rig rig;
    struct log log;
    (void)state;
    log_open(&log);
    rig_open_up(&rig, false);
    assert_int_equal(tell_log(&rig, &log, FIRST / 8 + 1, LOG_OFFSET), 0);
    const unsigned said = rig.quiet.warning_count;
    set_logging(&rig, true);
    assert_int_equal(rig.quiet.warning_count, said + 1);
    one_round(&rig, &log, 1);
    for (unsigned i = FIRST / 8 + 1; i < LOG_BYTES; i++)
        assert_int_equal(log.bits[i], 0);
    assert_true(log.bits[FIRST / 8]);
    rig_close(&rig);
    log_close(&log);
}

static void logs_that_make_no_sense_end_the_connection(void **state)
{
    static const struct vhost_user_log wrong[] = {
        {0, 0},
        {LOG_BYTES, LOG_OFFSET + 1}, /* ends behind the file */
        {UINT64_MAX, 8},
        {8, UINT64_MAX - 7},
    };
    (void)state;
    for (unsigned i = 0; i < BH_COUNT(wrong); i++) {
        struct rig rig;
        struct log log;
        log_open(&log);
        rig_open(&rig, false, NULL);
        rig_up(&rig, 0);
        assert_int_equal(tell_log(&rig, &log, wrong[i].mmap_size, wrong[i].mmap_offset), -2);
        assert_false(rig.connected);
        rig_close(&rig);
        log_close(&log);
    }
}

static void a_log_that_is_truncated_ends_that_connection_alone(void **state)
{
    struct rig rig;
    struct log log;
    (void)state;
    log_open(&log);
    rig_open_up(&rig, true);
    assert_int_equal(tell_log(&rig, &log, LOG_BYTES, LOG_OFFSET), 0);
    set_logging(&rig, true);
    assert_int_equal(ftruncate(log.fd, 0), 0);
    rig_add(&rig, 0, 16);
    rig_pump(&rig);
    assert_false(rig.connected);
    assert_int_equal(bh_vhost_user_counters(rig.server)->lost_memory, 1);
    rig_hang_up(&rig);
    rig_connect(&rig);
    rig_up(&rig, 0);
    rig_serves(&rig, 0);
    rig_close(&rig);
    log_close(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marked_pages_bring_a_copy_up_to_date),
        cmocka_unit_test(what_was_in_flight_when_logging_began_is_marked),
        cmocka_unit_test(a_new_log_takes_the_old_ones_place_and_its_fd_is_signalled),
        cmocka_unit_test(a_log_that_is_too_short_is_said_and_not_overrun),
        cmocka_unit_test(logs_that_make_no_sense_end_the_connection),
        cmocka_unit_test(a_log_that_is_truncated_ends_that_connection_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
