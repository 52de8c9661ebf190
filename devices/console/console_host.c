/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console class with a terminal, its log and one of the ends behind it.
 */
#include "devices/console/console_host.h"
#include "abi/virtio_console.h"
#include "devices/console/console.h"
#include "devices/console/console_options.h"
#include "devices/console/ends.h"
#include "devices/console/named_ports.h"

#include <stdlib.h>

struct console_host {
    struct bh_hosted hosted;
    struct bh_console console;
    struct bh_terminal terminal;
    struct bh_console_log log;
    bool logs;
    enum bh_console_port_kind kind;
    union {
        struct bh_end_stdio stdio;
        struct bh_end_pty pty;
        struct bh_end_socket socket;
    } end;
    struct bh_named_ports named;
    unsigned queue_count;
    struct bh_virtq *queues;
    struct bh_console_channel *channels;
    struct bh_virtq_memory *memory;
    void **queue_blocks;
};

static enum bh_console_port_kind choose(const struct bh_console_values *v)
{
    if (v->port != BH_CONSOLE_AUTO)
        return (enum bh_console_port_kind)v->port;
    if (v->socket || v->socket_fd != BH_CONSOLE_NO_FD)
        return BH_CONSOLE_SOCKET;
    return v->pty_link ? BH_CONSOLE_PTY : BH_CONSOLE_STDIO;
}

static int start_end(struct console_host *host, const struct bh_console_values *v, struct bh_diag_sink *sink,
                     uint16_t *cols, uint16_t *rows)
{
    switch (host->kind) {
    case BH_CONSOLE_STDIO: return bh_end_stdio_start(&host->end.stdio, &host->terminal, sink, cols, rows);
    case BH_CONSOLE_PTY: return bh_end_pty_start(&host->end.pty, &host->terminal, v->pty_link, sink);
    case BH_CONSOLE_SOCKET:
        if (!v->socket && v->socket_fd == BH_CONSOLE_NO_FD) {
            bh_error(sink, NULL, "say --console-socket=PATH", "port=socket needs a path");
            return BH_ERR_INVAL;
        }
        return bh_end_socket_start(&host->end.socket, &host->terminal, v->socket, (int)v->socket_fd, sink);
    default: return BH_OK;
    }
}

static void stop_end(struct console_host *host)
{
    switch (host->kind) {
    case BH_CONSOLE_STDIO: bh_end_stdio_stop(&host->end.stdio); break;
    case BH_CONSOLE_PTY: bh_end_pty_stop(&host->end.pty); break;
    case BH_CONSOLE_SOCKET: bh_end_socket_stop(&host->end.socket); break;
    default: break;
    }
}

static void free_host(struct console_host *host)
{
    for (unsigned i = 0; host->queue_blocks && i < host->queue_count; i++)
        free(host->queue_blocks[i]);
    free(host->queue_blocks);
    free(host->memory);
    free(host->channels);
    free(host->queues);
    free(host);
}

static struct console_host *allocate(uint16_t size, unsigned ports_max)
{
    struct console_host *host = calloc(1, sizeof(*host));

    if (!host)
        return NULL;
    host->queue_count = BH_CONSOLE_QUEUES(ports_max);
    host->queues = calloc(host->queue_count, sizeof(*host->queues));
    host->channels = calloc(ports_max, sizeof(*host->channels));
    host->memory = calloc(host->queue_count, sizeof(*host->memory));
    host->queue_blocks = calloc(host->queue_count, sizeof(*host->queue_blocks));
    if (!host->queues || !host->channels || !host->memory || !host->queue_blocks)
        goto fail;
    for (unsigned i = 0; i < host->queue_count; i++) {
        host->queue_blocks[i] = malloc(bh_virtq_memory_bytes(size, BH_CONSOLE_BATCH, BH_CONSOLE_SEGS));
        if (!host->queue_blocks[i])
            goto fail;
        bh_virtq_memory_place(&host->memory[i], host->queue_blocks[i], size, BH_CONSOLE_BATCH,
                              BH_CONSOLE_SEGS);
    }
    return host;

fail:
    free_host(host);
    return NULL;
}

