/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host knows of a block device beyond its size: which ranges it can discard, zero and erase, and how worn it
 * is. Limits are read from sysfs at opening; of the wear, the files are kept open, since a sandboxed process opens none.
 *
 * Threading: bh_host_disk_lifetime on any thread, one at a time; the rest on the loop's.
 * Ownership: the struct is the caller's.   May block: all of it (a read of the wear may ask the disk itself).
 */
#ifndef DEVICES_BLK_HOST_DISK_H
#define DEVICES_BLK_HOST_DISK_H

#include "abi/virtio_blk.h"
#include "devices/blk/store.h"

struct bh_host_disk {
    int life[3];         /* files of pre_eol_info, of the wear of types A and B; -1: this disk tells none */
    unsigned life_at[3]; /* which of the numbers in it */
};

/*
 * `sysfs`: the disk's or partition's folder (/sys/dev/block/MAJOR:MINOR), -1: there is none; `fd`: the disk itself, -1
 * in tests. Sets what it finds in `info`: can_discard, can_secure_erase, has_lifetime, granularities, largest ranges.
 */
void bh_host_disk_open(struct bh_host_disk *disk, int sysfs, int fd, struct bh_store_info *info);
/* One that tells nothing; also what _close leaves. */
void bh_host_disk_none(struct bh_host_disk *disk);
void bh_host_disk_close(struct bh_host_disk *disk);
/* Reserved values become "undefined". 0 or -errno. */
int bh_host_disk_lifetime(const struct bh_host_disk *disk, struct virtio_blk_lifetime *lifetime) BH_MUST_USE;

#endif
