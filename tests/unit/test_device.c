/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device between a transport and a class: an echo class that can keep chains in flight, driven through the
 * pipe by the driver's rings, split and packed.
 */
#include "driver/guest.h"
#include "transports/pipe/pipe.h"

#include <bulkhead/impl/class.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* wants the headers above */

#define QUEUES  2u
#define SLOTS   4u
#define ECHO_ID 200u

struct echo {
    struct bh_device dev;
    struct bh_virtq queues[QUEUES];
    struct bh_chain *kept[QUEUES][SLOTS]; /* in flight, oldest first */
    unsigned kept_count[QUEUES];
    bool keep;     /* do not answer for now */
    bool refuse;   /* FEATURES_OK */
    bool stubborn; /* queue_stopping changes nothing: chains come back when the test says so */
    unsigned starts, resets;
    uint8_t config[12];
};

static struct echo *echo_of(const struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct echo, dev);
}

static const void *echo_config(const struct bh_device *dev, uint32_t *size)
{
    *size = sizeof(echo_of(dev)->config);
    return echo_of(dev)->config;
}

static int echo_config_write(struct bh_device *dev, uint32_t offset, const void *from, uint32_t len)
{
    memcpy(echo_of(dev)->config + offset, from, len);
    return BH_OK;
}

static struct bh_features echo_features(const struct bh_device *dev)
{
    struct bh_features f = bh_class_ring_features();

    bh_features_set(&f, 3);
    bh_features_set(&f, 120);
    return f;
}

static int echo_negotiated(struct bh_device *dev)
{
    return echo_of(dev)->refuse ? BH_ERR_UNSUPPORTED : BH_OK;
}

static void echo_start(struct bh_device *dev)
{
    echo_of(dev)->starts++;
}

static void echo_answer(struct echo *echo, unsigned index)
{
    for (unsigned i = 0; i < echo->kept_count[index]; i++) {
        struct bh_chain *chain = echo->kept[index][i];
        uint8_t bytes[256];
        size_t len = bh_chain_read(chain, 0, bytes, sizeof(bytes));

        chain->written = (uint32_t)bh_chain_write(chain, 0, bytes, len);
        bh_virtq_push(&echo->queues[index], &chain, 1);
    }
    echo->kept_count[index] = 0;
}

static enum bh_ready echo_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct echo *echo = echo_of(dev);
    struct bh_chain *chain;

    for (unsigned i = 0; i < budget; i++) {
        int count = echo->kept_count[q->index] < SLOTS ? bh_virtq_pop(q, &chain, 1) : 0;

        if (count <= 0)
            return count == BH_ERR_PENDING ? BH_READY_HELD : BH_READY_DRAINED;
        echo->kept[q->index][echo->kept_count[q->index]++] = chain;
        if (!echo->keep)
            echo_answer(echo, q->index);
    }
    return BH_READY_MORE;
}

static void echo_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    struct echo *echo = echo_of(dev);

    if (echo->stubborn)
        return;
    bh_virtq_unpop(q, echo->kept_count[q->index]);
    echo->kept_count[q->index] = 0;
}

static void echo_reset(struct bh_device *dev)
{
    echo_of(dev)->resets++;
}

static int echo_save(struct bh_device *dev, void *to, size_t size)
{
    if (size < 1)
        return BH_ERR_NOMEM;
    *(uint8_t *)to = echo_of(dev)->config[0];
    return 1;
}

static int echo_load(struct bh_device *dev, const void *from, size_t size)
{
    if (size != 1)
        return BH_ERR_PROTO;
    echo_of(dev)->config[0] = *(const uint8_t *)from;
    return BH_OK;
}

static const struct bh_class echo_class = {
    .name = "echo",
    .virtio_id = ECHO_ID,
    .config = echo_config,
    .config_write = echo_config_write,
    .features = echo_features,
    .negotiated = echo_negotiated,
    .start = echo_start,
    .queue_ready = echo_ready,
    .queue_stopping = echo_stopping,
    .reset = echo_reset,
    .save = echo_save,
    .load = echo_load,
};

/* --- A bench: an echo device on the pipe, and a guest ---------------------------------------------------- */

