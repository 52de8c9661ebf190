/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user with as many memory slots as the protocol's front-ends use, that come and go while the device works.
 */
#include "tests/unit/vhost_user_rig.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, SLOTS = 509, MORE = SLOTS - 1 };

/* Slot `i`: a page of the rig's file, at addresses of its own. */
static struct vhost_user_region region_of(const struct rig *rig, unsigned i)
{
    return (struct vhost_user_region){
        .guest_address = RIG_BASE + 0x10000000 + (uint64_t)i * 0x10000,
        .size = PAGE,
        .user_address = RIG_USER + 0x10000000 + (uint64_t)i * 0x10000,
        .mmap_offset = (1u << 18) + (uint64_t)i * PAGE % (rig->guest.size - (1u << 18)),
    };
}

static int ask(struct rig *rig, uint32_t request, unsigned i)
{
    const struct vhost_user_mem_region single = {0, region_of(rig, i)};
    return rig_ask(rig, request, &single, sizeof(single), &rig->guest.fd, request == VHOST_USER_ADD_MEM_REG);
}

static void add_buffer(struct rig *rig, unsigned queue, unsigned i)
{
    const struct vhost_user_region region = region_of(rig, i);
    rig->guest.host[region.mmap_offset + 16] = 0;
    assert_int_equal(bh_drv_ring_add(&rig->queue[queue].ring,
                                     &(struct bh_drv_buf){bh_daddr(region.guest_address + 16), 32}, 0, 1,
                                     rig),
                     BH_OK);
    assert_int_equal(write(rig->kick[queue], &(uint64_t){1}, 8), 8);
}

static void every_slot_is_reached_and_there_is_one_too_few(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_up(&rig, 0);
    assert_int_equal(rig_get(&rig, VHOST_USER_GET_MAX_MEM_SLOTS), SLOTS);
    for (unsigned i = 0; i < MORE; i++)
        assert_int_equal(ask(&rig, VHOST_USER_ADD_MEM_REG, i), 0);
    assert_int_equal(ask(&rig, VHOST_USER_ADD_MEM_REG, MORE), 1);
    for (unsigned i = 0; i < MORE; i++) {
        add_buffer(&rig, i % RIG_QUEUES, i);
        rig_pump(&rig);
        assert_int_equal(rig_take(&rig, i % RIG_QUEUES), 1);
        assert_int_equal(rig.guest.host[region_of(&rig, i).mmap_offset + 16], 0x5a);
    }
    for (unsigned i = 0; i < MORE; i++)
        assert_int_equal(ask(&rig, VHOST_USER_REM_MEM_REG, i), 0);
    assert_int_equal(rig.mem.table->count, 1);
    rig_close(&rig);
}

/* Chains are held in some, others come and go; a removal is answered when nothing is left in its region. */
static void slots_come_and_go_under_load(void **state)
{
    enum { USED = 60, TURNS = 4000 };
    bool there[USED] = {false};
    struct rig rig;
    uint32_t dice = 11;
    unsigned waited = 0, served = 0;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_up(&rig, 0);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        const unsigned i = (dice >> 8) % USED, queue = dice >> 30 & 1;
        dice = dice * 1664525 + 1013904223;
        if (!there[i]) {
            assert_int_equal(ask(&rig, VHOST_USER_ADD_MEM_REG, i), 0);
            there[i] = true;
        } else if (dice >> 28 < 3) {
            int answer = ask(&rig, VHOST_USER_REM_MEM_REG, i);
            if (answer == -1) { /* in use, or one that shares its count is */
                waited++;
                assert_true(rig.device.held_count > 0);
                rig_release(&rig);
                rig_pump(&rig);
                assert_int_equal(rig_reply(&rig, VHOST_USER_REM_MEM_REG, &(uint64_t){0}, 8), 8);
            } else {
                assert_int_equal(answer, 0);
            }
            there[i] = false;
        } else if (rig.device.held_count < 20) {
            rig.device.hold = dice >> 27 & 1;
            add_buffer(&rig, queue, i);
            rig_pump(&rig);
            if (!rig.device.hold)
                assert_int_equal(rig.guest.host[region_of(&rig, i).mmap_offset + 16], 0x5a);
        } else {
            rig_release(&rig);
            rig_pump(&rig);
        }
        served += rig_take(&rig, 0) + rig_take(&rig, 1);
    }
    assert_true(waited > 50 && served > 500);
    assert_false(rig_get(&rig, VHOST_USER_GET_STATUS) & BH_STATUS_NEEDS_RESET);
    rig_close(&rig);
}

