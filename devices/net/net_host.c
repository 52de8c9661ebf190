/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class with one of the host's netports behind it.
 *
 * #syscalls getrandom
 */
#include "devices/net/net_host.h"
#include "abi/virtio_net.h"
#include "devices/net/net.h"
#include "devices/net/net_options.h"
#include "devices/net/port_capture.h"
#include "devices/net/ports.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct net_host {
    struct bh_hosted hosted;
    struct bh_net net;
    enum bh_net_port_kind kind;
    struct bh_netport *port;
    struct bh_capture capture; /* fd -1: none */
    struct bh_port_capture capturing;
    struct bh_netport null_port;
    unsigned pair_count;
    struct bh_net_pair *pairs;
    struct bh_virtq queues[BH_NET_QUEUES(BH_NET_PAIRS_MAX)];
    void *queue_blocks[BH_NET_QUEUES(BH_NET_PAIRS_MAX)];
};

static enum bh_net_port_kind choose(const struct bh_net_values *v)
{
    if (v->port != BH_NET_AUTO)
        return (enum bh_net_port_kind)v->port;
    if (v->link_path || v->link_fd != BH_NET_NO_FD)
        return BH_NET_LINK;
    if (v->tap || v->tap_fds.count > 0)
        return BH_NET_TAP;
    if (v->stream_path || v->stream_fd != BH_NET_NO_FD)
        return BH_NET_STREAM;
    return v->dgram_path ? BH_NET_DGRAM : BH_NET_USER;
}

static int read_fds(const struct bh_option_list *list, int *fds, struct bh_diag_sink *sink)
{
    for (size_t i = 0; i < list->count; i++) {
        char *end;
        long fd = strtol(list->items[i], &end, 10);
        if (*end || end == list->items[i] || fd < 3 || fd > INT32_MAX) {
            bh_error(sink, NULL, "a number of 3 or more", "tap-fd: cannot read \"%s\"", list->items[i]);
            return BH_ERR_INVAL;
        }
        fds[i] = (int)fd;
    }
    return BH_OK;
}

static int create_tap(struct net_host *host, struct bh_loop *loop, const struct bh_net_values *v,
                      struct bh_diag_sink *sink)
{
    int fds[BH_NET_PAIRS_MAX];
    struct bh_port_tap_setup setup = {
        .name = v->tap, .fds = fds, .pair_count = host->pair_count, .mtu = (uint32_t)v->mtu};

    if ((v->tap != NULL) == (v->tap_fds.count > 0)) {
        bh_error(sink, NULL, "say --tap=NAME", "a tap needs a name, or descriptors, and not both");
        return BH_ERR_INVAL;
    }
    int err = read_fds(&v->tap_fds, fds, sink);
    return err ? err : bh_port_tap_create(loop, &setup, sink, &host->port);
}

static int create_stream(struct net_host *host, struct bh_loop *loop, const struct bh_net_values *v,
                         struct bh_diag_sink *sink)
{
    const struct bh_port_stream_setup setup = {.path = v->stream_path,
                                               .listens = v->stream_listens,
                                               .fd = (int)v->stream_fd,
                                               .mtu = (uint32_t)v->mtu};

    if ((v->stream_path != NULL) == (v->stream_fd != BH_NET_NO_FD)) {
        bh_error(sink, NULL, "say --stream-path=PATH",
                 "a stream needs a path, or a descriptor, and not both");
        return BH_ERR_INVAL;
    }
    return bh_port_stream_create(loop, &setup, sink, &host->port);
}

static int create_dgram(struct net_host *host, struct bh_loop *loop, const struct bh_net_values *v,
                        struct bh_diag_sink *sink)
{
    if (!v->dgram_path || !v->dgram_local) {
        bh_error(sink, NULL, "say --dgram-path=PATH and --dgram-local=PATH",
                 "port=dgram needs the other end's socket and its own");
        return BH_ERR_INVAL;
    }
    return bh_port_dgram_create(loop, v->dgram_local, v->dgram_path, (uint32_t)v->mtu, sink, &host->port);
}

static int create_port(struct net_host *host, struct bh_loop *loop, const struct bh_net_values *v,
                       struct bh_diag_sink *sink)
{
    struct bh_port_slirp_setup user = {.subnet = v->subnet,
                                       .hostname = v->hostname,
                                       .restricted = v->restricted,
                                       .dhcp = v->dhcp,
                                       .dns = v->dns,
                                       .ipv6 = v->ipv6,
                                       .mtu = (uint32_t)v->mtu,
                                       .forward = v->forward};

    switch (host->kind) {
    case BH_NET_LINK:
        if (!v->link_path && v->link_fd == BH_NET_NO_FD) {
            bh_error(sink, NULL, "say --link-path=PATH", "port=link needs a path on which the ends meet");
            return BH_ERR_INVAL;
        }
        return bh_port_link_create(loop, v->link_path, (int)v->link_fd, (uint32_t)v->mtu, sink, &host->port);
    case BH_NET_TAP: return create_tap(host, loop, v, sink);
    case BH_NET_STREAM: return create_stream(host, loop, v, sink);
    case BH_NET_DGRAM: return create_dgram(host, loop, v, sink);
    case BH_NET_NULL:
        host->port = bh_port_null(&host->null_port, (uint32_t)v->mtu, host->pair_count);
        return BH_OK;
    default: return bh_port_slirp_create(loop, &user, sink, &host->port);
    }
}