struct bench {
    struct echo echo;
    struct bh_mem mem;
    void *blocks[QUEUES];
    struct bh_pipe pipe;
    struct bh_drv_guest guest;
    struct bh_mem_region region[2];
    struct bh_mem_table table, second;
    struct bh_features features;
    struct bh_drv_queue queue[QUEUES];
    uint8_t *out, *in;
};

static void bench_init(struct bench *b)
{
    struct bh_virtq_memory memory[QUEUES];

    memset(b, 0, sizeof(*b));
    for (unsigned i = 0; i < QUEUES; i++) {
        b->blocks[i] = malloc(bh_virtq_memory_bytes(16, SLOTS, 8));
        assert_non_null(b->blocks[i]);
        bh_virtq_memory_place(&memory[i], b->blocks[i], 16, SLOTS, 8);
    }
    assert_int_equal(bh_drv_guest_create(&b->guest, bh_daddr(0x40000000), 1u << 20), BH_OK);
    b->region[0] = (struct bh_mem_region){b->guest.base, b->guest.size, b->guest.host, {0}, 0, 3};
    b->table = (struct bh_mem_table){b->region, 1};
    bh_mem_init(&b->mem, NULL);
    bh_mem_publish(&b->mem, &b->table);
    bh_device_init(&b->echo.dev, &echo_class, &b->mem, b->echo.queues, memory, QUEUES);
    bh_pipe_attach(&b->pipe, &b->echo.dev);
    b->out = bh_drv_guest_alloc(&b->guest, 4096, 16, NULL);
    b->in = bh_drv_guest_alloc(&b->guest, 4096, 16, NULL);
}

static void bench_fini(struct bench *b)
{
    bh_device_reset(&b->echo.dev);
    bh_pipe_detach(&b->pipe);
    for (unsigned i = 0; i < QUEUES; i++) {
        bh_drv_queue_destroy(&b->queue[i]);
        free(b->blocks[i]);
    }
    bh_drv_guest_destroy(&b->guest);
}

static void bench_negotiate(struct bench *b, bool packed)
{
    struct bh_device *dev = &b->echo.dev;

    memset(&b->features, 0, sizeof(b->features));
    bh_features_set(&b->features, BH_F_VERSION_1);
    bh_features_set(&b->features, BH_F_SUSPEND);
    bh_features_set(&b->features, BH_F_RING_RESET);
    if (packed)
        bh_features_set(&b->features, BH_F_RING_PACKED);
    bh_device_set_status(dev, BH_STATUS_ACKNOWLEDGE);
    bh_device_set_status(dev, BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER);
    assert_int_equal(bh_device_accept(dev, &b->features), BH_OK);
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 11);
}

static void bench_enable(struct bench *b, unsigned index)
{
    bh_drv_queue_destroy(&b->queue[index]);
    assert_int_equal(bh_drv_queue_create(&b->queue[index], &b->guest, 16, &b->features, 0), BH_OK);
    assert_int_equal(bh_device_queue_enable(&b->echo.dev, index, &b->queue[index].setup), BH_OK);
}

static void bench_up(struct bench *b, bool packed)
{
    bench_negotiate(b, packed);
    bench_enable(b, 0);
    bench_enable(b, 1);
    bh_device_set_status(&b->echo.dev, 15);
    assert_int_equal(bh_device_status(&b->echo.dev), 15);
}

static void pump(struct bench *b)
{
    for (unsigned i = 0; i < 100; i++) {
        if (!bh_pipe_pump(&b->pipe, 8))
            return;
    }
    fail_msg("the device never rests");
}

static void send(struct bench *b, unsigned index, uint8_t byte)
{
    struct bh_drv_buf bufs[2] = {{bh_drv_guest_addr(&b->guest, b->out + byte), 1},
                                 {bh_drv_guest_addr(&b->guest, b->in + byte), 1}};

    b->out[byte] = byte;
    assert_int_equal(bh_drv_ring_add(&b->queue[index].ring, bufs, 1, 1, b->in + byte), BH_OK);
    if (bh_drv_ring_kick_needed(&b->queue[index].ring))
        bh_pipe_kick(&b->pipe, index);
}

static unsigned received(struct bench *b, unsigned index)
{
    unsigned count = 0;
    void *token;
    uint32_t len;

    while (bh_drv_ring_get(&b->queue[index].ring, &token, &len) == 1) {
        uint8_t *in = token;

        assert_int_equal(len, 1);
        assert_int_equal(*in, in - b->in);
        count++;
    }
    assert_false(b->queue[index].ring.broken);
    return count;
}

