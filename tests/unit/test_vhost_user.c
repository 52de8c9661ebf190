/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user, the back-end's side: what each message does, when it is answered, and what is refused.
 */
#include "tests/unit/vhost_user_rig.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const uint64_t layouts[] = {0, UINT64_C(1) << BH_F_RING_PACKED};
#define PROTOCOL_BIT (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)
#define VERSION_BIT  (UINT64_C(1) << BH_F_VERSION_1)

static bool signalled(int fd)
{
    uint64_t count;
    return read(fd, &count, sizeof(count)) == sizeof(count);
}

static int get_base(struct rig *rig, unsigned index, uint32_t *base)
{
    struct vhost_user_vring_state state = {index, 0};
    int size;
    rig_send(rig, VHOST_USER_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
    rig_pump(rig);
    size = rig_reply(rig, VHOST_USER_GET_VRING_BASE, &state, sizeof(state));
    if (size == (int)sizeof(state))
        *base = state.num;
    return size;
}

static void what_is_offered(void **state)
{
    struct rig rig;
    uint64_t features;
    (void)state;
    rig_open(&rig, false, NULL);
    features = rig_get(&rig, VHOST_USER_GET_FEATURES);
    assert_true(features & PROTOCOL_BIT);
    assert_true(features & VERSION_BIT);
    assert_false(features >> BH_F_NOTIFICATION_DATA & 1);
    assert_false(features >> BH_F_ACCESS_PLATFORM & 1);
    assert_int_equal(rig_get(&rig, VHOST_USER_GET_PROTOCOL_FEATURES),
                     RIG_PROTOCOL | 1u << VHOST_USER_PROTOCOL_F_GPA_ADDRESSES |
                         1u << VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS);
    assert_int_equal(rig_get(&rig, VHOST_USER_GET_QUEUE_NUM), RIG_QUEUES);
    assert_int_equal(rig_get(&rig, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
    rig_close(&rig);
}

static void buffers_are_served_and_told(void **state)
{
    (void)state;
    for (unsigned l = 0; l < BH_COUNT(layouts); l++) {
        struct rig rig;
        uint8_t *bytes;
        rig_open(&rig, false, NULL);
        rig_up(&rig, layouts[l]);
        for (unsigned i = 0; i < 3 * RIG_SIZE; i++) { /* around the ring three times */
            bytes = rig_add(&rig, i % RIG_QUEUES, 32);
            rig_pump(&rig);
            assert_int_equal(bytes[0], 0x5a);
            assert_int_equal(bytes[31], 0x5a);
            assert_true(signalled(rig.call[i % RIG_QUEUES]));
            assert_int_equal(rig_take(&rig, i % RIG_QUEUES), 1);
        }
        rig_close(&rig);
    }
}

static void a_ring_stops_with_its_base_and_goes_on_from_it(void **state)
{
    (void)state;
    for (unsigned l = 0; l < BH_COUNT(layouts); l++) {
        struct rig rig;
        uint32_t base = 0;
        rig_open(&rig, false, NULL);
        rig_up(&rig, layouts[l]);
        for (unsigned i = 0; i < RIG_SIZE + 5; i++) {
            rig_serves(&rig, 0);
        }
        assert_int_equal(get_base(&rig, 0, &base), 8);
        /* Packed: slot 5 of the second lap, both wrap counters 0. */
        assert_int_equal(base, layouts[l] ? 0x00050005 : RIG_SIZE + 5);
        rig_add(&rig, 0, 16);
        rig_pump(&rig);
        assert_int_equal(rig_take(&rig, 0), 0);
        rig_start_ring(&rig, 0, base);
        rig_pump(&rig);
        assert_int_equal(rig_take(&rig, 0), 1);
        rig_close(&rig);
    }
}

static void the_base_is_told_when_the_queue_is_quiet(void **state)
{
    struct rig rig;
    uint32_t base = 99;
    (void)state;
    rig_open_up(&rig, false);
    rig_holds_one(&rig);
    assert_int_equal(get_base(&rig, 0, &base), -1);
    /* The rest waits its turn, and the other queue goes on. */
    rig_send(&rig, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0);
    rig.device.hold = false;
    rig_serves(&rig, 1);
    assert_int_equal(rig_reply(&rig, VHOST_USER_GET_VRING_BASE, &base, sizeof(base)), -1);
    rig_release(&rig);
    rig_pump(&rig);
    assert_int_equal(rig_reply(&rig, VHOST_USER_GET_VRING_BASE, &(struct vhost_user_vring_state){0}, 8), 8);
    assert_int_equal(rig_reply(&rig, VHOST_USER_GET_FEATURES, &(uint64_t){0}, 8), 8);
    rig_close(&rig);
}

static void a_disabled_ring_rests(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_up(&rig, false);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
    rig_add(&rig, 0, 16);
    rig_pump(&rig);
    assert_int_equal(rig_take(&rig, 0), 0);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 2), 1);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_equal(rig_take(&rig, 0), 1);
    /* RESET_OWNER disables them all. */
    assert_int_equal(rig_ask(&rig, VHOST_USER_RESET_OWNER, NULL, 0, NULL, 0), 0);
    rig_add(&rig, 0, 16);
    rig_add(&rig, 1, 16);
    rig_pump(&rig);
    assert_int_equal(rig_take(&rig, 0) + rig_take(&rig, 1), 0);
    rig_close(&rig);
}

static void without_protocol_features_a_ring_is_enabled_from_the_start(void **state)
{
    struct rig rig;
    const uint64_t bits = VERSION_BIT, protocol = RIG_PROTOCOL;
    (void)state;
    rig_open(&rig, false, NULL);
    rig.features = bh_features_of64(bits);
    rig_send(&rig, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_FEATURES, bits), 0);
    rig_share_memory(&rig);
    rig.stay_silent_on_enable = true;
    rig_start_ring(&rig, 0, 0);
    rig_serves(&rig, 0);
    rig_close(&rig);
}

