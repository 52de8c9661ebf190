/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of a measurement.
 */
#include "bench/statistics.h"

#include <math.h>
#include <stdlib.h>

/* The largest value of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    unsigned shift = bucket >> BENCH_HISTOGRAM_CUT;

    if (shift < 2)
        return bucket;
    shift -= 1;
    return ((uint64_t)(bucket - (shift << BENCH_HISTOGRAM_CUT) + 1u) << shift) - 1u;
}

uint64_t bench_histogram_quantile(const struct bench_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)ceil(share * (double)histogram->count), seen = 0;

    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < BENCH_HISTOGRAM_BUCKETS - 1u; i++) {
        seen += histogram->bucket[i];
        if (seen >= wanted)
            return bucket_end(i) < histogram->most ? bucket_end(i) : histogram->most;
    }
    return histogram->most;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct bench_figure bench_figure_of(const double *samples, size_t count)
{
    double sorted[BENCH_SAMPLES_MAX];
    struct bench_figure figure = {0};

    for (size_t i = 0; i < count && figure.count < BENCH_SAMPLES_MAX; i++)
        if (!isnan(samples[i]))
            sorted[figure.count++] = samples[i];
    if (figure.count == 0)
        return figure;
    qsort(sorted, figure.count, sizeof(sorted[0]), ascending);
    figure.least = sorted[0];
    figure.most = sorted[figure.count - 1];
    figure.median = (sorted[(figure.count - 1) / 2] + sorted[figure.count / 2]) / 2;
    return figure;
}

double bench_figure_spread(const struct bench_figure *figure)
{
    return figure->count && figure->median > 0 ? (figure->most - figure->least) / figure->median : 0;
}

int bench_figure_compare(const struct bench_figure *a, const struct bench_figure *b)
{
    double apart;

    if (a->count < 2 || b->count < 2)
        return 0;
    apart = fmax(a->most - a->least, b->most - b->least);
    if (fabs(a->median - b->median) <= apart)
        return 0;
    return a->median > b->median ? 1 : -1;
}
