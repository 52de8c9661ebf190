/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See instructions.h.
 */
#include "bench/instructions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Lengths of the two runs; whole batches at every depth up to 64. */
#define SHORT_RUN 1920u
#define LONG_RUN  3840u

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

/* Serve `requests` in lockstep. */
static int serve(const struct bench_case *one, struct bench_backend *backend, const int *fds,
                 uint64_t requests)
{
    static struct bench_tally tally;
    const struct bench_load_ops *ops = one->workload->load;
    const struct bench_limit limit = {600ull * 1000000000u, requests, true};
    struct bench_link links[BENCH_LINKS] = {0};
    struct bench_load *load = NULL;
    unsigned opened = 0;
    int err = BH_OK;

    while (opened < ops->links && !err) {
        err = bench_link_open(&links[opened], fds[opened], ops->memory(one));
        links[opened].host_path = backend->host_path;
        opened += !err;
    }
    if (!err)
        err = ops->start(&load, links, one);
    memset(&tally, 0, sizeof(tally));
    if (!err)
        err = ops->run(load, &limit, &tally);
    if (load)
        ops->stop(load);
    while (opened > 0)
        bench_link_close(&links[--opened]);
    bench_backend_stop(backend);
    return err;
}

static double count(const struct bench_recipe *recipe, const struct bench_case *one,
                    const struct bench_place *place, uint64_t requests, char *why, size_t why_size)
{
    struct bench_backend backend;
    int fds[BENCH_LINKS];
    double total = -1;
    int err = bench_recipe_open(recipe, one, place, &backend, fds, why, why_size);

    if (!err) {
        err = serve(one, &backend, fds, requests);
        if (err)
            snprintf(why, why_size, "%s under callgrind", bh_err_text(err));
    }
    bench_backend_stop(&backend);
    if (!err) {
        total = total_of(place->callgrind);
        if (total < 0)
            snprintf(why, why_size, "callgrind wrote no total");
    }
    (void)unlink(place->callgrind);
    return total;
}

double bench_instructions(const struct bench_recipe *recipe, const struct bench_case *one,
                          const struct bench_place *place, char *why, size_t why_size)
{
    struct bench_place counted = *place;
    char path[128];
    double few, many;

    if (recipe->kind == BENCH_SOCKET) {
        snprintf(why, why_size, "a process that runs already is not counted");
        return NAN;
    }
    if (recipe->kind == BENCH_SPDK || recipe->kind == BENCH_TESTPMD) {
        snprintf(why, why_size, "it polls, so that most of them are of no request");
        return NAN;
    }
    if (one->workload->load->links > 1) {
        snprintf(why, why_size, "several processes are not counted");
        return NAN;
    }
    snprintf(path, sizeof(path), "%s/callgrind", place->folder);
    counted.callgrind = path;
    few = count(recipe, one, &counted, SHORT_RUN, why, why_size);
    many = few < 0 ? -1 : count(recipe, one, &counted, LONG_RUN, why, why_size);
    if (many < 0 || bench_stopped)
        return NAN;
    return (many - few) / (LONG_RUN - SHORT_RUN);
}
