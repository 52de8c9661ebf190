/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class rng: buffers filled in steps, short and waiting ones, what a driver does wrong; the host's source: a
 * file that ends and grows, the rate.
 */
#include "devices/rng/rng.h"
#include "devices/rng/source_host.h"
#include "tests/unit/class_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Gives `there` bytes of 'r', then nothing. */
struct bed {
    struct bh_rng_source source;
    size_t there;
    unsigned calls;
    struct class_rig rig;
    struct bh_rng rng;
};

static int fill(struct bh_rng_source *source, void *to, size_t len)
{
    struct bed *bed = BH_CONTAINER(source, struct bed, source);
    size_t count = len < bed->there ? len : bed->there;

    bed->calls++;
    if (count == 0)
        return BH_ERR_AGAIN;
    memset(to, 'r', count);
    bed->there -= count;
    return (int)count;
}

static const struct bh_rng_source_ops ops = {.fill = fill};

static struct bed *bed_new(size_t there, bool packed)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    assert_non_null(bed);
    bed->source.ops = &ops;
    bed->there = there;
    class_rig_open(&bed->rig, 1, BH_RNG_BATCH, BH_RNG_SEGS);
    bh_rng_init(&bed->rng, &bed->rig.mem, bed->rig.memory, &bed->source);
    class_rig_start(&bed->rig, &bed->rng.dev, packed, 0);
    return bed;
}

static void bed_free(struct bed *bed)
{
    class_rig_close(&bed->rig);
    free(bed);
}

static void big_buffer_is_filled_in_bounded_steps(void **state)
{
    struct bed *bed = bed_new(1 << 20, false);
    uint32_t len = 5 * BH_RNG_STEP + 3, used = 0;
    uint8_t *buffer = class_rig_alloc(&bed->rig, len);

    assert_int_equal(class_rig_add(&bed->rig, 0, NULL, 0, buffer, len, buffer), BH_OK);
    assert_true(bh_pipe_pump(&bed->rig.pipe, 64));
    assert_int_equal(bed->rng.filled, BH_RNG_STEP); /* one call, one step */
    assert_null(class_rig_get(&bed->rig, 0, &used));
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, 0, &used), buffer);
    assert_int_equal(used, len);
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(buffer[i], 'r');
    bed_free(bed);
}

static void dry_source_makes_a_short_buffer_and_the_next_one_wait(void **state)
{
    struct bed *bed = bed_new(10, true);
    uint8_t *a = class_rig_alloc(&bed->rig, 64), *b = class_rig_alloc(&bed->rig, 64);
    uint32_t used = 0;

    assert_int_equal(class_rig_add(&bed->rig, 0, NULL, 0, a, 64, a), BH_OK);
    assert_int_equal(class_rig_add(&bed->rig, 0, NULL, 0, b, 64, b), BH_OK);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, 0, &used), a);
    assert_int_equal(used, 10);
    assert_null(class_rig_get(&bed->rig, 0, &used));
    bed->there = 64;
    bed->source.ready(&bed->source);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, 0, &used), b);
    assert_int_equal(used, 64);
    bed_free(bed);
}

static void many_buffers_are_all_answered(void **state)
{
    struct bed *bed = bed_new(1 << 20, false);
    uint32_t used = 0;

    for (unsigned i = 0; i < CLASS_RIG_SIZE; i++) {
        uint8_t *buffer = class_rig_alloc(&bed->rig, 32);
        assert_int_equal(class_rig_add(&bed->rig, 0, NULL, 0, buffer, 32, buffer), BH_OK);
    }
    class_rig_run(&bed->rig);
    for (unsigned i = 0; i < CLASS_RIG_SIZE; i++) {
        assert_non_null(class_rig_get(&bed->rig, 0, &used));
        assert_int_equal(used, 32);
    }
    bed_free(bed);
}