/* --- Tests ----------------------------------------------------------------------------------------------- */

static struct bench bench;

static int setup(void **state)
{
    bench_init(&bench);
    return 0;
}
static int teardown(void **state)
{
    bench_fini(&bench);
    return 0;
}

static void features_not_offered_are_refused(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_features f = bh_device_offered(dev), withheld = {{0}};

    assert_true(bh_features_has(&f, 120));
    bh_features_set(&f, 99);
    assert_int_equal(bh_device_accept(dev, &f), BH_ERR_INVAL);
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 3);
    bh_features_clear(&f, 99);
    assert_int_equal(bh_device_accept(dev, &f), BH_OK);
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 11);
    assert_int_equal(bh_device_accept(dev, &f), BH_ERR_BUSY);
    assert_int_equal(dev->counters.features_refused, 2);
    bh_features_set(&withheld, 120);
    bh_device_withhold(dev, &withheld);
    f = bh_device_offered(dev);
    assert_false(bh_features_has(&f, 120));
}

static void features_ok_is_vetoed_by_the_class_and_without_version_1(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_features f = {{0}};

    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 3);
    bh_features_set(&f, BH_F_VERSION_1);
    assert_int_equal(bh_device_accept(dev, &f), BH_OK);
    bench.echo.refuse = true;
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 3);
    bh_device_set_status(dev, 7); /* DRIVER_OK without FEATURES_OK */
    assert_int_equal(bh_device_status(dev), 3);
    bench.echo.refuse = false;
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 11);
    bh_device_set_status(dev, 3); /* drops a bit */
    assert_int_equal(bh_device_status(dev), 11);
    assert_int_equal(dev->counters.status_refused, 2);
}

static void echo_answers(bool packed)
{
    bench_negotiate(&bench, packed);
    bench_enable(&bench, 0);
    send(&bench, 0, 1); /* before DRIVER_OK: nothing is consumed [virtio-1.4 2.1.2] */
    pump(&bench);
    assert_int_equal(received(&bench, 0), 0);
    assert_int_equal(bench.pipe.notifications[0], 0);
    bh_device_set_status(&bench.echo.dev, 15);
    pump(&bench);
    assert_int_equal(received(&bench, 0), 1);
    assert_int_equal(bench.pipe.notifications[0], 1);
    bench_enable(&bench, 1);
    for (unsigned round = 0; round < 10; round++) {
        for (uint8_t i = 0; i < 7; i++)
            send(&bench, round % 2, i);
        pump(&bench);
        assert_int_equal(received(&bench, round % 2), 7);
    }
    assert_int_equal(bench.echo.starts, 1);
}
static void echo_answers_split(void **state)
{
    echo_answers(false);
}
static void echo_answers_packed(void **state)
{
    echo_answers(true);
}

static void a_kick_while_every_slot_is_in_flight_is_not_lost(void **state)
{
    bench_up(&bench, false);
    bench.echo.keep = true;
    for (uint8_t i = 0; i < SLOTS + 2; i++)
        send(&bench, 0, i);
    pump(&bench);
    assert_int_equal(bench.echo.kept_count[0], SLOTS);
    bench.echo.keep = false;
    echo_answer(&bench.echo, 0); /* no kick follows */
    pump(&bench);
    assert_int_equal(received(&bench, 0), SLOTS + 2);
}

static void reset_waits_for_chains_and_overtakes_a_stop(void **state)
{
    struct bh_device *dev = &bench.echo.dev;

    bench_up(&bench, true);
    bench.echo.keep = bench.echo.stubborn = true;
    send(&bench, 0, 1);
    pump(&bench);
    bh_device_queue_stop(dev, 0);
    assert_int_equal(bench.pipe.done[BH_CONTROL_QUEUE_STOP], 0);
    bh_device_set_status(dev, 0);
    bh_device_set_status(dev, 0); /* joins the first */
    assert_int_equal(bench.pipe.cancelled[BH_CONTROL_QUEUE_STOP], 1);
    assert_int_equal(bench.pipe.done[BH_CONTROL_RESET], 0);
    assert_int_equal(bh_device_status(dev), 15);
    echo_answer(&bench.echo, 0);
    assert_int_equal(bench.pipe.done[BH_CONTROL_RESET], 1);
    assert_int_equal(bh_device_status(dev), 0);
    assert_int_equal(bench.echo.resets, 1);
    bench.echo.keep = bench.echo.stubborn = false;
    bench_up(&bench, true);
    send(&bench, 0, 2);
    pump(&bench);
    assert_int_equal(received(&bench, 0), 1);
}

