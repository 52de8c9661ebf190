/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load on sockets between guest and host: bytes in bulk, questions and answers, connections opened and closed. Both
 * ends are this program's; the host's end is a Unix socket, as the programs there have it.
 */
#include "bench/load.h"
#include "bench/vsock_guest.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_PIECE  (256u << 10)
#define PATIENCE_NS 10000000000ull

struct bench_load {
    struct bench_vsock vsock;
    int pattern;
    unsigned depth;
    uint8_t *host_buffer;
    uint64_t host_got, host_put; /* bytes, over the host's end */
    uint64_t guest_put;
};

/* The host's end takes what there is. */
static int host_takes(struct bench_load *load)
{
    for (;;) {
        const ssize_t got = recv(load->vsock.host, load->host_buffer, HOST_PIECE, 0);

        if (got < 0)
            return errno == EAGAIN ? BH_OK : BH_ERR_IO;
        if (got == 0)
            return BH_ERR_CLOSED;
        load->host_got += (uint64_t)got;
        if ((size_t)got < HOST_PIECE)
            return BH_OK;
    }
}

/* The host's end gives up to `most` bytes, as the socket takes them. */
static int host_gives(struct bench_load *load, uint64_t most)
{
    while (most > 0) {
        const ssize_t put =
            send(load->vsock.host, load->host_buffer, most < HOST_PIECE ? most : HOST_PIECE, MSG_NOSIGNAL);

        if (put < 0)
            return errno == EAGAIN ? BH_OK : BH_ERR_IO;
        load->host_put += (uint64_t)put;
        most -= (uint64_t)put;
    }
    return BH_OK;
}

/* --- turns: one of each pattern; `more`: new work may be begun. BH_ERR_AGAIN: nothing was done. --------------- */

static int turn_send(struct bench_load *load, bool more)
{
    const uint64_t before = load->host_got;
    unsigned count = 0;
    int err = BH_OK;

    while (more && !err && count < load->depth && bench_vsock_may_send(&load->vsock)) {
        err = bench_vsock_send(&load->vsock);
        load->guest_put += load->vsock.block;
        count++;
    }
    if (count)
        bench_link_kick(load->vsock.link, 1);
    if (!err)
        err = host_takes(load);
    return err ? err : count || load->host_got != before ? BH_OK : BH_ERR_AGAIN;
}

static int turn_receive(struct bench_load *load, bool more)
{
    const uint64_t put = load->host_put;
    int err = BH_OK;

    if (more)
        err = host_gives(load, HOST_PIECE);
    return err ? err : load->host_put != put ? BH_OK : BH_ERR_AGAIN;
}

/* A question of the guest's, the host's answer of the same size, in turn. */
static int turn_ask(struct bench_load *load, bool more)
{
    const uint64_t before = load->host_got;
    int err = BH_OK;

    if (more && load->vsock.received == load->guest_put && bench_vsock_may_send(&load->vsock)) {
        err = bench_vsock_send(&load->vsock);
        load->guest_put += load->vsock.block;
        bench_link_kick(load->vsock.link, 1);
    }
    if (!err)
        err = host_takes(load);
    if (!err && load->host_got == load->guest_put && load->host_put < load->host_got)
        err = host_gives(load, load->host_got - load->host_put);
    return err ? err : load->host_got != before ? BH_OK : BH_ERR_AGAIN;
}

/* --- runs ---------------------------------------------------------------------------------------------------- */

/* Bytes that have reached their end, and that are on the way. */
static uint64_t arrived(const struct bench_load *load)
{
    return load->pattern == BENCH_VSOCK_SEND ? load->host_got : load->vsock.received;
}

static bool at_rest(const struct bench_load *load)
{
    return load->pattern == BENCH_VSOCK_RECEIVE ? load->vsock.received == load->host_put
           : load->pattern == BENCH_VSOCK_ASK   ? load->vsock.received == load->guest_put
                                                : load->host_got == load->guest_put;
}

