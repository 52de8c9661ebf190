/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user with kicks and calls as messages: what starts a ring and tells of it, that one notification at a time is
 * unanswered, and that fds are preferred where they were given.
 */
#include "tests/unit/vhost_user_rig.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BAND (1u << VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS)

static const uint64_t layouts[] = {0, UINT64_C(1) << BH_F_RING_PACKED};

static int new_channel(struct rig *rig)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(rig_ask(rig, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &ends[1], 1), 0);
    close(ends[1]);
    return ends[0];
}

/* The next thing said on the channel: its request, *index the ring; 0: nothing. It is not answered yet. */
static uint32_t heard(int channel, uint32_t *index)
{
    struct {
        struct vhost_user_header head;
        struct vhost_user_vring_state state;
    } told;
    const ssize_t got = recv(channel, &told, sizeof(told), MSG_DONTWAIT);
    if (got < 0) {
        assert_int_equal(errno, EAGAIN);
        return 0;
    }
    assert_int_equal(got, 20);
    assert_int_equal(told.head.flags, VHOST_USER_VERSION | VHOST_USER_FLAG_NEED_REPLY);
    assert_int_equal(told.head.size, 8);
    assert_int_equal(told.state.num, 0);
    *index = told.state.index;
    return told.head.request;
}

static void answer(struct rig *rig, int channel, uint32_t request)
{
    const struct vhost_user_header head = {request, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, 8};
    uint8_t bytes[sizeof(head) + 8] = {0};
    memcpy(bytes, &head, sizeof(head));
    assert_int_equal(send(channel, bytes, sizeof(bytes), 0), sizeof(bytes));
    rig_pump(rig);
}

static void answered_call(struct rig *rig, int channel, uint32_t ring)
{
    uint32_t index = 99;
    assert_int_equal(heard(channel, &index), VHOST_USER_BACKEND_VRING_CALL);
    assert_int_equal(index, ring);
    answer(rig, channel, VHOST_USER_BACKEND_VRING_CALL);
}

/* All but the kick and the channel. No fds. */
static void lay_ring(struct rig *rig, unsigned index, uint32_t base)
{
    struct bh_drv_queue *queue = &rig->queue[index];
    struct vhost_user_vring_addr addr = {.index = index};
    if (!queue->slots)
        assert_int_equal(bh_drv_queue_create(queue, &rig->guest, RIG_SIZE, &rig->features, 0), BH_OK);
    addr.descriptor = queue->setup.desc.raw - RIG_BASE + RIG_USER;
    addr.available = queue->setup.driver.raw - RIG_BASE + RIG_USER;
    addr.used = queue->setup.device.raw - RIG_BASE + RIG_USER;
    assert_int_equal(rig_ask_state(rig, VHOST_USER_SET_VRING_NUM, index, RIG_SIZE), 0);
    assert_int_equal(rig_ask_state(rig, VHOST_USER_SET_VRING_BASE, index, base), 0);
    assert_int_equal(rig_ask(rig, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
}

static void prepare(struct rig *rig, uint64_t ring_bits)
{
    rig_open(rig, false, NULL);
    rig_negotiate(rig, ring_bits);
    assert_int_equal(rig_ask_u64(rig, VHOST_USER_SET_PROTOCOL_FEATURES, RIG_PROTOCOL | IN_BAND), 0);
    rig_share_memory(rig);
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        lay_ring(rig, i, ring_bits ? 0x80008000u : 0);
        assert_int_equal(rig_ask_state(rig, VHOST_USER_SET_VRING_ENABLE, i, 1), 0);
    }
}

static void kick(struct rig *rig, unsigned index)
{
    assert_int_equal(rig_ask_state(rig, VHOST_USER_VRING_KICK, index, 0), 0);
}

static void kicks_and_calls_are_messages(void **state)
{
    (void)state;
    for (unsigned l = 0; l < BH_COUNT(layouts); l++) {
        struct rig rig;
        int channel;
        prepare(&rig, layouts[l]);
        channel = new_channel(&rig);
        for (unsigned i = 0; i < 3 * RIG_SIZE; i++) {
            const unsigned ring = i % RIG_QUEUES;
            const uint8_t *bytes = rig_add(&rig, ring, 32);
            rig_pump(&rig);
            assert_int_equal(rig_take(&rig, ring), 0); /* nobody looks before the kick */
            kick(&rig, ring);
            assert_int_equal(bytes[31], 0x5a); /* the ring was looked at before the kick was acknowledged */
            assert_int_equal(rig_take(&rig, ring), 1);
            answered_call(&rig, channel, ring);
        }
        assert_int_equal(heard(channel, &(uint32_t){0}), 0);
        close(channel);
        rig_close(&rig);
    }
}

static void one_notification_at_a_time_is_unanswered(void **state)
{
    struct rig rig;
    uint32_t index;
    int channel;
    (void)state;
    prepare(&rig, 0);
    channel = new_channel(&rig);
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned ring = 0; ring < RIG_QUEUES; ring++) {
            rig_add(&rig, ring, 16);
            kick(&rig, ring);
            assert_int_equal(rig_take(&rig, ring), 1);
        }
    }
    /* Twenty notifications are three messages: the first, and one more of each ring, in turns. */
    answered_call(&rig, channel, 0);
    assert_int_equal(heard(channel, &index), VHOST_USER_BACKEND_VRING_CALL);
    assert_int_equal(index, 1);
    assert_int_equal(heard(channel, &index), 0);
    answer(&rig, channel, VHOST_USER_BACKEND_VRING_CALL);
    answered_call(&rig, channel, 0);
    assert_int_equal(heard(channel, &index), 0);
    close(channel);
    rig_close(&rig);
}