static void a_ring_without_a_kick_fd_is_polled(void **state)
{
    struct rig rig;
    const uint64_t word = 0 | VHOST_USER_VRING_NO_FD;
    unsigned taken = 0;
    (void)state;
    rig_open_up(&rig, false);
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_KICK, &word, sizeof(word), NULL, 0), 0);
    close(rig.kick[0]);
    rig.kick[0] = -1;
    rig_add(&rig, 0, 16);
    for (unsigned i = 0; i < 200 && !taken; i++) {
        assert_true(bh_loop_step(rig.loop, 10) >= 0);
        taken = rig_take(&rig, 0);
    }
    assert_int_equal(taken, 1);
    rig_close(&rig);
}

static void a_call_fd_that_comes_late_is_signalled_for_what_it_missed(void **state)
{
    struct rig rig;
    const uint64_t none = 0 | VHOST_USER_VRING_NO_FD, with = 0;
    (void)state;
    rig_open_up(&rig, false);
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_CALL, &none, sizeof(none), NULL, 0), 0);
    rig_add(&rig, 0, 16);
    rig_pump(&rig);
    assert_false(signalled(rig.call[0]));
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_CALL, &with, sizeof(with), &rig.call[0], 1), 0);
    assert_true(signalled(rig.call[0]));
    rig_close(&rig);
}

static void features_never_offered_are_refused_and_counted(void **state)
{
    struct bh_features packed = bh_features_of64(UINT64_C(1) << BH_F_RING_PACKED);
    const uint64_t wanted = VERSION_BIT | PROTOCOL_BIT | UINT64_C(1) << BH_F_RING_PACKED;
    struct rig rig;
    (void)state;
    rig_open(&rig, true, &packed);
    assert_false(rig_get(&rig, VHOST_USER_GET_FEATURES) >> BH_F_RING_PACKED & 1);
    rig_negotiate(&rig, 0);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_FEATURES, wanted), 1);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_FEATURES, VERSION_BIT | UINT64_C(1) << 55), 1);
    assert_int_equal(bh_vhost_user_counters(rig.server)->unasked_features, 2);
    assert_int_equal(rig.connected, true);
    /* Unacknowledged, what was only withheld is taken: the driver has laid its rings already. */
    rig_send(&rig, VHOST_USER_SET_FEATURES, 0, &wanted, sizeof(wanted), NULL, 0);
    rig_pump(&rig);
    assert_true(bh_device_has(&rig.device.dev, BH_F_RING_PACKED));
    assert_int_equal(bh_vhost_user_counters(rig.server)->unasked_features, 3);
    /* The next connection finds the user's choice again. */
    rig_connect_again(&rig);
    assert_false(rig_get(&rig, VHOST_USER_GET_FEATURES) >> BH_F_RING_PACKED & 1);
    /* What nobody can do ends the connection. */
    rig_send(&rig, VHOST_USER_SET_FEATURES, 0, &(uint64_t){UINT64_C(1) << 55}, 8, NULL, 0);
    rig_pump(&rig);
    assert_false(rig.connected);
    rig_close(&rig);
}

