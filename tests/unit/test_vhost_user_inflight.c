/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user's in-flight area: what GET_INFLIGHT_FD gives, what SET_INFLIGHT_FD takes and refuses, and what stands in it
 * while requests are in flight. That they are done again is test_vhost_user_recovery's.
 */
#include "tests/unit/send_fds.h"
#include "tests/unit/vhost_user_rig.h"

#include <abi/vhost_user_inflight.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct area {
    struct vhost_user_inflight told;
    int fd;
    uint8_t *bytes;
};

/* GET_INFLIGHT_FD by hand: its answer brings an fd. */
static void get_area(struct rig *rig, struct area *area, uint32_t payload_size)
{
    const struct vhost_user_inflight wanted = {.num_queues = RIG_QUEUES, .queue_size = RIG_SIZE};
    struct {
        struct vhost_user_header head;
        uint8_t area[sizeof(struct vhost_user_inflight)];
    } reply;
    rig_send(rig, VHOST_USER_GET_INFLIGHT_FD, 0, &wanted, payload_size, NULL, 0);
    rig_pump(rig);
    assert_int_equal(test_recv_fd(rig->peer, &reply, sizeof(reply), MSG_DONTWAIT, &area->fd),
                     sizeof(reply.head) + payload_size);
    assert_int_equal(reply.head.size, payload_size);
    assert_true(area->fd >= 0);
    memcpy(&area->told, reply.area, VHOST_USER_INFLIGHT_BYTES);
    assert_int_equal(area->told.num_queues, RIG_QUEUES);
    assert_int_equal(area->told.queue_size, RIG_SIZE);
    assert_true(area->told.mmap_size >= RIG_QUEUES * RIG_SIZE * sizeof(struct vhost_user_desc_state_packed));
    area->bytes = mmap(NULL, area->told.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, area->fd, 0);
    assert_ptr_not_equal(area->bytes, MAP_FAILED);
}

static int set_area(struct rig *rig, const struct vhost_user_inflight *told, int fd)
{
    return rig_ask(rig, VHOST_USER_SET_INFLIGHT_FD, told, VHOST_USER_INFLIGHT_BYTES, &fd, 1);
}

static void drop_area(struct area *area)
{
    munmap(area->bytes, area->told.mmap_size);
    close(area->fd);
}

static unsigned count_in_flight(const struct area *area, bool packed)
{
    const struct vhost_user_queue_region_split *split = (const void *)area->bytes;
    const struct vhost_user_queue_region_packed *other = (const void *)area->bytes;
    unsigned count = 0;
    for (unsigned i = 0; i < RIG_SIZE; i++)
        count += packed ? other->desc[i].inflight : split->desc[i].inflight;
    return count;
}

static void the_area_shows_what_is_in_flight(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        const struct vhost_user_queue_region_split *region;
        struct area area;
        struct rig rig;
        rig_open(&rig, false, NULL);
        rig_negotiate(&rig, packed ? UINT64_C(1) << BH_F_RING_PACKED : 0);
        /* 20 bytes by the book, 24 from who sends the struct with its padding. */
        get_area(&rig, &area, packed ? 24 : 20);
        for (uint64_t i = 0; i < area.told.mmap_size; i++)
            assert_int_equal(area.bytes[i], 0);
        assert_int_equal(set_area(&rig, &area.told, area.fd), 0);
        rig_share_memory(&rig);
        for (unsigned i = 0; i < RIG_QUEUES; i++)
            rig_start_ring(&rig, i, packed ? 0x80008000u : 0);
        region = (const void *)area.bytes; /* version and size stand at the same place in both layouts */
        assert_int_equal(region->version, VHOST_USER_INFLIGHT_VERSION);
        assert_int_equal(region->desc_num, RIG_SIZE);
        rig.device.hold = true;
        for (unsigned i = 0; i < 3; i++)
            rig_add(&rig, 0, 16);
        rig_pump(&rig);
        assert_int_equal(count_in_flight(&area, packed), 3);
        assert_int_equal(set_area(&rig, &area.told, area.fd), 1); /* not while rings run */
        rig_release(&rig);
        assert_int_equal(count_in_flight(&area, packed), 0);
        rig_pump(&rig);
        assert_int_equal(rig_take(&rig, 0), 3);
        drop_area(&area);
        rig_close(&rig);
    }
}

