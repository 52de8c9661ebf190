/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console with several ports, against ports in the test's hand: what the driver is told and when, and what goes
 * through [virtio-1.4 5.3.6.2].
 */
#include "devices/console/console.h"
#include "tests/unit/class_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PORTS   3u
#define CTRL_RX VIRTIO_CONSOLE_CONTROL_RECEIVEQ
#define CTRL_TX VIRTIO_CONSOLE_CONTROL_TRANSMITQ
#define RX(id)  ((id) == 0 ? 0u : 2u * (id) + 2u)
#define TX(id)  (RX(id) + 1u)

struct end {
    struct bh_console_port port;
    char heard[64];
    size_t heard_len;
    const char *says;
};

struct bed {
    struct class_rig rig;
    struct bh_console console;
    struct bh_console_channel channels[PORTS];
    struct bh_virtq queues[BH_CONSOLE_QUEUES(PORTS)];
    struct end ends[PORTS];
    bool packed;
};

static size_t end_write(struct bh_console_port *port, const struct bh_seg *segs, unsigned count)
{
    struct end *end = BH_CONTAINER(port, struct end, port);
    size_t taken = 0;

    for (unsigned i = 0; i < count; i++) {
        assert_true(end->heard_len + segs[i].len <= sizeof(end->heard));
        memcpy(end->heard + end->heard_len, segs[i].base, segs[i].len);
        end->heard_len += segs[i].len;
        taken += segs[i].len;
    }
    return taken;
}

static size_t end_read(struct bh_console_port *port, const struct bh_seg *segs, unsigned count)
{
    struct end *end = BH_CONTAINER(port, struct end, port);
    size_t part = strlen(end->says) < segs[0].len ? strlen(end->says) : segs[0].len;

    memcpy(segs[0].base, end->says, part);
    end->says += part;
    return part;
}

static const struct bh_console_port_ops ops = {.write = end_write, .read = end_read};

static void bed_init(struct bed *bed)
{
    memset(&bed->console, 0, sizeof(bed->console));
    for (unsigned i = 0; i < PORTS; i++)
        bed->ends[i] = (struct end){.port = {.ops = &ops}, .says = ""};
    class_rig_open(&bed->rig, BH_CONSOLE_QUEUES(PORTS), BH_CONSOLE_BATCH, BH_CONSOLE_SEGS);
    bh_console_init(&bed->console, &bed->rig.mem,
                    &(struct bh_console_memory){.ports_max = PORTS,
                                                .multiport = &bh_console_multiport,
                                                .channels = bed->channels,
                                                .queues = bed->queues,
                                                .memory = bed->rig.memory},
                    &bed->ends[0].port, 80, 25);
    assert_int_equal(bh_console_add_port(&bed->console, &bed->ends[1].port, "one"), 1);
}

static struct bed *bed_new(bool packed)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->packed = packed;
    bed_init(bed);
    class_rig_start(&bed->rig, &bed->console.dev, packed, 0);
    return bed;
}

static void bed_free(struct bed *bed)
{
    class_rig_close(&bed->rig);
    free(bed);
}

/* What the device says next: the port, event and value, and what follows in `more`. False: nothing. */
static bool hear(struct bed *bed, unsigned *id, unsigned *event, unsigned *value, char *more)
{
    struct virtio_console_control *message = class_rig_alloc(&bed->rig, 64);
    uint32_t len = 0;

    memset(message, 0, 64);
    assert_int_equal(class_rig_add(&bed->rig, CTRL_RX, NULL, 0, message, 64, message), BH_OK);
    class_rig_run(&bed->rig);
    message = class_rig_get(&bed->rig, CTRL_RX, &len);
    if (!message)
        return false;
    assert_true(len >= sizeof(*message));
    *id = bh_le32_get(message->id);
    *event = bh_le16_get(message->event);
    *value = bh_le16_get(message->value);
    memcpy(more, message + 1, len - sizeof(*message));
    more[len - sizeof(*message)] = '\0';
    return true;
}

