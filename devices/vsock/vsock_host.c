/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket class with the host's sockets behind it.
 *
 * #syscalls getrandom
 */
#include "devices/vsock/vsock_host.h"
#include "abi/virtio_vsock.h"
#include "devices/vsock/ports.h"
#include "devices/vsock/vsock.h"
#include "devices/vsock/vsock_options.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>

#define OTHER_FDS 64u /* of the process: its loop, its transport, its listeners */

struct vsock_host {
    struct bh_hosted hosted;
    struct bh_vsock vsock;
    struct bh_vsock_port *port;
    struct bh_vsock_host_counters counters; /* the port's */
    struct bh_vsock_memory memory;
    uint32_t *peers, *forward_ports;
    void *queue_blocks[BH_VSOCK_QUEUES];
};

static void free_host(struct vsock_host *host)
{
    for (unsigned i = 0; i < BH_VSOCK_QUEUES; i++)
        free(host->queue_blocks[i]);
    free(host->memory.conns);
    free(host->memory.buckets);
    free(host->peers);
    free(host->forward_ports);
    free(host);
}

static struct vsock_host *allocate(const struct bh_vsock_values *v, struct bh_virtq_memory *queues)
{
    struct vsock_host *host = calloc(1, sizeof(*host));
    const uint16_t size = (uint16_t)v->queue_size;

    if (!host)
        return NULL;
    host->memory.conn_count = (uint32_t)v->connections_max;
    host->memory.bucket_count = 16;
    while (host->memory.bucket_count < host->memory.conn_count)
        host->memory.bucket_count *= 2;
    host->memory.conns = calloc(host->memory.conn_count, sizeof(*host->memory.conns));
    host->memory.buckets = calloc(host->memory.bucket_count, sizeof(struct bh_vsock_conn *));
    bool ok = host->memory.conns && host->memory.buckets;
    for (unsigned i = 0; ok && i < BH_VSOCK_QUEUES; i++) {
        host->queue_blocks[i] = malloc(bh_virtq_memory_bytes(size, BH_VSOCK_BATCH, BH_VSOCK_SEGS));
        ok = host->queue_blocks[i] != NULL;
        if (ok)
            bh_virtq_memory_place(&queues[i], host->queue_blocks[i], size, BH_VSOCK_BATCH, BH_VSOCK_SEGS);
    }
    if (ok)
        return host;
    free_host(host);
    return NULL;
}

/* An item of a list option as a number between `min` and `max`. */
static int read_numbers(const struct bh_option_list *list, const char *name, uint32_t min, uint32_t max,
                        struct bh_diag_sink *sink, uint32_t **numbers)
{
    *numbers = calloc(list->count + 1, sizeof(**numbers));
    if (!*numbers)
        return BH_ERR_NOMEM;
    for (size_t i = 0; i < list->count; i++) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(list->items[i], &end, 0);
        if (errno || end == list->items[i] || *end || value < min || value > max) {
            bh_error(sink, NULL, NULL, "%s: \"%s\" is not a number from %u to %u", name, list->items[i], min,
                     max);
            return BH_ERR_INVAL;
        }
        (*numbers)[i] = (uint32_t)value;
    }
    return BH_OK;
}

static int check_peers(const struct bh_vsock_values *v, const uint32_t *peers, struct bh_diag_sink *sink)
{
    if (v->peer.count > 0 && !v->sibling_dir) {
        bh_error(sink, NULL, "say --sibling-dir=FOLDER",
                 "peer needs a folder in which siblings find each other");
        return BH_ERR_INVAL;
    }
    if (v->peer.count > BH_VSOCK_PEERS_MAX) {
        bh_error(sink, NULL, NULL, "peer: a guest has at most %d peers", BH_VSOCK_PEERS_MAX);
        return BH_ERR_INVAL;
    }
    for (size_t i = 0; i < v->peer.count; i++) {
        bool again = peers[i] == v->guest_cid;
        for (size_t k = 0; k < i; k++)
            again |= peers[k] == peers[i];
        if (again) {
            bh_error(sink, NULL, "name each sibling once, and not the guest itself", "peer: %u is %s",
                     peers[i], peers[i] == v->guest_cid ? "the guest's own CID" : "there twice");
            return BH_ERR_INVAL;
        }
    }
    return BH_OK;
}

/* As many fds as connections; where the host allows fewer, connections beyond are refused one by one. */
static void raise_fd_limit(const struct bh_vsock_values *v, struct bh_diag_sink *sink)
{
    const rlim_t wanted = (rlim_t)v->connections_max + v->peer.count + v->forward_listen.count + OTHER_FDS;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < wanted)
        bh_warn(sink, NULL, "raise the process's limit of open files (ulimit -n), or lower connections-max",
                "connections-max=%llu needs %llu open files, and %llu are allowed",
                (unsigned long long)v->connections_max, (unsigned long long)wanted,
                (unsigned long long)limit.rlim_cur);
}

static int create_port(struct vsock_host *host, struct bh_loop *loop, const struct bh_vsock_values *v,
                       struct bh_diag_sink *sink)
{
    int err = read_numbers(&v->peer, "peer", VIRTIO_VSOCK_CID_MIN, VIRTIO_VSOCK_CID_MAX, sink, &host->peers);

