/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plots of the report's page, as SVG that stands in the page. Colours are the page's style's: a contestant is the
 * class "cN", text "ink" and "soft", lines "line".
 *
 * Threading: one thread.   Ownership: nothing is kept.   May block: it writes.
 */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "bench/report.h"

/* One row a case: ours over the best peer, on a scale of doublings, with how far the samples reach. */
void bench_plot_overview(FILE *file, const struct bench_contest *contests, size_t count);
/* One bar a contestant, from 0, with the least and the most of its samples. */
void bench_plot_bars(FILE *file, const struct bench_contest *contest, enum bench_metric metric);
/* One line a contestant, from p50 over p99 to p99.9, on a scale of tens. */
void bench_plot_latency(FILE *file, const struct bench_contest *contest);

#endif