/* GPA_ADDRESSES: rings are told by guest-physical addresses, and what a region says of the front-end's means nothing. */
static void a_front_end_without_addresses_of_its_own(void **state)
{
    const uint64_t protocol = RIG_PROTOCOL | 1u << VHOST_USER_PROTOCOL_F_GPA_ADDRESSES;
    struct vhost_user_mem_region slot;
    struct vhost_user_mem_table memory = {.region_count = 1};
    struct vhost_user_vring_addr addr = {.index = 0};
    struct rig rig;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_negotiate(&rig, 0);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_PROTOCOL_FEATURES, protocol), 0);
    memory.regions[0] = rig_region(&rig);
    memory.regions[0].user_address = 0;
    assert_int_equal(
        rig_ask(&rig, VHOST_USER_SET_MEM_TABLE, &memory, 8 + sizeof(memory.regions[0]), &rig.guest.fd, 1), 0);
    slot = (struct vhost_user_mem_region){0, region_of(&rig, 7)};
    slot.region.user_address = 0; /* as the other one's */
    assert_int_equal(rig_ask(&rig, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &rig.guest.fd, 1), 0);
    rig.stay_silent_on_enable = true;
    rig_start_ring(&rig, 0, 0);
    addr.descriptor = rig.queue[0].setup.desc.raw;
    addr.available = rig.queue[0].setup.driver.raw;
    addr.used = rig.queue[0].setup.device.raw;
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
    add_buffer(&rig, 0, 7);
    rig_pump(&rig);
    assert_int_equal(rig_take(&rig, 0), 1);
    assert_int_equal(rig.guest.host[region_of(&rig, 7).mmap_offset + 16], 0x5a);
    slot.region.user_address = 0x1000;
    assert_int_equal(rig_ask(&rig, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0), 0);
    rig_close(&rig);
}

/* QEMU 7.2 has each pair of a net's queues tell each region, and take it away again. */
static void a_region_told_again_is_counted(void **state)
{
    const unsigned queues = 128; /* as many as a device can have */
    struct vhost_user_mem_region other;
    struct rig rig;
    int another_file;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_up(&rig, 0);
    for (unsigned copy = 0; copy < queues; copy++)
        assert_int_equal(ask(&rig, VHOST_USER_ADD_MEM_REG, 3), 0);
    assert_int_equal(ask(&rig, VHOST_USER_ADD_MEM_REG, 3), 1);
    assert_int_equal(rig.mem.table->count, 2);
    /* Another part of the file, or another file, at the same addresses is no copy. */
    other = (struct vhost_user_mem_region){0, region_of(&rig, 3)};
    other.region.mmap_offset += PAGE;
    assert_int_equal(rig_ask(&rig, VHOST_USER_ADD_MEM_REG, &other, sizeof(other), &rig.guest.fd, 1), 1);
    other.region.mmap_offset -= PAGE;
    another_file = memfd_create("another", MFD_CLOEXEC);
    assert_int_equal(ftruncate(another_file, (off_t)rig.guest.size), 0);
    assert_int_equal(rig_ask(&rig, VHOST_USER_ADD_MEM_REG, &other, sizeof(other), &another_file, 1), 1);
    close(another_file);
    for (unsigned copy = 1; copy < queues; copy++)
        assert_int_equal(ask(&rig, VHOST_USER_REM_MEM_REG, 3), 0);
    add_buffer(&rig, 0, 3);
    rig_pump(&rig);
    assert_int_equal(rig_take(&rig, 0), 1);
    assert_int_equal(rig.guest.host[region_of(&rig, 3).mmap_offset + 16], 0x5a);
    assert_int_equal(ask(&rig, VHOST_USER_REM_MEM_REG, 3), 0);
    assert_int_equal(rig.mem.table->count, 1);
    assert_int_equal(ask(&rig, VHOST_USER_REM_MEM_REG, 3), 1);
    rig_close(&rig);
}

/* SET_MEM_TABLE says what there is, not what there is more: what it leaves in is there once. */
static void a_table_ends_all_copies(void **state)
{
    struct vhost_user_mem_region whole = {0};
    struct rig rig;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_negotiate(&rig, 0);
    rig_share_memory(&rig);
    whole.region = rig_region(&rig);
    for (unsigned copy = 0; copy < 3; copy++)
        assert_int_equal(rig_ask(&rig, VHOST_USER_ADD_MEM_REG, &whole, sizeof(whole), &rig.guest.fd, 1), 0);
    rig_share_memory(&rig);
    assert_int_equal(rig_ask(&rig, VHOST_USER_REM_MEM_REG, &whole, sizeof(whole), NULL, 0), 0);
    assert_int_equal(rig.mem.table->count, 0);
    assert_int_equal(rig_ask(&rig, VHOST_USER_REM_MEM_REG, &whole, sizeof(whole), NULL, 0), 1);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slot_is_reached_and_there_is_one_too_few),
        cmocka_unit_test(slots_come_and_go_under_load),
        cmocka_unit_test(a_front_end_without_addresses_of_its_own),
        cmocka_unit_test(a_region_told_again_is_counted),
        cmocka_unit_test(a_table_ends_all_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
