/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests at the daemon's control socket, in pieces of the input's choice, of a client that owns the system. The
 * system has one domain with one device, and neither can be started: what is tried is the protocol.
 * Input: the first byte is the size of the pieces, the rest the stream.
 */
#include "daemon/system.h"
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS_MAX = 100000 };

static int no_start(struct bh_engine_domain *run, int log_fd)
{
    return BH_ERR_UNSUPPORTED;
}

static void nothing(struct bh_engine_domain *run)
{
}

static pid_t no_pid(const struct bh_engine_domain *run)
{
    return 0;
}

static void quiet(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static const struct bh_engine engine = {
    .name = "none", .start = no_start, .stop = nothing, .kill = nothing, .pid = no_pid, .destroy = nothing};
static char disk_name[] = "disk", domain_name[] = "a", class_name[] = "nonesuch",
            socket_name[] = "a.disk.sock", system_name[] = "fuzz", source_name[] = "fuzz.dts";
static struct bh_plan_device device = {.name = disk_name,
                                       .class_name = class_name,
                                       .socket = socket_name,
                                       .link = BH_PLAN_NONE,
                                       .net_switch = BH_PLAN_NONE};
static struct bh_plan_domain domain = {.name = domain_name, .device_count = 1, .restart_limit = 1};
static uint32_t order[1];
static const struct bh_plan plan = {.name = system_name,
                                    .source = source_name,
                                    .domains = &domain,
                                    .domain_count = 1,
                                    .devices = &device,
                                    .device_count = 1,
                                    .start_order = order};

static struct system *create(int owner_fd)
{
    struct system *system = calloc(1, sizeof(*system));
    if (!system || bh_loop_create(&system->loop))
        abort();
    system->plan = &plan;
    system->engine = &engine;
    system->sink.emit = quiet;
    system->control_fd = -1;
    system->began_ns = bh_loop_now();
    if (units_create(system))
        abort();
    system->ready_said = true; /* no log is there to be shown */
    if (control_open(system, owner_fd))
        abort();
    return system;
}

static void destroy(struct system *system)
{
    system->going_down = true;
    control_close(system);
    bh_loop_timer_cancel(&system->timer);
    bh_loop_work_cancel(&system->settle);
    units_destroy(system);
    bh_loop_destroy(system->loop);
    free(system);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char answers[4096];
    int ends[2];
    if (!size)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        abort();
    struct system *system = create(ends[1]);
    const size_t piece = (size_t)data[0] + 1;
    for (size_t at = 1; at < size; at += piece) {
        const size_t length = size - at < piece ? size - at : piece;
        if (send(ends[0], data + at, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        for (int round = 0; bh_loop_step(system->loop, 0) > 0; round++)
            if (round > ROUNDS_MAX)
                abort(); /* it must come to rest */
        while (recv(ends[0], answers, sizeof(answers), MSG_DONTWAIT) > 0)
            ;
    }
    destroy(system);
    close(ends[0]);
    return 0;
}
