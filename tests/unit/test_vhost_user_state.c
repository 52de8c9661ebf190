/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's own state as a front-end moves it: saved from one back-end, loaded into another one, and all that such a
 * state may be instead.
 */
#include "tests/unit/send_fds.h"
#include "tests/unit/vhost_user_rig.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SAVE, LOAD };
#define PROTOCOL_BIT (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)
#define NO_FD        (1u << 8)

/* SET_DEVICE_STATE_FD's answer; *fd is the back-end's channel, -1: none came. */
static uint64_t set_state_fd(struct rig *rig, uint32_t direction, uint32_t phase, int *fd)
{
    const struct vhost_user_device_state wanted = {direction, phase};
    struct {
        struct vhost_user_header head;
        uint8_t value[8];
    } reply;
    uint64_t value;
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    rig_send(rig, VHOST_USER_SET_DEVICE_STATE_FD, 0, &wanted, sizeof(wanted), &pipe_ends[!direction], 1);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    rig_pump(rig);
    assert_int_equal(test_recv_fd(rig->peer, &reply, sizeof(reply), MSG_DONTWAIT, fd), 20);
    assert_int_equal(reply.head.request, VHOST_USER_SET_DEVICE_STATE_FD);
    memcpy(&value, reply.value, sizeof(value));
    assert_int_equal(!(value & NO_FD), *fd >= 0);
    return value;
}

static size_t save(struct rig *rig, uint8_t *bytes, size_t room)
{
    size_t size = 0;
    ssize_t got;
    int fd;
    assert_int_equal(set_state_fd(rig, SAVE, 0, &fd), 0);
    while ((got = read(fd, bytes + size, room - size)) > 0) /* sequentially, to its end */
        size += (size_t)got;
    assert_int_equal(got, 0);
    close(fd);
    assert_int_equal(rig_get(rig, VHOST_USER_CHECK_DEVICE_STATE), 0);
    return size;
}

static uint64_t load(struct rig *rig, const uint8_t *bytes, size_t size)
{
    int fd;
    assert_int_equal(set_state_fd(rig, LOAD, 0, &fd), 0);
    for (size_t done = 0; done < size;) {
        ssize_t put = write(fd, bytes + done, size - done < 7 ? size - done : 7);
        assert_true(put > 0);
        done += (size_t)put;
    }
    close(fd);
    return rig_get(rig, VHOST_USER_CHECK_DEVICE_STATE);
}

static uint32_t stop_ring(struct rig *rig, unsigned index)
{
    struct vhost_user_vring_state state = {index, 0};
    rig_send(rig, VHOST_USER_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
    rig_pump(rig);
    assert_int_equal(rig_reply(rig, VHOST_USER_GET_VRING_BASE, &state, sizeof(state)), 8);
    return state.num;
}

static void offer_protocol(struct rig *rig)
{
    const uint64_t protocol = RIG_PROTOCOL;
    rig_send(rig, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, sizeof(protocol), NULL, 0);
}

/* A device that served a little, its config written by the driver, and its rings stopped; its state. */
static size_t serve_and_save(uint8_t *bytes, size_t room, uint64_t ring_bits)
{
    struct rig rig;
    size_t size;
    rig_open(&rig, false, NULL);
    rig_up(&rig, ring_bits);
    memcpy(rig.device.config, "as told", 8);
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_STATUS, 15), 0);
    for (unsigned i = 0; i < 5; i++) {
        rig_add(&rig, 0, 16);
        rig_pump(&rig);
        assert_int_equal(rig_take(&rig, 0), 1);
    }
    for (unsigned i = 0; i < RIG_QUEUES; i++)
        stop_ring(&rig, i);
    size = save(&rig, bytes, room);
    rig_close(&rig);
    return size;
}

