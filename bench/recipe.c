/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See recipe.h.
 */
#include "bench/recipe.h"

#include "bench/recipe_impl.h"

#include "driver/vhost_front.h"
#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool bench_recipe_serves(const struct bench_recipe *recipe, const struct bench_case *one, const char **why)
{
    const char *class = one->workload->load->class_name;

    *why = NULL;
    if ((recipe->kind == BENCH_QSD || recipe->kind == BENCH_SPDK) && strcmp(class, "blk") != 0)
        return false;
    if (recipe->kind == BENCH_TESTPMD && strcmp(class, "net") != 0)
        return false;
    if (recipe->kind == BENCH_BRIDGE &&
        (one->workload->load != &bench_load_pair || one->workload->pattern != BENCH_SWITCH))
        return false;
    if (recipe->kind == BENCH_QSD && one->store == BENCH_STORE_RAM)
        *why = "it has no store in memory";
    else if (recipe->kind == BENCH_QSD && one->packed)
        *why = "it has no packed ring";
    else if (recipe->kind >= BENCH_COMMAND && one->workload->load->links > 1)
        *why = "one socket has no two cards";
    return !*why;
}

const char *bench_recipe_file(const struct bench_recipe *recipe, const struct bench_case *one,
                              const struct bench_place *place)
{
    return one->store == BENCH_STORE_DISK ? place->disk[recipe->number] : place->file[recipe->number];
}

void bench_recipe_count(struct bench_command *command, const struct bench_place *place)
{
    if (!place->callgrind)
        return;
    bench_command_add(command, "valgrind");
    bench_command_add(command, "--tool=callgrind");
    bench_command_add(command,
                      "--fair-sched=try"); /* else a thread that polls may keep the others out for good */
    bench_command_add(command, "--callgrind-out-file=%s", place->callgrind);
}

/* --- others -------------------------------------------------------------------------------------------------- */

static void command_of_qsd(struct bench_command *command, const struct bench_recipe *recipe,
                           const struct bench_case *one, const struct bench_place *place, const char *socket)
{
    bench_command_add(command, "%s", recipe->what);
    bench_command_add(command, "--object");
    bench_command_add(command, "iothread,id=io");
    bench_command_add(command, "--blockdev");
    if (one->store == BENCH_STORE_NULL)
        bench_command_add(command, "driver=null-co,node-name=disk,read-zeroes=off,size=%llu",
                          (unsigned long long)BENCH_NULL_BYTES);
    else
        bench_command_add(command, "driver=file,node-name=disk,aio=io_uring,cache.direct=%s,filename=%s",
                          one->store == BENCH_STORE_DISK ? "on" : "off",
                          bench_recipe_file(recipe, one, place));
    bench_command_add(command, "--export");
    bench_command_add(command,
                      "type=vhost-user-blk,id=disk,node-name=disk,writable=on,iothread=io,num-queues=%u,"
                      "addr.type=unix,addr.path=%s",
                      one->queues, socket);
}

/* SPDK's vhost makes its devices from a file of JSON-RPC calls. */
static int configure_spdk(const char *path, const struct bench_recipe *recipe, const struct bench_case *one,
                          const struct bench_place *place)
{
    FILE *file = fopen(path, "we");
    const unsigned long long bytes = one->store == BENCH_STORE_NULL ? BENCH_NULL_BYTES : place->store_bytes;

    if (!file)
        return BH_ERR_IO;
    fprintf(file, "{\"subsystems\": [{\"subsystem\": \"bdev\", \"config\": [{\"method\": ");
    if (one->store == BENCH_STORE_NULL || one->store == BENCH_STORE_RAM)
        fprintf(
            file,
            "\"bdev_%s_create\", \"params\": {\"name\": \"disk\", \"num_blocks\": %llu, \"block_size\": 512}",
            one->store == BENCH_STORE_NULL ? "null" : "malloc", bytes / 512);
    else
        fprintf(file,
                "\"bdev_uring_create\", \"params\": {\"name\": \"disk\", \"filename\": \"%s\", "
                "\"block_size\": 512}",
                bench_recipe_file(recipe, one, place));
    fprintf(file,
            "}]}, {\"subsystem\": \"vhost_blk\", \"config\": [{\"method\": \"vhost_create_blk_controller\", "
            "\"params\": {\"ctrlr\": \"disk\", \"dev_name\": \"disk\"}}]}]}\n");
    return fclose(file) ? BH_ERR_IO : BH_OK;
}

