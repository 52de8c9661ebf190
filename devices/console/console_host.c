/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console class with a terminal, its log and one of the ends behind it.
 */
#include "devices/console/console_host.h"
#include "abi/virtio_console.h"
#include "devices/console/console.h"
#include "devices/console/console_options.h"
#include "devices/console/ends.h"

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
    void *queue_blocks[BH_CONSOLE_QUEUES];
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
    for (unsigned i = 0; i < BH_CONSOLE_QUEUES; i++)
        free(host->queue_blocks[i]);
    free(host);
}

static struct console_host *allocate(uint16_t size, struct bh_virtq_memory *memory)
{
    struct console_host *host = calloc(1, sizeof(*host));

    if (!host)
        return NULL;
    for (unsigned i = 0; i < BH_CONSOLE_QUEUES; i++) {
        host->queue_blocks[i] = malloc(bh_virtq_memory_bytes(size, BH_CONSOLE_BATCH, BH_CONSOLE_SEGS));
        if (!host->queue_blocks[i]) {
            free_host(host);
            return NULL;
        }
        bh_virtq_memory_place(&memory[i], host->queue_blocks[i], size, BH_CONSOLE_BATCH, BH_CONSOLE_SEGS);
    }
    return host;
}

static int create(struct bh_loop *loop, struct bh_mem *mem, const void *values, struct bh_diag_sink *sink,
                  struct bh_hosted **hosted)
{
    const struct bh_console_values *v = values;
    struct bh_virtq_memory memory[BH_CONSOLE_QUEUES];
    struct console_host *host = allocate((uint16_t)v->queue_size, memory);
    uint16_t cols = 0, rows = 0;
    int err;

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
    bh_console_init(&host->console, mem, memory, &host->terminal.port, cols, rows);
    host->hosted = (struct bh_hosted){.class = &bh_console_hosted, .dev = &host->console.dev};
    *hosted = &host->hosted;
    return BH_OK;

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
}

static void destroy(struct bh_hosted *hosted)
{
    struct console_host *host = BH_CONTAINER(hosted, struct console_host, hosted);

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

static const struct bh_class_verb verbs[] = {
    {.name = "resize",
     .summary = "tell the guest another size of its terminal",
     .arguments = resize_arguments,
     .values_size = sizeof(struct resize_values),
     .run = resize},
    {.name = NULL},
};

#define COUNTER(member) BH_CLASS_COUNTER(struct bh_console, counters.member)
static const struct bh_class_counter counters[] = {
    {"emergency", COUNTER(emergency), "characters written through config space"},
    {"emergency_dropped", COUNTER(emergency_dropped), "of those, the ones that the port had no room for"},
    {"held", COUNTER(held), "times the guest's output waited for the port"},
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