static void features_change_between_two_drivers_but_not_under_running_rings(void **state)
{
    const uint64_t split = VERSION_BIT | PROTOCOL_BIT, packed = split | UINT64_C(1) << BH_F_RING_PACKED;
    struct rig rig;
    uint32_t base;
    unsigned resets;
    (void)state;
    rig_open_up(&rig, false);
    resets = rig.device.resets;
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_FEATURES, split), 0); /* told again: nothing happens */
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_FEATURES, packed), 1);
    assert_int_equal(rig.device.resets, resets);
    assert_int_equal(get_base(&rig, 0, &base), 8);
    assert_int_equal(get_base(&rig, 1, &base), 8);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_FEATURES, packed), 0);
    assert_int_equal(rig.device.resets, resets + 1);
    assert_true(bh_device_has(&rig.device.dev, BH_F_RING_PACKED));
    rig_close(&rig);
}

static void status_is_kept_and_zero_resets(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_negotiate(&rig, 0);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_STATUS, BH_STATUS_FEATURES_OK), 0);
    assert_int_equal(rig_get(&rig, VHOST_USER_GET_STATUS), BH_STATUS_FEATURES_OK);
    rig_share_memory(&rig);
    rig_start_ring(&rig, 0, 0);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_STATUS, 15), 0);
    assert_int_equal(rig_get(&rig, VHOST_USER_GET_STATUS), 15);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_STATUS, 256), 1);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_STATUS, 0), 0);
    assert_int_equal(rig_get(&rig, VHOST_USER_GET_STATUS), 0);
    assert_int_equal(rig.device.resets, 1);
    rig_add(&rig, 0, 16);
    rig_pump(&rig);
    assert_int_equal(rig_take(&rig, 0), 0);
    rig_close(&rig);
}

/* QEMU 7.2 stops a guest by SET_STATUS 0 and asks for the rings' places only then. */
static void a_status_of_zero_leaves_the_rings_place_to_be_asked_for(void **state)
{
    (void)state;
    for (unsigned l = 0; l < BH_COUNT(layouts); l++) {
        struct rig rig;
        uint32_t base = 0;
        rig_open(&rig, false, NULL);
        rig_up(&rig, layouts[l]);
        for (unsigned i = 0; i < 5; i++)
            rig_add(&rig, 0, 16);
        rig_pump(&rig);
        assert_int_equal(rig_take(&rig, 0), 5);
        assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_STATUS, 0), 0);
        assert_int_equal(get_base(&rig, 0, &base), 8);
        assert_int_equal(base, layouts[l] ? 0x80058005 : 5);
        assert_int_equal(rig_ask(&rig, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
        assert_int_equal(get_base(&rig, 0, &base), 8);
        assert_int_equal(base, 0);
        rig_close(&rig);
    }
}

static void a_reset_is_answered_when_nothing_is_in_flight(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_up(&rig, false);
    rig_holds_one(&rig);
    assert_int_equal(rig_ask(&rig, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), -1);
    assert_int_equal(rig.device.resets, 0);
    rig_release(&rig);
    rig_pump(&rig);
    assert_int_equal(rig_reply(&rig, VHOST_USER_RESET_DEVICE, &(uint64_t){0}, 8), 8);
    assert_int_equal(rig.device.resets, 1);
    rig_close(&rig);
}

