/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a device process ends: whoever starts it learns from its exit status whether another try may go better. The
 * command's own verbs have the same numbers for the same things (cli/verb.h); docs/cli.md lists them all.
 *
 * Threading: pure.   Ownership: none.   May block: no.
 */
#ifndef BULKHEAD_IMPL_EXIT_STATUS_H
#define BULKHEAD_IMPL_EXIT_STATUS_H

#include <bulkhead/err.h>
#include <stdbool.h>

enum bh_device_exit {
    BH_DEVICE_EXIT_OK = 0,
    BH_DEVICE_EXIT_FAILED = 1, /* something went wrong that may go well the next time */
    BH_DEVICE_EXIT_USAGE = 2,  /* the command line is wrong, or contradicts itself */
    BH_DEVICE_EXIT_UNAVAILABLE =
        5 /* what the options name is not to be had: it is missing, forbidden or taken */
};

/* The status for a failure to come up. */
static inline int bh_device_exit_of(int err)
{
    switch (err) {
    case BH_OK: return BH_DEVICE_EXIT_OK;
    case BH_ERR_INVAL:
    case BH_ERR_RANGE:
    case BH_ERR_SYNTAX: return BH_DEVICE_EXIT_USAGE;
    case BH_ERR_NOENT:
    case BH_ERR_EXIST:
    case BH_ERR_ACCESS:
    case BH_ERR_BUSY:
    case BH_ERR_UNSUPPORTED: return BH_DEVICE_EXIT_UNAVAILABLE;
    default: return BH_DEVICE_EXIT_FAILED;
    }
}

/* It will not come up like this, however often it is tried. */
static inline bool bh_device_exit_is_final(int status)
{
    return status == BH_DEVICE_EXIT_USAGE || status == BH_DEVICE_EXIT_UNAVAILABLE;
}

#endif