/* How many ports the device is to have; 0: that was said to be wrong. */
static unsigned count_ports(const struct bh_console_values *v, struct bh_diag_sink *sink)
{
    const size_t there = 1 + v->named_port.count;
    unsigned paths = 0;

    for (size_t i = 0; i < v->named_port.count; i++)
        paths += bh_named_port_path(v->named_port.items[i]) != NULL;
    if (there > (v->ports_max ? v->ports_max : BH_CONSOLE_PORTS_MAX)) {
        bh_error(sink, NULL, "name fewer, or say a larger --ports-max=", "%zu ports are more than %u", there,
                 v->ports_max ? (unsigned)v->ports_max : BH_CONSOLE_PORTS_MAX);
        return 0;
    }
    if (paths > BH_NAMED_PORT_PATHS_MAX) {
        bh_error(sink, NULL, "put them into one --ports-folder=DIR", "more than %u named ports have a path",
                 BH_NAMED_PORT_PATHS_MAX);
        return 0;
    }
    return v->ports_max ? (unsigned)v->ports_max : (unsigned)there;
}

static int add_named_ports(struct console_host *host, const struct bh_console_values *v, struct bh_loop *loop,
                           struct bh_diag_sink *sink)
{
    host->named = (struct bh_named_ports){
        .console = &host->console, .loop = loop, .sink = sink, .folder = v->ports_folder};
    for (size_t i = 0; i < v->named_port.count; i++) {
        int err = bh_named_ports_add(&host->named, v->named_port.items[i], sink);

        if (err)
            return err;
    }
    return BH_OK;
}

static int create(struct bh_loop *loop, struct bh_mem *mem, const void *values, struct bh_diag_sink *sink,
                  struct bh_hosted **hosted)
{
    const struct bh_console_values *v = values;
    const unsigned ports_max = count_ports(v, sink);
    struct console_host *host;
    uint16_t cols = 0, rows = 0;
    int err;

    if (!ports_max)
        return BH_ERR_RANGE;
    host = allocate((uint16_t)v->queue_size, ports_max);
    if (!host)
        return BH_ERR_NOMEM;
    if (v->log_file) {
        err = bh_console_log_open(&host->log, v->log_file, v->log_size, (unsigned)v->log_keep, sink);
        if (err)
            goto free_it;
        host->logs = true;
    }
    bh_terminal_init(&host->terminal, loop, host->logs ? &host->log : NULL);
    host->kind = choose(v);
    err = start_end(host, v, sink, &cols, &rows);
    if (err)
        goto close_log;
    cols = v->cols ? (uint16_t)v->cols : cols;
    rows = v->rows ? (uint16_t)v->rows : rows;
    bh_console_init(&host->console, mem,
                    &(struct bh_console_memory){.ports_max = (uint16_t)ports_max,
                                                .multiport = ports_max > 1 ? &bh_console_multiport : NULL,
                                                .channels = host->channels,
                                                .queues = host->queues,
                                                .memory = host->memory},
                    &host->terminal.port, cols, rows);
    err = add_named_ports(host, v, loop, sink);
    if (err)
        goto stop_ends;
    host->hosted = (struct bh_hosted){.class = &bh_console_hosted, .dev = &host->console.dev};
    *hosted = &host->hosted;
    return BH_OK;

stop_ends:
    bh_named_ports_fini(&host->named);
    stop_end(host);
close_log:
    bh_terminal_fini(&host->terminal);
    if (host->logs)
        bh_console_log_close(&host->log);
free_it:
    free_host(host);
    return err;
}

/* A log that is rotated, and what is removed at the end. */
static void sandbox(const void *values, struct bh_sandbox *sandbox)
{
    const struct bh_console_values *v = values;

    bh_sandbox_folder(sandbox, v->log_file);
    bh_sandbox_folder(sandbox, v->socket);
    bh_sandbox_folder(sandbox, v->pty_link);
    bh_sandbox_path(sandbox, v->ports_folder, true);
    for (size_t i = 0; i < v->named_port.count; i++)
        bh_sandbox_folder(sandbox, bh_named_port_path(v->named_port.items[i]));
}