static void fds_are_preferred_where_they_were_given(void **state)
{
    const uint64_t ring = 0, polled = VHOST_USER_VRING_NO_FD;
    const int call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t count;
    struct rig rig;
    int channel;
    (void)state;
    prepare(&rig, 0);
    channel = new_channel(&rig);
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_CALL, &ring, 8, &call, 1), 0);
    rig_add(&rig, 0, 16);
    kick(&rig, 0);
    assert_int_equal(rig_take(&rig, 0), 1);
    assert_int_equal(read(call, &count, sizeof(count)), sizeof(count));
    assert_int_equal(heard(channel, &(uint32_t){0}), 0);
    /* A front-end that looks by itself is told nothing. */
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_CALL, &polled, 8, NULL, 0), 0);
    rig_add(&rig, 0, 16);
    kick(&rig, 0);
    assert_int_equal(rig_take(&rig, 0), 1);
    assert_int_equal(heard(channel, &(uint32_t){0}), 0);
    /* A kick's fd works beside the message. */
    assert_int_equal(rig_ask(&rig, VHOST_USER_SET_VRING_KICK, &(uint64_t){1}, 8, &kick_fd, 1), 0);
    rig_add(&rig, 1, 16);
    assert_int_equal(write(kick_fd, &(uint64_t){1}, 8), 8);
    rig_pump(&rig);
    assert_int_equal(rig_take(&rig, 1), 1);
    answered_call(&rig, channel, 1);
    rig_add(&rig, 1, 16);
    kick(&rig, 1);
    assert_int_equal(rig_take(&rig, 1), 1);
    answered_call(&rig, channel, 1);
    close(call);
    close(kick_fd);
    close(channel);
    rig_close(&rig);
}

static void a_broken_ring_is_told_by_a_message(void **state)
{
    struct rig rig;
    uint32_t index = 99;
    int channel;
    (void)state;
    prepare(&rig, 0);
    channel = new_channel(&rig);
    assert_int_equal(bh_drv_ring_add(&rig.queue[1].ring, &(struct bh_drv_buf){bh_daddr(16), 64}, 0, 1, &rig),
                     BH_OK);
    kick(&rig, 1);
    assert_int_equal(heard(channel, &index), VHOST_USER_BACKEND_VRING_ERR);
    assert_int_equal(index, 1);
    answer(&rig, channel, VHOST_USER_BACKEND_VRING_ERR);
    assert_int_equal(heard(channel, &index), 0);
    assert_true(rig_get(&rig, VHOST_USER_GET_STATUS) & BH_STATUS_NEEDS_RESET);
    close(channel);
    rig_close(&rig);
}

/* A stop ends with a base; neither what is added nor the rest of the connection starts the ring, but a kick does. */
static void a_ring_starts_with_its_kick(void **state)
{
    struct vhost_user_vring_state base = {0, 0};
    struct rig rig;
    int channel;
    (void)state;
    prepare(&rig, 0);
    channel = new_channel(&rig);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
    rig_add(&rig, 0, 16);
    kick(&rig, 0);
    assert_int_equal(rig_take(&rig, 0), 0);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0); /* it has waited for that */
    assert_int_equal(rig_take(&rig, 0), 1);
    answered_call(&rig, channel, 0);
    rig_send(&rig, VHOST_USER_GET_VRING_BASE, 0, &base, sizeof(base), NULL, 0);
    rig_pump(&rig);
    assert_int_equal(rig_reply(&rig, VHOST_USER_GET_VRING_BASE, &base, sizeof(base)), 8);
    assert_int_equal(base.num, 1);
    rig_add(&rig, 0, 16);
    lay_ring(&rig, 0, base.num);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_equal(rig_take(&rig, 0), 0);
    kick(&rig, 0);
    assert_int_equal(rig_take(&rig, 0), 1);
    /* One that comes after a reset is a driver's that is late. */
    assert_int_equal(rig_ask_u64(&rig, VHOST_USER_SET_STATUS, 0), 0);
    rig_add(&rig, 0, 16);
    kick(&rig, 0);
    assert_int_equal(rig_take(&rig, 0), 0);
    assert_int_equal(rig_get(&rig, VHOST_USER_GET_STATUS), 0);
    close(channel);
    rig_close(&rig);
}

