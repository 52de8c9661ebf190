/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for store_uring.c in a build without liburing: threads move the bytes then. */
#include "devices/blk/store_file.h"

int bh_store_uring_create(struct bh_loop *loop, struct bh_image *image, unsigned depth,
                          struct bh_store_file **file, const char **why)
{
    *why = "not in this build";
    return BH_ERR_UNSUPPORTED;
}
