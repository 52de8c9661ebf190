/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See contest.h.
 */
#include "bench/contest.h"

#include "bench/instructions.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A contestant while its contest runs. */
struct contestant {
    struct bench_backend backend;
    struct bench_link links[BENCH_LINKS];
    unsigned link_count;
    struct bench_load *load; /* NULL: it is not running */
    bool enters;             /* it takes part, unless it fails */
    double samples[BENCH_METRICS][BENCH_SAMPLES_MAX];
    unsigned count;
};

struct state {
    const struct bench_rules *rules;
    struct bench_contest *contest;
    struct contestant *contestants;
    struct bench_tally *tally;
    bench_progress progress;
    void *owner;
    unsigned done, all;
};

static const struct bench_load_ops *ops_of(const struct bench_contest *contest)
{
    return contest->one.workload->load;
}

static void drop(struct state *state, size_t who, const char *doing, int err)
{
    struct contestant *contestant = &state->contestants[who];
    char words[120];

    bench_backend_last_words(&contestant->backend, words, sizeof(words));
    snprintf(state->contest->result[who].note, sizeof(state->contest->result[who].note), "%s: %s%s%s", doing,
             bh_err_text(err), words[0] ? "; it said: " : "", words);
    if (contestant->load)
        ops_of(state->contest)->stop(contestant->load);
    contestant->load = NULL;
}

/* --- beginning and end --------------------------------------------------------------------------------------- */

/* Start the back-end and reach it. What went wrong stands in the result's note. */
static int open_links(struct state *state, size_t who)
{
    struct bench_result *result = &state->contest->result[who];
    struct contestant *contestant = &state->contestants[who];
    int fds[BENCH_LINKS], err;

    err = bench_recipe_open(result->recipe, &state->contest->one, state->rules->place, &contestant->backend,
                            fds, result->note, sizeof(result->note));
    while (!err && contestant->link_count < ops_of(state->contest)->links) {
        err = bench_link_open(&contestant->links[contestant->link_count], fds[contestant->link_count],
                              ops_of(state->contest)->memory(&state->contest->one));
        contestant->links[contestant->link_count].host_path = contestant->backend.host_path;
        if (err)
            drop(state, who, "its answers to a front-end", err);
        else
            contestant->link_count++;
    }
    return err;
}

static void enter(struct state *state, size_t who)
{
    struct bench_result *result = &state->contest->result[who];
    struct contestant *contestant = &state->contestants[who];
    const char *why;
    int err;

    if (!bench_recipe_serves(result->recipe, &state->contest->one, &why)) {
        result->absent = why == NULL;
        snprintf(result->note, sizeof(result->note), "%s", why ? why : "");
        return;
    }
    contestant->enters = true;
    if (state->contest->one.workload->anew || open_links(state, who))
        return;
    err = ops_of(state->contest)->start(&contestant->load, contestant->links, &state->contest->one);
    if (err)
        drop(state, who, err == BH_ERR_UNSUPPORTED ? "its features or queues" : "its device", err);
    else
        result->features = contestant->links[0].features;
    bench_backend_pause(&contestant->backend, true);
}

static void leave(struct state *state, size_t who)
{
    struct contestant *contestant = &state->contestants[who];

    bench_backend_pause(&contestant->backend, false);
    if (contestant->load)
        ops_of(state->contest)->stop(contestant->load);
    contestant->load = NULL;
    while (contestant->link_count > 0)
        bench_link_close(&contestant->links[--contestant->link_count]);
    bench_backend_stop(&contestant->backend);
}

/* --- one sample ---------------------------------------------------------------------------------------------- */

