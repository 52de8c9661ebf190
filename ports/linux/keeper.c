/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a keeper gave back at start, found by its name.
 */
#include <bulkhead/impl/keeper.h>

#include <string.h>

int bh_keeper_take(struct bh_keeper *keeper, const char *name)
{
    for (size_t i = 0; i < keeper->kept_count; i++) {
        struct bh_kept *kept = &keeper->kept[i];
        if (kept->fd >= 0 && strcmp(kept->name, name) == 0) {
            const int fd = kept->fd;
            kept->fd = -1;
            return fd;
        }
    }
    return -1;
}