/* What fits together, before anything is opened. */
static int check(const struct bh_net_values *v, enum bh_net_port_kind kind, unsigned pair_count,
                 struct bh_diag_sink *sink)
{
    if (kind != BH_NET_USER && v->forward.count > 0) {
        bh_error(sink, NULL, "leave one of the two out", "forward needs the user network, not another port");
        return BH_ERR_INVAL;
    }
    if (pair_count > BH_NET_PAIRS_MAX) {
        bh_error(sink, NULL, NULL, "tap-fd: more than %u queue pairs", BH_NET_PAIRS_MAX);
        return BH_ERR_RANGE;
    }
    return BH_OK;
}

/* What the device is given: the port, or the capture in front of it. NULL: the file cannot be made, which was said. */
static struct bh_netport *with_capture(struct net_host *host, const struct bh_net_values *v,
                                       struct bh_diag_sink *sink)
{
    if (!v->capture)
        return host->port;
    if (bh_capture_open(&host->capture, v->capture, v->capture_limit, sink) != BH_OK)
        return NULL;
    return bh_port_capture(&host->capturing, host->port, &host->capture);
}

static void destroy_port(struct net_host *host)
{
    switch (host->kind) {
    case BH_NET_LINK: bh_port_link_destroy(host->port); break;
    case BH_NET_USER: bh_port_slirp_destroy(host->port); break;
    case BH_NET_TAP: bh_port_tap_destroy(host->port); break;
    case BH_NET_STREAM: bh_port_stream_destroy(host->port); break;
    case BH_NET_DGRAM: bh_port_dgram_destroy(host->port); break;
    default: break;
    }
}

/* A random address, locally administered, of one station, where the user gave none. */
static int choose_mac(const struct bh_net_values *v, uint8_t *mac)
{
    static const uint8_t none[6];

    memcpy(mac, v->mac, 6);
    if (memcmp(mac, none, 6) != 0)
        return BH_OK;
    if (getrandom(mac, 6, GRND_NONBLOCK) != 6)
        return BH_ERR_IO;
    mac[0] = (uint8_t)((mac[0] & 0xfcu) | 2u);
    return BH_OK;
}

static void free_host(struct net_host *host)
{
    bh_capture_close(&host->capture);
    for (unsigned i = 0; i < BH_COUNT(host->queue_blocks); i++)
        free(host->queue_blocks[i]);
    free(host->pairs);
    free(host);
}

static struct net_host *allocate(unsigned pair_count, uint16_t size, struct bh_virtq_memory *memory)
{
    struct net_host *host = calloc(1, sizeof(*host));

    if (!host)
        return NULL;
    host->pair_count = pair_count;
    host->capture.fd = -1;
    host->pairs = calloc(pair_count, sizeof(*host->pairs));
    if (!host->pairs)
        goto fail;
    for (unsigned i = 0; i < BH_NET_QUEUES(pair_count); i++) {
        host->queue_blocks[i] = malloc(bh_virtq_memory_bytes(size, BH_NET_CHAINS, BH_NET_SEGS));
        if (!host->queue_blocks[i])
            goto fail;
        bh_virtq_memory_place(&memory[i], host->queue_blocks[i], size, BH_NET_CHAINS, BH_NET_SEGS);
    }
    return host;

fail:
    free_host(host);
    return NULL;
}

static int create(struct bh_loop *loop, struct bh_mem *mem, const void *values, struct bh_diag_sink *sink,
                  struct bh_hosted **hosted)
{
    const struct bh_net_values *v = values;
    const enum bh_net_port_kind kind = choose(v);
    const unsigned pair_count = v->tap_fds.count > 0 ? (unsigned)v->tap_fds.count : (unsigned)v->pairs;
    struct bh_virtq_memory memory[BH_NET_QUEUES(BH_NET_PAIRS_MAX)];
    struct bh_net_setup setup = {
        .mtu = v->offer_mtu ? (uint16_t)v->mtu : 0, .hash_report = v->hash_report, .rss = v->rss};
    int err = check(v, kind, pair_count, sink);

    if (err)
        return err;
    struct net_host *host = allocate(pair_count, (uint16_t)v->queue_size, memory);
    if (!host)
        return BH_ERR_NOMEM;
    host->kind = kind;
    err = choose_mac(v, setup.mac);
    if (!err)
        err = create_port(host, loop, v, sink);
    if (err) {
        free_host(host);
        return err;
    }
    struct bh_netport *port = with_capture(host, v, sink);
    if (!port) {
        destroy_port(host);
        free_host(host);
        return BH_ERR_IO;
    }
    const struct bh_net_memory parts = {
        .pair_count = pair_count, .pairs = host->pairs, .queues = host->queues, .memory = memory};
    bh_net_init(&host->net, mem, &parts, port, &setup);
    host->hosted = (struct bh_hosted){.class = &bh_net_hosted, .dev = &host->net.dev};
    *hosted = &host->hosted;
    return BH_OK;
}