    if (!err)
        err = check_peers(v, host->peers, sink);
    if (!err)
        err =
            read_numbers(&v->forward_listen, "forward-listen", 1, UINT32_MAX - 1, sink, &host->forward_ports);
    if (!err && v->forward_cid && v->host_path)
        bh_note(sink, "forward-cid: connections to CID 2 go there; host-path leads into the guest only");
    if (err)
        return err;
    raise_fd_limit(v, sink);
    const struct bh_vsock_host_setup setup = {
        .path = v->host_path,
        .seqpacket = v->seqpacket,
        .sibling_dir = v->sibling_dir,
        .peers = host->peers,
        .peer_count = v->peer.count,
        .guest_cid = (uint32_t)v->guest_cid,
        .conn_max = (uint32_t)v->connections_max,
        .forward_cid = (uint32_t)v->forward_cid,
        .forward_ports = host->forward_ports,
        .forward_port_count = v->forward_listen.count,
        .counters = &host->counters,
    };
    return bh_vsock_port_host_create(loop, &setup, sink, &host->port);
}

static int create(struct bh_loop *loop, struct bh_mem *mem, const void *values, struct bh_diag_sink *sink,
                  struct bh_hosted **hosted)
{
    const struct bh_vsock_values *v = values;
    const struct bh_vsock_setup setup = {.guest_cid = (uint32_t)v->guest_cid,
                                         .buf_alloc = (uint32_t)v->buffer_size,
                                         .seqpacket = v->seqpacket};
    struct bh_virtq_memory queues[BH_VSOCK_QUEUES];
    struct vsock_host *host = allocate(v, queues);
    uint32_t seed;

    if (!host)
        return BH_ERR_NOMEM;
    int err = getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed) ? BH_OK : BH_ERR_IO;
    if (!err)
        err = create_port(host, loop, v, sink);
    if (err) {
        free_host(host);
        return err;
    }
    bh_vsock_init(&host->vsock, mem, queues, &host->memory, host->port, &setup, seed);
    host->hosted = (struct bh_hosted){.class = &bh_vsock_hosted, .dev = &host->vsock.dev};
    *hosted = &host->hosted;
    return BH_OK;
}

/* The folders of the sockets that connections come and go by, each pair's alone; and AF_VSOCK where it is forwarded to. */
static void sandbox(const void *values, struct bh_sandbox *sandbox)
{
    const struct bh_vsock_values *v = values;

    bh_sandbox_folder(sandbox, v->host_path);
    for (size_t i = 0; i < v->peer.count; i++) { /* create has checked them */
        char pair[BH_VSOCK_PAIR_MAX];
        bh_vsock_pair_name((uint32_t)strtoul(v->peer.items[i], NULL, 0), (uint32_t)v->guest_cid, pair);
        bh_sandbox_below(sandbox, v->sibling_dir, pair);
    }
    sandbox->network = v->forward_cid != 0;
}

static void destroy(struct bh_hosted *hosted)
{
    struct vsock_host *host = BH_CONTAINER(hosted, struct vsock_host, hosted);

    bh_vsock_port_host_destroy(host->port);
    free_host(host);
}

static const char *const capabilities[] = {NULL};

#define COUNTER(member) BH_CLASS_COUNTER(struct bh_vsock, counters.member)
#define PORT_COUNTER(member)                                                                                 \
    (offsetof(struct vsock_host, counters.member) - offsetof(struct vsock_host, vsock.dev))
static const struct bh_class_counter counters[] = {
    {"opened_by_guest", COUNTER(opened_by_guest), "connections that the guest made"},
    {"opened_by_peer", COUNTER(opened_by_peer), "connections that the guest was asked for"},
    {"refused", COUNTER(refused), "connections that the guest asked for in vain"},
    {"resets_sent", COUNTER(resets_sent), "RST packets to the guest"},
    {"resets_received", COUNTER(resets_received), "connections that the guest ended by RST"},
    {"table_full", COUNTER(table_full), "connections that found connections-max others"},
    {"timeouts", COUNTER(timeouts), "times the guest did not answer in time"},
    {"packets_out", COUNTER(packets_out), "packets of the guest"},
    {"packets_in", COUNTER(packets_in), "packets to the guest"},
    {"bytes_out", COUNTER(bytes_out), "data of the guest"},
    {"bytes_in", COUNTER(bytes_in), "data to the guest"},
    {"malformed", COUNTER(malformed), "packets dropped: no whole header, or data that is not there"},
    {"foreign", COUNTER(foreign), "packets dropped: not of the guest's CID"},
    {"protocol", COUNTER(protocol), "connections reset since the guest broke the protocol"},
    {"credit_overrun", COUNTER(credit_overrun), "of those: it sent more than there was room for"},
    {"held", COUNTER(held), "times the guest's packets waited for its receive buffers"},
    {"sockets_accepted", PORT_COUNTER(accepted), "sockets of the host and of siblings that came in"},
    {"sockets_dialled", PORT_COUNTER(dials), "sockets made for connections of the guest"},
    {"sockets_unclear", PORT_COUNTER(bad_hello),
     "of those that came in: closed as they did not say where to"},
    {"sockets_full", PORT_COUNTER(no_room), "sockets turned away: connections-max others were there"},
    {"sockets_forgotten", PORT_COUNTER(forgotten), "sockets dropped to make room, with data on its way"},
    {"not_allowed", PORT_COUNTER(not_allowed), "connections that the guest asked of a CID that is no peer"},
    {.name = NULL},
};

const struct bh_hosted_class bh_vsock_hosted = {
    .name = "vsock",
    .summary = "sockets between a guest, programs of the host and other guests",
    .virtio_id = VIRTIO_ID_VSOCK,
    .options = bh_vsock_options,
    .values_size = sizeof(struct bh_vsock_values),
    .capabilities = capabilities,
    .counters = counters,
    .create = create,
    .sandbox = sandbox,
    .destroy = destroy,
};