static void queue_reset_gives_back_and_starts_anew(void **state)
{
    bench_up(&bench, false);
    bench.echo.keep = true;
    send(&bench, 0, 1);
    pump(&bench);
    assert_int_equal(bench.echo.kept_count[0], 1);
    bh_device_queue_reset(&bench.echo.dev, 0);
    assert_int_equal(bench.pipe.done[BH_CONTROL_QUEUE_RESET], 1);
    assert_false(bh_device_queue_enabled(&bench.echo.dev, 0));
    bench.echo.keep = false;
    send(&bench, 1, 3);
    bench_enable(&bench, 0);
    send(&bench, 0, 2);
    pump(&bench);
    assert_int_equal(received(&bench, 0), 1);
    assert_int_equal(received(&bench, 1), 1);
}

static void a_stopped_queue_goes_on_where_it_was(bool packed)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_virtq_setup resumed;

    bench_up(&bench, packed);
    for (uint8_t i = 0; i < 5; i++)
        send(&bench, 0, i);
    pump(&bench);
    assert_int_equal(received(&bench, 0), 5);
    bench.echo.keep = true;
    send(&bench, 0, 9);
    pump(&bench);
    bh_device_queue_stop(dev, 0); /* the class gives the chain back unused */
    assert_int_equal(bench.pipe.done[BH_CONTROL_QUEUE_STOP], 1);
    resumed = bench.queue[0].setup;
    resumed.state = bh_virtq_state(&bench.echo.queues[0]);
    bench.echo.keep = false;
    assert_int_equal(bh_device_queue_start(dev, 0, &resumed), BH_OK);
    pump(&bench);
    assert_int_equal(received(&bench, 0), 1);
}
static void a_stopped_queue_goes_on_where_it_was_split(void **state)
{
    a_stopped_queue_goes_on_where_it_was(false);
}
static void a_stopped_queue_goes_on_where_it_was_packed(void **state)
{
    a_stopped_queue_goes_on_where_it_was(true);
}

static void suspend_shows_when_quiet_and_resumes(void **state)
{
    struct bh_device *dev = &bench.echo.dev;

    bench_up(&bench, true);
    bench.echo.keep = bench.echo.stubborn = true;
    send(&bench, 0, 1);
    pump(&bench);
    bh_device_set_status(dev, 15 | BH_STATUS_SUSPEND);
    assert_int_equal(bh_device_status(dev), 15);
    echo_answer(&bench.echo, 0);
    assert_int_equal(bh_device_status(dev), 11 | BH_STATUS_SUSPEND);
    bench.echo.keep = false;
    assert_int_equal(received(&bench, 0), 1);
    send(&bench, 0, 2);
    pump(&bench);
    assert_int_equal(received(&bench, 0), 0);
    bh_device_config_changed(dev);
    assert_int_equal(bench.pipe.config_changes, 0);
    assert_int_equal(bh_device_config_write(dev, 0, "x", 1), BH_ERR_INVAL);
    bh_device_set_status(dev, 15 | BH_STATUS_SUSPEND);
    assert_int_equal(bh_device_status(dev), 15);
    assert_int_equal(bench.pipe.config_changes, 1);
    pump(&bench);
    assert_int_equal(received(&bench, 0), 1);
}

static void suspend_is_ignored_before_driver_ok_and_without_the_feature(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_features f = {{0}};

    bench_negotiate(&bench, false);
    bh_device_set_status(dev, 11 | BH_STATUS_SUSPEND);
    assert_int_equal(bh_device_status(dev), 11);
    bh_device_set_status(dev, 0);
    bh_features_set(&f, BH_F_VERSION_1);
    assert_int_equal(bh_device_accept(dev, &f), BH_OK);
    bh_device_set_status(dev, 15);
    bh_device_set_status(dev, 15 | BH_STATUS_SUSPEND);
    assert_int_equal(bh_device_status(dev), 15);
    assert_int_equal(dev->counters.status_refused, 2);
}