static void config_is_read_written_and_its_change_told(void **state)
{
    struct {
        struct vhost_user_config_header head;
        uint8_t bytes[256];
    } config = {{4, 8, 0}, {0}};
    struct vhost_user_header told;
    struct rig rig;
    int channel[2];
    (void)state;
    rig_open(&rig, false, NULL);
    rig_negotiate(&rig, 0);
    memset(config.bytes, 7, 8);
    config.head.offset = 0;
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_CONFIG, &config, 12 + 8, NULL, 0), 0);
    config.head.offset = 4;
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_CONFIG, &config, 12 + 8, NULL, 0), 1); /* read-only */
    rig_send(&rig, VHOST_USER_GET_CONFIG, 0, &config, 12 + 8, NULL, 0);
    rig_pump(&rig);
    memset(&config, 0xee, sizeof(config));
    assert_int_equal(rig_reply(&rig, VHOST_USER_GET_CONFIG, &config, sizeof(config)), 12 + 8);
    assert_memory_equal(config.bytes, ((uint8_t[]){7, 7, 7, 7, 0, 0, 0, 0}), 8);
    /* Beyond its end config reads as zero: a front-end asks for as much as it has room for. */
    config.head = (struct vhost_user_config_header){0, 256, 0};
    rig_send(&rig, VHOST_USER_GET_CONFIG, 0, &config, 12 + 256, NULL, 0);
    rig_pump(&rig);
    assert_int_equal(rig_reply(&rig, VHOST_USER_GET_CONFIG, &config, sizeof(config)), 12 + 256);
    assert_int_equal(config.bytes[255], 0);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &channel[1], 1), 0);
    close(channel[1]);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_STATUS, 15), 0);
    bh_device_config_changed(&rig.device.dev);
    rig_pump(&rig);
    assert_int_equal(recv(channel[0], &told, sizeof(told), MSG_DONTWAIT), sizeof(told));
    assert_int_equal(told.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
    assert_int_equal(told.flags, VHOST_USER_VERSION);
    assert_int_equal(told.size, 0);
    close(channel[0]);
    rig_pump(&rig);
    bh_device_config_changed(&rig.device.dev); /* nobody is there any more */
    rig_close(&rig);
}

static int change_region(struct rig *rig, uint32_t request, const struct vhost_user_region *region)
{
    const struct vhost_user_mem_region single = {0, *region};
    return rig_ask(rig, request, &single, sizeof(single), &rig->guest.fd, request == VHOST_USER_ADD_MEM_REG);
}

static void a_region_goes_when_nothing_in_flight_uses_it(void **state)
{
    struct vhost_user_region other;
    struct rig rig;
    uint64_t addr;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_negotiate(&rig, 0);
    rig_share_memory(&rig);
    other = rig_region(&rig);
    other.guest_address += 0x10000000;
    other.user_address += 0x10000000;
    assert_int_equal(change_region(&rig, VHOST_USER_ADD_MEM_REG, &other), 0);
    rig_start_ring(&rig, 0, 0);
    /* A buffer in the second region, held. */
    rig.device.hold = true;
    addr = other.guest_address + 0x8000;
    assert_int_equal(
        bh_drv_ring_add(&rig.queue[0].ring, &(struct bh_drv_buf){bh_daddr(addr), 64}, 0, 1, &rig), BH_OK);
    assert_int_equal(write(rig.kick[0], &(uint64_t){1}, 8), 8);
    rig_pump(&rig);
    assert_int_equal(rig.device.held_count, 1);
    assert_int_equal(change_region(&rig, VHOST_USER_REM_MEM_REG, &other), -1);
    memset(rig.device.held[0]->segs[0].base, 1, 64); /* still there */
    rig_release(&rig);
    rig_pump(&rig);
    assert_int_equal(rig_reply(&rig, VHOST_USER_REM_MEM_REG, &(uint64_t){0}, 8), 8);
    assert_int_equal(change_region(&rig, VHOST_USER_REM_MEM_REG, &other), 1);
    assert_int_equal(rig_take(&rig, 0), 1);
    /* What is still there goes on working. */
    rig.device.hold = false;
    rig_serves(&rig, 0);
    rig_close(&rig);
}

static void a_table_that_is_told_again_disturbs_nothing(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_up(&rig, false);
    rig_holds_one(&rig);
    const uint8_t *host = rig.mem.table->regions[0].host;
    rig_share_memory(&rig); /* answered although a chain in it is in flight */
    assert_ptr_equal(rig.mem.table->regions[0].host, host);
    rig_close(&rig);
}