static int command_of_spdk(struct bench_command *command, const struct bench_recipe *recipe,
                           const struct bench_case *one, const struct bench_place *place, char *socket,
                           size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/spdk.json", place->folder);
    snprintf(socket, size, "%s/disk", place->folder);
    bench_command_add(command, "%s", recipe->what);
    bench_command_add(command, "--no-huge");
    bench_command_add(command, "-s");
    bench_command_add(command, "1024");
    bench_command_add(command, "-m");
    bench_command_add(command, "0x%llx", 1ull << (place->backend_cpu < 0 ? 0 : place->backend_cpu));
    bench_command_add(command, "-S");
    bench_command_add(command, "%s", place->folder);
    bench_command_add(command, "-r");
    bench_command_add(command, "%s/spdk.rpc", place->folder);
    bench_command_add(command, "-c");
    bench_command_add(command, "%s", path);
    return configure_spdk(path, recipe, one, place);
}

/* {socket}, {file}, {size}, {queues}, {host}, {cid} of a user's command. */
static int expand(char *to, size_t size, const struct bench_recipe *recipe, const struct bench_case *one,
                  const struct bench_place *place, const char *socket)
{
    char bytes[24], queues[12], host[96], cid[12];
    const char *const words[][2] = {{"{socket}", socket}, {"{file}", bench_recipe_file(recipe, one, place)},
                                    {"{size}", bytes},    {"{queues}", queues},
                                    {"{host}", host},     {"{cid}", cid}};
    const char *text = recipe->what;
    size_t used = 0;

    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)place->store_bytes);
    snprintf(queues, sizeof(queues), "%u", one->queues);
    snprintf(host, sizeof(host), "%s/v%u", place->folder, recipe->number);
    snprintf(cid, sizeof(cid), "%u", BENCH_VSOCK_CID);
    while (*text) {
        const char *piece = NULL;

        for (size_t i = 0; i < BH_COUNT(words) && !piece; i++) {
            if (strncmp(text, words[i][0], strlen(words[i][0])) == 0) {
                piece = words[i][1];
                text += strlen(words[i][0]);
            }
        }
        if (used + (piece ? strlen(piece) : 1) >= size)
            return BH_ERR_RANGE;
        if (piece)
            used += (size_t)sprintf(to + used, "%s", piece);
        else
            to[used++] = *text++;
    }
    to[used] = '\0';
    return BH_OK;
}

static int command_of_user(struct bench_command *command, const struct bench_recipe *recipe,
                           const struct bench_case *one, const struct bench_place *place, const char *socket)
{
    char line[480];
    const int err = expand(line, sizeof(line), recipe, one, place, socket);

    bench_command_add(command, "/bin/sh");
    bench_command_add(command, "-c");
    if (place->callgrind) /* it follows no exec */
        bench_command_add(command,
                          "exec valgrind --tool=callgrind --fair-sched=try --callgrind-out-file=%s %s",
                          place->callgrind, line);
    else
        bench_command_add(command, "exec %s", line);
    return err;
}