static void areas_that_make_no_sense_are_refused(void **state)
{
    struct vhost_user_inflight told;
    struct area area;
    struct rig rig;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_negotiate(&rig, 0);
    get_area(&rig, &area, 20);
    told = area.told;
    told.mmap_size *= 2; /* more than there is */
    assert_int_equal(set_area(&rig, &told, area.fd), 1);
    told = area.told;
    told.mmap_offset = UINT64_MAX - 7;
    assert_int_equal(set_area(&rig, &told, area.fd), 1);
    told.mmap_offset = 4; /* its words would not be aligned */
    assert_int_equal(set_area(&rig, &told, area.fd), 1);
    told = area.told;
    told.num_queues = 0;
    assert_int_equal(set_area(&rig, &told, area.fd), 1);
    told.num_queues = UINT16_MAX; /* nothing is left for each */
    told.mmap_size = 64;
    assert_int_equal(set_area(&rig, &told, area.fd), 1);
    assert_int_equal(set_area(&rig, &area.told, rig.peer), 1); /* no file */
    assert_int_equal(set_area(&rig, &area.told, area.fd), 0);
    /* More queues than the device has: there is no good answer. */
    told = (struct vhost_user_inflight){.num_queues = RIG_QUEUES + 1, .queue_size = 8};
    rig_send(&rig, VHOST_USER_GET_INFLIGHT_FD, 0, &told, 20, NULL, 0);
    rig_pump(&rig);
    assert_int_equal(rig_reply(&rig, VHOST_USER_GET_INFLIGHT_FD, &told, sizeof(told)), -2);
    drop_area(&area);
    rig_close(&rig);
}

/* What stands in the area is a peer's: a ring that cannot start on it breaks its device and nothing else. */
static void records_that_make_no_sense_break_the_device_only(void **state)
{
    struct vhost_user_queue_region_split *region;
    struct area area;
    struct rig rig;
    (void)state;
    rig_open(&rig, true, NULL);
    rig_negotiate(&rig, 0);
    get_area(&rig, &area, 20);
    region = (void *)area.bytes;
    region->version = VHOST_USER_INFLIGHT_VERSION;
    region->desc_num = RIG_SIZE / 2;
    assert_int_equal(set_area(&rig, &area.told, area.fd), 0);
    rig_share_memory(&rig);
    rig_start_ring(&rig, 0, 0);
    assert_true(rig_get(&rig, VHOST_USER_GET_STATUS) & BH_STATUS_NEEDS_RESET);
    drop_area(&area);
    /* The next one is served. */
    rig_hang_up(&rig);
    rig_pump(&rig);
    rig_connect(&rig);
    rig_up(&rig, 0);
    rig_add(&rig, 0, 16);
    rig_pump(&rig);
    assert_int_equal(rig_take(&rig, 0), 1);
    rig_close(&rig);
}

/* An area that is cut short under us ends its connection, as memory does. */
static void an_area_that_is_truncated_ends_the_connection(void **state)
{
    struct vhost_user_inflight told = {.num_queues = RIG_QUEUES, .queue_size = RIG_SIZE, .mmap_size = 16384};
    struct rig rig;
    const int fd = memfd_create("area", MFD_CLOEXEC);
    (void)state;
    assert_int_equal(ftruncate(fd, 16384), 0);
    rig_open(&rig, true, NULL);
    rig_negotiate(&rig, 0);
    assert_int_equal(set_area(&rig, &told, fd), 0);
    rig_share_memory(&rig);
    rig_start_ring(&rig, 0, 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    rig_add(&rig, 0, 16);
    rig_pump(&rig);
    assert_false(rig.connected);
    assert_int_equal(bh_vhost_user_counters(rig.server)->lost_memory, 1);
    close(fd);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_area_shows_what_is_in_flight),
        cmocka_unit_test(areas_that_make_no_sense_are_refused),
        cmocka_unit_test(records_that_make_no_sense_break_the_device_only),
        cmocka_unit_test(an_area_that_is_truncated_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