static void a_broken_ring_sets_needs_reset_once_and_a_reset_mends_it(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_drv_buf wild = {bh_daddr(0x1000), 8};

    bench_up(&bench, false);
    assert_int_equal(bh_drv_ring_add(&bench.queue[0].ring, &wild, 1, 0, NULL), BH_OK);
    bh_pipe_kick(&bench.pipe, 0);
    pump(&bench);
    assert_int_equal(bh_device_status(dev), 15 | BH_STATUS_NEEDS_RESET);
    assert_int_equal(bench.pipe.errors[0], 1);
    assert_int_equal(bench.pipe.last_reason, BH_BROKEN_FAULT);
    assert_int_equal(bench.pipe.config_changes, 1);
    send(&bench, 1, 4); /* the other queue lives */
    pump(&bench);
    assert_int_equal(received(&bench, 1), 1);
    bh_device_quiesce(dev); /* a pause does not mend it */
    bh_device_resume(dev);
    bh_pipe_kick(&bench.pipe, 0);
    pump(&bench);
    assert_int_equal(dev->counters.needs_reset, 1);
    bh_device_set_status(dev, 0);
    assert_int_equal(bh_device_status(dev), 0);
    bench_up(&bench, false);
    send(&bench, 0, 5);
    pump(&bench);
    assert_int_equal(received(&bench, 0), 1);
}

static void a_ring_outside_memory_is_needs_reset_at_driver_ok(void **state)
{
    bench_negotiate(&bench, false);
    bench_enable(&bench, 0);
    struct bh_virtq_setup bad = bench.queue[0].setup;

    bad.desc = bh_daddr(0x10);
    assert_int_equal(bh_device_queue_enable(&bench.echo.dev, 1, &bad), BH_OK);
    bad.size = 3;
    assert_int_equal(bh_device_queue_enable(&bench.echo.dev, 1, &bad), BH_ERR_INVAL);
    assert_int_equal(bh_device_queue_enable(&bench.echo.dev, 2, &bad), BH_ERR_NOENT);
    bh_device_set_status(&bench.echo.dev, 15);
    assert_int_equal(bh_device_status(&bench.echo.dev), 15 | BH_STATUS_NEEDS_RESET);
}

static void a_region_is_released_when_its_last_chain_came_back(void **state)
{
    struct bench *b = &bench;
    static uint8_t extra[4096];
    struct bh_drv_buf bufs[2] = {{bh_daddr(0x80000000), 1}, {bh_drv_guest_addr(&b->guest, b->in), 1}};

    b->region[1] = (struct bh_mem_region){bh_daddr(0x80000000), sizeof(extra), extra, {0}, 1, 3};
    b->second = (struct bh_mem_table){b->region, 2};
    bh_device_mem_change(&b->echo.dev, &b->second);
    assert_int_equal(b->pipe.done[BH_CONTROL_MEM], 1);
    bench_up(b, false);
    b->echo.keep = true;
    assert_int_equal(bh_drv_ring_add(&b->queue[0].ring, bufs, 1, 1, b->in), BH_OK);
    bh_pipe_kick(&b->pipe, 0);
    pump(b);
    assert_int_equal(b->echo.kept_count[0], 1);
    bh_device_mem_change(&b->echo.dev, &b->table);
    pump(b);
    assert_int_equal(b->pipe.done[BH_CONTROL_MEM], 1);
    echo_answer(&b->echo, 0);
    assert_int_equal(b->pipe.done[BH_CONTROL_MEM], 2);
    assert_int_equal(bh_device_status(&b->echo.dev), 15);
}