static void destroy(struct bh_hosted *hosted)
{
    struct console_host *host = BH_CONTAINER(hosted, struct console_host, hosted);

    bh_named_ports_fini(&host->named);
    stop_end(host);
    bh_terminal_fini(&host->terminal);
    if (host->logs)
        bh_console_log_close(&host->log);
    free_host(host);
}

/* --- the control socket ------------------------------------------------------------------------------------ */

struct resize_values {
    uint64_t cols, rows;
};

static const struct bh_option resize_arguments[] = {
    {.name = "cols",
     .type = BH_OPT_UINT,
     .offset = offsetof(struct resize_values, cols),
     .max = UINT16_MAX,
     .required = true,
     .help = "width in characters",
     .ref = "virtio-1.4 5.3.4"},
    {.name = "rows",
     .type = BH_OPT_UINT,
     .offset = offsetof(struct resize_values, rows),
     .max = UINT16_MAX,
     .required = true,
     .help = "height in characters",
     .ref = "virtio-1.4 5.3.4"},
    {.name = NULL},
};

static int resize(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    struct console_host *host = BH_CONTAINER(hosted, struct console_host, hosted);
    const struct resize_values *v = values;

    bh_terminal_resize(&host->terminal, (uint16_t)v->cols, (uint16_t)v->rows);
    return BH_OK;
}

struct port_values {
    char *name;
};

static const struct bh_option port_arguments[] = {
    {.name = "name",
     .type = BH_OPT_STRING,
     .offset = offsetof(struct port_values, name),
     .required = true,
     .check = bh_named_port_check,
     .help = "the port's name; its socket is made in --ports-folder under this name",
     .ref = "virtio-1.4 5.3.6.2"},
    {.name = NULL},
};

static int add_port(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    struct console_host *host = BH_CONTAINER(hosted, struct console_host, hosted);
    const struct port_values *v = values;

    if (bh_named_port_path(v->name)) {
        bh_error(sink, NULL, "say --ports-folder=DIR at the start", "a port that is added later has no path");
        return BH_ERR_INVAL;
    }
    return bh_named_ports_add(&host->named, v->name, sink);
}

static int remove_port(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    struct console_host *host = BH_CONTAINER(hosted, struct console_host, hosted);
    const struct port_values *v = values;

    return bh_named_ports_remove(&host->named, v->name, sink);
}

static const struct bh_class_verb verbs[] = {
    {.name = "resize",
     .summary = "tell the guest another size of its terminal",
     .arguments = resize_arguments,
     .values_size = sizeof(struct resize_values),
     .run = resize},
    {.name = "add-port",
     .summary = "plug one more named port into the guest",
     .arguments = port_arguments,
     .values_size = sizeof(struct port_values),
     .run = add_port},
    {.name = "remove-port",
     .summary = "unplug a named port; who has it open there sees its end",
     .arguments = port_arguments,
     .values_size = sizeof(struct port_values),
     .run = remove_port},
    {.name = NULL},
};

#define COUNTER(member) BH_CLASS_COUNTER(struct bh_console, counters.member)
static const struct bh_class_counter counters[] = {
    {"emergency", COUNTER(emergency), "characters written through config space"},
    {"emergency_dropped", COUNTER(emergency_dropped), "of those, the ones that the port had no room for"},
    {"held", COUNTER(held), "times the guest's output waited for a port"},
    {"control_in", COUNTER(control_in), "messages about ports from the driver"},
    {"control_strange", COUNTER(control_strange), "of those, the ones that made no sense, which are ignored"},
    {"control_out", COUNTER(control_out), "messages about ports to the driver"},
    {NULL},
};

static const char *const capabilities[] = {NULL};

const struct bh_hosted_class bh_console_hosted = {
    .name = "console",
    .summary = "a console on a terminal, pty, socket or log file",
    .virtio_id = VIRTIO_ID_CONSOLE,
    .options = bh_console_options,
    .values_size = sizeof(struct bh_console_values),
    .capabilities = capabilities,
    .verbs = verbs,
    .counters = counters,
    .create = create,
    .sandbox = sandbox,
    .destroy = destroy,
};
