/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How Bulkhead's own devices are started for a case: one process, or two cards and what is between them.
 */
#include "bench/recipe_impl.h"

#include "daemon/daemon.h"
#include "programs/device.h"
#include <bulkhead/impl/option.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BRIDGE "bhbench"
#define TAP_MS 5000u

static void store_of_ours(struct bench_command *command, const struct bench_recipe *recipe,
                          const struct bench_case *one, const struct bench_place *place)
{
    if (one->store == BENCH_STORE_NULL)
        bench_command_add(command, "--null-size=%llu", (unsigned long long)BENCH_NULL_BYTES);
    else if (one->store == BENCH_STORE_RAM)
        bench_command_add(command, "--ram-size=%llu", (unsigned long long)place->store_bytes);
    else
        bench_command_add(command, "--blk-file=%s", bench_recipe_file(recipe, one, place));
    if (one->store == BENCH_STORE_DISK)
        bench_command_add(command, "--cache=none");
    bench_command_add(command, "--num-queues=%u", one->queues);
}

/* One device process, in `command` as far as its own options go; its socket in *fd. */
static int start_ours(const struct bench_recipe *recipe, const char *class, struct bench_command *options,
                      const struct bench_place *place, struct bench_backend *backend, int *fd)
{
    struct bench_command command = {.fd_count = 1 + options->fd_count};
    char program[512];
    int pair[2], err = bh_program_find(class, program, sizeof(program));

    if (err)
        return err;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return BH_ERR_IO;
    bench_recipe_count(&command, place);
    bench_command_add(&command, "%s", program);
    bench_command_add(&command, "--fd=3");
    command.fds[0] = pair[1];
    command.fds[1] = options->fds[0];
    for (unsigned i = 0; i < options->count; i++)
        bench_command_add(&command, "%s", options->word[i]);
    if (place->callgrind)
        bench_command_add(&command, "--sandbox=off");
    if ((place->callgrind || place->lockstep) && bh_option_find(bh_device_process_options, "poll-us"))
        bench_command_add(&command, "--poll-us=0");
    if (recipe->what)
        bench_command_add(&command, "%s", recipe->what);
    err = bench_backend_start(backend, &command, place->backend_cpu);
    close(pair[1]);
    if (err)
        close(pair[0]);
    else
        *fd = pair[0];
    return err;
}

/* The two cards' options that both roads share. */
static void options_of_card(struct bench_command *options, const struct bench_case *one, unsigned number)
{
    options->count = 0;
    bench_command_add(options, "--mac=02:62:68:00:00:%02x", number);
    if (one->block > 1514)
        bench_command_add(options, "--mtu=%u", one->block - 14);
}

/* Two cards, joined by a socket pair. */
static int open_link(const struct bench_recipe *recipe, const struct bench_case *one,
                     const struct bench_place *place, struct bench_backend *backend, int *fds)
{
    struct bench_command options = {.fd_count = 1};
    int ends[2], err = BH_OK;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return BH_ERR_IO;
    for (unsigned i = 0; i < 2 && !err; i++) {
        options_of_card(&options, one, i + 1);
        bench_command_add(&options, "--link-fd=4");
        options.fds[0] = ends[i];
        err = start_ours(recipe, "net", &options, place, backend, &fds[i]);
    }
    close(ends[0]);
    close(ends[1]);
    return err;
}

/* Two cards, and the switch between them. */
static int open_switch(const struct bench_recipe *recipe, const struct bench_case *one,
                       const struct bench_place *place, struct bench_backend *backend, int *fds)
{
    struct bench_command options = {.count = 0}, command = {.count = 0};
    char program[512];
    int err = bh_program_find("switch", program, sizeof(program));

    bench_command_add(&command, "%s", program);
    for (unsigned i = 0; i < 2; i++)
        bench_command_add(&command, "--port=link:%s/%u-%u", place->folder, recipe->number, i);
    if (one->block > 1514)
        bench_command_add(&command, "--mtu=%u", one->block - 14);
    if (!err)
        err = bench_backend_start(backend, &command, place->backend_cpu);
    for (unsigned i = 0; i < 2 && !err; i++) {
        options_of_card(&options, one, i + 1);
        bench_command_add(&options, "--link-path=%s/%u-%u", place->folder, recipe->number, i);
        err = start_ours(recipe, "net", &options, place, backend, &fds[i]);
    }
    return err;
}

/* Run a line of ip(8), quietly. */
static int run_ip(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run_ip(const char *format, ...)
{
    char line[256] = "ip ";
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line + 3, sizeof(line) - 16, format, arguments);
    va_end(arguments);
    strcat(line, " 2>/dev/null");
    return system(line) == 0 ? BH_OK : BH_ERR_IO;
}

/* Plug the tap that a card makes as it starts into the bridge. */
static int join_bridge(struct bench_backend *backend, const struct bench_case *one, const char *tap)
{
    for (unsigned waited = 0; waited < TAP_MS && if_nametoindex(tap) == 0; waited += 5)
        if (!bench_backend_alive(backend) || bh_loop_step(backend->loop, 5) < 0)
            return BH_ERR_CLOSED;
    return run_ip("link set %s master " BRIDGE " mtu %u up", tap, one->block > 1514 ? one->block - 14 : 1500);
}

/* Two cards on taps, and the kernel's bridge between them, in a network namespace that is the tool's own. */
static int open_bridge(const struct bench_recipe *recipe, const struct bench_case *one,
                       const struct bench_place *place, struct bench_backend *backend, int *fds)
{
    struct bench_command options = {.count = 0};
    char tap[16];
    int err;

    (void)run_ip("link del " BRIDGE); /* of the case before */
    err = run_ip("link add " BRIDGE " type bridge stp_state 0");
    if (!err)
        err = run_ip("link set " BRIDGE " up");
    for (unsigned i = 0; i < 2 && !err; i++) {
        snprintf(tap, sizeof(tap), BRIDGE "t%u", i);
        options_of_card(&options, one, i + 1);
        bench_command_add(&options, "--tap=%s", tap);
        err = start_ours(recipe, "net", &options, place, backend, &fds[i]);
        if (!err)
            err = join_bridge(backend, one, tap);
    }
    return err;
}

int bench_recipe_open_ours(const struct bench_recipe *recipe, const struct bench_case *one,
                           const struct bench_place *place, struct bench_backend *backend, int *fds)
{
    const struct bench_workload *workload = one->workload;
    struct bench_command options = {.count = 0};

    if (recipe->kind == BENCH_BRIDGE)
        return open_bridge(recipe, one, place, backend, fds);
    if (workload->load == &bench_load_pair)
        return workload->pattern == BENCH_SWITCH ? open_switch(recipe, one, place, backend, fds)
                                                 : open_link(recipe, one, place, backend, fds);
    if (workload->load == &bench_load_blk)
        store_of_ours(&options, recipe, one, place);
    if (workload->load == &bench_load_net) {
        options_of_card(&options, one, 1);
        bench_command_add(&options, "--port=null");
    }
    if (workload->load == &bench_load_vsock) {
        bench_command_add(&options, "--guest-cid=%u", BENCH_VSOCK_CID);
        bench_command_add(&options, "--host-path=%s", backend->host_path);
    }
    if (workload->load == &bench_load_console)
        bench_command_add(&options, "--port=none");
    return start_ours(recipe, workload->load->class_name, &options, place, backend, fds);
}
