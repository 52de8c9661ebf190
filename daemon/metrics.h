/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of a running system for Prometheus: HTTP on metrics.sock in the run directory, one page, /metrics.
 *
 * Threading: the loop's thread.   Ownership: as each says.   May block: no.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include <bulkhead/err.h>
#include <jansson.h>

struct system;
struct metrics;

/* BH_ERR_UNSUPPORTED: built without libmicrohttpd, nothing is served; BH_ERR_IO, BH_ERR_NOMEM. */
int metrics_open(struct system *system, struct metrics **metrics) BH_MUST_USE;
/* NULL is allowed. */
void metrics_close(struct metrics *metrics);

/* A report of stats_gather in Prometheus' text format; the caller's to free. NULL: out of memory. */
char *metrics_text(const json_t *report);

#endif