static int stream(struct bench_load *load, const struct bench_limit *limit, struct bench_tally *tally,
                  uint64_t since)
{
    const uint64_t first = arrived(load);
    const uint64_t most = limit->requests ? limit->requests * load->vsock.block : UINT64_MAX;
    const short events = load->pattern == BENCH_VSOCK_RECEIVE ? POLLOUT : POLLIN;
    uint64_t asked = since, moved = since;
    int err = BH_OK;

    while (!err) {
        const uint64_t now = bench_now(), before = arrived(load);
        const bool more = !bench_stopped && now - since < limit->duration_ns && before - first < most;

        if (!more && at_rest(load))
            break;
        err = bench_vsock_pump(&load->vsock);
        if (!err && load->vsock.ended)
            err = BH_ERR_CLOSED;
        if (!err && load->pattern == BENCH_VSOCK_ASK && at_rest(load)) {
            if (arrived(load) != before)
                bench_histogram_add(&tally->latency, bench_now() - asked);
            asked = bench_now();
        }
        if (err)
            break;
        err = load->pattern == BENCH_VSOCK_SEND      ? turn_send(load, more)
              : load->pattern == BENCH_VSOCK_RECEIVE ? turn_receive(load, more)
                                                     : turn_ask(load, more);
        if (arrived(load) != before || err == BH_OK)
            moved = now;
        if (err == BH_ERR_AGAIN)
            err = arrived(load) != before ? BH_OK
                  : now > moved + PATIENCE_NS
                      ? BH_ERR_TIMEOUT
                      : bench_vsock_rest(&load->vsock, (short)(more || events == POLLIN ? events : 0));
    }
    tally->bytes = arrived(load) - first;
    tally->requests = tally->bytes / load->vsock.block;
    return err;
}

/* One connection: asked for, taken, shut, and the end awaited. */
static int one_connection(struct bench_load *load)
{
    struct bench_vsock *vsock = &load->vsock;
    const uint64_t since = bench_now();
    int err = bench_vsock_establish(vsock);

    if (!err)
        err = bench_vsock_shut(vsock);
    while (!err && !vsock->ended) {
        err = bench_vsock_pump(vsock);
        /* the host's program ends its side when it reads the end */
        if (!err && vsock->host >= 0 && recv(vsock->host, load->host_buffer, 1, 0) == 0) {
            close(vsock->host);
            vsock->host = -1;
        }
        if (!err && bench_now() - since > PATIENCE_NS)
            err = BH_ERR_TIMEOUT;
        if (!err && !vsock->ended)
            err = bench_vsock_rest(vsock, POLLIN);
    }
    if (vsock->host >= 0)
        close(vsock->host);
    vsock->host = -1;
    return err;
}

static int connections(struct bench_load *load, const struct bench_limit *limit, struct bench_tally *tally,
                       uint64_t since)
{
    int err = BH_OK;

    while (!err && !bench_stopped && bench_now() - since < limit->duration_ns &&
           (!limit->requests || tally->requests < limit->requests)) {
        const uint64_t begun = bench_now();

        err = one_connection(load);
        if (!err) {
            bench_histogram_add(&tally->latency, bench_now() - begun);
            tally->requests++;
        }
    }
    return err;
}

static int run(struct bench_load *load, const struct bench_limit *limit, struct bench_tally *tally)
{
    struct bench_link *link = load->vsock.link;
    const uint64_t since = bench_now();
    int err;

    bench_link_count_calls(link);
    link->kicks = link->calls = 0;
    err = load->pattern == BENCH_VSOCK_CONNECT ? connections(load, limit, tally, since)
                                               : stream(load, limit, tally, since);
    tally->elapsed_ns = bench_now() - since;
    bench_link_count_calls(link);
    tally->kicks = link->kicks;
    tally->calls = link->calls;
    return bench_stopped ? BH_ERR_CANCELLED : err;
}

static uint64_t memory(const struct bench_case *one)
{
    return 2ull * BENCH_VSOCK_BUFFERS * (one->block + 128ull) + (1ull << 20);
}

static void stop(struct bench_load *load)
{
    bench_vsock_close(&load->vsock);
    free(load->host_buffer);
    free(load);
}

static int start(struct bench_load **made, struct bench_link *links, const struct bench_case *one)
{
    struct bench_load *load;
    int err;

    if (one->block > 64u << 10) /* a packet's payload, as guests make them at most */
        return BH_ERR_RANGE;
    load = calloc(1, sizeof(*load));
    if (!load)
        return BH_ERR_NOMEM;
    load->pattern = one->workload->pattern;
    load->depth = one->depth;
    load->host_buffer = calloc(1, HOST_PIECE);
    err = bench_vsock_open(&load->vsock, links, one);
    if (!err && !load->host_buffer)
        err = BH_ERR_NOMEM;
    if (!err && load->pattern != BENCH_VSOCK_CONNECT)
        err = bench_vsock_establish(&load->vsock);
    if (err) {
        stop(load);
        return err;
    }
    *made = load;
    return BH_OK;
}

const struct bench_load_ops bench_load_vsock = {
    .class_name = "vsock", .links = 1, .memory = memory, .start = start, .run = run, .stop = stop};
