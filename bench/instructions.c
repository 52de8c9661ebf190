/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See instructions.h.
 */
#include "bench/instructions.h"

#include "bench/perf.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Lengths of callgrind's two runs, of which the longer is the processor's too; whole batches at every depth up to 64. */
#define SHORT_RUN 1920u
#define LONG_RUN  3840u
#define SETTLE_MS 500

/* What callgrind wrote: the program's total. -1: it wrote none. */
static double total_of(const char *path)
{
    char line[256];
    double total = -1;
    FILE *file = fopen(path, "re");

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "totals: %lf", &total) == 1 || sscanf(line, "summary: %lf", &total) == 1)
            break;
    if (file)
        fclose(file);
    return total;
}

/* Serve `requests` in lockstep; `counted` (NULL: somebody else counts) gets what they took by the processor's counters. */
static int serve(const struct bench_case *one, struct bench_backend *backend, const int *fds,
                 uint64_t requests, double *counted)
{
    static struct bench_tally tally;
    const struct bench_load_ops *ops = one->workload->load;
    const struct bench_limit limit = {600ull * 1000000000u, requests, true};
    struct bench_link link = {.queue_count = 0};
    struct bench_perf perf = {.count = 0};
    struct bench_load *load = NULL;
    int err = bench_link_open(&link, fds[0], ops->memory(one));

    if (err)
        return err;
    link.host_path = backend->host_path;
    err = ops->start(&load, &link, one);
    memset(&tally, 0, sizeof(tally));
    if (!err && counted && !bench_perf_open(&perf, backend))
        err = BH_ERR_UNSUPPORTED;
    if (!err)
        err = ops->run(load, &limit, &tally);
    if (!err && counted)
        *counted = bench_perf_read(&perf);
    bench_perf_close(&perf);
    if (load)
        ops->stop(load);
    bench_link_close(&link);
    return err;
}

/* Start a back-end for a run of its own. BH_OK, else `why` says what went wrong. */
static int run_once(const struct bench_recipe *recipe, const struct bench_case *one,
                    const struct bench_place *place, uint64_t requests, double *counted, char *why,
                    size_t why_size)
{
    struct bench_backend backend;
    int fds[BENCH_LINKS];
    int err = bench_recipe_open(recipe, one, place, &backend, fds, why, why_size);

    if (!err) {
        err = serve(one, &backend, fds, requests, counted);
        if (err)
            snprintf(why, why_size, "%s while they are counted", bh_err_text(err));
        /* qemu-storage-daemon that is told to end in the midst of losing its front-end may never do so */
        (void)poll(NULL, 0, SETTLE_MS);
    }
    bench_backend_stop(&backend);
    return err;
}

static double by_callgrind(const struct bench_recipe *recipe, const struct bench_case *one,
                           const struct bench_place *place, char *why, size_t why_size)
{
    const uint64_t runs[2] = {SHORT_RUN, LONG_RUN};
    struct bench_place place_counted = *place;
    double total[2] = {-1, -1};
    char path[128];

    snprintf(path, sizeof(path), "%s/callgrind", place->folder);
    place_counted.callgrind = path;
    for (unsigned i = 0; i < 2; i++) {
        if (run_once(recipe, one, &place_counted, runs[i], NULL, why, why_size) || bench_stopped)
            return NAN;
        total[i] = total_of(path);
        (void)unlink(path);
        if (total[i] < 0) {
            snprintf(why, why_size, "callgrind wrote no total");
            return NAN;
        }
    }
    return (total[1] - total[0]) / (LONG_RUN - SHORT_RUN);
}

static double by_processor(const struct bench_recipe *recipe, const struct bench_case *one,
                           const struct bench_place *place, char *why, size_t why_size)
{
    struct bench_place place_counted = *place;
    double counted = NAN;

    place_counted.lockstep = true;
    if (run_once(recipe, one, &place_counted, LONG_RUN, &counted, why, why_size))
        return NAN;
    return counted / LONG_RUN;
}

double bench_instructions(const struct bench_recipe *recipe, const struct bench_case *one,
                          const struct bench_place *place, char *why, size_t why_size)
{
    if (recipe->kind == BENCH_SPDK || recipe->kind == BENCH_TESTPMD)
        snprintf(why, why_size, "it polls, so that most of them are of no request");
    else if (one->workload->load->links > 1)
        snprintf(why, why_size, "several processes are not counted");
    else if (recipe->kind == BENCH_SOCKET)
        snprintf(why, why_size, "a process that runs already is not counted");
    else
        return bench_perf_works() ? by_processor(recipe, one, place, why, why_size)
                                  : by_callgrind(recipe, one, place, why, why_size);
    return NAN;
}