static void buffer_without_room_breaks_the_queue(void **state)
{
    struct bed *bed = bed_new(100, false);
    uint8_t *out = class_rig_alloc(&bed->rig, 16);

    assert_int_equal(class_rig_add(&bed->rig, 0, out, 16, NULL, 0, out), BH_OK);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->rig.pipe.errors[0], 1);
    assert_int_equal(bed->rig.pipe.last_reason, BH_BROKEN_CLASS);
    assert_int_equal(bed->calls, 0);
    bed_free(bed);
}

static void reset_ends_while_buffers_wait_for_the_source(void **state)
{
    struct bed *bed = bed_new(0, false);
    uint8_t *buffer = class_rig_alloc(&bed->rig, 64);

    assert_int_equal(class_rig_add(&bed->rig, 0, NULL, 0, buffer, 64, buffer), BH_OK);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->rng.queue.in_flight, 1);
    bh_device_queue_stop(&bed->rng.dev, 0);
    assert_int_equal(bed->rig.pipe.done[BH_CONTROL_QUEUE_STOP], 1);
    assert_int_equal(bh_virtq_state(&bed->rng.queue).avail, 0); /* given back, not lost */
    bed_free(bed);
}

/* --- The host's source --- */

static unsigned ready_count;

static void note_ready(struct bh_rng_source *source)
{
    ready_count++;
}

static void rate_is_kept(void **state)
{
    struct bh_loop *loop;
    struct bh_rng_source_host host;
    uint8_t bytes[64];

    assert_int_equal(bh_loop_create(&loop), BH_OK);
    assert_int_equal(bh_rng_source_host_init(&host, loop, NULL, 40, 20, bh_diag_default()), BH_OK);
    host.source.ready = note_ready;
    ready_count = 0;
    assert_int_equal(host.source.ops->fill(&host.source, bytes, 64), 40);
    assert_int_equal(host.source.ops->fill(&host.source, bytes, 64), BH_ERR_AGAIN);
    uint64_t begin = bh_loop_now();
    while (ready_count == 0)
        assert_true(bh_loop_step(loop, 1000) >= 0);
    assert_true(bh_loop_now() - begin >= 15000000u);
    assert_int_equal(host.source.ops->fill(&host.source, bytes, 64), 40);
    bh_rng_source_host_fini(&host);
    bh_loop_destroy(loop);
}

static void discard(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static void file_that_ends_is_not_read_again(void **state)
{
    char path[] = "/tmp/test-rng.XXXXXX";
    struct bh_diag_sink sink = {.emit = discard};
    struct bh_loop *loop;
    struct bh_rng_source_host host;
    uint8_t bytes[64];
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "abcdef", 6), 6);
    assert_int_equal(bh_loop_create(&loop), BH_OK);
    assert_int_equal(bh_rng_source_host_init(&host, loop, path, 0, 1000, &sink), BH_OK);
    assert_int_equal(host.source.ops->fill(&host.source, bytes, 64), 6);
    assert_memory_equal(bytes, "abcdef", 6);
    assert_int_equal(host.source.ops->fill(&host.source, bytes, 64), BH_ERR_IO);
    assert_int_equal(sink.warning_count, 1);
    assert_int_equal(host.source.ops->fill(&host.source, bytes, 64), BH_ERR_IO);
    assert_int_equal(sink.warning_count, 1); /* said once */
    assert_int_equal(write(fd, "gh", 2), 2);
    assert_int_equal(host.source.ops->fill(&host.source, bytes, 64), 2);
    bh_rng_source_host_fini(&host);
    bh_loop_destroy(loop);
    close(fd);
    unlink(path);
    assert_int_equal(bh_rng_source_host_init(&host, NULL, path, 0, 1000, &sink), BH_ERR_NOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(big_buffer_is_filled_in_bounded_steps),
        cmocka_unit_test(dry_source_makes_a_short_buffer_and_the_next_one_wait),
        cmocka_unit_test(many_buffers_are_all_answered),
        cmocka_unit_test(buffer_without_room_breaks_the_queue),
        cmocka_unit_test(reset_ends_while_buffers_wait_for_the_source),
        cmocka_unit_test(rate_is_kept),
        cmocka_unit_test(file_that_ends_is_not_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