static void expect(struct bed *bed, unsigned id, unsigned event, unsigned value)
{
    unsigned i = 99, e = 99, v = 99;
    char more[64];

    assert_true(hear(bed, &i, &e, &v, more));
    assert_int_equal(i, id);
    assert_int_equal(e, event);
    assert_int_equal(v, value);
}

/* The buffer stays with the device and takes the next message. */
static void expect_silence(struct bed *bed)
{
    class_rig_run(&bed->rig);
    assert_null(class_rig_get(&bed->rig, CTRL_RX, NULL));
    for (unsigned id = 0; id < PORTS; id++)
        assert_int_equal(bed->channels[id].owed, 0);
}

static void say(struct bed *bed, uint32_t id, unsigned event, unsigned value)
{
    struct virtio_console_control *message = class_rig_alloc(&bed->rig, sizeof(*message));
    uint32_t len = 1;

    message->id = bh_le32_of(id);
    message->event = bh_le16_of((uint16_t)event);
    message->value = bh_le16_of((uint16_t)value);
    assert_int_equal(class_rig_add(&bed->rig, CTRL_TX, message, sizeof(*message), NULL, 0, message), BH_OK);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, CTRL_TX, &len), message);
    assert_int_equal(len, 0);
}

/* Both ports are known to the driver. */
static void introduce(struct bed *bed)
{
    unsigned id, event, value;
    char more[64];

    say(bed, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    expect(bed, 0, VIRTIO_CONSOLE_DEVICE_ADD, 1);
    expect(bed, 1, VIRTIO_CONSOLE_DEVICE_ADD, 1);
    say(bed, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    expect(bed, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    assert_true(hear(bed, &id, &event, &value, more));
    assert_int_equal(event, VIRTIO_CONSOLE_RESIZE);
    assert_memory_equal(more, "\x50\0\x19\0", 4); /* columns, then rows */
    expect(bed, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(bed, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    assert_true(hear(bed, &id, &event, &value, more));
    assert_int_equal(id, 1);
    assert_int_equal(event, VIRTIO_CONSOLE_PORT_NAME);
    assert_string_equal(more, "one");
    expect_silence(bed);
}

static void send_text(struct bed *bed, unsigned id, const char *text)
{
    uint32_t len = (uint32_t)strlen(text);
    char *at = class_rig_alloc(&bed->rig, len);

    memcpy(at, text, len);
    assert_int_equal(class_rig_add(&bed->rig, TX(id), at, len, NULL, 0, at), BH_OK);
    class_rig_run(&bed->rig);
}

static char *give_buffer(struct bed *bed, unsigned id)
{
    char *in = class_rig_alloc(&bed->rig, 16);

    memset(in, 0, 16);
    assert_int_equal(class_rig_add(&bed->rig, RX(id), NULL, 0, in, 16, in), BH_OK);
    class_rig_run(&bed->rig);
    return in;
}

static void ports_are_introduced_when_the_driver_asks(void **state)
{
    for (unsigned packed = 0; packed < 2; packed++) {
        struct bed *bed = bed_new(packed);

        expect_silence(bed);
        introduce(bed);
        assert_int_equal(bed->console.counters.control_strange, 0);
        bed_free(bed);
    }
}

static void bytes_go_both_ways_once_the_guest_has_opened(void **state)
{
    struct bed *bed = bed_new(false);
    uint32_t len = 0;
    char *in;

    introduce(bed);
    in = give_buffer(bed, 1);
    bed->ends[1].says = "ping";
    bed->ends[1].port.readable(&bed->ends[1].port);
    class_rig_run(&bed->rig);
    assert_null(class_rig_get(&bed->rig, RX(1), &len)); /* nobody is there to read it */
    say(bed, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_ptr_equal(class_rig_get(&bed->rig, RX(1), &len), in);
    assert_int_equal(len, 4);
    assert_memory_equal(in, "ping", 4);
    send_text(bed, 1, "pong");
    assert_int_equal(bed->ends[1].heard_len, 4);
    assert_memory_equal(bed->ends[1].heard, "pong", 4);
    assert_int_equal(bed->ends[0].heard_len, 0);
    say(bed, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    in = give_buffer(bed, 1);
    bed->ends[1].says = "more";
    bed->ends[1].port.readable(&bed->ends[1].port);
    class_rig_run(&bed->rig);
    assert_null(class_rig_get(&bed->rig, RX(1), &len));
    bed_free(bed);
}

static void driver_hears_who_comes_and_goes(void **state)
{
    struct bed *bed = bed_new(false);
    struct bh_console_port *port = &bed->ends[1].port;

    introduce(bed);
    port->attached(port, true);
    expect(bed, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    port->attached(port, false);
    port->attached(port, true);
    port->attached(port, false); /* only how it is now is told */
    expect(bed, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    expect_silence(bed);
    bed->ends[0].port.resized(&bed->ends[0].port, 100, 30);
    expect(bed, 0, VIRTIO_CONSOLE_RESIZE, 1);
    bed_free(bed);
}

static void ports_come_and_go_while_the_guest_runs(void **state)
{
    struct bed *bed = bed_new(true);
    struct end third = {.port = {.ops = &ops}, .says = ""};

    introduce(bed);
    assert_int_equal(bh_console_add_port(&bed->console, &bed->ends[2].port, "two"), 2);
    assert_int_equal(bh_console_add_port(&bed->console, &third.port, "three"), BH_ERR_NOMEM);
    expect(bed, 2, VIRTIO_CONSOLE_DEVICE_ADD, 1);
    say(bed, 2, VIRTIO_CONSOLE_PORT_READY, 1);
    expect(bed, 2, VIRTIO_CONSOLE_PORT_NAME, 1);
    bh_console_remove_port(&bed->console, &bed->ends[1].port);
    expect(bed, 1, VIRTIO_CONSOLE_DEVICE_REMOVE, 1);
    /* Its number is taken at once by another one: the driver hears of the end first. */
    bh_console_remove_port(&bed->console, &bed->ends[2].port);
    assert_int_equal(bh_console_add_port(&bed->console, &third.port, "three"), 1);
    assert_int_equal(bh_console_add_port(&bed->console, &bed->ends[2].port, "two"), 2);
    expect(bed, 1, VIRTIO_CONSOLE_DEVICE_ADD, 1);
    expect(bed, 2, VIRTIO_CONSOLE_DEVICE_REMOVE, 1);
    expect(bed, 2, VIRTIO_CONSOLE_DEVICE_ADD, 1);
    expect_silence(bed);
    /* One that the driver never heard of goes without a word. */
    bh_console_remove_port(&bed->console, &third.port);
    expect(bed, 1, VIRTIO_CONSOLE_DEVICE_REMOVE, 1);
    assert_int_equal(bh_console_add_port(&bed->console, &third.port, "three"), 1);
    bh_console_remove_port(&bed->console, &third.port);
    expect_silence(bed);
    bed_free(bed);
}

static void removed_port_gives_its_buffers_back(void **state)
{
    struct bed *bed = bed_new(false);
    uint32_t len = 7;

    introduce(bed);
    bh_console_remove_port(&bed->console, &bed->ends[1].port);
    send_text(bed, 1, "to nobody");
    assert_null(class_rig_get(&bed->rig, TX(1), &len)); /* it waits in the ring */
    assert_int_equal(bed->queues[TX(1)].in_flight, 0);
    bed_free(bed);
}

static void strange_messages_are_counted_and_ignored(void **state)
{
    struct bed *bed = bed_new(false);
    uint64_t *strange = &bed->console.counters.control_strange;
    char *bytes;

    say(bed, 0, VIRTIO_CONSOLE_PORT_READY, 1); /* before DEVICE_READY */
    say(bed, 0, VIRTIO_CONSOLE_DEVICE_READY, 0);
    assert_int_equal(*strange, 2);
    introduce(bed);
    say(bed, 1, VIRTIO_CONSOLE_PORT_READY, 1); /* twice */
    say(bed, 2, VIRTIO_CONSOLE_PORT_OPEN, 1);  /* there is none */
    say(bed, PORTS, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(bed, 0xffffffffu, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(bed, 1, VIRTIO_CONSOLE_DEVICE_ADD, 1); /* the device's to say */
    say(bed, 1, 99, 1);
    assert_int_equal(*strange, 8);
    bytes = class_rig_alloc(&bed->rig, 7);
    assert_int_equal(class_rig_add(&bed->rig, CTRL_TX, bytes, 7, NULL, 0, bytes), BH_OK); /* too short */
    class_rig_run(&bed->rig);
    assert_int_equal(*strange, 9);
    expect_silence(bed);
    assert_int_equal(bh_device_status(&bed->console.dev) & BH_STATUS_NEEDS_RESET, 0);
    bed_free(bed);
}

static void buffer_too_small_for_a_message_breaks_the_queue(void **state)
{
    struct bed *bed = bed_new(false);
    char *in = class_rig_alloc(&bed->rig, 7);

    say(bed, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    assert_int_equal(class_rig_add(&bed->rig, CTRL_RX, NULL, 0, in, 7, in), BH_OK);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->rig.pipe.errors[CTRL_RX], 1);
    assert_int_equal(bed->rig.pipe.last_reason, BH_BROKEN_CLASS);
    bed_free(bed);
}

static void saved_state_knows_what_the_driver_was_told(void **state)
{
    struct bed *bed = bed_new(false), *other = calloc(1, sizeof(*other));
    uint8_t bytes[1024];
    int size;

    introduce(bed);
    say(bed, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    bh_device_quiesce(&bed->console.dev);
    size = bh_device_save(&bed->console.dev, bytes, sizeof(bytes));
    assert_true(size > 0);
    assert_non_null(other);
    bed_init(other);
    assert_int_equal(bh_console_add_port(&other->console, &other->ends[2].port, "two"), 2);
    other->rig.dev = &other->console.dev;
    bh_pipe_attach(&other->rig.pipe, other->rig.dev);
    assert_int_equal(bh_device_load(&other->console.dev, bytes, (size_t)size), BH_OK);
    assert_int_equal(other->channels[0].last->told, bed->channels[0].last->told);
    assert_int_equal(other->channels[1].last->told, BH_CONSOLE_ADDED | BH_CONSOLE_READY | BH_CONSOLE_OPEN);
    assert_int_equal(other->channels[2].owed, 1u << VIRTIO_CONSOLE_DEVICE_ADD);
    class_rig_close(&other->rig);
    free(other);
    bed_free(bed);
}

static void driver_without_multiport_has_a_console(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    uint32_t len;
    char *in;

    assert_non_null(bed);
    bed_init(bed);
    class_rig_start(&bed->rig, &bed->console.dev, false, 1u << VIRTIO_CONSOLE_F_MULTIPORT);
    in = give_buffer(bed, 0);
    bed->ends[0].says = "hello";
    bed->ends[0].port.readable(&bed->ends[0].port);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, RX(0), &len), in);
    send_text(bed, 0, "hi");
    assert_int_equal(bed->ends[0].heard_len, 2);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_are_introduced_when_the_driver_asks),
        cmocka_unit_test(bytes_go_both_ways_once_the_guest_has_opened),
        cmocka_unit_test(driver_hears_who_comes_and_goes),
        cmocka_unit_test(ports_come_and_go_while_the_guest_runs),
        cmocka_unit_test(removed_port_gives_its_buffers_back),
        cmocka_unit_test(strange_messages_are_counted_and_ignored),
        cmocka_unit_test(buffer_too_small_for_a_message_breaks_the_queue),
        cmocka_unit_test(saved_state_knows_what_the_driver_was_told),
        cmocka_unit_test(driver_without_multiport_has_a_console),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