/* The folders where sockets come and go; or the host's network, and where libslirp finds its name server. */
static void sandbox(const void *values, struct bh_sandbox *sandbox)
{
    const struct bh_net_values *v = values;
    const enum bh_net_port_kind kind = choose(v);

    sandbox->network = kind == BH_NET_USER;
    if (kind == BH_NET_LINK)
        bh_sandbox_folder(sandbox, v->link_path);
    if (kind == BH_NET_STREAM)
        bh_sandbox_folder(sandbox, v->stream_path);
    if (kind == BH_NET_DGRAM) {
        bh_sandbox_folder(sandbox, v->dgram_path);
        bh_sandbox_folder(sandbox, v->dgram_local);
    }
    if (kind == BH_NET_USER)
        bh_sandbox_path(sandbox, "/etc/resolv.conf", false);
}

static void destroy(struct bh_hosted *hosted)
{
    struct net_host *host = BH_CONTAINER(hosted, struct net_host, hosted);
    destroy_port(host);
    free_host(host);
}

/* --- what it can be told ----------------------------------------------------------------------------------- */

enum { LINK_DOWN, LINK_UP };
struct state_values {
    int state;
};
static const char *const link_states[] = {"down", "up", NULL};
static const struct bh_option link_arguments[] = {
    {.name = "state",
     .type = BH_OPT_ENUM,
     .offset = offsetof(struct state_values, state),
     .values = link_states,
     .required = true,
     .help = "Pull the cable out of the card, or put it in again"},
    {.name = NULL},
};

static struct net_host *host_of(struct bh_hosted *hosted)
{
    return BH_CONTAINER(hosted, struct net_host, hosted);
}

static int run_link(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    bh_net_plug(&host_of(hosted)->net, ((const struct state_values *)values)->state == LINK_UP);
    return BH_OK;
}

static int run_capture(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    return bh_capture_set(&host_of(hosted)->capture, values, sink);
}

static int run_announce(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    if (bh_net_announce(&host_of(hosted)->net))
        return BH_OK;
    bh_error(sink, NULL, NULL, "the guest's driver did not negotiate GUEST_ANNOUNCE with this process");
    return BH_ERR_UNSUPPORTED;
}

static const struct bh_class_verb verbs[] = {
    {.name = "link",
     .summary = "pull the cable out of the card, or put it in again",
     .arguments = link_arguments,
     .values_size = sizeof(struct state_values),
     .run = run_link},
    {.name = "capture",
     .summary = "pause the capture, or go on with it",
     .arguments = bh_capture_arguments,
     .values_size = sizeof(struct bh_capture_values),
     .run = run_capture},
    {.name = "announce", .summary = "ask the guest to announce its addresses", .run = run_announce},
    {.name = NULL},
};

static const char *const capabilities[] = {NULL};

#define COUNTER(member) BH_CLASS_COUNTER(struct bh_net, counters.member)
static const struct bh_class_counter counters[] = {
    {"tx_frames", COUNTER(tx_frames), "frames from the guest"},
    {"rx_frames", COUNTER(rx_frames), "frames to the guest"},
    {"tx_short", COUNTER(tx_short), "dropped: no whole Ethernet header"},
    {"tx_long", COUNTER(tx_long), "dropped: longer than the port's largest"},
    {"tx_bad_header", COUNTER(tx_bad_header), "dropped: an offload not negotiated, or malformed"},
    {"tx_no_link", COUNTER(tx_no_link), "dropped: the cable is out"},
    {"tx_held", COUNTER(tx_held), "times the guest's frames waited for the port"},
    {"rx_bad", COUNTER(rx_bad), "dropped: no frame, or one that asks what the guest cannot"},
    {"rx_no_room", COUNTER(rx_no_room), "dropped: the guest's buffers are too small"},
    {"rx_filtered", COUNTER(rx_filtered), "dropped: of an address or VLAN that the guest does not want"},
    {"rx_no_queue", COUNTER(rx_no_queue), "dropped: for a receive queue that does not run"},
    {"rx_no_link", COUNTER(rx_no_link), "dropped: the cable is out"},
    {"commands", COUNTER(commands), "on the control queue"},
    {"commands_refused", COUNTER(commands_refused), "of those, answered with an error"},
    {NULL},
};

const struct bh_hosted_class bh_net_hosted = {
    .name = "net",
    .summary = "a network card on a tap, a user-mode network, a socket or a link to another net",
    .virtio_id = VIRTIO_ID_NET,
    .options = bh_net_options,
    .values_size = sizeof(struct bh_net_values),
    .capabilities = capabilities,
    .verbs = verbs,
    .counters = counters,
    .create = create,
    .sandbox = sandbox,
    .destroy = destroy,
};