static void a_state_goes_from_one_back_end_to_another(void **state)
{
    static const uint64_t rings[] = {0, UINT64_C(1) << BH_F_RING_PACKED};
    (void)state;
    for (unsigned l = 0; l < BH_COUNT(rings); l++) {
        uint8_t bytes[4096];
        const size_t size = serve_and_save(bytes, sizeof(bytes), rings[l]);
        struct rig rig;
        rig_open(&rig, false, NULL);
        offer_protocol(&rig);
        assert_int_equal(load(&rig, bytes, size), 0);
        assert_memory_equal(rig.device.config, "as told", 8);
        assert_int_equal(rig_get(&rig, VHOST_USER_GET_STATUS), 15);
        /* The front-end sets everything else as ever; what it says again changes nothing. */
        rig_up(&rig, rings[l]);
        assert_int_equal(rig.device.resets, 1);
        assert_memory_equal(rig.device.config, "as told", 8);
        rig_add(&rig, 1, 16);
        rig_pump(&rig);
        assert_int_equal(rig_take(&rig, 1), 1);
        rig_close(&rig);
    }
}

static void a_device_that_runs_has_no_state_to_move(void **state)
{
    uint8_t bytes[4096];
    const size_t size = serve_and_save(bytes, sizeof(bytes), 0);
    struct rig rig;
    int fd;
    (void)state;
    rig_open(&rig, false, NULL);
    rig_up(&rig, 0);
    assert_int_equal(set_state_fd(&rig, SAVE, 0, &fd), NO_FD | 1);
    assert_int_equal(set_state_fd(&rig, SAVE, 1, &fd), NO_FD | 1);
    assert_int_equal(set_state_fd(&rig, 2, 0, &fd), NO_FD | 1);
    assert_int_equal(rig_get(&rig, VHOST_USER_CHECK_DEVICE_STATE), 1); /* of nothing */
    assert_int_equal(load(&rig, bytes, size), 1);
    rig_add(&rig, 0, 16); /* it was not disturbed */
    rig_pump(&rig);
    assert_int_equal(rig_take(&rig, 0), 1);
    rig_close(&rig);
}

/* Cut anywhere, damaged anywhere, or another device's: refused as a whole, and the device is as after a reset. */
static void states_that_make_no_sense_are_refused(void **state)
{
    uint8_t bytes[4096], damaged[4096];
    const size_t size = serve_and_save(bytes, sizeof(bytes), 0);
    struct rig rig;
    (void)state;
    rig_open(&rig, false, NULL);
    offer_protocol(&rig);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(load(&rig, bytes, cut), 1);
    for (size_t at = 0; at < size; at++) {
        memcpy(damaged, bytes, size);
        damaged[at] ^= 0x41;
        assert_int_equal(load(&rig, damaged, size), 1);
        assert_int_equal(rig_get(&rig, VHOST_USER_GET_STATUS), 0);
    }
    assert_int_equal(load(&rig, bytes, size), 0);
    rig_up(&rig, 0);
    rig_add(&rig, 0, 16);
    rig_pump(&rig);
    assert_int_equal(rig_take(&rig, 0), 1);
    rig_close(&rig);
}

static void a_transfer_ends_with_its_connection(void **state)
{
    const unsigned fds = rig_fd_count();
    struct rig rig;
    int fd;
    (void)state;
    rig_open(&rig, true, NULL);
    offer_protocol(&rig);
    assert_int_equal(set_state_fd(&rig, LOAD, 0, &fd), 0);
    close(fd);
    assert_int_equal(set_state_fd(&rig, LOAD, 0, &fd), 0); /* begun anew */
    rig_hang_up(&rig);
    rig_pump(&rig);
    rig_connect(&rig);
    offer_protocol(&rig);
    assert_int_equal(rig_get(&rig, VHOST_USER_CHECK_DEVICE_STATE), 1);
    rig_close(&rig);
    close(fd);
    assert_int_equal(rig_fd_count(), fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_goes_from_one_back_end_to_another),
        cmocka_unit_test(a_device_that_runs_has_no_state_to_move),
        cmocka_unit_test(states_that_make_no_sense_are_refused),
        cmocka_unit_test(a_transfer_ends_with_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