static void what_is_due_waits_for_a_channel(void **state)
{
    struct rig rig;
    uint32_t index = 99;
    int channel;
    (void)state;
    prepare(&rig, 0);
    rig_add(&rig, 1, 16);
    kick(&rig, 1);
    channel = new_channel(&rig);
    assert_int_equal(heard(channel, &index), VHOST_USER_BACKEND_VRING_CALL);
    assert_int_equal(index, 1);
    /* It goes away without an answer; whoever comes is told again, of each ring that runs. */
    close(channel);
    rig_pump(&rig);
    channel = new_channel(&rig);
    answered_call(&rig, channel, 1);
    assert_int_equal(heard(channel, &index), 0);
    close(channel);
    rig_close(&rig);
}

static void answers_in_pieces_and_strange_ones_harm_nobody(void **state)
{
    static const uint8_t nonsense[4096];
    struct rig rig;
    const struct vhost_user_header head = {VHOST_USER_BACKEND_VRING_CALL,
                                           VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, 8};
    uint8_t bytes[60] = {0};
    uint32_t index;
    int channel;
    (void)state;
    prepare(&rig, 0);
    channel = new_channel(&rig);
    for (unsigned i = 0; i < 2; i++) {
        rig_add(&rig, 0, 16);
        kick(&rig, 0);
    }
    assert_int_equal(heard(channel, &index), VHOST_USER_BACKEND_VRING_CALL);
    memcpy(bytes, &head, sizeof(head));
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(heard(channel, &index), 0);
        assert_int_equal(send(channel, bytes + i, 1, 0), 1);
        rig_pump(&rig);
    }
    assert_int_equal(heard(channel, &index), VHOST_USER_BACKEND_VRING_CALL);
    /* Three answers at once to one question; the next notification is one message all the same. */
    memcpy(bytes + 20, bytes, 20);
    memcpy(bytes + 40, bytes, 20);
    assert_int_equal(send(channel, bytes, 60, 0), 60);
    rig_pump(&rig);
    rig_add(&rig, 0, 16);
    kick(&rig, 0);
    answered_call(&rig, channel, 0);
    /* Answers to nothing, and what is none at all: that channel is closed, the connection is not. */
    assert_int_equal(send(channel, nonsense, sizeof(nonsense), 0), sizeof(nonsense));
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(send(channel, bytes, sizeof(bytes), 0), sizeof(bytes));
    for (unsigned i = 0; i < 40; i++)
        rig_pump(&rig);
    assert_int_equal(recv(channel, bytes, 1, MSG_DONTWAIT), 0);
    rig_add(&rig, 0, 16);
    kick(&rig, 0);
    close(channel);
    channel = new_channel(&rig);
    answered_call(&rig, channel, 0);
    close(channel);
    rig_close(&rig);
}

static void what_the_protocol_does_not_allow(void **state)
{
    static const uint32_t without[] = {1u << VHOST_USER_PROTOCOL_F_BACKEND_REQ,
                                       1u << VHOST_USER_PROTOCOL_F_REPLY_ACK};
    struct rig rig;
    (void)state;
    /* Not negotiated. */
    rig_open_up(&rig, false);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_VRING_KICK, 0, 0), 1);
    rig_close(&rig);
    /* Reserved bits, and a ring that is not there. */
    prepare(&rig, 0);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_VRING_KICK, 0, 1), 1);
    assert_int_equal(rig_ask_state(&rig, VHOST_USER_VRING_KICK, RIG_QUEUES, 0), 1);
    kick(&rig, 0);
    rig_close(&rig);
    /* "The back-end should close the connection", even where an acknowledgement was asked for. */
    for (unsigned i = 0; i < BH_COUNT(without); i++) {
        rig_open(&rig, false, NULL);
        rig_negotiate(&rig, 0);
        assert_int_equal(
            rig_ask_u64(&rig, VHOST_USER_SET_PROTOCOL_FEATURES, (RIG_PROTOCOL | IN_BAND) & ~without[i]), -2);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kicks_and_calls_are_messages),
        cmocka_unit_test(one_notification_at_a_time_is_unanswered),
        cmocka_unit_test(fds_are_preferred_where_they_were_given),
        cmocka_unit_test(a_broken_ring_is_told_by_a_message),
        cmocka_unit_test(a_ring_starts_with_its_kick),
        cmocka_unit_test(what_is_due_waits_for_a_channel),
        cmocka_unit_test(answers_in_pieces_and_strange_ones_harm_nobody),
        cmocka_unit_test(what_the_protocol_does_not_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