static void regions_that_make_no_sense_are_refused(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_negotiate(&rig, 0);
    rig_share_memory(&rig);
    for (unsigned i = 0; i < 7; i++) {
        struct vhost_user_region region = rig_region(&rig);
        const uint64_t size = region.size;
        region.guest_address += 2 * size;
        region.user_address += 2 * size;
        switch (i) {
        case 0: region.size = 0; break;
        case 1: region.guest_address = UINT64_MAX - 4096; break;
        case 2: region.user_address = UINT64_MAX - 4096; break;
        case 3: region.mmap_offset = 4096; break; /* ends behind the file */
        case 4: region.mmap_offset = UINT64_MAX - 4095; break;
        case 5: region.guest_address -= size + 4096; break; /* overlaps the first one */
        default: region.user_address -= size + 4096; break;
        }
        assert_int_equal(change_region(&rig, VHOST_USER_ADD_MEM_REG, &region), 1);
    }
    assert_int_equal(rig.mem.table->count, 1);
    assert_true(rig.connected);
    rig_close(&rig);
}

static void wrong_settings_of_rings_are_refused(void **state)
{
    struct vhost_user_vring_addr addr = {.index = 0};
    struct rig rig;
    (void)state;
    rig_open_up(&rig, false);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_NUM, RIG_QUEUES, 8), 1);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_NUM, 0, 8), 1); /* it runs */
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_BASE, 0, 8), 1);
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 1);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_PROTOCOL_FEATURES, UINT64_C(1) << 40), 1);
    assert_int_equal(rig_ask(&rig, 4711, NULL, 0, NULL, 0), 1);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SEND_RARP, 0), 1);
    assert_true(rig.connected);
    rig_close(&rig);
}

static void a_broken_ring_is_told_by_its_err_fd_and_the_status(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_up(&rig, false);
    /* A buffer outside of guest memory. */
    assert_int_equal(bh_drv_ring_add(&rig.queue[0].ring, &(struct bh_drv_buf){bh_daddr(16), 64}, 0, 1, &rig),
                     BH_OK);
    assert_int_equal(write(rig.kick[0], &(uint64_t){1}, 8), 8);
    rig_pump(&rig);
    assert_true(signalled(rig.err[0]));
    assert_false(signalled(rig.err[1]));
    assert_true(rig_get(&rig, VHOST_USER_GET_STATUS) & BH_STATUS_NEEDS_RESET);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_STATUS, 0), 0);
    assert_int_equal(rig_get(&rig, VHOST_USER_GET_STATUS), 0);
    rig_close(&rig);
}

static void a_ring_outside_of_memory_breaks_the_device_only(void **state)
{
    struct vhost_user_vring_addr addr = {0, 0, 0x1000, 0x2000, 0x3000, 0};
    const uint64_t word = 0;
    struct rig rig;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_negotiate(&rig, 0);
    rig_share_memory(&rig);
    rig.kick[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_NUM, 0, 8), 0);
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_KICK, &word, sizeof(word), &rig.kick[0], 1), 0);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
    assert_true(rig_get(&rig, VHOST_USER_GET_STATUS) & BH_STATUS_NEEDS_RESET);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_offered),
        cmocka_unit_test(buffers_are_served_and_told),
        cmocka_unit_test(a_ring_stops_with_its_base_and_goes_on_from_it),
        cmocka_unit_test(the_base_is_told_when_the_queue_is_quiet),
        cmocka_unit_test(a_disabled_ring_rests),
        cmocka_unit_test(without_protocol_features_a_ring_is_enabled_from_the_start),
        cmocka_unit_test(a_ring_without_a_kick_fd_is_polled),
        cmocka_unit_test(a_call_fd_that_comes_late_is_signalled_for_what_it_missed),
        cmocka_unit_test(features_never_offered_are_refused_and_counted),
        cmocka_unit_test(features_change_between_two_drivers_but_not_under_running_rings),
        cmocka_unit_test(status_is_kept_and_zero_resets),
        cmocka_unit_test(a_status_of_zero_leaves_the_rings_place_to_be_asked_for),
        cmocka_unit_test(a_reset_is_answered_when_nothing_is_in_flight),
        cmocka_unit_test(config_is_read_written_and_its_change_told),
        cmocka_unit_test(a_region_goes_when_nothing_in_flight_uses_it),
        cmocka_unit_test(a_table_that_is_told_again_disturbs_nothing),
        cmocka_unit_test(regions_that_make_no_sense_are_refused),
        cmocka_unit_test(wrong_settings_of_rings_are_refused),
        cmocka_unit_test(a_broken_ring_is_told_by_its_err_fd_and_the_status),
        cmocka_unit_test(a_ring_outside_of_memory_breaks_the_device_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
