/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the place of metrics.c where libmicrohttpd is not there at build time.
 */
#include "daemon/metrics.h"

int metrics_open(struct system *system, struct metrics **metrics)
{
    return BH_ERR_UNSUPPORTED;
}

void metrics_close(struct metrics *metrics)
{
}
