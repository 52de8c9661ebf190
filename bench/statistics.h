/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of a measurement: a histogram of latencies that keeps every value to better than 2 %, however long
 * the tail, and what is said of a handful of samples: the median, and how far apart they lie.
 *
 * Threading: plain data.   Ownership: by value.   May block: no.
 */
#ifndef BENCH_STATISTICS_H
#define BENCH_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Theory of operation
 *   As in HdrHistogram: a power of two is cut into 64 equal buckets, so a bucket's width is at most 1/64 of its
 * values. Values up to 63 have a bucket each; values from 2^42 on (73 minutes in nanoseconds) share the last one.
 */
#define BENCH_HISTOGRAM_CUT     6u
#define BENCH_HISTOGRAM_TOP     42u
#define BENCH_HISTOGRAM_BUCKETS ((BENCH_HISTOGRAM_TOP - BENCH_HISTOGRAM_CUT + 1u) << BENCH_HISTOGRAM_CUT)

struct bench_histogram {
    uint64_t count, most;
    uint64_t bucket[BENCH_HISTOGRAM_BUCKETS];
};

static inline unsigned bench_histogram_bucket(uint64_t value)
{
    unsigned top;

    if (value < 1u << BENCH_HISTOGRAM_CUT)
        return (unsigned)value;
    top = 63u - (unsigned)__builtin_clzll(value);
    if (top >= BENCH_HISTOGRAM_TOP)
        return BENCH_HISTOGRAM_BUCKETS - 1u;
    top -= BENCH_HISTOGRAM_CUT;
    return (top << BENCH_HISTOGRAM_CUT) + (unsigned)(value >> top);
}

static inline void bench_histogram_add(struct bench_histogram *histogram, uint64_t value)
{
    histogram->count++;
    if (value > histogram->most)
        histogram->most = value;
    histogram->bucket[bench_histogram_bucket(value)]++;
}

/* The value that `share` (0 to 1) of all lie at or below: its bucket's largest. 0 when there are none. */
uint64_t bench_histogram_quantile(const struct bench_histogram *histogram, double share);

/* Of the samples of one measurement. */
struct bench_figure {
    double median, least, most;
    size_t count; /* 0: nothing was measured, and the rest means nothing */
};

enum { BENCH_SAMPLES_MAX = 99 };

/* `count` at most BENCH_SAMPLES_MAX; what is NaN was not measured, and is left out. */
struct bench_figure bench_figure_of(const double *samples, size_t count);
/* How far apart the samples lie, as a share of the median. */
double bench_figure_spread(const struct bench_figure *figure);

/*
 * Which of two is larger? 1: a; -1: b; 0: nobody knows, since their samples lie further apart than the medians, or
 * one was not measured, or measured once only, and nobody knows how far its samples would lie apart.
 */
int bench_figure_compare(const struct bench_figure *a, const struct bench_figure *b);

#endif
