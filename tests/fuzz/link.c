/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile other end of a link: any packets, in any order with what our guest sends and takes. A frame that
 * comes out has a length that the port allows.
 *
 * Input: steps, each an opcode byte and what it takes; it ends with the input.
 */
#include "devices/net/ports.h"
#include "tests/fuzz/target.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void ignore(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static void ignore_port(struct bh_netport *port)
{
}

static void ignore_pair(struct bh_netport *port, unsigned pair)
{
}

/* A packet of the next bytes: the first says how many, the second of what size it is made up with zeros. */
static size_t write_packet(int fd, const uint8_t *data, size_t size)
{
    uint8_t packet[64 + 256 * 16] = {0};
    size_t count = size > 1 ? data[0] % 64u : 0, len = size > 1 ? count + (size_t)data[1] * 16u : 0;

    if (len == 0)
        return size < 2 ? size : 2;
    count = count < size - 2 ? count : size - 2;
    memcpy(packet, data + 2, count);
    if (send(fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return count + 2; /* it was hung up on, or does not read */
    return count + 2;
}

static void take_frame(struct bh_netport *port)
{
    static uint8_t bytes[BH_NET_GSO_BYTES];
    const struct bh_net_arrival *arrival = port->ops->peek(port, 0);

    if (!arrival)
        return;
    BH_ASSERT(arrival->len >= BH_NET_FRAME_MIN && arrival->len <= sizeof(bytes));
    memcpy(bytes, arrival->bytes, arrival->len);
    port->ops->drop(port, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[1500];
    struct bh_net_frame frame = {.first = {bytes, 60}, .len = 60};
    struct bh_diag_sink sink = {.emit = ignore};
    struct bh_netport *port;
    struct bh_loop *loop;
    int fds[2];

    BH_ASSERT(bh_loop_create(&loop) == BH_OK);
    BH_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    BH_ASSERT(bh_port_link_create(loop, NULL, fds[0], 1500, &sink, &port) == BH_OK);
    port->readable = port->writable = ignore_pair;
    port->link_changed = ignore_port;
    while (size > 0) {
        uint8_t op = *data++;
        size--;
        if (op % 4 < 2) {
            size_t took = write_packet(fds[1], data, size);
            data += took;
            size -= took;
        } else if (op % 4 == 2) {
            take_frame(port);
        } else if (op >= 128) {
            port->ops->accept(port, op & 64u ? BH_NET_GUEST_OFFLOADS : 0);
        } else if (port->link_up) { /* as the class does: nothing goes into a loose cable */
            BH_ASSERT(port->ops->send(port, 0, &frame, 1) <= 1);
        }
        BH_ASSERT(bh_loop_step(loop, 0) >= 0);
    }
    bh_port_link_destroy(port);
    close(fds[1]);
    bh_loop_destroy(loop);
    return 0;
}
