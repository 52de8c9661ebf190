/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See perf.h.
 */
#include "bench/perf.h"

#include <dirent.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_counter(pid_t thread)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
        .inherit = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };

    return (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

bool bench_perf_works(void)
{
    const int fd = open_counter(0);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool open_threads(struct bench_perf *perf, pid_t pid)
{
    const struct dirent *entry;
    char path[64];
    bool all = true;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    folder = opendir(path);
    while (folder && all && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        if (perf->count == BENCH_PERF_THREADS) {
            all = false;
            break;
        }
        perf->fd[perf->count] = open_counter((pid_t)atoi(entry->d_name));
        all = perf->fd[perf->count] >= 0;
        perf->count += all;
    }
    if (folder)
        closedir(folder);
    return folder && all;
}

bool bench_perf_open(struct bench_perf *perf, const struct bench_backend *backend)
{
    bool all = backend->count > 0;

    perf->count = 0;
    for (unsigned i = 0; i < backend->count && all; i++)
        all = open_threads(perf, backend->process[i].pid);
    if (!all)
        bench_perf_close(perf);
    return all;
}

double bench_perf_read(const struct bench_perf *perf)
{
    double sum = 0;

    for (unsigned i = 0; i < perf->count; i++) {
        uint64_t value[3]; /* the count, time enabled, time running */

        if (read(perf->fd[i], value, sizeof(value)) != (ssize_t)sizeof(value) || value[1] != value[2])
            return NAN;
        sum += (double)value[0];
    }
    return sum;
}

void bench_perf_close(struct bench_perf *perf)
{
    while (perf->count > 0)
        close(perf->fd[--perf->count]);
}
