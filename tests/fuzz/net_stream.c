/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile other end of a stream of frames: any bytes, cut anywhere, and one that reads as it likes. A frame that
 * comes out lies in the port's memory; what goes out is whole frames, one after the other.
 *
 * Input: steps, each an opcode byte and what it takes; it ends with the input.
 */
#include "devices/net/ports.h"
#include "tests/fuzz/target.h"

#include <arpa/inet.h>
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

static void take_frame(struct bh_netport *port)
{
    static uint8_t bytes[1u << 17];
    const struct bh_net_arrival *arrival = port->ops->peek(port, 0);

    if (!arrival)
        return;
    BH_ASSERT(arrival->len > 0 && arrival->len <= sizeof(bytes));
    memcpy(bytes, arrival->bytes, arrival->len);
    port->ops->drop(port, 0);
}

/* What the other end has read so far must be whole frames of the lengths that were sent, and part of one. */
struct reader {
    uint32_t left; /* of the frame that is being read */
    uint8_t prefix[4];
    unsigned prefix_count;
};

static void read_some(struct reader *reader, int fd, size_t most)
{
    static uint8_t bytes[1u << 16];
    const ssize_t got = recv(fd, bytes, most, MSG_DONTWAIT);

    for (ssize_t i = 0; i < got; i++) {
        if (reader->left > 0) {
            reader->left--;
            BH_ASSERT(bytes[i] == 0x5a);
            continue;
        }
        reader->prefix[reader->prefix_count++] = bytes[i];
        if (reader->prefix_count == 4) {
            uint32_t len;
            memcpy(&len, reader->prefix, 4);
            reader->left = ntohl(len);
            reader->prefix_count = 0;
            BH_ASSERT(reader->left >= BH_NET_FRAME_MIN && reader->left <= 1518);
        }
    }
}

static void send_frames(struct bh_netport *port, uint8_t how)
{
    static uint8_t bytes[1518];
    const struct bh_seg rest = {bytes + 100, 1 + how * 5u};
    struct bh_net_frame frames[BH_NET_BATCH];
    const unsigned count = 1 + how % BH_NET_BATCH;

    memset(bytes, 0x5a, sizeof(bytes));
    for (unsigned i = 0; i < count; i++)
        frames[i] = (struct bh_net_frame){.first = {bytes, 60 + i},
                                          .rest = &rest,
                                          .rest_count = i % 2u,
                                          .len = 60 + i + (i % 2u ? (uint32_t)rest.len : 0)};
    if (port->link_up) /* as the class does: nothing goes into a loose cable */
        BH_ASSERT(port->ops->send(port, 0, frames, count) <= count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh_diag_sink sink = {.emit = ignore};
    struct bh_port_stream_setup setup = {.mtu = 1500};
    struct reader reader = {0};
    struct bh_netport *port;
    struct bh_loop *loop;
    int fds[2], room = 4096;

    BH_ASSERT(bh_loop_create(&loop) == BH_OK);
    BH_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    BH_ASSERT(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
    setup.fd = fds[0];
    BH_ASSERT(bh_port_stream_create(loop, &setup, &sink, &port) == BH_OK);
    port->readable = port->writable = ignore_pair;
    port->link_changed = ignore_port;
    while (size > 1) {
        const uint8_t op = *data++, how = *data++;
        size -= 2;
        if (op % 4 == 0) {
            const size_t count = how < size ? how : size;
            (void)!send(fds[1], data, count, MSG_DONTWAIT | MSG_NOSIGNAL);
            data += count;
            size -= count;
        } else if (op % 4 == 1) {
            take_frame(port);
        } else if (op % 4 == 2) {
            send_frames(port, how);
        } else {
            read_some(&reader, fds[1], 1 + how * 64u);
        }
        BH_ASSERT(bh_loop_step(loop, 0) >= 0);
    }
    bh_port_stream_destroy(port);
    close(fds[1]);
    bh_loop_destroy(loop);
    return 0;
}