/* DPDK's: a port that takes all and drops it, or two that forward to each other, by one busy thread. */
static void command_of_testpmd(struct bench_command *command, const struct bench_recipe *recipe,
                               const struct bench_case *one, const struct bench_place *place,
                               const char *socket)
{
    const int cpu = place->backend_cpu < 0 ? 0 : place->backend_cpu;

    bench_command_add(command, "%s", recipe->what);
    bench_command_add(command, "--no-huge");
    bench_command_add(command, "-m");
    bench_command_add(command, "512");
    bench_command_add(command, "--no-pci");
    bench_command_add(command, "--no-telemetry");
    bench_command_add(command, "--file-prefix=bulkhead-bench-%d", (int)getpid());
    bench_command_add(command, "--lcores=(0,1)@%d", cpu);
    for (unsigned i = 0; i < one->workload->load->links; i++)
        bench_command_add(command, "--vdev=net_vhost%u,iface=%s%u,queues=1", i, socket, i);
    bench_command_add(command, "--");
    bench_command_add(command, "--nb-cores=1");
    bench_command_add(command, "--forward-mode=%s", one->workload->load->links == 2 ? "io" : "rxonly");
    bench_command_add(command, "--no-lsc-interrupt");
    bench_command_add(command, "--total-num-mbufs=16384");
    bench_command_add(command, "--stats-period=3600"); /* without a terminal it ends at once otherwise */
}

static int command_of(struct bench_command *command, const struct bench_recipe *recipe,
                      const struct bench_case *one, const struct bench_place *place, char *socket,
                      size_t size)
{
    if (recipe->kind != BENCH_COMMAND)
        bench_recipe_count(command, place);
    if (recipe->kind == BENCH_SPDK)
        return command_of_spdk(command, recipe, one, place, socket, size);
    if (recipe->kind == BENCH_COMMAND)
        return command_of_user(command, recipe, one, place, socket);
    if (recipe->kind == BENCH_QSD)
        command_of_qsd(command, recipe, one, place, socket);
    else
        command_of_testpmd(command, recipe, one, place, socket);
    return BH_OK;
}

static int open_other(const struct bench_recipe *recipe, const struct bench_case *one,
                      const struct bench_place *place, struct bench_backend *backend, int *fds, char *why,
                      size_t why_size)
{
    struct bench_command command = {.count = 0};
    char socket[108], path[112];
    int err;

    snprintf(socket, sizeof(socket), "%s/peer", place->folder);
    err = command_of(&command, recipe, one, place, socket, sizeof(socket));
    (void)unlink(socket);
    if (!err)
        err = bench_backend_start(backend, &command, place->backend_cpu);
    for (unsigned i = 0; i < one->workload->load->links && !err; i++) {
        snprintf(path, sizeof(path), recipe->kind == BENCH_TESTPMD ? "%s%u" : "%s", socket, i);
        fds[i] = bench_backend_connect(backend, path);
        (void)unlink(path); /* the next one may want the same name */
        if (fds[i] >= 0)
            continue;
        snprintf(why, why_size, "it does not listen: %s; ", strerror(errno));
        err = BH_ERR_CLOSED;
    }
    return err;
}

static int open_socket(const struct bench_recipe *recipe, struct bench_backend *backend, int *fds, char *why,
                       size_t why_size)
{
    fds[0] = bh_unix_connect(recipe->what, SOCK_STREAM);
    if (fds[0] >= 0)
        return bench_backend_adopt(backend, fds[0]);
    snprintf(why, why_size, "nobody answers at %s: %s", recipe->what, strerror(errno));
    return BH_ERR_NOENT;
}

int bench_recipe_open(const struct bench_recipe *recipe, const struct bench_case *one,
                      const struct bench_place *place, struct bench_backend *backend, int *fds, char *why,
                      size_t why_size)
{
    int err = bench_backend_init(backend);

    why[0] = '\0';
    if (err)
        return err;
    if (one->workload->load == &bench_load_vsock)
        snprintf(backend->host_path, sizeof(backend->host_path), "%s/v%u", place->folder, recipe->number);
    if (recipe->kind == BENCH_OURS || recipe->kind == BENCH_BRIDGE)
        err = bench_recipe_open_ours(recipe, one, place, backend, fds);
    else if (recipe->kind == BENCH_SOCKET)
        err = open_socket(recipe, backend, fds, why, why_size);
    else
        err = open_other(recipe, one, place, backend, fds, why, why_size);
    if (!err)
        return BH_OK;
    bench_backend_last_words(backend, why + strlen(why), why_size - strlen(why));
    if (!why[0])
        snprintf(why, why_size, "it cannot be started: %s", bh_err_text(err));
    return err;
}