static void evaluate(const struct bench_tally *tally, const struct bench_moment *from,
                     const struct bench_moment *to, struct bench_sample *sample)
{
    const double seconds = (double)tally->elapsed_ns / 1e9, requests = (double)tally->requests;
    const double cpu = (double)(to->backend_ns - from->backend_ns) / 1e9;

    for (unsigned i = 0; i < BENCH_METRICS; i++)
        sample->value[i] = NAN;
    sample->foreign = bench_foreign(from, to);
    if (tally->requests == 0)
        return;
    sample->value[BENCH_RATE] = requests / seconds;
    if (tally->bytes)
        sample->value[BENCH_BANDWIDTH] = (double)tally->bytes / seconds;
    if (cpu > 0)
        sample->value[BENCH_PER_CORE] = requests / cpu;
    sample->value[BENCH_CPU] = cpu * 1e6 / requests;
    sample->value[BENCH_DRIVER] = (double)(to->driver_ns - from->driver_ns) / 1e3 / requests;
    sample->value[BENCH_KICKS] = (double)tally->kicks / requests;
    sample->value[BENCH_CALLS] = (double)tally->calls / requests;
    if (tally->latency.count) {
        sample->value[BENCH_P50] = (double)bench_histogram_quantile(&tally->latency, 0.5) / 1e3;
        sample->value[BENCH_P99] = (double)bench_histogram_quantile(&tally->latency, 0.99) / 1e3;
        sample->value[BENCH_P999] = (double)bench_histogram_quantile(&tally->latency, 0.999) / 1e3;
    }
}

static int run_load(struct state *state, struct contestant *contestant, double seconds)
{
    const struct bench_limit limit = {(uint64_t)(seconds * 1e9), 0, false};

    memset(state->tally, 0, sizeof(*state->tally));
    return ops_of(state->contest)->run(contestant->load, &limit, state->tally);
}

/* Measure once; BH_ERR_PROTO also when requests were answered with errors. */
static int measure(struct state *state, struct contestant *contestant, struct bench_sample *sample)
{
    struct bench_moment from, to;
    int err = run_load(state, contestant, state->rules->warm_up);

    if (err)
        return err;
    from = bench_moment_now(&contestant->backend);
    err = run_load(state, contestant, state->rules->seconds);
    to = bench_moment_now(&contestant->backend);
    if (err)
        return err;
    evaluate(state->tally, &from, &to, sample);
    sample->value[BENCH_MEMORY] = bench_backend_memory(&contestant->backend);
    return state->tally->failures ? BH_ERR_PROTO : BH_OK;
}

/* One start, as long as it takes, and what the process holds once it has served some requests. */
static int measure_start(struct state *state, size_t who, struct bench_sample *sample)
{
    static const struct bench_limit some = {10000000000ull, 64, true};
    struct contestant *contestant = &state->contestants[who];
    struct bench_result *result = &state->contest->result[who];
    const uint64_t since = bench_now();
    int err = open_links(state, who);

    for (unsigned i = 0; i < BENCH_METRICS; i++)
        sample->value[i] = NAN;
    sample->foreign = 0;
    sample->value[BENCH_READY] = (double)(bench_now() - since) / 1e6;
    if (!err)
        err = ops_of(state->contest)->start(&contestant->load, contestant->links, &state->contest->one);
    memset(state->tally, 0, sizeof(*state->tally));
    if (!err)
        err = ops_of(state->contest)->run(contestant->load, &some, state->tally);
    if (!err) {
        sample->value[BENCH_MEMORY] = bench_backend_memory(&contestant->backend);
        result->features = contestant->links[0].features;
    }
    leave(state, who);
    return err;
}

/* A sample on a quiet machine, or the quietest of several. */
static int take(struct state *state, size_t who, struct bench_sample *best)
{
    struct contestant *contestant = &state->contestants[who];
    struct bench_result *result = &state->contest->result[who];

    for (unsigned i = 0; i <= state->rules->retries; i++) {
        struct bench_sample sample;
        const int err = measure(state, contestant, &sample);

        if (err)
            return err;
        if (i == 0 || sample.foreign < best->foreign)
            *best = sample;
        if (best->foreign <= state->rules->foreign_limit)
            return BH_OK;
        result->rejected++;
    }
    result->rejected--; /* one of them is kept */
    result->disturbed++;
    return BH_OK;
}