static void config_is_read_in_pieces_and_told_once_up(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    uint8_t bytes[6] = {9, 9, 9, 9, 9, 9};
    uint32_t generation = bh_device_generation(dev);

    memcpy(bench.echo.config, "abcdefghijkl", 12);
    bh_device_config_read(dev, 1, bytes, 2);
    assert_memory_equal(bytes, "bc\t", 3);
    bh_device_config_read(dev, 10, bytes, 6);
    assert_memory_equal(bytes, "kl\0\0\0\0", 6);
    bh_device_config_read(dev, 0xfffffff0u, bytes, 6);
    assert_memory_equal(bytes, "\0\0\0\0\0\0", 6);
    assert_int_equal(bh_device_config_write(dev, 8, "wxyz", 4), BH_OK);
    assert_int_equal(bh_device_config_write(dev, 9, "wxyz", 4), BH_ERR_RANGE);
    assert_int_equal(bh_device_config_write(dev, 0xffffffffu, "wxyz", 4), BH_ERR_RANGE);
    assert_int_equal(dev->counters.config_refused, 2);
    bench_negotiate(&bench, false);
    bh_device_config_changed(dev);
    assert_int_equal(bench.pipe.config_changes, 0);
    assert_int_not_equal(bh_device_generation(dev), generation);
    bh_device_set_status(dev, 15);
    assert_int_equal(bench.pipe.config_changes, 1);
}

static void state_moves_to_another_device(bool packed)
{
    static struct bench other;
    uint8_t state[512];
    int len;

    bench_up(&bench, packed);
    for (uint8_t i = 0; i < 9; i++) {
        send(&bench, 0, i);
        pump(&bench);
        assert_int_equal(received(&bench, 0), 1);
    }
    assert_int_equal(bh_device_save(&bench.echo.dev, state, sizeof(state)), BH_ERR_BUSY);
    bench.echo.config[0] = 77;
    bh_device_quiesce(&bench.echo.dev);
    assert_int_equal(bench.pipe.done[BH_CONTROL_QUIESCE], 1);
    send(&bench, 0, 20); /* it waits for whoever resumes */
    len = bh_device_save(&bench.echo.dev, state, sizeof(state));
    assert_true(len > 0);
    assert_int_equal(bh_device_save(&bench.echo.dev, state, (size_t)len - 1), BH_ERR_NOMEM);
    len = bh_device_save(&bench.echo.dev, state, sizeof(state));

    bench_init(&other);
    bh_mem_publish(&other.mem, &bench.table);
    for (int cut = 0; cut < len; cut++)
        assert_int_equal(bh_device_load(&other.echo.dev, state, (size_t)cut), BH_ERR_PROTO);
    for (int at = 0; at < len; at++) {
        state[at] ^= 0x20;
        assert_int_not_equal(bh_device_load(&other.echo.dev, state, (size_t)len), BH_OK);
        state[at] ^= 0x20;
    }
    assert_int_equal(bh_device_load(&other.echo.dev, state, (size_t)len), BH_OK);
    assert_int_equal(bh_device_status(&other.echo.dev), 15);
    assert_int_equal(other.echo.config[0], 77);
    bh_device_resume(&other.echo.dev);
    for (unsigned i = 0; i < 10; i++)
        (void)bh_pipe_pump(&other.pipe, 8);
    assert_int_equal(received(&bench, 0), 1);
    assert_int_equal(other.pipe.notifications[0], 1);
    bench_fini(&other);
}
static void state_moves_to_another_device_split(void **state)
{
    state_moves_to_another_device(false);
}
static void state_moves_to_another_device_packed(void **state)
{
    state_moves_to_another_device(true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(features_not_offered_are_refused),
        TEST(features_ok_is_vetoed_by_the_class_and_without_version_1),
        TEST(echo_answers_split),
        TEST(echo_answers_packed),
        TEST(a_kick_while_every_slot_is_in_flight_is_not_lost),
        TEST(reset_waits_for_chains_and_overtakes_a_stop),
        TEST(queue_reset_gives_back_and_starts_anew),
        TEST(a_stopped_queue_goes_on_where_it_was_split),
        TEST(a_stopped_queue_goes_on_where_it_was_packed),
        TEST(suspend_shows_when_quiet_and_resumes),
        TEST(suspend_is_ignored_before_driver_ok_and_without_the_feature),
        TEST(a_broken_ring_sets_needs_reset_once_and_a_reset_mends_it),
        TEST(a_ring_outside_memory_is_needs_reset_at_driver_ok),
        TEST(a_region_is_released_when_its_last_chain_came_back),
        TEST(config_is_read_in_pieces_and_told_once_up),
        TEST(state_moves_to_another_device_split),
        TEST(state_moves_to_another_device_packed),
    };

    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
