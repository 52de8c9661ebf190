/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words for what is measured.
 */
#include "bench/bench.h"

volatile sig_atomic_t bench_stopped;

const char *const bench_store_words[] = {"null", "ram", "file", "disk", "none", NULL};

const struct bench_metric_text bench_metrics[BENCH_METRICS] = {
    [BENCH_RATE] = {"rate", "a second", "/s", 1},
    [BENCH_BANDWIDTH] = {"bandwidth", "bytes a second", "B/s", 1},
    [BENCH_PER_CORE] = {"per_busy_core", "per busy core", "/s", 1},
    [BENCH_CPU] = {"cpu_us", "CPU", "us", -1},
    [BENCH_P50] = {"p50_us", "p50", "us", -1},
    [BENCH_P99] = {"p99_us", "p99", "us", -1},
    [BENCH_P999] = {"p99_9_us", "p99.9", "us", -1},
    [BENCH_KICKS] = {"kicks", "kicks", "", 0},
    [BENCH_CALLS] = {"calls", "calls", "", 0},
    [BENCH_DRIVER] = {"driver_us", "driver, us", "us", 0},
    [BENCH_INSTRUCTIONS] = {"instructions", "instr.", "", -1},
    [BENCH_READY] = {"ready_ms", "ready", "ms", -1},
    [BENCH_MEMORY] = {"private_dirty_kib", "private dirty", "KiB", -1},
};