static void play(struct state *state, size_t who)
{
    struct contestant *contestant = &state->contestants[who];
    struct bench_result *result = &state->contest->result[who];
    struct bench_sample sample;
    const bool anew = state->contest->one.workload->anew;
    int err;

    if (!contestant->enters || (!anew && !contestant->load))
        return;
    if (state->progress)
        state->progress(state->owner, &state->contest->one, result->recipe->name, state->done, state->all);
    if (!anew)
        bench_backend_pause(&contestant->backend, false);
    err = anew ? measure_start(state, who, &sample) : take(state, who, &sample);
    if (!anew)
        bench_backend_pause(&contestant->backend, true);
    if (err == BH_ERR_CANCELLED)
        return;
    if (err) {
        contestant->enters = false;
        if (anew && result->note[0])
            return;
        drop(state, who, err == BH_ERR_PROTO ? "wrong or missing answers" : "under load", err);
        return;
    }
    for (unsigned i = 0; i < BENCH_METRICS; i++)
        contestant->samples[i][contestant->count] = sample.value[i];
    contestant->count++;
    result->foreign = fmax(result->foreign, sample.foreign);
}

static void conclude(struct state *state, size_t who)
{
    struct contestant *contestant = &state->contestants[who];
    struct bench_result *result = &state->contest->result[who];
    char why[160] = "";
    double count;

    for (unsigned i = 0; i < BENCH_METRICS; i++)
        result->figure[i] = bench_figure_of(contestant->samples[i], contestant->count);
    if (!state->rules->instructions || contestant->count == 0 || state->contest->one.workload->anew ||
        bench_stopped)
        return;
    if (state->progress)
        state->progress(state->owner, &state->contest->one, result->recipe->name, state->done, state->all);
    count = bench_instructions(result->recipe, &state->contest->one, state->rules->place, why, sizeof(why));
    result->figure[BENCH_INSTRUCTIONS] = bench_figure_of(&count, 1);
    if (isnan(count) && !bench_stopped && !result->note[0])
        snprintf(result->note, sizeof(result->note), "instructions: %s", why);
}

int bench_contest_run(struct bench_contest *contest, const struct bench_rules *rules, bench_progress progress,
                      void *owner)
{
    struct state state = {.rules = rules,
                          .contest = contest,
                          .contestants = calloc(rules->recipe_count, sizeof(struct contestant)),
                          .tally = calloc(1, sizeof(struct bench_tally)),
                          .progress = progress,
                          .owner = owner,
                          .all = rules->rounds * (unsigned)rules->recipe_count};

    contest->count = rules->recipe_count;
    for (size_t i = 0; i < contest->count; i++)
        contest->result[i] = (struct bench_result){.recipe = &rules->recipes[i]};
    if (!state.contestants || !state.tally) {
        free(state.contestants);
        free(state.tally);
        return BH_ERR_NOMEM;
    }
    for (size_t i = 0; i < contest->count && !bench_stopped; i++)
        enter(&state, i);
    for (unsigned round = 0; round < rules->rounds; round++)
        for (size_t i = 0; i < contest->count && !bench_stopped; i++, state.done++)
            play(&state, i);
    for (size_t i = 0; i < contest->count; i++)
        leave(&state, i);
    for (size_t i = 0; i < contest->count; i++)
        conclude(&state, i);
    free(state.contestants);
    free(state.tally);
    return bench_stopped ? BH_ERR_CANCELLED : BH_OK;
}

const struct bench_result *bench_best_peer(const struct bench_contest *contest, enum bench_metric metric)
{
    const struct bench_result *best = NULL;

    for (size_t i = 1; i < contest->count; i++) {
        const struct bench_result *result = &contest->result[i];
        const bool better = !best || (bench_metrics[metric].better > 0
                                          ? result->figure[metric].median > best->figure[metric].median
                                          : result->figure[metric].median < best->figure[metric].median);

        if (result->recipe->kind != BENCH_OURS && result->figure[metric].count && better)
            best = result;
    }
    return best;
}
